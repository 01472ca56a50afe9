//! What a feature, a session looks like in a report: from the ledger's values to the types of
//! `src/report`, as far as the reader may see it (S84).

use seats::catalog::FeatureLicenses;
use seats::denial::Numbers;
use seats::evaluate::{Evaluation, State, Total, evaluate};
use seats::ledger::{Counters, Presentation, SessionView};
use seats::license::Count;

use super::Reader;
use super::explain::share;
use crate::clock::rfc3339;
use crate::engine::picture::Picture;
use crate::report;

/// The most licenses listed for one feature in one part.
pub(super) const LICENSES_OF_A_FEATURE_MAX: usize = 1_000;

impl Reader<'_> {
    pub(super) fn feature(
        &self,
        feature: &FeatureLicenses,
        counters: Option<&Counters>,
        picture: &Picture,
    ) -> report::Feature {
        let evaluation = evaluate(feature, picture.day);
        let base = evaluation.base.map(|at| &feature.licenses[at]);
        let numbers = numbers(counters);
        let (base_count, upgrades) = parts(feature, &evaluation);
        let in_force =
            (0..feature.licenses.len()).filter(|at| evaluation.standings[*at].state == State::InForce);
        let listed =
            in_force.take(LICENSES_OF_A_FEATURE_MAX).map(|at| self.license(feature, &evaluation, at));
        let pool = counters.filter(|_| self.origin.sees_all).map(|c| report::Pool {
            id: c.pool.0.to_string(),
            key_type: "EXCLUSIVE".into(),
            sn: None,
            total: c.total.limited().map(u64::from),
            unlimited: c.total == Total::Unlimited,
            used: c.used,
            licenses: listed.collect(),
        });
        report::Feature {
            vendor: feature.vendor.as_str().into(),
            name: feature.feature.as_str().into(),
            version: base.and_then(|l| l.version).map(|v| v.to_string()),
            base: base_count,
            upgrades,
            soft_limit: base.and_then(|l| l.carried.soft_limit).map(u64::from),
            share: base.map(|l| share(l)).unwrap_or_default(),
            ends_at: base.and_then(|l| l.end).map(|end| rfc3339(self.zone().end_instant(end))),
            maintenance_ends: None,
            pools: pool.into_iter().collect(),
            ..counts(&numbers)
        }
    }

    pub(super) fn session(&self, view: &SessionView) -> report::Session {
        let clock = &self.server.context.clock;
        let (tick, unix_ms) = (clock.tick().0, clock.unix_ms());
        let instant = |at: u64| i64::try_from(tick.saturating_sub(at)).ok().map(|ago| rfc3339(unix_ms - ago));
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
            pid: (view.pid != 0).then_some(view.pid),
            address: view.facts.address.map(|a| a.to_string()),
            state: match view.presence {
                Presentation::Active => "active".into(),
                Presentation::Suspect(_) => "suspect".into(),
            },
            since: view.since_unix_ms.map(rfc3339),
            last_seen: view.heard.and_then(instant),
            borrowed_until: None,
        }
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

fn numbers(counters: Option<&Counters>) -> Numbers {
    let (total, used, active) = counters.map_or((Total::ZERO, 0, 0), |c| (c.total, c.used, c.active));
    Numbers { total, used, suspect: used.saturating_sub(active), held: 0, reserved: 0 }
}

/// How the seats add up (S6).
fn counts(n: &Numbers) -> report::Feature {
    report::Feature {
        total: n.total.limited().map(u64::from),
        unlimited: n.total == Total::Unlimited,
        used: n.used,
        active: n.used.saturating_sub(n.suspect),
        suspect: n.suspect,
        held: n.held,
        reserved: n.reserved,
        free: n.free(),
        over: n.over(),
        ..Default::default()
    }
}

/// A pool that no file names any more: its sessions go on (L39).
pub(super) fn without_license(c: &Counters) -> report::Feature {
    report::Feature {
        vendor: c.vendor.as_str().into(),
        name: c.feature.as_str().into(),
        base: Some(0),
        ..counts(&numbers(Some(c)))
    }
}
