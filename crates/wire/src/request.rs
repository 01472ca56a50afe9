//! What a client asks, and what an administrator asks over the Unix socket.
//!
//! Sizes are bounded by the frame; that texts are short and clean, that counts are not 0 and so on is
//! checked by who reads the request (S1).

use std::fmt;

use crate::layout::{self, Decode, DecodeError, Encode};
use crate::message::{Extra, MAGIC, VERSION_HIGHEST, VERSION_LOWEST};

/// 0x0001: the first message of every connection, and the only one allowed until it is answered.
/// It never changes, in any version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// [`MAGIC`], or the peer speaks something else.
    pub magic: [u8; 4],
    /// The lowest version of the protocol the client speaks, inclusive.
    pub lowest: u16,
    /// The highest, inclusive.
    pub highest: u16,
    /// Drawn at random once for an installation of the program, and kept (S2).
    pub install_id: [u8; 16],
    /// The program's name, for logs.
    pub program: String,
    /// Its version, for logs; the facts that rules look at are in [`Facts`].
    pub program_version: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

impl Default for Hello {
    fn default() -> Hello {
        Hello {
            magic: MAGIC,
            lowest: VERSION_LOWEST,
            highest: VERSION_HIGHEST,
            install_id: [0; 16],
            program: String::new(),
            program_version: String::new(),
            extras: Vec::new(),
        }
    }
}

/// 0x0002: takes seats, all of them or none (S1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Checkout {
    /// Drawn at random for each checkout: with the install id it names the checkout, so that sending it
    /// again takes no second seat (S2).
    pub request_key: [u8; 16],
    /// Drawn at random for each checkout: whoever shows it may resume the bundle (S10).
    pub secret: Secret,
    /// 1 to [`ITEMS_MAX`](crate::message::ITEMS_MAX) features.
    pub items: Vec<Item>,
    /// Who asks, where, and with which release.
    pub facts: Facts,
    /// The string that processes sharing a seat have in common (L60).
    pub share: Option<String>,
    /// Names a booking whose seats this draws on (S52).
    pub reservation_token: Option<String>,
    /// How long to stand in the queue where there is no seat, seconds (S30); `None` and 0: not at all.
    pub wait_seconds: Option<u32>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0003: gives back seats of one session that this connection holds (S24).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Checkin {
    /// Which session.
    pub session: u64,
    /// How many of its seats; 0: all of them, which ends the session.
    pub count: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0004: a sign of life for every session of the connection (S12). Any other frame is one too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Heartbeat {
    /// Seconds since the program's user last did something, if it can tell (S50).
    pub idle_seconds: Option<u32>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0005: takes up a bundle again after its connection was lost (S10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Resume {
    /// Which bundle.
    pub bundle: u64,
    /// The secret of its checkout.
    pub secret: Secret,
    /// As they were at the checkout; if user, host or release differ it is not the same client.
    pub facts: Facts,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0006: asks for what the server knows, as JSON in parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// `status`, `features`, `sessions`, `borrowed`, `queue`, `licenses`, `explain`, `problems` or `usage` with its
    /// words (docs/PROTOCOL.md, 12).
    pub what: String,
    /// This feature only; `explain` needs it.
    pub feature: Option<String>,
    /// This vendor's only.
    pub vendor: Option<String>,
    /// Empty for the first part, then `next` of the answer before.
    pub cursor: String,
    /// The most items in one part; 0: as many as the server likes. It may send fewer.
    pub limit: u32,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0007: what would a checkout say? Takes nothing (S5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Try {
    /// As in [`Checkout`].
    pub items: Vec<Item>,
    /// As in [`Checkout`].
    pub facts: Facts,
    /// As in [`Checkout`].
    pub share: Option<String>,
    /// As in [`Checkout`].
    pub reservation_token: Option<String>,
    /// As in [`Checkout`]: whether it would be let into the queue.
    pub wait_seconds: Option<u32>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0008: asks to be told what changes without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Watch {
    /// Whether this connection wants [`PoolChanged`](crate::event::PoolChanged); off at first.
    pub totals: bool,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x0009: this connection ends and that is meant. Its sessions stay, to be resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Goodbye {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000a: what would happen to somebody who checks out now, and which rule decides? Takes nothing (S53).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Why {
    /// Who sells it; needed only where two vendors sell the same name.
    pub vendor: Option<String>,
    /// What would be asked for.
    pub feature: String,
    /// How many seats, 1 to 2147483647, both inclusive.
    pub count: u32,
    /// Whom the question is about: user, host, project, release, as his own checkout would state them.
    pub facts: Facts,
    /// The string of his checkout that processes sharing a seat have in common (L60).
    pub share: Option<String>,
    /// The IP address he would come from, as text; `None`: unknown, so that no rule for addresses matches.
    pub address: Option<String>,
    /// Who asks: policy says who may (S50).
    pub asker_user: String,
    /// Where the one who asks sits.
    pub asker_host: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000b: the seats that [`Served`](crate::event::Served) told of came through (S31).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Confirm {
    /// Which bundle.
    pub bundle: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000c: leaves the queue (S30).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct GiveUp {
    /// Which place: the number of the answer [`Waiting`](crate::answer::Waiting).
    pub waiter: u64,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000d: nothing is to come any more of a checkout whose answer nobody has use for (S26). What it took is given back, its
/// place in the queue given up, and a copy of it that arrives later takes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Cancel {
    /// That of the checkout.
    pub request_key: [u8; 16],
    /// That of the checkout.
    pub secret: Secret,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000e: would a new version of a program run? Asked before it is installed; takes nothing (rules 3, 6.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct UpdateCheck {
    /// Who sells it; needed only where two vendors sell the same name.
    pub vendor: Option<String>,
    /// What the program checks out.
    pub feature: String,
    /// What is installed now, if anything is.
    pub installed: Option<Candidate>,
    /// What is offered, 0 to [`CANDIDATES_MAX`](crate::message::CANDIDATES_MAX); none: what the vendor's release list has.
    pub candidates: Vec<Candidate>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x000f: asks for what happened, or is about to, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Events {
    /// What comes after the event with this number; 0: all that the server remembers; `None`: what is to come. Not looked at
    /// where there is a cursor.
    pub after: Option<u64>,
    /// Empty, or `next` of the answer before.
    pub cursor: String,
    /// The most events in one part; 0: as many as the server likes. It may send fewer.
    pub limit: u32,
    /// For how long to wait where there is none yet, milliseconds; 0: not at all. The server waits for 30 s at most.
    pub follow_ms: u32,
    /// Events about these features only, at most [`ITEMS_MAX`](crate::message::ITEMS_MAX); empty: all events.
    pub features: Vec<FeatureName>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1001, administrators only: reads licenses and policy again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Reload {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1002, administrators only: takes a session away from its client (S25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    /// Which session.
    pub session: u64,
    /// For how long its user and host get no seat of the feature; `None` and 0: not barred.
    pub bar_seconds: Option<u32>,
    /// What the client is told; may be empty.
    pub reason: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1003, administrators only: stops the daemon; sessions are kept (S64).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Shutdown {
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1004, administrators only: the host ids of the server (L12).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HostIds {
    /// A feature whose host-id blocks to compare them with.
    pub explain: Option<String>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1005, administrators only: keeps seats for whoever presents a token (S52), all of them or none. Sent again with the
/// same token and the same items it books nothing more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Book {
    /// The token, drawn at random by whoever books: 1 to 256 bytes, at least 128 bits of them random.
    pub token: String,
    /// 1 to [`ITEMS_MAX`](crate::message::ITEMS_MAX) features, each once.
    pub items: Vec<Item>,
    /// For how long, 1 to 31536000.
    pub seconds: u32,
    /// Who books.
    pub facts: Facts,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1006, administrators only: gives up what was booked under a token. Sessions that draw on it stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Unbook {
    /// The token.
    pub token: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// 0x1007, administrators only: notes that a borrowed seat will not be given back before its time (S42). It comes back at
/// the token's end, never before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WriteOff {
    /// Which borrow: the number of its session.
    pub borrow: u64,
    /// What is noted; may be empty.
    pub reason: String,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// For how long a checkout wants its seats offline (S40): the extra [`Hours::TAG`] of [`Checkout`] and [`Try`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Hours {
    /// 1 to [`Hours::MAX`], both inclusive.
    pub hours: u32,
}

impl Hours {
    /// The tag of the extra. It is odd: a server that knows nothing of borrowing must not grant an ordinary seat instead.
    pub const TAG: u16 = 5;
    /// The longest borrow that a license can allow: a year.
    pub const MAX: u32 = 8_760;

    /// The extra that says this.
    pub fn extra(self) -> Extra {
        let mut bytes = Vec::new();
        layout::append_part(&mut bytes, &self);
        Extra { tag: Hours::TAG, bytes }
    }

    /// What the extras of a request say; `None`: it is no borrow.
    ///
    /// # Errors
    /// The extra is there and cannot be read: the request must be refused.
    pub fn among(extras: &[Extra]) -> Result<Option<Hours>, DecodeError> {
        let extra = extras.iter().find(|extra| extra.tag == Hours::TAG);
        extra.map(|extra| layout::part_from_bytes(&extra.bytes)).transpose()
    }
}

/// A feature by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct FeatureName {
    /// Who sells it; `None`: whoever does.
    pub vendor: Option<String>,
    /// Which one.
    pub feature: String,
}

/// One feature of a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Item {
    /// Who sells it; needed only where two vendors sell the same name.
    pub vendor: Option<String>,
    /// What is asked for.
    pub feature: String,
    /// How many seats, 1 to 2147483647, both inclusive.
    pub count: u32,
}

/// A version of a program, as an update check states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Candidate {
    /// Two to four numbers.
    pub version: String,
    /// The day of that build, `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The day its MAJOR.MINOR was first published, not after `date`.
    pub line: Option<String>,
}

/// Who asks, where, and with which release (S1, rules 3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Facts {
    /// The user's name.
    pub user: String,
    /// The client machine's name.
    pub host: String,
    /// The process; 0: not said.
    pub pid: u32,
    /// `os-arch`, such as `linux-x86_64`.
    pub platform: String,
    /// The client's local time minus GMT in minutes; daylight saving included.
    pub offset_minutes: i16,
    /// The terminal or display of the user.
    pub display: Option<String>,
    /// What the work is for.
    pub project: Option<String>,
    /// MAJOR.MINOR, or up to four numbers.
    pub release_version: Option<String>,
    /// The day of this build, `YYYY-MM-DD`.
    pub release_date: Option<String>,
    /// The day MAJOR.MINOR of this build was first published, `YYYY-MM-DD`.
    pub line_date: Option<String>,
    /// What the client states about its machine, for licenses locked to one (L13). User and host need
    /// not be repeated here.
    pub host_ids: Vec<HostId>,
}

/// One host id of the client (L12, L13).
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct HostId {
    /// `MACHINEID`, `HOSTNAME`, `ETHERNET`, `IPADDRESS`, `USERNAME`, `DMI` or `CUSTOM`.
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// Proves that a client is the one that made a checkout (S2, S10). Never logged; servers keep a hash.
#[derive(Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Secret(pub [u8; 16]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let checkout = Checkout { secret: Secret([0xa5; 16]), ..Checkout::default() };
        let printed = format!("{checkout:?}");
        assert!(printed.contains("Secret(…)") && !printed.contains("165"), "{printed}");
    }
}
