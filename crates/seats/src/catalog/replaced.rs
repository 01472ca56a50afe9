//! REPLACES: which license stands in for which, over all features of a vendor (L52).
//!
//! A license replaces those of its vendor that it names and that were issued before it; one without ISSUED counts as
//! issued first and replaces nothing. Since "before" is strict, nothing replaces itself, and of two that name each
//! other at most one is replaced.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use chrono::NaiveDate;

use super::marks::Replacement;
use super::{Catalog, content_order};
use crate::license::{KeyType, License, Name, Replaces};

/// Licenses that replace the same: the latest ISSUED first, and with each the one that begins first of all up to it.
type Line = Vec<(Option<NaiveDate>, Arc<License>)>;

/// What is named, by vendor and the way it is named.
#[derive(Default)]
struct Named<'c> {
    features: BTreeMap<(&'c Name, &'c Name), Line>,
    serial_numbers: BTreeMap<(&'c Name, &'c str), Line>,
    keys: BTreeMap<(&'c Name, &'c str), Line>,
}

/// Every license that another replaces: feature, license, and by which. Costs n log n, however many name the same.
pub(super) fn find(catalog: &Catalog) -> Vec<(usize, usize, Replacement)> {
    let mut named = Named::default();
    for feature in &catalog.features {
        for (at, license) in feature.licenses.iter().enumerate() {
            if license.issued.is_some()
                && let Some(replaces) = license.replaces().filter(|_| feature.can_count(at))
            {
                let vendor = &license.vendor;
                let line = match replaces {
                    Replaces::Feature(name) => named.features.entry((vendor, name)).or_default(),
                    Replaces::Sn(sn) => named.serial_numbers.entry((vendor, sn)).or_default(),
                    Replaces::Key(key) => named.keys.entry((vendor, key)).or_default(),
                };
                line.push((license.issued, license.clone()));
            }
        }
    }
    named.features.values_mut().for_each(settle);
    named.serial_numbers.values_mut().chain(named.keys.values_mut()).for_each(settle);

    let mut found = Vec::new();
    for (number, feature) in catalog.features.iter().enumerate() {
        for (at, license) in feature.licenses.iter().enumerate().filter(|(_, l)| l.refusal.is_none()) {
            if let Some(by) = named.replacement_of(license) {
                found.push((number, at, Replacement { by }));
            }
        }
    }
    found
}

/// Brings a line into its order.
fn settle(line: &mut Line) {
    line.sort_by(|(a, _), (b, _)| b.cmp(a));
    for at in 1..line.len() {
        if begins_first(&line[at - 1].1) < begins_first(&line[at].1) {
            line[at].1 = line[at - 1].1.clone();
        }
    }
}

/// Of several that replace one license the first to begin decides since when; the rest is for one and the same answer
/// whatever the order of files.
fn begins_first(license: &License) -> impl Ord + '_ {
    (license.start, Reverse(license.issued), content_order(license))
}

impl Named<'_> {
    fn replacement_of(&self, license: &License) -> Option<Arc<License>> {
        let vendor = &license.vendor;
        // FEATURE= means what stands for a pool by itself; an upgrade goes with its exclusive.
        let has_pool = matches!(license.key_type, KeyType::Exclusive | KeyType::Additive | KeyType::Token);
        let by_feature = self.features.get(&(vendor, &license.feature)).filter(|_| has_pool);
        let by_sn = license.sn.as_deref().and_then(|sn| self.serial_numbers.get(&(vendor, sn)));
        let by_key = license.signed.as_ref().and_then(|signed| self.keys.get(&(vendor, &*signed.key)));
        let issued_later = |line: &Line| {
            let count = line.partition_point(|(issued, _)| *issued > license.issued);
            count.checked_sub(1).map(|last| line[last].1.clone())
        };
        let lines = [by_feature, by_sn, by_key].into_iter().flatten();
        lines.filter_map(issued_later).min_by(|a, b| begins_first(a).cmp(&begins_first(b)))
    }
}
