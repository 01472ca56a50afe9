//! Two checks by intervals. They look at every history, however long, and never raise a false alarm.
//!
//! When a request took effect nobody outside knows, only that it was after it was sent and before it was answered. So of
//! each holding two lengths are known: it was held *for certain* from the end of the window of its grant to the start of
//! the window of its checkin, and *possibly* from the start of the one to the end of the other.
//!
//! 1. At no instant are more seats held for certain than there are. Sound: what is held for certain is held.
//! 2. For each denial there is an instant between request and answer at which the seats possibly held left too few, in one
//!    of the pools it asked for. Sound: the instant at which it was decided is one, as what is held is possibly held.
//!
//! What they cannot see: an order that is impossible although each instant by itself is possible. That is for `order`.

use crate::record::{History, POOLS, Seats};
use crate::story::{Effect, Holding, NEVER, Operation, Story};

/// Seats held at each instant; instant `i` is just after event `i`.
type Held = Vec<Seats>;

/// Both checks.
///
/// # Errors
/// The first instant or denial that is wrong.
pub(crate) fn check(history: &History, story: &Story) -> Result<(), String> {
    certain_holdings_fit(history, story)?;
    denials_had_a_reason(history, story)
}

/// What is held for certain at each instant.
pub(crate) fn certain(history: &History, story: &Story) -> Held {
    held(history, story, |take, give| {
        let from = if take.is_sure { take.end } else { NEVER };
        (from, give.map_or(NEVER, |give| give.start))
    })
}

/// What is possibly held at each instant.
pub(crate) fn possible(history: &History, story: &Story) -> Held {
    held(history, story, |take, give| {
        (take.start, give.filter(|give| give.is_sure).map_or(NEVER, |give| give.end))
    })
}

pub(crate) fn certain_holdings_fit(history: &History, story: &Story) -> Result<(), String> {
    for (at, seats) in certain(history, story).iter().enumerate() {
        for (pool, (held, total)) in seats.iter().zip(history.totals).enumerate() {
            if *held > total {
                let at = history.show(at);
                return Err(format!("pool {pool}: {held} seats of {total} are held for certain after {at}"));
            }
        }
    }
    Ok(())
}

pub(crate) fn denials_had_a_reason(history: &History, story: &Story) -> Result<(), String> {
    let held = possible(history, story);
    for denial in &story.operations {
        let Effect::Deny(asked) = denial.effect else { continue };
        let is_too_much =
            |held: &Seats| (0..POOLS).any(|p| asked[p] > 0 && held[p] + asked[p] > history.totals[p]);
        if !held[denial.start..denial.end].iter().any(is_too_much) {
            return Err(format!(
                "{asked:?} were free of {:?} all the time from {} to {}",
                history.totals,
                history.show(denial.start),
                history.show(denial.end)
            ));
        }
    }
    Ok(())
}

/// Sums of holdings over instants, each from an instant to before another.
fn held(
    history: &History,
    story: &Story,
    interval: impl Fn(&Operation, Option<&Operation>) -> (usize, usize),
) -> Held {
    let instants = history.events.len();
    let mut changes = vec![[0_i64; POOLS]; instants + 1];
    for Holding { pool, seats, take, give } in &story.holdings {
        let (from, to) = interval(&story.operations[*take], give.map(|give| &story.operations[give]));
        // An interval may be empty, or turned round where a checkin was sent before its grant was certain.
        if from < to.min(instants) {
            changes[from][*pool] += i64::from(*seats);
            changes[to.min(instants)][*pool] -= i64::from(*seats);
        }
    }
    let mut now = [0_i64; POOLS];
    let sum = |change: &[i64; POOLS]| {
        (0..POOLS).for_each(|pool| now[pool] += change[pool]);
        now.map(|seats| u32::try_from(seats).expect("what ends began before"))
    };
    changes[..instants].iter().map(sum).collect()
}
