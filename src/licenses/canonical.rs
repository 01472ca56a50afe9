//! The bytes that a vendor signs (L10): what a feature says, whatever its file looks like.
//!
//! Signatures are for ever, so this file never changes; a v2 would stand beside it. docs/LICENSES.md has the
//! form in words and one worked example. Defaults are not filled in, and nothing is normalized but the
//! feature's name.
//!
//! ```text
//! form    = "seatkeeper-feature-v1" 00, string(feature name in ASCII lower case),
//!           list(settings but KEY), blocks(SERVER_HOSTID), blocks(CLIENT_HOSTID)
//! list    = u32 how many, then for each in byte order of (name, value): string(name), string(value)
//! blocks  = u32 how many, then each block as a list, in byte order of these lists
//! string  = u32 how many bytes, then the bytes          (every u32 is little-endian)
//! ```

use seats::license::Fingerprint;
use sha2::{Digest, Sha256};

use super::xml::{BlockKind, RawFeature, RawSetting};

/// What every form begins with; the last byte is zero.
pub const LABEL: &[u8] = b"seatkeeper-feature-v1\0";

/// The canonical form of one feature.
pub fn canonical(feature: &RawFeature<'_>) -> Vec<u8> {
    let name = feature.name.as_ref().map_or("", |name| &*name.value);
    let mut form = Vec::with_capacity(512);
    form.extend_from_slice(LABEL);
    string(&mut form, &name.to_ascii_lowercase());
    list(&mut form, feature.settings.iter().filter(|setting| setting.name != "KEY"));
    for kind in [BlockKind::Server, BlockKind::Client] {
        let blocks = feature.blocks.iter().filter(|block| block.kind == kind);
        let mut encoded: Vec<Vec<u8>> = blocks
            .map(|block| {
                let mut form = Vec::new();
                list(&mut form, block.entries.iter());
                form
            })
            .collect();
        encoded.sort_unstable();
        length(&mut form, encoded.len());
        for block in encoded {
            form.extend_from_slice(&block);
        }
    }
    form
}

/// A license's fingerprint: the SHA-256 of its canonical form (L10).
pub fn fingerprint(canonical: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(canonical).into())
}

fn list<'f>(form: &mut Vec<u8>, settings: impl Iterator<Item = &'f RawSetting<'f>>) {
    let mut pairs: Vec<(&[u8], &[u8])> =
        settings.map(|setting| (setting.name.as_bytes(), setting.value.as_bytes())).collect();
    pairs.sort_unstable();
    length(form, pairs.len());
    for (name, value) in pairs {
        bytes(form, name);
        bytes(form, value);
    }
}

fn string(form: &mut Vec<u8>, text: &str) {
    bytes(form, text.as_bytes());
}

fn bytes(form: &mut Vec<u8>, bytes: &[u8]) {
    length(form, bytes.len());
    form.extend_from_slice(bytes);
}

/// Lengths fit: a file has at most 64 MiB.
fn length(form: &mut Vec<u8>, length: usize) {
    form.extend_from_slice(&(length as u32).to_le_bytes());
}
