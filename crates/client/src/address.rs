//! Where servers are: `HOST:PORT[,HOST:PORT…]`, or the administrator's Unix socket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The port of a server that names none.
pub const DEFAULT_PORT: u16 = 6200;
/// The most servers, inclusive, in one list: each costs a time-out when it is gone.
pub const SERVERS_MAX: usize = 16;
/// The environment variable that names the servers, separated by commas.
pub const SERVERS_VARIABLE: &str = "SEATKEEPER_SERVER";

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A name or an IP address, and a port. IPv6 addresses are written in brackets.
    Tcp {
        /// Without brackets.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// The administrator's socket. Connecting to one is an error where there are none.
    Unix(PathBuf),
}

/// What is wrong with a server's address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Neither `HOST` nor `HOST:PORT`.
    #[error("{0:?} is not a server: write HOST:PORT, such as lic01:6200 or [2001:db8::1]:6200")]
    Malformed(String),
    /// No server at all.
    #[error("the list of servers is empty: write HOST:PORT, or several separated by commas")]
    Empty,
    /// More than [`SERVERS_MAX`].
    #[error("{0} servers are more than the {SERVERS_MAX} that a list may hold")]
    TooMany(usize),
}

impl Address {
    /// Reads a list, separated by commas; blanks around an entry do not matter.
    ///
    /// # Errors
    ///
    /// [`AddressError`]: an entry is none, or there are none or too many.
    pub fn list(text: &str) -> Result<Vec<Address>, AddressError> {
        let entries = text.split(',').map(str::trim).filter(|e| !e.is_empty());
        let list = entries.map(str::parse).collect::<Result<Vec<Address>, _>>()?;
        match list.len() {
            0 => Err(AddressError::Empty),
            n if n > SERVERS_MAX => Err(AddressError::TooMany(n)),
            _ => Ok(list),
        }
    }

    /// What [`SERVERS_VARIABLE`] names; unset or empty: the default port of this machine.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if it is set to something else.
    pub fn from_environment() -> Result<Vec<Address>, AddressError> {
        match std::env::var_os(SERVERS_VARIABLE).filter(|v| !v.is_empty()) {
            Some(value) => Address::list(&value.to_string_lossy()),
            None => Ok(vec![Address::default()]),
        }
    }
}

impl Default for Address {
    /// `127.0.0.1:6200`.
    fn default() -> Address {
        Address::Tcp { host: "127.0.0.1".to_owned(), port: DEFAULT_PORT }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(malformed)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| malformed())?;
                match port {
                    "" => (host, None),
                    port => (host, Some(port.strip_prefix(':').ok_or_else(malformed)?)),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            // `"+1".parse()` would be fine with Rust.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port > 0).ok_or_else(malformed)?
            }
            Some(_) => return Err(malformed()),
            None => DEFAULT_PORT,
        };
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(is_bad) {
            return Err(malformed());
        }
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn a_list_is_read_in_order() {
        let list = Address::list("lic01:6200, lic02 ,[2001:db8::1]:7000,[::1],").unwrap();
        assert_eq!(
            list,
            [tcp("lic01", 6200), tcp("lic02", 6200), tcp("2001:db8::1", 7000), tcp("::1", 6200)]
        );
        assert_eq!(list[2].to_string(), "[2001:db8::1]:7000");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for bad in [":6200", "a:0", "a:65536", "a:+1", "a:", "::1", "6200@a", "[::1", "[a]:1", "a b:1", "a/b"]
        {
            assert_eq!(Address::list(bad), Err(AddressError::Malformed(bad.to_owned())), "{bad}");
        }
        assert_eq!(Address::list(" , "), Err(AddressError::Empty));
        assert_eq!(Address::list(&"a,".repeat(17)), Err(AddressError::TooMany(17)));
    }
}
