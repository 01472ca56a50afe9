//! Who waits, who is held back by whom, and who is served (S30 to S33).
//!
//! First come, first served: while somebody waits for seats that he could be given, nobody who came later takes them.
//! Measured as *reach*: how many seats of a feature a waiter could be given as things stand, in the pools whose terms he
//! passes, without what is kept for others. A request that leaves the reach of those before it as it is (it adds no seat,
//! or takes what is reserved for it, or is of a pool that does not cover their build) is not held back. Nor does anybody
//! hold back who could not be given what he wants at all: denied by a rule, at a limit of his own, wanting more than there
//! is, not there, or where `fast_queue` serves whoever fits.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::tally;
use super::super::{Ledger, Now, Pool};
use super::CheckoutOutcome;
use super::draft::Draft;
use super::judge::{Asked, Link, Want};
use super::kept::{Asker, For, Kept};
use super::terms::share_key;
use crate::change::{BookingId, Change, Granted, PoolId, PoolKind, SessionId, Waiting};
use crate::denial::{Code, Denial};
use crate::license::{Count, KeyType, License};
use crate::policy::Access;
use crate::request::{Checkout, Item};

/// How many suspects of a pool are looked at to find one whose seats may be had: the longest gone stand in front.
const SUSPECTS_LOOKED_AT: usize = 64;

/// A waiter that has its seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Who.
    pub waiter: SessionId,
    /// Apply these in order, then the grant, all in one batch.
    pub before: Vec<Change>,
    /// The grant.
    pub granted: Granted,
}

impl Ledger {
    /// Whether a refused checkout may wait, and what it is from then on: what refused it must be able to pass (S30), and
    /// queues are bounded (S33).
    pub fn decide_wait(
        &self,
        request: &Checkout,
        ms: u64,
        now: Now,
        refused: Box<Denial>,
    ) -> Result<Waiting, Box<Denial>> {
        let may_pass = matches!(
            refused.code,
            Code::NoSeats
                | Code::NoCoveredSeat
                | Code::ReservedForOthers
                | Code::LimitUser
                | Code::LimitHost
                | Code::LimitGroup
                | Code::LimitProject
        );
        if !may_pass {
            return Err(refused);
        }
        let limits = self.queue.limits;
        let full = |text| {
            let mut denial = refused.clone();
            (denial.code, denial.message) = (Code::QueueFull, text);
            Err(denial)
        };
        for item in &request.items {
            let (length, _) = self.state.queue_length(&item.feature.to_ascii_lowercase(), None);
            if length >= limits.per_feature as usize {
                return full(format!("{length} wait for {} already: try again later", item.feature));
            }
        }
        let own = self.state.waiters_of_client(&request.facts.install_id);
        if own >= limits.per_client {
            return full(format!("this installation waits in {own} places already: give some of them up"));
        }
        Ok(Waiting {
            waiter: self.state.next_session(),
            key: request.key,
            secret: request.secret,
            items: request.items.clone(),
            facts: request.facts.clone(),
            pid: request.pid,
            booking: request.booking,
            since: now.tick,
            until: now.tick.saturating_add(ms),
        })
    }

    /// How many came before a waiter and have no seats yet, at most over the features it waits for.
    pub fn place_of(&self, waiter: SessionId) -> u64 {
        let items = self.state.waiter(waiter).map(|waiting| &waiting.items[..]).unwrap_or_default();
        let before = |item: &Item| {
            let at = self.find_feature(item).ok();
            self.queued_before(&item.feature.to_ascii_lowercase(), at, Some(waiter))
        };
        items.iter().map(before).max().unwrap_or(0)
    }

    /// How many wait for a feature, by itself or through a token, and have no seats yet; of those that came before a waiter.
    fn queued_before(&self, name: &str, at: Option<usize>, me: Option<SessionId>) -> u64 {
        let tokens = at.map_or_else(Vec::new, |at| self.tokens_of(at, self.state.features_waited_for()));
        if tokens.iter().all(|token| **token == *name) {
            let (length, before) = self.state.queue_length(name, me);
            return if me.is_some() { before } else { length } as u64;
        }
        let names = tokens.iter().map(|token| &**token).chain([name]);
        let is_before = |id: &SessionId| me.is_none_or(|me| *id < me);
        let all: BTreeSet<SessionId> =
            names.flat_map(|name| self.state.waiters_for(name).take_while(is_before)).collect();
        all.len() as u64
    }

    /// The features that the token in force of a feature takes seats of.
    fn needs_of(&self, at: usize) -> Vec<usize> {
        let catalog = self.terms.catalog();
        let mut tokens = self.terms.pools(at).filter(|(_, license)| license.key_type == KeyType::Token);
        let needs = tokens.next().and_then(|(_, token)| {
            let nth =
                catalog.features()[at].licenses.iter().position(|license| Arc::ptr_eq(license, token))?;
            catalog.token_needs(at, nth, self.terms.day())
        });
        needs.into_iter().flatten().filter_map(|need| need.feature).collect()
    }

    /// Those of some names that are tokens which take seats of a feature (L51).
    fn tokens_of<'a>(&self, at: usize, names: impl Iterator<Item = &'a str>) -> Vec<Box<str>> {
        let catalog = self.terms.catalog();
        let takes = |name: &&str| {
            let (first, found) = catalog.find(name);
            (first..first + found.len()).any(|token| self.needs_of(token).contains(&at))
        };
        names.filter(takes).map(Box::from).collect()
    }

    /// The next waiter that is given its seats (S32): to be applied before the next call. Whoever came first is looked at
    /// first, whatever feature it waits for. At most about `budget` waiters are looked at; `None` with
    /// [`Ledger::is_hungry`]: go on later.
    pub fn next_served(&mut self, now: Now, budget: &mut usize) -> Option<Box<Served>> {
        while *budget > 0 {
            let (from, feature) = self.queue.pop_hungry()?;
            let mut there = self.queue.there(&feature).into_iter().flat_map(|there| there.range(from..));
            let Some(waiter) = there.next().copied() else { continue };
            if waiter > from {
                // There may be one in another queue that came before.
                self.queue.set_hungry(feature, waiter);
                continue;
            }
            if !self.may_be_had(&feature, now) {
                continue;
            }
            let Some(waiting) = self.state.waiter(waiter) else { continue };
            *budget -= 1;
            let decided = self.decide_anew(&waiting.as_checkout(), now, &[]);
            if decided.is_err() && self.keeps_all(waiting, &feature, now) {
                continue;
            }
            self.queue.set_hungry(feature, SessionId(waiter.0 + 1));
            if let Ok(CheckoutOutcome::Grant { before, granted, .. }) = decided {
                return Some(Box::new(Served { waiter, before, granted }));
            }
        }
        None
    }

    /// What a waiter would be granted now.
    ///
    /// # Errors
    /// Why nothing.
    pub fn decide_waiter(&self, waiting: &Waiting, now: Now) -> Result<CheckoutOutcome, Box<Denial>> {
        self.decide_anew(&waiting.as_checkout(), now, &[])
    }

    /// Whether there is any seat of a feature at all that somebody could be given: free, of a suspect, or shared.
    fn may_be_had(&self, feature: &str, now: Now) -> bool {
        let (first, found) = self.terms.catalog().find(feature);
        (first..first + found.len()).any(|at| self.may_be_had_at(at, now))
    }

    fn may_be_had_at(&self, at: usize, now: Now) -> bool {
        self.terms.pools(at).any(|(id, license)| {
            let Some(pool) = self.state.pool(id) else { return true };
            if license.count.is_none() {
                // A token has no seats of its own.
                return self.needs_of(at).into_iter().all(|of| self.has_any(of, now));
            }
            self.has_any_in(id, pool, now)
        })
    }

    fn has_any(&self, at: usize, now: Now) -> bool {
        let mut pools = self.terms.pools(at);
        pools.any(|(id, license)| {
            license.count.is_none() || self.state.pool(id).is_none_or(|pool| self.has_any_in(id, pool, now))
        })
    }

    fn has_any_in(&self, id: PoolId, pool: &Pool, now: Now) -> bool {
        // Held seats serve their own client, and who shares may add none.
        pool.total.limited().is_none_or(|total| pool.used() + pool.held < u64::from(total))
            || pool.held > 0
            || pool.tally.is_shared()
            || self.presence.suspects_in(id).take(SUSPECTS_LOOKED_AT).any(|(_, session)| {
                let bundle = self.state.session(session).map(|((bundle, _), _)| bundle);
                bundle.is_some_and(|bundle| self.presence.is_reclaimable(bundle, now.tick))
            })
    }

    /// Whether a waiter that was not served keeps everything there is in a queue from those after it: whatever anybody in
    /// it takes, this one could be given. Then nobody else need be looked at.
    fn keeps_all(&self, waiting: &Waiting, feature: &str, now: Now) -> bool {
        let nobody = Draft::default();
        let Some(reach) = self.reach(waiting, &nobody, now) else { return false };
        let class = self.usage.class(&waiting.facts);
        let asker = Asker { class: &class, booking: None, draft: &nobody };
        let keeps = |at: usize| {
            let feature = &self.terms.catalog().features()[at];
            let is_its = |id: PoolId| reach.contains(&(at, id));
            self.usage.policy.of(&feature.vendor, &feature.feature).fast_queue(&class).is_none()
                && self.seat_pools(at).all(|(id, _)| {
                    let is_plain = |pool: &Pool| {
                        pool.held == 0 && !pool.tally.is_shared() && pool.total.limited().is_some()
                    };
                    is_its(id) && self.state.pool(id).is_some_and(is_plain)
                })
                && self.kept(at, feature, Some(&asker)).is_empty()
        };
        let (first, found) = self.terms.catalog().find(feature);
        (first..first + found.len()).all(|at| {
            let has_tokens = self.terms.pools(at).any(|(_, license)| license.count.is_none());
            match (has_tokens, self.seat_pools(at).next().is_some()) {
                (false, _) => keeps(at),
                // Whoever has the token has some of everything it needs.
                (true, false) => self.needs_of(at).into_iter().any(|of| {
                    self.terms.pools(of).next().is_some()
                        && self.terms.pools(of).all(|(_, license)| license.count.is_some())
                        && keeps(of)
                }),
                (true, true) => false,
            }
        })
    }

    /// Whether a request that could be granted has to wait for those who came before it; `me`: it waits itself, and only
    /// who came before it counts.
    pub(super) fn check_held_back(
        &self,
        request: &Checkout,
        draft: &Draft,
        me: Option<SessionId>,
        now: Now,
    ) -> Result<(), Box<Denial>> {
        if self.queue.features().next().is_none() {
            return Ok(());
        }
        let class = self.usage.class(&request.facts);
        // What ends for it would be there for those before it as well.
        let without = Draft { removed: draft.removed.clone(), ..Draft::default() };
        let mut seen: Vec<usize> = Vec::new();
        for taken in &draft.taken {
            let Some(pool) = self.state.pool(taken.pool) else { continue };
            let Some(at) = self.terms.catalog().index_of(&pool.vendor, &pool.feature) else { continue };
            if seen.contains(&at) || pool.kind == PoolKind::Token {
                continue;
            }
            seen.push(at);
            let name: Box<str> = pool.feature.as_str().to_ascii_lowercase().into();
            let with = Asker { class: &class, booking: taken.booking, draft };
            let without = Asker { class: &class, booking: taken.booking, draft: &without };
            let mut queues = self.tokens_of(at, self.queue.features());
            if !queues.contains(&name) {
                queues.push(name.clone());
            }
            let holds_back = |id: &SessionId| {
                let waiting = self.state.waiter(*id);
                waiting.is_some_and(|waiting| self.holds_back(waiting, at, &without, &with, now))
            };
            let mut before_me = queues
                .iter()
                .filter_map(|queue| self.queue.there(queue))
                .flat_map(|there| there.iter().take_while(|id| me.is_none_or(|me| **id < me)));
            if before_me.any(holds_back) {
                return Err(self.held_back(request, at, &name, me));
            }
        }
        Ok(())
    }

    /// Whether a waiter could be given fewer seats of a feature with a request than without it.
    fn holds_back(
        &self,
        waiting: &Waiting,
        at: usize,
        without: &Asker<'_>,
        with: &Asker<'_>,
        now: Now,
    ) -> bool {
        let feature = &self.terms.catalog().features()[at];
        let class = self.usage.class(&waiting.facts);
        if self.usage.policy.of(&feature.vendor, &feature.feature).fast_queue(&class).is_some() {
            return false;
        }
        let Some(reach) = self.reach(waiting, without.draft, now) else { return false };
        let token = waiting.booking.as_ref();
        let own =
            |id: BookingId| token.is_some_and(|t| self.state.bookings_under(t).any(|b| b.booking == id));
        let is_for_it = |kept: &Kept| match kept.by {
            For::Rule(rule, _) => self.usage.policy.is_for(rule, &class),
            For::Booking(booking) => own(booking),
        };
        let seats = |asker: &Asker<'_>| {
            let mut free = 0i128;
            for (_, id) in reach.iter().filter(|(of, _)| *of == at) {
                let Some(pool) = self.state.pool(*id) else { continue };
                // Where there is enough for everybody, nobody waits for long.
                let total = u64::from(pool.total.limited()?);
                let used = tally::after(Some(&pool.tally), &asker.draft.less(*id), &asker.draft.more(*id));
                let held = pool.held - asker.draft.unheld(*id);
                free += i128::from(total.saturating_sub(used + held));
            }
            let kept = self.kept(at, feature, Some(asker));
            let for_others: u64 = kept.iter().filter(|kept| !is_for_it(kept)).map(Kept::left).sum();
            Some(free - i128::from(for_others))
        };
        seats(without).is_some_and(|before| before > 0 && seats(with).is_some_and(|after| after < before))
    }

    /// The pools that a waiter could be given seats of, each with its feature, if there were enough free: their terms fit, no
    /// limit of its own is in the way (when what a draft ends is gone), and it wants no more than they have. `None`: it could
    /// not be given all that it wants, whatever were free.
    fn reach(&self, waiting: &Waiting, draft: &Draft, now: Now) -> Option<Vec<(usize, PoolId)>> {
        let class = self.usage.class(&waiting.facts);
        let asked = Asked { facts: &waiting.facts, class: &class, now, lend: None };
        let mut reach = Vec::new();
        for item in &waiting.items {
            let at = self.find_feature(item).ok()?;
            let feature = &self.terms.catalog().features()[at];
            let booking = self.booking_for(waiting.booking.as_ref(), feature, now).ok()?;
            let want = Want {
                at,
                feature,
                name: &item.feature,
                count: item.count,
                rules: self.usage.policy.of(&feature.vendor, &feature.feature),
                version: None,
                token: None,
                booking,
            };
            self.reach_of(&want, &asked, draft, &mut reach)?;
        }
        Some(reach)
    }

    fn reach_of(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        draft: &Draft,
        reach: &mut Vec<(usize, PoolId)>,
    ) -> Option<()> {
        if want.rules.access(asked.class).0 == Access::Deny || self.barred(want, asked).is_some() {
            return None;
        }
        let mut found = None;
        for (id, license) in self.terms.pools(want.at) {
            let is_token = license.key_type == KeyType::Token;
            if want.token.is_some_and(|link| link.is_token != is_token) {
                continue;
            }
            let share = match want.token.and_then(|link| link.share) {
                Some(share) => Some(share.clone()),
                None => share_key(self.names, license, asked.facts),
            };
            let mut after = Draft { removed: draft.removed.clone(), ..Draft::default() };
            let fits = self.check_limits(want, asked, id, share.as_ref(), &mut after).is_ok()
                && self.check_terms(want.feature, license, want.name, asked.facts, want.version).is_ok();
            if !fits {
                continue;
            }
            if !is_token {
                let total = self.state.pool(id).map_or(Some(0), |pool| pool.total.limited());
                if total.is_some_and(|total| total < want.count) {
                    continue;
                }
                if !reach.contains(&(want.at, id)) {
                    reach.push((want.at, id));
                }
            } else if want.token.is_none() {
                let mark = reach.len();
                let key: Option<Arc<str>> = share.map(|key| format!("t{}\0{key}", id.0).into());
                let token = (&**license, key.as_ref());
                if self.reach_of_needs(want, asked, token, draft, reach).is_none() {
                    reach.truncate(mark);
                    continue;
                }
            }
            found = Some(());
        }
        found
    }

    /// The same for everything that a token needs.
    fn reach_of_needs(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        (license, share): (&License, Option<&Arc<str>>),
        draft: &Draft,
        reach: &mut Vec<(usize, PoolId)>,
    ) -> Option<()> {
        let catalog = self.terms.catalog();
        let license_at = want.feature.licenses.iter().position(|l| core::ptr::eq(&**l, license))?;
        for need in catalog.token_needs(want.at, license_at, asked.now.day).unwrap_or_default() {
            let at = need.feature?;
            let feature = &catalog.features()[at];
            let count = u64::from(want.count).saturating_mul(need.count);
            let wanted = Want {
                at,
                feature,
                name: need.name.as_str(),
                count: u32::try_from(count).ok().filter(|count| *count <= Count::MAX)?,
                rules: self.usage.policy.of(&feature.vendor, &feature.feature),
                version: Some(need.version),
                token: Some(Link { nth: 0, share, is_token: need.is_token }),
                booking: None,
            };
            self.reach_of(&wanted, asked, draft, reach)?;
        }
        Some(())
    }

    /// The denial of a request that those before it hold back.
    fn held_back(&self, request: &Checkout, at: usize, name: &str, me: Option<SessionId>) -> Box<Denial> {
        let feature = &self.terms.catalog().features()[at];
        let waiting = self.queued_before(name, Some(at), me);
        let text = match waiting {
            1 => format!(
                "somebody waits for {} already: the seats that are free are kept for him",
                feature.feature
            ),
            n => {
                format!("{n} wait for {} already: the seats that are free are kept for them", feature.feature)
            }
        };
        let item = request.items.iter().find(|item| item.feature.eq_ignore_ascii_case(name));
        let item = item.cloned().unwrap_or(Item { vendor: None, feature: name.into(), count: 1 });
        let mut denial = self.about_item(&item, Denial::new(Code::NoSeats, text));
        if let Some(subject) = &mut denial.subject {
            subject.vendor = Some(feature.vendor.clone());
            subject.queued_before_you = waiting;
            subject.numbers = self.seat_pools(at).next().map(|(pool, _)| self.numbers(pool));
        }
        denial
    }
}

impl Waiting {
    /// The checkout that waits.
    pub fn as_checkout(&self) -> Checkout {
        Checkout {
            key: self.key,
            secret: self.secret,
            booking: self.booking,
            items: self.items.clone(),
            facts: self.facts.clone(),
            pid: self.pid,
            lend: None,
        }
    }
}
