//! Keeps the policy: reads it at the start and at every reload, hands a good one to the engine, remembers what is wrong
//! with a bad one (S50).
//!
//! A file is checked whole before it takes effect: a bad one changes nothing, and the policy in force stays. Only a
//! reload reads it again: an administrator who is half way through an edit must not have it obeyed.

use std::path::PathBuf;
use std::sync::Arc;

use seats::policy::Policy;
use seats::request::NameRules;
use tracing::{error, info};

use super::Failure;
use crate::events::what::PolicyRefused;
use crate::exit;
use crate::policy::{PolicyError, read_file};
use crate::report;

/// How many errors of a policy file are logged each in a line of its own (S83); all are in the answer to the reload.
const ERRORS_TOLD_MAX: usize = 20;

/// See the module.
pub(super) struct Rules {
    path: Option<PathBuf>,
    names: NameRules,
    current: Arc<Policy>,
    /// The one before: freeing a hundred thousand names is this thread's work, not the engine's.
    retired: Option<Arc<Policy>>,
    errors: Vec<PolicyError>,
}

impl Rules {
    /// Reads the configured policy for the first time; none configured: everybody may.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong: a server that obeys no policy where one is configured would give
    /// what it must not.
    pub(super) fn load(path: Option<PathBuf>, names: NameRules) -> Result<Rules, Failure> {
        let current = match &path {
            None => Policy::open(),
            Some(path) => {
                let rules =
                    read_file(path).map_err(|errors| Failure::new(exit::CONFIG, in_lines(&errors)))?;
                info!(policy = %path.display(), rules = rules.rules.len(), groups = rules.groups.len(), "policy read");
                Policy::new(rules, names)
            }
        };
        Ok(Rules { path, names, current: Arc::new(current), retired: None, errors: Vec::new() })
    }

    /// The policy in force.
    pub(super) fn current(&self) -> Arc<Policy> {
        self.current.clone()
    }

    /// Reads the file again; the new policy, where it is good and says something else than before.
    pub(super) fn read_again(&mut self) -> Option<Arc<Policy>> {
        self.retired = None;
        let path = self.path.as_ref()?;
        match read_file(path) {
            Ok(rules) => {
                self.errors.clear();
                if rules == *self.current.rule_set() {
                    return None;
                }
                info!(policy = %path.display(), rules = rules.rules.len(), groups = rules.groups.len(), "policy changed");
                let new = Arc::new(Policy::new(rules, self.names));
                self.retired = Some(std::mem::replace(&mut self.current, new.clone()));
                Some(new)
            }
            Err(errors) => {
                for error in errors.iter().take(ERRORS_TOLD_MAX) {
                    error!("{error}");
                }
                error!(policy = %path.display(), errors = errors.len(), "the policy is bad: the one in force stays");
                self.errors = errors;
                None
            }
        }
    }

    /// What to tell of a file that is bad; `None`: it is good, or there is none.
    pub(super) fn refusal(&self) -> Option<PolicyRefused> {
        let first = self.errors.first()?;
        Some(PolicyRefused { errors: self.errors.len() as u64, message: Some(first.to_string()) })
    }

    /// What is wrong with the file, as reports show it.
    pub(super) fn problems(&self) -> Vec<report::Problem> {
        self.errors.iter().map(problem).collect()
    }
}

/// An error of the policy as reports show it.
fn problem(error: &PolicyError) -> report::Problem {
    let message = match &error.help {
        Some(help) => format!("{}; {help}; the policy in force stays", error.message),
        None => format!("{}; the policy in force stays", error.message),
    };
    report::Problem {
        file: Some(error.file.to_string()),
        line: error.place.map(|(line, _)| line),
        column: error.place.map(|(_, column)| column),
        reason: "bad_policy".into(),
        message,
        ..Default::default()
    }
}

fn in_lines(errors: &[PolicyError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
