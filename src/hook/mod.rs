//! Runs the notify command when something happens (rules 3, 6.11): once for each chosen event, one at a time, the event as a
//! line of JSON on its standard input, for a limited time.
//!
//! A thread reads the room of events from where it is, as any other reader; nothing waits for it, and nothing is kept for it but
//! what the [`Hub`] remembers anyway. What a run leaves behind is a line in the log if it fails. It is not tried again: a
//! command that cannot be run now would hold up those to come.
//!
//! - `run`: one run of a program
//!
//! Not here: which events there are (`src/events`), and when maintenance is worth one (`crates/seats`).

mod run;

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::clock::Stopwatch;
use crate::config::Notify;
use crate::events::{Delivery, Event, Hub, Subscription};

/// How long what is still to be told at a stop may take, a run that is under way included: a stop must end within five
/// seconds (S64), and the connections are flushed at the same time.
const LAST_RUNS: Duration = Duration::from_secs(2);
/// How much longer than that a stop waits for the thread: a group that was killed is gone in a moment.
const LAST_KILL: Duration = Duration::from_millis(200);
/// How often the thread looks up while nothing happens.
const REST: Duration = Duration::from_secs(60);

/// The thread that runs the command. Dropped, it tells what is left, for two seconds at most.
#[derive(Debug)]
pub struct Hook {
    hub: Hub,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
}

struct Runner {
    notify: Notify,
    events: Subscription,
    /// Since the hub is closed.
    closing: Option<Stopwatch>,
}

impl Hook {
    /// Starts the thread. It tells everything the hub remembers, from its first event on.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(notify: Notify, hub: &Hub) -> io::Result<Hook> {
        info!(program = %notify.program.display(), "events are told to the notify command");
        let runner = Runner { notify, events: hub.subscribe(Some(0)), closing: None };
        let (end, ended) = channel();
        let run = move || {
            // Dropped when the thread ends, however it does.
            let _end: std::sync::mpsc::Sender<()> = end;
            runner.run();
        };
        let thread = std::thread::Builder::new().name("notify-command".into()).spawn(run)?;
        Ok(Hook { hub: hub.clone(), thread: Some(thread), ended })
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Closed already where the daemon stopped in order: the two seconds run since then.
        self.hub.close();
        let _ = self.ended.recv_timeout(LAST_RUNS + LAST_KILL);
        match self.thread.take() {
            Some(thread) if thread.is_finished() => drop(thread.join()),
            _ => warn!("the notify command's thread has not ended, and is left"),
        }
    }
}

impl Runner {
    fn run(mut self) {
        loop {
            match self.events.next_blocking(REST) {
                Some(Delivery::Event(event)) if self.is_chosen(&event) => {
                    if self.left().is_zero() {
                        let kind = event.what.kind();
                        return warn!(
                            event = kind,
                            "the daemon stops: this event and later ones are not told"
                        );
                    }
                    self.tell(&event);
                }
                Some(Delivery::Event(_)) | None => {}
                Some(Delivery::Missed(missed)) => {
                    warn!(missed, "more happens than the notify command keeps up with: events were not told");
                }
                Some(Delivery::Closed) => return,
            }
        }
    }

    fn is_chosen(&self, event: &Event) -> bool {
        self.notify.events.iter().any(|chosen| chosen.is(event.what.kind()))
    }

    fn tell(&mut self, event: &Event) {
        let kind = event.what.kind();
        let mut line = match serde_json::to_vec(event) {
            Ok(line) => line,
            Err(error) => return warn!(event = kind, %error, "an event cannot be written as JSON"),
        };
        line.push(b'\n');
        let (program, arguments) = (self.notify.program.clone(), self.notify.arguments.clone());
        let run = match run::Run::start(&program, &arguments, &line) {
            Ok(run) => run,
            Err(error) => {
                let program = program.display();
                return warn!(event = kind, seq = event.seq, %program, %error, "the notify command cannot be run");
            }
        };
        let ended = run.wait(|| self.left());
        let program = program.display();
        match &ended.outcome {
            run::Outcome::Done => debug!(event = kind, seq = event.seq, "told to the notify command"),
            outcome => {
                let stderr = ended.stderr_text();
                warn!(event = kind, seq = event.seq, %program, %outcome, stderr, "the notify command failed");
            }
        }
    }

    /// How long a run that begins now may take, or how long one under way still may at a stop.
    fn left(&mut self) -> Duration {
        if self.closing.is_none() && self.events.is_closed() {
            self.closing = Some(Stopwatch::start());
        }
        let of_stop = self.closing.as_ref().map(|since| LAST_RUNS.saturating_sub(since.elapsed()));
        of_stop.unwrap_or(self.notify.time_limit)
    }
}
