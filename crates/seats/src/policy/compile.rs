//! The rules of a policy, laid out so that a question costs the same with ten rules and with ten thousand.
//!
//! Rules are put into a bucket for each feature they name. Within a bucket and a kind of rule, each rule stands under
//! the atoms (users, groups, networks, …) of one of the kinds in its `for`: whoever asks is looked up by his own atoms,
//! and a rule found that way is a candidate. What else it demands is then verified.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::atoms::{Asker, Atom, Atoms, Kind, Names, feature_key};
use super::network::{Bits, bits};
use super::{
    Action, Class, Features, GroupId, Members, Named, Network, Reservation, Rule, RuleId, RuleSet, Scope,
};
use crate::request::NameRules;

/// How many places in the index rules may take together, about 32 MB. A rule stands under each of its names for each of
/// its features, so a small file can ask for more than that; the rules that would take the most are then
/// looked at for everybody: slower, and as right.
const PLACES_MAX: usize = 2_000_000;

/// Questions that are answered by looking up rules. In all but the last two the first rule that matches decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Access,
    LimitUser,
    LimitHost,
    LimitGroup,
    LimitProject,
    Borrow,
    Idle,
    FastQueue,
    Book,
    Why,
    /// Which reservations a request matches: all of them.
    Reserved,
    /// Which groups a limit counts together, whoever the limit is for.
    GroupsCounted,
}

impl Question {
    fn of(action: Action) -> Question {
        match action {
            Action::Access(_) => Question::Access,
            Action::Limit(_, scope) => Question::limit(scope),
            Action::Borrow(_) => Question::Borrow,
            Action::Idle(_) => Question::Idle,
            Action::FastQueue => Question::FastQueue,
            Action::Book(_) => Question::Book,
            Action::Why(_) => Question::Why,
            Action::Reserve(_) => Question::Reserved,
        }
    }

    pub(super) fn limit(scope: Scope) -> Question {
        match scope {
            Scope::User => Question::LimitUser,
            Scope::Host => Question::LimitHost,
            Scope::Group => Question::LimitGroup,
            Scope::Project => Question::LimitProject,
        }
    }

    fn is_first_match(self) -> bool {
        self < Question::Reserved
    }
}

/// A rule found under an atom.
#[derive(Clone, Copy, Debug)]
struct Place {
    atom: Atom,
    rule: RuleId,
    /// Whether being that atom is all that the rule demands.
    is_enough: bool,
}

/// The rules of one bucket that answer one question.
#[derive(Debug)]
struct Segment {
    question: Question,
    /// The kinds of atom that rules stand under, a bit each.
    kinds: u8,
    /// In [`Index::places`]: sorted by atom, then rule.
    places: Range<usize>,
}

/// The rules about one feature, of one vendor or of any; or those about all.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Sorted by question.
    segments: Vec<Segment>,
    /// In file order.
    pub(super) reservations: Vec<Reservation>,
    /// The seats of all of them.
    pub(super) reserved: u64,
}

/// What a rule demands, in atoms.
#[derive(Debug, Default)]
struct Demand {
    /// The kinds in its `for`, a bit each.
    kinds: u8,
    /// In [`Index::named`]: the atoms it names itself, sorted.
    named: Range<usize>,
    /// In [`Index::groups`]: its groups, sorted.
    groups: Range<usize>,
    /// In [`Index::spans`]: the addresses it names itself, sorted and apart from each other.
    spans: Range<usize>,
}

/// The compiled rules.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) atoms: Atoms,
    /// By rule.
    demands: Vec<Demand>,
    named: Vec<Atom>,
    /// A group, and its place in the rule's list.
    groups: Vec<(GroupId, usize)>,
    spans: Vec<(Bits, Bits)>,
    /// By group: the bit of its kind.
    group_kinds: Vec<u8>,
    features: Names,
    /// Whether any rule names a vendor.
    names_vendors: bool,
    /// The first is that of `*`; the others by the number of the feature's key, from 1.
    buckets: Vec<Bucket>,
    places: Vec<Place>,
}

/// The kinds of a rule's `for`, with the atoms of each, groups included.
fn kinds_of<'a>(
    index: &'a Index,
    demand: &'a Demand,
) -> impl Iterator<Item = (Kind, impl Iterator<Item = Atom> + Clone + 'a)> + 'a {
    let kinds = [Kind::User, Kind::Host, Kind::Project, Kind::Address];
    kinds.into_iter().filter(|kind| demand.kinds & kind.bit() != 0).map(move |kind| {
        let named = &index.named[demand.named.clone()];
        let named = named.iter().copied().filter(move |atom| atom.kind_bit() == kind.bit());
        let groups = index.groups[demand.groups.clone()].iter().map(|(group, _)| *group);
        let groups = groups.filter(move |group| index.group_kinds[group.0 as usize] == kind.bit());
        (kind, named.chain(groups.map(Atom::group)))
    })
}

impl Index {
    pub(super) fn new(rules: &RuleSet, names: NameRules) -> Index {
        let mut index = Index {
            atoms: Atoms::new(rules, names),
            group_kinds: rules.groups.iter().map(|group| kind_of(&group.members).bit()).collect(),
            buckets: vec![Bucket::default()],
            ..Index::default()
        };
        for rule in &rules.rules {
            let demand = index.demand(rule, names);
            index.demands.push(demand);
        }
        let buckets: Vec<Vec<usize>> = rules.rules.iter().map(|rule| index.buckets_of(rule)).collect();
        for (id, (rule, buckets)) in (0u32..).map(RuleId).zip(rules.rules.iter().zip(&buckets)) {
            if let Action::Reserve(seats) = rule.action {
                let reservation = Reservation { rule: id, seats, named: named(rule, rules) };
                for at in buckets.iter() {
                    index.buckets[*at].reservations.push(reservation);
                    index.buckets[*at].reserved += u64::from(reservation.seats);
                }
            }
        }
        let places = index.choose_places(rules, &buckets);
        index.lay_out(places);
        index
    }

    fn demand(&mut self, rule: &Rule, names: NameRules) -> Demand {
        let who = &rule.who;
        let (named, groups, spans) = (self.named.len(), self.groups.len(), self.spans.len());
        let atoms = self.atoms.of_who(who, names);
        self.named.extend(&atoms);
        self.groups.extend(who.groups.iter().copied().zip(0..));
        self.groups[groups..].sort_unstable();
        self.spans.extend(joined(&who.addresses));
        let of_groups = who.groups.iter().map(|group| self.group_kinds[group.0 as usize]);
        Demand {
            kinds: of_groups.chain(atoms.iter().map(|atom| atom.kind_bit())).fold(0, |all, bit| all | bit),
            named: named..self.named.len(),
            groups: groups..self.groups.len(),
            spans: spans..self.spans.len(),
        }
    }

    /// The buckets a rule belongs into, ascending, each once.
    fn buckets_of(&mut self, rule: &Rule) -> Vec<usize> {
        let Features::Named(features) = &rule.features else { return vec![0] };
        let mut buckets = Vec::with_capacity(features.len());
        for (vendor, feature) in features {
            self.names_vendors |= vendor.is_some();
            let key = feature_key(vendor.as_ref().map(|v| v.as_str()), feature.as_str());
            let at = self.features.insert(key) as usize + 1;
            if at == self.buckets.len() {
                self.buckets.push(Bucket::default());
            }
            buckets.push(at);
        }
        buckets.sort_unstable();
        buckets.dedup();
        buckets
    }

    /// Under which atoms each rule stands: those of the kind in its `for` whose atoms the fewest rules mention.
    fn choose_places(&self, rules: &RuleSet, buckets: &[Vec<usize>]) -> Vec<(usize, Question, Place)> {
        let mentions = self.mentions();
        let mentioned = |atom: Atom| mentions[atom.kind_bit().trailing_zeros() as usize][atom.number()];
        let mut wanted: Vec<(usize, RuleId, Question, Vec<Place>)> = Vec::new();
        for (id, rule) in (0u32..).map(RuleId).zip(&rules.rules) {
            let (demand, question) = (&self.demands[id.0 as usize], Question::of(rule.action));
            let features = buckets[id.0 as usize].len();
            let rarest = kinds_of(self, demand).min_by_key(|(_, atoms)| {
                (atoms.clone().map(mentioned).max().unwrap_or(0), atoms.clone().count())
            });
            let is_one_kind = demand.kinds.count_ones() == 1;
            let places: Vec<Place> = match rarest {
                None => {
                    vec![Place { atom: Atom::ANY, rule: id, is_enough: question != Question::LimitGroup }]
                }
                Some((_, atoms)) => atoms
                    .map(|atom| {
                        // A limit per group is for members of its groups alone.
                        let counts = question != Question::LimitGroup || atom.kind_bit() == Kind::Group.bit();
                        Place { atom, rule: id, is_enough: is_one_kind && counts }
                    })
                    .collect(),
            };
            wanted.push((places.len() * features, id, question, places));
            if question == Question::LimitGroup {
                let groups = self.groups[demand.groups.clone()].iter();
                let places: Vec<Place> = groups
                    .map(|(group, _)| Place { atom: Atom::group(*group), rule: id, is_enough: true })
                    .collect();
                wanted.push((places.len() * features, id, Question::GroupsCounted, places));
            }
        }
        wanted.sort_by_key(|(size, ..)| *size);
        let mut chosen = Vec::new();
        for (size, id, question, places) in wanted {
            let fits = chosen.len() + size <= PLACES_MAX;
            let for_all = [Place { atom: Atom::ANY, rule: id, is_enough: false }];
            for place in if fits { &places[..] } else { &for_all } {
                chosen.extend(buckets[id.0 as usize].iter().map(|at| (*at, question, *place)));
            }
        }
        chosen
    }

    /// For each kind and number, how many rules mention it.
    fn mentions(&self) -> [Vec<u32>; 5] {
        let [users, hosts, networks, projects] = self.atoms.counts().map(|count| vec![0; count]);
        let mut mentions = [users, hosts, networks, projects, vec![0; self.group_kinds.len()]];
        let groups = self.groups.iter().map(|(group, _)| Atom::group(*group));
        for atom in self.named.iter().copied().chain(groups) {
            mentions[atom.kind_bit().trailing_zeros() as usize][atom.number()] += 1;
        }
        mentions
    }

    /// Sorts the places into their buckets, without those that can never decide.
    fn lay_out(&mut self, mut places: Vec<(usize, Question, Place)>) {
        places.sort_unstable_by_key(|(bucket, question, place)| (*bucket, *question, place.atom, place.rule));
        for same in places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (bucket, question, _) = same[0];
            let (start, mut kinds) = (self.places.len(), 0);
            for of_atom in same.chunk_by(|a, b| a.2.atom == b.2.atom) {
                kinds |= of_atom[0].2.atom.kind_bit();
                let enough = of_atom.iter().position(|(.., place)| place.is_enough);
                let last = match enough {
                    // Whoever is that atom stops there, at the latest.
                    Some(at) if question != Question::Reserved => at + 1,
                    _ => of_atom.len(),
                };
                self.places.extend(of_atom[..last].iter().map(|(.., place)| *place));
            }
            let segment = Segment { question, kinds, places: start..self.places.len() };
            self.buckets[bucket].segments.push(segment);
        }
    }

    /// The buckets that hold rules about a feature.
    pub(super) fn buckets(&self, vendor: &str, feature: &str) -> [Option<&Bucket>; 3] {
        let named = |vendor| {
            let number = self.features.find(feature_key(vendor, feature))?;
            self.buckets.get(number as usize + 1)
        };
        let of_vendor = if self.names_vendors { named(Some(vendor)) } else { None };
        [self.buckets.first(), named(None), of_vendor]
    }

    /// Whether a rule is for somebody.
    pub(super) fn is_for(&self, rule: RuleId, class: &Class, asker: &Asker) -> bool {
        let demand = &self.demands[rule.0 as usize];
        let mut met = 0;
        let named = &self.named[demand.named.clone()];
        for atom in asker.names.into_iter().flatten() {
            if demand.kinds & atom.kind_bit() != 0 && named.binary_search(&atom).is_ok() {
                met |= atom.kind_bit();
            }
        }
        let groups = &self.groups[demand.groups.clone()];
        if groups.len() < class.groups.len() {
            for (group, _) in groups.iter().filter(|(group, _)| class.groups.binary_search(group).is_ok()) {
                met |= self.group_kinds[group.0 as usize];
            }
        } else {
            for group in class.groups.iter().filter(|group| position(groups, **group).is_some()) {
                met |= self.group_kinds[group.0 as usize];
            }
        }
        let spans = &self.spans[demand.spans.clone()];
        if let Some(address) = asker.address
            && let Some(at) = spans.partition_point(|(first, _)| *first <= address).checked_sub(1)
            && address <= spans[at].1
        {
            met |= Kind::Address.bit();
        }
        met == demand.kinds
    }

    /// The first group that a rule names and somebody is in.
    pub(super) fn group_of(&self, rule: RuleId, class: &Class) -> Option<GroupId> {
        let groups = &self.groups[self.demands[rule.0 as usize].groups.clone()];
        let at = |group: &GroupId| position(groups, *group).map(|at| (groups[at].1, *group));
        class.groups.iter().filter_map(at).min().map(|(_, group)| group)
    }

    /// The groups of a rule that somebody is in.
    pub(super) fn groups_of<'a>(
        &'a self,
        rule: RuleId,
        class: &'a Class,
    ) -> impl Iterator<Item = GroupId> + 'a {
        let groups = &self.groups[self.demands[rule.0 as usize].groups.clone()];
        class.groups.iter().copied().filter(|group| position(groups, *group).is_some())
    }

    /// What stands under one atom.
    fn under(&self, segment: &Segment, atom: Atom) -> &[Place] {
        if segment.kinds & atom.kind_bit() == 0 {
            return &[];
        }
        let places = &self.places[segment.places.clone()];
        let start = places.partition_point(|place| place.atom < atom);
        let end = start + places[start..].partition_point(|place| place.atom == atom);
        &places[start..end]
    }

    /// Every list of candidates in a bucket, by rule within each.
    fn candidates<'a>(
        &'a self,
        segment: &'a Segment,
        class: &'a Class,
        asker: &'a Asker,
    ) -> impl Iterator<Item = &'a [Place]> {
        let groups = if segment.kinds & Kind::Group.bit() == 0 { &[] } else { &class.groups[..] };
        core::iter::once(Atom::ANY)
            .chain(asker.names.into_iter().flatten())
            .chain(asker.networks.iter().copied())
            .chain(groups.iter().copied().map(Atom::group))
            .map(|atom| self.under(segment, atom))
    }

    /// The first rule that answers a question, from any of the buckets.
    pub(super) fn first(
        &self,
        buckets: &[Option<&Bucket>],
        question: Question,
        class: &Class,
        asker: &Asker,
    ) -> Option<RuleId> {
        debug_assert!(question.is_first_match());
        let mut best: Option<RuleId> = None;
        for segment in buckets.iter().flatten().filter_map(|bucket| bucket.segment(question)) {
            for places in self.candidates(segment, class, asker) {
                for place in places.iter().take_while(|place| best.is_none_or(|best| place.rule < best)) {
                    let is_for = place.is_enough
                        || self.is_for(place.rule, class, asker)
                            && (question != Question::LimitGroup
                                || self.group_of(place.rule, class).is_some());
                    if is_for {
                        best = Some(place.rule);
                        break;
                    }
                }
            }
        }
        best
    }

    /// Every rule found for a question, and whether what it was found under is all that it demands.
    pub(super) fn found<'a>(
        &'a self,
        bucket: &'a Bucket,
        question: Question,
        class: &'a Class,
        asker: &'a Asker,
    ) -> impl Iterator<Item = (RuleId, Option<GroupId>, bool)> {
        let segment = bucket.segment(question).into_iter();
        segment
            .flat_map(move |segment| self.candidates(segment, class, asker))
            .flatten()
            .map(|place| (place.rule, place.atom.as_group(), place.is_enough))
    }
}

impl Bucket {
    fn segment(&self, question: Question) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.question == question)
    }

    pub(super) fn has(&self, question: Question) -> bool {
        self.segment(question).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}

fn position(groups: &[(GroupId, usize)], group: GroupId) -> Option<usize> {
    let at = groups.partition_point(|(of, _)| *of < group);
    groups.get(at).filter(|(of, _)| *of == group).map(|_| at)
}

fn kind_of(members: &Members) -> Kind {
    match members {
        Members::Users(_) => Kind::User,
        Members::Hosts(_) => Kind::Host,
        Members::Addresses(_) => Kind::Address,
        Members::Projects(_) => Kind::Project,
    }
}

pub(super) fn named(rule: &Rule, rules: &RuleSet) -> Named {
    let has = |kind| rule.who.groups.iter().any(|g| kind_of(&rules.groups[g.0 as usize].members) == kind);
    if !rule.who.users.is_empty() || has(Kind::User) {
        Named::Users
    } else if !rule.who.hosts.is_empty() || has(Kind::Host) {
        Named::Hosts
    } else {
        Named::Neither
    }
}

/// The addresses of several networks as spans, first and last included, ascending, none touching another's inside.
fn joined(networks: &[Network]) -> Vec<(Bits, Bits)> {
    let mut spans: Vec<(Bits, Bits)> = networks
        .iter()
        .map(|network| {
            let (family, bits) = bits(network.address);
            let width: u32 = if family == 4 { 32 } else { 128 };
            let free = width - u32::from(network.prefix).min(width);
            let low = 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
            ((family, bits & !low), (family, bits | low))
        })
        .collect();
    spans.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
    // Two networks are either apart or one within the other.
    spans.dedup_by(|later, before| later.1 <= before.1);
    spans
}
