//! What of an event a reader may see (S84): at `counts` no users, hosts, addresses, serial numbers, files, and no
//! sentence that may name one.

use super::what::{Event, Maintenance, Seats, What, Who};
use crate::config::Readers;

impl Event {
    /// The event as this reader may see it; `None`: nothing is left to say. `All` is also who comes over the admin socket.
    #[must_use]
    pub fn redacted(&self, readers: Readers) -> Option<Event> {
        let mut event = match readers {
            Readers::All => return Some(self.clone()),
            Readers::Admin => return None,
            Readers::Counts => self.clone(),
        };
        match &mut event.what {
            What::SessionGranted(granted) => seats(&mut granted.of),
            What::SessionEnded(ended) => {
                seats(&mut ended.of);
                (ended.by, ended.reason) = (None, None);
            }
            What::SessionReduced(reduced) => seats(&mut reduced.of),
            What::SessionDenied(denied) => {
                denied.message = None;
                denied.who = Who::default();
            }
            What::QueueWaiting(waiting) => waiting.who = Who::default(),
            What::QueueEnded(ended) => ended.who = Who::default(),
            What::BorrowReturned(returned) => seats(&mut returned.of),
            What::BorrowWrittenOff(written_off) => {
                seats(&mut written_off.of);
                (written_off.by, written_off.reason) = (None, None);
            }
            What::PoolChanged(pool) => (pool.sn, pool.reason) = (None, None),
            What::PolicyRefused(refused) => refused.message = None,
            What::ServerStopping(stopping) => stopping.by = None,
            What::MaintenanceExpiringSoon(of) => maintenance(&mut of.0),
            What::MaintenanceEnded(of) => maintenance(&mut of.0),
            What::MaintenanceRenewed(of) => maintenance(&mut of.0),
            What::MaintenanceStarted(of) => maintenance(&mut of.0),
            // A file and its fault; who did what.
            What::LicensesProblem(_) | What::AdminAction(_) => return None,
            What::LicensesReloaded(_)
            | What::PolicyReloaded(_)
            | What::DayServed(_)
            | What::ClockChanged(_)
            | What::ServerStarted(_) => {}
        }
        Some(event)
    }
}

fn seats(of: &mut Seats) {
    of.sn = None;
    of.who = Who::default();
}

fn maintenance(of: &mut Maintenance) {
    (of.sn, of.text) = (None, None);
}
