//! Deaths of the daemon, and the end: what was told is on disk, and what is read back is what was there (S60, S61).

use super::seen::Seen;
use super::{Check, Checker, Fault};
use crate::daemon::{Dump, Found, read_back};
use crate::disk::SimDisk;
use crate::plan::Plan;
use crate::trace::Trace;

impl Checker {
    /// The daemon is dead. `before`: what it held before the step in which it died, where it died in one; `after`: what it
    /// held at the end.
    pub(crate) fn died(&mut self, before: Option<Dump>, after: Dump) {
        self.tally.deaths += 1;
        self.died = Some((before, after));
    }

    /// A start went wrong: it may have written something before that.
    pub(crate) fn failed_to_start(&mut self, now: u64, unix_ms: i64) {
        self.died = None;
        self.doubt_what_is_over(now, unix_ms);
        self.doubt_calendar(unix_ms);
    }

    /// A daemon has started again on what was on the disk.
    ///
    /// # Errors
    /// That is not what was told.
    pub(crate) fn started(
        &mut self,
        now: u64,
        unix_ms: i64,
        found: Found,
        seen: Seen,
        trace: &mut Trace,
    ) -> Result<(), Fault> {
        self.tally.torn += u64::from(found.dropped);
        if let Some((before, after)) = self.died.take() {
            let is_before = before.as_ref().unwrap_or(&after) == &found.dump;
            if !is_before && after != found.dump {
                let text = difference(&found.dump, before.as_ref().unwrap_or(&after));
                return Err(Fault::new(Check::NotOnDisk, text));
            }
            trace.say(now, format!("{} sessions read back", found.seen.sessions.len()));
        }
        self.check_told(&found.seen)?;
        self.check_lent_told(&found.seen)?;
        self.follow(&found.seen);
        self.begin_run();
        self.look_at_calendar(now, unix_ms);
        // A wait or a booking may have come to its end in the very tick that was served last.
        let has_new_waiter = seen.waiters.keys().any(|waiter| !found.seen.waiters.contains_key(waiter));
        // What was lent may be over by now.
        let mut kept = found.seen.sessions.clone();
        kept.retain(|id, _| seen.sessions.contains_key(id) || !self.may_be_back(*id, now, unix_ms));
        if kept != seen.sessions || has_new_waiter {
            let text = format!("the start made {seen:?} of {:?}", found.seen);
            return Err(Fault::new(Check::LostSeat, text));
        }
        for known in self.known.values_mut() {
            known.lines.clear();
            known.is_attached = false;
            known.place = None;
        }
        // A grant of the step in which the daemon died may be on disk all the same.
        for session in found.seen.sessions.values() {
            self.known.entry(session.pid).or_default().bundles.insert(session.bundle);
        }
        // A day that came in the last moment of a daemon counts where it is on disk.
        if let Some(day) = self.day_in_doubt.take().filter(|day| found.day == Some(*day)) {
            self.days.insert(day);
            self.day = self.day.max(day);
        }
        self.look_at_calendar(now, unix_ms);
        self.follow(&seen);
        self.forget_what_is_back(&seen);
        self.end_doubt();
        let newest = self.sheets.len() - 1;
        self.sheets.drain(..newest);
        self.seen = seen;
        self.neglected.clear();
        (self.started, self.failed, self.is_failing) = (now, None, false);
        Ok(())
    }

    /// Every seat that a client was told it has is there, and every one it was told to have given back is not.
    fn check_told(&self, found: &Seen) -> Result<(), Fault> {
        let in_doubt = |session: &u64| {
            self.failed.as_ref().map(|seen| seen.sessions.get(session).map_or(0, |s| s.count))
        };
        for (session, told) in &self.told {
            let count = found.sessions.get(session).map_or(0, |session| session.count);
            let is_over = count == 0 && self.may_have_gone(*session);
            if count != told.count && in_doubt(session) != Some(count) && !is_over {
                let text = format!(
                    "{} was told that {session} has {} seats: {count} were read back",
                    told.pid, told.count
                );
                return Err(Fault::new(Check::NotOnDisk, text));
            }
        }
        match self.returned.iter().find(|session| found.sessions.contains_key(session)) {
            Some(session) => Err(Fault::new(
                Check::NotOnDisk,
                format!("{session} was told to be given back, and is there"),
            )),
            None => Ok(()),
        }
    }

    /// What is on the disk is what the daemon has, however often it is read.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check_replay(&self, plan: &Plan, disk: &SimDisk, dump: &Dump) -> Result<(), Fault> {
        for time in ["once", "twice"] {
            let read = read_back(plan, disk).map_err(Fault::disk)?;
            if read != *dump {
                return Err(Fault::new(
                    Check::NotOnDisk,
                    format!("read {time}: {}", difference(&read, dump)),
                ));
            }
        }
        Ok(())
    }
}

/// What one state has and the other has not.
fn difference(read: &Dump, was: &Dump) -> String {
    let only = |here: &Dump, there: &Dump| -> String {
        here.iter().filter(|change| !there.contains(change)).map(|change| format!("\n  {change:?}")).collect()
    };
    format!("read back is{}\nin place of{}", only(read, was), only(was, read))
}
