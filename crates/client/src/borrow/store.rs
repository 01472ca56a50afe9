//! What is borrowed, on disk beside the install id. All programs of one user on one machine share it.
//!
//! | file | holds |
//! |---|---|
//! | `borrow-KEY` | one borrow ([`Record`]); KEY is its request key |
//! | `borrow-mark` | the latest moment seen, Unix seconds |
//! | `borrow-KEY-use-BORROW-COUNT-RANDOM` | somebody uses so many seats of a borrow now: he holds its lock, which ends with his process |
//! | `borrow.lock` | held for moments, while any of these change |
//! | `borrow.turn` | held while a program borrows from a server or gives back |
//!
//! Each file is replaced whole and synced, so that a power cut leaves the old one or the new one. A record that is damaged is
//! told of and passed over; a mark that is damaged or gone counts as none: the moment at which a token was granted is signed,
//! and stands in for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::record::{Record, is_name, sum};
use crate::files::{self, LOCK_TIMEOUT};
use crate::install::create_file;

/// How long it is waited for another program that borrows or gives back.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest record there can be: the tokens of one answer and the request, in base64.
const RECORD_BYTES_MAX: u64 = 2 << 20;
/// The most borrows kept, inclusive; beyond it nothing more is borrowed.
const RECORDS_MAX: usize = 1_000;
const MARK: &str = "borrow-mark";
const MARK_BYTES_MAX: u64 = 64;

/// A directory in which borrows are kept.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

/// Some seats of a borrow are in use as long as this lives.
#[derive(Debug)]
pub(super) struct Use {
    path: PathBuf,
    lock: File,
}

/// The records that can be read, and a sentence about each that cannot.
pub(super) type Listed = (Vec<Record>, Vec<String>);

impl Store {
    pub(super) fn new(directory: &Path) -> Store {
        Store { directory: directory.to_owned() }
    }

    /// Does something while nothing in the store changes.
    pub(super) fn locked<T>(&self, act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        files::locked(&self.directory, "borrow.lock", LOCK_TIMEOUT, act)
    }

    /// Does something with a server while no other program does.
    ///
    /// # Errors
    ///
    /// Another program has its turn for too long, or the directory cannot be written.
    pub(super) fn turn<T>(&self, act: impl FnOnce() -> T) -> Result<T, String> {
        files::locked(&self.directory, "borrow.turn", TURN_TIMEOUT, || Ok(act()))
    }

    /// Everything that is kept, in the order of the names. Nothing is made where there is nothing.
    pub(super) fn list(&self) -> Result<Listed, String> {
        let (mut records, mut faults) = (Vec::new(), Vec::new());
        for name in self.names()?.into_iter().filter(|name| is_name(name)).take(RECORDS_MAX) {
            let path = self.directory.join(&name);
            // It may have been given back in this moment.
            let Some(bytes) = files::read(&path, RECORD_BYTES_MAX)? else { continue };
            let record = String::from_utf8(bytes).ok().and_then(|text| Record::read(&text));
            match record.filter(|record| record.name() == name) {
                Some(record) => records.push(record),
                None => faults.push(format!(
                    "{}: it is damaged; the seat comes back at its end, and the file can be deleted",
                    path.display()
                )),
            }
        }
        Ok((records, faults))
    }

    /// Keeps a record, or what it is now.
    pub(super) fn keep(&self, record: &Record) -> Result<(), String> {
        self.locked(|| self.put(record))
    }

    /// As [`Store::keep`]. Call it with the lock of [`Store::locked`].
    pub(super) fn put(&self, record: &Record) -> Result<(), String> {
        let path = self.directory.join(record.name());
        let text = record.write().map_err(|what| format!("{}: {what}", path.display()))?;
        if !path.exists() && self.names()?.iter().filter(|name| is_name(name)).count() >= RECORDS_MAX {
            let here = self.directory.display();
            return Err(format!("{here}: {RECORDS_MAX} borrows are kept here; return some"));
        }
        files::replace(&path, text.as_bytes())
    }

    /// Forgets a record.
    pub(super) fn forget(&self, record: &Record) -> Result<(), String> {
        self.locked(|| files::remove(&self.directory.join(record.name())))
    }

    /// The latest moment seen; 0: none is known.
    pub(super) fn mark(&self) -> Result<i64, String> {
        let bytes = files::read(&self.directory.join(MARK), MARK_BYTES_MAX)?.unwrap_or_default();
        Ok(String::from_utf8(bytes).ok().and_then(|text| read_mark(&text)).unwrap_or(0))
    }

    /// This moment has been seen. Call it with the lock of [`Store::locked`].
    pub(super) fn raise_mark(&self, now: i64) -> Result<(), String> {
        if now > self.mark()? { self.set_mark(now) } else { Ok(()) }
    }

    /// Where a server has just said what time it is, the mark may go back. Call it with the lock of [`Store::locked`].
    pub(super) fn set_mark(&self, to: i64) -> Result<(), String> {
        let text = format!("seen {to}\n");
        files::replace(&self.directory.join(MARK), format!("{text}sum {}\n", sum(&text)).as_bytes())
    }

    /// How many seats of a borrow are in use now. What dead processes left is cleared away. Call it with the lock of
    /// [`Store::locked`].
    pub(super) fn in_use(&self, record: &Record, borrow: u64) -> Result<u64, String> {
        let prefix = use_prefix(record, borrow);
        let mut seats = 0u64;
        for name in self.names()? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            let count = rest.split('-').next().and_then(|count| count.parse::<u32>().ok());
            let path = self.directory.join(&name);
            // Given back in this moment, or not ours.
            let (Some(count), Ok(file)) = (count, OpenOptions::new().read(true).write(true).open(&path))
            else {
                continue;
            };
            match file.try_lock() {
                Ok(()) => drop(fs::remove_file(&path)),
                Err(TryLockError::WouldBlock) => seats += u64::from(count),
                Err(TryLockError::Error(error)) => return Err(files::fault(&path, &error)),
            }
        }
        Ok(seats)
    }

    /// Uses so many seats of a borrow. Call it with the lock of [`Store::locked`].
    pub(super) fn begin_use(&self, record: &Record, borrow: u64, count: u32) -> Result<Use, String> {
        let random = getrandom::u64().unwrap_or(std::process::id().into());
        let path = self.directory.join(format!("{}{count}-{random:x}", use_prefix(record, borrow)));
        let begun = || {
            let lock = create_file(&path)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = begun().map_err(|error| files::fault(&path, &error))?;
        Ok(Use { path, lock })
    }

    /// The names of all files, in order; none where there is no directory.
    fn names(&self) -> Result<Vec<String>, String> {
        let fault = |error| files::fault(&self.directory, &error);
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fault(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(fault)?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // Removed while it is locked: nobody takes it for a dead one in between. What is left is cleared away later.
        let _ = fs::remove_file(&self.path);
        let _ = self.lock.unlock();
    }
}

fn use_prefix(record: &Record, borrow: u64) -> String {
    format!("{}-use-{borrow}-", record.name())
}

fn read_mark(text: &str) -> Option<i64> {
    let (first, rest) = text.split_once('\n')?;
    let is_whole = rest == format!("sum {}\n", sum(&format!("{first}\n")));
    first.strip_prefix("seen ").filter(|_| is_whole)?.parse().ok()
}
