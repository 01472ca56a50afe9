//! When administrators are told that maintenance, or a term, ends (6.11).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::calendar::is_unlimited;

/// Days before the end; the largest first.
pub const THRESHOLDS: [u16; 5] = [60, 30, 14, 7, 1];
/// For how many days after the end, the last included, it is still said once that it has ended.
pub const ENDED_WITHIN_DAYS: i64 = 30;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ending {
    /// The maintenance of a license.
    Maintenance,
    /// The license itself, with its END.
    Term,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reminder {
    /// It has ended.
    Ended,
    /// It ends within so many days: one of the thresholds, not what is left.
    Within(u16),
}

/// What is to be said on a day about an end, of which some was said before: the most recent of what was missed, never a burst.
/// `None`: nothing. On the last day itself nothing is said: it is still covered.
pub fn due(end: NaiveDate, today: NaiveDate, said: &[Reminder], thresholds: &[u16]) -> Option<Reminder> {
    if is_unlimited(end) {
        return None;
    }
    let left = (end - today).num_days();
    let now = match left {
        ..0 => (-left <= ENDED_WITHIN_DAYS).then_some(Reminder::Ended),
        0 => None,
        _ => thresholds.iter().copied().filter(|days| left <= i64::from(*days)).min().map(Reminder::Within),
    };
    // Said a smaller one, it has said enough.
    now.filter(|now| said.iter().all(|said| said > now))
}
