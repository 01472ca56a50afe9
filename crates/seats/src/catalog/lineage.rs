//! Which renewals belong to a license, and which licenses it stands in for (rules 3, 6.9 and 6.10; L52).
//!
//! A renewal names its license by vendor, feature and SN. A license that replaces others has their renewals too, and the day of
//! their first checkout, also where the files of those others are gone and only their SN is left in its REPLACES.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Catalog, content_order};
use crate::license::{KeyType, License, Name, Replaces, StartTrigger};

/// What a license has from others.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// The renewals that extend its maintenance, its own and those of what it replaces; sorted by content.
    pub renewals: Vec<Arc<License>>,
    /// The serial numbers, or `#` and the fingerprint, of what it replaces, directly or through others; sorted.
    pub inherits: Vec<Arc<str>>,
}

/// What was found for one license of the catalog.
pub(super) enum Found {
    /// It has something from others.
    Lineage(Lineage),
    /// It is a renewal, of these.
    Renews(Vec<Arc<License>>),
}

/// Index of a feature, and of a license in it.
type At = (usize, usize);

/// What a license replaces.
struct Ancestor {
    /// Its SN, or `#` and its fingerprint, which no renewal names.
    identity: Arc<str>,
    /// Index of its feature, where its file is there.
    feature: Option<usize>,
}

struct Search<'c> {
    catalog: &'c Catalog,
    /// Licenses that stand for a pool, by vendor and SN.
    by_sn: BTreeMap<(&'c Name, &'c str), Vec<At>>,
    by_key: BTreeMap<&'c str, Vec<At>>,
    /// Licenses that replace another by its SN, by vendor and that SN.
    heirs: BTreeMap<(&'c Name, &'c str), Vec<At>>,
    /// Renewals, by vendor and the SN they name.
    renewals: BTreeMap<(&'c Name, &'c str), Vec<At>>,
}

/// Whether any of this matters to a license.
pub(super) fn concerns(license: &License) -> bool {
    let trigger = license.carried.maintenance.as_deref().map(|given| given.trigger);
    license.key_type == KeyType::Maintenance || trigger == Some(StartTrigger::FirstCheckout)
}

/// What each license of a catalog has from others, or renews; those with nothing to say are left out.
pub(super) fn find(catalog: &Catalog) -> Vec<(usize, usize, Found)> {
    let search = Search::new(catalog);
    let mut found = Vec::new();
    for (feature, of) in catalog.features.iter().enumerate() {
        for (at, license) in of.licenses.iter().enumerate().filter(|(at, _)| of.can_count(*at)) {
            let what = match license.key_type {
                KeyType::Upgrade => continue,
                KeyType::Maintenance => Found::Renews(search.renewed_by((feature, at))),
                _ => Found::Lineage(search.lineage((feature, at))),
            };
            let is_something = match &what {
                Found::Renews(licenses) => !licenses.is_empty(),
                Found::Lineage(has) => !has.renewals.is_empty() || !has.inherits.is_empty(),
            };
            if is_something {
                found.push((feature, at, what));
            }
        }
    }
    found
}

impl<'c> Search<'c> {
    fn new(catalog: &'c Catalog) -> Search<'c> {
        let (by_sn, by_key, heirs, renewals) = <_>::default();
        let mut search = Search { catalog, by_sn, by_key, heirs, renewals };
        for (feature, of) in catalog.features.iter().enumerate() {
            for (at, license) in of.licenses.iter().enumerate().filter(|(at, _)| of.can_count(*at)) {
                search.note((feature, at), license);
            }
        }
        search
    }

    fn note(&mut self, here: At, license: &'c License) {
        let vendor = &license.vendor;
        match license.key_type {
            KeyType::Upgrade => {}
            KeyType::Maintenance => {
                if let Some(sn) = license.renews() {
                    self.renewals.entry((vendor, sn)).or_default().push(here);
                }
            }
            KeyType::Exclusive | KeyType::Additive | KeyType::Token => {
                if let Some(sn) = license.sn.as_deref() {
                    self.by_sn.entry((vendor, sn)).or_default().push(here);
                }
                if let Some(signed) = &license.signed {
                    self.by_key.entry(&*signed.key).or_default().push(here);
                }
                if let (Some(Replaces::Sn(sn)), Some(_)) = (license.replaces(), license.issued) {
                    self.heirs.entry((vendor, sn)).or_default().push(here);
                }
            }
        }
    }

    fn license(&self, (feature, at): At) -> &'c Arc<License> {
        &self.catalog.features[feature].licenses[at]
    }

    fn lineage(&self, of: At) -> Lineage {
        let own = self.license(of);
        let mut renewals: Vec<At> = Vec::new();
        let mut inherits: BTreeSet<Arc<str>> = BTreeSet::new();
        // Renewals of a license itself are of its own feature.
        renewals.extend(self.named(own, own.sn.as_deref()).into_iter().filter(|at| at.0 == of.0));
        for Ancestor { identity, feature } in self.replaced(of) {
            let of_it = self.named(own, Some(&identity)).into_iter();
            renewals.extend(of_it.filter(|at| feature.is_none_or(|feature| at.0 == feature)));
            inherits.insert(identity);
        }
        renewals.sort_unstable();
        renewals.dedup();
        let mut renewals: Vec<Arc<License>> =
            renewals.into_iter().map(|at| self.license(at).clone()).collect();
        renewals.sort_by(|a, b| content_order(a).cmp(&content_order(b)));
        Lineage { renewals, inherits: inherits.into_iter().collect() }
    }

    /// The renewals that name an SN of the vendor of a license.
    fn named(&self, of: &License, sn: Option<&str>) -> Vec<At> {
        sn.and_then(|sn| self.renewals.get(&(&of.vendor, sn)).cloned()).unwrap_or_default()
    }

    /// What a license replaces, directly or through others.
    fn replaced(&self, of: At) -> Vec<Ancestor> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::from([of]);
        let mut open = Vec::from([of]);
        while let Some(next) = open.pop() {
            let license = self.license(next);
            let (Some(replaces), Some(issued)) = (license.replaces(), license.issued) else { continue };
            for at in self.targets(license, replaces) {
                let target = self.license(at);
                if target.issued.is_none_or(|earlier| earlier < issued) && seen.insert(at) {
                    found.push(Ancestor { identity: target.identity(), feature: Some(at.0) });
                    open.push(at);
                }
            }
            if let Replaces::Sn(sn) = replaces
                && !self.by_sn.contains_key(&(&license.vendor, sn))
            {
                // Its file is gone, and what was sold with it is not.
                found.push(Ancestor { identity: Arc::from(&**sn), feature: None });
            }
        }
        found
    }

    fn targets(&self, license: &License, replaces: &Replaces) -> Vec<At> {
        match replaces {
            Replaces::Sn(sn) => self.by_sn.get(&(&license.vendor, &**sn)).cloned().unwrap_or_default(),
            Replaces::Key(key) => {
                let of_key = self.by_key.get(&**key).cloned().unwrap_or_default();
                of_key.into_iter().filter(|at| self.license(*at).vendor == license.vendor).collect()
            }
            Replaces::Feature(name) => {
                let Some(feature) = self.catalog.index_of(&license.vendor, name) else { return Vec::new() };
                let of = &self.catalog.features[feature];
                let has_pool = |at: &usize| {
                    let kind = of.licenses[*at].key_type;
                    of.can_count(*at) && !matches!(kind, KeyType::Upgrade | KeyType::Maintenance)
                };
                (0..of.licenses.len()).filter(has_pool).map(|at| (feature, at)).collect()
            }
        }
    }

    /// The licenses that a renewal extends: of its own feature that with the SN it names; else those that replace it by that SN.
    fn renewed_by(&self, renewal: At) -> Vec<Arc<License>> {
        let license = self.license(renewal);
        let Some(sn) = license.renews() else { return Vec::new() };
        let key = (&license.vendor, sn);
        let of = |index: &BTreeMap<(&Name, &str), Vec<At>>| index.get(&key).cloned().unwrap_or_default();
        let mut renewed = of(&self.by_sn);
        renewed.retain(|at| at.0 == renewal.0);
        if renewed.is_empty() {
            renewed = of(&self.heirs);
        }
        renewed.into_iter().map(|at| self.license(at).clone()).collect()
    }
}
