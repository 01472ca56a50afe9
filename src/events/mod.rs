//! What happens in the server, as a stream of typed events (L22, docs/EVENTS.md).
//!
//! The engine notes what it did and hands the notes on after the sync (`src/engine/happened.rs`); other threads tell what
//! happens beside it ([`Hub::publish`]). The [`Hub`] numbers all of it, remembers the last [`REMEMBERED`] and serves any number
//! of readers, each from where it is: the `Events` request, `seatkeeper events`, and whoever else subscribes. A reader that
//! is too slow is told how many it missed; nobody waits for it, and nothing grows.
//!
//! - [`what`]: every kind of event and its fields
//! - `redact`: what of an event a reader may see (S84)
//! - `tell`: from the engine's notes to events
//! - [`hub`]: numbers, remembers, serves
//!
//! Not here: what is journaled (`src/journal`), what a client is told about its own sessions (`engine::ask::Event`).

pub mod hub;
mod redact;
mod tell;
pub mod what;

pub use hub::{Delivery, Hub, Intake, REMEMBERED, Subscription};
pub use what::{Event, EventList, What};
