//! Which versions a license lets run, as reports say it (rules 3).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// How the maintenance of a license stands today, its renewals and its first checkout counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// `PERPETUAL`, `SUBSCRIPTION` or `EVALUATION`.
    pub license_type: String,
    /// `NONE`, `NOT_STARTED`, `PENDING_FIRST_CHECKOUT`, `ACTIVE`, `EXPIRED` or `UNLIMITED`.
    pub state: String,
    /// The last release day that is covered, included; null: there is no maintenance, or it has no end.
    pub end: Option<NaiveDate>,
    /// From today to `end`; negative after it; null as `end`.
    pub days_left: Option<i64>,
    /// The highest kind of update included: `NONE`, `MINOR` or `MAJOR`; null: there is no maintenance.
    #[serde(default)]
    pub updates: Option<String>,
    /// MAX_VERSION: no version above this runs; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_version: Option<String>,
    /// FALLBACK_VERSION: what runs after END; left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_version: Option<String>,
    /// The subscription is over, and only its fallback version runs.
    #[serde(default)]
    pub is_fallback: bool,
    /// How many renewals extend it.
    #[serde(default)]
    pub renewals: u64,
    /// The day of its first checkout, where its maintenance begins with that (6.10); null: it does not, or there was none yet.
    #[serde(default)]
    pub first_checkout: Option<NaiveDate>,
    /// Where to renew.
    pub contact: String,
}

/// An end that somebody should know of (rules 3, 6.11).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// `maintenance`, or `license`: its own END (of a subscription, of an upgrade).
    pub of: String,
    /// Seats it is about; null: without bound.
    pub seats: Option<u64>,
    /// The serial number of the license; null: it has none, or the reader may not see it.
    pub sn: Option<String>,
    /// The last day, included.
    pub end: NaiveDate,
    /// From today to that; negative after it.
    pub days_left: i64,
    /// Where to renew.
    pub contact: String,
    /// In a sentence.
    pub message: String,
}
