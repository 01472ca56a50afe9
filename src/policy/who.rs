//! Whom a rule is for: `for = { users = [...], groups = [...] }`, or `"everyone"`.

use seats::policy::Who;
use toml::de::DeValue;

use super::groups::Groups;
use super::source::{Source, shown};
use super::values::{Value, each, kind, name, network, texts, whole_name};

const KEYS: [&str; 5] = ["users", "hosts", "addresses", "projects", "groups"];
/// The word for whoever asks.
const EVERYONE: &str = "everyone";

/// Reads it; for `key` to name it in errors. `None` if it is wrong, which is told. Everyone is a [`Who`] without names.
pub(super) fn read(key: &str, value: &Value<'_>, groups: &Groups, source: &mut Source<'_>) -> Option<Who> {
    let help = || format!("write {key} = \"everyone\" or {key} = {{ groups = [\"students\"] }}");
    let table = match value.get_ref() {
        DeValue::String(text) if text == EVERYONE => return Some(Who::default()),
        DeValue::Table(table) => table,
        DeValue::String(text) => {
            let message = format!("\"{}\" is not \"everyone\", and names are given in a table", shown(text));
            source.fault(Some(value.span()), message).help(help());
            return None;
        }
        other => {
            let message = format!("\"{key}\" says for whom, this is {}", kind(other));
            source.fault(Some(value.span()), message).help(help());
            return None;
        }
    };
    let mut who = Who::default();
    let mut is_good = true;
    if table.is_empty() {
        source.fault(Some(value.span()), format!("\"{key}\" names nobody")).help(help());
        is_good = false;
    }
    for (key, value) in table {
        let Some(of) = KEYS.into_iter().find(|known| known == key.get_ref()) else {
            source.unknown_key(key, &KEYS);
            is_good = false;
            continue;
        };
        let (what, example) = match of {
            "users" => ("\"users\"", "users = [\"one\", \"other\"]"),
            "hosts" => ("\"hosts\"", "hosts = [\"one\", \"other\"]"),
            "addresses" => ("\"addresses\"", "addresses = [\"10.8.0.0/16\"]"),
            "projects" => ("\"projects\"", "projects = [\"one\", \"other\"]"),
            _ => ("\"groups\"", "groups = [\"one\", \"other\"]"),
        };
        let texts = texts(what, example, value, source);
        if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
            source
                .fault(Some(value.span()), format!("\"{of}\" names nobody"))
                .help(format!("name somebody, or leave \"{of}\" out"));
        }
        let named = texts.len();
        let read = match of {
            "users" => {
                who.users = each(texts, |text, at| whole_name("user", text, &at, source));
                who.users.len()
            }
            "hosts" => {
                who.hosts = each(texts, |text, at| whole_name("host", text, &at, source));
                who.hosts.len()
            }
            "addresses" => {
                who.addresses = each(texts, |text, at| network(text, &at, source));
                who.addresses.len()
            }
            "projects" => {
                who.projects = each(texts, |text, at| name("project", text, &at, source));
                who.projects.len()
            }
            _ => {
                let find = |text: &str, at| {
                    let found = groups.find(text);
                    if found.is_none() {
                        let message = format!("there is no group \"{}\"", shown(text));
                        source.fault(Some(at), message).help(groups.some_names());
                    }
                    found
                };
                who.groups = each(texts, find);
                who.groups.len()
            }
        };
        is_good &= read == named && named > 0;
    }
    is_good.then_some(who)
}
