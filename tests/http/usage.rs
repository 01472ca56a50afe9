//! `/api/v1/usage`: what the history says, as JSON and CSV, to those who may see it, and at no cost of a scrape.

use std::time::Duration;

use serde_json::Value;

use crate::plain::{Page, ask, get, start};
use crate::real::client::{Client, asking, facts};
use crate::real::site::{Site, exclusive};
use crate::real::until;
use crate::schema;

fn take(client: &mut Client, user: &str, count: u32) {
    let mut asked = asking(&[("cad", count)]);
    asked.facts = facts(user);
    let _ = client.checkout_again(&asked).expect("the connection lives");
}

/// The page once its body tells what is wanted: the history begins a moment after the start.
fn await_page(http: std::net::SocketAddr, path: &str, wanted: &str) -> Page {
    until(wanted, || Some(get(http, path)).filter(|page| page.status == 200 && page.body.contains(wanted)))
}

#[test]
fn usage_is_told_as_json_and_as_csv() {
    let site = Site::with(&[exclusive("cad", 4)]);
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    take(&mut client, "=cmd|' /C calc'!A0,\"x\"", 2);
    take(&mut client, "bob", 1);
    take(&mut client, "carl", 3);
    await_page(http, "/api/v1/usage?by=user", "carl");
    let page = get(http, "/api/v1/usage?by=user");
    assert_eq!(
        (page.headers["content-type"].as_str(), page.headers["vary"].as_str()),
        ("application/json", "accept")
    );
    let usage: Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(schema::Schemas::read().check("usage", &usage), Ok(()));
    let row = |user: &str| {
        let rows = usage["usage"].as_array().expect("rows");
        rows.iter().find(|row| row["user"] == user).unwrap_or_else(|| panic!("{user}: {usage}"))
    };
    assert_eq!((&row("bob")["peak"], &row("carl")["true_denials"]), (&1.into(), &1.into()));
    // The same over the wire.
    let wire = daemon.admin().report("usage:user", None).expect("a report");
    let of = |usage: &Value| -> Vec<(Value, Value, Value)> {
        let rows = usage["usage"].as_array().expect("rows").iter();
        rows.map(|row| (row["user"].clone(), row["peak"].clone(), row["denials"].clone())).collect()
    };
    assert_eq!(of(&wire), of(&usage));

    let csv = "vendor,feature,user,peak,hours,sessions,denials,true_denials\r\n";
    let by_format = get(http, "/api/v1/usage?by=user&format=csv&feature=CAD&vendor=acme");
    assert_eq!(by_format.status, 200, "{}", by_format.body);
    assert!(by_format.headers["content-type"].starts_with("text/csv"), "{:?}", by_format.headers);
    assert!(by_format.headers["content-disposition"].contains("usage-user-"), "{:?}", by_format.headers);
    assert!(by_format.body.starts_with(csv), "{}", by_format.body);
    assert!(
        by_format.body.contains("\r\nACME,cad,\"'=cmd|' /C calc'!A0,\"\"x\"\"\",2,"),
        "{}",
        by_format.body
    );
    let by_accept = ask(http, "GET", "/api/v1/usage?by=user", "Accept: text/csv;q=0.9, */*;q=0.1\r\n");
    assert!(by_accept.body.starts_with(csv), "{}", by_accept.body);
    for headers in ["Accept: */*\r\n", "Accept: application/json, text/csv\r\n"] {
        assert!(ask(http, "GET", "/api/v1/usage", headers).body.starts_with('{'), "{headers}");
    }
    assert!(ask(http, "GET", "/api/v1/usage?format=json", "Accept: text/csv\r\n").body.starts_with('{'));

    for (query, said) in [
        ("by=sex", "sex"),
        ("from=2030-6-1x", "from"),
        ("from=2030-06-02&to=2030-06-01", "is after the last"),
        ("feature=a%00b", "feature"),
        ("format=xml", "xml"),
        ("colour=red", "colour"),
    ] {
        let page = get(http, &format!("/api/v1/usage?{query}"));
        assert_eq!(page.status, 400, "{query}: {}", page.body);
        assert!(page.body.contains(said), "{query}: {}", page.body);
    }
    let empty: Value =
        serde_json::from_str(&get(http, "/api/v1/usage?from=2001-01-01&to=2001-01-02").body).expect("JSON");
    assert_eq!((&empty["usage"], &empty["from"]), (&Value::Array(Vec::new()), &"2001-01-01".into()));
}

#[test]
fn who_used_it_is_for_those_who_may_see_users() {
    let site = Site::with(&[exclusive("cad", 4)]);
    site.configure("readers = \"counts\"");
    let (daemon, http) = start(&site);
    take(&mut daemon.connect(), "ann", 1);
    let page = await_page(http, "/api/v1/usage", "\"sessions\":1");
    assert!(!page.body.contains("ann"), "{}", page.body);
    for by in ["user", "host"] {
        let page = get(http, &format!("/api/v1/usage?by={by}"));
        assert!(page.status == 403 && page.body.contains("S84"), "{}: {}", page.status, page.body);
    }
    drop(daemon);
    site.configure("readers = \"admin\"");
    let (_daemon, http) = start(&site);
    assert_eq!(get(http, "/api/v1/usage").status, 403);
}

#[test]
fn a_slow_question_holds_up_no_scrape() {
    let site = Site::with(&[exclusive("cad", 4)]);
    let (daemon, http) = start(&site);
    take(&mut daemon.connect(), "ann", 1);
    await_page(http, "/api/v1/usage", "\"sessions\":1");
    // So many users that the answer takes its time.
    let history = rusqlite::Connection::open(site.state().join("history.sqlite")).expect("the file");
    history.busy_timeout(Duration::from_secs(30)).expect("a limit");
    history
        .execute_batch(
            "BEGIN;
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000)
            INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, until, borrow)
                SELECT 'x' || n, 'x', 'ACME', 'cad', 'user' || n, 'h', 1, (SELECT written_until FROM state) - 40000 + n / 10,
                    (SELECT written_until FROM state) + n, 0 FROM n;
            COMMIT;",
        )
        .expect("rows");
    // While one question is answered, scrapes are, one after the other.
    let question = || std::thread::spawn(move || get(http, "/api/v1/usage?by=user&format=csv").status);
    let asking = question();
    let mut scrapes = 0;
    while !asking.is_finished() {
        assert_eq!(get(http, "/metrics").status, 200);
        scrapes += 1;
    }
    let status = asking.join().expect("an answer");
    println!("{scrapes} scrapes beside the question, {status}");
    assert!(scrapes >= 3, "the question held them up: {scrapes}");
    // On a machine that is very busy it may take too long; it is told then.
    let asking: Vec<_> = (0..12).map(|_| question()).collect();
    let answers: Vec<u16> = asking.into_iter().map(|thread| thread.join().expect("an answer")).collect();
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
}
