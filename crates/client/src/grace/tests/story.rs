//! A whole client whose servers come and go. Hours pass by the test's clock; leases and pauses are real and short.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use wire::answer::{self, Grace as Hours};
use wire::{Answer, Request, event};

use crate::grace::Taken;
use crate::grace::clock::Clock;
use crate::scripted::{PATIENCE, Peer, Server, granted, nobody, options};
use crate::{CheckoutError, Client, Event, GraceEnd, Options, Want};

const START: i64 = 1_900_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// Seconds that passed, and seconds that somebody set the wall clock ahead.
#[derive(Default)]
struct TestClock {
    passed: AtomicI64,
    set: AtomicI64,
}

impl Clock for TestClock {
    fn unix_seconds(&self) -> i64 {
        START + self.passed.load(Ordering::SeqCst) + self.set.load(Ordering::SeqCst)
    }

    fn running(&self) -> Duration {
        Duration::from_secs(self.passed.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// One user's machine.
struct Machine {
    directory: tempfile::TempDir,
    clock: Arc<TestClock>,
}

impl Machine {
    fn new() -> Machine {
        Machine { directory: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn options(&self, servers: &[SocketAddr]) -> Options {
        Options { grace_directory: Some(self.path().to_owned()), ..options(servers) }
    }

    /// A program that starts.
    fn client(&self, servers: &[SocketAddr]) -> Client {
        Client::with_clock(self.options(servers), self.clock.clone())
    }

    fn pass(&self, seconds: i64) {
        self.clock.passed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// A program runs once and is granted 24 hours of grace with its seat. Returns where the server was.
    fn learns(&self) -> SocketAddr {
        self.learns_with(24, None)
    }

    fn learns_with(&self, hours: u32, ends: Option<i64>) -> SocketAddr {
        let server = Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            grant(peer, 9, hours, ends);
            take_back(peer);
        });
        let client = self.client(&[server.address]);
        client.checkout(want()).unwrap().checkin().unwrap();
        let address = server.address;
        server.finish();
        address
    }
}

fn want() -> Want {
    Want::feature("cad").version("4.2")
}

fn grant(peer: &mut Peer, bundle: u64, hours: u32, ends: Option<i64>) {
    let Some((call, Request::Checkout(checkout))) = peer.next_but_beats(0) else { panic!("no checkout") };
    let mut granted = granted(bundle, &checkout);
    (granted.heartbeat_ms, granted.lease_ms) = (peer.heartbeat_ms, 4 * peer.heartbeat_ms);
    granted.sessions.iter_mut().for_each(|grant| grant.license_ends = ends);
    let list: Vec<_> = granted.sessions.iter().map(|g| Hours { session: g.session, hours }).collect();
    if hours > 0 {
        granted.extras = vec![Hours::extra(&list)];
    }
    peer.answer(call, Answer::Granted(granted));
}

fn take_back(peer: &mut Peer) {
    let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else { panic!("no checkin") };
    let done = answer::Checkin { session: checkin.session, count: 1, ..Default::default() };
    peer.answer(call, Answer::Checkin(done));
}

fn refuse(peer: &mut Peer, code: &str) {
    let Some((call, Request::Checkout(_))) = peer.next_but_beats(0) else { panic!("no checkout") };
    peer.refuse(call, code, "said the script");
}

/// Once, for one checkout.
fn refusing(code: &'static str) -> Server {
    Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        refuse(peer, code);
    })
}

/// The reasons why there is no seat: one for each server, and then why there is no grace, if there is something to say.
fn no_server(client: &Client, want: Want) -> Vec<String> {
    match client.checkout(want) {
        Err(CheckoutError::NoServer(reasons)) => reasons,
        Err(error) => panic!("{error}"),
        Ok(seats) => panic!("granted: {:?}", seats.sessions()),
    }
}

fn next(events: &mpsc::Receiver<Event>) -> Event {
    events.recv_timeout(PATIENCE).expect("an event")
}

fn began(bundle: u64, ends_at: i64) -> Event {
    Event::GraceBegan { bundle, features: vec!["cad".into()], ends_at }
}

fn ended(bundle: u64, reason: GraceEnd) -> Event {
    Event::GraceEnded { bundle, features: vec!["cad".into()], reason }
}

#[test]
fn a_program_that_starts_while_no_server_answers_runs_for_the_hours_of_its_license() {
    let machine = Machine::new();
    let gone = machine.learns();
    machine.pass(HOUR);
    let client = machine.client(&[gone, nobody()]);
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    let end = START + HOUR + DAY;
    assert_eq!(next(&events), began(0, end));
    assert_eq!((seats.bundle(), seats.grace_ends(), seats.is_in_grace()), (0, Some(end), true));
    let sessions = seats.sessions();
    assert_eq!((sessions[0].vendor.as_str(), sessions[0].feature.as_str()), ("ACME", "cad"));
    assert!(sessions[0].notice.as_ref().unwrap().contains("24 hours"), "{sessions:?}");

    // Another program of the user is in the same grace, and has no more of it.
    machine.pass(10 * HOUR);
    let other = machine.client(&[gone]);
    assert_eq!(other.checkout(want()).unwrap().grace_ends(), Some(end));

    machine.pass(14 * HOUR - 1);
    assert_eq!(seats.sessions().len(), 1, "its last second");
    machine.pass(1);
    assert_eq!((seats.sessions(), seats.is_in_grace()), (vec![], false));
    client.grace.signal.poke();
    assert_eq!(next(&events), ended(0, GraceEnd::Over));
    let reasons = no_server(&client, want());
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(reasons[2].starts_with("no grace: the grace of cad has been used; there is none before"));

    machine.pass(7 * DAY);
    assert!(client.checkout(want()).unwrap().is_in_grace());
}

#[test]
fn a_denial_forbids_grace_until_a_grant_and_a_busy_server_does_not() {
    let machine = Machine::new();
    machine.learns();
    for code in ["no_seats", "denied_by_rule", "unknown_feature", "a_code_of_later"] {
        let denying = refusing(code);
        let client = machine.client(&[nobody(), denying.address]);
        let denied = client.checkout(want());
        assert!(matches!(denied, Err(CheckoutError::Denied(r)) if r.code == code), "an answer is an answer");
        let reasons = no_server(&machine.client(&[nobody()]), want());
        assert!(reasons[1].contains("a license server has denied cad"), "{code}: {reasons:?}");
        machine.learns();
    }
    for code in ["busy", "shutting_down", "rate_limited", "not_leader", "internal"] {
        let busy = refusing(code);
        let refused = machine.client(&[nobody(), busy.address]).checkout(want());
        assert!(matches!(refused, Err(CheckoutError::Denied(_))), "{code}: an answer is an answer");
    }
    assert!(machine.client(&[nobody()]).checkout(want()).unwrap().is_in_grace());
}

#[test]
fn whoever_answers_at_the_address_keeps_grace_from_beginning() {
    let machine = Machine::new();
    machine.learns();
    // Says hello and then nothing more.
    let mute = Server::start(30_000, 3, |_, peer| {
        peer.hello();
        peer.next();
    });
    let reasons = no_server(&machine.client(&[mute.address]), want());
    assert!(reasons[1].starts_with("no grace: 127.0.0.1:"), "{reasons:?}");
    assert!(reasons[1].ends_with(" answers"), "{reasons:?}");
    // Takes connections, and says nothing at all: that is no answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = machine.options(&[silent.local_addr().unwrap()]);
    let options = Options { answer_timeout: Duration::from_millis(200), ..options };
    let client = Client::with_clock(options, machine.clock.clone());
    assert!(client.checkout(want()).unwrap().is_in_grace());
    // Speaks something else: some web server.
    let stranger = Server::start(30_000, 1, |_, peer| {
        peer.next();
        peer.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let reasons = no_server(&machine.client(&[stranger.address]), want());
    assert!(reasons[1].ends_with(" answers"), "{reasons:?}");
}

#[test]
fn grace_is_only_what_was_granted_before() {
    let machine = Machine::new();
    machine.learns_with(24, Some(START + 2 * HOUR));
    let client = machine.client(&[nobody()]);
    let why = |want: Want| no_server(&client, want).swap_remove(1);
    assert!(why(want().version("5.0")).contains("for another user, host or release"));
    assert!(why(want().count(2)).contains("for 1 seats, not 2"));
    machine.clock.set.store(-301, Ordering::SeqCst);
    assert!(why(want()).contains("this computer's clock stands at"));
    machine.clock.set.store(2 * HOUR, Ordering::SeqCst);
    assert!(why(want()).contains("the license of cad ended at"));
    machine.clock.set.store(-299, Ordering::SeqCst);
    assert!(client.checkout(want()).unwrap().is_in_grace());
    let unknown = no_server(&client, Want::feature("cam"));
    assert_eq!(unknown.len(), 1, "nobody has heard of it: {unknown:?}");
}

#[test]
fn a_license_without_grace_leaves_no_trace() {
    let machine = Machine::new();
    machine.learns_with(0, None);
    assert_eq!(std::fs::read_dir(machine.path()).unwrap().count(), 0);
    assert_eq!(no_server(&machine.client(&[nobody()]), want()).len(), 1);
    let options = Options { grace_directory: None, ..machine.options(&[nobody()]) };
    machine.learns();
    let without = Client::with_clock(options, machine.clock.clone());
    assert_eq!(no_server(&without, want()).len(), 1, "who wants none has none");
    assert_eq!(no_server(&machine.client(&[]), want()).len(), 0, "no server is none that does not answer");
}

#[test]
fn a_license_that_gives_no_grace_any_more_takes_it_away() {
    let machine = Machine::new();
    machine.learns();
    machine.learns_with(0, None);
    assert_eq!(no_server(&machine.client(&[nobody()]), want()).len(), 1);
}

#[test]
fn a_damaged_or_unwritable_file_is_no_grace_and_a_sentence() {
    let machine = Machine::new();
    machine.learns();
    std::fs::write(machine.path().join("grace"), "seatkeeper-grace 1\nmark soon\n").unwrap();
    let reasons = no_server(&machine.client(&[nobody()]), want());
    assert!(reasons[1].contains("it is damaged in line 2; the next grant of a seat"), "{reasons:?}");
    machine.learns();
    let reasons = no_server(&machine.client(&[nobody()]), want());
    assert!(reasons[1].contains("what was remembered of it was damaged"), "{reasons:?}");
    machine.pass(7 * DAY);
    assert!(machine.client(&[nobody()]).checkout(want()).unwrap().is_in_grace());

    let machine = Machine::new();
    std::fs::create_dir(machine.path().join("grace.lock")).unwrap();
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        grant(peer, 9, 24, None);
        take_back(peer);
    });
    let client = machine.client(&[server.address]);
    client.checkout(want()).unwrap().checkin().unwrap();
    server.finish();
    let reasons = no_server(&client, want());
    assert!(reasons.last().unwrap().contains("grace.lock"), "{reasons:?}");
}

#[test]
fn seats_in_grace_are_taken_from_the_first_server_that_is_back() {
    let machine = Machine::new();
    let address = machine.learns();
    let client = machine.client(&[nobody(), address]);
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    assert_eq!(next(&events), began(0, START + DAY));
    let server = Server::start_at(address, 30_000, 1, |_, peer| {
        peer.hello();
        grant(peer, 12, 24, None);
        take_back(peer);
    });
    assert_eq!(next(&events), ended(12, GraceEnd::Back));
    assert_eq!((seats.bundle(), seats.grace_ends()), (12, None));
    assert_eq!(seats.sessions()[0].session, 120);
    seats.checkin().unwrap();
    server.finish();
}

#[test]
fn a_server_that_is_back_and_says_no_ends_grace_at_once() {
    let machine = Machine::new();
    let address = machine.learns();
    let client = machine.client(&[address]);
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    assert_eq!(next(&events), began(0, START + DAY));
    let server = Server::start_at(address, 30_000, 2, |at, peer| {
        peer.hello();
        // Busy is no denial: it is asked again.
        refuse(peer, "busy");
        if at == 0 {
            refuse(peer, "no_seats");
        }
    });
    assert_eq!(next(&events), ended(0, GraceEnd::Denied { message: "no_seats: said the script".into() }));
    assert_eq!((seats.sessions(), seats.is_in_grace(), seats.bundle()), (vec![], false, 0));
    drop((seats, client, server));
    let reasons = no_server(&machine.client(&[nobody()]), want());
    assert!(reasons[1].contains("has denied cad"), "{reasons:?}");
}

#[test]
fn part_of_the_seats_in_grace_can_be_given_back() {
    let machine = Machine::new();
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        grant(peer, 9, 24, None);
        take_back(peer);
    });
    let address = server.address;
    machine.client(&[address]).checkout(want().count(3)).unwrap().checkin().unwrap();
    server.finish();
    let client = machine.client(&[address]);
    let events = client.subscribe();
    let seats = client.checkout(want().count(3)).unwrap();
    let session = seats.sessions()[0].session;
    assert_eq!(seats.checkin_part(session, 1).unwrap(), 2);
    assert!(seats.checkin_part(session, 3).is_err() && seats.checkin_part(7, 1).is_err());
    assert_eq!(next(&events), began(0, START + DAY));
    let server = Server::start_at(address, 30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
        assert_eq!(checkout.items[0].count, 2, "what is left");
        peer.answer(call, Answer::Granted(granted(12, &checkout)));
        take_back(peer);
    });
    assert_eq!(next(&events), ended(12, GraceEnd::Back));
    drop(seats);
    server.finish();
}

/// A client with a running session whose server has just gone away. Its lease is 400 ms.
fn left_alone(machine: &Machine, others: &[SocketAddr]) -> (Client, crate::Seats, mpsc::Receiver<Event>) {
    let server = Server::start(100, 1, |_, peer| {
        peer.hello();
        grant(peer, 9, 24, None);
        let Some((call, Request::Heartbeat(_))) = peer.next() else { panic!("no heartbeat") };
        peer.answer(call, Answer::Heartbeat(answer::Heartbeat { sessions: 1, ..Default::default() }));
    });
    let client = machine.client(&[&[server.address], others].concat());
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    assert!(matches!(next(&events), Event::Lost { .. }));
    server.finish();
    (client, seats, events)
}

fn address(client: &Client) -> SocketAddr {
    client.grace.links()[0].address.to_string().parse().unwrap()
}

#[test]
fn a_running_session_goes_on_when_its_lease_has_passed_and_is_resumed_when_the_server_is_back() {
    let machine = Machine::new();
    let (client, seats, events) = left_alone(&machine, &[nobody()]);
    let lost = std::time::Instant::now();
    assert_eq!(next(&events), began(9, START + DAY));
    assert!(lost.elapsed() > Duration::from_millis(300), "a restart of the server costs no grace");
    assert_eq!((seats.grace_ends(), seats.sessions().len()), (Some(START + DAY), 1));
    machine.pass(2 * HOUR);
    let server = Server::start_at(address(&client), 30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Resume(resume))) = peer.next() else { panic!("no resume") };
        let sessions = vec![answer::Grant {
            session: 90,
            vendor: "ACME".into(),
            feature: "cad".into(),
            count: 1,
            ..Default::default()
        }];
        let extras = vec![Hours::extra(&[Hours { session: 90, hours: 24 }])];
        let resumed = answer::Resume { bundle: resume.bundle, sessions, extras, ..Default::default() };
        peer.answer(call, Answer::Resume(resumed));
        take_back(peer);
    });
    assert!(matches!(next(&events), Event::Resumed { bundle: 9, .. }));
    assert_eq!(next(&events), ended(9, GraceEnd::Back));
    assert!(!seats.is_in_grace());
    drop(seats);
    server.finish();
}

#[test]
fn a_running_session_that_its_server_has_given_away_is_over() {
    let machine = Machine::new();
    let (client, seats, events) = left_alone(&machine, &[]);
    assert_eq!(next(&events), began(9, START + DAY));
    let server = Server::start_at(address(&client), 30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        peer.refuse(call, "already_removed", "the seat went to bob");
        peer.next();
    });
    assert!(matches!(next(&events), Event::GivenAway { session: 90, .. }));
    let message = "already_removed: the seat went to bob".to_owned();
    assert_eq!(next(&events), ended(9, GraceEnd::Denied { message }));
    assert_eq!((seats.sessions(), seats.is_in_grace()), (vec![], false));
    drop((seats, client));
    server.finish();
    let reasons = no_server(&machine.client(&[nobody()]), want());
    assert!(reasons[1].contains("has denied cad"), "{reasons:?}");
}

#[test]
fn the_hours_of_a_running_session_end_though_the_wall_clock_is_set_back() {
    let machine = Machine::new();
    let (client, seats, events) = left_alone(&machine, &[]);
    assert_eq!(next(&events), began(9, START + DAY));
    machine.clock.set.store(-20 * HOUR, Ordering::SeqCst);
    machine.pass(DAY - 1);
    assert!(seats.is_in_grace());
    machine.pass(1);
    assert!(!seats.is_in_grace());
    client.grace.signal.poke();
    assert_eq!(next(&events), ended(9, GraceEnd::Over));
    assert_eq!(seats.sessions().len(), 1, "the server may still have it");
    std::mem::forget(seats);
}

#[test]
fn a_running_session_has_no_grace_while_another_server_of_the_list_answers() {
    let machine = Machine::new();
    let (ready, other) = mpsc::channel::<()>();
    let another = Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        ready.send(()).unwrap();
        peer.next();
    });
    let (client, seats, events) = left_alone(&machine, &[another.address]);
    let Event::NoGrace { bundle: 9, message, .. } = next(&events) else { panic!("grace began") };
    assert_eq!(message, format!("{} answers", another.address));
    assert!(!seats.is_in_grace());
    other.recv_timeout(PATIENCE).unwrap();
    std::mem::forget(seats);
    drop(client);
}

#[test]
fn grace_that_is_used_up_is_told_once() {
    let machine = Machine::new();
    let address = machine.learns();
    drop(machine.client(&[address]).checkout(want()).unwrap());
    machine.pass(2 * DAY);
    let (_client, seats, events) = left_alone(&machine, &[]);
    let Event::NoGrace { bundle: 9, features, message } = next(&events) else { panic!("grace began") };
    assert_eq!(features, ["cad"]);
    assert!(message.starts_with("the grace of cad has been used"), "{message}");
    std::mem::forget(seats);
}

#[test]
fn a_denial_that_another_program_hears_ends_grace_here() {
    let machine = Machine::new();
    let gone = machine.learns();
    let client = machine.client(&[gone]);
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    assert_eq!(next(&events), began(0, START + DAY));
    machine.pass(30);
    let denying = refusing("no_seats");
    assert!(machine.client(&[denying.address]).checkout(want()).is_err());
    // Looked at once a minute.
    machine.pass(60);
    client.grace.signal.poke();
    assert!(matches!(next(&events), Event::GraceEnded { reason: GraceEnd::Denied { .. }, .. }));
    assert_eq!(seats.sessions(), []);
}

#[test]
fn a_seat_that_an_administrator_took_has_no_grace() {
    let machine = Machine::new();
    machine.learns();
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
        let mut granted = granted(9, &checkout);
        granted.extras = vec![Hours::extra(&[Hours { session: 90, hours: 24 }])];
        // In one write with the grant: the client may know of both before it has written the first one down.
        let mut frames = Vec::new();
        Answer::Granted(granted).append(&mut frames, call).unwrap();
        let ended = event::SessionEnded {
            session: 90,
            code: "already_removed".into(),
            message: "released by root".into(),
            at: START,
            extras: vec![],
        };
        wire::Event::SessionEnded(ended).append(&mut frames, 0).unwrap();
        peer.raw(&frames);
        peer.next();
    });
    let client = machine.client(&[server.address]);
    let events = client.subscribe();
    let seats = client.checkout(want()).unwrap();
    assert!(matches!(next(&events), Event::GivenAway { session: 90, .. }));
    // The program ends at once: that must not save it.
    drop((seats, client));
    server.finish();
    let client = machine.client(&[nobody()]);
    let started = std::time::Instant::now();
    // The thread that notes it may be at work still.
    while started.elapsed() < PATIENCE {
        match client.checkout(want()) {
            Ok(_) => thread::yield_now(),
            Err(error) => return assert!(error.to_string().contains("has denied cad"), "{error}"),
        }
    }
    panic!("grace after the seat was taken away");
}

/// What arrived on the reading thread while the grant was still being written down.
#[test]
fn what_was_taken_is_noted_after_its_own_grant_and_before_any_other() {
    for (bundle, is_denied) in [(9, true), (8, false)] {
        let machine = Machine::new();
        let server = Server::start(30_000, 1, |_, peer| {
            peer.hello();
            grant(peer, 9, 24, None);
            take_back(peer);
        });
        let client = machine.client(&[server.address]);
        let (vendor, feature, message) = ("ACME".into(), "cad".into(), "released by root".into());
        client.grace.signal.taken(Taken { link: 0, bundle, vendor, feature, message });
        client.checkout(want()).unwrap().checkin().unwrap();
        server.finish();
        let again = machine.client(&[nobody()]).checkout(want());
        assert_eq!(again.is_err(), is_denied, "bundle {bundle}");
    }
}

#[test]
fn nothing_is_left_running_when_client_and_seats_are_gone() {
    let machine = Machine::new();
    machine.learns();
    let client = machine.client(&[nobody()]);
    let seats = client.checkout(want()).unwrap();
    let grace = Arc::downgrade(&client.grace);
    drop(client);
    assert!(seats.is_in_grace(), "seats outlive the client");
    drop(seats);
    let started = std::time::Instant::now();
    while grace.strong_count() > 0 {
        assert!(started.elapsed() < PATIENCE, "a thread is left");
        thread::yield_now();
    }
}
