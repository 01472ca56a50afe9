//! One checkout of a client, from its first request until nothing of it is left.

use wire::answer::Grant;
use wire::codes;
use wire::message::{Answer, Request};
use wire::request::{self, Checkout, Facts, Hours, Item, Secret};

use crate::common::Random;
use crate::licenses::{FEATURES, LENT_HOURS_MAX};
use crate::link::{About, Link};
use crate::plan::{Dice as _, Flaw};
use crate::world::World;

/// Where a checkout stands, as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
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
    /// Taken along, never to be heard of again.
    Kept,
    /// To be cancelled by its key: a copy of the request may be anywhere.
    Cancel,
    Over,
}

/// One checkout from its first request until nothing of it is left.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) pid: u32,
    pub(crate) key: [u8; 16],
    pub(crate) items: Vec<(usize, u32)>,
    pub(crate) wait: Option<u32>,
    pub(crate) token: Option<String>,
    /// For how many hours it borrows (S40).
    pub(crate) hours: Option<u32>,
    /// Its client goes offline now that it has what it borrowed.
    pub(crate) is_leaving: bool,
    pub(crate) stage: Stage,
    pub(crate) bundle: u64,
    /// Sessions and their seats.
    pub(crate) held: Vec<(u64, u32)>,
    /// Whether it has waited, and has not confirmed its seats.
    pub(crate) is_to_confirm: bool,
    pub(crate) is_cancelled: bool,
    /// A call about it is under way on the connection of now.
    pub(crate) is_pending: bool,
    /// Nothing is sent about it before.
    pub(crate) not_before: u64,
    pub(crate) give_back_at: u64,
    pub(crate) times_asked: u32,
    /// Copies of the checkout that were sent and never answered.
    pub(crate) doubts: u32,
}

impl Want {
    pub(crate) fn draw(world: &mut World) -> Want {
        let random = &mut world.random;
        let mut features: Vec<usize> = (0..FEATURES.len()).collect();
        if random.percent(75) {
            features = vec![random.below(FEATURES.len())];
        }
        let items = features.into_iter().map(|f| (f, if random.percent(75) { 1 } else { 2 })).collect();
        let lends = world.plan.lends;
        let hours = (lends && random.percent(25)).then(|| *random.one_of(&[1, 2, 5, 10, 30, LENT_HOURS_MAX]));
        // A borrow does not wait.
        let wait = (hours.is_none() && random.percent(45)).then(|| *random.one_of(&[3, 20, 600]));
        let held_for = if hours.is_some() { random.ms(200, 150_000) } else { random.ms(200, 40_000) };
        let key = random.key();
        let pid = world.new_pid();
        let token = world.token().filter(|_| hours.is_none());
        Want {
            pid,
            key,
            items,
            wait,
            token,
            hours,
            is_leaving: false,
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

    pub(crate) fn due(&self) -> u64 {
        match self.stage {
            Stage::Held => self.give_back_at.max(self.not_before),
            _ => self.not_before,
        }
    }

    pub(crate) fn lost(&mut self) {
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
    pub(crate) fn drive(&mut self, link: &mut Link, facts: &Facts, is_ending: bool, world: &mut World) {
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
            Stage::Held | Stage::Over | Stage::Kept => return,
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
                let in_parts = count > 1 && self.hours.is_none() && world.random.percent(50);
                let count = u32::from(in_parts);
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
            extras: self.hours.map(|hours| Hours { hours }.extra()).into_iter().collect(),
        }
    }

    pub(crate) fn granted(&mut self, bundle: u64, sessions: &[Grant]) {
        self.bundle = bundle;
        self.held = sessions.iter().map(|grant| (grant.session, grant.count)).collect();
    }

    pub(crate) fn answered(&mut self, about: About, answer: Answer, world: &mut World) -> Result<(), String> {
        let now = world.now;
        match (about, answer) {
            (About::Checkout(_), Answer::Granted(granted)) => {
                self.granted(granted.bundle, &granted.sessions);
                // It may have been served from the queue, though no word of that came through.
                self.is_to_confirm |= self.wait.is_some();
                self.stage = if self.is_to_confirm { Stage::Confirm } else { Stage::Held };
                self.give_back_at = self.give_back_at.max(now + 200);
                if self.hours.is_some() && !self.is_cancelled {
                    self.is_leaving = world.random.percent(60);
                    if world.random.percent(25) {
                        self.stage = Stage::Kept;
                    }
                }
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
