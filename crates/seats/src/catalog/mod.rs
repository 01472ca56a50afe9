//! All licenses of a server, grouped by what they grant together, and found by name.
//!
//! A [`Catalog`] is built once from what was read and never changes; a reload builds another beside it
//! (L6). It holds good and refused licenses alike, since both are listed. The order of files and of the
//! features in them leaves no trace: licenses are sorted by their own content.
//!
//! What one feature's licenses mean for another's is found here once, whatever the day: which license replaces which
//! (L52), which tokens can never work, and what the others take (L51).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use chrono::NaiveDate;

use crate::evaluate::boundaries;
use crate::license::{KeyType, License, NAME_BYTES_MAX, Name, Refusal};
use crate::maintenance::Plan;
use crate::releases::{self, ReleaseList};

mod lineage;
mod marks;
mod replaced;
mod tokens;

pub use lineage::Lineage;
use marks::Marks;
pub use marks::Replacement;
pub use tokens::{TOKEN_DEPTH_MAX, TOKEN_NEEDS_MAX, TokenNeed};

/// The licenses of one vendor's feature.
#[derive(Clone, Debug)]
pub struct FeatureLicenses {
    /// Who sells it.
    pub vendor: Name,
    /// What it allows, as the first license writes it.
    pub feature: Name,
    /// Sorted by content: key type, START, SN, fingerprint, then place.
    pub licenses: Vec<Arc<License>>,
    /// For each license the index of the one that counts in its place (L36); its own index if it counts itself.
    kept: Vec<usize>,
    /// What other licenses say of them; few features have any.
    marks: Option<Box<Marks>>,
}

impl FeatureLicenses {
    fn new(mut licenses: Vec<Arc<License>>) -> FeatureLicenses {
        licenses.sort_by(|a, b| content_order(a).cmp(&content_order(b)));
        let kept = keep_one_of_each(&licenses);
        FeatureLicenses {
            vendor: licenses[0].vendor.clone(),
            feature: licenses[0].feature.clone(),
            licenses,
            kept,
            marks: None,
        }
    }

    /// Whether another license with the same identity counts in its place (L36).
    pub fn is_duplicate(&self, at: usize) -> bool {
        self.kept[at] != at
    }

    /// The license that counts in place of a duplicate.
    pub fn kept_instead(&self, at: usize) -> Option<usize> {
        self.is_duplicate(at).then(|| self.kept[at])
    }

    /// The license that replaces this one, and from when on (L52).
    pub fn replacement(&self, at: usize) -> Option<&Replacement> {
        self.marks.as_ref()?.replaced.get(&at)
    }

    /// Why a token can never work, whatever the day (L51): `token_loop`, `token_sharing`, or it takes too much.
    pub fn token_fault(&self, at: usize) -> Option<&Refusal> {
        self.marks.as_ref()?.token_faults.get(&at)
    }

    /// What a license has from others: renewals, and the first checkouts of what it replaces (rules 3, 6.9 and 6.10); `None`:
    /// nothing.
    pub fn lineage(&self, at: usize) -> Option<&Lineage> {
        self.marks.as_ref()?.lineages.get(&at)
    }

    /// The renewals that extend the maintenance of a license, those of what it replaces included (rules 3, 6.9).
    pub fn renewals(&self, at: usize) -> &[Arc<License>] {
        self.lineage(at).map_or(&[], |lineage| &lineage.renewals)
    }

    /// The licenses that a renewal extends; empty: it names none that is here (`unknown_parent`).
    pub fn renewed_by(&self, at: usize) -> &[Arc<License>] {
        self.marks.as_ref().and_then(|marks| marks.renewed.get(&at)).map_or(&[], |renewed| renewed)
    }

    /// The index of one of its licenses.
    pub fn index_of(&self, license: &Arc<License>) -> Option<usize> {
        let is_before = |other: &Arc<License>| content_order(other).cmp(&content_order(license)).is_lt();
        let from = self.licenses.partition_point(is_before);
        let equal = self.licenses[from..].iter().position(|other| Arc::ptr_eq(other, license));
        equal.map(|at| from + at)
    }

    /// What a license and its renewals say of versions on a day. `first_checkout`: the recorded day, of a license that needs
    /// one (rules 3, 6.10).
    pub fn plan(&self, at: usize, first_checkout: Option<NaiveDate>, today: NaiveDate) -> Plan<'_> {
        Plan::of(&self.licenses[at], self.renewals(at), first_checkout, today)
    }

    /// Whether the license was accepted, is not a duplicate, and is no token that can never work: it counts on some
    /// day, if nothing else is in its way.
    pub fn can_count(&self, at: usize) -> bool {
        self.licenses[at].refusal.is_none() && !self.is_duplicate(at) && self.token_fault(at).is_none()
    }

    /// Whether both are made of the very same licenses, not only of equal ones, and other features make the same of
    /// them: those of a file that was not read again are, mostly. Cheap, and right whenever it says yes.
    pub fn is_made_of_the_same(&self, other: &FeatureLicenses) -> bool {
        let marked_alike = match (&self.marks, &other.marks) {
            (None, None) => true,
            (Some(marks), Some(others)) => marks.act_as(others),
            _ => false,
        };
        marked_alike
            && self.licenses.len() == other.licenses.len()
            && self.licenses.iter().zip(&other.licenses).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The same feature as if one of its licenses were not there, nor any that it displaces as a duplicate;
    /// and for each license that is left its index in this one. What it replaces stays replaced.
    pub(crate) fn without(&self, at: usize) -> (FeatureLicenses, Vec<usize>) {
        let left: Vec<usize> = (0..self.licenses.len()).filter(|i| self.kept[*i] != at).collect();
        let licenses: Vec<_> = left.iter().map(|i| self.licenses[*i].clone()).collect();
        let kept = keep_one_of_each(&licenses);
        let (vendor, feature) = (self.vendor.clone(), self.feature.clone());
        let marks = self.marks.as_ref().map(|marks| Box::new(marks.of(&left)));
        (FeatureLicenses { vendor, feature, licenses, kept, marks }, left)
    }

    /// Whether any of its licenses was accepted; a feature of refused licenses alone is listed and not served.
    pub fn has_good_license(&self) -> bool {
        self.licenses.iter().any(|l| l.refusal.is_none())
    }
}

fn content_order(l: &License) -> impl Ord + '_ {
    // The spelling of the name is no part of the fingerprint (L10), and shown; only then the place.
    let content = (l.key_type, l.start, &l.sn, l.fingerprint, l.feature.as_str());
    (content, &l.place.file, l.place.line, l.place.column)
}

/// L36: of the accepted licenses with one identity (key type and SN, or the same KEY; without an SN the whole
/// content), the latest ISSUED counts, then the larger COUNT, then a signed one, then the smaller KEY bytes.
/// A license that is itself refused displaces nobody.
fn keep_one_of_each(licenses: &[Arc<License>]) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..licenses.len()).collect();
    let mut best: BTreeMap<Identity<'_>, usize> = BTreeMap::new();
    for (at, license) in licenses.iter().enumerate().filter(|(_, l)| l.refusal.is_none()) {
        let slot = best.entry(identity(license)).or_insert(at);
        if precedence(license) > precedence(&licenses[*slot]) {
            *slot = at;
        }
    }
    for (at, license) in licenses.iter().enumerate().filter(|(_, l)| l.refusal.is_none()) {
        kept[at] = best[&identity(license)];
    }
    kept
}

type Identity<'a> = (KeyType, Option<&'a str>, Option<[u8; 32]>);

fn identity(l: &License) -> Identity<'_> {
    (l.key_type, l.sn.as_deref(), if l.sn.is_none() { Some(l.fingerprint.0) } else { None })
}

fn precedence(l: &License) -> impl Ord + '_ {
    let key = l.signed.as_ref().map(|s| &*s.key);
    (l.issued, l.count, key.is_some(), Reverse(key), Reverse(l.fingerprint))
}

/// Every license of a server, good and refused.
#[derive(Debug, Default)]
pub struct Catalog {
    features: Vec<FeatureLicenses>,
    /// Open addressing over the lower-case feature name: index + 1 of the first feature of that name.
    table: Vec<u32>,
    boundaries: BTreeMap<NaiveDate, Vec<u32>>,
    /// Whether the maintenance of any license begins with its first checkout.
    has_windows: bool,
    /// Every release list, by vendor and feature.
    releases: BTreeMap<(Name, Name), Vec<Arc<ReleaseList>>>,
}

impl Catalog {
    /// Groups and sorts what was read, and finds what licenses of one feature say of another's (L51, L52). The order of
    /// `licenses` does not matter.
    ///
    /// # Panics
    /// With more than 2^31 features, which the limits of the reader exclude.
    pub fn new(licenses: Vec<Arc<License>>) -> Catalog {
        let mut groups: BTreeMap<(Name, Name), Vec<Arc<License>>> = BTreeMap::new();
        let (mut has_tokens, mut has_replacing, mut has_lineages) = (false, false, false);
        let mut has_windows = false;
        for license in licenses {
            has_tokens |= license.key_type == KeyType::Token;
            has_replacing |= license.replaces().is_some();
            has_lineages |= lineage::concerns(&license);
            has_windows |= license.starts_at_first_checkout();
            groups.entry((license.feature.clone(), license.vendor.clone())).or_default().push(license);
        }
        let features: Vec<_> = groups.into_values().map(FeatureLicenses::new).collect();
        let mut catalog = Catalog {
            table: vec![0; (features.len() * 2).next_power_of_two().max(2)],
            features,
            boundaries: BTreeMap::new(),
            has_windows,
            releases: BTreeMap::new(),
        };
        catalog.fill_table();
        // Which tokens work is settled before what replaces what: a token that never works replaces nothing.
        if has_tokens {
            for (feature, license, fault) in tokens::judge(&catalog) {
                catalog.marks(feature).token_faults.insert(license, fault);
            }
        }
        if has_replacing {
            for (feature, license, replacement) in replaced::find(&catalog) {
                catalog.marks(feature).replaced.insert(license, replacement);
            }
        }
        if has_lineages {
            for (feature, license, found) in lineage::find(&catalog) {
                let marks = catalog.marks(feature);
                match found {
                    lineage::Found::Lineage(lineage) => drop(marks.lineages.insert(license, lineage)),
                    lineage::Found::Renews(licenses) => drop(marks.renewed.insert(license, licenses)),
                }
            }
        }
        catalog.fill_boundaries();
        catalog
    }

    /// The same with what vendors published of their releases (rules 3, amendments), good lists and refused ones; also of features
    /// without a license. The order of `lists` does not matter.
    #[must_use]
    pub fn with_releases(mut self, lists: Vec<Arc<ReleaseList>>) -> Catalog {
        for list in lists {
            self.releases.entry((list.vendor.clone(), list.feature.clone())).or_default().push(list);
        }
        self
    }

    /// Whether the maintenance of any of its licenses begins with a first checkout (rules 3, 6.10).
    pub fn has_windows(&self) -> bool {
        self.has_windows
    }

    /// The release list of one vendor's feature that counts.
    pub fn releases_of(&self, vendor: &Name, feature: &Name) -> Option<&Arc<ReleaseList>> {
        if self.releases.is_empty() {
            return None;
        }
        releases::counts(self.releases.get(&(vendor.clone(), feature.clone()))?)
    }

    /// Every release list, good and refused, by vendor and feature; with each whether it counts.
    pub fn release_lists(&self) -> impl Iterator<Item = (&Arc<ReleaseList>, bool)> {
        self.releases.values().flat_map(|lists| {
            let counting = releases::counts(lists);
            lists.iter().map(move |list| (list, counting.is_some_and(|one| Arc::ptr_eq(one, list))))
        })
    }

    fn marks(&mut self, feature: usize) -> &mut Marks {
        self.features[feature].marks.get_or_insert_default()
    }

    fn fill_table(&mut self) {
        for at in 0..self.features.len() {
            let name = &self.features[at].feature;
            if at == 0 || self.features[at - 1].feature != *name {
                let mut slot = hash(name.as_str()) as usize & (self.table.len() - 1);
                while self.table[slot] != 0 {
                    slot = (slot + 1) & (self.table.len() - 1);
                }
                self.table[slot] = feature_number(at) + 1;
            }
        }
    }

    fn fill_boundaries(&mut self) {
        for (at, feature) in self.features.iter().enumerate() {
            for day in boundaries(feature) {
                let at_day: &mut Vec<u32> = self.boundaries.entry(day).or_default();
                let number = feature_number(at);
                if at_day.last() != Some(&number) {
                    at_day.push(number);
                }
            }
        }
    }

    /// Every feature, sorted by name, then vendor.
    pub fn features(&self) -> &[FeatureLicenses] {
        &self.features
    }

    /// The features of that name, one for each vendor, and the index of the first; compared without case (L3).
    /// Costs the same whether there are ten features or a hundred thousand.
    pub fn find(&self, feature: &str) -> (usize, &[FeatureLicenses]) {
        if feature.len() > NAME_BYTES_MAX {
            return (0, &[]);
        }
        let mut slot = hash(feature) as usize & (self.table.len().max(1) - 1);
        while let Some(number) = self.table.get(slot).copied().filter(|n| *n != 0) {
            let first = number as usize - 1;
            if self.features[first].feature.as_str().eq_ignore_ascii_case(feature) {
                let same = self.features[first..]
                    .iter()
                    .take_while(|f| f.feature == self.features[first].feature)
                    .count();
                return (first, &self.features[first..first + same]);
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
        (0, &[])
    }

    /// The index of one vendor's feature.
    pub fn index_of(&self, vendor: &Name, feature: &Name) -> Option<usize> {
        let (first, found) = self.find(feature.as_str());
        found.iter().position(|f| f.vendor == *vendor).map(|at| first + at)
    }

    /// The features with a date at a boundary after `from`, up to and with `to`.
    pub fn changing(&self, from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = usize> + '_ {
        let range = if from < to {
            Some(self.boundaries.range((core::ops::Bound::Excluded(from), core::ops::Bound::Included(to))))
        } else {
            None
        };
        range.into_iter().flatten().flat_map(|(_, at)| at.iter().map(|n| *n as usize))
    }

    /// The names closest to one that is not there, for a message: at most three, by edit distance at most 2.
    pub fn similar(&self, feature: &str) -> Vec<String> {
        let wanted = feature.to_ascii_lowercase();
        let mut near: Vec<(usize, &Name)> =
            (self.features.iter().take(1000).filter(|f| f.has_good_license()))
                .filter_map(|f| {
                    distance(&wanted, &f.feature.as_str().to_ascii_lowercase()).map(|d| (d, &f.feature))
                })
                .collect();
        near.sort();
        near.dedup();
        near.into_iter().take(3).map(|(_, name)| String::from(name.as_str())).collect()
    }
}

/// The limits of the reader keep a server far below 2^31 features.
fn feature_number(at: usize) -> u32 {
    u32::try_from(at).ok().filter(|n| *n < u32::MAX / 2).expect("fewer than 2^31 features")
}

/// FNV-1a over the lower-case name. The names in the table come from licenses, not from clients, so nobody
/// outside can make them collide.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Levenshtein distance, `None` above 2.
fn distance(a: &str, b: &str) -> Option<usize> {
    if a.len().abs_diff(b.len()) > 2 || a.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    row.last().copied().filter(|d| *d <= 2)
}
