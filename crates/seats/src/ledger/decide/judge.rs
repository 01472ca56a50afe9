//! One feature of a request: access first, then its pools in the order of trial, each by limits, terms and seats (S3).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::{Ledger, Now};
use super::clock::check_clock;
use super::draft::{Draft, Taken};
use super::terms::share_key;
use crate::catalog::FeatureLicenses;
use crate::change::{BookingId, PoolId};
use crate::denial::{BorrowFact, Code, Denial};
use crate::license::{KeyType, License, LicenseVersion};
use crate::maintenance::Refused;
use crate::policy::{Access, Class, FeatureRules, Limit};
use crate::request::{Facts, Lend};

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) facts: &'a Facts,
    pub(super) class: &'a Class,
    pub(super) now: Now,
    /// Where it is a borrow.
    pub(super) lend: Option<&'a Lend>,
}

/// One feature that is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want<'a> {
    /// Its index in the catalog.
    pub(super) at: usize,
    pub(super) feature: &'a FeatureLicenses,
    /// As it was asked for.
    pub(super) name: &'a str,
    pub(super) count: u32,
    pub(super) rules: FeatureRules<'a>,
    /// What a token states in place of the program's own version (L51).
    pub(super) version: Option<LicenseVersion>,
    pub(super) token: Option<Link<'a>>,
    pub(super) booking: Option<BookingId>,
}

/// The token that something is wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link<'a> {
    /// The place of its session in the bundle.
    pub(super) nth: u16,
    /// The key under which everything it takes is shared, where the token shares.
    pub(super) share: Option<&'a Arc<str>>,
    /// What is wanted is itself a token; what that one takes is wanted beside it.
    pub(super) is_token: bool,
}

/// Which term of a license a program does not fit.
#[derive(Clone, Debug)]
pub(super) enum Unfit {
    /// In words.
    Said(Code, String),
    /// Its version: the words are made where they are needed, since other pools may fit.
    Version(Box<Refused>),
}

impl Unfit {
    pub(super) fn code(&self) -> Code {
        match self {
            Unfit::Said(code, _) => *code,
            Unfit::Version(refused) => refused.code(),
        }
    }
}

/// Why a pool did not give a seat.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// A limit of the policy, and how many seats of it are in use.
    Limit(Limit, u64),
    /// A term of the license.
    Terms(Unfit),
    /// It cannot be lent for so long.
    Lent(String, BorrowFact),
    /// Something that the token needs.
    Needed(Box<Denial>),
    /// Not enough seats: so many were wanted, those of earlier items of the request included.
    Full(u64),
    /// The seats that are free are kept for others (S51).
    Reserved(u64),
    /// The seats that are free are for users or hosts named in the policy (L63).
    NotNamed(u64),
}

impl Failure {
    pub(super) fn code(&self) -> Code {
        match self {
            Failure::Limit(limit, _) => super::limits::code(&limit.subject),
            Failure::Terms(unfit) => unfit.code(),
            Failure::Lent(..) => Code::BorrowTooLong,
            Failure::Needed(denial) => denial.code,
            Failure::Full(_) => Code::NoSeats,
            Failure::Reserved(_) => Code::ReservedForOthers,
            Failure::NotNamed(_) => Code::NotNamed,
        }
    }
}

/// One pool that was tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) pool: PoolId,
    pub(super) license: Arc<License>,
    pub(super) failure: Failure,
}

impl Ledger {
    /// Whether one feature is granted, and out of which pool; what it takes is added to the draft.
    pub(super) fn judge(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        draft: &mut Draft,
    ) -> Result<(), Box<Denial>> {
        if let (Access::Deny, Some(rule)) = want.rules.access(asked.class) {
            return Err(self.denied_by_rule(want, rule));
        }
        if let Some(denial) = self.barred(want, asked) {
            return Err(denial);
        }
        if let Some(lend) = asked.lend {
            self.check_borrower(want, asked, lend, draft)?;
        }
        let is_wanted = |license: &License| match want.token {
            Some(link) => (license.key_type == KeyType::Token) == link.is_token,
            None => true,
        };
        let pools = || self.terms.pools(want.at).filter(|(_, license)| is_wanted(license));
        if pools().next().is_none() {
            return Err(self.not_in_force(want, asked.now));
        }
        let mut tried: Vec<Tried> = Vec::new();
        // Nobody's session ends where a pool has a seat without that, and nobody's who only idles where that of a suspect
        // is enough.
        let idle = core::mem::take(&mut draft.idle);
        let keeps_suspects = core::mem::replace(&mut draft.keeps_suspects, true);
        let mut taken = false;
        for (pool, license) in pools() {
            match self.try_pool(want, asked, pool, license, draft) {
                Ok(()) => {
                    taken = true;
                    break;
                }
                Err(failure) => tried.push(Tried { pool, license: license.clone(), failure }),
            }
        }
        draft.keeps_suspects = keeps_suspects;
        let is_full = |t: &Tried| matches!(t.failure.code(), Code::NoSeats | Code::NoCoveredSeat);
        let full = || pools().filter(|(pool, _)| tried.iter().any(|t| t.pool == *pool && is_full(t)));
        if !taken && !keeps_suspects {
            taken = full().any(|(pool, license)| self.try_pool(want, asked, pool, license, draft).is_ok());
        }
        draft.idle = idle;
        if !taken && !draft.idle.is_empty() {
            taken = full().any(|(pool, license)| self.try_pool(want, asked, pool, license, draft).is_ok());
        }
        if taken {
            return Ok(());
        }
        Err(self.nearest(want, asked, tried, draft))
    }

    /// One pool: limits, terms, seats. On a failure the draft is as it was.
    pub(super) fn try_pool(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &Arc<License>,
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        let mark = draft.mark();
        let result = self.take_from(want, asked, pool, license, draft);
        if result.is_err() {
            draft.back_to(mark);
        }
        result
    }

    fn take_from(
        &self,
        want: &Want<'_>,
        asked: &Asked<'_>,
        pool: PoolId,
        license: &Arc<License>,
        draft: &mut Draft,
    ) -> Result<(), Failure> {
        let share = match want.token.and_then(|link| link.share) {
            Some(share) => Some(share.clone()),
            None if asked.lend.is_some() => None,
            None => share_key(self.names, license, asked.facts),
        };
        self.check_limits(want, asked, pool, share.as_ref(), draft)?;
        self.check_terms(want.feature, license, want.name, asked.facts, want.version)
            .and_then(|()| check_clock(license, want.name, asked.now))
            .map_err(Failure::Terms)?;
        if let Some(lend) = asked.lend {
            self.check_lends(want, license, lend)?;
        }
        let above_soft_limit = if license.key_type == KeyType::Token {
            false
        } else {
            self.fit(want, asked, pool, license, share.as_ref(), draft)?
        };
        if let Some(lend) = asked.lend {
            self.check_days(want, asked, pool, license, lend, draft)?;
        }
        let nth = u16::try_from(draft.taken.len()).unwrap_or(u16::MAX);
        draft.taken.push(Taken {
            pool,
            count: want.count,
            license: license.fingerprint,
            share: share.clone(),
            token: want.token.map(|link| link.nth),
            above_soft_limit,
            booking: want.booking,
        });
        if license.key_type == KeyType::Token && want.token.is_none() {
            self.take_needed(want, asked, pool, license, nth, share.as_ref(), draft)?;
        }
        Ok(())
    }
}
