//! The second client: written in Python from docs/PROTOCOL.md alone, run against the daemon that ships.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::common::require;
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_client").join(name)
}

fn run(python: &Path, name: &str, arguments: &[&str]) {
    let output = Command::new(python).arg(script(name)).args(arguments).output().expect("python runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{name}: {}\n{text}", output.status);
}

#[test]
fn the_second_client_reads_and_writes_the_golden_vectors() {
    let Some(python) = require("python3") else { return };
    run(&python, "test_vectors.py", &[]);
}

#[test]
fn the_daemon_does_what_the_document_promises() {
    let Some(python) = require("python3") else { return };
    let site = Site::with(&[exclusive("cad", 4)]);
    let daemon = Daemon::start(&site);
    let address = daemon.address().to_string();
    let arguments =
        ["--server", &address, "--feature", "cad", "--seats", "4", "--release-version", "4.2", "--slow"];
    run(&python, "scenario.py", &arguments);
    daemon.await_used("cad", 0);
}

/// The Python client, one command a line.
struct Driver {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    fn start(python: &Path) -> Driver {
        let mut child = Command::new(python)
            .arg(script("drive.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Driver { child, commands, answers }
    }

    fn told(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// As [`Driver::told`], and it must have worked.
    fn does(&mut self, command: &Value) -> Value {
        let answer = self.told(command);
        assert_eq!(answer["ok"], true, "{command}: {answer}");
        answer
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_second_client_finds_its_seats_after_kill_9() {
    let Some(python) = require("python3") else { return };
    let site = Site::with(&[exclusive("cad", 4)]);
    let mut daemon = Daemon::start(&site);
    let mut driver = Driver::start(&python);
    let facts = json!({ "user": "bob", "host": "ws9", "platform": "linux-x86_64", "release_version": "4.2" });
    let with_facts = |command: Value| {
        let mut command = command;
        command.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        command
    };
    let hello = driver.does(&json!({ "do": "connect", "server": daemon.address().to_string() }));
    let items = json!([{ "feature": "CAD", "count": 3 }]);
    let granted = driver.does(&with_facts(json!({ "do": "checkout", "items": items })));
    assert_eq!(granted["sessions"][0]["count"], 3);

    daemon.kill();
    let daemon = Daemon::start(&site);
    let again = driver.does(&json!({
        "do": "connect", "as": "again", "server": daemon.address().to_string(), "install_id": hello["install_id"],
    }));
    assert_ne!(again["instance"], hello["instance"]);
    let sent_again = driver.does(&with_facts(json!({
        "do": "checkout", "as": "again", "items": items,
        "request_key": granted["request_key"], "secret": granted["secret"],
    })));
    assert_eq!((&sent_again["replayed"], &sent_again["bundle"]), (&true.into(), &granted["bundle"]));
    let resumed = driver.does(&with_facts(json!({
        "do": "resume", "as": "again", "bundle": granted["bundle"], "secret": granted["secret"],
    })));
    assert_eq!(resumed["sessions"][0]["count"], 3);
    daemon.await_used("cad", 3);
    driver.does(&json!({ "do": "checkin", "as": "again", "session": granted["sessions"][0]["session"] }));
    daemon.await_used("cad", 0);
}
