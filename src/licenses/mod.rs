//! License files: from a directory of XML to typed, verified licenses and a list of what is wrong with the rest.
//!
//! A file is read by [`xml`] (what is well-formed, and where everything stands), its values are checked by
//! [`settings`] (of a vendor's release catalog by [`releases`]), what was signed is rebuilt by [`canonical`] and held against the trusted keys by [`trust`];
//! [`directory`] does this for every file of the directory and keeps the last good contents, [`watch`](mod@watch) says
//! when to do it again. What the licenses grant on a day is not decided here but in `seats::evaluate`.
//!
//! ```no_run
//! # use seatkeeper::{hostid::HostFacts, licenses::*};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let trusted = vec![TrustedKey::read("acme-2026.pub".as_ref())?];
//! let config = LoaderConfig { directory: "licenses".into(), trusted, ..LoaderConfig::default() };
//! let mut loader = Loader::new(config, HostFacts::collect(None, &[]));
//! let set = loader.load()?;
//! println!("{} licenses, {} problems", set.licenses.len(), set.problems.len());
//! # Ok(()) }
//! ```

use std::sync::Arc;

use seats::license::{License, Reason};
use seats::releases::ReleaseList;
use serde::{Deserialize, Serialize};

mod batch;
pub mod canonical;
pub mod directory;
pub mod fuzz;
mod last_good;
mod load;
mod maintenance;
mod position;
pub mod releases;
pub mod settings;
pub mod trust;
mod values;
pub mod watch;
pub mod xml;

pub use directory::{HostExplanation, LoadError, Loader, LoaderConfig};
pub use trust::{KeyFileError, TrustedKey};
pub use watch::{Watch, watch};

/// The most bytes of one license file (L4): 200,000 features of a usual size fit, and a runaway export does not.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most features of one file (L4).
pub const FILE_FEATURES_MAX: usize = 200_000;
/// The most bytes of all license files of the directory together (L4).
pub const DIRECTORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The most license files in the directory (L4).
pub const DIRECTORY_FILES_MAX: usize = 10_000;
/// The most bytes of one value after unescaping (L4).
pub const VALUE_BYTES_MAX: usize = 8_192;
/// The most settings and host-id entries of one feature. The language has some fifty settings; the rest are
/// for long lists of host ids.
pub const FEATURE_ENTRIES_MAX: usize = 1_000;
/// The most releases of one release list: one a day for 27 years.
pub const FEATURE_RELEASES_MAX: usize = 10_000;
/// The deepest nesting of elements (L4).
pub const DEPTH_MAX: usize = 8;
/// Problems of one file that are told in full; the rest are counted (L4).
pub const FILE_PROBLEMS_MAX: usize = 100;

/// Whether a license must be signed (`signatures`, L11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signatures {
    /// An unsigned feature is refused.
    #[default]
    Required,
    /// Unsigned features load, for trials. A wrong signature is refused all the same.
    Optional,
}

impl std::str::FromStr for Signatures {
    type Err = String;

    fn from_str(text: &str) -> Result<Signatures, String> {
        match text {
            "required" => Ok(Signatures::Required),
            "optional" => Ok(Signatures::Optional),
            other => Err(format!("`{other}` is neither `required` nor `optional`")),
        }
    }
}

/// One thing that is wrong with the license directory, as status, log and `--check` show it (interfaces.md 4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file's name inside the license directory; the directory's own path where the fault is not in a file.
    pub file: Arc<str>,
    /// 1-based; `None` where the fault is of the whole file.
    pub line: Option<u32>,
    /// 1-based, in characters.
    pub column: Option<u32>,
    /// The feature's name as written, where the fault is in one.
    pub feature: Option<String>,
    /// Its SN, where it states one.
    pub sn: Option<String>,
    /// Which of the fixed list (rules 1, section 5).
    pub reason: Reason,
    /// One sentence for a person: what is wrong, the value found, what to do.
    pub message: String,
}

impl Problem {
    /// File, position, feature and message; what [`Display`](std::fmt::Display) shows, without the reason.
    pub fn told(&self) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.to_string(),
        };
        match &self.feature {
            Some(feature) => format!("{place}: {feature}: {}", self.message),
            None => format!("{place}: {}", self.message),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.told(), self.reason)
    }
}

/// What the license directory says: every license, good or refused, and every fault.
///
/// All are sorted by what the licenses say, so neither the order of files nor that of the features in
/// them shows (L6). Two sets are equal when nothing a server acts on differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LicenseSet {
    /// Good ones, and those whose `refusal` says why they never count. Duplicates are still in it (L36).
    pub licenses: Vec<Arc<License>>,
    /// What vendors signed about their releases (rules 3, amendments): good lists, and those whose `refusal` says why they
    /// never count.
    pub releases: Vec<Arc<ReleaseList>>,
    /// Every fault, also those of the refused licenses, by file and position.
    pub problems: Vec<Problem>,
}

/// Reads license files that are in memory, whatever host they are bound to: the vendor's view of them.
///
/// `files` are names and contents; nothing is looked up or kept. A file that is not well-formed gives one problem.
pub fn read_files(files: &[(String, Vec<u8>)], trusted: &[TrustedKey], signatures: Signatures) -> LicenseSet {
    let sources: Vec<load::Source<'_>> =
        files.iter().map(|(file, bytes)| load::Source { file: file.as_str().into(), bytes }).collect();
    let mut set = LicenseSet::default();
    for loaded in load::load(&sources, &load::Judge { trusted, signatures, facts: None }) {
        match loaded {
            Ok(loaded) => {
                set.licenses.extend(loaded.licenses);
                set.releases.extend(loaded.releases);
                set.problems.extend(loaded.problems);
            }
            Err(problem) => set.problems.push(problem),
        }
    }
    set
}

/// A fault of one file as a [`Problem`], for tools that look at a file or two.
pub(crate) fn locate(
    file: &str,
    text: &str,
    raw: Option<&xml::RawFeature<'_>>,
    fault: &xml::Fault,
) -> Problem {
    load::problem(&file.into(), &position::LineIndex::new(text), raw, fault)
}
