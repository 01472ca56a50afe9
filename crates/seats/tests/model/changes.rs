//! What changes around the clients of a random history: license files, rules, bookings, programs that crash.
#![allow(dead_code, unreachable_pub, reason = "a module of a test program")]

use std::sync::Arc;

use seats::ledger::{BookRequest, ConnectionId};
use seats::request::Item;

use crate::bridge::{booking, catalog, catalog_reusing, policy};
use crate::driver;
use crate::history::History;
use crate::naive::{Booking, Request, Rule, Says, Sold, Wanted, Who};
use crate::random;

impl History {
    /// A program dies and is started again after a while: the same user asks for the same, under a new key.
    pub fn crash(&mut self) {
        let held: Vec<_> =
            self.naive.held.iter().filter(|h| h.on.is_some() && h.needed_by.is_none()).collect();
        if held.is_empty() {
            return;
        }
        let dead = (*self.random.one_of(&held)).clone();
        let connection = dead.on.expect("it is on one");
        self.note(format!("session {} on {connection}", dead.session));
        self.server.disconnect(ConnectionId(connection));
        self.naive.disconnect(connection);
        self.serve();
        let ms = *self.random.one_of(&[4_999, 5_000, 31_000, 70_000]);
        let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
        self.refresh(&all);
        self.server.pass(ms, &|_| true);
        self.naive.connections.iter_mut().for_each(|c| c.is_silent = false);
        self.naive.pass(ms);
        self.serve();
        let asked = self.requests.iter().find(|r| r.key == dead.key).expect("it was granted").clone();
        let mut program = dead.program.clone();
        if self.random.percent(30) {
            (program.host, program.install) = ("ws3".into(), 100);
        }
        let request = Request { key: self.next_key, program, ..asked };
        self.next_key += 1;
        self.checkout(&request);
    }

    /// Some want what somebody has, and mostly wait for it; now and then seats come free while they do.
    pub fn crowd(&mut self) {
        let of = (!self.naive.held.is_empty()).then(|| self.random.one_of(&self.naive.held).clone());
        for _ in 0..1 + self.random.below(3) {
            let mut request = random::request(&mut self.random, self.next_key, &self.bookings);
            self.next_key += 1;
            if let Some(held) = of.as_ref().filter(|_| self.random.percent(85)) {
                let (vendor, feature) = (Some(held.pool.vendor.clone()), held.pool.feature.clone());
                let wanted = Wanted { vendor, feature, count: 1 + self.random.below(4) };
                request.wanted.truncate(if self.random.percent(20) { 2 } else { 1 });
                match request.wanted.first_mut() {
                    Some(first) => *first = wanted,
                    None => request.wanted.push(wanted),
                }
                if self.random.percent(70) {
                    (request.program.version, request.program.has_bad_date) = (held.program.version, false);
                }
            }
            let ms = 1_000 * (1 + self.random.below(600));
            self.wait(&request, ms);
        }
        if self.random.percent(50) {
            self.checkin();
            self.serve();
        }
        if self.random.percent(50) {
            self.confirm();
        }
    }

    /// Everybody is at lunch, or nearly; some who want a seat ask, and ask again while the clients are warned and after.
    pub fn lunch(&mut self) {
        let Some(held) = self.naive.held.iter().find(|h| h.on.is_some() && h.needed_by.is_none()).cloned()
        else {
            return;
        };
        let mut rules = (*self.naive.policy).clone();
        rules.rules.push(Rule { says: Says::Idle(60_000), features: Vec::new(), who: Who::default() });
        self.naive.policy = rules.into();
        self.server.rules(Arc::new(policy(&self.naive.policy)));
        self.serve();
        let mut idle: Vec<(u64, u64)> = Vec::new();
        for connection in &self.naive.connections {
            if self.random.percent(85) {
                idle.push((connection.id, 400_000 + 1_000 * self.random.below(9)));
            }
        }
        // What they have in hand, or a token that takes it.
        let needs = |s: &&Sold| s.depends.iter().any(|d| d.feature.eq_ignore_ascii_case(&held.pool.feature));
        let token = self.naive.licenses.iter().find(needs).map(|s| s.feature.clone());
        let token = token.filter(|_| self.random.percent(50));
        let feature = token.unwrap_or_else(|| held.pool.feature.clone());
        let mut hungry = Vec::new();
        for _ in 0..2 {
            let mut request = random::request(&mut self.random, 0, &[]);
            let (vendor, count) = (Some(held.pool.vendor.clone()), 1 + self.random.below(4));
            request.wanted = vec![Wanted { vendor, feature: feature.clone(), count }];
            hungry.push(request);
        }
        let mut passed = 0;
        for (who, ms) in [(0, 0), (1, 10_000), (0, 10_000), (1, 10_000), (0, 10_000)] {
            // Now and then somebody comes late.
            let ms = ms + if self.random.percent(10) { 30_000 } else { 0 };
            let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
            self.refresh(&all);
            self.server.pass(ms, &|_| true);
            self.naive.connections.iter_mut().for_each(|c| c.is_silent = false);
            self.naive.pass(ms);
            self.serve();
            passed += ms;
            for (connection, before) in &idle {
                self.server.beat(ConnectionId(*connection), Some(before + passed));
                self.naive.beat(*connection, Some(before + passed));
            }
            let mut request = hungry[who].clone();
            (request.key, request.secret) = (self.next_key, self.next_key);
            self.next_key += 1;
            self.checkout(&request);
        }
    }

    /// New files: now and then the same licenses otherwise divided, else some more, some fewer, or all others.
    pub fn reload(&mut self) {
        let mut fresh = random::licenses(&mut self.random, self.naive.day);
        let mut licenses = self.naive.licenses.to_vec();
        match self.random.below(7) {
            _ if licenses.is_empty() => licenses = std::mem::take(&mut fresh),
            0 => {}
            // An additive that is sold as an exclusive now, or under another SN; or the other way round (L39).
            1 => {
                for sold in &mut licenses {
                    if self.random.percent(50) {
                        random::sell_otherwise(&mut self.random, sold);
                    }
                }
            }
            2 if self.random.percent(20) => licenses.clear(),
            2 | 3 => licenses.retain(|_| self.random.percent(80)),
            _ => licenses = std::mem::take(&mut fresh),
        }
        licenses.extend(fresh.into_iter().filter(|_| self.random.percent(20)));
        let sold = licenses.clone();
        self.naive.load(licenses);
        sold.iter().for_each(|s| self.note(format!("{s:?}")));
        let before = self.server.ledger.catalog().clone();
        let one = catalog_reusing(&before, &sold, &mut self.random);
        let other = catalog(&sold, &mut self.random);
        self.same_grants(&one, &other);
        self.server.load_catalog(one);
        if self.random.percent(60) {
            self.sweep();
        }
    }

    pub fn rules(&mut self) {
        self.naive.policy = random::policy(&mut self.random).into();
        let text = format!("{:?}", self.naive.policy);
        self.note(text);
        self.server.rules(Arc::new(policy(&self.naive.policy)));
    }

    pub fn book(&mut self) {
        let feature = *self.random.one_of(&random::FEATURES);
        let count = 1 + self.random.below(3);
        let (token, ms) = (self.next_key, (1 + self.random.below(30)) * 20_000);
        self.next_key += 1;
        self.note(format!("{count} of {feature} for {ms} ms under {token}"));
        self.refresh(&[feature.to_string()]);
        let expected = self.naive.judge_book(feature, count);
        let item = Item { vendor: None, feature: feature.into(), count: u32::try_from(count).expect("few") };
        let by = driver::facts("root", "lic1");
        let request =
            BookRequest { items: std::slice::from_ref(&item), token: booking(token), ms, facts: &by };
        let given = self.server.book(&request);
        assert_eq!(given.err().map(|denial| denial.code.as_str()), expected);
        if expected.is_none() {
            let vendor = self.naive.accepted().into_iter().find(|s| s.feature.eq_ignore_ascii_case(feature));
            let vendor = vendor.expect("it was booked").vendor.clone();
            let until = self.naive.tick + ms;
            self.naive.bookings.push(Booking { token, vendor, feature: feature.into(), count, until });
            self.bookings.push(token);
            self.seen.push("booked");
        }
    }
}
