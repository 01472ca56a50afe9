//! What many features and many sessions cost: loading, midnight, restart, memory, one decision.
//!
//! ```text
//! cargo bench --bench ledger -- [--short] [--rounds N] [licenses] [restart] [connections] [decide] [policy] [updates]
//! ```
//!
//! One JSON line for each figure; without a name of a part, all parts. `--short` or `SEATKEEPER_BENCH_SHORT=1`
//! takes seconds. What is started is the real daemon, on the real disk.

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod decide;
mod licenses;
mod policy;
mod restart;
mod updates;

use crate::common::Result;
pub(crate) use crate::common::{Scale, say};

fn main() -> Result<()> {
    let scale = Scale::from_arguments(
        &["licenses", "restart", "connections", "decide", "policy", "updates"],
        "benches/ledger/main.rs",
    )?;
    say(&serde_json::json!({ "bench": "ledger", "machine": common::machine(), "rounds": scale.rounds }))?;
    if scale.wants("licenses") {
        licenses::run(&scale)?;
    }
    if scale.wants("decide") {
        decide::run(&scale)?;
    }
    if scale.wants("policy") {
        policy::run(&scale)?;
    }
    if scale.wants("updates") {
        updates::run(&scale)?;
    }
    if scale.wants("connections") {
        connections::run(&scale)?;
    }
    if scale.wants("restart") {
        restart::run(&scale)?;
    }
    Ok(())
}
