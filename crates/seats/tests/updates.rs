//! Would a new version run (rules 3, 6.8): the vectors of the rules page, and that nothing at all comes of asking.

mod driver;

use std::sync::Arc;

use chrono::NaiveDate;
use driver::{Server, date, dump, exclusive, facts, name, request, sealed};
use seats::catalog::Catalog;
use seats::denial::Code;
use seats::ledger::{
    Advice, CANDIDATES_MAX, Candidate, CandidateAnswer, CheckoutOutcome, Ledger, UpdateAnswer, UpdateQuestion,
};
use seats::license::{
    Count, Fingerprint, KeyType, License, LicenseType, LicenseVersion, Maintenance, Place, StartTrigger,
};
use seats::maintenance::{State, UNLIMITED};
use seats::releases::{Listed, ReleaseList};
use seats::request::Item;

const CHECKS: &str = include_str!("maintenance/updates.txt");
const FIRST_CHECKOUT: &str = "VERSION=2.0, ISSUED=2026-01-10, MAINTENANCE_PERIOD=P1Y, \
     MAINTENANCE_START_TRIGGER=FIRST_CHECKOUT, MAINTENANCE_START_BY=2026-12-31";

fn numbers(text: &str) -> Vec<u32> {
    text.split('.').map(|n| n.parse().expect("a number")).collect()
}

/// A license for cad, as `NAME=VALUE, …`; of five seats unless COUNT says otherwise.
fn license(text: &str) -> License {
    let mut license = License { version: None, ..exclusive("cad", 5) };
    let mut maintenance = Maintenance::default();
    for setting in text.split(", ") {
        let (name, value) = setting.split_once('=').expect("NAME=VALUE");
        match name {
            "COUNT" if value == "UNLIMITED" => license.count = Some(Count::Unlimited),
            "COUNT" => license.count = Some(Count::Limited(value.parse().expect("a count"))),
            "ADDITIVE" => (license.key_type, license.sn) = (KeyType::Additive, Some(value.into())),
            "VERSION" => {
                let [major, minor] = numbers(value)[..] else { panic!("{value}") };
                license.version = Some(LicenseVersion { major, minor });
            }
            "START" => license.start = Some(date(value)),
            "END" => license.end = Some(date(value)),
            "ISSUED" => license.issued = Some(date(value)),
            "LICENSE_TYPE" if value == "EVALUATION" => license.license_type = LicenseType::Evaluation,
            "LICENSE_TYPE" => license.license_type = LicenseType::Subscription,
            "MAINTENANCE_END" if value == "UNLIMITED" => license.carried.maintenance_end = Some(UNLIMITED),
            "MAINTENANCE_END" => license.carried.maintenance_end = Some(date(value)),
            "MAINTENANCE_PERIOD" => maintenance.period = Some(value.parse().expect("a period")),
            "MAINTENANCE_START_TRIGGER" => maintenance.trigger = StartTrigger::FirstCheckout,
            "MAINTENANCE_START_BY" => maintenance.start_by = Some(date(value)),
            "MAINTENANCE_GRACE_DAYS" => maintenance.grace_days = value.parse().expect("days"),
            "FALLBACK_VERSION" => maintenance.fallback_version = Some(numbers(value)),
            _ => panic!("{name}"),
        }
    }
    license.carried.maintenance = Some(Box::new(maintenance));
    license
}

fn server(licenses: &str, today: NaiveDate) -> Server {
    let mut server = Server::new(today, 120_000);
    let text = licenses.replace("FC", FIRST_CHECKOUT);
    server.load(text.split(" + ").map(license).collect());
    server.sweep(1_000);
    server
}

fn stated(version: &str, released: Option<&str>, line: Option<&str>) -> Candidate {
    Candidate { version: version.into(), date: released.map(Into::into), line: line.map(Into::into) }
}

fn question(installed: Option<Candidate>, candidates: Vec<Candidate>) -> UpdateQuestion {
    let item = Item { vendor: None, feature: "CAD".into(), count: 1 };
    UpdateQuestion { item, installed, candidates }
}

fn ask(server: &Server, question: &UpdateQuestion) -> UpdateAnswer {
    server.ledger.check_update(question, server.now).expect("an answer")
}

fn code(answer: &CandidateAnswer) -> &'static str {
    answer.verdict.as_ref().map_or_else(|refused| refused.code.as_str(), |_| "GRANT")
}

/// Everything that a question might change.
fn everything(ledger: &Ledger) -> String {
    format!("{:?}\n{:?}", dump(ledger.state()), ledger.counters())
}

/// `version date line`, with `-` for what is not stated.
fn offer(text: &str) -> Candidate {
    let [version, released, line] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    stated(version, Some(released).filter(|text| *text != "-"), Some(line).filter(|text| *text != "-"))
}

#[test]
fn update_checks_are_answered_as_the_vectors_say() {
    let (mut seen, mut keys) = (Vec::new(), 0..);
    for line in CHECKS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [number, licenses, today, installed, offered, codes, newest, state, keeps, advice] = cells[..]
        else {
            panic!("{line}")
        };
        let mut server = server(licenses, date(today));
        let question = question(
            (installed != "-").then(|| stated(installed, None, None)),
            offered.split("; ").map(offer).collect(),
        );
        let before = everything(&server.ledger);
        let answer = ask(&server, &question);
        assert_eq!(everything(&server.ledger), before, "{number}: nothing comes of it");
        let found: Vec<&str> = answer.answers.iter().map(code).collect();
        assert_eq!(found.join(", "), codes, "{number}");
        let runs = answer.newest_that_will_run.map_or("-".to_owned(), |version| version.to_string());
        let wanted =
            newest.parse::<seats::version::ReleaseVersion>().map_or("-".to_owned(), |v| v.to_string());
        assert_eq!(runs, wanted, "{number}");
        assert_eq!(answer.state.as_str(), state, "{number}");
        let keeps_working = match answer.installed_keeps_working {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        assert_eq!(keeps_working, keeps, "{number}");
        assert_eq!(answer.advice.as_str(), advice, "{number}");
        // And it is what a checkout is told.
        for (candidate, answer) in question.candidates.iter().zip(&answer.answers) {
            let mut facts = facts("ann", "ws1");
            facts.release_version = Some(candidate.version.clone().into_boxed_str());
            facts.release_date = candidate.date.clone().map(String::into_boxed_str);
            facts.line_date = candidate.line.clone().map(String::into_boxed_str);
            let on = server.connect();
            let (_, told) = server.checkout(&request(keys.next().expect("a key"), facts, &[("cad", 1)]), on);
            let told = told.map_or_else(|denial| denial.code.as_str(), |_| "GRANT");
            assert_eq!(told, code(answer), "{number}: a checkout of {}", candidate.version);
        }
        seen.push(number.to_owned());
    }
    assert!(["I01", "I02", "I03", "I04", "I05"].iter().all(|one| seen.iter().any(|n| n == one)), "{seen:?}");
}

#[test]
fn the_atlassian_questioner_is_told_both_dates_and_which_version_goes_on() {
    let server = server("VERSION=1.0, MAINTENANCE_END=2012-03-31", date("2012-06-25"));
    let offers = vec![
        stated("1.0.1", Some("2012-05-02"), Some("2011-03-01")),
        stated("1.1", Some("2012-04-01"), Some("2012-04-01")),
    ];
    let answer = ask(&server, &question(Some(stated("1.0", None, None)), offers));
    assert_eq!((answer.seats, answer.days_left), (Some(5), Some(-86)));
    assert_eq!(answer.maintenance_end, Some(date("2012-03-31")));
    let refused = answer.answers[1].verdict.as_ref().expect_err("it was released a day too late");
    assert_eq!(refused.maintenance_end, Some(date("2012-03-31")));
    assert_eq!(refused.renew_to_at_least, Some(date("2012-04-01")));
    for part in ["2012-03-31", "2012-04-01", "keep working", "until then use 1.0.1 or older"] {
        assert!(refused.message.contains(part), "{part}: {}", refused.message);
    }
}

#[test]
fn with_all_seats_taken_it_is_answered_and_nobody_waits_for_it() {
    let mut server = server("VERSION=1.0, MAINTENANCE_END=2012-03-31", date("2012-03-01"));
    let on = server.connect();
    let mut ann = facts("ann", "ws1");
    ann.release_version = Some("1.0".into());
    let (_, granted) = server.checkout(&request(1, ann, &[("cad", 5)]), on);
    assert!(matches!(granted, Ok(CheckoutOutcome::Grant { .. })), "{granted:?}");

    let (before, records) = (everything(&server.ledger), server.journal.len());
    let answer = ask(&server, &question(None, vec![stated("1.1", Some("2012-02-01"), None)]));
    let one = &answer.answers[0];
    assert!(one.verdict.is_ok());
    assert_eq!((one.seats_covered, one.seats_free, answer.seats), (Some(5), Some(0), Some(5)));
    assert_eq!(everything(&server.ledger), before);
    assert_eq!(server.journal.len(), records, "no record");
    assert_eq!(server.ledger.state().waiters().count(), 0, "no waiter");
    assert_eq!(server.numbers("ACME", "cad").expect("the pool").used, 5);
}

#[test]
fn asking_is_no_first_checkout() {
    let mut server = server("FC", date("2026-05-01"));
    let check = question(None, vec![stated("2.4", Some("2026-04-20"), None)]);
    for _ in 0..3 {
        assert_eq!(ask(&server, &check).state, State::PendingFirstCheckout);
    }
    // A month later a checkout begins it, and not the check before.
    server.begin_day(date("2026-06-10"));
    server.sweep(1_000);
    let mut ann = facts("ann", "ws1");
    ann.release_version = Some("2.0".into());
    let on = server.connect();
    let (_, granted) = server.checkout(&request(1, ann, &[("cad", 1)]), on);
    assert!(granted.is_ok(), "{granted:?}");
    let answer = ask(&server, &check);
    assert_eq!((answer.state, answer.maintenance_end), (State::Active, Some(date("2027-06-10"))));
}

#[test]
fn two_of_fifteen_seats_are_told_from_all_of_them() {
    let two = "COUNT=13, VERSION=1.0, MAINTENANCE_END=2012-03-31 + COUNT=2, ADDITIVE=new, VERSION=1.0, MAINTENANCE_END=2013-03-31";
    let mut server = server(two, date("2012-06-25"));
    let offers = vec![stated("1.0", None, None), stated("1.1", Some("2012-05-01"), None)];
    let check = question(None, offers);
    let answer = ask(&server, &check);
    let seats = |answer: &UpdateAnswer, nth: usize| {
        (answer.answers[nth].seats_covered, answer.answers[nth].seats_free)
    };
    assert_eq!(answer.seats, Some(15));
    assert_eq!((seats(&answer, 0), seats(&answer, 1)), ((Some(15), Some(15)), (Some(2), Some(2))));

    // Both of the two are taken by 1.1: thirteen are free, and none of them is for 1.1.
    let mut ann = facts("ann", "ws1");
    (ann.release_version, ann.release_date) = (Some("1.1".into()), Some("2012-05-01".into()));
    let on = server.connect();
    assert!(server.checkout(&request(1, ann, &[("cad", 2)]), on).1.is_ok());
    let answer = ask(&server, &check);
    assert_eq!((seats(&answer, 0), seats(&answer, 1)), ((Some(15), Some(13)), (Some(2), Some(0))));
    assert!(answer.answers[1].verdict.is_ok(), "it runs all the same");
}

#[test]
fn seats_without_bound_are_counted_as_such() {
    let server = server("COUNT=UNLIMITED, VERSION=1.0, MAINTENANCE_END=UNLIMITED", date("2012-06-25"));
    let answer = ask(&server, &question(None, vec![stated("1.1", None, None)]));
    let one = &answer.answers[0];
    assert_eq!((answer.seats, one.seats_covered, one.seats_free), (None, None, None));
    assert_eq!((answer.maintenance_end, answer.days_left), (None, None));
}

fn listed(version: &str, day: &str, line: Option<&str>) -> Listed {
    Listed {
        version: version.parse().expect("a version"),
        date: date(day),
        line: line.map(date),
        notes: None,
    }
}

/// A server whose vendor published these releases, sorted.
fn with_list(licenses: &str, releases: Vec<Listed>) -> Server {
    let mut server = server(licenses, date("2012-06-25"));
    let list = ReleaseList {
        vendor: name("ACME"),
        feature: name("cad"),
        issued: None,
        releases,
        fingerprint: Fingerprint([1; 32]),
        place: Place { file: "cad-releases.xml".into(), line: 1, column: 1 },
        refusal: None,
    };
    let licenses = licenses.split(" + ").map(|text| Arc::new(sealed(license(text)))).collect();
    server.load_catalog(Catalog::new(licenses).with_releases(vec![Arc::new(list)]));
    server.sweep(1_000);
    server
}

#[test]
fn the_dates_of_the_release_list_win_over_those_of_the_question() {
    let releases = vec![listed("1.0", "2011-03-01", None), listed("1.1", "2012-04-01", None)];
    let server = with_list("VERSION=1.0, MAINTENANCE_END=2012-03-31", releases);
    // A day that was made up does not help, and a missing or a wrong one does no harm.
    for released in [Some("2012-03-01"), None, Some("soon")] {
        let answer = ask(&server, &question(None, vec![stated("1.1", released, None)]));
        let refused = answer.answers[0].verdict.as_ref().expect_err("its day is listed");
        assert_eq!(
            (refused.code, refused.renew_to_at_least),
            (Code::MaintenanceExpired, Some(date("2012-04-01"))),
            "{released:?}"
        );
    }
    // What is not listed is taken at its word.
    let answer = ask(&server, &question(None, vec![stated("1.2", Some("2012-03-01"), None)]));
    assert!(answer.answers[0].verdict.is_ok());
}

#[test]
fn without_offers_the_release_list_says_which_is_the_newest_that_runs() {
    let releases = vec![
        listed("1.0", "2011-03-01", None),
        listed("1.0.1", "2012-05-02", Some("2011-03-01")),
        listed("1.1", "2012-04-01", None),
        listed("1.1.1", "2012-05-10", Some("2012-04-01")),
    ];
    let server = with_list("VERSION=1.0, MAINTENANCE_END=2012-03-31", releases);
    let answer = ask(&server, &question(Some(stated("1.0", None, None)), Vec::new()));
    let told: Vec<_> = answer.answers.iter().map(|one| (one.version.as_str(), code(one))).collect();
    assert_eq!(told, [("1.1.1", "maintenance_expired"), ("1.0.1", "GRANT")]);
    assert_eq!(answer.newest_offered.map(|v| v.to_string()).as_deref(), Some("1.1.1"));
    assert_eq!(answer.advice, Advice::UpdateAvailable);
    // Who has that one already has the newest that he may install.
    let answer = ask(&server, &question(Some(stated("1.0.1", None, None)), Vec::new()));
    assert_eq!(answer.advice, Advice::NeedsRenewal);
    let answer = ask(&server, &question(Some(stated("1.1.1", None, None)), Vec::new()));
    assert_eq!((answer.advice, answer.installed_keeps_working), (Advice::NeedsRenewal, Some(false)));
}

#[test]
fn without_offers_and_without_a_list_there_is_nothing_to_say() {
    let server = server("VERSION=1.0, MAINTENANCE_END=2012-03-31", date("2012-06-25"));
    let answer = ask(&server, &question(None, Vec::new()));
    assert!(answer.answers.is_empty());
    assert_eq!((answer.newest_that_will_run, answer.newest_offered), (None, None));
    assert_eq!(answer.advice, Advice::UpToDate);
}

#[test]
fn what_is_not_served_and_what_is_too_much_is_refused() {
    let server = server("VERSION=1.0", date("2012-06-25"));
    let mut about_cam = question(None, vec![stated("1.0", None, None)]);
    about_cam.item.feature = "cam".into();
    let denied = |question| server.ledger.check_update(question, server.now).expect_err("no answer").code;
    assert_eq!(denied(&about_cam), Code::UnknownFeature);
    let most = vec![stated("1.0", None, None); CANDIDATES_MAX];
    assert_eq!(ask(&server, &question(None, most.clone())).answers.len(), CANDIDATES_MAX);
    let more = [most, vec![stated("1.0", None, None)]].concat();
    assert_eq!(denied(&question(None, more)), Code::BadRequest);
}
