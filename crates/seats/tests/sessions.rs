//! Sessions and their lists (S10 to S12, S24), where a table says it better than a story.

mod driver;

use std::sync::Arc;

use driver::{LEASE_MS, Server, date, exclusive, facts, name, request, sealed};
use seats::catalog::Catalog;
use seats::change::{PoolKind, SessionId};
use seats::license::{KeyType, License};

/// A reader that pages through the list misses nobody, whatever is given back meanwhile.
#[test]
fn a_page_goes_on_in_the_middle_of_a_bundle_whose_beginning_is_gone() {
    let mut server = Server::new(date("2030-01-01"), LEASE_MS);
    server.load(vec![exclusive("cad", 10), exclusive("cam", 10)]);
    let on = server.connect();
    let three = request(1, facts("ann", "ws7"), &[("cad", 1), ("cad", 1), ("cam", 1)]);
    server.checkout(&three, on).1.expect("free");
    server.checkout(&request(2, facts("ben", "ws8"), &[("cad", 1)]), on).1.expect("free");
    let page = |server: &Server, after: Option<u64>, limit| {
        let page = server.ledger.sessions_page(after.map(SessionId), limit);
        page.iter().map(|s| s.session.0).collect::<Vec<_>>()
    };
    assert_eq!(page(&server, None, 1), [1]);
    assert_eq!(page(&server, Some(1), 2), [2, 3]);
    assert_eq!(page(&server, Some(2), 9), [3, 4]);
    server.checkin(SessionId(1), None, on).expect("its own");
    assert_eq!(page(&server, Some(1), 2), [2, 3], "the page before ended with a session that is gone");
    server.checkin(SessionId(2), None, on).expect("its own");
    assert_eq!(page(&server, Some(2), 2), [3, 4]);
    server.checkin(SessionId(3), None, on).expect("its own");
    assert_eq!(page(&server, Some(2), 2), [4]);
    assert_eq!(page(&server, Some(4), 2), [0; 0]);
}

/// L39: a reload that comes while sessions still have to move, and changes nothing about them, does not forget them.
#[test]
fn sessions_that_move_are_not_forgotten_by_the_next_reload() {
    let mut server = Server::new(date("2030-01-01"), LEASE_MS);
    let additive = |sn: &str| {
        let sn = Some(sn.into());
        Arc::new(sealed(License { key_type: KeyType::Additive, sn, ..exclusive("cad", 5) }))
    };
    let load = |server: &mut Server, cad: &Arc<License>, zoom: u32| {
        let zoom = Arc::new(sealed(exclusive("zoom", zoom)));
        server.load_catalog(Catalog::new(vec![cad.clone(), zoom]));
    };
    // As the reader of the files does: the license of a file that has not changed is the same one.
    let (old, new) = (additive("old"), additive("new"));
    load(&mut server, &old, 1);
    server.sweep(1);
    let on = server.connect();
    server.checkout(&request(1, facts("ann", "ws7"), &[("cad", 1)]), on).1.expect("free");

    load(&mut server, &new, 1);
    // Every pool of cad is brought to the day; nobody has moved yet.
    while server.ledger.state().pools_of(&name("ACME"), &name("cad")).len() < 2 {
        assert!(!server.sweep_slice(1).is_empty(), "the new pool comes first");
    }
    let pool_of_ann = |server: &Server| {
        let page = server.ledger.sessions_page(None, 9);
        let pool = page[0].pool;
        server.pools("ACME", "cad").into_iter().find(|(_, id)| *id == pool).expect("its pool").0
    };
    assert_eq!(pool_of_ann(&server), PoolKind::Additive("old".into()));
    assert!(!server.ledger.is_complete());

    load(&mut server, &new, 2);
    server.sweep(1);
    assert_eq!(pool_of_ann(&server), PoolKind::Additive("new".into()));
    assert_eq!(
        server.pools("ACME", "cad").len(),
        1,
        "what is left of the old pool is gone with its last session"
    );
}

/// S20: what a step costs does not grow with those who sleep, and each is found awake, at once where it is told and in its turn
/// where not.
#[test]
fn of_a_thousand_silent_connections_some_are_looked_at_in_each_step() {
    let mut server = Server::new(date("2030-01-01"), LEASE_MS);
    server.load(vec![exclusive("cad", 1_000)]);
    let mut connections = Vec::new();
    for n in 0..1_000_u64 {
        let on = server.connect();
        server.checkout(&request(n + 1, facts("ann", "ws7"), &[("cad", 1)]), on).1.expect("free");
        connections.push(on);
    }
    let active = |server: &Server| server.ledger.counters()[0].active;
    let tick = server.now.tick + LEASE_MS;
    server.ledger.listen(tick, usize::MAX, &|_| Some(0));
    assert_eq!(active(&server), 0, "all are silent");

    let looked_at = std::cell::Cell::new(0);
    let looks = |at: Option<u64>| {
        looked_at.set(looked_at.get() + 1);
        at
    };
    server.ledger.listen(tick + 1, usize::MAX, &|_| looks(Some(0)));
    assert!((1..100).contains(&looked_at.get()), "{} in one step", looked_at.get());
    server.ledger.hear(connections[999], tick + 2);
    assert_eq!(active(&server), 1, "told, it is there at once");

    let awake = connections[500];
    let steps = (0..1_000).take_while(|_| {
        server.ledger.listen(tick + 3, usize::MAX, &|id| if id == awake { Some(tick + 3) } else { Some(0) });
        active(&server) == 1
    });
    assert!(steps.count() < 20, "in its turn");
}
