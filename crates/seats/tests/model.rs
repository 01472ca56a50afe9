//! Random histories against a naive model that shares no code with `seats` (design.md, "How it is tested").
//!
//! The model (`model/naive.rs`) predicts exactly: granted or which code, totals, seats in use, which sessions live
//! and when each lease ends. After each step: seats granted are at most the total at the time of the grant, no
//! session is lost, and what is on disk gives the same ledger. At each reload the order of files is shuffled.
//!
//! `SEATKEEPER_SEED=n` repeats a run, `SEATKEEPER_MODEL_HISTORIES=n` makes it longer.
//!
//! Errors were planted in the ledger by hand, one at a time, to see that somebody notices (plant your own after
//! changing a rule). Found by the stories and by this model, each alone: END or START exclusive; an upgrade
//! without a base; a duplicate counted twice; an overflow let through, or wrapped; an upgrade without END above a
//! base with one; a retried key that takes a second seat; expiry that ends sessions; a checkin in part that
//! frees all; a midnight that forgets a pool; yesterday's total; a lease from the connect instead of the last
//! sign of life; one seat too many; two items of one feature not added up; lost seats counted as active; a
//! restart that halves leases; a resume that leaves the old deadline; a snapshot without spent keys; session
//! numbers used again; the order of files; L31 without ISSUED; a resume without the secret; a wrapped `free`; a
//! pool forgotten with its first checkin; a reload that keeps removed licenses.
//! Found by the model alone: midnights slept through that are not made up for (there is a story now), leases
//! that skip a session when they end in slices. Found by nobody: an index of request keys that grows, since
//! no answer and no record shows it.

#[path = "model/bridge.rs"]
mod bridge;
mod driver;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bridge::{catalog, checkout, day, facts, total};
use driver::{LEASE_MS, Server, half_hash};
use naive::{Connection, Naive, Request, UNLIMITED, Verdict};
use random::{Random, Step};
use seats::catalog::Catalog;
use seats::change::SessionId;
use seats::evaluate::{State, evaluate};
use seats::ledger::{CheckoutOutcome, ConnectionId, PoolChange, Presentation};
use seats::license::Reason;

const HISTORIES: u64 = 1_000;
const STEPS: u64 = 60;

#[test]
fn random_histories_go_as_the_rules_say() {
    let number = |name: &str| env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    let first = number("SEATKEEPER_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed") >> 16);
    let histories = number("SEATKEEPER_MODEL_HISTORIES").unwrap_or(HISTORIES);
    println!("SEATKEEPER_SEED={first}, {histories} histories");
    let mut seen = BTreeMap::new();
    for seed in first..first + histories {
        let mut history = History::new(seed);
        let outcome = catch_unwind(AssertUnwindSafe(|| (0..STEPS).for_each(|_| history.step())));
        if let Err(panic) = outcome {
            eprintln!("{}", history.log.join("\n"));
            eprintln!("repeat it with SEATKEEPER_SEED={seed} SEATKEEPER_MODEL_HISTORIES=1");
            resume_unwind(panic);
        }
        for what in history.seen {
            *seen.entry(what).or_insert(0_u64) += 1;
        }
    }
    println!("{seen:#?}");
    // A generator that stops reaching something makes a test that cannot fail.
    if histories >= HISTORIES {
        for what in REACHED {
            assert!(seen.contains_key(what), "no history reached {what:?}: {seen:#?}");
        }
    }
}

/// What a thousand histories must have met, each at least once.
const REACHED: [&str; 27] = [
    "granted",
    "granted while stale",
    "granted over unlimited",
    "same grant",
    "no_seats",
    "no_seats in over use",
    "bad_request",
    "already_removed",
    "unknown_feature",
    "ambiguous_vendor",
    "not_started",
    "expired",
    "version_not_licensed",
    "release_version_required",
    "release_version_invalid",
    "platform",
    "time_zone",
    "client_host_mismatch",
    "unknown_session",
    "resumed_elsewhere",
    "lease ended",
    "resumed",
    "taken from another connection",
    "given back in part",
    "restart with sessions",
    "base and upgrades",
    "overflow",
];

/// A ledger and the model beside it.
struct History {
    random: Random,
    server: Server,
    naive: Naive,
    /// Whoever was granted something, and what it stated.
    requests: Vec<Request>,
    /// The totals that were announced (L22).
    announced: BTreeMap<(String, String), u64>,
    next_key: u64,
    log: Vec<String>,
    seen: Vec<&'static str>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut history = History {
            random: Random::new(seed),
            server: Server::new(day(0), LEASE_MS),
            naive: Naive {
                day: 0,
                tick: 0,
                lease: LEASE_MS,
                licenses: Vec::new(),
                held: Vec::new(),
                connections: Vec::new(),
                spent: Vec::new(),
                next_session: 1,
            },
            requests: Vec::new(),
            announced: BTreeMap::new(),
            next_key: 1,
            log: Vec::new(),
            seen: Vec::new(),
        };
        history.reload();
        history
    }

    fn step(&mut self) {
        let step = random::step(&mut self.random);
        self.log.push(format!("day {}, {} ms: {step:?}", self.naive.day, self.naive.tick));
        match step {
            Step::Checkout => {
                let request = random::request(&mut self.random, self.next_key);
                self.next_key += 1;
                self.checkout(&request);
            }
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
            Step::Resume => self.resume(),
            Step::Pass => self.pass(),
            Step::Midnight => self.midnight(),
            Step::Sweep => self.sweep(),
            Step::Reload => self.reload(),
            Step::Release => self.release(),
            Step::Restart => self.restart(),
        }
        self.compare();
    }

    fn note(&mut self, text: String) {
        self.log.push(format!("    {text}"));
    }

    fn checkout(&mut self, request: &Request) {
        let on = self.connection_for(request.program.install);
        self.note(format!("{request:?} on {on}"));
        let expected = self.naive.judge(request);
        let was_complete = self.server.ledger.is_complete();
        let (changes, outcome) = self.server.checkout(&checkout(request), ConnectionId(on));
        self.naive.hear(on);
        self.announce(&changes);
        let given = match outcome {
            Ok(CheckoutOutcome::Grant { granted, .. }) => {
                assert_eq!(
                    granted.bundle, granted.sessions[0].session,
                    "a bundle has the number of its first"
                );
                Verdict::Granted(granted.sessions.iter().map(|s| s.session.0).collect())
            }
            Ok(CheckoutOutcome::Replay(bundle)) => Verdict::Same(bundle.0),
            Err(denial) => {
                if denial.code.as_str() == "no_seats" {
                    let n = denial.subject.and_then(|s| s.numbers).expect("the numbers of S4");
                    self.seen.extend((n.over() > 0).then_some("no_seats in over use"));
                }
                Verdict::Denied(denial.code.as_str())
            }
        };
        assert_eq!(given, expected, "the ledger says the first, the model the second");
        match given {
            Verdict::Granted(_) => {
                self.naive.grant(request, on);
                self.requests.push(request.clone());
                self.seen.push(if was_complete { "granted" } else { "granted while stale" });
                for wanted in &request.wanted {
                    let vendor = self.naive.held.last().expect("it was granted").vendor.clone();
                    let total = self.naive.sum(&vendor, &wanted.feature).total;
                    let used = self.naive.used(&vendor, &wanted.feature);
                    if request.wanted.len() == 1 {
                        assert!(total == UNLIMITED || used <= total, "{used} of {total} after a grant");
                    }
                    self.seen.extend((total == UNLIMITED).then_some("granted over unlimited"));
                }
            }
            Verdict::Same(bundle) => {
                self.naive.attach(bundle, on);
                self.seen.push("same grant");
            }
            Verdict::Denied(code) => self.seen.push(code),
        }
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
        let request = random::request(&mut self.random, 0);
        self.note(format!("{request:?}"));
        let changes = self.server.refresh(request.wanted.iter().map(|w| &*w.feature));
        self.announce(&changes);
        let given = self.server.ledger.decide_try(&checkout(&request), self.server.now);
        assert_eq!(given.err().map(|denial| denial.code.as_str()), self.naive.look(&request));
    }

    fn checkin(&mut self) {
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
        let expected = self.naive.judge_checkin(session, count, on);
        let given = self.server.checkin(
            SessionId(session),
            count.map(|n| u32::try_from(n).expect("a count")),
            ConnectionId(on),
        );
        self.naive.hear(on);
        assert_eq!(given.as_ref().err().map(|denial| denial.code.as_str()), expected);
        match given {
            Ok(outcome) => {
                self.naive.give_back(session, count, self.naive.tick);
                let remaining = self.naive.find(session).map_or(0, |h| h.count);
                assert_eq!(u64::from(outcome.remaining), remaining);
                self.seen.extend((remaining > 0).then_some("given back in part"));
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
            _ => self.random.below(LEASE_MS + 30_000),
        };
        let slice = if self.random.percent(30) { 1 } else { usize::MAX };
        self.note(format!("{ms} ms, {slice} a batch"));
        let silent: Vec<u64> = self.naive.connections.iter().filter(|c| c.is_silent).map(|c| c.id).collect();
        let given = self.server.pass_in_slices(ms, slice, &|id| !silent.contains(&id.0));
        let mut given: Vec<(u64, u64)> = given.into_iter().map(|(tick, id)| (tick, id.0)).collect();
        given.sort_unstable();
        assert_eq!(given, self.naive.pass(ms), "(when, which) lease ended");
        self.seen.extend((!given.is_empty()).then_some("lease ended"));
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

    fn sweep(&mut self) {
        let budget = 1 + self.random.below(4) as usize;
        let changes =
            if self.random.percent(70) { self.server.sweep(budget) } else { self.server.sweep_slice(budget) };
        self.announce(&changes);
    }

    /// New files: now and then the same licenses otherwise divided, else some more, some fewer, or all others.
    fn reload(&mut self) {
        let mut fresh = random::licenses(&mut self.random, self.naive.day);
        let licenses = &mut self.naive.licenses;
        match self.random.below(7) {
            _ if licenses.is_empty() => *licenses = std::mem::take(&mut fresh),
            0 | 1 => {}
            2 if self.random.percent(20) => licenses.clear(),
            2 | 3 => licenses.retain(|_| self.random.percent(80)),
            _ => *licenses = std::mem::take(&mut fresh),
        }
        licenses.extend(fresh.into_iter().filter(|_| self.random.percent(20)));
        let sold = self.naive.licenses.clone();
        sold.iter().for_each(|s| self.note(format!("{s:?}")));
        let one = catalog(&sold, &mut self.random);
        let other = catalog(&sold, &mut self.random);
        self.same_grants(&one, &other);
        self.server.load_catalog(one);
        if self.random.percent(60) {
            self.sweep();
        }
    }

    /// L6: the order, the names and the division of the files change nothing; and the sum is that of the model.
    fn same_grants(&mut self, one: &Catalog, other: &Catalog) {
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
                let sum = self.naive.sum(a.vendor.as_str(), a.feature.as_str());
                assert_eq!(total(ea.total), sum.total, "total of {} on {on}", a.feature);
                let key = |at: usize| a.licenses[at].signed.as_ref().map(|s| s.key.to_string());
                let mut counting: Vec<_> = (0..a.licenses.len())
                    .filter(|at| ea.standings[*at].state == State::InForce)
                    .filter_map(key)
                    .collect();
                counting.sort_unstable();
                let mut expected = sum.counting;
                expected.sort_unstable();
                self.seen.extend((expected.len() > 2).then_some("base and upgrades"));
                assert_eq!(counting, expected, "which licenses of {} count on {on}", a.feature);
                let is_over = |s: &seats::evaluate::Standing| s.reason == Some(Reason::CountOverflow);
                self.seen.extend(ea.standings.iter().any(is_over).then_some("overflow"));
            }
        }
        self.naive.day = now;
    }

    fn release(&mut self) {
        let Some(session) = self.some_session() else { return };
        self.note(format!("session {session}"));
        let expected = match self.naive.find(session) {
            Some(_) => None,
            None if self.naive.was_granted(session) => Some("already_removed"),
            None => Some("unknown_session"),
        };
        let given = self.server.release(SessionId(session), "root", "test");
        assert_eq!(given.err().map(|denial| denial.code.as_str()), expected);
        if expected.is_none() {
            self.naive.give_back(session, None, self.naive.tick);
        }
    }

    fn restart(&mut self) {
        self.seen.extend((!self.naive.held.is_empty()).then_some("restart with sessions"));
        self.server.restart().unwrap_or_else(|why| panic!("{why}"));
        self.naive.restart();
    }

    /// L22: what is announced begins where the last announcement ended, and ends at today's total.
    fn announce(&mut self, changes: &[PoolChange]) {
        for change in changes {
            let key = (change.set.vendor.to_string(), change.set.feature.as_str().to_lowercase());
            let before = self.announced.get(&key).copied().unwrap_or(0);
            let after = self.naive.sum(&key.0, &key.1).total;
            let stated = (total(change.before), total(change.set.total));
            assert_eq!(stated, (before, after), "the change announced for {key:?}: {}", change.why);
            self.announced.insert(key, after);
        }
    }

    fn compare(&mut self) {
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
            assert_eq!(
                (shown.bundle.0, shown.vendor.as_str(), shown.feature.as_str().to_lowercase()),
                (held.bundle, &*held.vendor, held.feature.clone())
            );
            let expected = match held.on {
                Some(_) => Presentation::Active,
                None => Presentation::Suspect(self.naive.lease_ends(held)),
            };
            assert_eq!(shown.presence, expected, "session {}", held.session);
        }
        let numbers: Vec<_> = (ledger.counters().into_iter())
            .map(|c| ((c.vendor.to_string(), c.feature.as_str().to_lowercase()), c.total, c.used, c.active))
            .collect();
        for ((vendor, feature), _, used, active) in &numbers {
            let expected = (self.naive.used(vendor, feature), self.naive.active(vendor, feature));
            assert_eq!((*used, *active), expected, "used and active of {vendor} {feature}");
        }
        if ledger.is_complete() {
            let mut shown: Vec<_> = numbers.into_iter().map(|(key, t, ..)| (key, total(t))).collect();
            shown.sort();
            let mut expected: Vec<_> = (self.naive.features().into_iter())
                .map(|key| (self.naive.sum(&key.0, &key.1), key))
                .filter(|(sum, (v, f))| sum.base.is_some() || self.naive.used(v, f) > 0)
                .map(|(sum, key)| (key, sum.total))
                .collect();
            expected.sort();
            assert_eq!(shown, expected, "the pools and their totals, once all are swept");
        }
        if self.random.percent(10) {
            self.server.read_from_disk().unwrap_or_else(|why| panic!("{why}"));
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
        self.naive.connections.push(Connection { id, heard: self.naive.tick, is_silent: false });
        id
    }

    /// One of the open ones, mostly; several programs may share it (S11).
    fn connection_for(&mut self, install: u64) -> u64 {
        let open = &self.naive.connections;
        match open.get(install as usize) {
            Some(connection) if self.random.percent(90) => connection.id,
            _ => self.connect(),
        }
    }
}
