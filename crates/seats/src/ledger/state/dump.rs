//! The whole state as changes, for a snapshot: applied to an empty state they give this one.

use alloc::vec;
use alloc::vec::Vec;

use super::{Borrow, Bundle, Gone, Pool, Session, State};
use crate::change::{
    Borrowed, BorrowingClosed, BundleId, Change, ClockRead, Counters, DayServed, Granted, GrantedSession,
    PoolId, PoolSet, SessionId, Source, Spent, VersionSeen,
};
use crate::evaluate::Total;
use crate::license::{Fingerprint, KeyType};

/// Stands for the licenses of a pool that has none while its sessions are read back.
const PLACEHOLDER: Source = Source {
    fingerprint: Fingerprint([0; 32]),
    key_type: KeyType::Exclusive,
    sn: None,
    count: Total::ZERO,
    end: None,
};

impl State {
    /// The whole state as changes, in an order of its own: the same for equal states.
    pub fn dump(&self, out: &mut dyn FnMut(Change)) {
        out(Change::Counters(Counters {
            next_session: self.next_session,
            next_pool: self.next_pool,
            next_hold: self.holds.next,
            next_booking: self.bookings.next,
        }));
        // Before the day: it may have risen since.
        if let Some(reset) = &self.clock_reset {
            out(Change::ClockReset(reset.clone()));
        }
        self.notes.first_checkouts.all().for_each(|first| out(Change::FirstCheckout(first.clone())));
        self.notes.reminders().for_each(|reminded| out(Change::Reminded(reminded)));
        if let Some(from) = self.borrowing_closed {
            out(Change::BorrowingClosed(BorrowingClosed { from }));
        }
        if let Some(day) = self.day {
            out(Change::DayServed(DayServed { day }));
        }
        for (id, pool) in &self.pools {
            // A pool without sources would be forgotten before its sessions come: it is set again below.
            let sources = if pool.sources.is_empty() { vec![PLACEHOLDER] } else { pool.sources.clone() };
            out(Change::PoolSet(pool.as_set(*id, sources)));
        }
        for booked in self.bookings.all() {
            out(Change::Booked(booked.clone()));
        }
        for (id, bundle) in &self.bundles {
            out(Change::Granted(bundle.as_grant(*id)));
            if let Some(borrow) = self.borrows.get(*id) {
                out(Change::Borrowed(borrow.as_change(*id)));
                borrow.written_off.iter().for_each(|note| out(Change::WrittenOff(note.clone())));
            }
        }
        for barred in self.bars.all() {
            out(Change::Barred(barred.clone()));
        }
        for waiting in self.waiters.all() {
            out(Change::Waiting(waiting.clone()));
        }
        for held in self.holds.all() {
            out(Change::Held(held.clone()));
        }
        // After the grants: what is gone by now was seen too.
        for (id, pool) in &self.pools {
            if pool.highest.is_some() || !pool.tally.is_empty() {
                let highest = pool.highest.map(|(version, released)| (version.0, released));
                out(Change::VersionSeen(VersionSeen { pool: *id, highest }));
            }
        }
        for (id, pool) in self.pools.iter().filter(|(_, p)| p.sources.is_empty()) {
            out(Change::PoolSet(pool.as_set(*id, Vec::new())));
        }
        for id in &self.gone_order {
            if let Some(Gone { key, cause, at }) = self.gone.get(id) {
                out(Change::Spent(Spent { bundle: *id, key: *key, cause: cause.clone(), at: *at }));
            }
        }
        for (tick, unix_ms) in self.marks.range(self.oldest_mark_needed().unwrap_or(0)..) {
            out(Change::ClockRead(ClockRead { tick: *tick, unix_ms: *unix_ms }));
        }
    }
}

impl Pool {
    fn as_set(&self, pool: PoolId, sources: Vec<Source>) -> PoolSet {
        let (vendor, feature, kind) = (self.vendor.clone(), self.feature.clone(), self.kind.clone());
        PoolSet { pool, vendor, feature, kind, total: self.total, sources }
    }
}

impl Borrow {
    fn as_change(&self, bundle: BundleId) -> Borrowed {
        let Borrow { from, until, first_day, last_day, due, .. } = *self;
        Borrowed { bundle, from, until, first_day, last_day, due, licenses: self.licenses.clone() }
    }
}

impl Bundle {
    fn as_grant(&self, id: BundleId) -> Granted {
        let session = |s: &Session| GrantedSession {
            session: SessionId(id.0 + u64::from(s.nth)),
            pool: s.pool,
            count: s.count,
            license: *s.license,
            share: s.share().cloned(),
            token: s.token(),
            above_soft_limit: s.above_soft_limit,
            booking: s.booking(),
        };
        Granted {
            bundle: id,
            key: self.key,
            secret: self.secret,
            facts: self.facts.clone(),
            pid: self.pid,
            since: self.since,
            sessions: self.sessions().iter().map(session).collect(),
        }
    }
}
