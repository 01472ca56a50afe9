//! The durable state: what replaying the journal gives, bit for bit (S61).
//!
//! [`State::apply`] is the only way to change it, and it takes nothing but a [`Change`] and the tick of the
//! batch it stands in. Who is connected is not here but in [`presence`](super::presence); what a limit of the policy
//! counts is not here but in [`usage`](super::usage), since it is worked out again whenever the policy changes.

mod bars;
mod borrows;
mod check;
mod dump;
mod held;
mod notes;
mod read;
mod waiters;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use self::bars::Bars;
pub use self::borrows::Borrow;
use self::borrows::Borrows;
use self::held::{Bookings, Holds};
pub use self::notes::FirstCheckouts;
use self::notes::Notes;
use self::waiters::Waiters;
use super::tally::Tally;
use crate::change::{
    BookingId, Borrowed, BundleId, Cause, Change, ClockRead, ClockReset, DayServed, Granted, GrantedSession,
    Held, Moved, PoolId, PoolKind, PoolSet, Release, SessionId, Source, Spent, Tick, WaitCause, WaitEnded,
};
use crate::evaluate::Total;
use crate::intern::Interned;
use crate::license::{Fingerprint, Name};
use crate::request::Facts;
use crate::version::{ReleaseVersion, parse_date};

/// How long a request key is remembered after its last seat was given back (S2).
pub const KEY_KEPT_MS: u64 = 3_600_000;
/// The most request keys remembered of bundles that are gone. A thousand checkouts a second for an hour
/// would be 3.6 million; beyond the bound the oldest are forgotten first, which only matters to a client
/// that repeats a checkout after having given it back.
pub const KEYS_KEPT_MAX: usize = 1_000_000;

/// All seats of one vendor's feature that can serve one request (L30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Which of the feature's pools.
    pub kind: PoolKind,
    /// What the licenses grant.
    pub total: Total,
    /// Which ones; the one whose terms hold first.
    pub sources: Vec<Source>,
    /// Its sessions as they add up.
    pub tally: Tally,
    /// Seats given back and not yet free (L62).
    pub held: u64,
    /// The part of the sessions' seats that is lent (S40); they share with nobody.
    pub borrowed: u64,
    /// The highest version that had a seat of it, and when that was released, as far as its programs said, since the license
    /// in force came.
    pub highest: Option<Highest>,
}

/// A version that was seen.
pub type Highest = (ReleaseVersion, Option<NaiveDate>);

impl Pool {
    /// Seats of its sessions.
    pub fn used(&self) -> u64 {
        self.tally.seats()
    }
}

/// A client's hold on seats of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its place in the bundle: its number is the bundle's plus this.
    pub nth: u16,
    /// Where its seats are taken from.
    pub pool: PoolId,
    /// How many it still has, at least 1.
    pub count: u32,
    /// The license it was granted under.
    pub license: Arc<Fingerprint>,
    /// Whether its seats lay above the soft limit when it was granted (L61).
    pub above_soft_limit: bool,
    /// What few sessions have: kept apart, so that a million plain ones stay small.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    share: Option<Arc<str>>,
    token: Option<u16>,
    booking: Option<BookingId>,
}

impl Session {
    fn set_share(&mut self, share: Option<Arc<str>>) {
        let more = More { share, token: self.token(), booking: self.booking() };
        self.more = (more != More::default()).then(|| Box::new(more));
    }

    /// The key of its share group (L60).
    pub fn share(&self) -> Option<&Arc<str>> {
        self.more.as_ref()?.share.as_ref()
    }

    /// The place in the bundle of the token session it was taken for (L51).
    pub fn token(&self) -> Option<u16> {
        self.more.as_ref()?.token
    }

    /// The booking it draws on (S52).
    pub fn booking(&self) -> Option<BookingId> {
        self.more.as_ref()?.booking
    }
}

/// All sessions of one checkout, under one secret (S10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Hash of install id and request key.
    pub key: [u8; 16],
    /// Hash of the secret.
    pub secret: [u8; 16],
    /// Who.
    pub facts: Arc<Facts>,
    /// The process.
    pub pid: u32,
    /// When.
    pub since: Tick,
    /// What is left of it, at least one.
    sessions: Sessions,
}

/// Nearly every bundle is one session: it is kept without an allocation of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sessions {
    One(Session),
    Many(Vec<Session>),
}

impl Bundle {
    /// Its sessions that still hold seats.
    pub fn sessions(&self) -> &[Session] {
        match &self.sessions {
            Sessions::One(session) => core::slice::from_ref(session),
            Sessions::Many(sessions) => sessions,
        }
    }

    /// A session and those that were taken for it as a token, the token itself first (L51).
    pub fn with_dependents(&self, nth: u16) -> impl Iterator<Item = &Session> {
        let own = self.sessions().iter().filter(move |s| s.nth == nth);
        own.chain(self.sessions().iter().filter(move |s| s.token() == Some(nth)))
    }

    fn sessions_mut(&mut self) -> &mut [Session] {
        match &mut self.sessions {
            Sessions::One(session) => core::slice::from_mut(session),
            Sessions::Many(sessions) => sessions,
        }
    }
}

/// How a bundle that is gone ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Hash of install id and request key.
    pub key: [u8; 16],
    /// How its last session ended.
    pub cause: Cause,
    /// When.
    pub at: Tick,
}

/// A change that does not fit the state: the journal is not of this ledger, or there is a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Inconsistent(String);

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    bundles: BTreeMap<BundleId, Box<Bundle>>,
    by_key: BTreeSet<(u64, BundleId)>,
    by_pool: BTreeSet<(PoolId, SessionId)>,
    pools: BTreeMap<PoolId, Pool>,
    pools_of: BTreeMap<(Name, Name), Vec<(PoolKind, PoolId)>>,
    holds: Holds,
    bookings: Bookings,
    waiters: Waiters,
    bars: Bars,
    borrows: Borrows,
    facts: Interned<Facts>,
    licenses: Interned<Fingerprint>,
    gone: BTreeMap<BundleId, Gone>,
    gone_by_key: BTreeSet<(u64, BundleId)>,
    gone_order: VecDeque<BundleId>,
    marks: BTreeMap<Tick, i64>,
    next_session: u64,
    next_pool: u32,
    day: Option<NaiveDate>,
    clock_reset: Option<ClockReset>,
    borrowing_closed: Option<i64>,
    notes: Notes,
}

/// What a program states of itself.
fn seen(facts: &Facts) -> Option<Highest> {
    let version = facts.release_version.as_deref()?.parse().ok()?;
    Some((version, facts.release_date.as_deref().and_then(parse_date)))
}

fn half(key: &[u8; 16]) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&key[..8]);
    u64::from_le_bytes(half)
}

impl State {
    /// Brings one accepted fact into the state. `tick` is that of the batch it stands in.
    ///
    /// # Panics
    /// Where the change contradicts the state, which [`State::check`] finds beforehand: a bug, since
    /// every change was decided on this very state.
    pub fn apply(&mut self, tick: Tick, change: &Change) {
        match change {
            Change::PoolSet(set) => self.set_pool(set),
            Change::Granted(granted) => self.grant(granted),
            Change::CheckedIn(c) => self.take_back(c.session, Some(c.count), &Cause::CheckedIn, c.at),
            Change::Ended(e) => self.take_back(e.session, None, &e.cause, e.at),
            Change::DayServed(DayServed { day }) => {
                self.day = self.day.max(Some(*day));
                self.notes.forget(*day);
            }
            Change::ClockRead(read) => self.mark(*read),
            Change::Spent(spent) => {
                self.next_session = self.next_session.max(spent.bundle.0 + 1);
                self.remember(spent);
            }
            Change::Counters(c) => {
                self.next_session = self.next_session.max(c.next_session);
                self.next_pool = self.next_pool.max(c.next_pool);
                self.holds.next = self.holds.next.max(c.next_hold);
                self.bookings.next = self.bookings.next.max(c.next_booking);
            }
            Change::Held(held) => self.hold(held),
            Change::Unheld(u) => {
                if let Some(id) = self.holds.less(u.hold, u.seats) {
                    if let Some(pool) = self.pools.get_mut(&id) {
                        pool.held -= u64::from(u.seats);
                    }
                    self.forget_empty_pool(id);
                }
            }
            Change::Moved(moved) => self.move_sessions(moved),
            Change::Booked(booked) => self.bookings.add(booked),
            Change::BookingEnded(ended) => self.bookings.remove(ended.booking),
            Change::Waiting(waiting) => {
                self.next_session = self.next_session.max(waiting.waiter.0 + 1);
                let has_seats = self.bundle_of_key(&waiting.key).is_some();
                self.waiters.add(waiting, has_seats);
            }
            Change::WaitEnded(ended) => self.end_wait(ended, tick),
            Change::Barred(barred) => self.bars.add(barred),
            Change::ClockReset(reset) => {
                self.day = Some(reset.to);
                self.clock_reset = Some(reset.clone());
            }
            Change::Borrowed(borrowed) => self.lend(borrowed),
            Change::WrittenOff(note) => {
                let bundle = self.locate(note.borrow).map(|(bundle, _)| bundle);
                self.borrows.write_off(bundle.expect("a seat that is written off is there"), note);
            }
            Change::BorrowingClosed(closed) => {
                self.borrowing_closed = self.borrowing_closed.max(Some(closed.from));
            }
            Change::FirstCheckout(first) => self.notes.first_checkout(first),
            Change::Reminded(reminded) => self.notes.remind(reminded),
            Change::VersionSeen(seen) => {
                if let Some(pool) = self.pools.get_mut(&seen.pool) {
                    pool.highest =
                        seen.highest.map(|(version, released)| (ReleaseVersion(version), released));
                }
            }
        }
        self.forget_old_keys(tick);
        self.bars.forget(tick);
    }

    fn set_pool(&mut self, set: &PoolSet) {
        self.next_pool = self.next_pool.max(set.pool.0 + 1);
        let pool = self.pools.entry(set.pool).or_insert_with(|| Pool {
            vendor: set.vendor.clone(),
            feature: set.feature.clone(),
            kind: set.kind.clone(),
            total: Total::ZERO,
            sources: Vec::new(),
            tally: Tally::default(),
            held: 0,
            borrowed: 0,
            highest: None,
        });
        let base = |sources: &[Source]| sources.first().map(|s| s.sn.clone());
        if base(&pool.sources) != base(&set.sources) {
            pool.highest = None;
        }
        pool.total = set.total;
        pool.sources.clone_from(&set.sources);
        let of_feature = self.pools_of.entry((set.feature.clone(), set.vendor.clone())).or_default();
        if let Err(at) = of_feature.binary_search_by(|(kind, _)| kind.cmp(&set.kind)) {
            // Nearly every feature has one pool.
            of_feature.reserve_exact(1);
            of_feature.insert(at, (set.kind.clone(), set.pool));
        }
        self.forget_empty_pool(set.pool);
    }

    fn hold(&mut self, held: &Held) {
        let pool = self.pools.get_mut(&held.pool).expect("held seats are of a pool that is there");
        pool.held += u64::from(held.seats);
        self.holds.add(held);
    }

    /// L39: sessions count against another pool of their feature.
    fn move_sessions(&mut self, moved: &Moved) {
        for to in &moved.sessions {
            let (bundle_id, nth) = self.locate(to.session).expect("a session that moves is there");
            let to_pool = self.pools.get_mut(&moved.to).expect("sessions move to a pool that is there");
            let share = to.share.as_ref().map(|key| to_pool.tally.key_of(key));
            let bundle = self.bundles.get_mut(&bundle_id).expect("its bundle is there");
            let session =
                bundle.sessions_mut().iter_mut().find(|s| s.nth == nth).expect("it is in its bundle");
            to_pool.tally.add(share.as_ref(), session.count);
            let from = core::mem::replace(&mut session.pool, moved.to);
            let old_share = session.share().cloned();
            session.set_share(share);
            let count = session.count;
            let from_pool = self.pools.get_mut(&from).expect("a session's pool is there");
            from_pool.tally.remove(old_share.as_ref(), count);
            if self.borrows.get(bundle_id).is_some() {
                from_pool.borrowed -= u64::from(count);
                self.borrows.leave(from, to.session);
                self.borrows.enter(moved.to, to.session);
                let to_pool = self.pools.get_mut(&moved.to).expect("sessions move to a pool that is there");
                to_pool.borrowed += u64::from(count);
            }
            self.by_pool.remove(&(from, to.session));
            self.by_pool.insert((moved.to, to.session));
            self.forget_empty_pool(from);
        }
    }

    fn grant(&mut self, granted: &Granted) {
        let bundle = granted.bundle;
        let highest = seen(&granted.facts);
        let session = |state: &mut State, s: &GrantedSession| {
            let pool = state.pools.get_mut(&s.pool).expect("a grant names a pool that is there");
            let share = s.share.as_ref().map(|key| pool.tally.key_of(key));
            pool.tally.add(share.as_ref(), s.count);
            pool.highest = pool.highest.max(highest);
            state.by_pool.insert((s.pool, s.session));
            let nth = u16::try_from(s.session.0 - bundle.0).expect("a bundle has at most 65,535 sessions");
            let more = More { share, token: s.token, booking: s.booking };
            Session {
                nth,
                pool: s.pool,
                count: s.count,
                license: state.licenses.share(&Arc::new(s.license)),
                above_soft_limit: s.above_soft_limit,
                more: (more != More::default()).then(|| Box::new(more)),
            }
        };
        let sessions = match &granted.sessions[..] {
            [one] => Sessions::One(session(self, one)),
            many => Sessions::Many(many.iter().map(|s| session(self, s)).collect()),
        };
        let last = granted.sessions.iter().map(|s| s.session.0).max().unwrap_or(bundle.0);
        self.next_session = self.next_session.max(last + 1);
        self.by_key.insert((half(&granted.key), bundle));
        self.waiters.has_seats(&granted.key, true);
        let facts = self.facts.share(&granted.facts);
        let (key, secret, pid, since) = (granted.key, granted.secret, granted.pid, granted.since);
        self.bundles.insert(bundle, Box::new(Bundle { key, secret, facts, pid, since, sessions }));
    }

    /// S40: the seats of a bundle count as lent from now on.
    fn lend(&mut self, borrowed: &Borrowed) {
        let bundle = self.bundles.get(&borrowed.bundle).expect("a bundle that is lent is there");
        for session in bundle.sessions() {
            let pool = self.pools.get_mut(&session.pool).expect("a session's pool is there");
            pool.borrowed += u64::from(session.count);
            let number = SessionId(borrowed.bundle.0 + u64::from(session.nth));
            self.borrows.enter(session.pool, number);
        }
        self.borrows.add(borrowed);
    }

    /// Takes `count` seats back, or all of them, and of a token the same part of all that was taken for it (L51);
    /// the last session takes its bundle with it.
    fn take_back(&mut self, id: SessionId, count: Option<u32>, cause: &Cause, at: Tick) {
        let (bundle_id, nth) = self.locate(id).expect("seats are taken back from a session that is there");
        let is_lent = self.borrows.get(bundle_id).is_some();
        let bundle = self.bundles.get_mut(&bundle_id).expect("its bundle is there");
        let whole = bundle.sessions().iter().find(|s| s.nth == nth).map_or(0, |s| s.count);
        let left = whole.checked_sub(count.unwrap_or(whole)).expect("no more is given back than was taken");
        for session in bundle.sessions_mut().iter_mut().filter(|s| s.nth == nth || s.token() == Some(nth)) {
            let before = session.count;
            // What is taken for a token is a whole number of seats for each.
            session.count = before / whole.max(1) * left;
            let number = SessionId(bundle_id.0 + u64::from(session.nth));
            let pool = self.pools.get_mut(&session.pool).expect("a session's pool is there");
            let share = session.more.as_ref().and_then(|more| more.share.as_ref());
            if session.count > 0 {
                pool.tally.add(share, session.count);
            }
            pool.tally.remove(share, before);
            if is_lent {
                pool.borrowed -= u64::from(before - session.count);
            }
            if session.count == 0 {
                self.borrows.leave(session.pool, number);
                self.by_pool.remove(&(session.pool, number));
                self.licenses.release(&session.license);
            }
        }
        let emptied: Vec<PoolId> =
            bundle.sessions().iter().filter(|s| s.count == 0).map(|s| s.pool).collect();
        let is_over = bundle.sessions().iter().all(|s| s.count == 0);
        if let Sessions::Many(sessions) = &mut bundle.sessions
            && !is_over
        {
            sessions.retain(|s| s.count > 0);
        }
        if is_over {
            self.end_bundle(bundle_id, cause, at);
        }
        emptied.into_iter().for_each(|pool| self.forget_empty_pool(pool));
    }

    fn end_bundle(&mut self, id: BundleId, cause: &Cause, at: Tick) {
        if let Some(bundle) = self.bundles.remove(&id) {
            self.by_key.remove(&(half(&bundle.key), id));
            self.facts.release(&bundle.facts);
            self.borrows.remove(id);
            if let Some(waiter) = self.waiters.of_key(&bundle.key).map(|waiting| waiting.waiter) {
                // Whoever never said that it has what it was given goes on waiting, under the same key, whoever took it
                // from him (S31); whoever gave it back had it.
                if !matches!(cause, Cause::CheckedIn | Cause::Released(_)) {
                    self.waiters.has_seats(&bundle.key, false);
                    return;
                }
                self.waiters.remove(waiter);
            }
            self.remember(&Spent { bundle: id, key: bundle.key, cause: cause.clone(), at });
        }
    }

    /// Its key is used up, unless it has its seats: a late copy of the request must find no new place (S2). Who was only gone
    /// for too long may come back, at the end of the queue.
    fn end_wait(&mut self, ended: &WaitEnded, at: Tick) {
        let key = self.waiters.get(ended.waiter).map(|waiting| waiting.key);
        self.waiters.remove(ended.waiter);
        let cause = match ended.cause {
            WaitCause::Served | WaitCause::Reaped => return,
            WaitCause::GivenUp => Cause::GivenUp,
            WaitCause::TimedOut => Cause::TimedOut,
            WaitCause::Released => {
                Cause::Released(Box::new(Release { by: "an administrator".into(), reason: String::new() }))
            }
        };
        if let Some(key) = key.filter(|key| self.bundle_of_key(key).is_none()) {
            self.remember(&Spent { bundle: ended.waiter, key, cause, at });
        }
    }

    fn remember(&mut self, spent: &Spent) {
        self.gone.insert(spent.bundle, Gone { key: spent.key, cause: spent.cause.clone(), at: spent.at });
        self.gone_by_key.insert((half(&spent.key), spent.bundle));
        self.gone_order.push_back(spent.bundle);
    }

    fn forget_old_keys(&mut self, tick: Tick) {
        while let Some(id) = self.gone_order.front().copied() {
            let is_old = self.gone.get(&id).is_none_or(|g| g.at.saturating_add(KEY_KEPT_MS) <= tick);
            if !is_old && self.gone_order.len() <= KEYS_KEPT_MAX {
                break;
            }
            self.gone_order.pop_front();
            if let Some(gone) = self.gone.remove(&id) {
                self.gone_by_key.remove(&(half(&gone.key), id));
            }
        }
    }

    /// A pool that grants nothing and serves nobody leaves no trace.
    fn forget_empty_pool(&mut self, id: PoolId) {
        let is_empty = |p: &&Pool| p.tally.is_empty() && p.held == 0 && p.sources.is_empty();
        if let Some(pool) = self.pools.get(&id).filter(is_empty) {
            let key = (pool.feature.clone(), pool.vendor.clone());
            if let Some(of_feature) = self.pools_of.get_mut(&key) {
                of_feature.retain(|(_, pool)| *pool != id);
                if of_feature.is_empty() {
                    self.pools_of.remove(&key);
                }
            }
            self.pools.remove(&id);
        }
    }

    /// Keeps a reading of the wall clock, and those before it that a running session was granted under.
    fn mark(&mut self, read: ClockRead) {
        self.marks.insert(read.tick, read.unix_ms);
        if let Some(needed) = self.oldest_mark_needed() {
            self.marks = self.marks.split_off(&needed);
        }
    }

    /// The mark the oldest bundle is shown by; what is older serves nobody.
    fn oldest_mark_needed(&self) -> Option<Tick> {
        let oldest = self.bundles.values().next().map_or(Tick::MAX, |b| b.since);
        self.marks.range(..=oldest).next_back().map(|(tick, _)| *tick)
    }

    /// The bundle a session is in, and its place there.
    fn locate(&self, id: SessionId) -> Option<(BundleId, u16)> {
        let (bundle_id, bundle) = self.bundles.range(..=id).next_back()?;
        let nth = u16::try_from(id.0 - bundle_id.0).ok()?;
        bundle.sessions().iter().any(|s| s.nth == nth).then_some((*bundle_id, nth))
    }
}
