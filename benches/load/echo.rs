//! The bound: a server that does nothing but frames, on the daemon's runtime, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::common::Result;
use crate::common::daemon::{on_core, processor_time};

/// How this program is told to be the echo server.
pub(crate) const ARGUMENT: &str = "--serve-echo";

/// Frames taken before what they brought is written, as the daemon does.
const FRAMES_AT_ONCE: usize = 256;

/// The running echo server; ends when dropped.
pub(crate) struct EchoServer {
    process: Child,
    /// It serves as long as this is open.
    _leash: Option<ChildStdin>,
    pub(crate) address: SocketAddr,
}

impl EchoServer {
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(program: &Path, core: Option<usize>) -> Result<EchoServer> {
        let mut command = on_core(program, core);
        let mut process = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let leash = process.stdin.take();
        Ok(EchoServer { process, _leash: leash, address: line.trim().parse()? })
    }
}

impl EchoServer {
    /// See [`processor_time`].
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        processor_time(self.process.id())
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until standard input is closed.
///
/// # Errors
/// No socket or no runtime is to be had.
pub(crate) fn serve() -> Result<()> {
    // As the daemon's: as many threads as the runtime sees fit, or as TOKIO_WORKER_THREADS says.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(echo(stream));
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Answers each frame with one of the length it asks for, with its number and call.
async fn echo(stream: TcpStream) -> std::io::Result<()> {
    let codec = LengthDelimitedCodec::builder().little_endian().length_field_type::<u32>().new_codec();
    let mut frames = Framed::new(stream, codec);
    while let Some(first) = frames.next().await {
        let mut frame = Some(first);
        for _ in 0..FRAMES_AT_ONCE {
            let Some(payload) = frame else { return Ok(()) };
            let mut payload = payload?;
            let wanted = payload.get(6..10).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
            payload.resize(wanted as usize, 0);
            frames.feed(payload.freeze()).await?;
            match frames.next().now_or_never() {
                Some(next) => frame = next,
                None => break,
            }
        }
        SinkExt::<Bytes>::flush(&mut frames).await?;
    }
    Ok(())
}
