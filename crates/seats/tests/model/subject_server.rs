//! The ledger as the subject of the hand-worked cases, driven as the engine drives it.
#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use std::collections::BTreeSet;
use std::sync::Arc;

use seats::change::{PoolId, PoolKind, SessionId, WaitCause};
use seats::denial::Denial;
use seats::evaluate::evaluate;
use seats::ledger::{BookRequest, CheckoutOutcome, ConnectionId, QueueLimits};
use seats::request::Item;
use seats::wall::WallClock;

use crate::bridge::{booking, catalog, checkout, day, facts, policy, total};
use crate::cases::Subject;
use crate::driver::{self, Happened, LEASE_MS, Server, half_hash, name};
use crate::naive::{Numbers, Policy, Program, Request, Sold};
use crate::random::Random;

pub struct Served {
    server: Server,
    silent: BTreeSet<ConnectionId>,
    random: Random,
}

impl Served {
    pub fn new() -> Served {
        Served { server: Server::new(day(0), LEASE_MS), silent: BTreeSet::new(), random: Random::new(1) }
    }

    fn pools(&self, feature: &str) -> Vec<(PoolKind, PoolId)> {
        self.server.ledger.state().pools_of(&name("ACME"), &name(feature)).to_vec()
    }

    fn numbers_of(&self, pool: PoolId) -> Numbers {
        let n = self.server.ledger.numbers(pool);
        Numbers {
            total: total(n.total),
            used: n.used,
            suspect: n.suspect,
            held: n.held,
            reserved: n.reserved,
            free: n.free().unwrap_or(u64::MAX),
            over: n.over(),
        }
    }
}

fn kind_name(kind: &PoolKind) -> String {
    match kind {
        PoolKind::Exclusive => "exclusive".into(),
        PoolKind::Token => "token".into(),
        PoolKind::Additive(sn) => sn.to_string(),
    }
}

/// The code, and what more a case expects of a denial.
fn in_words(denial: &Denial) -> String {
    let code = denial.code.as_str();
    let subject = denial.subject.as_ref();
    if let Some((subject, token)) = subject.and_then(|s| Some((s, s.needed_by.as_ref()?))) {
        return format!("{code} {} for {token}", subject.feature.to_lowercase());
    }
    if let Some(n) = subject.map(|s| s.queued_before_you).filter(|n| *n > 0) {
        return format!("{code} behind {n}");
    }
    // The number of free seats elsewhere is told in the sentence.
    let is_number =
        |part: &&str| part.contains("other seats are free") || part.contains("one other seat is free");
    let elsewhere = denial.message.split("; ").find(is_number);
    match elsewhere.and_then(|part| part.split(' ').next()).map(|n| if n == "one" { "1" } else { n }) {
        Some(n) => format!("{code} {n}"),
        None => code.into(),
    }
}

fn or_ok<T>(outcome: Result<T, Box<Denial>>) -> String {
    outcome.map_or_else(|denial| denial.code.as_str().into(), |_| "ok".into())
}

impl Subject for Served {
    fn load(&mut self, licenses: &[Sold]) {
        let catalog = catalog(licenses, &mut self.random);
        self.server.load_catalog(catalog);
        self.server.sweep(100);
        self.server.serve();
    }

    fn rules(&mut self, rules: &Policy) {
        self.server.rules(Arc::new(policy(rules)));
    }

    fn connect(&mut self) -> u64 {
        self.server.connect().0
    }

    fn disconnect(&mut self, connection: u64) {
        self.server.disconnect(ConnectionId(connection));
    }

    fn fall_silent(&mut self, connection: u64) {
        self.silent.insert(ConnectionId(connection));
    }

    fn beat(&mut self, connection: u64, idle: Option<u64>) {
        self.server.beat(ConnectionId(connection), idle);
    }

    fn checkout(&mut self, request: &Request, on: u64) -> String {
        self.wait(request, 0, on)
    }

    fn wait(&mut self, request: &Request, ms: u64, on: u64) -> String {
        match self.server.checkout_or_wait(&checkout(request), ms, ConnectionId(on)).1 {
            Ok(CheckoutOutcome::Grant { granted, .. }) => {
                let is_soft = granted.sessions.iter().any(|s| s.above_soft_limit);
                if is_soft { "ok soft".into() } else { "ok".into() }
            }
            Ok(CheckoutOutcome::Replay(bundle)) => format!("same {}", bundle.0),
            Ok(CheckoutOutcome::Waits(waiter)) => format!("waits as {}", waiter.0),
            Err(denial) => in_words(&denial),
        }
    }

    fn confirm(&mut self, bundle: u64) {
        self.server.confirm(SessionId(bundle));
        self.server.serve();
    }

    fn give_up(&mut self, waiter: u64) {
        self.server.end_wait(SessionId(waiter), WaitCause::GivenUp);
    }

    fn waiting(&mut self) -> Vec<u64> {
        let state = self.server.ledger.state();
        let wait = state.waiters().filter(|w| state.bundle_of_key(&w.key).is_none());
        wait.map(|w| w.waiter.0).collect()
    }

    fn may_wait(&mut self, limits: [u64; 2]) {
        let [per_feature, per_client] = limits.map(|n| u32::try_from(n).expect("few"));
        self.server.limit_queue(QueueLimits { per_feature, per_client });
    }

    fn happened(&mut self) -> Vec<String> {
        let say = |happened| match happened {
            Happened::Served(waiter, bundle) => format!("{} served {}", waiter.0, bundle.0),
            Happened::TakenBack(bundle) => format!("{} taken back", bundle.0),
            Happened::WaitEnded(ended) if ended.cause == WaitCause::TimedOut => {
                format!("{} timed out", ended.waiter.0)
            }
            Happened::WaitEnded(ended) => format!("{} reaped", ended.waiter.0),
        };
        std::mem::take(&mut self.server.queue).into_iter().map(say).collect()
    }

    fn look(&mut self, request: &Request) -> String {
        let request = checkout(request);
        self.server.free_due();
        self.server.refresh(request.items.iter().map(|i| &*i.feature));
        let outcome = self.server.ledger.decide_try(&request, self.server.now);
        outcome.map_or_else(|denial| in_words(&denial), |_| "ok".into())
    }

    fn checkin(&mut self, session: u64, count: Option<u64>, on: u64) -> String {
        let count = count.map(|n| u32::try_from(n).expect("a count"));
        or_ok(self.server.checkin(SessionId(session), count, ConnectionId(on)))
    }

    fn release(&mut self, session: u64) -> String {
        or_ok(self.server.release(SessionId(session), "root", "test"))
    }

    fn resume(&mut self, bundle: u64, secret: u64, program: &Program, on: u64) -> String {
        let secret = half_hash(&secret);
        let answer = or_ok(self.server.resume(SessionId(bundle), &secret, &facts(program), ConnectionId(on)));
        self.server.serve();
        answer
    }

    fn pass(&mut self, ms: u64) {
        let silent = self.silent.clone();
        self.server.pass(ms, &|id| !silent.contains(&id));
    }

    fn begin_day(&mut self, number: i32) {
        self.server.begin_day(day(number));
        self.server.sweep(100);
        self.server.serve();
    }

    fn set_clock(&mut self, number: Option<i32>) {
        self.server.now.clock = number.map_or(WallClock::Trusted, |number| WallClock::Suspect(day(number)));
    }

    fn restart(&mut self) {
        self.server.restart().unwrap_or_else(|why| panic!("{why}"));
        self.server.sweep(100);
    }

    fn book(&mut self, token: u64, feature: &str, count: u64, ms: u64) {
        let count = u32::try_from(count).expect("a count");
        let item = Item { vendor: None, feature: feature.into(), count };
        let facts = driver::facts("root", "lic1");
        let request =
            BookRequest { items: std::slice::from_ref(&item), token: booking(token), ms, facts: &facts };
        self.server.book(&request).expect("enough is free");
    }

    fn numbers(&mut self, feature: &str) -> Numbers {
        self.server.free_due();
        let mut sum = Numbers::default();
        for (kind, pool) in self.pools(feature) {
            if kind == PoolKind::Token {
                continue;
            }
            let of = self.numbers_of(pool);
            sum.total = sum.total.saturating_add(of.total);
            sum.used += of.used;
            sum.suspect += of.suspect;
            sum.held += of.held;
            sum.reserved += of.reserved;
            sum.free = sum.free.saturating_add(of.free);
            sum.over += of.over;
        }
        sum
    }

    fn pool(&mut self, feature: &str, which: &str) -> Numbers {
        let pool = self.pools(feature).into_iter().find(|(kind, _)| kind_name(kind) == which);
        pool.map_or_else(Numbers::default, |(_, pool)| self.numbers_of(pool))
    }

    fn sessions(&mut self) -> Vec<String> {
        let ledger = &self.server.ledger;
        let show = |view: &seats::ledger::SessionView| {
            let kind = &ledger.state().pool(view.pool).expect("a session's pool is there").kind;
            let feature = view.feature.as_str().to_lowercase();
            format!("{} {feature} {} {}", view.session.0, kind_name(kind), view.count)
        };
        ledger.sessions_page(None, usize::MAX).iter().map(show).collect()
    }

    fn warned(&mut self) -> Vec<u64> {
        let ledger = &self.server.ledger;
        let sessions = ledger.sessions_page(None, usize::MAX).into_iter().map(|view| view.session);
        sessions.filter(|id| ledger.presence().warned_at(*id).is_some()).map(|id| id.0).collect()
    }

    fn order(&mut self, feature: &str) -> Vec<String> {
        let catalog = self.server.ledger.catalog();
        let at = catalog.index_of(&name("ACME"), &name(feature)).expect("it is there");
        let evaluation = evaluate(&catalog.features()[at], self.server.now.day);
        evaluation.pools.iter().map(|pool| kind_name(&pool.kind)).collect()
    }
}
