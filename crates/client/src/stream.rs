//! A byte stream to a server, whatever it runs over.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::address::Address;
use crate::error::ConnectError;

/// A connected socket whose handles can be used by two threads.
pub(crate) trait Stream: Read + Write + Send + Sync {
    /// Another handle to the same socket.
    fn another(&self) -> io::Result<Box<dyn Stream>>;
    /// How long one write may take.
    fn limit_writes(&self, timeout: Duration) -> io::Result<()>;
    /// Ends both directions; a thread that reads wakes up.
    fn end(&self);
}

impl Stream for TcpStream {
    fn another(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }

    fn limit_writes(&self, timeout: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(timeout))
    }

    fn end(&self) {
        // It may have ended already.
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Connects within `timeout` for each address that the name has.
pub(crate) fn connect(address: &Address, timeout: Duration) -> Result<Box<dyn Stream>, ConnectError> {
    match address {
        Address::Tcp { host, port } => {
            let lookup = |source| ConnectError::Lookup { address: address.clone(), source };
            let found = (host.as_str(), *port).to_socket_addrs().map_err(lookup)?;
            let mut last = None;
            for socket_address in found {
                match TcpStream::connect_timeout(&socket_address, timeout) {
                    Ok(stream) => {
                        // Small frames, each awaited: waiting to fill a packet only costs time.
                        let _ = stream.set_nodelay(true);
                        return Ok(Box::new(stream));
                    }
                    Err(error) => last = Some(error),
                }
            }
            match last {
                Some(source) => Err(ConnectError::Connect { address: address.clone(), source }),
                None => Err(lookup(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
            }
        }
        #[cfg(unix)]
        Address::Unix(path) => crate::unix::connect(path)
            .map_err(|source| ConnectError::Connect { address: address.clone(), source }),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(ConnectError::Connect {
            address: address.clone(),
            source: io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets on this system"),
        }),
    }
}
