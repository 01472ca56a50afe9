//! What is in a license file, for a person and for a program, whoever signed it.

use std::fmt;
use std::path::Path;

use chrono::NaiveDate;
use seats::license::{Fingerprint, HostIdEntry, Reason};
use serde::Serialize;

use crate::licenses::canonical::{canonical, canonical_releases, fingerprint};
use crate::licenses::settings::check;
use crate::licenses::trust::KeyValue;
use crate::licenses::xml::{self, BlockKind, Fault, RawFeature, Root};
use crate::licenses::{Problem, locate, releases};

/// Everything some files say (`vendor inspect --json`).
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Always 1.
    pub schema: u32,
    /// Every feature with a name, in the order of the files.
    pub licenses: Vec<Inspected>,
    /// Every release list with a name, in the order of the files.
    pub catalogs: Vec<InspectedList>,
    /// What a server would refuse for its form; signatures and host ids are not judged here.
    pub problems: Vec<Problem>,
}

/// One feature.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// The file as it was given.
    pub file: String,
    /// 1-based.
    pub line: Option<u32>,
    /// NAME.
    pub feature: String,
    /// Its settings but KEY, in the order of the file.
    pub settings: Vec<(String, String)>,
    /// SERVER_HOSTID blocks.
    pub server_host_ids: Vec<Vec<HostIdEntry>>,
    /// CLIENT_HOSTID blocks.
    pub client_host_ids: Vec<Vec<HostIdEntry>>,
    /// The id of the key it is signed with; `None` where it is unsigned or KEY is not of the form.
    pub key_id: Option<String>,
    /// The fingerprint of what it says (L10), 64 hex digits.
    pub fingerprint: String,
}

/// The release list of one feature.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedList {
    /// The file as it was given.
    pub file: String,
    /// 1-based.
    pub line: Option<u32>,
    /// NAME.
    pub feature: String,
    /// Its settings but KEY, in the order of the file.
    pub settings: Vec<(String, String)>,
    /// By version.
    pub releases: Vec<InspectedRelease>,
    /// As of a license.
    pub key_id: Option<String>,
    /// As of a license.
    pub fingerprint: String,
}

/// One release of a list.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedRelease {
    /// VERSION, without needless zeros.
    pub version: String,
    /// RELEASE_DATE.
    pub release_date: NaiveDate,
    /// LINE_DATE.
    pub line_date: Option<NaiveDate>,
    /// NOTES.
    pub notes: Option<String>,
}

/// Looks into files; `files` are names and contents.
pub fn inspect(files: &[(String, Vec<u8>)]) -> Inspection {
    let mut inspection =
        Inspection { schema: 1, licenses: Vec::new(), catalogs: Vec::new(), problems: Vec::new() };
    for (file, bytes) in files {
        let read = xml::decode(bytes).and_then(|text| Ok((text, xml::read(text)?)));
        let (text, document) = match read {
            Ok(read) => read,
            Err(fault) => {
                inspection.problems.push(locate(file, &String::from_utf8_lossy(bytes), None, &fault));
                continue;
            }
        };
        inspection.problems.extend(document.faults.iter().map(|fault| locate(file, text, None, fault)));
        for raw in &document.features {
            match document.root {
                Root::LicenseFile => inspection.license(file, text, raw),
                Root::Releases => inspection.list(file, text, raw),
            }
        }
    }
    inspection
}

impl Inspection {
    fn license(&mut self, file: &str, text: &str, raw: &RawFeature<'_>) {
        let checked = check(raw);
        self.problems.extend(checked.faults.iter().map(|fault| locate(file, text, Some(raw), fault)));
        let Some(license) = checked.license else { return };
        self.licenses.push(Inspected {
            file: file.to_owned(),
            line: line(file, text, raw),
            feature: license.feature.as_str().to_owned(),
            settings: settings(raw),
            server_host_ids: checked.server_host_ids,
            client_host_ids: license.client_host_ids,
            key_id: key_id(raw),
            fingerprint: digest(&canonical(raw)),
        });
    }

    fn list(&mut self, file: &str, text: &str, raw: &RawFeature<'_>) {
        let checked = releases::check(raw);
        self.problems.extend(checked.faults.iter().map(|fault| locate(file, text, Some(raw), fault)));
        let Some(list) = checked.list else { return };
        let releases = list.releases.into_iter().map(|listed| InspectedRelease {
            version: listed.version.to_string(),
            release_date: listed.date,
            line_date: listed.line,
            notes: listed.notes.map(String::from),
        });
        self.catalogs.push(InspectedList {
            file: file.to_owned(),
            line: line(file, text, raw),
            feature: list.feature.as_str().to_owned(),
            settings: settings(raw),
            releases: releases.collect(),
            key_id: key_id(raw),
            fingerprint: digest(&canonical_releases(raw)),
        });
    }
}

fn line(file: &str, text: &str, raw: &RawFeature<'_>) -> Option<u32> {
    locate(file, text, Some(raw), &Fault::new(raw.at, Reason::BadXml, "")).line
}

/// All but KEY.
fn settings(raw: &RawFeature<'_>) -> Vec<(String, String)> {
    let settings = raw.settings.iter().filter(|setting| setting.name != "KEY");
    settings.map(|s| (s.name.to_owned(), s.value.clone().into_owned())).collect()
}

fn key_id(raw: &RawFeature<'_>) -> Option<String> {
    raw.value("KEY").and_then(KeyValue::parse).map(|key| key.id.to_owned())
}

fn digest(form: &[u8]) -> String {
    let Fingerprint(digest) = fingerprint(form);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for license in &self.licenses {
            head(f, &license.feature, &license.file, license.line, &license.settings)?;
            for (kind, blocks) in
                [(BlockKind::Server, &license.server_host_ids), (BlockKind::Client, &license.client_host_ids)]
            {
                for block in blocks {
                    let entries: Vec<String> = block
                        .iter()
                        .map(|e| format!("{}={}", e.kind.as_str(), xml::shown(&e.value)))
                        .collect();
                    writeln!(f, "  {:<18} {}", kind.as_str(), entries.join(", "))?;
                }
            }
            foot(f, license.key_id.as_deref(), &license.fingerprint)?;
        }
        for list in &self.catalogs {
            head(f, &list.feature, &list.file, list.line, &list.settings)?;
            for release in &list.releases {
                let line = release.line_date.map(|line| format!(", line of {line}")).unwrap_or_default();
                let notes = release.notes.as_deref().map(|notes| format!("  {}", xml::shown(notes)));
                let (version, date) = (format!("release {}", release.version), release.release_date);
                writeln!(f, "  {version:<18} {date}{line}{}", notes.unwrap_or_default())?;
            }
            foot(f, list.key_id.as_deref(), &list.fingerprint)?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

fn head(
    f: &mut fmt::Formatter<'_>,
    feature: &str,
    file: &str,
    line: Option<u32>,
    settings: &[(String, String)],
) -> fmt::Result {
    let name = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
    writeln!(f, "{feature} ({name}:{})", line.unwrap_or(0))?;
    settings.iter().try_for_each(|(setting, value)| writeln!(f, "  {setting:<18} {}", xml::shown(value)))
}

fn foot(f: &mut fmt::Formatter<'_>, key_id: Option<&str>, fingerprint: &str) -> fmt::Result {
    writeln!(f, "  {:<18} {}", "signed with", key_id.unwrap_or("nothing"))?;
    writeln!(f, "  {:<18} {fingerprint}", "fingerprint")
}
