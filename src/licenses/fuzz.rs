//! Any bytes as what a vendor writes about releases: what the fuzzer does, and the replay of its corpus.
//!
//! Nothing here may panic, whatever the bytes, and what is asserted holds of every input.

use chrono::NaiveDate;
use seats::license::Period;
use seats::maintenance::{Basis, Release, UNLIMITED, add, renewed};
use seats::version::{ReleaseVersion, parse_date};

use super::releases::NOTES_CHARACTERS_MAX;
use super::{Signatures, read_files, values};
use crate::vendor::{Template, VendorKey, inspect, sign_catalog};

/// Lines as versions, dates and periods: those that are good are written back, compared and counted with.
pub fn release_facts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (mut versions, mut dates, mut periods) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.split('\n').take(16) {
        if let Ok(version) = line.parse::<ReleaseVersion>() {
            assert_eq!(version.to_string().parse(), Ok(version), "{line}");
            versions.push(version);
        }
        // The one reader of programs' facts and the one of license files take the same dates.
        assert_eq!(parse_date(line), values::date(line).ok(), "{line}");
        if let Some(date) = parse_date(line) {
            assert_eq!(date.to_string(), line);
            dates.push(date);
        }
        if let Ok(period) = line.parse::<Period>() {
            assert!(period != Period::default() && values::period(line) == Ok(period), "{line}");
            periods.push(period);
        }
        let _ = (values::long_version(line), values::date_or_unlimited(line), values::version(line));
    }
    for pair in versions.windows(2) {
        assert_eq!(pair[0] < pair[1], pair[0].0 < pair[1].0);
    }
    for (nth, period) in periods.iter().enumerate() {
        for start in &dates {
            grid(*start, *period, nth as u32);
            for today in &dates {
                renewals(*start, *period, dates.last().copied().unwrap_or(*start), *today);
            }
        }
    }
    let _ = format!("{:?}", Release { version: Some(text), date: Some(text), line: Some(text) });
}

/// Ends follow each other and stay within the days there are.
fn grid(start: NaiveDate, period: Period, nth: u32) {
    let ends = [nth, nth.saturating_add(1), nth.saturating_add(7), u32::MAX].map(|n| add(start, period, n));
    assert!(ends.is_sorted() && ends.iter().all(|end| (start..=UNLIMITED).contains(end)), "{ends:?}");
}

/// A renewal from the old end never lies before it, and one more period never gives less.
fn renewals(start: NaiveDate, period: Period, old_end: NaiveDate, today: NaiveDate) {
    for basis in [Basis::FromNow, Basis::FromExpiry, Basis::FromNowIfExpired] {
        let end = |periods| renewed(basis, start, period, periods, old_end, today);
        assert!(end(1) <= end(2) && end(2) <= UNLIMITED, "{basis:?} {start} {old_end} {today}");
        let from = if basis == Basis::FromNow { today } else { old_end };
        assert!(end(1) > from || from == UNLIMITED, "{basis:?} {start} {old_end} {today}");
    }
}

/// A file as a server reads it, as a vendor signs it and as anybody looks at it.
pub fn releases_file(data: &[u8]) {
    let files = [("x.xml".to_owned(), data.to_vec())];
    let set = read_files(&files, &[], Signatures::Optional);
    for list in &set.releases {
        assert!(list.refusal.is_some() || !list.releases.is_empty());
        assert!(list.refusal.is_some() || list.releases.is_sorted_by(|a, b| a.version < b.version));
        for listed in &list.releases {
            assert!(list.refusal.is_some() || listed.line.is_none_or(|line| line <= listed.date));
            let notes = listed.notes.as_deref().unwrap_or("");
            assert!(notes.chars().count() <= NOTES_CHARACTERS_MAX);
        }
    }
    for problem in &set.problems {
        assert!(!problem.told().is_empty() && problem.line != Some(0) && problem.column != Some(0));
    }
    let _ = inspect(&files).to_string();
    let Some(vendor) = seats::license::Name::new("ACME") else { return };
    let Ok(key) = VendorKey::from_secret("test-1", vendor, &[7; 32]) else { return };
    let template = [Template { file: "x.xml".to_owned(), bytes: data.to_vec() }];
    if let Ok(signed) = sign_catalog(&key, &template, NaiveDate::default()) {
        // What is signed is read back as it was meant.
        let files = [("y.xml".to_owned(), signed.xml.into_bytes())];
        let again = read_files(&files, &[key.identity().clone()], Signatures::Required);
        assert_eq!((again.problems.len(), again.releases.len()), (0, signed.lists.len()));
        for (one, other) in again.releases.iter().zip(&signed.lists) {
            assert_eq!((&one.releases, one.fingerprint), (&other.releases, other.fingerprint));
        }
    }
}
