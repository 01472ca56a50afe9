//! What the server counts about its own work since its start: for `/metrics`, and for the denials that reports show.
//!
//! Whoever does the work counts it, with an atomic number or two: the engine's thread what it did in a batch
//! ([`Counting`]), connections their durations and the faults of their peers. What takes a table, denials by feature and
//! by user, is counted on the thread that takes events in ([`denials`]). Nothing is decided by any of it, and nothing of it
//! outlives the daemon: whoever wants the past asks the history.
//!
//! Not here: how things stand now (`src/engine/picture.rs`), and how it is written for readers (`src/http`).

pub mod denials;
mod histogram;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use seats::change::{Cause, WaitCause};
use seats::denial::Code;

use self::denials::Denials;
pub use self::histogram::Histogram;
use crate::clock::Clock;
use crate::engine::happened::{Batch, EventSink, Happened};
use crate::events::hub::Observer;
use crate::events::{Hub, What};

/// Why sessions end, as JSON and metrics name it.
pub const CAUSES: [&str; 7] =
    ["checked_in", "lease_ended", "released", "reclaimed", "idle", "unconfirmed", "borrow_ended"];

/// What peers get wrong: the faults of docs/PROTOCOL.md, section 12, then what has no fault there: `order` is a message that
/// may not come now or from that side, and the last two are versions that do not meet.
pub const PROTOCOL_ERRORS: [&str; 14] = [
    "frame_too_long",
    "frame_too_short",
    "unknown_number",
    "message_too_long",
    "truncated",
    "trailing_bytes",
    "too_much",
    "number_not_shortest",
    "malformed",
    "unknown_extra",
    "field",
    "order",
    "client_too_old",
    "server_too_old",
];

/// Seconds: what a checkout or a sync takes on anything from memory to a dying disk.
const WORK_SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Seconds: what people wait for a seat.
const WAIT_SECONDS: [f64; 12] =
    [0.1, 1.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 86_400.0];

/// All of it. Shared by who counts and who reads.
#[derive(Debug)]
pub struct Counts {
    /// Sessions begun.
    checkouts: AtomicU64,
    /// Sessions ended, by [`CAUSES`].
    checkins: [AtomicU64; CAUSES.len()],
    /// Checkouts refused, by the place of the code in [`Code::ALL`].
    denials: Vec<AtomicU64>,
    protocol_errors: [AtomicU64; PROTOCOL_ERRORS.len()],
    /// From a checkout's frame to its answer in the connection's buffer, the sync between them included.
    pub checkout_duration: Arc<Histogram>,
    /// For how long those waited who were served.
    pub queue_wait: Histogram,
    /// One write and one sync of the journal.
    pub journal_sync: Arc<Histogram>,
    /// When licenses were last read and taken, Unix milliseconds.
    reload_success: AtomicI64,
    reload_failures: AtomicU64,
    /// By feature, and those that nothing made good.
    pub by_feature: Denials,
}

impl Counts {
    /// Nothing counted yet. The licenses were read just now.
    pub fn new(clock: Clock) -> Counts {
        let zeros = |_| AtomicU64::new(0);
        Counts {
            checkouts: AtomicU64::new(0),
            checkins: std::array::from_fn(zeros),
            denials: (0..Code::ALL.len()).map(zeros).collect(),
            protocol_errors: std::array::from_fn(zeros),
            checkout_duration: Arc::new(Histogram::new(&WORK_SECONDS)),
            queue_wait: Histogram::new(&WAIT_SECONDS),
            journal_sync: Arc::new(Histogram::new(&WORK_SECONDS)),
            reload_success: AtomicI64::new(clock.unix_ms()),
            reload_failures: AtomicU64::new(0),
            by_feature: Denials::new(clock),
        }
    }

    /// Sessions begun; those of a token's dependencies are sessions too (L51).
    pub fn checkouts(&self) -> u64 {
        self.checkouts.load(Ordering::Relaxed)
    }

    /// Sessions ended, by cause.
    pub fn checkins(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        CAUSES.into_iter().zip(&self.checkins).map(read)
    }

    /// Checkouts refused, by code.
    pub fn denials(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Code::ALL.iter().map(|code| code.as_str()).zip(&self.denials).map(read)
    }

    /// What peers got wrong, by [`PROTOCOL_ERRORS`].
    pub fn protocol_errors(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        PROTOCOL_ERRORS.into_iter().zip(&self.protocol_errors).map(read)
    }

    /// When licenses were last read and taken, Unix milliseconds.
    pub fn reload_success_unix_ms(&self) -> i64 {
        self.reload_success.load(Ordering::Relaxed)
    }

    /// Reloads that left something out: a license file with a new problem, or a bad policy.
    pub fn reload_failures(&self) -> u64 {
        self.reload_failures.load(Ordering::Relaxed)
    }

    /// A peer broke the protocol; `detail` is of [`PROTOCOL_ERRORS`].
    pub fn protocol_error(&self, detail: &str) {
        let at = PROTOCOL_ERRORS.iter().position(|known| *known == detail);
        debug_assert!(at.is_some(), "{detail} is not listed");
        if let Some(at) = at {
            self.protocol_errors[at].fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read<'a>((name, count): (&'a str, &AtomicU64)) -> (&'a str, u64) {
    (name, count.load(Ordering::Relaxed))
}

/// Counts what the engine did, and hands it on to the events.
#[derive(Debug)]
pub struct Counting {
    counts: Arc<Counts>,
    events: Hub,
}

impl Counting {
    /// See the type.
    pub fn new(counts: Arc<Counts>, events: Hub) -> Counting {
        Counting { counts, events }
    }
}

impl EventSink for Counting {
    fn happened(&self, batch: Batch) {
        let (mut begun, mut given) = (0, 0);
        let counts = &self.counts;
        for happened in &batch.happened {
            match happened {
                Happened::Granted(..) => begun += 1,
                Happened::Back(back) if back.remaining > 0 => {}
                Happened::Back(back) => match cause(&back.cause) {
                    0 => given += 1,
                    at => add(&counts.checkins[at], 1),
                },
                Happened::Denied(denied) => {
                    let at = Code::ALL.iter().position(|code| *code == denied.code);
                    at.into_iter().for_each(|at| add(&counts.denials[at], 1));
                }
                Happened::WaitEnded(waiter, WaitCause::Served) => counts.queue_wait.observe_ms(waiter.ms),
                _ => {}
            }
        }
        // One number for a batch, not for each of its sessions.
        if begun > 0 {
            add(&counts.checkouts, begun);
        }
        if given > 0 {
            add(&counts.checkins[0], given);
        }
        self.events.happened(batch);
    }
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Ordering::Relaxed);
}

/// Its place in [`CAUSES`].
fn cause(cause: &Cause) -> usize {
    match cause {
        // The last two never end a session.
        Cause::CheckedIn | Cause::GivenUp | Cause::TimedOut => 0,
        Cause::LeaseEnded => 1,
        Cause::Released(_) => 2,
        Cause::Reclaimed => 3,
        Cause::Idle => 4,
        Cause::Unconfirmed => 5,
        Cause::BorrowEnded => 6,
    }
}

/// Counts on the thread that takes events in; see [`Observer`].
#[derive(Debug)]
pub struct Watching {
    counts: Arc<Counts>,
    /// License files with a new problem since the last reload was complete.
    problems: u64,
}

impl Watching {
    /// See the type.
    pub fn new(counts: Arc<Counts>) -> Watching {
        Watching { counts, problems: 0 }
    }
}

impl Observer for Watching {
    fn batch(&mut self, batch: &Batch) {
        self.counts.by_feature.note(batch);
    }

    fn told(&mut self, what: &What, unix_ms: i64) {
        let counts = &self.counts;
        match what {
            What::LicensesProblem(_) => self.problems += 1,
            What::PolicyRefused(_) => add(&counts.reload_failures, 1),
            What::LicensesReloaded(_) => {
                if std::mem::take(&mut self.problems) > 0 {
                    add(&counts.reload_failures, 1);
                }
                counts.reload_success.store(unix_ms, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_the_name_that_json_has() {
        let all = [
            Cause::CheckedIn,
            Cause::LeaseEnded,
            Cause::Reclaimed,
            Cause::Idle,
            Cause::Unconfirmed,
            Cause::BorrowEnded,
        ];
        for one in all {
            assert_eq!(CAUSES[cause(&one)], one.as_str());
        }
    }
}
