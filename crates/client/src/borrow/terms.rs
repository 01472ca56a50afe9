//! What a signed license, or a renewal, says of versions and of maintenance (rules 3, 6.1), read from its canonical form into
//! what the rules of [`seats::maintenance`] take: the same that a server reads from the file.
//!
//! Who may use it, where and for how long is not read here; nor is anything judged that the vendor's tools refuse to sign.

use std::sync::Arc;

use chrono::NaiveDate;
use seats::license::{
    Carried, Fingerprint, KeyType, License, LicenseType, LicenseVersion, Maintenance, Name, Patches, Place,
    Replaces, Share, Special, StartTrigger, Updates,
};
use seats::version::parse_date;

use super::form::Form;

/// Those whose presence gives VERSION its default of 1.0 (rules 3, amendments), beside MAINTENANCE_*.
const CEILINGS: [&str; 2] = ["MAX_VERSION", "FALLBACK_VERSION"];

/// What versions are judged by; the rest of the license is empty. `None`: a value is not as a vendor's tools write it.
pub(super) fn read(form: &Form<'_>) -> Option<Arc<License>> {
    let get = |name| form.get(name).ok();
    let date = |name| optional(get(name)?, parse_date);
    let key_type = word(
        get("KEYTYPE")?,
        &[
            ("EXCLUSIVE", KeyType::Exclusive),
            ("UPGRADE", KeyType::Upgrade),
            ("ADDITIVE", KeyType::Additive),
            ("TOKEN", KeyType::Token),
            ("MAINTENANCE", KeyType::Maintenance),
        ],
    )?;
    let license_type = word(
        get("LICENSE_TYPE")?,
        &[
            ("PERPETUAL", LicenseType::Perpetual),
            ("SUBSCRIPTION", LicenseType::Subscription),
            ("EVALUATION", LicenseType::Evaluation),
        ],
    )?;
    let special = Special {
        replaces: optional(get("REPLACES")?, replaces)?,
        renews: optional(get("RENEWS")?, |text| text.strip_prefix("SN=").map(Box::from))?,
        ..Special::default()
    };
    let unlimited = |text: &str| if text == "UNLIMITED" { Some(NaiveDate::MAX) } else { parse_date(text) };
    Some(Arc::new(License {
        vendor: Name::new(get("VENDOR")??)?,
        feature: Name::new(form.name)?,
        key_type,
        count: None,
        version: version(form)?,
        start: date("START")?,
        end: date("END")?,
        issued: date("ISSUED")?,
        sn: get("SN")?.map(Arc::from),
        license_type,
        hal: false,
        share: Share::default(),
        platforms: Vec::new(),
        time_zones: None,
        client_host_ids: Vec::new(),
        match_rate: 100,
        carried: Carried {
            maintenance_end: optional(get("MAINTENANCE_END")?, unlimited)?,
            maintenance: Some(Box::new(maintenance(form)?)),
            special: Some(Box::new(special)),
            ..Carried::default()
        },
        // Of a license that is judged alone nobody asks for these.
        fingerprint: Fingerprint([0; 32]),
        signed: None,
        place: Place { file: Arc::from(""), line: 0, column: 0 },
        refusal: None,
    }))
}

fn maintenance(form: &Form<'_>) -> Option<Maintenance> {
    let get = |name| form.get(name).ok();
    let date = |name| optional(get(name)?, parse_date);
    let updates = &[("MAJOR", Updates::Major), ("MINOR", Updates::Minor), ("NONE", Updates::None)];
    let triggers = &[("ISSUE", StartTrigger::Issue), ("FIRST_CHECKOUT", StartTrigger::FirstCheckout)];
    let days = |text: &str| number(text).filter(|days| *days <= 90).and_then(|days| u8::try_from(days).ok());
    Some(Maintenance {
        start: date("MAINTENANCE_START")?,
        period: optional(get("MAINTENANCE_PERIOD")?, |text| text.parse().ok())?,
        trigger: word(get("MAINTENANCE_START_TRIGGER")?, triggers)?,
        start_by: date("MAINTENANCE_START_BY")?,
        updates: word(get("MAINTENANCE_UPDATES")?, updates)?,
        patches: word(get("MAINTENANCE_PATCHES")?, &[("LINE", Patches::Line), ("DATE", Patches::Date)])?,
        grace_days: optional(get("MAINTENANCE_GRACE_DAYS")?, days)?.unwrap_or(0),
        max_version: optional(get("MAX_VERSION")?, numbers)?,
        fallback_version: optional(get("FALLBACK_VERSION")?, numbers)?,
        contact: get("MAINTENANCE_CONTACT")?.map(Box::from),
    })
}

/// The version owned, as a server reads it. Outer `None`: what stands there is no version.
fn version(form: &Form<'_>) -> Option<Option<LicenseVersion>> {
    let get = |name| form.get(name).ok();
    let (major, minor) = (get("MAJOR_VERSION")?, get("MINOR_VERSION")?);
    if let Some(whole) = get("VERSION")? {
        let (major, minor) = whole.split_once('.').unwrap_or((whole, "0"));
        return Some(Some(LicenseVersion { major: number(major)?, minor: number(minor)? }));
    }
    if major.is_some() || minor.is_some() {
        let (major, minor) = (number(major.unwrap_or("1"))?, number(minor.unwrap_or("0"))?);
        return Some(Some(LicenseVersion { major, minor }));
    }
    let is_maintained = form.has_any("MAINTENANCE_") || CEILINGS.into_iter().any(|name| form.has_any(name));
    Some(is_maintained.then_some(LicenseVersion { major: 1, minor: 0 }))
}

/// ASCII digits only: Rust's own parsing would let `+1` through.
pub(super) fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// 1 to 4 of them, with dots between.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let numbers: Option<Vec<u32>> = text.split('.').take(5).map(number).collect();
    numbers.filter(|numbers| numbers.len() <= 4)
}

fn replaces(text: &str) -> Option<Replaces> {
    match text.split_once('=')? {
        ("FEATURE", name) => Name::new(name).map(Replaces::Feature),
        ("SN", sn) => Some(Replaces::Sn(sn.into())),
        ("KEY", key) => Some(Replaces::Key(key.into())),
        _ => None,
    }
}

/// A setting that may be missing. Outer `None`: it is there and not as it should be.
fn optional<T>(text: Option<&str>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => read(text).map(Some),
    }
}

/// One of these words; the first where it is missing. `None`: another.
fn word<T: Copy>(text: Option<&str>, words: &[(&str, T)]) -> Option<T> {
    match text {
        None => words.first().map(|(_, first)| *first),
        Some(text) => words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant),
    }
}
