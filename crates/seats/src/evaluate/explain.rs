//! Why a license does not count, in a sentence with the facts that decide.

use alloc::format;
use alloc::string::{String, ToString};

use chrono::NaiveDate;

use super::Evaluation;
use crate::catalog::FeatureLicenses;
use crate::change::PoolKind;
use crate::license::{Count, KeyType, Reason};

/// One sentence for a person: why this license does not count, with the facts that decide.
pub fn explain(feature: &FeatureLicenses, evaluation: &Evaluation, at: usize) -> Option<String> {
    let license = &feature.licenses[at];
    let reason = evaluation.standings[at].reason?;
    if let Some(refusal) = &license.refusal {
        return Some(refusal.message.clone());
    }
    if let Some(fault) = feature.token_fault(at).filter(|fault| fault.reason == reason) {
        return Some(fault.message.clone());
    }
    let base = evaluation.base.map(|at| &feature.licenses[at]);
    let date = |d: Option<NaiveDate>| d.map_or_else(|| "no END".to_string(), |d| format!("END {d}"));
    Some(match reason {
        Reason::NotStarted => format!("begins on {}", license.start?),
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
