//! Seats for a computer that will be offline (S40 to S42).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use seatkeeper_client::{Client, Options, Taken, Want};
//!
//! let mut options = Options::from_environment("acme-cad", "4.2")?;
//! // In an application: include_str!("acme-2026.pub")
//! let vendor = "seatkeeper-vendor-key ed25519 acme-2026 ACME ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=";
//! options.vendor_keys.push(vendor.parse()?);
//! let client = Client::new(options);
//!
//! // In the office, for a journey of two days:
//! for seat in client.borrow(Want::feature("cad").version("4.2"), 48)? {
//!     println!("{} until {}", seat.feature, seat.ends_at);
//! }
//! // On the journey, and at home: the borrowed seat if there is one, else a server's.
//! match client.take(Want::feature("cad").version("4.2"))? {
//!     Taken::Borrowed(seats) => println!("offline until {}", seats.ends_at()),
//!     Taken::Online(seats) => println!("{:?}", seats.sessions()),
//! }
//! // Back early:
//! for seat in client.borrowed()? {
//!     client.give_back(&seat)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::checkout`] asks servers and nobody else, whatever is borrowed. [`Client::open_borrowed`] asks no server. An
//! application that offers borrowing calls [`Client::take`]: it uses what is borrowed first, so that nobody takes a second seat
//! while the borrowed one lies idle, and nobody waits for servers that cannot be reached.
//!
//! **Verified each time**, from nothing but [`Options::vendor_keys`](crate::Options::vendor_keys), the files beside the install
//! id, and the clock: [`NotValid`] lists what can be wrong. Count, user, installation, hours and days are held against what
//! vendor and server signed; seats that other programs of this user have open count.
//!
//! **The release that runs now** is judged as a server would judge it (rules 3, 6.12), by the license and the renewals that the
//! token carries: an upgrade that is installed on the journey runs if maintenance covers it, and is refused with the server's
//! sentence if not. The vendor's release list stays with the server, so offline the dates count that the program states.
//!
//! **The clock.** The latest moment that was seen is kept. A token is refused while the clock stands more than five minutes
//! before it, or before its own grant; what was seen to be over stays over. A borrow from a server sets right what a wrong clock
//! had left.
//!
//! What it does not do: keep the owner of a computer from lying to it. Whoever can write these files and set the clock can put
//! both back; the vendor's bound is the end that the server signed, and that each new token needs a server.

mod error;
mod form;
mod keys;
mod online;
mod record;
mod release;
mod seats;
mod store;
mod terms;
#[cfg(test)]
mod tests;
mod verify;

pub use error::{BorrowError, OpenError, ReturnError};
pub use keys::{VendorKey, VendorKeyError};
pub use seats::BorrowedSeats;
pub use verify::NotValid;

use crate::client::{Client, Want};
use crate::error::CheckoutError;
use crate::seats::Seats;
use online::Online;
use record::{Kept, Record, State};
use store::Store;

/// One borrow that is kept on this computer. What it says is not verified: [`Client::open_borrowed`] does that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Borrowed {
    /// Its number, by which administrators know it.
    pub borrow: u64,
    /// Who sells the feature.
    pub vendor: String,
    /// Which feature.
    pub feature: String,
    /// How many seats.
    pub count: u32,
    /// The user it was lent to.
    pub user: String,
    /// The host it was lent to.
    pub host: String,
    /// When it was lent, Unix seconds by the server's clock.
    pub granted_at: i64,
    /// The first moment at which it is over, Unix seconds.
    pub ends_at: i64,
    /// The server that lent it.
    pub server: String,
    /// It is being given back, and not known whether the server has heard it: it is good for nothing but giving it back again.
    pub is_returning: bool,
    /// The request it came of.
    key: [u8; 16],
}

/// What [`Client::take`] took.
pub enum Taken {
    /// Seats that had been borrowed. No server was asked.
    Borrowed(BorrowedSeats),
    /// Seats from a server.
    Online(Seats),
}

impl Client {
    /// Borrows seats for so many hours, 1 to 8760: one borrow for each feature, all of them or none. They are kept beside the
    /// install id, and good for this user and installation only, in this process and in later ones.
    ///
    /// The next server of the list is tried as in a checkout (S26). A borrow that was asked for and never answered is asked for
    /// again, not twice. [`Want::wait`] and [`Want::again`] do not count here.
    ///
    /// Without [`Options::vendor_keys`](crate::Options::vendor_keys) what the server lends is kept unverified; it cannot be opened
    /// without them.
    ///
    /// # Errors
    ///
    /// [`BorrowError`]. Nothing was borrowed then, but for [`BorrowError::InDoubt`].
    pub fn borrow(&self, want: Want, hours: u32) -> Result<Vec<Borrowed>, BorrowError> {
        let store = self.borrows().ok_or_else(|| BorrowError::Store(NO_DIRECTORY.to_owned()))?;
        let (online, want) = (self.online(&store), want.completed(self.options.release.as_ref()));
        store.turn(|| online.lend(&want, hours)).map_err(BorrowError::Store)?
    }

    /// What is borrowed and kept here, over or not, in no particular order. Asks no server.
    ///
    /// # Errors
    ///
    /// A sentence: it cannot be read, or a part of it is damaged.
    pub fn borrowed(&self) -> Result<Vec<Borrowed>, OpenError> {
        let Some(store) = self.borrows() else { return Ok(Vec::new()) };
        let (records, faults) = store.list().map_err(OpenError::Store)?;
        let borrowed: Vec<Borrowed> = records.iter().flat_map(Borrowed::all_of).collect();
        match faults.into_iter().next() {
            // What can be read is more useful than what cannot.
            Some(fault) if borrowed.is_empty() => Err(OpenError::Store(fault)),
            _ => Ok(borrowed),
        }
    }

    /// Gives seats back before their end (S42): they are free at once. Works on any server of the list that shows the key of the
    /// one that lent them, and again after an attempt whose answer was lost. The seats cannot be opened any more once the server
    /// has been told, whether or not it has answered.
    ///
    /// # Errors
    ///
    /// [`ReturnError`].
    pub fn give_back(&self, borrowed: &Borrowed) -> Result<(), ReturnError> {
        let store =
            self.borrows().ok_or_else(|| ReturnError::NotKept { feature: borrowed.feature.clone() })?;
        let online = self.online(&store);
        store.turn(|| online.give_back(borrowed)).map_err(ReturnError::Store)?
    }

    /// Gives up borrows that were asked for and never answered: a server may have lent seats that nobody knows of. Returns how
    /// many there were. [`Client::borrow`] does this too, as far as servers answer.
    ///
    /// # Errors
    ///
    /// [`ReturnError`] of the first that could not be given up now; the others are.
    pub fn cancel_unanswered_borrows(&self) -> Result<usize, ReturnError> {
        let Some(store) = self.borrows() else { return Ok(0) };
        let online = self.online(&store);
        let cancel = || {
            let (records, _) = store.list().map_err(ReturnError::Store)?;
            let asked: Vec<Record> = records.into_iter().filter(|r| r.state == State::Asked).collect();
            let mut first = Ok(asked.len());
            for record in &asked {
                if let Err(error) = online.cancel(record) {
                    first = first.and(Err(error));
                }
            }
            first
        };
        // A look without the lock first: it needs a directory that can be written.
        let (records, _) = store.list().map_err(ReturnError::Store)?;
        if records.iter().all(|record| record.state != State::Asked) {
            return Ok(0);
        }
        store.turn(cancel).map_err(ReturnError::Store)?
    }

    /// Opens borrowed seats, all that are asked for or none, after verifying them. Asks no server. Every feature needs a borrow
    /// with as many seats left as it wants; of several the one that ends last is used.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_borrowed(&self, want: &Want) -> Result<BorrowedSeats, OpenError> {
        seats::open(self, &want.clone().completed(self.options.release.as_ref()))
    }

    /// The borrowed seats if there are some for everything that is wanted, else those of a server.
    ///
    /// # Errors
    ///
    /// [`CheckoutError`]. Where no server answers, its reasons end with what is wrong with the seats that are borrowed.
    pub fn take(&self, want: Want) -> Result<Taken, CheckoutError> {
        let not_open = match self.open_borrowed(&want) {
            Ok(seats) => return Ok(Taken::Borrowed(seats)),
            Err(error) => error,
        };
        match self.checkout(want) {
            Ok(seats) => Ok(Taken::Online(seats)),
            Err(CheckoutError::NoServer(mut reasons)) => {
                reasons.push(not_open.to_string());
                Err(CheckoutError::NoServer(reasons))
            }
            Err(error) => Err(error),
        }
    }

    fn borrows(&self) -> Option<Store> {
        self.options.borrow_directory.as_deref().map(Store::new)
    }

    fn online<'a>(&'a self, store: &'a Store) -> Online<'a> {
        Online { options: &self.options, store, clock: &**self.grace.clock() }
    }
}

const NO_DIRECTORY: &str = "there is no directory in which a borrowed seat could be kept: this user has no home directory, and \
                            the program names none";

impl Borrowed {
    fn all_of(record: &Record) -> impl Iterator<Item = Borrowed> {
        record.tokens.iter().map(|kept| Borrowed::of(record, kept))
    }

    fn of(record: &Record, kept: &Kept) -> Borrowed {
        let lent = &kept.token.lent;
        Borrowed {
            borrow: lent.borrow,
            vendor: lent.vendor.clone(),
            feature: lent.feature.clone(),
            count: lent.count,
            user: lent.user.clone(),
            host: lent.host.clone(),
            granted_at: lent.granted_at,
            ends_at: lent.ends_at,
            server: record.server.to_string(),
            is_returning: kept.is_returning,
            key: record.checkout.request_key,
        }
    }
}
