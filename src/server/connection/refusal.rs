//! Refusals that need neither the engine nor a report.

use wire::frame::FrameError;

use crate::answer::{self, BadField, Code};

/// Writes itself into a buffer.
pub(super) type Refusal = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// `fault`: a word of docs/PROTOCOL.md, section 12; empty where the code says it all.
pub(super) fn refuse(call: u32, code: Code, message: impl Into<String>, fault: &'static str) -> Refusal {
    let message = message.into();
    let details = if fault.is_empty() { String::new() } else { format!("{{\"fault\":\"{fault}\"}}") };
    Box::new(move |buffer| answer::append_refusal(buffer, call, code, &message, details))
}

pub(super) fn refuse_field(call: u32, BadField { field, message }: BadField) -> Refusal {
    Box::new(move |buffer| {
        answer::append_refusal(buffer, call, Code::BadRequest, &message, answer::field_details(field));
    })
}

pub(super) fn bad_length(error: FrameError) -> Refusal {
    refuse(0, Code::BadRequest, error.to_string(), error.as_str())
}
