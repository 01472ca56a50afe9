//! One connection, from its hello to its end (docs/PROTOCOL.md, section 5).
//!
//! Reads frames, hands requests to the engine, writes what comes back. Generic over the stream, so that the
//! simulation runs it over memory. Whatever one connection does, others are served: every buffer here is
//! bounded, and every wait has an end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use seats::denial::Code;
use seats::ledger::ConnectionId;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use tracing::debug;
use wire::frame::{self, HELLO_FRAME_BYTES_MAX, Kind};
use wire::message::{MAGIC, Message, Request as Message_, pick_version};
use wire::{answer as told, request as asked};

use super::outbox::ConnectionOutbox;
use super::{Server, reports};
use crate::answer::{self, BadField, Peer};
use crate::engine::ask::{Ask, Outbox, Request};
use crate::engine::thread::NotTaken;

/// The room a reader starts with, and has again when it is idle: an idle connection costs little
/// (docs/PERFORMANCE.md).
const READ_BYTES: usize = 256;
/// The room of a reader whose client sends many requests at once: one read takes them all.
const READ_BYTES_BUSY: usize = 16 << 10;
/// So many frames at once make a reader busy.
const FRAMES_BUSY: usize = 4;
/// How many frames are taken before what they brought is written: a client that floods still reads answers.
const FRAMES_AT_ONCE: usize = 256;
/// A buffer that grew beyond this for one answer is given back.
const WRITE_BYTES_KEPT: usize = 16 << 10;
/// How long a last answer may take to be written to a client that does not read (S64: two seconds at a stop).
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a connection comes from, before its hello.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its address; `None` on the Unix socket.
    pub address: Option<std::net::IpAddr>,
    /// On the Unix socket, who it is.
    pub admin: Option<String>,
    /// Whether it may see users, hosts, serial numbers and files (S84).
    pub sees_all: bool,
    /// Whether it may see anything beside the server's name (S84).
    pub sees_counts: bool,
}

type Frames<S> = FramedRead<ReadHalf<S>, LengthDelimitedCodec>;

/// Serves one connection until it ends. Its sessions outlive it (S10).
pub async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    origin: Origin,
    server: Arc<Server>,
) {
    let Some(_place) = server.places.take(origin.address, &server.limits, server.connections_max) else {
        let (_, mut writer) = tokio::io::split(stream);
        let text = "the server has as many connections as it takes: try again later (S82)";
        last_words(&mut writer, |buffer| answer::append_refusal(buffer, 0, Code::Busy, text, String::new()))
            .await;
        return;
    };
    let (reader, mut writer) = tokio::io::split(stream);
    let mut frames = FramedRead::with_capacity(reader, codec(HELLO_FRAME_BYTES_MAX), READ_BYTES);
    let hello = timeout(server.limits.hello_time, frames.next());
    let hello = tokio::select! {
        biased;
        () = server.closing.cancelled() => return,
        hello = hello => hello,
    };
    let first = match hello {
        Err(_) | Ok(None) => return,
        Ok(Some(first)) => first,
    };
    match greet(first, &origin, &server) {
        Err(refusal) => last_words(&mut writer, refusal).await,
        Ok((peer, call)) => {
            frames.decoder_mut().set_max_frame_length(server.limits.frame_bytes as usize);
            let id = ConnectionId(server.next_connection.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let outbox = Arc::new(ConnectionOutbox::new(
                id,
                peer,
                server.context.clone(),
                server.limits.unread_bytes as usize,
            ));
            outbox.add(|buffer| answer::put(buffer, call, &hello_answer(&server)));
            let connection =
                Connection { server: server.clone(), outbox: outbox.clone(), origin, pace: Pace::new() };
            if server.engine.ask_soon(Ask::Open(outbox.clone())).await.is_ok() {
                let end = connection.run(&mut frames, &mut writer).await;
                debug!(connection = id.0, %end, "connection ended");
                // The engine must hear of it, or the sessions would never be seen to be alone.
                let _ = server.engine.ask_soon(Ask::Close(id)).await;
            }
        }
    }
}

fn codec(length_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .little_endian()
        .length_field_type::<u32>()
        .max_frame_length(length_max)
        .new_codec()
}

fn hello_answer(server: &Server) -> told::Hello {
    told::Hello {
        version: wire::message::VERSION_HIGHEST,
        server_name: server.name.clone(),
        server_version: env!("CARGO_PKG_VERSION").into(),
        instance: server.instance,
        heartbeat_ms: server.context.heartbeat_ms,
        lease_ms: server.context.lease_ms,
        client_frame_bytes_max: server.limits.frame_bytes,
        sessions_max: server.limits.sessions_per_connection,
        extras: Vec::new(),
    }
}

type Refusal = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

fn refuse(call: u32, code: Code, message: impl Into<String>, fault: &'static str) -> Refusal {
    let message = message.into();
    Box::new(move |buffer| answer::append_refusal(buffer, call, code, &message, fault_json(fault)))
}

fn fault_json(fault: &str) -> String {
    if fault.is_empty() { String::new() } else { format!("{{\"fault\":\"{fault}\"}}") }
}

/// The first frame: who is there, and the call number of its hello; or the refusal that ends the connection.
fn greet(first: io::Result<BytesMut>, origin: &Origin, server: &Server) -> Result<(Peer, u32), Refusal> {
    let payload = first.map_err(|error| bad_length(&error))?;
    let (head, body) =
        frame::split(&payload).map_err(|e| refuse(0, Code::BadRequest, e.to_string(), e.as_str()))?;
    if head.number != asked::Hello::NUMBER || head.call == 0 {
        return Err(refuse(head.call, Code::BadRequest, "a connection begins with a hello", ""));
    }
    let hello = match Message_::decode(head.number, body) {
        Ok(Message_::Hello(hello)) => hello,
        Ok(_) => return Err(refuse(head.call, Code::BadRequest, "a connection begins with a hello", "")),
        Err(e) => return Err(refuse(head.call, Code::BadRequest, e.to_string(), e.as_str())),
    };
    if hello.magic != MAGIC {
        return Err(refuse(head.call, Code::BadRequest, "this is not a Seatkeeper client", ""));
    }
    if let Err(code) = pick_version(hello.lowest, hello.highest) {
        let text = format!(
            "client speaks versions {} to {}, server {}",
            hello.lowest,
            hello.highest,
            wire::message::VERSION_HIGHEST
        );
        let code = Code::ALL.iter().copied().find(|c| c.as_str() == code).unwrap_or(Code::BadRequest);
        return Err(refuse(head.call, code, text, ""));
    }
    debug!(program = hello.program, version = hello.program_version, address = ?origin.address, "hello");
    let _ = server;
    let (address, admin, sees_all) = (origin.address, origin.admin.clone(), origin.sees_all);
    Ok((Peer { address, admin, sees_all, install_id: hello.install_id }, head.call))
}

fn bad_length(error: &io::Error) -> Refusal {
    refuse(0, Code::BadRequest, format!("the frame cannot be read: {error}"), "frame_too_long")
}

/// Writes a last frame and gives up after a moment: the client may not read it.
async fn last_words<W: AsyncWrite + Unpin>(writer: &mut W, write: impl FnOnce(&mut Vec<u8>)) {
    let mut buffer = Vec::new();
    write(&mut buffer);
    let _ = timeout(LAST_WORDS, async {
        writer.write_all(&buffer).await?;
        writer.shutdown().await
    })
    .await;
}

/// Why a connection ended, for the log.
#[derive(Debug)]
enum End {
    Closed,
    Goodbye,
    Broken(io::Error),
    Silent,
    SlowReader,
    Refused(&'static str),
    Stopping,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Closed => f.write_str("closed by the client"),
            End::Goodbye => f.write_str("goodbye"),
            End::Broken(error) => write!(f, "{error}"),
            End::Silent => f.write_str("silent for too long"),
            End::SlowReader => f.write_str("does not read what it is sent"),
            End::Refused(why) => f.write_str(why),
            End::Stopping => f.write_str("the server stops"),
        }
    }
}

/// What to do after a frame.
enum Next {
    GoOn,
    /// Answer this call when all earlier ones are answered, then end.
    Goodbye(u32),
    /// Write what there is, then end.
    End(End),
}

struct Connection {
    server: Arc<Server>,
    outbox: Arc<ConnectionOutbox>,
    origin: Origin,
    pace: Pace,
}

impl Connection {
    async fn run<S: AsyncRead + AsyncWrite>(
        mut self,
        frames: &mut Frames<S>,
        writer: &mut WriteHalf<S>,
    ) -> End {
        let mut sending = Vec::new();
        let server = self.server.clone();
        let idle_time = server.limits.idle_time;
        let idle = tokio::time::sleep(idle_time);
        tokio::pin!(idle);
        // One for all rounds: each new one would enter a list that all connections share, and leave it again.
        let closing = server.closing.cancelled();
        tokio::pin!(closing);
        loop {
            // What the last round brought goes out in one write.
            if let Err(end) = self.send(writer, &mut sending).await {
                return end;
            }
            let frame = tokio::select! {
                biased;
                () = &mut closing => {
                    let _ = timeout(LAST_WORDS, self.send(writer, &mut sending)).await;
                    return End::Stopping;
                }
                () = self.outbox.woken() => continue,
                frame = frames.next() => frame,
                () = &mut idle => {
                    // Heard in the meantime: sleep for what is left.
                    let silent = Duration::from_millis(self.server.context.clock.tick().0.saturating_sub(self.outbox.heard()));
                    if silent >= idle_time {
                        return End::Silent;
                    }
                    idle.as_mut().reset(Instant::now() + (idle_time - silent));
                    continue;
                }
            };
            let end = match self.take_ready(frame, frames) {
                Next::GoOn => None,
                Next::Goodbye(call) => Some(self.goodbye(call).await),
                Next::End(end) => Some(end),
            };
            if let Some(end) = end {
                let _ = timeout(LAST_WORDS, self.send(writer, &mut sending)).await;
                let _ = timeout(LAST_WORDS, writer.shutdown()).await;
                return end;
            }
        }
    }

    /// Writes everything that waits. While the client does not take it nothing more is read from it.
    async fn send<W: AsyncWrite + Unpin>(&self, writer: &mut W, sending: &mut Vec<u8>) -> Result<(), End> {
        loop {
            self.outbox.take(sending);
            if sending.is_empty() {
                return Ok(());
            }
            let write = writer.write_all(sending);
            tokio::pin!(write);
            loop {
                // A client that never reads is found out by what piles up, or by this time.
                tokio::select! {
                    biased;
                    done = &mut write => match done {
                        Ok(()) => break,
                        Err(error) => return Err(End::Broken(error)),
                    },
                    () = self.server.closing.cancelled() => {
                        return match timeout(LAST_WORDS, &mut write).await {
                            Ok(Ok(())) => Err(End::Stopping),
                            _ => Err(End::SlowReader),
                        };
                    }
                    () = tokio::time::sleep(self.server.limits.idle_time) => return Err(End::SlowReader),
                    () = self.outbox.woken() => if self.outbox.is_over() {
                        return Err(End::SlowReader);
                    },
                }
            }
            sending.clear();
            if sending.capacity() > WRITE_BYTES_KEPT {
                *sending = Vec::new();
            }
            if self.outbox.is_over() {
                return Err(End::SlowReader);
            }
        }
    }

    /// Takes a frame and those that are there already. Waits for nothing: what lies in a future that waits is paid
    /// for by every idle connection.
    fn take_ready<S: AsyncRead>(
        &mut self,
        first: Option<io::Result<BytesMut>>,
        frames: &mut Frames<S>,
    ) -> Next {
        let mut frame = first;
        for taken in 1..=FRAMES_AT_ONCE {
            let payload = match frame {
                None => return Next::End(End::Closed),
                Some(Ok(payload)) => payload,
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    self.outbox.add(bad_length(&error));
                    return Next::End(End::Refused("frame length"));
                }
                Some(Err(error)) => return Next::End(End::Broken(error)),
            };
            match self.take(&payload) {
                Next::GoOn => {}
                ends => return ends,
            }
            if taken == FRAMES_BUSY {
                frames.read_buffer_mut().reserve(READ_BYTES_BUSY);
            }
            match frames.next().now_or_never() {
                Some(next) => frame = next,
                None => {
                    let buffer = frames.read_buffer_mut();
                    if taken < FRAMES_BUSY && buffer.is_empty() && buffer.capacity() > READ_BYTES_BUSY / 2 {
                        *buffer = BytesMut::with_capacity(READ_BYTES);
                    }
                    return Next::GoOn;
                }
            }
        }
        Next::GoOn
    }

    /// One frame: any of them is a sign of life (S12).
    fn take(&mut self, payload: &[u8]) -> Next {
        self.outbox.hear();
        let (head, body) = match frame::split(payload) {
            Ok(split) => split,
            Err(error) => {
                self.outbox.add(refuse(0, Code::BadRequest, error.to_string(), error.as_str()));
                return Next::End(End::Refused("a frame too short"));
            }
        };
        let call = head.call;
        if call == 0 {
            self.outbox.add(refuse(0, Code::BadRequest, "a request has a call number other than 0", ""));
            return Next::End(End::Refused("call 0"));
        }
        match head.kind() {
            Kind::Request | Kind::Admin => {}
            Kind::Answer | Kind::Event => {
                self.outbox.add(refuse(0, Code::BadRequest, "only a server sends this number", ""));
                return Next::End(End::Refused("an answer from a client"));
            }
        }
        if !self.pace.allows(self.server.limits.requests_per_second) {
            let text = format!(
                "more than {} requests in a second on one connection (S82)",
                self.server.limits.requests_per_second
            );
            self.outbox.add(refuse(call, Code::RateLimited, text, ""));
            return Next::GoOn;
        }
        if head.kind() == Kind::Admin && self.outbox.peer().admin.is_none() {
            let text = "administration goes over the Unix socket only (S80)";
            self.outbox.add(refuse(call, Code::NotPermitted, text, ""));
            return Next::GoOn;
        }
        match Message_::decode(head.number, body) {
            Err(error) => {
                self.outbox.add(refuse(call, Code::BadRequest, error.to_string(), error.as_str()));
                Next::GoOn
            }
            Ok(message) => self.request(call, message),
        }
    }

    fn request(&mut self, call: u32, message: Message_) -> Next {
        let peer = self.outbox.peer();
        let request = match message {
            Message_::Hello(_) => {
                self.outbox.add(refuse(call, Code::BadRequest, "the hello was said already", ""));
                return Next::GoOn;
            }
            Message_::Heartbeat(_) => {
                let sessions = self.outbox.sessions();
                self.outbox.add(|buffer| {
                    answer::put(buffer, call, &told::Heartbeat { sessions, extras: Vec::new() })
                });
                return Next::GoOn;
            }
            Message_::Goodbye(_) => return Next::Goodbye(call),
            Message_::Report(report) => {
                self.report(call, report);
                return Next::GoOn;
            }
            Message_::Reload(_) => {
                let (outbox, by) = (self.outbox.clone(), peer.admin.clone().unwrap_or_default());
                self.server.admin.reload(
                    &by,
                    Box::new(move |json| {
                        outbox.add_and_wake(|buffer| {
                            answer::put(buffer, call, &told::Reload { json, extras: Vec::new() })
                        });
                    }),
                );
                return Next::GoOn;
            }
            Message_::Shutdown(_) => {
                self.outbox.add(|buffer| answer::put(buffer, call, &told::Shutdown::default()));
                self.server.admin.shut_down(&peer.admin.clone().unwrap_or_default());
                return Next::GoOn;
            }
            Message_::HostIds(message) => {
                let json = self.server.admin.host_ids(message.explain.as_deref());
                self.outbox
                    .add(|buffer| answer::put(buffer, call, &told::HostIds { json, extras: Vec::new() }));
                return Next::GoOn;
            }
            Message_::Checkout(message) => answer::checkout(message, peer),
            Message_::Try(message) => answer::try_out(message, peer),
            Message_::Resume(message) => answer::resume(message, peer),
            Message_::Checkin(message) => Ok(answer::checkin(&message)),
            Message_::Watch(message) => Ok(Request::Watch(message.totals)),
            Message_::Release(message) => {
                let by = peer.admin.clone().unwrap_or_default();
                answer::release(message, &by)
            }
        };
        match request {
            Err(BadField { field, message }) => {
                let details = serde_json::json!({ "fault": "field", "field": field }).to_string();
                self.outbox
                    .add(|buffer| answer::append_refusal(buffer, call, Code::BadRequest, &message, details));
            }
            Ok(request) => self.ask(call, request),
        }
        Next::GoOn
    }

    /// Hands a request to the engine; a full queue is the client's to hear of, and nobody's to wait for (S82).
    fn ask(&self, call: u32, request: Request) {
        let from: Arc<dyn Outbox> = self.outbox.clone();
        match self.server.engine.ask(Ask::Request { from, call, request }) {
            Ok(()) => {}
            Err(NotTaken::Full(_)) => {
                let text = "the server has as many requests as it can hold: ask again after a moment of random length";
                self.outbox.add(refuse(call, Code::Busy, text, ""));
            }
            Err(NotTaken::Stopped) => {
                self.outbox.add(refuse(
                    call,
                    Code::ShuttingDown,
                    "the server is stopping: sessions are kept",
                    "",
                ));
            }
        }
    }

    /// The answer to a goodbye comes after those to all earlier requests: it goes round by the engine.
    async fn goodbye(&self, call: u32) -> End {
        let (done, is_done) = tokio::sync::oneshot::channel();
        let turn = Ask::Turn(Box::new(move |()| {
            let _ = done.send(());
        }));
        if self.server.engine.ask_soon(turn).await.is_ok() {
            let _ = is_done.await;
        }
        self.outbox.add(|buffer| answer::put(buffer, call, &told::Goodbye::default()));
        End::Goodbye
    }

    /// Makes a report off this task, so that the connection's other requests and its heartbeats go on.
    fn report(&self, call: u32, message: asked::Report) {
        let (server, outbox, origin) = (self.server.clone(), self.outbox.clone(), self.origin.clone());
        tokio::spawn(async move {
            let Ok(_turn) = server.reports.acquire().await else { return };
            let part = reports::part(&server, &origin, message).await;
            outbox.add_and_wake(|buffer| match part {
                Ok(part) => answer::put(
                    buffer,
                    call,
                    &told::Report { json: part.json, next: part.next, extras: Vec::new() },
                ),
                Err((code, text)) => answer::append_refusal(buffer, call, code, &text, String::new()),
            });
        });
    }
}

/// Requests a second, by a bucket that holds one second's worth.
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn new() -> Pace {
        Pace { left: 0.0, at: Instant::now() - Duration::from_secs(1) }
    }

    fn allows(&mut self, per_second: u32) -> bool {
        if self.left < 1.0 {
            let now = Instant::now();
            let most = f64::from(per_second);
            self.left = ((now - self.at).as_secs_f64() * most + self.left).min(most);
            self.at = now;
        }
        let is_allowed = self.left >= 1.0;
        if is_allowed {
            self.left -= 1.0;
        }
        is_allowed
    }
}
