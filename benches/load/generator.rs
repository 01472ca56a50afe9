//! One thread that keeps any number of connections busy: epoll, read what is there, answer all of it, write once.
//!
//! Every connection runs `depth` chains; a chain sends its next request when the last is answered. What is said
//! is a [`Talk`]'s business.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::common::Result;

/// What a connection says in its turn, and what it makes of the answers.
pub(crate) trait Talk {
    /// The first frame of a connection, answered before anything else is sent. `None`: there is none.
    fn greeting(&mut self) -> Option<Vec<u8>>;
    /// Appends a chain's next request. `session` is the chain's: 0, or what [`Talk::answer`] made of it.
    fn request(&mut self, connection: usize, session: u64, call: u32, out: &mut Vec<u8>);
    /// An answer to a request; the chain's session after it.
    ///
    /// # Errors
    /// It is not what was expected, as a denial: the run is worth nothing.
    fn answer(&mut self, session: u64, number: u16, body: &[u8]) -> Result<u64>;
}

/// How hard to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each.
    pub depth: usize,
}

/// What came of a run.
pub(crate) struct Run {
    /// Requests answered while the time was taken.
    pub operations: u64,
    /// How long it was taken.
    pub seconds: f64,
    /// Requests answered in all, warm-up and end included.
    pub answered: u64,
    /// From handing a request to the kernel until its answer was read, nanoseconds; unsorted.
    latencies: Vec<u32>,
}

impl Run {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// A percentile of the latencies, microseconds.
    pub(crate) fn latency(&mut self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let (_, value, _) = self.latencies.select_nth_unstable(at);
        f64::from(*value) / 1000.0
    }
}

/// Before the time is taken: connections have said hello, queues are as full as they get.
const WARM_UP: Duration = Duration::from_millis(200);
/// How long nothing may happen before the run is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Room for what one read brings.
const READ_BYTES: usize = 64 << 10;

struct Chain {
    session: u64,
    sent: Option<Instant>,
}

struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    waits_to_write: bool,
    chains: Vec<Chain>,
}

/// Drives `talk` at `address` for `length` after the warm-up; ends when every chain is answered and idle.
///
/// # Errors
/// A connection fails, an answer is wrong, or nothing comes for twenty seconds.
pub(crate) fn drive(address: SocketAddr, shape: Shape, length: Duration, talk: &mut dyn Talk) -> Result<Run> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(shape.connections);
    for n in 0..shape.connections {
        let stream = open(address, talk)?;
        epoll::add(&poll, &stream, EventData::new_u64(n as u64), EventFlags::IN)?;
        let chains = (0..shape.depth).map(|_| Chain { session: 0, sent: None }).collect();
        let (inbox, outbox) = (Vec::new(), Vec::new());
        connections.push(Connection { stream, inbox, outbox, waits_to_write: false, chains });
    }
    let mut driver = Driver {
        talk,
        open: 0,
        is_ending: false,
        counts_from: None,
        run: Run { operations: 0, answered: 0, seconds: 0.0, latencies: Vec::new() },
    };
    for (n, connection) in connections.iter_mut().enumerate() {
        let now = Instant::now();
        for chain in 0..connection.chains.len() {
            driver.next(n, connection, chain, now);
        }
        connection.send(n, &poll)?;
    }
    let begun = Instant::now();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(1024);
    let mut scratch = vec![0; READ_BYTES];
    let timeout = Timespec { tv_sec: i64::try_from(SILENCE_MAX.as_secs())?, tv_nsec: 0 };
    while driver.open > 0 {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
        if events.is_empty() {
            return Err(format!("{} requests were not answered in {SILENCE_MAX:?}", driver.open).into());
        }
        for event in &events {
            // Copies: the event is packed.
            let (data, flags): (EventData, EventFlags) = (event.data, event.flags);
            let n = usize::try_from(data.u64())?;
            let connection = &mut connections[n];
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                driver.read(n, connection, &mut scratch)?;
            }
            connection.send(n, &poll)?;
        }
        let elapsed = begun.elapsed();
        match driver.counts_from {
            None if elapsed >= WARM_UP => driver.counts_from = Some(Instant::now()),
            Some(from) if !driver.is_ending && from.elapsed() >= length => {
                driver.run.seconds = from.elapsed().as_secs_f64();
                driver.is_ending = true;
            }
            _ => {}
        }
    }
    Ok(driver.run)
}

/// Connects and says hello.
fn open(address: SocketAddr, talk: &mut dyn Talk) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    if let Some(greeting) = talk.greeting() {
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.write_all(&greeting)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut answer)?;
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

struct Driver<'t> {
    talk: &'t mut dyn Talk,
    /// Requests that are not answered.
    open: usize,
    /// What was begun is brought to its end, nothing new is begun.
    is_ending: bool,
    counts_from: Option<Instant>,
    run: Run,
}

impl Driver<'_> {
    fn next(&mut self, n: usize, connection: &mut Connection, chain: usize, now: Instant) {
        let session = connection.chains[chain].session;
        if self.is_ending && session == 0 {
            return;
        }
        let call = u32::try_from(chain + 1).unwrap_or(u32::MAX);
        self.talk.request(n, session, call, &mut connection.outbox);
        connection.chains[chain].sent = Some(now);
        self.open += 1;
    }

    fn read(&mut self, n: usize, connection: &mut Connection, scratch: &mut [u8]) -> Result<()> {
        let bytes = match connection.stream.read(scratch) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        let mut inbox = std::mem::take(&mut connection.inbox);
        inbox.extend_from_slice(&scratch[..bytes]);
        let mut at = 0;
        while let Some(frame) = wire::frame::first(&inbox[at..], wire::frame::SERVER_FRAME_BYTES_MAX)? {
            at += frame.bytes;
            let chain = usize::try_from(frame.head.call)?.wrapping_sub(1);
            let state = connection.chains.get_mut(chain).ok_or("an answer to no call")?;
            let sent = state.sent.take().ok_or("two answers to one call")?;
            state.session = self.talk.answer(state.session, frame.head.number, frame.body)?;
            self.open -= 1;
            self.run.answered += 1;
            if self.counts_from.is_some() && !self.is_ending {
                self.run.operations += 1;
                let nanos = now.saturating_duration_since(sent).as_nanos();
                self.run.latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
            }
            self.next(n, connection, chain, now);
        }
        inbox.drain(..at);
        connection.inbox = inbox;
        Ok(())
    }
}

impl Connection {
    /// Everything that was said since, in one write. What the kernel does not take waits until it does.
    fn send(&mut self, n: usize, poll: &rustix::fd::OwnedFd) -> Result<()> {
        let mut written = 0;
        while written < self.outbox.len() {
            match self.stream.write(&self.outbox[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.outbox.drain(..written);
        if self.waits_to_write == self.outbox.is_empty() {
            self.waits_to_write = !self.outbox.is_empty();
            let write = if self.waits_to_write { EventFlags::OUT } else { EventFlags::empty() };
            epoll::modify(poll, &self.stream, EventData::new_u64(n as u64), EventFlags::IN | write)?;
        }
        Ok(())
    }
}
