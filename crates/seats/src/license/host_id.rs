//! Host ids: what a license names, how values compare, and how many must match (L12, L13).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

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
