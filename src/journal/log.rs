//! The journal itself: open and replay, append, commit, look after the room that is left.
//!
//! One thread owns a [`Journal`], the engine's. What may take long (setting a segment aside,
//! compacting) happens on threads of its own, or inline where [`Options::threads`] is off.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Fold,
    batch::{BATCH_BYTES_MAX, FrameBuffer, Role},
    compact::{Compacted, Compaction},
    disk::{Disk, DiskFile, RealDisk},
    error::{Damage, JournalError, io_error},
    next::Next,
    replay::{self, Dropped, End, Loss, Scan, SnapshotInfo},
    segment::{Segment, allocate, content_end, lost_path, read_exactly, segment_path},
    snapshot::{self, Covers},
};

/// Length of a segment. At 150 bytes a checkout some 400,000 of them; the next one is set
/// aside when half is used, which leaves 32 MiB to go on with when the disk is full.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// How often the path of the current segment is compared with the open file, in ticks (S60).
pub const CHECK_PATH_EVERY: u64 = 5_000;

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Length of new segments in bytes; those that exist keep theirs.
    pub segment_bytes: u64,
    /// Whether slow work has threads of its own. Off in simulations: then it is done inline,
    /// and the same calls give the same operations in the same order.
    pub threads: bool,
    /// Start despite damage, with what comes before it (S62).
    pub accept_loss: bool,
    /// Whether there has been a journal here before; then an empty directory is damage.
    pub must_exist: bool,
    /// A compaction is due when closed segments hold at least so many bytes…
    pub compact_bytes_min: u64,
    /// …and at least so many times the bytes of the snapshot.
    pub compact_ratio: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            threads: true,
            accept_loss: false,
            must_exist: false,
            compact_bytes_min: SEGMENT_BYTES / 2,
            compact_ratio: 1,
        }
    }
}

/// A journal that has been read and can be written.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    /// To write to.
    pub journal: Journal<D>,
    /// The tick of the last batch: the ledger's clock goes on from here (S61). 0 when new.
    pub tick: u64,
    /// The number the next record will have; 1 when new.
    pub next_sequence: u64,
    /// Records read from segments, after the snapshot.
    pub records: u64,
    /// The snapshot that was read first.
    pub snapshot: Option<SnapshotInfo>,
    /// The torn last batch, if there was one: to be logged (S62).
    pub dropped: Option<Dropped>,
    /// What [`Options::accept_loss`] gave up: to be logged, and borrowing stays closed (S62).
    pub lost: Option<Loss>,
}

/// A batch that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of its last record, or of the last before it when it holds none.
    pub sequence: u64,
    /// How many records it holds.
    pub records: u32,
    /// Its bytes on disk.
    pub bytes: usize,
}

/// The journal, open for writing. See the module.
#[derive(Debug)]
pub struct Journal<D: Disk = RealDisk> {
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) current: Segment<D::File>,
    /// Where the next batch goes in the current segment.
    pub(super) offset: u64,
    pub(super) next: Next<D::File>,
    frame: FrameBuffer,
    /// Whether something was appended since the last commit, if only a tick.
    is_begun: bool,
    tick: u64,
    next_sequence: u64,
    is_closed: bool,
    path_checked: u64,
    pub(super) closed_bytes: u64,
    snapshot_bytes: u64,
    is_compacting: bool,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `dir`, making it if there is none, and replays it into `fold`.
    ///
    /// A torn last batch is dropped and reported. On return everything replayed is synced, so
    /// it may be told to anybody.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it is damaged before its last batch and
    /// [`Options::accept_loss`] is off, [`JournalError::Refused`] when the fold refuses a record,
    /// [`JournalError::NewerFormat`], or what the disk says. In the first three cases nothing
    /// was changed.
    pub fn open(
        disk: D,
        dir: &Path,
        options: Options,
        fold: &mut dyn Fold,
    ) -> Result<Opened<D>, JournalError> {
        let mut scan = replay::scan(&disk, dir, None, fold)?;
        if scan.highest == 0 && options.must_exist {
            let what = "the journal is empty although the state was in use".to_owned();
            scan.end = End::Damaged(Damage { path: dir.to_owned(), segment: 0, offset: 0, what });
        }
        let damage = match &scan.end {
            End::Damaged(damage) if !options.accept_loss => {
                let would_lose = scan.would_lose(&disk, dir)?;
                return Err(JournalError::Damaged(damage.clone(), would_lose));
            }
            End::Damaged(damage) => Some(damage.clone()),
            _ => None,
        };
        if scan.highest == 0 {
            disk.create_dir(dir).map_err(io_error("make the directory", dir))?;
            if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                disk.sync_dir(parent).map_err(io_error("sync the directory", parent))?;
            }
        }
        for path in &scan.temporary {
            disk.remove(path).map_err(io_error("remove the unfinished file", path))?;
        }
        // The names that were read may be known to the kernel only.
        disk.sync_dir(dir).map_err(io_error("sync the journal's directory", dir))?;
        let mut journal = match &damage {
            Some(_) => Self::start_anew(disk, dir, options, &scan, fold)?,
            None => Self::go_on(disk, dir, options, &scan)?,
        };
        let lost = match damage {
            Some(damage) => Some(journal.put_aside(&scan, damage)?),
            None => None,
        };
        for path in &scan.covered {
            journal.disk.remove(path).map_err(io_error("remove the covered file", path))?;
        }
        journal.set_next_aside_if_due();
        Ok(Opened {
            tick: scan.tick,
            next_sequence: scan.next_sequence,
            records: scan.segments.iter().map(|segment| segment.records).sum(),
            snapshot: scan.snapshot,
            dropped: match scan.end {
                End::Torn(dropped) => Some(dropped),
                _ => None,
            },
            lost,
            journal,
        })
    }

    /// Adds records to the batch that the next [`Journal::commit`] writes. All of them or none.
    /// `tick` is now, in milliseconds served; the batch carries the last one given. No records
    /// at all is fine: then the batch carries the tick alone.
    ///
    /// # Errors
    /// [`JournalError::BatchTooLarge`]: commit and append again. [`JournalError::TickWentBack`],
    /// [`JournalError::Closed`].
    pub fn append<B: AsRef<[u8]>>(
        &mut self,
        tick: u64,
        records: impl IntoIterator<Item = (u16, B)>,
    ) -> Result<(), JournalError> {
        let (bytes, count) = (self.frame.bytes(), self.frame.records());
        self.begin(tick)?;
        for (kind, record) in records {
            if let Err(error) = self.push(kind, |out| out.extend_from_slice(record.as_ref())) {
                self.frame.truncate(bytes, count);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds one record that `encode` writes straight into the batch, by adding to the end of
    /// the vector.
    ///
    /// # Errors
    /// As [`Journal::append`].
    ///
    /// # Panics
    /// If `encode` leaves the vector shorter than it was.
    pub fn append_with(
        &mut self,
        tick: u64,
        kind: u16,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), JournalError> {
        self.begin(tick)?;
        self.push(kind, encode)
    }

    /// Writes what was appended as one batch and syncs it. When it returns, the batch is on
    /// disk and outputs may leave (S60). Without anything appended it does nothing.
    ///
    /// # Errors
    /// [`JournalError::Sync`] is final: the daemon stops, nothing is tried again.
    /// [`JournalError::Full`] when the batch has no place; it stays appended.
    pub fn commit(&mut self) -> Result<Committed, JournalError> {
        self.refuse_if_closed()?;
        let nothing = Committed { sequence: self.next_sequence - 1, records: 0, bytes: 0 };
        if !self.is_begun {
            return Ok(nothing);
        }
        let bytes = self.frame.bytes();
        if self.offset + bytes as u64 > self.current.capacity {
            self.roll(bytes as u64)?;
        }
        let records = self.frame.records();
        let batch = self.frame.seal(Role::Batch, self.current.number, self.next_sequence, self.tick);
        let written = self.current.file.write_at(batch, self.offset);
        if let Err(source) = written.and_then(|()| self.current.file.sync_data()) {
            self.is_closed = true;
            let path = self.current.path.clone();
            return Err(JournalError::Sync { path, offset: self.offset, bytes, source });
        }
        self.frame.clear();
        self.is_begun = false;
        self.offset += bytes as u64;
        self.next_sequence += u64::from(records);
        self.set_next_aside_if_due();
        Ok(Committed { sequence: self.next_sequence - 1, records, bytes })
    }

    /// Bytes of the batch being filled, its header included.
    pub fn pending_bytes(&self) -> usize {
        self.frame.bytes()
    }

    /// The most bytes a batch may have, its header included.
    pub fn batch_bytes_max(&self) -> usize {
        self.frame.bytes_max()
    }

    /// The number the next record gets, those appended and not committed left out.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Compares the path of the current segment with the open file, if the last look is
    /// [`CHECK_PATH_EVERY`] ticks ago, and tries again for a next segment where that had failed.
    ///
    /// # Errors
    /// [`JournalError::Replaced`] when it is another file: the daemon must stop (exit 74).
    pub fn check_path(&mut self, now: u64) -> Result<(), JournalError> {
        self.finish_next(false);
        if now.saturating_sub(self.path_checked) < CHECK_PATH_EVERY {
            return Ok(());
        }
        self.path_checked = now;
        self.try_next_again();
        self.set_next_aside_if_due();
        let path = &self.current.path;
        match self.disk.is_same_file(path, &self.current.file) {
            Ok(true) => Ok(()),
            Ok(false) => Err(JournalError::Replaced { path: path.clone() }),
            Err(error) => Err(io_error("look at the current segment", path)(error)),
        }
    }

    /// The compaction that is due, if one is and none runs. Hand it to a [`super::Compactor`],
    /// or run it; then tell [`Journal::compaction_done`].
    pub fn compaction_due(&mut self) -> Option<Compaction<D>> {
        let wanted = self.snapshot_bytes.saturating_mul(self.options.compact_ratio);
        let is_due = self.closed_bytes >= wanted.max(self.options.compact_bytes_min).max(1);
        if self.is_compacting || self.is_closed || !is_due {
            return None;
        }
        self.is_compacting = true;
        Some(Compaction::new(self.disk.clone(), self.dir.clone(), self.current.number - 1, self.closed_bytes))
    }

    /// Takes note of a compaction's end. After a failed one the next is due when as much again
    /// has been written, not at once.
    pub fn compaction_done(&mut self, result: &Result<Compacted, JournalError>) {
        self.is_compacting = false;
        match result {
            Ok(compacted) => {
                self.closed_bytes = self.closed_bytes.saturating_sub(compacted.closed_bytes);
                self.snapshot_bytes = compacted.snapshot_bytes;
                self.try_next_again();
            }
            Err(_) => {
                self.snapshot_bytes = self.snapshot_bytes.saturating_add(self.options.compact_bytes_min)
            }
        }
    }

    pub(super) fn has_threads(&self) -> bool {
        self.options.threads
    }

    /// Goes on where a journal without damage ends.
    fn go_on(disk: D, dir: &Path, options: Options, scan: &Scan) -> Result<Self, JournalError> {
        let Some(info) = scan.current() else {
            let path = segment_path(dir, scan.highest + 1);
            let current = allocate(&disk, dir, scan.highest + 1, options.segment_bytes)
                .map_err(io_error("make the first segment", path))?;
            return Ok(Self::with(disk, dir, options, scan, current, 0));
        };
        let path = info.path.clone();
        let file = disk.open(&path, true).map_err(io_error("open the segment to write", &path))?;
        if let End::Torn(torn) = &scan.end {
            overwrite_with_zeros(&file, torn.offset, torn.bytes)
                .map_err(io_error("clear the torn batch", &path))?;
        }
        if let Some(last) = info.last_batch {
            // A daemon whose sync failed stops, and the kernel may show the next one bytes that
            // the disk never got. Written again they are dirty again, and synced for sure.
            let mut batch = vec![0; usize::try_from(info.used - last).unwrap_or(0)];
            let read = read_exactly(&file, &mut batch, last).map_err(io_error("read the segment", &path))?;
            assert!(read, "the batch was read a moment ago under the state's lock");
            file.write_at(&batch, last).map_err(io_error("write the last batch again", &path))?;
        }
        file.sync_data().map_err(io_error("sync the segment", &path))?;
        let mut capacity = info.bytes;
        if capacity < options.segment_bytes && capacity - info.used < options.segment_bytes / 2 {
            // Cut off by a copy, or of a shorter kind. A full disk leaves it as it is.
            match file.grow(options.segment_bytes) {
                Ok(()) => capacity = options.segment_bytes,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(io_error("lengthen the segment", path)(error)),
            }
        }
        let (number, offset) = (info.number, info.used);
        let current = Segment { number, path, file, capacity };
        let mut journal = Self::with(disk, dir, options, scan, current, offset);
        journal.closed_bytes =
            scan.segments.iter().filter(|segment| segment.number < number).map(|segment| segment.used).sum();
        journal.adopt_next(dir, scan)?;
        Ok(journal)
    }

    /// Takes over an empty segment that the last run had set aside, and removes any further.
    fn adopt_next(&mut self, dir: &Path, scan: &Scan) -> Result<(), JournalError> {
        for number in scan.present.range(self.current.number + 1..) {
            let path = segment_path(dir, *number);
            let file = self.disk.open(&path, true).map_err(io_error("open the next segment", &path))?;
            let capacity = file.bytes().map_err(io_error("read the next segment", &path))?;
            if *number == self.current.number + 1 && capacity >= self.options.segment_bytes {
                self.next = Next::Ready(Segment { number: *number, path, file, capacity });
            } else {
                self.disk.remove(&path).map_err(io_error("remove the empty segment", &path))?;
            }
        }
        Ok(())
    }

    /// Goes on after damage: a snapshot of what was read covers everything that is there, under
    /// a number no file has, and writing begins in a new segment after it.
    fn start_anew(
        disk: D,
        dir: &Path,
        options: Options,
        scan: &Scan,
        fold: &dyn Fold,
    ) -> Result<Self, JournalError> {
        let through = scan.highest + 1;
        let current = allocate(&disk, dir, through + 1, options.segment_bytes)
            .map_err(io_error("make a new segment", segment_path(dir, through + 1)))?;
        let covers = Covers { through, next_sequence: scan.next_sequence, tick: scan.tick };
        let (_, bytes) = snapshot::write(&disk, dir, covers, fold)?;
        let mut journal = Self::with(disk, dir, options, scan, current, 0);
        journal.snapshot_bytes = bytes;
        Ok(journal)
    }

    /// Renames what was lost, and removes what is now in the snapshot of [`Self::start_anew`].
    fn put_aside(&self, scan: &Scan, damage: Damage) -> Result<Loss, JournalError> {
        let is_snapshot = scan.is_in_snapshot(&damage);
        let mut loss = Loss { last_kept: scan.next_sequence - 1, bytes: 0, files: Vec::new(), damage };
        if let Some(snapshot) = scan.snapshot.as_ref().filter(|_| !is_snapshot) {
            let path = &snapshot.path;
            self.disk.remove(path).map_err(io_error("remove the old snapshot", path))?;
        }
        for number in scan.present.iter().filter(|number| !is_snapshot && **number < loss.damage.segment) {
            let path = segment_path(&self.dir, *number);
            self.disk.remove(&path).map_err(io_error("remove the covered segment", &path))?;
        }
        let files = scan.lost_parts(&self.dir, &loss.damage);
        for (path, from) in files {
            let file = self.disk.open(&path, false).map_err(io_error("open the lost file", &path))?;
            let end = content_end(&file, from).map_err(io_error("read the lost file", &path))?;
            loss.bytes += end.map_or(0, |end| end - from);
            let aside = lost_path(&path);
            self.disk.rename(&path, &aside).map_err(io_error("put the lost file aside", &path))?;
            loss.files.push(aside);
        }
        self.disk.sync_dir(&self.dir).map_err(io_error("sync the journal's directory", &self.dir))?;
        Ok(loss)
    }

    fn with(
        disk: D,
        dir: &Path,
        options: Options,
        scan: &Scan,
        current: Segment<D::File>,
        offset: u64,
    ) -> Self {
        let bytes_max = usize::try_from(options.segment_bytes).unwrap_or(BATCH_BYTES_MAX);
        Self {
            disk,
            dir: dir.to_owned(),
            current,
            offset,
            next: Next::None,
            frame: FrameBuffer::new(bytes_max),
            is_begun: false,
            tick: scan.tick,
            next_sequence: scan.next_sequence,
            is_closed: false,
            path_checked: 0,
            closed_bytes: 0,
            snapshot_bytes: scan.snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes),
            is_compacting: false,
            options,
        }
    }

    fn begin(&mut self, tick: u64) -> Result<(), JournalError> {
        self.refuse_if_closed()?;
        if tick < self.tick {
            return Err(JournalError::TickWentBack { tick, last: self.tick });
        }
        self.tick = tick;
        self.is_begun = true;
        Ok(())
    }

    fn push(&mut self, kind: u16, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), JournalError> {
        let max = self.frame.bytes_max();
        self.frame.push_with(kind, encode).map_err(|bytes| JournalError::BatchTooLarge { bytes, max })
    }

    fn refuse_if_closed(&self) -> Result<(), JournalError> {
        match self.is_closed {
            false => Ok(()),
            true => Err(JournalError::Closed { path: self.current.path.clone() }),
        }
    }
}

impl<D: Disk> Drop for Journal<D> {
    /// Waits for a segment being set aside, so that nothing touches the directory afterwards.
    fn drop(&mut self) {
        self.finish_next(true);
    }
}

/// Puts zeros where a torn batch was, so that it is not reported at the next start again.
fn overwrite_with_zeros<F: DiskFile>(file: &F, offset: u64, bytes: u64) -> io::Result<()> {
    let zeros = [0; 4096];
    let mut done = 0;
    while done < bytes {
        let piece = usize::try_from(bytes - done).map_or(zeros.len(), |left| left.min(zeros.len()));
        file.write_at(&zeros[..piece], offset + done)?;
        done += piece as u64;
    }
    Ok(())
}
