//! The file: opened, moved aside when it is damaged, written in transactions, kept within its bounds.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::days::{note_day, prune, sum};
pub use super::error::HistoryError;
pub use super::spans::OpenSession;
use super::spans::{UNKNOWN, found_open, write_event};
use crate::clock::Zone;
use crate::config::History as Settings;
use crate::counts::denials::MADE_GOOD_MS;
use crate::events::Event;

/// What the tables are; a file with another one is from another version.
pub(super) const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// At so much the log beside the file is written back, and cut if it is longer: often enough to stay small, and seldom enough
/// that a page that many events write into goes to the file once.
const LOG_BYTES: i64 = 16 << 20;
/// SQLite's, which are those of most disks.
const PAGE_BYTES: i64 = 4 << 10;
/// How much of the file is kept in memory: what a busy day writes into, without which each event reads pages again.
const CACHE_BYTES: i64 = 16 << 20;
/// Where the schema has the time in which a denial can be made good.
const MADE_GOOD: &str = "MADE_GOOD_MS";

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

    /// Sums the days that were over at `until`, so that whoever asks for them need not.
    ///
    /// # Errors
    /// [`HistoryError`]; nothing was summed.
    pub fn sum(&mut self, until: i64) -> Result<(), HistoryError> {
        self.in_transaction(|transaction| sum(transaction, until))
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

/// The tables, and all that belongs to them.
pub(super) fn schema() -> String {
    SCHEMA.replace(MADE_GOOD, &MADE_GOOD_MS.to_string())
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
    connection.pragma_update(None, "wal_autocheckpoint", LOG_BYTES / PAGE_BYTES)?;
    // Each row of events refers to this run, which is there.
    connection.pragma_update(None, "foreign_keys", false)?;
    // SQLite counts pages, or by a negative number KiB.
    connection.pragma_update(None, "cache_size", -(CACHE_BYTES >> 10))?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let transaction = connection.transaction()?;
    if version == 0 {
        transaction.execute_batch(&schema())?;
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
