//! Idle seats that somebody needs: whose client is to be warned, and whose seat is given away (S50, `idle D when wanted`).
//!
//! A checkout that is refused for want of seats is judged again as if the sessions that idle could go. Where even that
//! does not help, nobody hears of it. Else those that would have to go are warned, no others; and who was warned
//! [`IDLE_WARNING_MS`] ago and still idles does go.
//!
//! **Who wants a seat at the same time.** A warning counts for the client (user at host) whose refused request it was
//! given for, until that client is granted something or has not asked for twice [`IDLE_WARNING_MS`]; then for whoever
//! asks next. A refused request is met by what was warned for its own client and for nobody, then by sessions that are
//! not warned, and at last, where these are too few, by what is warned for others. So one who asks again and again warns
//! once, two who each need a seat warn two, and nobody is warned whom nobody needs. Two programs of one
//! client are one wish here: the second warns when the first has its seat. A seat whose warning has run out goes to
//! whoever asks first, whomever the warning counted for.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::usage::client;
use super::super::{IDLE_WARNING_MS, IdleMs, Ledger, Now};
use super::CheckoutOutcome;
use crate::change::{Cause, Change, Granted, PoolId, SessionId, Tick};
use crate::denial::{Code, Denial, Due};
use crate::license::KeyType;
use crate::request::{Checkout, Facts};

/// How many sessions of a pool are looked at for one refused checkout. In a larger pool the oldest make room.
const LOOKED_AT: usize = 4_096;

/// What a checkout that was refused for want of seats wants of those who idle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdleWish {
    /// Sessions whose clients are to be warned now.
    pub to_warn: Vec<SessionId>,
    /// What the request will be granted once they have gone, if nothing else changes; `None`: nobody is to be warned
    /// for it, or it has its seats.
    pub hoped: Option<Granted>,
    /// Milliseconds until then; only beside `hoped`.
    pub due_ms: u64,
    /// Warned before, and counted on now.
    counted_on: Vec<SessionId>,
    /// Warned before, and active since: the warning is void.
    woken: Vec<SessionId>,
}

impl IdleWish {
    /// The same where the request would be refused all the same, for a reason that the ledger does not know: nobody is
    /// to be warned for it.
    #[must_use]
    pub fn in_vain(self) -> IdleWish {
        IdleWish { woken: self.woken, ..IdleWish::default() }
    }

    /// Adds to the denial when the seats of those who idle are due, unless one is due sooner.
    pub fn tell(&self, denial: &mut Denial) {
        let Some(subject) = denial.subject.as_mut().filter(|_| self.hoped.is_some()) else { return };
        if subject.due.and_then(Due::in_ms).is_none_or(|ms| ms > self.due_ms) {
            subject.due = Some(Due::IdleEnds(self.due_ms));
        }
    }
}

/// A session that has been idle for as long as the policy lets it.
#[derive(Clone, Copy, Debug)]
struct Idler {
    idle_ms: u64,
    session: SessionId,
    /// When it may go; `None`: its client is not warned.
    ready: Option<Tick>,
    for_another: bool,
}

impl Ledger {
    /// A checkout that was refused, judged again: if it was for want of seats, sessions that idle and whose clients were
    /// warned [`IDLE_WARNING_MS`] ago make room, as few as needed, the longest idle first. If it is refused still, who
    /// is to be warned for it (see the module); the caller hands that to [`Ledger::note_wish`], and tells the clients.
    ///
    /// A session that a token took goes with the token alone, and is not idle by itself.
    pub fn decide_with_idle(
        &self,
        request: &Checkout,
        now: Now,
        idle: IdleMs<'_>,
        refused: Box<Denial>,
    ) -> (Result<CheckoutOutcome, Box<Denial>>, IdleWish) {
        let mut wish = IdleWish::default();
        let is_full = matches!(refused.code, Code::NoSeats | Code::NoCoveredSeat);
        if !is_full || self.usage.policy.is_open() || !self.usage.policy.has_idle() {
            return (Err(refused), wish);
        }
        let idlers = self.idlers(request, now, idle, &mut wish);
        let with = |sessions: &[SessionId]| self.decide_anew(request, now, sessions);
        let is_ready = |idler: &Idler| idler.ready.is_some_and(|tick| tick <= now.tick);
        let ready: Vec<SessionId> = idlers.iter().filter(|i| is_ready(i)).map(|i| i.session).collect();
        let mut denial = refused;
        if !ready.is_empty() {
            match with(&ready) {
                Ok(granted) => return (Ok(granted), wish),
                Err(nearer) => denial = nearer,
            }
        }
        // First what is warned for this client or nobody, then what is not warned, at last what is warned for others.
        let rank = |idler: &Idler| match idler.ready {
            Some(_) if idler.for_another => 2,
            Some(_) => 0,
            None => 1,
        };
        let mut may_go: Vec<SessionId> = Vec::new();
        for turn in 0..3 {
            let before = may_go.len();
            may_go.extend(idlers.iter().filter(|i| rank(i) == turn).map(|i| i.session));
            if may_go.len() == before || may_go == ready {
                continue;
            }
            if let Ok(CheckoutOutcome::Grant { before, granted, .. }) = with(&may_go) {
                let goes: BTreeSet<SessionId> = before.iter().filter_map(gone_for_idling).collect();
                wish.want(idlers.iter().filter(|i| goes.contains(&i.session)), now);
                wish.hoped = Some(granted);
                break;
            }
        }
        (Err(denial), wish)
    }

    /// Keeps in mind who is warned from now on, and for whom: in memory alone, at most one warning for each session.
    pub fn note_wish(&mut self, wish: &IdleWish, of: &Facts, now: Now) {
        wish.woken.iter().for_each(|session| self.presence.woke(*session));
        let by = client(self.names, of);
        for session in wish.to_warn.iter().chain(&wish.counted_on) {
            self.presence.warn(*session, &by, now.tick);
        }
    }

    /// A client was granted something: what was warned for it counts for others.
    pub(in crate::ledger) fn wish_is_granted(&mut self, of: &Facts) {
        if !self.presence.nobody_is_warned() {
            self.presence.wants_no_more(&client(self.names, of));
        }
    }

    /// The sessions in the pools of a checkout that have been idle for as long as the policy lets them, the longest idle
    /// first.
    fn idlers(&self, request: &Checkout, now: Now, idle: IdleMs<'_>, wish: &mut IdleWish) -> Vec<Idler> {
        let by = client(self.names, &request.facts);
        let mut idlers: Vec<Idler> = Vec::new();
        for at in self.features_wanted(request, now) {
            let feature = &self.terms.catalog().features()[at];
            if !self.usage.policy.of(&feature.vendor, &feature.feature).has_idle() {
                continue;
            }
            for (pool, _) in self.seat_pools(at) {
                self.look_at(pool, now, idle, &by, wish, &mut idlers);
            }
        }
        idlers.sort_unstable_by_key(|idler| (u64::MAX - idler.idle_ms, idler.session));
        idlers
    }

    /// The features of a request and those that their tokens take from, by their index in the catalog; each once.
    fn features_wanted(&self, request: &Checkout, now: Now) -> BTreeSet<usize> {
        let catalog = self.terms.catalog();
        let mut wanted = BTreeSet::new();
        for item in &request.items {
            let (first, same_name) = catalog.find(&item.feature);
            for (at, feature) in (first..).zip(same_name) {
                wanted.insert(at);
                for (_, token) in self.terms.pools(at).filter(|(_, l)| l.key_type == KeyType::Token) {
                    let license = feature.licenses.iter().position(|l| Arc::ptr_eq(l, token));
                    let needs = license.and_then(|license| catalog.token_needs(at, license, now.day));
                    wanted.extend(needs.into_iter().flatten().filter_map(|need| need.feature));
                }
            }
        }
        wanted
    }

    fn look_at(
        &self,
        pool: PoolId,
        now: Now,
        idle: IdleMs<'_>,
        by: &str,
        wish: &mut IdleWish,
        idlers: &mut Vec<Idler>,
    ) {
        let Some(there) = self.state.pool(pool) else { return };
        let rules = self.usage.policy.of(&there.vendor, &there.feature);
        for session in self.state.sessions_of(pool).take(LOOKED_AT) {
            let Some(((id, bundle), part)) = self.state.session(session) else { continue };
            // What is lent is in use elsewhere, whatever the one who holds the connection does (S40).
            let may_idle = part.token().is_none() && self.state.borrow(id).is_none();
            let idle_ms = self.presence.connection_of(id).and_then(idle).filter(|_| may_idle);
            let Some(idle_ms) = idle_ms else { continue };
            let Some((_, idle_max)) = rules.idle(&self.usage.class(&bundle.facts)) else { continue };
            let mut warned = self.presence.warned_at(session);
            if warned.is_some_and(|at| idle_ms < now.tick.saturating_sub(at)) {
                wish.woken.push(session);
                warned = None;
            }
            if idle_ms >= idle_max {
                idlers.push(Idler {
                    idle_ms,
                    session,
                    ready: warned.map(|at| at.saturating_add(IDLE_WARNING_MS)),
                    for_another: self.presence.is_warned_for_another(session, by, now.tick),
                });
            }
        }
    }
}

impl IdleWish {
    /// These have to go for it.
    fn want<'a>(&mut self, needed: impl Iterator<Item = &'a Idler>, now: Now) {
        for idler in needed {
            let due_ms = idler.ready.map_or(IDLE_WARNING_MS, |tick| tick.saturating_sub(now.tick));
            // The request has its seats when the last of them has gone.
            self.due_ms = self.due_ms.max(due_ms);
            match idler.ready {
                None => self.to_warn.push(idler.session),
                Some(_) if !idler.for_another => self.counted_on.push(idler.session),
                Some(_) => {}
            }
        }
    }
}

fn gone_for_idling(change: &Change) -> Option<SessionId> {
    match change {
        Change::Ended(ended) if ended.cause == Cause::Idle => Some(ended.session),
        _ => None,
    }
}
