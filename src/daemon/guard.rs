//! Looks every five seconds whether what the daemon needs beside its journal is still there: the lock, the key and the
//! format in the state directory, and the administrator's socket. What is gone is put back, what is wrong is said.
//!
//! The journal looks after its own files, from the engine's thread: only they can end the daemon (S60). Here is nothing
//! that a seat depends on, and a disk that does not answer holds up this thread alone.

use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, info, warn};

use super::Failure;
use super::keeper::KeeperFacts;
use super::sockets::{AdminPlace, Look};
use crate::exit;
use crate::report;
use crate::state::{Finding, StateDir};

/// How often it looks: as often as the journal does (S60).
const EVERY: Duration = Duration::from_secs(5);

/// The thread that looks. It ends when this is dropped.
pub(super) struct Guard {
    _stop: Sender<()>,
    admin: Arc<Mutex<AdminPlace>>,
}

struct Watch {
    state: StateDir,
    admin: Arc<Mutex<AdminPlace>>,
    listeners: UnboundedSender<UnixListener>,
    facts: Arc<KeeperFacts>,
    /// What was wrong at the last look: it is logged once.
    wrong: Vec<String>,
}

impl Guard {
    /// Starts the thread. It holds the state's lock for as long as the process lives. `listeners` gets the
    /// administrator's socket when it had to be made anew.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(
        state: StateDir,
        admin: AdminPlace,
        listeners: UnboundedSender<UnixListener>,
        facts: Arc<KeeperFacts>,
    ) -> Result<Guard, Failure> {
        let (stop, stopped) = channel();
        let admin = Arc::new(Mutex::new(admin));
        let watch = Watch { state, admin: admin.clone(), listeners, facts, wrong: Vec::new() };
        std::thread::Builder::new()
            .name("guard".into())
            .spawn(move || watch.run(&stopped))
            .map_err(|e| Failure::new(exit::INTERNAL, format!("no thread can be started: {e}")))?;
        Ok(Guard { _stop: stop, admin })
    }

    /// Takes the administrator's socket away at a stop, unless it is somebody else's by now.
    pub(super) fn remove_admin_socket(&self) {
        let mut admin = match self.admin.try_lock() {
            Ok(admin) => admin,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // It is being looked at. The next start finds that nobody answers on it, and replaces it.
            Err(TryLockError::WouldBlock) => return,
        };
        admin.remove();
    }
}

impl Watch {
    fn run(mut self, stopped: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
            self.look();
        }
        // The lock goes with the process, not before: what is still being written is ours.
        std::mem::forget(self.state);
    }

    fn look(&mut self) {
        // Of a directory that was moved away the journal tells; here nothing may be made in what lies there now.
        if !self.state.is_in_place() {
            return;
        }
        let mut wrong = Vec::new();
        for finding in self.state.look_after() {
            match finding {
                Finding::PutBack(path) => {
                    warn!(path = %path.display(), "removed while the daemon runs, and put back: the next start needs it");
                }
                Finding::Wrong(text) => wrong.push(text),
            }
        }
        wrong.extend(self.look_after_admin_socket());
        for text in wrong.iter().filter(|text| !self.wrong.contains(text)) {
            error!("{text}");
        }
        if wrong != self.wrong {
            if wrong.is_empty() {
                info!("the state directory and the administrator's socket are as they should be again");
            }
            self.facts.note_state(wrong.iter().map(|text| problem(text)).collect());
            self.wrong = wrong;
        }
    }

    fn look_after_admin_socket(&self) -> Option<String> {
        let mut admin = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
        let path = admin.path().display().to_string();
        match admin.look() {
            Look::InPlace => None,
            Look::Gone => match admin.bind_again() {
                Ok(listener) => {
                    warn!(path, "the administrator's socket was removed, and is there again");
                    let _ = self.listeners.send(listener);
                    None
                }
                Err(failure) => Some(failure.text),
            },
            Look::Taken => Some(format!(
                "{path}: this is not the administrator's socket of this daemon any more: remove what lies there, and it is \
                 made again"
            )),
        }
    }
}

fn problem(text: &str) -> report::Problem {
    report::Problem { reason: "state".into(), message: text.into(), ..Default::default() }
}
