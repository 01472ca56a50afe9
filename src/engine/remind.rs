//! Administrators are told of ends before they come, of renewals that were loaded, and of maintenance that begins (rules 3, 6.10
//! and 6.11).
//!
//! After a start, a reload and at each midnight every feature is looked at once, some of them a step, when the pools are up to
//! date. What is said is journaled first, so that nothing is said twice; a clock in doubt says nothing. Who hears of it is not
//! settled here: it is an event and a line in the log.

use std::sync::Arc;

use chrono::NaiveDate;
use seats::catalog::{Catalog, FeatureLicenses};
use seats::change::{Change, FirstCheckout, Reminded};
use seats::evaluate::Total;
use seats::ledger::Now;
use seats::license::{License, Name};
use seats::maintenance::{End, Ending, Reminder, THRESHOLDS, contact, due, endings, is_unlimited, notice};
use tracing::info;

use super::Engine;
use super::happened::Happened;
use crate::journal::{Disk, JournalError};

/// How many features a step looks at: a millisecond of work or two.
const FEATURES_A_STEP: usize = 500;
/// How many reminders of one day are logged each in a line of its own; the events have all of them.
const TOLD_MAX: usize = 100;

/// Which of the events about maintenance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It ends soon.
    ExpiringSoon,
    /// It has ended.
    Ended,
    /// A renewal, or a license with a later end, was loaded.
    Renewed,
    /// It has begun with a first checkout.
    Started,
}

/// What administrators are told of one license.
#[derive(Clone, Debug)]
pub struct Maintained {
    /// What happened.
    pub notice: Notice,
    /// Whether it is about maintenance or the license itself.
    pub of: Ending,
    /// Who sells it.
    pub vendor: Name,
    /// What it allows.
    pub feature: Name,
    /// Seats.
    pub seats: Total,
    /// Its serial number.
    pub sn: Option<Arc<str>>,
    /// The last day, included; `None`: there is none any more.
    pub end: Option<NaiveDate>,
    /// From the day of the event to that.
    pub days_left: Option<i64>,
    /// Where to renew.
    pub contact: Box<str>,
    /// In a sentence.
    pub text: String,
}

/// How far the look at the features has come.
#[derive(Debug)]
pub(super) struct Reminding {
    /// Days before an end, the largest first.
    pub(super) thresholds: Vec<u16>,
    catalog: Option<Arc<Catalog>>,
    day: Option<NaiveDate>,
    /// The next feature; `None`: all are looked at.
    next: Option<usize>,
    /// The licenses before the reload that is looked at.
    before: Option<Arc<Catalog>>,
    told: usize,
}

impl Default for Reminding {
    fn default() -> Reminding {
        let thresholds = THRESHOLDS.to_vec();
        Reminding { thresholds, catalog: None, day: None, next: None, before: None, told: 0 }
    }
}

impl<D: Disk> Engine<D> {
    /// The same engine, reminding so many days before an end; the largest first.
    #[must_use]
    pub fn with_reminders(mut self, thresholds: Vec<u16>) -> Self {
        self.reminding.thresholds = thresholds;
        self
    }

    /// Whether features are still to be looked at, and may be.
    pub(super) fn is_reminding(&self) -> bool {
        self.reminding.next.is_some() && self.ledger.is_complete() && self.clock.is_settled()
    }

    /// Looks at the next features, if there is a reason to.
    pub(super) fn remind(&mut self, now: Now) -> Result<(), JournalError> {
        self.notice_news(now);
        if !self.is_reminding() {
            return Ok(());
        }
        let catalog = self.ledger.catalog().clone();
        let from = self.reminding.next.unwrap_or(0);
        let to = catalog.features().len().min(from + FEATURES_A_STEP);
        for at in from..to {
            self.look_at(&catalog.features()[at], now)?;
        }
        if to < catalog.features().len() {
            self.reminding.next = Some(to);
            return Ok(());
        }
        (self.reminding.next, self.reminding.before) = (None, None);
        let untold = std::mem::take(&mut self.reminding.told).saturating_sub(TOLD_MAX);
        if untold > 0 {
            info!(licenses = untold, "and more licenses end or were renewed; `seatkeeper events` lists them");
        }
        Ok(())
    }

    /// Another set of licenses, or another day: everything is looked at anew.
    fn notice_news(&mut self, now: Now) {
        let catalog = self.ledger.catalog();
        let is_known = self.reminding.catalog.as_ref().is_some_and(|known| Arc::ptr_eq(known, catalog));
        if is_known && self.reminding.day == Some(now.day) {
            return;
        }
        if !is_known {
            let before = self.reminding.catalog.replace(catalog.clone());
            // Of two reloads in a row the licenses before the first count.
            self.reminding.before = self.reminding.before.take().or(before);
        }
        self.reminding.day = Some(now.day);
        self.reminding.next = Some(0);
    }

    fn look_at(&mut self, feature: &FeatureLicenses, now: Now) -> Result<(), JournalError> {
        let first_checkouts = self.ledger.state().first_checkouts().clone();
        let first = |at: usize| first_checkouts.day_of(feature, at);
        let ends = endings(feature, now.day, &first);
        if let Some(before) = self.reminding.before.clone() {
            self.tell_renewed(&before, feature, &ends, now);
        }
        for end in &ends {
            let license = &feature.licenses[end.license];
            let identity = license.identity();
            let said =
                self.ledger.state().reminded([&feature.vendor, &license.feature], &identity, end.of, end.end);
            let Some(what) = due(end.end, now.day, said, &self.reminding.thresholds) else { continue };
            let reminded = Reminded {
                vendor: feature.vendor.clone(),
                feature: license.feature.clone(),
                license: identity,
                of: end.of,
                end: end.end,
                what,
            };
            self.accept(now.tick, &Change::Reminded(reminded))?;
            let kind = if what == Reminder::Ended { Notice::Ended } else { Notice::ExpiringSoon };
            let text = notice(feature, end, now.day);
            self.tell_of(kind, license, *end, Some(end.end), text, now);
        }
        Ok(())
    }

    /// What ended, or was to end, before the reload, and ends later now.
    fn tell_renewed(&mut self, before: &Catalog, feature: &FeatureLicenses, ends: &[End], now: Now) {
        let Some(at) = before.index_of(&feature.vendor, &feature.feature) else { return };
        let old = &before.features()[at];
        if old.is_made_of_the_same(feature) {
            return;
        }
        let first_checkouts = self.ledger.state().first_checkouts().clone();
        for was in endings(old, now.day, &|at| first_checkouts.day_of(old, at)) {
            let license = &old.licenses[was.license];
            let same = |other: &Arc<License>| {
                other.key_type == license.key_type && other.identity() == license.identity()
            };
            let Some(at) =
                (0..feature.licenses.len()).find(|at| feature.can_count(*at) && same(&feature.licenses[*at]))
            else {
                continue;
            };
            let license = feature.licenses[at].clone();
            let is_silent = !ends.iter().any(|end| end.license == at && end.of == was.of);
            let later = match was.of {
                Ending::Maintenance => feature
                    .plan(at, first_checkouts.day_of(feature, at), now.day)
                    .effective_end()
                    .filter(|end| *end > was.end)
                    .map(|end| (!is_unlimited(end)).then_some(end)),
                Ending::Term => match license.end {
                    None => Some(None),
                    Some(end) if end > was.end => Some(Some(end)),
                    // Another license takes over.
                    Some(_) if is_silent => Some(None),
                    Some(_) => None,
                },
            };
            let Some(later) = later else { continue };
            let what = match was.of {
                Ending::Maintenance => "maintenance for",
                Ending::Term => "the license of",
            };
            let to = match later {
                Some(end) => format!("goes to {end}"),
                None if license.end.is_some() && was.of == Ending::Term => {
                    "is followed by another".to_owned()
                }
                None => "has no end any more".to_owned(),
            };
            let text = format!("{what} {} {to}; it ended with {}", license.feature, was.end);
            self.tell_of(Notice::Renewed, &license, was, later, text, now);
        }
    }

    /// The first seat of a license begins its maintenance: it is applied already.
    pub(super) fn tell_started(&mut self, first: &FirstCheckout, now: Now) {
        let catalog = self.ledger.catalog().clone();
        let Some(at) = catalog.index_of(&first.vendor, &first.feature) else { return };
        let feature = &catalog.features()[at];
        let is_it = |at: &usize| feature.can_count(*at) && feature.licenses[*at].identity() == first.license;
        let Some(at) = (0..feature.licenses.len()).find(is_it) else { return };
        let license = &feature.licenses[at];
        let end = feature.plan(at, Some(first.day), now.day).shown_end();
        let to = end.map_or_else(String::new, |end| format!(" and covers releases to {end}"));
        let text = format!(
            "maintenance for {} has begun with its first checkout, on {}{to}",
            first.feature, first.day
        );
        let seats = license.count.map_or(Total::Unlimited, Total::from);
        let about = End { license: at, of: Ending::Maintenance, end: first.day, seats };
        self.tell_of(Notice::Started, license, about, end, text, now);
    }

    fn tell_of(
        &mut self,
        notice: Notice,
        license: &License,
        about: End,
        end: Option<NaiveDate>,
        text: String,
        now: Now,
    ) {
        self.reminding.told += 1;
        if self.reminding.told <= TOLD_MAX {
            let sn = license.sn.as_deref().unwrap_or("-");
            info!(feature = %license.feature, vendor = %license.vendor, sn, "{text}");
        }
        if self.sink.is_none() {
            return;
        }
        self.happened.push(Happened::Maintained(Box::new(Maintained {
            notice,
            of: about.of,
            vendor: license.vendor.clone(),
            feature: license.feature.clone(),
            seats: about.seats,
            sn: license.sn.clone(),
            end,
            days_left: end.map(|end| (end - now.day).num_days()),
            contact: contact(license),
            text,
        })));
    }
}
