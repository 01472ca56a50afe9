//! Borrowing between wire and ledger: hours and notes on the way in, tokens on the way out (S40).
//!
//! A token is made of what is durable, and Ed25519 gives the same signature for the same bytes: the answer to a request that
//! is sent again carries the same token, also after a restart, also when the license file is gone.

use seats::change::{LentLicense, SessionId};
use seats::ledger::{GrantView, LentView, SessionGrant};
use seats::license::Signed;
use seats::request::{Checkout, LEND_HOURS_MAX};
use tracing::error;
use wire::borrow::{BorrowToken, Days, Lent};
use wire::{answer, request};

use super::{BadField, Peer, bad, check_text};
use crate::engine::ask::Request;
use crate::state::Identity;

/// For how many hours a checkout wants its seats; `None`: it is no borrow.
pub(super) fn hours(message: &request::Checkout) -> Result<Option<u32>, BadField> {
    let hours = among(&message.extras)?;
    if hours.is_some() && message.wait_seconds.is_some_and(|seconds| seconds > 0) {
        return Err(bad("wait_seconds", "a borrow does not wait: ask again, or check out and wait"));
    }
    Ok(hours)
}

/// The same of a request that takes nothing.
pub(super) fn among(extras: &[wire::Extra]) -> Result<Option<u32>, BadField> {
    let unreadable = |e: wire::DecodeError| bad("borrow", format!("the hours cannot be read: {e}"));
    match request::Hours::among(extras).map_err(unreadable)? {
        Some(request::Hours { hours }) if !(1..=LEND_HOURS_MAX).contains(&hours) => {
            Err(bad("borrow", format!("{hours} hours are not 1 to {LEND_HOURS_MAX}")))
        }
        hours => Ok(hours.map(|hours| hours.hours)),
    }
}

/// A checkout, or a borrow where hours are stated.
pub(super) fn taken(checkout: Checkout, hours: Option<u32>, wait_ms: u64) -> Request {
    match hours {
        Some(hours) => Request::Borrow(Box::new(checkout), hours),
        None => Request::Checkout(Box::new(checkout), wait_ms),
    }
}

/// An administrator notes that a borrowed seat will not be given back (S42).
///
/// # Errors
/// The reason is too long.
pub fn write_off(message: request::WriteOff, peer: &Peer) -> Result<Request, BadField> {
    check_text("reason", &message.reason)?;
    let by = peer.admin.clone().unwrap_or_default();
    Ok(Request::WriteOff(SessionId(message.borrow), by, message.reason))
}

/// The sessions of a grant that are lent, with their tokens.
pub(super) fn loans(view: &GrantView, identity: Option<&Identity>) -> Vec<answer::Loan> {
    let (Some(lent), Some(identity)) = (&view.lent, identity) else { return Vec::new() };
    let loan = |s: &SessionGrant| {
        let token = token(view, s, lent, s.lends.as_ref()?, identity);
        let token = token.and_then(|token| token.to_bytes());
        // What is lent was held against the limits of a token before, so this is a bug; the seat can be given back.
        let token =
            token.inspect_err(|error| error!(%error, session = %s.session, "no token can be made")).ok()?;
        Some(answer::Loan { session: s.session.0, ends_at: lent.until, token })
    };
    view.sessions.iter().filter_map(loan).collect()
}

fn token(
    view: &GrantView,
    session: &SessionGrant,
    lent: &LentView,
    lends: &LentLicense,
    identity: &Identity,
) -> Result<BorrowToken, wire::borrow::TokenError> {
    let signed =
        |of: &Signed| answer::SignedLicense { canonical: of.canonical.to_vec(), key: of.key.to_string() };
    // What was lent before renewals were kept with a loan says nothing of days: its token is as it was.
    let days = lent.days.map(|(first, last)| Days {
        first: first.to_string(),
        last: last.to_string(),
        first_checkout: lends.first_checkout.map(|day| day.to_string()),
    });
    let lent = Lent {
        borrow: session.session.0,
        bundle: view.bundle.0,
        vendor: session.vendor.as_str().into(),
        feature: session.feature.as_str().into(),
        count: session.count,
        user: lent.facts.user.to_string(),
        host: lent.facts.host.to_string(),
        install_id: lent.facts.install_id,
        granted_at: lent.from,
        ends_at: lent.until,
        server_key: identity.public_key().to_bytes(),
        license: signed(&lends.signed),
        renewals: lends.renewals.iter().map(|renewal| signed(renewal)).collect(),
        extras: days.iter().map(Days::extra).collect(),
    };
    let signature = identity.sign(&lent.signed_bytes()?).to_bytes();
    Ok(BorrowToken { lent, signature })
}
