//! What the server tells about itself: one structure of JSON for the protocol, HTTP and `--json` (interfaces.md 4).
//!
//! The daemon fills these types and the command line reads them; `docs/schema` describes them to everybody
//! else. They hold no rule: how seats add up is S6, who may read what is S84, and both are settled by who fills them in.
//!
//! - [`Status`] is the whole; each list of it stands alone too, in the same structure without the rest
//! - [`Explain`] is the sum of one feature, [`Denial`] the details of a refusal (S4), [`Why`] what would happen to a checkout
//! - [`UpdateCheck`] is the answer to a program's installer (rules 3, 6.8)
//! - [`Usage`] is what the history makes of some days; `docs/schema/usage.json` describes it; [`UsageDay`] is one in steps
//! - [`Reload`] and [`HostIds`] are the answers to an administrator
//!
//! **Absent or null.** An instant that never comes is null. Where the reader may not see something it is left out
//! (lists, and the optional fields marked so) or null (a field of a thing he may see). A member that a reader does not
//! know is ignored, so members can be added without another [`SCHEMA`].

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

mod admin;
mod day;
mod denial;
mod explain;
mod maintenance;
mod update;
mod usage;
mod why;

pub use admin::{HostEntry, HostId, HostIds, HostMatch, Reload, TotalChange};
pub use day::UsageDay;
pub use denial::{BorrowAtMost, Denial, Due, Holder, Limit, Numbers, OtherPool, Place};
pub use explain::{
    Change, ChangedLicense, Explain, License, PoolSum, PoolTotal, ReplacedBy, Terms, TokenDependency,
    TokenNeed,
};
pub use maintenance::{Maintenance, Notice};
pub use update::{UpdateAnswer, UpdateCheck, UpdateMaintenance};
pub use usage::{Missing, Usage, UsageRow};
pub use why::{HeldSeats, Reservation, Why, WhyPool};

/// The number of this structure. It goes up when a member changes its meaning or goes away, not when one is added.
pub const SCHEMA: u32 = 1;

/// An instant as RFC 3339 in UTC with whole seconds, such as `2030-06-30T22:00:00Z`; see
/// [`clock::rfc3339`](crate::clock::rfc3339).
pub type Instant = String;

/// Everything, or one part of it: `features`, `sessions`, `licenses` and `problems` alone are this with the other
/// members left out. When a report comes in parts, each list is the lists of all parts in order, and the other members
/// are those of the first part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Who answers. Left out in the lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Every feature that a license names, by vendor and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<Feature>>,
    /// Every session, in the order of the grants. Left out where the reader sees counts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<Session>>,
    /// What is lent (S40). In the list `borrowed` only; left out where the reader sees counts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrowed: Option<Vec<Borrow>>,
    /// Who waits, first come first (S30). In the list `queue` only; left out where the reader sees counts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Vec<Waiter>>,
    /// Every license of every file, counted or not. In the list `licenses` only: a status has them inside the pools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licenses: Option<Vec<License>>,
    /// What is wrong with the files. Left out where the reader sees counts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<Problem>>,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            schema: SCHEMA,
            server: None,
            features: None,
            sessions: None,
            borrowed: None,
            queue: None,
            licenses: None,
            problems: None,
        }
    }
}

/// Who answers. A reader who may see nothing else sees name and version (S84).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The server's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When this daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Instant>,
    /// The IANA name of the zone whose days count (L20).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The day that grants are decided by; it never goes back (S71).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today: Option<NaiveDate>,
    /// The first instant of the next day (L21).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_midnight: Option<Instant>,
    /// `ok`, `provisional` (it jumped ahead) or `suspect` (it is behind the highest day served, S71).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// An administrator lowered the highest day served within the last 30 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_reset: Option<ClockReset>,
    /// The server's identity key, as SERVERKEY takes it (L12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// A demo vendor's key is trusted: fine for a trial, wrong in production.
    #[serde(default, skip_serializing_if = "is_false")]
    pub demo_key_trusted: bool,
    /// Sessions were taken over from before a restart and may still come back (S21).
    #[serde(default, skip_serializing_if = "is_false")]
    pub recovering: bool,
}

/// `seatkeeper state clock-reset`: who lowered the highest day served, and why (S71).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockReset {
    /// When, by the server's clock.
    pub at: Instant,
    /// Who, as the system names the process.
    pub by: String,
    /// The reason given.
    pub reason: String,
    /// The highest day served before.
    pub from: NaiveDate,
    /// The highest day served after.
    pub to: NaiveDate,
}

/// One feature of one vendor, its pools summed (S6).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Who sells it; empty where an unsigned license names nobody.
    pub vendor: String,
    /// As the license writes it.
    pub name: String,
    /// MAJOR.MINOR of the exclusive in force, without one of the pool that is tried first; null: it names none. Where none counts today,
    /// of the one that ends last.
    pub version: Option<String>,
    /// Seats granted today, of all pools; null when unlimited. Tokens have no seats (L51).
    pub total: Option<u64>,
    /// The part of `total` that the exclusive grants; null when unlimited.
    pub base: Option<u64>,
    /// The part of `total` that upgrades add.
    pub upgrades: u64,
    /// The part of `total` that additives are (L50), as far as they are bounded.
    #[serde(default)]
    pub additives: u64,
    /// There is no bound.
    pub unlimited: bool,
    /// Tokens that are out (L51): what they took is in use at the features they need; null: it is no token.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// active + suspect + borrowed.
    pub used: u64,
    /// Seats whose client is connected.
    pub active: u64,
    /// Seats whose client is silent or gone (S20).
    pub suspect: u64,
    /// Seats lent for offline use.
    pub borrowed: u64,
    /// Given back, not yet free (L62).
    pub held: u64,
    /// Kept for others and unused.
    pub reserved: u64,
    /// max(0, total − used − held − reserved); null when unlimited.
    pub free: Option<u64>,
    /// max(0, used + held − total): legal after an expiry (L39).
    pub over: u64,
    /// Requests that wait.
    pub queued: u64,
    /// Seats above this are granted with a notice (L61); null: no soft limit.
    pub soft_limit: Option<u64>,
    /// `HOST`, `USER`, `CUSTOM`, `VIRTUAL` (L60).
    pub share: Vec<String>,
    /// The first day of that license, included; null: from when it was loaded. Where none counts today, of the one that ends last.
    #[serde(default)]
    pub start: Option<NaiveDate>,
    /// The last day of that license, included; null: it never ends. Where none counts today, of the one that ends last.
    #[serde(default)]
    pub end: Option<NaiveDate>,
    /// The first instant at which the exclusive in force, without one the pool that is tried first, no longer counts;
    /// null: it never ends, or there is none.
    pub ends_at: Option<Instant>,
    /// What its seats come to next; null: nothing is to come, if no file changes.
    #[serde(default)]
    pub next_change: Option<NextChange>,
    /// The last day of maintenance, included; null: none stated.
    pub maintenance_ends: Option<NaiveDate>,
    /// Ends of maintenance and of licenses that come within 60 days or are not 30 days past, and nobody has renewed (rules 3, 6.11).
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// Denied checkouts in the last 24 hours, to the half hour, and at most since the server started; null where it does not
    /// count them.
    pub denials_24h: Option<u64>,
    /// What the sums are made of: those that grant in the order in which they are tried, then the others. Empty where the
    /// reader sees counts only.
    #[serde(default)]
    pub pools: Vec<Pool>,
}

/// When the seats of a feature come to another sum: an upgrade begins or ends, or a license does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NextChange {
    /// The first day of the new sum.
    pub day: NaiveDate,
    /// When that day begins.
    pub at: Instant,
    /// `total` from then on; null when unlimited.
    pub total: Option<u64>,
}

/// All seats that can serve one request (L30).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its number on this server; it outlives the licenses in it.
    pub id: String,
    /// `EXCLUSIVE`, `ADDITIVE` or `TOKEN`.
    pub key_type: String,
    /// Serial number of an additive; null: another pool, or it has none, or the reader may not see it.
    #[serde(default)]
    pub sn: Option<String>,
    /// MAJOR.MINOR of the license whose terms hold for it; null: it names none, or none grants.
    #[serde(default)]
    pub version: Option<String>,
    /// How its seats add up; of a token `used` says how many are out.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// The part of `used` whose client is connected.
    #[serde(default)]
    pub active: u64,
    /// When the first of the seats held are free (L62); null: none is held.
    #[serde(default)]
    pub held_until: Option<Instant>,
    /// Seats above this are granted with a notice (L61); null: no soft limit.
    #[serde(default)]
    pub soft_limit: Option<u64>,
    /// `HOST`, `USER`, `CUSTOM`, `VIRTUAL` (L60).
    #[serde(default)]
    pub share: Vec<String>,
    /// The first instant at which that license no longer counts; null: it never ends, or none grants.
    #[serde(default)]
    pub ends_at: Option<Instant>,
    /// How the maintenance stands of the license whose terms hold for it; null: none grants, or it is for any version.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    /// The highest version that had a seat of it since that license came, as stated; null: none was stated.
    #[serde(default)]
    pub highest_version: Option<String>,
    /// The day on which that was released, as stated.
    #[serde(default)]
    pub highest_release_date: Option<NaiveDate>,
    /// The licenses that make it up; those that do not count stand in `licenses`.
    pub licenses: Vec<License>,
}

/// One session: one client's hold on seats of one pool (S10).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its number in base32; no secret, `seatkeeper release` takes it.
    pub id: String,
    /// All sessions of the same checkout.
    pub bundle: String,
    /// Who sells the feature.
    #[serde(default)]
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// Where its seats come from.
    pub pool: String,
    /// Seats.
    pub count: u32,
    /// The client's version, as stated.
    pub version: Option<String>,
    /// The day of the client's build, as stated.
    pub release_date: Option<String>,
    /// As stated.
    pub user: String,
    /// As stated.
    pub host: String,
    /// The screen it is shown on, as stated; null: not said.
    #[serde(default)]
    pub display: Option<String>,
    /// As stated; null: not said.
    pub pid: Option<u32>,
    /// Where its checkout came from; null: over a Unix socket.
    pub address: Option<String>,
    /// `active`, `suspect` or `borrowed`.
    pub state: String,
    /// When it was checked out; null: not known any more.
    pub since: Option<Instant>,
    /// When it last gave a sign of life; null: not since the server started.
    pub last_seen: Option<Instant>,
    /// Since when its client is suspect: its socket closed, or its lease was over (S20); for one that was not heard since the
    /// server started, that start, until the lease that all have then is over. Null: it is active.
    #[serde(default)]
    pub suspect_since: Option<Instant>,
    /// From when on its seats may be given to whoever needs them (S21, S22); in the past: now. Null: it is active.
    #[serde(default)]
    pub free_at: Option<Instant>,
    /// When it ends if nobody needs its seats and its client does not come back (S22); null: it is active.
    #[serde(default)]
    pub reaped_at: Option<Instant>,
    /// Until when its seats are lent; null: they are not.
    pub borrowed_until: Option<Instant>,
    /// The session of the token that took it and ends with it (L51); null: it stands for itself.
    #[serde(default)]
    pub token: Option<String>,
    /// Others with the same share key use its seats too (L60), or may.
    #[serde(default)]
    pub shared: bool,
    /// What it stated for SHARE=CUSTOM; null: not said, or it shares with nobody.
    #[serde(default)]
    pub share: Option<String>,
    /// Its seats lay above the soft limit when they were granted (L61).
    #[serde(default)]
    pub above_soft_limit: bool,
}

/// Seats that are lent for offline use (S40).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Borrow {
    /// Its number in base32, that of its session; no secret.
    pub id: String,
    /// The bundle it is in.
    pub bundle: String,
    /// Who sells the feature.
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// Where its seats come from.
    pub pool: String,
    /// Seats.
    pub count: u32,
    /// As stated.
    pub user: String,
    /// As stated.
    pub host: String,
    /// The installation it was lent to, 32 hexadecimal digits.
    pub install_id: String,
    /// When it was lent.
    pub from: Instant,
    /// When its seats come back.
    pub until: Instant,
    /// That it will not be given back before; null: nobody has said so.
    pub written_off: Option<WrittenOff>,
}

/// A note about a borrowed seat (S42).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WrittenOff {
    /// When.
    pub at: Instant,
    /// Who, as the admin socket saw it.
    pub by: String,
    /// The reason given; may be empty.
    pub reason: String,
}

/// A checkout that waits for seats (S30).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    /// Its number in base32; no secret, `seatkeeper release` takes it.
    pub id: String,
    /// What it wants, all of it or nothing.
    pub features: Vec<WaitedFor>,
    /// Its place: 1 is the first of the queue, of several features where it is longest.
    pub place: u64,
    /// `waiting`; `gone`: its client is not there, so it is passed over; `served`: it has seats and is to confirm them.
    pub state: String,
    /// Since when; null: not known any more.
    pub since: Option<Instant>,
    /// Until when it waits at the latest.
    pub until: Instant,
    /// As stated.
    pub user: String,
    /// As stated.
    pub host: String,
    /// As stated; null: not said.
    pub pid: Option<u32>,
}

/// Seats of one feature that somebody waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitedFor {
    /// Who sells it; null: not said.
    pub vendor: Option<String>,
    /// As it was asked for.
    pub feature: String,
    /// Seats.
    pub count: u32,
}

/// Something wrong with a file, and what to do (L5).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Which file; null: it is about no file.
    pub file: Option<String>,
    /// From 1; null: the whole file.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
    /// Which feature of it.
    pub feature: Option<String>,
    /// Which license.
    pub sn: Option<String>,
    /// A word of rules 1, section 5.
    pub reason: String,
    /// One sentence: what is wrong and what to do.
    pub message: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
