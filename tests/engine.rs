//! The engine's promise: no output leaves before what it tells is on disk (S60), over a disk that fails.
//!
//! The real engine, ledger and journal, inline, with a simulated clock and a disk in memory that loses what was
//! not synced.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seatkeeper::clock::{Clock, SimulatedTime, Ticks, Zone};
use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::{Answer, Ask, Event, Outbox, Request};
use seatkeeper::engine::record::StateFold;
use seatkeeper::journal::{Journal, JournalError, MemoryDisk, Options};
use seats::catalog::Catalog;
use seats::change::SessionId;
use seats::ledger::{ConnectionId, Ledger, Patience};
use seats::license::{Carried, Count, Fingerprint, KeyType, License, LicenseType, Name, Place, Share};
use seats::policy::Policy;
use seats::request::{Checkout, Facts, Item, NameRules};

mod common;
#[path = "engine/events.rs"]
mod events;
#[path = "engine/reminders.rs"]
mod reminders;

const LEASE_MS: u64 = 120_000;
/// For how long a suspect stays whose seats nobody needs.
const REAP_MS: u64 = 900_000;
/// 2030-01-01T12:00:00Z.
const NOON: i64 = 1_893_499_200_000;

/// A connection's end that writes down what it is told.
#[derive(Debug, Default)]
struct Ear {
    id: u64,
    heard: Mutex<u64>,
    told: Mutex<Vec<String>>,
    sessions: Mutex<u32>,
    idle_ms: Mutex<Option<u64>>,
}

impl Outbox for Ear {
    fn id(&self) -> ConnectionId {
        ConnectionId(self.id)
    }

    fn heard(&self) -> u64 {
        *self.heard.lock().unwrap()
    }

    fn idle_ms(&self, _: u64) -> Option<u64> {
        *self.idle_ms.lock().unwrap()
    }

    fn answer(&self, call: u32, answer: &Answer) {
        let text = match answer {
            Answer::Granted(view, replayed) => format!("granted {} replayed {replayed}", view.bundle),
            Answer::CheckedIn(session, given, left) => format!("checked in {session}: {given}, {left} left"),
            Answer::Resumed(view) => format!("resumed {}", view.bundle),
            Answer::Denied(denial) => format!("denied {}", denial.code),
            other => format!("{other:?}"),
        };
        self.told.lock().unwrap().push(format!("{call}: {text}"));
    }

    fn event(&self, event: &Event) {
        self.told.lock().unwrap().push(format!("event {event:?}"));
    }

    fn holds(&self, sessions: u32) {
        *self.sessions.lock().unwrap() = sessions;
    }

    fn flush(&self) {
        self.told.lock().unwrap().push(format!("woken, holding {}", self.sessions.lock().unwrap()));
    }
}

impl Ear {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn license(count: u32) -> Arc<License> {
    Arc::new(License {
        vendor: Name::new("ACME").unwrap(),
        feature: Name::new("cad").unwrap(),
        key_type: KeyType::Exclusive,
        count: Some(Count::Limited(count)),
        version: None,
        start: None,
        end: None,
        issued: None,
        sn: Some("base".into()),
        license_type: LicenseType::Perpetual,
        hal: false,
        share: Share::default(),
        platforms: Vec::new(),
        time_zones: None,
        client_host_ids: Vec::new(),
        match_rate: 100,
        carried: Carried::default(),
        fingerprint: Fingerprint([7; 32]),
        signed: None,
        place: Place { file: "cad.xml".into(), line: 1, column: 1 },
        refusal: None,
    })
}

fn facts() -> Facts {
    Facts {
        install_id: [1; 16],
        user: "ann".into(),
        host: "ws7".into(),
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

fn checkout(key: u8, count: u32) -> Request {
    Request::Checkout(asking(key, count), 0)
}

fn asking(key: u8, count: u32) -> Box<Checkout> {
    let items = vec![Item { vendor: None, feature: "cad".into(), count }];
    let facts = Arc::new(facts());
    Box::new(Checkout { key: [key; 16], secret: [key; 16], booking: None, items, facts, pid: 1, lend: None })
}

/// An engine over a disk, as the daemon puts it together.
struct World {
    engine: Engine<MemoryDisk>,
    clock: Clock,
    time: Arc<SimulatedTime>,
    call: u32,
}

impl World {
    fn start(disk: &MemoryDisk, options: Options, seats: u32) -> World {
        World::at(NOON, disk, options, vec![license(seats)])
    }

    /// A start while the wall clock shows that instant.
    fn at(unix_ms: i64, disk: &MemoryDisk, options: Options, licenses: Vec<Arc<License>>) -> World {
        let mut fold = StateFold::default();
        let opened =
            Journal::open(disk.clone(), Path::new("journal"), options, &mut fold).expect("a whole journal");
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(opened.tick), unix_ms);
        let ledger =
            Ledger::new(fold.state, opened.tick, Patience::with_lease(LEASE_MS), NameRules::default());
        let engine = Engine::new(ledger, opened.journal, 10_000);
        let mut world = World { engine, clock, time, call: 0 };
        let catalog = Arc::new(Catalog::new(licenses));
        world.step(vec![Ask::Catalog(catalog, Box::new(|()| ()))]).expect("the disk is well");
        world
    }

    fn step(&mut self, mut asks: Vec<Ask>) -> Result<(), JournalError> {
        self.engine.step(&mut asks, self.clock.now())
    }

    fn connect(&mut self, id: u64) -> Arc<Ear> {
        let ear = Arc::new(Ear { id, heard: Mutex::new(self.clock.tick().0), ..Ear::default() });
        self.step(vec![Ask::Open(ear.clone())]).expect("nothing to write");
        ear
    }

    fn ask(&mut self, from: &Arc<Ear>, request: Request) -> Ask {
        self.call += 1;
        let from: Arc<dyn Outbox> = from.clone();
        Ask::Request { from, call: self.call, request }
    }

    fn used(&self) -> u64 {
        self.engine.ledger().counters().iter().map(|c| c.used).sum()
    }
}

fn inline() -> Options {
    Options { segment_bytes: 1 << 20, threads: false, ..Options::default() }
}

/// S60, S61: what was told is there after the power went, whenever it went; what was not told may be.
#[test]
fn what_was_told_is_there_after_the_power_went() {
    let seed = common::seed();
    println!("SEATKEEPER_SEED={seed}");
    for n in 1..60 {
        let disk = MemoryDisk::new(seed.wrapping_add(n));
        let mut world = World::start(&disk, inline(), 1_000);
        let ear = world.connect(1);
        ear.take();
        let goes_on = disk.operations() + n % 12;
        disk.power_off_after(n % 12);
        let mut granted = 0;
        for key in 0..20 {
            let ask = world.ask(&ear, checkout(key, 1));
            if world.step(vec![ask]).is_err() {
                break;
            }
            granted += ear.take().iter().filter(|t| t.contains("granted")).count() as u64;
        }
        let told = ear.take();
        assert!(told.is_empty(), "{n}: told though the disk had failed: {told:?}");
        assert!(disk.is_off(), "{n}: the power went after {goes_on} operations");
        drop(world);
        disk.restart();
        let world = World::start(&disk, inline(), 1_000);
        let used = world.used();
        assert!(used == granted || used == granted + 1, "{n}: {granted} were told, {used} are there");
    }
}

/// S60: a sync that fails is the end; neither grants nor denials of that batch leave.
#[test]
fn a_failed_sync_tells_nobody_anything() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 2);
    let (ann, ben) = (world.connect(1), world.connect(2));
    ann.take();
    ben.take();
    disk.fail_sync(1);
    let asks = vec![world.ask(&ann, checkout(1, 2)), world.ask(&ben, checkout(2, 1))];
    assert!(matches!(world.step(asks), Err(JournalError::Sync { .. })));
    assert_eq!((ann.take(), ben.take()), (vec![], vec![]), "told before it was on disk");
    let again = world.ask(&ann, checkout(3, 1));
    assert!(world.step(vec![again]).is_err(), "a journal that could not sync is used no more");
    assert_eq!(ann.take(), Vec::<String>::new());
}

/// S20: who is heard again after a lease has its seats again by that, before anybody who asks later can have them, however
/// many others are silent too.
#[test]
fn who_is_heard_again_is_there_before_the_next_who_asks() {
    let mut world = World::start(&MemoryDisk::new(1), inline(), 100);
    let ears: Vec<_> = (1..=100).map(|id| world.connect(id)).collect();
    for (key, ear) in (0..).zip(&ears) {
        let ask = world.ask(ear, checkout(key, 1));
        world.step(vec![ask]).expect("the disk is well");
    }
    world.time.advance(Duration::from_millis(LEASE_MS + 1));
    world.step(Vec::new()).expect("the disk is well");
    let active = |world: &World| world.engine.ledger().counters()[0].active;
    assert_eq!(active(&world), 0, "all are silent");
    // None of those that a step looks at by itself.
    let (awake, all_but_one) = (&ears[99], 99);
    let comer = world.connect(200);
    comer.take();
    *awake.heard.lock().unwrap() = world.clock.tick().0;
    let asks = vec![Ask::Heard(awake.id()), world.ask(&comer, checkout(200, 100))];
    world.step(asks).expect("the disk is well");
    let told = comer.take();
    assert!(told[0].contains("denied no_seats"), "{told:?}");
    let ask = world.ask(&comer, checkout(201, all_but_one));
    world.step(vec![ask]).expect("the disk is well");
    assert!(comer.take()[0].contains("granted"), "the others' seats");
    assert_eq!(active(&world), 100, "the one that is awake, and who came");
}

/// Many clients are answered after one sync, each connection woken once (group commit).
#[test]
fn one_batch_is_one_sync_and_one_wake_for_each_connection() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 1_000);
    let ears: Vec<_> = (1..=50).map(|id| world.connect(id)).collect();
    ears.iter().for_each(|ear| drop(ear.take()));
    let mut asks = Vec::new();
    for (at, ear) in ears.iter().enumerate() {
        for key in 0..3 {
            asks.push(world.ask(ear, checkout(u8::try_from(at * 3 + key).unwrap(), 1)));
        }
    }
    let before = disk.operations();
    world.step(asks).expect("the disk is well");
    let operations = disk.operations() - before;
    assert!(operations <= 3, "{operations} disk operations for 150 checkouts");
    for ear in ears {
        let told = ear.take();
        assert_eq!(told.len(), 4, "three answers and one wake: {told:?}");
        assert_eq!(told[3], "woken, holding 3");
    }
    assert_eq!(world.used(), 150);
}

/// S60: where no room can be set aside, checkouts are refused with the cause; checkins and resumes go on.
#[test]
fn a_full_disk_refuses_checkouts_and_takes_checkins() {
    let disk = MemoryDisk::new(1);
    let options = Options { segment_bytes: 64 << 10, ..inline() };
    let mut world = World::start(&disk, options, 1_000_000);
    let ear = world.connect(1);
    // The segment that is there, and nothing beside it.
    disk.set_capacity(64 << 10);
    let mut refused = None;
    for key in 0..=255 {
        for round in 0..4 {
            let mut asked = checkout(key, 1);
            if let Request::Checkout(c, _) = &mut asked {
                c.key[0] = round;
            }
            let ask = world.ask(&ear, asked);
            world.step(vec![ask]).expect("there is room for what is begun");
            refused = ear.take().into_iter().find(|t| t.contains("denied"));
            if refused.is_some() {
                break;
            }
        }
        if refused.is_some() {
            break;
        }
    }
    assert!(refused.expect("the disk is full").contains("denied internal"));
    let first = SessionId(1);
    let ask = world.ask(&ear, Request::Checkin(first, None));
    world.step(vec![ask]).expect("room is left for checkins");
    assert!(ear.take()[0].contains("checked in 1: 1, 0 left"));
}

/// S12, S21, S22, S61, S70: the time of a client that is gone runs on ticks: over a restart with a full lease, untouched
/// by a step of the wall clock; when that is over somebody who needs its seats may have them, and at last they are reaped.
#[test]
fn leases_run_on_ticks_and_begin_anew_after_a_restart() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 10);
    let ear = world.connect(1);
    let ask = world.ask(&ear, checkout(1, 4));
    world.step(vec![ask]).unwrap();
    world.time.set_wall_clock(NOON + 40 * 86_400_000);
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 4, "a wall clock that is stepped ends no session");
    drop(world);
    disk.restart();
    let mut world = World::start(&disk, inline(), 10);
    world.time.advance(Duration::from_millis(LEASE_MS - 1));
    let other = world.connect(2);
    let ask = world.ask(&other, checkout(2, 7));
    world.step(vec![ask]).unwrap();
    assert_eq!((world.used(), other.take()[0].contains("denied no_seats")), (4, true), "a full lease");
    world.time.advance(Duration::from_millis(1));
    let ask = world.ask(&other, Request::Try(asking(2, 7)));
    world.step(vec![ask]).unwrap();
    assert_eq!((world.used(), other.take()[0].contains("denied")), (4, false), "they could be had now");
    world.time.advance(Duration::from_millis(REAP_MS - 1));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 4, "nobody needs them");
    world.time.advance(Duration::from_millis(1));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 0, "nobody came back");
    // And that it ended is on disk too.
    drop(world);
    disk.restart();
    assert_eq!(World::start(&disk, inline(), 10).used(), 0);
}

/// S12, S20: any sign of life counts, also one that never passed through the engine.
#[test]
fn a_heartbeat_that_bypasses_the_engine_keeps_the_session() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 10);
    let ear = world.connect(1);
    let ask = world.ask(&ear, checkout(1, 1));
    world.step(vec![ask]).unwrap();
    for _ in 0..5 {
        world.time.advance(Duration::from_millis(LEASE_MS - 1_000));
        *ear.heard.lock().unwrap() = world.clock.tick().0;
        world.step(vec![]).unwrap();
        assert_eq!(world.used(), 1);
    }
    ear.take();
    // Silent for longer than a lease, and heard again: nobody needed the seat.
    world.time.advance(Duration::from_millis(LEASE_MS + REAP_MS - 1));
    world.step(vec![]).unwrap();
    assert_eq!((world.used(), ear.take()), (1, Vec::new()), "suspect, and its client is told nothing");
    *ear.heard.lock().unwrap() = world.clock.tick().0;
    // A daemon's engine looks twice a second, whatever happens.
    world.step(vec![]).unwrap();
    world.time.advance(Duration::from_millis(LEASE_MS + REAP_MS - 1));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 1);
    world.time.advance(Duration::from_millis(1));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 0, "reaped, the socket open");
    let told = ear.take();
    assert!(told[0].contains("Ended") && told[0].contains("already_removed"), "{told:?}");
}

/// S20, S31: who is given what it waited for has said nothing by that; its lease runs from when it was heard.
#[test]
fn a_waiter_that_is_served_counts_as_heard_when_it_was() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 1);
    let (ann, ben, eve) = (world.connect(1), world.connect(2), world.connect(3));
    let ask = world.ask(&ann, checkout(1, 1));
    world.step(vec![ask]).unwrap();
    let ask = world.ask(&ben, Request::Checkout(asking(2, 1), 900_000));
    world.step(vec![ask]).unwrap();
    // Nothing is heard of Ben any more; shortly before his lease is over he is served.
    world.time.advance(Duration::from_millis(LEASE_MS - 1_000));
    let ask = world.ask(&ann, Request::Checkin(SessionId(1), None));
    world.step(vec![ask]).unwrap();
    let told = ben.take();
    assert!(told.iter().any(|t| t.contains("Served")), "{told:?}");
    world.time.advance(Duration::from_millis(999));
    let ask = world.ask(&eve, checkout(3, 1));
    world.step(vec![ask]).unwrap();
    assert!(eve.take()[0].contains("denied no_seats"), "he has his lease");
    world.time.advance(Duration::from_millis(1));
    let ask = world.ask(&eve, checkout(3, 1));
    world.step(vec![ask]).unwrap();
    let told = eve.take();
    assert!(told[0].contains("granted"), "his lease is over: {told:?}");
}

/// S50: of two who idle one is told that his seat is wanted, and nobody where the server would not grant it anyway.
#[test]
fn one_idle_client_is_told_that_its_seat_is_wanted() {
    let disk = MemoryDisk::new(1);
    let mut world = World::start(&disk, inline(), 2);
    let rules = seatkeeper::policy::read("policy.toml", "[[rule]]\nfeature = \"cad\"\nidle = \"1m\"\n");
    let policy = Arc::new(Policy::new(rules.expect("a good policy"), NameRules::default()));
    world.step(vec![Ask::Policy(policy, Box::new(|()| ()))]).unwrap();
    let (short, long, wants) = (world.connect(1), world.connect(2), world.connect(3));
    for (ear, key) in [(&short, 1), (&long, 2)] {
        let ask = world.ask(ear, checkout(key, 1));
        world.step(vec![ask]).unwrap();
    }
    *short.idle_ms.lock().unwrap() = Some(60_000);
    *long.idle_ms.lock().unwrap() = Some(90_000);
    [&short, &long].iter().for_each(|ear| drop(ear.take()));
    let ask = world.ask(&wants, checkout(3, 1));
    world.step(vec![ask]).unwrap();
    assert!(wants.take()[0].contains("denied no_seats"));
    assert!(long.take()[0].contains("SeatWanted"));
    assert_eq!(short.take(), Vec::<String>::new());
    world.step(vec![Ask::Stop(Box::new(|()| ()))]).unwrap();
    short.take();
    let ask = world.ask(&wants, checkout(4, 2));
    world.step(vec![ask]).unwrap();
    assert_eq!(short.take(), Vec::<String>::new(), "a server that stops grants nothing");
}

/// `cad` until the end of 2030.
fn dated() -> Vec<Arc<License>> {
    vec![Arc::new(License { end: "2030-12-31".parse().ok(), ..(*license(5)).clone() })]
}

/// What a checkout of a seat comes to, without what the connection was told beside it.
fn try_seat(world: &mut World, ear: &Arc<Ear>, key: u8) -> String {
    let ask = world.ask(ear, checkout(key, 1));
    world.step(vec![ask]).expect("the disk is well");
    let told = ear.take();
    let answer = told.iter().find_map(|line| line.split_once(": ").filter(|_| !line.starts_with("event")));
    answer.unwrap_or_else(|| panic!("no answer: {told:?}")).1.to_owned()
}

/// Time passes; the engine looks every so often, and everybody beats.
fn pass(world: &mut World, ear: &Arc<Ear>, seconds: u64) {
    for _ in 0..seconds / 30 {
        world.time.advance(Duration::from_secs(30));
        *ear.heard.lock().unwrap() = world.clock.tick().0;
        world.step(Vec::new()).expect("the disk is well");
    }
}

const FAR_MS: i64 = 69 * 365 * 86_400_000;

/// S71: an hour of ticks, and not a moment sooner; nobody is told of an end that may be taken back.
#[test]
fn a_clock_far_ahead_is_believed_after_an_hour_and_an_end_is_told_then() {
    let disk = MemoryDisk::new(1);
    let mut world = World::at(NOON, &disk, inline(), dated());
    let ear = world.connect(1);
    assert_eq!(try_seat(&mut world, &ear, 1), "granted 1 replayed false");
    world.time.set_wall_clock(NOON + FAR_MS);
    assert_eq!(try_seat(&mut world, &ear, 2), "denied expired");
    pass(&mut world, &ear, 3_570);
    assert_eq!(ear.take(), Vec::<String>::new(), "nobody was told anything");
    assert_eq!(world.engine.ledger().state().day(), "2030-01-01".parse().ok());
    assert!(!world.engine.has_background_work(), "what waits for the clock is no reason to spin");
    pass(&mut world, &ear, 30);
    assert!(world.engine.ledger().state().day() > "2098-01-01".parse().ok(), "believed");
    let told = ear.take();
    assert!(told.iter().any(|line| line.starts_with("event Expired")), "{told:?}");
    assert_eq!(world.used(), 1, "and no session ends");

    // Now it is wrong for good: what has dates waits for somebody to mend it.
    world.time.set_wall_clock(NOON + 7_200_000);
    assert_eq!(try_seat(&mut world, &ear, 3), "denied clock_suspect");
    drop(world);
    let mut world = World::at(NOON + 7_200_000, &disk, inline(), dated());
    let ear = world.connect(1);
    assert_eq!(try_seat(&mut world, &ear, 4), "denied clock_suspect");
    assert_eq!(world.used(), 1);
}

/// S71: what was told while the clock was ahead, and what was kept, is as if it had never been there.
#[test]
fn a_clock_that_is_set_right_within_the_hour_leaves_no_trace() {
    let disk = MemoryDisk::new(1);
    let mut world = World::at(NOON, &disk, inline(), dated());
    let ear = world.connect(1);
    try_seat(&mut world, &ear, 1);
    drop(world);
    // A boot in 2099, restarts, midnights of 2099 too.
    for boot in 2..5 {
        let mut world = World::at(NOON + FAR_MS, &disk, inline(), dated());
        let ear = world.connect(1);
        assert_eq!(try_seat(&mut world, &ear, boot), "denied expired");
        pass(&mut world, &ear, 3_000);
        world.time.set_wall_clock(NOON + FAR_MS + 12 * 3_600_000);
        pass(&mut world, &ear, 300);
    }
    let mut world = World::at(NOON + 3_600_000, &disk, inline(), dated());
    let ear = world.connect(1);
    assert_eq!(world.engine.ledger().state().day(), "2030-01-01".parse().ok());
    assert!(try_seat(&mut world, &ear, 9).starts_with("granted"), "dated licenses serve");
    assert!(ear.take().is_empty());
    let since = world.engine.ledger().state().unix_ms_of(world.clock.tick().0).expect("a clock was read");
    assert!((since - world.clock.unix_ms()).abs() < 2_000, "and instants are shown by the right clock");
}
