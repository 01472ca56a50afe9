//! Frames off a socket, and the last one onto it (docs/PROTOCOL.md, sections 2 and 5).

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::codec::Decoder;
use wire::frame::{self, FrameError, Head};

/// How long a last frame may take to be written to a client that does not read (S64: two seconds at a stop).
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long, and how much, is still read from a client after its last frame was written.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;
/// How many connections linger at once; each keeps a descriptor that nobody else can use meanwhile.
pub(super) const LINGERING_MAX: usize = 64;

/// Takes whole frames off what was received.
#[derive(Debug)]
pub(super) struct FrameReader {
    /// The largest length that holds now, inclusive.
    pub(super) length_max: usize,
}

/// One frame: its head, and the bytes of its body.
pub(super) type Frame = (Head, BytesMut);

/// Why no more frames come from a connection.
#[derive(Debug, Error)]
pub(super) enum NoFrame {
    /// The length is out of bounds; told to the client.
    #[error(transparent)]
    Length(#[from] FrameError),
    /// The socket failed, or ended inside a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Decoder for FrameReader {
    type Item = Frame;
    type Error = NoFrame;

    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<Frame>, NoFrame> {
        let Some(whole) = frame::first(received, self.length_max)? else {
            // No room is made for what the length promises: a client has the server keep what it sent, and no more.
            return Ok(None);
        };
        let (head, bytes, body_bytes) = (whole.head, whole.bytes, whole.body.len());
        let mut body = received.split_to(bytes);
        body.advance(bytes - body_bytes);
        Ok(Some((head, body)))
    }
}

/// Writes a last frame and gives up after a moment: the client may not read it.
pub(super) async fn last_words<W: AsyncWrite + Unpin>(writer: &mut W, write: impl FnOnce(&mut Vec<u8>)) {
    let mut buffer = Vec::new();
    write(&mut buffer);
    let _ = timeout(LAST_WORDS, async {
        writer.write_all(&buffer).await?;
        writer.shutdown().await
    })
    .await;
}

/// Reads and throws away what a client still sends, until it closes its side too, for a bounded time and amount.
/// A socket that is closed with bytes unread is reset, and a reset can take the last frame from the client before
/// it has read it. `places` bounds how many do this at once; without a place the connection is closed as it is.
pub(super) async fn linger<R: AsyncRead + Unpin>(reader: &mut R, places: &Semaphore) {
    let Ok(_place) = places.try_acquire() else { return };
    let mut left = LINGER_BYTES;
    // Not in the future itself: every connection, also an idle one, would carry it.
    let mut waste = vec![0; 4096];
    let _ = timeout(LINGER, async {
        while left > 0 {
            match reader.read(&mut waste).await {
                Ok(0) | Err(_) => return,
                Ok(bytes) => left = left.saturating_sub(bytes),
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(length_max: usize, bytes: &[u8]) -> Result<Option<Frame>, NoFrame> {
        FrameReader { length_max }.decode(&mut BytesMut::from(bytes))
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_by_its_four_bytes() {
        for (length, fault) in [(0u32, "frame_too_short"), (5, "frame_too_short"), (4097, "frame_too_long")] {
            match read(4096, &length.to_le_bytes()) {
                Err(NoFrame::Length(error)) => assert_eq!(error.as_str(), fault, "{length}"),
                other => panic!("{length}: {other:?}"),
            }
        }
        assert!(matches!(read(4096, &4096u32.to_le_bytes()), Ok(None)));
    }

    #[test]
    fn frames_come_off_one_by_one() {
        let mut received = BytesMut::from(&[7, 0, 0, 0, 9, 0, 3, 0, 0, 0, 0, 6, 0][..]);
        let mut reader = FrameReader { length_max: 4096 };
        let (head, body) = reader.decode(&mut received).unwrap().unwrap();
        assert_eq!((head, &body[..]), (Head { number: 9, call: 3 }, &[0][..]));
        assert!(reader.decode(&mut received).unwrap().is_none());
        assert_eq!(&received[..], [6, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_ends_with_the_client_or_after_a_moment() {
        let places = Semaphore::new(1);
        let (mut ours, theirs) = tokio::io::duplex(64);
        let begin = tokio::time::Instant::now();
        linger(&mut ours, &places).await;
        assert_eq!(begin.elapsed(), LINGER);
        drop(theirs);
        linger(&mut ours, &places).await;
        assert_eq!(begin.elapsed(), LINGER);
    }
}
