//! Files of a journal: their names, how a segment is set aside, how a file is read frame by frame.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use super::{
    batch::{self, BatchFault, HEADER_BYTES, Header, Role},
    disk::{Disk, DiskFile},
};

/// How much of a file is read at a time. A batch may be longer; then the buffer grows to it.
const READ_BYTES: usize = 256 << 10;

/// What a file in the journal's directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `000000000007.segment`: batches.
    Segment(u64),
    /// `000000000007.snapshot`: the state after segment 7.
    Snapshot(u64),
    /// `….tmp`: was being made when the program ended; worth nothing.
    Temporary,
    /// Anything else, left alone.
    Other,
}

impl FileKind {
    /// Tells from the name what a file is.
    pub fn of(name: &OsStr) -> Self {
        let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
            return Self::Other;
        };
        let is_number = stem.len() >= 12 && stem.bytes().all(|byte| byte.is_ascii_digit());
        match (extension, is_number.then(|| stem.parse().ok()).flatten()) {
            ("segment", Some(number)) => Self::Segment(number),
            ("snapshot", Some(number)) => Self::Snapshot(number),
            ("tmp", _) => Self::Temporary,
            _ => Self::Other,
        }
    }
}

/// Where segment `number` lies.
pub fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.segment"))
}

/// Where the snapshot lies that covers all segments up to `through`.
pub fn snapshot_path(dir: &Path, through: u64) -> PathBuf {
    dir.join(format!("{through:012}.snapshot"))
}

/// The name a file has until it is whole.
pub(super) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// The name of a file that was put aside because it could not be read.
pub(super) fn lost_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lost");
    name.into()
}

/// A segment open for writing.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) file: F,
    /// Length of the file: what may be written.
    pub(super) capacity: u64,
}

/// Sets a segment aside under its final name. The name appears only when the zeros are on disk,
/// so a segment that can be seen can be written.
pub(super) fn allocate<D: Disk>(
    disk: &D,
    dir: &Path,
    number: u64,
    capacity: u64,
) -> io::Result<Segment<D::File>> {
    let path = segment_path(dir, number);
    let temporary = temporary_path(&path);
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary, capacity)?;
    disk.rename(&temporary, &path)?;
    disk.sync_dir(dir)?;
    Ok(Segment { number, path, file, capacity })
}

/// What stands at a place in a file.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A frame whose checksum is right.
    Frame(Header, &'a [u8]),
    /// The end of the file, or a length of zero.
    End,
    /// Something that is no frame.
    Fault(BatchFault),
}

/// Reads a file frame by frame through one buffer.
#[derive(Debug)]
pub(super) struct FrameReader<'a, F> {
    file: &'a F,
    file_bytes: u64,
    /// Where the next frame begins.
    offset: u64,
    /// Holds the file's bytes from `offset - start` on.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'a, F: DiskFile> FrameReader<'a, F> {
    pub(super) fn new(file: &'a F) -> io::Result<Self> {
        let file_bytes = file.bytes()?;
        Ok(Self { file, file_bytes, offset: 0, buffer: Vec::new(), start: 0, end: 0 })
    }

    /// Where the next frame begins; where a fault lies when [`Self::step`] found one.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Reads the next frame and goes past it; stays where it is at an end or a fault.
    pub(super) fn step(&mut self) -> io::Result<Step<'_>> {
        let left = self.file_bytes - self.offset;
        let head = usize::try_from(left).map_or(HEADER_BYTES, |left| left.min(HEADER_BYTES));
        self.fill(head)?;
        let bytes = &self.buffer[self.start..self.end];
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            if bytes.iter().all(|byte| *byte == 0) {
                return Ok(Step::End);
            }
            return Ok(Step::Fault(BatchFault::CutOff(head as u32)));
        };
        let header = Header::read(head);
        if header.bytes == 0 {
            return Ok(Step::End);
        }
        if !header.is_length_possible() {
            return Ok(Step::Fault(BatchFault::Length(header.bytes)));
        }
        if u64::from(header.bytes) > left {
            return Ok(Step::Fault(BatchFault::CutOff(header.bytes)));
        }
        let length = header.bytes as usize;
        self.fill(length)?;
        if self.end - self.start < length {
            // The file has become shorter while it was read.
            return Ok(Step::Fault(BatchFault::CutOff(header.bytes)));
        }
        let frame = &self.buffer[self.start..self.start + length];
        Ok(match batch::check(frame) {
            Ok(header) => {
                self.start += length;
                self.offset += length as u64;
                Step::Frame(header, frame)
            }
            Err(fault) => Step::Fault(fault),
        })
    }

    /// Sees to it that `wanted` bytes from `offset` on are in the buffer, if the file has them.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.end - self.start >= wanted {
            return Ok(());
        }
        let held = self.end - self.start;
        let room = wanted.max(READ_BYTES);
        if self.buffer.len() < room {
            let mut larger = vec![0; room];
            larger[..held].copy_from_slice(&self.buffer[self.start..self.end]);
            self.buffer = larger;
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, held);
        while self.end < wanted {
            let at = self.offset + self.end as u64;
            let read = self.file.read_at(&mut self.buffer[self.end..], at)?;
            if read == 0 {
                break;
            }
            self.end += read;
        }
        Ok(())
    }
}

/// The end of the last byte that is not zero from `from` on, or `None` if all are.
pub(super) fn content_end<F: DiskFile>(file: &F, from: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; READ_BYTES];
    let zeros = vec![0; READ_BYTES];
    let (mut at, mut end) = (from, None);
    loop {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(end);
        }
        let piece = &buffer[..read];
        // One comparison of memory: a segment is mostly zeros.
        if piece != &zeros[..read]
            && let Some(last) = piece.iter().rposition(|byte| *byte != 0)
        {
            end = Some(at + last as u64 + 1);
        }
        at += read as u64;
    }
}

/// Looks between `from` and `to` for a whole batch of this segment that was written later than
/// `next_sequence` records: proof that what stands at `from` is damage, not a torn end.
pub(super) fn batch_after<F: DiskFile>(
    file: &F,
    segment: u64,
    next_sequence: u64,
    from: u64,
    to: u64,
) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; READ_BYTES];
    let mut at = from;
    while at < to {
        let read = file.read_at(&mut buffer, at)?;
        if read < HEADER_BYTES {
            return Ok(None);
        }
        for (index, window) in buffer[..read].windows(HEADER_BYTES).enumerate() {
            let Some(head) = window.first_chunk() else { continue };
            let header = Header::read(head);
            let is_plausible = header.role == Role::Batch as u16
                && header.segment == segment
                && header.first_sequence >= next_sequence
                && header.is_length_possible();
            if !is_plausible {
                continue;
            }
            let offset = at + index as u64;
            let mut frame = vec![0; header.bytes as usize];
            if read_exactly(file, &mut frame, offset)? && batch::check(&frame).is_ok() {
                return Ok(Some(offset));
            }
        }
        at += (read - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

/// Fills `buffer` from `offset` on; `false` when the file ends before.
pub(super) fn read_exactly<F: DiskFile>(file: &F, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => return Ok(false),
            read => done += read,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let dir = Path::new("");
        assert_eq!(FileKind::of(segment_path(dir, 7).as_os_str()), FileKind::Segment(7));
        assert_eq!(FileKind::of(snapshot_path(dir, u64::MAX).as_os_str()), FileKind::Snapshot(u64::MAX));
        assert_eq!(FileKind::of(temporary_path(&segment_path(dir, 7)).as_os_str()), FileKind::Temporary);
        for other in [
            "7.segment",
            "+00000000007.segment",
            "000000000007.segment.lost",
            "lock",
            "00000000000x.snapshot",
        ] {
            assert_eq!(FileKind::of(OsStr::new(other)), FileKind::Other, "{other}");
        }
    }
}
