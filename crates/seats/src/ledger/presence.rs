//! Who is connected, who is suspect, and since when (S12, S20 to S22). Never journaled: rebuilt at start as "just heard".
//!
//! A bundle is in one of three places. *Active*: on a connection that was heard within the lease. *Suspect*: its socket
//! closed, or nothing was heard for a lease; its seats are still its client's, but whoever needs them may have them from
//! a moment on, and at last they are reaped. *Unheard*: not seen since the server started, with one lease for all.
//!
//! A bundle that is *lent* (S40) is in none of them: whether its client is heard means nothing. It may be on a connection
//! all the same, that of whoever gives it back.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use super::state::{Bundle, Session};
use super::tally::Tally;
use crate::change::{BundleId, PoolId, SessionId, Tick};

/// How long before an idle seat is given away its client is warned.
pub const IDLE_WARNING_MS: u64 = 30_000;
/// How long a warning counts for the client that was refused, after it asked last: it may come back a while after the
/// warning has run out.
const WISH_MS: u64 = 2 * IDLE_WARNING_MS;

/// How long the server is patient with a client that is not heard, in milliseconds served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence after which a session is suspect (S20).
    pub lease_ms: u64,
    /// How long a suspect whose socket closed keeps its seats for sure (S21); one that fell silent had its lease.
    pub resume_window_ms: u64,
    /// How long a suspect stays whose seats nobody needs, from the moment it became one (S22).
    pub reap_after_ms: u64,
}

impl Patience {
    /// 5 s, and 15 min.
    pub const fn with_lease(lease_ms: u64) -> Patience {
        Patience { lease_ms, resume_window_ms: 5_000, reap_after_ms: 900_000 }
    }
}

/// A connection's number: assigned by the server, never reused while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

#[derive(Debug)]
struct Connection {
    /// When it is silent, as far as is known.
    deadline: Tick,
    is_silent: bool,
    bundles: BTreeSet<BundleId>,
    /// Sessions of these bundles.
    sessions: u32,
}

/// A client that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Since when it is suspect: its socket closed, or its lease was over.
    pub since: Tick,
    /// From when on its seats may be given to whoever needs them (S21, S22).
    pub free_at: Tick,
    /// When its sessions end though nobody needs them.
    pub reaped_at: Tick,
    /// Its last sign of life.
    pub heard: Tick,
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
    patience: Patience,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Of the connections that are not silent.
    deadlines: BTreeSet<(Tick, ConnectionId)>,
    silent: BTreeSet<ConnectionId>,
    /// The last of these that was looked at.
    looked_at: ConnectionId,
    on: BTreeMap<BundleId, ConnectionId>,
    suspects: BTreeMap<BundleId, Suspect>,
    /// By the moment they are reaped.
    reaping: BTreeSet<(Tick, BundleId)>,
    /// By the moment from which on their seats may be had; those it has come for are taken out.
    freeing: BTreeSet<(Tick, BundleId)>,
    /// The sessions of suspects by pool, those in front that have been suspect for longest.
    suspect_in: BTreeMap<PoolId, BTreeSet<(Tick, SessionId)>>,
    /// Seats whose client is there; the rest of a pool's used seats are suspect.
    active: BTreeMap<PoolId, Tally>,
    /// Bundles whose seats are lent.
    lent: BTreeSet<BundleId>,
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
        patience: Patience,
        first_old: Option<BundleId>,
        first_new: BundleId,
    ) -> Presence {
        Presence {
            started,
            patience,
            connections: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            silent: BTreeSet::new(),
            looked_at: ConnectionId(0),
            on: BTreeMap::new(),
            suspects: BTreeMap::new(),
            reaping: BTreeSet::new(),
            freeing: BTreeSet::new(),
            suspect_in: BTreeMap::new(),
            active: BTreeMap::new(),
            lent: BTreeSet::new(),
            warned: BTreeMap::new(),
            first_new,
            swept: first_old.unwrap_or(first_new),
        }
    }

    /// How long the server waits for whom.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// The connection a bundle is on; it may be silent.
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

    /// Seats of a pool whose client is there.
    pub fn active(&self, pool: PoolId) -> u64 {
        self.active.get(&pool).map_or(0, Tally::seats)
    }

    /// Whether a bundle's client is there.
    pub fn is_active(&self, id: BundleId) -> bool {
        self.on.contains_key(&id) && !self.suspects.contains_key(&id) && !self.lent.contains(&id)
    }

    /// Whether a client was not heard of: it is suspect, or was there before the start and has not come back yet. Not so who has
    /// just been granted something, and is on no connection yet.
    pub(super) fn was_gone(&self, id: BundleId) -> bool {
        self.suspects.contains_key(&id) || (id < self.first_new && self.is_unheard(id))
    }

    /// What is known of a client that is not heard; `None`: it is there, or its seats are lent.
    pub fn suspect(&self, id: BundleId) -> Option<Suspect> {
        if self.is_active(id) || self.lent.contains(&id) {
            return None;
        }
        Some(self.suspects.get(&id).copied().unwrap_or_else(|| self.unheard()))
    }

    /// When a client that is suspect was last heard; `None`: it is there, or was not heard since the start.
    pub(super) fn last_heard(&self, id: BundleId) -> Option<Tick> {
        self.suspects.get(&id).map(|suspect| suspect.heard).filter(|heard| *heard > self.started)
    }

    /// What holds for all that were not heard of since the start: they have a full lease (S21).
    fn unheard(&self) -> Suspect {
        let free_at = self.started.saturating_add(self.patience.lease_ms);
        let reaped_at = free_at.saturating_add(self.patience.reap_after_ms);
        Suspect { since: self.started, free_at, reaped_at, heard: self.started }
    }

    /// Whether a bundle's seats may be given to somebody who needs them (S21, S22).
    pub fn is_reclaimable(&self, id: BundleId, tick: Tick) -> bool {
        self.suspects.get(&id).is_some_and(|suspect| suspect.free_at <= tick)
    }

    /// The sessions of a pool whose clients are suspect, those first that have been for longest, each with when that
    /// began.
    pub fn suspects_in(&self, pool: PoolId) -> impl Iterator<Item = (Tick, SessionId)> + '_ {
        self.suspect_in.get(&pool).into_iter().flatten().copied()
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

    /// Whether sessions from before the start may still come back unheard (S21).
    pub fn is_recovering(&self, tick: Tick) -> bool {
        self.swept < self.first_new && tick < self.started.saturating_add(self.patience.lease_ms)
    }

    /// Puts a bundle on a connection, which is not silent; returns the one that had it before.
    pub(super) fn attach(
        &mut self,
        id: BundleId,
        bundle: &Bundle,
        to: ConnectionId,
        tick: Tick,
    ) -> Option<ConnectionId> {
        let was_active = self.is_active(id);
        self.trust(id, bundle);
        if !was_active && !self.lent.contains(&id) {
            bundle.sessions().iter().for_each(|session| self.is_there(session));
        }
        let before = self.on.insert(id, to);
        let sessions = u32::try_from(bundle.sessions().len()).unwrap_or(u32::MAX);
        if let Some(c) = before.and_then(|old| self.connections.get_mut(&old)) {
            c.bundles.remove(&id);
            c.sessions = c.sessions.saturating_sub(sessions);
        }
        self.listen_to(to, tick);
        if let Some(connection) = self.connections.get_mut(&to) {
            connection.bundles.insert(id);
            connection.sessions = connection.sessions.saturating_add(sessions);
        }
        before.filter(|old| *old != to)
    }

    /// A bundle's seats are lent: from now on it counts as neither active nor suspect.
    pub(super) fn lend(&mut self, id: BundleId, bundle: &Bundle) {
        if self.is_active(id) {
            bundle.sessions().iter().for_each(|session| self.is_there_no_more(session));
        }
        self.trust(id, bundle);
        self.lent.insert(id);
    }

    /// A bundle's client is suspect from now on; it was active, or unheard. One whose seats are lent never is.
    pub(super) fn distrust(&mut self, id: BundleId, bundle: &Bundle, [since, free_at, heard]: [Tick; 3]) {
        if self.lent.contains(&id) {
            return;
        }
        let reaped_at = since.saturating_add(self.patience.reap_after_ms);
        if self.is_active(id) {
            bundle.sessions().iter().for_each(|session| self.is_there_no_more(session));
        }
        self.suspects.insert(id, Suspect { since, free_at, reaped_at, heard });
        self.reaping.insert((reaped_at, id));
        self.freeing.insert((free_at, id));
        for session in bundle.sessions() {
            let number = SessionId(id.0 + u64::from(session.nth));
            self.suspect_in.entry(session.pool).or_default().insert((since, number));
        }
    }

    /// A bundle's client is suspect no more, or the bundle is gone.
    fn trust(&mut self, id: BundleId, bundle: &Bundle) {
        let Some(suspect) = self.suspects.remove(&id) else { return };
        self.reaping.remove(&(suspect.reaped_at, id));
        self.freeing.remove(&(suspect.free_at, id));
        for session in bundle.sessions() {
            self.not_suspect(suspect.since, SessionId(id.0 + u64::from(session.nth)), session.pool);
        }
    }

    fn not_suspect(&mut self, since: Tick, session: SessionId, pool: PoolId) {
        if let Some(of_pool) = self.suspect_in.get_mut(&pool) {
            of_pool.remove(&(since, session));
            if of_pool.is_empty() {
                self.suspect_in.remove(&pool);
            }
        }
    }

    /// A session has `after` seats from now on; `session` is how it was.
    pub(super) fn less(&mut self, id: BundleId, session: &Session, after: u32) {
        let number = SessionId(id.0 + u64::from(session.nth));
        if self.is_active(id) {
            if after > 0 {
                self.active.entry(session.pool).or_default().add(session.share(), after);
            }
            self.is_there_no_more(session);
        }
        if after > 0 {
            return;
        }
        self.warned.remove(&number);
        if let Some(suspect) = self.suspects.get(&id) {
            self.not_suspect(suspect.since, number, session.pool);
        }
        if let Some(c) = self.on.get(&id).and_then(|on| self.connections.get_mut(on)) {
            c.sessions = c.sessions.saturating_sub(1);
        }
    }

    /// A session was moved to another pool; `old` and `new` are how it was and how it is.
    pub(super) fn moved(&mut self, id: BundleId, old: &Session, new: &Session) {
        if self.is_active(id) {
            self.is_there(new);
            self.is_there_no_more(old);
        } else if let Some(since) = self.suspects.get(&id).map(|suspect| suspect.since) {
            let number = SessionId(id.0 + u64::from(old.nth));
            self.not_suspect(since, number, old.pool);
            self.suspect_in.entry(new.pool).or_default().insert((since, number));
        }
    }

    fn is_there(&mut self, session: &Session) {
        self.active.entry(session.pool).or_default().add(session.share(), session.count);
    }

    fn is_there_no_more(&mut self, session: &Session) {
        if let Some(active) = self.active.get_mut(&session.pool) {
            active.remove(session.share(), session.count);
            if active.is_empty() {
                self.active.remove(&session.pool);
            }
        }
    }

    /// A bundle is gone; all its sessions ended before.
    pub(super) fn forget(&mut self, id: BundleId) {
        if let Some(connection) = self.on.remove(&id)
            && let Some(c) = self.connections.get_mut(&connection)
        {
            c.bundles.remove(&id);
        }
        self.lent.remove(&id);
        if let Some(suspect) = self.suspects.remove(&id) {
            self.reaping.remove(&(suspect.reaped_at, id));
            self.freeing.remove(&(suspect.free_at, id));
        }
    }

    /// A connection is gone: the bundles that were on it are on none now. The caller distrusts those that were active.
    pub(super) fn disconnect(&mut self, gone: ConnectionId) -> BTreeSet<BundleId> {
        let Some(connection) = self.connections.remove(&gone) else { return BTreeSet::new() };
        self.deadlines.remove(&(connection.deadline, gone));
        self.silent.remove(&gone);
        connection.bundles
    }

    /// The bundle's connection is gone.
    pub(super) fn off(&mut self, id: BundleId) {
        self.on.remove(&id);
    }

    /// The connection whose lease is over, by what was known when its deadline was set.
    pub(super) fn due_connection(&self, tick: Tick) -> Option<ConnectionId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= tick).map(|(_, id)| *id)
    }

    /// Some of the connections that were silent for a lease when they were last looked at, those next that come after them.
    pub(super) fn some_silent(&mut self, limit: usize) -> Vec<ConnectionId> {
        let after = self.looked_at;
        let rest = self.silent.range((Bound::Excluded(after), Bound::Unbounded));
        let some: Vec<ConnectionId> = rest.chain(self.silent.range(..=after)).take(limit).copied().collect();
        self.looked_at = some.last().copied().unwrap_or(after);
        some
    }

    /// A connection was heard at `heard`: its deadline moves. Whether it had been silent: then its bundles are to be
    /// [`Presence::revive`]d.
    pub(super) fn heard(&mut self, id: ConnectionId, heard: Tick) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        self.deadlines.remove(&(connection.deadline, id));
        connection.deadline = heard.saturating_add(self.patience.lease_ms);
        self.deadlines.insert((connection.deadline, id));
        self.silent.remove(&id);
        core::mem::take(&mut connection.is_silent)
    }

    /// A connection was silent for a lease; its bundles are to be distrusted.
    pub(super) fn fell_silent(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.deadlines.remove(&(connection.deadline, id));
        connection.is_silent = true;
        self.silent.insert(id);
    }

    /// The client of a suspect bundle, on a connection that was silent, is heard again.
    pub(super) fn revive(&mut self, id: BundleId, bundle: &Bundle) {
        if self.suspects.contains_key(&id) {
            self.trust(id, bundle);
            bundle.sessions().iter().for_each(|session| self.is_there(session));
        }
    }

    /// Whether nothing was heard on a connection for a lease.
    pub(super) fn is_silent(&self, id: ConnectionId) -> bool {
        self.silent.contains(&id)
    }

    /// From now on a connection is listened to, though it may carry no bundle.
    pub(super) fn listen_to(&mut self, id: ConnectionId, tick: Tick) {
        let deadline = tick.saturating_add(self.patience.lease_ms);
        let (deadlines, connections) = (&mut self.deadlines, &mut self.connections);
        connections.entry(id).or_insert_with(|| {
            deadlines.insert((deadline, id));
            Connection { deadline, is_silent: false, bundles: BTreeSet::new(), sessions: 0 }
        });
    }

    /// Suspects whose seats may be had from now on; each once.
    pub(super) fn freed(&mut self, tick: Tick) -> Vec<BundleId> {
        let mut freed = Vec::new();
        while let Some((_, id)) = self.freeing.first().copied().filter(|(at, _)| *at <= tick) {
            self.freeing.pop_first();
            freed.push(id);
        }
        freed
    }

    /// Some of a suspect's seats may be had at another moment only.
    pub(super) fn free_again(&mut self, id: BundleId, at: Tick) {
        self.freeing.insert((at, id));
    }

    /// When the seats of a suspect may be had that may not yet.
    pub(super) fn next_freed(&self) -> Option<Tick> {
        self.freeing.first().map(|(at, _)| *at)
    }

    /// The suspects in the order in which they are reaped.
    pub(super) fn reaping(&self) -> impl Iterator<Item = (Tick, BundleId)> + '_ {
        self.reaping.iter().copied()
    }

    /// From which bundle on the unheard ones are to be looked at, once their lease is over.
    pub(super) fn unheard_from(&self, tick: Tick) -> Option<BundleId> {
        let is_due = self.swept < self.first_new && tick >= self.unheard().free_at;
        is_due.then_some(self.swept)
    }

    /// See the field.
    pub(super) fn first_new(&self) -> BundleId {
        self.first_new
    }

    /// Whether a bundle was not heard of since the start.
    pub(super) fn is_unheard(&self, id: BundleId) -> bool {
        !self.on.contains_key(&id) && !self.suspects.contains_key(&id) && !self.lent.contains(&id)
    }

    /// The unheard bundles below `next` have been dealt with; `None`: all.
    pub(super) fn swept_to(&mut self, next: Option<BundleId>) {
        self.swept = next.unwrap_or(self.first_new);
    }

    /// The next tick at which something here falls due.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        let sweep = (self.swept < self.first_new).then(|| self.unheard().free_at);
        let connection = self.deadlines.first().map(|(t, _)| *t);
        let reaped = self.reaping.first().map(|(t, _)| *t);
        [sweep, connection, reaped].into_iter().flatten().min()
    }
}
