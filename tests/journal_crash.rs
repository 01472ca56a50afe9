//! The journal when the power goes, a sync fails or the disk is full, thousands of times over.
//!
//! Every random test prints its seed when it fails; `SEATKEEPER_SEED=n` runs that one alone and
//! `SEATKEEPER_RUNS=n` so many of them.

use std::{collections::BTreeMap, path::Path};

use seatkeeper::journal::{
    Compactor, Disk, Fold, FoldError, Journal, JournalError, MemoryDisk, Opened, Options,
    segment::segment_path,
};

/// A small state with everything a ledger has that could go wrong: entries come and go, and a
/// digest of all records ever applied shows a missing, doubled, half or reordered batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    entries: BTreeMap<u8, Vec<u8>>,
    digest: u64,
    applied: u64,
}

const SET: u16 = 1;
const REMOVE: u16 = 2;
const SUMMARY: u16 = 3;
const ENTRY: u16 = 4;

impl Fold for Table {
    fn apply(&mut self, _tick: u64, _sequence: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError> {
        let unreadable = || FoldError::Unreadable { kind, reason: "too short".to_owned() };
        let (key, value) = bytes.split_first().ok_or_else(unreadable)?;
        match kind {
            SET | ENTRY => drop(self.entries.insert(*key, value.to_vec())),
            REMOVE => drop(self.entries.remove(key)),
            SUMMARY => {
                let number = |at: usize| -> Option<u64> {
                    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
                };
                self.digest = number(0).ok_or_else(unreadable)?;
                self.applied = number(8).ok_or_else(unreadable)?;
            }
            other => return Err(FoldError::UnknownKind(other)),
        }
        if matches!(kind, SET | REMOVE) {
            self.applied += 1;
            for byte in bytes {
                self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Ok(())
    }

    fn dump(&self, out: &mut dyn FnMut(u16, &[u8])) {
        out(SUMMARY, &[self.digest.to_le_bytes(), self.applied.to_le_bytes()].concat());
        for (key, value) in &self.entries {
            out(ENTRY, &[&[*key], value.as_slice()].concat());
        }
    }
}

/// A generator of the test's own: the disk's must not be shared with what it checks.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn batch(&mut self) -> Vec<(u16, Vec<u8>)> {
        let count = if self.below(8) == 0 { 20 } else { self.below(4) };
        let record = |random: &mut Self| {
            let key = random.below(40) as u8;
            if random.below(3) == 0 {
                return (REMOVE, vec![key]);
            }
            let length = random.below(120) as usize;
            // Zeros too: a lost sector of zeros is no loss, and must not look like one.
            let fill = (random.below(4) * 77) as u8;
            (SET, [vec![key], vec![fill; length]].concat())
        };
        (0..count).map(|_| record(self)).collect()
    }
}

fn for_seeds(runs: u64, test: impl Fn(u64)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let runs = number("SEATKEEPER_RUNS").unwrap_or(runs);
    let seeds = number("SEATKEEPER_SEED").map_or(1..runs + 1, |seed| seed..seed + 1);
    for seed in seeds {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(seed)));
        if let Err(panic) = result {
            eprintln!("SEATKEEPER_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

const DIR: &str = "state/journal";

fn options(random: &mut Random) -> Options {
    Options {
        segment_bytes: 4096 + 512 * random.below(12),
        threads: false,
        compact_bytes_min: 2048 + random.below(8192),
        ..Options::default()
    }
}

fn open(disk: &MemoryDisk, options: &Options, fold: &mut Table) -> Result<Opened<MemoryDisk>, JournalError> {
    Journal::open(disk.clone(), Path::new(DIR), options.clone(), fold)
}

/// What the state must be after a restart: all that was acknowledged, and perhaps the one
/// batch that was on its way, whole.
struct Expected {
    acknowledged: Table,
    in_flight: Option<Table>,
}

impl Expected {
    fn check(&mut self, found: &Table, opened: &Opened<MemoryDisk>) {
        if *found != self.acknowledged {
            assert_eq!(Some(found), self.in_flight.as_ref(), "neither acknowledged nor on its way");
            assert_eq!(opened.dropped, None, "a batch is whole or dropped");
        }
        assert_eq!(opened.next_sequence, found.applied + 1);
        assert_eq!(opened.lost, None);
        *self = Self { acknowledged: found.clone(), in_flight: None };
    }
}

/// Writes random batches, compacting now and then, until something fails or `steps` are done.
fn live(
    journal: &mut Journal<MemoryDisk>,
    random: &mut Random,
    expected: &mut Expected,
    tick: &mut u64,
    steps: u64,
) {
    let mut compactor = Compactor::new(Table::default);
    for _ in 0..steps {
        let batch = random.batch();
        let mut next = expected.acknowledged.clone();
        for (kind, bytes) in &batch {
            next.apply(0, 0, *kind, bytes).unwrap();
        }
        *tick += random.below(50);
        journal.append(*tick, batch).unwrap();
        expected.in_flight = Some(next.clone());
        match journal.commit() {
            Ok(committed) => {
                assert_eq!(committed.sequence, next.applied);
                *expected = Expected { acknowledged: next, in_flight: None };
            }
            Err(_) => return,
        }
        // A compaction that fails because the power is off is told by the next commit.
        drop(compactor.poll(journal));
    }
}

#[test]
fn every_committed_batch_survives_every_power_cut_whole() {
    for_seeds(300, |seed| {
        let mut random = Random(seed | 1 << 40);
        let disk = MemoryDisk::new(seed);
        let options = options(&mut random);
        let mut expected = Expected { acknowledged: Table::default(), in_flight: None };
        let mut tick = 0;
        for _ in 0..8 {
            // The power may go while the journal is being opened, too.
            let soon = if random.below(4) == 0 { 12 } else { 400 };
            disk.power_off_after(1 + random.below(soon));
            let mut found = Table::default();
            match open(&disk, &options, &mut found) {
                Ok(mut opened) => {
                    expected.check(&found, &opened);
                    assert!(opened.tick <= tick);
                    live(&mut opened.journal, &mut random, &mut expected, &mut tick, 200);
                }
                Err(error) => assert!(disk.is_off(), "{error}"),
            }
            disk.restart();
        }
        let mut found = Table::default();
        let opened = open(&disk, &options, &mut found).unwrap();
        expected.check(&found, &opened);
    });
}

#[test]
fn a_failed_sync_closes_the_journal_and_loses_nothing_acknowledged() {
    for_seeds(300, |seed| {
        let mut random = Random(seed | 1 << 41);
        let disk = MemoryDisk::new(seed);
        // No segment is being made and no snapshot: the sync that fails is a commit's.
        let options = Options { segment_bytes: 1 << 20, threads: false, ..Options::default() };
        let mut expected = Expected { acknowledged: Table::default(), in_flight: None };
        let mut tick = 0;
        for _ in 0..4 {
            let mut found = Table::default();
            let mut opened = open(&disk, &options, &mut found).unwrap();
            // What a start has shown may be told to anybody, so it counts as acknowledged.
            expected.check(&found, &opened);
            if random.below(2) == 0 {
                // The power goes right after the start.
                drop(opened);
                disk.restart();
                continue;
            }
            disk.fail_sync(1 + random.below(20));
            let journal = &mut opened.journal;
            live(journal, &mut random, &mut expected, &mut tick, 100);
            journal.append(tick, [(SET, [1])]).expect_err("closed");
            assert!(matches!(journal.commit(), Err(JournalError::Closed { .. })));
            drop(opened);
            if random.below(2) == 0 {
                disk.restart();
            }
        }
    });
}

#[test]
fn a_flipped_bit_before_the_last_batch_stops_the_start_with_its_place() {
    let mut random = Random(77);
    let disk = MemoryDisk::new(1);
    let options =
        Options { segment_bytes: 8192, threads: false, compact_bytes_min: 9_000, ..Options::default() };
    let mut expected = Expected { acknowledged: Table::default(), in_flight: None };
    let mut opened = open(&disk, &options, &mut Table::default()).unwrap();
    live(&mut opened.journal, &mut random, &mut expected, &mut 0, 173);
    drop(opened);
    let paths = disk.paths();
    let segments: Vec<_> = paths.iter().filter(|path| path.extension().unwrap() == "segment").collect();
    assert!(paths.iter().any(|path| path.extension().unwrap() == "snapshot"), "{paths:?}");
    assert!(segments.len() >= 2, "{paths:?}");
    let scan = seatkeeper::journal::replay::scan(&disk, Path::new(DIR), None, &mut Table::default()).unwrap();
    let last = scan.segments.iter().rfind(|segment| segment.batches > 0).unwrap();
    assert!(last.batches > 3 && last.number > scan.segments[0].number, "{scan:?}");
    let (mut stopped, mut passed) = (0, 0);
    for path in &paths {
        let whole = disk.content(path).unwrap();
        let is_after = *path > last.path;
        let step = 1 + whole.len() / 700;
        for at in (0..whole.len()).step_by(step) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            disk.set_content(path, bytes);
            let copy = disk.content(path).unwrap();
            let is_tail = is_after || *path == last.path && at as u64 >= last.last_batch.unwrap();
            let mut found = Table::default();
            match seatkeeper::journal::replay::scan(&disk, Path::new(DIR), None, &mut found).unwrap().end {
                seatkeeper::journal::replay::End::Damaged(damage) => {
                    assert!(!is_tail, "{at} of {path:?}: {damage}");
                    assert_eq!(&damage.path, path);
                    assert!(damage.offset <= at as u64, "{at}: {damage}");
                    let refused = open(&disk, &options, &mut Table::default()).unwrap_err();
                    assert!(
                        matches!(&refused, JournalError::Damaged(same, _) if *same == damage),
                        "{refused}"
                    );
                    assert_eq!(disk.content(path).unwrap(), copy, "nothing was changed");
                    stopped += 1;
                }
                seatkeeper::journal::replay::End::Torn(dropped) => {
                    assert!(is_tail, "{at} of {path:?}: {dropped:?}");
                    assert!(dropped.offset <= at as u64 && at as u64 <= dropped.offset + dropped.bytes);
                    passed += 1;
                }
                seatkeeper::journal::replay::End::Clean => panic!("{at} of {path:?} not seen"),
            }
            disk.set_content(path, whole.clone());
        }
    }
    assert!(stopped > 500 && passed > 100, "{stopped} {passed}");
}

#[test]
fn accepted_loss_survives_a_power_cut_at_any_step() {
    for_seeds(300, |seed| {
        let mut random = Random(seed | 1 << 42);
        let disk = MemoryDisk::new(seed);
        let options = options(&mut random);
        let mut expected = Expected { acknowledged: Table::default(), in_flight: None };
        let mut opened = open(&disk, &options, &mut Table::default()).unwrap();
        live(&mut opened.journal, &mut random, &mut expected, &mut 0, 150);
        drop(opened);
        let paths = disk.paths();
        let path = &paths[random.below(paths.len() as u64) as usize];
        let mut bytes = disk.content(path).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1;
        disk.set_content(path, bytes);
        let mut kept = Table::default();
        let end = seatkeeper::journal::replay::scan(&disk, Path::new(DIR), None, &mut kept).unwrap().end;
        let is_damaged = matches!(end, seatkeeper::journal::replay::End::Damaged(_));
        disk.power_off_after(1 + random.below(20));
        let accept = Options { accept_loss: true, ..options.clone() };
        let first = open(&disk, &accept, &mut Table::default());
        if let Ok(opened) = &first {
            assert_eq!(opened.lost.is_some(), is_damaged);
        }
        drop(first);
        disk.restart();
        let mut found = Table::default();
        let opened = open(&disk, &accept, &mut found).unwrap();
        assert_eq!(found, kept);
        drop(opened);
        let mut again = Table::default();
        assert_eq!(open(&disk, &options, &mut again).unwrap().lost, None);
        assert_eq!(again, kept);
    });
}

#[test]
fn on_a_full_disk_the_journal_says_so_and_goes_on_in_what_is_left() {
    let disk = MemoryDisk::new(5);
    let options =
        Options { segment_bytes: 8192, threads: false, compact_bytes_min: u64::MAX, ..Options::default() };
    let mut opened = open(&disk, &options, &mut Table::default()).unwrap();
    let journal = &mut opened.journal;
    disk.set_capacity(8192);
    let (mut written, mut low_at) = (0_u64, None);
    let full = loop {
        journal.append(written, [(SET, [1; 100])]).unwrap();
        match journal.commit() {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        if low_at.is_none() && journal.is_low().is_some() {
            low_at = Some(journal.room());
        }
    };
    assert!(matches!(full, JournalError::Full { .. }), "{full}");
    let low_at = low_at.expect("said before it was full");
    assert!((3_900..=4_096).contains(&low_at), "{low_at}");
    assert!(journal.room() < 154 && written > 50);
    // Space comes back: the batch that had no place is still there.
    disk.set_capacity(u64::MAX);
    journal.check_path(10_000).unwrap();
    assert!(journal.is_low().is_none());
    journal.commit().unwrap();
    drop(opened);
    let mut found = Table::default();
    open(&disk, &options, &mut found).unwrap();
    assert_eq!(found.applied, written + 1);
}

#[test]
fn compaction_bounds_what_is_kept_and_read() {
    let disk = MemoryDisk::new(6);
    let options =
        Options { segment_bytes: 8192, threads: false, compact_bytes_min: 16_384, ..Options::default() };
    let mut random = Random(6);
    let mut expected = Expected { acknowledged: Table::default(), in_flight: None };
    let mut opened = open(&disk, &options, &mut Table::default()).unwrap();
    let mut tick = 0;
    for _ in 0..40 {
        live(&mut opened.journal, &mut random, &mut expected, &mut tick, 50);
        let bytes: u64 = disk.list(Path::new(DIR)).unwrap().iter().map(|entry| entry.bytes).sum();
        assert!(bytes < 8 * 8192, "{:?}", disk.paths());
    }
    drop(opened);
    assert!(!disk.paths().contains(&segment_path(Path::new(DIR), 1)));
    let mut found = Table::default();
    let opened = open(&disk, &options, &mut found).unwrap();
    assert!(opened.records < 1_000 && opened.next_sequence > 4_000);
    expected.check(&found, &opened);
}
