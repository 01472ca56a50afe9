//! Numbers what happens, remembers the last of it, and serves each reader from where it is.
//!
//! What comes in goes through one bounded inbox, so that the order is that in which things happened: the engine's batches,
//! and what others [`publish`](Hub::publish). Whoever puts something in never waits; what finds no room is dropped and
//! counted, and the numbers of the events skip as many, so that each reader knows that and where it missed something.
//! The [`Intake`] takes it out on a thread of its own. A reader keeps nothing but the number of its next event.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::tell;
use super::what::{Event, What};
use crate::clock::{Clock, Stopwatch, rfc3339_ms};
use crate::engine::happened::{Batch, EventSink, Happened};

/// How many events are remembered: minutes of a busy server, days of a quiet one. Each is some hundred bytes.
pub const REMEMBERED: usize = 10_000;
/// How many notes may wait in the inbox: more than a second of the fastest engine.
const WAITING_MAX: usize = 65_536;
/// How many batches may wait in the inbox.
const BATCHES_MAX: usize = 4_096;
/// The intake rests so long after it has taken something: under load it wakes a hundred times a second and not for each
/// batch, which would cost the engine a system call; and an event is told as much later.
const REST: Duration = Duration::from_millis(10);

/// Where events come together. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Hub {
    inbox: SyncSender<Inbound>,
    shared: Arc<Shared>,
    clock: Clock,
}

#[derive(Debug)]
enum Inbound {
    Batch(Batch),
    One(Arc<What>, i64),
    /// Everything before it is taken.
    Turn(SyncSender<()>),
}

#[derive(Debug)]
struct Shared {
    run: Arc<str>,
    /// Notes in the inbox.
    waiting: AtomicUsize,
    /// Dropped since the intake looked last.
    dropped: AtomicU64,
    ring: Mutex<Ring>,
    /// For readers that block.
    arrived: Condvar,
    /// For those that do not: the last number, and whether more is to come.
    last: watch::Sender<(u64, bool)>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Entry>,
    /// The number of the next event.
    next: u64,
    remembered: usize,
    is_closed: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    seq: u64,
    unix_ms: i64,
    stored: Stored,
}

#[derive(Clone, Debug)]
enum Stored {
    Note(Happened),
    /// The second event of a note.
    Loan(Happened),
    Told(Arc<What>),
}

/// Takes what comes into a hub; see [`Intake::start`].
#[derive(Debug)]
pub struct Intake {
    inbox: Receiver<Inbound>,
    shared: Arc<Shared>,
    observer: Option<Box<dyn Observer>>,
}

/// Looks at everything that is taken in, in order, on the intake's thread: it may take a lock, and must not wait for more.
pub trait Observer: Send + fmt::Debug {
    /// What the engine did.
    fn batch(&mut self, batch: &Batch);
    /// What happened beside it, and when (Unix milliseconds).
    fn told(&mut self, what: &What, unix_ms: i64);
}

/// What a reader gets next.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "moved once, from the hub to its reader")]
pub enum Delivery {
    /// The next event.
    Event(Event),
    /// So many events came before the next one and are not remembered any more, or were dropped.
    Missed(u64),
    /// The daemon stops, and everything was read.
    Closed,
}

/// A reader's place. It costs the hub nothing.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    next: u64,
    last: watch::Receiver<(u64, bool)>,
}

impl Hub {
    /// A hub for this run of the daemon, `instance` being drawn at its start, and what takes things into it.
    pub fn new(instance: [u8; 16], clock: Clock) -> (Hub, Intake) {
        Hub::remembering(REMEMBERED, instance, clock)
    }

    /// As [`Hub::new`], remembering so many events, at least 1.
    pub fn remembering(remembered: usize, instance: [u8; 16], clock: Clock) -> (Hub, Intake) {
        let (inbox, received) = sync_channel(BATCHES_MAX);
        let run: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
        let ring = Ring { events: VecDeque::new(), next: 1, remembered: remembered.max(1), is_closed: false };
        let shared = Arc::new(Shared {
            run: run.into(),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            ring: Mutex::new(ring),
            arrived: Condvar::new(),
            last: watch::channel((0, false)).0,
        });
        let intake = Intake { inbox: received, shared: shared.clone(), observer: None };
        (Hub { inbox, shared, clock }, intake)
    }

    /// Which run of the daemon this is, as [`Event::run`] says it.
    pub fn run(&self) -> &Arc<str> {
        &self.shared.run
    }

    /// Tells what happened just now outside the engine. Never waits.
    pub fn publish(&self, what: impl Into<What>) {
        self.put(Inbound::One(Arc::new(what.into()), self.clock.unix_ms()), 1);
    }

    /// The number of the last event; 0: none yet.
    pub fn last(&self) -> u64 {
        self.shared.ring().next - 1
    }

    /// A reader of what comes after the event with this number: 0 for all that is remembered, `None` for what is to come.
    /// A number that is not reached yet is from another run, and counts as 0.
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        let last = self.shared.last.subscribe();
        let next = self.shared.ring().next;
        let next = after.map_or(next, |after| if after >= next { 1 } else { after + 1 });
        Subscription { shared: self.shared.clone(), next, last }
    }

    /// The last denials that are remembered, at most so many, oldest first; and the number of the last event of all.
    pub fn denials(&self, most: usize) -> (u64, Vec<Event>) {
        let is_denial = |entry: &&Entry| {
            matches!(&entry.stored, Stored::Note(Happened::Denied(_)))
                || matches!(&entry.stored, Stored::Told(what) if matches!(**what, What::SessionDenied(_)))
        };
        let ring = self.shared.ring();
        let last = ring.next - 1;
        let found: Vec<Entry> = ring.events.iter().rev().filter(is_denial).take(most).cloned().collect();
        drop(ring);
        (last, found.iter().rev().map(|entry| self.shared.event(entry)).collect())
    }

    /// Waits until everything that was put in before is numbered and can be read, at most so long. `false`: it is not, or
    /// nobody takes it in.
    pub fn settle(&self, limit: Duration) -> bool {
        let (done, is_done) = sync_channel(1);
        self.inbox.try_send(Inbound::Turn(done)).is_ok() && is_done.recv_timeout(limit).is_ok()
    }

    /// No more events are to come: readers that have read everything are told so and do not wait.
    pub fn close(&self) {
        let mut ring = self.shared.ring();
        ring.is_closed = true;
        let last = ring.next - 1;
        drop(ring);
        self.shared.wake(last, true);
    }

    fn put(&self, inbound: Inbound, events: usize) {
        let waiting = self.shared.waiting.fetch_add(events, Ordering::Relaxed);
        if waiting + events > WAITING_MAX || self.inbox.try_send(inbound).is_err() {
            self.shared.waiting.fetch_sub(events, Ordering::Relaxed);
            self.shared.dropped.fetch_add(events as u64, Ordering::Relaxed);
        }
    }
}

impl EventSink for Hub {
    fn happened(&self, batch: Batch) {
        let events = batch.happened.len();
        self.put(Inbound::Batch(batch), events);
    }
}

impl Intake {
    /// The same intake, showing this observer what it takes in.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Observer + 'static) -> Intake {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Starts the thread that takes things in. It ends when every [`Hub`] is gone.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(mut self) -> std::io::Result<()> {
        let run = move || {
            while let Ok(first) = self.inbox.recv() {
                self.take(first);
                self.drain();
                std::thread::sleep(REST);
            }
        };
        std::thread::Builder::new().name("events".into()).spawn(run).map(drop)
    }

    /// Takes in what is there now. For tests and the simulation, which have no thread for it.
    pub fn drain(&mut self) {
        while let Ok(inbound) = self.inbox.try_recv() {
            self.take(inbound);
        }
        // What was dropped while everything else was taken.
        let mut ring = self.shared.ring();
        ring.skip(&self.shared.dropped);
        let (last, is_closed) = (ring.next - 1, ring.is_closed);
        drop(ring);
        self.shared.wake(last, is_closed);
    }

    fn take(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Batch(batch) => {
                self.shared.waiting.fetch_sub(batch.happened.len(), Ordering::Relaxed);
                if let Some(observer) = &mut self.observer {
                    observer.batch(&batch);
                }
                let mut ring = self.shared.ring();
                ring.skip(&self.shared.dropped);
                for note in batch.happened {
                    let loan = tell::is_a_loan_returned(&note).then(|| Stored::Loan(note.clone()));
                    ring.enter(Stored::Note(note), batch.unix_ms);
                    loan.into_iter().for_each(|loan| ring.enter(loan, batch.unix_ms));
                }
            }
            Inbound::One(what, unix_ms) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                if let Some(observer) = &mut self.observer {
                    observer.told(&what, unix_ms);
                }
                let mut ring = self.shared.ring();
                ring.skip(&self.shared.dropped);
                ring.enter(Stored::Told(what), unix_ms);
            }
            Inbound::Turn(done) => {
                let last = self.shared.ring().next - 1;
                self.shared.wake(last, false);
                let _ = done.try_send(());
            }
        }
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, last: u64, is_closed: bool) {
        self.last.send_if_modified(|now| {
            let next = (last.max(now.0), is_closed || now.1);
            std::mem::replace(now, next) != next
        });
        self.arrived.notify_all();
    }

    fn event(&self, entry: &Entry) -> Event {
        let what = match &entry.stored {
            Stored::Note(note) => tell::what(note, entry.unix_ms),
            Stored::Loan(note) => {
                tell::loan_returned(note).unwrap_or_else(|| tell::what(note, entry.unix_ms))
            }
            Stored::Told(what) => (**what).clone(),
        };
        let (seq, unix_ms) = (entry.seq, entry.unix_ms);
        Event { seq, run: self.run.clone(), at: rfc3339_ms(unix_ms), unix_ms, what }
    }
}

enum Found {
    Entry(Entry),
    Missed(u64),
    Nothing,
    Closed,
}

impl Ring {
    /// Numbers are left out for what was dropped.
    fn skip(&mut self, dropped: &AtomicU64) {
        self.next += dropped.swap(0, Ordering::Relaxed);
    }

    fn enter(&mut self, stored: Stored, unix_ms: i64) {
        let seq = self.next;
        self.next += 1;
        if self.events.len() >= self.remembered {
            self.events.pop_front();
        }
        self.events.push_back(Entry { seq, unix_ms, stored });
    }

    /// What a reader gets whose next number this is.
    fn look(&self, next: u64) -> Found {
        if next >= self.next {
            return if self.is_closed { Found::Closed } else { Found::Nothing };
        }
        // Numbers skip what was dropped, so the place is looked for.
        let at = self.events.partition_point(|entry| entry.seq < next);
        match self.events.get(at) {
            Some(entry) if entry.seq == next => Found::Entry(entry.clone()),
            Some(entry) => Found::Missed(entry.seq - next),
            None => Found::Missed(self.next - next),
        }
    }
}

impl Subscription {
    /// The number of the last event that was read or missed; 0: none.
    pub fn after(&self) -> u64 {
        self.next - 1
    }

    /// Whether no more events are to come; what was not read yet still is.
    pub fn is_closed(&self) -> bool {
        self.last.borrow().1
    }

    /// Completes when no more events are to come; what was not read yet still is.
    pub async fn closed(&mut self) {
        // The sender lives as long as this reader does.
        let _ = self.last.wait_for(|&(_, is_closed)| is_closed).await;
    }

    /// What is there now, if anything.
    pub fn poll(&mut self) -> Option<Delivery> {
        let found = self.shared.ring().look(self.next);
        self.deliver(found)
    }

    /// What comes next; waits for it. Cancel safe: what was not returned comes again.
    pub async fn next(&mut self) -> Delivery {
        loop {
            self.ready().await;
            if let Some(delivery) = self.poll() {
                return delivery;
            }
        }
    }

    /// Completes when [`Subscription::poll`] gives something.
    pub async fn ready(&mut self) {
        loop {
            // Marked as seen first: what arrives after the look wakes the wait.
            self.last.borrow_and_update();
            if !matches!(self.shared.ring().look(self.next), Found::Nothing) {
                return;
            }
            // The sender lives as long as this reader does.
            let _ = self.last.changed().await;
        }
    }

    /// As [`Subscription::next`], for a thread that may block, at most so long. `None`: nothing came.
    pub fn next_blocking(&mut self, limit: Duration) -> Option<Delivery> {
        let waiting = Stopwatch::start();
        let shared = self.shared.clone();
        let mut ring = shared.ring();
        loop {
            match ring.look(self.next) {
                Found::Nothing => {}
                found => {
                    drop(ring);
                    return self.deliver(found);
                }
            }
            let left = limit.checked_sub(waiting.elapsed()).filter(|left| !left.is_zero())?;
            ring = shared.arrived.wait_timeout(ring, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn deliver(&mut self, found: Found) -> Option<Delivery> {
        Some(match found {
            Found::Entry(entry) => {
                self.next += 1;
                // The texts are made here, by the reader's thread and outside the lock.
                Delivery::Event(self.shared.event(&entry))
            }
            Found::Missed(missed) => {
                self.next += missed;
                Delivery::Missed(missed)
            }
            Found::Closed => Delivery::Closed,
            Found::Nothing => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Ticks, Zone};
    use crate::events::what::{DayServed, ServerStopping};

    fn hub(remembered: usize) -> (Hub, Intake) {
        let (clock, _) = Clock::simulated(Zone::utc(), Ticks(0), 1_893_499_200_250);
        Hub::remembering(remembered, [0xab; 16], clock)
    }

    fn stopping() -> ServerStopping {
        ServerStopping::default()
    }

    fn seqs(reader: &mut Subscription) -> (Vec<u64>, u64) {
        let (mut seen, mut missed) = (Vec::new(), 0);
        while let Some(delivery) = reader.poll() {
            match delivery {
                Delivery::Event(event) => seen.push(event.seq),
                Delivery::Missed(n) => missed += n,
                Delivery::Closed => break,
            }
        }
        (seen, missed)
    }

    #[test]
    fn events_are_numbered_from_one_and_carry_their_run() {
        let (hub, mut intake) = hub(10);
        let mut reader = hub.subscribe(Some(0));
        hub.publish(stopping());
        hub.publish(DayServed { day: "2030-01-01".parse().unwrap() });
        assert_eq!(reader.poll(), None, "nothing is taken in yet");
        intake.drain();
        let Some(Delivery::Event(first)) = reader.poll() else { panic!() };
        assert_eq!((first.seq, &*first.run), (1, "ab".repeat(16).as_str()));
        assert_eq!((&*first.at, first.what.kind()), ("2030-01-01T12:00:00.250Z", "server.stopping"));
        let json = serde_json::to_value(&first).unwrap();
        assert_eq!(json["kind"], "server.stopping");
        assert_eq!(serde_json::from_value::<Event>(json).unwrap().what, first.what);
        assert_eq!(seqs(&mut reader), (vec![2], 0));
        assert_eq!((hub.last(), reader.after()), (2, 2));
    }

    #[test]
    fn who_reads_too_slowly_is_told_how_much_it_missed_and_reads_on() {
        let (hub, mut intake) = hub(4);
        let mut slow = hub.subscribe(None);
        for _ in 0..10 {
            hub.publish(stopping());
            intake.drain();
        }
        assert_eq!(hub.shared.ring().events.len(), 4, "nothing more is remembered for it");
        assert_eq!(seqs(&mut slow), (vec![7, 8, 9, 10], 6));
        assert_eq!(seqs(&mut hub.subscribe(Some(8))), (vec![9, 10], 0));
        assert_eq!(seqs(&mut hub.subscribe(None)), (vec![], 0));
        // 99 was never reached in this run: it is from another one.
        assert_eq!(seqs(&mut hub.subscribe(Some(99))), (vec![7, 8, 9, 10], 6));
        assert_eq!(seqs(&mut hub.subscribe(Some(u64::MAX))).0.len(), 4);
    }

    #[test]
    fn a_full_inbox_drops_and_the_numbers_tell_how_many() {
        let (hub, mut intake) = hub(100_000);
        let mut reader = hub.subscribe(Some(0));
        for _ in 0..BATCHES_MAX + 7 {
            hub.publish(stopping());
        }
        intake.drain();
        hub.publish(stopping());
        intake.drain();
        let (seen, missed) = seqs(&mut reader);
        assert_eq!((seen.len(), missed), (BATCHES_MAX + 1, 7));
        assert_eq!(hub.last(), seen.len() as u64 + missed, "each is either seen or missed");
        assert!(seen.is_sorted());
    }

    #[test]
    fn a_batch_that_is_too_large_is_dropped_whole() {
        let (hub, mut intake) = hub(10);
        let day = Happened::DayServed("2030-01-01".parse().unwrap());
        hub.happened(Batch { unix_ms: 0, happened: vec![day.clone(); WAITING_MAX] });
        hub.happened(Batch { unix_ms: 0, happened: vec![day; 3] });
        let mut reader = hub.subscribe(Some(0));
        intake.drain();
        let (seen, missed) = seqs(&mut reader);
        assert_eq!(seen.len() as u64 + missed, WAITING_MAX as u64 + 3);
        assert_eq!(hub.shared.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_reader_waits_for_the_next_event_and_hears_of_the_end() {
        let (hub, intake) = hub(10);
        intake.start().unwrap();
        let mut reader = hub.subscribe(None);
        let teller = hub.clone();
        let told = std::thread::spawn(move || {
            teller.publish(stopping());
            assert!(teller.settle(Duration::from_secs(30)));
            teller.close();
        });
        assert!(matches!(reader.next().await, Delivery::Event(event) if event.seq == 1));
        assert_eq!(reader.next().await, Delivery::Closed);
        told.join().unwrap();
    }

    #[test]
    fn a_thread_may_block_for_the_next_event_and_not_for_longer_than_it_wants() {
        let (hub, intake) = hub(10);
        let mut reader = hub.subscribe(None);
        assert_eq!(reader.next_blocking(Duration::from_millis(5)), None);
        intake.start().unwrap();
        hub.publish(stopping());
        let next = reader.next_blocking(Duration::from_secs(30));
        assert!(matches!(next, Some(Delivery::Event(event)) if event.seq == 1));
    }
}
