//! `lmxendutil -licstat`: text for people, which programs read line by line.

use chrono::NaiveDate;

use super::{Picture, Place, UNLIMITED, Use, host_word, major_minor, vendor_word, word};

/// The two lines that the tool begins with. They say who wrote this: it is not the tool of that name.
pub const BANNER: &str = concat!(
    "LM-X End-user Utility, as answered by Seatkeeper v",
    env!("CARGO_PKG_VERSION"),
    "\nSeatkeeper is not made by the makers of LM-X.\n"
);

const FRAME: &str = "++++++++++++++++++++++++++++++++++++++++";
const RULE: &str = "----------------------------------------";

/// The whole output for one server.
pub fn text(picture: &Picture) -> String {
    let mut text = head(&picture.place);
    let (version, uptime) = (major_minor(&picture.version), uptime(picture.uptime_s));
    text += &format!("\nServer version: v{version} Uptime: {uptime}\n");
    for f in &picture.features {
        let total = f.total.unwrap_or(UNLIMITED);
        let share = if f.share.is_empty() { "NONE".to_owned() } else { f.share.join(" ") };
        text += &format!(
            "{RULE}\nFeature: {} Version: {} Vendor: {}\nStart date: {} Expire date: {}\nKey type: {} License sharing: {share}\n",
            f.name,
            f.version,
            vendor_word(&f.vendor),
            day(f.start),
            day(f.end),
            f.key_type,
        );
        if let Some(denied) = f.denied {
            text += &format!("{denied} denial(s) in last 24 hours\n");
        }
        let colon = if f.in_use > 0 { ":" } else { "" };
        text += &format!("\n{} of {total} license(s) used{colon}\n", f.in_use);
        for one in &f.uses {
            text += &user(one);
        }
    }
    text
}

/// What is printed where no server answers; `reason` says why.
pub fn no_server(place: &Place, reason: &str) -> String {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "{BANNER}\n{FRAME}\nLM-X license server(s):\n{RULE}\nThere are no license server(s) available.\n{}@{}: {reason}\n",
        place.port,
        host_word(&place.host),
    )
}

fn head(place: &Place) -> String {
    format!("{BANNER}\n{FRAME}\nLM-X License Server on {}@{}:\n", place.port, host_word(&place.host))
}

fn user(one: &Use) -> String {
    let since = one.since.format("%Y-%m-%d %H:%M");
    let mut text = format!(
        "\n{} license(s) used by {}@{} [{}]\n    Login time: {since}   Checkout time: {since}\n",
        one.count,
        word(&one.user, '_'),
        host_word(&one.host),
        address(one),
    );
    if let Some(share) = &one.share {
        text += &format!("    Shared on custom string: {}\n", word(share, '_'));
    }
    if let Some(borrowed) = &one.borrowed {
        text += &format!("    Borrow expire time: {}\n", borrowed.until.format("%Y-%m-%d %H:%M"));
    }
    text
}

/// As parsers want it, four numbers where there are four: a client on the server's own machine is at its loopback.
pub(super) fn address(one: &Use) -> String {
    match one.address.as_deref() {
        None => "127.0.0.1".to_owned(),
        Some(address) => match address.strip_prefix("::ffff:") {
            Some(v4) if v4.contains('.') => word(v4, '-'),
            _ => word(address, '-'),
        },
    }
}

pub(super) fn day(day: Option<NaiveDate>) -> String {
    day.map_or_else(|| "NONE".to_owned(), |day| day.format("%Y-%m-%d").to_string())
}

/// All four parts, always: programs count the words.
pub(super) fn uptime(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    format!("{} day(s) {} hour(s) {} min(s) {} sec(s)", hours / 24, hours % 24, minutes % 60, seconds % 60)
}
