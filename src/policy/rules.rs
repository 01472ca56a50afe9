//! The `[[rule]]` tables: what each says, about which features, for whom.

use seats::license::Name;
use seats::policy::{Access, Action, BorrowTerms, Features, Rule, Scope, Who};
use toml::de::{DeArray, DeTable, DeValue};

use super::groups::Groups;
use super::source::{Source, Text, shown};
use super::values::{Value, count, kind, texts};
use super::{RULES_MAX, text, who};
use crate::config::duration;

/// What a rule can say.
const ACTIONS: [&str; 9] =
    ["allow", "deny", "reserve", "limit", "borrow", "idle", "fast_queue", "book", "why"];
/// Every key of a rule.
const KEYS: [&str; 12] = [
    "feature",
    "for",
    "per",
    "allow",
    "deny",
    "reserve",
    "limit",
    "borrow",
    "idle",
    "fast_queue",
    "book",
    "why",
];
/// The shortest time of an idle rule. What a client reports is whole seconds.
const IDLE_MS_MIN: u64 = 1_000;
/// The longest: whoever wants more does without the rule.
const IDLE_MS_MAX: u64 = 365 * 86_400_000;

/// Reads all rules, in file order.
pub(super) fn read(array: &DeArray<'_>, groups: &Groups, source: &mut Source<'_>) -> Vec<Rule> {
    if let Some(rule) = array.get(RULES_MAX) {
        source.fault(Some(rule.span()), format!("{} rules are too many; at most {RULES_MAX}", array.len()));
    }
    array.iter().take(RULES_MAX).filter_map(|value| rule(value, groups, source)).collect()
}

/// The parts of a rule beside its action.
#[derive(Default)]
struct Parts<'v, 'a> {
    feature: Option<&'v Value<'a>>,
    for_whom: Option<(&'v Text<'a>, &'v Value<'a>)>,
    per: Option<(&'v Text<'a>, &'v Value<'a>)>,
    actions: Vec<(&'v Text<'a>, &'v Value<'a>)>,
}

fn parts<'v, 'a>(table: &'v DeTable<'a>, source: &mut Source<'_>) -> Parts<'v, 'a> {
    let mut parts = Parts::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "feature" => parts.feature = Some(value),
            "for" => parts.for_whom = Some((key, value)),
            "per" => parts.per = Some((key, value)),
            action if ACTIONS.contains(&action) => parts.actions.push((key, value)),
            _ => source.unknown_key(key, &KEYS),
        }
    }
    parts.actions.sort_by_key(|(key, _)| key.span().start);
    parts
}

fn rule(value: &Value<'_>, groups: &Groups, source: &mut Source<'_>) -> Option<Rule> {
    let DeValue::Table(table) = value.get_ref() else {
        let message = format!("a rule is a table, this is {}", kind(value.get_ref()));
        source.fault(Some(value.span()), message).help("start it with [[rule]]");
        return None;
    };
    let parts = parts(table, source);
    let features = match parts.feature {
        Some(value) => features(value, source),
        None => {
            source
                .fault(Some(value.span()), "the rule says not about which feature")
                .help("add feature = \"cad\", or feature = \"*\" for all");
            None
        }
    };
    let named = parts.for_whom.map(|(_, value)| who::read("for", value, groups, source));
    let (key, said) = match parts.actions.as_slice() {
        [one] => *one,
        [] => {
            source
                .fault(Some(value.span()), "the rule says nothing")
                .help(format!("add one of {}", ACTIONS.join(", ")));
            return None;
        }
        [(first, _), (second, _), ..] => {
            let message = format!("the rule says both \"{}\" and \"{}\"", first.get_ref(), second.get_ref());
            source.fault(Some(second.span()), message).help("write two rules: each says one thing");
            return None;
        }
    };
    let name: &str = key.get_ref();
    refuse_what_does_not_belong(name, &parts, source);
    let (action, own) = action(name, said, &parts, groups, source)?;
    let who = match (own, named) {
        (Some(who), _) => who,
        (None, Some(who)) => who?,
        (None, None) => Who::default(),
    };
    if matches!(action, Action::Reserve(_)) && who == Who::default() {
        source
            .fault(Some(key.span()), "the reservation is for nobody in particular")
            .help("say whom the seats are kept for: for = { groups = [\"lab\"] }");
        return None;
    }
    if matches!(action, Action::Limit(_, Scope::Group)) && who.groups.is_empty() {
        source
            .fault(Some(key.span()), "the limit is per group and names no group")
            .help("say which: for = { groups = [\"students\"] }; their members are counted together, group by group");
        return None;
    }
    let features = features?;
    let text = text::of(action, &features, &who, &groups.all);
    Some(Rule { action, features, who, place: source.place(&value.span(), text) })
}

/// `for` and `per` where the action has no use for them.
fn refuse_what_does_not_belong(name: &str, parts: &Parts<'_, '_>, source: &mut Source<'_>) {
    if let (Some((key, _)), true) = (parts.per, name != "limit") {
        source
            .fault(Some(key.span()), format!("\"per\" belongs to a limit, not to \"{name}\""))
            .help("take it out");
    }
    if let (Some((key, _)), "allow" | "deny") = (parts.for_whom, name) {
        source
            .fault(Some(key.span()), format!("\"{name}\" itself says for whom"))
            .help(format!("move what is in \"for\" there: {name} = {{ … }}"));
    }
    if let (Some((key, _)), "fast_queue") = (parts.for_whom, name) {
        source.fault(Some(key.span()), "a queue is served in one way for all").help("take \"for\" out");
    }
}

/// What the rule says; and for `allow` and `deny`, whom it names.
fn action(
    name: &str,
    value: &Value<'_>,
    parts: &Parts<'_, '_>,
    groups: &Groups,
    source: &mut Source<'_>,
) -> Option<(Action, Option<Who>)> {
    let action = match name {
        "allow" => {
            return Some((Action::Access(Access::Allow), Some(who::read(name, value, groups, source)?)));
        }
        "deny" => return Some((Action::Access(Access::Deny), Some(who::read(name, value, groups, source)?))),
        "reserve" => Action::Reserve(count("the number of seats reserved", value, source)?),
        "limit" => {
            let (seats, scope) = (limit(value, source), scope(value, parts, source));
            Action::Limit(seats?, scope?)
        }
        "borrow" => Action::Borrow(borrow(value, source)?),
        "idle" => Action::Idle(idle(value, source)?),
        "fast_queue" => {
            if !matches!(value.get_ref(), DeValue::Boolean(true)) {
                source
                    .fault(Some(value.span()), "\"fast_queue\" is true or it is left out")
                    .help("write fast_queue = true, or take the rule out");
                return None;
            }
            Action::FastQueue
        }
        "book" => Action::Book(access(name, value, source)?),
        _ => Action::Why(access(name, value, source)?),
    };
    Some((action, None))
}

fn limit(value: &Value<'_>, source: &mut Source<'_>) -> Option<u32> {
    if matches!(value.get_ref(), DeValue::Integer(number) if number.as_str().bytes().all(|b| b == b'0')) {
        source
            .fault(Some(value.span()), "a limit is not 0")
            .help("to refuse them altogether write deny = { … }");
        return None;
    }
    count("a limit", value, source)
}

fn scope(limit: &Value<'_>, parts: &Parts<'_, '_>, source: &mut Source<'_>) -> Option<Scope> {
    const HELP: &str = "write per = \"user\", \"host\", \"group\" or \"project\"";
    let Some((_, value)) = parts.per else {
        source.fault(Some(limit.span()), "the limit says not whose seats it counts").help(HELP);
        return None;
    };
    let scope = match value.get_ref().as_str() {
        Some("user") => Some(Scope::User),
        Some("host") => Some(Scope::Host),
        Some("group") => Some(Scope::Group),
        Some("project") => Some(Scope::Project),
        _ => None,
    };
    if scope.is_none() {
        source.fault(Some(value.span()), "a limit is not counted like that").help(HELP);
    }
    scope
}

fn access(name: &str, value: &Value<'_>, source: &mut Source<'_>) -> Option<Access> {
    let access = match value.get_ref().as_str() {
        Some("allow") => Some(Access::Allow),
        Some("deny") => Some(Access::Deny),
        _ => None,
    };
    if access.is_none() {
        source
            .fault(Some(value.span()), format!("\"{name}\" is \"allow\" or \"deny\""))
            .help(format!("write {name} = \"allow\", and for = {{ … }} for whom"));
    }
    access
}

fn borrow(value: &Value<'_>, source: &mut Source<'_>) -> Option<BorrowTerms> {
    const KEYS: [&str; 3] = ["hours", "seats", "per_user"];
    let mut terms = BorrowTerms { access: Access::Allow, hours: None, seats: None, per_user: None };
    match value.get_ref() {
        DeValue::String(text) if text == "deny" => terms.access = Access::Deny,
        DeValue::String(text) if text == "allow" => {}
        DeValue::Table(table) if !table.is_empty() => {
            let mut is_good = true;
            for (key, value) in table {
                let (part, what) = match key.get_ref().as_ref() {
                    "hours" => (&mut terms.hours, "the longest time in hours"),
                    "seats" => (&mut terms.seats, "the most seats out at once"),
                    "per_user" => (&mut terms.per_user, "the most seats out at once for one user"),
                    _ => {
                        source.unknown_key(key, &KEYS);
                        is_good = false;
                        continue;
                    }
                };
                *part = count(what, value, source);
                is_good &= part.is_some();
            }
            return is_good.then_some(terms);
        }
        _ => {
            source
                .fault(Some(value.span()), "this does not say who may borrow for how long")
                .help("write borrow = { hours = 48, seats = 5, per_user = 1 }, any of the three, or \"allow\" or \"deny\"");
            return None;
        }
    }
    Some(terms)
}

fn idle(value: &Value<'_>, source: &mut Source<'_>) -> Option<u64> {
    let Some(text) = value.get_ref().as_str() else {
        let message = format!("\"idle\" is a time in quotes, this is {}", kind(value.get_ref()));
        source.fault(Some(value.span()), message).help("write idle = \"30m\"");
        return None;
    };
    let Ok(duration) = duration::parse(text) else {
        source
            .fault(Some(value.span()), format!("\"{}\" is not a duration", shown(text)))
            .help("write a whole number and ms, s, m, h or d, such as idle = \"30m\"");
        return None;
    };
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let is_good = (IDLE_MS_MIN..=IDLE_MS_MAX).contains(&ms);
    if !is_good {
        source.fault(Some(value.span()), "the time of an idle rule is not 1s to 365d");
    }
    is_good.then_some(ms)
}

fn features(value: &Value<'_>, source: &mut Source<'_>) -> Option<Features> {
    const EXAMPLE: &str = "feature = \"cad\", feature = [\"cad\", \"cam\"] or feature = \"*\"";
    let named = match value.get_ref() {
        DeValue::String(text) if text == "*" => return Some(Features::All),
        DeValue::String(text) => {
            if !source.has_room(&value.span(), 1) {
                return None;
            }
            vec![(text.as_ref(), value.span())]
        }
        _ => texts("\"feature\"", EXAMPLE, value, source),
    };
    if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
        source.fault(Some(value.span()), "the rule names no feature").help(format!("write {EXAMPLE}"));
        return None;
    }
    let mut features = Vec::with_capacity(named.len());
    let count = named.len();
    for (text, span) in named {
        let (vendor, feature) = match text.split_once('/') {
            Some((vendor, feature)) => (Some(vendor), feature),
            None => (None, text),
        };
        match (vendor.map(Name::new), Name::new(feature)) {
            (None, Some(feature)) => features.push((None, feature)),
            (Some(Some(vendor)), Some(feature)) => features.push((Some(vendor), feature)),
            _ if feature == "*" => {
                source
                    .fault(Some(span), format!("\"{}\" names all features beside others", shown(text)))
                    .help("\"*\" stands alone, without a vendor; or name each feature");
            }
            _ => {
                let message = format!("\"{}\" is not the name of a feature", shown(text));
                source
                    .fault(Some(span), message)
                    .help("a name has 1 to 64 letters, digits, _ and -; \"ACME/cad\" names the vendor too");
            }
        }
    }
    (features.len() == count && count > 0).then_some(Features::Named(features))
}
