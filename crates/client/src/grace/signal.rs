//! What wakes the watch, from any thread and without waiting for anything.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::lock;

/// The most that is kept where nobody looks, because no license gives grace.
const TAKEN_MAX: usize = 1000;

/// One for each client.
#[derive(Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    changes: u64,
    /// The client, and all its seats.
    users: usize,
    is_watched: bool,
    /// What was taken, until it is noted.
    taken: Vec<Taken>,
    /// Why, until the watch has looked.
    why: BTreeMap<(usize, u64), String>,
}

/// A session that a server took away, or would not resume.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) link: usize,
    pub(crate) bundle: u64,
    pub(crate) vendor: String,
    pub(crate) feature: String,
    /// Why, for a person.
    pub(crate) message: String,
}

impl Signal {
    pub(crate) fn enter(&self) {
        lock(&self.state).users += 1;
    }

    /// Whether this was the last user.
    pub(crate) fn leave(&self) -> bool {
        let mut state = lock(&self.state);
        state.users = state.users.saturating_sub(1);
        state.changes += 1;
        let is_last = state.users == 0;
        drop(state);
        self.wake.notify_all();
        is_last
    }

    /// Something is not as it was.
    pub(crate) fn poke(&self) {
        lock(&self.state).changes += 1;
        self.wake.notify_all();
    }

    /// Who takes a session away says so before anybody can see it gone.
    pub(crate) fn taken(&self, taken: Taken) {
        let mut state = lock(&self.state);
        state.changes += 1;
        if state.taken.len() < TAKEN_MAX {
            state.why.insert((taken.link, taken.bundle), taken.message.clone());
            state.taken.push(taken);
        }
        drop(state);
        self.wake.notify_all();
    }

    /// What nobody has noted yet.
    pub(crate) fn take_taken(&self) -> Vec<Taken> {
        let mut state = lock(&self.state);
        if !state.is_watched {
            state.why.clear();
        }
        std::mem::take(&mut state.taken)
    }

    /// Why a bundle was taken away.
    pub(crate) fn why_taken(&self, id: (usize, u64)) -> Option<String> {
        lock(&self.state).why.get(&id).cloned()
    }

    /// The watch has looked at everything that had changed by `seen`.
    pub(crate) fn has_looked(&self, seen: u64) {
        let mut state = lock(&self.state);
        if state.changes == seen {
            state.why.clear();
        }
    }

    /// Whether somebody must begin to watch: the caller, if so.
    pub(crate) fn begin_watch(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).is_watched, true)
    }

    pub(crate) fn end_watch(&self) {
        lock(&self.state).is_watched = false;
    }

    /// How much has changed so far, for [`Signal::wait`].
    pub(crate) fn seen(&self) -> u64 {
        lock(&self.state).changes
    }

    /// How much has changed so far, for [`Signal::wait`]; `None`: nobody needs the watch any more.
    pub(crate) fn next(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.users == 0 {
            state.is_watched = false;
            return None;
        }
        Some(state.changes)
    }

    /// Waits so long, or until something has changed since `seen`.
    pub(crate) fn wait(&self, seen: u64, most: Duration) {
        let state = lock(&self.state);
        if state.changes == seen {
            drop(self.wake.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
