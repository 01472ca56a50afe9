//! Events as rows, and spans: who had how many seats from when to when, kept right whatever order things come to light in.

use chrono::DateTime;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::row::{Columns, Step, rest};
use crate::events::Event;

/// The cause of an end that nobody saw.
pub(super) const UNKNOWN: &str = "unknown";

/// Ends a session whose end was guessed. The cause stands in it: by a parameter SQLite would not find the index of those.
const GUESSED: &str = "UPDATE spans SET until = max(since + 1, ?2), cause = ?3
    WHERE id = (SELECT max(id) FROM spans WHERE session = ?1 AND cause = 'unknown')";

/// A session that has seats now, as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Its number.
    pub session: String,
    /// That of its checkout.
    pub bundle: String,
    /// Who sells it.
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// Who has it.
    pub user: String,
    /// Where.
    pub host: String,
    /// Seats.
    pub seats: u32,
    /// Since when, Unix milliseconds, as far as that is known.
    pub since: Option<i64>,
    /// The version of the program, if it said.
    pub version: Option<String>,
    /// When that was released, if it said.
    pub release_date: Option<String>,
    /// Whether it is lent.
    pub borrow: bool,
}

/// Writes an event, and what it does to the spans.
pub(super) fn write_event(transaction: &Transaction<'_>, run: i64, event: &Event) -> rusqlite::Result<()> {
    let c = Columns::of(&event.what);
    // It was read from no file: only a text that is no JSON could fail, and there is none.
    let json = rest(&event.what).unwrap_or_else(|_| "{}".into());
    let insert = "INSERT INTO events (run, seq, at, kind, vendor, feature, user, host, seats, code, cause, version, release_date,
        session, bundle, json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(insert)?.execute(params![
        run,
        i64::try_from(event.seq).unwrap_or(i64::MAX),
        event.unix_ms,
        event.what.kind(),
        c.vendor,
        c.feature,
        c.user,
        c.host,
        c.seats,
        c.code,
        c.cause,
        c.version,
        c.release_date,
        c.session,
        c.bundle,
        json,
    ])?;
    match Step::of(&event.what) {
        None => Ok(()),
        Some(Step::Begins(granted)) => {
            let of = &granted.of;
            let open = OpenSession {
                session: of.session.clone(),
                bundle: of.bundle.clone(),
                vendor: of.vendor.clone(),
                feature: of.feature.clone(),
                user: of.who.user.clone().unwrap_or_default(),
                host: of.who.host.clone().unwrap_or_default(),
                seats: of.seats,
                since: Some(event.unix_ms),
                version: of.release.release_version.clone(),
                release_date: of.release.release_date.clone(),
                borrow: of.borrow,
            };
            if begin(transaction, &open, event.unix_ms)? {
                return Ok(());
            }
            match is_open(transaction, &open)? {
                None => begin(transaction, &open, event.unix_ms).map(drop),
                // The comparison was first. It knows the beginning by ticks, which is near; this is when it was.
                Some(_) => {
                    let exact = "UPDATE spans SET since = ?2 WHERE session = ?1 AND until IS NULL";
                    transaction.prepare_cached(exact)?.execute(params![open.session, event.unix_ms]).map(drop)
                }
            }
        }
        Some(Step::Shrinks(reduced)) => {
            let (of, at) = (&reduced.of, event.unix_ms);
            let back = "INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, until, cause, version,
                    release_date, borrow)
                SELECT session, bundle, vendor, feature, user, host, ?2, since, max(since + 1, ?3), 'checked_in', version,
                    release_date, borrow
                FROM spans WHERE session = ?1 AND until IS NULL";
            transaction.prepare_cached(back)?.execute(params![of.session, of.seats, at])?;
            let stay = "UPDATE spans SET seats = ?2 WHERE session = ?1 AND until IS NULL";
            transaction.prepare_cached(stay)?.execute(params![of.session, reduced.remaining]).map(drop)
        }
        Some(Step::Ends(ended)) => {
            let (of, at) = (&ended.of, event.unix_ms);
            let end = "UPDATE spans SET until = max(since + 1, ?2), cause = ?3, seats = ?4 WHERE session = ?1 AND until IS NULL";
            if transaction.prepare_cached(end)?.execute(params![of.session, at, ended.cause, of.seats])? > 0 {
                return Ok(());
            }
            // Its end was missed, as it seemed; here it is.
            let values = params![of.session, at, ended.cause];
            if transaction.prepare_cached(GUESSED)?.execute(values)? > 0 {
                return Ok(());
            }
            // Its beginning was missed; the event tells it.
            let since = ended.since.as_deref().and_then(unix_ms);
            let held = i64::try_from(ended.held_ms).unwrap_or(i64::MAX);
            let since = since.unwrap_or_else(|| at.saturating_sub(held)).min(at);
            let insert = "INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, until, cause, version,
                release_date, borrow) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let (user, host) = (of.who.user.as_deref(), of.who.host.as_deref());
            transaction.prepare_cached(insert)?.execute(params![
                of.session,
                of.bundle,
                of.vendor,
                of.feature,
                user.unwrap_or_default(),
                host.unwrap_or_default(),
                of.seats,
                since,
                at.max(since + 1),
                ended.cause,
                of.release.release_version,
                of.release.release_date,
                of.borrow,
            ])?;
            Ok(())
        }
    }
}

/// The seats of the open span of this session. One of the same number that is somebody else's, from a journal that was lost, is over.
fn is_open(transaction: &Transaction<'_>, open: &OpenSession) -> rusqlite::Result<Option<u32>> {
    let look = "SELECT seats, bundle = ?2 AND feature = ?3 AND user = ?4 AND host = ?5 FROM spans
        WHERE session = ?1 AND until IS NULL";
    let values = params![open.session, open.bundle, open.feature, open.user, open.host];
    let found = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    match transaction.prepare_cached(look)?.query_row(values, found).optional()? {
        None => Ok(None),
        Some((seats, true)) => Ok(Some(seats)),
        Some((_, false)) => {
            let other = "UPDATE spans SET until = since + 1, cause = ?2 WHERE session = ?1 AND until IS NULL";
            transaction.prepare_cached(other)?.execute(params![open.session, UNKNOWN])?;
            Ok(None)
        }
    }
}

/// Begins a span. `false`: one of that session is open already.
fn begin(transaction: &Transaction<'_>, open: &OpenSession, since: i64) -> rusqlite::Result<bool> {
    let insert = "INSERT OR IGNORE INTO spans (session, bundle, vendor, feature, user, host, seats, since, version, release_date, borrow)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let begun = transaction.prepare_cached(insert)?.execute(params![
        open.session,
        open.bundle,
        open.vendor,
        open.feature,
        open.user,
        open.host,
        open.seats,
        since,
        open.version,
        open.release_date,
        open.borrow,
    ])?;
    Ok(begun > 0)
}

/// A session that the ledger has.
pub(super) fn found_open(
    transaction: &Transaction<'_>,
    open: &OpenSession,
    lost: i64,
    now: i64,
) -> rusqlite::Result<()> {
    transaction.prepare_cached("INSERT OR IGNORE INTO alive VALUES (?)")?.execute([&open.session])?;
    match is_open(transaction, open)? {
        None => begin(transaction, open, open.since.unwrap_or(now).min(now)).map(drop),
        // Some of its seats came back when nobody looked.
        Some(seats) if seats > open.seats => {
            let back = "INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, until, cause, version,
                    release_date, borrow)
                SELECT session, bundle, vendor, feature, user, host, seats - ?2, since, max(since + 1, ?3), ?4, version,
                    release_date, borrow
                FROM spans WHERE session = ?1 AND until IS NULL";
            transaction.prepare_cached(back)?.execute(params![open.session, open.seats, lost, UNKNOWN])?;
            let stay = "UPDATE spans SET seats = ?2 WHERE session = ?1 AND until IS NULL";
            transaction.prepare_cached(stay)?.execute(params![open.session, open.seats]).map(drop)
        }
        Some(_) => Ok(()),
    }
}

/// An instant of an event.
fn unix_ms(instant: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(instant).ok().map(|at| at.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_guessed_is_found_without_going_through_all_spans() {
        assert!(GUESSED.contains(&format!("'{UNKNOWN}'")));
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(&crate::history::store::schema()).unwrap();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {GUESSED}")).unwrap();
        let values = params!["s", 1, "released"];
        let steps: Vec<String> =
            plan.query_map(values, |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(steps.iter().any(|step| step.contains("spans_unknown")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:?}");
    }
}
