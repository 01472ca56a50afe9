//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

/// Facts of this host, and license host ids against them.
pub mod hostid;
/// License files: reading, checking, watching.
pub mod licenses;
