//! Going on for some hours when no license server answers (L65).
//!
//! A license with GRACE lets its seats be used for so many hours while *no* server of the client's list answers. The server counts
//! nothing; this module keeps the rule, on the client's own disk, for all programs of one user:
//!
//! - **Begins.** A running session: when its connection has been lost for a lease, and no server answers. A checkout: when no
//!   server answers it, and the last grant of the feature was for the same user, host and release and as many seats, and its
//!   license has not ended since. Any answer at all, also that a server is busy, is an answer.
//! - **Lasts** the hours of the license from its first use, interrupted or not, for all programs together. Then there is none
//!   until seven days after its last use.
//! - **Ends** with the hours, when a server is back, or with a denial: after one there is none until the next grant. A session
//!   that a server took away counts as denied.
//! - **The clock.** The latest moment seen is kept: no grace while the clock stands more than five minutes before it. Within one
//!   process the hours are measured by a clock that nobody sets, too. Only a grant sets the mark back.
//! - **The file.** Damaged, locked for long, not writable: no grace, and a sentence why.
//!
//! What it does not do: keep a user who can write his own files from forgetting them. That takes hardware; the vendor's
//! bound is that each such round needs a grant.
//!
//! [`book`] decides, [`file`] keeps, [`watch`] acts.

pub(crate) mod book;
mod canonical;
pub(crate) mod clock;
mod file;
mod link;
mod signal;
#[cfg(test)]
mod tests;
mod text;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wire::answer::Grant;
use wire::codes;
use wire::request::{Checkout, Facts, Item};

use crate::again::Again;
use crate::event::{Event, Subscribers, tell};
use crate::link::Link;
use crate::lock;
use crate::seats::Place;
use book::{Book, Claim, Key, NoGrace, Span, key};
use clock::Clock;
use file::Store;
use watch::{Running, Waiting};

pub(crate) use signal::{Signal, Taken};

/// One session that could go on.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) vendor: String,
    pub(crate) feature: String,
    pub(crate) hours: u32,
}

/// When it is over, by both clocks: whichever is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) unix_seconds: i64,
    running: Duration,
}

impl Limit {
    /// In so many seconds.
    fn after(clock: &dyn Clock, seconds: i64) -> Limit {
        let length = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Limit { unix_seconds: clock.unix_seconds() + seconds, running: clock.running() + length }
    }

    /// How long it lasts; `None`: it is over.
    fn rest(&self, clock: &dyn Clock) -> Option<Duration> {
        let by_wall = u64::try_from(self.unix_seconds - clock.unix_seconds()).unwrap_or(0);
        let rest = Duration::from_secs(by_wall).min(self.running.saturating_sub(clock.running()));
        (!rest.is_zero()).then_some(rest)
    }
}

/// The grace of one client.
pub(crate) struct Grace {
    store: Option<Store>,
    clock: Arc<dyn Clock>,
    links: Vec<Arc<Link>>,
    subscribers: Arc<Subscribers>,
    pub(crate) signal: Arc<Signal>,
    /// What is to be asked for anew when it is given away.
    pub(crate) again: Again,
    /// Held while a grant or a denial is written down.
    order: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sessions whose server is away, by link and bundle.
    running: BTreeMap<(usize, u64), Running>,
    /// Seats taken while no server answered.
    seats: Vec<Waiting>,
    /// Numbers of their sessions, from the top: servers number from the bottom.
    last_session: u64,
    /// Why the last grant could not be kept in mind.
    not_kept: Option<String>,
    touched_at: Option<Duration>,
}

impl Grace {
    pub(crate) fn new(
        directory: Option<&std::path::Path>,
        clock: Arc<dyn Clock>,
        links: Vec<Arc<Link>>,
        subscribers: Arc<Subscribers>,
        signal: Arc<Signal>,
    ) -> Arc<Grace> {
        let store = directory.map(Store::new);
        Arc::new(Grace {
            store,
            clock,
            links,
            subscribers,
            signal,
            again: Again::default(),
            order: Mutex::default(),
            state: Mutex::default(),
        })
    }

    pub(crate) fn links(&self) -> &[Arc<Link>] {
        &self.links
    }

    /// What time it is: tests alone have another.
    #[cfg(feature = "borrow")]
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Keeps all links in use.
    pub(crate) fn hold_links(&self) -> HeldLinks<'_> {
        self.links.iter().for_each(|link| link.enter());
        HeldLinks(&self.links)
    }

    pub(crate) fn enter(&self) {
        self.signal.enter();
    }

    /// One user fewer. The last writes down what the watch had no time for.
    pub(crate) fn leave(&self) {
        if self.signal.leave() {
            self.note_taken();
        }
    }

    /// A server has granted this bundle: its hours are worth remembering.
    pub(crate) fn learn(self: &Arc<Grace>, link: &Link, bundle: u64) {
        let Some(store) = &self.store else { return };
        // Grants and what was taken are written down in the order in which they came.
        let _order = lock(&self.order);
        let (own, others): (Vec<Taken>, Vec<Taken>) =
            self.signal.take_taken().into_iter().partition(|t| (t.link, t.bundle) == (link.index, bundle));
        self.note(&others);
        let lessons = link.lessons(bundle);
        let has_grace = lessons.iter().any(|lesson| lesson.hours > 0);
        if has_grace || store.exists() {
            let now = self.clock.unix_seconds();
            let kept = store.with_mended(now, |book| {
                lessons.into_iter().map(|lesson| book.learn(now, lesson)).filter(|is_new| *is_new).count() > 0
            });
            lock(&self.state).not_kept = kept.err();
        }
        self.note(&own);
        if has_grace {
            self.watch();
        }
    }

    /// A server has refused these features. Codes that speak of the server alone are no denial.
    pub(crate) fn denied(&self, items: &[Item], code: &str) {
        if !is_denial(code) {
            return;
        }
        let _order = lock(&self.order);
        self.deny(items.iter().map(|item| (item.vendor.as_deref(), item.feature.as_str())));
    }

    fn deny<'a>(&self, features: impl Iterator<Item = (Option<&'a str>, &'a str)>) {
        let Some(store) = self.store.as_ref().filter(|store| store.exists()) else { return };
        let now = self.clock.unix_seconds();
        // If it cannot be written, nothing can be used either: that needs writing too.
        let _ = store.with(|book| {
            let deny = |changed, (vendor, feature)| book.deny(now, vendor, feature) || changed;
            ((), features.fold(false, deny))
        });
    }

    fn note_taken(&self) {
        let _order = lock(&self.order);
        self.note(&self.signal.take_taken());
    }

    /// A session that a server took away is one that it denies.
    fn note(&self, taken: &[Taken]) {
        if !taken.is_empty() {
            self.deny(taken.iter().map(|taken| (Some(taken.vendor.as_str()), taken.feature.as_str())));
        }
    }

    /// Seats for a checkout that no server answered since `asked`.
    ///
    /// # Errors
    ///
    /// Why there is no grace; `None` where the license gives none, which nobody need be told.
    pub(crate) fn take(
        self: &Arc<Grace>,
        ask: &Checkout,
        again: bool,
        asked: Instant,
    ) -> Result<Arc<Place>, Option<String>> {
        let store = self.store.as_ref().filter(|store| store.exists()).ok_or_else(|| self.not_kept())?;
        if self.links.is_empty() {
            return Err(None);
        }
        let asker = asker(&ask.facts);
        let now = self.clock.unix_seconds();
        let answered = self.links.iter().find(|link| link.has_answered_since(asked));
        let begun = store.with(|book| {
            let grants = match grants(book, &ask.items) {
                Ok(grants) => grants,
                Err(no) => return (Err(no), false),
            };
            if let Some(link) = answered {
                return (Err(NoGrace::Answered(link.address.to_string())), false);
            }
            let claim = |grant: &Grant| {
                let claim = Claim::Checkout { asker: &asker, count: grant.count };
                (key(&grant.vendor, &grant.feature), claim)
            };
            let claims: Vec<_> = merged(&grants).iter().map(claim).collect();
            let begun = book.begin(now, &claims);
            let is_begun = begun.is_ok();
            (begun.map(|(spans, left)| (grants, spans, left)), is_begun)
        });
        let (mut grants, spans, left) = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(NoGrace::NotGiven)) => return Err(self.not_kept()),
            Ok(Err(no)) => return Err(Some(no.to_string())),
            Err(fault) => return Err(Some(fault)),
        };
        let limit = Limit::after(&*self.clock, left);
        let place = {
            let mut state = lock(&self.state);
            for grant in &mut grants {
                state.last_session += 1;
                grant.session = u64::MAX - state.last_session;
            }
            let place = Place::in_grace(grants, limit);
            state.seats.push(Waiting::new(&place, ask, again, spans, now));
            place
        };
        self.watch();
        self.tell_began(0, features(&ask.items), limit);
        Ok(place)
    }

    fn not_kept(&self) -> Option<String> {
        lock(&self.state).not_kept.clone()
    }

    /// Until when a bundle goes on without its server.
    pub(crate) fn limit(&self, link: &Link, bundle: u64) -> Option<Limit> {
        let state = lock(&self.state);
        let running = state.running.get(&(link.index, bundle))?;
        running.limit().filter(|limit| limit.rest(&*self.clock).is_some())
    }

    /// Whether that moment has passed.
    pub(crate) fn is_over(&self, limit: &Limit) -> bool {
        limit.rest(&*self.clock).is_none()
    }

    pub(crate) fn tell(&self, event: &Event) {
        tell(&self.subscribers, event);
    }

    fn tell_began(&self, bundle: u64, features: Vec<String>, limit: Limit) {
        self.tell(&Event::GraceBegan { bundle, features, ends_at: limit.unix_seconds });
    }
}

/// Links that a thread of this library uses. Dropped, they are left.
pub(crate) struct HeldLinks<'a>(&'a [Arc<Link>]);

impl Drop for HeldLinks<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|link| link.leave());
    }
}

/// Whether a refusal is about the seats, and not only about the server that says it.
fn is_denial(code: &str) -> bool {
    !matches!(
        code,
        codes::BUSY | codes::RATE_LIMITED | codes::SHUTTING_DOWN | codes::NOT_LEADER | codes::INTERNAL
    )
}

/// Who asks, as one text: grace is for the one who was granted, and for the release.
pub(crate) fn asker(facts: &Facts) -> String {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        facts.user.clone(),
        facts.host.clone(),
        optional(&facts.release_version),
        optional(&facts.release_date),
        optional(&facts.line_date),
    ]
    .join("\0")
}

fn features(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.feature.clone()).collect()
}

/// What would be granted, from what was granted last.
fn grants(book: &Book, items: &[Item]) -> Result<Vec<Grant>, NoGrace> {
    let grant = |item: &Item| {
        let entry = book.find(item.vendor.as_deref(), &item.feature)?;
        Ok(Grant {
            vendor: entry.vendor.clone(),
            feature: entry.feature.clone(),
            count: item.count,
            version: entry.version.clone(),
            license_ends: entry.ends,
            notice: Some(format!("no license server answers; the license gives {} hours", entry.hours)),
            ..Grant::default()
        })
    };
    items.iter().map(grant).collect()
}

/// A feature that is named twice takes seats twice.
fn merged(grants: &[Grant]) -> Vec<Grant> {
    let mut merged: BTreeMap<Key, Grant> = BTreeMap::new();
    for grant in grants {
        merged
            .entry(key(&grant.vendor, &grant.feature))
            .and_modify(|sum| sum.count = sum.count.saturating_add(grant.count))
            .or_insert_with(|| grant.clone());
    }
    merged.into_values().collect()
}

/// The spans of a use of grace.
type Spans = Vec<(Key, Span)>;
