//! `/api/v1/events`: what happens, as server-sent events (docs/EVENTS.md), and `/api/v1/denials`, the last of one kind.
//!
//! A follower is a place in the hub and a few kilobytes: text is made when the socket has room for it, so one that reads
//! slowly is told what it missed, and one that does not read at all is cut off like any other connection.
//!
//! Each event has the id `RUN:NUMBER`. A browser states the last one it saw when it comes back (`Last-Event-ID`), so
//! nothing is told twice or left out, unless it is forgotten meanwhile (event `gap`) or the daemon was started anew
//! (event `reset`); then what the follower thinks it knows is to be asked for again.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Http;
use super::routes::{text, with_type};
use crate::answer::check_text;
use crate::config::Readers;
use crate::events::what::What;
use crate::events::{Delivery, Event, EventList, Subscription};
use crate::report::SCHEMA;

/// Followers at once: a quarter of the connections stays for those that ask and go.
pub const FOLLOWERS_MAX: usize = 48;
/// A comment is sent when nothing else was for so long: below any time after which something on the way takes a silent
/// connection for dead, and soon enough for a page to notice that the server is away.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many denials are told at most.
pub const DENIALS_MAX: usize = 50;

/// Who has read everything is told more after this: a busy server would wake each follower a hundred times a second.
const PACE: Duration = Duration::from_millis(50);
/// What is written at once.
const CHUNK_BYTES: usize = 32 << 10;
/// After so many events others have their turn, and it is looked at how long this follower was told nothing: most of them
/// may be about something else, and more may come as fast as they are read.
const EVENTS_AT_ONCE: usize = 256;
/// How long a browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 2_000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    feature: Option<String>,
    vendor: Option<String>,
    /// `RUN:NUMBER`, the id of an event, or the number alone; left out: from now on.
    after: Option<String>,
}

/// Where a follower was.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    run: Option<&'a str>,
    after: u64,
}

impl Place<'_> {
    fn parse(text: &str) -> Option<Place<'_>> {
        let (run, after) = match text.rsplit_once(':') {
            Some((run, after)) => (Some(run), after),
            None => (None, text),
        };
        Some(Place { run, after: after.parse().ok()? })
    }
}

/// Which of what happens a reader may hear of; `None`: nothing.
fn readers(http: &Http) -> Option<Readers> {
    let reader = http.access.reader();
    match (reader.sees_all, reader.sees_counts) {
        (true, _) => Some(Readers::All),
        (false, true) => Some(Readers::Counts),
        (false, false) => None,
    }
}

fn for_the_administrator() -> Response {
    text(
        StatusCode::FORBIDDEN,
        "events are for the administrator here (S84): readers = \"admin\"; `seatkeeper events` asks over the admin socket\n",
    )
}

/// The stream.
pub(super) async fn follow(
    State(http): State<Arc<Http>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let bad = |why: String| text(StatusCode::BAD_REQUEST, format!("{why}\n"));
    let Some(readers) = readers(&http) else { return for_the_administrator() };
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad(format!("{error}: {}", error.body_text())),
    };
    for (name, stated) in [("feature", &asked.feature), ("vendor", &asked.vendor)] {
        if let Err(fault) = check_text(name, stated.as_deref().unwrap_or("")) {
            return bad(fault.message);
        }
    }
    // The header is of a follower that comes back, and newer than the address it first came with.
    let stated = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?")).filter(|id| !id.is_empty());
    let place = match stated.or(asked.after.as_deref()).map(|text| (text, Place::parse(text))) {
        None => None,
        Some((_, Some(place))) => Some(place),
        Some((text, None)) => {
            return bad(format!("{text:?} is no place among the events: state the id of one, RUN:NUMBER"));
        }
    };
    let Ok(seat) = http.followers.clone().try_acquire_owned() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "{FOLLOWERS_MAX} readers follow events, as many as are taken here: ask again later (S82)\n"
            ),
        );
    };
    let hub = &http.server.events;
    let run = hub.run().clone();
    let mut begun = format!("retry: {RETRY_MS}\n");
    let reader = match place {
        None => hub.subscribe(None),
        Some(Place { run: Some(of), .. }) if of != &*run => {
            // Everything of this run is new to it.
            let _ = write!(begun, "event: reset\nid: {run}:0\ndata: {{\"run\":\"{run}\"}}\n\n");
            hub.subscribe(Some(0))
        }
        Some(Place { after, .. }) => hub.subscribe(Some(after)),
    };
    // Who hears nothing until it is cut off comes back to here.
    let _ = write!(begun, "id: {run}:{}\n: seatkeeper\n\n", reader.after());
    let now = Instant::now();
    let follower = Follower {
        reader,
        readers,
        asked,
        begun: Some(begun),
        is_over: false,
        next: now,
        silent_until: now + KEEP_ALIVE,
        _told: http.server.follower(),
        http,
        _seat: seat,
    };
    let body = Body::from_stream(stream::unfold(follower, Follower::next));
    let mut answer = with_type(StatusCode::OK, "text/event-stream", body);
    // nginx would gather it.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

/// The last denials that are remembered, oldest first, and the number of the last event of all, from where to follow.
pub(super) async fn denials(State(http): State<Arc<Http>>) -> Response {
    let Some(readers) = readers(&http) else { return for_the_administrator() };
    let (last, denials) = http.server.events.denials(DENIALS_MAX);
    let list = EventList {
        schema: SCHEMA,
        run: http.server.events.run().clone(),
        last,
        missed: 0,
        events: denials.iter().filter_map(|event| event.redacted(readers)).collect(),
    };
    match serde_json::to_vec(&list) {
        Ok(json) => with_type(StatusCode::OK, "application/json", json),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

struct Follower {
    reader: Subscription,
    readers: Readers,
    asked: Asked,
    /// Sent before anything else.
    begun: Option<String>,
    is_over: bool,
    /// Nothing is sent before.
    next: Instant,
    /// Something is sent by then.
    silent_until: Instant,
    http: Arc<Http>,
    _seat: OwnedSemaphorePermit,
    /// A stop waits for a moment until the last events are told.
    _told: TaskTrackerToken,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Follower)> {
        if let Some(begun) = self.begun.take() {
            return Some((Ok(begun.into()), self));
        }
        let closing = self.http.server.closing.clone();
        while !self.is_over {
            tokio::select! {
                biased;
                // What is there by now is still told.
                () = closing.cancelled() => self.is_over = true,
                // Nor does the end of all events wait for the pace.
                () = self.reader.closed() => {}
                () = sleep_until(self.next) => {}
            }
            let (mut said, is_full) = self.gather().await;
            if said.is_empty() && !self.is_over {
                let now = Instant::now();
                if now >= self.silent_until {
                    // The place moves on with what was not for this follower.
                    let run = self.http.server.events.run();
                    let _ = write!(said, "id: {run}:{}\n: nothing new\n\n", self.reader.after());
                } else if !is_full {
                    self.next = now + PACE;
                    tokio::select! {
                        biased;
                        () = closing.cancelled() => {}
                        _ = timeout_at(self.silent_until, self.reader.ready()) => {}
                    }
                }
            }
            if !said.is_empty() {
                let now = Instant::now();
                self.next = if is_full { now } else { now + PACE };
                self.silent_until = now + KEEP_ALIVE;
                return Some((Ok(said.into()), self));
            }
        }
        None
    }

    /// Some of what is there, and whether there may be more.
    async fn gather(&mut self) -> (String, bool) {
        let mut said = String::new();
        let mut looked_at = 0;
        while let Some(delivery) = self.reader.poll() {
            let after = self.reader.after();
            match delivery {
                Delivery::Closed => {
                    self.is_over = true;
                    break;
                }
                Delivery::Missed(missed) => {
                    let run = self.http.server.events.run();
                    let _ = write!(said, "event: gap\nid: {run}:{after}\ndata: {{\"missed\":{missed}}}\n\n");
                }
                Delivery::Event(event) if self.wants(&event) => {
                    if let Some(event) = event.redacted(self.readers) {
                        // JSON has no line breaks of its own. It cannot fail: every key is text.
                        let json = serde_json::to_string(&event).unwrap_or_default();
                        let _ = write!(said, "id: {}:{}\ndata: {json}\n\n", event.run, event.seq);
                    }
                }
                Delivery::Event(_) => {}
            }
            if said.len() >= CHUNK_BYTES {
                return (said, true);
            }
            looked_at += 1;
            if looked_at == EVENTS_AT_ONCE {
                tokio::task::yield_now().await;
                return (said, true);
            }
        }
        (said, false)
    }

    fn wants(&self, event: &Event) -> bool {
        let is_vendor = |what: &What, vendor: &str| {
            what.features().iter().any(|(of, _)| of.is_some_and(|of| of.eq_ignore_ascii_case(vendor)))
        };
        match (&self.asked.feature, &self.asked.vendor) {
            (Some(feature), vendor) => event.what.is_about(vendor.as_deref(), feature),
            (None, Some(vendor)) => is_vendor(&event.what, vendor),
            (None, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_id_or_a_number() {
        assert_eq!(Place::parse("00ff:7"), Some(Place { run: Some("00ff"), after: 7 }));
        assert_eq!(Place::parse("7"), Some(Place { run: None, after: 7 }));
        for bad in ["", ":", "x", "00ff:", "00ff:-1", "00ff:18446744073709551616"] {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }
}
