//! The release facts a program states about itself (rules 3, 6.2). What a license says of them is decided in
//! [`maintenance`](crate::maintenance).

use core::fmt;
use core::str::FromStr;

use chrono::NaiveDate;

use crate::license::LicenseVersion;

/// MAJOR.MINOR\[.PATCH\[.BUILD\]\], 2 to 4 numbers of 0 to 4294967295 (both inclusive); missing parts are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReleaseVersion(pub [u32; 4]);

impl ReleaseVersion {
    /// Whether a license of that version owns this release: the same MAJOR.MINOR or older, any patch.
    pub fn is_within(self, owned: LicenseVersion) -> bool {
        (self.0[0], self.0[1]) <= (owned.major, owned.minor)
    }

    /// Whether it is not above a ceiling of 1 to 4 numbers, compared at the ceiling's own precision: 3 allows 3.9.9.9.
    pub fn is_at_most(self, ceiling: &[u32]) -> bool {
        self.0[..ceiling.len().min(4)] <= *ceiling
    }
}

impl FromStr for ReleaseVersion {
    type Err = ();

    /// Digits and dots only: no sign, no suffix, no white space. Leading zeros are ignored.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = [0; 4];
        let mut parts = 0;
        for part in text.split('.') {
            if parts == 4 || part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(());
            }
            numbers[parts] = part.parse().map_err(|_| ())?;
            parts += 1;
        }
        if parts < 2 { Err(()) } else { Ok(ReleaseVersion(numbers)) }
    }
}

impl fmt::Display for ReleaseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, build] = self.0;
        write!(f, "{major}.{minor}")?;
        if (patch, build) != (0, 0) {
            write!(f, ".{patch}")?;
        }
        if build != 0 {
            write!(f, ".{build}")?;
        }
        Ok(())
    }
}

/// `YYYY-MM-DD` and nothing else (L4, rules 3, 6.2).
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let b = text.as_bytes();
    let shape = b.len() == 10
        && b.iter()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    NaiveDate::from_ymd_opt(text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        let v = |s: &str| s.parse::<ReleaseVersion>().unwrap();
        assert_eq!(v("2.09"), v("2.9"));
        assert!(v("2.10") > v("2.9"));
        assert_eq!(v("2.1"), v("2.1.0.0"));
        for bad in ["", "2", "2.", ".2", "+2.1", "2.1-rc1", "2.1.0.0.0", "2.4294967296", "2 .1", "٢.١"] {
            assert!(bad.parse::<ReleaseVersion>().is_err(), "{bad:?} is accepted");
        }
    }

    #[test]
    fn a_patch_of_the_owned_line_is_owned() {
        let owned = LicenseVersion { major: 4, minor: 2 };
        let within = |s: &str| s.parse::<ReleaseVersion>().unwrap().is_within(owned);
        assert!(within("4.2.99.1") && within("3.99") && within("0.1"));
        assert!(!within("4.3") && !within("5.0"));
    }

    #[test]
    fn dates_have_one_form() {
        assert!(parse_date("2028-02-29").is_some());
        for bad in
            ["2027-02-29", "2027-2-01", "27-02-01", "2027/02/01", "2027-02-01 ", "+027-02-01", "٢٠٢٧-٠٢-٠١"]
        {
            assert!(parse_date(bad).is_none(), "{bad:?} is accepted");
        }
    }
}
