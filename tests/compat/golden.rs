//! A fixed picture in, bytes out.

use std::path::Path;

use seatkeeper::compat::words::Lmstat;
use seatkeeper::compat::{flexnet, lmx, lmx_xml};

use crate::site::{Times, picture, place, unix_ms};

const LEAP_DAY: Times =
    Times { now: "2028-02-29T22:59:59Z", early: "2028-02-28T23:00:00Z", late: "2028-02-29T08:05:00Z" };
/// In Berlin the new year has begun.
const YEAR_END: Times =
    Times { now: "2031-12-31T23:00:00Z", early: "2031-12-30T22:59:59Z", late: "2031-12-31T22:59:59Z" };
/// From 02:00 to 03:00, at 01:00 UTC.
const SPRING: Times =
    Times { now: "2030-03-31T01:30:00Z", early: "2030-03-31T00:59:59Z", late: "2030-03-31T01:00:00Z" };
/// 02:30 comes twice.
const AUTUMN: Times =
    Times { now: "2030-10-27T01:31:00Z", early: "2030-10-27T00:30:00Z", late: "2030-10-27T01:30:00Z" };

fn holds(name: &str, text: &str) {
    // The version is that of the day; everything else stands as it is.
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).expect("a golden file");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(text == golden, "{name} is another; it would be:\n{text}");
}

fn everything() -> Lmstat {
    Lmstat { all: true, inventory: true, ..Lmstat::default() }
}

#[test]
fn every_kind_of_feature_and_session_on_a_leap_day() {
    let picture = picture(&LEAP_DAY, true);
    holds("leap-day.licstat", &lmx::text(&picture));
    holds("leap-day.licstatxml", &lmx_xml::text(&picture));
    holds("leap-day.lmstat", &flexnet::text(&picture, &everything()));
}

#[test]
fn the_year_ends_at_the_readers_midnight() {
    let picture = picture(&YEAR_END, true).only(Some("both"), Some("ACME"));
    holds("year-end.licstat", &lmx::text(&picture));
    holds("year-end.licstatxml", &lmx_xml::text(&picture));
    holds("year-end.lmstat", &flexnet::text(&picture, &everything()));
}

#[test]
fn times_are_those_of_the_wall_also_where_clocks_change() {
    for (name, times) in [("spring", &SPRING), ("autumn", &AUTUMN)] {
        let picture = picture(times, true).only(Some("both"), None);
        holds(&format!("{name}.licstat"), &lmx::text(&picture));
        holds(&format!("{name}.lmstat"), &flexnet::text(&picture, &everything()));
    }
}

#[test]
fn a_reader_of_counts_gets_whole_outputs_without_people() {
    let picture = picture(&LEAP_DAY, false);
    holds("counts.licstat", &lmx::text(&picture));
    holds("counts.licstatxml", &lmx_xml::text(&picture));
    holds("counts.lmstat", &flexnet::text(&picture, &everything()));
}

#[test]
fn lmstat_tells_what_it_is_asked_for_and_no_more() {
    let picture = picture(&LEAP_DAY, true);
    let one = |feature: &str| Lmstat { usage: true, feature: Some(feature.into()), ..Lmstat::default() };
    holds("server.lmstat", &flexnet::text(&picture, &Lmstat::default()));
    holds("feature.lmstat", &flexnet::text(&picture, &one("FOREVER")));
    holds("unknown-feature.lmstat", &flexnet::text(&picture, &one("no such")));
    let of_vendor = Lmstat { usage: true, vendor: Some("other".into()), ..Lmstat::default() };
    holds("vendor.lmstat", &flexnet::text(&picture, &of_vendor));
}

#[test]
fn no_server_is_told_with_its_reason_where_programs_look_for_it() {
    let reason = "nobody \"listens\"\nthere <at all>";
    let now = picture(&LEAP_DAY, true).now;
    holds("no-server.licstat", &lmx::no_server(&place(), reason));
    holds("no-server.licstatxml", &lmx_xml::no_server(&place(), reason));
    holds("no-server.lmstat", &flexnet::no_server(&place(), reason, now));
    assert_eq!(unix_ms(LEAP_DAY.now), 1_835_477_999_000, "the day that the files speak of");
}
