//! Everything that shows what the server counts shows the same: `status` for people and as JSON, `/api/v1/status`, `/metrics`,
//! `lmxendutil` and `lmutil lmstat`, of the daemon that ships (S6, docs/monitoring/COMPATIBILITY.md). And what it prints as JSON is
//! what docs/schema says.
//!
//! - [`world`]: a daemon with one of everything; [`outputs`]: reads it in every way at one instant
//! - [`compare`]: what each output must say, by the status; [`planted`]: that a number that differs is found
//! - [`still`], [`load`], [`days`]: at rest, while clients work, on the days on which dates go wrong
//! - [`schemas`], [`denials`]: documents of this daemon against docs/schema
//!
//! Nothing here uses the code that it judges: texts are taken apart and rules are written down anew.
//! `UPDATE_GOLDEN=1 cargo test --test agree` writes the files of `golden/`; look at what changed before you commit it.

#[path = "../common/mod.rs"]
mod common;
#[path = "../http/plain.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod plain;
#[path = "../common/real/mod.rs"]
mod real;
#[path = "../common/schema.rs"]
mod schema;

mod compare;
mod days;
mod denials;
mod load;
mod outputs;
mod planted;
mod schemas;
mod still;
mod wall;
mod world;
