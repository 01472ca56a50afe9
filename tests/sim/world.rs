//! The world of a history: one clock, one list of what is to happen, and everything random from one seed.
//!
//! The runtime is paused. Each turn the events that are due take place, the server's tasks run until none of them can go on
//! (a sleep of one millisecond ends no earlier), what they wrote is collected, and the engine takes its step when it is due.

mod fate;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use seatkeeper::engine::ask::Ask;
use seatkeeper::server::connection::Origin;
use seats::catalog::Catalog;
use tokio::time::{Instant, sleep_until};

use self::fate::Stepped;
use crate::admin::{ADMIN, Admin};
use crate::check::{Checker, Fault};
use crate::client::Client;
use crate::common::Random;
use crate::daemon::{Daemon, Dump};
use crate::disk::SimDisk;
use crate::licenses::{DAY_MS, Sheet};
use crate::net::{Cable, Packet, Weather};
use crate::plan::{Dice as _, Flaw, Plan};
use crate::trace::Trace;

/// The engine's thread looks at the clock so often, whatever happens.
pub(crate) const IDLE_MS: u64 = 500;
/// No history takes so long; one that does turns in a circle.
const TURNS_MAX: u64 = 200_000;
/// How long clients may take to end in good order, on a network that is good by then.
const ENDING_MAX: u64 = 120_000;

/// What is to happen.
#[derive(Clone, Debug)]
enum Event {
    Packet(usize, Packet),
    Client(usize),
    Admin,
    /// Something befalls somebody.
    Trouble,
    Kill,
    Start,
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) trace: Trace,
    pub(crate) cables: Vec<Cable>,
    /// Whose each cable is.
    owners: Vec<usize>,
    pub(crate) tokens: Vec<String>,
    checker: Checker,
    disk: SimDisk,
    daemon: Option<Daemon>,
    /// Whether a daemon has ever started.
    has_started: bool,
    sheet: Sheet,
    catalog: Arc<Catalog>,
    clients: Vec<Client>,
    client_at: Vec<u64>,
    admin: Admin,
    events: BTreeMap<(u64, u64), Event>,
    events_made: u64,
    step_at: u64,
    /// The wall clock at the instant 0, as it is set now.
    unix_ms: i64,
    /// The latest it was ever set to.
    unix_ms_max: i64,
    idle_ms: u64,
    pids: u32,
    turns: u64,
    is_calm: bool,
    start: Instant,
    /// The daemon is told to stop.
    is_stopping: bool,
    /// The disk is going to fail.
    is_doomed: bool,
    /// What the engine held before the step it is in, where that may be its last.
    dump_before: Option<Dump>,
    /// Packets have arrived that the server's tasks have not seen.
    is_stirred: bool,
}

/// What a history came to.
pub(crate) struct Outcome {
    pub(crate) trace: Trace,
    pub(crate) fault: Option<Fault>,
    pub(crate) tally: Tally,
    pub(crate) turns: u64,
}

/// How much there was of what; a simulation in which nothing happens shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) grants: u64,
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) deaths: u64,
    pub(crate) torn: u64,
    pub(crate) reloads: u64,
    pub(crate) midnights: u64,
    pub(crate) resumes: u64,
    pub(crate) reclaims: u64,
    pub(crate) bookings: u64,
    pub(crate) gave_up: u64,
    pub(crate) cables: u64,
    pub(crate) cancels: u64,
    pub(crate) borrows: u64,
    pub(crate) borrows_returned: u64,
    pub(crate) borrows_ended: u64,
}

/// Plays the history of a seed.
pub(crate) fn play(seed: u64, flaw: Flaw) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let mut random = Random(seed);
    let plan = Plan::draw(&mut random, flaw);
    let mut world = {
        let _entered = runtime.enter();
        World::new(plan, random)
    };
    let panics = panics();
    let run = catch_unwind(AssertUnwindSafe(|| runtime.block_on(world.run())));
    let fault = match run {
        // A task of the server that panics ends alone.
        Ok(Ok(())) if self::panics() > panics => {
            Some(Fault::stuck("the server has panicked: see above".into()))
        }
        Ok(ended) => ended.err(),
        Err(_) => Some(Fault::stuck("there was a panic: see above".into())),
    };
    if let Some(fault) = &fault {
        world.trace.say(world.now, format!("FAULT {:?}: {}", fault.check, fault.text));
    }
    Outcome { trace: std::mem::take(&mut world.trace), fault, tally: world.checker.tally, turns: world.turns }
}

/// How many panics there were on this thread.
fn panics() -> u64 {
    thread_local!(static PANICS: Cell<u64> = const { Cell::new(0) });
    static COUNT: Once = Once::new();
    COUNT.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.set(panics.get() + 1));
            told(info);
        }));
    });
    PANICS.with(Cell::get)
}

impl World {
    fn new(plan: Plan, mut random: Random) -> World {
        let sheet = Sheet::draw(&mut random, plan.unix_ms.div_euclid(DAY_MS), plan.lends);
        let catalog = sheet.catalog(more(&plan));
        let disk = SimDisk::new(random.bits(), plan.flaw == Flaw::DiskForgets);
        let clients: Vec<Client> = (0..plan.clients).map(Client::new).collect();
        let mut world = World {
            checker: Checker::new(&plan, sheet.clone()),
            random,
            now: 0,
            trace: Trace::default(),
            cables: Vec::new(),
            owners: Vec::new(),
            tokens: Vec::new(),
            disk,
            daemon: None,
            has_started: false,
            sheet,
            catalog,
            client_at: vec![0; clients.len()],
            clients,
            admin: Admin::default(),
            events: BTreeMap::new(),
            events_made: 0,
            step_at: 0,
            unix_ms: plan.unix_ms,
            unix_ms_max: plan.unix_ms,
            idle_ms: IDLE_MS,
            pids: 0,
            turns: 0,
            is_calm: false,
            start: Instant::now(),
            is_stopping: false,
            is_doomed: false,
            dump_before: None,
            is_stirred: false,
            plan,
        };
        world.trace.say(0, format!("{:?}", world.plan));
        world.trace.say(0, format!("licenses:{}", world.sheet));
        world.at(0, Event::Start);
        for client in 0..world.clients.len() {
            let at = world.random.ms(0, 5_000);
            world.wake(client, at);
        }
        if world.plan.has_admin {
            let at = world.random.ms(1_000, 10_000);
            world.at(at, Event::Admin);
        }
        let at = world.random.ms(1_000, world.plan.trouble_every);
        world.at(at, Event::Trouble);
        if let Some(every) = world.plan.death_every {
            let at = world.random.ms(1, every);
            world.at(at, Event::Kill);
        }
        world
    }

    /// The whole history: work, an orderly end, a silence after which nothing may be left.
    async fn run(&mut self) -> Result<(), Fault> {
        self.go_on(self.plan.duration, |_| false).await?;
        self.trace.say(self.now, "everybody ends".into());
        self.is_calm = true;
        // The disk is well from now on.
        self.disk.memory.power_off_after(u64::MAX / 2);
        self.disk.memory.fail_sync(u64::MAX);
        if self.daemon.is_none() {
            self.start_daemon()?;
        }
        self.clients.iter_mut().for_each(Client::end);
        self.admin.end();
        (0..self.clients.len()).for_each(|client| self.wake(client, self.now + 1));
        self.at(self.now + 1, Event::Admin);
        let is_done = |w: &World| {
            w.clients.iter().all(Client::is_done) && (w.admin.is_done() || w.admin.conn().is_none())
        };
        self.go_on(self.now + ENDING_MAX, is_done).await?;
        if let Some(client) = self.clients.iter().find(|client| !client.is_done()) {
            return Err(Fault::stuck(format!("does not come to an end: {}", client.shown())));
        }
        self.trace.say(self.now, "silence".into());
        let silence = self.plan.lease + self.plan.reap_after + 100_000;
        self.go_on(self.now + silence, |_| false).await?;
        if let Some(daemon) = &self.daemon {
            let seen = daemon.seen();
            self.checker.check_only_lent_left(&seen)?;
            if !seen.sessions.is_empty() {
                self.outlast_what_is_lent().await?;
            }
        }
        let Some(daemon) = &self.daemon else { return Err(Fault::stuck("no daemon".into())) };
        self.checker.check_nothing_left(&daemon.seen())?;
        let dump = daemon.dump();
        self.checker.check_replay(&self.plan, &self.disk, &dump)
    }

    /// Turn by turn, until a moment or until something is so.
    async fn go_on(&mut self, until: u64, is_over: impl Fn(&World) -> bool) -> Result<(), Fault> {
        while self.now < until && !is_over(self) {
            self.turns += 1;
            if self.turns > TURNS_MAX {
                return Err(Fault::stuck("the history turns in a circle".into()));
            }
            self.turn(until).await?;
        }
        Ok(())
    }

    async fn turn(&mut self, until: u64) -> Result<(), Fault> {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            self.happen(event)?;
        }
        if std::mem::take(&mut self.is_stopping) && self.daemon.is_some() {
            self.stop().await?;
        }
        if self.is_stirred {
            self.is_stirred = false;
            self.pass(self.now + 1).await;
            self.collect()?;
            if self.daemon.as_mut().is_some_and(Daemon::is_asked) {
                // Now and then the engine is busy, or the disk slow.
                let busy = if !self.is_calm && self.random.percent(3) { 1_500 } else { 3 };
                let at = self.now + self.random.ms(0, busy);
                self.step_at = self.step_at.min(at);
            }
        }
        if self.daemon.is_some() && self.now >= self.step_at {
            match self.step()? {
                Stepped::Well => {}
                Stepped::Dark => self.die()?,
                Stepped::Failed => {
                    // What leaves between a disk that fails and the end of the process must tell nothing of that step.
                    self.pass(self.now + 1).await;
                    self.die()?;
                }
            }
        }
        if !self.is_stirred {
            let next = self.events.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
            let step = if self.daemon.is_some() { self.step_at } else { u64::MAX };
            let next = next.min(step).min(until);
            if next > self.now {
                self.pass(next).await;
                // Timers of the server's own may have run.
                self.collect()?;
            }
        }
        Ok(())
    }

    /// Time passes, and the server's tasks run.
    async fn pass(&mut self, to: u64) {
        sleep_until(self.start + Duration::from_millis(to)).await;
        self.now = to;
        if let Some(daemon) = &self.daemon {
            daemon.set_clock(self.now, self.unix_ms + i64::try_from(self.now).expect("minutes"));
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Packet(conn, packet) => self.packet(conn, packet),
            Event::Client(client) if self.client_at[client] <= self.now => self.act(client)?,
            Event::Client(_) => {}
            Event::Admin => {
                let mut admin = std::mem::take(&mut self.admin);
                let next = admin.act(self);
                self.admin = admin;
                let next = next.map_err(|text| Fault::protocol(format!("to the administrator: {text}")))?;
                if !self.admin.is_done() {
                    self.at(next, Event::Admin);
                }
            }
            Event::Trouble => {
                if !self.is_calm {
                    self.trouble();
                    let at = self.now + self.random.ms(500, self.plan.trouble_every);
                    self.at(at, Event::Trouble);
                }
            }
            Event::Kill => {
                if !self.is_calm && self.daemon.is_some() {
                    self.doom()?;
                }
                if let Some(every) = self.plan.death_every {
                    let at = self.now + self.random.ms(1, every * 2);
                    self.at(at, Event::Kill);
                }
            }
            Event::Start => {
                if self.daemon.is_none() {
                    self.start_daemon()?;
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, client: usize) -> Result<(), Fault> {
        let mut acting = std::mem::replace(&mut self.clients[client], Client::new(client));
        let next = acting.act(self);
        self.clients[client] = acting;
        let next = next.map_err(|text| Fault::protocol(format!("to client {client}: {text}")))?;
        if !self.clients[client].is_done() {
            self.wake(client, next);
        }
        Ok(())
    }

    fn packet(&mut self, conn: usize, packet: Packet) {
        let now = self.now;
        match packet {
            Packet::Up(upto) => {
                if self.cables[conn].arrive(upto) {
                    self.is_stirred = true;
                    self.checker.arrived(now, conn, &self.cables[conn], &mut self.trace);
                }
            }
            Packet::UpEnd(end) => {
                if self.cables[conn].end_at_server(end) {
                    self.is_stirred = true;
                    self.trace.say(now, format!("#{conn} ends at the server: {end:?}"));
                    self.checker.ended(now, conn);
                }
            }
            Packet::Down(upto) => {
                let cable = &mut self.cables[conn];
                if !cable.is_given_up {
                    cable.received = cable.received.max(upto);
                    self.wake_owner(conn);
                }
            }
            Packet::DownEnd => {
                let cable = &mut self.cables[conn];
                if !cable.is_given_up {
                    cable.is_given_up = true;
                    self.trace.say(now, format!("#{conn} ends at its client"));
                    self.wake_owner(conn);
                }
            }
        }
    }

    fn wake_owner(&mut self, conn: usize) {
        match self.owners[conn] {
            ADMIN => {
                if self.admin.conn() == Some(conn) {
                    self.at(self.now, Event::Admin);
                }
            }
            client => {
                if self.clients[client].conn() == Some(conn) {
                    self.wake(client, self.now);
                }
            }
        }
    }

    /// What the server wrote is seen by the checks, and sets out.
    fn collect(&mut self) -> Result<(), Fault> {
        for conn in 0..self.cables.len() {
            if self.cables[conn].is_dead() || (self.cables[conn].is_over && self.cables[conn].is_given_up) {
                continue;
            }
            let mut weather = Weather {
                random: &mut self.random,
                cuts: self.plan.cuts,
                stalls: self.plan.stalls,
                is_calm: self.is_calm,
            };
            let (packets, has_closed) = self.cables[conn].collect(self.now, &mut weather);
            if has_closed {
                self.trace.say(self.now, format!("#{conn} is closed by the server"));
                self.checker.ended(self.now, conn);
                self.step_at = self.step_at.min(self.now + 2);
            }
            self.checker.told(self.now, conn, &self.cables[conn], &mut self.trace)?;
            self.set_out(conn, packets);
        }
        Ok(())
    }

    fn set_out(&mut self, conn: usize, packets: Vec<(u64, Packet)>) {
        for (at, packet) in packets {
            self.at(at, Event::Packet(conn, packet));
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.events_made += 1;
        self.events.insert((at.max(self.now), self.events_made), event);
    }

    fn wake(&mut self, client: usize, at: u64) {
        self.client_at[client] = at;
        self.at(at, Event::Client(client));
    }
}

/// What clients and the administrator do with the world.
impl World {
    /// A new connection; `None`: nobody listens.
    pub(crate) fn connect(&mut self, owner: usize, is_admin: bool) -> Option<usize> {
        let daemon = self.daemon.as_ref()?;
        let (cable, stream) = Cable::new(self.now);
        let address = u8::try_from(owner).map_or(9, |owner| owner);
        let origin = Origin {
            address: (!is_admin).then(|| std::net::Ipv4Addr::new(10, 0, 0, address).into()),
            admin: is_admin.then(|| "uid 0".to_owned()),
            sees_all: true,
            sees_counts: true,
        };
        daemon.connect(stream, origin);
        self.cables.push(cable);
        self.owners.push(owner);
        self.checker.connected(self.now);
        self.is_stirred = true;
        Some(self.cables.len() - 1)
    }

    pub(crate) fn send(&mut self, conn: usize, bytes: &[u8]) {
        let mut weather = Weather {
            random: &mut self.random,
            cuts: self.plan.cuts,
            stalls: self.plan.stalls,
            is_calm: self.is_calm,
        };
        let packets = self.cables[conn].send(bytes, self.now, &mut weather);
        self.set_out(conn, packets);
    }

    pub(crate) fn give_up(&mut self, conn: usize) {
        let mut weather = Weather {
            random: &mut self.random,
            cuts: self.plan.cuts,
            stalls: self.plan.stalls,
            is_calm: self.is_calm,
        };
        let packets = self.cables[conn].give_up(self.now, &mut weather);
        self.set_out(conn, packets);
    }

    pub(crate) fn new_pid(&mut self) -> u32 {
        self.pids += 1;
        self.pids
    }

    /// Now and then one of the tokens that seats were booked under.
    pub(crate) fn token(&mut self) -> Option<String> {
        let has_one = !self.tokens.is_empty() && self.random.percent(25);
        has_one.then(|| self.random.one_of(&self.tokens).clone())
    }

    /// A client has done with a checkout: as far as it knows nothing of it is left.
    pub(crate) fn over(&mut self, pid: u32) {
        self.checker.over(self.now, pid, &mut self.trace);
    }

    /// What an administrator finds in his lists.
    pub(crate) fn a_session_or_waiter(&self) -> Vec<u64> {
        let Some(daemon) = &self.daemon else { return Vec::new() };
        let seen = daemon.seen();
        seen.sessions.keys().chain(seen.waiters.keys()).copied().collect()
    }
}

/// Seats that the server believes to have beyond those that were sold, where that error is planted.
fn more(plan: &Plan) -> i32 {
    match plan.flaw {
        Flaw::SellsOneMore => 1,
        Flaw::SellsOneLess => -1,
        _ => 0,
    }
}
