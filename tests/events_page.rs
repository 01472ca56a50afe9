//! docs/EVENTS.md, docs/schema/events.json and the types of `events` say the same: kinds, fields, what may be absent or null, and
//! what a reader of counts does not see (S84).

#[path = "common/schema.rs"]
mod schema;

use std::collections::BTreeSet;

use seatkeeper::config::Readers;
use seatkeeper::events::what::*;
use serde_json::{Map, Value};

use schema::Schemas;

const PAGE: &str = include_str!("../docs/EVENTS.md");
/// What every event has.
const COMMON: [&str; 4] = ["seq", "run", "at", "kind"];
/// What must not reach a reader of counts, wherever it stands.
const SECRETS: [&str; 5] = ["ann", "ws7", "192.0.2.7", "SN-1", "acme.xml"];

fn who() -> Who {
    let text = |text: &str| Some(text.to_owned());
    Who {
        user: text("ann"),
        host: text("ws7"),
        address: text("192.0.2.7"),
        pid: Some(4711),
        project: text("wing"),
    }
}

fn release() -> Release {
    Release { release_version: Some("4.2".into()), release_date: Some("2030-05-02".into()) }
}

fn seats() -> Seats {
    Seats {
        session: "101".into(),
        bundle: "100".into(),
        vendor: "ACME".into(),
        feature: "cad".into(),
        key_type: "ADDITIVE".into(),
        sn: Some("SN-1".into()),
        seats: 2,
        token: Some("100".into()),
        borrow: true,
        release: release(),
        who: who(),
    }
}

fn maintenance() -> Maintenance {
    Maintenance {
        of: "license".into(),
        vendor: "ACME".into(),
        feature: "cad".into(),
        seats: Some(16),
        sn: Some("SN-1".into()),
        end: day().into(),
        days_left: Some(-3),
        contact: Some("sales@acme.example".into()),
        text: Some("Maintenance for cad (SN-1) ends soon.".into()),
    }
}

fn day() -> chrono::NaiveDate {
    "2030-06-30".parse().unwrap()
}

fn instant() -> String {
    "2030-06-30T22:00:00Z".into()
}

/// Every kind with every field that it can have.
fn full() -> Vec<What> {
    let text = |text: &str| Some(text.to_owned());
    let features = || vec![Wanted { vendor: text("ACME"), feature: "cad".into(), seats: 2 }];
    let numbers = Numbers { total: Some(2), used: 2, free: Some(0), held: 0, reserved: 0 };
    vec![
        SessionGranted {
            of: seats(),
            until: Some(instant()),
            waiter: text("99"),
            above_soft_limit: true,
            notice: text("grace"),
        }
        .into(),
        SessionEnded {
            of: seats(),
            cause: "released".into(),
            since: Some(instant()),
            held_ms: 1,
            by: text("ann"),
            reason: text("ann left"),
        }
        .into(),
        SessionReduced { of: seats(), remaining: 1, since: Some(instant()), held_ms: 1 }.into(),
        SessionDenied {
            code: "denied_by_rule".into(),
            message: text("acme.xml:4: ann may not"),
            vendor: text("ACME"),
            feature: "cad".into(),
            wanted: 2,
            borrow: false,
            numbers: Some(numbers),
            release: release(),
            who: who(),
        }
        .into(),
        QueueWaiting {
            waiter: "99".into(),
            features: features(),
            waits_ms: 9,
            release: release(),
            who: who(),
        }
        .into(),
        QueueEnded {
            waiter: "99".into(),
            features: features(),
            cause: "served".into(),
            waited_ms: 9,
            release: release(),
            who: who(),
        }
        .into(),
        BorrowReturned { of: seats(), cause: "borrow_ended".into(), until: instant(), written_off: true }
            .into(),
        BorrowWrittenOff { of: seats(), until: Some(instant()), by: text("ann"), reason: text("ws7 fell") }
            .into(),
        PoolChanged {
            vendor: "ACME".into(),
            feature: "cad".into(),
            key_type: "ADDITIVE".into(),
            sn: text("SN-1"),
            old_total: Some(10),
            new_total: None,
            reason: text("additive SN-1 active"),
        }
        .into(),
        LicensesReloaded { files: 1, licenses: 2, problems: 3 }.into(),
        LicensesProblem {
            file: "acme.xml".into(),
            line: Some(3),
            column: Some(12),
            feature: text("cad"),
            sn: text("SN-1"),
            reason: "bad_value".into(),
            message: "COUNT is no number".into(),
        }
        .into(),
        PolicyReloaded { rules: 3, groups: 1 }.into(),
        PolicyRefused { errors: 1, message: text("acme.xml:1:1: ann?") }.into(),
        DayServed { day: day() }.into(),
        ClockChanged { before: "ok".into(), clock: "suspect".into(), shows: day(), day: day() }.into(),
        AdminAction {
            action: "release".into(),
            by: "uid 0 (pid 1)".into(),
            session: text("101"),
            features: features(),
            reason: text("ann left"),
        }
        .into(),
        ServerStarted { name: "lic01".into(), version: "0.1.0".into(), time_zone: "UTC".into(), sessions: 3 }
            .into(),
        ServerStopping { by: text("ann") }.into(),
        MaintenanceExpiringSoon(maintenance()).into(),
        MaintenanceEnded(maintenance()).into(),
        MaintenanceRenewed(maintenance()).into(),
        MaintenanceStarted(maintenance()).into(),
    ]
}

/// Every kind with as little as it can have.
fn least() -> Vec<What> {
    fn of<T: Default + Into<What>>() -> What {
        T::default().into()
    }
    vec![
        of::<SessionGranted>(),
        of::<SessionEnded>(),
        of::<SessionReduced>(),
        of::<SessionDenied>(),
        of::<QueueWaiting>(),
        of::<QueueEnded>(),
        of::<BorrowReturned>(),
        of::<BorrowWrittenOff>(),
        of::<PoolChanged>(),
        of::<LicensesReloaded>(),
        of::<LicensesProblem>(),
        of::<PolicyReloaded>(),
        of::<PolicyRefused>(),
        of::<DayServed>(),
        of::<ClockChanged>(),
        of::<AdminAction>(),
        of::<ServerStarted>(),
        of::<ServerStopping>(),
        of::<MaintenanceExpiringSoon>(),
        of::<MaintenanceEnded>(),
        of::<MaintenanceRenewed>(),
        of::<MaintenanceStarted>(),
    ]
}

fn event(what: What) -> Event {
    Event { seq: 7, run: "ab".into(), at: "2030-06-30T22:00:00.250Z".into(), unix_ms: 0, what }
}

fn json(what: What) -> Map<String, Value> {
    match serde_json::to_value(event(what)).unwrap() {
        Value::Object(members) => members,
        other => panic!("{other}"),
    }
}

fn fields(what: What) -> BTreeSet<String> {
    json(what).into_iter().map(|(name, _)| name).filter(|name| !COMMON.contains(&name.as_str())).collect()
}

/// A section of the page: kind, whether counts see it, and its rows: name, type, whether counts do not see it.
struct Section {
    kind: String,
    is_hidden: bool,
    rows: Vec<(String, String, bool)>,
}

fn sections() -> Vec<Section> {
    let read = |section: &str| {
        let (kind, rest) = section.split_once('\n').unwrap();
        let cells = |line: &str| line.strip_prefix("| ")?.strip_suffix(" |").map(|l| l.to_owned());
        let row = |line: String| {
            let mut cells = line.split(" | ");
            let (name, kind) = (cells.next()?.to_owned(), cells.next()?.to_owned());
            (name != "field").then(|| (name, kind, line.ends_with("`*`")))
        };
        let rows = rest.lines().filter_map(cells).filter_map(row).collect();
        Section { kind: kind.to_owned(), is_hidden: rest.contains("Not for readers of counts."), rows }
    };
    PAGE.split("\n### ").skip(1).map(read).collect()
}

#[test]
fn the_page_has_every_kind_with_every_field() {
    let sections = sections();
    let kinds: Vec<&str> = sections.iter().map(|s| s.kind.as_str()).collect();
    assert_eq!(kinds, What::KINDS);
    for ((section, full), least) in sections.iter().zip(full()).zip(least()) {
        assert_eq!((full.kind(), least.kind()), (section.kind.as_str(), section.kind.as_str()));
        let rows = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
            section.rows.iter().filter(|(_, kind, _)| wanted(kind)).map(|(name, ..)| name.clone()).collect()
        };
        assert_eq!(rows(&|_| true), fields(full), "{}", section.kind);
        assert_eq!(rows(&|kind| !kind.starts_with("optional ")), fields(least.clone()), "{}", section.kind);
        for (name, value) in json(least) {
            let row = section.rows.iter().find(|(row, ..)| *row == name);
            if let Some((_, kind, _)) = row.filter(|_| value.is_null()) {
                assert!(kind.ends_with(" or null"), "{}: {name} is null", section.kind);
            }
        }
    }
}

#[test]
fn a_reader_of_counts_sees_what_the_page_says_and_no_names() {
    for (section, full) in sections().iter().zip(full()) {
        let all = fields(full.clone());
        assert_eq!(event(full.clone()).redacted(Readers::Admin), None);
        assert_eq!(event(full.clone()).redacted(Readers::All), Some(event(full.clone())));
        let seen = event(full).redacted(Readers::Counts);
        assert_eq!(seen.is_none(), section.is_hidden, "{}", section.kind);
        let Some(seen) = seen else { continue };
        let text = serde_json::to_string(&seen).unwrap();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{}: {secret} in {text}", section.kind);
        }
        let left = fields(seen.what);
        let gone: BTreeSet<String> = all.difference(&left).cloned().collect();
        let marked: BTreeSet<String> =
            section.rows.iter().filter(|(.., hidden)| *hidden).map(|(name, ..)| name.clone()).collect();
        assert_eq!(gone, marked, "{}", section.kind);
    }
}

#[test]
fn the_schema_describes_every_event() {
    let schemas = Schemas::read();
    let schema = schemas.whole("events");
    let kinds: Vec<String> = schema["$defs"]["event"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["$ref"].as_str().unwrap().trim_start_matches("#/$defs/").to_owned())
        .collect();
    assert_eq!(kinds, What::KINDS);
    for (full, least) in full().into_iter().zip(least()) {
        let kind = full.kind();
        let of = &schema["$defs"][kind];
        let is = |value: &Value| schemas.check_by("events", of, value, kind);
        assert_eq!(is(&Value::Object(json(full.clone()))), Ok(()));
        let seen = event(full.clone()).redacted(Readers::Counts);
        seen.iter().for_each(|seen| assert_eq!(is(&serde_json::to_value(seen).unwrap()), Ok(())));
        // No member that no event has, none that is required and may be absent.
        let properties = of["properties"].as_object().unwrap().keys().cloned();
        let known: BTreeSet<String> = properties.filter(|name| !COMMON.contains(&name.as_str())).collect();
        assert_eq!(known, fields(full), "{kind}");
        let required = of["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let always: BTreeSet<String> = required.filter(|n| !COMMON.contains(n)).map(str::to_owned).collect();
        assert_eq!(always, fields(least), "{kind}");
    }
    let list = EventList { schema: 1, run: "ab".into(), last: 7, missed: 3, events: Vec::new() };
    assert_eq!(schemas.check("events", &serde_json::to_value(list).unwrap()), Ok(()));
}

#[test]
fn an_event_survives_being_written_and_read() {
    for what in full().into_iter().chain(least()) {
        let before = event(what);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), before, "{text}");
        assert!(before.what.features().iter().all(|(_, feature)| before.what.is_about(None, feature)));
    }
}
