//! What each setting of a feature means, and whether its value is good (rules 1, section 2; rules 3, 6.1).
//!
//! From the elements of [`xml`](super::xml) to a typed [`License`]. Every fault is found, not only the first.
//! Signatures and host ids are looked at later: nothing here depends on this server or on the day.

use std::sync::Arc;

use chrono::NaiveDate;
use seats::license::{
    Carried, Count, Fingerprint, HostIdEntry, HostIdKind, KeyType, License, LicenseType, LicenseVersion,
    Name, Place, Reason, Share, Special,
};

use super::maintenance;
use super::values::{self, Expected};
use super::xml::{BlockKind, Fault, RawFeature, RawSetting, shown, value_fault};
use crate::hostid;

macro_rules! settings {
    ($($variant:ident $name:literal)*) => {
        /// Every setting of the license language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Setting { $($variant),* }

        impl Setting {
            const NAMES: &[&str] = &[$($name),*];

            fn named(name: &str) -> Option<Setting> {
                match name { $($name => Some(Setting::$variant),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Setting::$variant => $name),* }
            }
        }
    };
}

settings! {
    KeyType "KEYTYPE" Count "COUNT" Version "VERSION" MajorVersion "MAJOR_VERSION" MinorVersion "MINOR_VERSION"
    Start "START" End "END" LicenseType "LICENSE_TYPE" MaintenanceStart "MAINTENANCE_START"
    MaintenanceEnd "MAINTENANCE_END" MaintenancePeriod "MAINTENANCE_PERIOD"
    MaintenanceStartTrigger "MAINTENANCE_START_TRIGGER" MaintenanceStartBy "MAINTENANCE_START_BY"
    MaintenanceUpdates "MAINTENANCE_UPDATES" MaintenancePatches "MAINTENANCE_PATCHES"
    MaintenanceGraceDays "MAINTENANCE_GRACE_DAYS" MaintenanceContact "MAINTENANCE_CONTACT"
    MaxVersion "MAX_VERSION" FallbackVersion "FALLBACK_VERSION" Renews "RENEWS"
    Vendor "VENDOR" Sn "SN" Issued "ISSUED" Key "KEY"
    Licensee "LICENSEE" Data "DATA" Comment "COMMENT" Options "OPTIONS"
    Share "SHARE" SoftLimit "SOFTLIMIT" Hold "HOLD" MinCheckout "MIN_CHECKOUT" Borrow "BORROW" Grace "GRACE"
    UserBased "USERBASED" HostBased "HOSTBASED" TimeZones "TIME_ZONES" Platforms "PLATFORMS"
    Replaces "REPLACES" TokenDependency "TOKEN_DEPENDENCY" HalServers "HAL_SERVERS"
    HostIdMatchRate "HOSTID_MATCH_RATE"
}

/// The longest HOLD and MIN_CHECKOUT: a year.
const SECONDS_MAX: u32 = 31_536_000;
/// The longest BORROW: a year.
const BORROW_HOURS_MAX: u32 = 8_760;
/// The longest GRACE: a week.
const GRACE_HOURS_MAX: u32 = 168;

/// One feature, typed.
#[derive(Debug)]
pub struct Checked {
    /// `None` where not even the name is good. Its fingerprint and signature are filled in by who has them;
    /// its refusal is the first of the faults, else what is not served yet.
    pub license: Option<License>,
    /// KEY, and where it stands.
    pub key: Option<(String, usize)>,
    /// SERVER_HOSTID blocks (L12).
    pub server_host_ids: Vec<Vec<HostIdEntry>>,
    /// Every fault, by position. Any of them refuses the feature.
    pub faults: Vec<Fault>,
    /// Settings that are good and under which nothing is served yet (`not_supported_yet`).
    pub unsupported: Option<Fault>,
    /// What a vendor should hear and a server does not mind.
    pub warnings: Vec<Fault>,
}

/// Reads the settings of one feature.
pub fn check(raw: &RawFeature<'_>) -> Checked {
    let mut reading = Reading::new(raw);
    let license = license(&mut reading, raw);
    let server_host_ids = blocks(&mut reading, raw, BlockKind::Server);
    let Reading { given, mut faults, warnings, .. } = reading;
    faults.sort_by_key(|fault| fault.at);
    let key = given.get(Setting::Key as usize).copied().flatten();
    let unsupported = license.as_ref().and_then(|license| unsupported(license, &given));
    Checked {
        license,
        key: key.map(|key| (key.value.clone().into_owned(), key.value_at)),
        server_host_ids,
        faults,
        unsupported,
        warnings,
    }
}

/// Each setting's first appearance, by its number.
type Given<'r> = [Option<&'r RawSetting<'r>>; Setting::NAMES.len()];

/// The settings of one feature by name, and what was found wrong with them so far.
pub(super) struct Reading<'r> {
    given: Given<'r>,
    token_dependencies: Vec<&'r RawSetting<'r>>,
    feature_at: usize,
    /// Whether any value is too long or has control characters in it.
    unreadable: bool,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl<'r> Reading<'r> {
    fn new(raw: &'r RawFeature<'r>) -> Reading<'r> {
        let mut reading = Reading {
            given: [None; Setting::NAMES.len()],
            token_dependencies: Vec::new(),
            feature_at: raw.at,
            unreadable: false,
            faults: raw.faults.clone(),
            warnings: Vec::new(),
        };
        for setting in &raw.settings {
            reading.take(setting);
        }
        reading
    }

    fn take(&mut self, raw: &'r RawSetting<'r>) {
        let Some(setting) = Setting::named(raw.name) else {
            let upper = raw.name.to_ascii_uppercase();
            let hint = match Setting::NAMES.iter().find(|name| **name == upper) {
                Some(name) => format!("write it {name}"),
                None => "check its spelling; docs/LICENSES.md lists every setting".to_owned(),
            };
            let message = format!("{} is not a setting; {hint}", shown(raw.name));
            self.faults.push(Fault::new(raw.name_at, Reason::UnknownSetting, message));
            return;
        };
        if let Some(fault) = value_fault(raw) {
            self.unreadable = true;
            self.faults.push(fault);
        } else if setting == Setting::TokenDependency {
            self.token_dependencies.push(raw);
        }
        match self.given.get_mut(setting as usize) {
            Some(slot @ None) => *slot = Some(raw),
            _ if setting == Setting::TokenDependency => {}
            _ => {
                let message = format!("{} is given twice in this feature; keep one", raw.name);
                self.faults.push(Fault::new(raw.name_at, Reason::BadValue, message));
            }
        }
    }

    fn raw(&self, setting: Setting) -> Option<&'r RawSetting<'r>> {
        self.given.get(setting as usize).copied().flatten()
    }

    /// Goes on as if the setting were not given.
    fn forget(&mut self, setting: Setting) {
        if let Some(slot) = self.given.get_mut(setting as usize) {
            *slot = None;
        }
        if setting == Setting::TokenDependency {
            self.token_dependencies.clear();
        }
    }

    /// Whether the setting is given, with a good value or not.
    pub(super) fn has(&self, setting: Setting) -> bool {
        self.raw(setting).is_some()
    }

    /// The setting's value as `read` makes it; a fault and `None` where it is not good.
    pub(super) fn typed<T>(
        &mut self,
        setting: Setting,
        read: impl FnOnce(&'r str) -> Result<T, Expected>,
    ) -> Option<T> {
        let raw = self.raw(setting)?;
        // Too long, or with control characters in it: told already.
        if self.unreadable && value_fault(raw).is_some() {
            return None;
        }
        match read(&raw.value) {
            Ok(value) => Some(value),
            Err(expected) => {
                let message = format!("{} {} is not {expected}", setting.name(), shown(&raw.value));
                self.faults.push(Fault::new(raw.value_at, Reason::BadValue, message));
                None
            }
        }
    }

    /// A good value that does not go with the others, or is missing.
    pub(super) fn conflict(&mut self, setting: Setting, message: impl Into<String>) {
        let at = self.raw(setting).map_or(self.feature_at, |raw| raw.value_at);
        self.faults.push(Fault::new(at, Reason::BadValue, message));
    }

    pub(super) fn warn(&mut self, setting: Setting, message: impl Into<String>) {
        let at = self.raw(setting).map_or(self.feature_at, |raw| raw.value_at);
        self.warnings.push(Fault::new(at, Reason::BadValue, message));
    }

    fn refuse(&mut self, at: usize, message: String) {
        self.faults.push(Fault::new(at, Reason::SettingNotAllowed, message));
    }
}

fn license(reading: &mut Reading<'_>, raw: &RawFeature<'_>) -> Option<License> {
    let feature = name(reading, raw);
    let key_type = reading.typed(Setting::KeyType, key_type).unwrap_or_default();
    check_allowed(reading, raw, key_type);

    let vendor = reading.typed(Setting::Vendor, |text| {
        Name::new(text).ok_or("a vendor's name: 1 to 64 ASCII letters, digits, `_` and `-`")
    });
    let count = reading.typed(Setting::Count, values::count);
    let (start, end) = term(reading);
    let license_type = reading.typed(Setting::LicenseType, license_type).unwrap_or_default();
    if license_type != LicenseType::Perpetual && !reading.has(Setting::End) {
        reading.conflict(Setting::LicenseType, "a SUBSCRIPTION or EVALUATION needs an END");
    }
    let version = version(reading).or_else(|| {
        let first = LicenseVersion { major: 1, minor: 0 };
        maintenance::is_stated(reading).then_some(first)
    });
    let around = maintenance::Around {
        license_type,
        version: version.unwrap_or(LicenseVersion { major: 1, minor: 0 }),
        end,
    };
    let (maintenance_end, maintenance) = maintenance::read(reading, &around);
    let carried = Carried {
        soft_limit: soft_limit(reading, count),
        borrow_hours: ranged(reading, Setting::Borrow, BORROW_HOURS_MAX, "1 to 8760 hours"),
        // Known once the blocks are read.
        locked_to_key: false,
        grace_hours: ranged(reading, Setting::Grace, GRACE_HOURS_MAX, "1 to 168 hours"),
        texts: [Setting::Licensee, Setting::Data, Setting::Comment, Setting::Options]
            .map(|setting| reading.typed(setting, |text| Ok(Box::from(text)))),
        maintenance_end,
        maintenance,
        special: special(reading, key_type, count),
    };
    Some(License {
        vendor: vendor.unwrap_or_else(Name::none),
        key_type,
        count,
        version: if matches!(key_type, KeyType::Upgrade | KeyType::Maintenance) { None } else { version },
        start,
        end,
        issued: reading.typed(Setting::Issued, issued),
        sn: reading.typed(Setting::Sn, sn).map(Arc::from),
        license_type,
        hal: reading.typed(Setting::HalServers, |text| values::between(text, 3, 3, "3")).is_some(),
        share: share(reading, key_type, count),
        platforms: platforms(reading),
        time_zones: reading.typed(Setting::TimeZones, values::time_zones),
        client_host_ids: blocks(reading, raw, BlockKind::Client),
        match_rate: reading.typed(Setting::HostIdMatchRate, match_rate).unwrap_or(100),
        carried,
        fingerprint: Fingerprint([0; 32]),
        signed: None,
        place: Place { file: Arc::from(""), line: 1, column: 1 },
        refusal: None,
        feature: feature?,
    })
}

fn name(reading: &mut Reading<'_>, raw: &RawFeature<'_>) -> Option<Name> {
    const FORM: &str = "1 to 64 ASCII letters, digits, `_` and `-`";
    let Some(given) = &raw.name else {
        let message = format!("FEATURE has no NAME; give it {FORM}");
        reading.faults.push(Fault::new(raw.at, Reason::BadValue, message));
        return None;
    };
    let name = Name::new(&given.value);
    if name.is_none() {
        let message = format!("NAME {} is not a feature's name: {FORM}", shown(&given.value));
        reading.faults.push(Fault::new(given.value_at, Reason::BadValue, message));
    }
    name
}

/// The settings a KEYTYPE must and must not have.
fn check_allowed(reading: &mut Reading<'_>, raw: &RawFeature<'_>, key_type: KeyType) {
    use Setting as S;
    let allowed: Option<&[Setting]> = match key_type {
        // L33.
        KeyType::Upgrade => Some(&[
            S::KeyType,
            S::Count,
            S::Start,
            S::End,
            S::Share,
            S::HostIdMatchRate,
            S::HalServers,
            S::Vendor,
            S::Sn,
            S::Issued,
            S::Key,
            S::Comment,
        ]),
        // Rules 3, 6.9 and 6.14.
        KeyType::Maintenance => Some(&[
            S::KeyType,
            S::Renews,
            S::MaintenanceStart,
            S::MaintenanceEnd,
            S::HostIdMatchRate,
            S::Vendor,
            S::Sn,
            S::Issued,
            S::Key,
            S::Comment,
        ]),
        KeyType::Exclusive | KeyType::Additive | KeyType::Token => None,
    };
    for at in &raw.settings {
        let Some(setting) = Setting::named(at.name) else { continue };
        let message = match (setting, allowed) {
            (_, Some(allowed)) if !allowed.contains(&setting) => {
                format!("{} is not allowed in a license of KEYTYPE {}; remove it", at.name, key_type.as_str())
            }
            (S::Count, _) if key_type == KeyType::Token => {
                "COUNT is not allowed in a license of KEYTYPE TOKEN, which has no seats of its own; remove it"
                    .into()
            }
            (S::Renews, None) => "RENEWS is for KEYTYPE MAINTENANCE only; remove it".into(),
            (S::TokenDependency, None) if key_type != KeyType::Token => {
                "TOKEN_DEPENDENCY is for KEYTYPE TOKEN only; remove it".into()
            }
            _ => continue,
        };
        reading.refuse(at.name_at, message);
        // Nothing more need be said of what is to be removed anyway.
        if allowed.is_some() {
            reading.forget(setting);
        }
    }
    if let Some(block) = raw.blocks.iter().find(|b| b.kind == BlockKind::Client)
        && allowed.is_some()
    {
        let message =
            format!("CLIENT_HOSTID is not allowed in a license of KEYTYPE {}; remove it", key_type.as_str());
        reading.refuse(block.at, message);
    }
    let required: &[Setting] = match key_type {
        KeyType::Exclusive => &[],
        KeyType::Upgrade | KeyType::Additive => &[S::Count],
        KeyType::Token => &[S::TokenDependency],
        KeyType::Maintenance => &[S::Renews, S::MaintenanceEnd],
    };
    for setting in required {
        if reading.has(*setting) {
            continue;
        }
        let message = format!("a license of KEYTYPE {} needs {}; add it", key_type.as_str(), setting.name());
        reading.conflict(*setting, message);
    }
}

fn term(reading: &mut Reading<'_>) -> (Option<NaiveDate>, Option<NaiveDate>) {
    let start = reading.typed(Setting::Start, values::date);
    let end = reading.typed(Setting::End, values::date);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        reading.conflict(
            Setting::End,
            format!("END {end} is a day before START {start}; both days are included"),
        );
    }
    (start, end)
}

fn version(reading: &mut Reading<'_>) -> Option<LicenseVersion> {
    const NUMBER: Expected = "a number from 0 to 4294967295";
    let part = |text| values::number(text).ok_or(NUMBER);
    let whole = reading.typed(Setting::Version, values::version);
    let major = reading.typed(Setting::MajorVersion, part);
    let minor = reading.typed(Setting::MinorVersion, part);
    for setting in [Setting::MajorVersion, Setting::MinorVersion] {
        if reading.has(Setting::Version) && reading.has(setting) {
            let message = format!("VERSION and {} are two ways to say the same; keep one", setting.name());
            reading.conflict(setting, message);
        }
    }
    if reading.has(Setting::MajorVersion) || reading.has(Setting::MinorVersion) {
        // What is left out has LM-X's default.
        return Some(LicenseVersion { major: major.unwrap_or(1), minor: minor.unwrap_or(0) });
    }
    whole
}

fn soft_limit(reading: &mut Reading<'_>, count: Option<Count>) -> Option<u32> {
    let expected = "1 to COUNT - 1";
    let limit = reading.typed(Setting::SoftLimit, |text| values::between(text, 1, Count::MAX, expected))?;
    match count {
        Some(Count::Unlimited) => {}
        Some(Count::Limited(seats)) if limit < seats => {}
        Some(Count::Limited(seats)) => {
            let message = format!("SOFTLIMIT {limit} is not below COUNT {seats}; it must be {expected}");
            reading.conflict(Setting::SoftLimit, message);
        }
        None if reading.has(Setting::Count) => {}
        None => reading.conflict(Setting::SoftLimit, "SOFTLIMIT needs a COUNT"),
    }
    Some(limit)
}

fn ranged(reading: &mut Reading<'_>, setting: Setting, high: u32, expected: Expected) -> Option<u32> {
    reading.typed(setting, |text| values::between(text, 1, high, expected))
}

fn special(reading: &mut Reading<'_>, key_type: KeyType, count: Option<Count>) -> Option<Box<Special>> {
    const SECONDS: Expected = "1 to 31536000 seconds";
    let mut special = Special {
        hold_seconds: ranged(reading, Setting::Hold, SECONDS_MAX, SECONDS),
        min_checkout_seconds: ranged(reading, Setting::MinCheckout, SECONDS_MAX, SECONDS),
        user_based: based(reading, Setting::UserBased, count),
        host_based: based(reading, Setting::HostBased, count),
        replaces: reading.typed(Setting::Replaces, values::replaces),
        renews: reading.typed(Setting::Renews, values::renews),
        token_dependencies: Vec::new(),
    };
    for raw in reading.token_dependencies.clone() {
        match values::token_dependency(&raw.value) {
            Ok(dependency) => special.token_dependencies.push(dependency),
            Err(expected) => {
                let message = format!("TOKEN_DEPENDENCY {} is not {expected}", shown(&raw.value));
                reading.faults.push(Fault::new(raw.value_at, Reason::BadValue, message));
            }
        }
    }
    for setting in [Setting::Hold, Setting::MinCheckout] {
        if key_type == KeyType::Token && reading.has(setting) {
            let message = format!(
                "{} holds seats, and a token has none of its own: state it in the licenses it depends on",
                setting.name()
            );
            reading.warn(setting, message);
        }
    }
    let any = special != Special::default() || key_type == KeyType::Token;
    any.then(|| Box::new(special))
}

fn based(reading: &mut Reading<'_>, setting: Setting, count: Option<Count>) -> Option<seats::license::Based> {
    use seats::license::Based;
    let based = reading.typed(setting, values::based)?;
    if let (Based::Seats(seats), Some(Count::Limited(count))) = (based, count)
        && seats > count
    {
        let message = format!("{} {seats} is more than COUNT {count}", setting.name());
        reading.conflict(setting, message);
    }
    if !reading.has(Setting::Count) {
        reading.conflict(setting, format!("{} needs a COUNT", setting.name()));
    }
    Some(based)
}

fn share(reading: &mut Reading<'_>, key_type: KeyType, count: Option<Count>) -> Share {
    let Some((share, local)) = reading.typed(Setting::Share, values::share) else { return Share::default() };
    let at = reading.raw(Setting::Share).map_or(0, |raw| raw.value_at);
    if key_type == KeyType::Upgrade && (share.host || share.user || share.custom || local) {
        let message =
            "an upgrade may say SHARE=\"VIRTUAL\" only; how seats are shared is its exclusive's to say";
        reading.refuse(at, message.to_owned());
    } else if local && count.is_some() {
        let message = "SHARE TERMINALSERVER and SINGLE are for local licenses, which have no COUNT";
        reading.conflict(Setting::Share, message);
    }
    share
}

fn platforms(reading: &mut Reading<'_>) -> Vec<Arc<str>> {
    let platforms = reading.typed(Setting::Platforms, values::platforms).unwrap_or_default();
    platforms.into_iter().map(Arc::from).collect()
}

/// The host-id blocks of one kind. An empty block is a fault (L12), and so is an entry that can never match.
fn blocks(reading: &mut Reading<'_>, raw: &RawFeature<'_>, kind: BlockKind) -> Vec<Vec<HostIdEntry>> {
    let mut typed = Vec::new();
    for block in raw.blocks.iter().filter(|block| block.kind == kind) {
        if block.entries.is_empty() {
            let message = format!("this {} is empty; give it a host id or remove it", kind.as_str());
            reading.faults.push(Fault::new(block.at, Reason::BadValue, message));
        }
        typed.push(block.entries.iter().filter_map(|entry| host_id(reading, entry)).collect());
    }
    typed
}

fn host_id(reading: &mut Reading<'_>, entry: &RawSetting<'_>) -> Option<HostIdEntry> {
    let Some(kind) = HostIdKind::ALL.into_iter().find(|kind| kind.as_str() == entry.name) else {
        let known: Vec<&str> = HostIdKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let message =
            format!("{} is not a kind of host id; known are {}", shown(entry.name), known.join(", "));
        reading.faults.push(Fault::new(entry.name_at, Reason::UnknownSetting, message));
        return None;
    };
    let fault = value_fault(entry).or_else(|| {
        let expected = hostid::expected(kind, &entry.value)?;
        let message = format!("{} {} is not {expected}", entry.name, shown(&entry.value));
        Some(Fault::new(entry.value_at, Reason::BadValue, message))
    });
    match fault {
        Some(fault) => {
            reading.faults.push(fault);
            None
        }
        None => Some(HostIdEntry { kind, value: entry.value.clone().into_owned() }),
    }
}

/// What is good and not served yet.
fn unsupported(license: &License, given: &Given<'_>) -> Option<Fault> {
    let hal = given.get(Setting::HalServers as usize).copied().flatten()?;
    // An upgrade says it so that it can be compared with its exclusive's (L37).
    if license.key_type == KeyType::Upgrade {
        return None;
    }
    let message = "this server does not support HAL_SERVERS yet, so the license is not served; ask the vendor for one \
                   without";
    Some(Fault::new(hal.name_at, Reason::NotSupportedYet, message))
}

fn key_type(text: &str) -> Result<KeyType, Expected> {
    match text {
        "EXCLUSIVE" => Ok(KeyType::Exclusive),
        "UPGRADE" => Ok(KeyType::Upgrade),
        "ADDITIVE" => Ok(KeyType::Additive),
        "TOKEN" => Ok(KeyType::Token),
        "MAINTENANCE" => Ok(KeyType::Maintenance),
        _ => Err("EXCLUSIVE, UPGRADE, ADDITIVE, TOKEN or MAINTENANCE"),
    }
}

fn license_type(text: &str) -> Result<LicenseType, Expected> {
    match text {
        "PERPETUAL" => Ok(LicenseType::Perpetual),
        "SUBSCRIPTION" => Ok(LicenseType::Subscription),
        "EVALUATION" => Ok(LicenseType::Evaluation),
        _ => Err("PERPETUAL, SUBSCRIPTION or EVALUATION"),
    }
}

pub(super) fn issued(text: &str) -> Result<NaiveDate, Expected> {
    if text == "TODAY" {
        return Err("a date; TODAY is for templates, and `seatkeeper vendor sign` writes the day");
    }
    values::date(text)
}

fn sn(text: &str) -> Result<&str, Expected> {
    if text.is_empty() { Err("a serial number") } else { Ok(text) }
}

fn match_rate(text: &str) -> Result<u8, Expected> {
    const EXPECTED: Expected = "a percentage from 0 to 100";
    values::between(text, 0, 100, EXPECTED).and_then(|rate| u8::try_from(rate).map_err(|_| EXPECTED))
}
