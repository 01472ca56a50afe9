//! One random history: a ledger and the naive model beside it, step by step.
#![allow(dead_code, unreachable_pub, reason = "a module of a test program")]

use std::collections::BTreeMap;

use seats::change::{PoolKind, SessionId, WaitCause};
use seats::denial::Denial;
use seats::ledger::{CheckoutOutcome, ConnectionId, Patience, PoolChange, QueueLimits};
use seats::wall::WallClock;

use crate::bridge::{checkout, day, facts, pool_key, total};
use crate::driver::{Happened, LEASE_MS, Server, half_hash};
use crate::naive::{Connection, Denied, Naive, PoolKey, Request, UNLIMITED, Verdict, Which};
use crate::random::{self, Random, Step};

/// How patient both are; short enough that histories see the end of it.
const PATIENCE: Patience = Patience { reap_after_ms: 40_000, ..Patience::with_lease(LEASE_MS) };

/// How many may wait, for a feature and of a client: few, so that histories see what is too much.
const MAY_WAIT: [u64; 2] = [3, 2];

/// A ledger and the model beside it.
pub struct History {
    pub random: Random,
    pub server: Server,
    pub naive: Naive,
    /// Whoever was granted something, and what it stated.
    pub requests: Vec<Request>,
    /// The totals that were announced (L22).
    pub announced: BTreeMap<PoolKey, u64>,
    pub bookings: Vec<u64>,
    pub next_key: u64,
    pub log: Vec<String>,
    pub seen: Vec<&'static str>,
}

impl History {
    pub fn new(seed: u64) -> History {
        let mut server = Server::patient(day(0), PATIENCE);
        let [per_feature, per_client] = MAY_WAIT.map(|n| u32::try_from(n).expect("few"));
        server.limit_queue(QueueLimits { per_feature, per_client });
        let mut naive = Naive::new(LEASE_MS, PATIENCE.reap_after_ms);
        naive.may_wait = MAY_WAIT;
        History {
            random: Random::new(seed),
            server,
            naive,
            requests: Vec::new(),
            announced: BTreeMap::new(),
            bookings: Vec::new(),
            next_key: 1,
            log: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// The first licenses, and mostly rules.
    pub fn begin(&mut self) {
        self.reload();
        if self.random.percent(60) {
            self.rules();
        }
    }

    pub fn step(&mut self) {
        let step = random::step(&mut self.random);
        self.log.push(format!("day {}, {} ms: {step:?}", self.naive.day, self.naive.tick));
        match step {
            Step::Checkout => {
                let request = random::request(&mut self.random, self.next_key, &self.bookings);
                self.next_key += 1;
                self.checkout(&request);
            }
            Step::Wait => self.crowd(),
            Step::Confirm => self.confirm(),
            Step::GiveUp => self.give_up(),
            Step::Cancel => self.cancel(),
            Step::Retry => self.retry(),
            Step::Try => self.try_checkout(),
            Step::Checkin => self.checkin(),
            Step::Disconnect => {
                if let Some(connection) = self.some_connection() {
                    self.note(format!("connection {connection}"));
                    self.server.disconnect(ConnectionId(connection));
                    self.naive.disconnect(connection);
                }
            }
            Step::Silence => {
                if let Some(connection) = self.some_connection() {
                    let silent = self.naive.connections.iter_mut().find(|c| c.id == connection);
                    let silent = &mut silent.expect("it is open").is_silent;
                    *silent = !*silent;
                    let text = format!("connection {connection} is silent: {silent}");
                    self.note(text);
                }
            }
            Step::Idle => {
                if let Some(connection) = self.some_connection() {
                    let idle = self.random.percent(85).then(|| self.random.below(400_000));
                    self.note(format!("connection {connection} idles for {idle:?} ms"));
                    self.server.beat(ConnectionId(connection), idle);
                    self.naive.beat(connection, idle);
                }
            }
            Step::Crash => self.crash(),
            Step::Lunch => self.lunch(),
            Step::Resume => self.resume(),
            Step::Pass => self.pass(),
            Step::Midnight => self.midnight(),
            Step::Clock => self.set_clock(),
            Step::Sweep => self.sweep(),
            Step::Reload => self.reload(),
            Step::Rules => self.rules(),
            Step::Book => self.book(),
            Step::Release => self.release(),
            Step::Restart => self.restart(),
        }
        self.serve();
        self.compare();
    }

    pub fn note(&mut self, text: String) {
        self.log.push(format!("    {text}"));
    }

    /// Brings features to the day, as every request does before it is decided; then the model follows.
    pub fn refresh(&mut self, features: &[String]) {
        let changes = self.server.refresh(features.iter().map(String::as_str));
        self.announce(&changes);
        self.follow_moves();
        for feature in features {
            self.compare_announced(feature);
        }
    }

    /// The features of a session, and of what it took as a token.
    fn refresh_of(&mut self, session: u64) {
        let of = self.naive.held.iter().filter(|h| h.session == session || h.needed_by == Some(session));
        let features: Vec<String> = of.map(|h| h.pool.feature.clone()).collect();
        self.refresh(&features);
    }

    pub fn checkout(&mut self, request: &Request) {
        self.wait(request, 0);
    }

    /// A checkout that waits for so long where there is no seat.
    pub fn wait(&mut self, request: &Request, ms: u64) {
        self.serve();
        let on = self.connection_for(request.program.install);
        self.note(format!("{request:?} on {on}"));
        let was_complete = self.server.ledger.is_complete();
        self.refresh(&request.wanted.iter().map(|w| w.feature.clone()).collect::<Vec<_>>());
        let before = self.naive.clone();
        let expected = self.naive.checkout_or_wait(request, ms, on);
        let (changes, outcome) = self.server.checkout_or_wait(&checkout(request), ms, ConnectionId(on));
        assert!(changes.is_empty(), "everything named was brought to the day");
        match (outcome, expected) {
            (Ok(CheckoutOutcome::Grant { granted, .. }), Ok(Verdict::Granted(sessions))) => {
                let given: Vec<u64> = granted.sessions.iter().map(|s| s.session.0).collect();
                assert_eq!(given, sessions, "the sessions of the grant");
                for session in &granted.sessions {
                    let held = self.naive.find(session.session.0).expect("it was granted");
                    assert_eq!(session.above_soft_limit, held.is_soft, "SOFTLIMIT");
                    let token = session.token.map(|nth| granted.bundle.0 + u64::from(nth));
                    assert_eq!(token, held.needed_by, "whose token took it");
                }
                self.requests.push(request.clone());
                self.seen.push(if was_complete { "granted" } else { "granted while stale" });
                self.see_grant(&before, &sessions);
            }
            (Ok(CheckoutOutcome::Replay(bundle)), Ok(Verdict::Same(same))) => {
                assert_eq!(bundle.0, same);
                self.seen.push("same grant");
            }
            (Ok(CheckoutOutcome::Waits(waiter)), Ok(Verdict::Waits(number))) => {
                assert_eq!(waiter.0, number);
                let is_new = !before.waiters.iter().any(|w| w.number == number);
                let came_back = before.waiters.iter().any(|w| w.number == number && w.on.is_none());
                self.seen.extend(is_new.then_some("waits"));
                self.seen.extend(came_back.then_some("came back to its place"));
                if is_new {
                    self.requests.push(request.clone());
                }
            }
            (Err(denial), Err(denied)) => self.same_denial(&denial, &denied),
            (given, expected) => panic!("the ledger says {given:?}, the model {expected:?}"),
        }
        self.see_warnings(&before);
        self.serve();
    }

    /// Who is warned of what idles, since when; and what was worth the history.
    fn see_warnings(&mut self, before: &Naive) {
        let presence = self.server.ledger.presence();
        for held in &self.naive.held {
            let warned = self.naive.warned.iter().find(|w| w.session == held.session);
            let given = presence.warned_at(SessionId(held.session));
            assert_eq!(given, warned.map(|w| w.at), "when session {} was warned", held.session);
        }
        let was = |session: u64| before.warned.iter().find(|w| w.session == session);
        for warned in &self.naive.warned {
            self.seen.push(match was(warned.session) {
                None if before.warned.iter().any(|w| before.tick < w.asked + 30_000) => {
                    "warned beside others"
                }
                None => "warned",
                Some(w) if w.asked < warned.asked && w.wanted_by != warned.wanted_by => {
                    "warned for another now"
                }
                Some(_) => continue,
            });
        }
    }

    /// What makes a grant worth the history, and what no grant may do.
    fn see_grant(&mut self, before: &Naive, sessions: &[u64]) {
        for session in sessions {
            let held = self.naive.find(*session).expect("it was granted").clone();
            let total = self.naive.pool(&held.pool).total;
            let (was, is) = (before.used(&held.pool), self.naive.used(&held.pool));
            let adds = is > was;
            assert!(total == UNLIMITED || !adds || is <= total, "{is} of {total} after a grant");
            self.seen.extend((total == UNLIMITED).then_some("granted over unlimited"));
            self.seen.extend(held.is_soft.then_some("granted above the soft limit"));
            self.seen.extend((!adds).then_some("granted without a seat more"));
            self.seen.extend(held.booking.map(|_| "granted on a booking"));
            self.seen.extend(held.share.as_ref().map(|_| "granted to a share group"));
            match held.pool.which {
                Which::Exclusive => {}
                Which::Additive(_) => self.seen.push("granted from an additive pool"),
                Which::Token if held.needed_by.is_some() => self.seen.push("granted by a token of tokens"),
                Which::Token => self.seen.push("granted by a token"),
            }
        }
        self.seen.extend((self.naive.kept != before.kept).then_some("granted out of held seats"));
        for gone in before.held.iter().filter(|h| self.naive.find(h.session).is_none()) {
            self.seen.push(if gone.on.is_some() {
                "granted after idling"
            } else {
                "granted after a reclaim"
            });
        }
    }

    fn same_denial(&mut self, denial: &Denial, denied: &Denied) {
        let code = denial.code.as_str();
        assert_eq!(code, denied.code, "the ledger says the first: {}; the model {denied:?}", denial.message);
        self.seen.push(code);
        let Some(subject) = &denial.subject else { return };
        let needed_by = subject.needed_by.as_ref().map(|name| name.to_lowercase());
        assert_eq!(needed_by, denied.needed_by, "the token: {}", denial.message);
        if !denied.feature.is_empty() {
            assert_eq!(subject.feature.to_lowercase(), denied.feature, "what failed: {}", denial.message);
        }
        self.seen.extend(needed_by.map(|_| "needed by a token"));
        if code == "no_seats" {
            let is_complete = self.server.ledger.is_complete();
            let queued = if is_complete { denied.queued } else { subject.queued_before_you };
            assert_eq!(subject.queued_before_you > 0, denied.queued > 0, "held back: {}", denial.message);
            assert_eq!(subject.queued_before_you, queued, "who came before: {}", denial.message);
            self.seen.extend((denied.queued > 0).then_some("held back"));
        }
        let Some(nearest) = &denied.nearest else { return };
        let others: Vec<_> = subject.others.iter().map(|o| (which(&o.kind), o.code.as_str())).collect();
        let expected: Vec<_> = denied.others.iter().map(|(key, code)| (key.which.clone(), *code)).collect();
        assert_eq!(others, expected, "what the other pools say");
        let numbers = subject.numbers.expect("a pool was tried (S4)");
        let of = self.naive.numbers_of(nearest);
        assert_eq!(
            (total(numbers.total), numbers.used, numbers.held, numbers.over()),
            (of.total, of.used, of.held, of.over),
            "the numbers of {nearest:?}"
        );
        self.seen.extend((code == "no_seats" && of.over > 0).then_some("no_seats in over use"));
    }

    fn retry(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let mut request = self.random.one_of(&self.requests).clone();
        if self.random.percent(15) {
            request.secret += 1;
        }
        self.checkout(&request);
    }

    fn try_checkout(&mut self) {
        let request = random::request(&mut self.random, 0, &self.bookings);
        self.note(format!("{request:?}"));
        self.refresh(&request.wanted.iter().map(|w| w.feature.clone()).collect::<Vec<_>>());
        let given = self.server.ledger.decide_try(&checkout(&request), self.server.now);
        let expected = self.naive.look(&request).err().map(|denied| denied.code);
        assert_eq!(given.err().map(|denial| denial.code.as_str()), expected);
    }

    pub fn checkin(&mut self) {
        let Some(session) = self.some_session() else { return };
        let held = self.naive.find(session).cloned();
        let count = match &held {
            _ if self.random.percent(50) => None,
            Some(held) => Some(self.random.below(held.count.min(1_000) + 2)),
            None => Some(1),
        };
        let own = held.and_then(|h| h.on).filter(|_| self.random.percent(90));
        let on = own.or_else(|| self.some_connection()).unwrap_or(999);
        self.note(format!("session {session}, {count:?}, on {on}"));
        self.refresh_of(session);
        self.naive.hear(on);
        let expected = self.naive.judge_checkin(session, count, on);
        let given = self.server.checkin(
            SessionId(session),
            count.map(|n| u32::try_from(n).expect("a count")),
            ConnectionId(on),
        );
        assert_eq!(given.as_ref().err().map(|denial| denial.code.as_str()), expected);
        match given {
            Ok(outcome) => {
                let kept = self.naive.kept.len();
                let is_token = self.naive.held.iter().any(|h| h.needed_by == Some(session));
                self.naive.check_in(session, count);
                let remaining = self.naive.find(session).map_or(0, |h| h.count);
                assert_eq!(u64::from(outcome.remaining), remaining);
                self.seen.extend((self.naive.kept.len() > kept).then_some("held after a checkin"));
                self.seen.extend((remaining > 0).then_some("given back in part"));
                self.seen.extend((remaining > 0 && is_token).then_some("tokens given back in part"));
            }
            Err(denial) => self.seen.push(denial.code.as_str()),
        }
    }

    fn resume(&mut self) {
        let Some(session) = self.some_session() else { return };
        let bundle = self.naive.find(session).map_or(session, |h| h.bundle);
        let bundle = if self.random.percent(10) { session } else { bundle };
        let held = self.naive.held.iter().find(|h| h.bundle == bundle);
        let (mut secret, mut program) = match held {
            Some(held) => (held.secret, held.program.clone()),
            None => (0, random::program(&mut self.random)),
        };
        match self.random.below(20) {
            0 => secret += 1,
            1 => program.user = format!("ACME\\{}", program.user.to_uppercase()),
            2 => program.host = format!("{}.acme.example", program.host.to_uppercase()),
            3 => program.user.push('x'),
            4 => program.host.insert(0, 'x'),
            5 => program.install += 100,
            6 => program.version = Some(Some((9, 9, 9))),
            7 => program.minutes = 60,
            8 => program.share = Some("another".into()),
            _ => {}
        }
        let on = match self.some_connection().filter(|_| self.random.percent(40)) {
            Some(on) => on,
            None => self.connect(),
        };
        self.note(format!("bundle {bundle} on {on}, {program:?}"));
        let expected = self.naive.judge_resume(bundle, secret, &program);
        let before = self.naive.held.iter().find(|h| h.bundle == bundle).and_then(|h| h.on);
        let given =
            self.server.resume(SessionId(bundle), &half_hash(&secret), &facts(&program), ConnectionId(on));
        self.naive.hear(on);
        match given {
            Ok(lost) => {
                assert_eq!(expected, None, "resumed");
                assert_eq!(lost.map(|c| c.0), before.filter(|b| *b != on), "resumed_elsewhere");
                self.naive.attach(bundle, on);
                self.seen.push(if lost.is_some() { "taken from another connection" } else { "resumed" });
            }
            Err(denial) => {
                assert_eq!(Some(denial.code.as_str()), expected, "{}", denial.message);
                self.seen.push(denial.code.as_str());
            }
        }
    }

    fn pass(&mut self) {
        let ms = match self.random.below(10) {
            0 => 3_600_000,
            1 => LEASE_MS,
            3..6 => self.random.below(20) * 1_000,
            2 => PATIENCE.reap_after_ms,
            _ => self.random.below(LEASE_MS + 30_000),
        };
        // In slices a waiter may be served before all are known to be silent, whose seats it may have.
        let may_slice = self.naive.waiters.is_empty();
        let slice = if self.random.percent(30) && may_slice { 1 } else { usize::MAX };
        self.note(format!("{ms} ms, {slice} a batch"));
        let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
        self.refresh(&all);
        let silent: Vec<u64> = self.naive.connections.iter().filter(|c| c.is_silent).map(|c| c.id).collect();
        let given = self.server.pass_in_slices(ms, slice, &|id| !silent.contains(&id.0));
        let mut given: Vec<(u64, u64)> = given.into_iter().map(|(tick, id)| (tick, id.0)).collect();
        given.sort_unstable();
        let kept = self.naive.kept.len();
        let mut expected = self.naive.pass(ms);
        expected.sort_unstable();
        assert_eq!(given, expected, "(when, which) was reaped");
        self.seen.extend((!given.is_empty()).then_some("reaped"));
        self.seen.extend((self.naive.kept.len() > kept).then_some("held after its client was reaped"));
    }

    fn midnight(&mut self) {
        let days = if self.random.percent(70) { 1 } else { self.random.below(12) };
        self.naive.day += i32::try_from(days).expect("few");
        let new = day(self.naive.day);
        self.note(format!("{new}"));
        self.server.begin_day(new);
        if self.random.percent(60) {
            self.sweep();
        }
    }

    /// Somebody sets the wall clock far back, or right (S71).
    fn set_clock(&mut self) {
        let behind = 2 + self.random.below(20);
        let is_behind = self.naive.clock.is_none() || self.random.percent(30);
        self.naive.clock = is_behind.then(|| self.naive.day - i32::try_from(behind).expect("few"));
        self.server.now.clock = self.naive.clock.map_or(WallClock::Trusted, |of| WallClock::Suspect(day(of)));
        // As the engine does: what a wrong clock kept from those who wait, they may have now.
        self.server.ledger.feed_all();
        self.note(format!("the clock: {:?}", self.server.now.clock));
    }

    pub fn sweep(&mut self) {
        let budget = 1 + self.random.below(4) as usize;
        let mut changes =
            if self.random.percent(70) { self.server.sweep(budget) } else { self.server.sweep_slice(budget) };
        if !self.moved().is_empty() {
            // A slice may end between two sessions that move; the model moves them all.
            changes.extend(self.server.sweep(budget));
        }
        self.announce(&changes);
        self.follow_moves();
    }

    /// Somebody says that it has what it was given, now and then somebody who has it for long.
    pub fn confirm(&mut self) {
        let offers: Vec<u64> = self.naive.offers.iter().map(|offer| offer.bundle).collect();
        let bundle = match offers.is_empty() || self.random.percent(5) {
            true => self.some_session().unwrap_or(1),
            false => *self.random.one_of(&offers),
        };
        self.note(format!("bundle {bundle}"));
        let waits = self.naive.waiters.len();
        self.server.confirm(SessionId(bundle));
        self.naive.confirm(bundle);
        self.seen.extend((self.naive.waiters.len() < waits).then_some("confirmed"));
    }

    /// Somebody waits no longer, or an administrator says so.
    fn give_up(&mut self) {
        if self.naive.waiters.is_empty() {
            return;
        }
        let waiter = self.random.one_of(&self.naive.waiters).clone();
        let has_seats = self.naive.has_seats(&waiter);
        self.note(format!("waiter {}", waiter.number));
        let cause = if has_seats { WaitCause::Released } else { WaitCause::GivenUp };
        self.naive.give_up(waiter.request.key);
        self.server.end_wait(SessionId(waiter.number), cause);
        self.seen.push("gave up");
    }

    /// Somebody has no use any more for what it asked, answered or not, or never heard of.
    fn cancel(&mut self) {
        let key = 1 + self.random.below(self.next_key);
        if key == self.next_key {
            self.next_key += 1;
        }
        self.note(format!("key {key}"));
        // It may have been asked for again with another secret, before it was anybody's.
        let held = self.naive.held.iter().find(|h| h.key == key).map(|h| h.secret);
        let waits = self.naive.waiters.iter().find(|w| w.request.key == key).map(|w| w.request.secret);
        let secret = held.or(waits).unwrap_or(key * 7 + 1);
        let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
        self.refresh(&all);
        let (held, waiters) = (self.naive.held.len(), self.naive.waiters.len());
        self.naive.cancel(key);
        let nothing = Request { key, secret, ..random::request(&mut self.random, key, &[]) };
        self.server.cancel(&crate::bridge::checkout(&nothing)).expect("it knows the secret");
        self.seen.push(if self.naive.held.len() < held {
            "cancelled what was granted"
        } else if self.naive.waiters.len() < waiters {
            "cancelled what waited"
        } else {
            "cancelled what was not there"
        });
    }

    /// Both serve their queue, and come to the same.
    pub fn serve(&mut self) {
        self.server.serve();
        let owed = std::mem::take(&mut self.server.owed);
        self.announce(&owed);
        self.follow_moves();
        self.naive.serve();
        let say = |happened: Happened| match happened {
            Happened::Served(waiter, bundle) => Some(crate::naive::Happened::Served(waiter.0, bundle.0)),
            Happened::TakenBack(bundle) => Some(crate::naive::Happened::TakenBack(bundle.0)),
            Happened::WaitEnded(ended) => match ended.cause {
                WaitCause::TimedOut => Some(crate::naive::Happened::TimedOut(ended.waiter.0)),
                WaitCause::Reaped => Some(crate::naive::Happened::Reaped(ended.waiter.0)),
                _ => None,
            },
        };
        let given: Vec<crate::naive::Happened> =
            std::mem::take(&mut self.server.queue).into_iter().filter_map(say).collect();
        let expected = std::mem::take(&mut self.naive.queue);
        assert_eq!(given, expected, "what became of those who wait; they are {:#?}", self.naive.waiters);
        if !expected.is_empty() {
            self.note(format!("queue: {expected:?}"));
        }
        for happened in expected {
            self.seen.push(match happened {
                crate::naive::Happened::Served(..) => "served",
                crate::naive::Happened::TakenBack(_) => "taken back",
                crate::naive::Happened::TimedOut(_) => "timed out",
                crate::naive::Happened::Reaped(_) => "place lost",
            });
        }
    }

    fn release(&mut self) {
        let Some(session) = self.some_session() else { return };
        self.note(format!("session {session}"));
        self.refresh_of(session);
        let expected = self.naive.judge_release(session);
        let given = self.server.release(SessionId(session), "root", "test");
        assert_eq!(given.err().map(|denial| denial.code.as_str()), expected);
        if expected.is_none() {
            let kept = self.naive.kept.len();
            self.naive.release(session);
            self.seen.extend((self.naive.kept.len() > kept).then_some("held after a release"));
        }
    }

    fn restart(&mut self) {
        self.serve();
        self.seen.extend((!self.naive.held.is_empty()).then_some("restart with sessions"));
        self.seen.extend((!self.naive.waiters.is_empty()).then_some("restart with waiters"));
        self.server.restart().unwrap_or_else(|why| panic!("{why}"));
        self.naive.restart();
    }

    /// L22: what is announced begins where the last announcement ended.
    fn announce(&mut self, changes: &[PoolChange]) {
        for change in changes {
            let key = pool_key(&change.set.vendor, &change.set.feature, &change.set.kind);
            let before = self.announced.get(&key).copied().unwrap_or(0);
            assert_eq!(total(change.before), before, "the change announced for {key:?}: {}", change.why);
            self.announced.insert(key, total(change.set.total));
        }
    }

    /// The features of which the ledger has moved sessions that the model has not.
    fn moved(&self) -> Vec<(String, String)> {
        let state = self.server.ledger.state();
        let mut moved: Vec<(String, String)> = Vec::new();
        for held in &self.naive.held {
            let Some((_, session)) = state.session(SessionId(held.session)) else { continue };
            let pool = state.pool(session.pool).expect("a session's pool is there");
            if pool_key(&pool.vendor, &pool.feature, &pool.kind) != held.pool {
                moved.push((held.pool.vendor.clone(), held.pool.feature.clone()));
            }
        }
        moved.sort();
        moved.dedup();
        moved
    }

    /// L39: where the ledger has moved sessions of a feature, the model does so too, and comes to the same.
    fn follow_moves(&mut self) {
        let mut moved = self.moved();
        // Some may have been given to a waiter since.
        for change in std::mem::take(&mut self.server.moved) {
            if let Some(pool) = self.server.ledger.state().pool(change.to) {
                let key = pool_key(&pool.vendor, &pool.feature, &pool.kind);
                moved.push((key.vendor, key.feature));
            }
        }
        moved.sort();
        moved.dedup();
        for (vendor, feature) in moved {
            self.naive.move_the_homeless(&vendor, &feature);
            self.seen.push("moved to another pool");
            let is_over = |pool: &crate::naive::Pool| pool.total < self.naive.used(&pool.key);
            let over = self.naive.pools_with_seats(&vendor, &feature).iter().any(is_over);
            self.seen.extend(over.then_some("moved beyond its total"));
        }
    }

    /// A session that lives, seldom one that is gone or never was.
    fn some_session(&mut self) -> Option<u64> {
        if self.random.percent(7) {
            return Some(self.random.below(self.naive.next_session + 2));
        }
        let held = &self.naive.held;
        (!held.is_empty()).then(|| self.random.one_of(held).session)
    }

    fn some_connection(&mut self) -> Option<u64> {
        let open = &self.naive.connections;
        (!open.is_empty()).then(|| self.random.one_of(open).id)
    }

    fn connect(&mut self) -> u64 {
        let id = self.server.connect().0;
        self.naive.connections.push(Connection {
            id,
            heard: self.naive.tick,
            is_silent: false,
            active: None,
        });
        id
    }

    /// One of the open ones, mostly; several programs may share it (S11).
    pub fn connection_for(&mut self, install: u64) -> u64 {
        let open = &self.naive.connections;
        match open.get(install as usize) {
            Some(connection) if self.random.percent(90) => connection.id,
            _ => self.connect(),
        }
    }
}

fn which(kind: &PoolKind) -> Which {
    match kind {
        PoolKind::Exclusive => Which::Exclusive,
        PoolKind::Additive(sn) => Which::Additive(sn.to_string()),
        PoolKind::Token => Which::Token,
    }
}
