//! What would happen and which rule decides, without a checkout (S53).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::usage::Counted;
use super::super::{Ledger, Now};
use super::draft::Draft;
use super::judge::{Asked, Tried, Want};
use super::kept::{Asker, For};
use super::limits::in_words;
use crate::change::{Held, PoolId, PoolKind};
use crate::denial::{Code, Denial, HOLDERS_MAX, Holder, Numbers, RuleFact};
use crate::evaluate::pool_kind;
use crate::license::{Name, Place};
use crate::policy::{Access, RuleId, Subject};
use crate::request::{Facts, Item};

/// What a checkout would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Seats of this pool; whether they would lie above its soft limit.
    Granted(PoolId, bool),
    /// No.
    Denied(Box<Denial>),
}

/// A limit that holds for the one asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// The rule that says so.
    pub rule: RuleFact,
    /// Whose seats, as `user ann`.
    pub whose: String,
    /// At most so many.
    pub seats: u32,
    /// In use of them.
    pub used: u64,
}

/// A reservation or a booking of the feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationUse {
    /// The rule that says so; `None`: a booking.
    pub rule: Option<RuleFact>,
    /// How many seats it says.
    pub seats: u64,
    /// How many of them there can be today.
    pub honored: u64,
    /// In use of them.
    pub used: u64,
    /// Whether it is for the one asked about.
    pub is_meant: bool,
}

/// One pool of the feature, for the one asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolVerdict {
    /// Which.
    pub pool: PoolId,
    /// Of which kind.
    pub kind: PoolKind,
    /// The license whose terms hold.
    pub place: Place,
    /// Its seats.
    pub numbers: Numbers,
    /// Why it gives no seat; `None`: it would.
    pub failure: Option<(Code, String)>,
}

/// Everything about one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Who sells the feature; `None` where it is not there.
    pub vendor: Option<Name>,
    /// As it was asked.
    pub feature: Box<str>,
    /// What a checkout would come to.
    pub verdict: Verdict,
    /// Whether the policy lets them, and the rule that says so.
    pub access: (Access, Option<RuleFact>),
    /// The limits that hold.
    pub limits: Vec<LimitUse>,
    /// Every reservation and booking of the feature.
    pub reservations: Vec<ReservationUse>,
    /// Its pools, in the order of trial.
    pub pools: Vec<PoolVerdict>,
    /// Who holds seats of the first pool, oldest first.
    pub holders: Vec<Holder>,
    /// Seats of the first pools that were given back and are not yet free, those first that are free first; at most
    /// [`HOLDERS_MAX`].
    pub holds: Vec<Held>,
}

impl Ledger {
    /// Whether the policy lets somebody ask `why` about a feature; no rule: no, as S84 says.
    pub fn may_ask_why(&self, item: &Item, asker: &Facts) -> bool {
        let Ok(at) = self.find_feature(item) else { return false };
        let feature = &self.terms.catalog().features()[at];
        let class = self.usage.class(asker);
        let said = self.usage.policy.of(&feature.vendor, &feature.feature).why(&class);
        said.is_some_and(|(_, access)| access == Access::Allow)
    }

    /// What a checkout of one feature would come to, and why. The caller has brought the feature up to date with
    /// [`Ledger::refresh`].
    pub fn explain(&self, item: &Item, facts: &Facts, now: Now) -> Explanation {
        let mut explained = Explanation {
            vendor: None,
            feature: item.feature.clone(),
            verdict: Verdict::Denied(Box::new(Denial::new(Code::BadRequest, ""))),
            access: (Access::Allow, None),
            limits: Vec::new(),
            reservations: Vec::new(),
            pools: Vec::new(),
            holders: Vec::new(),
            holds: Vec::new(),
        };
        if let Err(text) = facts.check_form() {
            explained.verdict = Verdict::Denied(Box::new(Denial::new(Code::BadRequest, text)));
            return explained;
        }
        let at = match self.find_feature(item) {
            Ok(at) => at,
            Err(denial) => {
                explained.verdict = Verdict::Denied(denial);
                return explained;
            }
        };
        let feature = &self.terms.catalog().features()[at];
        let policy = &self.usage.policy;
        let class = self.usage.class(facts);
        let rules = policy.of(&feature.vendor, &feature.feature);
        let want = Want {
            at,
            feature,
            name: &item.feature,
            count: item.count.max(1),
            rules,
            version: None,
            token: None,
            booking: None,
        };
        let asked = Asked { facts, class: &class, now, lend: None };
        let fact = |rule: RuleId| RuleFact::from(&policy.rule(rule).place);
        let mut draft = Draft::default();
        explained.vendor = Some(feature.vendor.clone());
        let (access, by) = rules.access(&class);
        explained.access = (access, by.map(fact));
        let used = |subject: &Subject| self.used_by(&Counted::Subject(subject.clone()), &want, &draft, None);
        explained.limits = rules
            .limits(&class)
            .map(|limit| LimitUse {
                rule: fact(limit.rule),
                whose: in_words(policy, &limit.subject),
                seats: limit.seats,
                used: used(&limit.subject),
            })
            .collect();
        let asker = Asker { class: &class, booking: None, draft: &draft };
        explained.reservations = (self.kept(at, feature, Some(&asker)).iter())
            .map(|kept| ReservationUse {
                rule: match kept.by {
                    For::Rule(rule, _) => Some(fact(rule)),
                    For::Booking(_) => None,
                },
                seats: kept.seats,
                honored: kept.honored,
                used: kept.used,
                is_meant: asker.is_meant(self, kept),
            })
            .collect();
        for (pool, license) in self.terms.pools(at) {
            let failure = self.try_pool(&want, &asked, pool, license, &mut draft).err();
            let failure = failure.map(|failure| {
                let other = self.other_pool(&want, &Tried { pool, license: license.clone(), failure }, now);
                (other.code, other.message)
            });
            draft = Draft::default();
            explained.pools.push(PoolVerdict {
                pool,
                kind: pool_kind(license).unwrap_or(PoolKind::Exclusive),
                place: license.place.clone(),
                numbers: self.numbers(pool),
                failure,
            });
        }
        if let Some((pool, _)) = self.terms.pools(at).next() {
            explained.holders = self.holders(pool);
            explained.holds = self.state.holds_in(pool).cloned().collect();
            explained.holds.sort_by_key(|held| (held.until, held.hold));
            explained.holds.truncate(HOLDERS_MAX);
        }
        explained.verdict = match self.judge(&want, &asked, &mut draft) {
            Ok(()) => {
                let first = draft.taken.first();
                first.map_or(explained.verdict, |taken| Verdict::Granted(taken.pool, taken.above_soft_limit))
            }
            Err(denial) => Verdict::Denied(denial),
        };
        explained
    }
}
