//! Ten thousand who wait, served by an upgrade that begins at midnight (S32), beside as many who find their seats free.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::{Answer, Ask, ConnectionId, Event, Outbox, Request};
use seatkeeper::journal::RealDisk;
use seats::catalog::Catalog;
use seats::change::BundleId;
use serde_json::json;

use crate::common::licenses::{feature, write_files};
use crate::common::sessions::{DAY, checkout, engine, facts, loader, reading};
use crate::common::{Random, Result, directory, hundredths, median, spread};
use crate::{Scale, say};

/// Asks of a step, as the engine's thread takes them.
const STEP: usize = 4_096;
/// Longer than any wait here, milliseconds.
const LONG_MS: u64 = 30 * 3_600_000;

/// What all connections were told.
#[derive(Debug, Default)]
struct Told {
    granted: AtomicU64,
    waiting: AtomicU64,
    /// Who was served with what, and has not confirmed it.
    served: Mutex<Vec<(u64, BundleId)>>,
}

#[derive(Debug)]
struct Ear(u64, Arc<Told>);

impl Outbox for Ear {
    fn id(&self) -> ConnectionId {
        ConnectionId(self.0)
    }

    fn heard(&self) -> u64 {
        u64::MAX
    }

    fn idle_ms(&self, _: u64) -> Option<u64> {
        None
    }

    fn answer(&self, _: u32, answer: &Answer) {
        match answer {
            Answer::Granted(..) => self.1.granted.fetch_add(1, Ordering::Relaxed),
            Answer::Waiting(..) => self.1.waiting.fetch_add(1, Ordering::Relaxed),
            Answer::Confirmed(_) => 0,
            other => panic!("neither granted nor queued: {other:?}"),
        };
    }

    fn event(&self, event: &Event) {
        if let Event::Served(_, view) = event {
            self.1.served.lock().unwrap_or_else(PoisonError::into_inner).push((self.0, view.bundle));
        }
    }

    fn holds(&self, _: u32) {}
    fn flush(&self) {}
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let waiters = if scale.is_short { 500 } else { 10_000 };
    let home = directory()?;
    let (mut free, mut queued, mut served, mut longest) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..scale.rounds {
        let home = home.path().join(round.to_string());
        free.push(all_at_once(&home.join("free"), waiters, 0)?.0);
        let (joined, told) = all_at_once(&home.join("queue"), waiters, 1)?;
        queued.push(joined);
        served.push(told.whole_ms);
        longest.push(told.longest_ms);
    }
    let ratio: Vec<f64> = served.iter().zip(&free).map(|(served, free)| served / free).collect();
    say(&json!({
        "bench": "queue-at-midnight", "waiters": waiters, "n": scale.rounds,
        "as_many_on_free_seats_ms": hundredths(median(&free)), "free_spread": spread(&free),
        "joining_ms": hundredths(median(&queued)), "joining_spread": spread(&queued),
        "served_ms": hundredths(median(&served)), "served_spread": spread(&served),
        "ratio": hundredths(median(&ratio)), "ratio_spread": spread(&ratio),
        "longest_step_ms": hundredths(median(&longest)),
    }))
}

/// What a midnight came to.
#[derive(Default)]
struct Midnight {
    whole_ms: f64,
    longest_ms: f64,
}

/// So many programs ask for a seat each. The upgrade that gives them all one begins `in_days`: today, and they are granted at
/// once; later, and they wait for that midnight. Milliseconds until all have been answered, and the midnight.
fn all_at_once(home: &Path, programs: usize, in_days: u64) -> Result<(f64, Midnight)> {
    std::fs::create_dir_all(home)?;
    let name = feature(0);
    let start = DAY + chrono::Days::new(in_days);
    let text = format!(
        "<FEATURE NAME=\"{name}\"><SETTING VERSION=\"4.2\"/><SETTING COUNT=\"1\"/></FEATURE>\n\
         <FEATURE NAME=\"{name}\"><SETTING KEYTYPE=\"UPGRADE\"/><SETTING COUNT=\"{programs}\"/>\
         <SETTING START=\"{start}\"/></FEATURE>\n"
    );
    let licenses = write_files(home, "licenses", std::iter::once(text))?;
    let set = loader(&licenses)?.load()?;
    assert!(set.problems.is_empty(), "both licenses are good: {:?}", set.problems);
    let (_directory, mut engine) = engine(&home.join("state"), Arc::new(Catalog::new(set.licenses)))?;
    let told = Arc::new(Told::default());
    let mut keys = Random(3);
    // One has the seat there is.
    let ears: Vec<Arc<dyn Outbox>> =
        (0..=programs).map(|n| Arc::new(Ear(n as u64 + 1, told.clone())) as Arc<dyn Outbox>).collect();
    engine.step(&mut ears.iter().map(|ear| Ask::Open(ear.clone())).collect(), reading(1, 0))?;
    let mut ask = |n: usize| {
        let request = Request::Checkout(Box::new(checkout(&mut keys, 0, facts(n))), LONG_MS);
        Ask::Request { from: ears[n].clone(), call: 1, request }
    };
    engine.step(&mut vec![ask(0)], reading(1, 0))?;
    let mut asks: Vec<Ask> = (1..=programs).map(ask).collect();
    let begun = Instant::now();
    while !asks.is_empty() {
        let mut some = asks.drain(..asks.len().min(STEP)).collect();
        engine.step(&mut some, reading(2, 0))?;
    }
    let joined_ms = begun.elapsed().as_secs_f64() * 1e3;
    let (granted, waiting) = (told.granted.load(Ordering::Relaxed), told.waiting.load(Ordering::Relaxed));
    let expected = if in_days == 0 { (programs as u64 + 1, 0) } else { (1, programs as u64) };
    assert_eq!((granted, waiting), expected, "(granted, waiting)");
    let midnight =
        if in_days == 0 { Midnight::default() } else { serve(&mut engine, &ears, &told, programs)? };
    assert_eq!(engine.ledger().state().session_count(), programs + 1, "everybody has a seat");
    Ok((joined_ms, midnight))
}

/// Midnight, and everybody who is told that it is served confirms that in the next step.
fn serve(
    engine: &mut Engine<RealDisk>,
    ears: &[Arc<dyn Outbox>],
    told: &Told,
    programs: usize,
) -> Result<Midnight> {
    let (mut confirmed, mut midnight) = (0, Midnight::default());
    let mut asks = Vec::new();
    while confirmed < programs {
        let begun = Instant::now();
        engine.step(&mut asks, reading(3, 1))?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        midnight.whole_ms += took;
        midnight.longest_ms = midnight.longest_ms.max(took);
        let served = std::mem::take(&mut *told.served.lock().unwrap_or_else(PoisonError::into_inner));
        if served.is_empty() && !engine.has_background_work() {
            return Err(format!("only {confirmed} of {programs} were served").into());
        }
        confirmed += served.len();
        let confirm = |(connection, bundle): (u64, BundleId)| {
            let from = ears[connection as usize - 1].clone();
            Ask::Request { from, call: 2, request: Request::Confirm(bundle) }
        };
        asks = served.into_iter().map(confirm).collect();
    }
    let begun = Instant::now();
    engine.step(&mut asks, reading(4, 1))?;
    midnight.whole_ms += begun.elapsed().as_secs_f64() * 1e3;
    assert!(engine.ledger().state().waiters().next().is_none(), "nobody waits any more");
    Ok(midnight)
}
