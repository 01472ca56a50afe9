//! Any bytes as a policy file: `cargo +nightly fuzz run policy_text`, from the root.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatkeeper::policy::fuzz(data));
