//! What one license says: the typed facts of one signed FEATURE of a file (rules L1 to L13).
//!
//! Nothing here reads XML or checks a signature; `src/licenses` does, and hands over a [`License`] that
//! is either good or carries the [`Refusal`] that says why it does not count. Which of the good ones
//! count on a given day is decided in [`evaluate`](mod@crate::evaluate).
//!
//! - `host_id`: host ids, and how many must match
//! - `terms`: the settings beside count, days and hosts
//! - `refusal`: why one does not count, or lends nothing

mod host_id;
mod refusal;
mod terms;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use self::host_id::{HostIdEntry, HostIdKind, host_ids_needed, is_locked_to_key};
pub use self::refusal::{NotLent, Reason, Refusal};
pub use self::terms::{
    Based, Carried, LicenseType, Maintenance, Patches, Period, Replaces, Special, StartTrigger,
    TokenDependency, Updates,
};

/// The most bytes of a feature or vendor name (L3).
pub const NAME_BYTES_MAX: usize = 64;

/// A feature's or vendor's name: as it was written, and in lower case for comparing (L3).
///
/// Two names are equal when they differ in case only; order follows the lower-case form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Name(Arc<str>);

impl Name {
    /// Accepts 1 to 64 ASCII letters, digits, `_` and `-` (both ends inclusive, L3); `None` for anything else.
    pub fn new(text: &str) -> Option<Name> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        (!text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(good))
            .then(|| Name(Arc::from(text)))
    }

    /// The vendor of an unsigned license that names none.
    pub fn none() -> Name {
        Name(Arc::from(""))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn lower(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Name {}
impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Name) -> core::cmp::Ordering {
        self.lower().cmp(other.lower())
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// KEYTYPE: what kind of grant a license is (rules 1, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyType {
    /// The base of a pool.
    #[default]
    Exclusive,
    /// More seats on top of the exclusive in force, for a while (L30 to L35).
    Upgrade,
    /// A pool of its own beside the exclusive one (L50).
    Additive,
    /// No seats of its own: takes those of what it depends on (L51).
    Token,
    /// A renewal of maintenance (rules 3, 6.9).
    Maintenance,
}

impl KeyType {
    /// As it stands in a license file.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Exclusive => "EXCLUSIVE",
            KeyType::Upgrade => "UPGRADE",
            KeyType::Additive => "ADDITIVE",
            KeyType::Token => "TOKEN",
            KeyType::Maintenance => "MAINTENANCE",
        }
    }
}

/// COUNT: 1 to 2147483647 seats, or UNLIMITED. Unlimited orders above every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Count {
    /// That many seats, 1 to [`Count::MAX`] (both inclusive).
    Limited(u32),
    /// As many as are asked for.
    Unlimited,
}

impl Count {
    /// The largest number of seats a license or a pool can hold (L35).
    pub const MAX: u32 = 2_147_483_647;
}

/// MAJOR.MINOR as a license states it: this version and everything older is owned (rules 3, 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LicenseVersion {
    /// The number before the dot.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl fmt::Display for LicenseVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The SHA-256 of a license's canonical form (L10).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// SHARE: which processes use one seat together (L60). All `false`: no sharing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "four flags of the license language")]
pub struct Share {
    /// Processes on the same host.
    pub host: bool,
    /// Processes of the same user.
    pub user: bool,
    /// Processes that give the same string.
    pub custom: bool,
    /// The server may run in a virtual machine; accepted and shown, never needed (L64).
    pub virtual_machine: bool,
}

impl Share {
    /// Whether processes use a seat together (L60); VIRTUAL alone says nothing of that.
    pub fn is_sharing(self) -> bool {
        self.host || self.user || self.custom
    }
}

/// TIME_ZONES: whole hours from GMT, -12 to 13, as a set of bits (bit 0 is -12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeZones(pub u32);

impl TimeZones {
    /// Adds an hour, -12 to 13 (both inclusive); `false` for one outside.
    pub fn insert(&mut self, hour: i8) -> bool {
        let good = (-12..=13).contains(&hour);
        if good {
            self.0 |= 1 << (hour + 12);
        }
        good
    }

    /// Whether a client that far from GMT is inside: floored to whole hours, +14 counts as 13
    /// (rules 1, section 2). What is farther than +14:59 or -12:00 is outside.
    pub fn contains(self, offset_minutes: i16) -> bool {
        let hour = match offset_minutes.div_euclid(60) {
            14 => 13,
            hour => hour,
        };
        (-12..=13).contains(&hour) && self.0 & (1 << (hour + 12)) != 0
    }

    /// The hours in the set, ascending.
    pub fn hours(self) -> impl Iterator<Item = i8> {
        (-12..=13i8).filter(move |h| self.0 & (1 << (h + 12)) != 0)
    }
}

/// Where a license stands: its file and the position of its FEATURE element.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file's name inside the license directory.
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What a client needs to check a grant by itself (L11): the vendor's signature and what it covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signed {
    /// The canonical form, byte for byte what was signed (L10).
    pub canonical: Box<[u8]>,
    /// `ed25519:KEYID:BASE64` as it stands in KEY.
    pub key: Box<str>,
}

/// One license: the facts of one FEATURE.
#[derive(Clone, Debug, PartialEq)]
pub struct License {
    /// Who sells it; [`Name::none`] where an unsigned one names nobody.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// EXCLUSIVE, UPGRADE and so on.
    pub key_type: KeyType,
    /// `None`: a node-locked license, listed and not served.
    pub count: Option<Count>,
    /// The owned version; `None`: any version runs and none is required (rules 3, amendments).
    pub version: Option<LicenseVersion>,
    /// First day, included. `None`: from the moment it is loaded (L20).
    pub start: Option<NaiveDate>,
    /// Last day, included. `None`: perpetual (L20).
    pub end: Option<NaiveDate>,
    /// Day of issue.
    pub issued: Option<NaiveDate>,
    /// Serial number, unique per license sold.
    pub sn: Option<Arc<str>>,
    /// PERPETUAL, SUBSCRIPTION or EVALUATION.
    pub license_type: LicenseType,
    /// HAL_SERVERS=3 was given (L37).
    pub hal: bool,
    /// SHARE.
    pub share: Share,
    /// PLATFORMS in lower case, `os` or `os-arch`; empty: all.
    pub platforms: Vec<Arc<str>>,
    /// TIME_ZONES; `None`: all.
    pub time_zones: Option<TimeZones>,
    /// CLIENT_HOSTID blocks; empty: any client (L13).
    pub client_host_ids: Vec<Vec<HostIdEntry>>,
    /// HOSTID_MATCH_RATE, 0 to 100 percent (L12).
    pub match_rate: u8,
    /// All other settings.
    pub carried: Carried,
    /// SHA-256 of the canonical form.
    pub fingerprint: Fingerprint,
    /// The signature and what it covers; `None`: unsigned, in a trial (L11).
    pub signed: Option<Arc<Signed>>,
    /// Where it stands.
    pub place: Place,
    /// Why it does not count, whatever the day; `None`: a good license.
    pub refusal: Option<Refusal>,
}

impl License {
    fn special(&self) -> Option<&Special> {
        self.carried.special.as_deref()
    }

    /// HOLD in milliseconds (L62).
    pub fn hold_ms(&self) -> Option<u64> {
        self.special()?.hold_seconds.map(|s| u64::from(s) * 1000)
    }

    /// MIN_CHECKOUT in milliseconds (L62).
    pub fn min_checkout_ms(&self) -> Option<u64> {
        self.special()?.min_checkout_seconds.map(|s| u64::from(s) * 1000)
    }

    /// For how many hours it lends its seats at most (S40).
    ///
    /// # Errors
    /// Why it lends none.
    pub fn lends(&self) -> Result<u32, NotLent> {
        let hours = self.carried.borrow_hours.ok_or(NotLent::NoBorrow)?;
        if self.key_type == KeyType::Token {
            return Err(NotLent::Token);
        }
        if self.signed.is_none() {
            return Err(NotLent::NotSigned);
        }
        if !self.carried.locked_to_key {
            return Err(NotLent::NotLocked);
        }
        Ok(hours)
    }

    /// USERBASED (L63).
    pub fn user_based(&self) -> Option<Based> {
        self.special()?.user_based
    }

    /// HOSTBASED (L63).
    pub fn host_based(&self) -> Option<Based> {
        self.special()?.host_based
    }

    /// REPLACES (L52).
    pub fn replaces(&self) -> Option<&Replaces> {
        self.special()?.replaces.as_ref()
    }

    /// RENEWS: the SN of the license whose maintenance a renewal extends (rules 3, 6.9).
    pub fn renews(&self) -> Option<&str> {
        self.special()?.renews.as_deref()
    }

    /// Its serial number; without one the content is the identity (L36): `#` and the fingerprint in hexadecimal.
    pub fn identity(&self) -> Arc<str> {
        if let Some(sn) = &self.sn {
            return sn.clone();
        }
        let mut text = String::with_capacity(65);
        text.push('#');
        for byte in self.fingerprint.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.into()
    }

    /// Whether its maintenance begins with its first checkout (rules 3, 6.10).
    pub fn starts_at_first_checkout(&self) -> bool {
        let given = self.carried.maintenance.as_deref();
        given.is_some_and(|given| given.trigger == StartTrigger::FirstCheckout)
    }

    /// Whether it may let a version run and have administrators told (rules 3, 6.6): in days of grace, or as its fallback.
    pub fn grants_with_notice(&self) -> bool {
        let given = self.carried.maintenance.as_deref();
        self.has_fallback() || given.is_some_and(|given| given.grace_days > 0)
    }

    /// Whether versions within FALLBACK_VERSION go on working after its END (L31).
    pub fn has_fallback(&self) -> bool {
        let given = self.carried.maintenance.as_deref();
        self.license_type == LicenseType::Subscription
            && given.is_some_and(|given| given.fallback_version.is_some())
    }

    /// TOKEN_DEPENDENCY, in the order of the file (L51); empty but for a token.
    pub fn token_dependencies(&self) -> &[TokenDependency] {
        self.special().map_or(&[], |s| &s.token_dependencies)
    }
}
