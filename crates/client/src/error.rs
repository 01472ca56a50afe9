//! What can go wrong, one enum an operation.

use std::io;
use std::time::Duration;

use thiserror::Error;
use wire::{EncodeError, answer};

use crate::address::Address;

/// The server said no. `code` is for programs, `message` for people.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// A word of [`codes`](wire::codes). Treat one you do not know as a plain no.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// The numbers behind it, a JSON object (PROTOCOL.md 12); may be empty.
    pub details: String,
}

impl From<answer::Refused> for Refusal {
    fn from(refused: answer::Refused) -> Refusal {
        // A peer's text may end up on a terminal.
        Refusal {
            code: printable(&refused.code),
            message: printable(&refused.message),
            details: refused.details,
        }
    }
}

/// The text without control characters, so that it can be shown on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("{address}: the name cannot be looked up: {source}")]
    Lookup {
        /// Which server.
        address: Address,
        /// As the system says it.
        source: io::Error,
    },
    /// Nobody accepts connections there.
    #[error("{address}: no connection: {source}")]
    Connect {
        /// Which server.
        address: Address,
        /// As the system says it.
        source: io::Error,
    },
    /// Somebody accepted the connection and said nothing.
    #[error("{address}: connected, but no hello within {timeout:?}; is that a Seatkeeper server?")]
    Silent {
        /// Which server.
        address: Address,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// The connection was closed before the hello was answered.
    #[error("{address}: the connection ended before the hello: {what}")]
    Ended {
        /// Which server.
        address: Address,
        /// How.
        what: String,
    },
    /// The server does not want this connection.
    #[error("{address}: {refusal}")]
    Refused {
        /// Which server.
        address: Address,
        /// Its words.
        refusal: Refusal,
    },
    /// What answers there speaks something else.
    #[error("{address}: not the protocol of Seatkeeper: {what}")]
    Protocol {
        /// Which server.
        address: Address,
        /// What was wrong with the answer.
        what: String,
    },
}

/// Why a call has no answer that grants it.
#[derive(Clone, Debug, Error)]
pub enum CallError {
    /// The server answered no.
    #[error("{0}")]
    Refused(Refusal),
    /// No answer in time; the connection was given up. Whether the server did what was asked is unknown.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended before the answer. Whether the server did what was asked is unknown.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The answer breaks the protocol; the connection was closed.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The request is longer than the server takes; it was not sent.
    #[error("the request is too long: {0}")]
    TooLong(#[from] EncodeError),
}

/// Why there are no seats.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// A server said no: the first of the list that did (S26).
    #[error("{0}")]
    Denied(Refusal),
    /// No server answered. The reasons of all of them, in the order of the list.
    #[error("no license server answers: {}", join(.0))]
    NoServer(Vec<String>),
    /// A server answered something that breaks the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The wait was ended by [`Cancel`](crate::Cancel).
    #[error("gave up waiting")]
    Cancelled,
    /// The request cannot be sent: too long, or no random numbers for its key.
    #[error("{0}")]
    Request(String),
}

/// Why seats could not be given back now.
#[derive(Debug, Error)]
pub enum CheckinError {
    /// The server said no; with `already_removed`, `resumed_elsewhere` and `unknown_session` the seats were gone before.
    #[error("{0}")]
    Denied(Refusal),
    /// The server does not answer. It counts the seats as suspect when it has lost the connection or its lease is over,
    /// and gives them to who needs them.
    #[error("the license server does not answer: {0}")]
    NoServer(String),
    /// The server answered something that breaks the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

fn join(reasons: &[String]) -> String {
    reasons.join("; ")
}
