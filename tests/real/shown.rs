//! What the command line shows of a daemon with a policy, pools, tokens and holds (S4, S6, S53, L51, L60 to L62).

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use wire::request;

use crate::real::client::{Client, Held, asking, facts};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, feature};

const POLICY: &str = "[groups.users]\nnight = [\"nora\"]\n\n[[rule]]\nfeature = \"cad\"\ndeny = { users = [\"eve\"] }\n\n\
     [[rule]]\nfeature = \"cad\"\nlimit = 2\nper = \"user\"\n\n\
     [[rule]]\nfeature = \"cad\"\nreserve = 2\nfor = { groups = [\"night\"] }\n";

/// cad has an exclusive pool of four and an additive one of two for Linux, viewer is shared, suite takes two of sim.
fn site() -> Site {
    let suite = "  <FEATURE NAME=\"suite\">\n    <SETTING KEYTYPE=\"TOKEN\"/>\n    \
         <SETTING TOKEN_DEPENDENCY=\"FEATURE=sim VERSION=1.0 COUNT=2\"/>\n  </FEATURE>\n";
    let site = Site::with(&[
        feature("cad", "VERSION=\"9.9\" COUNT=\"4\" HOLD=\"3600\" SOFTLIMIT=\"1\""),
        feature("cad", "KEYTYPE=\"ADDITIVE\" COUNT=\"2\" SN=\"more\" PLATFORMS=\"linux\""),
        feature("viewer", "COUNT=\"1\" SHARE=\"HOST\""),
        feature("sim", "COUNT=\"4\""),
        suite.to_owned(),
    ]);
    fs::write(site.path().join("policy.toml"), POLICY).expect("a policy");
    site.configure("policy = \"policy.toml\"");
    site
}

/// The exit code and what is printed, over the administrator's socket.
pub(crate) fn seatkeeper(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(words)
        .arg("--admin")
        .arg(daemon.admin_path())
        .env_remove("SEATKEEPER_SERVER")
        .output()
        .expect("the command runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.is_empty(), "{words:?}: {error}");
    assert!(words.contains(&"--json") || text.lines().all(|line| line.chars().count() <= 80), "{text}");
    (output.status.code().expect("it exits"), text)
}

pub(crate) fn json(daemon: &Daemon, words: &[&str]) -> Value {
    let (_, text) = seatkeeper(daemon, &[words, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

fn take(client: &mut Client, user: &str, host: &str, items: &[(&str, u32)]) -> Held {
    let mut asked = asking(items);
    asked.facts = request::Facts { host: host.into(), ..facts(user) };
    client.checkout_again(&asked).expect("the connection lives").expect("a grant").0
}

#[test]
fn why_tells_an_administrator_everything_about_a_user_at_his_desk() {
    let (site, why) = (site(), |words: &str| {
        ["why"].into_iter().chain(words.split(' ')).map(str::to_owned).collect::<Vec<_>>()
    });
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let ask = |words: &str| {
        let words = why(words);
        seatkeeper(&daemon, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let (code, text) = ask("ann cad --host ws1 --version 4.2");
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("yes: ann on ws1 would get 1 seat of ACME/cad"), "{text}");
    assert!(text.contains("user ann: 0 of 2 in use; policy.toml:"), "{text}");
    assert!(text.contains("for others: 2 seats, 0 in use, 2 left; policy.toml:"), "{text}");
    assert!(text.contains("assumed: no address, platform, project, day of release"), "{text}");

    let (code, text) = ask("EVE cad --version 4.2");
    assert_eq!(code, 75);
    assert!(text.starts_with("no: ") && text.contains("(denied_by_rule)\n"), "{text}");
    assert!(text.contains("policy: denied by policy.toml:4: "), "{text}");

    // Whoever has his two seats hears of the limit.
    take(&mut client, "ann", "ws1", &[("cad", 2)]);
    let (code, text) = ask("ann cad --host ws1 --version 4.2");
    assert_eq!(code, 75);
    assert!(text.contains("(limit_user)") && text.contains("user ann has 2 of at most 2 seats"), "{text}");
    assert!(
        text.lines().any(|line| line.contains("ann") && line.contains("ws1") && line.ends_with("0")
            || line.trim_start().starts_with("ann ")),
        "who has seats: {text}"
    );

    // What another pool's terms ask for and nobody said is no plain no.
    let answer = json(&daemon, &["why", "bob", "cad", "--count", "2", "--version", "4.2"]);
    assert_eq!(answer["granted"], false, "two are taken, two are reserved: {answer}");
    let pools = answer["pools"].as_array().expect("pools");
    assert_eq!(pools.len(), 2, "{answer}");
    assert_eq!(
        (&pools[1]["key_type"], &pools[1]["code"]),
        (&json!("ADDITIVE"), &json!("platform")),
        "{answer}"
    );
    let (code, text) = ask("bob cad --count 2 --version 4.2");
    assert_eq!(code, 75);
    assert!(text.starts_with("it depends: ") && text.contains("say which platform"), "{text}");
    let (code, text) = ask("bob cad --count 2 --version 4.2 --platform linux-x86_64");
    assert_eq!(code, 0, "the additive's two: {text}");

    // The seats of who has gone are held, and the answer says until when.
    let bob = take(&mut client, "bob", "ws2", &[("cad", 1)]);
    client.give_back(&bob);
    let answer = json(&daemon, &["why", "cy", "cad", "--count", "3", "--version", "4.2"]);
    assert_eq!(
        (&answer["held"][0]["user"], &answer["held"][0]["seats"]),
        (&json!("bob"), &json!(1)),
        "{answer}"
    );

    let (code, text) = ask("ann cax");
    assert!(code == 75 && text.contains("(unknown_feature)"), "{text}");
}

#[test]
fn status_shows_every_pool_and_sessions_what_is_unusual_about_them() {
    let site = site();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    take(&mut client, "ann", "ws1", &[("cad", 2)]);
    let bob = take(&mut client, "bob", "ws2", &[("cad", 1)]);
    client.give_back(&bob);
    let suite = take(&mut client, "ann", "ws1", &[("suite", 1)]);
    take(&mut client, "ann", "ws1", &[("viewer", 1)]);
    take(&mut client, "bob", "ws1", &[("viewer", 1)]);

    let whole = json(&daemon, &["status"]);
    let find = |name: &str| {
        let list = whole["features"].as_array().expect("features");
        list.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("no {name}: {whole}")).clone()
    };
    let cad = find("cad");
    // S6: 6 = 4 + 2; two used, one held, two kept for the night shift.
    let sums: Vec<&Value> = ["total", "base", "additives", "used", "held", "reserved", "free", "over"]
        .iter()
        .map(|name| &cad[*name])
        .collect();
    assert_eq!(json!(sums), json!([6, 4, 2, 2, 1, 2, 1, 0]), "{cad}");
    assert_eq!((&cad["soft_limit"], &cad["tokens"]), (&json!(1), &Value::Null));
    let pools = cad["pools"].as_array().expect("pools");
    let kinds: Vec<&Value> = pools.iter().map(|pool| &pool["key_type"]).collect();
    assert_eq!(json!(kinds), json!(["EXCLUSIVE", "ADDITIVE"]), "the order of trial: {cad}");
    assert_eq!((&pools[0]["held"], &pools[0]["soft_limit"]), (&json!(1), &json!(1)), "{cad}");
    assert!(pools[0]["held_until"].is_string() && pools[1]["held_until"].is_null(), "{cad}");
    assert_eq!((&pools[1]["sn"], &pools[1]["licenses"][0]["sn"]), (&json!("more"), &json!("more")));
    let (suite_row, sim) = (find("suite"), find("sim"));
    assert_eq!(
        (&suite_row["tokens"], &suite_row["total"], &suite_row["used"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!((&sim["used"], &sim["free"]), (&json!(2), &json!(2)), "what the token took");
    assert_eq!(find("viewer")["used"], json!(1), "one seat for both");

    let (_, text) = seatkeeper(&daemon, &["status"]);
    for row in ["  additive more", "TOKENS", "HELD", "RESERVED"] {
        assert!(text.contains(row), "{row}: {text}");
    }
    let sessions = json(&daemon, &["sessions"]);
    let of = |name: &str| {
        let list = sessions["sessions"].as_array().expect("sessions");
        list.iter().filter(|s| s["feature"] == name).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("cad")[0]["above_soft_limit"], true);
    assert!(of("viewer").iter().all(|s| s["shared"] == true), "{sessions}");
    assert_eq!(of("sim")[0]["token"], of("suite")[0]["id"], "{sessions}");
    let (_, text) = seatkeeper(&daemon, &["sessions", "sim"]);
    assert!(text.contains("NOTE") && text.contains("for token "), "{text}");
    client.give_back(&suite);
}

#[test]
fn sessions_outlive_every_license_of_their_feature_and_stay_in_sight() {
    let site = site();
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    take(&mut client, "ann", "ws1", &[("viewer", 1)]);
    for entry in fs::read_dir(site.licenses()).expect("the licenses") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    let (code, _) = seatkeeper(&daemon, &["reload"]);
    assert_eq!(code, 0);
    let whole = json(&daemon, &["status"]);
    let features = whole["features"].as_array().expect("features");
    assert_eq!(features.len(), 1, "{whole}");
    let viewer = &features[0];
    assert_eq!((&viewer["total"], &viewer["used"], &viewer["over"]), (&json!(0), &json!(1), &json!(1)));
    assert_eq!((&viewer["pools"][0]["used"], &viewer["pools"][0]["licenses"]), (&json!(1), &json!([])));
    assert_eq!(whole["sessions"].as_array().map(Vec::len), Some(1));
}

/// On a terminal, which `script` of util-linux plays, trouble is red; the words are those of a pipe. Nothing is colored where
/// nobody looks, or where somebody wants none.
#[test]
fn status_has_colors_on_a_terminal_only() {
    let site = Site::with(&[feature("cad", "COUNT=\"1\"")]);
    let daemon = Daemon::start(&site);
    let mut client = daemon.connect();
    let _held = take(&mut client, "王小明", "ws7", &[("cad", 1)]);
    let line =
        format!("'{}' status --admin '{}'", env!("CARGO_BIN_EXE_seatkeeper"), daemon.admin_path().display());
    let shown = |envs: &[(&str, &str)], on_terminal: bool| {
        let mut command = if on_terminal { Command::new("script") } else { Command::new("sh") };
        command.args(if on_terminal { vec!["-qec", &line, "/dev/null"] } else { vec!["-c", &line] });
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(name);
        }
        let output = command.env("TERM", "xterm").envs(envs.iter().copied()).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text").replace('\r', "")
    };
    let plain = shown(&[], false);
    assert!(plain.contains("nothing is free of:\n  ACME/cad: 王小明 on ws7 1 seat since "), "{plain}");
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let colored = shown(&[], true);
    assert!(colored.contains("\u{1b}["), "{colored:?}");
    let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(words(&anstream::adapter::strip_str(&colored).to_string()), words(&plain));
    assert_eq!(shown(&[("NO_COLOR", "1")], true), plain);
    assert_eq!(shown(&[("TERM", "dumb")], true), plain);
    assert_eq!(shown(&[("CLICOLOR_FORCE", "1")], false), colored);
}
