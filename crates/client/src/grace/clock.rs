//! The two clocks of a grace period. No other file of it reads a clock, so that tests can.

use std::time::{Duration, Instant};

/// What time it is, and how much has passed.
pub(crate) trait Clock: Send + Sync {
    /// Seconds since 1970 as the system tells them. It can be set, also back.
    fn unix_seconds(&self) -> i64;
    /// Time since some moment of this process. Nobody sets it, but it may stand still while the machine sleeps.
    fn running(&self) -> Duration;
}

/// The system's.
pub(crate) struct SystemClock(Instant);

impl SystemClock {
    pub(crate) fn new() -> SystemClock {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn unix_seconds(&self) -> i64 {
        #[expect(
            clippy::disallowed_methods,
            reason = "no server answers, so the client's own clock must bound its grace"
        )]
        let now = jiff::Timestamp::now();
        now.as_second()
    }

    fn running(&self) -> Duration {
        self.0.elapsed()
    }
}

/// An instant for a person, in UTC: `2030-06-30T22:00:00Z`.
pub(crate) fn shown(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds)
        .map_or_else(|_| format!("second {unix_seconds} of Unix time"), |at| at.to_string())
}

/// What [`shown`] or a server wrote, also with parts of a second; `None`: it is no instant.
pub(crate) fn read(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_shown_in_utc() {
        assert_eq!(shown(1_909_087_200), "2030-06-30T22:00:00Z");
        assert_eq!(shown(i64::MAX), "second 9223372036854775807 of Unix time");
    }
}
