//! Short histories written by hand: each is right or wrong for a reason one can see.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::planted::finder;
use crate::record::{Answer, Event, History, Request, Session, What};

/// A history of one pool, an event a line; the first letter is the client.
///
/// | | |
/// |---|---|
/// | `a take 1 2` | sends a checkout under key 1 of 2 seats |
/// | `a got 11`, `a again 11 2` | granted anew as session 11; a replay: session 11 with 2 seats |
/// | `a no` | denied |
/// | `a give 11 1`, `a gave 1 0` | sends a checkin; so many are back, so many left |
/// | `a see 1`, `a seen 11 2`, `a gone` | sends a resume of key 1; its session; already removed |
/// | `kill` | the daemon is gone |
fn tale(total: u32, lines: &str) -> History {
    let mut events = Vec::new();
    let mut asked = BTreeMap::new();
    for (at, line) in lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().expect("a number");
        let client = usize::from(line.as_bytes()[0] - b'a');
        let session = |count| vec![Session { id: number(2).into(), pool: 0, count }];
        let what = match words.get(1).copied() {
            None => What::Killed,
            Some("take") => {
                asked.insert(client, number(3));
                What::Sent(Request::Checkout { key: number(2).into(), seats: [number(3), 0] })
            }
            Some("give") => What::Sent(Request::Checkin { session: number(2).into(), count: number(3) }),
            Some("see") => What::Sent(Request::Resume { key: number(2).into() }),
            Some("got") => {
                let sessions = session(asked[&client]);
                What::Answered(Answer::Granted { bundle: number(2).into(), sessions, is_replay: false })
            }
            Some("again") => {
                let sessions = session(number(3));
                What::Answered(Answer::Granted { bundle: number(2).into(), sessions, is_replay: true })
            }
            Some("no") => What::Answered(Answer::Denied),
            Some("gave") => What::Answered(Answer::GivenBack { count: number(2), remaining: number(3) }),
            Some("seen") => What::Answered(Answer::Resumed { sessions: session(number(3)) }),
            Some("gone") => What::Answered(Answer::Removed),
            Some(word) => panic!("no such word: {word}"),
        };
        events.push(Event { at: Duration::from_millis(at as u64), client, what });
    }
    History { totals: [total, 0], events }
}

#[track_caller]
fn is_right(total: u32, lines: &str) {
    let history = tale(total, lines);
    if let Err(fault) = crate::check(&history) {
        panic!("a false alarm: {fault}");
    }
}

#[track_caller]
fn is_found_by(check: &str, total: u32, lines: &str) {
    assert_eq!(finder(&tale(total, lines)), Some(check));
}

#[test]
fn a_denial_beside_a_checkin_or_a_grant_may_come_before_or_after_it() {
    is_right(1, "a take 1 1\n a got 11\n a give 11 0\n b take 2 1\n b no\n a gave 1 0");
    is_right(1, "a take 1 1\n b take 2 1\n b no\n a got 11");
    is_right(1, "a take 1 1\n b take 2 1\n b got 12\n a no");
    is_right(
        2,
        "a take 1 2\n a got 11\n a give 11 1\n a gave 1 1\n b take 2 2\n b no\n b take 3 1\n b got 12",
    );
}

#[test]
fn a_request_without_an_answer_may_have_been_done_or_not() {
    // Never told: the seat may be taken for ever, or free.
    is_right(1, "a take 1 1\n kill\n b take 2 1\n b no\n c take 3 1\n c no");
    is_right(1, "a take 1 1\n kill\n b take 2 1\n b got 12");
    is_right(1, "a take 1 1\n a got 11\n a give 11 0\n kill\n b take 2 1\n b no");
    is_right(1, "a take 1 1\n a got 11\n a give 11 0\n kill\n b take 2 1\n b got 12");
    // Told by what came later.
    is_right(1, "a take 1 1\n kill\n b take 2 1\n b no\n a take 1 1\n a again 11 1");
    is_right(1, "a take 1 1\n kill\n b take 2 1\n b got 12\n a take 1 1\n a no");
    is_right(2, "a take 1 2\n a got 11\n a give 11 1\n kill\n a see 1\n a seen 11 1\n b take 2 1\n b got 12");
    is_right(2, "a take 1 2\n a got 11\n a give 11 1\n kill\n a see 1\n a seen 11 2\n b take 2 1\n b no");
    is_right(1, "a take 1 1\n a got 11\n a give 11 0\n kill\n a see 1\n a gone\n b take 2 1\n b got 12");
    // Cut twice: done at one of the two.
    is_right(1, "a take 1 1\n kill\n a take 1 1\n b take 2 1\n b no\n kill\n a take 1 1\n a again 11 1");
}

#[test]
fn a_grant_too_many_is_found() {
    is_found_by("intervals", 1, "a take 1 1\n a got 11\n b take 2 1\n b got 12");
    is_found_by("intervals", 2, "a take 1 2\n a got 11\n a give 11 1\n a gave 1 1\n b take 2 2\n b got 12");
    // At a restart, and though its owner never speaks again.
    is_found_by("intervals", 1, "a take 1 1\n a got 11\n kill\n b take 2 1\n b got 12");
    // The replay says that it was granted before the daemon died.
    is_found_by("intervals", 1, "a take 1 1\n kill\n b take 2 1\n b got 12\n a take 1 1\n a again 11 1");
    // It was not given back: the resume says so.
    is_found_by(
        "intervals",
        1,
        "a take 1 1\n a got 11\n a give 11 0\n kill\n b take 2 1\n b got 12\n a see 1\n a seen 11 1",
    );
}

#[test]
fn a_denial_though_a_seat_was_free_all_the_time_is_found() {
    is_found_by("intervals", 1, "a take 1 1\n a no");
    is_found_by("intervals", 2, "a take 1 1\n a got 11\n b take 2 1\n b no");
    is_found_by("intervals", 1, "a take 1 1\n a got 11\n a give 11 0\n a gave 1 0\n b take 2 1\n b no");
    // Each denies the other, and neither has it.
    is_found_by("intervals", 1, "a take 1 1\n b take 2 1\n a no\n b no");
    // The retry is new, so the cut one did not take the seat that is missing.
    is_found_by("intervals", 2, "a take 1 1\n kill\n a take 1 1\n a got 11\n b take 2 1\n b no");
    // The checkin was done before the daemon died, says the resume.
    is_found_by(
        "intervals",
        1,
        "a take 1 1\n a got 11\n a give 11 0\n kill\n a see 1\n a gone\n b take 2 1\n b no",
    );
}

#[test]
fn an_answer_against_an_earlier_one_is_found() {
    // Lost by a restart, in whole and in part.
    is_found_by("answers", 2, "a take 1 1\n a got 11\n kill\n a see 1\n a gone");
    is_found_by("answers", 2, "a take 1 2\n a got 11\n kill\n a see 1\n a seen 11 1");
    // Back again after it was given back.
    is_found_by(
        "answers",
        2,
        "a take 1 2\n a got 11\n a give 11 1\n a gave 1 1\n kill\n a see 1\n a seen 11 2",
    );
    // Neither what it was before the cut checkin nor after.
    is_found_by("answers", 3, "a take 1 3\n a got 11\n a give 11 2\n kill\n a see 1\n a seen 11 2");
    // A retry that took two.
    is_found_by("answers", 2, "a take 1 1\n a got 11\n a take 1 1\n a again 12 1");
    is_found_by("answers", 2, "a take 1 1\n a got 11\n a take 1 1\n a got 12");
    is_found_by("answers", 2, "a take 1 1\n a got 11\n a take 1 1\n a no");
    // One session for two.
    is_found_by("answers", 2, "a take 1 1\n a got 11\n b take 2 1\n b got 11");
    // More or less than asked for; a replay of nothing; a checkin of another count.
    is_found_by("answers", 3, "a take 1 1\n a again 11 1");
    is_found_by("answers", 3, "a take 1 2\n kill\n a take 1 2\n a again 11 1");
    is_found_by("answers", 3, "a take 1 3\n a got 11\n a give 11 1\n a gave 2 1");
    // No answer, and nobody killed the daemon.
    is_found_by("answers", 3, "a take 1 1\n a take 1 1\n a got 11");
}

#[test]
fn what_is_possible_at_each_instant_and_in_no_order_is_found_by_the_search_alone() {
    // b's grant says that a's checkin is done, long before its answer: c cannot be denied after b gave back.
    is_found_by(
        "order",
        1,
        "a take 1 1\n a got 11\n a give 11 0\n b take 2 1\n b got 12\n b give 12 0\n b gave 1 0\n c take 3 1\n c no\n a gave 1 0",
    );
    // b's grant says that the cut checkin was done, c's denial that it was not.
    is_found_by(
        "order",
        1,
        "a take 1 1\n a got 11\n a give 11 0\n kill\n b take 2 1\n b got 12\n b give 12 0\n b gave 1 0\n c take 3 1\n c no",
    );
    // The cut checkout was done, says b; it was not, says c.
    is_found_by("order", 1, "a take 1 1\n kill\n b take 2 1\n b no\n c take 3 1\n c got 13");
}
