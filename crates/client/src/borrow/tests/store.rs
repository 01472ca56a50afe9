//! The store: what outlives a process, what is shared by several, what damage does.

use std::fs;

use wire::request::{Checkout, Secret};

use super::sample::{GRANTED, Sample};
use crate::borrow::record::{Kept, Record, State};
use crate::borrow::store::Store;

fn record(key: u8) -> Record {
    Record {
        state: State::Lent,
        server: "lic01:6200".parse().unwrap(),
        bundle: 9,
        checkout: Checkout { request_key: [key; 16], secret: Secret([9; 16]), ..Default::default() },
        tokens: vec![Kept { token: Sample::new().token(), is_returning: false }],
    }
}

#[test]
fn what_is_kept_is_there_for_the_next_program() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("not/yet");
    assert_eq!(Store::new(&here).list().unwrap(), (vec![], vec![]));
    assert!(!here.exists(), "looking makes nothing");
    Store::new(&here).keep(&record(1)).unwrap();
    Store::new(&here).keep(&record(2)).unwrap();
    let changed = Record { state: State::Asked, ..record(2) };
    Store::new(&here).keep(&changed).unwrap();
    assert_eq!(Store::new(&here).list().unwrap(), (vec![record(1), changed.clone()], vec![]));
    Store::new(&here).forget(&record(1)).unwrap();
    Store::new(&here).forget(&record(1)).unwrap();
    assert_eq!(Store::new(&here).list().unwrap(), (vec![changed], vec![]));
}

#[cfg(unix)]
#[test]
fn only_their_owner_can_read_them() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("seatkeeper");
    let store = Store::new(&here);
    store.keep(&record(1)).unwrap();
    store.locked(|| store.raise_mark(GRANTED)).unwrap();
    let used = store.locked(|| store.begin_use(&record(1), 90, 1)).unwrap();
    let mut files = 0;
    for entry in fs::read_dir(&here).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        files += 1;
    }
    assert_eq!(files, 4, "record, mark, lock, use");
    assert_eq!(fs::metadata(&here).unwrap().mode() & 0o777, 0o700);
    drop(used);
}

#[test]
fn a_damaged_record_is_told_of_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    store.keep(&record(1)).unwrap();
    store.keep(&record(2)).unwrap();
    let path = dir.path().join(record(1).name());
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (records, faults) = store.list().unwrap();
    assert_eq!(records, [record(2)]);
    assert!(faults.len() == 1 && faults[0].contains("damaged") && faults[0].contains(&record(1).name()));
    // A copy under the name of another request is none either.
    fs::copy(dir.path().join(record(2).name()), &path).unwrap();
    assert_eq!(store.list().unwrap().1.len(), 1);
    // Nor is what a crash left half written.
    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join(format!("{}.draft", record(3).name())), "seatkeeper-bor").unwrap();
    assert_eq!(store.list().unwrap(), (vec![record(2)], vec![]));
}

#[test]
fn the_mark_only_rises_and_a_damaged_one_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let raise = |to| store.locked(|| store.raise_mark(to)).unwrap();
    assert_eq!(store.mark(), Ok(0));
    raise(GRANTED);
    raise(GRANTED - 100);
    assert_eq!(Store::new(dir.path()).mark(), Ok(GRANTED));
    raise(GRANTED + 1);
    assert_eq!(store.mark(), Ok(GRANTED + 1));
    let path = dir.path().join("borrow-mark");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.mark(), Ok(0), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(store.mark(), Ok(0), "cut at {at}");
    }
    raise(GRANTED);
    assert_eq!(store.mark(), Ok(GRANTED));
}

#[test]
fn seats_in_use_are_counted_over_programs_and_end_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (Store::new(dir.path()), Store::new(dir.path()));
    let used = |store: &Store| store.locked(|| store.in_use(&record(1), 90)).unwrap();
    let begin = |store: &Store, count| store.locked(|| store.begin_use(&record(1), 90, count)).unwrap();
    assert_eq!(used(&one), 0);
    let first = begin(&one, 2);
    let second = begin(&other, 3);
    assert_eq!((used(&one), used(&other)), (5, 5));
    assert_eq!(one.locked(|| one.in_use(&record(1), 91)), Ok(0), "another borrow");
    assert_eq!(one.locked(|| one.in_use(&record(2), 90)), Ok(0), "another server's");
    drop(first);
    assert_eq!(used(&other), 3);
    drop(second);
    assert_eq!(used(&one), 0);
    // What a killed program leaves has no lock, and is cleared away.
    let left = dir.path().join(format!("{}-use-90-7-abc", record(1).name()));
    fs::write(&left, "").unwrap();
    assert_eq!(used(&one), 0);
    assert!(!left.exists());
}
