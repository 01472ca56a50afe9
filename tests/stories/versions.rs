//! The verbs of the stories that are about versions: release lists, update checks, first checkouts, coverage (rules 3).

use std::sync::Arc;

use seats::evaluate::evaluate;
use seats::ledger::{Candidate, Pool, UpdateQuestion};
use seats::license::{Fingerprint, Place};
use seats::releases::{Listed, ReleaseList};
use seats::request::Item;

use crate::driver::{date, name};
use crate::shown::denied;
use crate::world::{Answer, World, options};

/// `releases cad 1.0@2031-01-01 1.1.2@2032-06-01/2032-04-01`: the day of the build, and of its line.
pub(crate) fn release_list(words: &[&str], at: usize) -> Result<ReleaseList, String> {
    let [feature, rest @ ..] = words else { return Err("a release list names a feature".into()) };
    let mut releases = Vec::new();
    for word in rest {
        let stated = candidate(word)?;
        releases.push(Listed {
            version: stated.version.parse().map_err(|()| format!("{word} has no version"))?,
            date: date(&stated.date.ok_or_else(|| format!("{word} has no day"))?),
            line: stated.line.as_deref().map(date),
            notes: None,
        });
    }
    releases.sort_by_key(|listed| listed.version);
    Ok(ReleaseList {
        vendor: name("ACME"),
        feature: name(feature),
        issued: None,
        releases,
        fingerprint: Fingerprint([0; 32]),
        place: Place { file: "releases.xml".into(), line: u32::try_from(at).unwrap_or(0) + 1, column: 1 },
        refusal: None,
    })
}

/// `1.1`, `1.1@2032-04-01`, `1.1.2@2032-06-01/2032-04-01`.
fn candidate(word: &str) -> Result<Candidate, String> {
    let (version, dates) = word.split_once('@').map_or((word, None), |(v, dates)| (v, Some(dates)));
    let (built, line) = match dates.map(|dates| dates.split_once('/').unwrap_or((dates, ""))) {
        None => (None, None),
        Some((built, "")) => (Some(built), None),
        Some((built, line)) => (Some(built), Some(line)),
    };
    Ok(Candidate { version: version.into(), date: built.map(Into::into), line: line.map(Into::into) })
}

impl World {
    /// `updates cad installed=1.0 1.0.1@2032-05-02 1.1@2032-04-01`: asks before anything is installed (6.8).
    pub(crate) fn updates(&mut self, feature: &str, rest: &[&str]) -> Answer {
        let (stated, offered): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.contains('='));
        let mut installed = None;
        for (option, value) in options(&stated)? {
            match option {
                "installed" => installed = Some(candidate(value)?),
                _ => return Err(format!("{option}= is not known")),
            }
        }
        let question = UpdateQuestion {
            item: Item { vendor: None, feature: feature.into(), count: 1 },
            installed,
            candidates: offered.into_iter().map(candidate).collect::<Result<_, _>>()?,
        };
        self.server.refresh([feature]);
        let before = self.server.journal.len();
        let answer = match self.server.ledger.check_update(&question, self.server.now) {
            Ok(answer) => answer,
            Err(denial) => return Ok(denied(&denial)),
        };
        assert_eq!(self.server.journal.len(), before, "a question changes nothing");
        let shown = |seats: Option<u64>| seats.map_or_else(|| "unlimited".to_string(), |n| n.to_string());
        let mut lines: Vec<String> = Vec::new();
        for of in &answer.answers {
            lines.push(match &of.verdict {
                Ok(why) => format!(
                    "{} will run ({}) on {} of {} seats, {} free",
                    of.version,
                    why.as_str(),
                    shown(of.seats_covered),
                    shown(answer.seats),
                    shown(of.seats_free)
                ),
                Err(why) => {
                    let renew =
                        why.renew_to_at_least.map_or_else(String::new, |to| format!(" (renew to {to})"));
                    format!("{} will not run, {}{renew}: {}", of.version, why.code, why.message)
                }
            });
        }
        let version = |version: Option<_>| version.map_or_else(|| "none".to_string(), |v| format!("{v}"));
        lines.push(format!(
            "{}: newest that will run {}, newest offered {}, installed goes on: {}",
            answer.advice.as_str(),
            version(answer.newest_that_will_run),
            version(answer.newest_offered),
            answer.installed_keeps_working.map_or("not known", |yes| if yes { "yes" } else { "no" })
        ));
        let ends = answer.maintenance_end.map_or_else(String::new, |end| {
            format!(", covers releases up to {end}, {} days left", answer.days_left.unwrap_or(0))
        });
        lines.push(format!("maintenance {}{ends}", answer.state.as_str()));
        Ok(lines)
    }

    /// Every first checkout that is recorded (6.10).
    pub(crate) fn begun(&self) -> Vec<String> {
        let first = self.server.ledger.state().first_checkouts().all();
        first.map(|f| format!("{} {} began on {}", f.feature, f.license, f.day)).collect()
    }

    /// What the licenses of each pool cover, in the order of trial of a day without first checkouts (6.7, 6.16).
    pub(crate) fn coverage(&self, feature: &str) -> Answer {
        let (ledger, day) = (&self.server.ledger, self.server.now.day);
        let (_, found) = ledger.catalog().find(feature);
        let mut lines = Vec::new();
        for of in found {
            for grant in evaluate(of, day).pools {
                let plan =
                    of.plan(grant.license, ledger.state().first_checkouts().day_of(of, grant.license), day);
                let until =
                    plan.effective_end().map_or_else(String::new, |end| format!(", releases to {end}"));
                let pool = ledger.state().pool_of(&of.vendor, &of.feature, &grant.kind);
                let pool = pool.and_then(|id| ledger.state().pool(id));
                let highest = pool.and_then(|pool| pool.highest);
                let highest = highest
                    .map_or_else(String::new, |(version, _)| format!(", highest version seen {version}"));
                lines.push(format!(
                    "{} seats, {} used: {}{until}{highest}",
                    grant.total,
                    pool.map_or(0, Pool::used),
                    plan.state(day).as_str()
                ));
            }
        }
        Ok(lines)
    }

    pub(crate) fn load(&mut self, body: &[String]) -> Result<(), String> {
        let mut all = Vec::new();
        let mut lists = Vec::new();
        for (at, line) in body.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() == Some(&"releases") {
                lists.push(Arc::new(release_list(&words[1..], at)?));
            } else {
                all.push(crate::licenses::license(line, at).map_err(|why| format!("{line}: {why}"))?);
            }
        }
        self.server.load_with(all, lists);
        Ok(())
    }
}
