//! What a feature, a license, a session looks like in a report: from the ledger's values to the types of
//! `src/report.rs`, as far as the reader may see it (S84).

use seats::catalog::FeatureLicenses;
use seats::denial::Numbers;
use seats::evaluate::{Evaluation, Standing, State, Total, evaluate, explain, forecast};
use seats::ledger::{Counters, Presentation, SessionView};
use seats::license::{Count, License};

use super::Reader;
use crate::clock::rfc3339;
use crate::engine::picture::Picture;
use crate::report;

/// The most licenses listed for one feature in one part.
const LICENSES_OF_A_FEATURE_MAX: usize = 1_000;
/// How many days of change an explanation looks ahead.
const CHANGES_MAX: usize = 20;

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
            total: c.total.limited().map(u64::from),
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

    pub(super) fn license(
        &self,
        feature: &FeatureLicenses,
        evaluation: &Evaluation,
        at: usize,
    ) -> report::License {
        let license = &feature.licenses[at];
        let Standing { state, reason } = evaluation.standings[at];
        let seen = self.origin.sees_all;
        report::License {
            feature: None,
            vendor: None,
            sn: license.sn.as_ref().filter(|_| seen).map(|sn| sn.to_string()),
            key_type: license.key_type.as_str().into(),
            count: match license.count {
                Some(Count::Limited(n)) => Some(u64::from(n)),
                _ => None,
            },
            unlimited: license.count == Some(Count::Unlimited),
            version: license.version.map(|v| v.to_string()),
            start: license.start,
            end: license.end,
            ends_at: license.end.map(|end| rfc3339(self.zone().end_instant(end))),
            state: state.as_str().into(),
            reason: reason.map(|r| r.as_str().into()),
            // The sentence may name files.
            message: explain(feature, evaluation, at).filter(|_| seen),
            file: seen.then(|| license.place.file.to_string()),
            line: seen.then_some(license.place.line),
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

    pub(super) fn explanation(&self, feature: &FeatureLicenses, picture: &Picture) -> report::Explain {
        let evaluation = evaluate(feature, picture.day);
        let (base, upgrades) = parts(feature, &evaluation);
        let mut order: Vec<usize> = (0..feature.licenses.len()).collect();
        order.sort_by_key(|at| {
            (evaluation.standings[*at].state != State::InForce, evaluation.base != Some(*at), *at)
        });
        let changes = forecast(feature, picture.day, CHANGES_MAX).into_iter().map(|f| report::Change {
            day: f.day,
            at: rfc3339(self.zone().start_of_day(f.day)),
            total: f.total.limited().map(u64::from),
            licenses: (f.changed.into_iter())
                .map(|(at, standing)| report::ChangedLicense {
                    sn: feature.licenses[at]
                        .sn
                        .as_ref()
                        .filter(|_| self.origin.sees_all)
                        .map(|sn| sn.to_string()),
                    state: standing.state.as_str().into(),
                    reason: standing.reason.map(|r| r.as_str().into()),
                })
                .collect(),
        });
        report::Explain {
            schema: report::SCHEMA,
            feature: feature.feature.as_str().into(),
            vendor: feature.vendor.as_str().into(),
            today: picture.day,
            total: evaluation.total.limited().map(u64::from),
            base,
            upgrades,
            unlimited: evaluation.total == Total::Unlimited,
            licenses: (order.into_iter().take(LICENSES_OF_A_FEATURE_MAX))
                .map(|at| self.license(feature, &evaluation, at))
                .collect(),
            changes: changes.collect(),
        }
    }
}

/// Seats of the exclusive in force (`None`: unlimited), and seats that upgrades add.
fn parts(feature: &FeatureLicenses, evaluation: &Evaluation) -> (Option<u64>, u64) {
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

fn share(license: &License) -> Vec<String> {
    let s = license.share;
    let flags = [(s.host, "HOST"), (s.user, "USER"), (s.custom, "CUSTOM"), (s.virtual_machine, "VIRTUAL")];
    flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.into()).collect()
}
