//! Who waits, who is held back by whom, and who is served (S30 to S33).
//!
//! First come, first served: while somebody waits for seats that he could be given, nobody who came later takes them.
//! Measured as *reach*: how many seats of a feature a waiter could be given as things stand, in the pools whose terms he
//! passes, without what is kept for others. A request that leaves the reach of those before it as it is (it adds no seat,
//! or takes what is reserved for it, or is of a pool that does not cover their build) is not held back. Nor does anybody
//! hold back who could not be given what he wants at all: denied by a rule, barred, at a limit of his own, wanting more than there
//! is, not there, or where `fast_queue` serves whoever fits.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::tally;
use super::super::usage::{Counted, client};
use super::super::{Ledger, Now, Pool};
use super::CheckoutOutcome;
use super::draft::Draft;
use super::judge::Want;
use super::kept::{Asker, Kept};
use crate::change::{BookingId, Change, Granted, SessionId, Waiting};
use crate::denial::{Code, Denial};
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

/// What to do next for a queue.
enum Next {
    Serve(Box<Served>),
    /// Nobody in it can be served now.
    Nobody,
    /// The budget is used up; the next to look at.
    Later(SessionId),
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

    /// How many came before a waiter, at most over the features it waits for.
    pub fn place_of(&self, waiter: SessionId) -> u64 {
        let items = self.state.waiter(waiter).map(|waiting| &waiting.items[..]).unwrap_or_default();
        let before =
            |item: &Item| self.state.queue_length(&item.feature.to_ascii_lowercase(), Some(waiter)).1 as u64;
        items.iter().map(before).max().unwrap_or(0)
    }

    /// The features, in lower case, whose queues are to be looked at: to be brought to the day first.
    pub fn hungry(&self) -> impl Iterator<Item = &str> {
        self.queue.hungry.keys().map(|feature| &**feature)
    }

    /// Whether a queue is to be looked at.
    pub fn is_hungry(&self) -> bool {
        !self.queue.hungry.is_empty()
    }

    /// The next waiter that is given its seats (S32): to be applied before the next call. At most about `budget` waiters
    /// are looked at; `None` with [`Ledger::is_hungry`]: go on later.
    pub fn next_served(&mut self, now: Now, budget: &mut usize) -> Option<Box<Served>> {
        while *budget > 0 {
            let (feature, from) = self.queue.hungry.pop_first()?;
            match self.next_in(&feature, from, now, budget) {
                Next::Nobody => {}
                Next::Later(from) => {
                    self.queue.hungry.insert(feature, from);
                    return None;
                }
                Next::Serve(served) => {
                    // Whoever shares with it adds no seat now, also if he came before.
                    let shares = served.granted.sessions.iter().any(|session| session.share.is_some());
                    let from = if shares { SessionId(0) } else { SessionId(served.waiter.0 + 1) };
                    self.queue.hungry.insert(feature, from);
                    return Some(served);
                }
            }
        }
        None
    }

    fn next_in(&self, feature: &str, from: SessionId, now: Now, budget: &mut usize) -> Next {
        for waiter in self.state.waiters_for(feature).filter(|waiter| *waiter >= from) {
            if *budget == 0 {
                return Next::Later(waiter);
            }
            if !self.may_be_had(feature, now) {
                return Next::Nobody;
            }
            let Some(waiting) = self.state.waiter(waiter).filter(|waiting| self.is_waiting(waiting)) else {
                continue;
            };
            *budget -= 1;
            if let Ok(CheckoutOutcome::Grant { before, granted }) =
                self.decide_anew(&waiting.as_checkout(), now, &[])
            {
                return Next::Serve(Box::new(Served { waiter, before, granted }));
            }
            if self.keeps_all(waiting, feature) {
                return Next::Nobody;
            }
        }
        Next::Nobody
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
        (first..first + found.len()).flat_map(|at| self.terms.pools(at)).any(|(id, license)| {
            let Some(pool) = self.state.pool(id) else { return true };
            let is_free = pool.total.limited().is_none_or(|total| pool.used() + pool.held < u64::from(total));
            // Held seats serve their own client, a token has none of its own, and who shares may add none.
            is_free
                || pool.held > 0
                || license.count.is_none()
                || pool.tally.is_shared()
                || self.presence.suspects_in(id).take(SUSPECTS_LOOKED_AT).any(|(_, session)| {
                    let bundle = self.state.session(session).map(|((bundle, _), _)| bundle);
                    bundle.is_some_and(|bundle| self.presence.is_reclaimable(bundle, now.tick))
                })
        })
    }

    /// Whether a waiter that was not served keeps everything that is free of a feature from those after it.
    fn keeps_all(&self, waiting: &Waiting, feature: &str) -> bool {
        let (first, found) = self.terms.catalog().find(feature);
        let nobody = Draft::default();
        let class = self.usage.class(&waiting.facts);
        let asker = Asker { class: &class, booking: None, draft: &nobody };
        (first..first + found.len()).all(|at| {
            let pools = || self.seat_pools(at).filter_map(|(id, _)| self.state.pool(id));
            let free = |pool: &Pool| {
                let total = i128::from(pool.total.limited().unwrap_or(u32::MAX));
                (total - i128::from(pool.used() + pool.held)).max(0)
            };
            let all: i128 = pools().map(free).sum();
            let is_plain = pools().all(|pool| pool.held == 0 && !pool.tally.is_shared());
            all > 0 && is_plain && self.reach(waiting, at, &asker) == Some(all)
        })
    }

    /// Whether a request that could be granted has to wait for those who came before it; `me`: it waits itself, and only
    /// who came before it counts.
    pub(super) fn check_held_back(
        &self,
        request: &Checkout,
        draft: &Draft,
        me: Option<SessionId>,
    ) -> Result<(), Box<Denial>> {
        if self.state.waiters().next().is_none() {
            return Ok(());
        }
        let class = self.usage.class(&request.facts);
        // What ends for it would be there for those before it as well.
        let without = Draft { removed: draft.removed.clone(), ..Draft::default() };
        let mut seen: Vec<usize> = Vec::new();
        for taken in &draft.taken {
            let Some(pool) = self.state.pool(taken.pool) else { continue };
            let Some(at) = self.terms.catalog().index_of(&pool.vendor, &pool.feature) else { continue };
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            let name = pool.feature.as_str().to_ascii_lowercase();
            let with = Asker { class: &class, booking: taken.booking, draft };
            let nothing = Asker { class: &class, booking: taken.booking, draft: &without };
            let mut before_me = self.state.waiters_for(&name).take_while(|id| me.is_none_or(|me| *id < me));
            let holds_back = before_me.any(|id| {
                let Some(waiting) = self.state.waiter(id).filter(|w| self.is_waiting(w)) else {
                    return false;
                };
                let reach = |asker: &Asker<'_>| self.reach(waiting, at, asker);
                reach(&nothing)
                    .is_some_and(|before| before > 0 && reach(&with).is_some_and(|after| after < before))
            });
            if holds_back {
                return Err(self.held_back(request, at, &name, me));
            }
        }
        Ok(())
    }

    /// How many seats of a feature a waiter could be given, beside what somebody else's draft takes; `None`: it holds
    /// nobody back, whatever there is.
    fn reach(&self, waiting: &Waiting, at: usize, other: &Asker<'_>) -> Option<i128> {
        let feature = &self.terms.catalog().features()[at];
        let is_meant = |item: &&Item| {
            item.feature.eq_ignore_ascii_case(feature.feature.as_str())
                && item.vendor.as_deref().is_none_or(|v| v.eq_ignore_ascii_case(feature.vendor.as_str()))
        };
        let count: u64 = waiting.items.iter().filter(is_meant).map(|item| u64::from(item.count)).sum();
        let class = self.usage.class(&waiting.facts);
        let rules = self.usage.policy.of(&feature.vendor, &feature.feature);
        let of = client(self.names, &waiting.facts);
        let is_barred = self.state.bar(&feature.vendor, &feature.feature, &of).is_some();
        let is_denied = rules.access(&class).0 == Access::Deny || is_barred;
        if count == 0 || is_denied || rules.fast_queue(&class).is_some() {
            return None;
        }
        let want = Want {
            at,
            feature,
            name: feature.feature.as_str(),
            count: 1,
            rules,
            version: None,
            token: None,
            booking: None,
        };
        for limit in rules.limits(&class) {
            let used = self.used_by(&Counted::Subject(limit.subject.clone()), &want, other.draft, None);
            if used.saturating_add(count) > u64::from(limit.seats) {
                return None;
            }
        }
        let (mut free, mut totals) = (0i128, 0u64);
        for (id, license) in self.seat_pools(at) {
            let Some(pool) = self.state.pool(id) else { continue };
            if self.check_terms(license, want.name, &waiting.facts, None).is_err() {
                continue;
            }
            // Where there is enough for everybody, nobody waits for long.
            let total = u64::from(pool.total.limited()?);
            totals = totals.saturating_add(total);
            let used = tally::after(Some(&pool.tally), &other.draft.less(id), &other.draft.more(id));
            let held = pool.held - other.draft.unheld(id);
            free += i128::from(total.saturating_sub(used + held));
        }
        if count > totals {
            return None;
        }
        let token = waiting.booking.as_ref();
        let own =
            |id: BookingId| token.is_some_and(|t| self.state.bookings_under(t).any(|b| b.booking == id));
        let is_for_it = |kept: &Kept| match kept.by {
            super::kept::For::Rule(rule, _) => self.usage.policy.is_for(rule, &class),
            super::kept::For::Booking(booking) => own(booking),
        };
        let kept = self.kept(at, feature, Some(other));
        let for_others: u64 = kept.iter().filter(|kept| !is_for_it(kept)).map(Kept::left).sum();
        Some(free - i128::from(for_others))
    }

    /// The denial of a request that those before it hold back.
    fn held_back(&self, request: &Checkout, at: usize, name: &str, me: Option<SessionId>) -> Box<Denial> {
        let feature = &self.terms.catalog().features()[at];
        let (length, before) = self.state.queue_length(name, me);
        let waiting = if me.is_some() { before } else { length };
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
            subject.queued_before_you = waiting as u64;
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
        }
    }
}
