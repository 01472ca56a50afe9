//! What the administrator is answered: a reload, and the ids of the host.

use serde::{Deserialize, Serialize};

use super::Problem;

/// What a reload did: the answer to `seatkeeper reload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// Files read.
    pub files: u64,
    /// Licenses in them, counted or not.
    pub licenses: u64,
    /// The features whose total is another now.
    pub changes: Vec<TotalChange>,
    /// What is wrong with the files.
    pub problems: Vec<Problem>,
}

/// A feature has another total (L22).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TotalChange {
    /// Who sells it.
    pub vendor: String,
    /// Which.
    pub feature: String,
    /// Seats before; null when unlimited.
    pub old_total: Option<u64>,
    /// Seats now; null when unlimited.
    pub new_total: Option<u64>,
    /// What made the difference.
    pub reason: String,
}

/// The server's host ids: the answer to `seatkeeper hostid` (L12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostIds {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// What the server found, ready to be sent to a vendor.
    pub host_ids: Vec<HostId>,
    /// With `--explain FEATURE`: the blocks of its licenses, compared with the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licenses: Option<Vec<HostMatch>>,
}

/// One host id, or why there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostId {
    /// `SERVERKEY`, `MACHINEID`, `HOSTNAME`, `ETHERNET`, `IPADDRESS`, `USERNAME`, `DMI` or `CUSTOM`.
    pub kind: String,
    /// Its value; null: it could not be read.
    pub value: Option<String>,
    /// Why it could not be read and what to do, or a word of warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One license's SERVER_HOSTID blocks against this server: one matching block is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostMatch {
    /// Which license; null: it has no serial number.
    pub sn: Option<String>,
    /// Where it stands.
    pub file: Option<String>,
    /// The line it begins at, from 1.
    pub line: Option<u32>,
    /// Whether this server may serve it. A license without blocks matches every server.
    pub matches: bool,
    /// HOSTID_MATCH_RATE: percent of a block's entries that must match.
    pub match_rate: u32,
    /// Each block's entries.
    pub blocks: Vec<Vec<HostEntry>>,
}

/// One entry of a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostEntry {
    /// As in [`HostId::kind`].
    pub kind: String,
    /// What the license names.
    pub value: String,
    /// Whether this server has it.
    pub matches: bool,
}
