//! What comes next, if no file changes: the days on which a sum changes, and what is lost on the way.

use alloc::vec::Vec;
use core::cmp::Reverse;

use chrono::NaiveDate;

use super::{Evaluation, PoolGrant, Standing, Total, evaluate, is_candidate, next_boundary};
use crate::catalog::FeatureLicenses;
use crate::change::PoolKind;
use crate::license::KeyType;

/// A change to come: on this day what a pool grants or a license's standing will be another (`explain`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The first day of the new state.
    pub day: NaiveDate,
    /// The total of the exclusive pool on that day.
    pub total: Total,
    /// Every pool that grants on that day, in the order of trial.
    pub pools: Vec<PoolGrant>,
    /// The licenses whose standing changes: index, and the standing from that day on.
    pub changed: Vec<(usize, Standing)>,
}

/// Every change to come after `day`, in order, at most `limit` of them, if no file changes.
pub fn forecast(feature: &FeatureLicenses, day: NaiveDate, limit: usize) -> Vec<Forecast> {
    let mut found = Vec::new();
    let mut before = evaluate(feature, day);
    while let Some(next) = next_boundary(feature, before.day).filter(|_| found.len() < limit) {
        let after = evaluate(feature, next);
        let changed: Vec<_> = (after.standings.iter().enumerate())
            .filter(|(at, standing)| before.standings[*at] != **standing)
            .map(|(at, standing)| (at, *standing))
            .collect();
        if after.pools != before.pools || !changed.is_empty() {
            found.push(Forecast { day: next, total: after.total, pools: after.pools.clone(), changed });
        }
        before = after;
    }
    found
}

/// How much work a look ahead may be, in licenses looked at. A few licenses with a few dates stay far below; a
/// feature of ten thousand upgrades, each with a date of its own, is looked at for its next few dates only.
const LOOK_AHEAD: usize = 100_000;

/// How many boundaries of a feature a look ahead goes through.
pub(super) fn boundaries_ahead(feature: &FeatureLicenses) -> usize {
    LOOK_AHEAD / feature.licenses.len().max(1) + 1
}

/// The next day on which the total of the exclusive pool will be above `total`; `None`: not by itself, or too far
/// ahead to look for.
pub fn next_rise(feature: &FeatureLicenses, day: NaiveDate, total: Total) -> Option<NaiveDate> {
    next_rise_of(feature, &PoolKind::Exclusive, day, total)
}

/// The same for any pool of the feature.
pub fn next_rise_of(
    feature: &FeatureLicenses,
    kind: &PoolKind,
    day: NaiveDate,
    total: Total,
) -> Option<NaiveDate> {
    let mut at = day;
    for _ in 0..boundaries_ahead(feature) {
        let next = next_boundary(feature, at)?;
        if evaluate(feature, next).total_of(kind) > total {
            return Some(next);
        }
        at = next;
    }
    None
}

/// The next day on which the seats of all pools together, tokens apart, come to another sum than today, and that sum
/// (`None`: unlimited). `None`: it stays as it is, or changes too far ahead to look for.
pub fn next_sum(feature: &FeatureLicenses, today: &Evaluation) -> Option<(NaiveDate, Option<u64>)> {
    let (mut at, today) = (today.day, sum(today));
    for _ in 0..boundaries_ahead(feature) {
        at = next_boundary(feature, at)?;
        let then = sum(&evaluate(feature, at));
        if then != today {
            return Some((at, then));
        }
    }
    None
}

/// What a token takes is counted where it takes it (L51).
fn sum(evaluation: &Evaluation) -> Option<u64> {
    let pools = evaluation.pools.iter().filter(|pool| pool.kind != PoolKind::Token);
    pools.map(|pool| pool.total.limited().map(u64::from)).sum()
}

/// L31: an older exclusive is still valid today or when its successor begins, and the successor lowers the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerSuccessor {
    /// The first day of the lower total.
    pub day: NaiveDate,
    /// Index of the license that would still be valid.
    pub older: usize,
    /// Index of the one in force instead.
    pub successor: usize,
    /// What the older one would have given that day.
    pub total_without: Total,
    /// What there is.
    pub total: Total,
}

/// The warning of L31 for one feature, today and at each change to come; at most one a successor. What a license
/// replaces by name (L52) is not "still valid": the vendor said so, and nobody is warned.
pub fn lower_successors(feature: &FeatureLicenses, today: NaiveDate) -> Vec<LowerSuccessor> {
    let mut found: Vec<LowerSuccessor> = Vec::new();
    let is_exclusive =
        |at: &usize| feature.licenses[*at].key_type == KeyType::Exclusive && is_candidate(feature, *at);
    if (0..feature.licenses.len()).filter(is_exclusive).nth(1).is_none() {
        return found;
    }
    let mut day = Some(today);
    for _ in 0..boundaries_ahead(feature) {
        let Some(at) = day else { break };
        let with = evaluate(feature, at);
        if let Some(successor) = with.base.filter(|s| !found.iter().any(|f| f.successor == *s)) {
            let (rest, left) = feature.without(successor);
            let without = evaluate(&rest, at);
            if without.total > with.total
                && let Some(older) = without.base
            {
                found.push(LowerSuccessor {
                    day: at,
                    older: left[older],
                    successor,
                    total_without: without.total,
                    total: with.total,
                });
            }
        }
        day = next_boundary(feature, at);
    }
    found.sort_by_key(|f| Reverse(f.day));
    found.reverse();
    found
}
