//! The other bound: one write and one fdatasync after the other, on the disk the daemon's journal is on.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use seatkeeper::journal::DiskFile;

use crate::common::{Result, quantile, spread, tenths};

/// About what one checkout puts into the journal, the batch around it included.
const RECORD: [u8; 250] = [b'r'; 250];
/// A file of zeros, as a segment is; written round and round.
const ZEROED_BYTES: u64 = 16 << 20;

/// One way to have records on disk.
pub(crate) struct Loop {
    name: &'static str,
    file: File,
    length: Option<u64>,
    offset: u64,
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Loop {
    /// A file that grows with each write.
    pub(crate) fn append(directory: &Path) -> Result<Loop> {
        Loop::open("append", directory, None)
    }

    /// A file whose blocks are there and written, as those of the journal.
    pub(crate) fn zeroed(directory: &Path) -> Result<Loop> {
        Loop::open("zeroed", directory, Some(ZEROED_BYTES))
    }

    fn open(name: &'static str, directory: &Path, length: Option<u64>) -> Result<Loop> {
        let path = directory.join(format!("disk-{name}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        if let Some(length) = length {
            DiskFile::grow(&file, length)?;
        }
        Ok(Loop { name, file, length, offset: 0, rates: Vec::new(), p50: Vec::new(), p99: Vec::new() })
    }

    /// One round.
    pub(crate) fn run(&mut self, length: Duration) -> Result<()> {
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < length {
            if self.length.is_some_and(|length| self.offset + RECORD.len() as u64 > length) {
                self.offset = 0;
            }
            let start = Instant::now();
            self.file.write_all_at(&RECORD, self.offset)?;
            self.file.sync_data()?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            self.offset += RECORD.len() as u64;
        }
        self.rates.push(times.len() as f64 / begun.elapsed().as_secs_f64());
        self.p50.push(quantile(&times, 0.5));
        self.p99.push(quantile(&times, 0.99));
        Ok(())
    }

    /// The figures of all rounds.
    pub(crate) fn told(&self) -> serde_json::Value {
        serde_json::json!({
            "loop": self.name, "record_bytes": RECORD.len(), "per_s": quantile(&self.rates, 0.5).round(),
            "spread": spread(&self.rates), "p50_us": tenths(quantile(&self.p50, 0.5)), "p99_us": tenths(quantile(&self.p99, 0.5)),
        })
    }
}
