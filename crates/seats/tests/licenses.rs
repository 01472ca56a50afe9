//! What a set of licenses grants on a day (L20, L30 to L38), where a table says it better than a story.

mod driver;
#[path = "licenses/replaces.rs"]
mod replaces;
#[path = "licenses/tokens.rs"]
mod tokens;

use std::sync::Arc;

use driver::{date, exclusive, name, sealed, upgrade};
use seats::catalog::{Catalog, FeatureLicenses};
use seats::change::PoolKind;
use seats::evaluate::{Total, evaluate, forecast, lower_successors, next_rise, next_rise_of, next_sum};
use seats::license::{
    Carried, Count, KeyType, License, LicenseVersion, Reason, Special, TimeZones, TokenDependency,
};

/// The one feature of these licenses.
fn feature(licenses: Vec<License>) -> FeatureLicenses {
    let catalog = Catalog::new(licenses.into_iter().map(|l| Arc::new(sealed(l))).collect());
    assert_eq!(catalog.features().len(), 1, "licenses of one feature");
    catalog.features()[0].clone()
}

/// A small random number generator: the seed in a message is enough to see a failure again.
struct Random(u64);

impl Random {
    /// 0 to `n` - 1.
    fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// A pool of its own beside the exclusive one (L50).
fn additive(feature: &str, count: u32, sn: &str) -> License {
    License { key_type: KeyType::Additive, sn: Some(sn.into()), ..exclusive(feature, count) }
}

/// A token that takes so many seats of version 1.0 of each feature (L51).
fn token(feature: &str, sn: &str, takes: &[(&str, u32)]) -> License {
    let version = LicenseVersion { major: 1, minor: 0 };
    let takes = takes.iter().map(|(feature, count)| TokenDependency {
        feature: name(feature),
        version,
        count: *count,
    });
    let special = Special { token_dependencies: takes.collect(), ..Special::default() };
    let carried = Carried { special: Some(Box::new(special)), ..Carried::default() };
    License { key_type: KeyType::Token, count: None, sn: Some(sn.into()), carried, ..exclusive(feature, 1) }
}

/// L31: the warning looks past the successor's own copies (L36), not at them.
#[test]
fn a_successor_in_two_files_is_still_warned_of() {
    let sold = |count, sn: &str, issued, file: &str| {
        let mut license =
            License { sn: Some(sn.into()), issued: Some(date(issued)), ..exclusive("cad", count) };
        license.place.file = file.into();
        license
    };
    let (old, new) = (sold(10, "old", "2029-01-01", "a.xml"), sold(4, "new", "2030-01-01", "b.xml"));
    let copy = License { place: sold(4, "", "2030-01-01", "c.xml").place, ..new.clone() };
    for licenses in [vec![old.clone(), new.clone()], vec![old, new, copy]] {
        let feature = feature(licenses);
        let found = lower_successors(&feature, date("2030-01-01"));
        assert_eq!(found.len(), 1, "{found:?}");
        let sn = |at: usize| feature.licenses[at].sn.as_deref();
        assert_eq!((sn(found[0].older), sn(found[0].successor)), (Some("old"), Some("new")));
        assert_eq!((found[0].total_without.limited(), found[0].total.limited()), (Some(10), Some(4)));
    }
}

/// Rules 1, section 2: floored to whole hours; +14, which is the farthest there is, counts as 13.
#[test]
fn a_clients_zone_is_floored_to_whole_hours() {
    let mut all = TimeZones(0);
    assert!((-12..=13).all(|hour| all.insert(hour)));
    assert!(!all.insert(-13) && !all.insert(14), "hours that are none");
    let table = [
        (0, 0),
        (59, 0),
        (60, 1),
        (-1, -1),
        (-60, -1),
        (-61, -2),
        (330, 5),
        (345, 5),
        (-210, -4),
        (-720, -12),
        (779, 12),
        (780, 13),
        (825, 13),
        (840, 13),
        (899, 13),
    ];
    for (minutes, hour) in table {
        let mut only = TimeZones(0);
        only.insert(hour);
        assert!(only.contains(minutes) && all.contains(minutes), "{minutes} minutes are hour {hour}");
        let others = TimeZones(all.0 & !only.0);
        assert!(!others.contains(minutes), "{minutes} minutes are hour {hour} and no other");
    }
    for nowhere in [-721, 900, 1500, i16::MIN, i16::MAX] {
        assert!(!all.contains(nowhere), "{nowhere} minutes is no place on earth");
    }
}

/// L6: also the spelling under which a feature is shown does not follow the names of the files.
#[test]
fn renaming_files_does_not_change_how_a_feature_is_spelled() {
    let spelled = |feature, file: &str| {
        let mut license = exclusive(feature, 1);
        license.place.file = file.into();
        license
    };
    let one = feature(vec![spelled("CAD", "a.xml"), spelled("cad", "b.xml")]);
    let other = feature(vec![spelled("CAD", "b.xml"), spelled("cad", "a.xml")]);
    assert_eq!(one.feature.as_str(), other.feature.as_str());
}

/// L36: without an SN only the very same content is the same license, in trials where nothing is signed.
#[test]
fn without_a_serial_number_the_content_is_the_identity() {
    let up = |count, end: Option<&str>| License { end: end.map(date), sn: None, ..upgrade("cad", count, "") };
    let table = [
        (vec![up(3, None)], 13),
        (vec![up(3, None), up(3, None)], 13),
        (vec![up(3, None), up(4, None)], 17),
        (vec![up(3, None), up(3, Some("2031-12-31"))], 16),
    ];
    for (upgrades, expected) in table {
        let feature = feature([vec![exclusive("cad", 10)], upgrades.clone()].concat());
        let total = evaluate(&feature, date("2030-01-01")).total.limited();
        assert_eq!(total, Some(expected), "{upgrades:?}");
    }
}

/// L31: the order among exclusives whose dates include the day, each step against all that come after it.
#[test]
fn the_exclusive_in_force_is_the_latest_then_newest_then_largest() {
    let sold = |sn: &str, issued: Option<&str>, version: Option<(u32, u32)>, count| License {
        sn: Some(sn.into()),
        issued: issued.map(date),
        version: version.map(|(major, minor)| LicenseVersion { major, minor }),
        ..exclusive("cad", count)
    };
    // Each is in force among itself and all below it.
    let ranked = [
        sold("a", Some("2029-12-31"), Some((1, 0)), 1),
        sold("a2", Some("2029-06-01"), None, 1),
        sold("a3", Some("2029-06-01"), Some((10, 0)), 1),
        sold("a4", Some("2029-06-01"), Some((9, 10)), 1),
        sold("a5", Some("2029-06-01"), Some((9, 9)), 30),
        sold("c", Some("2029-06-01"), Some((9, 9)), 20),
        sold("b", Some("2029-06-01"), Some((9, 9)), 20),
        sold("z", None, None, 2_000_000_000),
    ];
    for from in 0..ranked.len() {
        let mut some = ranked[from..].to_vec();
        some.reverse();
        let feature = feature(some);
        let today = evaluate(&feature, date("2030-01-01"));
        let base = &feature.licenses[today.base.expect("one is in force")];
        assert_eq!(base.sn, ranked[from].sn, "among the last {}", ranked.len() - from);
        let superseded = today.standings.iter().filter(|s| s.reason == Some(Reason::Superseded)).count();
        assert_eq!(superseded, ranked.len() - from - 1, "the others are listed as superseded");
    }
}

/// L35: in the order START, SN; the one that would overflow does not count, a smaller one after it does.
#[test]
fn the_upgrade_that_would_overflow_does_not_count() {
    let up = |sn, start: Option<&str>, count| License { start: start.map(date), ..upgrade("cad", count, sn) };
    let table = [
        (2_147_483_647, vec![up("a", None, 1)], 2_147_483_647, vec!["a"]),
        (2_147_483_646, vec![up("a", None, 1)], 2_147_483_647, vec![]),
        (2_147_483_640, vec![up("b", None, 5), up("a", None, 5), up("c", None, 2)], 2_147_483_647, vec!["b"]),
        (
            2_147_483_640,
            vec![up("a", Some("2029-02-01"), 5), up("b", Some("2029-01-01"), 5)],
            2_147_483_645,
            vec!["a"],
        ),
        (2_147_483_640, vec![up("z", None, 5), up("b", Some("2029-01-01"), 5)], 2_147_483_645, vec!["b"]),
        (1, vec![up("a", None, 2_147_483_647), up("b", None, 2_147_483_646)], 2_147_483_647, vec!["a"]),
    ];
    for (count, upgrades, total, over) in table {
        let feature = feature([vec![exclusive("cad", count)], upgrades].concat());
        let today = evaluate(&feature, date("2030-01-01"));
        assert_eq!(today.total.limited(), Some(total));
        let overflowing: Vec<_> = (feature.licenses.iter().zip(&today.standings))
            .filter(|(_, s)| s.reason == Some(Reason::CountOverflow))
            .filter_map(|(l, _)| l.sn.as_deref())
            .collect();
        assert_eq!(overflowing, over, "on top of {count}");
    }
}

/// The pools of a day in the order of trial: the SN of the license each stands under, and its total.
fn pools(feature: &FeatureLicenses, day: &str) -> Vec<(String, Option<u32>)> {
    let evaluation = evaluate(feature, date(day));
    let shown = evaluation.pools.iter().map(|pool| {
        let license = &feature.licenses[pool.license];
        (license.sn.as_deref().unwrap_or("-").to_owned(), pool.total.limited())
    });
    shown.collect()
}

/// L50: an additive is summed and dated by itself; neither upgrades nor the exclusive have to do with it.
#[test]
fn an_additive_is_a_pool_of_its_own() {
    let base = License { sn: Some("base".into()), end: Some(date("2030-06-30")), ..exclusive("cad", 10) };
    let up = License { end: Some(date("2030-03-31")), ..upgrade("cad", 6, "up") };
    let beside = License { start: Some(date("2030-02-01")), ..additive("cad", 4, "add") };
    let both = feature(vec![base, up, beside]);
    let seats = |sn: &str, total| (sn.to_owned(), Some(total));
    assert_eq!(pools(&both, "2030-01-31"), [seats("base", 16)]);
    assert_eq!(pools(&both, "2030-02-01"), [seats("base", 16), seats("add", 4)]);
    assert_eq!(pools(&both, "2030-04-01"), [seats("base", 10), seats("add", 4)]);
    assert_eq!(pools(&both, "2030-07-01"), [seats("add", 4)], "it needs no exclusive");
    let after = evaluate(&both, date("2030-07-01"));
    assert_eq!((after.base, after.total.limited()), (None, Some(0)), "the exclusive's sum is its own");
    let in_all = |day| evaluate(&both, date(day)).seats_in_all();
    assert_eq!((in_all("2030-02-01"), in_all("2030-07-01")), (Some(20), Some(4)));
}

/// L36: an additive is one license by its SN; without one by what it says.
#[test]
fn the_same_additive_in_two_files_counts_once() {
    let copy = |file: &str, sn: Option<&str>, count| {
        let mut license = License { sn: sn.map(Into::into), ..additive("cad", count, "") };
        license.place.file = file.into();
        license
    };
    let table = [
        (vec![copy("a", Some("1"), 4), copy("b", Some("1"), 4)], vec![4]),
        (vec![copy("a", Some("1"), 4), copy("b", Some("1"), 5)], vec![5]),
        (vec![copy("a", Some("1"), 4), copy("b", Some("2"), 4)], vec![4, 4]),
        (vec![copy("a", None, 4), copy("b", None, 4)], vec![4]),
        (vec![copy("a", None, 4), copy("b", None, 5)], vec![4, 5]),
    ];
    for (licenses, expected) in table {
        let feature = feature(licenses.clone());
        let mut totals: Vec<_> =
            pools(&feature, "2030-01-01").into_iter().filter_map(|(_, total)| total).collect();
        totals.sort_unstable();
        assert_eq!(totals, expected, "{licenses:?}");
        let kinds: Vec<_> =
            evaluate(&feature, date("2030-01-01")).pools.into_iter().map(|p| p.kind).collect();
        for (at, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..at].contains(kind), "{kind:?} is two pools");
            if let PoolKind::Additive(sn) = kind {
                assert_eq!(sn.len() == 65, sn.starts_with('#'), "without SN it goes by its fingerprint");
            }
        }
    }
}

/// Rules 3, 6.7 and L50: each step against all that come after it. A request that several pools could serve takes
/// the narrowest, and keeps the wider one for whoever can use no other.
#[test]
fn pools_are_tried_from_the_narrowest_to_the_widest() {
    let version = |major, minor| Some(LicenseVersion { major, minor });
    let end = |text| Some(date(text));
    let cheap = License { version: version(1, 9), end: end("2040-01-01"), ..additive("cad", 9, "z1") };
    let ranked = vec![
        cheap,
        License { version: version(1, 10), sn: Some("z2".into()), ..exclusive("cad", 9) },
        License { version: version(1, 10), end: end("2031-01-01"), ..additive("cad", 9, "z3") },
        License { version: version(1, 10), end: end("2031-01-02"), ..additive("cad", 9, "a4") },
        License { version: version(1, 10), ..additive("cad", 9, "a5") },
        License { version: version(1, 10), ..additive("cad", 9, "b5") },
        License { end: end("2030-02-01"), ..additive("cad", 9, "a6") },
        License { version: version(0, 1), end: end("2030-02-01"), ..token("cad", "a7", &[("mesh", 1)]) },
    ];
    let expected: Vec<String> = ranked.iter().map(|l| l.sn.as_deref().unwrap_or("-").to_owned()).collect();
    for turn in 0..ranked.len() {
        let mut some = ranked.clone();
        some.rotate_left(turn);
        some.reverse();
        let tried: Vec<String> = pools(&feature(some), "2030-01-01").into_iter().map(|(sn, _)| sn).collect();
        assert_eq!(tried, expected);
    }
}

/// L51: of several tokens of one name one is in force, as of several exclusives (L31).
#[test]
fn of_several_tokens_the_latest_in_force_counts() {
    let sold = |sn: &str, issued: &str, start: Option<&str>| License {
        issued: Some(date(issued)),
        start: start.map(date),
        ..token("suite", sn, &[("cad", 1)])
    };
    let feature = feature(vec![
        sold("old", "2029-01-01", None),
        sold("new", "2029-06-01", Some("2030-02-01")),
        sold("older", "2028-01-01", None),
    ]);
    assert_eq!(pools(&feature, "2030-01-31"), [("old".to_owned(), None)], "a token has no bound of its own");
    assert_eq!(pools(&feature, "2030-02-01"), [("new".to_owned(), None)]);
    let reasons: Vec<_> =
        evaluate(&feature, date("2030-01-31")).standings.iter().filter_map(|s| s.reason).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.contains(&Reason::NotStarted) && reasons.contains(&Reason::Superseded));
}

/// What comes next is told of every pool; the exclusive's sum is asked for by itself.
#[test]
fn looking_ahead_sees_every_pool() {
    let base = License { end: Some(date("2030-06-30")), ..exclusive("cad", 10) };
    let up =
        License { start: Some(date("2030-02-01")), end: Some(date("2030-06-30")), ..upgrade("cad", 6, "up") };
    let beside = License { start: Some(date("2030-03-01")), ..additive("cad", 4, "add") };
    let feature = feature(vec![base, up, beside]);
    let today = date("2030-01-01");
    let told: Vec<_> = forecast(&feature, today, 9)
        .into_iter()
        .map(|f| {
            (f.day, f.total.limited(), f.pools.iter().filter_map(|p| p.total.limited()).collect::<Vec<_>>())
        })
        .collect();
    let row = |day, total, pools: &[u32]| (date(day), Some(total), pools.to_vec());
    let expected =
        [row("2030-02-01", 16, &[16]), row("2030-03-01", 16, &[16, 4]), row("2030-07-01", 0, &[4])];
    assert_eq!(told, expected);
    let add = PoolKind::Additive("add".into());
    assert_eq!(next_rise_of(&feature, &add, today, Total::ZERO), Some(date("2030-03-01")));
    assert_eq!(next_rise_of(&feature, &add, today, Total::Limited(4)), None);
    assert_eq!(next_rise(&feature, today, Total::Limited(10)), Some(date("2030-02-01")));
    for (day, next) in [
        ("2030-01-01", Some(("2030-02-01", Some(16)))),
        ("2030-02-28", Some(("2030-03-01", Some(20)))),
        ("2030-06-30", Some(("2030-07-01", Some(4)))),
        ("2030-07-01", None),
    ] {
        let today = evaluate(&feature, date(day));
        assert_eq!(next_sum(&feature, &today), next.map(|(day, sum)| (date(day), sum)), "{day}");
    }
}

/// A license that hands over to one of the same size changes no sum, and a bound that begins or ends is a change.
#[test]
fn the_next_sum_is_another_one() {
    let first = License { end: Some(date("2030-03-31")), ..exclusive("cad", 10) };
    let second =
        License { start: Some(date("2030-04-01")), end: Some(date("2030-12-31")), ..exclusive("cad", 10) };
    let token = License { end: Some(date("2030-02-28")), ..token("cad", "t", &[("fea", 1)]) };
    let unlimited = License {
        count: Some(Count::Unlimited),
        start: Some(date("2030-08-01")),
        end: Some(date("2030-08-31")),
        ..additive("cad", 1, "add")
    };
    let feature = feature(vec![first, second, token, unlimited]);
    for (day, next) in [
        ("2030-01-01", ("2030-08-01", None)),
        ("2030-08-01", ("2030-09-01", Some(10))),
        ("2030-09-01", ("2031-01-01", Some(0))),
    ] {
        let today = evaluate(&feature, date(day));
        assert_eq!(next_sum(&feature, &today), Some((date(next.0), next.1)), "{day}");
    }
}
