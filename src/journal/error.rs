//! What can be wrong with a journal, said to the person who has to act.

use std::{io, path::PathBuf};

use super::replay::WouldLose;

/// Why a journal could not be opened, written or compacted.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk refused something other than a sync.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A write or sync of a batch was not taken. The daemon must stop (exit 74): what is on
    /// disk is unknown until the next start has looked (S60).
    #[error("{}: batch of {bytes} bytes at offset {offset} did not reach the disk; the journal is closed", path.display())]
    Sync {
        /// The segment's file.
        path: PathBuf,
        /// Where the batch begins.
        offset: u64,
        /// How long it is.
        bytes: usize,
        /// What the disk said.
        source: io::Error,
    },
    /// A write or sync has failed before; nothing is accepted any more.
    #[error("{}: the journal is closed because an earlier batch did not reach the disk", path.display())]
    Closed {
        /// The segment's file.
        path: PathBuf,
    },
    /// Something is wrong before the last batch. The start stops here (S62).
    #[error("{0}; restore the state directory from a copy, or start once with --accept-loss{says}", says = says(.1.as_ref()))]
    Damaged(#[source] Damage, Option<WouldLose>),
    /// A batch of a later format: made by a newer daemon (S65).
    #[error("{}: offset {offset}: batch of format {format}, this program knows up to {known}; use the newer daemon, nothing was changed", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Where the batch begins.
        offset: u64,
        /// The format it states.
        format: u16,
        /// The newest format known here.
        known: u16,
    },
    /// A whole batch holds a record that the fold refuses.
    #[error("{}: offset {offset}: record {sequence} is refused", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Where the batch begins.
        offset: u64,
        /// The record's number.
        sequence: u64,
        /// Why.
        source: FoldError,
    },
    /// The path of the current segment leads to another file, or nowhere (S60).
    #[error("{}: this is no longer the file the journal writes to: the state directory was removed, moved, restored or mounted over; put the one back that this daemon ran on, or leave what is there now, and start again", path.display())]
    Replaced {
        /// The segment's file.
        path: PathBuf,
    },
    /// There is no room for the batch, and no further segment could be made.
    #[error(
        "no room for a batch of {needed} bytes: {room} bytes are left and the next segment could not be allocated: {cause}"
    )]
    Full {
        /// Bytes of the batch.
        needed: u64,
        /// Bytes left in the current segment.
        room: u64,
        /// Why there is no next segment.
        cause: String,
    },
    /// More records than one batch may hold; commit what is there and go on.
    #[error("a batch of {bytes} bytes is over the limit of {max}")]
    BatchTooLarge {
        /// What the batch would have come to.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The tick of a batch lies before that of the batch before: a bug of the caller.
    #[error("tick {tick} lies before tick {last} of the batch before")]
    TickWentBack {
        /// The tick given.
        tick: u64,
        /// The last one written.
        last: u64,
    },
}

/// What an administrator gets for the loss, where it is known.
fn says(would_lose: Option<&WouldLose>) -> String {
    would_lose.map_or_else(String::new, |would| format!(", which {would}"))
}

/// Where a journal is damaged and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: offset {offset}: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The number of the segment; for a snapshot, of the last segment it covers.
    pub segment: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// Why a fold refuses a record whose checksum is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The kind is not known: written by a newer daemon, or by something else.
    #[error("records of kind {0} are unknown to this program; a newer one wrote them")]
    UnknownKind(u16),
    /// The kind is known and the bytes are not such a record.
    #[error("a record of kind {kind} cannot be read: {reason}")]
    Unreadable {
        /// The kind.
        kind: u16,
        /// What is wrong with its bytes.
        reason: String,
    },
}

/// Names the action and the path of an I/O error.
pub(super) fn io_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.into();
    move |source| JournalError::Io { action, path, source }
}
