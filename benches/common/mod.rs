//! What the benches share: the real daemon as a process, signed licenses by the thousand, medians.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part of it")]

pub mod daemon;
pub mod licenses;
pub mod sessions;

use std::io::Write as _;
use std::path::PathBuf;

/// Whatever went wrong: a bench only shows it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whether only sanity is checked, in seconds: `--short`, or `SEATKEEPER_BENCH_SHORT=1`.
pub fn is_short() -> bool {
    std::env::args().any(|word| word == "--short")
        || std::env::var_os("SEATKEEPER_BENCH_SHORT").is_some_and(|v| v == "1")
}

/// What the parts of a bench need to know.
pub struct Scale {
    /// Whether only sanity is checked.
    pub is_short: bool,
    /// How often each figure is taken.
    pub rounds: usize,
    /// The parts that were named; empty: all.
    parts: Vec<String>,
}

impl Scale {
    /// As the command line says; `known` are the parts there are, `page` is where they are explained.
    ///
    /// # Errors
    /// A word is not known.
    pub fn from_arguments(known: &[&str], page: &str) -> Result<Scale> {
        let is_short = is_short();
        let mut scale = Scale { is_short, rounds: if is_short { 1 } else { 5 }, parts: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // cargo bench says so to every bench.
                "--bench" | "--short" => {}
                "--rounds" => {
                    scale.rounds = words.next().ok_or("--rounds needs a number")?.parse::<usize>()?.max(1);
                }
                part if known.contains(&part) => scale.parts.push(word),
                _ => return Err(format!("{word} is not known here; see the top of {page}").into()),
            }
        }
        Ok(scale)
    }

    /// Whether a part is to be run.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|p| p == part)
    }
}

/// Prints one figure.
///
/// # Errors
/// Standard output is closed.
pub fn say(line: &serde_json::Value) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// A new directory in `target/tmp`, or in `SEATKEEPER_BENCH_DIR`: on a real disk, since a sync on a memory file
/// system costs nothing.
///
/// # Errors
/// It cannot be made.
pub fn directory() -> Result<tempfile::TempDir> {
    let home = std::env::var_os("SEATKEEPER_BENCH_DIR")
        .map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    Ok(tempfile::tempdir_in(home)?)
}

/// Where in the sorted values a part of them lies below; 0.5 is the median.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The distance of the quartiles over the median.
pub fn spread(values: &[f64]) -> f64 {
    hundredths((quantile(values, 0.75) - quantile(values, 0.25)) / median(values))
}

/// Two digits after the point.
pub fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// One digit after the point.
pub fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// The processor and how many there are, for the line that is printed.
pub fn machine() -> serde_json::Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    serde_json::json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "model": model.map(|(_, name)| name.to_owned()),
        "load_before": load.split(' ').next().and_then(|n| n.parse::<f64>().ok()),
    })
}

/// SplitMix64: the same seed, the same numbers.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sixteen bytes, as a request key.
    pub fn key(&mut self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.number().to_le_bytes());
        key[8..].copy_from_slice(&self.number().to_le_bytes());
        key
    }
}
