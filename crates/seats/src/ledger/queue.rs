//! Which waiters are there, which have been given something and must say so, and what may be served (S30 to S32). Never
//! journaled: after a start every waiter counts as gone since then, with a full lease before that means anything.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Ledger;
use super::presence::ConnectionId;
use crate::change::{BundleId, Change, Granted, PoolId, SessionId, Tick, WaitCause, WaitEnded, Waiting};
use crate::license::{KeyType, Name};
use crate::request::Item;

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
    /// The connections of those that are not gone.
    on: BTreeMap<SessionId, ConnectionId>,
    on_connection: BTreeMap<ConnectionId, BTreeSet<SessionId>>,
    /// Those that are gone, by the tick at which their place is lost.
    gone: BTreeMap<SessionId, Tick>,
    reaping: BTreeSet<(Tick, SessionId)>,
    /// Those that are there and have no seats, by the features they wait for, in lower case: they alone are served, and
    /// hold others back (S30).
    there: BTreeMap<Box<str>, BTreeSet<SessionId>>,
    there_under: BTreeMap<SessionId, Vec<Box<str>>>,
    /// What was given and is not confirmed: until when, to whom.
    offers: BTreeMap<BundleId, (Tick, SessionId)>,
    offer_of: BTreeMap<SessionId, BundleId>,
    offers_by_end: BTreeSet<(Tick, BundleId)>,
    /// Features, in lower case, for which somebody may be served now, and from which waiter on they are looked at.
    hungry: BTreeMap<Box<str>, SessionId>,
    /// The same by that waiter: of all who may be served, whoever came first is looked at first.
    hungry_by_waiter: BTreeSet<(SessionId, Box<str>)>,
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

    /// Those who may be served, of those who wait for a feature, whose name is in lower case; the first came first.
    pub(super) fn there(&self, feature: &str) -> Option<&BTreeSet<SessionId>> {
        self.there.get(feature)
    }

    /// The features for which somebody may be served, in lower case.
    pub(super) fn features(&self) -> impl Iterator<Item = &str> {
        self.there.keys().map(|feature| &**feature)
    }

    /// The next queue to be looked at, and from which waiter on; it is out of the list then.
    pub(super) fn pop_hungry(&mut self) -> Option<(SessionId, Box<str>)> {
        let (from, feature) = self.hungry_by_waiter.pop_first()?;
        self.hungry.remove(&feature);
        Some((from, feature))
    }

    /// A queue is to be looked at from a waiter on; not one in which nobody is: there would be work for ever.
    pub(super) fn set_hungry(&mut self, feature: Box<str>, from: SessionId) {
        if !self.there.contains_key(&feature) {
            return;
        }
        if let Some(before) = self.hungry.insert(feature.clone(), from) {
            self.hungry_by_waiter.remove(&(before, feature.clone()));
        }
        self.hungry_by_waiter.insert((from, feature));
    }

    fn attach(&mut self, id: SessionId, to: ConnectionId) {
        self.detach(id);
        self.on.insert(id, to);
        self.on_connection.entry(to).or_default().insert(id);
    }

    /// It is on no connection any more.
    fn detach(&mut self, id: SessionId) {
        if let Some(connection) = self.on.remove(&id)
            && let Some(there) = self.on_connection.get_mut(&connection)
        {
            there.remove(&id);
            if there.is_empty() {
                self.on_connection.remove(&connection);
            }
        }
    }

    fn is_gone(&mut self, id: SessionId, reaped_at: Tick) {
        if self.gone.contains_key(&id) {
            return;
        }
        self.gone.insert(id, reaped_at);
        self.reaping.insert((reaped_at, id));
    }

    fn is_not_gone(&mut self, id: SessionId) {
        if let Some(reaped_at) = self.gone.remove(&id) {
            self.reaping.remove(&(reaped_at, id));
        }
    }

    fn is_there(&mut self, waiting: &Waiting) {
        if self.there_under.contains_key(&waiting.waiter) {
            return;
        }
        let features: Vec<Box<str>> =
            waiting.items.iter().map(|item| item.feature.to_ascii_lowercase().into()).collect();
        for feature in &features {
            self.there.entry(feature.clone()).or_default().insert(waiting.waiter);
        }
        self.there_under.insert(waiting.waiter, features);
    }

    fn is_not_there(&mut self, id: SessionId) {
        for feature in self.there_under.remove(&id).unwrap_or_default() {
            if let Some(there) = self.there.get_mut(&feature) {
                there.remove(&id);
                if there.is_empty() {
                    self.there.remove(&feature);
                    if let Some(from) = self.hungry.remove(&feature) {
                        self.hungry_by_waiter.remove(&(from, feature));
                    }
                }
            }
        }
    }

    fn end_offer(&mut self, bundle: BundleId) {
        if let Some((until, waiter)) = self.offers.remove(&bundle) {
            self.offers_by_end.remove(&(until, bundle));
            self.offer_of.remove(&waiter);
        }
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
        let heard_until = started.saturating_add(self.presence.patience().lease_ms);
        let waiters: Vec<SessionId> = self.state.waiters().map(|waiting| waiting.waiter).collect();
        for id in waiters {
            self.place(id, heard_until);
        }
    }

    /// A waiter is on a connection from now on, which was just heard.
    pub fn attach_waiter(&mut self, id: SessionId, to: ConnectionId, tick: Tick) {
        self.hear(to, tick);
        self.presence.listen_to(to, tick);
        self.queue.attach(id, to);
        self.place(id, tick);
        self.feed_waiter(id);
    }

    /// Whether a waiter is on a connection that is heard.
    pub fn is_there(&self, waiting: &Waiting) -> bool {
        let on = self.queue.connection_of(waiting.waiter);
        on.is_some_and(|connection| !self.presence.is_silent(connection))
    }

    /// Brings what is known of a waiter, after something about it has changed: whether it is there, and if it is on no
    /// connection or on one that is silent, when it loses its place. Who has seats is neither; it is told to be gone by its
    /// sessions.
    fn place(&mut self, id: SessionId, tick: Tick) {
        let Some(waiting) = self.state.waiter(id) else {
            self.queue.detach(id);
            self.queue.is_not_gone(id);
            return self.queue.is_not_there(id);
        };
        let has_seats = self.state.bundle_of_key(&waiting.key).is_some();
        let on = self.queue.connection_of(id);
        let is_heard = on.is_some_and(|connection| !self.presence.is_silent(connection));
        if !has_seats && is_heard {
            self.queue.is_there(waiting);
        } else {
            self.queue.is_not_there(id);
        }
        if has_seats || is_heard {
            self.queue.is_not_gone(id);
        } else {
            self.queue.is_gone(id, tick.saturating_add(self.presence.patience().reap_after_ms));
        }
    }

    /// A waiter, or those whom it held back, may be served now.
    fn feed_waiter(&mut self, id: SessionId) {
        if let Some(items) = self.state.waiter(id).map(|waiting| waiting.items.clone()) {
            self.feed_from(&items, id);
        }
    }

    /// Whoever waits for some of these, from one waiter on, may be served now: who waits for a token holds back those who
    /// wait for what it takes (L51).
    fn feed_from(&mut self, items: &[Item], from: SessionId) {
        let tokens = self.tokens_waited_for();
        let is_token = |item: &Item| {
            let (_, found) = self.terms.catalog().find(&item.feature);
            found.iter().any(|f| f.licenses.iter().any(|license| license.key_type == KeyType::Token))
        };
        let fed: Vec<Box<str>> = match items.iter().any(is_token) {
            true => self.queue.features().map(Box::from).collect(),
            false => items.iter().map(|i| i.feature.to_ascii_lowercase().into()).chain(tokens).collect(),
        };
        for feature in fed {
            if self.queue.hungry.get(&feature).is_none_or(|already| *already > from) {
                self.queue.set_hungry(feature, from);
            }
        }
    }

    /// A connection fell silent, or is heard again: those who wait on it are held back by nobody, or hold nobody back.
    pub(super) fn place_connection(&mut self, id: ConnectionId, tick: Tick) {
        let waiters: Vec<SessionId> =
            self.queue.on_connection.get(&id).into_iter().flatten().copied().collect();
        for waiter in waiters {
            self.place(waiter, tick);
            self.feed_waiter(waiter);
        }
    }

    /// A connection is gone; those who wait on it keep their place for `reap_after` (S31).
    pub(super) fn lose_waiters(&mut self, connection: ConnectionId, now: Tick) {
        let waiters = self.queue.on_connection.remove(&connection).unwrap_or_default();
        for id in waiters {
            self.queue.on.remove(&id);
            self.place(id, now);
            // Nobody is held back by it any more.
            self.feed_waiter(id);
        }
    }

    /// What was granted to a waiter is to be confirmed within [`CONFIRM_MS`].
    pub fn offer(&mut self, waiter: SessionId, bundle: BundleId, tick: Tick) {
        let until = tick.saturating_add(CONFIRM_MS);
        self.queue.offers.insert(bundle, (until, waiter));
        self.queue.offer_of.insert(waiter, bundle);
        self.queue.offers_by_end.insert((until, bundle));
    }

    /// A client that was given seats for which it waited says so: the change, where it was not said before.
    pub fn confirm(&self, bundle: BundleId) -> Option<Change> {
        let key = self.state.bundle(bundle)?.key;
        let waiter = self.state.waiter_of_key(&key)?.waiter;
        Some(Change::WaitEnded(WaitEnded { waiter, cause: WaitCause::Served }))
    }

    /// Offers that were not confirmed in time: bundles whose sessions are to end, `Cause::Unconfirmed`. Their waiters
    /// count as gone from now on.
    pub fn unconfirmed(&mut self, tick: Tick) -> Vec<BundleId> {
        let due = self.queue.offers_by_end.iter().take_while(|(until, _)| *until <= tick);
        let due: Vec<BundleId> = due.map(|(_, bundle)| *bundle).collect();
        for bundle in &due {
            if let Some(waiter) = self.queue.offered(*bundle) {
                self.queue.detach(waiter);
            }
            self.queue.end_offer(*bundle);
        }
        due.into_iter().filter(|bundle| self.confirm(*bundle).is_some()).collect()
    }

    /// Waiters whose time is over, or that are gone for too long. What one of them was given a moment ago is its own: whether
    /// it wants it, it says within seconds.
    pub fn waits_over(&self, tick: Tick, limit: usize) -> Vec<WaitEnded> {
        let timed_out = self.state.waiters_by_end().take_while(|(until, _)| *until <= tick);
        let timed_out = timed_out.map(|(_, waiter)| WaitEnded { waiter, cause: WaitCause::TimedOut });
        let reaped = self.queue.reaping.iter().take_while(|(at, _)| *at <= tick);
        let reaped = reaped.map(|(_, waiter)| WaitEnded { waiter: *waiter, cause: WaitCause::Reaped });
        let mut over: Vec<WaitEnded> = timed_out.chain(reaped).take(limit).collect();
        over.sort_by_key(|ended| ended.waiter);
        over.dedup_by_key(|ended| ended.waiter);
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
        due.retain(|id| self.queue.there_under.contains_key(id));
        due
    }

    /// What feeds queues without a change: suspects whose seats may be had from now on (S22).
    pub(super) fn feed_due(&mut self, tick: Tick) {
        let freed = self.presence.freed(tick);
        // HOLD and MIN_CHECKOUT keep a suspect's seats for longer, and nothing else happens when they end (L62).
        for id in &freed {
            let Some(bundle) = self.state.bundle(*id) else { continue };
            let heard = self.presence.suspect(*id).map_or(tick, |suspect| suspect.heard);
            let ends = bundle.sessions().iter().flat_map(|session| {
                let license = self.terms.license_of(session.pool, &self.state);
                let hold = license.and_then(|l| l.hold_ms()).map(|ms| heard.saturating_add(ms));
                let least =
                    license.and_then(|l| l.min_checkout_ms()).map(|ms| bundle.since.saturating_add(ms));
                [hold, least]
            });
            if let Some(next) = ends.flatten().filter(|at| *at > tick).min() {
                self.presence.free_again(*id, next);
            }
        }
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
            Change::Granted(granted) => self.fed_by_grant(granted),
            Change::PoolSet(set) => Vec::from([set.feature.as_str().into()]),
            Change::Unheld(u) => {
                self.state.held(u.hold).and_then(|held| of_pool(held.pool)).into_iter().collect()
            }
            Change::Moved(moved) => of_pool(moved.to).into_iter().collect(),
            Change::BookingEnded(ended) => {
                let booked = self.state.booking(ended.booking);
                booked.map(|booked| booked.feature.as_str().into()).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The features of which a grant may serve others: who shares with it adds no seat (L60), a session may count against
    /// several reservations (S51), and one that its client left behind may be free now that it has another (L62).
    fn fed_by_grant(&self, granted: &Granted) -> Vec<Box<str>> {
        let mut fed = Vec::new();
        for session in &granted.sessions {
            let Some(pool) = self.state.pool(session.pool) else { continue };
            let is_kept = !self.usage.policy.of(&pool.vendor, &pool.feature).is_open()
                || self.state.bookings_of(&pool.vendor, &pool.feature).next().is_some();
            let holds = || {
                let license = self.terms.license_of(session.pool, &self.state);
                license.is_some_and(|l| l.hold_ms().is_some() || l.min_checkout_ms().is_some())
            };
            if session.share.is_some() || is_kept || holds() {
                fed.push(pool.feature.as_str().into());
            }
        }
        fed
    }

    /// Brings the queue after a change that is applied.
    pub(super) fn follow_queue(
        &mut self,
        tick: Tick,
        change: &Change,
        (fed, ended): (Vec<Box<str>>, Option<Vec<Item>>),
        bundle: Option<(BundleId, [u8; 16])>,
    ) {
        match change {
            Change::Granted(granted) => {
                if let Some(waiter) = self.state.waiter_of_key(&granted.key).map(|w| w.waiter) {
                    self.place(waiter, tick);
                    // It holds nobody back any more.
                    self.feed_waiter(waiter);
                }
            }
            Change::WaitEnded(ended) => {
                if let Some(bundle) = self.queue.offer_of.get(&ended.waiter).copied() {
                    self.queue.end_offer(bundle);
                }
                self.place(ended.waiter, tick);
            }
            _ => {}
        }
        if let Some((bundle, key)) = bundle.filter(|(bundle, _)| self.state.bundle(*bundle).is_none()) {
            let offered = self.queue.offered(bundle);
            self.queue.end_offer(bundle);
            let waiting = self.state.waiter_of_key(&key).map(|waiting| waiting.waiter);
            if let Some(waiter) = offered.or(waiting) {
                self.place(waiter, tick);
                self.feed_waiter(waiter);
            }
        }
        fed.iter().for_each(|feature| self.feed(feature));
        if let (Change::WaitEnded(gone), Some(items)) = (change, ended) {
            self.feed_from(&items, gone.waiter);
        }
    }

    /// What a waiter wanted that waits no longer after a change.
    pub(super) fn wanted_by(&self, change: &Change) -> Option<Vec<Item>> {
        let Change::WaitEnded(ended) = change else { return None };
        self.state.waiter(ended.waiter).map(|waiting| waiting.items.clone())
    }

    /// Somebody may be served from the beginning of a feature's queue on, or of that of a token that takes from it (L51).
    fn feed(&mut self, feature: &str) {
        self.feed_queue(feature);
        for token in self.tokens_waited_for() {
            self.queue.set_hungry(token, SessionId(0));
        }
    }

    fn feed_queue(&mut self, feature: &str) {
        self.queue.set_hungry(feature.to_ascii_lowercase().into(), SessionId(0));
    }

    /// The features that somebody waits for and that are tokens, in lower case.
    fn tokens_waited_for(&self) -> Vec<Box<str>> {
        let is_token = |feature: &&str| {
            let (_, found) = self.terms.catalog().find(feature);
            found.iter().any(|f| f.licenses.iter().any(|license| license.key_type == KeyType::Token))
        };
        self.queue.features().filter(is_token).map(Box::from).collect()
    }

    /// Every queue may serve somebody: after a new policy, new licenses (whose terms may change though no total does),
    /// midnight, and when the wall clock is believed again.
    pub fn feed_all(&mut self) {
        let features: Vec<Box<str>> = self.queue.features().map(Box::from).collect();
        features.into_iter().for_each(|feature| self.queue.set_hungry(feature, SessionId(0)));
    }

    /// The features, in lower case, whose queues are to be looked at: to be brought to the day first.
    pub fn hungry(&self) -> impl Iterator<Item = &str> {
        self.queue.hungry.keys().map(|feature| &**feature)
    }

    /// Whether a queue is to be looked at.
    pub fn is_hungry(&self) -> bool {
        !self.queue.hungry.is_empty()
    }

    /// The next tick at which a queue has something to do by itself.
    pub(super) fn next_in_queue(&self) -> Option<Tick> {
        self.state.waiters().next()?;
        let over = self.state.waiters_by_end().next().map(|(at, _)| at);
        let reaped = self.queue.reaping.first().map(|(at, _)| *at);
        let unconfirmed = self.queue.offers_by_end.first().map(|(at, _)| *at);
        let again = self.queue.again.first().map(|(at, _)| *at);
        [over, reaped, unconfirmed, again, self.presence.next_freed()].into_iter().flatten().min()
    }
}
