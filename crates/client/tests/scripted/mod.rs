//! A server that says what a test tells it to, over real sockets. It knows no rules: each test writes down both sides.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use seatkeeper_client::{Address, Backoff, InstallId, Options};
use wire::{Answer, Event, Request, answer, frame};

/// How long a test waits for what must come. Long, so that a slow machine fails no test; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, seen from the server.
pub struct Peer {
    stream: TcpStream,
    pub heartbeat_ms: u32,
}

impl Peer {
    /// The next request; `None` once the client has closed.
    pub fn next(&mut self) -> Option<(u32, Request)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut payload = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let (head, body) = frame::split(&payload).unwrap();
        assert_ne!(head.call, 0, "a request has a call number");
        Some((head.call, Request::decode(head.number, body).unwrap()))
    }

    /// The next request that is not a heartbeat; those are answered.
    pub fn next_but_beats(&mut self, sessions: u32) -> Option<(u32, Request)> {
        loop {
            match self.next()? {
                (call, Request::Heartbeat(_)) => {
                    let heard = answer::Heartbeat { sessions, ..Default::default() };
                    self.answer(call, Answer::Heartbeat(heard));
                }
                other => return Some(other),
            }
        }
    }

    pub fn answer(&mut self, call: u32, answer: Answer) {
        let mut frame = Vec::new();
        answer.append(&mut frame, call).unwrap();
        self.raw(&frame);
    }

    pub fn event(&mut self, event: Event) {
        let mut frame = Vec::new();
        event.append(&mut frame, 0).unwrap();
        self.raw(&frame);
    }

    /// The client may be gone already: that is for the client's side to judge.
    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn hello(&mut self) -> wire::request::Hello {
        let Some((call, Request::Hello(hello))) = self.next() else { panic!("no hello") };
        let answer = answer::Hello {
            version: 1,
            server_name: "lic01".into(),
            server_version: "0.1.0".into(),
            heartbeat_ms: self.heartbeat_ms,
            lease_ms: 4 * self.heartbeat_ms,
            client_frame_bytes_max: 65536,
            sessions_max: 100,
            ..Default::default()
        };
        self.answer(call, Answer::Hello(answer));
        hello
    }

    /// Reads a checkout and grants it as this bundle.
    pub fn grant(&mut self, bundle: u64) -> wire::request::Checkout {
        let Some((call, Request::Checkout(checkout))) = self.next_but_beats(0) else { panic!("no checkout") };
        let mut granted = granted(bundle, &checkout);
        granted.heartbeat_ms = self.heartbeat_ms;
        self.answer(call, Answer::Granted(granted));
        checkout
    }

    /// Reads what gives a checkout up that nobody has the answer to, which must be this one.
    pub fn take_cancel(&mut self, of: &wire::request::Checkout) {
        let Some((call, Request::Cancel(cancel))) = self.next_but_beats(0) else { panic!("not cancelled") };
        assert_eq!((cancel.request_key, cancel.secret), (of.request_key, of.secret));
        self.answer(call, Answer::Cancel(answer::Cancel::default()));
    }

    pub fn refuse(&mut self, call: u32, code: &str, message: &str) {
        let refused = answer::Refused { code: code.into(), message: message.into(), ..Default::default() };
        self.answer(call, Answer::Refused(refused));
    }
}

/// What the scripted server grants: session numbers begin at ten times the bundle's.
pub fn granted(bundle: u64, checkout: &wire::request::Checkout) -> answer::Granted {
    let grant = |(at, item): (u64, &wire::request::Item)| answer::Grant {
        session: bundle * 10 + at,
        vendor: "ACME".into(),
        feature: item.feature.clone(),
        count: item.count,
        ..Default::default()
    };
    let sessions = (0..).zip(&checkout.items).map(grant).collect();
    answer::Granted { bundle, sessions, heartbeat_ms: 30_000, lease_ms: 120_000, ..Default::default() }
}

/// Serves one connection after the other, each by `script` with its number from 0.
pub struct Server {
    pub address: SocketAddr,
    done: mpsc::Receiver<thread::Result<()>>,
}

impl Server {
    pub fn start(
        heartbeat_ms: u32,
        connections: usize,
        script: impl FnMut(usize, &mut Peer) + Send + 'static,
    ) -> Server {
        Server::start_at("127.0.0.1:0".parse().unwrap(), heartbeat_ms, connections, script)
    }

    /// At an address of which a test knows that it is free, such as that of a server that has finished.
    pub fn start_at(
        address: SocketAddr,
        heartbeat_ms: u32,
        connections: usize,
        mut script: impl FnMut(usize, &mut Peer) + Send + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, done) = mpsc::channel();
        thread::spawn(move || {
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for at in 0..connections {
                    let (stream, _) = listener.accept().unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    script(at, &mut Peer { stream, heartbeat_ms });
                }
            }));
            // From here on nobody accepts: the next connection is refused.
            drop(listener);
            let _ = sender.send(served);
        });
        Server { address, done }
    }

    pub fn options(&self) -> Options {
        options(&[self.address])
    }

    /// Waits until the script is through, and fails if it failed.
    pub fn finish(self) {
        match self.done.recv_timeout(PATIENCE).expect("the script ends") {
            Ok(()) => {}
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

pub fn options(addresses: &[SocketAddr]) -> Options {
    let servers = addresses.iter().map(|a| Address::Tcp { host: a.ip().to_string(), port: a.port() });
    let mut options = Options::new(servers.collect(), "test", "1");
    options.install_id = InstallId([7; 16]);
    (options.connect_timeout, options.answer_timeout) = (PATIENCE, PATIENCE);
    options.backoff = Backoff::default();
    options.grace_directory = None;
    options
}

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
