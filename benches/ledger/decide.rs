//! One checkout and its checkin in the ledger alone: does it cost more with more licenses, or more sessions?

use std::sync::Arc;
use std::time::Instant;

use seats::catalog::Catalog;
use seats::change::Change;
use seats::ledger::{CheckoutOutcome, ConnectionId, Ledger, Now, Patience, State};
use seats::request::NameRules;
use seats::wall::WallClock;
use serde_json::json;

use crate::common::licenses::write;
use crate::common::sessions::{DAY, PROGRAMS, checkout, facts, loader};
use crate::common::{Random, Result, directory, hundredths, median, spread};
use crate::{Scale, say};

/// Checkouts and checkins of one round.
const ROUND: usize = 20_000;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let sizes: &[(usize, usize)] = if scale.is_short {
        &[(200, 0), (200, 10_000), (1_000, 0)]
    } else {
        &[(200, 0), (200, 100_000), (200, 1_000_000), (10_000, 0), (100_000, 0), (100_000, 1_000_000)]
    };
    let mut smallest = None;
    for (features, sessions) in sizes {
        let home = directory()?;
        let licenses = write(home.path(), *features, 10_000_000, None)?;
        let set = loader(&licenses)?.load()?;
        let mut bench = Bench::new(Arc::new(Catalog::new(set.licenses)), *features);
        for _ in 0..*sessions {
            bench.take_seat();
        }
        let mut nanos = Vec::new();
        for _ in 0..scale.rounds.max(3) * 3 {
            let begun = Instant::now();
            for _ in 0..ROUND {
                let session = bench.take_seat();
                bench.give_back(session);
            }
            nanos.push(begun.elapsed().as_nanos() as f64 / ROUND as f64);
        }
        let median = median(&nanos);
        let smallest = *smallest.get_or_insert(median);
        say(&json!({
            "bench": "decide", "features": features, "sessions": sessions, "n": nanos.len() * ROUND,
            "ns_checkout_and_checkin": median.round(), "spread": spread(&nanos), "of_smallest": hundredths(median / smallest),
        }))?;
    }
    Ok(())
}

struct Bench {
    ledger: Ledger,
    keys: Random,
    facts: Vec<Arc<seats::request::Facts>>,
    features: usize,
    now: Now,
}

impl Bench {
    fn new(catalog: Arc<Catalog>, features: usize) -> Bench {
        let now = Now { tick: 1, day: DAY, clock: WallClock::Trusted };
        let mut ledger =
            Ledger::new(State::default(), 1, Patience::with_lease(3_600_000), NameRules::default());
        ledger.replace_catalog(catalog, DAY);
        while !ledger.is_complete() {
            if let (Some(change), _) = ledger.sweep(1_000, DAY) {
                ledger.apply(1, &change.into_change());
            }
        }
        Bench { ledger, keys: Random(3), facts: (0..PROGRAMS).map(facts).collect(), features, now }
    }

    fn take_seat(&mut self) -> seats::change::SessionId {
        // An hour passes every 100,000 checkouts: keys of bundles that are gone are forgotten as they would be.
        self.now.tick += 36;
        let feature = (self.keys.number() % self.features as u64) as usize;
        let program = (self.keys.number() % self.facts.len() as u64) as usize;
        let request = checkout(&mut self.keys, feature, self.facts[program].clone());
        match self.ledger.decide_checkout(&request, self.now) {
            Ok(CheckoutOutcome::Grant { granted, .. }) => {
                let bundle = granted.bundle;
                self.ledger.apply(self.now.tick, &Change::Granted(granted));
                self.ledger.attach(bundle, connection(program), self.now.tick);
                bundle
            }
            other => panic!("a checkout was not granted: {other:?}"),
        }
    }

    fn give_back(&mut self, session: seats::change::SessionId) {
        let on = self.ledger.presence().connection_of(session).expect("it was just attached");
        let outcome = self.ledger.decide_checkin(session, None, on, self.now).expect("it is held");
        outcome.changes.iter().for_each(|change| self.ledger.apply(self.now.tick, change));
    }
}

fn connection(program: usize) -> ConnectionId {
    ConnectionId(program as u64 + 1)
}
