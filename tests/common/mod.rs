//! What tests share: tools beyond Rust and a C compiler, and seeds. Not what they check: a shared helper would
//! hide its own mistakes.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::path::PathBuf;

/// Whether a missing tool is a failure: `.ci/run` sets this after installing everything.
pub const CI_VARIABLE: &str = "SEATKEEPER_CI";

/// What a test of ours may need beyond Rust and a C compiler. Named here and nowhere else; `.ci/run` installs them.
const TOOLS: &[(&str, &str)] = &[
    // Name for `require`, and the program looked for in PATH.
    ("python3", "python3"),
    ("faketime", "faketime"),
    ("jq", "jq"),
    ("mkfs.ext4", "mkfs.ext4"),
    ("xmllint", "xmllint"),
    ("openssl", "openssl"),
    ("prometheus", "prometheus"),
    ("promtool", "promtool"),
    ("chromium", "chromium"),
    ("systemd-analyze", "systemd-analyze"),
    ("systemd-socket-activate", "systemd-socket-activate"),
    // A Python that has the package; `.ci/run` makes it, and so does who wants the test by hand.
    ("license-manager-agent", concat!(env!("CARGO_MANIFEST_DIR"), "/target/ci/venv-compat/bin/python3")),
    ("jsonschema", concat!(env!("CARGO_MANIFEST_DIR"), "/target/ci/venv-schema/bin/python3")),
];

/// Where the tool is, or `None` after a line `skipped: …` on the real stderr, so that the test can return.
///
/// # Panics
/// With `SEATKEEPER_CI=1` a missing tool fails the test. So does a name that is not in [`TOOLS`].
#[must_use]
pub fn require(tool: &str) -> Option<PathBuf> {
    let Some((_, program)) = TOOLS.iter().find(|(name, _)| *name == tool) else {
        panic!("{tool} is not listed in tests/common/mod.rs: add it there and to .ci/run");
    };
    if let Some(path) = find_in_path(program) {
        return Some(path);
    }
    let ci = std::env::var_os(CI_VARIABLE).is_some_and(|v| v == "1");
    assert!(!ci, "{tool} is missing, and {CI_VARIABLE}=1 says that everything is installed");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not eprintln!: cargo test would swallow it, and the reader would take the test for done.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {tool} is not installed");
    None
}

fn find_in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The seed of a random test: `SEATKEEPER_SEED` if set, else a new one. It is printed, so that a failure shows it.
///
/// # Panics
/// If the variable is not a number.
pub fn seed() -> u64 {
    let seed = match std::env::var("SEATKEEPER_SEED") {
        Ok(text) => text.parse().expect("SEATKEEPER_SEED is a number"),
        Err(_) => getrandom::u64().expect("the system has random numbers"),
    };
    println!("seed: SEATKEEPER_SEED={seed}");
    seed
}

/// A small generator of random numbers (SplitMix64): the same seed, the same numbers, on every machine.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        let width = u128::from(high.abs_diff(low)) + 1;
        let offset = u128::from(self.bits()) % width;
        i64::try_from(i128::from(low) + i128::try_from(offset).expect("below 2^64"))
            .expect("within the bounds")
    }

    /// One of them.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.bits() % all.len() as u64).expect("below the length")]
    }
}
