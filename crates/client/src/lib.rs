//! What an application links to take seats from a Seatkeeper server.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use seatkeeper_client::{Client, Options, Want};
//!
//! let client = Client::new(Options::from_environment("acme-cad", "4.2")?);
//! let seats = client.checkout(Want::feature("cad"))?;
//! // ... work; heartbeats and reconnects happen behind the scenes ...
//! seats.checkin()?; // or drop it
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`] and [`Seats`]: takes seats and keeps them. A thread behind them beats as often as the server says and,
//!   after a lost connection, resumes what the program holds; what happens meanwhile is told as [`Event`]s.
//! - A checkout may wait for its seats in the server's queue: [`Want::wait`].
//! - If no server answers at all, seats go on for the hours that their license allows (L65): see [`Seats`].
//! - An application that says when its user is at work, [`Client::report_activity`], lets idle seats go to who needs them.
//! - A seat can be borrowed for a computer that will be offline, and is verified there each time it is used: [`borrow`].
//! - Before it is updated, a program or its installer asks whether the new version would run: [`Client::check_update`].
//! - [`Connection`]: one connection and its calls, for tools that ask questions and for administrators.
//! - [`Address`]: where servers are. [`InstallId`] and [`facts`]: who asks.
//!
//! Threads and blocking sockets of the standard library, nothing else: an application needs no runtime. The protocol is
//! `docs/PROTOCOL.md`, its bytes are in the crate `wire`. What only Unix has is in the module `unix`.

// The scripted server names this crate as its tests do; grace must be tested from inside, where the clock is.
#[cfg(test)]
extern crate self as seatkeeper_client;
#[cfg(test)]
#[path = "../tests/scripted/mod.rs"]
mod scripted;

mod activity;
mod address;
mod again;
mod backoff;
#[cfg(feature = "borrow")]
pub mod borrow;
mod client;
mod connection;
mod error;
mod event;
pub mod facts;
mod files;
mod giving;
mod grace;
mod install;
mod keeper;
mod link;
mod pulse;
mod seats;
mod stream;
mod told;
#[cfg(unix)]
mod unix;
mod update;
mod wait;

pub use wire::answer::{Grant, SignedLicense};
pub use wire::request::{Candidate, Facts, HostId, Item};
pub use wire::{codes, request};

pub use address::{Address, AddressError, DEFAULT_PORT, SERVERS_MAX, SERVERS_VARIABLE};
pub use backoff::Backoff;
#[cfg(feature = "borrow")]
pub use borrow::{
    BorrowError, Borrowed, BorrowedSeats, NotValid, OpenError, ReturnError, Taken, VendorKey, VendorKeyError,
};
pub use client::{Client, Want};
pub use connection::{Connection, Told};
pub use error::{CallError, CheckinError, CheckoutError, ConnectError, Refusal};
pub use event::{Event, GraceEnd};
pub use install::InstallId;
pub use seats::Seats;
pub use update::{Advice, CandidateAnswer, MaintenanceState, UpdateAnswer, UpdateQuestion};
pub use wait::Cancel;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a client connects, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers, tried in this order (S26).
    pub servers: Vec<Address>,
    /// The program's name, for the server's log.
    pub program: String,
    /// Its version, for the log. What rules look at stands in [`Facts`].
    pub program_version: String,
    /// Who asks (S2).
    pub install_id: InstallId,
    /// How long to try to connect to one address, hello not included. Looking up a name can take longer: the system's
    /// resolver has its own limits.
    pub connect_timeout: Duration,
    /// How long to wait for an answer, the hello's included. A connection on which one is missing is given up.
    pub answer_timeout: Duration,
    /// How long to wait between attempts to get back to a server that was lost.
    pub backoff: Backoff,
    /// Where is remembered which licenses give grace and how it was used (L65), the directory of [`InstallId::kept_in`] unless
    /// an application knows a better one; `None`: this client never goes on without a server. All programs that name the same
    /// directory share what is remembered.
    pub grace_directory: Option<PathBuf>,
    /// Whose signatures count when a borrowed seat is verified (S40): the public keys of the application's vendor. None to begin
    /// with, and none are read from the computer it runs on.
    #[cfg(feature = "borrow")]
    pub vendor_keys: Vec<VendorKey>,
    /// Where borrowed seats are kept, the directory of [`InstallId::kept_in`] unless an application knows a better one; `None`:
    /// nothing is borrowed. All programs that name the same directory share what is in it.
    #[cfg(feature = "borrow")]
    pub borrow_directory: Option<PathBuf>,
}

impl Options {
    /// Five seconds to connect, ten for an answer, the install id that is kept on this machine, and grace remembered beside it.
    pub fn new(servers: Vec<Address>, program: &str, program_version: &str) -> Options {
        Options {
            servers,
            program: program.to_owned(),
            program_version: program_version.to_owned(),
            install_id: InstallId::kept(),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            backoff: Backoff::default(),
            grace_directory: install::directory(),
            #[cfg(feature = "borrow")]
            vendor_keys: Vec::new(),
            #[cfg(feature = "borrow")]
            borrow_directory: install::directory(),
        }
    }

    /// The servers that `SEATKEEPER_SERVER` names, or the default one on this machine.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if the variable is set to something that is no list of servers.
    pub fn from_environment(program: &str, program_version: &str) -> Result<Options, AddressError> {
        Ok(Options::new(Address::from_environment()?, program, program_version))
    }
}

/// What a panicking thread left in a lock is whole: every change is made in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
