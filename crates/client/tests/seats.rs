//! The client against a scripted server: what it does when answers are lost, connections cut, seats taken away.

mod scripted;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use scripted::{PATIENCE, Server, granted, nobody, options};
use seatkeeper_client::{CheckinError, CheckoutError, Client, Event, Release, Want, release_date_from_unix};
use wire::{Answer, Request, answer, event};

#[test]
fn a_checkout_and_its_checkin() {
    let server = Server::start(30_000, 1, |_, peer| {
        let hello = peer.hello();
        assert_eq!((hello.install_id, &*hello.program), ([7; 16], "test"));
        let checkout = peer.grant(9);
        assert_eq!((checkout.items[0].feature.as_str(), checkout.items[0].count), ("cad", 2));
        assert_ne!(checkout.request_key, checkout.secret.0);
        let Some((call, Request::Checkin(checkin))) = peer.next() else { panic!() };
        assert_eq!((checkin.session, checkin.count), (90, 1));
        let one = answer::Checkin { session: 90, count: 1, remaining: 1, extras: vec![] };
        peer.answer(call, Answer::Checkin(one));
        let Some((call, Request::Checkin(checkin))) = peer.next() else { panic!() };
        assert_eq!((checkin.session, checkin.count), (90, 0));
        peer.answer(
            call,
            Answer::Checkin(answer::Checkin { session: 90, count: 1, remaining: 0, extras: vec![] }),
        );
        assert!(peer.next().is_none());
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad").count(2)).unwrap();
    assert_eq!(seats.bundle(), 9);
    assert_eq!(seats.checkin_part(90, 1).unwrap(), 1);
    assert_eq!(seats.sessions()[0].count, 1);
    seats.checkin().unwrap();
    drop(client);
    server.finish();
}

/// Rules 3, 6.2: given once, before anything else is possible.
#[test]
fn the_release_of_the_options_is_stated_by_whoever_says_nothing_of_one() {
    let stated = |facts: &seatkeeper_client::Facts| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [&facts.release_version, &facts.release_date, &facts.line_date].map(text)
    };
    let server = Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        assert_eq!(stated(&peer.grant(9).facts), ["4.2.7", "2026-11-20", "2026-11-02"]);
        assert_eq!(stated(&peer.grant(10).facts), ["3.0", "", ""], "its own word, and nothing of the other");
        let Some((call, Request::Try(asked))) = peer.next() else { panic!("no question") };
        assert_eq!(stated(&asked.facts), ["4.2.7", "2026-11-20", "2026-11-02"]);
        peer.answer(call, Answer::Try(answer::Try::default()));
        peer.next();
    });
    let mut options = server.options();
    options.release = Some(Release::new("4.2.7", &release_date_from_unix(1_795_132_800)).line("2026-11-02"));
    let client = Client::new(options);
    std::mem::forget(client.checkout(Want::feature("cad")).unwrap());
    std::mem::forget(client.checkout(Want::feature("cad").version("3.0")).unwrap());
    client.would_grant(&Want::feature("cad")).unwrap();
    drop(client);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let mut first = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            let Some((_, Request::Checkout(checkout))) = peer.next() else { panic!() };
            first = Some(checkout);
        } else {
            assert_eq!(Some(peer.grant(9)), first, "the same key, the same secret, the same fields");
            peer.next();
        }
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert_eq!(seats.sessions().len(), 1);
    std::mem::forget(seats);
    drop(client);
}

#[test]
fn a_cut_connection_is_resumed_with_the_same_secret() {
    let mut taken = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            taken = Some(peer.grant(9));
            return;
        }
        let Some((call, Request::Resume(resume))) = peer.next() else { panic!("no resume") };
        let taken = taken.as_ref().unwrap();
        assert_eq!((resume.bundle, resume.secret), (9, taken.secret));
        assert_eq!(resume.facts, taken.facts);
        let sessions = granted(9, taken).sessions;
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else { panic!("no checkin") };
        peer.answer(
            call,
            Answer::Checkin(answer::Checkin { session: checkin.session, count: 1, ..Default::default() }),
        );
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Lost { .. })));
    let resumed = events.recv_timeout(PATIENCE);
    assert!(
        matches!(&resumed, Ok(Event::Resumed { bundle: 9, sessions }) if sessions.len() == 1),
        "{resumed:?}"
    );
    drop(seats);
    server.finish();
}

#[test]
fn a_seat_lost_while_disconnected_is_told_with_its_reason() {
    let server = Server::start(30_000, 2, |at, peer| {
        peer.hello();
        if at == 0 {
            peer.grant(9);
            return;
        }
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        peer.refuse(call, "already_removed", "the seat went to bob");
        assert!(!matches!(peer.next(), Some((_, Request::Checkin(_)))), "there is nothing to give back");
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Lost { .. })));
    let Ok(Event::GivenAway { session: 90, code, message, .. }) = events.recv_timeout(PATIENCE) else {
        panic!()
    };
    assert_eq!((code.as_str(), message.as_str()), ("already_removed", "the seat went to bob"));
    assert_eq!(seats.sessions(), []);
    drop((seats, client));
    server.finish();
}

#[test]
fn beats_come_as_often_as_the_server_says() {
    let server = Server::start(100, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        let started = Instant::now();
        for _ in 0..5 {
            let Some((call, Request::Heartbeat(_))) = peer.next() else { panic!("no beat") };
            peer.answer(call, Answer::Heartbeat(answer::Heartbeat { sessions: 1, ..Default::default() }));
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(400), "five beats in {took:?} are a flood");
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad")).unwrap();
    server.finish();
    std::mem::forget(seats);
}

#[test]
fn another_count_in_a_beat_makes_the_client_look_what_is_gone() {
    let server = Server::start(100, 1, |_, peer| {
        peer.hello();
        let checkout = peer.grant(9);
        let mut wanted = granted(9, &checkout).sessions;
        let Some((call, Request::Heartbeat(_))) = peer.next() else { panic!("no beat") };
        peer.answer(call, Answer::Heartbeat(answer::Heartbeat { sessions: 1, ..Default::default() }));
        let Some((call, Request::Resume(_))) = peer.next_but_beats(1) else { panic!("no resume") };
        wanted.pop();
        let ended = answer::Ended {
            session: 91,
            code: "already_removed".into(),
            message: "an admin took it".into(),
            at: 5,
        };
        let resumed = answer::Resume { bundle: 9, sessions: wanted, ended: vec![ended], extras: vec![] };
        peer.answer(call, Answer::Resume(resumed));
        peer.next_but_beats(1);
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::features(["cad", "cam"])).unwrap();
    let told = events.recv_timeout(PATIENCE);
    assert!(matches!(told, Ok(Event::GivenAway { session: 91, at: Some(5), .. })), "{told:?}");
    assert_eq!(seats.sessions().len(), 1);
    std::mem::forget(seats);
}

#[test]
fn what_the_server_tells_reaches_the_application_in_order() {
    let (go, gone) = mpsc::channel::<()>();
    let server = Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        // In one write with the grant: the event must not overtake it.
        let Some((call, Request::Checkout(checkout))) = peer.next() else { panic!() };
        let mut frames = Vec::new();
        Answer::Granted(granted(9, &checkout)).append(&mut frames, call).unwrap();
        let expired = event::Expired { session: 90, feature: "cad".into(), license_ends: 12, extras: vec![] };
        wire::Event::Expired(expired).append(&mut frames, 0).unwrap();
        let ended = event::SessionEnded {
            session: 91,
            code: "already_removed".into(),
            message: "released\u{1b}[31m by root".into(),
            at: 34,
            extras: vec![],
        };
        wire::Event::SessionEnded(ended).append(&mut frames, 0).unwrap();
        // One of a later version.
        frames.extend([7, 0, 0, 0, 0xff, 0xc0, 0, 0, 0, 0, 0]);
        wire::Event::Stopping(event::Stopping::default()).append(&mut frames, 0).unwrap();
        let elsewhere = event::ResumedElsewhere { bundle: 9, extras: vec![] };
        wire::Event::ResumedElsewhere(elsewhere).append(&mut frames, 0).unwrap();
        peer.raw(&frames);
        gone.recv_timeout(PATIENCE).unwrap();
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::features(["cad", "cam"])).unwrap();
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(), Event::Expired { session: 90, feature: "cad".into(), license_ends: 12 });
    let message = "released\u{fffd}[31m by root".to_owned();
    let code = "already_removed".to_owned();
    assert_eq!(next(), Event::GivenAway { session: 91, feature: "cam".into(), code, message, at: Some(34) });
    assert_eq!(next(), Event::ShuttingDown);
    assert_eq!(next(), Event::ResumedElsewhere { bundle: 9 });
    assert_eq!(seats.sessions(), []);
    go.send(()).unwrap();
    server.finish();
}

#[test]
fn dropping_the_seats_gives_them_back() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        for session in [90, 91] {
            let Some((call, Request::Checkin(checkin))) = peer.next() else { panic!("no checkin") };
            assert_eq!((checkin.session, checkin.count), (session, 0));
            peer.answer(call, Answer::Checkin(answer::Checkin { session, count: 1, ..Default::default() }));
        }
    });
    let client = Client::new(server.options());
    drop(client.checkout(Want::features(["cad", "cam"])).unwrap());
    server.finish();
}

#[test]
fn a_checkin_whose_answer_is_lost_is_looked_up_and_not_done_twice() {
    let mut taken = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            taken = Some(peer.grant(9));
            let Some((_, Request::Checkin(checkin))) = peer.next() else { panic!() };
            assert_eq!(checkin.count, 3);
            return;
        }
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        let mut sessions = granted(9, taken.as_ref().unwrap()).sessions;
        sessions[0].count = 7;
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        assert!(!matches!(peer.next_but_beats(1), Some((_, Request::Checkin(c))) if c.count == 3));
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad").count(10)).unwrap();
    assert_eq!(seats.checkin_part(90, 3).unwrap(), 7);
    assert!(matches!(seats.checkin_part(90, 8), Err(CheckinError::Denied(r)) if r.code == "bad_request"));
    std::mem::forget(seats);
    drop(client);
}

#[test]
fn the_next_server_is_tried_and_the_first_denial_reported() {
    let deny = |code: &'static str, message: &'static str| {
        Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            let Some((call, Request::Checkout(_))) = peer.next() else { panic!() };
            peer.refuse(call, code, message);
            peer.next();
        })
    };
    let (full, unknown) = (deny("no_seats", "all 10 are taken"), deny("unknown_feature", "no cad here"));
    let client = Client::new(options(&[nobody(), full.address, unknown.address]));
    let denied = client.checkout(Want::feature("cad"));
    assert!(matches!(denied, Err(CheckoutError::Denied(r)) if r.message == "all 10 are taken"));

    let (full, rule) = (deny("denied_by_rule", "not you"), deny("no_seats", "never asked"));
    let client = Client::new(options(&[full.address, rule.address]));
    let denied = client.checkout(Want::feature("cad"));
    assert!(matches!(denied, Err(CheckoutError::Denied(r)) if r.code == "denied_by_rule"));

    let client = Client::new(options(&[nobody(), nobody()]));
    assert!(matches!(client.checkout(Want::feature("cad")), Err(CheckoutError::NoServer(r)) if r.len() == 2));
}

#[test]
fn an_unanswered_checkout_is_cancelled_when_the_server_is_back() {
    let mut first = None;
    let server = Server::start(30_000, 4, move |at, peer| {
        peer.hello();
        if at < 3 {
            let Some((_, Request::Checkout(checkout))) = peer.next() else { panic!() };
            assert_eq!(*first.get_or_insert(checkout.clone()), checkout);
            return;
        }
        peer.take_cancel(first.as_ref().expect("it was sent"));
    });
    let client = Client::new(server.options());
    assert!(matches!(client.checkout(Want::feature("cad")), Err(CheckoutError::NoServer(_))));
    server.finish();
    drop(client);
}
