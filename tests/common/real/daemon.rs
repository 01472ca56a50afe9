//! The daemon as a process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::Client;
use super::site::Site;
use super::{PATIENCE, until, within};

/// The program that ships.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_seatkeeperd");

/// What is to be started: a command that can still be changed.
pub struct Start {
    pub command: Command,
    notify: UnixDatagram,
    notify_path: PathBuf,
}

/// A running daemon. Dropped, it is killed.
pub struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    notify: UnixDatagram,
    notify_path: PathBuf,
    told: Vec<String>,
    /// Where it listens for clients; known once it is ready.
    address: Option<SocketAddr>,
    admin: PathBuf,
}

impl Start {
    /// The daemon of a site, with its configuration file.
    pub fn of(site: &Site) -> Start {
        Start::wrapped(site, Command::new(PROGRAM))
    }

    /// As [`Start::of`], where `command` ends in running [`PROGRAM`] with the arguments that follow.
    pub fn wrapped(site: &Site, mut command: Command) -> Start {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let notify_path = site.path().join(format!("notify-{number}"));
        let notify = UnixDatagram::bind(&notify_path).expect("a notify socket");
        command
            .arg("--config")
            .arg(site.config())
            .current_dir(site.path())
            .env("NOTIFY_SOCKET", &notify_path)
            .env("TZ", "UTC")
            .env("SEATKEEPER_LOG", "info")
            .env_remove("JOURNAL_STREAM")
            .env_remove("WATCHDOG_USEC")
            .env_remove("LISTEN_FDS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Start { command, notify, notify_path }
    }

    pub fn arg(mut self, argument: &str) -> Start {
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Start {
        self.command.env(name, value);
        self
    }

    /// Starts it and waits for nothing.
    pub fn spawn(mut self, site: &Site) -> Daemon {
        let mut child = self.command.spawn().expect("the daemon starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("a pipe");
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Daemon {
            child,
            log,
            reader: Some(reader),
            notify: self.notify,
            notify_path: self.notify_path,
            told: Vec::new(),
            address: None,
            admin: site.state().join("admin.sock"),
        }
    }

    /// Starts it and waits until it says READY.
    pub fn ready(self, site: &Site) -> Daemon {
        let mut daemon = self.spawn(site);
        daemon.await_ready();
        daemon
    }
}

impl Daemon {
    /// The daemon of a site, ready.
    pub fn start(site: &Site) -> Daemon {
        Start::of(site).ready(site)
    }

    /// Waits for READY, and learns the port from the log.
    pub fn await_ready(&mut self) {
        self.await_told("READY=1");
        let line = self.await_log("listening for clients");
        let (_, address) = line.rsplit_once("address=").expect("the log names the address");
        self.address = Some(address.trim().parse().expect("an address"));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("the daemon is ready")
    }

    pub fn admin_path(&self) -> &Path {
        &self.admin
    }

    /// A new connection of a new installation.
    pub fn connect(&self) -> Client {
        self.connect_as(super::client::random_bytes())
    }

    /// A new connection of an installation.
    pub fn connect_as(&self, install_id: [u8; 16]) -> Client {
        Client::connect(self.address(), install_id).expect("the daemon takes a connection")
    }

    /// The administrator's connection.
    pub fn admin(&self) -> Client {
        Client::connect_admin(&self.admin).expect("the admin socket takes a connection")
    }

    /// Waits until systemd would have been told this.
    pub fn await_told(&mut self, message: &str) {
        let started = Instant::now();
        while !self.was_told(message) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended with {status} before {message}:\n{}", self.log_text());
            }
            assert!(started.elapsed() < PATIENCE, "no {message}:\n{}", self.log_text());
            self.listen(Duration::from_millis(50));
        }
    }

    /// Forgets what systemd was told so far.
    pub fn forget_told(&mut self) {
        self.listen(Duration::from_millis(1));
        self.told.clear();
    }

    /// Whether systemd was told this line.
    pub fn was_told(&self, line: &str) -> bool {
        self.told.iter().any(|told| told == line)
    }

    /// Every line told to systemd since it was forgotten last.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Takes what is told to systemd, waiting at most so long for the first of it.
    pub fn listen(&mut self, limit: Duration) {
        self.notify.set_read_timeout(Some(limit)).expect("a limit");
        let mut buffer = [0; 4096];
        if let Ok(read) = self.notify.recv(&mut buffer) {
            self.told.extend(String::from_utf8_lossy(&buffer[..read]).lines().map(str::to_owned));
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn log_text(&self) -> String {
        self.log().join("\n")
    }

    /// The first line that contains this.
    pub fn await_log(&self, part: &str) -> String {
        let found = within(PATIENCE, || self.log().into_iter().find(|line| line.contains(part)));
        found.unwrap_or_else(|| panic!("the log has no {part:?}:\n{}", self.log_text()))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the daemon is there");
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.take().map(JoinHandle::join);
    }

    /// Waits until it ends by itself; the log is complete afterwards.
    pub fn await_end(&mut self, limit: Duration) -> ExitStatus {
        let ended = within(limit, || self.child.try_wait().expect("a child"));
        let Some(status) = ended else { panic!("still running after {limit:?}:\n{}", self.log_text()) };
        let _ = self.reader.take().map(JoinHandle::join);
        status
    }

    /// SIGTERM; the exit code, which must be there within S64's five seconds.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.await_end(Duration::from_secs(5)).code()
    }

    /// A number of /proc/PID/status in bytes, such as `VmRSS` or `VmHWM`.
    pub fn memory(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = text.lines().find(|line| line.starts_with(name)).expect("the line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kib * 1024
    }

    /// Waits until a report says that so many seats of a feature are in use: a report may be 50 ms old.
    pub fn await_used(&self, name: &str, used: u64) {
        self.await_feature(name, &format!("{used} in use"), |feature| feature["used"] == used);
    }

    /// Waits until a report says what `is_true` looks for.
    pub fn await_feature(&self, name: &str, what: &str, is_true: impl Fn(&serde_json::Value) -> bool) {
        let mut client = self.connect();
        let mut last = serde_json::Value::Null;
        let found = within(PATIENCE, || {
            last = client.feature(name);
            is_true(&last).then_some(())
        });
        assert!(found.is_some(), "{name}: not {what}: {last}\n{}", self.log_text());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_file(&self.notify_path);
        if std::thread::panicking() {
            println!("the daemon's log:\n{}", self.log_text());
        }
    }
}

/// Runs a daemon that is to end by itself: its exit code, and what it said.
pub fn run_to_end(mut start: Start) -> (Option<i32>, String) {
    start.command.stdout(Stdio::piped());
    let mut child = start.command.spawn().expect("the daemon starts");
    let ended = until("the daemon ends", || child.try_wait().expect("a child"));
    let output = child.wait_with_output().expect("its output");
    let text = [output.stdout, output.stderr].concat();
    (ended.code(), String::from_utf8_lossy(&text).into_owned())
}
