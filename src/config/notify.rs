//! The notify command's settings: what is run, for which events, for how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::error::Fault;
use super::file::{File, Source};
use super::limits;
use crate::events::What;

/// Where `notify_events` says nothing.
const DEFAULT_EVENTS: &str = "maintenance.*";

/// What is run when something happens; `src/hook` runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// `notify_command`, its first word: an absolute path, or a name without a `/`, to be looked for in `PATH`.
    pub program: PathBuf,
    /// Its other words.
    pub arguments: Vec<String>,
    /// `notify_events`: those that are told. At least one. Default `maintenance.*`.
    pub events: Vec<Chosen>,
    /// `notify_timeout_seconds`: how long one run may take. Default 30 s, 1 s to 600 s.
    pub time_limit: Duration,
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// One of [`What::KINDS`].
    Kind(String),
    /// All that begin so; it ends with a full stop: `maintenance.`.
    Group(String),
}

impl Chosen {
    /// Whether this kind is among them.
    pub fn is(&self, kind: &str) -> bool {
        match self {
            Chosen::Kind(chosen) => chosen == kind,
            Chosen::Group(start) => kind.starts_with(start.as_str()),
        }
    }

    fn parse(text: &str) -> Option<Chosen> {
        let group = text.strip_suffix('*').filter(|start| start.ends_with('.'));
        let chosen = group.map_or_else(|| Chosen::Kind(text.into()), |start| Chosen::Group(start.into()));
        What::KINDS.iter().any(|kind| chosen.is(kind)).then_some(chosen)
    }
}

impl Notify {
    /// All three settings are checked also where there is no command.
    pub(super) fn check(
        file: &File,
        source: &Source,
        beside_file: impl Fn(&Path) -> PathBuf,
        faults: &mut Vec<Fault>,
    ) -> Option<Notify> {
        for word in &file.notify_command {
            if word.get_ref().contains('\0') {
                let text = "notify_command has a zero byte, which no argument of a program can have";
                faults.push(source.fault(Some(word.span()), text));
            }
        }
        let mut events = Vec::new();
        match &file.notify_events {
            None => events.extend(Chosen::parse(DEFAULT_EVENTS)),
            Some(list) if list.get_ref().is_empty() => faults.push(
                source
                    .fault(Some(list.span()), "notify_events chooses nothing")
                    .help("leave notify_command out to run nothing"),
            ),
            Some(list) => {
                for name in list.get_ref() {
                    match Chosen::parse(name.get_ref()) {
                        Some(chosen) => events.push(chosen),
                        None => faults.push(
                            source
                                .fault(
                                    Some(name.span()),
                                    format!("\"{}\" is no kind of event", name.get_ref()),
                                )
                                .help(format!(
                                    "write one of {}, or all that begin alike, such as \"{DEFAULT_EVENTS}\"",
                                    What::KINDS.join(", ")
                                )),
                        ),
                    }
                }
            }
        }
        let seconds =
            limits::NOTIFY_TIMEOUT_SECONDS.check(file.notify_timeout_seconds.as_ref(), source, faults);
        let (program, arguments) = file.notify_command.split_first()?;
        if program.get_ref().is_empty() {
            faults.push(source.fault(Some(program.span()), "notify_command names no program").help(
                "notify_command = [\"/usr/local/lib/seatkeeper/notify-mail\", \"--to\", \"you@example.com\"]",
            ));
        }
        let path = Path::new(program.get_ref());
        Some(Notify {
            program: if program.get_ref().contains('/') { beside_file(path) } else { path.into() },
            arguments: arguments.iter().map(|word: &Spanned<String>| word.get_ref().clone()).collect(),
            events,
            time_limit: Duration::from_secs(seconds.into()),
        })
    }
}
