//! What is left behind when a program has dropped everything. One test in a binary of its own: it counts threads.
#![cfg(target_os = "linux")]

mod scripted;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use scripted::{PATIENCE, Server, nobody};
use seatkeeper_client::{Client, Want};
use wire::{Answer, Request, answer};

/// Threads of the library: their names begin like this.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task.ok()?.path().join("comm")).ok();
    tasks.filter_map(name).filter(|name| name.starts_with("seatkeeper-")).count()
}

fn until_none(limit: Duration) {
    let started = Instant::now();
    while threads() > 0 {
        assert!(started.elapsed() < limit, "{} threads are left", threads());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn no_thread_outlives_what_was_dropped() {
    // Given back in order.
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
        let Some((call, Request::Checkin(checkin))) = peer.next_but_beats(1) else { panic!("no checkin") };
        let done = answer::Checkin { session: checkin.session, count: 1, ..Default::default() };
        peer.answer(call, Answer::Checkin(done));
    });
    let client = Client::new(server.options());
    let seats = client.checkout(Want::feature("cad").again()).unwrap();
    let started = Instant::now();
    while threads() < 3 {
        assert!(started.elapsed() < PATIENCE, "one reads, one keeps, one would ask again");
        thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    drop(seats);
    until_none(PATIENCE);

    // The server is gone for good, and nothing can be given back: after some seconds nobody tries any more.
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(9);
    });
    let mut options = server.options();
    options.servers.extend(scripted::options(&[nobody()]).servers);
    let client = Client::new(options);
    let events = client.subscribe();
    let seats = client.checkout(Want::feature("cad")).unwrap();
    events.recv_timeout(PATIENCE).expect("the loss is told");
    server.finish();
    let started = Instant::now();
    drop(seats);
    drop(client);
    assert!(started.elapsed() < Duration::from_secs(10), "it waits two seconds: {:?}", started.elapsed());
    assert!(threads() > 0, "there is still something to give back");
    until_none(Duration::from_secs(30));
    assert!(started.elapsed() > Duration::from_secs(5), "and it was tried for a while");

    // Nothing was ever sent.
    drop(Client::new(scripted::options(&[nobody()])));
    until_none(PATIENCE);
}
