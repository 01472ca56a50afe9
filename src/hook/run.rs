//! One run of a program: its input given at once, its time limited, the end of its errors kept.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::Stopwatch;

/// What is kept of stderr: enough for the cause, little for a log.
const STDERR_BYTES_MAX: usize = 2_048;
const STDERR_LINES_MAX: usize = 5;
/// What a run sees of the environment.
const VARIABLES: [&str; 2] = ["PATH", "LANG"];
/// The longest wait between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A program that runs.
#[derive(Debug)]
pub(super) struct Run {
    child: Child,
    stderr: Option<ChildStderr>,
    kept: Vec<u8>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    stderr: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// With exit code 0.
    Done,
    /// Otherwise.
    Failed(ExitStatus),
    /// It took longer than it may, and was killed with its group.
    Killed,
    /// The system does not say.
    Unknown(io::Error),
}

impl Run {
    /// Starts it in a process group of its own, with `input` on its standard input and nobody at its standard output.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(program: &Path, arguments: &[String], input: &[u8]) -> io::Result<Run> {
        // A file in memory, not a pipe: a program that does not read would fill one, and hold up who writes.
        let mut file = File::from(memfd_create("event", MemfdFlags::CLOEXEC)?);
        file.write_all(input)?;
        file.rewind()?;
        let kept = VARIABLES.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let environment: Vec<(&str, OsString)> = kept.collect();
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .current_dir("/")
            .stdin(file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stderr = child.stderr.take();
        if let Some(stderr) = &stderr {
            // What it leaves running may hold the pipe open for ever.
            rustix::io::ioctl_fionbio(stderr, true)?;
        }
        Ok(Run { child, stderr, kept: Vec::new() })
    }

    /// Waits until it ends, or kills it when this says that no time is left: a run counts its time itself, `limit` is asked
    /// again and again, because it may shrink.
    pub(super) fn wait(mut self, mut limit: impl FnMut() -> Duration) -> Ended {
        let running = Stopwatch::start();
        let mut pause = Duration::from_millis(1);
        // At a stop the limit is what is left from now on, else what the whole run may take.
        let whole = limit();
        let outcome = loop {
            self.read_stderr();
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => break Outcome::Done,
                Ok(Some(status)) => break Outcome::Failed(status),
                Ok(None) => {}
                Err(error) => break Outcome::Unknown(error),
            }
            if running.elapsed() >= whole || limit().is_zero() {
                self.kill();
                break Outcome::Killed;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        };
        self.read_stderr();
        Ended { outcome, stderr: self.kept }
    }

    /// The whole group. The child was not waited for, so its number is nobody else's.
    fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Takes what is there and keeps the first of it, so that a run that complains at length goes on.
    fn read_stderr(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut buffer = [0; 4_096];
        // Bounded: one that writes for ever is looked at again after a pause.
        for _ in 0..64 {
            match stderr.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    let room = STDERR_BYTES_MAX.saturating_sub(self.kept.len()).min(read);
                    self.kept.extend_from_slice(&buffer[..room]);
                }
            }
        }
    }
}

impl Ended {
    /// The first lines of what it wrote to stderr.
    pub(super) fn stderr_text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        lines.take(STDERR_LINES_MAX).collect::<Vec<_>>().join(" / ")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Failed(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "exit code {code}"),
                (None, Some(signal)) => write!(f, "ended by signal {signal}"),
                (None, None) => write!(f, "{status}"),
            },
            Outcome::Killed => f.write_str("killed: it took too long"),
            Outcome::Unknown(error) => write!(f, "its end is not known: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Ended {
        let arguments = ["-c".to_owned(), script.to_owned()];
        Run::start(Path::new("sh"), &arguments, b"{}\n").unwrap().wait(|| limit)
    }

    #[test]
    fn a_run_has_its_input_and_little_else() {
        let ended = sh(
            "read line; test \"$line\" = '{}' || exit 3; test -z \"$HOME$CARGO\" || exit 4; test \"$PWD\" = / || exit 5",
            Duration::from_secs(30),
        );
        assert!(matches!(ended.outcome, Outcome::Done), "{ended:?}");
    }

    #[test]
    fn the_first_lines_of_its_errors_are_kept_and_no_flood_stops_it() {
        let ended = sh(
            "for i in 1 2 3 4 5 6 7; do echo e$i >&2; done; head -c 300000 /dev/zero >&2; exit 7",
            PATIENCE,
        );
        assert_eq!(ended.outcome.to_string(), "exit code 7");
        assert_eq!(ended.stderr_text(), "e1 / e2 / e3 / e4 / e5");
        assert!(ended.stderr.len() <= STDERR_BYTES_MAX);
    }

    #[test]
    fn what_takes_too_long_is_killed_with_its_children() {
        // The child of the shell holds stderr open, and would for ten minutes.
        let ended = sh("sleep 600 & echo $! >&2; wait", Duration::from_millis(300));
        assert_eq!(ended.outcome.to_string(), "killed: it took too long");
        let pid: u32 = ended.stderr_text().parse().unwrap();
        let waiting = Stopwatch::start();
        let is_gone = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
        };
        while !is_gone(pid) {
            assert!(waiting.elapsed() < PATIENCE, "{pid} lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_it_leaves_running_holds_nobody_up() {
        let ended = sh("sleep 20 & exit 0", PATIENCE);
        assert!(matches!(ended.outcome, Outcome::Done), "{ended:?}");
    }

    const PATIENCE: Duration = Duration::from_secs(10);
}
