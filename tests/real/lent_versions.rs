//! Programs that are updated while their seat is borrowed, judged offline by what the token carries (rules 3, 6.12): the daemon, the
//! vendor's tools and the command line that ship, under libfaketime.

use std::fs;
use std::process::{Command, Output};

use wire::BorrowToken;
use wire::borrow::{Days, Lent};
use wire::request::Checkout;

use crate::borrow::{borrow, borrowing, denied, locked, server_key};
use crate::common::require;
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::site::Site;
use crate::shown::seatkeeper;

const MONDAY: &str = "2030-06-10T09:00:00Z";

fn start(site: &Site, clock: &FakeClock) -> Daemon {
    clock.lead(Start::of(site).arg("--time-zone").arg("UTC")).ready(site)
}

/// A borrow by a program that says this of itself.
fn asked(name: &str, hours: u32, version: &str, released: &str) -> Checkout {
    let mut asked = borrowing(&[(name, 1)], hours);
    asked.facts.release_version = Some(version.into());
    asked.facts.release_date = Some(released.into());
    asked
}

fn lent(token: &[u8]) -> (Lent, Days) {
    let lent = BorrowToken::from_bytes(token).expect("a token").lent;
    let days = Days::of(&lent).expect("days").expect("a server of today says them");
    (lent, days)
}

/// The vendor sells a year more than the license file has.
fn renew(site: &Site, clock: &FakeClock, file: &str) {
    let license = format!("licenses/{file}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command
        .args(["vendor", "renew", "--key", "vendor/acme-1.key", "--license", &license, "--period", "P1Y"])
        .args(["--basis", "FROM_EXPIRY", "-o", "renewal.xml"])
        .env("TZ", "UTC")
        .current_dir(site.path());
    clock.lead_command(&mut command);
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let renewal = fs::read(site.path().join("renewal.xml")).expect("the renewal");
    site.drop_file("renewal.xml", &renewal);
}

/// Four seats of cad 1.0 with maintenance to the end of 2028, and a renewal to the end of 2029.
fn office(clock_at: &str) -> (Site, FakeClock, Daemon) {
    let site = Site::new();
    let key = server_key(&site);
    let settings = "COUNT=\"4\" SN=\"7\" VERSION=\"1.0\" MAINTENANCE_END=\"2028-12-31\" BORROW=\"168\"";
    site.drop_signed("cad.xml", &[locked(&key, "cad", settings)]);
    let clock = FakeClock::new(&site, clock_at);
    renew(&site, &clock, "cad.xml");
    let daemon = start(&site, &clock);
    (site, clock, daemon)
}

/// The command line on ann's laptop.
fn laptop(site: &Site, clock: &FakeClock, server: &str, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command
        .args(words)
        .env("XDG_STATE_HOME", site.path().join("laptop"))
        .env("USER", "ann")
        .env("TZ", "UTC")
        .env("SEATKEEPER_SERVER", server)
        .current_dir(site.path());
    clock.lead_command(&mut command);
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

#[test]
fn an_update_on_the_journey_runs_as_far_as_maintenance_goes() {
    if require("faketime").is_none() {
        return;
    }
    let (site, clock, mut daemon) = office(MONDAY);
    let key = site.path().join("vendor/acme-1.pub").display().to_string();
    let server = daemon.address().to_string();
    let words =
        ["borrow", "cad", "--hours", "48", "--trust", &key, "--version", "1.4", "--released", "2029-06-01"];
    let (code, out, error) = laptop(&site, &clock, &server, &words);
    assert!(code == 0 && out.contains("borrowed until"), "{out}{error}");
    // Nobody there any more, neither renewal nor server.
    daemon.kill();
    let run = |version: &str, released: &str| {
        let words =
            ["run", "cad", "--trust", &key, "--version", version, "--released", released, "--", "echo", "up"];
        laptop(&site, &clock, &server, &words)
    };
    for (version, released) in
        [("1.4", "2029-06-01"), ("1.5", "2029-12-31"), ("2.0", "2029-12-31"), ("1.0.9", "2030-06-01")]
    {
        let (code, out, error) = run(version, released);
        assert_eq!((code, out.trim()), (0, "up"), "{version}: {error}");
    }
    clock.set("2030-06-11T20:00:00Z");
    let (code, out, error) = run("2.1", "2030-01-01");
    assert!(code != 0 && !out.contains("up"), "{out}{error}");
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["maintenance_expired", "2030-01-01", "2029-12-31", "keep working", "renew maintenance at ACME"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(run("2.0", "2029-12-31").0, 0, "and what ran runs");
}

#[test]
fn a_token_has_the_renewals_of_its_grant_whatever_becomes_of_their_files() {
    if require("faketime").is_none() {
        return;
    }
    let (site, clock, mut daemon) = office(MONDAY);
    let mut client = daemon.connect();
    let asked = asked("cad", 48, "1.4", "2029-12-31");
    let (held, loans) = borrow(&mut client, &asked);
    let (token, days) = lent(&loans[0].token);
    assert_eq!(token.renewals.len(), 1);
    let renewal = String::from_utf8_lossy(&token.renewals[0].canonical).into_owned();
    assert!(renewal.contains("SN=7") && renewal.contains("2029-12-31"), "{renewal}");
    let expected = Days { first: "2030-06-10".into(), last: "2030-06-12".into(), first_checkout: None };
    assert_eq!(days, expected);

    // Another renewal, none, another day: sent again it is the token of that day, byte for byte.
    fs::remove_file(site.licenses().join("renewal.xml")).expect("the renewal");
    assert_eq!(seatkeeper(&daemon, &["reload"]).0, 0);
    assert_eq!(borrow(&mut client, &asked).1, loans);
    let no = denied(&mut client, &self::asked("cad", 48, "1.4", "2029-12-31"));
    assert_eq!(no.0, "maintenance_expired", "whoever asks now is judged by what is there now");
    clock.set("2030-06-11T09:00:00Z");
    for _ in 0..2 {
        daemon.kill();
        daemon = start(&site, &clock);
        client = daemon.connect_as(client.install_id);
        assert_eq!(borrow(&mut client, &asked).1, loans, "after a crash");
        fs::remove_file(site.licenses().join("cad.xml")).ok();
    }
    drop(held);
}

/// Rules 3, 6.10: a borrow is a checkout, and its token says the day of the first.
#[test]
fn a_borrow_can_be_the_first_checkout_and_its_token_says_so() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::new();
    let key = server_key(&site);
    let settings = "COUNT=\"4\" SN=\"7\" VERSION=\"1.0\" BORROW=\"168\" ISSUED=\"2030-01-10\" MAINTENANCE_PERIOD=\"P1Y\" \
                    MAINTENANCE_START_TRIGGER=\"FIRST_CHECKOUT\" MAINTENANCE_START_BY=\"2030-12-31\"";
    site.drop_signed("cad.xml", &[locked(&key, "cad", settings)]);
    let clock = FakeClock::new(&site, MONDAY);
    let daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let first = |loans: &[wire::answer::Loan]| lent(&loans[0].token).1.first_checkout;
    let (_, loans) = borrow(&mut client, &asked("cad", 24, "1.4", "2030-06-01"));
    assert_eq!(first(&loans).as_deref(), Some("2030-06-10"));
    clock.set("2030-06-11T08:00:00Z");
    let (_, loans) = borrow(&mut client, &asked("cad", 24, "1.4", "2030-06-01"));
    assert_eq!(first(&loans).as_deref(), Some("2030-06-10"));
    assert_eq!(lent(&loans[0].token).1.first, "2030-06-11");
}

/// Its pool goes on after END for the fallback version; other versions are not lent beyond it.
#[test]
fn a_subscription_lends_beyond_its_end_only_what_stays() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::new();
    let key = server_key(&site);
    let rented =
        "COUNT=\"4\" VERSION=\"1.0\" BORROW=\"168\" LICENSE_TYPE=\"SUBSCRIPTION\" END=\"2030-06-11\"";
    site.drop_signed(
        "cad.xml",
        &[
            locked(&key, "cad", &format!("{rented} FALLBACK_VERSION=\"3.1\"")),
            locked(&key, "cam", rented),
            locked(&key, "trial", &rented.replace("SUBSCRIPTION", "EVALUATION")),
        ],
    );
    let clock = FakeClock::new(&site, MONDAY);
    let daemon = start(&site, &clock);
    let mut client = daemon.connect();
    for (name, version) in [("cad", "4.0"), ("cam", "1.0"), ("trial", "4.0")] {
        let (code, details, message) = denied(&mut client, &asked(name, 72, version, "2030-06-01"));
        assert_eq!(code, "borrow_too_long", "{name}: {message}");
        assert!(message.contains("2030-06-11"), "{message}");
        let hours = details["borrow"]["hours"].as_u64();
        assert_eq!(hours, Some(38), "to its last midnight: {details}");
        borrow(&mut client, &asked(name, 38, version, "2030-06-01"));
    }
    let (_, loans) = borrow(&mut client, &asked("cad", 72, "3.1.6", "2030-06-01"));
    assert_eq!(lent(&loans[0].token).1.last, "2030-06-13");
    // By less than a day at once: a clock that is further ahead is doubted, and lends nothing.
    clock.set("2030-06-11T08:00:00Z");
    borrow(&mut client, &asked("trial", 1, "4.0", "2030-06-01"));
    clock.set("2030-06-12T07:00:00Z");
    borrow(&mut client, &asked("cad", 72, "3.0", "2020-06-01"));
    assert_eq!(denied(&mut client, &asked("cad", 1, "4.0", "2030-06-01")).0, "subscription_expired");
}
