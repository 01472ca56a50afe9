//! Tokens over several features (L51): what they take, and which can never work.

use std::collections::BTreeMap;
use std::sync::Arc;

use seats::catalog::{Catalog, TOKEN_DEPTH_MAX, TOKEN_NEEDS_MAX};
use seats::evaluate::evaluate;
use seats::license::{License, LicenseVersion, Reason, Share, TokenDependency};

use super::{Random, additive, date, exclusive, sealed, token};

fn catalog(licenses: &[License]) -> Catalog {
    Catalog::new(licenses.iter().map(|l| Arc::new(sealed(l.clone()))).collect())
}

/// Why the license with that SN does not count on 2030-01-01; `None`: it counts.
fn reason(catalog: &Catalog, sn: &str) -> Option<Reason> {
    let found = catalog.features().iter().find_map(|feature| {
        let at = feature.licenses.iter().position(|l| l.sn.as_deref() == Some(sn))?;
        Some(evaluate(feature, date("2030-01-01")).standings[at].reason)
    });
    found.expect("the license is in the catalog")
}

/// What the token with that SN takes on a day, as `name version xcount`, a `*` after what is a token itself.
fn needs(catalog: &Catalog, sn: &str, day: &str) -> Option<Vec<String>> {
    let places = catalog.features().iter().enumerate().find_map(|(feature, of)| {
        Some((feature, of.licenses.iter().position(|l| l.sn.as_deref() == Some(sn))?))
    });
    let (feature, license) = places.expect("the license is in the catalog");
    let needs = catalog.token_needs(feature, license, date(day))?;
    for need in &needs {
        let found = need.feature.map(|at| &catalog.features()[at]);
        assert!(found.is_none_or(|f| f.feature == need.name && f.vendor.as_str() == "ACME"), "{need:?}");
    }
    let star = |is_token| if is_token { "*" } else { "" };
    Some(needs.iter().map(|n| format!("{} {} x{}{}", n.name, n.version, n.count, star(n.is_token))).collect())
}

fn shared(license: License) -> License {
    License { share: Share { host: true, ..Share::default() }, ..license }
}

#[test]
fn what_a_token_takes_is_summed_over_all_ways_and_sorted() {
    let mut wide = token("suite", "s", &[("mesh", 2), ("CAD", 1), ("solve", 3), ("gone", 1)]);
    let special = wide.carried.special.as_mut().unwrap();
    special.token_dependencies.push(TokenDependency {
        version: LicenseVersion { major: 2, minor: 5 },
        ..special.token_dependencies[1].clone()
    });
    let catalog = catalog(&[
        wide,
        token("solve", "v", &[("cad", 4), ("mesh", 1)]),
        exclusive("cad", 10),
        additive("mesh", 10, "m"),
    ]);
    let told = needs(&catalog, "s", "2030-01-01").unwrap();
    // Three solves take 12 cad and 3 mesh beside what the suite takes itself.
    assert_eq!(told, ["CAD 1.0 x13", "CAD 2.5 x1", "gone 1.0 x1", "mesh 1.0 x5", "solve 1.0 x3*"]);
    assert_eq!(needs(&catalog, "v", "2030-01-01").unwrap(), ["cad 1.0 x4", "mesh 1.0 x1"]);
    assert_eq!(needs(&catalog, "m", "2030-01-01"), None, "no token");
    assert_eq!(catalog.token_needs(99, 0, date("2030-01-01")), None);
}

/// A renewal of a token that others depend on is what they take from its START on.
#[test]
fn what_a_token_takes_follows_the_token_in_force_below_it() {
    let old = License { end: Some(date("2030-06-30")), ..token("mid", "old", &[("cad", 2)]) };
    let new = License {
        start: Some(date("2030-06-01")),
        issued: Some(date("2030-01-01")),
        ..token("mid", "new", &[("cad", 3)])
    };
    let catalog = catalog(&[token("top", "top", &[("mid", 2)]), old, new, exclusive("cad", 10)]);
    let on = |day| needs(&catalog, "top", day).unwrap();
    assert_eq!(on("2030-05-31"), ["cad 1.0 x4", "mid 1.0 x2*"]);
    assert_eq!(on("2030-06-01"), ["cad 1.0 x6", "mid 1.0 x2*"]);
}

/// A token below that is not in force, or is not there, stands in the list as it is: the checkout names it.
#[test]
fn a_token_that_is_over_is_taken_for_a_feature() {
    let over = License { end: Some(date("2029-12-31")), ..token("mid", "m", &[("cad", 2)]) };
    let catalog = catalog(&[token("top", "top", &[("mid", 2)]), over, exclusive("cad", 10)]);
    assert_eq!(needs(&catalog, "top", "2029-12-31").unwrap(), ["cad 1.0 x4", "mid 1.0 x2*"]);
    assert_eq!(needs(&catalog, "top", "2030-01-01").unwrap(), ["mid 1.0 x2"]);
}

/// A feature with seats of its own serves dependencies from them: its token is tried last, as by any checkout (L50).
#[test]
fn seats_come_before_the_token_of_the_same_name() {
    let seats = License { end: Some(date("2030-06-30")), ..additive("mid", 5, "seats") };
    let catalog = catalog(&[
        token("top", "top", &[("mid", 2)]),
        token("mid", "m", &[("cad", 2)]),
        seats,
        exclusive("cad", 9),
    ]);
    assert_eq!(needs(&catalog, "top", "2030-06-30").unwrap(), ["mid 1.0 x2"]);
    assert_eq!(needs(&catalog, "top", "2030-07-01").unwrap(), ["cad 1.0 x4", "mid 1.0 x2*"]);
}

#[test]
fn every_token_in_a_loop_is_refused_and_none_beside_it() {
    let all = [
        token("a", "a", &[("b", 1)]),
        token("b", "b", &[("c", 1), ("cad", 1)]),
        token("c", "c", &[("a", 1)]),
        token("self", "self", &[("self", 1)]),
        // Leads into the loop, is reached from it, is of the same feature as one in it.
        token("into", "into", &[("a", 1)]),
        token("cad", "cad", &[("seats", 1)]),
        License { end: Some(date("2029-01-01")), ..token("a", "a2", &[("cad", 1)]) },
        // Another vendor's feature of that name is another feature.
        License { vendor: super::name("OTHER"), ..token("a", "other", &[("b", 1)]) },
    ];
    let catalog = catalog(&all);
    for sn in ["a", "b", "c", "self"] {
        assert_eq!(reason(&catalog, sn), Some(Reason::TokenLoop), "{sn}");
        assert_eq!(needs(&catalog, sn, "2030-01-01"), None, "{sn}");
    }
    for sn in ["into", "cad", "other"] {
        assert_eq!(reason(&catalog, sn), None, "{sn}");
    }
    assert_eq!(reason(&catalog, "a2"), Some(Reason::Expired));
    assert_eq!(needs(&catalog, "into", "2030-01-01").unwrap(), ["a 1.0 x1"], "whose token never works");
}

/// Judged whatever the dates: a token would else stop working on a day when nobody touched a file.
#[test]
fn a_loop_through_a_license_that_is_over_is_a_loop() {
    let over = License { end: Some(date("2029-01-01")), ..token("b", "b", &[("a", 1)]) };
    assert_eq!(reason(&catalog(&[token("a", "a", &[("b", 1)]), over.clone()]), "a"), Some(Reason::TokenLoop));
    // But what was never accepted, and what is reissued without the loop, closes none.
    let refused = License { refusal: super::driver::refused(Reason::BadSignature), ..over.clone() };
    assert_eq!(reason(&catalog(&[token("a", "a", &[("b", 1)]), refused]), "a"), None);
    let reissued = License { issued: Some(date("2029-06-01")), ..token("b", "b", &[("cad", 1)]) };
    assert_eq!(reason(&catalog(&[token("a", "a", &[("b", 1)]), over, reissued]), "a"), None);
}

#[test]
fn a_chain_of_seventeen_tokens_is_one_too_deep() {
    let name = |n: u32| if n == 0 { "cad".to_owned() } else { format!("t{n:02}") };
    let chain = (1..=TOKEN_DEPTH_MAX + 2).map(|n| token(&name(n), &name(n), &[(&name(n - 1), 1)]));
    let mut all: Vec<License> = chain.collect();
    all.push(exclusive("cad", 10));
    let catalog = catalog(&all);
    assert_eq!(reason(&catalog, "t16"), None);
    assert_eq!(needs(&catalog, "t16", "2030-01-01").unwrap().len(), 16);
    for deep in ["t17", "t18"] {
        assert_eq!(reason(&catalog, deep), Some(Reason::TokenLoop), "{deep}");
    }
}

#[test]
fn a_token_and_what_it_depends_on_do_not_both_share() {
    let virtual_only =
        License { share: Share { virtual_machine: true, ..Share::default() }, ..additive("v", 1, "v") };
    let all = [
        shared(token("direct", "direct", &[("plain", 1), ("shared", 1)])),
        shared(token("through", "through", &[("between", 1)])),
        token("between", "between", &[("shared", 1)]),
        shared(token("alone", "alone", &[("plain", 1), ("v", 1)])),
        token("none", "none", &[("direct", 1), ("shared", 1)]),
        License { end: Some(date("2029-01-01")), ..shared(additive("shared", 5, "s")) },
        // Behind a loop is behind.
        shared(token("looped", "looped", &[("l1", 1)])),
        token("l1", "l1", &[("l2", 1)]),
        token("l2", "l2", &[("l1", 1), ("shared", 1)]),
        exclusive("plain", 5),
        virtual_only,
    ];
    let catalog = catalog(&all);
    for sn in ["direct", "through", "looped"] {
        assert_eq!(reason(&catalog, sn), Some(Reason::TokenSharing), "{sn}");
    }
    for sn in ["between", "alone", "none"] {
        assert_eq!(reason(&catalog, sn), None, "{sn}");
    }
}

#[test]
fn what_one_token_takes_is_bounded() {
    let huge = 2_147_483_647;
    let all = [
        token("most", "most", &[("cad", huge)]),
        token("over", "over", &[("cad", huge), ("mesh", 1)]),
        token("half", "half", &[("cad", 65_536)]),
        token("square", "square", &[("half", 32_768)]),
        exclusive("cad", 1),
    ];
    let bounded = catalog(&all);
    assert_eq!(reason(&bounded, "most"), None);
    for sn in ["over", "square"] {
        assert_eq!(reason(&bounded, sn), Some(Reason::CountOverflow), "{sn}");
        assert_eq!(needs(&bounded, sn, "2030-01-01"), None);
    }

    let names: Vec<String> = (0..=TOKEN_NEEDS_MAX).map(|n| format!("f{n}")).collect();
    let takes: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let (one, other) = takes.split_at(500);
    let all = [
        token("enough", "enough", &takes[..TOKEN_NEEDS_MAX]),
        token("many", "many", &takes),
        token("one", "one", one),
        token("other", "other", other),
        token("both", "both", &[("one", 1), ("other", 1)]),
        token("twice", "twice", &[("one", 1), ("second", 1), ("third", 1)]),
        token("second", "second", &[("one", 1)]),
        token("third", "third", &[("one", 1)]),
    ];
    let catalog = catalog(&all);
    for (sn, expected) in [
        ("enough", None),
        ("many", Some(Reason::BadValue)),
        ("both", Some(Reason::BadValue)),
        ("twice", None),
    ] {
        assert_eq!(reason(&catalog, sn), expected, "{sn}");
    }
}

/// Sixteen layers of two tokens, each taking both of the layer below: 65,536 ways to one feature.
#[test]
fn many_ways_to_one_feature_cost_no_more_than_few() {
    let name = |layer: u32, nth: u32| format!("t{layer:02}-{nth}");
    let mut all = vec![exclusive("cad", 1)];
    for layer in 1..=TOKEN_DEPTH_MAX {
        for nth in 0..2 {
            let takes = match layer {
                1 => vec![("cad".to_owned(), 1)],
                _ => vec![(name(layer - 1, 0), 1), (name(layer - 1, 1), 1)],
            };
            let takes: Vec<(&str, u32)> = takes.iter().map(|(name, count)| (name.as_str(), *count)).collect();
            all.push(token(&name(layer, nth), &name(layer, nth), &takes));
        }
    }
    let catalog = catalog(&all);
    let needs = needs(&catalog, "t16-0", "2030-01-01").unwrap();
    assert_eq!((needs[0].as_str(), needs.len()), ("cad 1.0 x32768", 31));
}

/// The same by trying every way, on small random sets: loops by walking, needs by recursion.
#[test]
fn needs_and_loops_are_those_of_walking_every_way() {
    let (mut loops, mut nested) = (0, 0);
    for seed in 1..=400 {
        let mut random = Random(seed);
        let names: Vec<String> = (0..6).map(|n| format!("f{n}")).collect();
        let mut all = Vec::new();
        for (nth, feature) in names.iter().enumerate() {
            if nth > 3 || random.below(4) == 0 {
                all.push(exclusive(feature, 5));
                continue;
            }
            let mut takes: BTreeMap<&str, u32> = BTreeMap::new();
            for _ in 0..=random.below(3) {
                // Mostly downward, so that some sets have no loop.
                let on = if random.below(6) == 0 { random.below(6) } else { nth + 1 + random.below(5 - nth) };
                takes.insert(&names[on], 1 + random.below(3) as u32);
            }
            let takes: Vec<(&str, u32)> = takes.into_iter().collect();
            all.push(token(feature, feature, &takes));
        }
        let depends = |name: &str| -> Vec<(String, u64)> {
            let of =
                all.iter().find(|l| l.feature.as_str() == name).map_or(&[][..], License::token_dependencies);
            of.iter().map(|d| (d.feature.as_str().to_owned(), u64::from(d.count))).collect()
        };
        let is_in_loop = |name: &str| {
            let mut reached: Vec<String> = depends(name).into_iter().map(|(on, _)| on).collect();
            let mut at = 0;
            while at < reached.len() {
                for (on, _) in depends(&reached[at]) {
                    if !reached.contains(&on) {
                        reached.push(on);
                    }
                }
                at += 1;
            }
            reached.iter().any(|r| r == name)
        };
        fn walk(
            name: &str,
            times: u64,
            depends: &dyn Fn(&str) -> Vec<(String, u64)>,
            is_in_loop: &dyn Fn(&str) -> bool,
            sum: &mut BTreeMap<String, u64>,
        ) {
            for (on, count) in depends(name) {
                *sum.entry(on.clone()).or_default() += times * count;
                if !is_in_loop(&on) {
                    walk(&on, times * count, depends, is_in_loop, sum);
                }
            }
        }
        let mut in_files = all.clone();
        in_files.iter_mut().for_each(|l| l.place.file = format!("{}.xml", random.below(3)).into());
        random.shuffle(&mut in_files);
        let catalog = catalog(&in_files);
        for token in all.iter().filter(|l| !l.token_dependencies().is_empty()) {
            let name = token.feature.as_str();
            if is_in_loop(name) {
                loops += 1;
                assert_eq!(reason(&catalog, name), Some(Reason::TokenLoop), "seed {seed}, {name}");
                continue;
            }
            let mut sum = BTreeMap::new();
            walk(name, 1, &depends, &is_in_loop, &mut sum);
            nested += usize::from(sum.len() > depends(name).len());
            let expected: Vec<String> = sum
                .into_iter()
                .map(|(on, n)| {
                    let star = if depends(&on).is_empty() || is_in_loop(&on) { "" } else { "*" };
                    format!("{on} 1.0 x{n}{star}")
                })
                .collect();
            assert_eq!(reason(&catalog, name), None, "seed {seed}, {name}");
            assert_eq!(needs(&catalog, name, "2030-01-01").unwrap(), expected, "seed {seed}, {name}");
        }
    }
    assert!(
        loops > 50 && nested > 50,
        "{loops} loops and {nested} nested tokens are too few to tell anything"
    );
}
