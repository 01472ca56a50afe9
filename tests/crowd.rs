//! Ten thousand idle connections, and others served meanwhile (S82). A binary of its own: it needs the descriptors.

#[path = "common/real/mod.rs"]
mod real;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use real::client::{Client, granted, random_bytes};
use real::daemon::{Daemon, PROGRAM, Start};
use real::site::{Site, exclusive};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections say hello and then nothing.
const CROWD: usize = 10_000;
/// How many round trips are measured.
const TRIPS: usize = 200;
/// The most memory one idle connection may take, bytes.
const MEMORY_MAX: u64 = 16 << 10;

/// Raises this process's limit; `None`, with a line, where the system has too few descriptors for the crowd.
fn room_for_the_crowd() -> Option<()> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let room = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if room < CROWD as u64 + 1_000 {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the crowd: {room} descriptors are too few for {CROWD} connections"
        );
        return None;
    }
    Some(())
}

/// Checkout and checkin, over and over: the times, sorted.
fn round_trips(client: &mut Client) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..TRIPS)
        .map(|_| {
            let started = Instant::now();
            let held = client.checkout(&[("cad", 1)]).expect("a seat");
            granted(client.checkin(held.sessions[0].0, 0));
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

#[test]
fn ten_thousand_idle_connections_leave_others_served() {
    if room_for_the_crowd().is_none() {
        return;
    }
    let site = Site::with(&[exclusive("cad", 5)]);
    site.configure("[limits]\nconnections_per_address = 20000\nhello_time = \"60s\"\nidle_time = \"1h\"");
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let alone = round_trips(&mut client);
    let before = daemon.memory("VmRSS");

    let started = Instant::now();
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| daemon.connect()).collect();
    let greeted = started.elapsed();
    let each = daemon.memory("VmRSS").saturating_sub(before) / CROWD as u64;
    let among = round_trips(&mut client);
    println!(
        "{CROWD} greeted in {greeted:?}; {each} bytes of memory each; a checkout and checkin p50 {:?}, p99 {:?} (alone {:?}, {:?})",
        among[TRIPS / 2],
        among[TRIPS * 99 / 100],
        alone[TRIPS / 2],
        alone[TRIPS * 99 / 100]
    );
    assert!(each < MEMORY_MAX, "{each} bytes for each idle connection");
    assert!(among[TRIPS * 99 / 100] < Duration::from_secs(1), "others are not served: {among:?}");
    daemon.connect().heartbeat().expect("a new connection is served");
    for client in crowd.iter_mut().step_by(997) {
        client.heartbeat().expect("every one of them is there");
    }

    // All of them at once are gone, and nobody notices.
    drop(crowd);
    let after = round_trips(&mut client);
    assert!(after[TRIPS / 2] < Duration::from_secs(1), "{after:?}");
    assert!(daemon.log().len() < 50, "no line for each connection: {}", daemon.log().len());
}

#[test]
fn a_daemon_with_few_descriptors_keeps_some_aside() {
    // S82: 300 in all, 256 aside: 44 connections, and the rest is told so.
    let site = Site::with(&[exclusive("cad", 5)]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 300 && exec \"$@\"", "sh", PROGRAM]);
    let daemon = Start::wrapped(&site, command).ready(&site);
    daemon.await_log("connections=44");
    let mut inside: Vec<Client> = (0..44).map(|_| daemon.connect()).collect();
    for _ in 0..200 {
        let error = Client::connect(daemon.address(), random_bytes()).err().expect("there is no room");
        assert!(error.to_string().starts_with("busy"), "{error}");
    }
    // Who does not even read its refusal takes nobody's place either.
    let rude: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    inside[7].checkout(&[("cad", 1)]).expect("who is inside is served");
    daemon.admin().heartbeat().expect("an administrator gets in");
    drop(rude);
    inside.truncate(40);
    real::until("there is room again", || Client::connect(daemon.address(), random_bytes()).ok());
}
