//! The wall clock: whether it can be trusted, which day it gives, and what of it is worth keeping (S70, S71).
//!
//! Licenses begin and end with days, and days come from a clock that anybody may set, that has lost its battery, or that
//! was two years ahead when the machine booted. [`WallWatch`] compares each reading with the one before it, carried on by
//! ticks, and with the highest day served. It reads no clock itself: the caller tells it what the clock shows. Leases and
//! holds know nothing of all this, they run on ticks.

use alloc::vec::Vec;

use chrono::{Days, NaiveDate};

use crate::change::{Change, ClockRead, DayServed, Tick};

/// How far the wall clock may run ahead of the ticks between two readings; more is a jump (S71).
pub const JUMP_MS: i64 = 24 * 3_600_000;
/// How long a clock that jumped must stand where it is before its day is believed, in ticks (S71).
pub const STAND_MS: u64 = 3_600_000;
/// How far the wall clock may stray from the ticks before another reading of it is kept.
const DRIFT_MS: i64 = 1_000;
/// The longest time in ticks between two readings that are kept: after a longer one a restart would take the time that
/// nobody looked for a jump.
const KEEP_EVERY_MS: u64 = 12 * 3_600_000;

/// Whether the wall clock can be trusted (S71).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WallClock {
    /// It stands where it was expected.
    #[default]
    Trusted,
    /// It jumped ahead by more than a day and has not stood there for an hour. Its day counts for grants.
    Provisional,
    /// It is more than a day behind the highest day served; this is the day it shows. Licenses with dates give no new
    /// seats.
    Suspect(NaiveDate),
}

impl WallClock {
    /// As status shows it; never renamed.
    pub fn as_str(self) -> &'static str {
        match self {
            WallClock::Trusted => "ok",
            WallClock::Provisional => "provisional",
            WallClock::Suspect(_) => "suspect",
        }
    }

    /// Whether something may be done that cannot be taken back: raise the highest day served, record the date of a first
    /// checkout, free a borrowed seat whose time is over (S42, S71).
    pub fn is_settled(self) -> bool {
        self == WallClock::Trusted
    }
}

/// What one reading comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether the clock can be trusted.
    pub clock: WallClock,
    /// The day used for grants: the later of the clock's and the highest served. It goes back only where a clock that
    /// jumped ahead is set right within the hour.
    pub day: NaiveDate,
    /// To be journaled and applied, in order.
    pub changes: Vec<Change>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct WallWatch {
    /// The reading that was kept last. None is kept while the clock is provisional.
    last: Option<ClockRead>,
    /// Where the clock jumped to, and when.
    jump: Option<ClockRead>,
}

impl WallWatch {
    /// A watch that goes on from the last reading in the journal. Whether a clock had jumped before the restart is not
    /// known any more: if it still stands there, it jumps again and its hour begins anew.
    pub fn new(last: Option<ClockRead>) -> WallWatch {
        WallWatch { last, jump: None }
    }

    /// The clock shows `read`, which is in the day `today`; `mark` is the highest day served. Ticks do not go back from
    /// one call to the next.
    pub fn look(&mut self, read: ClockRead, today: NaiveDate, mark: Option<NaiveDate>) -> Look {
        let mut changes = Vec::new();
        let highest = mark.unwrap_or(today);
        let is_ahead = today > highest && self.last.is_some_and(|last| ahead(read, last) > JUMP_MS);
        if is_ahead {
            let stands = |jump: &ClockRead| ahead(read, *jump).unsigned_abs() <= JUMP_MS.unsigned_abs();
            let jump = *self.jump.get_or_insert(read);
            let jump = if stands(&jump) { jump } else { *self.jump.insert(read) };
            if since(read.tick, jump.tick) < STAND_MS {
                return Look { clock: WallClock::Provisional, day: today, changes };
            }
            // It was right: what was granted since it jumped is shown by it too.
            changes.push(Change::ClockRead(jump));
            self.last = Some(jump);
        }
        self.jump = None;
        let is_new_day = mark.is_none_or(|mark| today > mark);
        let is_worth_keeping = |last: ClockRead| {
            ahead(read, last).abs() > DRIFT_MS || since(read.tick, last.tick) >= KEEP_EVERY_MS
        };
        if is_new_day || self.last.is_none_or(is_worth_keeping) {
            changes.push(Change::ClockRead(read));
            self.last = Some(read);
        }
        if is_new_day {
            changes.push(Change::DayServed(DayServed { day: today }));
        }
        let is_behind = today.checked_add_days(Days::new(1)).is_some_and(|next| next < highest);
        let clock = if is_behind { WallClock::Suspect(today) } else { WallClock::Trusted };
        Look { clock, day: today.max(highest), changes }
    }
}

/// How far a reading is ahead of another one carried on by ticks, in milliseconds; negative: behind.
fn ahead(read: ClockRead, of: ClockRead) -> i64 {
    let passed = i64::try_from(since(read.tick, of.tick)).unwrap_or(i64::MAX);
    read.unix_ms.saturating_sub(of.unix_ms.saturating_add(passed))
}

fn since(tick: Tick, earlier: Tick) -> u64 {
    tick.saturating_sub(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    /// A clock of UTC, its watch, and the highest day served.
    struct World {
        watch: WallWatch,
        tick: u64,
        unix_ms: i64,
        mark: Option<NaiveDate>,
        kept: usize,
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn at(text: &str) -> i64 {
        text.parse::<chrono::NaiveDateTime>().expect("an instant").and_utc().timestamp_millis()
    }

    impl World {
        fn at(instant: &str) -> World {
            let mut world =
                World { watch: WallWatch::new(None), tick: 0, unix_ms: at(instant), mark: None, kept: 0 };
            assert_eq!(world.look().clock, WallClock::Trusted, "a first start has nothing to doubt by");
            world
        }

        fn look(&mut self) -> Look {
            let today = chrono::DateTime::from_timestamp_millis(self.unix_ms).expect("within range");
            let read = ClockRead { tick: self.tick, unix_ms: self.unix_ms };
            let look = self.watch.look(read, today.date_naive(), self.mark);
            for change in &look.changes {
                match change {
                    Change::DayServed(served) => self.mark = Some(served.day),
                    Change::ClockRead(_) => self.kept += 1,
                    other => panic!("{other:?}"),
                }
            }
            look
        }

        fn pass(&mut self, ms: i64) -> Look {
            self.tick += ms as u64;
            self.step(ms)
        }

        fn step(&mut self, ms: i64) -> Look {
            self.unix_ms += ms;
            self.look()
        }

        fn restart(&mut self) {
            self.watch = WallWatch::new(self.watch.last);
        }
    }

    fn is(look: &Look, clock: WallClock, today: &str) {
        assert_eq!((look.clock, look.day), (clock, day(today)), "{look:?}");
    }

    #[test]
    fn a_jump_of_a_day_is_believed_and_one_of_more_is_not() {
        let mut world = World::at("2030-06-30T12:00:00");
        is(&world.step(DAY), WallClock::Trusted, "2030-07-01");
        assert_eq!(world.mark, Some(day("2030-07-01")));
        is(&world.step(DAY + 1), WallClock::Provisional, "2030-07-02");
        assert_eq!(world.mark, Some(day("2030-07-01")), "not raised");
        is(&world.step(-DAY - 1), WallClock::Trusted, "2030-07-01");
    }

    #[test]
    fn a_clock_that_stands_for_an_hour_is_believed_and_not_a_moment_sooner() {
        let mut world = World::at("2030-06-30T12:00:00");
        is(&world.step(10 * DAY), WallClock::Provisional, "2030-07-10");
        is(&world.pass(HOUR - 1), WallClock::Provisional, "2030-07-10");
        let kept = world.kept;
        is(&world.pass(1), WallClock::Trusted, "2030-07-10");
        assert_eq!((world.mark, world.kept), (Some(day("2030-07-10")), kept + 2));
        is(&world.step(-10 * DAY), WallClock::Suspect(day("2030-06-30")), "2030-07-10");
    }

    #[test]
    fn a_midnight_of_a_provisional_clock_counts_and_raises_nothing() {
        let mut world = World::at("2030-06-30T23:30:00");
        world.step(3 * DAY);
        is(&world.pass(HOUR / 2), WallClock::Provisional, "2030-07-04");
        is(&world.step(-3 * DAY), WallClock::Trusted, "2030-07-01");
        assert_eq!(world.mark, Some(day("2030-07-01")));
    }

    #[test]
    fn another_jump_begins_the_hour_anew_and_a_small_step_does_not() {
        let mut world = World::at("2030-06-30T12:00:00");
        world.step(10 * DAY);
        world.pass(HOUR / 2);
        world.step(5 * DAY);
        is(&world.pass(HOUR / 2), WallClock::Provisional, "2030-07-15");
        world.step(-2 * DAY);
        is(&world.pass(HOUR - 1), WallClock::Provisional, "2030-07-13");
        world.step(HOUR);
        is(&world.pass(1), WallClock::Trusted, "2030-07-13");
    }

    #[test]
    fn a_restart_begins_the_hour_anew() {
        let mut world = World::at("2030-06-30T12:00:00");
        world.step(10 * DAY);
        world.pass(HOUR - 1);
        world.restart();
        is(&world.look(), WallClock::Provisional, "2030-07-10");
        is(&world.pass(HOUR - 1), WallClock::Provisional, "2030-07-10");
        is(&world.pass(1), WallClock::Trusted, "2030-07-10");
    }

    #[test]
    fn down_for_more_than_a_day_is_a_jump_and_for_less_is_none() {
        let mut world = World::at("2030-06-30T12:00:00");
        world.pass(HOUR);
        world.restart();
        is(&world.step(23 * HOUR), WallClock::Trusted, "2030-07-01");
        world.restart();
        is(&world.step(25 * HOUR), WallClock::Provisional, "2030-07-02");
    }

    /// Days of 25 hours included, a restart finds a reading that is not a day old.
    #[test]
    fn a_reading_is_kept_twice_a_day_where_nothing_strays() {
        let mut world = World::at("2030-06-30T00:00:00");
        let kept = world.kept;
        for _ in 0..23 * 60 {
            is(&world.pass(HOUR / 60), WallClock::Trusted, "2030-06-30");
        }
        assert_eq!(world.kept, kept + 1);
    }

    #[test]
    fn a_day_behind_is_no_doubt_and_two_are() {
        let mut world = World::at("2030-06-30T00:00:00");
        is(&world.step(-DAY), WallClock::Trusted, "2030-06-30");
        is(&world.step(-1), WallClock::Suspect(day("2030-06-28")), "2030-06-30");
        is(&world.step(1), WallClock::Trusted, "2030-06-30");
    }

    #[test]
    fn a_clock_that_was_behind_heals_at_once_when_it_is_set_right() {
        let mut world = World::at("2030-06-30T12:00:00");
        is(&world.step(-400 * DAY), WallClock::Suspect(day("2029-05-26")), "2030-06-30");
        is(&world.pass(HOUR), WallClock::Suspect(day("2029-05-26")), "2030-06-30");
        is(&world.step(400 * DAY), WallClock::Trusted, "2030-06-30");
    }

    #[test]
    fn a_little_step_back_over_midnight_keeps_the_day() {
        let mut world = World::at("2030-06-30T23:59:59");
        is(&world.pass(2_000), WallClock::Trusted, "2030-07-01");
        let look = world.step(-1_500);
        is(&look, WallClock::Trusted, "2030-07-01");
        let look = world.pass(2_000);
        is(&look, WallClock::Trusted, "2030-07-01");
        assert!(!look.changes.iter().any(|c| matches!(c, Change::DayServed(_))), "no second midnight");
    }
}
