//! Borrowed seats, as far as the engine has to do with them: what the clock says of hours, and when they come back (S40 to
//! S42). Who may borrow what is the ledger's to say; tokens are made where answers are.

use seats::change::{Borrowed, BorrowingClosed, Cause, Change, Granted, SessionId};
use seats::ledger::Now;
use seats::request::{Checkout, Lend};
use tracing::{info, warn};

use super::ask::Answer;
use super::{Engine, SESSIONS_A_STEP};
use crate::clock::{Reading, Zone, rfc3339};
use crate::journal::{Disk, JournalError};

const HOUR_S: i64 = 3_600;

impl<D: Disk> Engine<D> {
    /// The same engine for a server in this zone; without it days are those of UTC. It only matters to borrows, which reach
    /// into days to come: the day of each step comes with its reading.
    #[must_use]
    pub fn in_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// A part of the state was given up for lost at this start: nothing is lent until whatever was lent must be over (S62).
    ///
    /// # Errors
    /// The journal could not be written or synced.
    pub fn close_borrowing(&mut self, reading: Reading) -> Result<(), JournalError> {
        warn!(
            "what was lent may be in the lost part: nothing is lent for the longest BORROW of the licenses (S62)"
        );
        let from = reading.unix_ms.div_euclid(1_000);
        self.accept(reading.tick.0, &Change::BorrowingClosed(BorrowingClosed { from }))?;
        self.release()
    }

    /// A checkout that wants its seats for so many hours from now on, by the clock.
    pub(super) fn timed(&self, checkout: Checkout, hours: u32, reading: Reading) -> Checkout {
        let from = reading.unix_ms.div_euclid(1_000);
        let until_ms = from.saturating_add(i64::from(hours).saturating_mul(HOUR_S)).saturating_mul(1_000);
        // What ends at midnight does not reach into the day that begins then.
        let last_day = self.zone.day_of(until_ms.saturating_sub(1));
        Checkout { lend: Some(Lend { hours, from, last_day }), ..checkout }
    }

    /// Whoever is told until which day he could borrow is told for how many hours too.
    pub(super) fn with_hours(&self, answer: Answer, reading: Reading) -> Answer {
        let Answer::Denied(mut denial) = answer else { return answer };
        let at_most = denial.subject.as_mut().and_then(|subject| subject.borrow.as_mut());
        if let Some(at_most) = at_most.filter(|at_most| at_most.hours.is_none())
            && let Some(day) = at_most.last_day
        {
            let ms = self.zone.end_instant(day).saturating_sub(reading.unix_ms).max(0);
            let hours = u32::try_from(ms / (HOUR_S * 1_000)).unwrap_or(u32::MAX);
            at_most.hours = Some(hours);
            denial.message.push_str(&format!("; at most {hours} h from now"));
        }
        Answer::Denied(denial)
    }

    /// In the batch of the grant: nobody ever finds one without the other.
    pub(super) fn lend(&mut self, granted: &Granted, lent: Borrowed, now: Now) -> Result<(), JournalError> {
        let (user, host) = (&granted.facts.user, &granted.facts.host);
        let until = rfc3339(lent.until.saturating_mul(1_000));
        info!(borrow = %lent.bundle, %user, %host, %until, "borrowed");
        self.accept(now.tick, &Change::Borrowed(lent))
    }

    /// S42.
    pub(super) fn write_off(
        &mut self,
        session: SessionId,
        by: &str,
        reason: &str,
        now: Now,
        reading: Reading,
    ) -> Result<Answer, JournalError> {
        match self.ledger.decide_write_off(session, by, reason, reading.unix_ms.div_euclid(1_000)) {
            Err(denial) => Ok(Answer::Denied(denial)),
            Ok(note) => {
                self.accept(now.tick, &Change::WrittenOff(note))?;
                let until = self.ledger.state().borrow_of(session).map_or(0, |(_, borrow)| borrow.until);
                info!(borrow = %session, by, reason, until = %rfc3339(until.saturating_mul(1_000)), "written off");
                Ok(Answer::WrittenOff(session, until))
            }
        }
    }

    /// What was lent and is over comes back, before anybody asks for a seat.
    pub(super) fn end_borrows(&mut self, now: Now, reading: Reading) -> Result<(), JournalError> {
        for session in self.ledger.borrows_over(now, reading.unix_ms.div_euclid(1_000), SESSIONS_A_STEP) {
            self.refresh_of(session, now)?;
            let changes = self.ledger.ending(session, Cause::BorrowEnded, now.tick, now.tick);
            self.end(&changes, now, reading)?;
            info!(borrow = %session, "a borrowed seat is back: its time is over");
        }
        Ok(())
    }

    /// Notes when the engine has to look again. A clock that is set brings other ends: the next step looks anew.
    pub(super) fn expect_borrows(&mut self, now: Now, reading: Reading) {
        let in_ms = self.ledger.next_borrow_end(now, reading.unix_ms).filter(|_| now.clock.is_settled());
        self.borrow_ends = in_ms.map(|ms| now.tick.saturating_add(ms));
    }
}
