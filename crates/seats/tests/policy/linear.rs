//! A policy asked the slow way: every rule is looked at, in file order, and nothing is prepared. What the real one says
//! is compared with this; only the comparing of names is shared.

use std::collections::BTreeSet;
use std::net::IpAddr;

use seats::license::Name;
use seats::policy::{
    Access, Action, BorrowTerms, Class, Features, GroupId, Limit, Members, Named, Network, Reservation, Rule,
    RuleId, RuleSet, Scope, Subject, Who,
};
use seats::request::NameRules;

pub(crate) struct Linear<'a> {
    pub(crate) rules: &'a RuleSet,
    pub(crate) names: NameRules,
}

/// An address as a family and its bits, first to last.
fn bits(address: IpAddr) -> (u8, Vec<bool>) {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.octets().to_vec(),
            None => v6.octets().to_vec(),
        },
    };
    let family = if octets.len() == 4 { 4 } else { 6 };
    (family, octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect())
}

fn is_in(address: IpAddr, network: &Network) -> bool {
    let ((family, address), (of, network_bits)) = (bits(address), bits(network.address));
    let prefix = usize::from(network.prefix).min(address.len());
    family == of && address[..prefix] == network_bits[..prefix]
}

impl Linear<'_> {
    fn is_user(&self, name: &str, class: &Class) -> bool {
        self.names.fold_user(name) == class.user
    }

    fn is_host(&self, name: &str, class: &Class) -> bool {
        self.names.fold_host(name) == class.host
    }

    fn is_at(networks: &[Network], class: &Class) -> bool {
        class.address.is_some_and(|address| networks.iter().any(|network| is_in(address, network)))
    }

    fn is_of(projects: &[Box<str>], class: &Class) -> bool {
        class.project.as_ref().is_some_and(|project| projects.contains(project))
    }

    fn is_member(&self, members: &Members, class: &Class) -> bool {
        match members {
            Members::Users(users) => users.iter().any(|user| self.is_user(user, class)),
            Members::Hosts(hosts) => hosts.iter().any(|host| self.is_host(host, class)),
            Members::Addresses(networks) => Self::is_at(networks, class),
            Members::Projects(projects) => Self::is_of(projects, class),
        }
    }

    /// Every group that somebody is in.
    pub(crate) fn groups_of(&self, class: &Class) -> Vec<GroupId> {
        let groups = (0..).map(GroupId).zip(&self.rules.groups);
        groups.filter(|(_, group)| self.is_member(&group.members, class)).map(|(id, _)| id).collect()
    }

    fn groups(&self, who: &Who, of: fn(&Members) -> bool) -> Vec<GroupId> {
        who.groups.iter().copied().filter(|group| of(&self.rules.groups[group.0 as usize].members)).collect()
    }

    pub(crate) fn is_for(&self, rule: RuleId, class: &Class) -> bool {
        let who = &self.rules.rules[rule.0 as usize].who;
        let any = |groups: &[GroupId]| groups.iter().any(|group| class.groups.contains(group));
        let users = self.groups(who, |m| matches!(m, Members::Users(_)));
        let hosts = self.groups(who, |m| matches!(m, Members::Hosts(_)));
        let networks = self.groups(who, |m| matches!(m, Members::Addresses(_)));
        let projects = self.groups(who, |m| matches!(m, Members::Projects(_)));
        (who.users.is_empty() && users.is_empty()
            || who.users.iter().any(|user| self.is_user(user, class))
            || any(&users))
            && (who.hosts.is_empty() && hosts.is_empty()
                || who.hosts.iter().any(|host| self.is_host(host, class))
                || any(&hosts))
            && (who.addresses.is_empty() && networks.is_empty()
                || Self::is_at(&who.addresses, class)
                || any(&networks))
            && (who.projects.is_empty() && projects.is_empty()
                || Self::is_of(&who.projects, class)
                || any(&projects))
    }

    /// The rules about a feature, in file order.
    pub(crate) fn about(&self, vendor: &Name, feature: &Name) -> Vec<(RuleId, &Rule)> {
        let is_about = |rule: &Rule| match &rule.features {
            Features::All => true,
            Features::Named(named) => {
                named.iter().any(|(v, f)| f == feature && v.as_ref().is_none_or(|v| v == vendor))
            }
        };
        (0..).map(RuleId).zip(&self.rules.rules).filter(|(_, rule)| is_about(rule)).collect()
    }

    fn first<T>(
        &self,
        about: &[(RuleId, &Rule)],
        class: &Class,
        of: impl Fn(Action) -> Option<T>,
    ) -> Option<(RuleId, T)> {
        about.iter().find_map(|(id, rule)| Some((*id, of(rule.action).filter(|_| self.is_for(*id, class))?)))
    }

    pub(crate) fn access(&self, about: &[(RuleId, &Rule)], class: &Class) -> (Access, Option<RuleId>) {
        let said =
            self.first(about, class, |a| if let Action::Access(access) = a { Some(access) } else { None });
        said.map_or((Access::Allow, None), |(id, access)| (access, Some(id)))
    }

    pub(crate) fn idle(&self, about: &[(RuleId, &Rule)], class: &Class) -> Option<(RuleId, u64)> {
        self.first(about, class, |a| if let Action::Idle(ms) = a { Some(ms) } else { None })
    }

    pub(crate) fn borrow(&self, about: &[(RuleId, &Rule)], class: &Class) -> Option<(RuleId, BorrowTerms)> {
        self.first(about, class, |a| if let Action::Borrow(terms) = a { Some(terms) } else { None })
    }

    pub(crate) fn fast_queue(&self, about: &[(RuleId, &Rule)], class: &Class) -> Option<RuleId> {
        self.first(about, class, |a| (a == Action::FastQueue).then_some(())).map(|(id, ())| id)
    }

    pub(crate) fn book(&self, about: &[(RuleId, &Rule)], class: &Class) -> Option<(RuleId, Access)> {
        self.first(about, class, |a| if let Action::Book(access) = a { Some(access) } else { None })
    }

    pub(crate) fn why(&self, about: &[(RuleId, &Rule)], class: &Class) -> Option<(RuleId, Access)> {
        self.first(about, class, |a| if let Action::Why(access) = a { Some(access) } else { None })
    }

    pub(crate) fn limits(&self, about: &[(RuleId, &Rule)], class: &Class) -> Vec<Limit> {
        let mut limits = Vec::new();
        for scope in [Scope::User, Scope::Host, Scope::Group, Scope::Project] {
            for (id, rule) in about {
                let Action::Limit(seats, of) = rule.action else { continue };
                if of != scope || !self.is_for(*id, class) {
                    continue;
                }
                let subject = match scope {
                    Scope::User => Some(Subject::User(class.user.as_str().into())),
                    Scope::Host => Some(Subject::Host(class.host.as_str().into())),
                    Scope::Project => class.project.clone().map(Subject::Project),
                    Scope::Group => {
                        rule.who.groups.iter().find(|g| class.groups.contains(g)).map(|g| Subject::Group(*g))
                    }
                };
                if let Some(subject) = subject {
                    limits.push(Limit { rule: *id, seats, subject });
                    break;
                }
            }
        }
        limits
    }

    pub(crate) fn reservations(&self, about: &[(RuleId, &Rule)]) -> Vec<Reservation> {
        let mut reservations = Vec::new();
        for (id, rule) in about {
            let Action::Reserve(seats) = rule.action else { continue };
            let who = &rule.who;
            let users =
                !who.users.is_empty() || !self.groups(who, |m| matches!(m, Members::Users(_))).is_empty();
            let hosts =
                !who.hosts.is_empty() || !self.groups(who, |m| matches!(m, Members::Hosts(_))).is_empty();
            let named = match (users, hosts) {
                (true, _) => Named::Users,
                (false, true) => Named::Hosts,
                (false, false) => Named::Neither,
            };
            reservations.push(Reservation { rule: *id, seats, named });
        }
        reservations
    }

    pub(crate) fn counted(&self, about: &[(RuleId, &Rule)], class: &Class) -> Vec<Subject> {
        let mut subjects = BTreeSet::new();
        for (id, rule) in about {
            match rule.action {
                Action::Limit(_, Scope::User) => {
                    subjects.insert(Subject::User(class.user.as_str().into()));
                }
                Action::Limit(_, Scope::Host) => {
                    subjects.insert(Subject::Host(class.host.as_str().into()));
                }
                Action::Limit(_, Scope::Project) => {
                    subjects.extend(class.project.clone().map(Subject::Project))
                }
                Action::Limit(_, Scope::Group) => {
                    let of = rule.who.groups.iter().filter(|g| class.groups.contains(g));
                    subjects.extend(of.map(|g| Subject::Group(*g)));
                }
                Action::Reserve(_) if self.is_for(*id, class) => {
                    subjects.insert(Subject::Reservation(*id));
                }
                _ => {}
            }
        }
        subjects.into_iter().collect()
    }
}
