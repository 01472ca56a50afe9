//! What Prometheus makes of it: Debian's own scrapes the daemon, loads the rules and answers the dashboard's questions
//! (docs/monitoring).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::common::require;
use crate::plain::{get, start};
use crate::real::site::{Site, exclusive, feature};
use crate::real::until;

fn monitoring() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring")
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(monitoring().join("grafana.json")).expect("a dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// Every question of the dashboard, its own and those of its panels.
fn questions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let asked: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(asked.len() >= 10, "{asked:?}");
    let filled = |expr: &str| {
        expr.replace("$__rate_interval", "5m")
            .replace("$instance", ".*")
            .replace("$app", ".*")
            .replace("$name", ".*")
    };
    asked.into_iter().map(filled).collect()
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(promtool) = require("promtool") else { return };
    let site = Site::with(&[exclusive("cad", 3), feature("a-b_c", "VERSION=\"1.0\" COUNT=\"UNLIMITED\"")]);
    let (daemon, http) = start(&site);
    let _held = daemon.connect().checkout(&[("cad", 1)]).unwrap();
    let page = get(http, "/metrics");
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(page.body.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr) + String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.is_empty(), "{said}\n{}", page.body);
}

#[test]
fn promtool_takes_the_rules_and_their_tests() {
    let Some(promtool) = require("promtool") else { return };
    for words in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let checked = Command::new(&promtool).args(words).current_dir(monitoring()).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{words:?}: {said}");
    }
}

/// Every name in the rules and the dashboard is one that is served.
#[test]
fn rules_and_dashboard_ask_for_nothing_that_is_not_there() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (_daemon, http) = start(&site);
    let metrics = get(http, "/metrics").body;
    let rules = std::fs::read_to_string(monitoring().join("alerts.yml")).unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for text in [rules, questions(&dashboard()).join("\n")] {
        let names = text.split(|c| !is_name(c)).filter(|name| name.starts_with("seatkeeper_"));
        for name in names {
            let base = name.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
            assert!(metrics.contains(&format!("# TYPE {base} ")), "{name}");
        }
    }
}

/// A Prometheus of our own. Dropped, it is killed.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &PathBuf, scraped: SocketAddr) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n  - job_name: seatkeeper\n    static_configs: [{{targets: ['{scraped}']}}]\n",
            monitoring().join("alerts.yml").display()
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("prometheus ended: {said}") };
            let told: Value = serde_json::from_str(&line).unwrap_or_default();
            if told["msg"] == "Listening on" {
                break told["address"].as_str().unwrap().parse().unwrap();
            }
            said += &line;
        };
        // Read on, or it would wait for us.
        std::thread::spawn(move || lines.count());
        Prometheus { child, address, _directory: directory }
    }

    fn ask(&self, path: &str) -> Option<Value> {
        let page = get(self.address, path);
        (page.status == 200).then(|| serde_json::from_str(&page.body).unwrap())
    }

    fn query(&self, expr: &str) -> Option<Vec<Value>> {
        let escaped: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.ask(&format!("/api/v1/query?query={escaped}"))?;
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        answer["data"]["result"].as_array().cloned()
    }
}

#[test]
fn prometheus_scrapes_the_daemon_and_answers_the_dashboard() {
    let Some(program) = require("prometheus") else { return };
    let site = Site::with(&[exclusive("cad", 3), exclusive("mesh", 2)]);
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    let held: Vec<_> = (0..3).map(|_| client.checkout(&[("cad", 1)]).unwrap()).collect();
    client.checkout(&[("cad", 1)]).unwrap_err();
    let prometheus = Prometheus::start(&program, http);
    let value = |expr: &str| {
        let result = prometheus.query(expr)?;
        let text = result.first()?["value"][1].as_str()?.to_owned();
        (result.len() == 1).then_some(text)
    };
    until("the seats are seen", || {
        (value("seatkeeper_feature_used{app=\"ACME\",name=\"cad\",version=\"9.9\"}")? == "3").then_some(())
    });
    assert_eq!(value("up{job=\"seatkeeper\"}").as_deref(), Some("1"));
    assert_eq!(value("seatkeeper_denials_total{reason=\"no_seats\"}").as_deref(), Some("1"));
    assert_eq!(value("seatkeeper_feature_expiration_seconds{name=\"cad\"}").as_deref(), Some("+Inf"));
    client.give_back(&held[0]);
    until("the seat that came back is seen", || {
        (value("seatkeeper_feature_free{name=\"cad\"}")? == "1").then_some(())
    });
    let rules = until("the rules were looked at", || {
        let rules = prometheus.ask("/api/v1/rules")?;
        let all = rules["data"]["groups"][0]["rules"].as_array()?.clone();
        all.iter().all(|rule| rule["health"] == "ok").then_some(all)
    });
    assert!(rules.len() > 5 && rules.iter().all(|rule| rule["state"] != "firing"), "{rules:?}");
    for question in questions(&dashboard()) {
        until(&format!("an answer to {question}"), || {
            prometheus.query(&question).filter(|result| !result.is_empty()).map(drop)
        });
    }
}
