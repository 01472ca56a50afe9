//! Accepting HTTP connections and keeping them in bounds (S82): how many there are, how long their headers may be and may
//! take, and how long one may not read what it is sent.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Connections at once. Monitoring needs a handful and each open dashboard one; they come out of the 256 descriptors that
/// are kept from clients.
pub const CONNECTIONS_MAX: usize = 64;
/// The request line and headers together, in bytes. A browser's cookies for `localhost` fit.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// How long a client may take for them, and how long a connection may be kept open between requests.
pub const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long it may take to make an answer; one that is a stream has only to begin by then.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what it is sent.
pub const STALL_TIME: Duration = Duration::from_secs(10);

/// How long to wait after an error that is not one connection's own.
const PAUSE: Duration = Duration::from_millis(100);
/// How long answers may take to be written when the daemon stops.
const LAST_WORDS: Duration = Duration::from_secs(1);
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 38\r\n\r\nas many connections as are taken here\n";

/// Accepts until the daemon stops.
pub(super) async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut was_full = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                was_full = false;
                let Ok(place) = places.clone().try_acquire_owned() else {
                    debug!(%peer, "as many HTTP connections as are taken");
                    refuse(stream);
                    continue;
                };
                let (router, closing) = (router.clone(), closing.clone());
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = one(stream, router, closing).await {
                        debug!(%peer, %error, "an HTTP connection ended");
                    }
                });
            }
            Err(error) => {
                // Once, not for each try: a client can cause it at will.
                if !std::mem::replace(&mut was_full, true) {
                    warn!(%error, "cannot accept HTTP connections for now");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// There is no room for it. What the system does not take at once is not said.
fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(TOO_MANY);
    }
}

async fn one(stream: TcpStream, router: Router, closing: CancellationToken) -> hyper::Result<()> {
    // Answers are written whole: waiting to fill a segment only adds latency.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        biased;
        () = closing.cancelled() => {}
        done = &mut connection => return done,
    }
    connection.as_mut().graceful_shutdown();
    timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
}

/// A stream that gives up when its peer takes nothing of what is written for [`STALL_TIME`].
struct Patient<S> {
    stream: S,
    /// Set while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Patient<S> {
        Patient { stream, stalled: None }
    }

    fn look<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL_TIME)));
        ready!(stalled.as_mut().poll(context));
        // Whoever asks again gets no other answer.
        stalled.as_mut().reset(Instant::now());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "does not read what it is sent")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.look(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.look(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_now_and_then_is_served_and_one_that_does_not_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut ours = Patient::new(ours);
        let writer = tokio::spawn(async move { ours.write_all(&[7; 64]).await });
        let mut part = [0; 8];
        for _ in 0..4 {
            sleep(STALL_TIME - Duration::from_millis(1)).await;
            theirs.read_exact(&mut part).await.unwrap();
        }
        let begin = Instant::now();
        let error = writer.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), begin.elapsed()), (io::ErrorKind::TimedOut, STALL_TIME));
    }

    #[test]
    fn the_refusal_says_its_own_length() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
