//! Clients that work at a daemon until it dies under them, and then hold it to every answer it gave.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use wire::request;

use crate::common::Random;
use crate::real::client::{Client, Held, asking, granted, random_bytes};
use crate::real::daemon::Daemon;
use crate::real::site::exclusive;

/// What the workers fight for: fewer seats than they would like.
const FEATURES: [(&str, u32); 3] = [("cad", 40), ("sim", 25), ("post", 1_000)];
/// The most bundles a worker holds.
const BUNDLES_MAX: usize = 12;

pub(crate) fn features() -> Vec<String> {
    FEATURES.iter().map(|(name, count)| exclusive(name, *count)).collect()
}

/// A checkout as its client believes it to be.
struct Bundle {
    held: Held,
    /// Session, feature and seats.
    seats: BTreeMap<u64, (String, u32)>,
}

/// A request whose answer never came: it was done, or it was not.
enum Doubt {
    Checkout(Box<request::Checkout>),
    Checkin { at: usize, session: u64, count: u32 },
}

/// One installation with what it knows.
pub(crate) struct Worker {
    install_id: [u8; 16],
    random: Random,
    bundles: Vec<Bundle>,
    /// Given back whole, and told so.
    ended: Vec<Held>,
    doubt: Option<Doubt>,
    /// Grants it was told of.
    pub(crate) grants: u64,
}

impl Bundle {
    fn new(held: Held) -> Bundle {
        let items = held.asked.items.iter().map(|item| item.feature.clone());
        let seats =
            held.sessions.iter().zip(items).map(|((id, count), name)| (*id, (name, *count))).collect();
        Bundle { held, seats }
    }

    fn counts(&self) -> Vec<(u64, u32)> {
        self.seats.iter().map(|(id, (_, count))| (*id, *count)).collect()
    }
}

impl Worker {
    pub(crate) fn new(seed: u64) -> Worker {
        let (bundles, ended) = (Vec::new(), Vec::new());
        Worker { install_id: random_bytes(), random: Random(seed), bundles, ended, doubt: None, grants: 0 }
    }

    /// Works until the connection breaks or the server says that it stops.
    pub(crate) fn work(&mut self, address: SocketAddr) {
        let outcome = Client::connect(address, self.install_id).and_then(|mut client| {
            for bundle in &self.bundles {
                granted(Ok(client.resume(&bundle.held)?));
            }
            while self.step(&mut client)? {}
            Ok(())
        });
        if let Err(error) = outcome {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the daemon hangs");
        }
    }

    /// `false`: the server stops.
    fn step(&mut self, client: &mut Client) -> io::Result<bool> {
        match self.random.within(0, 9) {
            0 => {
                let sessions: usize = self.bundles.iter().map(|b| b.seats.len()).sum();
                assert_eq!(
                    client.heartbeat()? as usize,
                    sessions,
                    "a session is lost, or too many are there"
                );
            }
            1 if !self.bundles.is_empty() => self.ask_again(client)?,
            2..6 if self.bundles.len() < BUNDLES_MAX => return self.check_out(client),
            _ if !self.bundles.is_empty() => self.check_in(client)?,
            _ => {}
        }
        Ok(true)
    }

    fn check_out(&mut self, client: &mut Client) -> io::Result<bool> {
        let items: Vec<(&str, u32)> = (0..self.random.within(1, 3))
            .map(|_| (self.random.one_of(&FEATURES).0, u32::try_from(self.random.within(1, 3)).unwrap()))
            .collect();
        let asked = asking(&items);
        self.doubt = Some(Doubt::Checkout(Box::new(asked.clone())));
        let answer = client.checkout_again(&asked)?;
        self.doubt = None;
        match answer {
            Ok((held, is_replay)) => {
                assert!(!is_replay, "nobody used this key before");
                self.grants += 1;
                self.bundles.push(Bundle::new(held));
            }
            Err(refused) if refused.code == "no_seats" => {}
            Err(refused) if refused.code == "shutting_down" => return Ok(false),
            Err(refused) => panic!("{}: {}", refused.code, refused.message),
        }
        Ok(true)
    }

    fn check_in(&mut self, client: &mut Client) -> io::Result<()> {
        let at = usize::try_from(self.random.bits() % self.bundles.len() as u64).unwrap();
        let (session, has) = *self.random.one_of(&self.bundles[at].counts());
        // All of it, or some.
        let count = u32::try_from(self.random.within(0, i64::from(has))).unwrap();
        self.doubt = Some(Doubt::Checkin { at, session, count });
        let told = granted(Ok(client.checkin(session, count)?));
        self.doubt = None;
        let left = if count == 0 { 0 } else { has - count };
        assert_eq!((told.count, told.remaining), (has - left, left));
        self.give(at, session, left);
        Ok(())
    }

    /// The model after a checkin that is known to be done.
    fn give(&mut self, at: usize, session: u64, left: u32) {
        let seats = &mut self.bundles[at].seats;
        if left > 0 {
            seats.get_mut(&session).expect("it was there").1 = left;
        } else {
            seats.remove(&session);
        }
        if seats.is_empty() {
            self.ended.push(self.bundles.swap_remove(at).held);
        }
    }

    /// S2: the same request key gets the same answer and no second seat.
    fn ask_again(&mut self, client: &mut Client) -> io::Result<()> {
        let bundle = self.random.one_of(&self.bundles);
        let (again, is_replay) = granted(Ok(client.checkout_again(&bundle.held.asked)?));
        assert!(is_replay && again.bundle == bundle.held.bundle, "a retried checkout takes nothing more");
        assert_eq!(sorted(again.sessions), bundle.counts());
        Ok(())
    }

    /// After a restart: everything it was told is true, and what it was not told is found out.
    pub(crate) fn settle(&mut self, daemon: &Daemon) {
        let mut client = daemon.connect_as(self.install_id);
        match self.doubt.take() {
            None => {}
            Some(Doubt::Checkout(asked)) => match client.checkout_again(&asked).unwrap() {
                Ok((held, _)) => {
                    let bundle = Bundle::new(held);
                    let (again, is_replay) = granted(client.checkout_again(&asked));
                    assert!(is_replay && again.bundle == bundle.held.bundle);
                    assert_eq!(sorted(again.sessions), bundle.counts());
                    self.bundles.push(bundle);
                }
                Err(refused) => assert_eq!(refused.code, "no_seats", "{}", refused.message),
            },
            Some(Doubt::Checkin { at, session, count }) => {
                let has = self.bundles[at].seats[&session].1;
                let given = if count == 0 { has } else { count };
                let now = match client.resume(&self.bundles[at].held).unwrap() {
                    Ok(resumed) => {
                        resumed.sessions.iter().find(|s| s.session == session).map_or(0, |s| s.count)
                    }
                    Err(refused) => {
                        assert_eq!(refused.code, "already_removed", "{}", refused.message);
                        0
                    }
                };
                assert!(now == has || now == has - given, "{now} of {has} left after a checkin of {given}");
                self.give(at, session, now);
            }
        }
        for bundle in &self.bundles {
            let resumed = granted(client.resume(&bundle.held));
            let counts = resumed.sessions.iter().map(|s| (s.session, s.count)).collect();
            assert_eq!((sorted(counts), resumed.ended), (bundle.counts(), Vec::new()));
        }
        for held in self.ended.iter().rev().take(50) {
            let answer = client.resume(held).unwrap();
            assert_eq!(answer.expect_err("it was given back").code, "already_removed");
            let answer = client.checkout_again(&held.asked).unwrap();
            assert_eq!(answer.expect_err("it was given back").code, "already_removed");
        }
    }
}

fn sorted(mut counts: Vec<(u64, u32)>) -> Vec<(u64, u32)> {
    counts.sort_unstable();
    counts
}

/// Lets all workers work until `then` has ended the daemon.
pub(crate) fn under_load(workers: &mut [Worker], address: SocketAddr, then: impl FnOnce()) {
    std::thread::scope(|scope| {
        for worker in workers {
            scope.spawn(move || worker.work(address));
        }
        then();
    });
}

/// Every worker is right, and together they have exactly the seats that the server counts.
pub(crate) fn settle_all(workers: &mut [Worker], daemon: &Daemon) {
    for worker in &mut *workers {
        worker.settle(daemon);
    }
    let mut ids = BTreeSet::new();
    let mut used: BTreeMap<&str, u64> = BTreeMap::new();
    for (id, (feature, count)) in workers.iter().flat_map(|w| &w.bundles).flat_map(|b| &b.seats) {
        assert!(ids.insert(id), "session {id} is held by two");
        *used.entry(feature).or_default() += u64::from(*count);
    }
    for (name, total) in FEATURES {
        let known = used.get(name).copied().unwrap_or(0);
        assert!(known <= u64::from(total), "{name} is oversold");
        daemon.await_used(name, known);
    }
}
