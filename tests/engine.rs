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

const LEASE_MS: u64 = 120_000;
/// See `Patience::with_lease`.
const REAP_AFTER_MS: u64 = 900_000;
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
    let items = vec![Item { vendor: None, feature: "cad".into(), count }];
    Request::Checkout(
        Box::new(Checkout {
            key: [key; 16],
            secret: [key; 16],
            booking: None,
            items,
            facts: Arc::new(facts()),
            pid: 1,
        }),
        0,
    )
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
        let mut fold = StateFold::default();
        let opened =
            Journal::open(disk.clone(), Path::new("journal"), options, &mut fold).expect("a whole journal");
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(opened.tick), NOON);
        let ledger =
            Ledger::new(fold.state, opened.tick, Patience::with_lease(LEASE_MS), NameRules::default());
        let engine = Engine::new(ledger, opened.journal, 10_000);
        let mut world = World { engine, clock, time, call: 0 };
        let catalog = Arc::new(Catalog::new(vec![license(seats)]));
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

/// S12, S61, S70: the lease of a client that is gone runs on ticks: over a restart with a full lease, untouched by
/// a step of the wall clock.
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
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 4, "a full lease after the start");
    world.time.advance(Duration::from_millis(1));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 4, "suspect now, and nobody needs its seats (S22)");
    world.time.advance(Duration::from_millis(REAP_AFTER_MS));
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
    world.time.advance(Duration::from_millis(LEASE_MS));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 1, "suspect now, and nobody needs its seat (S22)");
    world.time.advance(Duration::from_millis(REAP_AFTER_MS));
    world.step(vec![]).unwrap();
    assert_eq!(world.used(), 0, "silent for long enough, the socket open");
    let told = ear.take();
    assert!(told[0].contains("Ended") && told[0].contains("already_removed"), "{told:?}");
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
