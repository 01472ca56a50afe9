//! Which version of a program a license lets run, and until when: maintenance, evaluations, subscriptions, renewals (rules 3).
//!
//! [`decide`] is a pure function: checkout, update check, borrowing, status and the client library's offline check all call it,
//! so they cannot disagree. What is read from files is not here, nor who has a seat: seats come after it.

mod calendar;
mod decide;
mod endings;
mod plan;
mod remind;
mod words;

pub use calendar::{Basis, UNLIMITED, add, is_unlimited, renewed};
pub use decide::{
    Granted, LOOKED_AT, Refused, Release, Stated, decide, decide_listed, decide_stated, newest_that_runs,
};
pub use endings::{End, endings, notice};
pub use plan::{Block, Plan, State, contact};
pub use remind::{ENDED_WITHIN_DAYS, Ending, Reminder, THRESHOLDS, due};
pub use words::sentence;
