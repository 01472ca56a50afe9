//! What a client remembers of grace, and what follows from it (L65). No file, no clock: time comes as an argument.

use std::collections::BTreeMap;

use thiserror::Error;

use super::clock::shown;

/// How far the clock may stand behind what was seen: corrections of a clock that is about right.
pub(crate) const CLOCK_TOLERANCE_SECONDS: i64 = 300;
/// How far the mark may lag behind while no grace is in use: a write each time.
const MARK_STEP_SECONDS: i64 = 600;
/// After its last use there is no grace for so long.
pub(crate) const REST_SECONDS: i64 = 7 * 86_400;
/// The most features remembered, so that no server can fill the disk. The ones known longest stay.
pub(crate) const ENTRIES_MAX: usize = 500;

/// All of it. The default knows nothing, which is no grace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    /// The latest moment seen, Unix seconds. Only a grant sets it back.
    pub(crate) mark: i64,
    /// A damaged file was replaced: no grace before this moment.
    pub(crate) closed_until: i64,
    entries: BTreeMap<Key, Entry>,
}

/// A vendor and a feature, in lower case.
pub(crate) type Key = (String, String);

/// What the last grant of a feature said, and how its grace was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the license writes them.
    pub(crate) vendor: String,
    pub(crate) feature: String,
    /// 0: its license gives none.
    pub(crate) hours: u32,
    /// Seats of the last grant.
    pub(crate) count: u32,
    pub(crate) version: Option<String>,
    /// The license's end, exclusive.
    pub(crate) ends: Option<i64>,
    /// User, host and release of the last grant.
    pub(crate) asker: String,
    /// A server has said no since the last grant, then.
    pub(crate) denied_at: Option<i64>,
    pub(crate) period: Option<Period>,
}

/// One use of grace, interrupted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) began: i64,
    pub(crate) last: i64,
}

/// From when until when a use of grace is allowed, Unix seconds; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) began: i64,
    pub(crate) until: i64,
}

/// What a grant says of one feature.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    pub(crate) vendor: String,
    pub(crate) feature: String,
    pub(crate) hours: u32,
    pub(crate) count: u32,
    pub(crate) version: Option<String>,
    pub(crate) ends: Option<i64>,
    pub(crate) asker: String,
}

/// Who wants to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claim<'a> {
    /// A new checkout of so many seats.
    Checkout { asker: &'a str, count: u32 },
    /// A session whose server went away at that moment.
    Session { since: i64 },
}

/// Why there is no grace.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NoGrace {
    /// The license gives none, as far as this client has heard.
    #[error("the license gives none")]
    NotGiven,
    #[error("a license server has denied {0} since it was granted last")]
    Denied(String),
    #[error("the grace of {feature} has been used; there is none before {}", shown(*.again))]
    Used { feature: String, again: i64 },
    #[error("the license of {feature} ended at {}", shown(*.at))]
    Expired { feature: String, at: i64 },
    #[error("the last grant of {0} was for another user, host or release")]
    AnotherAsker(String),
    #[error("the last grant of {feature} was for {granted} seats, not {wanted}")]
    MoreSeats { feature: String, granted: u32, wanted: u32 },
    #[error("several vendors sell {0}: name one")]
    SeveralVendors(String),
    #[error("this computer's clock stands at {}, but {} has been seen already; set it right", shown(*.now), shown(*.mark))]
    ClockBehind { now: i64, mark: i64 },
    #[error("what was remembered of it was damaged; there is none before {}", shown(*.0))]
    Closed(i64),
    #[error("{0} answers")]
    Answered(String),
}

impl Book {
    /// One that took the place of a damaged one.
    pub(crate) fn closed(until: i64) -> Book {
        Book { closed_until: until, ..Book::default() }
    }

    /// All entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Adds an entry as it was read; `false` if its key is there already, or there are too many.
    pub(crate) fn insert(&mut self, entry: Entry) -> bool {
        let is_room = self.entries.len() < ENTRIES_MAX;
        is_room && self.entries.insert(key(&entry.vendor, &entry.feature), entry).is_none()
    }

    /// A server has granted seats. Returns whether there is something to keep.
    pub(crate) fn learn(&mut self, now: i64, lesson: Lesson) -> bool {
        let key = key(&lesson.vendor, &lesson.feature);
        let is_known = self.entries.contains_key(&key);
        let is_new = lesson.hours > 0 && self.entries.len() < ENTRIES_MAX;
        if !is_name(&lesson.feature)
            || !(lesson.vendor.is_empty() || is_name(&lesson.vendor))
            || !(is_known || is_new)
        {
            return false;
        }
        let Lesson { vendor, feature, hours, count, version, ends, asker } = lesson;
        let version = version.filter(|text| is_version(text));
        let period =
            self.entries.get(&key).and_then(|entry| entry.period).map(|period| period.seen_from(now));
        let entry = Entry { vendor, feature, hours, count, version, ends, asker, denied_at: None, period };
        let is_changed = self.entries.get(&key) != Some(&entry);
        self.entries.insert(key, entry);
        // A grant is the one thing that tells a clock which was ahead from one that was set back.
        let is_moved = (now - self.mark).abs() > CLOCK_TOLERANCE_SECONDS;
        if is_changed || is_moved {
            self.mark = now;
            self.closed_until = self.closed_until.min(now.saturating_add(REST_SECONDS));
        }
        is_changed || is_moved
    }

    /// A server has said no to a feature, of this vendor or of any. Returns whether there is something to keep.
    pub(crate) fn deny(&mut self, now: i64, vendor: Option<&str>, feature: &str) -> bool {
        let mut is_changed = false;
        for (_, entry) in self.entries.iter_mut().filter(|(key, _)| is_of(key, vendor, feature)) {
            is_changed |= entry.denied_at.is_none();
            // The latest: a session may have been granted before it and lost its server after it.
            entry.denied_at = entry.denied_at.max(Some(now));
        }
        is_changed
    }

    /// The one entry that a request means, if its license gives grace.
    pub(crate) fn find(&self, vendor: Option<&str>, feature: &str) -> Result<&Entry, NoGrace> {
        let mut found =
            self.entries.iter().filter(|(key, e)| e.hours > 0 && is_of(key, vendor, feature)).map(|(_, e)| e);
        match (found.next(), found.next()) {
            (None, _) => Err(NoGrace::NotGiven),
            (Some(entry), None) => Ok(entry),
            (Some(_), Some(_)) => Err(NoGrace::SeveralVendors(feature.to_owned())),
        }
    }

    /// Until when such a claim may go on from `now`. Changes nothing.
    fn grace(&self, now: i64, entry: &Entry, claim: Claim<'_>) -> Result<Span, NoGrace> {
        if now < self.mark - CLOCK_TOLERANCE_SECONDS {
            return Err(NoGrace::ClockBehind { now, mark: self.mark });
        }
        // Within the tolerance the time seen last is the better one.
        let now = now.max(self.mark);
        if now < self.closed_until {
            return Err(NoGrace::Closed(self.closed_until));
        }
        let feature = || entry.feature.clone();
        match claim {
            Claim::Checkout { asker, count } => {
                if entry.denied_at.is_some() {
                    return Err(NoGrace::Denied(feature()));
                }
                if let Some(at) = entry.ends.filter(|at| *at <= now) {
                    return Err(NoGrace::Expired { feature: feature(), at });
                }
                if entry.asker != asker {
                    return Err(NoGrace::AnotherAsker(feature()));
                }
                if entry.count < count {
                    let granted = entry.count;
                    return Err(NoGrace::MoreSeats { feature: feature(), granted, wanted: count });
                }
            }
            // An earlier denial was of another checkout: this session had its seat all the same.
            Claim::Session { since } => {
                if entry.denied_at.is_some_and(|at| at >= since) {
                    return Err(NoGrace::Denied(feature()));
                }
            }
        }
        let seconds = entry.hours_in_seconds();
        let anew = Span { began: now, until: now + seconds };
        let Some(Period { began, last }) = entry.period else { return Ok(anew) };
        let until = began.saturating_add(seconds);
        let again = last.saturating_add(REST_SECONDS);
        // A period that begins later than now was used under a clock that was ahead.
        if began <= now && now < until {
            Ok(Span { began, until })
        } else if now >= again {
            Ok(anew)
        } else {
            Err(NoGrace::Used { feature: feature(), again })
        }
    }

    /// Begins or continues the grace of all these features, or of none. Returns the span of each, and how many seconds are left
    /// until the first of them ends.
    pub(crate) fn begin(
        &mut self,
        now: i64,
        claims: &[(Key, Claim<'_>)],
    ) -> Result<(Vec<(Key, Span)>, i64), NoGrace> {
        let mut spans = Vec::new();
        for (key, claim) in claims {
            let entry = self.entries.get(key).filter(|entry| entry.hours > 0).ok_or(NoGrace::NotGiven)?;
            spans.push((key.clone(), self.grace(now, entry, *claim)?));
        }
        let until = spans.iter().map(|(_, span)| span.until).min().ok_or(NoGrace::NotGiven)?;
        let left = until - now.max(self.mark);
        self.using(now, &spans);
        Ok((spans, left))
    }

    /// Grace is in use now.
    pub(crate) fn using(&mut self, now: i64, spans: &[(Key, Span)]) {
        let now = now.max(self.mark);
        self.mark = now;
        for (key, Span { began, until }) in spans {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let last = now.min(*until);
            match &mut entry.period {
                Some(period) if period.began == *began => period.last = last.max(period.last),
                // Another program has begun a later one.
                Some(period) if period.began > *began => {}
                other => *other = Some(Period { began: *began, last }),
            }
        }
    }

    /// The clock shows this. Returns whether it is worth keeping.
    pub(crate) fn see(&mut self, now: i64) -> bool {
        let is_worth_it = now > self.mark.saturating_add(MARK_STEP_SECONDS);
        if is_worth_it {
            self.mark = now;
        }
        is_worth_it
    }

    pub(crate) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }
}

impl Entry {
    fn hours_in_seconds(&self) -> i64 {
        i64::from(self.hours) * 3600
    }
}

impl Period {
    /// The same, once a grant has shown what time it is: what was used under a clock that was ahead counts as used up now, and
    /// not until that clock is right.
    fn seen_from(self, now: i64) -> Period {
        let longest = i64::from(wire::answer::Grace::HOURS_MAX) * 3600;
        let began = if self.began > now { now - longest } else { self.began };
        Period { began, last: self.last.min(now) }
    }
}

/// In lower case, as the protocol compares them.
pub(crate) fn key(vendor: &str, feature: &str) -> Key {
    (vendor.to_ascii_lowercase(), feature.to_ascii_lowercase())
}

fn is_of(key: &Key, vendor: Option<&str>, feature: &str) -> bool {
    key.1.eq_ignore_ascii_case(feature) && vendor.is_none_or(|vendor| key.0.eq_ignore_ascii_case(vendor))
}

/// What a license can be called (L3): anything else is a server's joke and not kept.
pub(crate) fn is_name(text: &str) -> bool {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_fine)
}

pub(crate) fn is_version(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}
