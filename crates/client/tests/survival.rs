//! What a client does to keep its seats, against a scripted server: late copies of its own requests, seats given away, lists of
//! servers, silence.

mod scripted;

use std::thread;
use std::time::{Duration, Instant};

use scripted::{PATIENCE, Peer, Server, granted, nobody, options};
use seatkeeper_client::{CheckoutError, Client, Event, Want, codes};
use wire::{Answer, Request, answer, event};

fn take_back(peer: &mut Peer, session: u64) {
    let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else { panic!("no checkin") };
    assert_eq!((checkin.session, checkin.count), (session, 0));
    peer.answer(call, Answer::Checkin(answer::Checkin { session, count: 1, ..Default::default() }));
}

fn give_away(peer: &mut Peer, session: u64) {
    let ended = event::SessionEnded {
        session,
        code: "already_removed".into(),
        message: "given to bob".into(),
        at: 77,
        extras: vec![],
    };
    peer.event(wire::Event::SessionEnded(ended));
}

fn refuse_checkout(peer: &mut Peer, code: &str) -> wire::request::Checkout {
    let Some((call, Request::Checkout(checkout))) = peer.next_but_beats(0) else { panic!("no checkout") };
    peer.refuse(call, code, "said the script");
    checkout
}

#[test]
fn a_late_copy_of_an_own_request_is_no_thief_but_the_second_time_it_is_one() {
    let mut first = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            let Some((_, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
            first = Some(checkout);
            return;
        }
        let checkout = peer.grant(9);
        assert_eq!(Some(&checkout), first.as_ref());
        let elsewhere =
            || wire::Event::ResumedElsewhere(event::ResumedElsewhere { bundle: 9, extras: vec![] });
        // The first copy has arrived now, over the connection that was given up.
        peer.event(elsewhere());
        let Some((call, Request::Resume(resume))) = peer.next_but_beats(0) else { panic!("no resume") };
        assert_eq!((resume.bundle, resume.secret), (9, checkout.secret));
        let sessions = granted(9, &checkout).sessions;
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        peer.event(elsewhere());
        assert!(peer.next_but_beats(0).is_none(), "nothing is left to resume or to give back");
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Resumed { bundle: 9, .. })));
    assert_eq!(events.recv_timeout(PATIENCE), Ok(Event::ResumedElsewhere { bundle: 9 }));
    assert_eq!(seats.sessions(), []);
    drop((seats, client));
    server.finish();
}

#[test]
fn seats_given_away_are_asked_for_again_until_there_are_some() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let before = peer.grant(9);
        give_away(peer, 90);
        let second = refuse_checkout(peer, "no_seats");
        assert_ne!((second.request_key, second.secret), (before.request_key, before.secret));
        assert_eq!((second.facts, second.items[0].count), (before.facts, 2));
        refuse_checkout(peer, "no_seats");
        peer.grant(12);
        take_back(peer, 120);
    });
    let mut options = server.options();
    options.backoff.longest = Duration::from_millis(100);
    let client = Client::new(options);
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad").count(2).again()).unwrap();
    let next = || events.recv_timeout(PATIENCE).unwrap();
    let Event::GivenAway { session: 90, at: Some(77), feature, .. } = next() else { panic!("not told") };
    assert_eq!(feature, "cad");
    let Event::NotAgain { bundle: 9, code, is_final: false, .. } = next() else { panic!("not told") };
    assert_eq!(code, "no_seats", "said once");
    let Event::TakenAgain { before: 9, bundle: 12, sessions } = next() else { panic!("not told") };
    assert_eq!((seats.bundle(), seats.sessions()), (12, sessions));
    drop(seats);
    server.finish();
}

#[test]
fn seats_given_away_are_not_asked_for_after_a_final_no_nor_unless_told_to() {
    for (again, codes) in [(true, &["denied_by_rule"][..]), (false, &[])] {
        let server = Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            peer.grant(9);
            give_away(peer, 90);
            codes.iter().for_each(|code| drop(refuse_checkout(peer, code)));
            assert!(peer.next_but_beats(0).is_none(), "it asks no more");
        });
        let client = Client::new(server.options());
        let events = client.subscribe();
        let seats = client.checkout(Want { again, ..Want::feature("cad") }).unwrap();
        assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::GivenAway { .. })));
        if again {
            assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::NotAgain { is_final: true, .. })));
        }
        assert_eq!(seats.sessions(), []);
        // Time enough to ask, if it did.
        thread::sleep(Duration::from_millis(300));
        drop((seats, client));
        server.finish();
    }
}

#[test]
fn a_part_of_a_bundle_that_is_gone_is_told_with_when_and_why() {
    let mut taken = None;
    let server = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            taken = Some(peer.grant(9));
            return;
        }
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        let mut sessions = granted(9, taken.as_ref().unwrap()).sessions;
        sessions.pop();
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else { panic!("not asked why") };
        assert_eq!(checkin.session, 91);
        let refused = answer::Refused {
            code: codes::ALREADY_REMOVED.into(),
            message: "removed by root: over".into(),
            details: r#"{"session":"2v","ended_at":"2030-06-30T22:00:00Z"}"#.into(),
            ..Default::default()
        };
        peer.answer(call, Answer::Refused(refused));
        take_back(peer, 90);
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::features(["cad", "cam"])).unwrap();
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(next(), Event::Lost { .. }));
    assert!(matches!(next(), Event::Resumed { bundle: 9, .. }));
    let told = Event::GivenAway {
        session: 91,
        feature: "cam".into(),
        code: "already_removed".into(),
        message: "removed by root: over".into(),
        at: Some(1_909_087_200),
    };
    assert_eq!(next(), told);
    assert_eq!(seats.sessions().len(), 1);
    drop(seats);
    server.finish();
}

#[test]
fn a_heartbeat_without_an_answer_ends_the_connection_before_the_lease_is_over() {
    let mut taken = None;
    // A lease of six seconds: two of them for an answer, however patient the application is.
    let server = Server::start(1_500, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            taken = Some(peer.grant(9));
            let granted = Instant::now();
            let Some((_, Request::Heartbeat(_))) = peer.next() else { panic!("no heartbeat") };
            assert!(peer.next().is_none(), "the connection is given up");
            assert!(granted.elapsed() < Duration::from_secs(12), "after {:?}", granted.elapsed());
            return;
        }
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        let sessions = granted(9, taken.as_ref().unwrap()).sessions;
        peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
        take_back(peer, 90);
    });
    let client = Client::new(server.options());
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Lost { .. })));
    assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Resumed { .. })));
    drop(seats);
    server.finish();
}

#[test]
fn a_checkout_that_was_never_answered_is_cancelled_before_the_next_one() {
    let mut first: Option<wire::request::Checkout> = None;
    let server = Server::start(30_000, 4, move |at, peer| {
        peer.hello();
        if at < 3 {
            let Some((_, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
            first = Some(checkout);
            return;
        }
        let first = first.as_ref().expect("it was sent");
        peer.take_cancel(first);
        let next = peer.grant(10);
        assert_ne!(next.request_key, first.request_key);
        take_back(peer, 100);
    });
    let client = Client::new(server.options());
    assert!(matches!(client.checkout(Want::feature("cad")), Err(CheckoutError::NoServer(_))));
    drop(client.checkout(Want::feature("cad")).unwrap());
    server.finish();
}

#[test]
fn the_next_server_is_asked_after_these_denials_and_no_others() {
    let next = [
        codes::UNKNOWN_FEATURE,
        codes::NO_SEATS,
        codes::NO_COVERED_SEAT,
        codes::EXPIRED,
        codes::EVALUATION_EXPIRED,
        codes::SUBSCRIPTION_EXPIRED,
        codes::SHUTTING_DOWN,
        codes::NOT_LEADER,
        codes::BUSY,
        codes::INTERNAL,
        codes::CLOCK_SUSPECT,
    ];
    let last = [
        codes::MAINTENANCE_EXPIRED,
        codes::DENIED_BY_RULE,
        codes::LIMIT_USER,
        codes::VERSION_NOT_LICENSED,
        codes::NOT_STARTED,
        codes::BAD_REQUEST,
    ];
    for code in next.into_iter().chain(last) {
        let denying = Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            refuse_checkout(peer, code);
            peer.next();
        });
        let is_next = next.contains(&code);
        let granting = Server::start(30_000, 1, |_, peer| {
            peer.hello();
            peer.grant(9);
            take_back(peer, 90);
        });
        let client = Client::new(options(&[nobody(), denying.address, granting.address]));
        match client.checkout(Want::feature("cad")) {
            Ok(_) => assert!(is_next, "{code}"),
            Err(CheckoutError::Denied(refusal)) => assert!(!is_next && refusal.code == code, "{code}"),
            Err(error) => panic!("{code}: {error}"),
        }
        drop(client);
        denying.finish();
        if is_next {
            granting.finish();
        }
    }
}

#[test]
fn a_server_that_hangs_costs_one_time_out_and_gives_back_what_it_granted_when_it_answers_again() {
    let mut first: Option<wire::request::Checkout> = None;
    let hanging = Server::start(30_000, 2, move |at, peer| {
        peer.hello();
        if at == 0 {
            let Some((_, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
            first = Some(checkout);
            assert!(peer.next().is_none(), "the client has had enough");
            return;
        }
        peer.take_cancel(first.as_ref().expect("it was sent"));
    });
    let granting = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(10);
        take_back(peer, 100);
    });
    let mut options = options(&[hanging.address, granting.address]);
    options.answer_timeout = Duration::from_secs(1);
    let client = Client::new(options);
    let started = Instant::now();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "after {:?}", started.elapsed());
    assert_eq!(seats.bundle(), 10);
    // While the seats are held, and though nobody asks the first server for anything.
    hanging.finish();
    drop(seats);
    granting.finish();
}

#[test]
fn of_several_denials_the_first_about_seats_is_reported() {
    let cases = [
        (["no_seats", "denied_by_rule"], "no_seats"),
        (["unknown_feature", "no_seats"], "unknown_feature"),
        (["busy", "no_seats"], "no_seats"),
        (["busy", "shutting_down"], "busy"),
    ];
    for (denials, reported) in cases {
        let servers = denials.map(|code| {
            Server::start(30_000, 1, move |_, peer| {
                peer.hello();
                refuse_checkout(peer, code);
                peer.next();
            })
        });
        let client = Client::new(options(&[servers[0].address, servers[1].address]));
        let denied = client.checkout(Want::feature("cad")).err();
        assert!(
            matches!(&denied, Some(CheckoutError::Denied(refusal)) if refusal.code == reported),
            "{denials:?}: {denied:?}"
        );
    }
}

#[test]
fn a_program_that_panics_gives_its_seats_back() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        take_back(peer, 90);
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad")).unwrap();
    let worker = thread::spawn(move || {
        let _seats = seats;
        panic!("a fault of the program");
    });
    assert!(worker.join().is_err());
    server.finish();
}
