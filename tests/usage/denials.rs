//! True denials are the same in the metrics and in the history: both count what the engine told, all the way.

use std::sync::Arc;
use std::time::Duration;

use seatkeeper::clock::{Clock, Ticks, Zone};
use seatkeeper::counts::denials::MADE_GOOD_MS;
use seatkeeper::counts::{Counting, Counts, Watching};
use seatkeeper::engine::happened::{Batch, Denied, EventSink as _, Happened, Pool, Seats, Waiter};
use seatkeeper::events::{Delivery, Hub};
use seatkeeper::history::store::Item;
use seatkeeper::history::usage::By;
use seats::change::{PoolKind, SessionId};
use seats::denial::Code;
use seats::license::Name;
use seats::request::{Facts, Item as Wanted};

use crate::common::{Random, seed};
use crate::{JUNE, Site};

fn facts(user: &str) -> Arc<Facts> {
    Arc::new(Facts {
        install_id: [0; 16],
        user: user.into(),
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
    })
}

fn denied(random: &mut Random, user: &str, feature: &str) -> Happened {
    Happened::Denied(Box::new(Denied {
        code: *random.one_of(&[Code::NoSeats, Code::LimitUser, Code::UnknownFeature]),
        message: "no".into(),
        vendor: random.one_of(&[Name::new("ACME"), Name::new("Other"), None]).clone(),
        feature: feature.into(),
        wanted: 1,
        numbers: None,
        facts: facts(user),
        pid: 0,
        is_borrow: random.within(0, 1) == 0,
    }))
}

fn granted(random: &mut Random, session: u64, user: &str, feature: &str) -> Happened {
    let vendor = Name::new(random.one_of::<&str>(&["ACME", "Other"])).unwrap();
    let pool = Pool { vendor, feature: Name::new(feature).unwrap(), kind: PoolKind::Exclusive };
    let seats = Seats {
        session: SessionId(session),
        bundle: SessionId(session),
        pool: Some(Arc::new(pool)),
        count: 1,
        facts: facts(user),
        pid: 0,
        token: None,
        lent_until: (random.within(0, 3) == 0).then_some(JUNE / 1_000 + 864_000),
    };
    // One in three had waited for it.
    let waiter = (random.within(0, 2) == 0).then_some(SessionId(session + 1_000_000));
    Happened::Granted(seats, waiter, false, None)
}

fn waits(user: &str, feature: &str) -> Happened {
    let items = vec![Wanted { vendor: None, feature: feature.into(), count: 1 }];
    Happened::Waiting(Box::new(Waiter { waiter: SessionId(7), items, facts: facts(user), pid: 0, ms: 0 }))
}

#[test]
fn metrics_and_history_count_the_same_true_denials() {
    let seed = seed();
    let mut random = Random(seed);
    let (mut all, mut made_good) = (0, 0);
    for round in 0..20 {
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(0), JUNE);
        let counts = Arc::new(Counts::new(clock.clone()));
        let (hub, intake) = Hub::new([7; 16], clock.clone());
        let mut intake = intake.observed_by(Watching::new(counts.clone()));
        let counting = Counting::new(counts.clone(), hub.clone());
        let mut events = hub.subscribe(Some(0));
        let mut site = Site::new("UTC", JUNE);
        for step in 0..200 {
            let pause = match random.within(0, 9) {
                0 => 0,
                1 => 1,
                2 => MADE_GOOD_MS,
                3 => MADE_GOOD_MS + 1,
                _ => random.within(0, 2 * 60_000),
            };
            time.advance(Duration::from_millis(pause.unsigned_abs()));
            let mut happened = Vec::new();
            for part in 0..random.within(1, 3) {
                // The same user and feature, however they are written; and others that ASCII keeps apart.
                let user = *random.one_of(&["ann", "ANN", "bob", "änn", "Änn"]);
                let feature = *random.one_of(&["cad", "Cad", "mesh"]);
                let session = u64::try_from(step * 10 + part).unwrap();
                happened.push(match random.within(0, 9) {
                    0..=4 => denied(&mut random, user, feature),
                    5 => waits(user, feature),
                    _ => granted(&mut random, session, user, feature),
                });
            }
            counting.happened(Batch { unix_ms: clock.unix_ms(), happened });
            intake.drain();
            let mut items = Vec::new();
            while let Some(delivery) = events.poll() {
                let Delivery::Event(event) = delivery else { panic!("{delivery:?}") };
                items.push(Item::Event(event));
            }
            site.store().write(&items, clock.unix_ms()).unwrap();
            // While it runs, the counter is behind: what may still be made good is not counted yet.
            let open = "SELECT coalesce(sum(is_true), 0) FROM denials_seen
                WHERE at + ?1 < (SELECT written_until FROM state)";
            let known: i64 = site.sql().query_row(open, [MADE_GOOD_MS], |row| row.get(0)).unwrap();
            assert_eq!(
                counts.by_feature.true_denials(),
                known as u64,
                "seed {seed}, round {round}, step {step}"
            );
        }
        time.advance(Duration::from_millis(MADE_GOOD_MS.unsigned_abs() + 1));
        let counted = counts.by_feature.true_denials();
        let usage = site.ask(By::User, "2030-06-01", "2030-06-08", clock.unix_ms()).usage;
        let told: u64 = usage.iter().map(|row| row.true_denials).sum();
        assert_eq!(counted, told, "seed {seed}, round {round}");
        let by_day = "SELECT sum(true_denials), sum(denials) FROM denial_days";
        let (by_day, denials): (i64, i64) =
            site.sql().query_row(by_day, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(counted, by_day as u64, "seed {seed}, round {round}");
        all += counted;
        made_good += denials as u64 - counted;
    }
    assert!(all > 100 && made_good > 100, "{all} true, {made_good} not: seed {seed} tells nothing");
}
