//! The details of a denial.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{Instant, is_false, is_zero};

/// The details of a refusal: everything needed to act on it (S4). What is not known or may not be seen is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Denial {
    /// Which item decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Who sells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Seats asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
    /// The numbers of the pool that decided; left out where there is none.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// The line of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Place>,
    /// The limit of the policy that denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// With `borrow_too_long`: how long it could be lent (S41).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrow: Option<BorrowAtMost>,
    /// The token that needs the feature (L51).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_by: Option<String>,
    /// With `no_seats`: so many wait for the seats that are free (S30).
    #[serde(skip_serializing_if = "is_zero")]
    pub queued_before_you: u64,
    /// The feature's other pools, and why they gave no seat either (S4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherPool>,
    /// The license that denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When the next seat is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
    /// The server was restarted a moment ago and seats of clients that have not come back yet count as used (S21).
    #[serde(skip_serializing_if = "is_false")]
    pub recovering: bool,
    /// Who has seats, oldest first; left out where the reader may not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holders: Option<Vec<Holder>>,
    /// With `bad_request`: a word of PROTOCOL.md 12 that says how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// With the fault `field`: which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// With `already_removed`: which session, in base32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// With `already_removed`: since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
}

/// How long seats could be lent that were asked for longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BorrowAtMost {
    /// So many hours from now.
    pub hours: Option<u32>,
    /// Until the end of that day in the server's zone; null: the hours are a license's or the policy's, whatever the day.
    pub last_day: Option<NaiveDate>,
}

/// How the seats of one pool add up (S6).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Seats granted today; null when unlimited.
    pub total: Option<u64>,
    /// active + suspect + borrowed.
    pub used: u64,
    /// max(0, total − used − held − reserved); null when unlimited.
    pub free: Option<u64>,
    /// Given back, not yet free.
    #[serde(default)]
    pub held: u64,
    /// Kept for others and unused.
    #[serde(default)]
    pub reserved: u64,
    /// The part of `used` whose client is silent or gone.
    #[serde(default)]
    pub suspect: u64,
    /// The part of `used` that is lent.
    #[serde(default)]
    pub borrowed: u64,
    /// max(0, used + held − total).
    #[serde(default)]
    pub over: u64,
    /// There is no bound, or it is a token's, which has no seats of its own.
    #[serde(default)]
    pub unlimited: bool,
}

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Which file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// What stands there, where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A limit of the policy (S50).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Whose seats it counts, as `user ann`.
    pub whose: String,
    /// At most so many.
    pub seats: u32,
    /// In use of them.
    pub used: u64,
    /// The rule that says so; left out where it stands beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Place>,
}

/// Another pool of the feature that gave no seat, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherPool {
    /// Its number, as in [`Pool::id`](super::Pool::id).
    pub pool: String,
    /// `EXCLUSIVE`, `ADDITIVE` or `TOKEN`.
    pub key_type: String,
    /// The code.
    pub code: String,
    /// The same as a sentence; left out where the reader may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// When a seat is due: one of these, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// At that instant.
    At(Instant),
    /// In so many seconds, when the lease of a client that is gone ends, held seats are free, or an idle one is given away.
    InSeconds(u64),
    /// From the first instant of that day in the server's zone, when the licenses grant more.
    Day(NaiveDate),
}

/// One who has seats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The session, in base32.
    pub session: String,
    /// As stated.
    pub user: String,
    /// As stated.
    pub host: String,
    /// Seats.
    pub count: u32,
    /// When they were checked out; null: not known any more.
    pub since: Option<Instant>,
}
