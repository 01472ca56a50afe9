//! Bytes that are no message, or not the one they claim to be: refused, and nothing else happens.

use std::time::{Duration, Instant};

use wire::frame::{self, CLIENT_FRAME_BYTES_MAX, HEAD_BYTES, SERVER_FRAME_BYTES_MAX};
use wire::message::{HOST_IDS_MAX, ITEMS_MAX, TEXT_BYTES_MAX};
use wire::request::{Facts, HostId, Item};
use wire::{Answer, DecodeError, Event, Extra, Request, answer, layout, request};

use crate::page::{from_hex, hex};
use crate::samples::GRACE;
use crate::{Any, numbers, vectors};

/// Mutations of each vector.
const MUTATIONS: u32 = 10_000;

fn decode(bytes: &[u8]) -> Result<Option<(u32, Any)>, String> {
    match frame::first(bytes, SERVER_FRAME_BYTES_MAX).map_err(|e| e.to_string())? {
        Some(whole) => {
            let message = Any::decode(whole.head, whole.body).map_err(|e| e.to_string())?;
            Ok(Some((whole.head.call, message)))
        }
        None => Ok(None),
    }
}

/// The same bytes with a length that fits them.
fn with_length(payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], payload].concat()
}

#[test]
fn every_truncation_of_every_vector_is_refused() {
    for vector in vectors::read() {
        for cut in 0..vector.frame.len() {
            assert_eq!(decode(&vector.frame[..cut]), Ok(None), "{} cut at {cut} is incomplete", vector.file);
        }
        let payload = &vector.frame[4..];
        for cut in 0..payload.len() {
            assert!(decode(&with_length(&payload[..cut])).is_err(), "{} cut at {cut}", vector.file);
        }
    }
}

#[test]
fn a_trailing_byte_is_refused() {
    for vector in vectors::read() {
        for byte in [0, 1, 0xfb, 0xff] {
            let longer = with_length(&[&vector.frame[4..], &[byte]].concat());
            let whole = frame::first(&longer, SERVER_FRAME_BYTES_MAX).unwrap().unwrap();
            let refused = Any::decode(whole.head, whole.body);
            assert_eq!(refused, Err(DecodeError::Trailing { bytes: 1 }), "{}", vector.file);
        }
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        // Half of them bytes that mean something to the layout.
        const TELLING: [u8; 10] = [0, 1, 2, 250, 251, 252, 253, 254, 255, 0x80];
        if self.next().is_multiple_of(2) { TELLING[self.below(10)] } else { self.next() as u8 }
    }
}

pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let byte = random.byte();
        match random.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[at] = byte,
            2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.insert(at, byte),
            _ => {
                let end = (at + random.below(9)).min(bytes.len());
                let copy = bytes[at.min(end)..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
        }
    }
}

#[test]
fn a_mutated_message_is_refused_or_is_another_one_in_its_only_form() {
    let seed = std::env::var("WIRE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_300_630);
    println!("WIRE_SEED={seed}");
    let mut random = Random(seed);
    let (mut refused, mut read) = (0u32, 0u32);
    for vector in vectors::read() {
        for _ in 0..MUTATIONS {
            // Mostly with a length that fits, or nothing but the length would be tried.
            let mut bytes = vector.frame.clone();
            if random.below(8) > 0 {
                let mut payload = bytes.split_off(4);
                mutate(&mut payload, &mut random);
                bytes = with_length(&payload);
            } else {
                mutate(&mut bytes, &mut random);
            }
            match decode(&bytes) {
                Err(_) | Ok(None) => refused += 1,
                Ok(Some((call, message))) => {
                    read += 1;
                    let mut again = Vec::new();
                    message.append(&mut again, call).unwrap();
                    assert_eq!(hex(&again), hex(&bytes[..again.len()]), "{}, seed {seed}", vector.file);
                    assert_eq!(decode(&again), Ok(Some((call, message))), "{}, seed {seed}", vector.file);
                }
            }
        }
    }
    // Both happen often, or the mutations are of the wrong kind.
    assert!(refused > 100_000 && read > 50_000, "{refused} refused, {read} read, seed {seed}");
}

#[test]
fn random_bytes_as_any_message_do_no_harm() {
    let mut random = Random(7);
    for number in numbers() {
        for _ in 0..2_000 {
            let length = random.below(64);
            let body: Vec<u8> = (0..length).map(|_| random.byte()).collect();
            let payload = [&number.to_le_bytes()[..], &[1, 0, 0, 0], &body].concat();
            let _ = decode(&with_length(&payload));
        }
    }
}

#[test]
fn a_list_that_claims_two_to_the_forty_items_is_refused_at_once() {
    let started = Instant::now();
    for claimed in [1u64 << 40, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
        let length = [&[0xfd][..], &claimed.to_le_bytes()].concat();
        let items = [&[0; 32][..], &length, &[0; 20]].concat();
        assert_eq!(layout::decode::<request::Checkout>(&items), Err(DecodeError::TooMuch));
        let extras = [&length[..], &[0; 40]].concat();
        assert_eq!(Request::decode(0x0009, &extras), Err(DecodeError::TooMuch));
        assert_eq!(Event::decode(0xc004, &extras), Err(DecodeError::TooMuch));
        assert_eq!(Answer::decode(0xbfff, &extras), Err(DecodeError::TooMuch), "a text that long");
    }
    // Within the memory limit, but not there.
    let short = [0xfc, 0, 0, 0x0f, 0, 0, 0];
    assert_eq!(Answer::decode(0xbfff, &short), Err(DecodeError::Truncated));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn a_frame_full_of_the_smallest_items_is_bounded() {
    // 32,000 extras of two bytes each: a mebibyte in memory, and tags that do not ascend.
    let extras = [&[0xfb][..], &32_000u16.to_le_bytes(), &[0; 64_000]].concat();
    let refused = Request::decode(0x0009, &extras).unwrap_err();
    assert!(matches!(refused, DecodeError::UnknownExtra(0) | DecodeError::TooMuch), "{refused}");
    // Candidates of three bytes, each of which takes seventy-two in memory.
    let candidates = [&[0, 0, 0, 0xfb][..], &21_000u16.to_le_bytes(), &[0; 63_001]].concat();
    assert_eq!(Request::decode(0x000e, &candidates), Err(DecodeError::TooMuch));
    let items = [&[0; 32][..], &[0xfb], &21_000u16.to_le_bytes(), &[0; 63_100]].concat();
    assert_eq!(Request::decode(0x0002, &items), Err(DecodeError::TooMuch));
}

#[test]
fn an_integer_in_more_bytes_than_it_needs_is_refused() {
    // A session that fits into one, two, four bytes, then count 0 and no extras.
    let sessions =
        ["fb0500", "fc05000000", "fd0500000000000000", "fcffff0000", "fdffffffff00000000", "fbfa00"];
    for session in sessions {
        let body = [&from_hex(session)[..], &[0, 0]].concat();
        assert_eq!(Request::decode(0x0003, &body), Err(DecodeError::NotShortest), "{session}");
    }
    // The same in a length.
    assert_eq!(Request::decode(0x0003, &[5, 0, 0xfb, 0, 0]), Err(DecodeError::NotShortest));
}

#[test]
fn a_field_that_holds_what_its_type_cannot_is_refused() {
    let bool_two = Request::decode(0x0008, &[2, 0]);
    assert_eq!(bool_two, Err(DecodeError::Malformed("a yes-or-no is neither 0 nor 1")));
    let option_two = Request::decode(0x0004, &[2, 0, 0]);
    assert_eq!(option_two, Err(DecodeError::Malformed("an optional field begins with neither 0 nor 1")));
    let not_utf8 = Answer::decode(0x9001, &[2, 0xc3, 0x28, 0]);
    assert_eq!(not_utf8, Err(DecodeError::Malformed("a text is not UTF-8")));
    // A u32 in eight bytes, a u16 in four, and the tags that mean nothing.
    let too_large = Err(DecodeError::Malformed("a number is too large for its field"));
    assert_eq!(Request::decode(0x0003, &[5, 0xfd, 0, 0, 0, 0, 1, 0, 0, 0, 0]), too_large);
    assert_eq!(Request::decode(0x0009, &[1, 0xfc, 0, 0, 1, 0, 0]), too_large);
    for tag in [0xfe, 0xff] {
        assert!(matches!(Request::decode(0x0003, &[tag; 20]), Err(DecodeError::Malformed(_))), "{tag:x}");
    }
}

#[test]
fn an_unknown_number_is_told_from_a_bad_body() {
    for number in [0x0000, 0x0010, 0x0fff, 0x1000, 0x1008, 0x7fff] {
        assert_eq!(Request::decode(number, &[]), Err(DecodeError::UnknownNumber(number)));
    }
    assert_eq!(Answer::decode(0x8010, &[]), Err(DecodeError::UnknownNumber(0x8010)));
    assert_eq!(Event::decode(0xc009, &[]), Err(DecodeError::UnknownNumber(0xc009)));
    // Not even read as what it would be for the other side.
    assert_eq!(Request::decode(0x8004, &[0, 0]), Err(DecodeError::UnknownNumber(0x8004)));
}

#[test]
fn the_largest_allowed_checkout_fits_and_a_larger_body_is_refused() {
    let longest = || "x".repeat(TEXT_BYTES_MAX);
    let item = Item { vendor: Some(longest()), feature: longest(), count: u32::MAX };
    let host_id = HostId { kind: longest(), value: longest() };
    let facts = Facts {
        user: longest(),
        host: longest(),
        pid: u32::MAX,
        platform: longest(),
        offset_minutes: i16::MIN,
        display: Some(longest()),
        project: Some(longest()),
        release_version: Some(longest()),
        release_date: Some(longest()),
        line_date: Some(longest()),
        host_ids: vec![host_id; HOST_IDS_MAX],
    };
    let checkout = request::Checkout {
        items: vec![item; ITEMS_MAX],
        facts,
        share: Some(longest()),
        reservation_token: Some(longest()),
        wait_seconds: Some(u32::MAX),
        ..Default::default()
    };
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 1, &checkout).unwrap();
    let whole = frame::first(&bytes, CLIENT_FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(layout::decode::<request::Checkout>(whole.body), Ok(checkout));

    let bytes_max = CLIENT_FRAME_BYTES_MAX - HEAD_BYTES;
    let refused = layout::decode::<request::Checkout>(&vec![0; bytes_max + 1]);
    assert_eq!(refused, Err(DecodeError::TooLong { bytes: bytes_max + 1, bytes_max }));
}

#[test]
fn the_smallest_grants_of_a_large_checkout_and_a_full_page_are_read() {
    let granted = answer::Granted { sessions: vec![Default::default(); ITEMS_MAX], ..Default::default() };
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 1, &granted).unwrap();
    assert_eq!(layout::decode::<answer::Granted>(&bytes[10..]), Ok(granted));

    let overhead = HEAD_BYTES + 5 + 1 + 1;
    let mut report =
        answer::Report { json: "x".repeat(SERVER_FRAME_BYTES_MAX - overhead), ..Default::default() };
    bytes.clear();
    frame::append(&mut bytes, 1, &report).unwrap();
    assert_eq!(bytes.len(), 4 + SERVER_FRAME_BYTES_MAX);
    assert_eq!(layout::decode::<answer::Report>(&bytes[10..]), Ok(report.clone()));
    report.json.push('x');
    let length = bytes.len();
    assert!(frame::append(&mut bytes, 1, &report).is_err());
    assert_eq!(bytes.len(), length);
}

#[test]
fn a_grace_that_cannot_be_read_is_none() {
    let among =
        |bytes: &[u8]| answer::Grace::among(&[Extra { tag: answer::Grace::TAG, bytes: bytes.to_vec() }]);
    let good = answer::Grace::extra(&GRACE).bytes;
    assert_eq!(among(&good), GRACE);
    assert_eq!(among(&[0]), []);
    for cut in 0..good.len() {
        assert_eq!(among(&good[..cut]), [], "cut at {cut}");
    }
    let claims_two_to_the_forty = [&[0xfd][..], &(1u64 << 40).to_le_bytes(), &[1, 1]].concat();
    for bad in
        [&[&good[..], &[0]].concat()[..], &[1, 0xfb, 5, 0, 24], &[1, 0xff, 24], &claims_two_to_the_forty]
    {
        assert_eq!(among(bad), [], "{}", hex(bad));
    }
    let elsewhere = Extra { tag: 2, bytes: good };
    assert_eq!(answer::Grace::among(&[elsewhere]), [], "under another tag");
}
