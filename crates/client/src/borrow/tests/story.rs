//! A whole client: it borrows from a scripted server, goes offline, comes back. The clock is the test's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use wire::answer::{self, Loan};
use wire::request::{self, Hours};
use wire::{Answer, Request, codes};

use super::sample::{ENDS, GRANTED, INSTALL, Sample, key_of, vendor_key};
use crate::borrow::{BorrowError, Borrowed, NotValid, OpenError, ReturnError, Taken};
use crate::grace::clock::Clock;
use crate::scripted::{PATIENCE, Peer, Server, granted, nobody, options};
use crate::{CheckoutError, Client, Event, Options, Want};

/// A minute after the grant.
const START: i64 = GRANTED + 60;

#[derive(Default)]
struct TestClock {
    passed: AtomicI64,
    set: AtomicI64,
}

impl Clock for TestClock {
    fn unix_seconds(&self) -> i64 {
        START + self.passed.load(Ordering::SeqCst) + self.set.load(Ordering::SeqCst)
    }

    fn running(&self) -> Duration {
        Duration::from_secs(self.passed.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// One user's laptop.
struct Laptop {
    directory: tempfile::TempDir,
    clock: Arc<TestClock>,
}

impl Laptop {
    fn new() -> Laptop {
        Laptop { directory: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn options(&self, servers: &[SocketAddr]) -> Options {
        Options {
            borrow_directory: Some(self.path().to_owned()),
            vendor_keys: vec![vendor_key()],
            backoff: crate::Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(5) },
            ..options(servers)
        }
    }

    /// A program that starts.
    fn client(&self, servers: &[SocketAddr]) -> Client {
        Client::with_clock(self.options(servers), self.clock.clone())
    }

    fn offline(&self) -> Client {
        self.client(&[nobody()])
    }

    fn pass(&self, seconds: i64) {
        self.clock.passed.fetch_add(seconds, Ordering::SeqCst);
    }

    fn set_clock(&self, by: i64) {
        self.clock.set.fetch_add(by, Ordering::SeqCst);
    }

    /// Borrows two seats of cad for two days.
    fn borrows(&self) -> Borrowed {
        self.borrows_as(Sample::new())
    }

    fn borrows_as(&self, sample: Sample) -> Borrowed {
        let server = Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            let (call, checkout) = next_checkout(peer);
            lend(peer, call, &checkout, &sample);
            bye(peer);
        });
        let mut borrowed = self.client(&[server.address]).borrow(want().count(2), 48).unwrap();
        server.finish();
        assert_eq!(borrowed.len(), 1);
        borrowed.pop().unwrap()
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".lock") && !name.ends_with(".turn"));
        names.sort();
        names
    }
}

fn want() -> Want {
    let mut want = Want::feature("cad").version("4.1");
    want.facts.user = "ann".into();
    want.facts.host = "ws7".into();
    want
}

fn next_checkout(peer: &mut Peer) -> (u32, request::Checkout) {
    let Some((call, Request::Checkout(checkout))) = peer.next() else { panic!("no checkout") };
    (call, checkout)
}

fn lend(peer: &mut Peer, call: u32, checkout: &request::Checkout, sample: &Sample) {
    assert_eq!(Hours::among(&checkout.extras), Ok(Some(Hours { hours: 48 })));
    let mut granted = granted(9, checkout);
    let loan = Loan { session: granted.sessions[0].session, ends_at: ENDS, token: sample.bytes() };
    granted.extras = vec![Loan::extra(&[loan])];
    peer.answer(call, Answer::Granted(granted));
}

fn bye(peer: &mut Peer) {
    if let Some((call, request)) = peer.next() {
        assert_eq!(request, Request::Goodbye(Default::default()));
        peer.answer(call, Answer::Goodbye(Default::default()));
    }
}

/// The server shows its key, and hands the bundle over.
fn show_and_resume(peer: &mut Peer, checkout_secret: Option<request::Secret>) {
    let Some((call, Request::Report(report))) = peer.next() else { panic!("no report") };
    assert_eq!(report.what, "status");
    let json = format!("{{\"server\":{{\"key\":\"{}\"}}}}", key_of(&Sample::new().server));
    peer.answer(call, Answer::Report(answer::Report { json, ..Default::default() }));
    let Some((call, Request::Resume(resume))) = peer.next() else { panic!("no resume") };
    assert_eq!((resume.bundle, &*resume.facts.user), (9, "ann"));
    if let Some(secret) = checkout_secret {
        assert_eq!(resume.secret, secret);
    }
    let grant = answer::Grant { session: 90, feature: "cad".into(), count: 2, ..Default::default() };
    let resumed = answer::Resume { bundle: 9, sessions: vec![grant], ..Default::default() };
    peer.answer(call, Answer::Resume(resumed));
}

fn next_checkin(peer: &mut Peer) -> u32 {
    let Some((call, Request::Checkin(checkin))) = peer.next() else { panic!("no checkin") };
    assert_eq!((checkin.session, checkin.count), (90, 0));
    call
}

fn taken(peer: &mut Peer, call: u32) {
    peer.answer(call, Answer::Checkin(answer::Checkin { session: 90, count: 2, ..Default::default() }));
}

#[test]
fn what_is_borrowed_opens_without_a_server_until_its_end() {
    let laptop = Laptop::new();
    let seat = laptop.borrows();
    assert_eq!((seat.borrow, &*seat.feature, seat.count, seat.ends_at), (90, "cad", 2, ENDS));
    let client = laptop.offline();
    assert_eq!(client.borrowed().unwrap(), std::slice::from_ref(&seat));
    let events = client.subscribe();
    let open = client.open_borrowed(&want()).unwrap();
    assert_eq!((open.seats(), open.ends_at()), (&[seat][..], ENDS));
    assert_eq!(open.check(), Ok(()));
    laptop.pass(ENDS - START - 1);
    assert_eq!(open.check(), Ok(()));
    drop(open);
    let open = client.open_borrowed(&want()).unwrap();
    // Looked at once a second so near to the end.
    laptop.pass(1);
    let over = NotValid::Over { feature: "cad".into(), ends_at: ENDS };
    assert_eq!(open.check(), Err(over.clone()));
    let told = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told, Event::BorrowEnded { borrow: 90, feature: "cad".into(), ends_at: ENDS });
    drop(open);
    let refused = client.open_borrowed(&want()).err().unwrap();
    assert!(matches!(&refused, OpenError::NotValid(fault) if *fault == over), "{refused}");
    // The clock is set back, by a minute and by a day: what was over stays over.
    for by in [-60, -86_400] {
        laptop.set_clock(by);
        assert!(laptop.offline().open_borrowed(&want()).is_err());
    }
}

#[test]
fn a_clock_that_was_set_back_opens_nothing_and_a_grant_heals_one_that_was_ahead() {
    let laptop = Laptop::new();
    laptop.borrows();
    laptop.pass(3600);
    drop(laptop.offline().open_borrowed(&want()).unwrap());
    laptop.set_clock(-290);
    drop(laptop.offline().open_borrowed(&want()).unwrap());
    laptop.set_clock(-20);
    let refused = laptop.offline().open_borrowed(&want()).err().unwrap();
    assert!(matches!(&refused, OpenError::NotValid(NotValid::ClockBehind { .. })), "{refused}");
    // Without the mark the grant that the server signed is what is known.
    std::fs::remove_file(laptop.path().join("borrow-mark")).unwrap();
    drop(laptop.offline().open_borrowed(&want()).unwrap());
    std::fs::remove_file(laptop.path().join("borrow-mark")).unwrap();
    laptop.set_clock(-86_400);
    let refused = laptop.offline().open_borrowed(&want()).err().unwrap();
    assert!(matches!(&refused, OpenError::NotValid(NotValid::NotYet { .. })), "{refused}");
    // Years ahead, then right again.
    laptop.set_clock(86_400 + 310 - 3600 + 10_000_000);
    assert!(laptop.offline().open_borrowed(&want()).is_err());
    laptop.set_clock(-10_000_000);
    assert!(laptop.offline().open_borrowed(&want()).is_err());
    laptop.borrows();
    drop(laptop.offline().open_borrowed(&want()).unwrap());
}

/// The mark is gone, but a later grant is signed: it is later than the moment that the clock now shows.
#[test]
fn a_later_grant_is_a_moment_that_was_seen() {
    let laptop = Laptop::new();
    laptop.borrows();
    laptop.pass(40 * 3600);
    let mut later = Sample::new();
    (later.lent.granted_at, later.lent.ends_at) = (GRANTED + 40 * 3600, ENDS + 40 * 3600);
    laptop.borrows_as(later);
    laptop.set_clock(-30 * 3600);
    std::fs::remove_file(laptop.path().join("borrow-mark")).unwrap();
    let refused = laptop.offline().open_borrowed(&want()).err();
    assert!(matches!(refused, Some(OpenError::NotValid(_))), "the first of both is not over by this clock");
}

#[test]
fn what_has_been_over_for_a_day_is_forgotten_with_the_next_grant() {
    let laptop = Laptop::new();
    laptop.borrows();
    let later = |by: i64| {
        let mut sample = Sample::new();
        (sample.lent.granted_at, sample.lent.ends_at) = (GRANTED + by, ENDS + by);
        laptop.borrows_as(sample);
        laptop.offline().borrowed().unwrap().len()
    };
    laptop.pass(ENDS - GRANTED + 3600);
    assert_eq!(later(ENDS - GRANTED + 3600), 2, "over, and listed");
    laptop.pass(86_400);
    assert_eq!(later(ENDS - GRANTED + 3600 + 86_400), 2, "the first is gone, the second is not over");
}

#[test]
fn programs_of_one_user_share_what_is_borrowed_and_no_more() {
    let laptop = Laptop::new();
    laptop.borrows();
    let first = laptop.offline().open_borrowed(&want()).unwrap();
    let second = laptop.offline().open_borrowed(&want()).unwrap();
    let third = laptop.offline().open_borrowed(&want()).err().unwrap();
    assert!(matches!(&third, OpenError::InUse { count: 2, used: 2, .. }), "{third}");
    drop(first);
    let two = laptop.offline().open_borrowed(&want().count(2)).err().unwrap();
    assert!(matches!(&two, OpenError::InUse { used: 1, .. }), "{two}");
    drop(second);
    drop(laptop.offline().open_borrowed(&want().count(2)).unwrap());
    let three = laptop.offline().open_borrowed(&want().count(3)).err().unwrap();
    assert!(matches!(&three, OpenError::InUse { used: 0, .. }), "{three}");
    assert!(laptop.files().iter().all(|name| !name.contains("-use-")), "{:?}", laptop.files());
}

#[test]
fn take_uses_what_is_borrowed_and_else_a_server() {
    let laptop = Laptop::new();
    laptop.borrows();
    assert!(matches!(laptop.offline().take(want()), Ok(Taken::Borrowed(_))));
    // More than was borrowed: a server is asked.
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        peer.grant(4);
        let Some((call, Request::Checkin(_))) = peer.next_but_beats(1) else { panic!("no checkin") };
        peer.answer(call, Answer::Checkin(Default::default()));
    });
    let taken = laptop.client(&[server.address]).take(want().count(3)).unwrap();
    assert!(matches!(taken, Taken::Online(_)));
    drop(taken);
    server.finish();
    // No server, and nothing that could be opened: both are told.
    laptop.pass(ENDS);
    let Err(CheckoutError::NoServer(reasons)) = laptop.offline().take(want()) else { panic!() };
    assert!(reasons.len() == 2 && reasons[1].contains("ended at"), "{reasons:?}");
    let Err(CheckoutError::NoServer(reasons)) = laptop.offline().take(Want::feature("mesh")) else {
        panic!()
    };
    assert!(reasons[1].contains("mesh is not borrowed"), "{reasons:?}");
}

#[test]
fn another_user_installation_or_program_does_not_open_it() {
    let laptop = Laptop::new();
    laptop.borrows();
    let fault = |client: Client, want: Want| match client.open_borrowed(&want) {
        Err(OpenError::NotValid(fault)) => fault,
        other => panic!("{:?}", other.err()),
    };
    let mut bob = want();
    bob.facts.user = "bob".into();
    assert!(matches!(fault(laptop.offline(), bob), NotValid::OtherUser { .. }));
    assert!(matches!(fault(laptop.offline(), want().version("5.0")), NotValid::Release(_)));
    let with = |change: fn(&mut Options)| {
        let mut options = laptop.options(&[nobody()]);
        change(&mut options);
        Client::with_clock(options, laptop.clock.clone())
    };
    let copied = with(|options| options.install_id.0[0] ^= 1);
    assert!(matches!(fault(copied, want()), NotValid::OtherInstallation { .. }));
    assert_eq!(fault(with(|options| options.vendor_keys.clear()), want()), NotValid::NoKeys);
    let elsewhere = with(|options| options.borrow_directory = None);
    assert!(matches!(elsewhere.open_borrowed(&want()), Err(OpenError::NotBorrowed { .. })));
    assert_eq!(elsewhere.borrowed().unwrap(), []);
}

#[test]
fn given_back_it_is_forgotten_when_the_server_has_answered() {
    let laptop = Laptop::new();
    let seat = laptop.borrows();
    let kept = laptop.files();
    let server = Server::start(30_000, 1, |_, peer| {
        assert_eq!(peer.hello().install_id, INSTALL.0);
        show_and_resume(peer, None);
        let call = next_checkin(peer);
        taken(peer, call);
        bye(peer);
    });
    let client = laptop.client(&[server.address]);
    // Not while a program uses it.
    let open = client.open_borrowed(&want()).unwrap();
    let refused = client.give_back(&seat).unwrap_err();
    assert!(matches!(&refused, ReturnError::InUse { .. }), "{refused}");
    drop(open);
    assert_eq!(laptop.files(), kept);
    client.give_back(&seat).unwrap();
    server.finish();
    assert_eq!(client.borrowed().unwrap(), []);
    assert_eq!(laptop.files(), ["borrow-mark"]);
    assert!(matches!(client.open_borrowed(&want()), Err(OpenError::NotBorrowed { .. })));
    assert!(matches!(client.give_back(&seat), Err(ReturnError::NotKept { .. })));
}

#[test]
fn a_return_whose_answer_is_lost_opens_no_more_and_works_again() {
    let laptop = Laptop::new();
    let seat = laptop.borrows();
    // Three times the server hears it and its answer does not come through.
    let server = Server::start(30_000, 3, |_, peer| {
        peer.hello();
        show_and_resume(peer, None);
        next_checkin(peer);
    });
    let refused = laptop.client(&[server.address]).give_back(&seat).unwrap_err();
    assert!(matches!(&refused, ReturnError::NoServer(_)), "{refused}");
    server.finish();
    let kept = laptop.offline().borrowed().unwrap();
    assert!(kept.len() == 1 && kept[0].is_returning, "{kept:?}");
    let refused = laptop.offline().open_borrowed(&want()).err().unwrap();
    let returning = NotValid::Returning { feature: "cad".into() };
    assert!(matches!(&refused, OpenError::NotValid(fault) if *fault == returning), "{refused}");
    // Another program, later: the server had it all along.
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Report(_))) = peer.next() else { panic!("no report") };
        let json = key_of(&Sample::new().server);
        peer.answer(call, Answer::Report(answer::Report { json, ..Default::default() }));
        let Some((call, Request::Resume(_))) = peer.next() else { panic!("no resume") };
        peer.refuse(call, codes::ALREADY_REMOVED, "given back");
        bye(peer);
    });
    laptop.client(&[server.address]).give_back(&kept[0]).unwrap();
    server.finish();
    assert_eq!(laptop.offline().borrowed().unwrap(), []);
}

#[test]
fn a_server_that_would_not_have_it_leaves_it_usable() {
    let laptop = Laptop::new();
    let seat = laptop.borrows();
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        show_and_resume(peer, None);
        let call = next_checkin(peer);
        peer.refuse(call, codes::BUSY, "too much to do");
    });
    let refused = laptop.client(&[server.address]).give_back(&seat).unwrap_err();
    assert!(matches!(&refused, ReturnError::Denied(no) if no.code == codes::BUSY), "{refused}");
    server.finish();
    drop(laptop.offline().open_borrowed(&want()).unwrap());
    // No server at all: nothing was said, so nothing is lost.
    let refused = laptop.offline().give_back(&seat).unwrap_err();
    assert!(matches!(&refused, ReturnError::NoServer(_)), "{refused}");
    drop(laptop.offline().open_borrowed(&want()).unwrap());
}

/// Numbers of sessions mean nothing from one server to the next.
#[test]
fn another_server_cannot_say_that_it_is_gone() {
    let laptop = Laptop::new();
    let seat = laptop.borrows();
    let server = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let Some((call, Request::Report(_))) = peer.next() else { panic!("no report") };
        let json = "{\"server\":{\"key\":\"00\"}}".to_owned();
        peer.answer(call, Answer::Report(answer::Report { json, ..Default::default() }));
        assert!(peer.next().is_none(), "nothing else is asked");
    });
    let refused = laptop.client(&[server.address]).give_back(&seat).unwrap_err();
    assert!(refused.to_string().contains("not the server that lent it"), "{refused}");
    server.finish();
    assert_eq!(laptop.offline().borrowed().unwrap(), [seat]);
}

#[test]
fn a_borrow_whose_answer_is_lost_is_asked_for_again_by_the_same_key() {
    let laptop = Laptop::new();
    let server = Server::start(30_000, 3, |_, peer| {
        peer.hello();
        next_checkout(peer);
    });
    let refused = laptop.client(&[server.address]).borrow(want().count(2), 48).unwrap_err();
    assert!(matches!(&refused, BorrowError::InDoubt { .. }), "{refused}");
    let address = server.address;
    server.finish();
    let kept = laptop.files();
    assert_eq!(kept.len(), 1, "the request is on disk: {kept:?}");
    assert_eq!(laptop.offline().borrowed().unwrap(), []);
    // Another process wants the same.
    let server = Server::start_at(address, 30_000, 1, move |_, peer| {
        peer.hello();
        let (call, checkout) = next_checkout(peer);
        let key: String = checkout.request_key.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(kept, [format!("borrow-{key}")]);
        lend(peer, call, &checkout, &Sample::new());
        bye(peer);
    });
    laptop.client(&[address]).borrow(want().count(2), 48).unwrap();
    server.finish();
    assert_eq!(laptop.offline().borrowed().unwrap().len(), 1);
}

#[test]
fn a_borrow_that_nobody_wants_any_more_is_cancelled() {
    let laptop = Laptop::new();
    let (sender, asked) = std::sync::mpsc::channel();
    let server = Server::start(30_000, 3, move |_, peer| {
        peer.hello();
        let _ = sender.send(next_checkout(peer).1);
    });
    let client = laptop.client(&[server.address]);
    assert!(client.borrow(want().count(2), 48).is_err());
    let address = server.address;
    server.finish();
    assert!(client.cancel_unanswered_borrows().is_err(), "nobody is there");
    let asked = asked.recv().unwrap();
    let server = Server::start_at(address, 30_000, 1, move |_, peer| {
        peer.hello();
        peer.take_cancel(&asked);
        bye(peer);
    });
    assert_eq!(client.cancel_unanswered_borrows().unwrap(), 1);
    server.finish();
    assert_eq!(client.cancel_unanswered_borrows().unwrap(), 0);
    assert!(laptop.files().is_empty());
}

#[test]
fn what_is_lent_and_not_valid_here_goes_back_at_once() {
    let laptop = Laptop::new();
    let mut bad = Sample::new();
    bad.servers.clear();
    let server = Server::start(30_000, 1, move |_, peer| {
        peer.hello();
        let (call, checkout) = next_checkout(peer);
        lend(peer, call, &checkout, &bad);
        let call = next_checkin(peer);
        taken(peer, call);
    });
    let refused = laptop.client(&[server.address]).borrow(want().count(2), 48).unwrap_err();
    assert!(matches!(&refused, BorrowError::NotValid(NotValid::NotLocked { .. })), "{refused}");
    server.finish();
    assert!(laptop.files().is_empty(), "{:?}", laptop.files());
}

#[test]
fn a_denial_leaves_nothing_and_the_next_server_is_asked_for_seats() {
    let laptop = Laptop::new();
    let refusing = |code: &'static str| {
        Server::start(30_000, 1, move |_, peer| {
            peer.hello();
            let (call, _) = next_checkout(peer);
            peer.refuse(call, code, "said the script");
        })
    };
    let first = refusing(codes::NO_SEATS);
    let second = Server::start(30_000, 1, |_, peer| {
        peer.hello();
        let (call, checkout) = next_checkout(peer);
        lend(peer, call, &checkout, &Sample::new());
        bye(peer);
    });
    let client = laptop.client(&[nobody(), first.address, second.address]);
    let borrowed = client.borrow(want().count(2), 48).unwrap();
    first.finish();
    second.finish();
    assert_eq!(borrowed[0].server, client.options.servers[2].to_string());
    // A license that lends nothing is no matter of servers.
    let laptop = Laptop::new();
    let first = refusing(codes::BORROW_NOT_ALLOWED);
    let refused = laptop.client(&[first.address, nobody()]).borrow(want(), 48).unwrap_err();
    assert!(matches!(&refused, BorrowError::Denied(no) if no.code == codes::BORROW_NOT_ALLOWED), "{refused}");
    first.finish();
    assert!(laptop.files().is_empty());
    let refused = laptop.offline().borrow(want(), 48).unwrap_err();
    assert!(matches!(&refused, BorrowError::NoServer(_)), "{refused}");
    assert!(laptop.files().is_empty());
}
