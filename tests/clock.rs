//! The clock: where days begin, and that ticks and days do not disturb each other.

mod common;

use std::time::Duration;

use chrono::NaiveDate;
use common::Random;
use seatkeeper::clock::{Clock, Ticks, Zone, ZoneError, rfc3339};

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn hours(name: &str, year: i32, month: u32, day: u32) -> i64 {
    let (zone, day) = (zone(name), date(year, month, day));
    (zone.end_instant(day) - zone.start_of_day(day)) / 3_600_000
}

#[test]
fn a_day_begins_with_its_first_instant_in_the_servers_zone() {
    // Expected values were computed with Python's zoneinfo, not with this code.
    let days = [
        ("UTC", date(2030, 6, 30), "2030-06-30T00:00:00Z"),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00:00Z"),
        ("Europe/Berlin", date(2026, 3, 30), "2026-03-29T22:00:00Z"),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", date(2026, 10, 26), "2026-10-25T23:00:00Z"),
        ("Europe/Berlin", date(2028, 2, 29), "2028-02-28T23:00:00Z"),
        ("Europe/Berlin", date(2028, 3, 1), "2028-02-29T23:00:00Z"),
        ("Europe/Berlin", date(2027, 1, 1), "2026-12-31T23:00:00Z"),
        // 00:00 is left out: the day begins at 01:00.
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00:00Z"),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00Z"),
        // The gap lies around midnight, from 23:30 to 00:30: the day begins at 00:30.
        ("America/Toronto", date(1919, 3, 31), "1919-03-31T04:30:00Z"),
        // A day that never was begins with the next.
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00Z"),
        // 00:00 comes twice: the first counts.
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00:00Z"),
        // At 00:01 the clocks went back to 23:01 of the day before: the first midnight counts.
        ("America/St_Johns", date(2010, 11, 7), "2010-11-07T02:30:00Z"),
    ];
    for (name, day, expected) in days {
        assert_eq!(rfc3339(zone(name).start_of_day(day)), expected, "{name} {day}");
    }
}

/// E of the vectors of rules 3: "today" is the day of the server's zone.
#[test]
fn today_is_what_the_vectors_say() {
    let vectors = include_str!("../crates/seats/tests/maintenance/vectors.txt");
    let mut asked = 0;
    for line in vectors.lines().filter(|line| line.starts_with('E')) {
        let [number, input, expected] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let Some(input) = input.strip_prefix("today at ") else { continue };
        let (instant, name) = input.split_once(", time_zone ").expect("an instant and a zone");
        let instant = chrono::DateTime::parse_from_rfc3339(instant).expect("an instant");
        assert_eq!(zone(name).day_of(instant.timestamp_millis()).to_string(), expected, "{number}");
        asked += 1;
    }
    assert_eq!(asked, 5);
}

#[test]
fn a_day_has_as_many_hours_as_the_clocks_give_it() {
    assert_eq!(hours("Europe/Berlin", 2026, 3, 29), 23);
    assert_eq!(hours("Europe/Berlin", 2026, 10, 25), 25);
    assert_eq!(hours("Africa/Cairo", 2026, 4, 24), 23);
    assert_eq!(hours("America/Sao_Paulo", 2018, 11, 4), 23);
    assert_eq!(hours("America/Havana", 2026, 11, 1), 25);
    assert_eq!(hours("Pacific/Apia", 2011, 12, 30), 0, "it never was");
    assert_eq!(hours("Pacific/Apia", 2011, 12, 29), 24);
    // Kwajalein lived through 30 September 1969 nearly twice.
    assert_eq!(hours("Pacific/Kwajalein", 1969, 9, 30), 47);
}

#[test]
fn a_license_that_ends_today_grants_until_the_last_millisecond_of_today() {
    for (name, day) in [
        ("UTC", date(2030, 1, 1)),
        ("Europe/Berlin", date(2026, 3, 29)),
        ("Europe/Berlin", date(2026, 10, 25)),
        ("Africa/Cairo", date(2026, 4, 23)),
        ("America/Sao_Paulo", date(2018, 11, 3)),
        ("America/Havana", date(2026, 10, 31)),
        ("Europe/Berlin", date(2028, 2, 29)),
        ("Europe/Berlin", date(2026, 12, 31)),
    ] {
        let zone = zone(name);
        let end = zone.end_instant(day);
        assert_eq!(zone.day_of(end - 1), day, "{name} {day}");
        assert_eq!(zone.day_of(end), day.succ_opt().unwrap(), "{name} {day}");
    }
}

#[test]
fn a_clock_that_goes_back_over_midnight_does_not_bring_yesterday_back() {
    let zone = zone("America/St_Johns");
    let midnight = zone.start_of_day(date(2010, 11, 7));
    // Half an hour after the first midnight the wall clocks show 23:30 of the 6th.
    assert!(zone.local_text(midnight + 30 * 60_000).starts_with("2010-11-06 23:30"));
    assert_eq!(zone.day_of(midnight + 30 * 60_000), date(2010, 11, 7));
}

#[test]
fn the_day_after_the_29th_of_apia_is_the_31st() {
    let zone = zone("Pacific/Apia");
    let end = zone.end_instant(date(2011, 12, 29));
    assert_eq!(zone.day_of(end - 1), date(2011, 12, 29));
    assert_eq!(zone.day_of(end), date(2011, 12, 31));
}

#[test]
fn days_of_any_zone_follow_each_other_without_gap_or_overlap() {
    let seed = common::seed();
    let mut random = Random(seed);
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    assert!(names.len() > 100, "the system has time zones");
    // From 1850 to 2100, where the zones' own rules are.
    let (first, last) = (-3_786_825_600_000, 4_102_444_800_000);
    for _ in 0..20_000 {
        let name = random.one_of(&names).clone();
        let Ok(zone) = Zone::named(&name) else { continue };
        let at = random.within(first, last);
        holds_its_instant(&zone, at);
        // And close to the midnights, where it can go wrong.
        let edge = zone.start_of_day(zone.day_of(at)) + random.within(-7_200_000, 7_200_000);
        holds_its_instant(&zone, edge);
    }
}

fn holds_its_instant(zone: &Zone, at: i64) {
    let day = zone.day_of(at);
    let (start, end) = (zone.start_of_day(day), zone.end_instant(day));
    assert!(start <= at && at < end, "{zone:?} {at}: {day} is {start}..{end}");
}

#[test]
fn dates_and_instants_beyond_the_calendar_are_answered() {
    let zone = zone("Europe/Berlin");
    for day in [date(9999, 12, 31), date(-9999, 1, 1), NaiveDate::MAX, NaiveDate::MIN, date(20_000, 2, 29)] {
        let start = zone.start_of_day(day);
        assert_eq!(zone.day_of(start), day, "{day}");
    }
    assert_eq!(zone.day_of(i64::MAX), NaiveDate::MAX);
    assert_eq!(zone.day_of(i64::MIN), NaiveDate::MIN);
    assert_eq!(rfc3339(zone.end_instant(date(9999, 12, 31))), "9999-12-31T23:00:00Z");
    assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    assert_eq!(rfc3339(i64::MIN), "0000-01-01T00:00:00Z");
}

#[test]
fn instants_are_written_in_utc_and_as_people_here_write_them() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
    assert_eq!(rfc3339(1_900_000_000_999), "2030-03-17T17:46:40Z");
    assert_eq!(zone("Europe/Berlin").local_text(1_900_000_000_999), "2030-03-17 18:46:40 +01:00");
    assert_eq!(zone("America/St_Johns").local_text(0), "1969-12-31 20:30:00 -03:30");
}

#[test]
fn an_unknown_zone_is_an_error_that_says_what_to_do() {
    let error = Zone::named("Europe/Berlim").unwrap_err();
    assert!(matches!(&error, ZoneError::Unknown { name, .. } if name == "Europe/Berlim"));
    let text = error.to_string();
    assert!(text.contains("Europe/Berlim") && text.contains("IANA") && text.contains("tzdata"), "{text}");
    assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
    for bad in ["", "../../etc/passwd", "/etc/localtime", "CET-1CEST"] {
        assert!(Zone::named(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_bad_system_zone_is_never_taken_for_utc() {
    // TZ is read once in a process, so that each case needs one of its own: this binary, with only the test below.
    let run = |tz: &str| {
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "prints_the_system_zone", "--ignored", "--nocapture"])
            .env("TZ", tz)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().find_map(|l| l.split("zone is ").nth(1)).expect("it prints the zone").to_owned()
    };
    assert_eq!(run("America/Havana"), "Zone(America/Havana)");
    assert!(run("Nowhere/Bad").starts_with("unknown: the time zone of this system cannot be found out"));
}

#[test]
#[ignore = "run by a_bad_system_zone_is_never_taken_for_utc with a TZ of its own"]
fn prints_the_system_zone() {
    match Zone::system() {
        Ok(zone) => println!("\nzone is {zone:?}"),
        Err(error) => println!("\nzone is unknown: {error}"),
    }
}

#[test]
fn midnight_changes_the_day_and_a_step_back_gives_the_earlier_one() {
    let berlin = zone("Europe/Berlin");
    let midnight = berlin.start_of_day(date(2026, 3, 29));
    let (clock, time) = Clock::simulated(berlin, Ticks(5_000), midnight - 1);
    assert_eq!(clock.now().today, date(2026, 3, 28));
    time.advance(Duration::from_millis(1));
    let reading = clock.now();
    assert_eq!((reading.today, reading.tick, reading.unix_ms), (date(2026, 3, 29), Ticks(5_001), midnight));
    time.advance(Duration::from_secs(23 * 3600) - Duration::from_millis(1));
    assert_eq!(clock.now().today, date(2026, 3, 29), "this day has 23 hours");
    time.advance(Duration::from_millis(1));
    assert_eq!(clock.now().today, date(2026, 3, 30));
    time.set_wall_clock(midnight - 1);
    assert_eq!(clock.now().today, date(2026, 3, 28));
    time.set_wall_clock(midnight + 49 * 3_600_000);
    assert_eq!(clock.now().today, date(2026, 3, 31), "two days at one step");
}

#[test]
fn ticks_do_not_notice_the_wall_clock() {
    let (clock, time) = Clock::simulated(Zone::utc(), Ticks(7), 0);
    let other = clock.clone();
    time.set_wall_clock(-86_400_000_000);
    assert_eq!(clock.tick(), Ticks(7));
    time.set_wall_clock(86_400_000_000);
    time.advance(Duration::from_secs(2));
    assert_eq!((clock.tick(), other.tick()), (Ticks(2_007), Ticks(2_007)));
    time.advance_until(Duration::from_secs(3));
    time.advance_until(Duration::from_secs(1));
    assert_eq!(clock.tick(), Ticks(3_007));
    assert_eq!(clock.tick().since(Ticks(7)), Duration::from_secs(3));
    assert_eq!(Ticks(7).since(clock.tick()), Duration::ZERO);
}

#[test]
fn the_systems_clock_goes_on_from_the_last_tick() {
    let base = Ticks(1_000_000_000_000);
    let clock = Clock::system(Zone::utc(), base);
    let first = clock.now();
    let second = clock.now();
    assert!(base <= first.tick && first.tick <= second.tick);
    assert!(second.tick.since(base) < Duration::from_secs(60), "it starts from the base");
    assert!(first.today >= date(2026, 1, 1));
    assert_eq!(first.today, Zone::utc().day_of(first.unix_ms));
}
