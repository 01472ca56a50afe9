//! The daemon that ships as a process of its own: midnights, kill -9, hostile peers, signals, reloads.
//!
//! One binary, so that it is linked once. `cargo test --test real midnight` runs a part.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod bookings;
mod borrow;
mod borrow_client;
mod clock;
mod crash;
mod cuts;
mod disk;
mod disk_bytes;
mod disk_state;
mod events;
mod history;
mod hook;
mod hostile;
mod lent_versions;
mod load;
mod maintenance;
mod midnight;
mod policy;
mod queue;
mod reload;
#[path = "../common/schema.rs"]
mod schema;
mod second_client;
mod service;
mod shown;
mod suspects;
mod update;
mod usage;
mod versions;
