//! What is said: checkouts and checkins to the daemon, frames of the same sizes to the echo server.

use wire::frame;
use wire::message::Message;
use wire::{answer, layout, request};

use crate::common::licenses::feature;
use crate::common::{Random, Result};
use crate::generator::Talk;

/// Where the request key lies in a frame: after length, number and call, the first field of a checkout.
const KEY_AT: usize = frame::LENGTH_BYTES + frame::HEAD_BYTES;
const KEY_BYTES: usize = 16;

/// Lengths of the four frames of a round, all their bytes counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) checkout: usize,
    pub(crate) granted: usize,
    pub(crate) checkin: usize,
    pub(crate) checked_in: usize,
}

/// A checkout of one seat, then its checkin, and again.
pub(crate) struct Seats {
    keys: Random,
    features: usize,
    /// A checkout of each connection's user, made when it is first needed.
    checkouts: Vec<Vec<u8>>,
    /// As last seen.
    pub(crate) sizes: Sizes,
}

impl Seats {
    pub(crate) fn new(seed: u64, features: usize) -> Seats {
        Seats { keys: Random(seed), features, checkouts: Vec::new(), sizes: Sizes::default() }
    }

    fn template(&self, connection: usize) -> Vec<u8> {
        let facts = request::Facts {
            user: format!("user-{connection:05}"),
            host: format!("workstation-{connection:05}"),
            pid: 4711,
            platform: "linux-x86_64".into(),
            offset_minutes: 60,
            release_version: Some("4.1".into()),
            ..Default::default()
        };
        let item = request::Item { vendor: None, feature: feature(connection % self.features), count: 1 };
        let checkout = request::Checkout {
            request_key: [0xa5; KEY_BYTES],
            secret: request::Secret([1; 16]),
            items: vec![item],
            facts,
            ..Default::default()
        };
        let mut frame = Vec::new();
        frame::append(&mut frame, 1, &checkout).expect("a checkout of one feature fits into a frame");
        assert_eq!(frame[KEY_AT..KEY_AT + KEY_BYTES], [0xa5; KEY_BYTES], "the key is the first field");
        frame
    }
}

impl Talk for Seats {
    fn greeting(&mut self) -> Option<Vec<u8>> {
        let hello = request::Hello {
            install_id: self.keys.key(),
            program: "seatkeeper-load".into(),
            program_version: "1".into(),
            ..Default::default()
        };
        let mut frame = Vec::new();
        frame::append(&mut frame, 1, &hello).expect("a hello fits into a frame");
        Some(frame)
    }

    fn request(&mut self, connection: usize, session: u64, call: u32, out: &mut Vec<u8>) {
        let start = out.len();
        if session > 0 {
            let checkin = request::Checkin { session, count: 0, extras: Vec::new() };
            frame::append(out, call, &checkin).expect("a checkin fits into a frame");
            self.sizes.checkin = out.len() - start;
            return;
        }
        while self.checkouts.len() <= connection {
            self.checkouts.push(self.template(self.checkouts.len()));
        }
        out.extend_from_slice(&self.checkouts[connection]);
        self.sizes.checkout = out.len() - start;
        out[start + KEY_AT - 4..start + KEY_AT].copy_from_slice(&call.to_le_bytes());
        out[start + KEY_AT..start + KEY_AT + KEY_BYTES].copy_from_slice(&self.keys.key());
    }

    fn answer(&mut self, session: u64, number: u16, body: &[u8]) -> Result<u64> {
        let bytes = frame::LENGTH_BYTES + frame::HEAD_BYTES + body.len();
        match number {
            answer::Granted::NUMBER if session == 0 => {
                self.sizes.granted = bytes;
                // The bundle stands first, and its number is that of its only session.
                Ok(first_number(body).ok_or("a grant without a bundle")?)
            }
            answer::Checkin::NUMBER if session > 0 => {
                self.sizes.checked_in = bytes;
                let given: answer::Checkin = layout::decode(body)?;
                if given.session != session || given.remaining != 0 {
                    return Err(format!("the checkin of {session} was answered by {given:?}").into());
                }
                Ok(0)
            }
            answer::Refused::NUMBER => {
                let refused: answer::Refused = layout::decode(body)?;
                Err(format!("refused: {}: {}", refused.code, refused.message).into())
            }
            _ => Err(format!("message 0x{number:04x} was not expected").into()),
        }
    }
}

/// Reads the number a body begins with. The generator shares its cores with the server: a whole grant decoded for
/// one number would be paid for by the figure.
fn first_number(body: &[u8]) -> Option<u64> {
    let (first, rest) = body.split_first()?;
    Some(match first {
        0..=250 => u64::from(*first),
        251 => u64::from(u16::from_le_bytes(*rest.first_chunk()?)),
        252 => u64::from(u32::from_le_bytes(*rest.first_chunk()?)),
        _ => u64::from_le_bytes(*rest.first_chunk()?),
    })
}

/// Frames of the same sizes, to the echo server: the first four bytes of a body say how long the answer is to be.
pub(crate) struct Echo(pub(crate) Sizes);

impl Talk for Echo {
    fn greeting(&mut self) -> Option<Vec<u8>> {
        None
    }

    fn request(&mut self, _: usize, session: u64, call: u32, out: &mut Vec<u8>) {
        let (bytes, wanted) = match session {
            0 => (self.0.checkout, self.0.granted),
            _ => (self.0.checkin, self.0.checked_in),
        };
        let bytes = bytes.max(KEY_AT + 4);
        let start = out.len();
        out.resize(start + bytes, 0);
        let length = u32::try_from(bytes - frame::LENGTH_BYTES).expect("a short frame");
        let wanted = u32::try_from(wanted - frame::LENGTH_BYTES).expect("a short frame");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + KEY_AT - 4..start + KEY_AT].copy_from_slice(&call.to_le_bytes());
        out[start + KEY_AT..start + KEY_AT + 4].copy_from_slice(&wanted.to_le_bytes());
    }

    fn answer(&mut self, session: u64, _: u16, _: &[u8]) -> Result<u64> {
        Ok(1 - session)
    }
}
