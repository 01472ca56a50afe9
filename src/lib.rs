//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

/// Between the wire and the ledger: the one place that knows both.
pub mod answer;
/// The command line.
pub mod cli;
/// Ticks, the wall clock, time zones, and where a day begins.
pub mod clock;
/// What the daemon is told: `seatkeeper.toml` and its flags.
pub mod config;
/// The one owner of a ledger: decides, syncs, then answers.
pub mod engine;
/// Exit codes, as sysexits.h has them.
pub mod exit;
/// Facts of this host, and license host ids against them.
pub mod hostid;
/// Batches on disk before anybody hears of them, and back after a restart.
pub mod journal;
/// License files: reading, checking, watching.
pub mod licenses;
/// The log.
pub mod logging;
/// systemd: what it is told, and the sockets it hands over.
pub mod notify;
/// What the server tells about itself, as JSON.
pub mod report;
/// Sockets and connections.
pub mod server;
/// The vendor's side: keys, signing, verifying.
pub mod vendor;
