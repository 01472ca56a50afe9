//! How the maintenance of a license stands, for the reports (rules 3, 6.7.5 and 6.16).

use chrono::NaiveDate;
use seats::catalog::FeatureLicenses;
use seats::evaluate::falls_back;
use seats::license::{License, LicenseType, Updates};
use seats::maintenance::{ENDED_WITHIN_DAYS, End, Plan, THRESHOLDS, contact, endings, notice};

use crate::answer;
use crate::engine::picture::Picture;
use crate::report;

/// The most notices of one feature, those that end first.
const NOTICES_MAX: usize = 100;

/// That of one license of a feature that stands for a pool.
pub(super) fn maintenance(feature: &FeatureLicenses, at: usize, picture: &Picture) -> report::Maintenance {
    let license = &feature.licenses[at];
    let first_checkout =
        picture.first_checkouts.day_of(feature, at).filter(|_| license.starts_at_first_checkout());
    let plan = feature.plan(at, first_checkout, picture.day);
    let end = plan.shown_end();
    report::Maintenance {
        license_type: license_type(license.license_type).into(),
        state: plan.state(picture.day).as_str().into(),
        end,
        days_left: end.map(|end| (end - picture.day).num_days()),
        updates: plan.effective_end().map(|_| updates(plan.updates).into()),
        max_version: dotted(plan.max_version),
        fallback_version: dotted(plan.fallback_version),
        is_fallback: falls_back(license, picture.day),
        renewals: feature.renewals(at).len() as u64,
        first_checkout,
        contact: contact(license).into(),
    }
}

/// The last day of maintenance of a license, for the summary of its feature.
pub(super) fn ends(feature: &FeatureLicenses, at: usize, picture: &Picture) -> Option<NaiveDate> {
    let plan: Plan<'_> = feature.plan(at, picture.first_checkouts.day_of(feature, at), picture.day);
    plan.shown_end()
}

/// The ends of a feature's licenses that somebody should know of. `sees_all`: whether the reader may see serial numbers.
pub(super) fn notices(feature: &FeatureLicenses, picture: &Picture, sees_all: bool) -> Vec<report::Notice> {
    let first = |at: usize| picture.first_checkouts.day_of(feature, at);
    let mut ends = endings(feature, picture.day, &first);
    let left = |end: &End| (end.end - picture.day).num_days();
    ends.retain(|end| (-ENDED_WITHIN_DAYS..=i64::from(THRESHOLDS[0])).contains(&left(end)));
    ends.sort_by_key(|end| (end.end, end.license));
    let shown = |end: &End| {
        let license = &feature.licenses[end.license];
        report::Notice {
            of: answer::ending(end.of).into(),
            seats: end.seats.limited().map(u64::from),
            sn: license.sn.as_ref().filter(|_| sees_all).map(|sn| sn.to_string()),
            end: end.end,
            days_left: left(end),
            contact: contact(license).into(),
            message: notice(feature, end, picture.day),
        }
    };
    ends.iter().take(NOTICES_MAX).map(shown).collect()
}

/// Whether a license says anything of versions, so that there is something to show.
pub(super) fn is_stated(license: &License) -> bool {
    license.version.is_some()
}

fn license_type(of: LicenseType) -> &'static str {
    match of {
        LicenseType::Perpetual => "PERPETUAL",
        LicenseType::Subscription => "SUBSCRIPTION",
        LicenseType::Evaluation => "EVALUATION",
    }
}

fn updates(of: Updates) -> &'static str {
    match of {
        Updates::None => "NONE",
        Updates::Minor => "MINOR",
        Updates::Major => "MAJOR",
    }
}

fn dotted(numbers: &[u32]) -> Option<String> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    (!numbers.is_empty()).then(|| numbers.join("."))
}
