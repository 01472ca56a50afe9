//! `sessions`, `borrowed`, `queue`, `licenses`: lists for people, or as the server sent them. `status` has a room of its own.

use std::io::Write;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::ReadFeature;
use super::here::Here;
use super::paint::{Paint, Tone};
use super::table::{Lines, clean, plural, seats, wrap};
use super::{Failure, server};
use crate::report::{Borrow, License, Problem, Session, Status, WaitedFor, Waiter};

/// `seatkeeper sessions`.
///
/// # Errors
///
/// As [`server::report`].
pub fn sessions(ask: &ReadFeature, out: &mut impl Write) -> Result<(), Failure> {
    let whole = server::report(&ask.read, "sessions", ask.feature.as_ref())?;
    answer(ask.read.json, whole, out, |status: &Status| {
        or_none(
            session_table(status.sessions.as_deref().unwrap_or_default(), &Here::terminal()),
            "no sessions",
        )
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
        or_none(
            borrow_table(status.borrowed.as_deref().unwrap_or_default(), &Here::terminal()),
            "nothing is borrowed",
        )
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
        or_none(queue_table(status.queue.as_deref().unwrap_or_default(), &Here::terminal()), "nobody waits")
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

pub(super) fn or_none(text: String, none: &str) -> String {
    if text.is_empty() { format!("{none}\n") } else { text }
}

fn session_table(sessions: &[Session], here: &Here) -> String {
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
                here.cell(s.since.as_ref()),
                note(s),
            ]
            .into_iter()
            .take(headers.len()),
        );
    }
    table.text() + &suspect_table(sessions, here)
}

/// The sessions whose clients are gone: since when, and what becomes of their seats (S20 to S22).
fn suspect_table(sessions: &[Session], here: &Here) -> String {
    let mut table = Lines::new(&["SUSPECT", "SINCE", "FREE FOR OTHERS", "ENDS"]);
    for s in sessions.iter().filter(|s| s.suspect_since.is_some()) {
        let instants = [&s.suspect_since, &s.free_at, &s.reaped_at];
        let instants = instants.map(|at| here.cell(at.as_ref()));
        table.row([s.id.clone()].into_iter().chain(instants));
    }
    let text = table.text();
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn borrow_table(borrows: &[Borrow], here: &Here) -> String {
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
            here.time(&b.until),
            note.unwrap_or_default(),
        ]);
    }
    table.text()
}

fn queue_table(queue: &[Waiter], here: &Here) -> String {
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
            here.cell(w.since.as_ref()),
            here.time(&w.until),
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
pub(super) fn problem_list(problems: &[Problem], paint: Paint) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let count = plural(problems.len() as u64, "problem");
    let mut text = "\n".to_owned() + &paint.lines(&format!("{count}:\n"), Tone::Trouble);
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
    use crate::report::WrittenOff;

    #[test]
    fn what_is_unusual_about_a_session_is_noted() {
        let here = Here::of("UTC");
        let plain = Session { id: "2t".into(), state: "active".into(), ..Session::default() };
        assert!(!session_table(std::slice::from_ref(&plain), &here).contains("NOTE"));
        let of_token = Session { token: Some("2s".into()), ..plain.clone() };
        let noted = Session { shared: true, above_soft_limit: true, ..plain.clone() };
        let text = session_table(&[plain, of_token, noted], &here);
        let notes: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("-  ")).map(|(_, n)| n.trim()).collect();
        assert!(text.contains("NOTE"), "{text}");
        assert_eq!(notes, ["for token 2s", "shared, above soft limit"], "{text}");
    }

    #[test]
    fn what_becomes_of_a_suspects_seats_stands_below_the_sessions() {
        let here = Here::of("Europe/Berlin");
        let active = Session { id: "2t".into(), state: "active".into(), ..Session::default() };
        assert!(!session_table(std::slice::from_ref(&active), &here).contains("SUSPECT"));
        let suspect = Session {
            id: "2u".into(),
            state: "suspect".into(),
            suspect_since: Some("2030-06-30T22:00:00Z".into()),
            free_at: Some("2030-06-30T22:00:05Z".into()),
            reaped_at: Some("2030-06-30T22:15:00Z".into()),
            ..active.clone()
        };
        let expected = "
SUSPECT  SINCE                FREE FOR OTHERS      ENDS
2u       2030-07-01 00:00:00  2030-07-01 00:00:05  2030-07-01 00:15:00
";
        let text = session_table(&[active, suspect], &here);
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn every_list_fits_eighty_columns_with_the_longest_names() {
        let here = Here::of("UTC");
        let long = "x".repeat(64);
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
        let text = borrow_table(&[borrow], &here)
            + &queue_table(&[waiter], &here)
            + &session_table(&[session], &here)
            + &license_table(&[license])
            + &problem_list(&[problem], Paint::Plain);
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{text}");
    }
}
