//! MAINTENANCE_* and the version ceilings: read, and checked against each other (rules 3, 6.1 and 6.14).
//!
//! What they grant is decided elsewhere.

use chrono::NaiveDate;
use seats::license::{LicenseType, LicenseVersion, Maintenance, Patches, StartTrigger, Updates};

use super::settings::{Reading, Setting};
use super::values;

/// The longest MAINTENANCE_CONTACT, in characters.
const CONTACT_CHARACTERS_MAX: usize = 200;

/// What the maintenance settings depend on.
pub(super) struct Around {
    pub(super) license_type: LicenseType,
    /// VERSION, or the default that holds as soon as one of these settings is present.
    pub(super) version: LicenseVersion,
    pub(super) end: Option<NaiveDate>,
}

/// Settings of this file.
const OURS: [Setting; 11] = [
    Setting::MaintenanceStart,
    Setting::MaintenanceEnd,
    Setting::MaintenancePeriod,
    Setting::MaintenanceStartTrigger,
    Setting::MaintenanceStartBy,
    Setting::MaintenanceUpdates,
    Setting::MaintenancePatches,
    Setting::MaintenanceGraceDays,
    Setting::MaintenanceContact,
    Setting::MaxVersion,
    Setting::FallbackVersion,
];

/// Those of them that an EVALUATION ignores (rules 3, 6.1).
const COVERAGE: [Setting; 8] = [
    Setting::MaintenanceStart,
    Setting::MaintenanceEnd,
    Setting::MaintenancePeriod,
    Setting::MaintenanceStartTrigger,
    Setting::MaintenanceStartBy,
    Setting::MaintenanceUpdates,
    Setting::MaintenancePatches,
    Setting::MaintenanceGraceDays,
];

/// Whether the feature states any of them: then VERSION has a default (rules 3, amendments).
pub(super) fn is_stated(reading: &Reading<'_>) -> bool {
    OURS.iter().any(|setting| reading.has(*setting))
}

/// MAINTENANCE_END and the rest. Faults go to `reading`.
pub(super) fn read(
    reading: &mut Reading<'_>,
    around: &Around,
) -> (Option<NaiveDate>, Option<Box<Maintenance>>) {
    let end = reading.typed(Setting::MaintenanceEnd, values::date_or_unlimited);
    let maintenance = Maintenance {
        start: reading.typed(Setting::MaintenanceStart, values::date),
        period: reading.typed(Setting::MaintenancePeriod, values::period),
        trigger: reading.typed(Setting::MaintenanceStartTrigger, trigger).unwrap_or_default(),
        start_by: reading.typed(Setting::MaintenanceStartBy, values::date),
        updates: reading.typed(Setting::MaintenanceUpdates, updates).unwrap_or_default(),
        patches: reading.typed(Setting::MaintenancePatches, patches).unwrap_or_default(),
        grace_days: reading.typed(Setting::MaintenanceGraceDays, grace_days).unwrap_or_default(),
        max_version: reading.typed(Setting::MaxVersion, values::long_version),
        fallback_version: reading.typed(Setting::FallbackVersion, values::long_version),
        contact: reading.typed(Setting::MaintenanceContact, contact),
    };
    check_window(reading, end, &maintenance);
    check_versions(reading, around, &maintenance);
    if let (Some(last), Some(of_license)) = (end, around.end)
        && last > of_license
        && last != NaiveDate::MAX
    {
        reading.warn(Setting::MaintenanceEnd, format!("MAINTENANCE_END {last} is after END {of_license}"));
    }
    if around.license_type == LicenseType::Evaluation
        && let Some(idle) = COVERAGE.into_iter().find(|setting| reading.has(*setting))
    {
        let message = format!(
            "{} says nothing in an EVALUATION, which runs every version up to its END (and MAX_VERSION); remove it",
            idle.name()
        );
        reading.warn(idle, message);
    }
    let more = OURS.iter().any(|s| *s != Setting::MaintenanceEnd && reading.has(*s));
    (end, more.then(|| Box::new(maintenance)))
}

fn check_window(reading: &mut Reading<'_>, end: Option<NaiveDate>, given: &Maintenance) {
    use Setting::{
        Issued, MaintenanceEnd, MaintenancePeriod, MaintenanceStart, MaintenanceStartBy,
        MaintenanceStartTrigger,
    };
    if reading.has(MaintenanceEnd) && reading.has(MaintenancePeriod) {
        reading.conflict(
            MaintenancePeriod,
            "MAINTENANCE_END and MAINTENANCE_PERIOD exclude each other; keep one",
        );
    }
    if let (Some(start), Some(end)) = (given.start, end)
        && end < start
    {
        let message = format!(
            "MAINTENANCE_END before MAINTENANCE_START: {end} is earlier than {start}, and both days are included"
        );
        reading.conflict(MaintenanceEnd, message);
    }
    if reading.has(MaintenanceStart) && !reading.has(MaintenanceEnd) && !reading.has(MaintenancePeriod) {
        let message = "MAINTENANCE_START needs MAINTENANCE_END or MAINTENANCE_PERIOD";
        reading.conflict(MaintenanceStart, message);
    }
    if reading.has(MaintenanceStartTrigger) && !reading.has(MaintenancePeriod) {
        reading.conflict(MaintenanceStartTrigger, "MAINTENANCE_START_TRIGGER needs MAINTENANCE_PERIOD");
    }
    if given.trigger == StartTrigger::FirstCheckout {
        if !reading.has(MaintenanceStartBy) {
            reading.conflict(MaintenanceStartTrigger, "FIRST_CHECKOUT needs MAINTENANCE_START_BY");
        }
        if reading.has(MaintenanceStart) {
            reading.conflict(
                MaintenanceStart,
                "FIRST_CHECKOUT and MAINTENANCE_START exclude each other; keep one",
            );
        }
    } else {
        if reading.has(MaintenanceStartBy) {
            let message = "MAINTENANCE_START_BY needs MAINTENANCE_START_TRIGGER=\"FIRST_CHECKOUT\"";
            reading.conflict(MaintenanceStartBy, message);
        }
        if reading.has(MaintenancePeriod) && !reading.has(Issued) && !reading.has(MaintenanceStart) {
            reading.conflict(MaintenancePeriod, "MAINTENANCE_PERIOD needs ISSUED or MAINTENANCE_START");
        }
    }
}

fn check_versions(reading: &mut Reading<'_>, around: &Around, given: &Maintenance) {
    if let Some(ceiling) = &given.max_version {
        let owned = [around.version.major, around.version.minor, 0, 0];
        // At its own precision: a ceiling of 3 allows every 3.x.
        if owned.iter().zip(ceiling).find(|(owned, max)| owned != max).is_some_and(|(owned, max)| owned > max)
        {
            let message =
                format!("MAX_VERSION below VERSION {}; raise one or lower the other", around.version);
            reading.conflict(Setting::MaxVersion, message);
        }
    }
    if reading.has(Setting::FallbackVersion) && around.license_type != LicenseType::Subscription {
        let message =
            "FALLBACK_VERSION only with SUBSCRIPTION; remove it or set LICENSE_TYPE=\"SUBSCRIPTION\"";
        reading.conflict(Setting::FallbackVersion, message);
    }
}

fn trigger(text: &str) -> Result<StartTrigger, values::Expected> {
    match text {
        "ISSUE" => Ok(StartTrigger::Issue),
        "FIRST_CHECKOUT" => Ok(StartTrigger::FirstCheckout),
        _ => Err("ISSUE or FIRST_CHECKOUT"),
    }
}

fn updates(text: &str) -> Result<Updates, values::Expected> {
    match text {
        "NONE" => Ok(Updates::None),
        "MINOR" => Ok(Updates::Minor),
        "MAJOR" => Ok(Updates::Major),
        _ => Err("NONE, MINOR or MAJOR"),
    }
}

fn patches(text: &str) -> Result<Patches, values::Expected> {
    match text {
        "LINE" => Ok(Patches::Line),
        "DATE" => Ok(Patches::Date),
        _ => Err("LINE or DATE"),
    }
}

fn grace_days(text: &str) -> Result<u8, values::Expected> {
    const EXPECTED: values::Expected = "a number of days; MAINTENANCE_GRACE_DAYS 0-90";
    values::between(text, 0, 90, EXPECTED).and_then(|days| u8::try_from(days).map_err(|_| EXPECTED))
}

fn contact(text: &str) -> Result<Box<str>, values::Expected> {
    if text.chars().count() > CONTACT_CHARACTERS_MAX {
        return Err("200 characters or less");
    }
    Ok(text.into())
}
