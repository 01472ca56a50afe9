//! What HTTP shows is what the wire and the command line show.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use wire::request;

use crate::plain::{get, start};
use crate::real::client::Client;
use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::real::until;

/// A server with one of each kind of number.
fn site() -> Site {
    Site::with(&[
        exclusive("cad", 3),
        upgrade("cad", 2, "SN=\"up-1\" END=\"2099-06-30\""),
        feature("open", "VERSION=\"9.9\" COUNT=\"UNLIMITED\" END=\"2098-12-31\""),
        feature("old", "VERSION=\"2.0\" COUNT=\"5\" END=\"2020-02-29\""),
        exclusive("kept", 4),
    ])
}

/// All parts of a report, as `--json` puts them together.
fn over_the_wire(client: &mut Client, of: Option<&str>) -> Value {
    let mut whole: Option<Value> = None;
    let mut cursor = String::new();
    loop {
        let asked = request::Report {
            what: "status".into(),
            feature: of.map(str::to_owned),
            cursor: cursor.clone(),
            ..Default::default()
        };
        let part = client.ask(&asked).expect("the connection lives").expect("a part");
        let more: Value = serde_json::from_str(&part.json).expect("JSON");
        match &mut whole {
            None => whole = Some(more),
            Some(whole) => {
                for (name, items) in more.as_object().expect("an object") {
                    match (whole.get_mut(name).and_then(Value::as_array_mut), items.as_array()) {
                        (Some(list), Some(items)) => list.extend(items.iter().cloned()),
                        (None, Some(_)) => whole[name] = items.clone(),
                        _ => {}
                    }
                }
            }
        }
        cursor = part.next;
        if cursor.is_empty() {
            return whole.expect("a part");
        }
    }
}

fn json(http: std::net::SocketAddr, path: &str) -> Value {
    let page = get(http, path);
    assert_eq!(
        (page.status, page.headers["content-type"].as_str()),
        (200, "application/json"),
        "{}",
        page.body
    );
    serde_json::from_str(&page.body).expect("JSON")
}

#[test]
fn status_over_http_is_status_over_the_wire() {
    let site = site();
    site.drop_file("bad.xml", b"<LICENSEFILE>\n  <FEATURE NAME=\"x\"");
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    let _held: Vec<_> = (0..5).map(|_| client.checkout(&[("cad", 1)]).unwrap()).collect();
    client.checkout(&[("open", 7)]).unwrap();
    client.checkout(&[("cad", 1)]).unwrap_err();
    client.checkout(&[("old", 1)]).unwrap_err();
    let mut reader = daemon.admin();
    for of in [None, Some("CAD"), Some("none")] {
        let path = of.map_or_else(|| "/api/v1/status".into(), |of| format!("/api/v1/status?feature={of}"));
        // Once a second instants may round to another one, and a picture lives for 50 ms.
        until("both say the same", || (json(http, &path) == over_the_wire(&mut reader, of)).then_some(()));
    }
    let whole = json(http, "/api/v1/status");
    let problems = whole["problems"].as_array().unwrap();
    assert_eq!((whole["features"].as_array().unwrap().len(), problems.len()), (4, 1), "{problems:?}");
    assert_eq!(whole["sessions"].as_array().unwrap().len(), 6);
    let cad = &json(http, "/api/v1/status?feature=cad")["features"][0];
    assert_eq!((cad["used"].as_u64(), cad["denials_24h"].as_u64()), (Some(5), Some(1)));

    // In parts, each leading to the next.
    let (mut path, mut features, mut sessions) =
        ("/api/v1/status?limit=2".to_owned(), Vec::new(), Vec::new());
    for parts in 1.. {
        let page = get(http, &path);
        let part: Value = serde_json::from_str(&page.body).unwrap();
        features.extend(part["features"].as_array().cloned().unwrap_or_default());
        sessions.extend(part["sessions"].as_array().cloned().unwrap_or_default());
        match page.headers.get("link") {
            Some(link) => path = link[1..link.find('>').unwrap()].to_owned(),
            None => {
                assert!(parts >= 6, "{parts}");
                break;
            }
        }
    }
    assert_eq!((features.len(), sessions.len()), (4, 6));
}

#[test]
fn who_waits_and_what_a_feature_is_made_of_are_shown_as_over_the_wire() {
    let site = site();
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    client.checkout(&[("cad", 5)]).unwrap();
    let mut waiting = crate::real::client::asking(&[("cad", 1)]);
    waiting.wait_seconds = Some(600);
    let mut waiter = daemon.connect();
    waiter.send(&waiting).unwrap();
    let mut reader = daemon.admin();
    until("one waits", || {
        let queue = json(http, "/api/v1/queue");
        (queue["queue"].as_array().unwrap().len() == 1 && queue == reader.report("queue", None).unwrap())
            .then_some(())
    });
    let explained = json(http, "/api/v1/explain?feature=cad&vendor=ACME");
    assert_eq!(explained, reader.report("explain", Some("cad")).unwrap());
    assert_eq!(explained["licenses"].as_array().unwrap().len(), 2);
    assert_eq!(get(http, "/api/v1/explain?feature=none").status, 404);
    assert_eq!(get(http, "/api/v1/explain").status, 400);
}

#[test]
fn more_sessions_than_one_part_has_are_all_shown() {
    let site = Site::with(&[exclusive("cad", 5_000)]);
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    for _ in 0..1_201 {
        client.checkout(&[("cad", 1)]).unwrap();
    }
    until("all are there", || {
        let status = json(http, "/api/v1/status");
        let sessions = status["sessions"].as_array().unwrap();
        let ids: std::collections::BTreeSet<_> = sessions.iter().map(|s| s["id"].to_string()).collect();
        (ids.len() == 1_201 && sessions.len() == 1_201).then_some(())
    });
}

/// Every number of a text, by name and labels.
pub(crate) fn numbers(text: &str) -> BTreeMap<String, f64> {
    let number = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(number).collect()
}

/// What a status says about features, as the metrics would.
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
fn as_metrics(status: &Value) -> BTreeMap<String, f64> {
    let mut expected = BTreeMap::new();
    for feature in status["features"].as_array().unwrap() {
        let text = |name: &str| feature[name].as_str().unwrap_or("");
        let labels = format!(
            "{{app=\"{}\",name=\"{}\",version=\"{}\"}}",
            text("vendor"),
            text("name"),
            text("version")
        );
        for (metric, member) in [
            ("issued", "total"),
            ("used", "used"),
            ("free", "free"),
            ("held", "held"),
            ("suspect", "suspect"),
            ("borrowed", "borrowed"),
            ("reserved", "reserved"),
            ("queued", "queued"),
            ("upgrade_issued", "upgrades"),
        ] {
            let value = feature[member].as_u64().map_or(f64::INFINITY, |n| n as f64);
            expected.insert(format!("seatkeeper_feature_{metric}{labels}"), value);
        }
    }
    expected
}

fn of_features(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    const OTHERS: [&str; 3] = ["expiration", "maintenance", "denials"];
    let is_seat = |name: &str| {
        name.strip_prefix("seatkeeper_feature_")
            .is_some_and(|name| OTHERS.iter().all(|other| !name.starts_with(other)))
    };
    metrics.iter().filter(|(name, _)| is_seat(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

/// Says so when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn metrics_and_status_agree_under_load() {
    let site = site();
    let (daemon, http) = start(&site);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = |name: &'static str, n: u32| {
            let mut client = daemon.connect();
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if let Ok(held) = client.checkout(&[(name, n)]) {
                        client.give_back(&held);
                    }
                }
            });
        };
        work("cad", 1);
        work("cad", 3);
        work("open", 20);
        // Also when what follows fails: the scope waits for those who work.
        let _over = Over(&is_over);
        let begun = Instant::now();
        let (mut same, mut seen) = (0, std::collections::BTreeSet::new());
        while same < 20 || seen.len() < 3 {
            let before = get(http, "/metrics").body;
            let status = json(http, "/api/v1/status?limit=100");
            let after = get(http, "/metrics").body;
            // The text is of one picture for as long as that lives: then the status between was of the same.
            if before == after {
                let metrics = of_features(&numbers(&before));
                assert_eq!(metrics, as_metrics(&status));
                seen.insert(
                    metrics["seatkeeper_feature_used{app=\"ACME\",name=\"cad\",version=\"9.9\"}"].to_bits(),
                );
                same += 1;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{same} agreed, with {} different uses",
                seen.len()
            );
        }
    });
    until("everything is given back, and each session that began has ended", || {
        let metrics = numbers(&get(http, "/metrics").body);
        let sum =
            |family: &str| metrics.iter().filter(|(n, _)| n.starts_with(family)).map(|(_, v)| v).sum::<f64>();
        let (ends, denied) = (sum("seatkeeper_checkins_total"), sum("seatkeeper_denials_total"));
        let begun = metrics["seatkeeper_checkouts_total"];
        let timed = metrics["seatkeeper_checkout_duration_seconds_count"];
        (metrics["seatkeeper_sessions"] == 0.0 && begun > 0.0 && begun == ends && timed == begun + denied)
            .then_some(())
    });
}

#[test]
fn metrics_tell_what_happened() {
    let site = site();
    let (daemon, http) = start(&site);
    let metrics = || numbers(&get(http, "/metrics").body);
    let first = metrics();
    let label = |name: &str, version: &str| format!("{{app=\"ACME\",name=\"{name}\",version=\"{version}\"}}");
    let ends = |name: &str, version: &str| {
        first[&format!("seatkeeper_feature_expiration_seconds{}", label(name, version))]
    };
    assert_eq!(ends("cad", "9.9"), f64::INFINITY);
    // The first instant after the last day, in UTC.
    assert_eq!(ends("open", "9.9"), 4_070_908_800.0);
    // Its labels are those it had.
    assert_eq!(ends("old", "2.0"), 1_583_020_800.0);
    assert_eq!(first["seatkeeper_licenses{state=\"in_force\",reason=\"\"}"], 4.0);
    assert_eq!(first["seatkeeper_licenses{state=\"not_in_force\",reason=\"expired\"}"], 1.0);
    assert_eq!(first["seatkeeper_clock_suspect"], 0.0);
    assert_eq!(first[&format!("seatkeeper_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    let status = json(http, "/api/v1/status");
    let midnight =
        chrono::DateTime::parse_from_rfc3339(status["server"]["next_midnight"].as_str().unwrap()).unwrap();
    #[allow(clippy::cast_precision_loss, reason = "seconds")]
    let midnight = midnight.timestamp() as f64;
    assert_eq!(first["seatkeeper_midnight_timestamp_seconds"], midnight);

    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 5)]).unwrap();
    client.checkout(&[("cad", 1)]).unwrap_err();
    client.checkout(&[("none", 1)]).unwrap_err();
    client.give_back(&held);
    let mut broken = daemon.connect();
    broken.send_bytes(&[1, 0, 0, 0]).unwrap();
    broken.last_word();
    let since = first["seatkeeper_reload_success_timestamp_seconds"];

    site.drop_file("bad.xml", b"<LICENSEFILE>\n  <FEATURE NAME=\"x\"");
    daemon.admin().ask(&request::Reload::default()).unwrap().unwrap();
    until("all of it is counted", || {
        let now = metrics();
        let is = |name: &str, value: f64| now[name] == value;
        (is("seatkeeper_checkouts_total", 1.0)
            && is("seatkeeper_checkins_total{cause=\"checked_in\"}", 1.0)
            && is("seatkeeper_denials_total{reason=\"no_seats\"}", 1.0)
            && is("seatkeeper_denials_total{reason=\"unknown_feature\"}", 1.0)
            && is(&format!("seatkeeper_feature_denials_total{}", label("cad", "9.9")), 1.0)
            && is("seatkeeper_true_denials_total", 0.0)
            && is("seatkeeper_protocol_errors_total{detail=\"frame_too_short\"}", 1.0)
            && is("seatkeeper_checkout_duration_seconds_count", 3.0)
            && is("seatkeeper_reload_failures_total", 1.0)
            && now["seatkeeper_journal_sync_seconds_count"] >= 2.0
            && now["seatkeeper_reload_success_timestamp_seconds"] >= since)
            .then_some(())
    });
}

/// What licenses say is kept from one text to the next (`src/http/metrics.rs`): not longer than they say it.
#[test]
fn metrics_follow_the_licenses() {
    let site = site();
    let (daemon, http) = start(&site);
    let metrics = || numbers(&get(http, "/metrics").body);
    let of = |family: &str, name: &str, version: &str| {
        format!("seatkeeper_feature_{family}{{app=\"ACME\",name=\"{name}\",version=\"{version}\"}}")
    };
    let first = metrics();
    assert_eq!(first[&of("upgrade_issued", "cad", "9.9")], 2.0);
    assert!(!first.contains_key(&of("issued", "new", "9.9")));
    let _held = daemon.connect().checkout(&[("cad", 4)]).unwrap();

    let features = [
        exclusive("new", 2),
        feature("cad", "VERSION=\"10.0\" COUNT=\"3\" END=\"2098-12-31\""),
        feature("open", "VERSION=\"9.9\" COUNT=\"7\""),
    ];
    site.drop_signed("cad.xml", &features);
    daemon.admin().ask(&request::Reload::default()).unwrap().unwrap();
    until("the new files are shown", || {
        let now = metrics();
        let is = |family: &str, name: &str, version: &str, value: f64| {
            now.get(&of(family, name, version)) == Some(&value)
        };
        (is("issued", "new", "9.9", 2.0)
            && is("upgrade_issued", "cad", "10.0", 0.0)
            && is("issued", "cad", "10.0", 3.0)
            && is("expiration_seconds", "cad", "10.0", 4_070_908_800.0)
            && is("issued", "open", "9.9", 7.0)
            && is("expiration_seconds", "open", "9.9", f64::INFINITY)
            && !now.contains_key(&of("issued", "cad", "9.9"))
            && !now.contains_key(&of("issued", "kept", "9.9"))
            && now["seatkeeper_licenses{state=\"in_force\",reason=\"\"}"] == 3.0)
            .then_some(())
    });
    let metrics = of_features(&metrics());
    assert_eq!(metrics, as_metrics(&json(http, "/api/v1/status?limit=100")));
}
