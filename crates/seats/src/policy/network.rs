//! Ranges of addresses, and finding those that an address is in.

use alloc::vec::Vec;
use core::net::IpAddr;

/// A range of addresses, as `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many leading bits are the network's: 0 to 32 or 128, both inclusive.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is in the range. An IPv4 address written as an IPv6 one counts as the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                (u64::from(network.to_bits()) >> shift) == (u64::from(address.to_bits()) >> shift)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix.min(128))).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// An address to compare with: 4 or 6, then its bits.
pub(super) type Bits = (u8, u128);

/// The bits of an address. An IPv4 address written as an IPv6 one counts as the IPv4 address it is.
pub(super) fn bits(address: IpAddr) -> Bits {
    match address.to_canonical() {
        IpAddr::V4(address) => (4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (6, address.to_bits()),
    }
}

/// The bits that stay when those after the prefix are dropped.
fn masked(family: u8, prefix: u8, bits: u128) -> u128 {
    let width = if family == 4 { 32 } else { 128 };
    let dropped = width - u32::from(prefix).min(width);
    bits.checked_shr(dropped).unwrap_or(0).checked_shl(dropped).unwrap_or(0)
}

/// A network as it is compared: family, prefix, the bits before it.
type Key = (u8, u8, u128);

fn key(network: &Network) -> Key {
    let (family, bits) = bits(network.address);
    let prefix = network.prefix.min(if family == 4 { 32 } else { 128 });
    (family, prefix, masked(family, prefix, bits))
}

/// Networks, each with a number; finding those that hold an address costs a search for each prefix length in use,
/// however many there are.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// Ascending, each once; the number is the index.
    keys: Vec<Key>,
    /// Family and prefix of any of them, each once.
    widths: Vec<(u8, u8)>,
}

impl Networks {
    pub(super) fn new<'a>(networks: impl Iterator<Item = &'a Network>) -> Networks {
        let mut keys: Vec<Key> = networks.map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut widths: Vec<(u8, u8)> = keys.iter().map(|(family, prefix, _)| (*family, *prefix)).collect();
        widths.dedup();
        Networks { keys, widths }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The number of one of those it was made of.
    pub(super) fn number(&self, network: &Network) -> Option<u32> {
        self.keys.binary_search(&key(network)).ok().and_then(|at| u32::try_from(at).ok())
    }

    /// The numbers of all that an address is in.
    pub(super) fn holding(&self, (family, bits): Bits) -> impl Iterator<Item = u32> + '_ {
        self.widths.iter().filter(move |(of, _)| *of == family).filter_map(move |(_, prefix)| {
            let key = (family, *prefix, masked(family, *prefix, bits));
            self.keys.binary_search(&key).ok().and_then(|at| u32::try_from(at).ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_for_the_addresses_it_contains_and_no_others() {
        let texts =
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3/32", "::/0", "fd00::/8", "fd00::1/128"];
        let networks: Vec<Network> = texts
            .iter()
            .map(|text| {
                let (address, prefix) = text.split_once('/').unwrap();
                Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
            })
            .collect();
        let table = Networks::new(networks.iter().chain(&networks));
        assert_eq!(table.len(), networks.len(), "each once");
        for address in
            ["10.1.2.3", "10.1.2.4", "10.1.3.3", "11.0.0.1", "::ffff:10.1.2.3", "::1", "fd00::1", "fd01::1"]
        {
            let address: IpAddr = address.parse().unwrap();
            let mut found: Vec<u32> = table.holding(bits(address)).collect();
            found.sort_unstable();
            let mut wanted: Vec<u32> = networks
                .iter()
                .filter(|network| network.contains(address))
                .map(|network| table.number(network).unwrap())
                .collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{address}");
        }
    }
}
