//! From the words of the model to those of the ledger; nothing is decided here.
#![allow(dead_code, unreachable_pub, reason = "a module of two test programs")]

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use seats::catalog::Catalog;
use seats::change::PoolKind;
use seats::evaluate::Total;
use seats::license::{
    Based, Count, HostIdEntry, HostIdKind, KeyType, License, LicenseVersion, Name, Reason, Replaces, Signed,
    Special, TimeZones, TokenDependency,
};
use seats::policy::{
    Access, Action, Features, Group, GroupId, Members, Network, Policy, Rule, RulePlace, RuleSet, Scope, Who,
};
use seats::request::{Checkout, Facts, Item, NameRules};

use crate::driver::{self, half_hash, name, refused};
use crate::naive::{self, Kind, Per, PoolKey, Program, Request, Says, Sold, UNLIMITED, Which};
use crate::random::Random;

/// The model's day as a date of the ledger.
pub fn day(number: i32) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(2030, 1, 1).expect("a date");
    match u64::try_from(number) {
        Ok(days) => first + Days::new(days),
        Err(_) => first - Days::new(u64::from(number.unsigned_abs())),
    }
}

pub fn total(total: Total) -> u64 {
    total.limited().map_or(UNLIMITED, u64::from)
}

/// The licenses in files of random names, in random order.
pub fn catalog(sold: &[Sold], random: &mut Random) -> Catalog {
    let mut all: Vec<Arc<License>> = sold.iter().map(|s| Arc::new(license(s, random))).collect();
    random.shuffle(&mut all);
    Catalog::new(all)
}

/// The same, where a license that was loaded before is now and then in a file that is not read again.
pub fn catalog_reusing(before: &Catalog, sold: &[Sold], random: &mut Random) -> Catalog {
    let old = before.features().iter().flat_map(|f| &f.licenses);
    let mut old: Vec<Arc<License>> = old.filter(|_| random.percent(95)).cloned().collect();
    let mut all: Vec<Arc<License>> = Vec::new();
    for sold in sold {
        let fresh = license(sold, random);
        // Names are equal whatever their case; how they are spelled is shown.
        let is_same = |l: &Arc<License>| {
            l.feature.as_str() == fresh.feature.as_str()
                && License { place: l.place.clone(), ..fresh.clone() } == **l
        };
        match old.iter().position(is_same) {
            Some(at) => all.push(old.swap_remove(at)),
            None => all.push(Arc::new(fresh)),
        }
    }
    random.shuffle(&mut all);
    Catalog::new(all)
}

pub fn license(sold: &Sold, random: &mut Random) -> License {
    let mut license = driver::exclusive(&sold.feature, 1);
    license.vendor = name(&sold.vendor);
    license.key_type = match sold.kind {
        Kind::Exclusive => KeyType::Exclusive,
        Kind::Upgrade => KeyType::Upgrade,
        Kind::Additive => KeyType::Additive,
        Kind::Token => KeyType::Token,
    };
    license.count = sold.count.map(|n| match n {
        UNLIMITED => Count::Unlimited,
        n => Count::Limited(number(n)),
    });
    license.share.host = sold.share.host;
    license.share.user = sold.share.user;
    license.share.custom = sold.share.custom;
    license.carried.soft_limit = sold.soft.map(number);
    license.carried.special = special(sold).map(Box::new);
    license.version = sold.version.map(|(major, minor)| LicenseVersion { major, minor });
    (license.start, license.end) = (sold.start.map(day), sold.end.map(day));
    license.issued = sold.issued.map(day);
    license.sn = Some(sold.sn.as_str().into());
    license.hal = sold.hal;
    license.platforms = sold.systems.iter().map(|s| s.as_str().into()).collect();
    if !sold.hours.is_empty() {
        let mut zones = TimeZones(0);
        sold.hours.iter().for_each(|h| assert!(zones.insert(i8::try_from(*h).expect("an hour"))));
        license.time_zones = Some(zones);
    }
    let block = |host: &String| vec![HostIdEntry { kind: HostIdKind::Hostname, value: host.clone() }];
    license.client_host_ids = sold.hosts.iter().map(block).collect();
    license.refusal = if sold.is_refused { refused(Reason::BadSignature) } else { None };
    license.signed = Some(Arc::new(Signed { canonical: Box::default(), key: sold.key.as_str().into() }));
    license.place.file = format!("{}.xml", random.below(6)).into();
    license.place.line = u32::try_from(random.below(50)).expect("small") + 1;
    // As the canonical form: the same for the same content (L10).
    let (half, other) = (half_hash(&sold.key), half_hash(&(1, &sold.key)));
    license.fingerprint.0[..16].copy_from_slice(&half);
    license.fingerprint.0[16..].copy_from_slice(&other);
    license
}

fn number(n: u64) -> u32 {
    u32::try_from(n).expect("a count")
}

/// `None`: it states none of them.
fn special(sold: &Sold) -> Option<Special> {
    let based = |based: naive::Based| match based {
        naive::Based::Seats(n) => Based::Seats(number(n)),
        naive::Based::All => Based::All,
    };
    let special = Special {
        hold_seconds: sold.hold.map(number),
        min_checkout_seconds: sold.least.map(number),
        user_based: sold.user_based.map(based),
        host_based: sold.host_based.map(based),
        replaces: sold.replaces.as_ref().map(|replaces| match replaces {
            naive::Replaces::Feature(feature) => Replaces::Feature(name(feature)),
            naive::Replaces::Sn(sn) => Replaces::Sn(sn.as_str().into()),
            naive::Replaces::Key(key) => Replaces::Key(key.as_str().into()),
        }),
        renews: None,
        token_dependencies: sold.depends.iter().map(dependency).collect(),
    };
    (special != Special::default()).then_some(special)
}

fn dependency(needed: &naive::Dependency) -> TokenDependency {
    let (major, minor) = needed.version;
    TokenDependency {
        feature: name(&needed.feature),
        version: LicenseVersion { major, minor },
        count: number(needed.count),
    }
}

/// The rules, ready to be asked.
pub fn policy(policy: &naive::Policy) -> Policy {
    Policy::new(rule_set(policy), NameRules::default())
}

pub fn rule_set(policy: &naive::Policy) -> RuleSet {
    let texts = |texts: &[String]| texts.iter().map(|t| t.as_str().into()).collect();
    let networks = |of: &[([u8; 4], u32)]| -> Vec<Network> {
        let network = |(address, bits): &([u8; 4], u32)| Network {
            address: IpAddr::from(*address),
            prefix: u8::try_from(*bits).expect("bits"),
        };
        of.iter().map(network).collect()
    };
    let place = |at: usize| RulePlace {
        file: "policy.toml".into(),
        line: u32::try_from(at).expect("few") + 1,
        column: 1,
        text: "a rule".into(),
    };
    let group = |(at, group): (usize, &naive::Group)| Group {
        name: group.name.as_str().into(),
        members: match &group.members {
            naive::Members::Users(users) => Members::Users(texts(users)),
            naive::Members::Hosts(hosts) => Members::Hosts(texts(hosts)),
            naive::Members::Networks(of) => Members::Addresses(networks(of)),
            naive::Members::Projects(projects) => Members::Projects(texts(projects)),
        },
        place: place(at),
    };
    let number_of = |wanted: &String| {
        let at = policy.groups.iter().position(|g| g.name == *wanted).expect("it is there");
        GroupId(u32::try_from(at).expect("few"))
    };
    let named = |(vendor, feature): &(Option<String>, String)| -> (Option<Name>, Name) {
        (vendor.as_deref().map(name), name(feature))
    };
    let rule = |(at, rule): (usize, &naive::Rule)| Rule {
        action: match rule.says {
            Says::Allow => Action::Access(Access::Allow),
            Says::Deny => Action::Access(Access::Deny),
            Says::Reserve(n) => Action::Reserve(number(n)),
            Says::Limit(n, Per::User) => Action::Limit(number(n), Scope::User),
            Says::Limit(n, Per::Host) => Action::Limit(number(n), Scope::Host),
            Says::Limit(n, Per::Group) => Action::Limit(number(n), Scope::Group),
            Says::Limit(n, Per::Project) => Action::Limit(number(n), Scope::Project),
            Says::Idle(ms) => Action::Idle(ms),
            Says::FastQueue => Action::FastQueue,
        },
        features: match &rule.features[..] {
            [] => Features::All,
            some => Features::Named(some.iter().map(named).collect()),
        },
        who: Who {
            users: texts(&rule.who.users),
            hosts: texts(&rule.who.hosts),
            addresses: networks(&rule.who.networks),
            projects: texts(&rule.who.projects),
            groups: rule.who.groups.iter().map(number_of).collect(),
        },
        place: place(at + policy.groups.len()),
    };
    RuleSet {
        groups: policy.groups.iter().enumerate().map(group).collect(),
        rules: policy.rules.iter().enumerate().map(rule).collect(),
    }
}

pub fn facts(program: &Program) -> Facts {
    Facts {
        install_id: half_hash(&program.install),
        platform: program.system.as_str().into(),
        offset_minutes: i16::try_from(program.minutes).expect("minutes"),
        address: program.address.map(IpAddr::from),
        project: program.project.as_deref().map(Into::into),
        share: program.share.as_deref().map(Into::into),
        release_version: program.version.map(|version| match version {
            Some((major, minor, 0)) => format!("{major}.{minor}").into(),
            Some((major, minor, patch)) => format!("{major}.{minor}.{patch}").into(),
            None => "4.x".into(),
        }),
        release_date: program.has_bad_date.then(|| "2030-02-30".into()),
        ..driver::facts(&program.user, &program.host)
    }
}

pub fn checkout(request: &Request) -> Checkout {
    let item = |w: &naive::Wanted| Item {
        vendor: w.vendor.as_deref().map(Into::into),
        feature: w.feature.as_str().into(),
        count: u32::try_from(w.count).expect("a count"),
    };
    Checkout {
        secret: half_hash(&request.secret),
        items: request.wanted.iter().map(item).collect(),
        facts: Arc::new(facts(&request.program)),
        booking: request.booking.map(booking),
        ..driver::request(request.key, driver::facts("", ""), &[])
    }
}

/// The hash of a booking's token.
pub fn booking(token: u64) -> [u8; 16] {
    half_hash(&("booking", token))
}

/// A pool's identity.
pub fn pool_key(vendor: &Name, feature: &Name, kind: &PoolKind) -> PoolKey {
    let which = match kind {
        PoolKind::Exclusive => Which::Exclusive,
        PoolKind::Additive(sn) => Which::Additive(sn.to_string()),
        PoolKind::Token => Which::Token,
    };
    PoolKey::new(vendor.as_str(), feature.as_str(), which)
}
