//! What a program states about its own release, against what the license lets run (rules 3, 6.4).

use alloc::format;
use alloc::string::String;

use chrono::NaiveDate;

use crate::denial::Code;
use crate::license::{License, LicenseVersion};
use crate::maintenance::{Plan, Release, decide, sentence};
use crate::request::Facts;

/// What a token states for what it takes: that version and older, whatever the program is (L51).
pub(super) fn check_stated(
    feature: &str,
    license: &License,
    stated: LicenseVersion,
) -> Result<(), (Code, String)> {
    match license.version {
        Some(owned) if (stated.major, stated.minor) > (owned.major, owned.minor) => {
            let text = format!(
                "version {stated} of {feature} is needed and the license covers {owned} and older: ask {} for an upgrade",
                license.vendor
            );
            Err((Code::VersionNotLicensed, text))
        }
        _ => Ok(()),
    }
}

/// Whether the license lets this release run today (rules 3, 6.4); its term apart, which the totals of its pool have judged.
pub(super) fn check_release(
    feature: &str,
    license: &License,
    today: NaiveDate,
    facts: &Facts,
) -> Result<(), (Code, String)> {
    let release = Release {
        version: facts.release_version.as_deref(),
        date: facts.release_date.as_deref(),
        line: facts.line_date.as_deref(),
    };
    let plan = Plan { start: None, end: None, ..Plan::of(license, &[], None, today) };
    match decide(&plan, today, release) {
        Ok(_) => Ok(()),
        Err(refused) => Err((refused.code(), sentence(feature, license, &plan, &refused, None))),
    }
}
