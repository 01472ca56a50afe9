//! The verbs of the stories: what each does to the ledger, and how its answer reads.
//!
//! `README.md` beside it tells the little language to people.

use std::collections::BTreeMap;
use std::sync::Arc;

use seats::change::{BundleId, Change, ClockReset, PoolKind, SessionId, WaitCause};
use seats::evaluate::{evaluate, explain, forecast, lower_successors};
use seats::ledger::{CheckoutOutcome, ConnectionId, PoolChange};
use seats::request::{Checkout, Facts, Item};
use seats::wall::WallClock;

use crate::driver::{self, Happened, LEASE_MS, Server, date, facts, half_hash};
use crate::shown::{
    changed, denied, described, instant, kind_name, numbers, pool_name, standing, sum, title,
};

/// Features looked at in one slice of the background's work.
const SLICE: usize = 100;

/// One program of one person, as the story names it.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) connection: Option<ConnectionId>,
    is_silent: bool,
    /// It does not confirm what it was given.
    is_mute: bool,
    /// Every bundle it believes to have.
    bundles: Vec<(BundleId, Checkout)>,
    last: Option<Checkout>,
}

/// A server and the people around it.
pub(crate) struct World {
    pub(crate) server: Server,
    clients: BTreeMap<String, Client>,
    /// Who took a session, of which feature.
    labels: BTreeMap<SessionId, String>,
    next_key: u64,
}

pub(crate) type Answer = Result<Vec<String>, String>;

impl World {
    pub(crate) fn new() -> World {
        World {
            server: Server::new(date("2030-01-01"), LEASE_MS),
            clients: BTreeMap::new(),
            labels: BTreeMap::new(),
            next_key: 1,
        }
    }

    /// Runs the commands of a block. An error is a fault of the story, not an answer.
    pub(crate) fn run(&mut self, commands: &[String]) -> Answer {
        let mut answer = Vec::new();
        let mut at = 0;
        while at < commands.len() {
            let words: Vec<&str> = commands[at].split_whitespace().collect();
            at += 1;
            // Only these have a body, up to the end of the block.
            let body = if ["licenses", "policy"].contains(&words[0]) { &commands[at..] } else { &[] };
            at += body.len();
            let lines = self.command(&words, body).map_err(|why| format!("{}: {why}", words.join(" ")))?;
            answer.extend(lines);
            answer.extend(self.queue_happened());
            for (_, session) in std::mem::take(&mut self.server.borrows_ended) {
                answer
                    .push(format!("session {session} ({}) is back: its time is over", self.labels[&session]));
            }
        }
        if answer.is_empty() {
            answer.push("ok".into());
        }
        Ok(answer)
    }

    fn command(&mut self, words: &[&str], body: &[String]) -> Answer {
        match *words {
            ["licenses", ref flags @ ..] => self.licenses(body, flags),
            ["day", day, ref flags @ ..] => {
                self.server.begin_day(day.parse().map_err(|e| format!("{day}: {e}"))?);
                self.sweep_unless(flags)
            }
            ["clock", day, time] => self.set_clock(day, time),
            ["clock-reset"] => self.reset_clock(),
            ["sweep"] => self.sweep_unless(&[]),
            ["checkout", who, ref rest @ ..] => self.checkout(who, rest),
            ["borrow", who, ref rest @ ..] => self.borrow(who, rest),
            ["try-borrow", who, ref rest @ ..] => {
                let request = self.borrow_request(who, rest)?;
                self.try_request(&request)
            }
            ["borrowed"] => Ok(self.borrowed()),
            ["write-off", id, ref options @ ..] => self.write_off(id, options),
            ["accept-loss"] => {
                self.server.close_borrowing();
                Ok(Vec::new())
            }
            ["queue", who, ref rest @ ..] => self.wait_for(who, rest),
            ["giveup", who] => self.give_up(who),
            ["cancel", who] => {
                let last = self.client(who)?.last.clone().ok_or("nothing was asked for")?;
                self.server.cancel(&last).map_err(|denial| denial.message.clone())?;
                Ok(Vec::new())
            }
            ["mute", who] => {
                self.client(who)?.is_mute = true;
                Ok(Vec::new())
            }
            ["waiting", feature] => Ok(self.waiting(feature)),
            ["try", who, ref rest @ ..] => self.try_checkout(who, rest),
            ["retry", who, ref rest @ ..] => self.retry(who, rest),
            ["checkin", who, ref rest @ ..] => self.checkin(who, rest),
            ["lose", who] => self.lose(who),
            ["silent", who] => {
                self.client(who)?.is_silent = true;
                Ok(Vec::new())
            }
            ["beat", who] => self.beat(who),
            ["resume", who, ref options @ ..] => self.resume(who, options),
            ["wait", time] => self.wait(time),
            ["release", id, ref options @ ..] => self.release(id, options),
            ["restart", ref flags @ ..] => {
                let before = (self.server.now.clock, self.server.now.day);
                self.server.restart()?;
                self.clients.values_mut().for_each(|c| c.connection = None);
                let sessions = self.server.ledger.state().session_count();
                let mut answer = vec![format!("restarted with {sessions} sessions, the same ledger")];
                answer.extend(self.sweep_unless(flags)?);
                answer.extend(self.clock_line(before));
                Ok(answer)
            }
            ["policy"] => self.policy(body),
            ["why", who, ref rest @ ..] => self.why(who, rest),
            ["book", who, ref what @ .., "for", time, token] => self.book(who, what, time, token),
            ["unbook", token] => self.unbook(token),
            ["idle", who, time] => self.idle(who, time),
            ["explain", feature] => self.explain(feature),
            ["warnings", feature] => self.warnings(feature),
            ["updates", feature, ref rest @ ..] => self.updates(feature, rest),
            ["begun"] => Ok(self.begun()),
            ["coverage", feature] => self.coverage(feature),
            ["status", ref features @ ..] => Ok(features.iter().flat_map(|f| self.status(f)).collect()),
            ["sessions"] => Ok(self.sessions()),
            _ => Err("there is no such command, see tests/stories/README.md".into()),
        }
    }

    fn licenses(&mut self, body: &[String], flags: &[&str]) -> Answer {
        self.load(body)?;
        self.sweep_unless(flags)
    }

    /// `unswept`: the background has not come to it yet.
    fn sweep_unless(&mut self, flags: &[&str]) -> Answer {
        match flags {
            [] => {
                let changes = self.server.sweep(SLICE);
                Ok(self.owed(&changes))
            }
            ["unswept"] => Ok(Vec::new()),
            _ => Err("only `unswept` may follow".into()),
        }
    }

    /// Totals that changed, and sessions that were moved.
    fn owed(&mut self, changes: &[PoolChange]) -> Vec<String> {
        let mut lines: Vec<String> = changes.iter().map(changed).collect();
        for moved in std::mem::take(&mut self.server.moved) {
            for session in moved.sessions.iter().map(|m| m.session) {
                let label = &self.labels[&session];
                lines.push(format!(
                    "session {session} ({label}) counts against {} now",
                    self.pool_of(session)
                ));
            }
        }
        lines
    }

    /// The pool a session is in, in words.
    fn pool_of(&self, session: SessionId) -> String {
        let state = self.server.ledger.state();
        let pool = state.session(session).and_then(|(_, s)| state.pool(s.pool));
        pool.map_or_else(|| "nothing".into(), |pool| pool_name(&pool.feature, &pool.kind))
    }

    fn checkout(&mut self, who: &str, rest: &[&str]) -> Answer {
        let request = self.request(who, rest)?;
        self.clients.entry(who.to_string()).or_default().last = Some(request.clone());
        self.send(who, &request, 0)
    }

    /// `queue ann cad 2 for 10m`: as a checkout, and waits where there is no seat.
    fn wait_for(&mut self, who: &str, rest: &[&str]) -> Answer {
        let at = rest.iter().position(|word| *word == "for").ok_or("say for how long it waits: for 10m")?;
        let [_, time, ref options @ ..] = rest[at..] else { return Err("for how long?".into()) };
        let ms = milliseconds(time)?;
        let request = self.request(who, &[&rest[..at], options].concat())?;
        self.clients.entry(who.to_string()).or_default().last = Some(request.clone());
        self.send(who, &request, ms)
    }

    /// `borrow ann cad 2 for 48h`: as a checkout whose seats are wanted offline.
    fn borrow(&mut self, who: &str, rest: &[&str]) -> Answer {
        let request = self.borrow_request(who, rest)?;
        self.clients.entry(who.to_string()).or_default().last = Some(request.clone());
        self.send(who, &request, 0)
    }

    fn borrow_request(&mut self, who: &str, rest: &[&str]) -> Result<Checkout, String> {
        let at = rest.iter().position(|word| *word == "for").ok_or("say for how long: for 48h")?;
        let [_, time, ref options @ ..] = rest[at..] else { return Err("for how long?".into()) };
        let hours = time.strip_suffix('h').and_then(|hours| hours.parse().ok());
        let hours = hours.ok_or("a borrow is for hours: 48h")?;
        let request = self.request(who, &[&rest[..at], options].concat())?;
        Ok(self.server.lent_for(request, hours))
    }

    /// What is lent, and what is noted of it.
    fn borrowed(&self) -> Vec<String> {
        let line = |b: &seats::ledger::BorrowView| {
            let off = b.written_off.as_ref().map_or_else(String::new, |note| {
                let reason =
                    if note.reason.is_empty() { String::new() } else { format!(": {}", note.reason) };
                format!(", written off by {}{reason}", note.by)
            });
            let (pool, until) = (self.pool_of(b.session), instant(b.until));
            format!(
                "session {}: {pool} {} by {}@{} until {until}{off}",
                b.session, b.count, b.facts.user, b.facts.host
            )
        };
        let page = self.server.ledger.borrows_page(None, usize::MAX);
        if page.is_empty() { vec!["nothing is lent".into()] } else { page.iter().map(line).collect() }
    }

    fn write_off(&mut self, id: &str, rest: &[&str]) -> Answer {
        let id = session(id)?;
        let mut reason = String::new();
        for (option, value) in options(rest)? {
            match option {
                "reason" => reason = value.replace('_', " "),
                _ => return Err(format!("{option}= is not known")),
            }
        }
        Ok(match self.server.write_off(id, "root", &reason) {
            Ok(()) => vec![format!("session {id} ({}) is written off", self.labels[&id])],
            Err(denial) => denied(&denial),
        })
    }

    fn give_up(&mut self, who: &str) -> Answer {
        let key = self.client(who)?.last.as_ref().ok_or("nothing was asked for")?.key;
        let waiting = self.server.ledger.state().waiter_of_key(&key).ok_or("it does not wait")?;
        let waiter = waiting.waiter;
        self.server.end_wait(waiter, WaitCause::GivenUp);
        Ok(Vec::new())
    }

    /// Who waits for a feature, in the order in which they came.
    fn waiting(&self, feature: &str) -> Vec<String> {
        let state = self.server.ledger.state();
        let line = |id: SessionId| {
            let waiting = state.waiter(id)?;
            let wanted: Vec<String> =
                waiting.items.iter().map(|item| format!("{} {}", item.feature, item.count)).collect();
            let seconds = waiting.until.saturating_sub(self.server.now.tick) / 1000;
            Some(format!("{} waits for {}, {seconds} s more", waiting.facts.user, wanted.join(", ")))
        };
        let lines: Vec<String> = state.waiters_for(feature).filter_map(line).collect();
        if lines.is_empty() { vec![format!("nobody waits for {feature}")] } else { lines }
    }

    /// What became of those who wait. Programs confirm what they are given, unless they are mute.
    fn queue_happened(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for happened in std::mem::take(&mut self.server.queue) {
            match happened {
                Happened::Served(_, bundle) => {
                    let Some(found) = self.server.ledger.state().bundle(bundle) else { continue };
                    let (key, user) = (found.key, found.facts.user.clone());
                    for session in found.sessions() {
                        let number = SessionId(bundle.0 + u64::from(session.nth));
                        let pool = self.server.ledger.state().pool(session.pool).expect("its pool");
                        self.labels.insert(number, format!("{user}, {}", pool.feature));
                    }
                    lines.push(format!("{user} is served: {}", self.content(bundle)));
                    let of = |c: &&mut Client| c.last.as_ref().is_some_and(|last| last.key == key);
                    if let Some(client) = self.clients.values_mut().find(of) {
                        client.bundles.extend(client.last.clone().map(|last| (bundle, last)));
                        if !client.is_mute && !client.is_silent {
                            self.server.confirm(bundle);
                        }
                    }
                }
                Happened::TakenBack(bundle) => lines.push(format!("{bundle} was not confirmed: taken back")),
                Happened::WaitEnded(ended) => {
                    lines.push(format!("{} waits no longer: {:?}", ended.waiter, ended.cause));
                }
            }
        }
        lines
    }

    fn retry(&mut self, who: &str, rest: &[&str]) -> Answer {
        let mut request = self.client(who)?.last.clone().ok_or("nothing was checked out")?;
        for (option, value) in options(rest)? {
            match option {
                "secret" => request.secret = half_hash(&value),
                _ => return Err(format!("{option}= is not known")),
            }
        }
        self.send(who, &request, 0)
    }

    fn send(&mut self, who: &str, request: &Checkout, wait_ms: u64) -> Answer {
        let connection = match self.client(who)?.connection {
            Some(connection) => connection,
            None => self.server.connect(),
        };
        let client = self.client(who)?;
        client.connection = Some(connection);
        client.is_silent = false;
        let (changes, outcome) = self.server.checkout_or_wait(request, wait_ms, connection);
        let mut answer = self.owed(&changes);
        for session in std::mem::take(&mut self.server.warned) {
            answer.push(format!(
                "session {session} ({}) is warned: its idle seat is wanted",
                self.labels[&session]
            ));
        }
        match outcome {
            Ok(CheckoutOutcome::Grant { before, granted, lent }) => {
                answer.extend(before.iter().map(|change| self.before(change)));
                for session in &granted.sessions {
                    let pool =
                        self.server.ledger.state().pool(session.pool).ok_or("a grant without a pool")?;
                    self.labels.insert(session.session, format!("{who}, {}", pool.feature));
                }
                self.client(who)?.bundles.push((granted.bundle, request.clone()));
                let until = lent.map_or_else(String::new, |lent| format!(" until {}", instant(lent.until)));
                answer.push(format!("granted{until}: {}", self.content(granted.bundle)));
            }
            Ok(CheckoutOutcome::Waits(waiter)) => {
                let before = self.server.ledger.place_of(waiter);
                answer.push(format!("waits as {waiter}, {before} came before"));
            }
            Ok(CheckoutOutcome::Replay(bundle)) => {
                answer.push(format!("the same grant: {}", self.content(bundle)));
            }
            Err(denial) => answer.extend(denied(&denial)),
        }
        Ok(answer)
    }

    /// What a grant changes before it takes its seats.
    fn before(&self, change: &Change) -> String {
        match change {
            Change::Ended(e) => {
                format!("session {} ({}) ends: {}", e.session, self.labels[&e.session], e.cause.as_str())
            }
            Change::Unheld(u) => format!("{} held for this very client are taken", u.seats),
            Change::FirstCheckout(first) => {
                format!("maintenance of {} {} begins on {}", first.feature, first.license, first.day)
            }
            other => format!("{other:?}"),
        }
    }

    fn try_checkout(&mut self, who: &str, rest: &[&str]) -> Answer {
        let request = self.request(who, rest)?;
        self.try_request(&request)
    }

    fn try_request(&mut self, request: &Checkout) -> Answer {
        self.server.free_due();
        let changes = self.server.refresh(request.items.iter().map(|i| &*i.feature));
        let mut answer = self.owed(&changes);
        match self.server.ledger.decide_try(request, self.server.now) {
            Ok(pools) => answer.extend(request.items.iter().zip(pools).map(|(item, (_, n))| {
                format!("would be granted: {} {} of {}", item.feature, item.count, numbers(&n))
            })),
            Err(denial) => answer.extend(denied(&denial)),
        }
        Ok(answer)
    }

    /// `cad 3 (session 1), cam 1 (session 2)`.
    fn content(&self, bundle: BundleId) -> String {
        let view = self.server.ledger.grant_view(bundle);
        let sessions = view.map_or_else(Vec::new, |v| v.sessions);
        let shown = sessions.iter().map(|s| {
            let soft = if s.above_soft_limit { ", above the soft limit" } else { "" };
            format!("{} {} (session {}{soft})", self.pool_of(s.session), s.count, s.session)
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn checkin(&mut self, who: &str, rest: &[&str]) -> Answer {
        let (which, count) = match *rest {
            [] => (None, None),
            [which] => (Some(which), None),
            [which, count] => (Some(which), Some(count.parse().map_err(|_| "the count is no number")?)),
            _ => return Err("too many words".into()),
        };
        let has = self.client(who)?.bundles.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let live = has.iter().filter_map(|id| self.server.ledger.grant_view(*id)).flat_map(|v| v.sessions);
        let sessions: Vec<SessionId> = match which {
            None => live.map(|s| s.session).collect(),
            Some(id) if id.starts_with('#') => vec![session(&id[1..])?],
            Some(feature) => {
                live.filter(|s| s.feature.as_str() == feature).map(|s| s.session).take(1).collect()
            }
        };
        if sessions.is_empty() {
            return Err("there is nothing to give back".into());
        }
        let connection = self.client(who)?.connection.unwrap_or(ConnectionId(0));
        let mut answer = Vec::new();
        for session in sessions {
            answer.extend(self.refresh_of(session));
            match self.server.checkin(session, count, connection) {
                Ok(o) => answer
                    .push(format!("given back: {} of session {session}, {} remain", o.given, o.remaining)),
                Err(denial) => answer.extend(denied(&denial)),
            }
        }
        let state = self.server.ledger.state();
        if let Some(client) = self.clients.get_mut(who) {
            client.bundles.retain(|(id, _)| state.bundle(*id).is_some());
        }
        Ok(answer)
    }

    /// What stays held of a session is today's license's to say (L62).
    fn refresh_of(&mut self, session: SessionId) -> Vec<String> {
        let state = self.server.ledger.state();
        let pool = state.session(session).and_then(|(_, s)| state.pool(s.pool));
        let feature = pool.map(|pool| pool.feature.as_str().to_string());
        let changes = self.server.refresh(feature.as_deref());
        self.owed(&changes)
    }

    fn lose(&mut self, who: &str) -> Answer {
        let connection = self.client(who)?.connection.take().ok_or("it has no connection")?;
        self.server.disconnect(connection);
        Ok(Vec::new())
    }

    fn beat(&mut self, who: &str) -> Answer {
        let client = self.client(who)?;
        client.is_silent = false;
        let connection = client.connection.ok_or("it has no connection")?;
        self.server.hear(connection);
        Ok(Vec::new())
    }

    /// Over a new connection, each bundle the client believes to have.
    fn resume(&mut self, who: &str, rest: &[&str]) -> Answer {
        let options = options(rest)?;
        let bundles = self.client(who)?.bundles.clone();
        let connection = self.server.connect();
        let mut answer = Vec::new();
        let mut is_back = false;
        for (bundle, request) in bundles {
            let mut facts = (*request.facts).clone();
            let (mut secret, mut id) = (request.secret, bundle);
            for (option, value) in &options {
                match *option {
                    "secret" => secret = half_hash(value),
                    "session" => id = session(value)?,
                    option => state_fact(&mut facts, option, value)?,
                }
            }
            match self.server.resume(id, &secret, &facts, connection) {
                Ok(lost) => {
                    is_back = true;
                    answer.push(format!("resumed: {}", self.content(id)));
                    if lost.is_some() {
                        answer.push("  its old connection is told: resumed_elsewhere".into());
                    }
                }
                Err(denial) => answer.extend(denied(&denial)),
            }
        }
        // Whoever is refused, as somebody else or not, leaves the old connection as it is.
        let client = self.client(who)?;
        let unneeded = if is_back {
            client.is_silent = false;
            client.connection.replace(connection)
        } else {
            Some(connection)
        };
        if let Some(unneeded) = unneeded {
            self.server.disconnect(unneeded);
        }
        Ok(answer)
    }

    fn wait(&mut self, time: &str) -> Answer {
        let ms = milliseconds(time)?;
        let beating: Vec<ConnectionId> =
            self.clients.values().filter(|c| !c.is_silent).filter_map(|c| c.connection).collect();
        let from = self.server.now.tick;
        let ended = self.server.pass(ms, &|id| beating.contains(&id));
        let line = |(tick, id)| {
            format!("after {} s: session {id} ({}) ends: reaped", (tick - from) / 1000, self.labels[&id])
        };
        let mut answer: Vec<String> = ended.into_iter().map(line).collect();
        let before = (self.server.now.clock, self.server.now.day);
        self.server.look_at_clock();
        answer.extend(self.clock_since(before)?);
        self.server.free_due();
        Ok(answer)
    }

    /// `clock 2030-01-05 12:00`: somebody sets the wall clock, which is in UTC.
    fn set_clock(&mut self, day: &str, time: &str) -> Answer {
        let instant: chrono::DateTime<chrono::Utc> =
            format!("{day}T{time}:00Z").parse().map_err(|e| format!("{day} {time}: {e}"))?;
        let before = (self.server.now.clock, self.server.now.day);
        self.server.set_clock(instant.timestamp_millis());
        let answer = self.clock_since(before)?;
        self.server.free_due();
        Ok(answer)
    }

    /// What is said of a clock that was another before.
    fn clock_since(&mut self, before: (WallClock, chrono::NaiveDate)) -> Answer {
        let mut answer: Vec<String> = self.clock_line(before).into_iter().collect();
        answer.extend(self.sweep_unless(&[])?);
        Ok(answer)
    }

    fn clock_line(&self, before: (WallClock, chrono::NaiveDate)) -> Option<String> {
        let (now, mark) = (self.server.now, self.server.ledger.state().day()?);
        let clock = now.clock.as_str();
        ((clock, now.day) != (before.0.as_str(), before.1)).then(|| {
            format!("the clock is {clock}: grants are of {}, {mark} is the highest day served", now.day)
        })
    }

    /// What `seatkeeper state clock-reset` writes, and a start after it.
    fn reset_clock(&mut self) -> Answer {
        let from = self.server.ledger.state().day().ok_or("no day was served")?;
        let WallClock::Suspect(to) = self.server.now.clock else {
            return Err("the clock is not behind".into());
        };
        let (by, reason) = ("uid 0".into(), "the clock was wrong".into());
        let reset = ClockReset { from, to, unix_ms: 0, by, reason };
        self.server.commit(&Change::ClockReset(reset));
        self.command(&["restart"], &[])
    }

    fn release(&mut self, id: &str, rest: &[&str]) -> Answer {
        let id = session(id)?;
        let (mut by, mut reason, mut bar_ms) = ("root", String::new(), 0);
        for (option, value) in options(rest)? {
            match option {
                "by" => by = value,
                "reason" => reason = value.replace('_', " "),
                "bar" => bar_ms = milliseconds(value)?,
                _ => return Err(format!("{option}= is not known")),
            }
        }
        let mut answer = self.refresh_of(id);
        match self.server.release_and_bar(id, by, &reason, bar_ms) {
            Ok(()) => answer.push(format!("session {id} ({}) is removed", self.labels[&id])),
            Err(denial) => answer.extend(denied(&denial)),
        }
        Ok(answer)
    }

    fn explain(&self, feature: &str) -> Answer {
        let (_, found) = self.server.ledger.catalog().find(feature);
        let day = self.server.now.day;
        let mut answer = Vec::new();
        for licenses in found {
            let today = evaluate(licenses, day);
            let of = if found.len() > 1 { format!(" of {}", licenses.vendor) } else { String::new() };
            let parts = sum(&licenses.licenses, &today);
            answer.push(format!("{}{of} on {day}: {parts}{}", licenses.feature, today.total));
            if today.pools.len() > 1 || today.pools.iter().any(|p| p.kind != PoolKind::Exclusive) {
                let pools = today.pools.iter().map(|p| format!("{} {}", kind_name(&p.kind), p.total));
                answer.push(format!("  tried in this order: {}", pools.collect::<Vec<_>>().join(", ")));
            }
            for (at, license) in licenses.licenses.iter().enumerate() {
                let why = explain(licenses, &today, at).map_or_else(String::new, |why| format!(": {why}"));
                answer.push(format!("  {}: {}{why}", described(license), standing(today.standings[at])));
            }
            for next in forecast(licenses, day, 10) {
                let changes = next
                    .changed
                    .iter()
                    .map(|(at, s)| format!("{} is {}", title(&licenses.licenses[*at]), standing(*s)));
                let changes = changes.collect::<Vec<_>>().join("; ");
                answer.push(format!("from {}: {}; {changes}", next.day, next.total));
            }
        }
        if answer.is_empty() { Err(format!("no license of {feature}")) } else { Ok(answer) }
    }

    fn warnings(&self, feature: &str) -> Answer {
        let (_, found) = self.server.ledger.catalog().find(feature);
        let lines = found.iter().flat_map(|f| {
            lower_successors(f, self.server.now.day).into_iter().map(|w| {
                let (older, successor) = (title(&f.licenses[w.older]), title(&f.licenses[w.successor]));
                format!(
                    "on {} {successor} gives {}, {older} would still give {}",
                    w.day, w.total, w.total_without
                )
            })
        });
        Ok(lines.collect())
    }

    /// A line for each pool, and one for each client whose seats are held.
    fn status(&self, feature: &str) -> Vec<String> {
        let (vendor, feature) = feature.split_once('/').unwrap_or(("ACME", feature));
        let mut lines = Vec::new();
        for (kind, pool) in self.server.pools(vendor, feature) {
            lines.push(format!(
                "{}: {}",
                pool_name(feature, &kind),
                numbers(&self.server.ledger.numbers(pool))
            ));
            for held in self.server.ledger.state().holds_in(pool) {
                let seconds = held.until.saturating_sub(self.server.now.tick) / 1000;
                lines
                    .push(format!("  {} held for {}@{}, {seconds} s more", held.seats, held.user, held.host));
            }
        }
        if lines.is_empty() { vec![format!("{feature}: no pool")] } else { lines }
    }

    fn sessions(&self) -> Vec<String> {
        let page = self.server.ledger.sessions_page(None, usize::MAX);
        let line = |s: &seats::ledger::SessionView| {
            let presence = match s.presence {
                seats::ledger::Presentation::Active => "active".to_string(),
                seats::ledger::Presentation::Borrowed(until) => format!("borrowed until {}", instant(until)),
                seats::ledger::Presentation::Suspect(suspect) => {
                    let seconds = |tick: u64| tick.saturating_sub(self.server.now.tick) / 1000;
                    match (seconds(suspect.free_at), seconds(suspect.reaped_at)) {
                        (0, reaped) => format!("suspect, reaped in {reaped} s"),
                        (safe, reaped) => format!("suspect, safe for {safe} s, reaped in {reaped} s"),
                    }
                }
            };
            let token = s.token.map_or_else(String::new, |token| format!(", for session {token}"));
            let shared = if s.is_shared { ", shared" } else { "" };
            let pool = self.pool_of(s.session);
            let (count, user, host) = (s.count, &s.facts.user, &s.facts.host);
            format!("session {}: {pool} {count} by {user}@{host}, {presence}{shared}{token}", s.session)
        };
        if page.is_empty() { vec!["no sessions".into()] } else { page.iter().map(line).collect() }
    }

    pub(crate) fn client(&mut self, who: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(who).ok_or_else(|| format!("nobody is called {who} yet"))
    }

    /// `cad 3, BETA/cam 1 version=4.1`: features and counts, then options.
    pub(crate) fn request(&mut self, who: &str, rest: &[&str]) -> Result<Checkout, String> {
        let split = rest.iter().position(|w| w.contains('=')).unwrap_or(rest.len());
        let items = rest[..split].join(" ");
        let item = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let (feature, count) = match words[..] {
                [feature] => (feature, 1),
                [feature, count] => (feature, count.parse().map_err(|_| format!("{count} is no number"))?),
                _ => return Err(format!("{text:?} is not a feature and a count")),
            };
            let (vendor, feature) = feature.split_once('/').map_or((None, feature), |(v, f)| (Some(v), f));
            Ok(Item { vendor: vendor.map(Into::into), feature: feature.into(), count })
        };
        let items = items.split(',').filter(|i| !i.trim().is_empty()).map(item).collect::<Result<_, _>>()?;
        let (user, host) =
            who.split_once('@').map_or((who, format!("ws-{who}")), |(u, h)| (u, h.to_string()));
        let mut stated = facts(user, &host);
        let mut booking = None;
        for (option, value) in options(&rest[split..])? {
            match option {
                "token" => booking = Some(half_hash(&value)),
                option => state_fact(&mut stated, option, value)?,
            }
        }
        let key = self.next_key;
        self.next_key += 1;
        Ok(Checkout {
            items,
            booking,
            facts: Arc::new(stated),
            ..driver::request(key, facts(user, &host), &[])
        })
    }
}

fn state_fact(facts: &mut Facts, option: &str, value: &str) -> Result<(), String> {
    match option {
        "version" => facts.release_version = Some(value.into()),
        "released" => facts.release_date = Some(value.into()),
        "line" => facts.line_date = Some(value.into()),
        "platform" => facts.platform = value.into(),
        "zone" => facts.offset_minutes = value.parse().map_err(|_| "zone= takes minutes east of GMT")?,
        "address" => facts.address = Some(value.parse().map_err(|_| "address= takes an IP address")?),
        "share" => facts.share = Some(value.into()),
        "project" => facts.project = Some(value.into()),
        "user" => facts.user = value.into(),
        "host" => facts.host = value.into(),
        "install" => facts.install_id = half_hash(&value),
        _ => return Err(format!("{option}= is not known")),
    }
    Ok(())
}

/// `90s`, `5m`, `1h`.
pub(crate) fn milliseconds(time: &str) -> Result<u64, String> {
    let wrong = || format!("{time} is no time, which is written 90s, 5m or 1h");
    let unit = time.chars().last().ok_or_else(wrong)?;
    let number: u64 = time[..time.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    match unit {
        's' => Ok(number * 1_000),
        'm' => Ok(number * 60_000),
        'h' => Ok(number * 3_600_000),
        _ => Err(wrong()),
    }
}

pub(crate) fn options<'a>(words: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, String> {
    words.iter().map(|w| w.split_once('=').ok_or_else(|| format!("{w} is not NAME=VALUE"))).collect()
}

fn session(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|()| format!("{text} is no session's number"))
}
