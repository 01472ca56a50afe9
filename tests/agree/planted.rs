//! A test that finds nothing proves nothing: each number of each output is changed by one, and each change must be found.

use crate::common::require;
use crate::compare::{MOVING, differences};
use crate::outputs::Shows;
use crate::still::berlin;
use crate::world::World;

/// Numbers that the status does not have, or that say nothing of seats: what the line that they stand in contains.
const OF_ITS_OWN: [(Shows, &[&str]); 7] = [
    (Shows::People, &["releases that run", "ends soon"]),
    (Shows::Http, &[]),
    (Shows::Metrics, &["# "]),
    (Shows::Licstat, &["as answered by", "LM-X License Server on"]),
    (Shows::LicstatXml, &["<?xml", "<LICENSE_PATH"]),
    (
        Shows::Lmstat,
        &["as answered by", "License server status: ", ": license server UP", "Vendor daemon status"],
    ),
    (
        Shows::Inventory,
        &["as answered by", "status on", "license server", "License server", "Vendor daemon", ": UP v"],
    ),
];

#[test]
fn a_number_that_is_another_is_found_in_every_output() {
    if require("faketime").is_none() {
        return;
    }
    let world = World::of_everything();
    let told = world.reader.told();
    for (shows, own) in OF_ITS_OWN {
        let text = world.reader.read(shows);
        assert_eq!(differences(shows, &told, &text, &berlin()), Vec::<String>::new());
        let mut changed = 0;
        for (from, to) in numbers(&text, shows) {
            let line_from = text[..from].rfind('\n').map_or(0, |at| at + 1);
            let line = text[line_from..].lines().next().unwrap_or_default();
            let is_seatless =
                own.iter().any(|mark| line.contains(mark)) || is_of_no_table(shows, &text, from);
            if is_seatless || is_of_a_server_alone(shows, line) || moves_with_the_clock(shows, &text, from) {
                continue;
            }
            let number: u128 = text[from..to].parse().expect("digits");
            let other = format!("{}{}{}", &text[..from], number + 1, &text[to..]);
            assert!(
                !differences(shows, &told, &other, &berlin()).is_empty(),
                "{shows:?}: {number} may be one more in {line:?}"
            );
            changed += 1;
        }
        println!("{shows:?}: {changed} numbers");
        assert!(changed > 40, "{shows:?}: only {changed} numbers were changed");
    }
}

/// Runs of digits.
fn numbers(text: &str, shows: Shows) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut from = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_ascii_digit(), from) {
            (true, None) => from = Some(at),
            (false, Some(begin)) => {
                all.push((begin, at));
                from = None;
            }
            _ => {}
        }
    }
    // The same document: some of it is enough, for each is a document to be read.
    if shows == Shows::Http { all.into_iter().step_by(7).collect() } else { all }
}

/// What people read beside the table.
fn is_of_no_table(shows: Shows, text: &str, at: usize) -> bool {
    let table = text.find("\n\n").map_or(0, |from| from + 2);
    let end = text[table..].find("\n\n").map_or(text.len(), |length| table + length);
    shows == Shows::People && !(table..end).contains(&at)
}

/// What the server counts of its own work, and which no status has.
fn is_of_a_server_alone(shows: Shows, line: &str) -> bool {
    const SHARED: [&str; 6] = [
        "seatkeeper_feature_",
        "seatkeeper_licenses",
        "seatkeeper_sessions ",
        "seatkeeper_clock_suspect ",
        "seatkeeper_midnight_timestamp_seconds ",
        "seatkeeper_build_info",
    ];
    shows == Shows::Metrics && !SHARED.iter().any(|family| line.starts_with(family))
}

/// An instant that is reckoned from now: not compared.
fn moves_with_the_clock(shows: Shows, text: &str, at: usize) -> bool {
    let member = text[..at].rsplit('"').nth(2).unwrap_or_default();
    shows == Shows::Http && MOVING.contains(&member)
}
