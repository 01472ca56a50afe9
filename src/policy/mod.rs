//! The administrator's policy file: TOML in, a checked [`RuleSet`] out (S50).
//!
//! Everything wrong is found at once, each with file, line and column; a file with any error counts as a whole for
//! nothing. What the rules mean is in [`seats::policy`], what each is good for on this server in [`analysis`]. Nothing here watches the file or serves by it: the daemon does.
//!
//! The form of the file is docs/POLICY.md.

pub mod analysis;
mod groups;
mod pieces;
mod rules;
mod source;
mod text;
mod values;
mod who;

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use seats::policy::{Policy, RuleSet};
use seats::request::NameRules;
use toml::de::{DeTable, DeValue};

use self::source::Source;

/// The largest policy read, bytes. One of 10,000 rules and 100,000 users has about 2 MB.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// The most rules: ten times what the largest known site has.
pub const RULES_MAX: usize = 100_000;
/// The most groups.
pub const GROUPS_MAX: usize = 100_000;
/// The most names in all groups and rules together: users, hosts, addresses, projects, features, and groups where a rule
/// names them.
pub const NAMES_MAX: usize = 1_000_000;
/// The most errors told at once. Who has made more has made one of them many times.
pub const ERRORS_MAX: usize = 100;

/// Something wrong with a policy file.
///
/// `Display` gives one line, `file:line:column: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file, as it was named to the reader.
    pub file: Arc<str>,
    /// Line and column, both from 1, the column in characters; `None` where it is about the file as a whole.
    pub place: Option<(u32, u32)>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PolicyError {}

/// Reads the text of a policy. `file`: what rules and errors say they are from.
///
/// # Errors
/// Everything wrong, in the order of the file, at most [`ERRORS_MAX`] and one that counts the rest. Where the text is
/// no TOML, only that.
pub fn read(file: &str, text: &str) -> Result<RuleSet, Vec<PolicyError>> {
    let file: Arc<str> = file.into();
    if text.len() <= FILE_BYTES_MAX
        && let Some(rules) = pieces::read(&file, text, pieces::PIECE_BYTES)
    {
        return Ok(rules);
    }
    read_whole(file, text)
}

/// As [`read`], at one go; finds everything wrong.
fn read_whole(file: Arc<str>, text: &str) -> Result<RuleSet, Vec<PolicyError>> {
    let mut source = Source::new(file, text);
    if text.len() > FILE_BYTES_MAX {
        source
            .fault(None, format!("{} bytes are too many for a policy; at most {FILE_BYTES_MAX}", text.len()));
        return Err(source.errors());
    }
    let (root, faults) = DeTable::parse_recoverable(text);
    for fault in &faults {
        source.toml_fault(fault);
    }
    // After a slip of form, what follows is guesswork. A key given twice leaves the rest readable.
    if faults.iter().any(|fault| fault.message() != source::DUPLICATE_KEY) {
        return Err(source.errors());
    }
    let (mut groups, mut rules) = (None, None);
    for (key, value) in root.get_ref() {
        match key.get_ref().as_ref() {
            "groups" => groups = Some(value),
            "rule" => rules = Some(value),
            _ => source.unknown_key(
                key,
                &["[groups.users]", "[groups.hosts]", "[groups.addresses]", "[groups.projects]", "[[rule]]"],
            ),
        }
    }
    let groups = groups::read(groups, &mut source);
    let rules = match rules.map(|value| (value.get_ref(), value.span())) {
        None => Vec::new(),
        Some((DeValue::Array(array), _)) => rules::read(array, &groups, &mut source),
        Some((_, span)) => {
            source
                .fault(Some(span), "\"rule\" is a list")
                .help("start each rule with [[rule]], in two pairs of brackets");
            Vec::new()
        }
    };
    match source.is_good() {
        true => Ok(RuleSet { groups: groups.all, rules }),
        false => Err(source.errors()),
    }
}

/// Reads a policy file. Its rules say that they are from the file of that name; errors give the whole path.
///
/// # Errors
/// As [`read`]; or one that says why the file cannot be read.
pub fn read_file(path: &Path) -> Result<RuleSet, Vec<PolicyError>> {
    let shown: Arc<str> = path.display().to_string().into();
    let whole = |message: String| vec![PolicyError { file: shown.clone(), place: None, message, help: None }];
    let text = text_of(path).map_err(whole)?;
    let name = path.file_name().map_or_else(|| shown.to_string(), |name| name.to_string_lossy().into_owned());
    let text = match String::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let mut source =
                Source::new(shown.clone(), std::str::from_utf8(&bytes[..good]).unwrap_or_default());
            source.fault(Some(good..good), "this is no UTF-8").help("save the file as UTF-8");
            return Err(source.errors());
        }
    };
    read(&name, &text).map_err(|errors| {
        errors.into_iter().map(|error| PolicyError { file: shown.clone(), ..error }).collect()
    })
}

fn text_of(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("the policy cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err("the policy cannot be read: it is not a file".to_owned());
    }
    let mut text = Vec::new();
    // A file may grow while it is read.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("the file is too large for a policy; at most {FILE_BYTES_MAX} bytes are read"));
    }
    Ok(text)
}

/// What is done with any bytes whatever, for the fuzzer and for the replay of its corpus: reading, and asking what was
/// read. It must end, and must not panic.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file: Arc<str> = "policy.toml".into();
    let whole = read_whole(file.clone(), text);
    for piece_bytes in [0, 100, pieces::PIECE_BYTES] {
        if let Some(rules) = pieces::read(&file, text, piece_bytes) {
            assert_eq!(Ok(&rules), whole.as_ref(), "read in pieces of {piece_bytes} bytes");
        }
    }
    match whole {
        Ok(rules) => {
            for rule in &rules.rules {
                assert!(!rule.place.text.is_empty() && rule.place.line > 0 && rule.place.column > 0);
            }
            let catalog = seats::catalog::Catalog::default();
            let day = chrono::NaiveDate::default();
            let _ = analysis::analyze(&rules, NameRules::default(), &catalog, day).to_string();
            let policy = Policy::new(rules, NameRules::default());
            let _ = policy.is_open();
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX + 1);
            for error in errors {
                let _ = error.to_string();
            }
        }
    }
}
