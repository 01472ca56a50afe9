//! Peaks, seat hours and sessions of spans that come in the order in which they begin.
//!
//! What is kept is what runs at the moment: a year of spans passes through without being held, and without being sorted.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// A span as it comes: from `since` (included) to `until` (excluded, later than `since`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) vendor: &'a str,
    pub(super) feature: &'a str,
    /// User or host; empty where rows are by feature.
    pub(super) who: &'a str,
    pub(super) seats: i64,
    pub(super) session: &'a str,
    pub(super) since: i64,
    pub(super) until: i64,
}

/// All that is of one feature, and of one user or host, in ASCII without case.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) vendor: String,
    pub(super) feature: String,
    pub(super) who: String,
    /// The most seats at one moment.
    pub(super) peak: i64,
    /// Seats times milliseconds.
    pub(super) held: f64,
    pub(super) sessions: u64,
    used: i64,
    /// When seats come back, the next first.
    ends: BinaryHeap<Reverse<(i64, i64)>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    places: HashMap<String, usize>,
    groups: Vec<Group>,
    /// The sessions that begin at this moment: all parts of one begin at once, and it counts once.
    begun: (i64, HashSet<String>),
    key: String,
}

impl Sweep {
    /// Takes the next one, which begins no earlier than those before it.
    pub(super) fn take(&mut self, piece: Piece<'_>) {
        self.key.clear();
        for part in [piece.vendor, piece.feature, piece.who] {
            self.key.push_str(part);
            self.key.push('\0');
        }
        self.key.make_ascii_lowercase();
        let place = match self.places.get(&self.key) {
            Some(place) => *place,
            None => {
                self.places.insert(self.key.clone(), self.groups.len());
                self.groups.push(Group {
                    vendor: piece.vendor.into(),
                    feature: piece.feature.into(),
                    who: piece.who.into(),
                    ..Group::default()
                });
                self.groups.len() - 1
            }
        };
        if self.begun.0 != piece.since {
            self.begun.0 = piece.since;
            self.begun.1.clear();
        }
        let Some(group) = self.groups.get_mut(place) else { return };
        if !self.begun.1.contains(piece.session) {
            self.begun.1.insert(piece.session.into());
            group.sessions += 1;
        }
        // An end comes before a beginning of the same millisecond.
        while let Some(Reverse((until, seats))) = group.ends.peek().copied()
            && until <= piece.since
        {
            group.ends.pop();
            group.used -= seats;
        }
        group.ends.push(Reverse((piece.until, piece.seats)));
        group.used += piece.seats;
        group.peak = group.peak.max(group.used);
        group.held += (piece.until - piece.since) as f64 * piece.seats as f64;
    }

    /// What was found.
    pub(super) fn groups(self) -> Vec<Group> {
        self.groups
    }
}
