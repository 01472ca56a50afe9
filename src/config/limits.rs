//! How much of everything: each limit of S82 as one named constant with its default, its range, and the reason.
//!
//! The configuration can lower or raise each within its range (`[limits]`). What is over a limit gets a code and, where
//! it must, a closed connection; it never slows others.

use std::fmt;
use std::time::Duration;

use toml::Spanned;

use super::duration;
use super::error::Fault;
use super::file::{DurationText, LimitsTable, Source};

/// A setting's name, default and range; both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds<T> {
    /// As it is called in the file.
    pub key: &'static str,
    /// Where the file says nothing.
    pub default: T,
    /// The smallest allowed.
    pub least: T,
    /// The largest allowed.
    pub most: T,
}

/// Connections in all. The daemon also stays below its descriptor limit less 256 (S82). A connection carries any
/// number of sessions, so this serves more programs than FlexNet advises for a whole vendor daemon.
pub const CONNECTIONS: Bounds<u32> =
    Bounds { key: "connections", default: 20_000, least: 1, most: 1_000_000 };

/// Connections from one address. A terminal server or a gateway has many users behind one address, so it is far above
/// a single desk and far below the whole.
pub const CONNECTIONS_PER_ADDRESS: Bounds<u32> =
    Bounds { key: "connections_per_address", default: 4_096, least: 1, most: 1_000_000 };

/// Sessions one connection may carry. Programs hold a few; a gateway holds those of a site.
pub const SESSIONS_PER_CONNECTION: Bounds<u32> =
    Bounds { key: "sessions_per_connection", default: 4_096, least: 1, most: 1_000_000 };

/// Requests a second on one connection, heartbeats included. Well above what a program that works needs, so that only
/// a loop gone wild meets it (`rate_limited`).
pub const REQUESTS_PER_SECOND: Bounds<u32> =
    Bounds { key: "requests_per_second", default: 10_000, least: 1, most: 10_000_000 };

/// Requests waiting for the engine, of all connections together; beyond it the answer is `busy`. At the engine's usual
/// pace this is a fraction of a second of work, so a longer queue would only hide that it is overloaded.
pub const QUEUE_LENGTH: Bounds<u32> =
    Bounds { key: "queue_length", default: 16_384, least: 1, most: 1_000_000 };

/// Checkouts that may wait for one feature, of whatever vendor (S33). Each is a few hundred bytes in memory and on disk,
/// and nobody waits in earnest behind ten thousand others.
pub const WAITERS_PER_FEATURE: Bounds<u32> =
    Bounds { key: "waiters_per_feature", default: 10_000, least: 1, most: 1_000_000 };

/// Checkouts of one installation that may wait, in all queues (S33): a program waits for a few features, and only a loop
/// gone wild for more.
pub const WAITERS_PER_CLIENT: Bounds<u32> =
    Bounds { key: "waiters_per_client", default: 64, least: 1, most: 1_000_000 };

/// Update checks a minute of one installation at one address (rules 3, 6.8). A person or an installer asks once or a few times
/// before an update; what asks more often is a loop gone wild, and seats come first.
pub const UPDATE_CHECKS_PER_MINUTE: Bounds<u32> =
    Bounds { key: "update_checks_per_minute", default: 60, least: 1, most: 10_000_000 };

/// The largest frame taken from a client, in bytes. The default is what docs/PROTOCOL.md promises clients; less may
/// refuse a legitimate checkout of many features.
pub const FRAME_BYTES: Bounds<u32> =
    Bounds { key: "frame_bytes", default: 65_536, least: 4_096, most: 65_536 };

/// Answers and events a slow reader may leave unread, in bytes, before its connection is closed. At least one frame
/// of the largest size, 1 MiB, must fit twice.
pub const UNREAD_BYTES: Bounds<u32> =
    Bounds { key: "unread_bytes", default: 4_194_304, least: 2_097_152, most: 1_073_741_824 };

/// The time a new connection has to say hello.
pub const HELLO_TIME: Bounds<Duration> = Bounds {
    key: "hello_time",
    default: Duration::from_secs(10),
    least: Duration::from_millis(100),
    most: Duration::from_secs(300),
};

/// How long a connection may be silent before it is closed; its sessions outlive it (S10). At least two heartbeats.
pub const IDLE_TIME: Bounds<Duration> = Bounds {
    key: "idle_time",
    default: Duration::from_secs(300),
    least: Duration::from_millis(200),
    most: Duration::from_secs(7 * 86_400),
};

/// How often clients beat (S12). Half a minute costs little, and a killed program is noticed by its socket anyway.
pub const HEARTBEAT: Bounds<Duration> = Bounds {
    key: "heartbeat",
    default: Duration::from_secs(30),
    least: Duration::from_millis(100),
    most: Duration::from_secs(3_600),
};

/// How long a session may be silent (S12): four heartbeats, so that a short outage of the network goes unnoticed.
pub const LEASE: Bounds<Duration> = Bounds {
    key: "lease",
    default: Duration::from_secs(120),
    least: Duration::from_millis(200),
    most: Duration::from_secs(7 * 86_400),
};

/// How long a client whose socket closed keeps its seats for sure (S21): time to reconnect after a cut.
pub const RESUME_WINDOW: Bounds<Duration> = Bounds {
    key: "resume_window",
    default: Duration::from_secs(5),
    least: Duration::ZERO,
    most: Duration::from_secs(7 * 86_400),
};

/// How long a client that is gone keeps seats that nobody needs (S22): a laptop that slept finds them.
pub const REAP_AFTER: Bounds<Duration> = Bounds {
    key: "reap_after",
    default: Duration::from_secs(900),
    least: Duration::from_millis(200),
    most: Duration::from_secs(7 * 86_400),
};

/// Seconds that one run of the notify command may take: sending a mail takes a few, and one that hangs must not keep the
/// next one waiting for long.
pub const NOTIFY_TIMEOUT_SECONDS: Bounds<u32> =
    Bounds { key: "notify_timeout_seconds", default: 30, least: 1, most: 600 };

/// The limits in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`CONNECTIONS`]
    pub connections: u32,
    /// [`CONNECTIONS_PER_ADDRESS`]
    pub connections_per_address: u32,
    /// [`SESSIONS_PER_CONNECTION`]
    pub sessions_per_connection: u32,
    /// [`REQUESTS_PER_SECOND`]
    pub requests_per_second: u32,
    /// [`QUEUE_LENGTH`]
    pub queue_length: u32,
    /// [`WAITERS_PER_FEATURE`]
    pub waiters_per_feature: u32,
    /// [`WAITERS_PER_CLIENT`]
    pub waiters_per_client: u32,
    /// [`UPDATE_CHECKS_PER_MINUTE`]
    pub update_checks_per_minute: u32,
    /// [`FRAME_BYTES`]
    pub frame_bytes: u32,
    /// [`UNREAD_BYTES`]
    pub unread_bytes: u32,
    /// [`HELLO_TIME`]
    pub hello_time: Duration,
    /// [`IDLE_TIME`]
    pub idle_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: CONNECTIONS.default,
            connections_per_address: CONNECTIONS_PER_ADDRESS.default,
            sessions_per_connection: SESSIONS_PER_CONNECTION.default,
            requests_per_second: REQUESTS_PER_SECOND.default,
            queue_length: QUEUE_LENGTH.default,
            waiters_per_feature: WAITERS_PER_FEATURE.default,
            waiters_per_client: WAITERS_PER_CLIENT.default,
            update_checks_per_minute: UPDATE_CHECKS_PER_MINUTE.default,
            frame_bytes: FRAME_BYTES.default,
            unread_bytes: UNREAD_BYTES.default,
            hello_time: HELLO_TIME.default,
            idle_time: IDLE_TIME.default,
        }
    }
}

impl Limits {
    pub(super) fn check(
        table: &LimitsTable,
        heartbeat: Duration,
        source: &Source,
        faults: &mut Vec<Fault>,
    ) -> Limits {
        let mut number =
            |bounds: Bounds<u32>, value: &Option<Spanned<i64>>| bounds.check(value.as_ref(), source, faults);
        let limits = Limits {
            connections: number(CONNECTIONS, &table.connections),
            connections_per_address: number(CONNECTIONS_PER_ADDRESS, &table.connections_per_address),
            sessions_per_connection: number(SESSIONS_PER_CONNECTION, &table.sessions_per_connection),
            requests_per_second: number(REQUESTS_PER_SECOND, &table.requests_per_second),
            queue_length: number(QUEUE_LENGTH, &table.queue_length),
            waiters_per_feature: number(WAITERS_PER_FEATURE, &table.waiters_per_feature),
            waiters_per_client: number(WAITERS_PER_CLIENT, &table.waiters_per_client),
            update_checks_per_minute: number(UPDATE_CHECKS_PER_MINUTE, &table.update_checks_per_minute),
            frame_bytes: number(FRAME_BYTES, &table.frame_bytes),
            unread_bytes: number(UNREAD_BYTES, &table.unread_bytes),
            hello_time: HELLO_TIME.check(table.hello_time.as_ref(), source, faults),
            idle_time: IDLE_TIME.check(table.idle_time.as_ref(), source, faults),
        };
        if limits.idle_time < heartbeat.saturating_mul(2) {
            let message = format!(
                "an idle_time of {} with a heartbeat of {}: connections of living programs would be closed",
                duration::format(limits.idle_time),
                duration::format(heartbeat)
            );
            let span = table.idle_time.as_ref().map(Spanned::span);
            faults.push(source.fault(span, message).help("make idle_time at least twice heartbeat"));
        }
        limits
    }
}

impl Bounds<u32> {
    pub(super) fn check(self, value: Option<&Spanned<i64>>, source: &Source, faults: &mut Vec<Fault>) -> u32 {
        let Some(value) = value else { return self.default };
        match u32::try_from(*value.get_ref()) {
            Ok(number) if (self.least..=self.most).contains(&number) => number,
            _ => {
                faults.push(self.out_of_range(value.get_ref(), value.span(), source, u32::to_string));
                self.default
            }
        }
    }
}

impl Bounds<Duration> {
    pub(super) fn check(
        self,
        value: Option<&Spanned<DurationText>>,
        source: &Source,
        faults: &mut Vec<Fault>,
    ) -> Duration {
        let Some(value) = value else { return self.default };
        let duration = value.get_ref().0;
        if !(self.least..=self.most).contains(&duration) {
            let shown = duration::format(duration);
            faults.push(self.out_of_range(shown, value.span(), source, |d| duration::format(*d)));
            return self.default;
        }
        duration
    }
}

impl<T> Bounds<T> {
    fn out_of_range(
        &self,
        value: impl fmt::Display,
        span: std::ops::Range<usize>,
        source: &Source,
        text: impl Fn(&T) -> String,
    ) -> Fault {
        let message = format!(
            "{} = {value} is out of range: allowed is {} to {}",
            self.key,
            text(&self.least),
            text(&self.most)
        );
        source
            .fault(Some(span), message)
            .help(format!("leave it out for the default, {}", text(&self.default)))
    }
}
