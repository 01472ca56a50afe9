//! The history of the daemon that ships: that all that happens is in it, asked by SQL, and what a full disk does to it.

use rusqlite::{Connection, OpenFlags};
use seats::change::SessionId;
use wire::request;

use crate::borrow::{borrow, borrowing, locked, server_key};
use crate::common::require;
use crate::queue::program;
use crate::real::client::{Client, Held, asking, facts, granted, refused};
use crate::real::daemon::Start;
use crate::real::fake_clock::FakeClock;
use crate::real::mount::Mount;
use crate::real::site::{Site, exclusive, upgrade};
use crate::real::until;
use crate::schema;
use crate::shown::seatkeeper;

fn take(client: &mut Client, user: &str, feature: &str, count: u32) -> Result<Held, wire::answer::Refused> {
    let mut asked = asking(&[(feature, count)]);
    asked.facts = facts(user);
    client.checkout_again(&asked).expect("the connection lives").map(|(held, _)| held)
}

/// Waits until a question has an answer that is not 0.
fn await_sql(path: &std::path::Path, question: &str) -> i64 {
    until(question, || {
        let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let answer = file.query_row(question, [], |row| row.get::<_, Option<i64>>(0));
        answer.ok().flatten().filter(|answer| *answer != 0)
    })
}

#[test]
fn everything_that_happens_can_be_asked_for_by_sql() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::new();
    let key = server_key(&site);
    let cad = locked(&key, "cad", "VERSION=\"9.9\" COUNT=\"3\" BORROW=\"72\"");
    site.drop_signed("cad.xml", &[cad, upgrade("cad", 2, "END=\"2030-06-30\"")]);
    site.drop_signed("sim.xml", &[exclusive("sim", 1), upgrade("sim", 2, "START=\"2030-07-01\"")]);
    let clock = FakeClock::new(&site, "2030-06-30T12:00:00Z");
    let mut daemon = clock.lead(Start::of(&site).arg("--time-zone").arg("UTC")).ready(&site);
    let path = site.state().join("history.sqlite");
    let mut client = daemon.connect();

    // Seats: taken, a part back, all back; taken away; lent and returned.
    let ann = take(&mut client, "ann", "cad", 2).expect("seats");
    granted(client.checkin(ann.sessions[0].0, 1));
    granted(client.checkin(ann.sessions[0].0, 0));
    let carl = take(&mut client, "carl", "cad", 1).expect("a seat");
    let session = SessionId(carl.sessions[0].0).to_string();
    assert_eq!(seatkeeper(&daemon, &["release", &session, "--reason", "exam"]).0, 0);
    let (lent, _) = borrow(&mut client, &borrowing(&[("cad", 1)], 20));
    client.give_back(&lent);

    // Denied: one that is made good, one that is not, and one that waits and is no denial.
    let mut gone = daemon.connect();
    take(&mut gone, "eve", "sim", 1).expect("the only seat");
    refused(take(&mut client, "dora", "sim", 1));
    refused(take(&mut client, "frank", "sim", 1));
    // Who is gone is reclaimed from as soon as somebody else wants the seat.
    drop(gone);
    let dora = until("dora has eve's seat", || take(&mut client, "dora", "sim", 1).ok());
    let waiting =
        program(&daemon, &site, &["checkout", "sim", "--version", "4.2", "--wait", "60", "--for", "0"]);
    await_sql(
        &path,
        "SELECT count(*) FROM events WHERE kind = 'queue.waiting' AND user = 'prog' AND feature = 'sim'",
    );
    client.give_back(&dora);
    let waited = waiting.wait_with_output().expect("the program ends");
    assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));

    site.drop_signed("more.xml", &[exclusive("mesh", 1)]);
    assert_eq!(seatkeeper(&daemon, &["reload"]).0, 0);
    clock.set("2030-06-30T23:59:58Z");
    daemon.await_feature("sim", "its upgrade is there", |f| f["total"] == 3);
    daemon.await_feature("cad", "its upgrade is gone", |f| f["total"] == 3);
    // More than a day ahead it is doubted, and then set right.
    clock.set("2030-07-04T12:00:00Z");
    daemon.await_log("more than a day ahead of where");
    clock.set("2030-07-01T00:20:00Z");
    daemon.await_log("the clock is trusted again");
    assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());

    let events = |of: &str| await_sql(&path, &format!("SELECT count(*) FROM events WHERE {of}"));
    for of in [
        "kind = 'server.started'",
        "kind = 'session.granted' AND user = 'ann' AND vendor = 'ACME' AND feature = 'cad' AND seats = 2",
        "kind = 'session.reduced' AND user = 'ann' AND seats = 1 AND json_extract(json, '$.remaining') = 1",
        "kind = 'session.ended' AND user = 'ann' AND cause = 'checked_in'",
        "kind = 'session.ended' AND user = 'carl' AND cause = 'released' AND json_extract(json, '$.reason') = 'exam'",
        "kind = 'session.ended' AND user = 'eve' AND cause = 'reclaimed'",
        "kind = 'session.denied' AND user = 'frank' AND feature = 'sim' AND code = 'no_seats'",
        "kind = 'queue.waiting' AND user = 'prog' AND feature = 'sim'",
        "kind = 'queue.ended' AND user = 'prog' AND cause = 'served'",
        "kind = 'session.granted' AND user = 'prog' AND json_extract(json, '$.waiter') IS NOT NULL",
        "kind = 'session.granted' AND json_extract(json, '$.borrow') AND json_extract(json, '$.until') IS NOT NULL",
        "kind = 'borrow.returned' AND feature = 'cad'",
        "kind = 'pool.changed' AND feature = 'sim' AND json_extract(json, '$.old_total') = 1
            AND json_extract(json, '$.new_total') = 3 AND at >= 1909094400000",
        "kind = 'pool.changed' AND feature = 'cad' AND json_extract(json, '$.old_total') = 5
            AND json_extract(json, '$.new_total') = 3 AND at >= 1909094400000",
        "kind = 'licenses.reloaded' AND json_extract(json, '$.files') = 3",
        "kind = 'day.served' AND json_extract(json, '$.day') = '2030-07-01'",
        "kind = 'clock.changed' AND json_extract(json, '$.before') = 'ok'",
        "kind = 'clock.changed' AND json_extract(json, '$.clock') = 'ok'",
        "kind = 'admin.action' AND json_extract(json, '$.action') = 'release' AND json_extract(json, '$.reason') = 'exam'",
        "kind = 'admin.action' AND json_extract(json, '$.action') = 'reload'",
        "kind = 'server.stopping'",
    ] {
        events(of);
    }
    assert_eq!(events("1 AND run = 1"), events("1"), "all of it is of one run");
    for question in [
        "SELECT count(*) FROM spans WHERE borrow = 1 AND cause IS NOT NULL",
        "SELECT count(*) = 0 FROM spans WHERE until IS NULL",
        "SELECT count(*) FROM days WHERE day = '2030-06-30' AND ends = 1909094400000",
        "SELECT count(*) FROM days WHERE day = '2030-07-01' AND starts = 1909094400000",
        "SELECT is_true FROM denials_seen WHERE user = 'frank'",
        "SELECT min(is_true) = 0 FROM denials_seen WHERE user = 'dora'",
        "SELECT count(*) = 0 FROM denials_seen WHERE user = 'prog'",
    ] {
        await_sql(&path, question);
    }
}

#[test]
fn on_a_full_disk_the_history_waits_and_seats_are_served() {
    on_a_full_disk(128, "fewer than 128 MiB are left on the disk");
}

#[test]
fn a_history_that_fills_the_disk_waits_too() {
    on_a_full_disk(0, "database or disk is full");
}

/// One that keeps so much free meets a disk without a free byte, and says so.
fn on_a_full_disk(keep_free_megabytes: u32, says: &str) {
    let site = Site::with(&[exclusive("cad", 1_000), exclusive("sim", 1)]);
    site.configure(&format!(
        "admin_socket = \"admin.sock\"\n[history]\nkeep_free_megabytes = {keep_free_megabytes}"
    ));
    let Some(shell) = require("sqlite3") else { return };
    let shell = shell.display().to_string();
    let Some(mount) = Mount::tmpfs(&site, 400) else { return };
    let mut daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect();
    let early = take(&mut client, "early", "cad", 2).expect("seats");
    let _only = take(&mut client, "early", "sim", 1).expect("a seat");
    // Asked from within the mount: SQLite follows the link that leads there from here.
    let ask = |question: &str| {
        until(question, || {
            let file = format!("file:{}?mode=ro", site.state().join("history.sqlite").display());
            let output = mount.command(&shell).args(["-init", "/dev/null", &file, question]).output().ok()?;
            let answer = String::from_utf8_lossy(&output.stdout).trim().parse::<i64>().ok();
            answer.filter(|answer| *answer != 0)
        })
    };
    let sessions = |user: &str| format!("SELECT count(*) FROM spans WHERE user = '{user}' AND until IS NULL");
    ask(&sessions("early"));

    // To the last byte.
    mount.shell("cat /dev/zero > \"$state/ballast\" 2>/dev/null || true");
    assert_eq!(mount.shell("df --output=avail \"$state\" | tail -n 1").trim(), "0");
    let mut during: Vec<Held> =
        (0..50).map(|_| take(&mut client, "during", "cad", 1).expect("a seat")).collect();
    let line = daemon.await_log("the history cannot be written");
    assert!(line.contains(says) && line.contains("seats do not depend on it"), "{line}");
    client.give_back(&early);
    client.give_back(&during.pop().expect("one of them"));
    // What is in it can be read all the same.
    let admin = site.path().join("admin.sock");
    let report =
        |what: &str| Client::connect_admin(&admin).expect("the socket").report(what, None).expect("a report");
    let usage = report("usage:user");
    assert_eq!(schema::Schemas::read().check("usage", &usage), Ok(()));
    assert_eq!(usage["usage"][0]["user"], "early", "{usage}");

    // More than the server remembers for anybody.
    for _ in 0..300 {
        let calls: Vec<u32> = (0..60)
            .map(|_| {
                let asked = request::Checkout { facts: facts("crowd"), ..asking(&[("sim", 1)]) };
                client.send(&asked).expect("sent")
            })
            .collect();
        for call in calls {
            client.take::<request::Checkout>(call).expect("answered").expect_err("there is one seat");
        }
    }
    let said = daemon.log().iter().filter(|line| line.contains("the history cannot be written")).count();
    assert_eq!(said, 1, "it is said once:\n{}", daemon.log_text());

    mount.shell("rm \"$state/ballast\"");
    daemon.await_log("the history is written again");
    assert_eq!(ask(&sessions("during")), 49, "those that run, and no other");
    ask("SELECT count(*) = 0 FROM spans WHERE user = 'early' AND feature = 'cad' AND until IS NULL");
    // Each of them is written, or is among those that are missing.
    ask("SELECT sum(events) > 1000 FROM gaps WHERE reason = 'missed'");
    ask("SELECT (SELECT sum(events) FROM gaps WHERE reason = 'missed')
        + (SELECT count(*) FROM events WHERE kind = 'session.denied' AND user = 'crowd') >= 18000");
    let usage = report("usage");
    assert_eq!(usage["missing"][0]["reason"], "missed", "{usage}");
    assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());
}
