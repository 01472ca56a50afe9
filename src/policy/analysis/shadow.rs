//! Rules that never decide, because earlier ones of the same kind are for the same or more.
//!
//! Found is what one earlier rule hides, several that are for everyone, or several narrower ones that decide for each of
//! the users, hosts or projects that it names, one for this and one for that. What is hidden only by rules that divide
//! addresses, features or two kinds of names among them is not found.

use std::collections::{BTreeMap, HashMap};

use seats::license::Name;
use seats::policy::{Action, Features, GroupId, Members, Network, Rule, RuleId, RuleSet, Scope};
use seats::request::NameRules;

/// How many rules and names may be compared in all, about a second's work. Ten thousand rules of the usual kinds need a
/// hundredth of it; without an end a strange policy could keep `--check` busy for hours.
const COMPARISONS_MAX: usize = 5_000_000;

/// A kind of rule within which the first match decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Question {
    Access,
    Limit(u8),
    Borrow,
    Idle,
    FastQueue,
    Book,
    Why,
}

const PER_GROUP: Question = Question::Limit(2);

fn question(action: Action) -> Option<Question> {
    Some(match action {
        Action::Access(_) => Question::Access,
        Action::Limit(_, Scope::User) => Question::Limit(0),
        Action::Limit(_, Scope::Host) => Question::Limit(1),
        Action::Limit(_, Scope::Group) => PER_GROUP,
        Action::Limit(_, Scope::Project) => Question::Limit(3),
        Action::Borrow(_) => Question::Borrow,
        Action::Idle(_) => Question::Idle,
        Action::FastQueue => Question::FastQueue,
        Action::Book(_) => Question::Book,
        Action::Why(_) => Question::Why,
        // All apply.
        Action::Reserve(_) => return None,
    })
}

/// A user, host or project, folded and numbered; a group; or any range of addresses, which are told apart later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Atom {
    Name(u32),
    Group(GroupId),
    Addresses,
}

/// The demand of one kind of a rule's `for`.
#[derive(Debug, Default)]
struct Kind {
    /// Sorted.
    names: Vec<u32>,
    networks: Vec<Network>,
    /// Sorted.
    groups: Vec<GroupId>,
}

impl Kind {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.networks.is_empty() && self.groups.is_empty()
    }

    /// Its names and groups.
    fn atoms(&self) -> impl Iterator<Item = Atom> {
        let names = self.names.iter().map(|number| Atom::Name(*number));
        names.chain(self.groups.iter().map(|group| Atom::Group(*group)))
    }
}

/// A feature as a rule names it; `None` for all.
type Feature = Option<(Option<Name>, Name)>;

/// Users, hosts, addresses, projects.
type Demand = [Kind; 4];

struct Search<'a> {
    rules: &'a RuleSet,
    names: NameRules,
    numbers: HashMap<(u8, String), u32>,
    /// By number: the groups with that name in them, sorted.
    groups_of: Vec<Vec<GroupId>>,
    /// By group: the numbers of its names.
    members: Vec<Vec<u32>>,
    /// By kind of rule and one atom of each rule: the rules so far.
    earlier: HashMap<(Question, Atom), Vec<RuleId>>,
    /// The first rule for everyone, by feature.
    everyone: BTreeMap<(Question, Feature), RuleId>,
    demands: Vec<Demand>,
    /// How many rules name an atom.
    mentions: HashMap<Atom, usize>,
    comparisons: usize,
}

/// Each rule that never decides, with the rules that do, ascending; and whether all pairs were looked at.
pub(super) fn find(rules: &RuleSet, names: NameRules) -> (Vec<(RuleId, Vec<RuleId>)>, bool) {
    let mut search = Search {
        rules,
        names,
        numbers: HashMap::new(),
        groups_of: Vec::new(),
        members: Vec::new(),
        earlier: HashMap::new(),
        everyone: BTreeMap::new(),
        demands: Vec::new(),
        mentions: HashMap::new(),
        comparisons: 0,
    };
    search.number_members();
    for rule in &rules.rules {
        let demand = search.demand(rule);
        for atom in demand.iter().flat_map(Kind::atoms) {
            *search.mentions.entry(atom).or_default() += 1;
        }
        search.demands.push(demand);
    }
    let mut found = Vec::new();
    for (id, rule) in (0u32..).map(RuleId).zip(&rules.rules) {
        let Some(question) = question(rule.action) else { continue };
        let one = search.hidden_by(id, rule, question).map(|by| vec![by]);
        match one.or_else(|| search.hidden_by_several(id, rule, question)) {
            // What is hidden hides nothing that is not hidden already.
            Some(by) => found.push((id, by)),
            None => search.remember(id, rule, question),
        }
        if search.comparisons > COMPARISONS_MAX {
            return (found, false);
        }
    }
    (found, true)
}

fn kind_of(members: &Members) -> usize {
    match members {
        Members::Users(_) => 0,
        Members::Hosts(_) => 1,
        Members::Addresses(_) => 2,
        Members::Projects(_) => 3,
    }
}

impl Search<'_> {
    fn number(&mut self, kind: usize, name: &str) -> u32 {
        let folded = match kind {
            0 => self.names.fold_user(name),
            1 => self.names.fold_host(name),
            _ => name.to_owned(),
        };
        let next = u32::try_from(self.numbers.len()).expect("at most NAMES_MAX names");
        let number = *self.numbers.entry((kind as u8, folded)).or_insert(next);
        if number == next {
            self.groups_of.push(Vec::new());
        }
        number
    }

    fn number_members(&mut self) {
        for (id, group) in (0u32..).map(GroupId).zip(&self.rules.groups) {
            let kind = kind_of(&group.members);
            let mut numbers = Vec::new();
            if let Members::Users(names) | Members::Hosts(names) | Members::Projects(names) = &group.members {
                for name in names {
                    let number = self.number(kind, name);
                    numbers.push(number);
                    if self.groups_of[number as usize].last() != Some(&id) {
                        self.groups_of[number as usize].push(id);
                    }
                }
            }
            self.members.push(numbers);
        }
    }

    fn demand(&mut self, rule: &Rule) -> Demand {
        let who = &rule.who;
        let mut demand = Demand::default();
        for (kind, names) in [(0, &who.users), (1, &who.hosts), (3, &who.projects)] {
            demand[kind].names = names.iter().map(|name| self.number(kind, name)).collect();
            demand[kind].names.sort_unstable();
        }
        demand[2].networks.clone_from(&who.addresses);
        for group in &who.groups {
            demand[kind_of(&self.rules.groups[group.0 as usize].members)].groups.push(*group);
        }
        for kind in &mut demand {
            kind.groups.sort_unstable();
        }
        demand
    }

    /// The atoms under one of which a rule must stand that is for everybody of this kind.
    fn probes(&self, kind: &Kind) -> Vec<Atom> {
        let with_groups = |number: u32| {
            let groups = self.groups_of[number as usize].iter().map(|group| Atom::Group(*group));
            std::iter::once(Atom::Name(number)).chain(groups)
        };
        if let Some(number) = kind.names.first() {
            return with_groups(*number).collect();
        }
        if !kind.networks.is_empty() {
            return vec![Atom::Addresses];
        }
        let Some(group) = kind.groups.first() else { return Vec::new() };
        let mut atoms = vec![Atom::Group(*group), Atom::Addresses];
        atoms
            .extend(self.members[group.0 as usize].first().into_iter().flat_map(|first| with_groups(*first)));
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    fn remember(&mut self, id: RuleId, rule: &Rule, question: Question) {
        let demand = &self.demands[id.0 as usize];
        let mentions = |atom| self.mentions.get(&atom).copied().unwrap_or(0);
        let smallest = demand.iter().filter(|kind| !kind.is_empty()).min_by_key(|kind| {
            let is_addresses = !kind.networks.is_empty() || kind_is_addresses(self.rules, kind);
            (is_addresses, kind.atoms().map(mentions).max(), kind.atoms().count())
        });
        match smallest {
            None => match &rule.features {
                Features::All => {
                    self.everyone.entry((question, None)).or_insert(id);
                }
                Features::Named(named) => {
                    for feature in named {
                        self.everyone.entry((question, Some(feature.clone()))).or_insert(id);
                    }
                }
            },
            Some(kind) if !kind.networks.is_empty() || kind_is_addresses(self.rules, kind) => {
                self.earlier.entry((question, Atom::Addresses)).or_default().push(id);
            }
            Some(kind) => {
                let atoms: Vec<Atom> = kind.atoms().collect();
                for atom in atoms {
                    self.earlier.entry((question, atom)).or_default().push(id);
                }
            }
        }
    }

    /// An earlier rule that decides wherever this one would.
    fn hidden_by(&mut self, id: RuleId, rule: &Rule, question: Question) -> Option<RuleId> {
        if let Some(by) = self.hidden_by_everyone(rule, question) {
            return Some(by);
        }
        let demand = &self.demands[id.0 as usize];
        let atoms: Vec<Atom> = demand.iter().flat_map(|kind| self.probes(kind)).collect();
        for atom in atoms {
            let Some(earlier) = self.earlier.get(&(question, atom)) else { continue };
            for by in earlier {
                self.comparisons += 1;
                if self.comparisons > COMPARISONS_MAX {
                    return None;
                }
                let wider = &self.rules.rules[by.0 as usize];
                if covers_features(&wider.features, &rule.features) {
                    let mut spent = 0;
                    let is_wider = self.covers(*by, id, question, &mut spent);
                    self.comparisons += spent;
                    if is_wider {
                        return Some(*by);
                    }
                }
            }
        }
        None
    }

    /// Earlier rules of which one or another decides for each name that this one is for: names of one kind, and rules for
    /// nothing but names of that kind.
    fn hidden_by_several(&mut self, id: RuleId, rule: &Rule, question: Question) -> Option<Vec<RuleId>> {
        // A limit per group counts by group, not by name.
        if question == PER_GROUP {
            return None;
        }
        [0, 1, 3].into_iter().find_map(|kind| self.hidden_by_names(id, rule, question, kind))
    }

    fn hidden_by_names(
        &mut self,
        id: RuleId,
        rule: &Rule,
        question: Question,
        kind: usize,
    ) -> Option<Vec<RuleId>> {
        let demand = &self.demands[id.0 as usize][kind];
        let of_groups = demand.groups.iter().flat_map(|group| &self.members[group.0 as usize]);
        let names: Vec<u32> = demand.names.iter().chain(of_groups).copied().collect();
        let mut by: Vec<RuleId> = Vec::new();
        for name in &names {
            let groups = self.groups_of[*name as usize].iter().map(|group| Atom::Group(*group));
            let mut decides = None;
            for atom in std::iter::once(Atom::Name(*name)).chain(groups) {
                for earlier in self.earlier.get(&(question, atom)).into_iter().flatten() {
                    self.comparisons += 1;
                    let others = self.demands[earlier.0 as usize].iter().enumerate();
                    let is_of_kind = others.filter(|(of, _)| *of != kind).all(|(_, other)| other.is_empty());
                    let features = &self.rules.rules[earlier.0 as usize].features;
                    if is_of_kind && covers_features(features, &rule.features) {
                        decides = Some(*earlier);
                        break;
                    }
                }
                if decides.is_some() || self.comparisons > COMPARISONS_MAX {
                    break;
                }
            }
            by.push(decides?);
        }
        by.sort_unstable();
        by.dedup();
        (!by.is_empty()).then_some(by)
    }

    fn hidden_by_everyone(&self, rule: &Rule, question: Question) -> Option<RuleId> {
        if let Some(by) = self.everyone.get(&(question, None)) {
            return Some(*by);
        }
        let Features::Named(named) = &rule.features else { return None };
        let mut last = None;
        for (vendor, feature) in named {
            let of_any = self.everyone.get(&(question, Some((None, feature.clone()))));
            let own = self.everyone.get(&(question, Some((vendor.clone(), feature.clone()))));
            last = last.max(Some(of_any.into_iter().chain(own).min()?));
        }
        last.copied()
    }

    /// Whether whoever matches `narrow` matches `wide`.
    fn covers(&self, wide: RuleId, narrow: RuleId, question: Question, spent: &mut usize) -> bool {
        let (wide, narrow) = (&self.demands[wide.0 as usize], &self.demands[narrow.0 as usize]);
        let kinds = || wide.iter().zip(narrow);
        let all =
            kinds().all(|(wide, narrow)| wide.is_empty() || self.covers_kind(wide, narrow, true, spent));
        // A limit per group is for those who are in one of its groups, however else they match.
        all && (question != PER_GROUP
            || kinds().any(|(wide, narrow)| {
                !wide.groups.is_empty() && self.covers_kind(wide, narrow, false, spent)
            }))
    }

    fn covers_kind(&self, wide: &Kind, narrow: &Kind, by_names: bool, spent: &mut usize) -> bool {
        if narrow.is_empty() {
            return false;
        }
        let has_group = |group: &GroupId| wide.groups.binary_search(group).is_ok();
        let mut has_name = |number: &u32| {
            *spent += 1;
            by_names && wide.names.binary_search(number).is_ok()
                || self.groups_of[*number as usize].iter().any(has_group)
        };
        let networks = |group: &GroupId| match &self.rules.groups[group.0 as usize].members {
            Members::Addresses(networks) => networks.as_slice(),
            _ => &[],
        };
        let has_network = |network: &Network| {
            let own = if by_names { wide.networks.as_slice() } else { &[] };
            own.iter()
                .chain(wide.groups.iter().flat_map(networks))
                .any(|of| of.prefix <= network.prefix && of.contains(network.address))
        };
        narrow.names.iter().all(&mut has_name)
            && narrow.networks.iter().all(has_network)
            && narrow.groups.iter().all(|group| {
                has_group(group)
                    || self.members[group.0 as usize].iter().all(&mut has_name)
                        && networks(group).iter().all(has_network)
            })
    }
}

fn kind_is_addresses(rules: &RuleSet, kind: &Kind) -> bool {
    kind.groups.first().is_some_and(|group| kind_of(&rules.groups[group.0 as usize].members) == 2)
}

/// Whether every feature that `narrow` is about is one that `wide` is about.
fn covers_features(wide: &Features, narrow: &Features) -> bool {
    match (wide, narrow) {
        (Features::All, _) => true,
        (_, Features::All) => false,
        (Features::Named(wide), Features::Named(narrow)) => narrow
            .iter()
            .all(|(vendor, feature)| wide.iter().any(|(v, f)| f == feature && (v.is_none() || v == vendor))),
    }
}
