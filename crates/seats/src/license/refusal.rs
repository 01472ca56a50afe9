//! Why a license does not count, and why it lends nothing: fixed lists and their words.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

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
