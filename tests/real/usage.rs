//! The history and `seatkeeper usage` of the daemon that ships: over kill -9, damage and a full disk, and who may ask (S84).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::real::client::{Client, Held, asking, facts, random_bytes, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};
use crate::real::until;
use crate::shown::{json as shown, seatkeeper};

fn take(client: &mut Client, user: &str, count: u32) -> Held {
    let mut asked = asking(&[("cad", count)]);
    asked.facts = facts(user);
    client.checkout_again(&asked).expect("the connection lives").expect("a grant").0
}

/// The row of a user in `usage`, once it is as wanted.
fn await_row(daemon: &Daemon, user: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    until("the history has it", || {
        // It begins a moment after the start.
        let output = ask(daemon, &["usage", "--by", "user", "--json"]);
        last = serde_json::from_str::<Value>(&output).unwrap_or_default();
        let rows = last["usage"].as_array()?;
        rows.iter().find(|row| row["user"] == user).filter(|row| is_wanted(row)).cloned()
    })
}

/// What is printed; a refusal is nothing.
fn ask(daemon: &Daemon, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(words)
        .arg("--admin")
        .arg(daemon.admin_path())
        .env_remove("SEATKEEPER_SERVER")
        .output()
        .expect("the command runs");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn usage_goes_on_over_kill_9_and_is_read_from_the_file_too() {
    let site = Site::with(&[exclusive("cad", 4)]);
    let mut daemon = Daemon::start(&site);
    let install_id = random_bytes();
    let mut client = daemon.connect_as(install_id);
    let ann = take(&mut client, "ann", 2);
    let bob = take(&mut client, "bob", 1);
    let mut asked = asking(&[("cad", 3)]);
    asked.facts = facts("carl");
    refused(client.checkout_again(&asked).expect("the connection lives"));
    await_row(&daemon, "ann", |row| row["peak"] == 2 && row["sessions"] == 1);
    await_row(&daemon, "carl", |row| row["denials"] == 1 && row["true_denials"] == 1);
    let mode = fs::metadata(site.state().join("history.sqlite")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    daemon.kill();
    drop(client);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect_as(install_id);
    client.resume(&ann).expect("an answer").expect("ann is still there");
    client.resume(&bob).expect("an answer").expect("bob is still there");
    client.give_back(&bob);
    let dora = take(&mut client, "dora", 1);
    await_row(&daemon, "dora", |row| row["sessions"] == 1);
    // One session each, as before: not a second one of the new run.
    for (user, peak) in [("ann", 2), ("bob", 1)] {
        let row = await_row(&daemon, user, |row| row["hours"].as_f64().is_some_and(|hours| hours > 0.0));
        assert_eq!((&row["peak"], &row["sessions"]), (&json!(peak), &json!(1)), "{row}");
    }
    let whole = shown(&daemon, &["usage"]);
    assert_eq!((&whole["schema"], &whole["by"]), (&json!(1), &json!("feature")));
    let row = &whole["usage"][0];
    assert_eq!(
        (&row["feature"], &row["peak"], &row["sessions"]),
        (&json!("cad"), &json!(3), &json!(3)),
        "{row}"
    );
    assert_eq!(whole["missing"][0]["reason"], "restart");
    let (_, text) = seatkeeper(&daemon, &["usage", "--by", "user"]);
    assert!(text.contains("ACME") && text.contains("dora") && text.contains("HOURS"), "{text}");
    let (_, csv) = seatkeeper(&daemon, &["usage", "cad", "--csv"]);
    assert!(
        csv.starts_with("vendor,feature,peak,hours,sessions,denials,true_denials\r\nACME,cad,3,"),
        "{csv}"
    );
    client.give_back(&ann);
    client.give_back(&dora);

    // In parts of a few rows it is the same.
    let mut admin = daemon.admin();
    assert_eq!(
        admin.report("usage:user", None).expect("a report")["usage"].as_array().expect("rows").len(),
        4
    );

    assert_eq!(daemon.terminate(), Some(0));
    // All of it was written at the stop.
    let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["usage", "--by", "user", "--json", "--time-zone", "UTC", "--state"])
        .arg(site.state())
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(whole["usage"].as_array().expect("rows").len(), 4, "{whole}");
    let history = rusqlite::Connection::open(site.state().join("history.sqlite")).expect("the file");
    let open: i64 = history
        .query_row("SELECT count(*) FROM spans WHERE until IS NULL", [], |row| row.get(0))
        .expect("an answer");
    assert_eq!(open, 0, "everything was given back");
    let last: String = history
        .query_row("SELECT kind FROM events ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .expect("an event");
    assert_eq!(last, "server.stopping");
}

#[test]
fn who_used_it_is_for_those_who_may_see_users() {
    let site = Site::with(&[exclusive("cad", 4)]);
    site.configure("readers = \"counts\"");
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    take(&mut client, "ann", 1);
    await_row(&daemon, "ann", |row| row["sessions"] == 1);
    let whole = client.report("usage", None).expect("counts are for all");
    assert_eq!(whole["usage"][0]["sessions"], 1, "{whole}");
    assert!(!whole.to_string().contains("ann"), "{whole}");
    for who in ["usage:user", "usage:host"] {
        let (code, _) = refused(client.report(who, None));
        assert_eq!(code, "not_permitted");
    }
    for wrong in
        ["usage:sex", "usage:feature:2030-6-1x", "usage:feature:2030-06-02:2030-06-01", "usage::::", "usages"]
    {
        assert_eq!(refused(client.report(wrong, None)).0, "bad_request", "{wrong}");
    }
    site.configure("readers = \"admin\"");
    drop(daemon);
    let daemon = Daemon::start(&site);
    assert_eq!(refused(daemon.connect().report("usage", None)).0, "not_permitted");
}

#[test]
fn a_damaged_history_is_moved_aside_and_seats_are_served_meanwhile() {
    let site = Site::with(&[exclusive("cad", 4)]);
    fs::create_dir_all(site.state()).expect("a directory");
    let path = site.state().join("history.sqlite");
    // The state directory wants to be ours alone.
    fs::set_permissions(site.state(), fs::Permissions::from_mode(0o700)).expect("its mode");
    fs::write(&path, "this is no database, and was never one".repeat(200)).expect("a file");
    let daemon = Daemon::start(&site);
    take(&mut daemon.connect(), "ann", 1);
    let line = daemon.await_log("the history is damaged");
    assert!(line.contains("history.sqlite.damaged"), "{line}");
    await_row(&daemon, "ann", |row| row["sessions"] == 1);
    let aside = fs::read_to_string(site.state().join("history.sqlite.damaged")).expect("kept");
    assert!(aside.starts_with("this is no database"));
}

#[test]
fn without_a_history_usage_says_so() {
    let site = Site::with(&[exclusive("cad", 4)]);
    site.configure("[history]\nenabled = false");
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    take(&mut client, "ann", 1);
    assert_eq!(refused(client.report("usage", None)).0, "internal");
    assert!(!site.state().join("history.sqlite").exists());
}
