//! The golden vectors: `UPDATE_VECTORS=1 cargo test -p wire vectors_are_what_the_crate_writes` writes them anew. After a release a vector
//! that is there never changes; new ones may be added.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use wire::frame::{self, HELLO_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX};
use wire::{Answer, Request, answer, request};

use crate::page::{Page, from_hex, hex};
use crate::{Any, numbers, samples, shown};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// A vector as it stands in its file.
pub(crate) struct Vector {
    pub(crate) file: String,
    pub(crate) frame: Vec<u8>,
    json: Value,
}

/// Every file of the folder.
pub(crate) fn read() -> Vec<Vector> {
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder()).expect("tests/vectors") {
        let path = entry.expect("an entry").path();
        let json: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        let frame = from_hex(json["frame"].as_str().expect("a frame"));
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        vectors.push(Vector { file, frame, json });
    }
    assert!(vectors.len() >= 2 * numbers().len(), "vectors are missing");
    vectors.sort_by(|a, b| a.file.cmp(&b.file));
    vectors
}

/// What the files should be: name and text.
fn written(page: &Page) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (name, call, message) in samples::all() {
        let number = message.number();
        let title = &page.messages[&number].0;
        let mut bytes = Vec::new();
        message.append(&mut bytes, call).expect("samples are short");
        let text = format!(
            "{{\n  \"name\": \"{name}\",\n  \"message\": \"{title}\",\n  \"number\": {number},\n  \"call\": {call},\n  \
             \"frame\": \"{}\",\n  \"fields\": {}\n}}\n",
            hex(&bytes),
            shown::json(page, &message)
        );
        let file = format!("{number:04x}-{}-{name}.json", title.to_lowercase());
        assert!(files.insert(file, text).is_none(), "two samples {name} of {title}");
    }
    files
}

#[test]
fn vectors_are_what_the_crate_writes() {
    let files = written(&Page::read());
    if std::env::var_os("UPDATE_VECTORS").is_some_and(|v| v == "1") {
        fs::create_dir_all(folder()).expect("tests/vectors");
        for (file, text) in &files {
            fs::write(folder().join(file), text).expect("to write a vector");
        }
    }
    let there: BTreeSet<String> = read().into_iter().map(|vector| vector.file).collect();
    assert_eq!(there, files.keys().cloned().collect::<BTreeSet<_>>(), "UPDATE_VECTORS=1 writes new ones");
    for (file, text) in files {
        assert_eq!(fs::read_to_string(folder().join(&file)).unwrap(), text, "{file}");
    }
}

#[test]
fn every_vector_decodes_and_encodes_to_the_same_bytes() {
    let page = Page::read();
    for Vector { file, frame: bytes, json } in read() {
        let whole = frame::first(&bytes, SERVER_FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(whole.bytes, bytes.len(), "{file}");
        let message = Any::decode(whole.head, whole.body).unwrap_or_else(|e| panic!("{file}: {e}"));
        let fields: Value = serde_json::from_str(&shown::json(&page, &message)).unwrap();
        assert_eq!(fields, json["fields"], "{file}");
        let mut again = Vec::new();
        message.append(&mut again, whole.head.call).unwrap();
        assert_eq!(hex(&again), hex(&bytes), "{file}");
    }
}

#[test]
fn an_implementation_made_from_the_page_writes_the_same_bytes() {
    let page = Page::read();
    for Vector { file, frame, json } in read() {
        let number = u16::try_from(json["number"].as_u64().unwrap()).unwrap();
        let call = u32::try_from(json["call"].as_u64().unwrap()).unwrap();
        assert_eq!(hex(&page.frame(number, call, &json["fields"])), hex(&frame), "{file}");
    }
}

#[test]
fn vectors_and_page_cover_every_message() {
    let page = Page::read();
    assert_eq!(page.messages.keys().copied().collect::<Vec<_>>(), numbers());
    let mut names: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for vector in read() {
        let number = u16::from_le_bytes([vector.frame[4], vector.frame[5]]);
        names.entry(number).or_default().insert(vector.json["name"].as_str().unwrap().to_owned());
    }
    for number in numbers() {
        for name in ["least", "full"] {
            assert!(names[&number].contains(name), "0x{number:04x} has no vector {name}");
        }
    }
}

#[test]
fn the_page_explains_every_code_and_every_fault() {
    let page = Page::read();
    for code in wire::codes::ALL {
        assert!(page.text.contains(&format!("| `{code}` | ")), "{code}");
    }
    let faults = [
        wire::frame::FrameError::TooLong { length: 0, bytes_max: 0 }.as_str(),
        wire::frame::FrameError::TooShort { length: 0 }.as_str(),
        wire::DecodeError::UnknownNumber(0).as_str(),
        wire::DecodeError::TooLong { bytes: 0, bytes_max: 0 }.as_str(),
        wire::DecodeError::Truncated.as_str(),
        wire::DecodeError::Trailing { bytes: 0 }.as_str(),
        wire::DecodeError::TooMuch.as_str(),
        wire::DecodeError::NotShortest.as_str(),
        wire::DecodeError::Malformed("").as_str(),
        wire::DecodeError::UnknownExtra(0).as_str(),
    ];
    for fault in faults {
        assert!(page.text.contains(&format!("`{fault}`")), "{fault}");
    }
}

#[test]
fn the_session_in_hex_on_the_page_is_what_the_crate_reads() {
    let page = Page::read();
    let section = page.text.split("\n## 13. ").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut sides = [Vec::new(), Vec::new()];
    for line in section.lines() {
        let (side, rest) = match (line.strip_prefix("    > "), line.strip_prefix("    < ")) {
            (Some(rest), _) => (0, rest),
            (_, Some(rest)) => (1, rest),
            _ => continue,
        };
        sides[side].extend(from_hex(rest.split(';').next().unwrap()));
    }
    let messages = |mut stream: &[u8]| {
        let mut found = Vec::new();
        while let Some(whole) = frame::first(stream, HELLO_FRAME_BYTES_MAX).unwrap() {
            found.push((whole.head.call, Any::decode(whole.head, whole.body).unwrap()));
            stream = &stream[whole.bytes..];
        }
        assert_eq!(stream, b"");
        found
    };
    let (asked, answered) = (messages(&sides[0]), messages(&sides[1]));
    assert_eq!(asked.iter().map(|(call, _)| *call).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(answered.iter().map(|(call, _)| *call).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let Any::Request(Request::Checkout(checkout)) = &asked[1].1 else { panic!("{:?}", asked[1]) };
    assert_eq!(checkout.facts.user, "ann");
    assert_eq!(checkout.items[0], request::Item { vendor: None, feature: "cad".into(), count: 2 });
    let Any::Answer(Answer::Granted(granted)) = &answered[1].1 else { panic!("{:?}", answered[1]) };
    assert_eq!((granted.bundle, granted.sessions[0].session), (9, 17));
    assert_eq!(granted.sessions[0].license_ends, Some(1_909_087_200));
    let checkin = request::Checkin { session: 17, count: 0, extras: vec![] };
    assert_eq!(asked[3].1, Any::Request(Request::Checkin(checkin)));
    let given_back = answer::Checkin { session: 17, count: 2, remaining: 0, extras: vec![] };
    assert_eq!(answered[3].1, Any::Answer(Answer::Checkin(given_back)));
}

#[test]
fn the_grace_extra_is_the_list_that_the_page_describes() {
    let page = Page::read();
    let list: Vec<Value> = samples::GRACE
        .iter()
        .map(|g| serde_json::json!({ "session": g.session, "hours": g.hours }))
        .collect();
    let mut bytes = Vec::new();
    page.value("list of Grace", &Value::Array(list), &mut bytes);
    assert_eq!(hex(&answer::Grace::extra(&samples::GRACE).bytes), hex(&bytes));
    let tag = answer::Grace::TAG;
    assert!(page.text.contains(&format!("| {tag} | `grace` | Granted, Resume, Served | list of Grace |")));
}

#[test]
fn the_extras_of_a_borrow_are_what_the_page_describes() {
    let page = Page::read();
    let mut bytes = Vec::new();
    page.value("Hours", &serde_json::json!({ "hours": 300 }), &mut bytes);
    assert_eq!(hex(&request::Hours { hours: 300 }.extra().bytes), hex(&bytes));
    let list: Vec<Value> = (samples::loans().iter())
        .map(|l| serde_json::json!({ "session": l.session, "ends_at": l.ends_at, "token": hex(&l.token) }))
        .collect();
    let mut bytes = Vec::new();
    page.value("list of Loan", &Value::Array(list), &mut bytes);
    assert_eq!(hex(&answer::Loan::extra(&samples::loans()).bytes), hex(&bytes));
    assert_eq!(answer::Loan::among(&[answer::Loan::extra(&samples::loans())]), samples::loans());
    let (asked, given) = (request::Hours::TAG, answer::Loan::TAG);
    assert!(page.text.contains(&format!("| {asked} | `borrow` | Checkout, Try | Hours |")));
    assert!(page.text.contains(&format!("| {given} | `loans` | Granted, Resume | list of Loan |")));
}

#[test]
fn hours_that_cannot_be_read_are_an_error_and_none_are_none() {
    let hours = request::Hours { hours: 48 };
    assert_eq!(request::Hours::among(&[hours.extra()]), Ok(Some(hours)));
    assert_eq!(request::Hours::among(&[]), Ok(None));
    for bytes in [vec![], vec![0xfb, 48, 0], vec![48, 0], vec![0xff]] {
        let extra = wire::Extra { tag: request::Hours::TAG, bytes };
        assert!(request::Hours::among(std::slice::from_ref(&extra)).is_err(), "{extra:?}");
    }
}
