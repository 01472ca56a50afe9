//! What a request takes while it is judged: nothing of it is true until all of it is granted.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::tally::Part;
use super::super::usage::Counted;
use crate::change::{BookingId, Cause, Change, Ended, HoldId, PoolId, SessionId, Tick, Unheld};
use crate::license::Fingerprint;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// Sessions to be, in the order of their numbers.
    pub(super) taken: Vec<Taken>,
    /// Held seats of this client that it uses up.
    pub(super) holds: Vec<(HoldId, PoolId, u32)>,
    /// Sessions that end for it.
    pub(super) removed: Vec<Removed>,
    /// Idle sessions that may be given away where seats are short, longest idle first.
    pub(super) idle: Vec<SessionId>,
    /// Suspects keep their seats: first it is tried without taking anybody's (S22).
    pub(super) keeps_suspects: bool,
}

/// A session to be.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) pool: PoolId,
    pub(super) count: u32,
    pub(super) license: Fingerprint,
    pub(super) share: Option<Arc<str>>,
    pub(super) token: Option<u16>,
    pub(super) above_soft_limit: bool,
    pub(super) booking: Option<BookingId>,
}

/// A session that ends for the request.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    /// The session that ends: of a token and what it took, the token.
    pub(super) root: SessionId,
    pub(super) cause: Cause,
    pub(super) pool: PoolId,
    pub(super) count: u32,
    pub(super) share: Option<Arc<str>>,
    /// Whose limits and reservations it counted towards.
    pub(super) counted: Vec<Counted>,
}

/// How far a draft had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(usize, usize, usize);

impl Draft {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.taken.len(), self.holds.len(), self.removed.len())
    }

    /// Forgets what came after a mark.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.taken.truncate(mark.0);
        self.holds.truncate(mark.1);
        self.removed.truncate(mark.2);
    }

    /// Lets those sessions live on that need not end: of those added since a mark, from the first on, each without which
    /// there is enough all the same.
    pub(super) fn spare(&mut self, since: Mark, is_enough: &dyn Fn(&Draft) -> bool) {
        let mut roots: Vec<SessionId> = self.removed[since.2..].iter().map(|r| r.root).collect();
        roots.dedup();
        if roots.len() < 2 {
            return;
        }
        for root in roots {
            let all = self.removed.clone();
            self.removed.retain(|r| r.root != root);
            if !is_enough(self) {
                self.removed = all;
            }
        }
    }

    /// Whether a session ends for it: one that stands for itself, or a token.
    pub(super) fn ends(&self, root: SessionId) -> bool {
        self.removed.iter().any(|r| r.root == root)
    }

    /// Sessions of a pool that end for it.
    pub(super) fn less(&self, pool: PoolId) -> Vec<Part<'_>> {
        let of_pool = self.removed.iter().filter(|r| r.pool == pool);
        of_pool.map(|r| (r.share.as_deref(), r.count)).collect()
    }

    /// Sessions it takes from a pool.
    pub(super) fn more(&self, pool: PoolId) -> Vec<Part<'_>> {
        let of_pool = self.taken.iter().filter(|t| t.pool == pool);
        of_pool.map(|t| (t.share.as_deref(), t.count)).collect()
    }

    /// Of [`Draft::less`] those that counted towards a subject.
    pub(super) fn less_of(&self, pool: PoolId, of: &Counted) -> Vec<Part<'_>> {
        let of_pool = self.removed.iter().filter(|r| r.pool == pool && r.counted.contains(of));
        of_pool.map(|r| (r.share.as_deref(), r.count)).collect()
    }

    /// Of [`Draft::more`] those that draw on a booking.
    pub(super) fn more_of_booking(&self, pool: PoolId, booking: BookingId) -> Vec<Part<'_>> {
        let of_pool = self.taken.iter().filter(|t| t.pool == pool && t.booking == Some(booking));
        of_pool.map(|t| (t.share.as_deref(), t.count)).collect()
    }

    /// Held seats of a pool that it uses up.
    pub(super) fn unheld(&self, pool: PoolId) -> u64 {
        self.holds.iter().filter(|(_, of, _)| *of == pool).map(|(_, _, n)| u64::from(*n)).sum()
    }

    /// The changes that come before the grant: sessions that end for it, then held seats used up.
    pub(super) fn before(&self, at: Tick) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut ended: Vec<SessionId> = Vec::new();
        for removed in &self.removed {
            if !ended.contains(&removed.root) {
                ended.push(removed.root);
                let (session, cause) = (removed.root, removed.cause.clone());
                changes.push(Change::Ended(Ended { session, cause, at }));
            }
        }
        let unheld =
            self.holds.iter().map(|(hold, _, seats)| Change::Unheld(Unheld { hold: *hold, seats: *seats }));
        changes.extend(unheld);
        changes
    }
}
