//! What a server answers, always with the call number of the request.

use crate::layout::{self, Decode, Encode};
use crate::message::Extra;

/// 0x8001: the hello is accepted. It never changes, in any version of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The version of the protocol spoken from here on.
    pub version: u16,
    /// The server's name.
    pub server_name: String,
    /// Its version, for logs.
    pub server_version: String,
    /// Drawn at each start of the daemon: if it differs, the server was restarted.
    pub instance: [u8; 16],
    /// How often to send something, milliseconds (S12).
    pub heartbeat_ms: u32,
    /// How long a session may be silent, milliseconds (S12).
    pub lease_ms: u32,
    /// The largest frame length the server takes from here on, inclusive.
    pub client_frame_bytes_max: u32,
    /// The most sessions one connection may hold.
    pub sessions_max: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8002: the seats asked for are taken, and that is on disk (S60).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Granted {
    /// All sessions of this checkout together; what a resume names.
    pub bundle: u64,
    /// One for each item of the checkout, in the same order.
    pub sessions: Vec<Grant>,
    /// Whether this is the answer of an earlier checkout with the same request key (S2).
    pub replayed: bool,
    /// As in [`Hello`].
    pub heartbeat_ms: u32,
    /// As in [`Hello`].
    pub lease_ms: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8003: the seats are given back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Checkin {
    /// Which session.
    pub session: u64,
    /// Seats given back.
    pub count: u32,
    /// Seats the session still has; 0: it has ended.
    pub remaining: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8004: heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Heartbeat {
    /// How many sessions this connection holds now.
    pub sessions: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8005: the bundle belongs to this connection now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Resume {
    /// Which bundle.
    pub bundle: u64,
    /// Its sessions that still have seats, with the seats they have now.
    pub sessions: Vec<Grant>,
    /// Its sessions that lost their seats other than by a checkin: when and why (S23).
    pub ended: Vec<Ended>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8006: one part of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// A whole JSON object; lists of the same name in several parts belong together.
    pub json: String,
    /// The cursor of the next part; empty: this was the last.
    pub next: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8007: a checkout would be granted now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Try {
    /// The numbers, as a JSON object.
    pub details: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8008: from now on, as asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Watch {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x8009: the last frame of a connection that its client ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Goodbye {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800a: what would happen, and why (S53).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Why {
    /// A JSON object.
    pub json: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800b: the seats are the client's for good (S31).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Confirm {
    /// Which bundle.
    pub bundle: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800c: it waits no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct GiveUp {
    /// Which place it was.
    pub waiter: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800d: nothing of it is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Cancel {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800e: which of the versions would run (rules 3, 6.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct UpdateCheck {
    /// A JSON object.
    pub json: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x800f: what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Events {
    /// A whole JSON object.
    pub json: String,
    /// The cursor to go on with; never empty, there is always more to come.
    pub next: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xbffe, in place of [`Granted`], to a checkout that may wait: there is no seat now, and the checkout stands in the
/// queue (S30). An event tells how it ends. The same checkout sent again, with the same request key, is answered with the
/// same place, on whatever connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Waiting {
    /// The number of its place.
    pub waiter: u64,
    /// How many came before.
    pub before: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9001: licenses and policy were read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Reload {
    /// What changed and which problems there are, as a JSON object.
    pub json: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9002: the session is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    /// Which session.
    pub session: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9003: the daemon is about to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Shutdown {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9004: the host ids of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HostIds {
    /// A JSON object.
    pub json: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9005: the seats are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Book {
    /// Until when, Unix seconds.
    pub until: i64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9006: the seats are kept no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Unbook {
    /// Of how many features.
    pub bookings: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x9007: it is noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WriteOff {
    /// Which borrow.
    pub borrow: u64,
    /// When its seats come back, Unix seconds.
    pub ends_at: i64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0xbfff: no, to any request, known or not. With call number 0 it is about the connection, which is
/// closed after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// One of [`codes`](crate::codes); a reader must live with one it does not know.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// Everything needed to act on it, as a JSON object (S4); empty: nothing to add.
    pub details: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// One session: seats of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    /// Never used again for another; no secret (S10).
    pub session: u64,
    /// Who sells it; empty where an unsigned license names nobody.
    pub vendor: String,
    /// The feature's name as the license writes it.
    pub feature: String,
    /// How many seats it has.
    pub count: u32,
    /// MAJOR.MINOR that the license owns; `None`: it names no version.
    pub version: Option<String>,
    /// The instant the license ends, Unix seconds, exclusive: the first second after its last day in the
    /// server's zone. `None`: never.
    pub license_ends: Option<i64>,
    /// Whether these seats lie above the license's soft limit (L61).
    pub soft_limit: bool,
    /// A sentence for an administrator, such as that maintenance is in its grace time.
    pub notice: Option<String>,
    /// What the vendor signed, so that the client can check it (L11); `None`: unsigned, or too long for
    /// this answer.
    pub license: Option<SignedLicense>,
}

/// The vendor's signature and what it covers (L10, L11).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SignedLicense {
    /// The canonical form, byte for byte what was signed.
    pub canonical: Vec<u8>,
    /// `ed25519:KEYID:BASE64`.
    pub key: String,
}

/// How long a session may go on while no server answers (L65): an item of the extra [`Grace::TAG`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Grace {
    /// Which session of the same answer.
    pub session: u64,
    /// GRACE of its license in hours, 1 to 168, both inclusive.
    pub hours: u32,
}

impl Grace {
    /// The tag of the extra in [`Granted`], [`Resume`] and [`Served`](crate::event::Served). It is even: a client that knows nothing of grace has none.
    pub const TAG: u16 = 4;
    /// The longest grace of any license: a week.
    pub const HOURS_MAX: u32 = 168;

    /// The extra that says this; sessions without grace are not in the list, and with an empty list the extra is left out.
    pub fn extra(list: &[Grace]) -> Extra {
        Extra { tag: Grace::TAG, bytes: layout::list_to_bytes(list) }
    }

    /// What the extras of an answer say. Empty: no session has grace, or what is there cannot be read, which comes to
    /// the same.
    pub fn among(extras: &[Extra]) -> Vec<Grace> {
        let extra = extras.iter().find(|extra| extra.tag == Grace::TAG);
        extra.and_then(|extra| layout::list_from_bytes(&extra.bytes)).unwrap_or_default()
    }
}

/// A seat that is lent, and the token of it (S40): an item of the extra [`Loan::TAG`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Loan {
    /// Which session of the same answer; it is the number of the borrow too.
    pub session: u64,
    /// The first moment at which the borrow is over, Unix seconds.
    pub ends_at: i64,
    /// The [`BorrowToken`](crate::borrow::BorrowToken), as bytes.
    pub token: Vec<u8>,
}

impl Loan {
    /// The tag of the extra in [`Granted`] and [`Resume`]. It is even: only who asked to borrow looks for it.
    pub const TAG: u16 = 6;

    /// The extra that says this; where nothing is lent, it is left out.
    pub fn extra(list: &[Loan]) -> Extra {
        Extra { tag: Loan::TAG, bytes: layout::list_to_bytes(list) }
    }

    /// What the extras of an answer say. Empty: nothing is lent, or what is there cannot be read.
    pub fn among(extras: &[Extra]) -> Vec<Loan> {
        let extra = extras.iter().find(|extra| extra.tag == Loan::TAG);
        extra.and_then(|extra| layout::list_from_bytes(&extra.bytes)).unwrap_or_default()
    }
}

/// A session that lost its seats other than by a checkin (S23, S25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ended {
    /// Which session.
    pub session: u64,
    /// Why, one of [`codes`](crate::codes).
    pub code: String,
    /// One sentence for a person: who or what took it.
    pub message: String,
    /// When, Unix seconds.
    pub at: i64,
}
