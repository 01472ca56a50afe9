//! Midnight, as the daemon that ships meets it: under libfaketime, in the zones where it is hard (L20 to L22, L39, S71).

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta};
use serde_json::Value;
use wire::message::Event;

use crate::common::require;
use crate::real::client::{Held, granted, refused};
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::site::{Site, exclusive, feature, upgrade};

fn start(site: &Site, clock: &FakeClock, zone: &str) -> Daemon {
    clock.lead(Start::of(site).arg("--time-zone").arg(zone)).ready(site)
}

/// Total, used, over and free, as a denial and a status name them; -1 where one is missing.
fn numbers(of: &Value) -> [i64; 4] {
    ["total", "used", "over", "free"].map(|name| of[name].as_i64().unwrap_or(-1))
}

fn seconds_before(instant: &str, seconds: i64) -> String {
    let instant = DateTime::parse_from_rfc3339(instant).unwrap() - TimeDelta::seconds(seconds);
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Ten and six, until a night that takes the six: `night` is the first instant of the day after `last_day`,
/// `after` an instant of the day `new_day`.
fn thirteen_stay(zone: &str, before: &str, last_day: &str, night: &str, after: &str, new_day: &str) {
    if require("faketime").is_none() {
        return;
    }
    let six_more = upgrade("cad", 6, &format!("END=\"{last_day}\""));
    let site = Site::with(&[exclusive("cad", 10), six_more]);
    let clock = FakeClock::new(&site, before);
    let daemon = start(&site, &clock, zone);
    let mut watcher = daemon.connect();
    watcher.watch();
    let (mut one, mut two) = (daemon.connect(), daemon.connect());
    let mut held: Vec<Held> = (0..7).map(|_| one.checkout(&[("cad", 1)]).expect("of 16")).collect();
    let others: Vec<Held> = (0..6).map(|_| two.checkout(&[("cad", 1)]).expect("of 16")).collect();
    assert_eq!(numbers(&watcher.feature("cad")), [16, 13, 0, 3], "before");

    clock.set(&seconds_before(night, 4));
    let more = watcher.checkout(&[("cad", 3)]).expect("the last seconds of the old day still have 16");
    watcher.give_back(&more);

    clock.set(after);
    // The very first request after the jump: no timer of the daemon has run.
    let (code, details) = refused(one.checkout(&[("cad", 1)]));
    assert_eq!((code.as_str(), numbers(&details)), ("no_seats", [10, 13, 3, 0]));
    assert_eq!(watcher.await_total(), ("cad".into(), Some(16), Some(10)));
    assert_eq!((one.heartbeat().unwrap(), two.heartbeat().unwrap()), (7, 6), "13 sessions alive");
    let status = watcher.report("status", None).unwrap();
    assert_eq!(status["server"]["today"], new_day);
    assert_eq!(numbers(&status["features"][0]), [10, 13, 3, 0]);
    daemon.await_log("cad 16 → 10");

    held.drain(..4).for_each(|held| one.give_back(&held));
    let fourteenth = two.checkout(&[("cad", 1)]).expect("9 of 10 are in use");
    let (code, details) = refused(two.checkout(&[("cad", 1)]));
    assert_eq!((code.as_str(), numbers(&details)), ("no_seats", [10, 10, 0, 0]));
    assert_eq!((one.heartbeat().unwrap(), two.heartbeat().unwrap()), (3, 7));
    let mut again = daemon.connect_as(one.install_id);
    held.iter().for_each(|held| assert_eq!(granted(again.resume(held)).sessions.len(), 1));
    let mut again = daemon.connect_as(two.install_id);
    others.iter().chain([&fourteenth]).for_each(|held| assert_eq!(granted(again.resume(held)).ended, []));
    assert_eq!(again.heartbeat().unwrap(), 7, "every session can be resumed over another connection");
}

#[test]
fn thirteen_sessions_stay_over_a_midnight_in_utc() {
    let night = "2030-07-01T00:00:00Z";
    thirteen_stay("UTC", "2030-06-30T12:00:00Z", "2030-06-30", night, night, "2030-07-01");
}

#[test]
fn the_day_of_23_hours_in_berlin_ends_an_hour_sooner() {
    let night = "2027-03-28T22:00:00Z";
    thirteen_stay("Europe/Berlin", "2027-03-27T23:10:00Z", "2027-03-28", night, night, "2027-03-29");
}

#[test]
fn the_day_of_25_hours_in_berlin_ends_an_hour_later() {
    let night = "2027-10-31T23:00:00Z";
    thirteen_stay("Europe/Berlin", "2027-10-30T22:10:00Z", "2027-10-31", night, night, "2027-11-01");
}

#[test]
fn a_midnight_that_does_not_exist_in_cairo_ends_the_day_all_the_same() {
    // 24:00 of the 23rd is 01:00 of the 24th.
    let night = "2026-04-23T22:00:00Z";
    thirteen_stay("Africa/Cairo", "2026-04-23T10:00:00Z", "2026-04-23", night, night, "2026-04-24");
}

#[test]
fn a_midnight_that_does_not_exist_in_sao_paulo_ends_the_day_all_the_same() {
    let night = "2018-11-04T03:00:00Z";
    thirteen_stay("America/Sao_Paulo", "2018-11-03T20:00:00Z", "2018-11-03", night, night, "2018-11-04");
}

#[test]
fn a_clock_stepped_over_two_days_is_a_midnight_too() {
    let (night, after) = ("2030-07-01T00:00:00Z", "2030-07-02T15:30:00Z");
    thirteen_stay("UTC", "2030-06-30T12:00:00Z", "2030-06-30", night, after, "2030-07-02");
}

#[test]
fn thirteen_sessions_stay_over_the_end_of_a_leap_day() {
    let night = "2028-03-01T00:00:00Z";
    thirteen_stay("UTC", "2028-02-29T08:00:00Z", "2028-02-29", night, night, "2028-03-01");
}

#[test]
fn an_upgrade_for_the_leap_day_comes_and_goes_with_it() {
    if require("faketime").is_none() {
        return;
    }
    let one_day = upgrade("cad", 6, "START=\"2028-02-29\" END=\"2028-02-29\"");
    let site = Site::with(&[exclusive("cad", 10), one_day]);
    let clock = FakeClock::new(&site, "2028-02-28T20:00:00Z");
    let daemon = start(&site, &clock, "UTC");
    let (mut client, mut watcher) = (daemon.connect(), daemon.connect());
    watcher.watch();
    let held = client.checkout(&[("cad", 10)]).expect("ten");
    let (code, details) = refused(client.checkout(&[("cad", 1)]));
    assert_eq!((code.as_str(), &details["due"]["day"]), ("no_seats", &"2028-02-29".into()));
    clock.set("2028-02-29T00:00:00Z");
    let more = client.checkout(&[("cad", 6)]).expect("six more, in the first second of the day");
    assert_eq!(watcher.await_total(), ("cad".into(), Some(10), Some(16)));
    clock.set("2028-03-01T00:00:00Z");
    // Nobody asks for anything: the daemon sees the midnight by itself.
    assert_eq!(watcher.await_total(), ("cad".into(), Some(16), Some(10)));
    client.give_back(&more);
    client.give_back(&held);
    assert_eq!(numbers(&client.feature("cad")), [10, 0, 0, 10]);
}

/// The fake clock runs here: nothing jumps, the second hand goes over midnight while clients work.
#[test]
fn a_midnight_that_comes_by_itself_is_no_different() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::with(&[exclusive("cad", 10), upgrade("cad", 6, "END=\"2030-06-30\"")]);
    let clock = FakeClock::new(&site, "2030-06-30T23:30:00Z");
    let daemon = start(&site, &clock, "UTC");
    let (mut client, mut watcher) = (daemon.connect(), daemon.connect());
    watcher.watch();
    let _thirteen = client.checkout(&[("cad", 13)]).expect("of 16");
    // One second before: what is asked a second after the clock was set belongs to the new day, to the millisecond.
    let (second, before) = (Duration::from_secs(1), Instant::now());
    clock.set("2030-06-30T23:59:59Z");
    let set = Instant::now();
    let denied = loop {
        let is_new_day = set.elapsed() >= second;
        match client.checkout(&[("cad", 1)]) {
            Ok(held) => {
                assert!(!is_new_day, "granted by yesterday's total");
                client.give_back(&held);
            }
            Err(refused) => {
                assert!(before.elapsed() >= second, "denied by tomorrow's total");
                break refused;
            }
        }
        assert_eq!(client.heartbeat().unwrap(), 1);
    };
    assert_eq!(numbers(&refused::<()>(Err(denied)).1), [10, 13, 3, 0]);
    assert_eq!(watcher.await_total(), ("cad".into(), Some(16), Some(10)));
}

#[test]
fn a_license_that_ends_at_midnight_ends_no_session() {
    if require("faketime").is_none() {
        return;
    }
    let ten = feature("cad", "VERSION=\"9.9\" COUNT=\"10\" END=\"2030-06-30\"");
    let site = Site::with(&[ten, upgrade("cad", 6, "END=\"2030-06-30\""), exclusive("sim", 5)]);
    let clock = FakeClock::new(&site, "2030-06-30T20:00:00Z");
    let mut daemon = start(&site, &clock, "Europe/Berlin");
    let (mut one, mut two) = (daemon.connect(), daemon.connect());
    let ours = one.checkout(&[("cad", 2), ("sim", 1)]).expect("both");
    let theirs = two.checkout(&[("cad", 11)]).expect("of 16");
    // 2030-07-01 00:00 in Berlin.
    let ends = 1_909_087_200;
    clock.set("2030-06-30T22:00:00Z");
    let expired = |event: &Event| match event {
        Event::Expired(e) => Some((e.session, e.feature.clone(), e.license_ends)),
        _ => None,
    };
    assert_eq!(one.await_event("Expired", expired), (ours.sessions[0].0, "cad".into(), ends));
    assert_eq!(two.await_event("Expired", expired), (theirs.sessions[0].0, "cad".into(), ends));
    let (code, details) = refused(one.checkout(&[("cad", 1)]));
    assert_eq!((code.as_str(), numbers(&details)), ("expired", [0, 13, 13, 0]));
    assert_eq!((one.heartbeat().unwrap(), two.heartbeat().unwrap()), (2, 1));
    granted(one.checkin(ours.sessions[0].0, 1));
    assert_eq!(numbers(&two.feature("cad")), [0, 12, 12, 0]);

    daemon.kill();
    let daemon = start(&site, &clock, "Europe/Berlin");
    let mut client = daemon.connect_as(one.install_id);
    let counts: Vec<u32> = granted(client.resume(&ours)).sessions.iter().map(|s| s.count).collect();
    assert_eq!(counts, [1, 1], "nothing is lost over a restart, though the license is over");
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "expired");
    client.checkout(&[("sim", 4)]).expect("another feature is as it was");
}

/// S71: the highest day served is on disk, and no clock brings an older one back.
#[test]
fn a_clock_set_back_does_not_bring_yesterday_back() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::with(&[exclusive("cad", 10), upgrade("cad", 6, "END=\"2030-06-30\"")]);
    let clock = FakeClock::new(&site, "2030-06-30T20:00:00Z");
    let mut daemon = start(&site, &clock, "UTC");
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 11)]).expect("of 16");
    clock.set("2030-07-01T00:00:01Z");
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "no_seats");

    clock.set("2030-06-30T20:00:00Z");
    assert_eq!(numbers(&refused(client.checkout(&[("cad", 1)])).1), [10, 11, 1, 0], "set back");
    assert_eq!(client.heartbeat().unwrap(), 1, "a step of the wall clock ends no session (S70)");
    daemon.kill();

    let daemon = start(&site, &clock, "UTC");
    let mut client = daemon.connect_as(client.install_id);
    let status = client.report("status", None).unwrap();
    assert_eq!(status["server"]["today"], "2030-07-01", "after a restart by the same clock");
    assert_eq!(numbers(&status["features"][0]), [10, 11, 1, 0]);
    assert_eq!(numbers(&refused(client.checkout(&[("cad", 1)])).1), [10, 11, 1, 0]);
    assert_eq!(granted(client.resume(&held)).sessions[0].count, 11);

    // A reload while the clock is behind: still the day that was served.
    site.drop_signed("sim.xml", &[feature("sim", "VERSION=\"1.0\" COUNT=\"5\" END=\"2030-06-30\"")]);
    let reload = granted(daemon.admin().ask(&wire::request::Reload::default()));
    let reload: Value = serde_json::from_str(&reload.json).unwrap();
    assert_eq!(refused(client.checkout(&[("sim", 1)])).0, "expired");
    assert_eq!(
        reload["changes"],
        Value::Array(Vec::new()),
        "and what the reload tells is of that day: {reload}"
    );
}
