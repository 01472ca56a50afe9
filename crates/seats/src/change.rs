//! Facts the ledger accepted: what is journaled, and all that is (design.md, "The ledger").
//!
//! Replaying the changes in order gives the same ledger, bit for bit. A change states everything it does:
//! ids, ticks and dates stand in it, nothing is drawn or looked up again. How a change becomes bytes is
//! told in `src/journal/record.rs`; a published kind never changes its meaning.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::evaluate::Total;
use crate::license::{Fingerprint, KeyType, Name};
use crate::request::Facts;

/// Milliseconds served: the ledger's own clock. It stands still while the server is down (S61).
pub type Tick = u64;

/// A session's number: assigned by the ledger, never reused, no secret (S10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// The number of all sessions of one checkout: that of its first session.
pub type BundleId = SessionId;

/// Crockford's alphabet: no I, L, O, U, so that an id survives being read out on the telephone.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; 13];
        let mut rest = self.0;
        let mut at = text.len();
        while rest > 0 || at == text.len() {
            at -= 1;
            text[at] = BASE32[(rest & 31) as usize];
            rest >>= 5;
        }
        f.write_str(core::str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for SessionId {
    type Err = ();

    /// Without case; `i` and `l` read as 1, `o` as 0, as Crockford has it.
    fn from_str(text: &str) -> Result<SessionId, ()> {
        if text.is_empty() {
            return Err(());
        }
        text.bytes().try_fold(SessionId(0), |id, b| {
            let b = match b.to_ascii_lowercase() {
                b'i' | b'l' => b'1',
                b'o' => b'0',
                b => b,
            };
            let digit = BASE32.iter().position(|d| *d == b).ok_or(())?;
            let shifted = id.0.checked_mul(32).ok_or(())?;
            Ok(SessionId(shifted | digit as u64))
        })
    }
}

/// A pool's number inside this ledger; its identity is (vendor, feature, exclusive), see [`PoolSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolId(pub u32);

/// Which pool of a feature: with vendor and feature it is a pool's identity, and outlives the licenses in it (L30, L50).
///
/// The order is that of trial among equals (L50): the exclusive one first, a token last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PoolKind {
    /// The exclusive license in force and its upgrades.
    Exclusive,
    /// One additive license, by its SN; one without SN by `#` and its fingerprint in hexadecimal.
    Additive(Arc<str>),
    /// The token license in force: no seats of its own (L51).
    Token,
}

/// A license that counts in a pool's total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Which license.
    pub fingerprint: Fingerprint,
    /// EXCLUSIVE for the base, UPGRADE for what is added.
    pub key_type: KeyType,
    /// Its serial number.
    pub sn: Option<Arc<str>>,
    /// What it adds.
    pub count: Total,
    /// Its last day, included.
    pub end: Option<NaiveDate>,
}

/// What a pool grants from now on, and from which licenses (L22). A pool without sources grants nothing,
/// and is forgotten when its last session is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSet {
    /// A new number, or that of the pool with this identity.
    pub pool: PoolId,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Seats from now on.
    pub total: Total,
    /// The exclusive first, then each upgrade in the order they were added.
    pub sources: Vec<Source>,
}

/// One session of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedSession {
    /// Its number.
    pub session: SessionId,
    /// Where its seats are taken from.
    pub pool: PoolId,
    /// How many.
    pub count: u32,
    /// The exclusive license that was in force.
    pub license: Fingerprint,
}

/// A checkout was granted: all its sessions, under one secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The number of its first session as it was granted.
    pub bundle: BundleId,
    /// Hash of install id and request key (S2).
    pub key: [u8; 16],
    /// Hash of the secret (S2).
    pub secret: [u8; 16],
    /// Who asked.
    pub facts: Arc<Facts>,
    /// The process.
    pub pid: u32,
    /// When.
    pub since: Tick,
    /// At least one, each numbered from the bundle's number on.
    pub sessions: Vec<GrantedSession>,
}

/// Seats were given back by the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedIn {
    /// Of which session.
    pub session: SessionId,
    /// How many, at least 1.
    pub count: u32,
    /// When.
    pub at: Tick,
}

/// Why a session ended without a checkin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Checked in by its client.
    CheckedIn,
    /// Its client was silent for a lease.
    LeaseEnded,
    /// Removed by an administrator.
    Released(Box<Release>),
}

/// Who removed a session, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Who, as the admin socket saw it.
    pub by: String,
    /// The reason given; may be empty.
    pub reason: String,
}

impl Cause {
    /// The stable name, as metrics show it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Cause::CheckedIn => "checked_in",
            Cause::LeaseEnded => "lease_ended",
            Cause::Released(_) => "released",
        }
    }
}

/// A session ended without its client giving it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub cause: Cause,
    /// When.
    pub at: Tick,
}

/// A new highest day was served; it never goes back (S71).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayServed {
    /// The day.
    pub day: NaiveDate,
}

/// What the wall clock showed at a tick, so that ticks can be shown as instants. Nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRead {
    /// The tick.
    pub tick: Tick,
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
}

/// A bundle that is gone: its request key is remembered for an hour (S2). Only in snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The bundle.
    pub bundle: BundleId,
    /// Hash of install id and request key.
    pub key: [u8; 16],
    /// How its last session ended.
    pub cause: Cause,
    /// When.
    pub at: Tick,
}

/// The counters that are not in any other record. Only in snapshots, and first in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The next session's number.
    pub next_session: u64,
    /// The next pool's number.
    pub next_pool: u32,
}

/// One fact the ledger accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// See [`PoolSet`].
    PoolSet(PoolSet),
    /// See [`Granted`].
    Granted(Granted),
    /// See [`CheckedIn`].
    CheckedIn(CheckedIn),
    /// See [`Ended`].
    Ended(Ended),
    /// See [`DayServed`].
    DayServed(DayServed),
    /// See [`ClockRead`].
    ClockRead(ClockRead),
    /// See [`Spent`].
    Spent(Spent),
    /// See [`Counters`].
    Counters(Counters),
}

#[cfg(test)]
mod tests {
    use super::SessionId;

    #[test]
    fn session_ids_survive_being_read_out() {
        for id in [0, 1, 31, 32, 1234567, u64::MAX] {
            let text = alloc::format!("{}", SessionId(id));
            assert_eq!(text.parse(), Ok(SessionId(id)), "{text}");
            assert_eq!(text.to_uppercase().parse(), Ok(SessionId(id)));
        }
        assert_eq!("I0l".parse::<SessionId>(), "101".parse());
        for bad in ["", "u", "zzzzzzzzzzzzzz", "a b"] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
        }
    }
}
