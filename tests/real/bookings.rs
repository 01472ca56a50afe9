//! What an administrator keeps for a job, and whom he lets have nothing for a while: `book`, `unbook`, `release --bar`
//! (S25, S52), on the daemon and the command line that ship.

use std::process::{Command, Output};

use crate::real::client::{Client, asking};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature};
use crate::real::until;

fn site() -> Site {
    Site::with(&[feature("cad", "COUNT=\"4\""), feature("cam", "COUNT=\"2\"")])
}

fn seatkeeper(daemon: &Daemon, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(words)
        .env("SEATKEEPER_ADMIN", daemon.admin_path())
        .env("SEATKEEPER_SERVER", daemon.address().to_string())
        .output()
        .expect("the command runs")
}

/// What is printed; it must go well.
fn said(daemon: &Daemon, words: &[&str]) -> String {
    let output = seatkeeper(daemon, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// The exit code and what is said on standard error.
fn no(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let output = seatkeeper(daemon, words);
    (output.status.code().expect("it exits"), String::from_utf8(output.stderr).expect("text"))
}

/// A report may be a moment old.
fn await_reserved(daemon: &Daemon, cad: u64, cam: u64) {
    for (name, seats) in [("cad", cad), ("cam", cam)] {
        daemon.await_feature(name, &format!("{seats} reserved"), |feature| feature["reserved"] == seats);
    }
}

#[test]
fn a_job_finds_the_seats_that_were_booked_for_it_also_after_a_crash() {
    let site = site();
    let mut daemon = Daemon::start(&site);
    let (code, why) = no(&daemon, &["book", "cad", "3", "cam", "9", "--for", "10m"]);
    assert_eq!(code, 75, "{why}");
    assert!(why.contains("9 seats of cam were to be booked, 2 are free"), "{why}");
    await_reserved(&daemon, 0, 0);

    let token = said(&daemon, &["book", "cad", "3", "cam", "1", "--for", "10m"]);
    await_reserved(&daemon, 3, 1);
    let (code, why) = no(&daemon, &["checkout", "cad", "--count", "2", "--for", "0"]);
    assert_eq!(code, 75, "{why}");
    assert!(why.contains("reserved_for_others"), "{why}");
    let with_token = ["checkout", "cad", "--count", "3", "--token", &token, "--for", "0"];
    said(&daemon, &with_token);

    daemon.kill();
    drop(daemon);
    let daemon = Daemon::start(&site);
    await_reserved(&daemon, 3, 1);
    said(&daemon, &with_token);
    let ran = said(&daemon, &["run", "cad", "cam", "--token", &token, "--", "echo", "the job ran"]);
    assert_eq!(ran, "the job ran");

    assert_eq!(said(&daemon, &["unbook", &token]), "given up: seats of 2 features");
    await_reserved(&daemon, 0, 0);
    let (code, why) = no(&daemon, &with_token);
    assert_eq!(code, 75, "{why}");
    assert!(why.contains("no booking under this token"), "{why}");
    let (code, _) = no(&daemon, &["unbook", &token]);
    assert_eq!(code, 75);
}

#[test]
fn who_is_barred_gets_no_seat_until_the_bar_is_over() {
    let site = site();
    let daemon = Daemon::start(&site);
    let mut ann = daemon.connect();
    let asked = asking(&[("cad", 1)]);
    let held = ann.checkout_again(&asked).expect("the connection lives").expect("a grant").0;
    let session = seats::change::SessionId(held.sessions[0].0).to_string();
    let words = ["release", &session, "--bar", "3s", "--reason", "backup"];
    assert!(said(&daemon, &words).contains("barred for 3s"));
    let denied = |ann: &mut Client| ann.checkout_again(&asking(&[("cad", 1)])).expect("the connection lives");
    let refused = denied(&mut ann).map(|_| ()).expect_err("she is barred");
    assert_eq!(refused.code, "denied_by_rule", "{}", refused.message);
    assert!(refused.message.contains("backup"), "{}", refused.message);
    // Another feature, and the same one when it is over: the server's own time, asked until it says so.
    ann.checkout_again(&asking(&[("cam", 1)])).expect("the connection lives").expect("not barred from cam");
    until("the bar is over", || denied(&mut ann).ok());
}
