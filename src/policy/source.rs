//! The text of a policy: where its lines start, and what was found wrong in it.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use seats::policy::RulePlace;
use toml::Spanned;

use super::{ERRORS_MAX, NAMES_MAX, PolicyError};

/// What the TOML reader says of a key that is there already.
pub(super) const DUPLICATE_KEY: &str = "duplicate key";

/// A key or a text of the file, with its place.
pub(super) type Text<'a> = Spanned<Cow<'a, str>>;

pub(super) struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// How many lines of the file stand before the text.
    lines_before: usize,
    /// The last place asked for, line index, byte and column: a file may be one line of megabytes, and is read
    /// forwards.
    last: Cell<(usize, usize, u32)>,
    faults: Vec<Fault>,
    /// How many more there were than are kept.
    more: usize,
    names: usize,
}

pub(super) struct Fault {
    span: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(super) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

impl<'a> Source<'a> {
    /// A whole file.
    pub(super) fn new(file: Arc<str>, text: &'a str) -> Source<'a> {
        Source::of_lines(file, text, 0)
    }

    /// Some lines of a file, with so many before them.
    pub(super) fn of_lines(file: Arc<str>, text: &'a str, lines_before: usize) -> Source<'a> {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Source {
            file,
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            lines_before,
            last: Cell::new((0, 0, 1)),
            faults: Vec::new(),
            more: 0,
            names: 0,
        }
    }

    /// Line and column of a byte, both from 1.
    fn line_and_column(&self, at: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= at) - 1;
        let (from, column) = match self.last.get() {
            (last_line, last, column) if last_line == line && last <= at => (last, column),
            _ => (self.lines[line], 1),
        };
        let passed = self.text.get(from..at).map_or(0, |between| between.chars().count());
        let column = column.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        self.last.set((line, at, column));
        (u32::try_from(self.lines_before + line + 1).unwrap_or(u32::MAX), column)
    }

    pub(super) fn place(&self, span: &Range<usize>, text: String) -> RulePlace {
        let (line, column) = self.line_and_column(span.start);
        RulePlace { file: self.file.clone(), line, column, text: text.into() }
    }

    /// Notes what is wrong; more can be said about it.
    pub(super) fn fault(&mut self, span: Option<Range<usize>>, message: impl Into<String>) -> &mut Fault {
        if self.faults.len() == ERRORS_MAX {
            self.more += 1;
            // Written over by the next one, and shown to nobody.
            self.faults.push(Fault { span: None, message: String::new(), help: None });
        } else if self.faults.len() > ERRORS_MAX {
            self.more += 1;
        } else {
            self.faults.push(Fault { span, message: message.into(), help: None });
        }
        let last = self.faults.len() - 1;
        &mut self.faults[last]
    }

    /// A fault of the TOML itself.
    pub(super) fn toml_fault(&mut self, error: &toml::de::Error) {
        let message = error.message().trim_end().replace('`', "\"");
        if error.message() == DUPLICATE_KEY {
            let key = error.span().and_then(|span| self.text.get(span)).unwrap_or_default().to_owned();
            self.fault(error.span(), format!("\"{}\" is given twice", shown(&key)))
                .help("keep one of the two; each rule starts with a [[rule]] of its own");
        } else {
            self.fault(error.span(), message);
        }
    }

    pub(super) fn unknown_key(&mut self, key: &Text<'_>, known: &[&str]) {
        let message = format!("unknown key \"{}\"", shown(key.get_ref()));
        self.fault(Some(key.span()), message).help(format!("the keys here are {}", known.join(", ")));
    }

    /// Counts names; `false` when there are too many, which is told once.
    pub(super) fn has_room(&mut self, span: &Range<usize>, names: usize) -> bool {
        let before = self.names;
        self.names += names;
        if before <= NAMES_MAX && self.names > NAMES_MAX {
            self.fault(Some(span.clone()), format!("here the names become more than {NAMES_MAX}"))
                .help("no larger policy is read");
        }
        self.names <= NAMES_MAX
    }

    /// How many names there were.
    pub(super) fn names(&self) -> usize {
        self.names
    }

    pub(super) fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn errors(mut self) -> Vec<PolicyError> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.truncate(ERRORS_MAX);
        faults.sort_by_key(|fault| fault.span.as_ref().map_or(usize::MAX, |span| span.start));
        let error = |fault: Fault| PolicyError {
            file: self.file.clone(),
            place: fault.span.map(|span| self.line_and_column(span.start.min(self.text.len()))),
            message: fault.message,
            help: fault.help,
        };
        let mut errors: Vec<PolicyError> = faults.into_iter().map(error).collect();
        if self.more > 0 {
            errors.push(PolicyError {
                file: self.file.clone(),
                place: None,
                message: format!("and {} more errors", self.more),
                help: None,
            });
        }
        errors
    }
}

/// A text as an error shows it: its beginning, without control characters.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    let mut shown: String =
        text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
