//! What can be asked of the state. Nothing here changes it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use chrono::NaiveDate;

use super::notes::FirstCheckouts;
use super::{Borrow, Bundle, Gone, Pool, Session, State, half};
use crate::change::{
    Barred, Booked, BookingId, BundleId, ClockRead, ClockReset, Held, HoldId, PoolId, PoolKind, SessionId,
    Tick, Waiting,
};
use crate::license::Name;
use crate::maintenance::{Ending, Reminder};

impl State {
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

    /// Every first checkout that was recorded (rules 3, 6.10).
    pub fn first_checkouts(&self) -> &Arc<FirstCheckouts> {
        &self.notes.first_checkouts
    }

    /// Which reminders were sent of this end of a license (rules 3, 6.11).
    pub fn reminded(
        &self,
        [vendor, feature]: [&Name; 2],
        license: &Arc<str>,
        of: Ending,
        end: NaiveDate,
    ) -> &[Reminder] {
        self.notes.reminded([vendor, feature], license, of, end)
    }

    /// One pool of a vendor's feature.
    pub fn pool_of(&self, vendor: &Name, feature: &Name, kind: &PoolKind) -> Option<PoolId> {
        let of_feature = self.pools_of(vendor, feature);
        of_feature.iter().find(|(k, _)| k == kind).map(|(_, id)| *id)
    }

    /// Every pool of a vendor's feature, by kind.
    pub fn pools_of(&self, vendor: &Name, feature: &Name) -> &[(PoolKind, PoolId)] {
        self.pools_of.get(&(feature.clone(), vendor.clone())).map_or(&[], |pools| pools)
    }

    /// Held seats by their number (L62).
    pub fn held(&self, id: HoldId) -> Option<&Held> {
        self.holds.get(id)
    }

    /// Every hold, in the order of their numbers.
    pub fn holds(&self) -> impl Iterator<Item = &Held> {
        self.holds.all()
    }

    /// The holds of a client in a pool, oldest first.
    pub fn holds_of<'a>(
        &'a self,
        pool: PoolId,
        client: &Arc<str>,
    ) -> impl Iterator<Item = &'a Held> + use<'a> {
        self.holds.of_client(pool, client)
    }

    /// The holds of a pool.
    pub fn holds_in(&self, pool: PoolId) -> impl Iterator<Item = &Held> {
        self.holds.of_pool(pool)
    }

    /// Every hold, in the order of their ends.
    pub fn holds_by_end(&self) -> impl Iterator<Item = &Held> {
        self.holds.by_end()
    }

    /// The number of the next seats to be held.
    pub fn next_hold(&self) -> HoldId {
        HoldId(self.holds.next)
    }

    /// A booking by its number (S52).
    pub fn booking(&self, id: BookingId) -> Option<&Booked> {
        self.bookings.get(id)
    }

    /// The bookings under a token, by its hash: one for each of its features.
    pub fn bookings_under(&self, token: &[u8; 16]) -> impl Iterator<Item = &Booked> + use<'_> {
        self.bookings.of_token(token)
    }

    /// The bookings of a feature, oldest first.
    pub fn bookings_of<'a>(
        &'a self,
        vendor: &Name,
        feature: &Name,
    ) -> impl Iterator<Item = &'a Booked> + use<'a> {
        self.bookings.of_feature(vendor, feature)
    }

    /// Every booking, in the order of their numbers.
    pub fn bookings(&self) -> impl Iterator<Item = &Booked> {
        self.bookings.all()
    }

    /// Every booking, in the order of their ends.
    pub fn bookings_by_end(&self) -> impl Iterator<Item = &Booked> {
        self.bookings.by_end()
    }

    /// Who may have no seats of a feature, by user and host as they are compared (S25).
    pub fn bar(&self, vendor: &Name, feature: &Name, client: &str) -> Option<&Barred> {
        self.bars.get(vendor, feature, client)
    }

    /// What is lent of a bundle (S40); `None`: it is an ordinary one, or gone.
    pub fn borrow(&self, id: BundleId) -> Option<&Borrow> {
        self.borrows.get(id)
    }

    /// The same by a session of it.
    pub fn borrow_of(&self, id: SessionId) -> Option<(BundleId, &Borrow)> {
        let (bundle, _) = self.locate(id)?;
        Some((bundle, self.borrows.get(bundle)?))
    }

    /// Every bundle that is lent, from one number on (inclusive), in the order of their grants.
    pub fn borrows_from(&self, id: BundleId) -> impl Iterator<Item = (BundleId, &Borrow)> {
        self.borrows.from(id)
    }

    /// Every bundle that is lent, those first that end first, each with the first moment at which it is over, Unix seconds.
    pub fn borrows_by_end(&self) -> impl Iterator<Item = (i64, BundleId)> + '_ {
        self.borrows.by_end()
    }

    /// The sessions of a pool that are lent, in the order of their numbers.
    pub fn borrowed_in(&self, pool: PoolId) -> impl Iterator<Item = SessionId> + '_ {
        self.borrows.of_pool(pool)
    }

    /// When a part of the state was given up for lost and borrowing closed for it, Unix seconds (S62).
    pub fn borrowing_closed(&self) -> Option<i64> {
        self.borrowing_closed
    }

    /// A waiter by its number (S30).
    pub fn waiter(&self, id: SessionId) -> Option<&Waiting> {
        self.waiters.get(id)
    }

    /// Who waits under a request key (S2).
    pub fn waiter_of_key(&self, key: &[u8; 16]) -> Option<&Waiting> {
        self.waiters.of_key(key)
    }

    /// Every waiter, in the order in which they came.
    pub fn waiters(&self) -> impl Iterator<Item = &Waiting> {
        self.waiters.all()
    }

    /// Those who wait for a feature, whose name is in lower case, in the order in which they came; of whatever vendor.
    pub fn waiters_for(&self, feature: &str) -> impl Iterator<Item = SessionId> + '_ {
        self.waiters.of_feature(feature).into_iter().flatten().copied()
    }

    /// How many wait for a feature and have no seats yet, and how many of them came before one; its name is in lower case.
    pub fn queue_length(&self, feature: &str, before: Option<SessionId>) -> (usize, usize) {
        let of_feature = self.waiters.of_feature(feature);
        let before = before.map_or(0, |id| of_feature.map_or(0, |all| all.range(..id).count()));
        (of_feature.map_or(0, BTreeSet::len), before)
    }

    /// Every feature that somebody waits for, in lower case.
    pub fn features_waited_for(&self) -> impl Iterator<Item = &str> {
        self.waiters.features()
    }

    /// How many places in queues an installation has.
    pub fn waiters_of_client(&self, install_id: &[u8; 16]) -> u32 {
        self.waiters.of_client(install_id)
    }

    /// The waiters in the order in which they give up, each with the tick.
    pub fn waiters_by_end(&self) -> impl Iterator<Item = (Tick, SessionId)> + '_ {
        self.waiters.by_end()
    }

    /// The number of the next booking.
    pub fn next_booking(&self) -> BookingId {
        BookingId(self.bookings.next)
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

    /// The last time that an administrator lowered the highest day served (S71).
    pub fn clock_reset(&self) -> Option<&ClockReset> {
        self.clock_reset.as_ref()
    }

    /// The last reading of the wall clock.
    pub fn last_clock_read(&self) -> Option<ClockRead> {
        self.marks.last_key_value().map(|(tick, unix_ms)| ClockRead { tick: *tick, unix_ms: *unix_ms })
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
}
