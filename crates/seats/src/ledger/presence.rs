//! Who is connected, and who was last heard when (S12, S20). Never journaled: rebuilt at start as "just heard".
//!
//! A bundle is in one of three places: on a connection; *lost*, its connection gone, with a deadline; or
//! *unheard*, in none of the tables, not seen since the server started, with one deadline for all.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::change::{BundleId, PoolId, Tick};
use crate::ledger::state::Bundle;

/// A connection's number: assigned by the server, never reused while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[derive(Debug)]
struct Connection {
    deadline: Tick,
    bundles: BTreeSet<BundleId>,
    /// Sessions of these bundles.
    sessions: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Presence {
    started: Tick,
    lease_ms: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    deadlines: BTreeSet<(Tick, ConnectionId)>,
    on: BTreeMap<BundleId, ConnectionId>,
    lost: BTreeMap<BundleId, Tick>,
    lost_order: BTreeSet<(Tick, BundleId)>,
    /// Seats whose client is connected; the rest of a pool's used seats are suspect.
    active: BTreeMap<PoolId, u64>,
    /// The first number granted after the start: bundles below may be unheard.
    first_new: BundleId,
    /// Unheard bundles below this number have been dealt with.
    swept: BundleId,
}

impl Presence {
    /// `first_old`: the first bundle from before the start, `None` where there is none and nothing to recover.
    pub(super) fn new(
        started: Tick,
        lease_ms: u64,
        first_old: Option<BundleId>,
        first_new: BundleId,
    ) -> Presence {
        Presence {
            started,
            lease_ms,
            connections: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            on: BTreeMap::new(),
            lost: BTreeMap::new(),
            lost_order: BTreeSet::new(),
            active: BTreeMap::new(),
            first_new,
            swept: first_old.unwrap_or(first_new),
        }
    }

    /// How long a session may be silent, in milliseconds.
    pub fn lease_ms(&self) -> u64 {
        self.lease_ms
    }

    /// The connection a bundle is on.
    pub fn connection_of(&self, id: BundleId) -> Option<ConnectionId> {
        self.on.get(&id).copied()
    }

    /// The bundles on a connection.
    pub fn bundles_on(&self, id: ConnectionId) -> impl Iterator<Item = BundleId> + '_ {
        self.connections.get(&id).into_iter().flat_map(|c| c.bundles.iter().copied())
    }

    /// How many sessions a connection holds.
    pub fn sessions_on(&self, id: ConnectionId) -> u32 {
        self.connections.get(&id).map_or(0, |c| c.sessions)
    }

    /// Seats of a pool whose client is connected.
    pub fn active(&self, pool: PoolId) -> u64 {
        self.active.get(&pool).copied().unwrap_or(0)
    }

    /// When the lease of a bundle ends if nothing is heard; `None` while it is on a connection.
    pub fn lease_ends(&self, id: BundleId) -> Option<Tick> {
        if self.on.contains_key(&id) {
            return None;
        }
        Some(self.lost.get(&id).copied().unwrap_or(self.started.saturating_add(self.lease_ms)))
    }

    /// When the client of a lost bundle was last heard.
    pub fn lost_heard(&self, id: BundleId) -> Option<Tick> {
        self.lost.get(&id).map(|deadline| deadline.saturating_sub(self.lease_ms))
    }

    /// Whether sessions from before the start may still come back unheard (S21).
    pub fn is_recovering(&self, tick: Tick) -> bool {
        self.swept < self.first_new && tick < self.started.saturating_add(self.lease_ms)
    }

    /// Puts a bundle on a connection; returns the one that had it before.
    pub(super) fn attach(
        &mut self,
        id: BundleId,
        bundle: &Bundle,
        to: ConnectionId,
        tick: Tick,
    ) -> Option<ConnectionId> {
        let before = self.on.insert(id, to);
        let sessions = u32::try_from(bundle.sessions().len()).unwrap_or(u32::MAX);
        match before {
            Some(old) => {
                if let Some(c) = self.connections.get_mut(&old) {
                    c.bundles.remove(&id);
                    c.sessions = c.sessions.saturating_sub(sessions);
                }
            }
            None => {
                if let Some(deadline) = self.lost.remove(&id) {
                    self.lost_order.remove(&(deadline, id));
                }
                bundle
                    .sessions()
                    .iter()
                    .for_each(|s| *self.active.entry(s.pool).or_default() += u64::from(s.count));
            }
        }
        let deadline = tick.saturating_add(self.lease_ms);
        let (deadlines, connections) = (&mut self.deadlines, &mut self.connections);
        let connection = connections.entry(to).or_insert_with(|| {
            deadlines.insert((deadline, to));
            Connection { deadline, bundles: BTreeSet::new(), sessions: 0 }
        });
        connection.bundles.insert(id);
        connection.sessions = connection.sessions.saturating_add(sessions);
        before.filter(|old| *old != to)
    }

    /// Seats of a bundle are given back; `ends`: with them a session.
    pub(super) fn less(&mut self, id: BundleId, pool: PoolId, count: u32, ends: bool) {
        let Some(connection) = self.on.get(&id).copied() else { return };
        self.no_longer_active(pool, count);
        if let Some(c) = self.connections.get_mut(&connection).filter(|_| ends) {
            c.sessions = c.sessions.saturating_sub(1);
        }
    }

    /// Seats of a pool are given back, or their client is gone.
    pub(super) fn no_longer_active(&mut self, pool: PoolId, count: u32) {
        if let Some(seats) = self.active.get_mut(&pool) {
            *seats -= u64::from(count);
            if *seats == 0 {
                self.active.remove(&pool);
            }
        }
    }

    /// A bundle is gone.
    pub(super) fn forget(&mut self, id: BundleId) {
        if let Some(connection) = self.on.remove(&id)
            && let Some(c) = self.connections.get_mut(&connection)
        {
            c.bundles.remove(&id);
        }
        if let Some(deadline) = self.lost.remove(&id) {
            self.lost_order.remove(&(deadline, id));
        }
    }

    /// A connection is gone; it was last heard at `heard`. Its bundles are lost from now on, with what is left of the lease.
    pub(super) fn disconnect(&mut self, gone: ConnectionId, heard: Tick) -> BTreeSet<BundleId> {
        let Some(connection) = self.connections.remove(&gone) else { return BTreeSet::new() };
        self.deadlines.remove(&(connection.deadline, gone));
        let deadline = heard.saturating_add(self.lease_ms);
        for id in &connection.bundles {
            self.on.remove(id);
            self.lost.insert(*id, deadline);
            self.lost_order.insert((deadline, *id));
        }
        connection.bundles
    }

    /// The connection whose deadline has come, by what was known when it was set.
    pub(super) fn due_connection(&self, tick: Tick) -> Option<ConnectionId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= tick).map(|(_, id)| *id)
    }

    /// A connection was heard at `heard`: its deadline moves.
    pub(super) fn heard(&mut self, id: ConnectionId, heard: Tick) {
        if let Some(connection) = self.connections.get_mut(&id) {
            self.deadlines.remove(&(connection.deadline, id));
            connection.deadline = heard.saturating_add(self.lease_ms);
            self.deadlines.insert((connection.deadline, id));
        }
    }

    /// The lost bundles, those whose lease ends first in front.
    pub(super) fn lost_in_order(&self) -> impl Iterator<Item = (Tick, BundleId)> + '_ {
        self.lost_order.iter().copied()
    }

    /// From which bundle on the unheard ones are to be looked at, once the deadline of all has come.
    pub(super) fn unheard_from(&self, tick: Tick) -> Option<BundleId> {
        let is_due = self.swept < self.first_new && tick >= self.started.saturating_add(self.lease_ms);
        is_due.then_some(self.swept)
    }

    /// See the field.
    pub(super) fn first_new(&self) -> BundleId {
        self.first_new
    }

    /// Whether a bundle was not heard of since the start.
    pub(super) fn is_unheard(&self, id: BundleId) -> bool {
        !self.on.contains_key(&id) && !self.lost.contains_key(&id)
    }

    /// The unheard bundles below `next` have been dealt with; `None`: all.
    pub(super) fn swept_to(&mut self, next: Option<BundleId>) {
        self.swept = next.unwrap_or(self.first_new);
    }

    /// The next tick at which something here falls due.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let sweep = (self.swept < self.first_new).then(|| self.started.saturating_add(self.lease_ms));
        let connection = self.deadlines.first().map(|(t, _)| *t);
        let lost = self.lost_order.first().map(|(t, _)| *t);
        [sweep, connection, lost].into_iter().flatten().min()
    }
}
