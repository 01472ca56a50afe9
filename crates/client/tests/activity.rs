//! What heartbeats say of the user, and what a client does when an idle seat is wanted (S50).

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scripted::{PATIENCE, Peer, Server, granted};
use seatkeeper_client::{Client, Event, Want};
use wire::{Answer, Request, answer, event};

/// The next heartbeat, answered: what it says of the user.
fn beat(peer: &mut Peer) -> Option<u32> {
    let Some((call, Request::Heartbeat(beat))) = peer.next() else { panic!("no heartbeat") };
    peer.answer(call, Answer::Heartbeat(answer::Heartbeat { sessions: 1, ..Default::default() }));
    beat.idle_seconds
}

fn warn(peer: &mut Peer, session: u64) {
    let wanted = event::SeatWanted { session, feature: "cad\u{1b}".into(), seconds: 30, extras: vec![] };
    peer.event(wire::Event::SeatWanted(wanted));
}

/// The warning has reached the application.
fn warned(events: &std::sync::mpsc::Receiver<Event>) {
    let event = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(event, Event::SeatWanted { session: 90, feature: "cad\u{fffd}".into(), seconds: 30 });
}

#[test]
fn an_application_that_says_nothing_of_its_user_states_no_idle_time() {
    let server = Server::start(100, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        assert_eq!((beat(peer), beat(peer)), (None, None));
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad")).unwrap();
    server.finish();
    std::mem::forget(seats);
}

#[test]
fn heartbeats_say_how_long_the_user_has_been_idle() {
    let server = Server::start(500, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        let started = Instant::now();
        assert_eq!(beat(peer), Some(0));
        let mut last = 0;
        while last < 2 {
            let idle = beat(peer).expect("it stays known");
            assert!(
                idle >= last && u64::from(idle) <= started.elapsed().as_secs() + 1,
                "{last}, then {idle}"
            );
            last = idle;
        }
    });
    let client = Client::new(server.options());
    client.report_activity();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    server.finish();
    std::mem::forget(seats);
}

#[test]
fn activity_after_a_warning_is_told_at_once() {
    // At the server's own pace the first heartbeat would come after 27 seconds.
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        warn(peer, 77);
        warn(peer, 90);
        assert_eq!(beat(peer), Some(0));
        warn(peer, 90);
        assert_eq!(beat(peer), Some(0));
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    let started = Instant::now();
    for _ in 0..2 {
        // The session of somebody else is not told of.
        warned(&events);
        client.report_activity();
    }
    server.finish();
    assert!(started.elapsed() < PATIENCE);
    std::mem::forget(seats);
}

#[test]
fn a_function_that_knows_the_user_is_asked_while_the_seat_is_wanted() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        warn(peer, 90);
        assert_eq!(beat(peer), Some(0));
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let (idle, asked) = (Arc::new(AtomicU64::new(600)), Arc::new(AtomicU64::new(0)));
    let (says, counts) = (Arc::clone(&idle), Arc::clone(&asked));
    client.set_idle_source(move || {
        counts.fetch_add(1, Ordering::Relaxed);
        Some(Duration::from_secs(says.load(Ordering::Relaxed)))
    });
    let seats = client.checkout(Want::feature("cad")).unwrap();
    warned(&events);
    while asked.load(Ordering::Relaxed) < 2 {
        thread::sleep(Duration::from_millis(5));
    }
    idle.store(0, Ordering::Relaxed);
    server.finish();
    std::mem::forget(seats);
}

#[test]
fn other_requests_are_signs_of_life_but_say_nothing_of_the_user() {
    let is_heard = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&is_heard);
    let server = Server::start(300, 1, move |_, peer| {
        peer.hello();
        let Some((call, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
        peer.answer(call, Answer::Granted(granted(9, &checkout)));
        let mut beats = 0;
        while let Some((call, request)) = peer.next() {
            match request {
                Request::Try(_) => peer.answer(call, Answer::Try(answer::Try::default())),
                Request::Heartbeat(beat) => {
                    assert_eq!(beat.idle_seconds, Some(600));
                    let sessions = answer::Heartbeat { sessions: 1, ..Default::default() };
                    peer.answer(call, Answer::Heartbeat(sessions));
                    beats += 1;
                    heard.store(beats >= 3, Ordering::Relaxed);
                }
                _ => break,
            }
        }
    });
    let client = Client::new(server.options());
    client.set_idle_source(|| Some(Duration::from_secs(600)));
    let seats = client.checkout(Want::feature("cad")).unwrap();
    let started = Instant::now();
    while !is_heard.load(Ordering::Relaxed) {
        assert!(started.elapsed() < PATIENCE, "requests keep the heartbeats away");
        client.would_grant(&Want::feature("cad")).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
    std::mem::forget(seats);
}
