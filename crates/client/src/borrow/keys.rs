//! Whose signatures count: the public keys of vendors that an application brings with it.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use seats::license::Name;
use thiserror::Error;

/// The first word of a `.pub` file.
const LABEL: &str = "seatkeeper-vendor-key";
/// The most bytes of a key id.
const ID_BYTES_MAX: usize = 64;

/// The public key of one vendor. It counts for licenses of that vendor alone.
///
/// An application compiles it in, as `seatkeeper vendor keygen` wrote it:
///
/// ```
/// use seatkeeper_client::VendorKey;
///
/// // In an application: include_str!("acme-2026.pub")
/// let text = "seatkeeper-vendor-key ed25519 acme-2026 ACME ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=\n";
/// let key: VendorKey = text.parse().unwrap();
/// assert_eq!((key.id(), key.vendor()), ("acme-2026", "ACME"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VendorKey {
    id: String,
    vendor: Name,
    key: VerifyingKey,
}

/// Why a text is no vendor's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VendorKeyError {
    /// Not the one line of a `.pub` file.
    #[error("this is not a vendor's public key; it is one line `{LABEL} ed25519 KEYID VENDOR BASE64`")]
    Form,
    /// A key of small order, or with a part of small order.
    #[error(
        "this vendor's key is weak: it would accept signatures that nobody made; ask the vendor for another"
    )]
    Weak,
}

impl VendorKey {
    /// The id that KEY of a license names it by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The vendor, as the key's file writes it.
    pub fn vendor(&self) -> &str {
        self.vendor.as_str()
    }

    /// Whether it may sign for this vendor, under this id.
    pub(super) fn is_named(&self, id: &str, vendor: &Name) -> bool {
        self.id == id && self.vendor == *vendor
    }

    /// Whether it signed this; strict: one answer for everybody.
    pub(super) fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        self.key.verify_strict(message, signature).is_ok()
    }
}

impl std::str::FromStr for VendorKey {
    type Err = VendorKeyError;

    /// Reads the one line of a `.pub` file; white space around it is ignored.
    fn from_str(line: &str) -> Result<VendorKey, VendorKeyError> {
        let mut words = line.split_whitespace();
        let (Some(LABEL), Some("ed25519"), Some(id), Some(vendor), Some(key), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err(VendorKeyError::Form);
        };
        let vendor = Name::new(vendor).ok_or(VendorKeyError::Form)?;
        let bytes = BASE64_STANDARD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key =
            bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).ok_or(VendorKeyError::Form)?;
        if !is_id(id) {
            return Err(VendorKeyError::Form);
        }
        if key.is_weak() || !key.to_edwards().is_torsion_free() {
            return Err(VendorKeyError::Weak);
        }
        Ok(VendorKey { id: id.to_owned(), vendor, key })
    }
}

impl fmt::Debug for VendorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VendorKey({} of {})", self.id, self.vendor.as_str())
    }
}

/// KEY of a license, taken apart: `ed25519:KEYID:BASE64`.
pub(super) fn read_signature(text: &str) -> Option<(&str, Signature)> {
    let (id, signature) = text.strip_prefix("ed25519:")?.split_once(':')?;
    let bytes: [u8; 64] = BASE64_STANDARD.decode(signature).ok()?.try_into().ok()?;
    is_id(id).then(|| (id, Signature::from_bytes(&bytes)))
}

fn is_id(id: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let good = "seatkeeper-vendor-key ed25519 a ACME ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=";
        assert!(format!("  {good}\r\n").parse::<VendorKey>().is_ok());
        for bad in [
            "".to_owned(),
            format!("{good} x"),
            good.replace("ed25519", "rsa"),
            good.replace(" a ", " a:b "),
            good.replace("ACME", "AC/ME"),
            good.replace("ElmQ=", "ElmQ"),
            good.replace("ebVW", "ebV"),
        ] {
            assert_eq!(bad.parse::<VendorKey>(), Err(VendorKeyError::Form), "{bad}");
        }
        // The neutral element, which signs anything.
        let weak = format!(
            "seatkeeper-vendor-key ed25519 a ACME {}",
            BASE64_STANDARD.encode({
                let mut one = [0; 32];
                one[0] = 1;
                one
            })
        );
        assert_eq!(weak.parse::<VendorKey>(), Err(VendorKeyError::Weak));
    }
}
