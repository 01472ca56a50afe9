//! Sessions and their lists (S10 to S12, S24), where a table says it better than a story.

mod driver;

use driver::{LEASE_MS, Server, date, exclusive, facts, request};
use seats::change::SessionId;

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
