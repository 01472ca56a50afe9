//! Reads the license lines of the stories. The files themselves are XML, and read elsewhere.

use chrono::NaiveDate;
use seats::license::{
    Count, HostIdEntry, HostIdKind, KeyType, License, LicenseVersion, Place, Reason, Signed, TimeZones,
};

use crate::driver::{exclusive, name, refused};
use crate::world::options;

/// `exclusive cad 10 sn=base end=2030-12-31`.
pub(crate) fn license(line: &str, at: usize) -> Result<License, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, feature, count, rest @ ..] = &words[..] else {
        return Err("a license is a key type, a feature, a count, and settings".into());
    };
    let mut license = exclusive(feature, 1);
    license.key_type = match *kind {
        "exclusive" => KeyType::Exclusive,
        "upgrade" => KeyType::Upgrade,
        "additive" => KeyType::Additive,
        _ => return Err(format!("{kind} is no key type")),
    };
    license.count = match *count {
        "unlimited" => Some(Count::Unlimited),
        "local" => None,
        n => Some(Count::Limited(n.parse().map_err(|_| format!("{n} is no count"))?)),
    };
    license.place =
        Place { file: "licenses.xml".into(), line: u32::try_from(at).unwrap_or(0) + 1, column: 1 };
    for (option, value) in options(rest)? {
        set(&mut license, option, value)?;
    }
    Ok(license)
}

fn set(license: &mut License, option: &str, value: &str) -> Result<(), String> {
    let day = || value.parse::<NaiveDate>().map(Some).map_err(|e| format!("{value}: {e}"));
    match option {
        "sn" => license.sn = Some(value.into()),
        "vendor" => license.vendor = name(value),
        "start" => license.start = day()?,
        "end" => license.end = day()?,
        "issued" => license.issued = day()?,
        "version" => {
            let (major, minor) = value.split_once('.').ok_or("a version is MAJOR.MINOR")?;
            let number = |text: &str| text.parse().map_err(|_| "a version is MAJOR.MINOR");
            license.version = Some(LicenseVersion { major: number(major)?, minor: number(minor)? });
        }
        "file" => license.place.file = value.into(),
        "hal" => license.hal = value == "3",
        "platforms" => license.platforms = value.split(',').map(Into::into).collect(),
        "zones" => {
            let mut zones = TimeZones(0);
            for hour in value.split(',') {
                let good = hour.parse().is_ok_and(|hour| zones.insert(hour));
                good.then_some(()).ok_or_else(|| format!("{hour} is no hour from -12 to 13"))?;
            }
            license.time_zones = Some(zones);
        }
        "client" => {
            let entry = |text: &str| {
                let (kind, value) = text.split_once(':')?;
                let kind = HostIdKind::ALL.into_iter().find(|k| k.as_str() == kind)?;
                Some(HostIdEntry { kind, value: value.into() })
            };
            let block = value.split(',').map(entry).collect::<Option<Vec<_>>>();
            license.client_host_ids.push(block.ok_or("client= takes KIND:VALUE,KIND:VALUE")?);
        }
        "rate" => license.match_rate = value.parse().map_err(|_| "rate= takes a percentage")?,
        "key" => license.signed = Some(Signed { canonical: Box::default(), key: value.into() }),
        "refused" => {
            let reason = REASONS.into_iter().find(|r| r.as_str() == value);
            license.refusal = refused(reason.ok_or_else(|| format!("{value} is no reason"))?);
        }
        _ => return Err(format!("{option}= is not known")),
    }
    Ok(())
}

/// What the reader of the files finds whatever the day, as far as the stories need it.
const REASONS: [Reason; 6] = [
    Reason::BadSignature,
    Reason::HostMismatch,
    Reason::SettingNotAllowed,
    Reason::NotSupportedYet,
    Reason::Unsigned,
    Reason::BadValue,
];
