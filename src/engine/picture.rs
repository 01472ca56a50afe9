//! What readers see: counters as they were after a sync, at most every 50 ms, made only when asked for (design.md).
//!
//! Everything about a pool that does not change with every checkout (its licenses, their standing, what comes
//! next) a reader works out from the catalog by itself, off the engine's thread.

use std::sync::Arc;

use chrono::NaiveDate;
use seats::catalog::Catalog;
use seats::ledger::Counters;

/// How old a picture may be before another is made, in ticks.
pub const PICTURE_MS: u64 = 50;

/// An immutable picture of the ledger.
#[derive(Debug)]
pub struct Picture {
    /// The licenses decided by.
    pub catalog: Arc<Catalog>,
    /// The day used for grants.
    pub day: NaiveDate,
    /// The tick it was made.
    pub tick: u64,
    /// The instant it was made, Unix milliseconds.
    pub unix_ms: i64,
    /// One for each pool.
    pub counters: Vec<Counters>,
    /// How many sessions there are.
    pub sessions: usize,
    /// How many connections.
    pub connections: usize,
    /// Checkouts refused since the start.
    pub denials: u64,
    /// Whether every pool is up to date with the day and the licenses.
    pub is_complete: bool,
}
