//! Which waiters are there, which have been given something and must say so, and what may be served (S30 to S32). Never
//! journaled: after a start every waiter counts as gone since then, with a full lease before that means anything.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Ledger;
use super::presence::ConnectionId;
use crate::change::{BundleId, Change, PoolId, SessionId, Tick, WaitCause, WaitEnded, Waiting};
use crate::license::{KeyType, Name};

/// How long a waiter has to confirm what it was given (S31), milliseconds.
pub const CONFIRM_MS: u64 = 10_000;

/// How many may wait (S33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// For one feature, in all its pools.
    pub per_feature: u32,
    /// Of one installation, in all queues.
    pub per_client: u32,
}

impl Default for QueueLimits {
    /// Ten thousand, and sixty-four.
    fn default() -> QueueLimits {
        QueueLimits { per_feature: 10_000, per_client: 64 }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    pub(super) limits: QueueLimits,
    /// The connections of those that are there.
    on: BTreeMap<SessionId, ConnectionId>,
    on_connection: BTreeMap<ConnectionId, BTreeSet<SessionId>>,
    /// Those that are gone, by the tick at which their place is lost.
    gone: BTreeMap<SessionId, Tick>,
    reaping: BTreeSet<(Tick, SessionId)>,
    /// What was given and is not confirmed: until when, to whom.
    offers: BTreeMap<BundleId, (Tick, SessionId)>,
    offers_by_end: BTreeSet<(Tick, BundleId)>,
    /// Features, in lower case, for which somebody may be served now, and from which waiter on they are looked at.
    pub(super) hungry: BTreeMap<Box<str>, SessionId>,
    /// Waiters to look at again at a tick, together with those who idle (S50).
    again: BTreeSet<(Tick, SessionId)>,
}

impl Queue {
    /// The connection of a waiter that is there.
    pub fn connection_of(&self, id: SessionId) -> Option<ConnectionId> {
        self.on.get(&id).copied()
    }

    /// Who was given a bundle that it has not confirmed.
    pub fn offered(&self, bundle: BundleId) -> Option<SessionId> {
        self.offers.get(&bundle).map(|(_, waiter)| *waiter)
    }

    fn attach(&mut self, id: SessionId, to: ConnectionId) {
        self.detach(id);
        self.on.insert(id, to);
        self.on_connection.entry(to).or_default().insert(id);
    }

    fn detach(&mut self, id: SessionId) {
        if let Some(connection) = self.on.remove(&id)
            && let Some(there) = self.on_connection.get_mut(&connection)
        {
            there.remove(&id);
            if there.is_empty() {
                self.on_connection.remove(&connection);
            }
        }
        if let Some(reaped_at) = self.gone.remove(&id) {
            self.reaping.remove(&(reaped_at, id));
        }
    }

    fn is_gone(&mut self, id: SessionId, reaped_at: Tick) {
        self.detach(id);
        self.gone.insert(id, reaped_at);
        self.reaping.insert((reaped_at, id));
    }

    fn end_offer(&mut self, bundle: BundleId) -> Option<SessionId> {
        let (until, waiter) = self.offers.remove(&bundle)?;
        self.offers_by_end.remove(&(until, bundle));
        Some(waiter)
    }
}

impl Ledger {
    /// Whom the queue is made of.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// How many may wait from now on; those who do, stay.
    pub fn limit_queue(&mut self, limits: QueueLimits) {
        self.queue.limits = limits;
    }

    /// After a start: nobody is there yet.
    pub(super) fn expect_waiters(&mut self, started: Tick) {
        let patience = self.presence.patience();
        let reaped_at = started.saturating_add(patience.lease_ms).saturating_add(patience.reap_after_ms);
        let waiters: Vec<SessionId> = self.state.waiters().map(|waiting| waiting.waiter).collect();
        for id in waiters {
            self.queue.is_gone(id, reaped_at);
        }
    }

    /// A waiter is on a connection from now on, which was just heard.
    pub fn attach_waiter(&mut self, id: SessionId, to: ConnectionId, tick: Tick) {
        self.hear(to, tick);
        self.presence.listen_to(to, tick);
        self.queue.attach(id, to);
        self.feed_waiter(id);
    }

    /// Whether a waiter is on a connection that is heard.
    pub fn is_there(&self, waiting: &Waiting) -> bool {
        let on = self.queue.on.get(&waiting.waiter);
        on.is_some_and(|connection| !self.presence.is_silent(*connection))
    }

    /// Whether a waiter is there, and has not been given its seats: only then it is served, and holds others back (S30).
    pub(super) fn is_waiting(&self, waiting: &Waiting) -> bool {
        self.is_there(waiting) && self.state.bundle_of_key(&waiting.key).is_none()
    }

    /// The features of a waiter may serve somebody.
    fn feed_waiter(&mut self, id: SessionId) {
        let items = self.state.waiter(id).map(|waiting| waiting.items.clone());
        items.into_iter().flatten().for_each(|item| self.feed(&item.feature));
    }

    /// What waits on a connection that is heard again may be served again.
    pub(super) fn feed_connection(&mut self, id: ConnectionId) {
        let waiters: Vec<SessionId> =
            self.queue.on_connection.get(&id).into_iter().flatten().copied().collect();
        waiters.into_iter().for_each(|waiter| self.feed_waiter(waiter));
    }

    /// A connection is gone; those who wait on it keep their place for `reap_after` (S31).
    pub(super) fn lose_waiters(&mut self, connection: ConnectionId, now: Tick) {
        let reaped_at = now.saturating_add(self.presence.patience().reap_after_ms);
        let waiters = self.queue.on_connection.remove(&connection).unwrap_or_default();
        for id in waiters {
            self.queue.is_gone(id, reaped_at);
            // Nobody is held back by it any more.
            self.feed_waiter(id);
        }
    }

    /// What was granted to a waiter is to be confirmed within [`CONFIRM_MS`].
    pub fn offer(&mut self, waiter: SessionId, bundle: BundleId, tick: Tick) {
        let until = tick.saturating_add(CONFIRM_MS);
        self.queue.offers.insert(bundle, (until, waiter));
        self.queue.offers_by_end.insert((until, bundle));
    }

    /// A client that was given seats for which it waited says so: the change, where it was not said before.
    pub fn confirm(&self, bundle: BundleId) -> Option<Change> {
        let key = self.state.bundle(bundle)?.key;
        let waiter = self.state.waiter_of_key(&key)?.waiter;
        Some(Change::WaitEnded(WaitEnded { waiter, cause: WaitCause::Served }))
    }

    /// Offers that were not confirmed in time: bundles whose sessions are to end, [`Cause::Unconfirmed`]. Their waiters
    /// count as gone from now on.
    pub fn unconfirmed(&mut self, tick: Tick) -> Vec<BundleId> {
        let due = self.queue.offers_by_end.iter().take_while(|(until, _)| *until <= tick);
        let due: Vec<BundleId> = due.map(|(_, bundle)| *bundle).collect();
        let reaped_at = tick.saturating_add(self.presence.patience().reap_after_ms);
        for bundle in &due {
            if let Some(waiter) = self.queue.end_offer(*bundle)
                && self.state.waiter(waiter).is_some()
            {
                self.queue.is_gone(waiter, reaped_at);
            }
        }
        due.into_iter().filter(|bundle| self.confirm(*bundle).is_some()).collect()
    }

    /// Waiters whose time is over, or that are gone for too long.
    pub fn waits_over(&self, tick: Tick, limit: usize) -> Vec<WaitEnded> {
        let timed_out = self.state.waiters_by_end().take_while(|(until, _)| *until <= tick);
        let timed_out = timed_out.map(|(_, waiter)| WaitEnded { waiter, cause: WaitCause::TimedOut });
        let reaped = self.queue.reaping.iter().take_while(|(at, _)| *at <= tick);
        let reaped = reaped.map(|(_, waiter)| WaitEnded { waiter: *waiter, cause: WaitCause::Reaped });
        let mut over: Vec<WaitEnded> = timed_out.chain(reaped).take(limit).collect();
        over.sort_unstable_by_key(|ended| ended.waiter);
        over.dedup_by_key(|ended| ended.waiter);
        // What it was given a moment ago is its own; whether it wants it, it says within seconds.
        over.retain(|ended| {
            self.state.waiter(ended.waiter).is_some_and(|w| self.state.bundle_of_key(&w.key).is_none())
        });
        over
    }

    /// A waiter is to be looked at again at a tick, together with those who idle by then.
    pub fn look_again(&mut self, waiter: SessionId, at: Tick) {
        self.queue.again.insert((at, waiter));
    }

    /// The waiters that are to be looked at again by now, each once; who is not there is not among them.
    pub fn again(&mut self, tick: Tick) -> Vec<SessionId> {
        let later = self.queue.again.split_off(&(tick.saturating_add(1), SessionId(0)));
        let due = core::mem::replace(&mut self.queue.again, later);
        let mut due: Vec<SessionId> = due.into_iter().map(|(_, waiter)| waiter).collect();
        due.sort_unstable();
        due.dedup();
        due.retain(|id| self.state.waiter(*id).is_some_and(|waiting| self.is_waiting(waiting)));
        due
    }

    /// What feeds queues without a change: suspects whose seats may be had from now on (S22).
    pub(super) fn feed_due(&mut self, tick: Tick) {
        let freed = self.presence.freed(tick);
        if self.state.waiters().next().is_none() {
            return;
        }
        let mut fed: BTreeSet<Name> = BTreeSet::new();
        for bundle in freed.into_iter().filter_map(|id| self.state.bundle(id)) {
            let pools = bundle.sessions().iter().filter_map(|session| self.state.pool(session.pool));
            fed.extend(pools.map(|pool| pool.feature.clone()));
        }
        fed.into_iter().for_each(|feature| self.feed(feature.as_str()));
    }

    /// The features of which a change may free seats, or whose queue it shortens; asked before it is applied.
    pub(super) fn fed_by(&self, change: &Change) -> Vec<Box<str>> {
        if self.state.waiters().next().is_none() {
            return Vec::new();
        }
        let of_pool = |pool: PoolId| self.state.pool(pool).map(|pool| pool.feature.as_str().into());
        let of_sessions = |session: SessionId| -> Vec<Box<str>> {
            let Some(((_, bundle), session)) = self.state.session(session) else { return Vec::new() };
            bundle.with_dependents(session.nth).filter_map(|part| of_pool(part.pool)).collect()
        };
        match change {
            Change::CheckedIn(c) => of_sessions(c.session),
            Change::Ended(e) => of_sessions(e.session),
            Change::PoolSet(set) => Vec::from([set.feature.as_str().into()]),
            Change::Unheld(u) => {
                self.state.held(u.hold).and_then(|held| of_pool(held.pool)).into_iter().collect()
            }
            Change::Moved(moved) => of_pool(moved.to).into_iter().collect(),
            Change::BookingEnded(ended) => {
                let booked = self.state.booking(ended.booking);
                booked.map(|booked| booked.feature.as_str().into()).into_iter().collect()
            }
            Change::WaitEnded(ended) => {
                let items = self.state.waiter(ended.waiter).map(|waiting| &waiting.items);
                items.into_iter().flatten().map(|item| item.feature.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Brings the queue after a change that is applied.
    pub(super) fn follow_queue(&mut self, change: &Change, fed: Vec<Box<str>>, bundle: Option<BundleId>) {
        if let Change::WaitEnded(ended) = change {
            self.queue.detach(ended.waiter);
            let offer = self.queue.offers.iter().find(|(_, (_, waiter))| *waiter == ended.waiter);
            if let Some(bundle) = offer.map(|(bundle, _)| *bundle) {
                self.queue.end_offer(bundle);
            }
        }
        if let Some(bundle) = bundle.filter(|bundle| self.state.bundle(*bundle).is_none())
            && let Some(waiter) = self.queue.end_offer(bundle)
            && self.state.waiter(waiter).is_none()
        {
            self.queue.detach(waiter);
        }
        fed.iter().for_each(|feature| self.feed(feature));
    }

    /// Somebody may be served from the beginning of a feature's queue on, or of that of a token that takes from it (L51).
    fn feed(&mut self, feature: &str) {
        self.queue.hungry.insert(feature.to_ascii_lowercase().into(), SessionId(0));
        let catalog = self.terms.catalog();
        let is_token = |feature: &&str| {
            let (_, found) = catalog.find(feature);
            found.iter().any(|f| f.licenses.iter().any(|license| license.key_type == KeyType::Token))
        };
        let tokens: Vec<Box<str>> =
            self.state.features_waited_for().filter(is_token).map(Box::from).collect();
        self.queue.hungry.extend(tokens.into_iter().map(|feature| (feature, SessionId(0))));
    }

    /// Every queue may serve somebody: after a new policy, or when the wall clock is believed again.
    pub fn feed_all(&mut self) {
        let features: Vec<Box<str>> = self.state.features_waited_for().map(Box::from).collect();
        self.queue.hungry.extend(features.into_iter().map(|feature| (feature, SessionId(0))));
    }

    /// The next tick at which a queue has something to do by itself.
    pub(super) fn next_in_queue(&self) -> Option<Tick> {
        self.state.waiters().next()?;
        // Who has seats and has not confirmed them is not ended by his time: else the engine would turn in a circle until he
        // does.
        let may_end = |waiter: SessionId| {
            let waiting = self.state.waiter(waiter);
            waiting.is_some_and(|waiting| self.state.bundle_of_key(&waiting.key).is_none())
        };
        let over = self.state.waiters_by_end().find(|(_, waiter)| may_end(*waiter)).map(|(at, _)| at);
        let reaped = self.queue.reaping.iter().find(|(_, waiter)| may_end(*waiter)).map(|(at, _)| *at);
        let unconfirmed = self.queue.offers_by_end.first().map(|(at, _)| *at);
        let again = self.queue.again.first().map(|(at, _)| *at);
        [over, reaped, unconfirmed, again, self.presence.next_freed()].into_iter().flatten().min()
    }
}
