//! A license's own terms: client host ids, platform, zone, release facts (S3, L13), and whom its seats are shared with (L60).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::{Ledger, Session};
use super::judge::Unfit;
use super::release::check_stated;
use crate::catalog::FeatureLicenses;
use crate::denial::Code;
use crate::license::{HostIdKind, License, LicenseVersion, host_ids_needed};
use crate::request::{Facts, NameRules};

/// The key of the share group that a program is in under a license; `None`: it shares with nobody (L60). All flags of
/// SHARE must agree; a program that gives no string shares on no string.
pub(in crate::ledger) fn share_key(names: NameRules, license: &License, facts: &Facts) -> Option<Arc<str>> {
    let share = license.share;
    if !(share.host || share.user || share.custom) {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    if share.host {
        parts.push(format!("host {}", names.fold_host(&facts.host)));
    }
    if share.user {
        parts.push(format!("user {}", names.fold_user(&facts.user)));
    }
    if share.custom {
        parts.push(format!("string {}", facts.share.as_deref()?));
    }
    // None of the parts holds a line feed (S1).
    Some(parts.join("\n").into())
}

impl Ledger {
    /// Whether a session that was granted under another license would be granted under this one, seats aside (L39).
    pub(in crate::ledger) fn would_take(
        &self,
        feature: &FeatureLicenses,
        license: &Arc<License>,
        session: &Session,
        facts: &Facts,
    ) -> bool {
        // What a token took was judged by the version the token states, which is not kept.
        let any = session.token().map(|_| LicenseVersion { major: 0, minor: 0 });
        self.check_terms(feature, license, "", facts, any).is_ok()
    }

    /// The license's own terms in the order of S3: client host ids (L13), platform, zone, release facts
    /// (rules 3, 6.4).
    pub(super) fn check_terms(
        &self,
        of: &FeatureLicenses,
        license: &Arc<License>,
        feature: &str,
        facts: &Facts,
        stated: Option<LicenseVersion>,
    ) -> Result<(), Unfit> {
        let deny = |code, text: String| Err(Unfit::Said(code, text));
        if !license.client_host_ids.is_empty() && !self.client_matches(license, facts) {
            let text = format!(
                "the license of {feature} is bound to other clients than {}@{}",
                facts.user, facts.host
            );
            return deny(Code::ClientHostMismatch, text);
        }
        let platform = facts.platform.to_ascii_lowercase();
        let os = platform.split('-').next().unwrap_or("");
        if !license.platforms.is_empty() && !license.platforms.iter().any(|p| **p == *platform || **p == *os)
        {
            let allowed = license.platforms.join(", ");
            let stated = if platform.is_empty() { "a platform that is not stated" } else { &platform };
            return deny(
                Code::Platform,
                format!("the license of {feature} is for {allowed}, not for {stated}"),
            );
        }
        if let Some(zones) = license.time_zones
            && !zones.contains(facts.offset_minutes)
        {
            let hours: Vec<String> = zones.hours().map(|h| format!("{h:+}")).collect();
            let text = format!(
                "the license of {feature} is for clients at GMT {} h; this one is at {:+} minutes",
                hours.join(", "),
                facts.offset_minutes
            );
            return deny(Code::TimeZone, text);
        }
        match stated {
            Some(version) => check_stated(feature, license, version),
            None => self.check_release(of, license, facts),
        }
    }

    /// L13: one CLIENT_HOSTID block matches what the client states, by HOSTID_MATCH_RATE (L12).
    fn client_matches(&self, license: &License, facts: &Facts) -> bool {
        let names = self.names;
        let states = |equals: &dyn Fn(&str) -> bool, kind: HostIdKind| {
            facts.host_ids.iter().any(|id| id.kind == kind && equals(&id.value))
        };
        license.client_host_ids.iter().any(|block| {
            let hits = block.iter().filter(|entry| match entry.kind {
                HostIdKind::Hostname => names.fold_host(&entry.value) == names.fold_host(&facts.host),
                HostIdKind::Username => names.fold_user(&entry.value) == names.fold_user(&facts.user),
                kind @ HostIdKind::IpAddress => facts
                    .address
                    .is_some_and(|a| kind.comparable(&entry.value) == a.to_canonical().to_string()),
                // What the server cannot see, the client states; a string of the customer's own is compared as it is.
                kind => {
                    let wanted = kind.comparable(&entry.value);
                    states(&|value| kind.comparable(value) == wanted, kind)
                }
            });
            !block.is_empty() && hits.count() >= host_ids_needed(block.len(), license.match_rate)
        })
    }
}
