//! The details of a denial as JSON: everything needed to act on it, as far as the reader may see it (S4, S84).

use std::borrow::Cow;

use seats::change::PoolKind;
use seats::denial::{Denial, Due, Numbers, RuleFact, Subject};
use seats::license::Name;

use crate::clock::rfc3339;
use crate::report;

/// The JSON text of a denial's details; empty where there is nothing to add.
/// `sees_all`: the reader may see users, hosts and files.
pub fn denial_details(denial: &Denial, sees_all: bool) -> String {
    match (&denial.subject, denial.ended) {
        (Some(subject), _) => to_json(&details(subject, sees_all)),
        (None, Some(session)) => to_json(&report::Denial {
            session: Some(session.to_string()),
            ended_at: denial.ended_unix_ms.map(rfc3339),
            ..Default::default()
        }),
        (None, None) => String::new(),
    }
}

/// The sentence of a denial. The rule in it names a file and maybe users: without `sees_all` it is left out (S84).
pub(super) fn sentence(denial: &Denial, sees_all: bool) -> Cow<'_, str> {
    let rule = denial.subject.as_ref().and_then(|subject| subject.rule.as_ref());
    match rule.filter(|_| !sees_all) {
        Some(rule) => {
            let said = format!(" ({}:{}: {})", rule.file, rule.line, rule.text);
            Cow::Owned(denial.message.replace(&said, ""))
        }
        None => Cow::Borrowed(&denial.message),
    }
}

pub(super) fn details(subject: &Subject, sees_all: bool) -> report::Denial {
    report::Denial {
        feature: Some(subject.feature.to_string()),
        vendor: subject.vendor.as_ref().map(|v| v.as_str().to_owned()),
        wanted: Some(subject.wanted),
        numbers: subject.numbers.as_ref().map(numbers),
        place: subject.place.as_ref().filter(|_| sees_all).map(|p| report::Place {
            file: p.file.to_string(),
            line: p.line,
            text: None,
        }),
        due: subject.due.map(due),
        rule: subject.rule.as_ref().filter(|_| sees_all).map(rule),
        limit: subject.limit.as_ref().filter(|_| sees_all).map(|limit| report::Limit {
            whose: limit.whose.to_string(),
            seats: limit.seats,
            used: limit.used,
            rule: None,
        }),
        borrow: subject.borrow.map(|b| report::BorrowAtMost { hours: b.hours, last_day: b.last_day }),
        needed_by: subject.needed_by.as_ref().map(|token| token.to_string()),
        queued_before_you: subject.queued_before_you,
        others: (subject.others.iter())
            .map(|other| report::OtherPool {
                pool: other.pool.0.to_string(),
                key_type: key_type(&other.kind).into(),
                code: other.code.as_str().into(),
                // The sentence may name rules and files.
                message: sees_all.then(|| other.message.clone()),
            })
            .collect(),
        recovering: subject.recovering,
        holders: (sees_all && !subject.holders.is_empty())
            .then(|| subject.holders.iter().map(holder).collect()),
        ..Default::default()
    }
}

pub(super) fn holder(h: &seats::denial::Holder) -> report::Holder {
    report::Holder {
        session: h.session.to_string(),
        user: h.user.to_string(),
        host: h.host.to_string(),
        count: h.count,
        since: h.since_unix_ms.map(rfc3339),
    }
}

pub(super) fn due(due: Due) -> report::Due {
    match due {
        Due::Day(day) => report::Due::Day(day),
        Due::BorrowEnds(unix_s) => report::Due::At(rfc3339(unix_s.saturating_mul(1_000))),
        other => report::Due::InSeconds(other.in_ms().unwrap_or(0).div_ceil(1000)),
    }
}

pub(super) fn rule(rule: &RuleFact) -> report::Place {
    report::Place { file: rule.file.to_string(), line: rule.line, text: Some(rule.text.to_string()) }
}

/// What ends, as JSON says it.
pub(crate) fn ending(of: seats::maintenance::Ending) -> &'static str {
    match of {
        seats::maintenance::Ending::Maintenance => "maintenance",
        seats::maintenance::Ending::Term => "license",
    }
}

/// A pool's kind as JSON shows it.
pub fn key_type(kind: &PoolKind) -> &'static str {
    match kind {
        PoolKind::Exclusive => "EXCLUSIVE",
        PoolKind::Additive(_) => "ADDITIVE",
        PoolKind::Token => "TOKEN",
    }
}

pub(crate) fn numbers(n: &Numbers) -> report::Numbers {
    report::Numbers {
        total: n.total.limited().map(u64::from),
        used: n.used,
        free: n.free(),
        held: n.held,
        reserved: n.reserved,
        suspect: n.suspect,
        borrowed: n.borrowed,
        over: n.over(),
        unlimited: n.total.limited().is_none(),
    }
}

/// The numbers of each feature that a try would have been granted from.
pub(super) fn would_grant(pools: &[(Name, Name, Numbers)]) -> String {
    #[derive(serde::Serialize)]
    struct Feature<'a> {
        vendor: &'a str,
        feature: &'a str,
        #[serde(flatten)]
        numbers: report::Numbers,
    }
    #[derive(serde::Serialize)]
    struct WouldGrant<'a> {
        features: Vec<Feature<'a>>,
    }
    let feature =
        |(vendor, feature, n): &'_ (Name, Name, Numbers)| (vendor.clone(), feature.clone(), numbers(n));
    let owned: Vec<_> = pools.iter().map(feature).collect();
    let features = owned
        .iter()
        .map(|(vendor, feature, n)| Feature {
            vendor: vendor.as_str(),
            feature: feature.as_str(),
            numbers: n.clone(),
        })
        .collect();
    to_json(&WouldGrant { features })
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seats::denial::Code;

    #[test]
    fn a_rule_is_named_to_those_who_may_read_it() {
        let mut denial =
            Denial::new(Code::DeniedByRule, "the policy does not allow it (p.toml:4: deny cad for user eve)");
        let rule = RuleFact { file: "p.toml".into(), line: 4, text: "deny cad for user eve".into() };
        denial.subject = Some(Subject { rule: Some(rule), ..Subject::default() });
        assert_eq!(sentence(&denial, true), denial.message);
        assert_eq!(sentence(&denial, false), "the policy does not allow it");
        assert!(!denial_details(&denial, false).contains("eve"));
    }
}
