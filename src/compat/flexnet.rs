//! `lmutil lmstat`: text for people, which programs take apart with regular expressions.

use chrono::{Datelike as _, NaiveDate};

use super::words::Lmstat;
use super::{Feature, Picture, Place, Pool, Queued, Use, host_word, vendor_word, word};

/// The line that the tool begins with. It says who wrote this: it is not the tool of that name.
pub const BANNER: &str = concat!("lmutil - as answered by Seatkeeper v", env!("CARGO_PKG_VERSION"), "\n");

/// How the tool names a screen that is not known.
const NO_DISPLAY: &str = "/dev/tty";

/// The whole output for one server, as far as it was asked for.
pub fn text(picture: &Picture, asked: &Lmstat) -> String {
    let (host, port) = (host_word(&picture.place.host), picture.place.port);
    let mut text = head(picture.now);
    text += &format!("License server status: {port}@{host}\n\n");
    text += &format!("{host}: license server UP (MASTER) v{}\n\n", picture.version);
    text += &format!("Vendor daemon status (on {host}):\n\n");
    for vendor in vendors(picture) {
        text += &format!("  {vendor}: UP v{}\n", picture.version);
    }
    let picture = &picture.clone().only(asked.feature.as_deref(), asked.vendor.as_deref());
    if asked.shows_usage() {
        text += "Feature usage info:\n\n";
        for f in &picture.features {
            text += &usage(f, &picture.place);
        }
        if let Some(name) = asked.feature.as_deref().filter(|_| picture.features.is_empty()) {
            let name = word(name, '_');
            text +=
                &format!("Users of {name}: Cannot get users of {name}: No such feature exists. (-5,222)\n\n");
        }
    }
    if asked.inventory {
        text += &inventory(picture);
    }
    text
}

/// What is printed where no server answers; `reason` says why.
pub fn no_server(place: &Place, reason: &str, now: chrono::NaiveDateTime) -> String {
    // One line, and no quote that would end it early.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ").replace('"', "'");
    format!(
        "{}Error getting status: Cannot connect to license server system. (-15,570 \"{reason}\")\n\
         {}@{}: lmgrd is not running: License server machine is down or not responding.\n",
        head(now),
        place.port,
        host_word(&place.host),
    )
}

fn head(now: chrono::NaiveDateTime) -> String {
    format!("{BANNER}Flexible License Manager status on {}\n\n", now.format("%a %-m/%-d/%Y %-H:%M"))
}

fn vendors(picture: &Picture) -> Vec<&str> {
    let mut vendors: Vec<&str> = picture.features.iter().map(|f| vendor_word(&f.vendor)).collect();
    vendors.sort_unstable();
    vendors.dedup();
    vendors
}

/// `licenses` also where there is one: what reads the singular reads the plural too, and not the other way round.
fn usage(f: &Feature, place: &Place) -> String {
    let Some(total) = f.total else {
        return format!("Users of {}:  (Uncounted, node-locked)\n\n", f.name) + &blocks(f, place);
    };
    format!(
        "Users of {}:  (Total of {total} licenses issued;  Total of {} licenses in use)\n\n",
        f.name, f.in_use
    ) + &blocks(f, place)
}

/// Each pool that somebody has seats of, and its users. Reservations and who waits are of the feature and stand in the first.
fn blocks(f: &Feature, place: &Place) -> String {
    if f.in_use == 0 && f.reserved == 0 && f.queue.is_empty() && f.uses.is_empty() {
        return String::new();
    }
    let of = |pool: &Pool| f.uses.iter().filter(|u| u.pool == pool.id).collect::<Vec<&Use>>();
    let is_known = |id: &str| f.pools.iter().any(|pool| pool.id == id);
    let mut text = String::new();
    for (at, pool) in f.pools.iter().enumerate() {
        let mut uses = of(pool);
        let is_first = at == 0;
        if is_first {
            uses.extend(f.uses.iter().filter(|u| !is_known(&u.pool)));
        } else if uses.is_empty() {
            continue;
        }
        text += &block(f, pool);
        if is_first && f.reserved > 0 {
            let (seats, s) = (f.reserved, if f.reserved == 1 { "" } else { "s" });
            text += &format!("\t{seats} RESERVATION{s} for GROUP policy ({})\n", server(place));
        }
        for one in uses {
            text += &user(one, place);
        }
        for waiter in f.queue.iter().filter(|_| is_first) {
            text += &queued(waiter, &pool.version, place);
        }
        text.push('\n');
    }
    text
}

fn block(f: &Feature, pool: &Pool) -> String {
    let kind = if f.total.is_some() {
        "floating license"
    } else {
        "uncounted nodelocked license locked to NOTHING (hostid=ANY)"
    };
    format!(
        "  \"{}\" v{}, vendor: {}, expiry: {}\n  {kind}\n\n",
        f.name,
        pool.version,
        vendor_word(&f.vendor),
        pool.end.map_or_else(|| "permanent(no expiration date)".to_owned(), day),
    )
}

fn user(one: &Use, place: &Place) -> String {
    let display = one.display.as_deref().filter(|d| !d.trim().is_empty()).unwrap_or(NO_DISPLAY);
    let mut text = format!(
        "    {} {} {} (v{}) ({} {}), start {}",
        word(&one.user, '_'),
        host_word(&one.host),
        word(display, '_'),
        one.version,
        server(place),
        one.number,
        one.since.format("%a %-m/%-d %-H:%M"),
    );
    if one.count != 1 {
        text += &format!(", {} licenses", one.count);
    }
    if let Some(borrowed) = &one.borrowed {
        text += &format!("  (linger: {} / {})", borrowed.left_s, borrowed.whole_s);
    }
    text + "\n"
}

/// The `0.0` belongs to the display: who reads this line looks for a number before the version.
fn queued(waiter: &Queued, version: &str, place: &Place) -> String {
    format!(
        "    {} {} {NO_DISPLAY} 0.0 (v{version}) ({} {}) queued for {} license{}\n",
        word(&waiter.user, '_'),
        host_word(&waiter.host),
        server(place),
        waiter.number,
        waiter.count,
        if waiter.count == 1 { "" } else { "s" },
    )
}

fn server(place: &Place) -> String {
    format!("{}/{}", host_word(&place.host), place.port)
}

/// `lmstat -i`: a line for each license that counts; 0 stands for "uncounted".
fn inventory(picture: &Picture) -> String {
    let mut text = "NOTE: lmstat -i tells what the licenses grant, not what is in use.\n\n".to_owned();
    let mut row = |name: &str, version: &str, count: &str, expires: &str, vendor: &str| {
        text += &format!("{name:<31} {version:<11} {count:<11} {expires:<12} {vendor}\n");
    };
    row("Feature", "Version", "#licenses", "Expires", "Vendor");
    row("_______", "_________", "_________", "__________", "______");
    for f in &picture.features {
        for (version, count, end) in f.pools.iter().flat_map(|pool| &pool.licenses) {
            let count = count.unwrap_or(0).to_string();
            let end = end.map_or_else(|| "permanent".to_owned(), day);
            row(&f.name, version, &count, &end, vendor_word(&f.vendor));
        }
    }
    text
}

/// `31-dec-2031`: as FEATURE lines have it, the month in lower case.
fn day(day: NaiveDate) -> String {
    format!("{}-{}-{:04}", day.day(), day.format("%b").to_string().to_lowercase(), day.year())
}
