//! Who waits for seats, in the order in which they came (S30); durable.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use crate::change::{SessionId, Waiting};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    all: BTreeMap<SessionId, Box<Waiting>>,
    by_key: BTreeMap<[u8; 16], SessionId>,
    /// Those that have no seats yet, by the feature that is waited for, in lower case; of whatever vendor.
    by_feature: BTreeMap<Box<str>, BTreeSet<SessionId>>,
    /// How many of these each install id has.
    by_client: BTreeMap<[u8; 16], u32>,
    /// The same by when they give up.
    by_end: BTreeSet<(u64, SessionId)>,
}

/// The names of what a waiter wants, as they are looked up.
fn features(waiting: &Waiting) -> impl Iterator<Item = Box<str>> + '_ {
    waiting.items.iter().map(|item| item.feature.to_ascii_lowercase().into())
}

impl Waiters {
    /// `has_seats`: it was given them already, and has not said that it has them (S31).
    pub(super) fn add(&mut self, waiting: &Waiting, has_seats: bool) {
        let waiting = Box::new(waiting.clone());
        self.by_key.insert(waiting.key, waiting.waiter);
        if !has_seats {
            self.line_up(&waiting);
        }
        self.all.insert(waiting.waiter, waiting);
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        let Some(waiting) = self.all.remove(&id) else { return };
        self.by_key.remove(&waiting.key);
        self.step_out(&waiting);
    }

    /// Whoever waits under a key has seats from now on, or has lost them again before it confirmed them.
    pub(super) fn has_seats(&mut self, key: &[u8; 16], has_seats: bool) {
        let Some(waiting) = self.by_key.get(key).and_then(|id| self.all.get(id)).cloned() else { return };
        if has_seats { self.step_out(&waiting) } else { self.line_up(&waiting) }
    }

    fn line_up(&mut self, waiting: &Waiting) {
        if !self.by_end.insert((waiting.until, waiting.waiter)) {
            return;
        }
        *self.by_client.entry(waiting.facts.install_id).or_default() += 1;
        for feature in features(waiting) {
            self.by_feature.entry(feature).or_default().insert(waiting.waiter);
        }
    }

    fn step_out(&mut self, waiting: &Waiting) {
        if !self.by_end.remove(&(waiting.until, waiting.waiter)) {
            return;
        }
        for feature in features(waiting) {
            if let Some(of_feature) = self.by_feature.get_mut(&feature) {
                of_feature.remove(&waiting.waiter);
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

    /// Those who wait for a feature and have no seats yet; its name is in lower case, and the first came first.
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
