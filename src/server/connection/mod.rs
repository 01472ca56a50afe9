//! One connection, from its hello to its end (docs/PROTOCOL.md, section 5).
//!
//! Reads frames, hands requests to the engine, writes what comes back. Generic over the stream, so that the
//! simulation runs it over memory. Whatever one connection does, others are served: every buffer here is
//! bounded, and every wait has an end.
//!
//! - `hello`: how it begins
//! - `slow`: reports and events, made beside it
//! - `pace`: how much it may ask
//! - `refusal`: what it is told without the engine

mod hello;
mod pace;
mod refusal;
mod slow;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, timeout};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use wire::answer as told;
use wire::frame::{HELLO_FRAME_BYTES_MAX, Head, Kind};
use wire::message::Request as Incoming;

use self::hello::{greet, hello_answer};
use self::pace::Pace;
use self::refusal::{bad_length, refuse, refuse_field};
use super::Server;
use super::frames::{Frame, FrameReader, LAST_WORDS, NoFrame, last_words, linger};
use super::outbox::ConnectionOutbox;
use crate::answer::{self, Code};
use crate::engine::ask::{Ask, ConnectionId, Outbox, Request};
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
/// The numbers of administrators (docs/PROTOCOL.md, section 4); what lies above is never assigned.
const ADMIN_NUMBERS: std::ops::RangeInclusive<u16> = 0x1000..=0x3ffe;

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

type Frames<S> = FramedRead<ReadHalf<S>, FrameReader>;

/// Serves one connection until it ends. Its sessions outlive it (S10).
pub async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    origin: Origin,
    server: Arc<Server>,
) {
    let Some(_place) = server.places.take(origin.address, &server.limits, server.connections_max) else {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let text = "the server has as many connections as it takes: try again later (S82)";
        last_words(&mut writer, |buffer| answer::append_refusal(buffer, 0, Code::Busy, text, String::new()))
            .await;
        linger(&mut reader, &server.lingering).await;
        return;
    };
    let (reader, mut writer) = tokio::io::split(stream);
    let mut frames =
        FramedRead::with_capacity(reader, FrameReader { length_max: HELLO_FRAME_BYTES_MAX }, READ_BYTES);
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
    match greet(first, &origin) {
        Err((detail, refusal)) => {
            detail.into_iter().for_each(|detail| server.counts.protocol_error(detail));
            last_words(&mut writer, refusal).await;
            linger(frames.get_mut(), &server.lingering).await;
        }
        Ok((peer, call)) => {
            frames.decoder_mut().length_max = server.limits.frame_bytes as usize;
            let id = ConnectionId(server.next_connection.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            let outbox = Arc::new(ConnectionOutbox::new(
                id,
                peer,
                server.context.clone(),
                server.limits.unread_bytes as usize,
                server.counts.checkout_duration.clone(),
            ));
            outbox.add(|buffer| answer::put(buffer, call, &hello_answer(&server)));
            let connection = Connection {
                server: server.clone(),
                outbox: outbox.clone(),
                origin,
                pace: Pace::new(),
                slow: TaskTracker::new(),
                over: CancellationToken::new(),
                report_turn: Arc::default(),
            };
            // However it ends, nobody waits for events on its behalf any longer.
            let _over = connection.over.clone().drop_guard();
            if server.engine.ask_soon(Ask::Open(outbox.clone())).await.is_ok() {
                let end = connection.run(&mut frames, &mut writer).await;
                debug!(connection = id.0, %end, "connection ended");
                outbox.give_up();
                // The engine must hear of it, or the sessions would never be seen to be alone.
                let _ = server.engine.ask_soon(Ask::Close(id)).await;
                if matches!(end, End::Refused(_) | End::Goodbye) {
                    linger(frames.get_mut(), &server.lingering).await;
                }
            }
        }
    }
}

/// Room for the next read. What is left of the room shrinks with each frame, and a read that fills it is followed
/// by another that finds nothing.
fn make_room(buffer: &mut BytesMut, is_busy: bool) {
    if !buffer.is_empty() {
        return;
    }
    if !is_busy && buffer.capacity() > READ_BYTES_BUSY / 2 {
        *buffer = BytesMut::with_capacity(READ_BYTES);
    } else {
        // Allocates nothing: the frames taken from it are gone by now.
        buffer.reserve(READ_BYTES);
    }
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
    /// Answers that neither this task nor the engine makes.
    slow: TaskTracker,
    /// Cancelled when nobody is there any more for whom to wait for events.
    over: CancellationToken,
    /// Its reports are made one after the other: one that asks for many is never ahead of one that asks for one.
    report_turn: Arc<tokio::sync::Mutex<()>>,
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
        first: Option<Result<Frame, NoFrame>>,
        frames: &mut Frames<S>,
    ) -> Next {
        let (mut frame, mut taken) = (first, 0);
        loop {
            let (head, body) = match frame {
                None => return Next::End(End::Closed),
                Some(Ok(frame)) => frame,
                Some(Err(NoFrame::Length(error))) => {
                    self.server.counts.protocol_error(error.as_str());
                    self.outbox.add(bad_length(error));
                    return Next::End(End::Refused("frame length"));
                }
                Some(Err(NoFrame::Io(error))) => return Next::End(End::Broken(error)),
            };
            match self.take(head, &body) {
                Next::GoOn => {}
                ends => return ends,
            }
            // It holds on to the room it was read into.
            drop(body);
            taken += 1;
            if taken == FRAMES_AT_ONCE {
                // What is there already comes with the next round: a frame that is taken is a frame that is answered.
                return Next::GoOn;
            }
            if taken == FRAMES_BUSY {
                frames.read_buffer_mut().reserve(READ_BYTES_BUSY);
            }
            match frames.next().now_or_never() {
                Some(next) => frame = next,
                None => {
                    make_room(frames.read_buffer_mut(), taken >= FRAMES_BUSY);
                    return Next::GoOn;
                }
            }
        }
    }

    /// One frame: any of them is a sign of life (S12).
    fn take(&mut self, head: Head, body: &[u8]) -> Next {
        if self.outbox.hear() {
            // Not taken, the engine comes upon it by itself, if later.
            let _ = self.server.engine.ask(Ask::Heard(self.outbox.id()));
        }
        let call = head.call;
        if call == 0 {
            self.server.counts.protocol_error("order");
            self.outbox.add(refuse(0, Code::BadRequest, "a request has a call number other than 0", ""));
            return Next::End(End::Refused("call 0"));
        }
        match head.kind() {
            Kind::Request | Kind::Admin => {}
            Kind::Answer | Kind::Event => {
                self.server.counts.protocol_error("order");
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
        if ADMIN_NUMBERS.contains(&head.number) && self.outbox.peer().admin.is_none() {
            let text = "administration goes over the Unix socket only (S80)";
            self.outbox.add(refuse(call, Code::NotPermitted, text, ""));
            return Next::GoOn;
        }
        match Incoming::decode(head.number, body) {
            Err(error) => {
                self.server.counts.protocol_error(error.as_str());
                self.outbox.add(refuse(call, Code::BadRequest, error.to_string(), error.as_str()));
                Next::GoOn
            }
            Ok(message) => self.request(call, message),
        }
    }

    fn request(&mut self, call: u32, message: Incoming) -> Next {
        let peer = self.outbox.peer();
        let request = match message {
            Incoming::Hello(_) => {
                self.server.counts.protocol_error("order");
                self.outbox.add(refuse(call, Code::BadRequest, "the hello was said already", ""));
                return Next::GoOn;
            }
            Incoming::Heartbeat(message) => {
                if let Some(seconds) = message.idle_seconds {
                    self.outbox.idle_for(seconds);
                }
                let sessions = self.outbox.sessions();
                self.outbox.add(|buffer| {
                    answer::put(buffer, call, &told::Heartbeat { sessions, extras: Vec::new() })
                });
                return Next::GoOn;
            }
            Incoming::Goodbye(_) => return Next::Goodbye(call),
            Incoming::Report(report) => {
                if self.has_room_for_slow(call) {
                    self.report(call, report);
                }
                return Next::GoOn;
            }
            Incoming::Events(message) => {
                if self.has_room_for_slow(call) {
                    self.events(call, message);
                }
                return Next::GoOn;
            }
            Incoming::Reload(_) => {
                if self.has_room_for_slow(call) {
                    self.reload(call);
                }
                return Next::GoOn;
            }
            Incoming::Shutdown(_) => {
                self.outbox.add(|buffer| answer::put(buffer, call, &told::Shutdown::default()));
                self.server.admin.shut_down(&peer.admin.clone().unwrap_or_default());
                return Next::GoOn;
            }
            Incoming::HostIds(message) => {
                if let Err(bad) = answer::check_text("explain", message.explain.as_deref().unwrap_or("")) {
                    self.server.counts.protocol_error("field");
                    self.outbox.add(refuse_field(call, bad));
                    return Next::GoOn;
                }
                let json = self.server.admin.host_ids(message.explain.as_deref());
                self.outbox
                    .add(|buffer| answer::put(buffer, call, &told::HostIds { json, extras: Vec::new() }));
                return Next::GoOn;
            }
            Incoming::Checkout(message) => answer::checkout(message, peer),
            Incoming::Try(message) => answer::try_out(message, peer),
            Incoming::Resume(message) => answer::resume(message, peer),
            Incoming::UpdateCheck(message) => {
                if let Some(text) = self.too_many_update_checks() {
                    self.outbox.add(refuse(call, Code::RateLimited, text, ""));
                    return Next::GoOn;
                }
                answer::update_check(message)
            }
            Incoming::Checkin(message) => Ok(answer::checkin(&message)),
            Incoming::Watch(message) => Ok(Request::Watch(message.totals)),
            Incoming::Confirm(message) => Ok(answer::confirm(&message)),
            Incoming::GiveUp(message) => Ok(answer::give_up(&message)),
            Incoming::Cancel(message) => Ok(answer::cancel(&message, peer)),
            Incoming::Why(message) => answer::why(message, peer),
            Incoming::Book(message) => answer::book(message, peer),
            Incoming::Unbook(message) => answer::unbook(&message),
            Incoming::WriteOff(message) => answer::write_off(message, peer),
            Incoming::Release(message) => {
                let by = peer.admin.clone().unwrap_or_default();
                answer::release(message, &by)
            }
        };
        match request {
            Err(bad) => {
                self.server.counts.protocol_error("field");
                self.outbox.add(refuse_field(call, bad));
            }
            Ok(request) => self.ask(call, request),
        }
        Next::GoOn
    }

    /// What to say to a client that has asked as many update checks in this minute as it may. An administrator may ask as he
    /// likes.
    fn too_many_update_checks(&self) -> Option<String> {
        let peer = self.outbox.peer();
        let client = (peer.install_id, peer.address?);
        let most = self.server.limits.update_checks_per_minute;
        let now = self.server.context.clock.tick().0;
        let wait_ms = self.server.update_checks.count(client, most, now).err()?;
        let seconds = wait_ms.div_ceil(1000);
        Some(format!(
            "this client has asked {most} update checks within a minute: ask again in {seconds} s (S82)"
        ))
    }

    /// Hands a request to the engine; a full queue is the client's to hear of, and nobody's to wait for (S82).
    fn ask(&self, call: u32, request: Request) {
        let from: Arc<dyn Outbox> = self.outbox.clone();
        let is_checkout = matches!(request, Request::Checkout(..) | Request::Borrow(..));
        if is_checkout {
            self.outbox.asks(call);
        }
        match self.server.engine.ask(Ask::Request { from, call, request }) {
            Ok(()) => {}
            Err(NotTaken::Full(_)) => {
                self.outbox.asked_in_vain(call);
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
        self.over.cancel();
        self.slow.close();
        tokio::select! {
            biased;
            () = self.slow.wait() => {}
            () = self.server.closing.cancelled() => {}
        }
        self.outbox.add(|buffer| answer::put(buffer, call, &told::Goodbye::default()));
        End::Goodbye
    }
}
