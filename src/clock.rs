//! The clock: ticks, the wall clock, time zones, and where a day begins.
//!
//! No other file reads the time (clippy's `disallowed-methods` and tests/layers.rs see to it), and no program
//! that ships can be told a false date by a flag or a variable: that would be a way round every license.
//! Tests drive [`Clock::simulated`], which only the library offers, or run the real daemon under libfaketime.
//!
//! Three kinds of time, never mixed:
//! - **ticks** ([`Ticks`]): milliseconds served, from the monotonic clock, continued after a restart. Leases, holds
//!   and queues run on them, so a step of the wall clock ends no session (S70).
//! - **instants**: Unix milliseconds of the wall clock, shown to people, never used for leases.
//! - **days**: civil dates of the server's zone, which licenses begin and end with (L20).
//!
//! What it does not do: it does not keep the highest day served. A wall clock that is set back gives an earlier
//! `today` here; the engine takes the later of it and its own mark (S71).

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, SecondsFormat, Utc};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Milliseconds in a day without a change of offset.
const DAY_MS: i64 = 86_400_000;

/// The last instant RFC 3339 can write: 9999-12-31T23:59:59Z.
const RFC3339_LAST_SECOND: i64 = 253_402_300_799;

/// Milliseconds served: the ledger's own clock (S61). It never goes back, does not count the time the server was
/// down, and knows nothing of the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// This tick and `duration` more, in whole milliseconds; stops at the largest tick.
    pub fn after(self, duration: Duration) -> Ticks {
        Ticks(self.0.saturating_add(millis(duration)))
    }

    /// The time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Ticks) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One look at the clock, taken once for each batch of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Milliseconds served.
    pub tick: Ticks,
    /// The wall clock, Unix milliseconds; negative before 1970.
    pub unix_ms: i64,
    /// The civil day of `unix_ms` in the server's zone. It may be earlier than that of the last reading, where
    /// someone has set the clock back.
    pub today: NaiveDate,
}

/// A handle to the clock. Clones are cheap and show the same time.
#[derive(Clone)]
pub struct Clock {
    inner: Arc<Inner>,
}

struct Inner {
    zone: Zone,
    base: Ticks,
    source: Source,
    /// The local day read last. Only the engine asks for days, once a batch, so the lock is never fought over.
    day: Mutex<Day>,
}

/// A day of a zone as Unix milliseconds: from its first instant until the first of the next, which is not in it.
#[derive(Clone, Copy)]
struct Day {
    date: NaiveDate,
    start: i64,
    end: i64,
}

enum Source {
    System { started: Instant },
    Simulated(Arc<SimulatedTime>),
}

impl Clock {
    /// The clock of this machine. Ticks go on from `base`, the last tick of the journal (zero for a new one).
    pub fn system(zone: Zone, base: Ticks) -> Clock {
        Clock::new(zone, base, Source::System { started: Instant::now() })
    }

    /// A clock that stands still until the returned [`SimulatedTime`] is moved. For tests and simulations: nothing
    /// that ships calls it.
    pub fn simulated(zone: Zone, base: Ticks, unix_ms: i64) -> (Clock, Arc<SimulatedTime>) {
        let time =
            Arc::new(SimulatedTime { elapsed_ms: AtomicU64::new(0), unix_ms: AtomicI64::new(unix_ms) });
        (Clock::new(zone, base, Source::Simulated(Arc::clone(&time))), time)
    }

    fn new(zone: Zone, base: Ticks, source: Source) -> Clock {
        // An empty day: the first reading fills it.
        let day = Mutex::new(Day { date: NaiveDate::MIN, start: 0, end: 0 });
        Clock { inner: Arc::new(Inner { zone, base, source, day }) }
    }

    /// Ticks, wall clock and day, read together. Costs two reads of the clock and an uncontended lock; only the
    /// first reading of a new day asks the time zone.
    pub fn now(&self) -> Reading {
        let unix_ms = self.unix_ms();
        Reading { tick: self.tick(), unix_ms, today: self.day_at(unix_ms) }
    }

    /// The tick alone: one read of the monotonic clock, no lock. For connections.
    pub fn tick(&self) -> Ticks {
        match &self.inner.source {
            Source::System { started } => self.inner.base.after(started.elapsed()),
            Source::Simulated(time) => {
                Ticks(self.inner.base.0.saturating_add(time.elapsed_ms.load(Ordering::Acquire)))
            }
        }
    }

    /// The wall clock alone, Unix milliseconds.
    pub fn unix_ms(&self) -> i64 {
        match &self.inner.source {
            Source::System { .. } => system_unix_ms(),
            Source::Simulated(time) => time.unix_ms.load(Ordering::Acquire),
        }
    }

    /// The zone whose days count.
    pub fn zone(&self) -> &Zone {
        &self.inner.zone
    }

    fn day_at(&self, unix_ms: i64) -> NaiveDate {
        // A day that was being written when its writer panicked is whole all the same: it is copied in at once.
        let mut day = self.inner.day.lock().unwrap_or_else(PoisonError::into_inner);
        if !(day.start..day.end).contains(&unix_ms) {
            let date = self.inner.zone.day_of(unix_ms);
            *day = Day {
                date,
                start: self.inner.zone.start_of_day(date),
                end: self.inner.zone.end_instant(date),
            };
        }
        day.date
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("zone", &self.inner.zone).field("base", &self.inner.base).finish()
    }
}

/// Moves a simulated clock.
#[derive(Debug)]
pub struct SimulatedTime {
    elapsed_ms: AtomicU64,
    unix_ms: AtomicI64,
}

impl SimulatedTime {
    /// Time passes: ticks and wall clock go on together.
    pub fn advance(&self, by: Duration) {
        let by = millis(by);
        self.elapsed_ms.fetch_add(by, Ordering::AcqRel);
        self.unix_ms.fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::AcqRel);
    }

    /// Someone sets the wall clock; ticks do not notice.
    pub fn set_wall_clock(&self, unix_ms: i64) {
        self.unix_ms.store(unix_ms, Ordering::Release);
    }

    /// Time passes until `elapsed` since the clock was made, and not at all if it is there already. A simulation
    /// on a paused runtime keeps the clock in step with the runtime's own time by it.
    pub fn advance_until(&self, elapsed: Duration) {
        let (target, now) = (millis(elapsed), self.elapsed_ms.load(Ordering::Acquire));
        self.advance(Duration::from_millis(target.saturating_sub(now)));
    }
}

/// Measures how long something took, for logs and histograms. Nothing is decided by it.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since [`Stopwatch::start`].
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
fn system_unix_ms() -> i64 {
    let span = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => span(after),
        // Rounded down, as after 1970: a clock without a battery may well say 1969.
        Err(before) => -span(before.duration() + Duration::from_nanos(999_999)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time zone with the rules of this system's tzdata, read once: after an upgrade of tzdata the daemon is
/// restarted to use it.
#[derive(Clone, PartialEq)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    /// The zone with this IANA name, `Europe/Berlin` (upper or lower case).
    ///
    /// # Errors
    /// [`ZoneError::Unknown`] if this system has no rules under that name.
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        let zone = TimeZone::get(name)
            .map_err(|source| ZoneError::Unknown { name: name.to_owned(), source: Box::new(source) })?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { zone, name })
    }

    /// The zone this system is set to: `TZ`, else `/etc/localtime`.
    ///
    /// # Errors
    /// [`ZoneError::System`] if that cannot be found out. It is never taken for UTC then: a license would end at
    /// another midnight than its customer expects.
    pub fn system() -> Result<Zone, ZoneError> {
        match TimeZone::try_system() {
            Ok(zone) if !zone.is_unknown() => {
                let name = zone.iana_name().unwrap_or("system zone").to_owned();
                Ok(Zone { zone, name })
            }
            Ok(_) => Err(ZoneError::System { source: None }),
            Err(source) => Err(ZoneError::System { source: Some(Box::new(source)) }),
        }
    }

    /// UTC, for tools that show times without a server's zone.
    pub fn utc() -> Zone {
        Zone { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }

    /// The IANA name; `system zone` where the system has rules but no name for them (`/etc/localtime` is a copy).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instant of `date`, Unix milliseconds (L21). Where the clocks leave out 00:00 the day begins with
    /// the first instant there is; a day that never was (Apia, 2011-12-30) begins with the next one; where 00:00
    /// comes twice (Havana each autumn) the first counts.
    ///
    /// Beyond the years -9999 to 9999 the offset of the nearest instant within them is kept.
    pub fn start_of_day(&self, date: NaiveDate) -> i64 {
        let Some(midnight) = civil_date(date).map(|d| d.at(0, 0, 0, 0)) else {
            return self.distant_midnight(date);
        };
        let ambiguous = self.zone.to_ambiguous_timestamp(midnight);
        let found = match ambiguous.offset() {
            AmbiguousOffset::Gap { before, after } => {
                // The clocks jump over 00:00, from an instant in (midnight - after, midnight - before] on: the day
                // begins where they land. A few entries of tzdata change nothing but a name; they are passed over.
                match (after.to_timestamp(midnight), before.to_timestamp(midnight)) {
                    (Ok(from), Ok(until)) => self
                        .zone
                        .following(from)
                        .map(|transition| transition.timestamp())
                        .take_while(|&at| at <= until)
                        .find(|&at| self.zone.to_datetime(at).date() >= midnight.date())
                        .or(Some(until)),
                    _ => None,
                }
            }
            _ => ambiguous.earlier().ok(),
        };
        found.map_or_else(|| self.distant_midnight(date), Timestamp::as_millisecond)
    }

    /// The day `unix_ms` belongs to: the last one that has begun by then. So the days follow each other without
    /// gap or overlap, also where the clocks go back over a midnight (St. John's until 2011) and a wall clock would
    /// show yesterday's date once more.
    pub fn day_of(&self, unix_ms: i64) -> NaiveDate {
        let mut date = self.wall_date(unix_ms);
        // At most a step or two: no zone was ever set by more than a day.
        while let Some(next) = date.succ_opt() {
            if self.start_of_day(next) > unix_ms {
                break;
            }
            date = next;
        }
        while let Some(previous) = date.pred_opt() {
            if self.start_of_day(date) <= unix_ms {
                break;
            }
            date = previous;
        }
        date
    }

    /// When `date` is over: the first instant of the day after, Unix milliseconds. A license with END on `date`
    /// grants before it and no longer at it (L20).
    pub fn end_instant(&self, date: NaiveDate) -> i64 {
        self.start_of_day(date.succ_opt().unwrap_or(date))
    }

    /// The instant as a person here would write it, with its offset: `2030-07-01 00:00:00 +02:00`.
    pub fn local_text(&self, unix_ms: i64) -> String {
        let at = nearest_timestamp(unix_ms);
        let offset = self.zone.to_offset(at);
        let minutes = offset.seconds() / 60;
        let local = offset.to_datetime(at);
        let (sign, minutes) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
        format!("{} {sign}{:02}:{:02}", local.strftime("%Y-%m-%d %H:%M:%S"), minutes / 60, minutes % 60)
    }

    /// The date a wall clock shows at `unix_ms`.
    fn wall_date(&self, unix_ms: i64) -> NaiveDate {
        let at = nearest_timestamp(unix_ms);
        let offset_ms = i64::from(self.zone.to_offset(at).seconds()) * 1000;
        let days = unix_ms.saturating_add(offset_ms).div_euclid(DAY_MS);
        let last = if days < 0 { NaiveDate::MIN } else { NaiveDate::MAX };
        i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days).unwrap_or(last)
    }

    /// Midnight where the zone's rules do not reach.
    fn distant_midnight(&self, date: NaiveDate) -> i64 {
        let utc = date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        utc - i64::from(self.zone.to_offset(nearest_timestamp(utc)).seconds()) * 1000
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// Why there is no time zone.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The configured name is not one of this system's.
    #[error(
        "\"{name}\" is not a time zone of this system: use an IANA name such as \"Europe/Berlin\", \
         and see that the package tzdata is installed"
    )]
    Unknown {
        /// As configured.
        name: String,
        /// What the zone database says.
        source: Box<jiff::Error>,
    },
    /// The system's own zone cannot be found out.
    #[error(
        "the time zone of this system cannot be found out: set time_zone, for example \
         time_zone = \"Europe/Berlin\", or mend TZ or /etc/localtime"
    )]
    System {
        /// What was wrong with it, if that is known.
        source: Option<Box<jiff::Error>>,
    },
}

/// The version of the installed tzdata, `2026e`, for the log; `None` where the system does not tell.
pub fn tzdata_version() -> Option<String> {
    let directory = std::env::var_os("TZDIR").unwrap_or_else(|| "/usr/share/zoneinfo".into());
    let directory = Path::new(&directory);
    // Debian and most others keep the source beside the compiled zones; it opens with `# version 2026e`.
    first_line(&directory.join("tzdata.zi"))
        .and_then(|line| line.strip_prefix("# version ").map(str::to_owned))
        // macOS and the BSDs have a file with nothing else in it.
        .or_else(|| first_line(&directory.join("+VERSION")))
        .filter(|version| {
            !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        })
}

fn first_line(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(64).read_to_end(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).lines().next()?.trim().to_owned())
}

/// An instant as RFC 3339 in UTC with whole seconds, `2030-06-30T22:00:00Z`. Parts of a second are dropped; before
/// the year 0 and after the year 9999 the nearest instant that can be written is shown.
pub fn rfc3339(unix_ms: i64) -> String {
    nearest_writable(unix_ms).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// As [`rfc3339`], with three digits for the milliseconds: `2030-06-30T22:00:00.250Z`.
pub fn rfc3339_ms(unix_ms: i64) -> String {
    nearest_writable(unix_ms).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn nearest_writable(unix_ms: i64) -> DateTime<Utc> {
    let seconds = unix_ms.div_euclid(1_000).clamp(-62_167_219_200, RFC3339_LAST_SECOND);
    let nanoseconds = u32::try_from(unix_ms.rem_euclid(1_000)).unwrap_or(0) * 1_000_000;
    DateTime::from_timestamp(seconds, nanoseconds).unwrap_or_default()
}

fn civil_date(date: NaiveDate) -> Option<civil::Date> {
    let (month, day) = (i8::try_from(date.month()).ok()?, i8::try_from(date.day()).ok()?);
    civil::Date::new(i16::try_from(date.year()).ok()?, month, day).ok()
}

/// The instant, or the first or last one that jiff knows.
fn nearest_timestamp(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or(if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
