//! The state directory: who owns it, which format it has, and the server's own key.
//!
//! ```text
//! STATE/format          one line: which format (S65)
//! STATE/lock            locked while a daemon runs; its pid (S63)
//! STATE/identity.key    the server's Ed25519 key, PKCS#8 PEM, 0600
//! STATE/journal/        see `docs/JOURNAL.md`
//! ```
//!
//! [`StateDir::open`] takes the directory for this process, [`StateDir::open_journal`] reads
//! the journal in it; [`check()`] looks on without taking anything, for `seatkeeper state check`.
//! What the journal's records mean is not known here.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::journal::{Fold, Journal, JournalError, Opened, Options, RealDisk};

mod check;
mod identity;
mod watch;

pub use self::{
    check::{Report, check},
    identity::Identity,
    watch::Finding,
};

/// The format written, and the newest one read (S65).
pub const FORMAT: u32 = 1;

/// How long a lock that is taken is tried again: `state check` holds it for an instant.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The first words of the format file.
const FORMAT_WORDS: &str = "seatkeeper state";

/// A state directory held by this process until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Holds a lock too, which nobody can take away by removing a file.
    directory: File,
    /// Holds the lock.
    lock: File,
    identity: Arc<Identity>,
    is_new: bool,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another daemon runs on it (S63; exit 75).
    #[error("{}: in use by another daemon{}; stop that one first, or give this one a state directory of its own", path.display(), of_pid(*pid))]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other daemon's process id, when it could be read.
        pid: Option<u32>,
    },
    /// A newer daemon has written it (S65). Nothing was changed.
    #[error("{}: the state has format {found}, this program knows up to {FORMAT}; use the newer daemon", path.display())]
    NewerFormat {
        /// The format file.
        path: PathBuf,
        /// The format it states.
        found: u32,
    },
    /// The format file is not one.
    #[error("{}: {text:?} is not a format line such as \"{FORMAT_WORDS} {FORMAT}\"; restore the state directory from a copy", path.display())]
    BadFormat {
        /// The format file.
        path: PathBuf,
        /// The beginning of what it holds.
        text: String,
    },
    /// The state was in use and its key is gone.
    #[error("{}: the server's identity key is missing; restore it from a copy, or start once with --accept-loss for a new key: licenses locked to the old SERVERKEY then need to be issued again", path.display())]
    IdentityMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The key cannot be read as one.
    #[error("{}: not an Ed25519 private key in PKCS#8 PEM: {reason}; restore it from a copy", path.display())]
    BadIdentity {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file system, or the system's random numbers.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl StateDir {
    /// Takes the directory for this process, making it (0750) and the server's key at the
    /// first start.
    ///
    /// With `accept_loss` a missing key is made anew although the state was in use before.
    ///
    /// # Errors
    /// [`StateError`]. A newer format is found before anything is touched.
    pub fn open(path: &Path, accept_loss: bool) -> Result<Self, StateError> {
        read_format(path)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path)
            .map_err(io_error("make the directory", path))?;
        let directory = File::open(path).map_err(io_error("open the directory", path))?;
        let lock = take_lock(path, &directory)?;
        // Only now it cannot change any more.
        let is_new = read_format(path)?.is_none();
        let identity = match Identity::load(path)? {
            Some(identity) => identity,
            None if is_new || accept_loss => Identity::create(path)?,
            None => return Err(StateError::IdentityMissing { path: Identity::path(path) }),
        };
        Ok(Self { path: path.to_owned(), directory, lock, identity: Arc::new(identity), is_new })
    }

    /// Opens and replays the journal, and marks the directory as in use once there is one. From
    /// then on an empty journal is damage, not a first start.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_journal(
        &mut self,
        options: Options,
        fold: &mut dyn Fold,
    ) -> Result<Opened<RealDisk>, StateError> {
        let options = Options { must_exist: !self.is_new, ..options };
        let opened = Journal::open(RealDisk, &self.journal_dir(), options, fold)?;
        if self.is_new {
            write_format(&self.path)?;
            self.is_new = false;
        }
        Ok(opened)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal lies.
    pub fn journal_dir(&self) -> PathBuf {
        journal_dir(&self.path)
    }

    /// The server's own key.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whether no journal was ever opened here.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

/// Whether a daemon has run on a directory.
///
/// # Errors
/// [`StateError::NewerFormat`], [`StateError::BadFormat`], or what the system says.
pub fn is_in_use(state: &Path) -> Result<bool, StateError> {
    read_format(state).map(|format| format.is_some())
}

fn journal_dir(state: &Path) -> PathBuf {
    state.join("journal")
}

fn lock_path(state: &Path) -> PathBuf {
    state.join("lock")
}

fn format_path(state: &Path) -> PathBuf {
    state.join("format")
}

/// Locks the directory itself, then the file in it that says by whom. The file alone is not enough: it can be removed
/// while a daemon runs, and the next one would make another.
fn take_lock(state: &Path, directory: &File) -> Result<File, StateError> {
    let path = lock_path(state);
    let mut tries = 0;
    loop {
        // Where a file system cannot lock directories the file has to do.
        let is_free = flock(directory, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK);
        if is_free {
            let lock = open_lock(&path)?;
            if try_lock(&lock, &path)? {
                write_pid(&lock, &path)?;
                return Ok(lock);
            }
        }
        tries += 1;
        if tries == LOCK_TRIES {
            let pid = File::open(&path).ok().and_then(|lock| read_pid(&lock));
            return Err(StateError::Locked { path: state.to_owned(), pid });
        }
        thread::sleep(LOCK_PAUSE);
    }
}

fn open_lock(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    options.open(path).map_err(io_error("open the lock", path))
}

/// `false`: somebody else has it.
fn try_lock(lock: &File, path: &Path) -> Result<bool, StateError> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(io_error("lock", path)(error.into())),
    }
}

fn write_pid(lock: &File, path: &Path) -> Result<(), StateError> {
    let line = format!("{}\n", std::process::id());
    // Written over, not cut off first: where the disk is full a file that is there keeps its block.
    lock.write_all_at(line.as_bytes(), 0)
        .and_then(|()| lock.set_len(line.len() as u64))
        .map_err(io_error("write the pid", path))
}

/// The pid in a lock file, if there is one.
fn read_pid(lock: &File) -> Option<u32> {
    let mut buffer = [0; 16];
    let read = lock.read_at(&mut buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..read]).ok()?.trim().parse().ok()
}

/// The directory's format, or `None` when it has none yet.
fn read_format(state: &Path) -> Result<Option<u32>, StateError> {
    let path = format_path(state);
    let mut text = String::new();
    match File::open(&path) {
        // A wrong file may be of any size.
        Ok(file) => match file.take(256).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(io_error("read the format", &path)(error)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read the format", &path)(error)),
    }
    let number = text.trim_end().strip_prefix(FORMAT_WORDS).map(str::trim_start);
    match number.and_then(|number| number.parse().ok()) {
        Some(found) if found > FORMAT => Err(StateError::NewerFormat { path, found }),
        Some(found) if found > 0 => Ok(Some(found)),
        _ => Err(StateError::BadFormat { path, text: text.chars().take(40).collect() }),
    }
}

fn write_format(state: &Path) -> Result<(), StateError> {
    let path = format_path(state);
    let text = format!("{FORMAT_WORDS} {FORMAT}\n");
    write_durably(state, &path, text.as_bytes(), 0o640).map_err(io_error("write the format", &path))
}

/// Puts a new file in place whole or not at all. A file that is there is never replaced.
fn write_durably(state: &Path, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // A link, not a rename: it refuses where a rename would replace.
    fs::hard_link(&temporary, path)?;
    fs::remove_file(&temporary)?;
    File::open(state)?.sync_all()
}

fn io_error(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StateError {
    let path = path.into();
    move |source| StateError::Io { action, path, source }
}
