//! What a program says of its own build (rules 3, 6.2): constants that the vendor compiles in.

use crate::facts::utc_day;

/// The release of the program, given once in [`Options::release`](crate::Options::release) and stated by every checkout whose
/// [`Want`](crate::Want) says nothing of a release.
///
/// ```
/// use seatkeeper_client::{Options, Release, release_date_from_unix};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // In an application: of env!("ACME_BUILD_UNIX"), or a text that the build writes.
/// let built = release_date_from_unix(1_806_537_599);
/// let mut options = Options::from_environment("acme-cad", "4.2.7")?;
/// options.release = Some(Release::new("4.2.7", &built).line("2026-11-02"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `MAJOR.MINOR[.PATCH[.BUILD]]`, each 0 to 4294967295.
    pub version: String,
    /// The day of this build, `YYYY-MM-DD`; `None`: updates beyond the owned version are refused, `release_date_required`.
    pub date: Option<String>,
    /// The day on which MAJOR.MINOR of this build was first published, not after `date`; `None`: not said.
    pub line: Option<String>,
}

impl Release {
    /// A version that was built on a day, `YYYY-MM-DD`.
    pub fn new(version: &str, date: &str) -> Release {
        Release { version: version.to_owned(), date: Some(date.to_owned()), line: None }
    }

    /// Its line was first published on this day, `YYYY-MM-DD`: then maintenance that covers 4.2 covers every patch of it.
    #[must_use]
    pub fn line(mut self, date: &str) -> Release {
        self.line = Some(date.to_owned());
        self
    }
}

/// The day of a moment, Unix seconds, in UTC, as `YYYY-MM-DD`: the same whatever the time zone of the machine that builds. What is
/// before the year 0 gives its first day, and what is after 9999-12-30 that day.
pub fn release_date_from_unix(seconds: i64) -> String {
    utc_day(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section E of the rules.
    #[test]
    fn the_day_of_a_build_is_that_of_utc() {
        let vectors = include_str!("../../seats/tests/maintenance/vectors.txt");
        let mut seen = 0;
        for line in vectors.lines() {
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, input, expected] = fields[..] else { continue };
            let Some(rest) = input.strip_prefix("SDK helper: Unix time ") else { continue };
            let seconds: i64 = rest.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(release_date_from_unix(seconds), expected, "{line}");
            seen += 1;
        }
        assert_eq!(seen, 3, "E08, E10 and E11");
    }

    #[test]
    fn every_moment_has_a_day_of_ten_characters() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (i64::MIN, "0000-01-01"),
            (i64::MAX, "9999-12-30"),
        ] {
            assert_eq!(release_date_from_unix(seconds), day, "{seconds}");
        }
    }
}
