//! Why the daemon ends other than by being told to: the sentence for the administrator, and the exit code.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::causes::with_causes;
use crate::exit;
use crate::journal::JournalError;
use crate::state::StateError;

/// Why the daemon ends, other than by being told to: a sentence and an exit code.
#[derive(Debug)]
pub struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}

/// The state directory cannot be used.
pub(super) fn of_state(error: &StateError) -> Failure {
    let code = match error {
        StateError::Locked { .. } => exit::TEMPORARY,
        StateError::NewerFormat { .. } => exit::CONFIG,
        _ => exit::DISK,
    };
    Failure::new(code, with_causes(error) + what_to_do(error))
}

/// The journal could not be written while the daemon served.
pub(super) fn of_journal(error: &JournalError) -> Failure {
    let mut text = with_causes(error) + what_to_do(error);
    // What was granted since the last look went to a file that is out of the way now.
    if !matches!(error, JournalError::Replaced { .. }) {
        text += "; nothing was answered that is not on disk (S60)";
    }
    Failure::new(exit::DISK, text)
}

/// What to do about what the disk said, where it said something; with a leading semicolon.
fn what_to_do(error: &(dyn Error + 'static)) -> &'static str {
    let mut at = Some(error);
    while let Some(error) = at {
        if matches!(error.downcast_ref(), Some(JournalError::Full { .. })) {
            return FULL;
        }
        if let Some(said) = error.downcast_ref::<io::Error>() {
            return match said.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => FULL,
                ErrorKind::ReadOnlyFilesystem => {
                    "; the file system is read-only: the system makes it so when the disk has failed (see `dmesg`), repair it, \
                     mount it writable, and start again"
                }
                ErrorKind::PermissionDenied => {
                    "; the directory and all in it must belong to the user that the daemon runs as"
                }
                // What the kernel calls an input/output error has no kind of its own.
                _ if said.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    "; the disk has failed (see `dmesg`): repair or replace it, then start again"
                }
                _ => "",
            };
        }
        at = error.source();
    }
    ""
}

const FULL: &str = "; the disk is full: make room, 64 MiB at least, and start again";
