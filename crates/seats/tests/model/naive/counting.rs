//! How seats add up: L39, L60 to L63, S6, S50 to S52. One definition of "seats used by these sessions" serves all.

use super::policy::Whose;
use super::{Based, Held, Naive, Pool, PoolKey, Program, ShareKey, UNLIMITED, Which};

/// How the seats of a pool, or of all pools of a feature, add up (S6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub total: u64,
    pub used: u64,
    pub suspect: u64,
    pub held: u64,
    pub reserved: u64,
    pub free: u64,
    pub over: u64,
}

/// A reservation or a booking: how many of its seats exist, and how many of those are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub names: Option<Names>,
    /// As far as seats exist (S51).
    pub seats: u64,
    /// The part of it kept free.
    pub left: u64,
    /// Whether it is for the program that asks.
    pub is_own: bool,
    pub whom: Whom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Rule(super::Who),
    Booking(u64),
}

/// Whether a reservation names users or hosts (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Users,
    Hosts,
}

/// L60: the seats that a set of sessions uses: of each share group the largest count, of the others each.
pub fn seats(set: &[&Held]) -> u64 {
    let mut sum = 0;
    for (at, held) in set.iter().enumerate() {
        let is_fellow =
            |other: &&&Held| held.share.is_some() && other.share == held.share && other.pool == held.pool;
        let Some(_) = &held.share else {
            sum += held.count;
            continue;
        };
        // The group counts where its first member stands.
        if set[..at].iter().any(|other| is_fellow(&other)) {
            continue;
        }
        sum += set.iter().filter(is_fellow).map(|h| h.count).max().unwrap_or(0);
    }
    sum
}

impl Naive {
    fn of_pool(&self, pool: &PoolKey) -> Vec<&Held> {
        self.held.iter().filter(|h| h.pool == *pool).collect()
    }

    fn of_feature(&self, vendor: &str, feature: &str) -> Vec<&Held> {
        self.held.iter().filter(|h| h.pool.is_of(vendor, feature)).collect()
    }

    pub fn used(&self, pool: &PoolKey) -> u64 {
        seats(&self.of_pool(pool))
    }

    pub fn active(&self, pool: &PoolKey) -> u64 {
        let mut set = self.of_pool(pool);
        set.retain(|h| h.on.is_some());
        seats(&set)
    }

    /// Seats given back and not yet free.
    pub fn kept_in(&self, pool: &PoolKey) -> u64 {
        self.kept.iter().filter(|k| k.pool == *pool && k.until > self.tick).map(|k| k.count).sum()
    }

    /// Those of one client.
    pub fn kept_for(&self, pool: &PoolKey, program: &Program) -> u64 {
        let own = self.kept.iter().filter(|k| k.program.is_client(program));
        own.filter(|k| k.pool == *pool && k.until > self.tick).map(|k| k.count).sum()
    }

    /// L60: what a session granted now shares by.
    pub fn share_key(&self, pool: &Pool, program: &Program) -> Option<ShareKey> {
        let share = pool.license.as_ref()?.share;
        if !share.is_any() || (share.custom && program.share.is_none()) {
            return None;
        }
        Some(ShareKey {
            host: share.host.then(|| super::folded_host(&program.host)),
            user: share.user.then(|| super::folded_user(&program.user)),
            custom: if share.custom { program.share.clone() } else { None },
            token: None,
        })
    }

    /// Seats of a feature, in all its pools, that count for somebody.
    pub fn seats_of(&self, vendor: &str, feature: &str, whose: &Whose) -> u64 {
        let mut set = self.of_feature(vendor, feature);
        set.retain(|h| self.policy.counts_for(whose, &h.program));
        seats(&set)
    }

    fn is_for(&self, whom: &Whom, program: &Program, booking: Option<u64>) -> bool {
        match whom {
            Whom::Rule(who) => self.policy.is_for(who, program),
            Whom::Booking(token) => booking == Some(*token),
        }
    }

    /// The reservations of a feature in file order, then its bookings: a reservation larger than what is left of the
    /// total is honored as far as seats exist; seats held by those named count against it first (S51).
    pub fn reservations(
        &self,
        vendor: &str,
        feature: &str,
        asks: &Program,
        booking: Option<u64>,
    ) -> Vec<Reserved> {
        // In the order of the file each gets what is left; nothing is ever short where a pool has no end.
        let mut rest: u64 = 0;
        for pool in self.pools_with_seats(vendor, feature) {
            rest = rest.saturating_add(pool.total);
        }
        let mut named: Vec<(u64, Whom, Option<Names>)> = Vec::new();
        for (count, who) in self.policy.reservations(vendor, feature) {
            let names = if self.policy.names_users(&who) {
                Some(Names::Users)
            } else if self.policy.names_hosts(&who) {
                Some(Names::Hosts)
            } else {
                None
            };
            named.push((count, Whom::Rule(who), names));
        }
        for booked in &self.bookings {
            if PoolKey::new(vendor, feature, Which::Exclusive).is_of(&booked.vendor, &booked.feature)
                && booked.until > self.tick
            {
                named.push((booked.count, Whom::Booking(booked.token), None));
            }
        }
        let mut all = Vec::new();
        for (count, whom, names) in named {
            let exist = count.min(rest);
            if rest != UNLIMITED {
                rest -= exist;
            }
            let mut set = self.of_feature(vendor, feature);
            set.retain(|h| self.is_for(&whom, &h.program, h.booking));
            let left = exist.saturating_sub(seats(&set));
            all.push(Reserved { names, seats: exist, left, is_own: self.is_for(&whom, asks, booking), whom });
        }
        all
    }

    /// L63: how many of a pool's seats are for named users and for named hosts.
    pub fn based(pool: &Pool) -> (u64, u64) {
        let count = |based: Option<Based>| match based {
            None => 0,
            Some(Based::All) => pool.total,
            Some(Based::Seats(n)) => n,
        };
        pool.license.as_ref().map_or((0, 0), |l| (count(l.user_based), count(l.host_based)))
    }

    /// Seats of a pool used by those a reservation is for.
    pub fn used_through(&self, pool: &PoolKey, whom: &Whom) -> u64 {
        let mut set = self.of_pool(pool);
        set.retain(|h| self.is_for(whom, &h.program, h.booking));
        seats(&set)
    }

    /// Seats of a pool used by those for whom any of some reservations is.
    pub fn used_by_any(&self, pool: &PoolKey, reservations: &[Reserved]) -> u64 {
        let mut set = self.of_pool(pool);
        set.retain(|h| reservations.iter().any(|r| self.is_for(&r.whom, &h.program, h.booking)));
        seats(&set)
    }

    /// What of a feature is kept and unused: of reservations and bookings, and named seats that no reservation covers.
    fn kept_free(&self, vendor: &str, feature: &str) -> u64 {
        let reserved = self.reservations(vendor, feature, &Program::default(), None);
        let mut kept: u64 = reserved.iter().map(|r| r.left).sum();
        for names in [Names::Users, Names::Hosts] {
            let mut named: u64 = 0;
            for pool in self.pools_with_seats(vendor, feature) {
                let (users, hosts) = Naive::based(&pool);
                let count = if names == Names::Users { users } else { hosts };
                // A pool without end keeps nothing back.
                named += if pool.total == UNLIMITED { 0 } else { count };
            }
            let covered = reserved.iter().filter(|r| r.names == Some(names)).map(|r| r.seats).sum();
            kept += named.saturating_sub(covered);
        }
        kept
    }

    /// S6 for one pool. What is kept of the whole feature is shown at the first pools that have room for it.
    pub fn numbers_of(&self, key: &PoolKey) -> Numbers {
        let mut kept = self.kept_free(&key.vendor, &key.feature);
        for pool in self.pools_with_seats(&key.vendor, &key.feature) {
            let (used, held) = (self.used(&pool.key), self.kept_in(&pool.key));
            let room = if pool.total == UNLIMITED { 0 } else { pool.total.saturating_sub(used + held) };
            if pool.key == *key {
                return added_up(pool.total, used, used - self.active(key), held, kept.min(room));
            }
            kept -= kept.min(room);
        }
        let (used, held) = (self.used(key), self.kept_in(key));
        added_up(self.pool(key).total, used, used - self.active(key), held, 0)
    }

    /// S6 for a feature: the sum over its pools with seats, those that stand alone included.
    pub fn numbers(&self, vendor: &str, feature: &str) -> Numbers {
        let mut sum = Numbers::default();
        for key in self.pools_there_are(vendor, feature) {
            if key.which == Which::Token {
                continue;
            }
            let of = self.numbers_of(&key);
            sum.total = sum.total.saturating_add(of.total);
            sum.used += of.used;
            sum.suspect += of.suspect;
            sum.held += of.held;
            sum.reserved += of.reserved;
            sum.free = sum.free.saturating_add(of.free);
            sum.over += of.over;
        }
        sum
    }

    /// Every pool that grants today, or of which there is a session or a held seat.
    pub fn pools_there_are(&self, vendor: &str, feature: &str) -> Vec<PoolKey> {
        let mut keys: Vec<PoolKey> =
            self.of_feature(vendor, feature).iter().map(|h| h.pool.clone()).collect();
        keys.extend(self.kept.iter().map(|k| k.pool.clone()).filter(|k| k.is_of(vendor, feature)));
        keys.extend(self.pools(vendor, feature).into_iter().filter(|p| p.license.is_some()).map(|p| p.key));
        keys.sort();
        keys.dedup();
        keys
    }
}

/// S6; what is reserved is never more than is there.
pub fn added_up(total: u64, used: u64, suspect: u64, held: u64, reserved: u64) -> Numbers {
    let rest = total.saturating_sub(used + held);
    let reserved = reserved.min(rest);
    let (free, over) = if total == UNLIMITED {
        (UNLIMITED, 0)
    } else {
        (rest - reserved, (used + held).saturating_sub(total))
    };
    Numbers { total, used, suspect, held, reserved, free, over }
}
