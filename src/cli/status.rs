//! `status` and `features`: how the server is, what each feature has, who holds the seats of what is full, and what is wrong; what an
//! administrator looks at first.

use chrono::NaiveDate;

use super::args::{Read, ReadFeature};
use super::paint::{Output, Paint, Tone};
use super::show::{answer, name, or_none, problem_list};
use super::table::{Lines, plural, seats, wrap};
use super::{Failure, coverage, server};
use crate::report::{ClockReset, Feature, Pool, Server, Session, Status};

/// Below this part of its total, the free seats of a feature are few.
const FEW_FREE: u64 = 10;
/// So many days ahead a loss of seats is soon.
const SOON_DAYS: i64 = 30;
/// Of so many full features it is said who has the seats.
const FULL_SHOWN: usize = 5;
/// And of so many holders of each, those who have them longest.
const HOLDERS_SHOWN: usize = 3;

/// `seatkeeper status`.
///
/// # Errors
///
/// As [`server::report`].
pub fn status(read: &Read, out: &mut impl Output) -> Result<(), Failure> {
    let whole = server::report(read, "status", None)?;
    let paint = out.paint();
    answer(read.json, whole, out, |status: &Status| screen(status, paint))
}

/// `seatkeeper features`.
///
/// # Errors
///
/// As [`server::report`].
pub fn features(ask: &ReadFeature, out: &mut impl Output) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "features", ask.feature.as_ref())?;
    let paint = out.paint();
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(feature_table(status.features.as_deref().unwrap_or_default(), None, paint), "no features")
    })
}

fn screen(status: &Status, paint: Paint) -> String {
    let features = status.features.as_deref().unwrap_or_default();
    let today = status.server.as_ref().and_then(|server| server.today);
    let mut text = status.server.as_ref().map_or_else(String::new, |server| header(server, paint));
    text.push_str(&summary(features));
    text.push('\n');
    text.push_str(&match &status.features {
        None => "this server tells features to administrators only: use --admin\n".to_owned(),
        Some(list) if list.is_empty() => {
            "no features: no license in the directory names one; `seatkeeper licenses` lists them\n"
                .to_owned()
        }
        Some(_) => feature_table(features, today, paint),
    });
    let mut section = |title: &str, lines: Vec<String>, tone| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}:\n"));
            lines.iter().for_each(|line| text.push_str(&paint.lines(&wrap(line, 2, 4), tone)));
        }
    };
    section("nothing is free of", holders(features, status.sessions.as_deref()), Tone::Plain);
    section("releases that run", coverage::lines(features), Tone::Plain);
    section("ends soon, or has ended", coverage::notices(features), Tone::Warning);
    text.push_str(&status.problems.as_deref().map_or_else(String::new, |list| problem_list(list, paint)));
    text
}

/// Which server this is, its day, and what is unusual about it.
fn header(server: &Server, paint: Paint) -> String {
    let mut text = format!("{}, seatkeeperd {}", server.name, server.version);
    if let Some(started) = &server.started_at {
        text += &format!(", since {started}");
    }
    let mut lines = wrap(&text, 0, 2);
    if let (Some(today), Some(zone)) = (server.today, &server.time_zone) {
        let next = server.next_midnight.as_ref().map_or_else(String::new, |at| format!(", until {at}"));
        lines += &wrap(&format!("today is {today} in {zone}{next}"), 0, 2);
    }
    let mut line = |text: &str, tone| lines += &paint.lines(&wrap(text, 0, 2), tone);
    match server.clock.as_deref() {
        None | Some("ok") => {}
        Some("suspect") => line(
            "clock: suspect; it is behind the highest day served, so licenses with dates give no new seats: \
             set the clock right",
            Tone::Trouble,
        ),
        Some("provisional") => line(
            "clock: provisional; it jumped ahead by more than a day, and is believed when it has stood there for an \
             hour: if it is wrong, set it right before that",
            Tone::Warning,
        ),
        Some(state) => line(&format!("clock: {state}"), Tone::Warning),
    }
    if let Some(reset) = &server.clock_reset {
        let ClockReset { at, by, reason, from, to } = reset;
        line(&format!("clock reset at {at} by {by}, from {from} to {to}: {reason}"), Tone::Warning);
    }
    if server.recovering {
        line(
            "recovering: clients that have not come back yet have a lease to do so; nobody gets their seats before",
            Tone::Warning,
        );
    }
    if server.demo_key_trusted {
        line(
            "demo key trusted: fine for a trial; in production, trust your vendors' keys only",
            Tone::Warning,
        );
    }
    lines
}

/// How all features stand, in a line; empty where there is one, which says it itself.
fn summary(features: &[Feature]) -> String {
    if features.len() < 2 {
        return String::new();
    }
    let mut parts = vec![plural(features.len() as u64, "feature")];
    let mut part = |n: u64, text: &str| parts.extend((n > 0).then(|| format!("{n} {text}")));
    let number = |is: fn(&Feature) -> bool| features.iter().filter(|f| is(f)).count() as u64;
    part(number(|f| is_full(f) && f.over == 0), "full");
    part(number(|f| f.over > 0), "over");
    let used: u64 = features.iter().map(|f| f.used).sum();
    match features.iter().map(|f| f.total).sum::<Option<u64>>() {
        Some(total) => part(used, &format!("of {total} seats used")),
        None => part(used, if used == 1 { "seat used" } else { "seats used" }),
    }
    part(features.iter().map(|f| f.queued).sum(), "waiting");
    part(features.iter().filter_map(|f| f.denials_24h).sum(), "denied in 24 hours");
    wrap(&parts.join(", "), 0, 2)
}

/// Somebody has its seats, and nobody gets one.
fn is_full(f: &Feature) -> bool {
    f.free == Some(0) && f.used + f.held + f.reserved > 0
}

/// Who has the seats of what is full: a line for each of the first such features, those who have them longest first. Nothing
/// where the reader may not see users.
fn holders(features: &[Feature], sessions: Option<&[Session]>) -> Vec<String> {
    let sessions = sessions.unwrap_or_default();
    let line = |f: &Feature| {
        let mut of: Vec<&Session> =
            sessions.iter().filter(|s| s.vendor == f.vendor && s.feature == f.name).collect();
        of.sort_by_key(|s| (s.since.clone(), s.id.len(), s.id.clone()));
        let one = |s: &&Session| {
            let since = s.since.as_ref().map_or_else(String::new, |since| format!(" since {since}"));
            let state = if s.state == "active" { String::new() } else { format!(", {}", s.state) };
            format!("{} on {} {}{since}{state}", s.user, s.host, plural(s.count.into(), "seat"))
        };
        let mut parts: Vec<String> = of.iter().take(HOLDERS_SHOWN).map(one).collect();
        let more = of.len().saturating_sub(HOLDERS_SHOWN);
        parts.extend((more > 0).then(|| format!("{more} more")));
        (!parts.is_empty()).then(|| format!("{}: {}", name(Some(&f.vendor), &f.name), parts.join("; ")))
    };
    features.iter().filter(|f| is_full(f)).filter_map(line).take(FULL_SHOWN).collect()
}

/// One row a feature, and below it one for each of its pools where there are several; columns that would be all zeros
/// are left out. `today`: what changes soon after it is marked.
fn feature_table(features: &[Feature], today: Option<NaiveDate>, paint: Paint) -> String {
    type Column = (&'static str, fn(&Feature) -> u64, Tone);
    let rare: [Column; 6] = [
        (">OVER", |f| f.over, Tone::Trouble),
        (">HELD", |f| f.held, Tone::Plain),
        (">RESERVED", |f| f.reserved, Tone::Plain),
        (">BORROWED", |f| f.borrowed, Tone::Plain),
        (">QUEUED", |f| f.queued, Tone::Warning),
        (">DENIED", |f| f.denials_24h.unwrap_or_default(), Tone::Warning),
    ];
    let mut rows = Vec::new();
    for f in features {
        let pools = if f.pools.len() > 1 { &*f.pools } else { &[] };
        rows.push((name(Some(&f.vendor), &f.name), f.clone(), next(f, today)));
        rows.extend(
            pools
                .iter()
                .map(|pool| (format!("  {}", pool_name(pool)), of_pool(pool), (last_day(pool), Tone::Quiet))),
        );
    }
    let rare: Vec<Column> =
        rare.into_iter().filter(|(_, of, _)| rows.iter().any(|(_, f, _)| of(f) > 0)).collect();
    let has_tokens = rows.iter().any(|(_, f, _)| f.tokens.is_some());
    let mut headers = vec!["FEATURE", ">TOTAL", ">USED", ">FREE", ">SUSPECT"];
    headers.extend(rare.iter().map(|(name, ..)| *name));
    headers.extend(has_tokens.then_some(">TOKENS"));
    headers.push("NEXT TOTAL");
    let mut table = Lines::painted(&headers, paint);
    for (name, f, next) in rows {
        // A token has no seats: noughts would say that they are all taken.
        let is_token_alone = f.tokens.is_some() && f.total == Some(0) && f.used == 0;
        let seat = |text: String| if is_token_alone { "-".to_owned() } else { text };
        let is_pool = f.vendor.is_empty();
        let tone = |tone: Tone| if is_pool { Tone::Quiet } else { tone };
        let count =
            |n: u64, marked: Tone| (seat(n.to_string()), tone(if n > 0 { marked } else { Tone::Plain }));
        let free = match f.free {
            Some(0) if is_full(&f) || f.total == Some(0) => Tone::Trouble,
            Some(free) if f.total.is_some_and(|total| free.saturating_mul(FEW_FREE) <= total) => {
                Tone::Warning
            }
            _ => Tone::Plain,
        };
        let free = if is_token_alone { Tone::Plain } else { free };
        let mut row = vec![
            (name, tone(Tone::Plain)),
            (seat(seats(f.total, f.unlimited)), tone(Tone::Plain)),
            count(f.used, Tone::Plain),
            (seat(if f.unlimited { "-".into() } else { seats(f.free, false) }), tone(free)),
            count(f.suspect, Tone::Warning),
        ];
        row.extend(rare.iter().map(|(_, of, marked)| count(of(&f), *marked)));
        let tokens = || f.tokens.map_or_else(|| "-".into(), |tokens| tokens.to_string());
        row.extend(has_tokens.then(|| (tokens(), tone(Tone::Plain))));
        row.push(next);
        table.painted_row(row);
    }
    table.text()
}

/// What the total comes to, and from which day on, or that it has come to nothing.
fn next(f: &Feature, today: Option<NaiveDate>) -> (String, Tone) {
    let Some(next) = &f.next_change else {
        return match (f.end, today) {
            (Some(end), Some(today)) if f.total == Some(0) && end < today => {
                (format!("ended {end}"), Tone::Trouble)
            }
            // What a token takes is counted elsewhere; it has its own end.
            _ if f.tokens.is_some() && f.end.is_some() => {
                (f.end.map_or_else(String::new, |end| format!("to {end}")), Tone::Plain)
            }
            // Without seats there is nothing that could stay.
            _ if f.total == Some(0) && f.tokens.is_none() => ("-".into(), Tone::Plain),
            _ => ("stays".into(), Tone::Plain),
        };
    };
    let text = format!("{} from {}", seats(next.total, next.total.is_none()), next.day);
    // Unlimited is more than any number.
    let is_less = next.total.unwrap_or(u64::MAX) < f.total.unwrap_or(u64::MAX);
    let is_soon = today.is_some_and(|today| (next.day - today).num_days() <= SOON_DAYS);
    (text, if is_less && is_soon { Tone::Warning } else { Tone::Plain })
}

/// The last day of the license whose terms hold for a pool.
fn last_day(pool: &Pool) -> String {
    let end = pool.licenses.first().and_then(|license| license.end);
    end.map_or_else(String::new, |end| format!("to {end}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{License, NextChange, Numbers};

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
        let plain = feature_table(&[feature()], None, Paint::Plain);
        assert!(plain.lines().count() == 2 && !plain.contains("OVER"), "{plain}");
        let over = feature_table(&[Feature { over: 3, ..feature() }], None, Paint::Plain);
        let row: Vec<&str> = over.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["ACME/cad", "5", "8", "0", "0", "3", "stays"], "{over}");
    }

    #[test]
    fn several_pools_stand_below_their_feature_and_tokens_apart() {
        let pool = |key_type: &str, sn: Option<&str>, total, used| Pool {
            key_type: key_type.into(),
            sn: sn.map(str::to_owned),
            numbers: Numbers { total, used, free: total.map(|t: u64| t - used), ..Numbers::default() },
            ..Pool::default()
        };
        let until = License { end: NaiveDate::from_ymd_opt(2030, 6, 30), ..License::default() };
        let pools = vec![
            Pool { version: Some("4.2".into()), ..pool("EXCLUSIVE", None, Some(10), 8) },
            Pool { licenses: vec![until], ..pool("ADDITIVE", Some("7f3c"), Some(4), 1) },
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
FEATURE          TOTAL  USED  FREE  SUSPECT  TOKENS  NEXT TOTAL
ACME/cad            14     9     5        0       -  stays
  exclusive 4.2     10     8     2        0       -
  additive 7f3c      4     1     3        0       -  to 2030-06-30
ACME/suite           -     -     -        -       3  stays
";
        assert_eq!(feature_table(&[cad.clone(), suite], None, Paint::Plain), expected);
        let alone = Feature { pools: vec![cad.pools[0].clone()], ..cad };
        assert_eq!(feature_table(&[alone], None, Paint::Plain).lines().count(), 2, "one pool is the feature");
    }

    #[test]
    fn the_widest_features_fit_eighty_columns() {
        let long = "x".repeat(64);
        let day = NaiveDate::from_ymd_opt(2030, 6, 30).unwrap();
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
            denials_24h: Some(1),
            next_change: Some(NextChange { day, total: Some(2_147_483_646), ..NextChange::default() }),
            total: Some(2_147_483_647),
            used: 2_147_483_647,
            ..feature()
        };
        let text = feature_table(&[feature], Some(day), Paint::Plain);
        assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
    }

    /// `(total, what it is next, from which day on)`, seen on 2030-06-01.
    #[test]
    fn what_comes_next_is_a_total_and_a_day() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = Some(date("2030-06-01"));
        let of = |total: Option<u64>, next: Option<(Option<u64>, &str)>| Feature {
            total,
            next_change: next.map(|(total, day)| NextChange { day: date(day), total, at: String::new() }),
            ..Feature::default()
        };
        for (feature, text, tone) in [
            (of(Some(16), Some((Some(10), "2030-07-01"))), "10 from 2030-07-01", Tone::Warning),
            (of(Some(16), Some((Some(10), "2030-07-02"))), "10 from 2030-07-02", Tone::Plain),
            (of(Some(16), Some((None, "2030-06-02"))), "unlimited from 2030-06-02", Tone::Plain),
            (of(None, Some((Some(3), "2030-06-02"))), "3 from 2030-06-02", Tone::Warning),
            (of(None, None), "stays", Tone::Plain),
            (of(Some(0), None), "-", Tone::Plain),
            (
                Feature { end: Some(date("2030-05-31")), ..of(Some(0), None) },
                "ended 2030-05-31",
                Tone::Trouble,
            ),
            (Feature { end: Some(date("2030-06-01")), ..of(Some(0), None) }, "-", Tone::Plain),
        ] {
            assert_eq!(next(&feature, today), (text.to_owned(), tone));
        }
    }

    #[test]
    fn who_has_the_seats_of_what_is_full_is_said_longest_first() {
        let session = |id: &str, user: &str, since: &str, state: &str| Session {
            id: id.into(),
            vendor: "ACME".into(),
            feature: "cad".into(),
            count: 2,
            user: user.into(),
            host: "ws7".into(),
            state: state.into(),
            since: Some(since.into()),
            ..Session::default()
        };
        let sessions = [
            session("9", "cy", "2030-06-01T09:00:00Z", "active"),
            session("2", "bob", "2030-06-01T08:00:00Z", "suspect"),
            session("3", "ann", "2030-06-01T07:00:00Z", "active"),
            session("4", "dan", "2030-06-01T10:00:00Z", "active"),
            Session { feature: "fea".into(), ..session("5", "eve", "2030-06-01T06:00:00Z", "active") },
        ];
        let fea = Feature { name: "fea".into(), free: Some(1), ..feature() };
        let expected = "ACME/cad: ann on ws7 2 seats since 2030-06-01T07:00:00Z; \
                        bob on ws7 2 seats since 2030-06-01T08:00:00Z, suspect; \
                        cy on ws7 2 seats since 2030-06-01T09:00:00Z; 1 more";
        assert_eq!(holders(&[feature(), fea], Some(&sessions)), [expected]);
        assert_eq!(holders(&[feature()], None), [""; 0], "who may not see users sees none");
    }

    #[test]
    fn colors_change_nothing_that_is_read() {
        let day = NaiveDate::from_ymd_opt(2030, 6, 30).unwrap();
        let name = "設計".to_owned();
        let cells = Feature { name, suspect: 2, queued: 1, denials_24h: Some(7), over: 3, ..feature() };
        let mut status = Status { features: Some(vec![cells, feature()]), ..Status::default() };
        status.server = Some(Server {
            name: "lic01".into(),
            today: Some(day),
            clock: Some("suspect".into()),
            recovering: true,
            ..Server::default()
        });
        status.problems =
            Some(vec![crate::report::Problem { message: "broken".into(), ..Default::default() }]);
        let (plain, colored) = (screen(&status, Paint::Plain), screen(&status, Paint::Colors));
        assert!(!plain.contains('\u{1b}'), "{plain:?}");
        assert!(colored.contains("\u{1b}["), "{colored:?}");
        let stripped = anstream::adapter::strip_str(&colored).to_string();
        let stripped: String = stripped.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        assert_eq!(stripped, plain);
        assert!(
            plain.contains(
                "2 features, 1 full, 1 over, 16 of 10 seats used, 1 waiting, 7 denied in 24 hours\n"
            ),
            "{plain}"
        );
    }
}
