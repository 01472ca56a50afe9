//! Seats that are lent for offline use, by the daemon and the command line that ship (S40 to S43): what survives a crash, a
//! file that is gone and a clock that is moved.

use std::fs;

use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use seatkeeper::state::StateDir;
use seats::change::SessionId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wire::BorrowToken;
use wire::answer::{self, Loan};
use wire::request::{Checkout, Hours};

use crate::common::require;
use crate::real::client::{Client, Held, asking, granted, refused};
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::site::{Site, exclusive, feature};
use crate::shown::{json, seatkeeper};

const NOON: &str = "2030-06-30T12:00:00Z";

/// The key that the daemon of a site will have, made before its first start.
pub(crate) fn server_key(site: &Site) -> String {
    StateDir::open(&site.state(), false).expect("a new state directory").identity().fingerprint()
}

/// A feature that needs the server's key.
pub(crate) fn locked(key: &str, name: &str, settings: &str) -> String {
    let block = format!("    <SERVER_HOSTID><SETTING SERVERKEY=\"{key}\"/></SERVER_HOSTID>\n  </FEATURE>");
    feature(name, settings).replace("  </FEATURE>", &block)
}

pub(crate) fn borrowing(items: &[(&str, u32)], hours: u32) -> Checkout {
    Checkout { extras: vec![Hours { hours }.extra()], ..asking(items) }
}

/// Borrows, or asks for the same once more: what is held, and the tokens.
pub(crate) fn borrow(client: &mut Client, asked: &Checkout) -> (Held, Vec<Loan>) {
    let answer: answer::Granted = granted(client.ask(asked));
    let sessions = answer.sessions.iter().map(|s| (s.session, s.count)).collect();
    let loans = Loan::among(&answer.extras);
    assert_eq!(loans.len(), answer.sessions.len(), "a token for each session");
    (Held { asked: asked.clone(), bundle: answer.bundle, sessions }, loans)
}

pub(crate) fn denied(client: &mut Client, asked: &Checkout) -> (String, Value, String) {
    let no = client.ask(asked).expect("the connection lives").expect_err("this must be refused");
    let message = no.message.clone();
    let (code, details) = refused::<answer::Granted>(Err(no));
    (code, details, message)
}

/// Total, used, borrowed and suspect of a feature as they are soon.
fn await_lent(daemon: &Daemon, name: &str, borrowed: u64) {
    daemon.await_feature(name, &format!("{borrowed} borrowed, none suspect"), |f| {
        f["borrowed"] == borrowed && f["suspect"] == 0 && f["used"] == borrowed
    });
}

#[test]
fn a_borrow_outlives_crashes_and_its_license_and_always_has_the_same_token() {
    let site = Site::new();
    let key = server_key(&site);
    site.drop_signed("cad.xml", &[locked(&key, "cad", "VERSION=\"9.9\" COUNT=\"3\" BORROW=\"72\"")]);
    site.drop_signed("sim.xml", &[exclusive("sim", 1)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let install_id = client.install_id;
    let asked = borrowing(&[("cad", 2)], 48);
    let (held, loans) = borrow(&mut client, &asked);

    // The token proves by itself who lent what to whom.
    let token = BorrowToken::from_bytes(&loans[0].token).expect("a token");
    let lent = &token.lent;
    assert_eq!((lent.borrow, lent.bundle, lent.count), (held.sessions[0].0, held.bundle, 2));
    assert_eq!((&*lent.vendor, &*lent.feature, &*lent.user, &*lent.host), ("ACME", "cad", "ann", "ws7"));
    assert_eq!((lent.install_id, lent.ends_at), (install_id, loans[0].ends_at));
    assert_eq!(lent.ends_at - lent.granted_at, 48 * 3_600);
    let digest: String = Sha256::digest(lent.server_key).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, key, "the key of the license");
    let public = VerifyingKey::from_bytes(&lent.server_key).expect("a public key");
    let signed = lent.signed_bytes().expect("its own bytes");
    public.verify_strict(&signed, &Signature::from_bytes(&token.signature)).expect("the server's signature");
    let canonical = String::from_utf8_lossy(&lent.license.canonical).into_owned();
    assert!(canonical.contains(&key) && lent.license.key.starts_with("ed25519:acme-1:"), "{canonical}");

    // Sent again it is the same borrow with the same token: on a connection, after a crash, without its file.
    assert_eq!(borrow(&mut client, &asked).1, loans);
    drop(client);
    await_lent(&daemon, "cad", 2);
    daemon.kill();
    drop(daemon);
    let mut daemon = Daemon::start(&site);
    await_lent(&daemon, "cad", 2);
    let mut client = daemon.connect_as(install_id);
    assert_eq!(borrow(&mut client, &asked).1, loans);
    fs::remove_file(site.licenses().join("cad.xml")).expect("the file was there");
    let (code, _) = seatkeeper(&daemon, &["reload"]);
    assert_eq!(code, 0);
    await_lent(&daemon, "cad", 2);
    assert_eq!(borrow(&mut client, &asked).1, loans);
    daemon.kill();
    drop(daemon);
    let daemon = Daemon::start(&site);
    await_lent(&daemon, "cad", 2);
    let listed = json(&daemon, &["borrowed"]);
    assert_eq!(listed["borrowed"][0]["user"], "ann", "{listed}");
    let until = DateTime::<Utc>::from_timestamp(loans[0].ends_at, 0).expect("an instant");
    assert_eq!(listed["borrowed"][0]["until"], until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let session = &json(&daemon, &["sessions"])["sessions"][0];
    assert_eq!(
        (&session["state"], &session["borrowed_until"]),
        (&"borrowed".into(), &listed["borrowed"][0]["until"])
    );

    // Whoever has the secret gives it back, over any connection; part of it he cannot.
    let mut client = daemon.connect_as(install_id);
    let answer = granted(client.resume(&held));
    assert_eq!(Loan::among(&answer.extras), loans);
    assert_eq!(
        refused(client.checkin(held.sessions[0].0, 1).expect("the connection lives")).0,
        "bad_request"
    );
    granted(client.checkin(held.sessions[0].0, 0));
    daemon.await_feature("sim", "nothing of cad", |_| daemon.admin().feature("cad").is_null());
    let (_, text) = seatkeeper(&daemon, &["borrowed"]);
    assert!(text.contains("nothing is borrowed"), "{text}");
}

#[test]
fn what_may_not_be_lent_is_refused_with_the_reason() {
    let site = Site::new();
    let key = server_key(&site);
    site.configure("time_zone = \"UTC\"");
    let daemon = Daemon::start(&site);
    let day =
        |daemon: &Daemon| json(daemon, &["status"])["server"]["today"].as_str().expect("a day").to_owned();
    let today = day(&daemon);
    drop(daemon);
    let upgrade = format!("KEYTYPE=\"UPGRADE\" COUNT=\"2\" END=\"{today}\"");
    site.drop_signed(
        "cad.xml",
        &[
            locked(&key, "cad", "VERSION=\"9.9\" COUNT=\"1\" BORROW=\"8760\""),
            locked(&key, "cad", &upgrade),
            feature("sim", "VERSION=\"9.9\" COUNT=\"1\" BORROW=\"24\""),
            exclusive("lab", 1),
        ],
    );
    fs::write(
        site.path().join("policy.toml"),
        "[[rule]]\nfeature = \"cad\"\nborrow = { hours = 4000, per_user = 2 }\n",
    )
    .expect("a policy");
    site.configure("policy = \"policy.toml\"\ntime_zone = \"UTC\"");
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();

    // A copy of this server could serve it too: it serves, lends nothing, and says so.
    let (code, _, message) = denied(&mut client, &borrowing(&[("sim", 1)], 1));
    assert_eq!(code, "borrow_not_allowed");
    assert!(message.contains("SERVERKEY"), "{message}");
    let problems = json(&daemon, &["status"])["problems"].clone();
    assert_eq!(problems[0]["feature"], "sim", "{problems}");
    assert!(problems[0]["message"].as_str().is_some_and(|m| m.contains("without borrowing")), "{problems}");
    let (_, explained) = seatkeeper(&daemon, &["explain", "sim"]);
    assert!(explained.contains("BORROW 24 h (lends nothing)"), "{explained}");
    client.checkout(&[("sim", 1)]).expect("it serves");
    assert_eq!(denied(&mut client, &borrowing(&[("lab", 1)], 1)).0, "borrow_not_allowed");

    // The upgrade ends today: of three seats one is lent for longer, and the others are due back by midnight.
    let (code, details, message) = denied(&mut client, &borrowing(&[("cad", 1)], 4001));
    assert_eq!((code.as_str(), &details["borrow"]["hours"]), ("borrow_too_long", &4000.into()), "{message}");
    let (long, _) = borrow(&mut client, &borrowing(&[("cad", 1)], 4000));
    let (code, details, message) = denied(&mut client, &borrowing(&[("cad", 1)], 48));
    assert_eq!(code, "borrow_too_long", "{message}");
    // Unless midnight was between.
    if day(&daemon) == today {
        assert_eq!(details["borrow"]["last_day"], today, "{message}");
        assert!(details["borrow"]["hours"].as_u64().is_some_and(|hours| hours < 24), "{details}");
    }
    assert_eq!(denied(&mut client, &borrowing(&[("cad", 2)], 1)).0, "borrow_limit");
    assert_eq!(denied(&mut client, &borrowing(&[("cad", 1)], 0)).0, "bad_request");
    let waiting = Checkout { wait_seconds: Some(5), ..borrowing(&[("cad", 1)], 1) };
    assert_eq!(denied(&mut client, &waiting).0, "bad_request");

    // An administrator cannot take it away: its token would go on. He can note that it is lost.
    let number = SessionId(long.sessions[0].0).to_string();
    let mut admin = daemon.admin();
    let release = wire::request::Release { session: long.sessions[0].0, ..Default::default() };
    let (code, _) = refused(admin.ask(&release).expect("the connection lives"));
    assert_eq!(code, "not_permitted");
    let (code, text) = seatkeeper(&daemon, &["write-off", &number, "--reason", "stolen"]);
    assert_eq!(code, 0);
    assert!(text.contains("is written off; its seats come back at"), "{text}");
    let noted = json(&daemon, &["borrowed", "cad"])["borrowed"][0].clone();
    assert_eq!(
        (&noted["id"], &noted["written_off"]["reason"]),
        (&number.into(), &"stolen".into()),
        "{noted}"
    );
    await_lent(&daemon, "cad", 1);
}

/// S42, S71: only a clock that is right brings a borrowed seat back, and then it does.
#[test]
fn a_clock_that_is_ahead_brings_no_borrowed_seat_back_and_the_right_one_does() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::new();
    let key = server_key(&site);
    let lends =
        |end: &str| locked(&key, "cad", &format!("VERSION=\"9.9\" COUNT=\"3\" BORROW=\"72\" END=\"{end}\""));
    site.drop_signed("cad.xml", &[lends("2030-12-31")]);
    site.configure("time_zone = \"UTC\"");
    let clock = FakeClock::new(&site, NOON);
    let start = || clock.lead(Start::of(&site)).ready(&site);
    let mut daemon = start();
    let mut client = daemon.connect();
    borrow(&mut client, &borrowing(&[("cad", 2)], 20));
    await_lent(&daemon, "cad", 2);

    // The server ran throughout, and by its own clock hardly any time has passed.
    clock.set("2030-07-01T11:00:00Z");
    daemon.await_log("a new day");
    await_lent(&daemon, "cad", 2);
    daemon.kill();
    clock.set(NOON);
    daemon = start();

    // From here on the wall clock alone tells. Two days ahead it is not believed, and nothing is lent by it.
    clock.set("2030-07-02T12:30:00Z");
    daemon.await_log("more than a day ahead of where");
    await_lent(&daemon, "cad", 2);
    let mut client = daemon.connect();
    assert_eq!(denied(&mut client, &borrowing(&[("cad", 1)], 1)).0, "clock_suspect");
    daemon.kill();
    daemon = start();
    await_lent(&daemon, "cad", 2);
    clock.set(NOON);
    daemon.await_log("the clock is trusted again");

    // The license has ended meanwhile: the seats stay out, counted, until their time.
    site.drop_signed("cad.xml", &[lends("2030-06-29")]);
    let (code, _) = seatkeeper(&daemon, &["reload"]);
    assert_eq!(code, 0);
    daemon.await_feature("cad", "over by two", |f| f["borrowed"] == 2 && f["over"] == 2 && f["total"] == 0);
    daemon.kill();
    clock.set("2030-07-01T07:59:57Z");
    daemon = start();
    daemon.await_feature("cad", "nothing borrowed", |f| f["borrowed"] == 0 && f["used"] == 0);
    let line = daemon.await_log("a borrowed seat is back");
    assert!(line.contains("borrow="), "{line}");
    assert!(daemon.terminate() == Some(0), "{}", daemon.log_text());
}
