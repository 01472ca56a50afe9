//! The layers of design.md, read off the sources: who may name what.
//!
//! It reads; it does not compile. What the compiler and clippy hold already (`no_std`, `disallowed-methods`,
//! `unsafe_code`) is looked at again where an `allow` could let it through.

mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use source::{paths, tokens};

/// The one place that reads the clock and knows time zones.
const CLOCK: &str = "src/clock.rs";
/// The client library cannot reach that file. It states the offset from GMT in a checkout (S1) and decides nothing by it;
/// and it bounds the hours for which it goes on while no server answers (L65).
const CLIENT_CLOCKS: [&str; 2] = ["crates/client/src/facts.rs", "crates/client/src/grace/clock.rs"];
/// Where bincode may be named.
const BINCODE: [&str; 2] = ["crates/wire/src/layout.rs", "src/engine/record.rs"];
/// The C ABI, alone in being unsafe.
const UNSAFE: [&str; 1] = ["crates/client/src/ffi.rs"];
/// What the rules may stand on.
const SEATS_CRATES: [&str; 10] =
    ["alloc", "chrono", "core", "crate", "self", "serde", "slotmap", "super", "thiserror", "seats"];

/// What this file of the repository may not name but does, a sentence each.
fn faults(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let paths = paths(&tokens);
    let mut faults = BTreeSet::new();
    let roots: BTreeSet<&str> = paths.iter().filter_map(|path| path.first()).map(String::as_str).collect();
    let in_part = |part: &str| file == format!("{part}.rs") || file.starts_with(&format!("{part}/"));
    let starts = |path: &[String], start: &[&str]| {
        path.len() >= start.len() && path.iter().zip(start).all(|(a, b)| a == b)
    };
    let is_source = file.starts_with("src/") || (file.starts_with("crates/") && file.contains("/src/"));

    if file.starts_with("crates/seats/src/") {
        for root in &roots {
            let is_crate = root.starts_with(|c: char| c.is_ascii_lowercase()) && is_foreign(root);
            if is_crate && !SEATS_CRATES.contains(root) {
                faults.insert(format!(
                    "seats names {root}: the rules have no IO, no clock and nothing else of ours"
                ));
            }
        }
    }
    if file.starts_with("crates/wire/src/") {
        for root in ["tokio", "seats", "seatkeeper", "seatkeeper_client", "rustix", "mio"] {
            if roots.contains(root) {
                faults.insert(format!("wire names {root}: it does no IO and knows no rule"));
            }
        }
        for part in ["env", "fs", "io", "net", "os", "process", "thread", "time"] {
            if paths.iter().any(|path| starts(path, &["std", part])) {
                faults.insert(format!("wire names std::{part}: it does no IO"));
            }
        }
    }
    if is_source && !BINCODE.contains(&file) && roots.contains("bincode") {
        faults.insert(format!("bincode is named in {} alone", BINCODE.join(" and ")));
    }
    if file.starts_with("src/") && !in_part("src/answer") && roots.contains("wire") && roots.contains("seats")
    {
        faults.insert("src/answer alone names both wire and seats".to_owned());
    }
    if in_part("src/engine") && roots.contains("wire") {
        faults.insert("the engine names wire: it speaks to seats and journal only".to_owned());
    }
    if in_part("src/http") && tokens.iter().any(|token| token == "Ledger") {
        faults.insert("http names the Ledger: it reads what the engine publishes".to_owned());
    }
    if is_source && file != CLOCK && !CLIENT_CLOCKS.contains(&file) {
        let wall: [&[&str]; 5] = [
            &["SystemTime", "now"],
            &["Utc", "now"],
            &["Local", "now"],
            &["Zoned", "now"],
            &["Timestamp", "now"],
        ];
        for path in &paths {
            if wall.iter().any(|end| path.ends_with(&end.map_owned()))
                || path.ends_with(&["clock_gettime".into()])
            {
                faults.insert(format!("{} reads the clock: {CLOCK} does that", path.join("::")));
            }
        }
        if roots.contains("jiff") {
            faults.insert(format!("jiff is named: time zones are in {CLOCK} alone"));
        }
    }
    // The client library measures time-outs of its own; the server has a Clock.
    if file.starts_with("src/") && file != CLOCK {
        for path in &paths {
            let whole = [&["std", "time"][..], &["std", "time", "*"]];
            if starts(path, &["std", "time", "Instant"]) || whole.iter().any(|w| path == &w.map_owned()) {
                faults
                    .insert(format!("{} is named: ask Clock::tick or Stopwatch of {CLOCK}", path.join("::")));
            }
        }
    }
    if !UNSAFE.contains(&file) && tokens.iter().any(|token| token == "unsafe") {
        faults.insert(format!("unsafe stands in {} alone", UNSAFE[0]));
    }
    faults.into_iter().collect()
}

/// Whether a path's first part can be a crate: not a module that was imported by name, such as `mem` or `fmt`.
fn is_foreign(root: &str) -> bool {
    const CRATES: [&str; 18] = [
        "std",
        "tokio",
        "wire",
        "seatkeeper",
        "seatkeeper_client",
        "bincode",
        "jiff",
        "rand",
        "getrandom",
        "rustix",
        "libc",
        "tracing",
        "log",
        "serde_json",
        "sha2",
        "quick_xml",
        "ed25519_dalek",
        "parking_lot",
    ];
    CRATES.contains(&root)
}

trait Owned {
    fn map_owned(&self) -> Vec<String>;
}

impl Owned for &[&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|&part| part.to_owned()).collect()
    }
}

/// Every Rust file of ours: workspace, tests and benches, not what was built.
fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "fuzz" | "state") && !name.starts_with('.') {
                rust_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_keeps_to_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(root, &mut files);
    assert!(files.iter().any(|file| file.ends_with("src/clock.rs")), "the sources are there");
    let mut found = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let name = file.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        found.extend(faults(&name, &text).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn seats_stands_on_few_crates_and_without_std() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/seats");
    let lib = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    assert!(lib.contains("#![no_std]"), "crates/seats/src/lib.rs says no_std");
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for name in dependencies.keys() {
        assert!(SEATS_CRATES.contains(&name.as_str()), "crates/seats depends on {name}");
    }
}

/// No crate of ours turns on chrono's clock, and none of its dependencies may do it for us.
#[test]
fn chronos_clock_is_off() {
    let workspace: toml::Table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .unwrap()
            .parse()
            .unwrap();
    let chrono = &workspace["workspace"]["dependencies"]["chrono"];
    assert_eq!(chrono["default-features"].as_bool(), Some(false));
    assert!(!chrono["features"].as_array().unwrap().iter().any(|f| f.as_str() == Some("clock")));
    let lock = include_str!("../../Cargo.lock");
    assert!(!lock.contains("name = \"iana-time-zone\""), "chrono's clock brings this crate");
}

#[test]
fn what_breaks_a_layer_is_found() {
    let broken = [
        ("crates/seats/src/ledger.rs", "use std::collections::HashMap;"),
        ("crates/seats/src/ledger.rs", "fn f() { std::thread::yield_now() }"),
        ("crates/seats/src/ledger.rs", "extern crate std;"),
        ("crates/seats/src/ledger.rs", "use wire::Frame;"),
        ("crates/seats/src/ledger.rs", "use {core::fmt, tokio::time::sleep};"),
        ("crates/seats/src/ledger.rs", "fn f() { rustix::fs::open() }"),
        ("crates/wire/src/frame.rs", "use std::{fmt, io::Read};"),
        ("crates/wire/src/frame.rs", "use std::net;"),
        ("crates/wire/src/frame.rs", "fn f(x: ::std::time::Duration) {}"),
        ("crates/wire/src/frame.rs", "use tokio as t;"),
        ("crates/wire/src/frame.rs", "fn f(key: seats::PoolKey) {}"),
        ("crates/wire/src/frame.rs", "use bincode::Encode;"),
        ("src/journal/batch.rs", "bincode::encode_to_vec(x, c)"),
        ("src/server.rs", "use wire::Frame; use seats::Ledger;"),
        ("src/connection.rs", "fn f(m: wire::Message) -> seats::Request {}"),
        ("src/engine.rs", "use wire::Frame;"),
        ("src/engine/step.rs", "wire::codes::OK"),
        ("src/http.rs", "use seats::ledger::Ledger;"),
        ("src/http/status.rs", "fn f(l: &Ledger) {}"),
        ("src/server.rs", "let t = SystemTime::now();"),
        ("src/server.rs", "let t = std::time::SystemTime::now();"),
        ("crates/client/src/lib.rs", "chrono::Utc::now()"),
        ("crates/client/src/grace/watch.rs", "std::time::SystemTime::now()"),
        ("src/server.rs", "use std::time::{Duration, Instant};"),
        ("src/server.rs", "use std::{time::Instant, fmt};"),
        ("src/server.rs", "use std::time::{self, Duration};"),
        ("src/server.rs", "use std::time;"),
        ("src/server.rs", "use std::time::*;"),
        ("src/server.rs", "std::time::Instant::now()"),
        ("src/licenses/mod.rs", "use jiff::tz::TimeZone;"),
        ("src/server.rs", "unsafe { f() }"),
        ("crates/client/src/lib.rs", "pub unsafe fn f() {}"),
        ("tests/any.rs", "unsafe { f() }"),
        ("src/server.rs", "let c = '\"'; unsafe { f() } let d = '\"';"),
        ("src/server.rs", "let c = b'\\''; unsafe { f() }"),
        ("src/server.rs", "let s = r#\"\"a\"\"#; unsafe { f() }"),
        ("src/server.rs", "/* a /* b */ c */ unsafe { f() }"),
        ("src/server.rs", "fn f<'a>(x: &'a str) { unsafe { g() } }"),
        ("src/server.rs", "#[cfg(test)] mod tests { fn f() { {} } } unsafe { f() }"),
        ("src/server.rs", "#[cfg(test)] mod tests; unsafe { f() }"),
    ];
    for (file, text) in broken {
        assert_eq!(faults(file, text).len(), 1, "{file}: {text}: {:?}", faults(file, text));
    }
}

#[test]
fn what_keeps_to_its_layer_is_let_through() {
    let fine = [
        ("crates/seats/src/ledger.rs", "extern crate alloc; use alloc::vec::Vec; use core::{fmt, mem};"),
        ("crates/seats/src/ledger.rs", "//! not std::fs\n/* std::net */ const A: &str = \"std::io\";"),
        (
            "crates/seats/src/ledger.rs",
            "#[cfg(test)] mod tests { extern crate std; use std::vec; } fn f() {}",
        ),
        ("crates/seats/src/ledger.rs", "let seats = wire; mem::take(&mut x); super::std::f()"),
        ("crates/wire/src/layout.rs", "use bincode::config; use std::fmt;"),
        ("src/engine/record.rs", "use bincode::Encode;"),
        ("src/engine.rs", "fn f<'a>(&'a self) -> impl Iterator<Item = u8> + use<'a> { g() }"),
        ("src/answer.rs", "use wire::Frame; use seats::Ledger;"),
        ("src/answer/status.rs", "use wire::Frame; use seats::Ledger;"),
        ("src/answers.rs", "use wire::Frame;"),
        ("src/server.rs", "use wire::Frame; let seats: u32 = 3; grant.seats.len(); x::seats::y()"),
        ("src/engine.rs", "use seats::Ledger; use crate::wire_log::x;"),
        ("src/clock.rs", "use std::time::{Instant, SystemTime}; SystemTime::now(); jiff::Timestamp::now()"),
        ("src/server.rs", "use std::time::Duration; use tokio::time::Instant; Instant::now()"),
        ("src/server.rs", "fn modified(at: std::time::SystemTime) {}"),
        ("crates/client/src/lib.rs", "use std::time::{Duration, Instant};"),
        ("crates/client/src/facts.rs", "jiff::Zoned::now().offset()"),
        ("crates/client/src/grace/clock.rs", "jiff::Timestamp::now()"),
        ("crates/client/src/ffi.rs", "unsafe { f() }"),
        (
            "src/lib.rs",
            "#![deny(unsafe_code)] // unsafe\nconst A: &str = r\"unsafe\"; const B: &[u8] = b\"unsafe\\\"\";",
        ),
        ("tests/any.rs", "use std::time::Instant; std::time::SystemTime::now(); use jiff::tz;"),
    ];
    for (file, text) in fine {
        assert_eq!(faults(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
