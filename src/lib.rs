//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.
// Each module says in its own first line what it is for. A second doc comment here would move its links into this scope,
// where they lead nowhere.

pub mod clock;
pub mod config;
pub mod exit;
pub mod logging;
pub mod notify;
