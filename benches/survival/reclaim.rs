//! Seats of a hundred thousand suspects, given to those who need them (S22), beside seats that are free.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::{Ask, ConnectionId, Outbox, Request};
use seatkeeper::journal::RealDisk;
use seats::catalog::Catalog;
use serde_json::json;

use crate::common::licenses::write;
use crate::common::sessions::{Mute, PROGRAMS, checkout, engine, facts, fill, loader, reading};
use crate::common::{Random, Result, directory, hundredths, median, spread};
use crate::{Scale, say};

/// Asks of a step here: so that no sync has more than a busy server's to write.
const STEP: usize = 100;
/// Programs that come when all others are gone.
const COMERS: usize = 1_000;

/// What one round came to: microseconds for each checkout, and milliseconds of the longest step.
struct Round {
    each_us: f64,
    longest_ms: f64,
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let (sessions, takers) = if scale.is_short { (2_000, 200) } else { (100_000, 10_000) };
    for features in [200, 1] {
        let home = directory()?;
        let (mut free, mut reclaimed, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        let (mut longest_free, mut longest) = (Vec::new(), Vec::new());
        for round in 0..scale.rounds {
            let path = |name: &str| home.path().join(format!("{name}-{round}"));
            // Room for all: nobody need go.
            let seats = u32::try_from((sessions + takers) / features)?;
            let mut roomy = filled(&path("roomy"), features, seats, sessions)?;
            lost.push(lose_all(&mut roomy.1)?);
            let taken = take(&mut roomy.1, features, takers)?;
            free.push(taken.each_us);
            longest_free.push(taken.longest_ms);
            assert_eq!(roomy.1.ledger().state().session_count(), sessions + takers, "nobody had to go");
            let seats = u32::try_from(sessions / features)?;
            let mut full = filled(&path("full"), features, seats, sessions)?;
            lose_all(&mut full.1)?;
            let taken = take(&mut full.1, features, takers)?;
            reclaimed.push(taken.each_us);
            longest.push(taken.longest_ms);
            assert_eq!(full.1.ledger().state().session_count(), sessions, "one for one");
        }
        let ratio: Vec<f64> = reclaimed.iter().zip(&free).map(|(reclaimed, free)| reclaimed / free).collect();
        say(&json!({
            "bench": "reclaim", "suspects": sessions, "features": features, "takers": takers, "n": scale.rounds,
            "all_connections_lost_ms": hundredths(median(&lost)),
            "free_us": hundredths(median(&free)), "free_spread": spread(&free),
            "reclaimed_us": hundredths(median(&reclaimed)), "reclaimed_spread": spread(&reclaimed),
            "ratio": hundredths(median(&ratio)), "ratio_spread": spread(&ratio),
            "longest_step_free_ms": hundredths(median(&longest_free)), "longest_step_ms": hundredths(median(&longest)),
        }))?;
    }
    Ok(())
}

type Running = (seatkeeper::state::StateDir, Engine<RealDisk>);

fn filled(home: &Path, features: usize, seats: u32, sessions: usize) -> Result<Running> {
    std::fs::create_dir_all(home)?;
    let licenses = write(home, features, seats, None)?;
    let catalog = Arc::new(Catalog::new(loader(&licenses)?.load()?.licenses));
    let mut running = engine(&home.join("state"), catalog)?;
    fill(&mut running.1, sessions, features)?;
    Ok(running)
}

/// The tick at which all connections are lost: after everything that [`fill`] asks.
const LOST_AT: u64 = 10_000;

/// Every program's connection is gone at once, and the resume window of all is over. Milliseconds.
fn lose_all(engine: &mut Engine<RealDisk>) -> Result<f64> {
    let mut asks: Vec<Ask> = (1..=PROGRAMS as u64).map(|id| Ask::Close(ConnectionId(id))).collect();
    let begun = Instant::now();
    engine.step(&mut asks, reading(LOST_AT, 0))?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Others come and take one seat each.
fn take(engine: &mut Engine<RealDisk>, features: usize, takers: usize) -> Result<Round> {
    let mut keys = Random(2);
    let facts: Vec<_> = (0..COMERS).map(|n| facts(PROGRAMS + n)).collect();
    let connections: Vec<Arc<dyn Outbox>> = (0..COMERS)
        .map(|n| Arc::new(Mute(ConnectionId((PROGRAMS + n) as u64 + 1))) as Arc<dyn Outbox>)
        .collect();
    let now = LOST_AT + 6_000;
    engine.step(&mut connections.iter().map(|c| Ask::Open(c.clone())).collect(), reading(now, 0))?;
    let (mut longest, mut whole) = (0.0_f64, 0.0);
    for first in (0..takers).step_by(STEP) {
        let ask = |n: usize| {
            let program = n % COMERS;
            let request = checkout(&mut keys, n % features, facts[program].clone());
            let request = Request::Checkout(Box::new(request), 0);
            Ask::Request { from: connections[program].clone(), call: 1, request }
        };
        let mut asks: Vec<Ask> = (first..takers.min(first + STEP)).map(ask).collect();
        let begun = Instant::now();
        engine.step(&mut asks, reading(now + first as u64 / 100, 0))?;
        let took = begun.elapsed().as_secs_f64();
        longest = longest.max(took * 1e3);
        whole += took;
    }
    Ok(Round { each_us: whole * 1e6 / takers as f64, longest_ms: longest })
}
