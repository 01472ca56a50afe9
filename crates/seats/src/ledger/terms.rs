//! What the licenses in force grant, feature by feature, and which features are not yet up to date (L21, L39).
//!
//! A reload or a midnight makes every pool stale at once. A request brings the features it names up to date
//! before it is decided, so no request ever meets another day's totals or an older set of files; the rest
//! follows in slices, and nobody waits for a hundred thousand pools.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use chrono::NaiveDate;

use super::state::State;
use crate::catalog::{Catalog, FeatureLicenses};
use crate::change::{Change, Moved, PoolId, PoolKind, PoolSet, Source};
use crate::evaluate::{
    Evaluation, PoolGrant, State as LicenseState, Total, evaluate, falls_back, next_boundary, pool_kind,
    sort_for_trial,
};
use crate::license::{KeyType, License, Name};

/// The most licenses of a pool that are journaled with its total: the exclusive and the first upgrades. A
/// pool sums any number of them; a record of hundreds of thousands would not fit a batch of the journal.
const SOURCES_MAX: usize = 1_000;
/// The most licenses named in one line of the log.
const PARTS_MAX: usize = 5;

/// One pool of a feature that grants today.
#[derive(Clone, Copy, Debug)]
struct KnownPool {
    /// Index of the license whose terms hold, among the feature's.
    license: u32,
    pool: PoolId,
}

/// Nearly every feature has one pool: it is kept without an allocation.
#[derive(Clone, Debug)]
enum KnownPools {
    None,
    One(KnownPool),
    Many(Box<[KnownPool]>),
}

impl KnownPools {
    fn as_slice(&self) -> &[KnownPool] {
        match self {
            KnownPools::None => &[],
            KnownPools::One(pool) => core::slice::from_ref(pool),
            KnownPools::Many(pools) => pools,
        }
    }
}

/// What is known of one feature of the catalog.
#[derive(Clone, Debug)]
struct Known {
    /// In the order of trial.
    pools: KnownPools,
    /// The first day on which this may be wrong; `NaiveDate::MIN`: never evaluated.
    good_until: NaiveDate,
}

const UNKNOWN: Known = Known { pools: KnownPools::None, good_until: NaiveDate::MIN };

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
    /// Changes of one feature that are found and not yet handed out.
    pending: VecDeque<PoolChange>,
    /// Features with sessions in a pool that no license is left of (L39).
    orphaned: BTreeSet<u32>,
    /// Features found to have a license with HOLD.
    with_hold: Vec<u32>,
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
    /// The license reached its END and none follows: its sessions are told (L39).
    pub has_expired: bool,
}

/// A change that a reload or a midnight owes, to be applied before the next is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owed {
    /// A pool's total or its licenses.
    Pool(PoolChange),
    /// Sessions that count against another pool from now on.
    Moved(Moved),
}

impl Owed {
    /// What is to be applied.
    pub fn into_change(self) -> Change {
        match self {
            Owed::Pool(change) => Change::PoolSet(change.set),
            Owed::Moved(moved) => Change::Moved(moved),
        }
    }
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
            pending: VecDeque::new(),
            orphaned: BTreeSet::new(),
            with_hold: Vec::new(),
            evaluated_to: NaiveDate::MIN,
        }
    }

    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Takes a new set whole; every feature is stale until it is looked at, but those whose licenses are the very
    /// same as before: most reloads change one file of many.
    pub(super) fn replace(&mut self, catalog: Arc<Catalog>, day: NaiveDate) {
        let (known, has_lost_features, orphaned) = self.carried_over(&catalog);
        // Pools from before the start may have lost their features while nobody looked.
        let is_first = self.catalog.features().is_empty();
        if is_first || has_lost_features || self.next_pool.is_some() {
            self.next_pool = Some(PoolSweep { after: None });
        }
        self.known = known;
        self.catalog = catalog;
        self.next_feature = 0;
        self.due.clear();
        self.orphaned = orphaned;
        self.with_hold.clear();
        self.evaluated_to = day;
    }

    /// What is known of the features of another catalog, whether it lacks any of this one's, and which of those that
    /// are as they were still have sessions to move. Both are sorted alike; where nothing has changed, no name is
    /// compared.
    fn carried_over(&mut self, catalog: &Catalog) -> (Vec<Known>, bool, BTreeSet<u32>) {
        let known = core::mem::take(&mut self.known);
        let mut before = (0u32..).zip(self.catalog.features().iter().zip(known)).peekable();
        let mut has_lost_features = false;
        let mut orphaned = BTreeSet::new();
        let mut carried = |(number, feature): (u32, &FeatureLicenses)| {
            let key = (&feature.feature, &feature.vendor);
            while let Some((_, (old, _))) = before.peek() {
                if old.is_made_of_the_same(feature) {
                    let Some((was, (_, known))) = before.next() else { break };
                    if self.orphaned.contains(&was) {
                        orphaned.insert(number);
                    }
                    return known;
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
        let known = (0u32..).zip(catalog.features()).map(&mut carried).collect();
        (known, has_lost_features || before.next().is_some(), orphaned)
    }

    /// A new day: the features with a date at this boundary are due.
    pub(super) fn new_day(&mut self, day: NaiveDate) {
        let catalog = self.catalog.clone();
        self.due.extend(catalog.changing(self.evaluated_to, day).filter_map(|at| u32::try_from(at).ok()));
        self.evaluated_to = self.evaluated_to.max(day);
    }

    /// The day goes back: nothing that is known holds any more, and changes that nobody took are void.
    pub(super) fn begin_again(&mut self, day: NaiveDate) {
        self.known.fill(UNKNOWN);
        self.next_feature = 0;
        self.due.clear();
        self.pending.clear();
        self.orphaned.clear();
        self.evaluated_to = day;
    }

    /// Whether every pool is up to date.
    pub(super) fn is_complete(&self) -> bool {
        self.pending.is_empty()
            && self.orphaned.is_empty()
            && self.due.is_empty()
            && self.next_feature >= self.known.len()
            && self.next_pool.is_none()
    }

    /// The pools of a feature that grant today, in the order of trial, each with the license whose terms hold; call
    /// [`Terms::refresh`] first.
    pub(super) fn pools(&self, at: usize) -> impl Iterator<Item = (PoolId, &Arc<License>)> + Clone {
        let known = self.known.get(at).map_or(&[][..], |known| known.pools.as_slice());
        known.iter().map(move |p| (p.pool, &self.catalog.features()[at].licenses[p.license as usize]))
    }

    /// The day of the last evaluation.
    pub(super) fn day(&self) -> NaiveDate {
        self.evaluated_to
    }

    /// The license whose terms hold for a pool today, also where the sweep has not come to its feature yet.
    pub(super) fn license_of(&self, id: PoolId, state: &State) -> Option<&Arc<License>> {
        let pool = state.pool(id)?;
        let at = self.catalog.index_of(&pool.vendor, &pool.feature)?;
        if self.evaluated_to < self.known.get(at)?.good_until {
            return self.pools(at).find(|(pool, _)| *pool == id).map(|(_, license)| license);
        }
        let feature = &self.catalog.features()[at];
        let grants = evaluate(feature, self.evaluated_to).pools;
        grants.iter().find(|g| g.kind == pool.kind).and_then(|g| feature.licenses.get(g.license))
    }

    /// Features found to have a license with HOLD since this was asked last.
    pub(super) fn take_with_hold(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.with_hold)
    }

    /// The first feature that may have sessions to move; or whether this one may.
    pub(super) fn orphaned(&self, at: Option<usize>) -> Option<usize> {
        match at {
            None => self.orphaned.first().map(|at| *at as usize),
            Some(at) => u32::try_from(at).ok().filter(|n| self.orphaned.contains(n)).map(|_| at),
        }
    }

    /// Every session of a feature that could move has moved.
    pub(super) fn is_moved(&mut self, at: usize) {
        self.orphaned.retain(|n| *n as usize != at);
    }

    /// Whether a license of this pool is in the directory, whatever its dates.
    pub(super) fn is_alive(&self, at: usize, kind: &PoolKind) -> bool {
        let feature = &self.catalog.features()[at];
        (0..feature.licenses.len()).any(|i| {
            let license = &feature.licenses[i];
            license.refusal.is_none() && !feature.is_duplicate(i) && pool_kind(license).as_ref() == Some(kind)
        })
    }

    /// What is known of the order of a feature's pools holds no more.
    pub(super) fn forget_order(&mut self, vendor: &Name, feature: &Name) {
        let known = self.catalog.index_of(vendor, feature).and_then(|at| self.known.get_mut(at));
        if let Some(known) = known.filter(|known| known.pools.as_slice().len() > 1) {
            known.good_until = NaiveDate::MIN;
        }
    }

    /// Brings one feature to the given day; the next change it needs, if any. Twice on one day: none.
    pub(super) fn refresh(&mut self, at: usize, day: NaiveDate, state: &State) -> Option<PoolChange> {
        if let Some(found) = self.pending.pop_front() {
            return Some(found);
        }
        if day < self.known[at].good_until {
            return None;
        }
        let catalog = self.catalog.clone();
        let feature = &catalog.features()[at];
        let mut evaluation = evaluate(feature, day);
        let has_windows = evaluation.pools.len() > 1
            && evaluation
                .pools
                .iter()
                .any(|grant| feature.licenses[grant.license].starts_at_first_checkout());
        if has_windows {
            let begun = |at: usize| state.first_checkouts().day_of(feature, at);
            sort_for_trial(feature, &mut evaluation.pools, day, &begun);
        }
        let there = state.pools_of(&feature.vendor, &feature.feature);
        let mut next_pool = state.next_pool().0;
        let mut pools: Vec<KnownPool> = Vec::with_capacity(evaluation.pools.len());
        for grant in &evaluation.pools {
            let known = there.iter().find(|(kind, _)| *kind == grant.kind).map(|(_, id)| *id);
            let pool = known.unwrap_or_else(|| {
                next_pool += 1;
                PoolId(next_pool - 1)
            });
            let license = u32::try_from(grant.license).expect("a feature has fewer than 2^32 licenses");
            pools.push(KnownPool { license, pool });
            let sources = sources(feature, &evaluation, grant, day);
            self.compare(feature, pool, &grant.kind, grant.total, sources, day, state);
            if feature.licenses[grant.license].hold_ms().is_some() {
                self.with_hold.extend(u32::try_from(at).ok());
            }
        }
        let mut has_orphans = false;
        for (kind, id) in there.iter().filter(|(kind, _)| evaluation.pools.iter().all(|g| g.kind != *kind)) {
            self.compare(feature, *id, kind, Total::ZERO, Vec::new(), day, state);
            let has_sessions = state.sessions_of(*id).next().is_some();
            has_orphans |= has_sessions && *kind != PoolKind::Token && !self.is_alive(at, kind);
        }
        if has_orphans {
            self.orphaned.extend(u32::try_from(at).ok());
        }
        let pools = match &pools[..] {
            [] => KnownPools::None,
            [one] => KnownPools::One(*one),
            _ => KnownPools::Many(pools.into_boxed_slice()),
        };
        // What would begin with a first checkout ends a day later each day.
        let tomorrow = day.succ_opt().filter(|_| has_windows);
        let good_until = tomorrow.or_else(|| next_boundary(feature, day)).unwrap_or(NaiveDate::MAX);
        self.known[at] = Known { pools, good_until };
        self.pending.pop_front()
    }

    /// What a pool is to grant against what it grants: a change, where they differ.
    #[allow(clippy::too_many_arguments, reason = "one pool's facts, gathered in the one caller")]
    fn compare(
        &mut self,
        feature: &FeatureLicenses,
        id: PoolId,
        kind: &PoolKind,
        total: Total,
        sources: Vec<Source>,
        day: NaiveDate,
        state: &State,
    ) {
        let pool = state.pool(id);
        let (before, old): (Total, &[Source]) = pool.map_or((Total::ZERO, &[]), |p| (p.total, &p.sources));
        if before == total && old == sources {
            return;
        }
        let goes_on = |base: &Source| sources.first().is_some_and(|new| new.fingerprint != base.fingerprint);
        let has_expired =
            old.first().is_some_and(|base| base.end.is_some_and(|end| end < day) && !goes_on(base));
        self.pending.push_back(PoolChange {
            why: difference(old, &sources, day),
            set: PoolSet {
                pool: id,
                vendor: pool.map_or(&feature.vendor, |p| &p.vendor).clone(),
                feature: pool.map_or(&feature.feature, |p| &p.feature).clone(),
                kind: kind.clone(),
                total,
                sources,
            },
            before,
            has_expired,
        });
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
            if let Some(found) = self.pending.pop_front() {
                return (Some(found), budget);
            }
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
        let (vendor, feature, kind) = (pool.vendor.clone(), pool.feature.clone(), pool.kind.clone());
        Some(PoolChange {
            set: PoolSet { pool: id, vendor, feature, kind, total: Total::ZERO, sources: Vec::new() },
            before: pool.total,
            why: "no license of it is in the directory any more".into(),
            has_expired: false,
        })
    }
}

/// The licenses of a pool that count: the one whose terms hold, then the upgrades as they were added. A subscription that is over
/// and leaves its fallback version has no end any more.
fn sources(
    feature: &FeatureLicenses,
    evaluation: &Evaluation,
    grant: &PoolGrant,
    day: NaiveDate,
) -> Vec<Source> {
    let source = |license: &License| Source {
        fingerprint: license.fingerprint,
        key_type: license.key_type,
        sn: license.sn.clone(),
        count: license.count.map_or(Total::ZERO, Total::from),
        end: license.end.filter(|_| !falls_back(license, day)),
    };
    let is_upgrade =
        |at: usize| grant.kind == PoolKind::Exclusive && feature.licenses[at].key_type == KeyType::Upgrade;
    let upgrades = (evaluation.standings.iter().enumerate())
        .filter(|(at, s)| s.state == LicenseState::InForce && is_upgrade(*at))
        .map(|(at, _)| source(&feature.licenses[at]));
    core::iter::once(source(&feature.licenses[grant.license])).chain(upgrades).take(SOURCES_MAX).collect()
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
        let kind = s.key_type.as_str().to_ascii_lowercase();
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
    if let (Some(was), Some(is)) = (old.first(), new.first())
        && was.fingerprint == is.fingerprint
        && let (Some(end), None) = (was.end, is.end)
    {
        parts.insert(0, format!("{} ended with {end}, its fallback version goes on", name(is)));
    }
    let told = parts.len().min(PARTS_MAX);
    let mut text = parts[..told].join(", ");
    if parts.len() > told {
        text.push_str(" and more");
    }
    text
}
