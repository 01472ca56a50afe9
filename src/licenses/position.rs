//! From a byte offset to the line and column a person sees.

/// Bytes between two checkpoints of the character count: what one look-up may have to count.
const STEP: usize = 4_096;

/// Where the lines of one text begin, built once a file (L4).
///
/// Columns count characters. A file that is one line of 64 MiB costs no more than another: beside the lines
/// there is a running count of characters, so that no look-up reads more than [`STEP`] bytes twice.
pub(crate) struct LineIndex<'a> {
    text: &'a str,
    lines: Vec<u32>,
    /// Characters before each multiple of [`STEP`]; empty where every character is one byte.
    characters: Vec<u32>,
}

impl<'a> LineIndex<'a> {
    /// `text` is at most [`FILE_BYTES_MAX`](super::FILE_BYTES_MAX) long, so that offsets fit into 32 bits.
    pub(crate) fn new(text: &'a str) -> LineIndex<'a> {
        let bytes = text.as_bytes();
        let newlines = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect();
        let mut characters = Vec::new();
        if !text.is_ascii() {
            let mut count = 0;
            for chunk in bytes.chunks(STEP) {
                characters.push(count);
                count += starts(chunk);
            }
            characters.push(count);
        }
        LineIndex { text, lines, characters }
    }

    /// The 1-based line and column of a byte offset; the end of the text for one beyond it.
    pub(crate) fn line_column(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|start| *start as usize <= at);
        let start = self.lines.get(line.saturating_sub(1)).map_or(0, |start| *start as usize);
        (line as u32, self.characters_before(at) - self.characters_before(start) + 1)
    }

    fn characters_before(&self, at: usize) -> u32 {
        match self.characters.get(at / STEP) {
            Some(before) => before + starts(&self.text.as_bytes()[at / STEP * STEP..at]),
            None => at as u32,
        }
    }
}

/// How many characters begin in these bytes of UTF-8.
fn starts(bytes: &[u8]) -> u32 {
    bytes.iter().filter(|b| **b & 0xc0 != 0x80).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_count_line_feeds() {
        let index = LineIndex::new("ab\r\nüöx\n\n");
        let at = |offset| index.line_column(offset);
        assert_eq!((at(0), at(2), at(4)), ((1, 1), (1, 3), (2, 1)));
        assert_eq!(at(8), (2, 3), "two characters of two bytes each stand before it");
        assert_eq!((at(10), at(11), at(99)), ((3, 1), (4, 1), (4, 1)));
    }

    #[test]
    fn one_long_line_is_counted_as_the_naive_way_does() {
        let text = "aüb".repeat(5_000) + "\n" + &"é".repeat(3_000);
        let index = LineIndex::new(&text);
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)).step_by(37) {
            let line = text[..at].matches('\n').count() + 1;
            let column = text[..at].rsplit('\n').next().unwrap_or("").chars().count() + 1;
            assert_eq!(index.line_column(at), (line as u32, column as u32), "at {at}");
        }
    }
}
