//! Pictures for readers: what a grant, a session or a feature looks like now. Copies, bounded by what was asked for.

use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::{ConnectionId, Highest, Ledger, Suspect};
use crate::change::{BundleId, LentLicense, PoolId, PoolKind, SessionId, Tick, WrittenOff};
use crate::evaluate::Total;
use crate::license::{License, Name};
use crate::request::Facts;

/// One session of a grant, as its client is told.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionGrant {
    /// Its number.
    pub session: SessionId,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Seats.
    pub count: u32,
    /// Whether its seats lay above the soft limit when it was granted (L61).
    pub above_soft_limit: bool,
    /// The license it was granted under, as long as it is in the directory.
    pub license: Option<Arc<License>>,
    /// Where it is lent: what the vendor signed of the license that lends, also when that is gone (S40).
    pub lends: Option<LentLicense>,
}

/// A bundle, as its client is told.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantView {
    /// Its number.
    pub bundle: BundleId,
    /// What is left of it.
    pub sessions: Vec<SessionGrant>,
    /// Where it is lent: to whom and how long.
    pub lent: Option<LentView>,
}

/// To whom a bundle is lent and how long, as its client is told and its tokens say (S40).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LentView {
    /// As he stated it.
    pub facts: Arc<Facts>,
    /// When, Unix seconds.
    pub from: i64,
    /// The first moment at which it is over, Unix seconds.
    pub until: i64,
    /// The day of the grant and the last day it reaches into, in the server's zone as it was then; `None`: the first was not
    /// kept then.
    pub days: Option<(NaiveDate, NaiveDate)>,
}

/// A borrow for a list.
#[derive(Clone, Debug, PartialEq)]
pub struct BorrowView {
    /// Its session, which is its number too.
    pub session: SessionId,
    /// The bundle it is in.
    pub bundle: BundleId,
    /// The pool its seats are from.
    pub pool: PoolId,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Seats.
    pub count: u32,
    /// Who has it.
    pub facts: Arc<Facts>,
    /// When it was lent, Unix seconds.
    pub from: i64,
    /// The first moment at which it is over, Unix seconds.
    pub until: i64,
    /// That it will not be given back before.
    pub written_off: Option<WrittenOff>,
}

/// Whether a session's client is there (S20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// Connected, and heard within the lease.
    Active,
    /// Lent until then, Unix seconds: whether its client is heard means nothing (S40).
    Borrowed(i64),
    /// It is not heard.
    Suspect(Suspect),
}

/// One session for a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// Its number.
    pub session: SessionId,
    /// The bundle it is in.
    pub bundle: BundleId,
    /// The pool its seats are from.
    pub pool: PoolId,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Seats.
    pub count: u32,
    /// The token session that took it (L51); `None`: it stands for itself.
    pub token: Option<SessionId>,
    /// Whether it shares its seats with others (L60).
    pub is_shared: bool,
    /// Whether its seats lay above the soft limit when it was granted (L61).
    pub above_soft_limit: bool,
    /// Who has it.
    pub facts: Arc<Facts>,
    /// The process.
    pub pid: u32,
    /// The instant of the checkout, milliseconds since 1970.
    pub since_unix_ms: Option<i64>,
    /// Whether its client is there.
    pub presence: Presentation,
    /// From when on its seats may be given to whoever needs them, HOLD and MIN_CHECKOUT counted (S22, L62); `None`: its
    /// client is there, or it is lent.
    pub free_at: Option<Tick>,
    /// The connection it is on.
    pub connection: Option<ConnectionId>,
    /// When its client was last heard, if that is known here: for one that is connected, its connection knows. `None` also
    /// for one that was not heard since the start.
    pub heard: Option<Tick>,
}

/// The changing numbers of one pool; everything else about it a reader works out from the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Which.
    pub pool: PoolId,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Which of the feature's pools.
    pub kind: PoolKind,
    /// What the licenses grant.
    pub total: Total,
    /// Seats of its sessions.
    pub used: u64,
    /// The part of them whose client is connected.
    pub active: u64,
    /// The part of them that is lent (S40).
    pub borrowed: u64,
    /// Given back, not yet free (L62).
    pub held: u64,
    /// The tick at which the first of them are free.
    pub held_until: Option<Tick>,
    /// Kept for others and unused (S6).
    pub reserved: u64,
    /// The highest version that had a seat of it since its license came, and when that was released.
    pub highest: Option<Highest>,
}

impl Ledger {
    /// What the client of a bundle is told; `None` where it is gone.
    pub fn grant_view(&self, id: BundleId) -> Option<GrantView> {
        let bundle = self.state.bundle(id)?;
        let borrow = self.state.borrow(id);
        let session = |s: &super::Session| {
            let pool = self.state.pool(s.pool)?;
            let feature = self
                .terms
                .catalog()
                .index_of(&pool.vendor, &pool.feature)
                .map(|at| &self.terms.catalog().features()[at]);
            let license = feature
                .and_then(|f| f.licenses.iter().find(|l| l.fingerprint == *s.license && l.refusal.is_none()));
            Some(SessionGrant {
                session: SessionId(id.0 + u64::from(s.nth)),
                vendor: pool.vendor.clone(),
                feature: pool.feature.clone(),
                count: s.count,
                above_soft_limit: s.above_soft_limit,
                license: license.cloned(),
                lends: borrow.and_then(|borrow| borrow.licenses.get(usize::from(s.nth))).cloned(),
            })
        };
        // What a token took goes with the token: its client holds the token (L51).
        let own = bundle.sessions().iter().filter(|s| s.token().is_none());
        let lent = borrow.map(|b| LentView {
            facts: bundle.facts.clone(),
            from: b.from,
            until: b.until,
            days: b.first_day.map(|first| (first, b.last_day)),
        });
        Some(GrantView { bundle: id, sessions: own.filter_map(session).collect(), lent })
    }

    /// What is lent, in the order of the grants, after `after` (exclusive), at most `limit`.
    pub fn borrows_page(&self, after: Option<SessionId>, limit: usize) -> Vec<BorrowView> {
        let from = after.map_or(SessionId(0), |s| SessionId(s.0.saturating_add(1)));
        let mut page = Vec::new();
        for (id, borrow) in self.state.borrows_from(self.state.bundle_reaching(from)) {
            let Some(bundle) = self.state.bundle(id) else { continue };
            for s in bundle.sessions() {
                let session = SessionId(id.0 + u64::from(s.nth));
                let Some(pool) = self.state.pool(s.pool).filter(|_| session >= from) else { continue };
                if page.len() >= limit {
                    return page;
                }
                page.push(BorrowView {
                    session,
                    bundle: id,
                    pool: s.pool,
                    vendor: pool.vendor.clone(),
                    feature: pool.feature.clone(),
                    count: s.count,
                    facts: bundle.facts.clone(),
                    from: borrow.from,
                    until: borrow.until,
                    written_off: borrow.written_off(session).cloned(),
                });
            }
        }
        page
    }

    /// Sessions in the order of their grants, after `after` (exclusive), at most `limit`.
    pub fn sessions_page(&self, after: Option<SessionId>, limit: usize) -> Vec<SessionView> {
        let from = after.map_or(SessionId(0), |s| SessionId(s.0.saturating_add(1)));
        // The bundle of `after` may have more sessions, also when that session is gone by now.
        let first = self.state.bundle_reaching(from);
        let mut page = Vec::new();
        for (id, bundle) in self.state.bundles_between(first, SessionId(u64::MAX)) {
            for s in bundle.sessions() {
                let session = SessionId(id.0 + u64::from(s.nth));
                let Some(pool) = self.state.pool(s.pool).filter(|_| session >= from) else { continue };
                if page.len() >= limit {
                    return page;
                }
                page.push(SessionView {
                    session,
                    bundle: id,
                    pool: s.pool,
                    vendor: pool.vendor.clone(),
                    feature: pool.feature.clone(),
                    count: s.count,
                    token: s.token().map(|nth| SessionId(id.0 + u64::from(nth))),
                    is_shared: s.share().is_some(),
                    above_soft_limit: s.above_soft_limit,
                    facts: bundle.facts.clone(),
                    pid: bundle.pid,
                    since_unix_ms: self.state.unix_ms_of(bundle.since),
                    presence: match (self.state.borrow(id), self.presence.suspect(id)) {
                        (Some(borrow), _) => Presentation::Borrowed(borrow.until),
                        (None, Some(suspect)) => Presentation::Suspect(suspect),
                        (None, None) => Presentation::Active,
                    },
                    free_at: self.free_at(id, bundle, s),
                    connection: self.presence.connection_of(id),
                    heard: self.presence.last_heard(id),
                });
            }
        }
        page
    }

    /// The numbers of every pool, in the order of their numbers.
    pub fn counters(&self) -> Vec<Counters> {
        let counters = |(id, pool): (PoolId, &super::Pool)| Counters {
            pool: id,
            vendor: pool.vendor.clone(),
            feature: pool.feature.clone(),
            kind: pool.kind.clone(),
            total: pool.total,
            used: pool.used(),
            active: self.presence.active(id),
            borrowed: pool.borrowed,
            held: pool.held,
            held_until: if pool.held == 0 {
                None
            } else {
                self.state.holds_in(id).map(|held| held.until).min()
            },
            reserved: self.reserved_in(id, pool),
            highest: pool.highest,
        };
        self.state.pools_after(None).map(counters).collect()
    }
}
