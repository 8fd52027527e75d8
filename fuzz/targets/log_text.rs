//! What is read of logs: heads, offers, receipts, proofs of forks.
#![no_main]

#[path = "../checks/log_text.rs"]
mod log_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    log_text::check(bytes);
});
