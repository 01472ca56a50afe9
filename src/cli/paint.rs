//! Colors, on a terminal and nowhere else. They repeat what the words say, for the eye that looks for trouble; nothing is
//! told by a color alone.

use std::io::{StdoutLock, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, Color};

/// Whether what is written may have colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Text alone: for pipes and files.
    Plain,
    /// Escape sequences of ECMA-48.
    Colors,
}

/// How something stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Not at all.
    Plain,
    /// It is part of what stands above it.
    Quiet,
    /// What a column is.
    Title,
    /// Somebody should look at it.
    Warning,
    /// Somebody is held up by it.
    Trouble,
}

/// Where answers are written, which knows whether it shows colors.
pub trait Output: Write {
    /// Whether it does.
    fn paint(&self) -> Paint;
}

/// On a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise; also into a pipe with `CLICOLOR_FORCE`.
impl Output for StdoutLock<'_> {
    fn paint(&self) -> Paint {
        match AutoStream::choice(self) {
            ColorChoice::Never => Paint::Plain,
            _ => Paint::Colors,
        }
    }
}

/// Memory has no colors.
impl Output for Vec<u8> {
    fn paint(&self) -> Paint {
        Paint::Plain
    }
}

impl Paint {
    /// Lines in a tone; each is closed before it ends, so that `less` and `grep` keep what they show whole.
    pub fn lines(self, text: &str, tone: Tone) -> String {
        let style = match (self, tone) {
            (Paint::Plain, _) | (_, Tone::Plain) => return text.to_owned(),
            (_, Tone::Quiet) => Style::new().dimmed(),
            (_, Tone::Title) => Style::new().bold(),
            (_, Tone::Warning) => AnsiColor::Yellow.on_default(),
            (_, Tone::Trouble) => AnsiColor::Red.on_default().bold(),
        };
        text.lines().map(|line| format!("{style}{line}{style:#}\n")).collect()
    }

    /// A cell in a tone.
    pub(super) fn cell(self, text: String, tone: Tone) -> Cell {
        let cell = Cell::new(text);
        match (self, tone) {
            (Paint::Plain, _) | (_, Tone::Plain) => cell,
            (_, Tone::Quiet) => cell.add_attribute(Attribute::Dim),
            (_, Tone::Title) => cell.add_attribute(Attribute::Bold),
            (_, Tone::Warning) => cell.fg(Color::DarkYellow),
            (_, Tone::Trouble) => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_no_terminal_and_plain_is_what_was_given() {
        assert_eq!(Vec::new().paint(), Paint::Plain);
        assert_eq!(Paint::Plain.lines("a\nb\n", Tone::Trouble), "a\nb\n");
    }

    #[test]
    fn every_line_is_closed() {
        let text = Paint::Colors.lines("a\nb\n", Tone::Warning);
        assert_eq!(text, "\u{1b}[33ma\u{1b}[0m\n\u{1b}[33mb\u{1b}[0m\n");
    }
}
