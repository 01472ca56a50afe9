//! Any bytes as a history of a server with a policy: `cargo +nightly fuzz run operations`, from the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatkeeper::engine::fuzz::operations(data));
