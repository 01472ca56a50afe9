//! The naive model as the subject of the hand-worked cases.
#![allow(dead_code, unreachable_pub, reason = "a module of several test programs")]

use seats::ledger::Patience;

use crate::cases::Subject;
use crate::naive::{
    Booking, Connection, Denied, Happened, Naive, Numbers, Policy, PoolKey, Program, Request, Sold, Verdict,
    Which,
};

/// The vendor of every hand-worked case that names none.
const VENDOR: &str = "acme";

pub struct Alone(pub Naive);

impl Alone {
    pub fn new(patience: Patience) -> Alone {
        Alone(Naive::new(patience.lease_ms, patience.reap_after_ms))
    }

    fn answer(&self, answer: Result<Verdict, Denied>) -> String {
        match answer {
            Ok(Verdict::Granted(sessions)) => {
                let is_soft = sessions.iter().any(|s| self.0.find(*s).is_some_and(|h| h.is_soft));
                if is_soft { "ok soft".into() } else { "ok".into() }
            }
            Ok(Verdict::Same(bundle)) => format!("same {bundle}"),
            Ok(Verdict::Waits(number)) => format!("waits as {number}"),
            Ok(Verdict::Denied(code)) => code.into(),
            Err(denied) => match (&denied.needed_by, denied.uncovered) {
                (Some(token), _) => format!("{} {} for {token}", denied.code, denied.feature),
                (None, 0) if denied.queued > 0 => format!("{} behind {}", denied.code, denied.queued),
                (None, 0) => denied.code.into(),
                (None, n) => format!("{} {n}", denied.code),
            },
        }
    }
}

fn or_ok(code: Option<&'static str>) -> String {
    code.unwrap_or("ok").into()
}

pub fn which(text: &str) -> Which {
    match text {
        "exclusive" => Which::Exclusive,
        "token" => Which::Token,
        sn => Which::Additive(sn.into()),
    }
}

fn name(which: &Which) -> String {
    match which {
        Which::Exclusive => "exclusive".into(),
        Which::Token => "token".into(),
        Which::Additive(sn) => sn.clone(),
    }
}

impl Subject for Alone {
    fn load(&mut self, licenses: &[Sold]) {
        self.0.load(licenses.to_vec());
        self.0.settle();
        self.0.serve();
    }

    fn rules(&mut self, policy: &Policy) {
        self.0.policy = policy.clone().into();
        self.0.serve();
    }

    fn connect(&mut self) -> u64 {
        let id = self.0.connections.iter().map(|c| c.id).max().unwrap_or(0) + 1;
        let heard = self.0.tick;
        self.0.connections.push(Connection { id, heard, is_silent: false, active: None });
        id
    }

    fn disconnect(&mut self, connection: u64) {
        self.0.disconnect(connection);
        self.0.serve();
    }

    fn fall_silent(&mut self, connection: u64) {
        let of = |c: &&mut Connection| c.id == connection;
        self.0.connections.iter_mut().find(of).expect("it is open").is_silent = true;
    }

    fn beat(&mut self, connection: u64, idle: Option<u64>) {
        self.0.beat(connection, idle);
    }

    fn checkout(&mut self, request: &Request, on: u64) -> String {
        let answer = self.0.checkout(request, on);
        self.0.serve();
        self.answer(answer)
    }

    fn wait(&mut self, request: &Request, ms: u64, on: u64) -> String {
        let answer = self.0.checkout_or_wait(request, ms, on);
        self.0.serve();
        self.answer(answer)
    }

    fn confirm(&mut self, bundle: u64) {
        self.0.confirm(bundle);
        self.0.serve();
    }

    fn give_up(&mut self, waiter: u64) {
        let key = self.0.waiters.iter().find(|w| w.number == waiter).expect("it waits").request.key;
        self.0.give_up(key);
        self.0.serve();
    }

    fn waiting(&mut self) -> Vec<u64> {
        self.0.waiters.iter().filter(|w| !self.0.has_seats(w)).map(|w| w.number).collect()
    }

    fn may_wait(&mut self, limits: [u64; 2]) {
        self.0.may_wait = limits;
    }

    fn happened(&mut self) -> Vec<String> {
        let say = |happened| match happened {
            Happened::Served(waiter, bundle) => format!("{waiter} served {bundle}"),
            Happened::TakenBack(bundle) => format!("{bundle} taken back"),
            Happened::TimedOut(waiter) => format!("{waiter} timed out"),
            Happened::Reaped(waiter) => format!("{waiter} reaped"),
        };
        std::mem::take(&mut self.0.queue).into_iter().map(say).collect()
    }

    fn look(&mut self, request: &Request) -> String {
        match self.0.look(request) {
            Ok((after, verdict)) => Alone(after).answer(Ok(verdict)),
            Err(denied) => self.answer(Err(denied)),
        }
    }

    fn checkin(&mut self, session: u64, count: Option<u64>, on: u64) -> String {
        self.0.hear(on);
        let code = self.0.judge_checkin(session, count, on);
        if code.is_none() {
            self.0.check_in(session, count);
            self.0.serve();
        }
        or_ok(code)
    }

    fn release(&mut self, session: u64) -> String {
        let code = self.0.judge_release(session);
        if code.is_none() {
            self.0.release(session);
            self.0.serve();
        }
        or_ok(code)
    }

    fn resume(&mut self, bundle: u64, secret: u64, program: &Program, on: u64) -> String {
        self.0.hear(on);
        let code = self.0.judge_resume(bundle, secret, program);
        if code.is_none() {
            self.0.attach(bundle, on);
        }
        self.0.serve();
        or_ok(code)
    }

    fn pass(&mut self, ms: u64) {
        self.0.pass(ms);
    }

    fn begin_day(&mut self, day: i32) {
        self.0.day = day;
        self.0.settle();
        self.0.serve();
    }

    fn set_clock(&mut self, day: Option<i32>) {
        self.0.clock = day;
    }

    fn restart(&mut self) {
        self.0.restart();
    }

    fn book(&mut self, token: u64, feature: &str, count: u64, ms: u64) {
        let until = self.0.tick + ms;
        self.0.bookings.push(Booking { token, vendor: VENDOR.into(), feature: feature.into(), count, until });
    }

    fn numbers(&mut self, feature: &str) -> Numbers {
        self.0.numbers(VENDOR, feature)
    }

    fn pool(&mut self, feature: &str, text: &str) -> Numbers {
        self.0.numbers_of(&PoolKey::new(VENDOR, feature, which(text)))
    }

    fn sessions(&mut self) -> Vec<String> {
        let mut all = self.0.held.clone();
        all.sort_by_key(|h| h.session);
        all.iter()
            .map(|h| format!("{} {} {} {}", h.session, h.pool.feature, name(&h.pool.which), h.count))
            .collect()
    }

    fn warned(&mut self) -> Vec<u64> {
        let all = self.0.warned.iter().map(|w| w.session);
        let mut warned: Vec<u64> = all.filter(|session| self.0.find(*session).is_some()).collect();
        warned.sort_unstable();
        warned
    }

    fn order(&mut self, feature: &str) -> Vec<String> {
        let mut pools = self.0.pools(VENDOR, feature);
        pools.retain(|p| p.license.is_some());
        pools.iter().map(|p| name(&p.key.which)).collect()
    }
}
