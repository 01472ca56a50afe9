//! Usage of some days, as the report and `seatkeeper usage --json` have it (docs/HISTORY.md, docs/schema/usage.json).

use std::fmt::Write as _;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Instant;

/// What was used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// By what the rows are: `feature`, `user` or `host`.
    pub by: String,
    /// The first day, included.
    pub from: NaiveDate,
    /// The last day, included.
    pub to: NaiveDate,
    /// The zone whose days they are.
    pub time_zone: String,
    /// From when on the history has everything but for `missing`.
    pub kept_from: Instant,
    /// Until when it was written, and running sessions are counted.
    pub written_until: Instant,
    /// Where events are missing within these days: 100 at most, the latest first.
    pub missing: Vec<Missing>,
    /// The rows, by vendor, feature and user or host.
    pub usage: Vec<UsageRow>,
}

/// A time of which something is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// From when.
    pub since: Instant,
    /// To when.
    pub until: Instant,
    /// How many events; null: not known, as over a restart.
    pub events: Option<u64>,
    /// `missed`: more happened than could be written; `restart`: the daemon did not run, or was killed.
    pub reason: String,
}

/// One feature, or one user's or host's part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Who sells it; null: it was asked for by a name that several have, or none.
    pub vendor: Option<String>,
    /// What it allows.
    pub feature: String,
    /// By user: who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// By host: where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The most seats that were out at one moment, sessions that share seats counted each.
    pub peak: u64,
    /// Seats times hours.
    pub hours: f64,
    /// Sessions that ran in these days.
    pub sessions: u64,
    /// Checkouts that got nothing.
    pub denials: u64,
    /// The part of them that was not made good by a grant of the feature to the same user within five minutes.
    pub true_denials: u64,
}

impl Usage {
    /// All but the rows, for a part of it.
    #[must_use]
    pub fn without_rows(&self) -> Usage {
        Usage {
            schema: self.schema,
            by: self.by.clone(),
            from: self.from,
            to: self.to,
            time_zone: self.time_zone.clone(),
            kept_from: self.kept_from.clone(),
            written_until: self.written_until.clone(),
            missing: self.missing.clone(),
            usage: Vec::new(),
        }
    }

    /// The rows as CSV, RFC 4180, with a line of headers; hours to three decimals. A text that a spreadsheet would take for
    /// a formula begins with an apostrophe: names are what clients write.
    #[must_use]
    pub fn csv(&self) -> String {
        let has_who = self.by != "feature";
        let mut text = String::from("vendor,feature,");
        if has_who {
            let _ = write!(text, "{},", self.by);
        }
        text.push_str("peak,hours,sessions,denials,true_denials\r\n");
        for row in &self.usage {
            field(&mut text, row.vendor.as_deref().unwrap_or_default());
            field(&mut text, &row.feature);
            if has_who {
                field(&mut text, row.who());
            }
            let (peak, hours, sessions) = (row.peak, row.hours, row.sessions);
            let _ = write!(text, "{peak},{hours:.3},{sessions},{},{}\r\n", row.denials, row.true_denials);
        }
        text
    }
}

impl UsageRow {
    /// Whose it is, by user or host; else empty.
    #[must_use]
    pub fn who(&self) -> &str {
        self.user.as_deref().or(self.host.as_deref()).unwrap_or_default()
    }
}

/// With what a spreadsheet begins a formula, in Japanese width too.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// One field of text, and a comma.
fn field(line: &mut String, text: &str) {
    let is_quoted = text.contains([',', '"', '\r', '\n']);
    line.push_str(if is_quoted { "\"" } else { "" });
    line.push_str(if text.starts_with(FORMULA) { "'" } else { "" });
    line.push_str(&text.replace('"', "\"\""));
    line.push_str(if is_quoted { "\"," } else { "," });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_breaks_a_line_or_becomes_a_formula() {
        for (text, expected) in [
            ("ann", "ann,"),
            ("a,b", "\"a,b\","),
            ("say \"x\"", "\"say \"\"x\"\"\","),
            ("a\r\nb", "\"a\r\nb\","),
            ("=1+1", "'=1+1,"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0,"),
            ("@a,b", "\"'@a,b\","),
            ("\u{ff1d}1", "'\u{ff1d}1,"),
        ] {
            let mut line = String::new();
            field(&mut line, text);
            assert_eq!(line, expected);
        }
    }
}
