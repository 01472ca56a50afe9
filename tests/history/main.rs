//! Histories of many clients at one daemon, and a checker that says whether a pool of seats could have caused them.
//!
//! - [`record`]: what clients sent and were answered, in one order, and when the daemon was killed
//! - [`story`]: the history read client by client: who held what from when to when, and answers that contradict others
//! - [`intervals`]: two checks that never raise a false alarm: too many held for certain, denied though enough was free
//! - [`order`]: the whole question: is there an order of all requests in which each answer is right
//! - [`script`]: what a client does next, for the real run and for the simulated one
//! - [`simulated`]: a pool in memory that is right, or wrong in a planted way
//! - [`planted`]: the checker itself put to the test
//! - [`tales`]: short histories written by hand
//! - [`run`]: the daemon that ships, 16 clients, kill -9
//!
//! Nothing here shares code with `seats`. What it does not judge: leases, suspects, limits, reservations. A run is
//! configured so that none of them happens, and then a pool is a number of seats and nothing more.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod intervals;
mod order;
mod planted;
mod record;
mod run;
mod script;
mod simulated;
mod story;
mod tales;

use record::History;

/// The first fault that any of the three checks finds. `Ok`: how large the search became.
fn check(history: &History) -> Result<order::Effort, String> {
    let story = story::read(history).map_err(|fault| format!("answers: {fault}"))?;
    intervals::check(history, &story).map_err(|fault| format!("intervals: {fault}"))?;
    order::search(history, &story, order::CONFIGURATIONS_MAX).map_err(|fault| format!("order: {fault}"))
}
