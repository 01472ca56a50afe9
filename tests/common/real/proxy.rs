//! A bad network: it passes bytes on until it cuts, resets, stalls, loses answers, or delivers requests late.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// What can happen to a connection, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both directions are closed.
    Cut,
    /// As if a machine on the way had forgotten the connection.
    Reset,
    /// Nothing passes for a while, then everything.
    Stall(Duration),
    /// What comes from the server is lost from here on.
    Deaf,
    /// What comes from the client waits until it has given the connection up, and so long; then the server reads it.
    Late(Duration),
}

/// How many faults of each kind there were: cuts, resets, stalls, lost answers, late requests.
pub type Tally = [usize; 5];

/// Between clients and a server. Dropped, it takes no more connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Mutex<SocketAddr>,
    random: Mutex<Box<dyn FnMut() -> u64 + Send>>,
    is_wild: AtomicBool,
    is_shut: AtomicBool,
    is_deaf: AtomicBool,
    is_over: AtomicBool,
    tally: [AtomicUsize; 5],
    /// To cut what lives.
    live: Mutex<Vec<Weak<Pair>>>,
}

/// The two sockets of a connection. Closed when both directions are through.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

/// One direction of a connection.
struct Pump {
    pair: Arc<Pair>,
    is_back: bool,
    /// After so many bytes.
    fault: Option<(usize, Fault)>,
    /// Held during a stall.
    gate: Arc<Mutex<()>>,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before `upstream`, calm to begin with. What happens is drawn from `bits`.
    pub fn start(upstream: SocketAddr, bits: impl FnMut() -> u64 + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            random: Mutex::new(Box::new(bits)),
            is_wild: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            tally: Default::default(),
            live: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    accepting.serve(client);
                }
            }
        });
        Proxy { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go.
    pub fn redirect(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = upstream;
    }

    /// From here on each new connection has a fault at a random byte, or no connection has one any more.
    pub fn set_wild(&self, is_wild: bool) {
        self.shared.is_wild.store(is_wild, Ordering::SeqCst);
    }

    /// Whether new connections are closed at once, as if nobody were behind this.
    pub fn set_shut(&self, is_shut: bool) {
        self.shared.is_shut.store(is_shut, Ordering::SeqCst);
    }

    /// Whether all that comes from the server after a hello is lost.
    pub fn set_deaf(&self, is_deaf: bool) {
        self.shared.is_deaf.store(is_deaf, Ordering::SeqCst);
    }

    /// Cuts every connection there is.
    pub fn cut_all(&self) {
        lock(&self.shared.live).drain(..).filter_map(|pair| pair.upgrade()).for_each(|pair| pair.end());
    }

    pub fn tally(&self) -> Tally {
        std::array::from_fn(|at| self.shared.tally[at].load(Ordering::SeqCst))
    }

    pub fn faults(&self) -> usize {
        self.tally().iter().sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
        self.cut_all();
    }
}

impl Shared {
    fn serve(self: &Arc<Shared>, client: TcpStream) {
        if self.is_shut.load(Ordering::SeqCst) {
            return;
        }
        let upstream = *lock(&self.upstream);
        // Who cannot be reached closes: the client sees the end.
        let Ok(server) = TcpStream::connect(upstream) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let pair = Arc::new(Pair { client, server });
        {
            let mut live = lock(&self.live);
            live.retain(|pair| pair.strong_count() > 0);
            live.push(Arc::downgrade(&pair));
        }
        let mut faults = [None, None];
        if self.is_wild.load(Ordering::SeqCst) {
            let (is_back, after, fault) = self.draw();
            faults[usize::from(is_back)] = Some((after, fault));
        }
        let gate = Arc::new(Mutex::new(()));
        for (is_back, fault) in [(false, faults[0]), (true, faults[1])] {
            let (pair, gate, shared) = (Arc::clone(&pair), Arc::clone(&gate), Arc::clone(self));
            let pump = Pump { pair, is_back, fault, gate, shared };
            thread::spawn(move || pump.run());
        }
    }

    /// Whether on the way back, after so many bytes, and what.
    fn draw(&self) -> (bool, usize, Fault) {
        let mut bits = lock(&self.random);
        let mut below = |most: u64| bits() % most;
        let after = usize::try_from(below(700)).expect("small");
        let so_long = Duration::from_millis(below(900));
        let fault = match below(5) {
            0 => Fault::Cut,
            1 => Fault::Reset,
            2 => Fault::Stall(so_long),
            3 => Fault::Deaf,
            _ => Fault::Late(so_long),
        };
        let is_back = match fault {
            Fault::Deaf => true,
            Fault::Late(_) => false,
            _ => below(2) == 0,
        };
        (is_back, after, fault)
    }

    fn count(&self, fault: Fault) {
        let at = match fault {
            Fault::Cut => 0,
            Fault::Reset => 1,
            Fault::Stall(_) => 2,
            Fault::Deaf => 3,
            Fault::Late(_) => 4,
        };
        self.tally[at].fetch_add(1, Ordering::SeqCst);
    }
}

impl Pump {
    fn run(mut self) {
        let pair = Arc::clone(&self.pair);
        let (mut from, mut to) = (&pair.client, &pair.server);
        if self.is_back {
            std::mem::swap(&mut from, &mut to);
        }
        let mut buffer = [0; 4096];
        let mut passed = 0;
        while let Ok(read) = from.read(&mut buffer) {
            if read == 0 {
                break;
            }
            let mut bytes = &buffer[..read];
            drop(lock(&self.gate));
            if self.is_back && passed > 0 && self.shared.is_deaf.load(Ordering::SeqCst) {
                while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
                return;
            }
            let due = self.fault.filter(|(after, _)| passed + read > *after);
            if let Some((after, fault)) = due.filter(|_| self.shared.is_wild.load(Ordering::SeqCst)) {
                let before = after.saturating_sub(passed).min(read);
                if to.write_all(&bytes[..before]).is_err() {
                    break;
                }
                bytes = &bytes[before..];
                self.shared.count(fault);
                self.fault = None;
                match fault {
                    Fault::Cut => return pair.end(),
                    Fault::Reset => return pair.reset(),
                    Fault::Stall(so_long) => {
                        // This one lives on: something else will happen to it.
                        let next = std::iter::repeat_with(|| self.shared.draw());
                        let (_, more, fault) = next
                            .into_iter()
                            .find(|(is_back, ..)| *is_back == self.is_back)
                            .unwrap_or_else(|| unreachable!("draws never end"));
                        self.fault = Some((passed + before + more, fault));
                        let _held = lock(&self.gate);
                        thread::sleep(so_long);
                    }
                    Fault::Deaf => {
                        while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
                        return;
                    }
                    Fault::Late(so_long) => {
                        let mut kept = bytes.to_vec();
                        // An error is an end too.
                        let _ = from.read_to_end(&mut kept);
                        thread::sleep(so_long);
                        let _ = to.write_all(&kept);
                        break;
                    }
                }
            }
            if to.write_all(bytes).is_err() {
                break;
            }
            passed += read;
        }
        // As a network does: what was sent before is delivered, then the end.
        let _ = to.shutdown(Shutdown::Write);
    }
}

impl Pair {
    fn end(&self) {
        // It may have ended already.
        let _ = (self.client.shutdown(Shutdown::Both), self.server.shutdown(Shutdown::Both));
    }

    fn reset(&self) {
        for stream in [&self.client, &self.server] {
            // Closing resets it; the other direction wakes and lets go.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
