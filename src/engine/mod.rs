//! The only owner of a ledger: decides, writes, syncs, and only then answers (S60).
//!
//! [`Engine::step`] is plain synchronous code run by one thread of its own ([`thread`]): bring the day up to
//! date, decide and apply each ask, one write and one sync for all, then release every output. What queues up
//! during the sync is the next batch, so a disk that is ten times slower makes batches ten times larger and not
//! clients ten times slower. The simulation calls `step` directly.
//!
//! Not here: rules (`crates/seats`), bytes of the wire (`src/answer.rs`), the clock (`src/clock.rs`: a step is
//! told the time), files of licenses (`src/licenses`).

pub mod ask;
mod borrow;
pub mod fuzz;
pub mod happened;
mod idle;
pub mod picture;
mod pools;
mod queue;
pub mod record;
pub mod remind;
pub mod reset;
mod room;
pub mod thread;
mod time;
mod update;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::NaiveDate;
use seats::change::{Cause, Change, Granted, PoolId, SessionId};
use seats::denial::{Code, Denial, Numbers};
use seats::ledger::{BookRequest, CheckoutOutcome, ConnectionId, Ledger, Now, Patience};
use seats::request::{Checkout, Facts};
use seats::wall::{WallClock, WallWatch};
use tracing::{debug, error, info};

use self::ask::{Answer, Ask, Booking, Event, Outbox, Request, Then};
use self::happened::{EventSink, Happened, PoolNames};
use self::picture::{PICTURE_MS, Picture};
use self::record::StateFold;
use self::remind::Reminding;
use crate::clock::{Reading, Zone};
use crate::journal::{Compactor, Disk, Journal, JournalError};

/// How many sessions a step ends, or tells of an expiry, before it serves the next batch.
const SESSIONS_A_STEP: usize = 1_000;
/// How many holds and bookings a step ends before it serves its batch; the others a moment later.
const DUE_A_STEP: usize = 10_000;
/// A batch is written when it holds so many bytes, though asks are left: far below what the journal takes.
const BATCH_BYTES: usize = 4 << 20;
/// See the module.
pub struct Engine<D: Disk> {
    ledger: Ledger,
    journal: Journal<D>,
    compactor: Compactor<StateFold>,
    connections: HashMap<ConnectionId, Arc<dyn Outbox>>,
    watching: HashSet<ConnectionId>,
    /// What leaves after the next sync.
    outputs: Vec<Output>,
    /// Called when the catalog taken last is in every pool.
    catalog_taken: Vec<Then<()>>,
    /// Called when the policy taken last is in force.
    policy_taken: Vec<Then<()>>,
    /// Pools whose sessions are still to be told that the license has ended.
    expired: VecDeque<(PoolId, Option<SessionId>, NaiveDate)>,
    /// What administrators are still to be told of.
    reminding: Reminding,
    picture: Option<Arc<Picture>>,
    denials: u64,
    is_stopping: bool,
    day: NaiveDate,
    /// The day and what it is worth (S71).
    wall: WallWatch,
    clock: WallClock,
    /// For the days a borrow reaches into (S41).
    zone: Zone,
    /// The tick at which something lent may come back, as far as that can be told from here.
    borrow_ends: Option<u64>,
    sessions_max: usize,
    /// Changed totals since every pool was up to date.
    changes_told: usize,
    /// Whether it was said that the journal has no room.
    is_short_of_room: bool,
    /// Who is told what happens; `None`: nobody, and nothing is noted.
    sink: Option<Arc<dyn EventSink>>,
    /// What happened since the last sync.
    happened: Vec<Happened>,
    pool_names: PoolNames,
    /// When this step began, by the wall clock.
    unix_ms: i64,
}

enum Output {
    Answer(Arc<dyn Outbox>, u32, Answer),
    Event(Arc<dyn Outbox>, Event),
    Call(Box<dyn FnOnce() + Send>),
}

impl<D: Disk> std::fmt::Debug for Engine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("day", &self.day)
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl<D: Disk> Engine<D> {
    /// An engine over a ledger and the journal it was read from. It grants nothing until it gets a catalog.
    /// `sessions_max`: how many sessions one connection may hold (S82).
    pub fn new(ledger: Ledger, journal: Journal<D>, sessions_max: u32) -> Engine<D> {
        let day = ledger.state().day().unwrap_or(NaiveDate::MIN);
        let wall = WallWatch::new(ledger.state().last_clock_read());
        Engine {
            ledger,
            journal,
            compactor: Compactor::new(StateFold::default),
            connections: HashMap::new(),
            watching: HashSet::new(),
            outputs: Vec::new(),
            catalog_taken: Vec::new(),
            policy_taken: Vec::new(),
            expired: VecDeque::new(),
            reminding: Reminding::default(),
            picture: None,
            denials: 0,
            is_stopping: false,
            day,
            wall,
            clock: WallClock::Trusted,
            zone: Zone::utc(),
            borrow_ends: None,
            sessions_max: sessions_max as usize,
            changes_told: 0,
            is_short_of_room: false,
            sink: None,
            happened: Vec::new(),
            pool_names: PoolNames::new(),
            unix_ms: 0,
        }
    }

    /// The ledger, for tests and the simulation.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether there is work that waits for nobody: pools to bring up to date, sessions to tell.
    pub fn has_background_work(&self) -> bool {
        !self.ledger.is_complete()
            || (self.may_tell_of_ends() && !self.expired.is_empty())
            || (self.may_serve() && self.ledger.is_hungry())
            || self.is_reminding()
    }

    /// The tick at which something falls due by itself.
    pub fn next_deadline(&self) -> Option<u64> {
        [self.ledger.next_deadline(), self.borrow_ends].into_iter().flatten().min()
    }

    /// One step: everything in `asks`, decided in order, synced, answered. `asks` is empty afterwards.
    ///
    /// # Errors
    /// The journal could not be written or synced. The process must stop: what was decided in this step was
    /// told to nobody and may or may not be on disk (S60).
    pub fn step(&mut self, asks: &mut Vec<Ask>, reading: Reading) -> Result<(), JournalError> {
        let tick = reading.tick.0;
        self.unix_ms = reading.unix_ms;
        let now = self.keep_time(reading)?;
        let connections = &self.connections;
        let heard = |id: ConnectionId| connections.get(&id).map(|outbox| outbox.heard());
        self.ledger.listen(tick, SESSIONS_A_STEP, &heard);
        // Before anybody asks: a hold that is over is a free seat.
        for change in self.ledger.due(tick, DUE_A_STEP) {
            self.accept(tick, &change)?;
        }
        self.end_borrows(now, reading)?;
        for ask in asks.drain(..) {
            self.take(ask, now, reading)?;
            if self.journal.pending_bytes() > BATCH_BYTES {
                self.release()?;
            }
        }
        self.reap(now, reading)?;
        self.sweep(now)?;
        self.remind(now)?;
        self.serve(now, reading)?;
        self.tell_expired();
        self.expect_borrows(now, reading);
        self.release()?;
        self.journal.check_path(tick)?;
        self.watch_room();
        if let Some(Err(error)) = self.compactor.poll(&mut self.journal) {
            error!(%error, "the journal could not be shortened; it grows until this is mended");
        }
        Ok(())
    }

    fn take(&mut self, ask: Ask, now: Now, reading: Reading) -> Result<(), JournalError> {
        match ask {
            Ask::Open(outbox) => {
                self.connections.insert(outbox.id(), outbox);
            }
            Ask::Close(id) => {
                let heard = self.connections.remove(&id).map_or(now.tick, |outbox| outbox.heard());
                self.watching.remove(&id);
                self.ledger.disconnect(id, heard, now.tick);
            }
            Ask::Heard(id) => {
                if let Some(outbox) = self.connections.get(&id) {
                    self.ledger.hear(id, outbox.heard());
                }
            }
            Ask::Request { from, call, request } => {
                // Nobody was refused a seat who did not ask for one.
                let is_question = matches!(request, Request::UpdateCheck(_));
                let action = self.action_of(&from, &request);
                let answer = self.request(&from, request, now, reading)?;
                self.note_done(action, &answer);
                if let Answer::Denied(denial) = &answer {
                    self.denials += u64::from(!is_question);
                    debug!(code = %denial.code, message = denial.message, "denied");
                }
                self.outputs.push(Output::Answer(from, call, answer));
            }
            Ask::Policy(policy, then) => {
                self.ledger.replace_policy(policy);
                self.policy_taken.push(then);
            }
            Ask::Catalog(catalog, then) => {
                self.ledger.replace_catalog(catalog, self.day);
                self.catalog_taken.push(then);
            }
            Ask::Picture(then) => {
                let picture = self.picture(now, reading);
                self.outputs.push(Output::Call(Box::new(move || then(picture))));
            }
            Ask::Sessions(after, limit, then) => {
                let mut page = self.ledger.sessions_page(after, limit);
                for view in &mut page {
                    let outbox = view.connection.and_then(|id| self.connections.get(&id));
                    view.heard = outbox.map(|o| o.heard()).or(view.heard);
                }
                self.outputs.push(Output::Call(Box::new(move || then(page))));
            }
            Ask::Borrows(after, limit, then) => {
                let page = self.ledger.borrows_page(after, limit);
                self.outputs.push(Output::Call(Box::new(move || then(page))));
            }
            Ask::Waiters(after, limit, then) => {
                let page = self.waiters_page(after, limit, now, reading);
                self.outputs.push(Output::Call(Box::new(move || then(page))));
            }
            Ask::Turn(then) => self.outputs.push(Output::Call(Box::new(move || then(())))),
            Ask::Stop(then) => {
                self.is_stopping = true;
                self.outputs
                    .extend(self.connections.values().map(|c| Output::Event(c.clone(), Event::Stopping)));
                self.outputs.push(Output::Call(Box::new(move || then(()))));
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        from: &Arc<dyn Outbox>,
        request: Request,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        Ok(match request {
            Request::Checkout(checkout, wait_ms) => self.checkout(from, &checkout, wait_ms, now, reading)?,
            Request::Borrow(checkout, hours) => {
                let checkout = self.timed(*checkout, hours, reading);
                let answer = self.checkout(from, &checkout, 0, now, reading)?;
                self.with_hours(answer, reading)
            }
            Request::TryBorrow(checkout, hours) => {
                let checkout = self.timed(*checkout, hours, reading);
                let answer = self.try_out(&checkout, now)?;
                self.with_hours(answer, reading)
            }
            Request::WriteOff(session, by, reason) => self.write_off(session, &by, &reason, now, reading)?,
            Request::Confirm(bundle) => self.confirm(from, bundle, now)?,
            Request::GiveUp(waiter) => self.give_up(from, waiter, now)?,
            Request::Cancel(key, secret) => self.cancel(&key, &secret, now)?,
            Request::Why(checkout, asker) => self.why(&checkout, asker.as_deref(), now, reading)?,
            Request::Try(checkout) => self.try_out(&checkout, now)?,
            Request::UpdateCheck(question) => self.update_check(&question, now)?,
            Request::Checkin(session, count) => {
                self.refresh_of(session, now)?;
                match self.ledger.decide_checkin(session, count, from.id(), now) {
                    Ok(outcome) => {
                        outcome.changes.iter().try_for_each(|change| self.accept(now.tick, change))?;
                        debug!(%session, given = outcome.given, remaining = outcome.remaining, "checked in");
                        Answer::CheckedIn(session, outcome.given, outcome.remaining)
                    }
                    Err(denial) => Answer::Denied(denial),
                }
            }
            Request::Resume(bundle, secret, facts) => {
                match self.ledger.decide_resume(bundle, &secret, &facts, now) {
                    Ok(()) => {
                        self.attach(bundle, from, now);
                        debug!(%bundle, "resumed");
                        self.grant(bundle).map_or_else(gone, Answer::Resumed)
                    }
                    Err(denial) => Answer::Denied(denial),
                }
            }
            Request::Release(session, by, reason, _) if self.ledger.state().waiter(session).is_some() => {
                self.release_waiter(session, &by, &reason, now, reading)?
            }
            Request::Book(booking) => self.book(&booking, now, reading)?,
            Request::Unbook(token) => self.unbook(&token, now)?,
            Request::Release(session, by, reason, bar_ms) => {
                self.refresh_of(session, now)?;
                match self.ledger.decide_release(session, &by, &reason, bar_ms, now) {
                    Ok(changes) => {
                        self.end(&changes, now, reading)?;
                        info!(%session, by, reason, barred_s = bar_ms / 1000, "removed by an administrator");
                        Answer::Released(session)
                    }
                    Err(denial) => Answer::Denied(denial),
                }
            }
            Request::Watch(on) => {
                if on {
                    self.watching.insert(from.id());
                } else {
                    self.watching.remove(&from.id());
                }
                Answer::Watching
            }
        })
    }

    fn try_out(&mut self, checkout: &Checkout, now: Now) -> Result<Answer, JournalError> {
        self.refresh(checkout, now)?;
        let named = |(pool, numbers): (PoolId, Numbers)| {
            let pool = self.ledger.state().pool(pool)?;
            Some((pool.vendor.clone(), pool.feature.clone(), numbers))
        };
        Ok(match self.ledger.decide_try(checkout, now) {
            Ok(pools) => Answer::WouldGrant(pools.into_iter().filter_map(named).collect()),
            Err(denial) => Answer::Denied(denial),
        })
    }

    fn checkout(
        &mut self,
        from: &Arc<dyn Outbox>,
        checkout: &Checkout,
        wait_ms: u64,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        let answer = self.decide_checkout(from, checkout, wait_ms, now, reading)?;
        if let Answer::Denied(denial) = &answer {
            self.note_denied(checkout, denial);
        }
        Ok(answer)
    }

    fn decide_checkout(
        &mut self,
        from: &Arc<dyn Outbox>,
        checkout: &Checkout,
        wait_ms: u64,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        self.refresh(checkout, now)?;
        let mut decided = self.ledger.decide_checkout(checkout, now);
        if let Err(refused) = decided {
            decided = self.decide_with_idle(from, checkout, now, refused);
        }
        let (bundle, is_replay) = match decided {
            Err(denial) if wait_ms > 0 => return self.wait(from, checkout, wait_ms, now, denial),
            Err(denial) => return Ok(Answer::Denied(denial)),
            Ok(CheckoutOutcome::Waits(waiter)) => return Ok(self.waits_on(from, waiter, now)),
            Ok(CheckoutOutcome::Replay(bundle)) => (bundle, true),
            Ok(CheckoutOutcome::Grant { before, granted, lent }) => {
                if let Some(no) = self.cannot_grant(from, &granted) {
                    return Ok(no);
                }
                self.end(&before, now, reading)?;
                let change = Change::Granted(granted);
                self.accept(now.tick, &change)?;
                let Change::Granted(granted) = change else { unreachable!("built two lines above") };
                tell_granted(&granted);
                if let Some(lent) = lent {
                    self.lend(&granted, *lent, now)?;
                }
                (granted.bundle, false)
            }
        };
        self.attach(bundle, from, now);
        Ok(self.grant(bundle).map_or_else(gone, |view| Answer::Granted(view, is_replay)))
    }

    /// S26: nothing of a request is left, and nothing comes of it any more.
    fn cancel(&mut self, key: &[u8; 16], secret: &[u8; 16], now: Now) -> Result<Answer, JournalError> {
        loop {
            if let Some(bundle) = self.ledger.state().bundle_of_key(key) {
                self.refresh_of(bundle, now)?;
            }
            match self.ledger.decide_cancel(key, secret, now) {
                Ok(Some(changes)) => changes.iter().try_for_each(|change| self.accept(now.tick, change))?,
                Ok(None) => return Ok(Answer::Cancelled),
                Err(denial) => return Ok(Answer::Denied(denial)),
            }
        }
    }

    /// What forbids a grant that the rules allow: the daemon stops, the connection has enough, the disk is full.
    fn cannot_grant(&mut self, from: &Arc<dyn Outbox>, granted: &Granted) -> Option<Answer> {
        if self.is_stopping {
            let text = "the server is stopping: sessions are kept, new ones wait for its start";
            return Some(deny(Code::ShuttingDown, text));
        }
        let holds = self.ledger.presence().sessions_on(from.id()) as usize;
        if holds + granted.sessions.len() > self.sessions_max {
            let text = format!("a connection may hold {} sessions: use another one (S82)", self.sessions_max);
            return Some(deny(Code::RateLimited, text));
        }
        self.no_room()
    }

    /// S53. Who may not see everything may ask where the policy lets him (S50).
    fn why(
        &mut self,
        checkout: &Checkout,
        asker: Option<&Facts>,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        self.refresh(checkout, now)?;
        let Some(item) = checkout.items.first() else {
            return Ok(deny(Code::BadRequest, "a question is about one feature"));
        };
        if let Some(asker) = asker.filter(|asker| !self.ledger.may_ask_why(item, asker)) {
            let text = format!(
                "{} may not ask why here: ask over the admin socket, or let the policy say why = \"allow\" (S84)",
                asker.user
            );
            return Ok(deny(Code::NotPermitted, text));
        }
        let explanation = Box::new(self.ledger.explain(item, &checkout.facts, now));
        Ok(Answer::Why(explanation, checkout.facts.clone(), now.tick, reading.unix_ms))
    }

    /// S52: all of it or nothing.
    fn book(&mut self, booking: &Booking, now: Now, reading: Reading) -> Result<Answer, JournalError> {
        if let Some(no) = self.no_room() {
            return Ok(no);
        }
        for item in &booking.items {
            self.refresh_feature(&item.feature, now)?;
        }
        let Booking { items, token, ms, facts } = booking;
        let request = BookRequest { items, token: *token, ms: *ms, facts };
        match self.ledger.decide_book(&request, now) {
            Err(denial) => Ok(Answer::Denied(denial)),
            Ok(changes) => {
                changes.iter().try_for_each(|change| self.accept(now.tick, change))?;
                info!(user = facts.user, features = changes.len(), seconds = ms / 1000, "booked");
                let until = self.ledger.state().bookings_under(token).map(|booked| booked.until).min();
                let in_ms = until.map_or(0, |until| until.saturating_sub(now.tick));
                Ok(Answer::Booked(reading.unix_ms.saturating_add_unsigned(in_ms)))
            }
        }
    }

    fn unbook(&mut self, token: &[u8; 16], now: Now) -> Result<Answer, JournalError> {
        match self.ledger.decide_unbook(token) {
            Err(denial) => Ok(Answer::Denied(denial)),
            Ok(changes) => {
                changes.iter().try_for_each(|change| self.accept(now.tick, change))?;
                Ok(Answer::Unbooked(changes.len()))
            }
        }
    }

    fn grant(&self, bundle: SessionId) -> Option<seats::ledger::GrantView> {
        self.ledger.grant_view(bundle)
    }

    /// Puts a bundle on a connection; the one that loses it is told (S10).
    fn attach(&mut self, bundle: SessionId, to: &Arc<dyn Outbox>, now: Now) {
        if let Some(loser) = self.ledger.attach(bundle, to.id(), now.tick)
            && let Some(outbox) = self.connections.get(&loser)
        {
            self.outputs.push(Output::Event(outbox.clone(), Event::ResumedElsewhere(bundle)));
        }
    }

    fn holder_of(&self, session: SessionId) -> Option<Arc<dyn Outbox>> {
        let ((bundle, _), _) = self.ledger.state().session(session)?;
        self.connections.get(&self.ledger.presence().connection_of(bundle)?).cloned()
    }

    /// Sessions of clients that were gone for long enough end, though nobody needs their seats; a client whose socket is
    /// still open is told why (S22).
    fn reap(&mut self, now: Now, reading: Reading) -> Result<(), JournalError> {
        for one in self.ledger.reaped(now.tick, SESSIONS_A_STEP) {
            self.refresh_of(one.session, now)?;
            let changes = self.ledger.ending(one.session, Cause::LeaseEnded, now.tick, one.heard);
            self.end(&changes, now, reading)?;
            if !changes.is_empty() {
                info!(session = %one.session, cause = Cause::LeaseEnded.as_str(), "session ended");
            }
        }
        Ok(())
    }

    /// Changes that end sessions: their clients are told, where they are still connected (S23).
    fn end(&mut self, changes: &[Change], now: Now, reading: Reading) -> Result<(), JournalError> {
        for change in changes {
            let holder = match change {
                Change::Ended(ended) => self.holder_of(ended.session),
                _ => None,
            };
            self.accept(now.tick, change)?;
            if let (Some(outbox), Change::Ended(ended)) = (holder, change) {
                let patience = self.ledger.presence().patience();
                let event = ended_event(ended.session, &ended.cause, patience, reading.unix_ms);
                self.outputs.push(Output::Event(outbox, event));
            }
            if let Change::FirstCheckout(first) = change {
                self.tell_started(first, now);
            }
        }
        Ok(())
    }

    fn picture(&mut self, now: Now, reading: Reading) -> Arc<Picture> {
        let is_fresh = |p: &Arc<Picture>| {
            now.tick.saturating_sub(p.tick) < PICTURE_MS
                && p.day == now.day
                && p.clock == now.clock
                && Arc::ptr_eq(&p.catalog, self.ledger.catalog())
        };
        if let Some(picture) = self.picture.as_ref().filter(|p| is_fresh(p)) {
            return picture.clone();
        }
        let picture = Arc::new(Picture {
            catalog: self.ledger.catalog().clone(),
            day: now.day,
            clock: now.clock,
            clock_reset: self.ledger.state().clock_reset().cloned(),
            tick: now.tick,
            unix_ms: reading.unix_ms,
            counters: self.ledger.counters(),
            first_checkouts: self.ledger.state().first_checkouts().clone(),
            queued: self.queued(),
            sessions: self.ledger.state().session_count(),
            connections: self.connections.len(),
            denials: self.denials,
            is_complete: self.ledger.is_complete(),
            is_recovering: self.ledger.presence().is_recovering(now.tick),
            no_room: self.journal.is_low().map(|cause| (cause.to_string(), self.journal.room())),
            by_feature: std::sync::OnceLock::new(),
        });
        self.picture = Some(picture.clone());
        picture
    }

    /// Applies a change and adds it to the batch.
    fn accept(&mut self, tick: u64, change: &Change) -> Result<(), JournalError> {
        self.journal.append_with(tick, record::kind(change), |out| record::encode(change, out))?;
        self.note(tick, change);
        self.ledger.apply(tick, change);
        if let Change::Granted(granted) = change {
            self.note_granted(granted);
        }
        Ok(())
    }

    /// One write, one sync, and then everything that waited for it leaves (S60).
    fn release(&mut self) -> Result<(), JournalError> {
        self.journal.commit()?;
        // Before the answers: whoever has read one finds what it tells among the events.
        self.tell_happened();
        let presence = self.ledger.presence();
        let mut touched: Vec<Arc<dyn Outbox>> = Vec::new();
        let mut touch = |outbox: &Arc<dyn Outbox>| {
            if touched.last().is_none_or(|last| last.id() != outbox.id()) {
                outbox.holds(presence.sessions_on(outbox.id()));
                touched.push(outbox.clone());
            }
        };
        for output in self.outputs.drain(..) {
            match output {
                Output::Answer(outbox, call, answer) => {
                    touch(&outbox);
                    outbox.answer(call, &answer);
                }
                Output::Event(outbox, event) => {
                    touch(&outbox);
                    outbox.event(&event);
                }
                Output::Call(call) => call(),
            }
        }
        touched.iter().for_each(|outbox| outbox.flush());
        Ok(())
    }
}

fn deny(code: Code, text: impl Into<String>) -> Answer {
    Answer::Denied(Box::new(Denial::new(code, text)))
}

/// Cannot happen: the bundle was there a moment ago and this thread alone takes them away.
fn gone() -> Answer {
    deny(Code::Internal, "the session disappeared while it was being granted; please report this")
}

/// What an administrator's log says of a grant.
fn tell_granted(granted: &Granted) {
    let (user, host) = (&granted.facts.user, &granted.facts.host);
    debug!(bundle = %granted.bundle, %user, %host, "checked out");
    for session in granted.sessions.iter().filter(|s| s.above_soft_limit) {
        info!(session = %session.session, %user, %host, "checked out above the soft limit (L61)");
    }
}

/// What a client is told when its session ended without its doing (S23).
fn ended_event(session: SessionId, cause: &Cause, patience: Patience, unix_ms: i64) -> Event {
    let text = match cause {
        Cause::LeaseEnded => {
            let silence_ms = patience.lease_ms.saturating_add(patience.reap_after_ms);
            format!("nothing was heard from this client for {} s", silence_ms / 1000)
        }
        Cause::Released(release) if release.reason.is_empty() => format!("removed by {}", release.by),
        Cause::Released(release) => format!("removed by {}: {}", release.by, release.reason),
        Cause::CheckedIn => "given back".into(),
        Cause::Reclaimed => "given to somebody else while this client was gone".into(),
        Cause::Idle => "given to somebody else because nobody had used it for too long".into(),
        Cause::BorrowEnded => "it was borrowed and its time is over".into(),
        Cause::Unconfirmed => "given to somebody else because it was not confirmed in time".into(),
        Cause::GivenUp | Cause::TimedOut => "it never came to a session".into(),
    };
    Event::Ended(session, Code::AlreadyRemoved.as_str(), text, unix_ms)
}
