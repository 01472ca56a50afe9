//! Waiting for seats, with the library and the program that ship (S30 to S33): who is served by what, in which order, and what
//! becomes of a place when the network, the daemon or the waiter breaks.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use seatkeeper_client::{Cancel, CheckoutError, Client, Event, Seats};
use serde_json::Value;

use crate::common::{Random, require, seed};
use crate::cuts::{options, want};
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::proxy::Proxy;
use crate::real::site::{Site, exclusive, upgrade};
use crate::real::until;

const LONG: Duration = Duration::from_secs(600);

/// Somebody who waits on a thread of his own.
struct Waiter {
    cancel: Cancel,
    events: mpsc::Receiver<Event>,
    thread: JoinHandle<Result<(Client, Seats), CheckoutError>>,
}

impl Waiter {
    fn start(servers: &[SocketAddr], user: &str, count: u32, wait: Duration) -> Waiter {
        let client = Client::new(options(servers));
        let (events, cancel) = (client.subscribe(), Cancel::new());
        let (want, cancelled) = (want(user).count(count).wait(wait), cancel.clone());
        let thread = std::thread::spawn(move || {
            let seats = client.checkout_or_cancel(want, &cancelled)?;
            Ok((client, seats))
        });
        Waiter { cancel, events, thread }
    }

    /// Starts one and returns when it has its place, with how many came before.
    fn placed(servers: &[SocketAddr], user: &str, wait: Duration) -> (Waiter, u64) {
        let waiter = Waiter::start(servers, user, 1, wait);
        let before = until("it has a place", || {
            waiter.events.try_iter().find_map(|event| match event {
                Event::Waiting { before, .. } => Some(before),
                _ => None,
            })
        });
        (waiter, before)
    }

    fn served(self) -> (Client, Seats) {
        until("it is served", || self.thread.is_finished().then_some(()));
        let (client, seats) = self.thread.join().expect("no panic").expect("it is served");
        assert_eq!(seats.sessions().len(), 1);
        (client, seats)
    }

    fn refused(self) -> CheckoutError {
        until("its wait ends", || self.thread.is_finished().then_some(()));
        self.thread.join().expect("no panic").err().expect("it has no seats")
    }
}

/// Who waits, in the order of the queue: user, place, state.
fn queue(daemon: &Daemon) -> Vec<(String, u64, String)> {
    let report = daemon.admin().report("queue", None).expect("a report");
    let text = |waiter: &Value, name: &str| waiter[name].as_str().expect("a text").to_owned();
    let of = |w: &Value| (text(w, "user"), w["place"].as_u64().expect("a number"), text(w, "state"));
    report["queue"].as_array().expect("a list").iter().map(of).collect()
}

fn waiting(user: &str, place: u64) -> (String, u64, String) {
    (user.to_owned(), place, "waiting".to_owned())
}

fn holder(daemon: &Daemon, user: &str, count: u32) -> (Client, Seats) {
    let client = Client::new(options(&[daemon.address()]));
    let seats = client.checkout(want(user).count(count)).expect("there are seats");
    (client, seats)
}

/// Waits until nothing is in use and nobody waits.
fn await_nothing(daemon: &Daemon) {
    daemon.await_feature("cad", "empty", |f| f["used"] == 0 && f["queued"] == 0);
}

#[test]
fn who_waits_is_shown_and_counted_and_served_by_what_is_given_back() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let (ben, before) = Waiter::placed(&[daemon.address()], "ben", LONG);
    assert_eq!(before, 0);
    let (carl, before) = Waiter::placed(&[daemon.address()], "carl", LONG);
    assert_eq!(before, 1);
    assert_eq!(queue(&daemon), [waiting("ben", 1), waiting("carl", 2)]);
    daemon.await_feature("cad", "two wait", |f| f["queued"] == 2);
    let given_back = Instant::now();
    drop(ann);
    let ben = ben.served();
    assert!(given_back.elapsed() < Duration::from_secs(2), "after {:?}", given_back.elapsed());
    assert_eq!(queue(&daemon), [waiting("carl", 1)], "confirmed, it waits no more");
    drop(ben);
    drop(carl.served());
    await_nothing(&daemon);
}

#[test]
fn an_upgrade_that_is_dropped_serves_who_waits() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let (ben, _) = Waiter::placed(&[daemon.address()], "ben", LONG);
    site.drop_signed("more.xml", &[upgrade("cad", 1, "")]);
    drop((ben.served(), ann));
    await_nothing(&daemon);
}

#[test]
fn an_upgrade_that_begins_at_midnight_serves_who_waits() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::with(&[exclusive("cad", 1), upgrade("cad", 1, "START=\"2030-07-01\"")]);
    let clock = FakeClock::new(&site, "2030-06-30T23:30:00Z");
    let daemon = clock.lead(Start::of(&site).arg("--time-zone").arg("UTC")).ready(&site);
    let ann = holder(&daemon, "ann", 1);
    let (ben, _) = Waiter::placed(&[daemon.address()], "ben", LONG);
    let set = Instant::now();
    clock.set("2030-06-30T23:59:58Z");
    let ben = ben.served();
    assert!(set.elapsed() >= Duration::from_secs(2), "before midnight: after {:?}", set.elapsed());
    drop((ben, ann));
}

/// The program, which waits for cad or has it.
pub(crate) fn program(daemon: &Daemon, site: &Site, words: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(words)
        .env("SEATKEEPER_SERVER", daemon.address().to_string())
        .env("XDG_STATE_HOME", site.path())
        .env("USER", "prog")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

/// The next line of what a program writes.
fn line(from: &mut impl std::io::Read) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, from).read_line(&mut line).expect("a line");
    line
}

#[test]
fn the_seat_of_a_run_that_was_killed_serves_who_waits_within_six_seconds() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let mut run = program(&daemon, &site, &["run", "cad", "--version", "4.2", "--", "sleep", "600"]);
    daemon.await_used("cad", 1);
    let (ben, _) = Waiter::placed(&[daemon.address()], "ben", LONG);
    let killed = Instant::now();
    run.kill().expect("it is there");
    run.wait().expect("it ends");
    let ben = ben.served();
    let took = killed.elapsed();
    println!("served {took:?} after the kill");
    assert!(took >= Duration::from_secs(4), "the resume window is for who is cut off: {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    drop(ben);
}

#[test]
fn twenty_waiters_of_twenty_connections_are_served_in_the_order_in_which_they_came() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let waiters: Vec<Waiter> = (0..20)
        .map(|at| {
            let (waiter, before) = Waiter::placed(&[daemon.address()], &format!("user{at}"), LONG);
            assert_eq!(before, at);
            waiter
        })
        .collect();
    drop(ann);
    for (at, waiter) in waiters.into_iter().enumerate() {
        let held = waiter.served();
        let sessions = daemon.admin().report("sessions", None).expect("a report");
        assert_eq!(sessions["sessions"][0]["user"], format!("user{at}"));
        assert_eq!(queue(&daemon).len(), 19 - at, "nobody else was served");
        drop(held);
    }
    await_nothing(&daemon);
}

#[test]
fn a_place_is_kept_over_kill_9_of_the_daemon_and_a_bad_network() {
    let mut random = Random(seed());
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("heartbeat = \"500ms\"\nlease = \"1h\"");
    let mut daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), move || random.bits());
    let client = Client::new(options(&[proxy.address()]));
    let ann = client.checkout(want("ann")).expect("the seat");
    let (ben, _) = Waiter::placed(&[proxy.address()], "ben", LONG);
    let (carl, _) = Waiter::placed(&[proxy.address()], "carl", LONG);
    for _ in 0..3 {
        daemon.kill();
        daemon = Daemon::start(&site);
        proxy.redirect(daemon.address());
        let faults = proxy.faults();
        proxy.set_wild(true);
        until("some faults", || (proxy.faults() > faults).then_some(()));
        proxy.set_wild(false);
        until("both are back in their places", || {
            (queue(&daemon) == [waiting("ben", 1), waiting("carl", 2)]).then_some(())
        });
    }
    drop(ann);
    let ben = ben.served();
    assert!(!carl.thread.is_finished(), "one after the other");
    drop(ben);
    drop(carl.served());
    await_nothing(&daemon);
}

#[test]
fn behind_hundreds_of_cuts_all_who_wait_are_served_and_nothing_is_left_behind() {
    const CLIENTS: usize = 12;
    let mut random = Random(seed());
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure("heartbeat = \"200ms\"\nlease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), move || random.bits());
    proxy.set_wild(true);
    let served = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for at in 0..CLIENTS {
            let (proxy, served) = (&proxy, &served);
            scope.spawn(move || {
                let client = Client::new(options(&[proxy.address()]));
                let user = format!("user{at}");
                while proxy.faults() < 300 && started.elapsed() < Duration::from_secs(60) {
                    match client.checkout(want(&user).wait(LONG)) {
                        Ok(seats) => {
                            assert_eq!(seats.sessions().len(), 1);
                            served.fetch_add(1, Ordering::SeqCst);
                            // Not a wait for anything: a user works.
                            std::thread::sleep(Duration::from_millis(20));
                        }
                        Err(CheckoutError::NoServer(_)) => {}
                        Err(error) => panic!("{user}: {error}"),
                    }
                }
                proxy.set_wild(false);
            });
        }
    });
    println!(
        "{} served, {} faults in {:?}",
        served.load(Ordering::SeqCst),
        proxy.faults(),
        started.elapsed()
    );
    assert!(served.load(Ordering::SeqCst) > CLIENTS, "there was no load");
    assert!(proxy.faults() > 100, "the network was good: {} faults", proxy.faults());
    await_nothing(&daemon);
}

#[test]
fn a_waiter_that_is_stopped_loses_its_turn_and_not_its_place() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let mut stopped =
        program(&daemon, &site, &["checkout", "cad", "--version", "4.2", "--wait", "600", "--json"]);
    until("it waits", || (queue(&daemon).len() == 1).then_some(()));
    let (ben, before) = Waiter::placed(&[daemon.address()], "ben", LONG);
    assert_eq!(before, 1);
    signal(&stopped, Signal::STOP);
    let given_back = Instant::now();
    drop(ann);
    let ben = ben.served();
    let took = given_back.elapsed();
    assert!((9..13).contains(&took.as_secs()), "after the time to confirm: {took:?}");
    assert_eq!(queue(&daemon)[0].2, "gone", "its place is kept");
    signal(&stopped, Signal::CONT);
    until("it is back in its place", || (queue(&daemon).first()?.2 == "waiting").then_some(()));
    drop(ben);
    let granted = line(stopped.stdout.as_mut().expect("a pipe"));
    assert!(granted.contains("\"granted\":true"), "{granted}");
    signal(&stopped, Signal::TERM);
    let output = stopped.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("nobody came before") && !text.contains("lost its seats"), "{text}");
    await_nothing(&daemon);
}

/// A client that falls silent at once, in the eyes of the server, and is not kept for long.
const SHORT: &str = "heartbeat = \"200ms\"\nlease = \"1s\"\nresume_window = \"500ms\"\nreap_after = \"1s\"";

/// The exit code of a program that ends by itself, and what it said on standard error.
fn end_of(mut program: Child) -> (Option<i32>, String) {
    until("it ends", || program.try_wait().expect("a child"));
    let output = program.wait_with_output().expect("its output");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// S22, S23, S32: stopped past its resume window, its lease and the reap time while somebody waits for its seat; beside
/// it one whose seat nobody wants.
#[test]
fn a_program_stopped_past_the_reaping_loses_its_seat_to_who_waits_and_is_told() {
    let site = Site::with(&[exclusive("cad", 1), exclusive("sim", 1)]);
    site.configure(SHORT);
    let daemon = Daemon::start(&site);
    let wanted = program(&daemon, &site, &["checkout", "cad", "--version", "4.2"]);
    let unwanted = program(&daemon, &site, &["checkout", "sim", "--version", "4.2"]);
    ["cad", "sim"].iter().for_each(|name| daemon.await_used(name, 1));
    let (ben, before) = Waiter::placed(&[daemon.address()], "ben", LONG);
    assert_eq!(before, 0);

    let stopped = Instant::now();
    [&wanted, &unwanted].iter().for_each(|program| signal(program, Signal::STOP));
    let ben = ben.served();
    let took = stopped.elapsed();
    println!("served {took:?} after the stop");
    // Its last sign of life may be a heartbeat (200 ms) older.
    assert!(took >= Duration::from_millis(750), "it had its lease: {took:?}");
    // The other's seat shows that the reap time is over too.
    daemon.await_used("sim", 0);
    assert!(stopped.elapsed() >= Duration::from_millis(1_700), "a lease, and then a second");
    [&wanted, &unwanted].iter().for_each(|program| signal(program, Signal::CONT));
    for (program, why) in
        [(wanted, "given to somebody else"), (unwanted, "nothing was heard from this client")]
    {
        let (code, text) = end_of(program);
        assert_eq!(code, Some(75), "{text}");
        assert!(text.contains("(already_removed, at ") && text.contains(why), "{why}: {text}");
    }
    // Who was given the seat has it, whatever the other said when it woke.
    daemon.await_used("cad", 1);
    drop(ben);
    await_nothing(&daemon);
}

/// S31: the place of a waiter that is stopped for longer than its lease and the reap time ends, whether or not others wait.
#[test]
fn a_waiter_stopped_past_the_reaping_loses_its_place_and_is_told() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure(SHORT);
    let daemon = Daemon::start(&site);
    for with_others in [false, true] {
        let ann = holder(&daemon, "ann", 1);
        let mut stopped = program(&daemon, &site, &["checkout", "cad", "--version", "4.2", "--wait", "600"]);
        until("it waits", || (queue(&daemon).len() == 1).then_some(()));
        let behind = with_others.then(|| Waiter::placed(&[daemon.address()], "ben", LONG));
        signal(&stopped, Signal::STOP);
        until("its place is kept for a while", || (queue(&daemon).first()?.2 == "gone").then_some(()));
        let left: Vec<_> = behind.iter().map(|_| waiting("ben", 1)).collect();
        until("its place has ended", || (queue(&daemon) == left).then_some(()));
        signal(&stopped, Signal::CONT);
        // It reads that its place is lost, or finds first that its connection was silent for too long and asks anew: then it
        // stands behind those who came meanwhile.
        let asks_anew = until("it ends or waits anew", || {
            let has_ended = stopped.try_wait().expect("a child").is_some();
            let last =
                queue(&daemon).last().filter(|last| last.0 == "prog" && last.2 == "waiting").map(|l| l.1);
            has_ended.then_some(None).or(last.map(Some))
        });
        match asks_anew {
            Some(place) => {
                assert_eq!(place, left.len() as u64 + 1, "not in its old place");
                stopped.kill().expect("it runs");
                until("its place is lost again", || (queue(&daemon) == left).then_some(()));
                stopped.wait().expect("it ends");
            }
            None => {
                let (code, text) = end_of(stopped);
                assert_eq!(code, Some(75), "{text}");
                assert!(text.contains("its client was gone for too long"), "{text}");
            }
        }
        drop(ann);
        if let Some((ben, _)) = behind {
            drop(ben.served());
        }
        await_nothing(&daemon);
    }
}

#[test]
fn a_wait_ends_by_time_by_cancel_and_by_an_administrator() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("[limits]\nwaiters_per_feature = 3");
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let short = Waiter::start(&[daemon.address()], "ben", 1, Duration::from_secs(1));
    let error = short.refused();
    assert!(matches!(&error, CheckoutError::Denied(no) if no.code == "queue_timeout"), "{error}");

    let (cancelled, _) = Waiter::placed(&[daemon.address()], "carl", LONG);
    let (released, before) = Waiter::placed(&[daemon.address()], "dora", LONG);
    assert_eq!(before, 1);
    let (kept, _) = Waiter::placed(&[daemon.address()], "emil", LONG);
    let full = Waiter::start(&[daemon.address()], "fay", 1, LONG).refused();
    assert!(matches!(&full, CheckoutError::Denied(no) if no.code == "queue_full"), "{full}");

    cancelled.cancel.cancel();
    assert!(matches!(cancelled.refused(), CheckoutError::Cancelled));
    assert_eq!(queue(&daemon), [waiting("dora", 1), waiting("emil", 2)]);

    let id = daemon.admin().report("queue", None).expect("a report")["queue"][0]["id"].clone();
    let socket = site.state().join("admin.sock");
    let release = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["release", id.as_str().expect("an id"), "--admin"])
        .arg(socket)
        .output()
        .expect("it runs");
    assert!(release.status.success(), "{release:?}");
    let error = released.refused();
    assert!(matches!(&error, CheckoutError::Denied(no) if no.code == "already_removed"), "{error}");
    drop(ann);
    drop(kept.served());
    await_nothing(&daemon);
}

#[test]
fn of_several_servers_a_free_seat_comes_first_and_then_the_queue_of_the_first() {
    let (near, far) = (Site::with(&[exclusive("cad", 1)]), Site::with(&[exclusive("cad", 1)]));
    let (near, far) = (Daemon::start(&near), Daemon::start(&far));
    let both = [near.address(), far.address()];
    let ann = holder(&near, "ann", 1);
    let ben = Waiter::start(&both, "ben", 1, LONG).served();
    assert_eq!(far.connect().feature("cad")["used"], 1, "no need to wait");
    let (carl, _) = Waiter::placed(&both, "carl", LONG);
    assert_eq!((queue(&near), queue(&far)), (vec![waiting("carl", 1)], vec![]));
    drop(ann);
    drop((carl.served(), ben));
    await_nothing(&near);
    await_nothing(&far);
}

#[test]
fn the_program_says_that_it_waits_and_how_it_ends() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let ann = holder(&daemon, "ann", 1);
    let output = program(&daemon, &site, &["run", "cad", "--version", "4.2", "--wait", "1", "--", "true"])
        .wait_with_output();
    let output = output.expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.contains("; nobody came before\n") && text.contains("(queue_timeout)"), "{text}");

    let mut waits = program(&daemon, &site, &["checkout", "cad", "--version", "4.2", "--wait", "600"]);
    let said = line(waits.stderr.as_mut().expect("a pipe"));
    assert!(said.starts_with("seatkeeper: waits for seats in the queue of 127.0.0.1:"), "{said}");
    let shown = program(&daemon, &site, &["queue"]).wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("1 cad") && shown.contains("waiting"), "{shown}");
    signal(&waits, Signal::INT);
    let code = waits.wait().expect("it ends").code();
    let mut rest = String::new();
    waits.stderr.take().expect("a pipe").read_to_string(&mut rest).expect("text");
    assert_eq!((code, rest.as_str()), (Some(130), "seatkeeper: gave up waiting\n"));
    assert_eq!(queue(&daemon), []);

    let run =
        program(&daemon, &site, &["run", "cad", "--version", "4.2", "--wait", "600", "--", "echo", "served"]);
    until("it waits", || (queue(&daemon).len() == 1).then_some(()));
    drop(ann);
    let output = run.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"served\n"[..]));
    await_nothing(&daemon);
}
