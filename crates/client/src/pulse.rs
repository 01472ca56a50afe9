//! Notices that the machine slept.
//!
//! The clock that waits are measured by stands still while most systems sleep, and no thread is told that it slept: a wait of
//! half a minute goes on as if nothing had been, while the server's half minute is long over and the network has forgotten the
//! connection. The wall clock went on. So whoever waits wakes every few seconds, and compares how far both have come.
//!
//! Somebody who sets the wall clock ahead looks the same. That costs one heartbeat.
//!
//! Where the waiting clock goes on during sleep, and where the process was stopped, the wait itself takes too long.

use std::time::{Duration, Instant};

use crate::grace::clock::Clock;

/// The longest wait of somebody who wants to notice.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The least that counts as sleep. A wall clock that is slewed or disciplined stays far below.
const SLEPT_LEAST: Duration = Duration::from_secs(5);

/// What both clocks said last.
pub(crate) struct Pulse {
    unix_seconds: i64,
    running: Duration,
}

impl Pulse {
    pub(crate) fn new(clock: &dyn Clock) -> Pulse {
        Pulse { unix_seconds: clock.unix_seconds(), running: clock.running() }
    }

    /// Whether the machine slept since the last look.
    pub(crate) fn has_slept(&mut self, clock: &dyn Clock) -> bool {
        let now = Pulse::new(clock);
        let by_wall = u64::try_from(now.unix_seconds - self.unix_seconds).unwrap_or(0);
        let ran = now.running.saturating_sub(self.running);
        *self = now;
        Duration::from_secs(by_wall).saturating_sub(ran) >= SLEPT_LEAST
    }
}

/// Whether a wait of at most so long, begun then, took so much longer that this process did not run.
pub(crate) fn is_late(begun: Instant, most: Duration) -> bool {
    begun.elapsed().saturating_sub(most) >= SLEPT_LEAST
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::lock;

    #[derive(Default)]
    struct Two(Mutex<(i64, u64)>);

    impl Clock for Two {
        fn unix_seconds(&self) -> i64 {
            lock(&self.0).0
        }

        fn running(&self) -> Duration {
            Duration::from_secs(lock(&self.0).1)
        }
    }

    #[test]
    fn sleep_is_what_the_wall_clock_is_ahead() {
        let clock = Two::default();
        let mut pulse = Pulse::new(&clock);
        for (wall, ran, slept) in
            [(3, 3, false), (300, 300, false), (304, 300, false), (309, 300, true), (309, 300, false)]
        {
            *lock(&clock.0) = (wall, ran);
            assert_eq!(pulse.has_slept(&clock), slept, "at {wall} and {ran}");
        }
        // Set back, by a day: no sleep. Set right again: at worst a heartbeat.
        *lock(&clock.0) = (-86_000, 303);
        assert!(!pulse.has_slept(&clock));
    }

    #[test]
    fn a_wait_may_be_a_little_late() {
        let begun = Instant::now();
        assert!(!is_late(begun, Duration::ZERO));
        if let Some(long_ago) = begun.checked_sub(Duration::from_secs(60)) {
            assert!(is_late(long_ago, Duration::from_secs(3)));
            assert!(!is_late(long_ago, Duration::from_secs(58)));
        }
    }
}
