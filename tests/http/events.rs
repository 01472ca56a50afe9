//! `/api/v1/events` as a reader meets it: in order, once, from where it was, and only what it may see.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use seatkeeper::http::connections::{REQUEST_TIME, STALL_TIME};
use seatkeeper::http::events::{DENIALS_MAX, FOLLOWERS_MAX, KEEP_ALIVE};
use serde_json::Value;

use crate::plain::{ask, connect, get, start, start_at};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};
use crate::real::{until, within};
use crate::schema::Schemas;

/// One block of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    event: String,
    id: String,
    data: Value,
}

/// A stream of events.
struct Stream {
    lines: BufReader<TcpStream>,
    /// What is left of the chunk.
    left: usize,
    /// The id that was stated last, with or without an event.
    last_id: String,
    comments: usize,
}

impl Stream {
    fn open(http: SocketAddr, path: &str, headers: &str) -> Stream {
        let mut stream = connect(http);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {http}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream =
            Stream { lines: BufReader::new(stream), left: 0, last_id: String::new(), comments: 0 };
        let head: Vec<String> =
            std::iter::from_fn(|| Some(stream.raw_line()).filter(|line| !line.is_empty())).collect();
        assert!(head[0].starts_with("HTTP/1.1 200"), "{head:?}");
        let head = head.join("\n").to_ascii_lowercase();
        assert!(
            head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"),
            "{head}"
        );
        stream
    }

    fn raw_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line in time");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// A line of the body; `None`: it has ended.
    fn line(&mut self) -> Option<String> {
        if self.left == 0 {
            let length = self.raw_line();
            self.left = usize::from_str_radix(&length, 16).ok().filter(|&length| length > 0)?;
        }
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).expect("a line in time");
        self.left = self.left.checked_sub(line.len()).expect("no line goes over two chunks");
        if self.left == 0 {
            assert_eq!(self.raw_line(), "");
        }
        Some(String::from_utf8(line).expect("text").trim_end_matches('\n').to_owned())
    }

    /// The next block with data; comments and places alone are passed over.
    fn next(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let line = self.line()?;
            match line.split_once(": ").unwrap_or((&line, "")) {
                ("id", id) => {
                    (block.id, self.last_id) = (id.into(), id.into());
                }
                ("event", name) => block.event = name.into(),
                ("data", data) => block.data = serde_json::from_str(data).expect("JSON"),
                ("", "") if block.data.is_null() => block = Block::default(),
                ("", "") => return Some(block),
                ("", _) => self.comments += 1,
                ("retry", ms) => assert_eq!(ms.parse::<u32>(), Ok(2_000)),
                other => panic!("{other:?} is no field of an event"),
            }
        }
    }

    /// The next so many kinds.
    fn kinds(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| self.next().expect("an event").data["kind"].as_str().expect("a kind").to_owned())
            .collect()
    }
}

/// Waits until what a start brings is told: the day, and after it the total of cad.
fn await_start(http: SocketAddr) {
    let mut stream = Stream::open(http, "/api/v1/events?after=0&feature=cad", "");
    assert_eq!(stream.kinds(1), ["pool.changed"]);
}

fn denied(daemon: &Daemon, times: usize) {
    let mut client = daemon.connect();
    for _ in 0..times {
        client.checkout(&[("nothing-like-it", 1)]).unwrap_err();
    }
}

#[test]
fn what_happens_is_told_once_and_goes_on_where_a_reader_stopped() {
    let site = Site::with(&[exclusive("cad", 3), exclusive("plot", 3)]);
    let (daemon, http) = start(&site);
    await_start(http);
    let mut stream = Stream::open(http, "/api/v1/events?feature=cad", "");
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 2)]).unwrap();
    client.give_back(&held);
    client.checkout(&[("cad", 4)]).unwrap_err();
    let granted = stream.next().unwrap();
    assert_eq!(
        (granted.data["kind"].as_str(), granted.data["user"].as_str()),
        (Some("session.granted"), Some("ann"))
    );
    let (run, seq) = granted.id.split_once(':').unwrap();
    assert_eq!((granted.data["run"].as_str(), granted.data["seq"].to_string().as_str()), (Some(run), seq));
    assert_eq!(stream.kinds(1), ["session.ended"]);
    let stopped_at = stream.last_id.clone();
    let told = stream.next().unwrap();
    assert_eq!(told.data["code"], "no_seats");
    drop(stream);

    // It comes back as a browser does, and as a program may.
    client.checkout(&[("plot", 1)]).unwrap();
    for (path, headers) in [
        ("/api/v1/events?after=0".to_owned(), format!("Last-Event-ID: {stopped_at}\r\n")),
        (format!("/api/v1/events?after={stopped_at}"), String::new()),
        (format!("/api/v1/events?after={}", stopped_at.split_once(':').unwrap().1), String::new()),
    ] {
        let mut again = Stream::open(http, &path, &headers);
        assert_eq!(again.next(), Some(told.clone()), "{path}");
        assert_eq!(again.kinds(1), ["session.granted"], "{path}");
    }
    // About one feature, or one vendor.
    let mut plot = Stream::open(http, "/api/v1/events?after=0&feature=PLOT", "");
    assert_eq!(plot.next().unwrap().data["feature"], "plot");
    let mut other = Stream::open(http, "/api/v1/events?after=0&vendor=other", "");
    let mut all = Stream::open(http, "/api/v1/events?after=0&vendor=acme", "");
    // A change of the total of each of the two features comes first.
    assert!(all.next().is_some());
    client.checkout(&[("plot", 1)]).unwrap();
    assert_eq!(plot.kinds(1), ["session.granted"]);
    assert!(other.lines.get_ref().set_read_timeout(Some(Duration::from_millis(300))).is_ok());
    while let Ok(Some(line)) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.line())) {
        assert!(!line.starts_with("data:"), "{line}");
    }
}

#[test]
fn what_is_no_place_or_no_name_is_refused_in_words() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (_daemon, http) = start(&site);
    for query in ["after=x", "after=1:x", "feature=a%00b", "colour=red", "after=-1"] {
        let page = get(http, &format!("/api/v1/events?{query}"));
        assert_eq!((page.status, page.body.lines().count()), (400, 1), "{query}: {}", page.body);
    }
    assert_eq!(ask(http, "GET", "/api/v1/events", "Last-Event-ID: nowhere\r\n").status, 400);
}

#[test]
fn over_a_restart_and_over_what_is_forgotten_a_reader_is_told_that_it_missed_something() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (mut daemon, http) = start(&site);
    denied(&daemon, 1);
    let mut stream = Stream::open(http, "/api/v1/events?after=0", "");
    let before =
        std::iter::from_fn(|| stream.next()).find(|block| block.data["kind"] == "session.denied").unwrap();
    // A stop is told, and then the stream ends as a stream should.
    assert_eq!(daemon.terminate(), Some(0));
    let last: Vec<_> = std::iter::from_fn(|| stream.next()).collect();
    assert_eq!(last.last().unwrap().data["kind"], "server.stopping", "{last:?}");
    let (daemon, http) = start(&site);
    let mut stream = Stream::open(http, "/api/v1/events", &format!("Last-Event-ID: {}\r\n", before.id));
    let reset = stream.next().unwrap();
    assert_eq!(reset.event, "reset");
    assert_ne!(reset.data["run"], before.data["run"]);
    assert_eq!(stream.kinds(1), ["server.started"]);
    drop(stream);

    // More than is remembered, in one go: the first of it is gone. Events come a moment after the answers.
    denied(&daemon, seatkeeper::events::REMEMBERED + 10);
    until("all are told", || {
        let told: Value = serde_json::from_str(&get(http, "/api/v1/denials").body).unwrap();
        (told["last"].as_u64()? > seatkeeper::events::REMEMBERED as u64 + 10).then_some(())
    });
    let mut stream = Stream::open(http, "/api/v1/events?after=1", "");
    let gap = stream.next().unwrap();
    assert_eq!(gap.event, "gap");
    let missed = gap.data["missed"].as_u64().unwrap();
    let next = stream.next().unwrap();
    assert_eq!(next.data["seq"].as_u64().unwrap(), 1 + missed + 1);

    // The denials are there at once, the last of them, and from where to go on.
    let list: Value = serde_json::from_str(&get(http, "/api/v1/denials").body).unwrap();
    assert_eq!(Schemas::read().check("events", &list), Ok(()));
    let told = list["events"].as_array().unwrap();
    assert_eq!((told.len(), &told[DENIALS_MAX - 1]["seq"]), (DENIALS_MAX, &list["last"]));
    assert!(told[0]["message"].as_str().unwrap().contains("nothing-like-it"));
}

#[test]
fn who_may_see_counts_sees_events_without_names() {
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure("readers = \"counts\"");
    let (daemon, http) = start(&site);
    let _held = daemon.connect().checkout(&[("cad", 2)]).unwrap();
    daemon.connect().checkout(&[("cad", 2)]).unwrap_err();
    let mut stream = Stream::open(http, "/api/v1/events?after=0&feature=cad", "");
    let mut seen = Vec::new();
    while !seen.iter().any(|block: &Block| block.data["kind"] == "session.denied") {
        seen.push(stream.next().unwrap());
    }
    let seen = format!("{seen:?}{}", get(http, "/api/v1/denials").body);
    assert!(seen.contains("no_seats") && seen.contains("session.granted"), "{seen}");
    for secret in ["ann", "ws7", "cad.xml", "127.0.0.1"] {
        assert!(!seen.contains(secret), "{secret}: {seen}");
    }
    assert_eq!(get(http, "/api/v1/queue").status, 403);
}

#[test]
fn where_the_administrator_alone_reads_nothing_is_told() {
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure("readers = \"admin\"");
    let (_daemon, http) = start(&site);
    for path in ["/api/v1/events", "/api/v1/denials", "/api/v1/queue", "/api/v1/usage/day?feature=cad"] {
        let page = get(http, path);
        assert_eq!(page.status, 403, "{path}: {}", page.body);
    }
}

#[test]
fn a_token_is_needed_for_what_is_told_and_not_for_the_page_that_asks_for_it() {
    let site = Site::with(&[exclusive("cad", 3)]);
    site.configure("http_token_file = \"token\"");
    std::fs::write(site.path().join("token"), "correct-horse-battery-staple\n").unwrap();
    let (_daemon, http) = start_at(&site, "0.0.0.0:0");
    for path in ["/api/v1/events", "/api/v1/denials", "/api/v1/queue", "/api/v1/usage/day?feature=cad"] {
        assert_eq!(get(http, path).status, 401, "{path}");
    }
    assert_eq!((get(http, "/").status, get(http, "/page/app.js").status), (200, 200));
    let right = "Authorization: Bearer correct-horse-battery-staple\r\n";
    drop(Stream::open(http, "/api/v1/events", right));
}

#[test]
fn a_quiet_stream_lives_longer_than_a_request_may_take_and_places_are_given_back() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (daemon, http) = start(&site);
    await_start(http);
    let path = "/api/v1/events?feature=cad";
    let mut streams: Vec<_> = (0..FOLLOWERS_MAX).map(|_| Stream::open(http, path, "")).collect();
    let page = get(http, "/api/v1/events");
    assert_eq!(page.status, 503);
    assert!(page.body.contains("as many as are taken"), "{}", page.body);
    // Others are answered all the same.
    assert_eq!(get(http, "/api/v1/status").status, 200);

    // Nothing of it happens for longer than any limit of a request, only other things; then the server says that it is there.
    let quiet = &mut streams[0];
    quiet.lines.get_ref().set_read_timeout(Some(KEEP_ALIVE + Duration::from_secs(20))).unwrap();
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(60) {
                denied(&daemon, 1);
                // A stream of news, and not more than so many followers are told in a debug build.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // The first is the greeting.
        while quiet.comments < 2 {
            let line = quiet.line().expect("it goes on");
            assert!(!line.starts_with("data"), "{line}");
            quiet.comments += usize::from(line.starts_with(':'));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(begun.elapsed() > REQUEST_TIME.max(STALL_TIME), "{:?}", begun.elapsed());
    let mut client = daemon.connect();
    client.checkout(&[("cad", 1)]).unwrap();
    for stream in &mut streams {
        assert_eq!(stream.kinds(1), ["session.granted"]);
    }
    streams.clear();
    until("a place is free again", || {
        // One whose reader is gone is noticed when it is written to.
        let held = client.checkout(&[("cad", 1)]).unwrap();
        client.give_back(&held);
        let mut stream = connect(http);
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: {http}\r\n\r\n").ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_reader_that_does_not_read_is_cut_off() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    let mut slow = connect(http);
    write!(slow, "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: {http}\r\n\r\n").unwrap();
    // More than the buffers of two sockets hold, each answered before the next: nobody waits for the slow one.
    let long = "x".repeat(100);
    let begun = Instant::now();
    let cut = within(STALL_TIME + Duration::from_secs(60), || {
        for _ in 0..500 {
            client.checkout(&[(long.as_str(), 1)]).unwrap_err();
        }
        slow.write_all(b" ").err()
    });
    assert!(cut.is_some(), "still there after {:?}", begun.elapsed());
    assert_eq!(get(http, "/healthz").status, 200);
}

#[test]
fn the_last_day_of_a_feature_comes_from_the_history() {
    let site = Site::with(&[exclusive("cad", 5)]);
    site.configure("[history]\nenabled = true");
    let (daemon, http) = start(&site);
    let mut client = daemon.connect();
    let _held = client.checkout(&[("cad", 3)]).unwrap();
    let more = client.checkout(&[("cad", 1)]).unwrap();
    client.give_back(&more);
    let day = until("the history has them", || {
        let page = get(http, "/api/v1/usage/day?feature=CAD&vendor=acme");
        let day: Value = serde_json::from_str(&page.body).ok()?;
        let peaks: Vec<_> = day["peaks"].as_array()?.iter().map(Value::as_u64).collect();
        (peaks.iter().flatten().max() == Some(&4)).then_some((day, peaks))
    });
    let (day, peaks) = day;
    let schemas = Schemas::read();
    assert_eq!(schemas.check_by("usage", schemas.part("usage", "day"), &day, "day"), Ok(()));
    assert_eq!((peaks.len(), &day["step_seconds"]), (288, &300.into()));
    assert_eq!(peaks[0], None, "yesterday there was no history");
    // At a border between two steps the last one has three.
    assert!(peaks[287] == Some(4) || peaks[286..] == [Some(4), Some(3)], "{:?}", &peaks[280..]);
    assert_eq!(get(http, "/api/v1/usage/day").status, 400);
    assert_eq!(get(http, "/api/v1/usage/day?feature=other").status, 200);
    site.configure("[history]\nenabled = false");
    drop(daemon);
    let (_daemon, http) = start(&site);
    for path in ["/api/v1/usage/day?feature=cad", "/api/v1/usage"] {
        let page = get(http, path);
        assert_eq!((page.status, page.body.contains("keeps no history")), (404, true), "{}", page.body);
    }
}

#[test]
fn the_page_is_told_to_load_nothing_from_elsewhere_and_is_sent_once() {
    let site = Site::with(&[exclusive("cad", 3)]);
    let (_daemon, http) = start(&site);
    let page = get(http, "/");
    assert_eq!((page.status, page.headers["content-type"].as_str()), (200, "text/html; charset=utf-8"));
    let policy = &page.headers["content-security-policy"];
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    // Everything it names is there, is named by its type, and is not sent again to who has it.
    let names = page.body.split('"').filter(|part| part.starts_with("page/"));
    let names: Vec<String> = names.map(|name| format!("/{name}")).chain(["/".into()]).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let file = get(http, &name);
        assert_eq!((file.status, file.headers["cache-control"].as_str()), (200, "no-cache"), "{name}");
        let tag = &file.headers["etag"];
        let again = ask(http, "GET", &name, &format!("If-None-Match: \"other\", {tag}\r\n"));
        assert_eq!((again.status, again.body.len(), &again.headers["etag"]), (304, 0, tag), "{name}");
        assert_eq!(ask(http, "GET", &name, "If-None-Match: \"other\"\r\n").status, 200, "{name}");
    }
    for path in ["/page/", "/page/../routes.rs", "/page/nothing.js", "/page/uplot/LICENSE"] {
        assert_eq!(get(http, path).status, 404, "{path}");
    }
}
