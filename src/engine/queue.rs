//! The queue, as far as the engine has to do with it: who joins, who is told what, and when it is served (S30 to S33).
//! Who may have what is the ledger's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seats::change::{BundleId, Cause, Change, SessionId, WaitCause, WaitEnded, Waiting};
use seats::denial::{Code, Denial};
use seats::ledger::{CheckoutOutcome, IDLE_WARNING_MS, Now, Served};
use seats::request::Checkout;
use tracing::{debug, info};

use super::ask::{Answer, Event, Outbox, WaiterPresence, WaiterView};
use super::{Engine, Output, deny};
use crate::clock::Reading;
use crate::journal::{Disk, JournalError};

/// How many waiters a step looks at before it serves the next batch: about a millisecond of work.
const WAITERS_A_STEP: usize = 200;
/// The first so many waiters of a queue are given seats of those who idle.
const WITH_IDLE: u64 = 16;
/// How many waits a step ends because their time is over.
const ENDED_A_STEP: usize = 1_000;

impl<D: Disk> Engine<D> {
    /// A checkout was refused and its client would rather wait.
    pub(super) fn wait(
        &mut self,
        from: &Arc<dyn Outbox>,
        checkout: &Checkout,
        ms: u64,
        now: Now,
        refused: Box<Denial>,
    ) -> Result<Answer, JournalError> {
        if self.is_stopping {
            return Ok(deny(Code::ShuttingDown, "the server is stopping: ask again when it is back"));
        }
        if let Some(no) = self.no_room() {
            return Ok(no);
        }
        match self.ledger.decide_wait(checkout, ms, now, refused) {
            Err(denial) => Ok(Answer::Denied(denial)),
            Ok(waiting) => {
                let waiter = waiting.waiter;
                self.accept(now.tick, &Change::Waiting(waiting))?;
                debug!(%waiter, user = checkout.facts.user, "waits");
                self.look_at_idle(waiter, IDLE_WARNING_MS, now);
                Ok(self.waits_on(from, waiter, now))
            }
        }
    }

    /// A waiter is on this connection from now on (S31).
    pub(super) fn waits_on(&mut self, from: &Arc<dyn Outbox>, waiter: SessionId, now: Now) -> Answer {
        self.ledger.attach_waiter(waiter, from.id(), now.tick);
        Answer::Waiting(waiter, self.ledger.place_of(waiter))
    }

    /// The client has what it was given. Said twice, or too late, it is told how things are.
    pub(super) fn confirm(
        &mut self,
        from: &Arc<dyn Outbox>,
        bundle: BundleId,
        now: Now,
    ) -> Result<Answer, JournalError> {
        if self.ledger.presence().connection_of(bundle) != Some(from.id()) {
            let text =
                format!("this connection does not hold {bundle}: it came too late, or was resumed elsewhere");
            return Ok(deny(Code::UnknownSession, text));
        }
        if let Some(change) = self.ledger.confirm(bundle) {
            self.accept(now.tick, &change)?;
        }
        Ok(Answer::Confirmed(bundle))
    }

    pub(super) fn give_up(
        &mut self,
        from: &Arc<dyn Outbox>,
        waiter: SessionId,
        now: Now,
    ) -> Result<Answer, JournalError> {
        let is_its_own = self.ledger.queue().connection_of(waiter) == Some(from.id());
        let has_seats = (self.ledger.state().waiter(waiter))
            .is_none_or(|waiting| self.ledger.state().bundle_of_key(&waiting.key).is_some());
        if !is_its_own || has_seats {
            let text =
                format!("{waiter} does not wait on this connection: it has its seats, or waits no longer");
            return Ok(deny(Code::UnknownSession, text));
        }
        let ended = WaitEnded { waiter, cause: WaitCause::GivenUp };
        self.accept(now.tick, &Change::WaitEnded(ended))?;
        Ok(Answer::GaveUp(waiter))
    }

    /// An administrator takes a place in the queue away (S25).
    pub(super) fn release_waiter(
        &mut self,
        waiter: SessionId,
        by: &str,
        reason: &str,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        info!(%waiter, by, reason, "place in the queue taken away by an administrator");
        self.end_wait(WaitEnded { waiter, cause: WaitCause::Released }, now, reading)?;
        Ok(Answer::Released(waiter))
    }

    /// Somebody waits no longer, without having asked for that; it is told, where it is connected.
    fn end_wait(&mut self, ended: WaitEnded, now: Now, reading: Reading) -> Result<(), JournalError> {
        let outbox = self.outbox_of(ended.waiter);
        self.accept(now.tick, &Change::WaitEnded(ended))?;
        let (code, text) = match ended.cause {
            WaitCause::TimedOut => (Code::QueueTimeout, "no seat came free in the time it was to wait"),
            WaitCause::Released => {
                (Code::AlreadyRemoved, "an administrator took its place in the queue away")
            }
            WaitCause::Reaped => (Code::AlreadyRemoved, "its client was gone for too long"),
            WaitCause::Served | WaitCause::GivenUp => return Ok(()),
        };
        if let Some(outbox) = outbox {
            let event = Event::WaitEnded(ended.waiter, code.as_str(), text.into(), reading.unix_ms);
            self.outputs.push(Output::Event(outbox, event));
        }
        Ok(())
    }

    fn outbox_of(&self, waiter: SessionId) -> Option<Arc<dyn Outbox>> {
        self.ledger.queue().connection_of(waiter).and_then(|id| self.connections.get(&id)).cloned()
    }

    /// Whether those who wait may be given anything now; else they are looked at again when the engine next looks.
    pub(super) fn may_serve(&self) -> bool {
        !self.is_stopping && self.journal.is_low().is_none()
    }

    /// Everything that frees or adds seats serves the queue at once (S32).
    pub(super) fn serve(&mut self, now: Now, reading: Reading) -> Result<(), JournalError> {
        if self.ledger.state().waiters().next().is_none() {
            return Ok(());
        }
        for bundle in self.ledger.unconfirmed(now.tick) {
            self.take_back_unconfirmed(bundle, now, reading)?;
        }
        for ended in self.ledger.waits_over(now.tick, ENDED_A_STEP) {
            self.end_wait(ended, now, reading)?;
        }
        // Places are kept; what they wait for comes after the start.
        if !self.may_serve() {
            return Ok(());
        }
        self.serve_with_idle(now, reading)?;
        if !self.ledger.is_hungry() {
            return Ok(());
        }
        if !self.ledger.is_complete() {
            let hungry: Vec<String> = self.ledger.hungry().map(str::to_owned).collect();
            for feature in hungry {
                self.refresh_feature(&feature, now)?;
            }
        }
        let mut budget = WAITERS_A_STEP;
        while let Some(served) = self.next_served(now, &mut budget) {
            self.give(*served, now, reading)?;
            if self.journal.pending_bytes() > super::BATCH_BYTES {
                self.release()?;
            }
        }
        Ok(())
    }

    /// A waiter gets its seats, and is told.
    fn give(&mut self, served: Served, now: Now, reading: Reading) -> Result<(), JournalError> {
        let (waiter, bundle) = (served.waiter, served.granted.bundle);
        let Some(outbox) = self.outbox_of(waiter) else { return Ok(()) };
        self.end(&served.before, now, reading)?;
        self.accept(now.tick, &Change::Granted(served.granted))?;
        self.ledger.attach_unasked(bundle, outbox.id(), now.tick);
        self.ledger.offer(waiter, bundle, now.tick);
        if let Some(view) = self.grant(bundle) {
            debug!(%waiter, %bundle, "served");
            self.outputs.push(Output::Event(outbox, Event::Served(waiter, view)));
        }
        Ok(())
    }

    /// The first waiters are looked at again later, together with those who idle by then (S50).
    fn look_at_idle(&mut self, waiter: SessionId, in_ms: u64, now: Now) {
        if self.ledger.policy().has_idle() && self.ledger.place_of(waiter) < WITH_IDLE {
            self.ledger.look_again(waiter, now.tick + in_ms);
        }
    }

    /// Seats of those who idle, for those who wait: who was warned for long enough loses its seat, others are warned.
    fn serve_with_idle(&mut self, now: Now, reading: Reading) -> Result<(), JournalError> {
        for waiter in self.ledger.again(now.tick) {
            let (Some(waiting), Some(outbox)) = (self.ledger.state().waiter(waiter), self.outbox_of(waiter))
            else {
                continue;
            };
            let (checkout, decided) = (waiting.as_checkout(), self.ledger.decide_waiter(waiting, now));
            let decided = match decided {
                Err(refused) => self.decide_with_idle(&outbox, &checkout, now, refused),
                granted => granted,
            };
            match decided {
                Ok(CheckoutOutcome::Grant { before, granted, .. }) => {
                    self.give(Served { waiter, before, granted }, now, reading)?;
                }
                _ => self.look_at_idle(waiter, IDLE_WARNING_MS, now),
            }
        }
        Ok(())
    }

    fn next_served(&mut self, now: Now, budget: &mut usize) -> Option<Box<Served>> {
        loop {
            let served = self.ledger.next_served(now, budget)?;
            let outbox = self.outbox_of(served.waiter)?;
            let holds = self.ledger.presence().sessions_on(outbox.id()) as usize;
            // A connection that may hold no more waits on (S82).
            if holds + served.granted.sessions.len() <= self.sessions_max {
                return Some(served);
            }
        }
    }

    /// Waiters after `after` (exclusive), at most `limit`, as they stand in the queue.
    pub(super) fn waiters_page(
        &self,
        after: Option<SessionId>,
        limit: usize,
        now: Now,
        reading: Reading,
    ) -> Vec<WaiterView> {
        let state = self.ledger.state();
        let mut lengths: BTreeMap<Box<str>, u64> = BTreeMap::new();
        let mut page = Vec::new();
        for waiting in state.waiters() {
            // Counted on the way, from the first on: one by one it would be a walk for each.
            let mut before = 0;
            for feature in features_of(waiting) {
                let length = lengths.entry(feature).or_default();
                before = before.max(*length);
                *length += 1;
            }
            if after.is_some_and(|after| waiting.waiter <= after) {
                continue;
            }
            if page.len() >= limit {
                break;
            }
            let presence = if state.bundle_of_key(&waiting.key).is_some() {
                WaiterPresence::Served
            } else if self.ledger.is_there(waiting) {
                WaiterPresence::Waiting
            } else {
                WaiterPresence::Gone
            };
            let left = i64::try_from(waiting.until.saturating_sub(now.tick)).unwrap_or(i64::MAX);
            page.push(WaiterView {
                waiter: waiting.waiter,
                items: waiting.items.clone(),
                facts: waiting.facts.clone(),
                pid: waiting.pid,
                before,
                presence,
                since_unix_ms: state.unix_ms_of(waiting.since),
                until_unix_ms: reading.unix_ms.saturating_add(left),
            });
        }
        page
    }

    /// How many wait for what; who has been given seats already, confirmed or not, is not among them.
    pub(super) fn queued(&self) -> BTreeMap<(Box<str>, Option<Box<str>>), u64> {
        let state = self.ledger.state();
        let mut queued = BTreeMap::new();
        let is_waiting = |waiting: &&Waiting| state.bundle_of_key(&waiting.key).is_none();
        for waiting in state.waiters().filter(is_waiting) {
            let lower = |text: &str| Box::<str>::from(text.to_ascii_lowercase());
            let names: BTreeSet<_> = (waiting.items.iter())
                .map(|item| (lower(&item.feature), item.vendor.as_deref().map(lower)))
                .collect();
            names.into_iter().for_each(|name| *queued.entry(name).or_insert(0) += 1);
        }
        queued
    }

    /// Nobody said that the seats came through: they go to the next, and their waiter keeps its place (S31).
    fn take_back_unconfirmed(
        &mut self,
        bundle: BundleId,
        now: Now,
        reading: Reading,
    ) -> Result<(), JournalError> {
        let Some(found) = self.ledger.state().bundle(bundle) else { return Ok(()) };
        let own = found.sessions().iter().filter(|session| session.token().is_none());
        let own: Vec<SessionId> = own.map(|session| SessionId(bundle.0 + u64::from(session.nth))).collect();
        for session in own {
            let changes = self.ledger.ending(session, Cause::Unconfirmed, now.tick, now.tick);
            self.end(&changes, now, reading)?;
        }
        info!(%bundle, "taken back: its waiter did not confirm it within 10 s");
        Ok(())
    }
}

/// The features that somebody waits for, in lower case, each once.
fn features_of(waiting: &Waiting) -> BTreeSet<Box<str>> {
    waiting.items.iter().map(|item| item.feature.to_ascii_lowercase().into()).collect()
}
