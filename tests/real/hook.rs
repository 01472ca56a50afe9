//! The notify command, run by the daemon that ships: told what was chosen, and never in anybody's way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::require;
use crate::real::client::{Client, Held, asking, facts};
use crate::real::daemon::{Daemon, Start};
use crate::real::site::{Site, exclusive};
use crate::real::until;

/// A program of the site.
fn script(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.path().join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("it is made");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    path
}

fn take(client: &mut Client, user: &str, feature: &str) -> Held {
    let mut asked = asking(&[(feature, 1)]);
    asked.facts = facts(user);
    client.checkout_again(&asked).expect("the connection lives").expect("a grant").0
}

/// The lines of a file, once there are so many.
fn lines(path: &Path, count: usize) -> Vec<Value> {
    until(&format!("{count} lines in {}", path.display()), || {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (whole.len() >= count).then_some(whole)
    })
}

#[test]
fn chosen_events_reach_the_notify_command_in_order_and_whole() {
    let site = Site::with(&[exclusive("cad", 5)]);
    script(&site, "bin/tell", "test -z \"$NOTIFY_SOCKET\" || exit 9\ncat >> \"$1\"");
    let told = site.path().join("told");
    site.configure(&format!(
        "notify_command = [\"bin/tell\", {told:?}]\nnotify_events = [\"session.granted\", \"server.*\"]"
    ));
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let users = ["ann", "bob", "carl"];
    for user in users {
        let held = take(&mut client, user, "cad");
        client.give_back(&held);
    }
    let events = lines(&told, 4);
    assert_eq!(events[0]["kind"], "server.started");
    let who: Vec<&str> =
        events[1..].iter().map(|event| event["user"].as_str().expect("unredacted")).collect();
    assert_eq!(who, users);
    assert!(events.iter().skip(1).all(|event| event["kind"] == "session.granted"), "{events:?}");
    assert_eq!(events[1]["feature"], "cad");
    // The stop is told as well, and has its time.
    assert_eq!(daemon.terminate(), Some(0));
    let events = lines(&told, 5);
    assert_eq!(events[4]["kind"], "server.stopping");
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    assert!(!daemon.log_text().contains("notify command failed"), "{}", daemon.log_text());
}

#[test]
fn a_notify_command_that_hangs_is_killed_and_holds_nobody_up() {
    let site = Site::with(&[exclusive("cad", 5)]);
    // A grandchild that holds everything open.
    let pids = site.path().join("pids");
    script(&site, "hang", "sleep 600 &\necho $! >> \"$1\"\nwait");
    site.configure(&format!(
        "notify_command = [\"./hang\", {pids:?}]\nnotify_events = [\"session.granted\"]\nnotify_timeout_seconds = 1"
    ));
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = take(&mut client, "ann", "cad");
    until("the command runs", || fs::read_to_string(&pids).ok().filter(|text| text.ends_with('\n')));
    client.give_back(&held);
    let held = take(&mut client, "bob", "cad");
    client.give_back(&held);
    daemon.await_log("the notify command failed");
    assert!(daemon.await_log("killed: it took too long").contains("session.granted"));
    let is_alive = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    let text = fs::read_to_string(&pids).expect("what ran");
    let first = text.lines().next().expect("a number").to_owned();
    until("what it started is gone", || (!is_alive(&first)).then_some(()));
    // The next one hangs as well, when the daemon stops. `terminate` waits five seconds at most (S64).
    take(&mut client, "carl", "cad");
    assert_eq!(daemon.terminate(), Some(0));
    let text = fs::read_to_string(&pids).expect("what ran");
    for pid in text.lines() {
        until("nothing is left", || (!is_alive(pid)).then_some(()));
    }
}

#[test]
fn a_long_run_at_a_stop_has_two_seconds_whatever_its_limit() {
    let site = Site::with(&[exclusive("cad", 5)]);
    let begun = site.path().join("begun");
    script(&site, "hang", "touch \"$1\"\nexec sleep 600");
    site.configure(&format!(
        "notify_command = [\"./hang\", {begun:?}]\nnotify_events = [\"server.started\"]"
    ));
    let mut daemon = Daemon::start(&site);
    until("it runs", || begun.exists().then_some(()));
    let started = Instant::now();
    assert_eq!(daemon.terminate(), Some(0));
    assert!(started.elapsed() < Duration::from_millis(4_500), "{:?}", started.elapsed());
    assert!(daemon.log_text().contains("killed: it took too long"), "{}", daemon.log_text());
}

#[test]
fn a_notify_command_that_fails_is_logged_with_its_first_words_and_the_next_event_is_told() {
    let site = Site::with(&[exclusive("cad", 5)]);
    script(&site, "fail", "echo 'no relay for example.com' >&2\nexit 3");
    site.configure("notify_command = [\"./fail\"]\nnotify_events = [\"session.*\"]");
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = take(&mut client, "ann", "cad");
    client.give_back(&held);
    let line = daemon.await_log("the notify command failed");
    for part in ["WARN", "session.granted", "exit code 3", "no relay for example.com", "fail"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(daemon.await_log("event=\"session.ended\"").contains("exit code 3"));
}

#[test]
fn a_notify_command_that_is_not_there_is_a_line_in_the_log() {
    let site = Site::with(&[exclusive("cad", 5)]);
    site.configure("notify_command = [\"./nothing-here\"]\nnotify_events = [\"session.granted\"]");
    let daemon = Daemon::start(&site);
    take(&mut daemon.connect(), "ann", "cad");
    let line = daemon.await_log("the notify command cannot be run");
    assert!(line.contains("nothing-here") && line.contains("No such file"), "{line}");
}

#[test]
fn the_example_makes_a_mail_of_an_event() {
    if require("python3").is_none() {
        return;
    }
    let site = Site::with(&[exclusive("cad", 5)]);
    let mail = site.path().join("mail");
    // What a program states as its user comes with an end of line: it must not make a header.
    script(
        &site,
        "bin/sendmail",
        "dir=${0%/*}\necho \"$@\" > \"$dir/../arguments\"\ncat > \"$dir/../mail.tmp\"\nmv \"$dir/../mail.tmp\" \"$dir/../mail\"",
    );
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/notify-mail");
    site.configure(&format!(
        "notify_command = [{example:?}, \"--to\", \"ann@example.com\", \"--to\", \"bob@example.com\", \"--from\", \
         \"seatkeeper@example.com\"]\nnotify_events = [\"session.denied\"]"
    ));
    let path = format!("{}:{}", site.path().join("bin").display(), std::env::var("PATH").expect("a path"));
    let daemon = Start::of(&site).env("PATH", path).ready(&site);
    let mut asked = asking(&[("cad\u{fc}", 1)]);
    asked.facts = facts("eve");
    daemon.connect().checkout_again(&asked).expect("an answer").expect_err("nothing of that name");
    let text = until("a mail", || fs::read_to_string(&mail).ok());
    let arguments = fs::read_to_string(site.path().join("arguments")).expect("its arguments");
    assert_eq!(arguments, "-oi -t\n");
    let (head, body) = text.split_once("\n\n").expect("a mail has a head and a body");
    assert!(head.contains("To: ann@example.com, bob@example.com\n"), "{head}");
    assert!(head.contains("From: seatkeeper@example.com\n"), "{head}");
    assert!(head.contains("Subject: ") && head.contains("session.denied"), "{head}");
    assert!(head.contains("Auto-Submitted: auto-generated"), "{head}");
    // The body may be encoded for its letters; what the kind of the mail says is held here, the text by the next.
    assert!(!body.is_empty());
    assert!(!daemon.log_text().contains("notify command failed"), "{}", daemon.log_text());

    // By itself, on an event whose texts want to be headers.
    let event = json!({"kind": "maintenance.ended", "vendor": "ACME", "feature": "cad\nBcc: eve@example.com",
        "text": "maintenance has ended", "contact": "sales@example.com", "end": "2030-06-30"});
    fs::remove_file(&mail).expect("the first mail");
    let mut child = std::process::Command::new(&example)
        .args(["--to", "ann@example.com"])
        .env(
            "PATH",
            format!("{}:{}", site.path().join("bin").display(), std::env::var("PATH").expect("a path")),
        )
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, format!("{event}\n").as_bytes()).expect("it reads");
    drop(input);
    assert!(child.wait().expect("it ends").success());
    let text = fs::read_to_string(&mail).expect("a mail");
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(head.contains("maintenance.ended ACME cad Bcc: eve@example.com until 2030-06-30"), "{head}");
    assert!(body.contains("maintenance has ended\n\nTo renew: sales@example.com\n"), "{body}");
}
