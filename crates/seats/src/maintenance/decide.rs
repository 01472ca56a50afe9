//! The decision of 6.4, step by step.

use alloc::boxed::Box;

use chrono::{Days, NaiveDate};

use super::calendar::is_unlimited;
use super::plan::{Block, Plan};
use crate::denial::Code;
use crate::license::{LicenseType, LicenseVersion, Patches, Updates};
use crate::releases::{Listed, ReleaseList};
use crate::version::{ReleaseVersion, parse_date};

/// What a program says of its build (6.2), as it says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release<'f> {
    /// `release_version`.
    pub version: Option<&'f str>,
    /// `release_date`: the day of this build.
    pub date: Option<&'f str>,
    /// `line_date`: the day on which its MAJOR.MINOR was first published.
    pub line: Option<&'f str>,
}

/// Why a version runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The license is for any version.
    Any,
    /// It is owned, or older.
    Owned,
    /// The license is a trial in its days.
    Evaluation,
    /// It was released while maintenance lasted.
    Maintenance,
    /// It was released so many days after, within MAINTENANCE_GRACE_DAYS; administrators are told.
    Grace(u32),
    /// The subscription is over, and this version stays; administrators are told.
    Fallback,
}

impl Granted {
    /// As JSON says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Granted::Any => "ANY",
            Granted::Owned => "OWNED",
            Granted::Evaluation => "EVALUATION",
            Granted::Maintenance => "MAINTENANCE",
            Granted::Grace(_) => "MAINTENANCE_GRACE",
            Granted::Fallback => "FALLBACK",
        }
    }
}

/// Why a version does not run, with what there is to say about it (6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No version was stated.
    VersionRequired,
    /// This is no version.
    VersionInvalid(Box<str>),
    /// This is no date.
    DateInvalid(Box<str>),
    /// The line's date, the first, is after the build's own.
    LineAfterBuild(NaiveDate, NaiveDate),
    /// The license begins on this day.
    NotStarted(NaiveDate),
    /// The license ended on this day.
    Ended(LicenseType, NaiveDate),
    /// MAX_VERSION is lower.
    AboveMaximum(ReleaseVersion),
    /// There is no maintenance.
    NotLicensed(ReleaseVersion),
    /// Maintenance does not include updates of this kind.
    KindNotIncluded(Updates, ReleaseVersion),
    /// It was not said when it was released; maintenance covers releases up to a day.
    DateRequired(ReleaseVersion, NaiveDate),
    /// Maintenance that would cover it begins on a later day.
    MaintenanceNotStarted(ReleaseVersion, NaiveDate),
    /// It was released on the first day, after maintenance ended on the second.
    MaintenanceExpired(ReleaseVersion, NaiveDate, NaiveDate),
}

impl Refused {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Refused::VersionRequired => Code::ReleaseVersionRequired,
            Refused::VersionInvalid(_) => Code::ReleaseVersionInvalid,
            Refused::DateInvalid(_) | Refused::LineAfterBuild(..) => Code::ReleaseDateInvalid,
            Refused::NotStarted(_) => Code::NotStarted,
            Refused::Ended(LicenseType::Evaluation, _) => Code::EvaluationExpired,
            Refused::Ended(LicenseType::Subscription, _) => Code::SubscriptionExpired,
            Refused::Ended(LicenseType::Perpetual, _) => Code::Expired,
            Refused::AboveMaximum(_) => Code::VersionAboveMaximum,
            Refused::NotLicensed(_) => Code::VersionNotLicensed,
            Refused::KindNotIncluded(Updates::Major, _) => Code::MajorUpdateNotIncluded,
            Refused::KindNotIncluded(..) => Code::MinorUpdateNotIncluded,
            Refused::DateRequired(..) => Code::ReleaseDateRequired,
            Refused::MaintenanceNotStarted(..) => Code::MaintenanceNotStarted,
            Refused::MaintenanceExpired(..) => Code::MaintenanceExpired,
        }
    }
}

/// What a program says of its build, understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// `release_version`.
    pub version: Option<ReleaseVersion>,
    /// `release_date`.
    pub built: Option<NaiveDate>,
    /// `line_date`, not after `built`.
    pub line: Option<NaiveDate>,
}

/// Whether a license lets a release run on a day (6.4). Seats are another matter.
pub fn decide(plan: &Plan<'_>, today: NaiveDate, release: Release<'_>) -> Result<Granted, Refused> {
    decide_listed(plan, today, release, None)
}

/// The same where the vendor signed a list of its releases: of a version that it lists, its dates count, whatever the program says
/// of them (rules 3, amendments).
pub fn decide_listed(
    plan: &Plan<'_>,
    today: NaiveDate,
    release: Release<'_>,
    list: Option<&ReleaseList>,
) -> Result<Granted, Refused> {
    let version = match release.version {
        None => None,
        Some(text) => Some(text.parse().map_err(|()| Refused::VersionInvalid(text.into()))?),
    };
    if let Some((built, line)) = version.and_then(|version| list?.dates_of(version)) {
        return decide_stated(plan, today, Stated { version, built: Some(built), line: Some(line) });
    }
    let date = |text: Option<&str>| {
        text.map(|text| parse_date(text).ok_or_else(|| Refused::DateInvalid(text.into()))).transpose()
    };
    let (built, line) = (date(release.date)?, date(release.line)?);
    if let (Some(line), Some(built)) = (line, built)
        && line > built
    {
        return Err(Refused::LineAfterBuild(line, built));
    }
    decide_stated(plan, today, Stated { version, built, line })
}

/// The newest version of a list that would run on a day; `None`: none of the newest [`LOOKED_AT`].
pub fn newest_that_runs(plan: &Plan<'_>, today: NaiveDate, list: &ReleaseList) -> Option<ReleaseVersion> {
    // The day of a line is looked for once.
    let mut known: Option<([u32; 2], NaiveDate)> = None;
    let runs = |listed: &&Listed| {
        let of = [listed.version.0[0], listed.version.0[1]];
        let line = match known {
            Some((line, day)) if line == of => day,
            _ => list.dates_of(listed.version).map_or(listed.date, |(_, line)| line),
        };
        known = Some((of, line));
        let (built, line) = (Some(listed.date), Some(line.min(listed.date)));
        decide_stated(plan, today, Stated { version: Some(listed.version), built, line }).is_ok()
    };
    list.releases.iter().rev().take(LOOKED_AT).find(runs).map(|listed| listed.version)
}

/// How many releases of a list are looked at for one answer.
pub const LOOKED_AT: usize = 1_000;

/// From step b on.
pub fn decide_stated(plan: &Plan<'_>, today: NaiveDate, stated: Stated) -> Result<Granted, Refused> {
    let Stated { version, built, line } = stated;
    // A license for any version needs none, and has no fallback.
    let stated = match (plan.version, version) {
        (Some(owned), Some(version)) => Some((owned, version)),
        (Some(_), None) => return Err(Refused::VersionRequired),
        (None, _) => None,
    };
    if let Some(start) = plan.start.filter(|start| today < *start) {
        return Err(Refused::NotStarted(start));
    }
    if let Some(end) = plan.end.filter(|end| today > *end) {
        let falls_back = |(_, version): (LicenseVersion, ReleaseVersion)| {
            !plan.fallback_version.is_empty() && version.is_at_most(plan.fallback_version)
        };
        return match stated.is_some_and(falls_back) {
            true => Ok(Granted::Fallback),
            false => Err(Refused::Ended(plan.license_type, end)),
        };
    }
    let Some((owned, version)) = stated else { return Ok(Granted::Any) };
    if !plan.max_version.is_empty() && !version.is_at_most(plan.max_version) {
        return Err(Refused::AboveMaximum(version));
    }
    if plan.license_type == LicenseType::Evaluation {
        return Ok(Granted::Evaluation);
    }
    if version.is_within(owned) {
        return Ok(Granted::Owned);
    }
    let when = match plan.patches {
        Patches::Line => line.or(built),
        Patches::Date => built,
    };
    decide_update(plan, today, owned, version, when)
}

/// Step f: a version that is newer than the owned one.
fn decide_update(
    plan: &Plan<'_>,
    today: NaiveDate,
    owned: LicenseVersion,
    version: ReleaseVersion,
    when: Option<NaiveDate>,
) -> Result<Granted, Refused> {
    let Some(effective_end) = plan.effective_end() else { return Err(Refused::NotLicensed(version)) };
    let kind = if version.0[0] > owned.major { Updates::Major } else { Updates::Minor };
    if kind > plan.updates {
        return Err(Refused::KindNotIncluded(kind, version));
    }
    let live = || plan.blocks.iter().filter(|block| block.is_live(today));
    let last = live().map(|block| block.end).max();
    if last.is_some_and(is_unlimited) {
        return Ok(Granted::Maintenance);
    }
    let Some(when) = when else { return Err(Refused::DateRequired(version, effective_end)) };
    if let Some(last) = last {
        if when <= last {
            return Ok(Granted::Maintenance);
        }
        let grace = last.checked_add_days(Days::new(plan.grace_days.into()));
        if grace.is_some_and(|grace| when <= grace) {
            let days = u32::try_from((when - last).num_days()).unwrap_or(u32::MAX);
            return Ok(Granted::Grace(days));
        }
    }
    let later = |block: &&Block| !block.is_live(today) && when <= block.end;
    match plan.blocks.iter().filter(later).filter_map(|block| block.start).min() {
        Some(start) => Err(Refused::MaintenanceNotStarted(version, start)),
        None => Err(Refused::MaintenanceExpired(version, when, effective_end)),
    }
}
