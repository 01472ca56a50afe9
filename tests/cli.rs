//! The command line as a process, against a server that says what the test tells it to: exit codes and what is printed.

#[path = "../crates/client/tests/scripted/mod.rs"]
mod scripted;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use scripted::{Server, granted, nobody};
use serde_json::{Value, json};
use wire::{Answer, Request, answer, event};

fn seatkeeper(server: SocketAddr, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command
        .args(words)
        .env_remove("SEATKEEPER_ADMIN")
        .env("SEATKEEPER_SERVER", server.to_string())
        // No install id of this machine's user.
        .env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(server: SocketAddr, words: &[&str]) -> (i32, String, String) {
    finished(seatkeeper(server, words).spawn().unwrap())
}

fn finished(child: Child) -> (i32, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("it exits by itself"), text(stdout), text(stderr))
}

/// Answers each report with these parts.
fn reporting(parts: Vec<Value>) -> Server {
    Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        for (at, part) in parts.iter().enumerate() {
            let Some((call, Request::Report(ask))) = peer.next() else { panic!("no report") };
            assert_eq!(ask.cursor, if at == 0 { String::new() } else { at.to_string() });
            let next = if at + 1 < parts.len() { (at + 1).to_string() } else { String::new() };
            let report = answer::Report { json: part.to_string(), next, extras: vec![] };
            peer.answer(call, Answer::Report(report));
        }
        let Some((call, Request::Goodbye(_))) = peer.next() else { return };
        peer.answer(call, Answer::Goodbye(answer::Goodbye::default()));
    })
}

fn feature(name: &str, total: u64) -> Value {
    json!({"vendor":"ACME","name":name,"version":null,"total":total,"base":total,"upgrades":0,"unlimited":false,
        "used":1,"active":1,"suspect":0,"borrowed":0,"held":0,"reserved":0,"free":total - 1,"over":0,"queued":0,
        "soft_limit":null,"share":[],"ends_at":"2089-12-31T23:00:00Z","next_change":{"day":"2090-01-01","at":"2089-12-31T23:00:00Z","total":10},"maintenance_ends":null,"denials_24h":null,
        "pools":[],"of_a_later_version":true})
}

/// Takes what is asked for, and what is given back; nothing may be left at the end.
fn granting(check: impl Fn(&wire::request::Checkout) + Send + 'static) -> Server {
    Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        let checkout = peer.grant(9);
        check(&checkout);
        give_back(peer, checkout.items.len());
    })
}

fn give_back(peer: &mut scripted::Peer, sessions: usize) {
    for _ in 0..sessions {
        let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else {
            panic!("not given back")
        };
        let done = answer::Checkin { session: checkin.session, count: 1, ..Default::default() };
        peer.answer(call, Answer::Checkin(done));
    }
}

fn denying(code: &'static str, details: Value) -> Server {
    Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        let Some((call, Request::Checkout(_))) = peer.next() else { panic!() };
        let refused = answer::Refused {
            code: code.into(),
            message: "all 16 seats are taken".into(),
            details: details.to_string(),
            extras: vec![],
        };
        peer.answer(call, Answer::Refused(refused));
        peer.next();
    })
}

#[test]
fn status_follows_all_parts_and_fits_eighty_columns() {
    let parts = || {
        let server = json!({"name":"lic01","version":"0.1.0","time_zone":"Europe/Berlin","today":"2030-06-30",
            "next_midnight":"2030-06-30T22:00:00Z","clock":"ok","started_at":"2030-06-01T00:00:00Z"});
        let problem = json!({"file":"x.xml","line":3,"column":12,"feature":"cam","sn":null,"reason":"bad_value",
            "message":"COUNT 0 is not a number of seats: write 1 to 2147483647, or UNLIMITED"});
        vec![
            json!({"schema":1,"server":server,"features":[feature("cad", 16)]}),
            json!({"schema":1,"features":[feature(&"x".repeat(64), 5)]}),
            json!({"schema":1,"sessions":[],"problems":[problem]}),
        ]
    };
    let server = reporting(parts());
    let (code, out, err) = output(server.address, &["status"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for text in
        ["lic01", "2030-06-30 in Europe/Berlin", "ACME/cad", "10 from 2090-01-01", "x.xml:3:12: cam: COUNT 0"]
    {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert!(!out.contains('\u{1b}'), "no color");
    server.finish();

    // Instants are those of this terminal, days those of the server.
    let server = reporting(parts());
    let child = seatkeeper(server.address, &["status"]).env("TZ", "Asia/Kolkata").spawn().unwrap();
    let (_, out, _) = finished(child);
    for text in [
        "since 2030-06-01 05:30:00 +05:30\n",
        "2030-06-30 in Europe/Berlin, until 2030-07-01 03:30:00 +05:30\n",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    server.finish();

    let server = reporting(parts());
    let (code, out, _) = output(server.address, &["status", "--json"]);
    let whole: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &whole["schema"], whole["features"].as_array().unwrap().len()), (0, &json!(1), 2));
    assert_eq!(whole["features"][0]["of_a_later_version"], true, "what we do not know is passed on");
    server.finish();
}

#[test]
fn a_list_that_may_not_be_seen_exits_77() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Report(_))) = peer.next() else { panic!() };
        peer.refuse(call, "not_permitted", "sessions are for the administrator here");
    });
    let (code, out, err) = output(server.address, &["sessions"]);
    assert_eq!((code, out.as_str()), (77, ""));
    assert!(err.contains("sessions are for the administrator here (not_permitted)"), "{err}");
}

#[test]
fn no_server_exits_69_with_the_address() {
    let address = nobody();
    for words in [&["status"][..], &["checkout", "cad"], &["run", "cad", "--", "true"]] {
        let (code, out, err) = output(address, words);
        assert_eq!((code, out.as_str()), (69, ""), "{words:?}");
        assert!(err.contains(&address.to_string()) && err.contains("doctor"), "{err}");
    }
    for words in [&["reload"][..], &["shutdown"], &["hostid"], &["release", "h"]] {
        let (code, _, err) = output(address, &[words, &["--admin", "no/such.sock"]].concat());
        assert_eq!(code, 69, "{words:?}");
        assert!(err.contains("no/such.sock: no such socket"), "{err}");
    }
    let by_variable = |value: &str| {
        finished(seatkeeper(address, &["reload"]).env("SEATKEEPER_ADMIN", value).spawn().unwrap())
    };
    assert!(by_variable("other.sock").2.contains("other.sock: no such socket"));
    assert_eq!(by_variable("").0, 69, "an empty variable is none");
}

#[test]
fn a_wrong_command_line_exits_64() {
    for words in [&["statsu"][..], &["checkout"], &["status", "--server", "a:b"], &["doctor", "@"]] {
        assert_eq!(output(nobody(), words).0, 64, "{words:?}");
    }
}

#[test]
fn a_checkout_prints_one_line_and_gives_back_on_sigterm() {
    let server = granting(|checkout| {
        let facts = &checkout.facts;
        assert_eq!((checkout.items[0].count, facts.project.as_deref()), (2, Some("bridge")));
        assert_eq!(facts.release_version.as_deref(), Some("4.2"));
        assert!(facts.platform.contains('-') && facts.pid > 0 && !facts.user.is_empty());
    });
    let words = ["checkout", "cad", "--count", "2", "--json", "--project", "bridge", "--version", "4.2"];
    let mut child = seatkeeper(server.address, &words).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let grant: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&grant["schema"], &grant["granted"], &grant["bundle"]),
        (&json!(1), &json!(true), &json!("9"))
    );
    // 90 in base32.
    assert_eq!((&grant["sessions"][0]["session"], &grant["sessions"][0]["count"]), (&json!("2t"), &json!(2)));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    server.finish();
    assert_eq!(finished(child), (0, String::new(), String::new()));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn a_checkout_for_no_time_gives_back_at_once() {
    let server = granting(|checkout| assert_eq!(checkout.items[1].vendor.as_deref(), Some("ACME")));
    let (code, out, err) = output(server.address, &["checkout", "cad", "ACME/cam", "--for", "0"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 2);
    assert!(out.starts_with("ACME/cad: 1 seat, session 2t; the license never ends\n"), "{out}");
    server.finish();
}

#[test]
fn a_checkout_that_loses_its_seats_exits_75() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        let ended = event::SessionEnded {
            session: 90,
            code: "already_removed".into(),
            message: "released by root: over".into(),
            at: 0,
            extras: vec![],
        };
        peer.event(wire::Event::SessionEnded(ended));
        peer.next();
    });
    let (code, _, err) = output(server.address, &["checkout", "cad"]);
    assert_eq!(code, 75);
    assert!(err.contains("session 2t has lost its seats: released by root: over (already_removed"), "{err}");
}

#[test]
fn a_denial_exits_75_and_says_what_is_needed() {
    let details = || {
        json!({"feature":"cad","vendor":"ACME","wanted":1,"total":16,"used":16,"free":0,"suspect":1,"held":0,
            "reserved":0,"over":0,"unlimited":false,"due":{"in_seconds":35},
            "holders":[{"session":"h","user":"ann","host":"ws7","count":4,"since":null}]})
    };
    for words in [&["checkout", "cad"][..], &["run", "cad", "--", "touch", "must-not-run"]] {
        let server = denying("no_seats", details());
        let (code, out, err) = output(server.address, words);
        assert_eq!((code, out.as_str()), (75, ""));
        assert!(err.starts_with("seatkeeper: denied: all 16 seats are taken (no_seats)\n"), "{err}");
        for text in ["16 in all, 16 used", "ann on ws7 has 4 seats", "due in 35 seconds"] {
            assert!(err.contains(text), "{err}");
        }
    }
    assert!(!std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("must-not-run").exists());

    let server = denying("no_seats", details());
    let (code, out, _) = output(server.address, &["checkout", "cad", "--json"]);
    let denial: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &denial["code"], &denial["granted"]), (75, &json!("no_seats"), &json!(false)));
    assert_eq!(denial["details"], details());

    let server = denying("not_permitted", json!({}));
    assert_eq!(output(server.address, &["checkout", "cad"]).0, 77);
}

#[test]
fn a_run_exits_as_its_command_and_gives_back() {
    for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let server = granting(|_| {});
        let (code, out, err) = output(server.address, &["run", "cad", "--", "sh", "-c", script]);
        assert_eq!((code, out.as_str(), err.as_str()), (expected, "", ""), "{script}");
        server.finish();
    }
    let server = granting(|_| {});
    let (code, _, err) = output(server.address, &["run", "cad", "--", "/no/such/command"]);
    assert!(code == 127 && err.contains("/no/such/command"), "{code}: {err}");
    server.finish();
}

#[test]
fn a_run_passes_signals_on() {
    let server = granting(|_| {});
    let script = "trap 'echo heard; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = seatkeeper(server.address, &["run", "cad", "--", "sh", "-c", script]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    line.clear();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "heard\n");
    server.finish();
    assert_eq!(finished(child).0, 9);
}

#[test]
fn a_run_goes_on_through_a_lost_connection() {
    let mut taken = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            taken = Some(peer.grant(9));
            return;
        }
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        let sessions = granted(9, taken.as_ref().unwrap()).sessions;
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        // The command waits for this file: it ends after the resume only.
        std::fs::write(std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("resumed"), "").unwrap();
        give_back(peer, 1);
    });
    let script = "while [ ! -e resumed ]; do sleep 0.05; done; rm resumed; exit 3";
    let (code, _, err) = output(server.address, &["run", "cad", "--", "sh", "-c", script]);
    assert_eq!(code, 3);
    assert!(err.contains("connection was lost") && err.contains("bundle 9 is resumed"), "{err}");
    server.finish();
}

#[test]
fn the_doctor_tells_the_steps_apart() {
    let (code, out, _) = output(nobody(), &["doctor", "no-such-host.invalid:6200"]);
    assert!(code == 69 && out.contains("FAILED name"), "{out}");
    let address = nobody();
    let (code, out, _) = output(address, &["doctor"]);
    assert!(code == 69 && out.contains("ok     name") && out.contains("FAILED tcp"), "{out}");
    assert!(out.contains("nobody listens on port"), "{out}");
    // The doctor connects once to see TCP alone, then speaks.
    let other = Server::start(30_000, 2, |at, peer| {
        if at == 1 {
            peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
        peer.next();
    });
    let (code, out, _) = output(other.address, &["doctor"]);
    assert!(code == 69 && out.contains("ok     tcp") && out.contains("FAILED protocol"), "{out}");
    let good = Server::start(30_000, 2, |at, peer| {
        if at == 1 {
            peer.hello();
            let Some((call, Request::Report(_))) = peer.next() else { panic!() };
            let json = json!({"schema":1,"features":[feature("cad", 16)],"problems":[]}).to_string();
            peer.answer(call, Answer::Report(answer::Report { json, ..Default::default() }));
        }
        peer.next();
    });
    let (code, out, _) = output(good.address, &["doctor", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let verdicts: Vec<_> = found["checks"].as_array().unwrap().iter().map(|c| &c["verdict"]).collect();
    assert_eq!((code, verdicts), (0, vec![&json!("ok"); 4]), "{out}");
}

#[test]
fn completions_and_state_check_need_no_server() {
    let (code, out, _) = output(nobody(), &["completions", "bash"]);
    assert!(code == 0 && out.contains("_seatkeeper"));
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = output(nobody(), &["state", "check", dir.path().to_str().unwrap()]);
    assert!(code == 74 && out.contains("not a state directory"), "{code}: {out}");
    let reset = ["state", "clock-reset", dir.path().to_str().unwrap(), "--reason", "a test"];
    let (code, _, err) = output(nobody(), &[&reset[..], &["--time-zone", "UTC"]].concat());
    assert!(code == 64 && err.contains("not a state directory"), "{code}: {err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

fn why_of(granted: bool) -> Value {
    let rule = json!({"file":"policy.toml","line":7,"text":"limit 2 per user"});
    let pool = json!({"id":"1","key_type":"EXCLUSIVE","place":{"file":"cad.xml","line":3},"total":10,"used":2,
        "free":8,"held":0,"reserved":0,"suspect":0,"over":0,"unlimited":false,
        "code":(!granted).then_some("limit_user"),"message":(!granted).then_some("ann has 2 of 2")});
    json!({"schema":1,"feature":"cad","vendor":"ACME","user":"ann","host":"ws7","granted":granted,
        "pool":granted.then_some("1"),"soft_limit":false,"code":(!granted).then_some("limit_user"),
        "message":(!granted).then_some("ann has 2 of 2"),"details":(!granted).then(|| json!({"rule":rule})),
        "rule":(!granted).then_some(&rule),"not_stated":["platform"],"access":"allow","access_rule":null,
        "limits":[{"whose":"user ann","seats":2,"used":2,"rule":rule}],"reservations":[],"pools":[pool],
        "holders":[],"held":[],"of_a_later_version":true})
}

/// Answers one question.
fn explaining(whole: Value, check: impl Fn(&wire::request::Why) + Send + 'static) -> Server {
    Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        let Some((call, Request::Why(why))) = peer.next() else { panic!("no question") };
        check(&why);
        let json = whole.to_string();
        peer.answer(call, Answer::Why(answer::Why { json, extras: vec![] }));
        let Some((call, Request::Goodbye(_))) = peer.next() else { return };
        peer.answer(call, Answer::Goodbye(answer::Goodbye::default()));
    })
}

#[test]
fn why_says_yes_or_no_first_and_exits_so() {
    let words = ["why", "ann", "cad", "--host", "ws7", "--project", "bridge", "--address", "192.0.2.7"];
    let server = explaining(why_of(false), |why| {
        assert_eq!((&*why.facts.user, &*why.facts.host, why.facts.pid), ("ann", "ws7", 0));
        assert_eq!(
            (why.facts.project.as_deref(), why.address.as_deref()),
            (Some("bridge"), Some("192.0.2.7"))
        );
        assert_eq!((&*why.facts.platform, why.facts.host_ids.len()), ("", 0), "that would be this machine's");
        assert!(!why.asker_user.is_empty() && !why.asker_host.is_empty());
    });
    let (code, out, err) = output(server.address, &words);
    assert_eq!((code, err.as_str()), (75, ""));
    assert!(
        out.starts_with("no: ann has 2 of 2 (limit_user)\n  rule policy.toml:7: limit 2 per user\n"),
        "{out}"
    );
    assert!(out.contains("assumed: no platform") && out.contains("user ann: 2 of 2 in use"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    server.finish();

    let server = explaining(why_of(true), |why| assert_eq!(why.count, 3));
    let (code, out, _) = output(server.address, &["why", "ann", "ACME/cad", "--count", "3"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("yes: ann on ws7 would get 3 seats of ACME/cad\n"), "{out}");
    server.finish();

    let server = explaining(why_of(false), |why| assert_eq!(why.vendor.as_deref(), Some("ACME")));
    let (code, out, _) = output(server.address, &["why", "ann", "cad", "--vendor", "ACME", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()), (75, why_of(false)));
    server.finish();
}

#[test]
fn why_is_asked_where_somebody_says() {
    let refusing = |text: &'static str| {
        Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            let Some((call, Request::Why(_))) = peer.next() else { panic!("no question") };
            peer.refuse(call, "not_permitted", text);
        })
    };
    let (by_variable, by_flag) = (refusing("by the variable"), refusing("by the flag"));
    let (code, _, err) = output(by_variable.address, &["why", "ann", "cad"]);
    assert!(code == 77 && err.contains("by the variable"), "{err}");
    let address = by_flag.address.to_string();
    let (code, _, err) = output(nobody(), &["why", "ann", "cad", "--server", &address]);
    assert!(code == 77 && err.contains("by the flag"), "{err}");
    // An administrator's variable is nearer than the one that every client has.
    let mut child = seatkeeper(nobody(), &["why", "ann", "cad"]);
    let (code, _, err) = finished(child.env("SEATKEEPER_ADMIN", "no/such.sock").spawn().unwrap());
    assert!(code == 69 && err.contains("no/such.sock: no such socket"), "{err}");
    assert_eq!(output(nobody(), &["why", "ann", "ACME/cad", "--vendor", "EVIL"]).0, 64);
}

#[test]
fn a_denial_by_the_policy_names_rule_limit_and_the_other_pools() {
    let details = json!({"feature":"cad","wanted":1,"rule":{"file":"policy.toml","line":7,"text":"limit 2 per user"},
        "limit":{"whose":"user ann","seats":2,"used":2},"needed_by":"suite",
        "others":[{"pool":"4","key_type":"ADDITIVE","code":"platform","message":"it is for linux"}]});
    let server = denying("limit_user", details);
    let (code, _, err) = output(server.address, &["run", "cad", "--", "true"]);
    assert_eq!(code, 75);
    for text in [
        "cad is needed by the token suite",
        "rule policy.toml:7: limit 2 per user",
        "user ann has 2 of at most 2 seats",
        "not from the additive pool 4 either: it is for linux (platform)",
    ] {
        assert!(err.contains(text), "{text}: {err}");
    }
}

#[test]
fn who_does_not_use_his_seat_is_warned() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        let wanted = event::SeatWanted { session: 90, feature: "cad".into(), seconds: 30, extras: vec![] };
        peer.event(wire::Event::SeatWanted(wanted));
        give_back(peer, 1);
    });
    let mut child = seatkeeper(server.address, &["run", "cad", "--", "cat"]);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert!(line.starts_with("seatkeeper: warning: somebody needs cad and session 2t is idle;"), "{line}");
    assert!(line.contains("in 30 seconds"), "{line}");
    drop(input);
    assert_eq!(finished(child).0, 0);
    server.finish();
}

#[test]
fn a_run_goes_on_and_begins_in_grace() {
    let state = tempfile::tempdir().unwrap();
    // A lease of a fifth of a second.
    let server = Server::start(50, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Checkout(checkout))) = peer.next_but_beats(0) else { panic!("no checkout") };
        let mut grant = granted(9, &checkout);
        (grant.heartbeat_ms, grant.lease_ms) = (50, 200);
        grant.extras = vec![answer::Grace::extra(&[answer::Grace { session: 90, hours: 24 }])];
        peer.answer(call, Answer::Granted(grant));
    });
    let address = server.address;
    let run = |address, words: &[&str]| {
        let mut command = seatkeeper(address, words);
        command.env("XDG_STATE_HOME", state.path()).stdin(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut child = run(address, &["run", "cad", "--", "sh", "-c", "cat; exit 3"]);
    let input = child.stdin.take().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("no license server answers; the license of cad allows to go on until ") {
        assert_ne!(err.read_line(&mut said).unwrap(), 0, "it ended without a word of grace: {said}");
    }
    drop(input);
    assert_eq!(finished(child).0, 3, "the command's own status");
    server.finish();

    // Nobody is back, and the same user begins anew.
    let (code, _, err) = finished(run(address, &["run", "cad", "--", "true"]));
    assert!(code == 0 && err.contains("allows to go on until "), "{code}: {err}");
    let (code, out, _) = finished(run(address, &["checkout", "cad", "--for", "0", "--json"]));
    let grant: Value = serde_json::from_str(&out).unwrap();
    assert!(code == 0 && grant["grace_ends_at"].is_string() && grant["granted"] == true, "{out}");
    // Another feature was never granted.
    assert_eq!(finished(run(address, &["run", "cam", "--", "true"])).0, 69);
}
