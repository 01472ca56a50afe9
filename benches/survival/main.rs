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

use crate::common::Result;
pub(crate) use crate::common::{Scale, say};

fn main() -> Result<()> {
    let scale = Scale::from_arguments(&["reclaim", "queue", "resume", "beats"], "benches/survival/main.rs")?;
    say(&serde_json::json!({ "bench": "survival", "machine": common::machine(), "rounds": scale.rounds }))?;
    if scale.wants("reclaim") {
        reclaim::run(&scale)?;
    }
    if scale.wants("queue") {
        queue::run(&scale)?;
    }
    if scale.wants("resume") {
        resume::run(&scale)?;
    }
    if scale.wants("beats") {
        beats::run(&scale)?;
    }
    Ok(())
}
