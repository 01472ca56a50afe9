//! The tables `[groups.users]`, `[groups.hosts]`, `[groups.addresses]` and `[groups.projects]`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use seats::policy::{Group, GroupId, Members};
use toml::de::DeValue;

use super::GROUPS_MAX;
use super::source::{Source, Text, shown};
use super::values::{Value, each, kind, name, network, texts, whole_name};

/// The kinds of groups, as tables are named.
pub(super) const KINDS: [&str; 4] = ["users", "hosts", "addresses", "projects"];

/// The groups of a file.
#[derive(Default)]
pub(super) struct Groups {
    /// In file order.
    pub(super) all: Vec<Group>,
    by_name: BTreeMap<Box<str>, GroupId>,
}

impl Groups {
    /// Adds a group.
    ///
    /// # Errors
    /// There is one of that name already, which is given beside it.
    pub(super) fn insert(&mut self, group: Group) -> Result<(), (Group, GroupId)> {
        let id = GroupId(u32::try_from(self.all.len()).expect("at most GROUPS_MAX groups"));
        match self.by_name.entry(group.name.clone()) {
            Entry::Occupied(earlier) => Err((group, *earlier.get())),
            Entry::Vacant(free) => {
                free.insert(id);
                self.all.push(group);
                Ok(())
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<GroupId> {
        self.by_name.get(name).copied()
    }

    /// Some names, for whoever has named one that is not there.
    pub(super) fn some_names(&self) -> String {
        const SHOWN: usize = 6;
        let names: Vec<String> = self.all.iter().take(SHOWN).map(|group| shown(&group.name)).collect();
        let more = if self.all.len() > SHOWN { ", …" } else { "" };
        match names.is_empty() {
            true => "there are none; a group is a line under [groups.users] or its like".to_owned(),
            false => format!("there are {}{more}", names.join(", ")),
        }
    }
}

/// Reads `[groups]`.
pub(super) fn read(value: Option<&Value<'_>>, source: &mut Source<'_>) -> Groups {
    let mut groups = Groups::default();
    let Some(value) = value else { return groups };
    let DeValue::Table(kinds) = value.get_ref() else {
        source
            .fault(Some(value.span()), format!("\"groups\" is a table, this is {}", kind(value.get_ref())))
            .help("write [groups.users] and below it students = [\"ann\", \"bob\"]");
        return groups;
    };
    let mut found: Vec<(&str, &Text<'_>, &Value<'_>)> = Vec::new();
    for (key, value) in kinds {
        let Some(of) = KINDS.into_iter().find(|kind| kind == key.get_ref()) else {
            source.unknown_key(key, &KINDS);
            continue;
        };
        match value.get_ref() {
            DeValue::Table(table) => found.extend(table.iter().map(|(name, members)| (of, name, members))),
            other => {
                let message = format!("\"{of}\" holds groups by their names, this is {}", kind(other));
                source
                    .fault(Some(value.span()), message)
                    .help(format!("write [groups.{of}] and below it {}", example(of)));
            }
        }
    }
    found.sort_by_key(|(_, name, _)| name.span().start);
    if let Some((_, name, _)) = found.get(GROUPS_MAX) {
        let message = format!("{} groups are too many; at most {GROUPS_MAX}", found.len());
        source.fault(Some(name.span()), message);
        found.truncate(GROUPS_MAX);
    }
    for (of, key, value) in found {
        let Some(group) = group(of, key, value, source) else { continue };
        if let Err((again, earlier)) = groups.insert(group) {
            let line = groups.all[earlier.0 as usize].place.line;
            source
                .fault(
                    Some(key.span()),
                    format!("there is a group \"{}\" already, in line {line}", shown(&again.name)),
                )
                .help("rules name groups without their kind, so a name is given once");
        }
    }
    groups
}

/// Reads one group. `None` if its name is wrong; that and any wrong member is told.
pub(super) fn group(of: &str, key: &Text<'_>, value: &Value<'_>, source: &mut Source<'_>) -> Option<Group> {
    let members = members(of, value, source);
    let name = name("group", key.get_ref(), &key.span(), source)?;
    let place = source.place(&key.span(), format!("group {name} of {of}"));
    Some(Group { name, members, place })
}

fn example(of: &str) -> &'static str {
    match of {
        "users" => "students = [\"ann\", \"bob\"]",
        "hosts" => "lab = [\"lab1\", \"lab2\"]",
        "addresses" => "vpn = [\"10.8.0.0/16\"]",
        _ => "falcon = [\"falcon-1\"]",
    }
}

fn members(of: &str, value: &Value<'_>, source: &mut Source<'_>) -> Members {
    let texts = texts("a group", example(of), value, source);
    match of {
        "users" => Members::Users(each(texts, |text, at| whole_name("user", text, &at, source))),
        "hosts" => Members::Hosts(each(texts, |text, at| whole_name("host", text, &at, source))),
        "addresses" => Members::Addresses(each(texts, |text, at| network(text, &at, source))),
        _ => Members::Projects(each(texts, |text, at| name("project", text, &at, source))),
    }
}
