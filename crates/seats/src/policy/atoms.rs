//! The names, networks and groups that a policy mentions, each with a number, so that rules are found by number.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::network::{Bits, Networks, bits};
use super::{GroupId, Members, RuleSet, Who};
use crate::request::NameRules;

/// What an atom is; the first four are also the kinds of a rule's `for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Host,
    Address,
    Project,
    Group,
    /// Everybody: the rules that are looked at for every request.
    Any,
}

impl Kind {
    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Something that a request is or is not: the kind in the upper three bits, the number within it in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Atom(u32);

/// How many bits of an [`Atom`] are the number. 500 million names do not fit in a file that is read.
const NUMBER_BITS: u32 = 29;

impl Atom {
    pub(super) const ANY: Atom = Atom((Kind::Any as u32) << NUMBER_BITS);

    fn new(kind: Kind, number: u32) -> Atom {
        assert!(number < 1 << NUMBER_BITS, "a policy with more than 2^29 names");
        Atom((kind as u32) << NUMBER_BITS | number)
    }

    pub(super) fn group(id: GroupId) -> Atom {
        Atom::new(Kind::Group, id.0)
    }

    pub(super) fn number(self) -> usize {
        (self.0 & ((1 << NUMBER_BITS) - 1)) as usize
    }

    pub(super) fn kind_bit(self) -> u8 {
        1 << (self.0 >> NUMBER_BITS)
    }

    /// The group that it is.
    pub(super) fn as_group(self) -> Option<GroupId> {
        (self.kind_bit() == Kind::Group.bit()).then_some(GroupId(self.0 & ((1 << NUMBER_BITS) - 1)))
    }
}

/// Text, each once and with a number. Open addressing: what stands in the table comes from the policy alone, so
/// nobody outside can make names collide.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    /// Where each name ends in `text`.
    ends: Vec<usize>,
    /// A power of two, at most half full.
    slots: Vec<Slot>,
}

/// One place of the table.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Number + 1; 0 is free.
    taken: u32,
    /// The upper half of the hash: another name is passed by without a look at its text, which is far away.
    mark: u32,
}

impl Names {
    /// Names with room for so many.
    fn with_room(names: usize) -> Names {
        let size = if names == 0 { 0 } else { (names * 2 + 2).next_power_of_two().max(16) };
        Names { slots: vec![Slot::default(); size], ends: Vec::with_capacity(names), ..Names::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[number]]
    }

    /// The slot that holds the name, or the free one where it belongs.
    fn slot(&self, hash: u64, name: impl Iterator<Item = u8> + Clone) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            let is_it = slot.taken == 0
                || slot.mark == mark(hash)
                    && self.get(slot.taken as usize - 1).iter().copied().eq(name.clone());
            if is_it {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    pub(super) fn find(&self, name: impl Iterator<Item = u8> + Clone) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(hash(name.clone()), name)].taken.checked_sub(1)
    }

    pub(super) fn insert(&mut self, name: impl Iterator<Item = u8> + Clone) -> u32 {
        if self.slots.len() <= self.ends.len() * 2 {
            self.grow();
        }
        let hash = hash(name.clone());
        let slot = self.slot(hash, name.clone());
        if let Some(number) = self.slots[slot].taken.checked_sub(1) {
            return number;
        }
        self.text.extend(name);
        self.ends.push(self.text.len());
        let taken = u32::try_from(self.ends.len()).expect("fewer than 2^32 names");
        self.slots[slot] = Slot { taken, mark: mark(hash) };
        taken - 1
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 4).max(16);
        self.slots = vec![Slot::default(); size];
        for number in 0..self.ends.len() {
            let name = || self.get(number).iter().copied();
            let hash = hash(name());
            let slot = self.slot(hash, name());
            let taken = u32::try_from(number + 1).expect("fewer than 2^32 names");
            self.slots[slot] = Slot { taken, mark: mark(hash) };
        }
    }
}

/// FNV-1a, its upper half folded into the lower: the table takes the lowest bits.
fn hash(name: impl Iterator<Item = u8>) -> u64 {
    let hash = name.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

/// What a slot keeps of a hash.
fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// For each number of a kind the groups it is in.
#[derive(Debug, Default)]
struct Memberships {
    /// Where the groups of a number start; one more at the end.
    starts: Vec<usize>,
    groups: Vec<GroupId>,
}

impl Memberships {
    fn new(numbers: usize, pairs: &[(u32, GroupId)]) -> Memberships {
        let mut starts = vec![0; numbers + 1];
        for (number, _) in pairs {
            starts[*number as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut groups = vec![GroupId(0); pairs.len()];
        for (number, group) in pairs {
            groups[next[*number as usize]] = *group;
            next[*number as usize] += 1;
        }
        Memberships { starts, groups }
    }

    fn of(&self, number: usize) -> &[GroupId] {
        match self.starts.get(number..number + 2) {
            Some(&[start, end]) => &self.groups[start..end],
            _ => &[],
        }
    }
}

/// Every name and network of a policy, and who is in which group.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    users: Names,
    hosts: Names,
    projects: Names,
    networks: Networks,
    /// By [`Kind`]: users, hosts, addresses, projects.
    memberships: [Memberships; 4],
}

/// Whom a request is from, in atoms of one policy: looked up once for all that is asked about him.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asker {
    /// Those of the three names that any rule or group mentions.
    pub(super) names: [Option<Atom>; 3],
    pub(super) address: Option<Bits>,
    /// Those of all his atoms that rules stand under, and where these are.
    pub(super) stands: Stands,
}

/// A list that needs no memory of its own while it is short, as nearly all are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stands {
    few: [Option<Stand>; 3],
    more: Vec<Stand>,
}

impl Stands {
    pub(super) fn push(&mut self, stand: Stand) {
        match self.few.iter_mut().find(|free| free.is_none()) {
            Some(free) => *free = Some(stand),
            None => self.more.push(stand),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stand> {
        self.few.iter().map_while(Option::as_ref).chain(&self.more)
    }
}

/// An atom that rules stand under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) atom: Atom,
    /// The first place.
    pub(super) first: u32,
    /// The place after the last.
    pub(super) end: u32,
}

impl Atoms {
    /// Numbers everything that the groups mention; what the rules mention is added by [`Atoms::of_who`].
    pub(super) fn new(rules: &RuleSet, names: NameRules) -> Atoms {
        let of_groups = rules.groups.iter().filter_map(|group| match &group.members {
            Members::Addresses(networks) => Some(networks),
            _ => None,
        });
        let networks =
            Networks::new(of_groups.chain(rules.rules.iter().map(|rule| &rule.who.addresses)).flatten());
        let room = room(rules);
        let [users, hosts, projects] = room.map(Names::with_room);
        let mut atoms = Atoms { users, hosts, projects, networks, ..Atoms::default() };
        let mut pairs: [Vec<(u32, GroupId)>; 4] = Default::default();
        for (kind, room) in [Kind::User, Kind::Host, Kind::Project].into_iter().zip(room) {
            pairs[kind as usize].reserve(room);
        }
        for (id, group) in (0u32..).map(GroupId).zip(&rules.groups) {
            match &group.members {
                Members::Users(users) => {
                    let numbers = users.iter().map(|u| atoms.users.insert(folded_user(names, u).bytes()));
                    pairs[Kind::User as usize].extend(numbers.map(|n| (n, id)));
                }
                Members::Hosts(hosts) => {
                    let numbers = hosts.iter().map(|h| atoms.hosts.insert(folded_host(names, h).bytes()));
                    pairs[Kind::Host as usize].extend(numbers.map(|n| (n, id)));
                }
                Members::Addresses(networks) => {
                    let numbers = networks.iter().filter_map(|n| atoms.networks.number(n));
                    pairs[Kind::Address as usize].extend(numbers.map(|n| (n, id)));
                }
                Members::Projects(projects) => {
                    let numbers = projects.iter().map(|p| atoms.projects.insert(p.bytes()));
                    pairs[Kind::Project as usize].extend(numbers.map(|n| (n, id)));
                }
            }
        }
        let numbers = [atoms.users.len(), atoms.hosts.len(), atoms.networks.len(), atoms.projects.len()];
        for (kind, memberships) in atoms.memberships.iter_mut().enumerate() {
            *memberships = Memberships::new(numbers[kind], &pairs[kind]);
        }
        atoms
    }

    /// The atoms that a rule names itself, groups left out.
    pub(super) fn of_who(&mut self, who: &Who, names: NameRules) -> Vec<Atom> {
        let mut atoms = Vec::with_capacity(who.users.len() + who.hosts.len() + who.projects.len());
        for user in &who.users {
            atoms.push(Atom::new(Kind::User, self.users.insert(folded_user(names, user).bytes())));
        }
        for host in &who.hosts {
            atoms.push(Atom::new(Kind::Host, self.hosts.insert(folded_host(names, host).bytes())));
        }
        for project in &who.projects {
            atoms.push(Atom::new(Kind::Project, self.projects.insert(project.bytes())));
        }
        let networks = who.addresses.iter().filter_map(|network| self.networks.number(network));
        atoms.extend(networks.map(|number| Atom::new(Kind::Address, number)));
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// Looks up names that are folded already, and notes them.
    pub(super) fn find(
        &self,
        user: &str,
        host: &str,
        project: Option<&str>,
        address: Option<IpAddr>,
        asker: &mut Asker,
    ) {
        let find =
            |kind, names: &Names, name: &str| names.find(name.bytes()).map(|number| Atom::new(kind, number));
        asker.address = address.map(bits);
        asker.names = [
            find(Kind::User, &self.users, user),
            find(Kind::Host, &self.hosts, host),
            project.and_then(|project| find(Kind::Project, &self.projects, project)),
        ];
    }

    /// The networks that an address is in.
    pub(super) fn at(&self, address: Bits) -> impl Iterator<Item = Atom> + '_ {
        self.networks.holding(address).map(|number| Atom::new(Kind::Address, number))
    }

    /// The groups that an atom is in, ascending.
    pub(super) fn groups(&self, atom: Atom) -> &[GroupId] {
        let of_kind = self.memberships.get(atom.kind_bit().trailing_zeros() as usize);
        of_kind.map_or(&[], |of_kind| of_kind.of(atom.number()))
    }

    /// How many numbers each kind has, groups left out.
    pub(super) fn counts(&self) -> [usize; 4] {
        [self.users.len(), self.hosts.len(), self.networks.len(), self.projects.len()]
    }
}

/// How many users, hosts and projects a policy names, those named several times counted as often.
fn room(rules: &RuleSet) -> [usize; 3] {
    let mut room = [0; 3];
    for group in &rules.groups {
        match &group.members {
            Members::Users(users) => room[0] += users.len(),
            Members::Hosts(hosts) => room[1] += hosts.len(),
            Members::Projects(projects) => room[2] += projects.len(),
            Members::Addresses(_) => {}
        }
    }
    for who in rules.rules.iter().map(|rule| &rule.who) {
        for (room, names) in room.iter_mut().zip([&who.users, &who.hosts, &who.projects]) {
            *room += names.len();
        }
    }
    room
}

/// A user as S1 compares them. Most are written as they are compared, and are not copied.
pub(super) fn folded_user(names: NameRules, name: &str) -> Cow<'_, str> {
    if is_folded(name) { Cow::Borrowed(name) } else { Cow::Owned(names.fold_user(name)) }
}

/// A host, likewise.
pub(super) fn folded_host(names: NameRules, name: &str) -> Cow<'_, str> {
    if is_folded(name) { Cow::Borrowed(name) } else { Cow::Owned(names.fold_host(name)) }
}

/// Whether folding would leave a name as it is; `false` where that is not plain.
fn is_folded(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The key of a feature in a table of [`Names`]: no name holds a zero byte. Without a vendor: that of any vendor.
pub(super) fn feature_key<'a>(
    vendor: Option<&'a str>,
    feature: &'a str,
) -> impl Iterator<Item = u8> + Clone + 'a {
    let vendor = vendor.into_iter().flat_map(|vendor| core::iter::once(0).chain(vendor.bytes()));
    feature.bytes().chain(vendor).map(|b| b.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_folded_folding_leaves_as_it_is() {
        let letters: Vec<char> =
            (0..=0x7f_u8).map(char::from).filter(|c| is_folded(c.encode_utf8(&mut [0; 4]))).collect();
        assert_eq!(letters.len(), 26 + 10 + 2);
        let name: alloc::string::String = letters.iter().collect();
        for fqdn in [false, true] {
            let names = NameRules { fqdn };
            assert_eq!(names.fold_user(&name), name);
            assert_eq!(names.fold_host(&name), name);
        }
    }
}
