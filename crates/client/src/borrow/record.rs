//! What is kept of one borrow, as text.
//!
//! ```text
//! seatkeeper-borrow 1
//! state lent
//! server lic01:6200
//! bundle 42
//! checkout BASE64
//! token seatkeeper-borrow-v1:BASE64
//! returning seatkeeper-borrow-v1:BASE64
//! sum 0123456789abcdef
//! ```
//!
//! `checkout` is the request as it was sent, a whole frame: its key, with which it can be sent again; its secret and facts, with
//! which the seats are given back. A token for each session, one that is being given back in a line of its own kind. `sum` finds damage; nobody is kept from writing another: the
//! tokens are what is verified.

use std::fmt::Write as _;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use wire::borrow::BorrowToken;
use wire::frame::{self, CLIENT_FRAME_BYTES_MAX};
use wire::message::Message as _;
use wire::{layout, request};

use crate::address::Address;

const FIRST: &str = "seatkeeper-borrow 1";

/// How far a borrow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Asked for; whether the server has lent anything is not known.
    Asked,
    /// The tokens are here.
    Lent,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) token: BorrowToken,
    /// It is being given back; whether the server knows is not known. It is good for nothing any more.
    pub(super) is_returning: bool,
}

/// One checkout that borrows, with what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) state: State,
    /// The server that was asked.
    pub(super) server: Address,
    pub(super) bundle: u64,
    pub(super) checkout: request::Checkout,
    pub(super) tokens: Vec<Kept>,
}

impl Record {
    /// The name of its file.
    pub(super) fn name(&self) -> String {
        name(&self.checkout.request_key)
    }

    /// As text. `Err`: what is in it is longer than it may be.
    pub(super) fn write(&self) -> Result<String, String> {
        let state = match self.state {
            State::Asked => "asked",
            State::Lent => "lent",
        };
        let mut request = Vec::new();
        frame::append(&mut request, 1, &self.checkout).map_err(|error| error.to_string())?;
        let mut text = format!("{FIRST}\nstate {state}\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "server {}\nbundle {}", self.server, self.bundle);
        let _ = writeln!(text, "checkout {}", BASE64_STANDARD.encode(request));
        for kept in &self.tokens {
            let word = if kept.is_returning { "returning" } else { "token" };
            let _ = writeln!(text, "{word} {}", kept.token.to_text().map_err(|error| error.to_string())?);
        }
        let _ = writeln!(text, "sum {}", sum(&text));
        Ok(text)
    }

    /// Reads what [`Record::write`] wrote; `None`: it is damaged.
    pub(super) fn read(text: &str) -> Option<Record> {
        let (body, sum_line) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let body = format!("{body}\n");
        if sum_line.strip_prefix("sum ")? != sum(&body) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != FIRST {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let state = match field("state")? {
            "asked" => State::Asked,
            "lent" => State::Lent,
            _ => return None,
        };
        let server = field("server")?;
        let server = if server.starts_with('/') {
            Address::Unix(server.into())
        } else {
            Address::from_str(server).ok()?
        };
        let bundle = field("bundle")?.parse().ok()?;
        let request = BASE64_STANDARD.decode(field("checkout")?).ok()?;
        let whole = frame::first(&request, CLIENT_FRAME_BYTES_MAX).ok()??;
        if whole.bytes != request.len() || whole.head.number != request::Checkout::NUMBER {
            return None;
        }
        let checkout = layout::decode(whole.body).ok()?;
        let kept = |line: &str| {
            let (is_returning, text) = match line.split_once(' ')? {
                ("token", text) => (false, text),
                ("returning", text) => (true, text),
                _ => return None,
            };
            Some(Kept { token: BorrowToken::from_text(text).ok()?, is_returning })
        };
        let tokens = lines.map(kept).collect::<Option<Vec<_>>>()?;
        Some(Record { state, server, bundle, checkout, tokens })
    }
}

/// The name of the file for a request key.
pub(super) fn name(key: &[u8; 16]) -> String {
    let mut name = "borrow-".to_owned();
    // Writing to a String cannot fail.
    let _ = key.iter().try_for_each(|byte| write!(name, "{byte:02x}"));
    name
}

/// Whether a file could be one of ours.
pub(super) fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix("borrow-").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Sixteen hexadecimal digits over all before.
pub(super) fn sum(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let lent = wire::borrow::Lent { borrow: 17, bundle: 42, feature: "cad".into(), ..Default::default() };
        let token = BorrowToken { lent, signature: [7; 64] };
        let extras = vec![request::Hours { hours: 48 }.extra()];
        let secret = request::Secret([9; 16]);
        Record {
            state: State::Lent,
            server: "lic01:6200".parse().unwrap(),
            bundle: 42,
            checkout: request::Checkout { request_key: [0xab; 16], secret, extras, ..Default::default() },
            tokens: vec![
                Kept { token: token.clone(), is_returning: false },
                Kept { token, is_returning: true },
            ],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for state in [State::Asked, State::Lent] {
            let record = Record { state, ..record() };
            assert_eq!(Record::read(&record.write().unwrap()), Some(record));
        }
        let unix = Record { server: Address::Unix("/run/s".into()), tokens: vec![], ..record() };
        assert_eq!(Record::read(&unix.write().unwrap()), Some(unix));
        assert!(is_name(&record().name()) && !is_name("borrow-mark") && !is_name("borrow.lock"));
    }

    #[test]
    fn every_bit_that_is_wrong_and_every_cut_is_found() {
        let text = record().write().unwrap();
        for cut in 0..text.len() {
            assert_eq!(Record::read(&text[..cut]), None, "cut at {cut}");
        }
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(other) = String::from_utf8(bytes) else { continue };
                assert_eq!(Record::read(&other), None, "bit {bit} of byte {at}");
            }
        }
    }
}
