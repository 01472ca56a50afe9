//! `seatkeeper events`: what happened, a line each, and with `--follow` what happens.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use seatkeeper_client::{CallError, Connection, codes, request};
use serde_json::{Map, Value, json};

use super::Failure;
use super::args::Events;
use super::event_text::Printer;
use super::server::{self, no_answer, unreadable};
use crate::exit;
use crate::report::SCHEMA;

/// For how long one question waits: well below the time an answer may take, so that a quiet server is not taken for a dead one.
const WAIT: Duration = Duration::from_secs(5);
/// How long to wait before the next attempt to get back to a server.
const PAUSE: Duration = Duration::from_secs(1);

/// `seatkeeper events`.
///
/// # Errors
///
/// As [`server::reader`]; with `--follow` only at the beginning: a server that is lost later is waited for.
pub fn events(ask: &Events, out: &mut impl Write) -> Result<(), Failure> {
    let connection = server::reader(&ask.read)?;
    if ask.follow { follow(ask, connection, out) } else { list(ask, connection, out) }
}

/// One answer.
struct Part {
    whole: Map<String, Value>,
    events: Vec<Value>,
    next: String,
}

impl Part {
    fn run(&self) -> &str {
        self.whole.get("run").and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.whole.get(name).and_then(Value::as_u64).unwrap_or(0)
    }
}

fn question(ask: &Events, after: Option<u64>) -> request::Events {
    let name = |name: &super::args::FeatureName| request::FeatureName {
        vendor: name.vendor.clone(),
        feature: name.feature.clone(),
    };
    request::Events { after, features: ask.feature.iter().map(name).collect(), ..request::Events::default() }
}

fn ask_for(connection: &Connection, question: &request::Events) -> Result<Result<Part, CallError>, Failure> {
    let answer = match connection.call(question) {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let mut whole: Map<String, Value> =
        serde_json::from_str(&answer.json).map_err(|e| unreadable("events", &e))?;
    let events = match whole.remove("events") {
        Some(Value::Array(events)) => events,
        _ => Vec::new(),
    };
    Ok(Ok(Part { whole, events, next: answer.next }))
}

/// Everything that there was when the first answer was made.
fn list(ask: &Events, connection: Connection, out: &mut impl Write) -> Result<(), Failure> {
    let mut question = question(ask, Some(ask.after.unwrap_or(0)));
    let (mut whole, mut events, mut missed) = (None, Vec::new(), 0);
    // What comes after the first answer is for the next question.
    let mut last = u64::MAX;
    loop {
        let mut part = ask_for(&connection, &question)?.map_err(no_answer)?;
        let is_over = part.events.is_empty() && part.number("missed") == 0;
        missed += part.number("missed");
        last = last.min(part.number("last"));
        events.append(&mut part.events);
        question.cursor.clone_from(&part.next);
        whole.get_or_insert(part.whole);
        let seq = events.last().and_then(|event: &Value| event["seq"].as_u64());
        if is_over || seq.is_some_and(|seq| seq >= last) {
            break;
        }
    }
    connection.close();
    events.retain(|event| event["seq"].as_u64().is_none_or(|seq| seq <= last));
    if ask.read.json {
        let mut whole = whole.unwrap_or_default();
        if missed > 0 {
            whole.insert("missed".into(), json!(missed));
        }
        whole.entry("schema").or_insert(json!(SCHEMA));
        whole.insert("events".into(), Value::Array(events));
        writeln!(out, "{:#}", Value::Object(whole))?;
        return Ok(());
    }
    let mut printer = Printer::new();
    if missed > 0 {
        writeln!(out, "({missed} older events are forgotten)")?;
    } else if events.is_empty() {
        writeln!(out, "nothing has happened")?;
    }
    events.iter().try_for_each(|event| write!(out, "{}", printer.text(event)))?;
    Ok(())
}

fn follow(ask: &Events, first: Connection, out: &mut impl Write) -> Result<(), Failure> {
    let mut connection = Some(first);
    let mut question = question(ask, ask.after);
    let (mut printer, mut run) = (Printer::new(), None::<String>);
    loop {
        let Some(server) = &connection else {
            thread::sleep(PAUSE);
            match server::reader(&ask.read) {
                Ok(again) => {
                    tell("the server answers again");
                    connection = Some(again);
                }
                Err(failure) if failure.code != exit::UNAVAILABLE => return Err(failure),
                Err(_) => {}
            }
            continue;
        };
        // The first question fixes the place to begin at, and waits for nothing: from then on nothing is left out.
        let wait = if question.cursor.is_empty() { Duration::ZERO } else { WAIT.min(server.beat_interval()) };
        question.follow_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let part = match ask_for(server, &question)? {
            Ok(part) => part,
            Err(CallError::Refused(refusal)) if refusal.code == codes::BUSY => {
                thread::sleep(PAUSE);
                continue;
            }
            Err(CallError::Refused(refusal)) if refusal.code != codes::SHUTTING_DOWN => {
                return Err(server::refused(&refusal));
            }
            Err(error) => {
                tell(&format!("the server is lost ({error}); trying again"));
                connection = None;
                continue;
            }
        };
        if run.as_deref().is_some_and(|run| run != part.run()) {
            tell("the server was restarted");
        }
        run = Some(part.run().to_owned());
        if part.number("missed") > 0 {
            tell(&format!("{} events were missed", part.number("missed")));
        }
        for event in &part.events {
            if ask.read.json {
                writeln!(out, "{event}")?;
            } else {
                write!(out, "{}", printer.text(event))?;
            }
        }
        out.flush()?;
        question.cursor = part.next;
    }
}

/// To stderr: the output is events and nothing else.
fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "seatkeeper: {}", super::table::clean(what));
}
