//! From the words of the model to those of the ledger; nothing is decided here.
#![allow(dead_code, unreachable_pub, reason = "a module of two test programs")]

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use seats::catalog::Catalog;
use seats::evaluate::Total;
use seats::license::{
    Count, HostIdEntry, HostIdKind, KeyType, License, LicenseVersion, Reason, Signed, TimeZones,
};
use seats::request::{Checkout, Facts, Item};

use crate::driver::{self, half_hash, name, refused};
use crate::naive::{self, Kind, Program, Request, Sold, UNLIMITED};
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

pub fn license(sold: &Sold, random: &mut Random) -> License {
    let mut license = driver::exclusive(&sold.feature, 1);
    license.vendor = name(&sold.vendor);
    license.key_type = match sold.kind {
        Kind::Exclusive => KeyType::Exclusive,
        Kind::Upgrade => KeyType::Upgrade,
    };
    license.count = sold.count.map(|n| match n {
        UNLIMITED => Count::Unlimited,
        n => Count::Limited(u32::try_from(n).expect("a count")),
    });
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
    license.signed = Some(Signed { canonical: Box::default(), key: sold.key.as_str().into() });
    license.place.file = format!("{}.xml", random.below(6)).into();
    license.place.line = u32::try_from(random.below(50)).expect("small") + 1;
    // As the canonical form: the same for the same content (L10).
    let (half, other) = (half_hash(&sold.key), half_hash(&(1, &sold.key)));
    license.fingerprint.0[..16].copy_from_slice(&half);
    license.fingerprint.0[16..].copy_from_slice(&other);
    license
}

pub fn facts(program: &Program) -> Facts {
    Facts {
        install_id: half_hash(&program.install),
        platform: program.system.as_str().into(),
        offset_minutes: i16::try_from(program.minutes).expect("minutes"),
        release_version: program.version.map(|version| match version {
            Some((major, minor, 0)) => format!("{major}.{minor}").into(),
            Some((major, minor, patch)) => format!("{major}.{minor}.{patch}").into(),
            None => "4.x".into(),
        }),
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
        ..driver::request(request.key, driver::facts("", ""), &[])
    }
}
