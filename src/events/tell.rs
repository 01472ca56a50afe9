//! From the engine's notes to events. Made when a reader comes for them, not before: an event that nobody reads costs
//! no text.

use seats::change::{Cause, PoolKind, WaitCause};
use seats::request::{Facts, Item};

use super::what::{
    AdminAction, BorrowReturned, BorrowWrittenOff, ClockChanged, DayServed, Maintenance, MaintenanceEnded,
    MaintenanceExpiringSoon, MaintenanceRenewed, MaintenanceStarted, Numbers, PoolChanged, QueueEnded,
    QueueWaiting, Release, Seats, SessionDenied, SessionEnded, SessionGranted, SessionReduced, Wanted, What,
    Who,
};
use crate::answer::{ending, key_type};
use crate::clock::{rfc3339, rfc3339_ms};
use crate::engine::happened::{self, Back, Happened};
use crate::engine::remind::Notice;

/// Whether a note is told as two events: lent seats that are back end a session and a loan.
pub(super) fn is_a_loan_returned(happened: &Happened) -> bool {
    matches!(happened, Happened::Back(back) if back.remaining == 0 && back.seats.lent_until.is_some())
}

/// The event of a note that happened then.
pub(super) fn what(happened: &Happened, unix_ms: i64) -> What {
    match happened {
        Happened::Granted(of, waiter, above_soft_limit) => SessionGranted {
            of: seats(of),
            until: of.lent_until.map(|until| rfc3339(until.saturating_mul(1_000))),
            waiter: waiter.map(|waiter| waiter.to_string()),
            above_soft_limit: *above_soft_limit,
        }
        .into(),
        Happened::Back(back) if back.remaining > 0 => SessionReduced {
            of: seats(&back.seats),
            remaining: back.remaining,
            since: back.since_unix_ms.map(rfc3339_ms),
            held_ms: held_ms(back, unix_ms),
        }
        .into(),
        Happened::Back(back) => {
            let released = match &back.cause {
                Cause::Released(release) => Some(release),
                _ => None,
            };
            SessionEnded {
                of: seats(&back.seats),
                cause: back.cause.as_str().into(),
                since: back.since_unix_ms.map(rfc3339_ms),
                held_ms: held_ms(back, unix_ms),
                by: released.map(|release| release.by.clone()),
                reason: released.and_then(|release| said(&release.reason)),
            }
            .into()
        }
        Happened::Denied(denied) => SessionDenied {
            code: denied.code.as_str().into(),
            message: Some(denied.message.clone()),
            vendor: denied.vendor.as_ref().map(|vendor| vendor.as_str().into()),
            feature: denied.feature.to_string(),
            wanted: denied.wanted,
            borrow: denied.is_borrow,
            numbers: denied.numbers.map(|n| Numbers {
                total: n.total.limited().map(u64::from),
                used: n.used,
                free: n.free(),
                held: n.held,
                reserved: n.reserved,
            }),
            release: release(&denied.facts),
            who: who(&denied.facts, denied.pid),
        }
        .into(),
        Happened::Waiting(of) => QueueWaiting {
            waiter: of.waiter.to_string(),
            features: wanted(&of.items),
            waits_ms: of.ms,
            release: release(&of.facts),
            who: who(&of.facts, of.pid),
        }
        .into(),
        Happened::WaitEnded(of, cause) => QueueEnded {
            waiter: of.waiter.to_string(),
            features: wanted(&of.items),
            cause: wait_cause(*cause).into(),
            waited_ms: of.ms,
            release: release(&of.facts),
            who: who(&of.facts, of.pid),
        }
        .into(),
        Happened::WrittenOff(of, by, reason) => BorrowWrittenOff {
            of: seats(of),
            until: of.lent_until.map(|until| rfc3339(until.saturating_mul(1_000))),
            by: Some(by.to_string()),
            reason: said(reason),
        }
        .into(),
        Happened::PoolChanged(pool, before, after, why) => PoolChanged {
            vendor: pool.vendor.as_str().into(),
            feature: pool.feature.as_str().into(),
            key_type: key_type(&pool.kind).into(),
            sn: sn(&pool.kind),
            old_total: before.limited(),
            new_total: after.limited(),
            reason: said(why),
        }
        .into(),
        Happened::DayServed(day) => DayServed { day: *day }.into(),
        Happened::ClockChanged(before, now, shows, day) => ClockChanged {
            before: before.as_str().into(),
            clock: now.as_str().into(),
            shows: *shows,
            day: *day,
        }
        .into(),
        Happened::Maintained(of) => {
            let said = Maintenance {
                vendor: of.vendor.as_str().into(),
                feature: of.feature.as_str().into(),
                of: ending(of.of).into(),
                seats: of.seats.limited(),
                sn: of.sn.as_ref().map(|sn| sn.to_string()),
                end: of.end,
                days_left: of.days_left,
                contact: Some(of.contact.to_string()),
                text: Some(of.text.clone()),
            };
            match of.notice {
                Notice::ExpiringSoon => MaintenanceExpiringSoon(said).into(),
                Notice::Ended => MaintenanceEnded(said).into(),
                Notice::Renewed => MaintenanceRenewed(said).into(),
                Notice::Started => MaintenanceStarted(said).into(),
            }
        }
        Happened::Done(done) => AdminAction {
            action: done.action.into(),
            by: done.by.clone(),
            session: done.session.map(|session| session.to_string()),
            features: wanted(&done.items),
            reason: said(&done.reason),
        }
        .into(),
    }
}

/// The second event of a note that [`is_a_loan_returned`].
pub(super) fn loan_returned(happened: &Happened) -> Option<What> {
    let Happened::Back(back) = happened else { return None };
    let until = back.seats.lent_until?;
    let returned = BorrowReturned {
        of: seats(&back.seats),
        cause: back.cause.as_str().into(),
        until: rfc3339(until.saturating_mul(1_000)),
        written_off: back.was_written_off,
    };
    Some(returned.into())
}

/// By the wall clock, the time the server was down included; by ticks where the clock was set back meanwhile.
fn held_ms(back: &Back, unix_ms: i64) -> u64 {
    let by_clock = back.since_unix_ms.and_then(|since| u64::try_from(unix_ms.saturating_sub(since)).ok());
    by_clock.unwrap_or(0).max(back.ticks)
}

fn seats(of: &happened::Seats) -> Seats {
    let pool = of.pool.as_ref();
    Seats {
        session: of.session.to_string(),
        bundle: of.bundle.to_string(),
        vendor: pool.map_or_else(String::new, |pool| pool.vendor.as_str().into()),
        feature: pool.map_or_else(String::new, |pool| pool.feature.as_str().into()),
        key_type: pool.map_or("", |pool| key_type(&pool.kind)).into(),
        sn: pool.and_then(|pool| sn(&pool.kind)),
        seats: of.count,
        token: of.token.map(|token| token.to_string()),
        borrow: of.lent_until.is_some(),
        release: release(&of.facts),
        who: who(&of.facts, of.pid),
    }
}

fn sn(kind: &PoolKind) -> Option<String> {
    match kind {
        PoolKind::Additive(sn) => Some(sn.to_string()),
        PoolKind::Exclusive | PoolKind::Token => None,
    }
}

fn who(facts: &Facts, pid: u32) -> Who {
    Who {
        user: Some(facts.user.to_string()),
        host: Some(facts.host.to_string()),
        address: facts.address.map(|address| address.to_string()),
        pid: (pid > 0).then_some(pid),
        project: facts.project.as_ref().map(|project| project.to_string()),
    }
}

fn release(facts: &Facts) -> Release {
    Release {
        release_version: facts.release_version.as_ref().map(|version| version.to_string()),
        release_date: facts.release_date.as_ref().map(|date| date.to_string()),
    }
}

fn wanted(items: &[Item]) -> Vec<Wanted> {
    let one = |item: &Item| Wanted {
        vendor: item.vendor.as_ref().map(|vendor| vendor.to_string()),
        feature: item.feature.to_string(),
        seats: item.count,
    };
    items.iter().map(one).collect()
}

fn wait_cause(cause: WaitCause) -> &'static str {
    match cause {
        WaitCause::Served => "served",
        WaitCause::TimedOut => "timed_out",
        WaitCause::GivenUp => "given_up",
        WaitCause::Reaped => "lost",
        WaitCause::Released => "released",
    }
}

fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
