//! Pools brought to the licenses and the day of now: at once where somebody asks for one, in the background the others; and who
//! is told of it (L22, L39).

use seats::change::{Change, SessionId};
use seats::ledger::{Now, Owed, PoolChange};
use seats::request::Checkout;
use tracing::info;

use super::ask::Event;
use super::{Engine, Output, SESSIONS_A_STEP};
use crate::journal::{Disk, JournalError};

/// How many features a step looks at after a reload or a midnight before it serves the next batch: about a
/// millisecond of work, so nobody waits longer for it.
const SWEEP_FEATURES: usize = 1_000;
/// How many changed totals of one reload or midnight are logged each in a line of its own.
const CHANGES_TOLD_MAX: usize = 100;

impl<D: Disk> Engine<D> {
    /// The pools of the features a request names, brought to the day and the licenses of now.
    pub(super) fn refresh(&mut self, checkout: &Checkout, now: Now) -> Result<(), JournalError> {
        if self.ledger.is_complete() {
            return Ok(());
        }
        for item in &checkout.items {
            self.refresh_feature(&item.feature, now)?;
        }
        Ok(())
    }

    pub(super) fn refresh_feature(&mut self, feature: &str, now: Now) -> Result<(), JournalError> {
        while let Some(owed) = self.ledger.refresh(feature, now.day) {
            self.accept_owed(owed, now)?;
        }
        Ok(())
    }

    /// The pools of a session's feature, brought to now: what stays held is today's license's to say (L62).
    pub(super) fn refresh_of(&mut self, session: SessionId, now: Now) -> Result<(), JournalError> {
        if self.ledger.is_complete() {
            return Ok(());
        }
        let state = self.ledger.state();
        let feature = state.session(session).and_then(|(_, s)| state.pool(s.pool)).map(|p| p.feature.clone());
        feature.map_or(Ok(()), |feature| self.refresh_feature(feature.as_str(), now))
    }

    pub(super) fn accept_owed(&mut self, owed: Owed, now: Now) -> Result<(), JournalError> {
        match owed {
            Owed::Pool(change) => self.pool_changed(change, now),
            Owed::Moved(moved) => {
                let (to, sessions) = (moved.to.0, moved.sessions.len());
                info!(pool = to, sessions, "sessions count against another pool: theirs is gone (L39)");
                self.accept(now.tick, &Change::Moved(moved))
            }
        }
    }

    /// Journals a total, and tells those who want to know (L22).
    pub(super) fn pool_changed(&mut self, change: PoolChange, now: Now) -> Result<(), JournalError> {
        let PoolChange { set, before, why, has_expired } = change;
        self.changes_told += 1;
        if self.changes_told > CHANGES_TOLD_MAX {
            // A reload of a hundred thousand features is one line more, not a hundred thousand (S83).
        } else if before == set.total {
            info!(feature = %set.feature, vendor = %set.vendor, total = %before, "licenses changed: {why}");
        } else {
            info!(feature = %set.feature, vendor = %set.vendor, "{} {before} → {}: {why}", set.feature, set.total);
        }
        if before != set.total {
            for outbox in self.watching.iter().filter_map(|id| self.connections.get(id)) {
                let event = Event::PoolChanged(
                    set.vendor.clone(),
                    set.feature.clone(),
                    before,
                    set.total,
                    why.clone(),
                );
                self.outputs.push(Output::Event(outbox.clone(), event));
            }
        }
        self.note_pool(&set, before, &why);
        if has_expired {
            let ended =
                self.ledger.state().pool(set.pool).and_then(|p| p.sources.first()).and_then(|s| s.end);
            self.expired.extend(ended.map(|end| (set.pool, None, end)));
        }
        self.accept(now.tick, &Change::PoolSet(set))
    }

    /// L39: the sessions of a pool whose license has ended are told; they keep their seats.
    pub(super) fn tell_expired(&mut self) {
        if !self.may_tell_of_ends() {
            return;
        }
        let mut left = SESSIONS_A_STEP;
        while let Some((pool, after, end)) = self.expired.pop_front() {
            let Some(feature) = self.ledger.state().pool(pool).map(|p| p.feature.clone()) else { continue };
            let mut last = None;
            for session in self.ledger.state().sessions_after(pool, after).take(left) {
                last = Some(session);
                left -= 1;
                if let Some(outbox) = self.holder_of(session) {
                    self.outputs.push(Output::Event(outbox, Event::Expired(session, feature.clone(), end)));
                }
            }
            if left == 0 {
                self.expired.push_front((pool, last.or(after), end));
                return;
            }
        }
    }

    /// Brings the next pools up to date after a reload or a midnight.
    pub(super) fn sweep(&mut self, now: Now) -> Result<(), JournalError> {
        let mut budget = SWEEP_FEATURES;
        if self.ledger.sweep_policy() {
            let taken = self.policy_taken.drain(..);
            self.outputs.extend(taken.map(|then| Output::Call(Box::new(move || then(())))));
        }
        while budget > 0 && !self.ledger.is_complete() {
            let (owed, left) = self.ledger.sweep(budget, now.day);
            budget = left;
            match owed {
                Some(owed) => self.accept_owed(owed, now)?,
                // What is left is the policy's: the next step counts on.
                None => break,
            }
        }
        if self.ledger.is_complete() {
            let untold = std::mem::take(&mut self.changes_told).saturating_sub(CHANGES_TOLD_MAX);
            if untold > 0 {
                info!(features = untold, "and more features changed; `seatkeeper features` shows them");
            }
            for then in self.catalog_taken.drain(..) {
                self.outputs.push(Output::Call(Box::new(move || then(()))));
            }
        }
        Ok(())
    }
}
