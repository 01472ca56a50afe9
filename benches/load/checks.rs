//! Update checks, one after the other: of two versions each, one that runs and one that does not.

use wire::frame;
use wire::message::Message;
use wire::request::Candidate;
use wire::{answer, layout, request};

use crate::common::licenses::feature;
use crate::common::{Random, Result};
use crate::generator::Talk;
use crate::talk::Sizes;

/// Where the call number lies in a frame: after length and number.
const CALL_AT: usize = frame::LENGTH_BYTES + 2;

/// Asks for ever; takes nothing.
pub(crate) struct Checks {
    ids: Random,
    features: usize,
    /// The check of each connection, made when it is first needed.
    frames: Vec<Vec<u8>>,
    /// As last seen: request and answer, once for each half of a round of the echo.
    pub(crate) sizes: Sizes,
}

impl Checks {
    pub(crate) fn new(seed: u64, features: usize) -> Checks {
        Checks { ids: Random(!seed), features, frames: Vec::new(), sizes: Sizes::default() }
    }

    fn template(&self, connection: usize) -> Vec<u8> {
        let candidate = |version: &str, date: &str| Candidate {
            version: version.into(),
            date: Some(date.into()),
            line: None,
        };
        let check = request::UpdateCheck {
            vendor: None,
            feature: feature(connection % self.features),
            installed: Some(Candidate { version: "4.1".into(), ..Candidate::default() }),
            candidates: vec![candidate("4.2.1", "2026-05-02"), candidate("5.0", "2026-06-01")],
            extras: Vec::new(),
        };
        let mut frame = Vec::new();
        frame::append(&mut frame, 1, &check).expect("two versions fit into a frame");
        frame
    }
}

impl Talk for Checks {
    fn greeting(&mut self) -> Option<Vec<u8>> {
        let hello = request::Hello {
            // Each connection is an installation, with a limit of its own.
            install_id: self.ids.key(),
            program: "seatkeeper-load".into(),
            program_version: "1".into(),
            ..Default::default()
        };
        let mut frame = Vec::new();
        frame::append(&mut frame, 1, &hello).expect("a hello fits into a frame");
        Some(frame)
    }

    fn request(&mut self, connection: usize, _: u64, call: u32, out: &mut Vec<u8>) {
        let start = out.len();
        while self.frames.len() <= connection {
            self.frames.push(self.template(self.frames.len()));
        }
        out.extend_from_slice(&self.frames[connection]);
        out[start + CALL_AT..start + CALL_AT + 4].copy_from_slice(&call.to_le_bytes());
        (self.sizes.checkout, self.sizes.checkin) = (out.len() - start, out.len() - start);
    }

    fn answer(&mut self, _: u64, number: u16, body: &[u8]) -> Result<u64> {
        match number {
            answer::UpdateCheck::NUMBER => {
                let bytes = frame::LENGTH_BYTES + frame::HEAD_BYTES + body.len();
                (self.sizes.granted, self.sizes.checked_in) = (bytes, bytes);
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
