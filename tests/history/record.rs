//! What happened, as the clients saw it.
//!
//! The place of an event in the list is its time. A request is noted before its first byte is sent and an answer after
//! its last byte was read, both under one lock; so if one answer stands before another request here, it was so in the
//! world, and there are no ties as a clock has them. The clock's time is kept too, for people.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many pools a history is about.
pub(crate) const POOLS: usize = 2;

/// Seats of each pool.
pub(crate) type Seats = [u32; POOLS];

/// A client's own number of a checkout: it stands for install id and request key (S2).
pub(crate) type Key = u64;

/// Everything that happened.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// How many seats there are.
    pub(crate) totals: Seats,
    /// In the order in which it happened.
    pub(crate) events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Since the beginning.
    pub(crate) at: Duration,
    /// Whom it happened to. A client sends its next request when the last one was answered or cut.
    pub(crate) client: usize,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// About to be sent.
    Sent(Request),
    /// Read whole.
    Answered(Answer),
    /// The daemon is gone: what it had not done by now, it never did. Belongs to no client.
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// All of it or nothing. With a key that was sent before: a retry.
    Checkout { key: Key, seats: Seats },
    /// `count` 0: all that the session has.
    Checkin { session: u64, count: u32 },
    /// Are the sessions of this checkout there?
    Resume { key: Key },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The sessions as they are now.
    Granted { bundle: u64, sessions: Vec<Session>, is_replay: bool },
    /// `no_seats`.
    Denied,
    /// What was given back, and what the session still has.
    GivenBack { count: u32, remaining: u32 },
    /// The sessions that still have seats.
    Resumed { sessions: Vec<Session> },
    /// `already_removed`: all of it was given back before.
    Removed,
    /// Anything else: its code.
    Refused(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) pool: usize,
    pub(crate) count: u32,
}

impl History {
    /// An event for people: its number, time and client.
    pub(crate) fn show(&self, at: usize) -> String {
        match self.events.get(at) {
            Some(event) => {
                format!("#{at} ({:.6} s, client {}: {:?})", event.at.as_secs_f64(), event.client, event.what)
            }
            None => "the end".into(),
        }
    }
}

/// Takes events from many threads.
pub(crate) struct Recorder {
    began: Instant,
    noted: Mutex<Noted>,
    grew: Condvar,
}

struct Noted {
    history: History,
    deaths: usize,
}

impl Recorder {
    pub(crate) fn new(totals: Seats) -> Recorder {
        let noted = Noted { history: History { totals, events: Vec::new() }, deaths: 0 };
        Recorder { began: Instant::now(), noted: Mutex::new(noted), grew: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut noted: MutexGuard<'_, Noted>, client: usize, what: What) {
        noted.deaths += usize::from(matches!(what, What::Killed));
        noted.history.events.push(Event { at: self.began.elapsed(), client, what });
        self.grew.notify_all();
    }

    /// Notes that this happened.
    pub(crate) fn note(&self, client: usize, what: What) {
        self.add(self.lock(), client, what);
    }

    /// Notes a request that is about to be sent to the daemon of this number, counted from 1. `false`: that one is known to
    /// be dead, and nothing is noted: the request cannot happen, and what is cut is cut by a death that comes after it.
    pub(crate) fn note_sent(&self, client: usize, daemon: usize, request: &Request) -> bool {
        let noted = self.lock();
        let is_alive = noted.deaths < daemon;
        if is_alive {
            self.add(noted, client, What::Sent(request.clone()));
        }
        is_alive
    }

    /// Waits until there are so many events; `false`: not within the limit.
    pub(crate) fn await_events(&self, count: usize, limit: Duration) -> bool {
        let is_short = |noted: &mut Noted| noted.history.events.len() < count;
        let waited = self.grew.wait_timeout_while(self.lock(), limit, is_short);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(crate) fn into_history(self) -> History {
        self.noted.into_inner().unwrap_or_else(PoisonError::into_inner).history
    }
}
