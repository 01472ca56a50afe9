//! What an administrator does, over the Unix socket only (S80).

use std::io::Write;

use seatkeeper_client::request;
use serde_json::{Value, json};

use super::Failure;
use super::args::{Admin, Book, HostId, Release, Unbook, WriteOff};
use super::here::Here;
use super::paint::Output;
use super::server::{self, no_answer, unreadable};
use super::show::{self, name, place, problem_list};
use super::table::{Lines, clean, plural, seats, wrap};
use crate::clock::rfc3339;
use crate::exit;
use crate::report::{HostIds, HostMatch, Reload, SCHEMA};

/// `seatkeeper release SESSION`.
///
/// # Errors
///
/// As [`server::admin`]; 75 if there is no such session.
pub fn release(ask: &Release, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::admin(&ask.admin)?;
    connection.call(&server::release_request(ask)).map_err(no_answer)?;
    if ask.admin.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "session": ask.session.to_string() }))?;
    } else {
        let bar = ask.bar.map(crate::config::duration::format);
        let barred = bar.map_or_else(String::new, |bar| format!("; its user and host are barred for {bar}"));
        writeln!(out, "session {} is released{barred}", ask.session)?;
    }
    Ok(())
}

/// `seatkeeper book FEATURE N --for D`: the token alone on a line, for a script.
///
/// # Errors
///
/// As [`server::admin`]; 75 if the seats are not free, 77 if the policy lets this user book none.
pub fn book(ask: &Book, out: &mut impl Write) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(exit::USAGE, text);
    let item = |(name, count): (super::args::FeatureName, u32)| request::Item {
        vendor: name.vendor,
        feature: name.feature,
        count,
    };
    let items = ask.items().map_err(usage)?.into_iter().map(item).collect();
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::new(exit::INTERNAL, format!("no random numbers: {e}")))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let seconds = u32::try_from(ask.keep.as_secs()).unwrap_or(u32::MAX);
    let facts = seatkeeper_client::facts::here();
    let question = request::Book { token: token.clone(), items, seconds, facts, extras: Vec::new() };
    let connection = server::admin(&ask.admin)?;
    let booked = connection.call(&question).map_err(no_answer)?;
    if ask.admin.json {
        let until = rfc3339(booked.until.saturating_mul(1_000));
        writeln!(out, "{}", json!({ "schema": SCHEMA, "token": token, "until": until }))?;
    } else {
        writeln!(out, "{token}")?;
    }
    Ok(())
}

/// `seatkeeper unbook TOKEN`.
///
/// # Errors
///
/// As [`server::admin`]; 75 if nothing is booked under it.
pub fn unbook(ask: &Unbook, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::admin(&ask.admin)?;
    let question = request::Unbook { token: ask.token.clone(), extras: Vec::new() };
    let answer = connection.call(&question).map_err(no_answer)?;
    if ask.admin.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "bookings": answer.bookings }))?;
    } else {
        writeln!(out, "given up: seats of {}", plural(answer.bookings.into(), "feature"))?;
    }
    Ok(())
}

/// `seatkeeper write-off BORROW`.
///
/// # Errors
///
/// As [`server::admin`]; 75 if nothing is borrowed under that number.
pub fn write_off(ask: &WriteOff, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::admin(&ask.admin)?;
    let reason = ask.reason.clone();
    let question = request::WriteOff { borrow: ask.borrow.0, reason, extras: Vec::new() };
    let answer = connection.call(&question).map_err(no_answer)?;
    if ask.admin.json {
        let until = rfc3339(answer.ends_at.saturating_mul(1_000));
        let borrow = ask.borrow.to_string();
        writeln!(out, "{}", json!({ "schema": SCHEMA, "borrow": borrow, "until": until }))?;
    } else {
        let until = Here::terminal().seconds(answer.ends_at);
        writeln!(out, "{} is written off; its seats come back at {until}", ask.borrow)?;
    }
    Ok(())
}

/// `seatkeeper reload`.
///
/// # Errors
///
/// As [`server::admin`]. Problems with the files are shown and are no error: the good ones count.
pub fn reload(ask: &Admin, out: &mut impl Output) -> Result<(), Failure> {
    let connection = server::admin(ask)?;
    let answer = connection.call(&request::Reload::default()).map_err(no_answer)?;
    let paint = out.paint();
    show::answer(ask.json, parse(&answer.json)?, out, |reload: &Reload| {
        let mut text = wrap(
            &format!("read {} with {}", plural(reload.files, "file"), plural(reload.licenses, "license")),
            0,
            2,
        );
        if reload.changes.is_empty() {
            text += "no total has changed\n";
        }
        for c in &reload.changes {
            let number = |total: Option<u64>| seats(total, total.is_none());
            let line = format!(
                "{} {} → {}: {}",
                name(Some(&c.vendor), &c.feature),
                number(c.old_total),
                number(c.new_total),
                c.reason
            );
            text += &wrap(&line, 0, 2);
        }
        text + &problem_list(&reload.problems, paint)
    })
}

/// `seatkeeper shutdown`.
///
/// # Errors
///
/// As [`server::admin`].
pub fn shutdown(ask: &Admin, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::admin(ask)?;
    connection.call(&request::Shutdown::default()).map_err(no_answer)?;
    if ask.json {
        writeln!(out, "{}", json!({ "schema": SCHEMA, "stopping": true }))?;
    } else {
        writeln!(out, "the daemon stops; sessions are kept")?;
    }
    Ok(())
}

/// `seatkeeper hostid`.
///
/// # Errors
///
/// As [`server::admin`].
pub fn host_ids(ask: &HostId, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::admin(&ask.admin)?;
    let question = request::HostIds { explain: ask.explain.clone(), extras: Vec::new() };
    let answer = connection.call(&question).map_err(no_answer)?;
    show::answer(ask.admin.json, parse(&answer.json)?, out, |ids: &HostIds| match &ids.licenses {
        Some(licenses) if licenses.is_empty() => "no license of that feature is on this server\n".to_owned(),
        Some(licenses) => licenses.iter().map(compared).collect(),
        None => to_paste(ids),
    })
}

/// A block for a license template; a vendor takes the lines he wants.
fn to_paste(ids: &HostIds) -> String {
    let mut text = "<SERVER_HOSTID>\n".to_owned();
    for id in &ids.host_ids {
        if let Some(value) = &id.value {
            text += &format!("  <SETTING {}=\"{}\"/>\n", clean(&id.kind), escape(value));
        }
    }
    text += "</SERVER_HOSTID>\n";
    let notes: Vec<_> = ids.host_ids.iter().filter(|id| id.note.is_some() || id.value.is_none()).collect();
    if !notes.is_empty() {
        text.push('\n');
    }
    for id in notes {
        let note = id.note.as_deref().unwrap_or("could not be read");
        text += &wrap(&format!("{}: {note}", id.kind), 0, 2);
    }
    text
}

fn compared(license: &HostMatch) -> String {
    let verdict = if license.matches { "may be served here" } else { "is not for this server" };
    let sn = license.sn.as_ref().map_or_else(String::new, |sn| format!(", SN {sn}"));
    let mut text =
        wrap(&format!("{}{sn}: {verdict}", place(license.file.as_deref(), license.line, None)), 0, 2);
    if license.blocks.is_empty() {
        return text + "  it names no server\n";
    }
    for (at, block) in license.blocks.iter().enumerate() {
        text += &format!("  block {}, {} % of its entries must match:\n", at + 1, license.match_rate);
        let mut table = Lines::new(&["   ENTRY", "VALUE", "HERE"]);
        for entry in block {
            let here = if entry.matches { "yes" } else { "no" };
            table.row([format!("   {}", entry.kind), entry.value.clone(), here.to_owned()]);
        }
        text += &table.text();
    }
    text
}

fn escape(value: &str) -> String {
    clean(value).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| unreadable("answer", &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::HostId;

    #[test]
    fn host_ids_can_be_pasted_into_a_template() {
        let id = |kind: &str, value: Option<&str>, note: Option<&str>| HostId {
            kind: kind.into(),
            value: value.map(str::to_owned),
            note: note.map(str::to_owned),
        };
        let ids = HostIds {
            schema: 1,
            host_ids: vec![
                id("HOSTNAME", Some("lic01"), None),
                id("CUSTOM", Some("a<\"&b"), None),
                id("DMI", None, Some("only root may read it")),
            ],
            licenses: None,
        };
        let expected = "<SERVER_HOSTID>\n  <SETTING HOSTNAME=\"lic01\"/>\n  \
                        <SETTING CUSTOM=\"a&lt;&quot;&amp;b\"/>\n</SERVER_HOSTID>\n\nDMI: only root may read it\n";
        assert_eq!(to_paste(&ids), expected);
    }
}
