//! May they? S2 to S4, in the order of S3, on a copy of everything: what is granted is the copy.

use super::counting::Names;
use super::policy::Whose;
use super::{
    Held, IDLE_WARNING, Kind, Naive, Per, Pool, PoolKey, Program, RESUME_WINDOW, Request, SEATS_MAX,
    ShareKey, Sold, UNLIMITED, Which, same,
};

/// What a checkout comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The numbers of its sessions.
    Granted(Vec<u64>),
    /// The bundle it has already.
    Same(u64),
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
    /// What each pool said, in the order of trial.
    pub pools: Vec<(PoolKey, &'static str)>,
    /// With `no_covered_seat`: free seats that do not cover this build.
    pub uncovered: u64,
    /// Idle sessions whose clients are to be warned.
    pub warned: Vec<u64>,
}

/// One feature that is asked for, by the program itself or by a token.
#[derive(Clone, Debug)]
struct Ask<'a> {
    request: &'a Request,
    bundle: u64,
    vendor: String,
    feature: String,
    count: u64,
    /// Who needs it, where the program itself does not ask for it.
    token: Option<Need>,
}

#[derive(Clone, Debug)]
struct Need {
    /// The token's session and name.
    session: u64,
    by: String,
    version: (u32, u32),
    /// What the token shares by.
    share: Option<ShareKey>,
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
        "version_not_licensed" => 3,
        "release_version_required" | "release_version_invalid" => 4,
        "platform" => 5,
        "time_zone" => 6,
        "client_host_mismatch" => 7,
        "not_started" => 8,
        "expired" => 9,
        _ => 10,
    }
}

/// Every choice of some of these, the smallest first, among equals those that take the first ones.
fn choices(all: &[u64]) -> Vec<Vec<u64>> {
    let mut choices: Vec<Vec<usize>> = vec![Vec::new()];
    for at in 0..all.len() {
        let with: Vec<Vec<usize>> = choices.iter().map(|c| [&c[..], &[at]].concat()).collect();
        choices.extend(with);
    }
    choices.sort_by_key(|choice| (choice.len(), choice.clone()));
    choices.into_iter().map(|choice| choice.into_iter().map(|at| all[at]).collect()).collect()
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
        if self.is_spent(request.key) {
            return Err(deny("already_removed"));
        }
        self.look(request)
    }

    /// The same without a look at the request's key: what `try` answers (S5).
    pub fn look(&self, request: &Request) -> Result<(Naive, Verdict), Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        if request.wanted.is_empty() || request.wanted.iter().any(|w| w.count < 1 || w.count > SEATS_MAX) {
            return Err(deny("bad_request"));
        }
        let mut after = self.clone();
        for wanted in &request.wanted {
            let about = |code| Denied { feature: wanted.feature.to_lowercase(), ..deny(code) };
            let mut vendors: Vec<String> = Vec::new();
            for sold in self.licenses.iter().filter(|s| same(&s.feature, &wanted.feature) && !s.is_refused) {
                let is_meant = wanted.vendor.as_ref().is_none_or(|v| same(v, &sold.vendor));
                if is_meant && !vendors.contains(&sold.vendor.to_lowercase()) {
                    vendors.push(sold.vendor.to_lowercase());
                }
            }
            let vendor = match &vendors[..] {
                [] => return Err(about("unknown_feature")),
                [vendor] => vendor.clone(),
                _ => return Err(about("ambiguous_vendor")),
            };
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
        Ok((after, Verdict::Granted(new)))
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
        let pools = self.pools(&ask.vendor, &ask.feature);
        let mut refused: Vec<(Pool, Denied)> = Vec::new();
        for pool in pools {
            match self.try_pool(&pool, ask) {
                Ok(after) => return Ok(after),
                Err(denied) if denied.feature.is_empty() => refused.push((pool, deny(denied.code))),
                Err(denied) => refused.push((pool, denied)),
            }
        }
        // A seat that idles, before the answer is "no seats".
        let mut warned = Vec::new();
        for (pool, denied) in &refused {
            if denied.code == "no_seats" && denied.feature == ask.feature {
                match self.try_idle(pool, ask) {
                    Ok(after) => return Ok(after),
                    Err(idle) => warned = idle,
                }
                break;
            }
        }
        let said = refused.iter().map(|(pool, d)| (pool.key.clone(), d.code)).collect();
        let nearest = refused.iter().min_by_key(|(_, d)| rank(d.code)).map(|(_, d)| d.clone());
        let mut nearest = nearest.unwrap_or(deny("unknown_feature"));
        nearest.pools = said;
        nearest.warned = warned;
        let is_term = |code: &str| rank(code) > 2;
        let all_are_full = refused.iter().all(|(_, d)| d.code == "no_seats" || is_term(d.code));
        if nearest.code == "no_seats" && all_are_full {
            for (pool, denied) in &refused {
                let free = self.numbers_of(&pool.key).free;
                if denied.code == "version_not_licensed" && free > 0 {
                    nearest.code = "no_covered_seat";
                    nearest.uncovered = nearest.uncovered.saturating_add(free);
                }
            }
        }
        Err(nearest)
    }

    /// S3 for one pool: limits, then the terms of its license, then seats.
    fn try_pool(&self, pool: &Pool, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        let share = match &ask.token {
            Some(Need { share: Some(key), .. }) => Some(key.clone()),
            _ => self.share_key(pool, &ask.request.program),
        };
        let new = Held {
            session: self.next_session,
            bundle: ask.bundle,
            pool: pool.key.clone(),
            count: ask.count,
            key: ask.request.key,
            secret: ask.request.secret,
            program: ask.request.program.clone(),
            booking: ask.request.booking,
            share,
            needed_by: ask.token.as_ref().map(|need| (need.session, need.version)),
            since: self.tick,
            on: None,
            heard: self.tick,
            closed: None,
        };
        let mut after = self.clone();
        if self.with(&new).used(&pool.key) > self.used(&pool.key) {
            for per in [Per::User, Per::Host, Per::Group, Per::Project] {
                after = after.under_limit(per, &new, ask).ok_or_else(|| {
                    deny(match per {
                        Per::User => "limit_user",
                        Per::Host => "limit_host",
                        Per::Group => "limit_group",
                        Per::Project => "limit_project",
                    })
                })?;
            }
        }
        let Some(license) = &pool.license else { return Err(deny(self.why_none(&pool.key))) };
        let needed = ask.token.as_ref().map(|need| need.version);
        if let Some(code) = terms(license, &ask.request.program, needed) {
            return Err(deny(code));
        }
        if license.kind == Kind::Token {
            return after.take_token(license, new, ask);
        }
        after.find_seats(pool, new, ask)
    }

    /// The same with one session more.
    fn with(&self, new: &Held) -> Naive {
        let mut with = self.clone();
        with.held.push(new.clone());
        with.next_session += 1;
        with
    }

    /// S3, S50: a limit that would deny first ends suspect sessions of the same subject, as few as possible, if that is
    /// enough. `None`: over the limit.
    fn under_limit(&self, per: Per, new: &Held, ask: &Ask<'_>) -> Option<Naive> {
        let limit = self.policy.limit(per, &ask.vendor, &ask.feature, &ask.request.program);
        let Some((most, whose)) = limit else { return Some(self.clone()) };
        for choice in choices(&self.reclaimable(&whose, ask)) {
            let mut after = self.clone();
            for session in choice {
                let sign = after.find(session).expect("it is there").heard;
                after.give_back(session, None, self.tick, sign);
            }
            if after.with(new).seats_of(&ask.vendor, &ask.feature, &whose) <= most {
                return Some(after);
            }
        }
        None
    }

    /// Sessions that may be ended for somebody else of the same subject, the oldest first: the socket is closed for
    /// longer than the resume window, and nothing of them would stay held.
    fn reclaimable(&self, whose: &Whose, ask: &Ask<'_>) -> Vec<u64> {
        let mut found: Vec<(u64, u64)> = Vec::new();
        for held in &self.held {
            let Some(closed) = held.closed else { continue };
            let counts =
                held.pool.is_of(&ask.vendor, &ask.feature) && self.policy.counts_for(whose, &held.program);
            let mut rest = self.clone();
            rest.held.retain(|h| h.session != held.session);
            let is_kept = rest.kept_until(held, held.heard) > self.tick;
            if counts && self.tick >= closed + RESUME_WINDOW && !is_kept {
                let whole = held.needed_by.map_or(held.session, |(token, _)| token);
                found.push((closed, whole));
            }
        }
        found.sort_unstable();
        let mut sessions: Vec<u64> = Vec::new();
        for (_, session) in found {
            if !sessions.contains(&session) {
                sessions.push(session);
            }
        }
        sessions
    }

    /// L51: the token's own session, then what it needs, by name.
    fn take_token(&self, license: &Sold, new: Held, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let mut after = self.with(&new);
        for (feature, version, count) in self.needs(license, ask.count) {
            after = after.take(&Ask {
                feature,
                count,
                token: Some(Need {
                    session: new.session,
                    by: ask.feature.clone(),
                    version,
                    share: new.share.clone(),
                }),
                ..ask.clone()
            })?;
        }
        Ok(after)
    }

    /// S3's last test: seats of one pool that are there, and not kept for others.
    fn find_seats(&self, pool: &Pool, new: Held, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        let mut after = self.with(&new);
        let adds = after.used(&pool.key) - self.used(&pool.key);
        if adds == 0 {
            return Ok(after);
        }
        after.use_kept(&pool.key, &new.program, adds);
        let own = self.kept_in(&pool.key) - after.kept_in(&pool.key);
        if pool.total != UNLIMITED && after.used(&pool.key) + after.kept_in(&pool.key) > pool.total {
            return Err(deny("no_seats"));
        }
        if !self.leaves_reservations(adds, own, ask) {
            return Err(deny("reserved_for_others"));
        }
        match self.leaves_named(pool, adds, own, ask) {
            Some(code) => Err(deny(code)),
            None => Ok(after),
        }
    }

    /// L62: held seats of the same client are used first, those first that would be free first.
    fn use_kept(&mut self, pool: &PoolKey, program: &Program, mut count: u64) {
        let tick = self.tick;
        let mut own: Vec<_> = self.kept.iter_mut().collect();
        own.retain(|k| k.pool == *pool && k.until > tick && k.program.is_client(program));
        own.sort_by_key(|k| k.until);
        for kept in own {
            let used = kept.count.min(count);
            kept.count -= used;
            count -= used;
        }
        self.kept.retain(|k| k.count > 0);
    }

    /// S51: after it, enough is left over the pools that this program could use for what is kept for others.
    fn leaves_reservations(&self, adds: u64, own: u64, ask: &Ask<'_>) -> bool {
        let program = &ask.request.program;
        let reserved = self.reservations(&ask.vendor, &ask.feature, program, ask.request.booking);
        let for_others: u64 = reserved.iter().filter(|r| !r.is_own).map(|r| r.left).sum();
        if for_others == 0 {
            return true;
        }
        let needed = ask.token.as_ref().map(|need| need.version);
        let mut there: i128 = i128::from(own);
        for pool in self.pools_with_seats(&ask.vendor, &ask.feature) {
            let license = pool.license.as_ref().expect("it grants today");
            if terms(license, program, needed).is_some() {
                continue;
            }
            if pool.total == UNLIMITED {
                return true;
            }
            there += i128::from(pool.total)
                - i128::from(self.used(&pool.key))
                - i128::from(self.kept_in(&pool.key));
        }
        there >= i128::from(adds) + i128::from(for_others)
    }

    /// L63: seats for named users or hosts are used only through reservations that name some.
    fn leaves_named(&self, pool: &Pool, adds: u64, own: u64, ask: &Ask<'_>) -> Option<&'static str> {
        let (users, hosts) = Naive::based(pool);
        let named = pool.total.min(users.saturating_add(hosts));
        if named == 0 || (pool.total == UNLIMITED && named != UNLIMITED) {
            return None;
        }
        let program = &ask.request.program;
        let mut of = self.reservations(&ask.vendor, &ask.feature, program, ask.request.booking);
        of.retain(|r| {
            (r.names == Some(Names::Users) && users > 0) || (r.names == Some(Names::Hosts) && hosts > 0)
        });
        let through: u64 = of.iter().map(|r| self.used_through(&pool.key, &r.whom).min(r.seats)).sum();
        let room: u64 = of.iter().filter(|r| r.is_own).map(|r| r.left).sum();
        let open = i128::from(self.used(&pool.key)) + i128::from(self.kept_in(&pool.key) - own)
            - i128::from(through.min(named))
            + i128::from(adds.saturating_sub(room));
        if open <= i128::from(pool.total - named) {
            None
        } else if of.iter().any(|r| r.is_own) {
            Some("reserved_for_others")
        } else {
            Some("not_named")
        }
    }

    /// Idle sessions of a pool, ended for who needs seats: as few as needed, the longest idle first, each warned for
    /// long enough. Otherwise those that are to be warned now.
    fn try_idle(&self, pool: &Pool, ask: &Ask<'_>) -> Result<Naive, Vec<u64>> {
        let mut idle: Vec<(u64, u64)> = Vec::new();
        for held in self.held.iter().filter(|h| h.pool == pool.key && h.needed_by.is_none()) {
            let since = self.connections.iter().find(|c| Some(c.id) == held.on).and_then(|c| c.idle_since);
            let allowed = self.policy.idle(&ask.vendor, &ask.feature, &held.program);
            if let (Some(since), Some(allowed)) = (since, allowed)
                && self.tick >= since + allowed
            {
                idle.push((since, held.session));
            }
        }
        idle.sort_unstable();
        let idle: Vec<u64> = idle.into_iter().map(|(_, session)| session).collect();
        for choice in choices(&idle) {
            let mut after = self.clone();
            for session in &choice {
                after.release(*session);
            }
            let Ok(after) = after.try_pool(pool, ask) else { continue };
            let is_due = |session: &u64| {
                self.warned.iter().any(|(s, at)| s == session && self.tick >= at + IDLE_WARNING)
            };
            if choice.iter().all(is_due) {
                return Ok(after);
            }
            let is_new = |session: &u64| !self.warned.iter().any(|(s, _)| s == session);
            return Err(choice.into_iter().filter(is_new).collect());
        }
        Err(Vec::new())
    }

    /// The whole way of a checkout on a connection.
    pub fn checkout(&mut self, request: &Request, on: u64) -> Result<Verdict, Denied> {
        self.hear(on);
        let answer = self.judge(request);
        match answer {
            Ok((after, verdict)) => {
                *self = after;
                match &verdict {
                    Verdict::Granted(sessions) => self.attach(sessions[0], on),
                    Verdict::Same(bundle) => self.attach(*bundle, on),
                    Verdict::Denied(_) => {}
                }
                Ok(verdict)
            }
            Err(denied) => {
                let tick = self.tick;
                self.warned.extend(denied.warned.iter().map(|session| (*session, tick)));
                Err(denied)
            }
        }
    }

    /// A heartbeat: so long nobody did anything at that connection, milliseconds.
    pub fn beat(&mut self, connection: u64, idle: Option<u64>) {
        self.hear(connection);
        let tick = self.tick;
        for c in self.connections.iter_mut().filter(|c| c.id == connection) {
            let since = idle.map(|ms| tick.saturating_sub(ms));
            if since != c.idle_since {
                let here: Vec<u64> =
                    self.held.iter().filter(|h| h.on == Some(connection)).map(|h| h.session).collect();
                self.warned.retain(|(session, _)| !here.contains(session));
            }
            c.idle_since = since;
        }
    }
}
