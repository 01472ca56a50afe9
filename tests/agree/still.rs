//! At rest: one of everything, at an instant that does not pass.

use crate::common::require;
use crate::compare::{Local, assert_agree, features, forget_what_moves, number, rules, text};
use crate::outputs::{Shows, Told};
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
    let forget = |mut value: serde_json::Value| {
        forget_what_moves(&mut value);
        value
    };
    let status = forget(told.status.clone());
    for list in ["features", "sessions"] {
        assert_eq!(forget(world.reader.json(&[list]))[list], status[list], "{list}");
    }
    let lent = world.reader.json(&["borrowed"]);
    let of = |feature: &serde_json::Value| -> u64 {
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
        let is_it = |f: &&serde_json::Value| text(f, "vendor") == vendor && text(f, "name") == name;
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
