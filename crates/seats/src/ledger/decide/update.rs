//! Would a new version run? Asked before it is installed (rules 3, 6.8): no seat is taken, nothing waits, nothing is recorded.
//!
//! It is about versions alone. Who asks may be an installer on another machine and under another name than the program will run
//! with, so the policy and the terms that bind a client are not looked at.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::super::{Ledger, Now};
use super::denials::nearness;
use crate::catalog::FeatureLicenses;
use crate::change::PoolId;
use crate::denial::{Code, Denial};
use crate::evaluate::pool_kind;
use crate::license::{License, Name};
use crate::maintenance::{
    Granted, Plan, Refused, Release, State, decide_listed, is_unlimited, newest_that_runs, sentence,
};
use crate::releases::ReleaseList;
use crate::request::Item;
use crate::version::ReleaseVersion;

/// The most candidates of one question.
pub const CANDIDATES_MAX: usize = 64;

/// A version that might be installed, as it is stated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// `release_version`.
    pub version: String,
    /// `release_date`.
    pub date: Option<String>,
    /// `line_date`.
    pub line: Option<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateQuestion {
    /// About which feature; its count does not matter.
    pub item: Item,
    /// What runs now, if anything does.
    pub installed: Option<Candidate>,
    /// What is offered; empty: the newest that the vendor's release list has, and the newest of it that runs.
    pub candidates: Vec<Candidate>,
}

/// What to tell the person who wants to update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// There is a newer version, and it will run.
    UpdateAvailable,
    /// There is a newer version, and it will not run; what is installed goes on.
    NeedsRenewal,
    /// There is nothing newer.
    UpToDate,
}

impl Advice {
    /// As JSON says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::UpdateAvailable => "update_available",
            Advice::NeedsRenewal => "update_needs_renewal",
            Advice::UpToDate => "up_to_date",
        }
    }
}

/// Why a candidate does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillNotRun {
    /// The code a checkout would be refused with.
    pub code: Code,
    /// The last release day that any license covers, where there is one.
    pub maintenance_end: Option<NaiveDate>,
    /// The release day that maintenance would have to reach; only with `maintenance_expired`.
    pub renew_to_at_least: Option<NaiveDate>,
    /// For a person.
    pub message: String,
}

/// The answer for one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateAnswer {
    /// As it was stated.
    pub version: String,
    /// Why it runs, or why not.
    pub verdict: Result<Granted, WillNotRun>,
    /// Seats of all pools it may have a seat of; `None`: without bound.
    pub seats_covered: Option<u64>,
    /// Those of them that are free now; `None`: without bound.
    pub seats_free: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateAnswer {
    /// Who sells it.
    pub vendor: Name,
    /// What was asked about.
    pub feature: Name,
    /// One for each candidate, in their order.
    pub answers: Vec<CandidateAnswer>,
    /// All seats of the feature today; `None`: without bound.
    pub seats: Option<u64>,
    /// The newest version of all that are offered or listed that will run.
    pub newest_that_will_run: Option<ReleaseVersion>,
    /// The newest of all that are offered or listed.
    pub newest_offered: Option<ReleaseVersion>,
    /// Whether what is installed goes on; `None`: nothing was said of it, or not when it was released.
    pub installed_keeps_working: Option<bool>,
    /// What to tell the person.
    pub advice: Advice,
    /// How maintenance stands, of the licenses that cover most.
    pub state: State,
    /// The last release day covered; `None`: there is no maintenance, or it has no end.
    pub maintenance_end: Option<NaiveDate>,
    /// From today to that day; negative after it.
    pub days_left: Option<i64>,
}

/// One pool, or a license that could stand for one, with what it says of versions.
struct Source<'l> {
    pool: Option<PoolId>,
    license: &'l Arc<License>,
    plan: Plan<'l>,
}

impl Ledger {
    /// Answers an update check. The caller has brought the feature up to date with [`Ledger::refresh`].
    ///
    /// # Errors
    /// No such feature here, several vendors sell it, or too many candidates.
    pub fn check_update(&self, question: &UpdateQuestion, now: Now) -> Result<UpdateAnswer, Box<Denial>> {
        if question.candidates.len() > CANDIDATES_MAX {
            let text = format!(
                "{} candidates are asked about, at most {CANDIDATES_MAX} may be",
                question.candidates.len()
            );
            return Err(Box::new(Denial::new(Code::BadRequest, text)));
        }
        let at = self.find_feature(&question.item)?;
        let of = &self.terms.catalog().features()[at];
        let list = self.terms.catalog().releases_of(&of.vendor, &of.feature).map(|list| &**list);
        let sources = self.sources_of_versions(at, of);
        let newest_listed = list.and_then(|list| Some(list.releases.last()?.version));
        let newest_runs = |list: &ReleaseList| {
            sources.iter().filter_map(|source| newest_that_runs(&source.plan, now.day, list)).max()
        };
        let listed_runs = list.and_then(newest_runs);
        let mut candidates = question.candidates.clone();
        if candidates.is_empty() {
            let listed =
                newest_listed.into_iter().chain(listed_runs.filter(|runs| Some(*runs) != newest_listed));
            candidates.extend(
                listed.map(|version| Candidate { version: version.to_string(), ..Candidate::default() }),
            );
        }
        let version = |candidate: &Candidate| candidate.version.parse::<ReleaseVersion>().ok();
        // Each version by each pool, once: a client chooses how many versions, a customer how many pools.
        let of_all = |candidate: &Candidate| -> Vec<Judged> {
            sources.iter().map(|source| judge(source, now, candidate, list)).collect()
        };
        let judged: Vec<Vec<Judged>> = candidates.iter().map(of_all).collect();
        let with_judged = || candidates.iter().zip(&judged);
        let offered_runs = with_judged().filter(|(_, judged)| judged.iter().any(Result::is_ok));
        let offered_runs = offered_runs.filter_map(|(candidate, _)| version(candidate)).max();
        let newest_that_will_run = listed_runs.max(offered_runs);
        let newest_offered = newest_listed.max(candidates.iter().filter_map(version).max());
        let best = newest_that_will_run.or_else(|| {
            let installed =
                question.installed.as_ref().filter(|one| of_all(one).iter().any(Result::is_ok))?;
            version(installed)
        });
        let answers = with_judged().map(|(candidate, judged)| {
            self.answer_for(candidate, &sources, judged, (of, &*question.item.feature), best)
        });
        let best_plan = sources.iter().max_by_key(|source| source.plan.covered_until(now.day));
        let state = best_plan.map_or(State::None, |source| source.plan.state(now.day));
        let maintenance_end = best_plan.and_then(|source| source.plan.shown_end());
        let installed = question.installed.as_ref();
        let is_newer = |newest: Option<ReleaseVersion>| match (newest, installed.and_then(version)) {
            (Some(newest), Some(installed)) => newest > installed,
            (newest, None) => newest.is_some(),
            (None, _) => false,
        };
        let goes_on = installed.and_then(|installed| keeps_working(&sources, now, installed, list));
        Ok(UpdateAnswer {
            vendor: of.vendor.clone(),
            feature: of.feature.clone(),
            answers: answers.collect(),
            seats: self.seats_in(sources.iter()).0,
            newest_that_will_run,
            newest_offered,
            installed_keeps_working: goes_on,
            advice: match (is_newer(newest_that_will_run), is_newer(newest_offered)) {
                (true, _) => Advice::UpdateAvailable,
                (false, true) => Advice::NeedsRenewal,
                // What is installed is the newest, and does not run any more.
                (false, false) if goes_on == Some(false) => Advice::NeedsRenewal,
                (false, false) => Advice::UpToDate,
            },
            state,
            maintenance_end,
            days_left: maintenance_end.map(|end| (end - now.day).num_days()),
        })
    }

    /// The pools that grant today; where there is none, every license that could stand for one on another day.
    fn sources_of_versions<'l>(&'l self, at: usize, of: &'l FeatureLicenses) -> Vec<Source<'l>> {
        let pools = self.terms.pools(at);
        let granting =
            pools.map(|(pool, license)| Source { pool: Some(pool), license, plan: self.plan(of, license) });
        let granting: Vec<_> = granting.collect();
        if !granting.is_empty() {
            return granting;
        }
        let others = (0..of.licenses.len()).filter(|at| of.can_count(*at)).map(|at| &of.licenses[at]);
        let others = others.filter(|license| pool_kind(license).is_some());
        others.map(|license| Source { pool: None, license, plan: self.plan(of, license) }).collect()
    }

    /// Seats of some pools, and those that are free.
    fn seats_in<'s>(&self, sources: impl Iterator<Item = &'s Source<'s>>) -> (Option<u64>, Option<u64>) {
        let numbers = sources.filter_map(|source| source.pool).map(|pool| self.numbers(pool));
        let add = |sum: Option<u64>, more: Option<u64>| Some(sum?.saturating_add(more?));
        numbers.fold((Some(0), Some(0)), |(all, free), numbers| {
            let total = numbers.total.limited().map(u64::from);
            (add(all, total), add(free, total.and(numbers.free())))
        })
    }

    fn answer_for(
        &self,
        candidate: &Candidate,
        sources: &[Source<'_>],
        judged: &[Judged],
        (of, feature): (&FeatureLicenses, &str),
        best: Option<ReleaseVersion>,
    ) -> CandidateAnswer {
        let each = || sources.iter().zip(judged);
        let covering = each().filter(|(_, judged)| judged.is_ok()).map(|(source, _)| source);
        let (seats_covered, seats_free) = self.seats_in(covering);
        let granted = judged.iter().find_map(|judged| judged.as_ref().ok()).copied();
        let near = |(source, judged): &(&Source<'_>, &Judged)| {
            let code = judged.as_ref().err().map(Refused::code);
            (code.map(nearness), source.plan.effective_end())
        };
        let nearest = each().max_by_key(near);
        let refused = nearest.and_then(|(source, judged)| Some((source, judged.as_ref().err()?)));
        let verdict = match (granted, refused) {
            (Some(granted), _) => Ok(granted),
            (None, Some((source, refused))) => Err(WillNotRun {
                code: refused.code(),
                maintenance_end: source.plan.effective_end().filter(|end| !is_unlimited(*end)),
                renew_to_at_least: match refused {
                    Refused::MaintenanceExpired(_, released, _) => Some(*released),
                    _ => None,
                },
                message: sentence(feature, source.license, &source.plan, refused, best),
            }),
            // Only upgrades, renewals and node-locked licenses.
            (None, None) => Err(WillNotRun {
                code: Code::UnknownFeature,
                maintenance_end: None,
                renew_to_at_least: None,
                message: format!("no floating license of {} is here", of.feature),
            }),
        };
        CandidateAnswer { version: candidate.version.clone(), verdict, seats_covered, seats_free }
    }
}

/// What one pool says to one version.
type Judged = Result<Granted, Refused>;

fn judge(source: &Source<'_>, now: Now, candidate: &Candidate, list: Option<&ReleaseList>) -> Judged {
    let release = Release {
        version: Some(&candidate.version),
        date: candidate.date.as_deref(),
        line: candidate.line.as_deref(),
    };
    decide_listed(&source.plan, now.day, release, list)
}

/// Whether what is installed runs; `None` where that hangs on a date that nobody stated.
fn keeps_working(
    sources: &[Source<'_>],
    now: Now,
    installed: &Candidate,
    list: Option<&ReleaseList>,
) -> Option<bool> {
    let judged: Vec<_> = sources.iter().map(|source| judge(source, now, installed, list)).collect();
    if judged.iter().any(Result::is_ok) {
        return Some(true);
    }
    let is_open = judged.iter().any(|judged| matches!(judged, Err(Refused::DateRequired(..))));
    (!is_open).then_some(false)
}
