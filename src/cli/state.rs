//! `state check`: reads a state directory and changes nothing.

use std::io::Write;

use super::Failure;
use super::args::StateCheck;
use super::table::{plural, wrap};
use crate::exit;
use crate::state::{self, Report};

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
