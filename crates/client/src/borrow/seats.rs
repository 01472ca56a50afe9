//! Borrowed seats in use: opened, watched until their end, let go.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wire::borrow::Lent;
use wire::request::Item;

use super::Borrowed;
use super::error::OpenError;
use super::record::{Record, State};
use super::store::{Store, Use};
use super::verify::{Asker, NotValid, for_asker, in_time, verify};
use crate::client::{Client, Want};
use crate::event::{Event, Subscribers, tell};
use crate::grace::clock::Clock;
use crate::lock;

/// How often the clock is looked at while seats are open: it can be set, and a computer that slept finds it far ahead.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How far the mark on disk may lag behind meanwhile: a write each time.
const MARK_STEP_SECONDS: i64 = 600;
/// The same where the application asks.
const CHECK_STEP_SECONDS: i64 = 60;

/// Borrowed seats that this program uses. Dropping them lets other programs of this user open them; the server is not told: that
/// is [`Client::give_back`].
///
/// [`Event::BorrowEnded`] tells the end, in which they are good for nothing any more. A program that runs for days without
/// reading events asks [`BorrowedSeats::check`] now and then.
pub struct BorrowedSeats {
    shared: Arc<Shared>,
    _uses: Vec<Use>,
    watch: Option<JoinHandle<()>>,
}

struct Shared {
    seats: Vec<Borrowed>,
    lent: Vec<Lent>,
    store: Store,
    clock: Arc<dyn Clock>,
    subscribers: Arc<Subscribers>,
    /// When it is over by the clock that nobody sets; it may stand still while the computer sleeps.
    over_at: Duration,
    is_dropped: Mutex<bool>,
    wake: Condvar,
}

/// Verifies and opens.
pub(super) fn open(client: &Client, want: &Want) -> Result<BorrowedSeats, OpenError> {
    let first = want.items.first().map_or_else(String::new, |item| item.feature.clone());
    let not_borrowed = |feature| OpenError::NotBorrowed { feature };
    let store = client.borrows().ok_or_else(|| not_borrowed(first.clone()))?;
    let is_any = |record: &Record| want.items.iter().any(|item| !matching(record, item).is_empty());
    let (records, faults) = store.list().map_err(OpenError::Store)?;
    if want.items.is_empty() || !records.iter().any(is_any) {
        return Err(match faults.into_iter().next() {
            Some(fault) => OpenError::Store(fault),
            None => not_borrowed(first),
        });
    }
    let clock = Arc::clone(client.grace.clock());
    let now = clock.unix_seconds();
    let asker = Asker::new(&client.options, &want.facts, now);
    // Nothing changes between the look and the use.
    let opened = store.locked(|| {
        let (records, _) = store.list()?;
        let mark = store.mark()?.max(newest_grant(&records, asker));
        // Whatever comes of it: this moment has been seen.
        store.raise_mark(now.max(mark))?;
        let mut opened: Vec<Opened> = Vec::new();
        for item in &want.items {
            match open_one(&store, &records, item, asker, (now, mark))? {
                Ok(one) => opened.push(one),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(opened))
    });
    let opened = opened.map_err(OpenError::Store)??;
    let rest = opened.iter().map(|one| one.lent.ends_at - now).min().unwrap_or(0);
    let over_at = clock.running() + Duration::from_secs(u64::try_from(rest).unwrap_or(0));
    let (mut seats, mut lent, mut uses) = (Vec::new(), Vec::new(), Vec::new());
    for one in opened {
        seats.push(one.seat);
        lent.push(one.lent);
        uses.push(one.used);
    }
    let shared = Arc::new(Shared {
        seats,
        lent,
        store,
        clock,
        subscribers: client.subscribers(),
        over_at,
        is_dropped: Mutex::default(),
        wake: Condvar::new(),
    });
    let watch = {
        let shared = Arc::clone(&shared);
        // Without a thread nobody is told of the end, but it is the end all the same.
        thread::Builder::new().name("seatkeeper-borrowed".to_owned()).spawn(move || shared.watch()).ok()
    };
    Ok(BorrowedSeats { shared, _uses: uses, watch })
}

struct Opened {
    seat: Borrowed,
    lent: Lent,
    used: Use,
}

/// The best borrow for one feature. The outer error: the store.
fn open_one(
    store: &Store,
    records: &[Record],
    item: &Item,
    asker: Asker<'_>,
    (now, mark): (i64, i64),
) -> Result<Result<Opened, OpenError>, String> {
    let mut candidates: Vec<(&Record, Borrowed)> = records
        .iter()
        .flat_map(|record| matching(record, item).into_iter().map(move |seat| (record, seat)))
        .collect();
    candidates.sort_by_key(|(_, seat)| std::cmp::Reverse(seat.ends_at));
    let mut first_fault = None;
    for (record, seat) in candidates {
        let fault = match usable(record, &seat, asker, (now, mark)) {
            Ok(lent) => {
                let used = store.in_use(record, seat.borrow)?;
                if used.saturating_add(item.count.into()) <= lent.count.into() {
                    let used = store.begin_use(record, seat.borrow, item.count)?;
                    return Ok(Ok(Opened { seat, lent, used }));
                }
                OpenError::InUse { feature: seat.feature.clone(), count: lent.count, used }
            }
            Err(fault) => OpenError::NotValid(fault),
        };
        first_fault.get_or_insert(fault);
    }
    Ok(Err(first_fault.unwrap_or_else(|| OpenError::NotBorrowed { feature: item.feature.clone() })))
}

fn usable(
    record: &Record,
    seat: &Borrowed,
    asker: Asker<'_>,
    (now, mark): (i64, i64),
) -> Result<Lent, NotValid> {
    if seat.is_returning {
        return Err(NotValid::Returning { feature: seat.feature.clone() });
    }
    let kept = record.tokens.iter().find(|kept| kept.token.lent.borrow == seat.borrow);
    let bytes = kept.ok_or(NotValid::License)?.token.to_bytes().map_err(NotValid::Damaged)?;
    let lent = verify(&bytes, asker)?;
    in_time(&lent, now, mark)?;
    Ok(lent)
}

/// The latest grant that vendor and server vouch for: it was later than any moment before it, whatever became of the mark.
fn newest_grant(records: &[Record], asker: Asker<'_>) -> i64 {
    let tokens = records.iter().flat_map(|record| &record.tokens);
    let granted =
        tokens.filter_map(|kept| Some(for_asker(&kept.token.to_bytes().ok()?, asker).ok()?.0.granted_at));
    granted.map(|at| at.saturating_sub(super::verify::CLOCK_TOLERANCE_SECONDS)).max().unwrap_or(0)
}

/// The borrows of a record that are of this feature.
fn matching(record: &Record, item: &Item) -> Vec<Borrowed> {
    let is_it = |seat: &Borrowed| {
        seat.feature.eq_ignore_ascii_case(&item.feature)
            && item.vendor.as_ref().is_none_or(|vendor| seat.vendor.eq_ignore_ascii_case(vendor))
    };
    let is_lent = record.state == State::Lent;
    Borrowed::all_of(record).filter(|seat| is_lent && is_it(seat)).collect()
}

impl BorrowedSeats {
    /// What is open, a borrow for each feature that was wanted. `count` is what was borrowed, also where less of it was wanted.
    pub fn seats(&self) -> &[Borrowed] {
        &self.shared.seats
    }

    /// The first moment at which one of them is over, Unix seconds.
    pub fn ends_at(&self) -> i64 {
        self.shared.seats.iter().map(|seat| seat.ends_at).min().unwrap_or(0)
    }

    /// Whether they may be used at this moment still.
    ///
    /// # Errors
    ///
    /// [`NotValid`]: the time is over, or the clock was set back.
    pub fn check(&self) -> Result<(), NotValid> {
        self.shared.check()
    }
}

impl Shared {
    fn check(&self) -> Result<(), NotValid> {
        let now = self.clock.unix_seconds();
        // A store that cannot be read now was read when they were opened.
        let mark = self.store.mark().unwrap_or(0);
        if now.saturating_sub(mark) >= CHECK_STEP_SECONDS {
            let _ = self.store.locked(|| self.store.raise_mark(now));
        }
        self.judge(now, mark)
    }

    fn judge(&self, now: i64, mark: i64) -> Result<(), NotValid> {
        self.lent.iter().try_for_each(|lent| in_time(lent, now, mark))?;
        match self.seats.iter().min_by_key(|seat| seat.ends_at) {
            Some(seat) if self.clock.running() >= self.over_at => {
                Err(NotValid::Over { feature: seat.feature.clone(), ends_at: seat.ends_at })
            }
            _ => Ok(()),
        }
    }

    fn watch(&self) {
        let mut marked = self.clock.unix_seconds();
        let mut told = vec![false; self.lent.len()];
        let mut is_dropped = lock(&self.is_dropped);
        while !*is_dropped {
            let now = self.clock.unix_seconds();
            let is_over_by_running = self.clock.running() >= self.over_at;
            let first_end = self.ends_first();
            for (seat, told) in self.seats.iter().zip(&mut told) {
                let is_over = now >= seat.ends_at || (is_over_by_running && seat.ends_at == first_end);
                if is_over && !std::mem::replace(told, true) {
                    let (borrow, feature, ends_at) = (seat.borrow, seat.feature.clone(), seat.ends_at);
                    tell(&self.subscribers, &Event::BorrowEnded { borrow, feature, ends_at });
                    marked = i64::MIN;
                }
            }
            if now.saturating_sub(marked) >= MARK_STEP_SECONDS || marked == i64::MIN {
                let _ = self.store.locked(|| self.store.raise_mark(now));
                marked = now;
            }
            if told.iter().all(|told| *told) {
                return;
            }
            let rest =
                self.seats.iter().map(|seat| seat.ends_at.saturating_sub(now)).filter(|s| *s > 0).min();
            let rest = rest.and_then(|rest| u64::try_from(rest).ok()).map_or(LOOK_EVERY, Duration::from_secs);
            let waited = self.wake.wait_timeout(is_dropped, rest.min(LOOK_EVERY));
            is_dropped = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn ends_first(&self) -> i64 {
        self.seats.iter().map(|seat| seat.ends_at).min().unwrap_or(0)
    }
}

impl Drop for BorrowedSeats {
    fn drop(&mut self) {
        *lock(&self.shared.is_dropped) = true;
        self.shared.wake.notify_all();
        if let Some(watch) = self.watch.take() {
            // It holds nothing that is waited for here, but the store's lock for a moment.
            let _ = watch.join();
        }
        let now = self.shared.clock.unix_seconds();
        let _ = self.shared.store.locked(|| self.shared.store.raise_mark(now));
    }
}
