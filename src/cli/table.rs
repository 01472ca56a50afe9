//! Text for people: tables and sentences that fit 80 columns. A terminal may show parts of them in color ([`Paint`]); what a pipe
//! reads says the same without.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::paint::{Paint, Tone};

/// What everything shown to people fits into.
pub const COLUMNS: u16 = 80;

/// A table without lines. Columns whose header begins with `>` are aligned to the right. What does not fit is wrapped.
pub struct Lines {
    table: Table,
    columns: usize,
    paint: Paint,
}

impl Lines {
    /// With these headers; none of them: no header line.
    pub fn new(headers: &[&str]) -> Lines {
        Lines::painted(headers, Paint::Plain)
    }

    /// The same for a terminal that may show colors.
    pub fn painted(headers: &[&str], paint: Paint) -> Lines {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(COLUMNS);
        match paint {
            Paint::Plain => table.force_no_tty(),
            Paint::Colors => table.enforce_styling(),
        };
        let title = |header: &&str| paint.cell(header.trim_start_matches('>').to_owned(), Tone::Title);
        table.set_header(headers.iter().map(title));
        for (at, header) in headers.iter().enumerate() {
            let Some(column) = table.column_mut(at) else { continue };
            // One blank between columns is too little to tell numbers apart, three are a waste. After the last stands nothing.
            column.set_padding((0, if at + 1 == headers.len() { 0 } else { 2 }));
            if header.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Lines { table, columns: headers.len(), paint }
    }

    /// One row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.painted_row(cells.into_iter().map(|cell| (cell, Tone::Plain)));
    }

    /// The same, each cell in its tone.
    pub fn painted_row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        let mut cells: Vec<Cell> =
            cells.into_iter().map(|(cell, tone)| self.paint.cell(clean(&cell), tone)).collect();
        cells.resize(self.columns, Cell::new(""));
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
/// that are longer than a line are cut; two blanks between words stay two.
pub fn wrap(text: &str, first: usize, rest: usize) -> String {
    let (mut lines, mut line, mut width) = (String::new(), " ".repeat(first), first);
    let mut is_empty = true;
    let text = clean(text);
    let mut gap = 1;
    for mut word in text.split(char::is_whitespace) {
        if word.is_empty() {
            gap = 2;
            continue;
        }
        loop {
            // A full line has no room, not even for the blank.
            let room = usize::from(COLUMNS).saturating_sub(width + if is_empty { 0 } else { gap });
            if word.width() <= room {
                break;
            }
            if is_empty {
                let (head, tail) = word.split_at(fitting(word, room));
                line.push_str(head);
                word = tail;
            }
            lines.push_str(line.trim_end());
            lines.push('\n');
            (line, width, is_empty) = (" ".repeat(rest), rest, true);
        }
        if !is_empty {
            line.extend(std::iter::repeat_n(' ', gap));
            width += gap;
        }
        width += word.width();
        line.push_str(word);
        (is_empty, gap) = (false, 1);
    }
    lines + line.trim_end() + "\n"
}

/// How many bytes of a word fit into so many columns: whole characters, and with each what stands on it. One character at
/// least, or the word would never end.
fn fitting(word: &str, columns: usize) -> usize {
    let (mut used, mut end) = (0, 0);
    for (at, c) in word.char_indices() {
        let width = c.width().unwrap_or(0);
        if width > 0 && end > 0 && used + width > columns {
            break;
        }
        (used, end) = (used + width, at + c.len_utf8());
    }
    end
}

/// Control characters could move the cursor or change colors, marks of direction let a line read otherwise than it is:
/// whatever a client stated ends up on an admin's terminal.
pub fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if (c.is_control() && c != '\n') || turns(c) { '\u{fffd}' } else { c }).collect()
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
        assert_eq!(wrap(" 09:00:00  cad   ann\n2 seats  ", 0, 10), "09:00:00  cad  ann 2 seats\n");
        assert_eq!(wrap(&"w".repeat(100), 0, 1), format!("{}\n {}\n", "w".repeat(80), "w".repeat(20)));
    }

    #[test]
    fn a_wide_character_takes_two_columns_and_is_not_cut() {
        let mut lines = Lines::new(&["USER", "HOST", "FEATURE"]);
        lines.row(["王小明".into(), "ws7".into(), "cad".into()]);
        lines.row(["ann".into(), "工作站".into(), "cad".into()]);
        lines.row(["e\u{301}va".into(), "ws8".into(), "cad".into()]);
        let text = lines.text();
        let columns = |line: &str| line[..line.find("cad").expect("the last column")].width();
        let found: Vec<usize> = text.lines().skip(1).map(columns).collect();
        assert_eq!(found, [16, 16, 16], "{text}");

        lines.row(["王".repeat(300), "站".repeat(200), "cad".into()]);
        let text = lines.text() + &wrap(&"王小明 ".repeat(60), 2, 4) + &wrap(&"站e\u{301}".repeat(99), 1, 4);
        assert_eq!(text.lines().find(|line| line.width() > 80), None, "{text}");
        assert!(
            text.lines().all(|line| !line.trim_start().starts_with('\u{301}')),
            "an accent on nothing: {text}"
        );
        assert_eq!(text.matches('站').count(), 200 + 1 + 99, "{text}");
    }

    #[test]
    fn a_users_name_cannot_move_the_cursor() {
        assert_eq!(clean("an\u{1b}[2Jn"), "an\u{fffd}[2Jn");
        assert_eq!(clean("ann\u{202e}x"), "ann\u{fffd}x");
    }
}
