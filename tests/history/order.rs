//! The whole question (Herlihy and Wing's linearizability): is there one order of all operations, each inside its window,
//! in which a plain pool of seats would have given every answer? A take fits, a denial does not, a give always may.
//!
//! The search reads the history once and keeps every *configuration* it may be in: which of the operations under way have
//! already taken effect, and how many seats are then taken. It moves only when it must (as in Wing and Gong's search with
//! Lowe's remembering of what was tried): when an answer comes whose operation has not taken effect, all orders of those
//! under way that make it do so are tried. No configuration left: there is no such order.
//!
//! Three shortenings, none of which loses an order:
//! - A denial takes effect as soon as it can: it changes nothing, so sooner cannot hurt what follows.
//! - Where the operation itself can move, others move before it only to make a denial true on the way: else they can
//!   move just as well after it (what fits before it and with it, fits after it).
//! - Configurations that are equal are one.

use std::collections::HashSet;

use crate::record::{History, POOLS, Seats};
use crate::story::{Effect, NEVER, Story};

/// The most configurations kept at once; beyond it the search gives up rather than run for hours. Sixteen clients of the
/// real daemon have needed about 500.
pub(crate) const CONFIGURATIONS_MAX: usize = 200_000;

/// How a search without a fault ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// There is an order. The most configurations there were at once.
    Whole(usize),
    /// Too many configurations at this event: nothing wrong was found before it.
    GaveUp(usize),
}

/// Where the history may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Configuration {
    /// Bit `n`: the operation in slot `n` has taken effect.
    done: u64,
    used: Seats,
}

/// Operations under way.
struct Pending {
    /// The operation's number, by slot.
    slots: [Option<usize>; 64],
    effects: [Effect; 64],
    totals: Seats,
}

/// Searches for an order of all operations.
///
/// # Errors
/// The answer that no order explains.
pub(crate) fn search(history: &History, story: &Story, most: usize) -> Result<Effort, String> {
    let mut starts = vec![None; history.events.len()];
    let mut ends = vec![Vec::new(); history.events.len()];
    for (number, operation) in story.operations.iter().enumerate() {
        starts[operation.start] = Some(number);
        if operation.end != NEVER {
            ends[operation.end].push(number);
        }
    }
    let mut pending = Pending::new(history.totals);
    let mut all = HashSet::from([Configuration { done: 0, used: [0; POOLS] }]);
    let mut largest = 1;
    for at in 0..history.events.len() {
        if let Some(number) = starts[at] {
            let operation = &story.operations[number];
            if pending.begin(number, operation.effect).is_none() {
                return Ok(Effort::GaveUp(at));
            }
            if matches!(operation.effect, Effect::Deny(_)) {
                all = all.into_iter().map(|one| pending.with_denials(one)).collect();
            }
        }
        for number in &ends[at] {
            let slot = pending.slot(*number);
            let Some(mut after) = pending.must_be_done(&all, slot, most) else {
                return Ok(Effort::GaveUp(at));
            };
            if !story.operations[*number].is_sure {
                // Done, or never.
                after.extend(all);
            }
            all = after;
            pending.slots[slot] = None;
            all = all.into_iter().map(|one| Configuration { done: one.done & !(1 << slot), ..one }).collect();
            if all.is_empty() {
                let operation = &story.operations[*number];
                return Err(format!(
                    "no order explains {:?} with the window from {} to {}",
                    operation.effect,
                    history.show(operation.start),
                    history.show(operation.end)
                ));
            }
            largest = largest.max(all.len());
        }
    }
    Ok(Effort::Whole(largest))
}

impl Pending {
    fn new(totals: Seats) -> Pending {
        Pending { slots: [None; 64], effects: [Effect::Deny([0; POOLS]); 64], totals }
    }

    fn begin(&mut self, number: usize, effect: Effect) -> Option<usize> {
        let slot = self.slots.iter().position(Option::is_none)?;
        self.slots[slot] = Some(number);
        self.effects[slot] = effect;
        Some(slot)
    }

    fn slot(&self, number: usize) -> usize {
        self.slots.iter().position(|slot| *slot == Some(number)).expect("what ends has begun")
    }

    /// Slots whose operation has not taken effect.
    fn waiting(&self, one: Configuration) -> impl Iterator<Item = usize> {
        (0..self.slots.len()).filter(move |slot| self.slots[*slot].is_some() && one.done & (1 << slot) == 0)
    }

    fn fits(&self, used: Seats, seats: Seats) -> bool {
        (0..POOLS).all(|pool| seats[pool] == 0 || used[pool] + seats[pool] <= self.totals[pool])
    }

    /// After this take or give; `None`: it cannot be now.
    fn step(&self, one: Configuration, slot: usize) -> Option<Configuration> {
        let mut used = one.used;
        match self.effects[slot] {
            Effect::Take(seats) if self.fits(used, seats) => {
                (0..POOLS).for_each(|pool| used[pool] += seats[pool])
            }
            Effect::Give(seats) => {
                for pool in 0..POOLS {
                    // Its take must have come before.
                    used[pool] = used[pool].checked_sub(seats[pool])?;
                }
            }
            Effect::Take(_) | Effect::Deny(_) => return None,
        }
        Some(self.with_denials(Configuration { done: one.done | 1 << slot, used }))
    }

    /// Every denial that is true now has been told.
    fn with_denials(&self, mut one: Configuration) -> Configuration {
        for slot in self.waiting(one) {
            if matches!(self.effects[slot], Effect::Deny(seats) if !self.fits(one.used, seats)) {
                one.done |= 1 << slot;
            }
        }
        one
    }

    /// Which of the denials under way have been told.
    fn told(&self, one: Configuration) -> u64 {
        let is_denial =
            |slot: &usize| matches!(self.effects[*slot], Effect::Deny(_)) && self.slots[*slot].is_some();
        one.done & (0..64).filter(is_denial).fold(0, |mask, slot| mask | 1 << slot)
    }

    /// All configurations that these can move to in which the operation has taken effect; `None`: too many.
    fn must_be_done(
        &self,
        all: &HashSet<Configuration>,
        slot: usize,
        most: usize,
    ) -> Option<HashSet<Configuration>> {
        let mut reached = HashSet::new();
        let mut tried = HashSet::new();
        let mut open = Vec::new();
        for start in all {
            if start.done & (1 << slot) != 0 {
                reached.insert(*start);
                continue;
            }
            let direct = self.step(*start, slot);
            reached.extend(direct);
            let is_denial = |slot: usize| matches!(self.effects[slot], Effect::Deny(_));
            if direct.is_none() || self.waiting(*start).any(is_denial) {
                open.push((*start, direct.is_some(), self.told(*start)));
            }
        }
        while let Some((one, could_go_first, told)) = open.pop() {
            for next in self.waiting(one) {
                let Some(then) = self.step(one, next) else { continue };
                if then.done & (1 << slot) == 0 {
                    if tried.insert((then, could_go_first, told)) {
                        open.push((then, could_go_first, told));
                    }
                } else if next != slot || !could_go_first || self.told(one) != told {
                    reached.insert(then);
                }
            }
            if reached.len() + tried.len() > most {
                return None;
            }
        }
        Some(reached)
    }
}
