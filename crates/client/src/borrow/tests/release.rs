//! Which release of the program a token lets run offline: by the rules of the server, from what the vendor signed (rules 3, 6.12).

use ed25519_dalek::SigningKey;
use seats::maintenance::Release;
use wire::borrow::BorrowToken;

use super::sample::{Sample, asker, sign, vendor_key};
use crate::borrow::verify::{Asker, NotValid, verify};
use crate::install::InstallId;

/// What becomes of a program that says this of itself on a day: `runs`, or the code.
fn run(sample: &Sample, day: &str, version: &str, date: &str) -> String {
    let release = Release { version: Some(version), date: Some(date), line: None };
    outcome(judged(&sample.bytes(), day, release))
}

fn judged(bytes: &[u8], day: &str, release: Release<'_>) -> Result<(), NotValid> {
    let keys = [vendor_key()];
    verify(bytes, Asker { release, day: day.parse().unwrap(), ..asker(&keys) }).map(|_| ())
}

fn outcome(verdict: Result<(), NotValid>) -> String {
    match verdict {
        Ok(()) => "runs".into(),
        Err(NotValid::Release(no)) => no.code,
        Err(other) => format!("{other:?}"),
    }
}

const DAY: &str = "2030-03-17";

#[test]
fn a_program_that_is_updated_on_the_journey_is_judged_by_license_and_renewal() {
    let sample = Sample::renewed();
    for (version, date, what) in [
        ("4.2.99", "2030-03-01", "runs"),
        ("4.3", "2028-12-31", "runs"),
        ("5.0", "2029-12-31", "runs"),
        ("5.0", "2030-01-01", "maintenance_expired"),
        ("5", "2029-01-01", "release_version_invalid"),
        ("5.0", "2029-02-29", "release_date_invalid"),
    ] {
        assert_eq!(run(&sample, DAY, version, date), what, "{version} of {date}");
    }
    let unstated = Release { version: Some("4.3"), ..Release::default() };
    assert_eq!(outcome(judged(&sample.bytes(), DAY, unstated)), "release_date_required");
    let refused =
        judged(&sample.bytes(), DAY, Release { version: Some("5.0"), date: Some("2030-01-01"), line: None });
    let text = refused.unwrap_err().to_string();
    for part in ["keep working", "2030-01-01", "2029-12-31", "renew maintenance at ACME"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let mut alone = sample;
    alone.renewals.clear();
    assert_eq!(run(&alone, DAY, "5.0", "2029-12-31"), "maintenance_expired");
}

/// By somebody who has a server of his own and signs what he changed.
#[test]
fn every_bit_of_a_renewal_is_found_though_a_server_signs_it_anew() {
    let sample = Sample::renewed();
    let lent = sample.lent();
    let release = Release { version: Some("5.0"), date: Some("2029-12-31"), line: None };
    let check = |change: &dyn Fn(&mut wire::answer::SignedLicense), what: &str| {
        let mut changed = lent.clone();
        change(&mut changed.renewals[0]);
        if changed.signed_bytes().is_ok() {
            let token = sign(&sample.server, changed).to_bytes().unwrap();
            assert!(judged(&token, DAY, release).is_err(), "{what}");
            let owned = Release { version: Some("4.2"), ..Release::default() };
            assert_eq!(judged(&token, DAY, owned), Ok(()), "{what}: what is owned needs no renewal");
        }
    };
    for at in 0..lent.renewals[0].canonical.len() {
        for bit in 0..8 {
            check(&|renewal| renewal.canonical[at] ^= 1 << bit, &format!("bit {bit} of byte {at}"));
        }
    }
    for at in 0..lent.renewals[0].key.len() {
        for bit in 0..7 {
            let flip = |renewal: &mut wire::answer::SignedLicense| {
                let mut key = renewal.key.clone().into_bytes();
                key[at] ^= 1 << bit;
                renewal.key = String::from_utf8(key).unwrap();
            };
            check(&flip, &format!("bit {bit} of byte {at} of KEY"));
        }
    }
}

#[test]
fn the_renewed_vector_of_the_protocol_is_good() {
    let vector = include_str!("../../../../wire/tests/tokens/renewed.json");
    let text = vector.split("\"text\": \"").nth(1).unwrap().split('"').next().unwrap();
    let bytes = BorrowToken::from_text(text).unwrap().to_bytes().unwrap();
    let keys = [vendor_key()];
    let judged = |version, date| {
        let release = Release { version: Some(version), date: Some(date), line: None };
        let day = "2030-01-02".parse().unwrap();
        let asker = Asker { install_id: InstallId([0x11; 16]), release, day, ..asker(&keys) };
        outcome(verify(&bytes, asker).map(|_| ()))
    };
    assert_eq!(judged("5.0", "2029-12-31"), "runs");
    assert_eq!(judged("5.0", "2030-01-01"), "maintenance_expired");
}

#[test]
fn a_renewal_counts_for_the_license_that_it_names_and_for_what_replaces_that() {
    let other = NotValid::OtherRenewal { feature: "cad".into() };
    let with = |change: &dyn Fn(&mut Sample)| {
        let mut sample = Sample::renewed();
        change(&mut sample);
        run(&sample, DAY, "5.0", "2029-12-31")
    };
    assert_eq!(with(&|_| ()), "runs");
    assert_eq!(with(&|s| s.set("SN", "8")), format!("{other:?}"));
    assert_eq!(with(&|s| s.unset("SN")), format!("{other:?}"));
    for replaces in ["SN=7", "SN=6", "FEATURE=old-cad"] {
        let heir = |s: &mut Sample| {
            s.set("SN", "8");
            s.set("REPLACES", replaces);
        };
        assert_eq!(with(&heir), "runs", "{replaces}");
    }
    // What is no renewal is none, whoever signed it.
    let kind =
        |s: &mut Sample| s.renewals[0].iter_mut().find(|(n, _)| n == "KEYTYPE").unwrap().1 = "UPGRADE".into();
    assert_eq!(with(&kind), format!("{other:?}"));
    let renews_nothing = |s: &mut Sample| {
        s.renewals[0].retain(|(name, _)| name != "RENEWS");
        s.unset("SN");
    };
    assert_eq!(with(&renews_nothing), format!("{other:?}"), "two that name nothing are not the same");
    // By another vendor.
    let mut sample = Sample::renewed();
    let mut lent = sample.lent();
    sample.vendor = SigningKey::from_bytes(&[b'w'; 32]);
    lent.renewals = sample.lent().renewals;
    let token = sign(&sample.server, lent).to_bytes().unwrap();
    let release = Release { version: Some("5.0"), date: Some("2029-12-31"), line: None };
    assert_eq!(judged(&token, DAY, release), Err(NotValid::VendorSignature { vendor: "ACME".into() }));
}

#[test]
fn only_days_of_the_borrow_can_be_today() {
    let mut sample = Sample::renewed();
    sample.renew("SN=7", Some("2030-03-19"), "2031-12-31");
    let newest = ("5.1", "2030-03-01");
    assert_eq!(run(&sample, "2030-03-18", newest.0, newest.1), "maintenance_not_started");
    assert_eq!(run(&sample, "2030-03-19", newest.0, newest.1), "runs");
    // A zone that is set wrong, or a trip around the world.
    assert_eq!(run(&sample, "2030-03-25", newest.0, newest.1), "runs");
    assert_eq!(run(&sample, "2020-01-01", newest.0, newest.1), "maintenance_not_started");
    sample.lend_on("2030-03-17", "2030-03-18", None);
    assert_eq!(run(&sample, "2030-03-25", newest.0, newest.1), "maintenance_not_started");
    // Days that are not those of the moments it was lent for, and what is no day.
    for (first, last) in [
        ("2030-03-15", "2030-03-19"),
        ("2030-03-17", "2030-03-21"),
        ("2030-03-19", "2030-03-18"),
        ("2030-3-17", "2030-03-19"),
        ("", "2030-03-19"),
    ] {
        sample.lend_on(first, last, None);
        let verdict = run(&sample, DAY, "4.1", "2020-01-01");
        assert!(verdict.starts_with("Damaged"), "{first} to {last}: {verdict}");
    }
    sample.days = None;
    assert_eq!(run(&sample, DAY, "5.0", "2029-12-31"), "runs", "a token that says nothing of days");
}

/// Rules 3, 6.10: the window of a first checkout is that of the day the server recorded.
#[test]
fn a_first_checkout_counts_from_its_recorded_day() {
    let mut sample = Sample::new();
    for (name, value) in [
        ("MAINTENANCE_PERIOD", "P1Y"),
        ("MAINTENANCE_START_TRIGGER", "FIRST_CHECKOUT"),
        ("MAINTENANCE_START_BY", "2029-06-30"),
        ("ISSUED", "2028-01-01"),
    ] {
        sample.set(name, value);
    }
    sample.lend_on("2030-03-17", "2030-03-19", Some("2028-02-29"));
    assert_eq!(run(&sample, DAY, "5.0", "2029-02-28"), "runs");
    assert_eq!(run(&sample, DAY, "5.0", "2029-03-01"), "maintenance_expired");
    // However late it was: START_BY is in the license.
    sample.lend_on("2030-03-17", "2030-03-19", Some("2030-03-17"));
    assert_eq!(run(&sample, DAY, "5.0", "2030-06-30"), "runs");
    assert_eq!(run(&sample, DAY, "5.0", "2030-07-01"), "maintenance_expired");
    // Not said by older servers: the grant was a checkout.
    sample.days = None;
    assert_eq!(run(&sample, DAY, "5.0", "2030-06-30"), "runs");
    assert_eq!(run(&sample, DAY, "5.0", "2030-07-01"), "maintenance_expired");
}

/// What runs after END is lent beyond it; everything else ends with the license.
#[test]
fn a_fallback_version_outlives_its_subscription_offline() {
    let mut sample = Sample::new();
    sample.set("LICENSE_TYPE", "SUBSCRIPTION");
    sample.set("END", "2030-03-18");
    sample.lend_on("2030-03-17", "2030-03-19", None);
    assert_eq!(run(&sample, DAY, "4.2", "2020-01-01"), "Term { feature: \"cad\" }");
    sample.set("FALLBACK_VERSION", "5.1");
    for (day, newest) in [("2030-03-18", "runs"), ("2030-03-19", "subscription_expired")] {
        assert_eq!(run(&sample, day, "5.2", "2030-03-01"), newest, "on {day}");
        assert_eq!(run(&sample, day, "5.1.9", "2030-03-01"), "runs", "on {day}");
        assert_eq!(run(&sample, day, "4.0", "2020-03-01"), "runs", "on {day}");
    }
}

/// Section C of the rules: the vectors that the server is held to.
#[test]
fn the_vectors_of_the_rules_hold_offline() {
    let vectors = include_str!("../../../../seats/tests/maintenance/vectors.txt");
    let mut seen = 0;
    for line in vectors.lines().filter(|line| line.starts_with('C')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [number, license, today, version, date, line_date, expected] = fields[..] else {
            panic!("{line}")
        };
        let mut sample = Sample::new();
        sample.unset("VERSION");
        sample.unset("END");
        let of_l1 = "VERSION=2.0, MAINTENANCE_START=2026-04-01, MAINTENANCE_END=2027-03-31";
        for setting in license.replacen("L1", of_l1, 1).split(',').map(str::trim) {
            match (setting.strip_prefix("renewal "), setting.split_once('=')) {
                (Some(window), _) => {
                    let (start, end) = window.split_once("..").unwrap();
                    sample.renew("SN=7", Some(start).filter(|start| *start != "any time"), end);
                }
                (None, Some((name, value))) => sample.set(name, value),
                (None, None) => panic!("{line}"),
            }
        }
        // For an hour from noon on, in UTC.
        let noon: i64 = {
            let day: chrono::NaiveDate = today.parse().unwrap();
            day.and_hms_opt(12, 0, 0).unwrap().and_utc().timestamp()
        };
        (sample.lent.granted_at, sample.lent.ends_at) = (noon, noon + 3600);
        sample.lend_on(today, today, None);
        let stated = |text| Some(text).filter(|text: &&str| !text.is_empty() && *text != "none sent");
        let release = Release { version: stated(version), date: stated(date), line: stated(line_date) };
        let found = outcome(judged(&sample.bytes(), today, release));
        match expected {
            granted if granted.starts_with("GRANT") => assert_eq!(found, "runs", "{line}"),
            // What no server lends is no token, before its release is looked at.
            "expired" | "subscription_expired" => assert!(found.starts_with("Term"), "{line}: {found}"),
            code => assert_eq!(found, code, "{line}"),
        }
        assert!(!number.is_empty());
        seen += 1;
    }
    assert!(seen >= 40, "{seen} vectors");
}
