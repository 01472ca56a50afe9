//! What the licenses of one feature grant on a day: the sum of rules L30 to L38, and the pools beside it (L50, L51).
//!
//! [`evaluate`] is a pure function of licenses and a civil date. It looks at no session and remembers
//! nothing; the ledger calls it at start, at every reload and at every midnight, and readers call it
//! again for `explain`. Which licenses belong together is settled in [`catalog`](crate::catalog).

use alloc::vec::Vec;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::catalog::{FeatureLicenses, Replacement};
use crate::change::PoolKind;
use crate::license::{Count, KeyType, License, Reason};

mod ahead;
mod explain;
mod lend;

pub use ahead::{Forecast, LowerSuccessor, forecast, lower_successors, next_rise, next_rise_of, next_sum};
pub use explain::explain;
pub use lend::lent_until;

/// How many seats a pool has today. Zero is a legal total: expiry touches no session (L39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Total {
    /// 0 to 2147483647, both inclusive (L35).
    Limited(u32),
    /// No bound.
    Unlimited,
}

impl Total {
    /// Nothing is granted today.
    pub const ZERO: Total = Total::Limited(0);

    /// The number, `None` when unlimited: as JSON shows it.
    pub fn limited(self) -> Option<u32> {
        match self {
            Total::Limited(n) => Some(n),
            Total::Unlimited => None,
        }
    }
}

impl core::fmt::Display for Total {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Total::Limited(n) => write!(f, "{n}"),
            Total::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl From<Count> for Total {
    fn from(count: Count) -> Total {
        match count {
            Count::Limited(n) => Total::Limited(n),
            Count::Unlimited => Total::Unlimited,
        }
    }
}

/// Whether a license counts today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It counts.
    InForce,
    /// It does not count yet, but may without anybody doing anything (L38).
    Waiting,
    /// It does not count.
    NotInForce,
}

impl State {
    /// The stable name, as JSON shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::InForce => "in_force",
            State::Waiting => "waiting",
            State::NotInForce => "not_in_force",
        }
    }
}

/// One license's part in the sum: whether it counts, and if not, why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it counts.
    pub state: State,
    /// Why not; `None` only for [`State::InForce`].
    pub reason: Option<Reason>,
}

impl Standing {
    /// It counts.
    pub const IN_FORCE: Standing = Standing { state: State::InForce, reason: None };

    fn waiting(reason: Reason) -> Standing {
        Standing { state: State::Waiting, reason: Some(reason) }
    }

    fn not_in_force(reason: Reason) -> Standing {
        Standing { state: State::NotInForce, reason: Some(reason) }
    }
}

/// What one pool of a feature grants on one day.
///
/// A pool whose licenses have all ended, or have not begun, is not among those that grant; that it exists all the same
/// (L39) is told by [`pool_kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolGrant {
    /// Which pool.
    pub kind: PoolKind,
    /// Index of the license whose terms hold for it: the exclusive in force, the additive, the token.
    pub license: usize,
    /// Its seats; a token has no bound of its own.
    pub total: Total,
}

/// What the licenses of one feature grant on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The day it holds for.
    pub day: NaiveDate,
    /// Index of the exclusive in force among the feature's licenses.
    pub base: Option<usize>,
    /// Exclusive plus upgrades: the total of the exclusive pool alone.
    pub total: Total,
    /// Every pool that grants on that day, in the order of trial (rules 3, 6.7; L50).
    pub pools: Vec<PoolGrant>,
    /// One for each license of the feature, in the same order.
    pub standings: Vec<Standing>,
}

impl Evaluation {
    /// The seats of all pools together; `None`: one of them has no bound. A token has no seats.
    pub fn seats_in_all(&self) -> Option<u64> {
        let with_seats = self.pools.iter().filter(|pool| pool.kind != PoolKind::Token);
        with_seats.map(|pool| pool.total.limited().map(u64::from)).sum()
    }

    /// What a pool grants on that day; zero where it does not grant.
    pub fn total_of(&self, kind: &PoolKind) -> Total {
        self.pools.iter().find(|pool| pool.kind == *kind).map_or(Total::ZERO, |pool| pool.total)
    }

    /// The licenses that count in a pool on that day: the one whose terms hold for it, then the upgrades.
    pub fn licenses_of<'a>(
        &'a self,
        feature: &'a FeatureLicenses,
        kind: &PoolKind,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let first = self.pools.iter().find(|pool| pool.kind == *kind).map(|pool| pool.license);
        let takes_upgrades = first.is_some() && *kind == PoolKind::Exclusive;
        let is_upgrade = move |at: &usize| {
            takes_upgrades
                && feature.licenses[*at].key_type == KeyType::Upgrade
                && self.standings[*at] == Standing::IN_FORCE
        };
        first.into_iter().chain((0..self.standings.len()).filter(is_upgrade))
    }
}

/// Sums a feature's licenses for a day: the exclusive in force and every upgrade active (L30 to L38), each additive
/// (L50), and the token in force (L51).
///
/// START and END are both inclusive (L20). The result does not depend on the order in which files were read.
pub fn evaluate(feature: &FeatureLicenses, day: NaiveDate) -> Evaluation {
    let base = best_in_force(feature, KeyType::Exclusive, day);
    let token = best_in_force(feature, KeyType::Token, day);
    let mut evaluation = Evaluation {
        day,
        base,
        total: Total::ZERO,
        pools: Vec::new(),
        standings: (0..feature.licenses.len()).map(|at| standing(feature, at, [base, token], day)).collect(),
    };
    if let Some(count) = base.and_then(|at| feature.licenses[at].count) {
        evaluation.total = count.into();
        add_upgrades(feature, &mut evaluation);
    }
    let grants = |at: usize| {
        let license = &feature.licenses[at];
        let total = match license.key_type {
            _ if evaluation.standings[at] != Standing::IN_FORCE => return None,
            KeyType::Exclusive => evaluation.total,
            KeyType::Token => Total::Unlimited,
            _ => license.count.map_or(Total::ZERO, Total::from),
        };
        Some(PoolGrant { kind: pool_kind(license)?, license: at, total })
    };
    let mut pools: Vec<PoolGrant> = (0..feature.licenses.len()).filter_map(grants).collect();
    sort_for_trial(feature, &mut pools, day, &|_| None);
    evaluation.pools = pools;
    evaluation
}

/// Brings the pools of a feature into the order in which they are tried on a day (rules 3, 6.7; L50). `first_checkout`: the
/// recorded day of a license, by its index (6.10); [`evaluate`] knows none, and takes each for one that begins today.
pub fn sort_for_trial(
    feature: &FeatureLicenses,
    pools: &mut [PoolGrant],
    day: NaiveDate,
    first_checkout: &dyn Fn(usize) -> Option<NaiveDate>,
) {
    if pools.len() > 1 {
        let order = |pool: &PoolGrant| trial_order(feature, pool, day, first_checkout(pool.license));
        pools.sort_by_cached_key(order);
    }
}

/// The pool a license stands for while it is accepted and no duplicate, whatever its dates (L39): that of the
/// exclusives, its own for an additive, that of the tokens. `None`: it stands for none by itself, as an upgrade, a
/// renewal and a node-locked license.
pub fn pool_kind(license: &License) -> Option<PoolKind> {
    match license.key_type {
        KeyType::Exclusive => license.count.map(|_| PoolKind::Exclusive),
        KeyType::Additive => Some(PoolKind::Additive(license.identity())),
        KeyType::Token => Some(PoolKind::Token),
        KeyType::Upgrade | KeyType::Maintenance => None,
    }
}

/// Rules 3, 6.7, then L50: what covers the fewest releases first, so that its seats are used by whom they suffice (none where
/// it owns its version alone, all where no VERSION is stated), the lower VERSION, the lower MAX_VERSION, the exclusive before an
/// additive, then the pool that ends soonest, then the SN. A token, which takes seats of other features, comes after every seat
/// of this one.
fn trial_order(
    feature: &FeatureLicenses,
    pool: &PoolGrant,
    day: NaiveDate,
    first_checkout: Option<NaiveDate>,
) -> impl Ord + use<> {
    let license = &feature.licenses[pool.license];
    let max = license.carried.maintenance.as_deref().and_then(|given| given.max_version.clone());
    let covered_until = feature.plan(pool.license, first_checkout, day).covered_until(day);
    let covers = (covered_until, license.version, max.is_none(), max);
    let end = (license.end.is_none(), license.end);
    (pool.kind == PoolKind::Token, covers, pool.kind != PoolKind::Exclusive, end, pool.kind.clone())
}

/// The first day after `day` on which the result of [`evaluate`] may differ; `None`: never again.
pub fn next_boundary(feature: &FeatureLicenses, day: NaiveDate) -> Option<NaiveDate> {
    boundaries(feature).filter(|d| *d > day).min()
}

/// The days on which a license of a feature begins, has ended, or is replaced; in no order, some of them twice.
pub(crate) fn boundaries(feature: &FeatureLicenses) -> impl Iterator<Item = NaiveDate> + '_ {
    feature.licenses.iter().enumerate().filter(|(_, l)| l.refusal.is_none()).flat_map(|(at, license)| {
        let ends = license.end.and_then(|end| end.succ_opt());
        let replaced = feature.replacement(at).and_then(Replacement::from);
        let maintained = license.carried.maintenance.as_deref().and_then(|given| given.start);
        license.start.into_iter().chain(ends).chain(replaced).chain(maintained)
    })
}

/// The token in force of a feature that has no pool with seats on that day: then a dependency on the feature goes
/// through the token (L51).
pub(crate) fn token_alone(feature: &FeatureLicenses, day: NaiveDate) -> Option<usize> {
    let is_seats = |at: usize| {
        matches!(feature.licenses[at].key_type, KeyType::Exclusive | KeyType::Additive)
            && (is_candidate_on(feature, at, day) || falls_back_on(feature, at, day))
    };
    if (0..feature.licenses.len()).any(is_seats) {
        return None;
    }
    best_in_force(feature, KeyType::Token, day)
}

/// L31: of the exclusives (or tokens) whose dates include the day, the latest ISSUED, then the highest VERSION (none
/// stated covers every version and is the highest), then the largest COUNT, then the greatest SN. Only where there is none,
/// the same of the subscriptions that are over and leave a fallback version.
fn best_in_force(feature: &FeatureLicenses, key_type: KeyType, day: NaiveDate) -> Option<usize> {
    let rank = |at: &usize| {
        let l = &feature.licenses[*at];
        (l.issued, l.version.is_none(), l.version, l.count, l.sn.clone(), l.fingerprint)
    };
    let of_type = || (0..feature.licenses.len()).filter(|at| feature.licenses[*at].key_type == key_type);
    let in_its_days = of_type().filter(|at| is_candidate_on(feature, *at, day)).max_by_key(rank);
    in_its_days.or_else(|| of_type().filter(|at| falls_back_on(feature, *at, day)).max_by_key(rank))
}

/// A license that could stand for a pool on some day.
fn is_candidate(feature: &FeatureLicenses, at: usize) -> bool {
    let l = &feature.licenses[at];
    feature.can_count(at) && !(l.key_type == KeyType::Exclusive && l.count.is_none())
}

/// A license that stands for a pool on that day, if none is ranked above it (L31).
fn is_candidate_on(feature: &FeatureLicenses, at: usize, day: NaiveDate) -> bool {
    is_candidate(feature, at) && includes(&feature.licenses[at], day) && !is_replaced(feature, at, day)
}

/// Whether a license is a subscription that is over, and leaves the seats it had for its fallback version (L31).
pub fn falls_back(license: &License, day: NaiveDate) -> bool {
    license.has_fallback() && license.end.is_some_and(|end| end < day)
}

/// A license that stands for a pool for its fallback version, if none is in its days.
fn falls_back_on(feature: &FeatureLicenses, at: usize, day: NaiveDate) -> bool {
    is_candidate(feature, at) && falls_back(&feature.licenses[at], day) && !is_replaced(feature, at, day)
}

fn is_replaced(feature: &FeatureLicenses, at: usize, day: NaiveDate) -> bool {
    feature.replacement(at).is_some_and(|replacement| replacement.acts_on(day))
}

fn includes(license: &License, day: NaiveDate) -> bool {
    license.start.is_none_or(|start| start <= day) && license.end.is_none_or(|end| day <= end)
}

/// Everything about a license's standing but the sum itself (L35).
///
/// `best` are the exclusive and the token in force.
fn standing(feature: &FeatureLicenses, at: usize, best: [Option<usize>; 2], day: NaiveDate) -> Standing {
    let license = &feature.licenses[at];
    if let Some(refusal) = &license.refusal {
        return Standing::not_in_force(refusal.reason);
    }
    if feature.is_duplicate(at) {
        return Standing::not_in_force(Reason::Duplicate);
    }
    if license.key_type == KeyType::Exclusive && license.count.is_none() {
        return Standing::not_in_force(Reason::NotANetworkLicense);
    }
    if let Some(fault) = feature.token_fault(at) {
        return Standing::not_in_force(fault.reason);
    }
    // For good, so it comes before dates that pass: what is replaced will not begin any more.
    if is_replaced(feature, at, day) {
        return Standing::not_in_force(Reason::Replaced);
    }
    if license.end.is_some_and(|end| end < day) {
        let goes_on = match license.key_type {
            KeyType::Exclusive | KeyType::Token => best.contains(&Some(at)),
            _ => license.key_type == KeyType::Additive && falls_back(license, day),
        };
        return if goes_on { Standing::IN_FORCE } else { Standing::not_in_force(Reason::Expired) };
    }
    if license.start.is_some_and(|start| day < start) {
        return Standing::waiting(Reason::NotStarted);
    }
    match license.key_type {
        KeyType::Exclusive | KeyType::Token if best.contains(&Some(at)) => Standing::IN_FORCE,
        KeyType::Exclusive | KeyType::Token => Standing::not_in_force(Reason::Superseded),
        KeyType::Upgrade => upgrade_standing(license, best[0].map(|at| &*feature.licenses[at])),
        KeyType::Additive => Standing::IN_FORCE,
        KeyType::Maintenance => renewal_standing(feature, at, day),
    }
}

/// Rules 3, 6.9: a renewal without its license is kept, and has no effect until that comes. What it covers stays covered, so it
/// never ends.
fn renewal_standing(feature: &FeatureLicenses, at: usize, day: NaiveDate) -> Standing {
    let given = feature.licenses[at].carried.maintenance.as_deref();
    let start = given.and_then(|given| given.start);
    if feature.renewed_by(at).is_empty() {
        Standing::waiting(Reason::UnknownParent)
    } else if start.is_some_and(|start| day < start) {
        Standing::waiting(Reason::NotStarted)
    } else {
        Standing::IN_FORCE
    }
}

/// L34 to L38, for an upgrade whose own dates include the day.
fn upgrade_standing(upgrade: &License, base: Option<&License>) -> Standing {
    if upgrade.count == Some(Count::Unlimited) {
        return Standing::not_in_force(Reason::Unlimited);
    }
    let Some(base) = base else { return Standing::waiting(Reason::NoExclusive) };
    if base.count == Some(Count::Unlimited) {
        return Standing::not_in_force(Reason::Unlimited);
    }
    if base.end.is_some_and(|base_end| upgrade.end.is_none_or(|end| end > base_end)) {
        return Standing::not_in_force(Reason::OutlivesExclusive);
    }
    if base.hal != upgrade.hal {
        return Standing::not_in_force(Reason::HalMismatch);
    }
    Standing::IN_FORCE
}

/// L30, L35: adds the upgrades in the order START, SN; the one that would overflow does not count.
fn add_upgrades(feature: &FeatureLicenses, evaluation: &mut Evaluation) {
    let Total::Limited(mut total) = evaluation.total else { return };
    let mut active: Vec<usize> = (0..feature.licenses.len())
        .filter(|at| {
            feature.licenses[*at].key_type == KeyType::Upgrade
                && evaluation.standings[*at] == Standing::IN_FORCE
        })
        .collect();
    active.sort_by_key(|at| {
        (feature.licenses[*at].start, feature.licenses[*at].sn.clone(), feature.licenses[*at].fingerprint)
    });
    for at in active {
        let Some(Count::Limited(count)) = feature.licenses[at].count else { continue };
        match total.checked_add(count).filter(|sum| *sum <= Count::MAX) {
            Some(sum) => total = sum,
            None => evaluation.standings[at] = Standing::not_in_force(Reason::CountOverflow),
        }
    }
    evaluation.total = Total::Limited(total);
}
