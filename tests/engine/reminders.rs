//! Administrators are told of ends once, however often the server starts, and of nothing that was paid for (rules 3, 6.11).

use seatkeeper::events::{Delivery, Event as Happened, Hub, Intake, Subscription, What};
use seats::license::{LicenseVersion, Special};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

struct Watched {
    world: World,
    intake: Intake,
    reader: Subscription,
}

/// A daemon's start on that disk, with who listens to events.
fn start(unix_ms: i64, disk: &MemoryDisk, licenses: Vec<License>) -> Watched {
    let mut fold = StateFold::default();
    let opened =
        Journal::open(disk.clone(), Path::new("journal"), inline(), &mut fold).expect("a whole journal");
    let (clock, time) = Clock::simulated(Zone::utc(), Ticks(opened.tick), unix_ms);
    let ledger = Ledger::new(fold.state, opened.tick, Patience::with_lease(LEASE_MS), NameRules::default());
    let (hub, intake) = Hub::new([7; 16], clock.clone());
    let reader = hub.subscribe(None);
    let engine = Engine::new(ledger, opened.journal, 10_000).with_events(Arc::new(hub));
    let mut watched = Watched { world: World { engine, clock, time, call: 0 }, intake, reader };
    watched.load(licenses);
    watched
}

impl Watched {
    fn load(&mut self, licenses: Vec<License>) {
        let catalog = Arc::new(Catalog::new(licenses.into_iter().map(Arc::new).collect()));
        self.world.step(vec![Ask::Catalog(catalog, Box::new(|()| ()))]).expect("the disk is well");
    }

    /// So many midnights later, an idle server: what was said on each day of it.
    fn days(&mut self, days: u32) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..days {
            self.world.time.advance(DAY);
            said.extend(self.said());
        }
        said
    }

    /// Events about maintenance: the kind's last word, the day, and the days left.
    fn said(&mut self) -> Vec<String> {
        while self.world.engine.has_background_work() {
            self.world.step(Vec::new()).expect("the disk is well");
        }
        self.world.step(Vec::new()).expect("the disk is well");
        self.intake.drain();
        let mut said = Vec::new();
        while let Some(Delivery::Event(Happened { what, at, .. })) = self.reader.poll() {
            let of = match &what {
                What::MaintenanceExpiringSoon(of) => &of.0,
                What::MaintenanceEnded(of) => &of.0,
                What::MaintenanceRenewed(of) => &of.0,
                What::MaintenanceStarted(of) => &of.0,
                _ => continue,
            };
            let kind = what.kind().trim_start_matches("maintenance.");
            let left = of.days_left.map_or_else(|| "no end".to_owned(), |days| days.to_string());
            said.push(format!("{} {kind} {} {left}", &at[..10], of.of));
        }
        said
    }
}

fn date(text: &str) -> chrono::NaiveDate {
    text.parse().expect("a date")
}

fn maintained(until: &str) -> License {
    let carried = Carried { maintenance_end: Some(date(until)), ..Carried::default() };
    License { version: Some(LicenseVersion { major: 1, minor: 0 }), carried, ..(*license(5)).clone() }
}

fn renewal(sn: &str, until: &str) -> License {
    let special = Special { renews: Some("base".into()), ..Special::default() };
    let carried = Carried {
        maintenance_end: Some(date(until)),
        special: Some(Box::new(special)),
        ..Carried::default()
    };
    License {
        key_type: KeyType::Maintenance,
        count: None,
        sn: Some(sn.into()),
        carried,
        fingerprint: Fingerprint([8; 32]),
        ..(*license(5)).clone()
    }
}

#[test]
fn each_threshold_is_said_once_and_the_last_day_not_at_all() {
    let disk = MemoryDisk::new(1);
    // The server's day is 2030-01-01.
    let mut watched = start(NOON, &disk, vec![maintained("2030-03-10")]);
    assert_eq!(watched.said(), [] as [&str; 0], "68 days are left");
    let said = watched.days(100);
    let expected = [
        "2030-01-09 expiring_soon maintenance 60",
        "2030-02-08 expiring_soon maintenance 30",
        "2030-02-24 expiring_soon maintenance 14",
        "2030-03-03 expiring_soon maintenance 7",
        "2030-03-09 expiring_soon maintenance 1",
        "2030-03-11 ended maintenance -1",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_was_missed_is_caught_up_once_also_over_restarts() {
    let disk = MemoryDisk::new(1);
    let mut first = start(NOON, &disk, vec![maintained("2030-01-20")]);
    assert_eq!(
        first.said(),
        ["2030-01-01 expiring_soon maintenance 19"],
        "of three that were missed the latest"
    );
    first.load(vec![maintained("2030-01-20")]);
    assert_eq!(first.said(), [] as [&str; 0], "a reload says nothing anew");
    drop(first);
    let mut again = start(NOON, &disk, vec![maintained("2030-01-20")]);
    assert_eq!(again.said(), [] as [&str; 0], "nor does a restart");
    drop(again);
    // Down over three thresholds and the end.
    let later = NOON + 25 * 86_400_000;
    let mut late = start(later, &disk, vec![maintained("2030-01-20")]);
    assert_eq!(
        late.said(),
        [] as [&str; 0],
        "the clock may be wrong: it is believed when it has stood for an hour (S71)"
    );
    late.world.time.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(late.said(), ["2030-01-26 ended maintenance -6"]);
    assert_eq!(late.days(40), [] as [&str; 0]);
}

#[test]
fn a_renewal_is_told_and_silences_what_was_to_come() {
    let disk = MemoryDisk::new(1);
    let mut watched = start(NOON, &disk, vec![maintained("2030-01-20")]);
    watched.said();
    // One that begins later is paid for all the same.
    let mut renewed = renewal("r1", "2031-01-20");
    let given = seats::license::Maintenance { start: Some(date("2030-02-01")), ..Default::default() };
    renewed.carried.maintenance = Some(Box::new(given));
    watched.load(vec![maintained("2030-01-20"), renewed]);
    assert_eq!(watched.said(), ["2030-01-01 renewed maintenance 384"]);
    assert_eq!(watched.days(60), [] as [&str; 0]);
    // Without end: nothing is left to be said, ever.
    watched.load(vec![maintained("2030-01-20"), renewal("r2", "9999-12-31")]);
    assert_eq!(watched.said(), ["2030-03-02 renewed maintenance no end"]);
    assert_eq!(watched.days(400), [] as [&str; 0]);
}

#[test]
fn the_end_of_a_subscription_and_of_an_upgrade_is_told_and_that_of_a_trial_is_not() {
    let disk = MemoryDisk::new(1);
    let end = Some(date("2030-01-05"));
    let of = |license_type| License { license_type, end, ..maintained("2031-01-01") };
    let mut watched = start(NOON, &disk, vec![of(LicenseType::Evaluation)]);
    watched.said();
    assert_eq!(watched.days(40), [] as [&str; 0]);
    drop(watched);

    let disk = MemoryDisk::new(1);
    let upgrade = License {
        key_type: KeyType::Upgrade,
        version: None,
        sn: Some("up".into()),
        end,
        carried: Carried::default(),
        fingerprint: Fingerprint([9; 32]),
        ..maintained("2031-01-01")
    };
    let base = License { carried: Carried::default(), ..maintained("2031-01-01") };
    let mut watched = start(NOON, &disk, vec![base, upgrade]);
    assert_eq!(watched.said(), ["2030-01-01 expiring_soon license 4"]);
    assert_eq!(watched.days(10), ["2030-01-04 expiring_soon license 1", "2030-01-06 ended license -1"]);
    drop(watched);

    let disk = MemoryDisk::new(1);
    let mut watched = start(NOON, &disk, vec![of(LicenseType::Subscription)]);
    assert_eq!(
        watched.said(),
        ["2030-01-01 expiring_soon license 4"],
        "its own end, and not that of its updates"
    );
    // What follows it is there: nobody is reminded any more.
    let next = License {
        start: Some(date("2030-01-06")),
        end: Some(date("2031-01-05")),
        sn: Some("next".into()),
        fingerprint: Fingerprint([9; 32]),
        ..of(LicenseType::Subscription)
    };
    watched.load(vec![of(LicenseType::Subscription), next]);
    assert_eq!(watched.said(), ["2030-01-01 renewed license no end"]);
    assert_eq!(watched.days(40), [] as [&str; 0]);
}

#[test]
fn a_clock_in_doubt_reminds_nobody() {
    let disk = MemoryDisk::new(1);
    let mut watched = start(NOON, &disk, vec![maintained("2030-06-30")]);
    assert_eq!(watched.said(), [] as [&str; 0]);
    watched.world.time.advance(Duration::from_secs(60));
    watched.world.time.set_wall_clock(NOON + 170 * 86_400_000);
    assert_eq!(watched.said(), [] as [&str; 0], "it jumped, and is not believed yet");
}
