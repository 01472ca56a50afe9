//! Policy files: how they are read, what is wrong with bad ones, what comes of them on a server.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod analysis;
mod check;
mod errors;
mod form;
mod fuzz;
mod operations;
mod page;
mod sites;
