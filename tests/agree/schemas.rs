//! What the daemon that ships really prints, with one of everything in it, against docs/schema.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::require;
use crate::outputs::Shows;
use crate::schema::{Schemas, refuses_mutations};
use crate::world::World;

#[test]
fn what_the_daemon_prints_is_what_the_schemas_say() {
    if require("faketime").is_none() {
        return;
    }
    let world = World::of_everything();
    let schemas = Schemas::read();
    let all = RefCell::new(Vec::new());
    let is = |name: &str, part: &str, value: &Value| match part {
        "" => schemas.check(name, value),
        part => schemas.check_by(name, schemas.part(name, part), value, part),
    };
    let print = |name: &str, part: &str, words: &[&str], is_admin: bool| {
        let (_, text) = world.reader.try_run(&[words, &["--json"]].concat(), is_admin);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"));
        assert_eq!(is(name, part, &value), Ok(()), "{words:?}: {value:#}");
        all.borrow_mut().push(by(name, part, &value));
        value
    };
    let http: Value = serde_json::from_str(&world.reader.read(Shows::Http)).expect("JSON");
    assert_eq!(is("status", "", &http), Ok(()));
    all.borrow_mut().push(by("status", "", &http));
    let mut printed = vec![print("status", "", &["status"], false)];
    for list in ["features", "sessions", "queue", "licenses", "borrowed"] {
        let value = print("status", "", &[list], false);
        assert!(!value[list].as_array().expect(list).is_empty(), "{value}");
        printed.push(value);
        print("status", "", &[list, "ACME/cad"], false);
    }
    for feature in ["ACME/cad", "viewer", "suite", "forever", "lapsed", "later", "maint", "away", "trial"] {
        print("status", "explain", &["explain", feature], false);
    }
    let why = print("status", "why", &["why", "ann", "lab"], true);
    print("status", "why", &["why", "eve", "lab", "--version", "4.2"], true);
    let checked = print(
        "status",
        "update_check",
        &["update-check", "maint", "--version", "2.1", "--released", "2030-09-01"],
        false,
    );
    let reload = print("status", "reload", &["reload"], true);
    let hosts = print("status", "host_ids", &["hostid", "--explain", "away"], true);
    let events = print("events", "", &["events"], false);
    // What is written of history follows what is told, a moment later.
    let days = ["--from", "2030-06-30", "--to", "2030-07-01"];
    let usage = crate::real::until("the history has what happened", || {
        let (code, text) = world.reader.try_run(&[&["usage", "--json"][..], &days].concat(), false);
        let usage: Value = serde_json::from_str(&text).ok().filter(|_| code == 0)?;
        (usage["usage"].as_array()?.len() > 10).then_some(usage)
    });
    assert_eq!(is("usage", "", &usage), Ok(()), "{usage:#}");
    for by in ["user", "host"] {
        print("usage", "", &[&["usage", "--by", by][..], &days].concat(), false);
    }

    // Each line that follows is an event.
    let told = events["events"].as_array().expect("events");
    let kinds: BTreeSet<&str> = told.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert!(kinds.len() >= 8, "{kinds:?}");
    for line in follow(&world, told.len()) {
        let event: Value = serde_json::from_str(&line).expect("a line is an object");
        assert_eq!(is("events", "event", &event), Ok(()), "{line}");
        all.borrow_mut().push(by("events", "event", &event));
    }

    validated_by_another(&all.into_inner());

    // And none of it would pass with a member that is left out, of another type, or not in the schema.
    let may_be_absent = |good: &Value, name: &str, part: &str| {
        refuses_mutations(|value| is(name, part, value), &shortened(good))
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let status_may_miss = may_be_absent(&printed[0], "status", "");
    let lists = words(&["server", "features", "sessions", "problems"]);
    assert!(lists.is_subset(&status_may_miss), "{status_may_miss:?}");
    for always in [
        "schema", "name", "vendor", "total", "used", "free", "held", "queued", "id", "state", "user", "since",
    ] {
        assert!(!status_may_miss.contains(always), "{always} may be left out");
    }
    for (value, name, part, always) in [
        (&events, "events", "", ["schema", "seq", "kind", "at"]),
        (&usage, "usage", "", ["schema", "usage", "peak", "hours"]),
        (&why, "status", "why", ["granted", "code", "pools", "access"]),
        (&checked, "status", "update_check", ["answers", "advice", "seats", "maintenance"]),
        (&reload, "status", "reload", ["files", "licenses", "changes", "problems"]),
        (&hosts, "status", "host_ids", ["host_ids", "kind", "value", "matches"]),
    ] {
        let may_miss = may_be_absent(value, name, part);
        for member in always {
            assert!(!may_miss.contains(member), "{name} {part}: {member} may be left out");
        }
    }
    for (pointer, wrong) in [
        ("/schema", json!(2)),
        ("/server/clock", json!("perhaps")),
        ("/features/0/used", json!(-1)),
        ("/features/0/total", json!("10")),
        ("/server/today", json!("2030-02-30")),
        ("/server/next_midnight", json!("2030-07-01T22:00:00+02:00")),
        ("/sessions/0/state", json!("asleep")),
    ] {
        let mut status = printed[0].clone();
        *status.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = wrong;
        assert!(is("status", "", &status).is_err(), "{pointer}");
    }
}

/// A document with the schema that it is to be read by.
pub(crate) fn by(name: &str, part: &str, value: &Value) -> Value {
    let place = if part.is_empty() { String::new() } else { format!("/$defs/{part}") };
    json!({"by": format!("urn:seatkeeper:schema:{name}:1#{place}"), "value": value})
}

/// Also by a validator that other people wrote: ours could read the schemas as they were not meant.
pub(crate) fn validated_by_another(documents: &[Value]) {
    let Some(python) = require("jsonschema") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.arg(root.join("tests/agree/validate.py")).arg(root.join("docs/schema"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python");
    let mut lines = child.stdin.take().expect("a pipe");
    for document in documents {
        // Where it has stopped reading, its answer says why.
        let _ = writeln!(lines, "{document}");
    }
    drop(lines);
    let output = child.wait_with_output().expect("its answer");
    let read = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success() && read == documents.len().to_string(), "{read} of {}", documents.len());
}

/// Two items of each list, the longest: each mutation is a document to be read.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(shortened).collect();
            items.sort_by_key(|item| std::cmp::Reverse(item.to_string().len()));
            items.truncate(2);
            Value::Array(items)
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), shortened(member))).collect()
        }
        other => other.clone(),
    }
}

/// The first lines of `events --follow --json`.
fn follow(world: &World, lines: usize) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command
        .args(["events", "--follow", "--after", "0", "--json"])
        .env("SEATKEEPER_SERVER", world.reader.address.to_string())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("a pipe"));
    let lines: Vec<String> = out.lines().take(lines).collect::<Result<_, _>>().expect("lines");
    child.kill().expect("it runs on");
    child.wait().expect("it ends");
    lines
}
