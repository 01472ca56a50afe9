//! The history: what is written of events, what is asked of it, what survives (docs/HISTORY.md).

#[path = "../common/mod.rs"]
mod common;
mod days;
mod denials;
#[path = "../common/schema.rs"]
mod schema;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::NaiveDate;
use common::{Random, require, seed};
use rusqlite::Connection;
use seatkeeper::clock::{Zone, rfc3339_ms};
use seatkeeper::config::History as Settings;
use seatkeeper::events::what::{
    AdminAction, Release, Seats, SessionDenied, SessionEnded, SessionGranted, SessionReduced, Who,
};
use seatkeeper::events::{Event, What};
use seatkeeper::history::store::{Item, OpenSession, Store};
use seatkeeper::history::usage::{By, Question, usage};
use seatkeeper::report::{Usage, UsageRow};
use serde_json::Value;
use tempfile::TempDir;

const HOUR: i64 = 3_600_000;

struct Site {
    directory: TempDir,
    store: Option<Store>,
    zone: Zone,
    seq: u64,
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn who(user: &str) -> Who {
    Who { user: Some(user.into()), host: Some(format!("{user}-pc")), pid: Some(7), ..Who::default() }
}

fn seats(session: u64, user: &str, feature: &str, seats: u32) -> Seats {
    Seats {
        session: format!("{session:013}"),
        bundle: format!("{session:013}"),
        vendor: "ACME".into(),
        feature: feature.into(),
        key_type: "EXCLUSIVE".into(),
        seats,
        who: who(user),
        release: Release { release_version: Some("4.2".into()), release_date: Some("2030-05-02".into()) },
        ..Seats::default()
    }
}

fn open(session: u64, user: &str, feature: &str, count: u32, since: i64) -> OpenSession {
    let of = seats(session, user, feature, count);
    OpenSession {
        session: of.session,
        bundle: of.bundle,
        vendor: of.vendor,
        feature: of.feature,
        user: user.into(),
        host: format!("{user}-pc"),
        seats: count,
        since: Some(since),
        version: None,
        release_date: None,
        borrow: false,
    }
}

impl Site {
    fn new(zone: &str, now: i64) -> Site {
        let zone = Zone::named(zone).unwrap();
        let mut site = Site { directory: TempDir::new().unwrap(), store: None, zone, seq: 0 };
        site.restart("first", now);
        site
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("history.sqlite")
    }

    fn restart(&mut self, run: &str, now: i64) {
        self.store = None;
        self.store = Some(Store::open(&self.path(), run, self.zone.clone(), now).unwrap());
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn tell(&mut self, at: i64, what: impl Into<What>) {
        self.seq += 1;
        let (seq, what) = (self.seq, what.into());
        let event = Event { seq, run: "first".into(), at: rfc3339_ms(at), unix_ms: at, what };
        self.store().write(&[Item::Event(event)], at).unwrap();
    }

    fn granted(&mut self, at: i64, of: &Seats) {
        self.tell(at, SessionGranted { of: of.clone(), ..SessionGranted::default() });
    }

    fn ended(&mut self, at: i64, of: &Seats, since: i64) {
        let held_ms = u64::try_from(at - since).unwrap();
        let cause = "checked_in".to_owned();
        self.tell(
            at,
            SessionEnded {
                of: of.clone(),
                cause,
                since: Some(rfc3339_ms(since)),
                held_ms,
                ..Default::default()
            },
        );
    }

    /// The end of a session that happened then, told later.
    fn tell_ended(&mut self, at: i64, of: &Seats, since: i64, now: i64) {
        self.ended(at, of, since);
        self.store().write(&[], now).unwrap();
    }

    fn reduced(&mut self, at: i64, of: &Seats, remaining: u32) {
        self.tell(at, SessionReduced { of: of.clone(), remaining, held_ms: 0, since: None });
    }

    fn denied(&mut self, at: i64, user: &str, feature: &str) {
        let denied = SessionDenied {
            code: "no_seats".into(),
            vendor: Some("ACME".into()),
            feature: feature.into(),
            wanted: 1,
            who: who(user),
            ..SessionDenied::default()
        };
        self.tell(at, denied);
    }

    fn compare(&mut self, open: Vec<OpenSession>, lost: i64, now: i64) {
        let mut pages = vec![Vec::new(), open];
        self.store().compare(|| pages.pop(), lost, now).unwrap().expect("there are pages");
    }

    fn ask(&self, by: By, from: &str, to: &str, now: i64) -> Usage {
        let question = Question { by, from: Some(day(from)), to: Some(day(to)), ..Question::default() };
        usage(&self.path(), &question, &self.zone, now).unwrap()
    }

    fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn only(&self, from: &str, to: &str, now: i64) -> UsageRow {
        let usage = self.ask(By::Feature, from, to, now);
        assert_eq!(usage.usage.len(), 1, "{usage:?}");
        usage.usage[0].clone()
    }
}

/// 2030-06-01T00:00:00Z.
const JUNE: i64 = 1_906_502_400_000;

#[test]
fn peaks_hours_and_sessions_are_those_of_a_count_by_hand() {
    let seed = seed();
    let mut random = Random(seed);
    let mut site = Site::new("UTC", JUNE);
    let minute = 60_000;
    // Whole minutes, so that the count by hand can look at each.
    let minutes = 3 * 24 * 60;
    let users = ["ann", "bob", "carl"];
    let mut all = Vec::new();
    for session in 0..120_u64 {
        let begin = random.within(0, minutes - 1);
        let end = random.within(begin + 1, minutes);
        let of = seats(
            session,
            random.one_of::<&str>(&users),
            random.one_of::<&str>(&["cad", "sim"]),
            u32::try_from(random.within(1, 4)).unwrap(),
        );
        all.push((begin, end, of));
    }
    let mut steps: Vec<(i64, bool, usize)> = Vec::new();
    for (at, (begin, end, _)) in all.iter().enumerate() {
        steps.extend([(*begin, true, at), (*end, false, at)]);
    }
    // An end of a minute before a beginning of it; but no session ends before it began.
    steps.sort_by_key(|(at, begins, nth)| (*at, *begins, *nth));
    for (at, begins, nth) in steps {
        let (begin, _, of) = all[nth].clone();
        match begins {
            true => site.granted(JUNE + at * minute, &of),
            false => site.ended(JUNE + at * minute, &of, JUNE + begin * minute),
        }
    }
    let now = JUNE + minutes * minute;
    for (from, to) in [(1, 1), (2, 2), (1, 3), (2, 3)] {
        let (first, last) = ((from - 1) * 1_440, to * 1_440);
        let mut peak: BTreeMap<(String, String), i64> = BTreeMap::new();
        let mut total: BTreeMap<(String, String), i64> = BTreeMap::new();
        for minute in first..last {
            let mut used: BTreeMap<(String, String), i64> = BTreeMap::new();
            for (_, _, of) in all.iter().filter(|(begin, end, _)| (*begin..*end).contains(&minute)) {
                let user = of.who.user.clone().unwrap();
                *used.entry((of.feature.clone(), user)).or_default() += i64::from(of.seats);
                *used.entry((of.feature.clone(), String::new())).or_default() += i64::from(of.seats);
            }
            for (key, used) in used {
                *total.entry(key.clone()).or_default() += used;
                let peak = peak.entry(key).or_default();
                *peak = (*peak).max(used);
            }
        }
        let (from, to) = (format!("2030-06-0{from}"), format!("2030-06-0{to}"));
        for by in [By::Feature, By::User] {
            let rows = site.ask(by, &from, &to, now).usage;
            let is_of = |user: &str| user.is_empty() == (by == By::Feature);
            assert_eq!(rows.len(), total.keys().filter(|(_, user)| is_of(user)).count(), "seed {seed}");
            for row in rows {
                let key = (row.feature.clone(), row.user.clone().unwrap_or_default());
                let hours = total[&key] as f64 / 60.0;
                assert_eq!(row.peak, u64::try_from(peak[&key]).unwrap(), "{key:?} {from} {to}, seed {seed}");
                assert!(
                    (row.hours - hours).abs() < 1e-6,
                    "{key:?}: {} is not {hours}, seed {seed}",
                    row.hours
                );
            }
        }
        // The views say the same of a day, also when it is summed.
        for is_summed in [false, true].into_iter().filter(|_| from == to) {
            if is_summed {
                site.store().sum(now).unwrap();
            }
            let sql = site.sql();
            let mut views = sql
                .prepare(
                    "SELECT feature, '', peak, hours FROM feature_days WHERE day = ?1
                    UNION ALL SELECT feature, user, peak, hours FROM user_days WHERE day = ?1",
                )
                .unwrap();
            let mut rows = views.query([&from]).unwrap();
            let mut seen = 0;
            while let Some(row) = rows.next().unwrap() {
                let key: (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
                let hours: f64 = row.get(3).unwrap();
                assert_eq!(row.get::<_, i64>(2).unwrap(), peak[&key], "{key:?} {from}, seed {seed}");
                assert!((hours - total[&key] as f64 / 60.0).abs() < 1e-6);
                seen += 1;
            }
            assert_eq!(seen, total.len(), "seed {seed}");
        }
    }
}

#[test]
fn a_day_on_which_the_clocks_change_has_its_own_length() {
    // Berlin, 2030-10-27: 25 hours.
    let noon = 1_919_332_800_000;
    let mut site = Site::new("Europe/Berlin", noon - 48 * HOUR);
    let of = seats(1, "ann", "cad", 2);
    site.granted(noon - 48 * HOUR, &of);
    site.ended(noon + 48 * HOUR, &of, noon - 48 * HOUR);
    let row = site.only("2030-10-27", "2030-10-27", noon + 48 * HOUR);
    assert!((row.hours - 50.0).abs() < 1e-9, "{row:?}");
    let hours: f64 = site
        .sql()
        .query_row("SELECT hours FROM feature_days WHERE day = '2030-10-27'", [], |row| row.get(0))
        .unwrap();
    assert!((hours - 50.0).abs() < 1e-9, "{hours}");
}

#[test]
fn a_denial_is_true_unless_the_same_user_has_the_feature_within_five_minutes() {
    let mut site = Site::new("UTC", JUNE);
    let minutes = |n: i64| JUNE + n * 60_000;
    site.denied(minutes(0), "ann", "cad");
    site.denied(minutes(0), "bob", "cad");
    site.denied(minutes(0), "carl", "cad");
    site.denied(minutes(0), "dora", "cad");
    // Written otherwise, it is the same user and the same feature.
    site.granted(minutes(5), &seats(1, "ANN", "CAD", 1));
    site.granted(minutes(5) + 1, &seats(2, "bob", "cad", 1));
    site.granted(minutes(1), &seats(3, "carl", "sim", 1));
    let usage = site.ask(By::User, "2030-06-01", "2030-06-01", minutes(60));
    let of = |user: &str| {
        let is_of = |row: &&UsageRow| {
            row.user.as_deref().is_some_and(|u| u.eq_ignore_ascii_case(user))
                && row.feature.eq_ignore_ascii_case("cad")
        };
        let row = usage.usage.iter().find(is_of).unwrap_or_else(|| panic!("{user}: {usage:?}"));
        (row.denials, row.true_denials)
    };
    assert_eq!([of("ann"), of("bob"), of("carl"), of("dora")], [(1, 0), (1, 1), (1, 1), (1, 1)]);
    let row = site.ask(By::Feature, "2030-06-01", "2030-06-01", minutes(60)).usage.remove(0);
    assert_eq!((row.feature.to_lowercase().as_str(), row.denials, row.true_denials), ("cad", 4, 3));
    let day: (i64, i64) = site
        .sql()
        .query_row("SELECT denials, true_denials FROM denial_days WHERE code = 'no_seats'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(day, (4, 3));
}

#[test]
fn sessions_over_a_restart_are_neither_lost_nor_counted_twice() {
    let hours = |n: i64| JUNE + n * HOUR;
    let mut site = Site::new("UTC", JUNE);
    let (stays, killed, late) =
        (seats(1, "ann", "cad", 2), seats(2, "bob", "cad", 1), seats(3, "carl", "cad", 1));
    for of in [&stays, &killed, &late] {
        site.granted(hours(0), of);
    }
    site.store().write(&[], hours(2)).unwrap();
    // Down from 2 to 3; bob's session ended unseen, dora's was granted unseen.
    site.restart("second", hours(3));
    let lost = site.store().written_until();
    assert_eq!(lost, hours(2));
    site.compare(
        vec![open(1, "ann", "cad", 2, hours(0)), open(4, "dora", "cad", 1, hours(1) - 7)],
        lost,
        hours(3),
    );
    // Again, as after a gap: nothing changes.
    site.compare(
        vec![open(1, "ann", "cad", 2, hours(0)), open(4, "dora", "cad", 1, hours(1))],
        lost,
        hours(3),
    );
    // The grant that the comparison ran ahead of, and an end that it took for lost.
    site.granted(hours(1), &seats(4, "dora", "cad", 1));
    site.ended(hours(3), &late, hours(0));
    site.ended(hours(4), &stays, hours(0));
    // Its beginning was never seen.
    site.ended(hours(4), &seats(9, "eve", "cad", 1), hours(3));
    let usage = site.ask(By::User, "2030-06-01", "2030-06-01", hours(5));
    let of = |user: &str| {
        let row = usage.usage.iter().find(|row| row.user.as_deref() == Some(user)).unwrap();
        (row.peak, row.sessions, row.hours)
    };
    assert_eq!(of("ann"), (2, 1, 8.0));
    assert_eq!(of("bob"), (1, 1, 2.0));
    assert_eq!(of("carl"), (1, 1, 3.0));
    assert_eq!(of("dora"), (1, 1, 4.0), "still running");
    assert_eq!(of("eve"), (1, 1, 1.0));
    assert_eq!(usage.missing.len(), 1);
    assert_eq!((usage.missing[0].reason.as_str(), usage.missing[0].events), ("restart", None));
    // The same run again, as after a full disk, is no restart.
    site.restart("second", hours(5));
    assert_eq!(site.ask(By::Feature, "2030-06-01", "2030-06-01", hours(5)).missing.len(), 1);
    site.store().write(&[Item::Missed(17)], hours(6)).unwrap();
    let usage = site.ask(By::Feature, "2030-06-01", "2030-06-01", hours(6));
    assert_eq!((usage.missing[0].reason.as_str(), usage.missing[0].events), ("missed", Some(17)));
}

#[test]
fn seats_that_come_back_before_the_others_count_until_then() {
    let hours = |n: i64| JUNE + n * HOUR;
    let mut site = Site::new("UTC", JUNE);
    site.granted(hours(0), &seats(1, "ann", "cad", 5));
    let of = seats(1, "ann", "cad", 2);
    site.tell(hours(1), SessionReduced { of, remaining: 3, held_ms: 0, since: Some(rfc3339_ms(hours(0))) });
    // Two more went unseen.
    site.compare(vec![open(1, "ann", "cad", 1, hours(0))], hours(2), hours(3));
    site.ended(hours(4), &seats(1, "ann", "cad", 1), hours(0));
    let row = site.only("2030-06-01", "2030-06-01", hours(5));
    assert_eq!((row.peak, row.sessions, row.hours), (5, 1, 2.0 + 2.0 * 2.0 + 4.0));
}

#[test]
fn what_is_too_old_or_too_much_goes_the_oldest_first() {
    let mut site = Site::new("UTC", JUNE);
    let days = |n: i64| JUNE + n * 24 * HOUR;
    for n in 0..40 {
        let of = seats(u64::try_from(n).unwrap(), "ann", "cad", 1);
        site.granted(days(n), &of);
        site.ended(days(n) + HOUR, &of, days(n));
    }
    site.granted(days(0), &seats(99, "bob", "cad", 1));
    let old = Settings { keep: Duration::from_secs(10 * 86_400), ..Settings::default() };
    while site.store().prune(&old, days(40)).unwrap() {}
    let count = |site: &Site, table: &str| -> i64 {
        site.sql().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    // Events that were written late are kept longer: by their order, not by their time.
    assert_eq!(count(&site, "events"), 21);
    assert_eq!(count(&site, "spans WHERE until IS NULL"), 1, "what runs is not old");
    assert_eq!(count(&site, "spans"), 11);
    assert!(count(&site, "days") <= 11);
    // Nothing more by age; by size all of the rest goes, but what runs.
    assert!(!site.store().prune(&old, days(40)).unwrap());
    let small = Settings { max_bytes: 1, ..old };
    while site.store().prune(&small, i64::MIN).unwrap() {}
    assert_eq!((count(&site, "events"), count(&site, "spans")), (0, 1));
}

#[test]
fn the_page_names_every_column_and_its_questions_are_answered() {
    let mut site = Site::new("Europe/Berlin", JUNE);
    let of = seats(1, "ann", "cad", 2);
    site.granted(JUNE, &of);
    site.denied(JUNE + 1, "bob", "cad");
    let action = AdminAction {
        action: "release".into(),
        by: "uid 0".into(),
        reason: Some("exam".into()),
        ..AdminAction::default()
    };
    site.tell(JUNE + 2, action);
    site.ended(JUNE + HOUR, &of, JUNE);
    let lost = SessionEnded {
        of: seats(2, "bob", "cad", 1),
        cause: "lease_ended".into(),
        ..SessionEnded::default()
    };
    site.tell(JUNE + HOUR, lost);
    site.granted(JUNE + HOUR, &seats(3, "ann", "cad", 1));
    site.store().write(&[Item::Missed(1)], JUNE + 2 * HOUR).unwrap();
    let page = include_str!("../../docs/HISTORY.md");
    let sql = site.sql();
    let shell = require("sqlite3");
    let mut asked = 0;
    for block in page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let mut statement = sql.prepare(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        let mut rows = statement.query([]).unwrap();
        // The one question that depends on today; the others have an answer.
        let is_of_today = block.contains("'now'");
        assert!(
            rows.next().unwrap_or_else(|error| panic!("{error}: {block}")).is_some() || is_of_today,
            "{block}"
        );
        // The shell of a system may be older than what is built in here.
        if let Some(shell) = &shell {
            let file = format!("file:{}?mode=ro", site.path().display());
            let output = Command::new(shell).args(["-init", "/dev/null", &file, block]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}: {block}");
            assert!(!output.stdout.is_empty() || is_of_today, "{block}");
        }
        asked += 1;
    }
    assert!(asked >= 8, "{asked}");
    let mut tables = sql
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'",
        )
        .unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() >= 11, "{tables:?}");
    for table in tables {
        let rows = match table.as_str() {
            "events" | "spans" => page
                .split(&format!("### {table}\n"))
                .nth(1)
                .unwrap()
                .split("\n### ")
                .next()
                .unwrap()
                .to_owned(),
            _ => page
                .lines()
                .find(|line| line.starts_with(&format!("| {table} |")))
                .unwrap_or_else(|| panic!("{table} is not on the page"))
                .to_owned(),
        };
        let mut columns = sql.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        for column in columns.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap) {
            let is_named =
                rows.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == column);
            assert!(is_named, "{table}.{column} is not on the page");
        }
    }
    // Nothing of an event is lost: what has no column is in the JSON.
    let json: String = sql
        .query_row("SELECT json FROM events WHERE kind = 'session.granted'", [], |row| row.get(0))
        .unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["pid"], &json["key_type"], json.get("user")), (&7.into(), &"EXCLUSIVE".into(), None));
}

#[test]
fn usage_is_what_its_schema_says() {
    let mut site = Site::new("UTC", JUNE);
    site.granted(JUNE, &seats(1, "ann", "cad", 2));
    site.denied(JUNE, "bob", "cad");
    site.tell(JUNE, SessionDenied { feature: "nothing".into(), who: who("eve"), ..SessionDenied::default() });
    site.store().write(&[Item::Missed(3)], JUNE + 1).unwrap();
    site.restart("second", JUNE + HOUR);
    for by in [By::Feature, By::User, By::Host] {
        let usage = serde_json::to_value(site.ask(by, "2030-06-01", "2030-06-01", JUNE + HOUR)).unwrap();
        assert_eq!(usage["missing"].as_array().unwrap().len(), 2);
        assert_eq!(schema::Schemas::read().check("usage", &usage), Ok(()));
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let optional = if by == By::Feature { vec![] } else { vec![by.as_str()] };
        for row in usage["usage"].as_array().unwrap() {
            assert_eq!(
                names(row)
                    .iter()
                    .filter(|name| ["user", "host"].contains(&name.as_str()))
                    .collect::<Vec<_>>(),
                optional
            );
        }
    }
}

#[test]
fn a_newer_file_is_left_alone_and_a_broken_question_is_told() {
    let site = Site::new("UTC", JUNE);
    let question =
        Question { from: Some(day("2030-06-02")), to: Some(day("2030-06-01")), ..Question::default() };
    let error = usage(&site.path(), &question, &site.zone, JUNE).unwrap_err().to_string();
    assert_eq!(error, "the first day, 2030-06-02, is after the last, 2030-06-01");
    site.sql().pragma_update(None, "user_version", 7).unwrap();
    let error = Store::open(&site.path(), "x", Zone::utc(), JUNE).unwrap_err().to_string();
    assert!(
        error
            .ends_with("it has schema 7, this version knows 1; use the newer version, or move the file away"),
        "{error}"
    );
    let none = usage(Path::new("/nonexistent/history.sqlite"), &Question::default(), &site.zone, JUNE);
    assert!(none.unwrap_err().to_string().contains("No such file"));
}
