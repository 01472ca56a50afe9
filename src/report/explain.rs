//! What licenses say and what they come to: one license, the sum of a feature, and what comes next.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Instant;

/// One license. Inside a feature or an explanation `feature` and `vendor` are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct License {
    /// The feature it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Who sells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Its serial number; null: it has none, or the reader may not see it.
    pub sn: Option<String>,
    /// `EXCLUSIVE`, `UPGRADE`, `ADDITIVE`, `TOKEN` or `MAINTENANCE`.
    pub key_type: String,
    /// Seats it grants when it counts; null: unlimited, or a local license without seats.
    pub count: Option<u64>,
    /// It grants without bound.
    #[serde(default)]
    pub unlimited: bool,
    /// MAJOR.MINOR it covers; null: it names none.
    #[serde(default)]
    pub version: Option<String>,
    /// The first day on which it counts, included; null: from when it was loaded.
    pub start: Option<NaiveDate>,
    /// The last day on which it counts, included; null: it never ends.
    pub end: Option<NaiveDate>,
    /// `end` as the first instant at which it no longer counts; null: it never ends.
    #[serde(default)]
    pub ends_at: Option<Instant>,
    /// `in_force`, `waiting` or `not_in_force`.
    pub state: String,
    /// Why it does not count, a word of rules 1, section 5; null: it counts.
    pub reason: Option<String>,
    /// The same as a sentence.
    #[serde(default)]
    pub message: Option<String>,
    /// The file it stands in; null: the reader may not see it.
    pub file: Option<String>,
    /// The line it begins at, from 1.
    #[serde(default)]
    pub line: Option<u32>,
}

/// The sum of one feature's pool, license by license, and what comes next (L30).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which feature.
    pub feature: String,
    /// Who sells it.
    pub vendor: String,
    /// The day of the sum.
    pub today: NaiveDate,
    /// base + upgrades; null when unlimited.
    pub total: Option<u64>,
    /// What the exclusive in force grants; null when unlimited.
    pub base: Option<u64>,
    /// What upgrades add.
    pub upgrades: u64,
    /// There is no bound.
    pub unlimited: bool,
    /// Every license of the feature: those that count first.
    pub licenses: Vec<License>,
    /// The days on which something changes, in order; at most as many as the server likes to look ahead.
    pub changes: Vec<Change>,
}

/// What changes on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The first day on which it is so.
    pub day: NaiveDate,
    /// The first instant of that day in the server's zone.
    pub at: Instant,
    /// The sum from then on; null when unlimited.
    pub total: Option<u64>,
    /// The licenses whose standing differs from the day before.
    pub licenses: Vec<ChangedLicense>,
}

/// A license's standing from the day of a [`Change`] on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangedLicense {
    /// Which; null: it has no serial number.
    pub sn: Option<String>,
    /// As in [`License::state`].
    pub state: String,
    /// As in [`License::reason`].
    pub reason: Option<String>,
}
