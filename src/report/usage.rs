//! Usage of some days, as the report and `seatkeeper usage --json` have it (docs/HISTORY.md, docs/schema/usage.json).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Instant;

/// What was used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// By what the rows are: `feature`, `user` or `host`.
    pub by: String,
    /// The first day, included.
    pub from: NaiveDate,
    /// The last day, included.
    pub to: NaiveDate,
    /// The zone whose days they are.
    pub time_zone: String,
    /// From when on the history has everything but for `missing`.
    pub kept_from: Instant,
    /// Until when it was written, and running sessions are counted.
    pub written_until: Instant,
    /// Where events are missing within these days: 100 at most, the latest first.
    pub missing: Vec<Missing>,
    /// The rows, by vendor, feature and user or host.
    pub usage: Vec<UsageRow>,
}

/// A time of which something is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// From when.
    pub since: Instant,
    /// To when.
    pub until: Instant,
    /// How many events; null: not known, as over a restart.
    pub events: Option<u64>,
    /// `missed`: more happened than could be written; `restart`: the daemon did not run, or was killed.
    pub reason: String,
}

/// One feature, or one user's or host's part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Who sells it; null: it was asked for by a name that several have, or none.
    pub vendor: Option<String>,
    /// What it allows.
    pub feature: String,
    /// By user: who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// By host: where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The most seats that were out at one moment, sessions that share seats counted each.
    pub peak: u64,
    /// Seats times hours.
    pub hours: f64,
    /// Sessions that ran in these days.
    pub sessions: u64,
    /// Checkouts that got nothing.
    pub denials: u64,
    /// The part of them that was not made good by a grant of the feature to the same user within five minutes.
    pub true_denials: u64,
}

impl Usage {
    /// All but the rows, for a part of it.
    #[must_use]
    pub fn without_rows(&self) -> Usage {
        Usage {
            schema: self.schema,
            by: self.by.clone(),
            from: self.from,
            to: self.to,
            time_zone: self.time_zone.clone(),
            kept_from: self.kept_from.clone(),
            written_until: self.written_until.clone(),
            missing: self.missing.clone(),
            usage: Vec::new(),
        }
    }
}
