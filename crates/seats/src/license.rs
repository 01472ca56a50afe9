//! What one license says: the typed facts of one signed FEATURE of a file (rules L1 to L13).
//!
//! Nothing here reads XML or checks a signature; `src/licenses` does, and hands over a [`License`] that
//! is either good or carries the [`Refusal`] that says why it does not count. Which of the good ones
//! count on a given day is decided in [`evaluate`](mod@crate::evaluate).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;
use core::net::IpAddr;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

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

/// One entry of a host-id block: a type and the value it must have (L12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdEntry {
    /// HOSTNAME, ETHERNET and so on, as written.
    pub kind: HostIdKind,
    /// The value as written.
    pub value: String,
}

/// The kinds of host id (L12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HostIdKind {
    /// Fingerprint of the server's own identity key.
    ServerKey,
    /// `/etc/machine-id`.
    MachineId,
    /// The host's name.
    Hostname,
    /// A network card's address.
    Ethernet,
    /// An IP address.
    IpAddress,
    /// The user's name.
    Username,
    /// Board or product UUID.
    Dmi,
    /// A string set in the configuration, or stated by the client.
    Custom,
}

impl HostIdKind {
    /// Every kind, in the order of the rules.
    pub const ALL: [HostIdKind; 8] = [
        HostIdKind::ServerKey,
        HostIdKind::MachineId,
        HostIdKind::Hostname,
        HostIdKind::Ethernet,
        HostIdKind::IpAddress,
        HostIdKind::Username,
        HostIdKind::Dmi,
        HostIdKind::Custom,
    ];

    /// As it stands in a license file.
    pub fn as_str(self) -> &'static str {
        match self {
            HostIdKind::ServerKey => "SERVERKEY",
            HostIdKind::MachineId => "MACHINEID",
            HostIdKind::Hostname => "HOSTNAME",
            HostIdKind::Ethernet => "ETHERNET",
            HostIdKind::IpAddress => "IPADDRESS",
            HostIdKind::Username => "USERNAME",
            HostIdKind::Dmi => "DMI",
            HostIdKind::Custom => "CUSTOM",
        }
    }
}

impl HostIdKind {
    /// A value as it is compared: the ways to write one address are one address, most names have no case.
    pub fn comparable(self, value: &str) -> String {
        let without = |dropped: &[char]| -> String {
            value.trim().chars().filter(|c| !dropped.contains(c)).map(|c| c.to_ascii_lowercase()).collect()
        };
        match self {
            HostIdKind::Ethernet => without(&[':', '-', '.']),
            HostIdKind::IpAddress => match value.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().to_string(),
                Err(_) => value.into(),
            },
            HostIdKind::MachineId | HostIdKind::Dmi => without(&['-']),
            HostIdKind::ServerKey | HostIdKind::Hostname => without(&[]),
            HostIdKind::Username | HostIdKind::Custom => value.into(),
        }
    }
}

/// How many entries of a host-id block must match: HOSTID_MATCH_RATE percent of them, rounded down (L12), but one where
/// any rate is asked for: 99 percent of a single entry is that entry.
pub fn host_ids_needed(entries: usize, rate: u8) -> usize {
    let needed = entries.saturating_mul(usize::from(rate)) / 100;
    needed.max(usize::from(rate > 0))
}

/// Whether SERVER_HOSTID blocks can be matched only by a server that has the identity key named in them: there are some, and
/// in none of them do the entries of other kinds suffice (L12). Only then its seats may be lent (S40).
pub fn is_locked_to_key(blocks: &[Vec<HostIdEntry>], rate: u8) -> bool {
    let needs_key = |block: &Vec<HostIdEntry>| {
        let others = block.iter().filter(|entry| entry.kind != HostIdKind::ServerKey).count();
        others < block.len() && others < host_ids_needed(block.len(), rate)
    };
    !blocks.is_empty() && blocks.iter().all(needs_key)
}

/// Why a license that serves a feature lends no seats of it (S40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLent {
    /// It has no BORROW.
    NoBorrow,
    /// Another server could serve it too, and lend the same seats again.
    NotLocked,
    /// No vendor has signed it, so no token could prove anything.
    NotSigned,
    /// It has no seats of its own (L51).
    Token,
}

impl NotLent {
    /// The rest of a sentence that begins with the license.
    pub fn as_text(self) -> &'static str {
        match self {
            NotLent::NoBorrow => "has no BORROW: its seats are not lent",
            NotLent::NotLocked => {
                "has BORROW and can be served without this server's key, so a copied server could lend its seats again \
                 and none is lent: every SERVER_HOSTID block must need its SERVERKEY (`seatkeeper hostid`)"
            }
            NotLent::Token => "is a token, and tokens are not lent: what they take is, by its own name",
            NotLent::NotSigned => {
                "has BORROW and no vendor's signature, so no seat can be lent that a client could verify"
            }
        }
    }
}

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

/// What later issues act on: parsed, checked and carried now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// SOFTLIMIT, seats (L61).
    pub soft_limit: Option<u32>,
    /// BORROW, hours (S40).
    pub borrow_hours: Option<u32>,
    /// Whether no server but one with the key that SERVERKEY names can serve it (S40); see
    /// [`is_locked_to_key`].
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
    /// COUNT, 1 to [`Count::MAX`].
    pub count: u32,
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

/// Why a license does not count: the fixed list at the end of rules 1, section 5.
/// Used in status, logs and metrics; never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the documentation: rules 1, section 5")]
pub enum Reason {
    BadXml,
    UnknownSetting,
    BadValue,
    Unsigned,
    BadSignature,
    UnknownVendorKey,
    HostMismatch,
    NotStarted,
    Expired,
    Duplicate,
    Superseded,
    Replaced,
    NoExclusive,
    OutlivesExclusive,
    Unlimited,
    CountOverflow,
    SettingNotAllowed,
    HalMismatch,
    NotANetworkLicense,
    TokenLoop,
    TokenSharing,
    UnknownParent,
    NotSupportedYet,
}

impl Reason {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::BadXml => "bad_xml",
            Reason::UnknownSetting => "unknown_setting",
            Reason::BadValue => "bad_value",
            Reason::Unsigned => "unsigned",
            Reason::BadSignature => "bad_signature",
            Reason::UnknownVendorKey => "unknown_vendor_key",
            Reason::HostMismatch => "host_mismatch",
            Reason::NotStarted => "not_started",
            Reason::Expired => "expired",
            Reason::Duplicate => "duplicate",
            Reason::Superseded => "superseded",
            Reason::Replaced => "replaced",
            Reason::NoExclusive => "no_exclusive",
            Reason::OutlivesExclusive => "outlives_exclusive",
            Reason::Unlimited => "unlimited",
            Reason::CountOverflow => "count_overflow",
            Reason::SettingNotAllowed => "setting_not_allowed",
            Reason::HalMismatch => "hal_mismatch",
            Reason::NotANetworkLicense => "not_a_network_license",
            Reason::TokenLoop => "token_loop",
            Reason::TokenSharing => "token_sharing",
            Reason::UnknownParent => "unknown_parent",
            Reason::NotSupportedYet => "not_supported_yet",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a license does not count, whatever the day: found when it was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which of the fixed list.
    pub reason: Reason,
    /// One sentence for a person: what is wrong and what to do.
    pub message: String,
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
    /// Settings of later issues.
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

impl Based {
    /// How many seats of a pool with that total (L63): ALL follows the total, upgrades included.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Based::Seats(seats) => u64::from(seats).min(total),
            Based::All => total,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn only_what_needs_the_key_in_every_block_is_locked_to_it() {
        let entry = |kind| HostIdEntry { kind, value: "x".into() };
        let block = |kinds: &[HostIdKind]| kinds.iter().map(|kind| entry(*kind)).collect::<Vec<_>>();
        let (key, name, id) = (HostIdKind::ServerKey, HostIdKind::Hostname, HostIdKind::MachineId);
        let cases: [(Vec<Vec<HostIdEntry>>, u8, bool); 11] = [
            (vec![], 100, false),
            (vec![block(&[])], 100, false),
            (vec![block(&[key])], 100, true),
            (vec![block(&[key])], 1, true),
            (vec![block(&[key])], 0, false),
            (vec![block(&[name])], 100, false),
            (vec![block(&[key, name])], 100, true),
            // One of two is enough, and it may be the other one.
            (vec![block(&[key, name])], 99, false),
            (vec![block(&[key, name, id])], 99, false),
            (vec![block(&[key]), block(&[key, name])], 100, true),
            (vec![block(&[key]), block(&[name])], 100, false),
        ];
        for (blocks, rate, is_locked) in cases {
            assert_eq!(is_locked_to_key(&blocks, rate), is_locked, "{blocks:?} at {rate} %");
        }
    }
}
