//! What the licenses in force grant, feature by feature, and which features are not yet up to date (L21, L39).
//!
//! A reload or a midnight makes every pool stale at once. A request brings the features it names up to date
//! before it is decided, so no request ever meets another day's totals or an older set of files; the rest
//! follows in slices, and nobody waits for a hundred thousand pools.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use chrono::NaiveDate;

use super::state::State;
use crate::catalog::{Catalog, FeatureLicenses};
use crate::change::{PoolId, PoolSet, Source};
use crate::evaluate::{Evaluation, State as LicenseState, Total, evaluate, next_boundary};
use crate::license::{KeyType, License};

/// The most licenses of a pool that are journaled with its total: the exclusive and the first upgrades. A
/// pool sums any number of them; a record of hundreds of thousands would not fit a batch of the journal.
const SOURCES_MAX: usize = 1_000;
/// The most licenses named in one line of the log.
const PARTS_MAX: usize = 5;

/// What is known of one feature of the catalog.
#[derive(Clone, Copy, Debug)]
struct Known {
    base: Option<u32>,
    pool: Option<PoolId>,
    /// The first day on which this may be wrong; `NaiveDate::MIN`: never evaluated.
    good_until: NaiveDate,
}

const UNKNOWN: Known = Known { base: None, pool: None, good_until: NaiveDate::MIN };

/// See the module.
#[derive(Debug)]
pub(super) struct Terms {
    catalog: Arc<Catalog>,
    known: Vec<Known>,
    /// After a reload: the next feature, then the next pool, to bring up to date.
    next_feature: usize,
    next_pool: Option<PoolSweep>,
    /// After a midnight: features with a date at this boundary.
    due: VecDeque<u32>,
    evaluated_to: NaiveDate,
}

#[derive(Clone, Copy, Debug)]
struct PoolSweep {
    after: Option<PoolId>,
}

/// A pool's total or its licenses change: the change to journal, and what to tell people (L22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolChange {
    /// What is to be applied.
    pub set: PoolSet,
    /// The total before.
    pub before: Total,
    /// Which license came or went, as `upgrade 91aa active`.
    pub why: String,
    /// The exclusive license reached its END and none follows: its sessions are told (L39).
    pub has_expired: bool,
}

impl Terms {
    pub(super) fn new() -> Terms {
        let catalog = Arc::new(Catalog::default());
        Terms {
            catalog,
            known: Vec::new(),
            next_feature: 0,
            next_pool: None,
            due: VecDeque::new(),
            evaluated_to: NaiveDate::MIN,
        }
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Takes a new set whole; every feature is stale until it is looked at, but those whose licenses are the very
    /// same as before: most reloads change one file of many.
    pub(super) fn replace(&mut self, catalog: Arc<Catalog>, day: NaiveDate) {
        let (known, has_lost_features) = self.carried_over(&catalog);
        // Pools from before the start may have lost their features while nobody looked.
        let is_first = self.catalog.features().is_empty();
        if is_first || has_lost_features || self.next_pool.is_some() {
            self.next_pool = Some(PoolSweep { after: None });
        }
        self.known = known;
        self.catalog = catalog;
        self.next_feature = 0;
        self.due.clear();
        self.evaluated_to = day;
    }

    /// What is known of the features of another catalog, and whether it lacks any of this one's. Both are sorted
    /// alike; where nothing has changed, no name is compared.
    fn carried_over(&self, catalog: &Catalog) -> (Vec<Known>, bool) {
        let mut before = self.catalog.features().iter().zip(&self.known).peekable();
        let mut has_lost_features = false;
        let carried = |feature: &FeatureLicenses| {
            let key = (&feature.feature, &feature.vendor);
            while let Some((old, known)) = before.peek().copied() {
                if old.has_the_licenses_of(feature) {
                    before.next();
                    return *known;
                }
                match (&old.feature, &old.vendor).cmp(&key) {
                    Ordering::Less => has_lost_features = true,
                    Ordering::Equal => {}
                    Ordering::Greater => return UNKNOWN,
                }
                before.next();
            }
            UNKNOWN
        };
        let known = catalog.features().iter().map(carried).collect();
        (known, has_lost_features || before.next().is_some())
    }

    /// A new day: the features with a date at this boundary are due.
    pub(super) fn new_day(&mut self, day: NaiveDate) {
        let catalog = self.catalog.clone();
        self.due.extend(catalog.changing(self.evaluated_to, day).filter_map(|at| u32::try_from(at).ok()));
        self.evaluated_to = self.evaluated_to.max(day);
    }

    /// Whether every pool is up to date.
    pub(super) fn is_complete(&self) -> bool {
        self.due.is_empty() && self.next_feature >= self.known.len() && self.next_pool.is_none()
    }

    /// The exclusive license in force; call [`Terms::refresh`] first.
    pub(super) fn base(&self, at: usize) -> Option<&Arc<License>> {
        let base = self.known.get(at)?.base?;
        self.catalog.features()[at].licenses.get(base as usize)
    }

    /// The pool of a feature; call [`Terms::refresh`] first.
    pub(super) fn pool(&self, at: usize) -> Option<PoolId> {
        self.known.get(at)?.pool
    }

    /// Remembers the number under which a change was applied.
    pub(super) fn applied(&mut self, set: &PoolSet, state: &State) {
        if let Some(at) = self.catalog.index_of(&set.vendor, &set.feature) {
            self.known[at].pool = state.pool_of(&set.vendor, &set.feature);
        }
    }

    /// Brings one feature to the given day; the change it needs, if any. Twice on one day: none.
    pub(super) fn refresh(&mut self, at: usize, day: NaiveDate, state: &State) -> Option<PoolChange> {
        let known = self.known[at];
        if day < known.good_until {
            return None;
        }
        let feature = &self.catalog.features()[at];
        let is_first = known.good_until == NaiveDate::MIN;
        let evaluation = evaluate(feature, day);
        let pool_id = if is_first { state.pool_of(&feature.vendor, &feature.feature) } else { known.pool };
        // A pool without licenses is forgotten with its last session.
        let pool_id = pool_id.filter(|id| state.pool(*id).is_some());
        self.known[at] = Known {
            base: evaluation.base.and_then(|b| u32::try_from(b).ok()),
            pool: pool_id,
            good_until: next_boundary(feature, day).unwrap_or(NaiveDate::MAX),
        };
        let sources = sources(feature, &evaluation);
        let pool = pool_id.and_then(|id| state.pool(id));
        let (before, old): (Total, &[Source]) = pool.map_or((Total::ZERO, &[]), |p| (p.total, &p.sources));
        if before == evaluation.total && old == sources {
            return None;
        }
        let has_expired = evaluation.base.is_none()
            && old.first().is_some_and(|base| base.end.is_some_and(|end| end < day));
        Some(PoolChange {
            why: difference(old, &sources, day),
            set: PoolSet {
                pool: pool_id.unwrap_or_else(|| state.next_pool()),
                vendor: pool.map_or(&feature.vendor, |p| &p.vendor).clone(),
                feature: pool.map_or(&feature.feature, |p| &p.feature).clone(),
                total: evaluation.total,
                sources,
            },
            before,
            has_expired,
        })
    }

    /// The next change that the background owes, looking at no more than `budget` features or pools.
    /// Returns what is left of the budget.
    pub(super) fn sweep(
        &mut self,
        mut budget: usize,
        day: NaiveDate,
        state: &State,
    ) -> (Option<PoolChange>, usize) {
        while budget > 0 {
            budget -= 1;
            let at = if let Some(at) = self.due.pop_front() {
                at as usize
            } else if self.next_feature < self.known.len() {
                self.next_feature += 1;
                self.next_feature - 1
            } else {
                let change = self.sweep_pool(state);
                if change.is_some() || self.next_pool.is_none() {
                    return (change, budget);
                }
                continue;
            };
            let change = self.refresh(at, day, state);
            if change.is_some() {
                return (change, budget);
            }
        }
        (None, 0)
    }

    /// After a reload: a pool whose feature is in no file any more grants nothing; its sessions stay (L39).
    fn sweep_pool(&mut self, state: &State) -> Option<PoolChange> {
        let sweep = self.next_pool?;
        let Some((id, pool)) = state.pools_after(sweep.after).next() else {
            self.next_pool = None;
            return None;
        };
        self.next_pool = Some(PoolSweep { after: Some(id) });
        if pool.sources.is_empty() || self.catalog.index_of(&pool.vendor, &pool.feature).is_some() {
            return None;
        }
        let (vendor, feature) = (pool.vendor.clone(), pool.feature.clone());
        Some(PoolChange {
            set: PoolSet { pool: id, vendor, feature, total: Total::ZERO, sources: Vec::new() },
            before: pool.total,
            why: "no license of it is in the directory any more".into(),
            has_expired: false,
        })
    }
}

/// The licenses that count: the exclusive, then the upgrades as they were added.
fn sources(feature: &FeatureLicenses, evaluation: &Evaluation) -> Vec<Source> {
    let Some(base) = evaluation.base else { return Vec::new() };
    let source = |license: &License| Source {
        fingerprint: license.fingerprint,
        key_type: license.key_type,
        sn: license.sn.clone(),
        count: license.count.map_or(Total::ZERO, Total::from),
        end: license.end,
    };
    let upgrades = (evaluation.standings.iter().enumerate())
        .filter(|(at, s)| s.state == LicenseState::InForce && *at != base)
        .map(|(at, _)| source(&feature.licenses[at]));
    core::iter::once(source(&feature.licenses[base])).chain(upgrades).take(SOURCES_MAX).collect()
}

/// Which license came or went, in a few words for the log and the event.
fn difference(old: &[Source], new: &[Source], day: NaiveDate) -> String {
    let prints = |sources: &[Source]| sources.iter().map(|s| s.fingerprint).collect::<BTreeSet<_>>();
    let (were, are) = (prints(old), prints(new));
    let gone: Vec<&Source> = old.iter().filter(|o| !are.contains(&o.fingerprint)).collect();
    let came: Vec<&Source> = new.iter().filter(|n| !were.contains(&n.fingerprint)).collect();
    let names =
        |sources: &[&Source]| sources.iter().map(|s| (s.key_type, s.sn.clone())).collect::<BTreeSet<_>>();
    let (gone_names, came_names) = (names(&gone), names(&came));
    let name = |s: &Source| {
        let kind = if s.key_type == KeyType::Upgrade { "upgrade" } else { "exclusive" };
        format!("{kind} {}", s.sn.as_deref().unwrap_or("without SN"))
    };
    let is_reissued =
        |s: &Source, others: &BTreeSet<_>| s.sn.is_some() && others.contains(&(s.key_type, s.sn.clone()));
    let mut parts: Vec<String> = Vec::new();
    for o in gone.iter().filter(|o| !is_reissued(o, &came_names)).take(PARTS_MAX) {
        parts.push(match o.end {
            Some(end) if end < day => format!("{} ended with {end}", name(o)),
            _ => format!("{} no longer in force", name(o)),
        });
    }
    for n in came.iter().take(PARTS_MAX) {
        let how = if is_reissued(n, &gone_names) { "reissued" } else { "active" };
        parts.push(format!("{} {how}", name(n)));
    }
    let told = parts.len().min(PARTS_MAX);
    let mut text = parts[..told].join(", ");
    if parts.len() > told {
        text.push_str(" and more");
    }
    text
}
