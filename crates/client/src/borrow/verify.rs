//! Whether a borrow token is good: for this program, this user, this moment (S40). Everything it needs is in its arguments.
//!
//! Each step rests on the one before it. The vendor's key, which the program brought with it, vouches for the license; the
//! license names the server's key; the server's key vouches for what was lent to whom. A token that was changed anywhere, put
//! together from two, or made by another server fails at one of them.
//!
//! What cannot be verified here: how many seats the server had. Upgrades add to a license and are not in the token, so its
//! count is the server's word; only an ADDITIVE, which stands alone, bounds it.

use std::sync::Arc;

use chrono::NaiveDate;
use ed25519_dalek::{Signature, VerifyingKey};
use seats::license::{License as Terms, Name, host_ids_needed};
use seats::maintenance::Release;
use seats::request::NameRules;
use seats::version::parse_date;
use sha2::{Digest, Sha256};
use thiserror::Error;
use wire::answer::SignedLicense;
use wire::borrow::{BorrowToken, Lent, TokenError};
use wire::request::Facts;

use super::form::Form;
use super::keys::{VendorKey, read_signature};
use super::release;
use super::terms::{self, number};
use crate::Options;
use crate::error::Refusal;
use crate::grace::clock::shown;
use crate::install::InstallId;

/// How far this computer's clock may stand behind the server's, or behind what it has seen itself: corrections of a clock that
/// is about right, as the grace of L65 has it. An end that was seen is an end all the same.
pub(super) const CLOCK_TOLERANCE_SECONDS: i64 = 300;
const HOUR_SECONDS: i64 = 3_600;
/// Days of a license are days of the server's zone, which the token does not name: the first zone to begin a day does so
/// fourteen hours before GMT, the last to end it twelve hours after.
const ZONE_EAST_SECONDS: i64 = 14 * HOUR_SECONDS;
const ZONE_WEST_SECONDS: i64 = 12 * HOUR_SECONDS;

/// Why a borrowed seat cannot be used now. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum NotValid {
    /// The bytes are no token, or not all of one.
    #[error("the borrow token is damaged ({0}); return it, or borrow again from the license server")]
    Damaged(TokenError),
    /// The license in the token is not as a vendor's tools write it.
    #[error("the license in the borrow token is damaged; borrow again from the license server")]
    License,
    /// The application was given no vendor key.
    #[error(
        "this program was not given its vendor's public key, so it cannot verify what is borrowed; tell its vendor"
    )]
    NoKeys,
    /// The application does not know who signed the license.
    #[error(
        "the license is signed with the key {id} of {vendor}, which this program does not know; update the program, or ask {vendor}"
    )]
    UnknownKey { id: String, vendor: String },
    /// The vendor's signature does not fit.
    #[error(
        "{vendor} has not signed this license as it stands; it was changed, borrow again from the license server"
    )]
    VendorSignature { vendor: String },
    /// A license that is not locked to a server's key could lend the same seat twice.
    #[error(
        "the license of {feature} is not locked to the key of a license server, so nothing may be borrowed from it; ask {vendor} for one with SERVERKEY"
    )]
    NotLocked { feature: String, vendor: String },
    /// The license names other servers.
    #[error(
        "{feature} was lent by a license server that its license does not name; borrow from the server that the license is for"
    )]
    OtherServer { feature: String },
    /// The server's signature does not fit.
    #[error(
        "the license server has not signed this as it stands; it was changed, borrow again from the license server"
    )]
    ServerSignature,
    /// Token and license speak of different things.
    #[error("the token is for {lent}, its license for {licensed}; borrow again from the license server")]
    OtherFeature { lent: String, licensed: String },
    /// No BORROW, or a kind of license from which nothing is lent.
    #[error("the license of {feature} allows no borrowing; ask {vendor} for one that does")]
    NotLent { feature: String, vendor: String },
    /// Longer than BORROW.
    #[error(
        "{feature} was lent for {hours} hours where its license allows {hours_max}; borrow again from the license server"
    )]
    TooLong { feature: String, hours: i64, hours_max: u32 },
    /// No seats, or more than the license alone has.
    #[error(
        "{count} seats of {feature} cannot have been lent from its license; borrow again from the license server"
    )]
    Count { feature: String, count: u32 },
    /// Lent for days on which the license does not count.
    #[error(
        "{feature} was lent for days on which its license does not count; borrow again from the license server"
    )]
    Term { feature: String },
    /// Lent to another installation.
    #[error("{feature} was lent to another installation of the program or another computer; borrow it here")]
    OtherInstallation { feature: String },
    /// Lent to another user.
    #[error("{feature} was lent to {lent_to}, and this is {user}; borrow it as {user}")]
    OtherUser { feature: String, lent_to: String, user: String },
    /// The clock stands before the grant.
    #[error("this computer's clock stands at {}, before {feature} was lent at {}; set the clock right", shown(*.now), shown(*.granted_at))]
    NotYet { feature: String, now: i64, granted_at: i64 },
    /// The clock stands before what was seen already.
    #[error("this computer's clock stands at {}, but {} has been seen already; set the clock right, or, if it was wrong then, return {feature} to the license server and borrow it again", shown(*.now), shown(*.mark))]
    ClockBehind { feature: String, now: i64, mark: i64 },
    /// Its time is over.
    #[error("the time for which {feature} was lent ended at {}; borrow it again", shown(*.ends_at))]
    Over { feature: String, ends_at: i64 },
    /// The license and its renewals do not let this release of the program run (rules 3, 6.4): the code and the sentence that a
    /// server would answer a checkout with.
    #[error("{0}")]
    Release(Refusal),
    /// A renewal is for another license, and this release needs one.
    #[error(
        "a renewal of maintenance in the borrow token of {feature} is for another license; borrow again from the license server"
    )]
    OtherRenewal { feature: String },
    /// It is being given back, and that may have happened.
    #[error("{feature} is being given back; borrow it again")]
    Returning { feature: String },
}

/// Whom it must be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) keys: &'a [VendorKey],
    pub(super) install_id: InstallId,
    pub(super) user: &'a str,
    /// What the program states of its release.
    pub(super) release: Release<'a>,
    /// The day it is here.
    pub(super) day: NaiveDate,
}

impl<'a> Asker<'a> {
    /// Who asks by these facts, at this moment, Unix seconds.
    pub(super) fn new(options: &'a Options, facts: &'a Facts, now: i64) -> Asker<'a> {
        let here = now.saturating_add(i64::from(facts.offset_minutes) * 60);
        Asker {
            keys: &options.vendor_keys,
            install_id: options.install_id,
            user: &facts.user,
            release: Release {
                version: facts.release_version.as_deref(),
                date: facts.release_date.as_deref(),
                line: facts.line_date.as_deref(),
            },
            // A clock beyond the calendar is beyond the end of every token.
            day: release::of_unix(here).unwrap_or(NaiveDate::MAX),
        }
    }
}

/// Verifies all of a token but the time, in the order that the module tells.
pub(super) fn verify(bytes: &[u8], asker: Asker<'_>) -> Result<Lent, NotValid> {
    let (lent, terms) = for_asker(bytes, asker)?;
    release::check(&lent, &terms, &asker)?;
    Ok(lent)
}

/// The same whatever the program's release is; with what the license says of releases.
pub(super) fn for_asker(bytes: &[u8], asker: Asker<'_>) -> Result<(Lent, Arc<Terms>), NotValid> {
    let token = BorrowToken::from_bytes(bytes).map_err(NotValid::Damaged)?;
    let lent = &token.lent;
    let form = Form::read(&lent.license.canonical).ok_or(NotValid::License)?;
    let license = License::read(&form)?;
    let terms = terms::read(&form).ok_or(NotValid::License)?;
    vouched_by_vendor(&lent.license, &license.vendor, asker.keys)?;
    locked_to_server(lent, &form, &license)?;
    signed_by_server(&token)?;
    lent_from(lent, &license, &terms)?;

    let feature = || lent.feature.clone();
    if lent.install_id != asker.install_id.0 {
        return Err(NotValid::OtherInstallation { feature: feature() });
    }
    let fold = |user| NameRules::default().fold_user(user);
    if fold(&lent.user) != fold(asker.user) {
        let (lent_to, user) = (lent.user.clone(), asker.user.to_owned());
        return Err(NotValid::OtherUser { feature: feature(), lent_to, user });
    }
    Ok((token.lent, terms))
}

/// Whether it may be used at this moment, Unix seconds; `mark` is the latest that this computer has seen.
pub(super) fn in_time(lent: &Lent, now: i64, mark: i64) -> Result<(), NotValid> {
    let feature = || lent.feature.clone();
    // What the clock is set back by gains nothing, however little it is.
    if now.max(mark) >= lent.ends_at {
        return Err(NotValid::Over { feature: feature(), ends_at: lent.ends_at });
    }
    if now.saturating_add(CLOCK_TOLERANCE_SECONDS) < lent.granted_at {
        return Err(NotValid::NotYet { feature: feature(), now, granted_at: lent.granted_at });
    }
    if now.saturating_add(CLOCK_TOLERANCE_SECONDS) < mark {
        return Err(NotValid::ClockBehind { feature: feature(), now, mark });
    }
    Ok(())
}

/// What counts here of a license's settings.
struct License<'f> {
    feature: &'f str,
    vendor: Name,
    borrow_hours: Option<u32>,
    /// `None`: a kind from which nothing is lent.
    seats_max: Option<u32>,
    match_rate: u8,
    /// Seconds since 1970 in GMT: of the first day's beginning, and of the last day's end.
    starts: Option<i64>,
    ends: Option<i64>,
}

impl<'f> License<'f> {
    fn read(form: &Form<'f>) -> Result<License<'f>, NotValid> {
        License::of(form).ok_or(NotValid::License)
    }

    fn of(form: &Form<'f>) -> Option<License<'f>> {
        let get = |name| form.get(name).ok();
        let midnight = |text: &str| Some(parse_date(text)?.and_hms_opt(0, 0, 0)?.and_utc().timestamp());
        let date = |name| match get(name)? {
            Some(text) => midnight(text).map(Some),
            None => Some(None),
        };
        let seats_max = match get("KEYTYPE")?.unwrap_or("EXCLUSIVE") {
            // Upgrades add to it.
            "EXCLUSIVE" => get("COUNT")?.map(|_| u32::MAX),
            "ADDITIVE" => match get("COUNT")? {
                Some("UNLIMITED") => Some(u32::MAX),
                count => Some(number(count?)?),
            },
            _ => None,
        };
        Some(License {
            feature: form.name,
            vendor: Name::new(get("VENDOR")??)?,
            borrow_hours: match get("BORROW")? {
                Some(hours) => Some(number(hours)?),
                None => None,
            },
            seats_max,
            match_rate: match get("HOSTID_MATCH_RATE")? {
                Some(rate) => u8::try_from(number(rate)?).ok().filter(|rate| *rate <= 100)?,
                None => 100,
            },
            starts: date("START")?,
            ends: match date("END")? {
                Some(last) => Some(last.checked_add(86_400)?),
                None => None,
            },
        })
    }
}

/// Whether the vendor that a license or a renewal names has signed it.
pub(super) fn vouched_by_vendor(
    signed: &SignedLicense,
    of: &Name,
    keys: &[VendorKey],
) -> Result<(), NotValid> {
    if keys.is_empty() {
        return Err(NotValid::NoKeys);
    }
    let vendor = || of.as_str().to_owned();
    let (id, signature) =
        read_signature(&signed.key).ok_or_else(|| NotValid::VendorSignature { vendor: vendor() })?;
    let key = keys.iter().find(|key| key.is_named(id, of));
    let key = key.ok_or_else(|| NotValid::UnknownKey { id: id.to_owned(), vendor: vendor() })?;
    if !key.has_signed(&signed.canonical, &signature) {
        return Err(NotValid::VendorSignature { vendor: vendor() });
    }
    Ok(())
}

/// The license must be locked to servers' keys, and to that of this server: a license that some server can serve without its
/// key could lend the same seat from a copy (S40).
fn locked_to_server(lent: &Lent, form: &Form<'_>, license: &License<'_>) -> Result<(), NotValid> {
    let not_locked =
        || NotValid::NotLocked { feature: lent.feature.clone(), vendor: license.vendor.as_str().to_owned() };
    let needs_a_key = |block: &Vec<(&str, &str)>| {
        let others = block.iter().filter(|(kind, _)| *kind != "SERVERKEY").count();
        others < block.len() && others < host_ids_needed(block.len(), license.match_rate)
    };
    if form.servers.is_empty() || !form.servers.iter().all(needs_a_key) {
        return Err(not_locked());
    }
    let fingerprint = fingerprint(&lent.server_key);
    let is_named =
        |(kind, value): &(&str, &str)| *kind == "SERVERKEY" && value.eq_ignore_ascii_case(&fingerprint);
    if !form.servers.iter().flatten().any(is_named) {
        return Err(NotValid::OtherServer { feature: lent.feature.clone() });
    }
    Ok(())
}

fn signed_by_server(token: &BorrowToken) -> Result<(), NotValid> {
    let signed = token.lent.signed_bytes().map_err(NotValid::Damaged)?;
    let key = VerifyingKey::from_bytes(&token.lent.server_key).ok().filter(|key| !key.is_weak());
    let is_good =
        key.is_some_and(|key| key.verify_strict(&signed, &Signature::from_bytes(&token.signature)).is_ok());
    is_good.then_some(()).ok_or(NotValid::ServerSignature)
}

/// What the server lent against what the license lets it lend.
fn lent_from(lent: &Lent, license: &License<'_>, terms: &Terms) -> Result<(), NotValid> {
    let feature = || lent.feature.clone();
    let vendor = || license.vendor.as_str().to_owned();
    let is_same = lent.feature.eq_ignore_ascii_case(license.feature)
        && Name::new(&lent.vendor).is_some_and(|name| name == license.vendor);
    if !is_same {
        let lent = format!("{}/{}", lent.vendor, lent.feature);
        return Err(NotValid::OtherFeature { lent, licensed: format!("{}/{}", vendor(), license.feature) });
    }
    let (Some(hours_max), Some(seats_max)) = (license.borrow_hours, license.seats_max) else {
        return Err(NotValid::NotLent { feature: feature(), vendor: vendor() });
    };
    if lent.count == 0 || lent.count > seats_max {
        return Err(NotValid::Count { feature: feature(), count: lent.count });
    }
    let seconds = i128::from(lent.ends_at) - i128::from(lent.granted_at);
    if seconds <= 0 || seconds > i128::from(hours_max) * i128::from(HOUR_SECONDS) {
        let hours = i64::try_from(seconds.div_euclid(HOUR_SECONDS.into())).unwrap_or(i64::MAX);
        return Err(NotValid::TooLong { feature: feature(), hours, hours_max });
    }
    let is_early = license.starts.is_some_and(|day| lent.granted_at < day - ZONE_EAST_SECONDS);
    // Of a subscription with a fallback version that one is lent beyond its END; others are judged by the day they run on.
    let is_late = license.ends.is_some_and(|day| lent.ends_at > day + ZONE_WEST_SECONDS);
    let is_late = is_late && !terms.has_fallback();
    if is_early || is_late {
        return Err(NotValid::Term { feature: feature() });
    }
    Ok(())
}

/// What a SERVERKEY says of a key: its SHA-256 in hexadecimal.
pub(super) fn fingerprint(key: &[u8; 32]) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}
