//! One update check in the ledger alone (rules 3, 6.8): what does each pool of the feature add?

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use seats::catalog::Catalog;
use seats::ledger::{Candidate, Ledger, Now, Patience, State, UpdateQuestion};
use seats::request::{Item, NameRules};
use seats::wall::WallClock;
use serde_json::json;

use crate::common::licenses::write_files;
use crate::common::sessions::{DAY, loader};
use crate::common::{Result, directory, median, spread};
use crate::{Scale, say};

/// What is judged in one round, pools times versions.
const ROUND: usize = 100_000;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let pools: &[usize] = if scale.is_short { &[1, 10] } else { &[1, 2, 10, 100, 1_000] };
    for pools in pools {
        let home = directory()?;
        let text: String = (0..*pools).map(feature).collect();
        let licenses = write_files(home.path(), "updates", std::iter::once(text))?;
        let set = loader(&licenses)?.load()?;
        let now = Now { tick: 1, day: DAY, clock: WallClock::Trusted };
        let mut ledger =
            Ledger::new(State::default(), 1, Patience::with_lease(3_600_000), NameRules::default());
        ledger.replace_catalog(Arc::new(Catalog::new(set.licenses)), DAY);
        while !ledger.is_complete() {
            if let (Some(change), _) = ledger.sweep(1_000, DAY) {
                ledger.apply(1, &change.into_change());
            }
        }
        for (name, released) in [("runs", "2026-01-01"), ("refused", "2099-01-01")] {
            let question = question(released);
            let answer = ledger.check_update(&question, now).map_err(|denial| denial.message)?;
            let runs = answer.answers.first().is_some_and(|one| one.verdict.is_ok());
            assert_eq!(runs, name == "runs", "the licenses are for this");
            assert_eq!(answer.seats, Some(10 * *pools as u64), "a pool for each license");
            let n = (ROUND / pools).max(100);
            let mut nanos = Vec::new();
            for _ in 0..scale.rounds.max(3) * 3 {
                let begun = Instant::now();
                for _ in 0..n {
                    let _ = black_box(ledger.check_update(black_box(&question), now));
                }
                nanos.push(begun.elapsed().as_nanos() as f64 / n as f64);
            }
            let median = median(&nanos);
            say(&json!({
                "bench": "updates", "pools": pools, "answer": name, "n": nanos.len() * n, "ns_check": median.round(),
                "spread": spread(&nanos), "ns_a_pool": (median / *pools as f64).round(),
            }))?;
        }
    }
    Ok(())
}

/// The n-th license: the first is exclusive, every other an additive with a pool of its own. All own 1.0 and have maintenance.
fn feature(n: usize) -> String {
    let pool = match n {
        0 => String::new(),
        _ => format!("<SETTING KEYTYPE=\"ADDITIVE\"/><SETTING SN=\"{n}\"/>"),
    };
    format!(
        "<FEATURE NAME=\"cad\">{pool}<SETTING VERSION=\"1.0\"/><SETTING COUNT=\"10\"/>\
         <SETTING MAINTENANCE_END=\"2026-12-31\"/></FEATURE>\n"
    )
}

fn question(released: &str) -> UpdateQuestion {
    let candidate = Candidate { version: "1.1".into(), date: Some(released.into()), line: None };
    UpdateQuestion {
        item: Item { vendor: None, feature: "cad".into(), count: 1 },
        installed: None,
        candidates: vec![candidate],
    }
}
