//! While clients check out and in: between two statuses that are equal nothing happened, so what was read between them must agree
//! with both. A picture of the server may be 50 ms old when it is shown, so each reading waits for as long, or the one between
//! could be of a moment before the first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::engine::picture::PICTURE_MS;
use seatkeeper::http::METRICS_MS;
use serde_json::Value;
use wire::message::Answer;
use wire::request::{Cancel, Checkout};

use crate::common::{Random, seed};
use crate::compare::{Local, assert_agree, differences, forget_what_moves, number, rules};
use crate::outputs::{Shows, Told};
use crate::real::client::{Client, granted};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::real::until;
use crate::world::{World, asked_by, other_vendor, suite, trusting_both};

/// How many readings of each output must have stood between equal statuses, at the least.
const READINGS_MIN: usize = 5;
/// By then they have.
const LIMIT: Duration = Duration::from_secs(90);

fn site() -> Site {
    let site = Site::with(&[
        exclusive("cad", 6),
        upgrade("cad", 4, "SN=\"up\""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" VERSION=\"9.9\" COUNT=\"3\" SN=\"more\""),
        feature("viewer", "VERSION=\"9.9\" COUNT=\"2\" SHARE=\"CUSTOM\""),
        feature("sim", "VERSION=\"9.9\" COUNT=\"8\""),
        suite(),
        feature("forever", "COUNT=\"UNLIMITED\""),
        feature("keep", "VERSION=\"9.9\" COUNT=\"20\" HOLD=\"1\""),
        exclusive("gone", 2),
        exclusive("full", 1),
    ]);
    other_vendor(&site, &[exclusive("cad", 2)]);
    trusting_both(&site, "reap_after = \"1h\"");
    site
}

const WANTED: [(&str, &str); 7] = [
    ("ACME", "cad"),
    ("ACME", "viewer"),
    ("ACME", "sim"),
    ("ACME", "suite"),
    ("ACME", "forever"),
    ("ACME", "keep"),
    ("OTHER", "cad"),
];

/// Somebody who works in bursts: some checkouts, some checkins, and then a while of nothing.
fn work(mut client: Client, mut random: Random, user: &str, is_over: &AtomicBool) {
    let mut held = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..random.within(1, 6) {
            if held.len() > 3 || (!held.is_empty() && random.within(0, 2) == 0) {
                let one =
                    held.swap_remove(usize::try_from(random.bits() % held.len() as u64).expect("small"));
                client.give_back(&one);
            } else {
                let (vendor, feature) = *random.one_of(&WANTED);
                let count = u32::try_from(random.within(1, 3)).expect("small");
                let mut asked = asked_by(user, "ws7", &[(vendor, feature, count)]);
                asked.share = Some("job".into());
                if let Ok((one, _)) = client.checkout_again(&asked).expect("the connection lives") {
                    held.push(one);
                }
            }
        }
        pause(&mut random, 300, 3_500, is_over);
    }
    for one in &held {
        client.give_back(one);
    }
}

/// Somebody whose network fails: cut off with seats, which are suspect then, and back a while later.
fn lose_connections(daemon: &Daemon, mut random: Random, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let mut client = daemon.connect();
        let install_id = client.install_id;
        let asked = asked_by("zoe", "laptop", &[("ACME", "forever", 2), ("ACME", "gone", 1)]);
        let held = granted(client.checkout_again(&asked)).0;
        drop(client);
        pause(&mut random, 600, 2_500, is_over);
        let mut client = daemon.connect_as(install_id);
        granted(client.resume(&held));
        client.give_back(&held);
        drop(client);
        pause(&mut random, 600, 2_500, is_over);
    }
}

/// Somebody who waits for more seats than there are for long, and gives up.
fn wait_in_vain(daemon: &Daemon, mut random: Random, is_over: &AtomicBool) {
    let mut client = daemon.connect();
    let held = granted(client.checkout_again(&asked_by("emil", "ws1", &[("ACME", "full", 1)]))).0;
    while !is_over.load(Ordering::Relaxed) {
        let asked = Checkout { wait_seconds: Some(600), ..asked_by("fay", "ws2", &[("ACME", "full", 1)]) };
        let call = client.send(&asked).expect("it is sent");
        assert!(matches!(client.answer(call), Ok(Answer::Waiting(_))), "nobody gives the seat back");
        pause(&mut random, 600, 2_500, is_over);
        let cancel = Cancel { request_key: asked.request_key, secret: asked.secret, extras: Vec::new() };
        granted(client.ask(&cancel));
        pause(&mut random, 600, 2_500, is_over);
    }
    client.give_back(&held);
}

/// Not a wait for something to happen: the quiet is part of the load.
fn pause(random: &mut Random, least_ms: i64, most_ms: i64, is_over: &AtomicBool) {
    let quiet = Duration::from_millis(u64::try_from(random.within(least_ms, most_ms)).expect("positive"));
    let begun = Instant::now();
    while begun.elapsed() < quiet && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says so when it is dropped: the threads end also where an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The status and its lists, of a moment that no reading before has seen.
fn told_anew(world: &World, licenses: &Value) -> Told {
    std::thread::sleep(Duration::from_millis(PICTURE_MS + 5));
    let (status, queue) = (world.reader.json(&["status"]), world.reader.json(&["queue"]));
    Told { status, queue, licenses: licenses.clone() }
}

/// Without what moves with the clock alone.
fn still(told: &Told) -> Told {
    let mut told = told.clone();
    forget_what_moves(&mut told.status);
    told
}

#[test]
fn outputs_agree_while_clients_work() {
    let seed = seed();
    let mut random = Random(seed);
    let world = World::start(site(), None, "UTC");
    // Of these nothing changes.
    let licenses = world.reader.json(&["licenses"]);
    let is_over = AtomicBool::new(false);
    let mut readings: BTreeMap<Shows, usize> = BTreeMap::new();
    let mut uses = BTreeSet::new();
    let mut tried = 0;
    std::thread::scope(|scope| {
        for user in ["ann", "bob", "cy", "dora"] {
            let (client, random) = (world.daemon.connect(), Random(random.bits()));
            let is_over = &is_over;
            scope.spawn(move || work(client, random, user, is_over));
        }
        let _over = Over(&is_over);
        let (one, other) = (Random(random.bits()), Random(random.bits()));
        let (daemon, over) = (&world.daemon, &is_over);
        scope.spawn(move || lose_connections(daemon, one, over));
        scope.spawn(move || wait_in_vain(daemon, other, over));
        let begun = Instant::now();
        let mut before = told_anew(&world, &licenses);
        let is_enough = |readings: &BTreeMap<Shows, usize>| {
            Shows::ALL.iter().all(|shows| readings.get(shows).is_some_and(|n| *n >= READINGS_MIN))
        };
        let (mut suspects, mut waits) = (0, 0);
        while !is_enough(&readings) || uses.len() < 5 || suspects == 0 || waits == 0 {
            // That which is behind most comes first.
            let shows = *Shows::ALL.iter().min_by_key(|shows| readings.get(shows)).expect("there are some");
            let good_for =
                if matches!(shows, Shows::Metrics | Shows::Http) { METRICS_MS } else { PICTURE_MS };
            std::thread::sleep(Duration::from_millis(good_for + 5));
            let text = world.reader.read(shows);
            let after = told_anew(&world, &licenses);
            tried += 1;
            if still(&before) == still(&after) {
                assert_eq!(rules::broken(&before), Vec::<String>::new(), "SEATKEEPER_SEED={seed}");
                assert_agree(shows, &before, &text, &Local::default());
                *readings.entry(shows).or_default() += 1;
                let features = before.status["features"].as_array().expect("features").iter();
                suspects += features.clone().map(|f| number(f, "suspect")).sum::<u64>();
                waits += features.clone().map(|f| number(f, "queued")).sum::<u64>();
                uses.insert(features.map(|f| number(f, "used") + number(f, "held")).collect::<Vec<_>>());
            }
            before = after;
            assert!(
                begun.elapsed() < LIMIT,
                "SEATKEEPER_SEED={seed}: of {tried} readings these stood between equal statuses: {readings:?}, of {} states",
                uses.len()
            );
        }
    });
    println!(
        "of {tried} readings these stood between equal statuses: {readings:?}, of {} states",
        uses.len()
    );
    // At rest: everything is given back, and held no more.
    let told = until("everything is given back", || {
        let told = told_anew(&world, &licenses);
        let is_idle = |f: &Value| f["used"] == 0 && f["held"] == 0 && f["tokens"].as_u64().unwrap_or(0) == 0;
        told.status["features"].as_array().expect("features").iter().all(is_idle).then_some(told)
    });
    assert_eq!(rules::broken(&told), Vec::<String>::new());
    std::thread::sleep(Duration::from_millis(METRICS_MS + 5));
    for shows in Shows::ALL {
        let text = world.reader.read(shows);
        assert_eq!(
            differences(shows, &told, &text, &Local::default()),
            Vec::<String>::new(),
            "{shows:?}: {text}"
        );
    }
}
