//! Rules 3, 6.10: the day of a first checkout is on disk before the grant is answered, once, at whichever operation of the disk the
//! power goes.

use seats::license::{Maintenance, StartTrigger};

use super::*;

/// A clock that is a day ahead at once would be doubted, and a clock in doubt begins nothing.
const NEXT_DAY_MS: i64 = 20 * 3_600_000;

fn starting_at_first_checkout() -> Vec<Arc<License>> {
    let mut license = License::clone(&license(5));
    license.carried.maintenance = Some(Box::new(Maintenance {
        period: Some("P1Y".parse().unwrap()),
        trigger: StartTrigger::FirstCheckout,
        start_by: Some("2030-12-31".parse().unwrap()),
        ..Maintenance::default()
    }));
    vec![Arc::new(license)]
}

fn recorded(world: &World) -> Vec<String> {
    world.engine.ledger().state().first_checkouts().all().map(|first| first.day.to_string()).collect()
}

fn after(days: i64, disk: &MemoryDisk) -> World {
    World::at(NOON + days * NEXT_DAY_MS, disk, inline(), starting_at_first_checkout())
}

#[test]
fn a_first_checkout_has_one_day_whenever_the_power_goes() {
    let seed = common::seed();
    println!("SEATKEEPER_SEED={seed}");
    let (mut unrecorded, mut between, mut told_of) = (0, 0, 0);
    for n in 0..60_u64 {
        let mut operations = 1;
        // Operation by operation, until it is over before the power goes.
        loop {
            let disk = MemoryDisk::new(seed.wrapping_add(n));
            let mut world = after(0, &disk);
            let ear = world.connect(1);
            ear.take();
            disk.power_off_after(operations);
            let ask = world.ask(&ear, checkout(1, 1));
            let is_over = world.step(vec![ask]).is_ok();
            let told = ear.take().iter().any(|text| text.contains("granted"));
            assert_eq!(told, is_over);
            drop(world);
            disk.restart();

            let mut world = after(1, &disk);
            let found = recorded(&world);
            match (told, &*found) {
                (true, [day]) if day == "2030-01-01" => told_of += 1,
                (false, [day]) if day == "2030-01-01" => between += 1,
                (false, []) => unrecorded += 1,
                _ => panic!("seed {n}, operation {operations}: told {told}, recorded {found:?}"),
            }
            assert_eq!(world.used(), found.len() as u64, "the grant and the record are one batch");
            // Sent again, it is the first one now, or was.
            let ear = world.connect(2);
            let ask = world.ask(&ear, checkout(1, 1));
            world.step(vec![ask]).expect("the disk is well");
            assert!(ear.take().iter().any(|text| text.contains("granted")));
            let day = found.first().map_or("2030-01-02", |day| day).to_owned();
            assert_eq!(recorded(&world), [&*day]);
            drop(world);
            let mut world = after(2, &disk);
            let ear = world.connect(3);
            let ask = world.ask(&ear, checkout(2, 1));
            world.step(vec![ask]).expect("the disk is well");
            assert_eq!(recorded(&world), [&*day], "seed {n}, operation {operations}");
            if is_over {
                break;
            }
            operations += 1;
        }
    }
    println!("{unrecorded} before the record, {between} between it and the answer, {told_of} after");
    assert!(unrecorded > 10 && between > 10 && told_of == 60, "{unrecorded} {between} {told_of}");
}
