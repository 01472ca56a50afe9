//! What is on the page, while it changes.

use crate::real::client::asking;
use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::{open, start, start_at, take};

/// The text of the row of a feature.
fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('.feature')].find((row) => row.querySelector('.name').textContent === '{name}').innerText"
    )
}

#[test]
fn what_happens_is_on_the_page_without_a_reload() {
    let site = Site::with(&[
        exclusive("cad", 3),
        upgrade("cad", 2, "SN=\"up-1\" END=\"2099-06-30\""),
        upgrade("cad", 4, "SN=\"up-2\" START=\"2098-01-01\" END=\"2099-06-30\""),
        feature("open", "VERSION=\"9.9\" COUNT=\"UNLIMITED\" END=\"2098-12-31\""),
        feature("old", "VERSION=\"2.0\" COUNT=\"5\" END=\"2020-02-29\""),
    ]);
    site.configure("time_zone = \"Asia/Tokyo\"");
    site.drop_file("bad.xml", b"<LICENSEFILE>\n  <FEATURE NAME=\"x\"");
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    page.eval("window.isSame = true");
    let cad = row("cad");
    page.until("all are free", &format!("{cad}.includes('0 of 5 in use · 5 free')"));
    // A problem, with its place.
    page.until_text("bad.xml:2:3");

    let mut ann = daemon.connect();
    take(&mut ann, "cad", 4, "ann", "ws7").unwrap();
    page.until("a checkout", &format!("{cad}.includes('4 of 5 in use · 1 free')"));
    page.until(
        "its session",
        "document.querySelector('#sessions tbody').innerText.includes('ann\\tws7\\tcad\\t4')",
    );
    let denied = take(&mut daemon.connect(), "cad", 2, "bob", "ws8").unwrap_err();
    page.until_text(&denied);
    page.until(
        "who was denied",
        "document.querySelector('#denials-table tbody').innerText.includes('bob on ws8')",
    );
    let mut waiting = asking(&[("cad", 2)]);
    (waiting.wait_seconds, waiting.facts.user) = (Some(600), "eve".into());
    let mut eve = daemon.connect();
    eve.send(&waiting).unwrap();
    page.until("who waits", "document.querySelector('#queue tbody').innerText.includes('eve')");
    page.until("the row says so", &format!("{cad}.includes('1 waiting')"));

    // The bar is as long as the numbers say, and says them.
    let bar = "document.querySelector('.bar[aria-label^=\"4 of 5\"]')";
    let width = |part: &str| format!("parseFloat({bar}.querySelector('.{part}').style.width)");
    assert_eq!(page.eval(&width("active")), 80);
    assert_eq!(page.eval(&width("free")), 20);
    // One whose client is gone is suspect, and nobody has to look for it.
    drop(ann);
    page.until(
        "suspect",
        &format!("{cad}.includes('4 of 5 in use (4 suspect)') || {cad}.includes('2 of 5 in use')"),
    );

    // What it is made of: each license with its days.
    page.eval("[...document.querySelectorAll('.open')].find((b) => b.innerText === 'cad').click()");
    for text in ["30 Jun 2099", "from 1 Jan 2098", "+2", "+4", "base"] {
        page.until(
            text,
            &format!("document.querySelector('.detail:not([hidden])').innerText.includes('{text}')"),
        );
    }
    page.until("no limit", &format!("{}.includes('0 in use, without limit')", row("open")));
    page.until("not granted", &format!("{}.includes('not granted today')", row("old")));
    // Times are the server's, not this browser's.
    page.until_text("Asia/Tokyo");
    let told = page.eval("document.querySelector('#denials-table tbody tr td').innerText");
    let hours: u32 = told.as_str().unwrap().split([':', ',']).rev().nth(2).unwrap().trim().parse().unwrap();
    let event = page.eval("fetch('api/v1/denials').then((a) => a.json()).then((l) => l.events[0].at)");
    let utc: u32 = event.as_str().unwrap()[11..13].parse().unwrap();
    assert_eq!(hours, (utc + 9) % 24, "{told} {event}");

    assert_eq!(page.eval("window.isSame"), true);
    page.assert_clean(http);
}

#[test]
fn more_in_use_than_licensed_is_drawn_over_the_total() {
    let site = Site::with(&[exclusive("cad", 5)]);
    let (daemon, http) = start(&site);
    let mut ann = daemon.connect();
    take(&mut ann, "cad", 5, "ann", "ws7").unwrap();
    let Some((_browser, mut page)) = open(http) else { return };
    site.drop_signed("cad.xml", &[exclusive("cad", 3)]);
    page.until_text("2 over the total");
    page.until(
        "the bar",
        "document.querySelector('.bar').getAttribute('aria-label').startsWith('5 of 3 in use')",
    );
    assert_eq!(page.eval("document.querySelector('.total-line').style.left"), "60%");
    assert_eq!(page.eval("parseFloat(document.querySelector('.part.active').style.width)"), 100);
    page.assert_clean(http);
}

#[test]
fn over_a_restart_the_page_says_since_when_it_is_alone_and_comes_back() {
    let site = Site::with(&[exclusive("cad", 5)]);
    let (mut daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    page.eval("window.isSame = true");
    daemon.kill();
    page.until_text("Not connected since");
    let (daemon, again) = start_at(&site, &http.to_string());
    assert_eq!(http, again);
    page.until("it is live", "document.getElementById('live').textContent === 'Live'");
    let mut ann = daemon.connect();
    take(&mut ann, "cad", 4, "ann", "ws7").unwrap();
    page.until_text("4 of 5 in use · 1 free");
    take(&mut ann, "cad", 4, "ann", "ws7").unwrap_err();
    page.until("a denial of this run", "document.querySelectorAll('#denials-table tbody tr').length === 1");
    assert_eq!(page.eval("window.isSame"), true);
}

#[test]
fn who_may_see_counts_only_is_told_so_and_sees_no_names() {
    let site = Site::with(&[exclusive("cad", 5)]);
    site.configure("readers = \"counts\"");
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    take(&mut daemon.connect(), "cad", 4, "ann", "ws7").unwrap();
    take(&mut daemon.connect(), "cad", 4, "ann", "ws7").unwrap_err();
    page.until_text("Counts only");
    page.until_text("no_seats");
    let text = page.eval("document.documentElement.textContent").as_str().unwrap().to_owned();
    assert!(!text.contains("ann") || !text.contains("ws7"), "{text}");
    assert_eq!(page.eval("document.getElementById('sessions').hidden"), true);
    page.assert_clean(http);

    site.configure("readers = \"admin\"");
    drop(daemon);
    let (_daemon, http) = start(&site);
    page.go(http);
    page.until_text("This server shows nothing here");
}

#[test]
fn a_token_is_typed_once_for_a_tab() {
    let site = Site::with(&[exclusive("cad", 5)]);
    site.configure("http_token_file = \"token\"\nreaders = \"all\"");
    std::fs::write(site.path().join("token"), "correct-horse-battery-staple\n").unwrap();
    let (daemon, http) = start(&site);
    let Some(browser) = crate::Browser::start() else { return };
    let mut page = browser.page();
    page.go(http);
    page.until_text("This server asks for a token");
    assert_eq!(page.eval("document.activeElement.id"), "token");
    page.type_text("wrong");
    page.press("Enter");
    page.until_text("the server did not take it");
    page.until("the field is empty", "document.activeElement.value === ''");
    page.type_text("correct-horse-battery-staple");
    page.press("Enter");
    page.until("it is live", "document.getElementById('live').textContent === 'Live'");
    take(&mut daemon.connect(), "cad", 4, "ann", "ws7").unwrap();
    page.until_text("4 of 5 in use");
    page.go(http);
    page.until("it is live again", "document.getElementById('live').textContent === 'Live'");
    assert!(!page.requests.iter().any(|url| url.contains("horse")), "a token is no part of an address");
}

#[test]
fn the_chart_has_the_numbers_of_the_history_and_a_table_behind_it() {
    let site = Site::with(&[exclusive("cad", 5), exclusive("other", 5)]);
    site.configure("[history]\nenabled = true");
    let (daemon, http) = start(&site);
    let mut ann = daemon.connect();
    take(&mut ann, "cad", 4, "ann", "ws7").unwrap();
    real_until_written(http);
    let Some((_browser, mut page)) = open(http) else { return };
    page.eval("[...document.querySelectorAll('.open')].find((b) => b.innerText === 'cad').click()");
    page.until_text("The last 24 hours: 4 seats at most");
    page.until("it is drawn", "document.querySelector('.plot canvas').width > 200");
    let label = page.eval("document.querySelector('.plot').getAttribute('aria-label')");
    assert!(
        label.as_str().unwrap().contains("Seats of cad in use over the last 24 hours: 4 seats at most"),
        "{label}"
    );
    page.eval("document.querySelector('details').open = true");
    let rows = page.eval(
        "[...document.querySelectorAll('details tbody tr')].map((row) => row.innerText.split('\\t')[1])",
    );
    let rows: Vec<_> = rows.as_array().unwrap().iter().map(|row| row.as_str().unwrap().to_owned()).collect();
    assert_eq!((rows.len(), rows[23].as_str(), rows[0].as_str()), (24, "4", "not known"), "{rows:?}");
    page.assert_clean(http);

    site.configure("[history]\nenabled = false");
    drop(daemon);
    let (_daemon, http) = start(&site);
    page.go(http);
    page.until_text("cad");
    page.until("a row", "document.querySelectorAll('.open').length === 2");
    page.eval("document.querySelectorAll('.open')[0].click()");
    page.until_text("No chart: this server keeps no history");
}

/// Waits until the history tells of four seats.
fn real_until_written(http: std::net::SocketAddr) {
    use std::io::{Read as _, Write as _};
    crate::real::until("the history has it", || {
        let mut stream = std::net::TcpStream::connect(http).ok()?;
        write!(
            stream,
            "GET /api/v1/usage/day?feature=cad HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains(",4]").then_some(())
    });
}
