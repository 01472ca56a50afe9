//! Waiting in a server's queue until there are seats (S30, S31).
//!
//! The thread that asked waits here. Its place is the server's: it outlives the connection, so after a loss the same checkout
//! is sent again, and it is sent again as often as a heartbeat is due, which tells the place of now and brings a place back
//! that the server took for gone. What was served is confirmed before the application has it; what was not confirmed in time
//! went to the next, and the checkout is sent again. Nobody waits in two queues at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use wire::answer::Granted;
use wire::event;
use wire::{codes, request};

use crate::client::{another_may_grant, checkout, first};
use crate::connection::Asked;
use crate::error::{CallError, CheckoutError, ConnectError, Refusal, printable};
use crate::event::Event;
use crate::grace::Grace;
use crate::link::{Link, Live, TRIES};
use crate::lock;

/// The shortest time between two looks at the place, whatever the server says of heartbeats.
const LOOK_SHORTEST: Duration = Duration::from_secs(1);

/// Ends a wait from another thread: see [`Client::checkout_or_cancel`](crate::Client::checkout_or_cancel). Clones are the same.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_cancelled: AtomicBool,
    waiting: Mutex<Vec<Weak<Link>>>,
}

impl Cancel {
    /// One that has not been used.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// The wait ends as soon as it can, in the time of an answer or of an attempt to connect. Said before the wait, the wait does
    /// not begin; said again, nothing.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
        for link in lock(&self.0.waiting).iter().filter_map(Weak::upgrade) {
            // Its lock must be taken, or who waits could miss the call between look and wait.
            drop(lock(&link.state));
            link.wake.notify_all();
        }
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::SeqCst)
    }

    fn watch(&self, link: &Arc<Link>) {
        let mut waiting = lock(&self.0.waiting);
        waiting.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&Arc::downgrade(link)));
        waiting.push(Arc::downgrade(link));
    }
}

/// A place in the queue of a server.
pub(crate) struct Wait {
    /// The serial number of the connection that has it.
    on: u64,
    outcome: Option<Outcome>,
}

enum Outcome {
    Served(Granted),
    Ended(Refusal),
}

impl Wait {
    /// The server counts sessions that are not confirmed yet.
    pub(crate) fn is_served(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Served(_)))
    }
}

/// How long to wait.
struct Limit<'a> {
    until: Instant,
    cancel: &'a Cancel,
}

/// What a wait came to, or why to ask again.
enum Next {
    Served(Granted),
    Ended(Refusal),
    AskAgain,
    Cancelled,
    /// The server has not ended it, and its time is over.
    Over,
}

/// One wait at one server.
struct Course<'a> {
    ask: &'a request::Checkout,
    again: bool,
    limit: &'a Limit<'a>,
    place: Option<u64>,
    told: Option<u64>,
    /// How many requests were sent and never answered.
    doubts: u32,
    /// In a row.
    failures: u32,
    lost_at: Option<Instant>,
}

/// Takes seats from the first server that grants them; where none does, waits at the first that lets it. A server that cannot be
/// reached for a lease loses who waits there to the next one.
pub(crate) fn checkout_or_wait(
    grace: &Arc<Grace>,
    ask: &request::Checkout,
    again: bool,
    wait: Duration,
    cancel: &Cancel,
) -> Result<(Arc<Link>, u64), CheckoutError> {
    let limit = Limit { until: Instant::now() + wait.min(Duration::from_secs(u32::MAX.into())), cancel };
    // With one server the second question would be the same.
    if grace.links().len() > 1 {
        match checkout(grace, ask, again) {
            Err(CheckoutError::Denied(refusal)) if may_wait(&refusal.code) => {}
            decided => return decided,
        }
    }
    let lets_another = |code: &str| may_wait(code) || code == codes::QUEUE_FULL;
    let granted = first(grace.links(), lets_another, |link| {
        if cancel.is_cancelled() {
            return Err(CheckoutError::Cancelled);
        }
        cancel.watch(link);
        let mut course = Course {
            ask,
            again,
            limit: &limit,
            place: None,
            told: None,
            doubts: 0,
            failures: 0,
            lost_at: None,
        };
        let answer = link.wait_for(&mut course);
        match &answer {
            Err(CheckoutError::Denied(refusal)) => grace.denied(&ask.items, &refusal.code),
            // The server was there, and had none.
            Err(_) if course.told.is_some() => grace.denied(&ask.items, codes::NO_SEATS),
            _ => {}
        }
        Ok((Arc::clone(link), answer?))
    });
    if let Ok((link, bundle)) = &granted {
        grace.learn(link, *bundle);
    }
    granted
}

/// Denials that a wait at this or another server may cure.
fn may_wait(code: &str) -> bool {
    another_may_grant(code)
        || matches!(
            code,
            codes::RESERVED_FOR_OTHERS
                | codes::LIMIT_USER
                | codes::LIMIT_HOST
                | codes::LIMIT_GROUP
                | codes::LIMIT_PROJECT
        )
}

impl Link {
    fn wait_for(self: &Arc<Link>, course: &mut Course<'_>) -> Result<u64, CheckoutError> {
        let outcome = self.wait_in_queue(course);
        if let Some(place) = course.place.take() {
            lock(&self.state).waits.remove(&place);
        }
        outcome
    }

    fn wait_in_queue(self: &Arc<Link>, course: &mut Course<'_>) -> Result<u64, CheckoutError> {
        let mut reason = String::new();
        loop {
            if course.limit.cancel.is_cancelled() {
                self.leave_queue(course);
                return Err(CheckoutError::Cancelled);
            }
            if course.limit.until <= Instant::now() && course.lost_at.is_some() {
                self.leave_queue(course);
                return Err(CheckoutError::NoServer(vec![reason]));
            }
            let live = match self.connection() {
                Ok(live) => live,
                Err(ConnectError::Refused { refusal, .. }) if course.is_new() => {
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(error) => {
                    reason = error.to_string();
                    self.note_absence(course, &reason)?;
                    continue;
                }
            };
            let asked = self.give_back_unwanted(&live).and_then(|()| self.ask_for_place(&live, course));
            let offer = match asked {
                Ok(Place::Granted(bundle)) => return Ok(bundle),
                Ok(Place::Offered(granted)) => granted,
                Ok(Place::Waits { waiter, before }) => {
                    course.is_answered();
                    if course.told.replace(before) != Some(before) {
                        let server = self.address.to_string();
                        self.tell(Event::Waiting { server, waiter, before });
                    }
                    match self.await_outcome(&live, waiter, course.limit) {
                        Next::Served(granted) => granted,
                        Next::Ended(refusal) => return Err(CheckoutError::Denied(refusal)),
                        // Whether the connection is there or not, the loop will see.
                        Next::AskAgain | Next::Cancelled => continue,
                        Next::Over => {
                            self.leave_queue(course);
                            return Err(CheckoutError::Denied(timed_out()));
                        }
                    }
                }
                Err(CallError::Refused(refusal))
                    if course.place.is_none() || !is_for_later(&refusal.code) =>
                {
                    if course.doubts > 0 && refusal.code != codes::ALREADY_REMOVED {
                        self.cancel_later(course.ask.clone());
                    }
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(CallError::TooLong(error)) => return Err(CheckoutError::Request(error.to_string())),
                Err(CallError::Protocol(what)) => {
                    self.cancel_later(course.ask.clone());
                    return Err(CheckoutError::Protocol(what));
                }
                Err(error) => {
                    reason = format!("{}: {error}", self.address);
                    self.note_absence(course, &reason)?;
                    continue;
                }
            };
            match self.confirm(&live, offer, course) {
                Ok(bundle) => return Ok(bundle),
                Err(CallError::Protocol(what)) => {
                    self.cancel_later(course.ask.clone());
                    return Err(CheckoutError::Protocol(what));
                }
                // Too late, or nobody knows: the same checkout sent again tells.
                Err(error) => {
                    reason = format!("{}: {error}", self.address);
                    if let Some(wait) = course.place.and_then(|place| lock(&self.state).waits.remove(&place))
                    {
                        drop(wait);
                    }
                    if !matches!(error, CallError::Refused(_)) {
                        self.note_absence(course, &reason)?;
                    }
                }
            }
        }
    }

    /// No connection, or no answer on it: after a pause it is tried again, but not for ever where it was never there, nor where
    /// another server may be.
    fn note_absence(self: &Arc<Link>, course: &mut Course<'_>, reason: &str) -> Result<(), CheckoutError> {
        let lost_at = *course.lost_at.get_or_insert_with(Instant::now);
        course.failures = course.failures.saturating_add(1);
        let lease = lock(&self.state).lease;
        let has_others = self.options.servers.len() > 1;
        let is_hopeless = if course.place.is_none() {
            course.doubts == 0 || course.failures >= TRIES
        } else {
            has_others && lost_at.elapsed() >= lease
        };
        if is_hopeless {
            self.leave_queue(course);
            return Err(CheckoutError::NoServer(vec![reason.to_owned()]));
        }
        let until = Instant::now() + self.pause(course.failures);
        let until = until.min(course.limit.until.max(Instant::now()));
        let mut state = lock(&self.state);
        while !course.limit.cancel.is_cancelled() {
            let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
            else {
                break;
            };
            state = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Sends the checkout, and notes the place before any event about it.
    fn ask_for_place(
        self: &Arc<Link>,
        (serial, connection): &Live,
        course: &mut Course<'_>,
    ) -> Result<Place, CallError> {
        let serial = *serial;
        let left = course.limit.until.saturating_duration_since(Instant::now());
        let left = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let wait_seconds = Some(u32::try_from(left.max(1)).unwrap_or(u32::MAX));
        let sent = request::Checkout { wait_seconds, ..course.ask.clone() };
        let (link, kept) = (Arc::clone(self), course.ask.clone());
        let (before, doubts, again) = (course.place, course.doubts, course.again);
        lock(&self.state).checkouts_in_flight += 1;
        let result = connection.checkout_within(&sent, self.options.answer_timeout, move |result| {
            lock(&link.state).checkouts_in_flight -= 1;
            result.map(|asked| match asked {
                Asked::Granted(granted) if granted.replayed => Place::Offered(granted),
                Asked::Granted(granted) => Place::Granted(link.granted(serial, granted, kept, doubts, again)),
                Asked::Waiting(waiting) => {
                    let mut state = lock(&link.state);
                    before.map(|before| state.waits.remove(&before));
                    state.waits.insert(waiting.waiter, Wait { on: serial, outcome: None });
                    Place::Waits { waiter: waiting.waiter, before: waiting.before }
                }
            })
        });
        match &result {
            Ok(Place::Waits { waiter, .. }) => course.place = Some(*waiter),
            Err(CallError::TimedOut(_) | CallError::Lost(_)) => {
                course.doubts = course.doubts.saturating_add(1);
            }
            _ => {}
        }
        self.wake.notify_all();
        result
    }

    /// Until something happens to the place, or it is time to ask for it again.
    fn await_outcome(&self, (serial, connection): &Live, waiter: u64, limit: &Limit<'_>) -> Next {
        let look_at = Instant::now() + connection.beat_interval().max(LOOK_SHORTEST);
        // The server's clock decides, and its word may be on the way.
        let over_at = limit.until + self.patience();
        let mut state = lock(&self.state);
        loop {
            let Some(wait) = state.waits.get_mut(&waiter).filter(|wait| wait.on == *serial) else {
                return Next::AskAgain;
            };
            match &wait.outcome {
                Some(Outcome::Served(granted)) => return Next::Served(granted.clone()),
                Some(Outcome::Ended(refusal)) => return Next::Ended(refusal.clone()),
                None => {}
            }
            let now = Instant::now();
            if limit.cancel.is_cancelled() {
                return Next::Cancelled;
            }
            if over_at <= now {
                return Next::Over;
            }
            if connection.has_ended() || (look_at <= now && now < limit.until) {
                return Next::AskAgain;
            }
            let next = if now < limit.until { look_at.min(limit.until) } else { over_at };
            let rest = next.saturating_duration_since(now).max(Duration::from_millis(1));
            state = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that the seats came through (S31). From then on they are held as any others.
    fn confirm(
        self: &Arc<Link>,
        (serial, connection): &Live,
        offer: Granted,
        course: &Course<'_>,
    ) -> Result<u64, CallError> {
        let serial = *serial;
        let ask = request::Confirm { bundle: offer.bundle, ..request::Confirm::default() };
        let (link, kept) = (Arc::clone(self), course.ask.clone());
        let (place, doubts, again) = (course.place, course.doubts, course.again);
        lock(&self.state).checkouts_in_flight += 1;
        let result = connection.call_within(&ask, self.patience(), move |result| {
            let confirmed = result.map(|_| link.granted(serial, offer, kept, doubts, again));
            let mut state = lock(&link.state);
            state.checkouts_in_flight -= 1;
            if confirmed.is_ok() {
                place.map(|place| state.waits.remove(&place));
            }
            confirmed
        });
        self.wake.notify_all();
        result
    }

    /// Nobody waits any more. What the server may have granted all the same is given back.
    fn leave_queue(self: &Arc<Link>, course: &mut Course<'_>) {
        if course.is_new() {
            return;
        }
        let on = course.place.take().and_then(|waiter| {
            let mut state = lock(&self.state);
            let wait = state.waits.remove(&waiter)?;
            let live = state.live().filter(|(serial, _)| *serial == wait.on)?;
            Some((waiter, live))
        });
        if let Some((waiter, (_, connection))) = on {
            let ask = request::GiveUp { waiter, ..request::GiveUp::default() };
            if connection.call_within(&ask, self.patience(), |result| result).is_ok() && course.doubts == 0 {
                return;
            }
        }
        self.cancel_later(course.ask.clone());
    }

    /// On the reading thread: somebody who waits has seats. Who gave up gives them back by the checkout's key.
    pub(crate) fn served(&self, serial: u64, served: event::Served) {
        let granted = Granted {
            bundle: served.bundle,
            sessions: served.sessions,
            extras: served.extras,
            ..Granted::default()
        };
        self.note_outcome(serial, served.waiter, Outcome::Served(granted));
    }

    /// On the reading thread: the server has ended a wait.
    pub(crate) fn wait_ended(&self, serial: u64, ended: &event::WaitEnded) {
        let (code, message) = (printable(&ended.code), printable(&ended.message));
        let refusal = Refusal { code, message, details: String::new() };
        self.note_outcome(serial, ended.waiter, Outcome::Ended(refusal));
    }

    fn note_outcome(&self, serial: u64, waiter: u64, outcome: Outcome) {
        if let Some(wait) = lock(&self.state).waits.get_mut(&waiter).filter(|wait| wait.on == serial) {
            // Seats that came first are confirmed, or not any more: the answer to that tells.
            wait.outcome.get_or_insert(outcome);
        }
        self.wake.notify_all();
    }
}

enum Place {
    Granted(u64),
    /// Granted before, and maybe not confirmed.
    Offered(Granted),
    Waits {
        waiter: u64,
        before: u64,
    },
}

impl Course<'_> {
    /// Nothing of it can be at the server.
    fn is_new(&self) -> bool {
        self.place.is_none() && self.doubts == 0
    }

    fn is_answered(&mut self) {
        self.failures = 0;
        self.lost_at = None;
    }
}

/// Codes of a server that keeps the place and cannot say so now.
fn is_for_later(code: &str) -> bool {
    matches!(code, codes::BUSY | codes::RATE_LIMITED | codes::SHUTTING_DOWN | codes::NOT_LEADER)
}

fn timed_out() -> Refusal {
    Refusal {
        code: codes::QUEUE_TIMEOUT.to_owned(),
        message: "no seat came free in the time it was to wait".to_owned(),
        details: String::new(),
    }
}
