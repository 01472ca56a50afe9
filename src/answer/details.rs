//! The details of a denial as JSON: everything needed to act on it, as far as the reader may see it (S4, S84).

use seats::denial::{Denial, Due, Numbers, Subject};
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

fn details(subject: &Subject, sees_all: bool) -> report::Denial {
    let holder = |h: &seats::denial::Holder| report::Holder {
        session: h.session.to_string(),
        user: h.user.to_string(),
        host: h.host.to_string(),
        count: h.count,
        since: h.since_unix_ms.map(rfc3339),
    };
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
        due: subject.due.map(|due| match due {
            Due::Day(day) => report::Due::Day(day),
            Due::LeaseEnds(ms) => report::Due::InSeconds(ms.div_ceil(1000)),
        }),
        recovering: subject.recovering,
        holders: (sees_all && !subject.holders.is_empty())
            .then(|| subject.holders.iter().map(holder).collect()),
        ..Default::default()
    }
}

fn numbers(n: &Numbers) -> report::Numbers {
    report::Numbers {
        total: n.total.limited().map(u64::from),
        used: n.used,
        free: n.free(),
        held: n.held,
        reserved: n.reserved,
        suspect: n.suspect,
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

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
