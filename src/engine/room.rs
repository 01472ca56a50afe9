//! What the engine does when the journal has no room: new checkouts, waits and bookings are refused, everything else
//! goes on in what is left (S60). The journal knows whether there is room; who asks for some is known here.

use seats::denial::Code;
use tracing::{error, info};

use super::ask::Answer;
use super::{Engine, deny};
use crate::journal::Disk;

impl<D: Disk> Engine<D> {
    /// Why nothing new is taken: the journal cannot set its next segment aside. `None`: there is room.
    pub(super) fn no_room(&self) -> Option<Answer> {
        self.journal.is_low().map(|cause| {
            let text = format!(
                "the server cannot set aside more room for its journal ({cause}): no new checkouts until that is mended"
            );
            deny(Code::Internal, text)
        })
    }

    /// Says once that there is no room, and once that there is again, whether or not somebody asks for a seat meanwhile.
    pub(super) fn watch_room(&mut self) {
        match self.journal.is_low() {
            Some(cause) if !self.is_short_of_room => {
                let left = self.journal.room();
                error!(
                    %cause, left,
                    "no room for the journal: checkouts are refused, checkins go on in what is left; make room, then \
                     checkouts go on by themselves"
                );
                self.is_short_of_room = true;
            }
            None if self.is_short_of_room => {
                info!("there is room for the journal again: checkouts go on");
                self.is_short_of_room = false;
            }
            _ => {}
        }
    }
}
