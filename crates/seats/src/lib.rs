#![no_std]
//! Seat accounting: who holds which seat, until when, and why somebody else was refused.
//!
//! This crate decides; it never does. It has no clock, no files, no sockets, no threads and no random
//! numbers: time arrives as an argument (ticks and a civil date), ids and hashes arrive in the request,
//! and a decision leaves as a list of [`Change`](change::Change)s that the caller writes to disk.
//!
//! Where to look: what a license says is in [`license`], what a set of them grants on a day in
//! [`evaluate`](mod@evaluate), what the administrator's policy allows in [`policy`], who holds what in [`ledger`], why not
//! in [`denial`], and whether the wall clock can be trusted in [`wall`].

extern crate alloc;

pub mod catalog;
pub mod change;
pub mod denial;
pub mod evaluate;
mod intern;
pub mod ledger;
pub mod license;
pub mod maintenance;
pub mod policy;
pub mod releases;
pub mod request;
pub mod version;
pub mod wall;
