//! What happened, a line each: the end of it is what a failure shows, and all of it what two runs of a seed are compared by.

/// How many of the last lines a failure shows.
const SHOWN: usize = 40;

/// The lines of one history, with the millisecond each belongs to.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Vec<(u64, String)>,
}

impl Trace {
    pub(crate) fn say(&mut self, now: u64, line: String) {
        self.lines.push((now, line));
    }

    /// The whole history as text.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(shown).collect()
    }

    /// The last lines.
    pub(crate) fn end(&self) -> String {
        let from = self.lines.len().saturating_sub(SHOWN);
        self.lines[from..].iter().map(shown).collect()
    }
}

fn shown((now, line): &(u64, String)) -> String {
    format!("{:>7}.{:03}  {line}\n", now / 1000, now % 1000)
}
