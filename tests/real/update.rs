//! Would a new version run? Asked of the daemon that ships, by the command that installers call (rules 3, 6.8).

use std::process::Command;

use seatkeeper::vendor::{Template, VendorKey, sign_catalog};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::request::{self, Candidate};

use crate::real::client::{Client, asking, granted, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature};

/// Maintenance ended in 2012, two additive seats have it until 2030; nothing here hangs on today.
fn site() -> Site {
    Site::with(&[
        feature("cad", "VERSION=\"1.0\" COUNT=\"13\" MAINTENANCE_END=\"2012-03-31\""),
        feature(
            "cad",
            "KEYTYPE=\"ADDITIVE\" SN=\"new\" VERSION=\"1.0\" COUNT=\"2\" MAINTENANCE_END=\"2013-03-31\"",
        ),
    ])
}

/// An installer on a machine of its own: its install id lies in its home.
struct Installer {
    home: TempDir,
    server: String,
}

struct Told {
    code: i32,
    out: String,
    error: String,
}

impl Installer {
    fn of(server: impl ToString) -> Installer {
        let home = TempDir::with_prefix("seatkeeper-").expect("a temporary directory");
        Installer { home, server: server.to_string() }
    }

    fn run(&self, words: &str) -> Told {
        let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
            .arg("update-check")
            .args(words.split_whitespace())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path())
            .env("SEATKEEPER_SERVER", &self.server)
            .output()
            .expect("the command runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let code = output.status.code().expect("it exits");
        Told { code, out: text(output.stdout), error: text(output.stderr) }
    }

    fn json(&self, words: &str) -> (i32, Value) {
        let told = self.run(&format!("{words} --json"));
        assert!(told.error.is_empty(), "{words}: {}", told.error);
        assert_eq!(told.out.lines().count(), 1, "one line: {}", told.out);
        (told.code, serde_json::from_str(&told.out).expect("JSON"))
    }
}

fn check(version: &str, released: Option<&str>) -> request::UpdateCheck {
    let date = released.map(str::to_owned);
    request::UpdateCheck {
        feature: "cad".into(),
        candidates: vec![Candidate { version: version.into(), date, line: None }],
        ..Default::default()
    }
}

/// What an administrator sees, without what changes by itself: the age of the server and its connections.
fn status(daemon: &Daemon) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["status", "--json", "--admin"])
        .arg(daemon.admin_path())
        .output()
        .expect("the command runs");
    let mut status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Who looks is a connection too, and each session's client was heard a moment ago.
    if let Some(server) = status["server"].as_object_mut() {
        server.remove("connections");
        server.remove("uptime_seconds");
    }
    for session in status["sessions"].as_array_mut().into_iter().flatten() {
        session["last_seen"].take();
    }
    status.to_string()
}

fn takes_all(client: &mut Client) {
    let mut asked = asking(&[("cad", 13)]);
    asked.facts.release_version = Some("1.0".into());
    granted(client.checkout_again(&asked));
    let mut asked = asking(&[("cad", 2)]);
    asked.facts.release_version = Some("1.0".into());
    granted(client.checkout_again(&asked));
}

#[test]
fn the_exit_status_tells_an_installer_what_to_do() {
    let site = site();
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());

    let told =
        installer.run("cad --version 1.0.1 --released 2012-05-02 --line-date 2011-03-01 --installed 1.0");
    assert_eq!((told.code, told.error.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("ACME/cad 1.0.1 will run, on all 15 seats; 15 free now"), "{}", told.out);
    assert!(told.out.starts_with("update available: "), "{}", told.out);
    assert!(told.out.lines().all(|line| line.chars().count() <= 80), "{}", told.out);

    let told = installer.run("--feature cad --version 1.1 --released 2012-04-01");
    assert_eq!(told.code, 0);
    let text = told.out.replace('\n', " ");
    assert!(
        text.contains("on 2 of 15 seats; 2 free now. Maintenance covers releases up to 2013-03-31."),
        "{text}"
    );

    let told = installer.run("ACME/cad --version 1.2 --released 2013-04-01 --installed 1.0");
    assert_eq!((told.code, told.error.as_str()), (3, ""), "{}", told.out);
    let text = told.out.replace('\n', " ");
    assert!(text.starts_with("update available, needs renewal (your version keeps working): "), "{text}");
    for part in ["1.2 will not run", "2013-03-31", "2013-04-01", "keep working"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, answer) = installer.json("cad --version 1.2 --released 2013-04-01 --installed 1.0");
    assert_eq!(code, 3);
    let one = &answer["answers"][0];
    assert_eq!((&one["code"], &one["will_run"]), (&json!("maintenance_expired"), &json!(false)));
    assert_eq!(
        (&one["maintenance_end"], &one["renew_to_at_least"]),
        (&json!("2013-03-31"), &json!("2013-04-01"))
    );
    assert_eq!(
        (&answer["advice"], &answer["installed_keeps_working"]),
        (&json!("update_needs_renewal"), &json!(true))
    );
    assert_eq!(
        (&answer["schema"], &answer["seats"], &answer["unlimited"]),
        (&json!(1), &json!(15), &json!(false))
    );
    assert_eq!(answer["maintenance"]["state"], "EXPIRED");

    // Both covered seats are taken; the program would run all the same.
    let mut client = daemon.connect();
    let mut asked = asking(&[("cad", 2)]);
    (asked.facts.release_version, asked.facts.release_date) = (Some("1.1".into()), Some("2012-04-01".into()));
    let held = granted(client.checkout_again(&asked)).0;
    let told = installer.run("cad --version 1.1 --released 2012-04-01");
    assert_eq!(told.code, 4, "{}", told.out);
    assert!(
        told.out.replace('\n', " ").contains("on 2 of 15 seats; none of them is free now."),
        "{}",
        told.out
    );
    client.give_back(&held);
    assert_eq!(installer.run("cad --version 1.1 --released 2012-04-01").code, 0);

    for words in [
        "",
        "cad --version 1.x",
        "cad --no-such",
        "cad --released 2012-04-01",
        "cad --feature cad",
        "cad --version 1.1 --released 2012-04-01 --line-date 2012-04-02",
        "cad --server :",
        "A/cad --vendor B",
    ] {
        let told = installer.run(words);
        assert_eq!((told.code, told.out.as_str()), (2, ""), "{words}: {}", told.error);
        assert!(!told.error.is_empty(), "{words}");
    }
    assert_eq!(installer.run("--help").code, 0);

    let told = installer.run("cam --version 1.1");
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.error.contains("unknown_feature"), "{}", told.error);
    let told = installer.run("cad");
    assert_eq!(told.code, 1, "no vendor's list is here: {}", told.out);
    assert!(told.error.contains("name one with --version"), "{}", told.error);
}

#[test]
fn where_no_server_answers_it_cannot_be_told_and_the_next_of_a_list_is_asked() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let told = Installer::of(nobody).run("cad --version 1.1");
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.error.contains("no license server answers"), "{}", told.error);

    // One that does not answer, one that does not sell it, one that does.
    let (other, this) = (Site::with(&[feature("cam", "COUNT=\"1\"")]), site());
    let (sells_cam, sells_cad) = (Daemon::start(&other), Daemon::start(&this));
    let servers = format!("{nobody},{},{}", sells_cam.address(), sells_cad.address());
    assert_eq!(Installer::of(servers).run("cad --version 1.0").code, 0);
}

#[test]
fn with_all_seats_taken_it_is_answered_and_leaves_no_trace() {
    let site = site();
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    takes_all(&mut client);
    let installer = Installer::of(daemon.address());
    daemon.await_used("cad", 15);
    let mut admin = daemon.admin();
    let mut last_event = || {
        let asked = request::Events { after: Some(0), ..Default::default() };
        let answer: Value = serde_json::from_str(&granted(admin.ask(&asked)).json).expect("JSON");
        answer["last"].clone()
    };
    let (before, events) = (status(&daemon), last_event());
    for (words, code) in [
        ("cad --version 1.0", 4),
        ("cad --version 1.1 --released 2012-04-01", 4),
        ("cad --version 1.2 --released 2013-04-01", 3),
        ("cad --version 1.2", 3),
        ("cam --version 1.0", 1),
    ] {
        let told = installer.run(words);
        assert_eq!(told.code, code, "{words}: {}{}", told.out, told.error);
    }
    assert_eq!(status(&daemon), before, "byte for byte");
    assert_eq!(last_event(), events, "nothing happened");
    assert_eq!(client.heartbeat().expect("it is served"), 2);

    // The journal says the same as before it was asked.
    drop(client);
    daemon.kill();
    let daemon = Daemon::start(&site);
    daemon.await_used("cad", 15);
    let installer = Installer::of(daemon.address());
    assert_eq!(installer.run("cad --version 1.1 --released 2012-04-01").code, 4);
}

#[test]
fn the_sixty_first_check_of_a_minute_is_refused_and_a_checkout_is_not() {
    let site = site();
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());
    // Two connections of one installation have one minute together.
    let id = [7; 16];
    let mut clients = [daemon.connect_as(id), daemon.connect_as(id)];
    for nth in 0..60 {
        granted(clients[nth % 2].ask(&check("1.1", Some("2012-04-01"))));
    }
    for client in &mut clients {
        let no = client
            .ask(&check("1.1", Some("2012-04-01")))
            .expect("the connection lives")
            .expect_err("too many");
        assert_eq!(no.code, "rate_limited");
        assert!(
            no.message.contains("60 update checks") && no.message.contains("ask again in"),
            "{}",
            no.message
        );
        assert_eq!(client.heartbeat().expect("it goes on"), 0);
    }
    let mut asked = asking(&[("cad", 1)]);
    asked.facts.release_version = Some("1.0".into());
    let held = granted(clients[0].checkout_again(&asked)).0;
    clients[0].give_back(&held);
    // Others are not its business: another installation, and the administrator.
    assert_eq!(installer.run("cad --version 1.0").code, 0);
    let mut admin = daemon.admin();
    for _ in 0..70 {
        granted(admin.ask(&check("1.0", None)));
    }
}

#[test]
fn the_limit_is_that_of_the_configuration() {
    let site = site();
    site.configure("[limits]\nupdate_checks_per_minute = 2");
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());
    for _ in 0..2 {
        assert_eq!(installer.run("cad --version 1.0").code, 0);
    }
    let told = installer.run("cad --version 1.0");
    assert_eq!((told.code, told.out.as_str()), (1, ""));
    assert!(told.error.contains("rate_limited"), "{}", told.error);
}

#[test]
fn a_license_that_has_ended_runs_nothing_and_one_without_versions_runs_all() {
    let site = Site::with(&[
        feature("cad", "COUNT=\"1\" VERSION=\"2.0\" END=\"2020-06-30\" MAINTENANCE_END=\"UNLIMITED\""),
        feature("cam", "COUNT=\"UNLIMITED\""),
        feature("sim", "COUNT=\"1\" VERSION=\"2.0\" MAINTENANCE_END=\"UNLIMITED\" MAX_VERSION=\"2\""),
    ]);
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());
    let (code, answer) = installer.json("cad --version 2.1 --released 2020-01-01 --installed 2.0");
    assert_eq!((code, &answer["answers"][0]["code"]), (3, &json!("expired")), "{answer}");
    assert_eq!((&answer["newest_that_will_run"], &answer["seats"]), (&Value::Null, &json!(0)), "{answer}");
    assert_eq!(answer["installed_keeps_working"], false, "{answer}");
    let told = installer.run("cad --version 2.1 --released 2020-01-01 --installed 2.0");
    assert!(!told.out.contains("your version keeps working"), "{}", told.out);

    let (code, answer) = installer.json("cam --version 9.9");
    assert_eq!((code, &answer["answers"][0]["reason"]), (0, &json!("ANY")), "{answer}");
    assert_eq!((&answer["seats"], &answer["unlimited"]), (&Value::Null, &json!(true)), "{answer}");
    assert_eq!(answer["answers"][0]["seats_covered"], Value::Null, "{answer}");
    let told = installer.run("cam --version 9.9");
    assert!(told.out.replace('\n', " ").contains("will run, on any number of seats"), "{}", told.out);

    // Without a day, as maintenance has no end; and a ceiling is one.
    assert_eq!(installer.run("sim --version 2.9").code, 0);
    let (code, answer) = installer.json("sim --version 3.0 --installed 2.9");
    assert_eq!((code, &answer["answers"][0]["code"]), (3, &json!("version_above_maximum")), "{answer}");
    assert_eq!(answer["maintenance"], json!({ "state": "UNLIMITED", "end": null, "days_left": null }));
}

#[test]
fn maintenance_that_begins_with_the_first_checkout_waits_for_one() {
    let pending = "COUNT=\"2\" VERSION=\"2.0\" MAINTENANCE_PERIOD=\"P1Y\" MAINTENANCE_START_TRIGGER=\"FIRST_CHECKOUT\" \
         MAINTENANCE_START_BY=\"2099-12-31\"";
    let site = Site::with(&[feature("cad", pending)]);
    let mut daemon = Daemon::start(&site);
    let state = |daemon: &Daemon| {
        let installer = Installer::of(daemon.address());
        let (code, answer) = installer.json("cad --version 2.4 --released 2012-04-20");
        assert_eq!((code, &answer["answers"][0]["reason"]), (0, &json!("MAINTENANCE")), "{answer}");
        answer["maintenance"]["state"].clone()
    };
    assert_eq!(state(&daemon), "PENDING_FIRST_CHECKOUT");
    assert_eq!(state(&daemon), "PENDING_FIRST_CHECKOUT", "asking is no checkout");
    daemon.kill();
    let daemon = Daemon::start(&site);
    assert_eq!(state(&daemon), "PENDING_FIRST_CHECKOUT", "and leaves nothing on disk");
    let mut asked = asking(&[("cad", 1)]);
    asked.facts.release_version = Some("2.0".into());
    granted(daemon.connect().checkout_again(&asked));
    assert_eq!(state(&daemon), "ACTIVE");
}

#[test]
fn an_evaluation_that_is_over_runs_nothing_and_a_subscription_falls_back() {
    let over = "END=\"2020-06-30\"";
    let site = Site::with(&[
        feature("trial", &format!("COUNT=\"1\" LICENSE_TYPE=\"EVALUATION\" {over}")),
        feature(
            "sub",
            &format!(
                "COUNT=\"3\" VERSION=\"2.0\" LICENSE_TYPE=\"SUBSCRIPTION\" FALLBACK_VERSION=\"3.1\" {over}"
            ),
        ),
    ]);
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());
    let (code, answer) = installer.json("trial --version 1.0 --released 2020-01-01 --installed 1.0");
    assert_eq!((code, &answer["answers"][0]["code"]), (3, &json!("evaluation_expired")), "{answer}");
    assert_eq!(
        (&answer["newest_that_will_run"], &answer["installed_keeps_working"]),
        (&Value::Null, &json!(false)),
        "{answer}"
    );
    let (code, answer) = installer.json("sub --version 3.1.6 --released 2020-01-01");
    assert_eq!((code, &answer["answers"][0]["reason"]), (0, &json!("FALLBACK")), "{answer}");
    let (code, answer) = installer.json("sub --version 3.2 --released 2020-01-01 --installed 3.1");
    assert_eq!((code, &answer["answers"][0]["code"]), (3, &json!("subscription_expired")), "{answer}");
    assert_eq!(answer["installed_keeps_working"], true, "{answer}");
}

#[test]
fn with_the_vendors_list_its_days_count_and_the_newest_that_runs_is_told() {
    let site = Site::with(&[feature("cad", "COUNT=\"5\" VERSION=\"1.0\" MAINTENANCE_END=\"2012-03-31\"")]);
    let text = "<RELEASES><FEATURE NAME=\"cad\"><RELEASE VERSION=\"1.0\" RELEASE_DATE=\"2011-03-01\"/>\
         <RELEASE VERSION=\"1.0.1\" RELEASE_DATE=\"2012-05-02\" LINE_DATE=\"2011-03-01\"/>\
         <RELEASE VERSION=\"1.1\" RELEASE_DATE=\"2012-04-01\"/></FEATURE></RELEASES>";
    let vendor = VendorKey::read(&site.path().join("vendor/acme-1.key")).expect("the site's vendor");
    let template = Template { file: "list.xml".into(), bytes: text.as_bytes().to_vec() };
    let signed =
        sign_catalog(&vendor, &[template], "2012-06-01".parse().expect("a date")).expect("a catalog");
    site.drop_file("releases.xml", signed.xml.as_bytes());
    let daemon = Daemon::start(&site);
    let installer = Installer::of(daemon.address());

    // A day that was made up opens nothing.
    for words in ["cad --version 1.1 --released 2012-03-01", "cad --version 1.1"] {
        let (code, answer) = installer.json(words);
        assert_eq!((code, &answer["answers"][0]["renew_to_at_least"]), (3, &json!("2012-04-01")), "{answer}");
    }
    let told = installer.run("cad --version 1.1 --installed 1.0");
    assert!(told.out.replace('\n', " ").contains("use 1.0.1 or older"), "{}", told.out);
    let told = installer.run("cad --installed 1.0");
    assert_eq!(told.code, 0, "{}{}", told.out, told.error);
    let text = told.out.replace('\n', " ");
    assert!(text.starts_with("update available: ACME/cad 1.0.1 will run, on all 5 seats"), "{text}");
    assert!(text.contains("The newest there is, 1.1, will not run."), "{text}");
    let told = installer.run("cad --installed 1.0.1");
    assert!(
        told.out.replace('\n', " ").starts_with("update available, needs renewal (your version keeps"),
        "{}",
        told.out
    );
}

#[test]
fn a_question_out_of_bounds_is_refused_by_its_field_and_the_connection_goes_on() {
    let site = site();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let one = |version: &str| Candidate { version: version.into(), ..Default::default() };
    let of = |candidates: Vec<Candidate>| request::UpdateCheck { candidates, ..check("1.0", None) };
    let long = "1".repeat(257);
    let installed = request::UpdateCheck { installed: Some(one("1\n0")), ..check("1.0", None) };
    for (question, field) in [
        (of(vec![one("1.0"); 65]), "candidates"),
        (of(vec![one(&long)]), "candidates.version"),
        (check("1.0", Some(&long)), "candidates.date"),
        (installed, "installed.version"),
        (request::UpdateCheck { feature: long.clone(), ..check("1.0", None) }, "feature"),
    ] {
        let (code, details) = refused(client.ask(&question).expect("the connection lives"));
        assert_eq!((code.as_str(), &details["field"]), ("bad_request", &json!(field)));
    }
    // The most that there can be has one answer, in one frame.
    let longest = "1".repeat(256);
    let most =
        Candidate { version: longest.clone(), date: Some(longest.clone()), line: Some(longest.clone()) };
    let answer = granted(client.ask(&of(vec![most; 64])));
    let answer: Value = serde_json::from_str(&answer.json).expect("JSON");
    assert_eq!(answer["answers"].as_array().map(Vec::len), Some(64));
    assert!(
        answer["answers"].as_array().expect("a list").iter().all(|a| a["code"] == "release_version_invalid")
    );
}
