//! One case for each code, and one for each pair of codes that can apply at once: the nearest to success is named (S3, S4).
//!
//! The cases are written in the words of `model/cases/README.md`, and put to the ledger and to the naive model.

use seats::denial::Code;
use seats::ledger::{BookRequest, Patience};
use seats::policy::{Access, Action, Features, Policy, Rule, RulePlace, RuleSet, Who};
use seats::request::{Item, NameRules};

use crate::cases::run_one;
use crate::driver::{LEASE_MS, exclusive, facts};
use crate::subject_naive::Alone;
use crate::subject_server::Served;

/// What the last line comes to, for the ledger and for the model.
fn ask(title: &str, text: &str) -> String {
    let given = run_one(Served::new(), title, text);
    assert_eq!(
        given,
        run_one(Alone::new(Patience::with_lease(LEASE_MS)), title, text),
        "{title}: the ledger, the model; of\n{text}"
    );
    given
}

/// A code and the shortest way to it.
const CASES: [(Code, &str); 24] = [
    (Code::NoSeats, "license cad 1\nann@ws1: cad\nben@ws2: cad"),
    (
        Code::NoCoveredSeat,
        "license cad 1 VERSION=1.0\nlicense cad 1 ADDITIVE SN=a VERSION=2.0\nann@ws1: cad version=2.0\nben@ws2: cad version=2.0",
    ),
    (Code::ReservedForOthers, "license cad 1\nrule reserve 1 of cad for user:ann\nben@ws2: cad"),
    (Code::LimitUser, "license cad 9\nrule limit 1 per user of cad\nann@ws1: cad*2"),
    (Code::LimitHost, "license cad 9\nrule limit 1 per host of cad\nann@ws1: cad\nben@ws1: cad"),
    (
        Code::LimitGroup,
        "license cad 9\ngroup g users ann ben\nrule limit 1 per group of cad for group:g\nann@ws1: cad\nben@ws2: cad",
    ),
    (Code::LimitProject, "license cad 9\nrule limit 1 per project of cad\nann@ws1: cad*2 project=p"),
    (Code::DeniedByRule, "license cad 9\nrule deny of cad for user:ann\nann@ws1: cad"),
    (Code::NotNamed, "license cad 1 USERBASED=ALL\nann@ws1: cad"),
    (Code::UnknownFeature, "license cad 1\nann@ws1: cam"),
    (Code::AmbiguousVendor, "license cad 1\nlicense cad 1 VENDOR=BETA\nann@ws1: cad"),
    (Code::NotStarted, "license cad 1 START=1\nann@ws1: cad"),
    (Code::Expired, "license cad 1 END=-1\nann@ws1: cad"),
    (Code::VersionNotLicensed, "license cad 1 VERSION=1.0\nann@ws1: cad version=1.1"),
    (Code::ReleaseVersionRequired, "license cad 1 VERSION=1.0\nann@ws1: cad"),
    (Code::ReleaseVersionInvalid, "license cad 1\nann@ws1: cad version=x"),
    (Code::ReleaseDateInvalid, "license cad 1\nann@ws1: cad released=x"),
    (Code::Platform, "license cad 1 PLATFORMS=windows\nann@ws1: cad"),
    (Code::TimeZone, "license cad 1 TIME_ZONES=5\nann@ws1: cad"),
    (Code::ClientHostMismatch, "license cad 1 HOSTS=ws9\nann@ws1: cad"),
    (Code::ClockSuspect, "license cad 1 END=9\nclock -2\nann@ws1: cad"),
    (Code::AlreadyRemoved, "license cad 1\nann@ws1: cad\ncheckin 1\nback 1"),
    (
        Code::UnknownSession,
        "license cad 1\nann@ws1: cad\nben@ws2: cad -> no_seats\ngone ann@ws1\ncheckin 1 on=ben@ws2",
    ),
    (Code::BadRequest, "license cad 1\nann@ws1: cad*0"),
];

/// Codes that no case above can give, and why.
const OTHERWISE: [(Code, &str); 23] = [
    (Code::ResumedElsewhere, "see resumed_elsewhere_and_not_permitted_are_said_too"),
    (Code::NotPermitted, "see resumed_elsewhere_and_not_permitted_are_said_too"),
    (Code::EvaluationExpired, "comes with maintenance: rules 3"),
    (Code::SubscriptionExpired, "comes with maintenance: rules 3"),
    (Code::VersionAboveMaximum, "comes with maintenance: rules 3"),
    (Code::MaintenanceExpired, "comes with maintenance: rules 3"),
    (Code::MaintenanceNotStarted, "comes with maintenance: rules 3"),
    (Code::MinorUpdateNotIncluded, "comes with maintenance: rules 3"),
    (Code::MajorUpdateNotIncluded, "comes with maintenance: rules 3"),
    (Code::ReleaseDateRequired, "comes with maintenance: rules 3"),
    (Code::BorrowNotAllowed, "comes with borrowing: S40"),
    (Code::BorrowTooLong, "comes with borrowing: S40"),
    (Code::BorrowLimit, "comes with borrowing: S43"),
    (Code::QueueFull, "comes with the queue: S33"),
    (Code::QueueTimeout, "comes with the queue: S30"),
    (Code::NotAuthenticated, "comes with authentication: S81"),
    (Code::RateLimited, "said by the server, not by the rules: S82"),
    (Code::NotLeader, "comes with three servers"),
    (Code::ShuttingDown, "said by the server, not by the rules: S64"),
    (Code::Busy, "said by the server, not by the rules: a full queue of the engine"),
    (Code::ClientTooOld, "said by the server, not by the rules: interfaces 7"),
    (Code::ServerTooOld, "said by the server, not by the rules: interfaces 7"),
    (Code::Internal, "said by the server, not by the rules: S60"),
];

#[test]
fn every_code_has_its_case_or_a_reason_why_not() {
    for (code, text) in CASES {
        let given = ask(code.as_str(), text);
        assert_eq!(given.split(' ').next(), Some(code.as_str()), "{text}");
    }
    for code in Code::ALL {
        let has_case = CASES.iter().filter(|(c, _)| c == code).count();
        let has_reason = OTHERWISE.iter().filter(|(c, _)| c == code).count();
        assert_eq!(has_case + has_reason, 1, "{code}: give it a case, or say why it has none");
    }
}

/// S10, S24: another connection holds it. S52: the policy says who may book.
#[test]
fn resumed_elsewhere_and_not_permitted_are_said_too() {
    let text = "license cad 1\nann@ws1: cad\nben@ws2: cad -> no_seats\ncheckin 1 on=ben@ws2";
    assert_eq!(ask("resumed_elsewhere", text), "resumed_elsewhere");

    let mut server = super::server(vec![exclusive("cad", 1)]);
    let place = RulePlace { file: "policy.toml".into(), line: 1, column: 1, text: "nobody books".into() };
    let rule =
        Rule { action: Action::Book(Access::Deny), features: Features::All, who: Who::default(), place };
    let rules = RuleSet { groups: Vec::new(), rules: vec![rule] };
    server.rules(std::sync::Arc::new(Policy::new(rules, NameRules::default())));
    let item = Item { vendor: None, feature: "cad".into(), count: 1 };
    let by = facts("ann", "ws1");
    let booked = server.book(&BookRequest {
        items: std::slice::from_ref(&item),
        token: [1; 16],
        ms: 1_000,
        facts: &by,
    });
    assert_eq!(booked.map_err(|denial| denial.code), Err(Code::NotPermitted));
}

/// Something that is wrong with a request, its license or its pool.
#[derive(Clone, Copy)]
struct Fault {
    code: &'static str,
    /// Happens before, under a license that is in order.
    before: &'static str,
    /// Words of the license.
    license: &'static str,
    rules: &'static str,
    /// Facts of the request.
    facts: &'static str,
}

const NONE: Fault = Fault { code: "", before: "", license: "", rules: "", facts: "" };

/// In the order in which they are looked at (S2, S3): of two the first is said.
const IN_ORDER: [Fault; 21] = [
    Fault {
        code: "already_removed",
        before: "ann@ws1: cad version=2.0 key=77\ncheckin 1\n",
        facts: "key=77",
        ..NONE
    },
    Fault { code: "bad_request", facts: "cad*0", ..NONE },
    Fault { code: "ambiguous_vendor", license: "VENDOR", ..NONE },
    Fault { code: "denied_by_rule", rules: "rule deny of cad for user:ann\n", ..NONE },
    Fault { code: "not_started", license: "START=5", ..NONE },
    Fault { code: "expired", license: "END=-1", ..NONE },
    Fault { code: "limit_user", rules: "rule limit 0 per user of cad\n", ..NONE },
    Fault { code: "limit_host", rules: "rule limit 0 per host of cad\n", ..NONE },
    Fault {
        code: "limit_group",
        rules: "group g users ann\nrule limit 0 per group of cad for group:g\n",
        ..NONE
    },
    Fault { code: "limit_project", rules: "rule limit 0 per project of cad\n", facts: "project=p", ..NONE },
    Fault { code: "client_host_mismatch", license: "HOSTS=ws5", ..NONE },
    Fault { code: "platform", facts: "system=windows-x86_64", ..NONE },
    Fault { code: "time_zone", facts: "minutes=120", ..NONE },
    Fault { code: "release_version_invalid", facts: "version=x", ..NONE },
    Fault { code: "release_date_invalid", facts: "released=x", ..NONE },
    Fault { code: "release_version_required", facts: "version", ..NONE },
    Fault { code: "version_not_licensed", facts: "version=3.0", ..NONE },
    Fault { code: "clock_suspect", license: "END=9", rules: "clock -2\n", ..NONE },
    Fault { code: "no_seats", before: "eve@ws9: cad*2 version=2.0\n", ..NONE },
    Fault { code: "not_named", license: "USERBASED=ALL", ..NONE },
    Fault { code: "reserved_for_others", rules: "rule reserve 2 of cad for user:bob\n", ..NONE },
];

/// Two things that are said of a version cannot both be so, nor can a license be over by one day and in force by both.
fn can_apply_at_once(one: &Fault, other: &Fault) -> bool {
    let is_version = |f: &Fault| f.facts.starts_with("version");
    let is_end = |f: &Fault| f.license.starts_with("END=");
    let are = |is: &dyn Fn(&Fault) -> bool| is(one) && is(other);
    !are(&is_version) && !are(&is_end)
}

/// One pool with both faults.
fn one_pool(one: &Fault, other: &Fault) -> String {
    const GOOD: &str = "VERSION=2.0 PLATFORMS=linux TIME_ZONES=0";
    let mut text = format!("license cad 2 {GOOD}\n{}{}reload\n", one.before, other.before);
    let words: Vec<&str> =
        [one.license, other.license].into_iter().filter(|w| !w.is_empty() && *w != "VENDOR").collect();
    match words[..] {
        // Of two licenses one begins later, and the other is over.
        ["START=5", "END=-1"] => {
            text.push_str(&format!("license cad 2 {GOOD} START=5 SN=a\nlicense cad 2 {GOOD} END=-1 SN=b\n"))
        }
        _ => text.push_str(&format!("license cad 2 {GOOD} {}\n", words.join(" "))),
    }
    if [one.license, other.license].contains(&"VENDOR") {
        text.push_str("license cad 2 VENDOR=BETA\n");
    }
    text.push_str(one.rules);
    text.push_str(other.rules);
    let facts: Vec<&str> = [one.facts, other.facts].into_iter().filter(|f| !f.is_empty()).collect();
    let wanted = if facts.contains(&"cad*0") { "" } else { "cad" };
    let version = if facts.iter().any(|f| f.starts_with("version")) { "" } else { "version=2.0" };
    let facts: Vec<&str> = facts.into_iter().filter(|f| *f != "version").collect();
    text.push_str(&format!("ann@ws1: {wanted} {version} {}", facts.join(" ")));
    text
}

#[test]
fn of_two_faults_of_one_pool_the_first_in_the_order_of_the_tests_is_said() {
    let mut pairs = 0;
    for (at, one) in IN_ORDER.iter().enumerate() {
        assert_eq!(ask(one.code, &one_pool(one, &NONE)), one.code, "alone");
        for other in IN_ORDER[at + 1..].iter().filter(|other| can_apply_at_once(one, other)) {
            let title = format!("{} and {}", one.code, other.code);
            assert_eq!(ask(&title, &one_pool(one, other)), one.code, "{title}");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 21 * 20 / 2 - 4, "each pair but three about versions and one about ends");
}

/// Why a pool fails, the nearest to success first (S4; rules 3, 6.7). Pools that do not grant today are not tried.
const NEAREST: [&str; 9] = [
    "no_seats",
    "not_named",
    "reserved_for_others",
    "clock_suspect",
    "version_not_licensed",
    "release_version_required",
    "platform",
    "time_zone",
    "client_host_mismatch",
];

/// A pool that fails for that reason: what fills it before, and its words.
fn failing(code: &str) -> (&'static str, &'static str) {
    match code {
        "no_seats" => ("eve@ws9: cad*2\n", ""),
        "not_named" => ("", "USERBASED=ALL"),
        "reserved_for_others" => ("", ""),
        "clock_suspect" => ("", "END=9"),
        "version_not_licensed" => ("", "VERSION=1.0"),
        "release_version_required" => ("", "VERSION=2.0"),
        "platform" => ("", "PLATFORMS=windows"),
        "time_zone" => ("", "TIME_ZONES=5"),
        "client_host_mismatch" => ("", "HOSTS=ws5"),
        other => panic!("{other} is no fault of one pool"),
    }
}

fn two_pools(exclusive: &str, additive: &str) -> String {
    let [(fill, words), (fill_too, words_too)] = [failing(exclusive), failing(additive)];
    let mut text = format!("license cad 2\n{fill}reload\nlicense cad 2 ADDITIVE SN=b\n{fill_too}reload\n");
    text.push_str(&format!("license cad 2 {words}\nlicense cad 2 ADDITIVE SN=b {words_too}\n"));
    if [exclusive, additive].contains(&"reserved_for_others") {
        text.push_str("rule reserve 9 of cad for user:bob\n");
    }
    if [exclusive, additive].contains(&"clock_suspect") {
        text.push_str("clock -2\n");
    }
    let is_stated = ![exclusive, additive].contains(&"release_version_required");
    text.push_str(if is_stated { "ann@ws1: cad version=2.0" } else { "ann@ws1: cad" });
    text
}

#[test]
fn of_two_pools_that_deny_the_nearest_to_success_is_said() {
    let mut pairs = 0;
    for (at, near) in NEAREST.iter().enumerate() {
        for far in &NEAREST[at + 1..] {
            // One pool owns too old a version and the other needs one to be stated: that is one fault or the other.
            if (*near, *far) == ("version_not_licensed", "release_version_required") {
                continue;
            }
            for (exclusive, additive) in [(near, far), (far, near)] {
                let expected = match (*near, *far) {
                    // A free seat that does not cover this version is told.
                    ("no_seats", "version_not_licensed") => "no_covered_seat 2",
                    // Equally near: the pool that is tried first.
                    ("not_named", "reserved_for_others") => exclusive,
                    _ => near,
                };
                let title = format!("{exclusive} and {additive}");
                assert_eq!(ask(&title, &two_pools(exclusive, additive)), expected, "{title}");
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 9 * 8 - 2);
}

/// A limit is of the whole feature; but who would join a share group in a pool is not asked about limits there.
#[test]
fn a_limit_is_nearer_than_the_terms_of_another_pool() {
    for limit in IN_ORDER.iter().filter(|f| f.code.starts_with("limit_")) {
        for code in &NEAREST[3..] {
            let words = failing(code).1;
            let version = if *code == "release_version_required" { "" } else { "version=2.0" };
            let clock = if *code == "clock_suspect" { "clock -2\n" } else { "" };
            let text = format!(
                "license cad 2 SHARE=HOST\nann@ws1: cad\nreload\nlicense cad 2 SHARE=HOST {words}\n\
                 license cad 2 ADDITIVE SN=b\n{}{clock}ann@ws1: cad {version} {}",
                limit.rules, limit.facts
            );
            assert_eq!(ask(code, &text), limit.code, "{text}");
        }
    }
}
