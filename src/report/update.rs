//! Would a new version run? The answer to `seatkeeper update-check` (rules 3, 6.8).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// What an update check is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateCheck {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// What it is about.
    pub feature: String,
    /// Who sells it.
    pub vendor: String,
    /// One for each version that was offered, in their order; where none was, for what the vendor's release list has.
    pub answers: Vec<UpdateAnswer>,
    /// The newest version of all that are offered or listed that would run; null: none.
    pub newest_that_will_run: Option<String>,
    /// The newest of all that are offered or listed; null: there is none.
    pub newest_offered: Option<String>,
    /// Whether what is installed gets a seat; null: nothing is said of it, or not when it was released.
    pub installed_keeps_working: Option<bool>,
    /// All seats of the feature today; null when unlimited.
    pub seats: Option<u64>,
    /// There are seats without bound.
    pub unlimited: bool,
    /// How maintenance stands.
    pub maintenance: UpdateMaintenance,
    /// `update_available`, `update_needs_renewal` or `up_to_date`.
    pub advice: String,
}

/// Whether one version would run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateAnswer {
    /// As it was stated, or as the release list has it.
    pub version: String,
    /// Whether it would.
    pub will_run: bool,
    /// `GRANT`, or the code a checkout would be refused with.
    pub code: String,
    /// Why it runs: `ANY`, `OWNED`, `MAINTENANCE`, `MAINTENANCE_GRACE`, `EVALUATION` or `FALLBACK`; null: it does not.
    pub reason: Option<String>,
    /// Seats it may have one of; null when unlimited.
    pub seats_covered: Option<u64>,
    /// Those of them that are free now; null when unlimited.
    pub seats_free: Option<u64>,
    /// It may have seats without bound.
    pub unlimited: bool,
    /// Where it does not run: the last release day that a license covers; null: none has maintenance.
    pub maintenance_end: Option<NaiveDate>,
    /// With `maintenance_expired`: the release day that maintenance would have to reach.
    pub renew_to_at_least: Option<NaiveDate>,
    /// Where it does not run: what keeps working, what is refused and why, what to do.
    pub message: Option<String>,
}

/// How maintenance stands, of the license that covers most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UpdateMaintenance {
    /// `NONE`, `NOT_STARTED`, `PENDING_FIRST_CHECKOUT`, `ACTIVE`, `EXPIRED` or `UNLIMITED`.
    pub state: String,
    /// The last release day covered; null: there is none.
    pub end: Option<NaiveDate>,
    /// From today to that day, negative after it.
    pub days_left: Option<i64>,
}
