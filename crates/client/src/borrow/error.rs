//! What can go wrong, one enum an operation.

use thiserror::Error;

use super::verify::NotValid;
use crate::error::Refusal;

/// Why nothing was borrowed.
#[derive(Debug, Error)]
pub enum BorrowError {
    /// The server said no: `borrow_not_allowed`, `borrow_too_long`, `borrow_limit`, or what it says to any checkout.
    #[error("{0}")]
    Denied(Refusal),
    /// No server answered. The reasons of all of them, in the order of the list.
    #[error("no license server answers: {}", .0.join("; "))]
    NoServer(Vec<String>),
    /// A server was asked and did not answer.
    #[error(
        "{server} has not answered and may have lent it; ask again for the same, and nothing is taken twice ({reason})"
    )]
    InDoubt {
        /// Which server.
        server: String,
        /// What happened to the connection.
        reason: String,
    },
    /// What the server lent is not valid here; it was given back.
    #[error("what the license server lent is not valid here: {0}")]
    NotValid(#[from] NotValid),
    /// A server answered something that breaks the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The request cannot be sent: too long, or no random numbers for its key.
    #[error("{0}")]
    Request(String),
    /// What is borrowed cannot be kept on this computer, so nothing was borrowed.
    #[error("{0}")]
    Store(String),
}

/// Why a borrowed seat is not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is none.
    #[error("{feature} is not borrowed on this computer")]
    NotBorrowed {
        /// Which feature.
        feature: String,
    },
    /// There is one, and it may not be used now. Of several the one that ends last.
    #[error("{0}")]
    NotValid(#[from] NotValid),
    /// Other programs of this user have its seats.
    #[error(
        "{feature}: {used} of the {count} seats borrowed are in use on this computer; end a program that uses one"
    )]
    InUse {
        /// Which feature.
        feature: String,
        /// Seats of the borrow.
        count: u32,
        /// Those in use.
        used: u64,
    },
    /// What is borrowed cannot be read or kept.
    #[error("{0}")]
    Store(String),
}

/// Why borrowed seats are not given back.
#[derive(Debug, Error)]
pub enum ReturnError {
    /// It is not kept here any more: it was given back meanwhile.
    #[error("{feature} is not borrowed on this computer any more")]
    NotKept {
        /// Which feature.
        feature: String,
    },
    /// A program uses it now.
    #[error("{feature} is in use on this computer; end the program that uses it first")]
    InUse {
        /// Which feature.
        feature: String,
    },
    /// The server said no, and the seats are still here.
    #[error("{0}")]
    Denied(Refusal),
    /// No server answers, or not to the end: then the seats cannot be used here any more. Try again.
    #[error("the license server that lent it does not answer: {}; try again, and until then it counts as borrowed there", .0.join("; "))]
    NoServer(Vec<String>),
    /// The server answered something that breaks the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// What is borrowed cannot be read or kept.
    #[error("{0}")]
    Store(String),
}
