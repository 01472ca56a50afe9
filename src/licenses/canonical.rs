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
//!
//! A release list (rules 3, amendments) has a form of its own, of the same parts:
//!
//! ```text
//! form    = "seatkeeper-releases-v1" 00, string(feature name in ASCII lower case),
//!           list(settings but KEY), u32 how many releases, then the attributes of each as a list, in byte order of these lists
//! ```

use seats::license::Fingerprint;
use sha2::{Digest, Sha256};

use super::xml::{BlockKind, RawFeature, RawSetting};

/// What every form begins with; the last byte is zero.
pub const LABEL: &[u8] = b"seatkeeper-feature-v1\0";

/// What the form of a release list begins with; the last byte is zero.
pub const RELEASES_LABEL: &[u8] = b"seatkeeper-releases-v1\0";

/// The canonical form of one feature.
pub fn canonical(feature: &RawFeature<'_>) -> Vec<u8> {
    let mut form = begin(LABEL, feature);
    for kind in [BlockKind::Server, BlockKind::Client] {
        lists(&mut form, feature.blocks.iter().filter(|b| b.kind == kind).map(|block| &block.entries));
    }
    form
}

/// The canonical form of the release list of one feature.
pub fn canonical_releases(feature: &RawFeature<'_>) -> Vec<u8> {
    let mut form = begin(RELEASES_LABEL, feature);
    lists(&mut form, feature.releases.iter().map(|release| &release.attributes));
    form
}

/// What both forms begin with: the label, the name, the settings but KEY.
fn begin(label: &[u8], feature: &RawFeature<'_>) -> Vec<u8> {
    let name = feature.name.as_ref().map_or("", |name| &*name.value);
    let mut form = Vec::with_capacity(512);
    form.extend_from_slice(label);
    string(&mut form, &name.to_ascii_lowercase());
    list(&mut form, feature.settings.iter().filter(|setting| setting.name != "KEY"));
    form
}

/// How many lists, then the lists, in the order of their bytes.
fn lists<'f>(form: &mut Vec<u8>, of: impl Iterator<Item = &'f Vec<RawSetting<'f>>>) {
    let mut encoded: Vec<Vec<u8>> = of
        .map(|entries| {
            let mut form = Vec::new();
            list(&mut form, entries.iter());
            form
        })
        .collect();
    encoded.sort_unstable();
    length(form, encoded.len());
    encoded.iter().for_each(|list| form.extend_from_slice(list));
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
