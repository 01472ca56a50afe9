//! What is drawn for a history before it begins, and the errors that can be planted in it.

use seatkeeper::config::Limits;

use crate::common::Random;
use crate::licenses::DAY_MS;

/// 2030-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_893_456_000_000;

/// Throws for a seed.
pub(crate) trait Dice {
    /// A number from `low` to `high`, both included.
    fn ms(&mut self, low: u64, high: u64) -> u64;
    /// The same.
    fn count(&mut self, low: u32, high: u32) -> u32;
    /// True so often in a hundred.
    fn percent(&mut self, chance: u64) -> bool;
    /// True so often in a thousand.
    fn permille(&mut self, chance: u64) -> bool;
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize;
}

impl Dice for Random {
    fn ms(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high - low + 1)
    }

    fn count(&mut self, low: u32, high: u32) -> u32 {
        low + u32::try_from(self.bits() % u64::from(high - low + 1)).expect("below 2^32")
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.bits() % 100 < chance
    }

    fn permille(&mut self, chance: u64) -> bool {
        self.bits() % 1000 < chance
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end as u64).expect("below a usize")
    }
}

/// Something wrong on purpose, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// A disk that says it has synced and has not, now and then.
    DiskForgets,
    /// A replay that leaves out the last grant of the journal.
    ReplayForgets,
    /// A client draws a new key when it asks again after a lost answer.
    NewKeyOnRetry,
    /// A client that was denied forgets that a copy of its request may still be under way.
    NeverCancels,
    /// The server has one seat more of everything than was sold.
    SellsOneMore,
    /// The server has one seat less of everything than was sold.
    SellsOneLess,
    /// The server gives seats away as soon as a socket closes.
    NoResumeWindow,
    /// The server never ends the sessions of those who are gone.
    NeverReaps,
    /// The history the checks are told lacks a session now and then.
    HistoryLosesASession,
    /// The engine is not told of connections that end.
    DeafToCloses,
    /// The server forgets at once that a seat is lent, so that it goes as any other whose client is silent.
    ForgetsLoans,
    /// The server lends for one hour, whatever was asked for.
    LendsForAnHour,
    /// The server lends for an hour more than was asked for.
    LendsAnHourMore,
}

impl Flaw {
    /// Whether the server lends in another way than it was asked: only what comes of that is to be found, not the terms.
    pub(crate) fn hides_terms(self) -> bool {
        matches!(self, Flaw::ForgetsLoans | Flaw::LendsForAnHour | Flaw::LendsAnHourMore)
    }
}

/// The dimensions of one history.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) flaw: Flaw,
    pub(crate) clients: usize,
    /// How long clients work, before all of them end.
    pub(crate) duration: u64,
    pub(crate) heartbeat: u64,
    pub(crate) lease: u64,
    pub(crate) resume_window: u64,
    pub(crate) reap_after: u64,
    /// The wall clock at the beginning, Unix milliseconds.
    pub(crate) unix_ms: i64,
    pub(crate) segment_bytes: u64,
    pub(crate) compact_bytes_min: u64,
    pub(crate) queue_length: usize,
    /// Chances in a thousand that a packet is the last of its connection, and that one is held up for long.
    pub(crate) cuts: u64,
    pub(crate) stalls: u64,
    /// The mean time between two deaths of the daemon; `None`: none dies.
    pub(crate) death_every: Option<u64>,
    /// The same for what else befalls: clients that sleep or crash, clocks, reloads.
    pub(crate) trouble_every: u64,
    /// Whether the wall clock may be wrong by days.
    pub(crate) is_wild_clock: bool,
    pub(crate) has_admin: bool,
    /// Whether licenses lend seats, and clients borrow them.
    pub(crate) lends: bool,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random, flaw: Flaw) -> Plan {
        let lease = random.ms(8_000, 30_000);
        // A third before midnight, so that it comes while clients work; else anywhere.
        let duration = random.ms(60_000, 240_000);
        let into_day = match random.percent(50) {
            true => DAY_MS - i64::try_from(random.ms(0, duration)).expect("minutes"),
            false => i64::try_from(random.ms(0, 86_399_999)).expect("a day"),
        };
        let is_quiet = random.percent(15);
        let deaths = if is_quiet { 0 } else { random.count(0, 3) };
        Plan {
            flaw,
            clients: 2 + random.below(5),
            duration,
            heartbeat: lease / 4,
            lease,
            resume_window: random.ms(1_000, 5_000),
            reap_after: random.ms(10_000, 60_000),
            unix_ms: NEW_YEAR + DAY_MS * random.within(0, 400) + into_day,
            segment_bytes: *random.one_of(&[16 << 10, 64 << 10, 1 << 20]),
            compact_bytes_min: *random.one_of(&[4 << 10, 32 << 10, 1 << 20]),
            queue_length: *random.one_of(&[2, 8, 1024]),
            cuts: if is_quiet { 0 } else { random.ms(0, 30) },
            stalls: if is_quiet { 0 } else { random.ms(0, 15) },
            death_every: (deaths > 0).then(|| duration / u64::from(deaths)),
            trouble_every: if is_quiet { 60_000 } else { random.ms(8_000, 40_000) },
            is_wild_clock: random.percent(12),
            has_admin: random.percent(60),
            lends: random.percent(50),
        }
    }

    /// Limits of the server: those of the daemon, but for a hello and a silence that fit the short leases here.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            queue_length: u32::try_from(self.queue_length).expect("a small number"),
            hello_time: std::time::Duration::from_secs(5),
            idle_time: std::time::Duration::from_millis(self.lease * 2),
            ..Limits::default()
        }
    }
}
