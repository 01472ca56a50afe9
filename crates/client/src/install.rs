//! The install id: drawn once for an installation of the program, and kept (S2).
//!
//! It says which client asks, also after a restart of the program or a change of address. It is no secret and says nothing
//! of the machine or the user: it is random.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Sixteen random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstallId(pub [u8; 16]);

impl InstallId {
    /// The one kept for this user on this machine; it is drawn and kept at the first call. Where it cannot be kept (no
    /// home directory, a read-only disk) it is another one in each process, which harms nothing but a resume after a
    /// restart of the program.
    pub fn kept() -> InstallId {
        directory().and_then(|d| InstallId::kept_in(&d).ok()).unwrap_or_else(InstallId::fresh)
    }

    /// The one kept in the file `install-id` of this directory, drawn if there is none or it is damaged. Two processes
    /// that do this at once get the same.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or the file in it can be neither read nor written.
    pub fn kept_in(directory: &Path) -> io::Result<InstallId> {
        let path = directory.join("install-id");
        if let Some(id) = read(&path)? {
            return Ok(id);
        }
        create_directory(directory)?;
        let id = InstallId::fresh();
        let draft =
            directory.join(format!("install-id.{:x}", getrandom::u64().unwrap_or(std::process::id().into())));
        let mut file = create_file(&draft)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        // A link fails where a file is, so the first of several processes wins; only a damaged file is replaced.
        let placed = match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && read(&path)?.is_some() => Ok(()),
            Ok(()) => Ok(()),
            Err(_) => fs::rename(&draft, &path),
        };
        let _ = fs::remove_file(&draft);
        placed?;
        read(&path)?.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the install id is damaged"))
    }

    /// A new one, kept nowhere.
    pub fn fresh() -> InstallId {
        let mut bytes = [0; 16];
        // Without random numbers all zeros: such a client still gets its seats.
        let _ = getrandom::fill(&mut bytes);
        InstallId(bytes)
    }
}

impl fmt::Display for InstallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for InstallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write!(text, "{self}")?;
        f.debug_tuple("InstallId").field(&text).finish()
    }
}

/// `None`: no such file, or not an install id in it.
fn read(path: &Path) -> io::Result<Option<InstallId>> {
    let text = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let digits = text.trim_ascii();
    let mut id = [0; 16];
    if digits.len() != 32 {
        return Ok(None);
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return Ok(None) };
        *byte = high << 4 | low;
    }
    Ok(Some(InstallId(id)))
}

/// Where programs of this system keep what outlives them.
pub(crate) fn directory() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else {
        match variable("XDG_STATE_HOME") {
            Some(base) => base,
            None => variable("HOME")?.join(".local/state"),
        }
    };
    Some(base.join("seatkeeper"))
}

#[cfg(unix)]
pub(crate) use crate::unix::{create_private as create_file, create_private_directory as create_directory};

#[cfg(not(unix))]
pub(crate) fn create_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(not(unix))]
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_id_is_drawn_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        let first = InstallId::kept_in(&deep).unwrap();
        assert_eq!(InstallId::kept_in(&deep).unwrap(), first);
        assert_ne!(InstallId::fresh(), first);
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn many_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<InstallId> = std::thread::scope(|scope| {
            let draw = || InstallId::kept_in(dir.path()).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_damaged_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("install-id"), "what?\n").unwrap();
        let id = InstallId::kept_in(dir.path()).unwrap();
        assert_eq!(InstallId::kept_in(dir.path()).unwrap(), id);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = tempfile::tempdir().unwrap();
        InstallId::kept_in(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("install-id")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
