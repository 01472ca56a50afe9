//! docs/VENDORS.md, as a vendor meets it: its templates and commands in their order, with the program that ships.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use seatkeeper::licenses::{Signatures, TrustedKey, read_files};
use seats::license::{License, LicenseType, Patches, StartTrigger, Updates};
use seats::maintenance::{Plan, Release, decide};

use super::common::require;

const TODAY: &str = "2027-02-10";

/// Every fenced block of the page: its language and its text.
fn blocks() -> Vec<(String, String)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/VENDORS.md")).unwrap();
    assert!(page.contains(TODAY), "the page says on which day it is");
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_owned(), text.join("\n") + "\n"));
        }
    }
    blocks
}

/// Does what the page says in an empty directory. Where a block of commands is followed by one of text, each line of that is
/// printed by them.
fn follow(faketime: &Path, work: &Path) {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_seatkeeper"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut printed = String::new();
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for (language, text) in blocks() {
        *counted.entry(language.clone()).or_default() += 1;
        match language.as_str() {
            "xml" => {
                let name = text.split("<!-- ").nth(1).and_then(|rest| rest.split(" -->").next());
                let name = name.filter(|name| name.ends_with(".xml")).unwrap_or_else(|| panic!("{text}"));
                fs::write(work.join(name), text).unwrap();
            }
            "sh" => {
                let output = Command::new(faketime)
                    .args(["-m", "-f", &format!("{TODAY} 12:00:00"), "sh", "-e", "-c", &text])
                    .current_dir(work)
                    .envs([
                        ("TZ", "UTC"),
                        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                        ("FAKETIME_DISABLE_SHM", "1"),
                    ])
                    // Nobody listens there.
                    .envs([("PATH", path.as_str()), ("SEATKEEPER_SERVER", "127.0.0.1:1")])
                    .output()
                    .unwrap();
                printed =
                    [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
                assert!(output.status.success(), "{text}\n{printed}");
                let is_check = text.contains("update-check");
                assert_eq!(printed.contains("cannot tell: ask the person"), is_check, "{printed}");
            }
            "text" => {
                for line in text.lines() {
                    assert!(printed.lines().any(|known| known == line), "{line}\nis not in\n{printed}");
                }
            }
            other => panic!("a block of {other}"),
        }
    }
    let least = [("sh", 10), ("text", 5), ("xml", 6)];
    for (language, number) in least {
        assert!(counted.get(language).is_some_and(|found| *found >= number), "{counted:?}");
    }
}

#[test]
fn the_page_for_vendors_does_what_it_says() {
    let Some(faketime) = require("faketime") else { return };
    let work = tempfile::tempdir().unwrap();
    follow(&faketime, work.path());
    let trusted = [TrustedKey::read(&work.path().join("acme-2026.pub")).unwrap()];
    let read = |file: &str| {
        let files = [(file.to_owned(), fs::read(work.path().join(file)).unwrap())];
        let set = read_files(&files, &trusted, Signatures::Required);
        assert_eq!(set.problems, [], "{file}");
        set
    };

    // Each case of rules 3, 6.15 says what it should.
    let sold = read("updates-signed.xml").licenses;
    let case = |name: &str| -> &License { sold.iter().find(|l| l.feature.as_str() == name).expect(name) };
    let end = |name: &str| case(name).carried.maintenance_end.map(|end| end.to_string());
    let given = |name: &str| case(name).carried.maintenance.clone().expect(name);
    let period = |name: &str| given(name).period.map(|period| (period.months, period.days));
    let version = |name: &str| case(name).version.map(|version| version.to_string());
    assert_eq!((end("none"), case("none").carried.maintenance.clone()), (None, None));
    assert_eq!((period("year"), given("year").updates), (Some((12, 0)), Updates::Major));
    assert_eq!((period("year-minor"), given("year-minor").updates), (Some((12, 0)), Updates::Minor));
    for (name, updates) in [("life", Updates::Major), ("life-minor", Updates::Minor)] {
        assert_eq!(case(name).carried.maintenance_end, Some(chrono::NaiveDate::MAX), "{name}");
        let stated = case(name).carried.maintenance.as_deref().map_or_else(Updates::default, |g| g.updates);
        assert_eq!(stated, updates, "{name}");
    }
    assert_eq!((version("up-to"), version("ahead")), (Some("2.5".into()), Some("1.5".into())));
    assert_eq!(period("plan"), Some((0, 365)));
    assert_eq!(given("activation").trigger, StartTrigger::FirstCheckout);
    assert_eq!(given("activation").start_by.map(|day| day.to_string()).as_deref(), Some("2027-12-31"));
    assert_eq!(
        (given("build-date").patches, end("build-date").as_deref()),
        (Patches::Date, Some("2027-03-31"))
    );
    assert_eq!(end("by-month").as_deref(), Some("2017-05-31"));
    assert_eq!(end("by-day").as_deref(), Some("2014-10-03"));
    assert_eq!(given("grace").grace_days, 60);
    assert_eq!(sold.len(), 13, "a case that is not checked here");

    let trial = read("trial.xml").licenses;
    assert_eq!(trial[0].license_type, LicenseType::Evaluation);
    let rented = read("cam.xml").licenses;
    assert_eq!(rented[0].carried.maintenance.as_deref().unwrap().fallback_version, Some(vec![2025, 3]));

    // And a license with what was bought since runs what the customer paid for.
    let license = read("cad-1041.xml").licenses.remove(0);
    let renewals = [read("renewal-2028.xml").licenses.remove(0), read("renewal-2030.xml").licenses.remove(0)];
    let today = TODAY.parse().unwrap();
    let runs = |date: &str, renewals: &[Arc<License>]| {
        let release = Release { version: Some("3.0"), date: Some(date), line: None };
        decide(&Plan::of(&license, renewals, None, today), today, release).is_ok()
    };
    assert!(runs("2027-04-01", &[]) && !runs("2027-04-02", &[]));
    assert!(runs("2030-04-01", &renewals) && !runs("2030-04-02", &renewals));
    assert_eq!(read("cad-releases.xml").releases[0].releases.len(), 3);
}
