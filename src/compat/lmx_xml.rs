//! `lmxendutil -licstatxml`: one element a line and none indented, for the programs that cut out lines before they parse.

use super::lmx::{address, day, uptime};
use super::{Picture, Place, UNLIMITED, Use, major_minor, vendor_word};

const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LM-X>\n";
const CLOSE: &str = "</LICENSE_PATH>\n</LM-X>\n";

/// The whole output for one server. The banner is not part of it: it goes to stderr.
pub fn text(picture: &Picture) -> String {
    let (version, uptime) = (major_minor(&picture.version), uptime(picture.uptime_s));
    let mut text = OPEN.to_owned() + &path(&picture.place, &version, &uptime, "SUCCESS");
    for f in &picture.features {
        let total = f.total.unwrap_or(UNLIMITED);
        let share = if f.share.is_empty() { "NONE".to_owned() } else { f.share.join(" ,") };
        text += &format!(
            "<FEATURE NAME=\"{}\" VERSION=\"{}\" VENDOR=\"{}\" START=\"{}\" END=\"{}\" USED_LICENSES=\"{}\" \
             TOTAL_LICENSES=\"{total}\" DENIED_LICENSES=\"{}\" SHARE=\"{share}\">\n",
            escape(&f.name),
            escape(&f.version),
            escape(vendor_word(&f.vendor)),
            day(f.start),
            day(f.end),
            f.in_use,
            f.denied.unwrap_or(0),
        );
        for one in &f.uses {
            text += &user(one);
        }
        text += "</FEATURE>\n";
    }
    text + CLOSE
}

/// What is printed where no server answers: STATUS says why.
pub fn no_server(place: &Place, reason: &str) -> String {
    OPEN.to_owned() + &path(place, "", "", reason) + CLOSE
}

fn path(place: &Place, version: &str, uptime: &str, status: &str) -> String {
    format!(
        "<LICENSE_PATH TYPE=\"NETWORK\" HOST=\"{}@{}\" SERVER_VERSION=\"{}\" UPTIME=\"{uptime}\" STATUS=\"{}\">\n",
        place.port,
        escape(&place.host),
        escape(version),
        escape(status),
    )
}

fn user(one: &Use) -> String {
    let since = one.since.format("%Y-%m-%d %H:%M");
    let mut text = format!(
        "<USER NAME=\"{}\" HOST=\"{}\" IP=\"{}\" USED_LICENSES=\"{}\" LOGIN_TIME=\"{since}\" CHECKOUT_TIME=\"{since}\"",
        escape(&one.user),
        escape(&one.host),
        escape(&address(one)),
        one.count,
    );
    if let Some(share) = &one.share {
        text += &format!(" SHARE_CUSTOM=\"{}\"", escape(share));
    }
    if let Some(borrowed) = &one.borrowed {
        text += &format!(" BORROW_EXPIRE_TIME=\"{}\"", borrowed.until.format("%Y-%m-%d %H:%M"));
    }
    text + "/>\n"
}

/// The text of an attribute. Blanks other than the plain one are written as numbers, so that they come back as they were and
/// begin no line; what XML 1.0 cannot hold at all becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                escaped += &format!("&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
