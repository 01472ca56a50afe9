//! The bytes of a batch: a header with a checksum, then records. All numbers little-endian.
//!
//! The same frame carries the parts of a snapshot, told apart by the header's role. This file
//! encodes and decodes bytes in memory; it opens nothing. `docs/JOURNAL.md` has the table.

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 48;

/// Bytes of a record before its content: kind u16, length u32.
pub const RECORD_HEADER_BYTES: usize = 6;

/// The format written, and the newest one read (S65).
pub const FORMAT: u16 = 1;

/// Most bytes of one batch, header included. A step of the engine stays far below it; the
/// limit keeps a wrong length field from asking for gigabytes.
pub const BATCH_BYTES_MAX: usize = 16 << 20;

/// What a frame is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Role {
    /// A batch in a segment.
    Batch = 1,
    /// The first frame of a snapshot: no records; `first_sequence` is the number of the first
    /// record the snapshot does not cover.
    SnapshotHead = 2,
    /// Records of a snapshot; `first_sequence` counts them from 0.
    SnapshotPart = 3,
    /// The last frame of a snapshot: no records; `first_sequence` is how many there were.
    SnapshotEnd = 4,
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole frame, this header included.
    pub bytes: u32,
    /// CRC32C of everything but this field.
    pub checksum: u32,
    /// [`FORMAT`].
    pub format: u16,
    /// A [`Role`], as a number.
    pub role: u16,
    /// The leader's term; 0 until there are three servers.
    pub term: u64,
    /// The segment it stands in; in a snapshot, the last segment covered.
    pub segment: u64,
    /// The number of its first record; the first record ever has 1.
    pub first_sequence: u64,
    /// Milliseconds served when it was written.
    pub tick: u64,
    /// How many records follow.
    pub records: u32,
}

/// What is wrong with the bytes at a place where a batch should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchFault {
    /// The length cannot be that of a batch.
    #[error("a batch cannot be {0} bytes long")]
    Length(u32),
    /// The file ends before the batch does.
    #[error("the file ends inside a batch of {0} bytes")]
    CutOff(u32),
    /// The checksum is not that of the bytes.
    #[error("the checksum of a batch of {0} bytes is wrong")]
    Checksum(u32),
    /// The checksum is right and the format is a later one.
    #[error("a batch of format {0}")]
    Format(u16),
    /// The checksum is right and the records do not fill the batch.
    #[error("the records of a batch of {0} bytes do not fill it")]
    Records(u32),
}

impl Header {
    /// Reads a header. Nothing is checked.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Self {
            bytes: u32_at(0),
            checksum: u32_at(4),
            format: u16_at(8),
            role: u16_at(10),
            term: u64_at(12),
            segment: u64_at(20),
            first_sequence: u64_at(28),
            tick: u64_at(36),
            records: u32_at(44),
        }
    }

    fn write(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&self.bytes.to_le_bytes());
        out[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        out[8..10].copy_from_slice(&self.format.to_le_bytes());
        out[10..12].copy_from_slice(&self.role.to_le_bytes());
        out[12..20].copy_from_slice(&self.term.to_le_bytes());
        out[20..28].copy_from_slice(&self.segment.to_le_bytes());
        out[28..36].copy_from_slice(&self.first_sequence.to_le_bytes());
        out[36..44].copy_from_slice(&self.tick.to_le_bytes());
        out[44..48].copy_from_slice(&self.records.to_le_bytes());
    }

    /// Whether the length could be that of a batch.
    pub fn is_length_possible(&self) -> bool {
        (HEADER_BYTES..=BATCH_BYTES_MAX).contains(&(self.bytes as usize))
    }
}

/// Checks a whole frame, as long as its header says.
///
/// # Errors
/// [`BatchFault`]; the format is looked at only when the checksum is right, so that a flipped
/// bit is never taken for a newer daemon.
pub fn check(frame: &[u8]) -> Result<Header, BatchFault> {
    let Some(head) = frame.first_chunk::<HEADER_BYTES>() else {
        return Err(BatchFault::Length(u32::try_from(frame.len()).unwrap_or(u32::MAX)));
    };
    let header = Header::read(head);
    if header.bytes as usize != frame.len() {
        return Err(BatchFault::Length(header.bytes));
    }
    if checksum(frame) != header.checksum {
        return Err(BatchFault::Checksum(header.bytes));
    }
    if header.format != FORMAT {
        return Err(BatchFault::Format(header.format));
    }
    let mut records = Records::of(frame);
    if records.by_ref().count() != header.records as usize || !records.rest.is_empty() {
        return Err(BatchFault::Records(header.bytes));
    }
    Ok(header)
}

/// CRC32C of a frame without its checksum field.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

/// The records of a frame, in order. Ends early where a record does not fit.
#[derive(Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records of a frame that [`check`] has accepted.
    pub fn of(frame: &'a [u8]) -> Self {
        Self { rest: frame.get(HEADER_BYTES..).unwrap_or_default() }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some((kind, bytes))
    }
}

/// A frame being filled. The buffer is kept from one frame to the next.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    records: u32,
    bytes_max: usize,
}

impl FrameBuffer {
    /// An empty frame that may grow to `bytes_max`, header included.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.clamp(HEADER_BYTES, BATCH_BYTES_MAX);
        Self { bytes: vec![0; HEADER_BYTES], records: 0, bytes_max }
    }

    /// Adds a record that `encode` writes at the end of the vector it is given.
    ///
    /// # Errors
    /// The size the frame would have come to when that is over the limit; the record is then
    /// not in it.
    pub fn push_with(&mut self, kind: u16, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        encode(&mut self.bytes);
        let end = self.bytes.len();
        assert!(end >= start + RECORD_HEADER_BYTES, "an encoder may only add bytes");
        if end > self.bytes_max {
            self.bytes.truncate(start);
            return Err(end);
        }
        // Below BATCH_BYTES_MAX, so it fits.
        let length = (end - start - RECORD_HEADER_BYTES) as u32;
        self.bytes[start + 2..start + RECORD_HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
        Ok(())
    }

    /// How many records are in it.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The bytes it would take on disk now.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The most it may take.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Writes the header and gives the frame's bytes.
    pub fn seal(&mut self, role: Role, segment: u64, first_sequence: u64, tick: u64) -> &[u8] {
        let mut header = Header {
            bytes: self.bytes.len() as u32,
            checksum: 0,
            format: FORMAT,
            role: role as u16,
            term: 0,
            segment,
            first_sequence,
            tick,
            records: self.records,
        };
        header.write(&mut self.bytes);
        header.checksum = checksum(&self.bytes);
        self.bytes[4..8].copy_from_slice(&header.checksum.to_le_bytes());
        &self.bytes
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.truncate(HEADER_BYTES, 0);
    }

    /// Takes back what was added since it had `bytes` bytes and `records` records.
    pub(super) fn truncate(&mut self, bytes: usize, records: u32) {
        self.bytes.truncate(bytes);
        self.records = records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut frame = FrameBuffer::new(1024);
        frame.push_with(7, |out| out.extend_from_slice(b"abc")).unwrap();
        frame.push_with(0x0102, |_| ()).unwrap();
        frame.seal(Role::Batch, 3, 41, 1_000).to_vec()
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let frame = sample();
        let expected: Vec<u8> = [
            &[63, 0, 0, 0][..],
            &frame[4..8],
            &[1, 0, 1, 0],
            &[0; 8],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[41, 0, 0, 0, 0, 0, 0, 0],
            &[0xe8, 3, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            &[7, 0, 3, 0, 0, 0, b'a', b'b', b'c'],
            &[2, 1, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(frame, expected);
        // Computed bit by bit here, so that the table-driven crate is not checked by itself.
        let mut crc = u32::MAX;
        for byte in frame[..4].iter().chain(&frame[8..]) {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        assert_eq!(frame[4..8], (!crc).to_le_bytes());
    }

    #[test]
    fn a_frame_comes_back_as_it_went_in() {
        let frame = sample();
        let header = check(&frame).unwrap();
        assert_eq!((header.segment, header.first_sequence, header.tick, header.records), (3, 41, 1_000, 2));
        assert_eq!(Records::of(&frame).collect::<Vec<_>>(), [(7, &b"abc"[..]), (0x0102, b"")]);
    }

    #[test]
    fn every_flipped_bit_is_seen_and_never_taken_for_a_newer_format() {
        let good = sample();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let fault = check(&bad).unwrap_err();
            assert!(matches!(fault, BatchFault::Length(_) | BatchFault::Checksum(_)), "bit {bit}: {fault:?}");
        }
    }

    #[test]
    fn a_newer_format_with_a_right_checksum_is_named() {
        let mut frame = sample();
        frame[8] = 2;
        let sum = checksum(&frame);
        frame[4..8].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(check(&frame), Err(BatchFault::Format(2)));
    }

    #[test]
    fn a_record_over_the_limit_is_refused_and_leaves_the_frame_as_it_was() {
        let mut frame = FrameBuffer::new(HEADER_BYTES + 20);
        frame.push_with(1, |out| out.extend_from_slice(&[9; 10])).unwrap();
        assert_eq!(frame.push_with(1, |out| out.push(9)), Err(HEADER_BYTES + 16 + 7));
        assert_eq!((frame.records(), frame.bytes()), (1, HEADER_BYTES + 16));
    }
}
