//! May they? Looks at everything, mutates nothing (S1 to S5, S10, S24).
//!
//! The tests run in the order of S3: form, the feature is served, policy (access, limits), license terms, seats. Each
//! has a file of its own; [`judge`] goes through them for one feature, pool by pool, and what a request takes on the
//! way is kept in a [`Draft`], so that a later feature of the same request meets what an earlier one took.

mod book;
mod clock;
mod denials;
mod draft;
mod explain;
mod idle;
mod judge;
mod kept;
mod lend;
mod limits;
mod queue;
mod reclaim;
mod release;
mod seats;
mod sessions;
mod terms;
mod token;
mod update;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use book::BookRequest;
pub use explain::{Explanation, LimitUse, PoolVerdict, ReservationUse, Verdict};
pub use idle::IdleWish;
pub use lend::LENT_BYTES_MAX;
pub use queue::Served;
pub(super) use terms::share_key;
pub use update::{
    Advice, CANDIDATES_MAX, Candidate, CandidateAnswer, UpdateAnswer, UpdateQuestion, WillNotRun,
};

use self::draft::Draft;
use self::judge::{Asked, Want};
use super::{Ledger, Now};
use crate::change::{Borrowed, BundleId, Change, Granted, GrantedSession, PoolId, SessionId};
use crate::denial::{Code, Denial, Numbers};
use crate::request::Checkout;

/// What a checkout comes to, if it is not denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckoutOutcome {
    /// Seats are free, or held for this very client, or can be taken from one who is gone: apply `before` in order, then
    /// the grant, then that it is lent, all in one batch.
    Grant {
        /// Sessions that end for it, and held seats that it uses up.
        before: Vec<Change>,
        /// The grant.
        granted: Granted,
        /// Its seats are lent (S40); `None`: an ordinary checkout.
        lent: Option<Box<Borrowed>>,
    },
    /// The same request key has this bundle already; it takes no second seat (S2).
    Replay(BundleId),
    /// The same request key waits already, in the queue's order (S31).
    Waits(SessionId),
}

/// What a checkin comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckinOutcome {
    /// Apply these in order: the checkin, and what stays held (L62).
    pub changes: Vec<Change>,
    /// Seats given back.
    pub given: u32,
    /// Seats the session still has.
    pub remaining: u32,
}

impl Ledger {
    /// Whether a checkout is granted, all of it or nothing (S1, S3). The caller has brought every feature it
    /// names up to date with [`Ledger::refresh`].
    pub fn decide_checkout(&self, request: &Checkout, now: Now) -> Result<CheckoutOutcome, Box<Denial>> {
        self.decide_checkout_from(request, now, &[])
    }

    /// The same, where these idle sessions may be given away for it, those first that stand first (see
    /// [`Ledger::decide_with_idle`]).
    pub(super) fn decide_checkout_from(
        &self,
        request: &Checkout,
        now: Now,
        idle: &[SessionId],
    ) -> Result<CheckoutOutcome, Box<Denial>> {
        if let Some(bundle) = self.state.bundle_of_key(&request.key) {
            return self.replay(bundle, request);
        }
        if let Some(waiting) = self.state.waiter_of_key(&request.key) {
            return match waiting.secret == request.secret && request.lend.is_none() {
                true => Ok(CheckoutOutcome::Waits(waiting.waiter)),
                false => Err(another_secret()),
            };
        }
        if let Some(bundle) = self.spent_by(&request.key, now) {
            return Err(self.used_up(bundle));
        }
        self.decide_anew(request, now, idle)
    }

    /// The same for a request whose key has no bundle: it may wait already, and then only who came before it counts.
    pub(super) fn decide_anew(
        &self,
        request: &Checkout,
        now: Now,
        idle: &[SessionId],
    ) -> Result<CheckoutOutcome, Box<Denial>> {
        let draft = self.find_seats(request, now, idle)?;
        let me = self.state.waiter_of_key(&request.key).map(|waiting| waiting.waiter);
        self.check_held_back(request, &draft, me, now)?;
        self.grant(request, &draft, now)
    }

    fn grant(&self, request: &Checkout, draft: &Draft, now: Now) -> Result<CheckoutOutcome, Box<Denial>> {
        let first = self.state.next_session();
        let number = |nth: usize| SessionId(first.0 + nth as u64);
        let sessions = draft.taken.iter().enumerate().map(|(nth, taken)| GrantedSession {
            session: number(nth),
            pool: taken.pool,
            count: taken.count,
            license: taken.license,
            share: taken.share.clone(),
            token: taken.token,
            above_soft_limit: taken.above_soft_limit,
            booking: taken.booking,
        });
        let granted = Granted {
            bundle: first,
            key: request.key,
            secret: request.secret,
            facts: request.facts.clone(),
            pid: request.pid,
            since: now.tick,
            sessions: sessions.collect(),
        };
        let lent = request.lend.map(|lend| self.lent(&granted, &lend, now)).transpose()?;
        let mut before = draft.before(now.tick);
        before.extend(self.begins_with(&granted, now).into_iter().map(Change::FirstCheckout));
        Ok(CheckoutOutcome::Grant { before, granted, lent })
    }

    /// Answers as a checkout would and takes nothing (S5): the numbers of each pool as they are.
    pub fn decide_try(&self, request: &Checkout, now: Now) -> Result<Vec<(PoolId, Numbers)>, Box<Denial>> {
        let draft = self.find_seats(request, now, &[])?;
        self.check_held_back(request, &draft, None, now)?;
        let own = draft.taken.iter().filter(|taken| taken.token.is_none());
        Ok(own.map(|taken| (taken.pool, self.numbers(taken.pool))).collect())
    }

    /// S3 for each item, in the order they were named; seats that an earlier item of the request takes are taken.
    fn find_seats(&self, request: &Checkout, now: Now, idle: &[SessionId]) -> Result<Draft, Box<Denial>> {
        request.check_form().map_err(|text| Box::new(Denial::new(Code::BadRequest, text)))?;
        let class = self.usage.class(&request.facts);
        let asked = Asked { facts: &request.facts, class: &class, now, lend: request.lend.as_ref() };
        let mut draft = Draft { idle: idle.to_vec(), ..Draft::default() };
        for item in &request.items {
            let at = self.find_feature(item)?;
            let feature = &self.terms.catalog().features()[at];
            let booking = self.booking_for(request.booking.as_ref(), feature, now)?;
            let want = Want {
                at,
                feature,
                name: &item.feature,
                count: item.count,
                rules: self.usage.policy.of(&feature.vendor, &feature.feature),
                version: None,
                token: None,
                booking,
            };
            self.judge(&want, &asked, &mut draft)?;
        }
        Ok(draft)
    }

    /// The same request key again: the same answer to the same program, nobody else's (S2).
    fn replay(&self, id: BundleId, request: &Checkout) -> Result<CheckoutOutcome, Box<Denial>> {
        match self.state.bundle(id) {
            Some(bundle) if bundle.secret == request.secret => {
                // Whoever asked for a token and gets none would not know that it has an ordinary seat.
                if request.lend.is_some() && self.state.borrow(id).is_none() {
                    let text = "this request key was used for a checkout that is no borrow: draw a new key";
                    return Err(Box::new(Denial::new(Code::BadRequest, text)));
                }
                Ok(CheckoutOutcome::Replay(id))
            }
            _ => Err(another_secret()),
        }
    }
}

fn another_secret() -> Box<Denial> {
    let text = "this request key was used with another secret: draw a new key for each checkout";
    Box::new(Denial::new(Code::BadRequest, text))
}
