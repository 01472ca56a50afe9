//! The page says the numbers of the status: of every kind of feature, after whatever clients did.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::common::{Random, seed};
use crate::real::client::{asking, facts};
use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::real::{PATIENCE, within};
use crate::{open, start};

const USERS: [&str; 4] = ["ann", "bob", "cy", "dora"];
/// What they ask for. Of the others each shows one thing that must be there.
const FEATURES: [&str; 4] = ["cad", "kept", "open", "sim"];

/// A row, and the flags in it that are numbers, as the status has them.
fn expected(f: &Value) -> String {
    let number = |name: &str| f[name].as_u64().unwrap_or(0);
    let some = |words: &[(&str, &str)]| -> Vec<String> {
        let shown = words.iter().filter(|(member, _)| number(member) > 0);
        shown.map(|(member, word)| format!("{} {word}", number(member))).collect()
    };
    let mut parts = match (f["tokens"].as_u64(), f["unlimited"].as_bool()) {
        (Some(1), _) => vec!["1 token out".to_owned()],
        (Some(tokens), _) => vec![format!("{tokens} tokens out")],
        (None, Some(true)) => vec![format!("{} in use, without limit", number("used"))],
        (None, _) => vec![format!("{} of {} in use", number("used"), number("total"))],
    };
    let absent = some(&[("suspect", "suspect"), ("borrowed", "borrowed")]);
    if !absent.is_empty() {
        parts[0] += &format!(" ({})", absent.join(", "));
    }
    parts.extend(some(&[("held", "held"), ("reserved", "reserved")]));
    if f["tokens"].is_null() && f["unlimited"] == false {
        parts.push(format!("{} free", number("free")));
    }
    let flags = some(&[("over", "over the total"), ("queued", "waiting"), ("denials_24h", "denied in 24 h")]);
    format!("{} | {}", parts.join(" · "), flags.join(", "))
}

#[test]
fn the_page_says_what_the_status_says_after_whatever_clients_did() {
    let suite = "  <FEATURE NAME=\"suite\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=sim VERSION=1.0 COUNT=2\"/>\n  </FEATURE>\n";
    let site = Site::with(&[
        feature("cad", "VERSION=\"9.9\" COUNT=\"4\""),
        upgrade("cad", 2, ""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" COUNT=\"3\" SN=\"more\" VERSION=\"9.9\""),
        feature("keep", "COUNT=\"3\" HOLD=\"3600\""),
        exclusive("kept", 5),
        feature("open", "COUNT=\"UNLIMITED\""),
        feature("sim", "COUNT=\"7\""),
        exclusive("full", 2),
        exclusive("gone", 2),
        suite.to_owned(),
    ]);
    site.drop_signed("over.xml", &[exclusive("over", 5)]);
    let policy = "[[rule]]\nfeature = \"kept\"\nreserve = 2\nfor = { users = [\"boss\"] }\n";
    fs::write(site.path().join("policy.toml"), policy).expect("a policy");
    site.configure("policy = \"policy.toml\"");
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };

    let mut client = daemon.connect();
    client.checkout(&[("over", 4)]).expect("a grant");
    site.drop_signed("over.xml", &[exclusive("over", 3)]);
    client.checkout(&[("suite", 1)]).expect("a grant");
    let held = client.checkout(&[("keep", 2)]).expect("a grant");
    client.give_back(&held);
    client.checkout(&[("full", 2)]).expect("a grant");
    let mut waiting = asking(&[("full", 1)]);
    (waiting.wait_seconds, waiting.facts) = (Some(600), facts("eve"));
    client.send(&waiting).expect("it is sent");
    client.checkout(&[("kept", 9)]).expect_err("there are five");
    daemon.connect().checkout(&[("gone", 1)]).expect("a grant");

    let seed = seed();
    let mut random = Random(seed);
    let mut clients: Vec<_> = USERS.iter().map(|user| (daemon.connect(), *user, Vec::new())).collect();
    for _ in 0..300 {
        let (client, user, held) = &mut clients[below(&mut random, USERS.len())];
        if below(&mut random, 2) == 0 && !held.is_empty() {
            client.give_back(&held.swap_remove(below(&mut random, held.len())));
            continue;
        }
        let seats = u32::try_from(random.within(1, 3)).expect("small");
        let mut asked = asking(&[(*random.one_of(&FEATURES), seats)]);
        asked.facts = facts(user);
        held.extend(client.checkout_again(&asked).expect("the connection lives").map(|(held, _)| held));
    }
    let rows = "Object.fromEntries([...document.querySelectorAll('.feature')].map((row) => [\
         row.querySelector('.name').textContent, row.querySelector('.numbers').textContent + ' | ' + \
         [...row.querySelectorAll('.flag')].map((flag) => flag.textContent)\
         .filter((text) => /over the total|waiting|denied/.test(text)).join(', ')]))";
    let mut last = (BTreeMap::new(), Value::Null);
    let status = within(PATIENCE, || {
        let status = page.eval("fetch('api/v1/status').then((answer) => answer.json())");
        let there: BTreeMap<String, String> = (status["features"].as_array()?.iter())
            .map(|f| (f["name"].as_str().expect("a name").to_owned(), expected(f)))
            .collect();
        last = (there, page.eval(rows));
        let (there, here) = &last;
        let says = |(name, row): (&String, &String)| here[name] == row.as_str();
        let is_same = here.as_object().is_some_and(|here| here.len() == there.len());
        (is_same && there.iter().all(says)).then_some(status)
    });
    let status = status.unwrap_or_else(|| panic!("SEATKEEPER_SEED={seed}: {:#?} {:#}", last.0, last.1));
    // It was worth comparing.
    let features = status["features"].as_array().expect("features");
    for member in ["used", "free", "held", "reserved", "suspect", "queued", "denials_24h", "tokens", "over"] {
        assert!(features.iter().any(|f| f[member].as_u64() > Some(0)), "no {member}: {status:#}");
    }
    page.assert_clean(http);
}

fn below(random: &mut Random, n: usize) -> usize {
    usize::try_from(random.bits() % n as u64).expect("below it")
}
