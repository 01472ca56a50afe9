//! Renewals of maintenance: which license, from when to when, and the file that says so (rules 3, 6.9).
//!
//! The arithmetic is `seats::maintenance`'s, as a server's is; here it is found out what to feed it with: the start whose grid
//! counts, and the end that the customer has already, by the license and by every renewal sold since.

use chrono::NaiveDate;
use quick_xml::escape::escape;
use seats::license::{Count, KeyType, License, LicenseType, Maintenance, Name, Period, Reason};
use seats::license::{StartTrigger, Updates};
use seats::maintenance::{Basis, UNLIMITED, add, is_unlimited, renewed};

use super::key::VendorKey;
use super::sign::{SignedFile, Template, sign};
use crate::licenses::{Problem, Signatures, read_files};

/// What is to be renewed, and how.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The license's feature, where its file has several.
    pub feature: Option<Name>,
    /// The license's SN, where that is not enough.
    pub sn: Option<String>,
    /// The length of one period.
    pub period: Period,
    /// How many of them, 1 or more.
    pub periods: u32,
    /// From where they count.
    pub basis: Basis,
    /// The first day, for a license that has no maintenance yet; the day of the first checkout, for one that begins with it.
    pub start: Option<NaiveDate>,
    /// The last day of the license's own window, where it begins with the first checkout.
    pub old_end: Option<NaiveDate>,
}

/// A renewal, signed.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The file and what is in it; its warnings are of the renewal too.
    pub signed: SignedFile,
    /// What was renewed, as a person names it.
    pub license: String,
    /// The last day covered before, included; `None`: there was no maintenance.
    pub old_end: Option<NaiveDate>,
    /// The last day covered by the renewal, included.
    pub end: NaiveDate,
    /// What is allowed and perhaps not meant, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a license cannot be renewed so. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// What is wrong with the license, the renewals or what was asked for.
    #[error("{0}")]
    Refused(String),
    /// What was made is refused by the signer.
    #[error("the renewal is not good")]
    Problems(Vec<Problem>),
}

fn refused<T>(message: impl Into<String>) -> Result<T, RenewError> {
    Err(RenewError::Refused(message.into()))
}

/// Makes and signs the renewal of one license.
///
/// `renewals` are what the customer has bought since; those in the license's own file are found there. `today` is ISSUED, and
/// the day that FROM_NOW means.
///
/// # Errors
///
/// Where it is not one license, it has no maintenance that could be renewed, or its end is not known. Nothing is signed then.
pub fn renew(
    key: &VendorKey,
    license: &Template,
    renewals: &[Template],
    wish: &Wish,
    today: NaiveDate,
) -> Result<Renewed, RenewError> {
    let mut warnings = Vec::new();
    let sold = read(key, std::slice::from_ref(license), &mut warnings)?;
    let license = choose(key, &sold, &license.file, wish)?;
    let name = shown(license);
    accept(license, &name, &mut warnings)?;
    let since = read(key, renewals, &mut warnings)?;
    let mine: Vec<&License> = sold.iter().chain(&since).filter(|one| is_renewal_of(one, license)).collect();
    for file in renewals {
        if !mine.iter().any(|renewal| *renewal.place.file == *file.file) {
            return refused(format!("{}: there is no renewal of {name} in it", file.file));
        }
    }
    let window = Window::find(license, &name, &mine, wish)?;
    if window.old_end.is_some_and(is_unlimited) {
        return refused(format!("{name} has maintenance without end already; there is nothing to renew"));
    }
    let counted = window.count(wish, today);
    window.warn(license, &counted, wish, today, &mut warnings);
    let template = Template { file: "renewal".to_owned(), bytes: template(license, &counted).into_bytes() };
    let signed = sign(key, &[template], None, today).map_err(RenewError::Problems)?;
    Ok(Renewed { signed, license: name, old_end: window.old_end, end: counted.end, warnings })
}

/// The licenses of some files. They may be signed with an older key of the vendor, which is told, for nobody has checked then
/// what they say.
fn read(key: &VendorKey, files: &[Template], warnings: &mut Vec<String>) -> Result<Vec<License>, RenewError> {
    let files: Vec<(String, Vec<u8>)> =
        files.iter().map(|file| (file.file.clone(), file.bytes.clone())).collect();
    let set = read_files(&files, &[key.identity().clone()], Signatures::Required);
    if let Some(problem) = set.problems.iter().find(|problem| problem.feature.is_none()) {
        return refused(problem.told());
    }
    let mut licenses = Vec::new();
    for license in set.licenses {
        match license.refusal.as_ref().map(|refusal| refusal.reason) {
            Some(Reason::UnknownVendorKey) if license.vendor == *key.identity().vendor() => {
                warnings.push(format!(
                    "{} is signed with another key than {}: whether it was changed since is not checked",
                    shown(&license),
                    key.identity().id()
                ));
                licenses.push(License { refusal: None, ..(*license).clone() });
            }
            Some(Reason::NotSupportedYet) => licenses.push(License { refusal: None, ..(*license).clone() }),
            _ => licenses.push((*license).clone()),
        }
    }
    Ok(licenses)
}

/// The one license of a file that is meant.
fn choose<'l>(
    key: &VendorKey,
    sold: &'l [License],
    file: &str,
    wish: &Wish,
) -> Result<&'l License, RenewError> {
    let is_meant = |one: &&License| {
        wish.feature.as_ref().is_none_or(|feature| one.feature == *feature)
            && wish.sn.as_deref().is_none_or(|sn| one.sn.as_deref() == Some(sn))
    };
    let meant: Vec<&License> = sold.iter().filter(is_meant).collect();
    let (parents, others): (Vec<&License>, Vec<&License>) =
        meant.into_iter().partition(|one| !matches!(one.key_type, KeyType::Upgrade | KeyType::Maintenance));
    let listed = |of: &[&License]| {
        let lines: Vec<String> = of.iter().map(|one| format!("\n  {}", described(one))).collect();
        lines.concat()
    };
    match (parents.as_slice(), others.as_slice()) {
        ([one], _) => {
            let vendor = key.identity().vendor();
            match &one.refusal {
                None if one.vendor == *vendor => Ok(one),
                Some(refusal) if refusal.reason != Reason::UnknownVendorKey => {
                    refused(format!("{}: {} ({})", described(one), refusal.message, refusal.reason))
                }
                _ => refused(format!(
                    "{} is sold by {}, and this key signs for {vendor}",
                    shown(one),
                    one.vendor
                )),
            }
        }
        ([], []) => {
            let all: Vec<&License> = sold.iter().collect();
            refused(format!(
                "{file}: there is no such license in it; it has{}",
                match all.is_empty() {
                    true => " none".to_owned(),
                    false => listed(&all),
                }
            ))
        }
        ([], [other, ..]) if other.key_type == KeyType::Upgrade => refused(format!(
            "{} is an UPGRADE, which shares the maintenance of its exclusive license; renew that one",
            shown(other)
        )),
        ([], [other, ..]) => refused(format!(
            "{} is a renewal itself; give the license it renews with --license, and this file with --renewal",
            shown(other)
        )),
        (several, _) => refused(format!(
            "{file}: there are several licenses in it; say which with --feature or --sn:{}",
            listed(several)
        )),
    }
}

/// Whether maintenance of this license can be renewed at all.
fn accept(license: &License, name: &str, warnings: &mut Vec<String>) -> Result<(), RenewError> {
    if license.sn.is_none() {
        return refused(format!("{name} has no SN, by which a renewal names it"));
    }
    let given = license.carried.maintenance.as_deref();
    let has_window = license.carried.maintenance_end.is_some() || given.is_some_and(|g| g.period.is_some());
    match license.license_type {
        LicenseType::Evaluation => refused(format!(
            "{name} is an EVALUATION, in which maintenance says nothing; sell a license, or a longer evaluation"
        )),
        LicenseType::Subscription if !has_window => refused(format!(
            "{name} is a SUBSCRIPTION that includes all updates until its END; renew it by the same license with a later END"
        )),
        // Where a maintenance setting is stated, a license without VERSION owns 1.0.
        LicenseType::Perpetual if license.version.is_none() => refused(format!(
            "{name} states no VERSION: every version of the program runs already, now and later"
        )),
        LicenseType::Subscription | LicenseType::Perpetual => {
            if given.is_some_and(|given| given.updates == Updates::None) {
                warnings.push(format!(
                    "{name} says MAINTENANCE_UPDATES=\"NONE\": its maintenance includes no newer version, renewed or not"
                ));
            }
            Ok(())
        }
    }
}

fn is_renewal_of(renewal: &License, license: &License) -> bool {
    let renews = renewal.carried.special.as_deref().and_then(|special| special.renews.as_deref());
    renewal.key_type == KeyType::Maintenance
        && renewal.refusal.is_none()
        && renewal.vendor == license.vendor
        && renewal.feature == license.feature
        && renews.is_some()
        && renews == license.sn.as_deref()
}

/// What the customer has before this renewal.
struct Window {
    /// The first day of the periods that the old end was made of, as far as that is known: their grid is kept.
    start: NaiveDate,
    /// The last day covered, included. `None`: there was no maintenance, and `start` is its first day.
    old_end: Option<NaiveDate>,
}

/// What the renewal says.
struct Counted {
    start: Option<NaiveDate>,
    end: NaiveDate,
    /// Whether it counts from today.
    is_from_today: bool,
}

impl Window {
    fn find(license: &License, name: &str, renewals: &[&License], wish: &Wish) -> Result<Window, RenewError> {
        let given = license.carried.maintenance.as_deref();
        let is_first = given.is_some_and(|given| given.trigger == StartTrigger::FirstCheckout);
        let (start, end) = match given.and_then(|given| Some((given, given.period?))) {
            Some((given, period)) if is_first => first_checkout(given, period, name, wish)?,
            own => {
                if let Some(day) = wish.old_end {
                    return refused(format!(
                        "--old-end {day}: {name} says itself when its maintenance ends; --old-end is for licenses whose \
                         maintenance begins with the first checkout"
                    ));
                }
                let start = given.and_then(|given| given.start).or(license.issued);
                match (license.carried.maintenance_end, own) {
                    (Some(end), _) => (start, Some(end.min(UNLIMITED))),
                    (None, Some((_, period))) => (start, start.map(|start| add(start, period, 1))),
                    (None, None) => (None, None),
                }
            }
        };
        let of_renewals = renewals.iter().filter_map(|one| one.carried.maintenance_end);
        let old_end = of_renewals.chain(end).map(|end| end.min(UNLIMITED)).max();
        if !is_first && let (Some(day), Some(end)) = (wish.start, old_end) {
            return refused(format!(
                "--start {day}: {name} has maintenance, up to {}; --start is for a license without",
                until(end)
            ));
        }
        // A window that began anew has a grid of its own.
        let anew = renewals.iter().filter_map(|one| one.carried.maintenance.as_deref()?.start).max();
        let Some(start) = anew.or(start).or(wish.start).or(old_end) else {
            return refused(format!(
                "{name} has no maintenance to renew; to sell it some, say with --start DATE from when"
            ));
        };
        Ok(Window { start, old_end })
    }

    fn count(&self, wish: &Wish, today: NaiveDate) -> Counted {
        let Some(old_end) = self.old_end else {
            let end = add(self.start, wish.period, wish.periods);
            return Counted { start: Some(self.start), end, is_from_today: false };
        };
        let end = renewed(wish.basis, self.start, wish.period, wish.periods, old_end, today);
        let is_from_today = match wish.basis {
            Basis::FromNow => true,
            Basis::FromNowIfExpired => old_end < today,
            Basis::FromExpiry => false,
        };
        Counted { start: is_from_today.then_some(today), end, is_from_today }
    }

    fn warn(
        &self,
        license: &License,
        counted: &Counted,
        wish: &Wish,
        today: NaiveDate,
        warnings: &mut Vec<String>,
    ) {
        let end = counted.end;
        if end < today {
            warnings.push(format!(
                "the renewal ends on {end}, which is past: it covers no release of today or later"
            ));
        }
        if let Some(old_end) = self.old_end {
            let paid = (old_end - today).num_days();
            if counted.is_from_today && paid > 0 {
                warnings.push(format!(
                    "FROM_NOW gives up {paid} day(s) that are paid, up to {old_end}; FROM_EXPIRY would add to them"
                ));
            }
            if end <= old_end {
                warnings
                    .push(format!("the renewal adds nothing: releases up to {old_end} are covered already"));
            }
        }
        if let Some(last) = license.end.filter(|last| *last < end) {
            let what = if is_unlimited(end) { "never ends".to_owned() } else { format!("ends on {end}") };
            warnings.push(format!("the renewal {what}, after END {last} of the license itself"));
        }
        if wish.basis == Basis::FromNow && self.old_end.is_none() {
            warnings.push(format!("there is no maintenance yet: it counts from --start {}", self.start));
        }
    }
}

/// The window of a license whose clock is started by its first checkout: only the server that serves it knows the day.
fn first_checkout(
    given: &Maintenance,
    period: Period,
    name: &str,
    wish: &Wish,
) -> Result<(Option<NaiveDate>, Option<NaiveDate>), RenewError> {
    let latest = given.start_by.map(|by| add(by, period, 1));
    match (wish.old_end, wish.start) {
        (Some(_), Some(_)) => refused(
            "--old-end and --start are two ways to say the same of a first checkout; give one".to_owned(),
        ),
        (Some(end), None) => match latest.filter(|latest| end > *latest) {
            Some(latest) => refused(format!(
                "--old-end {end}: the maintenance of {name} ends on {latest} at the latest, by its MAINTENANCE_START_BY"
            )),
            None => Ok((None, Some(end))),
        },
        (None, Some(first)) => {
            let start = given.start_by.map_or(first, |by| by.min(first));
            Ok((Some(start), Some(add(start, period, 1))))
        }
        (None, None) => refused(format!(
            "the maintenance of {name} begins with its first checkout, and only the customer's server knows that day; ask \
             for the end of maintenance that it shows (`maintenance_ends` in `seatkeeper status --json`), and give it with \
             --old-end DATE"
        )),
    }
}

fn template(license: &License, counted: &Counted) -> String {
    let sn = license.sn.as_deref().unwrap_or("");
    let start = counted.start.map(|start| format!("<SETTING MAINTENANCE_START=\"{start}\"/>"));
    format!(
        "<LICENSEFILE><FEATURE NAME=\"{}\"><SETTING KEYTYPE=\"MAINTENANCE\"/><SETTING RENEWS=\"SN={}\"/>{}\
         <SETTING MAINTENANCE_END=\"{}\"/></FEATURE></LICENSEFILE>",
        license.feature,
        escape(sn),
        start.unwrap_or_default(),
        until(counted.end)
    )
}

/// A last day as a license file says it.
pub fn until(end: NaiveDate) -> String {
    if is_unlimited(end) { "UNLIMITED".to_owned() } else { end.to_string() }
}

fn shown(license: &License) -> String {
    format!("{} SN {}", license.feature, license.sn.as_deref().unwrap_or("-"))
}

fn described(license: &License) -> String {
    let seats = match license.count {
        Some(Count::Limited(seats)) => format!(", {seats} seats"),
        Some(Count::Unlimited) => ", unlimited".to_owned(),
        None => String::new(),
    };
    format!("{}: {} {}{seats}", license.place, license.key_type.as_str(), shown(license))
}
