//! One server, and everything held on it: the connection, the bundles, and the thread that keeps both.
//!
//! The thread beats as often as the server says. When the connection is lost it comes back after a pause that grows and is
//! drawn at random, resumes every bundle, and tells the application. It ends with the last user of the link.
//!
//! Locks, in the order in which they are taken: `turn`, `connecting`, `state`. Nothing is waited for under `state`, which the
//! reading thread of the connection takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wire::answer::{self, Grant};
use wire::{codes, event, request};

use crate::activity::Activity;
use crate::address::Address;
use crate::backoff;
use crate::connection::{Connection, Told};
use crate::error::{CallError, CheckinError, CheckoutError, ConnectError, Refusal, printable};
use crate::event::{Event, Subscribers, tell};
use crate::grace::Signal;
use crate::{Options, lock};

/// How often a request is sent in all, when its answer is lost.
const TRIES: u32 = 3;
/// How long a dropped bundle waits for the server to take it back.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a server remembers a request key after the session's end (S2): after that there is nothing to cancel.
const CANCEL_WITHIN: Duration = Duration::from_secs(3600);
/// The most checkouts remembered for cancelling; beyond it the oldest are left to their lease.
const CANCEL_MAX: usize = 1000;

/// The longest time that a warning is kept in mind.
const WARNED_LONGEST: Duration = Duration::from_secs(3600);

/// See the module.
pub(crate) struct Link {
    /// Its place in the list.
    pub(crate) index: usize,
    pub(crate) address: Address,
    pub(crate) options: Arc<Options>,
    subscribers: Arc<Subscribers>,
    pub(crate) activity: Arc<Activity>,
    /// Wakes who watches over grace.
    pub(crate) signal: Arc<Signal>,
    pub(crate) state: Mutex<State>,
    pub(crate) wake: Condvar,
    connecting: Mutex<()>,
    /// Resumes and checkins take turns, so that each sees what the one before left.
    pub(crate) turn: Mutex<()>,
}

/// What is held, and over which connection.
#[derive(Default)]
pub(crate) struct State {
    /// The client, and each bundle somebody has.
    pub(crate) users: usize,
    /// The last connection and its serial number, which starts at 1. It may have ended.
    pub(crate) current: Option<Live>,
    serial: u64,
    pub(crate) has_keeper: bool,
    pub(crate) bundles: BTreeMap<u64, Held>,
    /// Checkouts that may have taken seats nobody uses, and until when to care.
    pub(crate) unwanted: Vec<(request::Checkout, Instant)>,
    /// Goes up with whatever changes how many sessions the server should count.
    pub(crate) changes: u64,
    pub(crate) checkouts_in_flight: usize,
    /// When the connection was lost that has not come back.
    pub(crate) lost_at: Option<Instant>,
    /// How long the server keeps the seats of a silent client.
    pub(crate) lease: Duration,
    /// When something that listens there answered last.
    pub(crate) answered_at: Option<Instant>,
    /// When the last heartbeat was sent: it alone says how long the user has been idle. `None`: one is due now.
    pub(crate) beat_at: Option<Instant>,
    /// The server will give an idle seat away: since when and until when to tell it that the user is back.
    pub(crate) wanted: Option<Wanted>,
}

/// A warning of the server (S50).
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// When it came.
    pub(crate) at: Instant,
    /// When the seat is given away.
    pub(crate) until: Instant,
}

/// One bundle.
pub(crate) struct Held {
    pub(crate) checkout: request::Checkout,
    pub(crate) sessions: BTreeMap<u64, Grant>,
    /// What the server said of GRACE.
    pub(crate) grace: Vec<answer::Grace>,
    /// The serial number of the connection that holds it; 0: resume it.
    pub(crate) on: u64,
}

/// A connection and its serial number.
pub(crate) type Live = (u64, Arc<Connection>);

impl Link {
    pub(crate) fn new(
        index: usize,
        address: Address,
        options: Arc<Options>,
        subscribers: Arc<Subscribers>,
        activity: Arc<Activity>,
        signal: Arc<Signal>,
    ) -> Arc<Link> {
        Arc::new(Link {
            index,
            address,
            options,
            subscribers,
            activity,
            signal,
            state: Mutex::default(),
            wake: Condvar::new(),
            connecting: Mutex::default(),
            turn: Mutex::default(),
        })
    }

    /// One more needs this link.
    pub(crate) fn enter(&self) {
        lock(&self.state).users += 1;
    }

    /// One fewer; after the last the connection is closed and the thread ends.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.users = state.users.saturating_sub(1);
        if state.users == 0 {
            // Dropped outside the lock: its end tells the reading thread, which takes it.
            let current = state.current.take();
            drop(state);
            drop(current);
            self.wake.notify_all();
        }
    }

    pub(crate) fn sessions(&self, bundle: u64) -> Vec<Grant> {
        let state = lock(&self.state);
        state.bundles.get(&bundle).map_or_else(Vec::new, |held| held.sessions.values().cloned().collect())
    }

    /// The connection there is, or a new one.
    pub(crate) fn connection(self: &Arc<Link>) -> Result<Live, ConnectError> {
        let _one_at_a_time = lock(&self.connecting);
        let serial = {
            let mut state = lock(&self.state);
            if let Some(live) = state.live() {
                return Ok(live);
            }
            state.serial += 1;
            state.serial
        };
        let link = Arc::downgrade(self);
        let told = move |told| {
            if let Some(link) = Weak::upgrade(&link) {
                link.told(serial, told);
            }
        };
        let connection = Arc::new(self.open(told)?);
        let old = {
            let mut state = lock(&self.state);
            state.lost_at = None;
            state.lease = Duration::from_millis(connection.hello().lease_ms.into());
            let old = state.current.replace((serial, Arc::clone(&connection)));
            state.beat_at = Some(Instant::now());
            state.wanted = None;
            if !state.has_keeper && state.users > 0 {
                let link = Arc::clone(self);
                let keeper = thread::Builder::new().name("seatkeeper-keep".to_owned());
                // Without a thread there are no heartbeats, but seats for a lease.
                state.has_keeper = keeper.spawn(move || link.keep()).is_ok();
            }
            old
        };
        // The keeper had no time to say so.
        if let Some((_, old)) = old.filter(|_| self.holds_anything()) {
            self.tell(Event::Lost { message: old.ending() });
        }
        self.wake.notify_all();
        Ok((serial, connection))
    }

    fn holds_anything(&self) -> bool {
        !lock(&self.state).bundles.is_empty()
    }

    /// Takes seats. A request whose answer is lost is sent again with the same key and secret, so it takes no second seat
    /// (S2); if no answer comes at all, it is cancelled when the server is back (S26).
    pub(crate) fn checkout(self: &Arc<Link>, ask: &request::Checkout) -> Result<u64, CheckoutError> {
        let mut was_sent = false;
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(backoff::delay(attempt - 1));
            }
            let (serial, connection) = match self.connection() {
                Ok(live) => live,
                Err(ConnectError::Refused { refusal, .. }) if !was_sent => {
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(error) => {
                    reason = error.to_string();
                    if was_sent {
                        continue;
                    }
                    break;
                }
            };
            let (link, kept) = (Arc::clone(self), ask.clone());
            lock(&self.state).checkouts_in_flight += 1;
            let result = connection.call_then(ask, move |result| {
                lock(&link.state).checkouts_in_flight -= 1;
                result.map(|granted| link.granted(serial, kept, granted))
            });
            match result {
                Ok(bundle) => {
                    self.wake.notify_all();
                    return Ok(bundle);
                }
                Err(CallError::Refused(refusal)) => return Err(CheckoutError::Denied(refusal)),
                Err(CallError::TooLong(error)) => return Err(CheckoutError::Request(error.to_string())),
                Err(CallError::Protocol(what)) => {
                    self.cancel_later(ask.clone());
                    return Err(CheckoutError::Protocol(what));
                }
                Err(error @ (CallError::TimedOut(_) | CallError::Lost(_))) => {
                    was_sent = true;
                    reason = format!("{}: {error}", self.address);
                }
            }
        }
        if was_sent {
            self.cancel_later(ask.clone());
        }
        Err(CheckoutError::NoServer(vec![reason]))
    }

    /// On the reading thread, before any event about these sessions.
    fn granted(&self, serial: u64, checkout: request::Checkout, granted: answer::Granted) -> u64 {
        let sessions = granted.sessions.into_iter().map(|g| (g.session, g)).collect();
        let mut state = lock(&self.state);
        state.changes += 1;
        let grace = answer::Grace::among(&granted.extras);
        state.bundles.insert(granted.bundle, Held { checkout, sessions, grace, on: serial });
        granted.bundle
    }

    fn cancel_later(&self, checkout: request::Checkout) {
        let mut state = lock(&self.state);
        if state.unwanted.len() >= CANCEL_MAX {
            state.unwanted.remove(0);
        }
        state.unwanted.push((checkout, Instant::now() + CANCEL_WITHIN));
        drop(state);
        self.wake.notify_all();
    }

    /// Gives back `count` seats of a session, all of them if 0. Returns how many it still has.
    pub(crate) fn checkin(
        self: &Arc<Link>,
        bundle: u64,
        session: u64,
        count: u32,
    ) -> Result<u32, CheckinError> {
        let _turn = lock(&self.turn);
        let before = self.count_of(bundle, session);
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(backoff::delay(attempt - 1));
            }
            let live = self.connection().map_err(|error| CheckinError::NoServer(error.to_string()))?;
            match self.hold(&live, bundle) {
                Ok(()) => {}
                Err(CallError::Protocol(what)) => return Err(CheckinError::Protocol(what)),
                Err(CallError::Refused(refusal)) if self.count_of(bundle, session).is_some() => {
                    // Still ours, but not now: `busy` and the like.
                    return Err(CheckinError::Denied(refusal));
                }
                Err(CallError::Refused(_)) => {}
                Err(error) => {
                    reason = error.to_string();
                    continue;
                }
            }
            let now = self.count_of(bundle, session);
            // The first try may have been heard: then the resume shows the seats gone.
            let was_heard = attempt > 0 && (now.is_none() || now < before);
            let Some(now) = now.filter(|_| !was_heard) else {
                return if was_heard { Ok(now.unwrap_or(0)) } else { Err(CheckinError::Denied(gone())) };
            };
            let link = Arc::clone(self);
            let ask =
                request::Checkin { session, count: if count >= now { 0 } else { count }, extras: vec![] };
            let over = count > now;
            if over {
                let message = format!("the session has {now} seats, not {count}");
                let code = codes::BAD_REQUEST.to_owned();
                return Err(CheckinError::Denied(Refusal { code, message, details: String::new() }));
            }
            let result = live.1.call_then(&ask, move |result| {
                result.map(|done| {
                    link.set_count(bundle, session, done.remaining);
                    done.remaining
                })
            });
            match result {
                Ok(remaining) => return Ok(remaining),
                Err(CallError::Refused(refusal)) => {
                    if is_gone(&refusal.code) {
                        self.set_count(bundle, session, 0);
                    }
                    return Err(CheckinError::Denied(refusal));
                }
                Err(CallError::Protocol(what)) => return Err(CheckinError::Protocol(what)),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(CheckinError::NoServer(reason))
    }

    fn count_of(&self, bundle: u64, session: u64) -> Option<u32> {
        Some(lock(&self.state).bundles.get(&bundle)?.sessions.get(&session)?.count)
    }

    fn set_count(&self, bundle: u64, session: u64, count: u32) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let Some(held) = state.bundles.get_mut(&bundle) else { return };
        match held.sessions.get_mut(&session) {
            Some(grant) if count > 0 => grant.count = count,
            _ => {
                held.sessions.remove(&session);
                if held.sessions.is_empty() {
                    state.bundles.remove(&bundle);
                }
            }
        }
    }

    /// Gives a bundle back without making anybody wait long: at once if the connection is there, else when it is back.
    pub(crate) fn abandon(self: &Arc<Link>, bundle: u64) {
        let (held, live) = {
            let mut state = lock(&self.state);
            state.changes += 1;
            let Some(held) = state.bundles.remove(&bundle) else { return };
            (held, state.live())
        };
        let Some((_, connection)) = live.filter(|(serial, _)| *serial == held.on) else {
            return self.cancel_later(held.checkout);
        };
        let (sender, receiver) = mpsc::channel::<()>();
        for session in held.sessions.into_keys() {
            let sender = sender.clone();
            let ask = request::Checkin { session, ..request::Checkin::default() };
            connection.send(&ask, move |_| drop(sender));
        }
        drop(sender);
        // Nothing is ever received: the channel closes with the last answer.
        let _ = receiver.recv_timeout(DROP_TIMEOUT);
    }

    /// Makes sure that this connection holds the bundle. `Ok` too where there is no such bundle any more.
    pub(crate) fn hold(self: &Arc<Link>, (serial, connection): &Live, bundle: u64) -> Result<(), CallError> {
        let serial = *serial;
        let ask = {
            let state = lock(&self.state);
            let Some(held) = state.bundles.get(&bundle).filter(|held| held.on != serial) else {
                return Ok(());
            };
            request::Resume {
                bundle,
                secret: held.checkout.secret,
                facts: held.checkout.facts.clone(),
                extras: vec![],
            }
        };
        let link = Arc::clone(self);
        connection.call_then(&ask, move |result| match result {
            Ok(resumed) => {
                link.resumed(serial, resumed);
                Ok(())
            }
            Err(CallError::Refused(refusal)) => {
                if is_gone(&refusal.code) || refusal.code == codes::BAD_REQUEST {
                    link.forget(bundle, &refusal);
                }
                Err(CallError::Refused(refusal))
            }
            Err(error) => Err(error),
        })
    }

    fn resumed(&self, serial: u64, resumed: answer::Resume) {
        let bundle = resumed.bundle;
        let sessions: BTreeMap<u64, Grant> = resumed.sessions.into_iter().map(|g| (g.session, g)).collect();
        let list: Vec<Grant> = sessions.values().cloned().collect();
        {
            let mut state = lock(&self.state);
            state.changes += 1;
            let Some(held) = state.bundles.get_mut(&bundle) else { return };
            held.on = serial;
            held.grace = answer::Grace::among(&resumed.extras);
            let before = std::mem::replace(&mut held.sessions, sessions);
            for grant in before.values() {
                let ended = resumed.ended.iter().find(|ended| ended.session == grant.session);
                if let Some(ended) = ended {
                    self.taken(bundle, grant, &printable(&ended.message));
                } else if list.is_empty() {
                    self.taken(bundle, grant, "the session has ended");
                }
            }
            if list.is_empty() {
                state.bundles.remove(&bundle);
            }
        }
        for ended in resumed.ended {
            let (code, message) = (printable(&ended.code), printable(&ended.message));
            self.tell(Event::SessionEnded { session: ended.session, code, message, at: Some(ended.at) });
        }
        if !list.is_empty() {
            self.tell(Event::Resumed { bundle, sessions: list });
        }
        self.signal.poke();
    }

    /// The server does not know the bundle any more: all its sessions have ended.
    fn forget(&self, bundle: u64, refusal: &Refusal) {
        let held = {
            let mut state = lock(&self.state);
            state.changes += 1;
            let held = state.bundles.remove(&bundle);
            for grant in held.iter().flat_map(|held| held.sessions.values()) {
                self.taken(bundle, grant, &refusal.to_string());
            }
            held
        };
        for session in held.into_iter().flat_map(|held| held.sessions.into_keys()) {
            let (code, message) = (refusal.code.clone(), refusal.message.clone());
            self.tell(Event::SessionEnded { session, code, message, at: None });
        }
    }

    /// On the reading thread of connection `serial`.
    fn told(&self, serial: u64, told: Told) {
        let event = match told {
            Told::Event(event) => event,
            Told::Ended(_) => {
                // The keeper looks, and says so. Its lock must be taken, or it could miss the call between look and wait.
                drop(lock(&self.state));
                return self.wake.notify_all();
            }
        };
        match event {
            wire::Event::Expired(event::Expired { session, feature, license_ends, .. }) => {
                self.tell(Event::Expired { session, feature: printable(&feature), license_ends });
            }
            wire::Event::SessionEnded(ended) => {
                let (code, message) = (printable(&ended.code), printable(&ended.message));
                let bundle = {
                    let state = lock(&self.state);
                    let Some(bundle) = state.bundle_of(ended.session) else { return };
                    let grant = state.bundles.get(&bundle).and_then(|held| held.sessions.get(&ended.session));
                    if let Some(grant) = grant {
                        self.taken(bundle, grant, &message);
                    }
                    bundle
                };
                self.set_count(bundle, ended.session, 0);
                self.tell(Event::SessionEnded { session: ended.session, code, message, at: Some(ended.at) });
            }
            // Nothing of this library waits yet.
            wire::Event::Served(_) | wire::Event::WaitEnded(_) => {}
            wire::Event::ResumedElsewhere(event::ResumedElsewhere { bundle, .. }) => {
                let mut state = lock(&self.state);
                // Our own resume over a newer connection is told on the older one too.
                if state.bundles.get(&bundle).is_some_and(|held| held.on == serial) {
                    state.changes += 1;
                    state.bundles.remove(&bundle);
                    drop(state);
                    self.tell(Event::ResumedElsewhere { bundle });
                }
            }
            wire::Event::Stopping(_) => self.tell(Event::Stopping),
            wire::Event::SeatWanted(wanted) => self.seat_wanted(wanted),
            // Nobody here asks for it.
            wire::Event::PoolChanged(_) => {}
        }
    }

    /// The keeper will say at once when the user is back.
    fn seat_wanted(&self, wanted: event::SeatWanted) {
        let event::SeatWanted { session, feature, seconds, .. } = wanted;
        {
            let mut state = lock(&self.state);
            if state.bundle_of(session).is_none() {
                return;
            }
            let at = Instant::now();
            // Far more than any server waits, and no instant beyond what there is.
            let until = at + Duration::from_secs(seconds.into()).min(WARNED_LONGEST);
            state.wanted = Some(Wanted { at, until });
            self.activity.await_report();
        }
        self.wake.notify_all();
        self.tell(Event::SeatWanted { session, feature: printable(&feature), seconds });
    }

    /// The user is back, and the server waits to hear it.
    pub(crate) fn hurry(&self) {
        {
            let mut state = lock(&self.state);
            if state.wanted.take().is_some() {
                state.beat_at = None;
            }
        }
        self.wake.notify_all();
    }

    pub(crate) fn tell(&self, event: Event) {
        tell(&self.subscribers, &event);
    }
}

impl State {
    /// The connection, if it has not ended.
    pub(crate) fn live(&self) -> Option<Live> {
        self.current.as_ref().filter(|(_, connection)| !connection.has_ended()).cloned()
    }

    /// Whether there is something to be connected for.
    pub(crate) fn has_work(&self) -> bool {
        !self.bundles.is_empty() || !self.unwanted.is_empty()
    }

    /// Whether something is not yet as it should be on this connection.
    pub(crate) fn has_work_for(&self, serial: u64) -> bool {
        !self.unwanted.is_empty() || self.bundles.values().any(|held| held.on != serial)
    }

    fn bundle_of(&self, session: u64) -> Option<u64> {
        self.bundles.iter().find(|(_, held)| held.sessions.contains_key(&session)).map(|(bundle, _)| *bundle)
    }
}

/// Codes after which a session of ours is no more.
fn is_gone(code: &str) -> bool {
    matches!(code, codes::ALREADY_REMOVED | codes::RESUMED_ELSEWHERE | codes::UNKNOWN_SESSION)
}

fn gone() -> Refusal {
    Refusal {
        code: codes::ALREADY_REMOVED.to_owned(),
        message: "the session has ended".to_owned(),
        details: String::new(),
    }
}
