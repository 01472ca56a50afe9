//! Why not: the codes and the facts of a denial (S4).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use crate::change::{PoolId, PoolKind, SessionId};
use crate::evaluate::Total;
use crate::license::{Name, Place};
use crate::policy::RulePlace;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a denial or of a refused request. Never renamed or reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are the documentation: rules 2, section 1")]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// As it stands on the wire, in JSON and in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Every code, in the order of the rules.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
        }
    };
}

codes! {
    NoSeats = "no_seats",
    NoCoveredSeat = "no_covered_seat",
    ReservedForOthers = "reserved_for_others",
    LimitUser = "limit_user",
    LimitHost = "limit_host",
    LimitGroup = "limit_group",
    LimitProject = "limit_project",
    DeniedByRule = "denied_by_rule",
    NotNamed = "not_named",
    UnknownFeature = "unknown_feature",
    AmbiguousVendor = "ambiguous_vendor",
    NotStarted = "not_started",
    Expired = "expired",
    EvaluationExpired = "evaluation_expired",
    SubscriptionExpired = "subscription_expired",
    VersionNotLicensed = "version_not_licensed",
    VersionAboveMaximum = "version_above_maximum",
    MaintenanceExpired = "maintenance_expired",
    MaintenanceNotStarted = "maintenance_not_started",
    MinorUpdateNotIncluded = "minor_update_not_included",
    MajorUpdateNotIncluded = "major_update_not_included",
    ReleaseVersionRequired = "release_version_required",
    ReleaseVersionInvalid = "release_version_invalid",
    ReleaseDateRequired = "release_date_required",
    ReleaseDateInvalid = "release_date_invalid",
    Platform = "platform",
    TimeZone = "time_zone",
    ClientHostMismatch = "client_host_mismatch",
    BorrowNotAllowed = "borrow_not_allowed",
    BorrowTooLong = "borrow_too_long",
    BorrowLimit = "borrow_limit",
    QueueFull = "queue_full",
    QueueTimeout = "queue_timeout",
    AlreadyRemoved = "already_removed",
    ResumedElsewhere = "resumed_elsewhere",
    UnknownSession = "unknown_session",
    BadRequest = "bad_request",
    NotAuthenticated = "not_authenticated",
    NotPermitted = "not_permitted",
    RateLimited = "rate_limited",
    ClockSuspect = "clock_suspect",
    NotLeader = "not_leader",
    ShuttingDown = "shutting_down",
    Busy = "busy",
    ClientTooOld = "client_too_old",
    ServerTooOld = "server_too_old",
    Internal = "internal",
}

impl core::fmt::Display for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the seats of a pool add up (S6). Seats, never negative, never wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// What the licenses grant today.
    pub total: Total,
    /// active + suspect + borrowed.
    pub used: u64,
    /// The part of `used` whose client is silent or gone.
    pub suspect: u64,
    /// The part of `used` that is lent (S40).
    pub borrowed: u64,
    /// Given back, not yet free.
    pub held: u64,
    /// Kept for others and unused.
    pub reserved: u64,
}

impl Numbers {
    /// `max(0, total - used - held - reserved)`; `None` when unlimited.
    pub fn free(&self) -> Option<u64> {
        let total = u64::from(self.total.limited()?);
        Some(total.saturating_sub(self.used.saturating_add(self.held).saturating_add(self.reserved)))
    }

    /// `max(0, used + held - total)`: a legal state after an expiry (L39).
    pub fn over(&self) -> u64 {
        match self.total.limited() {
            Some(total) => self.used.saturating_add(self.held).saturating_sub(u64::from(total)),
            None => 0,
        }
    }
}

/// When a seat may become free, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The licenses grant more from the first instant of that day.
    Day(NaiveDate),
    /// The seats of a client that is gone may be given away in so many milliseconds (S21).
    SuspectFree(u64),
    /// Held seats are free in so many milliseconds (L62).
    HoldEnds(u64),
    /// An idle seat may be given away in so many milliseconds, if nobody uses it (S50).
    IdleEnds(u64),
    /// Borrowed seats come back at that instant, Unix seconds (S42).
    BorrowEnds(i64),
    /// An administrator's bar ends in so many milliseconds (S25).
    BarEnds(u64),
}

impl Due {
    /// The milliseconds until then; `None`: it is a day, or an instant of the wall clock.
    pub fn in_ms(self) -> Option<u64> {
        match self {
            Due::Day(_) | Due::BorrowEnds(_) => None,
            Due::SuspectFree(ms) | Due::HoldEnds(ms) | Due::IdleEnds(ms) | Due::BarEnds(ms) => Some(ms),
        }
    }
}

/// A rule of the policy, for those who may read it (S84).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFact {
    /// The policy's file.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// What it says, in one line.
    pub text: Box<str>,
}

impl From<&RulePlace> for RuleFact {
    fn from(place: &RulePlace) -> RuleFact {
        RuleFact { file: place.file.clone(), line: place.line, text: place.text.clone() }
    }
}

/// A limit that denied: how many seats it allows, how many are in use, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitFact {
    /// At most so many.
    pub seats: u32,
    /// In use of them.
    pub used: u64,
    /// As `user ann`.
    pub whose: Box<str>,
}

/// How long seats can be lent that were asked for longer (S41).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BorrowFact {
    /// Hours at most; `None`: the day says it.
    pub hours: Option<u32>,
    /// The last day until which they can be lent, included; `None`: the hours say it.
    pub last_day: Option<NaiveDate>,
}

/// Another pool of the feature that gave no seat either, and why (S4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherPool {
    /// Which.
    pub pool: PoolId,
    /// Of which kind.
    pub kind: PoolKind,
    /// Why not.
    pub code: Code,
    /// The same in a sentence.
    pub message: String,
}

/// One who holds seats, for those who may read it (S84).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The session.
    pub session: SessionId,
    /// As stated.
    pub user: Box<str>,
    /// As stated.
    pub host: Box<str>,
    /// Seats.
    pub count: u32,
    /// The instant of its checkout, milliseconds since 1970, as far as it is known.
    pub since_unix_ms: Option<i64>,
}

/// The most holders listed in one denial: what an admin's screen shows at a glance.
pub const HOLDERS_MAX: usize = 10;

/// A refused request: everything needed to act on it (S4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The stable code.
    pub code: Code,
    /// One sentence for a person.
    pub message: String,
    /// What was asked for; `None` where the request was not about a feature.
    pub subject: Option<Subject>,
    /// With `already_removed`: which session.
    pub ended: Option<SessionId>,
    /// With `already_removed`: when its bundle ended, milliseconds since 1970, as far as it is remembered (S23).
    pub ended_unix_ms: Option<i64>,
}

/// The feature a denial is about, and its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Who sells it; `None` where that is what is unclear.
    pub vendor: Option<Name>,
    /// As asked for.
    pub feature: Box<str>,
    /// Seats asked for.
    pub wanted: u64,
    /// Total, used, free; `None` where there is no pool.
    pub numbers: Option<Numbers>,
    /// The license that decided, for those who may read files (S84).
    pub place: Option<Place>,
    /// When the next seat is due.
    pub due: Option<Due>,
    /// Sessions were taken over from a restart and may still come back (S21).
    pub recovering: bool,
    /// Who holds seats; at most [`HOLDERS_MAX`], oldest first.
    pub holders: Vec<Holder>,
    /// The rule of the policy that decided.
    pub rule: Option<RuleFact>,
    /// The limit that denied.
    pub limit: Option<LimitFact>,
    /// With `borrow_too_long`: for how long it could be.
    pub borrow: Option<BorrowFact>,
    /// The token that needs the feature (L51).
    pub needed_by: Option<Box<str>>,
    /// The feature's other pools.
    pub others: Vec<OtherPool>,
    /// How many wait for it who came before (S30); of these some hold the request back.
    pub queued_before_you: u64,
}

impl Denial {
    /// A denial that is not about seats.
    pub fn new(code: Code, message: impl Into<String>) -> Denial {
        Denial { code, message: message.into(), subject: None, ended: None, ended_unix_ms: None }
    }
}
