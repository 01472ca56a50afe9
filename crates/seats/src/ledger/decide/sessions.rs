//! Sessions that are there: resume, checkin, removal, and what stays held of what is given back (S10, S24, S25, L62).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::tally::Part;
use super::super::usage::{Counted, client};
use super::super::{Bundle, ConnectionId, Gone, KEY_KEPT_MS, Ledger, Now, Session, Suspect};
use super::CheckinOutcome;
use super::draft::Draft;
use crate::change::{
    Barred, BundleId, Cause, Change, CheckedIn, Ended, Held, HoldId, PoolId, Release, SessionId, Spent, Tick,
    WaitCause, WaitEnded,
};
use crate::denial::{Code, Denial};
use crate::license::{KeyType, License, LicenseType};
use crate::maintenance::contact;
use crate::request::Facts;

impl Ledger {
    /// Whether a bundle may come back over a connection: id and secret, and the same program (S10).
    /// Changes nothing durable; the caller attaches it.
    pub fn decide_resume(
        &self,
        id: BundleId,
        secret: &[u8; 16],
        facts: &Facts,
        now: Now,
    ) -> Result<(), Box<Denial>> {
        facts.check_form().map_err(|text| Box::new(Denial::new(Code::BadRequest, text)))?;
        let Some(bundle) = self.state.bundle(id) else {
            // A session in the middle of a bundle is no bundle, but it is not gone either.
            let is_gone = self.state.was_granted(id) && self.state.session(id).is_none();
            return Err(if is_gone { self.already_removed(id) } else { unknown_session(id) });
        };
        // Both sides are hashes of 128 random bits: an early exit of the comparison tells nothing of use.
        if bundle.secret != *secret {
            return Err(unknown_session(id));
        }
        self.names.same_program(&bundle.facts, facts).map_err(|field| {
            let text = format!("the {field} is not the one that {id} was granted to: check out anew");
            Box::new(Denial::new(Code::BadRequest, text))
        })?;
        self.check_evaluation(id, bundle, now)
    }

    /// L39: a session under an evaluation does not come back once its connection has been gone for a lease after END.
    fn check_evaluation(&self, id: BundleId, bundle: &Bundle, now: Now) -> Result<(), Box<Denial>> {
        let lease_ms = self.presence.patience().lease_ms;
        let is_long_gone = |suspect: Suspect| suspect.since.saturating_add(lease_ms) <= now.tick;
        if !self.presence.suspect(id).is_some_and(is_long_gone) || self.state.borrow(id).is_some() {
            return Ok(());
        }
        for session in bundle.sessions() {
            let Some(license) = self.license_under(session) else { continue };
            if license.license_type != LicenseType::Evaluation {
                continue;
            }
            if let Some(end) = license.end.filter(|end| *end < now.day) {
                let text = format!(
                    "the evaluation ended on {end}, and the client of {id} was gone for too long since: buy a license at {}",
                    contact(license)
                );
                return Err(Box::new(Denial::new(Code::EvaluationExpired, text)));
            }
        }
        Ok(())
    }

    /// The license a session was granted under, as long as it is in the directory.
    fn license_under(&self, session: &Session) -> Option<&License> {
        let pool = self.state.pool(session.pool)?;
        let catalog = self.terms.catalog();
        let of = &catalog.features()[catalog.index_of(&pool.vendor, &pool.feature)?];
        let license = of.licenses.iter().find(|license| license.fingerprint == *session.license);
        license.map(|license| &**license)
    }

    /// Whether seats of a session may be given back by a connection: all, or `count` of them (S24).
    pub fn decide_checkin(
        &self,
        id: SessionId,
        count: Option<u32>,
        from: ConnectionId,
        now: Now,
    ) -> Result<CheckinOutcome, Box<Denial>> {
        let Some(((bundle, at), session)) = self.state.session(id) else { return Err(self.not_there(id)) };
        self.stands_alone(id, session)?;
        match self.presence.connection_of(bundle) {
            Some(holder) if holder == from => {}
            Some(_) => {
                let text = format!(
                    "another connection holds session {id}: resume its bundle {bundle} to take it over"
                );
                return Err(Box::new(Denial::new(Code::ResumedElsewhere, text)));
            }
            None => {
                let text =
                    format!("this connection does not hold session {id}: resume its bundle {bundle} first");
                return Err(Box::new(Denial::new(Code::UnknownSession, text)));
            }
        }
        let given = count.unwrap_or(session.count);
        if given == 0 || given > session.count {
            let text = format!("session {id} has {} seats, {given} cannot be given back", session.count);
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let remaining = session.count - given;
        if remaining > 0 && self.state.borrow(bundle).is_some() {
            let text = format!(
                "session {id} is borrowed, and its token is for {} seats: give back all of them, or none",
                session.count
            );
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let mut changes =
            Vec::from([Change::CheckedIn(CheckedIn { session: id, count: given, at: now.tick })]);
        let nobody = Draft::default();
        changes.extend(self.stays_held(bundle, at, session, remaining, [now.tick; 2], &nobody));
        Ok(CheckinOutcome { changes, given, remaining })
    }

    /// Whether a request that its client has no use for any more may be cancelled by its key (S26), whatever has become of it:
    /// what it took is given back, its place in the queue is given up, and a copy of it that arrives later takes nothing, also
    /// where the server has never heard of it. The next changes, to be applied in order before the next question; `None`: it is
    /// done. No connection need hold what it took: who knows the secret is its client.
    pub fn decide_cancel(
        &self,
        key: &[u8; 16],
        secret: &[u8; 16],
        now: Now,
    ) -> Result<Option<Vec<Change>>, Box<Denial>> {
        if let Some(id) = self.state.bundle_of_key(key) {
            let Some(bundle) = self.state.bundle(id).filter(|bundle| bundle.secret == *secret) else {
                return Err(super::another_secret());
            };
            let own = bundle.sessions().iter().find(|session| session.token().is_none());
            return Ok(own.map(|session| {
                let number = SessionId(id.0 + u64::from(session.nth));
                let gives = CheckedIn { session: number, count: session.count, at: now.tick };
                let mut changes = Vec::from([Change::CheckedIn(gives)]);
                changes.extend(self.stays_held(id, bundle, session, 0, [now.tick; 2], &Draft::default()));
                changes
            }));
        }
        if let Some(waiting) = self.state.waiter_of_key(key) {
            if waiting.secret != *secret {
                return Err(super::another_secret());
            }
            let ended = WaitEnded { waiter: waiting.waiter, cause: WaitCause::GivenUp };
            return Ok(Some(Vec::from([Change::WaitEnded(ended)])));
        }
        if self.spent_by(key, now).is_some() {
            return Ok(None);
        }
        let spent =
            Spent { bundle: self.state.next_session(), key: *key, cause: Cause::GivenUp, at: now.tick };
        Ok(Some(Vec::from([Change::Spent(spent)])))
    }

    /// What became of a request key that is used up and still remembered (S2).
    pub(super) fn spent_by(&self, key: &[u8; 16], now: Now) -> Option<BundleId> {
        let is_kept = |gone: &Gone| now.tick < gone.at.saturating_add(KEY_KEPT_MS);
        self.state.gone_of_key(key).filter(|(_, gone)| is_kept(gone)).map(|(bundle, _)| bundle)
    }

    /// The answer to a checkout whose key is used up (S2): what waited in vain is told so again.
    pub(super) fn used_up(&self, id: BundleId) -> Box<Denial> {
        let mut denial = self.already_removed(id);
        if self.state.gone(id).is_some_and(|gone| gone.cause == Cause::TimedOut) {
            denial.code = Code::QueueTimeout;
        }
        denial
    }

    /// What a token took goes with the token alone (L51).
    fn stands_alone(&self, id: SessionId, session: &Session) -> Result<(), Box<Denial>> {
        let Some(root) = self.root_of(id).filter(|_| session.token().is_some()) else { return Ok(()) };
        let text = format!("session {id} was taken by the token of session {root}: give that one back");
        Err(Box::new(Denial::new(Code::BadRequest, text)))
    }

    pub(super) fn not_there(&self, id: SessionId) -> Box<Denial> {
        if self.state.was_granted(id) { self.already_removed(id) } else { unknown_session(id) }
    }

    /// Whether an administrator may remove a session: it has to be there (S25). The vendor's HOLD and MIN_CHECKOUT bind
    /// the administrator too. Its user on its host get no seat of the feature for `bar_ms`; 0: they are not barred. The
    /// changes, to be applied in order.
    pub fn decide_release(
        &self,
        id: SessionId,
        by: &str,
        reason: &str,
        bar_ms: u64,
        now: Now,
    ) -> Result<Vec<Change>, Box<Denial>> {
        let Some(((bundle, of), session)) = self.state.session(id) else { return Err(self.not_there(id)) };
        self.stands_alone(id, session)?;
        if self.state.borrow(bundle).is_some() {
            // Its token goes on offline: the seat would be there twice (S42).
            let text = format!(
                "session {id} is borrowed and cannot be taken away before its time: `seatkeeper write-off {id}` notes that it \
                 will not be given back"
            );
            return Err(Box::new(Denial::new(Code::NotPermitted, text)));
        }
        let cause = Cause::Released(Box::new(Release { by: by.into(), reason: reason.into() }));
        let mut changes = self.ending(id, cause, now.tick, self.life_of(bundle, now));
        if bar_ms > 0
            && let Some(pool) = self.state.pool(session.pool)
        {
            changes.push(Change::Barred(Barred {
                vendor: pool.vendor.clone(),
                feature: pool.feature.clone(),
                client: client(self.names, &of.facts),
                until: now.tick.saturating_add(bar_ms),
                by: by.into(),
                reason: reason.into(),
            }));
        }
        Ok(changes)
    }

    /// A session ends, and what of it stays held from the client's last sign of life on (L62): changes to be applied in
    /// order. None where it is gone already.
    pub fn ending(&self, id: SessionId, cause: Cause, at: Tick, life: Tick) -> Vec<Change> {
        let Some(((bundle, of), session)) = self.state.session(id) else { return Vec::new() };
        let mut changes = Vec::from([Change::Ended(Ended { session: id, cause, at })]);
        changes.extend(self.stays_held(bundle, of, session, 0, [life, at], &Draft::default()));
        changes
    }

    /// Whether all seats of a session would be free at once if it ended now, after those that a draft ends: no HOLD or
    /// MIN_CHECKOUT of it is still running, counted from its last sign of life.
    pub(super) fn would_be_free(&self, root: SessionId, now: Now, draft: &Draft) -> bool {
        let Some(((bundle, of), session)) = self.state.session(root) else { return false };
        self.stays_held(bundle, of, session, 0, [self.life_of(bundle, now), now.tick], draft).is_empty()
    }

    /// From when on a session may be given away whose client is suspect: after its resume window or its lease (S21, S22), and
    /// after what its license and those of all that goes with it hold (L62). `None`: its client is there.
    pub(in crate::ledger) fn free_at(
        &self,
        id: BundleId,
        bundle: &Bundle,
        session: &Session,
    ) -> Option<Tick> {
        let suspect = self.presence.suspect(id)?;
        let together = bundle.with_dependents(session.token().unwrap_or(session.nth));
        let held = together.filter_map(|part| self.held_after(id, bundle, part)).max();
        Some(held.map_or(suspect.free_at, |until| until.max(suspect.free_at)))
    }

    /// Until when a lost client's seats of a session stay held, counted from its last sign of life; `None`: no HOLD or
    /// MIN_CHECKOUT of its license says so (L62).
    fn held_after(&self, id: BundleId, bundle: &Bundle, session: &Session) -> Option<Tick> {
        let license = self.terms.license_of(session.pool, &self.state)?;
        let root = match session.token() {
            Some(nth) => bundle.sessions().iter().find(|s| s.nth == nth)?,
            None => session,
        };
        self.held_until(
            id,
            bundle,
            root,
            0,
            session,
            license,
            self.presence.suspect(id)?.heard,
            &Draft::default(),
        )
    }

    /// The last sign of life of a bundle's client: now, while it is there (L62).
    fn life_of(&self, id: BundleId, now: Now) -> Tick {
        self.presence.suspect(id).map_or(now.tick, |suspect| suspect.heard)
    }

    /// L62: the seats that become free when a session has `left` of its seats from now on, and stay held. Those that a
    /// draft ends are gone before it. A token has no seats to hold; those of what it took are held by their own license.
    fn stays_held(
        &self,
        id: BundleId,
        bundle: &Bundle,
        session: &Session,
        left: u32,
        [life, at]: [Tick; 2],
        draft: &Draft,
    ) -> Vec<Change> {
        let mut held: Vec<Change> = Vec::new();
        let mut done: Vec<(PoolId, Part<'_>, Option<Part<'_>>)> = Vec::new();
        for part in bundle.with_dependents(session.nth) {
            let Some(license) = self.terms.license_of(part.pool, &self.state) else { continue };
            let holds = license.hold_ms().is_some() || license.min_checkout_ms().is_some();
            if !holds || license.key_type == KeyType::Token {
                continue;
            }
            let Some(pool) = self.state.pool(part.pool) else { continue };
            let share = part.share().map(|key| &**key);
            let after = part.count / session.count * left;
            let used = |done: &[(PoolId, Part<'_>, Option<Part<'_>>)]| {
                let of_pool = || done.iter().filter(|(of, ..)| *of == part.pool);
                let mut less = draft.less(part.pool);
                less.extend(of_pool().map(|(_, less, _)| *less));
                let more: Vec<Part<'_>> = of_pool().filter_map(|(.., more)| *more).collect();
                pool.tally.after(&less, &more)
            };
            let before = used(&done);
            done.push((part.pool, (share, part.count), (after > 0).then_some((share, after))));
            let freed = before.saturating_sub(used(&done));
            let until = self.held_until(id, bundle, session, left, part, license, life, draft);
            let (Ok(seats), Some(until)) = (u32::try_from(freed), until.filter(|until| *until > at)) else {
                continue;
            };
            if seats > 0 {
                held.push(Change::Held(Held {
                    hold: HoldId(self.state.next_hold().0 + held.len() as u64),
                    pool: part.pool,
                    seats,
                    user: bundle.facts.user.clone(),
                    host: bundle.facts.host.clone(),
                    client: client(self.names, &bundle.facts),
                    until,
                }));
            }
        }
        held
    }

    /// The later end of HOLD, which runs when the client has nothing of the feature left, and MIN_CHECKOUT.
    #[allow(clippy::too_many_arguments, reason = "one session's facts, gathered in the one caller")]
    fn held_until(
        &self,
        id: BundleId,
        bundle: &Bundle,
        session: &Session,
        left: u32,
        part: &Session,
        license: &License,
        life: Tick,
        draft: &Draft,
    ) -> Option<Tick> {
        let min = license.min_checkout_ms().map(|ms| bundle.since.saturating_add(ms));
        let hold = license.hold_ms().filter(|_| left == 0).map(|ms| life.saturating_add(ms));
        let hold = hold.filter(|_| {
            let of = Counted::Client(client(self.names, &bundle.facts));
            let pools = || {
                let pool = self.state.pool(part.pool);
                pool.map_or(&[][..], |pool| self.state.pools_of(&pool.vendor, &pool.feature)).iter()
            };
            let is_ending = |number: SessionId| {
                let nth = number.0.wrapping_sub(id.0);
                bundle.with_dependents(session.nth).any(|s| u64::from(s.nth) == nth)
                    || self.root_of(number).is_some_and(|root| draft.ends(root))
            };
            let others = |(_, pool): &(_, PoolId)| {
                self.usage.entry(*pool, &of).is_some_and(|e| e.sessions.iter().any(|n| !is_ending(*n)))
            };
            !pools().any(others)
        });
        min.max(hold)
    }

    /// S23: when and why, as far as it is remembered.
    pub(super) fn already_removed(&self, id: BundleId) -> Box<Denial> {
        let text = match self.state.gone(id).map(|g| &g.cause) {
            Some(Cause::CheckedIn) => format!("session {id} was given back"),
            Some(Cause::LeaseEnded) => {
                format!(
                    "session {id} ended: its client was gone for {} s",
                    self.presence.patience().reap_after_ms / 1000
                )
            }
            Some(Cause::Released(release)) if release.reason.is_empty() => {
                format!("session {id} was removed by {}", release.by)
            }
            Some(Cause::Released(release)) => {
                format!("session {id} was removed by {}: {}", release.by, release.reason)
            }
            Some(Cause::Reclaimed) => {
                format!("session {id} was given to somebody else while its client was gone")
            }
            Some(Cause::Idle) => {
                format!("session {id} was given to somebody else because nobody had used it for too long")
            }
            Some(Cause::Unconfirmed) => {
                format!("session {id} was given to somebody else: its client did not confirm it in time")
            }
            Some(Cause::GivenUp) => "the request was given up by its client".into(),
            Some(Cause::TimedOut) => "no seat came free in the time it was to wait".into(),
            Some(Cause::BorrowEnded) => format!("session {id} was borrowed and its time is over"),
            None => format!("session {id} is gone"),
        };
        let mut denial = Denial::new(Code::AlreadyRemoved, text);
        denial.ended = Some(id);
        denial.ended_unix_ms = self.state.gone(id).and_then(|gone| self.state.unix_ms_of(gone.at));
        Box::new(denial)
    }
}

fn unknown_session(id: SessionId) -> Box<Denial> {
    Box::new(Denial::new(Code::UnknownSession, format!("there is no session {id} under this secret")))
}
