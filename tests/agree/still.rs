//! At rest: one of everything, at an instant that does not pass.

use serde_json::Value;

use crate::common::require;
use crate::compare::{Local, assert_agree, differences, features, forget_what_moves, number, rules, text};
use crate::outputs::{Shows, Told};
use crate::real::until;
use crate::schema::Schemas;
use crate::world::{AFTER_MIDNIGHT, World};

/// Berlin's summer.
pub(crate) fn berlin() -> Local {
    Local { ahead: &[("2030-03-31T01:00:00Z", 120)], now: Some(AFTER_MIDNIGHT.into()) }
}

#[test]
fn every_output_says_the_same_of_everything_there_is() {
    if require("faketime").is_none() {
        return;
    }
    let world = World::of_everything();
    let told = world.reader.told();
    holds_what_it_should(&told);
    assert_eq!(rules::broken(&told), Vec::<String>::new());
    for shows in Shows::ALL {
        assert_agree(shows, &told, &world.reader.read(shows), &berlin());
    }
    // The lists are those of the status.
    let forget = |mut value: Value| {
        forget_what_moves(&mut value);
        value
    };
    let status = forget(told.status.clone());
    for list in ["features", "sessions"] {
        assert_eq!(forget(world.reader.json(&[list]))[list], status[list], "{list}");
    }
    let lent = world.reader.json(&["borrowed"]);
    let of = |feature: &Value| -> u64 {
        let all = lent["borrowed"].as_array().expect("a list").iter();
        all.filter(|b| b["feature"] == feature["name"]).map(|b| number(b, "count")).sum()
    };
    for feature in features(&told) {
        assert_eq!(number(feature, "borrowed"), of(feature), "{feature}");
    }
    // Nothing moved meanwhile: the last agrees with the first.
    assert_agree(Shows::Http, &world.reader.told(), &told.status.to_string(), &berlin());
}

/// So that none of it goes missing unnoticed.
fn holds_what_it_should(told: &Told) {
    let numbers = |vendor: &str, name: &str| {
        let is_it = |f: &&Value| text(f, "vendor") == vendor && text(f, "name") == name;
        let found: Vec<_> = features(told).filter(is_it).collect();
        assert_eq!(found.len(), 1, "{vendor}/{name}");
        ["used", "held", "reserved", "suspect", "borrowed", "queued", "over", "upgrades"]
            .map(|member| number(found[0], member))
    };
    assert_eq!(numbers("ACME", "cad"), [20, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(numbers("OTHER", "cad"), [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "viewer"), [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "desk"), [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "sim"), [7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "over"), [5, 0, 0, 0, 0, 0, 3, 0]);
    assert_eq!(numbers("ACME", "keep"), [1, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "lab"), [3, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(numbers("ACME", "away"), [2, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(numbers("ACME", "full"), [1, 0, 0, 0, 0, 2, 0, 0]);
    assert_eq!(numbers("ACME", "gone"), [3, 0, 0, 2, 0, 0, 0, 0]);
    assert_eq!(numbers("", "trial"), [1, 0, 0, 0, 0, 0, 0, 0]);
    let of = |name: &str, member: &str| {
        features(told).find(|f| text(f, "name") == name && text(f, "vendor") == "ACME").expect(name)[member]
            .clone()
    };
    assert_eq!((of("suite", "tokens"), of("suite", "total")), (3.into(), 0.into()));
    assert_eq!(
        (of("lapsed", "total"), of("later", "total"), of("forever", "unlimited")),
        (0.into(), 0.into(), true.into())
    );
    assert_eq!((of("cad", "denials_24h"), of("lapsed", "denials_24h")), (2.into(), 1.into()));
    // It has ended, and is told as it was; that its maintenance was renewed is no end of it.
    assert_eq!((of("lapsed", "end"), of("lapsed", "version")), ("2029-12-31".into(), "4.2".into()));
    assert_eq!((of("later", "end"), of("later", "version")), ("2031-12-31".into(), "4.2".into()));
    let states: Vec<&str> =
        told.licenses["licenses"].as_array().expect("a list").iter().map(|l| text(l, "state")).collect();
    assert!(["in_force", "waiting", "not_in_force"].iter().all(|state| states.contains(state)), "{states:?}");
    assert!(!told.status["problems"].as_array().expect("a list").is_empty());
}

/// Features with their numbers and dates, and nobody's name: the numbers are those that an administrator sees.
#[test]
fn who_sees_counts_only_sees_the_same_counts() {
    if require("faketime").is_none() {
        return;
    }
    let world = World::of_everything_for("counts");
    let list = |what: &str| world.reader.json_for_admin(&[what]);
    let whole = Told { status: list("status"), queue: list("queue"), licenses: list("licenses") };
    holds_what_it_should(&whole);
    let metrics = world.reader.read(Shows::Metrics);
    assert_eq!(differences(Shows::Metrics, &whole, &metrics, &berlin()), Vec::<String>::new());

    let mut status = world.reader.json(&["status"]);
    assert_eq!((&status["sessions"], &status["problems"]), (&Value::Null, &Value::Null));
    for (seen, of) in status["features"].as_array().expect("a list").iter().zip(features(&whole)) {
        for (member, value) in of.as_object().expect("an object") {
            // Who sells more is not told to everybody.
            let is_hidden = ["pools", "notices"].contains(&member.as_str());
            assert!(is_hidden || seen[member] == *value, "{member}: {value} and {seen}");
        }
    }
    assert_eq!(status["features"].as_array().map(Vec::len), Some(features(&whole).count()));
    // What is left out is nothing, and so is nothing shown of it.
    status["sessions"] = Value::Array(Vec::new());
    let told = Told { status, queue: serde_json::json!({"queue": []}), licenses: whole.licenses.clone() };
    let others = Shows::ALL.into_iter().filter(|shows| ![Shows::Http, Shows::Metrics].contains(shows));
    for shows in others {
        let text = world.reader.read(shows);
        assert_agree(shows, &told, &text, &berlin());
        for name in ["ann", "ws7", "zoe", "laptop"] {
            assert!(!text.contains(name), "{shows:?}: {text}");
        }
    }
}

/// The clock is set back by three days (S71): every output says so that has a word for it, and shows the same numbers.
#[test]
fn a_clock_that_is_behind_changes_no_number() {
    const BEHIND: &str = "2030-06-27T10:00:00Z";
    if require("faketime").is_none() {
        return;
    }
    let world = World::of_everything();
    world.wall.as_ref().expect("it has one").set(BEHIND);
    let told = until("the clock is suspect", || {
        let told = world.reader.told();
        (told.status["server"]["clock"] == "suspect").then_some(told)
    });
    assert_eq!(told.status["server"]["today"], "2030-07-01", "the day does not go back");
    holds_what_it_should(&told);
    let local = Local { now: Some(BEHIND.into()), ..berlin() };
    for shows in Shows::ALL {
        assert_agree(shows, &told, &world.reader.read(shows), &local);
    }
    assert!(world.reader.read(Shows::People).contains("clock: suspect; "));
    // Licenses with dates give no seat now, and the denial is one that the schema knows.
    let words = ["checkout", "OTHER/cad", "--version", "3.0", "--for", "0", "--json"];
    let (exit, text) = world.reader.try_run(&words, false);
    let line: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!((exit, line["code"].as_str()), (75, Some("clock_suspect")), "{text}");
    assert_eq!(Schemas::read().check("denial", &line), Ok(()), "{text}");
}
