//! A server in memory and clients at it, one thread and a seed: histories that are right, or wrong in one planted way.
//!
//! Requests overlap as in the world: between its sending and its answer a request takes effect at a moment of its own, and
//! a death of the server leaves each of those under way done or not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::Random;
use crate::record::{Answer, Event, History, Key, POOLS, Request, Seats, Session, What};
use crate::script::Script;

/// How the server is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Grants one seat more than there is.
    Oversells,
    /// Now and then says that all is taken, whatever is free.
    DeniesAtWill,
    /// Denies by the seats in use of some requests ago.
    CountsLate,
    /// A death loses a session, whose seats are then free.
    LosesASession,
    /// A death loses the count of one session's seats, and keeps the session.
    LosesACount,
    /// A death forgets under which keys sessions were granted: a retry takes again.
    ForgetsKeys,
    /// A retry is said to be one and takes seats all the same.
    RetryTakesSeats,
    /// Seats given back do not come back at a death.
    KeepsSeats,
}

struct Server {
    flaw: Flaw,
    totals: Seats,
    used: Seats,
    /// What `used` was after each of the last changes.
    before: Vec<Seats>,
    sessions: BTreeMap<u64, (Key, Session)>,
    /// Bundle of each key that was granted.
    bundles: BTreeMap<Key, u64>,
    ids: u64,
}

impl Server {
    fn fits(&self, used: Seats, seats: Seats) -> bool {
        let more = u32::from(self.flaw == Flaw::Oversells);
        (0..POOLS).all(|pool| seats[pool] == 0 || used[pool] + seats[pool] <= self.totals[pool] + more)
    }

    fn sessions_of(&self, key: Key) -> Vec<Session> {
        self.sessions.values().filter(|(owner, _)| *owner == key).map(|(_, session)| *session).collect()
    }

    fn answer(&mut self, request: &Request, random: &mut Random) -> Answer {
        match request {
            Request::Checkout { key, seats } => self.checkout(*key, *seats, random),
            Request::Checkin { session, count } => {
                let Some((_, held)) = self.sessions.get_mut(session) else { return Answer::Removed };
                let given = if *count == 0 { held.count } else { *count };
                held.count -= given;
                let (pool, remaining) = (held.pool, held.count);
                self.used[pool] = self.used[pool].saturating_sub(given);
                if remaining == 0 {
                    self.sessions.remove(session);
                }
                self.before.push(self.used);
                Answer::GivenBack { count: given, remaining }
            }
            Request::Resume { key } => match self.sessions_of(*key) {
                sessions if sessions.is_empty() => Answer::Removed,
                sessions => Answer::Resumed { sessions },
            },
        }
    }

    fn checkout(&mut self, key: Key, seats: Seats, random: &mut Random) -> Answer {
        if let Some(bundle) = self.bundles.get(&key) {
            let sessions = self.sessions_of(key);
            if sessions.is_empty() {
                return Answer::Removed;
            }
            if self.flaw == Flaw::RetryTakesSeats && self.fits(self.used, seats) {
                (0..POOLS).for_each(|pool| self.used[pool] += seats[pool]);
            }
            return Answer::Granted { bundle: *bundle, sessions, is_replay: true };
        }
        let is_late = self.flaw == Flaw::CountsLate && random.within(0, 9) == 0;
        let late = is_late.then(|| self.before.iter().rev().nth(6)).flatten();
        let is_whim = self.flaw == Flaw::DeniesAtWill && random.within(0, 19) == 0;
        if is_whim || late.is_some_and(|used| !self.fits(*used, seats)) || !self.fits(self.used, seats) {
            return Answer::Denied;
        }
        let mut sessions = Vec::new();
        for pool in (0..POOLS).filter(|pool| seats[*pool] > 0) {
            self.ids += 1;
            let session = Session { id: self.ids, pool, count: seats[pool] };
            self.used[pool] += seats[pool];
            self.sessions.insert(self.ids, (key, session));
            sessions.push(session);
        }
        self.before.push(self.used);
        self.bundles.insert(key, self.ids);
        Answer::Granted { bundle: self.ids, sessions, is_replay: false }
    }

    /// What a death does to a server that is wrong.
    fn die(&mut self, random: &mut Random) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        let Some(id) = (!ids.is_empty()).then(|| *random.one_of(&ids)) else { return };
        let session = self.sessions[&id].1;
        match self.flaw {
            Flaw::LosesASession => {
                self.sessions.remove(&id);
                self.used[session.pool] -= session.count;
            }
            Flaw::LosesACount => {
                self.used[session.pool] = self.used[session.pool].saturating_sub(session.count);
            }
            Flaw::ForgetsKeys => self.bundles.clear(),
            Flaw::KeepsSeats => self.used[session.pool] = self.totals[session.pool],
            _ => {}
        }
    }
}

/// How far a client's request is.
enum Stage {
    Idle,
    Sent(Request),
    Done(Answer),
}

/// A history of so many clients with about `steps` steps and the given number of deaths of the server.
pub(crate) fn history(seed: u64, clients: usize, steps: usize, deaths: usize, flaw: Flaw) -> History {
    let mut random = Random(seed);
    let totals = [5, 3];
    let mut server = Server {
        flaw,
        totals,
        used: [0; POOLS],
        before: Vec::new(),
        sessions: BTreeMap::new(),
        bundles: BTreeMap::new(),
        ids: 0,
    };
    let mut scripts: Vec<Script> = (0..clients).map(|client| Script::new(client, random.bits())).collect();
    let mut stages: Vec<Stage> = (0..clients).map(|_| Stage::Idle).collect();
    let mut events = Vec::new();
    let mut note = |client, what| {
        let at = Duration::from_micros(events.len() as u64);
        events.push(Event { at, client, what });
    };
    for step in 0..steps {
        if deaths > 0 && step % (steps / (deaths + 1)) == steps / (deaths + 1) - 1 {
            for (stage, script) in stages.iter_mut().zip(&mut scripts) {
                if let Stage::Sent(request) = std::mem::replace(stage, Stage::Idle) {
                    // Done and not told, or never done.
                    if random.within(0, 1) == 0 {
                        server.answer(&request, &mut random);
                    }
                }
                script.cut();
            }
            server.die(&mut random);
            note(clients, What::Killed);
            continue;
        }
        let client = usize::try_from(random.within(0, clients as i64 - 1)).expect("a client");
        let stage = &mut stages[client];
        *stage = match std::mem::replace(stage, Stage::Idle) {
            Stage::Idle => match scripts[client].next() {
                Some(request) => {
                    note(client, What::Sent(request.clone()));
                    Stage::Sent(request)
                }
                None => Stage::Idle,
            },
            Stage::Sent(request) => Stage::Done(server.answer(&request, &mut random)),
            Stage::Done(answer) => {
                note(client, What::Answered(answer.clone()));
                scripts[client].told(&answer);
                Stage::Idle
            }
        };
    }
    History { totals, events }
}
