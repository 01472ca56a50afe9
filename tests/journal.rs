//! The journal over the real file system.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use seatkeeper::journal::{Compactor, Fold, FoldError, Journal, JournalError, Opened, Options, RealDisk};

/// Remembers every record; kind 2 forgets the oldest. Kind 9 is unknown to it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    records: Vec<Vec<u8>>,
    sequences: Vec<u64>,
    last_tick: u64,
}

impl Fold for Memory {
    fn apply(&mut self, tick: u64, sequence: u64, kind: u16, bytes: &[u8]) -> Result<(), FoldError> {
        self.last_tick = tick;
        self.sequences.push(sequence);
        match kind {
            1 => self.records.push(bytes.to_vec()),
            2 => drop(self.records.remove(0)),
            other => return Err(FoldError::UnknownKind(other)),
        }
        Ok(())
    }

    fn dump(&self, out: &mut dyn FnMut(u16, &[u8])) {
        self.records.iter().for_each(|record| out(1, record));
    }
}

const SMALL: u64 = 64 << 10;

fn options() -> Options {
    Options { segment_bytes: SMALL, compact_bytes_min: SMALL, ..Options::default() }
}

fn open(dir: &Path, fold: &mut Memory) -> Opened<RealDisk> {
    Journal::open(RealDisk, dir, options(), fold).unwrap()
}

fn write_batches(dir: &Path, batches: u64) {
    let mut fold = Memory::default();
    let mut opened = open(dir, &mut fold);
    for tick in 0..batches {
        opened.journal.append(opened.tick + tick, [(1, tick.to_le_bytes()), (1, [7; 8])]).unwrap();
        opened.journal.commit().unwrap();
    }
}

/// Flips a bit of a file in place.
fn flip(path: &Path, offset: u64) {
    let byte = fs::read(path).unwrap()[offset as usize] ^ 0x10;
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte]).unwrap();
}

fn segment(dir: &Path, number: u64) -> std::path::PathBuf {
    seatkeeper::journal::segment::segment_path(dir, number)
}

/// Bytes of one batch of [`write_batches`].
const BATCH: u64 = 48 + 2 * (6 + 8);

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("journal");
    write_batches(&dir, 100);
    let mut fold = Memory::default();
    let opened = open(&dir, &mut fold);
    assert_eq!((opened.tick, opened.next_sequence, opened.records), (99, 201, 200));
    assert_eq!(opened.dropped, None);
    assert_eq!(fold.sequences, (1..=200).collect::<Vec<_>>());
    assert_eq!(fold.records[198], 99_u64.to_le_bytes());
    drop(opened);
    write_batches(&dir, 1);
    let mut fold = Memory::default();
    assert_eq!(open(&dir, &mut fold).next_sequence, 203);
}

#[test]
fn what_was_appended_and_not_committed_is_not() {
    let home = tempfile::tempdir().unwrap();
    let mut opened = open(home.path(), &mut Memory::default());
    opened.journal.append(1, [(1, b"kept")]).unwrap();
    opened.journal.commit().unwrap();
    opened.journal.append(2, [(1, b"gone")]).unwrap();
    drop(opened);
    let mut fold = Memory::default();
    assert_eq!(open(home.path(), &mut fold).tick, 1);
    assert_eq!(fold.records, [b"kept"]);
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let batches = 3 * SMALL / BATCH + 10;
    write_batches(home.path(), batches);
    let mut fold = Memory::default();
    let opened = open(home.path(), &mut fold);
    assert_eq!(opened.next_sequence, 2 * batches + 1);
    assert!(segment(home.path(), 4).exists());
    assert_eq!(fs::metadata(segment(home.path(), 2)).unwrap().len(), SMALL);
}

#[test]
fn a_batch_over_the_limit_is_refused_and_the_rest_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let mut opened = open(home.path(), &mut Memory::default());
    let journal = &mut opened.journal;
    journal.append(1, [(1, vec![1])]).unwrap();
    let error = journal.append(1, [(1, vec![2]), (1, vec![3; 1 << 17])]).unwrap_err();
    assert!(matches!(error, JournalError::BatchTooLarge { .. }), "{error}");
    journal.commit().unwrap();
    assert!(matches!(
        journal.append(0, [(1, vec![4])]),
        Err(JournalError::TickWentBack { tick: 0, last: 1 })
    ));
    drop(opened);
    let mut fold = Memory::default();
    open(home.path(), &mut fold);
    assert_eq!(fold.records, [[1]]);
}

#[test]
fn a_journal_cut_off_inside_its_last_batch_is_read_up_to_the_batch_before() {
    let home = tempfile::tempdir().unwrap();
    for cut in 1..BATCH {
        let dir = home.path().join(cut.to_string());
        write_batches(&dir, 5);
        let file = fs::OpenOptions::new().write(true).open(segment(&dir, 1)).unwrap();
        file.set_len(4 * BATCH + cut).unwrap();
        let mut fold = Memory::default();
        let opened = open(&dir, &mut fold);
        assert_eq!(opened.next_sequence, 9, "cut {cut}");
        let dropped = opened.dropped.expect("reported");
        assert_eq!((dropped.segment, dropped.offset), (1, 4 * BATCH));
        assert!(dropped.bytes <= cut && dropped.bytes > 0);
        drop(opened.journal);
        let again = open(&dir, &mut Memory::default());
        assert_eq!((again.next_sequence, again.dropped), (9, None), "reported once");
    }
}

#[test]
fn damage_before_the_last_batch_stops_the_start_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    write_batches(dir, 5);
    let path = segment(dir, 1);
    let whole = fs::read(&path).unwrap();
    for at in [0, 3, 4, 9, 20, 30, 47, 60, BATCH - 1] {
        fs::write(&path, &whole).unwrap();
        flip(&path, 2 * BATCH + at);
        let damaged = fs::read(&path).unwrap();
        let error = Journal::open(RealDisk, dir, options(), &mut Memory::default()).unwrap_err();
        let JournalError::Damaged(damage, _) = &error else { panic!("byte {at}: {error}") };
        assert_eq!((damage.segment, damage.offset, &damage.path), (1, 2 * BATCH, &path), "byte {at}");
        assert!(error.to_string().contains("--accept-loss"));
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn accepted_loss_keeps_what_comes_before_and_says_what_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    write_batches(dir, 2 * SMALL / BATCH);
    flip(&segment(dir, 2), 3 * BATCH);
    let accept = Options { accept_loss: true, ..options() };
    let mut fold = Memory::default();
    let mut opened = Journal::open(RealDisk, dir, accept, &mut fold).unwrap();
    let kept = fold.records.len() as u64;
    let loss = opened.lost.take().expect("reported");
    assert_eq!((loss.damage.segment, loss.damage.offset, loss.last_kept), (2, 3 * BATCH, kept));
    assert!(loss.bytes > SMALL / 2, "{loss:?}");
    assert!(!loss.files.is_empty() && loss.files.iter().all(|file| file.exists()));
    opened.journal.append(opened.tick, [(1, b"after")]).unwrap();
    opened.journal.commit().unwrap();
    drop(opened);
    let mut again = Memory::default();
    let opened = open(dir, &mut again);
    assert_eq!((opened.next_sequence, opened.lost), (kept + 2, None));
    assert_eq!(again.records.pop().as_deref(), Some(&b"after"[..]));
    assert_eq!(again.records, fold.records);
}

#[test]
fn a_missing_segment_stops_the_start() {
    let home = tempfile::tempdir().unwrap();
    write_batches(home.path(), 3 * SMALL / BATCH);
    for number in [1, 2] {
        let (path, aside) = (segment(home.path(), number), home.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let error = Journal::open(RealDisk, home.path(), options(), &mut Memory::default()).unwrap_err();
        assert!(matches!(&error, JournalError::Damaged(damage, _) if damage.segment == number), "{error}");
        fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn an_unknown_kind_refuses_the_start_also_where_loss_is_accepted() {
    let home = tempfile::tempdir().unwrap();
    let mut opened = open(home.path(), &mut Memory::default());
    opened.journal.append(1, [(1, b"a")]).unwrap();
    opened.journal.append_with(1, 9, |out| out.push(b'b')).unwrap();
    opened.journal.commit().unwrap();
    drop(opened);
    let accept = Options { accept_loss: true, ..options() };
    let error = Journal::open(RealDisk, home.path(), accept, &mut Memory::default()).unwrap_err();
    let JournalError::Refused { sequence, source, .. } = error else { panic!("{error}") };
    assert_eq!((sequence, source), (2, FoldError::UnknownKind(9)));
}

#[test]
fn a_replaced_file_is_seen_every_five_seconds() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("journal");
    let mut opened = open(&dir, &mut Memory::default());
    opened.journal.check_path(5_000).unwrap();
    fs::rename(&dir, home.path().join("moved")).unwrap();
    opened.journal.check_path(9_999).unwrap();
    let error = opened.journal.check_path(10_000).unwrap_err();
    assert!(matches!(error, JournalError::Replaced { .. }), "{error}");
}

/// Batches until the next segment is to be there, and it is, or cannot be.
fn fill_half(journal: &mut Journal) {
    for tick in 0..=SMALL / 2 / BATCH {
        journal.append(tick, [(1, tick.to_le_bytes()), (1, [7; 8])]).unwrap();
        journal.commit().unwrap();
    }
}

#[test]
fn a_next_segment_that_somebody_removed_is_made_again_and_nothing_is_written_into_the_void() {
    let home = tempfile::tempdir().unwrap();
    let without_threads = Options { threads: false, ..options() };
    let mut opened = Journal::open(RealDisk, home.path(), without_threads, &mut Memory::default()).unwrap();
    fill_half(&mut opened.journal);
    fs::remove_file(segment(home.path(), 2)).unwrap();
    let mut tick = SMALL;
    // Over into the second segment.
    for _ in 0..SMALL * 3 / 4 / BATCH {
        tick += 1;
        opened.journal.append(tick, [(1, tick.to_le_bytes()), (1, [7; 8])]).unwrap();
        opened.journal.commit().unwrap();
    }
    let next = opened.journal.next_sequence();
    drop(opened);
    let mut fold = Memory::default();
    assert_eq!(open(home.path(), &mut fold).next_sequence, next);
    assert_eq!(fold.last_tick, tick);
}

#[test]
fn a_lack_of_room_holds_until_a_segment_has_been_made() {
    let home = tempfile::tempdir().unwrap();
    let mut opened = open(home.path(), &mut Memory::default());
    // Where the next segment is to be made there is something that cannot be removed as a file.
    let in_the_way = home.path().join("000000000002.segment.tmp");
    fs::create_dir(&in_the_way).unwrap();
    let journal = &mut opened.journal;
    fill_half(journal);
    let mut tick = SMALL;
    let mut look = |journal: &mut Journal| {
        tick += 1;
        journal.check_path(tick).unwrap();
        journal.is_low().is_some()
    };
    while !look(journal) {}
    // Also while it is tried again, which happens on another thread.
    for _ in 0..20_000 {
        assert!(look(journal), "let in although nothing has changed");
    }
    fs::remove_dir(&in_the_way).unwrap();
    let started = std::time::Instant::now();
    while look(journal) {
        assert!(started.elapsed().as_secs() < 30, "it is never tried again");
    }
    assert!(journal.room() > SMALL);
}

#[test]
fn compaction_in_the_background_keeps_the_state_and_drops_the_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let mut opened = open(dir, &mut Memory::default());
    let mut compactor = Compactor::new(Memory::default);
    let mut expected = Memory::default();
    let mut compactions = 0;
    for tick in 0..6 * SMALL / BATCH {
        // Two in, two out: the state stays small while the journal grows.
        let kind = if tick < 10 { 1 } else { 1 + (tick % 2) as u16 };
        expected.apply(tick, 2 * tick + 1, kind, &tick.to_le_bytes()).unwrap();
        expected.apply(tick, 2 * tick + 2, kind, &[7; 8]).unwrap();
        opened.journal.append(tick, [(kind, tick.to_le_bytes()), (kind, [7; 8])]).unwrap();
        opened.journal.commit().unwrap();
        compactions += compactor.poll(&mut opened.journal).map_or(0, |done| done.map(|_| 1).unwrap());
    }
    compactions += compactor.finish(&mut opened.journal).map_or(0, |done| done.map(|_| 1).unwrap());
    assert!(compactions > 0);
    assert!(!segment(dir, 1).exists());
    let next = opened.journal.next_sequence();
    drop(opened);
    let mut fold = Memory::default();
    let opened = open(dir, &mut fold);
    assert_eq!(opened.next_sequence, next);
    assert!(opened.snapshot.is_some());
    assert_eq!((fold.records, fold.last_tick), (expected.records, expected.last_tick));
    assert!(opened.records < expected.sequences.len() as u64 / 2, "the snapshot stands for the rest");
}

#[test]
fn a_million_records_are_read_back_in_little_memory_and_time() {
    /// Keeps nothing but a count, so that what is measured is the journal.
    struct Count(u64);
    impl Fold for Count {
        fn apply(&mut self, _: u64, sequence: u64, _: u16, bytes: &[u8]) -> Result<(), FoldError> {
            self.0 += 1;
            assert_eq!((sequence, bytes.len()), (self.0, 90));
            Ok(())
        }
        fn dump(&self, _: &mut dyn FnMut(u16, &[u8])) {}
    }
    let home = tempfile::tempdir().unwrap();
    let mut journal =
        Journal::open(RealDisk, home.path(), Options::default(), &mut Count(0)).unwrap().journal;
    for tick in 0..100 {
        journal.append(tick, (0..10_000).map(|_| (1, [b'x'; 90]))).unwrap();
        journal.commit().unwrap();
    }
    drop(journal);
    let before = memory_kib();
    let start = std::time::Instant::now();
    let mut count = Count(0);
    Journal::open(RealDisk, home.path(), Options::default(), &mut count).unwrap();
    assert_eq!(count.0, 1_000_000);
    // Loose, for an unoptimized build on a busy machine: it takes a second or two. The figure
    // that counts is the bench's.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    let grown = memory_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more at the peak for 96 MB of journal");
}

/// The most memory this process has had, in KiB.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
