//! What readers see: counters as they were after a sync, at most every 50 ms, made only when asked for (design.md).
//!
//! Everything about a pool that does not change with every checkout (its licenses, their standing, what comes
//! next) a reader works out from the catalog by itself, off the engine's thread.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::NaiveDate;
use seats::catalog::Catalog;
use seats::change::ClockReset;
use seats::ledger::{Counters, FirstCheckouts};
use seats::license::Name;
use seats::wall::WallClock;

/// How old a picture may be before another is made, in ticks.
pub const PICTURE_MS: u64 = 50;

/// An immutable picture of the ledger.
#[derive(Debug)]
pub struct Picture {
    /// The licenses decided by.
    pub catalog: Arc<Catalog>,
    /// The day used for grants.
    pub day: NaiveDate,
    /// Whether the wall clock that gave it can be trusted (S71).
    pub clock: WallClock,
    /// The last time that an administrator lowered the highest day served.
    pub clock_reset: Option<ClockReset>,
    /// The tick it was made.
    pub tick: u64,
    /// The instant it was made, Unix milliseconds.
    pub unix_ms: i64,
    /// One for each pool.
    pub counters: Vec<Counters>,
    /// When licenses were first used (rules 3, 6.10).
    pub first_checkouts: Arc<FirstCheckouts>,
    /// How many wait for each feature, its name in lower case, of a vendor, in lower case too, or of any.
    pub queued: BTreeMap<(Box<str>, Option<Box<str>>), u64>,
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
    /// Why the journal's next segment cannot be set aside, and how many bytes are left to write: checkouts are refused
    /// (S60). `None`: there is room.
    pub no_room: Option<(String, u64)>,
    /// Made by the first reader that needs it.
    pub(super) by_feature: OnceLock<ByFeature>,
}

/// Where in a picture the numbers of a feature are.
#[derive(Debug)]
pub struct ByFeature {
    /// Indexes of counters, those of each feature of the catalog together.
    pools: Vec<u32>,
    /// For each feature of the catalog where its part of `pools` begins, and at the end where the last one's ends.
    begins: Vec<u32>,
    /// The pools of each feature that is in no file any more, by vendor and name: their sessions go on (L39).
    pub without_license: Vec<Vec<u32>>,
}

impl Picture {
    /// The index of all counters by feature: made once for a picture, off the engine's thread.
    pub fn by_feature(&self) -> &ByFeature {
        self.by_feature.get_or_init(|| {
            let mut placed = Vec::with_capacity(self.counters.len());
            let mut alone: BTreeMap<(&Name, &Name), Vec<u32>> = BTreeMap::new();
            // Pools have numbers of 32 bits, so their indexes have too.
            for (at, c) in (0u32..).zip(&self.counters) {
                match self.catalog.index_of(&c.vendor, &c.feature) {
                    Some(feature) => placed.push((feature, at)),
                    None => alone.entry((&c.vendor, &c.feature)).or_default().push(at),
                }
            }
            placed.sort_unstable();
            let begin = |feature| placed.partition_point(|(of, _)| *of < feature);
            let begins = (0..=self.catalog.features().len())
                .map(|feature| u32::try_from(begin(feature)).unwrap_or(u32::MAX))
                .collect();
            ByFeature {
                pools: placed.into_iter().map(|(_, at)| at).collect(),
                begins,
                without_license: alone.into_values().collect(),
            }
        })
    }

    /// The counters of the pools of the feature at an index of the catalog, in the order of their numbers.
    pub fn counters_of(&self, feature: usize) -> impl Iterator<Item = &Counters> + Clone {
        let index = self.by_feature();
        let end = |at: usize| index.begins.get(at).map_or(index.pools.len(), |begin| *begin as usize);
        self.at(&index.pools[end(feature)..end(feature + 1)])
    }

    /// How many wait for a feature of a vendor, or for that feature of whatever vendor.
    pub fn queued_for(&self, vendor: &str, feature: &str) -> u64 {
        if self.queued.is_empty() {
            return 0;
        }
        let lower = |text: &str| Box::<str>::from(text.to_ascii_lowercase());
        let of = |vendor: Option<Box<str>>| self.queued.get(&(lower(feature), vendor)).copied().unwrap_or(0);
        of(None) + of(Some(lower(vendor)))
    }

    /// The counters at these indexes.
    pub fn at<'a>(&'a self, indexes: &'a [u32]) -> impl Iterator<Item = &'a Counters> + Clone {
        indexes.iter().filter_map(|at| self.counters.get(*at as usize))
    }
}
