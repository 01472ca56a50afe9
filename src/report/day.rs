//! The last day of one feature, as a chart shows it.

use serde::{Deserialize, Serialize};

use super::{Instant, Missing};

/// The most seats of one feature that were in use at one moment, for each step of the last day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageDay {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Of this vendor only; null: of all who sell it.
    pub vendor: Option<String>,
    /// Which, as it was asked for.
    pub feature: String,
    /// When the first step begins. The last is the one that is not over yet.
    pub since: Instant,
    /// How long a step is, in seconds.
    pub step_seconds: u32,
    /// The most seats in each step, in order; null: from before the history began.
    pub peaks: Vec<Option<u64>>,
    /// Where something is missing, newest first.
    pub missing: Vec<Missing>,
}
