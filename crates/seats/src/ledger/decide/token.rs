//! What a token takes of the features it depends on: all of it or nothing (L51).

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chrono::NaiveDate;

use super::super::Ledger;
use super::draft::Draft;
use super::judge::{Asked, Failure, Link, Want};
use crate::change::PoolId;
use crate::denial::{Code, Denial};
use crate::license::{Count, KeyType, License};

/// The most sessions of one checkout, those that tokens take included: one record of the journal stays small.
const SESSIONS_MAX: usize = 4_096;

impl Ledger {
    /// The features that the tokens of a feature take seats of, by their index in the catalog.
    pub(in crate::ledger) fn needed_features(&self, at: usize, day: NaiveDate) -> Vec<usize> {
        let catalog = self.terms.catalog();
        let licenses = catalog.features()[at].licenses.iter().enumerate();
        let tokens = licenses.filter(|(_, license)| license.key_type == KeyType::Token);
        let needs = tokens.filter_map(|(license, _)| catalog.token_needs(at, license, day)).flatten();
        needs.filter_map(|need| need.feature).collect()
    }

    /// Takes what a token needs, by name, for the session at `nth` that is already in the draft.
    #[allow(clippy::too_many_arguments, reason = "one pool's facts, gathered in the one caller")]
    pub(super) fn take_needed(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &Arc<License>,
        nth: u16,
        share: Option<&Arc<str>>,
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        let catalog = self.terms.catalog();
        let license_at = want.feature.licenses.iter().position(|l| Arc::ptr_eq(l, license));
        let needs = license_at
            .and_then(|license| catalog.token_needs(want.at, license, asked.now.day))
            .unwrap_or_default();
        let key: Option<Arc<str>> = share.map(|key| format!("t{}\0{key}", pool.0).into());
        for need in &needs {
            let fail = |mut denial: Box<Denial>| {
                if let Some(subject) = &mut denial.subject {
                    subject.needed_by = Some(want.name.into());
                }
                Failure::Needed(denial)
            };
            let count = u32::try_from(u64::from(want.count).saturating_mul(need.count))
                .ok()
                .filter(|count| *count <= Count::MAX && draft.taken.len() < SESSIONS_MAX);
            let Some(at) = need.feature else {
                let text =
                    format!("{} needs {}, and no license of it is on this server", want.name, need.name);
                return Err(fail(self.about_needed(want, need, Code::UnknownFeature, text)));
            };
            let Some(count) = count else {
                let text =
                    format!("{} of {} are more seats of {} than can exist", want.count, want.name, need.name);
                return Err(fail(self.about_needed(want, need, Code::BadRequest, text)));
            };
            let feature = &catalog.features()[at];
            let wanted = Want {
                at,
                feature,
                name: need.name.as_str(),
                count,
                rules: self.usage.policy.of(&feature.vendor, &feature.feature),
                version: Some(need.version),
                token: Some(Link { nth, share: key.as_ref(), is_token: need.is_token }),
                booking: None,
            };
            self.judge(&wanted, asked, draft).map_err(fail)?;
        }
        Ok(())
    }
}
