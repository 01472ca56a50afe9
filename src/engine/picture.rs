//! What readers see: counters as they were after a sync, at most every 50 ms, made only when asked for (design.md).
//!
//! Everything about a pool that does not change with every checkout (its licenses, their standing, what comes
//! next) a reader works out from the catalog by itself, off the engine's thread.

use std::sync::{Arc, OnceLock};

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
    /// Whether sessions from before the start may still come back (S21).
    pub is_recovering: bool,
    /// Made by the first reader that needs it.
    pub(super) by_feature: OnceLock<ByFeature>,
}

/// Where in a picture the numbers of a feature are.
#[derive(Debug)]
pub struct ByFeature {
    /// For each feature of the catalog the index of its counters; `None`: it has no pool.
    counters: Vec<Option<u32>>,
    /// Counters of pools whose feature is in no file any more: their sessions go on (L39).
    pub without_license: Vec<usize>,
}

impl Picture {
    /// The index of all counters by feature: made once for a picture, off the engine's thread.
    pub fn by_feature(&self) -> &ByFeature {
        self.by_feature.get_or_init(|| {
            let mut counters = vec![None; self.catalog.features().len()];
            let mut without_license = Vec::new();
            for (at, c) in self.counters.iter().enumerate() {
                match self.catalog.index_of(&c.vendor, &c.feature) {
                    Some(feature) => counters[feature] = u32::try_from(at).ok(),
                    None => without_license.push(at),
                }
            }
            ByFeature { counters, without_license }
        })
    }

    /// The counters of the feature at an index of the catalog.
    pub fn counters_of(&self, feature: usize) -> Option<&Counters> {
        self.by_feature().counters.get(feature).copied().flatten().map(|at| &self.counters[at as usize])
    }
}
