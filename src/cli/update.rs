//! `update-check FEATURE`: would a new version run? Asked by installers before they unpack (rules 3, 6.8).
//!
//! Its exit codes are its own, for scripts that know nothing else of Seatkeeper: see [`WILL_NOT_RUN`] and its neighbours.

use std::io::Write;

use seatkeeper_client::{
    Address, Advice, Candidate, CandidateAnswer, CheckoutError, Client, UpdateAnswer, UpdateQuestion, codes,
};

use super::Failure;
use super::args;
use super::server::{addresses, options};
use super::show::name;
use super::table::wrap;
use crate::exit;

/// The word of the command.
pub const NAME: &str = "update-check";
/// It cannot be told: no server answers, none knows the feature, or it is asked too often.
pub const CANNOT_TELL: u8 = 1;
/// The command line is wrong.
pub const WRONG_USE: u8 = 2;
/// It will not run.
pub const WILL_NOT_RUN: u8 = 3;
/// It will run, and no seat that it may have is free now.
pub const NO_FREE_SEAT: u8 = 4;

/// What clap exits with on a wrong command line of this command; help stays 0.
pub fn from_clap(error: &clap::Error) -> u8 {
    if error.use_stderr() { WRONG_USE } else { exit::OK }
}

/// `seatkeeper update-check`. Exits with 0 if the version will run, else with one of the codes of this module.
///
/// # Errors
///
/// [`WRONG_USE`] and [`CANNOT_TELL`].
pub fn update_check(ask: &args::UpdateCheck, out: &mut impl Write) -> Result<u8, Failure> {
    let (feature, question) = question(ask)?;
    let servers = match &ask.read.admin {
        Some(socket) => vec![Address::Unix(socket.clone())],
        None => addresses(ask.read.server.as_deref())
            .map_err(|failure| Failure::new(WRONG_USE, failure.message))?,
    };
    let mut options = options(servers);
    // A question needs neither grace nor what is borrowed, and leaves no trace of them.
    (options.grace_directory, options.borrow_directory) = (None, None);
    let client = Client::new(options);
    let answer = client.check_update(&question).map_err(cannot_tell)?;
    let Some(asked) = told(&answer, ask.version.is_some()) else {
        let text = format!(
            "{feature}: the server has no release list of the vendor, so it cannot tell which version is the newest: \
             name one with --version"
        );
        return Err(Failure::new(CANNOT_TELL, text));
    };
    let printed = match ask.read.json {
        true => writeln!(out, "{}", answer.json),
        false => write!(out, "{}", wrap(&paragraph(&answer, asked), 0, 0)),
    };
    // Whether it runs is known, and the status says it, though nobody reads the words.
    if let Err(error) = printed
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(Failure::new(CANNOT_TELL, format!("the output cannot be written: {error}")));
    }
    Ok(match asked.will_run {
        false => WILL_NOT_RUN,
        true if !asked.has_free_seat() => NO_FREE_SEAT,
        true => exit::OK,
    })
}

fn question(ask: &args::UpdateCheck) -> Result<(String, UpdateQuestion), Failure> {
    let wrong = |text: String| Err(Failure::new(WRONG_USE, text));
    let Some(named) = ask.feature.as_ref().or(ask.named.as_ref()) else {
        return wrong("name a feature".to_owned());
    };
    let vendor = match (&ask.vendor, &named.vendor) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => {
            return wrong(format!("sold by {one} or by {other}? Name one vendor"));
        }
        (one, other) => one.clone().or_else(|| other.clone()),
    };
    if let (Some(released), Some(line)) = (ask.released, ask.line_date)
        && line > released
    {
        return wrong(format!("--line-date {line} is after --released {released}"));
    }
    let candidate = |version: &String| Candidate { version: version.clone(), ..Candidate::default() };
    let offered = ask.version.as_ref().map(|version| Candidate {
        date: ask.released.map(|day| day.to_string()),
        line: ask.line_date.map(|day| day.to_string()),
        ..candidate(version)
    });
    let feature = name(vendor.as_deref(), &named.feature);
    let question = UpdateQuestion {
        vendor,
        feature: named.feature.clone(),
        installed: ask.installed.as_ref().map(candidate),
        candidates: offered.into_iter().collect(),
    };
    Ok((feature, question))
}

fn cannot_tell(error: CheckoutError) -> Failure {
    let text = match &error {
        CheckoutError::NoServer(_) => format!("{error}; `seatkeeper doctor` looks for the cause"),
        CheckoutError::Denied(refusal) if refusal.code == codes::UNKNOWN_FEATURE => {
            format!("{error}: whether it will run cannot be told")
        }
        _ => error.to_string(),
    };
    // A field that the server does not take is one of the command line, where it says which.
    let is_wrong_use = matches!(&error, CheckoutError::Denied(refusal)
        if refusal.code == codes::AMBIGUOUS_VENDOR || refusal.details.contains("\"field\""));
    Failure::new(if is_wrong_use { WRONG_USE } else { CANNOT_TELL }, text)
}

/// The answer about what was asked: the version that was named, else the newest that runs, else the newest there is.
fn told(answer: &UpdateAnswer, is_named: bool) -> Option<&CandidateAnswer> {
    let runs = answer.answers.iter().find(|one| one.will_run);
    if is_named { answer.answers.first() } else { runs.or(answer.answers.first()) }
}

/// What works, what is refused by which two dates, what to do; and which of the three states this is.
fn paragraph(answer: &UpdateAnswer, asked: &CandidateAnswer) -> String {
    let mut text = format!("{}: ", state(answer));
    let what = format!("{} {}", name(Some(&answer.vendor), &answer.feature), asked.version);
    if !asked.will_run {
        let why = asked.message.as_deref().unwrap_or(&asked.code);
        text += &format!("{what} will not run: {}.", why.trim_end_matches('.'));
        let other = answer.newest_that_will_run.as_deref().filter(|best| !text.contains(*best));
        if let Some(best) = other {
            text += &format!(" The newest that will run is {best}.");
        }
        return text;
    }
    text += &format!("{what} will run, {}", seats(answer, asked));
    match (asked.reason.as_deref(), &answer.maintenance.end) {
        (Some("MAINTENANCE_GRACE"), Some(end)) => {
            text += &format!(
                " It was released after maintenance ended on {end}, and is let through for now: renew soon."
            );
        }
        (Some("MAINTENANCE"), Some(end)) => text += &format!(" Maintenance covers releases up to {end}."),
        (Some("FALLBACK"), _) => text += " The subscription has ended; this version stays.",
        _ => {}
    }
    if let Some(newest) = answer.newest_offered.as_deref().filter(|newest| *newest != asked.version)
        && answer.newest_that_will_run.as_deref() != Some(newest)
    {
        text += &format!(" The newest there is, {newest}, will not run.");
    }
    text
}

/// The three states of 6.8, in words.
fn state(answer: &UpdateAnswer) -> &'static str {
    match (answer.advice, answer.installed_keeps_working) {
        (Advice::UpdateAvailable, _) => "update available",
        (Advice::NeedsRenewal, Some(true)) => "update available, needs renewal (your version keeps working)",
        (Advice::NeedsRenewal, _) => "update available, needs renewal",
        (Advice::UpToDate, _) => "up to date",
        _ => "answered",
    }
}

/// On how many seats it runs, and whether one is free.
fn seats(answer: &UpdateAnswer, asked: &CandidateAnswer) -> String {
    let (Some(covered), Some(free)) = (asked.seats_covered, asked.seats_free) else {
        return "on any number of seats.".to_owned();
    };
    let of_all = match answer.seats {
        Some(all) if all == covered => format!("on all {all} seats"),
        Some(all) => format!("on {covered} of {all} seats"),
        None => format!("on {covered} of the seats"),
    };
    match free {
        0 => format!("{of_all}; none of them is free now."),
        free => format!("{of_all}; {free} free now."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(advice: &str, keeps: &str, one: &str) -> UpdateAnswer {
        let json = format!(
            r#"{{"schema":1,"feature":"cad","vendor":"ACME","answers":[{one}],"newest_that_will_run":"1.0.1",
                "newest_offered":"1.1","installed_keeps_working":{keeps},"seats":15,"unlimited":false,
                "maintenance":{{"state":"EXPIRED","end":"2012-03-31","days_left":-86}},"advice":"{advice}"}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn one(version: &str, code: &str, reason: &str, covered: &str, free: &str, message: &str) -> String {
        let will_run = code == "GRANT";
        format!(
            r#"{{"version":"{version}","will_run":{will_run},"code":"{code}","reason":{reason},"seats_covered":{covered},
                "seats_free":{free},"unlimited":false,"maintenance_end":null,"renew_to_at_least":null,"message":{message}}}"#
        )
    }

    fn said(answer: &UpdateAnswer) -> String {
        paragraph(answer, told(answer, true).unwrap())
    }

    #[test]
    fn a_version_that_runs_says_on_how_many_seats() {
        let two = one("1.0.1", "GRANT", "\"OWNED\"", "2", "1", "null");
        assert_eq!(
            said(&answer("update_available", "true", &two)),
            "update available: ACME/cad 1.0.1 will run, on 2 of 15 seats; 1 free now. The newest there is, 1.1, will not run."
        );
        let all = one("1.1", "GRANT", "\"MAINTENANCE\"", "15", "0", "null");
        assert_eq!(
            said(&answer("update_available", "null", &all)),
            "update available: ACME/cad 1.1 will run, on all 15 seats; none of them is free now. Maintenance covers \
             releases up to 2012-03-31."
        );
        let any = one("1.1", "GRANT", "\"ANY\"", "null", "null", "null");
        assert!(
            said(&answer("up_to_date", "null", &any))
                .starts_with("up to date: ACME/cad 1.1 will run, on any number")
        );
    }

    #[test]
    fn a_version_that_does_not_run_says_what_to_do_and_which_one_does() {
        let message = "\"renew maintenance at the shop\"";
        let refused = one("1.1", "maintenance_expired", "null", "0", "0", message);
        assert_eq!(
            said(&answer("update_needs_renewal", "true", &refused)),
            "update available, needs renewal (your version keeps working): ACME/cad 1.1 will not run: renew maintenance \
             at the shop. The newest that will run is 1.0.1."
        );
        assert!(!said(&answer("update_needs_renewal", "false", &refused)).contains("keeps working"));
    }

    #[test]
    fn without_a_version_the_newest_that_runs_is_told() {
        let both = [
            one("1.1", "maintenance_expired", "null", "0", "0", "\"no\""),
            one("1.0.1", "GRANT", "\"OWNED\"", "15", "15", "null"),
        ];
        let answer = answer("update_available", "true", &both.join(","));
        assert_eq!(told(&answer, false).unwrap().version, "1.0.1");
        assert_eq!(told(&answer, true).unwrap().version, "1.1");
    }
}
