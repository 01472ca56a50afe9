//! Denials by feature, and true denials.
//!
//! A *true denial* is a checkout that was refused and that nothing made good: the same user was granted no seat of a
//! feature of that name later than it and within [`MADE_GOOD_MS`], by the times that the events tell. It does not matter
//! how he came by it, from a queue or on loan, nor on which host, nor of which vendor, which a denial does not always know.
//! Names compare without case, as ASCII does. Who joins a queue is not denied. The history (`src/history/schema.sql`) says
//! it by the same time and the same rule; tests/usage.rs holds both to the same events.
//!
//! Somebody who is refused and has the seat half a minute later was not kept from work, and a program that asks in a loop
//! is one person. Counted on the thread that takes events in; what that thread has to drop under overload is not counted
//! here. Every table is bounded: features and users are what clients write (S83).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seats::denial::Code;

use crate::clock::Clock;
use crate::engine::happened::{Batch, Denied, Happened, Seats};

/// How long after a denial a grant can make it good, included, in milliseconds: five minutes.
pub const MADE_GOOD_MS: i64 = 5 * 60_000;
/// So many denials may wait to be judged. Beyond it the oldest is judged as it stands.
const WAITING_MAX: usize = 65_536;
/// So many features are counted one by one: more than a server has, fewer than clients can make up.
const FEATURES_MAX: usize = 200_000;
/// A day in steps of half an hour, and the one that has begun.
const STEPS: usize = 49;
const STEP_MS: u64 = 30 * 60_000;

/// See the module.
#[derive(Debug)]
pub struct Denials {
    clock: Clock,
    tables: Mutex<Tables>,
}

/// Vendor and feature, in lower case.
type FeatureKey = (Box<str>, Box<str>);
/// User and feature, in lower case. Of whatever vendor: a denial does not always know.
type Wish = (Box<str>, Box<str>);

#[derive(Debug, Default)]
struct Tables {
    features: HashMap<FeatureKey, OfFeature>,
    /// Denials that may still be made good, oldest first: when, in Unix milliseconds, and whose.
    waiting: VecDeque<(i64, Arc<Wish>)>,
    wishes: HashMap<Arc<Wish>, Standing>,
    true_denials: u64,
}

#[derive(Debug)]
struct OfFeature {
    since_start: u64,
    /// By half hour, the last first at `newest`.
    steps: [u32; STEPS],
    newest: u64,
}

/// How it stands with somebody who was refused.
#[derive(Debug, Default)]
struct Standing {
    /// Denials that are not judged yet.
    waiting: usize,
    /// When there was a grant since the first of them, the last one.
    granted_at: Option<i64>,
}

impl Denials {
    pub(super) fn new(clock: Clock) -> Denials {
        Denials { clock, tables: Mutex::default() }
    }

    /// Denials of a feature since the start, and those of the last 24 hours, to the half hour.
    pub fn of(&self, vendor: &str, feature: &str) -> (u64, u64) {
        let step = self.clock.tick().0 / STEP_MS;
        let tables = self.tables();
        let key: FeatureKey = (vendor.to_ascii_lowercase().into(), feature.to_ascii_lowercase().into());
        tables.features.get(&key).map_or((0, 0), |of| (of.since_start, of.last_day(step)))
    }

    /// Denials that nothing made good, as far as that is certain by now: the last five minutes are still to be judged.
    pub fn true_denials(&self) -> u64 {
        let now = self.clock.unix_ms();
        let mut tables = self.tables();
        tables.judge(now);
        tables.true_denials
    }

    /// Takes note of what happened.
    pub(super) fn note(&self, batch: &Batch) {
        let concerns = |h: &Happened| matches!(h, Happened::Denied(_) | Happened::Granted(..));
        if !batch.happened.iter().any(concerns) {
            return;
        }
        let (now, step) = (batch.unix_ms, self.clock.tick().0 / STEP_MS);
        let mut tables = self.tables();
        tables.judge(now);
        for happened in &batch.happened {
            match happened {
                Happened::Denied(denied) => tables.denied(denied, now, step),
                Happened::Granted(seats, ..) => tables.granted(seats, now),
                _ => {}
            }
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn denied(&mut self, denied: &Denied, now: i64, step: u64) {
        let feature: Box<str> = denied.feature.to_ascii_lowercase().into();
        // Where no such feature is served, its name is the client's invention.
        if denied.code != Code::UnknownFeature
            && let Some(vendor) = &denied.vendor
        {
            let key: FeatureKey = (vendor.as_str().to_ascii_lowercase().into(), feature.clone());
            if self.features.contains_key(&key) || self.features.len() < FEATURES_MAX {
                self.features.entry(key).or_insert_with(OfFeature::new).count(step);
            }
        }
        let wish: Wish = (denied.facts.user.to_ascii_lowercase().into(), feature);
        let wish =
            self.wishes.get_key_value(&wish).map_or_else(|| Arc::new(wish), |(known, _)| known.clone());
        self.wishes.entry(wish.clone()).or_default().waiting += 1;
        self.waiting.push_back((now, wish));
        if self.waiting.len() > WAITING_MAX {
            self.judge_first();
        }
    }

    fn granted(&mut self, seats: &Seats, now: i64) {
        if self.wishes.is_empty() {
            return;
        }
        let Some(pool) = &seats.pool else { return };
        let wish =
            (seats.facts.user.to_ascii_lowercase().into(), pool.feature.as_str().to_ascii_lowercase().into());
        if let Some(standing) = self.wishes.get_mut(&wish) {
            standing.granted_at = Some(now);
        }
    }

    /// Judges what can no longer be made good, also because the clock was set back.
    fn judge(&mut self, now: i64) {
        while self.waiting.front().is_some_and(|(at, _)| now.abs_diff(*at) > MADE_GOOD_MS.unsigned_abs()) {
            self.judge_first();
        }
    }

    fn judge_first(&mut self) {
        let Some((at, wish)) = self.waiting.pop_front() else { return };
        let Some(standing) = self.wishes.get_mut(&wish) else { return };
        let makes_good = |granted: i64| granted > at && granted - at <= MADE_GOOD_MS;
        if !standing.granted_at.is_some_and(makes_good) {
            self.true_denials += 1;
        }
        standing.waiting -= 1;
        if standing.waiting == 0 {
            self.wishes.remove(&wish);
        }
    }
}

impl OfFeature {
    fn new() -> OfFeature {
        OfFeature { since_start: 0, steps: [0; STEPS], newest: 0 }
    }

    fn count(&mut self, step: u64) {
        let passed = step.saturating_sub(self.newest).min(STEPS as u64);
        for gone in 0..passed {
            self.steps[place(step - gone)] = 0;
        }
        self.newest = self.newest.max(step);
        let now = &mut self.steps[place(self.newest)];
        *now = now.saturating_add(1);
        self.since_start += 1;
    }

    fn last_day(&self, step: u64) -> u64 {
        let first = (step + 1).saturating_sub(STEPS as u64);
        let oldest = (self.newest + 1).saturating_sub(STEPS as u64).max(first);
        (oldest..=self.newest).map(|at| u64::from(self.steps[place(at)])).sum()
    }
}

fn place(step: u64) -> usize {
    usize::try_from(step % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seats::change::{PoolKind, SessionId};
    use seats::license::Name;
    use seats::request::Facts;

    use super::*;
    use crate::clock::{Ticks, Zone};
    use crate::engine::happened::Pool;

    fn facts(user: &str) -> Arc<Facts> {
        Arc::new(Facts {
            install_id: [0; 16],
            user: user.into(),
            host: "ws7".into(),
            address: None,
            platform: "linux-x86_64".into(),
            offset_minutes: 0,
            display: None,
            project: None,
            share: None,
            release_version: None,
            release_date: None,
            line_date: None,
            host_ids: Vec::new(),
        })
    }

    fn batch(happened: Happened) -> Batch {
        Batch { unix_ms: 0, happened: vec![happened] }
    }

    /// Notes it as of now.
    fn note(denials: &Denials, batch: Batch) {
        denials.note(&Batch { unix_ms: denials.clock.unix_ms(), ..batch });
    }

    fn denied(user: &str, feature: &str, code: Code) -> Batch {
        batch(Happened::Denied(Box::new(Denied {
            code,
            message: String::new(),
            vendor: Name::new("ACME"),
            feature: feature.into(),
            wanted: 1,
            numbers: None,
            facts: facts(user),
            pid: 0,
            is_borrow: false,
        })))
    }

    fn granted(user: &str, feature: &str) -> Batch {
        let (vendor, feature) = (Name::new("ACME").unwrap(), Name::new(feature).unwrap());
        let seats = Seats {
            session: SessionId(1),
            bundle: SessionId(1),
            pool: Some(Arc::new(Pool { vendor, feature, kind: PoolKind::Exclusive })),
            count: 1,
            facts: facts(user),
            pid: 0,
            token: None,
            lent_until: None,
        };
        batch(Happened::Granted(seats, None, false, None))
    }

    #[test]
    fn a_grant_to_the_same_user_within_five_minutes_makes_a_denial_good() {
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(0), 0);
        let denials = Denials::new(clock);
        note(&denials, denied("ann", "cad", Code::NoSeats));
        note(&denials, denied("bob", "cad", Code::NoSeats));
        time.advance(Duration::from_millis(MADE_GOOD_MS.unsigned_abs()));
        // In the last moment, in another case, and of another feature.
        note(&denials, granted("Ann", "CAD"));
        note(&denials, granted("bob", "mesh"));
        assert_eq!(denials.true_denials(), 0, "nothing is certain before its time is over");
        time.advance(Duration::from_millis(1));
        assert_eq!(denials.true_denials(), 1, "bob's");
        // What came before a denial does not make it good.
        note(&denials, denied("ann", "cad", Code::NoSeats));
        time.advance(Duration::from_millis(MADE_GOOD_MS.unsigned_abs() + 1));
        assert_eq!(denials.true_denials(), 2);
        // Too late.
        note(&denials, denied("eve", "cad", Code::LimitUser));
        time.advance(Duration::from_millis(MADE_GOOD_MS.unsigned_abs() + 1));
        note(&denials, granted("eve", "cad"));
        assert_eq!(denials.true_denials(), 3);
        let tables = denials.tables();
        assert!(tables.wishes.is_empty() && tables.waiting.is_empty(), "nobody is remembered");
    }

    #[test]
    fn the_denials_of_a_feature_are_those_of_a_day() {
        let (clock, time) = Clock::simulated(Zone::utc(), Ticks(0), 0);
        let denials = Denials::new(clock);
        note(&denials, denied("ann", "Cad", Code::NoSeats));
        time.advance(Duration::from_secs(12 * 3_600));
        note(&denials, denied("ann", "cad", Code::NoSeats));
        note(&denials, denied("ann", "made up", Code::UnknownFeature));
        assert_eq!(denials.of("acme", "CAD"), (2, 2));
        assert_eq!(denials.of("acme", "made up"), (0, 0));
        time.advance(Duration::from_secs(12 * 3_600));
        assert_eq!(denials.of("ACME", "cad"), (2, 2));
        time.advance(Duration::from_secs(1_800));
        assert_eq!(denials.of("ACME", "cad"), (2, 1), "the first is more than a day ago");
        time.advance(Duration::from_secs(30 * 86_400));
        assert_eq!(denials.of("ACME", "cad"), (2, 0));
        note(&denials, denied("ann", "cad", Code::NoSeats));
        assert_eq!(denials.of("ACME", "cad"), (3, 1));
    }

    #[test]
    fn a_storm_of_denials_is_bounded() {
        let (clock, _) = Clock::simulated(Zone::utc(), Ticks(0), 0);
        let denials = Denials::new(clock);
        for user in 0..WAITING_MAX + 10 {
            note(&denials, denied(&format!("user{user}"), "cad", Code::NoSeats));
        }
        assert_eq!(denials.true_denials(), 10, "the oldest are judged as they stand");
        assert_eq!(denials.tables().wishes.len(), WAITING_MAX);
    }
}
