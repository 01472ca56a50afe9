//! Who gets in over HTTP, and who sees what (S84).
//!
//! On a loopback address everybody on this machine gets in, and nobody else: a web page that a browser here shows could
//! reach it under a name of its own (DNS rebinding), so the request must be addressed to this machine by number or as
//! `localhost`. On any other address, and wherever one is set, a token is asked for. What a reader who is in may see is the
//! setting `readers`.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::warn;

use crate::config::Readers;
use crate::server::connection::Origin;

/// The shortest token: 16 random characters of base64 are 96 bits.
const TOKEN_BYTES_MIN: usize = 16;
/// The largest file read for one.
const FILE_BYTES_MAX: u64 = 4_096;

/// Who gets in, and what he sees.
pub struct Access {
    /// The token's hash: compared whole, however much of it is right.
    token: Option<[u8; 32]>,
    readers: Readers,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("token", &self.token.map(|_| "…"))
            .field("readers", &self.readers)
            .finish()
    }
}

/// Why there is no token to ask for.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("{}: http_token_file cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no good token in it.
    #[error(
        "{}: the first line is to be a token of {TOKEN_BYTES_MIN} visible ASCII characters at least, such as \
         `openssl rand -base64 24` prints",
        path.display()
    )]
    NoToken {
        /// Which.
        path: PathBuf,
    },
}

/// Why somebody does not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// No token, or a wrong one.
    NoToken,
    /// The request is addressed to a name that is not this machine's.
    OtherHost,
}

impl Access {
    /// Reads the token, where one is set.
    ///
    /// # Errors
    /// There is none in the file.
    pub fn read(token_file: Option<&Path>, readers: Readers) -> Result<Access, AccessError> {
        let token = token_file.map(read_token).transpose()?;
        Ok(Access { token, readers })
    }

    /// Whether a token is asked for.
    pub fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether a request may come in.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        match self.token {
            Some(expected) => {
                let stated = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = stated.and_then(|stated| stated.split_once(' '));
                let is_right = token.is_some_and(|(scheme, token)| {
                    scheme.eq_ignore_ascii_case("bearer") && hash(token.trim().as_bytes()) == expected
                });
                if is_right { Ok(()) } else { Err(Stranger::NoToken) }
            }
            None => {
                // HTTP/1.0 may leave it out; no browser does.
                let host = headers.get(header::HOST).map(|value| value.to_str().unwrap_or("?"));
                if host.is_none_or(is_this_machine) { Ok(()) } else { Err(Stranger::OtherHost) }
            }
        }
    }

    /// A reader who is in, as reports know him.
    pub(super) fn reader(&self) -> Origin {
        let sees_all = crate::server::sees_all(self.readers);
        Origin { address: None, admin: None, sees_all, sees_counts: !matches!(self.readers, Readers::Admin) }
    }
}

/// `HOST` or `HOST:PORT`, where HOST is an address or `localhost`.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split_once(']').is_some_and(|(address, _)| is_address(address)),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || is_address(name)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn read_token(path: &Path) -> Result<[u8; 32], AccessError> {
    let unreadable = |source| AccessError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o004 != 0 {
        warn!(path = %path.display(), "everybody on this machine can read the token for HTTP: chmod o-r it");
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let token = text.lines().next().unwrap_or("").trim();
    if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AccessError::NoToken { path: path.to_owned() });
    }
    Ok(hash(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn without_a_token_a_request_must_be_addressed_to_this_machine() {
        let access = Access::read(None, Readers::All).unwrap();
        let admit = |host: &str| access.admit(&headers(header::HOST, host));
        for host in
            ["127.0.0.1:6199", "127.0.0.1", "localhost:6199", "LocalHost", "[::1]:6199", "10.0.0.7:80"]
        {
            assert_eq!(admit(host), Ok(()), "{host}");
        }
        for host in ["evil.example:6199", "localhost.evil.example", "[evil]:1", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(admit(host), Err(Stranger::OtherHost), "{host}");
        }
        assert_eq!(access.admit(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn a_token_is_presented_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "correct-horse-battery\nnote\n").unwrap();
        let access = Access::read(Some(&path), Readers::Counts).unwrap();
        let admit = |value: &str| access.admit(&headers(header::AUTHORIZATION, value));
        assert_eq!(admit("Bearer correct-horse-battery"), Ok(()));
        assert_eq!(admit("bearer  correct-horse-battery "), Ok(()));
        for wrong in
            ["Bearer correct-horse-batter", "Basic correct-horse-battery", "correct-horse-battery", "Bearer"]
        {
            assert_eq!(admit(wrong), Err(Stranger::NoToken), "{wrong}");
        }
        assert_eq!(access.admit(&HeaderMap::new()), Err(Stranger::NoToken));
        assert!(!format!("{access:?}").contains("horse"));
        assert!(access.reader().sees_counts && !access.reader().sees_all);
    }

    #[test]
    fn a_file_without_a_good_token_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert!(matches!(Access::read(Some(&path), Readers::All), Err(AccessError::Unreadable { .. })));
        for bad in ["", "short\n", "\ncorrect-horse-battery\n", "correct horse battery staple\n"] {
            std::fs::write(&path, bad).unwrap();
            let error = Access::read(Some(&path), Readers::All).unwrap_err();
            assert!(matches!(error, AccessError::NoToken { .. }), "{bad:?}: {error}");
        }
    }
}
