//! When to read the license directory again: something changed in it, or it is time to look (L6).
//!
//! What the operating system says of changes is a wake-up and no more: on a network file system it says nothing,
//! and a renamed file or a swapped link has many ways to look. So the directory is watched, never a file, every
//! event leads to a full rescan once the directory has been quiet for a moment, and a timer rescans anyway.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::clock::Stopwatch;

/// How long the directory must be quiet before it is read: a copy in many steps is one event.
pub const QUIET: Duration = Duration::from_millis(200);
/// How long a directory that is never quiet may put a rescan off.
const QUIET_AWAITED_MAX: Duration = Duration::from_secs(2);
/// Time between two rescans without any event, where the configuration says nothing else.
pub const RESCAN: Duration = Duration::from_secs(60);

enum Signal {
    Changed,
    Stop,
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

/// Calls `wake` from a thread of its own whenever the directory may have changed, and every `rescan` anyway.
///
/// Where the system cannot watch (no inotify left, no such directory yet) the timer alone wakes, and each time
/// it does, watching is tried again.
///
/// # Errors
///
/// Where no thread can be started.
pub fn watch(
    directory: &Path,
    rescan: Duration,
    wake: impl FnMut() + Send + 'static,
) -> std::io::Result<Watch> {
    let (signals, received) = channel();
    let events = signals.clone();
    let mut state = State { directory: directory.to_owned(), events, watcher: None, said: false };
    let name = "license-watch".to_owned();
    // Armed before this returns, so that no change after it is missed.
    state.arm();
    let thread = std::thread::Builder::new().name(name).spawn(move || run(state, &received, rescan, wake))?;
    Ok(Watch { signals, thread: Some(thread) })
}

impl Watch {
    /// Wakes as if the directory had changed.
    pub fn poke(&self) {
        let _ = self.signals.send(Signal::Changed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct State {
    directory: PathBuf,
    events: Sender<Signal>,
    watcher: Option<(RecommendedWatcher, Option<(u64, u64)>)>,
    said: bool,
}

impl State {
    /// Watches the directory, anew where another one has taken its place.
    fn arm(&mut self) {
        let identity = identity(&self.directory);
        if self.watcher.as_ref().is_some_and(|(_, watched)| *watched == identity && identity.is_some()) {
            return;
        }
        let events = self.events.clone();
        let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the files is what we do ourselves.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = events.send(Signal::Changed);
            }
        });
        let watched = made.and_then(|mut watcher| {
            watcher.watch(&self.directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        self.watcher = match watched {
            Ok(watcher) => {
                self.said = false;
                Some((watcher, identity))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.said, true) {
                    let directory = self.directory.display();
                    tracing::warn!(%directory, %error, "cannot watch the license directory; looking at times");
                }
                None
            }
        };
    }
}

fn run(mut state: State, received: &Receiver<Signal>, rescan: Duration, mut wake: impl FnMut()) {
    loop {
        match received.recv_timeout(rescan) {
            Ok(Signal::Changed) => {
                if !settle(received) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
        // Before the rescan: what happens after it raises an event.
        state.arm();
        wake();
    }
}

/// Waits until the directory is quiet; `false` to stop.
fn settle(received: &Receiver<Signal>) -> bool {
    let first = Stopwatch::start();
    while first.elapsed() < QUIET_AWAITED_MAX {
        match received.recv_timeout(QUIET) {
            Ok(Signal::Changed) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Tells a directory from another one that was put in its place.
fn identity(directory: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(directory).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
