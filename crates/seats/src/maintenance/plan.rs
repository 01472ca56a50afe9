//! What a license and its renewals say of versions on a day: the blocks of maintenance there are (6.4, 6.9, 6.10), and how that
//! is shown.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::calendar::{UNLIMITED, add, is_unlimited};
use crate::license::{License, LicenseType, LicenseVersion, Maintenance, Patches, StartTrigger, Updates};

/// One grant of maintenance: the feature itself, or a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first day on which it counts, included; `None`: always.
    pub start: Option<NaiveDate>,
    /// The last release day it covers, included; [`UNLIMITED`]: every release.
    pub end: NaiveDate,
}

impl Block {
    /// Whether it counts on a day.
    pub fn is_live(&self, today: NaiveDate) -> bool {
        self.start.is_none_or(|start| start <= today)
    }
}

/// Everything [`decide`](super::decide) needs of a license, on one day.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<'l> {
    /// PERPETUAL, SUBSCRIPTION or EVALUATION.
    pub license_type: LicenseType,
    /// The owned version; `None`: any version runs, and none need be stated (rules 3, amendments).
    pub version: Option<LicenseVersion>,
    /// START.
    pub start: Option<NaiveDate>,
    /// END.
    pub end: Option<NaiveDate>,
    /// MAX_VERSION; empty: none.
    pub max_version: &'l [u32],
    /// FALLBACK_VERSION; empty: none.
    pub fallback_version: &'l [u32],
    /// MAINTENANCE_UPDATES.
    pub updates: Updates,
    /// MAINTENANCE_PATCHES.
    pub patches: Patches,
    /// MAINTENANCE_GRACE_DAYS.
    pub grace_days: u8,
    /// All there are, of the license and of its renewals, whatever their days.
    pub blocks: Vec<Block>,
    /// Whether the window would begin with a first checkout that there has not been (6.10).
    pub is_pending: bool,
}

/// How maintenance stands, as people are shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none, or it does not matter: an evaluation, or a license for any version.
    None,
    /// It begins on a later day.
    NotStarted,
    /// It begins with the first checkout.
    PendingFirstCheckout,
    /// Releases of today are covered.
    Active,
    /// Releases of today are not covered any more.
    Expired,
    /// Every release is covered.
    Unlimited,
}

impl State {
    /// As JSON says it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::None => "NONE",
            State::NotStarted => "NOT_STARTED",
            State::PendingFirstCheckout => "PENDING_FIRST_CHECKOUT",
            State::Active => "ACTIVE",
            State::Expired => "EXPIRED",
            State::Unlimited => "UNLIMITED",
        }
    }
}

impl<'l> Plan<'l> {
    /// Of a license and those that renew it, on a day. `first_checkout`: the recorded day (6.10), of licenses that need one.
    pub fn of(
        license: &'l License,
        renewals: &[Arc<License>],
        first_checkout: Option<NaiveDate>,
        today: NaiveDate,
    ) -> Plan<'l> {
        let given = license.carried.maintenance.as_deref();
        let mut blocks: Vec<Block> = own_block(license, given, first_checkout, today).into_iter().collect();
        blocks.extend(renewals.iter().filter_map(|renewal| {
            let end = renewal.carried.maintenance_end?.min(UNLIMITED);
            let start = renewal.carried.maintenance.as_deref().and_then(|given| given.start);
            Some(Block { start, end })
        }));
        let numbers = |of: fn(&Maintenance) -> Option<&Vec<u32>>| given.and_then(of).map_or(&[][..], |v| v);
        Plan {
            license_type: license.license_type,
            version: license.version,
            start: license.start,
            end: license.end,
            max_version: numbers(|given| given.max_version.as_ref()),
            fallback_version: numbers(|given| given.fallback_version.as_ref()),
            updates: given.map_or_else(Updates::default, |given| given.updates),
            patches: given.map_or_else(Patches::default, |given| given.patches),
            grace_days: given.map_or(0, |given| given.grace_days),
            blocks,
            is_pending: first_checkout.is_none()
                && given.is_some_and(|given| given.trigger == StartTrigger::FirstCheckout),
        }
    }

    /// The last release day that any block covers, now or later; `None`: there is no block.
    pub fn effective_end(&self) -> Option<NaiveDate> {
        self.blocks.iter().map(|block| block.end).max()
    }

    /// The last release day that is covered for newer versions than the owned one, for the order in which pools are tried
    /// (6.7): before all days where the owned version alone runs, or a fallback version, after all where every version does.
    pub fn covered_until(&self, today: NaiveDate) -> NaiveDate {
        if self.end.is_some_and(|end| end < today) {
            return NaiveDate::MIN;
        }
        match self.version {
            None => NaiveDate::MAX,
            Some(_) if self.license_type == LicenseType::Evaluation => NaiveDate::MAX,
            Some(_) => self.effective_end().unwrap_or(NaiveDate::MIN),
        }
    }

    /// The last release day covered as people are shown it: a subscription includes updates until its END. `None`: there is no
    /// maintenance, or it has no end.
    pub fn shown_end(&self) -> Option<NaiveDate> {
        let of_term = self.end.filter(|_| self.license_type == LicenseType::Subscription);
        let end = self.effective_end().filter(|_| self.version.is_some())?;
        let end = of_term.map_or(end, |term| term.min(end));
        (!is_unlimited(end) && self.license_type != LicenseType::Evaluation).then_some(end)
    }

    /// How it stands on a day.
    pub fn state(&self, today: NaiveDate) -> State {
        let is_moot = self.license_type == LicenseType::Evaluation || self.version.is_none();
        if self.blocks.is_empty() || is_moot {
            return State::None;
        }
        if self.is_pending && self.blocks.len() == 1 {
            return State::PendingFirstCheckout;
        }
        let live = |block: &&Block| block.is_live(today);
        if self.end.is_some_and(|end| end < today) {
            return State::Expired;
        }
        match self.blocks.iter().filter(live).map(|block| block.end).max() {
            Some(end) if is_unlimited(end) && self.shown_end().is_some() => State::Active,
            Some(end) if is_unlimited(end) => State::Unlimited,
            Some(end) if end >= today => State::Active,
            Some(_) => State::Expired,
            None => State::NotStarted,
        }
    }
}

/// The block of the feature itself.
fn own_block(
    license: &License,
    given: Option<&Maintenance>,
    first_checkout: Option<NaiveDate>,
    today: NaiveDate,
) -> Option<Block> {
    let start = given.and_then(|given| given.start);
    if let Some(end) = license.carried.maintenance_end {
        return Some(Block { start, end: end.min(UNLIMITED) });
    }
    let Some((given, period)) = given.and_then(|given| Some((given, given.period?))) else {
        // A subscription that says nothing of updates includes all of them, until its END.
        return (license.license_type == LicenseType::Subscription)
            .then_some(Block { start: None, end: UNLIMITED });
    };
    let start = match given.trigger {
        StartTrigger::Issue => start.or(license.issued)?,
        // Until there is a first checkout, as if it were today: nothing is refused that would be allowed afterwards.
        StartTrigger::FirstCheckout => {
            let begun = first_checkout.unwrap_or(today);
            given.start_by.map_or(begun, |by| by.min(begun))
        }
    };
    Some(Block { start: Some(start), end: add(start, period, 1) })
}

/// Where to renew a license: MAINTENANCE_CONTACT, else the vendor's name.
pub fn contact(license: &License) -> Box<str> {
    let given = license.carried.maintenance.as_deref().and_then(|given| given.contact.clone());
    given.unwrap_or_else(|| license.vendor.as_str().into())
}
