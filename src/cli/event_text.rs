//! One event as a line for a person: `09:15:02  cad  ann@ws7  2 seats granted  (101)`.

use serde_json::Value;

use super::here::Here;
use super::table::{plural, wrap};
use crate::events::Event;
use crate::events::what::{Maintenance, Seats, Wanted, What, Who};

/// Prints events in the zone of this terminal, a date where a day begins.
pub(super) struct Printer {
    here: Here,
    day: String,
}

impl Printer {
    pub(super) fn new() -> Printer {
        Printer { here: Here::terminal(), day: String::new() }
    }

    /// Whole lines of at most 80 columns. An event of a newer server is shown as it came.
    pub(super) fn text(&mut self, event: &Value) -> String {
        let read = serde_json::from_value::<Event>(event.clone()).ok();
        let said = read.map_or_else(|| unknown(event), |event| sentence(&event.what, &self.here));
        let local = event["at"].as_str().map_or_else(String::new, |at| self.here.time(at));
        let (day, time) = (local.get(..10).unwrap_or(""), local.get(11..19).unwrap_or("--:--:--"));
        let mut text = String::new();
        if day != self.day {
            self.day = day.to_owned();
            text = format!("{day}\n");
        }
        // A client's line break would begin a line that no event has said.
        text + &wrap(&format!("{time}  {}", said.replace('\n', " ")), 0, 10)
    }
}

fn unknown(event: &Value) -> String {
    let mut rest = event.clone();
    if let Some(members) = rest.as_object_mut() {
        ["seq", "run", "at", "kind"].iter().for_each(|name| drop(members.remove(*name)));
    }
    format!("{}  {rest}", event["kind"].as_str().unwrap_or("?"))
}

fn sentence(what: &What, here: &Here) -> String {
    match what {
        What::SessionGranted(granted) => {
            let of = &granted.of;
            let how = match (&granted.until, of.borrow) {
                (Some(until), _) => format!("borrowed until {}", here.time(until)),
                (None, true) => "borrowed".to_owned(),
                (None, false) => "granted".to_owned(),
            };
            let waited =
                granted.waiter.as_ref().map_or_else(String::new, |place| format!(", waited as {place}"));
            let soft = if granted.above_soft_limit { ", above the soft limit" } else { "" };
            let notice = granted.notice.as_ref().map_or_else(String::new, |notice| format!(": {notice}"));
            line(of, &format!("{how}{waited}{soft}{}{notice}", release(of)))
        }
        What::SessionEnded(ended) => {
            let by = ended.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            let why = ended.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            let cause = ended.cause.replace('_', " ");
            line(&ended.of, &format!("back after {}: {cause}{by}{why}", span(ended.held_ms)))
        }
        What::SessionReduced(reduced) => {
            let after = span(reduced.held_ms);
            line(&reduced.of, &format!("back after {after}: checked in, {} left", reduced.remaining))
        }
        What::SessionDenied(denied) => {
            let why = denied.message.as_deref().unwrap_or("no seat");
            let (feature, who) = (&denied.feature, person(&denied.who));
            format!("{feature}  {who}  denied: {why}  ({})", denied.code)
        }
        What::QueueWaiting(waiting) => {
            let (features, who) = (wanted(&waiting.features), person(&waiting.who));
            format!("{features}  {who}  waits for up to {}  ({})", span(waiting.waits_ms), waiting.waiter)
        }
        What::QueueEnded(ended) => {
            let (features, who) = (wanted(&ended.features), person(&ended.who));
            let (after, cause) = (span(ended.waited_ms), ended.cause.replace('_', " "));
            format!("{features}  {who}  waits no longer after {after}: {cause}  ({})", ended.waiter)
        }
        What::BorrowReturned(returned) => {
            let lost = if returned.written_off { ", though it was written off" } else { "" };
            let until = here.time(&returned.until);
            line(&returned.of, &format!("no longer borrowed, was until {until}{lost}"))
        }
        What::BorrowWrittenOff(note) => {
            let by = note.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            let why = note.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            line(&note.of, &format!("written off{by}{why}"))
        }
        What::PoolChanged(pool) => {
            let total = |n: Option<u32>| n.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
            let why = pool.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            let (old, new) = (total(pool.old_total), total(pool.new_total));
            let sn = pool.sn.as_ref().map_or_else(String::new, |sn| format!(" {sn}"));
            let kind = if pool.key_type == "EXCLUSIVE" {
                String::new()
            } else {
                format!(" ({}{sn})", pool.key_type.to_ascii_lowercase())
            };
            format!("{}{kind}  {old} → {new} seats{why}", pool.feature)
        }
        What::LicensesReloaded(read) => format!(
            "licenses read: {} in {}, {}",
            plural(read.licenses, "license"),
            plural(read.files, "file"),
            plural(read.problems, "problem")
        ),
        What::LicensesProblem(problem) => {
            let number = |n: Option<u32>| n.map_or_else(String::new, |n| format!(":{n}"));
            let (line, column) = (number(problem.line), number(problem.column));
            format!("{}{line}{column}: {}  ({})", problem.file, problem.message, problem.reason)
        }
        What::PolicyReloaded(read) => {
            format!("new policy: {}, {}", plural(read.rules, "rule"), plural(read.groups, "group"))
        }
        What::PolicyRefused(refused) => {
            let first = refused.message.as_ref().map_or_else(String::new, |first| format!(": {first}"));
            format!("bad policy, the one before stays: {}{first}", plural(refused.errors, "error"))
        }
        What::DayServed(served) => format!("a new day: {}", served.day),
        What::ClockChanged(clock) => format!(
            "the clock is {} (it was {}): it shows {}, the day that counts is {}",
            clock.clock, clock.before, clock.shows, clock.day
        ),
        What::AdminAction(done) => {
            let on = done.session.as_ref().map_or_else(String::new, |session| format!(" {session}"));
            let of =
                if done.features.is_empty() { String::new() } else { format!(" {}", wanted(&done.features)) };
            let why = done.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{}  {}{on}{of}{why}", done.by, done.action.replace('_', "-"))
        }
        What::ServerStarted(started) => format!(
            "{} starts: seatkeeperd {}, days of {}, {} from before",
            started.name,
            started.version,
            started.time_zone,
            plural(started.sessions, "session")
        ),
        What::ServerStopping(stopping) => {
            let by = stopping.by.as_ref().map_or_else(String::new, |by| format!(": {by}"));
            format!("the server stops{by}")
        }
        What::MaintenanceExpiringSoon(of) => maintenance(&of.0, "ends soon"),
        What::MaintenanceEnded(of) => maintenance(&of.0, "has ended"),
        What::MaintenanceRenewed(of) => maintenance(&of.0, "is renewed"),
        What::MaintenanceStarted(of) => maintenance(&of.0, "has begun"),
    }
}

fn line(of: &Seats, what: &str) -> String {
    let (feature, who) = (&of.feature, person(&of.who));
    format!("{feature}  {who}  {} {what}  ({})", plural(of.seats.into(), "seat"), of.session)
}

fn person(who: &Who) -> String {
    match (&who.user, &who.host) {
        (Some(user), Some(host)) => format!("{user}@{host}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "somebody".to_owned(),
    }
}

fn release(of: &Seats) -> String {
    of.release.release_version.as_ref().map_or_else(String::new, |version| format!(", version {version}"))
}

fn wanted(features: &[Wanted]) -> String {
    let one = |of: &Wanted| match of.seats {
        1 => of.feature.clone(),
        n => format!("{n} {}", of.feature),
    };
    features.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn maintenance(of: &Maintenance, what: &str) -> String {
    if let Some(text) = &of.text {
        return format!("{}  {text}", of.feature);
    }
    let end = of.end.map_or_else(String::new, |end| format!(": last day {end}"));
    format!("{}  maintenance {what}{end}", of.feature)
}

/// As people say a time: its two largest parts.
fn span(ms: u64) -> String {
    let seconds = ms / 1_000;
    let parts = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = parts.iter().position(|(length, _)| seconds >= *length) else {
        return format!("{ms} ms");
    };
    let (mut left, mut words) = (seconds, Vec::new());
    for (length, unit) in parts.iter().skip(first).take(2) {
        if left / length > 0 {
            words.push(format!("{} {unit}", left / length));
        }
        left %= length;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::{Here, Printer};

    #[test]
    fn a_line_tells_the_local_time_and_fits_eighty_columns_whoever_it_is() {
        let mut printer = Printer { here: Here::of("Asia/Tokyo"), day: String::new() };
        let granted = |user: &str| {
            serde_json::json!({
                "schema": 1, "seq": 3, "run": "ab", "at": "2030-06-30T22:15:02.500Z", "kind": "session.granted",
                "session": "1a", "bundle": "1a", "vendor": "ACME", "feature": "cad", "seats": 2, "user": user,
                "host": "ws7", "key_type": "EXCLUSIVE", "borrow": false, "above_soft_limit": false
            })
        };
        let text = printer.text(&granted("ann"));
        assert_eq!(text, "2030-07-01\n07:15:02  cad  ann@ws7  2 seats granted  (1a)\n");
        let text = printer.text(&granted(&"王小明".repeat(20)));
        assert!(text.starts_with("07:15:02  cad\n          王小明"), "{text}");
        assert_eq!(text.lines().find(|line| line.width() > 80), None, "{text}");
    }
}
