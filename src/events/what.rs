//! Every kind of event, and its fields (docs/EVENTS.md, docs/schema/events.json).
//!
//! A published kind keeps its name and the meaning of its fields; fields and kinds are added. What a reader may not see is
//! absent (S84), what has no end or no bound is null.

use std::sync::Arc;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::report::Instant;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: it rises by one within a run of the daemon, and by more over events that were dropped.
    pub seq: u64,
    /// Which run of the daemon: 32 hexadecimal digits, drawn at each start; those of `instance` in the protocol's hello.
    pub run: Arc<str>,
    /// When, by the server's clock, with milliseconds: `2030-06-30T22:00:00.250Z`.
    pub at: Instant,
    /// The same in Unix milliseconds, for those who compute; not in JSON.
    #[serde(skip)]
    pub unix_ms: i64,
    /// What: `kind`, and the fields of that kind.
    #[serde(flatten)]
    pub what: What,
}

/// Events as they are answered: a part of them, or all (`seatkeeper events --json`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// [`SCHEMA`](crate::report::SCHEMA).
    pub schema: u32,
    /// Which run of the daemon, as in [`Event`].
    pub run: Arc<str>,
    /// The number of the last event there is; 0: none yet.
    pub last: u64,
    /// So many came before these and are gone: forgotten, or dropped while the server had more to do than it could hold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// In the order in which they happened.
    pub events: Vec<Event>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum What {
            $($(#[$doc])* #[serde(rename = $text)] $name($name),)*
        }

        impl What {
            /// The name of every kind, in the order of docs/EVENTS.md.
            pub const KINDS: &[&str] = &[$($text),*];

            /// The name of this kind, as JSON has it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(What::$name(_) => $text,)*
                }
            }
        }

        $(impl From<$name> for What {
            fn from(what: $name) -> What {
                What::$name(what)
            }
        })*
    };
}

kinds! {
    /// Seats were taken.
    SessionGranted = "session.granted",
    /// A session ended: all of its seats are back.
    SessionEnded = "session.ended",
    /// Some seats of a session are back, the others stay.
    SessionReduced = "session.reduced",
    /// A checkout got nothing.
    SessionDenied = "session.denied",
    /// A checkout waits for seats.
    QueueWaiting = "queue.waiting",
    /// A checkout waits no longer.
    QueueEnded = "queue.ended",
    /// Lent seats are back; beside their `session.ended`.
    BorrowReturned = "borrow.returned",
    /// An administrator noted that lent seats will not be given back before their time.
    BorrowWrittenOff = "borrow.written_off",
    /// A pool has another total (L22).
    PoolChanged = "pool.changed",
    /// License files were read and something in them is new.
    LicensesReloaded = "licenses.reloaded",
    /// Something is wrong with a license file that was not before.
    LicensesProblem = "licenses.problem",
    /// A new policy is in force.
    PolicyReloaded = "policy.reloaded",
    /// The policy file is bad, and the policy before stays in force.
    PolicyRefused = "policy.refused",
    /// A new day counts for licenses.
    DayServed = "day.served",
    /// The server's clock is doubted, or trusted again (S71).
    ClockChanged = "clock.changed",
    /// An administrator did something.
    AdminAction = "admin.action",
    /// The daemon serves.
    ServerStarted = "server.started",
    /// The daemon stops; sessions are kept.
    ServerStopping = "server.stopping",
    /// Maintenance of a license ends soon.
    MaintenanceExpiringSoon = "maintenance.expiring_soon",
    /// Maintenance of a license has ended.
    MaintenanceEnded = "maintenance.ended",
    /// A renewal of maintenance was loaded.
    MaintenanceRenewed = "maintenance.renewed",
    /// Maintenance of a license has begun.
    MaintenanceStarted = "maintenance.started",
}

/// Somebody at a program. Absent for readers of counts; else user and host are there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// As the program stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// As the program stated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it came from; absent over the admin socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its process, if it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What the work is for, if it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// The program's release, as it stated it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_version: Option<String>,
    /// The day its build was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_date: Option<String>,
}

/// Seats of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seats {
    /// The session, as `seatkeeper sessions` shows it.
    pub session: String,
    /// The bundle it is in: all sessions of one checkout.
    pub bundle: String,
    /// Who sells it.
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// Which kind of pool its seats are from: `EXCLUSIVE`, `ADDITIVE` or `TOKEN`.
    pub key_type: String,
    /// Of an additive pool: the serial number of its license. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sn: Option<String>,
    /// How many seats the event is about.
    pub seats: u32,
    /// The token session they were taken for (L51).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether they are lent (S40).
    pub borrow: bool,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub release: Release,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub who: Who,
}

/// `session.granted`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionGranted {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub of: Seats,
    /// With `borrow`: when they come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Instant>,
    /// The place in the queue they were waited for in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiter: Option<String>,
    /// They lie above the soft limit (L61).
    pub above_soft_limit: bool,
}

/// `session.ended`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionEnded {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub of: Seats,
    /// `checked_in`, `lease_ended`, `released`, `reclaimed`, `idle`, `unconfirmed`, `borrow_ended`.
    pub cause: String,
    /// When they were taken, as far as that is known.
    pub since: Option<Instant>,
    /// For how many milliseconds they were held.
    pub held_ms: u64,
    /// With `released`: who did it. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// With `released`: the reason given. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `session.reduced`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionReduced {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub of: Seats,
    /// How many seats it still has.
    pub remaining: u32,
    /// When they were taken, as far as that is known.
    pub since: Option<Instant>,
    /// For how many milliseconds the seats that are back were held.
    pub held_ms: u64,
}

/// How the seats of a pool added up (S6).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// What the licenses grant; null: no bound.
    pub total: Option<u64>,
    /// In use.
    pub used: u64,
    /// Free; null: no bound.
    pub free: Option<u64>,
    /// Given back, not yet free.
    pub held: u64,
    /// Kept for others and unused.
    pub reserved: u64,
}

/// `session.denied`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionDenied {
    /// Why: a code of docs/PROTOCOL.md, section 11.
    pub code: String,
    /// The same in a sentence. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who sells it, where that is clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// As it was asked for: what a client writes here is not checked.
    pub feature: String,
    /// Seats asked for.
    pub wanted: u64,
    /// It wanted them offline.
    pub borrow: bool,
    /// The numbers of the pool that decided, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub release: Release,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub who: Who,
}

/// A feature that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Who sells it, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// As it was asked for.
    pub feature: String,
    /// How many seats.
    pub seats: u32,
}

/// `queue.waiting`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueWaiting {
    /// Its place, as `seatkeeper queue` shows it.
    pub waiter: String,
    /// What it waits for, all of it or nothing.
    pub features: Vec<Wanted>,
    /// For how many milliseconds it waits at most.
    pub waits_ms: u64,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub release: Release,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub who: Who,
}

/// `queue.ended`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueEnded {
    /// Its place.
    pub waiter: String,
    /// What it waited for.
    pub features: Vec<Wanted>,
    /// `served`, `timed_out`, `given_up`, `lost` (its client was gone for too long) or `released` (by an administrator).
    pub cause: String,
    /// For how many milliseconds it waited while the server ran.
    pub waited_ms: u64,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub release: Release,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub who: Who,
}

/// `borrow.returned`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BorrowReturned {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub of: Seats,
    /// As in `session.ended`.
    pub cause: String,
    /// When they would have come back by themselves.
    pub until: Instant,
    /// It had been written off before.
    pub written_off: bool,
}

/// `borrow.written_off`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BorrowWrittenOff {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its own words")]
    pub of: Seats,
    /// When they come back all the same.
    pub until: Option<Instant>,
    /// Who noted it. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason given. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `pool.changed`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolChanged {
    /// Who sells it.
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// As in `session.granted`.
    pub key_type: String,
    /// As in `session.granted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sn: Option<String>,
    /// Seats until now; null: no bound.
    pub old_total: Option<u32>,
    /// Seats from now on; null: no bound.
    pub new_total: Option<u32>,
    /// Which license came or went. It names serial numbers: absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `licenses.reloaded`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LicensesReloaded {
    /// Files with licenses.
    pub files: u64,
    /// Licenses in them, counted or not.
    pub licenses: u64,
    /// Problems of license files and policy, as `seatkeeper status` lists them.
    pub problems: u64,
}

/// `licenses.problem`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LicensesProblem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// Of which feature.
    pub feature: Option<String>,
    /// Of which license.
    pub sn: Option<String>,
    /// What: a word of docs/LICENSES.md.
    pub reason: String,
    /// The same in a sentence.
    pub message: String,
}

/// `policy.reloaded`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyReloaded {
    /// Its rules.
    pub rules: u64,
    /// Its groups.
    pub groups: u64,
}

/// `policy.refused`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyRefused {
    /// How many errors it has.
    pub errors: u64,
    /// The first of them. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `day.served`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayServed {
    /// The day.
    pub day: NaiveDate,
}

/// `clock.changed`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockChanged {
    /// What it was worth: `ok`, `provisional` or `suspect`.
    pub before: String,
    /// What it is worth now.
    pub clock: String,
    /// The day it shows.
    pub shows: NaiveDate,
    /// The day that counts for licenses.
    pub day: NaiveDate,
}

/// `admin.action`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdminAction {
    /// `release`, `write_off`, `book`, `unbook`, `reload` or `shutdown`.
    pub action: String,
    /// Who, by what the kernel says of the process on the admin socket, or of the one that sent the signal.
    pub by: String,
    /// The session, the borrow or the place in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The features, with seats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Wanted>,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `server.started`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStarted {
    /// The server's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The zone whose days count.
    pub time_zone: String,
    /// Sessions that were taken over from before.
    pub sessions: u64,
}

/// `server.stopping`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStopping {
    /// Who asked for it. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What all events about maintenance say (rules 3, 6.11).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Who sells it.
    pub vendor: String,
    /// What it allows.
    pub feature: String,
    /// `maintenance`, or `license`: its own END (of a subscription, of an upgrade).
    pub of: String,
    /// Seats of the license, or of its pool; null: no bound.
    pub seats: Option<u32>,
    /// The serial number of the license. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sn: Option<String>,
    /// The last day, included; null: none.
    pub end: Option<NaiveDate>,
    /// `end` minus today, in days; null without an end.
    pub days_left: Option<i64>,
    /// Whom to ask for a renewal, as the license says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The same in a sentence for a person. Absent for readers of counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

macro_rules! maintenance {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub Maintenance);
        )*
    };
}

maintenance! {
    /// `maintenance.expiring_soon`
    MaintenanceExpiringSoon,
    /// `maintenance.ended`
    MaintenanceEnded,
    /// `maintenance.renewed`
    MaintenanceRenewed,
    /// `maintenance.started`
    MaintenanceStarted,
}

impl What {
    /// The features it is about, each with its vendor where that is clear; none: it is about the server.
    pub fn features(&self) -> Vec<(Option<&str>, &str)> {
        fn one<'a>(vendor: &'a str, feature: &'a str) -> Vec<(Option<&'a str>, &'a str)> {
            Vec::from([(Some(vendor), feature)])
        }
        fn each(features: &[Wanted]) -> Vec<(Option<&str>, &str)> {
            features.iter().map(|wanted| (wanted.vendor.as_deref(), wanted.feature.as_str())).collect()
        }
        match self {
            What::SessionGranted(SessionGranted { of, .. })
            | What::SessionEnded(SessionEnded { of, .. })
            | What::SessionReduced(SessionReduced { of, .. })
            | What::BorrowReturned(BorrowReturned { of, .. })
            | What::BorrowWrittenOff(BorrowWrittenOff { of, .. }) => one(&of.vendor, &of.feature),
            What::SessionDenied(denied) => Vec::from([(denied.vendor.as_deref(), denied.feature.as_str())]),
            What::QueueWaiting(QueueWaiting { features, .. })
            | What::QueueEnded(QueueEnded { features, .. })
            | What::AdminAction(AdminAction { features, .. }) => each(features),
            What::PoolChanged(pool) => one(&pool.vendor, &pool.feature),
            What::LicensesProblem(problem) => {
                problem.feature.as_deref().map(|feature| (None, feature)).into_iter().collect()
            }
            What::MaintenanceExpiringSoon(MaintenanceExpiringSoon(of))
            | What::MaintenanceEnded(MaintenanceEnded(of))
            | What::MaintenanceRenewed(MaintenanceRenewed(of))
            | What::MaintenanceStarted(MaintenanceStarted(of)) => one(&of.vendor, &of.feature),
            What::LicensesReloaded(_)
            | What::PolicyReloaded(_)
            | What::PolicyRefused(_)
            | What::DayServed(_)
            | What::ClockChanged(_)
            | What::ServerStarted(_)
            | What::ServerStopping(_) => Vec::new(),
        }
    }

    /// Whether it is about this feature, without case; a vendor that is named must be the same where the event knows it.
    pub fn is_about(&self, vendor: Option<&str>, feature: &str) -> bool {
        let same = |(of, name): &(Option<&str>, &str)| {
            let is_vendor = |(wanted, is): (&str, &str)| wanted.eq_ignore_ascii_case(is);
            name.eq_ignore_ascii_case(feature) && vendor.zip(*of).is_none_or(is_vendor)
        };
        self.features().iter().any(same)
    }
}
