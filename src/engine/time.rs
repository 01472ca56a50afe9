//! The day of a step, and what is said of the clock that gives it (L21, S71). The rules are in [`seats::wall`].

use seats::change::ClockRead;
use seats::ledger::Now;
use seats::wall::WallClock;
use tracing::{error, info, warn};

use super::Engine;
use crate::clock::{Reading, rfc3339};
use crate::journal::{Disk, JournalError};

impl<D: Disk> Engine<D> {
    /// The day first: no request is ever decided with another day's totals (L21), and it never goes back, but where a
    /// clock that had jumped ahead is set right before it was believed (S71).
    pub(super) fn keep_time(&mut self, reading: Reading) -> Result<Now, JournalError> {
        let tick = reading.tick.0;
        let mark = self.ledger.state().day();
        let look = self.wall.look(ClockRead { tick, unix_ms: reading.unix_ms }, reading.today, mark);
        for change in &look.changes {
            self.accept(tick, change)?;
        }
        if look.clock.as_str() != self.clock.as_str() {
            tell(look.clock, reading, mark.unwrap_or(reading.today));
            self.note_clock(look.clock, reading.today, look.day);
            // What a wrong clock kept from those who wait, they may have now.
            self.ledger.feed_all();
        }
        self.clock = look.clock;
        if look.day > self.day {
            info!(day = %look.day, "a new day");
            self.day = look.day;
            self.ledger.begin_day(look.day);
        } else if look.day < self.day {
            info!(day = %look.day, instead_of = %self.day, "the day is as it was before the clock jumped");
            self.day = look.day;
            self.ledger.return_to_day(look.day);
            // They were not told, and it is not so.
            self.expired.retain(|(_, _, end)| *end < look.day);
        }
        Ok(Now { tick, day: self.day, clock: self.clock })
    }

    /// Whether sessions may be told that their license has ended: what a provisional clock says may be taken back, and an
    /// application that was told of an end may not come back (L39, S71).
    pub(super) fn may_tell_of_ends(&self) -> bool {
        self.clock != WallClock::Provisional
    }
}

/// Once for each change of state, with both dates.
fn tell(clock: WallClock, reading: Reading, mark: chrono::NaiveDate) {
    let (shows, at) = (reading.today, rfc3339(reading.unix_ms));
    match clock {
        WallClock::Trusted => {
            info!(%shows, %at, highest_day_served = %mark, "the clock is trusted again");
        }
        WallClock::Provisional => warn!(
            %shows, %at, highest_day_served = %mark,
            "the clock is more than a day ahead of where it was expected: its day counts for grants and is not kept until \
             it has stood there for an hour; if it is wrong, set it right before that (S71)"
        ),
        WallClock::Suspect(_) => error!(
            %shows, %at, highest_day_served = %mark,
            "the clock is more than a day behind the highest day served: licenses with dates give no new seats, running \
             sessions go on; set the clock right, or, if it is right, stop the daemon and run \
             `seatkeeper state clock-reset` (S71)"
        ),
    }
}
