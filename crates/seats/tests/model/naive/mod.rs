//! The naive model: what the rules' text says, in the plainest way, recomputed from lists at every question.
//!
//! It uses nothing of `seats`, not even a date or a constant: a shared helper would hide its own mistakes.
//! A day is a number of days since 2030-01-01; a moment is a number of milliseconds. Nothing is kept that can be
//! counted: seats in use, in whose name, and in what share, are counted from the list of sessions each time.
//!
//! What is where: licenses and what they grant on a day in [`licenses`], the administrator's rules in [`policy`], who
//! asks and who has what in [`sessions`], how seats add up in [`counting`], may they in [`judge`], out of which
//! seats in [`seats`], and who waits in [`queue`].
#![allow(dead_code, unreachable_pub, unused_imports, reason = "a module of several test programs")]
#![allow(clippy::result_large_err, reason = "nobody is in a hurry here")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub mod counting;
pub mod judge;
pub mod licenses;
pub mod policy;
pub mod queue;
pub mod seats;
pub mod sessions;

pub use counting::Numbers;
pub use judge::{Denied, Verdict};
pub use licenses::{Based, Dependency, Kind, Needed, Pool, PoolKey, Replaces, Share, Sold, Which};
pub use policy::{Group, Members, Per, Policy, Rule, Says, Who};
pub use queue::{Happened, Offer, Waiter};
pub use sessions::{Booking, Connection, Gone, Held, Kept, Program, Request, ShareKey, Wanted};

/// COUNT above every number.
pub const UNLIMITED: u64 = u64::MAX;
/// L35: the largest sum.
pub const SEATS_MAX: u64 = 2_147_483_647;
/// S2: a key is remembered so long after its last seat was given back.
const HOUR: u64 = 3_600_000;
/// S21: so long after its socket closed a seat is its client's for sure.
pub const RESUME_WINDOW: u64 = 5_000;
/// How long an idle client is warned before its seat is given away.
pub const IDLE_WARNING: u64 = 30_000;

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub struct Naive {
    pub day: i32,
    pub tick: u64,
    pub lease: u64,
    /// S22: so long a client that is gone keeps what nobody needs.
    pub patience: u64,
    /// Taken by [`Naive::load`].
    pub licenses: Rc<Vec<Sold>>,
    /// What they grant on a day, as far as it was asked for.
    days: RefCell<BTreeMap<i32, Rc<Vec<Pool>>>>,
    pub policy: Rc<Policy>,
    pub held: Vec<Held>,
    /// Seats given back and not yet free (L62).
    pub kept: Vec<Kept>,
    pub bookings: Vec<Booking>,
    pub connections: Vec<Connection>,
    /// Idle sessions whose client was warned.
    pub warned: Vec<Warned>,
    /// Who waits, in the order in which they came (S30).
    pub waiters: Vec<Waiter>,
    /// What waiters were given and have not confirmed.
    pub offers: Vec<Offer>,
    /// S33: for one feature, and of one installation.
    pub may_wait: [u64; 2],
    /// What became of those who wait, and nobody has looked at yet.
    pub queue: Vec<Happened>,
    /// While a request is judged: idle sessions that may be given away for it, the longest idle first.
    pub giving: Vec<u64>,
    /// While a request is judged: those who are gone may lose their seats for it (S22).
    takes_from_gone: bool,
    /// While a request is judged: everything as it was before.
    asked: Option<Rc<Naive>>,
    /// Request keys of bundles that are gone, and since when.
    pub spent: Vec<(u64, u64)>,
    /// Those of them that waited for too long.
    pub waited_in_vain: Vec<(u64, u64)>,
    pub next_session: u64,
    /// S71: the wall clock is more than a day behind, and shows this day.
    pub clock: Option<i32>,
}

/// A client was told that its idle session is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warned {
    pub session: u64,
    pub at: u64,
    /// Who was refused, and waits; when that one asked last.
    pub wanted_by: Option<Program>,
    pub asked: u64,
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// S1: without case, without `DOMAIN\`.
pub fn folded_user(user: &str) -> String {
    user.rsplit('\\').next().unwrap_or("").to_lowercase()
}

/// S1: without case, up to the first dot.
pub fn folded_host(host: &str) -> String {
    host.split('.').next().unwrap_or("").to_lowercase()
}

impl Naive {
    /// Nothing is there yet.
    pub fn new(lease: u64, patience: u64) -> Naive {
        Naive { lease, patience, next_session: 1, may_wait: [10_000, 64], ..Naive::default() }
    }
}
