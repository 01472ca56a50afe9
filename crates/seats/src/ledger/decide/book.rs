//! Bookings: seats of a feature kept for a time for whoever presents a token (S52).

use alloc::boxed::Box;
use alloc::format;

use super::super::{Ledger, Now};
use crate::catalog::FeatureLicenses;
use crate::change::{Booked, BookingEnded, BookingId, Change};
use crate::denial::{Code, Denial};
use crate::license::Count;
use crate::policy::Access;
use crate::request::{Facts, Item};

/// Somebody wants seats kept.
#[derive(Clone, Debug)]
pub struct BookRequest<'a> {
    /// The feature and how many seats.
    pub item: &'a Item,
    /// Hash of the token that will be presented.
    pub token: [u8; 16],
    /// For how long, milliseconds.
    pub ms: u64,
    /// Who books.
    pub facts: &'a Facts,
}

impl Ledger {
    /// Whether seats may be booked: the policy lets them, and that many are free now or reserved for nobody else.
    pub fn decide_book(&self, request: &BookRequest<'_>, now: Now) -> Result<Change, Box<Denial>> {
        if request.item.count == 0 || request.item.count > Count::MAX {
            let text = format!("count {} is not 1 to {}", request.item.count, Count::MAX);
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let at = self.find_feature(request.item)?;
        let feature = &self.terms.catalog().features()[at];
        let rules = self.usage.policy.of(&feature.vendor, &feature.feature);
        let class = self.usage.class(request.facts);
        if let Some((rule, Access::Deny)) = rules.book(&class) {
            let place = &self.usage.policy.rule(rule).place;
            let text = format!(
                "the policy lets {} book no seats ({}:{})",
                request.facts.user, place.file, place.line
            );
            return Err(Box::new(Denial::new(Code::NotPermitted, text)));
        }
        let free: u64 = self.seat_pools(at).filter_map(|(pool, _)| self.numbers(pool).free()).sum();
        let is_unlimited = self
            .seat_pools(at)
            .any(|(pool, _)| self.state.pool(pool).is_some_and(|p| p.total.limited().is_none()));
        if !is_unlimited && free < u64::from(request.item.count) {
            let text = format!(
                "{} seats of {} were to be booked, {free} are free",
                request.item.count, feature.feature
            );
            return Err(Box::new(Denial::new(Code::NoSeats, text)));
        }
        if self.state.booking_of(&request.token).is_some() {
            return Err(Box::new(Denial::new(
                Code::BadRequest,
                "this token is in use: draw a new one for each booking",
            )));
        }
        Ok(Change::Booked(Booked {
            booking: self.state.next_booking(),
            token: request.token,
            vendor: feature.vendor.clone(),
            feature: feature.feature.clone(),
            seats: request.item.count,
            until: now.tick.saturating_add(request.ms),
            by: request.facts.user.clone(),
        }))
    }

    /// Whether a booking can be given up: whoever has its token may.
    pub fn decide_unbook(&self, token: &[u8; 16]) -> Result<Change, Box<Denial>> {
        match self.state.booking_of(token) {
            Some(booked) => Ok(Change::BookingEnded(BookingEnded { booking: booked.booking })),
            None => Err(Box::new(Denial::new(Code::BadRequest, "there is no booking under this token"))),
        }
    }

    /// The booking that a checkout draws on for one of its features: `None` where the token is of another feature.
    pub(super) fn booking_for(
        &self,
        token: Option<&[u8; 16]>,
        feature: &FeatureLicenses,
        now: Now,
    ) -> Result<Option<BookingId>, Box<Denial>> {
        let Some(token) = token else { return Ok(None) };
        match self.state.booking_of(token).filter(|booked| booked.until > now.tick) {
            Some(b) if b.vendor == feature.vendor && b.feature == feature.feature => Ok(Some(b.booking)),
            Some(_) => Ok(None),
            None => {
                let text = "there is no booking under this token, or it has ended: check out without it, or book anew";
                Err(Box::new(Denial::new(Code::BadRequest, text)))
            }
        }
    }
}
