//! Which releases the seats of a feature cover, in words (rules 3, 6.7.5 and 6.16).

use crate::report::{Feature, License, Maintenance, Pool};

/// A paragraph for each feature whose licenses say something of versions: seats by the last release day they cover, those that
/// cover most first. Empty where there is nothing to say, or the reader may not see pools.
pub(super) fn lines(features: &[Feature]) -> Vec<String> {
    features.iter().filter_map(line).collect()
}

fn line(feature: &Feature) -> Option<String> {
    let mut pools: Vec<(&Pool, &Maintenance)> =
        feature.pools.iter().filter_map(|pool| Some((pool, pool.maintenance.as_ref()?))).collect();
    // What owns its version alone, and nothing else is known of, is no news.
    if pools.iter().all(|(_, m)| m.state == "NONE" && m.license_type == "PERPETUAL") {
        return None;
    }
    let covers_most = |(_, m): &(&Pool, &Maintenance)| (m.state != "UNLIMITED", std::cmp::Reverse(m.end));
    pools.sort_by_key(covers_most);
    let parts: Vec<String> = pools.iter().map(|(pool, m)| part(pool, m)).collect();
    Some(format!("{}: {}", super::show::name(Some(&feature.vendor), &feature.name), parts.join("; ")))
}

/// What ends soon or has ended, the first end first.
pub(super) fn notices(features: &[Feature]) -> Vec<String> {
    let mut all: Vec<_> = features.iter().flat_map(|feature| &feature.notices).collect();
    all.sort_by_key(|notice| notice.end);
    all.into_iter().map(|notice| super::table::clean(&notice.message)).collect()
}

/// `10 seats cover releases to 2027-12-31 (7 used)`.
fn part(pool: &Pool, maintenance: &Maintenance) -> String {
    let n = match pool.numbers.total {
        _ if pool.key_type == "TOKEN" => "tokens".to_owned(),
        Some(1) => "1 seat".to_owned(),
        Some(n) => format!("{n} seats"),
        None => "unlimited seats".to_owned(),
    };
    let highest = match &pool.highest_version {
        Some(version) => format!(", highest version seen {version}"),
        None => String::new(),
    };
    format!("{n} {} ({} used{highest})", standing(maintenance), pool.numbers.used)
}

/// How maintenance stands, after the seats it is about.
pub(super) fn standing(m: &Maintenance) -> String {
    let version = m.fallback_version.as_deref().unwrap_or("its fallback version");
    match (m.license_type.as_str(), m.state.as_str(), m.end) {
        ("EVALUATION", ..) => "on trial, for every version".to_owned(),
        _ if m.is_fallback => format!("for {version} and its patches, the subscription is over"),
        (_, "UNLIMITED", _) => "cover all releases".to_owned(),
        (_, "NOT_STARTED", Some(end)) => format!("will cover releases to {end}, maintenance has not begun"),
        (_, "PENDING_FIRST_CHECKOUT", _) => {
            "cover releases from their first checkout on, which is yet to come".to_owned()
        }
        (_, _, Some(end)) => {
            let left = match m.days_left {
                Some(0) => ", the last day".to_owned(),
                Some(1) => ", 1 day left".to_owned(),
                Some(days @ 2..=60) => format!(", {days} days left"),
                Some(..0) => ", ended".to_owned(),
                _ => String::new(),
            };
            format!("cover releases to {end}{left}")
        }
        _ => "for the version they own, without maintenance".to_owned(),
    }
}

/// What a license that counts says of versions beside VERSION, for `explain`.
pub(super) fn of_license(license: &License) -> Option<String> {
    let m = license.maintenance.as_ref()?;
    if m.state == "NONE" && m.license_type == "PERPETUAL" {
        return None;
    }
    let mut text = match m.license_type.as_str() {
        "PERPETUAL" => String::new(),
        other => format!("{other}, "),
    };
    text += &standing(m).replacen("cover ", "covers ", 1);
    if let Some(updates) = m.updates.as_deref().filter(|updates| *updates != "MAJOR") {
        text += &format!(", MAINTENANCE_UPDATES {updates}");
    }
    if let Some(max) = &m.max_version {
        text += &format!(", MAX_VERSION {max}");
    }
    if let Some(first) = m.first_checkout {
        text += &format!(", first checkout {first}");
    }
    Some(text)
}
