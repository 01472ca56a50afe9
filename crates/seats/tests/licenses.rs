//! What a set of licenses grants on a day (L20, L30 to L38), where a table says it better than a story.

mod driver;

use std::sync::Arc;

use driver::{date, exclusive, sealed};
use seats::catalog::{Catalog, FeatureLicenses};
use seats::evaluate::lower_successors;
use seats::license::License;

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
