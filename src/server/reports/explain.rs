//! What a license says and what the licenses of a feature come to, as far as the reader may see it (S84).

use chrono::NaiveDate;
use seats::catalog::{Catalog, FeatureLicenses};
use seats::change::PoolKind;
use seats::evaluate::{Evaluation, PoolGrant, Standing, Total, evaluate, explain, forecast, pool_kind};
use seats::license::{Based, Count, HostIdEntry, KeyType, License, Replaces};
use seats::maintenance::is_unlimited;

use super::Reader;
use super::fill::{LICENSES_OF_A_FEATURE_MAX, parts};
use super::maintenance::{is_stated, maintenance};
use crate::clock::rfc3339;
use crate::engine::picture::Picture;
use crate::report;

/// How many days of change an explanation looks ahead.
const CHANGES_MAX: usize = 20;

impl Reader<'_> {
    pub(super) fn license(
        &self,
        feature: &FeatureLicenses,
        evaluation: &Evaluation,
        at: usize,
        picture: &Picture,
    ) -> report::License {
        let license = &feature.licenses[at];
        let Standing { state, reason } = evaluation.standings[at];
        let seen = self.origin.sees_all;
        let replaced_by = feature.replacement(at).map(|replacement| report::ReplacedBy {
            feature: replacement.by.feature.as_str().into(),
            from: replacement.from(),
            sn: self.sn(&replacement.by),
            file: seen.then(|| replacement.by.place.file.to_string()),
            line: seen.then_some(replacement.by.place.line),
        });
        report::License {
            feature: None,
            vendor: None,
            sn: self.sn(license),
            key_type: license.key_type.as_str().into(),
            count: match license.count {
                Some(Count::Limited(n)) => Some(u64::from(n)),
                _ => None,
            },
            unlimited: license.count == Some(Count::Unlimited),
            version: license.version.map(|v| v.to_string()),
            start: license.start.or_else(|| maintained_from(license)),
            end: license.end,
            ends_at: license.end.map(|end| rfc3339(self.zone().end_instant(end))),
            state: state.as_str().into(),
            reason: reason.map(|r| r.as_str().into()),
            // The sentence may name files.
            message: explain(feature, evaluation, at).filter(|_| seen),
            file: seen.then(|| license.place.file.to_string()),
            line: seen.then_some(license.place.line),
            pool: None,
            maintenance: (pool_kind(license).is_some() && is_stated(license))
                .then(|| maintenance(feature, at, picture)),
            covers_until: covers_until(license),
            terms: terms(license, seen),
            replaced_by,
        }
    }

    pub(super) fn explanation(&self, feature: &FeatureLicenses, picture: &Picture) -> report::Explain {
        let evaluation = evaluate(feature, picture.day);
        let (base, upgrades) = parts(feature, &evaluation);
        let mut pool_of: Vec<Option<u32>> = vec![None; feature.licenses.len()];
        for (number, pool) in (0..).zip(&evaluation.pools) {
            evaluation.licenses_of(feature, &pool.kind).for_each(|at| pool_of[at] = Some(number));
            let renewals =
                feature.renewals(pool.license).iter().filter_map(|renewal| feature.index_of(renewal));
            let counts = |at: &usize| evaluation.standings[*at] == Standing::IN_FORCE;
            renewals.filter(counts).for_each(|at| pool_of[at] = Some(number));
        }
        let mut order: Vec<usize> = (0..feature.licenses.len()).collect();
        order.sort_by_key(|at| {
            (pool_of[*at].is_none(), pool_of[*at], pool_kind(&feature.licenses[*at]).is_none(), *at)
        });
        let changes = forecast(feature, picture.day, CHANGES_MAX).into_iter().map(|f| report::Change {
            day: f.day,
            at: rfc3339(self.zone().start_of_day(f.day)),
            total: f.total.limited().map(u64::from),
            pools: f.pools.iter().map(|pool| self.pool_total(feature, pool)).collect(),
            licenses: (f.changed.into_iter())
                .map(|(at, standing)| report::ChangedLicense {
                    sn: self.sn(&feature.licenses[at]),
                    state: standing.state.as_str().into(),
                    reason: standing.reason.map(|r| r.as_str().into()),
                })
                .collect(),
        });
        let listed = order.into_iter().take(LICENSES_OF_A_FEATURE_MAX);
        report::Explain {
            schema: report::SCHEMA,
            feature: feature.feature.as_str().into(),
            vendor: feature.vendor.as_str().into(),
            today: picture.day,
            total: evaluation.total.limited().map(u64::from),
            base,
            upgrades,
            unlimited: evaluation.total == Total::Unlimited,
            pools: evaluation.pools.iter().map(|pool| self.pool_sum(feature, pool, picture)).collect(),
            licenses: listed
                .map(|at| report::License {
                    pool: pool_of[at],
                    ..self.license(feature, &evaluation, at, picture)
                })
                .collect(),
            changes: changes.collect(),
        }
    }

    /// The license's serial number, where the reader may see it.
    fn sn(&self, license: &License) -> Option<String> {
        license.sn.as_ref().filter(|_| self.origin.sees_all).map(|sn| sn.to_string())
    }

    fn pool_total(&self, feature: &FeatureLicenses, pool: &PoolGrant) -> report::PoolTotal {
        let license = &feature.licenses[pool.license];
        report::PoolTotal {
            key_type: license.key_type.as_str().into(),
            sn: self.sn(license),
            total: pool.total.limited().map(u64::from),
            unlimited: pool.total == Total::Unlimited,
        }
    }

    fn pool_sum(&self, feature: &FeatureLicenses, pool: &PoolGrant, picture: &Picture) -> report::PoolSum {
        let license = &feature.licenses[pool.license];
        let (total, base) = match (pool.total, license.count) {
            (Total::Limited(total), Some(Count::Limited(base))) => (Some(total.into()), Some(base.into())),
            (total, _) => (total.limited().map(u64::from), None),
        };
        report::PoolSum {
            key_type: license.key_type.as_str().into(),
            sn: self.sn(license),
            version: license.version.map(|v| v.to_string()),
            total,
            base,
            upgrades: total.zip(base).map_or(0, |(total, base)| total.saturating_sub(base)),
            unlimited: pool.total == Total::Unlimited,
            needs: if pool.kind == PoolKind::Token {
                needs(&picture.catalog, feature, pool.license, picture)
            } else {
                Vec::new()
            },
        }
    }
}

/// What one token of a license takes today.
fn needs(
    catalog: &Catalog,
    feature: &FeatureLicenses,
    license: usize,
    picture: &Picture,
) -> Vec<report::TokenNeed> {
    let at = catalog.index_of(&feature.vendor, &feature.feature);
    let needs = at.and_then(|at| catalog.token_needs(at, license, picture.day)).unwrap_or_default();
    let shown = needs.into_iter().map(|need| report::TokenNeed {
        feature: need.name.as_str().into(),
        version: need.version.to_string(),
        count: need.count,
        is_token: need.is_token,
        is_served: need
            .feature
            .and_then(|at| catalog.features().get(at))
            .is_some_and(|feature| !evaluate(feature, picture.day).pools.is_empty()),
    });
    shown.collect()
}

/// What a license says beside seats and dates. Host names, users and serial numbers are not for everybody.
/// Of a renewal the first day on which its window counts.
fn maintained_from(license: &License) -> Option<NaiveDate> {
    let given = license.carried.maintenance.as_deref().filter(|_| license.key_type == KeyType::Maintenance);
    given.and_then(|given| given.start)
}

/// Of a renewal the last release day it covers.
fn covers_until(license: &License) -> Option<NaiveDate> {
    let end = license.carried.maintenance_end.filter(|_| license.key_type == KeyType::Maintenance);
    end.filter(|end| !is_unlimited(*end))
}

fn terms(license: &License, seen: bool) -> report::Terms {
    let seconds = |milliseconds: Option<u64>| milliseconds.map(|ms| ms / 1000);
    let based = |based: Option<Based>| {
        based.map(|based| match based {
            Based::Seats(seats) => seats.to_string(),
            Based::All => "ALL".into(),
        })
    };
    let entry = |entry: &HostIdEntry| format!("{}={}", entry.kind.as_str(), entry.value);
    let blocks = license.client_host_ids.iter().map(|block| block.iter().map(entry).collect());
    report::Terms {
        share: share(license),
        soft_limit: license.carried.soft_limit.map(u64::from),
        hold_seconds: seconds(license.hold_ms()),
        min_checkout_seconds: seconds(license.min_checkout_ms()),
        user_based: based(license.user_based()),
        host_based: based(license.host_based()),
        borrow_hours: license.carried.borrow_hours.map(u64::from),
        not_lent: (license.carried.borrow_hours.and(license.lends().err()))
            .map(|why| format!("the license {}", why.as_text())),
        grace_hours: license.carried.grace_hours.map(u64::from),
        platforms: license.platforms.iter().map(|p| p.to_string()).collect(),
        time_zones: license.time_zones.map(|zones| zones.hours().collect()).unwrap_or_default(),
        client_host_ids: if seen { blocks.collect() } else { Vec::new() },
        match_rate: Some(license.match_rate).filter(|_| seen && !license.client_host_ids.is_empty()),
        token_dependencies: (license.token_dependencies().iter())
            .map(|d| report::TokenDependency {
                feature: d.feature.as_str().into(),
                version: d.version.to_string(),
                count: d.count.into(),
            })
            .collect(),
        renews: license.renews().filter(|_| seen).map(Into::into),
        replaces: license.replaces().and_then(|replaces| match replaces {
            Replaces::Feature(name) => Some(format!("FEATURE={name}")),
            Replaces::Sn(sn) => seen.then(|| format!("SN={sn}")),
            Replaces::Key(key) => seen.then(|| format!("KEY={key}")),
        }),
    }
}

pub(super) fn share(license: &License) -> Vec<String> {
    let s = license.share;
    let flags = [(s.host, "HOST"), (s.user, "USER"), (s.custom, "CUSTOM"), (s.virtual_machine, "VIRTUAL")];
    flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.into()).collect()
}
