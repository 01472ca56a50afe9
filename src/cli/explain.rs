//! `explain FEATURE`: a sum that can be checked with a finger, and what comes next (L30).

use std::io::Write;

use super::Failure;
use super::args::ReadOneFeature;
use super::server;
use super::show::{self, name, place};
use super::table::{Lines, seats, wrap};
use crate::report::{Explain, License};

/// `seatkeeper explain FEATURE`.
///
/// # Errors
///
/// As [`server::report`].
pub fn explain(ask: &ReadOneFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "explain", Some(&ask.feature))?;
    show::answer(ask.read.json, whole, out, text)
}

fn text(explain: &Explain) -> String {
    let counts = |l: &&License| l.state == "in_force";
    let mut text =
        wrap(&format!("{} on {}", name(Some(&explain.vendor), &explain.feature), explain.today), 0, 2);
    text.push('\n');
    text += &sum(explain, explain.licenses.iter().filter(counts));
    let others: Vec<&License> = explain.licenses.iter().filter(|l| !counts(l)).collect();
    if !others.is_empty() {
        text += "\ndoes not count today:\n";
    }
    for license in others {
        let why = license.message.as_deref().or(license.reason.as_deref()).unwrap_or("no reason given");
        let reason = license.reason.as_ref().map_or_else(String::new, |r| format!(" ({r})"));
        let what = kind(license).trim();
        let line = format!("{what} {}{}: {why}{reason}", amount(license), identity(license));
        text += &wrap(&line, 2, 4);
    }
    text.push('\n');
    if explain.changes.is_empty() {
        text += "next: nothing; no license begins or ends later\n";
        return text;
    }
    let mut next = Lines::new(&["NEXT", ">TOTAL", "BECAUSE"]);
    for change in &explain.changes {
        let because: Vec<String> = (change.licenses.iter())
            .map(|changed| {
                let what = explain.licenses.iter().find(|l| l.sn.is_some() && l.sn == changed.sn);
                let what = what.map_or_else(
                    || changed.sn.clone().unwrap_or_else(|| "a license".into()),
                    |l| format!("{} {}, {}", kind(l).trim(), amount(l), mark(l)),
                );
                let how = match (changed.state.as_str(), &changed.reason) {
                    ("in_force", _) => "counts from then on".to_owned(),
                    (_, Some(reason)) => format!("no longer counts: {reason}"),
                    (state, None) => state.to_owned(),
                };
                format!("{what}: {how}")
            })
            .collect();
        let total = seats(change.total, change.total.is_none());
        next.row([change.day.to_string(), total, because.join("\n")]);
    }
    text + &next.text()
}

/// Base, upgrades, and a line under which stands the total.
fn sum<'a>(explain: &Explain, licenses: impl Iterator<Item = &'a License>) -> String {
    let mut table = Lines::new(&["", ">SEATS", "LICENSE"]);
    for license in licenses {
        let until = license.end.map_or_else(|| "never ends".to_owned(), |end| format!("until {end}"));
        let from = license.start.map_or_else(String::new, |start| format!("from {start} "));
        let detail = identity(license).trim_start_matches([',', ' ']).to_owned();
        let detail = if detail.is_empty() { detail } else { format!("{detail}, ") };
        table.row([kind(license).to_owned(), amount(license), format!("{detail}{from}{until}")]);
    }
    let today = if explain.total == Some(0) { "nothing counts today" } else { "today" };
    table.row(["= total".to_owned(), seats(explain.total, explain.unlimited), today.to_owned()]);
    table.text()
}

/// The sign shows what it does to the sum.
fn kind(license: &License) -> &'static str {
    match license.key_type.as_str() {
        "EXCLUSIVE" => "  base",
        "UPGRADE" => "+ upgrade",
        "ADDITIVE" => "  additive",
        "TOKEN" => "  token",
        "MAINTENANCE" => "  maintenance",
        _ => "  license",
    }
}

fn amount(license: &License) -> String {
    seats(license.count, license.unlimited)
}

/// Enough to find it in the sum above.
fn mark(license: &License) -> String {
    let sn = || license.sn.as_ref().map_or_else(|| "no SN".to_owned(), |sn| format!("SN {sn}"));
    license.file.as_ref().map_or_else(sn, |_| place(license.file.as_deref(), license.line, None))
}

/// Where it stands and its serial number, as far as the reader may see them.
fn identity(license: &License) -> String {
    let mut text = String::new();
    if license.file.is_some() {
        text += &format!(", {}", place(license.file.as_deref(), license.line, None));
    }
    if let Some(sn) = &license.sn {
        text += &format!(", SN {sn}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Change, ChangedLicense};
    use chrono::NaiveDate;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn license(key_type: &str, count: u64, sn: &str, state: &str) -> License {
        License {
            key_type: key_type.into(),
            count: Some(count),
            sn: Some(sn.into()),
            state: state.into(),
            file: Some("cad.xml".into()),
            line: Some(3),
            ..License::default()
        }
    }

    #[test]
    fn the_sum_can_be_checked_with_a_finger() {
        let base = License { end: Some(day("2031-12-31")), ..license("EXCLUSIVE", 10, "7f3c", "in_force") };
        let upgrade = License { end: Some(day("2030-06-30")), ..license("UPGRADE", 6, "91aa", "in_force") };
        let later = License {
            start: Some(day("2030-08-01")),
            reason: Some("not_started".into()),
            message: Some("it begins on 2030-08-01".into()),
            ..license("UPGRADE", 4, "55bb", "waiting")
        };
        let changed = |sn: &str, state: &str, reason: Option<&str>| ChangedLicense {
            sn: Some(sn.into()),
            state: state.into(),
            reason: reason.map(str::to_owned),
        };
        let change = |date: &str, total: u64, licenses| Change {
            day: day(date),
            at: format!("{date}T00:00:00Z"),
            total: Some(total),
            licenses,
        };
        let explain = Explain {
            schema: 1,
            feature: "cad".into(),
            vendor: "ACME".into(),
            today: day("2030-06-15"),
            total: Some(16),
            base: Some(10),
            upgrades: 6,
            unlimited: false,
            licenses: vec![base, upgrade, later],
            changes: vec![
                change("2030-07-01", 10, vec![changed("91aa", "not_in_force", Some("expired"))]),
                change("2030-08-01", 14, vec![changed("55bb", "in_force", None)]),
            ],
        };
        let expected = "\
ACME/cad on 2030-06-15

           SEATS  LICENSE
  base        10  cad.xml:3, SN 7f3c, until 2031-12-31
+ upgrade      6  cad.xml:3, SN 91aa, until 2030-06-30
= total       16  today

does not count today:
  + upgrade 4, cad.xml:3, SN 55bb: it begins on 2030-08-01 (not_started)

NEXT        TOTAL  BECAUSE
2030-07-01     10  + upgrade 6, cad.xml:3: no longer counts: expired
2030-08-01     14  + upgrade 4, cad.xml:3: counts from then on
";
        assert_eq!(text(&explain), expected);
    }
}
