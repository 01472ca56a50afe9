//! The vendor's side: making keys, signing templates, renewals and release catalogs, looking at what was signed. Needs no server.
//!
//! Private keys stay with the vendor: nothing else in this program reads one.

pub mod base;
pub mod catalog;
pub mod inspect;
pub mod key;
pub mod renew;
pub mod sign;
pub mod write;

pub use catalog::{SignedCatalog, sign_catalog};
pub use inspect::{Inspection, inspect};
pub use key::{KeyError, MadeKey, VendorKey, keygen};
pub use renew::{RenewError, Renewed, Wish, renew};
pub use sign::{SignedFile, Template, sign};
