//! Asking a policy: who somebody is to it, and what its rules say about a feature.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::atoms::{folded_host, folded_user};
use super::compile::{Bucket, Index, Question, named};
use super::{
    Access, Action, BorrowTerms, Class, Group, GroupId, Limit, Named, Reservation, Rule, RuleId, RuleSet,
    Scope, Subject,
};
use crate::license::Name;
use crate::request::{Facts, NameRules};

/// A policy, ready to be asked. What a question costs hardly depends on how many rules and groups there are.
#[derive(Debug, Default)]
pub struct Policy {
    rules: RuleSet,
    names: NameRules,
    index: Index,
}

impl Policy {
    /// No rules: everybody may have everything.
    pub fn open() -> Policy {
        Policy::default()
    }

    /// Makes a set of rules ready to be asked. `names`: how users and hosts are compared. Costs a few milliseconds for
    /// each ten thousand rules and hundred thousand members.
    ///
    /// # Panics
    /// If a rule names a group that the set does not have, or if there are more than 2^29 names: whoever reads the
    /// file excludes both.
    pub fn new(rules: RuleSet, names: NameRules) -> Policy {
        let index = Index::new(&rules, names);
        Policy { rules, names, index }
    }

    /// Whether there are no rules at all.
    pub fn is_open(&self) -> bool {
        self.rules.rules.is_empty()
    }

    /// Whether any rule at all gives idle seats away.
    pub fn has_idle(&self) -> bool {
        self.rules.rules.iter().any(|rule| matches!(rule.action, Action::Idle(_)))
    }

    /// What the file says.
    pub fn rule_set(&self) -> &RuleSet {
        &self.rules
    }

    /// A rule by its number.
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn rule(&self, id: RuleId) -> &Rule {
        &self.rules.rules[id.0 as usize]
    }

    /// Whether a rule names users or hosts, as a reservation for named seats does (L63).
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn named(&self, id: RuleId) -> Named {
        named(self.rule(id), &self.rules)
    }

    /// A group by its number.
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn group(&self, id: GroupId) -> &Group {
        &self.rules.groups[id.0 as usize]
    }

    /// Whom a request is from.
    pub fn class(&self, facts: &Facts) -> Class {
        let mut class = Class {
            user: folded_user(self.names, &facts.user).into_owned(),
            host: folded_host(self.names, &facts.host).into_owned(),
            address: facts.address,
            project: facts.project.clone(),
            ..Class::default()
        };
        self.index.resolve(&mut class);
        class
    }

    /// Whether a rule is for a request.
    ///
    /// # Panics
    /// If the number is of another policy.
    pub fn is_for(&self, rule: RuleId, class: &Class) -> bool {
        self.index.is_for(rule, class)
    }

    /// The rules about one feature, ready to be asked. Cheap: done for each feature of each request.
    pub fn of<'a>(&'a self, vendor: &'a Name, feature: &'a Name) -> FeatureRules<'a> {
        let buckets =
            if self.is_open() { [None; 3] } else { self.index.buckets(vendor.as_str(), feature.as_str()) };
        FeatureRules { policy: self, buckets: buckets.map(|bucket| bucket.filter(|b| !b.is_empty())) }
    }
}

/// The rules about one feature.
#[derive(Clone, Copy, Debug)]
pub struct FeatureRules<'a> {
    policy: &'a Policy,
    /// Those about all features, those about this one of any vendor, and of this vendor; `None` where there are none.
    buckets: [Option<&'a Bucket>; 3],
}

impl<'a> FeatureRules<'a> {
    /// Whether there is any rule about it.
    pub fn is_open(&self) -> bool {
        self.buckets.iter().all(Option::is_none)
    }

    fn has(&self, question: Question) -> bool {
        self.buckets.iter().flatten().any(|bucket| bucket.has(question))
    }

    /// The first rule that answers a question for a request.
    fn first(&self, question: Question, class: &Class) -> Option<(RuleId, Action)> {
        let rule = self.policy.index.first(&self.buckets, question, class)?;
        Some((rule, self.policy.rule(rule).action))
    }

    /// Whether a request may have it, and the rule that says so; no rule: allowed.
    pub fn access(&self, class: &Class) -> (Access, Option<RuleId>) {
        match self.first(Question::Access, class) {
            Some((rule, Action::Access(access))) => (access, Some(rule)),
            _ => (Access::Allow, None),
        }
    }

    /// The limits that hold for a request: at most one for each scope, in the order user, host, group, project. A limit
    /// per project does not hold for a request without one. A limit per group holds for members of the groups that it
    /// names; they are counted under the first of these that they are in.
    pub fn limits<'c>(self, class: &'c Class) -> impl Iterator<Item = Limit> + use<'a, 'c> {
        let scopes = [Scope::User, Scope::Host, Scope::Group, Scope::Project].into_iter();
        scopes.filter_map(move |scope| {
            let index = &self.policy.index;
            let rule = index.first(&self.buckets, Question::limit(scope), class)?;
            let Action::Limit(seats, _) = self.policy.rule(rule).action else { return None };
            let subject = match scope {
                Scope::User => Some(Subject::User(class.user.as_str().into())),
                Scope::Host => Some(Subject::Host(class.host.as_str().into())),
                Scope::Group => index.group_of(rule, class).map(Subject::Group),
                Scope::Project => class.project.clone().map(Subject::Project),
            };
            Some(Limit { rule, seats, subject: subject? })
        })
    }

    /// Every reservation of it, in file order.
    pub fn reservations(&self) -> Vec<Reservation> {
        self.each_reservation().copied().collect()
    }

    /// The seats of all reservations together, or more; costs nothing.
    pub fn reserved_at_most(&self) -> u64 {
        self.buckets.iter().flatten().map(|bucket| bucket.reserved).sum()
    }

    /// As [`FeatureRules::reservations`], without making a list.
    pub fn each_reservation(self) -> impl Iterator<Item = &'a Reservation> {
        let mut rest = self.buckets.map(|bucket| bucket.map_or(&[][..], |bucket| &bucket.reservations));
        core::iter::from_fn(move || {
            let next = rest.iter().filter_map(|list| list.first()).min_by_key(|r| r.rule)?;
            // A rule may name the feature with its vendor and without.
            for list in &mut rest {
                if list.first().is_some_and(|r| r.rule == next.rule) {
                    *list = &list[1..];
                }
            }
            Some(next)
        })
    }

    /// Everything that a session of this request counts towards: each limit's scope that any rule about the feature has,
    /// whether it is for this request or not, and each reservation that is. Ascending, each once.
    pub fn counted(&self, class: &Class) -> Vec<Subject> {
        // Room for what nearly all count towards: growing costs more than the questions.
        let mut subjects = Vec::with_capacity(12);
        if self.has(Question::LimitUser) {
            subjects.push(Subject::User(Box::from(class.user.as_str())));
        }
        if self.has(Question::LimitHost) {
            subjects.push(Subject::Host(Box::from(class.host.as_str())));
        }
        if self.has(Question::LimitProject) {
            subjects.extend(class.project.clone().map(Subject::Project));
        }
        let index = &self.policy.index;
        for bucket in self.buckets.into_iter().flatten() {
            for place in index.found(bucket, class) {
                match place.counts() {
                    Some(Some(group)) => subjects.push(Subject::Group(group)),
                    Some(None) => subjects.extend(index.groups_of(place.rule, class).map(Subject::Group)),
                    None if place.is_enough || index.is_for(place.rule, class) => {
                        subjects.push(Subject::Reservation(place.rule));
                    }
                    None => {}
                }
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    /// Whether any rule about it gives idle seats away.
    pub fn has_idle(&self) -> bool {
        self.has(Question::Idle)
    }

    /// How long a seat of this request's may idle before it is given to whoever needs one, milliseconds.
    pub fn idle(&self, class: &Class) -> Option<(RuleId, u64)> {
        match self.first(Question::Idle, class)? {
            (rule, Action::Idle(ms)) => Some((rule, ms)),
            _ => None,
        }
    }

    /// What it may borrow.
    pub fn borrow(&self, class: &Class) -> Option<(RuleId, BorrowTerms)> {
        match self.first(Question::Borrow, class)? {
            (rule, Action::Borrow(terms)) => Some((rule, terms)),
            _ => None,
        }
    }

    /// Whether waiters are served by fit, and the rule that says so (S30).
    pub fn fast_queue(&self, class: &Class) -> Option<RuleId> {
        self.first(Question::FastQueue, class).map(|(rule, _)| rule)
    }

    /// Whether it may book; no rule: `None`.
    pub fn book(&self, class: &Class) -> Option<(RuleId, Access)> {
        match self.first(Question::Book, class)? {
            (rule, Action::Book(access)) => Some((rule, access)),
            _ => None,
        }
    }

    /// Whether it may ask `why`; no rule: `None`, as S84 says.
    pub fn why(&self, class: &Class) -> Option<(RuleId, Access)> {
        match self.first(Question::Why, class)? {
            (rule, Action::Why(access)) => Some((rule, access)),
            _ => None,
        }
    }
}
