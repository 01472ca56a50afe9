//! Maintenance as customers live it, against the daemon that ships, with licenses that the vendor's tools signed and a clock that
//! libfaketime moves: the Atlassian questioner's story, crashes at a first checkout, last days, licenses that get smaller (rules 3).

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use seatkeeper::engine::record::decode;
use seatkeeper::journal::{Fold, FoldError, RealDisk, replay};
use seatkeeper_client::{Address, CheckoutError, Client as Library, InstallId, Options, Refusal, Want};
use seats::change::Change;
use serde_json::Value;
use wire::request;

use crate::common::{Random, require, seed};
use crate::real::client::{Client, Held, asking, granted, random_bytes};
use crate::real::daemon::{Daemon, Start};
use crate::real::fake_clock::FakeClock;
use crate::real::site::{Site, feature};
use crate::real::{until, within};
use crate::shown::json;

fn start(site: &Site, clock: &FakeClock) -> Daemon {
    clock.lead(Start::of(site).arg("--time-zone").arg("UTC")).ready(site)
}

/// A checkout of some seats by a program that says this of itself.
fn program(name: &str, count: u32, version: &str, released: &str) -> request::Checkout {
    let mut asked = asking(&[(name, count)]);
    asked.facts.release_version = Some(version.into());
    asked.facts.release_date = Some(released.into());
    asked
}

/// The seat, or the code.
fn take(client: &mut Client, asked: &request::Checkout) -> Result<Held, String> {
    let answer = client.checkout_again(asked).expect("the connection lives");
    answer.map(|(held, _)| held).map_err(|refused| refused.code)
}

/// What becomes of a program that says this of itself: `granted`, or the code. What it gets it gives back.
fn run(client: &mut Client, name: &str, version: &str, released: &str) -> String {
    match take(client, &program(name, 1, version, released)) {
        Ok(held) => {
            client.give_back(&held);
            "granted".into()
        }
        Err(code) => code,
    }
}

fn reload(daemon: &Daemon) {
    granted(daemon.admin().ask(&request::Reload::default()));
}

/// The vendor's command line on a day.
fn vendor(site: &Site, clock: &FakeClock, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command.arg("vendor").args(words).env("TZ", "UTC").current_dir(site.path());
    clock.lead_command(&mut command);
    let output = command.output().expect("the command runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The library as an application has it.
fn library(daemon: &Daemon) -> Library {
    let address = daemon.address();
    let server = Address::Tcp { host: address.ip().to_string(), port: address.port() };
    let mut options = Options::new(vec![server], "cad", "1.1");
    options.install_id = InstallId(random_bytes());
    options.grace_directory = None;
    Library::new(options)
}

/// `seatkeeper update-check cad`, by the installer of who has 1.0: the exit status and the JSON.
fn ask_before_unpacking(daemon: &Daemon, clock: &FakeClock, words: &[&str]) -> (i32, Value) {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_seatkeeper"));
    command
        .args(["update-check", "cad", "--installed", "1.0", "--json"])
        .args(words)
        .env("XDG_STATE_HOME", home.path())
        .env("SEATKEEPER_SERVER", daemon.address().to_string());
    clock.lead_command(&mut command);
    let output = command.output().expect("the command runs");
    let code = output.status.code().expect("it exits");
    let error = String::from_utf8_lossy(&output.stderr);
    (code, serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{code}: {error}")))
}

fn refused_by(library: &Library, want: Want) -> Refusal {
    match library.checkout(want) {
        Ok(seats) => panic!("granted: {:?}", seats.sessions()),
        Err(CheckoutError::Denied(no)) => no,
        Err(error) => panic!("{error}"),
    }
}

/// The Atlassian questioner: maintenance to 31 March, 1.1 built on 1 April.
#[test]
fn a_customer_who_updated_by_hand_is_told_what_runs_and_a_renewal_lets_the_same_program_on() {
    if require("faketime").is_none() {
        return;
    }
    let site =
        Site::with(&[feature("cad", "COUNT=\"15\" SN=\"7\" VERSION=\"1.0\" MAINTENANCE_END=\"2012-03-31\"")]);
    let clock = FakeClock::new(&site, "2012-06-25T09:00:00Z");
    let list = "<RELEASES><FEATURE NAME=\"cad\"><RELEASE VERSION=\"1.0\" RELEASE_DATE=\"2011-03-01\"/>\
                <RELEASE VERSION=\"1.0.1\" RELEASE_DATE=\"2012-05-02\"/>\
                <RELEASE VERSION=\"1.1\" RELEASE_DATE=\"2012-04-01\"/></FEATURE></RELEASES>";
    fs::write(site.path().join("list.xml"), list).expect("a file");
    vendor(
        &site,
        &clock,
        &["catalog", "sign", "--key", "vendor/acme-1.key", "list.xml", "-o", "licenses/releases.xml"],
    );
    let mut daemon = start(&site, &clock);
    let (pid, program) = (daemon.pid(), library(&daemon));
    let owned = || Want::feature("cad").version("1.0").released("2011-03-01");
    let by_hand = || Want::feature("cad").version("1.1").released("2012-04-01");

    let colleague = program.checkout(owned()).expect("1.0 gets its seat as ever");
    // Asked before anything is unpacked: 1.1 will not run, both dates, and what may be installed instead.
    let (code, answer) =
        ask_before_unpacking(&daemon, &clock, &["--version", "1.1", "--released", "2012-04-01"]);
    let one = &answer["answers"][0];
    assert_eq!((code, &one["code"], &one["version"]), (3, &"maintenance_expired".into(), &"1.1".into()));
    assert_eq!(
        (&one["maintenance_end"], &one["renew_to_at_least"]),
        (&"2012-03-31".into(), &"2012-04-01".into())
    );
    let text = one["message"].as_str().expect("a sentence");
    assert!(
        text.contains("2012-04-01") && text.contains("2012-03-31") && text.contains("use 1.0.1"),
        "{text}"
    );
    assert_eq!(answer["installed_keeps_working"], true, "{answer}");
    let (code, answer) = ask_before_unpacking(&daemon, &clock, &[]);
    assert_eq!(
        (code, &answer["newest_that_will_run"]),
        (0, &"1.0.1".into()),
        "of the vendor's list: {answer}"
    );
    let fix = ["--version", "1.0.1", "--released", "2012-05-02", "--line-date", "2011-03-01"];
    assert_eq!(ask_before_unpacking(&daemon, &clock, &fix).0, 0);

    // He installs it all the same.
    let no = refused_by(&program, by_hand());
    assert_eq!(no.code, "maintenance_expired", "{}", no.message);
    for part in ["2012-04-01", "2012-03-31", "1.1", "keep working", "use 1.0.1", "renew maintenance at ACME"]
    {
        assert!(no.message.contains(part), "{part}: {}", no.message);
    }
    drop(program.checkout(owned()).expect("after a refusal too"));

    let words = ["renew", "--key", "vendor/acme-1.key", "--license", "licenses/cad.xml", "--period", "P1Y"];
    vendor(&site, &clock, &[&words[..], &["--basis", "FROM_EXPIRY", "-o", "renewal.xml"]].concat());
    let renewal = fs::read(site.path().join("renewal.xml")).expect("the renewal");
    site.drop_file("renewal.xml", &renewal);
    // Nobody asks for a reload: the directory is watched.
    let seats = until("the same program is granted", || program.checkout(by_hand()).ok());
    assert_eq!(seats.sessions().len(), 1);
    assert!(daemon.is_running() && daemon.pid() == pid, "without a restart of either");
    assert_eq!(colleague.sessions().len(), 1, "who worked meanwhile works on");
    let no = refused_by(&program, Want::feature("cad").version("1.3").released("2013-04-01"));
    assert_eq!(no.code, "maintenance_expired", "the new end counts as the old one did: {}", no.message);
    assert!(no.message.contains("2013-03-31"), "{}", no.message);
}

/// Every first checkout that the files of a state hold: its day.
#[derive(Default)]
struct FirstCheckouts(Vec<String>);

impl Fold for FirstCheckouts {
    fn apply(&mut self, _: u64, _: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError> {
        if let Change::FirstCheckout(first) = decode(kind, bytes)? {
            self.0.push(first.day.to_string());
        }
        Ok(())
    }

    fn dump(&self, _: &mut dyn FnMut(u16, &[u8])) {}
}

/// Those of a daemon that is stopped, from what is on disk.
fn recorded(site: &Site) -> Vec<String> {
    let mut found = FirstCheckouts::default();
    replay::scan(&RealDisk, &site.state().join("journal"), None, &mut found).expect("a state that is whole");
    found.0
}

/// Waits until an administrator sees this day, or none at all: a report may be 50 ms old.
fn await_shown(daemon: &Daemon, day: Option<&str>) {
    let what = format!("first checkout {day:?}");
    daemon.await_feature("cad", &what, |feature| {
        feature["pools"][0]["maintenance"]["first_checkout"].as_str() == day
    });
}

fn state_check(site: &Site) {
    let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["state", "check"])
        .arg(site.state())
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn newest_segment(site: &Site) -> PathBuf {
    let files = fs::read_dir(site.state().join("journal")).expect("the journal").flatten();
    let segments = files.map(|file| file.path()).filter(|p| p.extension().is_some_and(|e| e == "segment"));
    segments.max().expect("a segment")
}

/// Whether the beginning of a file holds this.
fn holds(path: &Path, wanted: &[u8]) -> bool {
    let mut bytes = vec![0; 16 << 10];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut bytes)).unwrap_or(0);
    bytes[..read].windows(wanted.len()).any(|window| window == wanted)
}

/// How a daemon died around a first checkout: what its client was told, and what was on disk.
#[derive(Default, Debug)]
struct Deaths {
    before: u32,
    between: u32,
    after: u32,
}

/// Kills the daemon around the first checkout, in the moment that `when` waits for, and looks on later days what was recorded.
fn die_at_first_checkout(deaths: &mut Deaths, when: impl FnOnce(&Site)) {
    let settings = "COUNT=\"5\" SN=\"7\" VERSION=\"2.0\" ISSUED=\"2010-01-10\" MAINTENANCE_PERIOD=\"P1Y\" \
                    MAINTENANCE_START_TRIGGER=\"FIRST_CHECKOUT\" MAINTENANCE_START_BY=\"2030-12-31\"";
    let site = Site::with(&[feature("cad", settings)]);
    let clock = FakeClock::new(&site, "2030-06-10T22:00:00Z");
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let install_id = client.install_id;
    let asked = program("cad", 1, "2.4", "2030-06-01");
    let call = client.send(&asked).expect("sent");
    when(&site);
    daemon.kill();
    let told = client.take::<request::Checkout>(call).is_ok_and(|answer| answer.is_ok());

    let found = recorded(&site);
    match (told, found.len()) {
        (false, 0) => deaths.before += 1,
        (false, 1) => deaths.between += 1,
        (true, 1) => deaths.after += 1,
        (told, _) => panic!("told: {told}, recorded: {found:?}"),
    }
    assert!(found.iter().all(|day| day == "2030-06-10"), "{found:?}");
    state_check(&site);

    // The next day it is sent again (a clock that is further ahead would be doubted, and begin nothing), and once it was recorded the day stays what it was, whoever was told of it.
    clock.set("2030-06-11T20:00:00Z");
    let mut daemon = start(&site, &clock);
    await_shown(&daemon, found.first().map(String::as_str));
    let mut client = daemon.connect_as(install_id);
    let (_, was_known) = client.checkout_again(&asked).expect("the connection lives").expect("a grant");
    assert_eq!(was_known, !found.is_empty(), "the grant and the record are one batch");
    let day = found.first().map_or("2030-06-11", |day| day).to_owned();
    await_shown(&daemon, Some(&day));
    daemon.kill();

    clock.set("2031-01-20T09:00:00Z");
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    take(&mut client, &program("cad", 1, "2.0", "2029-01-01")).expect("a seat");
    await_shown(&daemon, Some(&day));
    // A year from the recorded day on, that day included, and no longer.
    let last = day.replacen("2030", "2031", 1);
    assert_eq!(run(&mut client, "cad", "2.9", &last), "granted");
    assert_eq!(run(&mut client, "cad", "2.9", "2031-06-12"), "maintenance_expired");
    daemon.kill();
    assert_eq!(recorded(&site), [day], "one record");
    state_check(&site);
}

/// Rules 3, 6.10: the record is on disk before the grant is answered, once and for ever.
#[test]
fn a_first_checkout_is_recorded_once_whenever_the_daemon_dies() {
    if require("faketime").is_none() {
        return;
    }
    let mut random = Random(seed());
    let mut deaths = Deaths::default();
    for _ in 0..8 {
        let delay = Duration::from_micros(u64::try_from(random.within(0, 1_500)).expect("a delay"));
        // Not a wait for anything: the moment of death is random.
        die_at_first_checkout(&mut deaths, |_| std::thread::sleep(delay));
    }
    // And in the moment itself: the record stands in the file, and the sync before the answer is under way.
    let mut tries = 0;
    while deaths.between == 0 || tries < 6 {
        die_at_first_checkout(&mut deaths, |site| {
            let (segment, started) = (newest_segment(site), Instant::now());
            while !holds(&segment, b"2030-06-10\x01") && started.elapsed() < Duration::from_secs(10) {}
        });
        tries += 1;
        assert!(tries < 60, "never between the record and its reply: {deaths:?}");
    }
    println!("{deaths:?}");
}

/// Rules 3, 6.12: nobody who works is touched by a last day, and each kind of license says what is over.
#[test]
fn sessions_stay_over_the_last_day_of_maintenance_evaluation_and_subscription() {
    if require("faketime").is_none() {
        return;
    }
    let last = "END=\"2030-06-30\"";
    let site = Site::with(&[
        feature("cad", "COUNT=\"5\" VERSION=\"2.0\" MAINTENANCE_END=\"2030-06-30\""),
        feature("trial", &format!("COUNT=\"5\" LICENSE_TYPE=\"EVALUATION\" {last}")),
        feature("rent", &format!("COUNT=\"5\" VERSION=\"2.0\" LICENSE_TYPE=\"SUBSCRIPTION\" {last}")),
        feature(
            "kept",
            &format!(
                "COUNT=\"5\" VERSION=\"2.0\" LICENSE_TYPE=\"SUBSCRIPTION\" FALLBACK_VERSION=\"3.1\" {last}"
            ),
        ),
    ]);
    let clock = FakeClock::new(&site, "2030-06-30T20:00:00Z");
    let mut daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let newest = "2030-06-29";
    let held: Vec<Held> = ["cad", "trial", "rent", "kept"]
        .map(|name| take(&mut client, &program(name, 1, "4.0", newest)).expect("the last day counts"))
        .into();

    clock.set("2030-07-01T00:00:01Z");
    for is_restarted in [false, true] {
        if is_restarted {
            daemon.kill();
            daemon = start(&site, &clock);
            client = daemon.connect_as(client.install_id);
            for held in &held {
                let resumed = granted(client.resume(held));
                assert_eq!((resumed.sessions.len(), resumed.ended.len()), (1, 0), "after a restart");
            }
        }
        assert_eq!(client.heartbeat().expect("it lives"), 4, "all of them work on");
        for (name, version, released, what) in [
            // Maintenance looks at the day of the release, not at today.
            ("cad", "4.0", newest, "granted"),
            ("cad", "4.1", "2030-06-30", "granted"),
            ("cad", "4.2", "2030-07-01", "maintenance_expired"),
            ("cad", "2.0.9", "2030-07-01", "granted"),
            ("trial", "4.0", newest, "evaluation_expired"),
            ("trial", "1.0", "2020-01-01", "evaluation_expired"),
            ("rent", "2.0", "2020-01-01", "subscription_expired"),
            ("kept", "4.0", newest, "subscription_expired"),
            ("kept", "3.2", "2028-01-01", "subscription_expired"),
            ("kept", "3.1.6", newest, "granted"),
            ("kept", "1.0", "2020-01-01", "granted"),
        ] {
            assert_eq!(run(&mut client, name, version, released), what, "{name} {version} of {released}");
        }
    }
    for held in &held {
        client.give_back(held);
    }
    assert_eq!(client.heartbeat().expect("it lives"), 0, "and gives back what it had");
}

/// Rules 1, L39: the one session that an end can cost, where its client stays away.
#[test]
fn an_evaluation_whose_client_stays_away_for_a_lease_after_its_end_is_over() {
    if require("faketime").is_none() {
        return;
    }
    let site = Site::with(&[
        feature("trial", "COUNT=\"5\" LICENSE_TYPE=\"EVALUATION\" END=\"2030-06-30\""),
        feature("rent", "COUNT=\"5\" LICENSE_TYPE=\"SUBSCRIPTION\" END=\"2030-06-30\""),
    ]);
    site.configure("heartbeat = \"200ms\"\nlease = \"1s\"\nresume_window = \"500ms\"\nreap_after = \"1h\"");
    let clock = FakeClock::new(&site, "2030-06-30T23:00:00Z");
    let daemon = start(&site, &clock);
    let mut client = daemon.connect();
    let trial = take(&mut client, &program("trial", 1, "4.0", "2030-06-01")).expect("its last day");
    let rent = take(&mut client, &program("rent", 1, "4.0", "2030-06-01")).expect("its last day");
    clock.set("2030-07-01T00:10:00Z");

    // Gone for less than a lease: it comes back. The socket closes, and that is noticed at once.
    let install_id = client.install_id;
    drop(client);
    let mut client = daemon.connect_as(install_id);
    assert_eq!(granted(client.resume(&trial)).sessions.len(), 1);
    assert_eq!(granted(client.resume(&rent)).sessions.len(), 1);
    drop(client);
    let gone_since = Instant::now();
    let mut admin = daemon.admin();
    until("its connection is known to be gone", || (admin.feature("trial")["active"] == 0).then_some(()));
    // The lease itself is what is tested.
    std::thread::sleep(Duration::from_millis(1_300).saturating_sub(gone_since.elapsed()));
    let mut client = daemon.connect_as(install_id);
    let refused = within(Duration::from_secs(5), || {
        let refused = client.resume(&trial).expect("the connection lives").err();
        refused.filter(|refused| refused.code == "evaluation_expired")
    });
    let refused = refused.expect("not resumable");
    assert!(refused.message.contains("2030-06-30"), "{}", refused.message);
    assert_eq!(granted(client.resume(&rent)).sessions.len(), 1, "a subscription is no evaluation");
}

/// Rules 3, 6.12: what an administrator replaces by less cuts nobody off.
#[test]
fn a_license_that_gets_smaller_lets_running_sessions_resume_and_end() {
    let with = |end: &str| {
        let settings = format!("COUNT=\"5\" SN=\"7\" VERSION=\"1.0\" MAINTENANCE_END=\"{end}\"");
        [feature("cad", &settings)]
    };
    let site = Site::with(&with("2013-03-31"));
    let mut daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let asked = program("cad", 3, "1.2", "2013-01-01");
    let held = take(&mut client, &asked).expect("covered");
    site.drop_signed("cad.xml", &with("2012-03-31"));
    reload(&daemon);
    assert_eq!(run(&mut client, "cad", "1.2", "2013-01-01"), "maintenance_expired");
    assert_eq!(client.heartbeat().expect("it lives"), 1);
    // Another connection, then another daemon.
    client = daemon.connect_as(client.install_id);
    assert_eq!(granted(client.resume(&held)).sessions[0].count, 3);
    daemon.kill();
    daemon = Daemon::start(&site);
    client = daemon.connect_as(client.install_id);
    assert_eq!(granted(client.resume(&held)).sessions[0].count, 3);
    assert_eq!(run(&mut client, "cad", "1.2", "2013-01-01"), "maintenance_expired");
    // The same request again is the same grant, no new one.
    let (again, was_known) = client.checkout_again(&asked).expect("it lives").expect("known");
    assert!(was_known && again.bundle == held.bundle);
    let given = granted(client.checkin(held.sessions[0].0, 1));
    assert_eq!((given.count, given.remaining), (1, 2));
    granted(client.checkin(held.sessions[0].0, 0));
    assert_eq!(run(&mut client, "cad", "1.2", "2013-01-01"), "maintenance_expired");
    assert_eq!(run(&mut client, "cad", "1.0.9", "2013-01-01"), "granted");
}

/// Seats and last release day of the two pools, in the order of trial: the one that covers less first.
const POOLS: [(u32, &str); 2] = [(5, "2012-03-31"), (10, "2013-03-31")];
/// Version, and when it was released; 1.0 is owned.
const BUILDS: [(&str, &str); 4] =
    [("1.0", "2010-01-01"), ("1.1", "2012-03-31"), ("1.2", "2012-04-01"), ("1.3", "2013-04-01")];

/// Rules 3, 6.7: what is refused is refused because no seat that covers it is free, and the refusal says so.
#[test]
fn no_covered_client_is_refused_while_a_covered_seat_is_free() {
    let mut random = Random(seed());
    let pool = |kind: &str, at: usize| {
        let (count, end) = POOLS[at];
        feature("cad", &format!("{kind} COUNT=\"{count}\" VERSION=\"1.0\" MAINTENANCE_END=\"{end}\""))
    };
    let site = Site::with(&[pool("KEYTYPE=\"ADDITIVE\" SN=\"old\"", 0), pool("SN=\"new\"", 1)]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let (mut used, mut held) = ([0_u32; 2], Vec::<(usize, u32, Held)>::new());
    let mut codes = std::collections::BTreeMap::<String, u32>::new();
    for round in 0..1_500 {
        // More is taken than given back, so that the pools are full half of the time.
        if !held.is_empty() && random.within(1, 9) <= 4 {
            let last = i64::try_from(held.len() - 1).expect("few");
            let at = usize::try_from(random.within(0, last)).expect("within the list");
            let (pool, count, seat) = held.swap_remove(at);
            client.give_back(&seat);
            used[pool] -= count;
        } else {
            // The second pool alone covers 1.2: it is asked for most, so that the other one's seats are of no use to it.
            let (version, released) = *random.one_of(&[&BUILDS[..], &[BUILDS[2]; 3]].concat());
            let count = *random.one_of(&[1, 1, 1, 2]);
            let covers = |at: usize| version == "1.0" || released <= POOLS[at].1;
            let free = |at: usize| POOLS[at].0 - used[at];
            let expected = match (0..2).find(|at| covers(*at) && free(*at) >= count) {
                Some(pool) => Ok(pool),
                None if !covers(0) && !covers(1) => Err("maintenance_expired"),
                None if (0..2).any(|at| !covers(at) && free(at) > 0) => Err("no_covered_seat"),
                None => Err("no_seats"),
            };
            let context = || format!("round {round}: {count} of {version}, {used:?} in use");
            match (take(&mut client, &program("cad", count, version, released)), expected) {
                (Ok(seat), Ok(pool)) => {
                    used[pool] += count;
                    held.push((pool, count, seat));
                    *codes.entry("granted".into()).or_default() += 1;
                }
                (Err(code), Err(expected)) => {
                    assert_eq!(code, expected, "{}", context());
                    *codes.entry(code).or_default() += 1;
                }
                (found, expected) => panic!("{}: {found:?}, not {expected:?}", context()),
            }
        }
    }
    println!("{codes:?}");
    for code in ["granted", "maintenance_expired", "no_covered_seat", "no_seats"] {
        assert!(codes.get(code).is_some_and(|times| *times >= 5), "{code} was not tried: {codes:?}");
    }
    // And pool by pool, as an administrator sees it.
    let status = json(&daemon, &["status"]);
    let shown = |end: &str| {
        let pools = status["features"][0]["pools"].as_array().expect("a list");
        let pool = pools.iter().find(|pool| pool["maintenance"]["end"] == end);
        pool.unwrap_or_else(|| panic!("{end}: {status}"))["used"].as_u64()
    };
    assert_eq!([shown(POOLS[0].1), shown(POOLS[1].1)], used.map(|used| Some(used.into())));
}
