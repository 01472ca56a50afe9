//! The checks: what must hold whatever happens, worked out from what clients were told, what the network carried and the
//! licenses that were written. Nothing here is shared with `seats`; from the server come the lists in [`seen`] alone.
//!
//! - [`taps`] — reads every frame that reaches the server or leaves it
//! - [`presence`] — who is surely there and who is surely gone, by the network's knowledge
//! - [`step`] — after each step of the engine: grants, losses, leftovers, refusals, the queue
//! - [`lent`] — what is lent stays out until its end, and comes back then
//! - [`crash`] — after each death and at the end: what was told is on disk

mod crash;
mod lent;
mod presence;
pub(crate) mod seen;
mod step;
mod taps;

use std::collections::{BTreeMap, BTreeSet};

use self::lent::Lent;
use self::presence::Line;
use self::seen::Seen;
use self::step::Step;
use crate::daemon::Dump;
use crate::licenses::{Day, FEATURES, Sheet};
use crate::plan::{Flaw, Plan};
use crate::trace::Trace;
use crate::world::Tally;

/// Two things so close together may have happened in either order.
const BLUR_MS: u64 = 20;

/// Which of the promises is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// More seats were granted than there were.
    Oversold,
    /// A client that was there lost its seats, or one that was gone lost them though nobody needed them.
    LostSeat,
    /// One checkout took seats twice.
    TwoSeats,
    /// Seats or places are left of what is over.
    LeftBehind,
    /// What was told is not on disk.
    NotOnDisk,
    /// Somebody waits beside free seats.
    NotServed,
    /// A checkout was refused though there were seats.
    WrongRefusal,
    /// A seat is lent otherwise than it was asked for or sold, or not back in time.
    Lent,
    /// A total is not what the licenses say.
    Totals,
    /// A message that should not have come.
    Protocol,
    /// The history does not come to an end.
    Stuck,
}

/// See [`Check`]; with a sentence.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) check: Check,
    pub(crate) text: String,
}

impl Fault {
    fn new(check: Check, text: impl Into<String>) -> Fault {
        Fault { check, text: text.into() }
    }

    pub(crate) fn stuck(text: String) -> Fault {
        Fault::new(Check::Stuck, text)
    }

    pub(crate) fn protocol(text: String) -> Fault {
        Fault::new(Check::Protocol, text)
    }

    pub(crate) fn disk(text: String) -> Fault {
        Fault::new(Check::NotOnDisk, text)
    }
}

/// What is known of one checkout.
#[derive(Debug, Default)]
struct Known {
    owner: String,
    asked: Vec<(usize, u32)>,
    may_wait: bool,
    /// For how many hours it borrows.
    hours: Option<u32>,
    token: Option<[u8; 16]>,
    /// Requests that may have put it on a line, since it was last certain, each with when it arrived.
    lines: Vec<(usize, u64)>,
    /// Every bundle it ever had, but for those that a death took.
    bundles: BTreeSet<u64>,
    /// It was answered since the daemon's start, so that it is on one of them for sure.
    is_attached: bool,
    /// The line over which it was told that it waits.
    place: Option<usize>,
    is_confirmed: bool,
    /// Its client has said that nothing is to come of it.
    is_cancelled: bool,
    /// Its client has done with it.
    is_over: bool,
}

/// Seats that a client was told it has.
#[derive(Clone, Debug)]
struct Told {
    pid: u32,
    count: u32,
}

/// See the module.
pub(crate) struct Checker {
    flaw: Flaw,
    lease: u64,
    resume_window: u64,
    reap_after: u64,
    is_wild_clock: bool,
    lines: Vec<Line>,
    known: BTreeMap<u32, Known>,
    told: BTreeMap<u64, Told>,
    /// Sessions told to be given back whole.
    returned: BTreeSet<u64>,
    pid_of_key: BTreeMap<[u8; 16], u32>,
    cancelled: BTreeSet<[u8; 16]>,
    /// To whom a bundle's number was told to belong.
    bundle_of: BTreeMap<u64, u32>,
    /// Sessions and waiters for which these requests have reached the server.
    checkins: BTreeSet<u64>,
    releases: BTreeSet<u64>,
    barred: BTreeSet<String>,
    /// The licenses that may be in force in the next step, the newest last.
    sheets: Vec<Sheet>,
    days: BTreeSet<Day>,
    day: Day,
    /// The highest day was being raised to this when the daemon died: on disk or not.
    day_in_doubt: Option<Day>,
    /// After the last step that was synced.
    seen: Seen,
    step: Step,
    started: u64,
    steps: u64,
    /// Since when a waiter stands at the head beside free seats.
    neglected: BTreeMap<u64, u64>,
    /// What the last daemon held, before and after the step in which it died.
    died: Option<(Option<Dump>, Dump)>,
    failed: Option<Seen>,
    is_failing: bool,
    /// What is lent.
    lent: Lent,
    fault: Option<Fault>,
    pub(crate) tally: Tally,
}

impl Checker {
    pub(crate) fn new(plan: &Plan, sheet: Sheet) -> Checker {
        Checker {
            flaw: plan.flaw,
            lease: plan.lease,
            resume_window: plan.resume_window,
            reap_after: plan.reap_after,
            is_wild_clock: plan.is_wild_clock,
            lines: Vec::new(),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
            returned: BTreeSet::new(),
            pid_of_key: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            bundle_of: BTreeMap::new(),
            checkins: BTreeSet::new(),
            releases: BTreeSet::new(),
            barred: BTreeSet::new(),
            sheets: vec![sheet],
            days: BTreeSet::new(),
            day: Day::MIN,
            day_in_doubt: None,
            seen: Seen::default(),
            step: Step::default(),
            started: 0,
            steps: 0,
            neglected: BTreeMap::new(),
            died: None,
            failed: None,
            is_failing: false,
            lent: Lent::default(),
            fault: None,
            tally: Tally::default(),
        }
    }

    /// A client has a new connection.
    pub(crate) fn connected(&mut self, now: u64) {
        self.lines.push(Line::new(now));
        self.tally.cables += 1;
    }

    /// The server's end of a connection is over.
    pub(crate) fn ended(&mut self, now: u64, conn: usize) {
        let line = &mut self.lines[conn];
        line.ended_at = line.ended_at.or(Some(now));
    }

    /// Other licenses are on their way to the engine.
    pub(crate) fn reloaded(&mut self, sheet: Sheet) {
        self.tally.reloads += 1;
        self.sheets.push(sheet);
    }

    /// The licenses of now.
    pub(crate) fn sheet(&self) -> &Sheet {
        self.sheets.last().expect("one at least")
    }

    /// A client has done with a checkout. From now on nothing may be left of it, whatever copies of its request are still
    /// under way: what it took is given back, and its key is used up (S2, S26).
    pub(crate) fn over(&mut self, now: u64, pid: u32, trace: &mut Trace) {
        self.known.entry(pid).or_default().is_over = true;
        trace.say(now, format!("{pid} is over"));
        if let Err(fault) = self.check_left_behind(pid, &self.seen) {
            self.fault = Some(fault);
        }
    }

    /// The most and the fewest seats of a feature that there may be.
    fn totals(&self, feature: usize) -> (u64, u64) {
        let on = |sheet: &Sheet, day| u64::from(sheet.total(feature, day));
        if self.is_wild_clock {
            // Which day a wrong clock leaves in force is not worked out here; a clock that is behind serves what has no
            // dates (S71).
            let most = self.sheets.iter().flat_map(|sheet| self.days.iter().map(|day| on(sheet, *day))).max();
            let fewest = self.sheets.iter().map(|sheet| u64::from(sheet.base(feature))).min();
            return (most.unwrap_or(0), fewest.unwrap_or(0));
        }
        let all = || self.sheets.iter().map(|sheet| on(sheet, self.day));
        (all().max().unwrap_or(0), all().min().unwrap_or(0))
    }

    /// For each booking of a feature, oldest first: seats kept free for its token, with a total.
    fn kept(&self, seen: &Seen, feature: usize, total: u64) -> u64 {
        let mut left = total;
        let mut kept = 0;
        for booking in seen.bookings.iter().filter(|b| b.feature == feature) {
            let honored = u64::from(booking.seats).min(left);
            left -= honored;
            let of_token = |pid: u32| self.known.get(&pid).is_some_and(|k| k.token == Some(booking.token));
            let sessions = seen.sessions.values().filter(|s| s.feature == feature && of_token(s.pid));
            kept += honored.saturating_sub(sessions.map(|s| u64::from(s.count)).sum());
        }
        kept
    }

    /// After everybody has ended and time has passed.
    pub(crate) fn check_nothing_left(&self, seen: &Seen) -> Result<(), Fault> {
        let is_empty = seen.sessions.is_empty()
            && seen.waiters.is_empty()
            && seen.bookings.is_empty()
            && seen.used == [0; FEATURES.len()]
            && seen.held == 0;
        if is_empty {
            Ok(())
        } else {
            Err(Fault::new(Check::LeftBehind, format!("at the end there is {seen:?}")))
        }
    }
}
