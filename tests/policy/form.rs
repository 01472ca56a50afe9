//! What a good file says.

use std::fmt::Write as _;

use seatkeeper::policy::{RULES_MAX, read, read_file};
use seats::license::Name;
use seats::policy::{Access, Action, BorrowTerms, Features, GroupId, Members, Network, RuleSet, Scope, Who};

fn good(text: &str) -> RuleSet {
    read("policy.toml", text).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

const EVERY_FORM: &str = r#"
[groups.users]
students = ["ann", "bob"]
staff = []
[groups.hosts]
lab = ["lab1"]
[groups.addresses]
vpn = ["10.8.0.0/16", "fd00::/8", "192.0.2.7"]
[groups.projects]
falcon = ["falcon-1"]

[[rule]]
feature = "cad"
allow = "everyone"
[[rule]]
feature = "*"
deny = { users = ["eve"], hosts = ["kiosk"], addresses = ["10.0.0.0/8"], projects = ["owl"], groups = ["students", "lab", "vpn", "falcon"] }
[[rule]]
feature = ["cad", "ACME/cam"]
reserve = 3
for = { groups = ["lab"] }
[[rule]]
feature = "cad"
limit = 2
per = "user"
[[rule]]
feature = "cad"
limit = 0x10
per = "group"
for = { groups = ["students", "staff"] }
[[rule]]
feature = "cad"
limit = 4
per = "host"
for = "everyone"
[[rule]]
feature = "cad"
limit = 1_000
per = "project"
for = { projects = ["a", "b", "c", "d"] }
[[rule]]
feature = "cad"
borrow = "deny"
for = { groups = ["vpn"] }
[[rule]]
feature = "cad"
borrow = { hours = 48, seats = 5, per_user = 1 }
[[rule]]
feature = "cad"
borrow = "allow"
[[rule]]
feature = "cad"
idle = "30m"
for = { users = ["ann"] }
[[rule]]
feature = ["a", "b", "c", "d"]
fast_queue = true
[[rule]]
feature = "*"
book = "allow"
for = { users = ["scheduler"] }
[[rule]]
feature = "*"
why = "deny"
"#;

#[test]
fn every_form_of_rule_is_read_and_shown_in_one_line() {
    let set = good(EVERY_FORM);
    let lines: Vec<String> = set
        .rules
        .iter()
        .map(|rule| {
            format!("{}:{}:{} {}", rule.place.file, rule.place.line, rule.place.column, rule.place.text)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "policy.toml:12:1 allow cad for everyone",
            "policy.toml:15:1 deny * for user eve or group students and host kiosk or host group lab and \
             address 10.0.0.0/8 or address group vpn and project owl or project group falcon",
            "policy.toml:18:1 reserve 3 of cad, ACME/cam for host group lab",
            "policy.toml:22:1 limit 2 per user of cad",
            "policy.toml:26:1 limit 16 per group of cad for groups students, staff",
            "policy.toml:31:1 limit 4 per host of cad",
            "policy.toml:36:1 limit 1000 per project of cad for projects a, b, c and 1 more",
            "policy.toml:41:1 deny borrowing of cad for address group vpn",
            "policy.toml:45:1 allow borrowing of cad up to 48 hours, 5 seats, 1 per user",
            "policy.toml:48:1 allow borrowing of cad",
            "policy.toml:51:1 idle 30m when wanted of cad for user ann",
            "policy.toml:55:1 fast_queue of a, b, c and 1 more",
            "policy.toml:58:1 allow booking of * for user scheduler",
            "policy.toml:62:1 deny why of *",
        ]
    );
}

#[test]
fn what_is_read_is_what_was_written() {
    let set = good(EVERY_FORM);
    let groups: Vec<(&str, u32, &Members)> =
        set.groups.iter().map(|group| (&*group.name, group.place.line, &group.members)).collect();
    let network = |address: &str, prefix| Network { address: address.parse().unwrap(), prefix };
    assert_eq!(
        groups,
        [
            ("students", 3, &Members::Users(vec!["ann".into(), "bob".into()])),
            ("staff", 4, &Members::Users(vec![])),
            ("lab", 6, &Members::Hosts(vec!["lab1".into()])),
            (
                "vpn",
                8,
                &Members::Addresses(vec![
                    network("10.8.0.0", 16),
                    network("fd00::", 8),
                    network("192.0.2.7", 32)
                ])
            ),
            ("falcon", 10, &Members::Projects(vec!["falcon-1".into()])),
        ]
    );
    let name = |text| Name::new(text).unwrap();
    assert_eq!(set.rules[0].who, Who::default());
    assert_eq!(set.rules[1].features, Features::All);
    assert_eq!(
        set.rules[1].who,
        Who {
            users: vec!["eve".into()],
            hosts: vec!["kiosk".into()],
            addresses: vec![network("10.0.0.0", 8)],
            projects: vec!["owl".into()],
            groups: vec![GroupId(0), GroupId(2), GroupId(3), GroupId(4)],
        }
    );
    let named = Features::Named(vec![(None, name("cad")), (Some(name("ACME")), name("cam"))]);
    assert_eq!(set.rules[2].features, named);
    let allowed = |hours, seats, per_user| BorrowTerms { access: Access::Allow, hours, seats, per_user };
    let actions: Vec<Action> = set.rules.iter().map(|rule| rule.action).collect();
    assert_eq!(
        actions,
        [
            Action::Access(Access::Allow),
            Action::Access(Access::Deny),
            Action::Reserve(3),
            Action::Limit(2, Scope::User),
            Action::Limit(16, Scope::Group),
            Action::Limit(4, Scope::Host),
            Action::Limit(1000, Scope::Project),
            Action::Borrow(BorrowTerms { access: Access::Deny, hours: None, seats: None, per_user: None }),
            Action::Borrow(allowed(Some(48), Some(5), Some(1))),
            Action::Borrow(allowed(None, None, None)),
            Action::Idle(1_800_000),
            Action::FastQueue,
            Action::Book(Access::Allow),
            Action::Why(Access::Deny),
        ]
    );
}

#[test]
fn groups_keep_the_order_of_the_file() {
    let set = good("[groups.hosts]\nz = []\na = []\n[groups.users]\ny = []\nb = []\n");
    let names: Vec<&str> = set.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, ["z", "a", "y", "b"]);
}

#[test]
fn an_empty_file_is_a_policy_without_rules() {
    assert_eq!(good(""), RuleSet::default());
    assert_eq!(good("# nothing yet\n"), RuleSet::default());
    assert_eq!(good("[groups]\n"), RuleSet::default());
}

#[test]
fn columns_are_counted_in_characters_also_on_one_long_line() {
    let mut text = "rule = [".to_owned();
    for _ in 0..20_000 {
        text.push_str("{feature=\"*\",deny={users=[\"äöü\"]}}, ");
    }
    text.push(']');
    let set = good(&text);
    assert_eq!(set.rules.len(), 20_000);
    let width = "{feature=\"*\",deny={users=[\"äöü\"]}}, ".chars().count();
    for at in [0, 1, 19_999] {
        let place = &set.rules[at].place;
        assert_eq!((place.line, place.column as usize), (1, 9 + at * width));
    }
}

#[test]
fn the_largest_number_of_rules_is_read_and_one_more_is_not() {
    let mut text = String::new();
    for _ in 0..RULES_MAX {
        text.push_str("[[rule]]\nfeature=\"*\"\nfast_queue=true\n");
    }
    assert_eq!(good(&text).rules.len(), RULES_MAX);
    text.push_str("[[rule]]\nfeature=\"*\"\nfast_queue=true\n");
    let errors = read("p", &text).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].place, Some((RULES_MAX as u32 * 3 + 1, 1)));
}

#[test]
fn a_file_is_read_by_its_name_and_errors_give_its_path() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("site.toml");
    std::fs::write(&path, "[[rule]]\nfeature = \"cad\"\nallow = \"everyone\"\n").unwrap();
    let set = read_file(&path).unwrap();
    assert_eq!(&*set.rules[0].place.file, "site.toml");
    let shown = path.display();
    let mut told = String::new();
    for bytes in [&b"rule = 3\n"[..], b"x = 1\n# \xff\n"] {
        std::fs::write(&path, bytes).unwrap();
        for error in read_file(&path).unwrap_err() {
            writeln!(told, "{error}").unwrap();
        }
    }
    for unreadable in [home.path().join("none.toml"), home.path().to_owned()] {
        for error in read_file(&unreadable).unwrap_err() {
            let error = error.to_string();
            assert!(
                error.starts_with(&format!("{}: the policy cannot be read", unreadable.display())),
                "{error}"
            );
        }
    }
    assert_eq!(
        told,
        format!(
            "{shown}:1:8: \"rule\" is a list; start each rule with [[rule]], in two pairs of brackets\n\
             {shown}:2:3: this is no UTF-8; save the file as UTF-8\n"
        )
    );
}
