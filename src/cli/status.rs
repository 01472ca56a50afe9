//! `status` and `features`: how the server is, what each feature has, who holds the seats of what is full, and what is wrong; what an
//! administrator looks at first.

use super::args::{Read, ReadFeature};
use super::feature_table::{feature_table, is_full};
use super::here::Here;
use super::paint::{Output, Paint, Tone};
use super::show::{answer, name, or_none, problem_list};
use super::table::{plural, wrap};
use super::{Failure, coverage, server};
use crate::report::{ClockReset, Feature, Server, Session, Status};

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
    answer(read.json, whole, out, |status: &Status| screen(status, &Here::terminal(), paint))
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

fn screen(status: &Status, here: &Here, paint: Paint) -> String {
    let features = status.features.as_deref().unwrap_or_default();
    let today = status.server.as_ref().and_then(|server| server.today);
    let mut text = status.server.as_ref().map_or_else(String::new, |server| header(server, here, paint));
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
    section("nothing is free of", holders(features, status.sessions.as_deref(), here), Tone::Plain);
    section("releases that run", coverage::lines(features), Tone::Plain);
    section("ends soon, or has ended", coverage::notices(features), Tone::Warning);
    text.push_str(&status.problems.as_deref().map_or_else(String::new, |list| problem_list(list, paint)));
    text
}

/// Which server this is, its day, and what is unusual about it.
fn header(server: &Server, here: &Here, paint: Paint) -> String {
    let mut text = format!("{}, seatkeeperd {}", server.name, server.version);
    if let Some(started) = &server.started_at {
        text += &format!(", since {}", here.instant(started));
    }
    let mut lines = wrap(&text, 0, 2);
    if let (Some(today), Some(zone)) = (server.today, &server.time_zone) {
        let next = server
            .next_midnight
            .as_ref()
            .map_or_else(String::new, |at| format!(", until {}", here.instant(at)));
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
        let at = here.instant(at);
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

/// Who has the seats of what is full: a line for each of the first such features, those who have them longest first. Nothing
/// where the reader may not see users.
fn holders(features: &[Feature], sessions: Option<&[Session]>, here: &Here) -> Vec<String> {
    let sessions = sessions.unwrap_or_default();
    let line = |f: &Feature| {
        let mut of: Vec<&Session> =
            sessions.iter().filter(|s| s.vendor == f.vendor && s.feature == f.name).collect();
        of.sort_by_key(|s| (s.since.clone(), s.id.len(), s.id.clone()));
        let one = |s: &&Session| {
            let since =
                s.since.as_ref().map_or_else(String::new, |since| format!(" since {}", here.time(since)));
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

#[cfg(test)]
mod tests {
    use super::super::feature_table::tests::feature;
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn who_has_the_seats_of_what_is_full_is_said_longest_first() {
        let here = Here::of("Europe/Berlin");
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
        let expected = "ACME/cad: ann on ws7 2 seats since 2030-06-01 09:00:00; \
                        bob on ws7 2 seats since 2030-06-01 10:00:00, suspect; \
                        cy on ws7 2 seats since 2030-06-01 11:00:00; 1 more";
        assert_eq!(holders(&[feature(), fea], Some(&sessions), &here), [expected]);
        assert_eq!(holders(&[feature()], None, &here), [""; 0], "who may not see users sees none");
    }

    #[test]
    fn colors_change_nothing_that_is_read() {
        let here = Here::of("UTC");
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
        let (plain, colored) = (screen(&status, &here, Paint::Plain), screen(&status, &here, Paint::Colors));
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
