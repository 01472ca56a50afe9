//! The crate held against the page and the vectors, and against bytes that wish it ill.

mod hostile;
mod page;
mod samples;
mod shown;
mod tokens;
mod vectors;

use wire::{Answer, DecodeError, EncodeError, Event, Head, Request, frame};

/// Any message at all.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a handful at a time")]
enum Any {
    Request(Request),
    Answer(Answer),
    Event(Event),
}

impl Any {
    fn decode(head: Head, body: &[u8]) -> Result<Any, DecodeError> {
        match head.kind() {
            frame::Kind::Request | frame::Kind::Admin => Request::decode(head.number, body).map(Any::Request),
            frame::Kind::Answer => Answer::decode(head.number, body).map(Any::Answer),
            frame::Kind::Event => Event::decode(head.number, body).map(Any::Event),
        }
    }

    fn append(&self, buffer: &mut Vec<u8>, call: u32) -> Result<(), EncodeError> {
        match self {
            Any::Request(message) => message.append(buffer, call),
            Any::Answer(message) => message.append(buffer, call),
            Any::Event(message) => message.append(buffer, call),
        }
    }

    fn number(&self) -> u16 {
        match self {
            Any::Request(message) => message.number(),
            Any::Answer(message) => message.number(),
            Any::Event(message) => message.number(),
        }
    }

    /// `{:?}` of the struct inside.
    fn debug(&self) -> String {
        let text = match self {
            Any::Request(message) => format!("{message:?}"),
            Any::Answer(message) => format!("{message:?}"),
            Any::Event(message) => format!("{message:?}"),
        };
        let inside = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inside.expect("an enum variant with one struct").to_owned()
    }
}

/// Every number there is, ascending.
fn numbers() -> Vec<u16> {
    [Request::NUMBERS, Answer::NUMBERS, Event::NUMBERS].concat()
}
