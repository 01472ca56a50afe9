//! `update-check`: would a new version run, from the wire and back (rules 3, 6.8).

use seats::ledger::{self, UpdateQuestion};
use seats::request::Item;
use wire::message::CANDIDATES_MAX;
use wire::request;

use super::details::to_json;
use super::{BadField, bad, check_text};
use crate::engine::ask::Request;
use crate::report;

// What the wire lets through the ledger takes.
const _: () = assert!(CANDIDATES_MAX == ledger::CANDIDATES_MAX);

/// Turns an update check of the wire into a question to the ledger.
///
/// # Errors
/// A field is out of bounds.
pub fn update_check(message: request::UpdateCheck) -> Result<Request, BadField> {
    let request::UpdateCheck { vendor, feature, installed, candidates, .. } = message;
    check_text("vendor", vendor.as_deref().unwrap_or(""))?;
    check_text("feature", &feature)?;
    if candidates.len() > CANDIDATES_MAX {
        let text = format!("{} versions are offered, at most {CANDIDATES_MAX} may be", candidates.len());
        return Err(bad("candidates", text));
    }
    if let Some(installed) = &installed {
        let fields = ["installed.version", "installed.date", "installed.line"];
        check_candidate(installed, fields)?;
    }
    let fields = ["candidates.version", "candidates.date", "candidates.line"];
    candidates.iter().try_for_each(|candidate| check_candidate(candidate, fields))?;
    let candidate =
        |c: request::Candidate| ledger::Candidate { version: c.version, date: c.date, line: c.line };
    Ok(Request::UpdateCheck(Box::new(UpdateQuestion {
        item: Item {
            vendor: vendor.map(String::into_boxed_str),
            feature: feature.into_boxed_str(),
            count: 1,
        },
        installed: installed.map(candidate),
        candidates: candidates.into_iter().map(candidate).collect(),
    })))
}

fn check_candidate(candidate: &request::Candidate, fields: [&'static str; 3]) -> Result<(), BadField> {
    check_text(fields[0], &candidate.version)?;
    check_text(fields[1], candidate.date.as_deref().unwrap_or(""))?;
    check_text(fields[2], candidate.line.as_deref().unwrap_or(""))
}

/// The answer as JSON.
pub(super) fn json(answer: &ledger::UpdateAnswer) -> String {
    to_json(&report::UpdateCheck {
        schema: report::SCHEMA,
        feature: answer.feature.to_string(),
        vendor: answer.vendor.as_str().into(),
        answers: answer.answers.iter().map(one).collect(),
        newest_that_will_run: answer.newest_that_will_run.map(|version| version.to_string()),
        newest_offered: answer.newest_offered.map(|version| version.to_string()),
        installed_keeps_working: answer.installed_keeps_working,
        seats: answer.seats,
        unlimited: answer.seats.is_none(),
        maintenance: report::UpdateMaintenance {
            state: answer.state.as_str().into(),
            end: answer.maintenance_end,
            days_left: answer.days_left,
        },
        advice: answer.advice.as_str().into(),
    })
}

fn one(answer: &ledger::CandidateAnswer) -> report::UpdateAnswer {
    let (granted, refused) = match &answer.verdict {
        Ok(granted) => (Some(granted), None),
        Err(refused) => (None, Some(refused)),
    };
    report::UpdateAnswer {
        version: answer.version.clone(),
        will_run: granted.is_some(),
        code: refused.map_or("GRANT", |refused| refused.code.as_str()).into(),
        reason: granted.map(|granted| granted.as_str().into()),
        seats_covered: answer.seats_covered,
        seats_free: answer.seats_free,
        unlimited: answer.seats_covered.is_none(),
        maintenance_end: refused.and_then(|refused| refused.maintenance_end),
        renew_to_at_least: refused.and_then(|refused| refused.renew_to_at_least),
        message: refused.map(|refused| refused.message.clone()),
    }
}
