//! From templates to a signed license file.
//!
//! What a server would refuse is refused here, with the same parser and the same words; and what is written is
//! read back and verified before anybody gets it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use seats::catalog::Catalog;
use seats::license::{Count, KeyType, License, Reason};

use super::base::misfit;
use super::key::{VendorKey, random_sn};
use super::write::write;
use crate::licenses::canonical::canonical;
use crate::licenses::settings::check;
use crate::licenses::xml::{self, Fault, RawFeature, RawSetting, Root};
use crate::licenses::{Problem, Signatures, locate, read_files};

/// One file with features to sign, or the license an upgrade is checked against.
#[derive(Clone, Debug)]
pub struct Template {
    /// How it is called in messages.
    pub file: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What came of signing.
#[derive(Clone, Debug)]
pub struct SignedFile {
    /// One license file with the features of all templates, in their order.
    pub xml: String,
    /// The licenses in it, as a server reads them.
    pub licenses: Vec<Arc<License>>,
    /// What is allowed and perhaps not meant: no version, a fixed SN.
    pub warnings: Vec<Problem>,
}

/// Signs every feature of every template into one file.
///
/// VENDOR is the key's, ISSUED is `today` where a template does not state it or says TODAY, SN is a random UUID
/// where it states none. With `base`, each upgrade must fit an exclusive of it; exclusives of the templates
/// themselves serve as bases too. Tokens are judged together with all of these (L51).
///
/// # Errors
///
/// Every problem of every template: nothing is signed where one thing is wrong.
pub fn sign(
    key: &VendorKey,
    templates: &[Template],
    base: Option<&Template>,
    today: NaiveDate,
) -> Result<SignedFile, Vec<Problem>> {
    let mut session = Session { key, today, problems: Vec::new(), warnings: Vec::new(), drafts: Vec::new() };
    for template in templates {
        session.read(template);
    }
    session.check_identities();
    let base = base.map(read_base);
    session.check_upgrades(base.as_deref());
    session.check_tokens(base.as_deref().unwrap_or_default());
    session.finish()
}

struct Session<'t> {
    key: &'t VendorKey,
    today: NaiveDate,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    drafts: Vec<Draft<'t>>,
}

/// A feature with all its settings, not yet signed.
struct Draft<'t> {
    template: &'t Template,
    text: &'t str,
    raw: RawFeature<'t>,
    license: License,
}

impl<'t> Session<'t> {
    fn read(&mut self, template: &'t Template) {
        let document = match xml::decode(&template.bytes).and_then(|text| Ok((text, xml::read(text)?))) {
            Ok(document) => document,
            Err(fault) => {
                let text = String::from_utf8_lossy(&template.bytes);
                self.problems.push(locate(&template.file, &text, None, &fault));
                return;
            }
        };
        let (text, document) = document;
        for fault in &document.faults {
            self.problems.push(locate(&template.file, text, None, fault));
        }
        if document.root == Root::Releases {
            let message =
                "this is a release catalog, not a license; sign it with `seatkeeper vendor catalog sign`";
            let fault = Fault::new(0, Reason::BadValue, message);
            self.problems.push(locate(&template.file, text, None, &fault));
            return;
        }
        if document.features.is_empty() && document.faults.is_empty() {
            let fault =
                Fault::new(0, Reason::BadValue, "there is no FEATURE in it; the smallest template is a NAME");
            self.problems.push(locate(&template.file, text, None, &fault));
        }
        for raw in document.features {
            self.draft(template, text, raw);
        }
    }

    fn draft(&mut self, template: &'t Template, text: &'t str, mut raw: RawFeature<'t>) {
        let mut faults: Vec<Fault> = signed_already(&raw).into_iter().collect();
        faults.extend(self.fill(&template.file, text, &mut raw));
        let checked = check(&raw);
        faults.extend(checked.faults);
        faults.extend(checked.unsupported);
        let warn = |at, message: &str| {
            locate(&template.file, text, Some(&raw), &Fault::new(at, Reason::BadValue, message))
        };
        if let Some(license) = &checked.license {
            if license.key_type == KeyType::Upgrade && license.count == Some(Count::Unlimited) {
                let message = "an upgrade may not be UNLIMITED; state how many seats it adds";
                faults.push(Fault::new(raw.at, Reason::Unlimited, message));
            }
            if license.version.is_none() && matches!(license.key_type, KeyType::Exclusive | KeyType::Additive)
            {
                let message = "it states no VERSION: every version of the program will run, now and later";
                self.warnings.push(warn(raw.at, message));
            }
        }
        for warning in &checked.warnings {
            self.warnings.push(locate(&template.file, text, Some(&raw), warning));
        }
        for fault in &faults {
            self.problems.push(locate(&template.file, text, Some(&raw), fault));
        }
        if let Some(license) = checked.license {
            self.drafts.push(Draft { template, text, raw, license });
        }
    }

    /// VENDOR, SN and ISSUED, where the template leaves them to the signer.
    fn fill(&mut self, file: &str, text: &str, raw: &mut RawFeature<'t>) -> Option<Fault> {
        let at = raw.at;
        if let Some(fault) = fill_vendor(self.key, raw) {
            return Some(fault);
        }
        match raw.settings.iter().find(|setting| setting.name == "SN") {
            Some(given) => {
                let message = "its SN is fixed: every file signed from this template is the same license and counts \
                               once; leave SN out to get a new one each time";
                let fault = Fault::new(given.name_at, Reason::BadValue, message);
                self.warnings.push(locate(file, text, Some(raw), &fault));
            }
            None => match random_sn() {
                Ok(sn) => add(raw, "SN", sn),
                Err(error) => return Some(Fault::new(at, Reason::BadValue, error.to_string())),
            },
        }
        fill_issued(self.today, raw);
        None
    }

    /// Two licenses of one identity would count once (L36).
    fn check_identities(&mut self) {
        let mut seen: BTreeMap<_, &Draft<'_>> = BTreeMap::new();
        for draft in &self.drafts {
            let license = &draft.license;
            let identity = (license.feature.clone(), license.key_type, license.sn.clone());
            if let Some(other) = seen.insert(identity, draft) {
                let sn = license.sn.as_deref().unwrap_or("");
                let message = format!(
                    "its SN {sn} is that of another {} in {}; give each license its own",
                    license.feature, other.template.file
                );
                let fault = Fault::new(draft.raw.at, Reason::Duplicate, message);
                self.problems.push(locate(&draft.template.file, draft.text, Some(&draft.raw), &fault));
            }
        }
    }

    fn check_upgrades(&mut self, given: Option<&[License]>) {
        let bases: Vec<&License> =
            self.drafts.iter().map(|draft| &draft.license).chain(given.into_iter().flatten()).collect();
        let mut problems = Vec::new();
        for draft in self.drafts.iter().filter(|draft| draft.license.key_type == KeyType::Upgrade) {
            let own = self.drafts.iter().any(|other| {
                other.license.key_type == KeyType::Exclusive && other.license.feature == draft.license.feature
            });
            if (given.is_some() || own)
                && let Some((reason, message)) = misfit(&draft.license, &bases)
            {
                let fault = Fault::new(draft.raw.at, reason, message);
                problems.push(locate(&draft.template.file, draft.text, Some(&draft.raw), &fault));
            }
        }
        self.problems.append(&mut problems);
    }

    /// A loop of tokens, or sharing on both sides, is refused by the server that has all of them: here as far as the
    /// licenses are at hand.
    fn check_tokens(&mut self, given: &[License]) {
        if !self.drafts.iter().any(|draft| draft.license.key_type == KeyType::Token) {
            return;
        }
        let drafts: Vec<Arc<License>> =
            self.drafts.iter().map(|draft| Arc::new(draft.license.clone())).collect();
        let catalog =
            Catalog::new(given.iter().cloned().map(Arc::new).chain(drafts.iter().cloned()).collect());
        for feature in catalog.features() {
            for (at, license) in feature.licenses.iter().enumerate() {
                let Some(fault) = feature.token_fault(at) else { continue };
                let Some(nth) = drafts.iter().position(|draft| Arc::ptr_eq(draft, license)) else { continue };
                let Draft { template, text, raw, .. } = &self.drafts[nth];
                let fault = Fault::new(raw.at, fault.reason, fault.message.clone());
                self.problems.push(locate(&template.file, text, Some(raw), &fault));
            }
        }
    }

    fn finish(mut self) -> Result<SignedFile, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let mut features = Vec::new();
        for draft in &mut self.drafts {
            let signature = self.key.sign(&canonical(&draft.raw));
            add(&mut draft.raw, "KEY", signature);
            features.push(std::mem::take(&mut draft.raw));
        }
        let xml = write(&features);
        let files = [("signed license".to_owned(), xml.clone().into_bytes())];
        let trusted = [self.key.identity().clone()];
        let set = read_files(&files, &trusted, Signatures::Required);
        if !set.problems.is_empty() || set.licenses.len() != features.len() {
            return Err(set.problems);
        }
        Ok(SignedFile { xml, licenses: set.licenses, warnings: self.warnings })
    }
}

/// The licenses of a base. It may be signed with another key of the vendor: what it says is what matters here.
fn read_base(base: &Template) -> Vec<License> {
    let set = read_files(&[(base.file.clone(), base.bytes.clone())], &[], Signatures::Optional);
    let refused_for_its_key = [Reason::UnknownVendorKey, Reason::NotSupportedYet];
    set.licenses
        .iter()
        .filter(|license| license.refusal.as_ref().is_none_or(|r| refused_for_its_key.contains(&r.reason)))
        .map(|license| License { refusal: None, ..(**license).clone() })
        .collect()
}

/// KEY, which only the signer writes.
pub(super) fn signed_already(raw: &RawFeature<'_>) -> Option<Fault> {
    let key = raw.settings.iter().find(|setting| setting.name == "KEY")?;
    let message = "it is signed already; a template has no KEY, remove it";
    Some(Fault::new(key.name_at, Reason::SettingNotAllowed, message))
}

/// VENDOR, which is the key's.
pub(super) fn fill_vendor(key: &VendorKey, raw: &mut RawFeature<'_>) -> Option<Fault> {
    let vendor = key.identity().vendor();
    match raw.settings.iter().find(|setting| setting.name == "VENDOR") {
        Some(given) if !given.value.eq_ignore_ascii_case(vendor.as_str()) => {
            let message = format!("VENDOR {} is not {vendor}, for whom this key signs", given.value);
            return Some(Fault::new(given.value_at, Reason::BadValue, message));
        }
        Some(_) => {}
        None => add(raw, "VENDOR", vendor.as_str().to_owned()),
    }
    None
}

/// ISSUED, where the template does not state it or says TODAY.
pub(super) fn fill_issued(today: NaiveDate, raw: &mut RawFeature<'_>) {
    let today = today.format("%Y-%m-%d").to_string();
    match raw.settings.iter_mut().find(|setting| setting.name == "ISSUED") {
        Some(given) if given.value == "TODAY" => given.value = Cow::Owned(today),
        Some(_) => {}
        None => add(raw, "ISSUED", today),
    }
}

pub(super) fn add(raw: &mut RawFeature<'_>, name: &'static str, value: String) {
    let at = raw.at;
    raw.settings.push(RawSetting { name, name_at: at, value: Cow::Owned(value), value_at: at });
}
