//! What the daemon shows over HTTP: metrics, health, status, events and a page. It only reads (design.md: never the ledger).
//!
//! A reader never delays a checkout. What is shown is made here from the engine's picture, which the engine gives at most
//! every 50 ms whatever comes in; connections, headers, the time for a request and for a reader that does not read are
//! bounded ([`connections`]); and all of it runs on **one thread of its own, at a lower priority**: on the runtime that the
//! clients' connections share, a text of a megabyte would hold up those that happen to be behind it.
//!
//! - [`routes`]: which path gives what
//! - [`access`]: who gets in, and who sees what (S84)
//! - [`connections`]: accepting and limits (S82)
//! - `status`: the report of the wire as one body
//! - [`events`]: what happens, as a stream
//! - `day`: the last day's use of a feature, for the page's chart
//! - `page`: the dashboard, a page that asks for all of this
//! - `usage`: what was used in some days, from the history
//! - `metrics`, `text`: what Prometheus scrapes, and how it is written
//!
//! Not here: what a report says (`src/server/reports`), what is counted (`src/counts`).

pub mod access;
pub mod connections;
mod day;
pub mod events;
mod metrics;
mod page;
pub mod routes;
mod status;
mod text;
mod usage;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tracing::info;

pub use self::access::{Access, AccessError};
pub use self::metrics::METRICS_MS;
use self::metrics::Metrics;
use crate::server::Server;
use crate::server::reports::pictures::Pictures;

/// How many parts of reports are made at once for HTTP; clients of the wire have places of their own.
const REPORTS_AT_ONCE: usize = 2;
/// By how much the thread gives way to those that serve clients.
const NICE: i32 = 5;

/// What all requests share.
pub(crate) struct Http {
    server: Arc<Server>,
    access: Access,
    pictures: Pictures,
    metrics: Metrics,
    reports: Semaphore,
    /// Places of those who follow events.
    followers: Arc<Semaphore>,
}

/// HTTP is answered until this is dropped.
#[derive(Debug)]
pub struct Running {
    runtime: Option<Runtime>,
}

/// Answers HTTP at a listener, which is non-blocking, on a thread of its own.
///
/// # Errors
/// The system gives no thread.
pub fn start(listener: TcpListener, server: Arc<Server>, access: Access) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // Beside the worker: where a question about the history waits for the disk, and nothing else does.
        .max_blocking_threads(1)
        .thread_name("http")
        .on_thread_start(|| {
            // On Linux this is the thread's own. Refused, it is a little less polite.
            let _ = rustix::process::nice(NICE);
        })
        .enable_all()
        .build()?;
    let address = listener.local_addr()?;
    let closing = server.closing.clone();
    let needs_token = access.needs_token();
    let http = Arc::new(Http {
        server,
        access,
        pictures: Pictures::default(),
        metrics: Metrics::default(),
        reports: Semaphore::new(REPORTS_AT_ONCE),
        followers: Arc::new(Semaphore::new(events::FOLLOWERS_MAX)),
    });
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    info!(%address, needs_token, "answering HTTP");
    runtime.spawn(connections::serve(listener, routes::router(http), closing));
    Ok(Running { runtime: Some(runtime) })
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Who still reads is cut off: nothing of it is owed to anybody.
            runtime.shutdown_background();
        }
    }
}
