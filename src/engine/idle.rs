//! Seats that idle, for those who are refused for want of one: who is warned, and whose time to come back is over (S50).

use std::sync::Arc;

use seats::denial::Denial;
use seats::ledger::{CheckoutOutcome, ConnectionId, IDLE_WARNING_MS, IdleWish, Now};
use seats::request::{Checkout, Facts};

use super::ask::{Event, Outbox};
use super::{Engine, Output};
use crate::journal::Disk;

impl<D: Disk> Engine<D> {
    /// A checkout was refused. Where it was for want of seats and the policy gives idle ones away, those that were warned
    /// go now, or others are warned (S50).
    pub(super) fn decide_with_idle(
        &mut self,
        from: &Arc<dyn Outbox>,
        checkout: &Checkout,
        now: Now,
        refused: Box<Denial>,
    ) -> Result<CheckoutOutcome, Box<Denial>> {
        let connections = &self.connections;
        let idle_ms = |id: ConnectionId| connections.get(&id).and_then(|outbox| outbox.idle_ms(now.tick));
        let (decided, mut wish) = self.ledger.decide_with_idle(checkout, now, &idle_ms, refused);
        // Nobody is warned for a grant that could not be made.
        if wish.hoped.as_ref().is_some_and(|hoped| self.cannot_grant(from, hoped).is_some()) {
            wish = wish.in_vain();
        }
        self.tell_idle(&wish, &checkout.facts, now);
        decided.map_err(|mut denial| {
            wish.tell(&mut denial);
            denial
        })
    }

    /// Those whose idle seats somebody wants are told so.
    pub(super) fn tell_idle(&mut self, wish: &IdleWish, of: &Facts, now: Now) {
        self.ledger.note_wish(wish, of, now);
        for session in &wish.to_warn {
            let feature =
                self.ledger.state().session(*session).and_then(|(_, s)| self.ledger.state().pool(s.pool));
            if let (Some(outbox), Some(pool)) = (self.holder_of(*session), feature) {
                let seconds = u32::try_from(IDLE_WARNING_MS / 1000).unwrap_or(u32::MAX);
                let event = Event::SeatWanted(*session, pool.feature.clone(), seconds);
                self.outputs.push(Output::Event(outbox, event));
            }
        }
    }
}
