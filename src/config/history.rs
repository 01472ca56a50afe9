//! `[history]`: whether the history is written, and how much of it is kept.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use super::file::Source;
use super::limits::Bounds;

/// For how many days it is kept: a year and what it takes to compare it with the one before.
pub const KEEP_DAYS: Bounds<u32> = Bounds { key: "keep_days", default: 400, least: 1, most: 36_500 };

/// How large its file may become, in megabytes of 2^20 bytes: some millions of events. Beyond it the oldest go.
pub const MAX_MEGABYTES: Bounds<u32> =
    Bounds { key: "max_megabytes", default: 1_024, least: 16, most: 1_048_576 };

/// How much of the disk it leaves free, in megabytes of 2^20 bytes: two segments of the journal, without which the daemon grants
/// nothing.
pub const KEEP_FREE_MEGABYTES: Bounds<u32> =
    Bounds { key: "keep_free_megabytes", default: 128, least: 0, most: 1_048_576 };

/// `[history]`; `src/history` does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// `enabled`: whether it is written. Default true.
    pub enabled: bool,
    /// `keep_days`: what is older goes. Default 400 days, 1 to 36,500.
    pub keep: Duration,
    /// `max_megabytes`: the bytes that its file may have. Default 1 GiB, 16 MiB to 1 TiB.
    pub max_bytes: u64,
    /// `keep_free_megabytes`: the bytes of the disk that it leaves to others, the journal first; with fewer it waits. Default
    /// 128 MiB, 0 to 1 TiB; with 0 it writes until the disk is full.
    pub keep_free_bytes: u64,
}

/// The keys of `[history]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryTable {
    enabled: Option<bool>,
    keep_days: Option<Spanned<i64>>,
    max_megabytes: Option<Spanned<i64>>,
    keep_free_megabytes: Option<Spanned<i64>>,
}

impl Default for History {
    fn default() -> History {
        History::check(&HistoryTable::default(), &Source::default(), &mut Vec::new())
    }
}

impl History {
    pub(super) fn check(table: &HistoryTable, source: &Source, faults: &mut Vec<Fault>) -> History {
        let days = KEEP_DAYS.check(table.keep_days.as_ref(), source, faults);
        let megabytes = MAX_MEGABYTES.check(table.max_megabytes.as_ref(), source, faults);
        let free = KEEP_FREE_MEGABYTES.check(table.keep_free_megabytes.as_ref(), source, faults);
        History {
            enabled: table.enabled.unwrap_or(true),
            keep: Duration::from_secs(u64::from(days) * 86_400),
            max_bytes: u64::from(megabytes) << 20,
            keep_free_bytes: u64::from(free) << 20,
        }
    }
}
