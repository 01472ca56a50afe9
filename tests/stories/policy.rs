//! The verbs of the stories that are about the policy: its text, what it would say, bookings, idle programs.

use std::sync::Arc;

use seats::denial::RuleFact;
use seats::ledger::{BookRequest, Verdict};
use seats::policy::{Access, Policy};
use seats::request::{Item, NameRules};

use crate::driver::{facts, half_hash};
use crate::shown::{denied, kind_name, numbers};
use crate::world::{Answer, World, milliseconds};

impl World {
    /// Reads the lines below as the daemon reads its file. One with a fault changes nothing (S50).
    pub(crate) fn policy(&mut self, body: &[String]) -> Answer {
        match seatkeeper::policy::read("policy.toml", &body.join("\n")) {
            Ok(rules) => {
                self.server.rules(Arc::new(Policy::new(rules, NameRules::default())));
                Ok(Vec::new())
            }
            Err(faults) => Ok(faults.iter().map(ToString::to_string).collect()),
        }
    }

    /// What would happen to somebody, without a checkout (S53).
    pub(crate) fn why(&mut self, who: &str, rest: &[&str]) -> Answer {
        let request = self.request(who, rest)?;
        let [item] = &request.items[..] else { return Err("a question is about one feature".into()) };
        self.server.free_due();
        self.server.refresh([&*item.feature]);
        let why = self.server.ledger.explain(item, &request.facts, self.server.now);
        let mut answer = match &why.verdict {
            Verdict::Granted(_, true) => vec!["would be granted, above the soft limit".to_string()],
            Verdict::Granted(_, false) => vec!["would be granted".to_string()],
            Verdict::Denied(denial) => {
                let mut lines = denied(denial);
                // The pools and the holders follow below.
                lines.truncate(1);
                lines
            }
        };
        answer.push(match &why.access {
            (Access::Allow, None) => "  access: no rule, so allowed".to_string(),
            (_, Some(rule)) => format!("  access: {}", place(rule)),
            (Access::Deny, None) => "  access: denied without a rule".to_string(),
        });
        for limit in &why.limits {
            let (whose, used, seats) = (&limit.whose, limit.used, limit.seats);
            answer.push(format!("  limit: {whose} has {used} of {seats}; {}", place(&limit.rule)));
        }
        for kept in &why.reservations {
            let whose = if kept.is_meant { "meant" } else { "not meant" };
            let rule = kept.rule.as_ref().map_or_else(|| "a booking".to_string(), place);
            let (honored, seats, used) = (kept.honored, kept.seats, kept.used);
            answer.push(format!("  kept: {honored} of {seats}, {used} in use, {whose}; {rule}"));
        }
        for pool in &why.pools {
            let verdict = match &pool.failure {
                None => "a seat for this one".to_string(),
                Some((code, text)) => format!("{code}: {text}"),
            };
            answer.push(format!("  {}, {}: {verdict}", kind_name(&pool.kind), numbers(&pool.numbers)));
        }
        for holder in &why.holders {
            answer.push(format!("  has seats: {}@{} {}", holder.user, holder.host, holder.count));
        }
        for held in &why.holds {
            answer.push(format!("  held: {} for {}@{}", held.seats, held.user, held.host));
        }
        Ok(answer)
    }

    /// `book ann cad 3 for 10m job7`; several features: `book ann cad 3 cam 1 for 10m job7`.
    pub(crate) fn book(&mut self, who: &str, what: &[&str], time: &str, token: &str) -> Answer {
        let (user, host) = who.split_once('@').unwrap_or((who, "ws"));
        let item = |words: &[&str]| {
            let [feature, count] = *words else { return Err("name a feature and a count".to_string()) };
            let count = count.parse().map_err(|_| format!("{count} is no number"))?;
            Ok(Item { vendor: None, feature: feature.into(), count })
        };
        let items: Vec<Item> = what.chunks(2).map(item).collect::<Result<_, _>>()?;
        let booked = self.server.book(&BookRequest {
            items: &items,
            token: half_hash(&token),
            ms: milliseconds(time)?,
            facts: &facts(user, host),
        });
        Ok(match booked {
            Ok(()) => {
                let of: Vec<String> = items.iter().map(|i| format!("{} of {}", i.count, i.feature)).collect();
                vec![format!("booked: {} for {time}", of.join(", "))]
            }
            Err(denial) => denied(&denial),
        })
    }

    pub(crate) fn unbook(&mut self, token: &str) -> Answer {
        Ok(match self.server.unbook(&half_hash(&token)) {
            Ok(()) => Vec::new(),
            Err(denial) => denied(&denial),
        })
    }

    /// The program of somebody reports that nobody has touched it for so long.
    pub(crate) fn idle(&mut self, who: &str, time: &str) -> Answer {
        let idle_ms = milliseconds(time)?;
        let connection = self.client(who)?.connection.ok_or("it has no connection")?;
        self.server.beat(connection, Some(idle_ms));
        Ok(Vec::new())
    }
}

fn place(rule: &RuleFact) -> String {
    format!("{}:{}: {}", rule.file, rule.line, rule.text)
}
