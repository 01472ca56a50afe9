//! Accepting connections, whatever goes wrong with some of them (S82).
//!
//! An error of one accept never ends a listener. When the descriptors are used up it waits until a connection
//! has ended, or a moment, and never spins.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connection::{Origin, serve};
use super::{Server, sees_all};
use crate::config::Readers;

/// How long to wait after an error that is not one connection's own.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from: a TCP port, the administrator's Unix socket, or a simulated network.
pub trait Listener: Send + 'static {
    /// A connection's stream.
    type Stream: AsyncRead + AsyncWrite + Send + 'static;
    /// The next connection and where it comes from.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Origin)>> + Send;
}

/// A port for clients, and what may be read over it (S84).
#[derive(Debug)]
pub struct ClientPort {
    /// The socket.
    pub listener: TcpListener,
    /// Who may read what.
    pub readers: Readers,
}

impl Listener for ClientPort {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Origin)> {
        let (stream, peer) = self.listener.accept().await?;
        // Frames are small and written whole: waiting to fill a segment only adds latency.
        let _ = stream.set_nodelay(true);
        let address = Some(peer.ip().to_canonical());
        let sees_counts = !matches!(self.readers, Readers::Admin);
        Ok((stream, Origin { address, admin: None, sees_all: sees_all(self.readers), sees_counts }))
    }
}

/// The administrator's socket: its file mode says who gets in (S80).
#[derive(Debug)]
pub struct AdminSocket(pub UnixListener);

impl Listener for AdminSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Origin)> {
        let (stream, _) = self.0.accept().await?;
        let who = match stream.peer_cred() {
            Ok(peer) => format!("uid {} (pid {})", peer.uid(), peer.pid().unwrap_or(0)),
            Err(_) => "an administrator".into(),
        };
        Ok((stream, Origin { address: None, admin: Some(who), sees_all: true, sees_counts: true }))
    }
}

/// Accepts until the server closes; each connection is a task of `tasks`.
pub async fn listen<L: Listener>(listener: L, server: Arc<Server>, tasks: TaskTracker) {
    let mut was_full = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, origin)) => {
                was_full = false;
                tasks.spawn(serve(stream, origin, server.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {
                debug!(%error, "a connection ended before it was accepted")
            }
            Err(error) => {
                // Once, not for each try: a client can cause it at will.
                if !std::mem::replace(&mut was_full, true) {
                    warn!(%error, connections = server.connections(), "cannot accept connections for now");
                }
                tokio::select! {
                    () = server.freed().notified() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                    () = server.closing.cancelled() => return,
                }
            }
        }
    }
}

/// Errors that say something about the connection that was about to be accepted, and nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}
