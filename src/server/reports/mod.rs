//! Reports: status, lists and explanations as JSON, in parts, off the engine's thread (interfaces.md 4, S84).
//!
//! The engine gives counters and pages of sessions; what the licenses say and what comes next is worked out
//! here from the same pure functions that the ledger uses. A part is bounded in items and in bytes.

pub mod events;
mod explain;
mod fill;
mod maintenance;
pub mod metrics;
pub mod pictures;
pub mod usage;

use std::sync::Arc;

use seats::change::{ClockReset, SessionId};
use seats::denial::Code;
use seats::evaluate::evaluate;
use seats::ledger::{Counters, SessionView};
use tokio::sync::oneshot;

use self::fill::serves;
use self::metrics::places;
use self::pictures::Pictures;
use super::Server;
use super::connection::Origin;
use crate::clock::{Zone, rfc3339};
use crate::engine::ask::Ask;
use crate::engine::picture::Picture;
use crate::report;

/// The most items in one part, and what is sent where the reader names no number.
const ITEMS_MAX: usize = 500;
/// A part ends when it has so many bytes: with the largest item on top it stays below a frame of 1 MiB.
const PART_BYTES: usize = 512 << 10;
/// How often a picture is asked for until every pool is up to date, 50 ms apart: long enough for a reload of
/// a hundred thousand features.
const TRIES: usize = 40;

/// For how long status tells of a `seatkeeper state clock-reset` (S71).
const CLOCK_RESET_SHOWN_MS: i64 = 30 * 86_400_000;

/// What reports tell beside the ledger.
pub trait Facts: Send + Sync {
    /// Name, version, start, zone, key; the day and the clock are filled in here.
    fn server(&self) -> report::Server;
    /// What is wrong with the files.
    fn problems(&self) -> Arc<Vec<report::Problem>>;
}

/// Which part of which report.
#[derive(Debug)]
pub struct Question {
    /// `status`, `features` and so on.
    pub what: String,
    /// Of this feature only, compared without case.
    pub feature: Option<String>,
    /// Of this vendor only, compared without case.
    pub vendor: Option<String>,
    /// Where the part begins; empty: at the beginning.
    pub cursor: String,
    /// The most items; 0: as many as fit.
    pub limit: u32,
}

impl Question {
    /// A whole report, from its beginning.
    pub fn whole(what: &str) -> Question {
        Question { what: what.into(), feature: None, vendor: None, cursor: String::new(), limit: 0 }
    }
}

/// One part of a report, as JSON.
#[derive(Debug)]
pub struct Part {
    /// A whole JSON object.
    pub json: String,
    /// Where the next part begins; empty: this was the last.
    pub next: String,
}

/// The same before it is written.
#[derive(Debug)]
pub struct Piece {
    /// What the part holds.
    pub report: Report,
    /// Where the next part begins; empty: this was the last.
    pub next: String,
}

/// What a report is.
#[derive(Debug)]
pub enum Report {
    /// The status, or a list of it.
    Status(Box<report::Status>),
    /// The sum of one feature.
    Explain(Box<report::Explain>),
    /// What was used in some days.
    Usage(Box<report::Usage>),
}

/// Why there is no part.
#[derive(Debug)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// With `bad_request`: the field that is wrong.
    pub field: Option<&'static str>,
}

fn no(code: Code, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), field: None }
}

fn bad(field: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code: Code::BadRequest, message: message.into(), field: Some(field) }
}

/// Makes one part for a client of the wire, from a picture that is asked for now.
///
/// # Errors
/// [`Refusal`]: an unknown list, a list the reader may not see, a text over its limit, a cursor that leads nowhere.
pub async fn part(server: &Server, origin: &Origin, message: Question) -> Result<Part, Refusal> {
    let Piece { report, next } = piece_of(server, origin, &message, None).await?;
    match report {
        Report::Status(status) => json(&status, next),
        Report::Explain(explain) => json(&explain, next),
        Report::Usage(usage) => json(&usage, next),
    }
}

/// Makes one part. With `pictures` the engine is not asked for another picture while the last is fresh: for readers who
/// come as often as they like.
///
/// # Errors
/// As [`part`].
pub async fn piece_of(
    server: &Server,
    origin: &Origin,
    message: &Question,
    pictures: Option<&Pictures>,
) -> Result<Piece, Refusal> {
    let limit = match message.limit as usize {
        0 => ITEMS_MAX,
        n => n.min(ITEMS_MAX),
    };
    let text =
        |field, text: &str| crate::answer::check_text(field, text).map_err(|b| bad(b.field, b.message));
    text("what", &message.what)?;
    text("feature", message.feature.as_deref().unwrap_or(""))?;
    text("vendor", message.vendor.as_deref().unwrap_or(""))?;
    text("cursor", &message.cursor)?;
    let reader = Reader { server, origin, limit, message, pictures };
    match message.what.as_str() {
        "status" => reader.status().await,
        "features" => reader.features().await,
        "sessions" => reader.sessions().await,
        "borrowed" => reader.borrowed().await,
        "queue" => reader.queue().await,
        "licenses" => reader.licenses().await,
        "problems" => reader.problems().await,
        "explain" => reader.explain().await,
        _ if usage::is_asked(message) => reader.usage().await,
        other => Err(bad("what", format!("there is no report \"{other}\""))),
    }
}

struct Reader<'a> {
    server: &'a Server,
    origin: &'a Origin,
    limit: usize,
    message: &'a Question,
    pictures: Option<&'a Pictures>,
}

impl Reader<'_> {
    fn zone(&self) -> &Zone {
        self.server.context.clock.zone()
    }

    /// A picture in which every pool is up to date.
    async fn picture(&self) -> Result<Arc<Picture>, Refusal> {
        let mut tries = 0;
        loop {
            let picture = match self.pictures {
                Some(pictures) => pictures.latest(self.server).await?,
                None => pictures::ask(self.server).await?,
            };
            tries += 1;
            if picture.is_complete || tries == TRIES {
                return Ok(picture);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn page_of_sessions(&self, after: Option<SessionId>) -> Result<Vec<SessionView>, Refusal> {
        let (give, take) = oneshot::channel();
        let ask = Ask::Sessions(after, self.limit, Box::new(move |page| drop(give.send(page))));
        self.server.engine.ask_soon(ask).await.map_err(|_| stopping())?;
        take.await.map_err(|_| stopping())
    }

    fn may_see_all(&self) -> Result<(), Refusal> {
        if self.origin.sees_all {
            return Ok(());
        }
        let text =
            format!("{} are for the administrator here (S84): ask over the admin socket", self.message.what);
        Err(no(Code::NotPermitted, text))
    }

    fn wants(&self, vendor: &str, feature: &str) -> bool {
        let same =
            |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w.eq_ignore_ascii_case(is));
        same(&self.message.feature, feature) && same(&self.message.vendor, vendor)
    }

    /// Server, features, sessions, problems: one after the other, by a cursor that says which.
    async fn status(&self) -> Result<Piece, Refusal> {
        let mut status = report::Status::default();
        let cursor = self.message.cursor.as_str();
        if !self.origin.sees_counts {
            let all = self.server.facts.server();
            status.server =
                Some(report::Server { name: all.name, version: all.version, ..Default::default() });
            return piece(status, String::new());
        }
        let (list, at) = match cursor {
            "" => ("f", "0"),
            _ => cursor.split_at_checked(1).ok_or_else(bad_cursor)?,
        };
        let next = match list {
            "f" => {
                let picture = self.picture().await?;
                if at == "0" {
                    status.server = Some(self.server_facts(&picture));
                }
                let (features, next) = self.feature_page(&picture, number(at)?)?;
                status.features = Some(features);
                match next {
                    Some(next) => format!("f{next}"),
                    None if self.origin.sees_all => "s0".into(),
                    None => String::new(),
                }
            }
            "s" if self.origin.sees_all => {
                let (sessions, next) = self.session_page(number(at)?).await?;
                status.sessions = Some(sessions);
                next.map_or_else(|| "p0".into(), |next| format!("s{next}"))
            }
            "p" if self.origin.sees_all => {
                let (problems, next) = self.problem_page(number(at)?).await?;
                status.problems = Some(problems);
                next.map_or_else(String::new, |next| format!("p{next}"))
            }
            _ => return Err(bad_cursor()),
        };
        piece(status, next)
    }

    fn server_facts(&self, picture: &Picture) -> report::Server {
        let end_of_day = self.zone().end_instant(picture.day);
        let is_recent = |reset: &&ClockReset| picture.unix_ms - reset.unix_ms < CLOCK_RESET_SHOWN_MS;
        let reset = picture.clock_reset.as_ref().filter(is_recent);
        report::Server {
            today: Some(picture.day),
            next_midnight: Some(rfc3339(end_of_day)),
            clock: Some(picture.clock.as_str().into()),
            clock_reset: reset.map(clock_reset),
            recovering: picture.is_recovering,
            ..self.server.facts.server()
        }
    }

    async fn features(&self) -> Result<Piece, Refusal> {
        if !self.origin.sees_counts {
            return Err(no(Code::NotPermitted, "features are for the administrator here (S84)"));
        }
        let picture = self.picture().await?;
        let (features, next) = self.feature_page(&picture, number(&self.message.cursor)?)?;
        let status = report::Status { features: Some(features), ..Default::default() };
        piece(status, next.map_or_else(String::new, |n| n.to_string()))
    }

    /// Features from an index on: those of the catalog first, then pools that no file names any more.
    fn feature_page(
        &self,
        picture: &Picture,
        from: u64,
    ) -> Result<(Vec<report::Feature>, Option<usize>), Refusal> {
        let mut page = Page::new(self.limit);
        for at in usize::try_from(from).map_err(|_| bad_cursor())?..places(picture) {
            let Some(feature) = self.feature_at(picture, at) else { continue };
            if !page.add(feature) {
                return Ok((page.items, Some(at)));
            }
        }
        Ok((page.items, None))
    }

    /// The feature at a place of a picture, below [`places`]; `None`: it is not asked for, or not to be shown.
    fn feature_at(&self, picture: &Picture, at: usize) -> Option<report::Feature> {
        let listed = picture.catalog.features();
        match listed.get(at) {
            Some(f) if !self.wants(f.vendor.as_str(), f.feature.as_str()) => None,
            Some(f) => {
                let counters = picture.counters_of(at);
                serves(f, counters.clone()).then(|| self.feature(f, counters, picture))
            }
            None => {
                let counters = picture.at(picture.by_feature().without_license.get(at - listed.len())?);
                let is_wanted = |c: &Counters| self.wants(c.vendor.as_str(), c.feature.as_str());
                let is_shown = counters.clone().any(is_wanted);
                is_shown.then(|| self.without_license(counters, picture))
            }
        }
    }

    async fn sessions(&self) -> Result<Piece, Refusal> {
        self.may_see_all()?;
        let (sessions, next) = self.session_page(number(&self.message.cursor)?).await?;
        let status = report::Status { sessions: Some(sessions), ..Default::default() };
        piece(status, next.map_or_else(String::new, |n| n.to_string()))
    }

    /// Sessions after a number; the number to go on after, if there may be more.
    async fn session_page(&self, after: u64) -> Result<(Vec<report::Session>, Option<u64>), Refusal> {
        let views = self.page_of_sessions((after > 0).then_some(SessionId(after))).await?;
        let is_full = views.len() >= self.limit;
        let mut page = Page::new(self.limit);
        let mut last = after;
        for view in &views {
            if self.wants(view.vendor.as_str(), view.feature.as_str()) && !page.add(self.session(view)) {
                return Ok((page.items, Some(last)));
            }
            last = view.session.0;
        }
        Ok((page.items, is_full.then_some(last)))
    }

    /// What is lent, after a number.
    async fn borrowed(&self) -> Result<Piece, Refusal> {
        self.may_see_all()?;
        let after = number(&self.message.cursor)?;
        let (give, take) = oneshot::channel();
        let from = (after > 0).then_some(SessionId(after));
        let ask = Ask::Borrows(from, self.limit, Box::new(move |page| drop(give.send(page))));
        self.server.engine.ask_soon(ask).await.map_err(|_| stopping())?;
        let views = take.await.map_err(|_| stopping())?;
        let mut next = (views.len() >= self.limit).then(|| views.last().map(|view| view.session.0)).flatten();
        let mut page = Page::new(self.limit);
        let mut last = after;
        for view in &views {
            if self.wants(view.vendor.as_str(), view.feature.as_str()) && !page.add(fill::borrow(view)) {
                next = Some(last);
                break;
            }
            last = view.session.0;
        }
        let status = report::Status { borrowed: Some(page.items), ..Default::default() };
        piece(status, next.map_or_else(String::new, |n| n.to_string()))
    }

    /// Who waits, after a number.
    async fn queue(&self) -> Result<Piece, Refusal> {
        self.may_see_all()?;
        let after = number(&self.message.cursor)?;
        let (give, take) = oneshot::channel();
        let from = (after > 0).then_some(SessionId(after));
        let ask = Ask::Waiters(from, self.limit, Box::new(move |page| drop(give.send(page))));
        self.server.engine.ask_soon(ask).await.map_err(|_| stopping())?;
        let views = take.await.map_err(|_| stopping())?;
        let mut next = (views.len() >= self.limit).then(|| views.last().map(|view| view.waiter.0)).flatten();
        let mut page = Page::new(self.limit);
        let mut last = after;
        for view in &views {
            // Who names no vendor waits for a seat of any.
            let is_wanted =
                view.items.iter().any(|i| match (i.vendor.as_deref(), self.message.vendor.as_deref()) {
                    (None, Some(vendor)) => self.wants(vendor, &i.feature),
                    (vendor, _) => self.wants(vendor.unwrap_or(""), &i.feature),
                });
            if is_wanted && !page.add(fill::waiter(view)) {
                next = Some(last);
                break;
            }
            last = view.waiter.0;
        }
        let status = report::Status { queue: Some(page.items), ..Default::default() };
        piece(status, next.map_or_else(String::new, |n| n.to_string()))
    }

    async fn licenses(&self) -> Result<Piece, Refusal> {
        self.may_see_all()?;
        let picture = self.picture().await?;
        let (feature, license) = match self.message.cursor.split_once(':') {
            Some((feature, license)) => (number(feature)?, number(license)?),
            None => (number(&self.message.cursor)?, 0),
        };
        let mut page = Page::new(self.limit);
        let mut skip = usize::try_from(license).map_err(|_| bad_cursor())?;
        let first = usize::try_from(feature).map_err(|_| bad_cursor())?;
        for (at, feature) in picture.catalog.features().iter().enumerate().skip(first) {
            if !self.wants(feature.vendor.as_str(), feature.feature.as_str()) {
                continue;
            }
            let evaluation = evaluate(feature, picture.day);
            for nth in std::mem::take(&mut skip)..feature.licenses.len() {
                let mut license = self.license(feature, &evaluation, nth, &picture);
                license.feature = Some(feature.licenses[nth].feature.as_str().into());
                license.vendor = Some(feature.vendor.as_str().into());
                if !page.add(license) {
                    let status = report::Status { licenses: Some(page.items), ..Default::default() };
                    return piece(status, format!("{at}:{nth}"));
                }
            }
        }
        piece(report::Status { licenses: Some(page.items), ..Default::default() }, String::new())
    }

    async fn problems(&self) -> Result<Piece, Refusal> {
        self.may_see_all()?;
        let (problems, next) = self.problem_page(number(&self.message.cursor)?).await?;
        let status = report::Status { problems: Some(problems), ..Default::default() };
        piece(status, next.map_or_else(String::new, |n| n.to_string()))
    }

    /// What is wrong with the files; first, where the journal has no room, that (S60).
    async fn problem_page(&self, from: u64) -> Result<(Vec<report::Problem>, Option<usize>), Refusal> {
        let of_state = self.picture().await?.no_room.as_ref().map(no_room);
        let of_files = self.server.facts.problems();
        let all = of_state.iter().chain(of_files.iter());
        let mut page = Page::new(self.limit);
        for (at, problem) in all.enumerate().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            if !page.add(problem.clone()) {
                return Ok((page.items, Some(at)));
            }
        }
        Ok((page.items, None))
    }

    /// The sum of one feature and what comes next (L30).
    async fn explain(&self) -> Result<Piece, Refusal> {
        if !self.origin.sees_counts {
            return Err(no(Code::NotPermitted, "explanations are for the administrator here (S84)"));
        }
        let Some(name) = self.message.feature.as_deref() else {
            return Err(bad("feature", "explain which feature?"));
        };
        let picture = self.picture().await?;
        let (_, same_name) = picture.catalog.find(name);
        let mut found = same_name.iter().filter(|f| self.wants(f.vendor.as_str(), name));
        let feature = match (found.next(), found.next()) {
            (Some(feature), None) => feature,
            (Some(_), Some(_)) => {
                let vendors: Vec<&str> = same_name.iter().map(|f| f.vendor.as_str()).collect();
                return Err(no(
                    Code::AmbiguousVendor,
                    format!("{name} is sold by {}: say which", vendors.join(" and ")),
                ));
            }
            (None, _) => {
                let similar = picture.catalog.similar(name);
                let hint = if similar.is_empty() {
                    String::new()
                } else {
                    format!("; did you mean {}?", similar.join(", "))
                };
                return Err(no(
                    Code::UnknownFeature,
                    format!("no license of {name} is on this server{hint}"),
                ));
            }
        };
        Ok(Piece {
            report: Report::Explain(Box::new(self.explanation(feature, &picture))),
            next: String::new(),
        })
    }
}

/// The disk is full: the first of all problems.
fn no_room((cause, left): &(String, u64)) -> report::Problem {
    report::Problem {
        reason: "no_room".into(),
        message: format!(
            "no room for the journal ({cause}): checkouts are refused, checkins go on in the {left} bytes that are left; \
             make room on the disk of the state directory, then checkouts go on by themselves"
        ),
        ..Default::default()
    }
}

/// Items until a part is full.
struct Page<T> {
    items: Vec<T>,
    limit: usize,
    bytes: usize,
}

impl<T: serde::Serialize> Page<T> {
    fn new(limit: usize) -> Page<T> {
        Page { items: Vec::new(), limit, bytes: 0 }
    }

    /// `false`: the part is full and the item belongs to the next. A part holds at least one.
    fn add(&mut self, item: T) -> bool {
        let bytes = serde_json::to_vec(&item).map_or(0, |json| json.len());
        if !self.items.is_empty() && (self.items.len() >= self.limit || self.bytes + bytes > PART_BYTES) {
            return false;
        }
        self.bytes += bytes;
        self.items.push(item);
        true
    }
}

fn json<T: serde::Serialize>(value: &T, next: String) -> Result<Part, Refusal> {
    let json = serde_json::to_string(value)
        .map_err(|e| no(Code::Internal, format!("the report cannot be written: {e}")))?;
    Ok(Part { json, next })
}

fn piece(status: report::Status, next: String) -> Result<Piece, Refusal> {
    Ok(Piece { report: Report::Status(Box::new(status)), next })
}

fn clock_reset(reset: &ClockReset) -> report::ClockReset {
    report::ClockReset {
        at: rfc3339(reset.unix_ms),
        by: reset.by.as_ref().into(),
        reason: reset.reason.as_ref().into(),
        from: reset.from,
        to: reset.to,
    }
}

/// A cursor's number; an empty one is the beginning.
fn number(cursor: &str) -> Result<u64, Refusal> {
    if cursor.is_empty() { Ok(0) } else { cursor.parse().map_err(|_| bad_cursor()) }
}

fn bad_cursor() -> Refusal {
    bad("cursor", "the cursor leads nowhere: begin again with an empty one")
}

fn stopping() -> Refusal {
    no(Code::ShuttingDown, "the server is stopping")
}
