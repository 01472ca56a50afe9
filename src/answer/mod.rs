//! Between the wire and the ledger: the one place that knows both.
//!
//! In: a decoded message becomes an engine's [`Request`], or is refused because a field is out of bounds (S1).
//! Out: an [`Answer`] or [`Event`] becomes frames at the end of a connection's buffer. Nothing here decides
//! about seats, and nothing here reads or writes a socket.

mod borrow;
mod details;
mod update;
mod why;

use std::net::IpAddr;
use std::sync::Arc;

use seats::change::SessionId;
pub use seats::denial::Code;
use seats::denial::Denial;
use seats::ledger::{GrantView, SessionGrant};
use seats::license::{Count, HostIdKind};
use seats::request::{Checkout, Facts, ITEMS_MAX, Item, StatedHostId, TEXT_BYTES_MAX};
use sha2::{Digest, Sha256};
use wire::message::HOST_IDS_MAX;
use wire::{answer, event, frame, request};

use crate::clock::Clock;
use crate::engine::ask::{Answer, Booking, Event, Request};
use crate::state::Identity;

pub use borrow::write_off;
pub use details::{denial_details, key_type};
pub(crate) use details::{ending, numbers};
pub use update::update_check;
pub use why::why;

/// How far from GMT a client can be, in minutes, both inclusive.
const OFFSET_MINUTES_MAX: i16 = 1_440;

/// Who is on the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; `None` on the Unix socket.
    pub address: Option<IpAddr>,
    /// On the Unix socket: who, as the kernel says, for the audit line (S80).
    pub admin: Option<String>,
    /// Whether it may see users, hosts, serial numbers and files (S84).
    pub sees_all: bool,
    /// Stated in its hello.
    pub install_id: [u8; 16],
}

/// What every answer needs to know of the server.
#[derive(Clone, Debug)]
pub struct Context {
    /// For the instants of days and ticks.
    pub clock: Clock,
    /// How often clients are to send something, milliseconds.
    pub heartbeat_ms: u32,
    /// How long a session may be silent, milliseconds.
    pub lease_ms: u32,
    /// What signs borrow tokens (S40); `None`: nothing here hands any out.
    pub identity: Option<Arc<Identity>>,
}

/// A field of a request that is out of bounds: its name, and what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct BadField {
    /// As docs/PROTOCOL.md calls it, the parts it is in before it: `facts.user`.
    pub field: &'static str,
    /// One sentence.
    pub message: String,
}

fn bad(field: &'static str, message: impl Into<String>) -> BadField {
    BadField { field, message: message.into() }
}

/// The longest booking: a year.
const BOOK_SECONDS_MAX: u32 = 31_536_000;

/// S2: what names a checkout for a retry, 128 bits of SHA-256 over install id and request key.
fn checkout_key(install_id: &[u8; 16], request_key: &[u8; 16]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"seatkeeper-checkout-v1\0");
    hash.update(install_id);
    hash.update(request_key);
    half(&hash.finalize())
}

/// S2: the server keeps only a hash of the secret.
fn secret_hash(secret: &request::Secret) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"seatkeeper-secret-v1\0");
    hash.update(secret.0);
    half(&hash.finalize())
}

fn half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// Turns a checkout of the wire into one of the ledger.
///
/// # Errors
/// A field is out of bounds (docs/PROTOCOL.md, section 5).
pub fn checkout(message: request::Checkout, peer: &Peer) -> Result<Request, BadField> {
    let hours = borrow::hours(&message)?;
    let request::Checkout {
        request_key, secret, items, facts, share, reservation_token, wait_seconds, ..
    } = message;
    let key = checkout_key(&peer.install_id, &request_key);
    let mut checkout = common(key, secret_hash(&secret), items, facts, share, peer)?;
    checkout.booking = reservation_token.as_deref().map(booking_token).transpose()?;
    Ok(borrow::taken(checkout, hours, u64::from(wait_seconds.unwrap_or(0)) * 1_000))
}

/// As [`checkout`], for a request that takes nothing.
///
/// # Errors
/// A field is out of bounds.
pub fn try_out(message: request::Try, peer: &Peer) -> Result<Request, BadField> {
    let hours = borrow::among(&message.extras)?;
    let request::Try { items, facts, share, reservation_token, .. } = message;
    let mut checkout = common([0; 16], [0; 16], items, facts, share, peer)?;
    checkout.booking = reservation_token.as_deref().map(booking_token).transpose()?;
    Ok(match hours {
        Some(hours) => Request::TryBorrow(Box::new(checkout), hours),
        None => Request::Try(Box::new(checkout)),
    })
}

fn common(
    key: [u8; 16],
    secret: [u8; 16],
    items: Vec<request::Item>,
    facts: request::Facts,
    share: Option<String>,
    peer: &Peer,
) -> Result<Checkout, BadField> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(bad("items", format!("a checkout names 1 to {ITEMS_MAX} features, not {}", items.len())));
    }
    for item in &items {
        check_text("items.vendor", item.vendor.as_deref().unwrap_or(""))?;
        check_text("items.feature", &item.feature)?;
        if item.count == 0 || item.count > Count::MAX {
            return Err(bad("items.count", format!("{} seats are not 1 to {}", item.count, Count::MAX)));
        }
    }
    let pid = facts.pid;
    let facts = Arc::new(self::facts(facts, share, peer)?);
    let item = |i: request::Item| Item {
        vendor: i.vendor.map(String::into_boxed_str),
        feature: i.feature.into_boxed_str(),
        count: i.count,
    };
    Ok(Checkout {
        key,
        secret,
        booking: None,
        items: items.into_iter().map(item).collect(),
        facts,
        pid,
        lend: None,
    })
}

/// A text of a request: at most 256 bytes, no control characters (S1). `field` as docs/PROTOCOL.md names it, with
/// the names of the parts it is in before it.
///
/// # Errors
/// It is too long, or holds a control character.
pub fn check_text(field: &'static str, text: &str) -> Result<(), BadField> {
    if text.len() > TEXT_BYTES_MAX {
        let length = text.len();
        return Err(bad(field, format!("{field} has {length} bytes, at most {TEXT_BYTES_MAX} are allowed")));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(bad(field, format!("{field} holds the control character U+{:04X}", c as u32))),
        None => Ok(()),
    }
}

/// The details of a refusal because of one field.
pub fn field_details(field: &str) -> String {
    serde_json::json!({ "fault": "field", "field": field }).to_string()
}

/// S52: the server keeps only a hash of a booking's token.
fn booking_token(token: &str) -> Result<[u8; 16], BadField> {
    check_text("reservation_token", token)?;
    if token.is_empty() {
        return Err(bad("reservation_token", "an empty token books nothing"));
    }
    let mut hash = Sha256::new();
    hash.update(b"seatkeeper-booking-v1\0");
    hash.update(token);
    Ok(half(&hash.finalize()))
}

/// An administrator keeps seats for whoever presents a token.
///
/// # Errors
/// A field is out of bounds.
pub fn book(message: request::Book, peer: &Peer) -> Result<Request, BadField> {
    let request::Book { token, items, seconds, facts, .. } = message;
    if !(1..=BOOK_SECONDS_MAX).contains(&seconds) {
        return Err(bad("seconds", format!("{seconds} s are not 1 to {BOOK_SECONDS_MAX}")));
    }
    let checkout = common([0; 16], [0; 16], items, facts, None, peer)?;
    let ms = u64::from(seconds) * 1_000;
    let facts = (*checkout.facts).clone();
    Ok(Request::Book(Box::new(Booking { items: checkout.items, token: booking_token(&token)?, ms, facts })))
}

/// An administrator gives bookings up.
///
/// # Errors
/// The token is too long.
pub fn unbook(message: &request::Unbook) -> Result<Request, BadField> {
    Ok(Request::Unbook(booking_token(&message.token)?))
}

fn facts(facts: request::Facts, share: Option<String>, peer: &Peer) -> Result<Facts, BadField> {
    let texts = [
        ("facts.user", Some(&facts.user)),
        ("facts.host", Some(&facts.host)),
        ("facts.platform", Some(&facts.platform)),
        ("facts.display", facts.display.as_ref()),
        ("facts.project", facts.project.as_ref()),
        ("facts.release_version", facts.release_version.as_ref()),
        ("facts.release_date", facts.release_date.as_ref()),
        ("facts.line_date", facts.line_date.as_ref()),
        ("share", share.as_ref()),
    ];
    texts.iter().try_for_each(|(field, text)| check_text(field, text.map_or("", String::as_str)))?;
    if !(-OFFSET_MINUTES_MAX..=OFFSET_MINUTES_MAX).contains(&facts.offset_minutes) {
        let text = format!("{} minutes from GMT is not within a day", facts.offset_minutes);
        return Err(bad("facts.offset_minutes", text));
    }
    if facts.host_ids.len() > HOST_IDS_MAX {
        return Err(bad("facts.host_ids", format!("at most {HOST_IDS_MAX} host ids are taken")));
    }
    for id in &facts.host_ids {
        check_text("facts.host_ids.kind", &id.kind)?;
        check_text("facts.host_ids.value", &id.value)?;
    }
    let stated = |id: request::HostId| {
        let kind = HostIdKind::ALL.into_iter().find(|k| k.as_str() == id.kind)?;
        Some(StatedHostId { kind, value: id.value.into_boxed_str() })
    };
    let optional = |text: Option<String>| text.map(String::into_boxed_str);
    Ok(Facts {
        install_id: peer.install_id,
        user: facts.user.into_boxed_str(),
        host: facts.host.into_boxed_str(),
        address: peer.address,
        platform: facts.platform.into_boxed_str(),
        offset_minutes: facts.offset_minutes,
        display: optional(facts.display),
        project: optional(facts.project),
        share: optional(share),
        release_version: optional(facts.release_version),
        release_date: optional(facts.release_date),
        line_date: optional(facts.line_date),
        // A kind this server does not know can match no license: it is left out.
        host_ids: facts.host_ids.into_iter().filter_map(stated).collect(),
    })
}

/// Turns a resume of the wire into one of the ledger.
///
/// # Errors
/// A field is out of bounds.
pub fn resume(message: request::Resume, peer: &Peer) -> Result<Request, BadField> {
    let facts = Box::new(facts(message.facts, None, peer)?);
    Ok(Request::Resume(SessionId(message.bundle), secret_hash(&message.secret), facts))
}

/// Turns a checkin of the wire into one of the ledger; a count of 0 is all.
pub fn checkin(message: &request::Checkin) -> Request {
    Request::Checkin(SessionId(message.session), (message.count > 0).then_some(message.count))
}

/// Turns a confirmation of the wire into one of the ledger.
pub fn confirm(message: &request::Confirm) -> Request {
    Request::Confirm(SessionId(message.bundle))
}

/// Turns giving up of the wire into that of the ledger.
pub fn give_up(message: &request::GiveUp) -> Request {
    Request::GiveUp(SessionId(message.waiter))
}

/// Turns a cancellation of the wire into one of the ledger.
pub fn cancel(message: &request::Cancel, peer: &Peer) -> Request {
    Request::Cancel(checkout_key(&peer.install_id, &message.request_key), secret_hash(&message.secret))
}

/// An administrator takes a session away.
///
/// # Errors
/// The reason is too long.
pub fn release(message: request::Release, by: &str) -> Result<Request, BadField> {
    check_text("reason", &message.reason)?;
    let bar_ms = u64::from(message.bar_seconds.unwrap_or(0)) * 1_000;
    Ok(Request::Release(SessionId(message.session), by.to_owned(), message.reason, bar_ms))
}

/// Appends the frame of an answer to a connection's buffer.
pub fn append_answer(buffer: &mut Vec<u8>, call: u32, answer: &Answer, peer: &Peer, context: &Context) {
    match answer {
        Answer::Granted(view, replayed) => {
            let mut message = answer::Granted {
                bundle: view.bundle.0,
                sessions: grants(view, context),
                replayed: *replayed,
                heartbeat_ms: context.heartbeat_ms,
                lease_ms: context.lease_ms,
                extras: extras(view, context),
            };
            if frame::append(buffer, call, &message).is_err() {
                // Sixty-four licenses with texts of 8 KiB: the client can ask for them one by one.
                message.sessions.iter_mut().for_each(|s| s.license = None);
                put(buffer, call, &message);
            }
        }
        Answer::Resumed(view) => {
            let mut message = answer::Resume {
                bundle: view.bundle.0,
                sessions: grants(view, context),
                extras: extras(view, context),
                ..Default::default()
            };
            if frame::append(buffer, call, &message).is_err() {
                message.sessions.iter_mut().for_each(|s| s.license = None);
                put(buffer, call, &message);
            }
        }
        Answer::WouldGrant(pools) => {
            let details = details::would_grant(pools);
            put(buffer, call, &answer::Try { details, extras: Vec::new() });
        }
        Answer::Waiting(waiter, before) => {
            let (waiter, before) = (waiter.0, *before);
            put(buffer, call, &answer::Waiting { waiter, before, extras: Vec::new() });
        }
        Answer::Confirmed(bundle) => {
            put(buffer, call, &answer::Confirm { bundle: bundle.0, extras: Vec::new() });
        }
        Answer::GaveUp(waiter) => {
            put(buffer, call, &answer::GiveUp { waiter: waiter.0, extras: Vec::new() });
        }
        Answer::Cancelled => put(buffer, call, &answer::Cancel::default()),
        Answer::CheckedIn(session, given, remaining) => {
            let (session, count, remaining) = (session.0, *given, *remaining);
            put(buffer, call, &answer::Checkin { session, count, remaining, extras: Vec::new() });
        }
        Answer::Released(session) => {
            put(buffer, call, &answer::Release { session: session.0, extras: Vec::new() })
        }
        Answer::WrittenOff(session, ends_at) => {
            let (borrow, ends_at) = (session.0, *ends_at);
            put(buffer, call, &answer::WriteOff { borrow, ends_at, extras: Vec::new() });
        }
        Answer::Booked(until) => {
            put(buffer, call, &answer::Book { until: until.div_euclid(1000), extras: Vec::new() });
        }
        Answer::Unbooked(bookings) => {
            let bookings = u32::try_from(*bookings).unwrap_or(u32::MAX);
            put(buffer, call, &answer::Unbook { bookings, extras: Vec::new() });
        }
        Answer::Why(explanation, facts, tick, unix_ms) => {
            let json = why::json(explanation, facts, *tick, *unix_ms);
            put(buffer, call, &answer::Why { json, extras: Vec::new() });
        }
        Answer::UpdateCheck(answer) => {
            put(buffer, call, &answer::UpdateCheck { json: update::json(answer), extras: Vec::new() });
        }
        Answer::Watching => put(buffer, call, &answer::Watch::default()),
        Answer::Denied(denial) => append_denial(buffer, call, denial, peer),
    }
}

fn append_denial(buffer: &mut Vec<u8>, call: u32, denial: &Denial, peer: &Peer) {
    let details = denial_details(denial, peer.sees_all);
    append_refusal(buffer, call, denial.code, &details::sentence(denial, peer.sees_all), details);
}

/// Appends a refusal.
pub fn append_refusal(buffer: &mut Vec<u8>, call: u32, code: Code, message: &str, details: String) {
    let refused =
        answer::Refused { code: code.as_str().into(), message: message.into(), details, extras: Vec::new() };
    put(buffer, call, &refused);
}

/// Appends a message whose size is bounded far below the limit of a frame.
pub fn put<M: wire::message::Message>(buffer: &mut Vec<u8>, call: u32, message: &M) {
    if let Err(error) = frame::append(buffer, call, message) {
        // Every text in it is bounded, so this is a bug; the client gets an answer all the same.
        tracing::error!(%error, number = M::NUMBER, "an answer is too long for a frame");
        let refused = answer::Refused {
            code: Code::Internal.as_str().into(),
            message: "the answer is too long for a frame; please report this".into(),
            ..Default::default()
        };
        let _ = frame::append(buffer, call, &refused);
    }
}

/// What a grant says beside its sessions, by ascending tag.
fn extras(view: &GrantView, context: &Context) -> Vec<wire::message::Extra> {
    let mut extras = grace(view);
    let loans = borrow::loans(view, context.identity.as_deref());
    if !loans.is_empty() {
        extras.push(answer::Loan::extra(&loans));
    }
    extras
}

/// L65: how long each session may go on while no server answers.
fn grace(view: &GrantView) -> Vec<wire::message::Extra> {
    let hours = |s: &SessionGrant| s.license.as_ref()?.carried.grace_hours;
    let of = |s: &SessionGrant| Some(answer::Grace { session: s.session.0, hours: hours(s)? });
    let list: Vec<answer::Grace> = view.sessions.iter().filter_map(of).collect();
    if list.is_empty() { Vec::new() } else { Vec::from([answer::Grace::extra(&list)]) }
}

fn grants(view: &GrantView, context: &Context) -> Vec<answer::Grant> {
    view.sessions.iter().map(|s| grant(s, context)).collect()
}

fn grant(session: &SessionGrant, context: &Context) -> answer::Grant {
    let license = session.license.as_deref();
    let ends = license.and_then(|l| l.end).map(|end| context.clock.zone().end_instant(end).div_euclid(1000));
    answer::Grant {
        session: session.session.0,
        vendor: session.vendor.as_str().into(),
        feature: session.feature.as_str().into(),
        count: session.count,
        version: license.and_then(|l| l.version).map(|v| v.to_string()),
        license_ends: ends,
        soft_limit: session.above_soft_limit,
        notice: None,
        license: license.and_then(|l| l.signed.as_ref()).map(|signed| answer::SignedLicense {
            canonical: signed.canonical.to_vec(),
            key: signed.key.to_string(),
        }),
    }
}

/// Appends the frame of an event to a connection's buffer.
pub fn append_event(buffer: &mut Vec<u8>, event: &Event, context: &Context) {
    match event {
        Event::SeatWanted(session, feature, seconds) => {
            let (session, feature) = (session.0, feature.as_str().to_owned());
            put(buffer, 0, &event::SeatWanted { session, feature, seconds: *seconds, extras: Vec::new() });
        }
        Event::Expired(session, feature, end) => {
            let license_ends = context.clock.zone().end_instant(*end).div_euclid(1000);
            let (session, feature) = (session.0, feature.as_str().into());
            put(buffer, 0, &event::Expired { session, feature, license_ends, extras: Vec::new() });
        }
        Event::Ended(session, code, message, unix_ms) => {
            let (session, at) = (session.0, unix_ms.div_euclid(1000));
            let (code, message) = ((*code).into(), message.clone());
            put(buffer, 0, &event::SessionEnded { session, code, message, at, extras: Vec::new() });
        }
        Event::ResumedElsewhere(bundle) => {
            put(buffer, 0, &event::ResumedElsewhere { bundle: bundle.0, extras: Vec::new() });
        }
        Event::PoolChanged(vendor, feature, before, after, why) => put(
            buffer,
            0,
            &event::PoolChanged {
                vendor: vendor.as_str().into(),
                feature: feature.as_str().into(),
                old_total: before.limited(),
                new_total: after.limited(),
                reason: why.clone(),
                extras: Vec::new(),
            },
        ),
        Event::Served(waiter, view) => {
            let mut message = event::Served {
                waiter: waiter.0,
                bundle: view.bundle.0,
                sessions: grants(view, context),
                extras: grace(view),
            };
            if frame::append(buffer, 0, &message).is_err() {
                message.sessions.iter_mut().for_each(|s| s.license = None);
                put(buffer, 0, &message);
            }
        }
        Event::WaitEnded(waiter, code, message, unix_ms) => {
            let (waiter, at) = (waiter.0, unix_ms.div_euclid(1000));
            let (code, message) = ((*code).into(), message.clone());
            put(buffer, 0, &event::WaitEnded { waiter, code, message, at, extras: Vec::new() });
        }
        Event::Stopping => put(buffer, 0, &event::Stopping::default()),
    }
}
