//! One connection: calls out, answers and events in.
//!
//! A thread reads what arrives and hands each answer to who waits for it. Several threads can call at once; answers may come
//! in any order. Whatever breaks the protocol ends the connection, and everybody who waits is told why.
//!
//! It does not come back: [`Client`](crate::Client) makes another one and resumes what was held.

use std::collections::HashMap;
use std::io::{BufReader, Read as _};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wire::frame::{self, HEAD_BYTES, SERVER_FRAME_BYTES_MAX};
use wire::request::Report;
use wire::{Call, EncodeError, Head, Message as _, answer, layout, request};

use crate::address::Address;
use crate::error::{CallError, ConnectError, Refusal, printable};
use crate::stream::{self, Stream};
use crate::{Options, lock};

/// The shortest interval between two signs of life, whatever the server says: a wish for zero must not make this a flood.
const BEAT_SHORTEST: Duration = Duration::from_millis(10);
/// The most parts of one report: at a hundred items each, a million sessions.
const REPORT_PARTS_MAX: usize = 10_000;

/// What a connection says unasked, in order. The last is [`Told::Ended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An event of the server. Unknown ones are left out.
    Event(wire::Event),
    /// The connection is over, and why.
    Ended(String),
}

/// A connection whose hello is done. Dropping it closes it; sessions stay on the server (S10).
pub struct Connection {
    shared: Arc<Shared>,
    hello: answer::Hello,
    answer_timeout: Duration,
}

struct Shared {
    control: Box<dyn Stream>,
    writer: Mutex<Writer>,
    calls: Mutex<Calls>,
}

struct Writer {
    stream: Box<dyn Stream>,
    sent_at: Instant,
    frame_bytes_max: usize,
}

#[derive(Default)]
struct Calls {
    waiting: HashMap<u32, Waiter>,
    last: u32,
    ending: Option<Ending>,
}

/// Runs on the reading thread, so it must not wait for anything. An error is a breach of the protocol.
type Waiter = Box<dyn FnOnce(Result<Arrived<'_>, CallError>) -> Result<(), String> + Send>;

/// What a checkout comes to.
pub(crate) enum Asked {
    Granted(answer::Granted),
    Waiting(answer::Waiting),
}

struct Arrived<'a> {
    number: u16,
    body: &'a [u8],
}

#[derive(Clone, Debug)]
enum Ending {
    Lost(String),
    Protocol(String),
    Refused(Refusal),
}

impl Ending {
    fn to_call_error(&self) -> CallError {
        match self {
            Ending::Lost(what) => CallError::Lost(what.clone()),
            Ending::Protocol(what) => CallError::Protocol(what.clone()),
            // It is about the connection, and no answer to this call.
            Ending::Refused(refusal) => CallError::Lost(refusal.to_string()),
        }
    }
}

impl Connection {
    /// Connects to one server, says hello and starts reading. What the server tells unasked goes to `told`, on the reading
    /// thread: it must not call this connection and wait.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], by the step that did not succeed.
    pub fn open(
        address: &Address,
        options: &Options,
        told: impl FnMut(Told) + Send + 'static,
    ) -> Result<Connection, ConnectError> {
        let no_socket = |source| ConnectError::Connect { address: address.clone(), source };
        let stream = stream::connect(address, options.connect_timeout)?;
        stream.limit_writes(options.answer_timeout).map_err(no_socket)?;
        let reader = stream.another().map_err(no_socket)?;
        let writer = Writer {
            stream: stream.another().map_err(no_socket)?,
            sent_at: Instant::now(),
            frame_bytes_max: frame::HELLO_FRAME_BYTES_MAX,
        };
        let shared =
            Arc::new(Shared { control: stream, writer: Mutex::new(writer), calls: Mutex::default() });
        let mut connection = Connection {
            shared: Arc::clone(&shared),
            hello: answer::Hello::default(),
            answer_timeout: options.answer_timeout,
        };
        thread::Builder::new()
            .name("seatkeeper-read".to_owned())
            .spawn(move || shared.read_all(reader, told))
            .map_err(no_socket)?;
        let hello = request::Hello {
            install_id: options.install_id.0,
            program: options.program.clone(),
            program_version: options.program_version.clone(),
            ..request::Hello::default()
        };
        connection.hello = connection.call(&hello).map_err(|error| connection.no_hello(address, error))?;
        let version = connection.hello.version;
        if !(hello.lowest..=hello.highest).contains(&version) {
            let what = format!("version {version} was never offered");
            return Err(ConnectError::Protocol { address: address.clone(), what });
        }
        let stated = usize::try_from(connection.hello.client_frame_bytes_max).unwrap_or(usize::MAX);
        lock(&connection.shared.writer).frame_bytes_max = stated.min(frame::CLIENT_FRAME_BYTES_MAX);
        Ok(connection)
    }

    fn no_hello(&self, address: &Address, error: CallError) -> ConnectError {
        let address = address.clone();
        let ending = lock(&self.shared.calls).ending.clone();
        match (error, ending) {
            (CallError::Refused(refusal), _) | (_, Some(Ending::Refused(refusal))) => {
                ConnectError::Refused { address, refusal }
            }
            (CallError::Protocol(what), _) | (_, Some(Ending::Protocol(what))) => {
                ConnectError::Protocol { address, what }
            }
            (CallError::TimedOut(timeout), _) => ConnectError::Silent { address, timeout },
            (CallError::Lost(what), _) => ConnectError::Ended { address, what },
            (CallError::TooLong(error), _) => ConnectError::Ended { address, what: error.to_string() },
        }
    }

    /// What the server said of itself.
    pub fn hello(&self) -> &answer::Hello {
        &self.hello
    }

    /// How often to send something: a little more often than the server asks for, so that a frame is there in time.
    pub fn beat_interval(&self) -> Duration {
        (Duration::from_millis(u64::from(self.hello.heartbeat_ms)) * 9 / 10).max(BEAT_SHORTEST)
    }

    /// When something was sent last.
    pub fn last_sent(&self) -> Instant {
        lock(&self.shared.writer).sent_at
    }

    /// Whether the connection is over.
    pub fn has_ended(&self) -> bool {
        lock(&self.shared.calls).ending.is_some()
    }

    /// Why it is over, for a person; empty while it is not.
    pub(crate) fn ending(&self) -> String {
        lock(&self.shared.calls)
            .ending
            .as_ref()
            .map_or_else(String::new, |ending| ending.to_call_error().to_string())
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`CallError`]. After anything but a refusal or a request that is too long the connection is over.
    pub fn call<C: Call>(&self, request: &C) -> Result<C::Answer, CallError>
    where
        C::Answer: Send + 'static,
    {
        self.call_then(request, |result| result)
    }

    /// As [`Connection::call`], but `then` sees the answer on the reading thread before anything that the server sent after
    /// it: an event about a session never overtakes what `then` notes down. It must not wait for anything.
    pub(crate) fn call_then<C: Call, T: Send + 'static>(
        &self,
        request: &C,
        then: impl FnOnce(Result<C::Answer, CallError>) -> T + Send + 'static,
    ) -> T {
        self.call_within(request, self.answer_timeout, then)
    }

    /// As [`Connection::call_then`], waiting so long for the answer.
    pub(crate) fn call_within<C: Call, T: Send + 'static>(
        &self,
        request: &C,
        limit: Duration,
        then: impl FnOnce(Result<C::Answer, CallError>) -> T + Send + 'static,
    ) -> T {
        self.call_reading(request, limit, read_answer::<C>, then)
    }

    fn call_reading<M: wire::Message, A: 'static, T: Send + 'static>(
        &self,
        request: &M,
        limit: Duration,
        read: fn(&Arrived<'_>) -> Result<A, CallError>,
        then: impl FnOnce(Result<A, CallError>) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = mpsc::sync_channel(1);
        let call = self.send_reading(request, read, move |result| {
            // Who gave up waiting has no use for it.
            let _ = sender.send(then(result));
        });
        if let Ok(done) = receiver.recv_timeout(limit) {
            return done;
        }
        // The call's place in the stream is lost; so is the connection.
        self.shared.give_up(call, CallError::TimedOut(limit));
        self.shared.end(Ending::Lost(format!("no answer within {limit:?}")));
        match receiver.recv() {
            Ok(done) => done,
            Err(_) => unreachable!("a waiter runs exactly once and always sends"),
        }
    }

    /// A checkout that may wait, or may be known to the server as one that waits.
    pub(crate) fn checkout_within<T: Send + 'static>(
        &self,
        request: &request::Checkout,
        limit: Duration,
        then: impl FnOnce(Result<Asked, CallError>) -> T + Send + 'static,
    ) -> T {
        self.call_reading(request, limit, read_asked, then)
    }

    /// Sends a request; `then` runs once, with the answer or the reason why there is none. Returns the call's number.
    pub(crate) fn send<C: Call>(
        &self,
        request: &C,
        then: impl FnOnce(Result<C::Answer, CallError>) + Send + 'static,
    ) -> u32 {
        self.send_reading(request, read_answer::<C>, then)
    }

    fn send_reading<M: wire::Message, A: 'static>(
        &self,
        request: &M,
        read: fn(&Arrived<'_>) -> Result<A, CallError>,
        then: impl FnOnce(Result<A, CallError>) + Send + 'static,
    ) -> u32 {
        let waiter: Waiter = Box::new(move |arrived| {
            let result = arrived.and_then(|arrived| read(&arrived));
            let breach = match &result {
                Err(CallError::Protocol(what)) => Err(what.clone()),
                _ => Ok(()),
            };
            then(result);
            breach
        });
        let mut calls = lock(&self.shared.calls);
        if let Some(ending) = &calls.ending {
            let error = ending.to_call_error();
            drop(calls);
            // The breach, if it is one, has been acted on.
            let _ = waiter(Err(error));
            return 0;
        }
        let call = calls.enter(waiter);
        drop(calls);
        let mut bytes = Vec::new();
        let appended = frame::append(&mut bytes, call, request).map_err(CallError::TooLong);
        match appended.and_then(|()| self.shared.write(&bytes)) {
            Ok(()) => {}
            // Nothing was sent, so the connection is as good as before.
            Err(error @ CallError::TooLong(_)) => self.shared.give_up(call, error),
            Err(error) => self.shared.end(Ending::Lost(error.to_string())),
        }
        call
    }

    /// All parts of a report, each a whole JSON object (PROTOCOL.md 12).
    ///
    /// # Errors
    ///
    /// [`CallError`]; also if the parts never end.
    pub fn report(
        &self,
        what: &str,
        feature: Option<&str>,
        vendor: Option<&str>,
    ) -> Result<Vec<String>, CallError> {
        let mut ask = Report {
            what: what.to_owned(),
            feature: feature.map(str::to_owned),
            vendor: vendor.map(str::to_owned),
            ..Report::default()
        };
        let mut parts = Vec::new();
        loop {
            let part = self.call(&ask)?;
            parts.push(part.json);
            if part.next.is_empty() {
                return Ok(parts);
            }
            if part.next == ask.cursor || parts.len() >= REPORT_PARTS_MAX {
                return Err(CallError::Protocol(format!("the report {what} never ends")));
            }
            ask.cursor = part.next;
        }
    }

    /// Says goodbye, so that the server need not wonder, and closes. Sessions stay.
    pub fn close(self) {
        let _ = self.call(&request::Goodbye::default());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.end(Ending::Lost("closed by this program".to_owned()));
    }
}

impl Calls {
    /// The next number that is not 0 and not outstanding.
    fn enter(&mut self, waiter: Waiter) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.waiting.contains_key(&self.last) {
                self.waiting.insert(self.last, waiter);
                return self.last;
            }
        }
    }
}

impl Shared {
    fn write(&self, frame: &[u8]) -> Result<(), CallError> {
        let mut writer = lock(&self.writer);
        let bytes_max = writer.frame_bytes_max;
        if frame.len() - frame::LENGTH_BYTES > bytes_max {
            return Err(CallError::TooLong(EncodeError::TooLong { bytes_max }));
        }
        // A write that stops half way leaves half a frame: the caller ends the connection.
        writer.stream.write_all(frame).map_err(|error| CallError::Lost(error.to_string()))?;
        writer.sent_at = Instant::now();
        Ok(())
    }

    /// Tells the waiter of this call, if it still waits, that there will be no answer.
    fn give_up(&self, call: u32, error: CallError) {
        let waiter = lock(&self.calls).waiting.remove(&call);
        if let Some(waiter) = waiter {
            let _ = waiter(Err(error));
        }
    }

    /// Ends the connection: the first reason stays, everybody who waits is told.
    fn end(&self, ending: Ending) {
        let (error, waiting) = {
            let mut calls = lock(&self.calls);
            let error = calls.ending.get_or_insert(ending).to_call_error();
            (error, std::mem::take(&mut calls.waiting))
        };
        self.control.end();
        for waiter in waiting.into_values() {
            let _ = waiter(Err(error.clone()));
        }
    }

    fn read_all(&self, stream: Box<dyn Stream>, mut told: impl FnMut(Told)) {
        let mut stream = BufReader::new(stream);
        let mut payload = Vec::new();
        let ending = loop {
            match read_payload(&mut stream, &mut payload).and_then(|()| self.take(&payload, &mut told)) {
                Ok(()) => {}
                Err(ending) => break ending,
            }
        };
        self.end(ending);
        let ending = lock(&self.calls).ending.clone();
        told(Told::Ended(ending.map_or_else(String::new, |e| e.to_call_error().to_string())));
    }

    /// Hands one frame to who waits for it.
    fn take(&self, payload: &[u8], told: &mut impl FnMut(Told)) -> Result<(), Ending> {
        let (head, body) = frame::split(payload).map_err(|e| Ending::Protocol(e.to_string()))?;
        let Head { number, call } = head;
        if payload.len() > frame::bytes_max(number) {
            return Err(Ending::Protocol(format!("message {number:#06x} has {} bytes", payload.len())));
        }
        match (head.kind(), call) {
            (frame::Kind::Event, 0) => {
                if !wire::Event::NUMBERS.contains(&number) {
                    return Ok(());
                }
                let event = wire::Event::decode(number, body).map_err(|e| Ending::Protocol(e.to_string()))?;
                told(Told::Event(event));
                Ok(())
            }
            (frame::Kind::Answer, 0) if number == answer::Refused::NUMBER => {
                let refused = layout::decode::<answer::Refused>(body);
                Err(refused.map_or_else(|e| Ending::Protocol(e.to_string()), |r| Ending::Refused(r.into())))
            }
            (frame::Kind::Answer, _) => {
                let waiter = lock(&self.calls).waiting.remove(&call);
                let Some(waiter) = waiter else {
                    return Err(Ending::Protocol(format!("an answer to call {call}, which nobody made")));
                };
                waiter(Ok(Arrived { number, body })).map_err(Ending::Protocol)
            }
            _ => Err(Ending::Protocol(format!("message {number:#06x} for call {call} is no server's"))),
        }
    }
}

fn read_answer<C: Call>(arrived: &Arrived<'_>) -> Result<C::Answer, CallError> {
    let protocol = |e: wire::DecodeError| CallError::Protocol(e.to_string());
    if arrived.number == C::Answer::NUMBER {
        layout::decode(arrived.body).map_err(protocol)
    } else if arrived.number == answer::Refused::NUMBER {
        let refused: answer::Refused = layout::decode(arrived.body).map_err(protocol)?;
        Err(CallError::Refused(refused.into()))
    } else {
        Err(CallError::Protocol(format!("{:#06x} does not answer {:#06x}", arrived.number, C::NUMBER)))
    }
}

/// The answer to a checkout: seats, or a place in the queue.
fn read_asked(arrived: &Arrived<'_>) -> Result<Asked, CallError> {
    if arrived.number == answer::Waiting::NUMBER {
        let waiting = layout::decode(arrived.body).map_err(|e| CallError::Protocol(e.to_string()))?;
        return Ok(Asked::Waiting(waiting));
    }
    read_answer::<request::Checkout>(arrived).map(Asked::Granted)
}

/// Reads what one length counts. Memory grows with what has arrived, not with what is claimed.
fn read_payload(stream: &mut BufReader<Box<dyn Stream>>, payload: &mut Vec<u8>) -> Result<(), Ending> {
    let lost = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Ending::Lost("closed by the server".to_owned()),
        _ => Ending::Lost(printable(&error.to_string())),
    };
    let mut length = [0; frame::LENGTH_BYTES];
    stream.read_exact(&mut length).map_err(lost)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if !(HEAD_BYTES..=SERVER_FRAME_BYTES_MAX).contains(&length) {
        return Err(Ending::Protocol(format!("a frame of {length} bytes")));
    }
    payload.clear();
    let read = stream.take(length as u64).read_to_end(payload).map_err(lost)?;
    if read < length {
        return Err(Ending::Lost("closed by the server within a frame".to_owned()));
    }
    Ok(())
}
