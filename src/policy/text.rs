//! A rule in one line, as denials and reports quote it: `limit 2 per user of cad for group students`.

use std::fmt::Display;
use std::time::Duration;

use seats::policy::{Access, Action, Features, Group, Members, Network, Scope, Who};

use crate::config::duration;

/// How many names of a list are written out.
const SHOWN: usize = 3;

/// The line for a rule.
pub(super) fn of(action: Action, features: &Features, who: &Who, groups: &[Group]) -> String {
    let of = features_text(features);
    let whom = whom(who, groups);
    let for_whom = if whom.is_empty() { String::new() } else { format!(" for {whom}") };
    match action {
        Action::Access(access) => {
            format!("{} {of} for {}", word(access), if whom.is_empty() { "everyone" } else { &whom })
        }
        Action::Reserve(seats) => format!("reserve {seats} of {of}{for_whom}"),
        Action::Limit(seats, scope) => format!("limit {seats} per {} of {of}{for_whom}", scope_word(scope)),
        Action::Borrow(terms) => {
            let mut parts = Vec::new();
            parts.extend(terms.hours.map(|hours| format!("{hours} hours")));
            parts.extend(terms.seats.map(|seats| format!("{seats} seats")));
            parts.extend(terms.per_user.map(|seats| format!("{seats} per user")));
            let up_to = if parts.is_empty() { String::new() } else { format!(" up to {}", parts.join(", ")) };
            format!("{} borrowing of {of}{up_to}{for_whom}", word(terms.access))
        }
        Action::Idle(ms) => {
            format!("idle {} when wanted of {of}{for_whom}", duration::format(Duration::from_millis(ms)))
        }
        Action::FastQueue => format!("fast_queue of {of}"),
        Action::Book(access) => format!("{} booking of {of}{for_whom}", word(access)),
        Action::Why(access) => format!("{} why of {of}{for_whom}", word(access)),
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Allow => "allow",
        Access::Deny => "deny",
    }
}

fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::User => "user",
        Scope::Host => "host",
        Scope::Group => "group",
        Scope::Project => "project",
    }
}

/// The first of a list, and how many more.
fn some<T: Display>(all: &[T]) -> String {
    let mut text = all.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    text
}

fn features_text(features: &Features) -> String {
    match features {
        Features::All => "*".to_owned(),
        Features::Named(named) => {
            let name = |(vendor, feature): &(Option<seats::license::Name>, seats::license::Name)| match vendor
            {
                Some(vendor) => format!("{vendor}/{feature}"),
                None => feature.to_string(),
            };
            let first: Vec<String> = named.iter().take(SHOWN).map(name).collect();
            let more = named.len() - first.len();
            let first = first.join(", ");
            if more == 0 { first } else { format!("{first} and {more} more") }
        }
    }
}

/// A range as it is written.
pub(super) fn network_text(network: &Network) -> String {
    let bits = if network.address.is_ipv4() { 32 } else { 128 };
    match network.prefix == bits {
        true => network.address.to_string(),
        false => format!("{}/{}", network.address, network.prefix),
    }
}

fn whom(who: &Who, groups: &[Group]) -> String {
    let addresses: Vec<String> = who.addresses.iter().take(SHOWN + 1).map(network_text).collect();
    let mut kinds = Vec::new();
    let mut kind =
        |one: &str, of_groups: &str, names: String, count: usize, is_kind: fn(&Members) -> bool| {
            let named: Vec<&str> = (who.groups.iter().map(|id| &groups[id.0 as usize]))
                .filter(|group| is_kind(&group.members))
                .map(|group| &*group.name)
                .collect();
            let mut parts = Vec::new();
            if count > 0 {
                parts.push(format!("{one}{} {names}", plural(one, count)));
            }
            if !named.is_empty() {
                parts.push(format!("{of_groups}{} {}", plural(of_groups, named.len()), some(&named)));
            }
            if !parts.is_empty() {
                kinds.push(parts.join(" or "));
            }
        };
    kind("user", "group", some(&who.users), who.users.len(), |m| matches!(m, Members::Users(_)));
    kind("host", "host group", some(&who.hosts), who.hosts.len(), |m| matches!(m, Members::Hosts(_)));
    let networks = match who.addresses.len() {
        few if few <= SHOWN => addresses.join(", "),
        many => format!("{} and {} more", addresses[..SHOWN].join(", "), many - SHOWN),
    };
    kind("address", "address group", networks, who.addresses.len(), |m| matches!(m, Members::Addresses(_)));
    kind("project", "project group", some(&who.projects), who.projects.len(), |m| {
        matches!(m, Members::Projects(_))
    });
    kinds.join(" and ")
}

fn plural(word: &str, count: usize) -> &'static str {
    match (count, word) {
        (0 | 1, _) => "",
        (_, "address") => "es",
        _ => "s",
    }
}
