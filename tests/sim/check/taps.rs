//! Every frame that reaches the server and every one that leaves it, read by `wire` and remembered.

use sha2::{Digest as _, Sha256};
use wire::codes;
use wire::frame::{CLIENT_FRAME_BYTES_MAX, SERVER_FRAME_BYTES_MAX, first};
use wire::message::{Answer, Event, Request};
use wire::request::Hours;

use super::presence::Asked;
use super::{Check, Checker, Fault, Told};
use crate::licenses::FEATURES;
use crate::net::Cable;
use crate::trace::Trace;

/// What a frame asks for.
pub(super) fn asked(number: u16, body: &[u8]) -> Asked {
    match Request::decode(number, body) {
        Ok(Request::Checkout(checkout)) => Asked::Checkout(checkout.facts.pid),
        Ok(Request::Resume(resume)) => Asked::Resume(resume.bundle),
        Ok(Request::Checkin(checkin)) => Asked::Checkin(checkin.session),
        Ok(Request::Confirm(confirm)) => Asked::Confirm(confirm.bundle),
        Ok(Request::GiveUp(give_up)) => Asked::GiveUp(give_up.waiter),
        Ok(Request::Cancel(_)) => Asked::Cancel,
        _ => Asked::Other,
    }
}

/// A booking's token as the server's lists have it: half a hash (docs/PROTOCOL.md says of what).
fn token_hash(token: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(b"seatkeeper-booking-v1\0");
    hash.update(token);
    let hash = hash.finalize();
    std::array::from_fn(|at| hash[at])
}

fn feature(name: &str) -> usize {
    FEATURES.iter().position(|feature| *feature == name).expect("a feature that was sold")
}

impl Checker {
    /// Bytes have reached the server.
    pub(crate) fn arrived(&mut self, now: u64, conn: usize, cable: &Cable, trace: &mut Trace) {
        while let Ok(Some(frame)) =
            first(&cable.sent[self.lines[conn].up..cable.arrived], CLIENT_FRAME_BYTES_MAX)
        {
            let asked = asked(frame.head.number, frame.body);
            let line = &mut self.lines[conn];
            line.up += frame.bytes;
            line.heard_at = now;
            line.calls.insert(frame.head.call, (asked, now));
            if asked != Asked::Other {
                trace.say(now, format!("#{conn} > {asked:?} (call {})", frame.head.call));
            }
            self.take_request(now, conn, Request::decode(frame.head.number, frame.body).ok());
        }
    }

    fn take_request(&mut self, now: u64, conn: usize, request: Option<Request>) {
        match request {
            Some(Request::Checkout(checkout)) => {
                let known = self.known.entry(checkout.facts.pid).or_default();
                known.owner = checkout.facts.user;
                known.asked = checkout.items.iter().map(|i| (feature(&i.feature), i.count)).collect();
                known.hours = Hours::among(&checkout.extras).ok().flatten().map(|hours| hours.hours);
                known.may_wait = checkout.wait_seconds.is_some_and(|s| s > 0);
                known.token = checkout.reservation_token.as_deref().map(token_hash);
                known.lines.push((conn, now));
                known.is_cancelled |= self.cancelled.contains(&checkout.request_key);
                self.pid_of_key.insert(checkout.request_key, checkout.facts.pid);
            }
            Some(Request::Cancel(cancel)) => {
                self.cancelled.insert(cancel.request_key);
                let pid = self.pid_of_key.get(&cancel.request_key);
                if let Some(known) = pid.and_then(|pid| self.known.get_mut(pid)) {
                    known.is_cancelled = true;
                }
            }
            Some(Request::Resume(resume)) => {
                let pid = self.bundle_of.get(&resume.bundle);
                if let Some(known) = pid.and_then(|pid| self.known.get_mut(pid)) {
                    known.lines.push((conn, now));
                }
            }
            Some(Request::Checkin(checkin)) => drop(self.checkins.insert(checkin.session)),
            Some(Request::GiveUp(give_up)) => drop(self.releases.insert(give_up.waiter)),
            Some(Request::Release(release)) => {
                self.releases.insert(release.session);
                if release.bar_seconds.is_some()
                    && let Some(session) = self.seen.sessions.get(&release.session)
                    && let Some(known) = self.known.get(&session.pid)
                {
                    self.barred.insert(known.owner.clone());
                }
            }
            _ => {}
        }
    }

    /// The server has written something, or nothing.
    ///
    /// # Errors
    /// It should not have.
    pub(crate) fn told(
        &mut self,
        now: u64,
        conn: usize,
        cable: &Cable,
        trace: &mut Trace,
    ) -> Result<(), Fault> {
        let broken = |error: String| Fault::protocol(format!("#{conn}: {error}"));
        while let Some(frame) = first(&cable.told[self.lines[conn].down..], SERVER_FRAME_BYTES_MAX)
            .map_err(|error| broken(error.to_string()))?
        {
            self.lines[conn].down += frame.bytes;
            let (number, body, call) = (frame.head.number, frame.body, frame.head.call);
            if number >= 0xc000 {
                let event = Event::decode(number, body).map_err(|error| broken(error.to_string()))?;
                self.take_event(now, conn, &event, trace)?;
                continue;
            }
            let answer = Answer::decode(number, body).map_err(|error| broken(error.to_string()))?;
            if call == 0 {
                return Err(broken(format!("a well-behaved client was told {answer:?}")));
            }
            let Some((asked, at)) = self.lines[conn].calls.remove(&call) else {
                return Err(broken(format!("call {call}, which nobody made, was answered: {answer:?}")));
            };
            if let Some(told) = shown(&answer) {
                trace.say(now, format!("#{conn} < {told} (call {call})"));
            }
            self.take_answer(now, conn, (asked, at), answer)?;
        }
        Ok(())
    }

    fn take_answer(
        &mut self,
        now: u64,
        conn: usize,
        (asked, at): (Asked, u64),
        answer: Answer,
    ) -> Result<(), Fault> {
        if self.is_failing && is_of_engine(&answer) {
            let text = format!("#{conn}: told after the disk had failed: {answer:?}");
            return Err(Fault::new(Check::NotOnDisk, text));
        }
        let pid = match asked {
            Asked::Checkout(pid) => Some(pid),
            Asked::Resume(bundle) | Asked::Confirm(bundle) => self.bundle_of.get(&bundle).copied(),
            Asked::Checkin(session) => self.told.get(&session).map(|told| told.pid),
            Asked::GiveUp(_) | Asked::Cancel | Asked::Other => None,
        };
        if let (Some(known), Answer::Refused(_)) = (pid.and_then(|pid| self.known.get_mut(&pid)), &answer) {
            // What was refused has put it nowhere.
            known.lines.retain(|line| *line != (conn, at));
        }
        match (asked, answer) {
            (Asked::Checkout(pid), Answer::Granted(granted)) => {
                self.tally.grants += u64::from(!granted.replayed);
                self.is_on(pid, conn, at);
                let sessions = granted.sessions.iter().map(|grant| (grant.session, grant.count));
                self.told_seats(pid, granted.bundle, sessions.collect())?;
                self.told_loans(pid, &granted.sessions, &granted.extras)
            }
            (Asked::Checkout(pid), Answer::Waiting(_)) => {
                self.is_on(pid, conn, at);
                if let Some(known) = self.known.get_mut(&pid) {
                    known.place = Some(conn);
                }
                Ok(())
            }
            (Asked::Resume(bundle), Answer::Resume(resume)) => {
                self.tally.resumes += 1;
                let Some(pid) = pid else {
                    return Err(Fault::protocol(format!("{bundle} was never told of")));
                };
                self.is_on(pid, conn, at);
                let sessions = resume.sessions.iter().map(|grant| (grant.session, grant.count));
                self.told_seats(pid, bundle, sessions.collect())?;
                self.told_loans(pid, &resume.sessions, &resume.extras)
            }
            (Asked::Confirm(_), Answer::Confirm(_)) => {
                if let Some(known) = pid.and_then(|pid| self.known.get_mut(&pid)) {
                    known.is_confirmed = true;
                }
                Ok(())
            }
            (Asked::GiveUp(_), Answer::GiveUp(_)) => {
                self.tally.gave_up += 1;
                Ok(())
            }
            (Asked::Cancel, Answer::Cancel(_)) => {
                self.tally.cancels += 1;
                Ok(())
            }
            (Asked::Checkin(session), Answer::Checkin(done)) => {
                if done.remaining == 0 {
                    self.told.remove(&session);
                    self.returned.insert(session);
                } else if let Some(told) = self.told.get_mut(&session) {
                    told.count = done.remaining;
                }
                Ok(())
            }
            (Asked::Checkout(pid), Answer::Refused(refused)) => self.check_refusal(now, pid, &refused),
            (Asked::Resume(bundle), Answer::Refused(refused)) if !is_for_later(&refused.code) => {
                let is_there = self.seen.sessions.values().any(|session| session.bundle == bundle);
                if is_there {
                    let text = format!("{bundle} is there and cannot be resumed: {}", refused.message);
                    return Err(Fault::new(Check::LostSeat, text));
                }
                Ok(())
            }
            (asked, Answer::Refused(refused)) => {
                let is_odd = matches!(refused.code.as_str(), codes::INTERNAL | codes::NO_SEATS);
                if is_odd && asked != Asked::Other {
                    return Err(Fault::protocol(format!("{asked:?}: {}: {}", refused.code, refused.message)));
                }
                Ok(())
            }
            (_, Answer::Book(_)) => {
                self.tally.bookings += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A checkout is on this line, by a request that arrived at that time: earlier ones have no say any more.
    fn is_on(&mut self, pid: u32, conn: usize, at: u64) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.is_attached = true;
            known.lines.retain(|(line, since)| *line == conn || *since + super::BLUR_MS >= at);
            if known.lines.iter().all(|(line, _)| *line != conn) {
                known.lines.push((conn, at));
            }
            if known.place != Some(conn) {
                known.place = None;
            }
        }
    }

    fn told_seats(&mut self, pid: u32, bundle: u64, sessions: Vec<(u64, u32)>) -> Result<(), Fault> {
        let other = *self.bundle_of.entry(bundle).or_insert(pid);
        if other != pid {
            let text = format!("bundle {bundle} was told to belong to {other} and to {pid}");
            return Err(Fault::new(Check::TwoSeats, text));
        }
        for (session, count) in sessions {
            // It may have ended in the very step that told of it: what is not confirmed in time, for one.
            let is_cancelled = self.known.get(&pid).is_some_and(|known| known.is_cancelled);
            if is_cancelled || self.checkins.contains(&session) || self.releases.contains(&session) {
                continue;
            }
            let Some(seen) = self.seen.sessions.get(&session) else {
                if self.step.ended.contains(&session) {
                    continue;
                }
                let text = format!("{pid} was told of session {session}, which there is not");
                return Err(Fault::new(Check::NotOnDisk, text));
            };
            if seen.count != count || seen.pid != pid {
                let text = format!("{pid} was told that {session} has {count} seats: {seen:?}");
                return Err(Fault::new(Check::NotOnDisk, text));
            }
            self.told.insert(session, Told { pid, count });
        }
        Ok(())
    }

    fn take_event(&mut self, now: u64, conn: usize, event: &Event, trace: &mut Trace) -> Result<(), Fault> {
        if self.is_failing {
            let text = format!("#{conn}: told after the disk had failed: {event:?}");
            return Err(Fault::new(Check::NotOnDisk, text));
        }
        match event {
            Event::Served(served) => {
                self.tally.served += 1;
                trace.say(
                    now,
                    format!("#{conn} < served: waiter {}, bundle {}", served.waiter, served.bundle),
                );
                let Some(pid) = self.step.waiters.get(&served.waiter).map(|waiter| waiter.pid) else {
                    return Err(Fault::protocol(format!("{} was served and did not wait", served.waiter)));
                };
                if let Some(known) = self.known.get_mut(&pid) {
                    (known.is_confirmed, known.is_attached) = (false, true);
                    if known.lines.iter().all(|(line, _)| *line != conn) {
                        known.lines.push((conn, now));
                    }
                }
                let sessions = served.sessions.iter().map(|grant| (grant.session, grant.count));
                return self.told_seats(pid, served.bundle, sessions.collect());
            }
            Event::SessionEnded(ended) => {
                let (session, text) = (ended.session, &ended.message);
                trace.say(now, format!("#{conn} < session {session} has ended: {text}"));
                self.told.remove(&session);
            }
            Event::WaitEnded(ended) => {
                trace.say(now, format!("#{conn} < {} waits no longer: {}", ended.waiter, ended.code));
            }
            Event::ResumedElsewhere(elsewhere) => {
                trace.say(now, format!("#{conn} < {} was resumed elsewhere", elsewhere.bundle));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Codes of a connection that cannot hand a request on now.
fn is_for_later(code: &str) -> bool {
    matches!(code, codes::BUSY | codes::SHUTTING_DOWN | codes::RATE_LIMITED)
}

/// Whether an answer tells what the engine decided.
fn is_of_engine(answer: &Answer) -> bool {
    match answer {
        Answer::Granted(_)
        | Answer::Waiting(_)
        | Answer::Resume(_)
        | Answer::Checkin(_)
        | Answer::Confirm(_)
        | Answer::GiveUp(_)
        | Answer::Cancel(_)
        | Answer::Release(_)
        | Answer::Book(_)
        | Answer::Unbook(_) => true,
        Answer::Refused(no) => !is_for_later(&no.code),
        _ => false,
    }
}

/// An answer as the trace has it; `None`: not worth a line.
fn shown(answer: &Answer) -> Option<String> {
    let seats = |sessions: &[wire::answer::Grant]| {
        let all: Vec<String> =
            sessions.iter().map(|g| format!("{}={}x{}", g.session, g.feature, g.count)).collect();
        all.join(" ")
    };
    Some(match answer {
        Answer::Granted(g) => {
            format!("granted {}{}: {}", g.bundle, if g.replayed { " again" } else { "" }, seats(&g.sessions))
        }
        Answer::Resume(r) => format!("resumed {}: {}", r.bundle, seats(&r.sessions)),
        Answer::Waiting(w) => format!("waiting {}, {} before", w.waiter, w.before),
        Answer::Checkin(c) => format!("checked in {}, {} left", c.session, c.remaining),
        Answer::Confirm(c) => format!("confirmed {}", c.bundle),
        Answer::GiveUp(g) => format!("gave up {}", g.waiter),
        Answer::Cancel(_) => "cancelled".into(),
        Answer::Refused(r) => format!("refused {}: {}", r.code, r.message),
        Answer::Book(_) => "booked".into(),
        Answer::Unbook(_) => "unbooked".into(),
        Answer::Release(r) => format!("released {}", r.session),
        Answer::Hello(_) | Answer::Heartbeat(_) | Answer::Report(_) => return None,
        other => format!("{other:?}"),
    })
}
