//! Which server or socket to ask, and how its refusals end a command.

use std::io;
use std::path::{Path, PathBuf};

use seatkeeper_client::{Address, CallError, ConnectError, Connection, Options, Refusal, codes, request};
use serde_json::Value;

use super::Failure;
use super::args::{Admin, FeatureName, Read};
use super::denial;
use super::here::Here;
use crate::exit;

/// Where the administrator's socket is, if nobody says: as systemd runs the daemon, and as a person does.
const ADMIN_SOCKETS: [&str; 2] = ["/run/seatkeeper/admin.sock", "state/admin.sock"];

/// The servers that `--server` or the environment names.
///
/// # Errors
///
/// 64 with what is wrong with the list.
pub fn addresses(server: Option<&str>) -> Result<Vec<Address>, Failure> {
    match server.filter(|s| !s.is_empty()) {
        Some(list) => Address::list(list).map_err(|error| Failure::new(exit::USAGE, error.to_string())),
        None => Ok(vec![Address::default()]),
    }
}

/// How this program connects.
pub fn options(servers: Vec<Address>) -> Options {
    Options::new(servers, "seatkeeper", env!("CARGO_PKG_VERSION"))
}

/// A connection for questions: the administrator's socket if named, else the first server that answers.
///
/// # Errors
///
/// 64 for a bad address, 69 where nobody answers, 77 where this user may not.
pub fn reader(read: &Read) -> Result<Connection, Failure> {
    if let Some(socket) = &read.admin {
        return open_socket(socket);
    }
    let options = options(addresses(read.server.as_deref())?);
    let mut reasons = Vec::new();
    for address in &options.servers {
        match Connection::open(address, &options, |_| {}) {
            Ok(connection) => return Ok(connection),
            Err(error @ ConnectError::Refused { .. }) => return Err(no_connection(&error)),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    let hint = "; `seatkeeper doctor` looks for the cause";
    Err(Failure::new(exit::UNAVAILABLE, format!("no license server answers: {}{hint}", reasons.join("; "))))
}

/// A connection for `why`, which is for administrators, and for others where the policy lets them: what is named, the
/// socket before the servers; else a socket in its usual place that lets this user in; else the default server.
///
/// # Errors
///
/// As [`reader`].
pub fn why_reader(admin: &Option<PathBuf>, server: Option<&str>) -> Result<Connection, Failure> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let read = |admin: Option<PathBuf>, server: Option<String>| reader(&Read { server, admin, json: false });
    if admin.is_some() || server.is_some() {
        return read(admin.clone(), server.map(str::to_owned));
    }
    if let Some(socket) = variable("SEATKEEPER_ADMIN") {
        return read(Some(PathBuf::from(socket)), None);
    }
    if let Some(server) = variable("SEATKEEPER_SERVER") {
        return read(None, Some(server.to_string_lossy().into_owned()));
    }
    let usual = ADMIN_SOCKETS.iter().find_map(|socket| open_socket(Path::new(socket)).ok());
    usual.map_or_else(|| read(None, None), Ok)
}

/// A connection for an administrator: the socket that is named, else the first that exists.
///
/// # Errors
///
/// 69 where there is none or nobody answers, 77 where this user may not.
pub fn admin(admin: &Admin) -> Result<Connection, Failure> {
    // By hand: for clap an empty variable is a usage error, for scripts it is as good as none.
    let variable = || std::env::var_os("SEATKEEPER_ADMIN").filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(socket) = admin.admin.clone().or_else(variable) {
        return open_socket(&socket);
    }
    // A directory that this user may not look into may well hold it.
    let may_exist = |p: &&&str| match Path::new(p).metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    match ADMIN_SOCKETS.iter().find(may_exist) {
        Some(socket) => open_socket(Path::new(socket)),
        None => Err(Failure::new(
            exit::UNAVAILABLE,
            format!(
                "no administrator's socket: neither {} nor {} exists; is seatkeeperd running? \
                 Name its socket with --admin or SEATKEEPER_ADMIN",
                ADMIN_SOCKETS[0], ADMIN_SOCKETS[1]
            ),
        )),
    }
}

fn open_socket(socket: &Path) -> Result<Connection, Failure> {
    let address = Address::Unix(PathBuf::from(socket));
    let options = options(vec![address.clone()]);
    Connection::open(&address, &options, |_| {}).map_err(|error| no_connection(&error))
}

fn no_connection(error: &ConnectError) -> Failure {
    match error {
        ConnectError::Connect { address: Address::Unix(path), source } => {
            let path = path.display();
            match source.kind() {
                io::ErrorKind::PermissionDenied => Failure::new(
                    exit::NOT_PERMITTED,
                    format!(
                        "{path}: you may not use the administrator's socket; be root, or in its group (`ls -l` shows it)"
                    ),
                ),
                io::ErrorKind::NotFound => Failure::new(
                    exit::UNAVAILABLE,
                    format!("{path}: no such socket; is seatkeeperd running, and is this its admin_socket?"),
                ),
                io::ErrorKind::ConnectionRefused => Failure::new(
                    exit::UNAVAILABLE,
                    format!("{path}: nobody listens; the daemon that made this socket has ended"),
                ),
                _ => Failure::new(exit::UNAVAILABLE, error.to_string()),
            }
        }
        ConnectError::Refused { refusal, .. } => refused(refusal),
        _ => Failure::new(exit::UNAVAILABLE, error.to_string()),
    }
}

/// How a call that was not granted ends the command.
pub fn no_answer(error: CallError) -> Failure {
    match error {
        CallError::Refused(refusal) => refused(&refusal),
        CallError::TimedOut(_) | CallError::Lost(_) => {
            Failure::new(exit::UNAVAILABLE, format!("the license server does not answer: {error}"))
        }
        CallError::TooLong(_) => Failure::new(exit::USAGE, error.to_string()),
        CallError::Protocol(_) => Failure::new(exit::INTERNAL, error.to_string()),
    }
}

/// How a refusal ends the command: 77 where this user may not, 70 for a fault of the server, else 75.
pub fn refused(refusal: &Refusal) -> Failure {
    Failure::new(refusal_code(refusal), denial::text(refusal, &Here::terminal()))
}

/// The exit code of a refusal.
pub fn refusal_code(refusal: &Refusal) -> u8 {
    match refusal.code.as_str() {
        codes::NOT_PERMITTED | codes::NOT_AUTHENTICATED => exit::NOT_PERMITTED,
        codes::INTERNAL => exit::INTERNAL,
        _ => exit::TEMPORARY,
    }
}

/// A whole report: its lists joined, everything else as in the first part (PROTOCOL.md 12). Members that this program does not know
/// are kept.
///
/// # Errors
///
/// As [`reader`], and 70 for a part that is no JSON object.
pub fn report(read: &Read, what: &str, feature: Option<&FeatureName>) -> Result<Value, Failure> {
    let connection = reader(read)?;
    let vendor = feature.and_then(|f| f.vendor.as_deref());
    let parts = connection.report(what, feature.map(|f| f.feature.as_str()), vendor).map_err(no_answer)?;
    connection.close();
    join(&parts).map_err(|error| Failure::new(exit::INTERNAL, format!("the server's {what} is {error}")))
}

/// Another shape of an answer than this program knows.
pub fn unreadable(what: &str, error: &serde_json::Error) -> Failure {
    Failure::new(
        exit::INTERNAL,
        format!("the server's {what} cannot be read: {error}; is the server much newer or older?"),
    )
}

fn join(parts: &[String]) -> Result<Value, String> {
    let mut whole = serde_json::Map::new();
    for (at, part) in parts.iter().enumerate() {
        let Ok(Value::Object(part)) = serde_json::from_str(part) else {
            return Err("no JSON object".to_owned());
        };
        for (name, value) in part {
            match (whole.get_mut(&name), value) {
                (Some(Value::Array(list)), Value::Array(mut more)) => list.append(&mut more),
                // A list that begins in a later part is as good as one that began in the first.
                (None, value) if at == 0 || value.is_array() => drop(whole.insert(name, value)),
                _ => {}
            }
        }
    }
    Ok(Value::Object(whole))
}

/// What `release` sends, kept here so that the words of the protocol stay in one place.
pub fn release_request(ask: &super::args::Release) -> request::Release {
    request::Release {
        session: ask.session.0,
        bar_seconds: ask.bar.and_then(|bar| u32::try_from(bar.as_secs()).ok()),
        reason: ask.reason.clone(),
        extras: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_one_report() {
        let parts = [
            r#"{"schema":1,"server":{"name":"a"},"features":[1]}"#.to_owned(),
            r#"{"schema":1,"server":{"name":"b"},"features":[2,3],"new":7}"#.to_owned(),
            r#"{"schema":1,"sessions":[4]}"#.to_owned(),
        ];
        let whole = serde_json::json!({"schema":1,"server":{"name":"a"},"features":[1,2,3],"sessions":[4]});
        assert_eq!(join(&parts), Ok(whole));
        assert!(join(&["[]".to_owned()]).is_err() && join(&["{".to_owned()]).is_err());
    }
}
