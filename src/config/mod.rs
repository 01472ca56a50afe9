//! What the daemon is told: `seatkeeper.toml` and the flags of `seatkeeperd`, checked whole and resolved.
//!
//! [`Config::load`] finds the file, reads it, lets flags override it, fills in defaults and checks every range. It
//! opens no socket and reads no license, key or policy: paths are made absolute and handed on. Where something is
//! wrong, all that can be told at once is told, each with file, line and column.
//!
//! - [`Flags`]: the command line. - [`limits`]: each limit, its range and the reason for its number (S82).
//! - [`ConfigError`]: what is wrong, shown where it is.
//!
//! A key of the file is documented at the field of [`Config`] it fills, for people in docs/OPERATIONS.md.

pub mod duration;
pub mod error;
mod file;
pub mod flags;
pub mod history;
pub mod limits;
mod notify;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::{ConfigError, Fault, Place};
pub use flags::Flags;
pub use history::{History, KEEP_FREE_MEGABYTES};
pub use limits::Limits;
pub use notify::{Chosen, Notify};

use seats::maintenance::THRESHOLDS;

use crate::clock::{Zone, ZoneError};
use file::{File, Source};

/// Where the daemon listens for clients: 6200 is LM-X's port; loopback until `listen` says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6200);

/// Where the daemon answers HTTP.
pub const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6199);

/// The file looked for in the working directory, then in `/etc/seatkeeper`.
pub const FILE_NAME: &str = "seatkeeper.toml";

/// The admin socket's name, in systemd's runtime directory or in the state directory.
pub const ADMIN_SOCKET_NAME: &str = "admin.sock";

/// The longest path of a Unix socket on Linux: `sun_path` has 108 bytes, the last of them zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The most entries of `reminder_days`.
const REMINDER_DAYS_MAX: usize = 10;

/// Everything the daemon is told. Paths are absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that was read; `None` if flags alone were enough.
    pub file: Option<PathBuf>,
    /// `listen`, `--listen`: where clients connect. At least one. Default [`DEFAULT_LISTEN`].
    pub listen: Vec<SocketAddr>,
    /// `http`, `--http`: where HTTP is answered; `None` for `"off"`. Default [`DEFAULT_HTTP`].
    pub http: Option<SocketAddr>,
    /// `http_token_file`: the file whose first line every HTTP request must present as a bearer token. Default none, which
    /// only a loopback address takes.
    pub http_token_file: Option<PathBuf>,
    /// `admin_socket`: the Unix socket of the administrator (S80). Default `admin.sock` in systemd's runtime
    /// directory, else in `state`.
    pub admin_socket: PathBuf,
    /// `admin_group`: the numeric id of the group that may use the admin socket. `None`: the daemon's own group.
    pub admin_group: Option<u32>,
    /// `licenses`, `--licenses`: the directory of license files. No default.
    pub licenses: PathBuf,
    /// `trusted_vendors`, `--trust`: `.pub` files of the vendors whose signatures count (L11). Default none.
    pub trusted_vendors: Vec<PathBuf>,
    /// `state`, `--state`: the directory of the journal and the server's identity. Default systemd's state directory;
    /// without systemd it must be said.
    pub state: PathBuf,
    /// `policy`, `--policy`: the policy file (S50). Default none: everybody may, without limit.
    pub policy: Option<PathBuf>,
    /// `time_zone`, `--time-zone`: whose midnight counts (L20). Default the system's zone.
    pub zone: Zone,
    /// `signatures`, `--signatures`: what becomes of unsigned features (L11). Default required.
    pub signatures: Signatures,
    /// `readers`: who sees users, hosts, SNs and files (S84); ask [`Config::readers_on`]. `None`: by listener.
    pub readers: Option<Readers>,
    /// `log_format`, `--log-format`: lines on stderr. Default text.
    pub log_format: LogFormat,
    /// `heartbeat`: how often clients are told to beat (S12). Default 30 s, 100 ms to 1 h.
    pub heartbeat: Duration,
    /// `lease`: after how much silence a session is suspect (S12, S20). Default 120 s, 200 ms to 7 days, at least two
    /// heartbeats.
    pub lease: Duration,
    /// `resume_window`: how long a client whose socket closed keeps its seats for sure (S21). Default 5 s, 0 s to 7 days.
    pub resume_window: Duration,
    /// `reap_after`: how long a suspect stays whose seats nobody needs (S22). Default 15 min, 200 ms to 7 days, at least
    /// `resume_window`.
    pub reap_after: Duration,
    /// `host_ids`: what a CUSTOM host id of a license may name (L12). Default none.
    pub host_ids: Vec<String>,
    /// `fqdn`: whether hosts are compared with their domain (S1). Default false: up to the first dot.
    pub fqdn: bool,
    /// `reminder_days`: on which days before an end administrators are reminded (rules 3, 6.11); the largest first, each 1 to 365.
    /// Default 60, 30, 14, 7, 1. Empty: never before, only when it has ended.
    pub reminder_days: Vec<u16>,
    /// `notify_command`, `notify_events`, `notify_timeout_seconds`: what is run when something happens. Default nothing.
    pub notify: Option<Notify>,
    /// `[history]`.
    pub history: History,
    /// `[limits]` (S82).
    pub limits: Limits,
}

/// What becomes of unsigned features (L11). A wrong signature is refused in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// They are refused.
    Required,
    /// They load and are marked; for trials.
    Optional,
}

/// Who may read what (S84). The admin socket sees everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readers {
    /// Users, hosts, SNs and files too.
    All,
    /// Features with their totals.
    Counts,
    /// Nothing.
    Admin,
}

/// The shape of a log line on stderr. The journal takes fields and has no use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the process finds around it. Tests make their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The working directory: `./seatkeeper.toml` and the paths of flags start here.
    pub directory: PathBuf,
    /// The last place the file is looked for.
    pub system_file: PathBuf,
    /// systemd's `RUNTIME_DIRECTORY`.
    pub runtime_directory: Option<PathBuf>,
    /// systemd's `STATE_DIRECTORY`.
    pub state_directory: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    ///
    /// # Errors
    /// If there is no working directory.
    pub fn of_process() -> std::io::Result<Surroundings> {
        // systemd separates several directories by colons; ours is the first.
        let first_of = |name: &str| {
            let value = std::env::var_os(name)?;
            std::env::split_paths(&value).next().filter(|path| path.is_absolute())
        };
        Ok(Surroundings {
            directory: std::env::current_dir()?,
            system_file: PathBuf::from("/etc/seatkeeper").join(FILE_NAME),
            runtime_directory: first_of("RUNTIME_DIRECTORY"),
            state_directory: first_of("STATE_DIRECTORY"),
        })
    }
}

impl Config {
    /// The configuration: `--config`, else `./seatkeeper.toml`, else `/etc/seatkeeper/seatkeeper.toml`, overridden by
    /// flags; or flags alone, if they name licenses and state.
    ///
    /// # Errors
    /// Everything wrong that can be told at once. The daemon exits 78 with it.
    pub fn load(flags: &Flags, around: &Surroundings) -> Result<Config, ConfigError> {
        let source = find_file(flags, around)?;
        let (file, source) = match source {
            Some(path) => file::read(path)?,
            None => (File::default(), Source::default()),
        };
        resolve(flags, file, source, around)
    }

    /// What a reader who came in by `listener` may see (S84): as configured, else everything on a loopback address
    /// and counts on any other.
    pub fn readers_on(&self, listener: &SocketAddr) -> Readers {
        let by_listener = if is_loopback(listener) { Readers::All } else { Readers::Counts };
        self.readers.unwrap_or(by_listener)
    }
}

/// Whether only this machine reaches a listener on that address.
pub fn is_loopback(listener: &SocketAddr) -> bool {
    listener.ip().to_canonical().is_loopback()
}

fn find_file(flags: &Flags, around: &Surroundings) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(named) = &flags.config {
        return Ok(Some(around.directory.join(named)));
    }
    let candidates = [around.directory.join(FILE_NAME), around.system_file.clone()];
    // One that cannot be looked at is taken, so that reading it says why: a slip of permissions must not silently
    // put another file in its place.
    if let Some(found) = candidates.iter().find(|path| path.try_exists().unwrap_or(true)) {
        return Ok(Some(found.clone()));
    }
    let has_state = flags.state.is_some() || around.state_directory.is_some();
    if flags.licenses.is_some() && has_state {
        return Ok(None);
    }
    Err(ConfigError::from(Fault::new(format!(
        "there is no configuration: neither {} nor {} exists; name a file with --config, or say \
         --licenses DIR --trust PUBFILE --state DIR",
        candidates[0].display(),
        candidates[1].display()
    ))))
}

fn resolve(flags: &Flags, file: File, source: Source, around: &Surroundings) -> Result<Config, ConfigError> {
    let mut faults = Vec::new();
    let beside_file = |path: &Path| source.directory(&around.directory).join(path);
    let from_here = |path: &PathBuf| around.directory.join(path);
    let path = |flag: &Option<PathBuf>, key: &Option<PathBuf>| {
        flag.as_ref().map(from_here).or_else(|| key.as_deref().map(beside_file))
    };

    let licenses = path(&flags.licenses, &file.licenses).unwrap_or_else(|| {
        faults
            .push(source.fault(None, "licenses is not set").help("licenses = \"/etc/seatkeeper/licenses\""));
        PathBuf::new()
    });
    let state =
        path(&flags.state, &file.state).or_else(|| around.state_directory.clone()).unwrap_or_else(|| {
            faults.push(source.fault(None, "state is not set").help("state = \"/var/lib/seatkeeper\""));
            PathBuf::new()
        });
    let trusted_vendors = match flags.trust.as_slice() {
        [] => file.trusted_vendors.iter().map(|path| beside_file(path)).collect(),
        named => named.iter().map(from_here).collect(),
    };

    let listen = listeners(flags, &file, &source, &mut faults);
    let http_key = file.http.as_ref().map(|key| key.get_ref().0);
    let http = flags.http.or(http_key).unwrap_or(flags::Http::At(DEFAULT_HTTP)).address();
    let http_token_file = file.http_token_file.as_ref().map(|key| beside_file(key.get_ref()));
    if let Some(http) = http
        && http_token_file.is_none()
        && !is_loopback(&http)
    {
        // A flag has no place in the file.
        let span = file.http.as_ref().filter(|_| flags.http.is_none()).map(toml::Spanned::span);
        let text =
            format!("http = \"{http}\" answers the network, and no token is set that readers must know");
        faults.push(source.fault(span, text).help(
            "name a file with a long random line in http_token_file, or stay on this machine: \"127.0.0.1:6199\"",
        ));
    }
    if let Some(http) = http
        && http.port() != 0
        && listen.contains(&http)
    {
        faults.push(source.fault(None, format!("http and listen both name {http}")));
    }

    let admin_socket = file.admin_socket.as_ref().map_or_else(
        || around.runtime_directory.as_ref().unwrap_or(&state).join(ADMIN_SOCKET_NAME),
        |key| beside_file(key.get_ref()),
    );
    if admin_socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let span = file.admin_socket.as_ref().map(toml::Spanned::span);
        faults.push(
            source
                .fault(span, format!("the path of the admin socket, {}, is too long", admin_socket.display()))
                .help(format!(
                    "a Unix socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes: set admin_socket"
                )),
        );
    }
    let admin_group = file.admin_group.as_ref().and_then(|name| {
        let id = group_id(name.get_ref());
        if id.is_none() {
            faults.push(
                source
                    .fault(Some(name.span()), format!("there is no group \"{}\"", name.get_ref()))
                    .help("a group of /etc/group, or a number; a name from a directory service is given as its number"),
            );
        }
        id
    });

    let zone = zone(flags, &file, &source, &mut faults);
    let heartbeat = limits::HEARTBEAT.check(file.heartbeat.as_ref(), &source, &mut faults);
    let lease = limits::LEASE.check(file.lease.as_ref(), &source, &mut faults);
    if lease < heartbeat.saturating_mul(2) {
        let span = file.lease.as_ref().or(file.heartbeat.as_ref()).map(toml::Spanned::span);
        faults.push(
            source
                .fault(
                    span,
                    format!(
                        "a lease of {} with a heartbeat of {}: one lost heartbeat would make a client suspect",
                        duration::format(lease),
                        duration::format(heartbeat)
                    ),
                )
                .help("make lease at least twice heartbeat"),
        );
    }
    let resume_window = limits::RESUME_WINDOW.check(file.resume_window.as_ref(), &source, &mut faults);
    let reap_after = limits::REAP_AFTER.check(file.reap_after.as_ref(), &source, &mut faults);
    if reap_after < resume_window {
        let span = file.reap_after.as_ref().or(file.resume_window.as_ref()).map(toml::Spanned::span);
        let text = format!(
            "reap_after is {} and resume_window {}: a client that may still come back would have lost its seats",
            duration::format(reap_after),
            duration::format(resume_window)
        );
        faults.push(source.fault(span, text).help("make reap_after at least resume_window"));
    }
    let notify = Notify::check(&file, &source, beside_file, &mut faults);
    let history = History::check(&file.history, &source, &mut faults);
    let limits = Limits::check(&file.limits, heartbeat, &source, &mut faults);
    for id in &file.host_ids {
        let text = id.get_ref();
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            faults.push(
                source.fault(Some(id.span()), "a host id has 1 to 256 bytes and no control characters"),
            );
        }
    }
    let reminder_days = reminder_days(file.reminder_days.as_ref(), &source, &mut faults);

    if !faults.is_empty() {
        return Err(ConfigError::new(faults, source.text));
    }
    Ok(Config {
        listen,
        http,
        http_token_file,
        admin_socket,
        admin_group,
        licenses,
        trusted_vendors,
        state,
        policy: path(&flags.policy, &file.policy),
        zone,
        signatures: flags.signatures.or(file.signatures).unwrap_or(Signatures::Required),
        readers: file.readers,
        log_format: flags.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
        heartbeat,
        lease,
        resume_window,
        reap_after,
        host_ids: file.host_ids.into_iter().map(toml::Spanned::into_inner).collect(),
        fqdn: file.fqdn,
        reminder_days,
        notify,
        history,
        limits,
        file: source.path,
    })
}

/// `reminder_days`, the largest first.
fn reminder_days(
    given: Option<&toml::Spanned<Vec<i64>>>,
    source: &Source,
    faults: &mut Vec<Fault>,
) -> Vec<u16> {
    let Some(given) = given else { return THRESHOLDS.to_vec() };
    let day = |days: &i64| u16::try_from(*days).ok().filter(|days| (1..=365).contains(days));
    let mut days: Vec<u16> = given.get_ref().iter().filter_map(day).collect();
    if days.len() != given.get_ref().len() || days.len() > REMINDER_DAYS_MAX {
        let text = format!("reminder_days are at most {REMINDER_DAYS_MAX} numbers from 1 to 365");
        faults.push(source.fault(Some(given.span()), text));
    }
    days.sort_unstable();
    days.dedup();
    days.reverse();
    days
}

fn listeners(flags: &Flags, file: &File, source: &Source, faults: &mut Vec<Fault>) -> Vec<SocketAddr> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    if !flags.listen.is_empty() {
        for address in &flags.listen {
            if address.port() == 0 || !listen.contains(address) {
                listen.push(*address);
            }
        }
        return listen;
    }
    let Some(named) = &file.listen else { return vec![DEFAULT_LISTEN] };
    for (text, span) in named.get_ref().iter() {
        let span = span.clone().unwrap_or(named.span());
        match flags::parse_address(text) {
            // Port 0 asks for any free port, each time another.
            Ok(address) if address.port() != 0 && listen.contains(&address) => {
                faults.push(source.fault(Some(span), format!("{address} is listed twice")));
            }
            Ok(address) => listen.push(address),
            Err(message) => faults.push(source.fault(Some(span), message)),
        }
    }
    if named.get_ref().is_empty() {
        faults.push(source.fault(Some(named.span()), "listen names no address").help(format!(
            "leave it out for {DEFAULT_LISTEN}, or name one, such as \"0.0.0.0:6200\" for every network"
        )));
    }
    listen
}

fn zone(flags: &Flags, file: &File, source: &Source, faults: &mut Vec<Fault>) -> Zone {
    let (found, fault) = match (&flags.time_zone, &file.time_zone) {
        (Some(name), _) => (Zone::named(name), Fault::new("--time-zone: ")),
        (None, Some(name)) => (Zone::named(name.get_ref()), source.fault(Some(name.span()), "")),
        (None, None) => (Zone::system(), source.fault(None, "")),
    };
    found.unwrap_or_else(|error| {
        let mut message = format!("{}{error}", fault.message);
        if let ZoneError::System { source: Some(cause) } = &error {
            message.push_str(&format!(" ({cause})"));
        }
        faults.push(Fault { message, ..fault });
        Zone::utc()
    })
}

/// The numeric id of a group: a number itself, else by `/etc/group`. Directory services are not asked: that would
/// take the C library.
fn group_id(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}
