//! REPLACES within and across features (L52).

use std::sync::Arc;

use seats::catalog::{Catalog, FeatureLicenses};
use seats::evaluate::{Standing, State, evaluate, explain, next_boundary};
use seats::license::{License, Name, Reason, Replaces, Signed};

use super::{Random, additive, date, driver, exclusive, name, sealed, token, upgrade};

fn catalog(licenses: &[License]) -> Catalog {
    Catalog::new(licenses.iter().map(|l| Arc::new(sealed(l.clone()))).collect())
}

fn sold(license: License, sn: &str, issued: &str) -> License {
    License { sn: Some(sn.into()), issued: Some(date(issued)), ..license }
}

fn replacing(license: License, what: Replaces) -> License {
    let mut license = license;
    license.carried.special.get_or_insert_default().replaces = Some(what);
    license
}

fn feature(text: &str) -> Replaces {
    Replaces::Feature(name(text))
}

/// The feature that a license with that SN is in, and its index there.
fn find<'c>(catalog: &'c Catalog, sn: &str) -> (&'c FeatureLicenses, usize) {
    let found = catalog.features().iter().find_map(|feature| {
        Some((feature, feature.licenses.iter().position(|l| l.sn.as_deref() == Some(sn))?))
    });
    found.expect("the license is in the catalog")
}

fn standing(catalog: &Catalog, sn: &str, day: &str) -> Standing {
    let (feature, at) = find(catalog, sn);
    evaluate(feature, date(day)).standings[at]
}

fn is_replaced(catalog: &Catalog, sn: &str) -> bool {
    standing(catalog, sn, "2030-01-01").reason == Some(Reason::Replaced)
}

#[test]
fn it_acts_from_its_start_on_also_after_its_end() {
    let old = sold(exclusive("cad", 10), "old", "2029-01-01");
    let new = License {
        start: Some(date("2030-02-01")),
        end: Some(date("2030-03-31")),
        ..sold(exclusive("suite", 4), "new", "2029-06-01")
    };
    let catalog = catalog(&[old, replacing(new, feature("CAD"))]);
    let reason = |day| standing(&catalog, "old", day).reason;
    assert_eq!(reason("2030-01-31"), None);
    assert_eq!(reason("2030-02-01"), Some(Reason::Replaced));
    assert_eq!(reason("2030-04-01"), Some(Reason::Replaced), "for good");
    let (cad, at) = find(&catalog, "old");
    assert_eq!(next_boundary(cad, date("2030-01-01")), Some(date("2030-02-01")), "another feature's day");
    assert_eq!(catalog.changing(date("2030-01-31"), date("2030-02-01")).count(), 2, "both features change");
    let after = evaluate(cad, date("2030-02-01"));
    assert!(after.pools.is_empty() && after.base.is_none() && after.total.limited() == Some(0));
    let text = explain(cad, &after, at).unwrap();
    assert_eq!(text, "suite in licenses.xml:1:1, SN new, replaces it since 2030-02-01, for good (L52)");
}

#[test]
fn it_acts_on_what_was_issued_before_it_and_never_on_itself() {
    let by = |issued| replacing(sold(exclusive("cad", 1), "new", issued), feature("cad"));
    let old = |issued: Option<&str>| License {
        issued: issued.map(date),
        ..sold(exclusive("cad", 9), "old", "2000-01-01")
    };
    for (old_issued, new_issued, expected) in [
        (Some("2029-01-01"), "2029-01-02", true),
        (Some("2029-01-01"), "2029-01-01", false),
        (Some("2029-01-02"), "2029-01-01", false),
        (None, "2029-01-01", true),
    ] {
        let catalog = catalog(&[old(old_issued), by(new_issued)]);
        assert_eq!(is_replaced(&catalog, "old"), expected, "{old_issued:?} by {new_issued}");
        assert!(!is_replaced(&catalog, "new"));
    }
    let undated = License { issued: None, ..by("2029-01-01") };
    assert!(!is_replaced(&catalog(&[old(None), undated]), "old"), "without ISSUED it replaces nothing");
}

#[test]
fn a_feature_means_its_pools_and_a_number_means_that_license() {
    let old = |license: License, sn: &str| sold(license, sn, "2029-01-01");
    let signed = |license: License, key: &str| License {
        signed: Some(Arc::new(Signed { canonical: Box::default(), key: key.into() })),
        ..license
    };
    let before = [
        old(exclusive("cad", 10), "base"),
        old(upgrade("cad", 6, ""), "up"),
        old(additive("cad", 4, ""), "add"),
        old(token("cad", "", &[("mesh", 1)]), "token"),
        signed(old(additive("mesh", 2, ""), "mesh"), "ed25519:a:AAAA"),
        License { vendor: name("OTHER"), ..old(exclusive("cad", 10), "other") },
    ];
    let table: [(Replaces, &[&str]); 6] = [
        (feature("Cad"), &["add", "base", "token"]),
        (feature("none"), &[]),
        (Replaces::Sn("up".into()), &["up"]),
        (Replaces::Sn("mesh".into()), &["mesh"]),
        (Replaces::Key("ed25519:a:AAAA".into()), &["mesh"]),
        (Replaces::Sn("other".into()), &[]),
    ];
    for (what, expected) in table {
        let by = replacing(sold(additive("new", 1, ""), "new", "2029-06-01"), what.clone());
        let catalog = catalog(&[before.as_slice(), &[by]].concat());
        let mut gone: Vec<&str> =
            before.iter().filter_map(|l| l.sn.as_deref()).filter(|sn| is_replaced(&catalog, sn)).collect();
        gone.sort_unstable();
        assert_eq!(gone, expected, "{what:?}");
    }
    // Without its exclusive an upgrade waits for another.
    let by = replacing(sold(additive("new", 1, ""), "new", "2029-06-01"), feature("cad"));
    let catalog = catalog(&[before.as_slice(), &[by]].concat());
    assert_eq!(standing(&catalog, "up", "2030-01-01").state, State::Waiting);
}

/// What is not accepted here does not act here, and what never works does not either.
#[test]
fn only_a_license_that_counts_replaces() {
    let old = sold(exclusive("cad", 10), "old", "2029-01-01");
    let by = replacing(sold(exclusive("new", 1), "new", "2029-06-01"), feature("cad"));
    assert!(is_replaced(&catalog(&[old.clone(), by.clone()]), "old"));
    let refused = License { refusal: driver::refused(Reason::HostMismatch), ..by.clone() };
    assert!(!is_replaced(&catalog(&[old.clone(), refused]), "old"));
    let reissued = sold(exclusive("new", 1), "new", "2029-07-01");
    assert!(!is_replaced(&catalog(&[old.clone(), by, reissued]), "old"), "a duplicate is out");
    let looping = replacing(sold(token("new", "", &[("new", 1)]), "new", "2029-06-01"), feature("cad"));
    assert!(!is_replaced(&catalog(&[old, looping]), "old"), "a token that never works");
}

/// A replaced license replaces all the same: whoever was sold the third of a row has the third alone.
#[test]
fn a_row_of_replacements_leaves_the_last() {
    let one = sold(exclusive("cad", 1), "one", "2029-01-01");
    let two = replacing(sold(exclusive("cad", 2), "two", "2029-02-01"), Replaces::Sn("one".into()));
    let three = replacing(sold(exclusive("cad", 3), "three", "2029-03-01"), Replaces::Sn("two".into()));
    let catalog = catalog(&[one, two, three]);
    assert!(is_replaced(&catalog, "one") && is_replaced(&catalog, "two") && !is_replaced(&catalog, "three"));
}

/// The same by asking every pair, on random sets; and in whatever order the licenses come.
#[test]
fn who_is_replaced_is_what_asking_every_pair_says_in_any_order() {
    let mut replaced = 0;
    for seed in 1..=400 {
        let mut random = Random(seed);
        let names = ["a", "b"];
        let days = ["2029-01-01", "2029-02-01", "2029-03-01", "2029-04-01"];
        let mut all = Vec::new();
        for nth in 0..2 + random.below(7) {
            let of = names[random.below(2)];
            let kind = match random.below(4) {
                0 => additive(of, 3, ""),
                1 => upgrade(of, 2, ""),
                _ => exclusive(of, 5),
            };
            let mut license = sold(kind, &format!("s{nth}"), days[random.below(4)]);
            if random.below(6) == 0 {
                license.issued = None;
            }
            if random.below(3) == 0 {
                license.start = Some(date(["2029-12-01", "2030-02-01", "2030-03-01"][random.below(3)]));
            }
            if random.below(2) == 0 {
                let what = match random.below(2) {
                    0 => feature(names[random.below(2)]),
                    _ => Replaces::Sn(format!("s{}", random.below(8)).into()),
                };
                license = replacing(license, what);
            }
            license.place.file = format!("{}.xml", random.below(4)).into();
            all.push(license);
        }
        let names_it = |by: &License, l: &License| match by.replaces() {
            Some(Replaces::Feature(feature)) => *feature == l.feature && pool(l),
            Some(Replaces::Sn(sn)) => l.sn.as_deref() == Some(sn),
            _ => false,
        };
        let before = catalog(&all);
        for day in ["2030-01-01", "2030-02-01", "2030-03-01"] {
            for license in &all {
                let is_replaced = all.iter().any(|by| {
                    names_it(by, license)
                        && by.issued.is_some()
                        && by.issued > license.issued
                        && by.start.is_none_or(|start| start <= date(day))
                });
                let sn = license.sn.as_deref().unwrap();
                let found = standing(&before, sn, day).reason == Some(Reason::Replaced);
                assert_eq!(found, is_replaced, "seed {seed}, {sn} on {day}: {all:#?}");
                replaced += usize::from(found);
            }
        }
        // Another order tells the same; other files grant the same.
        random.shuffle(&mut all);
        let after = catalog(&all);
        all.iter_mut().for_each(|l| l.place.file = format!("{}.xml", random.below(4)).into());
        let elsewhere = catalog(&all);
        for license in &all {
            let sn = license.sn.as_deref().unwrap();
            let told = |catalog| standing(catalog, sn, "2030-02-01");
            assert_eq!(told(&before), told(&elsewhere), "seed {seed}, {sn}");
        }
        for (one, other) in before.features().iter().zip(after.features()) {
            let told = |f: &FeatureLicenses| {
                let today = evaluate(f, date("2030-02-01"));
                let why: Vec<_> = (0..f.licenses.len()).map(|at| explain(f, &today, at)).collect();
                (today, why, next_boundary(f, date("2030-01-01")))
            };
            assert_eq!(told(one), told(other), "seed {seed}");
        }
    }
    assert!(replaced > 300, "{replaced} are too few to tell anything");
}

fn pool(license: &License) -> bool {
    seats::evaluate::pool_kind(license).is_some()
}

/// A name that is none: the vendor of unsigned licenses in a trial is one vendor.
#[test]
fn licenses_without_a_vendor_replace_each_other() {
    let nobody = |license: License| License { vendor: Name::none(), ..license };
    let old = nobody(sold(exclusive("cad", 10), "old", "2029-01-01"));
    let by = nobody(replacing(sold(exclusive("cad", 1), "new", "2029-06-01"), Replaces::Sn("old".into())));
    assert!(is_replaced(&catalog(&[old, by]), "old"));
}

/// A reload keeps what it knows of features whose files are as before: not where a new file of another feature
/// replaces their licenses, and not when that file goes.
#[test]
fn a_file_of_another_feature_reaches_a_feature_whose_own_file_is_as_before() {
    let old = Arc::new(sealed(sold(exclusive("cad", 10), "old", "2029-01-01")));
    let by = replacing(sold(exclusive("suite", 4), "new", "2029-06-01"), feature("cad"));
    let later = License { start: Some(date("2030-01-02")), ..by.clone() };
    let [by, later] = [by, later].map(|license| Arc::new(sealed(license)));
    let mut server = driver::Server::new(date("2030-01-01"), driver::LEASE_MS);
    let mut total_with = |more: Option<&Arc<License>>, day: &str| {
        if date(day) > server.now.day {
            server.begin_day(date(day));
        }
        server.load_catalog(Catalog::new([&old].into_iter().chain(more).cloned().collect()));
        server.sweep(1);
        server.numbers("ACME", "cad").map_or(0, |numbers| numbers.total.limited().unwrap())
    };
    assert_eq!(total_with(None, "2030-01-01"), 10);
    assert_eq!(total_with(Some(&by), "2030-01-01"), 0);
    assert_eq!(total_with(None, "2030-01-01"), 10);
    assert_eq!(total_with(Some(&later), "2030-01-01"), 10);
    assert_eq!(total_with(Some(&by), "2030-01-01"), 0, "another day");
    assert_eq!(total_with(Some(&later), "2030-01-02"), 0);
}
