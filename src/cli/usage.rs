//! `seatkeeper usage`: what was used, from the server's history or from the file itself.

use std::io::Write;
use std::path::Path;

use super::args::Usage as Ask;
use super::table::{Lines, wrap};
use super::{Failure, server};
use crate::causes::with_causes;
use crate::clock::{Clock, Ticks, Zone};
use crate::exit;
use crate::history::FILE_NAME;
use crate::history::store::HistoryError;
use crate::history::usage::{self, By, Question};
use crate::report::Usage;

/// `seatkeeper usage`.
///
/// # Errors
/// As [`server::report`]; with `--state` 64 for days the wrong way round, 74 if the file cannot be read, 78 for an unknown zone.
pub fn usage(ask: &Ask, out: &mut impl Write) -> Result<(), Failure> {
    let usage = match &ask.state {
        Some(state) => of_file(ask, state)?,
        None => of_server(ask)?,
    };
    if ask.read.json {
        let text = serde_json::to_string_pretty(&usage)
            .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()))?;
        writeln!(out, "{text}")?;
    } else if ask.csv {
        write!(out, "{}", usage.csv())?;
    } else {
        write!(out, "{}", text(ask.by, &usage))?;
    }
    Ok(())
}

fn of_server(ask: &Ask) -> Result<Usage, Failure> {
    let day = |day: Option<chrono::NaiveDate>| day.map(|day| day.to_string()).unwrap_or_default();
    let what = format!("usage:{}:{}:{}", ask.by, day(ask.from), day(ask.to));
    let whole = server::report(&ask.read, &what, ask.feature.as_ref())?;
    serde_json::from_value(whole).map_err(|error| server::unreadable("usage", &error))
}

fn of_file(ask: &Ask, state: &Path) -> Result<Usage, Failure> {
    let zone = ask.time_zone.as_deref().map_or_else(Zone::system, Zone::named);
    let zone = zone.map_err(|error| Failure::new(exit::CONFIG, error.to_string()))?;
    let question = Question {
        by: ask.by,
        from: ask.from,
        to: ask.to,
        vendor: ask.feature.as_ref().and_then(|feature| feature.vendor.clone()),
        feature: ask.feature.as_ref().map(|feature| feature.feature.clone()),
    };
    let path = state.join(FILE_NAME);
    let failed = |error: HistoryError| match &error {
        HistoryError::Question(_) => Failure::new(exit::USAGE, error.to_string()),
        _ => Failure::new(exit::DISK, with_causes(&error)),
    };
    let now = Clock::system(zone.clone(), Ticks(0)).unix_ms();
    usage::usage(&path, &question, &zone, now).map_err(failed)
}

fn text(by: By, usage: &Usage) -> String {
    let mut text = format!("{} to {}, {}\n\n", usage.from, usage.to, usage.time_zone);
    let mut headers = vec!["VENDOR", "FEATURE", ">PEAK", ">HOURS", ">SESSIONS", ">DENIALS", ">TRUE"];
    match by {
        By::Feature => {}
        By::User => headers.insert(2, "USER"),
        By::Host => headers.insert(2, "HOST"),
    }
    let mut lines = Lines::new(&headers);
    for row in &usage.usage {
        let mut cells = vec![
            row.vendor.clone().unwrap_or_default(),
            row.feature.clone(),
            row.peak.to_string(),
            format!("{:.1}", row.hours),
            row.sessions.to_string(),
            row.denials.to_string(),
            row.true_denials.to_string(),
        ];
        if by != By::Feature {
            cells.insert(2, row.who().into());
        }
        lines.row(cells);
    }
    if usage.usage.is_empty() {
        text.push_str("nothing was used\n");
    } else {
        text.push_str(&lines.text());
    }
    let missed: u64 = usage.missing.iter().filter_map(|missing| missing.events).sum();
    if missed > 0 {
        let sentence = format!("{missed} events are missing in the history of these days; --json says when.");
        text.push_str(&format!("\n{}", wrap(&sentence, 0, 0)));
    }
    text
}
