//! The book on disk, beside the install id. All programs of one user on one machine share it.
//!
//! Who changes it holds a lock on `grace.lock`, writes a new file, syncs it and renames it into place: others see the old book
//! or the new one, and no two changes are made at once. The lock is the system's, so it ends with the process that has it.

use std::io;
use std::path::{Path, PathBuf};

use super::book::{Book, REST_SECONDS};
use super::text;
use crate::files::{self, LOCK_TIMEOUT};

/// The largest file there can be: five hundred features with every text at its longest are smaller.
const BYTES_MAX: u64 = 2 << 20;

/// A directory in which the book is kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(directory: &Path) -> Store {
        Store { directory: directory.to_owned() }
    }

    /// Whether there is anything to know.
    pub(crate) fn exists(&self) -> bool {
        // What cannot be looked at is not known to be absent.
        !matches!(self.path().symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Reads the book, lets `change` change it, and keeps it if that says so.
    ///
    /// # Errors
    ///
    /// A sentence: the file is damaged, or cannot be read, written or locked. Nothing is changed then.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Book) -> (T, bool)) -> Result<T, String> {
        self.locked(|| {
            let mut book = self.read()??;
            let (value, is_changed) = change(&mut book);
            if is_changed {
                self.write(&book)?;
            }
            Ok(value)
        })
    }

    /// As [`Store::with`], but a damaged file is replaced. What it said of grace used is lost with it, so there is none for
    /// the time that the worst of it would have cost.
    pub(crate) fn with_mended(&self, now: i64, change: impl FnOnce(&mut Book) -> bool) -> Result<(), String> {
        self.locked(|| {
            let (mut book, was_damaged) = match self.read()? {
                Ok(book) => (book, false),
                Err(_) => (Book::closed(now + REST_SECONDS), true),
            };
            if change(&mut book) || was_damaged {
                self.write(&book)?;
            }
            Ok(())
        })
    }

    fn path(&self) -> PathBuf {
        self.directory.join("grace")
    }

    fn locked<T>(&self, act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        files::locked(&self.directory, "grace.lock", LOCK_TIMEOUT, act)
    }

    /// The outer error: it cannot be read. The inner one: it is damaged.
    fn read(&self) -> Result<Result<Book, String>, String> {
        let path = self.path();
        let Some(bytes) = files::read(&path, BYTES_MAX)? else { return Ok(Ok(Book::default())) };
        let damaged = |what: String| {
            let path = path.display();
            format!("{path}: {what}; the next grant of a seat replaces the file")
        };
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
            return Ok(Err(damaged(format!("it has more than {BYTES_MAX} bytes"))));
        }
        let Ok(text) = String::from_utf8(bytes) else { return Ok(Err(damaged("it is no text".to_owned()))) };
        Ok(text::read(&text).map_err(|line| damaged(format!("it is damaged in line {line}"))))
    }

    fn write(&self, book: &Book) -> Result<(), String> {
        files::replace(&self.path(), text::write(book).as_bytes())
    }
}
