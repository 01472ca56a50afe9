//! Every kind of denial that a daemon can be brought to: the details on the wire and the line of `--json` are what
//! docs/schema/denial.json says, and the events of them what docs/schema/events.json does.

use std::collections::BTreeSet;
use std::fs;

use seats::denial::Code;
use serde_json::{Value, json};
use wire::answer::Refused;
use wire::message::Answer;
use wire::request::{Checkin, Checkout, Facts, GiveUp, Hours, Release, Reload};

use crate::real::client::{Client, asking, granted, random_bytes};
use crate::real::site::{Site, exclusive, feature};
use crate::schema::{Schemas, refuses_mutations};
use crate::schemas::{by, validated_by_another};
use crate::world::{World, asked_by, locked, other_vendor, take, trusting_both};

const POLICY: &str = "[groups.users]\nstudents = [\"ann\", \"bob\"]\n\n\
     [[rule]]\nfeature = \"ruled\"\ndeny = { users = [\"eve\"] }\n\n\
     [[rule]]\nfeature = \"reserved\"\nreserve = 2\nfor = { users = [\"nora\"] }\n\n\
     [[rule]]\nfeature = \"by-user\"\nlimit = 1\nper = \"user\"\n\n\
     [[rule]]\nfeature = \"by-host\"\nlimit = 1\nper = \"host\"\n\n\
     [[rule]]\nfeature = \"by-group\"\nlimit = 1\nper = \"group\"\nfor = { groups = [\"students\"] }\n\n\
     [[rule]]\nfeature = \"by-project\"\nlimit = 1\nper = \"project\"\n\n\
     [[rule]]\nfeature = \"lent\"\nborrow = { hours = 48, seats = 1 }\n";

fn site() -> Site {
    let site = Site::new();
    let lent = locked(&site, "lent", "VERSION=\"9.9\" COUNT=\"5\" BORROW=\"24\"");
    let token = "  <FEATURE NAME=\"token\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=full VERSION=1.0 COUNT=1\"/>\n  </FEATURE>\n";
    let client_host = feature("seat", "VERSION=\"9.9\" COUNT=\"1\"").replace(
        "  </FEATURE>",
        "    <CLIENT_HOSTID><SETTING HOSTNAME=\"another\"/></CLIENT_HOSTID>\n  </FEATURE>",
    );
    let features = [
        exclusive("full", 1),
        exclusive("pair", 2),
        feature("two", "VERSION=\"9.9\" COUNT=\"1\" SN=\"new\""),
        feature("two", "KEYTYPE=\"ADDITIVE\" VERSION=\"3.0\" COUNT=\"2\" SN=\"old\""),
        exclusive("ruled", 3),
        exclusive("reserved", 2),
        exclusive("by-user", 3),
        exclusive("by-host", 3),
        exclusive("by-group", 3),
        exclusive("by-project", 3),
        feature("named", "VERSION=\"9.9\" COUNT=\"2\" USERBASED=\"ALL\""),
        feature("later", "VERSION=\"9.9\" COUNT=\"1\" START=\"2095-01-01\""),
        feature("over", "VERSION=\"9.9\" COUNT=\"1\" END=\"2020-02-29\""),
        feature("trial", "COUNT=\"1\" LICENSE_TYPE=\"EVALUATION\" END=\"2020-02-29\""),
        feature("rent", "VERSION=\"9.9\" COUNT=\"1\" LICENSE_TYPE=\"SUBSCRIPTION\" END=\"2020-02-29\""),
        feature("sold", "VERSION=\"2.0\" COUNT=\"1\" MAINTENANCE_END=\"2012-03-31\""),
        feature(
            "soon",
            "VERSION=\"2.0\" COUNT=\"1\" MAINTENANCE_START=\"2090-01-01\" MAINTENANCE_END=\"2095-01-01\"",
        ),
        feature(
            "patches",
            "VERSION=\"2.0\" COUNT=\"1\" MAINTENANCE_END=\"2095-01-01\" MAINTENANCE_UPDATES=\"NONE\"",
        ),
        feature(
            "minor",
            "VERSION=\"2.0\" COUNT=\"1\" MAINTENANCE_END=\"2095-01-01\" MAINTENANCE_UPDATES=\"MINOR\"",
        ),
        feature("capped", "VERSION=\"2.0\" COUNT=\"1\" MAINTENANCE_END=\"2095-01-01\" MAX_VERSION=\"3.0\""),
        feature("owned", "VERSION=\"2.0\" COUNT=\"1\""),
        feature("windows", "VERSION=\"9.9\" COUNT=\"1\" PLATFORMS=\"windows\""),
        feature("pacific", "VERSION=\"9.9\" COUNT=\"1\" TIME_ZONES=\"-11\""),
        client_host,
        token.to_owned(),
        lent,
    ];
    site.drop_signed("cad.xml", &features);
    other_vendor(&site, &[exclusive("full", 1)]);
    fs::write(site.path().join("policy.toml"), POLICY).expect("a policy");
    trusting_both(&site, "policy = \"policy.toml\"\n[limits]\nwaiters_per_feature = 1");
    site
}

/// What the schema is asked about, and which codes were met.
#[derive(Default)]
struct Met {
    schemas: Option<Schemas>,
    codes: BTreeSet<String>,
    lines: Vec<Value>,
    /// Members of details that were there.
    members: BTreeSet<String>,
}

impl Met {
    /// Must be refused with this code, and by the schema.
    fn refused<T: std::fmt::Debug>(&mut self, code: &str, answer: Result<T, Refused>) -> Value {
        let refused = answer.expect_err(code);
        assert_eq!(refused.code, code, "{refused:?}");
        let details = match refused.details.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).expect("details are JSON"),
        };
        let line = json!({"schema": 1, "granted": false, "code": refused.code, "message": refused.message, "details": details});
        let schemas = self.schemas.get_or_insert_with(Schemas::read);
        assert_eq!(schemas.check("denial", &line), Ok(()), "{line:#}");
        assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{code}");
        self.codes.insert(code.to_owned());
        self.lines.push(by("denial", "", &line));
        self.members.extend(details.as_object().into_iter().flat_map(|members| members.keys().cloned()));
        line
    }

    /// A checkout that must be.
    fn denied(&mut self, client: &mut Client, code: &str, asked: &Checkout) -> Value {
        let answer = client.checkout_again(asked).expect("the connection lives");
        self.refused(code, answer)
    }
}

fn one(user: &str, feature: &str) -> Checkout {
    asked_by(user, "ws7", &[("ACME", feature, 1)])
}

/// By a program that says this of itself.
fn program(feature: &str, version: Option<&str>, released: Option<&str>) -> Checkout {
    let mut asked = one("ann", feature);
    asked.facts.release_version = version.map(Into::into);
    asked.facts.release_date = released.map(Into::into);
    asked
}

fn lending(user: &str, hours: u32) -> Checkout {
    Checkout { extras: vec![Hours { hours }.extra()], ..one(user, "lent") }
}

#[test]
fn each_denial_is_what_the_schema_says() {
    let world = World::start(site(), None, "UTC");
    let mut client = world.daemon.connect();
    let client = &mut client;
    let mut met = Met::default();

    // Seats, access, limits, reservations.
    let mut of_project = one("ann", "by-project");
    of_project.facts.project = Some("wing".into());
    granted(client.checkout_again(&of_project));
    for taken in ["full", "two", "by-user", "by-host", "by-group"] {
        take(client, "ann", "ws7", &[("ACME", taken, 1)]);
    }
    let full = met.denied(client, "no_seats", &one("bob", "full"));
    assert!(full["details"]["holders"].is_array(), "{full}");
    met.denied(client, "no_covered_seat", &one("bob", "two"));
    met.denied(client, "denied_by_rule", &one("eve", "ruled"));
    met.denied(client, "reserved_for_others", &one("ann", "reserved"));
    met.denied(client, "limit_user", &one("ann", "by-user"));
    met.denied(client, "limit_host", &one("bob", "by-host"));
    met.denied(client, "limit_group", &one("bob", "by-group"));
    met.denied(client, "limit_project", &of_project_again(&of_project));
    met.denied(client, "not_named", &one("ann", "named"));
    met.denied(client, "unknown_feature", &one("ann", "nothing"));
    met.denied(client, "ambiguous_vendor", &asked_by("ann", "ws7", &[("", "full", 1)]));
    let token = met.denied(client, "no_seats", &one("bob", "token"));
    assert_eq!(token["details"]["needed_by"], "token");

    // Days, kinds of license, versions, the client's machine.
    met.denied(client, "not_started", &one("ann", "later"));
    met.denied(client, "expired", &one("ann", "over"));
    met.denied(client, "evaluation_expired", &one("ann", "trial"));
    met.denied(client, "subscription_expired", &one("ann", "rent"));
    let newer = (Some("2.1"), Some("2012-04-01"));
    met.denied(client, "maintenance_expired", &program("sold", newer.0, newer.1));
    met.denied(client, "maintenance_not_started", &program("soon", Some("2.1"), Some("2012-04-01")));
    met.denied(client, "minor_update_not_included", &program("patches", newer.0, newer.1));
    met.denied(client, "major_update_not_included", &program("minor", Some("3.0"), newer.1));
    met.denied(client, "version_above_maximum", &program("capped", Some("3.1"), newer.1));
    met.denied(client, "version_not_licensed", &program("owned", Some("3.0"), None));
    met.denied(client, "release_version_required", &program("sold", None, None));
    met.denied(client, "release_version_invalid", &program("sold", Some("new"), None));
    met.denied(client, "release_date_required", &program("sold", Some("2.1"), None));
    met.denied(client, "release_date_invalid", &program("sold", Some("2.1"), Some("2012-02-30")));
    met.denied(client, "platform", &one("ann", "windows"));
    met.denied(client, "time_zone", &one("ann", "pacific"));
    met.denied(client, "client_host_mismatch", &one("ann", "seat"));

    // Loans.
    let mut not_lent = one("ann", "owned");
    not_lent.facts.release_version = Some("2.0".into());
    not_lent.extras = vec![Hours { hours: 1 }.extra()];
    met.denied(client, "borrow_not_allowed", &not_lent);
    met.denied(client, "borrow_too_long", &lending("ann", 25));
    granted(client.checkout_again(&lending("ann", 1)));
    met.denied(client, "borrow_limit", &lending("bob", 1));

    // The queue: one place for each feature, and an end to the wait.
    let mut waiting = world.daemon.connect();
    let call = waiting.send(&Checkout { wait_seconds: Some(1), ..one("bob", "full") }).expect("it is sent");
    let Answer::Waiting(place) = waiting.answer(call).expect("an answer") else { panic!("not in the queue") };
    met.denied(client, "queue_full", &Checkout { wait_seconds: Some(60), ..one("cy", "full") });
    let late = crate::real::until("its wait is over", || {
        let again = waiting.checkout_again(&one("bob", "by-host")).expect("the connection lives");
        assert!(again.is_err());
        let left = waiting.feature("full")["queued"] == 0;
        left.then(|| {
            waiting.ask(&GiveUp { waiter: place.waiter, extras: vec![] }).expect("the connection lives")
        })
    });
    met.codes.extend(late.err().map(|refused| refused.code));

    // A seat is free, and somebody waits for two.
    take(client, "ann", "ws7", &[("ACME", "pair", 1)]);
    let both = asked_by("bob", "ws7", &[("ACME", "pair", 2)]);
    let call = waiting.send(&Checkout { wait_seconds: Some(600), ..both }).expect("it is sent");
    assert!(matches!(waiting.answer(call), Ok(Answer::Waiting(_))));
    let after = met.denied(client, "no_seats", &one("cy", "pair"));
    assert_eq!(after["details"]["queued_before_you"], 1);

    // Sessions that are gone, or never were, and what is asked wrongly or by the wrong.
    let held = take(client, "ann", "ws7", &[("ACME", "ruled", 1)]);
    let mut admin = world.daemon.admin();
    granted(admin.ask(&Release {
        session: held.sessions[0].0,
        reason: "backup".into(),
        ..Release::default()
    }));
    let gone = granted_or_refused(client.resume(&held));
    let gone = met.refused("already_removed", gone);
    assert!(gone["details"]["session"].is_string(), "{gone}");
    let unknown = client.ask(&Checkin { session: 987_654_321, count: 0, extras: vec![] });
    met.refused("unknown_session", granted_or_refused(unknown));
    met.denied(client, "bad_request", &asked_by("ann", "ws7", &[("ACME", "full", 0)]));
    let not_admin = client.ask(&Reload::default());
    met.refused("not_permitted", granted_or_refused(not_admin));
    for (lowest, code) in [(0, "client_too_old"), (200, "server_too_old")] {
        let mut other = Client::silent(world.daemon.address()).expect("a connection");
        let mut hello = crate::real::client::hello(random_bytes());
        (hello.lowest, hello.highest) = (lowest, lowest);
        let refused = other.ask(&hello);
        if let Ok(refused) = refused {
            met.refused(code, refused);
        }
    }

    let all: BTreeSet<String> = Schemas::read().part("denial", "details")["properties"]
        .as_object()
        .expect("members")
        .keys()
        .cloned()
        .collect();
    // That the server was restarted is said below.
    let missed: Vec<&String> = all.difference(&met.members).collect();
    assert_eq!(missed, ["recovering"], "of these there should be an example");
    println!("{} codes: {:?}", met.codes.len(), met.codes);
    assert!(met.codes.len() >= 38, "{} codes: {:?}", met.codes.len(), met.codes);

    // A wrong document is no denial.
    let schemas = Schemas::read();
    for line in [&full, &token] {
        let may_miss = refuses_mutations(|line| schemas.check("denial", line), line);
        let details: BTreeSet<String> =
            line["details"].as_object().expect("details").keys().cloned().collect();
        assert!(may_miss.is_subset(&details), "{may_miss:?}");
    }
    for (member, wrong) in [("granted", json!(true)), ("schema", json!(2)), ("code", json!(7))] {
        let mut line = full.clone();
        line[member] = wrong;
        assert!(schemas.check("denial", &line).is_err(), "{member}");
    }

    // The command line prints that line, and exits with 75; `why` says the same of a denial to come.
    for (words, code) in [
        (&["checkout", "ACME/full", "--version", "4.2", "--for", "0", "--json"][..], "no_seats"),
        (&["checkout", "full", "--version", "4.2", "--for", "0", "--json"], "ambiguous_vendor"),
        (
            &["checkout", "sold", "--version", "2.1", "--released", "2012-04-01", "--for", "0", "--json"],
            "maintenance_expired",
        ),
        (&["checkout", "nothing", "--for", "0", "--json"], "unknown_feature"),
        (&["borrow", "owned", "--version", "2.0", "--hours", "3", "--json"], "borrow_not_allowed"),
    ] {
        let (exit, text) = world.reader.try_run(words, false);
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"));
        assert_eq!((exit, line["code"].as_str()), (75, Some(code)), "{words:?}: {text}");
        assert_eq!(schemas.check("denial", &line), Ok(()), "{line:#}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    for (user, name, code) in [
        ("eve", "ruled", "denied_by_rule"),
        ("bob", "ACME/full", "no_seats"),
        ("ann", "later", "not_started"),
    ] {
        let (exit, text) = world.reader.try_run(&["why", user, name, "--version", "4.2", "--json"], true);
        let why: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
        assert_eq!((exit, why["code"].as_str()), (75, Some(code)), "{text}");
        assert_eq!(schemas.check_by("status", schemas.part("status", "why"), &why, "why"), Ok(()), "{why:#}");
    }

    // And each of them was told.
    let events = world.reader.json(&["events"]);
    assert_eq!(schemas.check("events", &events), Ok(()));
    let told: BTreeSet<&str> = events["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["kind"] == "session.denied")
        .filter_map(|event| event["code"].as_str())
        .collect();
    assert!(told.len() >= 30, "{told:?}");

    // After a crash the seats of who has not come back count as used.
    let mut world = world;
    world.restart();
    let recovering = met.denied(&mut world.daemon.connect(), "no_seats", &one("bob", "full"));
    assert_eq!(recovering["details"]["recovering"], true, "{recovering}");
    validated_by_another(&met.lines);
}

/// The same project, another request.
fn of_project_again(asked: &Checkout) -> Checkout {
    Checkout {
        facts: Facts { user: "bob".into(), ..asked.facts.clone() },
        items: asked.items.clone(),
        ..asking(&[])
    }
}

fn granted_or_refused<T>(answer: std::io::Result<Result<T, Refused>>) -> Result<T, Refused> {
    answer.expect("the connection lives")
}
