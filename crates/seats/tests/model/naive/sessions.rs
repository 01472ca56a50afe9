//! Who asks, who has what, and how it comes to an end: S2, S10, S12, S20, S24, L39, L62.

use super::{HOUR, Naive, Pool, PoolKey, RESUME_WINDOW, Which, folded_host, folded_user};

/// One feature of a request.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub vendor: Option<String>,
    pub feature: String,
    pub count: u64,
}

/// What a program states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    pub install: u64,
    pub user: String,
    pub host: String,
    pub address: Option<[u8; 4]>,
    pub project: Option<String>,
    /// For SHARE=CUSTOM.
    pub share: Option<String>,
    pub system: String,
    pub minutes: i32,
    /// `Some(None)`: something that is no version.
    pub version: Option<Option<(u32, u32, u32)>>,
    /// It states a day of its release that is no date.
    pub has_bad_date: bool,
}

impl Program {
    /// L62: "the same user on the same host".
    pub fn is_client(&self, other: &Program) -> bool {
        folded_user(&self.user) == folded_user(&other.user)
            && folded_host(&self.host) == folded_host(&other.host)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub key: u64,
    pub secret: u64,
    pub wanted: Vec<Wanted>,
    pub program: Program,
    /// The token of a booking (S52).
    pub booking: Option<u64>,
}

/// What the members of a share group have in common (L60).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareKey {
    pub host: Option<String>,
    pub user: Option<String>,
    pub custom: Option<String>,
    /// Of what a token took, which token's: others share nothing with it (L51).
    pub token: Option<PoolKey>,
}

/// One session of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub session: u64,
    pub bundle: u64,
    pub pool: PoolKey,
    pub count: u64,
    pub key: u64,
    pub secret: u64,
    pub program: Program,
    pub booking: Option<u64>,
    /// Fixed at its grant.
    pub share: Option<ShareKey>,
    /// The token's session that it belongs to (L51).
    pub needed_by: Option<u64>,
    pub since: u64,
    /// With it its pool was above the SOFTLIMIT (L61).
    pub is_soft: bool,
    /// The connection it is on.
    pub on: Option<u64>,
    /// When its client was last heard; of one that is on a connection, see there.
    pub heard: u64,
    /// When its socket closed, if it did.
    pub closed: Option<u64>,
}

/// A client that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub since: u64,
    /// From when on others may have its seats.
    pub free_at: u64,
    /// When its sessions end, though nobody needs their seats.
    pub ends: u64,
    pub heard: u64,
}

/// Seats given back and not yet free (L62).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub pool: PoolKey,
    pub count: u64,
    /// Whose they were.
    pub program: Program,
    /// They are free from this moment on.
    pub until: u64,
}

/// S52.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    pub token: u64,
    pub vendor: String,
    pub feature: String,
    pub count: u64,
    pub until: u64,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub id: u64,
    pub heard: u64,
    pub is_silent: bool,
    /// When its user last did something, as far as the client says.
    pub active: Option<i64>,
}

impl Naive {
    pub fn find(&self, session: u64) -> Option<&Held> {
        self.held.iter().find(|h| h.session == session)
    }

    pub fn was_granted(&self, session: u64) -> bool {
        session >= 1 && session < self.next_session
    }

    /// S24. `None`: it is given back.
    pub fn judge_checkin(&self, session: u64, count: Option<u64>, from: u64) -> Option<&'static str> {
        match self.find(session) {
            None if self.was_granted(session) => Some("already_removed"),
            None => Some("unknown_session"),
            Some(held) if held.needed_by.is_some() => Some("bad_request"),
            Some(held) if held.on.is_none() => Some("unknown_session"),
            Some(held) if held.on != Some(from) => Some("resumed_elsewhere"),
            Some(held) if count.is_some_and(|n| n < 1 || n > held.count) => Some("bad_request"),
            Some(_) => None,
        }
    }

    /// S25. `None`: it is removed.
    pub fn judge_release(&self, session: u64) -> Option<&'static str> {
        match self.find(session) {
            None if self.was_granted(session) => Some("already_removed"),
            None => Some("unknown_session"),
            Some(held) if held.needed_by.is_some() => Some("bad_request"),
            Some(_) => None,
        }
    }

    /// When the client of a session was last heard (L62): of one that is connected, now.
    pub fn last_sign(&self, held: &Held) -> u64 {
        self.gone(held).map_or(self.tick, |gone| gone.heard)
    }

    /// Takes seats of a session back, all of them where no count is given, and of a token's all that it took with them.
    /// What a pool's use really fell by may stay held. `at`: the moment; `sign`: the last sign of life.
    pub fn give_back(&mut self, session: u64, count: Option<u64>, at: u64, sign: u64) {
        let token = self.find(session).expect("it is there").clone();
        let count = count.unwrap_or(token.count);
        let mut freed: Vec<(Held, u64)> = Vec::new();
        let parts = self.held.iter().filter(|h| h.session == session || h.needed_by == Some(session));
        for part in parts.cloned().collect::<Vec<Held>>() {
            let before = self.used(&part.pool);
            let entry = self.held.iter_mut().find(|h| h.session == part.session).expect("it is there");
            entry.count -= part.count / token.count * count;
            self.held.retain(|h| h.count > 0);
            let after = self.used(&part.pool);
            freed.push((part, before - after));
        }
        for (part, count) in freed {
            let until = self.kept_until(&part, sign);
            if count > 0 && until > self.tick {
                self.kept.push(Kept { pool: part.pool, count, program: part.program, until });
            }
        }
        if !self.held.iter().any(|h| h.bundle == token.bundle) && !self.waits_again(token.key, token.bundle) {
            self.spent.push((token.key, at));
        }
    }

    /// S24: a client gives seats back: what it has, it need not wait for any more.
    pub fn check_in(&mut self, session: u64, count: Option<u64>) {
        let held = self.find(session).expect("it is there").clone();
        let parts = |h: &&Held| h.bundle == held.bundle && h.needed_by.is_none();
        let is_last = self.held.iter().filter(parts).count() == 1 && count.is_none_or(|n| n == held.count);
        if is_last {
            self.end_place(held.key);
        }
        self.give_back(session, count, self.tick, self.tick);
    }

    /// L62: until when seats that a session gave back stay held, whose client was last heard at `sign`.
    fn kept_until(&self, part: &Held, sign: u64) -> u64 {
        let Some(license) = self.pool(&part.pool).license else { return 0 };
        // A token has no seats.
        if part.pool.which == Which::Token {
            return 0;
        }
        // What a request itself would take comes after what ends for it.
        let next = self.asked.as_ref().map_or(self.next_session, |before| before.next_session);
        let has_more = self.held.iter().filter(|h| h.session < next).any(|h| {
            h.pool.is_of(&part.pool.vendor, &part.pool.feature) && h.program.is_client(&part.program)
        });
        let hold = match license.hold {
            Some(seconds) if !has_more => sign + seconds * 1000,
            _ => 0,
        };
        let least = license.least.map_or(0, |seconds| part.since + seconds * 1000);
        hold.max(least)
    }

    /// S10. `None`: it comes back.
    pub fn judge_resume(&self, bundle: u64, secret: u64, program: &Program) -> Option<&'static str> {
        let Some(held) = self.held.iter().find(|h| h.bundle == bundle) else {
            let is_gone = self.was_granted(bundle) && self.find(bundle).is_none();
            return Some(if is_gone { "already_removed" } else { "unknown_session" });
        };
        let granted = &held.program;
        let is_same = granted.install == program.install
            && granted.is_client(program)
            && granted.version == program.version
            && granted.has_bad_date == program.has_bad_date;
        if held.secret != secret {
            return Some("unknown_session");
        }
        (!is_same).then_some("bad_request")
    }

    /// A bundle is on this connection from now on.
    pub fn attach(&mut self, bundle: u64, on: u64) {
        for held in self.held.iter_mut().filter(|h| h.bundle == bundle) {
            held.on = Some(on);
            held.closed = None;
        }
    }

    pub fn hear(&mut self, connection: u64) {
        let tick = self.tick;
        self.connections.iter_mut().filter(|c| c.id == connection).for_each(|c| c.heard = tick);
    }

    pub fn disconnect(&mut self, connection: u64) {
        let Some(at) = self.connections.iter().position(|c| c.id == connection) else { return };
        // While it is still known whether it was silent.
        self.lose_waiters(connection);
        let heard = self.connections.remove(at).heard;
        for held in self.held.iter_mut().filter(|h| h.on == Some(connection)) {
            held.on = None;
            held.heard = heard;
            held.closed = Some(self.tick);
        }
    }

    /// S20 to S22: since when a session's client is gone, from when on others may have its seats, and when it ends anyway.
    /// `None`: it is there.
    pub fn gone(&self, held: &Held) -> Option<Gone> {
        let heard = match held.on {
            Some(on) => self.connections.iter().find(|c| c.id == on).expect("it is open").heard,
            None => held.heard,
        };
        let silent = heard + self.lease;
        let (since, free_at, ends) = match (held.on, held.closed) {
            (Some(_), _) if self.tick < silent => return None,
            (None, Some(closed)) if closed < silent => {
                (closed, closed + RESUME_WINDOW, closed + self.patience)
            }
            // Nobody came back since the restart; it is a whole lease until that means anything.
            (None, None) if self.tick < silent => (heard, silent, silent + self.patience),
            _ => (silent, silent, silent + self.patience),
        };
        Some(Gone { since, free_at, ends, heard })
    }

    /// Time passes; every connection that is not silent beats all the while. The sessions that end, and when.
    pub fn pass(&mut self, ms: u64) -> Vec<(u64, u64)> {
        let target = self.tick + ms;
        let mut ended = self.pass_to(self.tick);
        self.serve();
        loop {
            // Where somebody waits, everything that happens may serve him.
            let next = match self.waiters.is_empty() {
                true => target,
                false => self.moments().into_iter().filter(|at| *at < target).min().unwrap_or(target),
            };
            ended.extend(self.pass_to(next));
            self.serve();
            if next == target {
                return ended;
            }
        }
    }

    fn pass_to(&mut self, target: u64) -> Vec<(u64, u64)> {
        self.tick = target;
        self.connections.iter_mut().filter(|c| !c.is_silent).for_each(|c| c.heard = target);
        // What a token took ends with it. At one moment the older bundle first: of a client's last sessions the one that
        // ends last is held (L62).
        let mut ended: Vec<(u64, u64, u64, u64)> = Vec::new();
        for held in self.held.iter().filter(|h| h.needed_by.is_none()) {
            if let Some(gone) = self.gone(held).filter(|gone| gone.ends <= target) {
                ended.push((gone.ends, held.bundle, held.session, gone.heard));
            }
        }
        ended.sort_unstable();
        // What ends early may stay held for a while, and that may be over as well by now.
        for (at, _, session, heard) in &ended {
            self.tick = *at;
            self.give_back(*session, None, *at, *heard);
        }
        self.tick = target;
        self.kept.retain(|k| k.until > target);
        self.bookings.retain(|b| b.until > target);
        ended.into_iter().map(|(at, _, session, _)| (at, session)).collect()
    }

    /// S21, S61.
    pub fn restart(&mut self) {
        self.connections.clear();
        self.warned.clear();
        self.restart_queue();
        for held in &mut self.held {
            held.on = None;
            held.closed = None;
            held.heard = self.tick;
        }
    }

    /// S25: removes a session, whoever holds it.
    pub fn release(&mut self, session: u64) {
        let held = self.find(session).expect("it is there").clone();
        let parts = |h: &&Held| h.bundle == held.bundle && h.needed_by.is_none();
        if self.held.iter().filter(parts).count() == 1 {
            self.end_place(held.key);
        }
        let sign = self.last_sign(&held);
        self.give_back(session, None, self.tick, sign);
    }

    /// L39: the sessions of a feature's pools that no longer exist move, one by one.
    pub fn move_the_homeless(&mut self, vendor: &str, feature: &str) {
        let mut homeless: Vec<(PoolKey, u64)> = Vec::new();
        for held in self.held.iter().filter(|h| h.pool.is_of(vendor, feature)) {
            if held.pool.which != Which::Token && !self.has_license(&held.pool) {
                homeless.push((held.pool.clone(), held.session));
            }
        }
        homeless.sort();
        for (_, session) in homeless {
            let at = self.held.iter().position(|h| h.session == session).expect("it is there");
            let held = self.held[at].clone();
            let mut open = self.pools_with_seats(vendor, feature);
            // What a token took passes in whatever version.
            let needed = held.needed_by.map(|_| (0, 0));
            open.retain(|pool| {
                let license = pool.license.as_ref().expect("it grants today");
                super::judge::terms(license, &held.program, needed).is_none()
            });
            let in_pool = |pool: &Pool| {
                let mut after = self.clone();
                after.held[at].pool = pool.key.clone();
                if held.needed_by.is_none() {
                    after.held[at].share = self.share_key(pool, &held.program);
                }
                after
            };
            let has_room = |pool: &&Pool| {
                let after = in_pool(pool);
                pool.total == super::UNLIMITED
                    || after.used(&pool.key) + after.kept_in(&pool.key) <= pool.total
            };
            if let Some(to) = open.iter().find(has_room).or(open.first()) {
                *self = in_pool(to);
            }
        }
    }

    /// The same for every feature: all that a reload or a midnight brings.
    pub fn settle(&mut self) {
        for (vendor, feature) in self.features() {
            self.move_the_homeless(&vendor, &feature);
        }
    }

    /// Every vendor's feature there is a license or a session of, in lower case.
    pub fn features(&self) -> Vec<(String, String)> {
        let licenses = self.licenses.iter().map(|s| (s.vendor.to_lowercase(), s.feature.to_lowercase()));
        let held = self.held.iter().map(|h| (h.pool.vendor.clone(), h.pool.feature.clone()));
        let kept = self.kept.iter().map(|k| (k.pool.vendor.clone(), k.pool.feature.clone()));
        let mut all: Vec<_> = licenses.chain(held).chain(kept).collect();
        all.sort();
        all.dedup();
        all
    }

    /// When a request key was spent, if it is still remembered.
    pub fn is_spent(&self, key: u64) -> bool {
        self.spent.iter().any(|(k, at)| *k == key && self.tick < at + HOUR)
    }
}
