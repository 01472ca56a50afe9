//! Any bytes as versions, dates and periods: `cargo +nightly fuzz run release_facts`, from the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatkeeper::licenses::fuzz::release_facts(data));
