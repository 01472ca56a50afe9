//! The numbers, and the enums that hold whatever arrives.
//!
//! A number is never reused and a published message never changes: a changed one gets a new number.
//! What each message says stands in [`request`], [`answer`] and [`event`].

use crate::answer;
use crate::event;
use crate::frame;
use crate::layout::{self, Decode, DecodeError, Encode, EncodeError};
use crate::request;

/// The lowest version of the protocol spoken here.
pub const VERSION_LOWEST: u16 = 1;
/// The highest version of the protocol spoken here.
pub const VERSION_HIGHEST: u16 = 1;
/// The first field of the first message: `SEAT`.
pub const MAGIC: [u8; 4] = *b"SEAT";
/// The most bytes, inclusive, of a text in a request (S1). The reader of a request checks it, and that
/// the text holds no control characters.
pub const TEXT_BYTES_MAX: usize = 256;
/// The most features, inclusive, in one checkout. Sixty-four with every text at its longest fit into a
/// client's frame; the reader of a request checks it.
pub const ITEMS_MAX: usize = 64;
/// The most versions, inclusive, that one update check offers; the reader of a request checks it. As many with every text at
/// its longest fit into a client's frame.
pub const CANDIDATES_MAX: usize = 64;
/// The most host ids, inclusive, that a client states about itself; the reader of a request checks it.
pub const HOST_IDS_MAX: usize = 32;

/// One message: a body that the [`layout`] can write and read, and its number.
pub trait Message: Encode + Decode<()> {
    /// Which message; unique, never reused.
    const NUMBER: u16;
    /// The tags of extras this implementation understands in this message, ascending.
    const EXTRAS_KNOWN: &[u16] = &[];
    /// The extras that end the message.
    fn extras(&self) -> &[Extra];
}

/// A request, with the answer that grants it. Any request can be answered by [`answer::Refused`] instead.
pub trait Call: Message {
    /// Its number is this request's + 0x8000.
    type Answer: Message + 'static;
}

/// Something added to a message after it was published.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Extra {
    /// Even: a reader that does not know it ignores it. Odd: it refuses the message.
    pub tag: u16,
    /// What the tag says it is.
    pub bytes: Vec<u8>,
}

/// Whether a reader that knows only the tags `known` may act on a message with these extras.
///
/// # Errors
///
/// The first tag that forbids it: odd and unknown, or not greater than the one before it.
pub fn check_extras(extras: &[Extra], known: &[u16]) -> Result<(), u16> {
    let mut before = None;
    for extra in extras {
        if before >= Some(extra.tag) || (extra.tag % 2 == 1 && !known.contains(&extra.tag)) {
            return Err(extra.tag);
        }
        before = Some(extra.tag);
    }
    Ok(())
}

/// The version both sides speak: the highest that both know. The client speaks `lowest` to `highest`,
/// both inclusive.
///
/// # Errors
///
/// The code of the refusal: `client_too_old`, `server_too_old`, or `bad_request` when `lowest` is above
/// `highest`.
pub fn pick_version(lowest: u16, highest: u16) -> Result<u16, &'static str> {
    if lowest > highest {
        Err(crate::codes::BAD_REQUEST)
    } else if highest < VERSION_LOWEST {
        Err(crate::codes::CLIENT_TOO_OLD)
    } else if lowest > VERSION_HIGHEST {
        Err(crate::codes::SERVER_TOO_OLD)
    } else {
        Ok(highest.min(VERSION_HIGHEST))
    }
}

// The structs themselves stay outside the macro: derived field names do not survive its hygiene.
macro_rules! numbered {
    ($(#[$doc:meta])* $any:ident of $module:ident {
        $($number:literal $name:ident $(understands $known:expr)?),+ $(,)?
    }) => {
        $(impl Message for $module::$name {
            const NUMBER: u16 = $number;
            $(const EXTRAS_KNOWN: &[u16] = $known;)?
            fn extras(&self) -> &[Extra] {
                &self.extras
            }
        })+

        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "moved once, from the frame to who acts on it")]
        pub enum $any {
            $(
                #[doc = concat!(stringify!($number), ": see [`", stringify!($module), "::", stringify!($name), "`].")]
                $name($module::$name),
            )+
        }

        impl $any {
            /// Every number of this kind, ascending.
            pub const NUMBERS: &[u16] = &[$($number),+];

            /// Reads the body of the message with this number.
            ///
            /// # Errors
            ///
            /// [`DecodeError`]: the number is none of [`Self::NUMBERS`], or the body is not its message.
            pub fn decode(number: u16, body: &[u8]) -> Result<$any, DecodeError> {
                match number {
                    $($number => layout::decode(body).map($any::$name),)+
                    _ => Err(DecodeError::UnknownNumber(number)),
                }
            }

            /// Appends a whole frame, as [`frame::append`] does.
            ///
            /// # Errors
            ///
            /// [`EncodeError`] if the message is too long; `buffer` is then as it was.
            pub fn append(&self, buffer: &mut Vec<u8>, call: u32) -> Result<(), EncodeError> {
                match self {
                    $($any::$name(message) => frame::append(buffer, call, message),)+
                }
            }

            /// Which message it is.
            pub fn number(&self) -> u16 {
                match self {
                    $($any::$name(_) => $number,)+
                }
            }
        }
    };
}

numbered! {
    /// What a client or an administrator can ask.
    Request of request {
        0x0001 Hello,
        0x0002 Checkout understands &[request::Hours::TAG],
        0x0003 Checkin,
        0x0004 Heartbeat,
        0x0005 Resume,
        0x0006 Report,
        0x0007 Try understands &[request::Hours::TAG],
        0x0008 Watch,
        0x0009 Goodbye,
        0x000a Why,
        0x000b Confirm,
        0x000c GiveUp,
        0x000d Cancel,
        0x000e UpdateCheck,
        0x000f Events,
        0x1001 Reload,
        0x1002 Release,
        0x1003 Shutdown,
        0x1004 HostIds,
        0x1005 Book,
        0x1006 Unbook,
        0x1007 WriteOff,
    }
}

numbered! {
    /// What a server answers.
    Answer of answer {
        0x8001 Hello,
        0x8002 Granted,
        0x8003 Checkin,
        0x8004 Heartbeat,
        0x8005 Resume,
        0x8006 Report,
        0x8007 Try,
        0x8008 Watch,
        0x8009 Goodbye,
        0x800a Why,
        0x800b Confirm,
        0x800c GiveUp,
        0x800d Cancel,
        0x800e UpdateCheck,
        0x800f Events,
        0x9001 Reload,
        0x9002 Release,
        0x9003 Shutdown,
        0x9004 HostIds,
        0x9005 Book,
        0x9006 Unbook,
        0x9007 WriteOff,
        0xbffe Waiting,
        0xbfff Refused,
    }
}

numbered! {
    /// What a server tells unasked.
    Event of event {
        0xc001 Expired,
        0xc002 SessionEnded,
        0xc003 ResumedElsewhere,
        0xc004 Stopping,
        0xc005 PoolChanged,
        0xc006 SeatWanted,
        0xc007 Served,
        0xc008 WaitEnded,
    }
}

macro_rules! answered {
    ($($name:ident by $answer:ident),+ $(,)?) => {
        $(
            impl Call for request::$name {
                type Answer = answer::$answer;
            }
            const _: () = assert!(
                <answer::$answer as Message>::NUMBER == <request::$name as Message>::NUMBER + 0x8000
            );
        )+
    };
}

answered! {
    Hello by Hello,
    Checkout by Granted,
    Checkin by Checkin,
    Heartbeat by Heartbeat,
    Resume by Resume,
    Report by Report,
    Try by Try,
    Watch by Watch,
    Goodbye by Goodbye,
    Why by Why,
    Confirm by Confirm,
    GiveUp by GiveUp,
    Cancel by Cancel,
    UpdateCheck by UpdateCheck,
    Events by Events,
    Reload by Reload,
    Release by Release,
    Shutdown by Shutdown,
    HostIds by HostIds,
    Book by Book,
    Unbook by Unbook,
    WriteOff by WriteOff,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tags: &[u16]) -> Vec<Extra> {
        tags.iter().map(|&tag| Extra { tag, bytes: vec![1] }).collect()
    }

    #[test]
    fn an_unknown_even_extra_is_ignored_and_an_unknown_odd_one_refused() {
        assert_eq!(check_extras(&tagged(&[]), &[]), Ok(()));
        assert_eq!(check_extras(&tagged(&[0, 2, 0xfffe]), &[]), Ok(()));
        assert_eq!(check_extras(&tagged(&[2, 3]), &[]), Err(3));
        assert_eq!(check_extras(&tagged(&[2, 3]), &[3]), Ok(()));
    }

    #[test]
    fn tags_ascend_and_none_comes_twice() {
        assert_eq!(check_extras(&tagged(&[4, 2]), &[]), Err(2));
        assert_eq!(check_extras(&tagged(&[4, 4]), &[]), Err(4));
        assert_eq!(check_extras(&tagged(&[3, 3]), &[3]), Err(3));
    }

    #[test]
    fn the_highest_version_both_know_is_picked() {
        assert_eq!(pick_version(1, 1), Ok(1));
        assert_eq!(pick_version(0, 9), Ok(1));
        assert_eq!(pick_version(0, 0), Err("client_too_old"));
        assert_eq!(pick_version(2, 9), Err("server_too_old"));
        assert_eq!(pick_version(2, 1), Err("bad_request"));
    }

    #[test]
    fn a_message_with_an_unknown_odd_extra_is_refused() {
        let mut frame = Vec::new();
        let heartbeat = request::Heartbeat { idle_seconds: None, extras: tagged(&[7]) };
        frame::append(&mut frame, 1, &heartbeat).unwrap();
        assert_eq!(Request::decode(4, &frame[10..]), Err(DecodeError::UnknownExtra(7)));
    }
}
