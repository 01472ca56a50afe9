//! What a program states about its own release, against what the license lets run (rules 3, 6.4).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::{Ledger, Now};
use super::judge::Unfit;
use crate::catalog::FeatureLicenses;
use crate::change::{FirstCheckout, Granted, PoolId};
use crate::denial::Code;
use crate::license::{License, LicenseVersion};
use crate::maintenance::{
    Granted as Runs, Plan, Refused, Release, decide_listed, newest_that_runs, sentence,
};
use crate::request::Facts;
use crate::version::ReleaseVersion;

/// What a token states for what it takes: that version and older, whatever the program is (L51).
pub(super) fn check_stated(feature: &str, license: &License, stated: LicenseVersion) -> Result<(), Unfit> {
    match license.version {
        Some(owned) if (stated.major, stated.minor) > (owned.major, owned.minor) => {
            let text = format!(
                "version {stated} of {feature} is needed and the license covers {owned} and older: ask {} for an upgrade",
                license.vendor
            );
            Err(Unfit::Said(Code::VersionNotLicensed, text))
        }
        _ => Ok(()),
    }
}

impl Ledger {
    /// What a license, its renewals and its first checkout say of versions today.
    pub(in crate::ledger) fn plan<'l>(&self, of: &'l FeatureLicenses, license: &'l Arc<License>) -> Plan<'l> {
        let day = self.terms.day();
        match of
            .index_of(license)
            .filter(|at| of.lineage(*at).is_some() || license.starts_at_first_checkout())
        {
            Some(at) => of.plan(at, self.state.first_checkouts().day_of(of, at), day),
            None => Plan::of(license, &[], None, day),
        }
    }

    /// Whether the license lets this release run today (rules 3, 6.4).
    pub(super) fn check_release(
        &self,
        of: &FeatureLicenses,
        license: &Arc<License>,
        facts: &Facts,
    ) -> Result<(), Unfit> {
        self.decide_version(of, license, facts)
            .map(|_| ())
            .map_err(|refused| Unfit::Version(Box::new(refused)))
    }

    fn decide_version(
        &self,
        of: &FeatureLicenses,
        license: &Arc<License>,
        facts: &Facts,
    ) -> Result<Runs, Refused> {
        let plan = self.plan(of, license);
        let list = self.terms.catalog().releases_of(&of.vendor, &of.feature);
        let release = Release {
            version: facts.release_version.as_deref(),
            date: facts.release_date.as_deref(),
            line: facts.line_date.as_deref(),
        };
        decide_listed(&plan, self.terms.day(), release, list.map(|list| &**list))
    }

    /// What administrators are told of a seat that was granted (rules 3, 6.6): it runs in days of grace, or as a fallback. `None`:
    /// nothing.
    pub fn notice_of(&self, facts: &Facts, pool: PoolId) -> Option<Runs> {
        if !self.terms.catalog().has_notices() {
            return None;
        }
        let license =
            self.terms.license_of(pool, &self.state).filter(|license| license.grants_with_notice())?;
        let catalog = self.terms.catalog();
        let of = &catalog.features()[catalog.index_of(&license.vendor, &license.feature)?];
        let runs = self.decide_version(of, license, facts).ok()?;
        matches!(runs, Runs::Grace(_) | Runs::Fallback).then_some(runs)
    }

    /// What a person is told whose program does not fit a license (rules 3, 6.6). `feature` as it was asked for.
    pub(super) fn unfit_text(
        &self,
        of: &FeatureLicenses,
        license: &Arc<License>,
        feature: &str,
        unfit: &Unfit,
    ) -> String {
        match unfit {
            Unfit::Said(_, text) => text.clone(),
            Unfit::Version(refused) => {
                let plan = self.plan(of, license);
                let best = self.newest_for(of, &plan);
                sentence(feature, license, &plan, refused, best)
            }
        }
    }

    /// The licenses whose maintenance begins with this grant (rules 3, 6.10). A clock in doubt begins nothing: the next grant does.
    pub(super) fn begins_with(&self, granted: &Granted, now: Now) -> Vec<FirstCheckout> {
        let mut begun: Vec<FirstCheckout> = Vec::new();
        if !self.terms.catalog().has_windows() || !now.clock.is_settled() {
            return begun;
        }
        for session in &granted.sessions {
            let Some(license) = self.terms.license_of(session.pool, &self.state) else { continue };
            if !license.starts_at_first_checkout() {
                continue;
            }
            let Some(at) = self.terms.catalog().index_of(&license.vendor, &license.feature) else { continue };
            let of = &self.terms.catalog().features()[at];
            let is_begun =
                of.index_of(license).is_none_or(|at| self.state.first_checkouts().day_of(of, at).is_some());
            let identity = license.identity();
            let is_twice =
                begun.iter().any(|first| first.license == identity && first.feature == license.feature);
            if !is_begun && !is_twice {
                begun.push(FirstCheckout {
                    vendor: license.vendor.clone(),
                    feature: license.feature.clone(),
                    license: identity,
                    day: now.day,
                    unix_ms: self.state.unix_ms_of(now.tick),
                    server: self.server.clone(),
                    version: granted.facts.release_version.as_deref().map(Arc::from),
                });
            }
        }
        begun
    }

    /// The newest version that is known to run under a license today: where the vendor signed a list of them.
    pub(super) fn newest_for(&self, of: &FeatureLicenses, plan: &Plan<'_>) -> Option<ReleaseVersion> {
        let list = self.terms.catalog().releases_of(&of.vendor, &of.feature)?;
        newest_that_runs(plan, self.terms.day(), list)
    }
}
