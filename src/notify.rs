//! systemd: what the daemon tells it (READY, RELOADING, STOPPING, STATUS, WATCHDOG) and the sockets it hands over.
//!
//! Without systemd all of it does nothing. No message ever blocks: the watchdog is fed by the engine, and an engine
//! that waits for systemd would make a stuck systemd everybody's trouble.
//!
//! Not here: the log (see [`crate::logging`]), and systemd's directories (see [`crate::config::Surroundings`]).

use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Ticks;

/// The most sockets taken from systemd: more addresses than anyone listens on.
const SOCKETS_MAX: usize = 64;

/// The name of sockets for clients: `FileDescriptorName=clients`.
pub const CLIENTS: &str = "clients";

/// The name of sockets for HTTP: `FileDescriptorName=http`.
pub const HTTP: &str = "http";

/// A line to the service manager. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    socket: Option<Arc<UnixDatagram>>,
}

impl Notifier {
    /// To the socket that `NOTIFY_SOCKET` names; a silent one if it is not set.
    ///
    /// # Errors
    /// If it is set and nobody listens there.
    pub fn from_environment() -> io::Result<Notifier> {
        match std::env::var_os("NOTIFY_SOCKET") {
            None => Ok(Notifier::default()),
            Some(name) => Notifier::to(Path::new(&name)),
        }
    }

    /// To this socket; a name that begins with `@` is in Linux's abstract namespace.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn to(name: &Path) -> io::Result<Notifier> {
        let address = match name.as_os_str().as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { socket: Some(Arc::new(socket)) })
    }

    /// The daemon listens, and everything that was there before is there again. Also ends a reload.
    pub fn ready(&self, status: &str) {
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// Licenses and policy are being read again; [`Notifier::ready`] follows, whatever came of it.
    pub fn reloading(&self) {
        // systemd 253 and newer wants the time of it; older ones ignore it.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(_) => self.send(&[NotifyState::Reloading]),
        }
    }

    /// The daemon is stopping.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// One sentence for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&[NotifyState::Status(&one_line(status))]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(message.as_bytes()) {
            // Nothing better can be done: systemd acts on what it misses.
            tracing::debug!(%error, message, "systemd did not take a message");
        }
    }
}

/// A status cannot smuggle in a second message.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Tells systemd that the engine goes round. The engine owns it and pings from its step: a timer of its own would
/// ping on while the engine is stuck.
#[derive(Debug)]
pub struct Watchdog {
    notifier: Notifier,
    interval: Option<Duration>,
    last: Option<Ticks>,
}

impl Watchdog {
    /// As `WATCHDOG_USEC` asks for; one that does nothing if it is not set.
    pub fn from_environment(notifier: Notifier) -> Watchdog {
        match sd_notify::watchdog_enabled() {
            Some(timeout) => Watchdog::new(notifier, timeout),
            None => Watchdog { notifier, interval: None, last: None },
        }
    }

    /// One that pings twice within each `timeout`, as systemd advises.
    pub fn new(notifier: Notifier, timeout: Duration) -> Watchdog {
        Watchdog { notifier, interval: Some(timeout / 2), last: None }
    }

    /// Pings at the first call and then when half the timeout is over. Costs a comparison otherwise.
    pub fn ping_if_due(&mut self, now: Ticks) {
        if self.next_due().is_some_and(|due| now >= due) {
            self.last = Some(now);
            self.notifier.send(&[NotifyState::Watchdog]);
        }
    }

    /// When to call again at the latest; an idle engine wakes for it. `None`: never.
    pub fn next_due(&self) -> Option<Ticks> {
        let interval = self.interval?;
        Some(self.last.map_or(Ticks(0), |last| last.after(interval)))
    }
}

/// Listening sockets handed over by systemd, non-blocking. Where there are any of a kind, they stand in for the
/// configured addresses of that kind.
#[derive(Debug, Default)]
pub struct Activated {
    /// Named [`CLIENTS`], or by the socket unit's own name.
    pub clients: Vec<TcpListener>,
    /// Named [`HTTP`].
    pub http: Vec<TcpListener>,
}

/// What is wrong with what systemd handed over.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// The variables and the descriptors do not fit each other.
    #[error("the sockets handed over by systemd cannot be taken: {0}")]
    Environment(#[source] io::Error),
    /// A socket of a name we have no use for.
    #[error(
        "systemd hands over a socket named \"{0}\": set FileDescriptorName= to \"{CLIENTS}\" or \"{HTTP}\""
    )]
    Name(String),
    /// Not a TCP socket that listens.
    #[error(
        "the socket \"{name}\" handed over by systemd is not a listening TCP socket: use ListenStream= with a port"
    )]
    Kind {
        /// Its name.
        name: String,
        /// What the kernel says of it, if that was an error.
        source: Option<io::Error>,
    },
}

impl Activated {
    /// Takes what systemd handed to this process. A second call gets nothing: a descriptor has one owner.
    ///
    /// # Errors
    /// What is wrong; the daemon exits 78 with it.
    pub fn take() -> Result<Activated, ActivationError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let mut activated = Activated::default();
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Ok(activated);
        }
        // This checks that the descriptors are open and as many as their names, and closes them for child processes …
        let names: Vec<String> = sd_notify::listen_fds_with_names()
            .and_then(|sockets| match sockets.len() {
                0..=SOCKETS_MAX => Ok(sockets.map(|(_, name)| name).collect()),
                n => Err(io::Error::other(format!("{n} sockets, at most {SOCKETS_MAX}"))),
            })
            .map_err(ActivationError::Environment)?;
        if names.is_empty() {
            return Ok(activated);
        }
        // … and this makes them ours.
        let owned =
            sd_listen_fds::get().map_err(|error| ActivationError::Environment(io::Error::other(error)))?;
        for ((_, socket), name) in owned.into_iter().zip(names) {
            let listener = listening(socket.into_std())
                .map_err(|source| ActivationError::Kind { name: name.clone(), source })?;
            match name.as_str() {
                // A socket unit without FileDescriptorName= hands over its own name.
                CLIENTS | "seatkeeperd.socket" | "unknown" => activated.clients.push(listener),
                HTTP => activated.http.push(listener),
                _ => return Err(ActivationError::Name(name)),
            }
        }
        Ok(activated)
    }
}

fn listening(socket: std::os::fd::OwnedFd) -> Result<TcpListener, Option<io::Error>> {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let some = |error: rustix::io::Errno| Some(io::Error::from(error));
    let is_tcp = sockopt::socket_type(&socket).map_err(some)? == SocketType::STREAM
        && matches!(
            sockopt::socket_domain(&socket).map_err(some)?,
            AddressFamily::INET | AddressFamily::INET6
        );
    if !is_tcp || !sockopt::socket_acceptconn(&socket).map_err(some)? {
        return Err(None);
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).map_err(Some)?;
    Ok(listener)
}
