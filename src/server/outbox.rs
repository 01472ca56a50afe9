//! Where the engine puts what a connection is told: one buffer, one wake and one write for each batch.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use seats::ledger::ConnectionId;
use tokio::sync::Notify;

use crate::answer::{self, Context, Peer};
use crate::clock::Stopwatch;
use crate::counts::Histogram;
use crate::engine::ask::{Answer, Event, Outbox};

/// How many checkouts of one connection are timed at once; of one that has more under way, some are not.
const TIMED_AT_ONCE: usize = 64;
/// More than a heartbeat can say.
const LONGEST_IDLE_MS: u64 = 1000 << 33;

/// One connection's outgoing buffer, and what the engine and the connection know of each other.
#[derive(Debug)]
pub struct ConnectionOutbox {
    id: ConnectionId,
    peer: Peer,
    context: Context,
    unread_max: usize,
    buffer: Mutex<Outgoing>,
    /// How long checkouts take.
    durations: Arc<Histogram>,
    is_over: AtomicBool,
    wake: Notify,
    heard: AtomicU64,
    /// The tick of the user's last activity plus [`LONGEST_IDLE_MS`]; 0: nothing was reported.
    active_at: AtomicU64,
    sessions: AtomicU32,
}

/// What is to be written, and what is still to be answered.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// Checkouts that the engine has not answered: their call numbers, and since when.
    asked: Vec<(u32, Stopwatch)>,
}

impl ConnectionOutbox {
    /// An empty one. `unread_max`: bytes that may wait here before the connection is given up (S82). `durations` counts how
    /// long checkouts take.
    pub fn new(
        id: ConnectionId,
        peer: Peer,
        context: Context,
        unread_max: usize,
        durations: Arc<Histogram>,
    ) -> ConnectionOutbox {
        let heard = AtomicU64::new(context.clock.tick().0);
        ConnectionOutbox {
            id,
            peer,
            context,
            unread_max,
            buffer: Mutex::default(),
            durations,
            is_over: AtomicBool::new(false),
            wake: Notify::new(),
            heard,
            active_at: AtomicU64::new(0),
            sessions: AtomicU32::new(0),
        }
    }

    /// Who is there.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// A sign of life (S12). Whether the last one is so long ago that the engine may think the client silent, and should be
    /// told: else nobody asks the engine for a heartbeat.
    #[must_use]
    pub fn hear(&self) -> bool {
        let now = self.context.clock.tick().0;
        let before = self.heard.swap(now, Ordering::Relaxed);
        // Half a lease: the engine's step may have begun a moment earlier, or later.
        now.saturating_sub(before) > u64::from(self.context.lease_ms) / 2
    }

    /// The client's user did something so many seconds ago, as it reports with a heartbeat.
    pub fn idle_for(&self, seconds: u32) {
        // It may lie before the first tick that was ever served.
        let at = self.context.clock.tick().0 + LONGEST_IDLE_MS - u64::from(seconds) * 1000;
        self.active_at.store(at, Ordering::Relaxed);
    }

    /// How many sessions the connection holds, after the last batch that touched it.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// A checkout goes to the engine: its time runs until its answer is here.
    pub fn asks(&self, call: u32) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.asked.len() < TIMED_AT_ONCE {
            buffer.asked.push((call, Stopwatch::start()));
        }
    }

    /// The engine did not take it.
    pub fn asked_in_vain(&self, call: u32) {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner).answered(call);
    }

    /// Adds frames that do not come from the engine: answers to heartbeats, refusals, reports.
    /// A connection that is over gets nothing more: nobody would read it.
    pub fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.add_to(&mut self.buffer.lock().unwrap_or_else(PoisonError::into_inner), write);
    }

    fn add_to(&self, buffer: &mut Outgoing, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_over() {
            return;
        }
        write(&mut buffer.bytes);
        if buffer.bytes.len() > self.unread_max {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }

    /// As [`ConnectionOutbox::add`], from another task than the connection's own.
    pub fn add_and_wake(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.add(write);
        self.wake.notify_one();
    }

    /// What is to be written now; `into` is empty beforehand and keeps its room.
    pub fn take(&self, into: &mut Vec<u8>) {
        std::mem::swap(&mut self.buffer.lock().unwrap_or_else(PoisonError::into_inner).bytes, into);
    }

    /// The connection has ended: what comes for it later, a report or an event, is not kept.
    pub fn give_up(&self) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_over.store(true, Ordering::Relaxed);
        *buffer = Outgoing::default();
    }

    /// Whether more lies unread than may: the connection is lost, never an event (interfaces.md 7).
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Completes when something was added by others.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Outgoing {
    fn answered(&mut self, call: u32) -> Option<Stopwatch> {
        // Answers come in the order of the questions, nearly always.
        let at = self.asked.iter().position(|(asked, _)| *asked == call)?;
        Some(self.asked.remove(at).1)
    }
}

impl Outbox for ConnectionOutbox {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn idle_ms(&self, now: u64) -> Option<u64> {
        let active_at = self.active_at.load(Ordering::Relaxed);
        (active_at > 0).then(|| (now + LONGEST_IDLE_MS).saturating_sub(active_at))
    }

    fn admin(&self) -> Option<&str> {
        self.peer.admin.as_deref()
    }

    fn answer(&self, call: u32, answer: &Answer) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = buffer.answered(call) {
            self.durations.observe(asked.elapsed());
        }
        self.add_to(&mut buffer, |bytes| {
            answer::append_answer(bytes, call, answer, &self.peer, &self.context);
        });
    }

    fn event(&self, event: &Event) {
        self.add(|buffer| answer::append_event(buffer, event, &self.context));
    }

    fn holds(&self, sessions: u32) {
        // The lock of the buffer orders this before the outputs that follow.
        self.sessions.store(sessions, Ordering::Relaxed);
    }

    fn flush(&self) {
        self.wake.notify_one();
    }
}
