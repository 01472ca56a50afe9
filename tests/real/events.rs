//! `seatkeeper events` against the daemon that ships: in order, over restarts, as far as the reader may see, and at nobody's
//! cost (S83, S84).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use wire::request;

use crate::real::client::{Client, asking, facts, granted, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive, upgrade};
use crate::real::{PATIENCE, until};
use crate::shown::{json as command, seatkeeper};

/// `seatkeeper events --follow --json`, line by line.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
    said: Receiver<String>,
}

impl Follower {
    fn start(words: &[&std::ffi::OsStr]) -> Follower {
        let mut child = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
            .args(["events", "--follow", "--json"])
            .args(words)
            .env_remove("SEATKEEPER_SERVER")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).expect("each line is an event"));
            }
        });
        let (send, said) = channel();
        let error = BufReader::new(child.stderr.take().expect("a pipe"));
        std::thread::spawn(move || error.lines().map_while(Result::ok).all(|line| send.send(line).is_ok()));
        Follower { child, lines, said }
    }

    /// The next event of one of these kinds; others are passed over.
    fn next(&self, kinds: &[&str]) -> Value {
        loop {
            let event =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("none of {kinds:?} comes"));
            if kinds.iter().any(|kind| event["kind"] == *kind) {
                return event;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn take(
    client: &mut Client,
    user: &str,
    count: u32,
) -> Result<crate::real::client::Held, wire::answer::Refused> {
    let mut asked = asking(&[("cad", count)]);
    asked.facts = facts(user);
    client.checkout_again(&asked).expect("the connection lives").map(|(held, _)| held)
}

#[test]
fn what_happens_is_followed_in_order_and_over_a_restart() {
    let site = Site::with(&[exclusive("cad", 2)]);
    let mut daemon = Daemon::start(&site);
    let admin = daemon.admin_path().to_owned();
    let follower =
        Follower::start(&["--after".as_ref(), "0".as_ref(), "--admin".as_ref(), admin.as_os_str()]);
    let started = follower.next(&["server.started"]);
    assert_eq!((&started["seq"], &started["sessions"]), (&json!(1), &json!(0)), "{started}");
    let first = follower.next(&["pool.changed"]);
    assert_eq!((&first["old_total"], &first["new_total"]), (&json!(0), &json!(2)), "{first}");

    let mut client = daemon.connect();
    let ann = take(&mut client, "ann", 2).expect("two seats");
    refused(take(&mut client, "bob", 1));
    client.give_back(&ann);
    site.drop_signed("more.xml", &[upgrade("cad", 3, "")]);
    assert_eq!(seatkeeper(&daemon, &["reload"]).0, 0);
    let carl = take(&mut client, "carl", 5).expect("the upgrade counts");
    let session = seats::change::SessionId(carl.sessions[0].0).to_string();
    assert_eq!(seatkeeper(&daemon, &["release", &session, "--reason", "exam"]).0, 0);

    let all = [
        "session.granted",
        "session.denied",
        "session.ended",
        "pool.changed",
        "licenses.reloaded",
        "admin.action",
    ];
    let mut seen = Vec::new();
    while seen.iter().filter(|event: &&Value| event["kind"] == "admin.action").count() < 2 {
        seen.push(follower.next(&all));
    }
    let of = |user: &str| -> Vec<&str> {
        let mine = seen.iter().filter(|event| event["user"] == user);
        mine.map(|event| event["kind"].as_str().expect("a kind")).collect()
    };
    assert_eq!(of("ann"), ["session.granted", "session.ended"], "{seen:?}");
    assert_eq!(of("bob"), ["session.denied"]);
    assert_eq!(of("carl"), ["session.granted", "session.ended"]);
    let at = |wanted: &dyn Fn(&Value) -> bool| seen.iter().position(wanted).expect("it happened");
    let denied = &seen[at(&|event| event["user"] == "bob")];
    assert_eq!((&denied["code"], &denied["numbers"]["used"]), (&json!("no_seats"), &json!(2)), "{denied}");
    let changed = at(&|event| event["kind"] == "pool.changed");
    assert_eq!((&seen[changed]["old_total"], &seen[changed]["new_total"]), (&json!(2), &json!(5)));
    let grant = at(&|event| event["user"] == "carl" && event["seats"] == 5);
    let back = at(&|event| event["user"] == "ann" && event["kind"] == "session.ended");
    let read = at(&|event| event["kind"] == "licenses.reloaded");
    assert!(back < changed && changed < read && changed < grant, "{seen:?}");
    let released = seen.last().expect("the last");
    assert_eq!((&released["action"], &released["reason"]), (&json!("release"), &json!("exam")), "{released}");
    assert!(released["by"].as_str().is_some_and(|by| by.starts_with("uid ")), "{released}");
    let seqs: Vec<u64> = seen.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");

    // A stop in order is told, and the start of the next run too.
    assert_eq!(daemon.terminate(), Some(0));
    let stopping = follower.next(&["server.stopping"]);
    assert!(stopping["by"].as_str().is_some_and(|by| by.contains("pid ")), "{stopping}");
    let daemon = Daemon::start(&site);
    let again = follower.next(&["server.started"]);
    assert_eq!(again["seq"], 1, "{again}");
    assert_ne!(again["run"], started["run"]);
    let mut client = daemon.connect();
    take(&mut client, "dan", 1).expect("a seat");
    assert_eq!(follower.next(&["session.granted"])["user"], "dan");
    let said: Vec<String> = follower.said.try_iter().collect();
    assert!(said.iter().any(|line| line.contains("the server is lost")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("the server was restarted")), "{said:?}");
}

#[test]
fn the_list_is_for_people_and_programs_and_one_feature_can_be_chosen() {
    let site = Site::with(&[exclusive("cad", 2), exclusive("cam", 1)]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let mut asked = asking(&[("cad", 2)]);
    asked.facts = facts("\u{5f20}\u{4f1f}");
    granted(client.checkout_again(&asked).map(|answer| answer.map(|(held, _)| held)));
    let mut other = asking(&[("cam", 1)]);
    other.facts = facts("bob");
    granted(client.checkout_again(&other).map(|answer| answer.map(|(held, _)| held)));
    // The answer was there before the event could be read.
    let listed = |words: &[&str]| command(&daemon, &[&["events"], words].concat());
    let whole = until("both are listed", || {
        let whole = listed(&[]);
        let events = whole["events"].as_array().expect("events").clone();
        (events.iter().filter(|event| event["kind"] == "session.granted").count() == 2).then_some(whole)
    });
    assert_eq!((&whole["schema"], whole["run"].as_str().map(str::len)), (&json!(1), Some(32)), "{whole}");
    let one = listed(&["--feature", "CAM"]);
    let kinds: Vec<&Value> =
        one["events"].as_array().expect("events").iter().map(|event| &event["feature"]).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|feature| **feature == "cam"), "{one}");
    assert_eq!(listed(&["--feature", "ACME/cam"])["events"], one["events"]);
    assert_eq!(listed(&["--feature", "OTHER/cam"])["events"], json!([]));
    let last = whole["last"].as_u64().expect("a number").to_string();
    assert_eq!(listed(&["--after", &last])["events"], json!([]));
    let (_, text) = seatkeeper(&daemon, &["events"]);
    assert!(text.contains("  cad  \u{5f20}\u{4f1f}@ws7  2 seats granted, version 4.2  ("), "{text}");
    assert!(text.lines().next().is_some_and(|day| day.len() == 10 && day.starts_with("20")), "{text}");
}

#[test]
fn a_reader_of_counts_sees_no_user_and_one_of_admin_no_event() {
    let site = Site::with(&[exclusive("cad", 2)]);
    for (readers, may) in [("counts", true), ("admin", false)] {
        site.configure(&format!("readers = \"{readers}\""));
        let daemon = Daemon::start(&site);
        let mut client = daemon.connect();
        let held = take(&mut client, "ann", 2).expect("two seats");
        refused(take(&mut client, "bob", 1));
        client.give_back(&held);
        let ask = request::Events { after: Some(0), ..request::Events::default() };
        if !may {
            let (code, _) = refused(client.ask(&ask).expect("the connection lives"));
            assert_eq!(code, "not_permitted");
            continue;
        }
        let text = until("the checkin is told", || {
            let part = granted(client.ask(&ask));
            part.json.contains("session.ended").then_some(part.json)
        });
        for secret in ["ann", "bob", "ws7", "127.0.0.1", "\"pid\"", "cad.xml"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        let part: Value = serde_json::from_str(&text).expect("JSON");
        let events = part["events"].as_array().expect("events");
        let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        assert_eq!((of("session.granted"), of("session.denied"), of("session.ended")), (1, 1, 1), "{text}");
    }
}

#[test]
fn a_follower_that_never_reads_stops_nobody_and_nothing_grows() {
    let site = Site::with(&[exclusive("cad", 1_000)]);
    let daemon = Daemon::start(&site);
    let mut deaf = daemon.connect();
    let follow = request::Events { after: None, follow_ms: 30_000, ..request::Events::default() };
    let calls: Vec<u32> = (0..16).map(|_| deaf.send(&follow).expect("sent")).collect();
    let (code, _) = refused(deaf.ask(&follow).expect("the connection lives"));
    assert_eq!(code, "busy", "one connection waits for sixteen at most");
    let mut client = daemon.connect();
    let round = |client: &mut Client| {
        for _ in 0..500 {
            let held = take(client, "ann", 1).expect("a seat");
            client.give_back(&held);
        }
    };
    round(&mut client);
    let before = daemon.memory("VmRSS");
    round(&mut client);
    round(&mut client);
    let grown = daemon.memory("VmRSS").saturating_sub(before);
    // Two thousand events that are remembered, and nothing for who does not read them.
    assert!(grown < 24 << 20, "{grown} bytes");
    // Each question got one answer, made when there was something to tell.
    for call in calls {
        let part = granted(deaf.take::<request::Events>(call));
        assert!(part.json.contains("\"events\":[{"), "{}", part.json);
    }
    // A goodbye ends the wait of the questions before it.
    deaf.send(&follow).expect("sent");
    let asked = std::time::Instant::now();
    granted(deaf.ask(&request::Goodbye::default()));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}
