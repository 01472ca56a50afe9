//! The numbers of features for `/metrics`, in two halves: what their licenses say, which changes with the licenses and the
//! day and may be kept until then, and what is in use. `status` shows the same numbers, from the same functions (`fill`).
//! Not here: the text of metrics (`src/http/metrics.rs`).

use seats::catalog::FeatureLicenses;
use seats::evaluate::Evaluation;

use super::fill::{in_use, name_of, of_licenses, serves};
use crate::clock::Zone;
use crate::engine::picture::Picture;
use crate::report::Feature;

/// How many features a picture shows at most: those of the catalog first, then those that no file names any more.
pub fn places(picture: &Picture) -> usize {
    picture.catalog.features().len() + picture.by_feature().without_license.len()
}

/// What the licenses of a feature of the picture's catalog say; `evaluation`: of its day. It is so as long as the catalog, the
/// day and the first checkouts are the same.
pub fn licensed(
    zone: &Zone,
    feature: &FeatureLicenses,
    evaluation: &Evaluation,
    picture: &Picture,
) -> Feature {
    let (vendor, name) = (feature.vendor.as_str().into(), feature.feature.as_str().into());
    of_licenses(zone, feature, evaluation, picture, Feature { vendor, name, ..Feature::default() })
}

/// What is in use of the feature at a place, below [`places`]; `None`: it is not shown.
pub fn in_use_at(picture: &Picture, at: usize) -> Option<Feature> {
    let listed = picture.catalog.features();
    match listed.get(at) {
        Some(feature) => {
            let counters = picture.counters_of(at);
            let (vendor, name) = (feature.vendor.as_str(), feature.feature.as_str());
            serves(feature, counters.clone()).then(|| in_use(vendor, name, counters, picture))
        }
        None => {
            let counters = picture.at(picture.by_feature().without_license.get(at - listed.len())?);
            let (vendor, name) = name_of(counters.clone());
            Some(in_use(vendor, name, counters, picture))
        }
    }
}
