//! The screenshots in docs/images, of a server as it might be. Written when `SEATKEEPER_PICTURES` is set to a directory:
//! `SEATKEEPER_PICTURES=docs/images cargo test --test page pictures`.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::real::client::{Client, asking};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature, upgrade};
use crate::{open, start, take};

/// The largest picture that goes into the repository.
const BYTES_MAX: usize = 200 << 10;
const DAY_MS: i64 = 86_400_000;

#[test]
fn pictures() {
    let directory = match std::env::var_os("SEATKEEPER_PICTURES") {
        Some(directory) => PathBuf::from(directory),
        None => return,
    };
    let site = site();
    // A first run makes the files; then the day before is written into the history.
    assert_eq!(Daemon::start(&site).terminate(), Some(0));
    past(&site.state().join("history.sqlite"));
    let (daemon, http) = start(&site);
    let Some((_browser, mut page)) = open(http) else { return };
    let _clients = fill(&daemon);
    page.until("who waits", "document.querySelector('#queue tbody').innerText.includes('ida')");
    page.until_text("denied in 24 h");
    page.eval("[...document.querySelectorAll('.open')].find((b) => b.innerText === 'cad').click()");
    page.until_text("The last 24 hours:");
    for (name, is_dark, width, height) in [
        ("dashboard", false, 1_200, 1_060),
        ("dashboard-dark", true, 1_200, 1_060),
        ("dashboard-narrow", false, 360, 900),
    ] {
        page.dark(is_dark);
        page.size(width, height);
        page.eval("new Promise((done) => setTimeout(done, 800))");
        let png = page.picture();
        assert!(png.len() <= BYTES_MAX, "{name}: {} bytes", png.len());
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("{name}.png")), png).expect("a picture");
    }
    page.assert_clean(http);
}

/// The sample license `cad` and its upgrades, and five features of another vendor.
fn site() -> Site {
    let site = Site::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("licenses");
    for name in ["cad.xml", "cad-upgrade.xml"] {
        fs::copy(samples.join(name), site.licenses().join(name)).expect("a sample license");
    }
    site.drop_signed(
        "acme.xml",
        &[
            feature("mesh", "VERSION=\"4.2\" COUNT=\"6\" HOLD=\"3600\""),
            feature("render", "VERSION=\"5.0\" COUNT=\"40\""),
            upgrade("render", 8, "SN=\"rush\" END=\"2031-12-31\""),
            feature("solver", "VERSION=\"7.2\" COUNT=\"12\""),
            feature("viewer", "VERSION=\"4.5\" COUNT=\"UNLIMITED\""),
        ],
    );
    fs::write(
        site.path().join("policy.toml"),
        "[[rule]]\nfeature = \"solver\"\nreserve = 3\nfor = { users = [\"lab\"] }\n",
    )
    .expect("a policy");
    let demo = samples.join("vendor-demo/demo-2026.pub");
    let own = site.path().join("vendor/acme-1.pub");
    let config = format!(
        "listen = \"127.0.0.1:0\"\nlicenses = \"licenses\"\nstate = \"state\"\npolicy = \"policy.toml\"\n\
         time_zone = \"Europe/Berlin\"\ntrusted_vendors = [{demo:?}, {own:?}]\n[history]\nkeep_free_megabytes = 0\n"
    );
    fs::write(site.config(), config).expect("a configuration");
    site
}

/// A day of work, by the hour.
fn past(history: &Path) {
    let connection = Connection::open(history).expect("the history");
    let now: i64 = connection
        .query_row("SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)", [], |row| row.get(0))
        .expect("a time");
    let begin = now - DAY_MS;
    connection.execute("UPDATE state SET kept_from = ?", [begin - DAY_MS]).expect("kept");
    let insert =
        "INSERT INTO spans (session, bundle, vendor, feature, user, host, seats, since, until, borrow)
        VALUES (?, ?, 'DEMO', 'cad', ?, 'ws', ?, ?, ?, 0)";
    let by_hour = [5, 3, 2, 2, 1, 1, 1, 1, 0, 0, 1, 2, 3, 5, 7, 8, 9, 6, 6, 9, 10, 11, 9, 7];
    for (hour, seats) in by_hour.into_iter().enumerate() {
        for seat in 0..seats {
            // Nobody comes and goes on the hour.
            let (hour, seat) = (i64::try_from(hour).expect("small"), i64::from(seat));
            let since = begin + hour * 3_600_000 + seat * 217_000;
            let until = (since + 3_600_000 + seat * 90_000).min(now - 1_000);
            let id = format!("p{hour}-{seat}");
            connection
                .execute(insert, params![id, id, format!("user-{seat}"), 1, since, until])
                .expect("a span");
        }
    }
}

fn fill(daemon: &Daemon) -> Vec<Client> {
    let mut clients: Vec<_> = (0..4).map(|_| daemon.connect()).collect();
    let seats = [
        ("cad", 4, "ann", "ws-107"),
        ("cad", 2, "ben", "ws-112"),
        ("cad", 3, "carla", "ws-118"),
        ("cad", 1, "dev", "laptop-31"),
        ("mesh", 2, "ann", "ws-107"),
        ("render", 24, "farm", "render-01"),
        ("render", 17, "farm", "render-02"),
        ("solver", 6, "emil", "hpc-login"),
        ("viewer", 3, "fay", "ws-101"),
    ];
    for (feature, count, user, host) in seats {
        take(&mut clients[0], feature, count, user, host).expect("seats");
    }
    take(&mut clients[1], "mesh", 3, "gus", "ws-120").expect("seats");
    let held = clients[2].checkout(&[("mesh", 1)]).expect("seats");
    clients[2].give_back(&held);
    take(&mut clients[2], "solver", 6, "hal", "hpc-login").expect_err("three are kept for the lab");
    take(&mut clients[2], "mesh", 2, "hal", "ws-121").expect_err("none is free");
    let mut waiting = asking(&[("mesh", 1)]);
    (waiting.wait_seconds, waiting.facts.user, waiting.facts.host) =
        (Some(3_600), "ida".into(), "ws-104".into());
    clients[3].send(&waiting).expect("the connection lives");
    // Its laptop sleeps.
    drop(clients.remove(1));
    clients
}
