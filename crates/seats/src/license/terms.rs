//! The settings beside count, days and hosts: maintenance (rules 3, 6.1), loans, hold times, tokens, what it replaces.

use alloc::boxed::Box;
use alloc::vec::Vec;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{LicenseVersion, Name};

/// LICENSE_TYPE (rules 3, 6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LicenseType {
    /// Bought once, never ends unless END says so.
    #[default]
    Perpetual,
    /// Ends with END.
    Subscription,
    /// A trial.
    Evaluation,
}

/// Settings beside what is counted and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// SOFTLIMIT, seats (L61).
    pub soft_limit: Option<u32>,
    /// BORROW, hours (S40).
    pub borrow_hours: Option<u32>,
    /// Whether no server but one with the key that SERVERKEY names can serve it (S40); see
    /// [`is_locked_to_key`](super::is_locked_to_key).
    pub locked_to_key: bool,
    /// GRACE, hours (L65).
    pub grace_hours: Option<u32>,
    /// LICENSEE, DATA, COMMENT, OPTIONS: text for the client, in that order.
    pub texts: [Option<Box<str>>; 4],
    /// MAINTENANCE_END; `Some(NaiveDate::MAX)` is UNLIMITED.
    pub maintenance_end: Option<NaiveDate>,
    /// The other settings of rules 3, 6.1; `None` where the license states none of them.
    pub maintenance: Option<Box<Maintenance>>,
    /// Settings that few licenses state; `None` where it states none of them.
    pub special: Option<Box<Special>>,
}

/// Maintenance and version ceilings, beside MAINTENANCE_END (rules 3, 6.1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// MAINTENANCE_START: from this day, included, maintenance is in force.
    pub start: Option<NaiveDate>,
    /// MAINTENANCE_PERIOD, instead of an end.
    pub period: Option<Period>,
    /// MAINTENANCE_START_TRIGGER.
    pub trigger: StartTrigger,
    /// MAINTENANCE_START_BY: the latest possible start, included.
    pub start_by: Option<NaiveDate>,
    /// MAINTENANCE_UPDATES.
    pub updates: Updates,
    /// MAINTENANCE_PATCHES.
    pub patches: Patches,
    /// MAINTENANCE_GRACE_DAYS, 0 to 90.
    pub grace_days: u8,
    /// MAX_VERSION: 1 to 4 numbers, compared at this precision.
    pub max_version: Option<Vec<u32>>,
    /// FALLBACK_VERSION: 1 to 4 numbers.
    pub fallback_version: Option<Vec<u32>>,
    /// MAINTENANCE_CONTACT: where to renew, at most 200 characters.
    pub contact: Option<Box<str>>,
}

/// An ISO 8601 period of whole days: years and months together, then weeks and days (rules 3, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Years times 12 plus months.
    pub months: u32,
    /// Weeks times 7 plus days.
    pub days: u32,
}

impl core::str::FromStr for Period {
    type Err = ();

    /// `PnYnMnWnD`, date part only, whole numbers, not zero (rules 3, 6.1 and 6.14).
    fn from_str(text: &str) -> Result<Period, ()> {
        let mut rest = text.strip_prefix('P').ok_or(())?;
        let mut period = Period::default();
        let mut units = "YMWD".chars();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0).ok_or(())?;
            let amount: u32 = rest[..digits].parse().map_err(|_| ())?;
            let unit = rest[digits..].chars().next().ok_or(())?;
            // Taking from the iterator keeps the order, and each unit once.
            units.find(|known| *known == unit).ok_or(())?;
            let (total, each) = match unit {
                'Y' => (&mut period.months, 12),
                'M' => (&mut period.months, 1),
                'W' => (&mut period.days, 7),
                _ => (&mut period.days, 1),
            };
            *total = amount.checked_mul(each).and_then(|more| total.checked_add(more)).ok_or(())?;
            rest = &rest[digits + unit.len_utf8()..];
        }
        if period == Period::default() { Err(()) } else { Ok(period) }
    }
}

/// MAINTENANCE_START_TRIGGER: what starts a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StartTrigger {
    /// MAINTENANCE_START, else ISSUED.
    #[default]
    Issue,
    /// The first granted checkout.
    FirstCheckout,
}

/// MAINTENANCE_UPDATES: the highest kind of update included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Updates {
    /// Patches of the owned version only.
    None,
    /// Newer minor versions too.
    Minor,
    /// Every newer version.
    #[default]
    Major,
}

/// MAINTENANCE_PATCHES: which date of a patch counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Patches {
    /// That of its MAJOR.MINOR line.
    #[default]
    Line,
    /// Its own.
    Date,
}

/// Settings that few licenses state: kept apart, so that the many stay small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Special {
    /// HOLD, seconds (L62).
    pub hold_seconds: Option<u32>,
    /// MIN_CHECKOUT, seconds (L62).
    pub min_checkout_seconds: Option<u32>,
    /// USERBASED (L63).
    pub user_based: Option<Based>,
    /// HOSTBASED (L63).
    pub host_based: Option<Based>,
    /// REPLACES (L52).
    pub replaces: Option<Replaces>,
    /// RENEWS: the SN of the license whose maintenance this renews (rules 3, 6.9).
    pub renews: Option<Box<str>>,
    /// TOKEN_DEPENDENCY (L51), in the order of the file.
    pub token_dependencies: Vec<TokenDependency>,
}

/// USERBASED and HOSTBASED: how many seats need a reservation (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Based {
    /// That many, 1 to COUNT.
    Seats(u32),
    /// Every seat of the pool, upgrades included.
    All,
}

/// REPLACES: which earlier licenses this one stands in for (L52).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replaces {
    /// `FEATURE=name`.
    Feature(Name),
    /// `SN=…`.
    Sn(Box<str>),
    /// `KEY=…`.
    Key(Box<str>),
}

/// One TOKEN_DEPENDENCY: what one token takes (L51).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDependency {
    /// FEATURE.
    pub feature: Name,
    /// VERSION.
    pub version: LicenseVersion,
    /// COUNT, 1 to [`Count::MAX`](super::Count::MAX).
    pub count: u32,
}

impl Based {
    /// How many seats of a pool with that total (L63): ALL follows the total, upgrades included.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Based::Seats(seats) => u64::from(seats).min(total),
            Based::All => total,
        }
    }
}
