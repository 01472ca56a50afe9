//! Reading a journal back: the snapshot, then the segments after it, record by record.
//!
//! Nothing here writes. [`scan`] says how far the journal is whole and what stands there: a
//! clean end, a torn last batch (dropped, S62), or damage. What is done about it is decided by
//! whoever called: [`super::Journal::open`], a compaction, or `seatkeeper state check`.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    Fold,
    batch::{self, BatchFault, Header, Records, Role},
    disk::Disk,
    error::{Damage, JournalError, io_error},
    segment::{FileKind, FrameReader, Step, batch_after, content_end, segment_path, snapshot_path},
};

/// The torn last batch of a journal: written when the power went, acknowledged to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The segment's file.
    pub path: PathBuf,
    /// The segment's number.
    pub segment: u64,
    /// Where the batch began.
    pub offset: u64,
    /// How many bytes were found from there to the last that is not zero.
    pub bytes: u64,
}

/// What was given up by `accept_loss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where the journal is damaged; everything from there on is lost.
    pub damage: Damage,
    /// The last record that was kept; 0 when none was.
    pub last_kept: u64,
    /// Bytes of content in the lost part, damaged or not.
    pub bytes: u64,
    /// Where the files with the lost part are kept for a look.
    pub files: Vec<PathBuf>,
}

/// What `accept_loss` would do about damage: told before anybody decides (S62).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldLose {
    /// The last record that would be kept; 0: none. `None`: the snapshot is damaged, and what stands in it before the
    /// place would be kept, in no order of time.
    pub last_kept: Option<u64>,
    /// Bytes of content that would be given up, damaged or not.
    pub bytes: u64,
}

impl fmt::Display for WouldLose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last_kept {
            Some(0) if self.bytes == 0 => return write!(f, "begins with nothing: every session is lost"),
            Some(0) => write!(f, "keeps nothing")?,
            Some(last) => write!(f, "keeps the records 1 to {last}")?,
            None => write!(f, "keeps only what stands in the snapshot before this place")?,
        }
        write!(f, " and gives up {} bytes from there on, put aside as .lost files", self.bytes)
    }
}

/// What a snapshot states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The file.
    pub path: PathBuf,
    /// The last segment it covers.
    pub through: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The records in it.
    pub records: u64,
    /// The tick of the last batch it covers.
    pub tick: u64,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Its number.
    pub number: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Where its last whole batch ends.
    pub used: u64,
    /// Whole batches in it.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Tick of the first and the last batch.
    pub ticks: Option<(u64, u64)>,
    /// Offset of the last batch.
    pub last_batch: Option<u64>,
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a whole batch.
    Clean,
    /// With a torn batch; what comes before it is whole.
    Torn(Dropped),
    /// In the middle, by damage.
    Damaged(Damage),
}

/// What was found in a journal's directory.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The snapshot read first.
    pub snapshot: Option<SnapshotInfo>,
    /// The segments after it, in order, as far as they were read.
    pub segments: Vec<SegmentInfo>,
    /// The number the next record will have.
    pub next_sequence: u64,
    /// The tick of the last whole batch.
    pub tick: u64,
    /// How it ends.
    pub end: End,
    /// The highest number of any segment or snapshot seen; 0 in an empty directory.
    pub(super) highest: u64,
    /// Files left over from a compaction that did not finish: what the snapshot covers.
    pub(super) covered: Vec<PathBuf>,
    /// Files that were being made.
    pub(super) temporary: Vec<PathBuf>,
    /// The segments after the snapshot that are there, read or not.
    pub(super) present: BTreeSet<u64>,
}

/// Reads the newest snapshot and the segments after it into `fold`.
///
/// With `through`, only snapshots and segments up to that number are looked at, and they are
/// closed: a torn batch in them is damage.
///
/// # Errors
/// When the disk cannot be read, a batch is of a later format, or the fold refuses a record.
/// Damage is no error here but an [`End`].
pub fn scan<D: Disk>(
    disk: &D,
    dir: &Path,
    through: Option<u64>,
    fold: &mut dyn Fold,
) -> Result<Scan, JournalError> {
    let mut present = BTreeSet::new();
    let mut snapshots = BTreeSet::new();
    let mut scan = Scan {
        snapshot: None,
        segments: Vec::new(),
        next_sequence: 1,
        tick: 0,
        end: End::Clean,
        highest: 0,
        covered: Vec::new(),
        temporary: Vec::new(),
        present: BTreeSet::new(),
    };
    for entry in disk.list(dir).map_err(io_error("list the journal", dir))? {
        match FileKind::of(&entry.name) {
            FileKind::Segment(number) => {
                scan.highest = scan.highest.max(number);
                present.insert(number);
            }
            FileKind::Snapshot(number) => {
                scan.highest = scan.highest.max(number);
                snapshots.insert(number);
            }
            FileKind::Temporary => scan.temporary.push(dir.join(entry.name)),
            FileKind::Other => {}
        }
    }
    if let Some(through) = through {
        present.retain(|number| *number <= through);
        snapshots.retain(|number| *number <= through);
    }
    let base = snapshots.pop_last();
    let after = base.unwrap_or(0);
    scan.covered.extend(snapshots.iter().map(|number| snapshot_path(dir, *number)));
    scan.covered
        .extend(present.iter().filter(|number| **number <= after).map(|number| segment_path(dir, *number)));
    present.retain(|number| *number > after);
    let last = through.unwrap_or(present.last().copied().unwrap_or(0));
    scan.present = present;

    if let Some(number) = base {
        scan.read_snapshot(disk, snapshot_path(dir, number), number, fold)?;
    }
    if last == 0 && base.is_none() {
        return Ok(scan);
    }
    for number in after + 1..=last.max(after + 1) {
        if matches!(scan.end, End::Damaged(_)) {
            break;
        }
        let path = segment_path(dir, number);
        if through.is_some_and(|through| number > through) {
            break;
        }
        if !scan.present.contains(&number) {
            let what = "the segment is missing".to_owned();
            scan.end = End::Damaged(Damage { path, segment: number, offset: 0, what });
            break;
        }
        scan.read_segment(disk, dir, path, number, through.is_some(), fold)?;
    }
    Ok(scan)
}

impl Scan {
    /// The last segment with something in it, else the first there is.
    pub(super) fn current(&self) -> Option<&SegmentInfo> {
        let torn = match &self.end {
            End::Torn(dropped) => Some(dropped.segment),
            _ => None,
        };
        self.segments
            .iter()
            .rfind(|segment| segment.batches > 0 || torn == Some(segment.number))
            .or_else(|| self.segments.first())
    }

    /// Whether damage lies in the snapshot, not in a segment.
    pub(super) fn is_in_snapshot(&self, damage: &Damage) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.path == damage.path)
    }

    /// The files that `accept_loss` gives up, each with the offset from which on.
    pub(super) fn lost_parts(&self, dir: &Path, damage: &Damage) -> Vec<(PathBuf, u64)> {
        let is_snapshot = self.is_in_snapshot(damage);
        let behind = self.present.iter().filter(|number| is_snapshot || **number >= damage.segment);
        let segments = behind.map(|number| segment_path(dir, *number)).map(|path| {
            let from = if path == damage.path { damage.offset } else { 0 };
            (path, from)
        });
        is_snapshot.then(|| (damage.path.clone(), damage.offset)).into_iter().chain(segments).collect()
    }

    /// What `accept_loss` would do; `None` where nothing is damaged.
    ///
    /// # Errors
    /// What the disk says.
    pub fn would_lose<D: Disk>(&self, disk: &D, dir: &Path) -> Result<Option<WouldLose>, JournalError> {
        let End::Damaged(damage) = &self.end else { return Ok(None) };
        let mut bytes = 0;
        for (path, from) in self.lost_parts(dir, damage) {
            let file = disk.open(&path, false).map_err(io_error("open the file", &path))?;
            let end = content_end(&file, from).map_err(io_error("read the file", &path))?;
            bytes += end.map_or(0, |end| end - from);
        }
        let last_kept = (!self.is_in_snapshot(damage)).then(|| self.next_sequence - 1);
        Ok(Some(WouldLose { last_kept, bytes }))
    }

    fn read_snapshot<D: Disk>(
        &mut self,
        disk: &D,
        path: PathBuf,
        through: u64,
        fold: &mut dyn Fold,
    ) -> Result<(), JournalError> {
        let file = disk.open(&path, false).map_err(io_error("open the snapshot", &path))?;
        let mut reader = FrameReader::new(&file).map_err(io_error("read the snapshot", &path))?;
        let mut info =
            SnapshotInfo { path: path.clone(), through, bytes: reader.file_bytes(), records: 0, tick: 0 };
        let mut is_begun = false;
        loop {
            let offset = reader.offset();
            let file_bytes = reader.file_bytes();
            let step = reader.step().map_err(io_error("read the snapshot", &path))?;
            let fault = match step {
                Step::Frame(header, _) if header.segment != through => {
                    format!("a part of the snapshot of segment {}", header.segment)
                }
                Step::Frame(header, _) if !is_begun && header.role == Role::SnapshotHead as u16 => {
                    is_begun = true;
                    self.next_sequence = header.first_sequence.max(1);
                    self.tick = header.tick;
                    info.tick = header.tick;
                    continue;
                }
                Step::Frame(header, frame)
                    if is_begun
                        && header.role == Role::SnapshotPart as u16
                        && header.first_sequence == info.records =>
                {
                    apply(fold, &path, offset, (self.tick, self.next_sequence - 1, 0), frame)?;
                    info.records += u64::from(header.records);
                    continue;
                }
                Step::Frame(header, frame)
                    if is_begun
                        && header.role == Role::SnapshotEnd as u16
                        && header.first_sequence == info.records
                        && offset + frame.len() as u64 == file_bytes =>
                {
                    self.snapshot = Some(info);
                    return Ok(());
                }
                Step::Frame(header, _) => format!(
                    "a frame of role {} and number {} where part {} was due",
                    header.role, header.first_sequence, info.records
                ),
                Step::End => "the snapshot ends before its last part".to_owned(),
                Step::Fault(fault) => describe(fault, &path, offset)?,
            };
            self.snapshot = Some(info);
            self.end = End::Damaged(Damage { path, segment: through, offset, what: fault });
            return Ok(());
        }
    }

    fn read_segment<D: Disk>(
        &mut self,
        disk: &D,
        dir: &Path,
        path: PathBuf,
        number: u64,
        is_closed: bool,
        fold: &mut dyn Fold,
    ) -> Result<(), JournalError> {
        let file = disk.open(&path, false).map_err(io_error("open the segment", &path))?;
        let mut reader = FrameReader::new(&file).map_err(io_error("read the segment", &path))?;
        let mut info = SegmentInfo {
            path: path.clone(),
            number,
            bytes: reader.file_bytes(),
            used: 0,
            batches: 0,
            records: 0,
            ticks: None,
            last_batch: None,
        };
        let mut fault = None;
        loop {
            let offset = reader.offset();
            match reader.step().map_err(io_error("read the segment", &path))? {
                Step::Frame(header, frame) => {
                    if let Some(what) = self.misplaced(&header, number) {
                        self.segments.push(info);
                        self.end = End::Damaged(Damage { path, segment: number, offset, what });
                        return Ok(());
                    }
                    apply(fold, &path, offset, (header.tick, self.next_sequence, 1), frame)?;
                    self.next_sequence += u64::from(header.records);
                    self.tick = header.tick;
                    info.used = offset + u64::from(header.bytes);
                    info.batches += 1;
                    info.records += u64::from(header.records);
                    info.ticks = Some((info.ticks.map_or(header.tick, |(first, _)| first), header.tick));
                    info.last_batch = Some(offset);
                }
                Step::End => break,
                Step::Fault(found) => {
                    fault = Some(found);
                    break;
                }
            }
        }
        let offset = info.used;
        self.segments.push(info);
        let content = content_end(&file, offset).map_err(io_error("read the segment", &path))?;
        // Where there is a fault there is at least its length, which is not zero.
        let Some(end) = content else { return Ok(()) };
        let what = match fault {
            Some(fault) => describe(fault, &path, offset)?,
            None => "bytes that belong to no batch".to_owned(),
        };
        self.end = match self.why_not_torn(disk, dir, &file, number, (offset, end), is_closed)? {
            None => End::Torn(Dropped { path, segment: number, offset, bytes: end - offset }),
            Some(reason) => {
                let what = format!("{what}, {reason}");
                End::Damaged(Damage { path, segment: number, offset, what })
            }
        };
        Ok(())
    }

    /// What is wrong with a whole batch that does not belong here, if anything.
    fn misplaced(&self, header: &Header, number: u64) -> Option<String> {
        if header.role != Role::Batch as u16 || header.segment != number {
            return Some(format!("a batch of segment {} in segment {number}", header.segment));
        }
        if header.first_sequence != self.next_sequence {
            return Some(format!(
                "the batch begins with record {} where {} was due",
                header.first_sequence, self.next_sequence
            ));
        }
        (header.tick < self.tick)
            .then(|| format!("tick {} after tick {} of the batch before", header.tick, self.tick))
    }

    /// Batch n + 1 is written only when n is synced, so what is torn is the last thing in the
    /// journal. Says what comes after the place, if anything does.
    fn why_not_torn<D: Disk>(
        &self,
        disk: &D,
        dir: &Path,
        file: &D::File,
        number: u64,
        (from, to): (u64, u64),
        is_closed: bool,
    ) -> Result<Option<String>, JournalError> {
        if is_closed {
            return Ok(Some("in a segment that is closed".to_owned()));
        }
        let path = segment_path(dir, number);
        let next = batch_after(file, number, self.next_sequence, from + 1, to);
        if let Some(next) = next.map_err(io_error("read the segment", &path))? {
            return Ok(Some(format!("and a whole batch follows at offset {next}")));
        }
        for later in self.present.range(number + 1..) {
            let path = segment_path(dir, *later);
            let file = disk.open(&path, false).map_err(io_error("open the segment", &path))?;
            if content_end(&file, 0).map_err(io_error("read the segment", &path))?.is_some() {
                return Ok(Some(format!("and segment {later} has content")));
            }
        }
        Ok(None)
    }
}

/// Gives the records of a frame to the fold. `numbers`: tick, number of the first record, and
/// by how much it rises from one to the next.
fn apply(
    fold: &mut dyn Fold,
    path: &Path,
    offset: u64,
    (tick, mut sequence, step): (u64, u64, u64),
    frame: &[u8],
) -> Result<(), JournalError> {
    for (kind, bytes) in Records::of(frame) {
        fold.apply(tick, sequence, kind, bytes).map_err(|source| JournalError::Refused {
            path: path.to_owned(),
            offset,
            sequence,
            source,
        })?;
        sequence += step;
    }
    Ok(())
}

/// A fault in words; a later format is an error of its own, because nothing is broken then.
fn describe(fault: BatchFault, path: &Path, offset: u64) -> Result<String, JournalError> {
    match fault {
        BatchFault::Format(format) => {
            Err(JournalError::NewerFormat { path: path.to_owned(), offset, format, known: batch::FORMAT })
        }
        fault => Ok(fault.to_string()),
    }
}
