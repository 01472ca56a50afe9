//! The license directory: which files there are, what was in them before, and the set they make (L6).
//!
//! [`Loader::load`] is called at start, by the watcher and by `reload`; it reads everything and returns a whole
//! new [`LicenseSet`]. It takes as long as it takes and belongs on a thread of its own; the caller swaps the set
//! in. Files whose contents are the same keep their licenses and are not verified again.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use seats::license::{Fingerprint, KeyType, License, Name, Place, Reason};
use seats::releases::ReleaseList;

use super::last_good::{self, Contents, Update, contents};
use super::load::{Judge, Loaded, Source, load};
use super::position::LineIndex;
use super::trust::TrustedKey;
use super::{
    DIRECTORY_BYTES_MAX, DIRECTORY_FILES_MAX, FILE_BYTES_MAX, LicenseSet, Problem, Signatures, settings, xml,
};
use crate::hostid::{HostFacts, HostMatch};

/// Where licenses are and whose signatures count.
#[derive(Clone, Debug, Default)]
pub struct LoaderConfig {
    /// The license directory. Its sub-directories are not read.
    pub directory: PathBuf,
    /// Vendor keys of the configuration (L11).
    pub trusted: Vec<TrustedKey>,
    /// Whether unsigned features load.
    pub signatures: Signatures,
    /// Where the last good contents of each file are kept, for this use alone; made when it is missing. `None`:
    /// they are kept in memory, and a restart forgets them.
    pub last_good: Option<PathBuf>,
}

/// The license directory cannot be read, and nothing is known of what was in it.
#[derive(Debug, thiserror::Error)]
#[error("{}: the license directory cannot be read: {source}", directory.display())]
pub struct LoadError {
    directory: PathBuf,
    source: io::Error,
}

/// Reads the license directory, again and again.
#[derive(Debug)]
pub struct Loader {
    config: LoaderConfig,
    facts: HostFacts,
    known: BTreeMap<String, Known>,
    /// Copies in the state directory: the file's name and the digest of what is kept. `None` before the first load.
    copies: Option<BTreeMap<String, String>>,
    saving: Option<JoinHandle<io::Result<()>>>,
}

/// How one license's SERVER_HOSTID blocks stand to this host.
#[derive(Clone, Debug)]
pub struct HostExplanation {
    /// Its serial number.
    pub sn: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
    /// HOSTID_MATCH_RATE, percent.
    pub match_rate: u8,
    /// Entry by entry.
    pub found: HostMatch,
}

/// A file that loaded.
#[derive(Debug)]
struct Known {
    /// Of the bytes that made it; `None` where they must be judged again.
    contents: Option<Contents>,
    loaded: Loaded,
}

/// What became of one file's bytes.
enum Fetched {
    Read(Vec<u8>),
    Unreadable(String),
    Gone,
}

impl Loader {
    /// A loader that has read nothing yet.
    pub fn new(config: LoaderConfig, facts: HostFacts) -> Loader {
        Loader { config, facts, known: BTreeMap::new(), copies: None, saving: None }
    }

    /// What it was made with.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// Trusts other keys from the next load on, which then judges every file again.
    pub fn set_trusted(&mut self, trusted: Vec<TrustedKey>, signatures: Signatures) {
        (self.config.trusted, self.config.signatures) = (trusted, signatures);
        self.known.values_mut().for_each(|known| known.contents = None);
    }

    /// Takes other facts of this host from the next load on; where they differ, every file is judged again.
    pub fn set_host_facts(&mut self, facts: HostFacts) {
        if self.facts != facts {
            self.facts = facts;
            self.known.values_mut().for_each(|known| known.contents = None);
        }
    }

    /// Reads the directory and returns all it says.
    ///
    /// A file that loaded before and is now unreadable or not well-formed grants from its last good contents, a
    /// directory that cannot be read from those of all its files; both are listed under problems. A file that is
    /// gone is gone.
    ///
    /// # Errors
    ///
    /// [`LoadError`] where the directory cannot be read and no license of it is known.
    pub fn load(&mut self) -> Result<LicenseSet, LoadError> {
        let mut problems: Vec<Problem> = self.finish_saving().into_iter().collect();
        let copies = match self.copies.take() {
            Some(copies) => copies,
            None => self.config.last_good.as_deref().map(last_good::index).unwrap_or_default(),
        };
        let directory: Arc<str> = self.config.directory.display().to_string().into();
        let (names, listed) = match list(&self.config.directory) {
            Ok(listing) => {
                for name in listing.unnameable {
                    let message = "its name is not UTF-8; rename it".to_owned();
                    problems.push(of_file(&name.into(), Reason::BadXml, message));
                }
                (listing.names, true)
            }
            Err(source) => {
                let names: BTreeSet<String> = self.known.keys().chain(copies.keys()).cloned().collect();
                if names.is_empty() {
                    self.copies = Some(copies);
                    return Err(LoadError { directory: self.config.directory.clone(), source });
                }
                let message = format!(
                    "the license directory cannot be read: {source}; the licenses known before stay in force, mend it"
                );
                problems.push(of_file(&directory, Reason::BadXml, message));
                (names.into_iter().collect(), false)
            }
        };
        let mut pass = Pass { copies, update: Update::default(), problems, now: BTreeMap::new() };
        if listed {
            self.read_files(&directory, names, &mut pass);
        } else {
            let why = names.into_iter().map(|name| (name, None)).collect();
            self.fall_back(why, &mut pass);
        }
        Ok(self.conclude(pass, listed))
    }

    /// Waits until the last good contents are on disk. Loading, and dropping the loader, do so by themselves.
    ///
    /// # Errors
    ///
    /// The first copy that could not be written; the next load tries again.
    pub fn flush(&mut self) -> io::Result<()> {
        let result = match self.saving.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        };
        if result.is_err() {
            // What is on disk is looked at anew, and what is missing written again.
            self.copies = None;
        }
        result
    }

    /// How the SERVER_HOSTID blocks of every license of a feature stand to this host (`hostid --explain`).
    /// Files that cannot be read are left out; [`Loader::load`] says what is wrong with them.
    pub fn explain_host_ids(&self, feature: &Name) -> Vec<HostExplanation> {
        let mut found = Vec::new();
        for file in list(&self.config.directory).unwrap_or_default().names {
            let Fetched::Read(bytes) = fetch(&self.config.directory.join(&file)) else { continue };
            let Ok(text) = xml::decode(&bytes) else { continue };
            let Ok(document) = xml::read(text) else { continue };
            let lines = LineIndex::new(text);
            // Release lists are bound to no host.
            let features = document.features.iter().filter(|_| document.root == xml::Root::LicenseFile);
            for raw in features {
                let checked = settings::check(raw);
                let Some(license) = checked.license.filter(|license| license.feature == *feature) else {
                    continue;
                };
                let (line, column) = lines.line_column(raw.at);
                let place = Place { file: file.as_str().into(), line, column };
                found.push(HostExplanation {
                    sn: license.sn.clone(),
                    place,
                    match_rate: license.match_rate,
                    found: self.facts.explain(&checked.server_host_ids, license.match_rate),
                });
            }
        }
        found
    }

    /// The files of a directory that could be listed.
    fn read_files(&mut self, directory: &Arc<str>, names: Vec<String>, pass: &mut Pass) {
        let mut unusable: Vec<(String, Option<Problem>)> = Vec::new();
        let mut fresh: Vec<(String, Contents, Vec<u8>)> = Vec::new();
        // Files that granted before come first, so that new ones cannot push them over the limits.
        let (before, new): (Vec<String>, Vec<String>) = names
            .into_iter()
            .partition(|name| self.known.contains_key(name) || pass.copies.contains_key(name));
        let (mut files, mut bytes_left, mut refused) = (0, DIRECTORY_BYTES_MAX, Vec::new());
        for name in before.into_iter().chain(new) {
            if files == DIRECTORY_FILES_MAX {
                refused.push(name);
                continue;
            }
            match fetch(&self.config.directory.join(&name)) {
                Fetched::Gone => {}
                Fetched::Unreadable(message) => {
                    files += 1;
                    let problem = of_file(&name.as_str().into(), Reason::BadXml, message);
                    unusable.push((name, Some(problem)));
                }
                Fetched::Read(bytes) if bytes.len() as u64 > bytes_left => refused.push(name),
                Fetched::Read(bytes) => {
                    files += 1;
                    bytes_left -= bytes.len() as u64;
                    let contents = contents(&bytes);
                    match self.known.remove(&name) {
                        Some(known) if known.contents == Some(contents) => {
                            pass.now.insert(name.clone(), known);
                            // Its copy may be missing: the disk was full, or somebody took it away.
                            if self.config.last_good.is_some() && !pass.copies.contains_key(&name) {
                                pass.update.good.push((name, contents, bytes));
                            }
                        }
                        other => {
                            // Kept for the case that the new contents are not well-formed.
                            other.and_then(|known| self.known.insert(name.clone(), known));
                            fresh.push((name, contents, bytes));
                        }
                    }
                }
            }
        }
        if let Some(first) = refused.first() {
            let message = format!(
                "the directory holds more than {DIRECTORY_FILES_MAX} license files or {} MiB; {} files are refused, \
                 the first of them {first}",
                DIRECTORY_BYTES_MAX >> 20,
                refused.len()
            );
            pass.problems.push(of_file(directory, Reason::BadXml, message));
        }
        let loaded = self.judge(fresh.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice())));
        for ((name, contents, bytes), loaded) in fresh.into_iter().zip(loaded) {
            match loaded {
                Ok(loaded) => {
                    pass.now.insert(name.clone(), Known { contents: Some(contents), loaded });
                    pass.update.good.push((name, contents, bytes));
                }
                Err(problem) => unusable.push((name, Some(problem))),
            }
        }
        self.fall_back(unusable, pass);
    }

    /// Files that cannot be used: their last good contents, from memory or from the state directory.
    fn fall_back(&mut self, unusable: Vec<(String, Option<Problem>)>, pass: &mut Pass) {
        let mut copies: Vec<(String, Vec<u8>)> = Vec::new();
        let mut without: BTreeSet<String> = BTreeSet::new();
        for (name, _) in &unusable {
            if self.known.get(name).is_some_and(|known| known.contents.is_some()) {
                continue;
            }
            let directory = self.config.last_good.as_deref();
            match directory.filter(|_| pass.copies.contains_key(name)).and_then(|d| last_good::read(d, name))
            {
                Some(bytes) => copies.push((name.clone(), bytes)),
                None => {
                    without.insert(name.clone());
                }
            }
        }
        let loaded = self.judge(copies.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        for ((name, bytes), loaded) in copies.iter().zip(loaded) {
            match loaded {
                Ok(loaded) => {
                    let contents = Some(contents(bytes));
                    self.known.insert(name.clone(), Known { contents, loaded });
                }
                Err(_) => {
                    without.insert(name.clone());
                }
            }
        }
        for (name, problem) in unusable {
            let known = self.known.remove(&name).filter(|_| !without.contains(&name));
            if let Some(mut problem) = problem {
                if known.is_some() {
                    problem
                        .message
                        .push_str("; its last good contents stay in force until it is mended or deleted");
                }
                pass.problems.push(problem);
            }
            if let Some(known) = known {
                pass.now.insert(name, known);
            }
        }
    }

    fn judge<'f>(&self, files: impl Iterator<Item = (&'f str, &'f [u8])>) -> Vec<Result<Loaded, Problem>> {
        let sources: Vec<Source<'_>> =
            files.map(|(file, bytes)| Source { file: file.into(), bytes }).collect();
        let judge = Judge {
            trusted: &self.config.trusted,
            signatures: self.config.signatures,
            facts: Some(&self.facts),
        };
        load(&sources, &judge)
    }

    fn conclude(&mut self, mut pass: Pass, listed: bool) -> LicenseSet {
        if listed {
            pass.update.gone =
                pass.copies.keys().filter(|name| !pass.now.contains_key(*name)).cloned().collect();
        }
        pass.update
            .good
            .retain(|(name, contents, _)| pass.copies.get(name) != Some(&last_good::hex(contents)));
        for (name, contents, _) in &pass.update.good {
            pass.copies.insert(name.clone(), last_good::hex(contents));
        }
        for name in &pass.update.gone {
            pass.copies.remove(name);
        }
        if let Some(directory) = self.config.last_good.clone()
            && !(pass.update.good.is_empty() && pass.update.gone.is_empty())
        {
            let update = pass.update;
            self.saving = Some(std::thread::spawn(move || last_good::save(&directory, &update)));
        } else {
            // Without a directory there are no copies to look for.
            pass.copies.retain(|_, _| self.config.last_good.is_some());
        }
        self.copies = Some(pass.copies);
        self.known = pass.now;
        self.set(pass.problems)
    }

    fn set(&self, mut problems: Vec<Problem>) -> LicenseSet {
        let loaded = || self.known.values().map(|known| &known.loaded);
        let mut licenses: Vec<Arc<License>> = loaded().flat_map(|one| one.licenses.iter().cloned()).collect();
        licenses.sort_unstable_by(|a, b| in_order(a, b));
        let mut releases: Vec<Arc<ReleaseList>> =
            loaded().flat_map(|one| one.releases.iter().cloned()).collect();
        releases.sort_unstable_by(|a, b| lists_in_order(a, b));
        problems.extend(loaded().flat_map(|one| one.problems.iter().cloned()));
        // The line that counts the rest has no position and belongs after the others of its file.
        problems.sort_by(|a, b| {
            let key = |p: &Problem| (p.line.is_none(), p.line, p.column);
            a.file.cmp(&b.file).then_with(|| key(a).cmp(&key(b)))
        });
        LicenseSet { licenses, releases, problems }
    }

    fn finish_saving(&mut self) -> Option<Problem> {
        let error = self.flush().err()?;
        let directory = self.config.last_good.as_deref().unwrap_or(Path::new("")).display().to_string();
        let message = format!(
            "the last good contents of the license files cannot be kept: {error}; mend it, or a file that breaks \
             while the server is stopped grants nothing"
        );
        Some(of_file(&directory.into(), Reason::BadXml, message))
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // What went wrong is told by the next load; here nobody is left to hear it.
        if let Some(saving) = self.saving.take() {
            let _ = saving.join();
        }
    }
}

/// One load on its way.
struct Pass {
    copies: BTreeMap<String, String>,
    update: Update,
    problems: Vec<Problem>,
    now: BTreeMap<String, Known>,
}

/// By what the licenses say; where they stand decides only between equal ones.
fn in_order(a: &License, b: &License) -> Ordering {
    fn key(license: &License) -> (KeyType, Option<&str>, Fingerprint) {
        (license.key_type, license.sn.as_deref(), license.fingerprint)
    }
    // Most files are one vendor's, written one way.
    let vendor =
        if a.vendor.as_str() == b.vendor.as_str() { Ordering::Equal } else { a.vendor.cmp(&b.vendor) };
    vendor
        .then_with(|| a.feature.cmp(&b.feature))
        .then_with(|| key(a).cmp(&key(b)))
        .then_with(|| place(&a.place).cmp(&place(&b.place)))
}

/// Release lists in the same way.
fn lists_in_order(a: &ReleaseList, b: &ReleaseList) -> Ordering {
    let key = |list: &ReleaseList| (list.issued, list.fingerprint);
    (a.vendor.cmp(&b.vendor))
        .then_with(|| a.feature.cmp(&b.feature))
        .then_with(|| key(a).cmp(&key(b)))
        .then_with(|| place(&a.place).cmp(&place(&b.place)))
}

fn place(place: &Place) -> (&str, u32, u32) {
    (&place.file, place.line, place.column)
}

fn of_file(file: &Arc<str>, reason: Reason, message: String) -> Problem {
    Problem { file: file.clone(), line: None, column: None, feature: None, sn: None, reason, message }
}

/// The license files of a directory.
#[derive(Default)]
struct Listing {
    /// Sorted.
    names: Vec<String>,
    /// Names that are not UTF-8, as well as they can be shown.
    unnameable: Vec<String>,
}

/// Lists `*.xml` and `*.lic`, without dot-files, `*.tmp` and `*~`.
fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let shown = name.to_string_lossy();
        if shown.starts_with('.') || !(shown.ends_with(".xml") || shown.ends_with(".lic")) {
            continue;
        }
        match name.to_str() {
            Some(name) => listing.names.push(name.to_owned()),
            None => listing.unnameable.push(shown.into_owned()),
        }
    }
    listing.names.sort_unstable();
    Ok(listing)
}

/// Reads one file, following links, and tells "gone" from "cannot be read".
fn fetch(path: &Path) -> Fetched {
    match read_bounded(path) {
        Ok(bytes) => Fetched::Read(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Fetched::Gone,
            Ok(_) => Fetched::Unreadable(
                "it is a link to a file that does not exist; mend or delete it".to_owned(),
            ),
            Err(error) => Fetched::Unreadable(format!("it cannot be read: {error}")),
        },
        Err(error) => Fetched::Unreadable(format!("it cannot be read: {error}")),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Not blocking: a named pipe under the name of a license file must not stop the server.
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "it is a directory" } else { "it is not a regular file" };
        return Err(io::Error::other(what));
    }
    let too_big = || {
        let message = format!("it is larger than {} MiB; split it", FILE_BYTES_MAX >> 20);
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    };
    if metadata.len() > FILE_BYTES_MAX {
        return too_big();
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { too_big() } else { Ok(bytes) }
}
