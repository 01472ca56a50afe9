//! Whether the program that runs now may use what is lent: the decision of rules 3, 6.4, by what the token carries (6.12).
//!
//! The license and each renewal are the vendor's word, the days the server's. The release list of the vendor is not in a token:
//! offline the dates count that the program states. A renewal that cannot be verified adds nothing, and is told of only where the
//! release is refused without it.

use std::sync::Arc;

use chrono::{Days as Count, NaiveDate};
use seats::license::{KeyType, License};
use seats::maintenance::{Plan, Refused, decide, sentence};
use seats::version::parse_date;
use wire::answer::SignedLicense;
use wire::borrow::{Days, Lent, TokenError};

use super::form::Form;
use super::keys::VendorKey;
use super::terms;
use super::verify::{Asker, NotValid, vouched_by_vendor};
use crate::error::Refusal;

/// `license` has been verified.
pub(super) fn check(lent: &Lent, license: &Arc<License>, asker: &Asker<'_>) -> Result<(), NotValid> {
    let said = Said::by(lent, license)?;
    let (mut renewals, mut fault) = (Vec::new(), None);
    for signed in &lent.renewals {
        match renewal(signed, lent, license, asker.keys) {
            Ok(renewal) => renewals.push(renewal),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    let today = asker.day.max(said.first).min(said.last);
    let plan = Plan::of(license, &renewals, said.first_checkout, today);
    let Err(refused) = decide(&plan, today, asker.release) else { return Ok(()) };
    let hangs_on_maintenance = matches!(
        refused,
        Refused::NotLicensed(_) | Refused::MaintenanceNotStarted(..) | Refused::MaintenanceExpired(..)
    );
    match fault.filter(|_| hangs_on_maintenance) {
        Some(fault) => Err(fault),
        None => Err(NotValid::Release(Refusal {
            code: refused.code().as_str().to_owned(),
            message: sentence(&lent.feature, license, &plan, &refused, None),
            details: String::new(),
        })),
    }
}

/// A renewal that the vendor signed for this license.
fn renewal(
    signed: &SignedLicense,
    lent: &Lent,
    license: &License,
    keys: &[VendorKey],
) -> Result<Arc<License>, NotValid> {
    let form = Form::read(&signed.canonical).ok_or(NotValid::License)?;
    let renewal = terms::read(&form).ok_or(NotValid::License)?;
    vouched_by_vendor(signed, &renewal.vendor, keys)?;
    let is_named = renewal.feature == license.feature && renewal.renews() == license.sn.as_deref();
    // What a license replaces may itself have replaced others, whose files the token does not have: that they belong together is
    // the server's word. No vendor signs one that renews nothing.
    let is_of_it = renewal.renews().is_some() && (is_named || license.replaces().is_some());
    if renewal.key_type != KeyType::Maintenance || renewal.vendor != license.vendor || !is_of_it {
        return Err(NotValid::OtherRenewal { feature: lent.feature.clone() });
    }
    Ok(renewal)
}

/// What the server says of days.
struct Said {
    /// The days of the borrow, both included: no other can be today.
    first: NaiveDate,
    last: NaiveDate,
    first_checkout: Option<NaiveDate>,
}

impl Said {
    fn by(lent: &Lent, license: &License) -> Result<Said, NotValid> {
        let bad = || NotValid::Damaged(TokenError::Field { field: "extras" });
        let days = Days::of(lent).map_err(|error| NotValid::Damaged(TokenError::Body(error)))?;
        let Some(days) = days else { return Said::of_before(lent, license).ok_or_else(bad) };
        let day = |text: &str| parse_date(text).ok_or_else(bad);
        let (first, last) = (day(&days.first)?, day(&days.last)?);
        let first_checkout = days.first_checkout.as_deref().map(day).transpose()?;
        // Days of some zone of the world.
        let is_near =
            |day: NaiveDate, at: i64| of_unix(at).is_some_and(|utc| (day - utc).num_days().abs() <= 1);
        if first > last || !is_near(first, lent.granted_at) || !is_near(last, lent.ends_at) {
            return Err(bad());
        }
        Ok(Said { first, last, first_checkout })
    }

    /// A token of before servers said so. Its term was verified by its moments; a first checkout was at the grant or before.
    fn of_before(lent: &Lent, license: &License) -> Option<Said> {
        let granted = of_unix(lent.granted_at)?;
        let first = granted.pred_opt()?.max(license.start.unwrap_or(NaiveDate::MIN));
        let last = of_unix(lent.ends_at)?.checked_add_days(Count::new(1))?;
        let last = last.min(license.end.unwrap_or(NaiveDate::MAX)).max(first);
        Some(Said { first, last, first_checkout: license.starts_at_first_checkout().then_some(granted) })
    }
}

/// The day of a moment in UTC, or, with an offset added before, of another place; `None`: beyond the calendar.
pub(super) fn of_unix(seconds: i64) -> Option<NaiveDate> {
    let day = i32::try_from(seconds.div_euclid(86_400)).ok()?;
    NaiveDate::from_epoch_days(day)
}
