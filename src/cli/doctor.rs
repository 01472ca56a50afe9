//! `doctor`: name, TCP, protocol and licenses, each apart, with what is wrong and what to do.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use seatkeeper_client::{Address, CallError, ConnectError, Connection, codes};
use serde::Serialize;

use super::Failure;
use super::args::Doctor;
use super::server;
use super::table::wrap;
use crate::exit;
use crate::report::{SCHEMA, Status};

/// How long one address may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    server: String,
    /// `name`, `tcp`, `protocol` or `licenses`.
    check: &'static str,
    verdict: Verdict,
    message: String,
}

#[derive(Serialize)]
struct Findings {
    schema: u32,
    checks: Vec<Check>,
}

/// `seatkeeper doctor`. Returns 0 if every server serves, else 69.
///
/// # Errors
///
/// 64 for an address that is none.
pub fn doctor(ask: &Doctor, out: &mut impl Write) -> Result<u8, Failure> {
    let mut checks = Vec::new();
    for address in server::addresses(ask.server.as_deref())? {
        let mut add = |check, verdict, message: String| {
            checks.push(Check { server: address.to_string(), check, verdict, message });
        };
        if let Err((check, message)) = examine(&address, &mut add) {
            add(check, Verdict::Failed, message);
        }
    }
    let code = if checks.iter().any(|c| c.verdict == Verdict::Failed) { exit::UNAVAILABLE } else { exit::OK };
    if ask.json {
        let text = serde_json::to_string_pretty(&Findings { schema: SCHEMA, checks })
            .map_err(|e| Failure::new(exit::INTERNAL, e.to_string()))?;
        writeln!(out, "{text}")?;
        return Ok(code);
    }
    let mut last = String::new();
    for check in checks {
        if check.server != last {
            writeln!(out, "{}", check.server)?;
            last.clone_from(&check.server);
        }
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "look",
            Verdict::Failed => "FAILED",
        };
        let line = format!("{verdict:<7}{:<9} {}", check.check, check.message);
        // Blanks of the columns stay: only what follows them is wrapped.
        let (head, message) = line.split_at(17);
        let wrapped = wrap(message, 19, 19);
        writeln!(out, "  {head}{}", wrapped.trim_start().trim_end())?;
    }
    Ok(code)
}

type Added<'a> = dyn FnMut(&'static str, Verdict, String) + 'a;

/// Each step that succeeds is added; the first that does not ends it.
fn examine(address: &Address, add: &mut Added<'_>) -> Result<(), (&'static str, String)> {
    let Address::Tcp { host, port } = address else { return Ok(()) };
    let found: Vec<SocketAddr> = match (host.as_str(), *port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            let todo = "check the spelling, or write the server's IP address";
            return Err(("name", format!("{host} cannot be looked up: {error}; {todo}")));
        }
    };
    let list: Vec<String> = found.iter().map(|a| a.ip().to_string()).collect();
    if list.is_empty() {
        return Err(("name", format!("{host} has no address; ask who runs your DNS")));
    }
    add("name", Verdict::Ok, format!("{host} is {}", list.join(", ")));
    let mut reached = 0;
    for at in &found {
        match TcpStream::connect_timeout(at, CONNECT_TIMEOUT) {
            Ok(_) => {
                reached += 1;
                add("tcp", Verdict::Ok, format!("{at} accepts connections"));
            }
            // Clients try the next address; that costs them time.
            Err(error) => add("tcp", Verdict::Warning, format!("{at}: {}", tcp_advice(&error, *port))),
        }
    }
    if reached == 0 {
        return Err(("tcp", "no address of the server can be reached".to_owned()));
    }
    let options = server::options(vec![address.clone()]);
    let connection =
        Connection::open(address, &options, |_| {}).map_err(|e| ("protocol", protocol_advice(&e)))?;
    let hello = connection.hello();
    let who =
        format!("{}, seatkeeperd {}, protocol {}", hello.server_name, hello.server_version, hello.version);
    add("protocol", Verdict::Ok, who);
    licenses(&connection, add)
}

fn tcp_advice(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "refused: nobody listens on port {port} there; is seatkeeperd running, and does its `listen` name an \
             address that is reached from here? By default it serves its own machine only"
        ),
        io::ErrorKind::TimedOut => format!(
            "no answer within {CONNECT_TIMEOUT:?}: the machine is off, or a firewall drops port {port}; one TCP port is all \
             that is needed"
        ),
        _ => format!("{error}; look at routes and firewalls on the way"),
    }
}

fn protocol_advice(error: &ConnectError) -> String {
    match error {
        ConnectError::Silent { timeout, .. } => {
            format!(
                "connected, but nothing was said within {timeout:?}: another service, or a server that hangs"
            )
        }
        ConnectError::Protocol { what, .. } => {
            format!("another service answers on this port ({what}); check the port")
        }
        ConnectError::Ended { what, .. } => {
            format!(
                "the connection ended before the hello ({what}): another service, or a proxy that cuts it"
            )
        }
        ConnectError::Refused { refusal, .. } => match refusal.code.as_str() {
            codes::BUSY => {
                format!("the server has too many connections: {}; raise its limits", refusal.message)
            }
            codes::CLIENT_TOO_OLD => format!("{}; update this program", refusal.message),
            codes::SERVER_TOO_OLD => format!("{}; update the server", refusal.message),
            _ => refusal.to_string(),
        },
        ConnectError::Lookup { .. } | ConnectError::Connect { .. } => error.to_string(),
    }
}

fn licenses(connection: &Connection, add: &mut Added<'_>) -> Result<(), (&'static str, String)> {
    let parts = match connection.report("status", None, None) {
        Ok(parts) => parts,
        Err(CallError::Refused(refusal)) => {
            add("licenses", Verdict::Warning, format!("not told to this reader: {refusal}"));
            return Ok(());
        }
        Err(error) => return Err(("licenses", error.to_string())),
    };
    let (mut features, mut serving, mut problems, mut is_told) = (0, 0, 0, false);
    for part in parts {
        let part: Status = serde_json::from_str(&part).map_err(|e| ("licenses", e.to_string()))?;
        is_told |= part.features.is_some();
        for feature in part.features.into_iter().flatten() {
            features += 1;
            serving += usize::from(feature.unlimited || feature.total > Some(0));
        }
        problems += part.problems.map_or(0, |list| list.len());
    }
    let (verdict, message) = match (is_told, serving, problems) {
        (false, ..) => {
            (Verdict::Warning, "not told to this reader; use `seatkeeper status --admin`".to_owned())
        }
        (true, 0, _) => (
            Verdict::Warning,
            format!("{features} features, none with seats today; `seatkeeper licenses` says why"),
        ),
        (true, _, 0) => (Verdict::Ok, format!("{serving} of {features} features have seats today")),
        (true, ..) => (
            Verdict::Warning,
            format!(
                "{serving} of {features} features have seats today; {problems} problems, see `seatkeeper status`"
            ),
        ),
    };
    add("licenses", verdict, message);
    Ok(())
}
