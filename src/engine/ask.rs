//! What the engine is asked, and what it tells: plain values and callbacks, no bytes and no sockets.

use std::fmt;
use std::sync::Arc;

use seats::catalog::Catalog;
use seats::change::{BundleId, SessionId, Tick};
use seats::denial::{Denial, Numbers};
use seats::evaluate::Total;
pub use seats::ledger::ConnectionId;
use seats::ledger::{BorrowView, Explanation, GrantView, SessionView, UpdateAnswer, UpdateQuestion};
use seats::license::Name;
use seats::policy::Policy;
use seats::request::{Checkout, Facts, Item};

use super::picture::Picture;

/// Where a connection's outputs go. The engine calls it after the sync that makes them true (S60), from its
/// own thread: none of these may block.
pub trait Outbox: Send + Sync + fmt::Debug {
    /// Which connection.
    fn id(&self) -> ConnectionId;
    /// When it was last heard. Heartbeats write it without passing through the engine (S12).
    fn heard(&self) -> Tick;
    /// For how many milliseconds its user has done nothing at that tick, as its client reports with its heartbeats; `None`:
    /// it reports nothing.
    fn idle_ms(&self, now: Tick) -> Option<u64>;
    /// Who it is, where it came over the admin socket (S80).
    fn admin(&self) -> Option<&str> {
        None
    }
    /// Adds the answer to a call.
    fn answer(&self, call: u32, answer: &Answer);
    /// Adds an event.
    fn event(&self, event: &Event);
    /// The number of sessions the connection holds after this batch. Called before the batch's first output for it
    /// is added: whoever has read an answer must not be told a count from before it.
    fn holds(&self, sessions: u32);
    /// Outputs were added: wake whoever writes them. Called once for each batch.
    fn flush(&self);
}

/// A checkout that waits, as a report shows it.
#[derive(Clone, Debug)]
pub struct WaiterView {
    /// Its number.
    pub waiter: SessionId,
    /// What it wants.
    pub items: Vec<Item>,
    /// Who asks.
    pub facts: Arc<Facts>,
    /// The process; 0: not said.
    pub pid: u32,
    /// How many came before it, at most over its features.
    pub before: u64,
    /// Whether it is there to be served.
    pub presence: WaiterPresence,
    /// When it asked, Unix milliseconds; `None`: not known any more.
    pub since_unix_ms: Option<i64>,
    /// When it waits no longer, if the clock goes as it goes.
    pub until_unix_ms: i64,
}

/// Whether a waiter is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaiterPresence {
    /// On a connection that is heard.
    Waiting,
    /// Its client is not there: it is passed over (S30).
    Gone,
    /// It has its seats and has not confirmed them (S31).
    Served,
}

/// A callback for one result that leaves the engine after the sync.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// One thing for the engine to do.
pub enum Ask {
    /// A connection said hello; events for it go there.
    Open(Arc<dyn Outbox>),
    /// A connection is gone.
    Close(ConnectionId),
    /// A connection that may have been silent for a lease is heard again (S20).
    Heard(ConnectionId),
    /// A request of a connection.
    Request {
        /// Whose.
        from: Arc<dyn Outbox>,
        /// The number its answer carries.
        call: u32,
        /// What.
        request: Request,
    },
    /// A new set of licenses; `then` is called when every pool is up to date with it.
    Catalog(Arc<Catalog>, Then<()>),
    /// A new policy; `then` is called when it is in force.
    Policy(Arc<Policy>, Then<()>),
    /// A picture of all counters.
    Picture(Then<Arc<Picture>>),
    /// Sessions after one (exclusive), at most so many.
    Sessions(Option<SessionId>, usize, Then<Vec<SessionView>>),
    /// Borrows after one (exclusive), at most so many.
    Borrows(Option<SessionId>, usize, Then<Vec<BorrowView>>),
    /// Waiters after one (exclusive), at most so many, first come first.
    Waiters(Option<SessionId>, usize, Then<Vec<WaiterView>>),
    /// Nothing; `then` is called when everything asked before is answered.
    Turn(Then<()>),
    /// No new checkouts from now on; every connection is told; `then` is called when all is synced (S64).
    Stop(Then<()>),
}

/// Seats to be kept (S52).
#[derive(Debug)]
pub struct Booking {
    /// The features, each once.
    pub items: Vec<Item>,
    /// Hash of the token.
    pub token: [u8; 16],
    /// For how long, milliseconds.
    pub ms: u64,
    /// Who books.
    pub facts: Facts,
}

/// What a connection can ask for.
#[derive(Debug)]
pub enum Request {
    /// S1; for how many milliseconds it waits where there is no seat (S30), 0: not at all.
    Checkout(Box<Checkout>, u64),
    /// S40: a checkout whose seats are wanted offline, for so many hours.
    Borrow(Box<Checkout>, u32),
    /// S5: as a checkout, and takes nothing.
    Try(Box<Checkout>),
    /// S5: as a borrow, and takes nothing.
    TryBorrow(Box<Checkout>, u32),
    /// S42: an administrator notes that a borrowed seat will not be given back before its time. By whom, and the reason
    /// given.
    WriteOff(SessionId, String, String),
    /// S53: what a checkout of its one item would come to, and why. Who asks, where the policy has to let him.
    Why(Box<Checkout>, Option<Arc<Facts>>),
    /// Rules 3, 6.8: would these versions run?
    UpdateCheck(Box<UpdateQuestion>),
    /// S24: some seats, or all.
    Checkin(SessionId, Option<u32>),
    /// S10.
    Resume(BundleId, [u8; 16], Box<Facts>),
    /// S25: an administrator takes a session away. By whom, the reason given, and for how many milliseconds its user on
    /// its host gets no seat of the feature.
    Release(SessionId, String, String, u64),
    /// S52: an administrator keeps seats for whoever presents a token.
    Book(Box<Booking>),
    /// S52: the bookings under a token, by its hash, are given up.
    Unbook([u8; 16]),
    /// Whether this connection is told of new totals (L22).
    Watch(bool),
    /// S31: the seats that were granted to this waiter came through.
    Confirm(BundleId),
    /// S30: a waiter of this connection does not want to wait any longer.
    GiveUp(SessionId),
    /// S26: its client has no use any more for what it asked under this key (a hash, as is the secret).
    Cancel([u8; 16], [u8; 16]),
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// Seats taken; `true`: by an earlier checkout with the same request key (S2).
    Granted(GrantView, bool),
    /// A checkout would be granted: each feature with its numbers.
    WouldGrant(Vec<(Name, Name, Numbers)>),
    /// There is no seat now: it waits under this number, behind so many, and will be told (S31).
    Waiting(SessionId, u64),
    /// As asked.
    Confirmed(BundleId),
    /// It waits no longer.
    GaveUp(SessionId),
    /// Nothing of the request is left.
    Cancelled,
    /// Seats given back, and seats left.
    CheckedIn(SessionId, u32, u32),
    /// The bundle is on this connection.
    Resumed(GrantView),
    /// The session is gone.
    Released(SessionId),
    /// It is noted; when the seats come back, Unix seconds.
    WrittenOff(SessionId, i64),
    /// The seats are kept until that instant, Unix milliseconds.
    Booked(i64),
    /// So many bookings are given up.
    Unbooked(usize),
    /// What would happen to whom and why, with the tick and the instant of the answer, Unix milliseconds.
    Why(Box<Explanation>, Arc<Facts>, Tick, i64),
    /// Which of the versions would run.
    UpdateCheck(Box<UpdateAnswer>),
    /// As asked.
    Watching,
    /// No, with the reasons; the instant of a tick in the denial, for those who count in seconds.
    Denied(Box<Denial>),
}

/// Something a connection is told unasked.
#[derive(Debug)]
pub enum Event {
    /// The license of a session ended; the session stays (L39). With the license's last day.
    Expired(SessionId, Name, chrono::NaiveDate),
    /// A session ended without its client's doing: its code, a sentence, and when (Unix milliseconds).
    Ended(SessionId, &'static str, String, i64),
    /// An idle seat of this connection's is wanted: it is given away in so many seconds if it stays idle (S50).
    SeatWanted(SessionId, Name, u32),
    /// A waiter has its seats; it confirms them within ten seconds, or they go to the next (S31).
    Served(SessionId, GrantView),
    /// A waiter waits no longer: a code, a sentence, and when (Unix milliseconds).
    WaitEnded(SessionId, &'static str, String, i64),
    /// A bundle was resumed by another connection (S10).
    ResumedElsewhere(BundleId),
    /// A pool has another total (L22): vendor, feature, before, after, why.
    PoolChanged(Name, Name, Total, Total, String),
    /// The daemon stops; sessions are kept (S64).
    Stopping,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ask::Open(_) => "Open",
            Ask::Close(_) => "Close",
            Ask::Heard(_) => "Heard",
            Ask::Request { .. } => "Request",
            Ask::Catalog(..) => "Catalog",
            Ask::Policy(..) => "Policy",
            Ask::Picture(_) => "Picture",
            Ask::Sessions(..) => "Sessions",
            Ask::Borrows(..) => "Borrows",
            Ask::Waiters(..) => "Waiters",
            Ask::Turn(_) => "Turn",
            Ask::Stop(_) => "Stop",
        })
    }
}
