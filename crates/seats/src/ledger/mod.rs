//! Who holds which seats: durable [`State`], [`Presence`], and the terms of the licenses in force.
//!
//! The engine owns the one [`Ledger`] and drives it in three steps: `decide_*` looks and mutates nothing,
//! [`Ledger::apply`] brings an accepted [`Change`] in and cannot fail, and presence is told who is
//! connected. Before deciding about a feature the engine asks [`Ledger::refresh`] for it, so that no request
//! meets another day's totals (L21).

mod decide;
mod presence;
mod queue;
mod state;
mod tally;
mod terms;
mod usage;
mod view;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

pub use decide::{
    Advice, BookRequest, CANDIDATES_MAX, Candidate, CandidateAnswer, CheckinOutcome, CheckoutOutcome,
    Explanation, IdleWish, LENT_BYTES_MAX, LimitUse, PoolVerdict, ReservationUse, Served, UpdateAnswer,
    UpdateQuestion, Verdict, WillNotRun,
};
pub use presence::{ConnectionId, IDLE_WARNING_MS, Patience, Presence, Suspect};
pub use queue::{CONFIRM_MS, Queue, QueueLimits};
pub use state::{
    Borrow, Bundle, FirstCheckouts, Gone, Highest, Inconsistent, KEY_KEPT_MS, KEYS_KEPT_MAX, Pool, Session,
    State,
};
pub use tally::Tally;
pub use terms::{Owed, PoolChange};
pub use view::{BorrowView, Counters, GrantView, LentView, Presentation, SessionGrant, SessionView};

use self::usage::Usage;
use crate::catalog::Catalog;
use crate::change::{
    BookingEnded, BundleId, Change, Moved, MovedSession, PoolId, PoolKind, SessionId, Tick, Unheld,
};
use crate::license::License;
use crate::policy::Policy;
use crate::request::{Facts, NameRules};
use crate::wall::WallClock;

/// How many sessions one change moves to another pool: a record of the journal stays small.
const MOVED_AT_ONCE: usize = 1_000;
/// How many bundles a step counts anew for a new policy: about a millisecond of work.
const COUNTED_AT_ONCE: usize = 500;
/// How many silent connections are looked at in a step, to see whether they are heard again.
const SILENT_A_STEP: usize = 64;

/// The moment of a decision: time arrives as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds served.
    pub tick: Tick,
    /// The server's civil day, never lower than the highest served (S71).
    pub day: NaiveDate,
    /// Whether the wall clock that gave it can be trusted (S71).
    pub clock: WallClock,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    state: State,
    presence: Presence,
    terms: terms::Terms,
    names: NameRules,
    /// The fingerprint of the server's identity key, for what is recorded of it.
    server: Arc<str>,
    usage: Usage,
    /// A new policy, until everything its rules count is counted.
    coming: Option<Usage>,
    /// What earlier policies counted: freed in slices too.
    retired: Vec<Usage>,
    queue: Queue,
}

/// For how many milliseconds a connection's user has done nothing, as far as its client reports it (`idle D when wanted`).
pub type IdleMs<'a> = &'a dyn Fn(ConnectionId) -> Option<u64>;

/// A session whose client was suspect for so long that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent {
    /// Which.
    pub session: SessionId,
    /// The connection it is still on, if its socket is open.
    pub on: Option<ConnectionId>,
    /// Its last sign of life.
    pub heard: Tick,
}

impl Ledger {
    /// A ledger over a state read from disk. Every session in it counts as just heard, with a full lease (S21).
    /// It grants nothing until [`Ledger::replace_catalog`].
    pub fn new(state: State, started: Tick, patience: Patience, names: NameRules) -> Ledger {
        let first_new = state.next_session();
        let first_old = state.bundles_between(SessionId(0), first_new).next().map(|(id, _)| id);
        let mut presence = Presence::new(started, patience, first_old, first_new);
        for (id, _) in state.borrows_from(SessionId(0)) {
            if let Some(bundle) = state.bundle(id) {
                presence.lend(id, bundle);
            }
        }
        let mut usage = Usage::new(Arc::new(Policy::open()), names, BTreeSet::new());
        while !usage.count_more(&state, COUNTED_AT_ONCE) {}
        let mut ledger = Ledger {
            state,
            presence,
            terms: terms::Terms::new(),
            names,
            server: "".into(),
            usage,
            coming: None,
            retired: Vec::new(),
            queue: Queue::default(),
        };
        ledger.expect_waiters(started);
        ledger
    }

    /// Names the server, by the fingerprint of its identity key, for first checkouts that are recorded from now on.
    pub fn serve_as(&mut self, server: Arc<str>) {
        self.server = server;
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

    /// The policy decided by.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.usage.policy
    }

    /// Brings an accepted change in.
    ///
    /// # Panics
    /// If the change was not decided on this ledger as it is: a bug, see [`State::apply`].
    pub fn apply(&mut self, tick: Tick, change: &Change) {
        let touched = self.touched(change);
        let bundle = touched.first().and_then(|t| Some((t.bundle, self.state.bundle(t.bundle)?.key)));
        let fed = (self.fed_by(change), self.wanted_by(change));
        self.state.apply(tick, change);
        match change {
            Change::Granted(granted) => {
                self.count_granted(granted.bundle);
                self.wish_is_granted(&granted.facts);
            }
            Change::Borrowed(borrowed) => {
                if let Some(bundle) = self.state.bundle(borrowed.bundle) {
                    self.presence.lend(borrowed.bundle, bundle);
                }
            }
            Change::FirstCheckout(first) => self.terms.forget_order(&first.vendor, &first.feature),
            _ => touched.iter().for_each(|t| self.follow(t, change)),
        }
        if let Some((gone, _)) = bundle.filter(|(id, _)| self.state.bundle(*id).is_none()) {
            self.presence.forget(gone);
        }
        self.follow_queue(tick, change, fed, bundle);
    }

    /// The sessions that a change is about, as they were before it.
    fn touched(&self, change: &Change) -> Vec<Touched> {
        let of = |session: SessionId, given: Option<u32>| {
            let ((bundle, at), whole) = self.state.session(session)?;
            let left = whole.count - given.unwrap_or(whole.count);
            let touched = |s: &Session| Touched {
                bundle,
                facts: at.facts.clone(),
                before: s.clone(),
                after: s.count / whole.count * left,
            };
            Some(at.with_dependents(whole.nth).map(touched).collect())
        };
        match change {
            Change::CheckedIn(c) => of(c.session, Some(c.count)).unwrap_or_default(),
            Change::Ended(e) => of(e.session, None).unwrap_or_default(),
            Change::Moved(m) => {
                let session = |m: &MovedSession| {
                    let ((bundle, at), s) = self.state.session(m.session)?;
                    Some(Touched { bundle, facts: at.facts.clone(), before: s.clone(), after: s.count })
                };
                m.sessions.iter().filter_map(session).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Brings presence and what the policy counts after a change of a session.
    fn follow(&mut self, touched: &Touched, change: &Change) {
        let Touched { bundle, facts, before, after } = touched;
        let mut usages = Usages { state: &self.state, now: &mut self.usage, coming: self.coming.as_mut() };
        if let Change::Moved(_) = change {
            let number = SessionId(bundle.0 + u64::from(before.nth));
            let Some((_, new)) = self.state.session(number) else { return };
            self.presence.moved(*bundle, before, new);
            usages.change(*bundle, facts, before, None, before.count);
            usages.change(*bundle, facts, new, Some(new.count), 0);
        } else {
            self.presence.less(*bundle, before, *after);
            usages.change(*bundle, facts, before, Some(*after), before.count);
        }
    }

    fn count_granted(&mut self, id: BundleId) {
        let Some(bundle) = self.state.bundle(id) else { return };
        let mut usages = Usages { state: &self.state, now: &mut self.usage, coming: self.coming.as_mut() };
        for session in bundle.sessions() {
            usages.change(id, &bundle.facts, session, Some(session.count), 0);
        }
    }

    /// Takes a new policy (S50). It is in force as soon as everything its rules count is counted: at once where there
    /// are few sessions, else after some calls of [`Ledger::sweep_policy`]. It touches no session.
    pub fn replace_policy(&mut self, policy: Arc<Policy>) {
        let coming = Usage::new(policy, self.names, self.usage.with_hold().clone());
        self.retired.extend(self.coming.replace(coming));
        self.sweep_policy();
    }

    /// Counts on for a new policy; `true`: the policy taken last is in force.
    pub fn sweep_policy(&mut self) -> bool {
        if let Some(retired) = self.retired.last_mut()
            && retired.free(COUNTED_AT_ONCE)
        {
            self.retired.pop();
        }
        let Some(coming) = &mut self.coming else { return true };
        if coming.count_more(&self.state, COUNTED_AT_ONCE)
            && let Some(ready) = self.coming.take()
        {
            self.retired.push(core::mem::replace(&mut self.usage, ready));
            self.feed_all();
        }
        self.coming.is_none()
    }

    /// Takes a new set of licenses whole (L6). Until [`Ledger::is_complete`] the engine applies what
    /// [`Ledger::sweep`] owes; requests are right from now on.
    pub fn replace_catalog(&mut self, catalog: Arc<Catalog>, day: NaiveDate) {
        self.terms.replace(catalog, day);
        self.feed_all();
    }

    /// A new day begins: the pools with a date at this boundary are owed. The caller has applied `DayServed`.
    pub fn begin_day(&mut self, day: NaiveDate) {
        self.terms.new_day(day);
        self.feed_all();
    }

    /// The day used for grants goes back: a clock that had jumped ahead was set right (S71). Every pool is owed again.
    pub fn return_to_day(&mut self, day: NaiveDate) {
        self.terms.begin_again(day);
    }

    /// Brings the pools of one feature name to the day, and of what its tokens take; at most one change a call, to be
    /// applied before the next.
    pub fn refresh(&mut self, feature: &str, day: NaiveDate) -> Option<Owed> {
        let (first, count) = {
            let (first, found) = self.terms.catalog().find(feature);
            (first, found.len())
        };
        for at in first..first + count {
            if let Some(owed) = self.refresh_at(at, day) {
                return Some(owed);
            }
            for needed in self.needed_features(at, day) {
                if let Some(owed) = self.refresh_at(needed, day) {
                    return Some(owed);
                }
            }
        }
        None
    }

    fn refresh_at(&mut self, at: usize, day: NaiveDate) -> Option<Owed> {
        let owed = self.terms.refresh(at, day, &self.state).map(Owed::Pool);
        self.count_holds();
        let orphaned = self.terms.orphaned(Some(at)).filter(|_| owed.is_none());
        owed.or_else(|| orphaned.and_then(|at| self.next_move(at)))
    }

    /// The next change owed since a reload or a midnight, looking at no more than `budget` features; to be
    /// applied before the next call. Returns what is left of the budget.
    pub fn sweep(&mut self, budget: usize, day: NaiveDate) -> (Option<Owed>, usize) {
        let (change, left) = self.terms.sweep(budget, day, &self.state);
        self.count_holds();
        if let Some(change) = change {
            return (Some(Owed::Pool(change)), left);
        }
        while let Some(at) = self.terms.orphaned(None) {
            if let Some(moved) = self.next_move(at) {
                return (Some(moved), left.saturating_sub(1));
            }
        }
        (None, left)
    }

    /// Where a license with HOLD has come, its clients are counted from now on.
    fn count_holds(&mut self) {
        for at in self.terms.take_with_hold() {
            let catalog = self.terms.catalog().clone();
            let feature = &catalog.features()[at as usize];
            self.usage.begin_hold(&feature.vendor, &feature.feature, &self.state);
            if let Some(coming) = &mut self.coming {
                coming.begin_hold(&feature.vendor, &feature.feature, &self.state);
            }
        }
    }

    /// L39: the next sessions whose pool is gone and that another pool of the feature would grant, even beyond its
    /// total; `None`: those that are left stand alone.
    fn next_move(&mut self, at: usize) -> Option<Owed> {
        let feature = &self.terms.catalog().features()[at];
        let (vendor, name) = (&feature.vendor, &feature.feature);
        let targets: Vec<(PoolId, &Arc<License>)> =
            self.terms.pools(at).filter(|(_, l)| l.count.is_some()).collect();
        let mut moved: Option<Moved> = None;
        // Of the pool they move to: seats more in use, and the largest count of each share group that moves.
        let mut added = 0;
        let mut largest: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        let gone = self.state.pools_of(vendor, name).iter();
        let gone = gone.filter(|(kind, _)| *kind != PoolKind::Token && !self.terms.is_alive(at, kind));
        'pools: for (_, from) in gone {
            for number in self.state.sessions_of(*from) {
                let Some(((_, bundle), session)) = self.state.session(number) else { continue };
                let fits = |(_, license): &&(PoolId, &Arc<License>)| {
                    self.would_take(feature, license, session, &bundle.facts)
                };
                let is_lent = self.state.borrow_of(number).is_some();
                let share_in = |license: &License| match session.token() {
                    // What a token takes shares as the token does (L60, L51).
                    Some(_) => session.share().cloned(),
                    // Who has it is not where others could share it (S40).
                    None if is_lent => None,
                    None => decide::share_key(self.names, license, &bundle.facts),
                };
                let is_batch = |pool: PoolId| moved.as_ref().is_some_and(|m: &Moved| m.to == pool);
                let adds = |pool: PoolId, share: Option<&Arc<str>>| {
                    let tally = self.state.pool(pool).map(|p| &p.tally);
                    let part = [(share.map(|key| &**key), session.count)];
                    let alone = tally::after(tally, &[], &part) - tally::after(tally, &[], &[]);
                    let fellow = share.filter(|_| is_batch(pool)).and_then(|key| largest.get(key));
                    alone.min(u64::from(session.count.saturating_sub(fellow.copied().unwrap_or(0))))
                };
                let has_room = |(pool, license): &&(PoolId, &Arc<License>)| {
                    let more =
                        adds(*pool, share_in(license).as_ref()) + if is_batch(*pool) { added } else { 0 };
                    let n = self.state.pool(*pool);
                    n.is_some_and(|p| {
                        p.total.limited().is_none_or(|total| p.used() + p.held + more <= u64::from(total))
                    })
                };
                let takes = || targets.iter().filter(fits);
                let Some((to, license)) = takes().find(has_room).or_else(|| takes().next()) else { continue };
                let share = share_in(license);
                let more = adds(*to, share.as_ref());
                let batch = moved.get_or_insert_with(|| Moved { to: *to, sessions: Vec::new() });
                if batch.to != *to || batch.sessions.len() >= MOVED_AT_ONCE {
                    break 'pools;
                }
                added += more;
                if let Some(key) = &share {
                    let before = largest.entry(key.clone()).or_default();
                    *before = session.count.max(*before);
                }
                batch.sessions.push(MovedSession { session: number, share });
            }
        }
        if moved.is_none() {
            self.terms.is_moved(at);
        }
        moved.map(Owed::Moved)
    }

    /// Whether every pool is up to date with the day and the catalog, and the policy taken last in force.
    pub fn is_complete(&self) -> bool {
        self.terms.is_complete() && self.coming.is_none() && self.retired.is_empty()
    }

    /// Puts a bundle on a connection (checkout, resume); returns the connection that loses it.
    pub fn attach(&mut self, id: BundleId, to: ConnectionId, tick: Tick) -> Option<ConnectionId> {
        // Whoever asks for it on a connection was heard there.
        self.hear(to, tick);
        self.attach_unasked(id, to, tick)
    }

    /// As [`Ledger::attach`], where the server gives and the client has said nothing: it counts as heard when it was (S20).
    pub fn attach_unasked(&mut self, id: BundleId, to: ConnectionId, tick: Tick) -> Option<ConnectionId> {
        let bundle = self.state.bundle(id)?;
        let is_back = self.presence.was_gone(id);
        let loser = self.presence.attach(id, bundle, to, tick);
        if is_back {
            self.feed_behind(&[id]);
        }
        loser
    }

    /// A connection is gone, last heard at `heard`. Its sessions are suspect from now on, unless they were before (S20,
    /// S21).
    pub fn disconnect(&mut self, connection: ConnectionId, heard: Tick, now: Tick) {
        let free_at = now.saturating_add(self.presence.patience().resume_window_ms);
        for id in self.presence.disconnect(connection) {
            let Some(bundle) = self.state.bundle(id) else { continue };
            if self.presence.is_active(id) {
                self.presence.distrust(id, bundle, [now, free_at, heard]);
            }
            self.presence.off(id);
        }
        self.lose_waiters(connection, now);
    }

    /// Looks at who has been silent, and is heard again or not yet: at the beginning of each step, before anything is
    /// decided. Of those that are silent some are looked at in each call, in turn; who is heard again is better told at once by
    /// [`Ledger::hear`]. At most about `limit` connections and bundles fall silent in one call. `heard` tells when a connection was
    /// last heard; presence learns it from here, since heartbeats do not pass through the ledger (S12). Leases run on
    /// ticks alone: no step of the wall clock makes a session suspect (S70).
    pub fn listen(&mut self, tick: Tick, limit: usize, heard: &dyn Fn(ConnectionId) -> Option<Tick>) {
        let lease_ms = self.presence.patience().lease_ms;
        let fresh = |id: ConnectionId| heard(id).filter(|at| at.saturating_add(lease_ms) > tick);
        let again = self.presence.some_silent(SILENT_A_STEP);
        let again: Vec<_> = again.into_iter().filter_map(|id| Some((id, fresh(id)?))).collect();
        for (id, at) in again {
            self.hear(id, at);
        }
        for _ in 0..limit {
            let Some(id) = self.presence.due_connection(tick) else { break };
            if let Some(at) = fresh(id) {
                self.hear(id, at);
                continue;
            }
            let last = heard(id).unwrap_or(tick.saturating_sub(lease_ms));
            let since = last.saturating_add(lease_ms).min(tick);
            let bundles: Vec<BundleId> = self.presence.bundles_on(id).collect();
            for bundle in bundles {
                if let Some(found) = self.state.bundle(bundle) {
                    self.presence.distrust(bundle, found, [since, since, last]);
                }
            }
            self.presence.fell_silent(id);
            self.place_connection(id, since);
        }
        self.sweep_unheard(tick, limit);
        self.feed_due(tick);
    }

    /// A connection was heard at that tick. Where it had been silent, its sessions are active again (S20).
    pub fn hear(&mut self, id: ConnectionId, at: Tick) {
        if self.presence.heard(id, at) {
            let bundles: Vec<BundleId> = self.presence.bundles_on(id).collect();
            for bundle in &bundles {
                if let Some(found) = self.state.bundle(*bundle) {
                    self.presence.revive(*bundle, found);
                }
            }
            self.feed_behind(&bundles);
            self.place_connection(id, at);
        }
    }

    /// Sessions from before the start that nobody asked about for a full lease are suspect (S21).
    fn sweep_unheard(&mut self, tick: Tick, limit: usize) {
        let Some(from) = self.presence.unheard_from(tick) else { return };
        let mut next = None;
        let unheard = self.state.bundles_between(from, self.presence.first_new());
        for (looked_at, (id, bundle)) in unheard.enumerate() {
            if looked_at >= limit {
                next = Some(id);
                break;
            }
            if self.presence.is_unheard(id)
                && let Some(suspect) = self.presence.suspect(id)
            {
                self.presence.distrust(id, bundle, [suspect.free_at, suspect.free_at, suspect.heard]);
            }
        }
        self.presence.swept_to(next);
    }

    /// The sessions that nobody needed and whose clients were suspect for long enough, at most about `limit` of them: each
    /// to be ended by [`Ledger::ending`], one after the other (S22).
    pub fn reaped(&self, tick: Tick, limit: usize) -> Vec<Silent> {
        let mut ended: Vec<Silent> = Vec::new();
        for (at, bundle) in self.presence.reaping() {
            if at > tick || ended.len() >= limit {
                break;
            }
            let heard = self.presence.suspect(bundle).map_or(tick, |suspect| suspect.heard);
            self.silent(bundle, self.presence.connection_of(bundle), heard, &mut ended);
        }
        ended
    }

    /// The sessions of a bundle that end by themselves: what a token took ends with it.
    fn silent(&self, id: BundleId, on: Option<ConnectionId>, heard: Tick, into: &mut Vec<Silent>) {
        let Some(bundle) = self.state.bundle(id) else { return };
        let own = bundle.sessions().iter().filter(|s| s.token().is_none());
        into.extend(own.map(|s| Silent { session: SessionId(id.0 + u64::from(s.nth)), on, heard }));
    }

    /// Holds and bookings whose time is over, at most `limit` of each: changes to apply, before anything is decided.
    pub fn due(&self, tick: Tick, limit: usize) -> Vec<Change> {
        let holds = self.state.holds_by_end().take_while(|held| held.until <= tick).take(limit);
        let freed = holds.map(|held| Change::Unheld(Unheld { hold: held.hold, seats: held.seats }));
        let bookings = self.state.bookings_by_end().take_while(|b| b.until <= tick).take(limit);
        freed.chain(bookings.map(|b| Change::BookingEnded(BookingEnded { booking: b.booking }))).collect()
    }

    /// Sessions that were lent and whose time is over (S42): by the wall clock, if it can be trusted, and where the server
    /// ran throughout also by ticks. At most about `limit`; each to be ended by [`Ledger::ending`], one after the other.
    /// `unix_s` is what the wall clock shows.
    pub fn borrows_over(&self, now: Now, unix_s: i64, limit: usize) -> Vec<SessionId> {
        let mut over = Vec::new();
        if !now.clock.is_settled() {
            return over;
        }
        for (_, id) in self.state.borrows_by_end().take_while(|(until, _)| *until <= unix_s) {
            let (Some(bundle), Some(borrow)) = (self.state.bundle(id), self.state.borrow(id)) else {
                continue;
            };
            if id >= self.presence.first_new() && now.tick < borrow.due {
                continue;
            }
            over.extend(bundle.sessions().iter().map(|s| SessionId(id.0 + u64::from(s.nth))));
            if over.len() >= limit {
                break;
            }
        }
        over
    }

    /// How many milliseconds from now the next borrow may end, if the wall clock goes on as it goes; `None`: nothing is
    /// lent.
    pub fn next_borrow_end(&self, now: Now, unix_ms: i64) -> Option<u64> {
        let (until, id) = self.state.borrows_by_end().next()?;
        let by_wall = until.saturating_mul(1_000).saturating_sub(unix_ms).max(0).unsigned_abs();
        let due = self.state.borrow(id).map_or(0, |borrow| borrow.due);
        let by_ticks = if id >= self.presence.first_new() { due.saturating_sub(now.tick) } else { 0 };
        Some(by_wall.max(by_ticks))
    }

    /// The next tick at which somebody may fall silent or be reaped, or a hold or a booking end; `None`: nothing is due by itself.
    pub fn next_deadline(&self) -> Option<Tick> {
        let hold = self.state.holds_by_end().next().map(|held| held.until);
        let booking = self.state.bookings_by_end().next().map(|b| b.until);
        [self.presence.next_deadline(), hold, booking, self.next_in_queue()].into_iter().flatten().min()
    }
}

/// A session that a change is about, as it was before.
struct Touched {
    bundle: BundleId,
    facts: Arc<Facts>,
    before: Session,
    /// Seats it has afterwards.
    after: u32,
}

/// What is counted for the policy in force, and for the one that comes.
struct Usages<'a> {
    state: &'a State,
    now: &'a mut Usage,
    coming: Option<&'a mut Usage>,
}

impl Usages<'_> {
    fn change(&mut self, id: BundleId, facts: &Facts, session: &Session, after: Option<u32>, before: u32) {
        self.now.change(self.state, id, facts, session, after, before);
        if let Some(coming) = &mut self.coming {
            coming.change(self.state, id, facts, session, after, before);
        }
    }
}
