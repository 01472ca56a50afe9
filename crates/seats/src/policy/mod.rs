//! What an administrator's policy says: groups, ordered rules, first match per kind (S50).
//!
//! A [`RuleSet`] is what a file says, already checked for form; [`Policy`] is the same, ready to be asked. Nothing here
//! reads TOML (`src/policy` does) and nothing counts seats (the ledger does): a policy is asked what is allowed to whom,
//! and which seats count against which limit or reservation.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::license::Name;
use crate::request::{Facts, NameRules};

/// A rule's number: its place in the file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u32);

/// A group's number: its place in the file, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

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

/// The members of a group; all of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Users, compared as S1 says.
    Users(Vec<Box<str>>),
    /// Hosts, compared as S1 says.
    Hosts(Vec<Box<str>>),
    /// Ranges of addresses.
    Addresses(Vec<Network>),
    /// Projects, compared byte for byte.
    Projects(Vec<Box<str>>),
}

/// A named group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Unique among all groups of a file.
    pub name: Box<str>,
    /// Who is in it.
    pub members: Members,
    /// Where it stands.
    pub place: RulePlace,
}

/// Whom a rule is for. Within one kind (users and groups of users; hosts and groups of hosts; …) one match is enough; of
/// several kinds each must match. Nothing named: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Users by name.
    pub users: Vec<Box<str>>,
    /// Hosts by name.
    pub hosts: Vec<Box<str>>,
    /// Ranges of addresses.
    pub addresses: Vec<Network>,
    /// Projects by name.
    pub projects: Vec<Box<str>>,
    /// Groups of any kind.
    pub groups: Vec<GroupId>,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Access {
    Allow,
    Deny,
}

/// Whose seats a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Those of one user.
    User,
    /// Those of one host.
    Host,
    /// Those of one of the groups that the rule names.
    Group,
    /// Those of one project.
    Project,
}

/// What a borrow rule allows (S43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BorrowTerms {
    /// Whether they may borrow at all.
    pub access: Access,
    /// The longest time, hours.
    pub hours: Option<u32>,
    /// The most seats of a feature out at once.
    pub seats: Option<u32>,
    /// The most seats of a feature out at once for one user.
    pub per_user: Option<u32>,
}

/// What a rule says. Each is a kind of its own; a limit is one kind for each scope (S50).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Who may check out.
    Access(Access),
    /// Seats kept for them (S51); all such rules apply.
    Reserve(u32),
    /// At most so many seats.
    Limit(u32, Scope),
    /// Offline seats.
    Borrow(BorrowTerms),
    /// A seat idle for so many milliseconds is given to whoever needs one.
    Idle(u64),
    /// Waiters are served by fit, not strictly in order (S30).
    FastQueue,
    /// Who may book (S52).
    Book(Access),
    /// Who may ask `why` (S53).
    Why(Access),
}

/// Where a rule stands, and what it says in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// The file's name.
    pub file: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// As `limit 2 per user of cad for students`.
    pub text: Box<str>,
}

/// Which features a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Features {
    /// `*`.
    All,
    /// By name, and vendor where it is given.
    Named(Vec<(Option<Name>, Name)>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub action: Action,
    /// About what.
    pub features: Features,
    /// For whom.
    pub who: Who,
    /// Where.
    pub place: RulePlace,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// In file order.
    pub groups: Vec<Group>,
    /// In file order.
    pub rules: Vec<Rule>,
}

/// Whom a request is from, as a policy sees it: names folded, groups looked up once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Folded as S1 says.
    pub user: String,
    /// Folded as S1 says.
    pub host: String,
    /// As the server saw it.
    pub address: Option<IpAddr>,
    /// As stated.
    pub project: Option<Box<str>>,
    /// The groups it is in, ascending.
    pub groups: Vec<GroupId>,
}

/// Whose seats are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A user, folded.
    User(Box<str>),
    /// A host, folded.
    Host(Box<str>),
    /// A group of a `limit … per group`.
    Group(GroupId),
    /// A project.
    Project(Box<str>),
    /// All whom a reservation is for.
    Reservation(RuleId),
}

/// A limit that applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The rule that says so.
    pub rule: RuleId,
    /// At most so many seats.
    pub seats: u32,
    /// Whose.
    pub subject: Subject,
}

/// Whether a reservation names users or hosts, as USERBASED and HOSTBASED seats need (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It names users or groups of users.
    Users,
    /// It names hosts or groups of hosts, and no users.
    Hosts,
    /// Addresses, projects or everybody.
    Neither,
}

/// Seats of a feature kept for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The rule that says so.
    pub rule: RuleId,
    /// How many.
    pub seats: u32,
    /// Of which kind.
    pub named: Named,
}

/// A policy, ready to be asked.
#[derive(Debug, Default)]
pub struct Policy {
    rules: RuleSet,
    names: NameRules,
}

impl Policy {
    /// No rules: everybody may have everything.
    pub fn open() -> Policy {
        Policy::default()
    }

    /// Makes a set of rules ready to be asked. `names`: how users and hosts are compared.
    pub fn new(rules: RuleSet, names: NameRules) -> Policy {
        Policy { rules, names }
    }

    /// Whether there are no rules at all.
    pub fn is_open(&self) -> bool {
        self.rules.rules.is_empty()
    }

    /// Whether any rule at all gives idle seats away.
    pub fn has_idle(&self) -> bool {
        self.rules.rules.iter().any(|rule| matches!(rule.action, Action::Idle(_)))
    }

    /// What the file says.
    pub fn rule_set(&self) -> &RuleSet {
        &self.rules
    }

    /// A rule by its number.
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn rule(&self, id: RuleId) -> &Rule {
        &self.rules.rules[id.0 as usize]
    }

    /// A group by its number.
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn group(&self, id: GroupId) -> &Group {
        &self.rules.groups[id.0 as usize]
    }

    /// Whom a request is from.
    pub fn class(&self, facts: &Facts) -> Class {
        let mut class = Class {
            user: self.names.fold_user(&facts.user),
            host: self.names.fold_host(&facts.host),
            address: facts.address,
            project: facts.project.clone(),
            groups: Vec::new(),
        };
        let is_in = |group: &Group| match &group.members {
            Members::Users(users) => users.iter().any(|u| self.names.fold_user(u) == class.user),
            Members::Hosts(hosts) => hosts.iter().any(|h| self.names.fold_host(h) == class.host),
            Members::Addresses(networks) => {
                class.address.is_some_and(|a| networks.iter().any(|n| n.contains(a)))
            }
            Members::Projects(projects) => projects.iter().any(|p| Some(p) == class.project.as_ref()),
        };
        class.groups =
            (0u32..).zip(&self.rules.groups).filter(|(_, g)| is_in(g)).map(|(at, _)| GroupId(at)).collect();
        class
    }

    /// Whether a rule is for a request.
    pub fn is_for(&self, rule: RuleId, class: &Class) -> bool {
        let who = &self.rule(rule).who;
        let mut kinds: BTreeMap<u8, bool> = BTreeMap::new();
        for user in &who.users {
            *kinds.entry(0).or_default() |= self.names.fold_user(user) == class.user;
        }
        for host in &who.hosts {
            *kinds.entry(1).or_default() |= self.names.fold_host(host) == class.host;
        }
        for network in &who.addresses {
            *kinds.entry(2).or_default() |= class.address.is_some_and(|a| network.contains(a));
        }
        for project in &who.projects {
            *kinds.entry(3).or_default() |= class.project.as_ref() == Some(project);
        }
        for group in &who.groups {
            let kind = match self.group(*group).members {
                Members::Users(_) => 0,
                Members::Hosts(_) => 1,
                Members::Addresses(_) => 2,
                Members::Projects(_) => 3,
            };
            *kinds.entry(kind).or_default() |= class.groups.binary_search(group).is_ok();
        }
        kinds.values().all(|matches| *matches)
    }

    /// The rules about one feature, ready to be asked. Cheap: done for each feature of each request.
    pub fn of<'a>(&'a self, vendor: &'a Name, feature: &'a Name) -> FeatureRules<'a> {
        FeatureRules { policy: self, vendor, feature }
    }
}

/// The rules about one feature.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRules<'a> {
    policy: &'a Policy,
    vendor: &'a Name,
    feature: &'a Name,
}

impl<'a> FeatureRules<'a> {
    fn rules(&self) -> impl Iterator<Item = (RuleId, &'a Rule)> + use<'a> {
        let (vendor, feature) = (self.vendor, self.feature);
        let is_about = move |rule: &Rule| match &rule.features {
            Features::All => true,
            Features::Named(named) => {
                named.iter().any(|(v, f)| f == feature && v.as_ref().is_none_or(|v| v == vendor))
            }
        };
        (0u32..)
            .zip(&self.policy.rules.rules)
            .filter(move |(_, rule)| is_about(rule))
            .map(|(at, rule)| (RuleId(at), rule))
    }

    /// Whether there is any rule about it.
    pub fn is_open(&self) -> bool {
        self.rules().next().is_none()
    }

    /// Whether a request may have it, and the rule that says so; no rule: allowed.
    pub fn access(&self, class: &Class) -> (Access, Option<RuleId>) {
        self.rules()
            .find_map(|(id, rule)| match rule.action {
                Action::Access(access) if self.policy.is_for(id, class) => Some((access, Some(id))),
                _ => None,
            })
            .unwrap_or((Access::Allow, None))
    }

    /// The limits that hold for a request: at most one for each scope, in the order user, host, group, project. A limit
    /// per project does not hold for a request without one; it is counted under the group it is in, the first that
    /// the rule names.
    pub fn limits(&self, class: &Class) -> Vec<Limit> {
        let subject = |rule: &Rule, scope| match scope {
            Scope::User => Some(Subject::User(class.user.as_str().into())),
            Scope::Host => Some(Subject::Host(class.host.as_str().into())),
            Scope::Project => class.project.clone().map(Subject::Project),
            Scope::Group => rule
                .who
                .groups
                .iter()
                .find(|g| class.groups.binary_search(g).is_ok())
                .map(|g| Subject::Group(*g)),
        };
        [Scope::User, Scope::Host, Scope::Group, Scope::Project]
            .into_iter()
            .filter_map(|scope| {
                self.rules().find_map(|(id, rule)| match rule.action {
                    Action::Limit(seats, per) if per == scope && self.policy.is_for(id, class) => {
                        Some(Limit { rule: id, seats, subject: subject(rule, scope)? })
                    }
                    _ => None,
                })
            })
            .collect()
    }

    /// Every reservation of it, in file order.
    pub fn reservations(&self) -> Vec<Reservation> {
        let named = |who: &Who| {
            let has =
                |of: fn(&Members) -> bool| who.groups.iter().any(|g| of(&self.policy.group(*g).members));
            if !who.users.is_empty() || has(|m| matches!(m, Members::Users(_))) {
                Named::Users
            } else if !who.hosts.is_empty() || has(|m| matches!(m, Members::Hosts(_))) {
                Named::Hosts
            } else {
                Named::Neither
            }
        };
        self.rules()
            .filter_map(|(id, rule)| match rule.action {
                Action::Reserve(seats) => Some(Reservation { rule: id, seats, named: named(&rule.who) }),
                _ => None,
            })
            .collect()
    }

    /// Everything that a session of this request counts towards: each limit's scope that any rule about the feature has,
    /// whether it is for this request or not, and each reservation that is. Ascending, each once.
    pub fn counted(&self, class: &Class) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for (id, rule) in self.rules() {
            match rule.action {
                Action::Limit(_, Scope::User) => subjects.push(Subject::User(class.user.as_str().into())),
                Action::Limit(_, Scope::Host) => subjects.push(Subject::Host(class.host.as_str().into())),
                Action::Limit(_, Scope::Project) => {
                    subjects.extend(class.project.clone().map(Subject::Project))
                }
                Action::Limit(_, Scope::Group) => subjects.extend(
                    (rule.who.groups.iter().filter(|g| class.groups.binary_search(g).is_ok()))
                        .map(|g| Subject::Group(*g)),
                ),
                Action::Reserve(_) if self.policy.is_for(id, class) => {
                    subjects.push(Subject::Reservation(id))
                }
                _ => {}
            }
        }
        subjects.sort();
        subjects.dedup();
        subjects
    }

    /// How long a seat of this request's may idle before it is given to whoever needs one, milliseconds.
    pub fn idle(&self, class: &Class) -> Option<(RuleId, u64)> {
        self.first(class, |action| match action {
            Action::Idle(ms) => Some(ms),
            _ => None,
        })
    }

    /// Whether any rule gives idle seats away.
    pub fn has_idle(&self) -> bool {
        self.rules().any(|(_, rule)| matches!(rule.action, Action::Idle(_)))
    }

    /// What the first rule of one kind says that is for a request.
    fn first<T>(&self, class: &Class, of: impl Fn(Action) -> Option<T>) -> Option<(RuleId, T)> {
        self.rules().find_map(|(id, rule)| {
            let said = of(rule.action)?;
            self.policy.is_for(id, class).then_some((id, said))
        })
    }

    /// What it may borrow.
    pub fn borrow(&self, class: &Class) -> Option<(RuleId, BorrowTerms)> {
        self.first(class, |action| match action {
            Action::Borrow(terms) => Some(terms),
            _ => None,
        })
    }

    /// Whether waiters are served by fit, and the rule that says so (S30).
    pub fn fast_queue(&self, class: &Class) -> Option<RuleId> {
        let said = self.first(class, |action| matches!(action, Action::FastQueue).then_some(()));
        said.map(|(id, ())| id)
    }

    /// Whether it may book; no rule: `None`.
    pub fn book(&self, class: &Class) -> Option<(RuleId, Access)> {
        self.first(class, |action| match action {
            Action::Book(access) => Some(access),
            _ => None,
        })
    }

    /// Whether it may ask `why`; no rule: `None`, as S84 says.
    pub fn why(&self, class: &Class) -> Option<(RuleId, Access)> {
        self.first(class, |action| match action {
            Action::Why(access) => Some(access),
            _ => None,
        })
    }
}
