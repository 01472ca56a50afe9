//! What is in a license file, for a person and for a program, whoever signed it.

use std::fmt;
use std::path::Path;

use seats::license::{Fingerprint, HostIdEntry};
use serde::Serialize;

use crate::licenses::canonical::{canonical, fingerprint};
use crate::licenses::settings::check;
use crate::licenses::trust::KeyValue;
use crate::licenses::xml::{self, BlockKind, Fault};
use crate::licenses::{Problem, locate};

/// Everything some files say (`vendor inspect --json`).
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Always 1.
    pub schema: u32,
    /// Every feature with a name, in the order of the files.
    pub licenses: Vec<Inspected>,
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

/// Looks into files; `files` are names and contents.
pub fn inspect(files: &[(String, Vec<u8>)]) -> Inspection {
    let mut inspection = Inspection { schema: 1, licenses: Vec::new(), problems: Vec::new() };
    for (file, bytes) in files {
        let read = xml::decode(bytes).and_then(|text| Ok((text, xml::read(text)?)));
        let (text, document) = match read {
            Ok(read) => read,
            Err(fault) => {
                inspection.problems.push(locate(file, &String::from_utf8_lossy(bytes), None, &fault));
                continue;
            }
        };
        let mut problem = |raw, fault: &Fault| inspection.problems.push(locate(file, text, raw, fault));
        document.faults.iter().for_each(|fault| problem(None, fault));
        for raw in &document.features {
            let checked = check(raw);
            checked.faults.iter().for_each(|fault| problem(Some(raw), fault));
            let place =
                locate(file, text, Some(raw), &Fault::new(raw.at, seats::license::Reason::BadXml, ""));
            let settings = raw.settings.iter().filter(|setting| setting.name != "KEY");
            let Fingerprint(digest) = fingerprint(&canonical(raw));
            let Some(license) = checked.license else { continue };
            inspection.licenses.push(Inspected {
                file: file.clone(),
                line: place.line,
                feature: license.feature.as_str().to_owned(),
                settings: settings.map(|s| (s.name.to_owned(), s.value.clone().into_owned())).collect(),
                server_host_ids: checked.server_host_ids,
                client_host_ids: license.client_host_ids,
                key_id: raw.value("KEY").and_then(KeyValue::parse).map(|key| key.id.to_owned()),
                fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            });
        }
    }
    inspection
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for license in &self.licenses {
            let name = Path::new(&license.file)
                .file_name()
                .map_or(license.file.as_str().into(), |n| n.to_string_lossy());
            writeln!(f, "{} ({name}:{})", license.feature, license.line.unwrap_or(0))?;
            for (setting, value) in &license.settings {
                writeln!(f, "  {setting:<18} {}", xml::shown(value))?;
            }
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
            writeln!(f, "  {:<18} {}", "signed with", license.key_id.as_deref().unwrap_or("nothing"))?;
            writeln!(f, "  {:<18} {}", "fingerprint", license.fingerprint)?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}
