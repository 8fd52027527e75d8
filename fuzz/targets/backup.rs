//! Files of backups, and requests to open them.
#![no_main]

#[path = "../checks/backup.rs"]
mod backup;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    backup::check(bytes);
});
