//! The corpus of the fuzzer, replayed; and each of it damaged a little.

use std::path::Path;

use seatkeeper::policy::fuzz;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/policy_text");
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 10, "{}", found.len());
    found
}

#[test]
fn the_corpus_is_read_without_a_panic() {
    for (name, data) in corpus() {
        println!("{name}");
        fuzz(&data);
    }
}

/// Bytes changed, cut out, doubled and exchanged between files, by seeds.
#[test]
fn damaged_policies_are_read_without_a_panic() {
    let corpus = corpus();
    for seed in 1..=1_500_u64 {
        let mut state = seed;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end.max(1)
        };
        let mut data = corpus[below(corpus.len())].1.clone();
        for _ in 0..=below(4) {
            let (at, length) = (below(data.len()), below(30));
            let end = (at + length).min(data.len());
            match below(4) {
                0 if !data.is_empty() => data[at] = b"\n[]{}=\",.#'*\\09azA/ \xc3"[below(20)],
                1 => drop(data.drain(at..end)),
                2 => {
                    let piece = data[at..end].to_vec();
                    let to = below(data.len());
                    data.splice(to..to, piece);
                }
                _ => {
                    let other = &corpus[below(corpus.len())].1;
                    let from = below(other.len());
                    let piece = other[from..(from + length * 4).min(other.len())].to_vec();
                    data.splice(at..at, piece);
                }
            }
        }
        println!("seed {seed}");
        fuzz(&data);
    }
}
