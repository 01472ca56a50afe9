//! What the engine tells of what happens: each thing once, in order, and nothing that is not on disk (S60, L22).

use seatkeeper::engine::ask::Booking;
use seatkeeper::events::what::{SessionDenied, SessionGranted};
use seatkeeper::events::{Delivery, Event as Happened, Hub, Intake, Subscription, What};

use super::*;

struct Watched {
    world: World,
    intake: Intake,
    reader: Subscription,
}

impl Watched {
    fn new(disk: &MemoryDisk, licenses: Vec<Arc<License>>) -> Watched {
        let world = World::at(NOON, disk, inline(), licenses);
        let (hub, intake) = Hub::new([7; 16], world.clock.clone());
        let reader = hub.subscribe(None);
        let World { engine, clock, time, call } = world;
        let engine = engine.with_events(Arc::new(hub));
        Watched { world: World { engine, clock, time, call }, intake, reader }
    }

    /// One request, and the events it brings.
    fn ask(&mut self, from: &Arc<Ear>, request: Request) -> Vec<Happened> {
        let ask = self.world.ask(from, request);
        self.world.step(vec![ask]).expect("the disk is well");
        self.events()
    }

    fn events(&mut self) -> Vec<Happened> {
        self.intake.drain();
        let mut events = Vec::new();
        while let Some(delivery) = self.reader.poll() {
            let Delivery::Event(event) = delivery else { panic!("{delivery:?}") };
            events.push(event);
        }
        events
    }
}

fn kinds(events: &[Happened]) -> Vec<&'static str> {
    events.iter().map(|event| event.what.kind()).collect()
}

#[test]
fn a_grant_a_denial_and_a_checkin_are_told_once_each_with_who_and_how_many() {
    let mut watched = Watched::new(&MemoryDisk::new(1), vec![license(3)]);
    let ear = watched.world.connect(1);
    let events = watched.ask(&ear, checkout(1, 3));
    let [Happened { what: What::SessionGranted(SessionGranted { of, .. }), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&*of.feature, &*of.vendor, of.seats, &*of.key_type), ("cad", "ACME", 3, "EXCLUSIVE"));
    assert_eq!(
        (of.who.user.as_deref(), of.who.host.as_deref(), of.who.pid),
        (Some("ann"), Some("ws7"), Some(1))
    );
    assert_eq!(watched.ask(&ear, checkout(1, 3)), [], "the same checkout again is nothing new");

    let events = watched.ask(&ear, checkout(2, 1));
    let [Happened { what: What::SessionDenied(SessionDenied { code, wanted, numbers, .. }), .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    let numbers = numbers.as_ref().expect("the pool's");
    assert_eq!(
        (&**code, *wanted, numbers.total, numbers.used, numbers.free),
        ("no_seats", 1, Some(3), 3, Some(0))
    );
    let tried = watched.ask(&ear, Request::Try(asking(3, 1)));
    assert_eq!(tried, [], "a question is no denial");

    watched.world.time.advance(Duration::from_secs(60));
    let events = watched.ask(&ear, Request::Checkin(SessionId(1), Some(1)));
    let [Happened { what: What::SessionReduced(reduced), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((reduced.of.seats, reduced.remaining, reduced.held_ms), (1, 2, 60_000));
    let events = watched.ask(&ear, Request::Checkin(SessionId(1), None));
    let [Happened { what: What::SessionEnded(ended), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (ended.of.seats, &*ended.cause, ended.since.as_deref()),
        (2, "checked_in", Some("2030-01-01T12:00:00.000Z"))
    );
    assert_eq!(watched.ask(&ear, Request::Checkin(SessionId(1), None)), [], "a refused checkin is nothing");
}

#[test]
fn the_queue_bookings_and_what_an_administrator_does_are_told() {
    let mut watched = Watched::new(&MemoryDisk::new(1), vec![license(1)]);
    let (ann, ben) = (watched.world.connect(1), watched.world.connect(2));
    watched.ask(&ann, checkout(1, 1));
    let events = watched.ask(&ben, Request::Checkout(asking(2, 1), 5_000));
    let [Happened { what: What::QueueWaiting(waiting), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((waiting.waits_ms, &*waiting.features[0].feature), (5_000, "cad"));

    // The seat goes to who waits: in one step, in the order in which it happened.
    let release = Request::Release(SessionId(1), "uid 0 (pid 1)".into(), "over".into(), 0);
    let events = watched.ask(&ann, release);
    assert_eq!(kinds(&events), ["session.ended", "admin.action", "session.granted"]);
    let What::SessionEnded(ended) = &events[0].what else { panic!() };
    assert_eq!(
        (&*ended.cause, ended.by.as_deref(), ended.reason.as_deref()),
        ("released", Some("uid 0 (pid 1)"), Some("over"))
    );
    let What::SessionGranted(granted) = &events[2].what else { panic!() };
    assert_eq!(granted.waiter.as_deref(), Some(&*waiting.waiter));
    assert!(events.iter().map(|event| event.seq).is_sorted_by(|a, b| a + 1 == *b), "{events:?}");

    let bundle: SessionId = granted.of.bundle.parse().expect("a bundle");
    let events = watched.ask(&ben, Request::Confirm(bundle));
    let [Happened { what: What::QueueEnded(ended), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(ended.cause, "served");
    assert_eq!(kinds(&watched.ask(&ben, Request::Checkin(bundle, None))), ["session.ended"]);

    let items = vec![Item { vendor: None, feature: "cad".into(), count: 1 }];
    let booking = |token: u8| {
        Box::new(Booking { items: items.clone(), token: [token; 16], ms: 60_000, facts: facts() })
    };
    let events = watched.ask(&ann, Request::Book(booking(9)));
    let [Happened { what: What::AdminAction(done), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*done.action, &*done.features[0].feature, done.features[0].seats), ("book", "cad", 1));
    assert_eq!(watched.ask(&ann, Request::Book(booking(8))), [], "there is no second seat: nothing was done");
    let events = watched.ask(&ann, Request::Unbook([9; 16]));
    let [Happened { what: What::AdminAction(done), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*done.action, done.features.len()), ("unbook", 1));
}

#[test]
fn lost_clients_midnights_and_totals_are_told() {
    let ends = License { end: "2030-01-01".parse().ok(), ..(*license(2)).clone() };
    let mut watched = Watched::new(&MemoryDisk::new(1), vec![Arc::new(ends)]);
    let ear = watched.world.connect(1);
    watched.ask(&ear, checkout(1, 1));
    // Past midnight, and long past the lease.
    watched.world.time.advance(Duration::from_secs(13 * 3_600));
    watched.world.step(Vec::new()).expect("the disk is well");
    watched.world.time.advance(Duration::from_millis(REAP_MS + LEASE_MS));
    watched.world.step(Vec::new()).expect("the disk is well");
    let events = watched.events();
    let found = |kind: &str| events.iter().filter(|event| event.what.kind() == kind).collect::<Vec<_>>();
    let [Happened { what: What::DayServed(served), .. }] = &found("day.served")[..] else {
        panic!("{events:?}")
    };
    assert_eq!(served.day.to_string(), "2030-01-02");
    let [Happened { what: What::PoolChanged(pool), .. }] = &found("pool.changed")[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&*pool.feature, pool.old_total, pool.new_total), ("cad", Some(2), Some(0)));
    assert!(pool.reason.as_deref().is_some_and(|why| !why.is_empty()));
    let [Happened { what: What::SessionEnded(ended), .. }] = &found("session.ended")[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&*ended.cause, ended.of.seats), ("lease_ended", 1));
    assert_eq!(found("maintenance.ended").len(), 1, "administrators are told that the license is over");
    assert_eq!(events.len(), 4, "{events:?}");
}

#[test]
fn a_clock_that_jumps_is_told_and_told_again_when_it_is_set_right() {
    let mut watched = Watched::new(&MemoryDisk::new(1), vec![license(2)]);
    watched.world.step(Vec::new()).expect("the disk is well");
    watched.world.time.set_wall_clock(NOON + 40 * 86_400_000);
    watched.world.step(Vec::new()).expect("the disk is well");
    watched.world.time.set_wall_clock(NOON);
    watched.world.step(Vec::new()).expect("the disk is well");
    let clocks: Vec<(String, String)> = (watched.events().into_iter())
        .filter_map(|event| match event.what {
            What::ClockChanged(clock) => Some((clock.before, clock.clock)),
            _ => None,
        })
        .collect();
    let word = str::to_owned;
    assert_eq!(clocks, [(word("ok"), word("provisional")), (word("provisional"), word("ok"))]);
}

/// S60: what is not on disk is told to nobody.
#[test]
fn a_failed_sync_brings_no_event() {
    let disk = MemoryDisk::new(1);
    let mut watched = Watched::new(&disk, vec![license(2)]);
    let ear = watched.world.connect(1);
    disk.fail_sync(1);
    let asks = vec![watched.world.ask(&ear, checkout(1, 2)), watched.world.ask(&ear, checkout(2, 1))];
    assert!(watched.world.step(asks).is_err());
    assert_eq!(watched.events(), []);
}
