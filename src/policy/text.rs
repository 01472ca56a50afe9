//! A rule in one line, as denials and reports quote it: `limit 2 per user of cad for group students`.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use seats::license::Name;
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

/// Writes the first of a list, and how many more.
fn some<T: Display>(text: &mut String, all: impl ExactSizeIterator<Item = T>) {
    let more = all.len().saturating_sub(SHOWN);
    for (at, name) in all.take(SHOWN).enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        // Writing to a text does not fail.
        let _ = write!(text, "{comma}{name}");
    }
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
}

fn features_text(features: &Features) -> String {
    let Features::Named(named) = features else { return "*".to_owned() };
    let mut text = String::new();
    some(&mut text, named.iter().map(|(vendor, feature)| FeatureName(vendor.as_ref(), feature)));
    text
}

struct FeatureName<'a>(Option<&'a Name>, &'a Name);

impl Display for FeatureName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(vendor) => write!(f, "{vendor}/{}", self.1),
            None => f.write_str(self.1.as_str()),
        }
    }
}

struct NetworkText<'a>(&'a Network);

/// A range as it is written.
impl Display for NetworkText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Network { address, prefix } = self.0;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if *prefix == bits { write!(f, "{address}") } else { write!(f, "{address}/{prefix}") }
    }
}

/// Everybody it names, by kind; empty for everyone.
fn whom(who: &Who, groups: &[Group]) -> String {
    let mut text = String::new();
    let (users, hosts, projects) = (who.users.iter(), who.hosts.iter(), who.projects.iter());
    let is = |kind: fn(&Members) -> bool| {
        let groups = who.groups.iter().map(|id| &groups[id.0 as usize]);
        groups.filter(|group| kind(&group.members)).map(|group| &*group.name).collect::<Vec<&str>>()
    };
    kind(&mut text, "user", users, "group", &is(|m| matches!(m, Members::Users(_))));
    kind(&mut text, "host", hosts, "host group", &is(|m| matches!(m, Members::Hosts(_))));
    let networks = who.addresses.iter().map(NetworkText);
    kind(&mut text, "address", networks, "address group", &is(|m| matches!(m, Members::Addresses(_))));
    kind(&mut text, "project", projects, "project group", &is(|m| matches!(m, Members::Projects(_))));
    text
}

fn kind<T: Display>(
    text: &mut String,
    one: &str,
    names: impl ExactSizeIterator<Item = T>,
    of_groups: &str,
    groups: &[&str],
) {
    if names.len() + groups.len() > 0 && !text.is_empty() {
        text.push_str(" and ");
    }
    let is_named = names.len() > 0;
    if is_named {
        let _ = write!(text, "{one}{} ", plural(one, names.len()));
        some(text, names);
    }
    if !groups.is_empty() {
        let or = if is_named { " or " } else { "" };
        let _ = write!(text, "{or}{of_groups}{} ", plural(of_groups, groups.len()));
        some(text, groups.iter());
    }
}

fn plural(word: &str, count: usize) -> &'static str {
    match (count, word) {
        (0 | 1, _) => "",
        (_, "address") => "es",
        _ => "s",
    }
}
