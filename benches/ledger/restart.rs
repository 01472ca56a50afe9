//! A restart with 10,000 to 1,000,000 sessions, and what a session takes in memory.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use seats::catalog::Catalog;
use serde_json::json;
use wire::frame;
use wire::request;

use crate::common::daemon::{DAEMON, Daemon, Start, resident_memory};
use crate::common::licenses::{Licenses, feature, write};
use crate::common::sessions::{PROGRAMS, engine, fill, loader};
use crate::common::{Result, directory, hundredths, median, spread};
use crate::{Scale, say};

/// Features the sessions are of.
const FEATURES: usize = 200;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let sizes: &[usize] = if scale.is_short { &[10_000] } else { &[10_000, 100_000, 1_000_000] };
    let home = directory()?;
    let licenses = write(home.path(), FEATURES, 10_000_000, None)?;
    // Memory of a daemon that has no session, to be taken off.
    let empty = start(home.path(), &home.path().join("state-0"), &licenses)?;
    let memory_empty = empty.memory()?;
    empty.stop()?;
    for sessions in sizes {
        let state = home.path().join(format!("state-{sessions}"));
        let connected = build(&state, &licenses, *sessions)?;
        let bytes = directory_bytes(&state.join("journal"))?;
        let (mut ready, mut reply, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        let mut processor = Vec::new();
        for _ in 0..scale.rounds {
            let begun = Instant::now();
            let daemon = start(home.path(), &state, &licenses)?;
            memory.push((daemon.memory()?.saturating_sub(memory_empty)) as f64 / *sessions as f64);
            ready.push(daemon.to_ready.as_secs_f64());
            processor.push(daemon.processor_to_ready.as_secs_f64());
            first_reply(&daemon)?;
            reply.push(begun.elapsed().as_secs_f64());
            daemon.stop()?;
        }
        say(&json!({
            "bench": "restart", "sessions": sessions, "programs": PROGRAMS.min(*sessions), "journal_bytes": bytes,
            "n": scale.rounds,
            "to_ready_s": hundredths(median(&ready)), "to_ready_spread": spread(&ready),
            "processor_to_ready_s": hundredths(median(&processor)), "to_first_reply_s": hundredths(median(&reply)), "to_first_reply_spread": spread(&reply),
            "bytes_a_session_after_restart": median(&memory).round(),
            "bytes_a_session_connected": connected.round(),
        }))?;
        fs::remove_dir_all(&state)?;
    }
    Ok(())
}

fn start(home: &Path, state: &Path, licenses: &Licenses) -> Result<Daemon> {
    Start { program: DAEMON.as_ref(), home, state, licenses, core: None }.start()
}

/// Makes the state in this process and says how much memory each session takes while its client is connected.
fn build(state: &Path, licenses: &Licenses, sessions: usize) -> Result<f64> {
    let set = loader(licenses)?.load()?;
    let (directory, mut engine) = engine(state, Arc::new(Catalog::new(set.licenses)))?;
    let before = resident_memory(std::process::id())?;
    fill(&mut engine, sessions, FEATURES)?;
    let after = resident_memory(std::process::id())?;
    drop((engine, directory));
    Ok(after.saturating_sub(before) as f64 / sessions as f64)
}

/// A hello and a checkout that is granted.
fn first_reply(daemon: &Daemon) -> Result<()> {
    let mut stream = TcpStream::connect(daemon.address)?;
    stream.set_nodelay(true)?;
    let mut frames = Vec::new();
    frame::append(&mut frames, 1, &request::Hello { install_id: [9; 16], ..Default::default() })?;
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    let item = request::Item { vendor: None, feature: feature(0), count: 1 };
    let facts = request::Facts {
        user: "ann".into(),
        host: "ws7".into(),
        platform: "linux-x86_64".into(),
        release_version: Some("4.1".into()),
        ..Default::default()
    };
    let checkout = request::Checkout { request_key: key, items: vec![item], facts, ..Default::default() };
    frame::append(&mut frames, 2, &checkout)?;
    stream.write_all(&frames)?;
    for number in [0x8001, 0x8002] {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut answer)?;
        let (head, body) = frame::split(&answer)?;
        if head.number != number {
            return Err(format!("not granted: {}", String::from_utf8_lossy(body)).into());
        }
    }
    Ok(())
}

fn directory_bytes(path: &Path) -> Result<u64> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
