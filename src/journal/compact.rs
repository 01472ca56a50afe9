//! Compaction: a snapshot takes the place of the segments before it.
//!
//! The engine's fold is not touched and the engine never waits. A second fold is built from
//! the last snapshot and the closed segments, dumped into a new snapshot, and only when that is
//! on disk under its name are the covered files removed. A crash anywhere leaves either the old
//! state or the new one readable, and leftovers that the next start removes.

use std::{
    io,
    path::PathBuf,
    thread::{self, JoinHandle},
};

use super::{
    Fold, Journal,
    disk::{Disk, RealDisk},
    error::{JournalError, io_error},
    replay::{self, End},
    snapshot::{self, Covers},
};

/// A compaction that is due. Made by [`Journal::compaction_due`].
#[derive(Debug)]
pub struct Compaction<D: Disk = RealDisk> {
    disk: D,
    dir: PathBuf,
    /// The last closed segment.
    through: u64,
    closed_bytes: u64,
}

/// What a compaction has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The new snapshot.
    pub snapshot: PathBuf,
    /// The last segment it covers.
    pub through: u64,
    /// Its length in bytes.
    pub snapshot_bytes: u64,
    /// Bytes of batches it has taken the place of.
    pub closed_bytes: u64,
    /// How many files were removed.
    pub removed: usize,
}

impl<D: Disk> Compaction<D> {
    pub(super) fn new(disk: D, dir: PathBuf, through: u64, closed_bytes: u64) -> Self {
        Self { disk, dir, through, closed_bytes }
    }

    /// Does it, with a fresh `fold`. Takes as long as replaying what it covers; run it on a
    /// thread of its own, or inline in a simulation.
    ///
    /// # Errors
    /// When a closed segment is damaged or refused, or the disk is full. Nothing was removed
    /// then, and the journal goes on as it was.
    pub fn run(self, fold: &mut dyn Fold) -> Result<Compacted, JournalError> {
        let Self { disk, dir, through, closed_bytes } = self;
        let scan = replay::scan(&disk, &dir, Some(through), fold)?;
        if let End::Damaged(damage) = scan.end {
            return Err(JournalError::Damaged(damage, None));
        }
        let covers = Covers { through, next_sequence: scan.next_sequence, tick: scan.tick };
        let (snapshot, snapshot_bytes) = snapshot::write(&disk, &dir, covers, fold)?;
        // Oldest first, so that what is left after a crash has no holes.
        let mut removed = scan.covered;
        removed.extend(scan.segments.into_iter().map(|segment| segment.path));
        removed.extend(scan.snapshot.map(|old| old.path));
        for path in &removed {
            match disk.remove(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove the covered file", path)(error));
                }
                _ => {}
            }
        }
        disk.sync_dir(&dir).map_err(io_error("sync the journal's directory", &dir))?;
        Ok(Compacted { snapshot, through, snapshot_bytes, closed_bytes, removed: removed.len() })
    }
}

/// Runs compactions in the background, one at a time.
#[derive(Debug)]
pub struct Compactor<F> {
    fresh: fn() -> F,
    running: Option<JoinHandle<Result<Compacted, JournalError>>>,
}

impl<F: Fold + 'static> Compactor<F> {
    /// One that builds its folds with `fresh`.
    pub fn new(fresh: fn() -> F) -> Self {
        Self { fresh, running: None }
    }

    /// To be called now and then, between two steps of the engine: begins a compaction when
    /// one is due, and gives the result of one that has ended. Costs nothing otherwise.
    pub fn poll<D: Disk>(&mut self, journal: &mut Journal<D>) -> Option<Result<Compacted, JournalError>> {
        if let Some(handle) = self.running.take_if(|handle| handle.is_finished()) {
            let result = join(handle);
            journal.compaction_done(&result);
            return Some(result);
        }
        if self.running.is_some() {
            return None;
        }
        let job = journal.compaction_due()?;
        let fresh = self.fresh;
        if !journal.has_threads() {
            let result = job.run(&mut fresh());
            journal.compaction_done(&result);
            return Some(result);
        }
        let dir = job.dir.clone();
        match thread::Builder::new().name("compact".to_owned()).spawn(move || job.run(&mut fresh())) {
            Ok(handle) => {
                self.running = Some(handle);
                None
            }
            Err(source) => {
                let result = Err(io_error("start the compaction's thread", dir)(source));
                journal.compaction_done(&result);
                Some(result)
            }
        }
    }

    /// Waits for a compaction that runs, for a tidy end of the program. It may be left out: a
    /// compaction cut off anywhere does no harm.
    pub fn finish<D: Disk>(&mut self, journal: &mut Journal<D>) -> Option<Result<Compacted, JournalError>> {
        let result = join(self.running.take()?);
        journal.compaction_done(&result);
        Some(result)
    }
}

fn join(handle: JoinHandle<Result<Compacted, JournalError>>) -> Result<Compacted, JournalError> {
    // The panic has been printed; the engine goes on without a compaction.
    handle.join().unwrap_or_else(|_| {
        Err(JournalError::Io {
            action: "compact",
            path: PathBuf::new(),
            source: io::Error::other("the compaction's thread panicked"),
        })
    })
}
