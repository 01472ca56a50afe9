//! Drives a ledger as the engine does, without a clock, a disk or a socket.
//!
//! Before a decision every named feature is brought to the day; accepted changes are journaled in memory and
//! applied; a restart reads them back. Stories, tables and the model test go through this one door. It is
//! not the naive model: that shares nothing with `seats`.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chrono::NaiveDate;
use seats::catalog::Catalog;
use seats::change::{
    BorrowingClosed, BundleId, Cause, Change, ClockRead, DayServed, Moved, PoolId, PoolKind, SessionId, Tick,
    WaitCause, WaitEnded,
};
use seats::denial::{Denial, Numbers};
use seats::ledger::{
    BookRequest, CheckinOutcome, CheckoutOutcome, ConnectionId, Ledger, Now, Owed, Patience, PoolChange,
    QueueLimits, Served, State,
};
use seats::license::{
    Carried, Count, Fingerprint, KeyType, License, LicenseType, Name, Place, Refusal, Share,
};
use seats::policy::Policy;
use seats::releases::ReleaseList;
use seats::request::{Checkout, Facts, Item, Lend, NameRules};
use seats::wall::{WallClock, WallWatch};

/// The lease of S12 where a test says nothing else.
pub const LEASE_MS: u64 = 120_000;

/// The most deadlines in one stretch of time; a history has some dozens of sessions.
const WAKES_MAX: u32 = 100_000;

/// What became of somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It has its seats.
    Served(SessionId, BundleId),
    /// It did not confirm them in time.
    TakenBack(BundleId),
    /// It waits no longer.
    WaitEnded(WaitEnded),
}

/// One running server.
pub struct Server {
    pub ledger: Ledger,
    pub now: Now,
    /// Every change accepted since the beginning, with the tick of its batch.
    pub journal: Vec<(Tick, Change)>,
    /// When each open connection was last heard.
    heard: BTreeMap<ConnectionId, Tick>,
    /// When somebody last did something there, as far as its client says.
    active: BTreeMap<ConnectionId, i64>,
    /// Sessions that were moved to another pool, and nobody has looked at yet.
    pub moved: Vec<Moved>,
    /// Sessions whose client was warned that its idle seat is wanted, and nobody has looked at yet.
    pub warned: Vec<SessionId>,
    /// What became of those who wait, and nobody has looked at yet.
    pub queue: Vec<Happened>,
    /// Totals that changed where a queue was served, and nobody has looked at yet.
    pub owed: Vec<PoolChange>,
    /// What was lent and came back by itself, and nobody has looked at yet.
    pub borrows_ended: Vec<(Tick, SessionId)>,
    queue_limits: QueueLimits,
    next_connection: u64,
    patience: Patience,
    /// Who watches the wall clock, and what that showed at tick 0; only where a test sets one.
    wall: Option<(WallWatch, i64)>,
}

impl Server {
    pub fn new(day: NaiveDate, lease_ms: u64) -> Server {
        Server::patient(day, Patience::with_lease(lease_ms))
    }

    /// The same, where everything about silent clients is said.
    pub fn patient(day: NaiveDate, patience: Patience) -> Server {
        let mut server = Server {
            ledger: Ledger::new(State::default(), 0, patience, NameRules::default()),
            now: Now { tick: 0, day, clock: WallClock::Trusted },
            journal: Vec::new(),
            heard: BTreeMap::new(),
            active: BTreeMap::new(),
            moved: Vec::new(),
            warned: Vec::new(),
            queue: Vec::new(),
            owed: Vec::new(),
            borrows_ended: Vec::new(),
            queue_limits: QueueLimits::default(),
            next_connection: 1,
            patience,
            wall: None,
        };
        server.commit(&Change::DayServed(DayServed { day }));
        server
    }

    /// Journals and applies.
    pub fn commit(&mut self, change: &Change) {
        self.ledger.state().check(change).expect("an accepted change fits the state it was decided on");
        self.journal.push((self.now.tick, change.clone()));
        self.ledger.apply(self.now.tick, change);
    }

    /// A new set of licenses. Nothing is swept yet.
    pub fn load(&mut self, licenses: Vec<License>) {
        let licenses = licenses.into_iter().map(|l| Arc::new(sealed(l))).collect();
        self.load_catalog(Catalog::new(licenses));
    }

    /// The same with the vendor's lists of releases.
    pub fn load_with(&mut self, licenses: Vec<License>, lists: Vec<Arc<ReleaseList>>) {
        let licenses = licenses.into_iter().map(|l| Arc::new(sealed(l))).collect();
        self.load_catalog(Catalog::new(licenses).with_releases(lists));
    }

    pub fn load_catalog(&mut self, catalog: Catalog) {
        self.ledger.replace_catalog(Arc::new(catalog), self.now.day);
    }

    /// A new policy, in force at once.
    pub fn rules(&mut self, policy: Arc<Policy>) {
        self.ledger.replace_policy(policy);
        while !self.ledger.sweep_policy() {}
        self.serve();
    }

    /// A new day of the wall clock. Nothing is swept yet.
    pub fn begin_day(&mut self, day: NaiveDate) {
        assert!(day >= self.now.day, "the day never goes back (S71)");
        self.now.day = day;
        self.commit(&Change::DayServed(DayServed { day }));
        self.ledger.begin_day(day);
    }

    /// Somebody sets the wall clock, which is in UTC and runs on from there. Nothing is swept yet.
    pub fn set_clock(&mut self, unix_ms: i64) {
        let first = || WallWatch::new(None);
        let watch = self.wall.take().map_or_else(first, |(watch, _)| watch);
        self.wall = Some((watch, unix_ms - self.now.tick as i64));
        self.look_at_clock();
    }

    /// What the engine does at the beginning of each step.
    pub fn look_at_clock(&mut self) {
        let Some((watch, at_start)) = &mut self.wall else { return };
        let read = ClockRead { tick: self.now.tick, unix_ms: *at_start + self.now.tick as i64 };
        let today = chrono::DateTime::from_timestamp_millis(read.unix_ms).expect("an instant").date_naive();
        let look = watch.look(read, today, self.ledger.state().day());
        look.changes.iter().for_each(|change| self.commit(change));
        if std::mem::replace(&mut self.now.clock, look.clock) != look.clock {
            self.ledger.feed_all();
        }
        let before = std::mem::replace(&mut self.now.day, look.day);
        if look.day > before {
            self.ledger.begin_day(look.day);
        } else if look.day < before {
            self.ledger.return_to_day(look.day);
        }
    }

    /// Applies what the background owes, looking at `budget` features a slice, until nothing is left.
    pub fn sweep(&mut self, budget: usize) -> Vec<PoolChange> {
        let mut all = Vec::new();
        while !self.ledger.is_complete() {
            all.extend(self.sweep_slice(budget));
        }
        all
    }

    /// Applies one slice of what the background owes.
    pub fn sweep_slice(&mut self, budget: usize) -> Vec<PoolChange> {
        let mut all = Vec::new();
        let mut left = budget;
        while left > 0 {
            let (change, rest) = self.ledger.sweep(left, self.now.day);
            let Some(owed) = change else { break };
            all.extend(self.accept_owed(owed));
            left = rest;
        }
        self.serve();
        all
    }

    fn accept_owed(&mut self, owed: Owed) -> Option<PoolChange> {
        self.commit(&owed.clone().into_change());
        match owed {
            Owed::Pool(change) => Some(change),
            Owed::Moved(moved) => {
                self.moved.push(moved);
                None
            }
        }
    }

    /// A new policy, in force when this returns.
    /// Applies what falls due by itself but for leases: holds and bookings that end.
    pub fn free_due(&mut self) {
        self.listen(usize::MAX);
        for change in self.ledger.due(self.now.tick, usize::MAX) {
            self.commit(&change);
        }
        self.end_borrows();
    }

    /// What the wall clock shows, Unix milliseconds; `None`: no test has set it.
    pub fn unix_ms(&self) -> Option<i64> {
        self.wall.as_ref().map(|(_, at_start)| at_start + self.now.tick as i64)
    }

    /// What was lent and is over comes back.
    fn end_borrows(&mut self) {
        let Some(unix_ms) = self.unix_ms() else { return };
        for session in self.ledger.borrows_over(self.now, unix_ms.div_euclid(1_000), usize::MAX) {
            self.refresh_of(session);
            let tick = self.now.tick;
            for change in self.ledger.ending(session, Cause::BorrowEnded, tick, tick) {
                self.commit(&change);
            }
            self.borrows_ended.push((self.now.tick, session));
        }
    }

    /// The next tick at which something falls due by itself, or a borrow may end.
    fn next_deadline(&self) -> Option<Tick> {
        let is_settled = self.now.clock.is_settled();
        let borrow =
            self.unix_ms().filter(|_| is_settled).and_then(|ms| self.ledger.next_borrow_end(self.now, ms));
        [self.ledger.next_deadline(), borrow.map(|ms| self.now.tick + ms)].into_iter().flatten().min()
    }

    /// As a checkout whose seats are wanted offline for so many hours, by the clock, which is in UTC.
    pub fn lent_for(&self, request: Checkout, hours: u32) -> Checkout {
        let from = self.unix_ms().expect("a clock was set").div_euclid(1_000);
        let last = from + i64::from(hours) * 3_600 - 1;
        let last_day = chrono::DateTime::from_timestamp(last, 0).expect("an instant").date_naive();
        Checkout { lend: Some(Lend { hours, from, last_day }), ..request }
    }

    /// An administrator notes that a borrowed seat will not be given back.
    pub fn write_off(&mut self, id: SessionId, by: &str, reason: &str) -> Result<(), Box<Denial>> {
        let unix_s = self.unix_ms().expect("a clock was set").div_euclid(1_000);
        let note = self.ledger.decide_write_off(id, by, reason, unix_s)?;
        self.commit(&Change::WrittenOff(note));
        Ok(())
    }

    /// The state was read with a part of it lost.
    pub fn close_borrowing(&mut self) {
        let from = self.unix_ms().expect("a clock was set").div_euclid(1_000);
        self.commit(&Change::BorrowingClosed(BorrowingClosed { from }));
    }

    /// Brings the named features to the day.
    pub fn refresh<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Vec<PoolChange> {
        let mut all = Vec::new();
        for name in names {
            while let Some(owed) = self.ledger.refresh(name, self.now.day) {
                all.extend(self.accept_owed(owed));
            }
        }
        all
    }

    /// Brings the feature of a session to the day, and of what it took as a token.
    fn refresh_of(&mut self, id: SessionId) -> Vec<PoolChange> {
        let state = self.ledger.state();
        let Some(((_, bundle), session)) = state.session(id) else { return Vec::new() };
        let pools = bundle.with_dependents(session.nth).filter_map(|s| state.pool(s.pool));
        let features: Vec<Name> = pools.map(|pool| pool.feature.clone()).collect();
        self.refresh(features.iter().map(Name::as_str))
    }

    pub fn connect(&mut self) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.heard.insert(id, self.now.tick);
        id
    }

    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.heard.contains_key(&id)
    }

    /// Any traffic counts as life (S12).
    pub fn hear(&mut self, id: ConnectionId) {
        if let Some(at) = self.heard.get_mut(&id) {
            *at = self.now.tick;
        }
        self.listen(usize::MAX);
    }

    /// Who is silent, and who is heard again.
    fn listen(&mut self, limit: usize) {
        let heard = &self.heard;
        self.ledger.listen(self.now.tick, limit, &|id| heard.get(&id).copied());
    }

    /// A heartbeat: for so long, in milliseconds, nobody did anything there.
    pub fn beat(&mut self, id: ConnectionId, idle_ms: Option<u64>) {
        self.hear(id);
        match idle_ms {
            // It may lie before the first tick that was ever served.
            Some(ms) => self.active.insert(id, self.now.tick as i64 - ms as i64),
            None => self.active.remove(&id),
        };
    }

    /// The socket is gone.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.active.remove(&id);
        if let Some(heard) = self.heard.remove(&id) {
            self.ledger.disconnect(id, heard, self.now.tick);
        }
        self.serve();
    }

    /// The whole way of a checkout, its connection included.
    pub fn checkout(
        &mut self,
        request: &Checkout,
        on: ConnectionId,
    ) -> (Vec<PoolChange>, Result<CheckoutOutcome, Box<Denial>>) {
        self.checkout_or_wait(request, 0, on)
    }

    /// The same, waiting for so long where there is no seat now (S30).
    pub fn checkout_or_wait(
        &mut self,
        request: &Checkout,
        wait_ms: u64,
        on: ConnectionId,
    ) -> (Vec<PoolChange>, Result<CheckoutOutcome, Box<Denial>>) {
        self.hear(on);
        self.free_due();
        let changes = self.refresh(request.items.iter().map(|i| &*i.feature));
        let mut outcome = self.ledger.decide_checkout(request, self.now);
        if let Err(refused) = outcome {
            outcome = self.decide_with_idle(request, refused);
        }
        if wait_ms > 0
            && let Err(refused) = outcome
        {
            outcome = self.ledger.decide_wait(request, wait_ms, self.now, refused).map(|waiting| {
                let waiter = waiting.waiter;
                self.commit(&Change::Waiting(waiting));
                CheckoutOutcome::Waits(waiter)
            });
        }
        match &outcome {
            Ok(CheckoutOutcome::Grant { before, granted, lent }) => {
                before.iter().for_each(|change| self.commit(change));
                self.commit(&Change::Granted(granted.clone()));
                if let Some(lent) = lent {
                    self.commit(&Change::Borrowed((**lent).clone()));
                }
                self.ledger.attach(granted.bundle, on, self.now.tick);
            }
            Ok(CheckoutOutcome::Replay(bundle)) => {
                self.ledger.attach(*bundle, on, self.now.tick);
            }
            Ok(CheckoutOutcome::Waits(waiter)) => self.ledger.attach_waiter(*waiter, on, self.now.tick),
            Err(_) => {}
        }
        self.serve();
        (changes, outcome)
    }

    /// What the end of each step does for those who wait (S31, S32).
    pub fn serve(&mut self) {
        for bundle in self.ledger.unconfirmed(self.now.tick) {
            let found = self.ledger.state().bundle(bundle).expect("an offer is there");
            let own = found.sessions().iter().filter(|s| s.token().is_none());
            let own: Vec<SessionId> = own.map(|s| SessionId(bundle.0 + u64::from(s.nth))).collect();
            for session in own {
                let tick = self.now.tick;
                let changes = self.ledger.ending(session, Cause::Unconfirmed, tick, tick);
                changes.iter().for_each(|change| self.commit(change));
            }
            self.queue.push(Happened::TakenBack(bundle));
        }
        for ended in self.ledger.waits_over(self.now.tick, usize::MAX) {
            self.commit(&Change::WaitEnded(ended));
            self.queue.push(Happened::WaitEnded(ended));
        }
        loop {
            let hungry: Vec<String> = self.ledger.hungry().map(str::to_owned).collect();
            let owed = self.refresh(hungry.iter().map(String::as_str));
            self.owed.extend(owed);
            let Some(served) = self.ledger.next_served(self.now, &mut usize::MAX.clone()) else { break };
            let Served { waiter, before, granted } = *served;
            before.iter().for_each(|change| self.commit(change));
            let bundle = granted.bundle;
            self.commit(&Change::Granted(granted));
            let on = self.ledger.queue().connection_of(waiter).expect("who is served is there");
            self.ledger.attach_unasked(bundle, on, self.now.tick);
            self.ledger.offer(waiter, bundle, self.now.tick);
            self.queue.push(Happened::Served(waiter, bundle));
        }
    }

    /// How many may wait (S33).
    pub fn limit_queue(&mut self, limits: QueueLimits) {
        self.queue_limits = limits;
        self.ledger.limit_queue(limits);
    }

    /// The client says that the seats came through.
    pub fn confirm(&mut self, bundle: BundleId) {
        if let Some(change) = self.ledger.confirm(bundle) {
            self.commit(&change);
        }
    }

    /// A waiter leaves the queue, or an administrator takes its place away.
    pub fn end_wait(&mut self, waiter: SessionId, cause: WaitCause) {
        self.commit(&Change::WaitEnded(WaitEnded { waiter, cause }));
        self.serve();
    }

    /// S26: as the engine does it.
    pub fn cancel(&mut self, request: &Checkout) -> Result<(), Box<Denial>> {
        self.free_due();
        loop {
            if let Some(bundle) = self.ledger.state().bundle_of_key(&request.key) {
                self.refresh_of(bundle);
            }
            match self.ledger.decide_cancel(&request.key, &request.secret, self.now)? {
                Some(changes) => changes.iter().for_each(|change| self.commit(change)),
                None => break,
            }
        }
        self.serve();
        Ok(())
    }

    /// Idle sessions make room if they were warned long enough ago, or are warned.
    fn decide_with_idle(
        &mut self,
        request: &Checkout,
        refused: Box<Denial>,
    ) -> Result<CheckoutOutcome, Box<Denial>> {
        let idle_ms = |id| self.active.get(&id).map(|at| (self.now.tick as i64 - at) as u64);
        let (outcome, wish) = self.ledger.decide_with_idle(request, self.now, &idle_ms, refused);
        self.ledger.note_wish(&wish, &request.facts, self.now);
        self.warned.extend(&wish.to_warn);
        outcome.map_err(|mut denial| {
            wish.tell(&mut denial);
            denial
        })
    }

    /// Keeps seats for whoever presents the token.
    pub fn book(&mut self, request: &BookRequest<'_>) -> Result<(), Box<Denial>> {
        self.free_due();
        self.refresh(request.items.iter().map(|item| &*item.feature));
        let changes = self.ledger.decide_book(request, self.now)?;
        changes.iter().for_each(|change| self.commit(change));
        Ok(())
    }

    /// Whoever has the token gives the seats up.
    pub fn unbook(&mut self, token: &[u8; 16]) -> Result<(), Box<Denial>> {
        self.free_due();
        let changes = self.ledger.decide_unbook(token)?;
        changes.iter().for_each(|change| self.commit(change));
        self.serve();
        Ok(())
    }

    pub fn checkin(
        &mut self,
        id: SessionId,
        count: Option<u32>,
        on: ConnectionId,
    ) -> Result<CheckinOutcome, Box<Denial>> {
        self.hear(on);
        self.free_due();
        self.refresh_of(id);
        let outcome = self.ledger.decide_checkin(id, count, on, self.now)?;
        outcome.changes.iter().for_each(|change| self.commit(change));
        self.serve();
        Ok(outcome)
    }

    pub fn release(&mut self, id: SessionId, by: &str, reason: &str) -> Result<(), Box<Denial>> {
        self.release_and_bar(id, by, reason, 0)
    }

    pub fn release_and_bar(
        &mut self,
        id: SessionId,
        by: &str,
        reason: &str,
        bar_ms: u64,
    ) -> Result<(), Box<Denial>> {
        self.free_due();
        self.refresh_of(id);
        for change in self.ledger.decide_release(id, by, reason, bar_ms, self.now)? {
            self.commit(&change);
        }
        self.serve();
        Ok(())
    }

    /// The connection that lost the bundle, where it was still open.
    pub fn resume(
        &mut self,
        id: BundleId,
        secret: &[u8; 16],
        facts: &Facts,
        on: ConnectionId,
    ) -> Result<Option<ConnectionId>, Box<Denial>> {
        self.hear(on);
        self.ledger.decide_resume(id, secret, facts, self.now)?;
        Ok(self.ledger.attach(id, on, self.now.tick))
    }

    /// Lets time pass, waking at each deadline as the engine does. Connections for which `is_beating` says so
    /// are heard all the time. Returns the sessions that were reaped, and when.
    pub fn pass(&mut self, ms: u64, is_beating: &dyn Fn(ConnectionId) -> bool) -> Vec<(Tick, SessionId)> {
        self.pass_in_slices(ms, usize::MAX, is_beating)
    }

    /// The same, ending about `limit` sessions a batch.
    pub fn pass_in_slices(
        &mut self,
        ms: u64,
        limit: usize,
        is_beating: &dyn Fn(ConnectionId) -> bool,
    ) -> Vec<(Tick, SessionId)> {
        let target = self.now.tick + ms;
        let mut ended = Vec::new();
        let mut wakes = 0;
        // Who beats, beats from now on: whoever was silent is heard at this moment, not at the first deadline.
        for (id, at) in &mut self.heard {
            if is_beating(*id) {
                *at = self.now.tick;
            }
        }
        self.listen(limit);
        self.serve();
        loop {
            wakes += 1;
            assert!(wakes < WAKES_MAX, "an engine would spin: a deadline is past and nothing ends");
            let wake = self.next_deadline().filter(|d| *d <= target).unwrap_or(target);
            self.now.tick = wake.max(self.now.tick);
            let tick = self.now.tick;
            for (id, at) in &mut self.heard {
                if is_beating(*id) {
                    *at = tick;
                }
            }
            self.listen(limit);
            self.free_due();
            ended.extend(self.reap(limit));
            self.serve();
            if tick == target && self.next_deadline().is_none_or(|d| d > target) {
                return ended;
            }
        }
    }

    /// What falls due now, at most about `limit` sessions.
    fn reap(&mut self, limit: usize) -> Vec<(Tick, SessionId)> {
        let tick = self.now.tick;
        let mut ended = Vec::new();
        for one in self.ledger.reaped(tick, limit) {
            self.refresh_of(one.session);
            for change in self.ledger.ending(one.session, Cause::LeaseEnded, tick, one.heard) {
                if let Change::Ended(e) = &change {
                    ended.push((e.at, e.session));
                }
                self.commit(&change);
            }
        }
        ended
    }

    /// Stops and starts. Every connection is gone; the licenses are read again and not yet swept.
    pub fn restart(&mut self) -> Result<(), String> {
        let state = self.read_from_disk()?;
        let (catalog, policy) = (self.ledger.catalog().clone(), self.ledger.policy().clone());
        self.ledger = Ledger::new(state, self.now.tick, self.patience, NameRules::default());
        self.rules(policy);
        if let Some((watch, _)) = &mut self.wall {
            *watch = WallWatch::new(self.ledger.state().last_clock_read());
            self.now.day = self.ledger.state().day().unwrap_or(self.now.day);
            self.look_at_clock();
        }
        self.ledger.replace_catalog(catalog, self.now.day);
        self.ledger.limit_queue(self.queue_limits);
        self.heard.clear();
        self.active.clear();
        Ok(())
    }

    /// The state as a start would find it: the snapshot and the replay of everything must both give this
    /// very one.
    pub fn read_from_disk(&self) -> Result<State, String> {
        let before = dump(self.ledger.state());
        let tick = self.journal.last().map_or(0, |(tick, _)| *tick);
        let snapshot = read_back(before.iter().map(|change| (tick, change)))?;
        let replayed = read_back(self.journal.iter().map(|(tick, change)| (*tick, change)))?;
        for (what, state) in [("the snapshot", &snapshot), ("the journal", &replayed)] {
            let after = dump(state);
            if after != before {
                let differs = before.iter().zip(&after).find(|(b, a)| b != a);
                return Err(format!(
                    "{what} gives another ledger: {} records, {} before; first difference {differs:?}",
                    after.len(),
                    before.len()
                ));
            }
        }
        Ok(snapshot)
    }

    pub fn pool(&self, vendor: &str, feature: &str) -> Option<PoolId> {
        self.ledger.state().pool_of(&name(vendor), &name(feature), &PoolKind::Exclusive)
    }

    /// Every pool of a feature that there is, in the order of their numbers.
    pub fn pools(&self, vendor: &str, feature: &str) -> Vec<(PoolKind, PoolId)> {
        let mut pools = self.ledger.state().pools_of(&name(vendor), &name(feature)).to_vec();
        pools.sort_by_key(|(_, pool)| *pool);
        pools
    }

    pub fn numbers(&self, vendor: &str, feature: &str) -> Option<Numbers> {
        self.pool(vendor, feature).map(|pool| self.ledger.numbers(pool))
    }
}

/// The state as changes.
pub fn dump(state: &State) -> Vec<Change> {
    let mut out = Vec::new();
    state.dump(&mut |change| out.push(change));
    out
}

fn read_back<'a>(changes: impl Iterator<Item = (Tick, &'a Change)>) -> Result<State, String> {
    let mut state = State::default();
    for (tick, change) in changes {
        state.check(change).map_err(|why| format!("{change:?} is refused on reading back: {why}"))?;
        state.apply(tick, change);
    }
    Ok(state)
}

pub fn name(text: &str) -> Name {
    if text.is_empty() { Name::none() } else { Name::new(text).expect("a name of the license language") }
}

pub fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

/// A perpetual license by ACME without an SN, to be changed with `License { .., ..exclusive("cad", 10) }`.
pub fn exclusive(feature: &str, count: u32) -> License {
    License {
        vendor: name("ACME"),
        feature: name(feature),
        key_type: KeyType::Exclusive,
        count: Some(Count::Limited(count)),
        version: None,
        start: None,
        end: None,
        issued: None,
        sn: None,
        license_type: LicenseType::Perpetual,
        hal: false,
        share: Share::default(),
        platforms: Vec::new(),
        time_zones: None,
        client_host_ids: Vec::new(),
        match_rate: 100,
        carried: Carried::default(),
        fingerprint: Fingerprint([0; 32]),
        signed: None,
        place: Place { file: "licenses.xml".into(), line: 1, column: 1 },
        refusal: None,
    }
}

pub fn upgrade(feature: &str, count: u32, sn: &str) -> License {
    License { key_type: KeyType::Upgrade, sn: Some(sn.into()), ..exclusive(feature, count) }
}

pub fn refused(reason: seats::license::Reason) -> Option<Refusal> {
    Some(Refusal { reason, message: format!("refused when it was read: {reason}") })
}

/// With a fingerprint of its content; the place is no part of it (L10).
pub fn sealed(license: License) -> License {
    // Named one by one: a field that a license gets later must not reorder the stories.
    let l = &license;
    let mut text = format!(
        "{:?}",
        (
            l.feature.as_str().to_lowercase(),
            l.vendor.as_str(),
            (l.key_type, l.count, l.version, l.hal, l.match_rate),
            (l.start, l.end, l.issued, &l.sn),
            (&l.platforms, l.time_zones, &l.client_host_ids),
        )
    );
    if (l.share, &l.carried) != (Share::default(), &Carried::default()) {
        let plain = format!("{:?}", (l.share, &l.carried));
        text.push_str(&plain.replace(", locked_to_key: false", ""));
    }
    let mut bytes = [0; 32];
    for (salt, chunk) in bytes.chunks_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        chunk.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    License { fingerprint: Fingerprint(bytes), ..license }
}

pub fn facts(user: &str, host: &str) -> Facts {
    Facts {
        install_id: half_hash(&(user, host)),
        user: user.into(),
        host: host.into(),
        address: None,
        platform: "linux-x86_64".into(),
        offset_minutes: 0,
        display: None,
        project: None,
        share: None,
        release_version: None,
        release_date: None,
        line_date: None,
        host_ids: Vec::new(),
    }
}

/// A checkout of one feature under a key of its own.
pub fn request(key: u64, facts: Facts, items: &[(&str, u32)]) -> Checkout {
    let item =
        |(feature, count): &(&str, u32)| Item { vendor: None, feature: (*feature).into(), count: *count };
    Checkout {
        key: half_hash(&("key", key)),
        secret: half_hash(&("secret", key)),
        booking: None,
        items: items.iter().map(item).collect(),
        facts: Arc::new(facts),
        pid: 1,
        lend: None,
    }
}

/// 128 bits that are another for another value.
pub fn half_hash(value: &impl Hash) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (salt, chunk) in bytes.chunks_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        chunk.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    bytes
}
