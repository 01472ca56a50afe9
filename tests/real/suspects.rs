//! Clients that are gone, as processes: killed, stopped, cut off, and the daemon killed under them (S20 to S23, S61).

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::real::client::{Client, Held, granted, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};
use crate::real::{PATIENCE, until, within};
use crate::shown::{json, seatkeeper};

/// A client that falls silent at once, in the eyes of the server.
const SHORT: &str = "heartbeat = \"200ms\"\nlease = \"1s\"\nresume_window = \"500ms\"";

/// `seatkeeper` with a seat. Dropped, it is killed.
struct Program {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts it and waits until it has its seat, which the daemon then shows.
    fn start(site: &Site, daemon: &Daemon, words: &[&str]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
            .args(words)
            .env_remove("SEATKEEPER_ADMIN")
            .env("SEATKEEPER_SERVER", daemon.address().to_string())
            .env("XDG_STATE_HOME", site.path())
            // What runs under it ends with this pipe, whatever becomes of it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Arc::new(Mutex::new(Vec::new()));
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("a pipe")), Box::new(child.stderr.take().expect("a pipe"))];
        for pipe in pipes {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        let program = Program { child, said };
        let mut client = daemon.connect();
        let has_seat = within(PATIENCE, || (client.feature("cad")["used"] == 1).then_some(()));
        assert!(has_seat.is_some(), "{words:?} has no seat:\n{}", program.said());
        program
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    fn await_said(&self, part: &str) {
        let found = within(PATIENCE, || self.said().contains(part).then_some(()));
        assert!(found.is_some(), "it did not say {part:?}:\n{}", self.said());
    }

    fn exit_code(&mut self) -> Option<i32> {
        until("the program ends", || self.child.try_wait().expect("a child")).code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn await_suspect(daemon: &Daemon, suspect: u64, used: u64) {
    let what = format!("{suspect} suspect of {used} in use");
    daemon.await_feature("cad", &what, |f| f["suspect"] == suspect && f["used"] == used);
}

fn sessions(daemon: &Daemon) -> Vec<Value> {
    json(daemon, &["sessions"])["sessions"].as_array().expect("a list").clone()
}

/// Milliseconds between two instants of a session; instants are shown in whole seconds.
fn between(session: &Value, from: &str, to: &str) -> i64 {
    let instant = |name: &str| {
        let text = session[name].as_str().unwrap_or_else(|| panic!("no {name}: {session}"));
        text.parse::<DateTime<Utc>>().unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    (instant(to) - instant(from)).num_milliseconds()
}

/// Asks until there is a seat: the checkout, and what the last denial said of when.
fn await_seat(client: &mut Client) -> (Held, Option<Value>) {
    let mut due = None;
    let held = until("a seat", || match client.checkout(&[("cad", 1)]) {
        Ok(held) => Some(held),
        Err(denial) => {
            let (code, details) = refused(Err::<(), _>(denial));
            assert_eq!(code, "no_seats", "{details}");
            due = Some(details["due"].clone());
            None
        }
    });
    (held, due)
}

/// S21, S22: with the configuration's defaults.
#[test]
fn the_seat_of_a_killed_program_serves_another_within_six_seconds() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let mut program = Program::start(&site, &daemon, &["run", "cad", "--version", "4.2", "--", "cat"]);
    let mut client = daemon.connect();
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "no_seats");

    let killed = Instant::now();
    program.child.kill().expect("it runs");
    let (_, due) = await_seat(&mut client);
    let took = killed.elapsed();
    println!("a seat {took:?} after the kill");
    assert!(took <= Duration::from_secs(6), "{took:?}");
    // A tick of a millisecond may have begun before.
    assert!(took >= Duration::from_millis(4_990), "the resume window is five seconds: {took:?}");
    let due = due.expect("it was refused before");
    assert!(due["in_seconds"].as_u64().is_some_and(|s| s <= 5), "{due}");
    assert_eq!(program.exit_code(), None, "killed");
}

/// S20: asleep for longer than its lease, and nobody needed its seat.
#[test]
fn a_program_that_slept_finds_its_seat() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure(SHORT);
    let daemon = Daemon::start(&site);
    let mut program = Program::start(&site, &daemon, &["checkout", "cad", "--version", "4.2"]);
    let before = sessions(&daemon);
    program.signal(Signal::STOP);
    await_suspect(&daemon, 1, 1);
    let session = &sessions(&daemon)[0];
    assert_eq!((&session["state"], &session["id"]), (&"suspect".into(), &before[0]["id"]));
    assert!(between(session, "suspect_since", "free_at") <= 0, "it had its lease: {session}");

    program.signal(Signal::CONT);
    await_suspect(&daemon, 0, 1);
    let after = &sessions(&daemon)[0];
    assert_eq!((&after["state"], &after["id"]), (&"active".into(), &before[0]["id"]));
    assert!(!program.said().contains("lost its seats"), "{}", program.said());
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(0), "{}", program.said());
    daemon.await_used("cad", 0);
}

/// S22, S23: asleep, and somebody else needed its seat.
#[test]
fn a_program_that_slept_while_its_seat_was_needed_is_told() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure(SHORT);
    let daemon = Daemon::start(&site);
    let mut program = Program::start(&site, &daemon, &["checkout", "cad", "--version", "4.2"]);
    let mut client = daemon.connect();
    program.signal(Signal::STOP);
    let (held, _) = await_seat(&mut client);
    client.give_back(&held);
    // Over its old connection, which is still open.
    program.signal(Signal::CONT);
    program.await_said("(already_removed, at ");
    assert!(program.said().contains("lost its seats"), "{}", program.said());
    assert_eq!(program.exit_code(), Some(75), "{}", program.said());
    daemon.await_used("cad", 0);
}

/// S22: asleep for so long that its session is reaped, though nobody needed the seat.
#[test]
fn a_program_that_slept_past_the_reaping_is_told() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure(&format!("{SHORT}\nreap_after = \"1s\""));
    let daemon = Daemon::start(&site);
    let mut program = Program::start(&site, &daemon, &["checkout", "cad", "--version", "4.2"]);
    let stopped = Instant::now();
    program.signal(Signal::STOP);
    daemon.await_used("cad", 0);
    // Its last sign of life may be a heartbeat (200 ms) older.
    assert!(stopped.elapsed() >= Duration::from_millis(1_700), "a lease, and then a second");
    program.signal(Signal::CONT);
    program.await_said("(already_removed, at ");
    assert_eq!(program.exit_code(), Some(75), "{}", program.said());
}

/// S23: who comes back too late over a new connection is told when and why.
#[test]
fn a_client_whose_seat_was_given_away_learns_when_and_why() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("resume_window = \"0s\"");
    let daemon = Daemon::start(&site);
    let mut lost = daemon.connect();
    let (install_id, held) = (lost.install_id, lost.checkout(&[("cad", 1)]).expect("a seat"));
    drop(lost);
    let (_, _) = await_seat(&mut daemon.connect());
    let mut lost = daemon.connect_as(install_id);
    let denial = lost.resume(&held).expect("the connection lives").expect_err("its seat is another's");
    assert!(denial.message.contains("given to somebody else"), "{}", denial.message);
    let (code, details) = refused(Err::<(), _>(denial));
    assert_eq!(code, "already_removed");
    // With the grant that it made room for.
    assert_eq!(sessions(&daemon)[0]["since"], details["ended_at"]);
}

/// S20, S4: what an administrator sees of a client whose connection was cut.
#[test]
fn a_client_that_was_cut_off_is_shown_and_is_active_again_when_it_is_back() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let daemon = Daemon::start(&site);
    let mut stays = daemon.connect();
    stays.checkout(&[("cad", 1)]).expect("a seat");
    let mut cut = daemon.connect();
    let (install_id, held) = (cut.install_id, cut.checkout(&[("cad", 2)]).expect("two seats"));
    let is_active = |session: &Value| {
        let times = ["suspect_since", "free_at", "reaped_at"];
        session["state"] == "active" && times.iter().all(|name| session[name].is_null())
    };
    assert!(sessions(&daemon).iter().all(is_active));

    drop(cut);
    await_suspect(&daemon, 2, 3);
    let list = sessions(&daemon);
    assert!(is_active(&list[0]), "{}", list[0]);
    let session = &list[1];
    assert_eq!((&session["state"], &session["id"]), (&"suspect".into(), &"2".into()), "{session}");
    // Instants are whole seconds, rounded down.
    assert!((4_000..=6_000).contains(&between(session, "suspect_since", "free_at")), "{session}");
    assert!((899_000..=901_000).contains(&between(session, "suspect_since", "reaped_at")), "{session}");
    assert!(between(session, "last_seen", "suspect_since") >= -1_000, "{session}");
    let feature = json(&daemon, &["status"])["features"][0].clone();
    let numbers = ["used", "active", "suspect", "held", "free"].map(|name| feature[name].as_u64());
    assert_eq!(numbers, [Some(3), Some(1), Some(2), Some(0), Some(0)], "{feature}");

    let (_, text) = seatkeeper(&daemon, &["status"]);
    let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = text.lines().find(|line| line.starts_with("ACME/cad")).expect("a row");
    assert_eq!(columns(row)[1..5], ["3", "3", "0", "2"], "{text}");
    let (_, text) = seatkeeper(&daemon, &["sessions"]);
    assert!(text.lines().any(|line| columns(line).contains(&"suspect".into())), "{text}");
    let (_, below) = text.split_once("\nSUSPECT").unwrap_or_else(|| panic!("no table: {text}"));
    let row = columns(below.lines().nth(1).expect("a row"));
    assert_eq!(row[0], session["id"].as_str().expect("an id"), "{text}");
    // Three instants, each a day and a time.
    assert_eq!(row.len(), 1 + 3 * 2, "{text}");

    let mut back = daemon.connect_as(install_id);
    assert_eq!(granted(back.resume(&held)).sessions[0].count, 2);
    await_suspect(&daemon, 0, 3);
    assert!(sessions(&daemon).iter().all(is_active));
    assert!(!seatkeeper(&daemon, &["sessions"]).1.contains("SUSPECT"));
}

/// S21, S61: the daemon is killed; suspects and those who were there all come back to a full lease.
#[test]
fn after_a_restart_every_session_is_there_with_a_full_lease() {
    const FULL: Duration = Duration::from_secs(6);
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure("heartbeat = \"2s\"\nlease = \"6s\"\nresume_window = \"0s\"");
    let mut daemon = Daemon::start(&site);
    let mut connected = daemon.connect();
    let first = connected.checkout(&[("cad", 1)]).expect("a seat");
    let cut: Vec<(Held, [u8; 16])> = (0..2)
        .map(|_| {
            let mut client = daemon.connect();
            (client.checkout(&[("cad", 1)]).expect("a seat"), client.install_id)
        })
        .collect();
    until("two are suspect", || {
        connected.heartbeat().expect("the connection lives");
        (daemon.connect().feature("cad")["suspect"] == 2).then_some(())
    });
    daemon.kill();
    let started = Instant::now();
    let daemon = Daemon::start(&site);
    let list = sessions(&daemon);
    assert_eq!(list.len(), 3, "{list:?}");
    for session in &list {
        assert_eq!((&session["state"], &session["last_seen"]), (&"suspect".into(), &Value::Null));
        assert!((5_000..=7_000).contains(&between(session, "suspect_since", "free_at")), "{session}");
        assert!((899_000..=901_000).contains(&between(session, "free_at", "reaped_at")), "{session}");
    }
    assert_eq!(json(&daemon, &["status"])["server"]["recovering"], true);
    // Who was there comes back, and one of those that were cut off; the third's seat is another's after the lease.
    let mut back: Vec<Client> = [(&first, connected.install_id), (&cut[0].0, cut[0].1)]
        .map(|(held, install_id)| {
            let mut client = daemon.connect_as(install_id);
            granted(client.resume(held));
            client
        })
        .into();
    let mut other = daemon.connect();
    let (code, details) = refused(other.checkout(&[("cad", 1)]));
    assert_eq!((code.as_str(), &details["recovering"]), ("no_seats", &Value::Bool(true)), "{details}");
    until("the third's seat", || {
        back.iter_mut().for_each(|client| assert_eq!(client.heartbeat().expect("the connection lives"), 1));
        other.checkout(&[("cad", 1)]).ok()
    });
    assert!(started.elapsed() >= FULL, "a full lease for all: {:?}", started.elapsed());
    let late = daemon.connect_as(cut[1].1).resume(&cut[1].0).expect("the connection lives");
    assert_eq!(refused(late).0, "already_removed");
}
