//! The program that ships against the daemon that ships: agreement with its JSON, symlinks, readers of counts, no server,
//! and the parsers of license-manager-agent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use wire::request;

use crate::common::require;
use crate::real::client::{Client, Held, asking, facts};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature};

const PROGRAM: &str = env!("CARGO_BIN_EXE_seatkeeper");

/// cad has a pool of four and an additive one of two, viewer is shared, suite takes two of sim, forever is unbounded.
fn site() -> Site {
    let suite = "  <FEATURE NAME=\"suite\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=sim VERSION=1.0 COUNT=2\"/>\n  </FEATURE>\n";
    Site::with(&[
        feature("cad", "VERSION=\"9.9\" COUNT=\"4\" START=\"2011-02-28\" END=\"2096-02-29\""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" VERSION=\"9.9\" COUNT=\"2\" SN=\"more\""),
        feature("viewer", "VERSION=\"9.9\" COUNT=\"1\" SHARE=\"CUSTOM\""),
        feature("sim", "VERSION=\"9.9\" COUNT=\"4\""),
        feature("forever", "VERSION=\"9.9\" COUNT=\"UNLIMITED\""),
        suite.to_owned(),
    ])
}

fn take(client: &mut Client, user: &str, items: &[(&str, u32)], share: Option<&str>) -> Held {
    let mut asked = asking(items);
    let host = format!("host-of-{}", user.split_whitespace().next().unwrap_or("nobody"));
    asked.facts = request::Facts { host, ..facts(user) };
    asked.share = share.map(Into::into);
    client.checkout_again(&asked).expect("the connection lives").expect("a grant").0
}

fn run(program: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(words)
        .env_remove("SEATKEEPER_SERVER")
        .env_remove("SEATKEEPER_ADMIN")
        .env("TZ", "Europe/Berlin");
    command.output().expect("it runs")
}

fn text(program: &Path, words: &[&str]) -> String {
    let output = run(program, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The names that monitoring calls, beside each other in a directory.
fn links(directory: &Path) -> [PathBuf; 3] {
    ["lmxendutil", "lmutil", "lmstat"].map(|name| {
        let link = directory.join(name);
        std::os::unix::fs::symlink(PROGRAM, &link).expect("a symlink");
        link
    })
}

fn busy(daemon: &Daemon) -> Client {
    let mut client = daemon.connect();
    take(&mut client, "ann", &[("cad", 3)], None);
    take(&mut client, "John Doe", &[("cad", 1)], None);
    take(&mut client, "bob", &[("cad", 2)], None);
    take(&mut client, "ann", &[("viewer", 1)], Some("job 7"));
    take(&mut client, "bob", &[("viewer", 1)], Some("job 7"));
    take(&mut client, "cy", &[("suite", 1)], None);
    take(&mut client, "cy\u{2028}900 license(s) used by x@y [1.2.3.4]", &[("forever", 5)], None);
    daemon.await_used("forever", 5);
    client
}

#[test]
fn both_outputs_agree_with_the_status_of_the_same_server() {
    let site = site();
    let daemon = Daemon::start(&site);
    let client = busy(&daemon);
    let (program, port) = (Path::new(PROGRAM), daemon.address().port());
    let place = format!("{port}@127.0.0.1");
    let status: Value = serde_json::from_str(&text(
        program,
        &["status", "--json", "--server", &daemon.address().to_string()],
    ))
    .expect("JSON");
    let licstat =
        text(program, &["lmxendutil", "-licstat", "-host", "127.0.0.1", "-port", &port.to_string()]);
    let xml = text(program, &["lmxendutil", "-licstatxml", "-host", "127.0.0.1", "-port", &port.to_string()]);
    let lmstat = text(program, &["lmutil", "lmstat", "-a", "-c", &place]);

    let features = status["features"].as_array().expect("features");
    assert_eq!(features.len(), 5, "{status}");
    for f in features {
        let name = f["name"].as_str().expect("a name");
        let is_token = !f["tokens"].is_null();
        let used = if is_token { &f["tokens"] } else { &f["used"] };
        let total =
            if is_token || f["unlimited"] == true { json!(2_147_483_647) } else { f["total"].clone() };
        let colon = if *used == 0 { "" } else { ":" };
        let (_, rest) = licstat.split_once(&format!("Feature: {name} Version: ")).expect(name);
        let line = rest.lines().find(|line| line.contains(" license(s) used")).expect("numbers");
        assert_eq!(line, format!("{used} of {total} license(s) used{colon}"), "{name}: {licstat}");
        let (_, rest) = xml.split_once(&format!("<FEATURE NAME=\"{name}\" ")).expect(name);
        let tag = rest.lines().next().expect("a tag");
        assert!(
            tag.contains(&format!(" USED_LICENSES=\"{used}\" TOTAL_LICENSES=\"{total}\" ")),
            "{name}: {tag}"
        );
        let numbers = if total == 2_147_483_647 {
            "(Uncounted, node-locked)".to_owned()
        } else {
            format!("(Total of {total} licenses issued;  Total of {used} licenses in use)")
        };
        assert!(lmstat.contains(&format!("Users of {name}:  {numbers}\n")), "{name}: {lmstat}");
    }
    assert!(licstat.contains("\nStart date: 2011-02-28 Expire date: 2096-02-29\n"), "{licstat}");
    assert!(licstat.contains("    Shared on custom string: job_7\n"), "{licstat}");
    assert!(xml.contains(" SHARE_CUSTOM=\"job 7\"/>"), "{xml}");
    assert!(lmstat.contains(", vendor: ACME, expiry: 29-feb-2096\n"), "{lmstat}");
    let inventory = text(program, &["lmutil", "lmstat", "-i", "-c", &place]);
    assert_eq!(inventory.lines().filter(|l| l.starts_with("cad ")).count(), 2, "{inventory}");
    assert!(!inventory.contains("Users of"), "{inventory}");
    drop(client);
}

#[test]
fn a_symlink_answers_as_the_tool_whose_name_it_has() {
    let site = site();
    let daemon = Daemon::start(&site);
    let client = busy(&daemon);
    let [lmxendutil, lmutil, lmstat] = links(site.path());
    let place = format!("{}@127.0.0.1", daemon.address().port());
    let port = daemon.address().port().to_string();
    let licstat = text(&lmxendutil, &["-licstat", "-host", "127.0.0.1", "-port", &port]);
    assert!(licstat.contains(&format!("\nLM-X License Server on {place}:\n")), "{licstat}");
    let usage = |text: String| text.split_once("Feature usage info:").expect("usage").1.to_owned();
    let one = usage(text(&lmutil, &["lmstat", "-a", "-c", &place]));
    assert_eq!(one, usage(text(&lmstat, &["-a", "-c", &place])));
    // The first that answers counts.
    assert_eq!(one, usage(text(&lmstat, &["-a", "-c", &format!("1@127.0.0.1:{place}")])));
    drop(client);
}

#[test]
fn a_reader_of_counts_gets_numbers_and_nobody() {
    let site = site();
    site.configure("readers = \"counts\"");
    let daemon = Daemon::start(&site);
    let client = busy(&daemon);
    let (program, port) = (Path::new(PROGRAM), daemon.address().port());
    let place = format!("{port}@127.0.0.1");
    let licstat = text(program, &["lmxendutil", "-licstat", "-port", &port.to_string()]);
    let lmstat = text(program, &["lmutil", "lmstat", "-a", "-c", &place]);
    assert!(licstat.contains("\n6 of 6 license(s) used:\n") && !licstat.contains("ann"), "{licstat}");
    assert!(
        lmstat.contains("Users of cad:  (Total of 6 licenses issued;  Total of 6 licenses in use)\n"),
        "{lmstat}"
    );
    assert!(!lmstat.contains(", start ") && lmstat.contains("expiry: 29-feb-2096"), "{lmstat}");
    drop(client);
}

#[test]
fn without_a_server_the_output_says_why_and_the_exit_code_is_not_zero() {
    // A port that was free a moment ago.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    drop(taken);
    let program = Path::new(PROGRAM);
    let output =
        run(program, &["lmxendutil", "-licstatxml", "-host", "127.0.0.1", "-port", &port.to_string()]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(
        stdout.contains("STATUS=\"no license server answers: ") && !stdout.contains("SUCCESS"),
        "{stdout}"
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 3, "the banner: {output:?}");
    let output = run(program, &["lmutil", "lmstat", "-a", "-c", &format!("{port}@127.0.0.1")]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(
        stdout.contains("Error getting status: Cannot connect to license server system. (-15,"),
        "{stdout}"
    );
    let output = run(program, &["lmutil", "lmstat", "-z"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}

/// What a parser of license-manager-agent makes of an output.
fn parsed(python: &Path, parser: &str, output: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/lm_agent_parsers.py");
    let mut command = Command::new(python);
    command.arg(script).arg(parser).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("python");
    child.stdin.take().expect("a pipe").write_all(output.as_bytes()).expect("read");
    let done = child.wait_with_output().expect("its answer");
    assert!(done.status.success(), "{parser}: {output}");
    serde_json::from_slice(&done.stdout).expect("JSON")
}

#[test]
fn license_manager_agent_reads_what_its_servers_would_say() {
    let Some(python) = require("license-manager-agent") else { return };
    let site = site();
    let daemon = Daemon::start(&site);
    let client = busy(&daemon);
    let program = Path::new(PROGRAM);
    let (port, place) =
        (daemon.address().port().to_string(), format!("{}@127.0.0.1", daemon.address().port()));

    // As it calls them: server_interfaces/lmx.py and flexlm.py of the package.
    let lmx = parsed(
        &python,
        "lmx",
        &text(program, &["lmxendutil", "-licstat", "-host", "127.0.0.1", "-port", &port]),
    );
    let booked = |user: &str, booked: u32| {
        let host = format!("host-of-{}", user.split('_').next().unwrap_or_default());
        json!({"user_name":user,"lead_host":host,"booked":booked})
    };
    assert_eq!(
        lmx["cad"],
        json!({"used":6,"total":6,"uses":[booked("ann", 3), booked("John_Doe", 1), booked("bob", 2)]}),
        "{lmx}"
    );
    assert_eq!((&lmx["viewer"]["used"], &lmx["viewer"]["total"]), (&json!(1), &json!(1)), "{lmx}");
    assert_eq!(lmx["sim"]["used"], 2, "what the token took: {lmx}");
    assert_eq!(lmx["forever"]["uses"].as_array().map(Vec::len), Some(1), "one forged none: {lmx}");
    assert_eq!(
        (&lmx["forever"]["used"], &lmx["forever"]["total"]),
        (&json!(5), &json!(2_147_483_647)),
        "{lmx}"
    );

    let flexlm = |feature: &str| {
        parsed(&python, "flexlm", &text(program, &["lmutil", "lmstat", "-c", &place, "-f", feature]))
    };
    let cad = flexlm("cad");
    assert_eq!(cad["total"], json!({"total":6,"used":6,"feature":"cad"}));
    // It knows lines of several licenses only: with the tool itself, too.
    assert_eq!(cad["uses"], json!([booked("ann", 3), booked("bob", 2)]), "{cad}");
    assert_eq!(flexlm("viewer")["total"], json!({"total":1,"used":1,"feature":"viewer"}), "no singular");
    assert_eq!(flexlm("nothing")["total"], Value::Null);
    drop(client);
}
