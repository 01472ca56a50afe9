//! What the administrator's rules say, one rule after the other (S50, S51).

use super::{Naive, Program, folded_host, folded_user, same};

/// The members of a group: all of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    Users(Vec<String>),
    Hosts(Vec<String>),
    /// Ranges of IPv4 addresses: an address in it, and how many leading bits count.
    Networks(Vec<([u8; 4], u32)>),
    Projects(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub members: Members,
}

/// Whom a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    pub users: Vec<String>,
    pub hosts: Vec<String>,
    pub networks: Vec<([u8; 4], u32)>,
    pub projects: Vec<String>,
    /// Groups by name.
    pub groups: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    User,
    Host,
    Group,
    Project,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Allow,
    Deny,
    Reserve(u64),
    Limit(u64, Per),
    /// Milliseconds.
    Idle(u64),
    /// Waiters are served as they fit (S30).
    FastQueue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub says: Says,
    /// Vendor where it is given, and feature; empty: all.
    pub features: Vec<(Option<String>, String)>,
    pub who: Who,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub groups: Vec<Group>,
    pub rules: Vec<Rule>,
}

/// Whose seats a limit counts together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    User(String),
    Host(String),
    /// By name.
    Group(String),
    Project(String),
}

fn is_user(user: &str, program: &Program) -> bool {
    folded_user(user) == folded_user(&program.user)
}

fn is_host(host: &str, program: &Program) -> bool {
    folded_host(host) == folded_host(&program.host)
}

fn is_project(project: &str, program: &Program) -> bool {
    program.project.as_deref() == Some(project)
}

fn is_in_network(network: ([u8; 4], u32), program: &Program) -> bool {
    let bits = |address: [u8; 4]| -> Vec<bool> {
        address.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    match program.address {
        Some(address) => {
            let (network, count) = (bits(network.0), network.1 as usize);
            bits(address)[..count] == network[..count]
        }
        None => false,
    }
}

impl Policy {
    fn group(&self, name: &str) -> &Group {
        self.groups.iter().find(|g| g.name == name).expect("a rule names a group that is there")
    }

    pub fn is_member(&self, group: &str, program: &Program) -> bool {
        match &self.group(group).members {
            Members::Users(users) => users.iter().any(|u| is_user(u, program)),
            Members::Hosts(hosts) => hosts.iter().any(|h| is_host(h, program)),
            Members::Networks(networks) => networks.iter().any(|n| is_in_network(*n, program)),
            Members::Projects(projects) => projects.iter().any(|p| is_project(p, program)),
        }
    }

    /// Of each kind that is named, one must match.
    pub fn is_for(&self, who: &Who, program: &Program) -> bool {
        let groups_of = |kind: fn(&Members) -> bool| -> Vec<&String> {
            who.groups.iter().filter(|g| kind(&self.group(g).members)).collect()
        };
        let of_users = groups_of(|m| matches!(m, Members::Users(_)));
        let of_hosts = groups_of(|m| matches!(m, Members::Hosts(_)));
        let of_networks = groups_of(|m| matches!(m, Members::Networks(_)));
        let of_projects = groups_of(|m| matches!(m, Members::Projects(_)));
        let any_of = |groups: &[&String]| groups.iter().any(|g| self.is_member(g, program));
        let users = who.users.iter().any(|u| is_user(u, program)) || any_of(&of_users);
        let hosts = who.hosts.iter().any(|h| is_host(h, program)) || any_of(&of_hosts);
        let networks = who.networks.iter().any(|n| is_in_network(*n, program)) || any_of(&of_networks);
        let projects = who.projects.iter().any(|p| is_project(p, program)) || any_of(&of_projects);
        (users || (who.users.is_empty() && of_users.is_empty()))
            && (hosts || (who.hosts.is_empty() && of_hosts.is_empty()))
            && (networks || (who.networks.is_empty() && of_networks.is_empty()))
            && (projects || (who.projects.is_empty() && of_projects.is_empty()))
    }

    /// The rules about a feature, in file order.
    fn about(&self, vendor: &str, feature: &str) -> Vec<&Rule> {
        let is_about = |rule: &&Rule| {
            rule.features.is_empty()
                || rule
                    .features
                    .iter()
                    .any(|(v, f)| same(f, feature) && v.as_ref().is_none_or(|v| same(v, vendor)))
        };
        self.rules.iter().filter(is_about).collect()
    }

    pub fn is_denied(&self, vendor: &str, feature: &str, program: &Program) -> bool {
        for rule in self.about(vendor, feature) {
            if matches!(rule.says, Says::Allow | Says::Deny) && self.is_for(&rule.who, program) {
                return rule.says == Says::Deny;
            }
        }
        false
    }

    /// The limit of one scope that holds for a program: how many seats, and whose. A limit per group is for those who
    /// are in one of the groups it names, a limit per project for those who state one.
    pub fn limit(&self, per: Per, vendor: &str, feature: &str, program: &Program) -> Option<(u64, Whose)> {
        for rule in self.about(vendor, feature) {
            let Says::Limit(seats, scope) = rule.says else { continue };
            if scope != per || !self.is_for(&rule.who, program) {
                continue;
            }
            let whose = match per {
                Per::User => Some(Whose::User(folded_user(&program.user))),
                Per::Host => Some(Whose::Host(folded_host(&program.host))),
                Per::Project => program.project.clone().map(Whose::Project),
                Per::Group => {
                    let mut of = rule.who.groups.iter();
                    of.find(|g| self.is_member(g, program)).map(|g| Whose::Group(g.clone()))
                }
            };
            if let Some(whose) = whose {
                return Some((seats, whose));
            }
        }
        None
    }

    /// Whether a program's seats are among those of somebody.
    pub fn counts_for(&self, whose: &Whose, program: &Program) -> bool {
        match whose {
            Whose::User(user) => is_user(user, program),
            Whose::Host(host) => is_host(host, program),
            Whose::Project(project) => is_project(project, program),
            Whose::Group(group) => self.is_member(group, program),
        }
    }

    /// The reservations of a feature, in file order: seats, and for whom.
    pub fn reservations(&self, vendor: &str, feature: &str) -> Vec<(u64, Who)> {
        let mut all = Vec::new();
        for rule in self.about(vendor, feature) {
            if let Says::Reserve(seats) = rule.says {
                all.push((seats, rule.who.clone()));
            }
        }
        all
    }

    pub fn names_users(&self, who: &Who) -> bool {
        !who.users.is_empty() || who.groups.iter().any(|g| matches!(self.group(g).members, Members::Users(_)))
    }

    /// Hosts and no users (L63).
    pub fn names_hosts(&self, who: &Who) -> bool {
        let has_hosts = !who.hosts.is_empty()
            || who.groups.iter().any(|g| matches!(self.group(g).members, Members::Hosts(_)));
        has_hosts && !self.names_users(who)
    }

    /// Whether a waiter holds nobody back.
    pub fn is_fast(&self, vendor: &str, feature: &str, program: &Program) -> bool {
        let mut about = self.about(vendor, feature).into_iter();
        about.any(|rule| rule.says == Says::FastQueue && self.is_for(&rule.who, program))
    }

    /// How long a seat may idle before it is given to somebody else, milliseconds.
    pub fn idle(&self, vendor: &str, feature: &str, program: &Program) -> Option<u64> {
        for rule in self.about(vendor, feature) {
            if let Says::Idle(ms) = rule.says
                && self.is_for(&rule.who, program)
            {
                return Some(ms);
            }
        }
        None
    }
}
