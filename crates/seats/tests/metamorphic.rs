//! What must not make a difference, and what may only help, whatever the right answer is.

#[path = "model/bridge.rs"]
mod bridge;
mod driver;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;

use bridge::{catalog, checkout, day};
use driver::{LEASE_MS, Server, dump};
use naive::{Kind, SEATS_MAX, Sold, UNLIMITED};
use random::{FEATURES, Random};
use seats::ledger::{CheckoutOutcome, ConnectionId, Ledger};
use seats::request::NameRules;

const SEEDS: std::ops::Range<u64> = 7_000..7_100;

/// L6: license files split, joined, reordered and renamed while the server runs: two servers that differ in
/// nothing else answer alike and keep the same state, bit for bit.
#[test]
fn how_licenses_lie_in_files_changes_nothing() {
    let mut granted = 0;
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let mut servers = [Server::new(day(0), LEASE_MS), Server::new(day(0), LEASE_MS)];
        let mut sold: Vec<Sold> = Vec::new();
        for step in 0..40 {
            if step % 13 == 0 {
                sold = random::licenses(&mut random, step / 4);
            }
            let request = random::request(&mut random, u64::from(step.unsigned_abs()) + 1, &[]);
            let answers = servers.each_mut().map(|server| {
                if step % 13 == 0 || step % 5 == 0 {
                    server.load_catalog(catalog(&sold, &mut random));
                }
                if step % 4 == 0 {
                    server.begin_day(day(step / 4));
                }
                let swept = if step % 3 == 0 { server.sweep(2) } else { Vec::new() };
                server.pass(1_000, &|_| true);
                let on = if server.is_open(ConnectionId(1)) { ConnectionId(1) } else { server.connect() };
                let (changes, outcome) = server.checkout(&checkout(&request), on);
                granted += u64::from(matches!(outcome, Ok(CheckoutOutcome::Grant { .. })));
                let answer =
                    outcome.map_err(|denial| (denial.code, denial.subject.map(|s| (s.numbers, s.due))));
                format!("{swept:?} {changes:?} {answer:?}")
            });
            assert_eq!(answers[0], answers[1], "seed {seed}, step {step}");
            servers.iter_mut().for_each(|server| drop(server.sweep(9)));
            let [one, other] = servers.each_ref().map(|server| dump(server.ledger.state()));
            assert_eq!(one, other, "seed {seed}, step {step}");
        }
    }
    assert!(granted > 800, "{granted} grants are too few to tell anything");
}

/// Whatever is granted would be granted if every exclusive license had a seat more. (Far from 2147483647: there
/// a seat more can push an upgrade out, L35.)
#[test]
fn a_seat_more_never_denies_what_was_granted() {
    let (mut granted, mut gained) = (0, 0);
    for seed in SEEDS {
        let mut random = Random::new(seed);
        let mut server = Server::new(day(0), LEASE_MS);
        let mut sold = random::licenses(&mut random, 0);

        sold.retain(|s| s.count.is_none_or(|n| n < SEATS_MAX / 2 || n == UNLIMITED));
        let mut more = sold.clone();
        for license in more.iter_mut().filter(|s| s.kind == Kind::Exclusive) {
            license.count = license.count.map(|n| if n == UNLIMITED { n } else { n + 1 });
            license.key.push('+');
        }
        server.load_catalog(catalog(&sold, &mut random));
        for step in 0..40 {
            let request = checkout(&random::request(&mut random, step + 1, &[]));
            let state = server.read_from_disk().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            let mut richer = Server::new(server.now.day, LEASE_MS);
            richer.ledger = Ledger::new(state, 0, LEASE_MS, NameRules::default());
            richer.load_catalog(catalog(&more, &mut random));
            richer.refresh(FEATURES);
            let on = server.connect();
            let poorer = server.checkout(&request, on).1;
            let richer = richer.ledger.decide_checkout(&request, richer.now);
            granted += u64::from(poorer.is_ok());
            gained += u64::from(poorer.is_err() && richer.is_ok());
            assert!(poorer.is_err() || richer.is_ok(), "seed {seed}, step {step}: {request:?}, {richer:?}");
            if step % 8 == 7 {
                server.begin_day(server.now.day.succ_opt().expect("a day"));
            }
        }
    }
    assert!(granted > 300 && gained > 50, "{granted} and {gained} are too few to tell anything");
}
