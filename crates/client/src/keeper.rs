//! The thread behind a link: signs of life, and the way back after a lost connection.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wire::{codes, request};

use crate::error::CallError;
use crate::event::Event;
use crate::link::{Link, Live, State};
use crate::{backoff, lock};

/// How often the application is asked whether the user is back, while a seat of his is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Link {
    /// Runs until nobody uses the link.
    pub(crate) fn keep(self: Arc<Link>) {
        let mut failures = 0;
        let mut pause_until = None;
        let mut state = lock(&self.state);
        while state.users > 0 {
            state = self.look_for_user(state);
            let pause = pause_until.and_then(|until: Instant| until.checked_duration_since(Instant::now()));
            state = match (state.live(), pause) {
                (Some(live), pause) => {
                    let is_behind = state.has_work_for(live.0);
                    let rest = self.rest(&state, &live);
                    if is_behind && pause.is_none() {
                        drop(state);
                        let is_done = self.catch_up(&live);
                        failures = if is_done { 0 } else { failures + 1 };
                        pause_until = (!is_done).then(|| Instant::now() + backoff::delay(failures));
                        lock(&self.state)
                    } else if rest.is_zero() {
                        drop(state);
                        if self.beat(&live) {
                            failures = 0;
                        }
                        lock(&self.state)
                    } else {
                        self.wait(state, Some(pause.filter(|_| is_behind).map_or(rest, |p| p.min(rest))))
                    }
                }
                (None, _) if state.current.is_some() => {
                    let ended = state.current.take();
                    let is_missed = !state.bundles.is_empty();
                    drop(state);
                    let message = ended.map_or_else(String::new, |(_, connection)| connection.ending());
                    self.note_loss();
                    if is_missed {
                        self.tell(Event::Lost { message });
                    }
                    pause_until = Some(Instant::now() + backoff::delay(failures));
                    lock(&self.state)
                }
                (None, _) if !state.has_work() => self.wait(state, None),
                (None, Some(pause)) => self.wait(state, Some(pause)),
                (None, None) => {
                    drop(state);
                    // A server that takes connections and drops them counts as a failure until something was answered.
                    failures += 1;
                    if self.connection().is_err() {
                        pause_until = Some(Instant::now() + backoff::delay(failures));
                    }
                    lock(&self.state)
                }
            };
        }
        state.has_keeper = false;
    }

    /// Until something must be sent. Any frame is a sign of life, but only a heartbeat says how long the user has been idle.
    fn rest(&self, state: &State, live: &Live) -> Duration {
        let interval = live.1.beat_interval();
        let alive = live.1.last_sent() + interval;
        let due = match state.beat_at {
            None => return Duration::ZERO,
            Some(beat_at) if self.activity.is_known() => alive.min(beat_at + interval),
            Some(_) => alive,
        };
        let rest = due.saturating_duration_since(Instant::now());
        if state.wanted.is_some() && self.activity.has_source() { rest.min(LOOK_EVERY) } else { rest }
    }

    /// After a warning: if the application's function says that the user is back, a heartbeat is due now.
    fn look_for_user<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(wanted) = state.wanted else { return state };
        drop(state);
        let is_back =
            self.activity.has_source() && self.activity.idle().is_some_and(|idle| idle < wanted.at.elapsed());
        let mut state = lock(&self.state);
        // Another warning may have come meanwhile.
        if (is_back || wanted.until <= Instant::now()) && state.wanted.is_some_and(|now| now.at == wanted.at)
        {
            state.wanted = None;
        }
        if is_back {
            state.beat_at = None;
        }
        state
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, most: Option<Duration>) -> MutexGuard<'a, State> {
        match most {
            Some(most) => self.wake.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0,
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Resumes what another connection held, and gives back what nobody wants. Whether all is done.
    fn catch_up(self: &Arc<Link>, live: &Live) -> bool {
        let _turn = lock(&self.turn);
        let bundles: Vec<u64> = lock(&self.state).bundles.keys().copied().collect();
        for bundle in bundles {
            match self.hold(live, bundle) {
                Ok(()) | Err(CallError::Refused(_) | CallError::TooLong(_)) => {}
                Err(_) => return false,
            }
        }
        let mut unwanted = std::mem::take(&mut lock(&self.state).unwanted);
        unwanted.retain(|(_, until)| *until > Instant::now());
        while let Some((checkout, until)) = unwanted.pop() {
            if !give_back(live, &checkout) {
                unwanted.push((checkout, until));
                lock(&self.state).unwanted.append(&mut unwanted);
                return false;
            }
        }
        !lock(&self.state).has_work_for(live.0)
    }

    /// A sign of life. If the server counts other sessions than we do, all are resumed to learn which are gone.
    fn beat(&self, live: &Live) -> bool {
        let idle_seconds = self.activity.idle_seconds();
        let before = {
            let mut state = lock(&self.state);
            state.beat_at = Some(Instant::now());
            state.changes
        };
        let ask = request::Heartbeat { idle_seconds, ..request::Heartbeat::default() };
        let Ok(answer) = live.1.call(&ask) else { return false };
        let mut state = lock(&self.state);
        let ours: usize = state.bundles.values().filter(|h| h.on == live.0).map(|h| h.sessions.len()).sum();
        let theirs = usize::try_from(answer.sessions).unwrap_or(usize::MAX);
        // Only where nothing went on meanwhile is the difference a difference.
        if state.changes == before && state.checkouts_in_flight == 0 && ours != theirs {
            state.bundles.values_mut().for_each(|held| held.on = 0);
        }
        true
    }
}

/// Cancels a checkout: asks with its key what was granted, and gives that back. Whether the server answered.
fn give_back(live: &Live, checkout: &request::Checkout) -> bool {
    let later = |code: &str| matches!(code, codes::BUSY | codes::RATE_LIMITED | codes::SHUTTING_DOWN);
    let granted = match live.1.call(checkout) {
        Ok(granted) => granted,
        Err(CallError::Refused(refusal)) => return !later(&refusal.code),
        Err(CallError::TooLong(_)) => return true,
        Err(_) => return false,
    };
    granted.sessions.iter().all(|grant| {
        let ask = request::Checkin { session: grant.session, ..request::Checkin::default() };
        match live.1.call(&ask) {
            Ok(_) | Err(CallError::TooLong(_)) => true,
            Err(CallError::Refused(refusal)) => !later(&refusal.code),
            Err(_) => false,
        }
    })
}
