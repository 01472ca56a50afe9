//! Borrow tokens: their vectors in `tests/tokens/`, and bytes that are none. `UPDATE_VECTORS=1` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wire::answer::SignedLicense;
use wire::borrow::{
    BorrowToken, CANONICAL_BYTES_MAX, Days, KEY_BYTES_MAX, LABEL, Lent, RENEWALS_MAX, SIGNATURE_BYTES,
    TEXT_PREFIX, TOKEN_BYTES_MAX, TOKEN_TEXT_MAX, TokenError,
};
use wire::message::TEXT_BYTES_MAX;
use wire::{DecodeError, Extra};

use crate::hostile::{Random, mutate};
use crate::page::{Page, from_hex, hex};
use crate::shown;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tokens")
}

fn least() -> BorrowToken {
    BorrowToken { lent: Lent::default(), signature: [0; SIGNATURE_BYTES] }
}

fn full() -> BorrowToken {
    let license = |n: u8| SignedLicense {
        canonical: [b"seatkeeper-feature-v1\0", &[n, 0, 0xfe, 0x0a][..]].concat(),
        key: format!("ed25519:acme-{n}:AAAA"),
    };
    let lent = Lent {
        borrow: 17,
        bundle: u64::MAX,
        vendor: "ACME".into(),
        feature: "cad-export".into(),
        count: 2_147_483_647,
        user: "ann".into(),
        host: "ws7.example.com".into(),
        install_id: *b"\x00\x01\x02\x03\x04\x05\x06\x07\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff",
        granted_at: 1_893_456_000,
        ends_at: 1_893_715_200,
        server_key: std::array::from_fn(|i| 0xe0 + i as u8),
        license: license(1),
        renewals: vec![license(2), license(3)],
        extras: vec![Extra { tag: 2, bytes: vec![] }, Extra { tag: 500, bytes: vec![0, 0xff, 0x80] }],
    };
    BorrowToken { lent, signature: std::array::from_fn(|i| i as u8) }
}

/// One whose signatures are good: secret keys are 32 bytes of `v` for the vendor `acme-2026`, of `s` for the server. The tests of
/// the client library verify it.
fn signed() -> BorrowToken {
    let (vendor, server) = (SigningKey::from_bytes(&[b'v'; 32]), SigningKey::from_bytes(&[b's'; 32]));
    let server_key = server.verifying_key().to_bytes();
    let string =
        |text: &str| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let settings = [
        ("BORROW", "168"),
        ("COUNT", "10"),
        ("END", "2031-12-31"),
        ("SN", "7"),
        ("VENDOR", "ACME"),
        ("VERSION", "4.2"),
    ];
    let mut canonical = b"seatkeeper-feature-v1\0".to_vec();
    canonical.extend(string("cad"));
    canonical.extend(6u32.to_le_bytes());
    for (name, value) in settings {
        canonical.extend([string(name), string(value)].concat());
    }
    // One SERVER_HOSTID block with one entry, no CLIENT_HOSTID.
    canonical.extend([1u32.to_le_bytes(), 1u32.to_le_bytes()].concat());
    canonical.extend([string("SERVERKEY"), string(&hex(&Sha256::digest(server_key)))].concat());
    canonical.extend(0u32.to_le_bytes());
    let signature = base64(&vendor.sign(&canonical).to_bytes());
    let lent = Lent {
        borrow: 17,
        bundle: 9,
        vendor: "ACME".into(),
        feature: "cad".into(),
        count: 2,
        user: "ann".into(),
        host: "ws7".into(),
        install_id: [0x11; 16],
        granted_at: 1_893_456_000,
        ends_at: 1_893_456_000 + 48 * 3600,
        server_key,
        license: SignedLicense { canonical, key: format!("ed25519:acme-2026:{signature}") },
        ..Lent::default()
    };
    let signature = server.sign(&lent.signed_bytes().unwrap()).to_bytes();
    BorrowToken { lent, signature }
}

/// The same with all that a release is judged by: the days, and a renewal that `acme-2026` has signed.
fn renewed() -> BorrowToken {
    let vendor = SigningKey::from_bytes(&[b'v'; 32]);
    let string =
        |text: &str| [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let mut canonical = b"seatkeeper-feature-v1\0".to_vec();
    canonical.extend(string("cad"));
    canonical.extend(5u32.to_le_bytes());
    for (name, value) in [
        ("KEYTYPE", "MAINTENANCE"),
        ("MAINTENANCE_END", "2029-12-31"),
        ("RENEWS", "SN=7"),
        ("SN", "R-1"),
        ("VENDOR", "ACME"),
    ] {
        canonical.extend([string(name), string(value)].concat());
    }
    canonical.extend([0u32.to_le_bytes(), 0u32.to_le_bytes()].concat());
    let key = format!("ed25519:acme-2026:{}", base64(&vendor.sign(&canonical).to_bytes()));
    let lent = Lent {
        renewals: vec![SignedLicense { canonical, key }],
        extras: vec![days().extra()],
        ..signed().lent
    };
    let signature = SigningKey::from_bytes(&[b's'; 32]).sign(&lent.signed_bytes().unwrap()).to_bytes();
    BorrowToken { lent, signature }
}

fn days() -> Days {
    Days { first: "2030-01-01".into(), last: "2030-01-03".into(), first_checkout: Some("2028-02-29".into()) }
}

#[test]
fn the_days_of_a_token_are_what_the_page_describes() {
    let page = Page::read();
    let fields = serde_json::json!(
        { "first": "2030-01-01", "last": "2030-01-03", "first_checkout": "2028-02-29" }
    );
    let mut bytes = Vec::new();
    page.value("Days", &fields, &mut bytes);
    assert_eq!(hex(&days().extra().bytes), hex(&bytes));
    assert!(page.text.contains(&format!("| {} | `days` | Lent | Days |", Days::TAG)));
    assert_eq!(Days::of(&renewed().lent), Ok(Some(days())));
    // Tokens of before there was such an extra, and tags that somebody else defines.
    for token in [least(), full(), signed()] {
        assert_eq!(Days::of(&token.lent), Ok(None));
    }
    for cut in 0..bytes.len() {
        let extras = vec![Extra { tag: Days::TAG, bytes: bytes[..cut].to_vec() }];
        assert!(Days::of(&Lent { extras, ..Lent::default() }).is_err(), "cut at {cut}");
    }
    let extras = vec![Extra { tag: Days::TAG, bytes: [&bytes[..], &[0]].concat() }];
    assert!(Days::of(&Lent { extras, ..Lent::default() }).is_err(), "a byte too many");
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// Name, token and what the file says.
fn read() -> Vec<(String, BorrowToken, Value)> {
    let mut vectors = Vec::new();
    for entry in fs::read_dir(folder()).expect("tests/tokens") {
        let path = entry.expect("an entry").path();
        let json: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = from_hex(json["bytes"].as_str().expect("bytes"));
        vectors.push((name, BorrowToken::from_bytes(&bytes).expect("a token"), json));
    }
    vectors
}

fn written(page: &Page, name: &str, token: &BorrowToken) -> String {
    format!(
        "{{\n  \"name\": \"{name}\",\n  \"bytes\": \"{}\",\n  \"text\": \"{}\",\n  \"signature\": \"{}\",\n  \"fields\": {}\n}}\n",
        hex(&token.to_bytes().expect("samples are short")),
        token.to_text().expect("samples are short"),
        hex(&token.signature),
        shown::part(page, "Lent", &format!("{:?}", token.lent))
    )
}

#[test]
fn token_vectors_are_what_the_crate_writes() {
    let page = Page::read();
    let samples =
        BTreeMap::from([("full", full()), ("least", least()), ("signed", signed()), ("renewed", renewed())]);
    if std::env::var_os("UPDATE_VECTORS").is_some_and(|v| v == "1") {
        fs::create_dir_all(folder()).expect("tests/tokens");
        for (name, token) in &samples {
            let file = folder().join(format!("{name}.json"));
            fs::write(file, written(&page, name, token)).expect("to write a vector");
        }
    }
    for (name, token) in &samples {
        let file = folder().join(format!("{name}.json"));
        assert_eq!(fs::read_to_string(file).unwrap(), written(&page, name, token), "{name}");
    }
}

#[test]
fn an_implementation_made_from_the_page_writes_the_same_token() {
    let page = Page::read();
    let vectors = read();
    assert!(vectors.len() >= 4);
    for (name, token, json) in vectors {
        let mut bytes = b"seatkeeper-borrow-v1\0".to_vec();
        page.value("Lent", &json["fields"], &mut bytes);
        assert_eq!(hex(&token.lent.signed_bytes().unwrap()), hex(&bytes), "{name}");
        bytes.extend(from_hex(json["signature"].as_str().unwrap()));
        assert_eq!(json["bytes"].as_str().unwrap(), hex(&bytes), "{name}");
        let text = json["text"].as_str().unwrap();
        assert_eq!(BorrowToken::from_text(text).as_ref(), Ok(&token), "{name}");
        assert_eq!(token.to_text().unwrap(), text, "{name}");
    }
}

#[test]
fn the_limits_of_the_page_are_those_of_the_crate() {
    let page = Page::read().text;
    for line in [
        format!("| the whole token | {TOKEN_BYTES_MAX} bytes |"),
        format!("| each text | {TEXT_BYTES_MAX} bytes, no control characters |"),
        format!("| `canonical` of a license | {CANONICAL_BYTES_MAX} bytes |"),
        format!("| `key` of a license | {KEY_BYTES_MAX} bytes, no control characters |"),
        format!("| `renewals` | {RENEWALS_MAX} |"),
    ] {
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn every_cut_of_a_token_and_every_byte_too_many_is_refused() {
    for token in [least(), full(), renewed()] {
        let bytes = token.to_bytes().unwrap();
        for cut in 0..bytes.len() {
            let refused = BorrowToken::from_bytes(&bytes[..cut]);
            assert!(refused.is_err(), "cut at {cut}: {refused:?}");
        }
        for byte in [0, 1, 0xfb, 0xff] {
            // The last byte of the signature is then what was added, and the body ends too late.
            let longer = [&bytes[..], &[byte]].concat();
            assert!(BorrowToken::from_bytes(&longer).is_err());
        }
        let text = token.to_text().unwrap();
        for cut in 0..text.len() {
            assert!(BorrowToken::from_text(&text[..cut]).is_err(), "text cut at {cut}");
        }
        assert_eq!(BorrowToken::from_text(&format!(" {text}\r\n")).as_ref(), Ok(&token));
        for bad in [format!("{text}="), format!("{text}A"), text.replacen(':', ": ", 1), text.to_uppercase()]
        {
            assert!(BorrowToken::from_text(&bad).is_err(), "{bad}");
        }
    }
}

/// A base64 whose last digit has bits that mean nothing would be a second text for one token.
#[test]
fn a_token_has_one_text() {
    let text = full().to_text().unwrap();
    let digits = text[TEXT_PREFIX.len()..].trim_end_matches('=').len() + TEXT_PREFIX.len();
    let mut others = 0;
    for c in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']) {
        let mut other = text.clone();
        other.replace_range(digits - 1..digits, &c.to_string());
        match BorrowToken::from_text(&other) {
            Ok(token) => assert_eq!(token.to_text().unwrap(), other),
            Err(_) => others += 1,
        }
    }
    assert!(text.ends_with('=') && others > 0, "the sample needs padding for this to say something: {text}");
}

#[test]
fn a_mutated_token_is_refused_or_is_another_one_in_its_only_form() {
    let seed = std::env::var("WIRE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_300_630);
    println!("WIRE_SEED={seed}");
    let mut random = Random(seed);
    let (mut refused, mut read) = (0u32, 0u32);
    for token in [least(), full(), renewed()] {
        let whole = token.to_bytes().unwrap();
        for _ in 0..50_000 {
            // Behind the label, or nothing but the label would be tried.
            let mut rest = whole[LABEL.len()..].to_vec();
            mutate(&mut rest, &mut random);
            let bytes = [LABEL, &rest].concat();
            match BorrowToken::from_bytes(&bytes) {
                Err(_) => refused += 1,
                Ok(other) => {
                    read += 1;
                    assert_eq!(hex(&other.to_bytes().unwrap()), hex(&bytes), "seed {seed}");
                }
            }
        }
    }
    assert!(refused > 10_000 && read > 10_000, "{refused} refused, {read} read, seed {seed}");
}

#[test]
fn random_bytes_as_a_token_do_no_harm() {
    let mut random = Random(7);
    for _ in 0..100_000 {
        let length = random.below(200);
        let mut rest = vec![0; length];
        mutate(&mut rest, &mut random);
        let _ = BorrowToken::from_bytes(&rest);
        let _ = BorrowToken::from_bytes(&[LABEL, &rest].concat());
        let _ = BorrowToken::from_text(&String::from_utf8_lossy(&rest));
    }
}

#[test]
fn what_is_longer_than_allowed_is_neither_written_nor_read() {
    let with = |change: &dyn Fn(&mut Lent)| {
        let mut token = full();
        change(&mut token.lent);
        token
    };
    let license =
        |canonical: usize, key: usize| SignedLicense { canonical: vec![7; canonical], key: "k".repeat(key) };
    let fits = with(&|lent| {
        lent.user = "u".repeat(TEXT_BYTES_MAX);
        lent.license = license(CANONICAL_BYTES_MAX, KEY_BYTES_MAX);
        lent.renewals = vec![license(0, 0); RENEWALS_MAX];
    });
    let bytes = fits.to_bytes().unwrap();
    assert_eq!(BorrowToken::from_bytes(&bytes).as_ref(), Ok(&fits));
    assert_eq!(BorrowToken::from_text(&fits.to_text().unwrap()), Ok(fits));

    let field = |field| Err(TokenError::Field { field });
    let refused = |change: &dyn Fn(&mut Lent)| with(change).to_bytes();
    assert_eq!(refused(&|lent| lent.user = "u".repeat(TEXT_BYTES_MAX + 1)), field("user"));
    assert_eq!(refused(&|lent| lent.host = "a\nb".to_owned()), field("host"));
    assert_eq!(refused(&|lent| lent.vendor = "\u{9b}".to_owned()), field("vendor"));
    assert_eq!(refused(&|lent| lent.feature = "\0".to_owned()), field("feature"));
    assert_eq!(refused(&|lent| lent.license = license(CANONICAL_BYTES_MAX + 1, 0)), field("license"));
    assert_eq!(refused(&|lent| lent.license = license(0, KEY_BYTES_MAX + 1)), field("license"));
    assert_eq!(refused(&|lent| lent.renewals = vec![license(0, 0); RENEWALS_MAX + 1]), field("renewals"));
    let unknown = Err(TokenError::Body(DecodeError::UnknownExtra(3)));
    assert_eq!(refused(&|lent| lent.extras = vec![Extra { tag: 3, bytes: vec![] }]), unknown);
    let long = with(&|lent| lent.renewals = vec![license(CANONICAL_BYTES_MAX / 2, 0); 5]);
    assert!(matches!(long.to_bytes(), Err(TokenError::TooLong { .. })));

    // The same, written by somebody who does not look: one digit of the user becomes a line feed.
    let bytes = full().to_bytes().unwrap();
    let at = bytes.windows(3).position(|w| w == b"ann").unwrap();
    let mut bad = bytes.clone();
    bad[at] = b'\n';
    assert_eq!(BorrowToken::from_bytes(&bad), Err(TokenError::Field { field: "user" }));
    let long = vec![0; TOKEN_BYTES_MAX + 1];
    assert_eq!(BorrowToken::from_bytes(&long), Err(TokenError::TooLong { bytes: TOKEN_BYTES_MAX + 1 }));
    let long = format!("{TEXT_PREFIX}{}", "A".repeat(TOKEN_TEXT_MAX));
    assert!(matches!(BorrowToken::from_text(&long), Err(TokenError::TooLong { .. })));
}
