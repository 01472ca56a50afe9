//! How seats of a set of sessions add up where some of them share (L60).
//!
//! One definition for everything that is counted (what a pool has in use, what of it is active, what a limit or a
//! reservation counts): the counts of sessions that share with nobody, plus for each share group the largest count
//! among its members *in the set*.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A session as it counts: the key of its share group, and its count.
pub(super) type Part<'a> = (Option<&'a str>, u32);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    seats: u64,
    groups: BTreeMap<Arc<str>, Members>,
}

/// The counts of a group's members, ascending, each with how many have it: never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members(Vec<(u32, u32)>);

impl Members {
    fn largest(&self) -> u32 {
        self.0.last().map_or(0, |(count, _)| *count)
    }

    fn add(&mut self, count: u32) {
        match self.0.binary_search_by_key(&count, |(count, _)| *count) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (count, 1)),
        }
    }

    fn remove(&mut self, count: u32) {
        if let Ok(at) = self.0.binary_search_by_key(&count, |(count, _)| *count) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }
}

impl Tally {
    /// How many seats they use.
    pub fn seats(&self) -> u64 {
        self.seats
    }

    /// Whether somebody in it shares.
    pub(super) fn is_shared(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether no session is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.seats == 0 && self.groups.is_empty()
    }

    /// The key as it is kept for a group that is there: one copy for all its members.
    pub(super) fn key_of(&self, share: &Arc<str>) -> Arc<str> {
        self.groups.get_key_value(share).map_or_else(|| share.clone(), |(key, _)| key.clone())
    }

    /// A session joins.
    pub(super) fn add(&mut self, share: Option<&Arc<str>>, count: u32) {
        match share {
            None => self.seats += u64::from(count),
            Some(key) => {
                let members = self.groups.entry(key.clone()).or_default();
                let before = members.largest();
                members.add(count);
                self.seats += u64::from(members.largest() - before);
            }
        }
    }

    /// A session that joined with this count leaves.
    pub(super) fn remove(&mut self, share: Option<&Arc<str>>, count: u32) {
        match share {
            None => self.seats -= u64::from(count),
            Some(key) => {
                let Some(members) = self.groups.get_mut(key) else { return };
                let before = members.largest();
                members.remove(count);
                self.seats -= u64::from(before - members.largest());
                if members.0.is_empty() {
                    self.groups.remove(key);
                }
            }
        }
    }

    /// How many seats they would use without some of them and with others more.
    pub(super) fn after(&self, less: &[Part<'_>], more: &[Part<'_>]) -> u64 {
        let plain = |parts: &[Part<'_>]| {
            parts.iter().filter(|(share, _)| share.is_none()).map(|(_, n)| u64::from(*n)).sum::<u64>()
        };
        let mut seats = (self.seats + plain(more)).saturating_sub(plain(less));
        let mut keys: Vec<&str> = less.iter().chain(more).filter_map(|(share, _)| *share).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let of = |(share, count): &Part<'_>| (*share == Some(key)).then_some(*count);
            let mut members = self.groups.get(key).cloned().unwrap_or_default();
            let before = members.largest();
            less.iter().filter_map(of).for_each(|count| members.remove(count));
            more.iter().filter_map(of).for_each(|count| members.add(count));
            seats = (seats + u64::from(members.largest())).saturating_sub(u64::from(before));
        }
        seats
    }
}

/// What a tally that is not there would come to.
pub(super) fn after(tally: Option<&Tally>, less: &[Part<'_>], more: &[Part<'_>]) -> u64 {
    match tally {
        Some(tally) if less.is_empty() && more.is_empty() => tally.seats,
        Some(tally) => tally.after(less, more),
        None => Tally::default().after(&[], more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_uses_its_largest_count_and_gives_it_back_with_its_last_member() {
        let key: Arc<str> = "ws7".into();
        let mut tally = Tally::default();
        tally.add(None, 2);
        tally.add(Some(&key), 3);
        tally.add(Some(&key), 5);
        tally.add(Some(&key), 5);
        assert_eq!(tally.seats(), 7);
        assert_eq!(tally.after(&[], &[(Some("ws7"), 5), (None, 1)]), 8);
        assert_eq!(tally.after(&[], &[(Some("ws7"), 6)]), 8);
        assert_eq!(tally.after(&[(Some("ws7"), 5)], &[]), 7);
        assert_eq!(tally.after(&[(Some("ws7"), 5), (Some("ws7"), 5)], &[]), 5);
        assert_eq!(tally.after(&[(Some("ws7"), 5), (Some("ws7"), 5)], &[(Some("other"), 4)]), 9);
        tally.remove(Some(&key), 5);
        tally.remove(Some(&key), 5);
        assert_eq!(tally.seats(), 5);
        tally.remove(Some(&key), 3);
        tally.remove(None, 2);
        assert!(tally.is_empty());
    }
}
