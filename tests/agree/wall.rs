//! A wall clock that stands still, so that an instant can be looked at: FakeClock of tests/common runs on by itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use chrono::DateTime;

use crate::real::daemon::Start;
use crate::real::fake_clock::FakeClock;
use crate::real::site::Site;

/// The wall clock of all programs of a site. The monotonic clock stays true.
#[derive(Clone)]
pub(crate) struct Wall {
    file: PathBuf,
    clock: FakeClock,
}

impl Wall {
    /// A clock that stands at `instant`, RFC 3339.
    pub(crate) fn new(site: &Site, instant: &str) -> Wall {
        // It finds the library, and says how to keep it from its other tricks.
        let clock = FakeClock::new(site, instant);
        let wall = Wall { file: site.path().join("clock"), clock };
        wall.set(instant);
        wall
    }

    pub(crate) fn set(&self, instant: &str) {
        let at = DateTime::parse_from_rfc3339(instant).expect("an instant").timestamp();
        let beside = self.file.with_extension("still");
        fs::write(&beside, format!("{at}\n"))
            .and_then(|()| fs::rename(&beside, &self.file))
            .expect("the clock's file");
    }

    pub(crate) fn lead(&self, start: Start) -> Start {
        self.clock.lead(start).env("FAKETIME_FMT", "%s")
    }

    pub(crate) fn lead_command(&self, command: &mut Command) {
        self.clock.lead_command(command);
        command.env("FAKETIME_FMT", "%s");
    }
}
