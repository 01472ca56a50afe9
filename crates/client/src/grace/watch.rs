//! The thread that watches over grace: when it begins for running sessions, when it ends, and who is back.
//!
//! It runs only where some license gives grace. It waits for servers, so what applications ask of seats meanwhile is answered from
//! the clock and not by it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wire::request::{Checkout, Facts, Item, Secret};

use super::book::{Claim, NoGrace, key};
use super::link::{Away, Standing};
use super::{Grace, Limit, Spans, is_denial};
use crate::backoff::Backoff;
use crate::error::CheckoutError;
use crate::event::{Event, GraceEnd};
use crate::giving::DROP_TIMEOUT;
use crate::link::Link;
use crate::seats::Place;
use crate::{client, lock};

/// How often it is written down that grace is in use, and the clock noted while it is not.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// How often other servers are looked for while a session goes on without its own.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long a link may take to resume after its server was seen to answer, before it is looked at again.
const RESUME_TIME: Duration = Duration::from_secs(5);
/// The first failures of a client's own attempts are those of the checkout before: begin with pauses of a second or so.
const FAILURES_AT_FIRST: u32 = 4;

/// A bundle whose server is away.
pub(super) struct Running {
    features: Vec<String>,
    phase: Phase,
    look_at: Instant,
}

enum Phase {
    /// No grace, and whether the application knows.
    Without,
    On {
        limit: Limit,
        spans: Spans,
        since: i64,
    },
    /// It was on and is no more; nothing begins again before the server was back.
    Over,
}

impl Running {
    pub(super) fn limit(&self) -> Option<Limit> {
        match &self.phase {
            Phase::On { limit, .. } => Some(*limit),
            _ => None,
        }
    }
}

/// Seats that were taken while no server answered: to be asked for again.
pub(super) struct Waiting {
    place: Arc<Place>,
    facts: Facts,
    share: Option<String>,
    again: bool,
    spans: Spans,
    since: i64,
    failures: u32,
    try_at: Instant,
}

impl Waiting {
    pub(super) fn new(place: &Arc<Place>, ask: &Checkout, again: bool, spans: Spans, since: i64) -> Waiting {
        Waiting {
            place: Arc::clone(place),
            facts: ask.facts.clone(),
            share: ask.share.clone(),
            again,
            spans,
            since,
            failures: FAILURES_AT_FIRST,
            try_at: Instant::now() + Backoff::default().delay(FAILURES_AT_FIRST),
        }
    }
}

impl Grace {
    /// Sees to it that somebody watches.
    pub(super) fn watch(self: &Arc<Grace>) {
        if !self.signal.begin_watch() {
            return self.signal.poke();
        }
        let grace = Arc::clone(self);
        let watch = thread::Builder::new().name("seatkeeper-grace".to_owned());
        // Without a thread grace ends with its hours, and running sessions have none.
        if watch.spawn(move || grace.keep_watch()).is_err() {
            self.signal.end_watch();
        }
    }

    fn keep_watch(self: Arc<Grace>) {
        while let Some(seen) = self.signal.next() {
            self.note_taken();
            let mut rest = TOUCH_EVERY;
            for link in &self.links {
                rest = rest.min(self.look_after_sessions(link));
            }
            rest = rest.min(self.look_after_seats());
            self.touch();
            self.signal.has_looked(seen);
            self.signal.wait(seen, rest);
        }
    }

    /// Returns how long nothing need be done for the sessions of this server.
    fn look_after_sessions(self: &Arc<Grace>, link: &Arc<Link>) -> Duration {
        self.settle(link);
        let Some((lost_at, lease, bundles)) = link.away() else { return TOUCH_EVERY };
        // Until then the server itself stands for the seats, and most are back by then.
        let rest = lease.saturating_sub(lost_at.elapsed());
        if !rest.is_zero() {
            return rest;
        }
        let since = self.clock.unix_seconds() - i64::try_from(lost_at.elapsed().as_secs()).unwrap_or(0);
        bundles.into_iter().map(|away| self.look_after(link, away, since)).min().unwrap_or(TOUCH_EVERY)
    }

    /// What is back, or gone.
    fn settle(self: &Arc<Grace>, link: &Arc<Link>) {
        let bundles: Vec<u64> = {
            let state = lock(&self.state);
            state
                .running
                .keys()
                .filter(|(index, _)| *index == link.index)
                .map(|(_, bundle)| *bundle)
                .collect()
        };
        for bundle in bundles {
            let reason = match link.standing(bundle) {
                Standing::Away => continue,
                Standing::Held => {
                    self.learn(link, bundle);
                    Some(GraceEnd::Back)
                }
                // Nobody is told where the application itself has let go.
                Standing::Gone => {
                    let why = self.signal.why_taken((link.index, bundle));
                    why.map(|message| GraceEnd::Denied { message })
                }
            };
            let running = lock(&self.state).running.remove(&(link.index, bundle));
            if let (Some(Running { features, phase: Phase::On { .. }, .. }), Some(reason)) = (running, reason)
            {
                self.tell(&Event::GraceEnded { bundle, features, reason });
            }
        }
    }

    /// One bundle whose lease has passed.
    fn look_after(&self, link: &Link, away: Away, since: i64) -> Duration {
        let Away { bundle, claimed } = away;
        let id = (link.index, bundle);
        let now = Instant::now();
        let (limit, look_at) = match lock(&self.state).running.get(&id) {
            Some(Running { phase: Phase::Over, .. }) => return TOUCH_EVERY,
            Some(running) => (running.limit(), Some(running.look_at)),
            None => (None, None),
        };
        if limit.is_some_and(|limit| self.is_over(&limit)) {
            self.end(id, GraceEnd::Over);
            return TOUCH_EVERY;
        }
        if look_at.is_some_and(|at| at > now) {
            let until_end = limit.and_then(|limit| limit.rest(&*self.clock)).unwrap_or(LOOK_EVERY);
            return look_at.map_or(LOOK_EVERY, |at| at - now).min(until_end);
        }
        if claimed.iter().any(|session| session.hours == 0) {
            return TOUCH_EVERY;
        }
        let answering = self.links.iter().find(|link| link.answers());
        if answering.is_some_and(|answering| answering.index == link.index) {
            // Its own server is back: the link resumes what it has there, and pokes.
            return RESUME_TIME;
        }
        let answered = answering.map(|link| link.address.to_string());
        if limit.is_some() {
            match answered {
                Some(server) => self.end(id, GraceEnd::Answered { server }),
                None => {
                    if let Some(running) = lock(&self.state).running.get_mut(&id) {
                        running.look_at = now + LOOK_EVERY;
                    }
                }
            }
            return Duration::ZERO;
        }
        let features: Vec<String> = claimed.iter().map(|session| session.feature.clone()).collect();
        let claims: Vec<_> =
            claimed.iter().map(|s| (key(&s.vendor, &s.feature), Claim::Session { since })).collect();
        let begun = match answered {
            Some(server) => Err(NoGrace::Answered(server).to_string()),
            None => self.begin(&claims),
        };
        let is_told = look_at.is_some();
        let phase = match &begun {
            Ok((limit, spans)) => Phase::On { limit: *limit, spans: spans.clone(), since },
            Err(_) => Phase::Without,
        };
        let running = Running { features: features.clone(), phase, look_at: now + LOOK_EVERY };
        lock(&self.state).running.insert(id, running);
        match begun {
            Ok((limit, _)) => self.tell_began(bundle, features, limit),
            Err(message) if !is_told => self.tell(&Event::NoGrace { bundle, features, message }),
            Err(_) => {}
        }
        Duration::ZERO
    }

    fn begin(&self, claims: &[(super::Key, Claim<'_>)]) -> Result<(Limit, Spans), String> {
        let none = || self.not_kept().unwrap_or_else(|| NoGrace::NotGiven.to_string());
        let store = self.store.as_ref().filter(|store| store.exists()).ok_or_else(none)?;
        let now = self.clock.unix_seconds();
        let begun = store.with(|book| {
            let begun = book.begin(now, claims);
            let is_begun = begun.is_ok();
            (begun, is_begun)
        })?;
        match begun {
            Ok((spans, left)) => Ok((Limit::after(&*self.clock, left), spans)),
            Err(NoGrace::NotGiven) => Err(none()),
            Err(no) => Err(no.to_string()),
        }
    }

    fn end(&self, id: (usize, u64), reason: GraceEnd) {
        let features = {
            let mut state = lock(&self.state);
            let Some(running) = state.running.get_mut(&id) else { return };
            running.phase = Phase::Over;
            running.features.clone()
        };
        self.tell(&Event::GraceEnded { bundle: id.1, features, reason });
    }

    /// Seats without a session on any server: asks for one, and ends what is over. Returns how long nothing need be done.
    fn look_after_seats(self: &Arc<Grace>) -> Duration {
        let mut waiting = std::mem::take(&mut lock(&self.state).seats);
        waiting.retain_mut(|seat| self.look_after_seat(seat));
        let now = Instant::now();
        let rest = |seat: &Waiting| {
            let until_end = seat.place.limit().and_then(|limit| limit.rest(&*self.clock));
            seat.try_at.saturating_duration_since(now).min(until_end.unwrap_or_default())
        };
        let rest = waiting.iter().map(rest).min().unwrap_or(TOUCH_EVERY);
        let mut state = lock(&self.state);
        // What was taken meanwhile stays behind what was there.
        waiting.append(&mut state.seats);
        state.seats = waiting;
        rest
    }

    /// Whether it still waits.
    fn look_after_seat(self: &Arc<Grace>, seat: &mut Waiting) -> bool {
        let Some(limit) = seat.place.limit() else { return false };
        let features = |items: &[Item]| super::features(items);
        if self.is_over(&limit) {
            if let Some(items) = seat.place.end() {
                self.tell(&Event::GraceEnded {
                    bundle: 0,
                    features: features(&items),
                    reason: GraceEnd::Over,
                });
            }
            return false;
        }
        if seat.try_at > Instant::now() {
            return true;
        }
        let Some(items) = seat.place.items() else { return false };
        // A new key for each attempt: one that got no answer is cancelled on its own (S26).
        let (Ok(request_key), Ok(secret)) = (client::draw(), client::draw()) else { return true };
        let ask = Checkout {
            request_key,
            secret: Secret(secret),
            items,
            facts: seat.facts.clone(),
            share: seat.share.clone(),
            ..Checkout::default()
        };
        // The application may let go of everything meanwhile: what is granted must be given back all the same.
        let _links = self.hold_links();
        let reason = match client::checkout(self, &ask, seat.again) {
            Ok((link, bundle)) => {
                if seat.place.settle(&link, bundle) {
                    let features = features(&ask.items);
                    self.tell(&Event::GraceEnded { bundle, features, reason: GraceEnd::Back });
                } else {
                    link.abandon(bundle, Instant::now() + DROP_TIMEOUT);
                }
                return false;
            }
            Err(CheckoutError::Denied(refusal)) if is_denial(&refusal.code) => {
                GraceEnd::Denied { message: refusal.to_string() }
            }
            Err(_) => {
                seat.failures += 1;
                seat.try_at = Instant::now() + Backoff::default().delay(seat.failures);
                return true;
            }
        };
        if let Some(items) = seat.place.end() {
            self.tell(&Event::GraceEnded { bundle: 0, features: features(&items), reason });
        }
        false
    }

    /// Once a minute: writes down what is in use, and ends what another program has heard denied.
    fn touch(&self) {
        let Some(store) = self.store.as_ref().filter(|store| store.exists()) else { return };
        let at = self.clock.running();
        let now = self.clock.unix_seconds();
        let (running, seats) = {
            let mut state = lock(&self.state);
            if state.touched_at.is_some_and(|touched| at < touched + TOUCH_EVERY) {
                return;
            }
            state.touched_at = Some(at);
            let running = state.running.iter().filter_map(|(id, running)| match &running.phase {
                Phase::On { spans, since, .. } => Some((*id, spans.clone(), *since)),
                _ => None,
            });
            let running: Vec<_> = running.collect();
            let seats: Vec<_> =
                state.seats.iter().map(|s| (Arc::clone(&s.place), s.spans.clone(), s.since)).collect();
            (running, seats)
        };
        let touched = store.with(|book| {
            let is_denied = |spans: &Spans, since: i64| {
                let denied_at = |key| book.entry(key).and_then(|entry| entry.denied_at);
                spans.iter().any(|(key, _)| denied_at(key).is_some_and(|at| at >= since))
            };
            let denied: Vec<_> = running.iter().filter(|(_, s, since)| is_denied(s, *since)).collect();
            let lost: Vec<_> = seats.iter().filter(|(_, s, since)| is_denied(s, *since)).collect();
            let used: Spans = running
                .iter()
                .map(|(_, spans, _)| spans)
                .chain(seats.iter().map(|(_, spans, _)| spans))
                .flatten()
                .cloned()
                .collect();
            let is_later = book.see(now);
            book.using(now, &used);
            ((denied, lost), is_later || !used.is_empty())
        });
        // If it cannot be written now, the hours that were begun stand on disk all the same.
        let Ok((denied, lost)) = touched else { return };
        let reason =
            || GraceEnd::Denied { message: "a license server has denied it to another program".to_owned() };
        denied.into_iter().for_each(|(id, _, _)| self.end(*id, reason()));
        for (place, _, _) in lost {
            if let Some(items) = place.end() {
                let features = super::features(&items);
                self.tell(&Event::GraceEnded { bundle: 0, features, reason: reason() });
            }
        }
    }
}
