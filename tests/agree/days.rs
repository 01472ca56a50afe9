//! Days on which dates go wrong: a leap day, New Year, clocks that change, also at midnight itself. The daemon that ships and every
//! program that asks it stand at one instant; all agree on today, on what is granted and on the day of the end, and golden files
//! hold what they print. (tests/compat holds the old outputs alone, of a picture that is made up.)

use std::path::Path;

use serde_json::Value;

use crate::common::require;
use crate::compare::metrics;
use crate::compare::{Local, assert_agree, features, rules, text, unix};
use crate::outputs::{Shows, Told};
use crate::real::site::{Site, feature, upgrade};
use crate::real::until;
use crate::wall::Wall;
use crate::world::{World, take};

/// Instants, days and offsets were computed with Python's zoneinfo, not with this code.
struct Days {
    name: &'static str,
    zone: &'static str,
    ahead: &'static [(&'static str, i64)],
    /// The last day of the upgrade of `cad` and of `dated`; `next` begins on the day after.
    last_day: &'static str,
    next_day: &'static str,
    /// As lmstat writes the last day.
    last_day_in_words: &'static str,
    /// The first instant of that next day.
    midnight: &'static str,
    steps: &'static [Step],
}

struct Step {
    at: &'static str,
    today: &'static str,
    next_midnight: &'static str,
}

const fn step(at: &'static str, today: &'static str, next_midnight: &'static str) -> Step {
    Step { at, today, next_midnight }
}

const LEAP_DAY: Days = Days {
    name: "leap-day",
    zone: "Europe/Berlin",
    ahead: &[("2027-10-31T01:00:00Z", 60)],
    last_day: "2028-02-29",
    next_day: "2028-03-01",
    last_day_in_words: "29-feb-2028",
    midnight: "2028-02-29T23:00:00Z",
    steps: &[
        step("2028-02-29T22:59:59Z", "2028-02-29", "2028-02-29T23:00:00Z"),
        step("2028-02-29T23:00:00Z", "2028-03-01", "2028-03-01T23:00:00Z"),
    ],
};
const NEW_YEAR: Days = Days {
    name: "new-year",
    zone: "Europe/Berlin",
    ahead: &[("2031-10-26T01:00:00Z", 60)],
    last_day: "2031-12-31",
    next_day: "2032-01-01",
    last_day_in_words: "31-dec-2031",
    midnight: "2031-12-31T23:00:00Z",
    steps: &[
        step("2031-12-31T22:59:59Z", "2031-12-31", "2031-12-31T23:00:00Z"),
        step("2031-12-31T23:00:01Z", "2032-01-01", "2032-01-01T23:00:00Z"),
    ],
};
/// From 02:00 to 03:00, at 01:00 UTC.
const SPRING: Days = Days {
    name: "spring",
    zone: "Europe/Berlin",
    ahead: &[("2029-10-28T01:00:00Z", 60), ("2030-03-31T01:00:00Z", 120)],
    last_day: "2030-03-31",
    next_day: "2030-04-01",
    last_day_in_words: "31-mar-2030",
    midnight: "2030-03-31T22:00:00Z",
    steps: &[
        step("2030-03-30T22:59:59Z", "2030-03-30", "2030-03-30T23:00:00Z"),
        step("2030-03-31T00:59:59Z", "2030-03-31", "2030-03-31T22:00:00Z"),
        step("2030-03-31T01:00:00Z", "2030-03-31", "2030-03-31T22:00:00Z"),
        step("2030-03-31T21:59:59Z", "2030-03-31", "2030-03-31T22:00:00Z"),
        step("2030-03-31T22:00:00Z", "2030-04-01", "2030-04-01T22:00:00Z"),
    ],
};
/// 02:30 comes twice.
const AUTUMN: Days = Days {
    name: "autumn",
    zone: "Europe/Berlin",
    ahead: &[("2030-03-31T01:00:00Z", 120), ("2030-10-27T01:00:00Z", 60)],
    last_day: "2030-10-27",
    next_day: "2030-10-28",
    last_day_in_words: "27-oct-2030",
    midnight: "2030-10-27T23:00:00Z",
    steps: &[
        step("2030-10-27T00:30:00Z", "2030-10-27", "2030-10-27T23:00:00Z"),
        step("2030-10-27T01:30:00Z", "2030-10-27", "2030-10-27T23:00:00Z"),
        step("2030-10-27T22:59:59Z", "2030-10-27", "2030-10-27T23:00:00Z"),
        step("2030-10-27T23:00:00Z", "2030-10-28", "2030-10-28T23:00:00Z"),
    ],
};
/// There is no 00:00: after 23:59:59 comes 01:00.
const NO_MIDNIGHT: Days = Days {
    name: "no-midnight",
    zone: "America/Santiago",
    ahead: &[("2030-04-07T03:00:00Z", -240), ("2030-09-08T04:00:00Z", -180)],
    last_day: "2030-09-07",
    next_day: "2030-09-08",
    last_day_in_words: "7-sep-2030",
    midnight: "2030-09-08T04:00:00Z",
    steps: &[
        step("2030-09-08T03:59:59Z", "2030-09-07", "2030-09-08T04:00:00Z"),
        step("2030-09-08T04:00:00Z", "2030-09-08", "2030-09-09T03:00:00Z"),
    ],
};
/// After 23:59:59 comes 23:00 of the same day, and the day ends an hour later.
const LATE_MIDNIGHT: Days = Days {
    name: "late-midnight",
    zone: "America/Santiago",
    ahead: &[("2029-09-02T04:00:00Z", -180), ("2030-04-07T03:00:00Z", -240)],
    last_day: "2030-04-06",
    next_day: "2030-04-07",
    last_day_in_words: "6-apr-2030",
    midnight: "2030-04-07T04:00:00Z",
    steps: &[
        step("2030-04-07T02:59:59Z", "2030-04-06", "2030-04-07T04:00:00Z"),
        step("2030-04-07T03:00:00Z", "2030-04-06", "2030-04-07T04:00:00Z"),
        step("2030-04-07T04:00:00Z", "2030-04-07", "2030-04-08T04:00:00Z"),
    ],
};

#[test]
fn a_leap_day_is_a_day() {
    pass(&LEAP_DAY);
}

#[test]
fn a_year_ends_at_midnight_of_the_served_zone() {
    pass(&NEW_YEAR);
}

#[test]
fn a_day_of_23_hours_ends_at_its_midnight() {
    pass(&SPRING);
}

#[test]
fn a_day_of_25_hours_ends_at_its_midnight() {
    pass(&AUTUMN);
}

#[test]
fn a_day_that_begins_at_one_begins_there() {
    pass(&NO_MIDNIGHT);
}

#[test]
fn a_day_whose_last_hour_comes_twice_ends_after_the_second() {
    pass(&LATE_MIDNIGHT);
}

fn pass(days: &Days) {
    if require("faketime").is_none() {
        return;
    }
    let end = format!("END=\"{}\"", days.last_day);
    let site = Site::with(&[
        feature("cad", "VERSION=\"9.9\" COUNT=\"10\" SN=\"base\""),
        upgrade("cad", 6, &format!("SN=\"up\" {end}")),
        feature("dated", &format!("VERSION=\"4.2\" COUNT=\"3\" SN=\"d\" {end}")),
        feature("next", &format!("VERSION=\"4.2\" COUNT=\"2\" SN=\"n\" START=\"{}\"", days.next_day)),
    ]);
    let wall = Wall::new(&site, days.steps[0].at);
    let clock = wall.clone();
    let world = World::start_with(site, Some(wall), days.zone, &["--http", "127.0.0.1:0"]);
    let mut client = world.daemon.connect();
    take(&mut client, "ann", "ws7", &[("ACME", "cad", 12)]);
    take(&mut client, "bob", "ws8", &[("ACME", "dated", 1)]);
    for (nth, step) in days.steps.iter().enumerate() {
        clock.set(step.at);
        let told = until("the day has come", || {
            let told = world.reader.told();
            let has_come = told.status["server"]["today"] == step.today;
            let is_counted = features(&told).map(|f| f["used"].as_u64().unwrap_or(0)).sum::<u64>() == 13;
            (has_come && is_counted).then_some(told)
        });
        is_as_by_hand(days, step, &told);
        assert_eq!(rules::broken(&told), Vec::<String>::new());
        // HTTP may show the day before for a moment more, and all that it shows is of one picture.
        let today = format!("\"today\":\"{}\"", step.today);
        until("HTTP shows the day", || world.reader.read(Shows::Http).contains(&today).then_some(()));
        let local = Local { ahead: days.ahead, now: Some(step.at.into()) };
        let mut golden = format!("{} in {}\n", step.at, days.zone);
        golden += &format!("\n== seatkeeper status --json\n{:#}\n", told.status);
        for shows in Shows::ALL {
            let out = world.reader.read(shows);
            assert_agree(shows, &told, &out, &local);
            says_the_day(days, step, shows, &out);
            let title = match shows {
                Shows::People => "seatkeeper status",
                // Compared to the last member with what stands above.
                Shows::Http => continue,
                Shows::Metrics => "/metrics, what the status has too",
                Shows::Licstat => "lmxendutil -licstat",
                Shows::LicstatXml => "lmxendutil -licstatxml",
                Shows::Lmstat => "lmutil lmstat -a",
                Shows::Inventory => "lmutil lmstat -i",
            };
            let is_of_the_server_alone = |line: &&str| {
                let shared = [
                    "seatkeeper_feature_",
                    "seatkeeper_licenses{",
                    "seatkeeper_midnight",
                    "seatkeeper_sessions ",
                ];
                shows == Shows::Metrics && !shared.iter().any(|family| line.starts_with(family))
            };
            golden += &format!("\n== {title}\n");
            out.lines().filter(|line| !is_of_the_server_alone(line)).for_each(|line| {
                golden += line;
                golden.push('\n');
            });
        }
        holds(&format!("{}-{}.txt", days.name, nth + 1), &without_what_changes(&golden, &world, &told));
    }
}

/// Today, what is granted and when it ends, by this file alone.
fn is_as_by_hand(days: &Days, step: &Step, told: &Told) {
    let is_over = unix(step.at) >= unix(days.midnight);
    let server = &told.status["server"];
    assert_eq!(text(server, "next_midnight"), step.next_midnight, "{}", step.at);
    assert_eq!((text(server, "time_zone"), text(server, "clock")), (days.zone, "ok"));
    let of = |name: &str, member: &str| -> Value {
        features(told).find(|f| text(f, "name") == name).expect(name)[member].clone()
    };
    let totals = ["cad", "dated", "next"].map(|name| of(name, "total").as_u64().expect("a number"));
    assert_eq!(totals, if is_over { [10, 0, 2] } else { [16, 3, 0] }, "{}", step.at);
    let over = ["cad", "dated"].map(|name| of(name, "over").as_u64().expect("a number"));
    assert_eq!(over, if is_over { [2, 1] } else { [0, 0] }, "{}", step.at);
    assert_eq!(of("dated", "end"), days.last_day);
    if !is_over {
        assert_eq!(of("dated", "ends_at"), days.midnight);
        let next = of("cad", "next_change");
        assert_eq!(
            [&next["day"], &next["at"], &next["total"]],
            [&Value::from(days.next_day), &Value::from(days.midnight), &Value::from(10)]
        );
    }
    let licenses = told.licenses["licenses"].as_array().expect("a list");
    let ends: Vec<&str> =
        licenses.iter().filter(|l| l["end"] == days.last_day).map(|l| text(l, "ends_at")).collect();
    assert_eq!(ends, [days.midnight; 2], "{}", step.at);
}

/// The last day of `dated`, as each output writes it.
#[allow(clippy::cast_precision_loss, reason = "seconds")]
fn says_the_day(days: &Days, step: &Step, shows: Shows, out: &str) {
    let is_over = unix(step.at) >= unix(days.midnight);
    let is_said = match shows {
        Shows::People if is_over => out.contains(&format!("ended {}\n", days.last_day)),
        Shows::People => out.contains(&format!("0 from {}\n", days.next_day)),
        Shows::Http => out.contains(&format!("\"end\":\"{}\"", days.last_day)),
        Shows::Metrics => {
            let all = metrics::parse(out).expect("samples");
            let end = all.iter().find(|((family, labels), _)| {
                family == "seatkeeper_feature_expiration_seconds" && labels["name"] == "dated"
            });
            let midnight =
                all.iter().find(|((family, _), _)| family == "seatkeeper_midnight_timestamp_seconds");
            let is = |found: Option<(_, &f64)>, at: &str| {
                found.is_some_and(|(_, seconds)| (*seconds - unix(at) as f64).abs() < 0.5)
            };
            is(end, days.midnight) && is(midnight, step.next_midnight)
        }
        Shows::Licstat => out.contains(&format!("Expire date: {}\n", days.last_day)),
        Shows::LicstatXml => out.contains(&format!(" END=\"{}\" ", days.last_day)),
        Shows::Lmstat => out.contains(&format!("expiry: {}\n", days.last_day_in_words)),
        Shows::Inventory => is_over || out.contains(&format!(" {} ", days.last_day_in_words)),
    };
    assert!(is_said, "{shows:?} at {}: {out}", step.at);
}

/// Names, keys, ports, processes and numbers of sessions, which no two runs share.
fn without_what_changes(golden: &str, world: &World, told: &Told) -> String {
    let server = &told.status["server"];
    let mut golden = golden.to_owned();
    let port = world.reader.address.port();
    let mut put = |what: &str, instead: &str| golden = golden.replace(what, instead);
    for (at, session) in told.status["sessions"].as_array().expect("a list").iter().enumerate() {
        let id = text(session, "id");
        let number = id.parse::<seats::change::SessionId>().expect("a number").0;
        put(&format!("/{port} {number})"), &format!("/{port} SESSION-{at})"));
        put(&format!("\"id\": \"{id}\""), &format!("\"id\": \"SESSION-{at}\""));
        put(&format!("\"bundle\": \"{}\"", text(session, "bundle")), &format!("\"bundle\": \"BUNDLE-{at}\""));
        put(&format!("\"last_seen\": \"{}\"", text(session, "last_seen")), "\"last_seen\": \"…\"");
    }
    put(&format!("\"pid\": {}", std::process::id()), "\"pid\": PID");
    put(&format!("{port}@"), "PORT@");
    put(&format!("/{port} "), "/PORT ");
    put(text(server, "key"), "KEY");
    put(&format!("\"name\": \"{}\"", text(server, "name")), "\"name\": \"SERVER\"");
    put(&format!("{}, seatkeeperd", text(server, "name")), "SERVER, seatkeeperd");
    let (major_minor, _) = env!("CARGO_PKG_VERSION").rsplit_once('.').expect("three numbers");
    put(env!("CARGO_PKG_VERSION"), "VERSION");
    put(&format!("v{major_minor} Uptime"), "vVERSION Uptime");
    put(&format!("SERVER_VERSION=\"{major_minor}\""), "SERVER_VERSION=\"VERSION\"");
    golden
}

fn holds(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agree/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).expect("a golden file");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(text == golden, "{name} is another; it would be:\n{text}");
}
