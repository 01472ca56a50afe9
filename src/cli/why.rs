//! `why USER FEATURE`: what a checkout of somebody's would come to, and which rule decides (S53).
//!
//! Nothing about the machine this runs on goes into the question: the one who asks sits at another desk. What was not
//! stated is unknown, and the answer says so.

use std::io::Write;

use seatkeeper_client::{Connection, facts, request};
use serde_json::Value;

use super::Failure;
use super::args;
use super::denial;
use super::here::Here;
use super::server::{self, no_answer, unreadable};
use super::show::{self, name, place};
use super::table::{Lines, plural, seats, wrap};
use crate::exit;
use crate::report::{Limit, Place, Reservation, Why, WhyPool};

/// `seatkeeper why`. Exits with 0 if a checkout would be granted, with 75 if not.
///
/// # Errors
///
/// 64 for two vendors, 69 no server, 77 not permitted.
pub fn why(ask: &args::Why, out: &mut impl Write) -> Result<u8, Failure> {
    let question = question(ask)?;
    let connection: Connection = server::why_reader(&ask.admin, ask.server.as_deref())?;
    let answer = connection.call(&question).map_err(no_answer)?;
    connection.close();
    let whole: Value = serde_json::from_str(&answer.json).map_err(|e| unreadable("answer", &e))?;
    let is_granted = whole["granted"] == true;
    show::answer(ask.json, whole, out, |why: &Why| text(why, ask, &Here::terminal()))?;
    Ok(if is_granted { exit::OK } else { exit::TEMPORARY })
}

fn question(ask: &args::Why) -> Result<request::Why, Failure> {
    let vendor = match (&ask.vendor, &ask.feature.vendor) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => {
            let text = format!("sold by {one} or by {other}? Name one vendor");
            return Err(Failure::new(exit::USAGE, text));
        }
        (one, other) => one.clone().or_else(|| other.clone()),
    };
    let here = facts::here();
    Ok(request::Why {
        vendor,
        feature: ask.feature.feature.clone(),
        count: ask.count,
        facts: seatkeeper_client::Facts {
            user: ask.user.clone(),
            host: ask.host.clone().unwrap_or_default(),
            platform: ask.platform.clone().unwrap_or_default(),
            offset_minutes: ask.gmt_offset.unwrap_or(0),
            project: ask.project.clone(),
            release_version: ask.version.clone(),
            release_date: ask.released.map(|day| day.to_string()),
            line_date: ask.line_date.map(|day| day.to_string()),
            ..seatkeeper_client::Facts::default()
        },
        share: ask.share.clone(),
        address: ask.address.map(|address| address.to_string()),
        asker_user: here.user,
        asker_host: here.host,
        extras: Vec::new(),
    })
}

/// The answer first, then everything it rests on.
fn text(why: &Why, ask: &args::Why, here: &Here) -> String {
    let mut text = verdict(why, ask, here);
    if why.vendor.is_none() {
        // There is no such feature, so nothing was looked at.
        return text;
    }
    text += &unknown(why, ask);
    text.push('\n');
    text += &policy(why);
    if !why.pools.is_empty() {
        text += &pools(why);
    }
    if !why.holders.is_empty() {
        text += "\nwho has seats of the first pool, the oldest first:\n";
        let mut table = Lines::new(&["  USER", "HOST", ">SEATS", "SINCE", "SESSION"]);
        for holder in &why.holders {
            table.row([
                format!("  {}", holder.user),
                holder.host.clone(),
                holder.count.to_string(),
                here.cell(holder.since.as_ref()),
                holder.session.clone(),
            ]);
        }
        text += &table.text();
    }
    if !why.held.is_empty() {
        text += "\nheld seats of the first pool; who gave them back may have them at once:\n";
        let mut table = Lines::new(&["  USER", "HOST", ">SEATS", "FREE AT"]);
        for held in &why.held {
            table.row([
                format!("  {}", held.user),
                held.host.clone(),
                held.seats.to_string(),
                here.time(&held.free_at),
            ]);
        }
        text += &table.text();
    }
    let due = why.details.as_ref().and_then(|details| details.due.as_ref());
    if let Some(due) = due {
        text += &format!("\n{}\n", denial::due(due, here));
    }
    text
}

/// Yes or no, with the code, and the rule, the limit or the token that makes it so.
fn verdict(why: &Why, ask: &args::Why, here: &Here) -> String {
    let what = name(why.vendor.as_deref(), &why.feature);
    if why.granted {
        let count = plural(ask.count.into(), "seat");
        let place = if why.host.is_empty() { String::new() } else { format!(" on {}", why.host) };
        let soft = if why.soft_limit { ", above the soft limit" } else { "" };
        let mut text = wrap(&format!("yes: {}{place} would get {count} of {what}{soft}", why.user), 0, 2);
        if let Some(pool) = why.pools.iter().find(|pool| Some(&pool.id) == why.pool.as_ref()) {
            text += &wrap(&format!("from the pool of {}", license(pool)), 2, 4);
        }
        return text;
    }
    let message = why.message.as_deref().unwrap_or("a checkout would be denied");
    let code = why.code.as_deref().unwrap_or("no code");
    let other = || {
        // What the policy denies is denied before any pool is looked at.
        let mut pools = why.pools.iter().filter(|_| why.access != "deny");
        pools.find_map(|pool| Some((pool, depends(pool.code.as_deref()?, why, ask)?)))
    };
    let no = match (depends(code, why, ask), other()) {
        (Some(option), _) => format!("it depends: {message} ({code}); {option}"),
        // Nothing from one pool, but perhaps from another.
        (None, Some((pool, option))) => {
            format!("it depends: {message} ({code}); for the pool of {} {option}", license(pool))
        }
        (None, None) => format!("no: {message} ({code})"),
    };
    let mut text = wrap(&no, 0, 2);
    let Some(details) = &why.details else { return text };
    // Of the feature itself everything stands below; of one that a token needs it does not.
    let lines = if details.needed_by.is_some() {
        denial::facts(details, message, here)
    } else {
        denial::decided_by(details, message)
    };
    for line in lines {
        text += &wrap(&line, 2, 4);
    }
    text
}

/// A term denied for want of something that the question could have stated: how to state it.
fn depends(code: &str, why: &Why, ask: &args::Why) -> Option<&'static str> {
    let is_open = |fact: &str| why.not_stated.iter().any(|open| open == fact);
    match code {
        "platform" if is_open("platform") => Some("say which platform with --platform"),
        "time_zone" if ask.gmt_offset.is_none() => Some("say which local time with --gmt-offset"),
        "release_version_required" if is_open("version") => Some("say which version with --version"),
        "release_date_required" if is_open("release_date") => Some("say which day with --released"),
        "client_host_mismatch" => {
            Some("the program states more of its machine than --host and --address can say here")
        }
        _ => None,
    }
}

/// What the answer took for granted.
fn unknown(why: &Why, ask: &args::Why) -> String {
    let words = |fact: &str| if fact == "release_date" { "day of release" } else { fact }.to_owned();
    let open: Vec<String> = why.not_stated.iter().map(|fact| words(fact)).collect();
    let mut assumed = Vec::new();
    if !open.is_empty() {
        assumed.push(format!("no {} (nothing that asks for one matches)", open.join(", ")));
    }
    if ask.gmt_offset.is_none() {
        assumed.push("local time is GMT".to_owned());
    }
    if assumed.is_empty() { String::new() } else { wrap(&format!("assumed: {}", assumed.join("; ")), 0, 2) }
}

fn by(rule: &Place) -> String {
    let says = rule.text.as_ref().map_or_else(String::new, |text| format!(": {text}"));
    format!("{}:{}{says}", rule.file, rule.line)
}

fn policy(why: &Why) -> String {
    let access = match (&*why.access, &why.access_rule) {
        ("deny", Some(rule)) => format!("policy: denied by {}", by(rule)),
        (_, Some(rule)) => format!("policy: allowed by {}", by(rule)),
        (access, None) => format!("policy: {access}; no rule says otherwise"),
    };
    let mut text = wrap(&access, 0, 2);
    if !why.limits.is_empty() {
        text += "limits that hold for this user:\n";
    }
    for limit in &why.limits {
        text += &wrap(&limit_use(limit), 2, 4);
    }
    if !why.reservations.is_empty() {
        text += "reservations:\n";
    }
    for reservation in &why.reservations {
        text += &wrap(&reserved(reservation), 2, 4);
    }
    text
}

fn limit_use(limit: &Limit) -> String {
    let rule = limit.rule.as_ref().map_or_else(String::new, |rule| format!("; {}", by(rule)));
    format!("{}: {} of {} in use{rule}", limit.whose, limit.used, limit.seats)
}

fn reserved(r: &Reservation) -> String {
    let whom = if r.for_him { "for this user and others it names" } else { "for others" };
    let honored =
        if r.honored < r.seats { format!(" ({} wanted, there are no more)", r.seats) } else { String::new() };
    let left = r.honored.saturating_sub(r.used);
    let rule = r.rule.as_ref().map_or_else(|| "a booking".to_owned(), by);
    format!("{whom}: {}{honored}, {} in use, {left} left; {rule}", plural(r.honored, "seat"), r.used)
}

fn license(pool: &WhyPool) -> String {
    place(Some(&pool.place.file), Some(pool.place.line), None)
}

fn pools(why: &Why) -> String {
    let mut text = if why.pools.len() > 1 {
        "\npools, in the order in which they are tried:\n".to_owned()
    } else {
        "\n".to_owned()
    };
    let mut table = Lines::new(&["  POOL", ">TOTAL", ">USED", ">HELD", ">RESERVED", ">FREE", "LICENSE"]);
    for pool in &why.pools {
        let n = &pool.numbers;
        let is_token = pool.key_type == "TOKEN";
        table.row([
            format!("  {}", pool.key_type.to_lowercase()),
            if is_token { "-".into() } else { seats(n.total, n.unlimited) },
            n.used.to_string(),
            n.held.to_string(),
            n.reserved.to_string(),
            if is_token || n.unlimited { "-".into() } else { seats(n.free, false) },
            license(pool),
        ]);
    }
    text += &table.text();
    for pool in &why.pools {
        let line = match (&pool.code, &pool.message) {
            // One pool's answer is the answer.
            _ if why.pools.len() == 1 => continue,
            (Some(code), message) => format!("no: {} ({code})", message.as_deref().unwrap_or("denied")),
            (None, _) if Some(&pool.id) == why.pool.as_ref() => "yes".to_owned(),
            (None, _) if why.granted => "would give a seat too".to_owned(),
            (None, _) => "would give a seat, but the policy denies".to_owned(),
        };
        text += &wrap(&format!("{}: {line}", license(pool)), 2, 4);
    }
    text
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
