//! Seats that are given back and not yet free, and seats kept for whoever presents a token (L62, S52).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use crate::change::{Booked, BookingId, Held, HoldId, PoolId, Tick};
use crate::license::Name;

/// Every hold, found by its client and by its end.
#[derive(Debug, Default)]
pub(super) struct Holds {
    by_id: BTreeMap<HoldId, Box<Held>>,
    by_client: BTreeSet<(PoolId, Arc<str>, HoldId)>,
    by_end: BTreeSet<(Tick, HoldId)>,
    pub(super) next: u64,
}

impl Holds {
    pub(super) fn add(&mut self, held: &Held) {
        self.by_client.insert((held.pool, held.client.clone(), held.hold));
        self.by_end.insert((held.until, held.hold));
        self.by_id.insert(held.hold, Box::new(held.clone()));
        self.next = self.next.max(held.hold.0 + 1);
    }

    /// Takes seats off a hold; the last takes it away. Returns the pool they were of.
    pub(super) fn less(&mut self, id: HoldId, seats: u32) -> Option<PoolId> {
        let held = self.by_id.get_mut(&id)?;
        let pool = held.pool;
        held.seats = held.seats.checked_sub(seats).expect("no more seats are freed than are held");
        if held.seats == 0
            && let Some(held) = self.by_id.remove(&id)
        {
            self.by_client.remove(&(held.pool, held.client.clone(), id));
            self.by_end.remove(&(held.until, id));
        }
        Some(pool)
    }

    pub(super) fn get(&self, id: HoldId) -> Option<&Held> {
        self.by_id.get(&id).map(|held| &**held)
    }

    /// Every hold, in the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Held> {
        self.by_id.values().map(|held| &**held)
    }

    /// Those of a client in a pool, oldest first.
    pub(super) fn of_client<'a>(
        &'a self,
        pool: PoolId,
        client: &Arc<str>,
    ) -> impl Iterator<Item = &'a Held> + use<'a> {
        let range = (pool, client.clone(), HoldId(0))..=(pool, client.clone(), HoldId(u64::MAX));
        self.by_client.range(range).filter_map(|(_, _, id)| self.get(*id))
    }

    /// Those of a pool.
    pub(super) fn of_pool(&self, pool: PoolId) -> impl Iterator<Item = &Held> {
        let from = (pool, Arc::from(""), HoldId(0));
        self.by_client
            .range(from..)
            .take_while(move |(p, _, _)| *p == pool)
            .filter_map(|(_, _, id)| self.get(*id))
    }

    /// In the order of their ends.
    pub(super) fn by_end(&self) -> impl Iterator<Item = &Held> {
        self.by_end.iter().filter_map(|(_, id)| self.get(*id))
    }
}

/// Every booking, found by its token and by its end.
#[derive(Debug, Default)]
pub(super) struct Bookings {
    by_id: BTreeMap<BookingId, Booked>,
    by_token: BTreeSet<([u8; 16], BookingId)>,
    by_feature: BTreeSet<(Name, Name, BookingId)>,
    by_end: BTreeSet<(Tick, BookingId)>,
    pub(super) next: u64,
}

impl Bookings {
    pub(super) fn add(&mut self, booked: &Booked) {
        self.by_token.insert((booked.token, booked.booking));
        self.by_feature.insert((booked.feature.clone(), booked.vendor.clone(), booked.booking));
        self.by_end.insert((booked.until, booked.booking));
        self.by_id.insert(booked.booking, booked.clone());
        self.next = self.next.max(booked.booking.0 + 1);
    }

    pub(super) fn remove(&mut self, id: BookingId) {
        if let Some(booked) = self.by_id.remove(&id) {
            self.by_token.remove(&(booked.token, id));
            self.by_feature.remove(&(booked.feature, booked.vendor, id));
            self.by_end.remove(&(booked.until, id));
        }
    }

    pub(super) fn get(&self, id: BookingId) -> Option<&Booked> {
        self.by_id.get(&id)
    }

    /// Those under one token: one for each of its features.
    pub(super) fn of_token(&self, token: &[u8; 16]) -> impl Iterator<Item = &Booked> + use<'_> {
        let all = (*token, BookingId(0))..=(*token, BookingId(u64::MAX));
        self.by_token.range(all).filter_map(|(_, id)| self.get(*id))
    }

    /// Those of a feature, oldest first.
    pub(super) fn of_feature<'a>(
        &'a self,
        vendor: &Name,
        feature: &Name,
    ) -> impl Iterator<Item = &'a Booked> + use<'a> {
        let key = |id| (feature.clone(), vendor.clone(), BookingId(id));
        self.by_feature.range(key(0)..=key(u64::MAX)).filter_map(|(_, _, id)| self.get(*id))
    }

    /// In the order of their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = &Booked> {
        self.by_id.values()
    }

    /// In the order of their ends.
    pub(super) fn by_end(&self) -> impl Iterator<Item = &Booked> {
        self.by_end.iter().filter_map(|(_, id)| self.by_id.get(id))
    }
}
