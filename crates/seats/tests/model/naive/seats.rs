//! Seats of one pool that are there and not kept for others, and whose sessions make room: S51, L62, L63, the end of S3.

use super::counting::Names;
use super::judge::{Ask, Denied, terms};
use super::{Held, Naive, Pool, PoolKey, Program, UNLIMITED, same};

impl Naive {
    /// Ends sessions one after the other until there is enough, but none of whose seats some would stay held, and in the
    /// end none that was not needed. `None`: there is never enough.
    pub(super) fn ending_some(
        &self,
        candidates: &[u64],
        is_enough: &dyn Fn(&Naive) -> bool,
    ) -> Option<Naive> {
        let mut ended: Vec<u64> = Vec::new();
        for candidate in candidates {
            if self.without(&ended).is_some_and(|after| is_enough(&after)) {
                break;
            }
            ended.push(*candidate);
            if self.without(&ended).is_none() {
                ended.pop();
            }
        }
        if !self.without(&ended).is_some_and(|after| is_enough(&after)) {
            return None;
        }
        for session in ended.clone() {
            let rest: Vec<u64> = ended.iter().copied().filter(|s| *s != session).collect();
            if self.without(&rest).is_some_and(|after| is_enough(&after)) {
                ended = rest;
            }
        }
        self.without(&ended)
    }

    /// Everything without some sessions; `None`: seats of theirs would stay held.
    fn without(&self, sessions: &[u64]) -> Option<Naive> {
        let mut after = self.clone();
        for session in sessions {
            let sign = after.last_sign(after.find(*session).expect("it is there"));
            after.give_back(*session, None, self.tick, sign);
        }
        (after.kept.len() == self.kept.len()).then_some(after)
    }

    /// S3's last test: seats of one pool that are there, and not kept for others.
    pub(super) fn find_seats(&self, pool: &Pool, new: Held, ask: &Ask<'_>) -> Result<Naive, Denied> {
        let deny = |code| Denied { code, ..Denied::default() };
        let mut after = self.with(&new);
        let adds = after.used(&pool.key) - self.used(&pool.key);
        if adds == 0 {
            return Ok(after);
        }
        let soft = pool.license.as_ref().and_then(|l| l.soft);
        let is_soft = soft.is_some_and(|soft| after.used(&pool.key) > soft);
        after.held.last_mut().expect("the new one").is_soft = is_soft;
        after.use_kept(&pool.key, &new.program, adds);
        let own = self.kept_in(&pool.key) - after.kept_in(&pool.key);
        if pool.total != UNLIMITED && after.used(&pool.key) + after.kept_in(&pool.key) > pool.total {
            return Err(deny("no_seats"));
        }
        // L62: seats held for this very client are given at once.
        if own == adds {
            return Ok(after);
        }
        if let Some(code) = self.leaves_named(pool, adds, own, ask) {
            return Err(deny(code));
        }
        if self.leaves_reservations(pool, adds, own, ask) {
            Ok(after)
        } else {
            Err(deny("reserved_for_others"))
        }
    }

    /// The same, after sessions of the pool are ended where it is full: as few as needed, those first whose clients are
    /// gone for longest, then those that idle for longest.
    pub(super) fn find_seats_of_others(
        &self,
        pool: &Pool,
        new: Held,
        ask: &Ask<'_>,
    ) -> Result<Naive, Denied> {
        let mut gone: Vec<(u64, u64, u64)> = Vec::new();
        // What this very request takes is no suspect.
        for held in
            self.held.iter().filter(|h| self.takes_from_gone && h.pool == pool.key && h.key != new.key)
        {
            if let Some(since) = self.gone(held).filter(|g| g.free_at <= self.tick).map(|g| g.since) {
                gone.push((since, held.session, held.needed_by.unwrap_or(held.session)));
            }
        }
        gone.sort_unstable();
        let idle = self.giving.iter().copied();
        let idle = idle.filter(|session| self.find(*session).is_some_and(|h| h.pool == pool.key));
        let mut here: Vec<u64> = Vec::new();
        for session in gone.into_iter().map(|(_, _, root)| root).chain(idle) {
            if !here.contains(&session) {
                here.push(session);
            }
        }
        let has_room = |after: &Naive| {
            let before = after.used(&pool.key);
            let mut with = after.with(&new);
            with.use_kept(&pool.key, &new.program, with.used(&pool.key) - before);
            with.used(&pool.key) + with.kept_in(&pool.key) <= pool.total
        };
        match self.ending_some(&here, &has_room) {
            Some(after) => after.find_seats(pool, new, ask),
            None => Err(Denied { code: "no_seats", ..Denied::default() }),
        }
    }

    /// L62: held seats of the same client are used first, those first that would be free first.
    fn use_kept(&mut self, pool: &PoolKey, program: &Program, mut count: u64) {
        let tick = self.tick;
        let mut own: Vec<_> = self.kept.iter_mut().collect();
        own.retain(|k| k.pool == *pool && k.until > tick && k.program.is_client(program));
        own.sort_by_key(|k| k.until);
        for kept in own {
            let used = kept.count.min(count);
            kept.count -= used;
            count -= used;
        }
        self.kept.retain(|k| k.count > 0);
    }

    /// S51: after it, enough is left over the pools that this program could use for what is kept for others.
    fn leaves_reservations(&self, pool: &Pool, adds: u64, own: u64, ask: &Ask<'_>) -> bool {
        let program = &ask.request.program;
        let reserved = self.reservations(&ask.vendor, &ask.feature, program, ask.booking());
        let for_others: u64 = reserved.iter().filter(|r| !r.is_own).map(|r| r.left).sum();
        if for_others == 0 {
            return true;
        }
        let needed = ask.token.as_ref().map(|need| need.version);
        let mut there: u64 = 0;
        for mine in self.pools_with_seats(&ask.vendor, &ask.feature) {
            let license = mine.license.as_ref().expect("it grants today");
            if terms(license, program, needed).is_some() {
                continue;
            }
            let total = self.certain(&mine);
            if total == UNLIMITED {
                return true;
            }
            // A pool that is over its total has none for anybody, and takes none of the others'.
            let own = if mine.key == pool.key { own } else { 0 };
            there += total.saturating_sub(self.used(&mine.key) + self.kept_in(&mine.key) - own);
        }
        there >= adds + for_others
    }

    /// L63: seats for named users or hosts are used only through reservations that name some.
    fn leaves_named(&self, pool: &Pool, adds: u64, own: u64, ask: &Ask<'_>) -> Option<&'static str> {
        let (users, hosts) = Naive::based(pool);
        let named = pool.total.min(users.saturating_add(hosts));
        if named == 0 || (pool.total == UNLIMITED && named != UNLIMITED) {
            return None;
        }
        let program = &ask.request.program;
        let mut of = self.reservations(&ask.vendor, &ask.feature, program, ask.booking());
        of.retain(|r| {
            (r.names == Some(Names::Users) && users > 0) || (r.names == Some(Names::Hosts) && hosts > 0)
        });
        let through: u64 = of.iter().map(|r| self.used_through(&pool.key, &r.whom).min(r.seats)).sum();
        // Whoever is named twice has one seat all the same.
        let through = through.min(self.used_by_any(&pool.key, &of));
        let room: u64 = of.iter().filter(|r| r.is_own).map(|r| r.left).sum();
        let open = i128::from(self.used(&pool.key)) + i128::from(self.kept_in(&pool.key) - own)
            - i128::from(through.min(named).min(self.used(&pool.key)))
            + i128::from(adds.saturating_sub(room));
        if open <= i128::from(pool.total - named) {
            None
        } else if of.iter().any(|r| r.is_own) {
            Some("reserved_for_others")
        } else {
            Some("not_named")
        }
    }

    /// S52: seats may be booked as far as they are free.
    pub fn judge_book(&self, feature: &str, count: u64) -> Option<&'static str> {
        let mut vendors: Vec<String> = Vec::new();
        for sold in self.licenses.iter().filter(|s| same(&s.feature, feature) && !s.is_refused) {
            if !vendors.contains(&sold.vendor.to_lowercase()) {
                vendors.push(sold.vendor.to_lowercase());
            }
        }
        let vendor = match &vendors[..] {
            [] => return Some("unknown_feature"),
            [vendor] => vendor,
            _ => return Some("ambiguous_vendor"),
        };
        let mut free: u64 = 0;
        for pool in self.pools_with_seats(vendor, feature) {
            free = free.saturating_add(self.numbers_of(&pool.key).free);
        }
        (free < count).then_some("no_seats")
    }
}
