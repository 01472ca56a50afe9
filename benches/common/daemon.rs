//! The real daemon, as a process: from its start to READY, its memory, its end.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Result;
use super::licenses::Licenses;

/// The daemon that was built with this bench.
pub const DAEMON: &str = env!("CARGO_BIN_EXE_seatkeeperd");

/// How long a start may take before the bench gives up.
const START_MAX: Duration = Duration::from_secs(120);

/// A running daemon; stopped when dropped.
pub struct Daemon {
    process: Child,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where HTTP is answered, if it was asked for.
    pub http: Option<SocketAddr>,
    /// From the start of the process to READY.
    pub to_ready: Duration,
    /// Processor time of the thread that starts everything, until READY: what a busy machine makes longer least.
    pub processor_to_ready: Duration,
}

/// What to start.
pub struct Start<'a> {
    /// The program; [`DAEMON`].
    pub program: &'a Path,
    /// A directory for the configuration and the log.
    pub home: &'a Path,
    /// The state directory.
    pub state: &'a Path,
    /// What it serves.
    pub licenses: &'a Licenses,
    /// Where it runs; `None`: anywhere.
    pub core: Option<usize>,
}

impl Start<'_> {
    /// Starts it and waits for READY.
    ///
    /// # Errors
    /// It ended instead, with the end of its log; or it took longer than two minutes.
    pub fn start(&self) -> Result<Daemon> {
        self.start_with(&[])
    }

    /// As [`Start::start`], with more words on the command line.
    ///
    /// # Errors
    /// As there.
    #[allow(dead_code, reason = "benches/load")]
    pub fn start_with(&self, words: &[&str]) -> Result<Daemon> {
        self.start_configured(words, "")
    }

    /// As [`Start::start_with`], with more at the end of the configuration.
    ///
    /// # Errors
    /// As there.
    #[allow(dead_code, reason = "benches/load")]
    pub fn start_configured(&self, words: &[&str], more: &str) -> Result<Daemon> {
        let config = self.home.join("seatkeeper.toml");
        fs::write(&config, self.config() + more)?;
        let (ear, notify_path) = ear(self.home)?;
        let log_path = self.home.join("log");
        let log = File::create(&log_path)?;
        let mut command = on_core(self.program, self.core);
        command.arg("--config").arg(&config).args(["--log-format", "json"]).args(words);
        command.env("NOTIFY_SOCKET", &notify_path).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let begun = Instant::now();
        let mut process = command.spawn()?;
        let told = |what: &str| {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            format!("{what}; its log ends: {last:?}")
        };
        let mut message = [0; 512];
        let to_ready = loop {
            match ear.recv(&mut message) {
                Ok(n) if message[..n].starts_with(b"READY=1") => break begun.elapsed(),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if let Some(status) = process.try_wait()? {
                        return Err(told(&format!("the daemon ended with {status}")).into());
                    }
                    if begun.elapsed() > START_MAX {
                        let _ = process.kill();
                        return Err(told("the daemon did not get ready").into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        let processor_to_ready = main_thread_time(process.id())?;
        let log = fs::read_to_string(&log_path)?;
        let address_of = |message: &str| {
            log.lines().find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                let is_it = line.get("message")?.as_str()? == message;
                is_it.then(|| line.get("address")?.as_str()?.parse().ok()).flatten()
            })
        };
        let address = address_of("listening for clients").ok_or_else(|| told("the log names no address"))?;
        let http = address_of("answering HTTP");
        Ok(Daemon { process, address, http, to_ready, processor_to_ready })
    }

    /// With limits that a load generator does not meet: the defaults are made for single programs.
    fn config(&self) -> String {
        let path = |p: &Path| serde_json::Value::from(p.display().to_string()).to_string();
        // Builds from before the update check do not know its limit, and are asked none.
        let is_ours = self.program == Path::new(DAEMON);
        let checks = if is_ours { "update_checks_per_minute = 10000000\n" } else { "" };
        format!(
            "licenses = {}\ntrusted_vendors = [{}]\nstate = {}\nlisten = [\"127.0.0.1:0\"]\nhttp = \"off\"\ntime_zone = \"UTC\"\n\
             admin_socket = {}\nlease = \"1h\"\n[limits]\nconnections = 19000\nconnections_per_address = 1000000\n\
             sessions_per_connection = 1000000\nrequests_per_second = 10000000\nidle_time = \"1h\"\n{checks}",
            path(&self.licenses.directory),
            path(&self.licenses.public_key),
            path(self.state),
            path(&self.home.join("admin.sock")),
        )
    }
}

/// A program, bound to one core with `taskset` if asked for.
pub fn on_core(program: &Path, core: Option<usize>) -> Command {
    match core {
        None => Command::new(program),
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
    }
}

fn ear(home: &Path) -> Result<(UnixDatagram, PathBuf)> {
    let path = home.join("notify");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let ear = UnixDatagram::bind(&path)?;
    ear.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok((ear, path))
}

impl Daemon {
    /// Its resident memory in bytes.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self) -> Result<u64> {
        resident_memory(self.process.id())
    }

    /// Processor time it has used so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time(self.process.id())
    }

    /// Stops it in order and waits for its end.
    ///
    /// # Errors
    /// It did not end with 0.
    pub fn stop(mut self) -> Result<()> {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.process.id())?) {
            kill_process(pid, Signal::TERM)?;
        }
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Processor time a process has used so far, its own and the kernel's for it, in steps of 10 ms.
///
/// # Errors
/// It is gone.
pub fn processor_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").ok_or("no stat")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |n: usize| -> Result<u64> { Ok(fields.get(n).ok_or("no stat")?.parse()?) };
    // A hundred ticks a second, on every Linux there is.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

fn main_thread_time(process: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/schedstat"))?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or("").parse()?))
}

/// Resident memory of a process in bytes.
///
/// # Errors
/// It is gone.
pub fn resident_memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
