//! Durations as people write them in the configuration: a whole number and one unit, `500ms`, `30s`, `5m`, `1h`, `7d`.
//!
//! Strict on purpose: `30` could be seconds or milliseconds, and `1h30m` has a shorter name in `90m`.

use std::time::Duration;

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || {
        format!(
            "\"{text}\" is not a duration: write a whole number and ms, s, m, h or d, such as \"30s\" or \"5m\""
        )
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| scale);
    let (Some(scale), false) = (scale, number.is_empty()) else { return Err(expected()) };
    let millis = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
    millis.map(Duration::from_millis).ok_or_else(|| format!("\"{text}\" is too long a duration"))
}

/// Writes a duration so that [`parse`] reads it: in the largest unit that needs no fraction. Parts of a millisecond
/// are dropped.
pub fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, scale) =
        UNITS.iter().find(|(_, scale)| millis != 0 && millis % scale == 0).unwrap_or(&("s", 1_000));
    format!("{}{unit}", millis / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(format(Duration::from_secs(90)), "90s");
        assert_eq!(format(Duration::from_millis(1_500)), "1500ms");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "s", "30", "30 s", " 30s", "30S", "+30s", "-30s", "1.5s", "1h30m", "30sec", "٣s", "1e3s"]
        {
            assert!(parse(text).unwrap_err().contains("\"30s\""), "{text}");
        }
        assert!(parse("999999999999999999d").unwrap_err().contains("too long"));
        assert!(parse("99999999999999999999s").unwrap_err().contains("too long"));
    }
}
