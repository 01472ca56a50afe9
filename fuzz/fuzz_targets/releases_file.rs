//! Any bytes as a license file or release catalog: `cargo +nightly fuzz run releases_file`, from the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatkeeper::licenses::fuzz::releases_file(data));
