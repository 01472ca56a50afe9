//! A rule in one line, as denials and reports quote it: `limit 2 per user of cad for group students`.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use seats::policy::{Access, Action, Features, Group, Members, Network, Scope, Who};

use crate::config::duration;

/// How many names of a list are written out.
const SHOWN: usize = 3;

/// The line for a rule. Ten thousand of them are written at a reload: straight into one text, with little formatting.
pub(super) fn of(action: Action, features: &Features, who: &Who, groups: &[Group]) -> String {
    let mut text = String::with_capacity(96);
    // Writing to a text does not fail.
    let _ = match action {
        Action::Access(access) => write!(text, "{} ", word(access)),
        Action::Reserve(seats) => write!(text, "reserve {seats} of "),
        Action::Limit(seats, scope) => write!(text, "limit {seats} per {} of ", scope_word(scope)),
        Action::Borrow(terms) => write!(text, "{} borrowing of ", word(terms.access)),
        Action::Idle(ms) => {
            write!(text, "idle {} when wanted of ", duration::format(Duration::from_millis(ms)))
        }
        Action::FastQueue => write!(text, "fast_queue of "),
        Action::Book(access) => write!(text, "{} booking of ", word(access)),
        Action::Why(access) => write!(text, "{} why of ", word(access)),
    };
    features_text(&mut text, features);
    if let Action::Borrow(terms) = action {
        let parts = [(terms.hours, "hours"), (terms.seats, "seats"), (terms.per_user, "per user")];
        let parts = parts.into_iter().filter_map(|(count, what)| Some((count?, what)));
        for (at, (count, what)) in parts.enumerate() {
            let _ = write!(text, "{} {count} {what}", if at > 0 { "," } else { " up to" });
        }
    }
    let before = text.len();
    text.push_str(" for ");
    if !whom(&mut text, who, groups) {
        match action {
            Action::Access(_) => text.push_str("everyone"),
            _ => text.truncate(before),
        }
    }
    text
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
fn some<T>(text: &mut String, all: impl ExactSizeIterator<Item = T>, write: impl Fn(&mut String, T)) {
    let more = all.len().saturating_sub(SHOWN);
    for (at, name) in all.take(SHOWN).enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        write(text, name);
    }
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
}

fn features_text(text: &mut String, features: &Features) {
    let Features::Named(named) = features else { return text.push('*') };
    some(text, named.iter(), |text, (vendor, feature)| {
        if let Some(vendor) = vendor {
            text.push_str(vendor.as_str());
            text.push('/');
        }
        text.push_str(feature.as_str());
    });
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

/// Writes everybody it names, by kind. Whether that is anybody: nobody named is everyone.
fn whom(text: &mut String, who: &Who, groups: &[Group]) -> bool {
    let before = text.len();
    let is = |kind: fn(&Members) -> bool| {
        let groups = who.groups.iter().map(|id| &groups[id.0 as usize]);
        groups.filter(|group| kind(&group.members)).map(|group| &*group.name).collect::<Vec<&str>>()
    };
    let plain = |text: &mut String, name: &str| text.push_str(name);
    let of = [
        is(|m| matches!(m, Members::Users(_))),
        is(|m| matches!(m, Members::Hosts(_))),
        is(|m| matches!(m, Members::Addresses(_))),
        is(|m| matches!(m, Members::Projects(_))),
    ];
    kind(text, before, "user", who.users.iter().map(|name| &**name), plain, "group", &of[0]);
    kind(text, before, "host", who.hosts.iter().map(|name| &**name), plain, "host group", &of[1]);
    let network = |text: &mut String, network| {
        let _ = write!(text, "{}", NetworkText(network));
    };
    kind(text, before, "address", who.addresses.iter(), network, "address group", &of[2]);
    kind(text, before, "project", who.projects.iter().map(|name| &**name), plain, "project group", &of[3]);
    text.len() > before
}

/// Writes the names and groups of one kind. `before`: how long the text was before the first kind.
fn kind<T>(
    text: &mut String,
    before: usize,
    one: &str,
    names: impl ExactSizeIterator<Item = T>,
    write: impl Fn(&mut String, T),
    of_groups: &str,
    groups: &[&str],
) {
    let is_named = names.len() > 0;
    if (is_named || !groups.is_empty()) && text.len() > before {
        text.push_str(" and ");
    }
    if is_named {
        for part in [one, plural(one, names.len()), " "] {
            text.push_str(part);
        }
        some(text, names, write);
    }
    if !groups.is_empty() {
        for part in [if is_named { " or " } else { "" }, of_groups, plural(of_groups, groups.len()), " "] {
            text.push_str(part);
        }
        some(text, groups.iter(), |text, name| text.push_str(name));
    }
}

fn plural(word: &str, count: usize) -> &'static str {
    match (count, word) {
        (0 | 1, _) => "",
        (_, "address") => "es",
        _ => "s",
    }
}
