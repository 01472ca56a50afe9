//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.

pub mod answer;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod compat;
pub mod config;
pub mod counts;
pub mod daemon;
pub mod engine;
pub mod events;
pub mod exit;
pub mod history;
pub mod hook;
pub mod hostid;
pub mod http;
pub mod journal;
pub mod licenses;
pub mod logging;
pub mod notify;
pub mod policy;
pub mod report;
pub mod server;
pub mod state;
pub mod vendor;
