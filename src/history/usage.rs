//! What was used: peaks, hours, denials and true denials of some days, by feature, user or host.
//!
//! One function for all who ask ([`usage`]): the report of the protocol, `seatkeeper usage --state`, HTTP. It opens the file for
//! itself and only for reading, so it neither waits for the writer nor holds it up.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{Days, NaiveDate};
use rusqlite::{Connection, InterruptHandle, OpenFlags, ToSql, Transaction, named_params};

use super::store::{HistoryError, SCHEMA_VERSION};
use super::sweep::{Group, Piece, Sweep};
use crate::clock::{Zone, rfc3339_ms};
use crate::report::{Missing, SCHEMA, Usage, UsageRow};

/// For how many days it is asked where nothing is said: with today, the last thirty.
const DAYS: u64 = 30;
/// The most gaps that are told.
const MISSING_MAX: i64 = 100;

/// By what rows are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A row for each feature.
    #[default]
    Feature,
    /// A row for each feature and user.
    User,
    /// A row for each feature and host.
    Host,
}

impl By {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            By::Feature => "feature",
            By::User => "user",
            By::Host => "host",
        }
    }

    /// What the rows tell beside the feature, in SQL.
    fn column(self) -> &'static str {
        match self {
            By::Feature => "''",
            By::User => "user",
            By::Host => "host",
        }
    }
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// By what.
    pub by: By,
    /// The first day, included; `None`: 29 days before `to`.
    pub from: Option<NaiveDate>,
    /// The last day, included; `None`: today.
    pub to: Option<NaiveDate>,
    /// Of this vendor only, without case.
    pub vendor: Option<String>,
    /// Of this feature only, without case.
    pub feature: Option<String>,
}

/// The file, open for reading.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
}

impl Reader {
    /// Opens it.
    ///
    /// # Errors
    /// There is none, it cannot be read, or a newer version has written it.
    pub fn open(path: &Path) -> Result<Reader, HistoryError> {
        let sqlite = |source| HistoryError::Sqlite { path: path.to_owned(), source };
        // Said in our words: SQLite would say that it cannot open the file.
        std::fs::metadata(path).map_err(|source| HistoryError::Io { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(sqlite)?;
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
        if found > SCHEMA_VERSION {
            return Err(HistoryError::Newer { path: path.to_owned(), found });
        }
        if found < SCHEMA_VERSION {
            return Err(HistoryError::Question(format!("{}: nothing was written yet", path.display())));
        }
        Ok(Reader { connection })
    }

    /// Ends a question that runs on another thread.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Answers. `now` is the day that counts as today, and until when running sessions count: Unix milliseconds.
    ///
    /// # Errors
    /// The days are the wrong way round; SQLite.
    pub fn usage(&self, question: &Question, zone: &Zone, now: i64) -> Result<Usage, HistoryError> {
        let to = question.to.unwrap_or_else(|| zone.day_of(now));
        let from = question.from.unwrap_or_else(|| to.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(to));
        if from > to {
            return Err(HistoryError::Question(format!("the first day, {from}, is after the last, {to}")));
        }
        let (since, until) = (zone.start_of_day(from), zone.end_instant(to));
        let path = self.connection.path().unwrap_or_default().to_owned();
        self.rows(question, from, to, since, until, now, zone)
            .map_err(|source| HistoryError::Sqlite { path: path.into(), source })
    }

    #[allow(clippy::too_many_arguments, reason = "the days, and the same in milliseconds")]
    fn rows(
        &self,
        question: &Question,
        from: NaiveDate,
        to: NaiveDate,
        since: i64,
        until: i64,
        now: i64,
        zone: &Zone,
    ) -> rusqlite::Result<Usage> {
        // One transaction: all of it is of one moment.
        let snapshot = self.connection.unchecked_transaction()?;
        let (kept_from, written_until): (i64, i64) =
            snapshot.query_row("SELECT kept_from, written_until FROM state", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let mut rows: BTreeMap<(String, String, String), UsageRow> = BTreeMap::new();
        let row_of = |vendor: Option<String>, feature: String, who: String| {
            let who = (question.by != By::Feature).then_some(who);
            let (user, host) = match question.by {
                By::Host => (None, who),
                _ => (who, None),
            };
            UsageRow { vendor, feature, user, host, ..UsageRow::default() }
        };
        let key = |row: &UsageRow| {
            let who = row.user.as_deref().or(row.host.as_deref()).unwrap_or_default();
            let vendor = row.vendor.as_deref().unwrap_or_default();
            // As SQLite compares names.
            (vendor.to_ascii_lowercase(), row.feature.to_ascii_lowercase(), who.to_ascii_lowercase())
        };
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        {
            for group in swept(&snapshot, question, since, until, now)? {
                let mut row = row_of(Some(group.vendor), group.feature, group.who);
                (row.peak, row.hours, row.sessions) =
                    (count(group.peak), group.held / 3_600_000.0, group.sessions);
                rows.insert(key(&row), row);
            }
            let mut denials = snapshot.prepare(&denials_sql(question.by))?;
            let mut found = denials.query(named_params! {
                ":since": since, ":until": until, ":vendor": question.vendor, ":feature": question.feature,
            })?;
            while let Some(found) = found.next()? {
                let row = row_of(found.get(0)?, found.get(1)?, found.get(2)?);
                let row = rows.entry(key(&row)).or_insert(row);
                // One name written in two ways comes twice.
                row.denials += count(found.get(3)?);
                row.true_denials += count(found.get(4)?);
            }
        }
        let missing = "SELECT since, until, events, reason FROM gaps WHERE until >= ? AND since < ? ORDER BY id DESC LIMIT ?";
        let missing = snapshot
            .prepare(missing)?
            .query_map((since, until, MISSING_MAX), |row| {
                Ok(Missing {
                    since: rfc3339_ms(row.get(0)?),
                    until: rfc3339_ms(row.get(1)?),
                    events: row.get::<_, Option<i64>>(2)?.map(count),
                    reason: row.get(3)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Usage {
            schema: SCHEMA,
            by: question.by.as_str().into(),
            from,
            to,
            time_zone: zone.name().into(),
            kept_from: rfc3339_ms(kept_from),
            written_until: rfc3339_ms(written_until),
            missing,
            usage: rows.into_values().collect(),
        })
    }
}

/// Opens the file and answers: see [`Reader::usage`].
///
/// # Errors
/// See [`Reader::open`] and [`Reader::usage`].
pub fn usage(path: &Path, question: &Question, zone: &Zone, now: i64) -> Result<Usage, HistoryError> {
    Reader::open(path)?.usage(question, zone, now)
}

/// The spans of some days, cut to them, in the order in which they begin: those that ran when the first day began, which
/// the table `overnight` knows, and those that began later.
fn swept(
    snapshot: &Transaction<'_>,
    question: &Question,
    since: i64,
    until: i64,
    now: i64,
) -> rusqlite::Result<Vec<Group>> {
    // In another zone than the server's a day begins at another moment.
    let known = "SELECT max(starts) FROM days WHERE starts <= ?";
    let known: Option<i64> = snapshot.query_row(known, [since], |row| row.get(0))?;
    let columns = format!(
        "SELECT s.vendor, s.feature, {}, s.seats, s.session, max(s.since, :since), min(coalesce(s.until, :now), :until)",
        question.by.column()
    );
    let chosen = "s.since < :until AND coalesce(s.until, :now) > max(s.since, :since)
        AND (:vendor IS NULL OR s.vendor = :vendor) AND (:feature IS NULL OR s.feature = :feature)";
    let mut sweep = Sweep::default();
    let mut take = |sql: &str, values: &[(&str, &dyn ToSql)]| -> rusqlite::Result<()> {
        let mut found = snapshot.prepare(sql)?;
        let mut found = found.query(values)?;
        while let Some(row) = found.next()? {
            let text = |at| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
            sweep.take(Piece {
                vendor: text(0)?,
                feature: text(1)?,
                who: text(2)?,
                seats: row.get(3)?,
                session: text(4)?,
                since: row.get(5)?,
                until: row.get(6)?,
            });
        }
        Ok(())
    };
    let (vendor, feature) = (&question.vendor, &question.feature);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![
        (":since", &since),
        (":until", &until),
        (":now", &now),
        (":vendor", vendor),
        (":feature", feature),
        (":known", &known),
    ];
    if known.is_some() {
        let overnight = "FROM overnight o CROSS JOIN spans s ON s.id = o.span WHERE o.starts = :known AND s.since < :known";
        take(&format!("{columns} {overnight} AND {chosen}"), &values)?;
    }
    let from = known.unwrap_or(i64::MIN);
    values.pop();
    values.push((":known", &from));
    take(&format!("{columns} FROM spans s WHERE s.since >= :known AND {chosen} ORDER BY s.since"), &values)?;
    Ok(sweep.groups())
}

fn denials_sql(by: By) -> String {
    let who = by.column();
    format!(
        "SELECT vendor, feature, coalesce({who}, '') AS who, count(*), sum(is_true) FROM denials_seen
        WHERE at >= :since AND at < :until
            AND (:vendor IS NULL OR vendor = :vendor) AND (:feature IS NULL OR feature = :feature)
        GROUP BY 1, 2, 3"
    )
}
