//! `borrow` and `return`: seats for a computer that will be offline (S40, S42).

use std::io::Write;
use std::path::PathBuf;

use seatkeeper_client::{BorrowError, Borrowed, Client, ReturnError, VendorKey};
use seats::change::SessionId;
use serde_json::{Value, json};

use super::args::{self, FeatureName, Want};
use super::here::Here;
use super::seats::{NO_SERVER_HINT, client, denied, instant, print_denial, want};
use super::server;
use super::table::{clean, plural};
use super::{Failure, show};
use crate::exit;
use crate::licenses::trust::TrustedKey;
use crate::report::SCHEMA;

/// `seatkeeper borrow`.
///
/// # Errors
///
/// 75 denied, also where what was lent is not valid here; 69 no server; 74 where it cannot be kept; with `--json` the denial is
/// on `out`.
pub fn borrow(ask: &args::Borrow, out: &mut impl Write) -> Result<(), Failure> {
    if ask.want.wait.is_some() {
        return Err(Failure::new(exit::USAGE, "a borrow does not wait in the queue: leave --wait out"));
    }
    let client = client(&ask.want)?;
    let borrowed = client.borrow(want(&ask.want), ask.hours).map_err(|error| match error {
        BorrowError::Denied(refusal) if ask.json => match print_denial(&refusal, out) {
            Ok(()) => denied(&refusal),
            Err(failure) => failure,
        },
        error => not_borrowed(error),
    })?;
    print(&borrowed, ask.json, out)
}

/// `seatkeeper return`.
///
/// # Errors
///
/// 75 where nothing of it is borrowed here, or it is in use; 69 where its server does not answer. Of several borrows those that
/// can be given back are.
pub fn give_back(ask: &args::Return, out: &mut impl Write) -> Result<(), Failure> {
    let client = Client::new(server::options(server::addresses(ask.server.as_deref())?));
    // What a server may have lent without an answer goes back too; where it does not answer now, the rest does.
    let unanswered = client.cancel_unanswered_borrows();
    let kept = client.borrowed().map_err(|error| Failure::new(exit::DISK, clean(&error.to_string())))?;
    let is_meant =
        |seat: &&Borrowed| is_of(&ask.feature, seat) && ask.only.is_none_or(|only| only.0 == seat.borrow);
    let meant: Vec<&Borrowed> = kept.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return match unanswered {
            Ok(0) => Err(nothing(ask, &kept)),
            Ok(_) => Ok(()),
            Err(error) => Err(not_returned(error)),
        };
    }
    let (mut returned, mut first) = (Vec::new(), None);
    for seat in meant {
        match client.give_back(seat) {
            Ok(()) => returned.push(seat.clone()),
            Err(error) => drop(first.get_or_insert(not_returned(error))),
        }
    }
    if ask.json {
        let line = json!({ "schema": SCHEMA, "returned": returned.iter().map(as_json).collect::<Vec<_>>() });
        writeln!(out, "{line}")?;
    } else {
        for seat in &returned {
            let text = format!(
                "{}: {} given back, borrow {}",
                show::name(Some(&seat.vendor), &seat.feature),
                plural(seat.count.into(), "seat"),
                SessionId(seat.borrow)
            );
            writeln!(out, "{}", clean(&text))?;
        }
    }
    out.flush()?;
    first.map_or(Ok(()), Err)
}

/// The keys in these files.
///
/// # Errors
///
/// 64 with what is wrong in which file.
pub(super) fn vendor_keys(files: &[PathBuf]) -> Result<Vec<VendorKey>, Failure> {
    let read = |file: &PathBuf| {
        let key = TrustedKey::read(file).map_err(|error| error.to_string())?;
        key.to_string().parse::<VendorKey>().map_err(|error| format!("{}: {error}", file.display()))
    };
    files.iter().map(|file| read(file).map_err(|text| Failure::new(exit::USAGE, clean(&text)))).collect()
}

/// Who has borrowed seats and names no key need not look for servers.
pub(super) fn trust_hint(client: &Client, ask: &Want) -> Option<&'static str> {
    let borrowed = client.borrowed().ok().filter(|_| ask.trust.is_empty())?;
    let is_wanted = |seat: &Borrowed| ask.features.iter().any(|feature| is_of(feature, seat));
    borrowed
        .iter()
        .any(is_wanted)
        .then_some("it is borrowed on this computer: name its vendor's key with --trust PUBFILE")
}

/// Seats that are borrowed, for a person or as one line of JSON.
pub(super) fn print(seats: &[Borrowed], json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        let ends_at = seats.iter().map(|seat| seat.ends_at).min().map(instant);
        let line = json!({
            "schema": SCHEMA, "granted": true, "borrowed_until": ends_at,
            "sessions": seats.iter().map(as_json).collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
    } else {
        for seat in seats {
            let text = format!(
                "{}: {}, borrowed until {}, borrow {}",
                show::name(Some(&seat.vendor), &seat.feature),
                plural(seat.count.into(), "seat"),
                Here::terminal().seconds(seat.ends_at),
                SessionId(seat.borrow)
            );
            writeln!(out, "{}", clean(&text))?;
        }
    }
    Ok(out.flush()?)
}

fn as_json(seat: &Borrowed) -> Value {
    json!({
        "session": SessionId(seat.borrow).to_string(),
        "vendor": seat.vendor,
        "feature": seat.feature,
        "count": seat.count,
        "since": instant(seat.granted_at),
        "borrowed_until": instant(seat.ends_at),
        "server": seat.server,
    })
}

fn is_of(name: &FeatureName, seat: &Borrowed) -> bool {
    name.feature.eq_ignore_ascii_case(&seat.feature)
        && name.vendor.as_ref().is_none_or(|vendor| vendor.eq_ignore_ascii_case(&seat.vendor))
}

fn nothing(ask: &args::Return, kept: &[Borrowed]) -> Failure {
    let of_it: Vec<String> = kept
        .iter()
        .filter(|seat| is_of(&ask.feature, seat))
        .map(|seat| SessionId(seat.borrow).to_string())
        .collect();
    let name = show::name(ask.feature.vendor.as_deref(), &ask.feature.feature);
    let text = if of_it.is_empty() {
        format!(
            "nothing of {name} is borrowed on this computer by this user; where what was borrowed has been deleted, an \
             administrator can write it off (`seatkeeper write-off`): it comes back at its end"
        )
    } else {
        format!("{name} is borrowed here as {}", of_it.join(", "))
    };
    Failure::new(exit::TEMPORARY, clean(&text))
}

fn not_borrowed(error: BorrowError) -> Failure {
    let text = clean(&error.to_string());
    match error {
        BorrowError::Denied(refusal) => denied(&refusal),
        BorrowError::NoServer(_) => Failure::new(exit::UNAVAILABLE, format!("{text}; {NO_SERVER_HINT}")),
        BorrowError::InDoubt { .. } => Failure::new(exit::UNAVAILABLE, text),
        BorrowError::NotValid(_) => Failure::new(exit::TEMPORARY, text),
        BorrowError::Protocol(_) => Failure::new(exit::INTERNAL, text),
        BorrowError::Request(_) => Failure::new(exit::USAGE, text),
        BorrowError::Store(_) => Failure::new(exit::DISK, text),
    }
}

fn not_returned(error: ReturnError) -> Failure {
    let text = clean(&error.to_string());
    match error {
        ReturnError::Denied(refusal) => denied(&refusal),
        ReturnError::NoServer(_) => Failure::new(exit::UNAVAILABLE, text),
        ReturnError::NotKept { .. } | ReturnError::InUse { .. } => Failure::new(exit::TEMPORARY, text),
        ReturnError::Protocol(_) => Failure::new(exit::INTERNAL, text),
        ReturnError::Store(_) => Failure::new(exit::DISK, text),
    }
}
