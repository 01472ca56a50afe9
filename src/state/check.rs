//! `seatkeeper state check`: what a state directory holds, read without changing anything.

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;

use super::{Identity, journal_dir, lock_path, read_format, read_pid};
use crate::causes::with_causes;
use crate::journal::{
    Damage, Dropped, Fold, FoldError, JournalError, RealDisk, WouldLose,
    replay::{self, End, Scan},
};

/// How often the journal is listed again when a compaction removes files while it is read.
const TRIES: u32 = 3;

/// What was found in a state directory. Serialized as `state check --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// 1.
    pub schema: u32,
    /// The directory.
    pub path: PathBuf,
    /// Its format, if it states a known one.
    pub format: Option<u32>,
    /// Whether a daemon holds it.
    pub locked: bool,
    /// The pid of the daemon that holds it.
    pub pid: Option<u32>,
    /// The server's key, as SERVERKEY names it.
    pub server_key: Option<String>,
    /// The snapshot read first.
    pub snapshot: Option<SnapshotReport>,
    /// The segments after it, in order; one that is set aside and empty too.
    pub segments: Vec<SegmentReport>,
    /// Whole batches in the segments.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// The number the next record will have.
    pub next_sequence: u64,
    /// The tick of the first batch in the segments.
    pub first_tick: Option<u64>,
    /// The tick of the last batch, that of the snapshot if there is none after it.
    pub last_tick: u64,
    /// A last batch that is not whole. While a daemon runs it is one being written.
    pub torn: Option<Place>,
    /// Damage, which stops a start.
    pub damage: Option<Place>,
    /// Everything that stands in the way of a start, a sentence each.
    pub problems: Vec<String>,
}

/// A snapshot, in a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotReport {
    /// Its file.
    pub file: PathBuf,
    /// The last segment it covers.
    pub through: u64,
    /// Its length.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
}

/// A segment, in a [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: PathBuf,
    /// Its number.
    pub number: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes of whole batches in it.
    pub used: u64,
    /// Whole batches in it.
    pub batches: u64,
}

/// A place in a file, in a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The segment's number; for a snapshot, the last it covers.
    pub segment: u64,
    /// Where in it.
    pub offset: u64,
    /// What is there.
    pub what: String,
}

/// Looks at a state directory, also while a daemon runs on it. Never fails: what cannot be
/// read is a problem of the report. The records' checksums are checked, not their meaning.
pub fn check(state: &Path) -> Report {
    let mut report = Report {
        schema: 1,
        path: state.to_owned(),
        format: None,
        locked: false,
        pid: None,
        server_key: None,
        snapshot: None,
        segments: Vec::new(),
        batches: 0,
        records: 0,
        next_sequence: 1,
        first_tick: None,
        last_tick: 0,
        torn: None,
        damage: None,
        problems: Vec::new(),
    };
    match read_format(state) {
        Ok(Some(format)) => report.format = Some(format),
        Ok(None) => {
            report.problems.push(format!("{}: not a state directory yet: no format file", state.display()))
        }
        Err(error) => report.problem(&error),
    }
    report.look_at_lock(state);
    match Identity::load(state) {
        Ok(Some(identity)) => report.server_key = Some(identity.fingerprint()),
        Ok(None) => report.problems.push(format!("{}: no identity key", Identity::path(state).display())),
        Err(error) => report.problem(&error),
    }
    let dir = journal_dir(state);
    let mut scan = replay::scan(&RealDisk, &dir, None, &mut Blind);
    for _ in 1..TRIES {
        // A compaction may have removed what was just listed.
        if scan.as_ref().is_ok_and(|scan| !matches!(scan.end, End::Damaged(_))) || !report.locked {
            break;
        }
        scan = replay::scan(&RealDisk, &dir, None, &mut Blind);
    }
    match scan {
        Ok(scan) => match scan.would_lose(&RealDisk, &dir) {
            Ok(would_lose) => report.take(scan, would_lose),
            Err(error) => report.problem(&error),
        },
        Err(error) => report.problem(&error),
    }
    report
}

/// A fold that looks at nothing.
struct Blind;

impl Fold for Blind {
    fn apply(&mut self, _: u64, _: u64, _: u16, _: &[u8]) -> Result<(), FoldError> {
        Ok(())
    }

    fn dump(&self, _: &mut dyn FnMut(u16, &[u8])) {}
}

impl Report {
    /// Whether a daemon would start on it, another one running aside.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, error: &dyn std::error::Error) {
        self.problems.push(with_causes(error));
    }

    fn look_at_lock(&mut self, state: &Path) {
        // A shared lock for an instant; a daemon that starts just now tries again.
        let is_held = |file: &File| flock(file, FlockOperation::NonBlockingLockShared).is_err();
        let lock = File::open(lock_path(state)).ok();
        // Some file systems cannot lock a directory: that is an error too, but not this one.
        let is_directory_held = File::open(state).is_ok_and(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        });
        if is_directory_held || lock.as_ref().is_some_and(is_held) {
            (self.locked, self.pid) = (true, lock.as_ref().and_then(read_pid));
        }
    }

    fn take(&mut self, scan: Scan, would_lose: Option<WouldLose>) {
        self.next_sequence = scan.next_sequence;
        self.last_tick = scan.tick;
        self.snapshot = scan.snapshot.map(|snapshot| SnapshotReport {
            file: snapshot.path,
            through: snapshot.through,
            bytes: snapshot.bytes,
            records: snapshot.records,
        });
        for segment in scan.segments {
            self.batches += segment.batches;
            self.records += segment.records;
            self.first_tick = self.first_tick.or(segment.ticks.map(|(first, _)| first));
            self.segments.push(SegmentReport {
                file: segment.path,
                number: segment.number,
                bytes: segment.bytes,
                used: segment.used,
                batches: segment.batches,
            });
        }
        match scan.end {
            End::Clean => {
                if self.format.is_some() && self.segments.is_empty() {
                    self.problems.push("the journal is empty although the state was in use".to_owned());
                }
            }
            End::Torn(Dropped { path, segment, offset, bytes }) => {
                let what = format!("{bytes} bytes of a batch that is not whole");
                self.torn = Some(Place { file: path, segment, offset, what });
            }
            End::Damaged(damage) => {
                self.problem(&JournalError::Damaged(damage.clone(), would_lose));
                let Damage { path, segment, offset, what } = damage;
                self.damage = Some(Place { file: path, segment, offset, what });
            }
        }
    }
}

impl fmt::Display for Report {
    /// A page for a person, a fact a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "state       {}", self.path.display())?;
        match self.format {
            Some(format) => writeln!(f, "format      {format}")?,
            None => writeln!(f, "format      none")?,
        }
        match (self.locked, self.pid) {
            (true, Some(pid)) => writeln!(f, "in use      by pid {pid}")?,
            (true, None) => writeln!(f, "in use      yes")?,
            (false, _) => writeln!(f, "in use      no")?,
        }
        writeln!(f, "server key  {}", self.server_key.as_deref().unwrap_or("none"))?;
        match &self.snapshot {
            Some(snapshot) => writeln!(
                f,
                "snapshot    of segments up to {}, {} records, {} bytes",
                snapshot.through, snapshot.records, snapshot.bytes
            )?,
            None => writeln!(f, "snapshot    none")?,
        }
        for segment in &self.segments {
            writeln!(
                f,
                "segment     {}: {} batches, {} of {} bytes used",
                segment.number, segment.batches, segment.used, segment.bytes
            )?;
        }
        writeln!(
            f,
            "records     {} in {} batches, the next is {}",
            self.records, self.batches, self.next_sequence
        )?;
        match self.first_tick {
            Some(first) => writeln!(f, "ticks       {first} to {} ms served", self.last_tick)?,
            None => writeln!(f, "ticks       {} ms served", self.last_tick)?,
        }
        if let Some(torn) = &self.torn {
            let end = if self.locked {
                "being written, or torn"
            } else {
                "torn, will be dropped at the next start"
            };
            writeln!(
                f,
                "last batch  {end}: segment {}, offset {}: {}",
                torn.segment, torn.offset, torn.what
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "problem     {problem}")?;
        }
        if self.is_sound() { writeln!(f, "sound") } else { Ok(()) }
    }
}
