//! The last well-formed contents of every license file, kept in the state directory (L6).
//!
//! A copy is one line of JSON that says which file it is of, then the file byte for byte. Copies are written
//! beside and renamed into place, after an fsync: a crash leaves the old copy or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::FILE_BYTES_MAX;

const EXTENSION: &str = "last-good";
/// A file name has at most 255 bytes; escaped in JSON at most six times that.
const HEADER_BYTES_MAX: u64 = 4_096;

/// SHA-256 of a file's bytes.
pub(super) type Contents = [u8; 32];

pub(super) fn contents(bytes: &[u8]) -> Contents {
    Sha256::digest(bytes).into()
}

#[derive(Serialize, Deserialize)]
struct Header {
    file: String,
    sha256: String,
}

/// What is to be written and what is to go.
#[derive(Default)]
pub(super) struct Update {
    pub(super) good: Vec<(String, Contents, Vec<u8>)>,
    pub(super) gone: Vec<String>,
}

/// The copies by the name of the license file, with the digest of their contents.
pub(super) fn index(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == EXTENSION)
            && let Ok((header, _)) = open(&entry.path())
            && path(directory, &header.file) == entry.path()
        {
            found.insert(header.file, header.sha256);
        }
    }
    found
}

/// The kept contents of one license file; `None` where there are none, or they are damaged.
pub(super) fn read(directory: &Path, file: &str) -> Option<Vec<u8>> {
    let (header, reader) = open(&path(directory, file)).ok()?;
    let mut bytes = Vec::new();
    reader.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (header.file == file && header.sha256 == hex(&contents(&bytes))).then_some(bytes)
}

/// Brings the directory up to date.
///
/// # Errors
///
/// The first copy that could not be written; the others are tried all the same.
pub(super) fn save(directory: &Path, update: &Update) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut first = Ok(());
    for (file, contents, bytes) in &update.good {
        let header = Header { file: file.clone(), sha256: hex(contents) };
        first = first.and(write(&path(directory, file), &header, bytes));
    }
    for file in &update.gone {
        match fs::remove_file(path(directory, file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => first = first.and(Err(error)),
            _ => {}
        }
    }
    first.and(File::open(directory)?.sync_all())
}

fn write(path: &Path, header: &Header, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    serde_json::to_writer(&mut file, header)?;
    file.write_all(b"\n")?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn open(path: &Path) -> io::Result<(Header, BufReader<File>)> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    (&mut reader).take(HEADER_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((serde_json::from_slice(&line)?, reader))
}

/// Named by a hash, so that no name of a license file can be too long or lead elsewhere.
fn path(directory: &Path, file: &str) -> PathBuf {
    directory.join(hex(&contents(file.as_bytes()))).with_extension(EXTENSION)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
