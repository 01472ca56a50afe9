//! The journal: what the ledger accepted, on disk before anybody hears of it (S60 to S62).
//!
//! A record is a kind and some bytes; what they mean is the business of the [`Fold`] that the
//! caller brings. The journal numbers records, writes those of one step of the engine as one
//! batch with one sync, gives them back in order after a restart, and shortens what it gives
//! back by snapshots. It reads no clock and knows no ledger, no license and no session.
//!
//! - [`disk`] — what the journal asks of a disk, and the real one
//! - [`memory`] — a disk in memory that tears, fails and fills up, for tests
//! - [`batch`] — the bytes of a batch, in and out
//! - [`segment`] — names of files, preallocation, reading a file batch by batch
//! - [`replay`] — the snapshot, then the segments; what is a torn end and what is damage
//! - [`log`] — [`Journal`] itself: open, append, commit
//! - `next` — the segment after the current one, set aside early
//! - [`snapshot`] — writing a snapshot
//! - [`compact`] — the background work that replaces segments by a snapshot
//!
//! `docs/JOURNAL.md` gives the bytes, the reasons and the measurements.

pub mod batch;
pub mod compact;
pub mod disk;
pub mod error;
pub mod log;
pub mod memory;
mod next;
pub mod replay;
pub mod segment;
pub mod snapshot;

pub use self::compact::{Compacted, Compaction, Compactor};
pub use self::disk::{Disk, DiskFile, RealDisk};
pub use self::error::{Damage, FoldError, JournalError};
pub use self::log::{Committed, Journal, Opened, Options, SEGMENT_BYTES};
pub use self::memory::MemoryDisk;
pub use self::replay::{Dropped, Loss, WouldLose};

/// What replay feeds and what a snapshot is made from: in the daemon, a ledger.
///
/// Applying all records in order to a fresh fold gives the state that stood when the last of
/// them was written; applying what [`Fold::dump`] gives to a fresh fold gives that same state.
pub trait Fold {
    /// Applies one record.
    ///
    /// `tick` is that of the batch (milliseconds served) and `sequence` the record's number,
    /// 1 being the first ever written. The records of a snapshot all come with the tick and
    /// the number of the last record the snapshot covers.
    ///
    /// # Errors
    /// [`FoldError`] when the kind is unknown or the bytes are not what the kind promises.
    /// Either stops the start; the fold is not used afterwards.
    fn apply(&mut self, tick: u64, sequence: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError>;

    /// Hands over records that, applied to a fresh fold, make this state again.
    fn dump(&self, out: &mut dyn FnMut(u16, &[u8]));
}
