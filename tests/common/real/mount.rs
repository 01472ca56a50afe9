//! A small file system of a site's own at its state directory, so that it can be filled, made read-only or broken.
//!
//! It is mounted in a mount namespace that a process of this test holds: nobody else sees it, it stays there over
//! restarts of the daemon, and it is gone with the test however that ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::daemon::{PROGRAM, Start};
use super::site::Site;

/// Makes the mount, says so, and holds the namespace until its input ends.
const HOLD: &str = "set -e; eval \"$1\"; echo mounted; cat >/dev/null";

/// See the module. Dropped, it is gone.
pub struct Mount {
    holder: Child,
    state: PathBuf,
    image: PathBuf,
    /// What `nsenter` needs beside the process to enter.
    enter: &'static [&'static str],
}

impl Mount {
    /// A tmpfs of so many MiB. Any user may have one where the system lets users make namespaces; `None`, after a line
    /// that says so, where it does not.
    pub fn tmpfs(site: &Site, mib: u64) -> Option<Mount> {
        let script = format!("mount -t tmpfs -o size={mib}m tmpfs {}", quoted(&site.state()));
        let enter = &["--user", "--preserve-credentials", "--mount"];
        Mount::hold(site, &["--user", "--map-root-user", "--mount"], enter, &script)
            .or_else(|| skipped("this user may not mount a tmpfs"))
    }

    /// A real ext4 of so many MiB on a real block device, a loop device over a file: what the kernel does with a disk that
    /// fails it does here. `mkfs` is the program that makes it. For root alone; `None`, after a line that says so, for
    /// others.
    pub fn ext4(site: &Site, mkfs: &Path, mib: u64) -> Option<Mount> {
        if !rustix::process::geteuid().is_root() {
            return skipped("only root may mount a loop device");
        }
        let backing = site.path().join("backing");
        fs::create_dir(&backing).expect("a directory");
        let image = backing.join("image");
        // In memory, so that a test does not wait for the machine's own disk.
        let script = format!(
            "mount -t tmpfs tmpfs {0}; truncate -s {mib}M {1}; {2} -q -F {1}; mount -o loop,errors=remount-ro {1} {3}; \
             rmdir {3}/lost+found",
            quoted(&backing),
            quoted(&image),
            quoted(mkfs),
            quoted(&site.state())
        );
        Mount::hold(site, &["--mount"], &["--mount"], &script)
            .or_else(|| skipped("this root may not mount a loop device"))
    }

    fn hold(site: &Site, unshare: &[&str], enter: &'static [&'static str], script: &str) -> Option<Mount> {
        let state = site.state();
        fs::create_dir_all(&state).expect("a directory");
        let mut holder = Command::new("unshare")
            .args(unshare)
            .args(["sh", "-c", HOLD, "sh", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut line).ok()?;
        let mount = Mount { holder, state, image: site.path().join("backing/image"), enter };
        (line == "mounted\n").then_some(mount)
    }

    /// A program that sees the file system.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.holder.id())).args(self.enter).arg("--").arg(program);
        command
    }

    /// The daemon of the site, on it.
    pub fn start(&self, site: &Site) -> Start {
        Start::wrapped(site, self.command(PROGRAM))
    }

    /// Runs a line of shell in which `$state` is the state directory, `$image` the file behind the block device and
    /// `$device` its name; what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn shell(&self, script: &str) -> String {
        let mut command = self.command("sh");
        let script = format!(
            "set -e; device=$(findmnt -n -o SOURCE \"$state\" || true); device=${{device##*/}}; {script}"
        );
        let output = command
            .args(["-c", &script])
            .env("state", &self.state)
            .env("image", &self.image)
            .output()
            .expect("a shell");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{script}:\n{text}");
        text
    }

    /// Where this test, outside, finds a file of it.
    pub fn outside(&self, name: &str) -> PathBuf {
        let state = self.state.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(state).join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Its input ends, and with it the last process of the namespace.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

fn skipped<T>(why: &str) -> Option<T> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    None
}
