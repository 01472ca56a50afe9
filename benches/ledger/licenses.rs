//! 1,000 to 100,000 signed features: reading them, bringing the pools up to date, the daemon's start.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::Ask;
use seatkeeper::journal::RealDisk;
use seats::catalog::Catalog;
use serde_json::{Value, json};

use crate::common::daemon::{DAEMON, Start};
use crate::common::licenses::{Licenses, write};
use crate::common::sessions::{DAY, engine, loader, reading};
use crate::common::{Result, directory, median, spread};
use crate::{Scale, say};

/// Seconds of several rounds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    fn told(&self) -> Value {
        json!({ "ms": (median(&self.0) * 1e5).round() / 100.0, "spread": spread(&self.0) })
    }
}

/// Bringing all pools up to date: from the first step to the last, and the longest single one, for which any client
/// may have to wait.
#[derive(Default)]
struct Sweep {
    total: Times,
    longest: Times,
}

impl Sweep {
    fn run(
        &mut self,
        engine: &mut Engine<RealDisk>,
        mut asks: Vec<Ask>,
        tick: &mut u64,
        days: u32,
    ) -> Result<()> {
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        loop {
            let step = Instant::now();
            *tick += 1;
            engine.step(&mut asks, reading(*tick, days))?;
            longest = longest.max(step.elapsed());
            if !engine.has_background_work() {
                break;
            }
        }
        self.total.add(begun.elapsed());
        self.longest.add(longest);
        Ok(())
    }

    fn told(&self) -> Value {
        json!({ "total": self.total.told(), "longest_step": self.longest.told() })
    }
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let sizes: &[usize] = if scale.is_short { &[1_000] } else { &[1_000, 10_000, 100_000] };
    for features in sizes {
        let home = directory()?;
        // All of them end on one day: the worst midnight there is.
        let licenses = write(home.path(), *features, 100, Some(DAY))?;
        in_process(scale, *features, &licenses, home.path())?;
        let lasting = write(&home.path().join("lasting"), *features, 100, None)?;
        start(scale, *features, &lasting, home.path())?;
    }
    Ok(())
}

fn in_process(scale: &Scale, features: usize, licenses: &Licenses, home: &Path) -> Result<()> {
    let (mut load, mut group) = (Times::default(), Times::default());
    let (mut first, mut same, mut midnight) = (Sweep::default(), Sweep::default(), Sweep::default());
    for round in 0..scale.rounds {
        let begun = Instant::now();
        let set = loader(licenses)?.load()?;
        load.add(begun.elapsed());
        assert!(set.problems.is_empty() && set.licenses.len() == features, "every license is good");
        let begun = Instant::now();
        let catalog = Arc::new(Catalog::new(set.licenses.clone()));
        group.add(begun.elapsed());
        let state = home.join(format!("state-{round}"));
        let (_directory, mut engine) = engine(&state, Arc::new(Catalog::default()))?;
        let mut tick = 1;
        let ask = |catalog: &Arc<Catalog>| vec![Ask::Catalog(catalog.clone(), Box::new(|()| ()))];
        first.run(&mut engine, ask(&catalog), &mut tick, 0)?;
        let again = Arc::new(Catalog::new(set.licenses.clone()));
        same.run(&mut engine, ask(&again), &mut tick, 0)?;
        midnight.run(&mut engine, Vec::new(), &mut tick, 1)?;
        let counters = engine.ledger().counters();
        assert!(counters.is_empty(), "every license has ended, and nobody has a seat");
    }
    say(&json!({
        "bench": "licenses", "features": features, "bytes": licenses.bytes, "n": scale.rounds,
        "load_and_verify": load.told(), "group": group.told(),
        "first_evaluation": first.told(), "reload_of_the_same": same.told(), "midnight_ends_all": midnight.told(),
    }))
}

/// The real daemon: its first start, when every pool is new and journaled, and a later one.
fn start(scale: &Scale, features: usize, licenses: &Licenses, home: &Path) -> Result<()> {
    let (mut first, mut later, mut processor) = (Times::default(), Times::default(), Times::default());
    for round in 0..scale.rounds {
        let state = home.join(format!("daemon-{round}"));
        for times in [&mut first, &mut later] {
            let daemon =
                Start { program: DAEMON.as_ref(), home, state: &state, licenses, core: None }.start()?;
            times.add(daemon.to_ready);
            processor.add(daemon.processor_to_ready);
            daemon.stop()?;
        }
    }
    say(&json!({
        "bench": "start", "features": features, "n": scale.rounds,
        "first_to_ready": first.told(), "later_to_ready": later.told(),
        "main_thread": processor.told(),
    }))
}
