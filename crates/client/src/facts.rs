//! What a client states about itself: user, host, process, platform, local time (S1).
//!
//! Everything here is a claim, and rules treat it so. An application that knows better sets the fields itself, and adds what
//! only it can know: its version, its release date, the project.

use std::env;
use std::process;

use wire::message::TEXT_BYTES_MAX;
use wire::request::{Facts, HostId};

/// What can be found out about this process. No release, no project, no host ids.
pub fn here() -> Facts {
    Facts {
        user: user_name(),
        host: host_name(),
        pid: process::id(),
        platform: platform(),
        offset_minutes: offset_minutes(),
        display: ["DISPLAY", "WAYLAND_DISPLAY", "SESSIONNAME"].into_iter().find_map(variable).map(fitting),
        ..Facts::default()
    }
}

/// `os-arch` in lower case, such as `linux-x86_64`.
pub fn platform() -> String {
    format!("{}-{}", env::consts::OS, env::consts::ARCH)
}

/// Local time minus GMT now, in minutes, daylight saving included; 0 where the zone is not known.
pub fn offset_minutes() -> i16 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the client's own offset, stated to the server; no license is judged by this clock"
    )]
    let now = jiff::Timestamp::now();
    let seconds = jiff::tz::TimeZone::system().to_offset(now).seconds();
    i16::try_from(seconds.div_euclid(60)).unwrap_or(0)
}

/// The day of a moment, Unix seconds, in UTC; see [`release_date_from_unix`](crate::release_date_from_unix).
pub(crate) fn utc_day(seconds: i64) -> String {
    /// 0000-01-01: before it a year would have a sign.
    const FIRST: i64 = -62_167_219_200;
    let seconds = seconds.clamp(FIRST, jiff::Timestamp::MAX.as_second());
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    jiff::tz::Offset::UTC.to_datetime(moment).date().to_string()
}

/// Ids of this machine that cost nothing to read, for licenses that are locked to a client (L13): MACHINEID, and ETHERNET of
/// each real interface. Empty where the system does not keep them in files.
///
/// They are not part of [`here`]: who runs no such license need not tell them to a server.
pub fn host_ids() -> Vec<HostId> {
    let id = |kind: &str, value: String| HostId { kind: kind.to_owned(), value };
    let mut ids = Vec::new();
    let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().find_map(first_line);
    ids.extend(machine.map(|value| id("MACHINEID", value)));
    let mut interfaces: Vec<_> =
        std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten().map(|e| e.path()).collect();
    interfaces.sort();
    for interface in interfaces {
        // Those without a device are bridges, tunnels and the loopback: they come and go.
        let address = first_line(interface.join("address")).filter(|_| interface.join("device").exists());
        ids.extend(address.map(|value| id("ETHERNET", value)));
    }
    ids.truncate(wire::message::HOST_IDS_MAX);
    ids
}

fn user_name() -> String {
    let variables: &[&str] = if cfg!(windows) { &["USERNAME"] } else { &["USER", "LOGNAME"] };
    let known = variables.iter().find_map(|name| variable(name));
    #[cfg(unix)]
    let known = known.or_else(crate::unix::user_name);
    fitting(known.unwrap_or_else(|| "unknown".to_owned()))
}

fn host_name() -> String {
    let asked = || {
        let output = process::Command::new("hostname").stdin(process::Stdio::null()).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !name.is_empty()).then_some(name)
    };
    let known = first_line("/proc/sys/kernel/hostname")
        .or_else(|| variable("COMPUTERNAME"))
        .or_else(|| first_line("/etc/hostname"))
        .or_else(asked)
        .or_else(|| variable("HOSTNAME"));
    fitting(known.unwrap_or_else(|| "unknown".to_owned()))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

fn first_line(path: impl AsRef<std::path::Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// What a server takes: no control characters, at most 256 bytes.
fn fitting(text: String) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    while text.len() > TEXT_BYTES_MAX {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_where_it_runs() {
        let facts = here();
        assert_eq!(facts.pid, process::id());
        assert!(!facts.user.is_empty() && !facts.host.is_empty());
        assert!(facts.platform.contains('-') && facts.platform == facts.platform.to_lowercase());
        assert!((-1440..=1440).contains(&facts.offset_minutes));
    }

    #[test]
    fn what_a_server_would_refuse_is_cut() {
        assert_eq!(fitting("a\u{7}b\n".to_owned()), "ab");
        assert_eq!(fitting("é".repeat(200)).len(), TEXT_BYTES_MAX);
    }
}
