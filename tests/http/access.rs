//! Who gets in and who sees what (S84).

use serde_json::Value;

use crate::plain::{ask, get, start, start_at};
use crate::real::daemon::{Start, run_to_end};
use crate::real::site::{Site, exclusive};

const TOKEN: &str = "correct-horse-battery-staple";

fn site(config: &str) -> Site {
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure(config);
    site
}

#[test]
fn on_loopback_everything_is_shown_and_nothing_else_is_there() {
    let site = site("");
    let (daemon, http) = start(&site);
    let _held = daemon.connect().checkout(&[("cad", 1)]).unwrap();
    assert_eq!((get(http, "/healthz").status, get(http, "/healthz").body), (200, "alive\n".into()));
    assert_eq!((get(http, "/readyz").status, get(http, "/readyz").body), (200, "ready\n".into()));
    let status: Value = serde_json::from_str(&get(http, "/api/v1/status").body).unwrap();
    assert_eq!(status["sessions"][0]["user"], "ann");
    assert_eq!(get(http, "/api/v1/status").headers["cache-control"], "no-store");
    for path in ["/nothing", "/api/v1/", "/metrics/", "/../etc/passwd", "/api/v1/status/x"] {
        assert_eq!(get(http, path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/", "/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/events"] {
            let page = ask(http, method, path, "");
            assert_eq!(page.status, 405, "{method} {path}");
            assert!(page.headers["allow"].contains("GET"), "{:?}", page.headers);
        }
    }
    for query in ["feature=a%00b", "limit=-1", "limit=many", "colour=red", "cursor=nowhere"] {
        let page = get(http, &format!("/api/v1/status?{query}"));
        assert_eq!(page.status, 400, "{query}: {}", page.body);
    }
    let head = ask(http, "HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn a_web_page_cannot_reach_it_under_a_name_of_its_own() {
    let site = site("");
    let (_daemon, http) = start(&site);
    for path in ["/metrics", "/api/v1/status", "/readyz", "/api/v1/denials"] {
        assert_eq!(ask(http, "GET", path, "Host: evil.example\r\n").status, 421, "{path}");
        assert_eq!(ask(http, "GET", path, "Host: localhost:6199\r\n").status, 200, "{path}");
    }
}

#[test]
fn a_reader_of_counts_sees_counts() {
    let site = site("readers = \"counts\"");
    let (daemon, http) = start(&site);
    let _held = daemon.connect().checkout(&[("cad", 2)]).unwrap();
    let page = get(http, "/api/v1/status").body;
    let status: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(status["features"][0]["used"], 2);
    assert!(status.get("sessions").is_none() && status.get("problems").is_none(), "{page}");
    let metrics = get(http, "/metrics");
    assert_eq!(metrics.status, 200);
    for secret in ["ann", "cad.xml", "ws7"] {
        assert!(!page.contains(secret) && !metrics.body.contains(secret), "{secret}");
    }
    assert_eq!(get(http, "/api/v1/status?cursor=s0").status, 400);
}

#[test]
fn where_the_administrator_alone_reads_http_says_who_answers() {
    let site = site("readers = \"admin\"");
    let (_daemon, http) = start(&site);
    let status: Value = serde_json::from_str(&get(http, "/api/v1/status").body).unwrap();
    assert!(status.get("features").is_none() && status["server"]["key"].is_null(), "{status}");
    assert_eq!(get(http, "/metrics").status, 403);
    assert_eq!(get(http, "/readyz").status, 200);
}

#[test]
fn away_from_this_machine_a_token_is_needed() {
    let site = site("http_token_file = \"token\"");
    std::fs::write(site.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let (daemon, http) = start_at(&site, "0.0.0.0:0");
    let _held = daemon.connect().checkout(&[("cad", 1)]).unwrap();
    for path in ["/metrics", "/readyz", "/api/v1/status"] {
        for headers in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic Y29ycmVjdA==\r\n"] {
            let page = ask(http, "GET", path, headers);
            assert_eq!((page.status, page.headers["www-authenticate"].as_str()), (401, "Bearer"), "{path}");
            assert!(!page.body.contains("cad"), "{}", page.body);
        }
        let authorized = format!("Authorization: Bearer {TOKEN}\r\nHost: lic01.example\r\n");
        assert_eq!(ask(http, "GET", path, &authorized).status, 200, "{path}");
    }
    assert_eq!(get(http, "/healthz").status, 200);
    let authorized = format!("Authorization: Bearer {TOKEN}\r\n");
    let status: Value = serde_json::from_str(&ask(http, "GET", "/api/v1/status", &authorized).body).unwrap();
    // Any address but loopback shows counts, unless `readers` says more.
    assert_eq!((&status["features"][0]["used"], status.get("sessions")), (&1.into(), None));
    assert!(daemon.log_text().contains("needs_token=true"));
    assert!(!daemon.log_text().contains(TOKEN));
}

#[test]
fn without_a_token_the_daemon_does_not_start_on_the_network() {
    let site = site("");
    let (code, log) = run_to_end(Start::of(&site).arg("--http").arg("0.0.0.0:0"));
    assert_eq!(code, Some(78));
    assert!(log.contains("no token is set") && log.contains("http_token_file"), "{log}");
    site.configure("http_token_file = \"token\"");
    std::fs::write(site.path().join("token"), "short\n").unwrap();
    let (code, log) = run_to_end(Start::of(&site).arg("--http").arg("0.0.0.0:0"));
    assert_eq!(code, Some(78));
    assert!(log.contains("16 visible ASCII characters"), "{log}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    site.configure("");
    let (code, log) = run_to_end(Start::of(&site).arg("--http").arg(&address));
    assert_eq!(code, Some(69));
    assert!(log.contains(&format!("cannot answer HTTP on {address}")) && log.contains("--http off"), "{log}");
}
