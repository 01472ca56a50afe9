//! What must stay where it is while a daemon runs: the lock, the key, the format (S63, S65).
//!
//! Whoever removes one of them by mistake, or with a tool that clears old files, has harmed nothing yet: the daemon has
//! all three in memory. The next start would be harmed, so they are put back. What somebody has put in their place is
//! never touched. The journal looks after its own files ([`crate::journal::Journal::check_path`]).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{
    Identity, StateDir, StateError, format_path, lock_path, open_lock, read_format, try_lock, write_format,
    write_pid,
};
use crate::causes::with_causes;

/// What was found wrong in the state directory, and whether it has been mended.
#[derive(Debug)]
pub enum Finding {
    /// A file was gone and has been put back.
    PutBack(PathBuf),
    /// Something is wrong that only a person can mend: a sentence that says what, and what to do.
    Wrong(String),
}

impl StateDir {
    /// Whether the path still leads to the directory this process has locked. Where it does not the journal's own look
    /// stops the daemon, and nothing may be written here: it would be somebody else's.
    pub fn is_in_place(&self) -> bool {
        is_same(&self.path, &self.directory)
    }

    /// Looks whether lock, key and format are there, and puts back what is gone. Of the directory itself: nothing where
    /// it is not [in place](Self::is_in_place). Costs a few calls of the system; meant to be called every few seconds.
    pub fn look_after(&mut self) -> Vec<Finding> {
        if !self.is_in_place() {
            return Vec::new();
        }
        let found = [self.look_after_lock(), self.look_after_key(), self.look_after_format()];
        found.into_iter().filter_map(|looked| looked.unwrap_or_else(|error| Some(wrong(&error)))).collect()
    }

    /// A lock file that was removed locks nobody out who makes a new one; the lock of the directory does meanwhile.
    fn look_after_lock(&mut self) -> Result<Option<Finding>, StateError> {
        let path = lock_path(&self.path);
        if is_same(&path, &self.lock) {
            return Ok(None);
        }
        let lock = open_lock(&path)?;
        if !try_lock(&lock, &path)? {
            // `state check` holds it for an instant; else it is a daemon that does not heed the directory's lock.
            return Ok(Some(Finding::Wrong(format!(
                "{}: another process holds this lock, which is not the one this daemon made: stop every other daemon on \
                 this state directory",
                path.display()
            ))));
        }
        write_pid(&lock, &path)?;
        self.lock = lock;
        Ok(Some(Finding::PutBack(path)))
    }

    fn look_after_key(&mut self) -> Result<Option<Finding>, StateError> {
        let path = Identity::path(&self.path);
        match Identity::load(&self.path)? {
            Some(found) if found.public_key() == self.identity.public_key() => Ok(None),
            Some(found) => Ok(Some(Finding::Wrong(format!(
                "{}: this is another key, {}; the daemon goes on with its own, {}, until it is started again: put that one \
                 back, or licenses locked to it end with the next start",
                path.display(),
                found.fingerprint(),
                self.identity.fingerprint()
            )))),
            None => {
                self.identity.write(&self.path)?;
                Ok(Some(Finding::PutBack(path)))
            }
        }
    }

    fn look_after_format(&mut self) -> Result<Option<Finding>, StateError> {
        // A state that was never used has none yet.
        if self.is_new || read_format(&self.path)?.is_some() {
            return Ok(None);
        }
        write_format(&self.path)?;
        Ok(Some(Finding::PutBack(format_path(&self.path))))
    }
}

/// Whether a path leads to an open file or directory.
fn is_same(path: &Path, open: &File) -> bool {
    match (fs::metadata(path), open.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        (Err(error), _) => error.kind() != ErrorKind::NotFound && error.kind() != ErrorKind::NotADirectory,
        (Ok(_), Err(_)) => true,
    }
}

fn wrong(error: &StateError) -> Finding {
    Finding::Wrong(with_causes(error))
}
