//! The corpora of the fuzzer that are of vendors' files, replayed; and each of them damaged a little.

use std::path::Path;

use seatkeeper::licenses::fuzz::{release_facts, releases_file};

use super::Random;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 10, "{target}: {}", found.len());
    found
}

/// Every input as it is, then bytes changed, cut out, doubled and exchanged between inputs, by seeds.
fn replay(target: &str, seeds: u64, letters: &[u8], run: impl Fn(&[u8])) {
    let corpus = corpus(target);
    for (name, data) in &corpus {
        println!("{name}");
        run(data);
    }
    for seed in 1..=seeds {
        let mut random = Random(seed);
        let mut data = corpus[random.below(corpus.len())].1.clone();
        for _ in 0..=random.below(4) {
            let (at, length) = (random.below(data.len().max(1)), random.below(30));
            let end = (at + length).min(data.len());
            match random.below(4) {
                0 if !data.is_empty() => data[at] = letters[random.below(letters.len())],
                1 => drop(data.drain(at.min(end)..end)),
                2 => {
                    let piece = data[at.min(end)..end].to_vec();
                    let to = random.below(data.len().max(1)).min(data.len());
                    data.splice(to..to, piece);
                }
                _ => {
                    let other = &corpus[random.below(corpus.len())].1;
                    let from = random.below(other.len());
                    let piece = other[from..(from + length * 4).min(other.len())].to_vec();
                    data.splice(at.min(end)..end, piece);
                }
            }
        }
        println!("seed {seed}");
        run(&data);
    }
}

#[test]
fn any_versions_dates_and_periods_are_read_and_counted_with() {
    replay("release_facts", 3_000, b"0123456789.-PYMWDT\n +\xc3", release_facts);
}

#[test]
fn any_catalog_is_read_signed_and_shown() {
    replay("releases_file", 1_000, b"<>/=\"'&; \n0129.-AVDLESRN!\xc3", releases_file);
}
