//! When the user last did something, as far as the application says (S50).
//!
//! A server may be set to give a seat away that is idle while somebody else is refused one. It judges by what heartbeats say,
//! and they say what stands here. An application that says nothing loses no seat this way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock;

/// How long the user has been idle; `None`: unknown.
pub(crate) type Source = dyn Fn() -> Option<Duration> + Send + Sync;

/// What is known. Where several know something, the latest activity counts.
#[derive(Default)]
pub(crate) struct Activity {
    reported: Mutex<Option<Instant>>,
    source: Mutex<Option<Arc<Source>>>,
    /// A server has warned, and waits for a word.
    is_awaited: AtomicBool,
}

impl Activity {
    /// The user did something just now. Whether a server waits to hear it.
    pub(crate) fn report(&self) -> bool {
        *lock(&self.reported) = Some(Instant::now());
        self.is_awaited.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn ask(&self, source: Arc<Source>) {
        *lock(&self.source) = Some(source);
    }

    /// The next report matters at once.
    pub(crate) fn await_report(&self) {
        self.is_awaited.store(true, Ordering::Release);
    }

    pub(crate) fn is_known(&self) -> bool {
        lock(&self.reported).is_some() || self.has_source()
    }

    pub(crate) fn has_source(&self) -> bool {
        lock(&self.source).is_some()
    }

    /// Calls the application's function, so nothing of ours may be locked.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let reported = lock(&self.reported).map(|at| at.elapsed());
        let source = lock(&self.source).clone();
        // It runs on the thread that keeps the seats: its panic must not cost them.
        let asked = source.and_then(|source| catch_unwind(AssertUnwindSafe(|| source())).ok().flatten());
        match (reported, asked) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// For a heartbeat: whole seconds, rounded down.
    pub(crate) fn idle_seconds(&self) -> Option<u32> {
        self.idle().map(|idle| u32::try_from(idle.as_secs()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_activity_counts_whoever_knows_it() {
        let activity = Activity::default();
        assert_eq!((activity.idle_seconds(), activity.is_known()), (None, false));
        activity.ask(Arc::new(|| Some(Duration::from_millis(4_900))));
        assert_eq!((activity.idle_seconds(), activity.is_known()), (Some(4), true));
        activity.report();
        assert_eq!(activity.idle_seconds(), Some(0));
        activity.ask(Arc::new(|| None));
        assert_eq!(activity.idle_seconds(), Some(0));
    }

    #[test]
    fn a_function_that_panics_knows_nothing() {
        let activity = Activity::default();
        activity.ask(Arc::new(|| panic!("no display")));
        assert_eq!(activity.idle_seconds(), None);
    }

    #[test]
    fn only_the_first_report_after_a_warning_is_awaited() {
        let activity = Activity::default();
        assert!(!activity.report());
        activity.await_report();
        assert!(activity.report());
        assert!(!activity.report());
    }
}
