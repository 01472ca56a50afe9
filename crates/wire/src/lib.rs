//! The protocol as bytes: frames and messages. No IO, no rules.
//!
//! `docs/PROTOCOL.md` is the specification and `tests/vectors/` holds it fast; this crate is one way to
//! produce those bytes. It turns messages into frames and frames into messages and bounds their sizes.
//! It opens no socket, and whether a request makes sense is decided by who reads it.
//!
//! - [`frame`]: length, number and call number around a message, and the size limits
//! - [`message`]: the numbers, and the enums that hold whatever arrives
//! - [`request`], [`answer`], [`event`]: every message, field by field
//! - [`borrow`]: the token that a client keeps of a seat it was lent
//! - [`layout`]: fields to bytes and back
//! - [`codes`]: the words of a refusal

pub mod answer;
pub mod borrow;
pub mod codes;
pub mod event;
pub mod frame;
pub mod layout;
pub mod message;
pub mod request;

pub use borrow::BorrowToken;
pub use frame::Head;
pub use layout::{DecodeError, EncodeError};
pub use message::{Answer, Call, Event, Extra, Message, Request};
