//! Writing a snapshot: the state of a fold as records, in frames of their own checksums.
//!
//! It is written under a temporary name, synced, renamed, and the directory synced; until then
//! the segments it covers are the truth, and afterwards it is. Reading is in [`super::replay`].

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    Fold,
    batch::{FrameBuffer, HEADER_BYTES, Role},
    disk::{Disk, DiskFile},
    error::{JournalError, io_error},
    segment::{snapshot_path, temporary_path},
};

/// Bytes of a part. Large enough to be few, small enough to be checked in a small buffer.
const PART_BYTES: usize = 256 << 10;

/// A sync after so many bytes, so that the engine's own sync on the same disk never waits
/// behind a whole snapshot.
const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// What a snapshot is said to cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covers {
    /// The last segment in it.
    pub(super) through: u64,
    /// The number of the first record not in it.
    pub(super) next_sequence: u64,
    /// The tick of the last batch in it.
    pub(super) tick: u64,
}

/// Writes a snapshot of `fold` and makes it the one that counts. Gives its path and length.
pub(super) fn write<D: Disk>(
    disk: &D,
    dir: &Path,
    covers: Covers,
    fold: &dyn Fold,
) -> Result<(PathBuf, u64), JournalError> {
    let path = snapshot_path(dir, covers.through);
    let temporary = temporary_path(&path);
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove the old file", &temporary)(error));
        }
        _ => {}
    }
    let file = disk.create(&temporary, 0).map_err(io_error("create the snapshot", &temporary))?;
    let written = Writer::new(&file, covers).and_then(|writer| writer.write(fold));
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            // It holds space that is short, most likely.
            let _ = disk.remove(&temporary);
            return Err(io_error("write the snapshot", &temporary)(error));
        }
    };
    drop(file);
    disk.rename(&temporary, &path).map_err(io_error("name the snapshot", &path))?;
    disk.sync_dir(dir).map_err(io_error("sync the journal's directory", dir))?;
    Ok((path, bytes))
}

struct Writer<'a, F> {
    file: &'a F,
    covers: Covers,
    frame: FrameBuffer,
    records: u64,
    offset: u64,
    synced: u64,
}

impl<'a, F: DiskFile> Writer<'a, F> {
    fn new(file: &'a F, covers: Covers) -> io::Result<Self> {
        let mut writer = Self {
            file,
            covers,
            frame: FrameBuffer::new(super::batch::BATCH_BYTES_MAX),
            records: 0,
            offset: 0,
            synced: 0,
        };
        writer.put(Role::SnapshotHead, covers.next_sequence)?;
        Ok(writer)
    }

    fn write(mut self, fold: &dyn Fold) -> io::Result<u64> {
        let mut result = Ok(());
        fold.dump(&mut |kind, bytes| {
            if result.is_ok() {
                result = self.record(kind, bytes);
            }
        });
        result?;
        self.put_part()?;
        self.put(Role::SnapshotEnd, self.records)?;
        self.file.sync_data()?;
        Ok(self.offset)
    }

    fn record(&mut self, kind: u16, bytes: &[u8]) -> io::Result<()> {
        if self.frame.bytes() + bytes.len() > PART_BYTES {
            self.put_part()?;
        }
        self.frame
            .push_with(kind, |out| out.extend_from_slice(bytes))
            .map_err(|bytes| io::Error::other(format!("a record of {bytes} bytes is over the limit")))
    }

    fn put_part(&mut self) -> io::Result<()> {
        if self.frame.bytes() == HEADER_BYTES {
            return Ok(());
        }
        let first = self.records;
        self.records += u64::from(self.frame.records());
        self.put(Role::SnapshotPart, first)
    }

    fn put(&mut self, role: Role, number: u64) -> io::Result<()> {
        let bytes = self.frame.seal(role, self.covers.through, number, self.covers.tick);
        self.file.write_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        self.frame.clear();
        if self.offset - self.synced >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.synced = self.offset;
        }
        Ok(())
    }
}
