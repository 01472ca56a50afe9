//! What is done to the state directory while the daemon runs on it: taken away, replaced, robbed of a file (S60, S63).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::crash::everything;
use crate::disk::{is_documented, told};
use crate::real::client::{Held, granted};
use crate::real::daemon::{Daemon, Start, run_to_end};
use crate::real::site::{Site, exclusive};
use crate::real::until;

/// How long the daemon may take to find out: it looks every five seconds, on a machine that is busy.
const FOUND_OUT: Duration = Duration::from_secs(10);

fn site() -> Site {
    Site::with(&[exclusive("cad", 10)])
}

fn with_two_seats(site: &Site) -> (Daemon, [u8; 16], Held) {
    let daemon = Daemon::start(site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2)]).unwrap();
    (daemon, client.install_id, held)
}

/// Does something to the state directory, after which the daemon must end with 74 and a sentence.
fn ends_when(site: &Site, daemon: &mut Daemon, is_done: impl FnOnce(&Path)) {
    is_done(&site.state());
    let done = Instant::now();
    assert_eq!(daemon.await_end(Duration::from_secs(20)).code(), Some(74), "{}", daemon.log_text());
    println!("ended after {:?}", done.elapsed());
    assert!(done.elapsed() < FOUND_OUT, "{:?}", done.elapsed());
    told(&daemon.log_text(), &["the state directory was removed, moved, restored or mounted over"]);
}

#[test]
fn a_state_directory_that_was_moved_away_ends_the_daemon() {
    let site = site();
    let (mut daemon, install_id, held) = with_two_seats(&site);
    let elsewhere = site.path().join("elsewhere");
    ends_when(&site, &mut daemon, |state| fs::rename(state, &elsewhere).unwrap());
    assert!(!site.state().exists(), "nothing is made where it was");
    fs::rename(&elsewhere, site.state()).unwrap();
    granted(Daemon::start(&site).connect_as(install_id).resume(&held));
}

#[test]
fn a_state_directory_that_was_deleted_ends_the_daemon() {
    let site = site();
    let (mut daemon, _, _) = with_two_seats(&site);
    ends_when(&site, &mut daemon, |state| fs::remove_dir_all(state).unwrap());
    assert!(!site.state().exists(), "nothing is made where it was");
    // As the page says: a new state, and every seat is free.
    assert_eq!(Daemon::start(&site).connect().feature("cad")["used"], 0);
}

#[test]
fn a_state_directory_that_another_took_the_place_of_ends_the_daemon_and_is_not_touched() {
    let site = site();
    let (mut daemon, install_id, held) = with_two_seats(&site);
    let (copy, old) = (site.path().join("copy"), site.path().join("old"));
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).arg(site.state()).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()));
    // What a restore in the middle of the day would leave: an older lock, no socket, another key.
    fs::remove_file(copy.join("admin.sock")).unwrap();
    let before = everything(&copy);
    ends_when(&site, &mut daemon, |state| {
        fs::rename(state, &old).unwrap();
        fs::rename(&copy, state).unwrap();
    });
    let names = |all: std::collections::BTreeMap<String, _>| all.into_values().collect::<Vec<_>>();
    assert_eq!(names(everything(&site.state())), names(before));
    granted(Daemon::start(&site).connect_as(install_id).resume(&held));
}

#[test]
fn only_the_journal_deleted_ends_the_daemon_too() {
    let site = site();
    let (mut daemon, _, _) = with_two_seats(&site);
    ends_when(&site, &mut daemon, |state| fs::remove_dir_all(state.join("journal")).unwrap());
    // A state that was in use and has no journal is no new one.
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(74), "{text}");
    told(&text, &["the journal is empty although the state was in use", "--accept-loss"]);
}

#[test]
fn a_second_daemon_on_the_same_state_names_the_first_also_where_the_lock_file_was_removed() {
    let site = site();
    let (daemon, _, _) = with_two_seats(&site);
    let pid = format!("(pid {})", daemon.pid());
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(75), "{text}");
    let line = told(&text, &["in use by another daemon"]);
    assert!(line.contains(&pid), "{line}");

    let lock = site.state().join("lock");
    fs::remove_file(&lock).unwrap();
    // At once: there is no moment in which the state is nobody's.
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(75), "{text}");
    assert!(text.contains("in use by another daemon"), "{text}");
    until("the lock is there again", || {
        fs::read_to_string(&lock).is_ok_and(|text| text == format!("{}\n", daemon.pid())).then_some(())
    });
    let line = daemon.await_log("removed while the daemon runs, and put back");
    assert!(is_documented(&line) && line.contains("lock"), "{line}");
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(75), "{text}");
    assert!(text.contains(&pid), "{text}");
    // `state check` knows it too.
    let checked =
        Command::new(env!("CARGO_BIN_EXE_seatkeeper")).args(["state", "check"]).arg(site.state()).output();
    let checked = String::from_utf8(checked.unwrap().stdout).unwrap();
    assert!(checked.contains(&format!("running, process {}", daemon.pid())), "{checked}");
}

#[test]
fn a_key_and_a_format_that_were_removed_are_put_back_as_they_were() {
    let site = site();
    let (mut daemon, install_id, held) = with_two_seats(&site);
    let (key, format) = (site.state().join("identity.key"), site.state().join("format"));
    let before = (fs::read(&key).unwrap(), fs::read(&format).unwrap());
    fs::remove_file(&key).unwrap();
    fs::remove_file(&format).unwrap();
    until("both are there again", || (key.exists() && format.exists()).then_some(()));
    assert_eq!((fs::read(&key).unwrap(), fs::read(&format).unwrap()), before);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    daemon.await_log("identity.key");
    told(&daemon.log_text(), &["removed while the daemon runs, and put back", "identity.key"]);
    assert_eq!(daemon.terminate(), Some(0));
    granted(Daemon::start(&site).connect_as(install_id).resume(&held));
}

#[test]
fn another_key_in_the_place_of_the_daemons_is_left_alone_and_shown() {
    let (site, other) = (site(), site());
    assert_eq!(Daemon::start(&other).terminate(), Some(0));
    let (daemon, _, _) = with_two_seats(&site);
    let key = site.state().join("identity.key");
    let (own, foreign) = (fs::read(&key).unwrap(), fs::read(other.state().join("identity.key")).unwrap());
    let replace = |bytes: &[u8]| {
        fs::write(site.path().join("key"), bytes).unwrap();
        fs::rename(site.path().join("key"), &key).unwrap();
    };
    replace(&foreign);
    let problems = |daemon: &Daemon| daemon.connect().report("problems", None).unwrap()["problems"].clone();
    let said = until("status says so", || {
        let said = problems(&daemon);
        (!said[0].is_null()).then(|| said[0]["message"].as_str().unwrap().to_owned())
    });
    assert!(said.contains("this is another key") && is_documented(&said), "{said}");
    daemon.await_log("this is another key");
    told(&daemon.log_text(), &["this is another key"]);
    assert_eq!(fs::read(&key).unwrap(), foreign, "it is not touched");
    replace(&own);
    until("it is well again", || problems(&daemon)[0].is_null().then_some(()));
    daemon.await_log("as they should be again");
    assert_eq!(daemon.log().iter().filter(|line| line.contains("this is another key")).count(), 1);
}

#[test]
fn an_administrators_socket_that_was_removed_is_there_again() {
    let site = site();
    let (mut daemon, _, _) = with_two_seats(&site);
    let mut connected = daemon.admin();
    let path = daemon.admin_path().to_owned();
    fs::remove_file(&path).unwrap();
    until("it is there again", || path.exists().then_some(()));
    daemon.await_log("the administrator's socket was removed");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    told(&daemon.log_text(), &["the administrator's socket was removed"]);
    until("it is served", || crate::real::client::Client::connect_admin(&path).ok());
    connected.report("status", None).expect("who was connected stays so");

    // What somebody else puts there is his; when it is gone the socket is made again.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "not a socket").unwrap();
    let line = daemon.await_log("this is not the administrator's socket of this daemon any more");
    assert!(is_documented(&line), "{line}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a socket");
    fs::remove_file(&path).unwrap();
    until("it is served again", || crate::real::client::Client::connect_admin(&path).ok());
    assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());
    assert!(!path.exists(), "it goes with the daemon");
}
