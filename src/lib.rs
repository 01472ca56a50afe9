//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

/// Ticks, the wall clock, time zones, and where a day begins.
pub mod clock;
/// What the daemon is told: `seatkeeper.toml` and its flags.
pub mod config;
/// Exit codes, as sysexits.h has them.
pub mod exit;
/// The log.
pub mod logging;
/// systemd: what it is told, and the sockets it hands over.
pub mod notify;
