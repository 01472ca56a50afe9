//! What each output must say, by the status of the same instant, and where it says otherwise.
//!
//! Each function takes one text apart by itself. What an output cannot show follows docs/monitoring/COMPATIBILITY.md, "What the
//! numbers mean here": LM-X and lmstat know nothing of held seats (they are in use there), of tokens (in use is what is out) or of
//! suspects (in use).
//!
//! The page at `/` shows what `/api/v1/status` says. Whoever compares its text adds a kind to [`Shows`], a way to read it to
//! `Reader::read` and a function here that takes a [`Told`]; [`people::expected`] has the rows of features and pools that it may
//! start from, by the names of their columns.

pub(crate) mod lmstat;
pub(crate) mod lmx;
pub(crate) mod metrics;
pub(crate) mod people;
pub(crate) mod rules;

use std::fmt::Debug;

use chrono::{DateTime, Duration, NaiveDateTime};
use serde_json::Value;

use crate::outputs::{Shows, Told};

/// How the computer that asks shows instants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    /// From which instant on (RFC 3339; the first from ever) so many minutes ahead of UTC; none: UTC. By hand, not from the code that
    /// is judged.
    pub(crate) ahead: &'static [(&'static str, i64)],
    /// Now, where the clock stands still.
    pub(crate) now: Option<String>,
}

impl Local {
    pub(crate) fn civil(&self, instant: &str) -> NaiveDateTime {
        let at = unix(instant);
        let of = self.ahead.iter().rev().find(|(from, _)| unix(from) <= at).or(self.ahead.first());
        let utc = DateTime::from_timestamp(at, 0).expect("an instant").naive_utc();
        utc + Duration::minutes(of.map_or(0, |(_, minutes)| *minutes))
    }

    /// As `status` tells it to people: `2030-07-01 00:00:00 +02:00`.
    pub(crate) fn told(&self, instant: &str) -> String {
        let civil = self.civil(instant);
        let ahead = (civil.and_utc().timestamp() - unix(instant)) / 60;
        let (sign, minutes) = if ahead < 0 { ('-', -ahead) } else { ('+', ahead) };
        format!("{civil} {sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// Seconds since 1970.
pub(crate) fn unix(instant: &str) -> i64 {
    DateTime::parse_from_rfc3339(instant).unwrap_or_else(|e| panic!("{instant:?}: {e}")).timestamp()
}

/// What was found and should not be; nothing where both agree.
#[derive(Default)]
pub(crate) struct Differences(pub(crate) Vec<String>);

impl Differences {
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, found: &T) {
        if expected != found {
            self.0.push(format!("{what}: {expected:?} by the status, here {found:?}"));
        }
    }
}

/// Where an output says otherwise than the status; one that cannot be taken apart says otherwise, too.
pub(crate) fn differences(shows: Shows, told: &Told, text: &str, local: &Local) -> Vec<String> {
    let mut found = Differences::default();
    let read = match shows {
        Shows::People => people::compare(told, text, local, &mut found),
        Shows::Http => http(told, text, &mut found),
        Shows::Metrics => metrics::compare(told, text, &mut found),
        Shows::Licstat => lmx::compare_text(told, text, local, &mut found),
        Shows::LicstatXml => lmx::compare_xml(told, text, local, &mut found),
        Shows::Lmstat => lmstat::compare_usage(told, text, local, &mut found),
        Shows::Inventory => lmstat::compare_inventory(told, text, &mut found),
    };
    found.0.extend(read.err());
    found.0
}

/// All of them, with the texts.
pub(crate) fn assert_agree(shows: Shows, told: &Told, text: &str, local: &Local) {
    let found = differences(shows, told, text, local);
    assert!(found.is_empty(), "{shows:?}:\n{}\n{:#}\n{text}", found.join("\n"), told.status);
}

/// The same document, to the last member.
fn http(told: &Told, text: &str, found: &mut Differences) -> Result<(), String> {
    let mut here: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut there = told.status.clone();
    // Both were asked at a now of their own.
    forget_what_moves(&mut here);
    forget_what_moves(&mut there);
    for (name, member) in there.as_object().into_iter().flatten() {
        found.same(&format!("/api/v1/status: {name}"), member, &here[name]);
    }
    found.same(
        "/api/v1/status: members",
        &there.as_object().map(|m| m.len()),
        &here.as_object().map(|m| m.len()),
    );
    Ok(())
}

/// Instants that are reckoned from now: a second later they may be another one, though nothing happened.
pub(crate) const MOVING: [&str; 5] = ["last_seen", "suspect_since", "free_at", "reaped_at", "held_until"];

/// Takes out what moves with the clock alone.
pub(crate) fn forget_what_moves(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if MOVING.contains(&name.as_str()) && member.is_string() {
                    *member = "an instant".into();
                }
                forget_what_moves(member);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget_what_moves),
        _ => {}
    }
}

/// The features of a status.
pub(crate) fn features(told: &Told) -> impl Iterator<Item = &Value> {
    told.status["features"].as_array().expect("features").iter()
}

/// The sessions of one of them, oldest first.
pub(crate) fn sessions<'a>(told: &'a Told, feature: &'a Value) -> impl Iterator<Item = &'a Value> {
    let all = told.status["sessions"].as_array().expect("sessions").iter();
    all.filter(|s| s["vendor"] == feature["vendor"] && s["feature"] == feature["name"])
}

pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

pub(crate) fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("{member} of {value}"))
}

/// What both old outputs call in use: used + held; of a token, what is out.
pub(crate) fn in_use(feature: &Value) -> u64 {
    match is_token(feature) {
        true => number(feature, "tokens"),
        false => number(feature, "used") + number(feature, "held"),
    }
}

/// What both old outputs call the total; `None`: without bound.
pub(crate) fn total(feature: &Value) -> Option<u64> {
    feature["total"].as_u64().filter(|_| !is_token(feature))
}

pub(crate) fn is_token(feature: &Value) -> bool {
    !feature["tokens"].is_null() && feature["total"] == 0 && feature["used"] == 0
}

/// A version as the old outputs write it.
pub(crate) fn version(value: &Value) -> String {
    match value.as_str().unwrap_or("0.0") {
        whole if !whole.contains('.') => format!("{whole}.0"),
        other => other.to_owned(),
    }
}

/// What a client stated, as one word.
pub(crate) fn word(stated: &str, instead: char, is_host: bool) -> String {
    let is_bad = |c: char| {
        let is_mark = ['\u{200b}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{2028}'].contains(&c);
        c.is_whitespace() || c.is_control() || is_mark || (is_host && "@[]()/".contains(c))
    };
    stated.chars().map(|c| if is_bad(c) { instead } else { c }).collect()
}

/// The vendor, where none may be empty.
pub(crate) fn vendor(feature: &Value) -> &str {
    Some(text(feature, "vendor")).filter(|vendor| !vendor.is_empty()).unwrap_or("unsigned")
}

/// What stands between two marks: the rest of the text is what follows the second.
pub(crate) fn between<'a>(text: &mut &'a str, before: &str, after: &str) -> Result<&'a str, String> {
    let rest = text.strip_prefix(before).ok_or_else(|| format!("{before:?} is not at {:?}", head(text)))?;
    let (found, rest) =
        rest.split_once(after).ok_or_else(|| format!("{after:?} is not in {:?}", head(rest)))?;
    *text = rest;
    Ok(found)
}

fn head(text: &str) -> String {
    text.chars().take(80).collect()
}
