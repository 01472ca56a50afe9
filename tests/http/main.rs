//! HTTP of the daemon that ships: what it shows agrees with the wire, who may read it, what a hostile reader can do, and
//! what Prometheus makes of it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod access;
mod events;
mod hostile;
mod plain;
mod prometheus;
#[path = "../common/schema.rs"]
mod schema;
mod shown;
mod usage;
