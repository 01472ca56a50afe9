//! Whether the ledger and the naive model are in the same state, in everything that can be seen.
#![allow(dead_code, unreachable_pub, reason = "a module of a test program")]

use seats::catalog::Catalog;
use seats::change::SessionId;
use seats::evaluate::{State, evaluate};
use seats::ledger::{Presentation, Suspect};
use seats::license::Reason;

use crate::bridge::{day, pool_key, total};
use crate::history::History;
use crate::naive::{Gone, PoolKey, folded_host, folded_user};

impl History {
    /// L6: the order, the names and the division of the files change nothing; and what is granted is what the model says.
    pub fn same_grants(&mut self, one: &Catalog, other: &Catalog) {
        let now = self.naive.day;
        for ahead in [0, 1, 5] {
            let on = day(now + ahead);
            self.naive.day = now + ahead;
            for (a, b) in one.features().iter().zip(other.features()) {
                assert_eq!(a.feature.as_str(), b.feature.as_str(), "the same spelling");
                let (ea, eb) = (evaluate(a, on), evaluate(b, on));
                let standings = |f: &seats::catalog::FeatureLicenses, e: &seats::evaluate::Evaluation| {
                    let all = f.licenses.iter().zip(&e.standings);
                    let mut all: Vec<_> =
                        all.map(|(l, s)| (l.fingerprint, s.state.as_str(), s.reason)).collect();
                    all.sort_unstable();
                    all
                };
                assert_eq!((ea.total, standings(a, &ea)), (eb.total, standings(b, &eb)), "order of files");
                let mut pools = self.naive.pools(a.vendor.as_str(), a.feature.as_str());
                pools.retain(|pool| pool.license.is_some());
                let given: Vec<_> = (ea.pools.iter())
                    .map(|p| (pool_key(&a.vendor, &a.feature, &p.kind), total(p.total)))
                    .collect();
                let expected: Vec<_> = pools.iter().map(|p| (p.key.clone(), p.total)).collect();
                assert_eq!(given, expected, "the pools of {} on {on}, in the order of trial", a.feature);
                let key = |at: usize| a.licenses[at].signed.as_ref().map(|s| s.key.to_string());
                let mut counting: Vec<_> = (0..a.licenses.len())
                    .filter(|at| ea.standings[*at].state == State::InForce)
                    .filter_map(key)
                    .collect();
                counting.sort_unstable();
                let mut expected: Vec<String> = pools.into_iter().flat_map(|pool| pool.counting).collect();
                expected.sort_unstable();
                assert_eq!(counting, expected, "which licenses of {} count on {on}", a.feature);
                self.seen.extend((expected.len() > 2).then_some("base and upgrades"));
                for standing in &ea.standings {
                    self.seen.extend(match standing.reason {
                        Some(Reason::CountOverflow) => Some("overflow"),
                        Some(Reason::Replaced) => Some("replaced"),
                        Some(Reason::TokenLoop) => Some("token_loop"),
                        Some(Reason::TokenSharing) => Some("token_sharing"),
                        _ => None,
                    });
                }
            }
        }
        self.naive.day = now;
    }

    /// L22: of a feature that is up to date, what was announced last is what there is.
    pub fn compare_announced(&self, feature: &str) {
        for (vendor, name) in self.naive.features() {
            if !name.eq_ignore_ascii_case(feature) {
                continue;
            }
            for pool in self.naive.pools(&vendor, &name) {
                let announced = self.announced.get(&pool.key).copied().unwrap_or(0);
                assert_eq!(announced, pool.total, "the total announced of {:?}", pool.key);
            }
        }
    }

    pub fn compare(&mut self) {
        self.compare_sessions();
        self.compare_holds();
        self.compare_queue();
        let counters = self.server.ledger.counters();
        let is_complete = self.server.ledger.is_complete();
        let mut shown: Vec<PoolKey> = Vec::new();
        for c in counters {
            let key = pool_key(&c.vendor, &c.feature, &c.kind);
            let mut of = self.naive.numbers_of(&key);
            if !is_complete {
                // Totals, and what is kept free of them, are those of the day and the files that were swept last.
                (of.total, of.reserved) = (total(c.total), c.reserved);
            }
            assert_eq!(
                (total(c.total), c.used, c.active, c.held, c.reserved),
                (of.total, of.used, of.used - of.suspect, of.held, of.reserved),
                "total, used, active, held, reserved of {key:?}"
            );
            let n = self.server.ledger.numbers(c.pool);
            if is_complete {
                let free = n.free().unwrap_or(u64::MAX);
                assert_eq!((n.suspect, free, n.over()), (of.suspect, of.free, of.over), "of {key:?}");
                self.seen.extend((of.reserved > 0).then_some("reserved and shown"));
            }
            shown.push(key);
        }
        if is_complete {
            shown.sort();
            let mut expected: Vec<PoolKey> = Vec::new();
            for (vendor, feature) in self.naive.features() {
                expected.extend(self.naive.pools_there_are(&vendor, &feature));
            }
            expected.sort();
            assert_eq!(shown, expected, "the pools there are, once all are swept");
            let mut settled = self.naive.clone();
            settled.settle();
            assert_eq!(settled.held, self.naive.held, "every session that can move has moved (L39)");
            let is_alone = |h: &crate::naive::Held| !self.naive.has_license(&h.pool);
            self.seen.extend(self.naive.held.iter().any(is_alone).then_some("alone"));
        }
        if self.random.percent(10) {
            self.server.read_from_disk().unwrap_or_else(|why| panic!("{why}"));
        }
    }

    fn compare_sessions(&self) {
        let ledger = &self.server.ledger;
        let page = ledger.sessions_page(None, usize::MAX);
        let mut held: Vec<_> = self.naive.held.iter().collect();
        held.sort_by_key(|h| h.session);
        assert_eq!(
            page.iter().map(|s| (s.session.0, u64::from(s.count))).collect::<Vec<_>>(),
            held.iter().map(|h| (h.session, h.count)).collect::<Vec<_>>(),
            "the sessions that live, and their seats"
        );
        for (shown, held) in page.iter().zip(&held) {
            let kind = &ledger.state().pool(shown.pool).expect("a session's pool is there").kind;
            assert_eq!(
                (shown.bundle.0, pool_key(&shown.vendor, &shown.feature, kind)),
                (held.bundle, held.pool.clone()),
                "the pool of session {}",
                held.session
            );
            assert_eq!(
                (shown.token.map(|t| t.0), shown.is_shared),
                (held.needed_by, held.share.is_some()),
                "the token of session {}, and whether it shares",
                held.session
            );
            let expected = match self.naive.gone(held) {
                None => Presentation::Active,
                Some(Gone { since, free_at, ends, heard }) => {
                    Presentation::Suspect(Suspect { since, free_at, reaped_at: ends, heard })
                }
            };
            assert_eq!(shown.presence, expected, "session {}", held.session);
        }
    }

    /// Who waits: since when, until when, behind how many, and where it is.
    fn compare_queue(&self) {
        let ledger = &self.server.ledger;
        // What a token needs that nobody who is there waits for is known when all is swept.
        let is_complete = ledger.is_complete();
        let given: Vec<_> = (ledger.state().waiters())
            .map(|w| {
                let has_seats = ledger.state().bundle_of_key(&w.key).is_some();
                let on = ledger.queue().connection_of(w.waiter).map(|c| c.0);
                let place = is_complete.then(|| ledger.place_of(w.waiter));
                (w.waiter.0, w.since, w.until, has_seats, on, place)
            })
            .collect();
        let expected: Vec<_> = (self.naive.waiters.iter())
            .map(|w| {
                let place = is_complete.then(|| self.naive.place_of(w));
                (w.number, w.since, w.until, self.naive.has_seats(w), w.on, place)
            })
            .collect();
        assert_eq!(given, expected, "who waits: number, since, until, has seats, connection, place");
        assert!(!ledger.is_hungry(), "everybody was served, and there is work for ever");
        for offer in &self.naive.offers {
            let waiter = ledger.queue().offered(SessionId(offer.bundle));
            assert_eq!(waiter, Some(SessionId(offer.waiter)), "what was given and is not confirmed");
        }
    }

    fn compare_holds(&self) {
        let state = self.server.ledger.state();
        let mut given: Vec<_> = (state.holds())
            .map(|h| {
                let pool = state.pool(h.pool).expect("held seats keep their pool");
                let key = pool_key(&pool.vendor, &pool.feature, &pool.kind);
                (key, h.until, u64::from(h.seats), folded_user(&h.user), folded_host(&h.host))
            })
            .collect();
        given.sort();
        let of = |k: &crate::naive::Kept| {
            let (user, host) = (folded_user(&k.program.user), folded_host(&k.program.host));
            (k.pool.clone(), k.until, k.count, user, host)
        };
        let mut expected: Vec<_> = self.naive.kept.iter().map(of).collect();
        expected.sort();
        assert_eq!(given, expected, "held seats: pool, until, how many, whose");
        let mut given: Vec<_> = state.bookings().map(|b| (b.until, u64::from(b.seats))).collect();
        given.sort_unstable();
        let mut expected: Vec<_> = self.naive.bookings.iter().map(|b| (b.until, b.count)).collect();
        expected.sort_unstable();
        assert_eq!(given, expected, "bookings: until, how many");
    }
}
