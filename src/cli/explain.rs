//! `explain FEATURE`: sums that can be checked with a finger, pool by pool, and what comes next (L30, L50, L51).

use std::io::Write;

use super::Failure;
use super::args::ReadOneFeature;
use super::server;
use super::show::{self, name, place};
use super::table::{Lines, seats, wrap};
use crate::report::{Change, Explain, License, Terms, TokenNeed};

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
    text += &sums(explain);
    if explain.pools.len() > 1 {
        text += "\na checkout is served whole by the first of these that can, from the top\n";
    }
    let others: Vec<&License> = explain.licenses.iter().filter(|l| !counts(l)).collect();
    if !others.is_empty() {
        text += "\ndoes not count today:\n";
    }
    for license in others {
        let why = license.message.as_deref().or(license.reason.as_deref()).unwrap_or("no reason given");
        let reason = license.reason.as_ref().map_or_else(String::new, |r| format!(" ({r})"));
        let what = kind(license).trim();
        let amount =
            if license.key_type == "TOKEN" { String::new() } else { format!(" {}", amount(license)) };
        let replaces =
            license.terms.replaces.as_ref().map_or_else(String::new, |r| format!(", REPLACES {r}"));
        let line = format!("{what}{amount}{}{replaces}: {why}{reason}", identity(license));
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
                    |l| match l.key_type.as_str() {
                        "TOKEN" => format!("token, {}", mark(l)),
                        _ => format!("{} {}, {}", kind(l).trim(), amount(l), mark(l)),
                    },
                );
                let how = match (changed.state.as_str(), &changed.reason) {
                    ("in_force", _) => "counts from then on".to_owned(),
                    (_, Some(reason)) => format!("no longer counts: {reason}"),
                    (state, None) => state.to_owned(),
                };
                format!("{what}: {how}")
            })
            .collect();
        next.row([change.day.to_string(), total_then(change), because.join("\n")]);
    }
    text + &next.text()
}

/// All seats of the feature from a day on. A server that knows one pool alone names no other.
fn total_then(change: &Change) -> String {
    let pools = || change.pools.iter().filter(|pool| pool.key_type != "TOKEN");
    if pools().next().is_none() {
        let is_none_left = change.total == Some(0) || !change.pools.is_empty();
        return if is_none_left { "0".to_owned() } else { seats(change.total, change.total.is_none()) };
    }
    in_all(pools().map(|pool| pool.total))
}

/// The seats of several pools; `None` for one without bound.
fn in_all(mut pools: impl Iterator<Item = Option<u64>>) -> String {
    let sum = pools.try_fold(0u64, |sum, pool| Some(sum.saturating_add(pool?)));
    seats(sum, sum.is_none())
}

/// Pool by pool: base, upgrades, and a line under which stands the total.
fn sums(explain: &Explain) -> String {
    let mut table = Lines::new(&["", ">SEATS", "LICENSE"]);
    let with_seats = explain.pools.iter().filter(|pool| pool.key_type != "TOKEN").count();
    for (number, pool) in (0..).zip(&explain.pools) {
        if number > 0 {
            table.row([String::new()]);
        }
        for license in explain.licenses.iter().filter(|license| license.pool == Some(number)) {
            row(&mut table, license);
        }
        for (nth, need) in pool.needs.iter().enumerate() {
            let what = if nth == 0 { "  takes" } else { "" };
            table.row([what.to_owned(), need.count.to_string(), needed(need)]);
        }
        if pool.key_type == "EXCLUSIVE" || (pool.key_type == "ADDITIVE" && with_seats == 1) {
            table.row(["= total".to_owned(), seats(pool.total, pool.unlimited), "today".to_owned()]);
        }
    }
    if explain.pools.is_empty() {
        // Nothing grants, or the server is of before the pools.
        for license in explain.licenses.iter().filter(|license| license.state == "in_force") {
            row(&mut table, license);
        }
        let today = if explain.total == Some(0) { "nothing counts today" } else { "today" };
        table.row(["= total".to_owned(), seats(explain.total, explain.unlimited), today.to_owned()]);
    }
    if with_seats > 1 {
        table.row([String::new()]);
        let pools = explain.pools.iter().filter(|pool| pool.key_type != "TOKEN");
        let seats = in_all(pools.map(|pool| pool.total));
        table.row(["= in all".to_owned(), seats, format!("today, in {with_seats} pools")]);
    }
    table.text()
}

/// One license that counts, and below it what it says beside seats and dates.
fn row(table: &mut Lines, license: &License) {
    let until = license.end.map_or_else(|| "never ends".to_owned(), |end| format!("until {end}"));
    let from = license.start.map_or_else(String::new, |start| format!("from {start} "));
    let version = license.version.as_ref().map_or_else(String::new, |v| format!("VERSION {v}, "));
    let detail = identity(license).trim_start_matches([',', ' ']).to_owned();
    let detail = if detail.is_empty() { detail } else { format!("{detail}, ") };
    let mut text = format!("{detail}{version}{from}{until}");
    if license.key_type == "MAINTENANCE" {
        // Its window and what it renews are told by the sentence.
        text = format!("{}{}", detail, license.message.as_deref().unwrap_or("renews maintenance"));
    }
    if let Some(covers) = super::coverage::of_license(license) {
        text += &format!("\n{covers}");
    }
    let terms = terms(&license.terms);
    if !terms.is_empty() {
        text += &format!("\n{}", terms.join(", "));
    }
    if let Some(by) = &license.replaced_by {
        let from = by.from.map_or_else(String::new, |from| format!(", from {from} on"));
        let stands = by.file.as_deref().map(|file| format!(", {}", place(Some(file), by.line, None)));
        let sn = by.sn.as_ref().map_or_else(String::new, |sn| format!(", SN {sn}"));
        text += &format!("\nreplaced by {}{}{sn}{from}", by.feature, stands.unwrap_or_default());
    }
    table.row([kind(license).to_owned(), amount(license), text]);
}

/// In the words of the license file, so that they can be looked up there.
fn terms(terms: &Terms) -> Vec<String> {
    let words =
        |name: &str, words: &[String]| (!words.is_empty()).then(|| format!("{name} {}", words.join(" ")));
    let number = |name: &str, number: Option<u64>, unit: &str| number.map(|n| format!("{name} {n}{unit}"));
    let text = |name: &str, text: &Option<String>| text.as_ref().map(|text| format!("{name} {text}"));
    let zones: Vec<String> = terms.time_zones.iter().map(ToString::to_string).collect();
    let blocks: Vec<String> = terms.client_host_ids.iter().map(|block| block.join(" + ")).collect();
    let rate =
        terms.match_rate.filter(|rate| *rate < 100).map_or_else(String::new, |rate| format!(" ({rate} %)"));
    [
        words("SHARE", &terms.share),
        number("SOFTLIMIT", terms.soft_limit, ""),
        number("HOLD", terms.hold_seconds, " s"),
        number("MIN_CHECKOUT", terms.min_checkout_seconds, " s"),
        text("USERBASED", &terms.user_based),
        text("HOSTBASED", &terms.host_based),
        number(
            "BORROW",
            terms.borrow_hours,
            if terms.not_lent.is_some() { " h (lends nothing)" } else { " h" },
        ),
        number("GRACE", terms.grace_hours, " h"),
        words("PLATFORMS", &terms.platforms),
        words("TIME_ZONES", &zones),
        (!blocks.is_empty()).then(|| format!("CLIENT_HOSTID{rate} {}", blocks.join(" or "))),
        text("REPLACES", &terms.replaces),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What one token takes of one feature.
fn needed(need: &TokenNeed) -> String {
    let more = match (need.is_served, need.is_token) {
        (false, _) => ": no license of it counts today",
        (true, true) => ", a token; what it takes is in this list",
        (true, false) => "",
    };
    format!("{} {}{more}", need.feature, need.version)
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
    if license.key_type == "MAINTENANCE" {
        return "-".to_owned();
    }
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
    use crate::report::{Change, ChangedLicense, PoolSum, PoolTotal, ReplacedBy, TokenDependency};
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
        let in_pool = |license: License| License { pool: Some(0), ..license };
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
            pools: vec![PoolTotal { total: Some(total), ..exclusive_total() }],
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
            pools: vec![PoolSum { total: Some(16), base: Some(10), upgrades: 6, ..exclusive_sum() }],
            licenses: vec![in_pool(base), in_pool(upgrade), later],
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
        // A server that knows of no pools says the same of the one there is.
        let strip = |mut explain: Explain| {
            explain.pools.clear();
            explain.licenses.iter_mut().for_each(|license| license.pool = None);
            explain.changes.iter_mut().for_each(|change| change.pools.clear());
            explain
        };
        assert_eq!(text(&strip(explain)), expected);
    }

    #[test]
    fn every_pool_shows_its_sum_and_every_license_what_it_says() {
        let terms = Terms {
            share: vec!["HOST".into(), "USER".into()],
            soft_limit: Some(8),
            hold_seconds: Some(60),
            min_checkout_seconds: Some(30),
            user_based: Some("ALL".into()),
            host_based: Some("2".into()),
            platforms: vec!["linux".into(), "windows-x86_64".into()],
            time_zones: vec![-1, 0],
            client_host_ids: vec![
                vec!["HOSTNAME=ws1".into(), "USERNAME=ann".into()],
                vec!["CUSTOM=x".into()],
            ],
            match_rate: Some(50),
            replaces: Some("FEATURE=old".into()),
            ..Terms::default()
        };
        let version = |text: &str| Some(text.to_owned());
        let base = License {
            pool: Some(1),
            version: version("4.2"),
            terms,
            ..license("EXCLUSIVE", 10, "7f3c", "in_force")
        };
        let beside = License {
            pool: Some(0),
            version: version("4.1"),
            end: Some(day("2030-06-30")),
            replaced_by: Some(ReplacedBy {
                feature: "suite".into(),
                from: Some(day("2030-06-20")),
                sn: Some("77".into()),
                file: Some("suite.xml".into()),
                line: Some(2),
            }),
            ..license("ADDITIVE", 4, "aa", "in_force")
        };
        let dependency = TokenDependency { feature: "mesh".into(), version: "1.0".into(), count: 2 };
        let token = License {
            pool: Some(2),
            count: None,
            terms: Terms { token_dependencies: vec![dependency], ..Terms::default() },
            ..license("TOKEN", 0, "tt", "in_force")
        };
        let old = License {
            count: None,
            message: Some("over".into()),
            terms: Terms { replaces: Some("SN=t9".into()), ..Terms::default() },
            ..license("TOKEN", 0, "t0", "not_in_force")
        };
        let need = |feature: &str, count, is_token, is_served| TokenNeed {
            feature: feature.into(),
            version: "1.0".into(),
            count,
            is_token,
            is_served,
        };
        let pools = vec![
            PoolSum { key_type: "ADDITIVE".into(), total: Some(4), ..PoolSum::default() },
            PoolSum { total: Some(10), ..exclusive_sum() },
            PoolSum {
                key_type: "TOKEN".into(),
                unlimited: true,
                needs: vec![
                    need("gone", 1, false, false),
                    need("mesh", 8, false, true),
                    need("solve", 3, true, true),
                ],
                ..PoolSum::default()
            },
        ];
        let then = Change {
            day: day("2030-07-01"),
            at: "2030-07-01T00:00:00Z".into(),
            total: Some(10),
            pools: vec![
                PoolTotal { total: Some(10), ..exclusive_total() },
                PoolTotal { key_type: "TOKEN".into(), unlimited: true, ..PoolTotal::default() },
            ],
            licenses: vec![ChangedLicense {
                sn: Some("aa".into()),
                state: "not_in_force".into(),
                reason: Some("expired".into()),
            }],
        };
        let explain = Explain {
            schema: 1,
            feature: "cad".into(),
            vendor: "ACME".into(),
            today: day("2030-06-15"),
            total: Some(10),
            base: Some(10),
            upgrades: 0,
            unlimited: false,
            pools,
            licenses: vec![beside, base, token, old],
            changes: vec![then],
        };
        let expected = "\
ACME/cad on 2030-06-15

            SEATS  LICENSE
  additive      4  cad.xml:3, SN aa, VERSION 4.1, until 2030-06-30
                   replaced by suite, suite.xml:2, SN 77, from 2030-06-20 on

  base         10  cad.xml:3, SN 7f3c, VERSION 4.2, never ends
                   SHARE HOST USER, SOFTLIMIT 8, HOLD 60 s, MIN_CHECKOUT 30 s,
                   USERBASED ALL, HOSTBASED 2, PLATFORMS linux windows-x86_64,
                   TIME_ZONES -1 0, CLIENT_HOSTID (50 %) HOSTNAME=ws1 +
                   USERNAME=ann or CUSTOM=x, REPLACES FEATURE=old
= total        10  today

  token         -  cad.xml:3, SN tt, never ends
  takes         1  gone 1.0: no license of it counts today
                8  mesh 1.0
                3  solve 1.0, a token; what it takes is in this list

= in all       14  today, in 2 pools

a checkout is served whole by the first of these that can, from the top

does not count today:
  token, cad.xml:3, SN t0, REPLACES SN=t9: over

NEXT        TOTAL  BECAUSE
2030-07-01     10  additive 4, cad.xml:3: no longer counts: expired
";
        assert_eq!(text(&explain), expected);
        let unbounded = Explain {
            pools: vec![PoolSum { unlimited: true, ..exclusive_sum() }, explain.pools[0].clone()],
            ..explain.clone()
        };
        let words: Vec<String> = text(&unbounded).split_whitespace().map(str::to_owned).collect();
        assert!(words.join(" ").contains("= in all unlimited today, in 2 pools"), "{}", text(&unbounded));
        let none_left = Change { pools: Vec::new(), total: Some(0), ..explain.changes[0].clone() };
        assert_eq!(total_then(&none_left), "0");
        let token_alone = Change { pools: vec![explain.changes[0].pools[1].clone()], ..none_left };
        assert_eq!(total_then(&token_alone), "0", "a token has no seats of its own");
    }

    fn exclusive_sum() -> PoolSum {
        PoolSum { key_type: "EXCLUSIVE".into(), ..PoolSum::default() }
    }

    fn exclusive_total() -> PoolTotal {
        PoolTotal { key_type: "EXCLUSIVE".into(), ..PoolTotal::default() }
    }
}
