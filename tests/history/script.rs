//! What one client does: it takes seats, holds them over its next requests, gives them back in part or whole, asks again
//! under a key it used before, and after a cut finds out what became of what it has.
//!
//! It believes what it is told. Whether that was right is for the checker.

use std::collections::VecDeque;

use crate::common::Random;
use crate::record::{Answer, Key, Request, Seats, Session};

/// The most checkouts a client holds at once.
const HELD_MAX: usize = 2;

pub(crate) struct Script {
    random: Random,
    /// Key of the next checkout; no two clients have the same.
    key: Key,
    held: Vec<Held>,
    /// A checkout without an answer: sent again until there is one.
    asked: Option<(Key, Seats)>,
    /// Held before the cut, and not looked at since.
    unseen: VecDeque<Key>,
    /// The request under way.
    open: Option<Request>,
    /// No new checkouts: what is held is given back.
    is_ending: bool,
}

struct Held {
    key: Key,
    seats: Seats,
    sessions: Vec<Session>,
}

impl Script {
    pub(crate) fn new(client: usize, seed: u64) -> Script {
        Script {
            random: Random(seed),
            key: (client as u64 + 1) << 32,
            held: Vec::new(),
            asked: None,
            unseen: VecDeque::new(),
            open: None,
            is_ending: false,
        }
    }

    /// From now on seats are given back and none taken.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
    }

    /// The next request; `None`: nothing is held any more, and the client is ending.
    pub(crate) fn next(&mut self) -> Option<Request> {
        let request = self.choose()?;
        if let Request::Checkout { key, seats } = request {
            self.asked = Some((key, seats));
        }
        self.open = Some(request.clone());
        Some(request)
    }

    fn choose(&mut self) -> Option<Request> {
        if let Some((key, seats)) = self.asked {
            return Some(Request::Checkout { key, seats });
        }
        if let Some(key) = self.unseen.front() {
            return Some(Request::Resume { key: *key });
        }
        let dice = self.random.within(0, 9);
        if !self.is_ending && (self.held.is_empty() || (self.held.len() < HELD_MAX && dice < 4)) {
            self.key += 1;
            return Some(Request::Checkout { key: self.key, seats: self.wish() });
        }
        if self.held.is_empty() {
            return None;
        }
        let held = self.random.one_of(&self.held);
        if !self.is_ending && dice == 9 {
            return Some(Request::Checkout { key: held.key, seats: held.seats });
        }
        let session = self.random.one_of(&held.sessions);
        // 0 says: all of it.
        let count = u32::try_from(self.random.within(0, i64::from(session.count))).expect("small");
        Some(Request::Checkin { session: session.id, count })
    }

    fn wish(&mut self) -> Seats {
        let mut seats = |low| u32::try_from(self.random.within(low, 3)).expect("small");
        let (first, second) = (seats(1), seats(1));
        match seats(0) {
            0 => [first, second.min(2)],
            1 => [0, second],
            _ => [first, 0],
        }
    }

    /// The answer to the last request.
    pub(crate) fn told(&mut self, answer: &Answer) {
        match (self.open.take(), answer) {
            (Some(Request::Checkout { key, seats }), answer) => {
                self.asked = None;
                let known = self.held.iter().position(|held| held.key == key);
                match (known, answer) {
                    (Some(at), Answer::Removed) => drop(self.held.swap_remove(at)),
                    (None, Answer::Granted { sessions, .. }) => {
                        self.held.push(Held { key, seats, sessions: sessions.clone() });
                    }
                    _ => {}
                }
            }
            (Some(Request::Checkin { session, .. }), Answer::GivenBack { remaining, .. }) => {
                for held in &mut self.held {
                    held.sessions.iter_mut().filter(|s| s.id == session).for_each(|s| s.count = *remaining);
                    held.sessions.retain(|session| session.count > 0);
                }
            }
            (Some(Request::Resume { key }), answer) => {
                self.unseen.retain(|unseen| *unseen != key);
                for held in self.held.iter_mut().filter(|held| held.key == key) {
                    held.sessions = match answer {
                        Answer::Resumed { sessions } => sessions.clone(),
                        _ => Vec::new(),
                    };
                }
            }
            _ => {}
        }
        self.held.retain(|held| !held.sessions.is_empty());
    }

    /// The connection is gone: every checkout is looked at again before anything else.
    pub(crate) fn cut(&mut self) {
        self.open = None;
        self.unseen = self.held.iter().map(|held| held.key).collect();
        // What is held already is resumed; a retry of it need not be repeated.
        if self.asked.is_some_and(|(key, _)| self.held.iter().any(|held| held.key == key)) {
            self.asked = None;
        }
    }
}
