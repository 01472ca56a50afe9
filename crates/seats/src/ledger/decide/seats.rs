//! Seats: reservations, held seats of the same client, free seats (S3, S6, S51, L60 to L63).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::tally;
use super::super::usage::{NamedKinds, client};
use super::super::{Ledger, Pool};
use super::draft::Draft;
use super::judge::{Asked, Failure, Want};
use super::kept::{Asker, Kept};
use crate::change::{HoldId, PoolId};
use crate::denial::Numbers;
use crate::evaluate::Total;
use crate::license::License;
use crate::policy::Named;

impl Ledger {
    /// How the seats of a pool add up (S6).
    pub fn numbers(&self, id: PoolId) -> Numbers {
        let Some(pool) = self.state.pool(id) else {
            return Numbers { total: Total::ZERO, used: 0, suspect: 0, borrowed: 0, held: 0, reserved: 0 };
        };
        let (used, suspect) = self.numbers_of_use(id);
        Numbers {
            total: pool.total,
            used,
            suspect,
            borrowed: pool.borrowed,
            held: pool.held,
            reserved: self.reserved_in(id, pool),
        }
    }

    /// Seats of a pool in use, and how many of them are suspect.
    pub(super) fn numbers_of_use(&self, id: PoolId) -> (u64, u64) {
        let used = self.state.pool(id).map_or(0, Pool::used);
        let lent = self.state.pool(id).map_or(0, |pool| pool.borrowed);
        (used, used.saturating_sub(self.presence.active(id) + lent))
    }

    /// Whether a session more fits into a pool; held seats it uses up are added to the draft. Says whether its seats lie
    /// above the soft limit (L61).
    pub(super) fn fit(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &License,
        share: Option<&Arc<str>>,
        draft: &mut Draft,
    ) -> Result<bool, Failure> {
        let Room { total, before, used, held, own } = self.room(want, asked, pool, share, draft);
        let adds = used - before;
        let is_above = |used| license.carried.soft_limit.is_some_and(|n| used > u64::from(n));
        if adds == 0 {
            return Ok(false);
        }
        if used + held > total {
            return self.fit_by_ending(want, asked, pool, license, share, draft);
        }
        let own_seats: u64 = own.iter().map(|(_, seats)| u64::from(*seats)).sum();
        // L62: one's own held seats serve at once; taking them leaves no less to anybody than there was.
        if own_seats == adds {
            draft.holds.extend(own.into_iter().map(|(hold, seats)| (hold, pool, seats)));
            return Ok(is_above(used));
        }
        let is_named = license.user_based().is_some() || license.host_based().is_some();
        if is_named || !self.is_plenty(want, asked, draft, pool, [adds, own_seats]) {
            let asker = Asker { class: asked.class, booking: want.booking, draft };
            let kept = self.kept(want.at, want.feature, Some(&asker));
            let wanted = wanted(want, pool, draft);
            self.check_named(&asker, &kept, pool, license, [total, before, held, adds]).map_err(
                |is_named| if is_named { Failure::Reserved(wanted) } else { Failure::NotNamed(wanted) },
            )?;
            // Where a pool is unlimited there is enough for everybody.
            if total != u64::MAX && !kept.is_empty() {
                let for_others: u64 = kept.iter().filter(|k| !asker.is_meant(self, k)).map(Kept::left).sum();
                if self.free_for(want, asked, draft, pool, own_seats) < adds + for_others {
                    return Err(Failure::Reserved(wanted));
                }
            }
        }
        draft.holds.extend(own.into_iter().map(|(hold, seats)| (hold, pool, seats)));
        Ok(is_above(used))
    }

    /// Whether there are seats enough though everything were kept for others and nothing of it used: then nobody needs
    /// to look at each reservation of thousands.
    fn is_plenty(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        draft: &Draft,
        pool: PoolId,
        [adds, own]: [u64; 2],
    ) -> bool {
        let bookings = self.state.bookings_of(&want.feature.vendor, &want.feature.feature);
        let kept = want.rules.reserved_at_most() + bookings.map(|b| u64::from(b.seats)).sum::<u64>();
        kept == 0 || self.free_for(want, asked, draft, pool, own) >= adds + kept
    }

    /// How the seats of a pool would add up with a session more, after what a draft takes and ends.
    pub(super) fn room(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        share: Option<&Arc<str>>,
        draft: &Draft,
    ) -> Room {
        let there = self.state.pool(pool);
        let tally = there.map(|p| &p.tally);
        let (less, mut more) = (draft.less(pool), draft.more(pool));
        let before = tally::after(tally, &less, &more);
        more.push((share.map(|key| &**key), want.count));
        let used = tally::after(tally, &less, &more);
        let own = self.own_holds(pool, asked, used - before, draft);
        let own_seats: u64 = own.iter().map(|(_, seats)| u64::from(*seats)).sum();
        Room {
            total: self.grantable(want.feature, pool, asked.now).limited().map_or(u64::MAX, u64::from),
            before,
            used,
            held: there.map_or(0, |p| p.held) - draft.unheld(pool) - own_seats,
            own,
        }
    }

    /// Held seats of this very client that a checkout of so many uses up, those that end first in front (L62).
    fn own_holds(&self, pool: PoolId, asked: &Asked<'_>, adds: u64, draft: &Draft) -> Vec<(HoldId, u32)> {
        let mut own: Vec<(HoldId, u32)> = Vec::new();
        if self.state.pool(pool).is_none_or(|p| p.held == 0) {
            return own;
        }
        let of = client(self.names, asked.facts);
        let mut holds: Vec<_> = self.state.holds_of(pool, &of).collect();
        holds.sort_by_key(|held| (held.until, held.hold));
        let mut missing = adds;
        for held in holds {
            let gone: u32 = draft.holds.iter().filter(|(id, ..)| *id == held.hold).map(|(.., n)| *n).sum();
            let seats = u64::from(held.seats - gone).min(missing);
            if let (Ok(seats), true) = (u32::try_from(seats), seats > 0) {
                own.push((held.hold, seats));
                missing -= u64::from(seats);
            }
        }
        own
    }

    /// Seats that are neither used nor held, over the pools of the feature whose terms the request passes (rules 3,
    /// 6.7.4); in `pool` the client's own held seats count as free.
    fn free_for(&self, want: &Want<'_>, asked: &Asked<'_>, draft: &Draft, pool: PoolId, own: u64) -> u64 {
        let passes = |license: &Arc<License>| {
            self.check_terms(want.feature, license, want.name, asked.facts, want.version).is_ok()
        };
        let free = |id: PoolId| {
            let Some(p) = self.state.pool(id) else { return 0 };
            let used = p.tally.after(&draft.less(id), &draft.more(id));
            let own = if id == pool { own } else { 0 };
            let held = p.held - draft.unheld(id) - own;
            let total = self.grantable(want.feature, id, asked.now);
            total.limited().map_or(u64::MAX >> 16, |total| u64::from(total).saturating_sub(used + held))
        };
        let pools = self.seat_pools(want.at).filter(|(id, license)| *id == pool || passes(license));
        pools.map(|(id, _)| free(id)).fold(0, u64::saturating_add)
    }

    /// L63: seats that only named users or hosts may use. On a failure: whether the request is named at all.
    fn check_named(
        &self,
        asker: &Asker<'_>,
        kept: &[Kept],
        pool: PoolId,
        license: &License,
        [total, used, held, adds]: [u64; 4],
    ) -> Result<(), bool> {
        let users = license.user_based().map(|based| based.of(total));
        let hosts = license.host_based().map(|based| based.of(total));
        let named = total.min(users.unwrap_or(0).saturating_add(hosts.unwrap_or(0)));
        if named == 0 {
            return Ok(());
        }
        let is_of_kind = |k: &&Kept| match k.named() {
            Named::Users => users.is_some(),
            Named::Hosts => hosts.is_some(),
            Named::Neither => false,
        };
        let of_kind = || kept.iter().filter(is_of_kind);
        let kinds = match (users, hosts) {
            (Some(_), Some(_)) => NamedKinds::Either,
            (Some(_), None) => NamedKinds::Users,
            _ => NamedKinds::Hosts,
        };
        let meant = || of_kind().filter(|k| asker.is_meant(self, k));
        // A seat counts against every reservation it matches, but it is one named seat that is taken.
        let by_named = self.used_by_named(pool, kinds, asker, meant().next().is_some());
        let used_of = |k: &Kept| self.used_of(k, pool, Some(asker)).min(k.honored);
        let through = named.min(by_named).min(of_kind().map(used_of).sum());
        let room: u64 = meant().map(Kept::left).sum();
        let open = used + held - through.min(used) + adds.saturating_sub(room);
        if open <= total - named { Ok(()) } else { Err(meant().next().is_some()) }
    }
}

/// How the seats of a pool would add up with a session more.
pub(super) struct Room {
    /// `u64::MAX`: unlimited.
    pub(super) total: u64,
    /// In use without it.
    before: u64,
    /// In use with it.
    pub(super) used: u64,
    /// Held, without those that it uses up.
    pub(super) held: u64,
    /// Held seats of its own client that it uses up.
    own: Vec<(HoldId, u32)>,
}

/// Seats of a pool that the request wants: those of earlier items included.
pub(super) fn wanted(want: &Want<'_>, pool: PoolId, draft: &Draft) -> u64 {
    u64::from(want.count) + draft.more(pool).iter().map(|(_, n)| u64::from(*n)).sum::<u64>()
}
