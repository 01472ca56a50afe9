//! Licenses, and what they grant on a day: L30 to L38, L50 to L52.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Naive, SEATS_MAX, UNLIMITED, same};

/// L51: the longest chain of tokens.
const DEPTH_MAX: u32 = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    #[default]
    Exclusive,
    Upgrade,
    Additive,
    Token,
}

/// SHARE (L60).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub host: bool,
    pub user: bool,
    pub custom: bool,
}

impl Share {
    pub fn is_any(self) -> bool {
        self.host || self.user || self.custom
    }
}

/// USERBASED, HOSTBASED (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Based {
    Seats(u64),
    All,
}

/// REPLACES (L52).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replaces {
    Feature(String),
    Sn(String),
    Key(String),
}

/// TOKEN_DEPENDENCY (L51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub feature: String,
    pub version: (u32, u32),
    pub count: u64,
}

/// One license.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sold {
    pub vendor: String,
    pub feature: String,
    pub kind: Kind,
    /// `None`: for one machine alone; a token has none.
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
    pub share: Share,
    pub soft: Option<u64>,
    /// HOLD, seconds.
    pub hold: Option<u64>,
    /// MIN_CHECKOUT, seconds.
    pub least: Option<u64>,
    pub user_based: Option<Based>,
    pub host_based: Option<Based>,
    pub replaces: Option<Replaces>,
    pub depends: Vec<Dependency>,
    /// The reader of the files did not accept it.
    pub is_refused: bool,
    /// Another for other content, as a signature is.
    pub key: String,
}

impl Sold {
    /// Whether it says nothing but what an exclusive and its upgrades always could.
    pub fn is_plain(&self) -> bool {
        let is_based = self.user_based.is_some() || self.host_based.is_some();
        let is_held = self.hold.is_some() || self.least.is_some();
        matches!(self.kind, Kind::Exclusive | Kind::Upgrade)
            && !self.share.is_any()
            && !is_based
            && !is_held
            && self.replaces.is_none()
    }
}

/// Which pool of a feature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    Exclusive,
    /// By its SN.
    Additive(String),
    Token,
}

/// A pool's identity: vendor and feature in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolKey {
    pub vendor: String,
    pub feature: String,
    pub which: Which,
}

impl PoolKey {
    pub fn new(vendor: &str, feature: &str, which: Which) -> PoolKey {
        PoolKey { vendor: vendor.to_lowercase(), feature: feature.to_lowercase(), which }
    }

    pub fn is_of(&self, vendor: &str, feature: &str) -> bool {
        same(&self.vendor, vendor) && same(&self.feature, feature)
    }
}

/// What one pool grants on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub key: PoolKey,
    /// The license whose terms hold; `None`: it grants nothing.
    pub license: Option<Sold>,
    /// Every license that counts, by its key.
    pub counting: Vec<String>,
    pub total: u64,
}

fn has_begun(sold: &Sold, day: i32) -> bool {
    match sold.start {
        Some(start) => day >= start,
        None => true,
    }
}

fn is_over(sold: &Sold, day: i32) -> bool {
    match sold.end {
        Some(end) => day > end,
        None => false,
    }
}

fn includes(sold: &Sold, day: i32) -> bool {
    has_begun(sold, day) && !is_over(sold, day)
}

/// A version to compare by: none covers every version and is the highest.
fn version_of(sold: &Sold) -> (u64, u64) {
    match sold.version {
        Some((major, minor)) => (u64::from(major), u64::from(minor)),
        None => (u64::MAX, u64::MAX),
    }
}

fn issued_of(sold: &Sold) -> i32 {
    sold.issued.unwrap_or(i32::MIN)
}

/// L36: whether `a` counts rather than `b`, which has the same identity.
fn is_preferred(a: &Sold, b: &Sold) -> bool {
    if issued_of(a) != issued_of(b) {
        return issued_of(a) > issued_of(b);
    }
    if a.count != b.count {
        return a.count > b.count;
    }
    a.key < b.key
}

/// L31: whether `a` is in force rather than `b`, where the dates of both include the day.
fn supersedes(a: &Sold, b: &Sold) -> bool {
    if issued_of(a) != issued_of(b) {
        return issued_of(a) > issued_of(b);
    }
    if version_of(a) != version_of(b) {
        return version_of(a) > version_of(b);
    }
    if a.count != b.count {
        return a.count > b.count;
    }
    a.sn > b.sn
}

/// The one in force of several (L31).
fn best(of: Vec<&Sold>) -> Option<Sold> {
    let mut best: Option<&Sold> = None;
    for sold in of {
        if best.is_none_or(|best| supersedes(sold, best)) {
            best = Some(sold);
        }
    }
    best.cloned()
}

/// Which pool a license's seats are in; an upgrade's are in the exclusive one.
fn which_of(sold: &Sold) -> Which {
    match sold.kind {
        Kind::Exclusive | Kind::Upgrade => Which::Exclusive,
        Kind::Additive => Which::Additive(sold.sn.clone()),
        Kind::Token => Which::Token,
    }
}

/// An upgrade goes with an exclusive, and a license for one machine alone is not served.
fn stands_for_a_pool(sold: &Sold) -> bool {
    match sold.kind {
        Kind::Upgrade => false,
        Kind::Exclusive | Kind::Additive => sold.count.is_some(),
        Kind::Token => true,
    }
}

impl Naive {
    /// The accepted licenses, each once (L36), whatever their dates.
    pub fn accepted(&self) -> Vec<&Sold> {
        let mut all: Vec<&Sold> = Vec::new();
        for sold in self.licenses.iter().filter(|s| !s.is_refused) {
            let is_same = |a: &&Sold| {
                a.kind == sold.kind
                    && a.sn == sold.sn
                    && same(&a.vendor, &sold.vendor)
                    && same(&a.feature, &sold.feature)
            };
            match all.iter().position(is_same) {
                Some(at) if is_preferred(sold, all[at]) => all[at] = sold,
                Some(_) => {}
                None => all.push(sold),
            }
        }
        all
    }

    /// Those of one feature.
    pub fn accepted_of(&self, vendor: &str, feature: &str) -> Vec<&Sold> {
        let mut all = self.accepted();
        all.retain(|s| same(&s.vendor, vendor) && same(&s.feature, feature));
        all
    }

    /// L52: whether another license stands in for this one today.
    pub fn is_replaced(&self, old: &Sold) -> bool {
        self.accepted().into_iter().any(|new| {
            let is_meant = match &new.replaces {
                Some(Replaces::Feature(feature)) => same(feature, &old.feature) && old.kind != Kind::Upgrade,
                Some(Replaces::Sn(sn)) => *sn == old.sn,
                Some(Replaces::Key(key)) => *key == old.key,
                None => false,
            };
            let is_earlier = match (old.issued, new.issued) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(old), Some(new)) => old < new,
            };
            let works = !self.is_in_loop(new) && !self.shares_twice(new);
            is_meant && is_earlier && works && same(&new.vendor, &old.vendor) && has_begun(new, self.day)
        })
    }

    /// The names that a token's dependencies lead to, itself among them if they lead back.
    fn reached_from(&self, token: &Sold) -> Vec<String> {
        let mut reached: Vec<String> = Vec::new();
        let mut open: Vec<&Sold> = vec![token];
        while let Some(at) = open.pop() {
            for needed in &at.depends {
                let name = needed.feature.to_lowercase();
                if reached.contains(&name) {
                    continue;
                }
                let next = self.accepted_of(&token.vendor, &name);
                open.extend(next.into_iter().filter(|s| s.kind == Kind::Token));
                reached.push(name);
            }
        }
        reached
    }

    /// L51: its dependencies lead back to it, or go too deep.
    pub fn is_in_loop(&self, token: &Sold) -> bool {
        let leads_back = self.reached_from(token).contains(&token.feature.to_lowercase());
        token.kind == Kind::Token && (leads_back || self.is_deeper(token, DEPTH_MAX))
    }

    /// Whether a chain of tokens that begins with this one is longer than that. A loop below it is no chain: nothing
    /// goes through it.
    fn is_deeper(&self, token: &Sold, most: u32) -> bool {
        most == 0
            || token.depends.iter().any(|needed| {
                let below = self.accepted_of(&token.vendor, &needed.feature);
                below.into_iter().any(|s| {
                    let leads_back = self.reached_from(s).contains(&s.feature.to_lowercase());
                    s.kind == Kind::Token && !leads_back && self.is_deeper(s, most - 1)
                })
            })
    }

    /// L51: it shares, and so does something it depends on, a loop in between or not.
    pub fn shares_twice(&self, token: &Sold) -> bool {
        let shares = |s: &&Sold| s.share.is_any() && stands_for_a_pool(s);
        token.kind == Kind::Token
            && token.share.is_any()
            && self
                .reached_from(token)
                .iter()
                .any(|feature| self.accepted_of(&token.vendor, feature).iter().any(shares))
    }

    /// Whether a license could count on some day as far as the others are concerned.
    fn may_count(&self, sold: &Sold) -> bool {
        let is_served = sold.kind == Kind::Upgrade || stands_for_a_pool(sold);
        is_served && !self.is_replaced(sold) && !self.is_in_loop(sold) && !self.shares_twice(sold)
    }

    /// Takes a set of licenses.
    pub fn load(&mut self, licenses: Vec<Sold>) {
        self.licenses = Rc::new(licenses);
        self.days = RefCell::default();
    }

    /// The pools of a feature: those that grant today in the order of trial (rules 3, 6.7; L50), then the others of
    /// which there is an accepted license.
    pub fn pools(&self, vendor: &str, feature: &str) -> Vec<Pool> {
        self.today().iter().filter(|pool| pool.key.is_of(vendor, feature)).cloned().collect()
    }

    /// One pool today.
    pub fn pool(&self, key: &PoolKey) -> Pool {
        let none = || Pool { key: key.clone(), license: None, counting: Vec::new(), total: 0 };
        self.today().iter().find(|pool| pool.key == *key).cloned().unwrap_or_else(none)
    }

    /// Every pool. Worked out once for a day and a set of licenses: no session has a part in it.
    fn today(&self) -> Rc<Vec<Pool>> {
        if let Some(known) = self.days.borrow().get(&self.day) {
            return known.clone();
        }
        let all = self.accepted().into_iter().filter(|s| stands_for_a_pool(s));
        let mut keys: Vec<PoolKey> = all.map(|s| PoolKey::new(&s.vendor, &s.feature, which_of(s))).collect();
        keys.sort();
        keys.dedup();
        let mut pools: Vec<Pool> = keys.into_iter().map(|key| self.work_out(&key)).collect();
        pools.sort_by_key(|pool| match &pool.license {
            None => (true, false, (0, 0), false, 0, String::new()),
            Some(license) => (
                false,
                pool.key.which == Which::Token,
                version_of(license),
                pool.key.which != Which::Exclusive,
                license.end.unwrap_or(i32::MAX),
                license.sn.clone(),
            ),
        });
        let pools = Rc::new(pools);
        self.days.borrow_mut().insert(self.day, pools.clone());
        pools
    }

    /// One pool, from the licenses.
    fn work_out(&self, key: &PoolKey) -> Pool {
        let mut of = self.accepted_of(&key.vendor, &key.feature);
        let mut upgrades = of.clone();
        of.retain(|s| s.kind != Kind::Upgrade && which_of(s) == key.which);
        of.retain(|s| includes(s, self.day) && self.may_count(s));
        let Some(base) = best(of) else {
            return Pool { key: key.clone(), license: None, counting: Vec::new(), total: 0 };
        };
        let mut counting = vec![base.key.clone()];
        let mut total = match base.kind {
            Kind::Token => UNLIMITED,
            _ => base.count.expect("it may count"),
        };
        upgrades.retain(|up| up.kind == Kind::Upgrade && includes(up, self.day) && self.may_count(up));
        upgrades.retain(|up| up.count != Some(UNLIMITED) && up.hal == base.hal);
        upgrades.retain(|up| match (up.end, base.end) {
            (_, None) => true,
            (Some(up), Some(base)) => up <= base,
            (None, Some(_)) => false,
        });
        upgrades.sort_by_key(|up| (up.start.unwrap_or(i32::MIN), up.sn.clone()));
        if base.kind == Kind::Exclusive && total != UNLIMITED {
            for up in upgrades {
                let more = total + up.count.expect("an upgrade has a count");
                if more <= SEATS_MAX {
                    total = more;
                    counting.push(up.key.clone());
                }
            }
        }
        Pool { key: key.clone(), license: Some(base), counting, total }
    }

    /// Whether an accepted license of a pool's identity is in the directory, whatever its dates (L39).
    pub fn has_license(&self, key: &PoolKey) -> bool {
        let all = self.accepted_of(&key.vendor, &key.feature);
        all.into_iter().any(|s| stands_for_a_pool(s) && which_of(s) == key.which)
    }

    /// S71: whether a license may give no new seats because the clock is behind: it ends some day, or has not begun by
    /// the clock.
    pub fn is_in_doubt(&self, sold: &Sold) -> bool {
        self.clock.is_some_and(|clock| sold.end.is_some() || !has_begun(sold, clock))
    }

    /// S71: the seats of a pool that new sessions may have; as ever where the clock is right.
    pub fn certain(&self, pool: &Pool) -> u64 {
        let Some(base) = pool.license.as_ref().filter(|_| self.clock.is_some()) else { return pool.total };
        if self.is_in_doubt(base) {
            return 0;
        }
        let mut total = pool.total;
        for sold in self.accepted_of(&pool.key.vendor, &pool.key.feature) {
            if pool.counting.contains(&sold.key) && sold.key != base.key && self.is_in_doubt(sold) {
                total -= sold.count.expect("an upgrade has a count");
            }
        }
        total
    }

    /// Why a feature grants nothing: something begins later, or something is over, or neither.
    pub fn why_none(&self, vendor: &str, feature: &str) -> &'static str {
        let mut of = self.accepted_of(vendor, feature);
        of.retain(|s| s.kind != Kind::Upgrade && self.may_count(s));
        if of.iter().any(|s| !has_begun(s, self.day)) {
            "not_started"
        } else if of.iter().any(|s| is_over(s, self.day)) {
            // S71: by a clock that is behind it may not be over yet.
            let last = of.iter().filter(|s| is_over(s, self.day)).filter_map(|s| s.end).max();
            if self.clock.is_some_and(|clock| last >= Some(clock)) { "clock_suspect" } else { "expired" }
        } else {
            "unknown_feature"
        }
    }

    /// The pools of a feature with seats that grant today; a token has no seats.
    pub fn pools_with_seats(&self, vendor: &str, feature: &str) -> Vec<Pool> {
        let mut pools = self.pools(vendor, feature);
        pools.retain(|pool| pool.license.is_some() && pool.key.which != Which::Token);
        pools
    }

    /// L51: what so many tokens of a license take, by name, then VERSION. A feature without seats of its own that is a
    /// token itself is taken as one, and what it takes beside it.
    pub fn needs(&self, token: &Sold, count: u64) -> Vec<Needed> {
        let mut needs: Vec<Needed> = Vec::new();
        let mut add = |more: Needed| match needs
            .iter_mut()
            .find(|n| n.feature == more.feature && n.version == more.version)
        {
            Some(same) => same.count = same.count.saturating_add(more.count),
            None => needs.push(more),
        };
        for needed in &token.depends {
            let feature = needed.feature.to_lowercase();
            let count = count.saturating_mul(needed.count);
            let inner = self.pool(&PoolKey::new(&token.vendor, &feature, Which::Token)).license;
            let inner = inner.filter(|_| self.pools_with_seats(&token.vendor, &feature).is_empty());
            add(Needed { feature, version: needed.version, count, is_token: inner.is_some() });
            if let Some(inner) = inner {
                self.needs(&inner, count).into_iter().for_each(&mut add);
            }
        }
        needs.sort();
        needs
    }
}

/// What a token takes of one feature in one VERSION.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    pub feature: String,
    pub version: (u32, u32),
    pub count: u64,
    /// Tokens, not seats.
    pub is_token: bool,
}
