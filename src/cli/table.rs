//! Text for people: tables and sentences that fit 80 columns. No color: what a pipe reads is what a terminal shows.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// What everything shown to people fits into.
pub const COLUMNS: u16 = 80;

/// A table without lines. Columns whose header begins with `>` are aligned to the right. What does not fit is wrapped.
pub struct Lines {
    table: Table,
    columns: usize,
}

impl Lines {
    /// With these headers; none of them: no header line.
    pub fn new(headers: &[&str]) -> Lines {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(COLUMNS);
        table.set_header(headers.iter().map(|h| h.trim_start_matches('>')));
        for (at, header) in headers.iter().enumerate() {
            let Some(column) = table.column_mut(at) else { continue };
            // One blank between columns is too little to tell numbers apart, three are a waste.
            column.set_padding((0, 2));
            if header.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Lines { table, columns: headers.len() }
    }

    /// One row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| clean(&cell)).collect();
        cells.resize(self.columns, String::new());
        self.table.add_row(cells);
    }

    /// The table, each line ended; empty without rows.
    pub fn text(&self) -> String {
        if self.table.is_empty() {
            return String::new();
        }
        self.table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// A sentence in lines of at most [`COLUMNS`], the first indented by `first` blanks and the others by `rest`; each is ended. Words
/// that are longer than a line are cut.
pub fn wrap(text: &str, first: usize, rest: usize) -> String {
    let (mut lines, mut line, mut width) = (String::new(), " ".repeat(first), first);
    let mut is_empty = true;
    let text = clean(text);
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            // A full line has no room, not even for the blank.
            let room = usize::from(COLUMNS).saturating_sub(width + usize::from(!is_empty));
            if word.len() <= room {
                break;
            }
            if is_empty {
                line.extend(word.drain(..room));
            }
            lines.push_str(line.trim_end());
            lines.push('\n');
            (line, width, is_empty) = (" ".repeat(rest), rest, true);
        }
        if !is_empty {
            line.push(' ');
            width += 1;
        }
        width += word.len();
        line.extend(word);
        is_empty = false;
    }
    lines + line.trim_end() + "\n"
}

/// Control characters could move the cursor or change colors: whatever a client stated ends up on an admin's terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// `1 seat`, `2 seats`.
pub fn plural(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// A number of seats, or that there is no bound.
pub fn seats(count: Option<u64>, unlimited: bool) -> String {
    match count {
        Some(count) => count.to_string(),
        None if unlimited => "unlimited".to_owned(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_eighty() {
        let mut lines = Lines::new(&["FEATURE", ">TOTAL", "FILE"]);
        lines.row(["x".repeat(70), "16".into(), "licenses/very/long/path/".repeat(5)]);
        lines.row(["cad".into()]);
        let text = lines.text() + &wrap(&"word ".repeat(50), 2, 4) + &wrap(&"w".repeat(200), 2, 4);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    }

    #[test]
    fn a_sentence_is_wrapped_between_words() {
        let text = wrap(&"seventeen letters ".repeat(9), 2, 4);
        assert!(
            text.lines().count() == 3 && text.lines().all(|l| l.trim().starts_with("seventeen")),
            "{text}"
        );
        for length in 1..=170 {
            let text = format!("{} ", "w".repeat(length)).repeat(30);
            let wrapped = wrap(&text, 2, 4);
            assert!(wrapped.lines().all(|l| l.len() <= 80), "{wrapped}");
            assert_eq!(wrapped.replace([' ', '\n'], ""), text.replace(' ', ""));
        }
        assert_eq!(wrap("short", 2, 4), "  short\n");
        assert_eq!(wrap(&"w".repeat(100), 0, 1), format!("{}\n {}\n", "w".repeat(80), "w".repeat(20)));
    }

    #[test]
    fn a_users_name_cannot_move_the_cursor() {
        assert_eq!(clean("an\u{1b}[2Jn"), "an\u{fffd}[2Jn");
    }
}
