//! How seats add up (S6), in each feature and pool of a status, and between features, pools, sessions and the queue.

use serde_json::Value;

use super::{features, number, sessions, text};
use crate::outputs::Told;

/// What does not add up.
pub(crate) fn broken(told: &Told) -> Vec<String> {
    let mut wrong = Vec::new();
    for feature in features(told) {
        let name = format!("{}/{}", text(feature, "vendor"), text(feature, "name"));
        let mut must = |what: &str, is: bool| {
            if !is {
                wrong.push(format!("{name}: {what}: {feature}"));
            }
        };
        for (of, part) in
            [("feature", feature)].into_iter().chain(pools(feature).map(|pool| (text(pool, "id"), pool)))
        {
            let is_bounded = part["unlimited"] == false;
            let n = |member: &str| number(part, member);
            must(&format!("{of}: used"), n("used") == n("active") + n("suspect") + n("borrowed"));
            must(&format!("{of}: unlimited is null"), is_bounded == part["total"].is_u64());
            if is_bounded {
                let taken = n("used") + n("held");
                must(&format!("{of}: free"), n("free") == n("total").saturating_sub(taken + n("reserved")));
                must(&format!("{of}: over"), n("over") == taken.saturating_sub(n("total")));
            } else {
                must(&format!("{of}: free without bound"), part["free"].is_null() && n("over") == 0);
            }
        }
        // Tokens that are out are no seats.
        let seats = || pools(feature).filter(|pool| pool["key_type"] != "TOKEN");
        let sum = |member: &str| seats().map(|pool| number(pool, member)).sum::<u64>();
        for member in ["used", "active", "suspect", "borrowed", "held"] {
            must(&format!("{member} of its pools"), number(feature, member) == sum(member));
        }
        let tokens: u64 =
            pools(feature).filter(|pool| pool["key_type"] == "TOKEN").map(|pool| number(pool, "used")).sum();
        must("tokens", feature["tokens"].as_u64().unwrap_or(0) == tokens);
        let is_bounded = feature["unlimited"] == false;
        if is_bounded {
            must("total of its pools", number(feature, "total") == sum("total"));
            let parts = number(feature, "base") + number(feature, "upgrades") + number(feature, "additives");
            must("base, upgrades and additives", number(feature, "total") == parts);
        }
        for pool in pools(feature) {
            let mine = || sessions(told, feature).filter(|s| s["pool"] == pool["id"]);
            let id = text(pool, "id");
            let is_shared = pool["share"].as_array().is_some_and(|share| !share.is_empty());
            let of =
                |state: &str| mine().filter(|s| s["state"] == state).map(|s| number(s, "count")).sum::<u64>();
            let all: u64 = mine().map(|s| number(s, "count")).sum();
            if is_shared {
                must(&format!("{id}: sessions that share"), number(pool, "used") <= all);
            } else {
                must(&format!("{id}: its sessions"), number(pool, "used") == all);
                for state in ["active", "suspect", "borrowed"] {
                    must(&format!("{id}: its {state} sessions"), number(pool, state) == of(state));
                }
            }
            let in_force = pool["licenses"].as_array().into_iter().flatten();
            let granted: Option<u64> = in_force
                .clone()
                .filter(|l| l["state"] == "in_force" && l["key_type"] != "MAINTENANCE")
                .map(|l| l["count"].as_u64())
                .sum();
            if pool["unlimited"] == false {
                must(&format!("{id}: its licenses"), granted == pool["total"].as_u64());
            }
        }
        let queue = told.queue["queue"].as_array().expect("a queue").iter();
        let waits = queue.filter(|waiter| waiter["state"] != "served").filter(|waiter| {
            waiter["features"].as_array().into_iter().flatten().any(|wanted| {
                let vendor = &wanted["vendor"];
                text(wanted, "feature").eq_ignore_ascii_case(text(feature, "name"))
                    && (vendor.is_null() || vendor == &feature["vendor"])
            })
        });
        must("who waits", number(feature, "queued") == waits.count() as u64);
    }
    wrong
}

fn pools(feature: &Value) -> impl Iterator<Item = &Value> {
    feature["pools"].as_array().into_iter().flatten()
}
