//! From templates to a signed release catalog (rules 3, amendments).
//!
//! As with licenses, what a server would refuse is refused here, and what is written is read back and verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use seats::license::{Name, Reason};
use seats::releases::ReleaseList;

use super::key::VendorKey;
use super::sign::{Template, add, fill_issued, fill_vendor, signed_already};
use super::write::write_releases;
use crate::licenses::canonical::canonical_releases;
use crate::licenses::releases::check;
use crate::licenses::xml::{self, Fault, RawFeature, Root};
use crate::licenses::{Problem, Signatures, locate, read_files};

/// What came of signing.
#[derive(Clone, Debug)]
pub struct SignedCatalog {
    /// One catalog with the lists of all templates, in their order.
    pub xml: String,
    /// The lists in it, as a server reads them.
    pub lists: Vec<Arc<ReleaseList>>,
}

/// Signs every release list of every template into one file.
///
/// VENDOR is the key's, ISSUED is `today` where a template does not state it or says TODAY.
///
/// # Errors
///
/// Every problem of every template: nothing is signed where one thing is wrong. Two lists of one feature are a problem too:
/// only one of them would count.
pub fn sign_catalog(
    key: &VendorKey,
    templates: &[Template],
    today: NaiveDate,
) -> Result<SignedCatalog, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut lists: Vec<RawFeature<'_>> = Vec::new();
    let mut files: BTreeMap<Name, &str> = BTreeMap::new();
    for template in templates {
        let read = xml::decode(&template.bytes).and_then(|text| Ok((text, xml::read(text)?)));
        let (text, document) = match read {
            Ok(read) => read,
            Err(fault) => {
                let text = String::from_utf8_lossy(&template.bytes);
                problems.push(locate(&template.file, &text, None, &fault));
                continue;
            }
        };
        let mut of_file = document.faults;
        if document.root == Root::LicenseFile {
            let message =
                "this is a license file, not a release catalog; sign it with `seatkeeper vendor sign`";
            of_file.push(Fault::new(0, Reason::BadValue, message));
        } else if document.features.is_empty() && of_file.is_empty() {
            of_file.push(Fault::new(0, Reason::BadValue, "there is no FEATURE in it"));
        }
        problems.extend(of_file.iter().map(|fault| locate(&template.file, text, None, fault)));
        if document.root == Root::LicenseFile {
            continue;
        }
        for mut raw in document.features {
            let mut faults: Vec<Fault> = signed_already(&raw).into_iter().collect();
            faults.extend(fill_vendor(key, &mut raw));
            fill_issued(today, &mut raw);
            let checked = check(&raw);
            faults.extend(checked.faults);
            if let Some(list) = checked.list
                && let Some(other) = files.insert(list.feature.clone(), &template.file)
            {
                let message = format!(
                    "{other} has a list of {} too, and only one of a feature counts; put them into one",
                    list.feature
                );
                faults.push(Fault::new(raw.at, Reason::Duplicate, message));
            }
            problems.extend(faults.iter().map(|fault| locate(&template.file, text, Some(&raw), fault)));
            lists.push(raw);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for raw in &mut lists {
        let signature = key.sign(&canonical_releases(raw));
        add(raw, "KEY", signature);
    }
    let xml = write_releases(&lists);
    let files = [("signed catalog".to_owned(), xml.clone().into_bytes())];
    let set = read_files(&files, &[key.identity().clone()], Signatures::Required);
    if !set.problems.is_empty() || set.releases.len() != lists.len() {
        return Err(set.problems);
    }
    Ok(SignedCatalog { xml, lists: set.releases })
}
