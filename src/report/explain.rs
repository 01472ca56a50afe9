//! What licenses say and what they come to: one license, the sum of a feature, and what comes next.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Instant;

/// One license. Inside a feature or an explanation `feature` and `vendor` are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct License {
    /// The feature it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Who sells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Its serial number; null: it has none, or the reader may not see it.
    pub sn: Option<String>,
    /// `EXCLUSIVE`, `UPGRADE`, `ADDITIVE`, `TOKEN` or `MAINTENANCE`.
    pub key_type: String,
    /// Seats it grants when it counts; null: unlimited, or a local license without seats.
    pub count: Option<u64>,
    /// It grants without bound.
    #[serde(default)]
    pub unlimited: bool,
    /// MAJOR.MINOR it covers; null: it names none.
    #[serde(default)]
    pub version: Option<String>,
    /// The first day on which it counts, included; null: from when it was loaded.
    pub start: Option<NaiveDate>,
    /// The last day on which it counts, included; null: it never ends.
    pub end: Option<NaiveDate>,
    /// `end` as the first instant at which it no longer counts; null: it never ends.
    #[serde(default)]
    pub ends_at: Option<Instant>,
    /// `in_force`, `waiting` or `not_in_force`.
    pub state: String,
    /// Why it does not count, a word of rules 1, section 5; null: it counts.
    pub reason: Option<String>,
    /// The same as a sentence; of a renewal that counts, what it adds.
    #[serde(default)]
    pub message: Option<String>,
    /// The file it stands in; null: the reader may not see it.
    pub file: Option<String>,
    /// The line it begins at, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// In an explanation: which of its `pools` it counts in, from 0; left out: in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<u32>,
    /// How its maintenance stands; of a renewal the window it adds is in `start` and `covers_until`. Left out where it says
    /// nothing of versions, and of an upgrade, which has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<super::Maintenance>,
    /// MAINTENANCE_END of a renewal: the last release day it covers, included; left out but for a renewal, and where that has no
    /// end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covers_until: Option<NaiveDate>,
    /// What it says beside seats and dates; left out where it says nothing.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub terms: Terms,
    /// Which license replaces it (L52); left out where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<ReplacedBy>,
}

/// The settings of a license that say who may use its seats and how they count. Each is left out where the license does
/// not state it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// SHARE: `HOST`, `USER`, `CUSTOM`, `VIRTUAL` (L60).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<String>,
    /// SOFTLIMIT: seats above this are granted with a notice (L61).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<u64>,
    /// HOLD: seconds that seats stay held when their client has given back its last (L62).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u64>,
    /// MIN_CHECKOUT: seats given back sooner stay held until so many seconds after the checkout (L62).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_checkout_seconds: Option<u64>,
    /// USERBASED: so many seats, or `ALL`, are for users that the policy names (L63).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_based: Option<String>,
    /// HOSTBASED: the same for hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_based: Option<String>,
    /// BORROW: the longest time offline, in hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub borrow_hours: Option<u64>,
    /// Why it lends nothing though it says BORROW (S40).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_lent: Option<String>,
    /// GRACE: hours that a program may go on when no server answers (L65).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_hours: Option<u64>,
    /// PLATFORMS: `os` or `os-arch`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// TIME_ZONES: whole hours from GMT, -12 to 13.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_zones: Vec<i8>,
    /// CLIENT_HOSTID: blocks of `KIND=value`, one of which must match (L13). Left out, too, where the reader may not see
    /// them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_host_ids: Vec<Vec<String>>,
    /// HOSTID_MATCH_RATE, in percent, beside CLIENT_HOSTID blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub match_rate: Option<u8>,
    /// TOKEN_DEPENDENCY: what one token takes, as the license says it (L51).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_dependencies: Vec<TokenDependency>,
    /// RENEWS: the serial number of the license whose maintenance a renewal extends; left out, too, where the reader may not see
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// REPLACES: `FEATURE=name`, `SN=…` or `KEY=…` (L52); the last two are left out where the reader may not see them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
}

impl Terms {
    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        *self == Terms::default()
    }
}

/// One TOKEN_DEPENDENCY of a license.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenDependency {
    /// Which feature, of the same vendor.
    pub feature: String,
    /// MAJOR.MINOR that its license must cover.
    pub version: String,
    /// How many for one token.
    pub count: u64,
}

/// The license that stands in for another (L52).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplacedBy {
    /// The feature it is for.
    pub feature: String,
    /// From that day on, included, for good; null: whatever the day.
    pub from: Option<NaiveDate>,
    /// Its serial number; null: it has none, or the reader may not see it.
    pub sn: Option<String>,
    /// The file it stands in; null: the reader may not see it.
    pub file: Option<String>,
    /// The line it begins at, from 1.
    pub line: Option<u32>,
}

/// The sum of one feature's pools, license by license, and what comes next (L30, L50).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Which feature.
    pub feature: String,
    /// Who sells it.
    pub vendor: String,
    /// The day of the sum.
    pub today: NaiveDate,
    /// base + upgrades: the exclusive pool alone, the others are in `pools`; null when unlimited.
    pub total: Option<u64>,
    /// What the exclusive in force grants; null when unlimited.
    pub base: Option<u64>,
    /// What upgrades add.
    pub upgrades: u64,
    /// There is no bound.
    pub unlimited: bool,
    /// Every pool that grants today, in the order in which a checkout tries them.
    #[serde(default)]
    pub pools: Vec<PoolSum>,
    /// Every license of the feature: those that count first, pool by pool.
    pub licenses: Vec<License>,
    /// The days on which something changes, in order; at most as many as the server likes to look ahead.
    pub changes: Vec<Change>,
}

/// What one pool of a feature grants on a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSum {
    /// `EXCLUSIVE`, `ADDITIVE` or `TOKEN`.
    pub key_type: String,
    /// Serial number of the license whose terms hold for it; null: it has none, or the reader may not see it.
    pub sn: Option<String>,
    /// MAJOR.MINOR that license covers; null: it names none.
    pub version: Option<String>,
    /// Seats; null: unlimited, or a token, which has none of its own.
    pub total: Option<u64>,
    /// The part of `total` that the license itself grants; null as `total`.
    pub base: Option<u64>,
    /// The part of `total` that upgrades add.
    pub upgrades: u64,
    /// There is no bound.
    pub unlimited: bool,
    /// What one token takes in all, through the tokens it depends on, by name and version. Left out but for a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<TokenNeed>,
}

/// What one token takes of one feature, summed over all ways that lead there (L51).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenNeed {
    /// Which feature, of the same vendor.
    pub feature: String,
    /// MAJOR.MINOR that its license must cover.
    pub version: String,
    /// How many for one token.
    pub count: u64,
    /// It is a token itself, and what it takes stands in the list too.
    pub is_token: bool,
    /// A license of it counts today.
    pub is_served: bool,
}

/// What changes on one day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The first day on which it is so.
    pub day: NaiveDate,
    /// The first instant of that day in the server's zone.
    pub at: Instant,
    /// The sum of the exclusive pool from then on; null when unlimited.
    pub total: Option<u64>,
    /// Every pool that grants from then on, in the order in which a checkout tries them.
    #[serde(default)]
    pub pools: Vec<PoolTotal>,
    /// The licenses whose standing differs from the day before.
    pub licenses: Vec<ChangedLicense>,
}

/// What one pool grants from the day of a [`Change`] on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolTotal {
    /// As in [`PoolSum::key_type`].
    pub key_type: String,
    /// As in [`PoolSum::sn`].
    pub sn: Option<String>,
    /// Seats; null: unlimited, or a token, which has none of its own.
    pub total: Option<u64>,
    /// There is no bound.
    pub unlimited: bool,
}

/// A license's standing from the day of a [`Change`] on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChangedLicense {
    /// Which; null: it has no serial number.
    pub sn: Option<String>,
    /// As in [`License::state`].
    pub state: String,
    /// As in [`License::reason`].
    pub reason: Option<String>,
}
