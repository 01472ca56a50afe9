//! The book on disk.

use std::fs;
use std::thread;

use crate::grace::book::{Book, Claim, Lesson, REST_SECONDS, key};
use crate::grace::file::Store;
use crate::grace::text;

const NOW: i64 = 1_900_000_000;

fn lesson(feature: &str) -> Lesson {
    Lesson {
        vendor: String::new(),
        feature: feature.into(),
        hours: 24,
        count: 2,
        version: Some("4.2".into()),
        ends: Some(NOW + 77),
        asker: "ann\0wsö7\0\0\0".into(),
    }
}

/// Every field filled in one entry and left out in another.
fn full() -> Book {
    let mut book = Book::default();
    book.learn(NOW, lesson("cad"));
    book.deny(NOW + 1, None, "cad");
    book.learn(NOW, Lesson { vendor: "ACME".into(), ends: None, version: None, ..lesson("cam-2") });
    book.begin(NOW, &[(key("acme", "cam-2"), Claim::Session { since: NOW })]).unwrap();
    book
}

#[test]
fn what_is_written_is_read_again() {
    for book in [Book::default(), full(), Book::closed(NOW)] {
        assert_eq!(text::read(&text::write(&book)), Ok(book));
    }
}

#[test]
fn any_damage_is_seen() {
    let whole = text::write(&full());
    for cut in 0..whole.len() {
        assert!(text::read(&whole[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        for byte in [b' ', b'\n', b'0', b'9', b'.', b'a', b'-', 0] {
            let mut bytes = whole.clone().into_bytes();
            if bytes[at] != byte {
                bytes[at] = byte;
                let text = String::from_utf8(bytes);
                assert!(text.is_err() || text::read(&text.unwrap()).is_err(), "byte {at} as {byte:#04x}");
            }
        }
    }
    assert!(text::read(&format!("{whole}\n")).is_err(), "a line too many");
    assert!(text::read(&whole.replace('\n', "\r\n")).is_err());
    assert_eq!(text::read("seatkeeper-grace 2\nmark 0\n"), Err(1));
}

#[test]
fn a_change_is_kept_and_what_changes_nothing_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b");
    let store = Store::new(&deep);
    assert!(!store.exists());
    store.with(|book| (book.learn(NOW, lesson("cad")), false)).unwrap();
    assert!(!store.exists());
    store.with(|book| ((), book.learn(NOW, lesson("cad")))).unwrap();
    assert!(store.exists());
    let count = Store::new(&deep).with(|book| (book.entries().count(), false));
    assert_eq!(count, Ok(1));
    let mut names: Vec<_> = fs::read_dir(&deep).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["grace", "grace.lock"], "no draft is left behind");
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir().unwrap();
    Store::new(directory.path()).with(|book| ((), book.learn(NOW, lesson("cad")))).unwrap();
    for name in ["grace", "grace.lock"] {
        assert_eq!(fs::metadata(directory.path().join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn programs_that_write_at_once_lose_nothing_of_each_other() {
    let directory = tempfile::tempdir().unwrap();
    // What a program that crashed left behind.
    fs::write(directory.path().join("grace.draft"), "half").unwrap();
    thread::scope(|scope| {
        for program in 0..8 {
            let store = Store::new(directory.path());
            scope.spawn(move || {
                for n in 0..5 {
                    let feature = format!("f-{program}-{n}");
                    store.with(|book| ((), book.learn(NOW, lesson(&feature)))).unwrap();
                }
            });
        }
    });
    let count = Store::new(directory.path()).with(|book| (book.entries().count(), false));
    assert_eq!(count, Ok(40));
}

#[test]
fn a_lock_that_is_never_given_back_is_an_error_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let held = fs::File::create(directory.path().join("grace.lock")).unwrap();
    held.lock().unwrap();
    let error = Store::new(directory.path()).with(|_| ((), false)).unwrap_err();
    assert!(error.ends_with("another program keeps it locked"), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_until_a_grant_replaces_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, path) = (Store::new(directory.path()), directory.path().join("grace"));
    let damages: [(&str, &[u8]); 3] = [
        ("it is damaged in line 1", b"what?\n"),
        ("it is no text", &[0xff, 0xfe]),
        ("it has more than 2097152 bytes", &vec![b'x'; (2 << 20) + 1]),
    ];
    for (what, bytes) in damages {
        fs::write(&path, bytes).unwrap();
        let error = store.with(|_| ((), true)).unwrap_err();
        assert!(error.contains(what) && error.contains("grace: "), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is changed");
        store.with_mended(NOW, |book| book.learn(NOW, lesson("cad"))).unwrap();
        let closed = store.with(|book| (book.closed_until, false));
        assert_eq!(closed, Ok(NOW + REST_SECONDS), "what was used may have been in it");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::new(&file).with(|_| ((), true)).unwrap_err();
    assert!(error.contains("file"), "{error}");
    fs::create_dir(directory.path().join("grace")).unwrap();
    assert!(Store::new(directory.path()).with(|_| ((), true)).is_err(), "a directory in its place");
}
