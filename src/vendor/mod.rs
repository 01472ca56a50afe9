//! The vendor's side: making keys, signing templates, looking at licenses. Needs no server.
//!
//! Private keys stay with the vendor: nothing else in this program reads one.

pub mod base;
pub mod inspect;
pub mod key;
pub mod sign;
pub mod write;

pub use inspect::{Inspection, inspect};
pub use key::{KeyError, MadeKey, VendorKey, keygen};
pub use sign::{SignedFile, Template, sign};
