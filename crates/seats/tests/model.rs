//! Random histories against a naive model that shares no code with `seats` (design.md, "How it is tested").
//!
//! The model (`model/naive.rs`) predicts exactly: granted or which code, totals, seats in use, which sessions live
//! and when each lease ends. After each step: seats granted are at most the total at the time of the grant, no
//! session is lost, and what is on disk gives the same ledger. At each reload the order of files is shuffled.
//!
//! `SEATKEEPER_SEED=n` repeats a run, `SEATKEEPER_MODEL_HISTORIES=n` makes it longer.
//!
//! Errors were planted in the ledger by hand, one at a time, to see that somebody notices (plant your own after
//! changing a rule). Of 53 in what is counted today (shares, HOLD, reservations, named seats, limits, reclaims, tokens,
//! moves, bookings, idling, the order of pools and of denials) 44 are found by a few hundred histories, and these by the
//! cases worked out by hand alone: what two tokens take is shared between them; held seats are room for who moves; of
//! idle sessions the shortest idle goes first, more go than it takes, and who woke up stays warned; a booking draws for
//! others; `no_covered_seat` beside a pool with seats. Found by nobody: sessions not yet moved that a reload forgets
//! (two reloads within one slice of a sweep), and what the policy counted in a pool that is gone (nothing asks there).
//! Before that, of the sums of licenses and the life of sessions, all but an index of request keys that grows, since no
//! answer and no record shows it.

#[path = "model/bridge.rs"]
mod bridge;
#[path = "model/changes.rs"]
mod changes;
#[path = "model/compare.rs"]
mod compare;
mod driver;
#[path = "model/history.rs"]
mod history;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use history::History;

const HISTORIES: u64 = 1_000;
const CI_SEED: u64 = 2030;
const STEPS: u64 = 80;

#[test]
fn random_histories_go_as_the_rules_say() {
    let number = |name: &str| env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    // What lands must not hang on luck: CI plays the same histories each time, everybody else plays new ones.
    let drawn = || match env::var_os("SEATKEEPER_CI") {
        Some(_) => CI_SEED,
        None => RandomState::new().hash_one("seed") >> 16,
    };
    let first = number("SEATKEEPER_SEED").unwrap_or_else(drawn);
    let histories = number("SEATKEEPER_MODEL_HISTORIES").unwrap_or(HISTORIES);
    println!("SEATKEEPER_SEED={first}, {histories} histories");
    let mut seen = BTreeMap::new();
    for seed in first..first + histories {
        let mut history = History::new(seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            history.begin();
            (0..STEPS).for_each(|_| history.step());
        }));
        if let Err(panic) = outcome {
            eprintln!("{}", history.log.join("\n"));
            eprintln!("repeat it with SEATKEEPER_SEED={seed} SEATKEEPER_MODEL_HISTORIES=1");
            resume_unwind(panic);
        }
        for what in history.seen {
            *seen.entry(what).or_insert(0_u64) += 1;
        }
    }
    println!("{seen:#?}");
    // A generator that stops reaching something makes a test that cannot fail.
    if histories >= HISTORIES {
        for what in REACHED {
            assert!(seen.contains_key(what), "no history reached {what:?}: {seen:#?}");
        }
    }
}

/// What a thousand histories must have met, each at least once.
const REACHED: [&str; 76] = [
    "granted",
    "granted while stale",
    "granted over unlimited",
    "granted above the soft limit",
    "granted from an additive pool",
    "granted by a token",
    "granted by a token of tokens",
    "granted to a share group",
    "granted without a seat more",
    "granted out of held seats",
    "granted after a reclaim",
    "granted after idling",
    "granted on a booking",
    "same grant",
    "no_seats",
    "no_seats in over use",
    "no_covered_seat",
    "reserved_for_others",
    "not_named",
    "limit_user",
    "limit_host",
    "limit_group",
    "limit_project",
    "denied_by_rule",
    "needed by a token",
    "bad_request",
    "already_removed",
    "unknown_feature",
    "ambiguous_vendor",
    "not_started",
    "expired",
    "version_not_licensed",
    "release_version_required",
    "release_version_invalid",
    "platform",
    "time_zone",
    "client_host_mismatch",
    "clock_suspect",
    "unknown_session",
    "resumed_elsewhere",
    "reaped",
    "resumed",
    "taken from another connection",
    "given back in part",
    "tokens given back in part",
    "held after a checkin",
    "held after its client was reaped",
    "held after a release",
    "moved to another pool",
    "moved beyond its total",
    "alone",
    "reserved and shown",
    "booked",
    "warned",
    "warned beside others",
    "warned for another now",
    "restart with sessions",
    "base and upgrades",
    "overflow",
    "replaced",
    "token_loop",
    "token_sharing",
    "waits",
    "queue_full",
    "held back",
    "served",
    "confirmed",
    "taken back",
    "timed out",
    "place lost",
    "gave up",
    "cancelled what was granted",
    "cancelled what waited",
    "cancelled what was not there",
    "came back to its place",
    "restart with waiters",
];
