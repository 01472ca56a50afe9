//! A laptop that borrows, leaves and comes back (S40 to S42): the programs that ship, real files, a real clock and a false one.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use seatkeeper::state::Identity;
use seatkeeper_client::{
    Address, Backoff, BorrowError, Client, InstallId, OpenError, Options, ReturnError, VendorKey, Want,
};

use crate::common::{Random, require, seed};
use crate::real::daemon::Daemon;
use crate::real::fake_clock::FakeClock;
use crate::real::proxy::Proxy;
use crate::real::site::Site;
use crate::real::until;

/// A server that lends, and the home of one user's laptop.
struct Office {
    site: Site,
    home: PathBuf,
}

impl Office {
    /// Four seats of cad 4.2, lent for a week at most. The key of a server is drawn at its first start, before the vendor can name
    /// it in a license.
    fn open() -> (Office, Daemon) {
        let site = Site::new();
        let daemon = Daemon::start(&site);
        let key = Identity::load(&site.state()).expect("the state").expect("a key").fingerprint();
        let license = format!(
            "<FEATURE NAME=\"cad\"><SETTING COUNT=\"4\" VERSION=\"4.2\" BORROW=\"168\"/>\
             <SERVER_HOSTID><SETTING SERVERKEY=\"{key}\"/></SERVER_HOSTID></FEATURE>"
        );
        site.drop_signed("cad.xml", &[license]);
        let home = site.path().join("laptop");
        let office = Office { site, home };
        daemon.await_feature("cad", "4 seats", |feature| feature["total"] == 4);
        (office, daemon)
    }

    fn key_file(&self) -> String {
        self.site.path().join("vendor/acme-1.pub").display().to_string()
    }

    fn vendor_key(&self) -> VendorKey {
        fs::read_to_string(self.key_file()).expect("a key").parse().expect("a vendor's key")
    }

    /// The command line on the laptop; `None`: it is offline.
    fn command(&self, server: Option<SocketAddr>, words: &[&str]) -> Command {
        // A port that nobody listens on any more.
        let nobody =
            || std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
        command
            .args(words)
            .env("XDG_STATE_HOME", &self.home)
            .env("USER", "ann")
            .env("SEATKEEPER_SERVER", server.unwrap_or_else(nobody).to_string())
            .current_dir(self.site.path());
        command
    }

    fn run(&self, server: Option<SocketAddr>, words: &[&str]) -> (i32, String, String) {
        said(self.command(server, words).output().expect("the command runs"))
    }

    /// `run cad` offline, with the vendor's key.
    fn offline(&self) -> Command {
        let key = self.key_file();
        self.command(None, &["run", "cad", "--version", "4.2", "--trust", &key, "--", "echo", "it runs"])
    }

    fn borrow(&self, daemon: &Daemon) {
        let key = self.key_file();
        let words = ["borrow", "cad", "--version", "4.2", "--hours", "48", "--trust", &key];
        let (code, out, error) = self.run(Some(daemon.address()), &words);
        assert_eq!(code, 0, "{error}");
        assert!(out.contains("ACME/cad: 1 seat, borrowed until") && out.contains("borrow "), "{out}");
    }

    fn client(&self, server: SocketAddr) -> Client {
        let tcp = Address::Tcp { host: server.ip().to_string(), port: server.port() };
        let mut options = Options::new(vec![tcp], "test", "1");
        options.install_id = InstallId([7; 16]);
        options.vendor_keys = vec![self.vendor_key()];
        options.borrow_directory = Some(self.home.clone());
        options.grace_directory = None;
        options.answer_timeout = Duration::from_millis(400);
        options.backoff = Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) };
        Client::new(options)
    }
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

fn want() -> Want {
    let mut want = Want::feature("cad").version("4.2");
    want.facts.user = "ann".into();
    want
}

#[test]
fn a_borrowed_seat_runs_without_its_server_and_is_free_at_once_when_it_is_returned() {
    let (office, mut daemon) = Office::open();
    office.borrow(&daemon);
    daemon.await_feature("cad", "1 borrowed", |feature| feature["used"] == 1 && feature["borrowed"] == 1);
    let lent_by = daemon.address();
    daemon.kill();
    drop(daemon);

    let (code, out, error) = said(office.offline().output().unwrap());
    assert_eq!((code, &*out, &*error), (0, "it runs\n", ""));
    let key = office.key_file();
    let words = ["checkout", "cad", "--version", "4.2", "--trust", &key, "--for", "0", "--json"];
    let (code, out, error) = office.run(None, &words);
    let grant: serde_json::Value = serde_json::from_str(&out).expect("one line of JSON");
    assert!(code == 0 && grant["granted"] == true && grant["borrowed_until"].is_string(), "{out} {error}");
    // What it does not say, and for whom it is not.
    let (code, _, error) = office.run(None, &["run", "cad", "--", "true"]);
    assert!(code == 69 && error.contains("--trust"), "{error}");
    let (code, _, error) = said(office.offline().env("USER", "bob").output().unwrap());
    assert!(code == 69 && error.contains("was lent to ann, and this is bob"), "{error}");
    let words = ["run", "cad", "--version", "5.0", "--trust", &key, "--", "true"];
    let (code, _, error) = office.run(None, &words);
    assert!(code == 69 && error.contains("version 5.0 is not included"), "{error}");
    // Nothing can be given back while nobody is there, and nothing is lost by trying.
    let (code, _, error) = office.run(None, &["return", "cad"]);
    assert!(code == 69 && error.contains("does not answer"), "{error}");
    assert_eq!(said(office.offline().output().unwrap()).0, 0);

    // Back, at another port.
    let daemon = Daemon::start(&office.site);
    assert_ne!(daemon.address(), lent_by);
    daemon.await_feature("cad", "still borrowed", |feature| feature["used"] == 1 && feature["borrowed"] == 1);
    let (code, out, error) = office.run(Some(daemon.address()), &["return", "cad"]);
    assert!(code == 0 && out.contains("ACME/cad: 1 seat given back"), "{out} {error}");
    daemon.await_feature("cad", "all free", |feature| feature["used"] == 0 && feature["free"] == 4);
    let (code, _, error) = said(office.offline().output().unwrap());
    assert!(code == 69 && error.contains("no license server answers"), "{error}");
    let (code, _, error) = office.run(Some(daemon.address()), &["return", "cad"]);
    assert!(code == 75 && error.contains("nothing of cad is borrowed"), "{error}");
}

#[test]
fn a_borrowed_seat_ends_with_its_time_and_a_clock_that_goes_back_does_not_revive_it() {
    if require("faketime").is_none() {
        return;
    }
    let (office, mut daemon) = Office::open();
    office.borrow(&daemon);
    daemon.kill();
    drop(daemon);
    let hours_ahead = |hours: i64| {
        let now = chrono::DateTime::from_timestamp(unix_now(), 0).expect("an instant");
        (now + chrono::TimeDelta::hours(hours)).to_rfc3339()
    };
    let clock = FakeClock::new(&office.site, &hours_ahead(47));
    let runs = || {
        let mut command = office.offline();
        clock.lead_command(&mut command);
        said(command.output().unwrap())
    };
    let (code, out, error) = runs();
    assert_eq!((code, &*out), (0, "it runs\n"), "{error}");
    clock.set(&hours_ahead(24));
    let (code, _, error) = runs();
    assert!(code == 69 && error.contains("has been seen already; set the clock right"), "{error}");
    clock.set(&hours_ahead(49));
    let (code, _, error) = runs();
    assert!(code == 69 && error.contains("the time for which cad was lent ended at"), "{error}");
    clock.set(&hours_ahead(47));
    let (code, _, error) = runs();
    assert!(code == 69 && error.contains("the time for which cad was lent ended at"), "{error}");
}

#[allow(
    clippy::disallowed_methods,
    reason = "the true time, to lead the program away from it: this is a test"
)]
fn unix_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("within range")
}

#[test]
fn a_laptop_whose_files_are_gone_cannot_return_and_the_seat_stays_out() {
    let (office, daemon) = Office::open();
    office.borrow(&daemon);
    fs::remove_dir_all(&office.home).unwrap();
    assert_ne!(said(office.offline().output().unwrap()).0, 0);
    let (code, _, error) = office.run(Some(daemon.address()), &["return", "cad"]);
    assert!(code == 75 && error.contains("write it off"), "{error}");
    daemon.await_feature("cad", "still out", |feature| feature["used"] == 1);
    // A new installation borrows another seat, and nobody mixes them up.
    office.borrow(&daemon);
    daemon.await_feature("cad", "two out", |feature| feature["used"] == 2);
    let (code, _, error) = office.run(Some(daemon.address()), &["return", "cad"]);
    assert_eq!(code, 0, "{error}");
    daemon.await_feature("cad", "the first is out", |feature| feature["used"] == 1);
}

#[test]
fn what_the_server_refuses_is_said_and_nothing_is_kept() {
    let (office, daemon) = Office::open();
    let borrow = |words: &[&str]| {
        let words = [&["borrow", "cad", "--version", "4.2"], words].concat();
        office.run(Some(daemon.address()), &words)
    };
    let (code, _, error) = borrow(&["--hours", "169"]);
    assert!(code == 75 && error.contains("borrow_too_long"), "{error}");
    let (code, out, _) = borrow(&["--hours", "169", "--json"]);
    let denial: serde_json::Value = serde_json::from_str(&out).expect("one line of JSON");
    assert!(code == 75 && denial["granted"] == false && denial["code"] == "borrow_too_long", "{out}");
    assert_eq!(borrow(&["--hours", "0"]).0, 64);
    assert_eq!(borrow(&["--hours", "8761"]).0, 64);
    assert_eq!(borrow(&["--hours", "1", "--wait", "5"]).0, 64);
    assert_eq!(borrow(&["--hours", "1", "--trust", "no-such-file.pub"]).0, 64);
    assert_eq!(borrow(&["--hours", "1", "--count", "5"]).0, 75);
    let (code, _, error) = office.run(None, &["borrow", "cad", "--hours", "1"]);
    assert!(code == 69 && error.contains("seatkeeper doctor"), "{error}");
    let kept: Vec<_> = fs::read_dir(office.home.join("seatkeeper"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("borrow-"))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
    daemon.await_used("cad", 0);
}

/// A network that cuts, resets, stalls and loses answers at random: whatever is asked again takes nothing twice, and whatever is
/// given back is given back.
#[test]
fn a_bad_network_neither_doubles_nor_loses_a_borrow() {
    let seed = seed();
    println!("SEATKEEPER_SEED={seed}");
    let mut bits = Random(seed);
    let random = move || bits.bits();
    let (office, daemon) = Office::open();
    let proxy = Proxy::start(daemon.address(), random);
    let client = office.client(proxy.address());
    let (mut failed_borrows, mut failed_returns) = (0, 0);
    proxy.set_wild(true);
    for round in 0..20 {
        let seat = until("a borrow comes through", || match client.borrow(want(), 48) {
            Ok(mut borrowed) => borrowed.pop(),
            Err(BorrowError::NoServer(_) | BorrowError::InDoubt { .. }) => {
                failed_borrows += 1;
                None
            }
            Err(error) => panic!("round {round}, seed {seed}: {error}"),
        });
        daemon.await_used("cad", 1);
        drop(client.open_borrowed(&want()).unwrap_or_else(|e| panic!("round {round}, seed {seed}: {e}")));
        until("a return comes through", || match client.give_back(&seat) {
            Ok(()) => Some(()),
            Err(ReturnError::NoServer(_)) => {
                failed_returns += 1;
                None
            }
            Err(error) => panic!("round {round}, seed {seed}: {error}"),
        });
        daemon.await_used("cad", 0);
        assert!(matches!(client.open_borrowed(&want()), Err(OpenError::NotBorrowed { .. })));
    }
    println!("{failed_borrows} borrows and {failed_returns} returns failed; faults {:?}", proxy.tally());
    assert!(proxy.tally().iter().sum::<usize>() > 20, "the network was not bad");
}

/// The answer to a return is lost for certain: the seat is free, the token good for nothing, and the next try settles it.
#[test]
fn a_return_whose_answer_is_cut_is_settled_by_the_next() {
    let (office, daemon) = Office::open();
    let proxy = Proxy::start(daemon.address(), || 0);
    let client = office.client(proxy.address());
    let seat = client.borrow(want(), 48).unwrap().pop().unwrap();
    daemon.await_used("cad", 1);
    // Nothing but the hello is answered: not even who the server is, so nothing was given back.
    proxy.set_deaf(true);
    assert!(matches!(client.give_back(&seat), Err(ReturnError::NoServer(_))));
    assert!(!client.borrowed().unwrap()[0].is_returning);
    drop(client.open_borrowed(&want()).unwrap());
    daemon.await_used("cad", 1);
    proxy.set_deaf(false);
    client.give_back(&seat).unwrap();
    daemon.await_used("cad", 0);
    assert_eq!(client.borrowed().unwrap(), []);
}

/// The answer to a borrow is lost for certain: the seat is out, and asking again for the same finds it, or giving up frees it.
#[test]
fn a_borrow_whose_answer_is_cut_is_found_by_the_next_or_given_up() {
    let (office, daemon) = Office::open();
    let proxy = Proxy::start(daemon.address(), || 0);
    let client = office.client(proxy.address());
    for is_wanted in [true, false] {
        proxy.set_deaf(true);
        let refused = client.borrow(want(), 48).unwrap_err();
        assert!(matches!(&refused, BorrowError::InDoubt { .. }), "{refused}");
        daemon.await_feature("cad", "1 out", |feature| feature["used"] == 1 && feature["borrowed"] == 1);
        assert_eq!(client.borrowed().unwrap(), []);
        proxy.set_deaf(false);
        if is_wanted {
            // Another process, which knows nothing of it but the files.
            let seat = office.client(proxy.address()).borrow(want(), 48).unwrap().pop().unwrap();
            daemon.await_used("cad", 1);
            client.give_back(&seat).unwrap();
        } else {
            assert_eq!(client.cancel_unanswered_borrows().unwrap(), 1);
        }
        daemon.await_feature("cad", "all free", |feature| feature["used"] == 0 && feature["borrowed"] == 0);
    }
}
