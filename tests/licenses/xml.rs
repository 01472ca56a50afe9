//! What is XML enough, and what is not.

use std::time::{Duration, Instant};

use seatkeeper::licenses::{
    FILE_BYTES_MAX, FILE_FEATURES_MAX, FILE_PROBLEMS_MAX, LicenseSet, Signatures, read_files,
};
use seats::license::Reason;

use super::{marked, read};

/// A file that is refused as a whole, at the mark.
fn broken(text: &str) -> String {
    let (text, place) = marked(text);
    let set = read(&text);
    assert_eq!(set.licenses, [], "{text}");
    let [problem] = set.problems.as_slice() else { panic!("{text}: {:?}", set.problems) };
    assert_eq!(problem.reason, Reason::BadXml, "{text}: {problem}");
    assert_eq!(problem.line.zip(problem.column), place, "{text}: {problem}");
    problem.message.clone()
}

/// A file of which one feature loads, and one problem is told, at the mark.
fn scratched(text: &str, reason: Reason) {
    let (text, place) = marked(text);
    let set = read(&text);
    let good = set.licenses.iter().filter(|license| license.refusal.is_none()).count();
    let [problem] = set.problems.as_slice() else { panic!("{text}: {:?}", set.problems) };
    assert_eq!(
        (good, problem.reason, problem.line.zip(problem.column)),
        (1, reason, place),
        "{text}: {problem}"
    );
}

fn bytes(bytes: &[u8]) -> LicenseSet {
    read_files(&[("x.xml".to_owned(), bytes.to_vec())], &[], Signatures::Optional)
}

#[test]
fn what_is_not_well_formed_is_one_problem_at_its_place() {
    for text in [
        "¦",
        "¦<LICENSEFILE",
        "<LICENSEFILE>¦",
        "<LICENSEFILE><FEATURE NAME=\"a\">¦</LICENSEFILE>",
        "<LICENSEFILE/>¦<LICENSEFILE/>",
        "<LICENSEFILE/>¦x",
        "¦<FEATURE NAME=\"a\"/>",
        "¦<licensefile/>",
        "<LICENSEFILE><FEATURE NAME=\"a\"¦ID=\"1\"/></LICENSEFILE>",
        "<LICENSEFILE>\n <FEATURE NAME=\"a\" ¦NAME=\"b\"/></LICENSEFILE>",
        "<LICENSEFILE><FEATURE NAME=\"a¦<b\"/></LICENSEFILE>",
        "<LICENSEFILE><FEATURE NAME=\"a¦&b;\"/></LICENSEFILE>",
        "<LICENSEFILE><FEATURE NAME=\"¦&#1;\"/></LICENSEFILE>",
        "<LICENSEFILE><FEATURE NAME=\"a¦\u{1}\"/></LICENSEFILE>",
        "<LICENSEFILE>¦\u{ffff}</LICENSEFILE>",
        "¦<?xml version=\"1.1\"?><LICENSEFILE/>",
        "¦<?xml version=\"1.0\" encoding=\"latin1\"?><LICENSEFILE/>",
        "¦<?xml version=\"1.0\" colour=\"red\"?><LICENSEFILE/>",
        "\n¦<?xml version=\"1.0\"?><LICENSEFILE/>",
        "¦<!DOCTYPE LICENSEFILE><LICENSEFILE/>",
        "<LICENSEFILE>¦<?php x ?></LICENSEFILE>",
        "<LICENSEFILE><a><a><a><a><a><a><a>¦<a/></a></a></a></a></a></a></a></LICENSEFILE>",
    ] {
        broken(text);
    }
}

#[test]
fn a_closing_tag_that_does_not_fit_is_found() {
    let set = read("<LICENSEFILE>\n<FEATURE NAME=\"a\"></FEATURES>\n</LICENSEFILE>");
    let [problem] = set.problems.as_slice() else { panic!("{set:?}") };
    assert_eq!((problem.reason, problem.line), (Reason::BadXml, Some(2)), "{problem}");
    let set = read("<LICENSEFILE>\n<FEATURE NAME=\"a/></LICENSEFILE>");
    assert_eq!((set.licenses.len(), set.problems.len()), (0, 1), "a quote that is never closed: {set:?}");
}

#[test]
fn a_fault_that_leaves_the_file_well_formed_stops_no_other_feature() {
    let good = "<FEATURE NAME=\"a\"/>";
    for (text, reason) in [
        (format!("<LICENSEFILE>{good}<FEATURE NAME=\"b\">¦ten</FEATURE></LICENSEFILE>"), Reason::BadXml),
        (
            format!("<LICENSEFILE><FEATURE NAME=\"b\">\n  ¦<![CDATA[x]]></FEATURE>{good}</LICENSEFILE>"),
            Reason::BadXml,
        ),
        (format!("<LICENSEFILE><FEATURE NAME=\"b\">¦&amp;</FEATURE>{good}</LICENSEFILE>"), Reason::BadXml),
        (format!("<LICENSEFILE>{good} ¦text</LICENSEFILE>"), Reason::BadXml),
        (
            format!("<LICENSEFILE>{good}¦<EXTRA><FEATURE NAME=\"b\"/></EXTRA></LICENSEFILE>"),
            Reason::UnknownSetting,
        ),
        (format!("<LICENSEFILE ¦VERSION=\"1\">{good}</LICENSEFILE>"), Reason::UnknownSetting),
    ] {
        scratched(&text, reason);
    }
}

#[test]
fn comments_declarations_quotes_and_a_byte_order_mark_change_nothing() {
    let plain = read(
        "<LICENSEFILE><FEATURE NAME=\"cad\"><SETTING DATA=\"a&lt;&#x41;&quot;\"/></FEATURE></LICENSEFILE>",
    );
    let text = "\u{feff}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n<!-- x --><LICENSEFILE >\r\n<FEATURE \
                NAME = 'cad' ><!-- y -->\t<SETTING DATA='a&#60;A\"'></SETTING ></FEATURE></LICENSEFILE>\n<!-- z -->\n";
    let decorated = bytes(text.as_bytes());
    assert_eq!((plain.problems.len(), decorated.problems.len()), (0, 0), "{decorated:?}");
    assert_eq!(plain.licenses[0].fingerprint, decorated.licenses[0].fingerprint);
    assert_eq!(plain.licenses[0].carried.texts[1].as_deref(), Some("a<A\""));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_where_they_stand() {
    let set = bytes(b"<LICENSEFILE>\n<FEATURE NAME=\"\xff\"/></LICENSEFILE>");
    let problem = &set.problems[0];
    assert_eq!(
        (problem.reason, problem.line, problem.column),
        (Reason::BadXml, Some(2), Some(16)),
        "{problem}"
    );
    let set = bytes(b"\xff\xfe<\0L\0");
    assert!(set.problems[0].message.contains("UTF-16"), "{set:?}");
}

#[test]
fn files_of_other_license_managers_are_recognized() {
    let lmx = broken("¦FEATURE f2\n{\n  COUNT=5 KEY=1234\n}\n");
    assert!(lmx.contains("LM-X") && lmx.contains("sign"), "{lmx}");
    let lmx = broken("¦# LM-X license\nFEATURE f2\n{\n}\n");
    assert!(lmx.contains("LM-X"), "{lmx}");
    for text in [
        "¦SERVER lic01 ANY 27000\n",
        "¦INCREMENT cad acme 1.0 permanent 5 SIGN=0\n",
        "¦FEATURE cad acme 1.0 x 5\n",
    ] {
        let flex = broken(text);
        assert!(flex.contains("FlexNet") && flex.contains("sign"), "{flex}");
    }
    assert!(broken("¦hello").contains("not XML"));
}

#[test]
fn each_root_has_its_own_elements() {
    for (text, element) in [
        ("<RELEASES><RELEASE VERSION=\"1.0\" RELEASE_DATE=\"2026-01-01\"/></RELEASES>", "<RELEASE>"),
        ("<RELEASES><FEATURE NAME=\"a\"><CLIENT_HOSTID/></FEATURE></RELEASES>", "<CLIENT_HOSTID>"),
        ("<LICENSEFILE><FEATURE NAME=\"a\"><RELEASE VERSION=\"1.0\"/></FEATURE></LICENSEFILE>", "<RELEASE>"),
    ] {
        let set = read(text);
        let problem = set.problems.iter().find(|problem| problem.message.starts_with(element));
        assert_eq!(problem.map(|p| (p.reason, p.line)), Some((Reason::UnknownSetting, Some(1))), "{text}");
    }
}

#[test]
fn entity_bombs_are_refused_unopened() {
    let mut bomb = "<!DOCTYPE LICENSEFILE [<!ENTITY a0 \"ha\">".to_owned();
    for n in 1..50 {
        bomb.push_str(&format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)));
    }
    bomb.push_str("]><LICENSEFILE><FEATURE NAME=\"&a49;\"/></LICENSEFILE>");
    let started = Instant::now();
    let set = read(&bomb);
    assert_eq!((set.licenses.len(), set.problems.len(), set.problems[0].reason), (0, 1, Reason::BadXml));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_million_features_stop_at_the_limit_and_those_read_stay() {
    let mut text = String::from("<LICENSEFILE>");
    (0..1_000_000).for_each(|n| text.push_str(&format!("<FEATURE NAME=\"f{n}\"/>\n")));
    text.push_str("</LICENSEFILE>");
    assert!((text.len() as u64) < FILE_BYTES_MAX);
    let set = read(&text);
    assert_eq!(set.licenses.len(), FILE_FEATURES_MAX);
    assert!(set.licenses.iter().all(|license| license.refusal.is_none()));
    let [problem] = set.problems.as_slice() else { panic!("{:?}", set.problems) };
    assert_eq!((problem.reason, problem.line), (Reason::BadXml, Some(FILE_FEATURES_MAX as u32 + 1)));
}

#[test]
fn of_very_many_problems_the_first_hundred_are_told_and_the_rest_counted() {
    let mut text = String::from("<LICENSEFILE>\n");
    (0..2_500).for_each(|n| {
        text.push_str(&format!("<FEATURE NAME=\"f{n}\"><SETTING COUNT=\"0\" X=\"1\"/></FEATURE>\n"))
    });
    text.push_str("<FEATURE NAME=\"good\"/></LICENSEFILE>");
    let set = read(&text);
    assert_eq!(set.problems.len(), FILE_PROBLEMS_MAX + 1);
    let lines: Vec<u32> = set.problems.iter().filter_map(|problem| problem.line).collect();
    assert_eq!(lines, (2..52).flat_map(|line| [line, line]).collect::<Vec<u32>>(), "the first of the file");
    let last = set.problems.last().unwrap();
    assert!(last.message.contains("4900 more") && last.line.is_none(), "{last}");
    assert_eq!(
        set.licenses.iter().filter(|license| license.refusal.is_some()).count(),
        2_500,
        "each is refused"
    );
    assert_eq!(set.licenses.iter().filter(|license| license.refusal.is_none()).count(), 1);
}

#[test]
fn a_feature_with_endless_settings_is_refused_in_bounded_memory() {
    let text = format!(
        "<LICENSEFILE><FEATURE NAME=\"a\">{}</FEATURE><FEATURE NAME=\"b\"/></LICENSEFILE>",
        "<SETTING X=\"\"/>".repeat(500_000)
    );
    let set = read(&text);
    assert_eq!(set.problems.len(), FILE_PROBLEMS_MAX + 1);
    assert_eq!(set.licenses.iter().filter(|license| license.refusal.is_none()).count(), 1);
}

#[test]
fn an_element_with_endless_attributes_is_refused_in_bounded_memory() {
    let attributes: String = (0..1_000_000).map(|n| format!(" A{n}=\"\"")).collect();
    broken(&format!("<LICENSEFILE><FEATURE NAME=\"a\"><¦SETTING{attributes}/></FEATURE></LICENSEFILE>"));
}
