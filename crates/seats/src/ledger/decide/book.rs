//! Bookings: seats of a feature kept for a time for whoever presents a token (S52).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::{Ledger, Now};
use crate::catalog::FeatureLicenses;
use crate::change::{Booked, BookingEnded, BookingId, Change};
use crate::denial::{Code, Denial};
use crate::license::Count;
use crate::policy::Access;
use crate::request::{Facts, ITEMS_MAX, Item};

/// Somebody wants seats kept.
#[derive(Clone, Debug)]
pub struct BookRequest<'a> {
    /// The features, each once, and how many seats of each: all of it or nothing.
    pub items: &'a [Item],
    /// Hash of the token that will be presented.
    pub token: [u8; 16],
    /// For how long, milliseconds.
    pub ms: u64,
    /// Who books.
    pub facts: &'a Facts,
}

impl Ledger {
    /// Whether seats may be booked: the policy lets them, and that many are free now or reserved for nobody else. The
    /// changes, to be applied in order.
    ///
    /// A booking under a token that is in use is asked for again after an answer was lost: where it says the same, nothing
    /// changes.
    pub fn decide_book(&self, request: &BookRequest<'_>, now: Now) -> Result<Vec<Change>, Box<Denial>> {
        let bad = |text: String| Err(Box::new(Denial::new(Code::BadRequest, text)));
        if request.items.is_empty() || request.items.len() > ITEMS_MAX {
            return bad(format!("a booking names 1 to {ITEMS_MAX} features, not {}", request.items.len()));
        }
        let mut booked: Vec<Booked> = Vec::new();
        for item in request.items {
            let one = self.decide_book_one(item, request, now)?;
            if booked.iter().any(|b| b.vendor == one.vendor && b.feature == one.feature) {
                return bad(format!("{} is named twice: name each feature once", item.feature));
            }
            let booking = BookingId(self.state.next_booking().0 + booked.len() as u64);
            booked.push(Booked { booking, ..one });
        }
        let is_same = |b: &Booked| {
            booked.iter().any(|n| n.vendor == b.vendor && n.feature == b.feature && n.seats == b.seats)
        };
        let there = self.state.bookings_under(&request.token).count();
        if there == 0 {
            return Ok(booked.into_iter().map(Change::Booked).collect());
        }
        if there == booked.len() && self.state.bookings_under(&request.token).all(is_same) {
            return Ok(Vec::new());
        }
        bad("this token is in use: draw a new one for each booking".into())
    }

    fn decide_book_one(
        &self,
        item: &Item,
        request: &BookRequest<'_>,
        now: Now,
    ) -> Result<Booked, Box<Denial>> {
        if item.count == 0 || item.count > Count::MAX {
            let text = format!("count {} is not 1 to {}", item.count, Count::MAX);
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let at = self.find_feature(item)?;
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
        let is_its_own = |b: &Booked| b.vendor == feature.vendor && b.feature == feature.feature;
        let is_there = self.state.bookings_under(&request.token).any(is_its_own);
        let free: u64 = self.seat_pools(at).filter_map(|(pool, _)| self.numbers(pool).free()).sum();
        let is_unlimited = self
            .seat_pools(at)
            .any(|(pool, _)| self.state.pool(pool).is_some_and(|p| p.total.limited().is_none()));
        if !is_there && !is_unlimited && free < u64::from(item.count) {
            let text =
                format!("{} seats of {} were to be booked, {free} are free", item.count, feature.feature);
            return Err(self.about_item(item, Denial::new(Code::NoSeats, text)));
        }
        Ok(Booked {
            booking: self.state.next_booking(),
            token: request.token,
            vendor: feature.vendor.clone(),
            feature: feature.feature.clone(),
            seats: item.count,
            until: now.tick.saturating_add(request.ms),
            by: request.facts.user.clone(),
        })
    }

    /// Whether bookings can be given up: whoever has their token may. The changes, to be applied in order.
    pub fn decide_unbook(&self, token: &[u8; 16]) -> Result<Vec<Change>, Box<Denial>> {
        let ended = |booked: &Booked| Change::BookingEnded(BookingEnded { booking: booked.booking });
        let changes: Vec<Change> = self.state.bookings_under(token).map(ended).collect();
        if changes.is_empty() {
            return Err(Box::new(Denial::new(Code::BadRequest, "there is no booking under this token")));
        }
        Ok(changes)
    }

    /// The booking that a checkout draws on for one of its features: `None` where the token is of another feature.
    pub(super) fn booking_for(
        &self,
        token: Option<&[u8; 16]>,
        feature: &FeatureLicenses,
        now: Now,
    ) -> Result<Option<BookingId>, Box<Denial>> {
        let Some(token) = token else { return Ok(None) };
        let mut under = self.state.bookings_under(token).filter(|booked| booked.until > now.tick).peekable();
        if under.peek().is_none() {
            let text =
                "there is no booking under this token, or it has ended: check out without it, or book anew";
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let mut of_feature = under.filter(|b| b.vendor == feature.vendor && b.feature == feature.feature);
        Ok(of_feature.next().map(|booked| booked.booking))
    }
}
