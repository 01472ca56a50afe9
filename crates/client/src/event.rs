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
    /// A session lost its seats: to somebody who needed them, because they were idle (S50), or to an administrator (S23, S25).
    SessionEnded {
        /// Which session.
        session: u64,
        /// Why, a word of [`codes`](wire::codes).
        code: String,
        /// One sentence for a person: who or what took it.
        message: String,
        /// When, Unix seconds; `None`: the server does not know any more.
        at: Option<i64>,
    },
    /// Somebody was refused a seat that this session leaves idle: it will be given away (S50).
    ///
    /// If the user is there, or does something now, say so with [`Client::report_activity`](crate::Client::report_activity): the
    /// server hears it at once and the seat stays. If not, save his work and give the seat back, or leave it to the
    /// server; [`Event::SessionEnded`] tells when it is gone.
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
    Stopping,
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

/// Who is told what happens.
pub(crate) type Subscribers = Mutex<Vec<mpsc::Sender<Event>>>;

/// Tells everybody who still listens.
pub(crate) fn tell(subscribers: &Subscribers, event: &Event) {
    lock(subscribers).retain(|subscriber| subscriber.send(event.clone()).is_ok());
}
