//! Clients: what a program with the client library does, written once more as a state machine.
//!
//! The library itself (`crates/client`) works with sockets that block and with threads of its own, which no seed can order;
//! it is tested by its own tests and by `tests/real`. These clients keep to docs/PROTOCOL.md: a checkout in doubt is asked
//! for again under its first key, one that is given up in doubt is cancelled by that key, seats are resumed over a new
//! connection, a bundle that a late copy has taken to an old connection is resumed again.

use wire::message::{Answer, Event, Request};
use wire::request::{self, Facts, Item};

use crate::licenses::FEATURES;
use crate::link::{About, Link, Told};
use crate::plan::{Dice as _, Flaw};
use crate::want::{Keys as _, Stage, Want, facts};
use crate::world::World;

/// How long a client waits for an answer before it takes the connection for dead, as a part of the lease.
const ANSWER_PART: u64 = 3;

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
        self.connect_at = 0;
    }

    /// Whether there is nothing left to be done.
    pub(crate) fn is_done(&self) -> bool {
        self.is_ending && self.wants.is_empty() && self.link.is_none()
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
        let leaving = self.wants.iter_mut().any(|want| std::mem::take(&mut want.is_leaving));
        if leaving && !self.is_ending && self.link.is_some() {
            // With what it borrowed: whatever else it has it leaves behind.
            self.lost(world);
            self.connect_at = now + world.random.ms(1_000, 150_000);
            world.trace.say(now, format!("client {} is offline until {}", self.id, self.connect_at));
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
                let beat = beat(&facts, world);
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
            !matches!(want.stage, Stage::Over | Stage::Kept)
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

/// A sign of life: mostly a heartbeat, but any request is one (S12).
fn beat(facts: &Facts, world: &mut World) -> Request {
    match world.random.below(10) {
        0 => {
            let feature = (*world.random.one_of(&FEATURES)).to_owned();
            let items = vec![Item { vendor: None, feature, count: world.random.count(1, 3) }];
            let hours = world.plan.lends && world.random.percent(50);
            let extras = hours.then(|| request::Hours { hours: 1 }.extra()).into_iter().collect();
            Request::Try(request::Try { items, facts: facts.clone(), extras, ..request::Try::default() })
        }
        1 => Request::Watch(request::Watch { totals: world.random.percent(50), extras: vec![] }),
        _ => Request::Heartbeat(request::Heartbeat::default()),
    }
}
