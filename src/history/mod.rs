//! What happened, on disk and for SQL: `STATE/history.sqlite` (docs/HISTORY.md), and what `seatkeeper usage` makes of it.
//!
//! A thread reads the room of events like any other reader and writes a second's worth of them in one transaction. Nothing waits
//! for it: what it cannot write in time is missing, and a row says so. A disk that is full or a file that is damaged ends the
//! history for a while and never the daemon. Sessions are in the journal; here they are spans, who had how many seats from when
//! to when. At the start, and after events were missed, the spans that are open are compared with the sessions the engine has,
//! so that none runs for ever and none is counted twice.
//!
//! - [`store`]: the file, its rows and bounds
//! - [`day`]: one feature's last day, in steps
//! - `row`, `spans`: from an event to its row, and what it does to spans
//! - `days`: days that begin, are over and summed, are too old
//! - `sweep`: peaks and hours of spans, in the order in which they began
//! - [`usage`]: peaks, hours and denials of some days, by one function for all who ask
//!
//! Not here: events (`src/events`), durable state (`src/journal`).

pub mod day;
mod days;
mod error;
mod row;
mod spans;
pub mod store;
mod sweep;
pub mod usage;

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use seats::change::SessionId;
use seats::ledger::{Presentation, SessionView};
use tracing::{debug, error, info, warn};

use self::store::{HistoryError, Item, OpenSession, Store};
use crate::causes::with_causes;
use crate::clock::{Clock, Stopwatch};
use crate::config::{History as Settings, KEEP_FREE_MEGABYTES};
use crate::engine::ask::Ask;
use crate::engine::thread::Handle;
use crate::events::what::What;
use crate::events::{Delivery, Hub, Subscription};

/// The file's name in the state directory.
pub const FILE_NAME: &str = "history.sqlite";

/// How long events are gathered for one transaction: what a reader of the file is behind.
const GATHER: Duration = Duration::from_millis(500);
/// The most events in one transaction, and in memory while the disk is full.
const BATCH: usize = 4_096;
/// How often it looks up while nothing happens: sessions that run are known to run until then.
const REST: Duration = Duration::from_secs(60);
/// How long after its end a day is summed: what happened in it is written by then.
const DAY_SETTLES_MS: i64 = 60_000;
/// How long it waits before it tries again what failed.
const RETRY: Duration = Duration::from_secs(5);
/// How long after a comparison the next one comes, where events are missed again and again: it asks the engine for all sessions.
const COMPARE_REST: Duration = Duration::from_secs(10);
/// What it leaves free by default is room for two segments of the journal.
const _: () = assert!((KEEP_FREE_MEGABYTES.default as u64) << 20 == 2 * crate::journal::SEGMENT_BYTES);
/// Sessions asked of the engine at once, and how long it may take to answer.
const PAGE: usize = 500;
const PAGE_TIME: Duration = Duration::from_secs(10);
/// How long the thread may take at a stop.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// Gives the sessions there are after one, a page at a time; `None`: they cannot be had.
pub type Sessions = Box<dyn FnMut(Option<SessionId>) -> Option<Vec<SessionView>> + Send>;

/// The thread that writes. Dropped, it writes what is there and ends.
#[derive(Debug)]
pub struct History {
    hub: Hub,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

impl History {
    /// Starts the thread, which writes to `path` all that the hub remembers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        path: PathBuf,
        settings: Settings,
        clock: Clock,
        hub: &Hub,
        sessions: Sessions,
    ) -> io::Result<History> {
        let directory = path.parent().and_then(identity);
        let writer = Writer {
            path,
            directory,
            settings,
            clock,
            run: hub.run().to_string(),
            events: hub.subscribe(Some(0)),
            sessions,
            store: None,
            pending: Vec::new(),
            lost: None,
            compared: None,
            failed: None,
            pruned: Stopwatch::start(),
            is_clock_sound: true,
        };
        let (end, ended) = channel();
        let run = move || {
            // Dropped when the thread ends, however it does.
            let _end: Sender<()> = end;
            writer.run();
        };
        let thread = std::thread::Builder::new().name("history".into()).spawn(run)?;
        Ok(History { hub: hub.clone(), thread: Some(thread), ended })
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.hub.close();
        // Nothing is ever sent: the thread lets go of its end with the last that it does.
        match self.ended.recv_timeout(LAST_WRITE) {
            Err(RecvTimeoutError::Timeout) => {
                // What is not committed is not there; the next start notes the gap.
                warn!("the last of the history is not written: its disk is slow");
            }
            _ => drop(self.thread.take().map(JoinHandle::join)),
        }
    }
}

/// The sessions of an engine.
pub fn sessions_of(engine: Handle) -> Sessions {
    Box::new(move |after| {
        let (give, take) = channel();
        let ask = Ask::Sessions(after, PAGE, Box::new(move |page| drop(give.send(page))));
        engine.ask_patiently(ask).ok()?;
        take.recv_timeout(PAGE_TIME).ok()
    })
}

struct Writer {
    path: PathBuf,
    /// Device and number of its directory.
    directory: Option<(u64, u64)>,
    settings: Settings,
    clock: Clock,
    run: String,
    events: Subscription,
    sessions: Sessions,
    store: Option<Store>,
    pending: Vec<Item>,
    /// Events were missed after this instant, or it is the start: spans are to be compared with the sessions.
    lost: Option<i64>,
    /// When they were last.
    compared: Option<Stopwatch>,
    /// Why it does not write, and when it was tried.
    failed: Option<(String, Stopwatch)>,
    pruned: Stopwatch,
    /// A clock that is doubted must not make everything old.
    is_clock_sound: bool,
}

impl Writer {
    fn run(mut self) {
        // Below those who serve; where the system forbids it, it goes without.
        let _ = rustix::process::nice(5);
        loop {
            let is_closed = self.gather();
            if self.failed.as_ref().is_some_and(|(_, since)| since.elapsed() < RETRY) && !is_closed {
                continue;
            }
            match self.write() {
                Ok(()) => {
                    if let Some((why, _)) = self.failed.take() {
                        info!(path = %self.path.display(), why, "the history is written again");
                    }
                }
                Err(error @ HistoryError::Newer { .. }) => {
                    return error!("{error}: there is no history until then");
                }
                Err(error @ HistoryError::Moved { .. }) => {
                    if let Some(store) = self.store.take() {
                        store.abandon();
                    }
                    return error!("{error}: there is no history until the daemon is started again");
                }
                Err(error) if error.is_damage() => self.begin_anew(&error),
                Err(error) => {
                    // Without room it stays open: who reads the file needs what lies beside it, and could not make that now.
                    if !error.is_no_room() {
                        self.store = None;
                    }
                    self.note_failure(with_causes(&error));
                }
            }
            if is_closed {
                return;
            }
        }
    }

    /// Takes what happens until there is a second's worth. `true`: nothing more is to come.
    fn gather(&mut self) -> bool {
        if self.pending.len() >= BATCH {
            // It cannot be written now. The hub remembers some more.
            let waiting = Stopwatch::start();
            while waiting.elapsed() < RETRY && !self.events.is_closed() {
                std::thread::sleep(GATHER);
            }
            return self.events.is_closed();
        }
        let is_compared = self.compared.is_some() && self.lost.is_none();
        let is_idle = self.pending.is_empty() && is_compared && self.failed.is_none();
        let mut limit = if is_idle { REST } else { GATHER };
        let mut gathering = None;
        loop {
            match self.events.next_blocking(limit) {
                None => return false,
                Some(Delivery::Closed) => return true,
                Some(Delivery::Missed(missed)) => {
                    warn!(missed, "more happens than can be written: events are missing in the history");
                    self.pending.push(Item::Missed(missed));
                    let written = self.store.as_ref().map(Store::written_until);
                    self.lost = self.lost.or(written);
                }
                Some(Delivery::Event(event)) => {
                    if let What::ClockChanged(changed) = &event.what {
                        self.is_clock_sound = changed.clock == "ok";
                    }
                    self.pending.push(Item::Event(event));
                }
            }
            let since = gathering.get_or_insert_with(Stopwatch::start).elapsed();
            limit = GATHER.saturating_sub(since);
            if limit.is_zero() || self.pending.len() >= BATCH {
                return false;
            }
        }
    }

    fn write(&mut self) -> Result<(), HistoryError> {
        let io = |path: &Path, source: io::Error| HistoryError::Io { path: path.to_owned(), source };
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // Nothing may be made in what lies where the state directory was.
        let is_ours = identity(directory).is_some_and(|found| Some(found) == self.directory);
        if !is_ours || self.store.as_ref().is_some_and(|store| !store.is_in_place()) {
            return Err(HistoryError::Moved { path: self.path.clone() });
        }
        let disk = rustix::fs::statvfs(directory).map_err(|e| io(directory, e.into()))?;
        let room = disk.f_bavail.saturating_mul(disk.f_frsize);
        let keep_free = self.settings.keep_free_bytes;
        if room < keep_free {
            // Without the number there is: it is another one each time, and this is said once.
            let text = format!(
                "fewer than {} MiB are left on the disk, and they are for the journal (keep_free_megabytes in [history])",
                keep_free >> 20
            );
            return Err(io(&self.path, io::Error::new(io::ErrorKind::StorageFull, text)));
        }
        let now = self.clock.unix_ms();
        let store = match &mut self.store {
            Some(store) => store,
            none => {
                let store = Store::open(&self.path, &self.run, self.clock.zone().clone(), now)?;
                // All that is open in it was open then.
                self.lost = Some(self.lost.unwrap_or(i64::MAX).min(store.written_until()));
                none.insert(store)
            }
        };
        let has_rested = self.compared.as_ref().is_none_or(|since| since.elapsed() >= COMPARE_REST);
        if let Some(lost) = self.lost.filter(|_| has_rested) {
            let mut after = None;
            let sessions = &mut self.sessions;
            let pages = || {
                let page = sessions(after)?;
                after = page.last().map(|view| view.session).or(after);
                Some(page.iter().map(open_session).collect())
            };
            if store.compare(pages, lost, now)?.is_some() {
                self.lost = None;
                self.compared = Some(Stopwatch::start());
            } else if !self.events.is_closed() {
                debug!("the sessions cannot be had now; the history asks again");
            }
        }
        store.write(&self.pending, now)?;
        self.pending.clear();
        if self.pruned.elapsed() >= REST {
            // What is left over for a busy time is taken in the next rounds.
            let today = if self.is_clock_sound { now } else { i64::MIN };
            if !store.prune(&self.settings, today)? {
                self.pruned = Stopwatch::start();
                if self.compared.is_some() && self.lost.is_none() {
                    store.sum(now.saturating_sub(DAY_SETTLES_MS))?;
                }
            }
        }
        Ok(())
    }

    fn begin_anew(&mut self, error: &HistoryError) {
        self.store = None;
        match store::move_aside(&self.path) {
            Ok(aside) => {
                let aside = aside.display();
                error!(%error, %aside, "the history is damaged: its file was moved aside, and a new one begins");
                self.lost = Some(i64::MAX);
                self.failed = Some((error.to_string(), Stopwatch::start()));
            }
            Err(cause) => self.note_failure(format!("{error}; it cannot be moved aside: {cause}")),
        }
    }

    fn note_failure(&mut self, why: String) {
        if self.failed.as_ref().is_none_or(|(before, _)| *before != why) {
            error!(
                error = why,
                "the history cannot be written, and is tried again; seats do not depend on it"
            );
        }
        self.failed = Some((why, Stopwatch::start()));
    }
}

/// Which directory this is.
fn identity(directory: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(directory).ok().map(|found| (found.dev(), found.ino()))
}

fn open_session(view: &SessionView) -> OpenSession {
    let facts = &view.facts;
    OpenSession {
        session: view.session.to_string(),
        bundle: view.bundle.to_string(),
        vendor: view.vendor.as_str().into(),
        feature: view.feature.as_str().into(),
        user: facts.user.to_string(),
        host: facts.host.to_string(),
        seats: view.count,
        since: view.since_unix_ms,
        version: facts.release_version.as_ref().map(|version| version.to_string()),
        release_date: facts.release_date.as_ref().map(|date| date.to_string()),
        borrow: matches!(view.presence, Presentation::Borrowed(_)),
    }
}
