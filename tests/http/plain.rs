//! A small HTTP client on a socket, and a daemon that answers it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::real::daemon::{Daemon, Start};
use crate::real::site::Site;

/// An answer.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A daemon of a site that answers HTTP at a port of its own.
pub(crate) fn start(site: &Site) -> (Daemon, SocketAddr) {
    start_at(site, "127.0.0.1:0")
}

pub(crate) fn start_at(site: &Site, address: &str) -> (Daemon, SocketAddr) {
    let daemon = Start::of(site).arg("--http").arg(address).ready(site);
    let http = address_of(&daemon);
    (daemon, http)
}

pub(crate) fn address_of(daemon: &Daemon) -> SocketAddr {
    let line = daemon.await_log("answering HTTP");
    let address = line.split("address=").nth(1).expect("the log names the address");
    let bound: SocketAddr = address.split_whitespace().next().unwrap_or("").parse().expect("an address");
    // 0.0.0.0 is where it listens; here is where it is found.
    SocketAddr::new([127, 0, 0, 1].into(), bound.port())
}

/// Connects, for answers within half a minute.
pub(crate) fn connect(http: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    stream
}

pub(crate) fn get(http: SocketAddr, path: &str) -> Page {
    ask(http, "GET", path, "")
}

/// `headers`: lines, each with its end.
pub(crate) fn ask(http: SocketAddr, method: &str, path: &str, headers: &str) -> Page {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {http}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
    say(http, request.as_bytes())
}

/// Sends these bytes and reads to the end.
pub(crate) fn say(http: SocketAddr, bytes: &[u8]) -> Page {
    try_say(http, bytes).expect("an answer")
}

/// As [`say`]; `None`: the connection was closed without a word.
pub(crate) fn try_say(http: SocketAddr, bytes: &[u8]) -> Option<Page> {
    let mut stream = connect(http);
    let mut answer = Vec::new();
    // One that is refused halfway is closed with bytes unread: what was said before that is here all the same.
    let _ = stream.write_all(bytes);
    let read = stream.read_to_end(&mut answer);
    assert!(
        !matches!(&read, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
        "neither answered nor closed"
    );
    (!answer.is_empty()).then(|| page(&answer))
}

fn page(answer: &[u8]) -> Page {
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &answer[end + 4..];
    let body = match headers.get("transfer-encoding") {
        Some(coding) => {
            assert_eq!(coding, "chunked");
            dechunked(body)
        }
        None => body.to_vec(),
    };
    let body = String::from_utf8(body).expect("text");
    Page { status: status.parse().expect("a number"), headers, body }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end =
            bytes.windows(2).position(|part| part == b"\r\n").expect("a chunk's length: the body is whole");
        let length = std::str::from_utf8(&bytes[..end]).expect("a number");
        let length = usize::from_str_radix(length, 16).expect("a number");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
    }
}
