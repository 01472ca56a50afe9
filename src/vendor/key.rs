//! A vendor's key pair on disk: `ID.key` (PKCS#8 PEM) and `ID.pub` (one line, for servers and programs).

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding};
use ed25519_dalek::{Signer, SigningKey};
use seats::license::Name;
use zeroize::Zeroizing;

use crate::licenses::KeyFileError;
use crate::licenses::trust::{KeyValue, TrustedKey};

/// Where a PEM file's key begins; OpenSSL and we ignore what stands before it.
const PEM_BEGIN: &str = "-----BEGIN";

/// What went wrong with a vendor's key.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("{0} is not a vendor's name; use 1 to 64 ASCII letters, digits, `_` and `-`")]
    Vendor(String),
    #[error(transparent)]
    Public(#[from] KeyFileError),
    #[error("{0} exists; a key is never overwritten, choose another --id or move it away")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("no random numbers to be had: {0}")]
    Random(getrandom::Error),
    #[error("{0} is not an Ed25519 private key in PKCS#8 PEM; `seatkeeper vendor keygen` makes one")]
    Form(PathBuf),
    #[error("{0} is not the public key of this private key; put the right one beside it")]
    Mismatch(PathBuf),
}

/// The two files of a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeKey {
    /// The private key, mode 0600.
    pub private: PathBuf,
    /// The public key, for servers.
    pub public: PathBuf,
    /// What the public file says.
    pub identity: TrustedKey,
}

/// Makes a key pair in the directory `out`, which is made when it is missing.
///
/// # Errors
///
/// Where the names cannot stand in a license, or one of the files exists: a key is never overwritten.
pub fn keygen(vendor: &str, id: &str, out: &Path) -> Result<MadeKey, KeyError> {
    let vendor = Name::new(vendor).ok_or_else(|| KeyError::Vendor(vendor.to_owned()))?;
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(KeyError::Random)?;
    let key = SigningKey::from_bytes(&seed);
    let identity = TrustedKey::new(id, vendor, key.verifying_key())?;
    let (private, public) = (out.join(format!("{id}.key")), out.join(format!("{id}.pub")));
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Io { path, source }
    };
    fs::create_dir_all(out).map_err(io_error(out))?;
    for path in [&private, &public] {
        if path.exists() {
            return Err(KeyError::Exists(path.clone()));
        }
    }
    let pem = pem(&key).ok_or_else(|| KeyError::Form(private.clone()))?;
    create(&private, 0o600, pem.as_bytes()).map_err(io_error(&private))?;
    create(&public, 0o644, format!("{identity}\n").as_bytes()).map_err(io_error(&public))?;
    Ok(MadeKey { private, public, identity })
}

/// PKCS#8 version 1, without the public part: OpenSSL 3.0 reads no other.
fn pem(key: &SigningKey) -> Option<Zeroizing<String>> {
    KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_pem(LineEnding::LF).ok()
}

/// Creates a file that must not exist, and has it on disk before it returns.
fn create(path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// A vendor's private key, with the identity its public file gives it.
pub struct VendorKey {
    identity: TrustedKey,
    key: SigningKey,
}

impl VendorKey {
    /// Reads `ID.key`, and `ID.pub` beside it, which says the key's id and vendor.
    ///
    /// # Errors
    ///
    /// Where one of the files cannot be used, or they do not belong together.
    pub fn read(path: &Path) -> Result<VendorKey, KeyError> {
        let text = fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let begin = text.find(PEM_BEGIN).ok_or_else(|| KeyError::Form(path.to_owned()))?;
        let pem = text.get(begin..).unwrap_or("");
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Form(path.to_owned()))?;
        let public = path.with_extension("pub");
        let identity = TrustedKey::read(&public)?;
        if *identity.key() != key.verifying_key() {
            return Err(KeyError::Mismatch(public));
        }
        Ok(VendorKey { identity, key })
    }

    /// A key from its secret, for tests and for keys that are not in files.
    ///
    /// # Errors
    ///
    /// As [`TrustedKey::new`].
    pub fn from_secret(id: &str, vendor: Name, secret: &[u8; 32]) -> Result<VendorKey, KeyError> {
        let key = SigningKey::from_bytes(secret);
        Ok(VendorKey { identity: TrustedKey::new(id, vendor, key.verifying_key())?, key })
    }

    /// Its id, its vendor and its public half.
    pub fn identity(&self) -> &TrustedKey {
        &self.identity
    }

    /// KEY for a canonical form (L10).
    pub fn sign(&self, canonical: &[u8]) -> String {
        KeyValue::format(self.identity.id(), &self.key.sign(canonical))
    }
}

impl std::fmt::Debug for VendorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VendorKey").field("id", &self.identity.id()).finish_non_exhaustive()
    }
}

/// A random UUID of version 4.
///
/// # Errors
///
/// Where the system has no random numbers.
pub fn random_sn() -> Result<String, KeyError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_private_reads_back_and_is_never_overwritten() {
        let out = tempfile::tempdir().unwrap();
        let made = keygen("ACME", "acme-2026", out.path()).unwrap();
        assert_eq!(fs::metadata(&made.private).unwrap().permissions().mode() & 0o777, 0o600);
        let line = fs::read_to_string(&made.public).unwrap();
        assert!(
            line.starts_with("seatkeeper-vendor-key ed25519 acme-2026 ACME ") && line.lines().count() == 1
        );
        let key = VendorKey::read(&made.private).unwrap();
        assert_eq!(*key.identity(), made.identity);
        let before = fs::read(&made.private).unwrap();
        assert!(matches!(keygen("ACME", "acme-2026", out.path()), Err(KeyError::Exists(_))));
        assert_eq!(fs::read(&made.private).unwrap(), before);
    }

    #[test]
    fn a_public_key_of_another_pair_is_noticed() {
        let out = tempfile::tempdir().unwrap();
        let one = keygen("ACME", "one", out.path()).unwrap();
        let two = keygen("ACME", "two", out.path()).unwrap();
        fs::copy(&two.public, &one.public).unwrap();
        assert!(matches!(VendorKey::read(&one.private), Err(KeyError::Mismatch(_))));
    }

    #[test]
    fn serial_numbers_are_random_uuids() {
        let (one, two) = (random_sn().unwrap(), random_sn().unwrap());
        assert_ne!(one, two);
        assert_eq!((one.len(), one.as_bytes()[14]), (36, b'4'));
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{one}");
    }

    #[test]
    fn names_that_cannot_stand_in_a_license_are_refused() {
        let out = tempfile::tempdir().unwrap();
        assert!(matches!(keygen("Åcme", "a", out.path()), Err(KeyError::Vendor(_))));
        assert!(matches!(keygen("ACME", "../a", out.path()), Err(KeyError::Public(_))));
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
