//! `state check` reads a state directory and changes nothing; `state clock-reset` lowers the highest day served.

use std::io::Write;

use super::Failure;
use super::args::{ClockReset, StateCheck};
use super::table::{plural, wrap};
use crate::causes::with_causes;
use crate::clock::{Zone, ZoneError, rfc3339};
use crate::engine::reset::{Outcome, ResetError, reset_clock};
use crate::state::{self, Report, StateError};
use crate::{exit, report};

/// `seatkeeper state check`. Returns 0 if a daemon would start on it, else 74.
///
/// # Errors
///
/// 70 if the findings cannot be written as JSON.
pub fn check(ask: &StateCheck, out: &mut impl Write) -> Result<u8, Failure> {
    let report = state::check(&ask.dir);
    if ask.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(if report.is_sound() { exit::OK } else { exit::DISK })
}

/// `seatkeeper state clock-reset`. Where the mark is not ahead of the clock nothing is changed, and that is said.
///
/// # Errors
///
/// 75 while a daemon runs, 77 for another user than the daemon's, 78 for an unknown time zone, 64 for a directory that is
/// no state, 74 if the state cannot be read or written.
pub fn clock_reset(ask: &ClockReset, out: &mut impl Write) -> Result<(), Failure> {
    let zone = ask.time_zone.as_deref().map_or_else(Zone::system, Zone::named);
    let zone = zone.map_err(|error| match error {
        ZoneError::System { .. } => {
            let text = "the time zone of this system cannot be found out: name the daemon's with --time-zone";
            Failure::new(exit::CONFIG, text)
        }
        error @ ZoneError::Unknown { .. } => Failure::new(exit::CONFIG, error.to_string()),
    })?;
    let by = format!("uid {}", rustix::process::getuid().as_raw());
    let outcome = reset_clock(&ask.dir, &zone, &by, &ask.reason).map_err(|error| match &error {
        ResetError::State(StateError::Locked { path, pid }) => {
            let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            let text = format!("{}: a daemon runs on it{pid}: stop it first", path.display());
            Failure::new(exit::TEMPORARY, text)
        }
        ResetError::NotState(_) => Failure::new(exit::USAGE, error.to_string()),
        ResetError::NotOwner { .. } => Failure::new(exit::NOT_PERMITTED, error.to_string()),
        ResetError::State(_) | ResetError::Journal(_) => Failure::new(exit::DISK, with_causes(&error)),
    })?;
    let done = match &outcome {
        Outcome::Lowered(reset) => Some(report::ClockReset {
            at: rfc3339(reset.unix_ms),
            by: reset.by.as_ref().into(),
            reason: reset.reason.as_ref().into(),
            from: reset.from,
            to: reset.to,
        }),
        Outcome::NotAhead { .. } => None,
    };
    if ask.json {
        let json = serde_json::json!({ "schema": report::SCHEMA, "clock_reset": done });
        writeln!(out, "{json:#}")?;
        return Ok(());
    }
    match outcome {
        Outcome::Lowered(reset) => writeln!(
            out,
            "the highest day served is {} now, it was {}; recorded: {}, {}",
            reset.to, reset.from, reset.by, reset.reason
        )?,
        Outcome::NotAhead { mark, today } => {
            let mark = mark.map_or_else(|| "none".to_owned(), |mark| mark.to_string());
            let text = format!("nothing to do: the clock shows {today} and the highest day served is {mark}");
            writeln!(out, "{text}")?;
        }
    }
    Ok(())
}

fn text(report: &Report) -> String {
    let mut text = wrap(&report.path.display().to_string(), 0, 2);
    let mut line = |name: &str, value: String| {
        let wrapped = wrap(&value, 14, 14);
        text.push_str(&format!("  {name:<12}{}\n", wrapped.trim_start().trim_end()));
    };
    line("format", report.format.map_or_else(|| "none".into(), |format| format.to_string()));
    let daemon = match (report.locked, report.pid) {
        (true, Some(pid)) => format!("running, process {pid}"),
        (true, None) => "running".into(),
        (false, _) => "not running".into(),
    };
    line("daemon", daemon);
    line("server key", report.server_key.clone().unwrap_or_else(|| "none".into()));
    line("journal", {
        let segments = plural(report.segments.len() as u64, "segment");
        format!("{segments}, {} batches, {}", report.batches, plural(report.records, "record"))
    });
    if let Some(snapshot) = &report.snapshot {
        line("snapshot", format!("{}, {}", snapshot.file.display(), plural(snapshot.records, "record")));
    }
    for (name, place) in [("torn", &report.torn), ("damage", &report.damage)] {
        if let Some(place) = place {
            line(name, format!("{} at byte {}: {}", place.file.display(), place.offset, place.what));
        }
    }
    if report.is_sound() {
        text.push_str("sound: a daemon would start on it\n");
    }
    for problem in &report.problems {
        text += &wrap(problem, 0, 2);
    }
    text
}
