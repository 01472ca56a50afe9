//! `/metrics`: the names of interfaces.md 5, from the features that `status` shows, so that both always agree, and from what
//! is counted (`src/counts`).
//!
//! However many ask, it is made once in [`METRICS_MS`], and compressed once for those who take it so: a thousand features are
//! almost a megabyte, and a hundred scrapes a second of that would cost the machine more than making it. What licenses say is
//! kept until they or the day change. Families come one after the other and each goes over all features, so the features are
//! read once into rows, a few hundred at a time with others in between; the text of few features is kept for whoever asks
//! next, that of many is written while it is read.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use chrono::NaiveDate;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use seats::catalog::Catalog;
use seats::evaluate::evaluate;
use seats::ledger::FirstCheckouts;
use tokio::sync::Mutex;

use super::Http;
use super::text::{self, Kind, float};
use crate::engine::picture::Picture;
use crate::report::Feature;
use crate::server::reports::Refusal;
use crate::server::reports::metrics::{in_use_at, licensed, places};

/// For how long a text is good, in milliseconds; where making it takes long, four times as long as that took. Scrapers come every
/// few seconds: what they see is not older for it.
pub const METRICS_MS: u64 = 250;
/// So many features are read before others get their turn: less than a millisecond of work.
const FEATURES_AT_ONCE: usize = 250;
/// Up to so many features the text is kept: some ten megabytes.
const FEATURES_KEPT: usize = 10_000;
/// How much of a longer text is written at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A family of numbers by feature.
struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

/// How many there are. Named: of `FAMILIES.len()` in a type an optimizing compiler (1.95 and later) makes a cycle.
const FAMILIES_COUNT: usize = 12;
/// In the order of [`Row::values`].
const FAMILIES: [Family; FAMILIES_COUNT] = [
    gauge("seatkeeper_feature_issued", "Seats that the licenses grant today; +Inf: without bound."),
    gauge("seatkeeper_feature_used", "Seats in use, those of suspects and borrowed ones included."),
    gauge("seatkeeper_feature_free", "Seats that anybody could have now; +Inf: without bound."),
    gauge("seatkeeper_feature_held", "Seats given back and not yet free."),
    gauge("seatkeeper_feature_suspect", "Seats in use by clients that are silent or gone."),
    gauge("seatkeeper_feature_borrowed", "Seats lent for offline use."),
    gauge("seatkeeper_feature_reserved", "Seats kept for others and not in use."),
    gauge("seatkeeper_feature_queued", "Requests that wait for a seat."),
    gauge("seatkeeper_feature_upgrade_issued", "The part of the seats issued that upgrades add."),
    gauge(
        "seatkeeper_feature_expiration_seconds",
        "When the license that grants, or granted last, no longer counts, Unix time; +Inf: it is permanent.",
    ),
    gauge(
        "seatkeeper_feature_maintenance_end_seconds",
        "When maintenance is over, Unix time; absent where the license states none.",
    ),
    Family {
        name: "seatkeeper_feature_denials_total",
        kind: Kind::Counter,
        help: "Checkouts of the feature that were refused since the start.",
    },
];

/// The numbers of a feature.
#[derive(Debug)]
struct Row {
    labels: Arc<str>,
    values: [Option<f64>; FAMILIES_COUNT],
}

/// What was made last.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Until which tick it is good, exclusive, and what.
    last: Option<(u64, Exposition)>,
    /// How long the last text was: the next is about the same.
    bytes: usize,
    licenses: Option<Licenses>,
}

/// What licenses say, which changes with them, with the day and with first checkouts alone.
#[derive(Debug)]
struct Licenses {
    catalog: Arc<Catalog>,
    day: NaiveDate,
    first_checkouts: Arc<FirstCheckouts>,
    /// For each feature of the catalog.
    features: Vec<Licensed>,
    /// How many licenses are in which state, labels and number.
    by_state: Vec<(Box<str>, u64)>,
}

/// What the licenses of a feature say.
#[derive(Debug)]
struct Licensed {
    labels: Arc<str>,
    upgrades: f64,
    /// Unix time, or infinite.
    expiration: f64,
    /// The license that is in force, or that was last, has no end, or none any more: a subscription that goes on with its fallback
    /// version grants.
    has_no_end: bool,
    maintenance_end: Option<f64>,
}

#[derive(Clone, Debug)]
enum Exposition {
    Text {
        plain: Bytes,
        /// The same by gzip, once somebody has asked for it.
        packed: Option<Bytes>,
    },
    /// What stands before the features, and these.
    Rows(Bytes, Arc<Vec<Row>>),
}

impl Metrics {
    /// The text, or where it comes from; `takes_gzip`: it may be compressed.
    pub(super) async fn scrape(&self, http: &Http, takes_gzip: bool) -> Result<Scraped, Refusal> {
        // One makes it, and the others wait for it.
        let mut state = self.state.lock().await;
        let tick = || http.server.context.clock.tick().0;
        let begun = tick();
        if let Some((until, exposition)) = &mut state.last
            && begun < *until
        {
            return Ok(exposition.scraped(takes_gzip));
        }
        let picture = http.pictures.latest(&http.server).await?;
        let licenses = Licenses::of(state.licenses.take(), http, &picture).await;
        let rows = rows(http, &picture, &licenses.features).await;
        let mut out = String::with_capacity(state.bytes);
        server(&mut out, http, &picture, &licenses.by_state);
        state.licenses = Some(licenses);
        let mut exposition = if rows.len() <= FEATURES_KEPT {
            let mut place = (0, 0);
            while write(&rows, &mut place, &mut out) {}
            state.bytes = out.len();
            Exposition::Text { plain: out.into(), packed: None }
        } else {
            Exposition::Rows(out.into(), Arc::new(rows))
        };
        let scraped = exposition.scraped(takes_gzip);
        // As long as its picture is shown to others, so that metrics and status agree.
        let making_ms = tick().saturating_sub(begun);
        let until = picture.tick + METRICS_MS.max(4 * making_ms);
        if http.pictures.keep(&picture, until).await {
            state.last = Some((until, exposition));
        }
        Ok(scraped)
    }
}

/// What a scraper gets.
pub(super) struct Scraped {
    pub(super) body: Body,
    pub(super) is_gzip: bool,
}

impl Exposition {
    fn scraped(&mut self, takes_gzip: bool) -> Scraped {
        match self {
            Exposition::Text { plain, packed } if takes_gzip => {
                match packed.clone().or_else(|| gzip(plain)) {
                    Some(bytes) => {
                        *packed = Some(bytes.clone());
                        Scraped { body: bytes.into(), is_gzip: true }
                    }
                    None => Scraped { body: plain.clone().into(), is_gzip: false },
                }
            }
            _ => Scraped { body: self.body(), is_gzip: false },
        }
    }

    fn body(&self) -> Body {
        match self {
            Exposition::Text { plain, .. } => plain.clone().into(),
            Exposition::Rows(head, rows) => {
                let begin = (Some(head.clone()), rows.clone(), (0, 0));
                Body::from_stream(stream::unfold(begin, |(head, rows, mut place)| async move {
                    if let Some(head) = head {
                        return Some((Ok::<_, std::io::Error>(head), (None, rows, place)));
                    }
                    let mut chunk = String::with_capacity(CHUNK_BYTES + 512);
                    while chunk.len() < CHUNK_BYTES && write(&rows, &mut place, &mut chunk) {}
                    (!chunk.is_empty()).then(|| (Ok(chunk.into()), (None, rows, place)))
                }))
            }
        }
    }
}

/// Fast rather than small: most of a text is the same in each of its lines. `None`, which memory never is: it cannot be written.
fn gzip(text: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).and_then(|()| encoder.finish()).ok().map(Bytes::from)
}

/// Writes the next line; `place` is the family and the row. `false`: there is none.
fn write(rows: &[Row], place: &mut (usize, usize), out: &mut String) -> bool {
    let Some(Family { name, kind, help }) = FAMILIES.get(place.0) else { return false };
    if place.1 == 0 {
        text::head(out, name, kind.as_str(), help);
    }
    match rows.get(place.1) {
        Some(row) => {
            if let Some(value) = row.values[place.0] {
                text::number(out, name, &row.labels, value);
            }
            place.1 += 1;
        }
        None => *place = (place.0 + 1, 0),
    }
    true
}

async fn rows(http: &Http, picture: &Picture, licensed: &[Licensed]) -> Vec<Row> {
    let all = places(picture);
    let mut rows = Vec::with_capacity(all);
    let nothing = |feature: &Feature| Licensed {
        labels: labels(feature),
        upgrades: 0.0,
        expiration: f64::INFINITY,
        has_no_end: true,
        maintenance_end: None,
    };
    for from in (0..all).step_by(FEATURES_AT_ONCE) {
        for at in from..all.min(from + FEATURES_AT_ONCE) {
            let Some(feature) = in_use_at(picture, at) else { continue };
            rows.push(match licensed.get(at) {
                Some(licensed) => row(http, &feature, licensed),
                None => row(http, &feature, &nothing(&feature)),
            });
        }
        tokio::task::yield_now().await;
    }
    rows
}

fn row(http: &Http, feature: &Feature, licensed: &Licensed) -> Row {
    let bounded = |seats: Option<u64>| Some(seats.map_or(f64::INFINITY, float));
    let is_permanent = licensed.has_no_end && feature.total != Some(0);
    let (denials, _) = http.server.counts.by_feature.of(&feature.vendor, &feature.name);
    Row {
        labels: licensed.labels.clone(),
        values: [
            bounded(feature.total),
            Some(float(feature.used)),
            bounded(feature.free),
            Some(float(feature.held)),
            Some(float(feature.suspect)),
            Some(float(feature.borrowed)),
            Some(float(feature.reserved)),
            Some(float(feature.queued)),
            Some(licensed.upgrades),
            Some(if is_permanent { f64::INFINITY } else { licensed.expiration }),
            licensed.maintenance_end,
            Some(float(denials)),
        ],
    }
}

/// Those of a feature.
fn labels(feature: &Feature) -> Arc<str> {
    let mut labels = String::new();
    text::label(&mut labels, "app", &feature.vendor);
    text::label(&mut labels, "name", &feature.name);
    text::label(&mut labels, "version", feature.version.as_deref().unwrap_or(""));
    labels.into()
}

/// Unix milliseconds as Prometheus has time.
#[allow(clippy::cast_precision_loss, reason = "the format has nothing else; exact beyond the year 280000")]
fn seconds(unix_ms: i64) -> f64 {
    unix_ms as f64 / 1_000.0
}

/// What is not of a feature.
fn server(out: &mut String, http: &Http, picture: &Picture, licenses: &[(Box<str>, u64)]) {
    use Kind::{Counter, Gauge};
    let (counts, zone) = (&http.server.counts, http.server.context.clock.zone());
    text::head(out, "seatkeeper_build_info", "gauge", "1, with the version as a label.");
    text::number(out, "seatkeeper_build_info", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1.0);
    let mut gauge = |name, help, value| text::single(out, name, Gauge, help, value);
    gauge("seatkeeper_sessions", "Sessions there are.", float(picture.sessions as u64));
    gauge(
        "seatkeeper_connections",
        "Connections of clients and administrators.",
        float(picture.connections as u64),
    );
    gauge(
        "seatkeeper_clock_suspect",
        "1: the clock is behind the highest day served, and licenses with dates give no new seats.",
        f64::from(u8::from(picture.clock.as_str() == "suspect")),
    );
    gauge(
        "seatkeeper_midnight_timestamp_seconds",
        "The next midnight that changes what is served, Unix time.",
        seconds(zone.end_instant(picture.day)),
    );
    gauge(
        "seatkeeper_reload_success_timestamp_seconds",
        "When license files were last taken in, at the start or because they changed or somebody asked, Unix time.",
        seconds(counts.reload_success_unix_ms()),
    );
    let (name, help) = (
        "seatkeeper_reload_failures_total",
        "Reloads that left something out: a license file with a new problem, or a bad policy.",
    );
    text::single(out, name, Counter, help, float(counts.reload_failures()));
    let help = "Licenses in the directory, by whether they count and why not.";
    text::head(out, "seatkeeper_licenses", "gauge", help);
    for (labels, licenses) in licenses {
        text::number(out, "seatkeeper_licenses", labels, float(*licenses));
    }
    let help = "Sessions begun since the start.";
    text::single(out, "seatkeeper_checkouts_total", Counter, help, float(counts.checkouts()));
    let help = "Sessions ended since the start, by cause.";
    text::by_label(out, "seatkeeper_checkins_total", Counter, help, "cause", counts.checkins());
    let help = "Checkouts refused since the start, by code.";
    text::by_label(out, "seatkeeper_denials_total", Counter, help, "reason", counts.denials());
    let help =
        "Denials that no grant to the same user made good within five minutes, counted when these are over.";
    text::single(
        out,
        "seatkeeper_true_denials_total",
        Counter,
        help,
        float(counts.by_feature.true_denials()),
    );
    let help = "Messages of peers that broke the protocol, by what was wrong.";
    text::by_label(
        out,
        "seatkeeper_protocol_errors_total",
        Counter,
        help,
        "detail",
        counts.protocol_errors(),
    );
    let help = "From a checkout's arrival to its answer, the sync of the journal included.";
    text::histogram(out, "seatkeeper_checkout_duration_seconds", help, &counts.checkout_duration);
    let help = "For how long those waited who got their seats from the queue.";
    text::histogram(out, "seatkeeper_queue_wait_seconds", help, &counts.queue_wait);
    let help = "One write and one sync of the journal.";
    text::histogram(out, "seatkeeper_journal_sync_seconds", help, &counts.journal_sync);
}

impl Licenses {
    /// Those of a picture, or what is known of them.
    async fn of(known: Option<Licenses>, http: &Http, picture: &Picture) -> Licenses {
        let is_so = |known: &Licenses| {
            known.day == picture.day
                && Arc::ptr_eq(&known.catalog, &picture.catalog)
                && Arc::ptr_eq(&known.first_checkouts, &picture.first_checkouts)
        };
        if let Some(known) = known.filter(is_so) {
            return known;
        }
        let zone = http.server.context.clock.zone();
        let mut ends = BTreeMap::new();
        let mut end = |day: NaiveDate| *ends.entry(day).or_insert_with(|| seconds(zone.end_instant(day)));
        let mut by_state: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let listed = picture.catalog.features();
        let mut features = Vec::with_capacity(listed.len());
        for (at, feature) in listed.iter().enumerate() {
            let evaluation = evaluate(feature, picture.day);
            for standing in &evaluation.standings {
                let reason = standing.reason.map_or("", |reason| reason.as_str());
                *by_state.entry((standing.state.as_str(), reason)).or_default() += 1;
            }
            let licensed = licensed(zone, feature, &evaluation, picture);
            features.push(Licensed {
                labels: labels(&licensed),
                upgrades: float(licensed.upgrades),
                expiration: licensed.end.map_or(f64::INFINITY, &mut end),
                has_no_end: licensed.ends_at.is_none(),
                maintenance_end: licensed.maintenance_ends.map(&mut end),
            });
            if (at + 1) % FEATURES_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let labelled = |((state, reason), licenses): ((&str, &str), u64)| {
            let mut labels = String::new();
            text::label(&mut labels, "state", state);
            text::label(&mut labels, "reason", reason);
            (labels.into(), licenses)
        };
        Licenses {
            catalog: picture.catalog.clone(),
            day: picture.day,
            first_checkouts: picture.first_checkouts.clone(),
            features,
            by_state: by_state.into_iter().map(labelled).collect(),
        }
    }
}
