//! A pool is full and somebody's seats may be given away: those of suspects, who had their resume window or their lease
//! (S22), and those of clients that idle, who were warned (S50).
//!
//! Whoever ends, ends for a request that is granted, all of it: until then it stands in the draft alone.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::Ledger;
use super::draft::Draft;
use super::judge::{Asked, Failure, Want};
use super::seats::wanted;
use crate::change::{Cause, PoolId, SessionId};
use crate::license::License;

/// How many suspects are passed by for one request because something holds their seats still: with one license the
/// longest gone are free first, so behind them there is hardly one that is.
const PASSED_BY: usize = 4_096;

/// What ends for a request, as it is added up.
struct Ending {
    /// Seats of the sessions that end, or more: a member of a share group may free none.
    freed: u64,
    /// The smallest of them.
    least: u64,
}

impl Ledger {
    /// As [`Ledger::fit`], where sessions make room in the order in which they may go, and none that need not: suspects
    /// first, the longest gone in front, then idle ones in the order of the draft. Nobody ends where even all of them are
    /// not enough.
    pub(super) fn fit_by_ending(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &License,
        share: Option<&Arc<str>>,
        draft: &mut Draft,
    ) -> Result<bool, Failure> {
        let mark = draft.mark();
        let idle = core::mem::take(&mut draft.idle);
        let keeps_suspects = core::mem::replace(&mut draft.keeps_suspects, true);
        let missing = |draft: &Draft| {
            let room = self.room(want, asked, pool, share, draft);
            (room.used + room.held).saturating_sub(room.total)
        };
        let lacks = missing(draft);
        let suspect = if keeps_suspects { 0 } else { self.numbers_of_use(pool).1 };
        let idle_here: Vec<(SessionId, u64)> = (idle.iter().filter(|id| !draft.ends(**id)))
            .map(|id| (*id, self.seats_of_root(*id, pool)))
            .filter(|(_, seats)| *seats > 0)
            .collect();
        let mut ending = Ending { freed: 0, least: u64::MAX };
        // None makes more room than the seats it has: only where there may be enough it pays to add up.
        if suspect + idle_here.iter().map(|(_, seats)| seats).sum::<u64>() >= lacks {
            let mut end = |session: SessionId, seats: u64, cause: Cause, draft: &mut Draft| {
                if self.would_be_free(session, asked.now, draft) {
                    self.remove(session, &cause, draft);
                    ending.freed += seats;
                    ending.least = ending.least.min(seats);
                }
                ending.freed >= lacks && missing(draft) == 0
            };
            let mut is_enough = false;
            // Those who share a seat with one who idles free nothing without it, and it nothing without them (L60).
            if !keeps_suspects {
                let mut passed_by = 0;
                for (_, number) in self.presence.suspects_in(pool) {
                    let before = draft.mark();
                    if let Some(root) = self.reclaimable_root(number, asked, draft) {
                        is_enough = end(root, self.seats_of_root(root, pool), Cause::Reclaimed, draft);
                    }
                    passed_by += usize::from(draft.mark() == before);
                    if is_enough || passed_by > PASSED_BY {
                        break;
                    }
                }
            }
            for (session, seats) in idle_here {
                if is_enough {
                    break;
                }
                is_enough = draft.ends(session) || end(session, seats, Cause::Idle, draft);
            }
        }
        // With the sessions gone, the same questions again; nobody is left to make more room.
        let mut fits = None;
        if draft.mark() != mark && missing(draft) == 0 {
            if ending.freed - ending.least >= lacks {
                draft.spare(mark, &|draft| missing(draft) == 0);
            }
            fits = self.fit(want, asked, pool, license, share, draft).ok();
        }
        draft.idle = idle;
        draft.keeps_suspects = keeps_suspects;
        fits.ok_or_else(|| {
            draft.back_to(mark);
            Failure::Full(wanted(want, pool, draft))
        })
    }

    /// The session that ends when a suspect's is given away: itself, or the token that it was taken for. `None`: it may
    /// not be given away yet, or ends already.
    fn reclaimable_root(&self, number: SessionId, asked: &Asked<'_>, draft: &Draft) -> Option<SessionId> {
        let ((bundle, _), _) = self.state.session(number)?;
        let is_free = self.presence.is_reclaimable(bundle, asked.now.tick);
        self.root_of(number).filter(|root| is_free && !draft.ends(*root))
    }

    /// Seats that a session, and what it took as a token, have in a pool.
    fn seats_of_root(&self, root: SessionId, pool: PoolId) -> u64 {
        let Some(((_, bundle), session)) = self.state.session(root) else { return 0 };
        let here = bundle.with_dependents(session.nth).filter(|part| part.pool == pool);
        here.map(|part| u64::from(part.count)).sum()
    }
}
