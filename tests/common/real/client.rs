//! A small blocking client: enough of the protocol for tests, and nothing of the client library that is tested elsewhere.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::frame::{self, SERVER_FRAME_BYTES_MAX};
use wire::layout;
use wire::message::{Answer, Call, Event, MAGIC, Message};
use wire::request::{self, Facts, Item, Secret};
use wire::{answer, event};

/// The longest wait for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// One connection.
pub struct Client {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    calls: u32,
    answers: HashMap<u32, Answer>,
    events: VecDeque<Event>,
    pub install_id: [u8; 16],
    pub hello: answer::Hello,
}

/// What a client remembers of a checkout, to resume it or to send it again.
#[derive(Clone, Debug)]
pub struct Held {
    pub asked: request::Checkout,
    pub bundle: u64,
    /// Session and seats, as the client believes.
    pub sessions: Vec<(u64, u32)>,
}

/// A TCP or a Unix stream.
pub trait Stream: Read + Write + Send {
    fn limit(&self, time: Duration) -> io::Result<()>;
    fn end_writing(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }

    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }

    fn end_writing(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
}

impl Client {
    /// Connects and says hello.
    pub fn connect(address: SocketAddr, install_id: [u8; 16]) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIME)?;
        stream.set_nodelay(true)?;
        Client::greet(Box::new(stream), install_id)
    }

    /// Connects to the administrator's socket and says hello.
    pub fn connect_admin(path: &Path) -> io::Result<Client> {
        Client::greet(Box::new(UnixStream::connect(path)?), random_bytes())
    }

    /// Connects and says nothing.
    pub fn silent(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIME)?;
        stream.set_nodelay(true)?;
        Client::new(Box::new(stream), random_bytes())
    }

    fn new(stream: Box<dyn Stream>, install_id: [u8; 16]) -> io::Result<Client> {
        stream.limit(ANSWER_TIME)?;
        Ok(Client {
            stream,
            received: Vec::new(),
            calls: 0,
            answers: HashMap::new(),
            events: VecDeque::new(),
            install_id,
            hello: answer::Hello::default(),
        })
    }

    fn greet(stream: Box<dyn Stream>, install_id: [u8; 16]) -> io::Result<Client> {
        let mut client = Client::new(stream, install_id)?;
        client.hello = client
            .ask(&hello(install_id))?
            .map_err(|refused| io::Error::other(format!("{}: {}", refused.code, refused.message)))?;
        Ok(client)
    }

    /// Sends a request and returns the number of its call.
    pub fn send<M: Message>(&mut self, message: &M) -> io::Result<u32> {
        self.calls += 1;
        let mut bytes = Vec::new();
        frame::append(&mut bytes, self.calls, message).expect("a message within its limits");
        self.send_bytes(&bytes)?;
        Ok(self.calls)
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the client's half: the server reads to the end, and answers.
    pub fn end_writing(&self) -> io::Result<()> {
        self.stream.end_writing()
    }

    /// The longest wait for the next bytes.
    pub fn limit(&self, time: Duration) {
        self.stream.limit(time).expect("a limit above zero");
    }

    /// The answer to a call; others and events that come before it are kept.
    pub fn answer(&mut self, call: u32) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.answers.remove(&call) {
                return Ok(answer);
            }
            // The last words about a connection.
            if let Some(Answer::Refused(refused)) = self.answers.remove(&0) {
                return Err(io::Error::other(format!("{}: {}", refused.code, refused.message)));
            }
            self.receive()?;
        }
    }

    /// The last word about the connection, if there was one.
    pub fn last_word(&mut self) -> Option<answer::Refused> {
        match self.answers.remove(&0) {
            Some(Answer::Refused(refused)) => Some(refused),
            _ => None,
        }
    }

    /// Asks and waits: the answer of that request, or the refusal.
    pub fn ask<C: Call>(&mut self, message: &C) -> io::Result<Result<C::Answer, answer::Refused>> {
        let call = self.send(message)?;
        self.take::<C>(call)
    }

    /// Waits for the answer to a call that [`Client::send`] began.
    pub fn take<C: Call>(&mut self, call: u32) -> io::Result<Result<C::Answer, answer::Refused>> {
        match self.answer(call)? {
            Answer::Refused(refused) => Ok(Err(refused)),
            other => {
                let mut bytes = Vec::new();
                other.append(&mut bytes, call).expect("what came fits");
                let body = &bytes[frame::LENGTH_BYTES + frame::HEAD_BYTES..];
                layout::decode(body).map(Ok).map_err(|e| io::Error::other(format!("{other:?}: {e}")))
            }
        }
    }

    /// Reads until the server has closed, and returns how many answers came on the way.
    pub fn read_to_end(&mut self) -> io::Result<usize> {
        loop {
            match self.receive() {
                Ok(()) => {}
                Err(error) if is_end(&error) => return Ok(self.answers.len()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what comes next: at least one byte. Whatever a server sends must make sense.
    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend_from_slice(&buffer[..read]);
        let mut at = 0;
        while let Some(frame) =
            frame::first(&self.received[at..], SERVER_FRAME_BYTES_MAX).map_err(io::Error::other)?
        {
            let (number, call) = (frame.head.number, frame.head.call);
            if number >= 0xc000 {
                self.events.push_back(Event::decode(number, frame.body).map_err(io::Error::other)?);
            } else {
                let answer = Answer::decode(number, frame.body).map_err(io::Error::other)?;
                assert!(self.answers.insert(call, answer).is_none(), "two answers to call {call}");
            }
            at += frame.bytes;
        }
        self.received.drain(..at);
        Ok(())
    }

    /// The next event that `wanted` picks; those before it are dropped.
    pub fn await_event<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            while let Some(event) = self.events.pop_front() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            assert!(started.elapsed() < ANSWER_TIME, "no event: {what}");
            self.receive().unwrap_or_else(|e| panic!("no event: {what}: {e}"));
        }
    }

    /// Whether such an event came with what was received so far and was not yet waited for.
    pub fn has_event(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    /// The next change of a total: feature, before, after.
    pub fn await_total(&mut self) -> (String, Option<u32>, Option<u32>) {
        self.await_event("PoolChanged", |event| match event {
            Event::PoolChanged(event::PoolChanged { feature, old_total, new_total, .. }) => {
                Some((feature.clone(), *old_total, *new_total))
            }
            _ => None,
        })
    }

    /// Asks to be told of totals.
    pub fn watch(&mut self) {
        granted(self.ask(&request::Watch { totals: true, extras: Vec::new() }));
    }

    /// Takes seats; a checkout of its own, with a new key.
    pub fn checkout(&mut self, items: &[(&str, u32)]) -> Result<Held, answer::Refused> {
        self.checkout_again(&asking(items)).expect("the connection lives").map(|(held, _)| held)
    }

    /// Sends a checkout; `true`: the server knew it.
    pub fn checkout_again(
        &mut self,
        asked: &request::Checkout,
    ) -> io::Result<Result<(Held, bool), answer::Refused>> {
        Ok(self.ask(asked)?.map(|granted| {
            let sessions = granted.sessions.iter().map(|s| (s.session, s.count)).collect();
            (Held { asked: asked.clone(), bundle: granted.bundle, sessions }, granted.replayed)
        }))
    }

    /// Gives seats back; 0: all.
    pub fn checkin(
        &mut self,
        session: u64,
        count: u32,
    ) -> io::Result<Result<answer::Checkin, answer::Refused>> {
        self.ask(&request::Checkin { session, count, extras: Vec::new() })
    }

    /// Gives back everything of a checkout.
    pub fn give_back(&mut self, held: &Held) {
        for (session, _) in &held.sessions {
            granted(self.checkin(*session, 0));
        }
    }

    /// A sign of life: how many sessions the server thinks this connection holds.
    pub fn heartbeat(&mut self) -> io::Result<u32> {
        let answer = self.ask(&request::Heartbeat { idle_seconds: None, extras: Vec::new() })?;
        Ok(answer.map_err(|refused| io::Error::other(refused.message))?.sessions)
    }

    /// Takes up a checkout over this connection.
    pub fn resume(&mut self, held: &Held) -> io::Result<Result<answer::Resume, answer::Refused>> {
        let (bundle, secret, facts) = (held.bundle, held.asked.secret, held.asked.facts.clone());
        self.ask(&request::Resume { bundle, secret, facts, extras: Vec::new() })
    }

    /// One part of a report as JSON.
    pub fn report(&mut self, what: &str, feature: Option<&str>) -> Result<Value, answer::Refused> {
        let report = request::Report {
            what: what.into(),
            feature: feature.map(str::to_owned),
            ..request::Report::default()
        };
        let part = self.ask(&report).expect("the connection lives")?;
        Ok(serde_json::from_str(&part.json).expect("a report is JSON"))
    }

    /// A feature as `status` shows it; null where there is none.
    pub fn feature(&mut self, name: &str) -> Value {
        self.report("status", Some(name)).expect("a status")["features"][0].clone()
    }
}

/// The hello of an installation.
pub fn hello(install_id: [u8; 16]) -> request::Hello {
    request::Hello {
        magic: MAGIC,
        lowest: 1,
        highest: 1,
        install_id,
        program: "a test".into(),
        program_version: "1.0".into(),
        extras: Vec::new(),
    }
}

/// A checkout with a new key and secret.
pub fn asking(items: &[(&str, u32)]) -> request::Checkout {
    let item =
        |(feature, count): &(&str, u32)| Item { vendor: None, feature: (*feature).into(), count: *count };
    request::Checkout {
        request_key: random_bytes(),
        secret: Secret(random_bytes()),
        items: items.iter().map(item).collect(),
        facts: facts("ann"),
        ..request::Checkout::default()
    }
}

/// Who asks.
pub fn facts(user: &str) -> Facts {
    Facts {
        user: user.into(),
        host: "ws7".into(),
        pid: std::process::id(),
        platform: "linux-x86_64".into(),
        release_version: Some("4.2".into()),
        ..Facts::default()
    }
}

/// What must be granted.
pub fn granted<T>(answer: io::Result<Result<T, answer::Refused>>) -> T {
    match answer.expect("the connection lives") {
        Ok(granted) => granted,
        Err(refused) => panic!("refused: {}: {} {}", refused.code, refused.message, refused.details),
    }
}

/// What must be refused: its code and details.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, answer::Refused>) -> (String, Value) {
    let refused = answer.expect_err("this must be refused");
    let details = match refused.details.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).expect("details are JSON"),
    };
    (refused.code, details)
}

/// Whether the peer closed or reset the connection.
pub fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected)
}

pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}
