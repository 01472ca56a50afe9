//! What a durable batch costs: our journal, the bare disk under it, and SQLite.
//!
//! One JSON line for each store and batch size, then one for replay. The stores take turns in
//! many short rounds, so that a noisy machine is noisy for all; a figure is the median of the
//! rounds, `spread` the distance of its quartiles over it, `of_append` the median of what each
//! round gave beside the bare append of that same round. `--short` or
//! `SEATKEEPER_BENCH_SHORT=1` takes seconds. SQLite is measured with `--features bench-sqlite`.
//! The files lie in `target/tmp`, or in `SEATKEEPER_BENCH_DIR`: say a directory on a real disk,
//! on a memory file system a sync costs nothing.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FallocateFlags, fallocate};
use seatkeeper::journal::{
    DiskFile, Fold, FoldError, Journal, Options, RealDisk,
    batch::{HEADER_BYTES, RECORD_HEADER_BYTES},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of a record, without what a store adds.
const RECORD: [u8; 100] = [b'r'; 100];

/// Records of a batch.
const BATCHES: [usize; 4] = [1, 16, 128, 1000];

/// Bytes of the file that the bare loops write into before they begin again at its start.
const FILE_BYTES: u64 = 64 << 20;

/// Something that puts a batch of records on disk.
trait Store {
    fn commit(&mut self, records: usize) -> Result<()>;
}

/// What lies where the next batch goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    /// Nothing: the file grows.
    None,
    /// Blocks set aside and never written.
    Allocated,
    /// Blocks of zeros, as the journal has them.
    Zeroed,
}

/// One write and one fdatasync of the bytes that the journal would write.
struct Bare {
    file: File,
    buffer: Vec<u8>,
    offset: u64,
    space: Space,
}

impl Bare {
    fn open(path: &Path, space: Space) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let bare = Self { file, buffer: Vec::new(), offset: 0, space };
        match space {
            Space::None => {}
            Space::Allocated => bare.allocate()?,
            Space::Zeroed => DiskFile::grow(&bare.file, FILE_BYTES)?,
        }
        Ok(bare)
    }

    fn allocate(&self) -> Result<()> {
        self.file.set_len(0)?;
        fallocate(&self.file, FallocateFlags::empty(), 0, FILE_BYTES)?;
        Ok(self.file.sync_all()?)
    }
}

impl Store for Bare {
    fn commit(&mut self, records: usize) -> Result<()> {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 1);
        for _ in 0..records {
            self.buffer.extend_from_slice(&[2; RECORD_HEADER_BYTES]);
            self.buffer.extend_from_slice(&RECORD);
        }
        if self.space != Space::None && self.offset + self.buffer.len() as u64 > FILE_BYTES {
            self.offset = 0;
            if self.space == Space::Allocated {
                // Once written, such space is like any other: set it aside anew.
                self.allocate()?;
            }
        }
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.file.sync_data()?;
        self.offset += self.buffer.len() as u64;
        Ok(())
    }
}

/// Counts records.
struct Count(u64);

impl Fold for Count {
    fn apply(&mut self, _: u64, _: u64, _: u16, _: &[u8]) -> std::result::Result<(), FoldError> {
        self.0 += 1;
        Ok(())
    }

    fn dump(&self, _: &mut dyn FnMut(u16, &[u8])) {}
}

struct Ours(Journal);

impl Ours {
    fn open(path: &Path) -> Result<Self> {
        Ok(Self(Journal::open(RealDisk, path, Options::default(), &mut Count(0))?.journal))
    }
}

impl Store for Ours {
    fn commit(&mut self, records: usize) -> Result<()> {
        self.0.append(0, (0..records).map(|_| (1, RECORD)))?;
        self.0.commit()?;
        Ok(())
    }
}

#[cfg(feature = "bench-sqlite")]
struct Sqlite(rusqlite::Connection);

#[cfg(feature = "bench-sqlite")]
impl Sqlite {
    fn open(path: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection
            .execute_batch("CREATE TABLE record (sequence INTEGER PRIMARY KEY, kind INTEGER, bytes BLOB)")?;
        Ok(Self(connection))
    }
}

#[cfg(feature = "bench-sqlite")]
impl Store for Sqlite {
    fn commit(&mut self, records: usize) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO record (kind, bytes) VALUES (1, ?1)")?;
            for _ in 0..records {
                insert.execute([&RECORD[..]])?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// The rounds of one store at one batch size.
#[derive(Default)]
struct Series {
    commits: usize,
    rates: Vec<f64>,
    /// Microseconds of each commit.
    times: Vec<u32>,
}

impl Series {
    fn run(&mut self, store: &mut dyn Store, records: usize, length: Duration) -> Result<()> {
        let start = Instant::now();
        let mut commits = 0;
        while start.elapsed() < length {
            let begun = Instant::now();
            store.commit(records)?;
            self.times.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX));
            commits += 1;
        }
        self.rates.push(f64::from(commits) / start.elapsed().as_secs_f64());
        self.commits += commits as usize;
        Ok(())
    }

    /// Median of the rounds.
    fn rate(&self) -> f64 {
        quantile(&self.rates, 0.5)
    }

    /// Distance of the quartiles over the median.
    fn spread(&self) -> f64 {
        (quantile(&self.rates, 0.75) - quantile(&self.rates, 0.25)) / self.rate()
    }

    /// The median of this store's rounds, each over the same round of `other`.
    fn of(&self, other: &Self) -> f64 {
        let ratios: Vec<f64> =
            self.rates.iter().zip(&other.rates).map(|(ours, theirs)| ours / theirs).collect();
        quantile(&ratios, 0.5)
    }
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn stores(dir: &Path, records: usize) -> Result<Vec<(&'static str, Box<dyn Store>)>> {
    let path = |name: &str| dir.join(format!("{name}-{records}"));
    Ok(vec![
        ("append+fdatasync", Box::new(Bare::open(&path("append"), Space::None)?)),
        ("fallocated+fdatasync", Box::new(Bare::open(&path("allocated"), Space::Allocated)?)),
        ("zeroed+fdatasync", Box::new(Bare::open(&path("zeroed"), Space::Zeroed)?)),
        ("journal", Box::new(Ours::open(&path("journal"))?)),
        #[cfg(feature = "bench-sqlite")]
        ("sqlite-wal-full", Box::new(Sqlite::open(&path("sqlite"))?)),
    ])
}

fn commits(dir: &Path, rounds: usize, length: Duration) -> Result<()> {
    for records in BATCHES {
        let mut stores = stores(dir, records)?;
        let mut series: Vec<Series> = stores.iter().map(|_| Series::default()).collect();
        for _ in 0..rounds {
            for ((_, store), series) in stores.iter_mut().zip(&mut series) {
                series.run(store.as_mut(), records, length)?;
            }
        }
        for ((name, _), one) in stores.iter().zip(&series) {
            let rate = one.rate();
            let mut times = one.times.clone();
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
            let line = serde_json::json!({
                "bench": "journal-commit", "store": name, "batch": records, "record_bytes": RECORD.len(),
                "n": one.commits, "rounds": rounds,
                "commits_per_s": rate.round(), "records_per_s": (rate * records as f64).round(),
                "spread": hundredths(one.spread()),
                "p50_us": at(0.5), "p99_us": at(0.99),
                "of_append": hundredths(one.of(&series[0])),
            });
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
    Ok(())
}

fn replay(dir: &Path, records: u64, rounds: usize) -> Result<()> {
    let dir = dir.join("replay");
    let mut journal = Journal::open(RealDisk, &dir, Options::default(), &mut Count(0))?.journal;
    for _ in 0..records / 100 {
        journal.append(0, (0..100).map(|_| (1, &RECORD[..90])))?;
        journal.commit()?;
    }
    drop(journal);
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        let mut count = Count(0);
        let start = Instant::now();
        Journal::open(RealDisk, &dir, Options::default(), &mut count)?;
        seconds.push(start.elapsed().as_secs_f64());
        assert_eq!(count.0, records);
    }
    let median = quantile(&seconds, 0.5);
    let line = serde_json::json!({
        "bench": "journal-replay", "records": records, "record_bytes": 90, "rounds": rounds,
        "seconds": (median * 1000.0).round() / 1000.0, "records_per_s": (records as f64 / median).round(),
        "spread": hundredths((quantile(&seconds, 1.0) - quantile(&seconds, 0.0)) / median),
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn main() -> Result<()> {
    let is_short = std::env::args().any(|word| word == "--short")
        || std::env::var_os("SEATKEEPER_BENCH_SHORT").is_some();
    let home = std::env::var_os("SEATKEEPER_BENCH_DIR")
        .map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let dir = tempfile::tempdir_in(home)?;
    if is_short {
        commits(dir.path(), 5, Duration::from_millis(40))?;
        replay(dir.path(), 100_000, 3)
    } else {
        commits(dir.path(), 41, Duration::from_millis(100))?;
        replay(dir.path(), 1_000_000, 5)
    }
}
