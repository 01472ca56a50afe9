//! Whose signatures count: the vendor public keys of the configuration, and KEY against them (L11).
//!
//! A key counts for one VENDOR only. Keys of small order are refused when they are loaded; why that matters is
//! told in `batch.rs`.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use seats::license::{Name, Reason, Refusal};

use super::batch;

/// The first word of a `.pub` file.
pub const PUB_LABEL: &str = "seatkeeper-vendor-key";
/// The most bytes of a key id.
pub const KEY_ID_BYTES_MAX: usize = 64;
/// The most bytes of a `.pub` file; it is one line of about 120.
const PUB_FILE_BYTES_MAX: u64 = 4_096;
/// Key id of the demo vendor whose private key lies in this repository: trusting it trusts everybody, and
/// status and log say so (interfaces.md 1).
pub const DEMO_KEY_ID: &str = "demo-2026";

/// A vendor public key of the configuration, with the one VENDOR it may sign for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    id: String,
    vendor: Name,
    key: VerifyingKey,
}

/// Why a public key cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyFileError {
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    In { path: String, source: Box<KeyFileError> },
    #[error("this is not a vendor public key; it is one line `{PUB_LABEL} ed25519 KEYID VENDOR BASE64`")]
    Form,
    #[error("{0} is not a key id; use 1 to {KEY_ID_BYTES_MAX} ASCII letters, digits, `_`, `-` and `.`")]
    KeyId(String),
    #[error("{0} is not a vendor's name; use 1 to 64 ASCII letters, digits, `_` and `-`")]
    Vendor(String),
    #[error("the key {0} is weak: it would accept signatures that nobody made")]
    Weak(String),
}

impl TrustedKey {
    /// A key from its parts.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::KeyId`] for an id that KEY could not carry, [`KeyFileError::Weak`] for a key of small order.
    pub fn new(id: &str, vendor: Name, key: VerifyingKey) -> Result<TrustedKey, KeyFileError> {
        if !is_key_id(id) {
            return Err(KeyFileError::KeyId(id.to_owned()));
        }
        if !batch::is_strong(&key) {
            return Err(KeyFileError::Weak(id.to_owned()));
        }
        Ok(TrustedKey { id: id.to_owned(), vendor, key })
    }

    /// Reads the one line of a `.pub` file; white space around it is ignored.
    ///
    /// # Errors
    ///
    /// Says which part of the line is wrong.
    pub fn parse(line: &str) -> Result<TrustedKey, KeyFileError> {
        let mut words = line.split_whitespace();
        let (Some(PUB_LABEL), Some("ed25519"), Some(id), Some(vendor), Some(key), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err(KeyFileError::Form);
        };
        let vendor = Name::new(vendor).ok_or_else(|| KeyFileError::Vendor(vendor.to_owned()))?;
        let bytes = BASE64_STANDARD.decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).ok_or(KeyFileError::Form)?;
        TrustedKey::new(id, vendor, key)
    }

    /// Reads a `.pub` file.
    ///
    /// # Errors
    ///
    /// [`KeyFileError::Unreadable`], or what is wrong in it, with the path.
    pub fn read(path: &Path) -> Result<TrustedKey, KeyFileError> {
        use std::io::Read;
        let shown = || path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(PUB_FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| KeyFileError::Unreadable { path: shown(), source })?;
        TrustedKey::parse(&text)
            .map_err(|source| KeyFileError::In { path: shown(), source: Box::new(source) })
    }

    /// The id that KEY names it by; compared exactly.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The one vendor it may sign for; compared without case.
    pub fn vendor(&self) -> &Name {
        &self.vendor
    }

    /// The key itself.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Whether this is the demo vendor, whose private key is public.
    pub fn is_demo(&self) -> bool {
        self.id == DEMO_KEY_ID
    }
}

/// The one line of a `.pub` file (interfaces.md 3), without a line feed.
impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode(self.key.as_bytes());
        write!(f, "{PUB_LABEL} ed25519 {} {} {key}", self.id, self.vendor)
    }
}

/// Whether KEY could carry this id.
pub fn is_key_id(id: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !id.is_empty() && id.len() <= KEY_ID_BYTES_MAX && id.bytes().all(good)
}

/// KEY, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'k> {
    /// Which key made it.
    pub id: &'k str,
    /// The signature.
    pub signature: Signature,
}

impl<'k> KeyValue<'k> {
    /// Reads `ed25519:KEYID:BASE64`; `None` for anything else.
    pub fn parse(text: &'k str) -> Option<KeyValue<'k>> {
        let (id, signature) = text.strip_prefix("ed25519:")?.split_once(':')?;
        let bytes: [u8; 64] = BASE64_STANDARD.decode(signature).ok()?.try_into().ok()?;
        is_key_id(id).then(|| KeyValue { id, signature: Signature::from_bytes(&bytes) })
    }

    /// As it stands in a license file.
    pub fn format(id: &str, signature: &Signature) -> String {
        format!("ed25519:{id}:{}", BASE64_STANDARD.encode(signature.to_bytes()))
    }
}

/// What is known of one feature before its signature is verified.
pub(super) struct Claim<'c> {
    pub(super) vendor: &'c Name,
    pub(super) canonical: &'c [u8],
    pub(super) key: &'c str,
}

/// Why each claim does not hold; `None` for a good signature. One answer a claim, in their order.
pub(super) fn verify(trusted: &[TrustedKey], claims: &[Claim<'_>]) -> Vec<Option<Refusal>> {
    let mut answers: Vec<Option<Refusal>> = claims.iter().map(|_| None).collect();
    let mut by_key: Vec<(Vec<usize>, Vec<batch::Item<'_>>)> =
        trusted.iter().map(|_| Default::default()).collect();
    for (index, (claim, answer)) in claims.iter().zip(&mut answers).enumerate() {
        let Some(value) = KeyValue::parse(claim.key) else {
            let message = "KEY is not of the form ed25519:KEYID:BASE64 with a signature of 64 bytes; \
                           ask the vendor for the file as it was signed";
            *answer = Some(refusal(Reason::BadSignature, message));
            continue;
        };
        let position = trusted.iter().position(|key| key.id == value.id && key.vendor == *claim.vendor);
        match position.and_then(|position| by_key.get_mut(position)) {
            Some((indices, items)) => {
                indices.push(index);
                items.push(batch::Item { message: claim.canonical, signature: value.signature });
            }
            None => *answer = Some(unknown(trusted, value.id, claim.vendor)),
        }
    }
    for (key, (indices, items)) in trusted.iter().zip(by_key) {
        for (index, good) in indices.into_iter().zip(batch::verify(&key.key, &items)) {
            if !good && let Some(answer) = answers.get_mut(index) {
                let message = format!(
                    "the signature of key {} does not fit what the license says; it was changed after it was \
                     signed, ask the vendor for the file as it was signed",
                    key.id
                );
                *answer = Some(refusal(Reason::BadSignature, message));
            }
        }
    }
    answers
}

fn unknown(trusted: &[TrustedKey], id: &str, vendor: &Name) -> Refusal {
    let others: Vec<&str> =
        trusted.iter().filter(|key| key.id == id).map(|key| key.vendor.as_str()).collect();
    let message = if others.is_empty() {
        format!(
            "signed with key {id}, which is not trusted here; get {id}.pub from {vendor} and add it to \
             trusted_vendors in the configuration, or start with --trust {id}.pub"
        )
    } else {
        format!(
            "signed with key {id}, which may sign for {} only, but its VENDOR is {vendor}; ask {vendor} for a \
             license signed with a key of its own",
            others.join(", ")
        )
    };
    refusal(Reason::UnknownVendorKey, message)
}

pub(super) fn refusal(reason: Reason, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into() }
}
