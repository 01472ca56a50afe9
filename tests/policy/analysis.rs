//! What `--check` says of rules that do nothing, and of seats that nobody gets.

use std::sync::Arc;

use chrono::NaiveDate;
use seatkeeper::hostid::HostFacts;
use seatkeeper::licenses::{Loader, LoaderConfig, Signatures};
use seatkeeper::policy::analysis::{Analysis, analyze};
use seatkeeper::policy::read;
use seats::catalog::Catalog;
use seats::license::{Based, License, Special};
use seats::request::NameRules;

use crate::real::site::{exclusive, feature};

const DAY: NaiveDate = NaiveDate::from_ymd_opt(2030, 6, 30).unwrap();

fn licenses(features: &[String]) -> Vec<Arc<License>> {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("all.xml"), format!("<LICENSEFILE>{}</LICENSEFILE>", features.concat()))
        .unwrap();
    let config = LoaderConfig {
        directory: home.path().to_owned(),
        trusted: Vec::new(),
        signatures: Signatures::Optional,
        last_good: None,
    };
    let set = Loader::new(config, HostFacts::collect(None, &[])).load().unwrap();
    assert!(set.problems.is_empty(), "{:?}", set.problems);
    set.licenses
}

/// A server with 20 seats of cad, 5 of cam and any number of sim.
fn site() -> Catalog {
    let sim = feature("sim", "VERSION=\"9.9\" COUNT=\"UNLIMITED\"");
    Catalog::new(licenses(&[exclusive("cad", 20), exclusive("cam", 5), sim]))
}

fn analysis(text: &str, catalog: &Catalog) -> Analysis {
    let rules = read("p", text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    analyze(&rules, NameRules::default(), catalog, DAY)
}

fn warnings(text: &str) -> Vec<String> {
    analysis(text, &site()).warnings.iter().map(ToString::to_string).collect()
}

/// The warnings of rules, each given as its lines.
fn of_rules(groups: &str, rules: &[&str]) -> Vec<String> {
    let rules: String = rules.iter().map(|rule| format!("[[rule]]\n{rule}\n")).collect();
    warnings(&format!("{groups}\n{rules}"))
}

#[test]
fn each_rule_says_what_it_can_match() {
    let text = r#"
[groups.users]
students = ["ann", "bob"]
[groups.hosts]
lab = ["lab1"]
[[rule]]
feature = "*"
deny = { users = ["eve"], groups = ["students", "lab"] }
[[rule]]
feature = ["cad", "cam"]
limit = 2
per = "user"
[[rule]]
feature = "CAD"
borrow = "deny"
for = { addresses = ["10.0.0.0/8"], projects = ["owl", "falcon"] }
"#;
    assert_eq!(
        analysis(text, &site()).to_string(),
        "3 rule(s), 2 group(s)\n\
         \x20 p:6  deny * for user eve or group students and host group lab\n\
         \x20     cad, cam, sim; 3 user(s), 1 host(s) named\n\
         \x20 p:9  limit 2 per user of cad, cam\n\
         \x20     cad, cam; everyone\n\
         \x20 p:13  deny borrowing of CAD for address 10.0.0.0/8 and projects owl, falcon\n\
         \x20     CAD; 1 range(s) of addresses, 2 project(s) named\n\
         0 warning(s)"
    );
}

#[test]
fn a_rule_that_can_match_nothing_is_warned_of() {
    assert_eq!(
        of_rules(
            "[groups.users]\nnone = []\nall = [\"ann\"]",
            &[
                "feature = \"cat\"\nfast_queue = true",
                "feature = [\"cad\", \"cae\"]\nfast_queue = true",
                "feature = \"ACME/cad\"\nfast_queue = true",
                "feature = \"cad\"\ndeny = { groups = [\"none\"] }",
                "feature = \"cad\"\ndeny = { groups = [\"none\", \"all\"] }",
            ]
        ),
        [
            "p:4:1: never matches: no license has cat; there is cad, cam",
            "p:7:1: no license has cae",
            "p:10:1: never matches: no license has ACME/cad; there is cad, cam",
            "p:13:1: never matches: group none is empty",
            "p:2:1: group none is empty",
        ]
    );
}

#[test]
fn a_rule_behind_one_for_as_many_or_more_never_decides() {
    let groups = "[groups.users]\nall = [\"ann\", \"bob\"]\nsome = [\"BOB\"]\n[groups.hosts]\nlab = [\"lab1\"]\n\
                  [groups.addresses]\nnet = [\"10.0.0.0/8\"]\n";
    let deny = |who: &str| format!("feature = \"cad\"\ndeny = {who}");
    let hidden = |first: &str, second: &str| {
        let told = of_rules(groups, &[first, second]);
        let told: Vec<&String> = told.iter().filter(|line| line.contains("never decides")).collect();
        assert!(
            told.len() <= 1 && told.iter().all(|line| line.contains("never decides: line 9 comes first")),
            "{told:?}"
        );
        !told.is_empty()
    };
    for (first, second, is_hidden) in [
        ("\"everyone\"", "{ users = [\"ann\"] }", true),
        ("\"everyone\"", "\"everyone\"", true),
        ("{ users = [\"ann\"] }", "\"everyone\"", false),
        ("{ users = [\"ann\", \"bob\"] }", "{ users = [\"BOB\"] }", true),
        ("{ users = [\"ann\"] }", "{ users = [\"ann\", \"bob\"] }", false),
        ("{ groups = [\"all\"] }", "{ users = [\"ACME\\\\Ann\"] }", true),
        ("{ groups = [\"all\"] }", "{ groups = [\"some\"] }", true),
        ("{ groups = [\"some\"] }", "{ groups = [\"all\"] }", false),
        ("{ users = [\"bob\"] }", "{ groups = [\"some\"] }", true),
        ("{ users = [\"ann\"] }", "{ users = [\"ann\"], hosts = [\"lab1\"] }", true),
        ("{ users = [\"ann\"], hosts = [\"lab1\"] }", "{ users = [\"ann\"] }", false),
        ("{ users = [\"ann\"] }", "{ hosts = [\"lab1\"] }", false),
        ("{ hosts = [\"ann\"] }", "{ users = [\"ann\"] }", false),
        ("{ groups = [\"lab\"] }", "{ hosts = [\"LAB1.acme.example\"], users = [\"ann\"] }", true),
        ("{ groups = [\"net\"] }", "{ addresses = [\"10.1.0.0/16\", \"10.2.3.4\"] }", true),
        ("{ addresses = [\"10.1.0.0/16\"] }", "{ groups = [\"net\"] }", false),
        ("{ addresses = [\"10.0.0.0/7\"] }", "{ groups = [\"net\"] }", true),
        ("{ addresses = [\"0.0.0.0/0\"] }", "{ addresses = [\"::/0\"] }", false),
    ] {
        assert_eq!(hidden(&deny(first), &deny(second)), is_hidden, "{first} before {second}");
    }
    for (first, second, is_hidden) in [
        ("feature = \"*\"\nwhy = \"allow\"", "feature = \"cad\"\nwhy = \"deny\"", true),
        ("feature = \"cad\"\nwhy = \"allow\"", "feature = \"*\"\nwhy = \"deny\"", false),
        ("feature = [\"cad\", \"cam\"]\nwhy = \"allow\"", "feature = \"CAM\"\nwhy = \"deny\"", true),
        ("feature = \"cad\"\nwhy = \"allow\"", "feature = [\"cad\", \"cam\"]\nwhy = \"deny\"", false),
        ("feature = \"cad\"\nwhy = \"allow\"", "feature = \"cad\"\nbook = \"deny\"", false),
        (
            "feature = \"cad\"\nlimit = 1\nper = \"user\"",
            "feature = \"cad\"\nlimit = 1\nper = \"host\"",
            false,
        ),
        (
            "feature = \"cad\"\nlimit = 1\nper = \"user\"",
            "feature = \"cad\"\nlimit = 2\nper = \"user\"",
            true,
        ),
        // Reservations all apply.
        (
            "feature = \"cad\"\nreserve = 1\nfor = { users = [\"ann\"] }",
            "feature = \"cad\"\nreserve = 2\nfor = { users = [\"ann\"] }",
            false,
        ),
        (
            "feature = \"cad\"\nlimit = 1\nper = \"group\"\nfor = { groups = [\"all\"] }",
            "feature = \"cad\"\nlimit = 2\nper = \"group\"\nfor = { groups = [\"some\"] }",
            true,
        ),
        // Of the first, ann as a user is in no group that it counts: the second counts her.
        (
            "feature = \"cad\"\nlimit = 1\nper = \"group\"\nfor = { users = [\"ann\"], groups = [\"some\"] }",
            "feature = \"cad\"\nlimit = 2\nper = \"group\"\nfor = { groups = [\"all\"] }",
            false,
        ),
    ] {
        assert_eq!(hidden(first, second), is_hidden, "{first} before {second}");
    }
}

#[test]
fn several_rules_for_everyone_hide_one_about_all_their_features() {
    assert_eq!(
        of_rules(
            "",
            &[
                "feature = \"cad\"\nwhy = \"allow\"",
                "feature = \"cam\"\nwhy = \"allow\"",
                "feature = [\"cad\", \"cam\"]\nwhy = \"deny\"",
            ]
        ),
        ["p:8:1: never decides: line 5 comes first, \"allow why of cam\""]
    );
}

#[test]
fn several_narrower_rules_hide_one_that_is_for_no_more_than_they_are_together() {
    let groups =
        "[groups.users]\nall = [\"ann\", \"bob\", \"cat\"]\nsome = [\"BOB\"]\nmost = [\"ann\", \"bob\"]\n";
    let allow = |who: &str| format!("feature = \"cad\"\nallow = {who}");
    let ann_and_some = [allow("{ users = [\"ann\"] }"), allow("{ groups = [\"some\"] }")];
    let told = |last: &str| {
        let rules: Vec<String> = ann_and_some.iter().cloned().chain([last.to_owned()]).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let told = of_rules(groups, &rules);
        told.into_iter().filter(|line| line.contains("never decides")).collect::<Vec<_>>()
    };
    let hidden =
        ["p:12:1: never decides: lines 6 and 9 come first, each for some of those it is for".to_owned()];
    assert_eq!(told("feature = \"cad\"\ndeny = { groups = [\"most\"] }"), hidden);
    assert_eq!(told("feature = \"cad\"\ndeny = { users = [\"bob\", \"Ann\"], hosts = [\"ws7\"] }"), hidden);
    for decides in [
        "feature = \"cad\"\ndeny = { groups = [\"all\"] }",
        "feature = \"cad\"\ndeny = { users = [\"ann\", \"dora\"] }",
        "feature = \"cad\"\ndeny = { hosts = [\"ann\", \"bob\"] }",
        "feature = [\"cad\", \"cam\"]\ndeny = { groups = [\"most\"] }",
        "feature = \"cad\"\nlimit = 1\nper = \"user\"\nfor = { groups = [\"most\"] }",
    ] {
        assert_eq!(told(decides), [""; 0], "{decides}");
    }
    // Only who sits at ws7 is decided for by the first.
    let at_ws7 = allow("{ users = [\"ann\"], hosts = [\"ws7\"] }");
    let some = allow("{ groups = [\"some\"] }");
    let rules = [at_ws7.as_str(), &some, "feature = \"cad\"\ndeny = { groups = [\"most\"] }"];
    assert!(!of_rules(groups, &rules).iter().any(|line| line.contains("never decides")));
}

#[test]
fn a_group_that_does_nothing_is_warned_of() {
    assert_eq!(
        warnings("[groups.users]\nidle = [\"ann\"]\n[groups.hosts]\nnone = []\n"),
        [
            "p:2:1: group idle is named by no rule",
            "p:4:1: group none is empty",
            "p:4:1: group none is named by no rule"
        ]
    );
}

#[test]
fn reservations_and_limits_are_held_against_the_total() {
    let reserve = |feature: &str, seats: u32| {
        format!("feature = \"{feature}\"\nreserve = {seats}\nfor = {{ users = [\"ann\"] }}")
    };
    let limit =
        |feature: &str, seats: u32| format!("feature = \"{feature}\"\nlimit = {seats}\nper = \"user\"");
    let rules = [
        reserve("cad", 15),
        reserve("cad", 5),
        reserve("cam", 4),
        reserve("*", 3),
        reserve("sim", 1_000_000),
        limit("cad", 20),
        limit("cam", 6),
        limit("sim", 1_000_000),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    assert_eq!(
        of_rules("", &rules),
        [
            "p:14:1: reserves 3 of cad, of whose 20 seats today 0 are left for it",
            "p:26:1: a limit of 6 is never reached: there are 5 seats today",
        ]
    );
}

#[test]
fn seats_that_only_a_reservation_opens_need_one() {
    let with = |special: Special| {
        let mut all = licenses(&[exclusive("cad", 20)]);
        Arc::make_mut(&mut all[0]).carried.special = Some(Box::new(special));
        Catalog::new(all)
    };
    let told = |text: &str, special: Special| -> Vec<String> {
        analysis(text, &with(special)).warnings.iter().map(ToString::to_string).collect()
    };
    let of_users = "[[rule]]\nfeature = \"cad\"\nreserve = 6\nfor = { users = [\"ann\"] }\n";
    let of_hosts = "[[rule]]\nfeature = \"cad\"\nreserve = 6\nfor = { hosts = [\"lab1\"] }\n";
    let eight = || Special { user_based: Some(Based::Seats(8)), ..Special::default() };
    let all = || Special { host_based: Some(Based::All), ..Special::default() };
    assert_eq!(
        told(of_users, eight()),
        ["cad: 2 of 8 USERBASED seats are in no reservation for named users: nobody can use them"]
    );
    assert_eq!(told(&format!("{of_users}{of_users}"), eight()), [""; 0]);
    assert_eq!(
        told(of_hosts, eight()),
        ["cad: 8 of 8 USERBASED seats are in no reservation for named users: nobody can use them"]
    );
    assert_eq!(
        told(of_hosts, all()),
        ["cad: 14 of 20 HOSTBASED seats are in no reservation for named hosts: nobody can use them"]
    );
}

/// Ten thousand rules about one feature, none of which hides another: each pair could be looked at.
#[test]
fn ten_thousand_rules_are_looked_at_in_a_moment() {
    let mut text = "[groups.users]\nall = [\"ann\", \"bob\"]\n".to_owned();
    for n in 0..10_000 {
        text.push_str(&format!(
            "[[rule]]\nfeature = \"cad\"\ndeny = {{ groups = [\"all\"], hosts = [\"h{n}\"] }}\n"
        ));
    }
    text.push_str("[[rule]]\nfeature = \"cad\"\ndeny = { users = [\"bob\"], hosts = [\"h77\"] }\n");
    let told: Vec<String> = analysis(&text, &site()).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["p:30003:1: never decides: line 234 comes first, \"deny cad for group all and host h77\""]
    );
}
