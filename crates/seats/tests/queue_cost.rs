//! What a queue of ten thousand costs, counted in waiters looked at and not in time.

mod driver;

use driver::{Server, date, exclusive, facts, request};
use seats::ledger::CheckoutOutcome;

const WAITERS: u64 = 10_000;

fn crowd(first: u32) -> Server {
    let mut server = Server::new(date("2030-01-01"), driver::LEASE_MS);
    server.load(vec![exclusive("cad", 2)]);
    server.sweep(10);
    for (key, count) in [(1, 1), (2, 1)].into_iter().chain((3..WAITERS + 3).map(|key| (key, 1))) {
        let count = if key == 3 { first } else { count };
        let on = server.connect();
        let asked = request(key, facts(&format!("u{key}"), "ws"), &[("cad", count)]);
        let (_, outcome) = server.checkout_or_wait(&asked, 3_600_000, on);
        let waits = matches!(outcome, Ok(CheckoutOutcome::Waits(_)));
        assert_eq!(waits, key > 2, "{outcome:?}");
    }
    server
}

#[test]
fn who_keeps_all_that_is_free_is_the_only_one_looked_at() {
    let mut server = crowd(2);
    let on = server.connect();
    let ended = server.ledger.sessions_page(None, 1)[0].session;
    assert!(server.ledger.decide_checkin(ended, None, on, server.now).is_err());
    for change in server.ledger.decide_release(ended, "root", "", 0, server.now).expect("it is there") {
        server.commit(&change);
    }
    let mut budget = 100;
    assert_eq!(server.ledger.next_served(server.now, &mut budget), None);
    assert!(!server.ledger.is_hungry());
    assert_eq!(budget, 99, "looked at more than the head of the queue");
}

#[test]
fn ten_thousand_are_served_with_one_look_at_each() {
    let mut server = crowd(1);
    server.load(vec![exclusive("cad", 20_000)]);
    server.refresh(["cad"]);
    let mut budget = usize::MAX;
    let mut served = 0;
    while let Some(one) = server.ledger.next_served(server.now, &mut budget) {
        one.before.iter().for_each(|change| server.commit(change));
        server.commit(&seats::change::Change::Granted(one.granted));
        served += 1;
    }
    assert_eq!((served, usize::MAX - budget), (WAITERS, 10_000));
}

/// One at the head that can never be served holds nobody back, and is not looked at anew for each of those behind it.
#[test]
fn who_is_served_does_not_begin_the_queue_anew() {
    let mut server = crowd(30_000);
    server.load(vec![exclusive("cad", 20_000)]);
    server.refresh(["cad"]);
    let mut budget = usize::MAX;
    let mut served = 0;
    while let Some(one) = server.ledger.next_served(server.now, &mut budget) {
        let on = server.ledger.queue().connection_of(one.waiter).expect("who is served is there");
        let bundle = one.granted.bundle;
        one.before.iter().for_each(|change| server.commit(change));
        server.commit(&seats::change::Change::Granted(one.granted));
        server.ledger.attach_unasked(bundle, on, server.now.tick);
        served += 1;
    }
    assert_eq!((served, usize::MAX - budget), (WAITERS - 1, 10_000));
}
