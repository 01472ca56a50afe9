//! What limits, reservations and HOLD count: seats by subject, worked out from the sessions (S50, S51, L62).
//!
//! Nothing here is durable: it is made anew from the state at start and whenever the policy changes, in slices, while
//! the policy before stays in force. Only what some rule needs is counted; without a policy nothing is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::state::{Session, State};
use super::tally::Tally;
use crate::change::{BookingId, BundleId, PoolId, SessionId};
use crate::license::Name;
use crate::policy::{Class, Named, Policy, Subject};
use crate::request::{Facts, NameRules};

/// Whose seats are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counted {
    /// A subject of the policy.
    Subject(Subject),
    /// A user on a host, where a license says HOLD (L62).
    Client(Arc<str>),
    /// The sessions that draw on a booking (S52).
    Booking(BookingId),
    /// All whom any reservation of these kinds is for, each once (L63).
    Named(NamedKinds),
}

/// Which reservations open named seats: those that name users, hosts, or either (L63).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NamedKinds {
    /// USERBASED.
    Users,
    /// HOSTBASED.
    Hosts,
    /// Both words stand in the license.
    Either,
}

/// The seats of one subject in one pool.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// As they add up.
    pub(super) tally: Tally,
    /// Whose they are: what may be reclaimed for a limit is found here (S3).
    pub(super) sessions: BTreeSet<SessionId>,
}

/// A policy, and what its rules count.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) policy: Arc<Policy>,
    names: NameRules,
    entries: BTreeMap<PoolId, BTreeMap<Counted, Entry>>,
    /// Features that have a license with HOLD: their clients are counted.
    with_hold: BTreeSet<(Name, Name)>,
    /// Bundles below this number are counted; the others will be when the sweep comes to them.
    counted_to: BundleId,
}

/// User and host as they are compared, in one string that no other pair gives.
pub(super) fn client(names: NameRules, facts: &Facts) -> Arc<str> {
    client_of(&names.fold_user(&facts.user), &names.fold_host(&facts.host))
}

pub(super) fn client_of(user: &str, host: &str) -> Arc<str> {
    // Neither holds a control character (S1).
    alloc::format!("{user}\0{host}").into()
}

impl Usage {
    /// Nothing is counted yet.
    pub(super) fn new(policy: Arc<Policy>, names: NameRules, with_hold: BTreeSet<(Name, Name)>) -> Usage {
        Usage { policy, names, entries: BTreeMap::new(), with_hold, counted_to: SessionId(0) }
    }

    /// The features whose clients are counted.
    pub(super) fn with_hold(&self) -> &BTreeSet<(Name, Name)> {
        &self.with_hold
    }

    /// Counts bundles not yet counted, at most about `budget` of them; `true`: all are.
    pub(super) fn count_more(&mut self, state: &State, budget: usize) -> bool {
        let bundles: Vec<BundleId> = state
            .bundles_between(self.counted_to, SessionId(u64::MAX))
            .take(budget)
            .map(|(id, _)| id)
            .collect();
        let is_done = bundles.len() < budget;
        for id in bundles {
            let Some(bundle) = state.bundle(id) else { continue };
            self.counted_to = SessionId(id.0 + 1);
            for session in bundle.sessions() {
                self.change(state, id, &bundle.facts, session, Some(session.count), 0);
            }
        }
        if is_done {
            self.counted_to = SessionId(u64::MAX);
        }
        is_done
    }

    /// Frees some of what is counted, at most about `budget` subjects; `true`: nothing is left.
    pub(super) fn free(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            let Some(mut of_pool) = self.entries.first_entry() else { return true };
            if of_pool.get_mut().pop_first().is_none() {
                of_pool.remove();
            }
        }
        self.entries.is_empty()
    }

    /// A session of a bundle has `after` seats now and had `before`; `None`: it has none any more, or had none before.
    /// `session` says the rest, which is the same before and after.
    pub(super) fn change(
        &mut self,
        state: &State,
        bundle: BundleId,
        facts: &Facts,
        session: &Session,
        after: Option<u32>,
        before: u32,
    ) {
        // What the sweep has not come to yet, it counts when it does.
        let is_nothing = self.policy.is_open() && self.with_hold.is_empty() && session.booking().is_none();
        if is_nothing || bundle >= self.counted_to {
            return;
        }
        let Some(pool) = state.pool(session.pool) else {
            // Its last session is gone, and with it the pool.
            self.entries.remove(&session.pool);
            return;
        };
        let (vendor, feature) = (pool.vendor.clone(), pool.feature.clone());
        let number = SessionId(bundle.0 + u64::from(session.nth));
        for counted in self.counted(&vendor, &feature, facts, session.booking()) {
            let of_pool = self.entries.entry(session.pool).or_default();
            let entry = of_pool.entry(counted.clone()).or_default();
            if let Some(count) = after.filter(|count| *count > 0) {
                entry.tally.add(session.share(), count);
                entry.sessions.insert(number);
            } else {
                entry.sessions.remove(&number);
            }
            if before > 0 {
                entry.tally.remove(session.share(), before);
            }
            if entry.sessions.is_empty() {
                of_pool.remove(&counted);
                if of_pool.is_empty() {
                    self.entries.remove(&session.pool);
                }
            }
        }
    }

    /// Everything a session of these facts counts towards.
    pub(super) fn counted(
        &self,
        vendor: &Name,
        feature: &Name,
        facts: &Facts,
        booking: Option<BookingId>,
    ) -> Vec<Counted> {
        let mut counted: Vec<Counted> = Vec::new();
        if !self.policy.is_open() {
            let rules = self.policy.of(vendor, feature);
            if !rules.is_open() {
                let subjects = rules.counted(&self.policy.class(facts));
                counted.extend(self.named_kinds(&subjects).map(Counted::Named));
                counted.extend(subjects.into_iter().map(Counted::Subject));
            }
        }
        if !self.with_hold.is_empty() && self.with_hold.contains(&(feature.clone(), vendor.clone())) {
            counted.push(Counted::Client(client(self.names, facts)));
        }
        counted.extend(booking.map(Counted::Booking));
        counted
    }

    /// The kinds of reservations that are among these subjects.
    fn named_kinds(&self, subjects: &[Subject]) -> impl Iterator<Item = NamedKinds> {
        let has = |named| {
            subjects.iter().any(|subject| match subject {
                Subject::Reservation(rule) => self.policy.named(*rule) == named,
                _ => false,
            })
        };
        let (users, hosts) = (has(Named::Users), has(Named::Hosts));
        let kinds =
            [(users, NamedKinds::Users), (hosts, NamedKinds::Hosts), (users || hosts, NamedKinds::Either)];
        kinds.into_iter().filter(|(has, _)| *has).map(|(_, kind)| kind)
    }

    /// What is counted for a subject in a pool.
    pub(super) fn entry(&self, pool: PoolId, of: &Counted) -> Option<&Entry> {
        self.entries.get(&pool)?.get(of)
    }

    /// Whom a request is from.
    pub(super) fn class(&self, facts: &Facts) -> Class {
        if self.policy.is_open() { Class::default() } else { self.policy.class(facts) }
    }

    /// From now on the clients of a feature are counted: those there are, at once. Happens once, when a license with HOLD
    /// is first loaded.
    pub(super) fn begin_hold(&mut self, vendor: &Name, feature: &Name, state: &State) {
        if !self.with_hold.insert((feature.clone(), vendor.clone())) {
            return;
        }
        for (_, pool) in state.pools_of(vendor, feature) {
            for number in state.sessions_of(*pool) {
                let Some(((bundle_id, bundle), session)) = state.session(number) else { continue };
                if bundle_id < self.counted_to {
                    let of = Counted::Client(client(self.names, &bundle.facts));
                    let entry = self.entries.entry(*pool).or_default().entry(of).or_default();
                    entry.tally.add(session.share(), session.count);
                    entry.sessions.insert(number);
                }
            }
        }
    }
}
