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
use crate::report::{Usage, UsageRow};

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
        write!(out, "{}", csv(ask.by, &usage.usage))?;
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

/// What the rows are of, beside the feature.
fn who(row: &UsageRow) -> String {
    row.user.clone().or_else(|| row.host.clone()).unwrap_or_default()
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
            cells.insert(2, who(row));
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

/// RFC 4180, with a line of headers. A text that a spreadsheet would take for a formula begins with an apostrophe.
fn csv(by: By, rows: &[UsageRow]) -> String {
    let mut headers = vec!["vendor", "feature", "peak", "hours", "sessions", "denials", "true_denials"];
    if by != By::Feature {
        headers.insert(2, by.as_str());
    }
    let mut text = headers.join(",") + "\r\n";
    for row in rows {
        let mut cells = vec![field(row.vendor.as_deref().unwrap_or_default()), field(&row.feature)];
        if by != By::Feature {
            cells.push(field(&who(row)));
        }
        cells.extend([
            row.peak.to_string(),
            format!("{:.3}", row.hours),
            row.sessions.to_string(),
            row.denials.to_string(),
            row.true_denials.to_string(),
        ]);
        text.push_str(&(cells.join(",") + "\r\n"));
    }
    text
}

/// A client writes what it likes in user, host and, where it is denied, feature.
fn field(text: &str) -> String {
    let safe =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.into() };
    if safe.contains([',', '"', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_breaks_a_line_or_becomes_a_formula() {
        for (text, expected) in [
            ("ann", "ann"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("=1+1", "'=1+1"),
            ("@a,b", "\"'@a,b\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }
}
