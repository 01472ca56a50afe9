//! The outputs of `lmxendutil` and `lmutil lmstat`: byte for byte from a fixed picture, out of reach for what clients state,
//! and read by other people's programs from the real daemon (docs/monitoring/COMPATIBILITY.md).
//!
//! `UPDATE_GOLDEN=1 cargo test --test compat` writes the files of `golden/` anew; look at what changed before you commit it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod daemon;
mod golden;
mod hostile;
mod site;
