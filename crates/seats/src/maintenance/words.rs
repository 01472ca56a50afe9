//! What a person is told whom [`decide`](super::decide) refuses: what goes on working, what is refused and by which two facts, what
//! to do (6.6).

use alloc::format;
use alloc::string::{String, ToString};

use super::calendar::is_unlimited;
use super::decide::Refused;
use super::plan::{Plan, contact};
use crate::license::{License, LicenseType, Updates};
use crate::version::ReleaseVersion;

/// One sentence or a few. `feature` as it was asked for; `best`: the newest version known to run, if any is known (6.8).
pub fn sentence(
    feature: &str,
    license: &License,
    plan: &Plan<'_>,
    refused: &Refused,
    best: Option<ReleaseVersion>,
) -> String {
    let (contact, vendor) = (contact(license), &license.vendor);
    let owned = plan.version.map_or_else(|| "any version".to_string(), |owned| owned.to_string());
    let ends = plan.effective_end().filter(|end| !is_unlimited(*end));
    let best_or = |other: String| best.map_or(other, |best| format!("{best} or older"));
    match refused {
        Refused::VersionRequired => format!(
            "the program did not say which version it is; a fault of the program, not of your license: tell {vendor}"
        ),
        Refused::VersionInvalid(text) => format!(
            "the program reported the version \"{text}\", which is not of the form 1.2, 1.2.3 or 1.2.3.4; a fault of the program: tell {vendor}"
        ),
        Refused::DateInvalid(text) => format!(
            "the program reported the release date \"{text}\", which is not a valid date; tell {vendor}"
        ),
        Refused::LineAfterBuild(line, built) => format!(
            "the program reported that its line is of {line}, after its own release of {built}; tell {vendor}"
        ),
        Refused::NotStarted(start) => format!("the license begins on {start}"),
        Refused::Ended(LicenseType::Evaluation, end) => format!(
            "the evaluation ended on {end}: buy a license at {contact}; no version will start, older or newer, so do not reinstall"
        ),
        Refused::Ended(LicenseType::Subscription, end) if plan.fallback_version.is_empty() => {
            format!("the subscription ended on {end}: renew at {contact}")
        }
        Refused::Ended(LicenseType::Subscription, end) => format!(
            "the subscription ended on {end}; version {} and its patches keep working without renewal: use it, or renew at {contact}",
            dotted(plan.fallback_version)
        ),
        Refused::Ended(LicenseType::Perpetual, end) => {
            format!("the license ended on {end}: renew at {contact}")
        }
        Refused::AboveMaximum(version) => format!(
            "your license allows versions up to {}, and version {version} is above it: use {best}, or ask {contact} for a license without this limit",
            dotted(plan.max_version),
            best = best_or(format!("{} or older", dotted(plan.max_version)))
        ),
        Refused::NotLicensed(version) => format!(
            "your license covers {feature} {owned} and older, and all its patches; it has no maintenance, so version {version} is not included: \
             use {owned}, or buy maintenance or an upgrade at {contact}"
        ),
        Refused::KindNotIncluded(Updates::Major, version) => {
            let more = match (plan.updates, plan.version, ends) {
                (Updates::Minor, Some(owned), Some(end)) => {
                    format!(", and {}.x versions released up to {end}; they keep working", owned.major)
                }
                (Updates::Minor, Some(owned), None) => {
                    format!(", and {}.x versions; they keep working", owned.major)
                }
                _ => "; they keep working".to_string(),
            };
            format!(
                "your license covers {owned} with its patches{more}, and version {version} is a new major version: use {best}, or ask {contact} for an upgrade to {}",
                version.0[0],
                best = best_or(owned.clone())
            )
        }
        Refused::KindNotIncluded(_, version) => format!(
            "your license covers {owned} with its patches; your maintenance includes no new versions, so {version} does not run: use {owned}, or ask {contact} for an upgrade"
        ),
        Refused::DateRequired(version, end) => format!(
            "the program did not say when it was released, so the server cannot tell whether your maintenance (up to {end}) covers {version}; version {owned} runs: tell {vendor}"
        ),
        Refused::MaintenanceNotStarted(version, start) => format!(
            "your license is valid for {owned}; maintenance begins on {start}, and version {version} will run from that day: until then use {owned}, or ask {contact} for an earlier start"
        ),
        Refused::MaintenanceExpired(version, date, end) => format!(
            "your license for {feature} is valid, and the versions it covers, released up to {end}, keep working; version {version} was released on {date}, \
             and your maintenance covers releases up to {end}: renew maintenance at {contact} and load the renewal file, and {version} will start without \
             reinstalling; until then use {best}",
            best = best_or(format!("a version released up to {end}"))
        ),
    }
}

fn dotted(numbers: &[u32]) -> String {
    let mut text = String::new();
    for (at, number) in numbers.iter().enumerate() {
        text.push_str(if at == 0 { "" } else { "." });
        text.push_str(&number.to_string());
    }
    text
}
