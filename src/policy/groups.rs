//! The tables `[groups.users]`, `[groups.hosts]`, `[groups.addresses]` and `[groups.projects]`.

use std::collections::BTreeMap;

use seats::policy::{Group, GroupId, Members};
use toml::de::DeValue;

use super::GROUPS_MAX;
use super::source::{Source, Text, shown};
use super::values::{Value, kind, name, network, texts, whole_name};

const KINDS: [&str; 4] = ["users", "hosts", "addresses", "projects"];

/// The groups of a file.
#[derive(Default)]
pub(super) struct Groups {
    /// In file order.
    pub(super) all: Vec<Group>,
    by_name: BTreeMap<Box<str>, GroupId>,
}

impl Groups {
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
        let members = members(of, value, source);
        let Some(name) = name("group", key.get_ref(), &key.span(), source) else { continue };
        let id = GroupId(u32::try_from(groups.all.len()).expect("at most GROUPS_MAX groups"));
        if let Some(earlier) = groups.find(&name) {
            let line = groups.all[earlier.0 as usize].place.line;
            source
                .fault(
                    Some(key.span()),
                    format!("there is a group \"{}\" already, in line {line}", shown(&name)),
                )
                .help("rules name groups without their kind, so a name is given once");
            continue;
        }
        let place = source.place(&key.span(), format!("group {name} of {of}"));
        groups.by_name.insert(name.clone(), id);
        groups.all.push(Group { name, members, place });
    }
    groups
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
    let texts = texts("a group", example(of), value, source).into_iter();
    match of {
        "users" => {
            Members::Users(texts.filter_map(|(text, at)| whole_name("user", text, &at, source)).collect())
        }
        "hosts" => {
            Members::Hosts(texts.filter_map(|(text, at)| whole_name("host", text, &at, source)).collect())
        }
        "addresses" => {
            Members::Addresses(texts.filter_map(|(text, at)| network(text, &at, source)).collect())
        }
        _ => Members::Projects(texts.filter_map(|(text, at)| name("project", text, &at, source)).collect()),
    }
}
