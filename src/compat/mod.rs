//! What monitoring already reads: the outputs of `lmxendutil` and `lmutil lmstat`, from our own report (interfaces.md 6).
//!
//! Nothing is asked of the server but what `seatkeeper status --json` asks too, and nothing here reads a clock or a
//! socket: a [`Picture`] goes in, text comes out. What the programs that parse these outputs expect, and what was decided
//! where they disagree, is in docs/monitoring/COMPATIBILITY.md.
//!
//! - [`words`]: the two command lines, whose options have one dash
//! - [`Picture`]: the report, in the words that both outputs share
//! - [`lmx`], [`lmx_xml`], [`flexnet`]: one for each output

pub mod flexnet;
pub mod lmx;
pub mod lmx_xml;
pub mod words;

use chrono::{NaiveDate, NaiveDateTime};
use seats::change::SessionId;

use crate::clock::Zone;
use crate::report;

/// What stands for "unlimited" where a program wants a number: the largest that a C program reads into an int.
pub const UNLIMITED: u64 = 2_147_483_647;

/// Seats longer than this of a client's text say nothing more to a person, and fill a line.
const WORD_CHARS_MAX: usize = 128;

/// One server at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Which server, as the user named it.
    pub place: Place,
    /// Its version, `0.1.0`.
    pub version: String,
    /// For how many whole seconds it has run; 0 where the reader may not see it.
    pub uptime_s: u64,
    /// When the picture was made, in the reader's zone.
    pub now: NaiveDateTime,
    /// By vendor and name.
    pub features: Vec<Feature>,
}

/// The server as `PORT@HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// One feature of one vendor, all its pools summed (S6).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feature {
    /// Who sells it.
    pub vendor: String,
    /// ASCII letters, digits, `_` and `-` (L3).
    pub name: String,
    /// MAJOR.MINOR; `0.0` for one that covers every version.
    pub version: String,
    /// `EXCLUSIVE`, `ADDITIVE` or `TOKEN`: that of the pool tried first.
    pub key_type: String,
    /// The first day, included; `None`: none stated.
    pub start: Option<NaiveDate>,
    /// The last day, included; `None`: it never ends.
    pub end: Option<NaiveDate>,
    /// Seats; `None`: no bound.
    pub total: Option<u64>,
    /// Seats that nobody else can have now: used + held (S6); of a token, the tokens that are out.
    pub in_use: u64,
    /// Kept for others and unused.
    pub reserved: u64,
    /// Denials in the last 24 hours; `None`: the server does not count them.
    pub denied: Option<u64>,
    /// `HOST`, `USER`, `CUSTOM`, `VIRTUAL`, in this order.
    pub share: Vec<String>,
    /// In the order of trial; one that stands for all of them where the reader sees counts only.
    pub pools: Vec<Pool>,
    /// Who has seats, oldest first; empty where the reader sees counts only.
    pub uses: Vec<Use>,
    /// Who waits, first come first.
    pub queue: Vec<Queued>,
}

/// Seats of one feature under one license's terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// As the report names it; empty where the reader sees counts only.
    pub id: String,
    /// MAJOR.MINOR; `0.0` for one that covers every version.
    pub version: String,
    /// The last day, included; `None`: it never ends.
    pub end: Option<NaiveDate>,
    /// Each license that counts in it today: version, seats (`None`: no bound) and last day.
    pub licenses: Vec<(String, Option<u64>, Option<NaiveDate>)>,
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Use {
    /// Whose seats.
    pub pool: String,
    /// Its number, the same for as long as it lives.
    pub number: u64,
    /// Seats.
    pub count: u32,
    /// As the client stated it.
    pub user: String,
    /// As the client stated it.
    pub host: String,
    /// As the client stated it.
    pub display: Option<String>,
    /// Where it came from; `None`: over a Unix socket.
    pub address: Option<String>,
    /// The program's version as stated, else that of its pool.
    pub version: String,
    /// When it was checked out, in the reader's zone.
    pub since: NaiveDateTime,
    /// It is lent (S40).
    pub borrowed: Option<Borrowed>,
    /// What it shares its seats by, with SHARE=CUSTOM.
    pub share: Option<String>,
}

/// Until when seats are lent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Borrowed {
    /// In the reader's zone.
    pub until: NaiveDateTime,
    /// Seconds until then.
    pub left_s: u64,
    /// Seconds from the checkout to then.
    pub whole_s: u64,
}

/// A checkout that waits for this feature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queued {
    /// Its number.
    pub number: u64,
    /// Seats of this feature.
    pub count: u32,
    /// As the client stated it.
    pub user: String,
    /// As the client stated it.
    pub host: String,
}

impl Picture {
    /// What the report of a server says. `queue` is the list of that name, empty where the reader may not see it; `unix_ms` is
    /// now, and `zone` the one that times are shown in.
    pub fn new(
        status: &report::Status,
        queue: &[report::Waiter],
        place: Place,
        unix_ms: i64,
        zone: &Zone,
    ) -> Picture {
        let none = report::Server::default();
        let server = status.server.as_ref().unwrap_or(&none);
        let started = server.started_at.as_deref().and_then(unix_ms_of);
        let times = Times { unix_ms, started: started.unwrap_or(unix_ms), zone };
        let sessions = status.sessions.as_deref().unwrap_or_default();
        let features = status.features.as_deref().unwrap_or_default();
        Picture {
            place,
            version: server.version.clone(),
            uptime_s: seconds(unix_ms.saturating_sub(times.started)),
            now: times.civil(unix_ms),
            features: features.iter().map(|f| feature(f, sessions, queue, &times)).collect(),
        }
    }

    /// What of it is asked for: features of this name and vendor, without case; `None`: any.
    #[must_use]
    pub fn only(mut self, feature: Option<&str>, vendor: Option<&str>) -> Picture {
        let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|w| w.eq_ignore_ascii_case(name));
        self.features.retain(|f| is(feature, &f.name) && is(vendor, &f.vendor));
        self
    }
}

struct Times<'a> {
    unix_ms: i64,
    started: i64,
    zone: &'a Zone,
}

impl Times<'_> {
    /// What a clock on the wall shows; both outputs tell no seconds.
    fn civil(&self, unix_ms: i64) -> NaiveDateTime {
        let text = self.zone.local_text(unix_ms);
        let minute = text.get(..16).unwrap_or_default();
        NaiveDateTime::parse_from_str(minute, "%Y-%m-%d %H:%M").unwrap_or_default()
    }
}

fn feature(
    f: &report::Feature,
    sessions: &[report::Session],
    queue: &[report::Waiter],
    times: &Times<'_>,
) -> Feature {
    // Tokens have no seats (L51): what bounds them is what they take elsewhere.
    let token = f.tokens.filter(|_| f.total == Some(0) && f.used == 0);
    let mine = sessions.iter().filter(|s| s.vendor == f.vendor && s.feature == f.name);
    let uses: Vec<Use> = mine.map(|s| one_use(s, f, times)).collect();
    // A pool that grants nothing and serves nobody is of no interest here.
    let counts = |p: &&report::Pool| !p.licenses.is_empty() || uses.iter().any(|u| u.pool == p.id);
    let mut pools: Vec<Pool> = f.pools.iter().filter(counts).map(|p| pool(p, f)).collect();
    let version = version(f.version.as_deref());
    if pools.is_empty() {
        let licenses = vec![(version.clone(), f.total.filter(|_| token.is_none()), f.end)];
        pools.push(Pool { id: String::new(), version: version.clone(), end: f.end, licenses });
    }
    let key_type = match f.pools.first() {
        Some(pool) => pool.key_type.clone(),
        None if token.is_some() => "TOKEN".to_owned(),
        None => "EXCLUSIVE".to_owned(),
    };
    Feature {
        vendor: f.vendor.clone(),
        name: f.name.clone(),
        version,
        key_type,
        start: f.start,
        end: f.end,
        total: f.total.filter(|_| token.is_none()),
        in_use: token.unwrap_or(f.used.saturating_add(f.held)),
        reserved: f.reserved,
        denied: f.denials_24h,
        share: f.share.clone(),
        pools,
        uses,
        queue: queue.iter().filter_map(|waiter| queued(waiter, f)).collect(),
    }
}

fn pool(p: &report::Pool, f: &report::Feature) -> Pool {
    let license = |l: &report::License| {
        (version(l.version.as_deref().or(p.version.as_deref())), l.count.filter(|_| !l.unlimited), l.end)
    };
    let own = p.licenses.iter().find(|l| l.key_type == p.key_type);
    Pool {
        id: p.id.clone(),
        // Where none grants, those of the feature, which are of the license that ended last.
        version: version(p.version.as_deref().or(f.version.as_deref().filter(|_| own.is_none()))),
        end: own.map_or(f.end, |l| l.end),
        licenses: p.licenses.iter().map(license).collect(),
    }
}

fn one_use(s: &report::Session, f: &report::Feature, times: &Times<'_>) -> Use {
    let pool = f.pools.iter().find(|p| p.id == s.pool);
    // Not known any more: then it is from before the server's start.
    let since = s.since.as_deref().and_then(unix_ms_of).unwrap_or(times.started);
    let until = s.borrowed_until.as_deref().and_then(unix_ms_of);
    let is_custom = pool.map_or(&f.share, |p| &p.share).iter().any(|flag| flag == "CUSTOM");
    Use {
        pool: s.pool.clone(),
        number: number(&s.id),
        count: s.count,
        user: s.user.clone(),
        host: s.host.clone(),
        display: s.display.clone(),
        address: s.address.clone(),
        version: version(s.version.as_deref().or(pool.and_then(|p| p.version.as_deref()))),
        since: times.civil(since),
        borrowed: until.map(|until| Borrowed {
            until: times.civil(until),
            left_s: seconds(until.saturating_sub(times.unix_ms)),
            whole_s: seconds(until.saturating_sub(since)),
        }),
        share: s.share.clone().filter(|share| is_custom && !share.is_empty()),
    }
}

/// What of a waiting checkout this feature is asked for; a vendor that is not said is any.
fn queued(w: &report::Waiter, f: &report::Feature) -> Option<Queued> {
    let is_it = |wanted: &&report::WaitedFor| {
        let vendor = wanted.vendor.as_deref();
        wanted.feature.eq_ignore_ascii_case(&f.name)
            && vendor.is_none_or(|vendor| vendor.eq_ignore_ascii_case(&f.vendor))
    };
    // Who has been served stands among the sessions already.
    let wanted = w.features.iter().find(is_it).filter(|_| w.state != "served")?;
    Some(Queued { number: number(&w.id), count: wanted.count, user: w.user.clone(), host: w.host.clone() })
}

/// The digits of a number that the report shows in base32.
fn number(id: &str) -> u64 {
    id.parse().map_or(0, |SessionId(number)| number)
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}

fn unix_ms_of(rfc3339: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(rfc3339, "%Y-%m-%dT%H:%M:%SZ").ok()?;
    Some(time.and_utc().timestamp_millis())
}

/// A version as parsers take it: digits, letters and points, with one point at least.
fn version(text: Option<&str>) -> String {
    let good = |c: &char| c.is_ascii_alphanumeric() || *c == '.';
    let text: String = text.unwrap_or_default().chars().filter(good).take(32).collect();
    match text {
        text if text.is_empty() => "0.0".to_owned(),
        text if text.contains('.') => text,
        text => format!("{text}.0"),
    }
}

/// MAJOR.MINOR of a program's version: programs read it as one number.
fn major_minor(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// What a client stated as one word: both text outputs are cut at blanks, and a line end would begin a line that we did not
/// write. `instead` stands for what may not be in it.
fn word(text: &str, instead: char) -> String {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || is_invisible(c);
    let word: String =
        text.chars().take(WORD_CHARS_MAX).map(|c| if is_bad(c) { instead } else { c }).collect();
    if word.is_empty() { "unknown".to_owned() } else { word }
}

/// A host's name as one word; what is cut off by parsers, `@` and brackets, is not in it.
fn host_word(text: &str) -> String {
    let is_cut = |c: char| matches!(c, '@' | '[' | ']' | '(' | ')' | '/');
    word(text, '-').chars().map(|c| if is_cut(c) { '-' } else { c }).collect()
}

/// What makes text read otherwise than it is: marks of direction, and blanks without width.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Who sells it, in a column that may not be empty.
fn vendor_word(vendor: &str) -> &str {
    if vendor.is_empty() { "unsigned" } else { vendor }
}
