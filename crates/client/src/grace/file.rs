//! The book on disk, beside the install id. All programs of one user on one machine share it.
//!
//! Who changes it holds a lock on `grace.lock`, writes a new file, syncs it and renames it into place: others see the old book
//! or the new one, and no two changes are made at once. The lock is the system's, so it ends with the process that has it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::book::{Book, REST_SECONDS};
use super::text;
use crate::install::{create_directory, create_file};

/// How long another program may keep the lock; each needs it for a moment only.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
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
        create_directory(&self.directory).map_err(|e| self.fault(&self.directory, &e))?;
        let path = self.directory.join("grace.lock");
        let lock = OpenOptions::new().read(true).write(true).open(&path);
        let lock = lock.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => create_file(&path),
            _ => Err(error),
        });
        // Another program may have created it in between.
        let lock = lock.or_else(|_| OpenOptions::new().read(true).write(true).open(&path));
        let lock: File = lock.map_err(|e| self.fault(&path, &e))?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_TIMEOUT => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("{}: another program keeps it locked", path.display()));
                }
                Err(TryLockError::Error(error)) => return Err(self.fault(&path, &error)),
            }
        }
        // Closing the file unlocks it.
        act()
    }

    /// The outer error: it cannot be read. The inner one: it is damaged.
    fn read(&self) -> Result<Result<Book, String>, String> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Book::default())),
            Err(error) => return Err(self.fault(&path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| self.fault(&path, &e))?;
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
        let (path, draft) = (self.path(), self.directory.join("grace.draft"));
        let written = || {
            // One that a crash left behind: the lock is ours, so nobody writes it.
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = create_file(&draft)?;
            file.write_all(text::write(book).as_bytes())?;
            file.sync_all()?;
            drop(file);
            fs::rename(&draft, &path)
        };
        written().map_err(|e| self.fault(&path, &e))
    }

    fn fault(&self, path: &Path, error: &io::Error) -> String {
        format!("{}: {error}", path.display())
    }
}
