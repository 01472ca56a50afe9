//! Good tokens pass; whatever is changed, put together or made by somebody else does not.

use ed25519_dalek::SigningKey;
use seats::maintenance::Release;
use wire::borrow::{BorrowToken, LABEL, SIGNATURE_BYTES};

use super::sample::{ENDS, GRANTED, Sample, asker, entry, key_of, public, sign, vendor_key, verify_bytes};
use crate::borrow::verify::{Asker, CLOCK_TOLERANCE_SECONDS, NotValid, in_time, verify};
use crate::install::InstallId;

/// The first error of a sample after a change.
fn after(change: impl Fn(&mut Sample)) -> Result<(), NotValid> {
    let mut sample = Sample::new();
    change(&mut sample);
    sample.verify().map(|_| ())
}

fn by(keys: &[crate::VendorKey], user: &str, version: Option<&str>) -> Result<(), NotValid> {
    let release = Release { version, ..Release::default() };
    verify(&Sample::new().bytes(), Asker { user, release, ..asker(keys) }).map(|_| ())
}

#[test]
fn a_token_as_a_server_makes_it_is_good() {
    let lent = Sample::new().verify().unwrap();
    assert_eq!((lent.borrow, lent.count, &*lent.feature), (90, 2, "cad"));
    assert_eq!(in_time(&lent, GRANTED, 0), Ok(()));
}

#[test]
fn the_signed_vector_of_the_protocol_is_good() {
    let vector = include_str!("../../../../wire/tests/tokens/signed.json");
    let text = vector.split("\"text\": \"").nth(1).unwrap().split('"').next().unwrap();
    let token = BorrowToken::from_text(text).unwrap();
    let keys = [vendor_key()];
    let release = Release { version: Some("4.2.7"), ..Release::default() };
    let install_id = InstallId([0x11; 16]);
    let asker = Asker { install_id, user: "Ann", release, ..asker(&keys) };
    let lent = verify(&token.to_bytes().unwrap(), asker).unwrap();
    assert_eq!(lent, token.lent);
}

#[test]
fn every_bit_that_is_flipped_is_found() {
    let whole = Sample::renewed().bytes();
    assert!(verify_bytes(&whole).is_ok());
    let mut refused = 0;
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let verdict = verify_bytes(&bytes);
            assert!(verdict.is_err(), "bit {bit} of byte {at}: {verdict:?}");
            refused += 1;
        }
    }
    assert!(refused > 6_000, "{refused}");
}

/// As above, but by somebody who has a server of his own and signs what he changed.
#[test]
fn every_bit_of_the_license_and_its_key_is_found_though_a_server_signs_it_anew() {
    let sample = Sample::new();
    let lent = sample.lent();
    for at in 0..lent.license.canonical.len() {
        for bit in 0..8 {
            let mut changed = lent.clone();
            changed.license.canonical[at] ^= 1 << bit;
            let token = sign(&sample.server, changed).to_bytes().unwrap();
            assert!(verify_bytes(&token).is_err(), "bit {bit} of byte {at} of the license");
        }
    }
    for at in 0..lent.license.key.len() {
        for bit in 0..7 {
            let mut changed = lent.clone();
            let mut key = changed.license.key.into_bytes();
            key[at] ^= 1 << bit;
            changed.license.key = String::from_utf8(key).unwrap();
            let Ok(signed) = changed.signed_bytes() else { continue };
            let token = sign(&sample.server, changed).to_bytes().unwrap();
            assert!(verify_bytes(&token).is_err(), "bit {bit} of byte {at} of KEY in {} bytes", signed.len());
        }
    }
}

#[test]
fn every_cut_is_found() {
    let whole = Sample::renewed().bytes();
    for cut in 0..whole.len() {
        assert!(matches!(verify_bytes(&whole[..cut]), Err(NotValid::Damaged(_))), "cut at {cut}");
    }
    // Also where label and signature are whole and the body between them is not.
    let (body, signature) = whole[LABEL.len()..].split_at(whole.len() - LABEL.len() - SIGNATURE_BYTES);
    for cut in 0..body.len() {
        let bytes = [LABEL, &body[..cut], signature].concat();
        assert!(matches!(verify_bytes(&bytes), Err(NotValid::Damaged(_))), "body cut at {cut}");
    }
}

#[test]
fn a_license_of_another_token_does_not_fit() {
    let mut other = Sample::new();
    other.feature = "mesh".into();
    other.lent.feature = "mesh".into();
    other.verify().unwrap();
    // By whoever has the server's key: the token is for cad, its license for mesh.
    let sample = Sample::new();
    let mut lent = sample.lent();
    lent.license = other.license();
    let refused = verify_bytes(&sign(&sample.server, lent.clone()).to_bytes().unwrap());
    assert_eq!(
        refused,
        Err(NotValid::OtherFeature { lent: "ACME/cad".into(), licensed: "ACME/mesh".into() })
    );
    // By whoever has not.
    let token = BorrowToken { lent, signature: sample.token().signature };
    assert_eq!(verify_bytes(&token.to_bytes().unwrap()), Err(NotValid::ServerSignature));
    // The signature of one license beside another.
    let mut lent = sample.lent();
    lent.license.key = other.license().key;
    let refused = verify_bytes(&sign(&sample.server, lent).to_bytes().unwrap());
    assert_eq!(refused, Err(NotValid::VendorSignature { vendor: "ACME".into() }));
}

#[test]
fn only_the_server_that_the_license_names_can_lend() {
    let other = SigningKey::from_bytes(&[b'o'; 32]);
    let refused = after(|sample| sample.server = other.clone());
    assert_eq!(refused, Err(NotValid::OtherServer { feature: "cad".into() }));
    // It says that it is the right one, and signs with its own key.
    let sample = Sample::new();
    let token = sign(&other, sample.lent()).to_bytes().unwrap();
    assert_eq!(verify_bytes(&token), Err(NotValid::ServerSignature));
    // A key of small order, for which anybody can sign, though a license names it.
    let mut lent = sample.lent();
    lent.server_key = [0; 32];
    lent.server_key[0] = 1;
    let mut weak = sample.clone();
    weak.servers = vec![vec![entry("SERVERKEY", &crate::borrow::verify::fingerprint(&lent.server_key))]];
    lent.license = weak.license();
    let mut signature = [0; 64];
    signature[0] = 1;
    let token = BorrowToken { lent, signature }.to_bytes().unwrap();
    assert_eq!(verify_bytes(&token), Err(NotValid::ServerSignature));
}

#[test]
fn a_license_that_some_server_can_serve_without_its_key_lends_nothing() {
    let key = || entry("SERVERKEY", &key_of(&Sample::new().server));
    let host = || entry("HOSTNAME", "lic01");
    let with = |servers: Vec<Vec<(String, String)>>, rate: Option<&'static str>| {
        after(move |sample| {
            sample.servers = servers.clone();
            if let Some(rate) = rate {
                sample.set("HOSTID_MATCH_RATE", rate);
            }
        })
    };
    let not_locked = Err(NotValid::NotLocked { feature: "cad".into(), vendor: "ACME".into() });
    assert_eq!(with(vec![], None), not_locked);
    assert_eq!(with(vec![vec![]], None), not_locked);
    assert_eq!(with(vec![vec![host()]], None), not_locked);
    assert_eq!(with(vec![vec![key()], vec![host()]], None), not_locked, "one of two blocks is enough");
    assert_eq!(with(vec![vec![key(), host()]], None), Ok(()), "all of a block are needed");
    assert_eq!(with(vec![vec![key(), host()]], Some("99")), not_locked, "the host alone is enough");
    assert_eq!(with(vec![vec![key()]], Some("50")), Ok(()), "one of one");
    assert_eq!(with(vec![vec![key()]], Some("0")), not_locked);
    let spare = || entry("SERVERKEY", &"0".repeat(64));
    assert_eq!(with(vec![vec![spare()], vec![key()]], None), Ok(()), "a spare server has a key of its own");
    let upper = entry("SERVERKEY", &key().1.to_uppercase());
    assert_eq!(with(vec![vec![upper]], None), Ok(()));
}

#[test]
fn only_the_vendor_of_the_license_can_sign_it() {
    let sample = Sample::new();
    let unknown = |id: &str| Err(NotValid::UnknownKey { id: id.into(), vendor: "ACME".into() });
    assert_eq!(by(&[], "ann", Some("4.1")), Err(NotValid::NoKeys));
    // The same key, for another vendor, or under another id.
    let other_vendor = [public(&sample.vendor, "acme-2026", "OTHER")];
    assert_eq!(by(&other_vendor, "ann", Some("4.1")), unknown("acme-2026"));
    let other_id = [public(&sample.vendor, "acme-2027", "ACME")];
    assert_eq!(by(&other_id, "ann", Some("4.1")), unknown("acme-2026"));
    // Another key under that id.
    let another = [public(&SigningKey::from_bytes(&[b'o'; 32]), "acme-2026", "ACME")];
    let refused = Err(NotValid::VendorSignature { vendor: "ACME".into() });
    assert_eq!(by(&another, "ann", Some("4.1")), refused);
    assert_eq!(after(|s| s.vendor = SigningKey::from_bytes(&[b'o'; 32])), refused);
    // A vendor's key counts for its own licenses, whatever else is known.
    let both = [another[0].clone(), vendor_key()];
    assert_eq!(by(&both[1..], "ann", Some("4.1")), Ok(()));
    // Its licenses for its own name.
    let foreign = after(|s| {
        s.set("VENDOR", "OTHER");
        s.lent.vendor = "OTHER".into();
    });
    assert_eq!(foreign, Err(NotValid::UnknownKey { id: "acme-2026".into(), vendor: "OTHER".into() }));
}

#[test]
fn what_the_license_does_not_allow_was_not_lent() {
    let not_lent = Err(NotValid::NotLent { feature: "cad".into(), vendor: "ACME".into() });
    assert_eq!(after(|s| s.unset("BORROW")), not_lent);
    assert_eq!(after(|s| s.set("KEYTYPE", "exclusive")), Err(NotValid::License), "no word of the language");
    for kind in ["UPGRADE", "TOKEN", "MAINTENANCE"] {
        assert_eq!(after(|s| s.set("KEYTYPE", kind)), not_lent, "{kind}");
    }
    assert_eq!(after(|s| s.unset("COUNT")), not_lent, "a local license");
    let too_long = |hours| Err(NotValid::TooLong { feature: "cad".into(), hours, hours_max: 47 });
    assert_eq!(after(|s| s.set("BORROW", "48")), Ok(()));
    assert_eq!(after(|s| s.set("BORROW", "47")), too_long(48));
    assert_eq!(
        after(|s| {
            s.set("BORROW", "47");
            s.lent.ends_at = GRANTED;
        }),
        too_long(0)
    );
    let for_ever = after(|s| {
        s.lent.ends_at = i64::MAX;
        s.lent.granted_at = i64::MIN;
    });
    assert!(matches!(for_ever, Err(NotValid::TooLong { hours_max: 168, .. })), "{for_ever:?}");
    let count = |count| Err(NotValid::Count { feature: "cad".into(), count });
    assert_eq!(after(|s| s.lent.count = 0), count(0));
    // Upgrades may add to an exclusive; an additive stands alone.
    assert_eq!(after(|s| s.lent.count = 16), Ok(()));
    assert_eq!(
        after(|s| {
            s.set("KEYTYPE", "ADDITIVE");
            s.lent.count = 11;
        }),
        count(11)
    );
    assert_eq!(
        after(|s| {
            s.set("KEYTYPE", "ADDITIVE");
            s.lent.count = 10;
        }),
        Ok(())
    );
    // Two days from 2030-03-17 17:46 GMT on.
    let term = Err(NotValid::Term { feature: "cad".into() });
    assert_eq!(after(|s| s.set("END", "2030-03-19")), Ok(()));
    assert_eq!(after(|s| s.set("END", "2030-03-18")), term);
    assert_eq!(after(|s| s.set("START", "2030-03-18")), Ok(()), "it is the 18th in the far east");
    assert_eq!(after(|s| s.set("START", "2030-03-19")), term);
    for (name, value) in
        [("BORROW", "+48"), ("END", "2030-3-19"), ("HOSTID_MATCH_RATE", "101"), ("VERSION", "4.x")]
    {
        assert_eq!(after(|s| s.set(name, value)), Err(NotValid::License), "{name}={value}");
    }
    assert_eq!(after(|s| s.settings.push(entry("BORROW", "8760"))), Err(NotValid::License), "twice");
}

#[test]
fn it_is_for_one_installation_and_one_user() {
    assert_eq!(
        after(|s| s.lent.install_id = [8; 16]),
        Err(NotValid::OtherInstallation { feature: "cad".into() })
    );
    let keys = [vendor_key()];
    let refused = by(&keys, "bob", Some("4.1"));
    let other = NotValid::OtherUser { feature: "cad".into(), lent_to: "ann".into(), user: "bob".into() };
    assert_eq!(refused, Err(other));
    // As servers compare them.
    for same in ["ann", "ANN", "OFFICE\\Ann"] {
        assert_eq!(by(&keys, same, Some("4.1")), Ok(()), "{same}");
    }
    assert!(by(&keys, "", Some("4.1")).is_err());
}

#[test]
fn the_release_must_be_one_that_the_license_owns() {
    let keys = [vendor_key()];
    for runs in ["4.2", "4.2.99.1", "4.1", "0.1"] {
        assert_eq!(by(&keys, "ann", Some(runs)), Ok(()), "{runs}");
    }
    for (version, says) in [
        (Some("4.3"), "covers cad 4.2 and older, and all its patches"),
        (Some("5.0"), "so version 5.0 is not included"),
        (Some("4"), "not of the form"),
        (None, "did not say which version"),
    ] {
        let refused = by(&keys, "ann", version).unwrap_err();
        assert!(matches!(&refused, NotValid::Release(no) if no.message.contains(says)), "{refused}");
    }
    // Without VERSION any runs; with a setting of maintenance it is 1.0.
    assert_eq!(after(|s| s.unset("VERSION")), Ok(()));
    let maintained = after(|s| {
        s.unset("VERSION");
        s.set("MAINTENANCE_END", "2031-01-01");
    });
    assert!(matches!(maintained, Err(NotValid::Release(_))), "{maintained:?}");
    let in_parts = |minor| {
        after(move |s| {
            s.unset("VERSION");
            s.set("MAJOR_VERSION", "4");
            s.set("MINOR_VERSION", minor);
        })
    };
    assert_eq!(in_parts("1"), Ok(()));
    assert!(in_parts("0").is_err());
}

#[test]
fn it_is_good_from_its_grant_to_its_end_and_the_clock_only_goes_forward() {
    let lent = Sample::new().lent();
    let at = |now, mark| in_time(&lent, now, mark);
    let tolerance = CLOCK_TOLERANCE_SECONDS;
    assert_eq!(at(ENDS - 1, 0), Ok(()));
    let over = Err(NotValid::Over { feature: "cad".into(), ends_at: ENDS });
    assert_eq!(at(ENDS, 0), over, "the end is exclusive");
    assert_eq!(at(i64::MAX, 0), over);
    // A clock that is behind the server's by a little, and by more.
    assert_eq!(at(GRANTED - tolerance, 0), Ok(()));
    let now = GRANTED - tolerance - 1;
    assert_eq!(at(now, 0), Err(NotValid::NotYet { feature: "cad".into(), now, granted_at: GRANTED }));
    // Set back, by a little and by more.
    let mark = GRANTED + 3600;
    assert_eq!(at(mark - tolerance, mark), Ok(()));
    let now = mark - tolerance - 1;
    assert_eq!(at(now, mark), Err(NotValid::ClockBehind { feature: "cad".into(), now, mark }));
    // An end that was seen is an end, however little the clock is set back.
    assert_eq!(at(ENDS - 1, ENDS), over);
    assert!(at(i64::MIN, 0).is_err());
}

#[test]
fn every_fault_is_a_sentence_that_says_what_to_do() {
    let faults = [
        verify_bytes(b"").unwrap_err(),
        after(|s| s.unset("BORROW")).unwrap_err(),
        after(|s| s.servers.clear()).unwrap_err(),
        after(|s| s.server = SigningKey::from_bytes(&[1; 32])).unwrap_err(),
        after(|s| s.lent.install_id = [0; 16]).unwrap_err(),
        by(&[], "ann", None).unwrap_err(),
        in_time(&Sample::new().lent(), ENDS, 0).unwrap_err(),
        in_time(&Sample::new().lent(), 0, 0).unwrap_err(),
        in_time(&Sample::new().lent(), GRANTED, GRANTED + 4000).unwrap_err(),
    ];
    for fault in faults {
        let text = fault.to_string();
        let verbs = ["borrow", "ask", "set", "tell", "update", "return"];
        assert!(
            text.contains(';') && verbs.iter().any(|verb| text.split(';').nth(1).unwrap().contains(verb)),
            "{text}"
        );
        assert!(!text.ends_with('.') && text.len() < 250, "{text}");
    }
}
