//! A daemon with one of everything that its outputs have words for, and the clients that make it so.

use std::fs;

use seatkeeper::state::StateDir;
use seatkeeper::vendor::{Template, VendorKey, keygen, sign};
use wire::request::{Checkout, Facts, Hours, Item};

use crate::outputs::Reader;
use crate::plain::address_of;
use crate::real::client::{Client, Held, asking, facts, granted};
use crate::real::daemon::{Daemon, Start};
use crate::real::site::{Site, feature, upgrade};
use crate::wall::Wall;

/// What no output may take for its own marks.
pub(crate) const STRANGE_USER: &str = "o'neil <&\"> \u{202e}x\u{2028}900 license(s) used by x@y [1.2.3.4]";
pub(crate) const STRANGE_HOST: &str = "ws 8 (b)/[c]@d";
const STRANGE_SHARE: &str = "job <7> & \"more\"";

/// Berlin's noon, ten hours before the upgrade of `over` ends.
pub(crate) const NOON: &str = "2030-06-30T10:00:00Z";
/// A second after that midnight.
pub(crate) const AFTER_MIDNIGHT: &str = "2030-06-30T22:00:01Z";

const POLICY: &str = "[[rule]]\nfeature = \"lab\"\nreserve = 3\nfor = { users = [\"nora\"] }\n\n\
     [[rule]]\nfeature = \"lab\"\ndeny = { users = [\"eve\"] }\n\n\
     [[rule]]\nfeature = \"forever\"\nlimit = 3\nper = \"user\"\nfor = { users = [\"max\"] }\n";

/// A daemon that answers HTTP, and what is kept for its tests.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) reader: Reader,
    pub(crate) wall: Option<Wall>,
    site: Site,
    /// Whoever is connected.
    clients: Vec<Client>,
}

/// Another vendor, who sells a `cad` of his own.
pub(crate) fn other_vendor(site: &Site, features: &[String]) {
    let made = keygen("OTHER", "other-1", &site.path().join("other")).expect("a key");
    let key = VendorKey::read(&made.private).expect("the key just made");
    let bytes = format!("<LICENSEFILE>\n{}</LICENSEFILE>\n", features.concat()).into_bytes();
    let template = Template { file: "other.xml".into(), bytes };
    let issued = chrono::NaiveDate::from_ymd_opt(2010, 1, 1).expect("a date");
    let signed = sign(&key, &[template], None, issued).expect("signed");
    site.drop_file("other.xml", signed.xml.as_bytes());
}

/// What the second vendor's key adds to the configuration.
pub(crate) fn trusting_both(site: &Site, more: &str) {
    let key = |path: &str| format!("{:?}", site.path().join(path));
    let text = format!(
        "listen = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nlicenses = \"licenses\"\nstate = \"state\"\n\
         trusted_vendors = [{}, {}]\n{more}\n[history]\nkeep_free_megabytes = 0\n",
        key("vendor/acme-1.pub"),
        key("other/other-1.pub")
    );
    fs::write(site.config(), text).expect("a configuration");
}

/// A token that takes two seats of sim.
pub(crate) fn suite() -> String {
    "  <FEATURE NAME=\"suite\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
     <SETTING TOKEN_DEPENDENCY=\"FEATURE=sim VERSION=1.0 COUNT=2\"/>\n  </FEATURE>\n"
        .into()
}

/// A feature that is locked to the server's key, so that it can be lent.
pub(crate) fn locked(site: &Site, name: &str, settings: &str) -> String {
    let key = StateDir::open(&site.state(), false).expect("a new state directory").identity().fingerprint();
    let block = format!("    <SERVER_HOSTID><SETTING SERVERKEY=\"{key}\"/></SERVER_HOSTID>\n  </FEATURE>");
    feature(name, settings).replace("  </FEATURE>", &block)
}

/// Everything, as of 30 June 2030.
pub(crate) fn site() -> Site {
    let site = Site::new();
    let lent = locked(&site, "away", "VERSION=\"9.9\" COUNT=\"4\" BORROW=\"72\"");
    let mut features = vec![
        feature("cad", "VERSION=\"9.9\" COUNT=\"10\" START=\"2020-01-01\" END=\"2099-12-31\" SN=\"base\""),
        upgrade("cad", 6, "SN=\"up-1\" END=\"2030-12-31\""),
        upgrade("cad", 4, "SN=\"up-2\" START=\"2098-01-01\" END=\"2099-12-31\""),
        upgrade("cad", 3, "SN=\"up-3\" END=\"2020-12-31\""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" VERSION=\"9.9\" COUNT=\"2\" SN=\"more\""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" VERSION=\"5.0\" COUNT=\"3\" SN=\"old\" END=\"2030-09-30\""),
        feature("viewer", "VERSION=\"9.9\" COUNT=\"2\" SHARE=\"CUSTOM\""),
        feature("desk", "VERSION=\"9.9\" COUNT=\"3\"")
            .replace("    <SETTING VERSION", "    <SETTING SHARE=\"HOST USER\"/>\n    <SETTING VERSION"),
        feature("sim", "VERSION=\"9.9\" COUNT=\"8\""),
        suite(),
        feature("forever", "COUNT=\"UNLIMITED\""),
        feature("perm", "VERSION=\"4.2\" COUNT=\"5\" SOFTLIMIT=\"3\""),
        feature(
            "lapsed",
            "VERSION=\"4.2\" COUNT=\"5\" SN=\"l\" END=\"2029-12-31\" MAINTENANCE_END=\"2028-12-31\"",
        ),
        feature("lapsed", "KEYTYPE=\"MAINTENANCE\" RENEWS=\"SN=l\" MAINTENANCE_END=\"2029-06-30\""),
        feature("later", "VERSION=\"4.2\" COUNT=\"5\" START=\"2031-01-01\" END=\"2031-12-31\""),
        feature("over", "VERSION=\"9.9\" COUNT=\"2\" END=\"2030-07-15\" SN=\"o\""),
        upgrade("over", 4, "SN=\"o-up\" END=\"2030-06-30\""),
        feature("keep", "VERSION=\"9.9\" COUNT=\"6\" HOLD=\"36000\""),
        feature("lab", "VERSION=\"9.9\" COUNT=\"10\""),
        feature("full", "VERSION=\"9.9\" COUNT=\"1\""),
        feature("gone", "VERSION=\"9.9\" COUNT=\"5\""),
        feature("maint", "VERSION=\"2.0\" COUNT=\"3\" SN=\"m\" MAINTENANCE_END=\"2030-08-15\""),
        feature("Under_score-1", "VERSION=\"9.9\" COUNT=\"1\""),
    ];
    features.push(lent);
    site.drop_signed("cad.xml", &features);
    other_vendor(&site, &[feature("cad", "VERSION=\"3.0\" COUNT=\"7\" END=\"2030-07-05\"")]);
    site.drop_file(
        "unsigned.xml",
        b"<LICENSEFILE>\n  <FEATURE NAME=\"trial\">\n    <SETTING COUNT=\"2\"/>\n  </FEATURE>\n</LICENSEFILE>\n",
    );
    site.drop_file("broken.xml", b"<LICENSEFILE>\n  <FEATURE NAME=\"x\"");
    fs::write(site.path().join("policy.toml"), POLICY).expect("a policy");
    site
}

impl World {
    /// Starts the daemon of a site; `wall`: with that clock.
    pub(crate) fn start(site: Site, wall: Option<Wall>, zone: &str) -> World {
        World::start_with(site, wall, zone, &[])
    }

    /// With further flags.
    pub(crate) fn start_with(site: Site, wall: Option<Wall>, zone: &str, flags: &[&str]) -> World {
        let mut start = Start::of(&site).env("TZ", "UTC").arg("--time-zone").arg(zone);
        start = flags.iter().fold(start, |start, flag| start.arg(flag));
        if let Some(wall) = &wall {
            start = wall.lead(start);
        }
        let daemon = start.ready(&site);
        let reader = Reader::new(&daemon, address_of(&daemon), wall.clone(), zone);
        World { daemon, reader, wall, site, clients: Vec::new() }
    }

    /// One of everything, at a clock that stands still a second after midnight.
    pub(crate) fn of_everything() -> World {
        World::of_everything_for("all")
    }

    /// With that setting of `readers`.
    pub(crate) fn of_everything_for(readers: &str) -> World {
        let site = site();
        trusting_both(
            &site,
            &format!(
                "policy = \"policy.toml\"\nsignatures = \"optional\"\nreap_after = \"1h\"\nreaders = \"{readers}\""
            ),
        );
        let wall = Wall::new(&site, NOON);
        let mut world = World::start(site, Some(wall), "Europe/Berlin");
        world.fill();
        world.wall.as_ref().expect("it has one").set(AFTER_MIDNIGHT);
        world.daemon.await_feature("over", "over its total", |f| f["total"] == 2 && f["over"] == 3);
        world
    }

    /// kill -9, and a start on what is left; the reader still asks the daemon before.
    pub(crate) fn restart(&mut self) {
        self.daemon.kill();
        self.daemon = Daemon::start(&self.site);
    }

    /// A new connection that lives as long as the world.
    pub(crate) fn client(&mut self) -> &mut Client {
        self.clients.push(self.daemon.connect());
        self.clients.last_mut().expect("just made")
    }

    fn fill(&mut self) {
        let mut client = self.daemon.connect();
        take(&mut client, "ann", "ws7", &[("ACME", "cad", 10)]);
        take(&mut client, "bob", "ws8", &[("ACME", "cad", 4)]);
        // More than the exclusive pool has left.
        take(&mut client, STRANGE_USER, STRANGE_HOST, &[("ACME", "cad", 2)]);
        take(&mut client, "王小明", "工作站", &[("ACME", "cad", 1)]);
        take(&mut client, "pat", "ws4", &[("ACME", "cad", 2)]);
        take(&mut client, "quin", "ws4", &[("ACME", "cad", 1)]);
        // Sold by two, a name alone is nobody's.
        denied(&mut client, "ann", &[("ACME", "cad", 90)]);
        denied(&mut client, "bob", &[("ACME", "cad", 90)]);
        denied(&mut client, "eve", &[("OTHER", "cad", 8)]);
        take_old(&mut client, "cy", "ws9", ("OTHER", "cad", 1), "3.0");
        for (user, share) in [("ann", STRANGE_SHARE), ("bob", STRANGE_SHARE), ("cy", "another")] {
            let mut asked = asked_by(user, "ws7", &[("ACME", "viewer", 1)]);
            asked.share = Some(share.into());
            grant(&mut client, &asked);
        }
        for count in [1, 2, 1] {
            take(&mut client, "ann", "ws7", &[("ACME", "desk", count)]);
        }
        take(&mut client, "cy", "ws9", &[("ACME", "suite", 3)]);
        take(&mut client, "dora", "ws1", &[("ACME", "sim", 1)]);
        take(&mut client, "max", "ws2", &[("ACME", "forever", 3)]);
        denied(&mut client, "max", &[("ACME", "forever", 1)]);
        take(&mut client, "ann", "ws7", &[("ACME", "perm", 4)]);
        denied(&mut client, "ann", &[("ACME", "lapsed", 1)]);
        denied(&mut client, "ann", &[("ACME", "later", 1)]);
        take(&mut client, "ann", "ws7", &[("ACME", "over", 5)]);
        let held = take(&mut client, "bob", "ws8", &[("ACME", "keep", 2)]);
        client.give_back(&held);
        take(&mut client, "ann", "ws7", &[("ACME", "keep", 1)]);
        take(&mut client, "ann", "ws7", &[("ACME", "lab", 2)]);
        take(&mut client, "nora", "ws3", &[("ACME", "lab", 1)]);
        take_old(&mut client, "ann", "ws7", ("ACME", "maint", 1), "2.0");
        take(&mut client, "ann", "ws7", &[("", "trial", 1)]);
        take(&mut client, "ann", "ws7", &[("ACME", "full", 1)]);
        self.clients.push(client);

        // Two more of the lab's are booked for a job.
        let booked = self.reader.run(&["book", "lab", "2", "--for", "10h"], true);
        assert!(!booked.is_empty());
        // Lent for a day.
        let mut lent = asked_by("dora", "laptop", &[("ACME", "away", 2)]);
        lent.extras = vec![Hours { hours: 24 }.extra()];
        grant(self.client(), &lent);
        // Somebody whose socket is cut.
        let mut cut = self.daemon.connect();
        take(&mut cut, "zoe", "ws5", &[("ACME", "gone", 2)]);
        drop(cut);
        take(self.client(), "yan", "ws6", &[("ACME", "gone", 1)]);
        // Two who wait.
        for (nth, (user, host)) in [("dora", "ws10"), (STRANGE_USER, STRANGE_HOST)].into_iter().enumerate() {
            let mut asked = asked_by(user, host, &[("ACME", "full", 1)]);
            asked.wait_seconds = Some(3_600);
            self.client().send(&asked).expect("the connection lives");
            let waiting = nth + 1;
            self.daemon.await_feature("full", "who waits", |f| f["queued"] == waiting);
        }
        self.daemon.await_feature("gone", "two suspect", |f| f["suspect"] == 2);
    }
}

/// A checkout by somebody of features with their vendors; a vendor `""` is none.
pub(crate) fn asked_by(user: &str, host: &str, items: &[(&str, &str, u32)]) -> Checkout {
    let item = |(vendor, feature, count): &(&str, &str, u32)| Item {
        vendor: Some((*vendor).to_owned()).filter(|vendor| !vendor.is_empty()),
        feature: (*feature).into(),
        count: *count,
    };
    Checkout {
        items: items.iter().map(item).collect(),
        facts: Facts { host: host.into(), ..facts(user) },
        ..asking(&[])
    }
}

pub(crate) fn grant(client: &mut Client, asked: &Checkout) -> Held {
    granted(client.checkout_again(asked)).0
}

pub(crate) fn take(client: &mut Client, user: &str, host: &str, items: &[(&str, &str, u32)]) -> Held {
    grant(client, &asked_by(user, host, items))
}

/// A program of that version.
fn take_old(client: &mut Client, user: &str, host: &str, item: (&str, &str, u32), version: &str) -> Held {
    let mut asked = asked_by(user, host, &[item]);
    asked.facts.release_version = Some(version.into());
    grant(client, &asked)
}

fn denied(client: &mut Client, user: &str, items: &[(&str, &str, u32)]) {
    let answer = client.checkout_again(&asked_by(user, "ws7", items)).expect("the connection lives");
    answer.expect_err("this must be denied");
}
