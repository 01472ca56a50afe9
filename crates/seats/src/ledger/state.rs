//! The durable state: what replaying the journal gives, bit for bit (S61).
//!
//! [`State::apply`] is the only way to change it, and it takes nothing but a [`Change`] and the tick of the
//! batch it stands in. Who is connected is not here but in [`presence`](super::presence).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use chrono::NaiveDate;

use crate::change::{
    BundleId, Cause, Change, ClockRead, Counters, DayServed, Granted, GrantedSession, PoolId, PoolSet,
    SessionId, Source, Spent, Tick,
};
use crate::evaluate::Total;
use crate::intern::Interned;
use crate::license::{Fingerprint, Name};
use crate::request::Facts;

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
    /// What the licenses grant.
    pub total: Total,
    /// Which ones; the exclusive first.
    pub sources: Vec<Source>,
    /// Seats of its sessions.
    pub used: u64,
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
    pool_of: BTreeMap<(Name, Name), PoolId>,
    facts: Interned<Facts>,
    licenses: Interned<Fingerprint>,
    gone: BTreeMap<BundleId, Gone>,
    gone_by_key: BTreeSet<(u64, BundleId)>,
    gone_order: VecDeque<BundleId>,
    marks: BTreeMap<Tick, i64>,
    next_session: u64,
    next_pool: u32,
    day: Option<NaiveDate>,
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
            Change::DayServed(DayServed { day }) => self.day = self.day.max(Some(*day)),
            Change::ClockRead(read) => self.mark(*read),
            Change::Spent(spent) => self.remember(spent),
            Change::Counters(c) => {
                self.next_session = self.next_session.max(c.next_session);
                self.next_pool = self.next_pool.max(c.next_pool);
            }
        }
        self.forget_old_keys(tick);
    }

    /// Whether a change read from disk fits. Used in replay, where a contradiction is damage and not a bug.
    pub fn check(&self, change: &Change) -> Result<(), Inconsistent> {
        let fail = |text: String| Err(Inconsistent(text));
        match change {
            Change::Granted(g) => match g.sessions.first() {
                None => fail("a grant without a session".into()),
                Some(_) if self.bundles.range(g.bundle..).next().is_some() => {
                    fail(format!("bundle {} granted out of order", g.bundle))
                }
                Some(_) => {
                    let missing =
                        g.sessions.iter().find(|s| !self.pools.contains_key(&s.pool) || s.count == 0);
                    let strays = g
                        .sessions
                        .iter()
                        .find(|s| s.session.0.wrapping_sub(g.bundle.0) > u64::from(u16::MAX));
                    match missing.or(strays) {
                        Some(s) => fail(format!("session {} of pool {} does not fit", s.session, s.pool.0)),
                        None => Ok(()),
                    }
                }
            },
            Change::CheckedIn(c) => match self.session(c.session) {
                Some((_, s)) if c.count >= 1 && c.count <= s.count => Ok(()),
                _ => fail(format!("session {} gives back {} seats it does not have", c.session, c.count)),
            },
            Change::Ended(e) if self.session(e.session).is_none() => {
                fail(format!("session {} ends and is not there", e.session))
            }
            Change::PoolSet(set) => match self.pool_of.get(&(set.feature.clone(), set.vendor.clone())) {
                Some(known) if *known != set.pool => fail(format!("two pools of {}", set.feature)),
                None if self.pools.contains_key(&set.pool) => {
                    fail(format!("pool {} has two features", set.pool.0))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn set_pool(&mut self, set: &PoolSet) {
        self.next_pool = self.next_pool.max(set.pool.0 + 1);
        let pool = self.pools.entry(set.pool).or_insert_with(|| Pool {
            vendor: set.vendor.clone(),
            feature: set.feature.clone(),
            total: Total::ZERO,
            sources: Vec::new(),
            used: 0,
        });
        pool.total = set.total;
        pool.sources.clone_from(&set.sources);
        self.pool_of.entry((set.feature.clone(), set.vendor.clone())).or_insert(set.pool);
        self.forget_empty_pool(set.pool);
    }

    fn grant(&mut self, granted: &Granted) {
        let bundle = granted.bundle;
        let session = |state: &mut State, s: &GrantedSession| {
            let pool = state.pools.get_mut(&s.pool).expect("a grant names a pool that is there");
            pool.used += u64::from(s.count);
            state.by_pool.insert((s.pool, s.session));
            let nth = u16::try_from(s.session.0 - bundle.0).expect("a bundle has at most 65,535 sessions");
            Session { nth, pool: s.pool, count: s.count, license: state.licenses.share(&Arc::new(s.license)) }
        };
        let sessions = match &granted.sessions[..] {
            [one] => Sessions::One(session(self, one)),
            many => Sessions::Many(many.iter().map(|s| session(self, s)).collect()),
        };
        let last = granted.sessions.iter().map(|s| s.session.0).max().unwrap_or(bundle.0);
        self.next_session = self.next_session.max(last + 1);
        self.by_key.insert((half(&granted.key), bundle));
        let facts = self.facts.share(&granted.facts);
        let (key, secret, pid, since) = (granted.key, granted.secret, granted.pid, granted.since);
        self.bundles.insert(bundle, Box::new(Bundle { key, secret, facts, pid, since, sessions }));
    }

    /// Takes `count` seats back, or all of them; the last session takes its bundle with it.
    fn take_back(&mut self, id: SessionId, count: Option<u32>, cause: &Cause, at: Tick) {
        let (bundle_id, nth) = self.locate(id).expect("seats are taken back from a session that is there");
        let bundle = self.bundles.get_mut(&bundle_id).expect("its bundle is there");
        let session =
            bundle.sessions_mut().iter_mut().find(|s| s.nth == nth).expect("the session is in its bundle");
        let (pool_id, given) = (session.pool, count.unwrap_or(session.count));
        session.count = session.count.checked_sub(given).expect("no more is given back than was taken");
        let is_empty = session.count == 0;
        let license = session.license.clone();
        let pool = self.pools.get_mut(&pool_id).expect("a session's pool is there");
        pool.used -= u64::from(given);
        if is_empty {
            self.by_pool.remove(&(pool_id, id));
            self.licenses.release(&license);
            match &mut bundle.sessions {
                Sessions::Many(sessions) if sessions.len() > 1 => sessions.retain(|s| s.nth != nth),
                _ => self.end_bundle(bundle_id, cause, at),
            }
            self.forget_empty_pool(pool_id);
        }
    }

    fn end_bundle(&mut self, id: BundleId, cause: &Cause, at: Tick) {
        if let Some(bundle) = self.bundles.remove(&id) {
            self.by_key.remove(&(half(&bundle.key), id));
            self.facts.release(&bundle.facts);
            self.remember(&Spent { bundle: id, key: bundle.key, cause: cause.clone(), at });
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
        if let Some(pool) = self.pools.get(&id).filter(|p| p.used == 0 && p.sources.is_empty()) {
            self.pool_of.remove(&(pool.feature.clone(), pool.vendor.clone()));
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

    /// A session and its bundle.
    pub fn session(&self, id: SessionId) -> Option<((BundleId, &Bundle), &Session)> {
        let (bundle_id, nth) = self.locate(id)?;
        let bundle = &**self.bundles.get(&bundle_id)?;
        let session = bundle.sessions().iter().find(|s| s.nth == nth)?;
        Some(((bundle_id, bundle), session))
    }

    /// A bundle by its number.
    pub fn bundle(&self, id: BundleId) -> Option<&Bundle> {
        self.bundles.get(&id).map(|b| &**b)
    }

    /// Bundles in the order of their grants, from `from` (inclusive) to `to` (exclusive).
    pub fn bundles_between(&self, from: BundleId, to: BundleId) -> impl Iterator<Item = (BundleId, &Bundle)> {
        self.bundles.range(from..to.max(from)).map(|(id, b)| (*id, &**b))
    }

    /// The first bundle that may have sessions numbered `from` or above.
    pub fn bundle_reaching(&self, from: SessionId) -> BundleId {
        self.bundles.range(..=from).next_back().map_or(from, |(id, _)| *id)
    }

    /// The live bundle of a request key.
    pub fn bundle_of_key(&self, key: &[u8; 16]) -> Option<BundleId> {
        let range = (half(key), SessionId(0))..=(half(key), SessionId(u64::MAX));
        self.by_key
            .range(range)
            .map(|(_, id)| *id)
            .find(|id| self.bundles.get(id).is_some_and(|b| b.key == *key))
    }

    /// How the bundle of a request key ended, within the hour.
    pub fn gone_of_key(&self, key: &[u8; 16]) -> Option<(BundleId, &Gone)> {
        let range = (half(key), SessionId(0))..=(half(key), SessionId(u64::MAX));
        self.gone_by_key
            .range(range)
            .filter_map(|(_, id)| Some((*id, self.gone.get(id)?)))
            .find(|(_, g)| g.key == *key)
    }

    /// How a bundle ended, within the hour.
    pub fn gone(&self, id: BundleId) -> Option<&Gone> {
        self.gone.get(&id)
    }

    /// Whether a session of that number was ever granted.
    pub fn was_granted(&self, id: SessionId) -> bool {
        (1..self.next_session).contains(&id.0)
    }

    /// A pool by its number.
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(&id)
    }

    /// The pool of a vendor's feature.
    pub fn pool_of(&self, vendor: &Name, feature: &Name) -> Option<PoolId> {
        self.pool_of.get(&(feature.clone(), vendor.clone())).copied()
    }

    /// Every pool, from one number on (exclusive), in order.
    pub fn pools_after(&self, after: Option<PoolId>) -> impl Iterator<Item = (PoolId, &Pool)> {
        let from = after.map_or(core::ops::Bound::Unbounded, core::ops::Bound::Excluded);
        self.pools.range((from, core::ops::Bound::Unbounded)).map(|(id, p)| (*id, p))
    }

    /// The sessions of a pool, oldest first.
    pub fn sessions_of(&self, pool: PoolId) -> impl Iterator<Item = SessionId> + '_ {
        self.by_pool.range((pool, SessionId(0))..=(pool, SessionId(u64::MAX))).map(|(_, id)| *id)
    }

    /// The sessions of a pool granted after one (exclusive), oldest first.
    pub fn sessions_after(
        &self,
        pool: PoolId,
        after: Option<SessionId>,
    ) -> impl Iterator<Item = SessionId> + '_ {
        let from = after.map_or(0, |s| s.0.saturating_add(1));
        self.by_pool.range((pool, SessionId(from))..=(pool, SessionId(u64::MAX))).map(|(_, id)| *id)
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.by_pool.len()
    }

    /// How many different facts the sessions state.
    pub fn distinct_facts(&self) -> usize {
        self.facts.len()
    }

    /// The highest day served (S71).
    pub fn day(&self) -> Option<NaiveDate> {
        self.day
    }

    /// The number of the next session to be granted.
    pub fn next_session(&self) -> SessionId {
        SessionId(self.next_session.max(1))
    }

    /// The number of the next pool.
    pub fn next_pool(&self) -> PoolId {
        PoolId(self.next_pool)
    }

    /// The instant of a tick in milliseconds since 1970, by the last reading of the clock before it.
    pub fn unix_ms_of(&self, tick: Tick) -> Option<i64> {
        let (at, unix_ms) = self.marks.range(..=tick).next_back().or_else(|| self.marks.iter().next())?;
        i64::try_from(tick).ok()?.checked_sub(i64::try_from(*at).ok()?)?.checked_add(*unix_ms)
    }

    /// The whole state as changes: applied to an empty state they give this one. In an order of its own,
    /// the same for equal states.
    pub fn dump(&self, out: &mut dyn FnMut(Change)) {
        out(Change::Counters(Counters { next_session: self.next_session, next_pool: self.next_pool }));
        if let Some(day) = self.day {
            out(Change::DayServed(DayServed { day }));
        }
        for (id, pool) in &self.pools {
            let (vendor, feature) = (pool.vendor.clone(), pool.feature.clone());
            // A pool without sources would be forgotten before its sessions come: it is set again below.
            let sources = if pool.sources.is_empty() { vec![PLACEHOLDER] } else { pool.sources.clone() };
            out(Change::PoolSet(PoolSet { pool: *id, vendor, feature, total: pool.total, sources }));
        }
        for (id, bundle) in &self.bundles {
            out(Change::Granted(bundle.as_grant(*id)));
        }
        for (id, pool) in self.pools.iter().filter(|(_, p)| p.sources.is_empty()) {
            let (vendor, feature) = (pool.vendor.clone(), pool.feature.clone());
            out(Change::PoolSet(PoolSet {
                pool: *id,
                vendor,
                feature,
                total: pool.total,
                sources: Vec::new(),
            }));
        }
        for id in &self.gone_order {
            if let Some(Gone { key, cause, at }) = self.gone.get(id) {
                out(Change::Spent(Spent { bundle: *id, key: *key, cause: cause.clone(), at: *at }));
            }
        }
        for (tick, unix_ms) in self.marks.range(self.oldest_mark_needed().unwrap_or(0)..) {
            out(Change::ClockRead(ClockRead { tick: *tick, unix_ms: *unix_ms }));
        }
    }
}

/// Stands for the licenses of a pool that has none while its sessions are read back.
const PLACEHOLDER: Source = Source {
    fingerprint: Fingerprint([0; 32]),
    key_type: crate::license::KeyType::Exclusive,
    sn: None,
    count: Total::ZERO,
    end: None,
};

impl Bundle {
    fn as_grant(&self, id: BundleId) -> Granted {
        let session = |s: &Session| GrantedSession {
            session: SessionId(id.0 + u64::from(s.nth)),
            pool: s.pool,
            count: s.count,
            license: *s.license,
        };
        Granted {
            bundle: id,
            key: self.key,
            secret: self.secret,
            facts: self.facts.clone(),
            pid: self.pid,
            since: self.since,
            sessions: self.sessions().iter().map(session).collect(),
        }
    }
}
