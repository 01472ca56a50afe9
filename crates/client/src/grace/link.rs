//! What a link tells the watch: which bundles are without their server, and what was taken from them.

use std::time::{Duration, Instant};

use wire::answer::Grant;

use super::book::Lesson;
use super::canonical::hours;
use super::signal::Taken;
use super::{Claimed, asker};
use crate::connection::{Connection, Told};
use crate::error::ConnectError;
use crate::link::{Held, Link};
use crate::{Options, lock};

/// A bundle whose server is away.
pub(crate) struct Away {
    pub(crate) bundle: u64,
    pub(crate) claimed: Vec<Claimed>,
}

/// How a bundle stands with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The connection lives and holds it.
    Held,
    /// It is to be resumed.
    Away,
    /// There is no such bundle any more.
    Gone,
}

impl Link {
    /// Connects, and notes whether anything answered.
    pub(crate) fn open(&self, told: impl FnMut(Told) + Send + 'static) -> Result<Connection, ConnectError> {
        let patience = self.patience();
        let options = Options {
            answer_timeout: patience,
            connect_timeout: self.options.connect_timeout.min(patience),
            ..(*self.options).clone()
        };
        let opened = Connection::open(&self.address, &options, told);
        let was_answered =
            matches!(opened, Ok(_) | Err(ConnectError::Refused { .. } | ConnectError::Protocol { .. }));
        if was_answered {
            lock(&self.state).answered_at = Some(Instant::now());
        }
        opened
    }

    /// Whether anything answers at this address now.
    pub(crate) fn answers(&self) -> bool {
        let is_live = lock(&self.state).live().is_some();
        let started = Instant::now();
        is_live || self.open(|_| {}).is_ok() || self.has_answered_since(started)
    }

    pub(crate) fn has_answered_since(&self, when: Instant) -> bool {
        lock(&self.state).answered_at.is_some_and(|at| at >= when)
    }

    /// The connection has ended, and the keeper has seen it.
    pub(crate) fn note_loss(&self) {
        lock(&self.state).lost_at.get_or_insert_with(Instant::now);
        self.signal.poke();
    }

    /// What a server that was lost still owes, since when it has been away, and how long its lease is.
    pub(crate) fn away(&self) -> Option<(Instant, Duration, Vec<Away>)> {
        let state = lock(&self.state);
        let lost_at = state.lost_at.filter(|_| state.live().is_none())?;
        let away = |(bundle, held): (&u64, &Held)| Away { bundle: *bundle, claimed: held.claimed() };
        let bundles: Vec<Away> = state.bundles.iter().map(away).collect();
        (!bundles.is_empty()).then_some((lost_at, state.lease, bundles))
    }

    pub(crate) fn standing(&self, bundle: u64) -> Standing {
        let state = lock(&self.state);
        match (state.bundles.get(&bundle), state.live()) {
            (None, _) => Standing::Gone,
            (Some(held), Some((serial, _))) if held.on == serial => Standing::Held,
            _ => Standing::Away,
        }
    }

    /// What there is to remember of a grant, in case no server answers later.
    pub(crate) fn lessons(&self, bundle: u64) -> Vec<Lesson> {
        let state = lock(&self.state);
        let Some(held) = state.bundles.get(&bundle) else { return Vec::new() };
        let mut lessons: Vec<Lesson> = Vec::new();
        for grant in held.sessions.values() {
            let is_same = |l: &&mut Lesson| l.vendor == grant.vendor && l.feature == grant.feature;
            let hours = hours(grant, &held.grace);
            match lessons.iter_mut().find(is_same) {
                // Two sessions of one feature: its grace is what both have.
                Some(lesson) => {
                    lesson.count = lesson.count.saturating_add(grant.count);
                    lesson.hours = lesson.hours.min(hours);
                }
                None => lessons.push(Lesson {
                    vendor: grant.vendor.clone(),
                    feature: grant.feature.clone(),
                    hours,
                    count: grant.count,
                    version: grant.version.clone(),
                    ends: grant.license_ends,
                    asker: asker(&held.checkout.facts),
                }),
            }
        }
        lessons
    }

    /// A session was taken from this client. Called under the link's lock, so that whoever sees the session gone can know why.
    pub(crate) fn taken(&self, bundle: u64, grant: &Grant, message: &str) {
        let (vendor, feature) = (grant.vendor.clone(), grant.feature.clone());
        self.signal.taken(Taken { link: self.index, bundle, vendor, feature, message: message.to_owned() });
    }
}

impl Held {
    /// The sessions, by vendor and feature, each with its hours.
    fn claimed(&self) -> Vec<Claimed> {
        let claimed = |grant: &Grant| Claimed {
            vendor: grant.vendor.clone(),
            feature: grant.feature.clone(),
            hours: hours(grant, &self.grace),
        };
        self.sessions.values().map(claimed).collect()
    }
}
