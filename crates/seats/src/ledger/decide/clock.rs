//! What licenses grant while the wall clock is more than a day behind the highest day served (S71).
//!
//! Either the clock is wrong or the highest day served is, and nobody here can tell which. So only that gives new seats
//! what is in force by both days and has no end. A license with END, or one that has not begun by the clock's day, gives
//! none (`clock_suspect`), and as an upgrade adds none: a perpetual exclusive gives its own seats and those of perpetual
//! upgrades, and is full when those are taken (`no_seats`). Which
//! exclusive is in force is settled as ever (L31); an older one does not step in. Running sessions are not asked.

use alloc::format;
use alloc::string::String;

use super::super::{Ledger, Now};
use super::judge::{Unfit, Want};
use crate::catalog::FeatureLicenses;
use crate::change::PoolId;
use crate::denial::Code;
use crate::evaluate::{Total, evaluate};
use crate::license::License;
use crate::wall::WallClock;

/// Whether a license grants whatever the day is.
fn is_certain(license: &License, clock_day: chrono::NaiveDate) -> bool {
    license.end.is_none() && license.start.is_none_or(|start| start <= clock_day)
}

/// Whether a license gives new sessions by this clock. One that shares its seats does not let anybody in either, as it
/// would not after its END.
pub(super) fn check_clock(license: &License, feature: &str, now: Now) -> Result<(), Unfit> {
    match now.clock {
        WallClock::Suspect(clock_day) if !is_certain(license, clock_day) => {
            let dates = match (license.end, license.start) {
                (Some(end), _) => format!("ends with {end}"),
                (None, start) => format!("begins on {}", start.unwrap_or(now.day)),
            };
            let text = format!("the license of {feature} {dates} and {}", doubt(now, clock_day));
            Err(Unfit::Said(Code::ClockSuspect, text))
        }
        _ => Ok(()),
    }
}

/// A license that is over by the highest day served and not by the clock: why it gives no seats.
pub(super) fn ended_in_doubt(license: &License, feature: &str, now: Now) -> Option<String> {
    let WallClock::Suspect(clock_day) = now.clock else { return None };
    let end = license.end.filter(|end| *end >= clock_day)?;
    Some(format!("the license of {feature} ends with {end} and {}", doubt(now, clock_day)))
}

/// Why there are no seats, and what to do.
fn doubt(now: Now, clock_day: chrono::NaiveDate) -> String {
    format!(
        "the server's clock shows {clock_day} though {} was served already: its administrator sets the clock right, or, \
         where it is right, stops the daemon and runs `seatkeeper state clock-reset`",
        now.day
    )
}

impl Ledger {
    /// The seats of a pool that new sessions may have: its total, but under a clock in doubt only what is certain of it.
    pub(super) fn grantable(&self, feature: &FeatureLicenses, id: PoolId, now: Now) -> Total {
        let Some(pool) = self.state.pool(id) else { return Total::ZERO };
        let WallClock::Suspect(clock_day) = now.clock else { return pool.total };
        let evaluation = evaluate(feature, now.day);
        let mut licenses = evaluation.licenses_of(feature, &pool.kind).map(|at| &feature.licenses[at]);
        let Some(first) = licenses.next().filter(|l| is_certain(l, clock_day)) else { return Total::ZERO };
        if pool.total == Total::Unlimited {
            return pool.total;
        }
        let seats = |license: &License| license.count.map_or(Total::ZERO, Total::from).limited().unwrap_or(0);
        let upgrades = licenses.filter(|l| is_certain(l, clock_day)).map(|l| seats(l));
        let sum = upgrades.fold(seats(first), u32::saturating_add);
        pool.total.min(Total::Limited(sum))
    }
    /// Why a pool that is full for new sessions is not: its seats are there, and only the clock keeps them.
    pub(super) fn kept_by_clock(&self, want: &Want<'_>, id: PoolId, wanted: u64, now: Now) -> Option<String> {
        let WallClock::Suspect(clock_day) = now.clock else { return None };
        let (numbers, certain) = (self.numbers(id), self.grantable(want.feature, id, now));
        let total = numbers.total;
        let free = total.limited().map_or(u64::MAX, |total| {
            u64::from(total).saturating_sub(numbers.used.saturating_add(numbers.held))
        });
        (certain < total && free >= wanted).then(|| {
            let (used, name) = (numbers.used, want.name);
            let doubt = doubt(now, clock_day);
            format!("of {total} seats of {name} only {certain} are perpetual and {used} are in use; {doubt}")
        })
    }
}
