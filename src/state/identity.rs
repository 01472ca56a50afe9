//! The server's own key: what SERVERKEY in a license names and what signs borrow tokens (S40).
//!
//! Made at the first start, kept in the state directory, never replaced by the program. It has
//! nothing to do with vendors' keys, which never are on a server.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use ed25519_dalek::{
    Signature, Signer, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{StateError, io_error, write_durably};

/// Far more than a key of this kind takes; a wrong file is not read whole.
const FILE_BYTES_MAX: u64 = 4096;

/// The server's Ed25519 key pair. Its memory is wiped when it is dropped.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// Where the key lies in a state directory.
    pub fn path(state: &Path) -> PathBuf {
        state.join("identity.key")
    }

    /// Reads the key; `None` when there is none.
    ///
    /// # Errors
    /// [`StateError::BadIdentity`] when the file is not such a key, [`StateError::Io`].
    pub fn load(state: &Path) -> Result<Option<Self>, StateError> {
        let path = Self::path(state);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open the identity key", path)(error)),
        };
        let bad = |reason: String| StateError::BadIdentity { path: path.clone(), reason };
        if file.metadata().map_err(io_error("read the identity key", &path))?.len() > FILE_BYTES_MAX {
            return Err(bad(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        let pem = Zeroizing::new(fs::read(&path).map_err(io_error("read the identity key", &path))?);
        let pem = std::str::from_utf8(&pem).map_err(|error| bad(error.to_string()))?;
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|error| bad(error.to_string()))?;
        Ok(Some(Self { key }))
    }

    /// Draws a key and writes it, 0600, synced.
    pub(super) fn create(state: &Path) -> Result<Self, StateError> {
        let path = Self::path(state);
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)
            .map_err(|error| io_error("draw a key", &path)(io::Error::other(error.to_string())))?;
        let key = SigningKey::from_bytes(&seed);
        let identity = Self { key };
        identity.write(state)?;
        Ok(identity)
    }

    /// Writes the key where there is none, 0600, synced.
    pub(super) fn write(&self, state: &Path) -> Result<(), StateError> {
        let path = Self::path(state);
        // Without the public half it is PKCS#8 v1, the form that OpenSSL 3.0 reads.
        let pem = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None }
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| io_error("encode the key", &path)(io::Error::other(error.to_string())))?;
        write_durably(state, &path, pem.as_bytes(), 0o600).map_err(io_error("write the identity key", &path))
    }

    /// The SHA-256 of the public key, 64 lower-case hexadecimal digits: the SERVERKEY (L12).
    pub fn fingerprint(&self) -> String {
        Sha256::digest(self.public_key().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The public half.
    pub fn public_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs a message with the server's key.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.key.sign(message)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing secret may reach a log.
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint()).finish()
    }
}
