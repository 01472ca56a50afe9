//! The words and facts of a denial: which pool came nearest to success, and everything needed to act on it (S4).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::tally::{self, Part};
use super::super::usage::{client, client_of};
use super::super::{Ledger, Now};
use super::clock::ended_in_doubt;
use super::draft::Draft;
use super::judge::{Asked, Failure, Tried, Unfit, Want};
use super::limits;
use crate::catalog::{FeatureLicenses, TokenNeed};
use crate::change::{PoolId, SessionId, Tick};
use crate::denial::{Code, Denial, Due, HOLDERS_MAX, Holder, LimitFact, OtherPool, Subject};
use crate::evaluate::{State as LicenseState, Total, evaluate, next_rise, pool_kind};
use crate::license::{LicenseType, Reason};
use crate::maintenance::{Refused, contact, is_unlimited};
use crate::policy::RuleId;
use crate::request::Item;

/// How many silent clients are looked at to say when a seat is due.
const LOST_LOOKED_AT: usize = 64;

/// How near to success a denial is: the greatest is reported where several pools deny for different reasons (S4; rules 3,
/// 6.7).
pub(super) fn nearness(code: Code) -> u8 {
    match code {
        Code::NoSeats | Code::NoCoveredSeat => 20,
        Code::ReservedForOthers | Code::NotNamed => 19,
        Code::LimitUser | Code::LimitHost | Code::LimitGroup | Code::LimitProject => 18,
        // Of the pool itself everything is right: only the clock must be mended.
        Code::DeniedByRule | Code::ClockSuspect | Code::BorrowTooLong => 17,
        Code::MaintenanceNotStarted => 16,
        Code::MaintenanceExpired => 15,
        Code::MinorUpdateNotIncluded | Code::MajorUpdateNotIncluded => 14,
        Code::VersionAboveMaximum => 13,
        Code::VersionNotLicensed => 12,
        Code::ReleaseVersionRequired
        | Code::ReleaseVersionInvalid
        | Code::ReleaseDateRequired
        | Code::ReleaseDateInvalid => 11,
        Code::BorrowNotAllowed => 10,
        Code::Platform => 9,
        Code::TimeZone => 8,
        Code::ClientHostMismatch => 7,
        Code::NotStarted => 6,
        Code::Expired | Code::EvaluationExpired | Code::SubscriptionExpired => 5,
        _ => 0,
    }
}

/// Something that gives seats of a pool back by itself.
enum Coming<'a> {
    /// A client is gone for so long that its seats may be given away, and no HOLD keeps them.
    Lost(Part<'a>),
    /// So many held seats are free.
    Held(u32),
}

impl Ledger {
    /// The index of the feature an item names (S1: the vendor only where two sell the same name).
    pub(super) fn find_feature(&self, item: &Item) -> Result<usize, Box<Denial>> {
        let (first, same_name) = self.terms.catalog().find(&item.feature);
        let served = |f: &&FeatureLicenses| f.has_good_license();
        let wanted = |f: &FeatureLicenses| match &item.vendor {
            Some(vendor) => f.vendor.as_str().eq_ignore_ascii_case(vendor),
            None => true,
        };
        let mut found = same_name.iter().enumerate().filter(|(_, f)| wanted(f) && served(f));
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Ok(first + at),
            (Some(_), Some(_)) => {
                let vendors: Vec<&str> = same_name.iter().filter(served).map(|f| f.vendor.as_str()).collect();
                let text = format!(
                    "{} is sold by {}: say which vendor is meant",
                    item.feature,
                    vendors.join(" and ")
                );
                Err(self.about_item(item, Denial::new(Code::AmbiguousVendor, text)))
            }
            (None, _) => Err(self.unknown_feature(item, same_name)),
        }
    }

    fn unknown_feature(&self, item: &Item, same_name: &[FeatureLicenses]) -> Box<Denial> {
        let is_meant = |f: &FeatureLicenses| {
            item.vendor.as_deref().is_none_or(|vendor| f.vendor.as_str().eq_ignore_ascii_case(vendor))
        };
        let others: Vec<&str> =
            same_name.iter().filter(|f| f.has_good_license()).map(|f| f.vendor.as_str()).collect();
        let text = if same_name.iter().any(is_meant) {
            format!(
                "no license of {} was accepted by this server: ask its administrator to look at `seatkeeper licenses`",
                item.feature
            )
        } else if let (Some(vendor), false) = (&item.vendor, others.is_empty()) {
            format!(
                "no license of {} by {vendor} is on this server; there is one by {}",
                item.feature,
                others.join(", ")
            )
        } else {
            let similar = self.terms.catalog().similar(&item.feature);
            let hint = if similar.is_empty() {
                String::new()
            } else {
                format!("; did you mean {}?", similar.join(", "))
            };
            format!("no license of {} is on this server{hint}", item.feature)
        };
        self.about_item(item, Denial::new(Code::UnknownFeature, text))
    }

    /// No license of it is in force: not begun, or over (rules 3, 6.4 b).
    pub(super) fn not_in_force(&self, want: &Want<'_>, now: Now) -> Box<Denial> {
        let feature = want.feature;
        let evaluation = evaluate(feature, now.day);
        let with = |reason: Reason| {
            let standings = evaluation.standings.iter().enumerate();
            let of =
                standings.filter(move |(_, s)| s.state != LicenseState::InForce && s.reason == Some(reason));
            of.map(|(at, _)| &feature.licenses[at]).filter(|l| pool_kind(l).is_some())
        };
        let coming = with(Reason::NotStarted).min_by_key(|l| l.start);
        let ended = with(Reason::Expired).max_by_key(|l| l.end);
        // Waiting for a beginning is nearer to success than something that is over.
        let (code, text, license) = match (coming, ended) {
            (Some(l), _) => (
                Code::NotStarted,
                format!("the license of {} begins on {}", want.name, show(l.start)),
                Some(l),
            ),
            // S71: by the clock it is in force still.
            (None, Some(l)) if let Some(text) = ended_in_doubt(l, want.name, now) => {
                (Code::ClockSuspect, text, Some(l))
            }
            (None, Some(l)) => {
                let ended = Refused::Ended(l.license_type, l.end.unwrap_or(now.day));
                let text = if l.license_type == LicenseType::Perpetual {
                    format!(
                        "the license of {} ended with {}: running sessions go on, new ones need a renewal",
                        want.name,
                        show(l.end)
                    )
                } else {
                    self.unfit_text(feature, l, want.name, &Unfit::Version(Box::new(ended.clone())))
                };
                (ended.code(), text, Some(l))
            }
            (None, None) => {
                let refused = evaluation.standings.iter().position(|s| {
                    matches!(s.reason, Some(Reason::Replaced | Reason::TokenLoop | Reason::TokenSharing))
                });
                // The sentence that says who replaces it names files, which not everybody may read (S84).
                let reason = refused.and_then(|at| evaluation.standings[at].reason);
                let text = match reason {
                    Some(reason) => format!(
                        "no license of {} is in force ({reason}): `seatkeeper explain {}` tells its administrator why",
                        want.name, want.name
                    ),
                    None => format!(
                        "{} has no floating license here: only upgrades, or a node-locked license",
                        want.name
                    ),
                };
                let at = refused.unwrap_or(0);
                (Code::UnknownFeature, text, feature.licenses.get(at))
            }
        };
        let mut denial = self.about(want, None, code, text);
        if let Some(subject) = &mut denial.subject {
            subject.place = license.map(|l| l.place.clone());
            subject.due = coming.and_then(|l| l.start).map(Due::Day);
        }
        denial
    }

    pub(super) fn denied_by_rule(&self, want: &Want<'_>, rule: RuleId) -> Box<Denial> {
        let place = &self.usage.policy.rule(rule).place;
        let text = format!("the policy does not allow it ({}:{}: {})", place.file, place.line, place.text);
        let mut denial = self.about(want, None, Code::DeniedByRule, text);
        if let Some(subject) = &mut denial.subject {
            subject.rule = Some(place.into());
        }
        denial
    }

    /// Whether an administrator took a seat away from this very client and lets it have none for a while (S25).
    pub(super) fn barred(&self, want: &Want<'_>, asked: &Asked<'_>) -> Option<Box<Denial>> {
        let (vendor, feature) = (&want.feature.vendor, &want.feature.feature);
        let of = client_of(&asked.class.user, &asked.class.host);
        // Without a policy nobody looked the names up.
        let of = if asked.class.user.is_empty() { client(self.names, asked.facts) } else { of };
        let barred = self.state.bar(vendor, feature, &of).filter(|barred| barred.until > asked.now.tick)?;
        let ms = barred.until - asked.now.tick;
        let reason = if barred.reason.is_empty() { String::new() } else { format!(": {}", barred.reason) };
        let text = format!(
            "{} bars {} on {} from {} for {} s more{reason}",
            barred.by,
            asked.facts.user,
            asked.facts.host,
            want.name,
            ms.div_ceil(1000)
        );
        let mut denial = self.about(want, None, Code::DeniedByRule, text);
        if let Some(subject) = &mut denial.subject {
            subject.due = Some(Due::BarEnds(ms));
        }
        Some(denial)
    }

    /// Of all pools that were tried the one that came nearest to success; the others are listed (S4).
    pub(super) fn nearest(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        mut tried: Vec<Tried>,
        draft: &Draft,
    ) -> Box<Denial> {
        // The first of equals, in the order of trial; but of several whose maintenance is over the one that lasted longest.
        let near = |at: &usize| {
            let code = tried[*at].failure.code();
            let lasted = (code == Code::MaintenanceExpired)
                .then(|| self.plan(want.feature, &tried[*at].license).effective_end());
            (nearness(code), lasted)
        };
        let best = (0..tried.len()).rev().max_by_key(near).unwrap_or(0);
        let best = tried.remove(best);
        if let Failure::Needed(denial) = best.failure {
            // It is about a feature that the token needs, and lists the pools of that one.
            return denial;
        }
        let others: Vec<OtherPool> = tried.iter().map(|t| self.other_pool(want, t, asked.now)).collect();
        let mut denial = self.of_pool(want, asked, best, &tried, draft);
        if let Some(subject) = &mut denial.subject {
            subject.others = others;
        }
        denial
    }

    pub(super) fn other_pool(&self, want: &Want<'_>, tried: &Tried, now: Now) -> OtherPool {
        let kind = pool_kind(&tried.license).unwrap_or(crate::change::PoolKind::Exclusive);
        let numbers = self.numbers(tried.pool);
        let message = match &tried.failure {
            Failure::Terms(unfit) => self.unfit_text(want.feature, &tried.license, want.name, unfit),
            Failure::Lent(text, _) => text.clone(),
            Failure::Needed(denial) => denial.message.clone(),
            Failure::Limit(limit, used) => self.limit_text(want, limit, *used),
            Failure::Full(wanted) => {
                if let Some(kept) = self.kept_by_clock(want, tried.pool, *wanted, now) {
                    return OtherPool { pool: tried.pool, kind, code: Code::NoSeats, message: kept };
                }
                let taken = numbers.used.saturating_add(numbers.held);
                let free = numbers.total.limited().map_or(0, |t| u64::from(t).saturating_sub(taken));
                if free > 0 {
                    // Fewer than wanted, or an earlier item of the request takes them.
                    format!("{wanted} seats were asked for, {free} of {} are free", numbers.total)
                } else if numbers.held > 0 {
                    let (used, held) = (numbers.used, numbers.held);
                    format!("of {} seats {used} are in use and {held} held", numbers.total)
                } else {
                    format!("{} of {} seats are in use", numbers.used, numbers.total)
                }
            }
            Failure::Reserved(_) => "its free seats are reserved for others".to_string(),
            Failure::NotNamed(_) => "its free seats are for users or hosts named in the policy".to_string(),
        };
        OtherPool { pool: tried.pool, kind, code: tried.failure.code(), message }
    }

    fn of_pool(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        tried: Tried,
        others: &[Tried],
        draft: &Draft,
    ) -> Box<Denial> {
        let Tried { pool, license, failure } = tried;
        let code = failure.code();
        let mut denial = match failure {
            Failure::Needed(denial) => return denial,
            Failure::Terms(unfit) => {
                let text = self.unfit_text(want.feature, &license, want.name, &unfit);
                self.about(want, Some(pool), code, text)
            }
            Failure::Lent(text, fact) => {
                let mut denial = self.about(want, Some(pool), code, text);
                if let Some(subject) = &mut denial.subject {
                    subject.borrow = Some(fact);
                }
                denial
            }
            Failure::Limit(limit, used) => {
                let text = self.limit_text(want, &limit, used);
                let mut denial = self.about(want, Some(pool), code, text);
                if let Some(subject) = &mut denial.subject {
                    let policy = &self.usage.policy;
                    subject.rule = Some((&policy.rule(limit.rule).place).into());
                    let whose = limits::in_words(policy, &limit.subject).into();
                    subject.limit = Some(LimitFact { seats: limit.seats, used, whose });
                }
                denial
            }
            Failure::Reserved(wanted) | Failure::NotNamed(wanted) => {
                let text = self.reserved_text(want, asked, code, draft);
                let mut denial = self.about(want, Some(pool), code, text);
                if let Some(subject) = &mut denial.subject {
                    subject.wanted = wanted;
                    subject.rule = self.reserving_rule(want, asked, draft);
                    subject.holders = self.holders(pool);
                }
                denial
            }
            Failure::Full(wanted) => self.no_seats(want, asked, pool, wanted, others),
        };
        if let Some(subject) = &mut denial.subject {
            subject.place = Some(license.place.clone());
        }
        denial
    }

    fn limit_text(&self, want: &Want<'_>, limit: &crate::policy::Limit, used: u64) -> String {
        let policy = &self.usage.policy;
        let place = &policy.rule(limit.rule).place;
        format!(
            "{} has {used} of at most {} seats of {} ({}:{}: {})",
            limits::in_words(policy, &limit.subject),
            limit.seats,
            want.name,
            place.file,
            place.line,
            place.text
        )
    }

    fn reserved_text(&self, want: &Want<'_>, asked: &Asked<'_>, code: Code, draft: &Draft) -> String {
        if code == Code::NotNamed {
            return format!(
                "the free seats of {} are for users or hosts that the policy names by a reservation (L63)",
                want.name
            );
        }
        match self.reserving_rule(want, asked, draft) {
            Some(rule) => format!(
                "the free seats of {} are reserved for others ({}:{}: {})",
                want.name, rule.file, rule.line, rule.text
            ),
            None if self.is_booked(want, asked, draft) => {
                format!("the free seats of {} are booked by others", want.name)
            }
            None => format!(
                "more seats of {} than are reserved for this one: the others that are free are for users or hosts that the policy names (L63)",
                want.name
            ),
        }
    }

    /// The first reservation that keeps seats from this request.
    fn reserving_rule(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        draft: &Draft,
    ) -> Option<crate::denial::RuleFact> {
        let asker = super::kept::Asker { class: asked.class, booking: want.booking, draft };
        let kept = self.kept(want.at, want.feature, Some(&asker));
        kept.iter().filter(|k| k.left() > 0 && !asker.is_meant(self, k)).find_map(|k| match k.by {
            super::kept::For::Rule(rule, _) => Some((&self.usage.policy.rule(rule).place).into()),
            super::kept::For::Booking(_) => None,
        })
    }

    /// Whether bookings of others keep seats from this request.
    fn is_booked(&self, want: &Want<'_>, asked: &Asked<'_>, draft: &Draft) -> bool {
        let asker = super::kept::Asker { class: asked.class, booking: want.booking, draft };
        let kept = self.kept(want.at, want.feature, Some(&asker));
        let is_booking = |k: &super::kept::Kept| matches!(k.by, super::kept::For::Booking(_));
        kept.iter().any(|k| is_booking(k) && k.left() > 0 && !asker.is_meant(self, k))
    }

    fn no_seats(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        wanted: u64,
        others: &[Tried],
    ) -> Box<Denial> {
        let now = asked.now;
        let numbers = self.numbers(pool);
        let (used, total) = (numbers.used, numbers.total);
        let free =
            numbers.total.limited().map_or(u64::MAX, |t| u64::from(t).saturating_sub(used + numbers.held));
        let mut code = Code::NoSeats;
        let mut text = if numbers.over() > 0 {
            let held = match numbers.held {
                0 => String::new(),
                held => format!(", {held} are held after they were given back,"),
            };
            let missing = numbers.over() + wanted;
            format!(
                "{used} seats of {} are in use{held} and the licenses grant {total} today: no seat is free until {missing} are given back",
                want.name
            )
        } else if free > 0 {
            format!("{wanted} seats of {} were asked for, {free} of {total} are free", want.name)
        } else if numbers.held > 0 {
            let all = match total {
                Total::Limited(1) => format!("the one seat of {} is taken", want.name),
                total => format!("all {total} seats of {} are taken", want.name),
            };
            format!("{all}: {used} in use, {} held after they were given back", numbers.held)
        } else {
            match total {
                Total::Limited(1) => format!("the one seat of {} is in use", want.name),
                total => format!("all {total} seats of {} are in use", want.name),
            }
        };
        // It stays a want of seats: one that is given back serves whoever waits.
        if let Some(kept) = self.kept_by_clock(want, pool, wanted, now) {
            text = kept;
        }
        // Rules 3, 6.7.3: only where every pool that covers this program is full, and another has a free seat.
        let is_full = |t: &Tried| !(17..=19).contains(&nearness(t.failure.code()));
        let has_seats = |t: &&Tried| is_about_version(t.failure.code()) && t.license.count.is_some();
        let uncovered = others.iter().filter(has_seats).filter(|_| others.iter().all(is_full));
        let elsewhere: u64 = uncovered.map(|t| self.numbers(t.pool).free().unwrap_or(1)).sum();
        if elsewhere > 0 {
            code = Code::NoCoveredSeat;
            let is_plain = numbers.over() == 0 && numbers.held == 0 && free == 0;
            text = self.uncovered_text(want, asked, is_plain.then_some(pool).ok_or(text), others, elsewhere);
        }
        let mut denial = self.about(want, Some(pool), code, text);
        if let Some(subject) = &mut denial.subject {
            subject.wanted = wanted;
            subject.due = self.next_due(want.at, pool, now);
            subject.recovering = self.presence.is_recovering(now.tick) && numbers.suspect > 0;
            subject.holders = self.holders(pool);
        }
        denial
    }

    /// Rules 3, 6.6: what covers the program is full, and what is free does not cover it. `full`: the pool that is full of sessions,
    /// or why it gives no seat in other words.
    fn uncovered_text(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        full: Result<PoolId, String>,
        others: &[Tried],
        elsewhere: u64,
    ) -> String {
        let version = asked.facts.release_version.as_deref().unwrap_or("of this program");
        let full = full.map_or_else(
            |text| format!("{text}, and no other seat covers version {version}"),
            |pool| {
                let full = others.iter().filter(|t| t.failure.code() == Code::NoSeats).map(|t| t.pool);
                let seats =
                    full.chain([pool]).map(|pool| self.numbers(pool).total.limited().map_or(0, u64::from));
                match seats.fold(0, u64::saturating_add) {
                    1 => format!(
                        "the one seat of {} whose maintenance covers version {version} is in use",
                        want.name
                    ),
                    n => format!(
                        "all {n} seats of {} whose maintenance covers version {version} are in use",
                        want.name
                    ),
                }
            },
        );
        let uncovered =
            others.iter().filter(|t| is_about_version(t.failure.code()) && t.license.count.is_some());
        let plans = uncovered.map(|t| (&t.license, self.plan(want.feature, &t.license)));
        let Some((license, plan)) = plans.max_by_key(|(_, plan)| plan.effective_end()) else { return full };
        let covers = match (plan.effective_end(), plan.version) {
            (Some(end), _) if !is_unlimited(end) => format!("for releases up to {end} only"),
            (None, Some(owned)) => format!("for {owned} and older only"),
            _ => "not for it".to_string(),
        };
        let others = if elsewhere == 1 {
            "one other seat is".to_string()
        } else {
            format!("{elsewhere} other seats are")
        };
        let best = match self.newest_for(want.feature, &plan) {
            Some(best) => format!("use {best}, "),
            None => String::new(),
        };
        let contact = contact(license);
        format!("{full}; {others} free and {covers}: wait, {best}or renew the others at {contact}")
    }

    /// When one more seat than now may be had: a client is gone for long enough, held seats are free, else an upgrade
    /// begins.
    pub(super) fn next_due(&self, at: usize, pool: PoolId, now: Now) -> Option<Due> {
        let numbers = self.numbers(pool);
        let tally = self.state.pool(pool).map(|p| &p.tally);
        // A member that leaves a share group frees nothing while the group is as large (L60).
        let left = |less: &[Part<'_>]| tally::after(tally, less, &[]);
        let (mut less, mut unheld): (Vec<Part<'_>>, u64) = (Vec::new(), 0);
        let mut coming: Vec<(Tick, Coming<'_>)> = Vec::new();
        // After a restart those who were not heard yet have a lease (S21): the oldest sessions there are.
        let before_the_start = || self.state.sessions_of(pool).take(LOST_LOOKED_AT);
        let is_unheard = |number: &SessionId| {
            self.state.session(*number).is_some_and(|((id, _), _)| self.presence.is_unheard(id))
        };
        let is_recovering = self.presence.is_recovering(now.tick);
        let unheard = is_recovering.then(before_the_start).into_iter().flatten().filter(is_unheard);
        let suspects = self.presence.suspects_in(pool).take(LOST_LOOKED_AT).map(|(_, number)| number);
        for number in unheard.chain(suspects) {
            let Some(((id, bundle), session)) = self.state.session(number) else { continue };
            let Some(at) = self.free_at(id, bundle, session) else { continue };
            let part = (session.share().map(|key| &**key), session.count);
            if at > now.tick {
                coming.push((at, Coming::Lost(part)));
            } else {
                less.push(part);
            }
        }
        // What could be had already was not enough. And after an expiry more may be in use than the licenses grant: what
        // comes back fills that first (L39).
        let (freed_now, over) = (numbers.used.saturating_sub(left(&less)), numbers.over());
        let missing = freed_now.max(over) + 1;
        let held = || self.state.holds_in(pool).map(|held| (held.until, Coming::Held(held.seats)));
        if freed_now >= over {
            // There may be very many: one is enough.
            coming.extend(held().min_by_key(|(until, _)| *until));
        } else {
            coming.extend(held());
        }
        coming.sort_by_key(|(tick, _)| *tick);
        for (tick, what) in coming {
            let in_ms = tick.saturating_sub(now.tick);
            let due = match what {
                Coming::Lost(part) => {
                    less.push(part);
                    Due::SuspectFree(in_ms)
                }
                Coming::Held(seats) => {
                    unheld += u64::from(seats);
                    Due::HoldEnds(in_ms)
                }
            };
            if numbers.used.saturating_sub(left(&less)) + unheld >= missing {
                return Some(due);
            }
        }
        // By that day all these may be given away.
        let used = u32::try_from(left(&less)).unwrap_or(u32::MAX);
        let enough = numbers.total.max(Total::Limited(used));
        let rise = next_rise(&self.terms.catalog().features()[at], now.day, enough);
        let end = |number: SessionId| self.state.borrow_of(number).map(|(_, b)| (b.until, b.last_day));
        match self.state.borrowed_in(pool).filter_map(end).min().filter(|_| over == 0) {
            Some((until, day)) if rise.is_none_or(|rise| day < rise) => Some(Due::BorrowEnds(until)),
            _ => rise.map(Due::Day),
        }
    }

    pub(super) fn holders(&self, pool: PoolId) -> Vec<Holder> {
        let holder = |id: SessionId| {
            let ((_, bundle), session) = self.state.session(id)?;
            let (user, host) = (bundle.facts.user.clone(), bundle.facts.host.clone());
            let since_unix_ms = self.state.unix_ms_of(bundle.since);
            Some(Holder { session: id, user, host, count: session.count, since_unix_ms })
        };
        self.state.sessions_of(pool).take(HOLDERS_MAX).filter_map(holder).collect()
    }

    /// Fills in what a denial is about.
    pub(super) fn about(
        &self,
        want: &Want<'_>,
        pool: Option<PoolId>,
        code: Code,
        text: String,
    ) -> Box<Denial> {
        // Without a pool that decided the numbers are those of the first there is.
        let pool = pool.or_else(|| {
            let there = self.state.pools_of(&want.feature.vendor, &want.feature.feature);
            there.first().map(|(_, pool)| *pool)
        });
        let mut denial = Denial::new(code, text);
        denial.subject = Some(Subject {
            vendor: Some(want.feature.vendor.clone()),
            feature: want.name.into(),
            wanted: u64::from(want.count),
            numbers: pool.map(|pool| self.numbers(pool)),
            ..Subject::default()
        });
        Box::new(denial)
    }

    /// A denial about a feature that cannot be found.
    pub(super) fn about_item(&self, item: &Item, mut denial: Denial) -> Box<Denial> {
        denial.subject = Some(Subject {
            feature: item.feature.clone(),
            wanted: u64::from(item.count),
            ..Subject::default()
        });
        Box::new(denial)
    }

    /// A denial about something a token needs and that is not there.
    pub(super) fn about_needed(
        &self,
        want: &Want<'_>,
        need: &TokenNeed,
        code: Code,
        text: String,
    ) -> Box<Denial> {
        let mut denial = Denial::new(code, text);
        denial.subject = Some(Subject {
            vendor: Some(want.feature.vendor.clone()),
            feature: need.name.as_str().into(),
            wanted: u64::from(want.count).saturating_mul(need.count),
            ..Subject::default()
        });
        Box::new(denial)
    }
}

/// Whether the version that was stated is what does not fit. One that was not stated is a fault of the program.
fn is_about_version(code: Code) -> bool {
    (12..=16).contains(&nearness(code))
}

fn show(date: Option<chrono::NaiveDate>) -> String {
    date.map_or_else(String::new, |d| d.to_string())
}
