//! What a server says it holds: plain numbers, read off its lists. What follows from them is worked out by the checks.

use std::collections::BTreeMap;

use seats::ledger::{Ledger, Presentation};

use crate::licenses::FEATURES;

/// Seats of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) bundle: u64,
    /// Which checkout it is of.
    pub(crate) pid: u32,
    pub(crate) feature: usize,
    pub(crate) count: u32,
    /// Until when it is lent, Unix seconds.
    pub(crate) lent: Option<i64>,
}

/// Somebody in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) pid: u32,
    /// Features and counts.
    pub(crate) wants: Vec<(usize, u32)>,
}

/// Seats that are kept for whoever has the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) token: [u8; 16],
    pub(crate) feature: usize,
    pub(crate) seats: u32,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sessions: BTreeMap<u64, Session>,
    pub(crate) waiters: BTreeMap<u64, Waiter>,
    pub(crate) bookings: Vec<Booking>,
    /// The total and the seats in use of each feature, as the server counts them itself.
    pub(crate) totals: [u64; FEATURES.len()],
    pub(crate) used: [u64; FEATURES.len()],
    pub(crate) held: u64,
}

fn feature(name: &str) -> usize {
    FEATURES.iter().position(|feature| *feature == name).expect("a feature that was sold")
}

impl Seen {
    pub(crate) fn of(ledger: &Ledger) -> Seen {
        let mut seen = Seen::default();
        for view in ledger.sessions_page(None, usize::MAX) {
            let (bundle, pid) = (view.bundle.0, view.pid);
            let lent = match view.presence {
                Presentation::Borrowed(until) => Some(until),
                _ => None,
            };
            let (feature, count) = (feature(view.feature.as_str()), view.count);
            let session = Session { bundle, pid, feature, count, lent };
            seen.sessions.insert(view.session.0, session);
        }
        for waiting in ledger.state().waiters() {
            let wants = waiting.items.iter().map(|item| (feature(&item.feature), item.count)).collect();
            seen.waiters.insert(waiting.waiter.0, Waiter { pid: waiting.pid, wants });
        }
        for booked in ledger.state().bookings() {
            let (token, seats) = (booked.token, booked.seats);
            seen.bookings.push(Booking { token, feature: feature(booked.feature.as_str()), seats });
        }
        for counters in ledger.counters() {
            let at = feature(counters.feature.as_str());
            seen.totals[at] += counters.total.limited().map_or(u64::MAX / 2, u64::from);
            seen.used[at] += counters.used;
            seen.held += counters.held;
        }
        seen
    }

    /// The seats of a feature in use, added up from the sessions.
    pub(crate) fn used(&self, feature: usize) -> u64 {
        self.sessions.values().filter(|s| s.feature == feature).map(|s| u64::from(s.count)).sum()
    }

    /// The sessions of a checkout.
    pub(crate) fn of_pid(&self, pid: u32) -> impl Iterator<Item = (u64, &Session)> {
        self.sessions.iter().filter(move |(_, s)| s.pid == pid).map(|(id, session)| (*id, session))
    }
}
