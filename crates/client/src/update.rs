//! Would a new version run? Asked before it is unpacked; takes no seat (rules 3, 6.8).

use serde::Deserialize;
use wire::codes;
use wire::request::{Candidate, UpdateCheck};

use crate::client::{Client, first};
use crate::error::{CallError, CheckoutError, printable};

/// What to ask: about one feature, and any number of versions of the program that checks it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateQuestion {
    /// Who sells it; needed only where two vendors sell the same name.
    pub vendor: Option<String>,
    /// What the program checks out.
    pub feature: String,
    /// What is installed now, if anything is.
    pub installed: Option<Candidate>,
    /// What is offered, 0 to 64. None: the newest version of the vendor's release list, and the newest of it that would run;
    /// where the server has no such list nothing is answered.
    pub candidates: Vec<Candidate>,
}

impl UpdateQuestion {
    /// About this feature.
    pub fn of(feature: &str) -> UpdateQuestion {
        UpdateQuestion { feature: feature.to_owned(), ..UpdateQuestion::default() }
    }

    /// This version is installed: `4.2`, or up to four numbers.
    #[must_use]
    pub fn installed(mut self, version: &str) -> UpdateQuestion {
        self.installed = Some(Candidate { version: version.to_owned(), ..Candidate::default() });
        self
    }

    /// This version is offered, with the day of its build, `YYYY-MM-DD`. Without a day only what is owned, and what needs none,
    /// is known to run, unless the vendor's release list has the version.
    #[must_use]
    pub fn offered(mut self, version: &str, released: Option<&str>) -> UpdateQuestion {
        let (version, date) = (version.to_owned(), released.map(str::to_owned));
        self.candidates.push(Candidate { version, date, line: None });
        self
    }
}

/// What to tell the person who wants to update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// There is a newer version, and it would run.
    UpdateAvailable,
    /// There is a newer version, and none that would run: maintenance has to be renewed first.
    #[serde(rename = "update_needs_renewal")]
    NeedsRenewal,
    /// There is nothing newer.
    UpToDate,
    /// A word of a later server.
    #[serde(other)]
    Unknown,
}

/// How maintenance stands, of the license that covers most.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct MaintenanceState {
    /// `NONE`, `NOT_STARTED`, `PENDING_FIRST_CHECKOUT`, `ACTIVE`, `EXPIRED` or `UNLIMITED`; treat another as unknown.
    pub state: String,
    /// The last release day covered, `YYYY-MM-DD`; `None`: there is none.
    pub end: Option<String>,
    /// From the server's today to that day, negative after it.
    pub days_left: Option<i64>,
}

/// Whether one version would run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CandidateAnswer {
    /// As it was stated, or as the release list has it.
    pub version: String,
    /// Whether it would.
    pub will_run: bool,
    /// `GRANT`, or the word of [`codes`] that a checkout would be refused with.
    pub code: String,
    /// Why it runs: `ANY`, `OWNED`, `MAINTENANCE`, `MAINTENANCE_GRACE`, `EVALUATION` or `FALLBACK`; `None`: it does not.
    pub reason: Option<String>,
    /// Seats it may have one of; `None`: without bound. Compare it with [`UpdateAnswer::seats`]: 2 of 15 seats is another message
    /// than 15 of 15.
    pub seats_covered: Option<u64>,
    /// Those of them that are free now; `None`: without bound.
    pub seats_free: Option<u64>,
    /// Where it does not run: the last release day that a license covers, `YYYY-MM-DD`; `None`: none has maintenance.
    pub maintenance_end: Option<String>,
    /// Where maintenance has ended: the release day that it would have to reach, `YYYY-MM-DD`.
    pub renew_to_at_least: Option<String>,
    /// Where it does not run, for a person: what keeps working, what is refused and why, what to do.
    pub message: Option<String>,
}

impl CandidateAnswer {
    /// Whether a seat that it may have is free now. Another may take it before this one asks.
    pub fn has_free_seat(&self) -> bool {
        self.will_run && self.seats_free != Some(0)
    }
}

/// What a server answers to an update check.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct UpdateAnswer {
    /// What it is about, as the license writes it.
    pub feature: String,
    /// Who sells it.
    pub vendor: String,
    /// One for each version that was offered, in their order; where none was, for what the vendor's release list has.
    pub answers: Vec<CandidateAnswer>,
    /// The newest version of all that are offered or listed that would run.
    pub newest_that_will_run: Option<String>,
    /// The newest of all that are offered or listed.
    pub newest_offered: Option<String>,
    /// Whether what is installed gets a seat as ever; `None`: nothing is said of it, or it hangs on a day that was not stated.
    pub installed_keeps_working: Option<bool>,
    /// All seats of the feature today; `None`: without bound.
    pub seats: Option<u64>,
    /// How maintenance stands.
    pub maintenance: MaintenanceState,
    /// What to tell the person.
    pub advice: Advice,
    /// The whole answer as the server wrote it.
    #[serde(skip)]
    pub json: String,
}

impl Client {
    /// Asks whether new versions would run, before they are installed, or unpacked. **Takes no seat**, and is answered also while
    /// all seats are in use. The servers are tried in turn until one knows the feature.
    ///
    /// It says what a checkout of that version would be told about *versions* now; seats are another matter, see
    /// [`CandidateAnswer::has_free_seat`], and so is who may have them. **No answer is no permission**: an installer that
    /// gets an error asks its user, it does not assume.
    ///
    /// ```no_run
    /// # use seatkeeper_client::{Client, Options, UpdateQuestion};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::new(Options::from_environment("acme-updater", "1.0")?);
    /// let question = UpdateQuestion::of("cad").installed("1.0").offered("1.1", Some("2012-04-01"));
    /// let answer = client.check_update(&question)?;
    /// match &answer.answers[0] {
    ///     one if one.will_run => println!("1.1 runs, on {:?} of {:?} seats", one.seats_covered, answer.seats),
    ///     one => println!("1.1 does not run: {}", one.message.as_deref().unwrap_or(&one.code)),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CheckoutError`]: `Denied` where no server knows the feature (`unknown_feature`), two vendors sell it
    /// (`ambiguous_vendor`), this client asks too often (`rate_limited`), or the server is too old to know the question
    /// (`bad_request`).
    pub fn check_update(&self, question: &UpdateQuestion) -> Result<UpdateAnswer, CheckoutError> {
        let ask = UpdateCheck {
            vendor: question.vendor.clone(),
            feature: question.feature.clone(),
            installed: question.installed.clone(),
            candidates: question.candidates.clone(),
            extras: Vec::new(),
        };
        first(self.grace.links(), another_may_know, |link| {
            let no_server = |reason: String| CheckoutError::NoServer(vec![reason]);
            let (_, connection) = link.connection().map_err(|e| no_server(e.to_string()))?;
            let answer = connection.call(&ask).map_err(|error| match error {
                CallError::Refused(refusal) => CheckoutError::Denied(refusal),
                CallError::Protocol(what) => CheckoutError::Protocol(what),
                CallError::TooLong(error) => CheckoutError::Request(error.to_string()),
                CallError::TimedOut(_) | CallError::Lost(_) => no_server(error.to_string()),
            })?;
            read(&answer.json, ask.candidates.len())
        })
    }
}

/// Refusals after which another server of the list is asked: it may sell the feature, has counts of its own, or is younger.
fn another_may_know(code: &str) -> bool {
    matches!(code, codes::UNKNOWN_FEATURE | codes::RATE_LIMITED | codes::BAD_REQUEST)
}

/// The answer to a question about so many versions; 0: as many as the server likes.
fn read(json: &str, asked: usize) -> Result<UpdateAnswer, CheckoutError> {
    let mut answer: UpdateAnswer = serde_json::from_str(json)
        .map_err(|e| CheckoutError::Protocol(format!("the answer to an update check cannot be read: {e}")))?;
    if asked > 0 && answer.answers.len() != asked {
        let text = format!("{} versions were asked about, {} are answered", asked, answer.answers.len());
        return Err(CheckoutError::Protocol(text));
    }
    for one in &mut answer.answers {
        one.version = printable(&one.version);
        one.code = printable(&one.code);
        one.message = one.message.as_deref().map(printable);
    }
    for text in [&mut answer.newest_that_will_run, &mut answer.newest_offered].into_iter().flatten() {
        *text = printable(text);
    }
    json.clone_into(&mut answer.json);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"schema":1,"feature":"cad","vendor":"ACME","answers":[
        {"version":"1.1","will_run":false,"code":"maintenance_expired","reason":null,"seats_covered":0,"seats_free":0,
         "unlimited":false,"maintenance_end":"2012-03-31","renew_to_at_least":"2012-04-01","message":"a\u001b[31m","later":1}],
        "newest_that_will_run":"1.0.1","newest_offered":"1.1","installed_keeps_working":true,"seats":15,"unlimited":false,
        "maintenance":{"state":"EXPIRED","end":"2012-03-31","days_left":-86},"advice":"update_available","later":{}}"#;

    #[test]
    fn an_answer_is_read_with_members_of_a_later_server() {
        let answer = read(ANSWER, 1).unwrap();
        assert_eq!(answer.advice, Advice::UpdateAvailable);
        assert_eq!(answer.maintenance.days_left, Some(-86));
        let one = &answer.answers[0];
        assert_eq!((one.will_run, one.renew_to_at_least.as_deref()), (false, Some("2012-04-01")));
        assert!(!one.has_free_seat());
        assert_eq!(answer.json, ANSWER);
        assert_eq!(read(&ANSWER.replace("update_available", "wait"), 1).unwrap().advice, Advice::Unknown);
        let renewal = read(&ANSWER.replace("update_available", "update_needs_renewal"), 1).unwrap();
        assert_eq!(renewal.advice, Advice::NeedsRenewal);
    }

    #[test]
    fn a_servers_text_cannot_paint_the_terminal() {
        let answer = read(ANSWER, 1).unwrap();
        assert_eq!(answer.answers[0].message.as_deref(), Some("a\u{fffd}[31m"));
    }

    #[test]
    fn an_answer_about_other_versions_than_were_asked_is_no_answer() {
        assert!(matches!(read(ANSWER, 2), Err(CheckoutError::Protocol(_))));
        assert!(matches!(read("{}", 0), Err(CheckoutError::Protocol(_))));
        assert!(read(ANSWER, 0).is_ok());
    }
}
