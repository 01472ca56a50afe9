//! `seatkeeper state clock-reset`: lowers a highest day served that was wrong, while no daemon runs (S71).
//!
//! A clock that stood years ahead for an hour has raised the mark, and the day never goes back by itself. Whoever may
//! write the state directory may say that it was wrong; that is recorded with who, when and why, and shown for 30 days.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use seats::change::{Change, ClockRead, ClockReset};

use super::record::{self, StateFold};
use crate::clock::{Clock, Ticks, Zone};
use crate::journal::{JournalError, Options};
use crate::state::{StateDir, StateError, is_in_use};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mark is lower now.
    Lowered(ClockReset),
    /// It is not above the clock's day: nothing was changed.
    NotAhead {
        /// The highest day served; `None`: none yet.
        mark: Option<NaiveDate>,
        /// The day the clock shows.
        today: NaiveDate,
    },
}

/// Why the mark was not lowered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// No daemon ever ran on it.
    #[error("{}: not a state directory: name the one that the daemon uses", .0.display())]
    NotState(PathBuf),
    /// What would be written could not be read by the daemon.
    #[error("{}: belongs to uid {owner}, and this is uid {user}: run it as that user, so that the daemon can read what is written", path.display())]
    NotOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// A daemon runs, or the state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The record cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Lowers the highest day served to the day that this system's clock shows in `zone`. The daemon is stopped: the lock of
/// the directory is held meanwhile (S63).
///
/// # Errors
/// [`ResetError`].
pub fn reset_clock(path: &Path, zone: &Zone, by: &str, reason: &str) -> Result<Outcome, ResetError> {
    if !is_in_use(path)? {
        return Err(ResetError::NotState(path.to_owned()));
    }
    let user = rustix::process::geteuid().as_raw();
    if let Some(owner) = std::fs::metadata(path).ok().map(|found| found.uid()).filter(|uid| *uid != user) {
        return Err(ResetError::NotOwner { path: path.to_owned(), owner, user });
    }
    let mut state = StateDir::open(path, false)?;
    let mut fold = StateFold::default();
    let mut opened = state.open_journal(Options { threads: false, ..Options::default() }, &mut fold)?;
    let reading = Clock::system(zone.clone(), Ticks(opened.tick)).now();
    let (mark, today) = (fold.state.day(), reading.today);
    let Some(from) = mark.filter(|mark| *mark > today) else {
        return Ok(Outcome::NotAhead { mark, today });
    };
    let (by, reason) = (by.into(), reason.into());
    let reset = ClockReset { from, to: today, unix_ms: reading.unix_ms, by, reason };
    // The clock as it is now goes with it: what is read at the next start is no jump.
    let read = ClockRead { tick: opened.tick, unix_ms: reading.unix_ms };
    for change in [Change::ClockReset(reset.clone()), Change::ClockRead(read)] {
        let kind = record::kind(&change);
        opened.journal.append_with(opened.tick, kind, |out| record::encode(&change, out))?;
    }
    opened.journal.commit()?;
    Ok(Outcome::Lowered(reset))
}
