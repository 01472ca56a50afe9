//! Licenses change while the daemon runs; who may ask for what (L4 to L6, L39, S80, S84).

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use wire::message::Event;
use wire::request;

use crate::real::client::{Client, granted, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::real::{until, within};

fn reload(admin: &mut Client) -> Value {
    let answer = granted(admin.ask(&request::Reload::default()));
    serde_json::from_str(&answer.json).expect("JSON")
}

fn problems(daemon: &Daemon) -> Vec<Value> {
    let report = daemon.admin().report("problems", None).expect("the problems");
    report["problems"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_dropped_file_counts_within_two_seconds() {
    let site = Site::new();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    client.watch();
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "unknown_feature");

    let dropped = Instant::now();
    site.drop_signed("cad.xml", &[exclusive("cad", 10)]);
    assert_eq!(client.await_total(), ("cad".into(), Some(0), Some(10)));
    assert!(dropped.elapsed() < Duration::from_secs(2), "after {:?}", dropped.elapsed());
    let held = client.checkout(&[("cad", 10)]).expect("ten seats");

    // Not renamed into place but written there, bit by bit.
    let text = site.signed(&[upgrade("cad", 6, "")]);
    let (first, second) = text.split_at(text.len() / 2);
    let mut file = fs::File::create(site.licenses().join("more.lic")).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.sync_all().unwrap();
    file.write_all(second.as_bytes()).unwrap();
    drop(file);
    assert_eq!(client.await_total(), ("cad".into(), Some(10), Some(16)));
    client.checkout(&[("cad", 6)]).expect("six more");

    // Gone is gone; nobody loses a seat.
    fs::remove_file(site.licenses().join("cad.xml")).unwrap();
    fs::remove_file(site.licenses().join("more.lic")).unwrap();
    until("the files are gone", || (client.await_total().2 == Some(0)).then_some(()));
    daemon.await_feature("cad", "without seats", |f| f["total"] == 0 && f["used"] == 16 && f["over"] == 16);
    assert_eq!(client.heartbeat().unwrap(), 2, "sessions stay (L39)");
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "unknown_feature");
    client.give_back(&held);

    // What is no license file is not looked at.
    for name in [".hidden.xml", "cad.xml.tmp", "cad.xml~", "README"] {
        site.drop_file(name, b"nonsense");
    }
    site.drop_signed("cad.xml", &[exclusive("cad", 7)]);
    assert_eq!(client.await_total().2, Some(7));
    assert_eq!(problems(&daemon), Vec::<Value>::new());
    daemon.await_used("cad", 6);
}

#[test]
fn a_broken_file_harms_nothing_and_says_where() {
    let site = Site::with(&[exclusive("cad", 10)]);
    site.drop_signed("sim.xml", &[exclusive("sim", 3)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let good = fs::read(site.licenses().join("cad.xml")).unwrap();
    // Cut off in the middle: it loaded before, so its last good contents count (L6).
    site.drop_file("cad.xml", &good[..good.len() / 2]);
    until("the problem is listed", || {
        problems(&daemon)
            .into_iter()
            .find(|p| p["file"] == "cad.xml" && p["line"].is_u64() && p["reason"] == "bad_xml")
    });
    let held = client.checkout(&[("cad", 10), ("sim", 1)]).expect("everything counts on");

    // And over a restart.
    daemon.kill();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect_as(client.install_id);
    assert_eq!(client.feature("cad")["total"], 10);
    granted(client.resume(&held));

    // One bad feature does not stop the others; a seat that nobody signed is refused with its place.
    let text = String::from_utf8(good).unwrap();
    let unsigned = exclusive("free", 5);
    site.drop_file(
        "cad.xml",
        text.replace("</LICENSEFILE>", &format!("{unsigned}</LICENSEFILE>")).as_bytes(),
    );
    let problem = until("the unsigned feature is listed", || {
        problems(&daemon).into_iter().find(|p| p["feature"] == "free")
    });
    assert_eq!((&problem["reason"], problem["line"].is_u64()), (&"unsigned".into(), true));
    // More seats than were signed.
    site.drop_file("cad.xml", text.replace("COUNT=\"10\"", "COUNT=\"11\"").as_bytes());
    until("the forged one is listed", || {
        problems(&daemon).into_iter().find(|p| p["reason"] == "bad_signature")
    });
    // Well-formed and forged: no last good set is for that. Who has a seat keeps it.
    daemon.await_feature("cad", "without seats", |f| f["total"] == 0 && f["used"] == 10 && f["over"] == 10);
    site.drop_file("cad.xml", text.as_bytes());
    daemon.await_feature("cad", "mended", |f| f["total"] == 10);
    assert_eq!(problems(&daemon), Vec::<Value>::new());
    daemon.await_used("cad", 10);
}

#[test]
fn a_reload_answers_with_what_changed() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let daemon = Daemon::start(&site);
    let (mut admin, mut client) = (daemon.admin(), daemon.connect());
    assert_eq!(reload(&mut admin)["changes"], json!([]));
    site.drop_signed("up.xml", &[upgrade("cad", 6, "")]);
    let told = reload(&mut admin);
    assert_eq!(
        (&told["changes"][0]["old_total"], &told["changes"][0]["new_total"]),
        (&10.into(), &16.into()),
        "{told}"
    );
    assert_eq!((&told["files"], &told["licenses"], &told["problems"]), (&2.into(), &2.into(), &json!([])));
    client.checkout(&[("cad", 16)]).expect("it counts when the answer is there");

    site.drop_signed("up.xml", &[upgrade("cad", 2, "")]);
    daemon.signal(Signal::HUP);
    daemon.await_log("reading licenses and policy again by=\"SIGHUP");
    daemon.await_feature("cad", "12", |f| f["total"] == 12 && f["over"] == 4);
}

#[test]
fn an_administrator_takes_a_session_away_and_its_client_learns_why() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 3)]).unwrap();
    let session = held.sessions[0].0;
    let release = |session| request::Release {
        session,
        reason: "the night shift needs it".into(),
        ..Default::default()
    };
    granted(daemon.admin().ask(&release(session)));
    let ended = client.await_event("SessionEnded", |event| match event {
        Event::SessionEnded(ended) => Some(ended.clone()),
        _ => None,
    });
    assert_eq!((ended.session, ended.code.as_str()), (session, "already_removed"));
    assert!(ended.message.contains("the night shift needs it"), "{}", ended.message);
    assert_eq!(refused(client.checkin(session, 0).unwrap()).0, "already_removed");
    assert_eq!(refused(daemon.admin().ask(&release(session)).unwrap()).0, "already_removed");
    assert_eq!(refused(daemon.admin().ask(&release(77)).unwrap()).0, "unknown_session");
    assert_eq!(client.heartbeat().unwrap(), 0);
    daemon.await_used("cad", 0);
}

#[test]
fn administration_is_not_permitted_over_tcp() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 1)]).unwrap();
    let release = request::Release { session: held.sessions[0].0, ..Default::default() };
    assert_eq!(refused(client.ask(&request::Reload::default()).unwrap()).0, "not_permitted");
    assert_eq!(refused(client.ask(&release).unwrap()).0, "not_permitted");
    assert_eq!(refused(client.ask(&request::Shutdown::default()).unwrap()).0, "not_permitted");
    assert_eq!(refused(client.ask(&request::HostIds::default()).unwrap()).0, "not_permitted");
    assert_eq!(client.heartbeat().unwrap(), 1);
    assert!(daemon.is_running());
    // Over the Unix socket each is served; its file keeps others out.
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(daemon.admin_path()).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(fs::metadata(site.state()).unwrap().permissions().mode() & 0o777, 0o750);
    let ids = granted(daemon.admin().ask(&request::HostIds::default()));
    assert!(ids.json.contains("SERVERKEY"), "{}", ids.json);
    granted(daemon.admin().ask(&request::Shutdown::default()));
    assert_eq!(daemon.await_end(Duration::from_secs(5)).code(), Some(0), "{}", daemon.log_text());
}

/// Whether any of these words stands in the text.
fn names(text: &Value, words: &[&str]) -> bool {
    let text = text.to_string();
    words.iter().any(|word| text.contains(word))
}

#[test]
fn a_reader_sees_what_the_configuration_lets_it_see() {
    const SECRETS: [&str; 4] = ["\"ann\"", "\"ws7\"", "4711-SN", "cad.xml"];
    let site = Site::with(&[feature("cad", "VERSION=\"9.9\" COUNT=\"1\" SN=\"4711-SN\"")]);
    for readers in ["all", "counts", "admin"] {
        site.configure(&format!("readers = \"{readers}\""));
        let mut daemon = Daemon::start(&site);
        let mut client = daemon.connect();
        let held = client.checkout(&[("cad", 1)]).unwrap();
        let denied = refused(client.checkout(&[("cad", 1)]));
        assert_eq!(denied.0, "no_seats");
        let status = client.report("status", None).unwrap();
        match readers {
            "all" => {
                assert!(denied.1["holders"][0]["since"].is_string(), "{}", denied.1);
                assert!(names(&denied.1, &["\"ann\""]) && names(&status, &["4711-SN"]), "{status}");
                assert_eq!(client.report("sessions", None).unwrap()["sessions"][0]["user"], "ann");
            }
            "counts" => {
                assert!(!names(&denied.1, &SECRETS) && !names(&status, &SECRETS), "{status}");
                assert_eq!((&status["features"][0]["total"], &denied.1["total"]), (&1.into(), &1.into()));
            }
            _ => {
                assert!(!names(&denied.1, &SECRETS) && !names(&status, &SECRETS));
                assert_eq!(status["features"], Value::Null, "nothing but name and version");
                assert_eq!(refused(client.report("features", None)).0, "not_permitted");
            }
        }
        if readers != "all" {
            for what in ["sessions", "licenses", "problems"] {
                assert_eq!(refused(client.report(what, None)).0, "not_permitted", "{what}");
            }
            let explained =
                client.report("explain", Some("cad")).unwrap_or_else(|refused| refused.code.into());
            assert!(!names(&explained, &SECRETS), "{explained}");
        }
        let sessions = daemon.admin().report("sessions", None).unwrap();
        assert_eq!(sessions["sessions"][0]["user"], "ann", "the administrator sees everything");
        client.give_back(&held);
        daemon.terminate();
    }
}

#[test]
fn license_files_that_mean_harm_cost_little_and_stop_no_other() {
    let site = Site::with(&[exclusive("cad", 10)]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 1)]).unwrap();
    let before = daemon.memory("VmHWM");

    let mut bomb =
        String::from("<!DOCTYPE LICENSEFILE [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\">");
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i", "j"].iter().zip("abcdefghi".chars()) {
        bomb += &format!("<!ENTITY {name} \"{}\">", format!("&{of};").repeat(10));
    }
    bomb += "]><LICENSEFILE><FEATURE NAME=\"&j;\"/></LICENSEFILE>";
    site.drop_file("bomb.xml", bomb.as_bytes());
    let nested = "<FEATURE NAME=\"x\">".repeat(100_000);
    site.drop_file("nested.xml", format!("<LICENSEFILE>{nested}").as_bytes());
    let long = "x".repeat(10 << 20);
    site.drop_file("long.xml", format!("<LICENSEFILE><FEATURE NAME=\"{long}\"/></LICENSEFILE>").as_bytes());
    site.drop_file("zeros.xml", &[0; 1 << 20]);
    // Larger than a file may be; it takes no room on the disk.
    let large = site.path().join("large");
    fs::File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    fs::rename(&large, site.licenses().join("large.xml")).unwrap();
    // A million features, in fewer bytes than a file may have: more than a file may hold.
    let started = Instant::now();
    let many: String =
        (0..1_000_000).map(|n| format!("<FEATURE NAME=\"f{n}\"><SETTING COUNT=\"1\"/></FEATURE>")).collect();
    assert!(many.len() < 64 << 20);
    site.drop_file("million.xml", format!("<LICENSEFILE>{many}</LICENSEFILE>").as_bytes());
    drop(many);

    for file in ["bomb.xml", "nested.xml", "long.xml", "zeros.xml", "large.xml", "million.xml"] {
        let limit = Duration::from_secs(60);
        let problem = within(limit, || problems(&daemon).into_iter().find(|p| p["file"] == file))
            .unwrap_or_else(|| panic!("not within {limit:?}: {file}"));
        println!("{file}: {} {}", problem["reason"], problem["message"]);
    }
    println!("after {:?}", started.elapsed());
    let of_million = problems(&daemon).iter().filter(|p| p["file"] == "million.xml").count();
    assert!(of_million <= 102, "a hundred problems in full and the rest counted: {of_million}");
    let grown = daemon.memory("VmHWM") - before;
    println!("{} MiB more", grown >> 20);
    assert!(grown < 700 << 20, "{} MiB more", grown >> 20);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    client.give_back(&held);
    client.checkout(&[("cad", 10)]).expect("the good file counts as before");
    assert!(daemon.log().len() < 1_000, "no file floods the log: {} lines", daemon.log().len());
}
