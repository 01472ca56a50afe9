//! Who is connected, and who was last heard when (S12, S20). Never journaled: rebuilt at start as "just heard".
//!
//! A bundle is in one of three places: on a connection; *lost*, its connection gone, with a deadline; or
//! *unheard*, in none of the tables, not seen since the server started, with one deadline for all.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use super::state::{Bundle, Session};
use super::tally::Tally;
use crate::change::{BundleId, PoolId, SessionId, Tick};

/// How long a bundle whose socket closed keeps its seats for sure (S21).
pub const RESUME_WINDOW_MS: u64 = 5_000;
/// How long before an idle seat is given away its client is warned.
pub const IDLE_WARNING_MS: u64 = 30_000;
/// How long a warning counts for the client that was refused, after it asked last: it may come back a while after the
/// warning has run out.
const WISH_MS: u64 = 2 * IDLE_WARNING_MS;

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

/// A bundle whose connection is gone.
#[derive(Clone, Copy, Debug)]
struct Lost {
    deadline: Tick,
    closed: Tick,
}

/// The client of an idle session was warned that its seats are wanted (S50).
#[derive(Debug)]
struct Warning {
    at: Tick,
    /// The client whose refused request it counts for; `None`: that one has been granted something since.
    wanted_by: Option<Arc<str>>,
    /// When that one asked last.
    asked: Tick,
}

/// See the module.
#[derive(Debug)]
pub struct Presence {
    started: Tick,
    lease_ms: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    deadlines: BTreeSet<(Tick, ConnectionId)>,
    on: BTreeMap<BundleId, ConnectionId>,
    lost: BTreeMap<BundleId, Lost>,
    lost_order: BTreeSet<(Tick, BundleId)>,
    /// Seats whose client is connected; the rest of a pool's used seats are suspect.
    active: BTreeMap<PoolId, Tally>,
    /// Sessions whose client was warned that its idle seat is wanted: never more than there are sessions.
    warned: BTreeMap<SessionId, Warning>,
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
            warned: BTreeMap::new(),
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
        self.active.get(&pool).map_or(0, Tally::seats)
    }

    /// When the lease of a bundle ends if nothing is heard; `None` while it is on a connection.
    pub fn lease_ends(&self, id: BundleId) -> Option<Tick> {
        if self.on.contains_key(&id) {
            return None;
        }
        Some(self.lost.get(&id).map_or(self.started.saturating_add(self.lease_ms), |lost| lost.deadline))
    }

    /// The last sign of life of a bundle that is on no connection.
    pub fn last_life(&self, id: BundleId) -> Tick {
        self.lost_heard(id).unwrap_or(self.started)
    }

    /// Whether a bundle's seats may be given to somebody who needs them: its socket closed a resume window ago or
    /// longer (S21, S22).
    pub fn is_reclaimable(&self, id: BundleId, tick: Tick) -> bool {
        self.lost.get(&id).is_some_and(|lost| lost.closed.saturating_add(RESUME_WINDOW_MS) <= tick)
    }

    /// When the socket of a lost bundle closed.
    pub fn closed_at(&self, id: BundleId) -> Option<Tick> {
        self.lost.get(&id).map(|lost| lost.closed)
    }

    /// When a session's client was warned that its idle seat is wanted.
    pub fn warned_at(&self, id: SessionId) -> Option<Tick> {
        self.warned.get(&id).map(|warning| warning.at)
    }

    /// Whether a warning counts for another client than this one, which was refused lately and has not got anything since.
    pub(super) fn is_warned_for_another(&self, id: SessionId, client: &str, tick: Tick) -> bool {
        let of = self.warned.get(&id);
        let lately = of.filter(|warning| tick < warning.asked.saturating_add(WISH_MS));
        lately.and_then(|warning| warning.wanted_by.as_deref()).is_some_and(|other| other != client)
    }

    /// A session's client is warned, if it was not, and the warning counts for this client from now on.
    pub(super) fn warn(&mut self, id: SessionId, wanted_by: &Arc<str>, tick: Tick) {
        let new = || Warning { at: tick, wanted_by: None, asked: tick };
        let warning = self.warned.entry(id).or_insert_with(new);
        warning.wanted_by = Some(wanted_by.clone());
        warning.asked = tick;
    }

    /// A session's client has done something since it was warned.
    pub(super) fn woke(&mut self, id: SessionId) {
        self.warned.remove(&id);
    }

    /// A client was granted seats: what was warned for it counts for whoever asks next.
    pub(super) fn wants_no_more(&mut self, client: &str) {
        let of_client = |warning: &&mut Warning| warning.wanted_by.as_deref() == Some(client);
        self.warned.values_mut().filter(of_client).for_each(|warning| warning.wanted_by = None);
    }

    /// Whether nobody is warned.
    pub(super) fn nobody_is_warned(&self) -> bool {
        self.warned.is_empty()
    }

    /// When the client of a lost bundle was last heard.
    pub fn lost_heard(&self, id: BundleId) -> Option<Tick> {
        self.lost.get(&id).map(|lost| lost.deadline.saturating_sub(self.lease_ms))
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
                if let Some(lost) = self.lost.remove(&id) {
                    self.lost_order.remove(&(lost.deadline, id));
                }
                let active = &mut self.active;
                bundle
                    .sessions()
                    .iter()
                    .for_each(|s| active.entry(s.pool).or_default().add(s.share(), s.count));
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

    /// A session has `after` seats from now on; `session` is how it was.
    pub(super) fn less(&mut self, id: BundleId, session: &Session, after: u32) {
        if after == 0 {
            self.warned.remove(&SessionId(id.0 + u64::from(session.nth)));
        }
        let Some(connection) = self.on.get(&id).copied() else { return };
        if after > 0
            && let Some(active) = self.active.get_mut(&session.pool)
        {
            active.add(session.share(), after);
        }
        self.no_longer_active(session);
        if let Some(c) = self.connections.get_mut(&connection).filter(|_| after == 0) {
            c.sessions = c.sessions.saturating_sub(1);
        }
    }

    /// A session was moved to another pool; `old` and `new` are how it was and how it is.
    pub(super) fn moved(&mut self, id: BundleId, old: &Session, new: &Session) {
        if self.on.contains_key(&id) {
            self.active.entry(new.pool).or_default().add(new.share(), new.count);
            self.no_longer_active(old);
        }
    }

    /// The seats of a session are not active any more: given back, or their client is gone.
    pub(super) fn no_longer_active(&mut self, session: &Session) {
        if let Some(active) = self.active.get_mut(&session.pool) {
            active.remove(session.share(), session.count);
            if active.is_empty() {
                self.active.remove(&session.pool);
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
        if let Some(lost) = self.lost.remove(&id) {
            self.lost_order.remove(&(lost.deadline, id));
        }
    }

    /// A connection is gone, closed now and last heard at `heard`. Its bundles are lost from now on, with what is left
    /// of the lease.
    pub(super) fn disconnect(&mut self, gone: ConnectionId, heard: Tick, closed: Tick) -> BTreeSet<BundleId> {
        let Some(connection) = self.connections.remove(&gone) else { return BTreeSet::new() };
        self.deadlines.remove(&(connection.deadline, gone));
        let deadline = heard.saturating_add(self.lease_ms);
        for id in &connection.bundles {
            self.on.remove(id);
            self.lost.insert(*id, Lost { deadline, closed });
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
