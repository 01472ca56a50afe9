//! How many requests a second one connection may send (S82).

use std::time::Duration;

use tokio::time::Instant;

/// Requests a second, by a bucket that holds one second's worth.
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { left: 0.0, at: Instant::now() - Duration::from_secs(1) }
    }

    pub(super) fn allows(&mut self, per_second: u32) -> bool {
        if self.left < 1.0 {
            let now = Instant::now();
            let most = f64::from(per_second);
            self.left = ((now - self.at).as_secs_f64() * most + self.left).min(most);
            self.at = now;
        }
        let is_allowed = self.left >= 1.0;
        if is_allowed {
            self.left -= 1.0;
        }
        is_allowed
    }
}
