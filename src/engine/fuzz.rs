//! Any bytes as a history of a server with a policy: what the fuzzer does, and the replay of its corpus.
//!
//! The real engine, ledger and journal over a disk in memory. The bytes choose licenses, rules and operations; what must
//! hold whatever they are is asserted: no grant makes a pool hold more than it has, what is lent is out until its end and never exceeds what the licenses will grant, what is read back from disk is the
//! very ledger, and when everybody has gone and time has passed nothing is left.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use seats::catalog::Catalog;
use seats::change::{Change, SessionId};
use seats::evaluate::evaluate;
use seats::ledger::{ConnectionId, Ledger, Patience, State};
use seats::license::{
    Based, Carried, Count, Fingerprint, KeyType, License, LicenseType, LicenseVersion, Name, Place, Replaces,
    Share, Signed, Special, TokenDependency,
};
use seats::policy::Policy;
use seats::request::{Checkout, Facts, Item, NameRules};

use super::Engine;
use super::ask::{Answer, Ask, Event, Outbox, Request};
use super::record::StateFold;
use crate::clock::{Reading, Ticks};
use crate::journal::{Journal, MemoryDisk, Options};

/// Longer histories find nothing that shorter ones do not.
const OPERATIONS_MAX: usize = 400;
const LEASE_MS: u64 = 120_000;
const DAY: NaiveDate = NaiveDate::from_ymd_opt(2030, 1, 1).expect("a day of the calendar");
const DAY_MS: i64 = 1_893_456_000_000;
const FEATURES: [&str; 4] = ["cad", "cam", "sim", "suite"];
const USERS: [&str; 4] = ["ann", "BOB", "ACME\\eve", "zoe"];
const HOSTS: [&str; 3] = ["ws1", "lab1.acme.example", "WS3"];

/// Rules that the bytes choose from; a prefix of each history's choice makes its policy.
const RULES: [&str; 10] = [
    "[[rule]]\nfeature = \"cad\"\ndeny = { users = [\"eve\"] }\n",
    "[[rule]]\nfeature = \"*\"\nlimit = 2\nper = \"user\"\n",
    "[[rule]]\nfeature = \"cad\"\nlimit = 3\nper = \"host\"\n",
    "[[rule]]\nfeature = \"cad\"\nlimit = 2\nper = \"group\"\nfor = { groups = [\"team\"] }\n",
    "[[rule]]\nfeature = \"sim\"\nreserve = 2\nfor = { users = [\"ann\"] }\n",
    "[[rule]]\nfeature = \"cad\"\nreserve = 3\nfor = { groups = [\"lab\"] }\n",
    "[[rule]]\nfeature = \"cam\"\nreserve = 9\nfor = { groups = [\"team\", \"lab\"] }\n",
    "[[rule]]\nfeature = \"*\"\nidle = \"1m\"\n",
    "[[rule]]\nfeature = \"suite\"\nlimit = 1\nper = \"project\"\n",
    "[[rule]]\nfeature = \"sim\"\nallow = { hosts = [\"ws1\"] }\n",
];
const GROUPS: &str = "[groups.users]\nteam = [\"ann\", \"bob\"]\n[groups.hosts]\nlab = [\"lab1\"]\n";

/// A connection that remembers what it was granted, and what it waits for.
#[derive(Debug)]
struct Ear {
    id: ConnectionId,
    told: Mutex<Vec<SessionId>>,
    /// Its place in a queue, the last it was told.
    waits: Mutex<Option<SessionId>>,
    /// What it was given there, the last.
    served: Mutex<Option<SessionId>>,
    idle_ms: u64,
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox for Ear {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn heard(&self) -> u64 {
        0
    }

    fn idle_ms(&self, _: u64) -> Option<u64> {
        Some(self.idle_ms)
    }

    fn answer(&self, _: u32, answer: &Answer) {
        match answer {
            Answer::Granted(view, _) => lock(&self.told).extend(view.sessions.iter().map(|s| s.session)),
            Answer::Waiting(waiter, _) => *lock(&self.waits) = Some(*waiter),
            _ => {}
        }
    }

    fn event(&self, event: &Event) {
        if let Event::Served(waiter, view) = event {
            assert_eq!(*lock(&self.waits), Some(*waiter), "somebody else's place");
            *lock(&self.served) = view.sessions.first().map(|s| s.session);
            lock(&self.told).extend(view.sessions.iter().map(|s| s.session));
        }
    }

    fn holds(&self, _: u32) {}

    fn flush(&self) {}
}

/// The bytes, one after the other; zeros when they are used up.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn below(&mut self, end: u8) -> u8 {
        self.0.next().copied().unwrap_or(0) % end.max(1)
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[usize::from(self.below(u8::try_from(texts.len()).unwrap_or(1)))]
    }
}

/// Plays the history that some bytes stand for.
///
/// # Panics
/// If something does not hold that must: a bug.
pub fn operations(data: &[u8]) {
    let mut bytes = Bytes(data.iter());
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, &mut bytes);
    for _ in 0..OPERATIONS_MAX {
        if bytes.0.len() == 0 {
            break;
        }
        world.step(&mut bytes);
    }
    world.end(&disk);
}

struct World {
    engine: Engine<MemoryDisk>,
    ears: Vec<Arc<Ear>>,
    tick: u64,
    next: u64,
}

impl World {
    fn start(disk: &MemoryDisk, bytes: &mut Bytes<'_>) -> World {
        let mut fold = StateFold::default();
        let options = Options { segment_bytes: 1 << 20, threads: false, ..Options::default() };
        let opened = Journal::open(disk.clone(), Path::new("journal"), options, &mut fold);
        let opened = opened.expect("an empty disk");
        let ledger = Ledger::new(fold.state, 0, Patience::with_lease(LEASE_MS), NameRules::default());
        let engine = Engine::new(ledger, opened.journal, 10_000);
        let mut world = World { engine, ears: Vec::new(), tick: 0, next: 1 };
        let asks = vec![reload(bytes), rules(bytes)];
        world.ask(asks);
        world
    }

    fn ask(&mut self, mut asks: Vec<Ask>) {
        let (unix_ms, today) = (self.unix_ms(), self.today());
        let reading = Reading { tick: Ticks(self.tick), unix_ms, today };
        self.engine.step(&mut asks, reading).expect("a disk in memory takes everything");
        while self.engine.has_background_work() {
            self.engine.step(&mut asks, reading).expect("a disk in memory takes everything");
        }
    }

    /// used + held of each pool against its total: how far it is over.
    fn over(&self) -> Vec<(seats::change::PoolId, u64)> {
        let ledger = self.engine.ledger();
        ledger.counters().iter().map(|c| (c.pool, ledger.numbers(c.pool).over())).collect()
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let (before, lent) = (self.over(), self.lent());
        let (mut may_shrink, mut may_return) = (false, false);
        match bytes.below(18) {
            0 => {
                may_shrink = true;
                self.ask(vec![reload(bytes)]);
            }
            1 => self.ask(vec![rules(bytes)]),
            2 | 3 => {
                may_shrink = true;
                self.tick +=
                    [1_000, 6_000, 61_000, 119_000, 3_600_000, 86_400_000][usize::from(bytes.below(6))];
                self.ask(Vec::new());
            }
            4 | 5 => self.close(bytes),
            6..=8 => {
                may_return = true;
                self.give_back(bytes);
            }
            16 | 17 => self.end_waiting(bytes),
            _ => self.checkout(bytes),
        }
        for (pool, over) in self.over() {
            let was = before.iter().find(|(id, _)| *id == pool).map_or(0, |(_, over)| *over);
            assert!(may_shrink || over <= was, "pool {}: over by {over}, it was {was}", pool.0);
        }
        self.check_lent(&lent, may_return);
    }

    /// Every session that is lent, with its end.
    fn lent(&self) -> Vec<(SessionId, i64)> {
        let page = self.engine.ledger().borrows_page(None, usize::MAX);
        page.iter().map(|borrow| (borrow.session, borrow.until)).collect()
    }

    /// What is lent stays so until its end, or until its borrower gives it back (S41, S42). And whatever was lent just now
    /// was lent by licenses that will grant as much on each day that it reaches into.
    fn check_lent(&self, before: &[(SessionId, i64)], may_return: bool) {
        let ledger = self.engine.ledger();
        let (state, now) = (ledger.state(), self.unix_ms().div_euclid(1_000));
        let mut returned = 0;
        for (session, until) in before.iter().filter(|(_, until)| now < *until) {
            let is_lent = state.borrow_of(*session).is_some_and(|(_, borrow)| borrow.until == *until);
            returned += usize::from(!is_lent);
        }
        assert!(returned <= usize::from(may_return), "{returned} borrowed sessions ended before their time");
        let of_pool = |counters: &seats::ledger::Counters| -> Vec<(NaiveDate, u64)> {
            let lent = |session: SessionId| {
                let (_, borrow) = state.borrow_of(session)?;
                Some((borrow.last_day, u64::from(state.session(session)?.1.count)))
            };
            state.borrowed_in(counters.pool).filter_map(lent).collect()
        };
        let is_new = |session: SessionId| before.iter().all(|(known, _)| *known != session);
        for counters in ledger.counters() {
            let lent = of_pool(&counters);
            assert_eq!(counters.borrowed, lent.iter().map(|(_, seats)| seats).sum::<u64>());
            assert!(counters.borrowed + counters.active <= counters.used, "{counters:?}");
            if !state.borrowed_in(counters.pool).any(is_new) {
                continue;
            }
            let at =
                ledger.catalog().index_of(&counters.vendor, &counters.feature).expect("it lent just now");
            let last = lent.iter().map(|(last, _)| *last).max().expect("something is lent");
            for day in self.today().iter_days().take_while(|day| *day <= last) {
                let total = evaluate(&ledger.catalog().features()[at], day).total_of(&counters.kind);
                let out: u64 = lent.iter().filter(|(last, _)| *last >= day).map(|(_, seats)| seats).sum();
                let is_enough = total.limited().is_none_or(|total| out <= u64::from(total));
                // What was out before the licenses changed may be too much; then nothing more is lent on those days.
                let is_older = !lent
                    .iter()
                    .zip(state.borrowed_in(counters.pool))
                    .any(|((last, _), session)| *last >= day && is_new(session));
                assert!(is_enough || is_older, "{out} of {total} are lent on {day}: {counters:?}");
            }
        }
    }

    fn unix_ms(&self) -> i64 {
        DAY_MS + i64::try_from(self.tick).unwrap_or(0)
    }

    fn today(&self) -> NaiveDate {
        DAY + chrono::Days::new(self.tick / 86_400_000)
    }

    fn close(&mut self, bytes: &mut Bytes<'_>) {
        if !self.ears.is_empty() {
            let at = usize::from(bytes.below(u8::try_from(self.ears.len()).unwrap_or(u8::MAX)));
            let ear = self.ears.remove(at);
            self.ask(vec![Ask::Close(ear.id)]);
        }
    }

    fn give_back(&mut self, bytes: &mut Bytes<'_>) {
        let at = usize::from(bytes.below(u8::try_from(self.ears.len()).unwrap_or(u8::MAX)));
        let Some(ear) = self.ears.get(at).cloned() else { return };
        let told = lock(&ear.told).clone();
        let at = usize::from(bytes.below(u8::try_from(told.len()).unwrap_or(u8::MAX)));
        let Some(session) = told.get(at).copied() else { return };
        let count = [None, Some(1), Some(2)][usize::from(bytes.below(3))];
        let request = match bytes.below(4) {
            0 => Request::Release(session, "root".into(), String::new(), 0),
            _ => Request::Checkin(session, count),
        };
        self.ask(vec![Ask::Request { from: ear, call: 1, request }]);
    }

    /// A waiter says that it has its seats, gives up, or loses its place.
    fn end_waiting(&mut self, bytes: &mut Bytes<'_>) {
        let (waits, served) = (|ear: &Ear| *lock(&ear.waits), |ear: &Ear| *lock(&ear.served));
        let ears: Vec<Arc<Ear>> = self.ears.iter().filter(|ear| waits(ear).is_some()).cloned().collect();
        let at = usize::from(bytes.below(u8::try_from(ears.len()).unwrap_or(u8::MAX)));
        let Some(ear) = ears.get(at).cloned() else { return };
        let Some(waiter) = waits(&ear) else { return };
        let request = match (bytes.below(4), served(&ear)) {
            (0, _) => Request::Release(waiter, "root".into(), String::new(), 0),
            (_, Some(bundle)) => Request::Confirm(bundle),
            (1, None) => {
                let waits = self.engine.ledger().state().waiter(waiter);
                let Some((key, secret)) = waits.map(|waiting| (waiting.key, waiting.secret)) else { return };
                Request::Cancel(key, secret)
            }
            (_, None) => Request::GiveUp(waiter),
        };
        self.ask(vec![Ask::Request { from: ear, call: 1, request }]);
    }

    fn checkout(&mut self, bytes: &mut Bytes<'_>) {
        self.next += 1;
        let ear = Arc::new(Ear {
            id: ConnectionId(self.next),
            told: Mutex::default(),
            waits: Mutex::default(),
            served: Mutex::default(),
            idle_ms: u64::from(bytes.below(3)) * 50_000,
        });
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.next.to_le_bytes());
        let item = |bytes: &mut Bytes<'_>| Item {
            vendor: None,
            feature: bytes.one_of(&FEATURES).into(),
            count: 1 + u32::from(bytes.below(3)),
        };
        let items = (0..=bytes.below(2)).map(|_| item(bytes)).collect();
        let user = bytes.one_of(&USERS);
        let facts = Facts {
            install_id: [1; 16],
            user: user.into(),
            host: bytes.one_of(&HOSTS).into(),
            address: None,
            platform: bytes.one_of(&["linux-x86_64", "windows-x86_64"]).into(),
            offset_minutes: 0,
            display: None,
            project: (bytes.below(2) == 1).then(|| "falcon".into()),
            share: (bytes.below(2) == 1).then(|| "x".into()),
            release_version: (bytes.below(3) > 0).then(|| bytes.one_of(&["1.0", "2.0"]).into()),
            release_date: None,
            line_date: None,
            host_ids: Vec::new(),
        };
        let checkout =
            Checkout { key, secret: key, booking: None, items, facts: Arc::new(facts), pid: 1, lend: None };
        let request = match bytes.below(8) {
            0 => Request::Try(Box::new(checkout)),
            1 => Request::Why(Box::new(checkout), None),
            2..=4 => {
                let ms = [1_000, 30_000, 3_600_000][usize::from(bytes.below(3))];
                Request::Checkout(Box::new(checkout), ms)
            }
            7 => Request::Borrow(Box::new(checkout), [1, 24, 48, 49][usize::from(bytes.below(4))]),
            _ => Request::Checkout(Box::new(checkout), 0),
        };
        let ask = Ask::Request { from: ear.clone(), call: 1, request };
        self.ask(vec![Ask::Open(ear.clone()), ask]);
        self.ears.push(ear);
    }

    fn end(mut self, disk: &MemoryDisk) {
        let now = dump(self.engine.ledger().state());
        let mut fold = StateFold::default();
        let options = Options { segment_bytes: 1 << 20, threads: false, ..Options::default() };
        Journal::open(disk.clone(), Path::new("journal"), options, &mut fold).expect("a whole journal");
        assert_eq!(dump(&fold.state), now, "what is read back is another ledger");
        let mut snapshot = State::default();
        for change in &now {
            snapshot.check(change).expect("a snapshot fits itself");
            // A later tick would forget request keys that the ledger has not looked at yet.
            snapshot.apply(0, change);
        }
        assert_eq!(dump(&snapshot), now, "a snapshot is another ledger");
        let ears = std::mem::take(&mut self.ears);
        self.ask(ears.iter().map(|ear| Ask::Close(ear.id)).collect());
        // A lease for the sessions; then a year for what stays held.
        for _ in 0..3 {
            self.tick += 366 * 86_400_000;
            self.ask(Vec::new());
        }
        let waiter = self.engine.ledger().state().waiters().next();
        assert!(waiter.is_none(), "somebody waits for ever: {waiter:?}");
        for c in self.engine.ledger().counters() {
            assert_eq!(
                (c.used, c.active, c.borrowed, c.held),
                (0, 0, 0, 0),
                "pool {} keeps seats for nobody",
                c.pool.0
            );
        }
    }
}

fn dump(state: &State) -> Vec<Change> {
    let mut changes = Vec::new();
    state.dump(&mut |change| changes.push(change));
    changes
}

fn rules(bytes: &mut Bytes<'_>) -> Ask {
    let mut text = String::from(GROUPS);
    for _ in 0..bytes.below(5) {
        text.push_str(bytes.one_of(&RULES));
    }
    let rules = crate::policy::read("policy.toml", &text).expect("rules that are good");
    Ask::Policy(Arc::new(Policy::new(rules, NameRules::default())), Box::new(|()| ()))
}

fn reload(bytes: &mut Bytes<'_>) -> Ask {
    let licenses = (0..=bytes.below(7)).map(|nth| Arc::new(license(nth, bytes))).collect();
    Ask::Catalog(Arc::new(Catalog::new(licenses)), Box::new(|()| ()))
}

fn license(nth: u8, bytes: &mut Bytes<'_>) -> License {
    let name = |text: &str| Name::new(text).unwrap_or_else(Name::none);
    let key_type = match bytes.below(6) {
        0 => KeyType::Upgrade,
        1 | 2 => KeyType::Additive,
        3 => KeyType::Token,
        _ => KeyType::Exclusive,
    };
    let special = match key_type {
        KeyType::Token => Special {
            token_dependencies: (0..=bytes.below(2))
                .map(|_| TokenDependency {
                    feature: name(bytes.one_of(&FEATURES)),
                    version: LicenseVersion { major: 1, minor: 0 },
                    count: 1 + u32::from(bytes.below(2)),
                })
                .collect(),
            ..Special::default()
        },
        KeyType::Upgrade => Special::default(),
        _ => Special {
            hold_seconds: (bytes.below(3) == 0).then_some(60),
            min_checkout_seconds: (bytes.below(3) == 0).then_some(30),
            user_based: [None, None, Some(Based::All), Some(Based::Seats(2))][usize::from(bytes.below(4))],
            replaces: (bytes.below(6) == 0).then(|| Replaces::Feature(name("cam"))),
            ..Special::default()
        },
    };
    let share = bytes.below(5);
    let is_upgrade = key_type == KeyType::Upgrade;
    let date = |days: u8| (days > 0).then(|| DAY + chrono::Days::new(u64::from(days)));
    let count = u32::from(bytes.below(6)) + 1;
    let fingerprint = [nth, bytes.below(4)].repeat(16);
    let lends = !is_upgrade && fingerprint[1] > 0;
    License {
        vendor: name("ACME"),
        feature: name(bytes.one_of(&FEATURES)),
        key_type,
        count: match (key_type, count) {
            (KeyType::Token, _) => None,
            (_, 6) if !is_upgrade => Some(Count::Unlimited),
            _ => Some(Count::Limited(count)),
        },
        version: (!is_upgrade && bytes.below(3) == 0).then_some(LicenseVersion { major: 1, minor: 0 }),
        start: date(bytes.below(3)),
        end: date(bytes.below(4).saturating_mul(2)),
        issued: Some(DAY),
        sn: Some(format!("{}", fingerprint[1]).into()),
        license_type: LicenseType::Perpetual,
        hal: false,
        share: Share {
            host: !is_upgrade && (share == 1 || share == 3),
            user: !is_upgrade && (share == 2 || share == 3),
            custom: !is_upgrade && share == 4,
            virtual_machine: false,
        },
        platforms: if bytes.below(5) == 0 && !is_upgrade { vec!["linux".into()] } else { Vec::new() },
        time_zones: None,
        client_host_ids: Vec::new(),
        match_rate: 100,
        carried: Carried {
            soft_limit: (bytes.below(3) == 0 && !is_upgrade).then_some(1),
            special: (special != Special::default()).then(|| Box::new(special)),
            borrow_hours: lends.then_some(48),
            locked_to_key: lends,
            ..Carried::default()
        },
        fingerprint: Fingerprint(fingerprint.try_into().unwrap_or_default()),
        signed: lends.then(|| Arc::new(Signed { canonical: [nth].into(), key: "ed25519:acme:AAAA".into() })),
        place: Place { file: "fuzz.xml".into(), line: u32::from(nth) + 1, column: 1 },
        refusal: None,
    }
}
