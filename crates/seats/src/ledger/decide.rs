//! May they? Looks at everything, mutates nothing (S1 to S5, S10, S24).
//!
//! The tests run in the order of S3: form, the feature is served, license terms, seats. Policy comes between
//! with its own issue; until then everybody is allowed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{ConnectionId, Gone, KEY_KEPT_MS, Ledger, Now};
use crate::catalog::FeatureLicenses;
use crate::change::{
    BundleId, Cause, Change, CheckedIn, Ended, Granted, GrantedSession, PoolId, Release, SessionId,
};
use crate::denial::{Code, Denial, Due, HOLDERS_MAX, Holder, Numbers, Subject};
use crate::evaluate::{Total, next_rise};
use crate::license::{HostIdKind, KeyType, License};
use crate::request::{Checkout, Facts, Item};
use crate::version::{ReleaseVersion, parse_date};

/// What a checkout comes to, if it is not denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutOutcome {
    /// Seats are free: apply this.
    Grant(Granted),
    /// The same request key has this bundle already; it takes no second seat (S2).
    Replay(BundleId),
}

/// What a checkin comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckinOutcome {
    /// Apply this.
    pub change: Change,
    /// Seats given back.
    pub given: u32,
    /// Seats the session still has.
    pub remaining: u32,
}

/// How many silent clients are looked at to say when a seat is due.
const LOST_LOOKED_AT: usize = 64;

impl Ledger {
    /// Whether a checkout is granted, all of it or nothing (S1, S3). The caller has brought every feature it
    /// names up to date with [`Ledger::refresh`].
    pub fn decide_checkout(&self, request: &Checkout, now: Now) -> Result<CheckoutOutcome, Box<Denial>> {
        if let Some(bundle) = self.state.bundle_of_key(&request.key) {
            return self.replay(bundle, request);
        }
        let is_kept = |gone: &Gone| now.tick < gone.at.saturating_add(KEY_KEPT_MS);
        if let Some((bundle, _)) = self.state.gone_of_key(&request.key).filter(|(_, gone)| is_kept(gone)) {
            return Err(self.already_removed(bundle));
        }
        let first = self.state.next_session();
        let mut sessions: Vec<GrantedSession> = Vec::with_capacity(request.items.len());
        self.find_seats(request, now, &mut |pool, license, item| {
            let session = SessionId(first.0 + sessions.len() as u64);
            sessions.push(GrantedSession { session, pool, count: item.count, license: license.fingerprint });
        })?;
        Ok(CheckoutOutcome::Grant(Granted {
            bundle: first,
            key: request.key,
            secret: request.secret,
            facts: request.facts.clone(),
            pid: request.pid,
            since: now.tick,
            sessions,
        }))
    }

    /// Answers as a checkout would and takes nothing (S5): the numbers of each feature as they are.
    pub fn decide_try(&self, request: &Checkout, now: Now) -> Result<Vec<(PoolId, Numbers)>, Box<Denial>> {
        let mut pools = Vec::new();
        self.find_seats(request, now, &mut |pool, _, _| pools.push(pool))?;
        Ok(pools.into_iter().map(|pool| (pool, self.numbers(pool))).collect())
    }

    /// S3 for each item, in the order they were named; seats that an earlier item of the request takes are taken.
    fn find_seats(
        &self,
        request: &Checkout,
        now: Now,
        take: &mut dyn FnMut(PoolId, &License, &Item),
    ) -> Result<(), Box<Denial>> {
        request.check_form().map_err(|text| Box::new(Denial::new(Code::BadRequest, text)))?;
        let mut taken: Vec<(PoolId, u64)> = Vec::new();
        for item in &request.items {
            let at = self.find_feature(item)?;
            let license = self.terms.base(at).ok_or_else(|| self.not_in_force(item, at, now))?;
            self.check_terms(item, license, &request.facts)?;
            let pool = self.terms.pool(at).ok_or_else(|| self.not_in_force(item, at, now))?;
            let before = taken.iter().filter(|(p, _)| *p == pool).map(|(_, n)| n).sum::<u64>();
            let wanted = before + u64::from(item.count);
            if self.numbers(pool).free().is_some_and(|free| free < wanted) {
                return Err(self.no_seats(item, at, pool, wanted, now));
            }
            taken.push((pool, u64::from(item.count)));
            take(pool, license, item);
        }
        Ok(())
    }

    /// The same request key again: the same answer to the same program, nobody else's (S2).
    fn replay(&self, id: BundleId, request: &Checkout) -> Result<CheckoutOutcome, Box<Denial>> {
        match self.state.bundle(id) {
            Some(bundle) if bundle.secret == request.secret => Ok(CheckoutOutcome::Replay(id)),
            _ => Err(Box::new(Denial::new(
                Code::BadRequest,
                "this request key was used with another secret: draw a new key for each checkout",
            ))),
        }
    }

    /// The index of the feature an item names (S1: the vendor only where two sell the same name).
    fn find_feature(&self, item: &Item) -> Result<usize, Box<Denial>> {
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
                Err(self.about(item, None, Denial::new(Code::AmbiguousVendor, text)))
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
        self.about(item, None, Denial::new(Code::UnknownFeature, text))
    }

    /// No exclusive license is in force: not begun, or over (rules 3, 6.4 b).
    fn not_in_force(&self, item: &Item, at: usize, now: Now) -> Box<Denial> {
        let feature = &self.terms.catalog().features()[at];
        let exclusives = || {
            (feature.licenses.iter().enumerate())
                .filter(|(at, l)| {
                    l.key_type == KeyType::Exclusive
                        && l.refusal.is_none()
                        && l.count.is_some()
                        && !feature.is_duplicate(*at)
                })
                .map(|(_, l)| l)
        };
        let coming = exclusives().filter(|l| l.start.is_some_and(|s| s > now.day)).min_by_key(|l| l.start);
        let ended = exclusives().filter(|l| l.end.is_some_and(|e| e < now.day)).max_by_key(|l| l.end);
        // Waiting for a beginning is nearer to success than something that is over.
        let (code, text, license) = match (coming, ended) {
            (Some(l), _) => (
                Code::NotStarted,
                format!("the license of {} begins on {}", item.feature, show(l.start)),
                Some(l),
            ),
            (None, Some(l)) => {
                let text = format!(
                    "the license of {} ended with {}: running sessions go on, new ones need a renewal",
                    item.feature,
                    show(l.end)
                );
                (Code::Expired, text, Some(l))
            }
            (None, None) => {
                let text = format!(
                    "{} has no floating license here: only upgrades, or a node-locked license",
                    item.feature
                );
                (Code::UnknownFeature, text, feature.licenses.first())
            }
        };
        let mut denial = self.about(item, Some(at), Denial::new(code, text));
        if let Some(subject) = &mut denial.subject {
            subject.place = license.map(|l| l.place.clone());
            subject.due = coming.and_then(|l| l.start).map(Due::Day);
        }
        denial
    }

    /// The license's own terms in the order of S3: client host ids (L13), platform, zone, release facts
    /// (rules 3, 6.4 a and e).
    fn check_terms(&self, item: &Item, license: &License, facts: &Facts) -> Result<(), Box<Denial>> {
        let deny = |code, text: String| {
            let mut denial = self.about(item, None, Denial::new(code, text));
            if let Some(subject) = &mut denial.subject {
                subject.vendor = Some(license.vendor.clone());
                subject.place = Some(license.place.clone());
            }
            Err(denial)
        };
        if !license.client_host_ids.is_empty() && !self.client_matches(license, facts) {
            let text = format!(
                "the license of {} is bound to other clients than {}@{}",
                item.feature, facts.user, facts.host
            );
            return deny(Code::ClientHostMismatch, text);
        }
        let platform = facts.platform.to_ascii_lowercase();
        let os = platform.split('-').next().unwrap_or("");
        if !license.platforms.is_empty() && !license.platforms.iter().any(|p| **p == *platform || **p == *os)
        {
            let allowed = license.platforms.join(", ");
            return deny(
                Code::Platform,
                format!("the license of {} is for {allowed}, not for {platform}", item.feature),
            );
        }
        if let Some(zones) = license.time_zones
            && !zones.contains(facts.offset_minutes)
        {
            let hours: Vec<String> = zones.hours().map(|h| format!("{h:+}")).collect();
            let text = format!(
                "the license of {} is for clients at GMT {} h; this one is at {:+} minutes",
                item.feature,
                hours.join(", "),
                facts.offset_minutes
            );
            return deny(Code::TimeZone, text);
        }
        if let Err((code, text)) = check_release(item, license, facts) {
            return deny(code, text);
        }
        Ok(())
    }

    /// L13: one CLIENT_HOSTID block matches what the client states, by HOSTID_MATCH_RATE percent rounded down.
    fn client_matches(&self, license: &License, facts: &Facts) -> bool {
        let names = self.names;
        let states = |equals: &dyn Fn(&str) -> bool, kind: HostIdKind| {
            facts.host_ids.iter().any(|id| id.kind == kind && equals(&id.value))
        };
        license.client_host_ids.iter().any(|block| {
            let hits = block.iter().filter(|entry| match entry.kind {
                HostIdKind::Hostname => names.fold_host(&entry.value) == names.fold_host(&facts.host),
                HostIdKind::Username => names.fold_user(&entry.value) == names.fold_user(&facts.user),
                HostIdKind::IpAddress => {
                    facts.address.is_some_and(|a| entry.value.parse() == Ok(a.to_canonical()))
                }
                // What the server cannot see, the client states; a string of the customer's own is compared as it is.
                HostIdKind::Custom => states(&|value| value == entry.value, entry.kind),
                kind => states(&|value| value.eq_ignore_ascii_case(&entry.value), kind),
            });
            let hits = hits.count();
            !block.is_empty() && hits * 100 / block.len() >= usize::from(license.match_rate)
        })
    }

    fn no_seats(&self, item: &Item, at: usize, pool: PoolId, wanted: u64, now: Now) -> Box<Denial> {
        let numbers = self.numbers(pool);
        let (used, total) = (numbers.used, numbers.total);
        let free = numbers.free().unwrap_or(u64::MAX);
        let text = if numbers.over() > 0 {
            format!(
                "{used} seats of {} are in use and the licenses grant {total} today: no seat is free until {} are given back",
                item.feature,
                numbers.over() + wanted
            )
        } else if free > 0 {
            format!("{wanted} seats of {} were asked for, {free} of {total} are free", item.feature)
        } else {
            match total {
                Total::Limited(1) => format!("the one seat of {} is in use", item.feature),
                total => format!("all {total} seats of {} are in use", item.feature),
            }
        };
        let mut denial = self.about(item, Some(at), Denial::new(Code::NoSeats, text));
        if let Some(subject) = &mut denial.subject {
            subject.wanted = wanted;
            subject.due = self.next_due(at, pool, now);
            subject.recovering = self.presence.is_recovering(now.tick) && numbers.suspect > 0;
            subject.holders = self.holders(pool);
            subject.place = self.terms.base(at).map(|l| l.place.clone());
        }
        denial
    }

    /// When one more seat than now may be free: leases that run out, else an upgrade that begins.
    fn next_due(&self, at: usize, pool: PoolId, now: Now) -> Option<Due> {
        // After an expiry more may be in use than the licenses grant: what comes back fills that first (L39).
        let numbers = self.numbers(pool);
        let mut missing = numbers.over() + 1;
        for (deadline, id) in self.presence.lost_in_order().take(LOST_LOOKED_AT) {
            let Some(bundle) = self.state.bundle(id) else { continue };
            let seats = bundle.sessions().iter().filter(|s| s.pool == pool).map(|s| u64::from(s.count));
            missing = missing.saturating_sub(seats.sum());
            if missing == 0 {
                return Some(Due::LeaseEnds(deadline.saturating_sub(now.tick)));
            }
        }
        let used = u32::try_from(numbers.used).unwrap_or(u32::MAX);
        let enough = numbers.total.max(Total::Limited(used));
        next_rise(&self.terms.catalog().features()[at], now.day, enough).map(Due::Day)
    }

    fn holders(&self, pool: PoolId) -> Vec<Holder> {
        let holder = |id: SessionId| {
            let ((_, bundle), session) = self.state.session(id)?;
            let (user, host) = (bundle.facts.user.clone(), bundle.facts.host.clone());
            let since_unix_ms = self.state.unix_ms_of(bundle.since);
            Some(Holder { session: id, user, host, count: session.count, since_unix_ms })
        };
        self.state.sessions_of(pool).take(HOLDERS_MAX).filter_map(holder).collect()
    }

    /// How the seats of a pool add up (S6).
    pub fn numbers(&self, pool: PoolId) -> Numbers {
        let (total, used) = self.state.pool(pool).map_or((Total::ZERO, 0), |p| (p.total, p.used));
        Numbers {
            total,
            used,
            suspect: used.saturating_sub(self.presence.active(pool)),
            held: 0,
            reserved: 0,
        }
    }

    /// Fills in what a denial is about.
    fn about(&self, item: &Item, at: Option<usize>, mut denial: Denial) -> Box<Denial> {
        let feature = at.map(|at| &self.terms.catalog().features()[at]);
        denial.subject = Some(Subject {
            vendor: feature.map(|f| f.vendor.clone()),
            feature: item.feature.clone(),
            wanted: u64::from(item.count),
            numbers: at.and_then(|at| self.terms.pool(at)).map(|pool| self.numbers(pool)),
            place: None,
            due: None,
            recovering: false,
            holders: Vec::new(),
        });
        Box::new(denial)
    }

    /// Whether a bundle may come back over a connection: id and secret, and the same program (S10).
    /// Changes nothing durable; the caller attaches it.
    pub fn decide_resume(&self, id: BundleId, secret: &[u8; 16], facts: &Facts) -> Result<(), Box<Denial>> {
        facts.check_form().map_err(|text| Box::new(Denial::new(Code::BadRequest, text)))?;
        let Some(bundle) = self.state.bundle(id) else {
            // A session in the middle of a bundle is no bundle, but it is not gone either.
            let is_gone = self.state.was_granted(id) && self.state.session(id).is_none();
            return Err(if is_gone { self.already_removed(id) } else { unknown_session(id) });
        };
        // Both sides are hashes of 128 random bits: an early exit of the comparison tells nothing of use.
        if bundle.secret != *secret {
            return Err(unknown_session(id));
        }
        self.names.same_program(&bundle.facts, facts).map_err(|field| {
            let text = format!("the {field} is not the one that {id} was granted to: check out anew");
            Box::new(Denial::new(Code::BadRequest, text))
        })
    }

    /// Whether seats of a session may be given back by a connection: all, or `count` of them (S24).
    pub fn decide_checkin(
        &self,
        id: SessionId,
        count: Option<u32>,
        from: ConnectionId,
        now: Now,
    ) -> Result<CheckinOutcome, Box<Denial>> {
        let Some(((bundle, _), session)) = self.state.session(id) else {
            return Err(if self.state.was_granted(id) {
                self.already_removed(id)
            } else {
                unknown_session(id)
            });
        };
        match self.presence.connection_of(bundle) {
            Some(holder) if holder == from => {}
            Some(_) => {
                let text = format!(
                    "another connection holds session {id}: resume its bundle {bundle} to take it over"
                );
                return Err(Box::new(Denial::new(Code::ResumedElsewhere, text)));
            }
            None => {
                let text =
                    format!("this connection does not hold session {id}: resume its bundle {bundle} first");
                return Err(Box::new(Denial::new(Code::UnknownSession, text)));
            }
        }
        let given = count.unwrap_or(session.count);
        if given == 0 || given > session.count {
            let text = format!("session {id} has {} seats, {given} cannot be given back", session.count);
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let change = Change::CheckedIn(CheckedIn { session: id, count: given, at: now.tick });
        Ok(CheckinOutcome { change, given, remaining: session.count - given })
    }

    /// Whether an administrator may remove a session: it has to be there (S25).
    pub fn decide_release(
        &self,
        id: SessionId,
        by: &str,
        reason: &str,
        now: Now,
    ) -> Result<Change, Box<Denial>> {
        if self.state.session(id).is_none() {
            return Err(if self.state.was_granted(id) {
                self.already_removed(id)
            } else {
                unknown_session(id)
            });
        }
        let cause = Cause::Released(Box::new(Release { by: by.into(), reason: reason.into() }));
        Ok(Change::Ended(Ended { session: id, cause, at: now.tick }))
    }

    /// S23: when and why, as far as it is remembered.
    fn already_removed(&self, id: BundleId) -> Box<Denial> {
        let text = match self.state.gone(id).map(|g| &g.cause) {
            Some(Cause::CheckedIn) => format!("session {id} was given back"),
            Some(Cause::LeaseEnded) => {
                format!(
                    "session {id} ended: its client was not heard for {} s",
                    self.presence.lease_ms() / 1000
                )
            }
            Some(Cause::Released(release)) if release.reason.is_empty() => {
                format!("session {id} was removed by {}", release.by)
            }
            Some(Cause::Released(release)) => {
                format!("session {id} was removed by {}: {}", release.by, release.reason)
            }
            None => format!("session {id} is gone"),
        };
        let mut denial = Denial::new(Code::AlreadyRemoved, text);
        denial.ended = Some(id);
        denial.ended_unix_ms = self.state.gone(id).and_then(|gone| self.state.unix_ms_of(gone.at));
        Box::new(denial)
    }
}

fn unknown_session(id: SessionId) -> Box<Denial> {
    Box::new(Denial::new(Code::UnknownSession, format!("there is no session {id} under this secret")))
}

fn show(date: Option<chrono::NaiveDate>) -> String {
    date.map_or_else(String::new, |d| d.to_string())
}

/// Rules 3, 6.4 a and e, and 6.6 for the words. Without VERSION any version runs, and none need be stated.
fn check_release(item: &Item, license: &License, facts: &Facts) -> Result<(), (Code, String)> {
    let version = match facts.release_version.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<ReleaseVersion>().map_err(|()| {
            let text = format!(
                "the program reported the version \"{text}\", which is not of the form 1.2, 1.2.3 or 1.2.3.4; a fault of the program: tell {}",
                license.vendor
            );
            (Code::ReleaseVersionInvalid, text)
        })?),
    };
    let released = check_date(license, facts.release_date.as_deref())?;
    let line = check_date(license, facts.line_date.as_deref())?;
    if let (Some(line), Some(released)) = (line, released)
        && line > released
    {
        let text = format!(
            "the program reported that its line is of {line}, after its own release of {released}; tell {}",
            license.vendor
        );
        return Err((Code::ReleaseDateInvalid, text));
    }
    let Some(owned) = license.version else { return Ok(()) };
    let Some(version) = version else {
        let text = format!(
            "the program did not say which version it is; a fault of the program, not of your license: tell {}",
            license.vendor
        );
        return Err((Code::ReleaseVersionRequired, text));
    };
    if version.is_within(owned) {
        return Ok(());
    }
    let text = format!(
        "your license covers {feature} {owned} and older, and all its patches; it has no maintenance, so version {version} is not included: \
         use {owned}, or buy maintenance or an upgrade at {vendor}",
        feature = item.feature,
        vendor = license.vendor
    );
    Err((Code::VersionNotLicensed, text))
}

fn check_date(license: &License, text: Option<&str>) -> Result<Option<chrono::NaiveDate>, (Code, String)> {
    let Some(text) = text else { return Ok(None) };
    parse_date(text).map(Some).ok_or_else(|| {
        let text = format!(
            "the program reported the release date \"{text}\", which is not a valid date; tell {}",
            license.vendor
        );
        (Code::ReleaseDateInvalid, text)
    })
}
