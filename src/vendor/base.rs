//! An upgrade against the license it is sold for (L32 to L35, L37): what the server would find, before it is sold.

use seats::license::{Count, KeyType, License, Reason};

/// Why an upgrade would not count beside any of these exclusives; `None` when it would beside one of them.
///
/// The reason is that of the exclusive that was issued last.
pub fn misfit(upgrade: &License, bases: &[&License]) -> Option<(Reason, String)> {
    let mut exclusives: Vec<&License> = bases
        .iter()
        .copied()
        .filter(|base| {
            base.key_type == KeyType::Exclusive
                && base.feature == upgrade.feature
                && base.vendor == upgrade.vendor
                && base.refusal.is_none()
        })
        .collect();
    exclusives.sort_by(|a, b| b.issued.cmp(&a.issued).then_with(|| b.sn.cmp(&a.sn)));
    let mut first = None;
    for base in exclusives {
        match beside(upgrade, base) {
            None => return None,
            misfit => first = first.or(misfit),
        }
    }
    Some(first.unwrap_or_else(|| {
        let message = format!(
            "there is no exclusive license of {} by {} to upgrade; give its file with --base",
            upgrade.feature, upgrade.vendor
        );
        (Reason::NoExclusive, message)
    }))
}

fn beside(upgrade: &License, base: &License) -> Option<(Reason, String)> {
    let (Some(more), Some(count)) = (upgrade.count, base.count) else {
        let message = "the base has no COUNT: it is a local license, which has no seats to add to".to_owned();
        return Some((Reason::NotANetworkLicense, message));
    };
    match (count, more) {
        (Count::Limited(count), Count::Limited(more)) => {
            if count.checked_add(more).is_none_or(|total| total > Count::MAX) {
                let message = format!("{count} seats and {more} more are above {}", Count::MAX);
                return Some((Reason::CountOverflow, message));
            }
        }
        _ => {
            let message = "neither an upgrade nor what it upgrades may be UNLIMITED".to_owned();
            return Some((Reason::Unlimited, message));
        }
    }
    if base.hal != upgrade.hal {
        let message = "HAL_SERVERS must be the same in the upgrade and in its base".to_owned();
        return Some((Reason::HalMismatch, message));
    }
    let message = match (upgrade.end, base.end) {
        (_, None) => return None,
        (Some(end), Some(last)) if end <= last => return None,
        (Some(end), Some(last)) => format!("its END {end} is after {last}, the END of its base"),
        (None, Some(last)) => {
            format!("it has no END and its base has the END {last}; give it an END of {last} or earlier")
        }
    };
    Some((Reason::OutlivesExclusive, message))
}
