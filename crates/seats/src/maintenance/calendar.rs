//! Dates and periods: one way to add them, one clamp (rules 3, 6.3), and the end that a renewal gives (6.9).

use chrono::{Days, Months, NaiveDate};

use crate::license::Period;

/// What a date is that no release can be after: UNLIMITED, and the end of every period that reaches past it (6.3).
pub const UNLIMITED: NaiveDate =
    NaiveDate::from_ymd_opt(9999, 12, 31).expect("the last day that L4 can write");

/// Whether an end of maintenance is none.
pub fn is_unlimited(end: NaiveDate) -> bool {
    end >= UNLIMITED
}

/// `start` + `times` × `period`: all years and months together, clamped once to the last day of the month, then all weeks and
/// days. At most [`UNLIMITED`].
pub fn add(start: NaiveDate, period: Period, times: u32) -> NaiveDate {
    let sum = || {
        let months = Months::new(period.months.checked_mul(times)?);
        let days = Days::new(u64::from(period.days) * u64::from(times));
        start.checked_add_months(months)?.checked_add_days(days)
    };
    sum().map_or(UNLIMITED, |end| end.min(UNLIMITED))
}

/// From where a renewal counts (6.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// From the old end, if that is today or later; else from today.
    #[default]
    FromNowIfExpired,
    /// From the old end, however long ago.
    FromExpiry,
    /// From today: days already paid are given up.
    FromNow,
}

/// The new last day of maintenance, included. `start` is the first day of the first period: an old end that lies on its grid is
/// renewed along it, so that no day is lost to a short month for ever (6.3); any other end is simply added to.
pub fn renewed(
    basis: Basis,
    start: NaiveDate,
    period: Period,
    periods: u32,
    old_end: NaiveDate,
    today: NaiveDate,
) -> NaiveDate {
    let from_today = match basis {
        Basis::FromNow => true,
        Basis::FromNowIfExpired => old_end < today,
        Basis::FromExpiry => false,
    };
    if from_today {
        return add(today, period, periods);
    }
    match on_grid(start, period, old_end) {
        Some(nth) => add(start, period, nth.saturating_add(periods)),
        None => add(old_end, period, periods),
    }
}

/// The n ≥ 1 for which `start` + n × `period` is this day.
fn on_grid(start: NaiveDate, period: Period, day: NaiveDate) -> Option<u32> {
    // No period is shorter than a day, and the sums never go down as n goes up.
    let most = u32::try_from((day - start).num_days()).ok()?;
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if add(start, period, middle) < day {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    (low <= most && add(start, period, low) == day).then_some(low)
}
