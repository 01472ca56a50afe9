//! The engine's thread: drains the queue, reads the clock, steps, sleeps until something is due.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Engine;
use super::ask::Ask;
use crate::clock::Clock;
use crate::journal::{Disk, JournalError};

/// The most asks in one batch: bounds how long the first of them waits for the last to be decided.
const BATCH_ASKS: usize = 4_096;
/// How long the thread sleeps at most: the idle timer that notices a midnight (L21) and feeds the watchdog.
const IDLE: Duration = Duration::from_millis(500);

/// How others reach the engine. Clones reach the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: SyncSender<Ask>,
}

/// Why an ask was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// The queue is full: the client is told `busy`.
    Full(Ask),
    /// The engine has stopped.
    Stopped,
}

impl Handle {
    /// Puts an ask into the queue; never blocks.
    ///
    /// # Errors
    /// The queue is full, or the engine has stopped.
    pub fn ask(&self, ask: Ask) -> Result<(), NotTaken> {
        self.queue.try_send(ask).map_err(|error| match error {
            TrySendError::Full(ask) => NotTaken::Full(ask),
            TrySendError::Disconnected(_) => NotTaken::Stopped,
        })
    }

    /// Puts an ask into the queue; while it is full, tries again after a moment. For what may be late and
    /// must not be lost: that a connection is there, or gone.
    ///
    /// # Errors
    /// The engine has stopped.
    pub async fn ask_soon(&self, mut ask: Ask) -> Result<(), NotTaken> {
        loop {
            match self.ask(ask) {
                Err(NotTaken::Full(again)) => ask = again,
                taken => return taken,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Puts an ask into the queue and waits for room. Not for connections: for the daemon's own threads.
    ///
    /// # Errors
    /// The engine has stopped.
    pub fn ask_patiently(&self, ask: Ask) -> Result<(), NotTaken> {
        self.queue.send(ask).map_err(|_| NotTaken::Stopped)
    }
}

/// A queue of the given length: the handle, and the end the engine reads.
pub fn queue(length: usize) -> (Handle, Receiver<Ask>) {
    let (queue, asks) = sync_channel(length);
    (Handle { queue }, asks)
}

/// Starts the engine on a thread of its own. `beat` is called after every step, at least every half second.
/// The thread ends when every [`Handle`] is gone or after [`Ask::Stop`], and with an error when the journal fails.
///
/// # Errors
/// The system gives no thread.
pub fn start<D: Disk>(
    engine: Engine<D>,
    asks: Receiver<Ask>,
    clock: Clock,
    beat: impl FnMut(u64) + Send + 'static,
) -> std::io::Result<JoinHandle<Result<(), JournalError>>> {
    Builder::new().name("engine".into()).spawn(move || run(engine, &asks, &clock, beat))
}

fn run<D: Disk>(
    mut engine: Engine<D>,
    asks: &Receiver<Ask>,
    clock: &Clock,
    mut beat: impl FnMut(u64),
) -> Result<(), JournalError> {
    let mut batch = Vec::with_capacity(BATCH_ASKS);
    loop {
        let is_open = fill(&mut batch, asks, wait(&engine, clock));
        let stops = batch.iter().any(|ask| matches!(ask, Ask::Stop(_)));
        let reading = clock.now();
        engine.step(&mut batch, reading)?;
        beat(reading.tick.0);
        if stops || !is_open {
            return Ok(());
        }
    }
}

/// How long to wait for the next ask.
fn wait<D: Disk>(engine: &Engine<D>, clock: &Clock) -> Duration {
    if engine.has_background_work() {
        return Duration::ZERO;
    }
    match engine.next_deadline() {
        Some(deadline) => Duration::from_millis(deadline.saturating_sub(clock.tick().0)).min(IDLE),
        None => IDLE,
    }
}

/// Waits for the first ask, then takes what is there. `false`: nobody can ask any more.
fn fill(batch: &mut Vec<Ask>, asks: &Receiver<Ask>, wait: Duration) -> bool {
    if !wait.is_zero() {
        match asks.recv_timeout(wait) {
            Ok(ask) => batch.push(ask),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    while batch.len() < BATCH_ASKS {
        match asks.try_recv() {
            Ok(ask) => batch.push(ask),
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
    true
}
