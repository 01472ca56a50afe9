//! The protocol as bytes: frames and messages. No IO, no rules.
