//! Sockets and connections: accepting, limits, reading frames, writing what the engine gives (S82 to S84).
//!
//! - `frames`: frames off a socket, and the last one onto it
//! - [`listener`]: accepts connections and keeps to the limits
//! - [`connection`]: one connection from hello to its end, generic over the stream
//! - [`outbox`]: where the engine puts a connection's answers and events
//! - `update_checks`: how many of them a client may ask in a minute
//! - [`reports`]: the JSON of status and lists, made off the engine's thread
//!
//! Not here: what a message means (`src/answer`) and what is decided (`src/engine`).

pub mod connection;
mod frames;
pub mod listener;
pub mod outbox;
pub mod reports;
mod update_checks;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::answer::Context;
use crate::config::{Limits, Readers};
use crate::counts::Counts;
use crate::engine::thread::Handle;
use crate::events::Hub;
use crate::server::reports::Facts;
use crate::server::update_checks::UpdateChecks;

/// How many reports are made at once: monitoring never takes both cores from the clients.
const REPORTS_AT_ONCE: usize = 2;
/// How many connections may follow events at once (S83): each event wakes all of them.
const FOLLOWERS_MAX: usize = 256;

/// What every connection shares.
pub struct Server {
    /// The way to the engine.
    pub engine: Handle,
    /// For answers.
    pub context: Context,
    /// See [`Limits`].
    pub limits: Limits,
    /// What reports tell beside the ledger: licenses, problems, the server itself.
    pub facts: Arc<dyn Facts>,
    /// What administrators can do beside sessions.
    pub admin: Arc<dyn Admin>,
    /// Drawn at this start.
    pub instance: [u8; 16],
    /// The server's name, as the hello states it.
    pub name: String,
    /// What happened, for those who ask.
    pub events: Hub,
    /// What is counted, for metrics.
    pub counts: Arc<Counts>,
    /// What happened in the last days, if it is kept.
    pub history: Option<reports::usage::Past>,
    /// Cancelled when connections are to flush and end.
    pub closing: CancellationToken,
    /// Connections in all are bounded by this, which is never above the descriptors there are (S82).
    pub connections_max: usize,
    reports: Semaphore,
    followers: Semaphore,
    /// Those who are still to be told something.
    following: TaskTracker,
    lingering: Semaphore,
    next_connection: AtomicU64,
    places: Places,
    update_checks: UpdateChecks,
}

/// What an administrator can ask for beside sessions; the daemon does it.
pub trait Admin: Send + Sync {
    /// Reads licenses again; `then` gets the JSON of what came of it.
    fn reload(&self, by: &str, then: Box<dyn FnOnce(String) + Send>);
    /// Stops the daemon, as SIGTERM does.
    fn shut_down(&self, by: &str);
    /// The server's host ids as JSON, and those of a feature's licenses compared with them.
    fn host_ids(&self, explain: Option<&str>) -> String;
}

impl Server {
    /// See the fields.
    #[allow(clippy::too_many_arguments, reason = "one struct literal in the daemon, and one in each test")]
    pub fn new(
        engine: Handle,
        context: Context,
        limits: Limits,
        facts: Arc<dyn Facts>,
        admin: Arc<dyn Admin>,
        instance: [u8; 16],
        name: String,
        events: Hub,
        connections_max: usize,
    ) -> Server {
        let counts = Arc::new(Counts::new(context.clock.clone()));
        Server {
            engine,
            context,
            limits,
            facts,
            admin,
            instance,
            name,
            events,
            counts,
            history: None,
            closing: CancellationToken::new(),
            connections_max,
            reports: Semaphore::new(REPORTS_AT_ONCE),
            followers: Semaphore::new(FOLLOWERS_MAX),
            following: TaskTracker::new(),
            lingering: Semaphore::new(frames::LINGERING_MAX),
            next_connection: AtomicU64::new(1),
            places: Places::default(),
            update_checks: UpdateChecks::default(),
        }
    }

    /// The same server, counting there, where others count too.
    #[must_use]
    pub fn counting(mut self, counts: Arc<Counts>) -> Server {
        self.counts = counts;
        self
    }

    /// Held by one who follows events until he has been told the last of them.
    pub fn follower(&self) -> TaskTrackerToken {
        self.following.token()
    }

    /// After [`Hub::close`]: completes when all who follow have been told the last events.
    pub async fn followers_told(&self) {
        self.following.close();
        self.following.wait().await;
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.places.all.load(Ordering::Relaxed)
    }

    /// Told whenever a connection has ended: what the listener waits for when there is no room.
    pub fn freed(&self) -> &Notify {
        &self.places.freed
    }
}

/// Counts connections, in all and by address.
#[derive(Default)]
struct Places {
    all: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, u32>>,
    freed: Notify,
}

/// One connection's place; gives it back when dropped.
struct Place<'a> {
    places: &'a Places,
    address: Option<IpAddr>,
}

impl Places {
    /// A place for one more connection; `None` when there is none (S82). The Unix socket has no address and
    /// no limit of its own: an administrator must get in when clients have taken everything.
    fn take(&self, address: Option<IpAddr>, limits: &Limits, connections_max: usize) -> Option<Place<'_>> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let mut place = Place { places: self, address: None };
        let Some(address) = address else { return Some(place) };
        if before >= connections_max {
            return None;
        }
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_insert(0);
        if *count >= limits.connections_per_address {
            return None;
        }
        *count += 1;
        place.address = Some(address);
        Some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.places.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
        self.places.freed.notify_waiters();
    }
}

/// Whether readers at this setting see users, hosts, serial numbers and files (S84).
pub fn sees_all(readers: Readers) -> bool {
    matches!(readers, Readers::All)
}
