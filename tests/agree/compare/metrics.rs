//! `/metrics`, by docs/monitoring/README.md.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Differences, features, text, unix};
use crate::outputs::Told;

/// A family with its labels, in the order of their names.
type Series = (String, BTreeMap<String, String>);

pub(crate) fn compare(told: &Told, out: &str, found: &mut Differences) -> Result<(), String> {
    let here = parse(out)?;
    let mut there: BTreeMap<Series, f64> = BTreeMap::new();
    for feature in features(told) {
        let label = |name: &str, member: &str| (name.to_owned(), text(feature, member).to_owned());
        let labels =
            BTreeMap::from([label("app", "vendor"), label("name", "name"), label("version", "version")]);
        let mut add = |family: &str, value: Option<f64>| {
            if let Some(value) = value {
                there.insert((format!("seatkeeper_feature_{family}"), labels.clone()), value);
            }
        };
        for (family, member) in [
            ("issued", "total"),
            ("upgrade_issued", "upgrades"),
            ("used", "used"),
            ("free", "free"),
            ("suspect", "suspect"),
            ("held", "held"),
            ("borrowed", "borrowed"),
            ("reserved", "reserved"),
            ("queued", "queued"),
            // As long as the server is younger than a day.
            ("denials_total", "denials_24h"),
        ] {
            add(family, Some(feature[member].as_f64().unwrap_or(f64::INFINITY)));
        }
        add("expiration_seconds", Some(ends(told, feature)));
        let maintenance = feature["maintenance_ends"].as_str();
        add("maintenance_end_seconds", maintenance.map(|day| maintained_until(told, feature, day)));
    }
    for license in told.licenses["licenses"].as_array().expect("licenses") {
        let label = |name: &str| (name.to_owned(), text(license, name).to_owned());
        let labels = BTreeMap::from([label("state"), label("reason")]);
        *there.entry(("seatkeeper_licenses".into(), labels)).or_default() += 1.0;
    }
    let server = &told.status["server"];
    let mut single = |family: &str, value: f64| {
        there.insert((family.to_owned(), BTreeMap::new()), value);
    };
    let sessions = told.status["sessions"].as_array().expect("sessions").len();
    single("seatkeeper_sessions", f64::from(u32::try_from(sessions).expect("few")));
    single("seatkeeper_clock_suspect", f64::from(u8::from(server["clock"] == "suspect")));
    single("seatkeeper_midnight_timestamp_seconds", seconds(text(server, "next_midnight")));
    there.insert(
        (
            "seatkeeper_build_info".into(),
            BTreeMap::from([("version".into(), text(server, "version").to_owned())]),
        ),
        1.0,
    );
    // Nothing is missing, and of these families there is nothing more.
    let is_shared = |family: &str| {
        family.starts_with("seatkeeper_feature_") || there.keys().any(|(shared, _)| shared == family)
    };
    let here: BTreeMap<Series, f64> = here.into_iter().filter(|((family, _), _)| is_shared(family)).collect();
    for series in here.keys().chain(there.keys()) {
        found.same(&format!("{series:?}"), &there.get(series), &here.get(series));
    }
    Ok(())
}

/// When it no longer counts; of one that has ended, or not begun, when the license that ends last does.
fn ends(told: &Told, feature: &Value) -> f64 {
    if let Some(at) = feature["ends_at"].as_str() {
        return seconds(at);
    }
    let licenses = told.licenses["licenses"].as_array().expect("licenses").iter();
    let mut of_that_day = licenses.filter(|l| {
        l["vendor"] == feature["vendor"] && l["feature"] == feature["name"] && l["end"] == feature["end"]
    });
    let has_none = feature["total"] == 0 && feature["end"].is_string();
    match of_that_day.find_map(|l| l["ends_at"].as_str()) {
        Some(at) if has_none => seconds(at),
        _ => f64::INFINITY,
    }
}

/// The first instant after a day of maintenance: no document says it, so by hand where one is known.
fn maintained_until(told: &Told, feature: &Value, day: &str) -> f64 {
    let zone = text(&told.status["server"], "time_zone");
    match (zone, day) {
        ("Europe/Berlin", "2030-08-15") => seconds("2030-08-15T22:00:00Z"),
        other => panic!("say here when {other:?} is over: {feature}"),
    }
}

#[allow(clippy::cast_precision_loss, reason = "seconds")]
fn seconds(instant: &str) -> f64 {
    unix(instant) as f64
}

/// Prometheus' text format, as far as it is used.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<Series, f64>, String> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let wrong = || format!("no sample: {line}");
        let (series, value) = line.rsplit_once(' ').ok_or_else(wrong)?;
        let value: f64 = value.parse().map_err(|_| wrong())?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut labels = labels.strip_suffix('}').ok_or_else(wrong)?;
        let mut pairs = BTreeMap::new();
        while !labels.is_empty() {
            let (label, rest) = labels.split_once("=\"").ok_or_else(wrong)?;
            let (mut text, mut rest) = (String::new(), rest.chars());
            loop {
                match rest.next().ok_or_else(wrong)? {
                    '"' => break,
                    '\\' => match rest.next().ok_or_else(wrong)? {
                        'n' => text.push('\n'),
                        other => text.push(other),
                    },
                    other => text.push(other),
                }
            }
            labels = rest.as_str().trim_start_matches(',');
            pairs.insert(label.to_owned(), text);
        }
        if all.insert((name.to_owned(), pairs), value).is_some() {
            return Err(format!("twice: {line}"));
        }
    }
    Ok(all)
}
