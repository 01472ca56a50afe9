//! Licenses by the thousand, each signed, as a vendor's tool writes them.

use std::fmt::Write as _;
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
///
/// # Panics
/// Where our own vendor tool refuses the template, or 2026-01-01 were no date.
pub fn write(home: &Path, features: usize, seats: u32, end: Option<NaiveDate>) -> Result<Licenses> {
    let directory = home.join(format!("licenses-{features}"));
    fs::create_dir_all(&directory)?;
    let key = VendorKey::from_secret("bench-1", Name::new("BENCH").ok_or("a name")?, &[7; 32])?;
    let public_key = home.join("bench-1.pub");
    fs::write(&public_key, format!("{}\n", key.identity()))?;
    let today = NaiveDate::from_ymd_opt(2026, 1, 1).ok_or("a date")?;
    let end = end.map_or(String::new(), |end| format!("<SETTING END=\"{end}\"/>"));
    let mut bytes = 0;
    for (file, first) in (0..features).step_by(FILE_FEATURES).enumerate() {
        let mut text = String::from("<LICENSEFILE>\n");
        for n in first..features.min(first + FILE_FEATURES) {
            writeln!(
                text,
                "<FEATURE NAME=\"{}\"><SETTING VERSION=\"4.2\"/><SETTING COUNT=\"{seats}\"/>{end}</FEATURE>",
                feature(n)
            )?;
        }
        text.push_str("</LICENSEFILE>\n");
        let template = Template { file: "bench".into(), bytes: text.into_bytes() };
        let signed = sign(&key, &[template], None, today).map_err(|problems| {
            problems.first().map_or_else(|| "not signed".to_owned(), ToString::to_string)
        })?;
        bytes += signed.xml.len() as u64;
        fs::write(directory.join(format!("bench-{file:03}.xml")), signed.xml)?;
    }
    Ok(Licenses { directory, public_key, bytes })
}
