//! Who holds which seats: durable [`State`], [`Presence`], and the terms of the licenses in force.
//!
//! The engine owns the one [`Ledger`] and drives it in three steps: `decide_*` looks and mutates nothing,
//! [`Ledger::apply`] brings an accepted [`Change`] in and cannot fail, and presence is told who is
//! connected. Before deciding about a feature the engine asks [`Ledger::refresh`] for it, so that no request
//! meets another day's totals (L21).

mod decide;
mod presence;
mod state;
mod terms;
mod view;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

pub use decide::{CheckinOutcome, CheckoutOutcome};
pub use presence::{ConnectionId, Presence};
pub use state::{Bundle, Gone, Inconsistent, KEY_KEPT_MS, KEYS_KEPT_MAX, Pool, Session, State};
pub use terms::PoolChange;
pub use view::{Counters, GrantView, Presentation, SessionGrant, SessionView};

use crate::catalog::Catalog;
use crate::change::{BundleId, Cause, Change, Ended, SessionId, Tick};
use crate::request::NameRules;

/// The moment of a decision: time arrives as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds served.
    pub tick: Tick,
    /// The server's civil day, never lower than the highest served (S71).
    pub day: NaiveDate,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    state: State,
    presence: Presence,
    terms: terms::Terms,
    names: NameRules,
}

impl Ledger {
    /// A ledger over a state read from disk. Every session in it counts as just heard, with a full lease (S21).
    /// It grants nothing until [`Ledger::replace_catalog`].
    pub fn new(state: State, started: Tick, lease_ms: u64, names: NameRules) -> Ledger {
        let first_new = state.next_session();
        let first_old = state.bundles_between(SessionId(0), first_new).next().map(|(id, _)| id);
        let presence = Presence::new(started, lease_ms, first_old, first_new);
        Ledger { state, presence, terms: terms::Terms::new(), names }
    }

    /// The durable part.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The table of connections.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The licenses decided by.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.terms.catalog()
    }

    /// Brings an accepted change in.
    ///
    /// # Panics
    /// If the change was not decided on this ledger as it is: a bug, see [`State::apply`].
    pub fn apply(&mut self, tick: Tick, change: &Change) {
        let bundle = match change {
            Change::CheckedIn(c) => self.seats_back(c.session, Some(c.count)),
            Change::Ended(e) => self.seats_back(e.session, None),
            _ => None,
        };
        self.state.apply(tick, change);
        if let Some(gone) = bundle.filter(|id| self.state.bundle(*id).is_none()) {
            self.presence.forget(gone);
        }
        if let Change::PoolSet(set) = change {
            self.terms.applied(set, &self.state);
        }
    }

    /// Tells presence that seats of a session are given back; returns the bundle they were in.
    fn seats_back(&mut self, id: SessionId, count: Option<u32>) -> Option<BundleId> {
        let ((bundle, _), session) = self.state.session(id)?;
        let given = count.unwrap_or(session.count);
        self.presence.less(bundle, session.pool, given, given >= session.count);
        Some(bundle)
    }

    /// Takes a new set of licenses whole (L6). Until [`Ledger::is_complete`] the engine applies what
    /// [`Ledger::sweep`] owes; requests are right from now on.
    pub fn replace_catalog(&mut self, catalog: Arc<Catalog>, day: NaiveDate) {
        self.terms.replace(catalog, day);
    }

    /// A new day begins: the pools with a date at this boundary are owed. The caller has applied `DayServed`.
    pub fn begin_day(&mut self, day: NaiveDate) {
        self.terms.new_day(day);
    }

    /// Brings the pools of one feature name to the day; at most one change a call, to be applied before the next.
    pub fn refresh(&mut self, feature: &str, day: NaiveDate) -> Option<PoolChange> {
        let (first, count) = {
            let (first, found) = self.terms.catalog().find(feature);
            (first, found.len())
        };
        (first..first + count).find_map(|at| self.terms.refresh(at, day, &self.state))
    }

    /// The next change owed since a reload or a midnight, looking at no more than `budget` features; to be
    /// applied before the next call. Returns what is left of the budget.
    pub fn sweep(&mut self, budget: usize, day: NaiveDate) -> (Option<PoolChange>, usize) {
        self.terms.sweep(budget, day, &self.state)
    }

    /// Whether every pool is up to date with the day and the catalog.
    pub fn is_complete(&self) -> bool {
        self.terms.is_complete()
    }

    /// Puts a bundle on a connection (checkout, resume); returns the connection that loses it.
    pub fn attach(&mut self, id: BundleId, to: ConnectionId, tick: Tick) -> Option<ConnectionId> {
        let bundle = self.state.bundle(id)?;
        self.presence.attach(id, bundle, to, tick)
    }

    /// A connection is gone, last heard at `heard`. Its sessions stay for the rest of the lease (S12, S20).
    pub fn disconnect(&mut self, connection: ConnectionId, heard: Tick) {
        for id in self.presence.disconnect(connection, heard) {
            if let Some(bundle) = self.state.bundle(id) {
                let seats: Vec<_> = bundle.sessions().iter().map(|s| (s.pool, s.count)).collect();
                seats.into_iter().for_each(|(pool, count)| self.presence.no_longer_active(pool, count));
            }
        }
    }

    /// The sessions whose lease has ended by `tick`, at most about `limit` of them: changes to apply.
    /// `heard` tells when a connection was last heard; presence learns it from here, since heartbeats do not
    /// pass through the ledger (S12). Leases run on ticks alone: no step of the wall clock ends one (S70).
    pub fn leases_ended(
        &mut self,
        tick: Tick,
        limit: usize,
        heard: &mut dyn FnMut(ConnectionId) -> Option<Tick>,
    ) -> Vec<(Option<ConnectionId>, Change)> {
        let mut ended: Vec<(Option<ConnectionId>, Change)> = Vec::new();
        let mut taken: BTreeSet<BundleId> = BTreeSet::new();
        while let Some(id) = self.presence.due_connection(tick).filter(|_| ended.len() < limit) {
            match heard(id).filter(|at| at.saturating_add(self.presence.lease_ms()) > tick) {
                Some(at) => self.presence.heard(id, at),
                None => {
                    // Silent for a lease with the socket still open: its sessions end and the connection is told.
                    let bundles: Vec<BundleId> = self.presence.bundles_on(id).collect();
                    self.presence.heard(id, tick);
                    for bundle in bundles {
                        taken.insert(bundle);
                        self.end_bundle(bundle, Some(id), tick, &mut ended);
                    }
                }
            }
        }
        for (deadline, bundle) in self.presence.lost_in_order() {
            if deadline > tick || ended.len() >= limit {
                break;
            }
            if taken.insert(bundle) {
                self.end_bundle(bundle, None, tick, &mut ended);
            }
        }
        self.sweep_unheard(tick, limit, &mut ended);
        ended
    }

    /// Sessions from before the start that nobody asked about for a full lease.
    fn sweep_unheard(&mut self, tick: Tick, limit: usize, ended: &mut Vec<(Option<ConnectionId>, Change)>) {
        let Some(from) = self.presence.unheard_from(tick) else { return };
        let mut next = None;
        for (id, _) in self.state.bundles_between(from, self.presence.first_new()) {
            if ended.len() >= limit {
                next = Some(id);
                break;
            }
            if self.presence.is_unheard(id) {
                self.end_bundle(id, None, tick, ended);
            }
        }
        self.presence.swept_to(next);
    }

    fn end_bundle(
        &self,
        id: BundleId,
        on: Option<ConnectionId>,
        at: Tick,
        into: &mut Vec<(Option<ConnectionId>, Change)>,
    ) {
        let Some(bundle) = self.state.bundle(id) else { return };
        into.extend(bundle.sessions().iter().map(|s| {
            let session = SessionId(id.0 + u64::from(s.nth));
            (on, Change::Ended(Ended { session, cause: Cause::LeaseEnded, at }))
        }));
    }

    /// The next tick at which a lease may end; `None`: nothing is due by itself.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.presence.next_deadline()
    }
}
