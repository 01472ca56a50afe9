//! Whether a change that was read from disk fits the state it comes to: in replay a contradiction is damage, and not a bug (S62).

use alloc::format;
use alloc::string::String;

use super::{Inconsistent, Session, State};
use crate::change::Change;

impl State {
    /// Whether a change read from disk fits. Used in replay, where a contradiction is damage and not a bug.
    pub fn check(&self, change: &Change) -> Result<(), Inconsistent> {
        let fail = |text: String| Err(Inconsistent(text));
        match change {
            Change::Granted(g) => match g.sessions.first() {
                None => fail("a grant without a session".into()),
                Some(_) if self.bundles.range(g.bundle..).next().is_some() => {
                    fail(format!("bundle {} granted out of order", g.bundle))
                }
                Some(_) => {
                    let missing =
                        g.sessions.iter().find(|s| !self.pools.contains_key(&s.pool) || s.count == 0);
                    let strays = g
                        .sessions
                        .iter()
                        .find(|s| s.session.0.wrapping_sub(g.bundle.0) > u64::from(u16::MAX));
                    match missing.or(strays) {
                        Some(s) => fail(format!("session {} of pool {} does not fit", s.session, s.pool.0)),
                        None => Ok(()),
                    }
                }
            },
            Change::CheckedIn(c) => match self.session(c.session) {
                Some((_, s)) if c.count >= 1 && c.count <= s.count => Ok(()),
                _ => fail(format!("session {} gives back {} seats it does not have", c.session, c.count)),
            },
            Change::Ended(e) if self.session(e.session).is_none() => {
                fail(format!("session {} ends and is not there", e.session))
            }
            Change::PoolSet(set) => match self.pool_of(&set.vendor, &set.feature, &set.kind) {
                Some(known) if known != set.pool => fail(format!("two pools of {}", set.feature)),
                None if self.pools.contains_key(&set.pool) => {
                    fail(format!("pool {} has two features", set.pool.0))
                }
                _ => Ok(()),
            },
            Change::Held(held) if !self.pools.contains_key(&held.pool) || held.seats == 0 => {
                fail(format!("seats of pool {} are held and it is not there", held.pool.0))
            }
            Change::Unheld(u) => match self.holds.get(u.hold) {
                Some(held) if u.seats >= 1 && u.seats <= held.seats => Ok(()),
                _ => fail(format!("{} seats are freed that are not held", u.seats)),
            },
            Change::Moved(moved) if !self.pools.contains_key(&moved.to) => {
                fail(format!("sessions move to pool {}, which is not there", moved.to.0))
            }
            Change::Moved(moved) => match moved.sessions.iter().find(|m| self.session(m.session).is_none()) {
                Some(missing) => fail(format!("session {} moves and is not there", missing.session)),
                None => Ok(()),
            },
            Change::Waiting(w) if self.waiters.get(w.waiter).is_some() || w.items.is_empty() => {
                fail(format!("waiter {} is there already, or wants nothing", w.waiter))
            }
            Change::WaitEnded(ended) if self.waiters.get(ended.waiter).is_none() => {
                fail(format!("waiter {} waits no longer and is not there", ended.waiter))
            }
            Change::Borrowed(b) => match self.bundles.get(&b.bundle) {
                Some(bundle) if self.borrows.get(b.bundle).is_none() => {
                    let does_not_fit = |s: &Session| {
                        s.share().is_some() || s.token().is_some() || usize::from(s.nth) >= b.licenses.len()
                    };
                    match bundle.sessions().iter().any(does_not_fit) {
                        true => fail(format!("bundle {} is lent and cannot be", b.bundle)),
                        false => Ok(()),
                    }
                }
                _ => fail(format!("bundle {} is lent and is not there, or was lent before", b.bundle)),
            },
            Change::WrittenOff(note) if self.borrow_of(note.borrow).is_none() => {
                fail(format!("session {} is written off and not lent", note.borrow))
            }
            Change::BookingEnded(ended) if self.bookings.get(ended.booking).is_none() => {
                fail(format!("booking {} ends and is not there", ended.booking.0))
            }
            _ => Ok(()),
        }
    }
}
