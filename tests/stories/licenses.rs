//! Reads the license lines of the stories. The files themselves are XML, and read elsewhere.

use std::sync::Arc;

use chrono::NaiveDate;
use seats::license::{
    Based, Count, HostIdEntry, HostIdKind, KeyType, License, LicenseType, LicenseVersion, Patches, Place,
    Reason, Replaces, Signed, Special, StartTrigger, TimeZones, TokenDependency, Updates,
};

use crate::driver::{exclusive, name, refused};
use crate::world::options;

/// `exclusive cad 10 sn=base end=2030-12-31`.
pub(crate) fn license(line: &str, at: usize) -> Result<License, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, feature, rest @ ..] = &words[..] else {
        return Err("a license is a key type, a feature, a count, and settings".into());
    };
    // A token has no seats, so no count (L51).
    let (count, rest) = match rest {
        // Nor has a renewal (rules 3, 6.9).
        _ if ["token", "renewal"].contains(kind) => ("local", rest),
        [count, rest @ ..] => (*count, rest),
        [] => return Err("a license has a count, but for a token and a renewal".into()),
    };
    let mut license = exclusive(feature, 1);
    license.key_type = match *kind {
        "exclusive" => KeyType::Exclusive,
        "upgrade" => KeyType::Upgrade,
        "additive" => KeyType::Additive,
        "token" => KeyType::Token,
        "renewal" => KeyType::Maintenance,
        _ => return Err(format!("{kind} is no key type")),
    };
    license.count = match count {
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
    if set_special(license.carried.special.get_or_insert_default(), option, value)? {
        return Ok(());
    }
    if license.carried.special.as_deref() == Some(&Special::default()) {
        license.carried.special = None;
    }
    let day = || value.parse::<NaiveDate>().map(Some).map_err(|e| format!("{value}: {e}"));
    match option {
        "sn" => license.sn = Some(value.into()),
        "vendor" => license.vendor = name(value),
        "start" => license.start = day()?,
        "end" => license.end = day()?,
        "issued" => license.issued = day()?,
        "version" => {
            license.version = Some(version(value)?);
        }
        "maintenance" => {
            let (start, end) =
                value.split_once("..").ok_or("maintenance= takes START..END, the start may be empty")?;
            let date = |text: &str| text.parse().map_err(|e| format!("{text}: {e}"));
            license.carried.maintenance_end = Some(match end {
                "UNLIMITED" => NaiveDate::MAX,
                end => date(end)?,
            });
            let start = if start.is_empty() { None } else { Some(date(start)?) };
            license.carried.maintenance.get_or_insert_default().start = start;
        }
        "updates" => {
            let updates = match value {
                "NONE" => Updates::None,
                "MINOR" => Updates::Minor,
                "MAJOR" => Updates::Major,
                _ => return Err("updates= takes NONE, MINOR or MAJOR".into()),
            };
            license.carried.maintenance.get_or_insert_default().updates = updates;
        }
        "type" => {
            license.license_type = match value {
                "SUBSCRIPTION" => LicenseType::Subscription,
                "EVALUATION" => LicenseType::Evaluation,
                _ => return Err("type= takes SUBSCRIPTION or EVALUATION".into()),
            };
        }
        "fallback" => {
            let numbers = value.split('.').map(number).collect::<Result<_, _>>()?;
            license.carried.maintenance.get_or_insert_default().fallback_version = Some(numbers);
        }
        "period" => {
            let period = value.parse().map_err(|()| format!("{value} is no period"))?;
            license.carried.maintenance.get_or_insert_default().period = Some(period);
        }
        "startby" => {
            let given = license.carried.maintenance.get_or_insert_default();
            given.trigger = StartTrigger::FirstCheckout;
            given.start_by = day()?;
        }
        "grace" => {
            let days = value.parse().map_err(|_| format!("{value} is no number of days"))?;
            license.carried.maintenance.get_or_insert_default().grace_days = days;
        }
        "patches" => {
            let patches = if value == "DATE" { Patches::Date } else { Patches::Line };
            license.carried.maintenance.get_or_insert_default().patches = patches;
        }
        "contact" => {
            license.carried.maintenance.get_or_insert_default().contact = Some(value.into());
        }
        "max" => {
            let numbers = value.split('.').map(number).collect::<Result<_, _>>()?;
            license.carried.maintenance.get_or_insert_default().max_version = Some(numbers);
        }
        "share" => {
            for flag in value.split(',') {
                match flag {
                    "HOST" => license.share.host = true,
                    "USER" => license.share.user = true,
                    "CUSTOM" => license.share.custom = true,
                    "VIRTUAL" => license.share.virtual_machine = true,
                    _ => return Err(format!("{flag} is no kind of sharing")),
                }
            }
        }
        // Signed and locked to the server's key, as what lends has to be.
        "borrow" => {
            license.carried.borrow_hours = Some(number(value)?);
            license.carried.locked_to_key = true;
            license.signed.get_or_insert_with(|| {
                Arc::new(Signed { canonical: Box::default(), key: "ed25519:acme:AAAA".into() })
            });
        }
        "lock" => license.carried.locked_to_key = value != "none",
        "softlimit" => license.carried.soft_limit = Some(number(value)?),
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
        "key" => license.signed = Some(Arc::new(Signed { canonical: Box::default(), key: value.into() })),
        "unsigned" => license.signed = None,
        "refused" => {
            let reason = REASONS.into_iter().find(|r| r.as_str() == value);
            license.refusal = refused(reason.ok_or_else(|| format!("{value} is no reason"))?);
        }
        _ => return Err(format!("{option}= is not known")),
    }
    Ok(())
}

/// Settings that few licenses have; `false`: it is none of them.
fn set_special(special: &mut Special, option: &str, value: &str) -> Result<bool, String> {
    let based = || match value {
        "ALL" => Ok(Some(Based::All)),
        seats => number(seats).map(|seats| Some(Based::Seats(seats))),
    };
    match option {
        "hold" => special.hold_seconds = Some(number(value)?),
        "min" => special.min_checkout_seconds = Some(number(value)?),
        "userbased" => special.user_based = based()?,
        "hostbased" => special.host_based = based()?,
        "replaces" => {
            special.replaces = match value.split_once(':') {
                Some(("feature", feature)) => Some(Replaces::Feature(name(feature))),
                Some(("sn", sn)) => Some(Replaces::Sn(sn.into())),
                Some(("key", key)) => Some(Replaces::Key(key.into())),
                _ => return Err("replaces= takes feature:NAME, sn:SN or key:KEY".into()),
            }
        }
        "renews" => special.renews = Some(value.into()),
        "needs" => {
            let need = |text: &str| {
                let [feature, of, count] = text.split(':').collect::<Vec<_>>()[..] else {
                    return Err("needs= takes FEATURE:VERSION:COUNT,…".to_string());
                };
                Ok(TokenDependency { feature: name(feature), version: version(of)?, count: number(count)? })
            };
            special.token_dependencies = value.split(',').map(need).collect::<Result<_, _>>()?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn version(text: &str) -> Result<LicenseVersion, String> {
    let (major, minor) = text.split_once('.').ok_or("a version is MAJOR.MINOR")?;
    Ok(LicenseVersion { major: number(major)?, minor: number(minor)? })
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
