//! What the licenses of one feature grant on a day: the sum of rules L30 to L38.
//!
//! [`evaluate`] is a pure function of licenses and a civil date. It looks at no session and remembers
//! nothing; the ledger calls it at start, at every reload and at every midnight, and readers call it
//! again for `explain`. Which licenses belong together is settled in [`catalog`](crate::catalog).

use alloc::vec::Vec;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::catalog::FeatureLicenses;
use crate::change::PoolKind;
use crate::license::{Count, KeyType, License, Reason};

mod ahead;
mod explain;

pub use ahead::{Forecast, LowerSuccessor, forecast, lower_successors, next_rise};
pub use explain::explain;

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
    const IN_FORCE: Standing = Standing { state: State::InForce, reason: None };

    fn waiting(reason: Reason) -> Standing {
        Standing { state: State::Waiting, reason: Some(reason) }
    }

    fn not_in_force(reason: Reason) -> Standing {
        Standing { state: State::NotInForce, reason: Some(reason) }
    }
}

/// What one pool of a feature grants on one day.
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

/// Sums a feature's licenses for a day: the exclusive in force and every upgrade active (L30 to L38).
///
/// START and END are both inclusive (L20). The result does not depend on the order in which files were read.
pub fn evaluate(feature: &FeatureLicenses, day: NaiveDate) -> Evaluation {
    let base = exclusive_in_force(feature, day);
    let mut evaluation = Evaluation {
        day,
        base,
        total: Total::ZERO,
        pools: Vec::new(),
        standings: (0..feature.licenses.len()).map(|at| standing(feature, at, base, day)).collect(),
    };
    if let Some(count) = base.and_then(|at| feature.licenses[at].count) {
        evaluation.total = count.into();
        add_upgrades(feature, &mut evaluation);
    }
    if let Some(license) = base {
        evaluation.pools.push(PoolGrant { kind: PoolKind::Exclusive, license, total: evaluation.total });
    }
    evaluation
}

/// The first day after `day` on which the result of [`evaluate`] may differ; `None`: never again.
pub fn next_boundary(feature: &FeatureLicenses, day: NaiveDate) -> Option<NaiveDate> {
    feature
        .licenses
        .iter()
        .filter(|l| l.refusal.is_none())
        .flat_map(|l| boundaries(l))
        .filter(|d| *d > day)
        .min()
}

/// The days on which a license begins and has ended.
pub(crate) fn boundaries(license: &License) -> impl Iterator<Item = NaiveDate> {
    license.start.into_iter().chain(license.end.and_then(|end| end.succ_opt()))
}

/// L31: of the exclusives whose dates include the day, the latest ISSUED, then the highest VERSION (none
/// stated covers every version and is the highest), then the largest COUNT, then the greatest SN.
fn exclusive_in_force(feature: &FeatureLicenses, day: NaiveDate) -> Option<usize> {
    let rank = |at: &usize| {
        let l = &feature.licenses[*at];
        (l.issued, l.version.is_none(), l.version, l.count, l.sn.clone(), l.fingerprint)
    };
    (0..feature.licenses.len())
        .filter(|at| is_candidate(feature, *at) && includes(&feature.licenses[*at], day))
        .max_by_key(rank)
}

/// An exclusive that could be in force on some day.
fn is_candidate(feature: &FeatureLicenses, at: usize) -> bool {
    let l = &feature.licenses[at];
    l.key_type == KeyType::Exclusive && l.count.is_some() && l.refusal.is_none() && !feature.is_duplicate(at)
}

fn includes(license: &License, day: NaiveDate) -> bool {
    license.start.is_none_or(|start| start <= day) && license.end.is_none_or(|end| day <= end)
}

/// Everything about a license's standing but the sum itself (L35).
fn standing(feature: &FeatureLicenses, at: usize, base: Option<usize>, day: NaiveDate) -> Standing {
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
    if license.end.is_some_and(|end| end < day) {
        return Standing::not_in_force(Reason::Expired);
    }
    if license.start.is_some_and(|start| day < start) {
        return Standing::waiting(Reason::NotStarted);
    }
    match license.key_type {
        KeyType::Exclusive if base == Some(at) => Standing::IN_FORCE,
        KeyType::Exclusive => Standing::not_in_force(Reason::Superseded),
        KeyType::Upgrade => upgrade_standing(license, base.map(|at| &*feature.licenses[at])),
        KeyType::Additive | KeyType::Token | KeyType::Maintenance => {
            Standing::not_in_force(Reason::NotSupportedYet)
        }
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
