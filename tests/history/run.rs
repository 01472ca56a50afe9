//! The daemon that ships, many clients over real sockets, kill -9 in between, and the checker over what they saw.

use std::io;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use wire::answer::{self, Grant};

use crate::common::{Random, seed};
use crate::intervals;
use crate::order::{self, Effort};
use crate::planted;
use crate::real::client::{Client, Held, asking, random_bytes};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};
use crate::record::{Answer, History, Key, POOLS, Recorder, Request, Seats, Session, What};
use crate::script::Script;
use crate::story::{self, Effect};

const FEATURES: [&str; POOLS] = ["cad", "sim"];
const TOTALS: Seats = [5, 3];

/// How much happens.
struct Size {
    clients: usize,
    /// Requests of each client, not counting those that give back what is left.
    requests: usize,
    kills: usize,
}

fn is_long() -> bool {
    std::env::var_os("SEATKEEPER_LONG").is_some_and(|v| v == "1")
}

/// Where the daemon is now. Clients that lost it wait for the next one.
#[derive(Default)]
struct Whereabouts {
    /// How many daemons there were, and the address of the last.
    now: Mutex<(usize, Option<SocketAddr>)>,
    changed: Condvar,
}

impl Whereabouts {
    fn tell(&self, address: SocketAddr) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (now.0 + 1, Some(address));
        self.changed.notify_all();
    }

    /// The first daemon after the one with this number.
    fn after(&self, number: usize) -> (usize, SocketAddr) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |now: &mut (usize, Option<SocketAddr>)| now.0 <= number;
        let (now, waited) = self
            .changed
            .wait_timeout_while(now, Duration::from_secs(60), is_old)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "no daemon after number {number}");
        (now.0, now.1.expect("told with its number"))
    }
}

/// One client with what it needs to say a request of its script again over another connection.
struct Speaker {
    number: usize,
    install_id: [u8; 16],
    /// As sent, with the bundle once it is known.
    checkouts: Vec<(Key, Held)>,
}

impl Speaker {
    /// Works until its requests are used up, over as many daemons as it takes.
    fn work(mut self, mut script: Script, size: &Size, record: &Recorder, whereabouts: &Whereabouts) {
        let mut random = Random(self.number as u64);
        let mut left = size.requests;
        let mut daemon = 0;
        loop {
            let now = whereabouts.after(daemon);
            daemon = now.0;
            match self.talk(&mut script, &mut left, &mut random, record, now) {
                Ok(()) => return,
                Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the daemon hangs"),
            }
            script.cut();
        }
    }

    /// Talks to one daemon. `Ok`: nothing is left to do.
    fn talk(
        &mut self,
        script: &mut Script,
        left: &mut usize,
        random: &mut Random,
        record: &Recorder,
        (daemon, address): (usize, SocketAddr),
    ) -> io::Result<()> {
        let mut client = Client::connect(address, self.install_id)?;
        loop {
            if *left == 0 {
                script.end();
            }
            let Some(request) = script.next() else { return Ok(()) };
            if !record.note_sent(self.number, daemon, &request) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let answer = self.ask(&mut client, &request)?;
            record.note(self.number, What::Answered(answer.clone()));
            script.told(&answer);
            *left = left.saturating_sub(1);
            // A session outlives its socket (S10): now and then the client comes back over another.
            if random.within(0, 29) == 0 {
                script.cut();
                client = Client::connect(address, self.install_id)?;
            }
        }
    }

    fn ask(&mut self, client: &mut Client, request: &Request) -> io::Result<Answer> {
        Ok(match request {
            Request::Checkout { key, seats } => {
                let at = self.place(*key, *seats);
                let asked = self.checkouts[at].1.asked.clone();
                match client.ask(&asked)? {
                    Ok(granted) => {
                        self.checkouts[at].1.bundle = granted.bundle;
                        let sessions = sessions(&granted.sessions);
                        Answer::Granted { bundle: granted.bundle, sessions, is_replay: granted.replayed }
                    }
                    Err(refused) => refusal(refused),
                }
            }
            Request::Checkin { session, count } => match client.checkin(*session, *count)? {
                Ok(back) => Answer::GivenBack { count: back.count, remaining: back.remaining },
                Err(refused) => refusal(refused),
            },
            Request::Resume { key } => {
                let at = self.place(*key, [0; POOLS]);
                match client.resume(&self.checkouts[at].1)? {
                    // S23: lost other than by a checkin. Nobody may lose any here.
                    Ok(resumed) if !resumed.ended.is_empty() => {
                        Answer::Refused(format!("lost: {:?}", resumed.ended))
                    }
                    Ok(resumed) => Answer::Resumed { sessions: sessions(&resumed.sessions) },
                    Err(refused) => refusal(refused),
                }
            }
        })
    }

    /// Where the checkout of this key is kept; a new one gets its request key and secret.
    fn place(&mut self, key: Key, seats: Seats) -> usize {
        if let Some(at) = self.checkouts.iter().position(|(known, _)| *known == key) {
            return at;
        }
        let items: Vec<(&str, u32)> =
            FEATURES.into_iter().zip(seats).filter(|(_, count)| *count > 0).collect();
        let held = Held { asked: asking(&items), bundle: 0, sessions: Vec::new() };
        self.checkouts.push((key, held));
        self.checkouts.len() - 1
    }
}

fn sessions(grants: &[Grant]) -> Vec<Session> {
    let pool = |name: &str| FEATURES.iter().position(|known| *known == name).expect("a feature we asked for");
    let session =
        |grant: &Grant| Session { id: grant.session, pool: pool(&grant.feature), count: grant.count };
    grants.iter().map(session).collect()
}

fn refusal(refused: answer::Refused) -> Answer {
    match refused.code.as_str() {
        "no_seats" => Answer::Denied,
        "already_removed" => Answer::Removed,
        _ => Answer::Refused(format!("{}: {}", refused.code, refused.message)),
    }
}

/// One run: what the clients saw. At its end all of them have given everything back.
fn run(random: &mut Random, size: &Size) -> History {
    let features: Vec<String> =
        FEATURES.into_iter().zip(TOTALS).map(|(name, total)| exclusive(name, total)).collect();
    let site = Site::with(&features);
    // Longer than any run: nobody is suspect for long enough to lose a seat (S20 to S22), and the total is exact.
    site.configure("lease = \"1h\"\nresume_window = \"1h\"\nreap_after = \"1h\"");
    let record = Recorder::new(TOTALS);
    let whereabouts = Whereabouts::default();
    let mut daemon = Daemon::start(&site);
    std::thread::scope(|scope| {
        for number in 0..size.clients {
            let script = Script::new(number, random.bits());
            let speaker = Speaker { number, install_id: random_bytes(), checkouts: Vec::new() };
            let (record, whereabouts) = (&record, &whereabouts);
            scope.spawn(move || speaker.work(script, size, record, whereabouts));
        }
        whereabouts.tell(daemon.address());
        // A request is two events. The moment of death is a number of events, so that it is always in the middle of work.
        let between = size.clients * size.requests * 2 / (size.kills + 1);
        let mut events = 0;
        for kill in 1..=size.kills {
            events += between * usize::try_from(random.within(80, 100)).expect("small") / 100;
            assert!(record.await_events(events, Duration::from_secs(120)), "the clients are stuck");
            daemon.kill();
            record.note(size.clients, What::Killed);
            println!("kill {kill} after {events} events");
            daemon = Daemon::start(&site);
            whereabouts.tell(daemon.address());
        }
    });
    for name in FEATURES {
        daemon.await_used(name, 0);
    }
    record.into_history()
}

/// Runs, checks, and plants errors in the history that must be found.
fn run_and_check(size: &Size) {
    let mut random = Random(seed());
    let history = run(&mut random, size);
    let story = story::read(&history).unwrap_or_else(|fault| panic!("answers: {fault}"));
    intervals::check(&history, &story).unwrap_or_else(|fault| panic!("intervals: {fault}"));
    let effort = order::search(&history, &story, order::CONFIGURATIONS_MAX);
    let effort = effort.unwrap_or_else(|fault| panic!("order: {fault}"));
    let grants = story.count(|effect| matches!(effect, Effect::Take(_)));
    let denials = story.count(|effect| matches!(effect, Effect::Deny(_)));
    println!(
        "{} events: {grants} grants, {denials} denials, {} replays, {} requests cut; search: {effort:?}",
        history.events.len(),
        story.replays,
        story.cuts
    );
    let requests = size.clients * size.requests;
    assert!(grants > requests / 20 && denials > requests / 20, "nobody fought for seats");
    assert!(story.replays > 0 && story.cuts > 0, "nothing was retried, or no kill met a request");
    assert!(matches!(effort, Effort::Whole(_)), "the search gave up: {effort:?}");
    planted::errors_in_it_are_found(&history, &mut random);
}

#[test]
fn sixteen_clients_over_kill_9_see_one_pool_of_seats() {
    let size = if is_long() {
        Size { clients: 16, requests: 2_000, kills: 40 }
    } else {
        Size { clients: 16, requests: 100, kills: 3 }
    };
    run_and_check(&size);
}

#[test]
fn four_clients_over_kill_9_see_one_order_of_everything() {
    let size = if is_long() {
        Size { clients: 4, requests: 2_000, kills: 40 }
    } else {
        Size { clients: 4, requests: 150, kills: 3 }
    };
    run_and_check(&size);
}
