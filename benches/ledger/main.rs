//! What many features and many sessions cost: loading, midnight, restart, memory, one decision.
//!
//! ```text
//! cargo bench --bench ledger -- [--short] [--rounds N] [licenses] [restart] [connections] [decide] [policy]
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

use std::io::Write;

use crate::common::Result;

/// What all parts need to know.
pub(crate) struct Scale {
    /// Whether only sanity is checked.
    pub(crate) is_short: bool,
    /// How often each figure is taken.
    pub(crate) rounds: usize,
}

/// Prints one figure.
pub(crate) fn say(line: &serde_json::Value) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn main() -> Result<()> {
    let is_short = common::is_short();
    let mut scale = Scale { is_short, rounds: if is_short { 1 } else { 5 } };
    let mut parts = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // cargo bench says so to every bench.
            "--bench" | "--short" => {}
            "--rounds" => {
                scale.rounds = words.next().ok_or("--rounds needs a number")?.parse::<usize>()?.max(1)
            }
            "licenses" | "restart" | "connections" | "decide" | "policy" => parts.push(word),
            _ => {
                return Err(format!("{word} is not known here; see the top of benches/ledger/main.rs").into());
            }
        }
    }
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    say(&serde_json::json!({ "bench": "ledger", "machine": common::machine(), "rounds": scale.rounds }))?;
    if wants("licenses") {
        licenses::run(&scale)?;
    }
    if wants("decide") {
        decide::run(&scale)?;
    }
    if wants("policy") {
        policy::run(&scale)?;
    }
    if wants("connections") {
        connections::run(&scale)?;
    }
    if wants("restart") {
        restart::run(&scale)?;
    }
    Ok(())
}
