//! What happens to seats while a program works.

use std::sync::{Mutex, mpsc};

use wire::answer::Grant;

use crate::lock;

/// Something the application may want to act on. [`Client::subscribe`](crate::Client::subscribe) delivers them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The license of a session has ended. The session keeps its seats: the application decides (L39).
    Expired {
        /// Which session.
        session: u64,
        /// Its feature.
        feature: String,
        /// Unix seconds of the first moment at which the license no longer counts.
        license_ends: i64,
    },
    /// A session's seats were given away: to somebody who needed them, because they were idle (S50) or their client was gone for
    /// too long, or by an administrator (S23, S25). Seats that were asked for with [`Want::again`](crate::Want::again) are asked
    /// for anew once nothing is left of their bundle.
    GivenAway {
        /// Which session.
        session: u64,
        /// Its feature.
        feature: String,
        /// Why, a word of [`codes`](wire::codes).
        code: String,
        /// One sentence for a person: who or what took it.
        message: String,
        /// When, Unix seconds; `None`: the server does not know any more.
        at: Option<i64>,
    },
    /// Seats that were given away and had been asked for with [`Want::again`](crate::Want::again) are there anew.
    TakenAgain {
        /// The bundle that was given away.
        before: u64,
        /// What [`Seats::bundle`](crate::Seats::bundle) says from now on.
        bundle: u64,
        /// What it has.
        sessions: Vec<Grant>,
    },
    /// Seats that were given away are not there anew: a server has denied them.
    NotAgain {
        /// The bundle that was given away.
        bundle: u64,
        /// Why, a word of [`codes`](wire::codes).
        code: String,
        /// One sentence for a person.
        message: String,
        /// Whether they are asked for again, after a pause: seats may be free by then. `false`: there is no hope.
        is_final: bool,
    },
    /// The time for which seats were borrowed is over (S42): [`BorrowedSeats`](crate::BorrowedSeats) that are still open should be
    /// let go.
    BorrowEnded {
        /// The number of the borrow.
        borrow: u64,
        /// Its feature.
        feature: String,
        /// Unix seconds of the moment.
        ends_at: i64,
    },
    /// A checkout waits for seats, or has another place than before (S31). Comes while [`Client::checkout`] waits.
    ///
    /// [`Client::checkout`]: crate::Client::checkout
    Waiting {
        /// The address of the server whose queue it is.
        server: String,
        /// The number of the place, for logs.
        waiter: u64,
        /// How many came before and wait still.
        before: u64,
    },
    /// Somebody was refused a seat that this session leaves idle: it will be given away (S50).
    ///
    /// If the user is there, or does something now, say so with [`Client::report_activity`](crate::Client::report_activity): the
    /// server hears it at once and the seat stays. If not, save his work and give the seat back, or leave it to the
    /// server; [`Event::GivenAway`] tells when it is gone.
    SeatWanted {
        /// Which session.
        session: u64,
        /// Its feature.
        feature: String,
        /// Seconds from now until it is given away.
        seconds: u32,
    },
    /// Another connection has resumed a bundle of this program: its secret was used twice (S10).
    ResumedElsewhere {
        /// Which bundle.
        bundle: u64,
    },
    /// The server stops. Seats are kept, and resumed when it is back (S64).
    ShuttingDown,
    /// The connection to the server is lost; the client tries to get it back.
    Lost {
        /// Why, for a person.
        message: String,
    },
    /// No server answers, and the license says for how long to go on all the same (L65). Until then the seats are good.
    GraceBegan {
        /// Which bundle; 0: seats that were taken while no server answered.
        bundle: u64,
        /// Their features.
        features: Vec<String>,
        /// The first moment at which they are not good any more, Unix seconds.
        ends_at: i64,
    },
    /// Grace is over.
    GraceEnded {
        /// Which bundle. For seats that were taken while no server answered: the bundle that was granted now, or 0.
        bundle: u64,
        /// Their features.
        features: Vec<String>,
        /// Why, and whether there are seats.
        reason: GraceEnd,
    },
    /// No server answers and a lease has passed. The license gives grace, but not now: nobody stands for these seats any more.
    NoGrace {
        /// Which bundle.
        bundle: u64,
        /// Its features.
        features: Vec<String>,
        /// Why, for a person.
        message: String,
    },
    /// The application was too slow to read: so many events were left out here. [`Seats::sessions`](crate::Seats::sessions) says
    /// what is there.
    Missed {
        /// How many.
        count: u64,
    },
    /// The connection is back, and so is this bundle.
    Resumed {
        /// Which bundle.
        bundle: u64,
        /// What it has now.
        sessions: Vec<Grant>,
    },
}

/// How grace ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraceEnd {
    /// A server is back and has resumed or granted the seats: all is well.
    Back,
    /// The hours are over. Seats that were taken while no server answered are gone; others are resumed when the server is
    /// back, if it still has them. Until then there is no right to go on.
    Over,
    /// A server has said no. The seats are gone.
    Denied {
        /// Why, for a person.
        message: String,
    },
    /// Another server of the list answers, so the rule that allows grace does not hold: check out anew.
    Answered {
        /// Its address.
        server: String,
    },
}

/// The most events that wait for an application to read them. A flood of them takes no more memory, and a network that comes
/// and goes every second fills this in a quarter of an hour.
const UNREAD_MAX: usize = 1000;

/// Who is told what happens.
pub(crate) type Subscribers = Mutex<Vec<Subscriber>>;

/// One who is told.
pub(crate) struct Subscriber {
    sender: mpsc::SyncSender<Event>,
    missed: u64,
}

/// Somebody more is told from now on.
pub(crate) fn subscribe(subscribers: &Subscribers) -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::sync_channel(UNREAD_MAX);
    lock(subscribers).push(Subscriber { sender, missed: 0 });
    receiver
}

/// Tells everybody who still listens. Waits for nobody.
pub(crate) fn tell(subscribers: &Subscribers, event: &Event) {
    lock(subscribers).retain_mut(|subscriber| subscriber.tell(event));
}

impl Subscriber {
    /// Whether anybody listens.
    fn tell(&mut self, event: &Event) -> bool {
        if self.missed > 0 {
            match self.sender.try_send(Event::Missed { count: self.missed }) {
                Ok(()) => self.missed = 0,
                Err(mpsc::TrySendError::Full(_)) => {
                    self.missed += 1;
                    return true;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.sender.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(mpsc::TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_is_told_how_much_was_left_out() {
        let subscribers = Subscribers::default();
        let events = subscribe(&subscribers);
        (0..UNREAD_MAX + 7).for_each(|_| tell(&subscribers, &Event::ShuttingDown));
        assert_eq!(events.try_iter().filter(|event| *event == Event::ShuttingDown).count(), UNREAD_MAX);
        tell(&subscribers, &Event::ShuttingDown);
        let after: Vec<Event> = events.try_iter().collect();
        assert_eq!(after, [Event::Missed { count: 7 }, Event::ShuttingDown]);
        drop(events);
        tell(&subscribers, &Event::ShuttingDown);
        assert_eq!(lock(&subscribers).len(), 0, "nobody listens");
    }
}
