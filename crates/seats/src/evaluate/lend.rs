//! Until when seats of a pool can be lent (S41): what licenses will grant, against what is out.

use chrono::NaiveDate;

use super::ahead::boundaries_ahead;
use super::{Total, evaluate, next_boundary};
use crate::catalog::FeatureLicenses;
use crate::change::PoolKind;

/// The last day, from `today` to `last`, both included, until which `count` seats more of a pool can be lent: on every day
/// until then the seats that are out on it, these included, are no more than today's licenses will grant. `None`: not even
/// today.
///
/// `out` are the seats that are lent of the pool, each with the last day they reach into. A seat is out on a day when its
/// time has not ended before that day begins, so whatever comes back during a day counts on it.
///
/// A feature of thousands of licenses, each with a date of its own, is looked at for its next few dates only (as
/// [`forecast`](super::forecast)), and nothing is lent beyond those.
pub fn lent_until(
    feature: &FeatureLicenses,
    kind: &PoolKind,
    today: NaiveDate,
    last: NaiveDate,
    out: &[(NaiveDate, u64)],
    count: u64,
) -> Option<NaiveDate> {
    let lent_on =
        |day: NaiveDate| out.iter().filter(|(last, _)| *last >= day).map(|(_, seats)| seats).sum::<u64>();
    let mut day = today;
    for _ in 0..boundaries_ahead(feature) {
        let is_enough = match evaluate(feature, day).total_of(kind) {
            Total::Unlimited => true,
            Total::Limited(total) => lent_on(day).saturating_add(count) <= u64::from(total),
        };
        if !is_enough {
            return day.pred_opt().filter(|before| *before >= today);
        }
        // Until the next date of a license nothing is granted less, and what is out only comes back.
        match next_boundary(feature, day).filter(|next| *next <= last) {
            Some(next) => day = next,
            None => return Some(last.max(today)),
        }
    }
    day.pred_opt().filter(|before| *before >= today)
}
