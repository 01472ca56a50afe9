//! The rules of a policy, laid out so that a question costs the same with ten rules and with ten thousand.
//!
//! Each rule stands under the atoms (users, groups, networks, …) of one of the kinds in its `for`, the one that the
//! fewest rules mention, and under an atom it stands by the feature it is about and by its kind. Whoever asks is looked
//! up once for all his questions ([`Index::resolve`]): what stays of him are the few atoms that any rule stands under.
//! A rule found there is a candidate; what else it demands is verified, and only while it could be the first.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::atoms::{Atom, Atoms, Kind, Names, Stand, feature_key};
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
    const COUNT: usize = Question::GroupsCounted as usize + 1;

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

/// A rule found under an atom; ordered as [`Index::places`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    atom: Atom,
    /// Which bucket: what feature it is about.
    bucket: u32,
    question: Question,
    pub(super) rule: RuleId,
    /// Whether being that atom is all that the rule demands.
    pub(super) is_enough: bool,
}

impl Place {
    /// The group whose seats a limit counts together; `None` where the rule stands for everybody.
    pub(super) fn counts(&self) -> Option<Option<GroupId>> {
        (self.question == Question::GroupsCounted).then(|| self.atom.as_group())
    }
}

/// The rules about one feature, of one vendor or of any; or those about all.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Its index among all buckets.
    at: u32,
    /// By question: the kinds of atom that rules stand under, a bit each.
    kinds: [u8; Question::COUNT],
    /// In [`Index::places`]: those for everybody, by question.
    any: Vec<(Question, Range<usize>)>,
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
    /// Sorted; those for everybody are last.
    places: Vec<Place>,
    /// By kind: where its atoms begin in `starts`.
    bases: [usize; 5],
    /// By atom: where its places start; one more at the end.
    starts: Vec<u32>,
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
            let number = self.features.insert(key);
            let at = number as usize + 1;
            if at == self.buckets.len() {
                self.buckets.push(Bucket { at: number + 1, ..Bucket::default() });
            }
            buckets.push(at);
        }
        buckets.sort_unstable();
        buckets.dedup();
        buckets
    }

    /// Under which atoms each rule stands: those of the kind in its `for` whose atoms the fewest rules mention.
    fn choose_places(&self, rules: &RuleSet, buckets: &[Vec<usize>]) -> Vec<Place> {
        let mentions = self.mentions();
        let mentioned = |atom: Atom| mentions[atom.kind_bit().trailing_zeros() as usize][atom.number()];
        let mut wanted: Vec<(usize, Vec<Place>)> = Vec::new();
        for (id, rule) in (0u32..).map(RuleId).zip(&rules.rules) {
            let (demand, question) = (&self.demands[id.0 as usize], Question::of(rule.action));
            let features = buckets[id.0 as usize].len();
            let for_all = Place { atom: Atom::ANY, bucket: 0, question, rule: id, is_enough: false };
            let rarest = kinds_of(self, demand).min_by_key(|(_, atoms)| {
                (atoms.clone().map(mentioned).max().unwrap_or(0), atoms.clone().count())
            });
            let is_one_kind = demand.kinds.count_ones() == 1;
            let places: Vec<Place> = match rarest {
                None => vec![Place { is_enough: question != Question::LimitGroup, ..for_all }],
                Some((_, atoms)) => atoms
                    .map(|atom| {
                        // A limit per group is for members of its groups alone.
                        let counts = question != Question::LimitGroup || atom.kind_bit() == Kind::Group.bit();
                        Place { atom, is_enough: is_one_kind && counts, ..for_all }
                    })
                    .collect(),
            };
            wanted.push((places.len() * features, places));
            if question == Question::LimitGroup {
                let groups = self.groups[demand.groups.clone()].iter();
                let counted = Place { question: Question::GroupsCounted, is_enough: true, ..for_all };
                let places: Vec<Place> =
                    groups.map(|(group, _)| Place { atom: Atom::group(*group), ..counted }).collect();
                wanted.push((places.len() * features, places));
            }
        }
        wanted.sort_by_key(|(size, ..)| *size);
        let mut chosen = Vec::new();
        for (size, places) in wanted {
            let fits = chosen.len() + size <= PLACES_MAX;
            let for_all = places.first().map(|place| Place { atom: Atom::ANY, is_enough: false, ..*place });
            for place in if fits { &places[..] } else { for_all.as_slice() } {
                let of_rule = &buckets[place.rule.0 as usize];
                chosen.extend(of_rule.iter().map(|at| Place {
                    bucket: u32::try_from(*at).expect("fewer than 2^32 features"),
                    ..*place
                }));
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

    /// Sorts the places, drops those that can never decide, and notes where to find the others.
    fn lay_out(&mut self, mut places: Vec<Place>) {
        places.sort_unstable();
        let [users, hosts, networks, projects] = self.atoms.counts();
        let mut sum = 0;
        self.bases = [users, hosts, networks, projects, self.group_kinds.len()].map(|count| {
            sum += count;
            sum - count
        });
        self.starts = vec![0; sum + 1];
        for same in places.chunk_by(|a, b| (a.atom, a.bucket, a.question) == (b.atom, b.bucket, b.question)) {
            let Place { atom, bucket, question, .. } = same[0];
            let last = match same.iter().position(|place| place.is_enough) {
                // Whoever is that atom stops there, at the latest.
                Some(at) if question != Question::Reserved => at + 1,
                _ => same.len(),
            };
            let start = self.places.len();
            self.places.extend(&same[..last]);
            let bucket = &mut self.buckets[bucket as usize];
            bucket.kinds[question as usize] |= atom.kind_bit();
            if atom == Atom::ANY {
                bucket.any.push((question, start..start + last));
            } else {
                let slot = self.slot(atom);
                self.starts[slot + 1] += u32::try_from(last).expect("fewer than 2^32 places");
            }
        }
        for at in 1..self.starts.len() {
            self.starts[at] += self.starts[at - 1];
        }
    }

    fn slot(&self, atom: Atom) -> usize {
        self.bases[atom.kind_bit().trailing_zeros() as usize] + atom.number()
    }

    /// Finds out who somebody is: his groups, and the atoms of his that rules stand under.
    pub(super) fn resolve(&self, class: &mut Class) {
        let Class { groups, asker, .. } = class;
        self.atoms.find(&class.user, &class.host, class.project.as_deref(), class.address, asker);
        let mut stand = |atom| {
            let slot = self.slot(atom);
            if self.starts[slot] < self.starts[slot + 1] {
                asker.stands.push(Stand { atom, first: self.starts[slot], end: self.starts[slot + 1] });
            }
        };
        let networks = asker.address.into_iter().flat_map(|address| self.atoms.at(address));
        for atom in asker.names.into_iter().flatten().chain(networks) {
            groups.extend(self.atoms.groups(atom));
            stand(atom);
        }
        groups.sort_unstable();
        groups.dedup();
        groups.iter().copied().map(Atom::group).for_each(stand);
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
    pub(super) fn is_for(&self, rule: RuleId, class: &Class) -> bool {
        let (demand, asker) = (&self.demands[rule.0 as usize], &class.asker);
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

    /// What stands under one of somebody's atoms about a feature, from a question on.
    fn under<'a>(&'a self, stand: &Stand, bucket: &'a Bucket, question: Question) -> &'a [Place] {
        let places = &self.places[stand.first as usize..stand.end as usize];
        let key = (bucket.at, question);
        &places[places.partition_point(|place| (place.bucket, place.question) < key)..]
    }

    /// What stands in a bucket for everybody.
    fn for_any(&self, bucket: &Bucket, question: Question) -> &[Place] {
        if bucket.kinds[question as usize] & Kind::Any.bit() == 0 {
            return &[];
        }
        let found = bucket.any.iter().find(|(of, _)| *of == question);
        found.map_or(&[], |(_, places)| &self.places[places.clone()])
    }

    /// The first rule that answers a question, from any of the buckets.
    pub(super) fn first(
        &self,
        buckets: &[Option<&Bucket>],
        question: Question,
        class: &Class,
    ) -> Option<RuleId> {
        debug_assert!(question.is_first_match());
        let mut best: Option<RuleId> = None;
        let mut look = |bucket: &Bucket, places: &[Place]| {
            for place in places {
                let is_here = place.bucket == bucket.at && place.question == question;
                if !is_here || best.is_some_and(|best| best <= place.rule) {
                    break;
                }
                let is_for = place.is_enough
                    || self.is_for(place.rule, class)
                        && (question != Question::LimitGroup || self.group_of(place.rule, class).is_some());
                if is_for {
                    best = Some(place.rule);
                    break;
                }
            }
        };
        for bucket in buckets.iter().flatten().filter(|bucket| bucket.has(question)) {
            for stand in bucket.of(class, question) {
                look(bucket, self.under(stand, bucket, question));
            }
            look(bucket, self.for_any(bucket, question));
        }
        best
    }

    /// Every rule found for the two questions that all rules answer.
    pub(super) fn found<'a>(
        &'a self,
        bucket: &'a Bucket,
        class: &'a Class,
    ) -> impl Iterator<Item = &'a Place> {
        // The two are the last.
        let asked = [Question::Reserved, Question::GroupsCounted];
        let kinds = asked.iter().fold(0, |all, question| all | bucket.kinds[*question as usize]);
        let stands = class.asker.stands.iter().filter(move |stand| kinds & stand.atom.kind_bit() != 0);
        let mine = stands.flat_map(|stand| {
            let places = self.under(stand, bucket, Question::Reserved);
            places.iter().take_while(|place| place.bucket == bucket.at)
        });
        mine.chain(asked.into_iter().flat_map(|question| self.for_any(bucket, question)))
    }
}

impl Bucket {
    /// Those atoms of somebody's whose kind any rule of it stands under.
    fn of<'a>(&self, class: &'a Class, question: Question) -> impl Iterator<Item = &'a Stand> + use<'a> {
        let kinds = self.kinds[question as usize];
        class.asker.stands.iter().filter(move |stand| kinds & stand.atom.kind_bit() != 0)
    }

    pub(super) fn has(&self, question: Question) -> bool {
        self.kinds[question as usize] != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds == [0; Question::COUNT]
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
