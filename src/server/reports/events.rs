//! What happened, in parts, and the wait for what comes next (docs/PROTOCOL.md, `Events`).
//!
//! Whoever waits holds nothing: a reader of the hub is a number. The texts of events are made here, off the engine.

use std::time::Duration;

use seats::denial::Code;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{ITEMS_MAX, Page, Part, Refusal, bad, bad_cursor, json, no};
use crate::answer::check_text;
use crate::config::Readers;
use crate::events::{Delivery, Event, EventList, Subscription};
use crate::report::SCHEMA;
use crate::server::Server;
use crate::server::connection::Origin;

/// The longest wait for an event: below any time after which something on the way takes a silent connection for dead.
const FOLLOW_MAX: Duration = Duration::from_secs(30);
/// The most features one reader may choose.
const FEATURES_MAX: usize = 64;
/// After so many events other tasks have their turn: most of what is remembered may be about something else.
const EVENTS_AT_ONCE: usize = 256;

/// What is asked for.
#[derive(Debug)]
pub struct Question {
    /// After which event; see [`Hub::subscribe`](crate::events::Hub::subscribe).
    pub after: Option<u64>,
    /// Empty, or where the part before ended.
    pub cursor: String,
    /// The most events; 0: as many as fit.
    pub limit: u32,
    /// For how long to wait for the first, milliseconds.
    pub follow_ms: u32,
    /// About these only, each with its vendor if that was said; none: all events.
    pub features: Vec<(Option<String>, String)>,
}

/// One part; waits for it as long as it may. `over`: nobody is there any more to read it. `following` is let go where there
/// is nothing left to tell.
///
/// # Errors
/// [`Refusal`]: the reader may not see events, too many wait, a field is out of bounds, a cursor leads nowhere.
pub async fn part(
    server: &Server,
    origin: &Origin,
    question: Question,
    over: &CancellationToken,
    following: &mut Option<TaskTrackerToken>,
) -> Result<Part, Refusal> {
    check(&question)?;
    let readers = match (origin.sees_all, origin.sees_counts) {
        (true, _) => Readers::All,
        (false, true) => Readers::Counts,
        (false, false) => {
            return Err(no(
                Code::NotPermitted,
                "events are for the administrator here (S84): ask over the admin socket",
            ));
        }
    };
    let mut reader = begin(server, &question)?;
    let until = Instant::now() + Duration::from_millis(question.follow_ms.into()).min(FOLLOW_MAX);
    let _follower = match origin.admin {
        None if question.follow_ms > 0 => Some(server.followers.try_acquire().map_err(|_| {
            no(Code::Busy, "as many clients follow events as the server takes: ask again later (S82)")
        })?),
        _ => None,
    };
    let mut list = EventList { schema: SCHEMA, run: server.events.run().clone(), ..EventList::default() };
    loop {
        let (after, is_closed) = {
            // An administrator waits for no client.
            let _place = match origin.admin {
                Some(_) => None,
                None => server.reports.acquire().await.ok(),
            };
            gather(&mut reader, &question, readers, &mut list).await
        };
        let is_late = Instant::now() >= until || over.is_cancelled() || server.closing.is_cancelled();
        if !list.events.is_empty() || list.missed > 0 || is_late {
            list.last = server.events.last();
            return json(&list, format!("{}:{after}", list.run));
        }
        // Who has been told everything waits for the end of the connection, and does not ask in a circle.
        if is_closed {
            *following = None;
        }
        let news = async { if is_closed { std::future::pending().await } else { reader.ready().await } };
        tokio::select! {
            biased;
            () = over.cancelled() => {}
            () = server.closing.cancelled() => {}
            _ = timeout_at(until, news) => {}
        }
    }
}

fn check(question: &Question) -> Result<(), Refusal> {
    let text = |field, text: &str| check_text(field, text).map_err(|b| bad(b.field, b.message));
    text("cursor", &question.cursor)?;
    if question.features.len() > FEATURES_MAX {
        return Err(bad("features", format!("at most {FEATURES_MAX} features can be chosen")));
    }
    for (vendor, feature) in &question.features {
        text("features.vendor", vendor.as_deref().unwrap_or(""))?;
        text("features.feature", feature)?;
    }
    Ok(())
}

fn begin(server: &Server, question: &Question) -> Result<Subscription, Refusal> {
    if question.cursor.is_empty() {
        return Ok(server.events.subscribe(question.after));
    }
    let (run, after) = question.cursor.split_once(':').ok_or_else(bad_cursor)?;
    let after: u64 = after.parse().map_err(|_| bad_cursor())?;
    // Of another run: everything of this one is new to it.
    let is_ours = run == &**server.events.run();
    Ok(server.events.subscribe(Some(if is_ours { after } else { 0 })))
}

/// Takes what is there until the part is full. The number of the last event that was looked at, and whether more is to come.
async fn gather(
    reader: &mut Subscription,
    question: &Question,
    readers: Readers,
    list: &mut EventList,
) -> (u64, bool) {
    let limit = match question.limit as usize {
        0 => ITEMS_MAX,
        n => n.min(ITEMS_MAX),
    };
    let wants = |event: &Event| {
        let about =
            |(vendor, feature): &(Option<String>, String)| event.what.is_about(vendor.as_deref(), feature);
        question.features.is_empty() || question.features.iter().any(about)
    };
    let mut page = Page::new(limit);
    let mut after = reader.after();
    let mut is_closed = false;
    let mut looked_at = 0;
    while let Some(delivery) = reader.poll() {
        match delivery {
            // What was missed between two events is told with the later one.
            Delivery::Missed(_) if !page.items.is_empty() => break,
            Delivery::Missed(missed) => list.missed += missed,
            Delivery::Closed => {
                is_closed = true;
                break;
            }
            Delivery::Event(event) => {
                let seen = wants(&event).then(|| event.redacted(readers)).flatten();
                if seen.is_some_and(|event| !page.add(event)) {
                    break;
                }
            }
        }
        after = reader.after();
        looked_at += 1;
        if looked_at % EVENTS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    list.events = page.items;
    (after, is_closed)
}
