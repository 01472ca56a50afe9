//! The network: streams in memory whose bytes come late, in pieces, or not at all.
//!
//! The server's end of a connection is a [`Stream`]; the client's end is two byte counts, for the simulation alone decides
//! when which byte arrives. Within one direction of one connection bytes keep their order, as TCP has it. What a client
//! sent before it gave a connection up goes on travelling, and may arrive after what it sent over the next one.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::Random;
use crate::plan::Dice as _;

/// What the server's end of a connection has received and written.
#[derive(Debug, Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    is_eof: bool,
    is_reset: bool,
    from_server: Vec<u8>,
    /// The server has closed its side, or dropped it.
    is_closed: bool,
    reader: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Mutex<Pipe>>);

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.0);
        if pipe.is_reset {
            return Poll::Ready(Err(reset()));
        }
        if !pipe.to_server.is_empty() {
            let bytes = buffer.remaining().min(pipe.to_server.len());
            let taken: Vec<u8> = pipe.to_server.drain(..bytes).collect();
            buffer.put_slice(&taken);
            return Poll::Ready(Ok(()));
        }
        if pipe.is_eof {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.0);
        if pipe.is_reset || pipe.is_closed {
            return Poll::Ready(Err(reset()));
        }
        pipe.from_server.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.0).is_closed = true;
    }
}

/// How an end of a connection learns that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After all that was sent.
    Closed,
    /// At once.
    Reset,
}

/// Something that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The server's end has everything up to this byte.
    Up(usize),
    UpEnd(End),
    /// The client's end has everything up to this byte.
    Down(usize),
    DownEnd,
}

/// One connection, from the side of the network.
#[derive(Debug)]
pub(crate) struct Cable {
    pipe: Arc<Mutex<Pipe>>,
    /// All the client ever sent, and how much of it has arrived.
    pub(crate) sent: Vec<u8>,
    pub(crate) arrived: usize,
    /// What is sent beyond it never arrives.
    sent_max: usize,
    up_at: u64,
    /// All the server ever wrote, and how much of it has arrived.
    pub(crate) told: Vec<u8>,
    pub(crate) received: usize,
    told_max: usize,
    down_at: u64,
    /// The client knows that it is over, or has given it up.
    pub(crate) is_given_up: bool,
    /// The server's end was told that it is over, or has closed itself.
    pub(crate) is_over: bool,
    /// The server's process is gone.
    is_dead: bool,
}

impl Cable {
    pub(crate) fn new(now: u64) -> (Cable, Stream) {
        let pipe = Arc::new(Mutex::new(Pipe::default()));
        let stream = Stream(pipe.clone());
        let cable = Cable {
            pipe,
            sent: Vec::new(),
            arrived: 0,
            sent_max: usize::MAX,
            up_at: now,
            told: Vec::new(),
            received: 0,
            told_max: usize::MAX,
            down_at: now,
            is_given_up: false,
            is_over: false,
            is_dead: false,
        };
        (cable, stream)
    }

    /// The client writes: when what of it arrives.
    pub(crate) fn send(&mut self, bytes: &[u8], now: u64, weather: &mut Weather<'_>) -> Vec<(u64, Packet)> {
        let from = self.sent.len();
        self.sent.extend_from_slice(bytes);
        if self.is_dead || self.sent_max < usize::MAX {
            return Vec::new();
        }
        let mut packets = Vec::new();
        if weather.cuts() {
            self.sent_max = from + weather.random.below(bytes.len() + 1);
            packets.extend(self.cut(now, weather));
        }
        for upto in weather.pieces(from, self.sent.len().min(self.sent_max)) {
            self.up_at = self.up_at.max(now + weather.delay());
            packets.push((self.up_at, Packet::Up(upto)));
        }
        packets
    }

    /// The connection breaks: when which end hears of it. One of them may never do, or long after.
    pub(crate) fn cut(&mut self, now: u64, weather: &mut Weather<'_>) -> Vec<(u64, Packet)> {
        let mut packets = Vec::new();
        self.sent_max = self.sent_max.min(self.sent.len());
        self.told_max = self.told_max.min(self.told.len());
        let random = &mut *weather.random;
        let mut heard = || match random.below(10) {
            0..=6 => Some(now + random.ms(1, 50)),
            7 | 8 => Some(now + random.ms(50, 20_000)),
            _ => None,
        };
        if let Some(at) = heard() {
            packets.push((at, Packet::DownEnd));
        }
        if let Some(at) = heard() {
            let end = if at.is_multiple_of(2) { End::Reset } else { End::Closed };
            self.up_at = self.up_at.max(at);
            let at = if end == End::Reset { at } else { self.up_at };
            packets.push((at, Packet::UpEnd(end)));
        }
        packets
    }

    /// The client gives the connection up: it reads nothing more, and what it sent arrives before the end of it does.
    pub(crate) fn give_up(&mut self, now: u64, weather: &mut Weather<'_>) -> Vec<(u64, Packet)> {
        self.is_given_up = true;
        self.up_at = self.up_at.max(now + weather.delay());
        vec![(self.up_at, Packet::UpEnd(End::Closed))]
    }

    /// What the server has written since the last time, when what of it arrives, and whether it has closed.
    pub(crate) fn collect(&mut self, now: u64, weather: &mut Weather<'_>) -> (Vec<(u64, Packet)>, bool) {
        let mut packets = Vec::new();
        let (bytes, is_closed) = {
            let mut pipe = lock(&self.pipe);
            (std::mem::take(&mut pipe.from_server), pipe.is_closed)
        };
        let from = self.told.len();
        self.told.extend_from_slice(&bytes);
        let is_whole = self.told_max == usize::MAX;
        if !bytes.is_empty() && is_whole {
            if weather.cuts() {
                self.told_max = from + weather.random.below(bytes.len() + 1);
                packets.extend(self.cut(now, weather));
            }
            for upto in weather.pieces(from, self.told.len().min(self.told_max)) {
                self.down_at = self.down_at.max(now + weather.delay());
                packets.push((self.down_at, Packet::Down(upto)));
            }
        }
        let has_closed = is_closed && !self.is_over;
        self.is_over |= is_closed;
        if has_closed && is_whole {
            self.down_at = self.down_at.max(now + weather.delay());
            packets.push((self.down_at, Packet::DownEnd));
        }
        (packets, has_closed)
    }

    /// Bytes arrive at the server.
    pub(crate) fn arrive(&mut self, upto: usize) -> bool {
        if self.is_dead || upto <= self.arrived {
            return false;
        }
        let mut pipe = lock(&self.pipe);
        if pipe.is_reset || pipe.is_eof || pipe.is_closed {
            return false;
        }
        pipe.to_server.extend(&self.sent[self.arrived..upto]);
        pipe.wake();
        self.arrived = upto;
        true
    }

    /// The server's end hears that the connection is over.
    pub(crate) fn end_at_server(&mut self, end: End) -> bool {
        if self.is_dead || self.is_over {
            return false;
        }
        let mut pipe = lock(&self.pipe);
        match end {
            End::Closed => pipe.is_eof = true,
            End::Reset => pipe.is_reset = true,
        }
        pipe.wake();
        self.is_over = true;
        true
    }

    /// The server's process is gone: nothing is read or written any more.
    pub(crate) fn die(&mut self) {
        let mut pipe = lock(&self.pipe);
        pipe.is_reset = true;
        pipe.wake();
        (self.is_dead, self.is_over) = (true, true);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }
}

/// How bad the network is.
pub(crate) struct Weather<'a> {
    pub(crate) random: &'a mut Random,
    /// In a thousand packets.
    pub(crate) cuts: u64,
    pub(crate) stalls: u64,
    pub(crate) is_calm: bool,
}

impl Weather<'_> {
    fn cuts(&mut self) -> bool {
        !self.is_calm && self.random.permille(self.cuts)
    }

    fn delay(&mut self) -> u64 {
        if self.is_calm {
            return self.random.ms(1, 3);
        }
        if self.random.permille(self.stalls) {
            return self.random.ms(1_000, 40_000);
        }
        match self.random.below(20) {
            0..=15 => self.random.ms(1, 4),
            16..=18 => self.random.ms(5, 200),
            _ => self.random.ms(200, 2_000),
        }
    }

    /// Where the packets of some bytes end.
    fn pieces(&mut self, from: usize, to: usize) -> Vec<usize> {
        let mut ends = Vec::new();
        if from < to {
            if !self.is_calm && self.random.percent(15) {
                ends.push(from + 1 + self.random.below(to - from));
            }
            if ends.last() != Some(&to) {
                ends.push(to);
            }
        }
        ends
    }
}
