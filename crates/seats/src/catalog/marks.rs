//! What licenses of other features, or of the same, say of a license whatever the day: that it is replaced (L52), or
//! that it is a token that cannot work (L51), or what it has from others (rules 3, 6.9). Found once for a catalog; few features have any.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::lineage::Lineage;
use crate::license::{License, Refusal};

/// Another license stands in for this one (L52).
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Which; of several the one that begins first.
    pub by: Arc<License>,
}

impl Replacement {
    /// From that day on, included; `None`: on every day. It stays so when the replacing license has ended.
    pub fn from(&self) -> Option<NaiveDate> {
        self.by.start
    }

    /// Whether it acts on that day.
    pub fn acts_on(&self, day: NaiveDate) -> bool {
        self.from().is_none_or(|from| from <= day)
    }
}

/// The marks of one feature, by the index of the license.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    pub(super) replaced: BTreeMap<usize, Replacement>,
    pub(super) token_faults: BTreeMap<usize, Refusal>,
    pub(super) lineages: BTreeMap<usize, Lineage>,
    /// Of each renewal the licenses it extends, at least one.
    pub(super) renewed: BTreeMap<usize, Vec<Arc<License>>>,
}

impl Marks {
    /// Whether both make the same of the same licenses on every day.
    pub(super) fn act_as(&self, other: &Marks) -> bool {
        let days = |marks: &'_ Marks| {
            marks.replaced.iter().map(|(at, replacement)| (*at, replacement.from())).collect::<Vec<_>>()
        };
        let faults = |marks: &'_ Marks| {
            marks.token_faults.iter().map(|(at, fault)| (*at, fault.reason)).collect::<Vec<_>>()
        };
        let lines = |marks: &'_ Marks| {
            let prints =
                |lineage: &Lineage| lineage.renewals.iter().map(|l| l.fingerprint).collect::<Vec<_>>();
            let lines = marks.lineages.iter();
            lines.map(|(at, lineage)| (*at, prints(lineage), lineage.inherits.clone())).collect::<Vec<_>>()
        };
        let renewed = |marks: &'_ Marks| marks.renewed.keys().copied().collect::<Vec<_>>();
        days(self) == days(other)
            && faults(self) == faults(other)
            && lines(self) == lines(other)
            && renewed(self) == renewed(other)
    }

    /// For the licenses that are left, under their new index.
    pub(super) fn of(&self, left: &[usize]) -> Marks {
        let mut marks = Marks::default();
        for (at, before) in left.iter().enumerate() {
            if let Some(replacement) = self.replaced.get(before) {
                marks.replaced.insert(at, replacement.clone());
            }
            if let Some(fault) = self.token_faults.get(before) {
                marks.token_faults.insert(at, fault.clone());
            }
            if let Some(lineage) = self.lineages.get(before) {
                marks.lineages.insert(at, lineage.clone());
            }
            if let Some(renewed) = self.renewed.get(before) {
                marks.renewed.insert(at, renewed.clone());
            }
        }
        marks
    }
}
