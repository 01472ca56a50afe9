//! A policy says by its index what it says when each rule is looked at in turn.

mod linear;
mod random;

use linear::Linear;
use random::Random;
use seats::license::Name;
use seats::policy::{Features, GroupId, Policy, RuleId, RuleSet, Subject};
use seats::request::{Facts, NameRules};

/// How many policies are tried, each with requests of its own; `SEATKEEPER_POLICIES` for more.
const POLICIES: u64 = 800;

fn check(seed: u64) {
    let mut random = Random(seed);
    let rules = random.rules();
    let names = NameRules { fqdn: random.below(2) == 0 };
    let asked: Vec<_> = (0..12).map(|_| (random.facts(), random.wanted())).collect();
    compare(rules, names, asked, seed);
}

fn compare(rules: RuleSet, names: NameRules, asked: Vec<(Facts, (Name, Name))>, seed: u64) {
    let policy = Policy::new(rules.clone(), names);
    let linear = Linear { rules: &rules, names };
    for (facts, (vendor, feature)) in asked {
        let class = policy.class(&facts);
        let folded = (names.fold_user(&facts.user), names.fold_host(&facts.host));
        assert_eq!((&class.user, &class.host), (&folded.0, &folded.1), "seed {seed}: the names of {facts:?}");
        assert_eq!((class.address, &class.project), (facts.address, &facts.project), "seed {seed}");
        assert_eq!(class.groups, linear.groups_of(&class), "seed {seed}: the groups of {facts:?}");
        for id in (0..rules.rules.len() as u32).map(RuleId) {
            let (is_for, wanted) = (policy.is_for(id, &class), linear.is_for(id, &class));
            assert_eq!(is_for, wanted, "seed {seed}: {:?} for {class:?}", policy.rule(id));
        }
        let (of, about) = (policy.of(&vendor, &feature), linear.about(&vendor, &feature));
        let told = format!("seed {seed}: {feature} of {vendor} for {class:?}");
        assert_eq!(of.is_open(), about.is_empty(), "{told}");
        assert_eq!(of.access(&class), linear.access(&about, &class), "{told}");
        assert_eq!(of.limits(&class).collect::<Vec<_>>(), linear.limits(&about, &class), "{told}");
        assert_eq!(of.reservations(), linear.reservations(&about), "{told}");
        assert_eq!(of.counted(&class), linear.counted(&about, &class), "{told}");
        assert_eq!(of.idle(&class), linear.idle(&about, &class), "{told}");
        assert_eq!(of.borrow(&class), linear.borrow(&about, &class), "{told}");
        assert_eq!(of.fast_queue(&class), linear.fast_queue(&about, &class), "{told}");
        assert_eq!(of.book(&class), linear.book(&about, &class), "{told}");
        assert_eq!(of.why(&class), linear.why(&about, &class), "{told}");
        for limit in of.limits(&class) {
            assert!(of.counted(&class).contains(&limit.subject), "{told}: {limit:?} is counted");
        }
        for reservation in of.reservations() {
            let is_counted = of.counted(&class).contains(&Subject::Reservation(reservation.rule));
            assert_eq!(is_counted, policy.is_for(reservation.rule, &class), "{told}: {reservation:?}");
        }
    }
}

#[test]
fn the_index_says_what_looking_at_every_rule_says() {
    let policies = std::env::var("SEATKEEPER_POLICIES").ok().and_then(|n| n.parse().ok()).unwrap_or(POLICIES);
    let first = std::env::var("SEATKEEPER_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    println!("seeds {first} to {}: SEATKEEPER_SEED=n SEATKEEPER_POLICIES=1 for one", first + policies - 1);
    (first..first + policies).for_each(check);
}

/// Rules for very many names about very many features do not get a place for each pair.
#[test]
fn a_policy_too_dense_for_the_index_says_the_same() {
    for seed in (1..).filter(|seed| (8..16).contains(&Random(*seed).rules().rules.len())).take(2) {
        let mut random = Random(seed);
        let mut rules = random.rules();
        let mut many: Vec<(Option<Name>, Name)> =
            (0..60_000).map(|n| (None, Name::new(&format!("f{n}")).unwrap())).collect();
        many.extend((0..3).map(|_| (None, random.wanted().1)));
        while rules.groups.len() < 40 {
            rules.groups.extend(random.rules().groups);
        }
        let groups = rules.groups.len() as u32;
        for rule in &mut rules.rules {
            if random.below(2) == 0 {
                rule.features = Features::Named(many.clone());
                rule.who.users.extend((0..40).map(|n| format!("u{n}").into()));
                rule.who.groups = (0..groups).map(GroupId).collect();
            }
        }
        let asked = (0..6).map(|_| (random.facts(), random.wanted())).collect();
        compare(rules, NameRules::default(), asked, seed);
    }
}
