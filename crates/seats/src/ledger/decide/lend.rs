//! Seats for offline use: who may borrow, what may be lent, and for how long (S40, S41, S43).
//!
//! A borrow is a checkout that states hours. It passes every test of a checkout, and these beside them: the clock, since it
//! ends by the clock; the policy, which says who, how long and how many at once; the license, which must lend, be signed
//! and be good for this server alone; and the days to come, on which what is out must not exceed what is granted then. Its
//! seats stand alone: whoever has them is not on the host or at the desk where others could share them.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::iter;

use chrono::{DateTime, NaiveDate};

use super::super::{Ledger, Now};
use super::draft::Draft;
use super::judge::{Asked, Failure, Unfit, Want};
use crate::change::{Borrowed, Granted, GrantedSession, LentLicense, PoolId, SessionId, WrittenOff};
use crate::denial::{BorrowFact, Code, Denial, LimitFact};
use crate::evaluate::lent_until;
use crate::license::{License, LicenseType, Signed};
use crate::maintenance::{Block, Plan, Release, decide};
use crate::policy::{Access, BorrowTerms, RuleId};
use crate::request::Lend;

/// The most bytes of licenses, inclusive, that one borrow's tokens carry, so that its answer fits a frame: real licenses
/// have hundreds each.
pub const LENT_BYTES_MAX: usize = 256 << 10;

/// The most renewals, inclusive, that one token carries: one counts, and any more are those that begin while it is out.
const LENT_RENEWALS_MAX: usize = 32;

const HOUR_S: i64 = 3_600;

impl Ledger {
    /// What stands before any pool: the clock, what was lost, and the policy.
    pub(super) fn check_borrower(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        lend: &Lend,
        draft: &Draft,
    ) -> Result<(), Box<Denial>> {
        if !asked.now.clock.is_settled() {
            let text = format!(
                "the server's clock is in doubt ({}), and a borrow ends by it: its administrator sees more in `seatkeeper status`",
                asked.now.clock.as_str()
            );
            return Err(self.about(want, None, Code::ClockSuspect, text));
        }
        if let Some(text) = self.is_closed(lend) {
            return Err(self.about(want, None, Code::BorrowNotAllowed, text));
        }
        let Some((rule, terms)) = want.rules.borrow(asked.class) else { return Ok(()) };
        if terms.access == Access::Deny {
            let text = format!("the policy does not let {} borrow {}", asked.facts.user, want.name);
            return Err(self.by_borrow_rule(want, Code::BorrowNotAllowed, text, rule));
        }
        if let Some(hours) = terms.hours.filter(|hours| lend.hours > *hours) {
            let text = format!(
                "{} h are too long: the policy lends {} for {hours} h at most",
                lend.hours, want.name
            );
            let mut denial = self.by_borrow_rule(want, Code::BorrowTooLong, text, rule);
            if let Some(subject) = &mut denial.subject {
                subject.borrow = Some(BorrowFact { hours: Some(hours), last_day: None });
            }
            return Err(denial);
        }
        self.check_borrow_limits(want, asked, terms, rule, draft)
    }

    /// S43: so many seats of the feature at once, in all and for each user.
    fn check_borrow_limits(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        terms: BorrowTerms,
        rule: RuleId,
        draft: &Draft,
    ) -> Result<(), Box<Denial>> {
        let user = self.names.fold_user(&asked.facts.user);
        let limits = [(terms.per_user, true), (terms.seats, false)];
        for (seats, is_per_user) in limits {
            let Some(seats) = seats else { continue };
            let out = self.lent_of(want, draft, is_per_user.then_some(&user));
            if out.saturating_add(u64::from(want.count)) <= u64::from(seats) {
                continue;
            }
            let whose: Box<str> =
                if is_per_user { format!("user {user}").into() } else { "everybody".into() };
            let text = match is_per_user {
                true => format!("{whose} has {out} of at most {seats} borrowed seats of {}", want.name),
                false => format!("{out} seats of {} are borrowed, and {seats} may be at once", want.name),
            };
            let mut denial = self.by_borrow_rule(want, Code::BorrowLimit, text, rule);
            if let Some(subject) = &mut denial.subject {
                subject.limit = Some(LimitFact { seats, used: out, whose });
            }
            return Err(denial);
        }
        Ok(())
    }

    /// Seats of a feature that are lent, of all or of one user, with what the draft takes.
    fn lent_of(&self, want: &Want<'_>, draft: &Draft, user: Option<&String>) -> u64 {
        let seats = |pool: PoolId| {
            let of_user = |number: &SessionId| {
                let Some(((_, bundle), session)) = self.state.session(*number) else { return 0 };
                let is_meant = user.is_none_or(|user| self.names.fold_user(&bundle.facts.user) == **user);
                if is_meant { u64::from(session.count) } else { 0 }
            };
            self.state.borrowed_in(pool).map(|number| of_user(&number)).sum::<u64>()
        };
        let drafted = |pool: PoolId| draft.more(pool).iter().map(|(_, n)| u64::from(*n)).sum::<u64>();
        let there: Vec<PoolId> = self.pools_there(want).collect();
        // A pool that nobody ever used is known to the terms and not yet to the state.
        let new = self.terms.pools(want.at).map(|(pool, _)| pool).filter(|pool| !there.contains(pool));
        there.iter().map(|pool| seats(*pool) + drafted(*pool)).sum::<u64>() + new.map(drafted).sum::<u64>()
    }

    fn by_borrow_rule(&self, want: &Want<'_>, code: Code, text: String, rule: RuleId) -> Box<Denial> {
        let place = &self.usage.policy.rule(rule).place;
        let text = format!("{text} ({}:{}: {})", place.file, place.line, place.text);
        let mut denial = self.about(want, None, code, text);
        if let Some(subject) = &mut denial.subject {
            subject.rule = Some(place.into());
        }
        denial
    }

    /// S62: a part of the state was given up for lost, and something that was lent may be in it. Until the longest time
    /// that any license lends has passed, nothing is lent.
    fn is_closed(&self, lend: &Lend) -> Option<String> {
        let from = self.state.borrowing_closed()?;
        let of_feature = |f: &crate::catalog::FeatureLicenses| {
            f.licenses.iter().filter(|l| l.refusal.is_none()).filter_map(|l| l.carried.borrow_hours).max()
        };
        let longest = self.terms.catalog().features().iter().filter_map(of_feature).max().unwrap_or(0);
        let until = from.saturating_add(i64::from(longest).saturating_mul(HOUR_S));
        let day = |unix_s: i64| DateTime::from_timestamp(unix_s, 0).map(|at| at.format("%Y-%m-%d %H:%M UTC"));
        let (from, until_shown) = (day(from)?, day(until)?);
        (lend.from < until).then(|| {
            format!(
                "this server was started with --accept-loss at {from}, and what was lent before may be forgotten: nothing is \
                 lent until {until_shown}, when all of it is over"
            )
        })
    }

    /// Whether the license of a pool lends, and for that long.
    pub(super) fn check_lends(&self, want: &Want<'_>, license: &License, lend: &Lend) -> Result<(), Failure> {
        let fails = |text: String| Err(Failure::Terms(Unfit::Said(Code::BorrowNotAllowed, text)));
        match license.lends() {
            Err(why) => fails(format!("the license of {} {}", want.name, why.as_text())),
            Ok(hours) if lend.hours > hours => {
                let text = format!(
                    "{} h are too long: the license of {} lends for {hours} h at most",
                    lend.hours, want.name
                );
                Err(Failure::Lent(text, BorrowFact { hours: Some(hours), last_day: None }))
            }
            Ok(_) => Ok(()),
        }
    }

    /// S41: on every day that it reaches into, the seats that are out must not exceed what today's licenses grant then.
    pub(super) fn check_days(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &License,
        lend: &Lend,
        draft: &Draft,
    ) -> Result<(), Failure> {
        let Some(kind) = crate::evaluate::pool_kind(license) else { return Ok(()) };
        let seats = |number: SessionId| {
            let (_, borrow) = self.state.borrow_of(number)?;
            Some((borrow.last_day, u64::from(self.state.session(number)?.1.count)))
        };
        let mut out: Vec<_> = self.state.borrowed_in(pool).filter_map(seats).collect();
        out.extend(draft.more(pool).iter().map(|(_, n)| (lend.last_day, u64::from(*n))));
        let today = asked.now.day;
        self.check_lasts(want, asked, license, lend)?;
        let until = lent_until(want.feature, &kind, today, lend.last_day, &out, u64::from(want.count));
        if until.is_some_and(|day| day >= lend.last_day) {
            return Ok(());
        }
        let text = match until {
            Some(day) => format!(
                "{} can be lent until {day}, that day included: after it the licenses that are there today grant too few seats",
                want.name
            ),
            None => format!(
                "no more seats of {} can be lent today: as many are out as the licenses grant",
                want.name
            ),
        };
        Err(Failure::Lent(text, BorrowFact { hours: until.is_none().then_some(0), last_day: until }))
    }

    /// The pool of a subscription with a fallback version goes on after its END, and other versions do not: what is lent to them
    /// ends with it (S41, L31).
    fn check_lasts(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        license: &License,
        lend: &Lend,
    ) -> Result<(), Failure> {
        let Some(end) = license.end.filter(|end| license.has_fallback() && *end < lend.last_day) else {
            return Ok(());
        };
        let plan = Plan::of(license, &[], None, lend.last_day);
        let version = asked.facts.release_version.as_deref();
        if decide(&plan, lend.last_day, Release { version, ..Release::default() }).is_ok() {
            return Ok(());
        }
        let text = format!(
            "{} can be lent until {end}, that day included: its subscription ends, and this version is none that stays",
            want.name
        );
        Err(Failure::Lent(text, BorrowFact { hours: None, last_day: Some(end) }))
    }

    /// What stands behind the grant of a borrow.
    pub(super) fn lent(
        &self,
        granted: &Granted,
        lend: &Lend,
        now: Now,
    ) -> Result<Box<Borrowed>, Box<Denial>> {
        let lends = |s: &GrantedSession| {
            let license = self.terms.license_of(s.pool, &self.state)?;
            let signed = license.signed.clone().filter(|_| license.fingerprint == s.license)?;
            let (renewals, first_checkout) = self.lent_with(license, lend, now);
            Some(LentLicense { signed, renewals, first_checkout })
        };
        let licenses: Vec<LentLicense> = granted.sessions.iter().filter_map(lends).collect();
        let signed = licenses.iter().flat_map(|lent| iter::once(&lent.signed).chain(&lent.renewals));
        let bytes: usize = signed.map(|signed| signed.canonical.len() + signed.key.len()).sum();
        if licenses.len() != granted.sessions.len() || bytes > LENT_BYTES_MAX {
            let text = format!(
                "the licenses of these features have {bytes} bytes and a borrow carries {LENT_BYTES_MAX} at most: borrow them \
                 one by one"
            );
            return Err(Box::new(Denial::new(Code::BorrowNotAllowed, text)));
        }
        let seconds = i64::from(lend.hours).saturating_mul(HOUR_S);
        Ok(Box::new(Borrowed {
            bundle: granted.bundle,
            from: lend.from,
            until: lend.from.saturating_add(seconds),
            first_day: Some(now.day),
            last_day: lend.last_day,
            due: now.tick.saturating_add(seconds.unsigned_abs().saturating_mul(1_000)),
            licenses,
        }))
    }

    /// What a license is lent with (rules 3, 6.12): the renewals that count for it until the end of the borrow, and the day of its
    /// first checkout, which this may be.
    fn lent_with(
        &self,
        license: &Arc<License>,
        lend: &Lend,
        now: Now,
    ) -> (Vec<Arc<Signed>>, Option<NaiveDate>) {
        let catalog = self.terms.catalog();
        let of = catalog.index_of(&license.vendor, &license.feature).map(|at| &catalog.features()[at]);
        let Some((of, at)) = of.and_then(|of| Some((of, of.index_of(license)?))) else {
            return (Vec::new(), None);
        };
        let first_checkout = license
            .starts_at_first_checkout()
            .then(|| self.state.first_checkouts().day_of(of, at).unwrap_or(now.day));
        let own = Plan::of(license, &[], first_checkout, now.day).blocks;
        (renewals_that_count(license, own, of.renewals(at), now.day, lend.last_day), first_checkout)
    }

    /// An administrator notes that a borrowed seat will not be given back before its time (S42): the change.
    ///
    /// # Errors
    /// It is not lent.
    pub fn decide_write_off(
        &self,
        id: SessionId,
        by: &str,
        reason: &str,
        unix_s: i64,
    ) -> Result<WrittenOff, Box<Denial>> {
        if self.state.borrow_of(id).is_none() {
            let text = match self.state.session(id) {
                Some(_) => {
                    format!("session {id} is not borrowed: `seatkeeper release {id}` takes its seats away")
                }
                None => return Err(self.not_there(id)),
            };
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        Ok(WrittenOff { borrow: id, at: unix_s, by: by.into(), reason: reason.into() })
    }
}

/// Those renewals without which something would be refused that they allow, on some day from `today` to `last`, both included;
/// by the day on which they begin. `own`: the license's own blocks.
fn renewals_that_count(
    license: &License,
    own: Vec<Block>,
    renewals: &[Arc<License>],
    today: NaiveDate,
    last: NaiveDate,
) -> Vec<Arc<Signed>> {
    // Any version runs, so there is nothing to extend.
    if license.version.is_none() || license.license_type == LicenseType::Evaluation {
        return Vec::new();
    }
    let mut blocks: Vec<(Block, Option<&Arc<Signed>>)> = own.into_iter().map(|block| (block, None)).collect();
    for renewal in renewals {
        let start = renewal.carried.maintenance.as_deref().and_then(|given| given.start);
        if let (Some(end), Some(signed)) = (renewal.carried.maintenance_end, &renewal.signed) {
            blocks.push((Block { start, end }, Some(signed)));
        }
    }
    let begins = |block: &Block| block.start.map_or(today, |start| start.max(today));
    // Its own comes first of those that are alike.
    blocks.sort_by_key(|(block, signed)| (begins(block), Reverse(block.end), signed.is_some()));
    let mut covered_until = NaiveDate::MIN;
    let mut counting = Vec::new();
    for (block, signed) in blocks.into_iter().filter(|(block, _)| begins(block) <= last) {
        if block.end > covered_until {
            covered_until = block.end;
            counting.extend(signed.cloned());
        }
    }
    counting.truncate(LENT_RENEWALS_MAX);
    counting
}
