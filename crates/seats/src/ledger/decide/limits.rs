//! Limits of the policy, and whose lost sessions make room for them (S3, S50).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::tally::{self, Part};
use super::super::usage::Counted;
use super::super::{Ledger, Now};
use super::draft::{Draft, Removed};
use super::judge::{Asked, Failure, Want};
use crate::change::{Cause, PoolId, SessionId};
use crate::denial::Code;
use crate::policy::{Policy, Subject};

/// The code of a denial by a limit.
pub(super) fn code(subject: &Subject) -> Code {
    match subject {
        Subject::User(_) => Code::LimitUser,
        Subject::Host(_) => Code::LimitHost,
        Subject::Group(_) => Code::LimitGroup,
        Subject::Project(_) => Code::LimitProject,
        Subject::Reservation(_) => Code::ReservedForOthers,
    }
}

/// A subject in words: `user ann`, `group students`.
pub(super) fn in_words(policy: &Policy, subject: &Subject) -> String {
    match subject {
        Subject::User(name) => alloc::format!("user {name}"),
        Subject::Host(name) => alloc::format!("host {name}"),
        Subject::Project(name) => alloc::format!("project {name}"),
        Subject::Group(id) => alloc::format!("group {}", policy.group(*id).name),
        Subject::Reservation(id) => policy.rule(*id).place.text.as_ref().into(),
    }
}

impl Ledger {
    /// Whether the limits allow a session more in a pool. One that adds no seat passes (L60). A limit that would deny
    /// first ends the oldest reclaimable sessions that count against it, if that is enough (S3): they are added to the
    /// draft.
    pub(super) fn check_limits(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        share: Option<&Arc<str>>,
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        if self.usage.policy.is_open() {
            return Ok(());
        }
        let mut limits = want.rules.limits(asked.class).peekable();
        if limits.peek().is_none() || self.adds(pool, share, want.count, draft) == 0 {
            return Ok(());
        }
        let part = (share.map(|key| &**key), want.count);
        for limit in limits {
            let subject = Counted::Subject(limit.subject.clone());
            let after = |draft: &Draft| self.used_by(&subject, want, draft, Some((pool, part)));
            if after(draft) <= u64::from(limit.seats) {
                continue;
            }
            let mark = draft.mark();
            for session in self.reclaimable(&subject, want, asked.now, draft) {
                if after(draft) <= u64::from(limit.seats) {
                    break;
                }
                if self.would_be_free(session, asked.now, draft) {
                    self.remove(session, &Cause::Reclaimed, draft);
                }
            }
            if after(draft) <= u64::from(limit.seats) {
                draft.spare(mark, &|draft| after(draft) <= u64::from(limit.seats));
            } else {
                draft.back_to(mark);
                let used = self.used_by(&subject, want, draft, None);
                return Err(Failure::Limit(limit, used));
            }
        }
        Ok(())
    }

    /// How many seats of a pool a session more uses.
    pub(super) fn adds(&self, pool: PoolId, share: Option<&Arc<str>>, count: u32, draft: &Draft) -> u64 {
        let tally = self.state.pool(pool).map(|p| &p.tally);
        let (less, mut more) = (draft.less(pool), draft.more(pool));
        let before = tally::after(tally, &less, &more);
        more.push((share.map(|key| &**key), count));
        tally::after(tally, &less, &more) - before
    }

    /// Seats of a feature used by a subject to whom the request belongs too, with what the draft takes and ends, and one
    /// session more.
    pub(super) fn used_by(
        &self,
        subject: &Counted,
        want: &Want<'_>,
        draft: &Draft,
        one_more: Option<(PoolId, Part<'_>)>,
    ) -> u64 {
        let used = |pool: PoolId| {
            let tally = self.usage.entry(pool, subject).map(|entry| &entry.tally);
            let mut more = draft.more(pool);
            more.extend(one_more.filter(|(of, _)| *of == pool).map(|(_, part)| part));
            tally::after(tally, &draft.less_of(pool, subject), &more)
        };
        let mut pools: Vec<PoolId> = self.pools_there(want).collect();
        // A pool that nobody ever used is known to the terms and not yet to the state.
        pools.extend(one_more.map(|(pool, _)| pool).filter(|pool| self.state.pool(*pool).is_none()));
        pools.into_iter().map(used).sum()
    }

    /// Every pool of a feature that there is.
    pub(super) fn pools_there<'a>(&'a self, want: &Want<'a>) -> impl Iterator<Item = PoolId> + use<'a> {
        let (vendor, feature) = (&want.feature.vendor, &want.feature.feature);
        self.state.pools_of(vendor, feature).iter().map(|(_, pool)| *pool)
    }

    /// The sessions of a subject in a feature that may be given away, oldest first: the socket closed a resume window
    /// ago (S21).
    fn reclaimable(&self, subject: &Counted, want: &Want<'_>, now: Now, draft: &Draft) -> Vec<SessionId> {
        let mut found: Vec<(u64, SessionId)> = Vec::new();
        for pool in self.pools_there(want) {
            let Some(entry) = self.usage.entry(pool, subject) else { continue };
            for session in &entry.sessions {
                let Some(root) = self.root_of(*session) else { continue };
                let Some(((bundle, _), _)) = self.state.session(root) else { continue };
                let is_gone = self.presence.is_reclaimable(bundle, now.tick);
                if is_gone && !draft.ends(root) {
                    found.push((self.presence.closed_at(bundle).unwrap_or(0), root));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(_, session)| session).collect()
    }

    /// The session that a dependent one goes with: its token; else itself.
    pub(super) fn root_of(&self, session: SessionId) -> Option<SessionId> {
        let ((bundle, _), found) = self.state.session(session)?;
        Some(found.token().map_or(session, |nth| SessionId(bundle.0 + u64::from(nth))))
    }

    /// Adds to the draft that a session ends, with everything it took as a token.
    pub(super) fn remove(&self, root: SessionId, cause: &Cause, draft: &mut Draft) {
        let Some(((_, bundle), session)) = self.state.session(root) else { return };
        for part in bundle.with_dependents(session.nth) {
            let Some(pool) = self.state.pool(part.pool) else { continue };
            draft.removed.push(Removed {
                root,
                cause: cause.clone(),
                pool: part.pool,
                count: part.count,
                share: part.share().cloned(),
                counted: self.usage.counted(&pool.vendor, &pool.feature, &bundle.facts, part.booking()),
            });
        }
    }
}
