//! Idle seats that somebody needs: whose client is to be warned, and who has been (S50, `idle D when wanted`).

use alloc::vec::Vec;

use super::super::{IDLE_WARNING_MS, IdleMs, Ledger, Now};
use crate::change::{PoolId, SessionId};
use crate::request::Checkout;

/// How many sessions are looked at for one refused checkout: the rest is looked at by the next.
const LOOKED_AT: usize = 4_096;

/// The idle sessions of the pools that a refused checkout asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdleSessions {
    /// Warned long enough ago and still idle: these may be given away, longest idle first.
    pub ready: Vec<SessionId>,
    /// To be warned now.
    pub to_warn: Vec<SessionId>,
    /// Warned before, and active since: the warning is void.
    pub woken: Vec<SessionId>,
    /// Milliseconds until the first that was warned, or is to be, may be given away.
    pub due_ms: Option<u64>,
}

impl Ledger {
    /// The sessions that idle longer than the policy lets them in the pools of a checkout that was refused for want of
    /// seats.
    pub fn idle_sessions(&self, request: &Checkout, now: Now, idle: IdleMs<'_>) -> IdleSessions {
        let mut found = IdleSessions::default();
        if self.usage.policy.is_open() {
            return found;
        }
        let mut ready: Vec<(u64, SessionId)> = Vec::new();
        for item in &request.items {
            let (first, same_name) = self.terms.catalog().find(&item.feature);
            for (nth, feature) in same_name.iter().enumerate() {
                let rules = self.usage.policy.of(&feature.vendor, &feature.feature);
                if !rules.has_idle() {
                    continue;
                }
                for (pool, _) in self.seat_pools(first + nth) {
                    self.look_at(pool, now, idle, &mut found, &mut ready);
                }
            }
        }
        // A request may name a feature twice, and its pools are looked at twice then.
        ready.sort_unstable();
        ready.dedup();
        found.ready = ready.into_iter().map(|(_, session)| session).collect();
        for sessions in [&mut found.to_warn, &mut found.woken] {
            sessions.sort_unstable();
            sessions.dedup();
        }
        found
    }

    fn look_at(
        &self,
        pool: PoolId,
        now: Now,
        idle: IdleMs<'_>,
        found: &mut IdleSessions,
        ready: &mut Vec<(u64, SessionId)>,
    ) {
        for session in self.state.sessions_of(pool).take(LOOKED_AT) {
            let Some(((id, bundle), part)) = self.state.session(session) else { continue };
            // What a token took goes with the token.
            let idle_ms = self.presence.connection_of(id).and_then(idle).filter(|_| part.token().is_none());
            let Some(idle_ms) = idle_ms else { continue };
            let Some(there) = self.state.pool(pool) else { continue };
            let class = self.usage.class(&bundle.facts);
            let Some((_, idle_max)) = self.usage.policy.of(&there.vendor, &there.feature).idle(&class) else {
                continue;
            };
            let warned = self.presence.warned_at(session);
            let is_awake = |at: u64| idle_ms < now.tick.saturating_sub(at);
            if warned.is_some_and(is_awake) {
                found.woken.push(session);
            }
            if idle_ms < idle_max {
                continue;
            }
            let ready_at = match warned.filter(|at| !is_awake(*at)) {
                Some(at) => at.saturating_add(IDLE_WARNING_MS),
                None => {
                    found.to_warn.push(session);
                    now.tick.saturating_add(IDLE_WARNING_MS)
                }
            };
            if ready_at <= now.tick {
                // The longest idle first.
                ready.push((u64::MAX - idle_ms, session));
            } else {
                let due = ready_at - now.tick;
                found.due_ms = Some(found.due_ms.map_or(due, |before| before.min(due)));
            }
        }
    }
}
