//! What is wrong with a bad file: where, what, and what to do.

use seatkeeper::policy::{ERRORS_MAX, FILE_BYTES_MAX, read};

/// The errors of a text, a line each.
fn errors(text: &str) -> Vec<String> {
    let errors = read("p.toml", text).expect_err("it is wrong");
    errors.iter().map(ToString::to_string).collect()
}

/// The errors of one rule about cad.
fn of_rule(lines: &str) -> Vec<String> {
    errors(&format!("[groups.users]\nstudents = [\"ann\"]\n[[rule]]\nfeature = \"cad\"\n{lines}\n"))
}

#[test]
fn a_rule_that_is_wrong_is_told_with_its_place_and_what_to_do() {
    for (lines, error) in [
        (
            "",
            "3:1: the rule says nothing; add one of allow, deny, reserve, limit, borrow, idle, fast_queue, book, why",
        ),
        (
            "allow = \"everyone\"\ndeny = \"everyone\"",
            "6:1: the rule says both \"allow\" and \"deny\"; write two rules: each says one thing",
        ),
        (
            "alow = \"everyone\"\nfast_queue = true",
            "5:1: unknown key \"alow\"; the keys here are feature, for, per, allow, deny, reserve, limit, borrow, idle, fast_queue, book, why",
        ),
        (
            "allow = \"all\"",
            "5:9: \"all\" is not \"everyone\", and names are given in a table; write allow = \"everyone\" or allow = { groups = [\"students\"] }",
        ),
        (
            "allow = true",
            "5:9: \"allow\" says for whom, this is true or false; write allow = \"everyone\" or allow = { groups = [\"students\"] }",
        ),
        (
            "deny = {}",
            "5:8: \"deny\" names nobody; write deny = \"everyone\" or deny = { groups = [\"students\"] }",
        ),
        ("deny = { users = [] }", "5:18: \"users\" names nobody; name somebody, or leave \"users\" out"),
        (
            "deny = { users = \"ann\" }",
            "5:18: \"users\" is a list of names, this is a text; write users = [\"one\", \"other\"]",
        ),
        (
            "deny = { users = [\"ann\", 7] }",
            "5:26: \"users\" is a list of names, this is a number; write users = [\"one\", \"other\"]",
        ),
        ("deny = { users = [\"\"] }", "5:19: the name of a user is empty"),
        ("deny = { users = [\" ann\"] }", "5:19: the user \" ann\" has white space at an end; write \"ann\""),
        (
            "deny = { users = [\"a\\u0007n\"] }",
            "5:19: the user \"a\u{fffd}n\" holds the control character U+0007",
        ),
        (
            "deny = { hosts = [\"render*\"] }",
            "5:19: the host \"render*\" holds a *, which stands for nothing here; name each, as a group where there are many; addresses can be given as ranges, \"10.8.0.0/16\"",
        ),
        (
            "deny = { user = [\"ann\"] }",
            "5:10: unknown key \"user\"; the keys here are users, hosts, addresses, projects, groups",
        ),
        ("deny = { groups = [\"studnets\"] }", "5:20: there is no group \"studnets\"; there are students"),
        (
            "deny = { addresses = [\"10.1.2.3/8\"] }",
            "5:23: 10.1.2.3/8 has bits set behind the first 8; write 10.0.0.0/8 for the whole network, 10.1.2.3 for that one address",
        ),
        (
            "reserve = 3",
            "5:1: the reservation is for nobody in particular; say whom the seats are kept for: for = { groups = [\"lab\"] }",
        ),
        (
            "reserve = 3\nfor = \"everyone\"",
            "5:1: the reservation is for nobody in particular; say whom the seats are kept for: for = { groups = [\"lab\"] }",
        ),
        (
            "reserve = 0\nfor = { users = [\"ann\"] }",
            "5:11: the number of seats reserved is not 1 to 2147483647",
        ),
        (
            "reserve = 2147483648\nfor = { users = [\"ann\"] }",
            "5:11: the number of seats reserved is not 1 to 2147483647",
        ),
        (
            "reserve = 99999999999999999999999\nfor = { users = [\"ann\"] }",
            "5:11: the number of seats reserved is not 1 to 2147483647",
        ),
        (
            "reserve = \"3\"\nfor = { users = [\"ann\"] }",
            "5:11: the number of seats reserved is a number, this is a text",
        ),
        (
            "limit = 2",
            "5:9: the limit says not whose seats it counts; write per = \"user\", \"host\", \"group\" or \"project\"",
        ),
        (
            "limit = 2\nper = \"users\"",
            "6:7: a limit is not counted like that; write per = \"user\", \"host\", \"group\" or \"project\"",
        ),
        ("limit = 0\nper = \"user\"", "5:9: a limit is not 0; to refuse them altogether write deny = { … }"),
        ("limit = -1\nper = \"user\"", "5:9: a limit is not 1 to 2147483647"),
        ("limit = 2.5\nper = \"user\"", "5:9: a limit is a number, this is a number with a point"),
        (
            "limit = 2\nper = \"group\"",
            "5:1: the limit is per group and names no group; say which: for = { groups = [\"students\"] }; their members are counted together, group by group",
        ),
        (
            "limit = 2\nper = \"group\"\nfor = { users = [\"ann\"] }",
            "5:1: the limit is per group and names no group; say which: for = { groups = [\"students\"] }; their members are counted together, group by group",
        ),
        (
            "reserve = 2\nper = \"user\"\nfor = { users = [\"ann\"] }",
            "6:1: \"per\" belongs to a limit, not to \"reserve\"; take it out",
        ),
        (
            "allow = \"everyone\"\nfor = { users = [\"ann\"] }",
            "6:1: \"allow\" itself says for whom; move what is in \"for\" there: allow = { … }",
        ),
        (
            "fast_queue = false",
            "5:14: \"fast_queue\" is true or it is left out; write fast_queue = true, or take the rule out",
        ),
        (
            "fast_queue = true\nfor = { users = [\"ann\"] }",
            "6:1: a queue is served in one way for all; take \"for\" out",
        ),
        (
            "borrow = {}",
            "5:10: this does not say who may borrow for how long; write borrow = { hours = 48, seats = 5, per_user = 1 }, any of the three, or \"allow\" or \"deny\"",
        ),
        ("borrow = { hours = 0 }", "5:20: the longest time in hours is not 1 to 2147483647"),
        ("borrow = { days = 2 }", "5:12: unknown key \"days\"; the keys here are hours, seats, per_user"),
        (
            "idle = \"30\"",
            "5:8: \"30\" is not a duration; write a whole number and ms, s, m, h or d, such as idle = \"30m\"",
        ),
        ("idle = 30", "5:8: \"idle\" is a time in quotes, this is a number; write idle = \"30m\""),
        ("idle = \"0s\"", "5:8: the time of an idle rule is not 1s to 365d"),
        (
            "book = \"yes\"",
            "5:8: \"book\" is \"allow\" or \"deny\"; write book = \"allow\", and for = { … } for whom",
        ),
        (
            "why = true",
            "5:7: \"why\" is \"allow\" or \"deny\"; write why = \"allow\", and for = { … } for whom",
        ),
    ] {
        assert_eq!(of_rule(lines), [format!("p.toml:{error}")], "{lines}");
    }
}

#[test]
fn a_feature_is_one_name_a_list_or_a_star() {
    for (feature, error) in [
        (
            "\"\"",
            "2:11: \"\" is not the name of a feature; a name has 1 to 64 letters, digits, _ and -; \"ACME/cad\" names the vendor too",
        ),
        (
            "\"c d\"",
            "2:11: \"c d\" is not the name of a feature; a name has 1 to 64 letters, digits, _ and -; \"ACME/cad\" names the vendor too",
        ),
        (
            "\"/cad\"",
            "2:11: \"/cad\" is not the name of a feature; a name has 1 to 64 letters, digits, _ and -; \"ACME/cad\" names the vendor too",
        ),
        (
            "\"A/B/cad\"",
            "2:11: \"A/B/cad\" is not the name of a feature; a name has 1 to 64 letters, digits, _ and -; \"ACME/cad\" names the vendor too",
        ),
        (
            "\"ACME/*\"",
            "2:11: \"ACME/*\" names all features beside others; \"*\" stands alone, without a vendor; or name each feature",
        ),
        (
            "[\"cad\", \"*\"]",
            "2:19: \"*\" names all features beside others; \"*\" stands alone, without a vendor; or name each feature",
        ),
        (
            "[]",
            "2:11: the rule names no feature; write feature = \"cad\", feature = [\"cad\", \"cam\"] or feature = \"*\"",
        ),
        (
            "7",
            "2:11: \"feature\" is a list of names, this is a number; write feature = \"cad\", feature = [\"cad\", \"cam\"] or feature = \"*\"",
        ),
    ] {
        let text = format!("[[rule]]\nfeature = {feature}\nallow = \"everyone\"\n");
        assert_eq!(errors(&text), [format!("p.toml:{error}")], "{feature}");
    }
    assert_eq!(
        errors("[[rule]]\nallow = \"everyone\"\n"),
        [
            "p.toml:1:1: the rule says not about which feature; add feature = \"cad\", or feature = \"*\" for all"
        ]
    );
}

#[test]
fn a_group_is_a_named_list_of_one_kind() {
    for (text, error) in [
        (
            "groups = 3",
            "1:10: \"groups\" is a table, this is a number; write [groups.users] and below it students = [\"ann\", \"bob\"]",
        ),
        (
            "[groups]\nstudents = [\"ann\"]",
            "2:1: unknown key \"students\"; the keys here are users, hosts, addresses, projects",
        ),
        (
            "[groups]\nusers = [\"ann\"]",
            "2:9: \"users\" holds groups by their names, this is a list; write [groups.users] and below it students = [\"ann\", \"bob\"]",
        ),
        (
            "[groups.users]\nstudents = \"ann\"",
            "2:12: a group is a list of names, this is a text; write students = [\"ann\", \"bob\"]",
        ),
        ("[groups.hosts]\nlab = [\"lab1\", \"\"]", "2:16: the name of a host is empty"),
        ("[groups.users]\n\"\" = [\"ann\"]", "2:1: the name of a group is empty"),
        (
            "[groups.addresses]\nvpn = [\"10.8.*.*\"]",
            "2:8: \"10.8.*.*\" is not a range of addresses; write \"10.8.0.0/16\"",
        ),
        (
            "[groups.users]\nlab = [\"ann\"]\n[groups.hosts]\nlab = [\"lab1\"]",
            "4:1: there is a group \"lab\" already, in line 2; rules name groups without their kind, so a name is given once",
        ),
        (
            "[groups.users]\nlab = [\"ann\"]\nlab = [\"bob\"]",
            "3:1: \"lab\" is given twice; keep one of the two; each rule starts with a [[rule]] of its own",
        ),
        (
            "[[rule]]\nfeature = \"cad\"\ndeny = { groups = [\"lab\"] }",
            "3:20: there is no group \"lab\"; there are none; a group is a line under [groups.users] or its like",
        ),
        (
            "[rule]\nfeature = \"cad\"",
            "1:1: \"rule\" is a list; start each rule with [[rule]], in two pairs of brackets",
        ),
        (
            "rules = []",
            "1:1: unknown key \"rules\"; the keys here are [groups.users], [groups.hosts], [groups.addresses], [groups.projects], [[rule]]",
        ),
    ] {
        assert_eq!(errors(text), [format!("p.toml:{error}")], "{text}");
    }
}

#[test]
fn every_error_of_a_file_is_told_in_its_order() {
    let told = errors(
        "[groups.users]\nstudents = [\"ann\", \"\", 3]\nstudents = []\n\
         [[rule]]\nfeature = \"c d\"\nlimit = 0\nper = \"none\"\nfor = { groups = [\"nobody\", \"students\", \"none\"] }\n\
         [[rule]]\nreserve = 0\nextra = 1\n",
    );
    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "p.toml:2:20",
            "p.toml:2:24",
            "p.toml:3:1",
            "p.toml:5:11",
            "p.toml:6:9",
            "p.toml:7:7",
            "p.toml:8:19",
            "p.toml:8:41",
            "p.toml:9:1",
            "p.toml:10:11",
            "p.toml:11:1"
        ],
        "{told:#?}"
    );
}

#[test]
fn a_slip_of_toml_is_told_alone() {
    let told = errors("[[rule]]\nfeature = cad\nallow = \"everyone\"\n[groups.users\n");
    assert!(told[0].starts_with("p.toml:2:"), "{told:?}");
    assert!(told.iter().all(|line| !line.contains("says not about")), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("p.toml:4:")), "both slips: {told:?}");
}

#[test]
fn errors_without_end_are_counted_and_not_all_told() {
    let mut text = "[groups.users]\n".to_owned();
    for n in 0..ERRORS_MAX + 50 {
        text.push_str(&format!("g{n} = 1\n"));
    }
    let told = errors(&text);
    assert_eq!(told.len(), ERRORS_MAX + 1);
    assert_eq!(told[ERRORS_MAX], "p.toml: and 50 more errors");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_kept() {
    let text = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(
        errors(&text),
        [format!("p.toml: {} bytes are too many for a policy; at most {FILE_BYTES_MAX}", text.len())]
    );
    let text = format!("[groups.users]\nall = [{}]\nmore = [\"a\"]\n", "\"a\",".repeat(1_000_001));
    assert_eq!(
        errors(&text),
        ["p.toml:2:7: here the names become more than 1000000; no larger policy is read"]
    );
}
