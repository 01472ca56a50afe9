//! How long something takes, counted by steps of length, as Prometheus wants it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations. Two relaxed additions each; who reads meanwhile sees each of them or not.
#[derive(Debug)]
pub struct Histogram {
    /// Upper ends of the steps in seconds, rising, each included.
    ends: &'static [f64],
    /// One for each end, and one for what is longer.
    steps: Vec<AtomicU64>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// An empty one with these steps.
    pub fn new(ends: &'static [f64]) -> Histogram {
        let steps = (0..=ends.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { ends, steps, nanoseconds: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let at = self.ends.partition_point(|end| *end < seconds);
        self.steps[at].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts one duration in milliseconds.
    pub fn observe_ms(&self, ms: u64) {
        self.observe(Duration::from_millis(ms));
    }

    /// For each end how many were not longer; then how many there were, and their sum in seconds.
    pub fn read(&self) -> (Vec<(f64, u64)>, u64, f64) {
        let mut sum = 0;
        let mut upto = |step: &AtomicU64| {
            sum += step.load(Ordering::Relaxed);
            sum
        };
        let steps = self.ends.iter().zip(&self.steps).map(|(end, step)| (*end, upto(step))).collect();
        let all = upto(&self.steps[self.ends.len()]);
        #[allow(clippy::cast_precision_loss, reason = "a sum for averages")]
        let seconds = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        (steps, all, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_included_and_each_step_holds_those_before_it() {
        let histogram = Histogram::new(&[0.001, 0.01]);
        for ms in [1, 1, 2, 10, 11] {
            histogram.observe_ms(ms);
        }
        let (steps, all, seconds) = histogram.read();
        assert_eq!((steps, all), (vec![(0.001, 2), (0.01, 4)], 5));
        assert!((seconds - 0.025).abs() < 1e-9);
    }
}
