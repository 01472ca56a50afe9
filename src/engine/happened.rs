//! What happened in a batch, for whoever wants to watch: noted while it is decided, handed on after the sync (S60).
//!
//! A note is cheap: numbers, and references to names and facts that the ledger keeps anyway. Nobody's checkout waits for
//! a text: `src/events` makes events of notes on other threads. Without a sink nothing is noted at all.
//!
//! Every change passes through [`Engine::note`], so nothing that is journaled is forgotten here; what is not journaled (a
//! denial, a clock that is doubted, who asked for what) is noted where it is decided.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::NaiveDate;
use seats::change::{BundleId, Cause, Change, Granted, PoolId, PoolKind, SessionId, WaitCause, Waiting};
use seats::denial::{Code, Denial, Numbers};
use seats::evaluate::Total;
use seats::ledger::State;
use seats::license::Name;
use seats::request::{Checkout, Facts, Item};
use seats::wall::WallClock;

use super::Engine;
use super::ask::{Answer, Outbox, Request};
use super::remind::Maintained;
use crate::journal::Disk;

/// How many pools' names are kept at hand.
const POOL_NAMES_MAX: usize = 16_384;

/// Takes what happened, batch by batch.
pub trait EventSink: Send + Sync + fmt::Debug {
    /// Everything in it is on disk. Called on the engine's thread, before the answers of the batch leave: it must not
    /// wait for anything. What it has no room for it drops, and counts.
    fn happened(&self, batch: Batch);
}

/// What happened in one batch, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// When, by the server's clock: Unix milliseconds.
    pub unix_ms: i64,
    /// At least one.
    pub happened: Vec<Happened>,
}

/// Which pool, by its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Which of the feature's pools.
    pub kind: PoolKind,
}

/// Seats of one session, and who has or had them.
#[derive(Clone, Debug)]
pub struct Seats {
    /// The session.
    pub session: SessionId,
    /// The bundle it is in.
    pub bundle: BundleId,
    /// Where its seats are from; `None`: the ledger knows no such pool any more, which cannot happen.
    pub pool: Option<Arc<Pool>>,
    /// How many.
    pub count: u32,
    /// Who.
    pub facts: Arc<Facts>,
    /// The process; 0: not said.
    pub pid: u32,
    /// The token session it was taken for (L51).
    pub token: Option<SessionId>,
    /// Where it is lent: until when, Unix seconds (S40).
    pub lent_until: Option<i64>,
}

/// Seats that are back.
#[derive(Clone, Debug)]
pub struct Back {
    /// Those that are back.
    pub seats: Seats,
    /// What the session still has; 0: it has ended.
    pub remaining: u32,
    /// Why.
    pub cause: Cause,
    /// When they were taken, Unix milliseconds, as far as that is known.
    pub since_unix_ms: Option<i64>,
    /// For how many milliseconds they were held while the server ran.
    pub ticks: u64,
    /// Where they were lent: whether an administrator had noted that they would not come back before their time.
    pub was_written_off: bool,
}

/// A checkout that got nothing.
#[derive(Clone, Debug)]
pub struct Denied {
    /// Why.
    pub code: Code,
    /// The same in a sentence; it may name rules, files and users (S84).
    pub message: String,
    /// Who sells it, where that is clear.
    pub vendor: Option<Name>,
    /// As asked for.
    pub feature: Box<str>,
    /// Seats asked for.
    pub wanted: u64,
    /// How the seats of its pool added up.
    pub numbers: Option<Numbers>,
    /// Who.
    pub facts: Arc<Facts>,
    /// The process; 0: not said.
    pub pid: u32,
    /// It wanted them offline.
    pub is_borrow: bool,
}

/// A checkout that waits, or waits no longer.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Its number.
    pub waiter: SessionId,
    /// What it wants.
    pub items: Vec<Item>,
    /// Who.
    pub facts: Arc<Facts>,
    /// The process; 0: not said.
    pub pid: u32,
    /// For how long it waits at most, or did wait: milliseconds.
    pub ms: u64,
}

/// What an administrator did over the admin socket.
#[derive(Clone, Debug)]
pub struct Done {
    /// `release`, `write_off`, `book` or `unbook`.
    pub action: &'static str,
    /// Who, as the admin socket saw it.
    pub by: String,
    /// To which session, borrow or place in the queue.
    pub session: Option<SessionId>,
    /// To which features.
    pub items: Vec<Item>,
    /// The reason given; may be empty.
    pub reason: String,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// Seats were taken; by which place in the queue, and whether above the soft limit.
    Granted(Seats, Option<SessionId>, bool),
    /// Seats are back.
    Back(Back),
    /// A checkout got nothing.
    Denied(Box<Denied>),
    /// A checkout waits.
    Waiting(Box<Waiter>),
    /// It waits no longer.
    WaitEnded(Box<Waiter>, WaitCause),
    /// Lent seats will not be given back before their time: by whom, and the reason given.
    WrittenOff(Box<Seats>, Box<str>, Box<str>),
    /// A pool has another total: before, after, why (L22).
    PoolChanged(Box<Pool>, Total, Total, Box<str>),
    /// A new highest day is served.
    DayServed(NaiveDate),
    /// What the clock is worth: before, now, the day it shows, the day used for grants (S71).
    ClockChanged(WallClock, WallClock, NaiveDate, NaiveDate),
    /// Maintenance, or a license, begins, ends or goes on (rules 3, 6.11).
    Maintained(Box<Maintained>),
    /// An administrator did something.
    Done(Box<Done>),
}

impl<D: Disk> Engine<D> {
    /// The same engine, telling this sink what happens.
    #[must_use]
    pub fn with_events(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Hands on what happened. Called after the sync.
    pub(super) fn tell_happened(&mut self) {
        if let Some(sink) = self.sink.as_ref().filter(|_| !self.happened.is_empty()) {
            // The next batch is likely to be as large.
            let next = Vec::with_capacity(self.happened.len());
            let happened = std::mem::replace(&mut self.happened, next);
            sink.happened(Batch { unix_ms: self.unix_ms, happened });
        }
    }

    /// Notes a change that is about to be applied: the ledger is as it was before. A grant is noted when it is applied.
    pub(super) fn note(&mut self, tick: u64, change: &Change) {
        if self.sink.is_none() {
            return;
        }
        match change {
            Change::CheckedIn(back) => {
                self.note_back(tick, back.session, Some(back.count), &Cause::CheckedIn)
            }
            Change::Ended(ended) => self.note_back(tick, ended.session, None, &ended.cause),
            Change::Borrowed(lent) => {
                // The grant stands just before it.
                for happened in self.happened.iter_mut().rev() {
                    match happened {
                        Happened::Granted(seats, ..) if seats.bundle == lent.bundle => {
                            seats.lent_until = Some(lent.until);
                        }
                        _ => break,
                    }
                }
            }
            Change::WrittenOff(note) => {
                if let Some(seats) = self.seats_of(note.borrow) {
                    let (by, reason) = (note.by.clone(), note.reason.clone());
                    self.happened.push(Happened::WrittenOff(Box::new(seats), by, reason));
                }
            }
            Change::Waiting(waiting) => {
                let ms = waiting.until.saturating_sub(waiting.since);
                self.happened.push(Happened::Waiting(Box::new(waiter(waiting, ms))));
            }
            Change::WaitEnded(ended) => {
                if let Some(waiting) = self.ledger.state().waiter(ended.waiter) {
                    let waiter = waiter(waiting, tick.saturating_sub(waiting.since));
                    self.happened.push(Happened::WaitEnded(Box::new(waiter), ended.cause));
                }
            }
            Change::DayServed(served) => self.happened.push(Happened::DayServed(served.day)),
            _ => {}
        }
    }

    /// Notes a total that changes (L22).
    pub(super) fn note_pool(&mut self, set: &seats::change::PoolSet, before: Total, why: &str) {
        if self.sink.is_some() && before != set.total {
            let (vendor, feature, kind) = (set.vendor.clone(), set.feature.clone(), set.kind.clone());
            let pool = Box::new(Pool { vendor, feature, kind });
            self.happened.push(Happened::PoolChanged(pool, before, set.total, why.into()));
        }
    }

    /// Notes what becomes of the clock (S71).
    pub(super) fn note_clock(&mut self, now: WallClock, shows: NaiveDate, day: NaiveDate) {
        if self.sink.is_some() {
            self.happened.push(Happened::ClockChanged(self.clock, now, shows, day));
        }
    }

    /// Notes a checkout that got nothing. A denial changes nothing and is not journaled.
    pub(super) fn note_denied(&mut self, checkout: &Checkout, denial: &Denial) {
        if self.sink.is_none() {
            return;
        }
        let subject = denial.subject.as_ref();
        let first = checkout.items.first();
        let feature = subject.map(|s| &s.feature).or(first.map(|item| &item.feature));
        let denied = Denied {
            code: denial.code,
            message: denial.message.clone(),
            vendor: subject.and_then(|s| s.vendor.clone()),
            feature: feature.cloned().unwrap_or_default(),
            wanted: subject.map_or_else(|| first.map_or(0, |item| item.count.into()), |s| s.wanted),
            numbers: subject.and_then(|s| s.numbers),
            facts: checkout.facts.clone(),
            pid: checkout.pid,
            is_borrow: checkout.lend.is_some(),
        };
        self.happened.push(Happened::Denied(Box::new(denied)));
    }

    /// What a request would be as an administrator's action, before it is known whether it comes to something.
    pub(super) fn action_of(&self, from: &Arc<dyn Outbox>, request: &Request) -> Option<Box<Done>> {
        let done = |action, session, items: &[Item], reason: &str| {
            let by = from.admin().unwrap_or_default().to_owned();
            Box::new(Done { action, by, session, items: items.to_vec(), reason: reason.to_owned() })
        };
        self.sink.as_ref()?;
        match request {
            Request::Release(session, _, reason, _) => Some(done("release", Some(*session), &[], reason)),
            Request::WriteOff(session, _, reason) => Some(done("write_off", Some(*session), &[], reason)),
            Request::Book(booking) => Some(done("book", None, &booking.items, "")),
            Request::Unbook(token) => {
                let of = |booked: &seats::change::Booked| Item {
                    vendor: Some(booked.vendor.as_str().into()),
                    feature: booked.feature.as_str().into(),
                    count: booked.seats,
                };
                let items: Vec<Item> = self.ledger.state().bookings_under(token).map(of).collect();
                Some(done("unbook", None, &items, ""))
            }
            _ => None,
        }
    }

    /// Notes an administrator's action that was done.
    pub(super) fn note_done(&mut self, done: Option<Box<Done>>, answer: &Answer) {
        if let Some(done) = done.filter(|_| !matches!(answer, Answer::Denied(_))) {
            self.happened.push(Happened::Done(done));
        }
    }

    /// Notes a grant that was applied. What is kept is the ledger's own copy of who it is for, not the request's: that would
    /// be freed much later, and by another thread.
    pub(super) fn note_granted(&mut self, granted: &Granted) {
        if self.sink.is_none() {
            return;
        }
        let Some(facts) = self.ledger.state().bundle(granted.bundle).map(|bundle| bundle.facts.clone())
        else {
            return;
        };
        let waiter = self.ledger.state().waiter_of_key(&granted.key).map(|waiting| waiting.waiter);
        for session in &granted.sessions {
            let token = session.token.map(|nth| SessionId(granted.bundle.0 + u64::from(nth)));
            let seats = Seats {
                session: session.session,
                bundle: granted.bundle,
                pool: pool_names(&mut self.pool_names, self.ledger.state(), session.pool),
                count: session.count,
                facts: facts.clone(),
                pid: granted.pid,
                token,
                lent_until: None,
            };
            self.happened.push(Happened::Granted(seats, waiter, session.above_soft_limit));
        }
    }

    /// Seats come back; of a token with everything that was taken for it, in the same part (L51).
    fn note_back(&mut self, tick: u64, session: SessionId, given: Option<u32>, cause: &Cause) {
        let state = self.ledger.state();
        let Some(((id, bundle), root)) = state.session(session) else { return };
        let lent = state.borrow(id);
        let left = root.count - given.unwrap_or(root.count).min(root.count);
        let since_unix_ms = state.unix_ms_of(bundle.since);
        for part in bundle.with_dependents(root.nth) {
            // A whole number of seats for each token.
            let remaining = part.count / root.count.max(1) * left;
            let number = SessionId(id.0 + u64::from(part.nth));
            let seats = Seats {
                session: number,
                bundle: id,
                pool: pool_names(&mut self.pool_names, state, part.pool),
                count: part.count - remaining,
                facts: bundle.facts.clone(),
                pid: bundle.pid,
                token: part.token().map(|nth| SessionId(id.0 + u64::from(nth))),
                lent_until: lent.map(|lent| lent.until),
            };
            self.happened.push(Happened::Back(Back {
                seats,
                remaining,
                cause: cause.clone(),
                since_unix_ms,
                ticks: tick.saturating_sub(bundle.since),
                was_written_off: lent.is_some_and(|lent| lent.written_off(number).is_some()),
            }));
        }
    }

    fn seats_of(&mut self, session: SessionId) -> Option<Seats> {
        let state = self.ledger.state();
        let ((id, bundle), one) = state.session(session)?;
        Some(Seats {
            session,
            bundle: id,
            pool: pool_names(&mut self.pool_names, state, one.pool),
            count: one.count,
            facts: bundle.facts.clone(),
            pid: bundle.pid,
            token: one.token().map(|nth| SessionId(id.0 + u64::from(nth))),
            lent_until: state.borrow(id).map(|lent| lent.until),
        })
    }
}

/// Names of pools, so that a note takes one reference and not three. A pool's number is never that of another.
pub(super) type PoolNames = HashMap<PoolId, Arc<Pool>>;

fn pool_names(known: &mut PoolNames, state: &State, id: PoolId) -> Option<Arc<Pool>> {
    if let Some(names) = known.get(&id) {
        return Some(names.clone());
    }
    let pool = state.pool(id)?;
    let names = Pool { vendor: pool.vendor.clone(), feature: pool.feature.clone(), kind: pool.kind.clone() };
    let names = Arc::new(names);
    // Pools that are gone are forgotten with all others, now and then.
    if known.len() >= POOL_NAMES_MAX {
        known.clear();
    }
    known.insert(id, names.clone());
    Some(names)
}

fn waiter(waiting: &Waiting, ms: u64) -> Waiter {
    let Waiting { waiter, items, facts, pid, .. } = waiting;
    Waiter { waiter: *waiter, items: items.clone(), facts: facts.clone(), pid: *pid, ms }
}
