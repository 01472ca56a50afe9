//! The file: opened, moved aside when it is damaged, written in transactions, kept within its bounds.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, params};

use super::row::{Columns, Step, rest};
use crate::clock::Zone;
use crate::config::History as Settings;
use crate::events::Event;

/// What the tables are; a file with another one is from another version.
pub(super) const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// The most events and spans that go in one transaction of pruning: it must not hold up writing.
const PRUNED_AT_ONCE: i64 = 2_000;
/// Above this the log beside the file is cut when it was written back.
const LOG_BYTES: i64 = 16 << 20;
/// The cause of an end that nobody saw.
const UNKNOWN: &str = "unknown";

/// Why the history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A newer version has written it.
    #[error("{}: it has schema {found}, this version knows {SCHEMA_VERSION}; use the newer version, or move the file away", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// Another file lies where it was, or none: the state directory was moved or restored. It is not touched.
    #[error("{}: this is no longer the file that the history writes to", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// SQLite.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The question.
    #[error("{0}")]
    Question(String),
}

impl HistoryError {
    /// Whether what is in the file is no database, or a broken one: nothing can be written to it any more.
    pub(super) fn is_damage(&self) -> bool {
        let HistoryError::Sqlite { source, .. } = self else { return false };
        match source {
            rusqlite::Error::SqliteFailure(error, _) => {
                // An error of the statement itself: what it names is not there, so the tables are not ours.
                let is_of_statement = error.code == ErrorCode::Unknown && error.extended_code == 1;
                is_of_statement
                    || matches!(
                        error.code,
                        ErrorCode::DatabaseCorrupt
                            | ErrorCode::NotADatabase
                            | ErrorCode::TypeMismatch
                            | ErrorCode::ConstraintViolation
                    )
            }
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::SqlInputError { .. } => true,
            _ => false,
        }
    }
}

/// What is written.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all are events, in one list that is written and emptied"
)]
pub enum Item {
    /// One more event.
    Event(Event),
    /// So many are missing here.
    Missed(u64),
}

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

/// The file, open for writing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// Device and number of the file.
    file: (u64, u64),
    connection: Connection,
    zone: Zone,
    run: i64,
    /// The day that was noted last, from when to when.
    day: (i64, i64),
    /// The last instant that was written.
    written_until: i64,
}

impl Store {
    /// Opens the file, or makes it (mode 0600). A run that is new to it leaves a gap: from what was written last until now.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing was changed.
    pub fn open(path: &Path, run: &str, zone: Zone, now: i64) -> Result<Store, HistoryError> {
        // SQLite gives what it makes beside the file the same mode.
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|file| file.metadata())
            .map_err(|source| HistoryError::Io { path: path.to_owned(), source })?;
        let file = (opened.dev(), opened.ino());
        let sqlite = |source| HistoryError::Sqlite { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        let version: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(sqlite)?;
        if version > SCHEMA_VERSION {
            return Err(HistoryError::Newer { path: path.to_owned(), found: version });
        }
        let (run, written_until) = prepare(&mut connection, version, run, now).map_err(sqlite)?;
        Ok(Store { path: path.to_owned(), file, connection, zone, run, day: (0, 0), written_until })
    }

    /// Whether the file still lies where it was opened.
    pub fn is_in_place(&self) -> bool {
        let found = std::fs::metadata(&self.path);
        found.is_ok_and(|found| (found.dev(), found.ino()) == self.file)
    }

    /// Lets go of a file that was moved. SQLite would remove, by name, what now lies beside another one.
    pub fn abandon(self) {
        std::mem::forget(self.connection);
    }

    /// The instant until which it was written.
    pub fn written_until(&self) -> i64 {
        self.written_until
    }

    /// Writes these in one transaction; until `now` everything is there then.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing of it is written.
    pub fn write(&mut self, items: &[Item], now: i64) -> Result<(), HistoryError> {
        let (run, zone, mut day) = (self.run, self.zone.clone(), self.day);
        let mut before = self.written_until;
        let write = |transaction: &Transaction<'_>| -> rusqlite::Result<()> {
            for item in items {
                match item {
                    Item::Event(event) => {
                        note_day(transaction, &zone, &mut day, event.unix_ms)?;
                        write_event(transaction, run, event)?;
                        before = event.unix_ms;
                    }
                    Item::Missed(events) => {
                        let missing = "INSERT INTO gaps (run, since, until, events, reason) VALUES (?, ?, ?, ?, 'missed')";
                        let events = i64::try_from(*events).unwrap_or(i64::MAX);
                        transaction.prepare_cached(missing)?.execute(params![
                            run,
                            before,
                            now.max(before),
                            events
                        ])?;
                    }
                }
            }
            note_day(transaction, &zone, &mut day, now)?;
            transaction.prepare_cached("UPDATE state SET written_until = ?")?.execute([now])?;
            Ok(())
        };
        self.in_transaction(write)?;
        (self.day, self.written_until) = (day, now);
        Ok(())
    }

    /// Compares the spans that are open here with the sessions there are: `pages` gives them, page by page, an empty one last.
    /// Sessions that are not here begin, also in the past; what is open here and is no session any more ended at `lost`, when nobody
    /// saw it. An event that tells when it really ended may still come. `None`: the sessions cannot be had.
    ///
    /// # Errors
    /// [`HistoryError`]; what is written is right, and the rest can be done again.
    pub fn compare(
        &mut self,
        mut pages: impl FnMut() -> Option<Vec<OpenSession>>,
        lost: i64,
        now: i64,
    ) -> Result<Option<()>, HistoryError> {
        let prepare = "CREATE TEMP TABLE IF NOT EXISTS alive (session TEXT PRIMARY KEY); DELETE FROM alive;";
        self.connection.execute_batch(prepare).map_err(|source| self.sqlite(source))?;
        loop {
            let Some(page) = pages() else { return Ok(None) };
            if page.is_empty() {
                break;
            }
            self.in_transaction(|transaction| {
                page.iter().try_for_each(|open| found_open(transaction, open, lost, now))
            })?;
        }
        self.in_transaction(|transaction| {
            let end = "UPDATE spans SET until = max(since + 1, ?1), cause = ?2
                WHERE until IS NULL AND session NOT IN (SELECT session FROM alive)";
            transaction.prepare_cached(end)?.execute(params![lost, UNKNOWN])?;
            transaction.execute("DELETE FROM alive", [])
        })?;
        Ok(Some(()))
    }

    /// Takes away some of what is too old by `now`, or too much, the oldest first. `true`: there may be more to take.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing was taken.
    pub fn prune(&mut self, settings: &Settings, now: i64) -> Result<bool, HistoryError> {
        let oldest = now.saturating_sub(i64::try_from(settings.keep.as_millis()).unwrap_or(i64::MAX));
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let size = || -> rusqlite::Result<i64> {
            let pages = pragma("page_count")? - pragma("freelist_count")?;
            Ok(pages.saturating_mul(pragma("page_size")?))
        };
        let bytes = size().map_err(|source| self.sqlite(source))?;
        let is_too_large = u64::try_from(bytes).unwrap_or(0) > settings.max_bytes;
        self.in_transaction(|transaction| prune(transaction, oldest, is_too_large))
    }

    /// What SQLite says, with the file.
    fn sqlite(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError::Sqlite { path: self.path.clone(), source }
    }

    fn in_transaction<T>(
        &mut self,
        act: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        let path = self.path.clone();
        let sqlite = |source| HistoryError::Sqlite { path, source };
        let transaction = match self.connection.transaction() {
            Ok(transaction) => transaction,
            Err(error) => return Err(sqlite(error)),
        };
        match act(&transaction).and_then(|done| transaction.commit().map(|()| done)) {
            Ok(done) => Ok(done),
            Err(error) => Err(sqlite(error)),
        }
    }
}

/// Moves a damaged file aside, and what SQLite keeps beside it; an older damaged one goes.
///
/// # Errors
/// The system refuses.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = with(path, ".damaged");
    for end in ["-wal", "-shm"] {
        match std::fs::rename(with(path, end), with(&aside, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// Makes the tables where there are none, and enters the run. Its number, and until when the runs before it have written.
fn prepare(connection: &mut Connection, version: i64, run: &str, now: i64) -> rusqlite::Result<(i64, i64)> {
    if version == 0 {
        // Before the first table: later it needs the whole file to be written anew.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The file is whole after a power cut, its last second may be missing; the journal is what must not.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let transaction = connection.transaction()?;
    if version == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.execute("INSERT INTO state VALUES (1, ?1, ?1)", [now])?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    let written_until = transaction.query_row("SELECT written_until FROM state", [], |row| row.get(0))?;
    let known = "SELECT id FROM runs WHERE run = ?";
    let id = match transaction.query_row(known, [run], |row| row.get(0)).optional()? {
        Some(id) => id,
        None => {
            let is_first: bool =
                transaction.query_row("SELECT count(*) = 0 FROM runs", [], |row| row.get(0))?;
            transaction.execute("INSERT INTO runs (run, started_at) VALUES (?, ?)", params![run, now])?;
            let id = transaction.last_insert_rowid();
            if !is_first {
                let restart =
                    "INSERT INTO gaps (run, since, until, reason) VALUES (?1, ?2, max(?2, ?3), 'restart')";
                transaction.execute(restart, params![id, written_until, now])?;
            }
            id
        }
    };
    transaction.commit()?;
    Ok((id, written_until))
}

fn write_event(transaction: &Transaction<'_>, run: i64, event: &Event) -> rusqlite::Result<()> {
    let c = Columns::of(&event.what);
    // It was read from no file: only a text that is no JSON could fail, and there is none.
    let json = rest(event).unwrap_or_else(|_| "{}".into());
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
            match is_open(transaction, &open)? {
                None => begin(transaction, &open, event.unix_ms),
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
            let guessed = "UPDATE spans SET until = max(since + 1, ?2), cause = ?3
                WHERE id = (SELECT max(id) FROM spans WHERE session = ?1 AND cause = ?4)";
            let values = params![of.session, at, ended.cause, UNKNOWN];
            if transaction.prepare_cached(guessed)?.execute(values)? > 0 {
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
    let other = "UPDATE spans SET until = since + 1, cause = ?6 WHERE session = ?1 AND until IS NULL
        AND NOT (bundle = ?2 AND feature = ?3 AND user = ?4 AND host = ?5)";
    let values = params![open.session, open.bundle, open.feature, open.user, open.host, UNKNOWN];
    transaction.prepare_cached(other)?.execute(values)?;
    let seats = "SELECT seats FROM spans WHERE session = ? AND until IS NULL";
    transaction.prepare_cached(seats)?.query_row([&open.session], |row| row.get(0)).optional()
}

fn begin(transaction: &Transaction<'_>, open: &OpenSession, since: i64) -> rusqlite::Result<()> {
    let insert = "INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, version, release_date, borrow)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    transaction.prepare_cached(insert)?.execute(params![
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
    Ok(())
}

/// A session that the ledger has.
fn found_open(
    transaction: &Transaction<'_>,
    open: &OpenSession,
    lost: i64,
    now: i64,
) -> rusqlite::Result<()> {
    transaction.prepare_cached("INSERT OR IGNORE INTO alive VALUES (?)")?.execute([&open.session])?;
    match is_open(transaction, open)? {
        None => begin(transaction, open, open.since.unwrap_or(now).min(now)),
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

/// Enters the day of an instant, and those since the last one that is there.
fn note_day(
    transaction: &Transaction<'_>,
    zone: &Zone,
    known: &mut (i64, i64),
    at: i64,
) -> rusqlite::Result<()> {
    if (known.0..known.1).contains(&at) {
        return Ok(());
    }
    let day = zone.day_of(at);
    let last: Option<String> = transaction.query_row("SELECT max(day) FROM days", [], |row| row.get(0))?;
    let last = last.and_then(|last| last.parse::<NaiveDate>().ok());
    let mut next = last.and_then(|last| last.succ_opt()).filter(|next| *next < day).unwrap_or(day);
    let insert = "INSERT OR IGNORE INTO days VALUES (?, ?, ?)";
    loop {
        let values = params![next.to_string(), zone.start_of_day(next), zone.end_instant(next)];
        transaction.prepare_cached(insert)?.execute(values)?;
        match next.succ_opt() {
            Some(after) if next < day => next = after,
            _ => break,
        }
    }
    *known = (zone.start_of_day(day), zone.end_instant(day));
    Ok(())
}

fn prune(transaction: &Transaction<'_>, oldest: i64, is_too_large: bool) -> rusqlite::Result<bool> {
    let mut kept_from = oldest;
    // By number and not by time, so that a clock that was set back leaves no hole.
    let mut last = None;
    {
        let mut look = transaction.prepare_cached("SELECT id, at FROM events ORDER BY id LIMIT ?")?;
        let mut rows = look.query([PRUNED_AT_ONCE])?;
        while let Some(row) = rows.next()? {
            let (id, at): (i64, i64) = (row.get(0)?, row.get(1)?);
            if at >= oldest && !is_too_large {
                break;
            }
            last = Some(id);
            kept_from = kept_from.max(at);
        }
    }
    let mut taken = match last {
        Some(last) => transaction.prepare_cached("DELETE FROM events WHERE id <= ?")?.execute([last])?,
        None => 0,
    };
    // Where no events are left, the oldest spans go for the room.
    let spans = if is_too_large && last.is_none() {
        let some = "DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE until IS NOT NULL ORDER BY until LIMIT ?)";
        transaction.prepare_cached(some)?.execute([PRUNED_AT_ONCE])?
    } else {
        let old =
            "DELETE FROM spans WHERE id IN (SELECT id FROM spans WHERE until < ? ORDER BY until LIMIT ?)";
        transaction.prepare_cached(old)?.execute(params![kept_from, PRUNED_AT_ONCE])?
    };
    taken += spans;
    if taken > 0 {
        transaction.execute("DELETE FROM gaps WHERE until < ?", [kept_from])?;
        transaction.execute("DELETE FROM days WHERE ends <= ?", [kept_from])?;
        transaction.execute("UPDATE state SET kept_from = max(kept_from, ?)", [kept_from])?;
    }
    Ok(taken > 0)
}

/// An instant of an event.
fn unix_ms(instant: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(instant).ok().map(|at| at.timestamp_millis())
}
