//! kill -9, SIGTERM, a state of a newer daemon: what was answered stays true (S60, S64, S65). Disks: disk.rs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use wire::message::Event;
use wire::request;

use crate::common::{Random, seed};
use crate::load::{Worker, features, settle_all, under_load};
use crate::real::client::granted;
use crate::real::daemon::{Daemon, Start, run_to_end};
use crate::real::site::{Site, exclusive, feature};

fn workers(random: &mut Random, how_many: usize) -> Vec<Worker> {
    (0..how_many).map(|_| Worker::new(random.bits())).collect()
}

#[test]
fn nothing_told_is_lost_over_kill_9_under_64_clients() {
    let mut random = Random(seed());
    let is_long = std::env::var_os("SEATKEEPER_LONG").is_some_and(|v| v == "1");
    let site = Site::with(&features());
    // Who was counted hangs up until all are: nobody's seats are given away meanwhile (S22).
    site.configure("lease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let mut workers = workers(&mut random, 64);
    let mut daemon = Daemon::start(&site);
    for round in 1..=if is_long { 100 } else { 10 } {
        let address = daemon.address();
        let life = Duration::from_millis(u64::try_from(random.within(20, 400)).unwrap());
        under_load(&mut workers, address, || {
            // Not a wait for anything: the moment of death is random.
            std::thread::sleep(life);
            daemon.kill();
        });
        daemon = Daemon::start(&site);
        println!("round {round}: killed after {life:?}");
        settle_all(&mut workers, &daemon);
    }
    let grants: u64 = workers.iter().map(|w| w.grants).sum();
    println!("{grants} grants");
    assert!(grants > 100, "there was no load");
}

#[test]
fn sigterm_under_load_ends_in_time_and_keeps_every_session() {
    let mut random = Random(seed());
    let site = Site::with(&[features(), vec![exclusive("extra", 500)]].concat());
    // Much may wait for a slow client before it is given up: here it is still there at the end.
    site.configure("[limits]\nunread_bytes = 1073741824");
    let mut workers = workers(&mut random, 6);
    let mut daemon = Daemon::start(&site);
    let mut idle = daemon.connect();
    let held: Vec<_> = (0..7).map(|_| idle.checkout(&[("extra", 1); 64]).unwrap()).collect();
    // A client that asks for more than its socket takes, and never reads.
    let mut slow = daemon.admin();
    let many = request::Report { what: "sessions".into(), ..request::Report::default() };
    for _ in 0..30 {
        slow.send(&many).unwrap();
    }
    under_load(&mut workers, daemon.address(), || {
        for name in ["cad", "sim", "post"] {
            daemon.await_feature(name, "fought for", |feature| feature["used"].as_u64() > Some(0));
        }
        let started = Instant::now();
        assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());
        println!("ended after {:?}", started.elapsed());
    });
    idle.await_event("Stopping", |event| matches!(event, Event::Stopping(_)).then_some(()));
    assert!(daemon.log_text().contains("stopped; sessions are kept"));
    assert!(!daemon.admin_path().exists(), "the admin socket is gone");
    let daemon = Daemon::start(&site);
    let mut idle = daemon.connect_as(idle.install_id);
    held.iter().for_each(|held| assert_eq!(granted(idle.resume(held)).sessions.len(), 64));
    settle_all(&mut workers, &daemon);
}

#[test]
fn sigterm_during_the_start_ends_it_at_once() {
    let site = Site::new();
    site.configure("signatures = \"optional\"");
    // Long to read: the signal comes in the middle of it.
    let many: String = (0..60_000).map(|n| exclusive(&format!("f{n}"), 1)).collect();
    site.drop_file("many.xml", format!("<LICENSEFILE>{many}</LICENSEFILE>").as_bytes());
    let mut daemon = Start::of(&site).spawn(&site);
    daemon.await_log("state read");
    assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());
    daemon.listen(Duration::from_millis(1));
    assert!(!daemon.was_told("READY=1"), "it was not started yet");
    fs::remove_file(site.licenses().join("many.xml")).unwrap();
    site.drop_signed("cad.xml", &[exclusive("cad", 1)]);
    Daemon::start(&site).connect().checkout(&[("cad", 1)]).expect("the state is whole");
}

/// Every file below: its bytes and when it was written.
pub(crate) fn everything(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let data = path.metadata().unwrap();
        if data.is_dir() {
            found.extend(everything(&path));
        } else if data.is_file() {
            let bytes = fs::read(&path).unwrap();
            found.insert(path.display().to_string(), (bytes, data.modified().unwrap()));
        }
    }
    found
}

#[test]
fn a_state_of_a_newer_daemon_is_refused_and_left_alone() {
    let site = Site::with(&[exclusive("cad", 10)]);
    assert_eq!(Daemon::start(&site).terminate(), Some(0));
    fs::write(site.state().join("format"), "seatkeeper state 2\n").unwrap();
    let before = everything(&site.state());
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("format 2"), "{text}");
    assert_eq!(everything(&site.state()), before);
}

#[test]
fn a_bundle_and_parts_of_it_survive() {
    let site =
        Site::with(&[exclusive("cad", 10), exclusive("sim", 5), feature("post", "COUNT=\"UNLIMITED\"")]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 4), ("sim", 2), ("post", 7)]).unwrap();
    granted(client.checkin(held.sessions[0].0, 3));
    granted(client.checkin(held.sessions[1].0, 0));
    for _ in 0..3 {
        daemon.kill();
        daemon = Daemon::start(&site);
        let mut client = daemon.connect_as(client.install_id);
        let resumed = granted(client.resume(&held));
        let counts: Vec<_> = resumed.sessions.iter().map(|s| (s.session, s.count)).collect();
        assert_eq!(counts, [(held.sessions[0].0, 1), (held.sessions[2].0, 7)]);
        daemon.await_used("sim", 0);
    }
}
