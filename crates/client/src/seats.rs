//! Seats that a program has: on a server, or for some hours without one.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use wire::answer::Grant;
use wire::codes;
use wire::request::Item;

use crate::error::{CheckinError, Refusal};
use crate::giving::DROP_TIMEOUT;
use crate::grace::{Grace, Limit};
use crate::link::Link;
use crate::lock;

/// Seats that a server granted: the sessions of one checkout. They are kept until they are given back or this is dropped; a lost
/// connection or a restart of the server does not end them.
///
/// If no server answers and the license gives grace, they go on for its hours (L65), and a checkout can begin that way:
/// [`Seats::grace_ends`] tells, and [`Event::GraceBegan`](crate::Event::GraceBegan) and
/// [`Event::GraceEnded`](crate::Event::GraceEnded) come.
///
/// ```no_run
/// # use seatkeeper_client::{CheckoutError, Client, Event, GraceEnd, Options, Want};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(Options::from_environment("acme-cad", "4.2")?);
/// let events = client.subscribe();
/// let seats = client.checkout(Want::feature("cad"))?; // also in grace
/// if seats.is_in_grace() {
///     println!("no license server answers; cad runs on until {:?}", seats.grace_ends());
/// }
/// for event in events {
///     match event {
///         Event::GraceBegan { ends_at, .. } => println!("going on until {ends_at}"),
///         Event::GraceEnded { reason: GraceEnd::Back, .. } => println!("the server is back"),
///         // Save the user's work: there is no right to go on.
///         Event::GraceEnded { .. } | Event::NoGrace { .. } | Event::GivenAway { .. } => break,
///         _ => {}
///     }
/// }
/// # drop(seats);
/// # Ok(())
/// # }
/// ```
pub struct Seats {
    place: Arc<Place>,
    grace: Arc<Grace>,
}

impl Seats {
    /// The caller has entered the link for it.
    pub(crate) fn new(place: Arc<Place>, grace: &Arc<Grace>) -> Seats {
        grace.enter();
        Seats { place, grace: Arc::clone(grace) }
    }

    /// The number of the bundle, for logs; 0: no server has granted it, in grace.
    pub fn bundle(&self) -> u64 {
        self.place.on_server().map_or(0, |(_, bundle)| bundle)
    }

    /// What is held now, as far as the server has told. Empty: all is gone. Seats that were taken in grace have session numbers of
    /// their own, and others once a server has granted them; they are gone when grace is over.
    pub fn sessions(&self) -> Vec<Grant> {
        match &*lock(&self.place.state) {
            State::OnServer { link, bundle } => link.sessions(*bundle),
            State::InGrace { grants, limit } if !self.grace.is_over(limit) => grants.clone(),
            State::InGrace { .. } | State::Gone => Vec::new(),
        }
    }

    /// Whether these seats go on without a server, for the hours that their license allows (L65).
    pub fn is_in_grace(&self) -> bool {
        self.grace_ends().is_some()
    }

    /// The first moment at which they may not any more, Unix seconds; `None`: they are not in grace.
    pub fn grace_ends(&self) -> Option<i64> {
        let limit = match self.place.on_server() {
            Some((link, bundle)) => self.grace.limit(&link, bundle),
            None => self.place.limit().filter(|limit| !self.grace.is_over(limit)),
        };
        limit.map(|limit| limit.unix_seconds)
    }

    /// Gives everything back and waits until the server knows. In grace there is nobody to tell.
    ///
    /// # Errors
    ///
    /// [`CheckinError`] of the first session that could not be given back; the others are. Sessions that had ended before are no
    /// error.
    pub fn checkin(self) -> Result<(), CheckinError> {
        let Some((link, bundle)) = self.place.on_server() else { return Ok(()) };
        let mut first = Ok(());
        for grant in link.sessions(bundle) {
            match link.checkin(bundle, grant.session, 0) {
                Ok(_) => {}
                Err(CheckinError::Denied(refusal)) if is_over(&refusal.code) => {}
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }

    /// Gives back `count` seats of one session, all of them if 0 (S24). Returns how many it still has.
    ///
    /// # Errors
    ///
    /// [`CheckinError`]; denied if the session has ended or has fewer seats.
    pub fn checkin_part(&self, session: u64, count: u32) -> Result<u32, CheckinError> {
        match self.place.on_server() {
            Some((link, bundle)) => link.checkin(bundle, session, count),
            None => self.place.give_back(session, count).map_err(CheckinError::Denied),
        }
    }
}

impl Drop for Seats {
    /// Gives back what is left. Waits two seconds at most, and not at all where the server is not there: it is told when it is
    /// back, also after this. The last of a client that was dropped before waits for that, as [`Client`](crate::Client) does.
    fn drop(&mut self) {
        if let State::OnServer { link, bundle } = self.place.leave() {
            let until = Instant::now() + DROP_TIMEOUT;
            link.abandon(bundle, until);
            link.leave();
            link.settle(until);
        }
        self.grace.leave();
    }
}

/// Where the seats are; who watches over grace has it too.
pub(crate) struct Place {
    state: Mutex<State>,
}

enum State {
    OnServer { link: Arc<Link>, bundle: u64 },
    InGrace { grants: Vec<Grant>, limit: Limit },
    Gone,
}

impl Place {
    /// On a server. Enters the link.
    pub(crate) fn on(link: &Arc<Link>, bundle: u64) -> Arc<Place> {
        link.enter();
        let state = State::OnServer { link: Arc::clone(link), bundle };
        Arc::new(Place { state: Mutex::new(state) })
    }

    pub(crate) fn in_grace(grants: Vec<Grant>, limit: Limit) -> Arc<Place> {
        Arc::new(Place { state: Mutex::new(State::InGrace { grants, limit }) })
    }

    /// Somebody has let go, or grace is over.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(&*lock(&self.state), State::Gone)
    }

    /// The same seats, anew: from a bundle that was given away to one that was granted. `false`: nobody wants them any more.
    pub(crate) fn move_to(&self, from: (&Arc<Link>, u64), to: (&Arc<Link>, u64)) -> bool {
        let mut state = lock(&self.state);
        let State::OnServer { link, bundle } = &*state else { return false };
        if !Arc::ptr_eq(link, from.0) || *bundle != from.1 {
            return false;
        }
        to.0.enter();
        *state = State::OnServer { link: Arc::clone(to.0), bundle: to.1 };
        drop(state);
        from.0.leave();
        true
    }

    pub(crate) fn on_server(&self) -> Option<(Arc<Link>, u64)> {
        match &*lock(&self.state) {
            State::OnServer { link, bundle } => Some((Arc::clone(link), *bundle)),
            _ => None,
        }
    }

    /// When grace is over; `None`: this is no grace.
    pub(crate) fn limit(&self) -> Option<Limit> {
        match &*lock(&self.state) {
            State::InGrace { limit, .. } => Some(*limit),
            _ => None,
        }
    }

    /// What to ask a server for; `None`: this is no grace, or nothing is left.
    pub(crate) fn items(&self) -> Option<Vec<Item>> {
        match &*lock(&self.state) {
            State::InGrace { grants, .. } if !grants.is_empty() => Some(items(grants)),
            _ => None,
        }
    }

    /// A server has granted it. `false`: nobody wants it any more.
    pub(crate) fn settle(&self, link: &Arc<Link>, bundle: u64) -> bool {
        let mut state = lock(&self.state);
        let is_wanted = matches!(&*state, State::InGrace { grants, .. } if !grants.is_empty());
        if is_wanted {
            link.enter();
            *state = State::OnServer { link: Arc::clone(link), bundle };
        }
        is_wanted
    }

    /// Grace is over, without a server. What it was; `None`: it was none.
    pub(crate) fn end(&self) -> Option<Vec<Item>> {
        let mut state = lock(&self.state);
        let State::InGrace { grants, .. } = &*state else { return None };
        let items = items(grants);
        *state = State::Gone;
        Some(items)
    }

    fn leave(&self) -> State {
        std::mem::replace(&mut *lock(&self.state), State::Gone)
    }

    fn give_back(&self, session: u64, count: u32) -> Result<u32, Refusal> {
        let refusal =
            |code: &str, message: String| Refusal { code: code.to_owned(), message, details: String::new() };
        let mut state = lock(&self.state);
        let grants = match &mut *state {
            State::InGrace { grants, .. } => grants,
            _ => &mut Vec::new(),
        };
        let Some(at) = grants.iter().position(|grant| grant.session == session) else {
            return Err(refusal(codes::ALREADY_REMOVED, "the session has ended".to_owned()));
        };
        let held = grants[at].count;
        if count > held {
            return Err(refusal(codes::BAD_REQUEST, format!("the session has {held} seats, not {count}")));
        }
        let left = if count == 0 { 0 } else { held - count };
        grants[at].count = left;
        grants.retain(|grant| grant.count > 0);
        Ok(left)
    }
}

fn items(grants: &[Grant]) -> Vec<Item> {
    let item = |grant: &Grant| Item {
        vendor: Some(grant.vendor.clone()).filter(|vendor| !vendor.is_empty()),
        feature: grant.feature.clone(),
        count: grant.count,
    };
    grants.iter().map(item).collect()
}

fn is_over(code: &str) -> bool {
    matches!(code, codes::ALREADY_REMOVED | codes::UNKNOWN_SESSION | codes::RESUMED_ELSEWHERE)
}
