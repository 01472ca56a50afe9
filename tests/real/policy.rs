//! What an administrator's policy and the license language say, asked of the daemon that ships (L50 to L65, S50 to S53).

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use wire::answer;
use wire::message::Event;
use wire::request;

use crate::real::client::{Client, Held, asking, facts, granted, refused};
use crate::real::daemon::{Daemon, Start, run_to_end};
use crate::real::site::{Site, exclusive, feature};
use crate::real::{until, within};

/// Longer than a warned seat may idle on (30 s).
const PAST_THE_WARNING: Duration = Duration::from_secs(60);

fn with_policy(features: &[String], policy: &str) -> Site {
    let site = Site::with(features);
    write_policy(&site, policy);
    site.configure("policy = \"policy.toml\"");
    site
}

fn write_policy(site: &Site, policy: &str) {
    let beside = site.path().join("policy.toml");
    fs::write(beside, policy).expect("a policy");
}

/// A token that takes two seats of sim.
fn suite() -> String {
    "  <FEATURE NAME=\"suite\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
     <SETTING TOKEN_DEPENDENCY=\"FEATURE=sim VERSION=1.0 COUNT=2\"/>\n  </FEATURE>\n"
        .into()
}

fn reload(daemon: &Daemon) -> Value {
    let answer = granted(daemon.admin().ask(&request::Reload::default()));
    serde_json::from_str(&answer.json).expect("JSON")
}

/// A checkout by somebody at some host.
fn checkout(
    client: &mut Client,
    user: &str,
    host: &str,
    items: &[(&str, u32)],
) -> Result<Held, answer::Refused> {
    let mut asked = asking(items);
    asked.facts = request::Facts { host: host.into(), ..facts(user) };
    client.checkout_again(&asked).expect("the connection lives").map(|(held, _)| held)
}

fn why(client: &mut Client, user: &str, feature: &str) -> Result<Value, answer::Refused> {
    let question =
        request::Why { feature: feature.into(), count: 1, facts: facts(user), ..Default::default() };
    client.ask(&question).expect("the connection lives").map(|a| serde_json::from_str(&a.json).expect("JSON"))
}

#[test]
fn the_policy_decides_and_a_reload_changes_it_without_touching_a_session() {
    let site = with_policy(
        &[exclusive("cad", 10)],
        "[groups.users]\nstudents = [\"ann\", \"bob\"]\n\n[[rule]]\nfeature = \"cad\"\ndeny = { users = [\"eve\"] }\n\n\
         [[rule]]\nfeature = \"cad\"\nlimit = 2\nper = \"group\"\nfor = { groups = [\"students\"] }\n\n\
         [[rule]]\nfeature = \"cad\"\nreserve = 3\nfor = { hosts = [\"lab1\"] }\n",
    );
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();

    let (code, details) = refused(checkout(&mut client, "Eve", "ws1", &[("cad", 1)]));
    assert_eq!(code, "denied_by_rule");
    assert_eq!((&details["rule"]["file"], &details["rule"]["line"]), (&json!("policy.toml"), &json!(4)));
    let ann = checkout(&mut client, "ann", "ws1", &[("cad", 1)]).expect("one of the students' two");
    checkout(&mut client, "ACME\\BOB", "ws2", &[("cad", 1)]).expect("the other");
    let (code, details) = refused(checkout(&mut client, "ann", "ws1", &[("cad", 1)]));
    assert_eq!(code, "limit_group");
    assert_eq!(details["limit"], json!({"whose": "group students", "seats": 2, "used": 2}));

    // Ten, three of them for the lab, two in use: five are left for others.
    let zoe = checkout(&mut client, "zoe", "ws3", &[("cad", 5)]).expect("five");
    let (code, details) = refused(checkout(&mut client, "zoe", "ws3", &[("cad", 1)]));
    assert_eq!(code, "reserved_for_others");
    assert_eq!((&details["reserved"], &details["free"]), (&json!(3), &json!(0)));
    checkout(&mut client, "zoe", "LAB1.acme.example", &[("cad", 3)]).expect("the lab's three");

    // Why, before anybody asks for a seat.
    let answer = why(&mut client, "eve", "cad").expect("a reader on this machine sees everything");
    assert_eq!((&answer["granted"], &answer["code"]), (&json!(false), &json!("denied_by_rule")));
    assert_eq!(answer["access_rule"]["line"], json!(4));
    let answer = why(&mut client, "ann", "cad").unwrap();
    assert_eq!(answer["limits"][0]["used"], json!(2));
    assert_eq!(answer["reservations"][0]["used"], json!(3));

    // A bad policy changes nothing and says where.
    write_policy(&site, "[[rule]]\nfeature = \"cad\"\nlimit = 1\nper = \"nobody\"\n");
    let answer = reload(&daemon);
    let problem = &answer["problems"][0];
    assert_eq!((&problem["reason"], &problem["line"]), (&json!("bad_policy"), &json!(4)), "{answer}");
    assert_eq!(refused(checkout(&mut client, "eve", "ws1", &[("cad", 1)])).0, "denied_by_rule");

    // A good one is in force when the reload is answered; nobody loses a seat.
    write_policy(&site, "[[rule]]\nfeature = \"cad\"\ndeny = { users = [\"zoe\"] }\n");
    assert_eq!(reload(&daemon)["problems"], json!([]));
    assert_eq!(client.heartbeat().unwrap(), 4, "sessions stay");
    client.give_back(&zoe);
    assert_eq!(refused(checkout(&mut client, "zoe", "lab1", &[("cad", 1)])).0, "denied_by_rule");
    checkout(&mut client, "eve", "ws1", &[("cad", 5)]).expect("no rule is about her any more");
    client.give_back(&ann);
}

#[test]
fn a_daemon_with_a_bad_policy_does_not_start() {
    let site = with_policy(&[exclusive("cad", 1)], "[[rule]]\nfeature = \"cad\"\nlimit = 2\n");
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("policy.toml:"), "{text}");
    let (code, text) = run_to_end(Start::of(&site).arg("--check"));
    assert_eq!(code, Some(78), "{text}");
}

#[test]
fn held_seats_and_shares_and_tokens_survive_a_crash() {
    let site = with_policy(
        &[
            feature("cad", "VERSION=\"9.9\" COUNT=\"2\" HOLD=\"3600\""),
            feature("viewer", "COUNT=\"1\" SHARE=\"HOST\""),
            feature("sim", "COUNT=\"4\""),
            suite(),
        ],
        "[[rule]]\nfeature = \"sim\"\nlimit = 4\nper = \"user\"\n",
    );
    // The dependency states a version: a license without one covers any.
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let cad = checkout(&mut client, "ann", "ws1", &[("cad", 1)]).expect("one of two");
    client.give_back(&cad);
    daemon.await_feature("cad", "one held", |f| f["used"] == 0 && f["held"] == 1 && f["free"] == 1);
    let one = checkout(&mut client, "ann", "ws1", &[("viewer", 1)]).expect("the one seat");
    let two = checkout(&mut client, "bob", "ws1", &[("viewer", 1)]).expect("the same seat");
    assert_eq!(refused(checkout(&mut client, "bob", "ws2", &[("viewer", 1)])).0, "no_seats");
    let suite = checkout(&mut client, "ann", "ws1", &[("suite", 2)]).expect("four seats of sim");
    assert_eq!(suite.sessions.len(), 1, "what a token takes goes with the token: {:?}", suite.sessions);
    let (code, details) = refused(checkout(&mut client, "bob", "ws2", &[("suite", 1)]));
    assert_eq!(
        (code.as_str(), &details["feature"], &details["needed_by"]),
        ("no_seats", &json!("sim"), &json!("suite"))
    );

    daemon.kill();
    let daemon = Daemon::start(&site);
    daemon.await_feature("cad", "still held", |f| f["held"] == 1);
    daemon.await_feature("viewer", "one seat for two", |f| f["used"] == 1 && f["free"] == 0);
    daemon.await_feature("sim", "what the token took", |f| f["used"] == 4);
    let mut client = daemon.connect_as([0; 16]);
    assert_eq!(refused(checkout(&mut client, "zoe", "ws9", &[("cad", 2)])).0, "no_seats");
    checkout(&mut client, "Ann", "WS1", &[("cad", 2)]).expect("the held one at once, and the free one");
    daemon.await_feature("cad", "no longer held", |f| f["held"] == 0 && f["used"] == 2);
    for held in [&one, &two, &suite] {
        let mut own = daemon.connect_as([7; 16]);
        // Another program may not take them over: the install id differs.
        assert!(own.resume(held).expect("the connection lives").is_err());
    }
}

#[test]
fn a_tokens_seats_come_back_with_it() {
    let site = Site::with(&[feature("sim", "COUNT=\"4\""), suite()]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let suite = client.checkout(&[("suite", 2)]).expect("four seats");
    daemon.await_used("sim", 4);
    let session = suite.sessions[0].0;
    assert_eq!(granted(client.checkin(session, 1)).remaining, 1);
    daemon.await_used("sim", 2);
    // The session that the token took is shown, and is not to be given back by itself.
    let sessions = daemon.admin().report("sessions", Some("sim")).expect("sessions");
    let taken = sessions["sessions"].as_array().expect("a list").clone();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(refused(client.checkin(session + 1, 0).expect("the connection lives")).0, "bad_request");
    client.give_back(&suite);
    daemon.await_used("sim", 0);
}

#[test]
fn an_idle_seat_goes_to_who_needs_it_after_a_warning() {
    let site = with_policy(&[exclusive("cad", 2)], "[[rule]]\nfeature = \"cad\"\nidle = \"10m\"\n");
    let daemon = Daemon::start(&site);
    let (mut idle, mut busy, mut wants) = (daemon.connect(), daemon.connect(), daemon.connect());
    let beat = |client: &mut Client, seconds: u32| {
        granted(client.ask(&request::Heartbeat { idle_seconds: Some(seconds), extras: Vec::new() })).sessions
    };
    let mine = checkout(&mut idle, "ann", "ws1", &[("cad", 1)]).expect("a seat");
    checkout(&mut busy, "bob", "ws2", &[("cad", 1)]).expect("a seat");
    assert_eq!((beat(&mut idle, 3_600), beat(&mut busy, 5)), (1, 1));
    let (code, details) = refused(checkout(&mut wants, "eve", "ws3", &[("cad", 1)]));
    assert_eq!(code, "no_seats");
    assert_eq!(details["due"], json!({"in_seconds": 30}), "the warned client has half a minute");
    let (session, feature, seconds) = idle.await_event("the warning", |event| match event {
        Event::SeatWanted(e) => Some((e.session, e.feature.clone(), e.seconds)),
        _ => None,
    });
    assert_eq!((session, feature.as_str(), seconds), (mine.sessions[0].0, "cad", 30));
    let eve = within(PAST_THE_WARNING, || {
        assert_eq!(beat(&mut busy, 5), 1, "who works keeps his seat");
        checkout(&mut wants, "eve", "ws3", &[("cad", 1)]).ok()
    });
    assert!(eve.is_some(), "the idle seat was never given away");
    let message = idle.await_event("its end", |event| match event {
        Event::SessionEnded(e) => Some(e.message.clone()),
        _ => None,
    });
    assert!(message.contains("nobody had used it"), "{message}");
    assert_eq!(refused(checkout(&mut wants, "zoe", "ws4", &[("cad", 1)])).0, "no_seats");
}

#[test]
fn a_dead_session_of_the_same_user_makes_room_for_his_limit() {
    let site =
        with_policy(&[exclusive("cad", 10)], "[[rule]]\nfeature = \"cad\"\nlimit = 1\nper = \"user\"\n");
    let daemon = Daemon::start(&site);
    let mut first = daemon.connect();
    checkout(&mut first, "ann", "ws1", &[("cad", 1)]).expect("his one");
    let mut second = daemon.connect();
    assert_eq!(refused(checkout(&mut second, "ann", "ws1", &[("cad", 1)])).0, "limit_user");
    drop(first);
    // Not before the resume window is over, and then at once, long before the lease ends (S3, S21).
    until("the dead session makes room", || checkout(&mut second, "ann", "ws1", &[("cad", 1)]).ok());
    daemon.await_used("cad", 1);
}
