//! The naive model: what the rules' text says, in the plainest way, recomputed from lists at every question.
//!
//! It uses nothing of `seats`, not even a date or a constant: a shared helper would hide its own mistakes.
//! A day is a number of days since 2030-01-01; a moment is a number of milliseconds.
#![allow(dead_code, unreachable_pub, reason = "a module of two test programs")]

/// COUNT above every number.
pub const UNLIMITED: u64 = u64::MAX;
/// L35: the largest sum.
pub const SEATS_MAX: u64 = 2_147_483_647;
/// S2: a key is remembered so long after its last seat was given back.
const HOUR: u64 = 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Exclusive,
    Upgrade,
}

/// One license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sold {
    pub vendor: String,
    pub feature: String,
    pub kind: Kind,
    /// `None`: for one machine alone.
    pub count: Option<u64>,
    pub version: Option<(u32, u32)>,
    pub start: Option<i32>,
    pub end: Option<i32>,
    pub issued: Option<i32>,
    pub sn: String,
    pub hal: bool,
    /// Systems it may run on; empty: all.
    pub systems: Vec<String>,
    /// Hours from GMT; empty: all.
    pub hours: Vec<i32>,
    /// Host names of clients; empty: all.
    pub hosts: Vec<String>,
    /// The reader of the files did not accept it.
    pub is_refused: bool,
    /// Another for other content, as a signature is.
    pub key: String,
}

/// One feature of a request.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub vendor: Option<String>,
    pub feature: String,
    pub count: u64,
}

/// What a program states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub install: u64,
    pub user: String,
    pub host: String,
    pub system: String,
    pub minutes: i32,
    /// `Some(None)`: something that is no version.
    pub version: Option<Option<(u32, u32, u32)>>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub key: u64,
    pub secret: u64,
    pub wanted: Vec<Wanted>,
    pub program: Program,
}

/// One session of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub session: u64,
    pub bundle: u64,
    pub vendor: String,
    pub feature: String,
    pub count: u64,
    pub key: u64,
    pub secret: u64,
    pub program: Program,
    /// The connection it is on.
    pub on: Option<u64>,
    /// When its client was last heard; of one that is on a connection, see there.
    pub heard: u64,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub id: u64,
    pub heard: u64,
    pub is_silent: bool,
}

/// What a checkout comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The numbers of its sessions.
    Granted(Vec<u64>),
    /// The bundle it has already.
    Same(u64),
    Denied(&'static str),
}

/// What a feature's licenses grant on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The exclusive in force.
    pub base: Option<Sold>,
    /// Every license that counts, by its key.
    pub counting: Vec<String>,
    pub total: u64,
}

#[derive(Clone, Debug)]
pub struct Naive {
    pub day: i32,
    pub tick: u64,
    pub lease: u64,
    pub licenses: Vec<Sold>,
    pub held: Vec<Held>,
    pub connections: Vec<Connection>,
    /// Request keys of bundles that are gone, and since when.
    pub spent: Vec<(u64, u64)>,
    pub next_session: u64,
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn includes(sold: &Sold, day: i32) -> bool {
    let has_begun = match sold.start {
        Some(start) => day >= start,
        None => true,
    };
    let is_over = match sold.end {
        Some(end) => day > end,
        None => false,
    };
    has_begun && !is_over
}

/// L36: whether `a` counts rather than `b`, which has the same identity.
fn is_preferred(a: &Sold, b: &Sold) -> bool {
    let issued = |s: &Sold| s.issued.unwrap_or(i32::MIN);
    if issued(a) != issued(b) {
        return issued(a) > issued(b);
    }
    if a.count != b.count {
        return a.count > b.count;
    }
    a.key < b.key
}

/// L31: whether `a` is in force rather than `b`, where the dates of both include the day.
fn supersedes(a: &Sold, b: &Sold) -> bool {
    let issued = |s: &Sold| s.issued.unwrap_or(i32::MIN);
    if issued(a) != issued(b) {
        return issued(a) > issued(b);
    }
    let version = |s: &Sold| match s.version {
        Some((major, minor)) => (u64::from(major), u64::from(minor)),
        None => (u64::MAX, u64::MAX),
    };
    if version(a) != version(b) {
        return version(a) > version(b);
    }
    if a.count != b.count {
        return a.count > b.count;
    }
    a.sn > b.sn
}

impl Naive {
    /// The good licenses of a feature, each once (L36).
    fn good(&self, vendor: &str, feature: &str) -> Vec<&Sold> {
        let mut good: Vec<&Sold> = Vec::new();
        for sold in &self.licenses {
            if sold.is_refused || !same(&sold.vendor, vendor) || !same(&sold.feature, feature) {
                continue;
            }
            match good.iter().position(|g| g.kind == sold.kind && g.sn == sold.sn) {
                Some(at) if is_preferred(sold, good[at]) => good[at] = sold,
                Some(_) => {}
                None => good.push(sold),
            }
        }
        good
    }

    /// L30 to L38.
    pub fn sum(&self, vendor: &str, feature: &str) -> Sum {
        let good = self.good(vendor, feature);
        let mut base: Option<&Sold> = None;
        for sold in &good {
            let is_candidate =
                sold.kind == Kind::Exclusive && sold.count.is_some() && includes(sold, self.day);
            if is_candidate && base.is_none_or(|base| supersedes(sold, base)) {
                base = Some(sold);
            }
        }
        let Some(base) = base else { return Sum { base: None, counting: Vec::new(), total: 0 } };
        let mut total = base.count.expect("a candidate has a count");
        let mut counting = vec![base.key.clone()];
        if total != UNLIMITED {
            let mut upgrades: Vec<&&Sold> = good.iter().filter(|s| s.kind == Kind::Upgrade).collect();
            upgrades.retain(|up| includes(up, self.day) && up.count != Some(UNLIMITED) && up.hal == base.hal);
            upgrades.retain(|up| match (up.end, base.end) {
                (_, None) => true,
                (Some(up), Some(base)) => up <= base,
                (None, Some(_)) => false,
            });
            upgrades.sort_by_key(|up| (up.start.unwrap_or(i32::MIN), up.sn.clone()));
            for up in upgrades {
                let more = total + up.count.expect("an upgrade has a count");
                if more <= SEATS_MAX {
                    total = more;
                    counting.push(up.key.clone());
                }
            }
        }
        Sum { base: Some(base.clone()), counting, total }
    }

    pub fn used(&self, vendor: &str, feature: &str) -> u64 {
        let of = |h: &&Held| same(&h.vendor, vendor) && same(&h.feature, feature);
        self.held.iter().filter(of).map(|h| h.count).sum()
    }

    pub fn active(&self, vendor: &str, feature: &str) -> u64 {
        let of = |h: &&Held| same(&h.vendor, vendor) && same(&h.feature, feature) && h.on.is_some();
        self.held.iter().filter(of).map(|h| h.count).sum()
    }

    /// Every vendor's feature there is a license or a session of.
    pub fn features(&self) -> Vec<(String, String)> {
        let licenses = self.licenses.iter().map(|s| (s.vendor.clone(), s.feature.to_lowercase()));
        let held = self.held.iter().map(|h| (h.vendor.clone(), h.feature.to_lowercase()));
        let mut all: Vec<_> = licenses.chain(held).collect();
        all.sort();
        all.dedup();
        all
    }

    /// S2, S3.
    pub fn judge(&self, request: &Request) -> Verdict {
        if let Some(held) = self.held.iter().find(|h| h.key == request.key) {
            return if held.secret == request.secret {
                Verdict::Same(held.bundle)
            } else {
                Verdict::Denied("bad_request")
            };
        }
        if self.spent.iter().any(|(key, at)| *key == request.key && self.tick < at + HOUR) {
            return Verdict::Denied("already_removed");
        }
        match self.look(request) {
            Some(code) => Verdict::Denied(code),
            None => {
                let count = request.wanted.len() as u64;
                Verdict::Granted((self.next_session..self.next_session + count).collect())
            }
        }
    }

    /// Why the seats are not given.
    pub fn look(&self, request: &Request) -> Option<&'static str> {
        if request.wanted.is_empty() || request.wanted.iter().any(|w| w.count < 1 || w.count > SEATS_MAX) {
            return Some("bad_request");
        }
        let mut taken: Vec<(String, String, u64)> = Vec::new();
        for wanted in &request.wanted {
            let mut vendors: Vec<String> = Vec::new();
            for sold in self.licenses.iter().filter(|s| same(&s.feature, &wanted.feature) && !s.is_refused) {
                let is_meant = wanted.vendor.as_ref().is_none_or(|v| same(v, &sold.vendor));
                if is_meant && !vendors.contains(&sold.vendor) {
                    vendors.push(sold.vendor.clone());
                }
            }
            let vendor = match &vendors[..] {
                [] => return Some("unknown_feature"),
                [vendor] => vendor.clone(),
                _ => return Some("ambiguous_vendor"),
            };
            let sum = self.sum(&vendor, &wanted.feature);
            let Some(base) = sum.base else { return Some(self.why_none(&vendor, &wanted.feature)) };
            if let Some(code) = terms(&base, &request.program) {
                return Some(code);
            }
            let feature = wanted.feature.to_lowercase();
            let before: u64 =
                taken.iter().filter(|(v, f, _)| *v == vendor && *f == feature).map(|(_, _, n)| n).sum();
            if sum.total != UNLIMITED && self.used(&vendor, &feature) + before + wanted.count > sum.total {
                return Some("no_seats");
            }
            taken.push((vendor, feature, wanted.count));
        }
        None
    }

    /// No exclusive is in force: one begins later, one is over, or there is none.
    fn why_none(&self, vendor: &str, feature: &str) -> &'static str {
        let good = self.good(vendor, feature);
        let exclusives = || good.iter().filter(|s| s.kind == Kind::Exclusive && s.count.is_some());
        if exclusives().any(|s| s.start.is_some_and(|start| start > self.day)) {
            "not_started"
        } else if exclusives().any(|s| s.end.is_some_and(|end| end < self.day)) {
            "expired"
        } else {
            "unknown_feature"
        }
    }

    /// Takes the seats of a request that was judged to get them.
    pub fn grant(&mut self, request: &Request, on: u64) {
        let bundle = self.next_session;
        for wanted in &request.wanted {
            let vendor = match &wanted.vendor {
                Some(vendor) => self.vendor_as_sold(vendor),
                None => {
                    let sold = |s: &&Sold| same(&s.feature, &wanted.feature) && !s.is_refused;
                    self.licenses.iter().find(sold).expect("it was judged").vendor.clone()
                }
            };
            self.held.push(Held {
                session: self.next_session,
                bundle,
                vendor,
                feature: wanted.feature.to_lowercase(),
                count: wanted.count,
                key: request.key,
                secret: request.secret,
                program: request.program.clone(),
                on: Some(on),
                heard: self.tick,
            });
            self.next_session += 1;
        }
    }

    fn vendor_as_sold(&self, vendor: &str) -> String {
        let sold = self.licenses.iter().find(|s| same(&s.vendor, vendor));
        sold.map_or_else(|| vendor.to_string(), |s| s.vendor.clone())
    }

    pub fn find(&self, session: u64) -> Option<&Held> {
        self.held.iter().find(|h| h.session == session)
    }

    pub fn was_granted(&self, session: u64) -> bool {
        session >= 1 && session < self.next_session
    }

    /// S24. `None`: it is given back.
    pub fn judge_checkin(&self, session: u64, count: Option<u64>, from: u64) -> Option<&'static str> {
        match self.find(session) {
            None if self.was_granted(session) => Some("already_removed"),
            None => Some("unknown_session"),
            Some(held) if held.on.is_none() => Some("unknown_session"),
            Some(held) if held.on != Some(from) => Some("resumed_elsewhere"),
            Some(held) if count.is_some_and(|n| n < 1 || n > held.count) => Some("bad_request"),
            Some(_) => None,
        }
    }

    /// Takes seats of a session back, all of them where no count is given.
    pub fn give_back(&mut self, session: u64, count: Option<u64>, at: u64) {
        let held = self.held.iter_mut().find(|h| h.session == session).expect("it is there");
        held.count -= count.unwrap_or(held.count);
        let (bundle, key) = (held.bundle, held.key);
        self.held.retain(|h| h.count > 0);
        if !self.held.iter().any(|h| h.bundle == bundle) {
            self.spent.push((key, at));
        }
    }

    /// S10. `None`: it comes back.
    pub fn judge_resume(&self, bundle: u64, secret: u64, program: &Program) -> Option<&'static str> {
        let Some(held) = self.held.iter().find(|h| h.bundle == bundle) else {
            let is_gone = self.was_granted(bundle) && self.find(bundle).is_none();
            return Some(if is_gone { "already_removed" } else { "unknown_session" });
        };
        let bare = |user: &str| user.rsplit('\\').next().unwrap_or("").to_lowercase();
        let short = |host: &str| host.split('.').next().unwrap_or("").to_lowercase();
        let granted = &held.program;
        let is_same = granted.install == program.install
            && bare(&granted.user) == bare(&program.user)
            && short(&granted.host) == short(&program.host)
            && granted.version == program.version;
        if held.secret != secret {
            return Some("unknown_session");
        }
        (!is_same).then_some("bad_request")
    }

    /// A bundle is on this connection from now on.
    pub fn attach(&mut self, bundle: u64, on: u64) {
        self.held.iter_mut().filter(|h| h.bundle == bundle).for_each(|h| h.on = Some(on));
    }

    pub fn hear(&mut self, connection: u64) {
        let tick = self.tick;
        self.connections.iter_mut().filter(|c| c.id == connection).for_each(|c| c.heard = tick);
    }

    pub fn disconnect(&mut self, connection: u64) {
        let Some(at) = self.connections.iter().position(|c| c.id == connection) else { return };
        let heard = self.connections.remove(at).heard;
        for held in self.held.iter_mut().filter(|h| h.on == Some(connection)) {
            held.on = None;
            held.heard = heard;
        }
    }

    /// The lease of a session is over at this moment, if nothing is heard.
    pub fn lease_ends(&self, held: &Held) -> u64 {
        let connection = held.on.and_then(|on| self.connections.iter().find(|c| c.id == on));
        connection.map_or(held.heard, |c| c.heard) + self.lease
    }

    /// Time passes; every connection that is not silent beats all the while. The sessions that end, and when.
    pub fn pass(&mut self, ms: u64) -> Vec<(u64, u64)> {
        self.tick += ms;
        let tick = self.tick;
        self.connections.iter_mut().filter(|c| !c.is_silent).for_each(|c| c.heard = tick);
        let mut ended: Vec<(u64, u64)> =
            self.held.iter().map(|h| (self.lease_ends(h), h.session)).filter(|(at, _)| *at <= tick).collect();
        ended.sort_unstable();
        for (at, session) in &ended {
            self.give_back(*session, None, *at);
        }
        ended
    }

    /// S21, S61.
    pub fn restart(&mut self) {
        self.connections.clear();
        for held in &mut self.held {
            held.on = None;
            held.heard = self.tick;
        }
    }
}

/// S3: host ids, platform, time zone, the release.
fn terms(base: &Sold, program: &Program) -> Option<&'static str> {
    let short = |host: &str| host.split('.').next().unwrap_or("").to_lowercase();
    if !base.hosts.is_empty() && !base.hosts.iter().any(|h| short(h) == short(&program.host)) {
        return Some("client_host_mismatch");
    }
    let os = program.system.split('-').next().unwrap_or("");
    if !base.systems.is_empty() && !base.systems.iter().any(|s| *s == program.system || s == os) {
        return Some("platform");
    }
    let hour = (program.minutes as f64 / 60.0).floor() as i32;
    if !base.hours.is_empty() && !base.hours.contains(&hour.min(13)) {
        return Some("time_zone");
    }
    match (program.version, base.version) {
        (Some(None), _) => Some("release_version_invalid"),
        (None, Some(_)) => Some("release_version_required"),
        (Some(Some((major, minor, _))), Some(owned)) if (major, minor) > owned => {
            Some("version_not_licensed")
        }
        _ => None,
    }
}
