//! The history read client by client.
//!
//! What comes out are *operations*, each with a window of time in which it took effect, and *holdings*: seats with the
//! operation that took them and the one that gave them back. On the way each answer is held against what the same
//! client was told before: a retry that took other seats, a session that is gone, a count that is wrong.
//!
//! **A request whose answer never came** took effect between its sending and the daemon's death, or never: what lay in
//! the socket died with the daemon. Mostly a later answer tells which. A checkout that is sent again with its key and is
//! said to be a replay was done by an earlier attempt (S2); one that is granted and no replay, or denied, had no attempt
//! before it that was done. After a checkin without an answer, the next resume or replay shows the seats that are left.
//! What no later answer tells stays unsure: it may be true, and no check may rest on it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::record::{Answer, History, Key, POOLS, Request, Seats, Session, What};

/// Later than everything.
pub(crate) const NEVER: usize = usize::MAX;

/// One change, or one denial.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) effect: Effect,
    /// Sent at this event.
    pub(crate) start: usize,
    /// Done before this event: the answer, or the death of the daemon.
    pub(crate) end: usize,
    /// It took effect; else it may have.
    pub(crate) is_sure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Take(Seats),
    Give(Seats),
    /// There was no room for this, in one pool at least.
    Deny(Seats),
}

/// Seats of one pool that were taken together and given back together.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) pool: usize,
    pub(crate) seats: u32,
    /// The operation that took them.
    pub(crate) take: usize,
    /// The operation that gave them back, or may have.
    pub(crate) give: Option<usize>,
}

/// What the history says.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Ordered by `start` once read.
    pub(crate) operations: Vec<Operation>,
    pub(crate) holdings: Vec<Holding>,
    /// Answers that were said to be those of an earlier checkout.
    pub(crate) replays: usize,
    /// Requests without an answer.
    pub(crate) cuts: usize,
}

impl Story {
    fn add(&mut self, effect: Effect, (start, end): (usize, usize), is_sure: bool) -> usize {
        self.operations.push(Operation { effect, start, end, is_sure });
        self.operations.len() - 1
    }

    /// How many operations of this sort.
    pub(crate) fn count(&self, is_meant: impl Fn(&Effect) -> bool) -> usize {
        self.operations.iter().filter(|operation| is_meant(&operation.effect)).count()
    }
}

/// What a client knows of one checkout.
#[derive(Default)]
struct Checkout {
    /// Attempts without an answer: sent, and the daemon's death after it.
    attempts: Vec<(usize, usize)>,
    seats: Seats,
    is_denied: bool,
    granted: Option<Granted>,
}

struct Granted {
    bundle: u64,
    take: usize,
    /// Sessions that have seats, or may have.
    sessions: BTreeMap<u64, Held>,
}

struct Held {
    pool: usize,
    count: u32,
    /// A checkin without an answer: its window, and how many seats.
    doubt: Option<((usize, usize), u32)>,
}

/// Reads a history.
///
/// # Errors
/// The first answer that contradicts what the same client was told before.
pub(crate) fn read(history: &History) -> Result<Story, String> {
    let mut reader = Reader { story: Story::default(), checkouts: BTreeMap::new(), owners: HashMap::new() };
    let deaths: Vec<usize> =
        (0..history.events.len()).filter(|at| matches!(history.events[*at].what, What::Killed)).collect();
    let mut open: BTreeMap<usize, (usize, &Request)> = BTreeMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Sent(request) => {
                if let Some((sent, cut)) = open.insert(event.client, (at, request)) {
                    let death = deaths.iter().copied().find(|death| (sent..at).contains(death));
                    let death = death.ok_or_else(|| format!("no answer to {}", history.show(sent)))?;
                    reader.cut(cut, (sent, death))?;
                }
            }
            What::Answered(answer) => {
                let (sent, request) = open
                    .remove(&event.client)
                    .ok_or_else(|| format!("answer without a request: {}", history.show(at)))?;
                reader.answered(request, answer, (sent, at)).map_err(|fault| {
                    format!("{fault}: {}, sent as {}", history.show(at), history.show(sent))
                })?;
            }
            What::Killed => {}
        }
    }
    for (sent, request) in open.into_values() {
        reader.cut(request, (sent, deaths.iter().copied().find(|death| *death > sent).unwrap_or(NEVER)))?;
    }
    Ok(reader.end())
}

struct Reader {
    story: Story,
    checkouts: BTreeMap<Key, Checkout>,
    /// Whose a session is.
    owners: HashMap<u64, Key>,
}

impl Reader {
    /// A request that was never answered.
    fn cut(&mut self, request: &Request, window: (usize, usize)) -> Result<(), String> {
        self.story.cuts += 1;
        match request {
            Request::Checkout { key, seats } => {
                let checkout = self.checkouts.entry(*key).or_default();
                checkout.seats = *seats;
                // A retry of what is held changes nothing, whether it arrived or not.
                if checkout.granted.is_none() {
                    checkout.attempts.push(window);
                }
            }
            Request::Checkin { session, count } => {
                let held = self.held(*session)?;
                let count = if *count == 0 { held.count } else { *count };
                if held.doubt.replace((window, count)).is_some() {
                    return Err(format!("session {session} has two checkins in doubt"));
                }
            }
            Request::Resume { .. } => {}
        }
        Ok(())
    }

    fn held(&mut self, session: u64) -> Result<&mut Held, String> {
        let key = self.owners.get(&session);
        let granted =
            key.and_then(|key| self.checkouts.get_mut(key)).and_then(|checkout| checkout.granted.as_mut());
        granted
            .and_then(|granted| granted.sessions.get_mut(&session))
            .ok_or_else(|| format!("nobody holds session {session}"))
    }

    fn answered(&mut self, request: &Request, answer: &Answer, window: (usize, usize)) -> Result<(), String> {
        match (request, answer) {
            (Request::Checkout { key, seats }, Answer::Granted { bundle, sessions, is_replay }) => {
                self.story.replays += usize::from(*is_replay);
                let known = self.checkouts.get(key).and_then(|checkout| checkout.granted.as_ref());
                match known {
                    Some(known) if known.bundle != *bundle => {
                        Err(format!("a retry took again: bundle {} before, {bundle} now", known.bundle))
                    }
                    Some(_) if !is_replay => Err("a retry is said to be new".into()),
                    Some(_) => self.seen(*key, sessions),
                    None => self.granted(*key, *seats, *bundle, sessions, *is_replay, window),
                }
            }
            (Request::Checkout { key, seats }, Answer::Denied) => {
                let checkout = self.checkouts.entry(*key).or_default();
                if checkout.granted.is_some() {
                    return Err("a retry of a granted checkout is denied".into());
                }
                // Attempts before it did nothing: else this would be their replay.
                checkout.attempts.clear();
                checkout.is_denied = true;
                self.story.add(Effect::Deny(*seats), window, true);
                Ok(())
            }
            (Request::Checkin { session, count }, Answer::GivenBack { count: given, remaining }) => {
                let held = self.held(*session)?;
                let wanted = if *count == 0 { held.count } else { *count };
                if held.doubt.is_some() {
                    return Err("a checkin while another is in doubt".into());
                }
                if *given != wanted || given.checked_add(*remaining) != Some(held.count) {
                    return Err(format!("{wanted} of {} seats were to be given back", held.count));
                }
                self.give(*session, *given, window);
                Ok(())
            }
            (Request::Resume { key }, Answer::Resumed { sessions }) => self.seen(*key, sessions),
            // Right only where a checkin in doubt gave back all.
            (Request::Resume { key } | Request::Checkout { key, .. }, Answer::Removed) => {
                self.seen(*key, &[])
            }
            (_, answer) => Err(format!("{answer:?} is no answer to this")),
        }
    }

    fn granted(
        &mut self,
        key: Key,
        seats: Seats,
        bundle: u64,
        sessions: &[Session],
        is_replay: bool,
        window: (usize, usize),
    ) -> Result<(), String> {
        let checkout = self.checkouts.entry(key).or_default();
        if checkout.is_denied {
            return Err("a key that was denied was sent again: this checker does not follow that".into());
        }
        let window = match (is_replay, checkout.attempts.first(), checkout.attempts.last()) {
            // Done by one of the attempts, whichever.
            (true, Some(first), Some(last)) => (first.0, last.1),
            (true, ..) => return Err("said to be a replay, and nothing was sent before".into()),
            (false, ..) => window,
        };
        checkout.attempts.clear();
        let mut granted: Seats = [0; POOLS];
        let mut held = BTreeMap::new();
        for session in sessions {
            granted[session.pool] += session.count;
            if let Some(owner) = self.owners.insert(session.id, key) {
                return Err(format!("session {} was granted twice, before for key {owner}", session.id));
            }
            let Session { pool, count, .. } = *session;
            held.insert(session.id, Held { pool, count, doubt: None });
        }
        if granted != seats {
            return Err(format!("asked for {seats:?}, granted {granted:?}"));
        }
        let take = self.story.add(Effect::Take(seats), window, true);
        checkout.granted = Some(Granted { bundle, take, sessions: held });
        Ok(())
    }

    /// The sessions of a checkout as an answer shows them: as its client knows them, where nothing is in doubt.
    fn seen(&mut self, key: Key, sessions: &[Session]) -> Result<(), String> {
        let checkout = self.checkouts.get(&key);
        let Some(granted) = checkout.and_then(|checkout| checkout.granted.as_ref()) else {
            return Err("nothing was granted under this key".into());
        };
        if granted.sessions.is_empty() && sessions.is_empty() {
            return Ok(());
        }
        let shown: HashMap<u64, u32> = sessions.iter().map(|session| (session.id, session.count)).collect();
        let known: HashSet<u64> = granted.sessions.keys().copied().collect();
        if shown.len() != sessions.len() || shown.keys().any(|id| !known.contains(id)) {
            return Err(format!("sessions {shown:?} where the client holds {known:?}"));
        }
        for id in known {
            let held = self.held(id)?;
            let has = shown.get(&id).copied().unwrap_or(0);
            match held.doubt.take() {
                _ if held.count == has => {}
                Some((window, count)) if held.count - count == has => self.give(id, count, window),
                _ => {
                    return Err(format!("session {id} has {has} seats, and its client holds {}", held.count));
                }
            }
        }
        Ok(())
    }

    /// So many seats of a session are back for certain.
    fn give(&mut self, session: u64, seats: u32, window: (usize, usize)) {
        let key = self.owners[&session];
        let granted = self.checkouts.get_mut(&key).and_then(|checkout| checkout.granted.as_mut());
        let granted = granted.expect("only what is held is given back");
        let held = granted.sessions.get_mut(&session).expect("only what is held is given back");
        held.count -= seats;
        let (pool, is_over) = (held.pool, held.count == 0);
        if is_over {
            granted.sessions.remove(&session);
        }
        let take = granted.take;
        let give = Some(self.story.add(Effect::Give(one(pool, seats)), window, true));
        self.story.holdings.push(Holding { pool, seats, take, give });
    }

    /// What is still held, and what stays in doubt.
    fn end(mut self) -> Story {
        for checkout in self.checkouts.into_values() {
            if let (Some(first), Some(last)) = (checkout.attempts.first(), checkout.attempts.last()) {
                let take = self.story.add(Effect::Take(checkout.seats), (first.0, last.1), false);
                let pools = (0..POOLS).filter(|pool| checkout.seats[*pool] > 0);
                self.story.holdings.extend(pools.map(|pool| Holding {
                    pool,
                    seats: checkout.seats[pool],
                    take,
                    give: None,
                }));
            }
            let Some(Granted { take, sessions, .. }) = checkout.granted else { continue };
            for Held { pool, mut count, doubt } in sessions.into_values() {
                if let Some((window, seats)) = doubt {
                    count -= seats;
                    let give = Some(self.story.add(Effect::Give(one(pool, seats)), window, false));
                    self.story.holdings.push(Holding { pool, seats, take, give });
                }
                self.story.holdings.push(Holding { pool, seats: count, take, give: None });
            }
        }
        self.story
    }
}

fn one(pool: usize, seats: u32) -> Seats {
    let mut all = [0; POOLS];
    all[pool] = seats;
    all
}
