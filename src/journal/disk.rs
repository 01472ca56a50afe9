//! What the journal asks of a disk, and the real disk.
//!
//! The trait exists so that a simulation can run the journal's own code over a disk that tears
//! and fails ([`super::MemoryDisk`]). It is as narrow as the journal allows and no file system
//! of its own: paths are plain, there are no handles on directories.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate};

/// Mode of files the journal makes: names of users and hosts are in them.
const FILE_MODE: u32 = 0o640;

/// Mode of the journal's directory.
const DIRECTORY_MODE: u32 = 0o750;

/// How much of a new file is zero-filled at a time, and synced before the next piece, so that
/// a commit on the same disk never waits behind a whole segment of zeros.
const FILL_BYTES: usize = 1 << 20;

/// A place to keep files. Cloning gives another handle on the same place.
pub trait Disk: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Makes a directory and its parents; one that exists is fine.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes a new file of `bytes` zeros whose space is set aside, content and length synced.
    /// Its name is durable after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// `AlreadyExists` when there is one; `StorageFull` when there is no room; then no file
    /// is left behind if it can be helped.
    fn create(&self, path: &Path, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file that exists, to read, and to write too when `write`.
    ///
    /// # Errors
    /// `NotFound`, or whatever the file system says.
    fn open(&self, path: &Path, write: bool) -> io::Result<Self::File>;

    /// Gives a file another name; what had that name before is gone.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound`, or whatever the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The plain files in a directory, in no order; a directory that is not there has none.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether `path` still leads to the open `file`. A path that leads nowhere: `false`.
    ///
    /// # Errors
    /// Whatever the file system says besides `NotFound`.
    fn is_same_file(&self, path: &Path, file: &Self::File) -> io::Result<bool>;
}

/// An open file, read and written at offsets.
pub trait DiskFile: fmt::Debug + Send + 'static {
    /// Reads up to `buffer.len()` bytes from `offset`; 0 at the end of the file.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`; the file grows if it must.
    ///
    /// # Errors
    /// Whatever the file system says. Part of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Puts content and length on stable storage. **An error here is never tried again**: the
    /// kernel may have forgotten what it could not write, and a second call would lie.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// Whatever the file system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Makes the file at least `bytes` long, zeros where it grows, space set aside, synced.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    fn grow(&self, bytes: u64) -> io::Result<()>;
}

/// A plain file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: OsString,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = File;

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
    }

    fn create(&self, path: &Path, bytes: u64) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(path)?;
        match file.grow(bytes) {
            Ok(()) => Ok(file),
            Err(error) => {
                // A half-made file helps nobody and holds space that is short.
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(write).open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => {
                    found.push(Entry { name: entry.file_name(), bytes: metadata.len() });
                }
                Ok(_) => {}
                // Compaction removes files while `state check` looks on.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn is_same_file(&self, path: &Path, file: &File) -> io::Result<bool> {
        let named = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let open = file.metadata()?;
        Ok(named.dev() == open.dev() && named.ino() == open.ino())
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buffer, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn grow(&self, bytes: u64) -> io::Result<()> {
        let from = DiskFile::bytes(self)?;
        if bytes <= from {
            return self.sync_all();
        }
        // First the promise of space in one step, so that a full disk is found before anything
        // is written; a file system that cannot promise finds it in the zeros.
        match fallocate(self, FallocateFlags::KEEP_SIZE, from, bytes - from) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        // Then real zeros: a commit that overwrites written blocks changes no metadata, one into
        // blocks that are only set aside does (figures in docs/JOURNAL.md).
        let zeros = vec![0; FILL_BYTES];
        let mut at = from;
        while at < bytes {
            let piece = usize::try_from(bytes - at).map_or(FILL_BYTES, |left| left.min(FILL_BYTES));
            self.write_all_at(&zeros[..piece], at)?;
            File::sync_data(self)?;
            at += piece as u64;
        }
        self.sync_all()
    }
}
