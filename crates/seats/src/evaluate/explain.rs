//! Why a license does not count, in a sentence with the facts that decide.

use alloc::format;
use alloc::string::{String, ToString};

use chrono::NaiveDate;

use super::Evaluation;
use crate::catalog::FeatureLicenses;
use crate::change::PoolKind;
use crate::license::{Count, KeyType, Reason};
use crate::maintenance::{Plan, is_unlimited};

/// One sentence for a person: why this license does not count, with the facts that decide; of a renewal that counts, what it adds.
pub fn explain(feature: &FeatureLicenses, evaluation: &Evaluation, at: usize) -> Option<String> {
    let license = &feature.licenses[at];
    let Some(reason) = evaluation.standings[at].reason else { return renews(feature, at) };
    if let Some(refusal) = &license.refusal {
        return Some(refusal.message.clone());
    }
    if let Some(fault) = feature.token_fault(at).filter(|fault| fault.reason == reason) {
        return Some(fault.message.clone());
    }
    let base = evaluation.base.map(|at| &feature.licenses[at]);
    let date = |d: Option<NaiveDate>| d.map_or_else(|| "no END".to_string(), |d| format!("END {d}"));
    Some(match reason {
        Reason::NotStarted => {
            let maintained = license.carried.maintenance.as_deref().and_then(|given| given.start);
            format!("begins on {}", license.start.or(maintained)?)
        }
        Reason::UnknownParent => format!(
            "renews SN {}, and no license of {} with that SN is here, nor one that replaces it; it counts as soon as one is",
            license.renews()?,
            license.feature
        ),
        Reason::Expired => format!("ended with {}", license.end?),
        Reason::Duplicate => match feature.kept_instead(at) {
            Some(kept) => {
                format!("the same license as in {}, which counts (L36)", feature.licenses[kept].place)
            }
            None => "counted once already (L36)".to_string(),
        },
        Reason::Replaced => {
            let by = &feature.replacement(at)?.by;
            let from = by.start.map_or_else(String::new, |start| format!(" since {start}"));
            let sn = by.sn.as_ref().map_or_else(String::new, |sn| format!(", SN {sn},"));
            format!("{} in {}{sn} replaces it{from}, for good (L52)", by.feature, by.place)
        }
        Reason::Superseded => {
            let kind = if license.key_type == KeyType::Token { PoolKind::Token } else { PoolKind::Exclusive };
            let what = if kind == PoolKind::Token { "token" } else { "exclusive" };
            match evaluation.pools.iter().find(|pool| pool.kind == kind) {
                Some(pool) => {
                    let place = &feature.licenses[pool.license].place;
                    format!("the {what} license in {place} is in force instead (L31)")
                }
                None => format!("another {what} license is in force instead (L31)"),
            }
        }
        Reason::NoExclusive => {
            "no exclusive license of this feature and vendor is in force; it counts as soon as one is (L38)"
                .to_string()
        }
        Reason::OutlivesExclusive => format!(
            "an upgrade may not outlive its exclusive license: it has {}, the exclusive in {} has {} (L34)",
            date(license.end),
            base?.place,
            date(base?.end)
        ),
        Reason::Unlimited => {
            "an upgrade adds to a number: neither it nor its exclusive may be UNLIMITED (L35)".to_string()
        }
        Reason::CountOverflow => format!("with it the total would exceed {} (L35)", Count::MAX),
        Reason::HalMismatch => {
            format!("HAL_SERVERS differs from the exclusive license in {} (L37)", base?.place)
        }
        Reason::NotANetworkLicense => {
            "it has no COUNT, so it is for one machine alone and is not served".to_string()
        }
        other => other.as_str().to_string(),
    })
}

/// What a renewal adds to the license it extends (rules 3, 6.9).
fn renews(feature: &FeatureLicenses, at: usize) -> Option<String> {
    let renewal = &feature.licenses[at];
    let renewed = feature.renewed_by(at).first()?;
    let shown = |end: NaiveDate| match is_unlimited(end) {
        true => "without end".to_string(),
        false => format!("up to {end}"),
    };
    let end = renewal.carried.maintenance_end?;
    let others = (feature.index_of(renewed)).map_or(&[][..], |at| feature.renewals(at));
    let own = Plan::of(renewed, &[], None, NaiveDate::MIN).effective_end();
    let others = others.iter().filter(|other| other.fingerprint != renewal.fingerprint);
    let before = others.filter_map(|other| other.carried.maintenance_end).chain(own).max();
    let of = format!("{} SN {}", renewed.feature, renewed.identity());
    Some(match before {
        Some(before) if before >= end => {
            format!("adds nothing: maintenance of {of} covers releases {} already (6.9)", shown(before))
        }
        Some(before) => {
            format!("maintenance of {of} covers releases {}, not {} as without it", shown(end), shown(before))
        }
        None => format!("maintenance of {of} covers releases {}", shown(end)),
    })
}
