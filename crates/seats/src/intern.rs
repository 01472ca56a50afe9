//! One copy of what many sessions state alike: a million sessions of ten thousand programs keep ten thousand facts.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

/// Shared values, each with the number of its users in the ledger.
#[derive(Debug)]
pub(crate) struct Interned<T>(BTreeMap<Arc<T>, u64>);

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned(BTreeMap::new())
    }
}

impl<T: Ord> Interned<T> {
    /// The shared copy of `value`, with one user more.
    pub(crate) fn share(&mut self, value: &Arc<T>) -> Arc<T> {
        // Two look-ups for a known value would be a third of a checkout; `entry` needs the clone anyway.
        let entry = self.0.entry(value.clone());
        let shared = entry.key().clone();
        match entry {
            alloc::collections::btree_map::Entry::Occupied(mut o) => {
                *o.get_mut() += 1;
                o.key().clone()
            }
            alloc::collections::btree_map::Entry::Vacant(v) => {
                v.insert(1);
                shared
            }
        }
    }

    /// One user less; the last one takes the value with it.
    pub(crate) fn release(&mut self, value: &Arc<T>) {
        if let Some(users) = self.0.get_mut(value) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(value);
            }
        }
    }

    /// How many different values are in use.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
