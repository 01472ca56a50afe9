//! `why`: what would happen to somebody and which rule decides, from the wire and back (S53).

use std::sync::Arc;

use seats::denial::Code;
use seats::ledger::{Explanation, Verdict};
use seats::policy::Access;
use seats::request::{Checkout, Facts};
use wire::request;

use super::details::{details, holder, key_type, numbers, rule, to_json};
use super::{BadField, Peer, bad, check_text, common};
use crate::clock::rfc3339;
use crate::engine::ask::Request;
use crate::report;

/// Turns a question of the wire into one of the ledger. Whoever may not see everything may ask only if the policy lets
/// the one who asks (S50, S84): the engine finds that out, by what is stated about him.
///
/// # Errors
/// A field is out of bounds.
pub fn why(message: request::Why, peer: &Peer) -> Result<Request, BadField> {
    let request::Why { vendor, feature, count, facts, share, address, asker_user, asker_host, .. } = message;
    let address = match address.as_deref() {
        None | Some("") => None,
        Some(text) => {
            check_text("address", text)?;
            Some(text.parse().map_err(|_| bad("address", format!("{text} is no IP address")))?)
        }
    };
    check_text("asker_user", &asker_user)?;
    check_text("asker_host", &asker_host)?;
    let item = request::Item { vendor, feature, count };
    let Checkout { items, facts, pid, .. } = common([0; 16], [0; 16], vec![item], facts, share, peer)?;
    let asker = (!peer.sees_all).then(|| {
        Arc::new(Facts { user: asker_user.into(), host: asker_host.into(), ..Facts::clone(&facts) })
    });
    let facts = Arc::new(Facts { address, ..Facts::clone(&facts) });
    let checkout = Checkout { key: [0; 16], secret: [0; 16], booking: None, items, facts, pid, lend: None };
    Ok(Request::Why(Box::new(checkout), asker))
}

/// The answer as JSON.
pub(super) fn json(explanation: &Explanation, facts: &Facts, tick: u64, unix_ms: i64) -> String {
    let e = explanation;
    let free_at = |until: u64| {
        let ms = i64::try_from(until.saturating_sub(tick)).unwrap_or(i64::MAX);
        rfc3339(unix_ms.saturating_add(ms))
    };
    let denial = match &e.verdict {
        Verdict::Denied(denial) => Some(denial),
        Verdict::Granted(..) => None,
    };
    let (pool, soft_limit) = match &e.verdict {
        Verdict::Granted(pool, soft_limit) => (Some(pool.0.to_string()), *soft_limit),
        Verdict::Denied(_) => (None, false),
    };
    to_json(&report::Why {
        schema: report::SCHEMA,
        feature: e.feature.to_string(),
        vendor: e.vendor.as_ref().map(|vendor| vendor.as_str().into()),
        user: facts.user.to_string(),
        host: facts.host.to_string(),
        granted: pool.is_some(),
        pool,
        soft_limit,
        code: denial.map(|denial| denial.code.as_str().into()),
        message: denial.map(|denial| denial.message.clone()),
        details: denial.and_then(|denial| denial.subject.as_ref()).map(|subject| details(subject, true)),
        rule: match denial {
            Some(denial) => denial.subject.as_ref().and_then(|subject| subject.rule.as_ref()).map(rule),
            None => e.access.1.as_ref().map(rule),
        },
        not_stated: not_stated(facts),
        access: match e.access.0 {
            Access::Allow => "allow".into(),
            Access::Deny => "deny".into(),
        },
        access_rule: e.access.1.as_ref().map(rule),
        limits: (e.limits.iter())
            .map(|limit| report::Limit {
                whose: limit.whose.clone(),
                seats: limit.seats,
                used: limit.used,
                rule: Some(rule(&limit.rule)),
            })
            .collect(),
        reservations: (e.reservations.iter())
            .map(|r| report::Reservation {
                rule: r.rule.as_ref().map(rule),
                seats: r.seats,
                honored: r.honored,
                used: r.used,
                for_him: r.is_meant,
            })
            .collect(),
        pools: (e.pools.iter())
            .map(|pool| report::WhyPool {
                id: pool.pool.0.to_string(),
                key_type: key_type(&pool.kind).into(),
                place: report::Place { file: pool.place.file.to_string(), line: pool.place.line, text: None },
                numbers: numbers(&pool.numbers),
                code: pool.failure.as_ref().map(|(code, _): &(Code, String)| code.as_str().into()),
                message: pool.failure.as_ref().map(|(_, text)| text.clone()),
            })
            .collect(),
        holders: e.holders.iter().map(holder).collect(),
        held: (e.holds.iter())
            .map(|held| report::HeldSeats {
                user: held.user.to_string(),
                host: held.host.to_string(),
                seats: held.seats,
                free_at: free_at(held.until),
            })
            .collect(),
    })
}

/// The facts that nothing was said about.
fn not_stated(facts: &Facts) -> Vec<String> {
    let is_empty = |text: &Option<Box<str>>| text.as_deref().is_none_or(str::is_empty);
    let facts = [
        ("host", facts.host.is_empty()),
        ("address", facts.address.is_none()),
        ("platform", facts.platform.is_empty()),
        ("project", is_empty(&facts.project)),
        ("version", is_empty(&facts.release_version)),
        ("release_date", is_empty(&facts.release_date)),
    ];
    facts.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name.to_owned()).collect()
}
