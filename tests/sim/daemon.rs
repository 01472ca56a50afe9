//! The daemon of a simulation: journal, ledger, engine, listener and connections put together as `src/daemon` does it, but
//! for its threads. The engine is stepped by the simulation; connections are tasks of the one paused runtime.

use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use seatkeeper::answer::Context;
use seatkeeper::clock::{Clock, SimulatedTime, Ticks, Zone};
use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::{Ask, Request, Then};
use seatkeeper::engine::record::StateFold;
use seatkeeper::engine::thread::{Handle, queue};
use seatkeeper::events::Hub;
use seatkeeper::journal::{Fold, FoldError, Journal, Options};
use seatkeeper::report;
use seatkeeper::server::connection::Origin;
use seatkeeper::server::listener::{Listener, listen};
use seatkeeper::server::reports::Facts;
use seatkeeper::server::{Admin, Server};
use seats::catalog::Catalog;
use seats::change::Change;
use seats::ledger::{Ledger, Patience, State};
use seats::policy::Policy;
use seats::request::NameRules;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::check::seen::Seen;
use crate::disk::SimDisk;
use crate::licenses::{Day, identity};
use crate::net::Stream;
use crate::plan::{Flaw, Plan};

/// The directory of the journal.
const JOURNAL: &str = "journal";
/// The most changes of a state that are compared one by one.
pub(crate) type Dump = Vec<Change>;

/// A running daemon.
pub(crate) struct Daemon {
    engine: Engine<SimDisk>,
    asks: Receiver<Ask>,
    batch: Vec<Ask>,
    pub(crate) handle: Handle,
    server: Arc<Server>,
    clock: Clock,
    time: Arc<SimulatedTime>,
    /// When it was started.
    started: u64,
    doors: mpsc::UnboundedSender<(Stream, Origin)>,
    reloads: Arc<Reloads>,
    flaw: Flaw,
}

/// Where connections come from.
struct Door(tokio::sync::Mutex<mpsc::UnboundedReceiver<(Stream, Origin)>>);

impl Listener for Door {
    type Stream = Stream;

    async fn accept(&self) -> std::io::Result<(Stream, Origin)> {
        match self.0.lock().await.recv().await {
            Some(accepted) => Ok(accepted),
            // The simulation has gone on to the next daemon.
            None => std::future::pending().await,
        }
    }
}

/// What the administrator asks for; the simulation stands in for the keeper's thread.
#[derive(Default)]
struct Reloads(Mutex<Vec<Then<String>>>);

impl Admin for Reloads {
    fn reload(&self, _: &str, then: Box<dyn FnOnce(String) + Send>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(then);
    }

    fn shut_down(&self, _: &str) {}

    fn host_ids(&self, _: Option<&str>) -> String {
        "{}".into()
    }
}

struct NoFacts;

impl Facts for NoFacts {
    fn server(&self) -> report::Server {
        report::Server::default()
    }

    fn problems(&self) -> Arc<Vec<report::Problem>> {
        Arc::default()
    }
}

/// What a start found on the disk.
pub(crate) struct Found {
    /// The state read back, before anything else happened to it.
    pub(crate) dump: Dump,
    pub(crate) seen: Seen,
    /// The highest day served.
    pub(crate) day: Option<Day>,
    pub(crate) dropped: bool,
}

impl Daemon {
    /// Starts on what is on the disk.
    ///
    /// # Errors
    /// The disk failed; nothing was told to anybody.
    pub(crate) fn start(
        plan: &Plan,
        disk: &SimDisk,
        catalog: &Arc<Catalog>,
        (now, unix_ms): (u64, i64),
        is_first: bool,
    ) -> Result<(Daemon, Found), String> {
        let (fold, opened) = open(plan, disk, is_first)?;
        let dump = dump_of(&fold);
        let day = fold.day().map(|day| Day::from(day.to_epoch_days()));
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(opened.tick), unix_ms);
        let patience = Patience {
            lease_ms: plan.lease,
            resume_window_ms: if plan.flaw == Flaw::NoResumeWindow { 0 } else { plan.resume_window },
            reap_after_ms: if plan.flaw == Flaw::NeverReaps { u64::MAX / 4 } else { plan.reap_after },
        };
        let ledger = Ledger::new(fold, opened.tick, patience, NameRules::default());
        let seen = Seen::of(&ledger);
        let dropped = opened.dropped.is_some();
        let limits = plan.limits();
        let engine = Engine::new(ledger, opened.journal, limits.sessions_per_connection);
        let (handle, asks) = queue(plan.queue_length);
        let millis = |ms: u64| u32::try_from(ms).expect("a short time");
        let context = Context {
            clock: clock.clone(),
            heartbeat_ms: millis(plan.heartbeat),
            lease_ms: millis(plan.lease),
            identity: Some(identity()),
        };
        let reloads = Arc::new(Reloads::default());
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&now.to_le_bytes());
        let connections_max = limits.connections as usize;
        let server = Arc::new(Server::new(
            handle.clone(),
            context,
            limits,
            Arc::new(NoFacts),
            reloads.clone(),
            instance,
            "sim".into(),
            // Nobody takes anything in: the simulation reads no events.
            Hub::new(instance, clock.clone()).0,
            connections_max,
        ));
        let (doors, accepted) = mpsc::unbounded_channel();
        let mut daemon = Daemon {
            engine,
            asks,
            batch: Vec::new(),
            handle,
            server: server.clone(),
            clock,
            time,
            started: now,
            doors,
            reloads,
            flaw: plan.flaw,
        };
        daemon.bring_up_to_date(catalog)?;
        let tasks = TaskTracker::new();
        tasks.spawn(listen(Door(tokio::sync::Mutex::new(accepted)), server, tasks.clone()));
        Ok((daemon, Found { dump, seen, day, dropped }))
    }

    /// As the daemon does before it opens its sockets.
    fn bring_up_to_date(&mut self, catalog: &Arc<Catalog>) -> Result<(), String> {
        let policy = Arc::new(Policy::open());
        let nothing = || Box::new(|()| ());
        self.batch = vec![Ask::Policy(policy, nothing()), Ask::Catalog(catalog.clone(), nothing())];
        loop {
            self.engine.step(&mut self.batch, self.clock.now()).map_err(|error| error.to_string())?;
            if !self.engine.has_background_work() {
                return Ok(());
            }
        }
    }

    /// A client knocks.
    pub(crate) fn connect(&self, stream: Stream, origin: Origin) {
        let _ = self.doors.send((stream, origin));
    }

    /// The clock shows this from now on.
    pub(crate) fn set_clock(&self, now: u64, unix_ms: i64) {
        self.time.advance_until(Duration::from_millis(now - self.started));
        self.time.set_wall_clock(unix_ms);
    }

    /// One step of the engine, with everything that was asked.
    ///
    /// # Errors
    /// The disk failed: the process ends.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        self.batch.extend(self.asks.try_iter());
        if self.flaw == Flaw::DeafToCloses {
            self.batch.retain(|ask| !matches!(ask, Ask::Close(_)));
        }
        if self.flaw.hides_terms() {
            let batch = std::mem::take(&mut self.batch);
            self.batch.extend(batch.into_iter().map(|ask| misheard(self.flaw, ask)));
        }
        self.engine.step(&mut self.batch, self.clock.now()).map_err(|error| error.to_string())
    }

    /// Whether something was asked since the last step.
    pub(crate) fn is_asked(&mut self) -> bool {
        self.batch.extend(self.asks.try_recv());
        !self.batch.is_empty()
    }

    pub(crate) fn has_background_work(&self) -> bool {
        self.engine.has_background_work()
    }

    /// In how many milliseconds something falls due, if anything.
    pub(crate) fn due_in(&self) -> Option<u64> {
        self.engine.next_deadline().map(|at| at.saturating_sub(self.clock.tick().0))
    }

    /// What the engine holds now, by its own words.
    pub(crate) fn seen(&self) -> Seen {
        Seen::of(self.engine.ledger())
    }

    pub(crate) fn dump(&self) -> Dump {
        dump_of(self.engine.ledger().state())
    }

    /// What an administrator waits for.
    pub(crate) fn reloads(&self) -> Vec<Then<String>> {
        std::mem::take(&mut *self.reloads.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connections flush and end (S64).
    pub(crate) fn close(&self) {
        self.server.closing.cancel();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The listener's task is the runtime's.
        self.server.closing.cancel();
    }
}

/// What a server with an error in its lending takes a request for.
fn misheard(flaw: Flaw, ask: Ask) -> Ask {
    let Ask::Request { from, call, request: Request::Borrow(checkout, hours) } = ask else { return ask };
    let request = match flaw {
        Flaw::ForgetsLoans => Request::Checkout(checkout, 0),
        Flaw::LendsForAnHour => Request::Borrow(checkout, 1),
        _ => Request::Borrow(checkout, hours + 1),
    };
    Ask::Request { from, call, request }
}

type Opened = seatkeeper::journal::Opened<SimDisk>;

fn open(plan: &Plan, disk: &SimDisk, is_first: bool) -> Result<(State, Opened), String> {
    let mut fold = Replay { fold: StateFold::default(), grants: None };
    if plan.flaw == Flaw::ReplayForgets {
        fold.grants = Some(0);
        let mut count = Replay { fold: StateFold::default(), grants: Some(u64::MAX) };
        if !is_first {
            Journal::open(disk.clone(), Path::new(JOURNAL), options(plan, false), &mut count)
                .map_err(|error| error.to_string())?;
        }
        fold.grants = count.grants.map(|left| u64::MAX - left);
    }
    let opened = Journal::open(disk.clone(), Path::new(JOURNAL), options(plan, is_first), &mut fold)
        .map_err(|error| error.to_string())?;
    Ok((fold.fold.state, opened))
}

fn options(plan: &Plan, is_first: bool) -> Options {
    Options {
        segment_bytes: plan.segment_bytes,
        compact_bytes_min: plan.compact_bytes_min,
        threads: false,
        must_exist: !is_first,
        ..Options::default()
    }
}

/// What a fresh look at the disk says.
///
/// # Errors
/// The journal cannot be read.
pub(crate) fn read_back(plan: &Plan, disk: &SimDisk) -> Result<Dump, String> {
    open(plan, disk, false).map(|(state, _)| dump_of(&state))
}

fn dump_of(state: &State) -> Dump {
    let mut changes = Vec::new();
    state.dump(&mut |change| changes.push(change));
    changes
}

/// Replays into a state; where an error is planted, without the last grant.
struct Replay {
    fold: StateFold,
    /// How many grants are still to come; `None`: nobody counts.
    grants: Option<u64>,
}

impl Fold for Replay {
    fn apply(&mut self, tick: u64, sequence: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError> {
        if let Some(left) = &mut self.grants
            && matches!(seatkeeper::engine::record::decode(kind, bytes), Ok(Change::Granted(_)))
        {
            *left -= 1;
            if *left == 0 {
                return Ok(());
            }
        }
        // Whatever is said of a grant that was left out cannot be applied either.
        match self.fold.apply(tick, sequence, kind, bytes) {
            Err(FoldError::Unreadable { .. }) if self.grants.is_some() => Ok(()),
            done => done,
        }
    }

    fn dump(&self, out: &mut dyn FnMut(u16, &[u8])) {
        self.fold.dump(out);
    }
}
