//! Histories of a server with a policy, made of random bytes and of the fuzzer's corpus.

use std::path::Path;

use seatkeeper::engine::fuzz::operations;

/// How many histories; `SEATKEEPER_HISTORIES` says another number for a long run.
const HISTORIES: u64 = 300;

#[test]
fn the_corpus_of_operations_holds_what_must_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/operations");
    let mut found: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= 5, "{}", found.len());
    for path in found {
        println!("{}", path.display());
        operations(&std::fs::read(path).unwrap());
    }
}

#[test]
fn random_histories_never_oversell_and_survive_a_restart() {
    let seed = crate::common::seed();
    let histories =
        std::env::var("SEATKEEPER_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(HISTORIES);
    println!("SEATKEEPER_SEED={seed}");
    for nth in 0..histories {
        let mut state = seed.wrapping_add(nth);
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let data: Vec<u8> = (0..1_500).map(|_| byte()).collect();
        println!("history {nth}");
        operations(&data);
    }
}
