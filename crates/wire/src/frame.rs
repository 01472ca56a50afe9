//! The frame around a message: how long it is, what it is, which call it belongs to.
//!
//! ```text
//! length  u32, little-endian   how many bytes follow: 2 + 4 + the body's (never these four themselves)
//! number  u16, little-endian   which message
//! call    u32, little-endian   chosen by the client, repeated in the answer; 0 in an event
//! body    length - 6 bytes     see layout
//! ```
//!
//! Limits below are limits of the length field, so a frame takes four bytes more on the socket.

use thiserror::Error;

use crate::layout::{self, EncodeError};
use crate::message::Message;

/// Bytes of the length itself, which it does not count.
pub const LENGTH_BYTES: usize = 4;
/// Bytes of number and call: the smallest length there can be (inclusive), though no message is that short.
pub const HEAD_BYTES: usize = 6;
/// The largest length, inclusive, until the hello is done. It never changes, and it is small so that TLS
/// (`16 03 01 ..`) and HTTP (`GET `), read as a length, are far above it and can be told from a hello.
pub const HELLO_FRAME_BYTES_MAX: usize = 4096;
/// The largest length, inclusive, from a client after its hello. Enough for 64 features with every text at
/// its longest. A server may state less in its hello, never more: [`layout`] reads no more.
pub const CLIENT_FRAME_BYTES_MAX: usize = 64 << 10;
/// The largest length, inclusive, from a server: a grant of many signed licenses, or a page of a report.
pub const SERVER_FRAME_BYTES_MAX: usize = 1 << 20;

/// The largest length, inclusive, a message of this number may have.
pub const fn bytes_max(number: u16) -> usize {
    match number {
        0x0001 | 0x8001 => HELLO_FRAME_BYTES_MAX,
        0x0000..=0x7fff => CLIENT_FRAME_BYTES_MAX,
        _ => SERVER_FRAME_BYTES_MAX,
    }
}

/// Who sends a message of some number, and where it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0x0000 to 0x0fff: a client asks.
    Request,
    /// 0x1000 to 0x7fff: an administrator asks; refused on TCP (S80).
    Admin,
    /// 0x8000 to 0xbfff: a server answers; 0x8000 + the request's number, or 0xbfff.
    Answer,
    /// 0xc000 to 0xffff: a server tells, unasked; an unknown one is ignored.
    Event,
}

/// What stands before the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which message.
    pub number: u16,
    /// Which call: never 0 in a request, 0 in an event.
    pub call: u32,
}

impl Head {
    /// What the number says about the sender; an unassigned number has a kind too.
    pub fn kind(self) -> Kind {
        match self.number {
            0x0000..=0x0fff => Kind::Request,
            0x1000..=0x7fff => Kind::Admin,
            0x8000..=0xbfff => Kind::Answer,
            _ => Kind::Event,
        }
    }
}

/// One whole frame at the start of what has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Number and call.
    pub head: Head,
    /// The message, for [`layout::decode`].
    pub body: &'a [u8],
    /// How many received bytes the frame took, its length included.
    pub bytes: usize,
}

/// Why what was received is no frame. After any of these the stream cannot be trusted: where the next
/// frame begins is unknown, so the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is above the limit that holds now.
    #[error("a frame of {length} bytes is longer than the {bytes_max} allowed")]
    TooLong {
        /// What the frame claims.
        length: usize,
        /// What is allowed, inclusive.
        bytes_max: usize,
    },
    /// The length is below [`HEAD_BYTES`].
    #[error("a frame of {length} bytes has no room for its number and call")]
    TooShort {
        /// What the frame claims.
        length: usize,
    },
}

impl FrameError {
    /// A stable word for metrics and for `fault` in the details of a refusal.
    pub fn as_str(self) -> &'static str {
        match self {
            FrameError::TooLong { .. } => "frame_too_long",
            FrameError::TooShort { .. } => "frame_too_short",
        }
    }
}

/// Appends a whole frame, its length included; nothing is allocated but what `buffer` grows by.
///
/// # Errors
///
/// [`EncodeError`] if the message is longer than [`bytes_max`] of its number; `buffer` is then as it was.
pub fn append<M: Message>(buffer: &mut Vec<u8>, call: u32, message: &M) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; LENGTH_BYTES]);
    buffer.extend_from_slice(&M::NUMBER.to_le_bytes());
    buffer.extend_from_slice(&call.to_le_bytes());
    let written = layout::append(buffer, message, bytes_max(M::NUMBER) - HEAD_BYTES);
    let length = buffer.len() - start - LENGTH_BYTES;
    match (written, u32::try_from(length)) {
        (Ok(()), Ok(length)) => {
            buffer[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        (written, _) => {
            buffer.truncate(start);
            written.and(Err(EncodeError::TooLong { bytes_max: bytes_max(M::NUMBER) }))
        }
    }
}

/// The first frame of what has been received so far; `None` while it is incomplete.
/// `length_max` is the largest length that holds now, inclusive.
///
/// # Errors
///
/// [`FrameError`] as soon as the four bytes of the length are there and are out of bounds.
pub fn first(received: &[u8], length_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((length, rest)) = received.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > length_max {
        return Err(FrameError::TooLong { length, bytes_max: length_max });
    }
    if length < HEAD_BYTES {
        return Err(FrameError::TooShort { length });
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let (head, body) = split(payload)?;
    Ok(Some(Frame { head, body, bytes: LENGTH_BYTES + length }))
}

/// Splits what a length counted into head and body, for readers that take the length off themselves.
///
/// # Errors
///
/// [`FrameError::TooShort`] below [`HEAD_BYTES`].
pub fn split(payload: &[u8]) -> Result<(Head, &[u8]), FrameError> {
    match payload {
        [n0, n1, c0, c1, c2, c3, body @ ..] => {
            let number = u16::from_le_bytes([*n0, *n1]);
            let call = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
            Ok((Head { number, call }, body))
        }
        _ => Err(FrameError::TooShort { length: payload.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;

    #[test]
    fn the_length_counts_number_call_and_body() {
        let mut buffer = vec![0xaa];
        append(&mut buffer, 7, &request::Heartbeat::default()).unwrap();
        assert_eq!(buffer, [0xaa, 8, 0, 0, 0, 4, 0, 7, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_frame_is_found_as_soon_as_its_last_byte_is_there() {
        let mut stream = Vec::new();
        append(&mut stream, 1, &request::Heartbeat { idle_seconds: Some(300), extras: vec![] }).unwrap();
        let bytes = stream.len();
        append(&mut stream, 2, &request::Goodbye::default()).unwrap();
        for cut in 0..bytes {
            assert_eq!(first(&stream[..cut], CLIENT_FRAME_BYTES_MAX), Ok(None));
        }
        let frame = first(&stream, CLIENT_FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!((frame.head, frame.bytes), (Head { number: 4, call: 1 }, bytes));
        let frame = first(&stream[bytes..], CLIENT_FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(frame.head, Head { number: 9, call: 2 });
    }

    #[test]
    fn tls_and_http_are_no_hello() {
        for opening in [[0x16, 0x03, 0x01, 0x02], *b"GET ", *b"PRI ", *b"SSH-"] {
            assert!(matches!(first(&opening, HELLO_FRAME_BYTES_MAX), Err(FrameError::TooLong { .. })));
        }
    }

    #[test]
    fn both_ends_of_the_length_are_inclusive() {
        let frame = |length: u32| [&length.to_le_bytes()[..], &vec![0; length as usize]].concat();
        assert!(first(&frame(6), 4096).unwrap().is_some());
        assert!(first(&frame(4096), 4096).unwrap().is_some());
        assert_eq!(first(&frame(5), 4096), Err(FrameError::TooShort { length: 5 }));
        assert_eq!(first(&frame(4097), 4096), Err(FrameError::TooLong { length: 4097, bytes_max: 4096 }));
        assert_eq!(split(&[0; 5]), Err(FrameError::TooShort { length: 5 }));
    }

    #[test]
    fn a_message_too_long_leaves_the_buffer_as_it_was() {
        let mut buffer = vec![1, 2, 3];
        let hello = request::Hello { program: "x".repeat(HELLO_FRAME_BYTES_MAX), ..Default::default() };
        let refused = append(&mut buffer, 1, &hello);
        assert_eq!(refused, Err(EncodeError::TooLong { bytes_max: HELLO_FRAME_BYTES_MAX }));
        assert_eq!(buffer, [1, 2, 3]);
    }

    #[test]
    fn a_number_says_who_sends_it() {
        let kind = |number| Head { number, call: 0 }.kind();
        assert_eq!([kind(0x0fff), kind(0x1000), kind(0x7fff)], [Kind::Request, Kind::Admin, Kind::Admin]);
        assert_eq!([kind(0x8000), kind(0xbfff), kind(0xc000)], [Kind::Answer, Kind::Answer, Kind::Event]);
    }
}
