//! Licenses by the thousand, each signed, as a vendor's tool writes them.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use seatkeeper::vendor::{Template, VendorKey, sign};
use seats::license::Name;

use super::Result;

/// Features of one file.
const FILE_FEATURES: usize = 10_000;

/// A directory of licenses and the public key they are signed with.
pub struct Licenses {
    /// What `licenses` in the configuration names.
    pub directory: PathBuf,
    /// What `trusted_vendors` names.
    pub public_key: PathBuf,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// The name of the n-th feature.
pub fn feature(n: usize) -> String {
    format!("feature-{n:06}")
}

/// Writes `features` signed exclusive licenses of `seats` seats each below `home`. `end`: the last day of all of
/// them; without one they do not end.
///
/// # Errors
/// A file cannot be written.
pub fn write(home: &Path, features: usize, seats: u32, end: Option<NaiveDate>) -> Result<Licenses> {
    let end = end.map_or(String::new(), |end| format!("<SETTING END=\"{end}\"/>"));
    let one = |n| {
        let name = feature(n);
        format!(
            "<FEATURE NAME=\"{name}\"><SETTING VERSION=\"4.2\"/><SETTING COUNT=\"{seats}\"/>{end}</FEATURE>\n"
        )
    };
    let files = (0..features).step_by(FILE_FEATURES);
    let text = |first: usize| (first..features.min(first + FILE_FEATURES)).map(one).collect::<String>();
    write_files(home, &format!("licenses-{features}"), files.map(text))
}

/// Signs what stands between `LICENSEFILE` and its end, a text for each file, into a directory of that name below `home`.
///
/// # Errors
/// A file cannot be written, or our own vendor tool refuses it.
pub fn write_files(home: &Path, name: &str, texts: impl Iterator<Item = String>) -> Result<Licenses> {
    let directory = home.join(name);
    fs::create_dir_all(&directory)?;
    let key = VendorKey::from_secret("bench-1", Name::new("BENCH").ok_or("a name")?, &[7; 32])?;
    let public_key = home.join("bench-1.pub");
    fs::write(&public_key, format!("{}\n", key.identity()))?;
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).ok_or("a date")?;
    let mut bytes = 0;
    for (file, text) in texts.enumerate() {
        let text = format!("<LICENSEFILE>\n{text}</LICENSEFILE>\n");
        let template = Template { file: "bench".into(), bytes: text.into_bytes() };
        let signed = sign(&key, &[template], None, today).map_err(|problems| {
            problems.first().map_or_else(|| "not signed".to_owned(), ToString::to_string)
        })?;
        bytes += signed.xml.len() as u64;
        fs::write(directory.join(format!("bench-{file:03}.xml")), signed.xml)?;
    }
    Ok(Licenses { directory, public_key, bytes })
}
