//! One server, and everything held on it: the connection, the bundles, and the thread that keeps both.
//!
//! The thread beats as often as the server says. When the connection is lost it comes back after a pause that grows and is
//! drawn at random, resumes every bundle, and tells the application. It ends with the last user of the link, or a few seconds
//! later if something must be given back. What calls do is here; what the thread does in `keeper`, what the server says
//! unasked in `told`, and how seats that nobody wants go back in `giving`.
//!
//! **What was sent and not answered may arrive late.** The bytes of a connection that was given up may lie in a network that
//! stalls, and reach the server after all that came over the next connection. A late checkout or resume takes the bundle away
//! from the connection that has it now. So each bundle counts its doubts, the requests of this kind that were never answered,
//! and as many times a `ResumedElsewhere` is taken for one of them, and answered by a resume. One more is another program.
//!
//! Locks, in the order in which they are taken: `turn`, `giving`, `connecting`, `state`. Nothing is waited for under `state`,
//! which the reading thread of the connection takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use wire::answer::{self, Grant};
use wire::{codes, request};

use crate::activity::Activity;
use crate::address::Address;
use crate::connection::Connection;
use crate::error::{CallError, CheckoutError, ConnectError};
use crate::event::{Event, Subscribers, tell};
use crate::giving::Unwanted;
use crate::grace::Signal;
use crate::grace::clock::Clock;
use crate::wait::Wait;
use crate::{Options, lock};

/// How often a request is sent in all, when its answer is lost.
pub(crate) const TRIES: u32 = 3;
/// The least time that a server has to answer a heartbeat or a resume. Else it is a third of the lease, so that a connection
/// which is dead is replaced before the lease is over, and never more than [`Options::answer_timeout`].
const PATIENCE_LEAST: Duration = Duration::from_secs(1);

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
    pub(crate) clock: Arc<dyn Clock>,
    connecting: Mutex<()>,
    /// Resumes and checkins take turns, so that each sees what the one before left.
    pub(crate) turn: Mutex<()>,
    /// So does giving back what nobody wants.
    pub(crate) giving: Mutex<()>,
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
    /// Checkouts that may have taken seats nobody uses, oldest first.
    pub(crate) unwanted: VecDeque<Unwanted>,
    /// Nobody uses the link any more: until when the thread goes on to give back what is unwanted.
    pub(crate) linger_until: Option<Instant>,
    /// There is a reason to try at once, whatever failed before.
    pub(crate) is_hurried: bool,
    /// Bundles that the server gave away and that are to be asked for anew.
    pub(crate) given_away: BTreeMap<u64, Vec<request::Item>>,
    /// Goes up with whatever changes how many sessions the server should count.
    pub(crate) changes: u64,
    pub(crate) checkouts_in_flight: usize,
    /// When the connection was lost that has not come back.
    pub(crate) lost_at: Option<Instant>,
    /// Places in the server's queue, by their number.
    pub(crate) waits: BTreeMap<u64, Wait>,
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
    /// How many checkouts and resumes of it were sent and never answered.
    pub(crate) doubts: u32,
    /// Sessions whose checkin was sent: it is no surprise if they are gone.
    pub(crate) returning: BTreeSet<u64>,
    /// Whether to ask for it anew if it is given away.
    pub(crate) again: bool,
    /// Then: what of it was given away so far.
    pub(crate) lost: Vec<request::Item>,
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
        clock: Arc<dyn Clock>,
    ) -> Arc<Link> {
        Arc::new(Link {
            index,
            address,
            options,
            subscribers,
            activity,
            signal,
            clock,
            state: Mutex::default(),
            wake: Condvar::new(),
            connecting: Mutex::default(),
            turn: Mutex::default(),
            giving: Mutex::default(),
        })
    }

    /// One more needs this link.
    pub(crate) fn enter(&self) {
        lock(&self.state).users += 1;
    }

    /// How long the server may take to answer what keeps sessions alive.
    pub(crate) fn patience(&self) -> Duration {
        let lease = lock(&self.state).lease;
        let most = self.options.answer_timeout;
        if lease.is_zero() { most } else { most.min((lease / 3).max(PATIENCE_LEAST)) }
    }

    /// How long to wait after so many failures in a row.
    pub(crate) fn pause(&self, failures: u32) -> Duration {
        let lease = lock(&self.state).lease;
        self.options.backoff.within(lease).delay(failures)
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
            self.begin_keeping(&mut state);
            old
        };
        // The keeper had no time to say so.
        if let Some((_, old)) = old.filter(|_| self.holds_anything()) {
            self.tell(Event::Lost { message: old.ending() });
        }
        self.wake.notify_all();
        Ok((serial, connection))
    }

    /// Sees to it that there is a thread.
    pub(crate) fn begin_keeping(self: &Arc<Link>, state: &mut State) {
        if !state.has_keeper && state.users > 0 {
            let link = Arc::clone(self);
            // Read here: the machine may sleep before the thread first runs.
            let pulse = crate::pulse::Pulse::new(&*self.clock);
            let keeper = thread::Builder::new().name("seatkeeper-keep".to_owned());
            // Without a thread there are no heartbeats, but seats for a lease.
            state.has_keeper = keeper.spawn(move || link.keep(pulse)).is_ok();
        }
    }

    fn holds_anything(&self) -> bool {
        !lock(&self.state).bundles.is_empty()
    }

    /// Takes seats. A request whose connection is lost is sent again with the same key and secret, so it takes no second seat
    /// (S2); if no answer comes at all, it is cancelled when the server is back (S26). What was to be cancelled before is
    /// cancelled first, so that nobody has two seats for a moment.
    pub(crate) fn checkout(
        self: &Arc<Link>,
        ask: &request::Checkout,
        again: bool,
    ) -> Result<u64, CheckoutError> {
        let mut doubts = 0;
        let mut reason = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                thread::sleep(self.options.backoff.delay(attempt - 1));
            }
            let (serial, connection) = match self.connection() {
                Ok(live) => live,
                Err(ConnectError::Refused { refusal, .. }) if doubts == 0 => {
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(error) => {
                    reason = error.to_string();
                    if doubts > 0 {
                        continue;
                    }
                    break;
                }
            };
            match self.give_back_unwanted(&(serial, Arc::clone(&connection))) {
                Ok(()) => {}
                Err(CallError::Refused(refusal)) if attempt + 1 == TRIES && doubts == 0 => {
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(error) => {
                    reason = format!("{}: {error}", self.address);
                    continue;
                }
            }
            let (link, kept) = (Arc::clone(self), ask.clone());
            lock(&self.state).checkouts_in_flight += 1;
            let result = connection.call_then(ask, move |result| {
                lock(&link.state).checkouts_in_flight -= 1;
                let held = |granted| link.granted(serial, granted, kept, doubts, again);
                result.map(held)
            });
            match result {
                Ok(bundle) => {
                    self.wake.notify_all();
                    return Ok(bundle);
                }
                Err(CallError::Refused(refusal)) => {
                    // A request that was sent before may still arrive, and be granted: its key must be used up.
                    if doubts > 0 && refusal.code != codes::ALREADY_REMOVED {
                        self.cancel_later(ask.clone());
                    }
                    return Err(CheckoutError::Denied(refusal));
                }
                Err(CallError::TooLong(error)) => return Err(CheckoutError::Request(error.to_string())),
                Err(CallError::Protocol(what)) => {
                    self.cancel_later(ask.clone());
                    return Err(CheckoutError::Protocol(what));
                }
                Err(error @ (CallError::TimedOut(_) | CallError::Lost(_))) => {
                    doubts += 1;
                    reason = format!("{}: {error}", self.address);
                    // A server that hangs would do so again, and another one is waiting.
                    if matches!(error, CallError::TimedOut(_)) && self.options.servers.len() > 1 {
                        break;
                    }
                }
            }
        }
        if doubts > 0 {
            self.cancel_later(ask.clone());
        }
        Err(CheckoutError::NoServer(vec![reason]))
    }

    /// On the reading thread, before any event about these sessions.
    pub(crate) fn granted(
        &self,
        serial: u64,
        granted: answer::Granted,
        checkout: request::Checkout,
        doubts: u32,
        again: bool,
    ) -> u64 {
        let sessions = granted.sessions.into_iter().map(|g| (g.session, g)).collect();
        let mut state = lock(&self.state);
        state.changes += 1;
        let grace = answer::Grace::among(&granted.extras);
        let returning = BTreeSet::new();
        let lost = Vec::new();
        let held = Held { checkout, sessions, grace, on: serial, doubts, returning, again, lost };
        state.bundles.insert(granted.bundle, held);
        granted.bundle
    }

    /// Somebody else has this bundle, as the server says. If that may be a late request of our own, it is to be resumed.
    pub(crate) fn settle_doubt(&self, bundle: u64) -> bool {
        let mut state = lock(&self.state);
        let Some(held) = state.bundles.get_mut(&bundle).filter(|held| held.doubts > 0) else { return false };
        held.doubts -= 1;
        held.on = 0;
        state.changes += 1;
        drop(state);
        self.wake.notify_all();
        true
    }

    pub(crate) fn set_count(&self, bundle: u64, session: u64, count: u32) {
        let mut state = lock(&self.state);
        state.changes += 1;
        let Some(held) = state.bundles.get_mut(&bundle) else { return };
        match held.sessions.get_mut(&session) {
            Some(grant) if count > 0 => grant.count = count,
            _ => {
                held.sessions.remove(&session);
                held.returning.remove(&session);
                if held.sessions.is_empty() {
                    state.bundles.remove(&bundle);
                }
            }
        }
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
        let vanished = connection.call_within(&ask, self.patience(), move |result| match result {
            Ok(resumed) => Ok(link.resumed(serial, resumed)),
            Err(CallError::Refused(refusal)) => {
                if is_gone(&refusal.code) || refusal.code == codes::BAD_REQUEST {
                    link.forget(bundle, &refusal);
                }
                Err(CallError::Refused(refusal))
            }
            Err(error) => {
                if let Some(held) = lock(&link.state).bundles.get_mut(&bundle) {
                    held.doubts = held.doubts.saturating_add(1);
                }
                Err(error)
            }
        })?;
        self.explain(connection, &vanished);
        Ok(())
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

    /// Whether the thread is needed.
    pub(crate) fn is_used(&self) -> bool {
        self.users > 0
            || (!self.unwanted.is_empty() && self.linger_until.is_some_and(|until| Instant::now() < until))
    }

    /// Whether there is something to be connected for.
    pub(crate) fn has_work(&self) -> bool {
        !self.bundles.is_empty() || !self.unwanted.is_empty()
    }

    /// Whether something is not yet as it should be on this connection.
    pub(crate) fn has_work_for(&self, serial: u64) -> bool {
        !self.unwanted.is_empty() || self.bundles.values().any(|held| held.on != serial)
    }

    pub(crate) fn bundle_of(&self, session: u64) -> Option<u64> {
        self.bundles.iter().find(|(_, held)| held.sessions.contains_key(&session)).map(|(bundle, _)| *bundle)
    }
}

/// Codes after which a session of ours is no more.
pub(crate) fn is_gone(code: &str) -> bool {
    matches!(code, codes::ALREADY_REMOVED | codes::RESUMED_ELSEWHERE | codes::UNKNOWN_SESSION)
}

/// Codes of a checkin that another connection must make: the one that holds the session, or one that resumes it.
pub(crate) fn is_elsewhere(code: &str) -> bool {
    matches!(code, codes::RESUMED_ELSEWHERE | codes::UNKNOWN_SESSION)
}
