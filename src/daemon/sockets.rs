//! The sockets the daemon listens on: from systemd, or bound here (S80, S82).

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use super::Failure;
use crate::causes::with_causes;
use crate::config::{Config, Readers, is_loopback};
use crate::exit;
use crate::http::Access;
use crate::notify::Activated;

/// Descriptors kept for files, the journal and administrators (S82).
const DESCRIPTORS_ASIDE: u64 = 256;

/// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`). After a restart all
/// programs come back at once, and one that finds no room tries again only after a second.
const BACKLOG: i32 = 4_096;

/// What was bound.
pub(super) struct Sockets {
    /// Non-blocking.
    pub clients: Vec<(TcpListener, Readers)>,
    /// Non-blocking.
    pub admin: UnixListener,
    /// Where that one lies.
    pub admin_place: AdminPlace,
    /// Non-blocking, each with who comes in and sees what.
    pub http: Vec<(TcpListener, Access)>,
}

/// Where the administrator's socket lies, and which file it is.
#[derive(Debug)]
pub(super) struct AdminPlace {
    path: PathBuf,
    group: Option<u32>,
    /// Device and number of the file that was bound; `None` after [`AdminPlace::remove`].
    made: Option<(u64, u64)>,
}

/// What lies where the administrator's socket should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The one that was made.
    InPlace,
    /// Nothing.
    Gone,
    /// Something else.
    Taken,
}

/// S82: the soft limit goes up to the hard one; connections stay below it by [`DESCRIPTORS_ASIDE`].
pub(super) fn raise_descriptor_limit(wanted: u32) -> usize {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        warn!(%error, "the limit of open files cannot be raised");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = limit.saturating_sub(DESCRIPTORS_ASIDE).max(1);
    let most = u64::from(wanted).min(room);
    if most < u64::from(wanted) {
        info!(
            connections = most,
            open_files = limit,
            "fewer connections than configured: the limit of open files is lower"
        );
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// Takes systemd's sockets, else binds the configured addresses; then the admin socket.
pub(super) fn bind(config: &Config) -> Result<Sockets, Failure> {
    let activated = Activated::take().map_err(|e| Failure::new(exit::CONFIG, e.to_string()))?;
    let mut clients = Vec::new();
    if activated.clients.is_empty() {
        for address in &config.listen {
            let listener = TcpListener::bind(address)
                .and_then(|l| {
                    // The library has asked for room for 128 already; said again, this counts.
                    rustix::net::listen(&l, BACKLOG)?;
                    l.set_nonblocking(true)?;
                    Ok(l)
                })
                .map_err(|e| Failure::new(exit::UNAVAILABLE, format!("cannot listen on {address}: {e}")))?;
            clients.push(listener);
        }
    } else {
        clients = activated.clients;
    }
    let clients = clients.into_iter().map(|listener| {
        let readers = listener.local_addr().map_or(Readers::Counts, |address| config.readers_on(&address));
        (listener, readers)
    });
    let (admin_place, admin) = AdminPlace::bind(config.admin_socket.clone(), config.admin_group)?;
    let clients = clients.collect();
    Ok(Sockets { clients, admin, admin_place, http: bind_http(config, activated.http)? })
}

/// Where HTTP is answered: systemd's sockets, else the configured address; nowhere if it is off.
fn bind_http(config: &Config, activated: Vec<TcpListener>) -> Result<Vec<(TcpListener, Access)>, Failure> {
    let Some(address) = config.http else { return Ok(Vec::new()) };
    let mut listeners = activated;
    if listeners.is_empty() {
        let listener = TcpListener::bind(address).and_then(|l| l.set_nonblocking(true).map(|()| l));
        let failed = |e| {
            let text = format!("cannot answer HTTP on {address}: {e}; --http ADDR:PORT or --http off");
            Failure::new(exit::UNAVAILABLE, text)
        };
        listeners.push(listener.map_err(failed)?);
    }
    let with_access = |listener: TcpListener| {
        let address = listener.local_addr().unwrap_or(address);
        if config.http_token_file.is_none() && !is_loopback(&address) {
            let text =
                format!("systemd hands over {address} for HTTP, and no token is set: set http_token_file");
            return Err(Failure::new(exit::CONFIG, text));
        }
        let readers = config.readers_on(&address);
        let access = Access::read(config.http_token_file.as_deref(), readers)
            .map_err(|e| Failure::new(exit::CONFIG, with_causes(&e)))?;
        Ok((listener, access))
    };
    listeners.into_iter().map(with_access).collect()
}

impl AdminPlace {
    fn bind(path: PathBuf, group: Option<u32>) -> Result<(AdminPlace, UnixListener), Failure> {
        let mut place = AdminPlace { path, group, made: None };
        let listener = place.bind_again()?;
        Ok((place, listener))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What lies there now. After [`AdminPlace::remove`] nothing is missing.
    pub(super) fn look(&self) -> Look {
        match (fs::symlink_metadata(&self.path), self.made) {
            (_, None) => Look::InPlace,
            (Ok(found), Some(made)) if (found.dev(), found.ino()) == made => Look::InPlace,
            (Ok(_), _) => Look::Taken,
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Look::Gone,
            // Whatever that is, making another one would not mend it.
            (Err(_), _) => Look::InPlace,
        }
    }

    /// Makes the socket. Non-blocking.
    ///
    /// # Errors
    /// Another daemon answers there, or the system refuses.
    pub(super) fn bind_again(&mut self) -> Result<UnixListener, Failure> {
        let listener = bind_admin(&self.path, self.group)?;
        let made = fs::symlink_metadata(&self.path).map_err(|e| {
            Failure::new(exit::UNAVAILABLE, format!("{}: cannot be looked at: {e}", self.path.display()))
        })?;
        self.made = Some((made.dev(), made.ino()));
        Ok(listener)
    }

    /// Removes the socket, unless something else lies there by now.
    pub(super) fn remove(&mut self) {
        if self.look() == Look::InPlace && self.made.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// S80: a Unix socket of mode 0660 in a directory that others cannot enter.
fn bind_admin(path: &Path, group: Option<u32>) -> Result<UnixListener, Failure> {
    let failed = |what: &str, error: io::Error| {
        Failure::new(exit::UNAVAILABLE, format!("{}: {what}: {error}", path.display()))
    };
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(|e| failed("cannot make its directory", e))?;
    }
    remove_stale(path)
        .map_err(|e| failed("another daemon answers on the admin socket, or it cannot be replaced", e))?;
    let listener = UnixListener::bind(path).map_err(|e| failed("cannot listen", e))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .map_err(|e| failed("cannot set its mode", e))?;
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group).map_err(|e| failed("cannot give it to its group", e))?;
    }
    listener.set_nonblocking(true).map_err(|e| failed("cannot listen", e))?;
    Ok(listener)
}

/// A socket that a daemon left behind when it was killed is in the way; one that answers is not ours to take.
fn remove_stale(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => fs::remove_file(path),
    }
}
