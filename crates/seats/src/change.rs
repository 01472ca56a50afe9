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
use crate::license::{Fingerprint, KeyType, Name, Signed};
use crate::maintenance::{Ending, Reminder};
use crate::request::{Facts, Item};

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

/// A pool's number inside this ledger; its identity is (vendor, feature, kind), see [`PoolSet`].
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
    /// Which of the feature's pools.
    pub kind: PoolKind,
    /// Seats from now on.
    pub total: Total,
    /// The license whose terms hold first, then each upgrade in the order they were added.
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
    /// The license whose terms held for the pool.
    pub license: Fingerprint,
    /// The key of its share group (L60); `None`: its seats are its own.
    pub share: Option<Arc<str>>,
    /// The place in the bundle of the token session that this one is taken for (L51); `None`: it stands for itself.
    pub token: Option<u16>,
    /// Whether its seats lie above the soft limit (L61).
    pub above_soft_limit: bool,
    /// The booking it draws on (S52).
    pub booking: Option<BookingId>,
}

impl GrantedSession {
    /// A session that shares with nobody and belongs to no token.
    pub fn plain(session: SessionId, pool: PoolId, count: u32, license: Fingerprint) -> GrantedSession {
        GrantedSession {
            session,
            pool,
            count,
            license,
            share: None,
            token: None,
            above_soft_limit: false,
            booking: None,
        }
    }
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
    /// Its client was gone and somebody else needed the seat (S3, S22).
    Reclaimed,
    /// Its client did nothing for the time the policy allows, and somebody else needed the seat.
    Idle,
    /// It was granted to a waiter who did not confirm it in time (S31); the waiter keeps its place.
    Unconfirmed,
    /// It never came to a session: its client gave the request up (S26, S30). Of request keys alone.
    GivenUp,
    /// It never came to a session: no seat came free in the time it was to wait (S30). Of request keys alone.
    TimedOut,
    /// It was lent, and its time is over (S42).
    BorrowEnded,
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
            Cause::Reclaimed => "reclaimed",
            Cause::Idle => "idle",
            Cause::Unconfirmed => "unconfirmed",
            Cause::GivenUp => "given_up",
            Cause::TimedOut => "timed_out",
            Cause::BorrowEnded => "borrow_ended",
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

/// The number of seats that are held; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId(pub u64);

/// Seats were given back and are not yet free (L62).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its number.
    pub hold: HoldId,
    /// Of which pool.
    pub pool: PoolId,
    /// How many, at least 1.
    pub seats: u32,
    /// Who gave them back, as stated.
    pub user: Box<str>,
    /// Where, as stated.
    pub host: Box<str>,
    /// User and host as they are compared: whose checkout they serve at once.
    pub client: Arc<str>,
    /// The tick at which they are free.
    pub until: Tick,
}

/// Seats are held no longer: their time is over, or their own client took them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheld {
    /// Which.
    pub hold: HoldId,
    /// How many, at least 1.
    pub seats: u32,
}

/// One session that counts against another pool from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSession {
    /// Which.
    pub session: SessionId,
    /// The key of its share group there.
    pub share: Option<Arc<str>>,
}

/// The pool of these sessions is gone; they count against another of the same feature (L39).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// To which.
    pub to: PoolId,
    /// At least one.
    pub sessions: Vec<MovedSession>,
}

/// A booking's number; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BookingId(pub u64);

/// Seats of a feature are kept for whoever presents a token (S52).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booked {
    /// Its number.
    pub booking: BookingId,
    /// Hash of the token.
    pub token: [u8; 16],
    /// Who sells the feature.
    pub vendor: Name,
    /// Which feature.
    pub feature: Name,
    /// How many seats, at least 1.
    pub seats: u32,
    /// The tick at which it ends.
    pub until: Tick,
    /// Who booked.
    pub by: Box<str>,
}

/// A booking ended, by its time or because it was given up; sessions that draw on it stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingEnded {
    /// Which.
    pub booking: BookingId,
}

/// All seats of a bundle are lent: its client has them offline until a time (S40). It stands behind the grant, in the same
/// batch, and says everything that a borrow token does beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Borrowed {
    /// Which.
    pub bundle: BundleId,
    /// When, Unix seconds by the server's clock.
    pub from: i64,
    /// The first moment at which it is over, Unix seconds.
    pub until: i64,
    /// The day of the grant, in the server's zone; `None`: it was lent when that was not kept, and its tokens do not say it.
    pub first_day: Option<NaiveDate>,
    /// The last day it reaches into, in the server's zone (S41).
    pub last_day: NaiveDate,
    /// The tick before which it does not end while the server runs on (S42).
    pub due: Tick,
    /// What lends, one for each session of the grant, in its order.
    pub licenses: Vec<LentLicense>,
}

/// What a token says of the license that lends: everything by which a program is judged that has no server (rules 3, 6.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LentLicense {
    /// The license, as its vendor signed it.
    pub signed: Arc<Signed>,
    /// The renewals that counted for it at the grant or begin before its end, as the vendor signed them.
    pub renewals: Vec<Arc<Signed>>,
    /// The day of its first checkout, where its maintenance begins with that (rules 3, 6.10).
    pub first_checkout: Option<NaiveDate>,
}

/// An administrator noted that a borrowed seat will not be given back before its time (S42). It comes back then as it would
/// have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOff {
    /// Which session.
    pub borrow: SessionId,
    /// When, Unix seconds by the server's clock.
    pub at: i64,
    /// Who, as the admin socket saw it.
    pub by: Box<str>,
    /// The reason given; may be empty.
    pub reason: Box<str>,
}

/// The state was read though a part of it was lost, and what was lent may be in that part: nothing is lent until all of that
/// must be over (S62).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BorrowingClosed {
    /// When that was, Unix seconds by the server's clock.
    pub from: i64,
}

/// A checkout that waits for seats (S30). Its place in the queue is its number's among the waiters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its number, from the same row as those of sessions.
    pub waiter: SessionId,
    /// Hash of install id and request key (S2).
    pub key: [u8; 16],
    /// Hash of the secret (S2).
    pub secret: [u8; 16],
    /// What is wanted, all of it or nothing.
    pub items: Vec<Item>,
    /// Who asks.
    pub facts: Arc<Facts>,
    /// The process.
    pub pid: u32,
    /// Hash of the token of the booking it draws on (S52).
    pub booking: Option<[u8; 16]>,
    /// When it asked.
    pub since: Tick,
    /// The tick at which it waits no longer.
    pub until: Tick,
}

/// Why somebody waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitCause {
    /// It has its seats and has confirmed them.
    Served,
    /// It waited as long as it wanted to.
    TimedOut,
    /// It does not want to any more.
    GivenUp,
    /// Its client was gone for too long.
    Reaped,
    /// An administrator took its place away.
    Released,
}

/// Somebody waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitEnded {
    /// Who.
    pub waiter: SessionId,
    /// Why.
    pub cause: WaitCause,
}

/// A user on a host may have no seats of a feature for a time (S25).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barred {
    /// Who sells the feature.
    pub vendor: Name,
    /// Which feature.
    pub feature: Name,
    /// User and host as they are compared.
    pub client: Arc<str>,
    /// The tick from which on they may again.
    pub until: Tick,
    /// Who barred them, as the admin socket saw it.
    pub by: Box<str>,
    /// The reason given; may be empty.
    pub reason: Box<str>,
}

/// A new highest day was served; it never goes back but by a [`ClockReset`] (S71).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayServed {
    /// The day.
    pub day: NaiveDate,
}

/// What the wall clock showed at a tick, so that ticks can be shown as instants, and a jump of the clock can be told at
/// the next start (S71). The tick may be earlier than that of the batch: a clock that jumped is believed an hour later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRead {
    /// The tick.
    pub tick: Tick,
    /// Milliseconds since 1970, UTC.
    pub unix_ms: i64,
}

/// An administrator said that the highest day served was wrong: it is lower from now on (S71).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReset {
    /// The highest day served until now.
    pub from: NaiveDate,
    /// The highest day served from now on: that of the wall clock then.
    pub to: NaiveDate,
    /// When, milliseconds since 1970, UTC.
    pub unix_ms: i64,
    /// Who, as the system names the process.
    pub by: Box<str>,
    /// The reason given.
    pub reason: Box<str>,
}

/// A request key that is used up, and remembered for an hour (S2): that of a bundle that is gone or of a request that was
/// given up before it came to one. In snapshots; by itself where a client cancels what the server has never heard of (S26).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The bundle, the place in the queue, or a number that was never one's.
    pub bundle: BundleId,
    /// Hash of install id and request key.
    pub key: [u8; 16],
    /// How its last session ended, or why there was none.
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
    /// The number of the next seats to be held.
    pub next_hold: u64,
    /// The next booking's number.
    pub next_booking: u64,
}

/// The first seat of a license was taken: its maintenance begins (rules 3, 6.10). In one batch with the grant, before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstCheckout {
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Its serial number, or `#` and its fingerprint.
    pub license: Arc<str>,
    /// The server's day.
    pub day: NaiveDate,
    /// When, milliseconds since 1970; `None`: the server did not know.
    pub unix_ms: Option<i64>,
    /// Which server: the fingerprint of its identity key.
    pub server: Arc<str>,
    /// The version that was started, as the program stated it.
    pub version: Option<Arc<str>>,
}

/// Administrators were reminded of an end (rules 3, 6.11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminded {
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Its serial number, or `#` and its fingerprint.
    pub license: Arc<str>,
    /// What ends.
    pub of: Ending,
    /// The end that was spoken of.
    pub end: NaiveDate,
    /// What was said.
    pub what: Reminder,
}

/// The highest version that was granted a seat of a pool. Only in snapshots: else the grants tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionSeen {
    /// Of which pool.
    pub pool: PoolId,
    /// Which version, and when it was released, as its program stated it; `None`: none since its license came.
    pub highest: Option<([u32; 4], Option<NaiveDate>)>,
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
    /// See [`Held`].
    Held(Held),
    /// See [`Unheld`].
    Unheld(Unheld),
    /// See [`Moved`].
    Moved(Moved),
    /// See [`Booked`].
    Booked(Booked),
    /// See [`BookingEnded`].
    BookingEnded(BookingEnded),
    /// See [`Waiting`].
    Waiting(Waiting),
    /// See [`WaitEnded`].
    WaitEnded(WaitEnded),
    /// See [`Barred`].
    Barred(Barred),
    /// See [`ClockReset`].
    ClockReset(ClockReset),
    /// See [`Borrowed`].
    Borrowed(Borrowed),
    /// See [`WrittenOff`].
    WrittenOff(WrittenOff),
    /// See [`BorrowingClosed`].
    BorrowingClosed(BorrowingClosed),
    /// See [`FirstCheckout`].
    FirstCheckout(FirstCheckout),
    /// See [`Reminded`].
    Reminded(Reminded),
    /// See [`VersionSeen`].
    VersionSeen(VersionSeen),
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
