//! The dashboard as a person meets it: headless Chromium shows the page of the daemon that ships, while real clients take
//! seats.
//!
//! - [`browser`]: Chromium, and what it tells about a page
//! - `numbers`: the page and the status agree, whatever clients do
//! - `shown`: what is on the page, and that it is right
//! - `people`: dark, narrow, by keyboard, by screen reader
//! - `bounds`: hostile names, many features, a day's worth of events
//! - `pictures`: the screenshots in docs/images, when `SEATKEEPER_PICTURES` is set

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/real/mod.rs"]
mod real;

mod bounds;
mod browser;
mod numbers;
mod people;
mod pictures;
mod shown;

use std::net::SocketAddr;

use crate::browser::{Browser, Page};
use crate::real::client::{Client, asking, facts};
use crate::real::daemon::{Daemon, Start};
use crate::real::site::Site;

/// A daemon that answers HTTP.
pub(crate) fn start(site: &Site) -> (Daemon, SocketAddr) {
    start_at(site, "127.0.0.1:0")
}

pub(crate) fn start_at(site: &Site, address: &str) -> (Daemon, SocketAddr) {
    let daemon = Start::of(site).arg("--http").arg(address).ready(site);
    let line = daemon.await_log("answering HTTP");
    let (_, address) = line.split_once("address=").expect("the log names the address");
    let address = address.split_whitespace().next().unwrap_or("").parse().expect("an address");
    (daemon, address)
}

/// The page of a daemon, when it has drawn what there is and follows events; `None`: there is no Chromium.
pub(crate) fn open(http: SocketAddr) -> Option<(Browser, Page)> {
    let browser = Browser::start()?;
    let mut page = browser.page();
    page.go(http);
    page.until("it is live", "document.getElementById('live').dataset.state === 'live' && !document.getElementById('shown').hidden");
    Some((browser, page))
}

/// A checkout by this user on this host.
pub(crate) fn take(
    client: &mut Client,
    feature: &str,
    seats: u32,
    user: &str,
    host: &str,
) -> Result<(), String> {
    let mut asked = asking(&[(feature, seats)]);
    asked.facts.user = user.into();
    asked.facts.host = host.into();
    assert_eq!(asked.facts.release_version, facts("").release_version);
    client.checkout_again(&asked).expect("the connection lives").map(drop).map_err(|refused| refused.message)
}
