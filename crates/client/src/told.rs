//! What a server says of sessions: what a resume finds, and events that nobody asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::answer::{self, Grant};
use wire::{codes, event, request};

use crate::connection::{Connection, Told};
use crate::error::{CallError, Refusal, printable};
use crate::event::Event;
use crate::grace::clock;
use crate::link::{Held, Link, State, Wanted};
use crate::lock;

/// The longest time that a warning is kept in mind.
const WARNED_LONGEST: Duration = Duration::from_secs(3600);

impl Link {
    /// On the reading thread. What had seats before and has none now, and of which the server did not say why.
    pub(crate) fn resumed(&self, serial: u64, resumed: answer::Resume) -> Vec<Grant> {
        let bundle = resumed.bundle;
        let sessions: BTreeMap<u64, Grant> = resumed.sessions.into_iter().map(|g| (g.session, g)).collect();
        let list: Vec<Grant> = sessions.values().cloned().collect();
        let (mut told, mut vanished) = (Vec::new(), Vec::new());
        {
            let mut state = lock(&self.state);
            state.changes += 1;
            let Some(held) = state.bundles.get_mut(&bundle) else { return Vec::new() };
            held.on = serial;
            held.grace = answer::Grace::among(&resumed.extras);
            let before = std::mem::replace(&mut held.sessions, sessions);
            let returning = std::mem::take(&mut held.returning);
            for (session, grant) in before {
                if held.sessions.contains_key(&session) {
                    continue;
                }
                let was_given_back = returning.contains(&session);
                if !was_given_back {
                    held.note_lost(&grant);
                }
                if let Some(ended) = resumed.ended.iter().find(|ended| ended.session == session) {
                    let message = printable(&ended.message);
                    self.taken(bundle, &grant, &message);
                    told.push(Event::GivenAway {
                        session,
                        feature: grant.feature,
                        code: printable(&ended.code),
                        message,
                        at: Some(ended.at),
                    });
                } else if !was_given_back {
                    self.taken(bundle, &grant, "the session has ended");
                    vanished.push(grant);
                }
            }
            if list.is_empty() {
                state.end_bundle(bundle);
            }
        }
        told.into_iter().for_each(|event| self.tell(event));
        if !list.is_empty() {
            self.tell(Event::Resumed { bundle, sessions: list });
        }
        self.signal.poke();
        vanished
    }

    /// Asks why sessions are gone, and tells the application (S23). A checkin of what has ended takes nothing and answers why.
    pub(crate) fn explain(&self, connection: &Connection, vanished: &[Grant]) {
        for grant in vanished {
            let ask = request::Checkin { session: grant.session, ..request::Checkin::default() };
            let answer = connection.call_within(&ask, self.patience(), |result| result);
            let (code, message, at) = match answer {
                Err(CallError::Refused(refusal)) if refusal.code == codes::ALREADY_REMOVED => {
                    let at = ended_at(&refusal.details);
                    (refusal.code, refusal.message, at)
                }
                _ => (codes::ALREADY_REMOVED.to_owned(), "the session has ended".to_owned(), None),
            };
            let feature = printable(&grant.feature);
            self.tell(Event::GivenAway { session: grant.session, feature, code, message, at });
        }
    }

    /// The server does not know the bundle any more: all its sessions have ended.
    pub(crate) fn forget(&self, bundle: u64, refusal: &Refusal) {
        let held = {
            let mut state = lock(&self.state);
            state.changes += 1;
            if let Some(held) = state.bundles.get_mut(&bundle) {
                let grants: Vec<Grant> = held.sessions.values().cloned().collect();
                let lost = grants.iter().filter(|grant| !held.returning.contains(&grant.session));
                let lost: Vec<&Grant> = lost.collect();
                lost.into_iter().for_each(|grant| held.note_lost(grant));
            }
            let held = state.end_bundle(bundle);
            for grant in held.iter().flat_map(|held| held.sessions.values()) {
                self.taken(bundle, grant, &refusal.to_string());
            }
            held
        };
        let Some(held) = held else { return };
        let at = ended_at(&refusal.details);
        for (session, grant) in held.sessions {
            // Our own checkin was heard.
            if held.returning.contains(&session) {
                continue;
            }
            let feature = printable(&grant.feature);
            let (code, message) = (refusal.code.clone(), refusal.message.clone());
            self.tell(Event::GivenAway { session, feature, code, message, at });
        }
        self.signal.poke();
    }

    /// On the reading thread of connection `serial`.
    pub(crate) fn told(&self, serial: u64, told: Told) {
        let event = match told {
            Told::Event(event) => event,
            Told::Ended(_) => {
                // The keeper looks, and says so. Its lock must be taken, or it could miss the call between look and wait.
                drop(lock(&self.state));
                return self.wake.notify_all();
            }
        };
        match event {
            wire::Event::Expired(event::Expired { session, feature, license_ends, .. }) => {
                self.tell(Event::Expired { session, feature: printable(&feature), license_ends });
            }
            wire::Event::SessionEnded(ended) => {
                let (code, message) = (printable(&ended.code), printable(&ended.message));
                let Some(feature) = self.session_ended(ended.session, &message) else { return };
                let (session, at) = (ended.session, Some(ended.at));
                self.tell(Event::GivenAway { session, feature, code, message, at });
                self.signal.poke();
            }
            wire::Event::ResumedElsewhere(event::ResumedElsewhere { bundle, .. }) => {
                self.resumed_elsewhere(serial, bundle);
            }
            wire::Event::Stopping(_) => self.tell(Event::ShuttingDown),
            wire::Event::Served(served) => self.served(serial, served),
            wire::Event::WaitEnded(ended) => self.wait_ended(serial, &ended),
            wire::Event::SeatWanted(wanted) => self.seat_wanted(wanted),
            // Nobody here asks for it.
            wire::Event::PoolChanged(_) => {}
        }
    }

    /// The feature of a session that has ended; `None`: it is none of ours any more.
    fn session_ended(&self, session: u64, message: &str) -> Option<String> {
        let mut state = lock(&self.state);
        let bundle = state.bundle_of(session)?;
        state.changes += 1;
        let held = state.bundles.get_mut(&bundle)?;
        held.returning.remove(&session);
        let grant = held.sessions.remove(&session)?;
        held.note_lost(&grant);
        let is_last = held.sessions.is_empty();
        self.taken(bundle, &grant, message);
        if is_last {
            state.end_bundle(bundle);
        }
        Some(printable(&grant.feature))
    }

    /// Our own resume over a newer connection is told on the older one too, and a late request of an older one on the newer.
    fn resumed_elsewhere(&self, serial: u64, bundle: u64) {
        {
            let state = lock(&self.state);
            let is_held = state.bundles.get(&bundle).is_some_and(|held| held.on == serial);
            if !is_held || state.live().is_none_or(|(live, _)| live != serial) {
                return;
            }
        }
        if self.settle_doubt(bundle) {
            return;
        }
        {
            let mut state = lock(&self.state);
            state.changes += 1;
            state.bundles.remove(&bundle);
        }
        self.tell(Event::ResumedElsewhere { bundle });
    }

    /// The keeper will say at once when the user is back.
    fn seat_wanted(&self, wanted: event::SeatWanted) {
        let event::SeatWanted { session, feature, seconds, .. } = wanted;
        {
            let mut state = lock(&self.state);
            if state.bundle_of(session).is_none() {
                return;
            }
            let at = Instant::now();
            // Far more than any server waits, and no instant beyond what there is.
            let until = at + Duration::from_secs(seconds.into()).min(WARNED_LONGEST);
            state.wanted = Some(Wanted { at, until });
            self.activity.await_report();
        }
        self.wake.notify_all();
        self.tell(Event::SeatWanted { session, feature: printable(&feature), seconds });
    }
}

impl State {
    /// The server has given all of a bundle away.
    fn end_bundle(&mut self, bundle: u64) -> Option<Held> {
        let mut held = self.bundles.remove(&bundle)?;
        if !held.lost.is_empty() {
            self.given_away.insert(bundle, std::mem::take(&mut held.lost));
        }
        Some(held)
    }
}

impl Held {
    /// A session was given away.
    fn note_lost(&mut self, grant: &Grant) {
        if self.again {
            self.lost.push(request::Item {
                vendor: Some(grant.vendor.clone()).filter(|vendor| !vendor.is_empty()),
                feature: grant.feature.clone(),
                count: grant.count,
            });
        }
    }
}

/// When a session ended, Unix seconds, as the details of `already_removed` say it. Not a reader of JSON: a text within them has
/// its quotation marks escaped, so what is looked for stands nowhere but where it belongs.
fn ended_at(details: &str) -> Option<i64> {
    let (_, after) = details.split_once("\"ended_at\":")?;
    let (text, _) = after.trim_start().strip_prefix('"')?.split_once('"')?;
    clock::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_of_a_refusal_say_when() {
        assert_eq!(ended_at(r#"{"session":"B","ended_at":"2030-06-30T22:00:00Z"}"#), Some(1_909_087_200));
        assert_eq!(ended_at(r#"{"ended_at": "2030-06-30T22:00:00.5Z"}"#), Some(1_909_087_200));
        let misleading = r#"{"field":"\"ended_at\":\"1970-01-01T00:00:00Z\""}"#;
        for none in ["", "{}", r#"{"ended_at":null}"#, r#"{"ended_at":"soon"}"#, misleading] {
            assert_eq!(ended_at(none), None, "{none}");
        }
    }
}
