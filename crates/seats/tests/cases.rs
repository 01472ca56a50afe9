//! The hand-worked cases, put to the naive model, which has to be right before it judges anybody else, and to the ledger.

#[path = "model/bridge.rs"]
mod bridge;
#[path = "model/cases.rs"]
mod cases;
mod driver;
#[path = "model/naive/mod.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;
#[path = "model/subject_naive.rs"]
mod subject_naive;
#[path = "model/subject_server.rs"]
mod subject_server;

use seats::ledger::Patience;
use subject_naive::Alone;
use subject_server::Served;

#[test]
fn the_naive_model_agrees_with_what_was_worked_out_by_hand() {
    let count = cases::run_all(|| Alone::new(Patience::with_lease(120_000)));
    println!("{count} cases");
    assert!(count >= 60, "{count} cases are too few");
}

#[test]
fn the_ledger_agrees_with_what_was_worked_out_by_hand() {
    cases::run_all(Served::new);
}
