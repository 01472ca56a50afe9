//! Which denial a request gets, and what it says (S2 to S4, S10, S24), where a table says it better than a story.

#[path = "model/bridge.rs"]
mod bridge;
#[path = "model/cases.rs"]
mod cases;
mod driver;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;
#[path = "model/subject_naive.rs"]
mod subject_naive;
#[path = "model/subject_server.rs"]
mod subject_server;
#[path = "denials/table.rs"]
mod table;

use std::sync::Arc;

use driver::{LEASE_MS, Server, date, exclusive, facts, request, upgrade};
use seats::change::SessionId;
use seats::denial::{Code, Denial, Due};
use seats::license::{HostIdEntry, HostIdKind, License, LicenseVersion, Reason, TimeZones};
use seats::request::{Checkout, Facts, StatedHostId};

fn server(licenses: Vec<License>) -> Server {
    let mut server = Server::new(date("2030-01-01"), LEASE_MS);
    server.load(licenses);
    server.sweep(100);
    server
}

fn checkout(server: &mut Server, key: u64, facts: Facts, items: &[(&str, u32)]) -> Result<(), Box<Denial>> {
    let connection = server.connect();
    server.checkout(&request(key, facts, items), connection).1.map(|_| ())
}

/// S3: dates, host ids, platform, time zone, the release, seats: the first test that fails names the code.
#[test]
fn the_first_test_that_fails_names_the_code() {
    let mut zones = TimeZones(0);
    assert!(zones.insert(0));
    let host = HostIdEntry { kind: HostIdKind::Hostname, value: "ws7".into() };
    let strict = License {
        end: Some(date("2030-01-31")),
        client_host_ids: vec![vec![host]],
        platforms: vec!["linux".into()],
        time_zones: Some(zones),
        version: Some(LicenseVersion { major: 1, minor: 0 }),
        ..exclusive("cad", 1)
    };
    let mut server = server(vec![strict]);
    checkout(
        &mut server,
        1,
        Facts { release_version: Some("1.0".into()), ..facts("eve", "ws7") },
        &[("cad", 1)],
    )
    .expect("the only seat is free");
    let wrong =
        [Code::ClientHostMismatch, Code::Platform, Code::TimeZone, Code::VersionNotLicensed, Code::NoSeats];
    for (mended, code) in wrong.into_iter().enumerate() {
        let stated = Facts {
            platform: if mended > 1 { "linux-x86_64" } else { "macos-aarch64" }.into(),
            offset_minutes: if mended > 2 { 59 } else { 60 },
            release_version: Some(if mended > 3 { "1.0.9" } else { "1.1" }.into()),
            ..facts("ann", if mended > 0 { "ws7" } else { "ws8" })
        };
        let denial =
            checkout(&mut server, 2, stated, &[("cad", 1)]).expect_err("something is wrong each time");
        assert_eq!(denial.code, code, "{mended} faults mended: {}", denial.message);
    }
    server.begin_day(date("2030-02-01"));
    let denial = checkout(&mut server, 2, facts("ann", "ws8"), &[("cad", 1)]).expect_err("it is over");
    assert_eq!(denial.code, Code::Expired, "the dates come before everything else about a license");
    let denial = checkout(&mut server, 2, facts("ann", "ws8"), &[("cad", 0)]).expect_err("no count");
    assert_eq!(denial.code, Code::BadRequest, "and being well-formed before the dates");
}

/// L36: a duplicate never counts, so its START is no promise.
#[test]
fn a_duplicate_is_no_license_to_come() {
    let sold = |issued, start: Option<&str>, end: Option<&str>| License {
        sn: Some("one".into()),
        issued: Some(date(issued)),
        start: start.map(date),
        end: end.map(date),
        ..exclusive("cad", 10)
    };
    let corrected = sold("2029-06-01", None, Some("2029-12-31"));
    let mistaken = sold("2029-01-01", Some("2030-06-01"), None);
    let mut server = server(vec![corrected, mistaken]);
    let denial = checkout(&mut server, 1, facts("ann", "ws7"), &[("cad", 1)]).expect_err("it is over");
    assert_eq!(denial.code, Code::Expired, "{}", denial.message);
}

/// S2: remembered for the session's life plus an hour, however quiet the server is.
#[test]
fn a_request_key_is_spent_for_an_hour_and_no_longer() {
    let mut server = server(vec![exclusive("cad", 10)]);
    let connection = server.connect();
    let request = request(1, facts("ann", "ws7"), &[("cad", 1)]);
    server.checkout(&request, connection).1.expect("a seat is free");
    server.checkin(SessionId(1), None, connection).expect("its own");
    server.pass(3_599_999, &|_| true);
    let denial = server.checkout(&request, connection).1.expect_err("given back");
    assert_eq!(denial.code, Code::AlreadyRemoved);
    server.pass(1, &|_| true);
    server.checkout(&request, connection).1.expect("the hour is over");
    server.restart().expect("the same ledger");
}

/// S4, L39: with five in use of two, neither the first client that is lost nor the first upgrade frees a seat, but both.
#[test]
fn the_next_seat_is_due_when_one_is_free_and_not_before() {
    let coming = |count, sn, start| License { start: Some(date(start)), ..upgrade("cad", count, sn) };
    let licenses =
        || vec![exclusive("cad", 2), coming(3, "up1", "2030-05-01"), coming(1, "up2", "2030-06-01")];
    let mut server = server(vec![exclusive("cad", 5), exclusive("cam", 1)]);
    let take = |server: &mut Server, key, feature, count| {
        let connection = server.connect();
        server.checkout(&request(key, facts("ann", "ws7"), &[(feature, count)]), connection).1.expect("free");
        connection
    };
    let due = |server: &mut Server, count| {
        let denial = checkout(server, 9, facts("ben", "ws8"), &[("cad", count)]).expect_err("it is full");
        denial.subject.expect("about cad").due
    };
    let (three, two) = (take(&mut server, 1, "cad", 3), take(&mut server, 2, "cad", 2));
    let other = take(&mut server, 3, "cam", 1);
    server.load(licenses());
    assert_eq!(due(&mut server, 1), Some(Due::Day(date("2030-06-01"))), "five plus one is above five in use");
    server.disconnect(three);
    server.pass(2_000, &|id| id == two || id == other);
    assert_eq!(
        due(&mut server, 1),
        Some(Due::Day(date("2030-05-01"))),
        "two of two stay in use when the three may be given away; two of five then"
    );
    server.disconnect(two);
    assert_eq!(due(&mut server, 1), Some(Due::SuspectFree(5_000)), "the second resume window frees one");
    server.load(vec![exclusive("cad", 6)]);
    server.disconnect(other);
    assert_eq!(
        due(&mut server, 2),
        Some(Due::SuspectFree(3_000)),
        "one is free: the first window adds to it"
    );
    server.pass(3_000, &|_| true);
    assert_eq!(
        due(&mut server, 5),
        Some(Due::SuspectFree(2_000)),
        "four could be had: the second window adds to it"
    );
    server.pass(2_000, &|_| true);
    assert_eq!(due(&mut server, 7), None, "six could be had, and nothing comes");
}

/// S10: a bundle is resumed by its own number. What was never granted, or is no bundle, is unknown and not "removed".
#[test]
fn only_what_was_granted_and_is_gone_is_already_removed() {
    let mut server = server(vec![exclusive("cad", 10)]);
    let connection = server.connect();
    let two = request(1, facts("ann", "ws7"), &[("cad", 1), ("cad", 2)]);
    server.checkout(&two, connection).1.expect("free");
    server.checkin(SessionId(1), None, connection).expect("its own");
    let resume = |server: &mut Server, id| {
        server.resume(SessionId(id), &two.secret, &two.facts, connection).map_err(|denial| denial.code)
    };
    assert_eq!(resume(&mut server, 0), Err(Code::UnknownSession), "numbers begin at 1");
    assert_eq!(resume(&mut server, 1), Ok(None), "the bundle keeps its number");
    assert_eq!(resume(&mut server, 2), Err(Code::UnknownSession), "alive, under another number");
    assert_eq!(resume(&mut server, 3), Err(Code::UnknownSession), "never granted");
    server.checkin(SessionId(2), None, connection).expect("its own");
    assert_eq!(resume(&mut server, 1), Err(Code::AlreadyRemoved));
    assert_eq!(resume(&mut server, 2), Err(Code::AlreadyRemoved));
}

/// S4: the sentence speaks of the vendor that was asked for.
#[test]
fn another_vendors_refused_license_is_not_the_reason() {
    let of = |vendor, refusal| License { vendor: driver::name(vendor), refusal, ..exclusive("cad", 1) };
    let mut server = server(vec![of("ACME", None), of("BETA", driver::refused(Reason::BadSignature))]);
    let connection = server.connect();
    let mut ask = |vendor: &str| {
        let mut request = request(1, facts("ann", "ws7"), &[("cad", 1)]);
        request.items[0].vendor = Some(vendor.into());
        let denial = server.checkout(&request, connection).1.expect_err("not served");
        assert_eq!(denial.code, Code::UnknownFeature);
        denial.message
    };
    assert!(ask("BETA").contains("no license of cad was accepted"), "{}", ask("BETA"));
    assert!(ask("GAMMA").contains("there is one by ACME"), "{}", ask("GAMMA"));
    assert!(!ask("GAMMA").contains("BETA"), "a refused license is no offer: {}", ask("GAMMA"));
}

/// S21: only a server that took sessions over from a restart is recovering.
#[test]
fn a_server_that_took_nothing_over_is_not_recovering() {
    let mut server = server(vec![exclusive("cad", 1)]);
    let recovering = |server: &mut Server| {
        let denial = checkout(server, 9, facts("ben", "ws8"), &[("cad", 1)]).expect_err("it is full");
        denial.subject.expect("about cad").recovering
    };
    let on = server.connect();
    server.checkout(&request(1, facts("ann", "ws7"), &[("cad", 1)]), on).1.expect("free");
    server.disconnect(on);
    assert_eq!(server.ledger.next_deadline(), Some(900_000), "of the lost session, and none of a restart");
    assert!(!recovering(&mut server), "a lost session is no restart");
    server.restart().expect("the same ledger");
    assert!(recovering(&mut server));
    server.pass(LEASE_MS, &|_| true);
    checkout(&mut server, 10, facts("ben", "ws8"), &[("cad", 1)]).expect("nobody came back");
    assert_eq!(
        server.ledger.next_deadline(),
        Some(2 * LEASE_MS),
        "of ben alone: the lost one made room (S22)"
    );
}

/// L13: one CLIENT_HOSTID block is enough; of its entries HOSTID_MATCH_RATE percent, rounded down, must match, as those of
/// a server (L12).
#[test]
fn client_host_ids_match_by_block_and_by_rate() {
    use HostIdKind::{Custom, Ethernet, Hostname, IpAddress, Username};
    let block = |entries: &[(HostIdKind, &str)]| -> Vec<HostIdEntry> {
        entries.iter().map(|(kind, value)| HostIdEntry { kind: *kind, value: (*value).into() }).collect()
    };
    let three = block(&[(Hostname, "WS7.acme.example"), (Username, "ACME\\Ann"), (IpAddress, "10.1.2.3")]);
    let table = [
        // Rate, blocks, user, host, address; whether it matches.
        (100, vec![three.clone()], "ann", "ws7", "10.1.2.3", true),
        (100, vec![three.clone()], "ann", "ws7", "10.1.2.4", false),
        (66, vec![three.clone()], "ann", "ws7", "10.1.2.4", true),
        (99, vec![three.clone()], "ann", "ws7", "10.1.2.4", true),
        (99, vec![three.clone()], "eve", "ws7", "10.1.2.4", false),
        (33, vec![three.clone()], "eve", "ws8", "10.1.2.3", true),
        (67, vec![three.clone()], "eve", "ws8", "10.1.2.3", false),
        (99, vec![block(&[(Hostname, "ws7")])], "eve", "ws8", "10.1.2.3", false),
        (100, vec![block(&[(IpAddress, "::ffff:10.1.2.3")])], "eve", "ws8", "10.1.2.3", true),
        (100, vec![block(&[(Ethernet, "0011.2233.44aa")])], "ann", "ws7", "10.1.2.3", true),
        (1, vec![three.clone()], "eve", "ws8", "10.9.9.9", false),
        (0, vec![three.clone()], "eve", "ws8", "10.9.9.9", true),
        (100, vec![three.clone(), block(&[(Hostname, "ws8")])], "eve", "ws8", "10.9.9.9", true),
        // The same address, as a socket that listens on IPv6 sees it.
        (100, vec![block(&[(IpAddress, "10.1.2.3")])], "eve", "ws8", "::ffff:10.1.2.3", true),
        (100, vec![block(&[(IpAddress, "2001:db8::7")])], "eve", "ws8", "2001:db8:0::7", true),
        (100, vec![block(&[(Custom, "blue")])], "eve", "ws8", "10.9.9.9", true),
        (100, vec![block(&[(Custom, "Blue")])], "eve", "ws8", "10.9.9.9", false),
        (100, vec![block(&[(Ethernet, "00:11:22:33:44:AA")])], "ann", "ws7", "10.1.2.3", true),
        // The client states another.
        (100, vec![block(&[(Ethernet, "00:11:22:33:44:55")])], "ann", "ws7", "10.1.2.3", false),
        // No block locks to nobody; an empty one, which the reader refuses, lets nobody in.
        (100, vec![], "eve", "ws8", "10.9.9.9", true),
        (0, vec![vec![]], "ann", "ws7", "10.1.2.3", false),
    ];
    for (rate, blocks, user, host, address, expected) in table {
        let license = License { match_rate: rate, client_host_ids: blocks.clone(), ..exclusive("cad", 1) };
        let mut server = server(vec![license]);
        let address = Some(address.parse().expect("an address"));
        let state = |kind, value: &str| StatedHostId { kind, value: value.into() };
        let host_ids = vec![state(Custom, "blue"), state(Ethernet, "00:11:22:33:44:aa")];
        let stated = Facts { address, host_ids, ..facts(user, host) };
        let code = checkout(&mut server, 1, stated, &[("cad", 1)]).err().map(|denial| denial.code);
        let refused = (!expected).then_some(Code::ClientHostMismatch);
        assert_eq!(code, refused, "{rate} % of {blocks:?} for {user}@{host} {address:?}");
    }
}

/// S1: what is not well-formed is said before anything else, and takes nothing.
#[test]
fn a_request_that_is_not_well_formed_is_a_bad_request() {
    let mut server = server(vec![exclusive("cad", 10)]);
    let good = || request(1, facts("ann", "ws7"), &[("cad", 1)]);
    let longest = "x".repeat(256);
    let mut bad: Vec<(&str, Checkout)> = Vec::new();
    let mut with = |what, change: &dyn Fn(&mut Checkout)| {
        let mut request = good();
        change(&mut request);
        bad.push((what, request));
    };
    with("no feature", &|r| r.items.clear());
    with("65 features", &|r| r.items = vec![r.items[0].clone(); 65]);
    with("no seat", &|r| r.items[0].count = 0);
    with("2147483648 seats", &|r| r.items[0].count = 2_147_483_648);
    with("a long feature", &|r| r.items[0].feature = format!("{longest}x").into());
    with("a control character", &|r| r.items[0].vendor = Some("AC\u{7}ME".into()));
    with("a long user", &|r| {
        r.facts = Arc::new(Facts { user: format!("{longest}x").into(), ..facts("", "") })
    });
    with("a line break", &|r| r.facts = Arc::new(Facts { project: Some("a\nb".into()), ..facts("a", "b") }));
    with("a C1 control", &|r| r.facts = Arc::new(Facts { host: "w\u{85}".into(), ..facts("a", "b") }));
    for (what, request) in bad {
        let on = server.connect();
        let code = server.checkout(&request, on).1.map_err(|denial| denial.code);
        assert_eq!(code, Err(Code::BadRequest), "{what}");
    }
    let on = server.connect();
    let at_the_limit = Facts { user: longest.as_str().into(), ..facts("", "ws7") };
    let request = Checkout { facts: Arc::new(at_the_limit), ..request(2, facts("", ""), &[("cad", 1); 10]) };
    server.checkout(&request, on).1.expect("256 bytes and ten seats of ten are fine");
}
