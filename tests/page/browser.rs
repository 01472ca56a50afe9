//! Headless Chromium over its DevTools protocol: JSON on one WebSocket. Whatever a page says on its console, throws, or asks
//! for is kept.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::common::require;
use crate::real::{PATIENCE, until};

/// The longest wait for an answer of the browser.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A running browser. Dropped, it is killed.
pub(crate) struct Browser {
    child: Child,
    profile: TempDir,
    address: SocketAddr,
    path: String,
}

/// One page of it.
pub(crate) struct Page {
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    /// What it wrote on the console at the levels warning and error, what it threw, what the browser said of it.
    pub(crate) complaints: Vec<String>,
    /// Every address that was asked for.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// `None`: it is not installed (tests/common).
    pub(crate) fn start() -> Option<Browser> {
        let program = require("chromium")?;
        let profile = TempDir::with_prefix("seatkeeper-page-").expect("a temporary directory");
        let child = Command::new(program)
            // Tests run as root in CI, where Chromium's sandbox does not; what it shows is ours.
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--force-color-profile=srgb", "--lang=en-US", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("TZ", "America/New_York")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        let mut browser =
            Browser { child, profile, address: SocketAddr::from(([127, 0, 0, 1], 0)), path: String::new() };
        let (port, path) = until("chromium says where it listens", || {
            let text = std::fs::read_to_string(browser.profile.path().join("DevToolsActivePort")).ok()?;
            let (port, path) = text.trim().split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.to_owned()))
        });
        browser.address.set_port(port);
        browser.path = path;
        Some(browser)
    }

    /// A new page, which shows nothing yet.
    pub(crate) fn page(&self) -> Page {
        let stream = TcpStream::connect(self.address).expect("chromium takes a connection");
        stream.set_nodelay(true).expect("an option");
        let url = format!("ws://{}{}", self.address, self.path);
        let (socket, _) = tungstenite::client(url, stream).expect("chromium speaks WebSocket");
        let mut page =
            Page { socket, session: String::new(), calls: 0, complaints: Vec::new(), requests: Vec::new() };
        // Answers are looked for at least so often, so that no wait is longer than it says.
        page.socket.get_ref().set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            page.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        page.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network", "Performance"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.size(1_200, 900);
        page
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Page {
    /// Calls a method of the protocol and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket.send(Message::text(message.to_string())).expect("chromium is there");
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < ANSWER_TIME, "no answer to {method}");
            let Some(message) = self.receive() else { continue };
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// What came next, if anything did within a tenth of a second; events are looked at on the way.
    fn receive(&mut self) -> Option<Value> {
        let text = match self.socket.read() {
            Ok(Message::Text(text)) => text,
            Ok(_) => return None,
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                return None;
            }
            Err(error) => panic!("chromium is gone: {error}"),
        };
        let message: Value = serde_json::from_str(&text).expect("JSON");
        let of = &message["params"];
        match message["method"].as_str().unwrap_or("") {
            "Runtime.consoleAPICalled"
                if matches!(of["type"].as_str(), Some("error" | "warning" | "assert")) =>
            {
                self.complaints.push(format!("console: {}", of["args"]));
            }
            "Runtime.exceptionThrown" => self.complaints.push(format!("thrown: {}", of["exceptionDetails"])),
            "Log.entryAdded" if matches!(of["entry"]["level"].as_str(), Some("error" | "warning")) => {
                self.complaints.push(format!("log: {}", of["entry"]));
            }
            "Network.requestWillBeSent" => {
                self.requests.push(of["request"]["url"].as_str().unwrap_or("?").to_owned());
            }
            _ => {}
        }
        Some(message)
    }

    /// Shows the page of a daemon.
    pub(crate) fn go(&mut self, http: SocketAddr) {
        self.call("Page.navigate", json!({"url": format!("http://{http}/")}));
        self.until("the page is loaded", "document.readyState === 'complete' && document.title !== ''");
    }

    /// The value of an expression; of a promise, what comes of it.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, what: &str, expression: &str) {
        let begun = Instant::now();
        while self.eval(expression) != Value::Bool(true) {
            if begun.elapsed() > PATIENCE {
                let text = self.text();
                panic!("not within {PATIENCE:?}: {what}\n{:?}\n{text}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What can be read on it.
    pub(crate) fn text(&mut self) -> String {
        self.eval("document.body.innerText").as_str().unwrap_or("").to_owned()
    }

    /// Waits until this can be read on it.
    pub(crate) fn until_text(&mut self, text: &str) {
        let text = Value::from(text).to_string();
        self.until(&format!("{text} is shown"), &format!("document.body.innerText.includes({text})"));
    }

    /// The window's size in CSS pixels.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    pub(crate) fn dark(&mut self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// Presses a key and lets it go: `Tab`, `Enter`, ` `.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            " " => (32, " "),
            other => panic!("{other} is not a key of these tests"),
        };
        let down = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for kind in [down, "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// The bytes of its JavaScript heap and the nodes of its documents that are not garbage.
    pub(crate) fn size_in_memory(&mut self) -> (f64, f64) {
        for _ in 0..3 {
            self.call("HeapProfiler.collectGarbage", json!({}));
        }
        let metrics = self.call("Performance.getMetrics", json!({}));
        let metric = |name: &str| {
            let found = metrics["metrics"].as_array().expect("metrics").iter().find(|m| m["name"] == name);
            found.and_then(|m| m["value"].as_f64()).expect("a number")
        };
        (metric("JSHeapUsedSize"), metric("Nodes"))
    }

    /// A picture of the window, PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        use base64::Engine as _;
        let shot = self.call("Page.captureScreenshot", json!({"format": "png", "optimizeForSpeed": false}));
        base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().expect("data"))
            .expect("base64")
    }

    /// Fails where the page complained of anything, or asked anybody but this server.
    pub(crate) fn assert_clean(&mut self, http: SocketAddr) {
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
        let ours = format!("http://{http}/");
        let others: Vec<_> =
            self.requests.iter().filter(|url| !url.starts_with(&ours) && *url != "about:blank").collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(self.requests.len() > 10, "{:?}", self.requests);
    }
}
