//! Fields to bytes and back. The only file that knows which crate does it.
//!
//! The layout is bincode 2's standard configuration (little-endian, variable-length integers), written
//! down in `docs/PROTOCOL.md` and held by the vectors, so another implementation can take its place here.
//! bincode 2.0.1 is looked after by nobody; what it leaves open to a hostile peer is closed below: the
//! size comes first, memory is bounded, every byte must be used, and each value has one form only.
//!
//! No message may contain a recursive type, an item of no bytes, or a `char`.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::EncoderImpl;
use bincode::enc::write::{SizeWriter, Writer};
pub(crate) use bincode::{Decode, Encode};
use thiserror::Error;

use crate::frame::{self, CLIENT_FRAME_BYTES_MAX, HEAD_BYTES, SERVER_FRAME_BYTES_MAX};
use crate::message::{Message, check_extras};

/// How much memory a message may claim for each byte it may have. bincode counts what items take in
/// memory, where a text of one byte takes 25; 16 is far above what real messages need.
const MEMORY_PER_BYTE: usize = 16;

type Bounded<const BYTES: usize> = Configuration<LittleEndian, Varint, Limit<BYTES>>;

const FROM_CLIENT: Bounded<{ MEMORY_PER_BYTE * CLIENT_FRAME_BYTES_MAX }> =
    bincode::config::standard().with_limit();
const FROM_SERVER: Bounded<{ MEMORY_PER_BYTE * SERVER_FRAME_BYTES_MAX }> =
    bincode::config::standard().with_limit();

/// Why bytes are not the message they should be. The frame was whole, so the connection can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No message has this number.
    #[error("message 0x{0:04x} is not known here")]
    UnknownNumber(u16),
    /// Longer than a message of its number may be, though the connection's limit allows it.
    #[error("the message has {bytes} bytes where {bytes_max} are allowed")]
    TooLong {
        /// Bytes of the body.
        bytes: usize,
        /// What is allowed, inclusive.
        bytes_max: usize,
    },
    /// The bytes end before the last field does.
    #[error("the message ends in the middle of a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("{bytes} bytes follow the last field")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A list or text claims more than any message could hold.
    #[error("a list or text claims more than a message may hold")]
    TooMuch,
    /// A number is written with more bytes than it needs.
    #[error("a number is written in more bytes than it needs")]
    NotShortest,
    /// Some field holds what its type cannot.
    #[error("{0}")]
    Malformed(&'static str),
    /// An extra that must be understood is unknown, or the tags do not ascend.
    #[error("extra {0} is not known here, or does not follow a smaller tag")]
    UnknownExtra(u16),
}

impl DecodeError {
    /// A stable word for metrics and for `fault` in the details of a refusal.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeError::UnknownNumber(_) => "unknown_number",
            DecodeError::TooLong { .. } => "message_too_long",
            DecodeError::Truncated => "truncated",
            DecodeError::Trailing { .. } => "trailing_bytes",
            DecodeError::TooMuch => "too_much",
            DecodeError::NotShortest => "number_not_shortest",
            DecodeError::Malformed(_) => "malformed",
            DecodeError::UnknownExtra(_) => "unknown_extra",
        }
    }
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// It does not fit into the frame its number allows.
    #[error("the message does not fit into the {bytes_max} bytes allowed for it")]
    TooLong {
        /// The limit on the frame's length, inclusive.
        bytes_max: usize,
    },
}

/// Appends the body of a message, at most `body_bytes_max` bytes (inclusive). On an error part of it may
/// have been written; [`frame::append`] takes that back.
pub(crate) fn append<M: Message>(
    buffer: &mut Vec<u8>,
    message: &M,
    body_bytes_max: usize,
) -> Result<(), EncodeError> {
    let end = buffer.len().saturating_add(body_bytes_max);
    // Only the writer below fails: our messages hold no locks, no system times and no foreign encoders.
    bincode::encode_into_writer(message, Appender { buffer, end }, bincode::config::standard())
        .map_err(|_| EncodeError::TooLong { bytes_max: frame::bytes_max(M::NUMBER) })
}

/// Reads the body of a message: all of it, and nothing else.
///
/// # Errors
///
/// [`DecodeError`], whatever the bytes are: no input panics, and memory stays under sixteen times the
/// frame limit of the sender. [`DecodeError::UnknownNumber`] does not occur here.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, DecodeError> {
    let bytes_max = frame::bytes_max(M::NUMBER) - HEAD_BYTES;
    if body.len() > bytes_max {
        return Err(DecodeError::TooLong { bytes: body.len(), bytes_max });
    }
    let decoded = match M::NUMBER {
        0x0000..=0x7fff => bincode::decode_from_slice::<M, _>(body, FROM_CLIENT),
        _ => bincode::decode_from_slice::<M, _>(body, FROM_SERVER),
    };
    let (message, used) = decoded.map_err(reason)?;
    if used < body.len() {
        return Err(DecodeError::Trailing { bytes: body.len() - used });
    }
    // Everything but integers has one form already, and an integer in too many bytes makes the
    // message longer: so equal length means equal bytes, without writing them.
    if size(&message) != body.len() {
        return Err(DecodeError::NotShortest);
    }
    check_extras(message.extras(), M::EXTRAS_KNOWN).map_err(DecodeError::UnknownExtra)?;
    Ok(message)
}

/// A list of parts, as it stands in a message: for an extra whose bytes are one.
pub(crate) fn list_to_bytes<T: Encode>(list: &[T]) -> Vec<u8> {
    // Writing to memory cannot fail, and parts hold nothing that does.
    bincode::encode_to_vec(list, bincode::config::standard()).unwrap_or_default()
}

/// Reads such a list: all of the bytes, in the one form there is. `None`: that is not what they are.
pub(crate) fn list_from_bytes<T: Encode + Decode<()>>(bytes: &[u8]) -> Option<Vec<T>> {
    let (list, used) = bincode::decode_from_slice::<Vec<T>, _>(bytes, FROM_CLIENT).ok()?;
    (used == bytes.len() && list_to_bytes(&list) == bytes).then_some(list)
}

/// Appends something that is no message and stands for itself: a borrow token's body.
pub(crate) fn append_part<T: Encode>(buffer: &mut Vec<u8>, part: &T) {
    let end = usize::MAX;
    // Writing to memory cannot fail, and parts hold nothing that does.
    let _ = bincode::encode_into_writer(part, Appender { buffer, end }, bincode::config::standard());
}

/// Reads such a thing: all of the bytes, in the one form there is. Limits on what it holds, extras too, are the caller's.
pub(crate) fn part_from_bytes<T: Encode + Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (part, used) = bincode::decode_from_slice::<T, _>(bytes, FROM_SERVER).map_err(reason)?;
    if used < bytes.len() {
        return Err(DecodeError::Trailing { bytes: bytes.len() - used });
    }
    let mut again = Vec::with_capacity(bytes.len());
    append_part(&mut again, &part);
    if again == bytes { Ok(part) } else { Err(DecodeError::NotShortest) }
}

/// How many bytes the body takes.
fn size<M: Message>(message: &M) -> usize {
    let mut encoder = EncoderImpl::new(SizeWriter::default(), bincode::config::standard());
    match message.encode(&mut encoder) {
        Ok(()) => encoder.into_writer().bytes_written,
        Err(_) => usize::MAX,
    }
}

fn reason(error: bincode::error::DecodeError) -> DecodeError {
    use bincode::error::DecodeError as Bincode;
    match error {
        Bincode::UnexpectedEnd { .. } => DecodeError::Truncated,
        Bincode::LimitExceeded | Bincode::OutsideUsizeRange(_) => DecodeError::TooMuch,
        Bincode::Utf8 { .. } => DecodeError::Malformed("a text is not UTF-8"),
        Bincode::InvalidBooleanValue(_) => DecodeError::Malformed("a yes-or-no is neither 0 nor 1"),
        Bincode::UnexpectedVariant { .. } => {
            DecodeError::Malformed("an optional field begins with neither 0 nor 1")
        }
        Bincode::InvalidIntegerType { .. } => DecodeError::Malformed("a number is too large for its field"),
        _ => DecodeError::Malformed("a field holds what its type cannot"),
    }
}

struct Appender<'a> {
    buffer: &'a mut Vec<u8>,
    end: usize,
}

impl Writer for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        if bytes.len() > self.end.saturating_sub(self.buffer.len()) {
            return Err(bincode::error::EncodeError::UnexpectedEnd);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }
}
