//! What a history of a million events weighs, how fast it is written, and how long questions take.
//!
//! ```text
//! cargo bench --bench history -- [--short] [--rounds N]
//! ```
//!
//! One JSON line for each figure. A year of a site: 500,000 sessions of 200 users on 20 features, each an event that it began and
//! one that it ended, and a denial for each fifty. `--short` or `SEATKEEPER_BENCH_SHORT=1` takes twenty thousand events. The file
//! lies in `target/tmp`, or in `SEATKEEPER_BENCH_DIR`. Days are summed as they pass, within the time of writing.
//!
//! Asked are `usage`, the day views, and every question of docs/HISTORY.md. Bounds, in the same rounds: the same bytes in as many
//! plain writes, the file read once from its beginning to its end, and SQLite counting the rows of its two large tables.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use common::{Random, Result, Scale, median, say, spread, tenths};
use seatkeeper::clock::{Zone, rfc3339_ms};
use seatkeeper::events::what::{Release, Seats, SessionDenied, SessionEnded, SessionGranted, Who};
use seatkeeper::events::{Event, What};
use seatkeeper::history::store::{Item, Store};
use seatkeeper::history::usage::{By, Question, usage};
use serde_json::json;

/// 2030-01-01T00:00:00Z.
const START: i64 = 1_893_456_000_000;
const YEAR: u64 = 365 * 86_400_000;
/// As the daemon writes them.
const BATCH: usize = 4_096;

fn main() -> Result<()> {
    let scale = Scale::from_arguments(&[], "benches/history.rs")?;
    say(&json!({ "bench": "history", "machine": common::machine(), "rounds": scale.rounds }))?;
    let items = events(if scale.is_short { 10_000 } else { 500_000 });
    let now = START + YEAR as i64;
    let directory = common::directory()?;
    let path = directory.path().join("history.sqlite");
    let (mut written, mut bytes, mut plain) = (Vec::new(), 0, Vec::new());
    for _ in 0..scale.rounds {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(directory.path().join(format!("history.sqlite{end}")));
        }
        let started = Instant::now();
        let mut store = Store::open(&path, "bench", Zone::utc(), START)?;
        for batch in items.chunks(BATCH) {
            let at = batch.iter().rev().find_map(|item| match item {
                Item::Event(event) => Some(event.unix_ms),
                Item::Missed(_) => None,
            });
            let at = at.unwrap_or(now);
            store.write(batch, at)?;
            store.sum(at - 60_000)?;
        }
        drop(store);
        written.push(items.len() as f64 / started.elapsed().as_secs_f64());
        bytes = fs::metadata(&path)?.len();
        plain.push(items.len() as f64 / plain_writes(directory.path(), bytes, items.len())?);
    }
    say(&json!({
        "figure": "write", "events": items.len(), "events_per_second": tenths(median(&written)), "spread": spread(&written),
        "bytes": bytes, "bytes_per_event": tenths(bytes as f64 / items.len() as f64),
        "plain_writes_per_second": tenths(median(&plain)),
    }))?;
    let day = |text: &str| text.parse().ok();
    let month = |by| Question { by, from: day("2030-06-01"), to: day("2030-06-30"), ..Question::default() };
    let year = |by| Question { by, from: day("2030-01-01"), to: day("2030-12-31"), ..Question::default() };
    let mut asks: Vec<(String, Ask)> = vec![
        ("bound: file read once".into(), Box::new(|| read_once(&path))),
        (
            "bound: rows of events counted".into(),
            sql(&path, "SELECT count(*) FROM events NOT INDEXED".into())?,
        ),
        ("bound: rows of spans counted".into(), sql(&path, "SELECT count(*) FROM spans NOT INDEXED".into())?),
    ];
    for (name, question) in [
        ("usage of a month by feature", month(By::Feature)),
        ("usage of a month by user", month(By::User)),
        ("usage of a month by host", month(By::Host)),
        ("usage of a year by feature", year(By::Feature)),
        ("usage of a year by user", year(By::User)),
    ] {
        let path = &path;
        let ask = move || Ok(usage(path, &question, &Zone::utc(), now)?.usage.len() as u64);
        asks.push((name.into(), Box::new(ask)));
    }
    for view in ["feature_days", "user_days", "denial_days", "span_days"] {
        let of = format!("SELECT * FROM {view} WHERE day BETWEEN '2030-06-01' AND '2030-06-30'");
        asks.push((format!("{view} of a month"), sql(&path, of)?));
    }
    let page = include_str!("../docs/HISTORY.md");
    for (before, rest) in page.split("```sql\n").zip(page.split("```sql\n").skip(1)) {
        let name = before.trim_end().lines().last().unwrap_or_default().trim_end_matches(':');
        let block = rest.split("```").next().unwrap_or_default();
        // Its days and its feature are those of this file.
        let block = block.replace("'now'", "'2030-12-31'").replace("'cad'", "'feature7'");
        asks.push((format!("HISTORY.md: {name}"), sql(&path, block)?));
    }
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); asks.len()];
    let mut rows = vec![0; asks.len()];
    // In turns, so that what else the machine does falls on all of them.
    for _ in 0..scale.rounds {
        for (at, (_, ask)) in asks.iter_mut().enumerate() {
            let started = Instant::now();
            rows[at] = ask()?;
            took[at].push(started.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    for (at, (name, _)) in asks.iter().enumerate() {
        let (ms, spread) = (tenths(median(&took[at])), spread(&took[at]));
        let of_scan = tenths(median(&took[at]) / median(&took[2]));
        say(
            &json!({ "figure": name, "ms": ms, "spread": spread, "of_count_of_spans": of_scan, "rows": rows[at] }),
        )?;
    }
    Ok(())
}

/// Asks once; how many rows, or bytes, came.
type Ask<'a> = Box<dyn FnMut() -> Result<u64> + 'a>;

fn read_once(path: &Path) -> Result<u64> {
    let mut file = fs::File::open(path)?;
    let (mut buffer, mut bytes) = (vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            n => bytes += n as u64,
        }
    }
}

/// A statement, over a connection of its own, as somebody with a shell would ask it.
fn sql(path: &Path, statement: String) -> Result<Ask<'static>> {
    let connection = rusqlite::Connection::open(path)?;
    Ok(Box::new(move || {
        let mut statement = connection.prepare(&statement)?;
        let mut rows = statement.query([])?;
        let mut found = 0;
        while rows.next()?.is_some() {
            found += 1;
        }
        Ok(found)
    }))
}

/// The seconds that so many bytes take in as many writes as there are transactions.
fn plain_writes(directory: &Path, bytes: u64, events: usize) -> Result<f64> {
    let path = directory.join("plain");
    let mut file = fs::File::create(&path)?;
    let batches = events.div_ceil(BATCH);
    let batch = vec![b'x'; usize::try_from(bytes)? / batches];
    let started = Instant::now();
    for _ in 0..batches {
        file.write_all(&batch)?;
    }
    let took = started.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(took)
}

fn events(sessions: u64) -> Vec<Item> {
    let mut random = Random(1);
    let mut below = |most: u64| random.number() % most;
    let mut all: Vec<(i64, What)> = Vec::new();
    for session in 0..sessions {
        let since = START + (session * YEAR / sessions) as i64;
        let (user, feature) = (below(200), below(20));
        let until = since + 60_000 + below(8 * 3_600_000) as i64;
        let who = Who {
            user: Some(format!("user{user}")),
            host: Some(format!("ws{user}.example.com")),
            address: Some(format!("192.0.2.{user}")),
            pid: Some(4_711),
            project: None,
        };
        let release =
            Release { release_version: Some("4.2".into()), release_date: Some("2030-05-02".into()) };
        let of = Seats {
            session: format!("{session:013}"),
            bundle: format!("{session:013}"),
            vendor: "ACME".into(),
            feature: format!("feature{feature}"),
            key_type: "EXCLUSIVE".into(),
            seats: 1,
            release: release.clone(),
            who: who.clone(),
            ..Seats::default()
        };
        if session % 50 == 0 {
            let denied = SessionDenied {
                code: "no_seats".into(),
                message: Some("all 16 seats are in use".into()),
                vendor: Some("ACME".into()),
                feature: of.feature.clone(),
                wanted: 1,
                who,
                release,
                ..SessionDenied::default()
            };
            all.push((since, denied.into()));
        }
        all.push((since, SessionGranted { of: of.clone(), ..SessionGranted::default() }.into()));
        let held_ms = (until - since) as u64;
        let cause = "checked_in".to_owned();
        let since = Some(rfc3339_ms(since));
        all.push((until, SessionEnded { of, cause, since, held_ms, ..SessionEnded::default() }.into()));
    }
    all.sort_by_key(|(at, _)| *at);
    let event = |(nth, (at, what)): (usize, (i64, What))| {
        Item::Event(Event { seq: nth as u64 + 1, run: "bench".into(), at: rfc3339_ms(at), unix_ms: at, what })
    };
    all.into_iter().enumerate().map(event).collect()
}
