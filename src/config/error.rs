//! What is wrong with the configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Everything found wrong at once, at least one fault.
///
/// `Display` gives a line each, `file:line:column: what is wrong; what to do`; [`ConfigError::render`] shows the lines
/// of the file as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order of the file where they are of the file.
    pub faults: Vec<Fault>,
    text: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the file; `None` for a flag or something missing.
    pub place: Option<Place>,
    /// The file, where it is known but not the place in it.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In bytes of the file.
    pub span: Range<usize>,
}

impl ConfigError {
    pub(super) fn new(mut faults: Vec<Fault>, text: String) -> ConfigError {
        faults.sort_by_key(|fault| fault.place.as_ref().map_or(usize::MAX, |place| place.span.start));
        ConfigError { faults, text }
    }

    /// Every fault with the line of the file it is in, for a terminal (`styled`) or a log.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> = self.faults.iter().map(|fault| self.render_one(fault, &renderer)).collect();
        shown.join("\n\n")
    }

    fn render_one(&self, fault: &Fault, renderer: &Renderer) -> String {
        let mut title = fault.message.clone();
        if let (None, Some(file)) = (&fault.place, &fault.file) {
            title = format!("{}: {title}", file.display());
        }
        let mut error = Group::with_title(Level::ERROR.primary_title(title));
        if let Some(place) = &fault.place {
            error = error.element(
                Snippet::source(self.text.as_str())
                    .path(place.file.to_string_lossy())
                    .annotation(AnnotationKind::Primary.span(place.span.clone())),
            );
        }
        let mut report = vec![error];
        if let Some(help) = &fault.help {
            report.push(Group::with_title(Level::HELP.secondary_title(help.as_str())));
        }
        renderer.render(&report)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> ConfigError {
        ConfigError { faults: vec![fault], text: String::new() }
    }
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Fault {
        Fault { place: None, file: None, message: message.into(), help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Fault {
        Fault { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.file) {
            (Some(Place { file, line, column, .. }), _) => write!(f, "{}:{line}:{column}: ", file.display())?,
            (None, Some(file)) => write!(f, "{}: ", file.display())?,
            (None, None) => {}
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}
