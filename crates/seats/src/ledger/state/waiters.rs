//! Who waits for seats, in the order in which they came (S30); durable.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use crate::change::{SessionId, Waiting};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    all: BTreeMap<SessionId, Box<Waiting>>,
    by_key: BTreeMap<[u8; 16], SessionId>,
    /// By the feature that is waited for, in lower case; of whatever vendor.
    by_feature: BTreeMap<Box<str>, BTreeSet<SessionId>>,
    /// How many each install id has.
    by_client: BTreeMap<[u8; 16], u32>,
    by_end: BTreeSet<(u64, SessionId)>,
}

/// The names of what a waiter wants, as they are looked up.
fn features(waiting: &Waiting) -> impl Iterator<Item = Box<str>> + '_ {
    waiting.items.iter().map(|item| item.feature.to_ascii_lowercase().into())
}

impl Waiters {
    pub(super) fn add(&mut self, waiting: &Waiting) {
        let id = waiting.waiter;
        self.by_key.insert(waiting.key, id);
        self.by_end.insert((waiting.until, id));
        *self.by_client.entry(waiting.facts.install_id).or_default() += 1;
        for feature in features(waiting) {
            self.by_feature.entry(feature).or_default().insert(id);
        }
        self.all.insert(id, Box::new(waiting.clone()));
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(waiting) = self.all.remove(&id) else { return };
        self.by_key.remove(&waiting.key);
        self.by_end.remove(&(waiting.until, id));
        for feature in features(&waiting) {
            if let Some(of_feature) = self.by_feature.get_mut(&feature) {
                of_feature.remove(&id);
                if of_feature.is_empty() {
                    self.by_feature.remove(&feature);
                }
            }
        }
        let install = waiting.facts.install_id;
        if let Some(count) = self.by_client.get_mut(&install) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&install);
            }
        }
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Waiting> {
        self.all.get(&id).map(|waiting| &**waiting)
    }

    pub(super) fn of_key(&self, key: &[u8; 16]) -> Option<&Waiting> {
        self.by_key.get(key).and_then(|id| self.get(*id))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.all.values().map(|waiting| &**waiting)
    }

    /// Those who wait for a feature, whose name is in lower case; the first came first.
    pub(super) fn of_feature(&self, feature: &str) -> Option<&BTreeSet<SessionId>> {
        self.by_feature.get(feature)
    }

    /// Every feature that somebody waits for, in lower case.
    pub(super) fn features(&self) -> impl Iterator<Item = &str> {
        self.by_feature.keys().map(|feature| &**feature)
    }

    pub(super) fn of_client(&self, install_id: &[u8; 16]) -> u32 {
        self.by_client.get(install_id).copied().unwrap_or(0)
    }

    /// Those first who give up first.
    pub(super) fn by_end(&self) -> impl Iterator<Item = (u64, SessionId)> + '_ {
        self.by_end.iter().copied()
    }
}
