//! Who may have no seats of a feature for a time, because an administrator took some away (S25); durable.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use crate::change::{Barred, Tick};
use crate::license::Name;

type Key = (Name, Name, Arc<str>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bars {
    all: BTreeMap<Key, Box<Barred>>,
    by_end: BTreeSet<(Tick, Key)>,
}

fn key(barred: &Barred) -> Key {
    (barred.feature.clone(), barred.vendor.clone(), barred.client.clone())
}

impl Bars {
    /// The later one takes the place of the earlier.
    pub(super) fn add(&mut self, barred: &Barred) {
        let key = key(barred);
        if let Some(before) = self.all.insert(key.clone(), Box::new(barred.clone())) {
            self.by_end.remove(&(before.until, key.clone()));
        }
        self.by_end.insert((barred.until, key));
    }

    /// Those that are over by the tick of a batch.
    pub(super) fn forget(&mut self, tick: Tick) {
        while let Some((_, key)) = self.by_end.first().filter(|(until, _)| *until <= tick).cloned() {
            self.by_end.pop_first();
            self.all.remove(&key);
        }
    }

    pub(super) fn get(&self, vendor: &Name, feature: &Name, client: &str) -> Option<&Barred> {
        if self.all.is_empty() {
            return None;
        }
        self.all.get(&(feature.clone(), vendor.clone(), client.into())).map(|barred| &**barred)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Barred> {
        self.all.values().map(|barred| &**barred)
    }
}
