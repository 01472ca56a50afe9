//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

/// The command line.
pub mod cli;
/// Facts of this host, and license host ids against them.
pub mod hostid;
/// License files: reading, checking, watching.
pub mod licenses;
/// The vendor's side: keys, signing, verifying.
pub mod vendor;
