//! One server read in every way.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::plain::get;
use crate::real::daemon::Daemon;
use crate::wall::Wall;

const PROGRAM: &str = env!("CARGO_BIN_EXE_seatkeeper");

/// What shows the server's numbers beside `seatkeeper status --json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shows {
    People,
    Http,
    Metrics,
    Licstat,
    LicstatXml,
    Lmstat,
    Inventory,
}

impl Shows {
    pub(crate) const ALL: [Shows; 7] = [
        Shows::People,
        Shows::Http,
        Shows::Metrics,
        Shows::Licstat,
        Shows::LicstatXml,
        Shows::Lmstat,
        Shows::Inventory,
    ];
}

/// What every output is compared with: the status, and the two lists that say more than it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: Value,
    pub(crate) queue: Value,
    pub(crate) licenses: Value,
}

/// Runs the program that ships, and asks over HTTP.
pub(crate) struct Reader {
    pub(crate) address: SocketAddr,
    pub(crate) http: SocketAddr,
    admin: PathBuf,
    clock: Option<Wall>,
    /// The zone that the programs run in.
    zone: String,
}

impl Reader {
    /// `clock`: that of the daemon, by which the programs live too.
    pub(crate) fn new(daemon: &Daemon, http: SocketAddr, clock: Option<Wall>, zone: &str) -> Reader {
        let admin = daemon.admin_path().to_owned();
        Reader { address: daemon.address(), http, admin, clock, zone: zone.to_owned() }
    }

    /// The output of a command that must go well; `is_admin`: over that socket.
    pub(crate) fn run(&self, words: &[&str], is_admin: bool) -> String {
        let (code, text) = self.try_run(words, is_admin);
        assert_eq!(code, 0, "{words:?}: {text}");
        text
    }

    /// Exit code and standard output.
    pub(crate) fn try_run(&self, words: &[&str], is_admin: bool) -> (i32, String) {
        let mut command = Command::new(PROGRAM);
        command.args(words).env("TZ", &self.zone).env_remove("SEATKEEPER_ADMIN").env_remove("NO_COLOR");
        command.env("SEATKEEPER_SERVER", self.address.to_string());
        if is_admin {
            command.env("SEATKEEPER_ADMIN", &self.admin);
        }
        if let Some(clock) = &self.clock {
            clock.lead_command(&mut command);
        }
        let output = command.output().expect("the command runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let code = output.status.code().expect("it exits");
        let said = String::from_utf8_lossy(&output.stderr);
        (code, if text.is_empty() { said.into_owned() } else { text })
    }

    /// A list, or the status, as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let text = self.run(&[words, &["--json"]].concat(), false);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?}: {e}: {text}"))
    }

    /// As [`Reader::json`], over the administrator's socket.
    pub(crate) fn json_for_admin(&self, words: &[&str]) -> Value {
        let socket = self.admin.to_string_lossy();
        self.json(&[words, &["--admin", &socket]].concat())
    }

    /// What the others are compared with.
    pub(crate) fn told(&self) -> Told {
        Told {
            status: self.json(&["status"]),
            queue: self.json(&["queue"]),
            licenses: self.json(&["licenses"]),
        }
    }

    /// One of the others.
    pub(crate) fn read(&self, shows: Shows) -> String {
        let port = self.address.port().to_string();
        let place = format!("{port}@127.0.0.1");
        let lmx = |what: &str| self.run(&["lmxendutil", what, "-host", "127.0.0.1", "-port", &port], false);
        match shows {
            Shows::People => self.run(&["status"], false),
            Shows::Http => self.page("/api/v1/status"),
            Shows::Metrics => self.page("/metrics"),
            Shows::Licstat => lmx("-licstat"),
            Shows::LicstatXml => lmx("-licstatxml"),
            Shows::Lmstat => self.run(&["lmutil", "lmstat", "-a", "-c", &place], false),
            Shows::Inventory => self.run(&["lmutil", "lmstat", "-i", "-c", &place], false),
        }
    }

    fn page(&self, path: &str) -> String {
        let page = get(self.http, path);
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        page.body
    }
}
