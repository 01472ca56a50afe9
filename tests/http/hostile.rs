//! Readers that do what readers should not: clients of the wire must not notice (S82, S83).

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use seatkeeper::http::connections::{CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME, STALL_TIME};

use crate::plain::{connect, get, say, start, try_say};
use crate::real::site::{Site, exclusive};
use crate::real::{until, within};

/// Long enough for a limit, on a busy machine.
const BEYOND: Duration = Duration::from_secs(20);

#[test]
fn slow_readers_are_cut_off_and_nobody_waits_for_them() {
    // Texts that no socket's buffers hold.
    let features: Vec<String> = (0..2_000).map(|n| exclusive(&format!("feature-{n}"), 3)).collect();
    let site = Site::with(&features);
    let (daemon, http) = start(&site);
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {http}\r\n\r\n");
    let mut slow: Vec<_> = (0..8).map(|_| connect(http)).collect();
    for stream in &mut slow {
        // One after the other is asked for, and nothing is read.
        for _ in 0..20 {
            let _ = stream.write_all(request.as_bytes());
        }
    }
    let mut client = daemon.connect();
    let begun = Instant::now();
    for _ in 0..50 {
        let held = client.checkout(&[("feature-7", 1)]).unwrap();
        client.give_back(&held);
    }
    assert!(begun.elapsed() < STALL_TIME / 2, "{:?}", begun.elapsed());
    assert_eq!(get(http, "/healthz").status, 200);
    let is_cut = |stream: &mut std::net::TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        // What was sent before is still there to be read: a write tells whether anybody is at the other end.
        stream.write_all(request.as_bytes()).is_err()
    };
    let all_cut = within(STALL_TIME + BEYOND, || {
        slow.retain_mut(|stream| !is_cut(stream));
        slow.is_empty().then_some(())
    });
    assert!(all_cut.is_some(), "{} slow readers are still there", slow.len());
}

#[test]
fn headers_have_a_length_and_a_time() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (daemon, http) = start(&site);
    let long =
        format!("GET /healthz HTTP/1.1\r\nHost: {http}\r\nX: {}\r\n\r\n", "x".repeat(HEADER_BYTES_MAX));
    assert_eq!(say(http, long.as_bytes()).status, 431);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: {http}\r\n{}\r\n", "A: b\r\n".repeat(500));
    assert_eq!(say(http, many.as_bytes()).status, 431);
    for garbage in [
        &b"\0\0\0\0\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        if let Some(page) = try_say(http, garbage) {
            assert!((400..600).contains(&page.status), "{} for {garbage:?}", page.status);
        }
    }
    // One that begins and never ends, one that says nothing, and one that was answered and is kept open.
    let mut begun = connect(http);
    begun.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    let silent = connect(http);
    let mut idle = connect(http);
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {http}\r\n\r\n").as_bytes()).unwrap();
    let start = Instant::now();
    for (what, mut stream) in [("begun", begun), ("silent", silent), ("idle", idle)] {
        stream.set_read_timeout(Some(HEADER_TIME + BEYOND)).unwrap();
        let mut rest = Vec::new();
        // Closed by the other side, with or without a last word.
        let ended = stream.read_to_end(&mut rest);
        assert!(!matches!(&ended, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "{what}: {ended:?}");
    }
    assert!(start.elapsed() < HEADER_TIME + BEYOND);
    daemon.connect().checkout(&[("cad", 1)]).unwrap();
}

#[test]
fn more_connections_than_are_taken_are_told_so() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (daemon, http) = start(&site);
    let held: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(http)).collect();
    until("one more is refused", || {
        let mut stream = connect(http);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 503").then_some(())
    });
    daemon.connect().checkout(&[("cad", 1)]).unwrap();
    drop(held);
    until("there is room again", || {
        let mut stream = connect(http);
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_stop_waits_for_no_reader() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (mut daemon, http) = start(&site);
    let _silent: Vec<_> = (0..10).map(|_| connect(http)).collect();
    let begun = Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
