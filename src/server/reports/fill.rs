//! What a feature, a session looks like in a report: from the ledger's values to the types of
//! `src/report`, as far as the reader may see it (S84).

use std::sync::Arc;

use seats::catalog::FeatureLicenses;
use seats::change::PoolKind;
use seats::denial::Numbers;
use seats::evaluate::{Evaluation, Total, evaluate, falls_back, next_sum};
use seats::ledger::{BorrowView, Counters, Presentation, SessionView};
use seats::license::{Count, KeyType, License};
use seats::request::Item;

use super::Reader;
use super::explain::share;
use super::maintenance::{ends, is_stated, maintenance, notices};
use crate::answer;
use crate::clock::{Zone, rfc3339};
use crate::engine::ask::{WaiterPresence, WaiterView};
use crate::engine::picture::Picture;
use crate::report;

/// The most licenses listed for one feature in one part.
pub(super) const LICENSES_OF_A_FEATURE_MAX: usize = 1_000;

impl Reader<'_> {
    /// `counters`: of all its pools.
    pub(super) fn feature<'a>(
        &self,
        feature: &FeatureLicenses,
        counters: impl Iterator<Item = &'a Counters> + Clone,
        picture: &Picture,
    ) -> report::Feature {
        let (vendor, name) = (feature.vendor.as_str(), feature.feature.as_str());
        let evaluation = evaluate(feature, picture.day);
        let pools = if self.origin.sees_all {
            self.pools(feature, &evaluation, counters.clone(), picture)
        } else {
            Vec::new()
        };
        report::Feature {
            next_change: self.next_change(feature, &evaluation),
            notices: notices(feature, picture, self.origin.sees_all),
            denials_24h: Some(self.denials_of_a_day(vendor, name)),
            pools,
            ..of_licenses(self.zone(), feature, &evaluation, picture, in_use(vendor, name, counters, picture))
        }
    }

    fn next_change(&self, feature: &FeatureLicenses, today: &Evaluation) -> Option<report::NextChange> {
        let (day, total) = next_sum(feature, today)?;
        Some(report::NextChange { day, at: rfc3339(self.zone().start_of_day(day)), total })
    }

    fn denials_of_a_day(&self, vendor: &str, feature: &str) -> u64 {
        self.server.counts.by_feature.of(vendor, feature).1
    }

    /// A feature that no file names any more: its sessions go on, in pools without seats (L39).
    pub(super) fn without_license<'a>(
        &self,
        counters: impl Iterator<Item = &'a Counters> + Clone,
        picture: &Picture,
    ) -> report::Feature {
        let (vendor, name) = name_of(counters.clone());
        let in_use = in_use(vendor, name, counters.clone(), picture);
        let pools = counters.filter(|_| self.origin.sees_all);
        report::Feature {
            base: Some(0),
            denials_24h: Some(self.denials_of_a_day(vendor, name)),
            pools: pools.map(|c| self.pool(c, None, Vec::new(), picture)).collect(),
            ..in_use
        }
    }

    /// Those that grant first, in the order of trial; then those that a license stands for and those that none does.
    fn pools<'a>(
        &self,
        feature: &FeatureLicenses,
        evaluation: &Evaluation,
        counters: impl Iterator<Item = &'a Counters>,
        picture: &Picture,
    ) -> Vec<report::Pool> {
        let place = |kind: &PoolKind| evaluation.pools.iter().position(|pool| pool.kind == *kind);
        let mut placed: Vec<(Option<usize>, &Counters)> = counters.map(|c| (place(&c.kind), c)).collect();
        placed.sort_by_key(|(at, c)| (at.is_none(), *at, c.pool));
        let mut room = LICENSES_OF_A_FEATURE_MAX;
        let pool = |(at, c): (Option<usize>, &Counters)| {
            let license = at.map(|at| (feature, evaluation.pools[at].license));
            let counting = evaluation.licenses_of(feature, &c.kind).take(room);
            let licenses: Vec<_> =
                counting.map(|nth| self.license(feature, evaluation, nth, picture)).collect();
            room -= licenses.len();
            self.pool(c, license, licenses, picture)
        };
        placed.into_iter().map(pool).collect()
    }

    /// `grants`: the license whose terms hold for it, if one grants today.
    fn pool(
        &self,
        c: &Counters,
        grants: Option<(&FeatureLicenses, usize)>,
        licenses: Vec<report::License>,
        picture: &Picture,
    ) -> report::Pool {
        let license = grants.map(|(feature, at)| &*feature.licenses[at]);
        let stated = grants.filter(|(feature, at)| is_stated(&feature.licenses[*at]));
        let sn = match &c.kind {
            // A license without SN has its content's hash in that place, which is nobody's business.
            PoolKind::Additive(sn) if self.origin.sees_all && !sn.starts_with('#') => Some(sn.to_string()),
            _ => None,
        };
        let instant = |tick: u64| {
            let ahead = i64::try_from(tick.saturating_sub(picture.tick)).unwrap_or(i64::MAX);
            rfc3339(picture.unix_ms.saturating_add(ahead))
        };
        report::Pool {
            id: c.pool.0.to_string(),
            key_type: answer::key_type(&c.kind).into(),
            sn,
            version: license.and_then(|l| l.version).map(|v| v.to_string()),
            numbers: answer::numbers(&numbers(c)),
            active: c.active.min(c.used),
            held_until: c.held_until.map(instant),
            soft_limit: license.and_then(|l| l.carried.soft_limit).map(u64::from),
            share: license.map(share).unwrap_or_default(),
            ends_at: license.and_then(|l| ends_at(self.zone(), l, picture)),
            maintenance: stated.map(|(feature, at)| maintenance(feature, at, picture)),
            highest_version: c.highest.map(|(version, _)| version.to_string()),
            highest_release_date: c.highest.and_then(|(_, released)| released),
            licenses,
        }
    }

    pub(super) fn session(&self, view: &SessionView) -> report::Session {
        let clock = &self.server.context.clock;
        let (tick, unix_ms) = (clock.tick().0, clock.unix_ms());
        let instant = |at: u64| {
            let between = i64::try_from(tick.abs_diff(at)).ok()?;
            Some(rfc3339(if at <= tick { unix_ms - between } else { unix_ms.saturating_add(between) }))
        };
        let (state, suspect, borrowed_until) = match view.presence {
            Presentation::Active => ("active", None, None),
            Presentation::Suspect(suspect) => ("suspect", Some(suspect), None),
            Presentation::Borrowed(until) => ("borrowed", None, Some(until)),
        };
        let text = |t: &Option<Box<str>>| t.as_ref().map(|t| t.to_string());
        report::Session {
            id: view.session.to_string(),
            bundle: view.bundle.to_string(),
            vendor: view.vendor.as_str().into(),
            feature: view.feature.as_str().into(),
            pool: view.pool.0.to_string(),
            count: view.count,
            version: text(&view.facts.release_version),
            release_date: text(&view.facts.release_date),
            user: view.facts.user.to_string(),
            host: view.facts.host.to_string(),
            display: text(&view.facts.display),
            pid: (view.pid != 0).then_some(view.pid),
            address: view.facts.address.map(|a| a.to_string()),
            state: state.into(),
            since: view.since_unix_ms.map(rfc3339),
            last_seen: view.heard.and_then(instant),
            suspect_since: suspect.and_then(|suspect| instant(suspect.since)),
            free_at: view.free_at.and_then(instant),
            reaped_at: suspect.and_then(|suspect| instant(suspect.reaped_at)),
            borrowed_until: borrowed_until.map(|until| rfc3339(until.saturating_mul(1_000))),
            token: view.token.map(|token| token.to_string()),
            shared: view.is_shared,
            share: text(&view.facts.share).filter(|_| view.is_shared),
            above_soft_limit: view.above_soft_limit,
        }
    }
}

/// Seats that are lent (S40).
pub(super) fn borrow(view: &BorrowView) -> report::Borrow {
    let instant = |unix_s: i64| rfc3339(unix_s.saturating_mul(1_000));
    report::Borrow {
        id: view.session.to_string(),
        bundle: view.bundle.to_string(),
        vendor: view.vendor.as_str().into(),
        feature: view.feature.as_str().into(),
        pool: view.pool.0.to_string(),
        count: view.count,
        user: view.facts.user.to_string(),
        host: view.facts.host.to_string(),
        install_id: view.facts.install_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        from: instant(view.from),
        until: instant(view.until),
        written_off: view.written_off.as_ref().map(|note| report::WrittenOff {
            at: instant(note.at),
            by: note.by.to_string(),
            reason: note.reason.to_string(),
        }),
    }
}

/// A checkout that waits (S30).
pub(super) fn waiter(view: &WaiterView) -> report::Waiter {
    let item = |item: &Item| report::WaitedFor {
        vendor: item.vendor.as_ref().map(|vendor| vendor.to_string()),
        feature: item.feature.to_string(),
        count: item.count,
    };
    report::Waiter {
        id: view.waiter.to_string(),
        features: view.items.iter().map(item).collect(),
        place: view.before + 1,
        state: match view.presence {
            WaiterPresence::Waiting => "waiting".into(),
            WaiterPresence::Gone => "gone".into(),
            WaiterPresence::Served => "served".into(),
        },
        since: view.since_unix_ms.map(rfc3339),
        until: rfc3339(view.until_unix_ms),
        user: view.facts.user.to_string(),
        host: view.facts.host.to_string(),
        pid: (view.pid != 0).then_some(view.pid),
    }
}

/// Seats of the exclusive in force (`None`: unlimited), and seats that upgrades add.
pub(super) fn parts(feature: &FeatureLicenses, evaluation: &Evaluation) -> (Option<u64>, u64) {
    let count = evaluation.base.and_then(|at| feature.licenses[at].count);
    match (count, evaluation.total) {
        (Some(Count::Limited(base)), Total::Limited(total)) => {
            (Some(u64::from(base)), u64::from(total.saturating_sub(base)))
        }
        (Some(Count::Unlimited), _) | (_, Total::Unlimited) => (None, 0),
        (None, Total::Limited(_)) => (Some(0), 0),
    }
}

fn numbers(c: &Counters) -> Numbers {
    Numbers {
        total: c.total,
        used: c.used,
        suspect: c.used.saturating_sub(c.active + c.borrowed),
        borrowed: c.borrowed,
        held: c.held,
        reserved: c.reserved,
    }
}

/// What the licenses of a feature say; what is in use of it stays.
pub(super) fn of_licenses(
    zone: &Zone,
    feature: &FeatureLicenses,
    evaluation: &Evaluation,
    picture: &Picture,
    in_use: report::Feature,
) -> report::Feature {
    let first = evaluation.pools.first().map(|pool| pool.license);
    let main = evaluation.base.or(first).map(|at| &feature.licenses[at]);
    // Where none counts today, of the one that ends last. Upgrades and renewals have no version, and of renewals no day is an end.
    let has_seats = |l: &&Arc<License>| !matches!(l.key_type, KeyType::Upgrade | KeyType::Maintenance);
    let last = || feature.licenses.iter().filter(has_seats).max_by_key(|l| (l.end.is_none(), l.end));
    let shown = main.or_else(last);
    let (base, upgrades) = parts(feature, evaluation);
    let additives = evaluation.pools.iter().filter(|pool| matches!(pool.kind, PoolKind::Additive(_)));
    report::Feature {
        version: shown.and_then(|l| l.version).map(|v| v.to_string()),
        base,
        upgrades,
        additives: additives.filter_map(|pool| pool.total.limited()).map(u64::from).sum(),
        soft_limit: main.and_then(|l| l.carried.soft_limit).map(u64::from),
        share: main.map(|l| share(l)).unwrap_or_default(),
        start: shown.and_then(|l| l.start),
        end: shown.and_then(|l| l.end),
        ends_at: main.and_then(|l| ends_at(zone, l, picture)),
        maintenance_ends: evaluation.base.or(first).and_then(|at| ends(feature, at, picture)),
        ..in_use
    }
}

/// A subscription that goes on with its fallback version has no end any more.
fn ends_at(zone: &Zone, license: &License, picture: &Picture) -> Option<String> {
    license.end.filter(|_| !falls_back(license, picture.day)).map(|end| rfc3339(zone.end_instant(end)))
}

/// Whether a feature is shown: where all licenses are refused it serves nobody, but for the sessions from before (L39).
pub(super) fn serves<'a>(
    feature: &FeatureLicenses,
    mut counters: impl Iterator<Item = &'a Counters>,
) -> bool {
    feature.has_good_license() || counters.any(|c| c.used > 0 || c.held > 0)
}

/// Vendor and name of the feature of these pools.
pub(super) fn name_of<'a>(mut counters: impl Iterator<Item = &'a Counters>) -> (&'a str, &'a str) {
    counters.next().map_or(("", ""), |c| (c.vendor.as_str(), c.feature.as_str()))
}

/// What is in use of a feature with these pools, and who waits for it; nothing of its licenses.
pub(super) fn in_use<'a>(
    vendor: &str,
    name: &str,
    counters: impl Iterator<Item = &'a Counters> + Clone,
    picture: &Picture,
) -> report::Feature {
    report::Feature {
        vendor: vendor.into(),
        name: name.into(),
        queued: picture.queued_for(vendor, name),
        ..sums(counters)
    }
}

/// How the seats of all pools add up (S6). What a token takes is in use elsewhere: it has no seats (L51).
fn sums<'a>(counters: impl Iterator<Item = &'a Counters> + Clone) -> report::Feature {
    let is_token = |c: &&Counters| c.kind == PoolKind::Token;
    let none = Numbers { total: Total::ZERO, used: 0, suspect: 0, borrowed: 0, held: 0, reserved: 0 };
    let mut total = Some(0u64);
    let n = counters.clone().filter(|c| !is_token(c)).map(numbers).fold(none, |sum, n| {
        total = total.zip(n.total.limited()).map(|(total, more)| total + u64::from(more));
        Numbers {
            total: sum.total,
            used: sum.used + n.used,
            suspect: sum.suspect + n.suspect,
            borrowed: sum.borrowed + n.borrowed,
            held: sum.held + n.held,
            reserved: sum.reserved + n.reserved,
        }
    });
    let taken = n.used + n.held;
    report::Feature {
        total,
        unlimited: total.is_none(),
        used: n.used,
        active: n.used - n.suspect - n.borrowed,
        suspect: n.suspect,
        borrowed: n.borrowed,
        held: n.held,
        reserved: n.reserved,
        free: total.map(|total| total.saturating_sub(taken + n.reserved)),
        over: total.map_or(0, |total| taken.saturating_sub(total)),
        tokens: counters.filter(is_token).map(|c| c.used).reduce(|sum, used| sum + used),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seats::change::PoolId;
    use seats::license::Name;

    fn counters(kind: PoolKind, total: Total, used: u64) -> Counters {
        let name = |text| Name::new(text).unwrap();
        Counters {
            pool: PoolId(1),
            vendor: name("ACME"),
            feature: name("cad"),
            kind,
            total,
            used,
            active: used.min(3),
            borrowed: u64::from(used > 3),
            held: 1,
            held_until: None,
            reserved: 2,
            highest: None,
        }
    }

    #[test]
    fn the_seats_of_all_pools_are_summed_and_tokens_are_not() {
        let additive = || PoolKind::Additive("7f3c".into());
        let pools = [
            counters(PoolKind::Exclusive, Total::Limited(10), 5),
            counters(additive(), Total::Limited(4), 1),
            Counters { held: 0, reserved: 0, ..counters(PoolKind::Token, Total::Unlimited, 100) },
        ];
        let sum = sums(pools.iter());
        assert_eq!((sum.total, sum.used, sum.held, sum.reserved), (Some(14), 6, 2, 4));
        assert_eq!((sum.free, sum.over, sum.tokens), (Some(2), 0, Some(100)));
        assert_eq!((sum.active, sum.suspect, sum.borrowed, sum.unlimited), (4, 1, 1, false));

        let unbounded = [pools[0].clone(), counters(additive(), Total::Unlimited, 70)];
        let sum = sums(unbounded.iter());
        assert_eq!((sum.total, sum.free, sum.over, sum.tokens), (None, None, 0, None));
        assert!(sum.unlimited && sum.used == 75);

        let token = sums(pools[2..].iter());
        assert_eq!((token.total, token.used, token.free, token.tokens), (Some(0), 0, Some(0), Some(100)));
    }
}
