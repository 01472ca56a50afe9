//! Small files that their owner alone reads, shared by all programs of one user: locked while they change, replaced whole.
//!
//! Errors are sentences that name the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::install::{create_directory, create_file};

/// How long it is waited for a lock that others need for a moment only.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Does something while no other program does something under the lock of this name. The lock is the system's, so it ends
/// with the process that has it.
///
/// # Errors
///
/// The directory cannot be made, or the lock cannot be had in time; or what `act` says.
pub(crate) fn locked<T>(
    directory: &Path,
    name: &str,
    timeout: Duration,
    act: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    create_directory(directory).map_err(|error| fault(directory, &error))?;
    let path = directory.join(name);
    let lock = OpenOptions::new().read(true).write(true).open(&path);
    let lock = lock.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => create_file(&path),
        _ => Err(error),
    });
    // Another program may have created it in between.
    let lock = lock.or_else(|_| OpenOptions::new().read(true).write(true).open(&path));
    let lock: File = lock.map_err(|error| fault(&path, &error))?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < timeout => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: another program keeps it locked", path.display()));
            }
            Err(TryLockError::Error(error)) => return Err(fault(&path, &error)),
        }
    }
    // Closing the file unlocks it.
    act()
}

/// The file's bytes, at most one more than `bytes_max`; `None`: there is no such file.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| fault(path, &error))?;
    Ok(Some(bytes))
}

/// Writes a new file, syncs it and renames it into place: others see the old one or the new one, whatever happens. The caller
/// holds the lock under which this file changes.
///
/// # Errors
///
/// It cannot be written; the old one is then as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let written = || {
        // One that a crash left behind: the lock is ours, so nobody writes it.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create_file(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&draft, path)?;
        sync_directory(path)
    };
    written().map_err(|error| fault(path, &error))
}

/// Removes a file, so that it stays removed after a power cut.
///
/// # Errors
///
/// It is there and cannot be removed.
#[cfg(feature = "borrow")]
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path).and_then(|()| sync_directory(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(path, &error)),
        _ => Ok(()),
    }
}

/// A name that was given or taken away is on disk with its directory. Other systems than Unix see to it themselves.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|_| cfg!(unix)) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// The sentence.
pub(crate) fn fault(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
