//! May they? S2 to S4, in the order of S3, on a copy of everything: what is granted is the copy.

use std::rc::Rc;

use super::policy::Whose;
use super::{
    Held, IDLE_WARNING, Kind, Naive, Per, Pool, PoolKey, Program, Request, SEATS_MAX, ShareKey, Sold,
    UNLIMITED, Wanted, Warned, Which, same,
};

/// What a checkout comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The numbers of its sessions.
    Granted(Vec<u64>),
    /// The bundle it has already.
    Same(u64),
    /// Its number in the queue (S30).
    Waits(u64),
    Denied(&'static str),
}

/// Why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    pub code: &'static str,
    /// The feature that failed.
    pub feature: String,
    /// The token that needs it (L51).
    pub needed_by: Option<String>,
    /// The pool that came nearest; none where no pool was tried.
    pub nearest: Option<PoolKey>,
    /// What the other pools said, in the order of trial.
    pub others: Vec<(PoolKey, &'static str)>,
    /// With `no_covered_seat`: free seats that do not cover this build.
    pub uncovered: u64,
    /// Others came before it and wait for the seats that are free (S30): how many.
    pub queued: u64,
}

/// One feature that is asked for, by the program itself or by a token.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) request: &'a Request,
    pub(super) bundle: u64,
    pub(super) vendor: String,
    pub(super) feature: String,
    pub(super) count: u64,
    /// Who needs it, where the program itself does not ask for it.
    pub(super) token: Option<Need>,
}

impl Ask<'_> {
    /// What a token takes draws on no booking.
    pub(super) fn booking(&self) -> Option<u64> {
        if self.token.is_some() { None } else { self.request.booking }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Need {
    /// The token's session and name.
    pub(super) session: u64,
    pub(super) by: String,
    pub(super) version: (u32, u32),
    /// Tokens are needed, not seats.
    pub(super) is_token: bool,
    /// What the token shares by.
    pub(super) share: Option<ShareKey>,
}

/// S3: host ids, platform, time zone, the release; for what a token needs, the VERSION that it states (L51).
pub fn terms(license: &Sold, program: &Program, needed: Option<(u32, u32)>) -> Option<&'static str> {
    if !license.hosts.is_empty()
        && !license.hosts.iter().any(|h| super::folded_host(h) == super::folded_host(&program.host))
    {
        return Some("client_host_mismatch");
    }
    let os = program.system.split('-').next().unwrap_or("");
    if !license.systems.is_empty() && !license.systems.iter().any(|s| *s == program.system || s == os) {
        return Some("platform");
    }
    let hour = (f64::from(program.minutes) / 60.0).floor() as i32;
    if !license.hours.is_empty() && !license.hours.contains(&hour.min(13)) {
        return Some("time_zone");
    }
    let stated = match needed {
        Some((major, minor)) => Some(Some((major, minor, 0))),
        None => program.version,
    };
    match (stated, license.version) {
        (Some(None), _) => Some("release_version_invalid"),
        _ if needed.is_none() && program.has_bad_date => Some("release_date_invalid"),
        (None, Some(_)) => Some("release_version_required"),
        (Some(Some((major, minor, _))), Some(owned)) if (major, minor) > owned => {
            Some("version_not_licensed")
        }
        _ => None,
    }
}

/// How near to success a denial is: the lowest is the nearest.
pub fn rank(code: &str) -> u32 {
    match code {
        "no_seats" | "no_covered_seat" => 0,
        "reserved_for_others" | "not_named" => 1,
        "limit_user" | "limit_host" | "limit_group" | "limit_project" => 2,
        "denied_by_rule" | "clock_suspect" => 3,
        "version_not_licensed" => 4,
        "release_version_required" | "release_version_invalid" | "release_date_invalid" => 5,
        "platform" => 6,
        "time_zone" => 7,
        "client_host_mismatch" => 8,
        "not_started" => 9,
        "expired" => 10,
        _ => 11,
    }
}

impl Naive {
    /// S2, S3: everything as it would be afterwards, and the numbers of the new sessions.
    pub fn judge(&self, request: &Request) -> Result<(Naive, Verdict), Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        if let Some(held) = self.held.iter().find(|h| h.key == request.key) {
            return if held.secret == request.secret {
                Ok((self.clone(), Verdict::Same(held.bundle)))
            } else {
                Err(deny("bad_request"))
            };
        }
        if let Some(waiter) = self.waiters.iter().find(|w| w.request.key == request.key) {
            return if waiter.request.secret == request.secret {
                Ok((self.clone(), Verdict::Waits(waiter.number)))
            } else {
                Err(deny("bad_request"))
            };
        }
        if self.is_spent(request.key) {
            let is_of = |(key, at): &(u64, u64)| *key == request.key && self.tick < at + super::HOUR;
            let in_vain = self.waited_in_vain.iter().any(is_of);
            return Err(deny(if in_vain { "queue_timeout" } else { "already_removed" }));
        }
        self.look(request)
    }

    /// The same without a look at the request's key: what `try` answers (S5).
    pub fn look(&self, request: &Request) -> Result<(Naive, Verdict), Denied> {
        let (after, verdict) = self.look_at_seats(request)?;
        match self.held_back(request, &after) {
            Some(denied) => Err(denied),
            None => Ok((after, verdict)),
        }
    }

    /// The same, whoever waits.
    fn look_at_seats(&self, request: &Request) -> Result<(Naive, Verdict), Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        if request.wanted.is_empty() || request.wanted.iter().any(|w| w.count < 1 || w.count > SEATS_MAX) {
            return Err(deny("bad_request"));
        }
        let mut after = Naive { asked: Some(Rc::new(self.clone())), takes_from_gone: true, ..self.clone() };
        for wanted in &request.wanted {
            let about = |code| Denied { feature: wanted.feature.to_lowercase(), ..deny(code) };
            let vendor = self.vendor_of(wanted).map_err(about)?;
            let is_booked = |token| self.bookings.iter().any(|b| b.token == token && b.until > self.tick);
            if request.booking.is_some_and(|token| !is_booked(token)) {
                return Err(deny("bad_request"));
            }
            after = after.take(&Ask {
                request,
                bundle: self.next_session,
                vendor,
                feature: wanted.feature.to_lowercase(),
                count: wanted.count,
                token: None,
            })?;
        }
        let new = (self.next_session..after.next_session).collect();
        after.asked = None;
        after.takes_from_gone = false;
        Ok((after, Verdict::Granted(new)))
    }

    /// Who sells what is wanted.
    pub(super) fn vendor_of(&self, wanted: &Wanted) -> Result<String, &'static str> {
        let mut vendors: Vec<String> = Vec::new();
        for sold in self.licenses.iter().filter(|s| same(&s.feature, &wanted.feature) && !s.is_refused) {
            let is_meant = wanted.vendor.as_ref().is_none_or(|v| same(v, &sold.vendor));
            if is_meant && !vendors.contains(&sold.vendor.to_lowercase()) {
                vendors.push(sold.vendor.to_lowercase());
            }
        }
        match &vendors[..] {
            [] => Err("unknown_feature"),
            [vendor] => Ok(vendor.clone()),
            _ => Err("ambiguous_vendor"),
        }
    }

    /// One feature: access, then pool after pool; the denial nearest to success.
    fn take(&self, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let deny = |code| Denied {
            code,
            feature: ask.feature.clone(),
            needed_by: ask.token.as_ref().map(|need| need.by.clone()),
            ..Denied::default()
        };
        if self.policy.is_denied(&ask.vendor, &ask.feature, &ask.request.program) {
            return Err(deny("denied_by_rule"));
        }
        let mut pools = self.pools(&ask.vendor, &ask.feature);
        pools.retain(|pool| pool.license.is_some());
        for pool in &mut pools {
            pool.total = self.certain(pool);
        }
        if let Some(need) = &ask.token {
            pools.retain(|pool| (pool.key.which == Which::Token) == need.is_token);
        }
        if pools.is_empty() {
            return Err(deny(self.why_none(&ask.vendor, &ask.feature)));
        }
        let mut refused: Vec<(Pool, Denied)> = Vec::new();
        let as_before = |after: Naive| {
            let (giving, takes_from_gone) = (self.giving.clone(), self.takes_from_gone);
            Naive { giving, takes_from_gone, ..after }
        };
        let gone_only = Naive { giving: Vec::new(), ..self.clone() };
        let nobody = Naive { takes_from_gone: false, ..gone_only.clone() };
        for pool in pools {
            match nobody.try_pool(&pool, ask, false) {
                Ok(after) => return Ok(as_before(after)),
                Err(denied) if denied.feature.is_empty() => {
                    let nearest = Some(pool.key.clone());
                    refused.push((pool, Denied { nearest, ..deny(denied.code) }));
                }
                // Something that a token needs: it says which of its own pools came nearest.
                Err(denied) => refused.push((pool, denied)),
            }
        }
        // No seat is free: those of clients that are gone, and then of such that idle, if there are any.
        for (pool, _) in refused.iter().filter(|_| self.takes_from_gone) {
            if let Ok(after) = gone_only.try_pool(pool, ask, true) {
                return Ok(as_before(after));
            }
        }
        for (pool, _) in refused.iter().filter(|_| !self.giving.is_empty()) {
            if let Ok(after) = self.try_pool(pool, ask, true) {
                return Ok(as_before(after));
            }
        }
        let (pool, nearest) =
            refused.iter().min_by_key(|(_, d)| rank(d.code)).expect("at least one pool refused");
        let (pool, mut nearest) = (pool.key.clone(), nearest.clone());
        if nearest.feature == ask.feature {
            let others = refused.iter().filter(|(other, _)| other.key != pool);
            nearest.others = others.map(|(other, d)| (other.key.clone(), d.code)).collect();
        }
        let is_term = |code: &str| rank(code) > 3;
        let all_are_full = refused.iter().all(|(_, d)| d.code == "no_seats" || is_term(d.code));
        if nearest.code == "no_seats" && nearest.feature == ask.feature && all_are_full {
            for (pool, denied) in &refused {
                // A denial tells the numbers as they are, without what the request itself would take.
                let free = self.asked.as_ref().expect("a request is judged").numbers_of(&pool.key).free;
                let has_seats = pool.key.which != Which::Token;
                if denied.code == "version_not_licensed" && has_seats && free > 0 {
                    nearest.code = "no_covered_seat";
                    nearest.uncovered += if free == UNLIMITED { 1 } else { free };
                }
            }
        }
        Err(nearest)
    }

    /// S3 for one pool: limits, then the terms of its license, then seats.
    fn try_pool(&self, pool: &Pool, ask: &Ask<'_>, ending: bool) -> Result<Naive, Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        let new = self.session_to_be(pool, ask);
        let after = self.under_limits(&new, ask).map_err(deny)?;
        let license = pool.license.as_ref().expect("it grants today");
        let needed = ask.token.as_ref().map(|need| need.version);
        if let Some(code) = terms(license, &ask.request.program, needed) {
            return Err(deny(code));
        }
        if self.is_in_doubt(license) {
            return Err(deny("clock_suspect"));
        }
        if license.kind == Kind::Token {
            return match ask.token {
                Some(_) => Ok(after.with(&new)),
                None => after.take_token(license, new, ask),
            };
        }
        if ending { after.find_seats_of_others(pool, new, ask) } else { after.find_seats(pool, new, ask) }
    }

    /// The session that a grant out of this pool would make.
    pub(super) fn session_to_be(&self, pool: &Pool, ask: &Ask<'_>) -> Held {
        let share = match &ask.token {
            Some(Need { share: Some(key), .. }) => Some(key.clone()),
            _ => self.share_key(pool, &ask.request.program),
        };
        Held {
            session: self.next_session,
            bundle: ask.bundle,
            pool: pool.key.clone(),
            count: ask.count,
            key: ask.request.key,
            secret: ask.request.secret,
            program: ask.request.program.clone(),
            booking: ask.booking(),
            share,
            needed_by: ask.token.as_ref().map(|need| need.session),
            since: self.tick,
            is_soft: false,
            on: None,
            heard: self.tick,
            closed: None,
        }
    }

    /// Everything after what the limits make end (S3), or the limit that is in the way; who adds no seat passes.
    pub(super) fn under_limits(&self, new: &Held, ask: &Ask<'_>) -> Result<Naive, &'static str> {
        let mut after = self.clone();
        if self.with(new).used(&new.pool) > self.used(&new.pool) {
            for (per, code) in [
                (Per::User, "limit_user"),
                (Per::Host, "limit_host"),
                (Per::Group, "limit_group"),
                (Per::Project, "limit_project"),
            ] {
                after = after.under_limit(per, new, ask).ok_or(code)?;
            }
        }
        Ok(after)
    }

    /// The same with one session more.
    pub(super) fn with(&self, new: &Held) -> Naive {
        let mut with = self.clone();
        with.held.push(new.clone());
        with.next_session += 1;
        with
    }

    /// S3, S50: a limit that would deny first ends suspect sessions of the same subject, as few as possible, the oldest
    /// first, if that is enough. `None`: over the limit.
    fn under_limit(&self, per: Per, new: &Held, ask: &Ask<'_>) -> Option<Naive> {
        let limit = self.policy.limit(per, &ask.vendor, &ask.feature, &ask.request.program);
        let Some((most, whose)) = limit else { return Some(self.clone()) };
        self.ending_some(&self.reclaimable(&whose, ask), &|after| {
            after.with(new).seats_of(&ask.vendor, &ask.feature, &whose) <= most
        })
    }

    /// Sessions that may be ended for somebody else of the same subject, those first that are gone
    /// for longest. Of what a token took, the token.
    fn reclaimable(&self, whose: &Whose, ask: &Ask<'_>) -> Vec<u64> {
        let mut found: Vec<(u64, u64)> = Vec::new();
        for held in &self.held {
            let counts =
                held.pool.is_of(&ask.vendor, &ask.feature) && self.policy.counts_for(whose, &held.program);
            if let Some(gone) = self.gone(held).filter(|gone| counts && gone.free_at <= self.tick) {
                found.push((gone.since, held.needed_by.unwrap_or(held.session)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(_, session)| session).collect()
    }

    /// L51: the token's own session, then what it needs, by name.
    fn take_token(&self, license: &Sold, new: Held, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let mut after = self.with(&new);
        let share = new.share.clone().map(|key| ShareKey { token: Some(new.pool.clone()), ..key });
        for needed in self.needs(license, ask.count) {
            let deny = |code| Denied {
                code,
                feature: needed.feature.clone(),
                needed_by: Some(ask.feature.clone()),
                ..Denied::default()
            };
            let is_there = |s: &Sold| same(&s.vendor, &ask.vendor) && same(&s.feature, &needed.feature);
            if !self.licenses.iter().any(is_there) {
                return Err(deny("unknown_feature"));
            }
            if needed.count > SEATS_MAX {
                return Err(deny("bad_request"));
            }
            after = after.take(&Ask {
                feature: needed.feature.clone(),
                count: needed.count,
                token: Some(Need {
                    session: new.session,
                    by: ask.feature.clone(),
                    version: needed.version,
                    is_token: needed.is_token,
                    share: share.clone(),
                }),
                ..ask.clone()
            })?;
        }
        Ok(after)
    }

    /// The whole way of a checkout on a connection that waits for so long, where there is no seat now.
    pub fn checkout_or_wait(&mut self, request: &Request, ms: u64, on: u64) -> Result<Verdict, Denied> {
        match self.checkout(request, on) {
            Err(denied) if ms > 0 => self.wait(request, ms, on, denied),
            answer => answer,
        }
    }

    /// The whole way of a checkout on a connection.
    pub fn checkout(&mut self, request: &Request, on: u64) -> Result<Verdict, Denied> {
        self.hear(on);
        let mut answer = self.judge(request);
        if answer.as_ref().is_err_and(|denied| ["no_seats", "no_covered_seat"].contains(&denied.code)) {
            answer = self.judge_with_idle(request, answer);
        }
        let (after, verdict) = answer?;
        *self = after;
        match &verdict {
            Verdict::Granted(sessions) => {
                self.attach(sessions[0], on);
                self.got(&request.program);
            }
            Verdict::Same(bundle) => self.attach(*bundle, on),
            Verdict::Waits(number) => self.attach_waiter(*number, on),
            Verdict::Denied(_) => {}
        }
        Ok(verdict)
    }

    /// A client was granted something: who was warned for it is warned for nobody.
    pub(super) fn got(&mut self, program: &Program) {
        let its_own = |w: &&mut Warned| w.wanted_by.as_ref().is_some_and(|p| p.is_client(program));
        self.warned.iter_mut().filter(its_own).for_each(|w| w.wanted_by = None);
    }

    /// S50: sessions that idle in the pools that were asked for are given away if their clients were warned long enough
    /// ago. If that is not enough, clients are warned whose seats would be: none where all of them would not be enough.
    fn judge_with_idle(
        &mut self,
        request: &Request,
        refused: Result<(Naive, Verdict), Denied>,
    ) -> Result<(Naive, Verdict), Denied> {
        let idle = self.idle_sessions(request);
        let before = self.warned.clone();
        let warned_at = |session: u64| before.iter().find(|w| w.session == session).map(|w| w.at);
        let is_ready = |session: &u64| warned_at(*session).is_some_and(|at| self.tick >= at + IDLE_WARNING);
        let ready: Vec<u64> = idle.iter().copied().filter(is_ready).collect();
        let mut answer = refused;
        if !ready.is_empty() {
            answer = self.giving_away(&ready, request);
        }
        if answer.is_ok() {
            return answer;
        }
        // Whose wish a warning serves: of somebody else who has asked within the last minute and waits still.
        let is_for_another = |session: u64| {
            self.warned.iter().any(|w| {
                let is_other = |p: &Program| !p.is_client(&request.program);
                w.session == session
                    && self.tick < w.asked + 2 * IDLE_WARNING
                    && w.wanted_by.as_ref().is_some_and(is_other)
            })
        };
        let (warned, others): (Vec<u64>, Vec<u64>) =
            idle.iter().filter(|s| warned_at(**s).is_some()).partition(|s| !is_for_another(**s));
        let fresh = idle.iter().copied().filter(|s| warned_at(*s).is_none()).collect();
        let some_more = [warned.clone(), fresh].concat();
        let all = [some_more.clone(), others.clone()].concat();
        for may_go in [warned, some_more, all] {
            let Ok((after, _)) = self.giving_away(&may_go, request) else { continue };
            for session in may_go.into_iter().filter(|s| after.find(*s).is_none() && !others.contains(s)) {
                if warned_at(session).is_none() {
                    self.warned.push(Warned { session, at: self.tick, ..Warned::default() });
                }
                let warned = self.warned.iter_mut().find(|w| w.session == session);
                let warned = warned.expect("it is warned now");
                (warned.wanted_by, warned.asked) = (Some(request.program.clone()), self.tick);
            }
            break;
        }
        answer
    }

    /// What a request comes to if these sessions may go, the first first.
    fn giving_away(&self, sessions: &[u64], request: &Request) -> Result<(Naive, Verdict), Denied> {
        let (after, verdict) = Naive { giving: sessions.to_vec(), ..self.clone() }.judge(request)?;
        Ok((Naive { giving: Vec::new(), ..after }, verdict))
    }

    /// The sessions that have idled for as long as they may in what a request asks for, the longest first. Who did
    /// something after a warning is not warned any more.
    fn idle_sessions(&mut self, request: &Request) -> Vec<u64> {
        let mut wanted: Vec<(String, String)> = Vec::new();
        for (vendor, feature) in self.features() {
            if request.wanted.iter().any(|w| same(&w.feature, &feature)) {
                let token = self.pool(&PoolKey::new(&vendor, &feature, Which::Token)).license;
                let needs = token.map_or_else(Vec::new, |token| self.needs(&token, 1));
                wanted.extend(needs.into_iter().map(|needed| (vendor.clone(), needed.feature)));
                wanted.push((vendor, feature));
            }
        }
        let mut idle: Vec<(i64, u64)> = Vec::new();
        for held in self.held.clone().iter().filter(|h| h.needed_by.is_none() && h.pool.which != Which::Token)
        {
            let is_wanted = wanted.iter().any(|(vendor, feature)| held.pool.is_of(vendor, feature));
            let active = self.connections.iter().find(|c| Some(c.id) == held.on).and_then(|c| c.active);
            let allowed = self.policy.idle(&held.pool.vendor, &held.pool.feature, &held.program);
            let (Some(active), Some(allowed)) = (active, allowed) else { continue };
            if !is_wanted || self.pool(&held.pool).license.is_none() {
                continue;
            }
            self.warned.retain(|w| w.session != held.session || active <= w.at as i64);
            if self.tick as i64 >= active + allowed as i64 {
                idle.push((active, held.session));
            }
        }
        idle.sort_unstable();
        idle.into_iter().map(|(_, session)| session).collect()
    }

    /// A heartbeat: so long nobody did anything at that connection, milliseconds.
    pub fn beat(&mut self, connection: u64, idle: Option<u64>) {
        self.hear(connection);
        let tick = self.tick;
        for c in self.connections.iter_mut().filter(|c| c.id == connection) {
            c.active = idle.map(|ms| tick as i64 - ms as i64);
        }
    }
}
