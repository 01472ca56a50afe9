//! `seatkeeperd --check` with a policy, as the program that ships.

use crate::real::daemon::{Start, run_to_end};
use crate::real::site::{Site, exclusive};

const POLICY: &str = r#"[groups.users]
students = ["ann", "bob"]

[[rule]]
feature = "cad"
reserve = 12
for = { groups = ["students"] }

[[rule]]
feature = "catia"
deny = "everyone"
"#;

#[test]
fn a_policy_is_shown_with_what_each_rule_matches_and_every_warning() {
    let site = Site::with(&[exclusive("cad", 10)]);
    site.configure("policy = \"site.toml\"");
    std::fs::write(site.path().join("site.toml"), POLICY).unwrap();
    let (code, text) = run_to_end(Start::of(&site).arg("--check"));
    assert_eq!(code, Some(0), "a warning hinders nothing: {text}");
    for line in [
        "policy: 2 rule(s), 1 group(s)",
        "  site.toml:4  reserve 12 of cad for group students",
        "      cad (ACME); 2 user(s) named",
        "  site.toml:9  deny catia for everyone",
        "2 warning(s)",
        "site.toml:4:1: reserves 12 of cad (ACME), of whose 10 seats today 10 are left for it",
        "site.toml:9:1: never matches: no license has catia",
        "0 problem(s)",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn a_bad_policy_fails_the_check_with_every_error_and_its_place() {
    let site = Site::with(&[exclusive("cad", 10)]);
    std::fs::write(
        site.path().join("bad.toml"),
        POLICY.replace("reserve = 12", "reserve = 0").replace("[\"stu", "[\"Stu"),
    )
    .unwrap();
    let (code, text) = run_to_end(Start::of(&site).arg("--check").arg("--policy").arg("bad.toml"));
    assert_eq!(code, Some(78), "{text}");
    for part in [
        "policy: 2 error(s), nothing of it is served",
        "bad.toml:6:11: the number of seats reserved is not 1 to 2147483647",
        "bad.toml:7:19: there is no group \"Students\"; there are students",
        "10 seats today",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let (code, text) = run_to_end(Start::of(&site).arg("--check").arg("--policy").arg("gone.toml"));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("gone.toml: the policy cannot be read"), "{text}");
}
