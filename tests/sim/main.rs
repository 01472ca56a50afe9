//! The simulation: the real engine, ledger, journal and connections, with a clock, a network and a disk that are made up,
//! and everything that befalls them drawn from one seed.
//!
//! One thread and one paused runtime: the same seed gives the same history, byte for byte. `SEATKEEPER_SIM_SEED=n` plays one
//! seed alone and shows all of it; `SEATKEEPER_SIM_SEEDS=n` plays so many in place of those of CI.
//!
//! - [`world`] — the clock, the list of what is to happen, deaths and troubles
//! - [`net`], [`disk`] — bytes that come late, in pieces or not at all; a disk that tears, and one that lies
//! - [`daemon`] — the server's parts put together without its threads
//! - [`client`], [`want`], [`admin`] — who uses it, by `wire` alone
//! - [`licenses`] — what is sold, and the totals by arithmetic of its own
//! - [`check`] — what must hold
//!
//! Not here: the client library (its threads and blocking sockets cannot be ordered by a seed), TCP, and the file system:
//! `tests/real` has those.

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod check;
mod client;
mod daemon;
mod disk;
mod licenses;
mod link;
mod net;
mod plan;
mod planted;
mod trace;
mod want;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Flaw;
use world::{Outcome, Tally, play};

/// So many seeds are played in CI.
const SEEDS: u64 = 2_000;
/// The first of them there.
const CI_SEED: u64 = 2030;
/// The variables of the long mode, and of one seed alone.
const SEEDS_VARIABLE: &str = "SEATKEEPER_SIM_SEEDS";
const SEED_VARIABLE: &str = "SEATKEEPER_SIM_SEED";

/// What lands must not hang on luck: CI plays the same seeds each time, everybody else plays new ones.
fn first_seed() -> u64 {
    let is_fixed = std::env::var_os(common::CI_VARIABLE).is_some_and(|value| value == "1")
        && std::env::var_os("SEATKEEPER_SEED").is_none();
    if !is_fixed {
        return common::seed();
    }
    println!("seed: SEATKEEPER_SEED={CI_SEED}, as always in CI");
    CI_SEED
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Plays `count` seeds from one on, on all processors; the first fault ends it.
fn play_all(from: u64, count: u64, flaw: Flaw, found: impl Fn(u64, Outcome) -> bool + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::SeqCst)
                    && at < count
                {
                    let seed = from.wrapping_add(at);
                    if found(seed, play(seed, flaw)) {
                        next.store(count, Ordering::SeqCst);
                    }
                }
            });
        }
    });
}

fn fail(seed: u64, outcome: &Outcome) -> String {
    let fault = outcome.fault.as_ref().expect("a fault");
    format!(
        "seed {seed}: {:?}: {}\n\n{}\nalone, with all of it: {SEED_VARIABLE}={seed} cargo test --test sim one_seed -- --nocapture\n",
        fault.check,
        fault.text,
        outcome.trace.end()
    )
}

fn add(all: &mut Tally, one: &Tally) {
    let pairs = [
        (&mut all.grants, one.grants),
        (&mut all.served, one.served),
        (&mut all.refused, one.refused),
        (&mut all.deaths, one.deaths),
        (&mut all.torn, one.torn),
        (&mut all.reloads, one.reloads),
        (&mut all.midnights, one.midnights),
        (&mut all.resumes, one.resumes),
        (&mut all.reclaims, one.reclaims),
        (&mut all.bookings, one.bookings),
        (&mut all.gave_up, one.gave_up),
        (&mut all.cables, one.cables),
        (&mut all.cancels, one.cancels),
        (&mut all.borrows, one.borrows),
        (&mut all.borrows_returned, one.borrows_returned),
        (&mut all.borrows_ended, one.borrows_ended),
    ];
    pairs.into_iter().for_each(|(sum, more)| *sum += more);
}

#[test]
fn whatever_befalls_them_no_seat_is_lost_doubled_or_stuck() {
    let count = number(SEEDS_VARIABLE).unwrap_or(SEEDS);
    let from = first_seed();
    let (tally, failed) = (Mutex::new(Tally::default()), Mutex::new(BTreeMap::new()));
    play_all(from, count, Flaw::None, |seed, outcome| {
        add(&mut tally.lock().expect("no panic"), &outcome.tally);
        let is_wrong = outcome.fault.is_some();
        if is_wrong {
            failed.lock().expect("no panic").insert(seed, fail(seed, &outcome));
        }
        is_wrong
    });
    let tally = tally.into_inner().expect("no panic");
    println!("{count} seeds from {from} on: {tally:?}");
    if let Some((_, text)) = failed.into_inner().expect("no panic").pop_first() {
        panic!("{text}");
    }
    // A simulation in which nothing happens shows nothing.
    let Tally {
        grants,
        served,
        refused,
        deaths,
        reloads,
        midnights,
        resumes,
        reclaims,
        bookings,
        gave_up,
        borrows,
        borrows_returned,
        borrows_ended,
        ..
    } = tally;
    let often = [grants, refused, resumes];
    let lent = [borrows, borrows_returned, borrows_ended];
    let sometimes = [served, deaths, reloads, reclaims, gave_up, midnights, bookings].into_iter().chain(lent);
    assert!(often.iter().all(|n| *n >= count * 2) && { sometimes }.all(|n| n >= count / 5), "{tally:?}");
}

#[test]
fn one_seed_alone() {
    let Some(seed) = number(SEED_VARIABLE) else { return };
    let outcome = play(seed, Flaw::None);
    println!("{}", outcome.trace.text());
    println!("{:?}, {} turns", outcome.tally, outcome.turns);
    assert!(outcome.fault.is_none(), "{}", fail(seed, &outcome));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1..=12 {
        let (one, other) = (play(seed, Flaw::None), play(seed, Flaw::None));
        assert!(one.trace.text() == other.trace.text(), "seed {seed} gives two histories");
    }
}
