//! The checker put to the test: what is right passes, what is wrong is found, and by which check.

use std::collections::BTreeMap;

use crate::check;
use crate::common::{Random, seed};
use crate::intervals;
use crate::order::{self, Effort};
use crate::record::{Answer, Event, History, POOLS, Request, Seats, Session, What};
use crate::simulated::{self, Flaw};
use crate::story::{self, Effect, Operation};

/// Which check finds the first fault.
pub(crate) fn finder(history: &History) -> Option<&'static str> {
    let fault = check(history).err()?;
    ["answers", "intervals", "order"].into_iter().find(|name| fault.starts_with(name))
}

#[test]
fn right_histories_pass() {
    let mut random = Random(seed());
    let mut given_up = 0;
    for _ in 0..100 {
        let seed = random.bits();
        let clients = usize::try_from(random.within(1, 16)).unwrap();
        let deaths = usize::try_from(random.within(0, 4)).unwrap();
        let history = simulated::history(seed, clients, 900, deaths, Flaw::None);
        match check(&history) {
            Ok(effort) => given_up += u32::from(matches!(effort, Effort::GaveUp(_))),
            Err(fault) => {
                panic!("a false alarm with seed {seed}, {clients} clients, {deaths} deaths: {fault}")
            }
        }
    }
    println!("the search gave up on {given_up} of 100");
    assert!(given_up < 10, "the search is of no use");
}

#[test]
fn a_server_that_is_wrong_is_found() {
    let mut random = Random(seed());
    // The flaw, and the check that finds it first in some of the histories.
    let flaws: [(Flaw, &str); 8] = [
        (Flaw::Oversells, "intervals"),
        (Flaw::DeniesAtWill, "intervals"),
        (Flaw::CountsLate, "intervals"),
        (Flaw::LosesASession, "answers"),
        (Flaw::LosesACount, "intervals"),
        // By the owner who asks again; or by others, who miss the seats that were taken twice.
        (Flaw::ForgetsKeys, "answers"),
        (Flaw::RetryTakesSeats, "intervals"),
        (Flaw::KeepsSeats, "intervals"),
    ];
    for (flaw, meant) in flaws {
        let mut found: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..50 {
            let history = simulated::history(random.bits(), 4, 1_500, 4, flaw);
            let finder = finder(&history).unwrap_or("nobody");
            *found.entry(finder).or_default() += 1;
            if finder == "intervals" {
                // The search asks for more: what an interval finds, it finds.
                let story = story::read(&history).expect("the intervals had their turn");
                let searched = order::search(&history, &story, order::CONFIGURATIONS_MAX);
                assert!(searched.is_err(), "{flaw:?}: the search says {searched:?}");
            }
        }
        println!("{flaw:?}: {found:?}");
        assert!(found.contains_key(meant), "{flaw:?}: {found:?}");
        // Not each history gives the flaw an occasion to show.
        assert!(found.get("nobody").copied().unwrap_or(0) <= 25, "{flaw:?}: {found:?}");
    }
}

#[test]
fn the_search_finds_what_the_intervals_cannot() {
    let mut random = Random(seed());
    // About one history in a hundred is of that kind.
    let is_one =
        |_: &u32| finder(&simulated::history(random.bits(), 6, 250, 1, Flaw::DeniesAtWill)) == Some("order");
    let found = (1..=5_000).find(is_one);
    println!("found in history {found:?}");
    assert!(found.is_some());
}

/// Herlihy and Wing word for word: every order that the windows allow, and all choices of what is unsure.
fn has_an_order(totals: Seats, all: &[Operation], done: u32, used: Seats) -> bool {
    let waits = |number: usize| done & (1 << number) == 0;
    if (0..all.len()).all(|number| !waits(number) || !all[number].is_sure) {
        return true;
    }
    (0..all.len()).filter(|number| waits(*number)).any(|number| {
        // Before it stands all that was over when it was sent; an unsure one that was over by then is never done.
        let is_late = |earlier: usize, later: usize| all[earlier].end < all[later].start;
        if (0..all.len()).any(|other| waits(other) && all[other].is_sure && is_late(other, number))
            || (0..all.len()).any(|other| !waits(other) && is_late(number, other))
        {
            return false;
        }
        let fits = |seats: Seats| (0..POOLS).all(|p| seats[p] == 0 || used[p] + seats[p] <= totals[p]);
        let used = match all[number].effect {
            Effect::Take(seats) if fits(seats) => std::array::from_fn(|pool| used[pool] + seats[pool]),
            Effect::Give(seats) => std::array::from_fn(|pool| used[pool] - seats[pool]),
            Effect::Deny(seats) if !fits(seats) => used,
            Effect::Take(_) | Effect::Deny(_) => return false,
        };
        has_an_order(totals, all, done | 1 << number, used)
    })
}

#[test]
fn the_search_says_what_trying_every_order_says() {
    let mut random = Random(seed());
    let flaws = [Flaw::None, Flaw::DeniesAtWill, Flaw::Oversells, Flaw::CountsLate, Flaw::KeepsSeats];
    let (mut yes, mut no) = (0, 0);
    for _ in 0..3_000 {
        let seed = random.bits();
        let flaw = *random.one_of(&flaws);
        let clients = usize::try_from(random.within(2, 6)).unwrap();
        let mut history = simulated::history(seed, clients, 45, 1, flaw);
        // Few seats: more answers hang on the order.
        history.totals = [u32::try_from(random.within(3, 5)).unwrap(), 3];
        let Ok(story) = story::read(&history) else { continue };
        let expected = has_an_order(history.totals, &story.operations, 0, [0; POOLS]);
        let found = order::search(&history, &story, order::CONFIGURATIONS_MAX);
        assert_eq!(
            found.is_ok(),
            expected,
            "seed {seed}, {flaw:?}, {clients} clients: {found:?}\n{history:#?}"
        );
        *if expected { &mut yes } else { &mut no } += 1;
    }
    println!("{yes} with an order, {no} without");
    assert!(yes > 300 && no > 300, "{yes} with an order, {no} without");
}

#[test]
fn errors_planted_in_right_histories_are_found() {
    let mut random = Random(seed());
    for _ in 0..10 {
        let history = simulated::history(random.bits(), 12, 3_000, 3, Flaw::None);
        errors_in_it_are_found(&history, &mut random);
    }
}

/// A history with one error more; `None`: it has no place for it.
type Plant = fn(&History, &mut Random) -> Option<History>;

/// Plants one error of each sort in a right history, many times over, and sees each found by the check that is meant to.
pub(crate) fn errors_in_it_are_found(history: &History, random: &mut Random) {
    let sorts: [(&str, &str, Plant); 5] = [
        ("a grant too many", "intervals", grant_too_many),
        ("a denial though seats were free", "intervals", denial_for_nothing),
        ("a session lost by a restart", "answers", lost_session),
        ("a seat lost by a restart and given to another", "intervals", lost_seat),
        ("a retry that took two", "answers", second_take),
    ];
    for (name, check, plant) in sorts {
        for _ in 0..5 {
            let wrong = plant(history, random).unwrap_or_else(|| panic!("no place for {name}"));
            assert_eq!(finder(&wrong), Some(check), "{name}");
        }
    }
    // A pool of another size gave these answers.
    for pool in 0..POOLS {
        for total in [history.totals[pool] - 1, history.totals[pool] + 1] {
            let mut wrong = history.clone();
            wrong.totals[pool] = total;
            assert_eq!(finder(&wrong), Some("intervals"), "pool {pool} with {total} seats");
        }
    }
}

/// Where in the list something can be planted.
fn places(history: &History, is_place: impl Fn(usize, &Event) -> bool, random: &mut Random) -> Option<usize> {
    let all: Vec<usize> = history
        .events
        .iter()
        .enumerate()
        .filter(|(at, event)| is_place(*at, event))
        .map(|(at, _)| at)
        .collect();
    (!all.is_empty()).then(|| *random.one_of(&all))
}

/// The request that an answer belongs to.
fn request(history: &History, answer: usize) -> &Request {
    let client = history.events[answer].client;
    let mut before = history.events[..answer].iter().rev().filter(|event| event.client == client);
    match before.next().map(|event| &event.what) {
        Some(What::Sent(request)) => request,
        other => panic!("an answer after {other:?}"),
    }
}

/// A session and bundle that nobody has.
const NEW: u64 = u64::MAX;

/// A new client that asks at this place and is answered at once.
fn insert(history: &History, at: usize, seats: Seats, answer: Answer) -> History {
    let mut wrong = history.clone();
    let client = usize::MAX;
    let when = history.events[at].at;
    let sent = What::Sent(Request::Checkout { key: NEW, seats });
    let both = [sent, What::Answered(answer)].map(|what| Event { at: when, client, what });
    wrong.events.splice(at + 1..=at, both);
    wrong
}

fn new_grant(seats: Seats) -> Answer {
    let pools = (0..POOLS).filter(|pool| seats[*pool] > 0);
    let sessions = pools.map(|pool| Session { id: NEW - pool as u64, pool, count: seats[pool] }).collect();
    Answer::Granted { bundle: NEW, sessions, is_replay: false }
}

/// A denial becomes a grant where the seats were held by others for certain.
fn grant_too_many(history: &History, random: &mut Random) -> Option<History> {
    let story = story::read(history).expect("it is right");
    let held = intervals::certain(history, &story);
    let is_full = |at: usize, event: &Event| {
        matches!(event.what, What::Answered(Answer::Denied))
            && matches!(request(history, at), Request::Checkout { seats, .. }
                if (0..POOLS).any(|pool| seats[pool] > 0 && held[at][pool] + seats[pool] > history.totals[pool]))
    };
    let at = places(history, is_full, random)?;
    let Request::Checkout { seats, .. } = *request(history, at) else { return None };
    let mut wrong = history.clone();
    wrong.events[at].what = What::Answered(new_grant(seats));
    Some(wrong)
}

/// Somebody asks where a seat is free for certain, and is denied.
fn denial_for_nothing(history: &History, random: &mut Random) -> Option<History> {
    let story = story::read(history).expect("it is right");
    let held = intervals::possible(history, &story);
    let pool = usize::try_from(random.within(0, POOLS as i64 - 1)).expect("a pool");
    let at = places(history, |at, _| held[at][pool] < history.totals[pool], random)?;
    let mut seats = [0; POOLS];
    seats[pool] = 1;
    Some(insert(history, at, seats, Answer::Denied))
}

/// Right after a death somebody is given a seat that is another's for certain.
fn lost_seat(history: &History, random: &mut Random) -> Option<History> {
    let story = story::read(history).expect("it is right");
    let held = intervals::certain(history, &story);
    let is_used = |at: usize, event: &Event| {
        matches!(event.what, What::Killed) && held[at].iter().any(|held| *held > 0)
    };
    let at = places(history, is_used, random)?;
    let mut seats = [0; POOLS];
    let pool = (0..POOLS).find(|pool| held[at][*pool] > 0)?;
    seats[pool] = history.totals[pool] - held[at][pool] + 1;
    Some(insert(history, at, seats, new_grant(seats)))
}

/// A resume that found everything finds nothing.
fn lost_session(history: &History, random: &mut Random) -> Option<History> {
    // Not where a checkin is in doubt: it may have given back all.
    let is_sure = |at: usize, event: &Event| {
        let mut before = history.events[..at].iter().rev().filter(|earlier| earlier.client == event.client);
        let last =
            before.find(|e| matches!(&e.what, What::Sent(sent) if !matches!(sent, Request::Resume { .. })));
        matches!(event.what, What::Answered(Answer::Resumed { .. }))
            && last.is_some_and(|e| matches!(e.what, What::Sent(Request::Checkout { .. })))
    };
    let at = places(history, is_sure, random)?;
    let mut wrong = history.clone();
    wrong.events[at].what = What::Answered(Answer::Removed);
    Some(wrong)
}

/// A retry of what is held is answered with other sessions.
fn second_take(history: &History, random: &mut Random) -> Option<History> {
    let mut granted = BTreeMap::new();
    for (at, event) in history.events.iter().enumerate() {
        if matches!(event.what, What::Answered(Answer::Granted { .. }))
            && let Request::Checkout { key, .. } = request(history, at)
        {
            granted.entry(*key).or_insert(at);
        }
    }
    let is_retry = |at: usize, event: &Event| {
        matches!(event.what, What::Answered(Answer::Granted { is_replay: true, .. }))
            && matches!(request(history, at), Request::Checkout { key, .. } if granted[key] < at)
    };
    let at = places(history, is_retry, random)?;
    let mut wrong = history.clone();
    if let What::Answered(Answer::Granted { bundle, sessions, .. }) = &mut wrong.events[at].what {
        *bundle = NEW;
        sessions.iter_mut().for_each(|session| session.id = NEW - session.pool as u64);
    }
    Some(wrong)
}
