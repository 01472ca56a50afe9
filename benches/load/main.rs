//! Checkouts and checkins, and update checks, against the real daemon, in the same run as what bounds them. Prints one JSON line.
//!
//! ```text
//! cargo bench --bench load -- [--short] [--rounds N] [--seconds S] [--cells 1,16,128,1024,128x16] [--pin]
//!                             [--seed N] [--against SEATKEEPERD]... [--scrape] [--history]
//! ```
//!
//! A cell is a number of connections, and after an `x` how many requests each has in flight. In every round a cell
//! is run against a bare echo server (same runtime, same codec, frames of the same sizes) and against the daemon,
//! one after the other, so that a noisy machine is noisy for both; `ratio` is the median of what each round gave.
//! `processor_us` is the server's processor time for one operation, which a noisy machine blurs least.
//! Between them the bare disk takes its turn. Each checkout and each checkin counts as one operation, and every
//! one must be answered and granted, or the run fails. `update_checks` of a cell is the same with update checks (rules 3, 6.8) of
//! two versions each, one that runs and one that does not, and an echo of frames of their sizes. `--pin` gives server and generator a core each (`taskset`);
//! `--against` runs other builds of the daemon beside this one.
//!
//! `--scrape` measures something else: a daemon of 1,000 features with and without 100 scrapes of `/metrics` a second, one
//! after the other in each round (`scrape.rs`); `--history` a daemon that writes its history beside one that does not
//! (`history.rs`). `--short` does all of it.
//!
//! `--short` or `SEATKEEPER_BENCH_SHORT=1` takes seconds: it shows that all of this works, not how fast it is.

mod checks;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod echo;
mod generator;
mod history;
mod scrape;
mod talk;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checks::Checks;
use crate::common::daemon::{DAEMON, Daemon, Start};
use crate::common::{Result, hundredths, licenses, median, spread, tenths};
use crate::disk::Loop;
use crate::echo::EchoServer;
use crate::generator::{Run, Shape, Talk, drive};
use crate::talk::{Echo, Seats, Sizes};

/// Features that the connections ask for in turn.
const FEATURES: usize = 200;
/// Seats of each: none is ever denied.
const SEATS: u32 = 1_000_000;
/// Where the generator and the server run with `--pin`.
const GENERATOR_CORE: usize = 0;
const SERVER_CORE: usize = 1;

struct Options {
    rounds: usize,
    length: Duration,
    cells: Vec<Shape>,
    is_pinned: bool,
    against: Vec<PathBuf>,
    seed: u64,
    is_scraped: bool,
    is_remembered: bool,
}

impl Options {
    fn of_process() -> Result<Options> {
        let is_short = common::is_short();
        let mut options = Options {
            rounds: if is_short { 1 } else { 5 },
            length: if is_short { Duration::from_millis(500) } else { Duration::from_secs(2) },
            cells: cells("1,16,128,1024,128x16")?,
            is_pinned: false,
            against: Vec::new(),
            seed: 1,
            is_scraped: false,
            is_remembered: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                // cargo bench says so to every bench.
                "--bench" | "--short" => {}
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.length = Duration::from_secs_f64(value()?.parse()?),
                "--cells" => options.cells = cells(&value()?)?,
                "--seed" => options.seed = value()?.parse()?,
                "--against" => options.against.push(value()?.into()),
                "--pin" => options.is_pinned = true,
                "--scrape" => options.is_scraped = true,
                "--history" => options.is_remembered = true,
                _ => {
                    return Err(
                        format!("{word} is not known here; see the top of benches/load/main.rs").into()
                    );
                }
            }
        }
        Ok(options)
    }

    fn server_core(&self) -> Option<usize> {
        self.is_pinned.then_some(SERVER_CORE)
    }
}

fn cells(text: &str) -> Result<Vec<Shape>> {
    let cell = |text: &str| -> Result<Shape> {
        let (connections, depth) = text.split_once('x').unwrap_or((text, "1"));
        Ok(Shape { connections: connections.parse()?, depth: depth.parse()? })
    };
    text.split(',').map(cell).collect()
}

/// All rounds of one server in one cell.
#[derive(Default)]
struct Series {
    operations: u64,
    rates: Vec<f64>,
    latencies: [Vec<f64>; 3],
    processor: Vec<f64>,
}

const PERCENTILES: [(f64, &str); 3] = [(0.5, "p50_us"), (0.99, "p99_us"), (0.999, "p999_us")];

impl Series {
    fn add(&mut self, mut run: Run, processor: Duration) {
        self.processor.push(processor.as_secs_f64() * 1e6 / run.answered as f64);
        self.operations += run.operations;
        self.rates.push(run.rate());
        for ((part, _), values) in PERCENTILES.iter().zip(&mut self.latencies) {
            values.push(run.latency(*part));
        }
    }

    fn told(&self) -> Value {
        let mut told = json!({
            "n": self.operations, "per_s": median(&self.rates).round(), "spread": spread(&self.rates),
            "processor_us": hundredths(median(&self.processor)),
        });
        for ((_, name), values) in PERCENTILES.iter().zip(&self.latencies) {
            told[name] = tenths(median(values)).into();
        }
        told
    }

    /// What each round gave, over the same round of `other`.
    fn ratios(&self, other: &Series) -> Vec<f64> {
        self.rates.iter().zip(&other.rates).map(|(ours, theirs)| ours / theirs).collect()
    }
}

/// A daemon under test.
struct Keeper {
    program: PathBuf,
    daemon: Daemon,
    talk: Seats,
}

fn keepers(options: &Options, home: &Path) -> Result<Vec<Keeper>> {
    let licenses = licenses::write(home, FEATURES, SEATS, None)?;
    let programs = std::iter::once(PathBuf::from(DAEMON)).chain(options.against.iter().cloned());
    let start = |(n, program): (usize, PathBuf)| {
        let home = home.join(n.to_string());
        std::fs::create_dir_all(&home)?;
        let state = home.join("state");
        let (licenses, core) = (&licenses, options.server_core());
        let daemon = Start { program: &program, home: &home, state: &state, licenses, core }.start()?;
        Ok(Keeper { program, daemon, talk: Seats::new(options.seed + n as u64, FEATURES) })
    };
    programs.enumerate().map(start).collect()
}

/// The sizes of the daemon's frames, from one round trip.
fn sizes(keeper: &mut Keeper) -> Result<Sizes> {
    let shape = Shape { connections: 1, depth: 1 };
    drive(keeper.daemon.address, shape, Duration::ZERO, &mut keeper.talk)?;
    Ok(keeper.talk.sizes)
}

fn measure(options: &Options) -> Result<Value> {
    let home = common::directory()?;
    let machine = common::machine();
    let mut keepers = keepers(options, home.path())?;
    let sizes = sizes(keepers.first_mut().ok_or("there is one")?)?;
    let echo = EchoServer::start(&std::env::current_exe()?, options.server_core())?;
    let mut checks = Checks::new(options.seed, FEATURES);
    let check_sizes = {
        let first = keepers.first().ok_or("there is one")?;
        drive(first.daemon.address, Shape { connections: 1, depth: 1 }, Duration::ZERO, &mut checks)?;
        checks.sizes
    };
    let mut loops = [Loop::append(home.path())?, Loop::zeroed(home.path())?];
    let mut cells = Vec::new();
    for shape in &options.cells {
        let mut bound = Series::default();
        let mut ours: Vec<Series> = keepers.iter().map(|_| Series::default()).collect();
        let (mut checks_bound, mut checked) = (Series::default(), Series::default());
        for _ in 0..options.rounds {
            loops.iter_mut().try_for_each(|disk| disk.run(options.length / 8))?;
            let run = |address, talk: &mut dyn Talk| drive(address, *shape, options.length, talk);
            let before = echo.processor_time()?;
            let came = run(echo.address, &mut Echo(sizes))?;
            bound.add(came, echo.processor_time()? - before);
            for (keeper, series) in keepers.iter_mut().zip(&mut ours) {
                let before = keeper.daemon.processor_time()?;
                let came = run(keeper.daemon.address, &mut keeper.talk)?;
                series.add(came, keeper.daemon.processor_time()? - before);
            }
            let before = echo.processor_time()?;
            let came = run(echo.address, &mut Echo(check_sizes))?;
            checks_bound.add(came, echo.processor_time()? - before);
            if let Some(first) = keepers.first() {
                let before = first.daemon.processor_time()?;
                let came = run(first.daemon.address, &mut checks)?;
                checked.add(came, first.daemon.processor_time()? - before);
            }
        }
        let told = |(keeper, series): (&Keeper, &Series)| {
            let mut told = series.told();
            let ratios = series.ratios(&bound);
            told["ratio"] = hundredths(median(&ratios)).into();
            told["ratio_spread"] = spread(&ratios).into();
            told["program"] = keeper.program.display().to_string().into();
            told
        };
        let mut ours: Vec<Value> = keepers.iter().zip(&ours).map(told).collect();
        if let Some(Value::Object(first)) = ours.first_mut() {
            first.remove("program");
        }
        let mut cell = json!({
            "connections": shape.connections, "depth": shape.depth, "echo": bound.told(), "seatkeeper": ours.remove(0),
        });
        let ratios = checked.ratios(&checks_bound);
        let mut told = checked.told();
        told["ratio"] = hundredths(median(&ratios)).into();
        told["ratio_spread"] = spread(&ratios).into();
        cell["update_checks"] = json!({ "echo": checks_bound.told(), "seatkeeper": told });
        if !ours.is_empty() {
            cell["against"] = ours.into();
        }
        cells.push(cell);
    }
    let memory = keepers.iter().map(|k| k.daemon.memory()).collect::<Result<Vec<u64>>>()?;
    keepers.into_iter().try_for_each(|keeper| keeper.daemon.stop())?;
    Ok(json!({
        "bench": "load", "machine": machine, "rounds": options.rounds, "seconds": options.length.as_secs_f64(),
        "pinned": options.is_pinned, "seed": options.seed,
        "frames": { "checkout": sizes.checkout, "granted": sizes.granted, "checkin": sizes.checkin, "checked_in": sizes.checked_in,
            "update_check": check_sizes.checkout, "update_checked": check_sizes.granted },
        "disk": loops.iter().map(Loop::told).collect::<Vec<_>>(), "cells": cells, "memory_after": memory,
    }))
}

fn main() -> Result<()> {
    if std::env::args().any(|word| word == echo::ARGUMENT) {
        return echo::serve();
    }
    let options = Options::of_process()?;
    if options.is_pinned {
        let (core, process) = (GENERATOR_CORE.to_string(), std::process::id().to_string());
        let pinned = std::process::Command::new("taskset").args(["-cp", &core, &process]).output()?;
        if !pinned.status.success() {
            return Err("taskset could not give the generator a core of its own".into());
        }
    }
    if !options.is_scraped && !options.is_remembered {
        let line = measure(&options)?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    if options.is_scraped || common::is_short() {
        let line = scrape::measure(&options)?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    if options.is_remembered || common::is_short() {
        let line = history::measure(&options)?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
