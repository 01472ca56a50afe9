//! The daemon as a service: what systemd is told, exit codes, `--check`, sockets handed over.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::require;
use crate::real::daemon::{Daemon, PROGRAM, Start, run_to_end};
use crate::real::site::{Site, exclusive, upgrade};
use crate::real::until;

#[test]
fn systemd_is_told_of_the_start_reloads_life_and_the_stop() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Start::of(&site).env("WATCHDOG_USEC", "600000").ready(&site);
    assert!(daemon.told().iter().any(|line| line.starts_with("STATUS=")), "{:?}", daemon.told());

    let mut pings = 0;
    let started = Instant::now();
    while pings < 4 {
        daemon.forget_told();
        daemon.await_told("WATCHDOG=1");
        pings += 1;
    }
    // Twice in each 600 ms, as systemd advises; nobody asks the daemon for anything meanwhile.
    assert!(started.elapsed() < Duration::from_secs(4), "four pings in {:?}", started.elapsed());

    daemon.forget_told();
    daemon.signal(Signal::HUP);
    daemon.await_told("READY=1");
    let told: Vec<&String> = daemon.told().iter().filter(|line| *line != "WATCHDOG=1").collect();
    assert_eq!(told[0], "RELOADING=1", "{told:?}");
    assert!(told[1].starts_with("MONOTONIC_USEC="), "{told:?}");

    daemon.forget_told();
    assert_eq!(daemon.terminate(), Some(0));
    daemon.listen(Duration::from_secs(1));
    until("STOPPING is told", || {
        daemon.listen(Duration::from_millis(10));
        daemon.was_told("STOPPING=1").then_some(())
    });
}

#[test]
fn sigint_stops_it_as_sigterm_does() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Daemon::start(&site);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.await_end(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn each_way_to_fail_has_its_exit_code_and_says_what_to_do() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let fails = |code: i32, parts: &[&str], start: Start| {
        let (found, text) = run_to_end(start);
        assert_eq!(found, Some(code), "{text}");
        parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in:\n{text}"));
    };
    fails(64, &["--frobnicate"], Start::of(&site).arg("--frobnicate"));
    fails(64, &["--listen"], Start::of(&site).arg("--listen").arg("nowhere"));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(69, &[&address, "in use"], Start::of(&site).arg("--listen").arg(&address));

    site.configure("colour = \"red\"");
    fails(78, &["seatkeeper.toml:6", "colour"], Start::of(&site));
    site.configure("lease = \"1s\"\nheartbeat = \"30s\"");
    fails(78, &["seatkeeper.toml:6", "lease"], Start::of(&site));
    site.configure("");
    fails(78, &["nowhere.pub"], Start::of(&site).arg("--trust").arg("nowhere.pub"));
    fails(78, &["Mars/Olympus"], Start::of(&site).arg("--time-zone").arg("Mars/Olympus"));
    // Where licenses were read before, a directory that is gone keeps the old set (L6).
    let new = Site::new();
    fails(78, &["nowhere"], Start::of(&new).arg("--licenses").arg("nowhere"));
    fs::write(site.path().join("file"), "").unwrap();
    fails(74, &["file"], Start::of(&site).arg("--state").arg("file"));

    // After all of these it still starts.
    Daemon::start(&site).connect().checkout(&[("cad", 10)]).expect("nothing was harmed");
}

#[test]
fn check_shows_what_would_be_served_and_every_problem() {
    let site = Site::with(&[exclusive("cad", 10), upgrade("cad", 6, "START=\"2900-01-01\"")]);
    let (code, text) = run_to_end(Start::of(&site).arg("--check"));
    assert_eq!(code, Some(0), "{text}");
    for part in ["cad", "10 seats today", "from 2900-01-01: 16 seats", "0 problem(s)"] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!site.state().exists(), "it looks and takes nothing");
    // Beside a running daemon too.
    let _daemon = Daemon::start(&site);
    site.drop_file(
        "bad.xml",
        b"<LICENSEFILE>\n<FEATURE NAME=\"x\">\n<SETTING COUNT=\"0\"/></FEATURE></LICENSEFILE>",
    );
    let (code, text) = run_to_end(Start::of(&site).arg("--check"));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("bad.xml:3:") && text.contains("10 seats today"), "{text}");
}

/// A parent that hands over a listening socket as systemd does, and writes its port into a file.
const HAND_OVER: &str = "
import os, socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
with open(sys.argv[1], 'w') as f: f.write(str(s.getsockname()[1]))
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='clients')
os.execv(sys.argv[2], sys.argv[2:])
";

#[test]
fn a_socket_that_systemd_hands_over_is_the_one_that_is_served() {
    let Some(python) = require("python3") else { return };
    let site = Site::with(&[exclusive("cad", 10)]);
    let port = site.path().join("port");
    let mut command = Command::new(python);
    command.arg("-c").arg(HAND_OVER).arg(&port).arg(PROGRAM);
    let mut daemon = Start::wrapped(&site, command).ready(&site);
    assert_eq!(daemon.address().port().to_string(), fs::read_to_string(&port).unwrap());
    daemon.connect().checkout(&[("cad", 10)]).expect("served");
    let lines = daemon.log().iter().filter(|line| line.contains("listening for clients")).count();
    assert_eq!(lines, 1, "and nothing else is bound");
    assert_eq!(daemon.terminate(), Some(0));
}
