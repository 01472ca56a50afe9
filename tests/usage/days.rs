//! Days that are summed, and spans that run into them, against a count of the plain spans: whatever comes to light, in
//! whatever order, under whatever clock.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use seatkeeper::history::usage::By;

use crate::common::{Random, seed};
use crate::{HOUR, JUNE, Site, day, open, seats};

/// Feature, and user; peak, hours, sessions.
type Counted = BTreeMap<(String, String), (i64, f64, usize)>;

/// A span, cut to some days: from when, to when.
type Part<'a> = (i64, i64, &'a Span);

/// One row of spans.
struct Span {
    feature: String,
    user: String,
    seats: i64,
    session: String,
    since: i64,
    until: i64,
}

fn spans(sql: &Connection, written_until: i64) -> Vec<Span> {
    let mut all = sql.prepare("SELECT feature, user, seats, session, since, until FROM spans").unwrap();
    let span = |row: &rusqlite::Row<'_>| {
        Ok(Span {
            feature: row.get(0)?,
            user: row.get(1)?,
            seats: row.get(2)?,
            session: row.get(3)?,
            since: row.get(4)?,
            until: row.get::<_, Option<i64>>(5)?.unwrap_or(written_until),
        })
    };
    all.query_map([], span).unwrap().map(Result::unwrap).collect()
}

/// By looking at each beginning who is there.
fn counted(spans: &[Span], starts: i64, ends: i64, by_user: bool) -> Counted {
    let mut groups: BTreeMap<(String, String), Vec<Part<'_>>> = BTreeMap::new();
    for span in spans {
        let (since, until) = (span.since.max(starts), span.until.min(ends));
        if since < until {
            let user = if by_user { span.user.clone() } else { String::new() };
            groups.entry((span.feature.clone(), user)).or_default().push((since, until, span));
        }
    }
    let count = |of: Vec<Part<'_>>| {
        let used = |at: i64| {
            of.iter().filter(|(s, u, _)| (*s..*u).contains(&at)).map(|(_, _, span)| span.seats).sum()
        };
        let peak = of.iter().map(|(since, ..)| used(*since)).max().unwrap_or(0);
        let hours =
            of.iter().map(|(s, u, span)| (u - s) as f64 * span.seats as f64).sum::<f64>() / HOUR as f64;
        let sessions: BTreeSet<&str> = of.iter().map(|(_, _, span)| span.session.as_str()).collect();
        (peak, hours, sessions.len())
    };
    groups.into_iter().map(|(key, of)| (key, count(of))).collect()
}

fn assert_same(found: &Counted, expected: &Counted, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (key, (peak, hours, sessions)) in expected {
        let (p, h, s) = &found[key];
        assert!(
            p == peak && s == sessions && (h - hours).abs() < 1e-6,
            "{what}, {key:?}: {found:?}, not {expected:?}"
        );
    }
}

fn check(site: &Site, now: i64, what: &str) {
    let sql = site.sql();
    let spans = spans(&sql, now);
    let mut days = sql.prepare("SELECT day, starts, ends FROM days ORDER BY day").unwrap();
    let days: Vec<(String, i64, i64)> = days
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (view, user, by) in [("feature_days", "''", By::Feature), ("user_days", "user", By::User)] {
        let mut rows = sql
            .prepare(&format!("SELECT feature, {user}, peak, hours, sessions FROM {view} WHERE day = ?"))
            .unwrap();
        for (name, starts, ends) in &days {
            let expected = counted(&spans, *starts, *ends, by == By::User);
            let row = |row: &rusqlite::Row<'_>| {
                Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?, row.get::<_, i64>(4)? as usize)))
            };
            let found: Vec<_> = rows.query_map([name], row).unwrap().map(Result::unwrap).collect();
            let (lines, found) = (found.len(), found.into_iter().collect::<Counted>());
            assert_eq!(lines, found.len(), "{what}: {view} of {name} has rows twice");
            assert_same(&found, &expected, &format!("{what}: {view} of {name}"));
        }
        for (from, to) in [(0, 0), (0, days.len() - 1), (days.len() / 2, days.len() - 1), (1, days.len() / 2)]
        {
            let (Some(first), Some(last)) = (days.get(from), days.get(to)) else { continue };
            if first.0 > last.0 {
                continue;
            }
            let expected = counted(&spans, first.1, last.2, by == By::User);
            let usage = site.ask(by, &first.0, &last.0, now).usage;
            let row = |row: &seatkeeper::report::UsageRow| {
                let key = (row.feature.clone(), row.user.clone().unwrap_or_default());
                (key, (row.peak as i64, row.hours, row.sessions as usize))
            };
            let found: Counted = usage.iter().map(row).collect();
            assert_same(&found, &expected, &format!("{what}: usage from {} to {}", first.0, last.0));
        }
    }
}

#[test]
fn views_and_usage_agree_with_the_spans_whatever_comes_to_light_and_when() {
    let seed = seed();
    let mut random = Random(seed);
    let mut summed = 0;
    for round in 0..3 {
        let mut now = JUNE + 5 * HOUR;
        let mut site = Site::new("Europe/Berlin", now);
        // Session, user, feature, seats, since.
        let mut held: Vec<(u64, &str, &str, u32, i64)> = Vec::new();
        let mut unseen: Vec<(u64, &str, &str, u32, i64)> = Vec::new();
        let mut next = 0;
        for step in 0..150 {
            now += random.within(1, 2 * HOUR);
            let what = random.within(0, 19);
            let some = |random: &mut Random, of: usize| random.within(0, of as i64 - 1) as usize;
            match what {
                0..=7 => {
                    let user = random.one_of::<&str>(&["ann", "bob", "carl"]);
                    let feature = random.one_of::<&str>(&["cad", "sim"]);
                    let count = random.within(1, 3) as u32;
                    next += 1;
                    site.granted(now, &seats(next, user, feature, count));
                    held.push((next, user, feature, count, now));
                }
                8..=12 if !held.is_empty() => {
                    let at = some(&mut random, held.len());
                    let (session, user, feature, count, since) = held.swap_remove(at);
                    site.ended(now.max(since), &seats(session, user, feature, count), since.min(now));
                }
                13 if !held.is_empty() => {
                    let at = some(&mut random, held.len());
                    let (session, user, feature, count, _) = &mut held[at];
                    if *count > 1 {
                        *count -= 1;
                        site.reduced(now, &seats(*session, user, feature, 1), *count);
                    }
                }
                // Down for a while; some sessions ended meanwhile, one began before and was not seen.
                14 => {
                    let lost = site.store().written_until();
                    now += random.within(1, 40 * HOUR);
                    site.restart(&format!("{round} {step}"), now);
                    if !held.is_empty() {
                        let at = some(&mut random, held.len());
                        unseen.push(held.swap_remove(at));
                    }
                    next += 1;
                    held.push((next, "dora", "cad", 1, now - random.within(1, 60 * HOUR)));
                    let there =
                        held.iter().map(|(s, user, feature, n, since)| open(*s, user, feature, *n, *since));
                    let there = there.collect();
                    site.compare(there, lost, now);
                }
                // What had ended unseen is told after all.
                15 if !unseen.is_empty() => {
                    let (session, user, feature, count, since) = unseen.remove(0);
                    let at = (now - random.within(1, 30 * HOUR)).max(since + 1);
                    site.tell_ended(at, &seats(session, user, feature, count), since, now);
                }
                // Neither beginning nor end was known.
                16 => {
                    next += 1;
                    let since = now - random.within(1, 50 * HOUR);
                    site.ended(now, &seats(next, "eve", "sim", 2), since);
                }
                // The clock was ahead, and is set right.
                17 if random.within(0, 2) == 0 => now -= random.within(1, 50 * HOUR),
                _ => {}
            }
            site.store().write(&[], now).unwrap();
            if what >= 17 {
                site.store().sum(now - 60_000).unwrap();
            }
            if step % 5 == 0 || what >= 14 {
                // A clock that goes back is noticed when days are summed.
                site.store().sum(now - 60_000).unwrap();
                check(&site, now, &format!("seed {seed}, round {round}, step {step}"));
            }
        }
        let days: i64 =
            site.sql().query_row("SELECT count(*) FROM days WHERE summed = 1", [], |row| row.get(0)).unwrap();
        summed += days;
    }
    assert!(summed > 3, "days are summed: {summed}");
}

#[test]
fn a_summed_day_is_read_and_not_counted_anew() {
    let mut site = Site::new("UTC", JUNE);
    let of = seats(1, "ann", "cad", 2);
    site.granted(JUNE + HOUR, &of);
    site.ended(JUNE + 3 * HOUR, &of, JUNE + HOUR);
    site.store().write(&[], JUNE + 25 * HOUR).unwrap();
    site.store().sum(JUNE + 24 * HOUR).unwrap();
    let hours = |site: &Site| -> f64 {
        let hours = "SELECT sum(hours) FROM feature_days WHERE day = '2030-06-01'";
        site.sql().query_row(hours, [], |row| row.get(0)).unwrap()
    };
    site.sql().execute("UPDATE feature_sums SET hours = 17", []).unwrap();
    assert!((hours(&site) - 17.0).abs() < 1e-9, "not from the sums");
    // Something of that day comes to light: it is counted, and soon summed, as it is.
    site.ended(JUNE + 26 * HOUR, &seats(2, "bob", "cad", 1), JUNE + 22 * HOUR);
    assert!((hours(&site) - 6.0).abs() < 1e-9, "{}", hours(&site));
    site.store().sum(JUNE + 25 * HOUR).unwrap();
    assert!((hours(&site) - 6.0).abs() < 1e-9, "{}", hours(&site));
    assert_eq!(site.ask(By::Feature, "2030-06-01", "2030-06-01", JUNE + 26 * HOUR).from, day("2030-06-01"));
}
