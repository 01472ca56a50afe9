//! Release catalogs: what a vendor signs about its own releases, from the elements of a RELEASES file to typed lists (rules 3,
//! amendments).
//!
//! A catalog is a license file with another root: it lies in the same directory, has the same limits, is signed with the same
//! keys, and one bad list never stops the others. What a list decides is in `seats`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use seats::license::{Fingerprint, Name, Place, Reason};
use seats::releases::{Listed, ReleaseList};
use seats::version::ReleaseVersion;

use super::settings::issued;
use super::values::{self, Expected};
use super::xml::{Fault, RawFeature, RawRelease, RawSetting, shown, value_fault};

/// The longest NOTES, in characters.
pub const NOTES_CHARACTERS_MAX: usize = 1_000;

/// One release list, typed.
#[derive(Debug)]
pub struct CheckedList {
    /// `None` where not even the name is good. Its fingerprint and refusal are filled in by who has them.
    pub list: Option<ReleaseList>,
    /// KEY, and where it stands.
    pub key: Option<(String, usize)>,
    /// Every fault, by position. Any of them refuses the list.
    pub faults: Vec<Fault>,
}

/// Reads the release list of one feature.
pub fn check(raw: &RawFeature<'_>) -> CheckedList {
    let mut reading = Reading { faults: raw.faults.clone(), ..Reading::default() };
    let feature = reading.name(raw);
    for setting in &raw.settings {
        reading.setting(setting);
    }
    if raw.releases.is_empty() {
        let message = "there is no RELEASE in it; list one, or remove the feature";
        reading.faults.push(Fault::new(raw.at, Reason::BadValue, message));
    }
    let mut releases: Vec<Listed> = Vec::with_capacity(raw.releases.len());
    let mut seen = Seen::default();
    for release in &raw.releases {
        if let Some(listed) = reading.release(release, &mut seen) {
            releases.push(listed);
        }
    }
    releases.sort_by_key(|listed| listed.version);
    let Reading { vendor, issued, key, mut faults } = reading;
    faults.sort_by_key(|fault| fault.at);
    let list = feature.map(|feature| ReleaseList {
        vendor: vendor.and_then(|(vendor, _)| vendor).unwrap_or_else(Name::none),
        feature,
        issued: issued.and_then(|(issued, _)| issued),
        releases,
        fingerprint: Fingerprint([0; 32]),
        place: Place { file: Arc::from(""), line: 1, column: 1 },
        refusal: None,
    });
    CheckedList { list, key, faults }
}

/// The settings of one list, each with where it stands, and what was found wrong so far.
#[derive(Default)]
struct Reading {
    vendor: Option<(Option<Name>, usize)>,
    issued: Option<(Option<NaiveDate>, usize)>,
    key: Option<(String, usize)>,
    faults: Vec<Fault>,
}

/// What the releases before said.
#[derive(Default)]
struct Seen {
    versions: BTreeMap<ReleaseVersion, String>,
    /// By MAJOR.MINOR: its LINE_DATE, and the version that stated it first.
    lines: BTreeMap<(u32, u32), (NaiveDate, ReleaseVersion)>,
}

impl Reading {
    fn bad(&mut self, at: usize, message: impl Into<String>) {
        self.faults.push(Fault::new(at, Reason::BadValue, message));
    }

    fn name(&mut self, raw: &RawFeature<'_>) -> Option<Name> {
        const FORM: &str = "1 to 64 ASCII letters, digits, `_` and `-`";
        let Some(given) = &raw.name else {
            self.bad(raw.at, format!("FEATURE has no NAME; give it {FORM}"));
            return None;
        };
        let name = Name::new(&given.value);
        if name.is_none() {
            let message = format!("NAME {} is not a feature's name: {FORM}", shown(&given.value));
            self.bad(given.value_at, message);
        }
        name
    }

    fn setting(&mut self, raw: &RawSetting<'_>) {
        const VENDOR: Expected = "a vendor's name: 1 to 64 ASCII letters, digits, `_` and `-`";
        let is_second = match raw.name {
            "VENDOR" => {
                let vendor = self.typed(raw, |text| Name::new(text).ok_or(VENDOR));
                self.vendor.replace((vendor, raw.name_at)).is_some()
            }
            "ISSUED" => {
                let day = self.typed(raw, issued);
                self.issued.replace((day, raw.name_at)).is_some()
            }
            "KEY" => self.key.replace((raw.value.clone().into_owned(), raw.value_at)).is_some(),
            _ => {
                let message = format!(
                    "{} is not a setting of a release list; known are VENDOR, ISSUED and KEY",
                    shown(raw.name)
                );
                self.faults.push(Fault::new(raw.name_at, Reason::UnknownSetting, message));
                false
            }
        };
        if is_second {
            self.bad(raw.name_at, format!("{} is given twice in this feature; keep one", raw.name));
        }
    }

    fn typed<'r, T>(
        &mut self,
        raw: &'r RawSetting<'_>,
        read: impl FnOnce(&'r str) -> Result<T, Expected>,
    ) -> Option<T> {
        if let Some(fault) = value_fault(raw) {
            self.faults.push(fault);
            return None;
        }
        match read(&raw.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                let message = format!("{} {} is not {expected}", raw.name, shown(&raw.value));
                self.bad(raw.value_at, message);
                None
            }
        }
    }

    /// One RELEASE; `None` where it has no good version and date.
    fn release(&mut self, raw: &RawRelease<'_>, seen: &mut Seen) -> Option<Listed> {
        let (mut version, mut date, mut line, mut notes) = (None, None, None, None);
        let (mut states_version, mut states_date) = (false, false);
        for attribute in &raw.attributes {
            match attribute.name {
                "VERSION" => {
                    states_version = true;
                    version = self.typed(attribute, release_version).map(|version| (version, attribute));
                }
                "RELEASE_DATE" => {
                    states_date = true;
                    date = self.typed(attribute, values::date);
                }
                "LINE_DATE" => {
                    line = self.typed(attribute, values::date).map(|line| (line, attribute.value_at))
                }
                "NOTES" => notes = self.typed(attribute, release_notes),
                other => {
                    let message = format!(
                        "{} is not an attribute of RELEASE; known are VERSION, RELEASE_DATE, LINE_DATE and NOTES",
                        shown(other)
                    );
                    self.faults.push(Fault::new(attribute.name_at, Reason::UnknownSetting, message));
                }
            }
        }
        for (states, name) in [(states_version, "VERSION"), (states_date, "RELEASE_DATE")] {
            if !states {
                self.bad(raw.at, format!("a RELEASE needs {name}; add it"));
            }
        }
        if let (Some((line, at)), Some(date)) = (line, date)
            && line > date
        {
            let message = format!(
                "LINE_DATE {line} is after RELEASE_DATE {date}: a line is first published with its first release"
            );
            self.bad(at, message);
        }
        let (version, stated) = version?;
        if let Some(before) = seen.versions.insert(version, stated.value.clone().into_owned()) {
            let message = match before == *stated.value {
                true => format!("version {before} is listed twice; keep one"),
                false => format!("version {} is {before}, which is listed already; keep one", stated.value),
            };
            self.bad(stated.value_at, message);
        }
        if let Some((line, at)) = line {
            let [major, minor, ..] = version.0;
            let (first, by) = *seen.lines.entry((major, minor)).or_insert((line, version));
            if first != line {
                let message = format!(
                    "LINE_DATE {line} is not that of {by}, {first}: all releases of {major}.{minor} have one line date"
                );
                self.bad(at, message);
            }
        }
        Some(Listed { version, date: date?, line: line.map(|(line, _)| line), notes })
    }
}

fn release_version(text: &str) -> Result<ReleaseVersion, Expected> {
    text.parse().map_err(|()| "a version of 2 to 4 numbers with dots between them, each 0 to 4294967295")
}

fn release_notes(text: &str) -> Result<Box<str>, Expected> {
    if text.chars().count() > NOTES_CHARACTERS_MAX {
        return Err("1,000 characters or less");
    }
    Ok(text.into())
}
