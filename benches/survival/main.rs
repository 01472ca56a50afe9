//! What it costs when much happens at once to those who have seats, or wait for them: everybody gone, everybody back,
//! everybody served.
//!
//! ```text
//! cargo bench --bench survival -- [--short] [--rounds N] [reclaim] [queue] [resume] [beats]
//! ```
//!
//! One JSON line for each figure; without a name of a part, all parts. `--short` or `SEATKEEPER_BENCH_SHORT=1`
//! takes seconds. Beside each figure stands what bounds it, taken in the same run: the same seats where they are free, the same
//! connections that only say hello.

mod beats;
#[path = "../common/mod.rs"]
mod common;
mod peers;
mod queue;
mod reclaim;
mod resume;

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
            "reclaim" | "queue" | "resume" | "beats" => parts.push(word),
            _ => {
                return Err(
                    format!("{word} is not known here; see the top of benches/survival/main.rs").into()
                );
            }
        }
    }
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    say(&serde_json::json!({ "bench": "survival", "machine": common::machine(), "rounds": scale.rounds }))?;
    if wants("reclaim") {
        reclaim::run(&scale)?;
    }
    if wants("queue") {
        queue::run(&scale)?;
    }
    if wants("resume") {
        resume::run(&scale)?;
    }
    if wants("beats") {
        beats::run(&scale)?;
    }
    Ok(())
}
