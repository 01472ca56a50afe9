//! Seats go back: those that a program gives back, those of what was dropped, and those of checkouts that were never answered
//! (S26).
//!
//! A checkout that may have been granted is cancelled by its request key, over whatever connection there is. The server takes
//! back what it had granted, and the key is used up: a copy of the request that arrives later takes nothing (S2).

use std::sync::{Arc, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wire::{codes, request};

use crate::client::cannot_serve;
use crate::error::{CallError, CheckinError, Refusal};
use crate::link::{Link, Live, TRIES, is_elsewhere, is_gone};
use crate::lock;

/// How long a program that drops seats, or its client, waits for the server to take them back.
pub(crate) const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the thread of a client that was dropped goes on trying to give back what could not be given back at once.
const LINGER: Duration = Duration::from_secs(10);
/// How long a server remembers a request key after the session's end (S2): after that there is nothing to cancel.
const CANCEL_WITHIN: Duration = Duration::from_secs(3600);
/// The most checkouts remembered for cancelling; beyond it the oldest are left to their lease.
const CANCEL_MAX: usize = 1000;

/// A checkout that may have taken seats nobody uses.
#[derive(Clone)]
pub(crate) struct Unwanted {
    checkout: request::Checkout,
    /// Until when to care.
    until: Instant,
}

impl Link {
    /// Gives back `count` seats of a session, all of them if 0. Returns how many it still has.
    pub(crate) fn checkin(
        self: &Arc<Link>,
        bundle: u64,
        session: u64,
        count: u32,
    ) -> Result<u32, CheckinError> {
        let _turn = lock(&self.turn);
        let before = self.count_of(bundle, session);
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(self.options.backoff.delay(attempt - 1));
            }
            let live = self.connection().map_err(|error| CheckinError::NoServer(error.to_string()))?;
            match self.hold(&live, bundle) {
                Ok(()) => {}
                Err(CallError::Protocol(what)) => return Err(CheckinError::Protocol(what)),
                Err(CallError::Refused(refusal)) if self.count_of(bundle, session).is_some() => {
                    // Still ours, but not now: `busy` and the like.
                    return Err(CheckinError::Denied(refusal));
                }
                Err(CallError::Refused(_)) => {}
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            }
            let now = self.count_of(bundle, session);
            // The first try may have been heard: then the resume shows the seats gone.
            let was_heard = attempt > 0 && (now.is_none() || now < before);
            let Some(now) = now.filter(|_| !was_heard) else {
                return if was_heard { Ok(now.unwrap_or(0)) } else { Err(CheckinError::Denied(gone())) };
            };
            if count > now {
                let message = format!("the session has {now} seats, not {count}");
                let code = codes::BAD_REQUEST.to_owned();
                return Err(CheckinError::Denied(Refusal { code, message, details: String::new() }));
            }
            let count = if count == now { 0 } else { count };
            // A part leaves a session that can still be given away.
            self.is_returning(bundle, session, count == 0);
            let link = Arc::clone(self);
            let ask = request::Checkin { session, count, extras: vec![] };
            let result = live.1.call_then(&ask, move |result| {
                if let Ok(_) | Err(CallError::Refused(_) | CallError::TooLong(_)) = &result {
                    link.is_returning(bundle, session, false);
                }
                result.map(|done| {
                    link.set_count(bundle, session, done.remaining);
                    done.remaining
                })
            });
            match result {
                Ok(remaining) => return Ok(remaining),
                // A late request of our own has it.
                Err(CallError::Refused(refusal))
                    if is_elsewhere(&refusal.code)
                        && (!self.is_held_on(live.0, bundle) || self.settle_doubt(bundle)) =>
                {
                    reason = refusal.to_string();
                }
                Err(CallError::Refused(refusal)) => {
                    if is_gone(&refusal.code) {
                        self.set_count(bundle, session, 0);
                    }
                    return Err(CheckinError::Denied(refusal));
                }
                Err(CallError::Protocol(what)) => return Err(CheckinError::Protocol(what)),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(CheckinError::NoServer(reason))
    }

    fn count_of(&self, bundle: u64, session: u64) -> Option<u32> {
        Some(lock(&self.state).bundles.get(&bundle)?.sessions.get(&session)?.count)
    }

    fn is_returning(&self, bundle: u64, session: u64, is_it: bool) {
        if let Some(held) = lock(&self.state).bundles.get_mut(&bundle) {
            if is_it {
                held.returning.insert(session);
            } else {
                held.returning.remove(&session);
            }
        }
    }

    /// `false` also: the event that somebody else has it came first, and it is to be resumed.
    fn is_held_on(&self, serial: u64, bundle: u64) -> bool {
        lock(&self.state).bundles.get(&bundle).is_none_or(|held| held.on == serial)
    }

    /// One fewer. After the last the connection is closed and the thread ends, once what is unwanted has been given back or
    /// cannot be for some seconds; [`Link::settle`] waits for a part of them.
    pub(crate) fn leave(&self) {
        let current = {
            let mut state = lock(&self.state);
            state.users = state.users.saturating_sub(1);
            if state.users > 0 {
                return;
            }
            if state.unwanted.is_empty() {
                state.current.take()
            } else {
                state.linger_until = Some(Instant::now() + LINGER);
                state.is_hurried = true;
                None
            }
        };
        // Dropped outside the lock: its end tells the reading thread, which takes it.
        drop(current);
        self.wake.notify_all();
    }

    /// After the last user has left: waits until everything has been given back, at most until then.
    pub(crate) fn settle(&self, until: Instant) {
        let mut state = lock(&self.state);
        while state.users == 0 && state.has_keeper && !state.unwanted.is_empty() {
            let Some(rest) = until.checked_duration_since(Instant::now()) else { return };
            state = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn cancel_later(self: &Arc<Link>, checkout: request::Checkout) {
        let mut state = lock(&self.state);
        if state.unwanted.len() >= CANCEL_MAX {
            state.unwanted.pop_front();
        }
        state.unwanted.push_back(Unwanted { checkout, until: Instant::now() + CANCEL_WITHIN });
        self.begin_keeping(&mut state);
        drop(state);
        self.wake.notify_all();
    }

    /// Gives a bundle back. Where the connection is there, its answer is waited for until then; else, and where it is lost
    /// meanwhile, the thread gives it back when the server is there.
    pub(crate) fn abandon(self: &Arc<Link>, bundle: u64, until: Instant) {
        let (held, live) = {
            let mut state = lock(&self.state);
            state.changes += 1;
            state.given_away.remove(&bundle);
            let Some(held) = state.bundles.remove(&bundle) else { return };
            (held, state.live())
        };
        let Some((_, connection)) = live.filter(|(serial, _)| *serial == held.on) else {
            return self.cancel_later(held.checkout);
        };
        let (sender, receiver) = mpsc::channel();
        let count = held.sessions.len();
        for session in held.sessions.into_keys() {
            let sender = sender.clone();
            let ask = request::Checkin { session, ..request::Checkin::default() };
            connection.send(&ask, move |result| {
                // Who gave up waiting has no use for it.
                let _ = sender.send(result.map(|_| ()).or_else(left_of_checkin).is_ok());
            });
        }
        drop(sender);
        let is_done = (0..count).all(|_| {
            let rest = until.saturating_duration_since(Instant::now());
            receiver.recv_timeout(rest).unwrap_or(false)
        });
        if !is_done {
            self.cancel_later(held.checkout);
        }
    }

    /// Gives back what nobody wants, as far as the server lets it.
    ///
    /// # Errors
    ///
    /// Why something is left, the first of the reasons.
    pub(crate) fn give_back_unwanted(&self, live: &Live) -> Result<(), CallError> {
        if lock(&self.state).unwanted.is_empty() {
            return Ok(());
        }
        let _turn = lock(&self.giving);
        let patience = self.patience();
        let mut left = lock(&self.state).unwanted.len();
        let mut outcome = Ok(());
        while left > 0 {
            left -= 1;
            let Some(first) = lock(&self.state).unwanted.front().cloned() else { break };
            let is_over = first.until <= Instant::now();
            let given = if is_over { Ok(()) } else { give_back(live, &first.checkout, patience) };
            let mut state = lock(&self.state);
            // The oldest may have been pushed out meanwhile.
            let key = first.checkout.request_key;
            let Some(at) = state.unwanted.iter().position(|u| u.checkout.request_key == key) else {
                continue;
            };
            let Some(entry) = state.unwanted.remove(at) else { continue };
            if let Err(error) = given {
                // Another one may be luckier.
                state.unwanted.push_back(entry);
                outcome = outcome.and(Err(error));
                if live.1.has_ended() {
                    break;
                }
            }
        }
        self.wake.notify_all();
        outcome
    }
}

/// Cancels a checkout, whatever has become of it. An error: there is more to do.
fn give_back(
    (_, connection): &Live,
    checkout: &request::Checkout,
    patience: Duration,
) -> Result<(), CallError> {
    let request::Checkout { request_key, secret, .. } = *checkout;
    let ask = request::Cancel { request_key, secret, extras: Vec::new() };
    connection.call_within(&ask, patience, |result| result).map(|_| ()).or_else(left)
}

/// An error after which there is more to do; any other says that there is nothing to give back.
fn left(error: CallError) -> Result<(), CallError> {
    match error {
        CallError::TooLong(_) => Ok(()),
        CallError::Refused(refusal) if !is_for_later(&refusal.code) => Ok(()),
        error => Err(error),
    }
}

/// The same for a checkin.
fn left_of_checkin(error: CallError) -> Result<(), CallError> {
    match error {
        CallError::Refused(refusal) if is_elsewhere(&refusal.code) => Err(CallError::Refused(refusal)),
        error => left(error),
    }
}

/// Codes of a server that may take seats back another time.
fn is_for_later(code: &str) -> bool {
    cannot_serve(code) || code == codes::RATE_LIMITED
}

fn gone() -> Refusal {
    Refusal {
        code: codes::ALREADY_REMOVED.to_owned(),
        message: "the session has ended".to_owned(),
        details: String::new(),
    }
}
