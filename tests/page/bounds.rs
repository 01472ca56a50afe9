//! Names that are meant to hurt, more than fits on a page, and a day's worth of events.

use std::time::{Duration, Instant};

use wire::request::{Checkin, Checkout};

use crate::real::client::{Client, asking};
use crate::real::site::{Site, exclusive};
use crate::real::within;
use crate::{open, start, take};

#[test]
fn what_a_client_says_of_itself_is_text() {
    let site = Site::with(&[exclusive("cad", 9)]);
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        serde_json::json!({"source": "window.alert = () => { window.ran = true; }"}),
    );
    page.eval("window.alert = () => { window.ran = true; }");
    let evil = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "javascript:alert(1)",
        "{{alert(1)}}",
        "</td></tr></table><b id=made>",
    ];
    let mut client = daemon.connect();
    for name in evil {
        take(&mut client, "cad", 1, name, name).unwrap();
        take(&mut client, name, 1, name, name).unwrap_err();
    }
    for is_reloaded in [false, true] {
        if is_reloaded {
            page.go(http);
        }
        for name in evil {
            page.until_text(&format!("{name} on {name}"));
        }
        page.until("as many rows", "document.querySelectorAll('#sessions tbody tr').length === 6");
        assert_eq!(page.eval("window.ran === undefined && document.getElementById('made') === null"), true);
        assert_eq!(page.eval("document.querySelectorAll('td img, td script, td svg, td b').length"), 0);
    }
    // Nor could it be made into anything else: the browser forbids it.
    let forbidden = page
        .eval("(() => { try { document.body.innerHTML = '<b>'; return false; } catch { return true; } })()");
    assert_eq!(forbidden, true);
    page.complaints.retain(|complaint| !complaint.contains("TrustedHTML"));
    page.assert_clean(http);
}

#[test]
fn a_thousand_features_and_ten_thousand_sessions_are_a_page_like_any_other() {
    let features: Vec<String> = (0..1_000).map(|n| exclusive(&format!("feature-{n:04}"), 20)).collect();
    let site = Site::with(&features);
    let (daemon, http) = start(&site);
    let mut clients: Vec<Client> = Vec::new();
    for n in 0..10_000_u32 {
        if n % 1_000 == 0 {
            clients.push(daemon.connect());
        }
        let client = clients.last_mut().unwrap();
        take(client, &format!("feature-{:04}", n % 1_000), 1, &format!("user-{n}"), "farm").unwrap();
    }
    let Some((_browser, mut page)) = open(http) else { return };
    page.until_text("1 to 20 of 1,000");
    page.until_text("1 to 25 of 10,000");
    let nodes = page.eval("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(nodes < 1_500, "{nodes} elements");
    // Searching answers while one types.
    page.eval("document.getElementById('find').focus()");
    let took = page.eval(
        "(() => { const find = document.getElementById('find'); const begun = performance.now();
         for (const text of ['u', 'us', 'user-9', 'user-99', 'user-999']) { find.value = text; find.dispatchEvent(new Event('input')); }
         return performance.now() - begun; })()",
    );
    assert!(took.as_f64().unwrap() < 2_000.0, "{took} ms for five letters");
    page.until_text("user-9990");
    page.until(
        "the features of user-999 and of user-9990 to user-9999",
        "document.querySelectorAll('.feature').length === 10",
    );
    // And what happens is there all the same.
    let before = Instant::now();
    take(&mut clients[0], "feature-0000", 1, "user-999-too", "farm").unwrap();
    let is_shown = within(Duration::from_secs(120), || page.text().contains("user-999-too").then_some(()));
    assert!(is_shown.is_some(), "{:?}", page.complaints);
    println!("a change of 10,001 sessions was shown after {:?}, {nodes} elements", before.elapsed());
    page.assert_clean(http);
}

/// How many events a round has; the page is measured after the first and after the last.
const ROUND: u32 = 5_000;
/// How much the heap may differ: what a renderer keeps of code and shapes goes up and down by hundreds of kilobytes.
const HEAP_SLACK: f64 = 512.0 * 1_024.0;

#[test]
fn a_days_worth_of_events_makes_an_open_page_no_larger() {
    let site = Site::with(&[exclusive("cad", 50), exclusive("mesh", 4)]);
    site.configure("[history]\nenabled = true");
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    take(&mut client, "mesh", 4, "ann", "ws7").unwrap();
    let Some((_browser, mut page)) = open(http) else { return };
    page.eval("document.querySelectorAll('.open')[0].click()");
    page.until("the chart", "document.querySelector('.chart canvas') !== null || document.querySelector('.chart').innerText.includes('No chart')");
    let rounds = if std::env::var_os("SEATKEEPER_LONG").is_some_and(|v| v == "1") { 40 } else { 5 };
    let mut sizes = Vec::new();
    let begun = Instant::now();
    let mut number = 0;
    for round in 0..rounds {
        events(&mut client, ROUND, &mut number);
        // Everything is on the page: the last denial too, and the seats as they are.
        let user = format!("user-{} on ws7", number % 500);
        page.until(
            "the last denial",
            &format!("document.querySelector('#denials-table tbody tr').innerText.includes('{user}')"),
        );
        page.until("nothing but mesh is out", "document.querySelectorAll('#sessions tbody tr').length === 1");
        std::thread::sleep(Duration::from_millis(1_200));
        page.until("it is drawn", "document.getElementById('live').dataset.state === 'live'");
        let (heap, nodes) = page.size_in_memory();
        println!(
            "after {} events, {:?}: {:.0} KiB, {nodes} nodes",
            (round + 1) * ROUND,
            begun.elapsed(),
            heap / 1_024.0
        );
        sizes.push((heap, nodes));
    }
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(last.0 < first.0 + HEAP_SLACK, "the heap grows: {sizes:?}");
    // A row more or less where the page was caught between two answers.
    assert!(last.1 < first.1 + 60.0, "the nodes grow: {sizes:?}");
    page.assert_clean(http);
}

#[test]
fn a_page_that_kept_what_it_is_told_would_be_found_out() {
    let site = Site::with(&[exclusive("cad", 50), exclusive("mesh", 4)]);
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    take(&mut client, "mesh", 4, "ann", "ws7").unwrap();
    let Some((_browser, mut page)) = open(http) else { return };
    let (before, _) = page.size_in_memory();
    // The error is planted: every event is kept.
    page.eval("window.kept = []; JSON.parse = ((parse) => (text) => { const all = parse(text); kept.push(all); return all; })(JSON.parse); 0");
    let mut number = 0;
    events(&mut client, ROUND, &mut number);
    page.until("all are there", &format!("window.kept.length >= {ROUND}"));
    let (after, _) = page.size_in_memory();
    assert!(after > before + HEAP_SLACK, "{before} to {after}: nothing would be seen");
}

/// So many events, five at a time: mesh is to be full.
fn events(client: &mut Client, count: u32, number: &mut u32) {
    // Grants, ends and denials in the proportion of a busy day; each by somebody else.
    for _ in 0..count / 5 {
        *number += 1;
        let user = format!("user-{}", *number % 500);
        let asked = ["cad", "cad", "mesh"].map(|feature| {
            let mut asked = asking(&[(feature, 1)]);
            asked.facts.user = user.clone();
            asked
        });
        // Sent together: the disk syncs once for them.
        let calls = asked.map(|asked| client.send(&asked).unwrap());
        let [one, other, none] = calls.map(|call| client.take::<Checkout>(call).unwrap());
        none.unwrap_err();
        let back = [one, other].map(|granted| {
            let session = granted.unwrap().sessions[0].session;
            client.send(&Checkin { session, ..Checkin::default() }).unwrap()
        });
        for call in back {
            client.take::<Checkin>(call).unwrap().unwrap();
        }
    }
}
