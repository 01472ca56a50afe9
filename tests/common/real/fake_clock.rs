//! A clock for the real daemon: libfaketime, told through a file, so that time can jump while it runs.
//!
//! The monotonic clock stays true (`FAKETIME_DONT_FAKE_MONOTONIC`): leases and time-outs must not notice. The fake wall
//! clock runs on by itself from what it was set to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;

use super::daemon::Start;
use super::site::Site;

/// The wall clock of a site's daemons.
#[derive(Clone)]
pub struct FakeClock {
    file: PathBuf,
    library: PathBuf,
}

impl FakeClock {
    /// A clock set to `instant`, RFC 3339.
    ///
    /// # Panics
    /// If there is no libfaketime: call `require("faketime")` first.
    pub fn new(site: &Site, instant: &str) -> FakeClock {
        let clock = FakeClock { file: site.path().join("clock"), library: library() };
        clock.set(instant);
        clock
    }

    /// The wall clock jumps to `instant`, RFC 3339, and runs on from there.
    #[allow(clippy::disallowed_methods, reason = "the true time, to set a false one by: this is a test")]
    pub fn set(&self, instant: &str) {
        let wanted = DateTime::parse_from_rfc3339(instant).expect("an instant").timestamp_millis();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let offset = wanted - i64::try_from(now).expect("within range");
        // Beside it and renamed: the daemon reads it at any moment.
        let beside = self.file.with_extension("new");
        fs::write(
            &beside,
            format!(
                "{}{}.{:03}\n",
                if offset < 0 { "-" } else { "+" },
                offset.abs() / 1000,
                offset.abs() % 1000
            ),
        )
        .and_then(|()| fs::rename(&beside, &self.file))
        .expect("the clock's file");
    }

    /// A daemon that lives by this clock.
    ///
    /// libfaketime names shared memory by the process id and leaves it behind when the daemon is killed, as most tests
    /// do; a later program of that id may then refuse to start. What belongs to no process any more goes first.
    pub fn lead(&self, start: Start) -> Start {
        let mut start = start;
        self.lead_command(&mut start.command);
        start
    }

    /// Any other program that lives by this clock.
    pub fn lead_command(&self, command: &mut Command) {
        forget_dead_clocks();
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DISABLE_SHM", "1");
    }
}

fn forget_dead_clocks() {
    for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let process = name.strip_prefix("sem.faketime_sem_").or_else(|| name.strip_prefix("faketime_shm_"));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another test may have done it; another user's stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The library for programs with threads.
fn library() -> PathBuf {
    let in_lib = |lib: &str| {
        let entries = fs::read_dir(lib).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let places = ["/usr/lib", "/usr/lib64", "/usr/local/lib"];
    let mut found = places.iter().flat_map(|place| {
        let mut around = in_lib(place);
        around.push(Path::new(place).to_owned());
        around.into_iter().map(|directory| directory.join("faketime/libfaketimeMT.so.1"))
    });
    found.find(|path| path.is_file()).expect("libfaketimeMT.so.1 is beside the program faketime")
}
