//! Who waits, who is held back by whom, and who is served: S30 to S33.
//!
//! After everything that happens all waiters are gone through in the order in which they came, again and again until
//! nobody can be served.

use super::judge::{Ask, Need, terms};
use super::{
    Denied, Held, Kind, Naive, PoolKey, Request, SEATS_MAX, ShareKey, UNLIMITED, Verdict, Which, same,
};

/// S31: so long a waiter has to say that it has what it was given.
const CONFIRM: u64 = 10_000;

/// Somebody who waits.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub number: u64,
    pub request: Request,
    pub since: u64,
    /// It gives up then.
    pub until: u64,
    /// The connection it is on.
    pub on: Option<u64>,
    /// Since when it is on none.
    pub gone: Option<u64>,
    /// When it began to wait again, after it had been given something.
    pub again: u64,
}

/// What was given to a waiter that has not confirmed it.
#[derive(Clone, Debug)]
pub struct Offer {
    pub bundle: u64,
    pub waiter: u64,
    pub until: u64,
}

/// What became of somebody who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Served(u64, u64),
    TakenBack(u64),
    TimedOut(u64),
    Reaped(u64),
}

impl Naive {
    /// Whether a waiter was given its seats.
    pub fn has_seats(&self, waiter: &Waiter) -> bool {
        self.held.iter().any(|h| h.key == waiter.request.key)
    }

    /// Whether it is there and wants seats: only then it is served, and holds others back.
    fn is_waiting(&self, waiter: &Waiter) -> bool {
        let is_there =
            |on: u64| self.connections.iter().any(|c| c.id == on && self.tick < c.heard + self.lease);
        waiter.on.is_some_and(is_there) && !self.has_seats(waiter)
    }

    /// S31: since when its client is away: on no connection, or on one that has been silent for a lease.
    fn gone_since(&self, waiter: &Waiter) -> Option<u64> {
        let Some(on) = waiter.on else { return waiter.gone };
        let silent = self.connections.iter().find(|c| c.id == on).map(|c| c.heard + self.lease)?;
        (silent <= self.tick).then_some(silent.max(waiter.again))
    }

    /// S30, S33: whether a checkout that was refused may wait.
    pub(super) fn wait(
        &mut self,
        request: &Request,
        ms: u64,
        on: u64,
        refused: Denied,
    ) -> Result<Verdict, Denied> {
        let may_pass = [
            "no_seats",
            "no_covered_seat",
            "reserved_for_others",
            "limit_user",
            "limit_host",
            "limit_group",
            "limit_project",
        ];
        if !may_pass.contains(&refused.code) {
            return Err(refused);
        }
        let full = Denied { code: "queue_full", nearest: None, ..refused };
        let wait: Vec<&Waiter> = self.waiters.iter().filter(|w| !self.has_seats(w)).collect();
        for wanted in &request.wanted {
            let of = |w: &&&Waiter| w.request.wanted.iter().any(|x| same(&x.feature, &wanted.feature));
            if wait.iter().filter(of).count() as u64 >= self.may_wait[0] {
                return Err(full);
            }
        }
        let own = wait.iter().filter(|w| w.request.program.install == request.program.install);
        if own.count() as u64 >= self.may_wait[1] {
            return Err(full);
        }
        let number = self.next_session;
        self.next_session += 1;
        self.waiters.push(Waiter {
            number,
            request: request.clone(),
            since: self.tick,
            until: self.tick + ms,
            on: Some(on),
            gone: None,
            again: 0,
        });
        Ok(Verdict::Waits(number))
    }

    pub(super) fn attach_waiter(&mut self, number: u64, on: u64) {
        for waiter in self.waiters.iter_mut().filter(|w| w.number == number) {
            (waiter.on, waiter.gone) = (Some(on), None);
        }
    }

    /// The client says that it has what it was given.
    pub fn confirm(&mut self, bundle: u64) {
        if let Some(key) = self.held.iter().find(|h| h.bundle == bundle).map(|h| h.key) {
            self.end_place(key);
        }
    }

    /// Whoever asked under this key waits no longer.
    pub fn end_place(&mut self, key: u64) {
        let ended = self.waiters.iter().position(|w| w.request.key == key);
        if let Some(waiter) = ended.map(|at| self.waiters.remove(at).number) {
            self.offers.retain(|offer| offer.waiter != waiter);
        }
    }

    /// Who gave up, or was sent away, may not come back with a late copy of what it asked.
    pub fn give_up(&mut self, key: u64) {
        self.end_place(key);
        if !self.held.iter().any(|h| h.key == key) {
            self.spent.push((key, self.tick));
        }
    }

    /// S26: nothing is to come of a request any more.
    pub fn cancel(&mut self, key: u64) {
        while let Some(own) = self.held.iter().find(|h| h.key == key && h.needed_by.is_none()) {
            self.check_in(own.session, None);
        }
        if self.waiters.iter().any(|w| w.request.key == key) {
            self.give_up(key);
        } else if !self.is_spent(key) {
            self.spent.push((key, self.tick));
            self.next_session += 1;
        }
    }

    /// The last session of a bundle has ended. Whether its client waits again, since it never said that it had it.
    pub(super) fn waits_again(&mut self, key: u64, bundle: u64) -> bool {
        self.offers.retain(|offer| offer.bundle != bundle);
        let tick = self.tick;
        let waiter = self.waiters.iter_mut().find(|w| w.request.key == key);
        if let Some(waiter) = waiter {
            waiter.gone = waiter.on.is_none().then_some(tick);
            waiter.again = tick;
            return true;
        }
        false
    }

    pub(super) fn lose_waiters(&mut self, connection: u64) {
        for at in 0..self.waiters.len() {
            if self.waiters[at].on == Some(connection) {
                let since = self.gone_since(&self.waiters[at]).unwrap_or(self.tick);
                (self.waiters[at].on, self.waiters[at].gone) = (None, Some(since));
            }
        }
    }

    /// S61: everybody keeps his place; that nobody is there means nothing for a whole lease.
    pub(super) fn restart_queue(&mut self) {
        self.offers.clear();
        for waiter in &mut self.waiters {
            (waiter.on, waiter.gone) = (None, Some(self.tick + self.lease));
        }
    }

    /// What is unconfirmed is taken back, whoever waited for too long goes, and everybody who can be is served.
    pub fn serve(&mut self) {
        let due: Vec<Offer> = self.offers.iter().filter(|o| o.until <= self.tick).cloned().collect();
        for offer in due {
            self.waiters.iter_mut().filter(|w| w.number == offer.waiter).for_each(|w| w.on = None);
            let of = self.held.iter().filter(|h| h.bundle == offer.bundle && h.needed_by.is_none());
            for session in of.map(|h| h.session).collect::<Vec<u64>>() {
                self.give_back(session, None, self.tick, self.tick);
            }
            self.queue.push(Happened::TakenBack(offer.bundle));
        }
        for waiter in self.waiters.clone() {
            if self.has_seats(&waiter) {
                continue;
            }
            let is_reaped = self.gone_since(&waiter).is_some_and(|gone| gone + self.patience <= self.tick);
            if waiter.until <= self.tick || is_reaped {
                self.waiters.retain(|w| w.number != waiter.number);
                let timed_out = waiter.until <= self.tick;
                let number = waiter.number;
                if timed_out {
                    self.waited_in_vain.push((waiter.request.key, self.tick));
                    self.spent.push((waiter.request.key, self.tick));
                }
                self.queue.push(if timed_out {
                    Happened::TimedOut(number)
                } else {
                    Happened::Reaped(number)
                });
            }
        }
        while self.serve_one() {}
    }

    fn serve_one(&mut self) -> bool {
        for waiter in self.waiters.clone() {
            if !self.is_waiting(&waiter) {
                continue;
            }
            let Ok((after, Verdict::Granted(sessions))) = self.look(&waiter.request) else { continue };
            *self = after;
            let bundle = sessions[0];
            self.attach(bundle, waiter.on.expect("it is there"));
            self.got(&waiter.request.program);
            self.offers.push(Offer { bundle, waiter: waiter.number, until: self.tick + CONFIRM });
            self.queue.push(Happened::Served(waiter.number, bundle));
            return true;
        }
        false
    }

    /// S30: whether a request that could be granted takes seats from somebody who came before it; `after` is everything
    /// with it granted.
    pub(super) fn held_back(&self, request: &Request, after: &Naive) -> Option<Denied> {
        let me = self.waiters.iter().find(|w| w.request.key == request.key).map(|w| w.number);
        let is_before = |w: &&Waiter| me.is_none_or(|me| w.number < me);
        // What ends for it would be there for the others as well.
        let mut without = self.clone();
        without.held.retain(|h| after.find(h.session).is_some());
        for new in after.held.iter().filter(|h| h.session >= self.next_session) {
            if new.pool.which == Which::Token {
                continue;
            }
            for waiter in self.waiters.iter().filter(is_before).filter(|w| self.is_waiting(w)) {
                if without.loses(waiter, new, after) {
                    let queued = self.waiters.iter().filter(is_before).filter(|w| !self.has_seats(w));
                    let queued = queued.filter(|w| self.wants(w, &new.pool)).count() as u64;
                    let feature = new.pool.feature.clone();
                    return Some(Denied { code: "no_seats", feature, queued, ..Denied::default() });
                }
            }
        }
        None
    }

    /// Whether a waiter could be given fewer seats of a new session's feature afterwards.
    fn loses(&self, waiter: &Waiter, new: &Held, after: &Naive) -> bool {
        let (vendor, feature) = (&new.pool.vendor, &new.pool.feature);
        if self.policy.is_fast(vendor, feature, &waiter.request.program) {
            return false;
        }
        let Some(mut reach) = self.could_have(&waiter.request) else { return false };
        reach.retain(|pool| pool.is_of(vendor, feature));
        reach.sort();
        reach.dedup();
        let seats = |world: &Naive| -> i128 {
            let mut sum = 0;
            for pool in &reach {
                let total = self.pool(pool).total;
                sum += i128::from(total.saturating_sub(world.used(pool) + world.kept_in(pool)));
            }
            let program = &waiter.request.program;
            for reserved in world.reservations(vendor, feature, program, waiter.request.booking) {
                sum -= if reserved.is_own { 0 } else { i128::from(reserved.left) };
            }
            sum
        };
        // Where there is no end of seats nobody waits.
        let is_endless = reach.iter().any(|pool| self.pool(pool).total == UNLIMITED);
        !is_endless && seats(self) > 0 && seats(after) < seats(self)
    }

    /// The pools that a request could be given seats of if enough were free. `None`: not all it wants, whatever were free.
    fn could_have(&self, request: &Request) -> Option<Vec<PoolKey>> {
        let is_booked = |token| self.bookings.iter().any(|b| b.token == token && b.until > self.tick);
        if request.booking.is_some_and(|token| !is_booked(token)) {
            return None;
        }
        let mut reach = Vec::new();
        for wanted in &request.wanted {
            reach.extend(self.could_take(&Ask {
                request,
                bundle: 0,
                vendor: self.vendor_of(wanted).ok()?,
                feature: wanted.feature.to_lowercase(),
                count: wanted.count,
                token: None,
            })?);
        }
        Some(reach)
    }

    fn could_take(&self, ask: &Ask<'_>) -> Option<Vec<PoolKey>> {
        if ask.count > SEATS_MAX || self.policy.is_denied(&ask.vendor, &ask.feature, &ask.request.program) {
            return None;
        }
        let mut all: Option<Vec<PoolKey>> = None;
        for pool in self.pools(&ask.vendor, &ask.feature) {
            let Some(license) = &pool.license else { continue };
            if ask.token.as_ref().is_some_and(|need| need.is_token != (license.kind == Kind::Token)) {
                continue;
            }
            let new = self.session_to_be(&pool, ask);
            let needed = ask.token.as_ref().map(|need| need.version);
            if self.under_limits(&new, ask).is_err() || terms(license, &ask.request.program, needed).is_some()
            {
                continue;
            }
            let here = match license.kind {
                Kind::Token if ask.token.is_some() => Some(Vec::new()),
                Kind::Token => {
                    let share =
                        new.share.clone().map(|key| ShareKey { token: Some(new.pool.clone()), ..key });
                    let needs = self.needs(license, ask.count);
                    let taken: Option<Vec<Vec<PoolKey>>> = needs
                        .into_iter()
                        .map(|need| {
                            self.could_take(&Ask {
                                feature: need.feature.clone(),
                                count: need.count,
                                token: Some(Need {
                                    session: 0,
                                    by: ask.feature.clone(),
                                    version: need.version,
                                    is_token: need.is_token,
                                    share: share.clone(),
                                }),
                                ..ask.clone()
                            })
                        })
                        .collect();
                    taken.map(|taken| taken.concat())
                }
                _ => (pool.total >= ask.count).then(|| vec![pool.key.clone()]),
            };
            if let Some(here) = here {
                all.get_or_insert_default().extend(here);
            }
        }
        all
    }

    /// Whether somebody waits for seats of a pool's feature, by itself or through a token (L51).
    fn wants(&self, waiter: &Waiter, pool: &PoolKey) -> bool {
        waiter.request.wanted.iter().any(|wanted| {
            let takes = |(vendor, feature): &(String, String)| {
                let token = self.pool(&PoolKey::new(vendor, feature, Which::Token)).license;
                let is_meant = same(feature, &wanted.feature) && same(vendor, &pool.vendor);
                is_meant
                    && token.is_some_and(|token| {
                        self.needs(&token, 1).iter().any(|need| same(&need.feature, &pool.feature))
                    })
            };
            same(&wanted.feature, &pool.feature) || self.features().iter().any(takes)
        })
    }

    /// S31: how many came before a waiter, at most over the features it wants.
    pub fn place_of(&self, waiter: &Waiter) -> u64 {
        let before: Vec<&Waiter> =
            self.waiters.iter().filter(|w| w.number < waiter.number && !self.has_seats(w)).collect();
        let of = |wanted: &super::Wanted| {
            let is_same = |w: &Waiter| w.request.wanted.iter().any(|x| same(&x.feature, &wanted.feature));
            let wants = |w: &Waiter| match self.vendor_of(wanted) {
                Ok(vendor) => {
                    is_same(w) || self.wants(w, &PoolKey::new(&vendor, &wanted.feature, Which::Exclusive))
                }
                Err(_) => is_same(w),
            };
            before.iter().filter(|w| wants(w)).count() as u64
        };
        waiter.request.wanted.iter().map(of).max().unwrap_or(0)
    }

    /// The moments after now at which something may happen by itself, if nobody does anything.
    pub(super) fn moments(&self) -> Vec<u64> {
        let mut all: Vec<u64> = Vec::new();
        for held in &self.held {
            let heard = match held.on.map(|on| self.connections.iter().find(|c| c.id == on)) {
                Some(connection) => connection.expect("it is open").heard,
                None => held.heard,
            };
            let closed = held.closed.unwrap_or(0);
            all.extend([heard + self.lease, heard + self.lease + self.patience]);
            all.extend([closed + super::RESUME_WINDOW, closed + self.patience]);
            if let Some(license) = self.pool(&held.pool).license {
                all.extend(license.hold.map(|seconds| heard + seconds * 1000));
                all.extend(license.least.map(|seconds| held.since + seconds * 1000));
            }
        }
        all.extend(self.kept.iter().map(|k| k.until));
        all.extend(self.bookings.iter().map(|b| b.until));
        all.extend(self.offers.iter().map(|o| o.until));
        all.extend(self.connections.iter().map(|c| c.heard + self.lease));
        for waiter in &self.waiters {
            all.push(waiter.until);
            all.extend(self.gone_since(waiter).map(|gone| gone + self.patience));
        }
        all.retain(|at| *at > self.tick);
        all
    }
}
