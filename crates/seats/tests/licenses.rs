//! What a set of licenses grants on a day (L20, L30 to L38), where a table says it better than a story.

mod driver;

use std::sync::Arc;

use driver::{date, exclusive, sealed};
use seats::catalog::{Catalog, FeatureLicenses};
use seats::evaluate::lower_successors;
use seats::license::{License, TimeZones};

/// The one feature of these licenses.
fn feature(licenses: Vec<License>) -> FeatureLicenses {
    let catalog = Catalog::new(licenses.into_iter().map(|l| Arc::new(sealed(l))).collect());
    assert_eq!(catalog.features().len(), 1, "licenses of one feature");
    catalog.features()[0].clone()
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
