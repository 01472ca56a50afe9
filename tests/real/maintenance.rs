//! What a vendor signs about versions, as the daemon that ships takes it: renewals and release catalogs, dropped while it runs
//! (rules 3, 6.9 and amendments; L5, L6).

use std::path::PathBuf;

use chrono::NaiveDate;
use seatkeeper::vendor::{Template, VendorKey, Wish, renew, sign_catalog};
use serde_json::Value;
use wire::request;

use crate::real::client::{Client, asking, granted};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature};

fn vendor(site: &Site) -> VendorKey {
    let key: PathBuf = site.path().join("vendor/acme-1.key");
    VendorKey::read(&key).expect("the site's vendor")
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn reload(daemon: &Daemon) -> Value {
    let answer = granted(daemon.admin().ask(&request::Reload::default()));
    serde_json::from_str(&answer.json).expect("JSON")
}

/// What becomes of a program that says this of itself: `granted`, or the code. What it gets it gives back.
fn run(client: &mut Client, version: &str, released: &str) -> String {
    let mut asked = asking(&[("cad", 1)]);
    asked.facts.release_version = Some(version.into());
    asked.facts.release_date = Some(released.into());
    match client.checkout_again(&asked).expect("the connection lives") {
        Ok((held, _)) => {
            client.give_back(&held);
            "granted".into()
        }
        Err(refused) => refused.code,
    }
}

/// The questioner's case: maintenance to 31 March, 1.1 built on 1 April.
fn sold() -> Site {
    Site::with(&[feature("cad", "COUNT=\"5\" SN=\"7\" VERSION=\"1.0\" MAINTENANCE_END=\"2012-03-31\"")])
}

#[test]
fn a_dropped_renewal_grants_whoever_was_refused_a_moment_ago() {
    let site = sold();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    assert_eq!(run(&mut client, "1.1", "2012-04-01"), "maintenance_expired");
    let license = Template {
        file: "cad.xml".into(),
        bytes: std::fs::read(site.licenses().join("cad.xml")).expect("the license"),
    };
    let wish = Wish {
        feature: None,
        sn: None,
        period: "P1Y".parse().expect("a period"),
        periods: 1,
        basis: seats::maintenance::Basis::FromExpiry,
        start: None,
        old_end: None,
    };
    let renewed = renew(&vendor(&site), &license, &[], &wish, day("2012-06-25")).expect("a renewal");
    site.drop_file("renewal.xml", renewed.signed.xml.as_bytes());
    let told = reload(&daemon);
    assert_eq!((&told["files"], told["problems"].as_array().map(Vec::len)), (&2.into(), Some(0)), "{told}");
    assert_eq!(run(&mut client, "1.1", "2012-04-01"), "granted", "over the same connection");
    assert_eq!(run(&mut client, "1.2", "2013-03-31"), "granted");
    assert_eq!(run(&mut client, "1.3", "2013-04-01"), "maintenance_expired");
}

#[test]
fn a_dropped_catalog_takes_the_dates_out_of_the_programs_hands() {
    let site = sold();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    assert_eq!(run(&mut client, "1.1", "2012-03-30"), "granted", "nobody knows better");
    let catalog = |date: &str| {
        let text = format!(
            "<RELEASES><FEATURE NAME=\"cad\"><RELEASE VERSION=\"1.1\" RELEASE_DATE=\"{date}\"/></FEATURE></RELEASES>"
        );
        let template = Template { file: "list.xml".into(), bytes: text.into_bytes() };
        sign_catalog(&vendor(&site), &[template], day("2012-04-01")).expect("a catalog").xml
    };
    site.drop_file("releases.xml", catalog("2012-04-01").as_bytes());
    let told = reload(&daemon);
    assert_eq!((&told["files"], told["problems"].as_array().map(Vec::len)), (&2.into(), Some(0)), "{told}");
    assert_eq!(run(&mut client, "1.1", "2012-03-30"), "maintenance_expired", "the list knows better");
    assert_eq!(run(&mut client, "1.0", "2012-03-30"), "granted");

    // A changed list alone is a change; a forged one counts for nothing and harms nothing.
    site.drop_file("releases.xml", catalog("2012-03-31").as_bytes());
    reload(&daemon);
    assert_eq!(run(&mut client, "1.1", "2012-04-01"), "granted");
    site.drop_file("releases.xml", catalog("2012-03-31").replace("03-31", "01-01").as_bytes());
    let told = reload(&daemon);
    assert_eq!(told["problems"][0]["reason"], "bad_signature", "{told}");
    assert_eq!(told["problems"][0]["file"], "releases.xml", "{told}");
    assert_eq!(run(&mut client, "1.1", "2012-04-01"), "maintenance_expired", "by its own word again");
    assert_eq!(run(&mut client, "1.0", "2012-03-30"), "granted");
}
