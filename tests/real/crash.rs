//! kill -9, a torn journal, a full disk, SIGTERM: what was answered stays true (S60 to S65).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use wire::message::Event;
use wire::request::{self, HostId};

use crate::common::{Random, seed};
use crate::load::{Worker, features, settle_all, under_load};
use crate::real::client::{asking, granted, refused};
use crate::real::daemon::{Daemon, PROGRAM, Start, run_to_end};
use crate::real::site::{Site, exclusive, feature};
use crate::real::until;

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
        std::thread::sleep(Duration::from_millis(300));
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

#[test]
fn a_second_daemon_on_the_same_state_names_the_first() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 1)]).unwrap();
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(75), "{text}");
    assert!(text.contains(&format!("pid {}", daemon.pid())), "{text}");
    client.give_back(&held);
    daemon.admin();
}

/// The last byte of the journal that says anything.
fn last_byte(state: &Path) -> (fs::File, u64) {
    let mut segments: Vec<_> = fs::read_dir(state.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "segment"))
        .collect();
    segments.sort();
    let path = segments.last().expect("a segment");
    let bytes = fs::read(path).unwrap();
    let at = bytes.iter().rposition(|byte| *byte != 0).expect("a batch");
    (fs::OpenOptions::new().write(true).open(path).unwrap(), at as u64)
}

#[test]
fn a_torn_last_batch_is_dropped_and_all_before_it_is_there() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let first = client.checkout(&[("cad", 2)]).unwrap();
    let last = client.checkout(&[("cad", 3)]).unwrap();
    daemon.kill();
    let (segment, at) = last_byte(&site.state());
    segment.write_all_at(&[0], at).unwrap();

    let daemon = Daemon::start(&site);
    daemon.await_log("the last batch was cut off");
    let mut client = daemon.connect_as(client.install_id);
    assert_eq!(granted(client.resume(&first)).sessions[0].count, 2);
    assert_eq!(refused(client.resume(&last).unwrap()).0, "unknown_session");
    assert_eq!(client.feature("cad")["used"], 2);
    let (again, is_replay) = granted(client.checkout_again(&last.asked));
    assert!(!is_replay, "what was torn was never granted");
    assert_eq!(again.sessions[0].1, 3);
}

#[test]
fn damage_in_the_middle_stops_the_start_and_says_the_choices() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    client.checkout(&[("cad", 2)]).unwrap();
    let (segment, at) = last_byte(&site.state());
    client.checkout(&[("cad", 3)]).unwrap();
    daemon.kill();
    segment.write_all_at(&[0], at).unwrap();
    let (code, text) = run_to_end(Start::of(&site));
    assert_eq!(code, Some(74), "{text}");
    assert!(text.contains("--accept-loss") && text.contains(".segment"), "{text}");
    let daemon = Start::of(&site).arg("--accept-loss").ready(&site);
    assert_eq!(daemon.connect().feature("cad")["used"], 0);
}

#[test]
fn a_state_directory_that_was_moved_away_ends_the_daemon() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2)]).unwrap();
    fs::rename(site.state(), site.path().join("elsewhere")).unwrap();
    // S60: looked at every five seconds.
    assert_eq!(daemon.await_end(Duration::from_secs(20)).code(), Some(74), "{}", daemon.log_text());
    assert!(daemon.log_text().contains("the state directory was moved"), "{}", daemon.log_text());
    fs::rename(site.path().join("elsewhere"), site.state()).unwrap();
    let daemon = Daemon::start(&site);
    granted(daemon.connect_as(client.install_id).resume(&held));
}

/// Every file below: its bytes and when it was written.
fn everything(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
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

/// A command that gives what follows a small file system of its own at the state directory; `None`, with a line,
/// where this user may not mount anything.
fn on_a_small_disk(site: &Site) -> Option<Command> {
    const MOUNT: &str = "mount -t tmpfs -o size=150m tmpfs \"$1\" && head -c 75000000 /dev/zero > \"$1/ballast\" && shift && exec \"$@\"";
    let state = site.state();
    fs::create_dir_all(&state).unwrap();
    let unshare = |what: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]);
        command.arg(&state).arg(what);
        command
    };
    if unshare("true").output().is_ok_and(|output| output.status.success()) {
        return Some(unshare(PROGRAM));
    }
    let _ = writeln!(std::io::stderr(), "skipped: the full disk: this user may not mount a tmpfs");
    None
}

#[test]
fn on_a_full_disk_checkouts_stop_and_checkins_go_on() {
    let site = Site::with(&[exclusive("cad", 1_000_000)]);
    site.configure("admin_socket = \"admin.sock\"");
    let Some(command) = on_a_small_disk(&site) else { return };
    let daemon = Start::wrapped(&site, command).ready(&site);
    let mut client = daemon.connect();
    // Facts as long as they may be: 8 KiB of journal for each checkout.
    let id = |n: usize| HostId { kind: "CUSTOM".into(), value: format!("{n:0>256}") };
    let mut held = Vec::new();
    let refusal = loop {
        let mut asked = asking(&[("cad", 1)]);
        asked.facts.host_ids = (0..32).map(id).collect();
        let calls: Vec<u32> = (0..32)
            .map(|_| {
                asked.request_key = crate::real::client::random_bytes();
                client.send(&asked).unwrap()
            })
            .collect();
        let mut last = None;
        for call in calls {
            match client.take::<request::Checkout>(call).unwrap() {
                Ok(grant) => held.push((grant.bundle, grant.sessions[0].session)),
                Err(refused) => last = Some(refused),
            }
        }
        if let Some(refused) = last {
            break refused;
        }
        // Each connection holds so many sessions at most.
        if held.len() % 4_096 < 32 {
            client = daemon.connect_as(client.install_id);
        }
        assert!(held.len() < 20_000, "the disk is never full");
    };
    println!("{} checkouts, then: {}", held.len(), refusal.message);
    assert_eq!(refusal.code, "internal", "{}", refusal.message);
    assert!(refusal.message.contains("room"), "{}", refusal.message);
    let (_, session) = held.pop().unwrap();
    granted(client.checkin(session, 0));
    client.heartbeat().unwrap();
    daemon.await_used("cad", held.len() as u64);

    let lines = daemon.log().iter().filter(|line| line.contains("no room for the journal")).count();
    assert_eq!(lines, 1, "clients cause it at will, so it is said once");

    // There is room again: the daemon finds that out by itself.
    let ballast = format!("/proc/{}/root{}", daemon.pid(), site.state().join("ballast").display());
    fs::remove_file(ballast).unwrap();
    until("checkouts go on", || client.checkout(&[("cad", 1)]).ok());
    daemon.await_log("there is room for the journal again");
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
