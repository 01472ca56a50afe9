//! Seats of a feature that are kept: reservations of the policy and bookings (S51, S52), and seats that only named users
//! or hosts may use (L63).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::tally;
use super::super::usage::{Counted, NamedKinds};
use super::super::{Ledger, Pool};
use super::draft::Draft;
use crate::catalog::FeatureLicenses;
use crate::change::{BookingId, PoolId};
use crate::license::License;
use crate::policy::{Class, Named, RuleId, Subject};

/// For whom seats are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Those a rule names.
    Rule(RuleId, Named),
    /// Those who present a token.
    Booking(BookingId),
}

/// One reservation or booking of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) by: For,
    /// How many seats it says.
    pub(super) seats: u64,
    /// How many of them there can be today: in the order of the file, as far as the total goes (S51).
    pub(super) honored: u64,
    /// Seats of the feature in use that count against it.
    pub(super) used: u64,
}

impl Kept {
    /// Seats that are kept free for it.
    pub(super) fn left(&self) -> u64 {
        self.honored.saturating_sub(self.used)
    }

    pub(super) fn subject(&self) -> Counted {
        match self.by {
            For::Rule(rule, _) => Counted::Subject(Subject::Reservation(rule)),
            For::Booking(booking) => Counted::Booking(booking),
        }
    }

    pub(super) fn named(&self) -> Named {
        match self.by {
            For::Rule(_, named) => named,
            For::Booking(_) => Named::Neither,
        }
    }
}

/// Who asks, for what is counted with a draft; a reader asks for nobody.
pub(super) struct Asker<'a> {
    pub(super) class: &'a Class,
    pub(super) booking: Option<BookingId>,
    pub(super) draft: &'a Draft,
}

impl Asker<'_> {
    /// Whether seats are kept for this very request.
    pub(super) fn is_meant(&self, ledger: &Ledger, kept: &Kept) -> bool {
        match kept.by {
            For::Rule(rule, _) => ledger.usage.policy.is_for(rule, self.class),
            For::Booking(booking) => self.booking == Some(booking),
        }
    }
}

impl Ledger {
    /// The seat pools of a feature that grant today, with their licenses.
    pub(super) fn seat_pools(&self, at: usize) -> impl Iterator<Item = (PoolId, &Arc<License>)> {
        self.terms.pools(at).filter(|(_, license)| license.count.is_some())
    }

    /// Everything that is kept of a feature, in the order in which it is honored: reservations as the file has them, then
    /// bookings by age.
    pub(super) fn kept(&self, at: usize, feature: &FeatureLicenses, asker: Option<&Asker<'_>>) -> Vec<Kept> {
        let rules = self.usage.policy.of(&feature.vendor, &feature.feature);
        let reservations = if rules.is_open() { Vec::new() } else { rules.reservations() };
        let bookings = self.state.bookings_of(&feature.vendor, &feature.feature);
        let by_rule = reservations.iter().map(|r| (For::Rule(r.rule, r.named), u64::from(r.seats)));
        let mut all =
            by_rule.chain(bookings.map(|b| (For::Booking(b.booking), u64::from(b.seats)))).peekable();
        let mut kept: Vec<Kept> = Vec::new();
        if all.peek().is_none() {
            return kept;
        }
        // Nothing is ever short where a pool is unlimited; but not everybody may use that one.
        let totals = self.seat_pools(at).filter_map(|(pool, _)| self.state.pool(pool));
        let mut left =
            totals.map(|p| p.total.limited().map_or(u64::MAX, u64::from)).fold(0, u64::saturating_add);
        let pools = self.state.pools_of(&feature.vendor, &feature.feature);
        for (by, seats) in all {
            let honored = seats.min(left);
            left -= honored;
            let mut one = Kept { by, seats, honored, used: 0 };
            one.used = pools.iter().map(|(_, pool)| self.used_of(&one, *pool, asker)).sum();
            kept.push(one);
        }
        kept
    }

    /// Seats of one pool in use that count against something kept.
    pub(super) fn used_of(&self, kept: &Kept, pool: PoolId, asker: Option<&Asker<'_>>) -> u64 {
        let subject = kept.subject();
        let tally = self.usage.entry(pool, &subject).map(|entry| &entry.tally);
        let Some(asker) = asker else { return tally::after(tally, &[], &[]) };
        let more = match kept.by {
            For::Booking(booking) => asker.draft.more_of_booking(pool, booking),
            For::Rule(..) if asker.is_meant(self, kept) => asker.draft.more(pool),
            For::Rule(..) => Vec::new(),
        };
        tally::after(tally, &asker.draft.less_of(pool, &subject), &more)
    }

    /// Seats of one pool in use by those whom any reservation of these kinds is for (L63).
    pub(super) fn used_by_named(
        &self,
        pool: PoolId,
        kinds: NamedKinds,
        asker: &Asker<'_>,
        is_meant: bool,
    ) -> u64 {
        let subject = Counted::Named(kinds);
        let tally = self.usage.entry(pool, &subject).map(|entry| &entry.tally);
        let more = if is_meant { asker.draft.more(pool) } else { Vec::new() };
        tally::after(tally, &asker.draft.less_of(pool, &subject), &more)
    }

    /// Seats of a feature that are kept and unused, named seats that nobody has a reservation for included: `reserved`
    /// of S6, never more than what else would be free.
    fn reserved(&self, at: usize, feature: &FeatureLicenses) -> u64 {
        let kept = self.kept(at, feature, None);
        let left: u64 = kept.iter().map(Kept::left).sum();
        let (mut users, mut hosts) = (0u64, 0u64);
        for (pool, license) in self.seat_pools(at) {
            let Some(total) = self.state.pool(pool).and_then(|p| p.total.limited()) else { continue };
            users += license.user_based().map_or(0, |based| based.of(u64::from(total)));
            hosts += license.host_based().map_or(0, |based| based.of(u64::from(total)));
        }
        let covered = |named| kept.iter().filter(|k| k.named() == named).map(|k| k.honored).sum::<u64>();
        let uncovered =
            users.saturating_sub(covered(Named::Users)) + hosts.saturating_sub(covered(Named::Hosts));
        left + uncovered
    }

    /// The part of [`Ledger::reserved`] that is shown at one pool: the first pools of the feature that have room keep it.
    pub(in crate::ledger) fn reserved_in(&self, id: PoolId, pool: &Pool) -> u64 {
        let Some(at) = self.terms.catalog().index_of(&pool.vendor, &pool.feature) else { return 0 };
        let feature = &self.terms.catalog().features()[at];
        let has_named = |license: &License| license.user_based().is_some() || license.host_based().is_some();
        let may_keep = !self.usage.policy.is_open()
            || self.state.bookings_of(&pool.vendor, &pool.feature).next().is_some()
            || self.seat_pools(at).any(|(_, license)| has_named(license));
        if !may_keep {
            return 0;
        }
        let mut left = self.reserved(at, feature);
        for (other, _) in self.seat_pools(at) {
            let room = self.state.pool(other).map_or(0, |p| match p.total.limited() {
                Some(total) => u64::from(total).saturating_sub(p.used() + p.held),
                None => 0,
            });
            let here = left.min(room);
            if other == id {
                return here;
            }
            left -= here;
        }
        0
    }
}
