//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

/// Batches on disk before anybody hears of them, and back after a restart.
pub mod journal;
/// The state directory: its lock, its format, the server's key.
pub mod state;
