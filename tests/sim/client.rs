//! Clients: what a program with the client library does, written once more as a state machine.
//!
//! The library itself (`crates/client`) works with sockets that block and with threads of its own, which no seed can order;
//! it is tested by its own tests and by `tests/real`. These clients keep to docs/PROTOCOL.md: a checkout in doubt is asked
//! for again under its first key, one that is given up in doubt is cancelled by that key, seats are resumed over a new connection, a
//! bundle that a late copy has taken to an old connection is resumed again.

use wire::answer::Grant;
use wire::codes;
use wire::message::{Answer, Event, Request};
use wire::request::{self, Checkout, Facts, Item, Secret};

use crate::common::Random;
use crate::licenses::FEATURES;
use crate::link::{About, Link, Told};
use crate::plan::{Dice as _, Flaw};
use crate::world::World;

/// How long a client waits for an answer before it takes the connection for dead, as a part of the lease.
const ANSWER_PART: u64 = 3;

/// Where a checkout stands, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked for, or asked for.
    Ask,
    /// In the queue, under this number.
    Wait(u64),
    /// Served, and to be confirmed.
    Confirm,
    /// Held when the last connection was lost.
    Resume,
    Held,
    /// On its way back.
    Return,
    /// To be cancelled by its key: a copy of the request may be anywhere.
    Cancel,
    Over,
}

/// One checkout from its first request until nothing of it is left.
#[derive(Debug)]
struct Want {
    pid: u32,
    key: [u8; 16],
    items: Vec<(usize, u32)>,
    wait: Option<u32>,
    token: Option<String>,
    stage: Stage,
    bundle: u64,
    /// Sessions and their seats.
    held: Vec<(u64, u32)>,
    /// Whether it has waited, and has not confirmed its seats.
    is_to_confirm: bool,
    is_cancelled: bool,
    /// A call about it is under way on the connection of now.
    is_pending: bool,
    /// Nothing is sent about it before.
    not_before: u64,
    give_back_at: u64,
    times_asked: u32,
    /// Copies of the checkout that were sent and never answered.
    doubts: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    id: usize,
    install_id: [u8; 16],
    link: Option<Link>,
    connect_at: u64,
    wants: Vec<Want>,
    want_at: u64,
    /// Reads and sends nothing until then.
    asleep_until: u64,
    is_gone: bool,
    is_ending: bool,
}

impl Client {
    pub(crate) fn new(id: usize) -> Client {
        let mut install_id = [7; 16];
        install_id[0] = u8::try_from(id).expect("a few clients");
        Client {
            id,
            install_id,
            link: None,
            connect_at: 0,
            wants: Vec::new(),
            want_at: 0,
            asleep_until: 0,
            is_gone: false,
            is_ending: false,
        }
    }

    /// The connection it has.
    pub(crate) fn conn(&self) -> Option<usize> {
        self.link.as_ref().map(|link| link.conn)
    }

    /// It gives everything back from now on, and wants nothing more.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
        self.asleep_until = 0;
    }

    /// Whether there is nothing left to be done.
    pub(crate) fn is_done(&self) -> bool {
        self.is_gone || (self.is_ending && self.wants.is_empty() && self.link.is_none())
    }

    pub(crate) fn sleep(&mut self, until: u64) {
        self.asleep_until = until;
    }

    /// The program is killed: nobody knows of its checkouts any more.
    pub(crate) fn crash(&mut self) {
        self.link = None;
        self.wants.clear();
    }

    /// What there is to tell of it.
    pub(crate) fn shown(&self) -> String {
        let wants: Vec<String> = self.wants.iter().map(|w| format!("{}:{:?}", w.pid, w.stage)).collect();
        format!("client {} on {:?}: {}", self.id, self.conn(), wants.join(", "))
    }

    /// Its connection is gone.
    pub(crate) fn lost(&mut self, world: &mut World) {
        let Some(link) = self.link.take() else { return };
        world.give_up(link.conn);
        self.connect_at = world.now + world.random.ms(20, 1_500);
        for want in &mut self.wants {
            want.lost();
        }
        if world.plan.flaw == Flaw::NewKeyOnRetry {
            for want in self.wants.iter_mut().filter(|w| w.stage == Stage::Ask && w.times_asked > 0) {
                want.key = world.random.key();
            }
        }
    }

    /// Does what is to be done now; when it is to be looked at again.
    pub(crate) fn act(&mut self, world: &mut World) -> Result<u64, String> {
        let now = world.now;
        if now < self.asleep_until {
            return Ok(self.asleep_until);
        }
        if let Some(link) = &mut self.link {
            let told = link.receive(world)?;
            for told in told {
                self.take(told, world)?;
            }
        }
        self.begin(world);
        if self.link.as_ref().is_some_and(|link| {
            world.cables[link.conn].is_given_up
                || link.oldest_call().is_some_and(|at| now >= at + world.plan.lease / ANSWER_PART)
        }) {
            self.lost(world);
        }
        self.settle(world);
        if self.link.is_none() && !self.wants.is_empty() && now >= self.connect_at {
            match world.connect(self.id, false) {
                Some(conn) => self.link = Some(Link::greet(conn, self.install_id, world)),
                None => self.connect_at = now + world.random.ms(50, 1_500),
            }
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.is_greeted) {
            let facts = facts(self.id);
            for want in &mut self.wants {
                want.drive(link, &facts, self.is_ending, world);
            }
            if now >= link.sent_at + world.plan.heartbeat {
                let beat = Request::Heartbeat(request::Heartbeat::default());
                link.send(About::Nothing, &beat, world);
            }
            if self.is_ending && self.wants.is_empty() {
                // Its sessions are given back; the socket closes.
                world.give_up(link.conn);
                self.link = None;
            }
        }
        self.settle(world);
        Ok(self.next(now, world))
    }

    /// New wants, and a change of mind now and then.
    fn begin(&mut self, world: &mut World) {
        let now = world.now;
        if self.is_ending || now < self.want_at {
            return;
        }
        self.want_at = now + world.random.ms(500, 20_000);
        if world.random.percent(20)
            && let Some(want) = self.wants.iter_mut().find(|w| matches!(w.stage, Stage::Ask | Stage::Wait(_)))
        {
            want.is_cancelled = true;
            world.trace.say(now, format!("client {}: {} is not wanted any more", self.id, want.pid));
            return;
        }
        if self.wants.len() < 2 {
            self.wants.push(Want::draw(world));
        }
    }

    /// What is over is forgotten.
    fn settle(&mut self, world: &mut World) {
        self.wants.retain(|want| {
            if want.stage == Stage::Over {
                world.over(want.pid);
            }
            want.stage != Stage::Over
        });
    }

    fn next(&self, now: u64, world: &World) -> u64 {
        let mut next = if self.is_ending { now + 100 } else { self.want_at };
        match &self.link {
            None if self.wants.is_empty() => {}
            None => next = next.min(self.connect_at),
            Some(link) => {
                next = next.min(link.sent_at + world.plan.heartbeat);
                let patience = world.plan.lease / ANSWER_PART;
                next = next.min(link.oldest_call().map_or(u64::MAX, |at| at + patience));
                let wants = self.wants.iter().filter(|want| link.is_greeted && !want.is_pending);
                next = next.min(wants.map(Want::due).min().unwrap_or(u64::MAX));
            }
        }
        next.max(now + 1)
    }

    fn want(&mut self, pid: u32) -> Option<&mut Want> {
        self.wants.iter_mut().find(|want| want.pid == pid)
    }

    fn take(&mut self, told: Told, world: &mut World) -> Result<(), String> {
        let now = world.now;
        match told {
            Told::Answer(About::Hello, Answer::Hello(_)) | Told::Answer(About::Nothing, _) => {}
            // A full server, or one that stops.
            Told::Answer(About::Hello, answer) => {
                world.trace.say(now, format!("client {}: no hello: {answer:?}", self.id));
                self.lost(world);
            }
            Told::Answer(about, answer) => {
                let pid = match about {
                    About::Checkout(pid)
                    | About::Checkin(pid, _)
                    | About::Resume(pid)
                    | About::Confirm(pid)
                    | About::GiveUp(pid)
                    | About::Cancel(pid) => pid,
                    _ => return Err(format!("a client was answered {answer:?}")),
                };
                let Some(want) = self.want(pid) else { return Ok(()) };
                want.is_pending = false;
                want.answered(about, answer, world)?;
            }
            Told::Event(event) => self.event(event, now),
        }
        Ok(())
    }

    fn event(&mut self, event: Event, now: u64) {
        match event {
            Event::Served(served) => {
                let is_it = |want: &&mut Want| want.stage == Stage::Wait(served.waiter);
                if let Some(want) = self.wants.iter_mut().find(is_it) {
                    want.granted(served.bundle, &served.sessions);
                    (want.is_to_confirm, want.stage) = (true, Stage::Confirm);
                }
            }
            Event::WaitEnded(ended) => {
                let is_it = |want: &&mut Want| want.stage == Stage::Wait(ended.waiter);
                if let Some(want) = self.wants.iter_mut().find(is_it) {
                    // Its key is used up: a copy that comes later is told the same.
                    want.stage = Stage::Over;
                }
            }
            Event::SessionEnded(ended) => {
                for want in &mut self.wants {
                    let before = want.held.len();
                    want.held.retain(|(session, _)| *session != ended.session);
                    if want.held.len() < before
                        && want.held.is_empty()
                        && !matches!(want.stage, Stage::Ask | Stage::Wait(_))
                    {
                        // What was not confirmed in time went to the next; the place is kept.
                        want.stage = if want.is_to_confirm { Stage::Ask } else { Stage::Over };
                    }
                }
            }
            Event::ResumedElsewhere(elsewhere) => {
                // A late copy of its own: the client is here.
                let is_it = |want: &&mut Want| want.bundle == elsewhere.bundle;
                if let Some(want) = self.wants.iter_mut().find(is_it) {
                    match want.stage {
                        Stage::Held | Stage::Return => want.stage = Stage::Resume,
                        Stage::Confirm => want.stage = Stage::Ask,
                        _ => {}
                    }
                    want.not_before = now;
                }
            }
            _ => {}
        }
    }
}

impl Want {
    fn draw(world: &mut World) -> Want {
        let random = &mut world.random;
        let mut features: Vec<usize> = (0..FEATURES.len()).collect();
        if random.percent(75) {
            features = vec![random.below(FEATURES.len())];
        }
        let items = features.into_iter().map(|f| (f, if random.percent(75) { 1 } else { 2 })).collect();
        let wait = random.percent(45).then(|| *random.one_of(&[3, 20, 600]));
        let (key, held_for) = (random.key(), random.ms(200, 40_000));
        let pid = world.new_pid();
        Want {
            pid,
            key,
            items,
            wait,
            token: world.token(),
            stage: Stage::Ask,
            bundle: 0,
            held: Vec::new(),
            is_to_confirm: false,
            is_cancelled: false,
            is_pending: false,
            not_before: 0,
            give_back_at: world.now + held_for,
            times_asked: 0,
            doubts: 0,
        }
    }

    fn due(&self) -> u64 {
        match self.stage {
            Stage::Held => self.give_back_at.max(self.not_before),
            _ => self.not_before,
        }
    }

    fn lost(&mut self) {
        self.doubts += u32::from(self.is_pending);
        self.is_pending = false;
        self.not_before = 0;
        self.stage = match self.stage {
            Stage::Wait(_) | Stage::Confirm => Stage::Ask,
            Stage::Held | Stage::Return => Stage::Resume,
            other => other,
        };
    }

    /// Sends the next request about it, if one is due.
    fn drive(&mut self, link: &mut Link, facts: &Facts, is_ending: bool, world: &mut World) {
        let now = world.now;
        if is_ending && !self.is_cancelled {
            self.is_cancelled = true;
            self.not_before = self.not_before.min(now);
        }
        if self.stage == Stage::Held && (self.is_cancelled || now >= self.give_back_at) {
            self.stage = Stage::Return;
        }
        if self.is_pending || now < self.not_before {
            return;
        }
        let pid = self.pid;
        let (about, request) = match self.stage {
            Stage::Held | Stage::Over => return,
            Stage::Ask if self.times_asked == 0 && self.is_cancelled => {
                self.stage = Stage::Over;
                return;
            }
            Stage::Ask if self.is_cancelled => {
                self.stage = Stage::Cancel;
                (About::Cancel(pid), self.cancel())
            }
            Stage::Cancel => (About::Cancel(pid), self.cancel()),
            Stage::Wait(_) if self.is_cancelled && world.random.percent(30) => {
                self.stage = Stage::Cancel;
                (About::Cancel(pid), self.cancel())
            }
            Stage::Return if world.random.percent(5) => {
                self.stage = Stage::Cancel;
                (About::Cancel(pid), self.cancel())
            }
            Stage::Wait(waiter) if self.is_cancelled => {
                (About::GiveUp(pid), Request::GiveUp(request::GiveUp { waiter, extras: vec![] }))
            }
            // Who waits asks again now and then: it learns its place, and has it again if it was taken for gone.
            Stage::Ask | Stage::Wait(_) => {
                self.times_asked += 1;
                (About::Checkout(pid), Request::Checkout(self.checkout(facts)))
            }
            Stage::Confirm => {
                let confirm = request::Confirm { bundle: self.bundle, extras: vec![] };
                (About::Confirm(pid), Request::Confirm(confirm))
            }
            Stage::Resume => {
                let facts = Facts { pid, ..facts.clone() };
                let (bundle, secret) = (self.bundle, Secret(self.key));
                (
                    About::Resume(pid),
                    Request::Resume(request::Resume { bundle, secret, facts, extras: vec![] }),
                )
            }
            Stage::Return => {
                let Some((session, count)) = self.held.first().copied() else {
                    self.stage = Stage::Over;
                    return;
                };
                // Now and then in parts (S24).
                let count = if count > 1 && world.random.percent(50) { 1 } else { 0 };
                let checkin = request::Checkin { session, count, extras: vec![] };
                (About::Checkin(pid, session), Request::Checkin(checkin))
            }
        };
        self.is_pending = true;
        link.send(about, &request, world);
    }

    fn cancel(&self) -> Request {
        let (request_key, secret) = (self.key, Secret(self.key));
        Request::Cancel(request::Cancel { request_key, secret, extras: vec![] })
    }

    fn checkout(&self, facts: &Facts) -> Checkout {
        let item = |(feature, count): &(usize, u32)| Item {
            vendor: None,
            feature: FEATURES[*feature].into(),
            count: *count,
        };
        Checkout {
            request_key: self.key,
            secret: Secret(self.key),
            items: self.items.iter().map(item).collect(),
            facts: Facts { pid: self.pid, ..facts.clone() },
            share: None,
            reservation_token: self.token.clone(),
            wait_seconds: self.wait,
            extras: vec![],
        }
    }

    fn granted(&mut self, bundle: u64, sessions: &[Grant]) {
        self.bundle = bundle;
        self.held = sessions.iter().map(|grant| (grant.session, grant.count)).collect();
    }

    fn answered(&mut self, about: About, answer: Answer, world: &mut World) -> Result<(), String> {
        let now = world.now;
        match (about, answer) {
            (About::Checkout(_), Answer::Granted(granted)) => {
                self.granted(granted.bundle, &granted.sessions);
                // It may have been served from the queue, though no word of that came through.
                self.is_to_confirm |= self.wait.is_some();
                self.stage = if self.is_to_confirm { Stage::Confirm } else { Stage::Held };
                self.give_back_at = self.give_back_at.max(now + 200);
            }
            (About::Checkout(_), Answer::Waiting(waiting)) => {
                self.stage = Stage::Wait(waiting.waiter);
                self.not_before = if self.is_cancelled { now } else { now + world.plan.heartbeat };
            }
            (About::Resume(_), Answer::Resume(resume)) => {
                self.granted(resume.bundle, &resume.sessions);
                self.stage = if self.held.is_empty() { Stage::Over } else { Stage::Held };
            }
            (About::Confirm(_), Answer::Confirm(_)) => {
                (self.is_to_confirm, self.stage) = (false, Stage::Held);
            }
            (About::Checkin(_, session), Answer::Checkin(done)) => {
                self.held.retain(|(id, _)| *id != session || done.remaining > 0);
                if let Some(part) = self.held.iter_mut().find(|(id, _)| *id == session) {
                    part.1 = done.remaining;
                }
            }
            (About::GiveUp(_), Answer::GiveUp(_)) | (About::Cancel(_), Answer::Cancel(_)) => {
                self.stage = Stage::Over;
            }
            (about, Answer::Refused(refused)) => {
                self.not_before = now + world.random.ms(50, 500);
                match (about, refused.code.as_str()) {
                    (_, codes::BUSY | codes::SHUTTING_DOWN) => {}
                    (About::Checkout(_), codes::ALREADY_REMOVED | codes::QUEUE_TIMEOUT) => {
                        self.stage = Stage::Over;
                    }
                    // A denial is not remembered (S2): a copy that comes later is a checkout like any other.
                    (About::Checkout(_), _) => {
                        let is_in_doubt = self.doubts > 0 && world.plan.flaw != Flaw::NeverCancels;
                        self.stage = if is_in_doubt { Stage::Cancel } else { Stage::Over };
                    }
                    (About::Resume(_), _) => {
                        self.stage = if self.is_to_confirm { Stage::Ask } else { Stage::Over }
                    }
                    (About::Confirm(_) | About::GiveUp(_), _) => self.stage = Stage::Ask,
                    (About::Checkin(..), codes::UNKNOWN_SESSION | codes::RESUMED_ELSEWHERE) => {
                        self.stage = Stage::Resume;
                    }
                    (About::Checkin(_, session), _) => self.held.retain(|(id, _)| *id != session),
                    (about, code) => return Err(format!("{about:?} was refused with {code}")),
                }
            }
            (about, answer) => return Err(format!("{about:?} was answered {answer:?}")),
        }
        Ok(())
    }
}

/// Who a client is.
pub(crate) fn facts(id: usize) -> Facts {
    Facts {
        user: format!("user{id}"),
        host: format!("ws{id}"),
        platform: "linux-x86_64".into(),
        ..Facts::default()
    }
}

/// Keys, from the seed as everything.
pub(crate) trait Keys {
    fn key(&mut self) -> [u8; 16];
}

impl Keys for Random {
    fn key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.bits().to_le_bytes());
        key[8..].copy_from_slice(&self.bits().to_le_bytes());
        key
    }
}
