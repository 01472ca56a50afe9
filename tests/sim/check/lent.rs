//! What is lent stays out until its end, whatever becomes of connections and of the daemon; it comes back then, and it is
//! lent by what was sold and told alike each time (S40 to S42). Ends, days and what is believed of the clock are worked out
//! here once more.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::Signature;
use wire::Extra;
use wire::answer::{Grant, Loan};
use wire::borrow::BorrowToken;

use super::seen::Seen;
use super::{Check, Checker, Fault, Known};
use crate::licenses::{DAY_MS, Day, FEATURES, Sheet, identity};

const HOUR_MS: u64 = 3_600_000;
/// The same for the wall clock.
const WALL_HOUR_MS: i64 = 3_600_000;
/// Two readings of the clock in one step may be so far apart.
const BLUR_MS: i64 = 1_000;
/// For how long what is over may still be out: the engine looks twice a second.
const OVERDUE_MS: u64 = 1_500;

/// One session that is lent.
#[derive(Debug)]
struct Out {
    feature: usize,
    count: u32,
    hours: u32,
    /// When it was granted, and in which run of the daemon.
    at: u64,
    run: u64,
    /// The first moment at which it is over, Unix seconds.
    until: i64,
    /// As its client was told first.
    token: Option<Vec<u8>>,
    overdue_since: Option<u64>,
}

impl Out {
    /// The last day it reaches into.
    fn last_day(&self) -> Day {
        (self.until * 1_000 - 1).div_euclid(DAY_MS)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lent {
    out: BTreeMap<u64, Out>,
    /// Which run of the daemon this is.
    run: u64,
    /// The last reading of the wall clock, Unix milliseconds.
    clock: i64,
    /// The latest reading that may be believed; `None`: there was none yet.
    believed: Option<i64>,
    /// Since when the clock stands more than a day after that.
    ahead_since: Option<u64>,
    /// What stood against a borrow in the last step: the licenses, and what was out before it or after, with its last day.
    sheets: Vec<Sheet>,
    out_in_step: Vec<(usize, Day, u32)>,
    /// What a start that failed may have ended before it did.
    in_doubt: BTreeSet<u64>,
}

impl Lent {
    /// S71: a jump forward of more than a day is believed after an hour.
    pub(super) fn look_at_clock(&mut self, now: u64, unix_ms: i64) {
        self.clock = unix_ms;
        let believed = self.believed.get_or_insert(unix_ms);
        if unix_ms <= *believed + DAY_MS + BLUR_MS {
            *believed = unix_ms.max(*believed);
            self.ahead_since = None;
        } else if now + OVERDUE_MS >= *self.ahead_since.get_or_insert(now) + HOUR_MS {
            *believed = unix_ms;
        }
    }
}

impl Checker {
    pub(super) fn is_lent(&self, session: u64) -> bool {
        self.lent.out.contains_key(&session)
    }

    /// A daemon has begun to serve.
    pub(super) fn begin_run(&mut self) {
        self.lent.run += 1;
    }

    /// A start has failed, after it may have taken back what was over.
    pub(super) fn doubt_what_is_over(&mut self, now: u64, unix_ms: i64) {
        self.begin_run();
        self.lent.look_at_clock(now, unix_ms);
        let ids = self.lent.out.keys().copied();
        let over: Vec<u64> = ids.filter(|id| self.may_be_back(*id, now, unix_ms)).collect();
        self.lent.in_doubt.extend(over);
    }

    pub(super) fn may_have_gone(&self, session: u64) -> bool {
        self.lent.in_doubt.contains(&session)
    }

    /// The daemon has started, and what is there is known.
    pub(super) fn end_doubt(&mut self) {
        self.lent.in_doubt.clear();
    }

    /// Whether something that is lent may be over (S42).
    pub(super) fn may_be_back(&self, session: u64, now: u64, unix_ms: i64) -> bool {
        let Some(out) = self.lent.out.get(&session) else { return false };
        let is_past = unix_ms.div_euclid(1_000) >= out.until;
        let ran = out.run != self.lent.run || now >= out.at + u64::from(out.hours) * HOUR_MS;
        is_past && ran && self.lent.believed.is_none_or(|believed| unix_ms <= believed)
    }

    /// What a step has granted to those who borrow.
    pub(super) fn note_lent(&mut self, now: u64, unix_ms: i64, before: &Seen, after: &Seen) {
        for (id, session) in after.sessions.iter().filter(|(id, _)| !before.sessions.contains_key(id)) {
            let hours = self.known.get(&session.pid).and_then(|known| known.hours);
            let Some(hours) = hours else {
                // The number of a grant that was lost with the daemon is another's now.
                self.lent.out.remove(id);
                continue;
            };
            let until = unix_ms.div_euclid(1_000) + i64::from(hours) * WALL_HOUR_MS / 1_000;
            let (feature, count, run) = (session.feature, session.count, self.lent.run);
            let out = Out { feature, count, hours, at: now, run, until, token: None, overdue_since: None };
            self.lent.out.insert(*id, out);
            self.tally.borrows += 1;
        }
    }

    /// For the refusals that come out of a step.
    pub(super) fn note_offers(&mut self, before: &Seen, after: &Seen) {
        self.lent.sheets.clone_from(&self.sheets);
        let is_there = |id: &u64| before.sessions.contains_key(id) || after.sessions.contains_key(id);
        let out = self.lent.out.iter().filter(|(id, _)| is_there(id));
        self.lent.out_in_step = out.map(|(_, out)| (out.feature, out.last_day(), out.count)).collect();
        // What was granted just now is noted afterwards: it counts for as long as anything.
        let new = after.sessions.iter().filter(|(id, _)| !before.sessions.contains_key(id));
        let new = new.filter(|(_, s)| self.known.get(&s.pid).is_some_and(|known| known.hours.is_some()));
        self.lent.out_in_step.extend(new.map(|(_, s)| (s.feature, Day::MAX, s.count)));
    }

    /// After a step: what was lent in it could be lent, and what is over is back.
    pub(super) fn check_lent(
        &mut self,
        now: u64,
        unix_ms: i64,
        before: &Seen,
        after: &Seen,
    ) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::new(Check::Lent, text));
        if self.flaw.hides_terms() {
            return self.check_overdue(now, unix_ms, after);
        }
        for (id, session) in &after.sessions {
            let Some(out) = self.lent.out.get(id) else {
                if session.lent.is_some() {
                    return wrong(format!("{id} is lent and nobody asked for that: {session:?}"));
                }
                continue;
            };
            if session.lent != Some(out.until) || session.count != out.count {
                return wrong(format!("{id} should be lent as {out:?}: {session:?}"));
            }
            if before.sessions.contains_key(id) {
                continue;
            }
            let sells = |sheet: &Sheet| sheet.lent(out.feature).is_some_and(|most| out.hours <= most);
            if !self.sheets.iter().any(sells) {
                return wrong(format!("{id} is lent for {} h by nobody", out.hours));
            }
            // S41.
            for day in self.day..=out.last_day() {
                let lent = self.lent.out.iter().filter(|(id, other)| {
                    other.feature == out.feature && other.last_day() >= day && after.sessions.contains_key(id)
                });
                let lent: u64 = lent.map(|(_, other)| u64::from(other.count)).sum();
                let most = self.sheets.iter().map(|s| u64::from(s.total(out.feature, day))).max();
                if !self.is_wild_clock && lent > most.unwrap_or(0) {
                    let name = FEATURES[out.feature];
                    return wrong(format!("{id}: {lent} of {name} are lent over day {day}, of {most:?}"));
                }
            }
        }
        self.check_overdue(now, unix_ms, after)
    }

    /// What is over is back before long. Where the clock may be wrong by days, the end of the history alone shows it.
    pub(super) fn check_overdue(&mut self, now: u64, unix_ms: i64, after: &Seen) -> Result<(), Fault> {
        let over: Vec<u64> = self.lent.out.keys().copied().collect();
        for id in over {
            let is_over = self.may_be_back(id, now, unix_ms) && after.sessions.contains_key(&id);
            let Some(out) = self.lent.out.get_mut(&id) else { continue };
            let since = is_over.then(|| out.overdue_since.unwrap_or(now));
            out.overdue_since = since;
            if !self.is_wild_clock && since.is_some_and(|since| now > since + OVERDUE_MS) {
                return Err(Fault::new(Check::Lent, format!("{id} is over since {since:?}: {out:?}")));
            }
        }
        Ok(())
    }

    /// What has come back.
    pub(super) fn forget_what_is_back(&mut self, seen: &Seen) {
        let (checkins, tally) = (&self.checkins, &mut self.tally);
        self.lent.out.retain(|id, _| {
            let is_there = seen.sessions.contains_key(id);
            tally.borrows_returned += u64::from(!is_there && checkins.contains(id));
            is_there
        });
    }

    /// A daemon has started: what is lent is lent until the same moment as before.
    pub(super) fn check_lent_told(&mut self, found: &Seen) -> Result<(), Fault> {
        if self.flaw.hides_terms() {
            return Ok(());
        }
        for (id, session) in &found.sessions {
            let until = self.lent.out.get(id).map(|out| out.until);
            if session.lent != until {
                let text = format!("{id} was lent until {until:?}, and was read back as {session:?}");
                return Err(Fault::new(Check::NotOnDisk, text));
            }
        }
        self.forget_what_is_back(found);
        Ok(())
    }

    /// A client was told of seats: what is lent has its token, the same each time, and nothing else has one.
    pub(super) fn told_loans(&mut self, pid: u32, told: &[Grant], extras: &[Extra]) -> Result<(), Fault> {
        if self.flaw.hides_terms() {
            return Ok(());
        }
        let wrong = |text: String| Err(Fault::new(Check::Lent, format!("{pid}: {text}")));
        let loans = Loan::among(extras);
        for session in told.iter().map(|grant| grant.session) {
            let loan = loans.iter().find(|loan| loan.session == session);
            let Some(out) = self.lent.out.get_mut(&session) else {
                // It may have ended in the very step that told of it.
                if loan.is_some() && self.seen.sessions.contains_key(&session) {
                    return wrong(format!("{session} is not lent and has a token"));
                }
                continue;
            };
            let Some(loan) = loan else { return wrong(format!("{session} is lent and has no token")) };
            if loan.ends_at != out.until {
                return wrong(format!("{session} was told to end at {}: {out:?}", loan.ends_at));
            }
            if *out.token.get_or_insert_with(|| loan.token.clone()) != loan.token {
                return wrong(format!("{session} has another token than before"));
            }
            let owner = self.known.get(&pid).map_or("", |known| known.owner.as_str());
            if let Err(text) = check_token(session, out, owner, &loan.token) {
                return wrong(format!("the token of {session}: {text}"));
            }
        }
        Ok(())
    }

    /// Whether a borrow that was refused for its hours could not surely be granted in the last step.
    pub(super) fn may_be_unlent(&self, known: &Known) -> bool {
        let Some(hours) = known.hours else { return false };
        let until = self.lent.clock + i64::from(hours) * WALL_HOUR_MS;
        let last_day = (until - 1).div_euclid(DAY_MS).max(self.day);
        let is_short = |feature: usize, count: u32, day: Day| {
            let out = self.lent.out_in_step.iter().filter(|(of, last, _)| *of == feature && *last >= day);
            let out = out.map(|(_, _, seats)| u64::from(*seats)).sum::<u64>() + u64::from(count);
            self.lent.sheets.iter().any(|sheet| out > u64::from(sheet.total(feature, day)))
        };
        let is_sold = |sheet: &Sheet, feature: usize| sheet.lent(feature).is_some_and(|most| hours <= most);
        self.is_wild_clock
            || known.asked.iter().any(|(feature, count)| {
                self.lent.sheets.iter().any(|sheet| !is_sold(sheet, *feature))
                    || (self.day..=last_day).any(|day| is_short(*feature, *count, day))
            })
    }

    /// After everybody has gone and time has passed, but for the hours of what is lent.
    pub(crate) fn check_only_lent_left(&self, seen: &Seen) -> Result<(), Fault> {
        match seen.sessions.iter().find(|(id, _)| !self.is_lent(**id)) {
            Some((id, session)) => {
                Err(Fault::new(Check::LeftBehind, format!("at the end there is {id}: {session:?}")))
            }
            None => Ok(()),
        }
    }
}

/// What a client can verify offline.
fn check_token(session: u64, out: &Out, owner: &str, bytes: &[u8]) -> Result<(), String> {
    let token = BorrowToken::from_bytes(bytes).map_err(|error| error.to_string())?;
    let (lent, key) = (&token.lent, identity().public_key());
    let says = (lent.borrow, lent.feature.as_str(), lent.count, lent.ends_at, lent.user.as_str());
    let is = (session, FEATURES[out.feature], out.count, out.until, owner);
    if says != is || lent.server_key != key.to_bytes() {
        return Err(format!("it says {says:?}, and {is:?} are lent"));
    }
    let signed = lent.signed_bytes().map_err(|error| error.to_string())?;
    key.verify_strict(&signed, &Signature::from_bytes(&token.signature)).map_err(|error| error.to_string())
}
