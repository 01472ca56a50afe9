//! How long to wait before trying again, so that a thousand clients do not come back in the same instant.

use std::time::Duration;

/// The first wait, at most.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait: a server that is back is found within this time.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after so many failures in a row: it doubles each time, and its second half is drawn at random.
pub(crate) fn delay(failures: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << failures.min(20)).min(LONGEST);
    // Without random numbers all clients wait equally long, which is no reason to fail.
    let draw = getrandom::u32().unwrap_or(u32::MAX);
    most / 2 + (most / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_half_a_minute_and_never_beyond() {
        for (failures, most) in [(0, 100), (1, 200), (5, 3200), (9, 30_000), (u32::MAX, 30_000)] {
            for _ in 0..100 {
                let wait = delay(failures).as_millis();
                assert!((most / 2..=most).contains(&wait), "{failures} failures: {wait} ms");
            }
        }
    }
}
