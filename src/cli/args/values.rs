//! Values that are more than a word: read, and if they are wrong, what to write instead.

use std::time::Duration;

use chrono::NaiveDate;
use seats::change::SessionId;

pub(super) fn reason(text: &str) -> Result<String, String> {
    let is_good = !text.trim().is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
    if is_good { Ok(text.to_owned()) } else { Err("say why in one line of 1 to 256 bytes".to_owned()) }
}

pub(super) fn session(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|()| "write a session as `seatkeeper sessions` shows it, such as 3k7".to_owned())
}

pub(super) fn date(text: &str) -> Result<NaiveDate, String> {
    let date = text.parse::<NaiveDate>().ok();
    // chrono reads 2030-1-1 too, the server does not.
    date.filter(|date| date.to_string() == text).ok_or_else(|| "write a day as YYYY-MM-DD".to_owned())
}

/// A version as programs state it.
pub(super) fn version(text: &str) -> Result<String, String> {
    let wrong = || "write two to four numbers, as 4.2 or 4.2.0.1".to_owned();
    text.parse::<seats::version::ReleaseVersion>().map(|_| text.to_owned()).map_err(|()| wrong())
}

/// A fact that is stated: an empty one would count as not stated.
pub(super) fn fact(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("say something, or leave it out".to_owned());
    }
    Ok(text.to_owned())
}

/// Minutes from GMT.
pub(super) fn gmt_offset(text: &str) -> Result<i16, String> {
    let wrong = || "write hours from GMT: +1, -5, +5:30".to_owned();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let number = |text: &str, most: i16| {
        let is_plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i16>().ok().filter(|n| is_plain && *n <= most).ok_or_else(wrong)
    };
    Ok(sign * (number(hours, 14)? * 60 + number(minutes, 59)?))
}

pub(super) fn bar(text: &str) -> Result<Duration, String> {
    let bar = crate::config::duration::parse(text)?;
    match u32::try_from(bar.as_secs()) {
        Ok(1..) => Ok(bar),
        _ => Err("a bar lasts from 1s to 49710d".to_owned()),
    }
}
