//! Reservations, limits and USERBASED or HOSTBASED seats against the totals of a day.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use seats::catalog::{Catalog, FeatureLicenses};
use seats::change::PoolKind;
use seats::evaluate::{Total, evaluate};
use seats::license::Name;
use seats::policy::{Action, Features, Named, Policy, RuleId, RuleSet};
use seats::request::NameRules;

/// What a feature has on the day.
struct Seats {
    /// Over its pools with seats; `None`: unlimited.
    total: Option<u64>,
    /// How many of these can only be used through reservations for users, and for hosts (L63).
    based: [u64; 2],
}

fn seats(feature: &FeatureLicenses, day: NaiveDate) -> Seats {
    let mut seats = Seats { total: Some(0), based: [0; 2] };
    for pool in evaluate(feature, day).pools {
        if pool.kind == PoolKind::Token {
            continue;
        }
        let Total::Limited(total) = pool.total else {
            seats.total = None;
            continue;
        };
        let license = &feature.licenses[pool.license];
        for (of, based) in seats.based.iter_mut().zip([license.user_based(), license.host_based()]) {
            *of += based.map_or(0, |based| based.of(u64::from(total)));
        }
        seats.total = seats.total.map(|sum| sum + u64::from(total));
    }
    seats
}

/// Warnings about rules, and those about licenses.
pub(super) fn warnings(
    rules: &RuleSet,
    catalog: &Catalog,
    day: NaiveDate,
) -> (Vec<(RuleId, String)>, Vec<String>) {
    // Only the rules about seats: the others have nothing to say here.
    let counting: Vec<_> = (0u32..)
        .map(RuleId)
        .zip(&rules.rules)
        .filter(|(_, rule)| matches!(rule.action, Action::Reserve(_) | Action::Limit(..)))
        .collect();
    let alone = RuleSet {
        rules: counting.iter().map(|(_, rule)| (*rule).clone()).collect(),
        groups: rules.groups.clone(),
    };
    let policy = Policy::new(alone, NameRules::default());
    let of_file = |id: RuleId| counting[id.0 as usize].0;
    let (mut short, mut about_licenses) = (BTreeMap::new(), Vec::new());
    let mut totals = Totals::default();
    for feature in catalog.features().iter().filter(|feature| feature.has_good_license()) {
        let seats = seats(feature, day);
        let name = shown(feature);
        let mut left = seats.total;
        let mut kept = [0u64; 2];
        for reservation in policy.of(&feature.vendor, &feature.feature).each_reservation() {
            let wanted = u64::from(reservation.seats);
            let gets = left.map_or(wanted, |left| left.min(wanted));
            left = left.map(|left| left - gets);
            match reservation.named {
                Named::Users => kept[0] += gets,
                Named::Hosts => kept[1] += gets,
                Named::Neither => {}
            }
            if gets < wanted {
                let total = seats.total.unwrap_or(0);
                let text = format!(
                    "reserves {wanted} of {name}, of whose {total} seats today {gets} are left for it"
                );
                // A rule about many features: the first one tells enough.
                short.entry(of_file(reservation.rule)).or_insert(text);
            }
        }
        for ((based, kept), (setting, whom)) in
            seats.based.into_iter().zip(kept).zip([("USERBASED", "users"), ("HOSTBASED", "hosts")])
        {
            if kept < based {
                about_licenses.push(format!(
                    "{name}: {} of {based} {setting} seats are in no reservation for named {whom}: nobody can use them",
                    based - kept
                ));
            }
        }
        totals.add(&feature.vendor, &feature.feature, seats.total);
    }
    let mut about_rules: Vec<(RuleId, String)> = short.into_iter().collect();
    about_rules.extend(counting.iter().filter_map(|(id, rule)| {
        let Action::Limit(limit, _) = rule.action else { return None };
        let largest = totals.largest(&rule.features)?;
        (u64::from(limit) > largest)
            .then(|| (*id, format!("a limit of {limit} is never reached: there are {largest} seats today")))
    }));
    (about_rules, about_licenses)
}

/// The totals of all features; `None`: unlimited.
#[derive(Default)]
struct Totals {
    by_name: BTreeMap<Name, Vec<(Name, Option<u64>)>>,
    largest: Option<Option<u64>>,
}

impl Totals {
    fn add(&mut self, vendor: &Name, feature: &Name, total: Option<u64>) {
        self.by_name.entry(feature.clone()).or_default().push((vendor.clone(), total));
        self.largest = Some(self.largest.map_or(total, |largest| larger(largest, total)));
    }

    /// The largest total of the features that a rule is about; `None` if there is none or one is unlimited.
    fn largest(&self, features: &Features) -> Option<u64> {
        let Features::Named(named) = features else { return self.largest? };
        let totals = named.iter().flat_map(|(vendor, feature)| {
            let of_name = self.by_name.get(feature).map_or(&[][..], Vec::as_slice);
            of_name.iter().filter(move |(of, _)| vendor.as_ref().is_none_or(|vendor| vendor == of))
        });
        totals.map(|(_, total)| *total).reduce(larger)?
    }
}

fn larger(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.max(b?))
}

fn shown(feature: &FeatureLicenses) -> String {
    match feature.vendor.as_str() {
        "" => feature.feature.to_string(),
        vendor => format!("{} ({vendor})", feature.feature),
    }
}
