//! The rule alone.

use crate::grace::book::{
    Book, CLOCK_TOLERANCE_SECONDS, Claim, ENTRIES_MAX, Key, Lesson, NoGrace, REST_SECONDS, key,
};

const NOW: i64 = 1_900_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

fn lesson(feature: &str, hours: u32) -> Lesson {
    Lesson {
        vendor: "ACME".into(),
        feature: feature.into(),
        hours,
        count: 2,
        version: Some("4.2".into()),
        ends: None,
        asker: "ann".into(),
    }
}

fn granted(hours: u32) -> Book {
    let mut book = Book::default();
    assert!(book.learn(NOW, lesson("cad", hours)));
    book
}

fn cad() -> Key {
    key("acme", "CAD")
}

/// Begins or continues grace for a checkout; until when.
fn checkout(book: &mut Book, now: i64) -> Result<i64, NoGrace> {
    let (spans, left) = book.begin(now, &[(cad(), Claim::Checkout { asker: "ann", count: 1 })])?;
    assert_eq!(left, spans[0].1.until - now.max(book.mark));
    Ok(spans[0].1.until)
}

fn session(book: &mut Book, now: i64, since: i64) -> Result<i64, NoGrace> {
    book.begin(now, &[(cad(), Claim::Session { since })]).map(|(spans, _)| spans[0].1.until)
}

#[test]
fn grace_lasts_its_hours_from_the_first_use_and_comes_again_seven_days_after_the_last() {
    let mut book = granted(24);
    let until = NOW + DAY;
    assert_eq!(checkout(&mut book, NOW), Ok(until));
    assert_eq!(checkout(&mut book, NOW + 23 * HOUR), Ok(until), "the same period goes on");
    let last = until - 1;
    assert_eq!(checkout(&mut book, last), Ok(until), "its last second");
    let again = last + REST_SECONDS;
    let used = Err(NoGrace::Used { feature: "cad".into(), again });
    assert_eq!(checkout(&mut book, until), used, "the end is exclusive");
    assert_eq!(checkout(&mut book, again - 1), used);
    assert_eq!(checkout(&mut book, again), Ok(again + DAY));
}

#[test]
fn a_grant_in_between_does_not_make_a_new_period() {
    let mut book = granted(24);
    checkout(&mut book, NOW).unwrap();
    book.learn(NOW + HOUR, lesson("cad", 24));
    assert_eq!(checkout(&mut book, NOW + 2 * HOUR), Ok(NOW + DAY), "what is left of it");
    book.learn(NOW + 2 * DAY, lesson("cad", 24));
    let again = NOW + 2 * HOUR + REST_SECONDS;
    assert_eq!(checkout(&mut book, NOW + 2 * DAY), Err(NoGrace::Used { feature: "cad".into(), again }));
}

#[test]
fn a_denial_forbids_it_until_a_grant() {
    let mut book = granted(24);
    checkout(&mut book, NOW).unwrap();
    assert!(book.deny(NOW + 5, None, "Cad"));
    assert_eq!(checkout(&mut book, NOW + 6), Err(NoGrace::Denied("cad".into())));
    assert!(book.learn(NOW + 7, lesson("cad", 24)));
    assert_eq!(checkout(&mut book, NOW + 8), Ok(NOW + DAY));
    assert!(!book.deny(NOW + 9, Some("other"), "cad"), "another vendor's feature");
    assert_eq!(checkout(&mut book, NOW + 9), Ok(NOW + DAY));
}

#[test]
fn a_session_that_ran_when_another_checkout_was_denied_goes_on() {
    let mut book = granted(24);
    book.deny(NOW + 5, Some("acme"), "cad");
    assert_eq!(
        session(&mut book, NOW + 10, NOW + 6),
        Ok(NOW + 10 + DAY),
        "denied before its server went away"
    );
    assert_eq!(session(&mut book, NOW + 10, NOW + 5), Err(NoGrace::Denied("cad".into())), "and after");
}

#[test]
fn grace_is_for_the_one_who_was_granted_and_for_no_more() {
    let mut book = granted(24);
    let mut ask = |asker: &str, count| book.begin(NOW, &[(cad(), Claim::Checkout { asker, count })]).err();
    assert_eq!(ask("bob", 1), Some(NoGrace::AnotherAsker("cad".into())));
    assert_eq!(ask("ann", 3), Some(NoGrace::MoreSeats { feature: "cad".into(), granted: 2, wanted: 3 }));
    assert_eq!(ask("ann", 2), None);
}

#[test]
fn a_license_that_ended_gives_none_for_a_new_checkout() {
    let mut book = Book::default();
    book.learn(NOW, Lesson { ends: Some(NOW + HOUR), ..lesson("cad", 24) });
    assert!(checkout(&mut book, NOW + HOUR - 1).is_ok());
    let expired = NoGrace::Expired { feature: "cad".into(), at: NOW + HOUR };
    assert_eq!(checkout(&mut book, NOW + HOUR), Err(expired));
    // L39: a session that runs is not ended by it.
    assert!(session(&mut book, NOW + HOUR, NOW).is_ok());
}

#[test]
fn all_features_have_grace_or_none_begins() {
    let mut book = granted(24);
    book.learn(NOW, lesson("cam", 12));
    book.learn(NOW, lesson("viewer", 24));
    book.learn(NOW, lesson("viewer", 0));
    let claim = || Claim::Checkout { asker: "ann", count: 1 };
    let none = book.begin(NOW, &[(cad(), claim()), (key("acme", "viewer"), claim())]);
    assert_eq!(none, Err(NoGrace::NotGiven));
    assert_eq!(book.entry(&cad()).unwrap().period, None, "nothing was used");
    let (spans, left) = book.begin(NOW, &[(cad(), claim()), (key("acme", "cam"), claim())]).unwrap();
    assert_eq!((spans.len(), left), (2, 12 * HOUR), "until the first of them ends");
    assert_eq!(book.begin(NOW, &[]), Err(NoGrace::NotGiven));
}

#[test]
fn a_clock_behind_what_was_seen_gives_none_until_a_grant_says_what_time_it_is() {
    let mut book = granted(24);
    let behind = NOW - CLOCK_TOLERANCE_SECONDS;
    assert_eq!(checkout(&mut book, behind), Ok(NOW + DAY), "a small correction; counted from what was seen");
    let refused = Err(NoGrace::ClockBehind { now: behind - 1, mark: NOW });
    assert_eq!(checkout(&mut book, behind - 1), refused);
    assert_eq!(book.mark, NOW);
    // The clock was years ahead, grace was used then, and it is set right.
    let mut book = granted(24);
    let ahead = NOW + 900 * DAY;
    assert_eq!(checkout(&mut book, ahead), Ok(ahead + DAY));
    assert!(matches!(checkout(&mut book, NOW + DAY), Err(NoGrace::ClockBehind { .. })));
    book.learn(NOW + DAY, lesson("cad", 24));
    let again = NOW + DAY + REST_SECONDS;
    let used = Err(NoGrace::Used { feature: "cad".into(), again });
    assert_eq!(checkout(&mut book, NOW + DAY), used, "what was used then is used, but not for years");
    assert_eq!(checkout(&mut book, again), Ok(again + DAY));
}

#[test]
fn a_server_cannot_fill_the_book_or_write_into_its_lines() {
    let mut book = Book::default();
    for bad in ["", "a b", "a\nb", "ä", &"x".repeat(65)] {
        assert!(!book.learn(NOW, lesson(bad, 24)), "{bad:?}");
        assert!(!book.learn(NOW, Lesson { vendor: format!("{bad} "), ..lesson("cad", 24) }), "{bad:?}");
    }
    for n in 0..ENTRIES_MAX + 10 {
        assert_eq!(book.learn(NOW, lesson(&format!("f{n}"), 24)), n < ENTRIES_MAX, "{n}");
    }
    assert!(book.learn(NOW, lesson("f0", 12)), "one that is known is still kept up to date");
    book.learn(NOW, Lesson { version: Some("4 2".into()), ..lesson("f1", 12) });
    assert_eq!(book.entry(&key("acme", "f1")).unwrap().version, None);
}

#[test]
fn a_feature_of_two_vendors_must_be_named_with_its_vendor() {
    let mut book = granted(24);
    book.learn(NOW, Lesson { vendor: "Other".into(), ..lesson("CAD", 24) });
    assert_eq!(book.find(None, "cad").unwrap_err(), NoGrace::SeveralVendors("cad".into()));
    assert_eq!(book.find(Some("OTHER"), "cad").unwrap().feature, "CAD");
    book.learn(NOW, Lesson { vendor: "Other".into(), ..lesson("cad", 0) });
    assert_eq!(book.find(None, "cad").unwrap().vendor, "ACME", "the other gives none");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % n.unsigned_abs()).unwrap()
    }
}

/// Whatever happens in whatever order, while the clock runs forward: all uses of grace fall into stretches of at most
/// its hours, with seven days between them, and none follows a denial without a grant.
#[test]
fn no_history_yields_more_than_the_hours_in_seven_days() {
    let seed = getrandom::u64().unwrap();
    println!("seed: {seed}");
    let mut random = Random(seed);
    let mut uses_in_all = 0;
    for _ in 0..300 {
        let hours = 1 + random.below(168);
        let mut book = granted(u32::try_from(hours).unwrap());
        let (mut now, mut is_denied, mut uses) = (NOW, false, Vec::new());
        for _ in 0..60 {
            let step = [1, HOUR, 10 * HOUR, 4 * DAY][usize::try_from(random.below(4)).unwrap()];
            now += random.below(step);
            match random.below(8) {
                0 => {
                    book.learn(now, lesson("cad", u32::try_from(hours).unwrap()));
                    is_denied = false;
                }
                1 => {
                    book.deny(now, None, "cad");
                    is_denied = true;
                }
                2 => {
                    book.see(now);
                }
                3 => {
                    let text = crate::grace::text::write(&book);
                    assert_eq!(crate::grace::text::read(&text), Ok(book.clone()), "seed {seed}");
                }
                _ => {
                    if let Ok(until) = checkout(&mut book, now) {
                        assert!(!is_denied, "seed {seed}: used after a denial");
                        assert!(now < until && until <= now + hours * HOUR, "seed {seed}");
                        uses.push(now);
                    }
                }
            }
        }
        uses_in_all += uses.len();
        let mut stretch = uses.first().copied();
        for pair in uses.windows(2) {
            if pair[1] - pair[0] >= REST_SECONDS {
                stretch = Some(pair[1]);
            }
            let length = pair[1] - stretch.unwrap();
            assert!(length < hours * HOUR, "seed {seed}: {length} s of {hours} h");
        }
    }
    assert!(uses_in_all > 1000, "{uses_in_all} uses are too few to say anything");
}
