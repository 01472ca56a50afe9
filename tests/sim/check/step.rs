//! After each step of the engine: what was granted was there, what was lost could be lost, who waits has a reason to, and
//! nothing is left of what is over.

use std::collections::{BTreeMap, BTreeSet};

use wire::answer::Refused;
use wire::codes;

use super::seen::{Seen, Waiter};
use super::{Check, Checker, Fault, Known};
use crate::licenses::{DAY_MS, FEATURES};
use crate::plan::Flaw;
use crate::trace::Trace;

/// For how long somebody may stand at the head of the queue beside free seats: the engine looks twice a second.
const NEGLECT_MS: u64 = 1_500;

/// The step that was taken last, for the answers that come out of it.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The most seats of each feature that can have been in use at any moment of it.
    used_max: [u64; FEATURES.len()],
    /// The fewest seats that there may have been.
    totals_min: [u64; FEATURES.len()],
    booked_max: [u64; FEATURES.len()],
    /// Seats whose clients were surely gone, before and after.
    gone: [u64; FEATURES.len()],
    /// Sessions that have ended in it.
    pub(super) ended: BTreeSet<u64>,
    /// Features that somebody waited for.
    waited_for: BTreeSet<usize>,
    /// Whoever waited before it or after.
    pub(super) waiters: BTreeMap<u64, Waiter>,
}

impl Checker {
    /// A step has ended; `after` is what the engine holds by its own words.
    ///
    /// # Errors
    /// Something does not hold.
    pub(crate) fn stepped(
        &mut self,
        now: u64,
        unix_ms: i64,
        mut after: Seen,
        has_failed: bool,
        trace: &mut Trace,
    ) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if has_failed {
            self.doubt_calendar(unix_ms);
            let before = std::mem::take(&mut self.seen);
            self.note_lent(now, unix_ms, &before, &after);
            self.seen = before;
            (self.failed, self.is_failing) = (Some(after), true);
            return Ok(());
        }
        self.look_at_calendar(now, unix_ms);
        self.steps += 1;
        self.note_ends(now);
        if self.flaw == Flaw::HistoryLosesASession && self.steps.is_multiple_of(50) {
            after.sessions.pop_first();
        }
        let before = std::mem::take(&mut self.seen);
        self.note_step(now, &before, &after);
        self.note_lent(now, unix_ms, &before, &after);
        let checked = self
            .check_totals(&after)
            .and_then(|()| self.check_grants(&before, &after))
            .and_then(|()| self.check_lent(now, unix_ms, &before, &after))
            .and_then(|()| self.check_losses(now, unix_ms, &before, &after, trace))
            .and_then(|()| self.check_queue(now, &after))
            .and_then(|()| {
                let mut over = self.known.iter().filter(|(_, known)| known.is_over);
                over.try_for_each(|(pid, _)| self.check_left_behind(*pid, &after))
            });
        self.follow(&after);
        self.forget_what_is_back(&after);
        self.seen = after;
        // Every pool is up to date when the step ends.
        let newest = self.sheets.len() - 1;
        self.sheets.drain(..newest);
        checked
    }

    /// A step has ended in which nothing was written, so that nothing has changed but the time.
    ///
    /// # Errors
    /// As for [`Checker::stepped`].
    pub(crate) fn stepped_idly(&mut self, now: u64, unix_ms: i64) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.look_at_calendar(now, unix_ms);
        self.note_ends(now);
        let seen = std::mem::take(&mut self.seen);
        self.note_step(now, &seen, &seen);
        let checked = self
            .check_queue(now, &seen)
            .and_then(|()| self.check_totals(&seen))
            .and_then(|()| self.check_overdue(now, unix_ms, &seen));
        self.seen = seen;
        let newest = self.sheets.len() - 1;
        self.sheets.drain(..newest);
        checked
    }

    /// What is gone by rights is not missed when the daemon starts again.
    pub(super) fn follow(&mut self, seen: &Seen) {
        self.told.retain(|session, told| match seen.sessions.get(session) {
            Some(is) => {
                told.count = told.count.min(is.count);
                true
            }
            None => false,
        });
    }

    fn note_ends(&mut self, now: u64) {
        for line in &mut self.lines {
            if line.heard_known_at < line.heard_at {
                line.heard_known_at = now;
            }
            if line.end_known_at.is_none() && line.ended_at.is_some_and(|at| at + super::BLUR_MS < now) {
                line.end_known_at = Some(now);
            }
        }
    }

    /// The day is the highest that was ever shown (S71).
    pub(super) fn look_at_calendar(&mut self, now: u64, unix_ms: i64) {
        self.lent.look_at_clock(now, unix_ms);
        let today = unix_ms.div_euclid(DAY_MS);
        if !self.days.is_empty() && today > self.day {
            self.tally.midnights += 1;
        }
        self.days.insert(today);
        self.day = self.day.max(today);
    }

    /// The clock was shown to a daemon that died of what it did then.
    pub(super) fn doubt_calendar(&mut self, unix_ms: i64) {
        self.day_in_doubt = self.day_in_doubt.max(Some(unix_ms.div_euclid(DAY_MS)));
    }

    fn note_step(&mut self, now: u64, before: &Seen, after: &Seen) {
        let mut step = Step::default();
        for feature in 0..FEATURES.len() {
            let new = after
                .sessions
                .iter()
                .filter(|(id, s)| s.feature == feature && !before.sessions.contains_key(id));
            step.used_max[feature] = before.used(feature) + new.map(|(_, s)| u64::from(s.count)).sum::<u64>();
            step.totals_min[feature] = self.totals(feature).1;
            let booked = |seen: &Seen| -> u64 {
                seen.bookings.iter().filter(|b| b.feature == feature).map(|b| u64::from(b.seats)).sum()
            };
            step.booked_max[feature] = booked(before) + booked(after);
            let there = before
                .sessions
                .iter()
                .filter(|(id, s)| s.feature == feature && after.sessions.contains_key(id));
            // What is lent is nobody's but its borrower's, whether he is heard or not.
            let gone = there.filter(|(id, s)| !self.is_lent(**id) && self.is_surely_gone(s.pid, now));
            step.gone[feature] = gone.map(|(_, s)| u64::from(s.count)).sum();
        }
        step.ended = before.sessions.keys().filter(|id| !after.sessions.contains_key(id)).copied().collect();
        for seen in [before, after] {
            step.waiters.extend(seen.waiters.iter().map(|(id, waiter)| (*id, waiter.clone())));
        }
        step.waited_for =
            step.waiters.values().flat_map(|w| w.wants.iter().map(|(feature, _)| *feature)).collect();
        self.note_offers(before, after);
        self.step = step;
    }

    /// L30, L21: the server's totals are what the licenses say today.
    fn check_totals(&self, after: &Seen) -> Result<(), Fault> {
        for (feature, name) in FEATURES.iter().enumerate() {
            if after.used[feature] != after.used(feature) && self.flaw != Flaw::HistoryLosesASession {
                let text = format!("{name}: {} in use, {:?}", after.used[feature], after.sessions);
                return Err(Fault::new(Check::Totals, text));
            }
            let is_sold = matches!(self.flaw, Flaw::SellsOneMore | Flaw::SellsOneLess);
            let total = u64::from(self.sheet().total(feature, self.day));
            if !self.is_wild_clock && !is_sold && after.totals[feature] != total {
                let text = format!("{name}: the server has {}, sold are {total}", after.totals[feature]);
                return Err(Fault::new(Check::Totals, text));
            }
        }
        Ok(())
    }

    /// No grant takes a feature above its total, or touches what is booked; a checkout takes what it asked for, once.
    fn check_grants(&mut self, before: &Seen, after: &Seen) -> Result<(), Fault> {
        for (session, new) in &after.sessions {
            let was = before.sessions.get(session);
            if was.is_some_and(|was| new.count > was.count || (new.pid, new.bundle) != (was.pid, was.bundle))
            {
                return Err(Fault::new(Check::TwoSeats, format!("{session} was {was:?} and is {new:?}")));
            }
            if was.is_some() {
                continue;
            }
            let (total, _) = self.totals(new.feature);
            let used = after.used(new.feature);
            let known = self.known.get(&new.pid);
            let is_booked = known.is_some_and(|known| known.token.is_some());
            let kept = if is_booked { 0 } else { self.kept(after, new.feature, total) };
            if used + kept > total {
                let name = FEATURES[new.feature];
                let text = format!(
                    "{} got {} of {name}: {used} in use, {kept} kept, of {total}",
                    new.pid, new.count
                );
                return Err(Fault::new(Check::Oversold, text));
            }
            let Some(known) = self.known.get_mut(&new.pid) else {
                return Err(Fault::new(
                    Check::TwoSeats,
                    format!("{} has {session} and never asked", new.pid),
                ));
            };
            known.bundles.insert(new.bundle);
            known.is_confirmed &= known.bundles.len() == 1;
            let of_it: Vec<_> = after.of_pid(new.pid).collect();
            let has = |feature| -> u32 {
                of_it.iter().filter(|(_, s)| s.feature == feature).map(|(_, s)| s.count).sum()
            };
            let is_too_much = known.asked.iter().any(|(feature, count)| has(*feature) > *count);
            let is_twice = of_it.iter().any(|(_, s)| s.bundle != new.bundle);
            // What was not confirmed goes back, and its waiter is served again under another number.
            if is_too_much || is_twice || (known.bundles.len() > 1 && !known.may_wait) {
                let text = format!(
                    "{} asked for {:?} and has {of_it:?}, had {:?}",
                    new.pid, known.asked, known.bundles
                );
                return Err(Fault::new(Check::TwoSeats, text));
            }
        }
        Ok(())
    }

    /// Whoever is there keeps what it has; whoever is gone loses it to somebody who needs it, or after a long time.
    fn check_losses(
        &mut self,
        now: u64,
        unix_ms: i64,
        before: &Seen,
        after: &Seen,
        trace: &mut Trace,
    ) -> Result<(), Fault> {
        let has_new = after.sessions.keys().any(|id| !before.sessions.contains_key(id));
        for (session, was) in &before.sessions {
            let count = after.sessions.get(session).map_or(0, |is| is.count);
            if count >= was.count || self.checkins.contains(session) {
                continue;
            }
            let offered = self.known.get_mut(&was.pid).filter(|known| known.may_wait && !known.is_confirmed);
            // Taken back: the waiter counts as gone until it asks again (S31).
            let is_offered = offered.map(|known| known.place = None).is_some();
            let is_cancelled = self.known.get(&was.pid).is_some_and(|known| known.is_cancelled);
            if self.is_lent(*session) && !is_cancelled {
                // Nobody takes it away, an administrator neither (S41, S42).
                if self.may_be_back(*session, now, unix_ms) {
                    self.tally.borrows_ended += 1;
                    trace.say(now, format!("{session} of {} is over", was.pid));
                    continue;
                }
                let text = format!("{session} of {} is lent and not over: {was:?}, now {count}", was.pid);
                return Err(Fault::new(Check::LostSeat, text));
            }
            if self.releases.contains(session) || is_offered || is_cancelled {
                continue;
            }
            let text = format!("{session} of {}: {was:?}, now {count}", was.pid);
            if self.is_safe(was.pid, now) {
                return Err(Fault::new(Check::LostSeat, format!("its client is there: {text}")));
            }
            let is_reaped = self.may_be_reaped(was.pid, now);
            if !has_new && !is_reaped {
                return Err(Fault::new(Check::LostSeat, format!("nobody needed it: {text}")));
            }
            self.tally.reclaims += u64::from(!is_reaped);
            trace.say(now, format!("{session} of {} is given away", was.pid));
        }
        Ok(())
    }

    /// S30, S32: whoever is first in the queue and there has what is free.
    fn check_queue(&mut self, now: u64, after: &Seen) -> Result<(), Fault> {
        let mut seen_features = BTreeSet::new();
        let mut neglected = BTreeMap::new();
        for (id, waiter) in &after.waiters {
            if after.of_pid(waiter.pid).next().is_some() || self.is_surely_gone(waiter.pid, now) {
                continue;
            }
            // Strictly the first of all its queues, or whoever is before it may have a reason to be.
            let is_first = waiter.wants.iter().all(|(feature, _)| !seen_features.contains(feature));
            seen_features.extend(waiter.wants.iter().map(|(feature, _)| *feature));
            let Some(known) = self.known.get(&waiter.pid) else { continue };
            let may_be_served = known.token.is_none() && !self.barred.contains(&known.owner);
            if is_first && may_be_served && self.is_surely_there(waiter.pid, now) {
                let has_room = |(feature, count): &(usize, u32)| {
                    let free = self.surely_free(*feature, after.used(*feature));
                    free >= u64::from(*count)
                };
                if waiter.wants.iter().all(has_room) {
                    let since = self.neglected.get(id).copied().unwrap_or(now);
                    neglected.insert(*id, since);
                    if now > since + NEGLECT_MS {
                        let text =
                            format!("waiter {id} of {} since {since}: {waiter:?}, {after:?}", waiter.pid);
                        return Err(Fault::new(Check::NotServed, text));
                    }
                }
            }
        }
        self.neglected = neglected;
        Ok(())
    }

    /// Seats that somebody could have in the last step whatever was in doubt, where so many were in use. Nobody loses a seat
    /// for a request that a booking stands in the way of: S22 names those that all seats being taken stands in the way of.
    fn surely_free(&self, feature: usize, used: u64) -> u64 {
        let step = &self.step;
        let gone = if step.booked_max[feature] > 0 { 0 } else { step.gone[feature] };
        let free = step.totals_min[feature].saturating_sub(step.booked_max[feature]) + gone;
        free.saturating_sub(used)
    }

    /// Nothing is left of a checkout that its client has done with.
    pub(super) fn check_left_behind(&self, pid: u32, seen: &Seen) -> Result<(), Fault> {
        let sessions: Vec<_> = seen.of_pid(pid).collect();
        let waiters: Vec<_> = seen.waiters.iter().filter(|(_, waiter)| waiter.pid == pid).collect();
        if sessions.is_empty() && waiters.is_empty() {
            return Ok(());
        }
        let text = format!("{pid} is over, and there is still {sessions:?} {waiters:?}");
        Err(Fault::new(Check::LeftBehind, text))
    }

    /// A refused checkout was refused for a reason.
    pub(super) fn check_refusal(&mut self, now: u64, pid: u32, refused: &Refused) -> Result<(), Fault> {
        self.tally.refused += 1;
        let Some(known) = self.known.get(&pid) else { return Ok(()) };
        let wrong = |text: String| Err(Fault::new(Check::WrongRefusal, format!("{pid}, at {now}: {text}")));
        let is_possible = match refused.code.as_str() {
            // Seats of those who are gone are not taken for a borrow that goes too far anyway.
            codes::NO_SEATS => !self.had_room(known) || self.may_be_unlent(known),
            codes::RESERVED_FOR_OTHERS => self.step.booked_max.iter().any(|booked| *booked > 0),
            // The booking has ended, or has not come yet.
            codes::BAD_REQUEST => known.token.is_some(),
            codes::ALREADY_REMOVED => !known.bundles.is_empty() || known.is_cancelled || known.may_wait,
            codes::QUEUE_TIMEOUT => known.may_wait,
            codes::DENIED_BY_RULE | codes::NOT_PERMITTED => self.barred.contains(&known.owner),
            codes::BORROW_NOT_ALLOWED | codes::BORROW_TOO_LONG => self.may_be_unlent(known),
            codes::CLOCK_SUSPECT => self.is_wild_clock,
            codes::BUSY | codes::SHUTTING_DOWN | codes::QUEUE_FULL => true,
            _ => false,
        };
        if is_possible {
            Ok(())
        } else {
            wrong(format!("{}: {} ({:?})", refused.code, refused.message, self.step))
        }
    }

    /// Whether a checkout could surely have been granted in the last step.
    fn had_room(&self, known: &Known) -> bool {
        let has_queue = known.asked.iter().any(|(feature, _)| self.step.waited_for.contains(feature));
        !has_queue
            && known.asked.iter().all(|(feature, count)| {
                self.surely_free(*feature, self.step.used_max[*feature]) >= u64::from(*count)
            })
    }
}
