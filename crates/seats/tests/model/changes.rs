//! What changes around the clients of a random history: license files, rules, bookings, programs that crash.
#![allow(dead_code, unreachable_pub, reason = "a module of a test program")]

use std::sync::Arc;

use seats::ledger::{BookRequest, ConnectionId};
use seats::request::Item;

use crate::bridge::{booking, catalog, catalog_reusing, policy};
use crate::driver;
use crate::history::History;
use crate::naive::{Booking, Request, Rule, Says, Wanted, Who};
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
        let ms = *self.random.one_of(&[4_999, 5_000, 31_000, 70_000]);
        let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
        self.refresh(&all);
        self.server.pass(ms, &|_| true);
        self.naive.connections.iter_mut().for_each(|c| c.is_silent = false);
        self.naive.pass(ms);
        let asked = self.requests.iter().find(|r| r.key == dead.key).expect("it was granted").clone();
        let mut program = dead.program.clone();
        if self.random.percent(30) {
            (program.host, program.install) = ("ws3".into(), 100);
        }
        let request = Request { key: self.next_key, program, ..asked };
        self.next_key += 1;
        self.checkout(&request);
    }

    /// Everybody is at lunch; somebody who wants a seat asks, and asks again when the clients have been warned.
    pub fn lunch(&mut self) {
        let Some(held) = self.naive.held.iter().find(|h| h.on.is_some() && h.needed_by.is_none()).cloned()
        else {
            return;
        };
        let mut rules = (*self.naive.policy).clone();
        rules.rules.push(Rule { says: Says::Idle(60_000), features: Vec::new(), who: Who::default() });
        self.naive.policy = rules.into();
        self.server.rules(Arc::new(policy(&self.naive.policy)));
        let open: Vec<u64> = self.naive.connections.iter().map(|c| c.id).collect();
        let mut request = random::request(&mut self.random, 0, &[]);
        let (vendor, feature) = (Some(held.pool.vendor), held.pool.feature);
        request.wanted = vec![Wanted { vendor, feature, count: 1 + self.random.below(4) }];
        for ms in [0, 30_000] {
            let all: Vec<String> = self.naive.held.iter().map(|h| h.pool.feature.clone()).collect();
            self.refresh(&all);
            self.server.pass(ms, &|_| true);
            self.naive.connections.iter_mut().for_each(|c| c.is_silent = false);
            self.naive.pass(ms);
            for connection in &open {
                self.server.beat(ConnectionId(*connection), Some(400_000 + ms));
                self.naive.beat(*connection, Some(400_000 + ms));
            }
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
        let request = BookRequest { item: &item, token: booking(token), ms, facts: &by };
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
