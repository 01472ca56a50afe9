//! Seats that are lent for offline use, by bundle, by their end and by pool (S40); durable.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chrono::NaiveDate;

use crate::change::{Borrowed, BundleId, LentLicense, PoolId, SessionId, Tick, WrittenOff};
use crate::intern::Interned;
use crate::license::Signed;

/// A bundle whose seats are lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borrow {
    /// When it was lent, Unix seconds by the server's clock.
    pub from: i64,
    /// The first moment at which it is over, Unix seconds.
    pub until: i64,
    /// The day of the grant, in the server's zone as it was then; `None`: it was not kept then.
    pub first_day: Option<NaiveDate>,
    /// The last day it reaches into, in the server's zone as it was then (S41).
    pub last_day: NaiveDate,
    /// The tick before which it does not end while the server runs on (S42).
    pub due: Tick,
    /// What lends, for each session of the bundle in the order of their numbers, those that have ended included: its token is
    /// made of this again, though the files are gone.
    pub licenses: Vec<LentLicense>,
    /// What an administrator noted, for each session at most once.
    pub written_off: Vec<WrittenOff>,
}

impl Borrow {
    /// The note that a session of it will not be given back before its time.
    pub fn written_off(&self, session: SessionId) -> Option<&WrittenOff> {
        self.written_off.iter().find(|note| note.borrow == session)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Borrows {
    all: BTreeMap<BundleId, Box<Borrow>>,
    by_end: BTreeSet<(i64, BundleId)>,
    in_pool: BTreeSet<(PoolId, SessionId)>,
    /// Few licenses lend, and each of them often; the same of renewals.
    licenses: Interned<Signed>,
}

impl Borrows {
    pub(super) fn add(&mut self, borrowed: &Borrowed) {
        let mut share = |signed| self.licenses.share(signed);
        let licenses = borrowed.licenses.iter().map(|lent| LentLicense {
            signed: share(&lent.signed),
            renewals: lent.renewals.iter().map(&mut share).collect(),
            first_checkout: lent.first_checkout,
        });
        let licenses = licenses.collect();
        let Borrowed { bundle, from, until, first_day, last_day, due, .. } = *borrowed;
        self.by_end.insert((until, bundle));
        let borrow = Borrow { from, until, first_day, last_day, due, licenses, written_off: Vec::new() };
        self.all.insert(bundle, Box::new(borrow));
    }

    pub(super) fn remove(&mut self, id: BundleId) {
        if let Some(borrow) = self.all.remove(&id) {
            self.by_end.remove(&(borrow.until, id));
            for lent in &borrow.licenses {
                self.licenses.release(&lent.signed);
                lent.renewals.iter().for_each(|signed| self.licenses.release(signed));
            }
        }
    }

    /// A session of a borrowed bundle counts in a pool from now on.
    pub(super) fn enter(&mut self, pool: PoolId, session: SessionId) {
        self.in_pool.insert((pool, session));
    }

    /// It counts there no longer.
    pub(super) fn leave(&mut self, pool: PoolId, session: SessionId) {
        self.in_pool.remove(&(pool, session));
    }

    /// A later note takes the place of an earlier one.
    pub(super) fn write_off(&mut self, bundle: BundleId, note: &WrittenOff) {
        if let Some(borrow) = self.all.get_mut(&bundle) {
            borrow.written_off.retain(|n| n.borrow != note.borrow);
            borrow.written_off.push(note.clone());
        }
    }

    pub(super) fn get(&self, id: BundleId) -> Option<&Borrow> {
        // Nearly all servers lend nothing.
        if self.all.is_empty() {
            return None;
        }
        self.all.get(&id).map(|borrow| &**borrow)
    }

    /// Those first that end first.
    pub(super) fn by_end(&self) -> impl Iterator<Item = (i64, BundleId)> + '_ {
        self.by_end.iter().copied()
    }

    /// In the order of their numbers, from one on (inclusive).
    pub(super) fn from(&self, id: BundleId) -> impl Iterator<Item = (BundleId, &Borrow)> {
        self.all.range(id..).map(|(id, borrow)| (*id, &**borrow))
    }

    /// The sessions of a pool that are lent, in the order of their numbers.
    pub(super) fn of_pool(&self, pool: PoolId) -> impl Iterator<Item = SessionId> + '_ {
        self.in_pool.range((pool, SessionId(0))..=(pool, SessionId(u64::MAX))).map(|(_, session)| *session)
    }
}
