//! Signals: SIGTERM and SIGINT stop, SIGHUP reloads (S64). Taken from the first line of `main` on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::exit;

/// What the daemon is told to do, and by whom.
#[derive(Debug)]
pub(super) enum Signal {
    /// Read licenses again.
    Reload(String),
    /// End.
    Stop(String),
}

/// Takes the process's signals.
#[derive(Debug)]
pub(super) struct Stop {
    is_started: Arc<AtomicBool>,
    send: UnboundedSender<Signal>,
    receive: Arc<Mutex<Option<UnboundedReceiver<Signal>>>>,
}

impl Stop {
    /// Starts the thread that waits for signals.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn install() -> std::io::Result<Stop> {
        let mut signals = SignalsInfo::<WithOrigin>::new([SIGTERM, SIGINT, SIGHUP])?;
        let (send, receive) = unbounded_channel();
        let is_started = Arc::new(AtomicBool::new(false));
        let (started, sender) = (is_started.clone(), send.clone());
        let wait = move || {
            for info in signals.forever() {
                let who = match &info.process {
                    Some(process) => format!("pid {} uid {}", process.pid, process.uid),
                    None => "the system".into(),
                };
                if info.signal == SIGHUP {
                    let _ = sender.send(Signal::Reload(format!("SIGHUP from {who}")));
                } else if started.load(Ordering::Acquire) {
                    let _ = sender.send(Signal::Stop(format!("signal {} from {who}", info.signal)));
                } else {
                    // Still starting: nobody was answered, and what is on disk is whole.
                    std::process::exit(exit::OK.into());
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait)?;
        Ok(Stop { is_started, send, receive: Arc::new(Mutex::new(Some(receive))) })
    }

    /// The daemon serves: from now on it stops in order. Signals that came before are delivered.
    pub(super) fn started(&mut self) -> UnboundedReceiver<Signal> {
        self.is_started.store(true, Ordering::Release);
        let taken = self.receive.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| unbounded_channel().1)
    }

    /// For an administrator who asks for the same as a signal.
    pub(super) fn asker(&self) -> UnboundedSender<Signal> {
        self.send.clone()
    }
}
