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

/// Networks of one family, each with a number. Two of them are either apart or one within the other, so the one that
/// begins last before an address tells all that hold it: itself or some that it lies in.
#[derive(Debug, Default)]
struct Nested<B> {
    /// The lowest address of each, ascending; of equals the widest network first. The number is the index.
    lowest: Vec<B>,
    /// The prefix of each, and the one that it lies directly in.
    rest: Vec<(u8, Option<u32>)>,
}

impl<B: Copy + Ord + Into<u128>> Nested<B> {
    /// `networks`: lowest address and prefix.
    fn new(family: u8, mut networks: Vec<(B, u8)>) -> Nested<B> {
        networks.sort_unstable();
        networks.dedup();
        let mut nested =
            Nested { lowest: networks.iter().map(|(lowest, _)| *lowest).collect(), rest: Vec::new() };
        let mut within = None;
        for (number, (lowest, prefix)) in (0u32..).zip(&networks) {
            while let Some(outer) = within
                && !nested.holds(family, outer, (*lowest).into())
            {
                within = nested.rest[outer as usize].1;
            }
            nested.rest.push((*prefix, within));
            within = Some(number);
        }
        nested
    }

    fn holds(&self, family: u8, number: u32, address: u128) -> bool {
        let (lowest, (prefix, _)) = (self.lowest[number as usize], self.rest[number as usize]);
        masked(family, prefix, address) == lowest.into()
    }

    fn number(&self, lowest: B, prefix: u8) -> Option<u32> {
        let start = self.lowest.partition_point(|of| *of < lowest);
        let same = self.lowest[start..].iter().take_while(|of| **of == lowest).count();
        let at = (start..start + same).find(|at| self.rest[*at].0 == prefix)?;
        u32::try_from(at).ok()
    }

    /// All that hold an address, the narrowest first.
    fn holding(&self, family: u8, address: B) -> impl Iterator<Item = u32> + '_ {
        let last = self.lowest.partition_point(|lowest| *lowest <= address).checked_sub(1);
        let outward = |number: &u32| self.rest[*number as usize].1;
        let all = core::iter::successors(last.and_then(|at| u32::try_from(at).ok()), outward);
        all.skip_while(move |number| !self.holds(family, *number, address.into()))
    }
}

/// Networks, each with a number. Finding those that hold an address costs one search, and a step for each that is found
/// or lies about another near it.
#[derive(Debug, Default)]
pub(super) struct Networks {
    v4: Nested<u32>,
    /// Their numbers come after those of the others.
    v6: Nested<u128>,
}

/// A network as it is compared: family, the bits before its prefix, prefix.
fn key(network: &Network) -> (u8, u128, u8) {
    let (family, bits) = bits(network.address);
    let prefix = network.prefix.min(if family == 4 { 32 } else { 128 });
    (family, masked(family, prefix, bits), prefix)
}

impl Networks {
    pub(super) fn new<'a>(networks: impl Iterator<Item = &'a Network>) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (family, bits, prefix) in networks.map(key) {
            match u32::try_from(bits) {
                Ok(bits) if family == 4 => v4.push((bits, prefix)),
                _ => v6.push((bits, prefix)),
            }
        }
        Networks { v4: Nested::new(4, v4), v6: Nested::new(6, v6) }
    }

    pub(super) fn len(&self) -> usize {
        self.v4.lowest.len() + self.v6.lowest.len()
    }

    /// The first number of an IPv6 network.
    fn first_v6(&self) -> u32 {
        u32::try_from(self.v4.lowest.len()).expect("fewer than 2^32 networks")
    }

    /// The number of one of those it was made of.
    pub(super) fn number(&self, network: &Network) -> Option<u32> {
        match key(network) {
            (4, bits, prefix) => self.v4.number(u32::try_from(bits).ok()?, prefix),
            (_, bits, prefix) => Some(self.first_v6() + self.v6.number(bits, prefix)?),
        }
    }

    /// The numbers of all that an address is in.
    pub(super) fn holding(&self, (family, bits): Bits) -> impl Iterator<Item = u32> + '_ {
        let v4 = u32::try_from(bits).ok().filter(|_| family == 4);
        let v6 = Some(bits).filter(|_| family == 6);
        let of_v4 = v4.into_iter().flat_map(|bits| self.v4.holding(4, bits));
        let of_v6 = v6.into_iter().flat_map(|bits| self.v6.holding(6, bits));
        of_v4.chain(of_v6.map(|number| self.first_v6() + number))
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
