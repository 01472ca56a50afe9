//! A policy of ten thousand rules and a hundred thousand users: what reading it costs at a reload, and whether a decision
//! costs more with many rules than with few.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use seatkeeper::engine::ask::Ask;
use seatkeeper::policy::read;
use seats::catalog::Catalog;
use seats::license::Name;
use seats::policy::{Access, Class, Policy};
use seats::request::{Facts, NameRules};
use serde_json::json;

use crate::common::licenses::write as write_licenses;
use crate::common::sessions::{engine, fill, loader, reading};
use crate::common::{Random, Result, directory, hundredths, median, spread, tenths};
use crate::{Scale, say};

/// Users, in groups of a hundred.
const USERS: usize = 100_000;
const GROUP: usize = 100;
/// Features that the running sessions are of.
const FEATURES: usize = 200;
/// Questions of one round.
const ROUND: usize = 20_000;

/// How the rules are spread.
#[derive(Clone, Copy)]
enum Shape {
    /// Each about a feature of its own.
    EachItsFeature,
    /// All about one feature.
    OneFeature,
    /// All about every feature.
    AllFeatures,
    /// As `OneFeature`, each for a group on a range of addresses: two things to match.
    TwoKinds,
}

const SHAPES: [(Shape, &str); 4] = [
    (Shape::EachItsFeature, "each its feature"),
    (Shape::OneFeature, "one feature"),
    (Shape::AllFeatures, "all features"),
    (Shape::TwoKinds, "one feature, groups and addresses"),
];

/// A policy file: of every four rules one denies, two limit and one reserves.
fn text(shape: Shape, rules: usize) -> Result<String> {
    let mut text = "[groups.users]\n".to_owned();
    for group in 0..USERS / GROUP {
        write!(text, "g{group} = [")?;
        for user in 0..GROUP {
            write!(text, "\"user{}\", ", group * GROUP + user)?;
        }
        text.push_str("]\n");
    }
    for rule in 0..rules {
        let group = rule % (USERS / GROUP);
        let feature = match shape {
            Shape::EachItsFeature => format!("f{rule}"),
            Shape::OneFeature | Shape::TwoKinds => "f1".to_owned(),
            Shape::AllFeatures => "*".to_owned(),
        };
        let whom = match shape {
            Shape::TwoKinds => {
                let (high, low) = (rule / 256 % 256, rule % 256);
                format!("{{ groups = [\"g{group}\"], addresses = [\"10.{high}.{low}.0/24\"] }}")
            }
            _ => format!("{{ groups = [\"g{group}\"], users = [\"guest{rule}\"] }}"),
        };
        writeln!(text, "[[rule]]\nfeature = \"{feature}\"")?;
        match rule % 4 {
            0 => writeln!(text, "deny = {whom}")?,
            1 => writeln!(text, "limit = 2\nper = \"user\"\nfor = {whom}")?,
            2 => writeln!(text, "limit = 50\nper = \"group\"\nfor = {whom}")?,
            _ => writeln!(text, "reserve = 1\nfor = {whom}")?,
        }
    }
    Ok(text)
}

fn facts(random: &mut Random) -> Facts {
    let number = random.number();
    let [a, b, c, ..] = number.to_le_bytes();
    Facts {
        install_id: [0; 16],
        user: format!("user{}", number % USERS as u64).into(),
        host: format!("ws{a}").into(),
        address: Some([10, a % 40, b, c].into()),
        platform: "linux-x86_64".into(),
        offset_minutes: 0,
        display: None,
        project: None,
        share: None,
        release_version: None,
        release_date: None,
        line_date: None,
        host_ids: Vec::new(),
    }
}

/// A policy taken over while sessions are running: how long the engine's longest step is, which is what a checkout may
/// have to wait for it.
pub(crate) fn take_over(scale: &Scale) -> Result<()> {
    let home = directory()?;
    let licenses = write_licenses(home.path(), FEATURES, 10_000_000, None)?;
    let catalog = Arc::new(Catalog::new(loader(&licenses)?.load()?.licenses));
    for sessions in if scale.is_short { &[10_000][..] } else { &[10_000, 100_000][..] } {
        let state = home.path().join(format!("state-{sessions}"));
        let (directory, mut engine) = engine(&state, catalog.clone())?;
        fill(&mut engine, *sessions, FEATURES)?;
        let text = text(Shape::AllFeatures, 10_000)?;
        let (mut longest, mut whole) = (Vec::new(), Vec::new());
        let mut retired: Vec<Arc<Policy>> = Vec::new();
        for _ in 0..scale.rounds.max(3) {
            let set = read("policy.toml", &text).map_err(|errors| format!("{errors:?}"))?;
            let policy = Arc::new(Policy::new(set, NameRules::default()));
            // As the daemon's keeper does: the one before is freed elsewhere.
            retired.push(policy.clone());
            let mut asks = vec![Ask::Policy(policy, Box::new(|()| ()))];
            let (mut worst, begun) = (0.0, Instant::now());
            loop {
                let step = Instant::now();
                engine.step(&mut asks, reading(*sessions as u64 / 100 + 1, 0))?;
                worst = f64::max(worst, step.elapsed().as_secs_f64() * 1e3);
                if !engine.has_background_work() {
                    break;
                }
            }
            whole.push(begun.elapsed().as_secs_f64() * 1e3);
            longest.push(worst);
        }
        say(&json!({
            "bench": "policy taken over", "rules": 10_000, "users": USERS, "sessions": sessions, "n": longest.len(),
            "longest_step_ms": hundredths(median(&longest)), "spread": spread(&longest),
            "whole_ms": tenths(median(&whole)),
        }))?;
        drop((engine, directory));
    }
    Ok(())
}

pub(crate) fn run(scale: &Scale) -> Result<()> {
    take_over(scale)?;
    for (shape, shown) in SHAPES {
        let mut fewest = None;
        for rules in [10, 10_000] {
            let text = text(shape, rules)?;
            let (mut reading, mut compiling) = (Vec::new(), Vec::new());
            let mut policy = Policy::open();
            for _ in 0..scale.rounds.max(3) * 3 {
                let begun = Instant::now();
                let set = read("policy.toml", &text).map_err(|errors| format!("{errors:?}"))?;
                reading.push(begun.elapsed().as_secs_f64() * 1e3);
                let begun = Instant::now();
                policy = Policy::new(set, NameRules::default());
                compiling.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            let both: Vec<f64> = reading.iter().zip(&compiling).map(|(a, b)| a + b).collect();
            let mut random = Random(7);
            let askers: Vec<Facts> = (0..1_000).map(|_| facts(&mut random)).collect();
            let (vendor, feature) = (Name::none(), Name::new("f1").ok_or("a name")?);
            let (mut nanos, mut denied) = (Vec::new(), 0);
            for _ in 0..scale.rounds.max(3) * 3 {
                let begun = Instant::now();
                for at in 0..ROUND {
                    let class: Class = policy.class(&askers[at % askers.len()]);
                    let rules = policy.of(&vendor, &feature);
                    denied += usize::from(black_box(rules.access(&class)).0 == Access::Deny);
                    rules.limits(&class).for_each(|limit| drop(black_box(limit)));
                    black_box(rules.counted(&class));
                }
                nanos.push(begun.elapsed().as_nanos() as f64 / ROUND as f64);
            }
            let median_nanos = median(&nanos);
            let fewest = *fewest.get_or_insert(median_nanos);
            say(&json!({
                "bench": "policy", "rules": rules, "about": shown, "users": USERS, "bytes": text.len(),
                "read_ms": tenths(median(&reading)), "compile_ms": tenths(median(&compiling)),
                "reload_ms": tenths(median(&both)), "reload_spread": spread(&both), "reloads": both.len(),
                "ns_decision": median_nanos.round(), "spread": spread(&nanos), "n": nanos.len() * ROUND,
                "of_ten_rules": hundredths(median_nanos / fewest), "denied": denied,
            }))?;
        }
    }
    Ok(())
}
