//! `why`: what would happen to a checkout, and everything that rests on (rules 4).

use serde::{Deserialize, Serialize};

use super::{Denial, Holder, Instant, Limit, Numbers, Place};

/// What a checkout would come to and which rule decides: the answer to `seatkeeper why` (S53).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Which feature.
    pub feature: String,
    /// Who sells it; null: it is not there, or two do.
    pub vendor: Option<String>,
    /// Whom the question is about.
    pub user: String,
    /// Where.
    pub host: String,
    /// Whether a checkout would be granted now.
    pub granted: bool,
    /// The pool it would be granted from, as in [`Pool::id`](super::Pool::id).
    pub pool: Option<String>,
    /// Whether its seats would lie above the soft limit (L61).
    pub soft_limit: bool,
    /// The code of the denial.
    pub code: Option<String>,
    /// The denial as a sentence.
    pub message: Option<String>,
    /// Its details (S4).
    pub details: Option<Denial>,
    /// The rule of the policy that decides: the one that denies, or the one that lets him; null: none does.
    pub rule: Option<Place>,
    /// What the question left open of `host`, `address`, `platform`, `project`, `version`, `release_date`: no rule and no
    /// license that asks for it matches.
    pub not_stated: Vec<String>,
    /// `allow` or `deny`: what the policy says first.
    pub access: String,
    /// The rule that says so; null: no rule does.
    pub access_rule: Option<Place>,
    /// The limits that hold for him.
    pub limits: Vec<Limit>,
    /// Reservations and bookings of the feature.
    pub reservations: Vec<Reservation>,
    /// The feature's pools, in the order in which they are tried.
    pub pools: Vec<WhyPool>,
    /// Who has seats of the first pool, oldest first.
    pub holders: Vec<Holder>,
    /// Seats of the first pool that were given back and are not yet free (L62).
    pub held: Vec<HeldSeats>,
}

/// Seats kept for some (S51, S52).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// The rule that says so; null: a booking.
    pub rule: Option<Place>,
    /// How many seats it says.
    pub seats: u64,
    /// How many of them there can be today.
    pub honored: u64,
    /// In use of them.
    pub used: u64,
    /// Whether they are kept for him.
    pub for_him: bool,
}

/// One pool, for the one asked about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WhyPool {
    /// Its number, as in [`Pool::id`](super::Pool::id).
    pub id: String,
    /// `EXCLUSIVE`, `ADDITIVE` or `TOKEN`.
    pub key_type: String,
    /// The license whose terms hold.
    pub place: Place,
    /// Its seats.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Why it gives him no seat; null: it would.
    pub code: Option<String>,
    /// The same as a sentence.
    pub message: Option<String>,
}

/// Seats that were given back and are not yet free (L62).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldSeats {
    /// Who gave them back: his next checkout has them at once.
    pub user: String,
    /// On which host.
    pub host: String,
    /// How many.
    pub seats: u32,
    /// When they are free.
    pub free_at: Instant,
}
