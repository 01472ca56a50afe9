//! Who is there: what the network knows of each connection, and what follows for the seats on it (S12, S20 to S22).

use std::collections::BTreeMap;

use super::{BLUR_MS, Checker};

/// What a request was about, as its frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Checkout(u32),
    Resume(u64),
    Checkin(u64),
    Confirm(u64),
    GiveUp(u64),
    Cancel,
    Other,
}

/// One connection, as the network knows it.
#[derive(Debug)]
pub(super) struct Line {
    /// How much of what the client sent, and of what the server wrote, has been read here.
    pub(super) up: usize,
    pub(super) down: usize,
    /// When the last whole frame reached the server.
    pub(super) heard_at: u64,
    /// The step of the engine that may have taken its client for heard: what was asked waits for a step.
    pub(super) heard_known_at: u64,
    /// When the server's end was told that it is over, or closed itself.
    pub(super) ended_at: Option<u64>,
    /// The first step of the engine that must have known that.
    pub(super) end_known_at: Option<u64>,
    pub(super) calls: BTreeMap<u32, (Asked, u64)>,
}

impl Line {
    pub(super) fn new(now: u64) -> Line {
        Line {
            up: 0,
            down: 0,
            heard_at: now,
            heard_known_at: now,
            ended_at: None,
            end_known_at: None,
            calls: BTreeMap::new(),
        }
    }
}

impl Checker {
    /// Whether the seats on a line are its client's for sure: it was heard within the lease, or its socket closed a moment
    /// ago (S20, S21).
    fn is_fresh(&self, line: usize, now: u64) -> bool {
        let line = &self.lines[line];
        let lease_ends = line.heard_at + self.lease;
        match line.ended_at {
            None => now + BLUR_MS < lease_ends,
            Some(at) => at + BLUR_MS < lease_ends && now + BLUR_MS < at + self.resume_window,
        }
    }

    /// Whether whoever needs the seats on a line may have them for sure (S22).
    fn is_stale(&self, line: usize, now: u64) -> bool {
        let line = &self.lines[line];
        let silent = line.heard_at.max(line.heard_known_at) + self.lease;
        match line.ended_at {
            // It closed before it was silent for too long: from then on its window counts alone.
            Some(at) if at < silent + BLUR_MS => {
                line.end_known_at.is_some_and(|at| now > at + self.resume_window + BLUR_MS)
            }
            _ => now > silent + BLUR_MS,
        }
    }

    /// The lines that a checkout may be on, and whether it may be on none: not heard of since the start.
    fn lines_of(&self, pid: u32) -> (&[(usize, u64)], bool) {
        self.known.get(&pid).map_or((&[], true), |known| (&known.lines[..], !known.is_attached))
    }

    /// Whether a checkout's seats cannot have been taken for its client's absence.
    pub(super) fn is_safe(&self, pid: u32, now: u64) -> bool {
        let (lines, may_be_unheard) = self.lines_of(pid);
        (!may_be_unheard || now + BLUR_MS < self.started + self.lease)
            && lines.iter().all(|(line, _)| self.is_fresh(*line, now))
    }

    /// Whether a checkout's seats may be had for sure by whoever needs them.
    pub(super) fn is_surely_gone(&self, pid: u32, now: u64) -> bool {
        let (lines, may_be_unheard) = self.lines_of(pid);
        (!may_be_unheard || now > self.started + self.lease + BLUR_MS)
            && lines.iter().all(|(line, _)| self.is_stale(*line, now))
    }

    /// Whether a checkout's seats may have been reaped, though nobody needed them (S22).
    pub(super) fn may_be_reaped(&self, pid: u32, now: u64) -> bool {
        let (lines, may_be_unheard) = self.lines_of(pid);
        (may_be_unheard && now + BLUR_MS >= self.started + self.reap_after)
            || lines.iter().any(|(line, _)| {
                let line = &self.lines[*line];
                let silent = line.heard_at + self.lease;
                now + BLUR_MS >= line.ended_at.map_or(silent, |at| at.min(silent)) + self.reap_after
            })
    }

    /// Whether a waiter is there for sure: on one line, open and heard.
    pub(super) fn is_surely_there(&self, pid: u32, now: u64) -> bool {
        let Some(known) = self.known.get(&pid) else { return false };
        let Some(place) = known.place else { return false };
        let is_on_it = known.lines.iter().all(|(line, _)| *line == place);
        is_on_it && self.lines[place].ended_at.is_none() && self.is_fresh(place, now)
    }
}
