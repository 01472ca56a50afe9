//! The disk of a simulation: [`MemoryDisk`], and where an error is planted one that lies about its syncs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use seatkeeper::journal::disk::{DiskFile, Entry};
use seatkeeper::journal::{Disk, MemoryDisk};

/// Every so many syncs of a disk that lies are none.
const LIES_EVERY: u64 = 7;

/// See the module. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    pub(crate) memory: MemoryDisk,
    /// Counts syncs where the disk lies.
    lies: Option<Arc<AtomicU64>>,
}

impl SimDisk {
    pub(crate) fn new(seed: u64, lies: bool) -> SimDisk {
        SimDisk { memory: MemoryDisk::new(seed), lies: lies.then(Arc::default) }
    }

    fn file(&self, inner: <MemoryDisk as Disk>::File) -> SimFile {
        SimFile { inner, lies: self.lies.clone() }
    }
}

/// A file of a [`SimDisk`].
#[derive(Debug)]
pub(crate) struct SimFile {
    inner: <MemoryDisk as Disk>::File,
    lies: Option<Arc<AtomicU64>>,
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.memory.create_dir(path)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<SimFile> {
        Ok(self.file(self.memory.create(path, bytes)?))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<SimFile> {
        Ok(self.file(self.memory.open(path, write)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.memory.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.memory.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.memory.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.memory.sync_dir(dir)
    }

    fn is_same_file(&self, path: &Path, file: &SimFile) -> io::Result<bool> {
        self.memory.is_same_file(path, &file.inner)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let is_lie =
            |syncs: &Arc<AtomicU64>| syncs.fetch_add(1, Ordering::Relaxed) % LIES_EVERY == LIES_EVERY - 1;
        if self.lies.as_ref().is_some_and(is_lie) { Ok(()) } else { self.inner.sync_data() }
    }

    fn bytes(&self) -> io::Result<u64> {
        self.inner.bytes()
    }

    fn grow(&self, bytes: u64) -> io::Result<()> {
        self.inner.grow(bytes)
    }
}
