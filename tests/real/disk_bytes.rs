//! What a power cut or a bad disk leaves of the journal's bytes: a torn last batch, a flipped bit (S62). The journal is
//! one that the daemon wrote; it is read back by the daemon, and for every byte by the library that the daemon is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seatkeeper::engine::record::StateFold;
use seatkeeper::journal::replay::{self, End, Scan};
use seatkeeper::journal::{Fold as _, Journal, JournalError, Options, RealDisk};
use tempfile::TempDir;
use wire::request;

use crate::common::{Random, seed};
use crate::disk::told;
use crate::real::client::{Held, asking, granted, refused};
use crate::real::daemon::{Daemon, Start, run_to_end};
use crate::real::site::{Site, exclusive};

/// A state directory that a daemon left when it was killed, and what was granted in it.
struct Left {
    site: Site,
    install_id: [u8; 16],
    held: Vec<Held>,
    /// The bytes of its one segment up to the end of the last batch.
    used: Vec<u8>,
    /// Where the batches begin, and where the last ends.
    bounds: Vec<usize>,
}

impl Left {
    /// A history with a bit of everything: seats taken and given back in part, a place in the queue, a booking.
    fn behind() -> Left {
        let site = Site::with(&[exclusive("cad", 10), exclusive("sim", 2)]);
        let mut daemon = Daemon::start(&site);
        let mut client = daemon.connect();
        let mut held = vec![client.checkout(&[("cad", 3), ("sim", 1)]).unwrap()];
        granted(client.checkin(held[0].sessions[0].0, 1));
        held.push(client.checkout(&[("sim", 1)]).unwrap());
        let mut waits = asking(&[("sim", 1)]);
        waits.wait_seconds = Some(3_600);
        client.send(&waits).unwrap();
        let book = request::Book {
            token: "0123456789abcdef0123456789abcdef".into(),
            items: asking(&[("cad", 1)]).items,
            seconds: 3_600,
            facts: crate::real::client::facts("ann"),
            extras: Vec::new(),
        };
        granted(daemon.admin().ask(&book));
        held.push(client.checkout(&[("cad", 2)]).unwrap());
        // In a batch of its own, which is the last.
        held.push(client.checkout(&[("cad", 1)]).unwrap());
        daemon.kill();
        let bytes = fs::read(segment(&site.state())).unwrap();
        let mut bounds = vec![0];
        while let Some(head) = bytes.get(bounds[bounds.len() - 1]..).and_then(|rest| rest.first_chunk::<4>())
        {
            match u32::from_le_bytes(*head) {
                0 => break,
                length => bounds.push(bounds[bounds.len() - 1] + length as usize),
            }
        }
        let used = bytes[..bounds[bounds.len() - 1]].to_vec();
        println!("{} batches, {} bytes", bounds.len() - 1, used.len());
        Left { site, install_id: client.install_id, held, used, bounds }
    }

    /// Where the last batch begins.
    fn last(&self) -> usize {
        self.bounds[self.bounds.len() - 2]
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(segment(&self.site.state()), bytes).unwrap();
    }
}

fn segment(state: &Path) -> PathBuf {
    state.join("journal/000000000001.segment")
}

/// Everything a state holds, as it would be written into a snapshot.
fn dump(fold: &StateFold) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    fold.dump(&mut |kind, bytes| all.push((kind, bytes.to_vec())));
    all
}

type Read = Result<(Scan, Vec<(u16, Vec<u8>)>), JournalError>;

fn read(dir: &Path) -> Read {
    let mut fold = StateFold::default();
    replay::scan(&RealDisk, dir, None, &mut fold).map(|scan| (scan, dump(&fold)))
}

fn read_bytes(dir: &Path, name: &str, bytes: &[u8]) -> Read {
    fs::write(dir.join(name), bytes).unwrap();
    read(dir)
}

const SEGMENT: &str = "000000000001.segment";

#[test]
fn a_journal_cut_off_anywhere_in_its_last_batch_is_the_one_before_it() {
    let left = Left::behind();
    let home = TempDir::new().unwrap();
    let dir = home.path();
    let (_, before) = read_bytes(dir, SEGMENT, &left.used[..left.last()]).unwrap();
    let (_, after) = read_bytes(dir, SEGMENT, &left.used).unwrap();
    assert_ne!(before, after);
    for cut in left.last() + 1..left.used.len() {
        // Once with the file cut off there, once with zeros behind.
        let mut zeros = left.used[..cut].to_vec();
        let whole = left.used[cut..].iter().all(|byte| *byte == 0);
        for with_zeros in [false, true] {
            if with_zeros {
                zeros.resize(left.used.len() + 100, 0);
            }
            let (scan, state) = read_bytes(dir, SEGMENT, &zeros).unwrap();
            if with_zeros && whole {
                assert_eq!((&scan.end, &state), (&End::Clean, &after), "cut at {cut}");
                continue;
            }
            let End::Torn(dropped) = &scan.end else { panic!("cut at {cut}: {:?}", scan.end) };
            assert_eq!((dropped.offset, &state), (left.last() as u64, &before), "cut at {cut}");
        }
    }

    // The daemon itself, at places drawn at random.
    let mut random = Random(seed());
    for _ in 0..3 {
        let cut = random.within(left.last() as i64 + 1, left.used.len() as i64 - 1);
        println!("cut at {cut}");
        left.put(&left.used[..usize::try_from(cut).unwrap()]);
        let mut daemon = Daemon::start(&left.site);
        daemon.await_log("the last batch was cut off");
        told(&daemon.log_text(), &["the last batch was cut off", &format!("offset={}", left.last())]);
        let mut client = daemon.connect_as(left.install_id);
        let (torn, kept) = left.held.split_last().unwrap();
        kept.iter().for_each(|held| drop(granted(client.resume(held))));
        assert_eq!(refused(client.resume(torn).unwrap()).0, "unknown_session");
        assert_eq!(client.feature("cad")["used"], 4);
        let (again, is_replay) = granted(client.checkout_again(&torn.asked));
        assert!(!is_replay, "what was torn was never granted");
        assert_eq!(again.sessions[0].1, 1);
        daemon.kill();
    }
}

#[test]
fn no_flipped_bit_of_a_journal_goes_unseen() {
    let mut random = Random(seed());
    let left = Left::behind();
    let home = TempDir::new().unwrap();
    let dir = home.path();
    let (_, before) = read_bytes(dir, SEGMENT, &left.used[..left.last()]).unwrap();
    let (_, after) = read_bytes(dir, SEGMENT, &left.used).unwrap();
    let mut bytes = left.used.clone();
    bytes.resize(left.used.len() + 200, 0);
    for at in 0..bytes.len() {
        let bit = 1_u8 << random.within(0, 7);
        bytes[at] ^= bit;
        let (scan, state) =
            read_bytes(dir, SEGMENT, &bytes).unwrap_or_else(|e| panic!("byte {at}, bit {bit}: {e}"));
        let begins = *left.bounds.iter().rfind(|begin| **begin <= at).unwrap() as u64;
        match &scan.end {
            End::Damaged(damage) => {
                assert!(at < left.last() && damage.offset == begins, "byte {at}, bit {bit}: {damage}");
            }
            // The last batch, which was told to clients, cannot be told from one that was cut off (docs/JOURNAL.md).
            End::Torn(torn) if at < left.used.len() => {
                assert!(at >= left.last() && torn.offset == begins, "byte {at}, bit {bit}: {torn:?}");
                assert_eq!(state, before, "byte {at}, bit {bit}");
            }
            End::Torn(_) => assert_eq!(state, after, "byte {at}, bit {bit}"),
            End::Clean => panic!("byte {at}, bit {bit}: not seen"),
        }
        bytes[at] ^= bit;
    }
}

#[test]
fn no_flipped_bit_of_a_snapshot_goes_unseen() {
    let mut random = Random(seed());
    let left = Left::behind();
    let home = TempDir::new().unwrap();
    let dir = home.path();
    // Room for some batches more, then the segment is closed, and a snapshot takes its place.
    let segment_bytes = left.used.len() as u64 + 200;
    let mut bytes = left.used.clone();
    bytes.resize(left.used.len() + 200, 0);
    fs::write(dir.join(SEGMENT), &bytes).unwrap();
    let options = Options { segment_bytes, threads: false, compact_bytes_min: 1, ..Options::default() };
    let mut fold = StateFold::default();
    let mut opened = Journal::open(RealDisk, dir, options, &mut fold).unwrap();
    let compaction = loop {
        opened.journal.append(opened.tick, [(0, [0_u8; 0]); 0]).unwrap();
        opened.journal.commit().unwrap();
        if let Some(compaction) = opened.journal.compaction_due() {
            break compaction;
        }
    };
    compaction.run(&mut StateFold::default()).unwrap();
    drop(opened);
    let (scan, whole) = read(dir).unwrap();
    assert_eq!((&scan.end, &whole), (&End::Clean, &dump(&fold)));
    let path = scan.snapshot.expect("a snapshot").path;
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    println!("a snapshot of {} bytes", bytes.len());
    for at in 0..bytes.len() {
        let bit = 1_u8 << random.within(0, 7);
        bytes[at] ^= bit;
        let (scan, _) = read_bytes(dir, name, &bytes).unwrap_or_else(|e| panic!("byte {at}, bit {bit}: {e}"));
        let End::Damaged(damage) = &scan.end else { panic!("byte {at}, bit {bit}: {:?}", scan.end) };
        assert!(damage.path == path && damage.offset <= at as u64, "byte {at}, bit {bit}: {damage}");
        let would = scan.would_lose(&RealDisk, dir).unwrap().expect("a loss");
        assert_eq!(would.last_kept, None);
        bytes[at] ^= bit;
    }
}

#[test]
fn a_flipped_bit_in_the_middle_stops_the_start_and_says_what_accepting_the_loss_would_cost() {
    let left = Left::behind();
    // In the batch of the third checkout: two are kept, two are lost.
    let begin = left.bounds[left.bounds.len() - 3];
    let mut bytes = fs::read(segment(&left.site.state())).unwrap();
    bytes[begin + 50] ^= 4;
    left.put(&bytes);
    // To the last byte that is not zero.
    let lost = left.used.iter().rposition(|byte| *byte != 0).unwrap() + 1 - begin;

    let (code, text) = run_to_end(Start::of(&left.site));
    assert_eq!(code, Some(74), "{text}");
    let place = format!("000000000001.segment: offset {begin}: ");
    let cost = format!("gives up {lost} bytes");
    let line = told(&text, &[&place, "restore the state directory", "--accept-loss", &cost]);
    let (_, sentence) = line.split_once("which ").expect("the choice");
    assert_eq!(fs::read(segment(&left.site.state())).unwrap(), bytes, "nothing was changed");
    // `state check` says the same, in lines of 80.
    let checked = Command::new(env!("CARGO_BIN_EXE_seatkeeper"))
        .args(["state", "check"])
        .arg(left.site.state())
        .output();
    let checked = checked.unwrap();
    assert_eq!(checked.status.code(), Some(74));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (sentence, _) = sentence.split_once(", put aside").expect("where they go");
    assert!(words(&String::from_utf8_lossy(&checked.stdout)).contains(&words(sentence)), "{checked:?}");

    let mut daemon = Start::of(&left.site).arg("--accept-loss").ready(&left.site);
    told(&daemon.log_text(), &["part of the journal was given up", &format!("bytes={lost}")]);
    let mut client = daemon.connect_as(left.install_id);
    left.held[..2].iter().for_each(|held| drop(granted(client.resume(held))));
    for held in &left.held[2..] {
        assert_eq!(refused(client.resume(held).unwrap()).0, "unknown_session");
    }
    assert_eq!(client.feature("cad")["used"], 2);
    assert_eq!(fs::read(segment(&left.site.state()).with_extension("segment.lost")).unwrap(), bytes);
    assert_eq!(daemon.terminate(), Some(0));
    // Once: the next start needs no flag, and has lost nothing more.
    granted(Daemon::start(&left.site).connect_as(left.install_id).resume(&left.held[0]));
}
