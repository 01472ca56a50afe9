//! The borrow token: what a server signs when it lends a seat, and what a client keeps (S40).
//!
//! ```text
//! token = "seatkeeper-borrow-v1" 00     21 bytes
//!         body                          the fields of Lent, in the layout of every message
//!         signature                     64 bytes, Ed25519, by `server_key`, over all of the above
//! text  = "seatkeeper-borrow-v1:" base64 of the token, with padding: one line
//! ```
//!
//! Signatures outlive programs, so these bytes never change; a v2 would have another label. The same facts give the same
//! bytes, and no other bytes are read as them.
//!
//! Bytes only: who signs and who verifies, and what makes a token good, is said in docs/PROTOCOL.md, section 15, and done by
//! the server and by the client library.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use thiserror::Error;

use crate::answer::SignedLicense;
use crate::layout::{self, Decode, DecodeError, Encode};
use crate::message::{Extra, TEXT_BYTES_MAX, check_extras};

/// What every token begins with; the last byte is zero.
pub const LABEL: &[u8] = b"seatkeeper-borrow-v1\0";
/// What its text begins with.
pub const TEXT_PREFIX: &str = "seatkeeper-borrow-v1:";
/// Bytes of the signature at the end.
pub const SIGNATURE_BYTES: usize = 64;
/// The most bytes of a token, inclusive: with room to spare for the frame of the answer that carries it.
pub const TOKEN_BYTES_MAX: usize = 512 << 10;
/// The most characters of its text, inclusive.
pub const TOKEN_TEXT_MAX: usize = TEXT_PREFIX.len() + TOKEN_BYTES_MAX.div_ceil(3) * 4;
/// The most bytes of a license's canonical form, inclusive. Real ones have hundreds.
pub const CANONICAL_BYTES_MAX: usize = 256 << 10;
/// The most bytes of KEY, inclusive: `ed25519:`, an id of 64, a colon and 88 of base64 are 161.
pub const KEY_BYTES_MAX: usize = 256;
/// The most renewals, inclusive.
pub const RENEWALS_MAX: usize = 32;

/// What was lent to whom: everything the server signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Lent {
    /// The number of the borrow; never used again for another.
    pub borrow: u64,
    /// The bundle to resume when it is given back early.
    pub bundle: u64,
    /// Who sells the feature, as the license writes it.
    pub vendor: String,
    /// Which feature, as the license writes it.
    pub feature: String,
    /// How many seats.
    pub count: u32,
    /// The user it was lent to, as he stated his name.
    pub user: String,
    /// The host it was lent to, as it stated its name.
    pub host: String,
    /// The installation it was lent to (S2).
    pub install_id: [u8; 16],
    /// When it was lent, Unix seconds by the server's clock.
    pub granted_at: i64,
    /// The first moment at which it is over, Unix seconds.
    pub ends_at: i64,
    /// The public half of the key that signs this: the SHA-256 of it is the SERVERKEY of the license (L12).
    pub server_key: [u8; 32],
    /// The license that lends, as its vendor signed it.
    pub license: SignedLicense,
    /// The maintenance renewals that count for it, as the vendor signed them (rules 3, 6.12). A server that knew nothing of them
    /// put none here, and no [`Days`] either.
    pub renewals: Vec<SignedLicense>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
}

/// The days of a borrow in the server's zone, by which a release is judged offline (rules 3, 6.12): the extra [`Days::TAG`] of
/// [`Lent`]. Dates are written `YYYY-MM-DD`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Days {
    /// The day on which it was lent.
    pub first: String,
    /// The last day it reaches into, included.
    pub last: String,
    /// The day of the license's first checkout, where its maintenance begins with that (rules 3, 6.10).
    pub first_checkout: Option<String>,
}

impl Days {
    /// The tag of the extra. It is even: who knows nothing of it judges a release by the owned version alone, which is less.
    pub const TAG: u16 = 8;

    /// The extra that says this.
    pub fn extra(&self) -> Extra {
        let mut bytes = Vec::new();
        layout::append_part(&mut bytes, self);
        Extra { tag: Days::TAG, bytes }
    }

    /// What a token says; `None`: it is one of before there was such an extra.
    ///
    /// # Errors
    /// The extra is there and cannot be read.
    pub fn of(lent: &Lent) -> Result<Option<Days>, DecodeError> {
        let extra = lent.extras.iter().find(|extra| extra.tag == Days::TAG);
        extra.map(|extra| layout::part_from_bytes(&extra.bytes)).transpose()
    }
}

/// What was lent, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BorrowToken {
    /// What was lent to whom.
    pub lent: Lent,
    /// Ed25519, by [`Lent::server_key`], over [`Lent::signed_bytes`]. Not verified by this crate.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Why bytes or a text are no borrow token, or facts cannot be made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// They begin otherwise.
    #[error("it does not begin as a borrow token does")]
    Label,
    /// The text is not base64, or not in its one form.
    #[error("the text behind `{TEXT_PREFIX}` is not base64")]
    Base64,
    /// They end before the signature does.
    #[error("it is cut off")]
    TooShort,
    /// More bytes than a token may have.
    #[error("it has {bytes} bytes where {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// The body is not what it should be.
    #[error("its body cannot be read: {0}")]
    Body(#[from] DecodeError),
    /// A field over its limit, or a text with control characters.
    #[error("its {field} is longer than allowed, or holds control characters")]
    Field {
        /// Which, by its name in [`Lent`].
        field: &'static str,
    },
}

impl Lent {
    /// What the server signs: the label and the body.
    ///
    /// # Errors
    ///
    /// [`TokenError::Field`], [`TokenError::TooLong`] or [`TokenError::Body`]: these facts fit into no token that anybody
    /// would read. A license can be that long.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, TokenError> {
        self.check()?;
        let mut bytes = LABEL.to_vec();
        layout::append_part(&mut bytes, self);
        match bytes.len() + SIGNATURE_BYTES {
            length if length > TOKEN_BYTES_MAX => Err(TokenError::TooLong { bytes: length }),
            _ => Ok(bytes),
        }
    }

    /// The limits that the layout does not know.
    fn check(&self) -> Result<(), TokenError> {
        let texts = [
            ("vendor", &self.vendor),
            ("feature", &self.feature),
            ("user", &self.user),
            ("host", &self.host),
        ];
        for (field, text) in texts {
            if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(TokenError::Field { field });
            }
        }
        let is_bad = |license: &SignedLicense| {
            license.canonical.len() > CANONICAL_BYTES_MAX
                || license.key.len() > KEY_BYTES_MAX
                || license.key.chars().any(char::is_control)
        };
        if is_bad(&self.license) {
            return Err(TokenError::Field { field: "license" });
        }
        if self.renewals.len() > RENEWALS_MAX || self.renewals.iter().any(is_bad) {
            return Err(TokenError::Field { field: "renewals" });
        }
        check_extras(&self.extras, &[]).map_err(|tag| TokenError::Body(DecodeError::UnknownExtra(tag)))
    }
}

impl BorrowToken {
    /// The token as bytes.
    ///
    /// # Errors
    ///
    /// As for [`Lent::signed_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, TokenError> {
        let mut bytes = self.lent.signed_bytes()?;
        bytes.extend_from_slice(&self.signature);
        Ok(bytes)
    }

    /// Reads a token: all of the bytes, and nothing else. [`BorrowToken::to_bytes`] gives them back as they were.
    ///
    /// # Errors
    ///
    /// [`TokenError`], whatever the bytes are: no input panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<BorrowToken, TokenError> {
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { bytes: bytes.len() });
        }
        let rest = bytes.strip_prefix(LABEL).ok_or(TokenError::Label)?;
        let (body, signature) = rest.split_last_chunk::<SIGNATURE_BYTES>().ok_or(TokenError::TooShort)?;
        let lent: Lent = layout::part_from_bytes(body)?;
        lent.check()?;
        Ok(BorrowToken { lent, signature: *signature })
    }

    /// The token as one line of text, without a line feed, for files and for handing over.
    ///
    /// # Errors
    ///
    /// As for [`Lent::signed_bytes`].
    pub fn to_text(&self) -> Result<String, TokenError> {
        let mut text = TEXT_PREFIX.to_owned();
        BASE64_STANDARD.encode_string(self.to_bytes()?, &mut text);
        Ok(text)
    }

    /// Reads such a line; white space around it is ignored, none within.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn from_text(text: &str) -> Result<BorrowToken, TokenError> {
        let text = text.trim_ascii();
        if text.len() > TOKEN_TEXT_MAX {
            return Err(TokenError::TooLong { bytes: text.len() / 4 * 3 });
        }
        let digits = text.strip_prefix(TEXT_PREFIX).ok_or(TokenError::Label)?;
        BorrowToken::from_bytes(&BASE64_STANDARD.decode(digits).map_err(|_| TokenError::Base64)?)
    }
}
