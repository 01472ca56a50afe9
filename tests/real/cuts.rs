//! Clients of the library behind a bad network: whatever is cut, stalled, reset or late, nobody has two seats and none is
//! left behind (S2, S10, S26).
//!
//! The lease and the resume window are far longer than the tests: a seat that comes back does so because its client gave it
//! back, and not because it was needed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use seatkeeper_client::{
    Address, Backoff, CheckinError, CheckoutError, Client, Event, Facts, InstallId, Options, Seats, Want,
    facts,
};

use crate::common::{Random, seed};
use crate::real::client::random_bytes;
use crate::real::daemon::Daemon;
use crate::real::proxy::Proxy;
use crate::real::site::{Site, exclusive};
use crate::real::until;

/// Clients, each with one checkout at a time.
const CLIENTS: usize = 32;
/// Far above what the faults take; reached only if clients no longer get on.
const LIMIT: Duration = Duration::from_secs(240);

/// Impatient, so that a thousand faults pass in seconds.
pub(crate) fn options(servers: &[SocketAddr]) -> Options {
    let servers = servers.iter().map(|a| Address::Tcp { host: a.ip().to_string(), port: a.port() });
    Options {
        install_id: InstallId(random_bytes()),
        connect_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_millis(700),
        backoff: Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(100) },
        grace_directory: None,
        ..Options::new(servers.collect(), "cuts", "1")
    }
}

pub(crate) fn want(user: &str) -> Want {
    let facts = facts::here();
    Want { facts: Facts { user: user.to_owned(), ..facts }, ..Want::feature("cad") }.version("4.2")
}

fn bits_of(seed: u64) -> impl FnMut() -> u64 + Send {
    let mut random = Random(seed);
    move || random.bits()
}

/// Asks the daemon again and again who has what, past the bad network: the most seats ever in use. Nobody may ever have
/// more of a feature than he asks for at a time.
fn watch(daemon: &Daemon, count: u64, is_over: &AtomicBool) -> u64 {
    let mut admin = daemon.admin();
    let mut most = 0;
    while !is_over.load(Ordering::SeqCst) {
        let report = admin.report("sessions", None).expect("a report");
        let sessions = report["sessions"].as_array().expect("a list");
        let mut of: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for session in sessions {
            let text = |name: &str| session[name].as_str().expect("a text");
            *of.entry((text("user"), text("feature"))).or_default() +=
                session["count"].as_u64().expect("a count");
        }
        if let Some(((user, _), has)) = of.iter().find(|(_, has)| **has > count) {
            let his: Vec<_> = sessions.iter().filter(|session| session["user"] == **user).collect();
            panic!("{user} has {has} seats: {his:#?}");
        }
        most = most.max(of.values().sum());
    }
    most
}

/// Takes seats of `want`, has them for a moment, gives some back and then all; until it is over. How many there were.
fn work(proxy: &Proxy, want: &Want, mut random: Random, is_over: &AtomicBool) -> usize {
    let client = Client::new(options(&[proxy.address()]));
    let events = client.subscribe();
    let mut taken = 0;
    while !is_over.load(Ordering::SeqCst) {
        match client.checkout(want.clone()) {
            Ok(seats) => {
                taken += 1;
                assert_eq!(seats.sessions().len(), want.items.len());
                // Not a wait for anything: a user works.
                std::thread::sleep(Duration::from_millis(random.within(0, 150).unsigned_abs()));
                assert_eq!(seats.sessions().len(), want.items.len(), "given away: {:?}", told(&events));
                if want.items[0].count > 1 {
                    give_some_back(&seats, &mut random);
                }
                if random.bits() & 1 == 0 {
                    drop(seats);
                } else {
                    // What the bad network keeps from being said is said later.
                    let _ = seats.checkin();
                }
            }
            Err(CheckoutError::NoServer(_)) => {}
            Err(error) => panic!("{}: {error}", want.facts.user),
        }
        for event in told(&events) {
            assert!(matches!(event, Event::Lost { .. } | Event::Resumed { .. }), "{event:?}");
        }
    }
    taken
}

/// One seat of one of the sessions, or that whole session.
fn give_some_back(seats: &Seats, random: &mut Random) {
    let of = random.one_of(&seats.sessions()).clone();
    let (count, left) = if random.bits() & 1 == 0 { (1, of.count - 1) } else { (0, 0) };
    match seats.checkin_part(of.session, count) {
        Ok(remaining) => {
            assert_eq!(remaining, left);
            let now = seats.sessions().into_iter().find(|grant| grant.session == of.session);
            assert_eq!(now.map_or(0, |grant| grant.count), left);
        }
        // It was heard, or not.
        Err(CheckinError::NoServer(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

fn told(events: &mpsc::Receiver<Event>) -> Vec<Event> {
    events.try_iter().collect()
}

/// Clients at work behind so many faults, each wanting `count` seats of each feature at a time.
fn storm(faults: usize, features: &[&str], count: u32) {
    let mut random = Random(seed());
    let site = Site::with(&features.iter().map(|name| exclusive(name, 1_000)).collect::<Vec<_>>());
    site.configure("heartbeat = \"200ms\"\nlease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), bits_of(random.bits()));
    proxy.set_wild(true);
    let started = Instant::now();
    let (is_over, is_watched) = (AtomicBool::new(false), AtomicBool::new(false));
    let taken = AtomicUsize::new(0);
    let most = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = EndAll(&is_over);
            watch(&daemon, count.into(), &is_watched)
        });
        let workers: Vec<_> = (0..CLIENTS)
            .map(|at| {
                let random = Random(random.bits());
                let (proxy, is_over, taken) = (&proxy, &is_over, &taken);
                let want =
                    Want { facts: want(&format!("user{at}")).facts, ..Want::features(features.to_vec()) };
                scope.spawn(move || {
                    // A client that fails ends the others too.
                    let _end = EndAll(is_over);
                    taken.fetch_add(work(proxy, &want.count(count), random, is_over), Ordering::SeqCst);
                })
            })
            .collect();
        while proxy.faults() < faults && !is_over.load(Ordering::SeqCst) && started.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(5));
        }
        is_over.store(true, Ordering::SeqCst);
        proxy.set_wild(false);
        let ends: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_watched.store(true, Ordering::SeqCst);
        let most = watch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ends.into_iter().for_each(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        most
    });
    let [cuts, resets, stalls, deaf, late] = proxy.tally();
    println!(
        "{} checkouts, at most {most} seats at once; {cuts} cuts, {resets} resets, {stalls} stalls, {deaf} lost answers, \
         {late} late requests in {:?}",
        taken.load(Ordering::SeqCst),
        started.elapsed()
    );
    assert!(proxy.faults() >= faults, "only {} faults within {LIMIT:?}", proxy.faults());
    let seats = CLIENTS as u64 * u64::from(count) * features.len() as u64;
    assert!(most <= seats, "{most} seats in use by {CLIENTS} clients that want {seats}");
    assert!(most > 1, "there was no load");
    for feature in features {
        daemon.await_used(feature, 0);
    }
}

#[test]
fn a_thousand_cuts_take_no_second_seat_and_leave_none_behind() {
    storm(1_000, &["cad"], 1);
}

#[test]
fn bundles_and_parts_of_them_are_neither_doubled_nor_left_behind() {
    storm(300, &["cad", "cam"], 3);
}

/// Ends all when it is dropped in a panic.
struct EndAll<'a>(&'a AtomicBool);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Seats of one client, over the proxy.
fn held(proxy: &Proxy, user: &str) -> (Client, Seats, mpsc::Receiver<Event>) {
    let client = Client::new(options(&[proxy.address()]));
    let events = client.subscribe();
    let seats = client.checkout(want(user)).unwrap_or_else(|error| panic!("{user}: {error}"));
    (client, seats, events)
}

/// Waits for an event that is not the end of a connection.
fn next(events: &mpsc::Receiver<Event>) -> Event {
    until("an event", || events.try_iter().find(|event| !matches!(event, Event::Lost { .. })))
}

#[test]
fn sessions_of_64_clients_survive_kill_9_of_the_daemon_behind_cuts() {
    let mut random = Random(seed());
    let site = Site::with(&[exclusive("cad", 64)]);
    site.configure("heartbeat = \"500ms\"\nlease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let mut daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), bits_of(random.bits()));
    let clients: Vec<_> = (0..64).map(|at| held(&proxy, &format!("user{at}"))).collect();
    let before: Vec<_> = clients.iter().map(|(_, seats, _)| seats.sessions()[0].session).collect();
    for _ in 0..if std::env::var_os("SEATKEEPER_LONG").is_some_and(|v| v == "1") { 100 } else { 10 } {
        daemon.kill();
        daemon = Daemon::start(&site);
        proxy.redirect(daemon.address());
        // The network is bad too while all come back.
        proxy.set_wild(true);
        std::thread::sleep(Duration::from_millis(random.within(0, 100).unsigned_abs()));
        proxy.set_wild(false);
        daemon.await_feature("cad", "64 active", |feature| feature["active"] == 64);
    }
    for ((_, seats, events), session) in clients.iter().zip(before) {
        assert_eq!(seats.sessions()[0].session, session, "it is the same session");
        for event in events.try_iter() {
            assert!(matches!(event, Event::Lost { .. } | Event::Resumed { .. }), "{event:?}");
        }
    }
    drop(clients);
    daemon.await_used("cad", 0);
}

#[test]
fn a_daemon_that_stops_keeps_the_sessions_and_its_clients_come_back() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let mut daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), bits_of(1));
    let (client, seats, events) = held(&proxy, "ann");
    let session = seats.sessions()[0].session;
    assert_eq!(daemon.terminate(), Some(0));
    assert_eq!(next(&events), Event::ShuttingDown);
    assert_eq!(seats.sessions()[0].session, session, "it is kept while there is no server");
    let daemon = Daemon::start(&site);
    proxy.redirect(daemon.address());
    assert!(matches!(next(&events), Event::Resumed { .. }));
    assert_eq!(seats.sessions()[0].session, session);
    daemon.await_feature("cad", "active", |feature| feature["active"] == 1);
    drop(seats);
    drop(client);
    daemon.await_used("cad", 0);
}

#[test]
fn seats_dropped_with_their_client_while_the_connection_is_down_are_given_back() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("heartbeat = \"2m\"\nlease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), bits_of(1));
    let (client, seats, events) = held(&proxy, "ann");
    proxy.set_shut(true);
    proxy.cut_all();
    until("the loss is seen", || events.try_iter().find(|event| matches!(event, Event::Lost { .. })));
    let started = Instant::now();
    drop(seats);
    assert!(started.elapsed() < Duration::from_secs(1), "the server is not there, and nobody waits for it");
    drop(client);
    assert!(started.elapsed() < Duration::from_secs(10), "it waits for two seconds");
    assert_eq!(daemon.connect().feature("cad")["used"], 1, "nobody could tell the server");
    proxy.set_shut(false);
    // By the thread that the client left behind.
    daemon.await_used("cad", 0);
}

#[test]
fn a_server_that_cannot_be_reached_or_has_no_seats_is_passed_over_and_what_it_may_have_granted_is_given_back()
{
    let (near, far) = (Site::with(&[exclusive("cad", 5)]), Site::with(&[exclusive("cad", 1)]));
    near.configure("heartbeat = \"2m\"\nlease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let (near, far) = (Daemon::start(&near), Daemon::start(&far));
    let proxy = Proxy::start(near.address(), bits_of(1));
    let client = Client::new(options(&[proxy.address(), far.address()]));
    // Each answer is lost: the near server has granted it, and the client does not know.
    proxy.set_deaf(true);
    let seats = client.checkout(want("ann")).expect("the far one grants it");
    far.await_used("cad", 1);
    // The near one is back: the grant that nobody heard of is given back, and the session stays where it is.
    proxy.set_deaf(false);
    near.await_used("cad", 0);
    assert_eq!(far.connect().feature("cad")["used"], 1);
    // Now the far one has none left, and the near one grants again.
    let second = client.checkout(want("ben")).expect("the near one grants it");
    near.await_used("cad", 1);
    proxy.set_shut(true);
    proxy.cut_all();
    let full = client.checkout(want("eve")).err();
    assert!(matches!(&full, Some(CheckoutError::Denied(refusal)) if refusal.code == "no_seats"), "{full:?}");
    proxy.set_shut(false);
    drop((seats, second, client));
    near.await_used("cad", 0);
    far.await_used("cad", 0);
}

#[test]
fn a_session_that_was_removed_is_told_with_who_and_when_and_is_taken_anew_if_asked() {
    let site = Site::with(&[exclusive("cad", 2)]);
    let daemon = Daemon::start(&site);
    let proxy = Proxy::start(daemon.address(), bits_of(1));
    let client = Client::new(options(&[proxy.address()]));
    let events = client.subscribe();
    let plain = client.checkout(want("ann")).unwrap();
    let again = client.checkout(want("ben").again()).unwrap();
    let (lost, kept) = (plain.sessions()[0].session, again.sessions()[0].session);
    proxy.set_shut(true);
    proxy.cut_all();
    let mut admin = daemon.admin();
    for session in [lost, kept] {
        crate::real::client::granted(admin.ask(&wire::request::Release {
            session,
            reason: "over".into(),
            ..Default::default()
        }));
    }
    proxy.set_shut(false);
    for _ in 0..2 {
        let Event::GivenAway { session, feature, code, message, at } = next(&events) else { panic!() };
        assert!(session == lost || session == kept);
        assert_eq!((&*feature, &*code), ("cad", "already_removed"));
        assert!(message.contains("over"), "{message}");
        assert!(at.is_some_and(|at| at > 1_600_000_000), "{at:?}");
    }
    let Event::TakenAgain { before, sessions, .. } = next(&events) else { panic!() };
    assert_eq!(before, kept, "a bundle has the number of its first session");
    assert_ne!(sessions[0].session, kept);
    assert_eq!(again.sessions(), sessions);
    assert_eq!(plain.sessions(), []);
    daemon.await_used("cad", 1);
    drop((plain, again));
    daemon.await_used("cad", 0);
}

/// `seatkeeper checkout`, which has its seat when this returns.
fn program(daemon: &Daemon, site: &Site) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["checkout", "cad", "--version", "4.2", "--json", "--server", &daemon.address().to_string()])
        .env("XDG_STATE_HOME", site.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.contains("\"granted\":true"), "{line}");
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it is there");
}

#[test]
fn a_program_stopped_for_less_than_its_lease_has_its_seat_and_never_knew() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("heartbeat = \"100ms\"\nlease = \"30s\"");
    let daemon = Daemon::start(&site);
    let child = program(&daemon, &site);
    signal(&child, Signal::STOP);
    // It is stopped for so long: many heartbeats.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(daemon.connect().feature("cad")["used"], 1);
    let mut admin = daemon.admin();
    let mut last_seen = || {
        let report = admin.report("sessions", None).expect("a report");
        report["sessions"][0]["last_seen"].as_str().expect("an instant").to_owned()
    };
    let before = last_seen();
    signal(&child, Signal::CONT);
    until("it is heard again", || (last_seen() > before).then_some(()));
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    daemon.await_used("cad", 0);
}

#[test]
fn a_program_stopped_past_its_lease_whose_seat_went_to_another_says_so_and_ends_with_75() {
    let site = Site::with(&[exclusive("cad", 1)]);
    site.configure("heartbeat = \"100ms\"\nlease = \"600ms\"");
    let daemon = Daemon::start(&site);
    let child = program(&daemon, &site);
    signal(&child, Signal::STOP);
    let client = Client::new(options(&[daemon.address()]));
    let seats = until("the seat is given to who needs it", || client.checkout(want("ben")).ok());
    signal(&child, Signal::CONT);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.contains("has lost its seats") && text.contains("already_removed"), "{text}");
    assert_eq!(seats.sessions().len(), 1, "ben has it");
}
