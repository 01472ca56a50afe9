//! `status`, `features`, `sessions`, `licenses`: lists for people, or as the server sent them.

use std::io::Write;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::{Read, ReadFeature};
use super::server;
use super::table::{Lines, clean, plural, seats, wrap};
use super::{Failure, coverage};
use crate::report::{
    Borrow, ClockReset, Feature, License, Pool, Problem, Server, Session, Status, WaitedFor, Waiter,
};

/// `seatkeeper status`.
///
/// # Errors
///
/// As [`server::report`].
pub fn status(read: &Read, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(read, "status", None)?;
    answer(read.json, whole, out, |status: &Status| {
        let features = status.features.as_deref().unwrap_or_default();
        let mut text = status.server.as_ref().map_or_else(String::new, header);
        text.push('\n');
        text.push_str(&match &status.features {
            None => "this server tells features to administrators only: use --admin\n".to_owned(),
            Some(list) if list.is_empty() => {
                "no features: no license in the directory names one; `seatkeeper licenses` lists them\n"
                    .to_owned()
            }
            Some(_) => feature_table(features),
        });
        let covered = coverage::lines(features);
        if !covered.is_empty() {
            text.push_str("\nreleases that run:\n");
            covered.iter().for_each(|line| text.push_str(&wrap(line, 2, 4)));
        }
        let ends = coverage::notices(features);
        if !ends.is_empty() {
            text.push_str("\nends soon, or has ended:\n");
            ends.iter().for_each(|line| text.push_str(&wrap(line, 2, 4)));
        }
        text.push_str(&status.problems.as_deref().map_or_else(String::new, problem_list));
        text
    })
}

/// `seatkeeper features`.
///
/// # Errors
///
/// As [`server::report`].
pub fn features(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "features", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(feature_table(status.features.as_deref().unwrap_or_default()), "no features")
    })
}

/// `seatkeeper sessions`.
///
/// # Errors
///
/// As [`server::report`].
pub fn sessions(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "sessions", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(session_table(status.sessions.as_deref().unwrap_or_default()), "no sessions")
    })
}

/// `seatkeeper borrowed`.
///
/// # Errors
///
/// As [`server::report`].
pub fn borrowed(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "borrowed", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(borrow_table(status.borrowed.as_deref().unwrap_or_default()), "nothing is borrowed")
    })
}

/// `seatkeeper queue`.
///
/// # Errors
///
/// As [`server::report`].
pub fn queue(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "queue", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(queue_table(status.queue.as_deref().unwrap_or_default()), "nobody waits")
    })
}

/// `seatkeeper licenses`.
///
/// # Errors
///
/// As [`server::report`].
pub fn licenses(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "licenses", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(license_table(status.licenses.as_deref().unwrap_or_default()), "no licenses")
    })
}

/// Prints a report as it came, or as `text` says it.
///
/// # Errors
///
/// 70 if the report has another shape than this program knows.
pub fn answer<T: DeserializeOwned>(
    json: bool,
    whole: Value,
    out: &mut impl Write,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    if json {
        writeln!(out, "{whole:#}")?;
    } else {
        let report = serde_json::from_value(whole).map_err(|e| server::unreadable("answer", &e))?;
        write!(out, "{}", text(&report))?;
    }
    Ok(())
}

fn or_none(text: String, none: &str) -> String {
    if text.is_empty() { format!("{none}\n") } else { text }
}

fn header(server: &Server) -> String {
    let mut text = format!("{}, seatkeeperd {}", server.name, server.version);
    if let Some(started) = &server.started_at {
        text += &format!(", since {started}");
    }
    let mut lines = wrap(&text, 0, 2);
    if let (Some(today), Some(zone)) = (server.today, &server.time_zone) {
        let next = server.next_midnight.as_ref().map_or_else(String::new, |at| format!(", until {at}"));
        lines += &wrap(&format!("today is {today} in {zone}{next}"), 0, 2);
    }
    match server.clock.as_deref() {
        None | Some("ok") => {}
        Some("suspect") => {
            lines += &wrap(
                "clock: suspect; it is behind the highest day served, so licenses with dates give no new seats: \
                 set the clock right",
                0,
                2,
            );
        }
        Some("provisional") => {
            lines += &wrap(
                "clock: provisional; it jumped ahead by more than a day, and is believed when it has stood there for an \
                 hour: if it is wrong, set it right before that",
                0,
                2,
            );
        }
        Some(state) => lines += &wrap(&format!("clock: {state}"), 0, 2),
    }
    if let Some(reset) = &server.clock_reset {
        let ClockReset { at, by, reason, from, to } = reset;
        let text = format!("clock reset at {at} by {by}, from {from} to {to}: {reason}");
        lines += &wrap(&text, 0, 2);
    }
    if server.recovering {
        lines += &wrap(
            "recovering: clients that have not come back yet have a lease to do so; nobody gets their seats before",
            0,
            2,
        );
    }
    if server.demo_key_trusted {
        lines +=
            &wrap("demo key trusted: fine for a trial; in production, trust your vendors' keys only", 0, 2);
    }
    lines
}

/// One row a feature, and below it one for each of its pools where there are several; columns that would be all zeros
/// are left out.
pub(super) fn feature_table(features: &[Feature]) -> String {
    type Column = (&'static str, fn(&Feature) -> u64);
    let rare: [Column; 5] = [
        (">OVER", |f| f.over),
        (">HELD", |f| f.held),
        (">RESERVED", |f| f.reserved),
        (">BORROWED", |f| f.borrowed),
        (">QUEUED", |f| f.queued),
    ];
    let mut rows = Vec::new();
    for f in features {
        let pools = if f.pools.len() > 1 { &*f.pools } else { &[] };
        rows.push((name(Some(&f.vendor), &f.name), f.clone()));
        rows.extend(pools.iter().map(|pool| (format!("  {}", pool_name(pool)), of_pool(pool))));
    }
    let rare: Vec<Column> = rare.into_iter().filter(|(_, of)| rows.iter().any(|(_, f)| of(f) > 0)).collect();
    let has_tokens = rows.iter().any(|(_, f)| f.tokens.is_some());
    let mut headers = vec!["FEATURE", ">TOTAL", ">USED", ">FREE", ">SUSPECT"];
    headers.extend(rare.iter().map(|(name, _)| *name));
    headers.extend(has_tokens.then_some(">TOKENS"));
    headers.push("ENDS");
    let mut table = Lines::new(&headers);
    for (name, f) in rows {
        // A token has no seats: noughts would say that they are all taken.
        let is_token_alone = f.tokens.is_some() && f.total == Some(0) && f.used == 0;
        let seat = |text: String| if is_token_alone { "-".to_owned() } else { text };
        let mut row = vec![
            name,
            seat(seats(f.total, f.unlimited)),
            seat(f.used.to_string()),
            seat(if f.unlimited { "-".into() } else { seats(f.free, false) }),
            seat(f.suspect.to_string()),
        ];
        row.extend(rare.iter().map(|(_, of)| seat(of(&f).to_string())));
        row.extend(has_tokens.then(|| f.tokens.map_or_else(|| "-".into(), |tokens| tokens.to_string())));
        // Without seats there is nothing that could end.
        let never = if f.total == Some(0) && f.tokens.is_none() { "-" } else { "never" };
        row.push(f.ends_at.clone().unwrap_or_else(|| never.into()));
        table.row(row);
    }
    table.text()
}

fn pool_name(pool: &Pool) -> String {
    let sn = pool.sn.as_ref().map_or_else(String::new, |sn| format!(" {sn}"));
    let version = pool.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    format!("{}{version}{sn}", pool.key_type.to_lowercase())
}

/// A pool's row has the same columns.
fn of_pool(pool: &Pool) -> Feature {
    let (n, is_token) = (&pool.numbers, pool.key_type == "TOKEN");
    let seats = |count: u64| if is_token { 0 } else { count };
    Feature {
        total: if is_token { Some(0) } else { n.total },
        unlimited: n.unlimited && !is_token,
        used: seats(n.used),
        free: n.free,
        suspect: seats(n.suspect),
        over: n.over,
        held: n.held,
        reserved: n.reserved,
        borrowed: pool.numbers.borrowed,
        tokens: is_token.then_some(n.used),
        ends_at: pool.ends_at.clone(),
        ..Feature::default()
    }
}

fn session_table(sessions: &[Session]) -> String {
    let has_notes = sessions.iter().any(|s| !note(s).is_empty());
    let mut headers = vec!["SESSION", "FEATURE", ">SEATS", "USER", "HOST", "STATE", "SINCE"];
    headers.extend(has_notes.then_some("NOTE"));
    let mut table = Lines::new(&headers);
    for s in sessions {
        table.row(
            [
                s.id.clone(),
                name(Some(&s.vendor), &s.feature),
                s.count.to_string(),
                s.user.clone(),
                s.host.clone(),
                s.state.clone(),
                s.since.clone().unwrap_or_else(|| "-".into()),
                note(s),
            ]
            .into_iter()
            .take(headers.len()),
        );
    }
    table.text() + &suspect_table(sessions)
}

/// The sessions whose clients are gone: since when, and what becomes of their seats (S20 to S22).
fn suspect_table(sessions: &[Session]) -> String {
    let mut table = Lines::new(&["SUSPECT", "SINCE", "FREE FOR OTHERS", "ENDS"]);
    for s in sessions.iter().filter(|s| s.suspect_since.is_some()) {
        let instants = [&s.suspect_since, &s.free_at, &s.reaped_at];
        let instants = instants.map(|at| at.clone().unwrap_or_else(|| "-".into()));
        table.row([s.id.clone()].into_iter().chain(instants));
    }
    let text = table.text();
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn borrow_table(borrows: &[Borrow]) -> String {
    let mut table = Lines::new(&["ID", "FEATURE", ">SEATS", "USER", "HOST", "UNTIL", "NOTE"]);
    for b in borrows {
        let note = b.written_off.as_ref().map(|off| match off.reason.as_str() {
            "" => format!("written off by {}", off.by),
            reason => format!("written off by {}: {reason}", off.by),
        });
        table.row([
            b.id.clone(),
            name(Some(&b.vendor), &b.feature),
            b.count.to_string(),
            b.user.clone(),
            b.host.clone(),
            b.until.clone(),
            note.unwrap_or_default(),
        ]);
    }
    table.text()
}

fn queue_table(queue: &[Waiter]) -> String {
    let mut table = Lines::new(&["ID", ">PLACE", "SEATS", "USER", "HOST", "STATE", "SINCE", "UNTIL"]);
    for w in queue {
        let seats = |f: &WaitedFor| format!("{} {}", f.count, name(f.vendor.as_deref(), &f.feature));
        table.row([
            w.id.clone(),
            w.place.to_string(),
            w.features.iter().map(seats).collect::<Vec<_>>().join(", "),
            w.user.clone(),
            w.host.clone(),
            w.state.clone(),
            w.since.clone().unwrap_or_else(|| "-".into()),
            w.until.clone(),
        ]);
    }
    table.text()
}

/// What is unusual about a session.
fn note(s: &Session) -> String {
    let token = s.token.as_ref().map(|token| format!("for token {token}"));
    let shared = s.shared.then(|| "shared".to_owned());
    let soft = s.above_soft_limit.then(|| "above soft limit".to_owned());
    let notes: Vec<String> = [token, shared, soft].into_iter().flatten().collect();
    notes.join(", ")
}

fn license_table(licenses: &[License]) -> String {
    let mut table = Lines::new(&["FEATURE", "TYPE", ">SEATS", "FROM", "TO", "STATE", "WHERE"]);
    for l in licenses {
        let state = match (l.state.as_str(), &l.reason) {
            ("in_force", _) => "in force".to_owned(),
            ("waiting", Some(reason)) => format!("waiting: {reason}"),
            (state, reason) => reason.clone().unwrap_or_else(|| state.to_owned()),
        };
        table.row([
            name(l.vendor.as_deref(), l.feature.as_deref().unwrap_or("-")),
            l.key_type.clone(),
            if l.key_type == "MAINTENANCE" { "-".into() } else { seats(l.count, l.unlimited) },
            l.start.map_or_else(|| "-".into(), |day| day.to_string()),
            l.end.or(l.covers_until).map_or_else(|| "never".into(), |day| day.to_string()),
            state,
            place(l.file.as_deref(), l.line, None),
        ]);
    }
    let mut text = table.text();
    let told = |counts: bool| {
        licenses.iter().filter(move |l| l.message.is_some() && (l.state == "in_force") == counts)
    };
    let titles = [("what renewals add:", true), ("what does not count, and why:", false)];
    for (title, counts) in titles {
        for (nth, l) in told(counts).enumerate() {
            if nth == 0 {
                text += &format!("\n{title}\n");
            }
            text += &because(l);
        }
    }
    text
}

/// A license and the sentence about it.
fn because(l: &License) -> String {
    let sn = l.sn.as_ref().map_or_else(String::new, |sn| format!(", SN {sn}"));
    let (feature, message) = (l.feature.as_deref().unwrap_or("-"), l.message.as_deref().unwrap_or_default());
    let at = place(l.file.as_deref(), l.line, None);
    wrap(&format!("{at}: {feature}{sn}: {message}"), 2, 4)
}

/// What is wrong with the files, each with its place and what to do.
pub(super) fn problem_list(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let count = plural(problems.len() as u64, "problem");
    let mut text = format!("\n{count}:\n");
    for p in problems {
        let at = place(p.file.as_deref(), p.line, p.column);
        let feature = p.feature.as_ref().map_or_else(String::new, |f| format!("{f}: "));
        let at = if p.file.is_some() { at + ": " } else { String::new() };
        text += &wrap(&format!("{at}{feature}{} ({})", p.message, p.reason), 2, 4);
    }
    text
}

/// `VENDOR/NAME`, or the name alone where nobody is named.
pub(super) fn name(vendor: Option<&str>, name: &str) -> String {
    match vendor.filter(|v| !v.is_empty()) {
        Some(vendor) => clean(&format!("{vendor}/{name}")),
        None => clean(name),
    }
}

/// `file:line:column`, as far as known.
pub(super) fn place(file: Option<&str>, line: Option<u32>, column: Option<u32>) -> String {
    let mut text = file.unwrap_or("-").to_owned();
    for number in [line, line.and(column)].into_iter().flatten() {
        text += &format!(":{number}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Numbers, WrittenOff};

    fn feature() -> Feature {
        Feature {
            vendor: "ACME".into(),
            name: "cad".into(),
            total: Some(5),
            free: Some(0),
            used: 8,
            ..Feature::default()
        }
    }

    #[test]
    fn a_feature_is_one_row_and_over_is_shown_where_it_occurs() {
        let plain = feature_table(&[feature()]);
        assert!(plain.lines().count() == 2 && !plain.contains("OVER"), "{plain}");
        let over = feature_table(&[Feature { over: 3, ..feature() }]);
        let row: Vec<&str> = over.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["ACME/cad", "5", "8", "0", "0", "3", "never"], "{over}");
    }

    #[test]
    fn several_pools_stand_below_their_feature_and_tokens_apart() {
        let pool = |key_type: &str, sn: Option<&str>, total, used| Pool {
            key_type: key_type.into(),
            sn: sn.map(str::to_owned),
            numbers: Numbers { total, used, free: total.map(|t: u64| t - used), ..Numbers::default() },
            ..Pool::default()
        };
        let pools = vec![
            Pool { version: Some("4.2".into()), ..pool("EXCLUSIVE", None, Some(10), 8) },
            pool("ADDITIVE", Some("7f3c"), Some(4), 1),
        ];
        let cad = Feature { total: Some(14), used: 9, free: Some(5), pools, ..feature() };
        let suite = Feature {
            name: "suite".into(),
            total: Some(0),
            used: 0,
            tokens: Some(3),
            pools: vec![pool("TOKEN", None, None, 3)],
            ..feature()
        };
        let expected = "\
FEATURE          TOTAL  USED  FREE  SUSPECT  TOKENS  ENDS
ACME/cad            14     9     5        0       -  never
  exclusive 4.2     10     8     2        0       -  never
  additive 7f3c      4     1     3        0       -  never
ACME/suite           -     -     -        -       3  never
";
        assert_eq!(feature_table(&[cad.clone(), suite]), expected);
        let alone = Feature { pools: vec![cad.pools[0].clone()], ..cad };
        assert_eq!(feature_table(&[alone]).lines().count(), 2, "one pool is the feature");
    }

    #[test]
    fn what_is_unusual_about_a_session_is_noted() {
        let plain = Session { id: "2t".into(), state: "active".into(), ..Session::default() };
        assert!(!session_table(std::slice::from_ref(&plain)).contains("NOTE"));
        let of_token = Session { token: Some("2s".into()), ..plain.clone() };
        let noted = Session { shared: true, above_soft_limit: true, ..plain.clone() };
        let text = session_table(&[plain, of_token, noted]);
        let notes: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("-  ")).map(|(_, n)| n.trim()).collect();
        assert!(text.contains("NOTE"), "{text}");
        assert_eq!(notes, ["for token 2s", "shared, above soft limit"], "{text}");
    }

    #[test]
    fn what_becomes_of_a_suspects_seats_stands_below_the_sessions() {
        let active = Session { id: "2t".into(), state: "active".into(), ..Session::default() };
        assert!(!session_table(std::slice::from_ref(&active)).contains("SUSPECT"));
        let suspect = Session {
            id: "2u".into(),
            state: "suspect".into(),
            suspect_since: Some("2030-06-30T22:00:00Z".into()),
            free_at: Some("2030-06-30T22:00:05Z".into()),
            reaped_at: Some("2030-06-30T22:15:00Z".into()),
            ..active.clone()
        };
        let expected = "
SUSPECT  SINCE                 FREE FOR OTHERS       ENDS
2u       2030-06-30T22:00:00Z  2030-06-30T22:00:05Z  2030-06-30T22:15:00Z
";
        let text = session_table(&[active, suspect]);
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn every_list_fits_eighty_columns_with_the_longest_names() {
        let long = "x".repeat(64);
        let feature = Feature {
            vendor: long.clone(),
            name: long.clone(),
            over: 1,
            held: 1,
            reserved: 1,
            borrowed: 1,
            queued: 1,
            tokens: Some(1),
            pools: vec![Pool { sn: Some(long.clone()), ..Pool::default() }, Pool::default()],
            ends_at: Some("2030-06-30T22:00:00Z".into()),
            total: Some(2_147_483_647),
            used: 2_147_483_647,
            ..feature()
        };
        let session = Session {
            id: "1234567890abc".into(),
            vendor: long.clone(),
            feature: long.clone(),
            user: long.clone(),
            host: long.clone(),
            state: "borrowed".into(),
            since: Some("2030-06-30T22:00:00Z".into()),
            suspect_since: Some("2030-06-30T22:00:00Z".into()),
            free_at: Some("2030-06-30T22:00:05Z".into()),
            reaped_at: Some("2030-06-30T22:15:00Z".into()),
            shared: true,
            above_soft_limit: true,
            ..Session::default()
        };
        let license = License {
            feature: Some(long.clone()),
            vendor: Some(long.clone()),
            sn: Some(long.clone()),
            key_type: "MAINTENANCE".into(),
            state: "not_in_force".into(),
            reason: Some("setting_not_allowed".into()),
            message: Some("word ".repeat(40)),
            file: Some(format!("licenses/{long}.xml")),
            line: Some(70_000),
            start: chrono::NaiveDate::from_ymd_opt(2030, 1, 1),
            end: chrono::NaiveDate::from_ymd_opt(2030, 1, 1),
            ..License::default()
        };
        let problem = Problem {
            file: Some(long.clone()),
            line: Some(1),
            message: "m ".repeat(90),
            ..Problem::default()
        };
        let waiter = Waiter {
            id: "1234567890abc".into(),
            features: vec![
                WaitedFor { vendor: Some(long.clone()), feature: long.clone(), count: u32::MAX };
                2
            ],
            place: 10_000,
            state: "waiting".into(),
            since: Some("2030-06-30T22:00:00Z".into()),
            until: "2030-06-30T22:00:00Z".into(),
            user: long.clone(),
            host: long.clone(),
            pid: None,
        };
        let borrow = Borrow {
            id: "1234567890abc".into(),
            vendor: long.clone(),
            feature: long.clone(),
            count: u32::MAX,
            user: long.clone(),
            host: long.clone(),
            until: "2030-06-30T22:00:00Z".into(),
            written_off: Some(WrittenOff { reason: long.clone(), ..WrittenOff::default() }),
            ..Borrow::default()
        };
        let text = feature_table(&[feature])
            + &borrow_table(&[borrow])
            + &queue_table(&[waiter])
            + &session_table(&[session])
            + &license_table(&[license])
            + &problem_list(&[problem]);
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{text}");
    }
}
