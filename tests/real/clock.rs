//! A wall clock that somebody moves, as the daemon that ships meets it: under libfaketime (S70, S71).

use std::process::Command;

use serde_json::Value;
use wire::message::Event;

use crate::common::require;
use crate::real::client::{Client, granted, refused};
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::site::{Site, exclusive, feature};
use crate::real::until;

/// The last day of `cad`, which has dates; `sim` has none.
const NOON: &str = "2030-06-30T12:00:00Z";

fn site() -> Site {
    let dated = feature("cad", "VERSION=\"9.9\" COUNT=\"10\" END=\"2030-06-30\"");
    Site::with(&[dated, exclusive("sim", 5)])
}

fn start(site: &Site, clock: &FakeClock) -> Daemon {
    clock.lead(Start::of(site)).ready(site)
}

/// The clock and the day of grants, as status shows them.
fn clock_of(client: &mut Client) -> (String, String) {
    let server = &client.report("status", None).unwrap()["server"];
    let text = |name: &str| server[name].as_str().unwrap_or_default().to_owned();
    (text("clock"), text("today"))
}

fn is(client: &mut Client, clock: &str, today: &str) {
    assert_eq!(clock_of(client), (clock.to_owned(), today.to_owned()));
}

/// A seat of a feature is to be had, and is given back.
fn gives(client: &mut Client, name: &str) {
    let held =
        client.checkout(&[(name, 1)]).unwrap_or_else(|no| panic!("{name}: {}: {}", no.code, no.message));
    client.give_back(&held);
}

fn denies(client: &mut Client, name: &str) -> String {
    refused(client.checkout(&[(name, 1)])).0
}

/// Waits until the daemon's wall clock has come to an instant: a grant bears the time it was made.
fn await_clock(client: &mut Client, instant: &str) {
    until(instant, || {
        let held = client.checkout(&[("sim", 1)]).expect("free");
        let report = client.report("sessions", None).expect("a report");
        let mut sessions = report["sessions"].as_array().expect("a list").iter();
        let granted = sessions.find(|s| s["feature"] == "sim").expect("the seat");
        client.give_back(&held);
        (granted["since"].as_str().expect("an instant") >= instant).then_some(())
    });
}

fn log_lines(daemon: &Daemon, part: &str) -> usize {
    daemon.log().iter().filter(|line| line.contains(part)).count()
}

/// Steps from noon of the last day of `cad`: where to, what `cad` then says (empty: it grants), and what status shows.
const STEPS: [(&str, &str, &str, &str); 6] = [
    ("2030-06-30T12:00:01Z", "", "ok", "2030-06-30"),
    ("2030-06-30T11:59:59Z", "", "ok", "2030-06-30"),
    ("2030-06-30T13:00:00Z", "", "ok", "2030-06-30"),
    ("2030-06-30T11:00:00Z", "", "ok", "2030-06-30"),
    ("2030-07-02T12:00:00Z", "expired", "provisional", "2030-07-02"),
    ("2030-06-28T12:00:00Z", "clock_suspect", "suspect", "2030-06-30"),
];

/// S70: no session is lost. S71: no license with dates is extended, and each step is undone by setting the clock right.
#[test]
fn a_step_of_the_clock_loses_no_session_and_extends_no_license() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, NOON);
    let daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2), ("sim", 1)]).expect("free");
    for (instant, cad, state, today) in STEPS {
        clock.set(instant);
        match cad {
            "" => gives(&mut client, "cad"),
            code => assert_eq!(denies(&mut client, "cad"), code, "at {instant}"),
        }
        gives(&mut client, "sim");
        assert_eq!(client.heartbeat().unwrap(), 2, "at {instant}");
        is(&mut client, state, today);
        clock.set(NOON);
        gives(&mut client, "cad");
        is(&mut client, "ok", "2030-06-30");
        assert_eq!(client.heartbeat().unwrap(), 2, "after {instant}");
    }
    assert_eq!(granted(client.resume(&held)).sessions.len(), 2);
    let is_end = |event: &Event| matches!(event, Event::Expired(_));
    assert!(!client.has_event(is_end), "nobody is told of an end that a provisional clock says");
    // Once for each change, not for each look or each request.
    assert_eq!(log_lines(&daemon, "more than a day ahead of where"), 1, "{}", daemon.log_text());
    assert_eq!(log_lines(&daemon, "more than a day behind the highest"), 1, "{}", daemon.log_text());
    assert_eq!(log_lines(&daemon, "the clock is trusted again"), 2, "{}", daemon.log_text());
    let line = daemon.await_log("more than a day behind the highest");
    assert!(line.contains("2030-06-28") && line.contains("2030-06-30"), "both dates: {line}");
}

#[test]
fn a_step_of_the_clock_over_a_restart_is_no_different() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, NOON);
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2), ("sim", 1)]).expect("free");
    for (instant, cad, state, today) in STEPS {
        daemon.kill();
        clock.set(instant);
        daemon = start(&site, &clock);
        client = daemon.connect_as(client.install_id);
        assert_eq!(granted(client.resume(&held)).ended, [], "at {instant}");
        match cad {
            "" => gives(&mut client, "cad"),
            code => assert_eq!(denies(&mut client, "cad"), code, "at {instant}"),
        }
        gives(&mut client, "sim");
        is(&mut client, state, today);
        daemon.kill();
        clock.set(NOON);
        daemon = start(&site, &clock);
        client = daemon.connect_as(client.install_id);
        let counts: Vec<u32> = granted(client.resume(&held)).sessions.iter().map(|s| s.count).collect();
        assert_eq!(counts, [2, 1], "after {instant}");
        gives(&mut client, "cad");
        is(&mut client, "ok", "2030-06-30");
    }
}

/// The license is over: whatever the clock is set back to, it gives nothing.
#[test]
fn a_license_that_has_ended_does_not_come_back_with_the_clock() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, NOON);
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    clock.set("2030-07-01T00:20:00Z");
    assert_eq!(denies(&mut client, "cad"), "expired");
    let back = [
        ("2030-07-01T00:19:59Z", "expired"),
        ("2030-06-30T23:20:00Z", "expired"),
        ("2030-06-29T00:20:00Z", "clock_suspect"),
    ];
    for is_restarted in [false, true] {
        for (instant, code) in back {
            if is_restarted {
                daemon.kill();
            }
            clock.set(instant);
            if is_restarted {
                daemon = start(&site, &clock);
                client = daemon.connect();
            }
            assert_eq!(denies(&mut client, "cad"), code, "at {instant}");
            assert_eq!(clock_of(&mut client).1, "2030-07-01", "at {instant}");
            gives(&mut client, "sim");
        }
    }
}

/// The clock runs over midnight, is set back by some seconds, and comes to midnight once more.
#[test]
fn a_little_step_back_in_the_first_hour_of_a_day_brings_no_second_midnight() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, "2030-06-30T23:30:00Z");
    let daemon = start(&site, &clock);
    let (mut client, mut watcher) = (daemon.connect(), daemon.connect());
    watcher.watch();
    let held = client.checkout(&[("cad", 3)]).expect("free");
    clock.set("2030-06-30T23:59:59.500Z");
    // Nobody asks for anything: the daemon sees both midnights by itself.
    assert_eq!(watcher.await_total(), ("cad".into(), Some(10), Some(0)));
    let session = client.await_event("Expired", |event| match event {
        Event::Expired(e) => Some(e.session),
        _ => None,
    });
    assert_eq!(session, held.sessions[0].0);
    for step in ["2030-06-30T23:59:59Z", "2030-06-30T23:59:58Z"] {
        clock.set(step);
        assert_eq!(denies(&mut client, "cad"), "expired", "at {step}");
        is(&mut client, "ok", "2030-07-01");
        // Over midnight again.
        await_clock(&mut client, "2030-07-01T00:00:00Z");
        assert_eq!(denies(&mut client, "cad"), "expired");
    }
    assert_eq!(client.heartbeat().unwrap(), 1);
    assert_eq!(log_lines(&daemon, "a new day"), 2, "the start and one midnight:\n{}", daemon.log_text());
    assert_eq!(log_lines(&daemon, "cad 10 → 0"), 1, "{}", daemon.log_text());
}

/// A machine boots in 2099; somebody, or the network, sets its clock right a moment later.
#[test]
fn a_boot_in_2099_that_is_set_right_poisons_nothing() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, NOON);
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2), ("sim", 1)]).expect("free");
    daemon.kill();

    // Twice: a restart while the clock is wrong does not make it truer.
    clock.set("2099-01-01T00:00:00Z");
    for _ in 0..2 {
        daemon = start(&site, &clock);
        client = daemon.connect_as(client.install_id);
        is(&mut client, "provisional", "2099-01-01");
        assert_eq!(granted(client.resume(&held)).sessions.len(), 2, "sessions go on");
        assert_eq!(denies(&mut client, "cad"), "expired", "its day counts for grants");
        gives(&mut client, "sim");
        daemon.await_log("it has stood there for an hour");
        daemon.kill();
    }
    daemon = start(&site, &clock);
    client = daemon.connect_as(client.install_id);
    assert_eq!(granted(client.resume(&held)).sessions.len(), 2);

    clock.set("2030-06-30T12:10:00Z");
    gives(&mut client, "cad");
    is(&mut client, "ok", "2030-06-30");
    assert_eq!(client.heartbeat().unwrap(), 2);
    daemon.await_log("the clock is trusted again");
    daemon.kill();

    daemon = start(&site, &clock);
    client = daemon.connect_as(client.install_id);
    is(&mut client, "ok", "2030-06-30");
    gives(&mut client, "cad");
    let sessions = granted(client.resume(&held)).sessions;
    assert_eq!(sessions.iter().map(|s| s.count).collect::<Vec<_>>(), [2, 1]);
}

fn clock_reset(site: &Site, clock: &FakeClock, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command.args(["state", "clock-reset"]).arg(site.state()).args(words).env("TZ", "UTC");
    clock.lead_command(&mut command);
    let output = command.output().expect("the command line runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// The first start ever was in 2099: there was nothing to doubt that by, and the mark is wrong.
#[test]
fn clock_reset_mends_a_poisoned_mark() {
    if require("faketime").is_none() {
        return;
    }
    let site = site();
    let clock = FakeClock::new(&site, "2099-01-01T00:00:00Z");
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    is(&mut client, "ok", "2099-01-01");
    let held = client.checkout(&[("sim", 1)]).expect("free");

    clock.set(NOON);
    assert_eq!(denies(&mut client, "cad"), "clock_suspect");
    gives(&mut client, "sim");
    is(&mut client, "suspect", "2099-01-01");
    let because = ["--reason", "the clock said 2099"];
    let (code, text) = clock_reset(&site, &clock, &because);
    let pid = format!("pid {}", daemon.pid());
    assert!(code == Some(75) && text.contains(&pid) && text.contains("stop it first"), "{code:?} {text}");
    assert_eq!(daemon.terminate(), Some(0));

    let (code, text) = clock_reset(&site, &clock, &because);
    assert!(code == Some(0) && text.contains("is 2030-06-30 now, it was 2099-01-01"), "{code:?} {text}");
    let (code, text) = clock_reset(&site, &clock, &because);
    assert!(code == Some(0) && text.contains("nothing to do"), "{code:?} {text}");

    for _ in 0..2 {
        let mut daemon = start(&site, &clock);
        let mut client = daemon.connect_as(client.install_id);
        assert_eq!(granted(client.resume(&held)).sessions.len(), 1);
        is(&mut client, "ok", "2030-06-30");
        gives(&mut client, "cad");
        let status = client.report("status", None).unwrap();
        let reset = &status["server"]["clock_reset"];
        assert_eq!((&reset["from"], &reset["to"]), (&"2099-01-01".into(), &"2030-06-30".into()), "{reset}");
        assert_eq!(reset["reason"], "the clock said 2099");
        assert_eq!(reset["by"], format!("uid {}", rustix::process::getuid().as_raw()));
        assert!(reset["at"].as_str().unwrap().starts_with("2030-06-30T12:"), "{reset}");
        // For 30 days.
        clock.set("2030-07-29T12:00:00Z");
        assert_ne!(client.report("status", None).unwrap()["server"]["clock_reset"], Value::Null);
        clock.set("2030-07-30T13:00:00Z");
        gives(&mut client, "sim");
        assert_eq!(client.report("status", None).unwrap()["server"]["clock_reset"], Value::Null);
        clock.set(NOON);
        assert_eq!(daemon.terminate(), Some(0));
    }
}
