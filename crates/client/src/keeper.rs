//! The thread behind a link: signs of life, and the way back after a lost connection.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wire::request;

use crate::error::CallError;
use crate::event::Event;
use crate::link::{Link, Live, State};
use crate::lock;
use crate::pulse::{self, Pulse};
use crate::wait::Wait;

/// How often the application is asked whether the user is back, while a seat of his is wanted.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a server has to answer the first heartbeat after this machine slept: the connection is likely to be dead.
const AFTER_SLEEP: Duration = Duration::from_secs(2);

/// How the way back goes.
struct Course {
    /// In a row.
    failures: u32,
    pause_until: Option<Instant>,
    pulse: Pulse,
    /// The machine slept, and the server was not heard since.
    has_slept: bool,
}

impl Link {
    /// Runs until nobody needs the link. `pulse`: of the moment it was begun.
    pub(crate) fn keep(self: Arc<Link>, pulse: Pulse) {
        let mut course = Course { failures: 0, pause_until: None, pulse, has_slept: false };
        let mut state = lock(&self.state);
        while state.is_used() {
            state = self.look_for_user(state);
            self.look_for_sleep(&mut state, &mut course);
            let now = Instant::now();
            let pause = course.pause_until.and_then(|until| until.checked_duration_since(now));
            state = match (state.live(), pause) {
                (Some(live), pause) => {
                    let is_behind = state.has_work_for(live.0);
                    let rest = if course.has_slept { Duration::ZERO } else { self.rest(&state, &live) };
                    if rest.is_zero() {
                        drop(state);
                        // Signs of life first: of many bundles some may be there already.
                        if self.beat(&live, std::mem::take(&mut course.has_slept)) {
                            course.failures = 0;
                        }
                        lock(&self.state)
                    } else if is_behind && pause.is_none() {
                        drop(state);
                        let is_done = self.catch_up(&live);
                        course.failures = if is_done { 0 } else { course.failures.saturating_add(1) };
                        course.pause_until = (!is_done).then(|| Instant::now() + self.pause(course.failures));
                        lock(&self.state)
                    } else {
                        let most = pause.filter(|_| is_behind).map_or(rest, |pause| pause.min(rest));
                        self.wait(state, Some(most), &mut course)
                    }
                }
                (None, _) if state.current.is_some() => {
                    let ended = state.current.take();
                    let is_missed = !state.bundles.is_empty();
                    drop(state);
                    let message = ended.map_or_else(String::new, |(_, connection)| connection.ending());
                    self.note_loss();
                    if is_missed {
                        self.tell(Event::Lost { message });
                    }
                    course.pause_until = Some(Instant::now() + self.pause(course.failures));
                    // The next connection is a new one.
                    course.has_slept = false;
                    lock(&self.state)
                }
                (None, _) if !state.has_work() => self.wait(state, None, &mut course),
                (None, Some(pause)) => self.wait(state, Some(pause), &mut course),
                (None, None) => {
                    drop(state);
                    // A server that takes connections and drops them counts as a failure until something was answered.
                    course.failures = course.failures.saturating_add(1);
                    if self.connection().is_err() {
                        course.pause_until = Some(Instant::now() + self.pause(course.failures));
                    }
                    lock(&self.state)
                }
            };
        }
        state.has_keeper = false;
        let current = if state.users == 0 { state.current.take() } else { None };
        drop(state);
        // Its end tells the reading thread, which takes the lock.
        drop(current);
        self.wake.notify_all();
    }

    /// After sleep, and where somebody is in a hurry, nothing waits: neither a pause nor the next heartbeat.
    fn look_for_sleep(&self, state: &mut State, course: &mut Course) {
        if course.pulse.has_slept(&*self.clock) {
            course.has_slept = true;
            state.is_hurried = true;
        }
        if std::mem::take(&mut state.is_hurried) {
            course.failures = 0;
            course.pause_until = None;
        }
        if state.live().is_none() {
            course.has_slept = false;
        }
    }

    /// Until something must be sent. Any frame is a sign of life, but only a heartbeat says how long the user has been idle.
    fn rest(&self, state: &State, live: &Live) -> Duration {
        let interval = live.1.beat_interval();
        let alive = live.1.last_sent() + interval;
        let due = match state.beat_at {
            None => return Duration::ZERO,
            Some(beat_at) if self.activity.is_known() => alive.min(beat_at + interval),
            Some(_) => alive,
        };
        let rest = due.saturating_duration_since(Instant::now());
        if state.wanted.is_some() && self.activity.has_source() { rest.min(LOOK_EVERY) } else { rest }
    }

    /// After a warning: if the application's function says that the user is back, a heartbeat is due now.
    fn look_for_user<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(wanted) = state.wanted else { return state };
        drop(state);
        let is_back =
            self.activity.has_source() && self.activity.idle().is_some_and(|idle| idle < wanted.at.elapsed());
        let mut state = lock(&self.state);
        // Another warning may have come meanwhile.
        if (is_back || wanted.until <= Instant::now()) && state.wanted.is_some_and(|now| now.at == wanted.at)
        {
            state.wanted = None;
        }
        if is_back {
            state.beat_at = None;
        }
        state
    }

    /// Until somebody wakes it, at most so long, and not so long that sleep goes unnoticed. `None`: there is nothing to keep.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        most: Option<Duration>,
        course: &mut Course,
    ) -> MutexGuard<'a, State> {
        let Some(most) = most else { return self.wake.wait(state).unwrap_or_else(PoisonError::into_inner) };
        let most = most.min(pulse::LOOK_EVERY);
        let begun = Instant::now();
        let mut state = self.wake.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0;
        if pulse::is_late(begun, most) {
            course.has_slept = true;
            state.is_hurried = true;
        }
        state
    }

    /// Resumes what another connection held, and gives back what nobody wants. Whether all is done.
    fn catch_up(self: &Arc<Link>, live: &Live) -> bool {
        let _turn = lock(&self.turn);
        let bundles: Vec<u64> = lock(&self.state).bundles.keys().copied().collect();
        for bundle in bundles {
            match self.hold(live, bundle) {
                Ok(()) | Err(CallError::Refused(_) | CallError::TooLong(_)) => {}
                Err(_) => return false,
            }
        }
        self.give_back_unwanted(live).is_ok() && !lock(&self.state).has_work_for(live.0)
    }

    /// A sign of life. If the server counts other sessions than we do, all are resumed to learn which are gone.
    fn beat(&self, live: &Live, has_slept: bool) -> bool {
        let patience = self.patience();
        let patience = if has_slept { patience.min(AFTER_SLEEP) } else { patience };
        let idle_seconds = self.activity.idle_seconds();
        let before = {
            let mut state = lock(&self.state);
            state.beat_at = Some(Instant::now());
            state.changes
        };
        let ask = request::Heartbeat { idle_seconds, ..request::Heartbeat::default() };
        let Ok(answer) = live.1.call_within(&ask, patience, |result| result) else { return false };
        let mut state = lock(&self.state);
        let ours: usize = state.bundles.values().filter(|h| h.on == live.0).map(|h| h.sessions.len()).sum();
        let theirs = usize::try_from(answer.sessions).unwrap_or(usize::MAX);
        // Only where nothing went on meanwhile is the difference a difference.
        let is_settled = state.checkouts_in_flight == 0 && !state.waits.values().any(Wait::is_served);
        if state.changes == before && is_settled && ours != theirs {
            state.bundles.values_mut().for_each(|held| held.on = 0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::sync::mpsc;

    use wire::{Answer, Request, answer};

    use super::*;
    use crate::grace::clock::Clock;
    use crate::scripted::{PATIENCE, Server, granted};
    use crate::{Client, Want};

    /// How far the wall clock is ahead of the time that this process ran: what it slept.
    #[derive(Default)]
    struct Sleeper(AtomicI64);

    impl Clock for Sleeper {
        fn unix_seconds(&self) -> i64 {
            1_900_000_000 + self.0.load(Ordering::SeqCst)
        }

        fn running(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn after_sleep_a_heartbeat_comes_at_once_and_a_dead_connection_is_replaced_in_seconds() {
        let clock = Arc::new(Sleeper::default());
        let (asleep, awake) = mpsc::channel::<()>();
        let sleeper = Arc::clone(&clock);
        let mut taken = None;
        // No heartbeat is due for half a minute, and nobody gives up waiting for twenty seconds.
        let server = Server::start(30_000, 2, move |at, peer| {
            peer.hello();
            if at == 0 {
                taken = Some(peer.grant(9));
                awake.recv_timeout(PATIENCE).unwrap();
                let woken = Instant::now();
                sleeper.0.fetch_add(600, Ordering::SeqCst);
                let Some((call, Request::Heartbeat(_))) = peer.next() else { panic!("no heartbeat") };
                assert!(woken.elapsed() < Duration::from_secs(15), "after {:?}", woken.elapsed());
                let heard = answer::Heartbeat { sessions: 1, ..Default::default() };
                peer.answer(call, Answer::Heartbeat(heard));
                sleeper.0.fetch_add(600, Ordering::SeqCst);
                let Some((_, Request::Heartbeat(_))) = peer.next() else { panic!("no second heartbeat") };
                // No answer: the network has forgotten this connection.
                let unanswered = Instant::now();
                assert!(peer.next().is_none(), "the client has closed it");
                assert!(unanswered.elapsed() < Duration::from_secs(15), "{:?}", unanswered.elapsed());
                return;
            }
            let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
            let sessions = granted(9, taken.as_ref().unwrap()).sessions;
            peer.answer(call, Answer::Resume(answer::Resume { bundle: 9, sessions, ..Default::default() }));
            assert!(matches!(peer.next_but_beats(1), Some((_, Request::Checkin(_)))));
        });
        let client = Client::with_clock(server.options(), clock);
        let events = client.subscribe();
        let seats = client.checkout(Want::feature("cad")).unwrap();
        asleep.send(()).unwrap();
        assert!(matches!(events.recv_timeout(2 * PATIENCE), Ok(Event::Lost { .. })));
        assert!(matches!(events.recv_timeout(PATIENCE), Ok(Event::Resumed { bundle: 9, .. })));
        drop(seats);
        server.finish();
    }
}
