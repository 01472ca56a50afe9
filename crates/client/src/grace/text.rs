//! The book as text. One line a feature, and a last line over all others, so that damage is seen.
//!
//! ```text
//! seatkeeper-grace 1
//! mark 1893456000
//! closed-until 0
//! feature VENDOR NAME HOURS COUNT VERSION ENDS ASKER DENIED-AT BEGAN LAST
//! sum 9f3c2b1a00112233
//! ```
//!
//! A field that is empty or absent is a dot. ASKER is hexadecimal, because users and hosts are any text.

use std::fmt::Write as _;

use super::book::{Book, Entry, Period, is_name, is_version};

const FIRST: &str = "seatkeeper-grace 1";

/// The file's text.
pub(crate) fn write(book: &Book) -> String {
    let mut text = format!("{FIRST}\nmark {}\nclosed-until {}\n", book.mark, book.closed_until);
    for entry in book.entries() {
        let Entry { vendor, feature, hours, count, version, ends, asker, denied_at, period } = entry;
        let number = |n: &Option<i64>| n.map_or_else(|| ".".to_owned(), |n| n.to_string());
        let word = |text: &str| if text.is_empty() { ".".to_owned() } else { text.to_owned() };
        let hex: String = asker.bytes().map(|b| format!("{b:02x}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "feature {} {feature} {hours} {count} {} {} {} {} {} {}",
            word(vendor),
            word(version.as_deref().unwrap_or("")),
            number(ends),
            word(&hex),
            number(denied_at),
            number(&period.map(|p| p.began)),
            number(&period.map(|p| p.last)),
        );
    }
    let _ = writeln!(text, "sum {:016x}", sum(&text));
    text
}

/// Reads it; the error is the number of the first line that is not as this module writes it.
pub(crate) fn read(text: &str) -> Result<Book, usize> {
    let mut book = Book::default();
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let fields: Vec<&str> = line.strip_suffix('\n').ok_or(number)?.split(' ').collect();
        match (number, &fields[..]) {
            (1, _) if line.trim_end() == FIRST => {}
            (2, ["mark", mark]) => book.mark = moment(mark).ok_or(number)?,
            (3, ["closed-until", until]) => book.closed_until = moment(until).ok_or(number)?,
            (4.., ["feature", fields @ ..]) => {
                let is_new = entry(fields).is_some_and(|entry| book.insert(entry));
                is_new.then_some(()).ok_or(number)?;
            }
            (4.., ["sum", _]) => {
                // Nothing may follow it, and it must be the one way to write this book.
                return if line.len() + at == text.len() && write(&book) == text {
                    Ok(book)
                } else {
                    Err(number)
                };
            }
            _ => return Err(number),
        }
        at += line.len();
    }
    Err(text.lines().count() + 1)
}

fn entry(fields: &[&str]) -> Option<Entry> {
    let [vendor, feature, hours, count, version, ends, asker, denied_at, began, last] = fields else {
        return None;
    };
    let word = |text: &str, is_fine: fn(&str) -> bool| match text {
        "." => Some(None),
        text => is_fine(text).then(|| Some(text.to_owned())),
    };
    let optional = |text: &str| if text == "." { Some(None) } else { moment(text).map(Some) };
    let period = match (optional(began)?, optional(last)?) {
        (Some(began), Some(last)) => Some(Period { began, last }),
        (None, None) => None,
        _ => return None,
    };
    Some(Entry {
        vendor: word(vendor, is_name)?.unwrap_or_default(),
        feature: word(feature, is_name)??,
        hours: hours.parse().ok().filter(|hours| *hours <= wire::answer::Grace::HOURS_MAX)?,
        count: count.parse().ok()?,
        version: word(version, is_version)?,
        ends: optional(ends)?,
        asker: if *asker == "." { String::new() } else { from_hex(asker)? },
        denied_at: optional(denied_at)?,
        period,
    })
}

/// Unix seconds of a year that a clock can show, so that sums of them stay numbers.
fn moment(text: &str) -> Option<i64> {
    const YEAR_9999: i64 = 253_402_300_800;
    text.parse().ok().filter(|n| (-YEAR_9999..YEAR_9999).contains(n))
}

fn from_hex(text: &str) -> Option<String> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect();
    String::from_utf8(bytes.filter(|_| rest.is_empty())?).ok()
}

/// FNV-1a: against accidents, not against people. Who owns the file can write it anyway.
fn sum(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
