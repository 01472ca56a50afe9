//! Programs by the thousand, each on a socket of its own, on a few threads of this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wire::message::Message;
use wire::{answer, frame, layout, request};

use crate::common::licenses::feature;
use crate::common::{Random, Result};

/// Threads that talk for all programs.
pub(crate) const THREADS: usize = 8;
/// How long nothing may come before the run is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One program: who it is, and what it has.
pub(crate) struct Peer {
    number: usize,
    install_id: [u8; 16],
    secret: [u8; 16],
    bundle: u64,
    stream: Option<TcpStream>,
}

impl Peer {
    pub(crate) fn new(number: usize) -> Peer {
        let mut random = Random(number as u64);
        Peer { number, install_id: random.key(), secret: random.key(), bundle: 0, stream: None }
    }

    fn facts(&self) -> request::Facts {
        request::Facts {
            user: format!("user-{:05}", self.number),
            host: format!("workstation-{:05}", self.number),
            pid: 4711,
            platform: "linux-x86_64".into(),
            offset_minutes: 60,
            release_version: Some("4.1".into()),
            ..Default::default()
        }
    }

    fn hello(&self, frames: &mut Vec<u8>) -> Result<()> {
        let hello = request::Hello { install_id: self.install_id, ..Default::default() };
        Ok(frame::append(frames, 1, &hello)?)
    }

    fn connect(&mut self, address: SocketAddr, frames: &[u8]) -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.write_all(frames)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// A hello, without waiting for the answer.
    pub(crate) fn say_hello(&mut self, address: SocketAddr) -> Result<()> {
        let mut frames = Vec::new();
        self.hello(&mut frames)?;
        self.connect(address, &frames)
    }

    /// A hello and the resume of what it has, in one write, without waiting for the answers.
    pub(crate) fn say_resume(&mut self, address: SocketAddr) -> Result<()> {
        let mut frames = Vec::new();
        self.hello(&mut frames)?;
        let (bundle, secret) = (self.bundle, request::Secret(self.secret));
        let resume = request::Resume { bundle, secret, facts: self.facts(), extras: Vec::new() };
        frame::append(&mut frames, 2, &resume)?;
        self.connect(address, &frames)
    }

    /// A hello and a checkout of a seat of each of some features, with their answers.
    pub(crate) fn check_out(&mut self, address: SocketAddr, features: std::ops::Range<usize>) -> Result<()> {
        let mut frames = Vec::new();
        self.hello(&mut frames)?;
        let item = |n| request::Item { vendor: None, feature: feature(n), count: 1 };
        let checkout = request::Checkout {
            request_key: self.secret,
            secret: request::Secret(self.secret),
            items: features.map(item).collect(),
            facts: self.facts(),
            ..Default::default()
        };
        frame::append(&mut frames, 2, &checkout)?;
        self.connect(address, &frames)?;
        self.answer::<answer::Hello>()?;
        self.bundle = self.answer::<answer::Granted>()?.bundle;
        Ok(())
    }

    /// A heartbeat, without waiting for the answer.
    pub(crate) fn beat(&mut self) -> Result<()> {
        let mut frames = Vec::new();
        frame::append(&mut frames, 3, &request::Heartbeat::default())?;
        Ok(self.stream.as_mut().ok_or("not connected")?.write_all(&frames)?)
    }

    /// The next answer, which must be of this kind.
    pub(crate) fn answer<A: Message>(&mut self) -> Result<A> {
        let stream = self.stream.as_mut().ok_or("not connected")?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut bytes)?;
        let (head, body) = frame::split(&bytes)?;
        if head.number == A::NUMBER {
            return Ok(layout::decode(body)?);
        }
        if head.number == answer::Refused::NUMBER {
            let refused: answer::Refused = layout::decode(body)?;
            return Err(format!("refused: {}: {}", refused.code, refused.message).into());
        }
        Err(format!("message 0x{:04x} was not expected", head.number).into())
    }

    pub(crate) fn hang_up(&mut self) {
        self.stream = None;
    }
}

/// Does something with each program, on all threads at once.
pub(crate) fn with_all(peers: &mut [Peer], what: impl Fn(&mut [Peer]) -> Result<()> + Sync) -> Result<()> {
    let share = peers.len().div_ceil(THREADS).max(1);
    let what = &what;
    std::thread::scope(|scope| {
        let threads: Vec<_> = peers.chunks_mut(share).map(|some| scope.spawn(move || what(some))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

/// As many open files as this process may have.
pub(crate) fn raise_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
