//! Which ends administrators are to hear of: of maintenance, of subscriptions, and of licenses and upgrades with a term (6.11).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::calendar::is_unlimited;
use super::plan::{State, contact};
use super::remind::Ending;
use crate::catalog::FeatureLicenses;
use crate::evaluate::{Evaluation, State as Standing, Total, evaluate, pool_kind};
use crate::license::{KeyType, License, LicenseType};

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Index of the license among the feature's.
    pub license: usize,
    /// What ends.
    pub of: Ending,
    /// The last day, included.
    pub end: NaiveDate,
    /// Seats it is about: those of the pool, or those that the license itself gives.
    pub seats: Total,
}

/// Every end of a feature's licenses, to come or past, of those that count or did. Nobody hears of what
/// was paid for already: a renewal moves the end, and a license that follows or replaces another silences it. `first_checkout`:
/// the recorded day of a license, by its index.
pub fn endings(
    feature: &FeatureLicenses,
    day: NaiveDate,
    first_checkout: &dyn Fn(usize) -> Option<NaiveDate>,
) -> Vec<End> {
    if !feature.licenses.iter().any(|license| may_end(license)) {
        return Vec::new();
    }
    let evaluation = evaluate(feature, day);
    let of_license = |at: usize| {
        let license = &feature.licenses[at];
        let counts = evaluation.standings[at].state == Standing::InForce;
        let mut ends: Vec<End> = Vec::new();
        if license.license_type == LicenseType::Evaluation || !feature.can_count(at) {
            return ends;
        }
        let has_pool = pool_kind(license).is_some();
        if let Some(end) = license.end
            && (counts || end < day)
            && (has_pool || license.key_type == KeyType::Upgrade)
            && !is_followed(feature, at, end)
        {
            let seats = license.count.map_or(Total::Unlimited, Total::from);
            ends.push(End { license: at, of: Ending::Term, end, seats });
        }
        if counts && has_pool && license.license_type == LicenseType::Perpetual && license.version.is_some() {
            let plan = feature.plan(at, first_checkout(at), day);
            let is_open =
                matches!(plan.state(day), State::None | State::PendingFirstCheckout | State::Unlimited);
            if let Some(end) = plan.effective_end().filter(|end| !is_open && !is_unlimited(*end)) {
                let seats = seats_of(feature, &evaluation, at);
                ends.push(End { license: at, of: Ending::Maintenance, end, seats });
            }
        }
        ends
    };
    (0..feature.licenses.len()).flat_map(of_license).collect()
}

/// Whether anything of it can end at all: most licenses are perpetual and have no maintenance.
fn may_end(license: &License) -> bool {
    let given = license.carried.maintenance.as_deref();
    license.end.is_some()
        || license.carried.maintenance_end.is_some()
        || given.is_some_and(|given| given.period.is_some())
}

fn seats_of(feature: &FeatureLicenses, evaluation: &Evaluation, at: usize) -> Total {
    match pool_kind(&feature.licenses[at]) {
        Some(kind) => evaluation.total_of(&kind),
        None => Total::ZERO,
    }
}

/// Whether another license takes over when this one ends, so that nothing is lost.
fn is_followed(feature: &FeatureLicenses, at: usize, end: NaiveDate) -> bool {
    let license = &feature.licenses[at];
    let by_then = |start: Option<NaiveDate>| start.is_none_or(|start| Some(start) <= end.succ_opt());
    if feature.replacement(at).is_some_and(|replacement| by_then(replacement.from())) {
        return true;
    }
    // Of exclusives and tokens one is in force at a time; additives and upgrades stand beside each other.
    let takes_over = |other: usize| {
        let next = &feature.licenses[other];
        other != at
            && next.key_type == license.key_type
            && feature.can_count(other)
            && next.end.is_none_or(|last| last > end)
            && by_then(next.start)
    };
    matches!(license.key_type, KeyType::Exclusive | KeyType::Token)
        && (0..feature.licenses.len()).any(takes_over)
}

/// What administrators are told of an end on a day.
pub fn notice(feature: &FeatureLicenses, end: &End, day: NaiveDate) -> String {
    let license = &feature.licenses[end.license];
    let seats = match end.seats {
        Total::Limited(1) => "1 seat".to_string(),
        Total::Limited(n) => format!("{n} seats"),
        Total::Unlimited => "without bound".to_string(),
    };
    let left = (end.end - day).num_days();
    let when = match left {
        ..0 => format!("ended on {}", end.end),
        0 => format!("ends today, {}", end.end),
        1 => format!("ends on {}, tomorrow", end.end),
        days => format!("ends on {}, in {days} days", end.end),
    };
    let contact = contact(license);
    let fallback = license.carried.maintenance.as_deref().and_then(|given| given.fallback_version.as_ref());
    let name = &license.feature;
    match (end.of, license.key_type, license.license_type) {
        (Ending::Maintenance, ..) => {
            let after = if left < 0 { "" } else { " after that" };
            format!(
                "maintenance for {name} ({seats}) {when}. All installed versions keep working{after}. New versions released later \
                 need a renewal: {contact}"
            )
        }
        (Ending::Term, KeyType::Upgrade, _) => {
            format!(
                "an upgrade of {name} ({seats}) {when}. Running sessions go on. For more seats: {contact}"
            )
        }
        (Ending::Term, _, LicenseType::Subscription) => {
            let after = match fallback {
                Some(version) => {
                    let numbers: Vec<String> = version.iter().map(ToString::to_string).collect();
                    format!("version {} and its patches keep working without it", numbers.join("."))
                }
                None => "no version starts without it".to_string(),
            };
            format!(
                "the subscription of {name} ({seats}) {when}. Running sessions go on; {after}. Renew: {contact}"
            )
        }
        (Ending::Term, ..) => {
            format!(
                "the license of {name} ({seats}) {when}. Running sessions go on, new ones need a renewal: {contact}"
            )
        }
    }
}
