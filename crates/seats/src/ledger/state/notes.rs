//! What is noted of single licenses, by vendor, serial number and feature, whatever file they are in: when they were first used
//! (rules 3, 6.10), and which reminders were sent (6.11). The notes of a license outlive it, so that a file that is
//! removed and comes back begins nothing anew.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use crate::catalog::FeatureLicenses;
use crate::change::{FirstCheckout, Reminded};
use crate::license::Name;
use crate::maintenance::{ENDED_WITHIN_DAYS, Ending, Reminder};

/// Vendor, serial number (or `#` and the fingerprint), feature.
type Key = (Name, Arc<str>, Name);
/// An end that reminders were sent of, and which.
type Said = (NaiveDate, Vec<Reminder>);

/// When licenses were first used. Cheap to hand to readers: it changes at most once for each license.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstCheckouts(BTreeMap<Key, FirstCheckout>);

impl FirstCheckouts {
    /// Every one that is recorded, in the order of vendor, license and feature.
    pub fn all(&self) -> impl Iterator<Item = &FirstCheckout> {
        self.0.values()
    }

    /// The day of the first checkout of a license, by its index in its feature, or the earliest of those that it replaces (L52).
    pub fn day_of(&self, feature: &FeatureLicenses, at: usize) -> Option<NaiveDate> {
        if self.0.is_empty() {
            return None;
        }
        let license = &feature.licenses[at];
        let own = self.0.get(&(license.vendor.clone(), license.identity(), license.feature.clone()));
        let inherited = feature.lineage(at).map_or(&[][..], |lineage| &lineage.inherits);
        let inherited = inherited.iter().filter_map(|sn| self.of_any_feature(&license.vendor, sn));
        own.map(|first| first.day).into_iter().chain(inherited).min()
    }

    /// What was replaced may have been of another feature, and its file gone.
    fn of_any_feature(&self, vendor: &Name, license: &Arc<str>) -> Option<NaiveDate> {
        // An empty name orders before all others.
        let from = (vendor.clone(), license.clone(), Name::none());
        let of_license = self.0.range(from..).take_while(|(key, _)| key.0 == *vendor && key.1 == *license);
        of_license.map(|(_, first)| first.day).min()
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) first_checkouts: Arc<FirstCheckouts>,
    reminded: BTreeMap<(Key, Ending), Said>,
}

impl Notes {
    /// The earliest counts.
    pub(super) fn first_checkout(&mut self, first: &FirstCheckout) {
        let key = (first.vendor.clone(), first.license.clone(), first.feature.clone());
        let noted = Arc::make_mut(&mut self.first_checkouts).0.entry(key).or_insert_with(|| first.clone());
        if first.day < noted.day {
            *noted = first.clone();
        }
    }

    /// What was said of another end is over.
    pub(super) fn remind(&mut self, reminded: &Reminded) {
        let key = (reminded.vendor.clone(), reminded.license.clone(), reminded.feature.clone());
        let noted = self.reminded.entry((key, reminded.of)).or_insert_with(|| (reminded.end, Vec::new()));
        if noted.0 != reminded.end {
            *noted = (reminded.end, Vec::new());
        }
        if !noted.1.contains(&reminded.what) {
            noted.1.push(reminded.what);
            noted.1.sort_unstable();
        }
    }

    /// Nothing more is said of an end that is long past.
    pub(super) fn forget(&mut self, day: NaiveDate) {
        self.reminded.retain(|_, (end, _)| (day - *end).num_days() <= ENDED_WITHIN_DAYS);
    }

    /// What was said already of this end of a license.
    pub(super) fn reminded(
        &self,
        [vendor, feature]: [&Name; 2],
        license: &Arc<str>,
        of: Ending,
        end: NaiveDate,
    ) -> &[Reminder] {
        let key = (vendor.clone(), license.clone(), feature.clone());
        match self.reminded.get(&(key, of)) {
            Some((of, said)) if *of == end => said,
            _ => &[],
        }
    }

    /// Everything that was said, as changes.
    pub(super) fn reminders(&self) -> impl Iterator<Item = Reminded> + '_ {
        self.reminded.iter().flat_map(|(((vendor, license, feature), of), (end, said))| {
            said.iter().map(|what| Reminded {
                vendor: vendor.clone(),
                feature: feature.clone(),
                license: license.clone(),
                of: *of,
                end: *end,
                what: *what,
            })
        })
    }
}
