//! How many update checks a client has asked in its minute (rules 3, 6.8).
//!
//! A minute begins with a client's first check, and is forgotten when it is over. What is remembered is bounded: beyond
//! [`CLIENTS_MAX`] the oldest minute is forgotten early, which lets its client ask a few times more and harms nobody.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How long is counted.
const MINUTE_MS: u64 = 60_000;
/// How many clients are remembered: about a megabyte, and more than update at once.
const CLIENTS_MAX: usize = 10_000;

/// One installation at one address. Not the address alone: a whole site may sit behind one. Not the installation alone: it is
/// what the client says of itself, and nobody else is to be kept from asking in its name.
pub(super) type Client = ([u8; 16], IpAddr);

/// The counts of all clients.
#[derive(Debug, Default)]
pub(super) struct UpdateChecks {
    minutes: Mutex<Minutes>,
}

#[derive(Debug, Default)]
struct Minutes {
    /// Of each client when its minute began, in milliseconds served, and the checks it has asked in it.
    of: HashMap<Client, (u64, u32)>,
    /// The same clients, the oldest minute first.
    in_order: VecDeque<Client>,
}

impl UpdateChecks {
    /// Counts one more check at `now`, in milliseconds served.
    ///
    /// # Errors
    /// It would be more than `most` in the client's minute: so many milliseconds of it are left, and it was not counted.
    pub(super) fn count(&self, client: Client, most: u32, now: u64) -> Result<(), u64> {
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        minutes.forget(|began, _| now.saturating_sub(began) >= MINUTE_MS);
        if let Some((began, asked)) = minutes.of.get_mut(&client) {
            if *asked >= most {
                return Err((*began + MINUTE_MS).saturating_sub(now));
            }
            *asked += 1;
            return Ok(());
        }
        minutes.forget(|_, clients| clients >= CLIENTS_MAX);
        minutes.of.insert(client, (now, 1));
        minutes.in_order.push_back(client);
        Ok(())
    }
}

impl Minutes {
    /// Forgets the oldest as long as `is_over` says so of when it began and how many there are.
    fn forget(&mut self, is_over: impl Fn(u64, usize) -> bool) {
        while let Some(client) = self.in_order.front() {
            let began = self.of.get(client).map_or(0, |(began, _)| *began);
            if !is_over(began, self.in_order.len()) {
                return;
            }
            self.of.remove(client);
            self.in_order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        (id, IpAddr::from([127, 0, 0, 1]))
    }

    #[test]
    fn the_check_after_the_last_waits_for_the_end_of_the_minute() {
        let checks = UpdateChecks::default();
        for nth in 0..60 {
            assert_eq!(checks.count(client(1), 60, nth * 10), Ok(()));
        }
        assert_eq!(checks.count(client(1), 60, 1_000), Err(59_000));
        assert_eq!(checks.count(client(1), 60, 59_999), Err(1));
        assert_eq!(checks.count(client(1), 60, 60_000), Ok(()), "a new minute");
    }

    #[test]
    fn another_installation_and_another_address_have_minutes_of_their_own() {
        let checks = UpdateChecks::default();
        assert_eq!(checks.count(client(1), 1, 0), Ok(()));
        assert_eq!(checks.count(client(2), 1, 0), Ok(()));
        assert_eq!(checks.count((client(1).0, IpAddr::from([127, 0, 0, 2])), 1, 0), Ok(()));
        assert!(checks.count(client(1), 1, 0).is_err());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_minute_goes_first() {
        let checks = UpdateChecks::default();
        let many = u32::try_from(CLIENTS_MAX).unwrap();
        for number in 0..many {
            assert_eq!(checks.count(client(number), 1, 5), Ok(()));
        }
        assert!(checks.count(client(0), 1, 6).is_err(), "a client that is known takes no room");
        for number in many..2 * many {
            assert_eq!(checks.count(client(number), 1, 7), Ok(()));
        }
        assert!(checks.count(client(many), 1, 8).is_err(), "the younger ones are remembered");
        assert_eq!(checks.count(client(0), 1, 8), Ok(()));
        let minutes = checks.minutes.lock().unwrap();
        assert_eq!((minutes.of.len(), minutes.in_order.len()), (CLIENTS_MAX, CLIENTS_MAX));
    }
}
