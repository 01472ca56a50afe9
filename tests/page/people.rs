//! For everybody: dark, narrow, by keyboard, by screen reader.

use serde_json::Value;

use crate::real::site::{Site, exclusive, feature, upgrade};
use crate::{Page, open, start, take};

const AXE: &str = include_str!("axe/axe.min.js");

fn site() -> Site {
    let site = Site::with(&[
        exclusive("cad", 5),
        upgrade("cad", 2, "SN=\"up-1\" END=\"2099-06-30\""),
        feature("mesh", "VERSION=\"9.9\" COUNT=\"4\" SOFTLIMIT=\"2\" HOLD=\"600\""),
        feature("a-feature-whose-name-is-long-and-has-no-place-to-break-it", "VERSION=\"9.9\" COUNT=\"4\""),
    ]);
    site.drop_file("bad.xml", b"<LICENSEFILE>\n  <FEATURE NAME=\"x\"");
    site.configure("[history]\nenabled = true");
    site
}

/// All there can be: sessions, suspects, held seats, somebody who waits, denials.
fn fill(daemon: &crate::real::daemon::Daemon) -> Vec<crate::real::client::Client> {
    let mut clients: Vec<_> = (0..4).map(|_| daemon.connect()).collect();
    take(&mut clients[0], "cad", 5, "ann", "ws7").unwrap();
    take(&mut clients[1], "cad", 2, &"n".repeat(200), &"h".repeat(200)).unwrap();
    let held = clients[2].checkout(&[("mesh", 1)]).unwrap();
    clients[2].give_back(&held);
    take(&mut clients[0], "cad", 3, "eve", "ws9").unwrap_err();
    let mut waiting = crate::real::client::asking(&[("cad", 2)]);
    (waiting.wait_seconds, waiting.facts.user) = (Some(600), "eve".into());
    clients[3].send(&waiting).unwrap();
    drop(clients.remove(1));
    clients
}

fn open_rows(page: &mut Page) {
    page.until("the rows", "document.querySelectorAll('.open').length === 3");
    page.until("who waits", "document.querySelector('#queue tbody').innerText.includes('eve')");
    page.eval("[...document.querySelectorAll('.open')].find((b) => b.innerText === 'cad').click()");
    page.until("the chart", "document.querySelector('.chart').innerText.includes('The last 24 hours') || document.querySelector('.chart').innerText.includes('No chart')");
}

#[test]
fn a_narrow_window_needs_no_scrolling_sideways() {
    let site = site();
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    let _clients = fill(&daemon);
    open_rows(&mut page);
    for width in [1_200, 800, 500, 360, 320] {
        page.size(width, 740);
        let wide = page.eval(
            "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 \
             && !e.closest('.skip, thead')).map((e) => e.outerHTML.slice(0, 200))",
        );
        let scrolls = page.eval("document.scrollingElement.scrollWidth");
        assert!(scrolls.as_f64().unwrap() <= f64::from(width), "{width}: {scrolls} {wide:#}");
    }
    page.assert_clean(http);
}

#[test]
fn the_page_passes_the_checks_of_axe_in_light_and_dark_and_narrow() {
    let site = site();
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    let _clients = fill(&daemon);
    open_rows(&mut page);
    page.eval("document.querySelector('details').open = true");
    page.eval(&format!("{AXE}; true"));
    for (is_dark, width) in [(false, 1_200), (true, 1_200), (false, 360), (true, 360)] {
        page.dark(is_dark);
        page.size(width, 900);
        let broken = page.eval(
            "axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
             .then(({ violations }) => violations.map((v) => [v.id, v.help, v.nodes.map((n) => [n.html.slice(0, 200), n.failureSummary])]))",
        );
        assert_eq!(broken, Value::Array(Vec::new()), "dark: {is_dark}, {width}: {broken:#}");
    }
    // The two are not the same.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let dark = page.eval(ground);
    page.dark(false);
    assert_ne!(dark, page.eval(ground));
}

#[test]
fn the_keyboard_reaches_everything_and_shows_where_it_is() {
    let site = site();
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    let _clients = fill(&daemon);
    page.until("the rows", "document.querySelectorAll('.open').length === 3");
    let here = "(() => { const e = document.activeElement; const s = getComputedStyle(e);
        return [e.id || e.className || e.tagName, s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, e.innerText ?? '']; })()";
    let mut reached: Vec<String> = Vec::new();
    let mut walk = |page: &mut Page, until: &str| {
        for _ in 0..60 {
            page.press("Tab");
            let now = page.eval(here);
            let name = now[0].as_str().unwrap().to_owned();
            if name != "BODY" {
                assert_eq!(now[1], true, "no focus can be seen on {now}");
            }
            let is_there = name == until || now[2] == until;
            reached.push(name);
            if is_there {
                return;
            }
        }
        panic!("{until} is not reached: {reached:?}");
    };
    walk(&mut page, "skip");
    walk(&mut page, "find");
    walk(&mut page, "order");
    walk(&mut page, "cad");
    page.press("Enter");
    page.until("it is open", "document.activeElement.getAttribute('aria-expanded') === 'true'");
    page.until(
        "the table behind the chart",
        "!document.querySelector('details')?.hidden && document.querySelector('details tbody tr') !== null",
    );
    walk(&mut page, "SUMMARY");
    page.press("Enter");
    page.until("the table is open", "document.querySelector('details').open");
    walk(&mut page, "scroll");
    walk(&mut page, "All sessions of cad");
    page.press("Enter");
    page.until(
        "its sessions",
        "document.activeElement.id === 'sessions-title' && document.getElementById('find').value === 'cad'",
    );
    // What happens meanwhile takes the focus from nobody.
    page.eval(
        "document.getElementById('find').value = ''; document.getElementById('find').dispatchEvent(new Event('input'))",
    );
    page.eval("document.querySelector('.open').focus()");
    let before = page.eval("document.activeElement.innerText");
    let mut more = daemon.connect();
    take(&mut more, "mesh", 1, "zoe", "ws1").unwrap();
    page.until_text("zoe");
    assert_eq!(page.eval("document.activeElement.innerText"), before);
    page.assert_clean(http);
}
