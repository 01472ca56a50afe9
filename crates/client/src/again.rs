//! Seats that were given away are asked for anew, where the application said so: [`Want::again`](crate::Want::again) (S23).
//!
//! One thread for each client that has such seats, and only while it has. It waits for servers, so nothing else waits for it.

use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use wire::codes;
use wire::request::{Checkout, Facts, Item, Secret};

use crate::client::{another_may_grant, cannot_serve, checkout, draw};
use crate::error::CheckoutError;
use crate::event::Event;
use crate::giving::DROP_TIMEOUT;
use crate::grace::Grace;
use crate::link::Link;
use crate::lock;
use crate::seats::Place;

/// How long to wait where nothing is to be done: whatever changes wakes the thread.
const REST: Duration = Duration::from_secs(3600);
/// The pauses after a denial begin with a second or two: somebody needed the seats a moment ago.
const FAILURES_AT_FIRST: u32 = 4;

/// The seats of one client that are to be asked for anew.
#[derive(Default)]
pub(crate) struct Again {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    is_watched: bool,
}

struct Entry {
    place: Weak<Place>,
    facts: Facts,
    share: Option<String>,
    attempt: Option<Attempt>,
}

/// Since seats were given away.
struct Attempt {
    bundle: u64,
    failures: u32,
    try_at: Instant,
    is_told: bool,
}

/// What to do next about some seats.
enum Next {
    Drop,
    /// Nothing for so long.
    Rest(Duration),
}

/// These seats, of this checkout, are to be asked for anew.
pub(crate) fn enlist(grace: &Arc<Grace>, place: &Arc<Place>, ask: &Checkout) {
    let entry = Entry {
        place: Arc::downgrade(place),
        facts: ask.facts.clone(),
        share: ask.share.clone(),
        attempt: None,
    };
    let is_watched = {
        let mut state = lock(&grace.again.state);
        state.entries.push(entry);
        std::mem::replace(&mut state.is_watched, true)
    };
    if is_watched {
        return grace.signal.poke();
    }
    let watch = {
        let grace = Arc::clone(grace);
        thread::Builder::new().name("seatkeeper-again".to_owned()).spawn(move || keep(&grace))
    };
    if watch.is_err() {
        // Without a thread the application is told that the seats are gone, and may ask itself.
        lock(&grace.again.state).is_watched = false;
    }
}

fn keep(grace: &Arc<Grace>) {
    loop {
        let seen = grace.signal.seen();
        let mut entries = std::mem::take(&mut lock(&grace.again.state).entries);
        let mut rest = REST;
        entries.retain_mut(|entry| match entry.look(grace) {
            Next::Drop => false,
            Next::Rest(least) => {
                rest = rest.min(least);
                true
            }
        });
        {
            let mut state = lock(&grace.again.state);
            entries.append(&mut state.entries);
            state.entries = entries;
            if state.entries.is_empty() {
                state.is_watched = false;
                return;
            }
        }
        grace.signal.wait(seen, rest);
    }
}

impl Entry {
    fn look(&mut self, grace: &Arc<Grace>) -> Next {
        let Some(place) = self.place.upgrade().filter(|place| !place.is_gone()) else { return Next::Drop };
        // In grace there is no server that could give anything away.
        let Some((link, bundle)) = place.on_server() else { return Next::Rest(REST) };
        let Some(items) = link.given_away(bundle) else { return Next::Rest(REST) };
        let now = Instant::now();
        let attempt = match &mut self.attempt {
            Some(attempt) if attempt.bundle == bundle => attempt,
            other => {
                other.insert(Attempt { bundle, failures: FAILURES_AT_FIRST, try_at: now, is_told: false })
            }
        };
        if let Some(rest) = attempt.try_at.checked_duration_since(now).filter(|rest| !rest.is_zero()) {
            return Next::Rest(rest);
        }
        // A new key for each attempt: one that got no answer is cancelled on its own (S26).
        let (Ok(request_key), Ok(secret)) = (draw(), draw()) else { return Next::Rest(REST) };
        let ask = Checkout {
            request_key,
            secret: Secret(secret),
            items,
            facts: self.facts.clone(),
            share: self.share.clone(),
            ..Checkout::default()
        };
        // The application may let go of everything meanwhile: what is granted must be given back all the same.
        let _links = grace.hold_links();
        let answer = checkout(grace, &ask, true);
        attempt.failures = attempt.failures.saturating_add(1);
        attempt.try_at = Instant::now() + link.options.backoff.delay(attempt.failures);
        let rest = Next::Rest(attempt.try_at.saturating_duration_since(Instant::now()));
        let (code, message) = match answer {
            Ok((to, granted)) => {
                if place.move_to((&link, bundle), (&to, granted)) {
                    link.forget_given_away(bundle);
                    let sessions = to.sessions(granted);
                    grace.tell(&Event::TakenAgain { before: bundle, bundle: granted, sessions });
                    // It may have been given away already, before it was looked for here.
                    return Next::Rest(Duration::ZERO);
                }
                to.abandon(granted, Instant::now() + DROP_TIMEOUT);
                return Next::Drop;
            }
            // Nobody answers: in due time.
            Err(CheckoutError::NoServer(_) | CheckoutError::Protocol(_) | CheckoutError::Cancelled) => {
                return rest;
            }
            Err(CheckoutError::Denied(refusal)) => (refusal.code, refusal.message),
            Err(CheckoutError::Request(what)) => (codes::BAD_REQUEST.to_owned(), what),
        };
        let is_final = !may_change(&code);
        if is_final || !std::mem::replace(&mut attempt.is_told, true) {
            grace.tell(&Event::NotAgain { bundle, code, message, is_final });
        }
        if is_final {
            link.forget_given_away(bundle);
            return Next::Drop;
        }
        rest
    }
}

/// Denials that time may cure: somebody gives seats back, or a server is put right.
fn may_change(code: &str) -> bool {
    another_may_grant(code)
        || cannot_serve(code)
        || matches!(
            code,
            codes::RATE_LIMITED
                | codes::RESERVED_FOR_OTHERS
                | codes::LIMIT_USER
                | codes::LIMIT_HOST
                | codes::LIMIT_GROUP
                | codes::LIMIT_PROJECT
        )
}

impl Link {
    /// What of a bundle was given away and is to be asked for anew.
    fn given_away(&self, bundle: u64) -> Option<Vec<Item>> {
        lock(&self.state).given_away.get(&bundle).cloned()
    }

    fn forget_given_away(&self, bundle: u64) {
        lock(&self.state).given_away.remove(&bundle);
    }
}
