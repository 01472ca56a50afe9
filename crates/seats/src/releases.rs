//! The release catalog: what a vendor signed about its own releases (rules 3, amendments).
//!
//! Where it lists the version a program names, its dates count and not the program's; and only with it the server can say which
//! is the newest version that a customer may install. Reading and verifying it is not done here.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use chrono::NaiveDate;

use crate::license::{Fingerprint, Name, Place, Refusal};
use crate::version::ReleaseVersion;

/// How many releases of one MAJOR.MINOR, from the first on, are looked at for the day of that line.
const LINE_LOOKED_AT: usize = 100;

/// One release of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which.
    pub version: ReleaseVersion,
    /// The day of this build.
    pub date: NaiveDate,
    /// The day on which its MAJOR.MINOR was first published, not after `date`; `None`: not stated.
    pub line: Option<NaiveDate>,
    /// A line for people.
    pub notes: Option<Box<str>>,
}

/// One signed list: the releases of one vendor's feature.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseList {
    /// Who publishes it.
    pub vendor: Name,
    /// What it is about.
    pub feature: Name,
    /// Day of issue: of several lists of a feature the latest counts, alone.
    pub issued: Option<NaiveDate>,
    /// Sorted by version; each version once.
    pub releases: Vec<Listed>,
    /// SHA-256 of the canonical form.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub place: Place,
    /// Why it does not count, whatever the day; `None`: a good one.
    pub refusal: Option<Refusal>,
}

impl ReleaseList {
    /// What is listed of a version.
    pub fn find(&self, version: ReleaseVersion) -> Option<&Listed> {
        let at = self.releases.binary_search_by(|listed| listed.version.cmp(&version)).ok()?;
        self.releases.get(at)
    }

    /// The day of a listed version, and that on which its MAJOR.MINOR was first published: as it is stated for any release of
    /// that line, else the earliest day of one.
    pub fn dates_of(&self, version: ReleaseVersion) -> Option<(NaiveDate, NaiveDate)> {
        let built = self.find(version)?.date;
        let [major, minor, ..] = version.0;
        let from =
            self.releases.partition_point(|listed| listed.version < ReleaseVersion([major, minor, 0, 0]));
        let of_line = self.releases[from..].iter().take_while(|l| l.version.0[..2] == [major, minor]);
        let line = of_line.take(LINE_LOOKED_AT).map(|l| l.line.unwrap_or(l.date).min(l.date)).min();
        Some((built, line.map_or(built, |line| line.min(built))))
    }
}

/// Of several lists of one feature the one that counts: the latest ISSUED, then the longest, then by content, so that the order of
/// files leaves no trace.
pub(crate) fn counts(lists: &[Arc<ReleaseList>]) -> Option<&Arc<ReleaseList>> {
    let good = lists.iter().filter(|list| list.refusal.is_none());
    good.max_by_key(|list| (list.issued, list.releases.len(), Reverse(list.fingerprint)))
}
