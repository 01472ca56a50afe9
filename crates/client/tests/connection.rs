//! One connection against servers that are slow, silent, wrong or hostile.

mod scripted;

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use scripted::{PATIENCE, Peer, Server, nobody, options};
use seatkeeper_client::{CallError, ConnectError, Connection, Options, Told};
use wire::{Answer, Request, answer, request};

/// Long enough to say hello on a busy machine, short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

fn impatient(server: &Server) -> Options {
    Options { answer_timeout: SHORT, ..server.options() }
}

fn open(options: &Options) -> Result<Connection, ConnectError> {
    Connection::open(&options.servers[0], options, |_| {})
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let server = Server::start(30_000, 1, |_, peer| while peer.next().is_some() {});
    let started = Instant::now();
    let error = open(&impatient(&server)).err().unwrap();
    assert!(matches!(error, ConnectError::Silent { .. }), "{error}");
    assert!(started.elapsed() >= SHORT && started.elapsed() < PATIENCE);
    server.finish();
}

#[test]
fn a_server_that_dribbles_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { answer_timeout: SHORT, ..options(&[listener.local_addr().unwrap()]) };
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A frame of 4000 bytes, one at a time, until the client has had enough.
        let mut byte = [0xa0, 0x0f, 0, 0].into_iter().chain(std::iter::repeat(0));
        while stream.write_all(&[byte.next().unwrap()]).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let error = open(&options).err().unwrap();
    assert!(matches!(error, ConnectError::Silent { .. }), "{error}");
}

#[test]
fn nobody_listening_and_a_name_without_address_are_told_apart() {
    let error = open(&options(&[nobody()])).err().unwrap();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error}");
    let mut options = options(&[nobody()]);
    options.servers = seatkeeper_client::Address::list("no-such-host.invalid:6200").unwrap();
    let error = open(&options).err().unwrap();
    assert!(matches!(error, ConnectError::Lookup { .. }), "{error}");
}

#[test]
fn a_refusal_of_the_connection_is_passed_on() {
    for call in [0, 1] {
        let server = Server::start(30_000, 1, move |_, peer| {
            peer.next();
            peer.refuse(call, "busy", "too many connections");
        });
        let error = open(&server.options()).err().unwrap();
        let is_busy = matches!(&error, ConnectError::Refused { refusal, .. } if refusal.code == "busy");
        assert!(is_busy, "{error}");
    }
}

#[test]
fn answers_may_come_in_any_order() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let mut calls = Vec::new();
        for _ in 0..8 {
            let Some((call, Request::Checkin(ask))) = peer.next() else { panic!() };
            calls.push((call, ask.session));
        }
        for (call, session) in calls.into_iter().rev() {
            let done = answer::Checkin { session, count: 1, ..Default::default() };
            peer.answer(call, Answer::Checkin(done));
        }
    });
    let connection = open(&server.options()).unwrap();
    thread::scope(|scope| {
        for session in 0..8 {
            let ask = request::Checkin { session, ..Default::default() };
            let connection = &connection;
            scope.spawn(move || assert_eq!(connection.call(&ask).unwrap().session, session));
        }
    });
    server.finish();
}

#[test]
fn a_request_longer_than_the_server_takes_is_not_sent() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Report(_))) = peer.next() else { panic!() };
        peer.answer(call, Answer::Report(answer::Report { json: "{}".into(), ..Default::default() }));
    });
    let connection = open(&server.options()).unwrap();
    let long = "x".repeat(70_000);
    assert!(matches!(connection.report(&long, None, None), Err(CallError::TooLong(_))));
    assert_eq!(connection.report("status", None, None).unwrap(), ["{}"]);
}

#[test]
fn parts_are_followed_and_a_report_that_never_ends_is_an_error() {
    let server = Server::start(30_000, 2, |at, peer| {
        peer.hello();
        let mut cursors = Vec::new();
        while let Some((call, Request::Report(ask))) = peer.next() {
            cursors.push(ask.cursor);
            let next = if at == 1 { "same" } else { ["b", "c", ""][cursors.len() - 1] };
            let report = answer::Report { json: "{}".into(), next: next.into(), extras: vec![] };
            peer.answer(call, Answer::Report(report));
        }
        assert!(at == 1 || cursors == ["", "b", "c"], "{cursors:?}");
    });
    let options = server.options();
    assert_eq!(open(&options).unwrap().report("sessions", None, None).unwrap().len(), 3);
    let endless = open(&options).unwrap().report("sessions", None, None);
    assert!(matches!(endless, Err(CallError::Protocol(_))), "{endless:?}");
    server.finish();
}

/// What a server could send instead of the answer to a heartbeat, and whether that breaks the protocol.
fn wrong(peer: &mut Peer, call: u32, kind: usize) {
    let call_bytes = call.to_le_bytes();
    let frame = |number: u16, call: [u8; 4], body: &[u8]| {
        let length = u32::try_from(6 + body.len()).unwrap();
        [&length.to_le_bytes()[..], &number.to_le_bytes(), &call, body].concat()
    };
    let bytes = match kind {
        0 => vec![0xff; 64],
        1 => vec![5, 0, 0, 0, 0, 0, 0, 0, 0],
        2 => frame(0x8004, call_bytes, &[]),
        3 => frame(0x8004, call_bytes, &[1, 0, 9]),
        4 => frame(0x8004, call_bytes, &[0xfb, 5, 0, 0]),
        5 => frame(0x8004, call_bytes, &[1, 1, 3, 0]),
        6 => frame(0x8003, call_bytes, &[1, 1, 0, 0]),
        7 => frame(0x8004, (call + 77).to_le_bytes(), &[1, 0]),
        8 => frame(0x8004, [0; 4], &[1, 0]),
        9 => frame(0x0004, call_bytes, &[0, 0]),
        10 => frame(0xc001, call_bytes, &[1, 0, 0, 0]),
        11 => frame(0xc001, [0; 4], &[1]),
        _ => frame(0x8001, call_bytes, &[0; 5000]),
    };
    peer.raw(&bytes);
}

#[test]
fn whatever_breaks_the_protocol_is_an_error_and_ends_the_connection() {
    for kind in 0..=12 {
        let server = Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            let Some((call, _)) = peer.next() else { panic!() };
            wrong(peer, call, kind);
            assert!(peer.next().is_none(), "the client closes");
        });
        let (sender, told) = mpsc::channel();
        let options = server.options();
        let send = move |t| sender.send(t).unwrap();
        let connection = Connection::open(&options.servers[0], &options, send).unwrap();
        let error = connection.call(&request::Heartbeat::default()).err().unwrap();
        assert!(matches!(error, CallError::Protocol(_)), "kind {kind}: {error}");
        assert!(matches!(told.recv_timeout(PATIENCE), Ok(Told::Ended(_))), "kind {kind}");
        assert!(connection.has_ended());
        assert!(connection.call(&request::Heartbeat::default()).is_err());
        server.finish();
    }
}

#[test]
fn random_bytes_instead_of_a_server_are_an_error() {
    let seed = getrandom::u64().unwrap();
    println!("seed: {seed}");
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let server = Server::start(30_000, 50, move |_, peer| {
        peer.next();
        let bytes: Vec<u8> = (0..random()).map(|_| random()).collect();
        peer.raw(&bytes);
    });
    for _ in 0..50 {
        assert!(open(&impatient(&server)).is_err());
    }
    server.finish();
}

#[test]
fn a_cut_in_the_middle_of_a_frame_is_a_lost_connection() {
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.next();
        peer.raw(&[8, 0, 0, 0, 4, 0x80]);
    });
    let connection = open(&server.options()).unwrap();
    let error = connection.call(&request::Heartbeat::default()).err().unwrap();
    assert!(matches!(error, CallError::Lost(_)), "{error}");
}
