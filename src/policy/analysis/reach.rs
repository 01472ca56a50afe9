//! What a rule can ever match: which of the features that there are licenses for, and how many users, hosts and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use seats::catalog::Catalog;
use seats::license::Name;
use seats::policy::{self, Members, Rule, RuleSet};

use super::{members, size};

/// How many features are named.
const SHOWN: usize = 3;

/// What a rule can match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// How many features there are accepted licenses for.
    pub features: usize,
    /// The first of them, with their vendors.
    pub first_features: Vec<String>,
    /// Features that the rule names and no accepted license has.
    pub missing: Vec<String>,
    /// Whether it is for all features, also those to come.
    pub is_for_all_features: bool,
    /// How many users are named, by the rule and in its groups; one named twice counts twice. `None`: any user.
    pub users: Option<usize>,
    /// Hosts, likewise.
    pub hosts: Option<usize>,
    /// Ranges of addresses, likewise.
    pub addresses: Option<usize>,
    /// Projects, likewise.
    pub projects: Option<usize>,
}

impl Reach {
    fn kinds(&self) -> [(Option<usize>, &'static str); 4] {
        [
            (self.users, "user(s)"),
            (self.hosts, "host(s)"),
            (self.addresses, "range(s) of addresses"),
            (self.projects, "project(s)"),
        ]
    }

    /// Whether it can match anybody for anything.
    pub fn is_possible(&self) -> bool {
        (self.features > 0 || self.is_for_all_features)
            && self.kinds().iter().all(|(count, _)| *count != Some(0))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.features {
            0 => f.write_str("no feature")?,
            count if count <= SHOWN => f.write_str(&self.first_features.join(", "))?,
            count => write!(f, "{} and {} more", self.first_features.join(", "), count - SHOWN)?,
        }
        let named: Vec<String> = (self.kinds().iter())
            .filter_map(|(count, kind)| count.map(|count| format!("{count} {kind}")))
            .collect();
        match named.is_empty() {
            true => f.write_str("; everyone"),
            false => write!(f, "; {} named", named.join(", ")),
        }
    }
}

/// The features that there are accepted licenses for, by name.
pub(super) struct Features {
    vendors: BTreeMap<Name, Vec<Name>>,
    count: usize,
}

impl Features {
    pub(super) fn new(catalog: &Catalog) -> Features {
        let mut features = Features { vendors: BTreeMap::new(), count: 0 };
        for feature in catalog.features().iter().filter(|feature| feature.has_good_license()) {
            features.vendors.entry(feature.feature.clone()).or_default().push(feature.vendor.clone());
            features.count += 1;
        }
        features
    }
}

pub(super) fn of(rule: &Rule, rules: &RuleSet, features: &Features) -> Reach {
    let mut reach = Reach::default();
    let shown = |vendor: &Name, feature: &Name| match vendor.as_str() {
        "" => feature.to_string(),
        vendor => format!("{feature} ({vendor})"),
    };
    match &rule.features {
        policy::Features::All => {
            reach.is_for_all_features = true;
            reach.features = features.count;
            let all = features.vendors.iter().flat_map(|(f, vendors)| vendors.iter().map(move |v| (v, f)));
            reach.first_features = all.take(SHOWN).map(|(v, f)| shown(v, f)).collect();
        }
        policy::Features::Named(named) => {
            let mut found = BTreeSet::new();
            for (vendor, feature) in named {
                let vendors = features.vendors.get(feature).map_or(&[][..], Vec::as_slice);
                let before = found.len();
                let meant = vendors.iter().filter(|v| vendor.as_ref().is_none_or(|vendor| vendor == *v));
                let mut is_there = false;
                for of in meant {
                    is_there = true;
                    found.insert((of, feature));
                }
                if !is_there {
                    reach.missing.push(match vendor {
                        Some(vendor) => format!("{vendor}/{feature}"),
                        None => feature.to_string(),
                    });
                } else if reach.first_features.len() < SHOWN && found.len() > before {
                    reach.first_features = found.iter().take(SHOWN).map(|(v, f)| shown(v, f)).collect();
                }
            }
            reach.features = found.len();
        }
    }
    let who = &rule.who;
    let own = [who.users.len(), who.hosts.len(), who.addresses.len(), who.projects.len()];
    let mut named = own.map(|count| (count > 0).then_some(count));
    for members in members(rules, &who.groups) {
        *named[kind(members)].get_or_insert(0) += size(members);
    }
    [reach.users, reach.hosts, reach.addresses, reach.projects] = named;
    reach
}

fn kind(members: &Members) -> usize {
    match members {
        Members::Users(_) => 0,
        Members::Hosts(_) => 1,
        Members::Addresses(_) => 2,
        Members::Projects(_) => 3,
    }
}

/// What is wrong with what a rule can match.
pub(super) fn warning(rule: &Rule, rules: &RuleSet, reach: &Reach, catalog: &Catalog) -> Option<String> {
    if reach.features == 0 && !reach.is_for_all_features {
        let similar = reach.missing.first().map_or_else(Vec::new, |name| {
            let bare = name.split_once('/').map_or(name.as_str(), |(_, feature)| feature);
            catalog.similar(bare)
        });
        let hint =
            if similar.is_empty() { String::new() } else { format!("; there is {}", similar.join(", ")) };
        return Some(format!("never matches: no license has {}{hint}", some(&reach.missing)));
    }
    if !reach.is_possible() {
        let empty: Vec<String> = (rule.who.groups.iter().map(|id| &rules.groups[id.0 as usize]))
            .filter(|group| size(&group.members) == 0)
            .map(|group| group.name.to_string())
            .collect();
        return Some(format!("never matches: group {} is empty", some(&empty)));
    }
    (!reach.missing.is_empty()).then(|| format!("no license has {}", some(&reach.missing)))
}

fn some(names: &[String]) -> String {
    let first = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}
