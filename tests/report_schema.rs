//! `docs/schema/status.json`, `docs/schema/denial.json` and the types of `report` say the same: names, types, what may be absent, what
//! may be null. What the daemon really prints is held to them in tests/agree.

#[path = "common/schema.rs"]
mod schema;

use chrono::NaiveDate;
use seatkeeper::report::*;
use serde::Serialize;
use serde_json::{Map, Value};

use schema::Schemas;

fn part(name: &str) -> (&'static str, Value) {
    let schemas = Schemas::read();
    // The denial of the wire is the details of the one that is printed.
    match name {
        "denial" => ("denial", schemas.part("denial", "details").clone()),
        name => ("status", schemas.part("status", name).clone()),
    }
}

fn valid(name: &str, value: &impl Serialize) -> Value {
    let value = serde_json::to_value(value).unwrap();
    let (of, schema) = part(name);
    assert_eq!(Schemas::read().check_by(of, &schema, &value, name), Ok(()));
    value
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2030, 6, 30).unwrap()
}

fn instant() -> Option<Instant> {
    Some(seatkeeper::clock::rfc3339(1_909_087_200_000))
}

fn text() -> Option<String> {
    Some("text".into())
}

fn license() -> License {
    License {
        feature: text(),
        vendor: text(),
        sn: text(),
        key_type: "UPGRADE".into(),
        count: Some(6),
        unlimited: false,
        version: text(),
        start: Some(day()),
        end: Some(day()),
        ends_at: instant(),
        state: "not_in_force".into(),
        reason: text(),
        message: text(),
        file: text(),
        line: Some(3),
        pool: Some(0),
        maintenance: Some(maintenance()),
        covers_until: Some(day()),
        terms: terms(),
        replaced_by: Some(ReplacedBy {
            feature: "cad".into(),
            from: Some(day()),
            sn: text(),
            file: text(),
            line: Some(7),
        }),
    }
}

fn maintenance() -> Maintenance {
    Maintenance {
        license_type: "SUBSCRIPTION".into(),
        state: "ACTIVE".into(),
        end: Some(day()),
        days_left: Some(-3),
        updates: text(),
        max_version: text(),
        fallback_version: text(),
        is_fallback: true,
        renewals: 2,
        first_checkout: Some(day()),
        contact: "ACME".into(),
    }
}

fn terms() -> Terms {
    Terms {
        share: vec!["HOST".into(), "CUSTOM".into()],
        soft_limit: Some(8),
        hold_seconds: Some(60),
        min_checkout_seconds: Some(30),
        user_based: Some("ALL".into()),
        host_based: Some("3".into()),
        borrow_hours: Some(24),
        not_lent: text(),
        grace_hours: Some(48),
        platforms: vec!["linux".into()],
        time_zones: vec![-5, 1],
        client_host_ids: vec![vec!["HOSTNAME=ws1".into()]],
        match_rate: Some(100),
        token_dependencies: vec![TokenDependency { feature: "mesh".into(), version: "1.0".into(), count: 2 }],
        renews: text(),
        replaces: Some("FEATURE=cad".into()),
    }
}

fn problem() -> Problem {
    Problem {
        file: text(),
        line: Some(3),
        column: Some(12),
        feature: text(),
        sn: text(),
        reason: "bad_value".into(),
        message: "m".into(),
    }
}

fn full_status() -> Status {
    let server = Server {
        name: "lic01".into(),
        version: "0.1.0".into(),
        started_at: instant(),
        time_zone: text(),
        today: Some(day()),
        next_midnight: instant(),
        clock: Some("ok".into()),
        clock_reset: Some(ClockReset {
            at: "2030-06-30T22:00:00Z".into(),
            by: "uid 0".into(),
            reason: "the clock said 2099".into(),
            from: day(),
            to: day(),
        }),
        key: text(),
        demo_key_trusted: true,
        recovering: true,
    };
    let pool = Pool {
        id: "1".into(),
        key_type: "EXCLUSIVE".into(),
        sn: text(),
        version: text(),
        numbers: numbers(),
        active: 2,
        held_until: instant(),
        soft_limit: Some(12),
        share: vec!["USER".into()],
        ends_at: instant(),
        maintenance: Some(maintenance()),
        highest_version: text(),
        highest_release_date: Some(day()),
        licenses: vec![license()],
    };
    let feature = Feature {
        version: text(),
        total: Some(16),
        base: Some(10),
        additives: 4,
        tokens: Some(2),
        free: Some(13),
        soft_limit: Some(12),
        share: vec!["HOST".into(), "VIRTUAL".into()],
        start: Some(day()),
        end: Some(day()),
        ends_at: instant(),
        next_change: Some(NextChange { day: day(), at: instant().unwrap(), total: Some(10) }),
        maintenance_ends: Some(day()),
        notices: vec![Notice {
            of: "license".into(),
            seats: Some(6),
            sn: text(),
            end: day(),
            days_left: -2,
            contact: "ACME".into(),
            message: "m".into(),
        }],
        denials_24h: Some(0),
        pools: vec![pool],
        ..Feature::default()
    };
    let session = Session {
        version: text(),
        release_date: text(),
        pid: Some(4711),
        address: text(),
        state: "active".into(),
        since: instant(),
        last_seen: instant(),
        suspect_since: instant(),
        free_at: instant(),
        reaped_at: instant(),
        borrowed_until: instant(),
        token: text(),
        display: text(),
        share: text(),
        ..Session::default()
    };
    Status {
        schema: SCHEMA,
        server: Some(server),
        features: Some(vec![feature, Feature { unlimited: true, ..Feature::default() }]),
        sessions: Some(vec![session, Session { state: "suspect".into(), ..Session::default() }]),
        borrowed: Some(vec![
            Borrow {
                install_id: "00ff".repeat(8),
                from: instant().unwrap(),
                until: instant().unwrap(),
                written_off: Some(WrittenOff { at: instant().unwrap(), ..WrittenOff::default() }),
                ..Borrow::default()
            },
            Borrow {
                install_id: "00ff".repeat(8),
                from: instant().unwrap(),
                until: instant().unwrap(),
                ..Borrow::default()
            },
        ]),
        queue: Some(vec![
            Waiter {
                features: vec![WaitedFor { vendor: text(), feature: "cad".into(), count: 2 }],
                place: 1,
                state: "waiting".into(),
                since: instant(),
                until: instant().unwrap(),
                pid: Some(4711),
                ..Waiter::default()
            },
            Waiter { place: 2, state: "gone".into(), until: instant().unwrap(), ..Waiter::default() },
        ]),
        licenses: Some(vec![license()]),
        problems: Some(vec![problem(), Problem::default()]),
    }
}

fn full_explain() -> Explain {
    let changed = ChangedLicense { sn: text(), state: "not_in_force".into(), reason: Some("expired".into()) };
    let total = PoolTotal { key_type: "ADDITIVE".into(), sn: text(), total: Some(4), unlimited: false };
    let change = Change {
        day: day(),
        at: instant().unwrap(),
        total: None,
        pools: vec![total, PoolTotal { key_type: "TOKEN".into(), ..PoolTotal::default() }],
        licenses: vec![changed],
    };
    let need = TokenNeed { feature: "mesh".into(), version: "1.0".into(), count: 2, ..TokenNeed::default() };
    let pool = PoolSum {
        key_type: "TOKEN".into(),
        version: text(),
        total: Some(16),
        base: Some(10),
        needs: vec![need],
        ..PoolSum::default()
    };
    Explain {
        schema: SCHEMA,
        feature: "cad".into(),
        vendor: "ACME".into(),
        today: day(),
        total: Some(16),
        base: Some(10),
        upgrades: 6,
        unlimited: false,
        pools: vec![pool, PoolSum { key_type: "EXCLUSIVE".into(), ..PoolSum::default() }],
        licenses: vec![
            License { feature: None, vendor: None, ..license() },
            License { pool: None, terms: Terms::default(), replaced_by: None, ..license() },
        ],
        changes: vec![change],
    }
}

fn numbers() -> Numbers {
    Numbers { total: Some(16), used: 16, free: Some(0), ..Numbers::default() }
}

fn full_denial() -> Denial {
    let place = Some(Place { file: "policy.toml".into(), line: 7, text: text() });
    let holder = Holder { since: instant(), ..Holder::default() };
    Denial {
        feature: text(),
        vendor: text(),
        wanted: Some(2),
        numbers: Some(numbers()),
        rule: place.clone(),
        limit: Some(Limit { whose: "user ann".into(), seats: 2, used: 2, rule: place.clone() }),
        borrow: Some(BorrowAtMost { hours: Some(48), last_day: Some(day()) }),
        needed_by: text(),
        queued_before_you: 2,
        others: vec![
            OtherPool { message: text(), key_type: "TOKEN".into(), ..OtherPool::default() },
            OtherPool { key_type: "ADDITIVE".into(), ..OtherPool::default() },
        ],
        place,
        due: Some(Due::InSeconds(35)),
        recovering: true,
        holders: Some(vec![holder, Holder::default()]),
        fault: text(),
        field: text(),
        session: text(),
        ended_at: instant(),
    }
}

fn full_why() -> Why {
    let rule = || Some(Place { file: "policy.toml".into(), line: 7, text: text() });
    let pool = WhyPool {
        id: "1".into(),
        key_type: "EXCLUSIVE".into(),
        place: Place { file: "cad.xml".into(), line: 3, text: text() },
        numbers: numbers(),
        code: Some("no_seats".into()),
        message: text(),
    };
    let held = HeldSeats { free_at: instant().unwrap(), ..HeldSeats::default() };
    Why {
        schema: SCHEMA,
        feature: "cad".into(),
        vendor: text(),
        user: "ann".into(),
        host: "ws7".into(),
        granted: false,
        pool: Some("1".into()),
        soft_limit: true,
        code: Some("limit_user".into()),
        message: text(),
        details: Some(full_denial()),
        rule: rule(),
        not_stated: vec!["platform".into()],
        access: "allow".into(),
        access_rule: rule(),
        limits: vec![Limit { whose: "user ann".into(), seats: 2, used: 2, rule: rule() }],
        reservations: vec![
            Reservation { rule: rule(), seats: 3, ..Reservation::default() },
            Reservation::default(),
        ],
        pools: vec![pool.clone(), WhyPool { code: None, message: None, ..pool }],
        holders: vec![Holder::default()],
        held: vec![held],
    }
}

/// As it is said of a feature that is not there.
fn empty_why() -> Why {
    Why {
        vendor: None,
        pool: None,
        code: None,
        message: None,
        details: None,
        rule: None,
        access_rule: None,
        not_stated: vec![],
        limits: vec![],
        reservations: vec![],
        pools: vec![],
        holders: vec![],
        held: vec![],
        ..full_why()
    }
}

fn full_update_check() -> UpdateCheck {
    let runs = UpdateAnswer {
        version: "1.0.1".into(),
        will_run: true,
        code: "GRANT".into(),
        reason: Some("OWNED".into()),
        seats_covered: None,
        seats_free: None,
        unlimited: true,
        ..UpdateAnswer::default()
    };
    let refused = UpdateAnswer {
        code: "maintenance_expired".into(),
        seats_covered: Some(0),
        seats_free: Some(0),
        maintenance_end: Some(day()),
        renew_to_at_least: Some(day()),
        message: text(),
        ..UpdateAnswer::default()
    };
    UpdateCheck {
        schema: SCHEMA,
        answers: vec![runs, refused],
        newest_that_will_run: text(),
        newest_offered: text(),
        installed_keeps_working: Some(true),
        seats: Some(15),
        maintenance: UpdateMaintenance { state: "EXPIRED".into(), end: Some(day()), days_left: Some(-86) },
        advice: "update_available".into(),
        ..UpdateCheck::default()
    }
}

/// As it is said where there is nothing to say.
fn empty_update_check() -> UpdateCheck {
    UpdateCheck {
        schema: SCHEMA,
        maintenance: UpdateMaintenance { state: "NONE".into(), ..UpdateMaintenance::default() },
        advice: "up_to_date".into(),
        ..UpdateCheck::default()
    }
}

fn full_reload() -> Reload {
    let change = TotalChange { old_total: Some(10), new_total: None, ..TotalChange::default() };
    Reload { schema: SCHEMA, files: 2, licenses: 5, changes: vec![change], problems: vec![problem()] }
}

fn full_host_ids() -> HostIds {
    let entry = HostEntry { kind: "HOSTNAME".into(), value: "lic01".into(), matches: true };
    let license = HostMatch { blocks: vec![vec![entry]], match_rate: 100, ..HostMatch::default() };
    let id = HostId { kind: "DMI".into(), value: None, note: text() };
    HostIds { schema: SCHEMA, host_ids: vec![id, HostId::default()], licenses: Some(vec![license]) }
}

#[test]
fn what_the_types_write_is_what_the_schema_says() {
    valid("status", &full_status());
    valid("status", &Status::default());
    let bare = Server { name: "lic01".into(), version: "0.1.0".into(), ..Server::default() };
    valid("status", &Status { server: Some(bare), ..Status::default() });
    valid("explain", &full_explain());
    valid("denial", &full_denial());
    valid("denial", &Denial::default());
    for due in [Due::At(instant().unwrap()), Due::Day(day())] {
        valid("denial", &Denial { due: Some(due), ..Denial::default() });
    }
    valid("why", &full_why());
    valid("why", &empty_why());
    valid("update_check", &full_update_check());
    valid("update_check", &empty_update_check());
    valid("reload", &full_reload());
    valid("host_ids", &full_host_ids());
}

#[test]
fn every_member_of_the_schema_is_written_by_the_types() {
    let schemas = Schemas::read();
    let mut due: Vec<Value> = vec![];
    for each in [Due::At(instant().unwrap()), Due::Day(day())] {
        due.push(valid("denial", &Denial { due: Some(each), ..Denial::default() }));
    }
    for (name, mut examples) in [
        ("status", vec![valid("status", &full_status())]),
        ("explain", vec![valid("explain", &full_explain())]),
        ("denial", vec![valid("denial", &full_denial())]),
        ("why", vec![valid("why", &full_why())]),
        ("update_check", vec![valid("update_check", &full_update_check())]),
        ("reload", vec![valid("reload", &full_reload())]),
        ("host_ids", vec![valid("host_ids", &full_host_ids())]),
    ] {
        if name == "denial" {
            examples.append(&mut due);
        }
        let examples: Vec<&Value> = examples.iter().collect();
        let (of, schema) = part(name);
        all_members_occur(&schemas, of, &schema, &examples, name);
    }
}

fn all_members_occur(schemas: &Schemas, of: &str, schema: &Value, values: &[&Value], at: &str) {
    let (of, schema) = schemas.definition(of, schema);
    if let Some(items) = schema.get("items") {
        let inner: Vec<&Value> = values.iter().filter_map(|v| v.as_array()).flatten().collect();
        assert!(!inner.is_empty(), "{at}: no example has an item");
        all_members_occur(schemas, of, items, &inner, at);
    }
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}.{name}");
        // The details of a denial are looked at where they stand alone.
        if at == "why.details" {
            continue;
        }
        // A license inside a feature leaves out what the feature says; the list has it.
        if at.contains("pools.licenses") || (at.contains("explain.licenses") && !at.ends_with("sn")) {
            continue;
        }
        let found: Vec<&Value> = values.iter().filter_map(|v| v.get(name)).collect();
        assert!(!found.is_empty(), "{at}: in the schema, but never written");
        all_members_occur(schemas, of, inner, &found, &at);
    }
}

#[test]
fn a_missing_member_or_another_type_is_found() {
    let schemas = Schemas::read();
    let (of, schema) = part("problem");
    let Value::Object(good) = serde_json::to_value(problem()).unwrap() else { panic!() };
    for name in good.keys() {
        let less: Map<String, Value> = good.clone().into_iter().filter(|(n, _)| n != name).collect();
        assert!(schemas.check_by(of, &schema, &Value::Object(less), "").is_err(), "{name}");
        let mut other = good.clone();
        other.insert(name.clone(), Value::Bool(true));
        assert!(schemas.check_by(of, &schema, &Value::Object(other), "").is_err(), "{name}");
    }
}

#[test]
fn every_schema_has_the_same_head() {
    let schemas = Schemas::read();
    for (name, schema) in schemas.all() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(schema["$id"], format!("urn:seatkeeper:schema:{name}:{SCHEMA}"));
        assert!(schema["title"].as_str().is_some_and(|title| title.starts_with("Seatkeeper: ")), "{name}");
        let description = schema["description"].as_str().expect(name);
        assert!(description.contains("Readers ignore members that they do not know"), "{name}");
        let (_, top) = schemas.definition(name, schema);
        let number = &top["properties"]["schema"];
        assert_eq!((&number["type"], &number["const"]), (&"integer".into(), &SCHEMA.into()), "{name}");
        assert!(top["required"].as_array().expect(name).contains(&"schema".into()), "{name}");
    }
    // And the folder has no other, and the page names each.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = Schemas::read().all().any(|(known, _)| format!("{known}.json") == name);
        assert!(known || name == "README.md", "{name} is checked by nobody");
        assert!(name == "README.md" || page.contains(&format!("[{name}]({name})")), "{name}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    fn there_and_back<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let mut json = serde_json::to_value(value).unwrap();
        assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), value);
        json["a_member_of_a_later_version"] = true.into();
        assert_eq!(&serde_json::from_value::<T>(json).unwrap(), value);
    }
    there_and_back(&full_status());
    there_and_back(&Status::default());
    there_and_back(&full_explain());
    there_and_back(&full_denial());
    there_and_back(&Denial::default());
    there_and_back(&Denial {
        numbers: Some(Numbers { unlimited: true, ..Numbers::default() }),
        ..Denial::default()
    });
    there_and_back(&full_why());
    there_and_back(&empty_why());
    there_and_back(&full_update_check());
    there_and_back(&empty_update_check());
    there_and_back(&full_reload());
    there_and_back(&full_host_ids());
}
