//! The command line: what a person types, and what it answers.

pub mod vendor;
