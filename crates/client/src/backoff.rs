//! How long to wait before trying again, so that a thousand clients do not come back in the same instant.

use std::time::Duration;

/// The pauses between attempts to get back to a server: each is twice as long as the one before, and its second half is drawn
/// at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause, at most.
    pub first: Duration,
    /// The longest pause: a server that is back is found within this time. A quarter of the server's lease, if that is less and
    /// not less than `first`: a client that is alive must be back before its lease is over.
    pub longest: Duration,
}

impl Default for Backoff {
    /// A tenth of a second, growing to half a minute.
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The wait after so many failures in a row.
    pub(crate) fn delay(self, failures: u32) -> Duration {
        let most = self.first.saturating_mul(1 << failures.min(20)).min(self.longest);
        // Without random numbers all clients wait equally long, which is no reason to fail.
        let draw = getrandom::u32().unwrap_or(u32::MAX);
        most / 2 + (most / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }

    /// For a server whose lease is known; zero: it is not.
    pub(crate) fn within(self, lease: Duration) -> Backoff {
        // Whatever a server says, this is no flood.
        let least = self.first.min(self.longest);
        let longest = if lease.is_zero() { self.longest } else { self.longest.min(lease / 4).max(least) };
        Backoff { longest, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_never_beyond() {
        for (failures, most) in [(0, 100), (1, 200), (5, 3200), (9, 30_000), (u32::MAX, 30_000)] {
            for _ in 0..100 {
                let wait = Backoff::default().delay(failures).as_millis();
                assert!((most / 2..=most).contains(&wait), "{failures} failures: {wait} ms");
            }
        }
    }

    #[test]
    fn a_short_lease_shortens_the_longest_wait() {
        let second = Backoff::default().within(Duration::from_secs(4));
        assert_eq!(second.longest, Duration::from_secs(1));
        assert!((0..40).all(|failures| second.delay(failures) <= Duration::from_secs(1)));
        let shortest = Backoff::default().within(Duration::from_millis(1));
        assert_eq!(shortest.longest, shortest.first, "never a flood");
        assert_eq!(Backoff::default().within(Duration::ZERO), Backoff::default());
        assert_eq!(Backoff::default().within(Duration::from_secs(3600)), Backoff::default());
    }
}
