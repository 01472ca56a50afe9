//! Whatever clients state as user, host, display and share string, no output tells of seats that are not there.

use quick_xml::events::Event;
use quick_xml::reader::Reader;
use seatkeeper::clock::Zone;
use seatkeeper::compat::words::Lmstat;
use seatkeeper::compat::{Picture, flexnet, lmx, lmx_xml};
use seatkeeper::report::{Feature, Session, Status};

use crate::common::{Random, seed};
use crate::site::place;

const PIECES: [&str; 22] = [
    "\n",
    "\r\n",
    "\u{2028}",
    "\u{85}",
    "\t",
    " ",
    "\0",
    "\u{1b}[2J",
    "\"/>",
    "<USER NAME=\"x\"",
    "&amp;",
    "]]>",
    "<!--",
    "@",
    "(v1.0) (h/1 1), start Mon 1/1 1:00, 900 licenses",
    "\n900 license(s) used by x@y [1.2.3.4]",
    "\nUsers of cad:  (Total of 900 licenses issued;  Total of 900 licenses in use)",
    "\nFeature: x Version: 1.0 Vendor: y",
    "\u{202e}",
    "王",
    "é",
    "\u{fffe}",
];

fn nasty(random: &mut Random) -> String {
    (0..random.within(0, 5)).map(|_| *random.one_of(&PIECES)).collect()
}

#[test]
fn what_a_client_states_forges_no_line_and_no_element() {
    let mut random = Random(seed());
    for _ in 0..2_000 {
        let session = Session {
            id: "1".into(),
            vendor: "ACME".into(),
            feature: "cad".into(),
            count: 2,
            user: nasty(&mut random),
            host: nasty(&mut random),
            display: Some(nasty(&mut random)),
            version: Some(nasty(&mut random)),
            share: Some(nasty(&mut random)),
            address: Some("10.1.2.3".into()),
            ..Session::default()
        };
        let feature = Feature {
            vendor: "ACME".into(),
            name: "cad".into(),
            total: Some(4),
            used: 2,
            share: vec!["CUSTOM".into()],
            ..Feature::default()
        };
        let stated = format!("{session:?}");
        let is_shared = session.share.as_ref().is_some_and(|share| !share.is_empty());
        let (user, host) = (session.user.clone(), session.host.clone());
        let status =
            Status { features: Some(vec![feature]), sessions: Some(vec![session]), ..Status::default() };
        let picture = Picture::new(&status, &[], place(), 1_900_000_000_000, &Zone::utc());

        let text = lmx::text(&picture);
        // Also where a reader takes other characters for the end of a line than we do.
        let lines = |text: &str| {
            let ends = [
                '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}',
            ];
            text.split(ends).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&text).len(), 17 + usize::from(is_shared), "{stated}:\n{text}");
        let used: Vec<String> = lines(&text).into_iter().filter(|l| l.contains("used by")).collect();
        let blanks = used.iter().map(|line| line.split_whitespace().count()).collect::<Vec<_>>();
        assert_eq!(blanks, [6], "{stated}: {used:?}");

        let text = flexnet::text(&picture, &Lmstat { all: true, ..Lmstat::default() });
        let users: Vec<String> = lines(&text).into_iter().filter(|l| l.contains(", start ")).collect();
        assert_eq!(users.len(), 1, "{stated}:\n{text}");
        let words: Vec<&str> = users[0].split_whitespace().collect();
        assert!(words.len() == 12 && words[4] == "(lic01.example/6200", "{stated}: {words:?}");
        assert_eq!(
            lines(&text).iter().filter(|l| l.starts_with("Users of ")).count(),
            1,
            "{stated}:\n{text}"
        );

        let text = lmx_xml::text(&picture);
        assert!(
            lines(&text).iter().all(|line| line.is_empty() || line.starts_with('<')),
            "{stated}:\n{text}"
        );
        let (mut reader, mut users) = (Reader::from_str(&text), Vec::new());
        loop {
            match reader.read_event().unwrap_or_else(|e| panic!("{stated}: {e}:\n{text}")) {
                Event::Eof => break,
                Event::Empty(tag) => {
                    let value = |name: &str| {
                        let found = tag.try_get_attribute(name).expect("attributes").expect("stated");
                        let raw = found.value.into_owned();
                        quick_xml::escape::unescape(&raw).expect("escapes").into_owned()
                    };
                    users.push((value("NAME"), value("HOST"), value("USED_LICENSES")));
                }
                _ => {}
            }
        }
        let whole = |text: &str| {
            let lost = |c: char| (c < ' ' && !"\t\r\n".contains(c)) || c == '\u{fffe}';
            text.chars().map(|c| if lost(c) { '\u{fffd}' } else { c }).collect::<String>()
        };
        assert_eq!(users, [(whole(&user), whole(&host), "2".to_owned())], "{text}");
    }
}
