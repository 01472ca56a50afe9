//! Sessions by the million, made as the daemon makes them: asked of a real engine over a real journal.

use std::path::Path;
use std::sync::Arc;

use chrono::NaiveDate;
use seatkeeper::clock::{Reading, Ticks};
use seatkeeper::engine::Engine;
use seatkeeper::engine::ask::{Answer, Ask, Event, Outbox, Request};
use seatkeeper::engine::record::StateFold;
use seatkeeper::hostid::HostFacts;
use seatkeeper::journal::{Options, RealDisk};
use seatkeeper::licenses::{Loader, LoaderConfig, TrustedKey};
use seatkeeper::state::StateDir;
use seats::catalog::Catalog;
use seats::ledger::{ConnectionId, Ledger, Patience};
use seats::request::{Checkout, Facts, Item, NameRules};

use crate::common::licenses::{Licenses, feature};
use crate::common::{Random, Result};

/// Programs that have the sessions: different users on different machines.
pub const PROGRAMS: usize = 10_000;
/// Asks of a step, as the engine's thread takes them.
const STEP: usize = 4_096;

/// The first day served, and its first instant in UTC.
pub const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 30).expect("a day of the calendar");
const DAY_MS: i64 = 1_782_777_600_000;

/// The clock at a tick, that many days after [`DAY`].
pub fn reading(tick: u64, days: u32) -> Reading {
    let today = DAY + chrono::Days::new(days.into());
    Reading { tick: Ticks(tick), unix_ms: DAY_MS + i64::from(days) * 86_400_000 + tick as i64, today }
}

/// A connection that takes everything and says nothing.
#[derive(Debug)]
pub struct Mute(pub ConnectionId);

impl Outbox for Mute {
    fn id(&self) -> ConnectionId {
        self.0
    }

    fn heard(&self) -> u64 {
        0
    }

    fn idle_ms(&self, _: u64) -> Option<u64> {
        None
    }

    fn answer(&self, _: u32, answer: &Answer) {
        assert!(matches!(answer, Answer::Granted(..)), "a checkout was not granted: {answer:?}");
    }

    fn event(&self, _: &Event) {}

    fn holds(&self, _: u32) {}
    fn flush(&self) {}
}

/// Loads what `licenses` says, as the daemon does.
pub fn loader(licenses: &Licenses) -> Result<Loader> {
    let trusted = vec![TrustedKey::read(&licenses.public_key)?];
    let directory = licenses.directory.clone();
    let config = LoaderConfig { directory, trusted, ..LoaderConfig::default() };
    Ok(Loader::new(config, HostFacts::collect(None, &[])))
}

/// The facts of the n-th program.
pub fn facts(n: usize) -> Arc<Facts> {
    Arc::new(Facts {
        install_id: Random(n as u64).key(),
        user: format!("user-{n:05}").into(),
        host: format!("workstation-{n:05}").into(),
        address: Some([10, 0, (n >> 8) as u8, n as u8].into()),
        platform: "linux-x86_64".into(),
        offset_minutes: 60,
        display: None,
        project: None,
        share: None,
        release_version: Some("4.1".into()),
        release_date: None,
        line_date: None,
        host_ids: Vec::new(),
    })
}

/// A checkout of one seat of the n-th feature.
pub fn checkout(keys: &mut Random, n: usize, facts: Arc<Facts>) -> Checkout {
    let item = Item { vendor: None, feature: feature(n).into(), count: 1 };
    Checkout {
        key: keys.key(),
        secret: keys.key(),
        booking: None,
        items: vec![item],
        facts,
        pid: 4711,
        lend: None,
    }
}

/// An engine over a new journal in `state`, with every pool of `catalog` up to date.
///
/// # Errors
/// The state cannot be made.
pub fn engine(state: &Path, catalog: Arc<Catalog>) -> Result<(StateDir, Engine<RealDisk>)> {
    let mut directory = StateDir::open(state, false)?;
    let mut fold = StateFold::default();
    let opened = directory.open_journal(Options::default(), &mut fold)?;
    let ledger = Ledger::new(fold.state, opened.tick, Patience::with_lease(3_600_000), NameRules::default());
    let mut engine = Engine::new(ledger, opened.journal, u32::MAX);
    let mut asks = vec![Ask::Catalog(catalog, Box::new(|()| ()))];
    loop {
        engine.step(&mut asks, reading(opened.tick, 0))?;
        if !engine.has_background_work() {
            return Ok((directory, engine));
        }
    }
}

/// Checks out `sessions` seats, of the features in turn, for [`PROGRAMS`] programs on a connection each.
pub fn fill(engine: &mut Engine<RealDisk>, sessions: usize, features: usize) -> Result<()> {
    let mut keys = Random(1);
    let facts: Vec<_> = (0..PROGRAMS.min(sessions)).map(facts).collect();
    let connections: Vec<Arc<dyn Outbox>> =
        (0..facts.len()).map(|n| Arc::new(Mute(ConnectionId(n as u64 + 1))) as Arc<dyn Outbox>).collect();
    let mut asks: Vec<Ask> = connections.iter().map(|c| Ask::Open(c.clone())).collect();
    for n in 0..sessions {
        let program = n % facts.len();
        let request =
            Request::Checkout(Box::new(checkout(&mut keys, n % features, facts[program].clone())), 0);
        asks.push(Ask::Request { from: connections[program].clone(), call: 1, request });
        if asks.len() >= STEP || n + 1 == sessions {
            engine.step(&mut asks, reading(n as u64 / 100, 0))?;
        }
    }
    assert_eq!(engine.ledger().state().session_count(), sessions, "every checkout is a session");
    Ok(())
}
