//! What a server tells unasked, with call number 0. A client ignores an event it does not know.

use crate::answer::Grant;
use crate::layout::{Decode, Encode};
use crate::message::Extra;

/// 0xc001: the license of a running session has ended. The session keeps its seats; a new one would get
/// none (L39).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Expired {
    /// Which session of this connection.
    pub session: u64,
    /// Its feature.
    pub feature: String,
    /// The instant the license ended, Unix seconds, exclusive, as in the grant.
    pub license_ends: i64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc002: a session of this connection lost its seats other than by its own checkin (S23, S25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SessionEnded {
    /// Which session.
    pub session: u64,
    /// Why, one of [`codes`](crate::codes).
    pub code: String,
    /// One sentence for a person: who or what took it.
    pub message: String,
    /// When, Unix seconds.
    pub at: i64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc003: another connection has resumed this bundle; it is no longer this one's (S10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ResumedElsewhere {
    /// Which bundle.
    pub bundle: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc004: the server stops. Sessions are kept: resume when it is back (S64).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Stopping {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc005, to connections that asked by [`Watch`](crate::request::Watch): a feature has another total.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PoolChanged {
    /// Who sells it; may be empty.
    pub vendor: String,
    /// The feature.
    pub feature: String,
    /// Seats before; `None`: unlimited.
    pub old_total: Option<u32>,
    /// Seats now; `None`: unlimited.
    pub new_total: Option<u32>,
    /// What made the difference, one sentence.
    pub reason: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc006: somebody is refused a seat that this session leaves idle. If it stays idle, the seat is given away in so many
/// seconds (S50); a heartbeat that says less idle time than that keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SeatWanted {
    /// Which session of this connection.
    pub session: u64,
    /// Its feature.
    pub feature: String,
    /// Seconds until then.
    pub seconds: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc007: a checkout that waited has its seats (S31). The client says [`Confirm`](crate::request::Confirm) within ten
/// seconds, or they go to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Served {
    /// The number of its place.
    pub waiter: u64,
    /// All sessions of this checkout together; what a resume names.
    pub bundle: u64,
    /// One for each item of the checkout, in the same order.
    pub sessions: Vec<Grant>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xc008: a checkout waits no longer: its time is over, or its place was taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WaitEnded {
    /// The number of its place.
    pub waiter: u64,
    /// Why, one of [`codes`](crate::codes).
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// When, Unix seconds.
    pub at: i64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}
