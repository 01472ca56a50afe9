//! Real processes for tests: the daemon that ships, its files, a clock it can be told, a client of plain sockets.
//!
//! - [`site`]: a temporary directory with licenses, a vendor who signs them, a configuration
//! - [`daemon`]: the process: started, waited for through NOTIFY_SOCKET, killed
//! - [`client`]: a small blocking client on `wire`; every read has a time limit
//! - [`proxy`]: a bad network between both
//! - [`mount`]: a small file system that can be filled and broken
//! - [`fake_clock`]: libfaketime, so that the daemon that ships can be led over a midnight
//!
//! No fixed ports, and no sleeps that hope: [`until`] looks again until something is true.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod client;
pub mod daemon;
pub mod fake_clock;
pub mod mount;
pub mod proxy;
pub mod site;

use std::time::{Duration, Instant};

/// How long anything may take that has no limit of its own: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Looks again until there is something, and fails with `what` when there is nothing after [`PATIENCE`].
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, look).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}

/// Looks again until there is something; `None` after `limit`.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        // Looked at once more after the limit: a machine that stalls must not turn a yes into a no.
        let is_over = started.elapsed() > limit;
        if let Some(found) = look() {
            return Some(found);
        }
        if is_over {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
