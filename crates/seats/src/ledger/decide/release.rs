//! What a program states about its own release, against what the license owns (rules 3, 6.4 a and e; 6.6 for the words).

use alloc::format;
use alloc::string::String;

use crate::denial::Code;
use crate::license::{License, LicenseVersion};
use crate::request::Facts;
use crate::version::{ReleaseVersion, parse_date};

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

/// Rules 3, 6.4 a and e, and 6.6 for the words. Without VERSION any version runs, and none need be stated.
pub(super) fn check_release(feature: &str, license: &License, facts: &Facts) -> Result<(), (Code, String)> {
    let version = match facts.release_version.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<ReleaseVersion>().map_err(|()| {
            let text = format!(
                "the program reported the version \"{text}\", which is not of the form 1.2, 1.2.3 or 1.2.3.4; a fault of the program: tell {}",
                license.vendor
            );
            (Code::ReleaseVersionInvalid, text)
        })?),
    };
    let released = check_date(license, facts.release_date.as_deref())?;
    let line = check_date(license, facts.line_date.as_deref())?;
    if let (Some(line), Some(released)) = (line, released)
        && line > released
    {
        let text = format!(
            "the program reported that its line is of {line}, after its own release of {released}; tell {}",
            license.vendor
        );
        return Err((Code::ReleaseDateInvalid, text));
    }
    let Some(owned) = license.version else { return Ok(()) };
    let Some(version) = version else {
        let text = format!(
            "the program did not say which version it is; a fault of the program, not of your license: tell {}",
            license.vendor
        );
        return Err((Code::ReleaseVersionRequired, text));
    };
    if version.is_within(owned) {
        return Ok(());
    }
    let text = format!(
        "your license covers {feature} {owned} and older, and all its patches; it has no maintenance, so version {version} is not included: \
         use {owned}, or buy maintenance or an upgrade at {vendor}",
        vendor = license.vendor
    );
    Err((Code::VersionNotLicensed, text))
}

fn check_date(license: &License, text: Option<&str>) -> Result<Option<chrono::NaiveDate>, (Code, String)> {
    let Some(text) = text else { return Ok(None) };
    parse_date(text).map(Some).ok_or_else(|| {
        let text = format!(
            "the program reported the release date \"{text}\", which is not a valid date; tell {}",
            license.vendor
        );
        (Code::ReleaseDateInvalid, text)
    })
}
