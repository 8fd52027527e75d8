//! Entries of the audit log.
#![no_main]

#[path = "../checks/log_entry.rs"]
mod log_entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    log_entry::check(bytes);
});
